//! Decoders of `release`: messages, evidence, releases, proofs, transactions.

use std::collections::BTreeMap;

use fairveil_crypto::SequencerIndex;
use fairveil_crypto::encoding::{decode, encode};
use fairveil_release::adoption::{ReleaseMessage, ReleasePart};
use fairveil_release::chain::{ReleaseChain, Summary};
use fairveil_release::evidence::Evidence;
use fairveil_release::failed::{Failed, Invalid};
use fairveil_release::message::OpeningMessage;
use fairveil_release::opener::ShareMessage;
use fairveil_release::proof::{BatchProof, BundleProof};
use fairveil_release::registry::Rollup;
use fairveil_release::release::Release;
use fairveil_release::validity::valid_transaction;

use super::scene::{SCENE, evidence};
use super::world::{CHAINS, CULPRIT, WORLD, index, transaction as signed_transaction};
use super::{LIMIT_BYTES, Verdict, kind, tagged};

/// What sequencers say to each other about opening and releasing.
pub(super) fn opening_message(bytes: &[u8]) -> Verdict {
    let decoded = OpeningMessage::decode(bytes);
    if let Ok(message) = ShareMessage::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
    let Ok(message) = decoded else { return Verdict::Refused };
    assert_eq!(message.encode(), bytes);
    Verdict::Accepted
}

pub(super) fn opening_message_seeds() -> Vec<Vec<u8>> {
    let height = SCENE.orders[0].height();
    let share = Box::new(SCENE.own_share(0, index(1)).share().clone());
    let part = ReleasePart::of(height, &SCENE.releases[0].0.encode(), 0);
    [
        OpeningMessage::Share(ShareMessage::Share { height, share }),
        OpeningMessage::Share(ShareMessage::Request { height }),
        OpeningMessage::Release(ReleaseMessage::Request { height, part: 3 }),
        OpeningMessage::Release(ReleaseMessage::Part(part.expect("a first part"))),
        OpeningMessage::Release(ReleaseMessage::Absent { height }),
    ]
    .map(|message| message.encode())
    .to_vec()
}

/// Evidence convicts whom it is about, and never one who did nothing wrong.
pub(super) fn fault_evidence(bytes: &[u8]) -> Verdict {
    let Ok(found) = Evidence::decode(bytes) else { return Verdict::Refused };
    assert_eq!(found.encode(), bytes);
    let Ok(verdict) = found.judge(&WORLD.network_id(), &WORLD.dealt.committee) else {
        return Verdict::Refused;
    };
    assert_eq!(verdict.culprit, CULPRIT);
    Verdict::Accepted
}

pub(super) fn fault_evidence_seeds() -> Vec<Vec<u8>> {
    evidence().iter().map(Evidence::encode).collect()
}

/// Releases, the state of release, and failed codes.
pub(super) fn release(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 2) else { return Verdict::Refused };
    match kind {
        0 => {
            let Ok(release) = Release::decode(bytes) else { return Verdict::Refused };
            assert_eq!(release.encode(), bytes);
            let Ok(tree) = release.check(&WORLD.registry) else { return Verdict::Refused };
            assert_eq!(tree.root(), release.header.tree_root);
            let known = SCENE.releases.iter().find(|(known, _)| known.header == release.header);
            assert!(known.is_none_or(|(known, _)| *known == release), "the header commits to it");
            adopts_what_is_certified(&release);
            Verdict::Accepted
        }
        1 => {
            let Ok(summary) = Summary::decode(bytes) else { return Verdict::Refused };
            assert_eq!(summary.encode(), bytes);
            let stored = ReleaseChain::restore(summary.clone(), Vec::new(), BTreeMap::new(), &[]);
            let Ok(chain) = stored else { return Verdict::Refused };
            assert_eq!(chain.summary(), summary);
            Verdict::Accepted
        }
        _ => {
            let Ok(failed) = Failed::from_bytes(bytes) else { return Verdict::Refused };
            assert_eq!(failed.to_bytes(), bytes);
            assert!(bytes.len() <= Failed::MAX_BYTES && !failed.to_string().is_empty());
            let encoded = encode(&failed);
            assert_eq!(decode::<Failed>(&encoded, 64), Ok(failed));
            Verdict::Accepted
        }
    }
}

