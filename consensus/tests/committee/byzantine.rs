//! Members that cheat: leaders whose blocks get no vote, voters who contradict themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use commonware_codec::Encode as _;
use commonware_codec::varint::UInt;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Notarize, Proposal, Vote};
use commonware_consensus::types::{Epoch as EngineEpoch, Round, View as EngineView};
use commonware_cryptography::ed25519::PrivateKey;
use commonware_cryptography::sha256::Digest as EngineDigest;
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{Clock, Runner, Supervisor as _, deterministic};
use fairveil_consensus::committee::own_key;
use fairveil_consensus::header::HeaderFault;
use fairveil_consensus::{BlockFault, Members, namespace};
use fairveil_crypto::SequencerIndex;
use fairveil_ordering as ordering;

use crate::harness::{Committee, EPOCH, LINK, facts, id, keys, network_id, secrets};
use crate::member::{Lie, Member};

const SECOND: Duration = Duration::from_secs(1);

/// Runs five members, of which one lies; what the honest ones refused.
fn refused(seed: u64, lie: Lie) -> Vec<BlockFault> {
    deterministic::Runner::seeded(seed).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        let liar = 2;
        let mut members = Vec::new();
        for index in 0..5 {
            let lie = (index == liar).then_some(lie);
            let member = Member::new(committee.honest(index), lie);
            members.push(member.clone());
            committee.start_with(index, member).await;
        }
        for number in 0..40 {
            committee.world.submit(id(number), facts(1, number), &[0, 1, 2, 3, 4]);
            context.sleep(SECOND / 4).await;
        }
        let ids: Vec<_> = (0..40).map(id).collect();
        committee.emit(&[0, 1, 2, 3, 4], &ids, 60 * SECOND).await;
        committee.assert_agreement();

        let proposed = members[liar].proposed.lock().clone();
        assert!(proposed.len() >= 2, "the liar led {} times", proposed.len());
        let chain: BTreeSet<_> = committee.committed(0).digests().into_iter().collect();
        assert!(chain.is_disjoint(&proposed), "{lie:?}: a lie became final");
        let faults = members.iter().enumerate().filter(|(index, _)| *index != liar);
        faults.flat_map(|(_, member)| member.refused.lock().clone()).collect()
    })
}

#[test]
fn a_wrong_result_root_gets_no_votes() {
    let faults = refused(21, Lie::ResultRoot);
    assert!(!faults.is_empty());
    assert!(
        faults
            .iter()
            .all(|fault| { matches!(fault, BlockFault::Header(HeaderFault::ResultRoot { .. })) })
    );
}

#[test]
fn a_wrong_time_gets_no_votes() {
    for (seed, lie) in [(22, Lie::TimeAhead), (23, Lie::TimeBack)] {
        let faults = refused(seed, lie);
        assert!(!faults.is_empty());
        assert!(
            faults
                .iter()
                .all(|fault| { matches!(fault, BlockFault::Header(HeaderFault::Time { .. })) })
        );
    }
}

#[test]
fn too_few_heads_get_no_votes() {
    let faults = refused(24, Lie::FewHeads);
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| {
        matches!(fault, BlockFault::Ordering(ordering::BlockError::TooFewFresh { .. }))
    }));
}

#[test]
fn omitted_ids_get_no_votes() {
    let faults = refused(25, Lie::OmittedIds);
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| {
        matches!(fault, BlockFault::Evidence(ordering::EvidenceError::Signature { .. }))
    }));
}

#[test]
fn altered_heads_get_no_votes() {
    let faults = refused(26, Lie::ForeignHead);
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| {
        matches!(fault, BlockFault::Evidence(ordering::EvidenceError::Signature { .. }))
    }));
}

#[test]
fn a_wrong_release_gets_no_votes() {
    let faults = refused(27, Lie::ReleaseRoot);
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| matches!(fault, BlockFault::ReleaseRoot { .. })));
    let faults = refused(28, Lie::ReleaseOrder);
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| matches!(fault, BlockFault::ReleaseOrder { .. })));
}

#[test]
fn a_header_of_another_view_gets_no_votes() {
    // Refused before it is executed: no fault of the chain's rules.
    assert!(refused(29, Lie::WrongView).is_empty());
}

#[test]
fn leaders_leave_out_a_log_that_would_spoil_their_block() {
    deterministic::Runner::seeded(31).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        committee.world.corrupt(3);
        committee.world.submit(id(1), facts(1, 1), &[0, 1, 2, 3, 4]);
        committee.emit(&[0, 1, 2, 3, 4], &[id(1)], 20 * SECOND).await;
        let outputs = committee.committed(0).outputs;
        let culprit = SequencerIndex::from_position(3).unwrap();
        assert!(outputs.iter().all(|output| {
            let fragments = output.evidence.fragments();
            fragments.iter().all(|fragment| fragment.head.sequencer != culprit)
        }));
    });
}

/// The votes of a member who runs no engine, two for every view.
#[test]
fn votes_that_contradict_each_other_convict_on_the_chain() {
    deterministic::Runner::seeded(30).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        let (honest, culprit) = ([0, 1, 2, 3], 4);
        for member in honest {
            committee.start(member).await;
        }
        let secret = &secrets(5)[culprit];
        let members = Members::new(&keys(5)).unwrap();
        let key = PrivateKey::decode(Copying(&secret.expose_seed()[..])).unwrap();
        let signs = Scheme::signer(&namespace(&network_id()), members.keys().clone(), key).unwrap();
        let channels = crate::harness::channels(&committee.oracle, &own_key(secret)).await;
        let mut votes = channels.votes.0;

        let index = SequencerIndex::from_position(culprit).unwrap();
        let convicted = |committee: &Committee| {
            let outputs = committee.committed(0).outputs;
            outputs.iter().flat_map(|output| output.convicted.clone()).collect::<Vec<_>>()
        };
        for _ in 0..100 {
            if !convicted(&committee).is_empty() {
                break;
            }
            let next = committee.committed(0).blocks.last().unwrap().header().view.get() + 2;
            let round = Round::new(EngineEpoch::new(EPOCH.get()), EngineView::new(next));
            for byte in [1, 2] {
                let payload = EngineDigest([byte; 32]);
                let proposal = Proposal::new(round, EngineView::new(next - 1), payload);
                let vote = Vote::<Scheme, EngineDigest>::Notarize(
                    Notarize::sign(&signs, proposal).unwrap(),
                );
                // The subchannel of epoch 1, then the vote.
                let message = [UInt(2u64).encode(), vote.encode()].concat();
                votes.send(Recipients::All, message, true);
            }
            context.sleep(SECOND / 10).await;
        }
        assert_eq!(convicted(&committee), [index], "once, and nobody else");
        assert!(committee.world.recorded().iter().all(|(culprit, _)| *culprit == index));
        let height = committee.height(0);
        committee.reach(&honest, height + 5, 60 * SECOND).await;
        committee.assert_agreement();
    });
}