fn adopts_what_is_certified(release: &Release) {
    let mut chain = WORLD.chain();
    let (first, _) = &SCENE.releases[0];
    let adopted = chain.adopt(release.clone(), &first.header.root()).is_ok();
    assert_eq!(adopted, release == first);
}

pub(super) fn release_seeds() -> Vec<Vec<u8>> {
    let mut chain = WORLD.chain();
    let mut seeds = vec![tagged(1, &chain.summary().encode())];
    for (release, _) in &SCENE.releases {
        chain.adopt(release.clone(), &release.header.root()).expect("the next height");
        seeds.push(tagged(0, &release.encode()));
        seeds.push(tagged(1, &chain.summary().encode()));
    }
    let invalid = Failed::LegInvalid { leg: 1, tx: 2, why: Invalid::Fee };
    for failed in [Failed::Rho, Failed::Capacity { rollup: 901 }, invalid] {
        seeds.push(tagged(2, &failed.to_bytes()));
    }
    seeds
}

/// Proofs show what is in the tree, and nothing else.
pub(super) fn release_proof(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let mut proven = false;
    if kind == 0 {
        let Ok(proof) = decode::<BundleProof>(bytes, LIMIT_BYTES) else { return Verdict::Refused };
        assert_eq!(encode(&proof), bytes);
        for (_, tree) in &SCENE.releases {
            if proof.verify(&tree.root()).is_ok() {
                assert_eq!(tree.leaves().get(proof.index as usize), Some(&proof.leaf));
                proven = true;
            }
        }
        return Verdict::of(proven);
    }
    let Ok(proof) = decode::<BatchProof>(bytes, LIMIT_BYTES) else { return Verdict::Refused };
    assert_eq!(encode(&proof), bytes);
    for (_, tree) in &SCENE.releases {
        for chain_id in CHAINS {
            let touches = |leaf: &&fairveil_release::tree::Leaf| leaf.leg(chain_id).is_some();
            if let Ok(leaves) = proof.verify(&tree.root(), chain_id) {
                assert_eq!(leaves, tree.leaves().iter().filter(touches).collect::<Vec<_>>());
                proven = true;
            }
        }
    }
    Verdict::of(proven)
}

pub(super) fn release_proof_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (_, tree) in &SCENE.releases {
        for at in 0..tree.count() {
            let proof = BundleProof::new(tree, at).expect("a leaf");
            seeds.push(tagged(0, &encode(&proof)));
        }
        for chain_id in CHAINS {
            let proof = BatchProof::new(tree, chain_id).expect("a registered rollup");
            seeds.push(tagged(1, &encode(&proof)));
        }
    }
    seeds
}

/// A raw transaction: the verdict is the same each time, and nothing with other bytes has its
/// sender.
pub(super) fn transaction(bytes: &[u8]) -> Verdict {
    let rollup = Rollup { allows_set_code: true, ..Rollup::recorder(CHAINS[0], "rollup") };
    let verdict = valid_transaction(bytes, &rollup);
    assert_eq!(verdict, valid_transaction(bytes, &rollup));
    let strict = Rollup::recorder(CHAINS[0], "rollup");
    let without_set_code = valid_transaction(bytes, &strict);
    match verdict {
        Ok(valid) => {
            assert!(valid.gas_limit >= 21_000 && valid.gas_limit <= rollup.gas_limit);
            let refused = without_set_code == Err(Invalid::Type);
            assert_eq!(refused, bytes.first() == Some(&4));
            Verdict::Accepted
        }
        Err(why) => {
            assert!(without_set_code == Err(why) || without_set_code == Err(Invalid::Type));
            Verdict::Refused
        }
    }
}

pub(super) fn transaction_seeds() -> Vec<Vec<u8>> {
    [0, 1, 40].map(|bytes| signed_transaction(CHAINS[0], 3, bytes).to_vec()).to_vec()
}

/// The members that can send something.
pub(super) fn members() -> Vec<SequencerIndex> {
    WORLD.dealt.committee.indices().collect()
}
