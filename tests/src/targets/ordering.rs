//! Decoders of `ordering`: evidence and snapshots.

use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::{Height, SequencerIndex};
use fairveil_ordering::{
    Committee, Equivocation, Evidence, Fragment, Mode, PackedEvidence, State, median_time_ms,
};

use super::order::sample_states;
use super::scene::{evidence as faults, head, honest_heads};
use super::world::{CULPRIT, EPOCH, MEMBERS, WORLD, index};
use super::{LIMIT_BYTES, Verdict, kind, tagged};

/// The numbers of fairness.
pub(super) fn committee() -> Committee {
    Committee::new(MEMBERS, 1, 0).expect("five members tolerate one liar")
}

/// Evidence of a block, and proofs of two logs: what its sequencers did not sign is refused.
pub(super) fn order_evidence(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let keys = WORLD.dealt.committee.consensus_keys();
    if kind == 1 {
        let Ok(proof) = decode::<Equivocation>(bytes, LIMIT_BYTES) else {
            return Verdict::Refused;
        };
        assert_eq!(encode(&proof), bytes);
        let Some(key) = keys.get(proof.one.sequencer.position()) else { return Verdict::Refused };
        let proven = proof.verify(&WORLD.network_id(), key).is_ok();
        assert!(!proven || proof.one.sequencer == CULPRIT);
        return Verdict::of(proven);
    }
    let Ok(packed) = decode::<PackedEvidence>(bytes, LIMIT_BYTES) else { return Verdict::Refused };
    assert_eq!(encode(&packed), bytes);
    let state = State::new(WORLD.network_id(), EPOCH, committee(), Mode::Strict, Height::new(3));
    let Ok(evidence) = state.unpack(&packed) else { return Verdict::Refused };
    assert_eq!(state.pack(&evidence).as_ref(), Ok(&packed), "one encoding");
    let entries: usize = evidence.fragments.iter().map(|fragment| fragment.ids.len()).sum();
    assert_eq!(packed.ids(), entries + evidence.list.len());
    let Ok(verified) = state.verify(&packed, keys) else { return Verdict::Refused };
    assert_eq!(*verified.evidence(), evidence);
    let height = Height::new(4);
    let fresh = verified.fragments().iter().any(|fragment| fragment.head.is_fresh(height, 32));
    assert_eq!(median_time_ms(height, &verified).is_some(), fresh);
    let valid = state.validate(height, &verified).is_ok();
    assert!(!valid || verified.fragments().len() >= usize::from(committee().quorum()));
    Verdict::Accepted
}

pub(super) fn order_evidence_seeds() -> Vec<Vec<u8>> {
    let fragment = |sequencer: SequencerIndex| {
        let ids = [1, 2, 3].map(|byte| fairveil_crypto::BundleId::from_bytes([byte; 32])).to_vec();
        Fragment { head: head(sequencer, &[1, 2, 3]), ids, times_ms: Vec::new() }
    };
    let fragments = SequencerIndex::all(MEMBERS).map(fragment).collect();
    let evidence = Evidence { fragments, list: Vec::new() };
    let heartbeat = Fragment { head: honest_heads()[0], ids: Vec::new(), times_ms: Vec::new() };
    let heartbeats = Evidence { fragments: vec![heartbeat], list: Vec::new() };
    let forked = Equivocation { one: head(CULPRIT, &[1, 2]), other: head(CULPRIT, &[1, 3]) };
    assert!(faults().contains(&fairveil_release::evidence::Evidence::ForkedLog(forked)));
    let state = State::new(WORLD.network_id(), EPOCH, committee(), Mode::Strict, Height::new(3));
    let packed = |evidence| encode(&state.pack(evidence).expect("it continues the empty logs"));
    vec![
        tagged(0, &packed(&evidence)),
        tagged(0, &packed(&heartbeats)),
        tagged(1, &encode(&forked)),
    ]
}

/// A snapshot has one encoding, and what it says can be asked for.
pub(super) fn order_snapshot(bytes: &[u8]) -> Verdict {
    let Ok(state) = State::restore(bytes) else { return Verdict::Refused };
    assert_eq!(state.snapshot(), bytes);
    let order = state.order();
    let (pending, unproposed) = (order.pending(), order.unproposed());
    assert!(pending.len() + unproposed.len() <= order.live_ids());
    for id in pending.iter().chain(&unproposed) {
        assert_ne!(state.status(id), fairveil_ordering::Status::Unknown);
    }
    assert!(order.to_report(index(1)).len() <= order.live_ids() + order.settled_ids());
    let again = State::restore(bytes).expect("it was restored before");
    assert_eq!(state.digest(), again.digest());
    Verdict::Accepted
}

pub(super) fn order_snapshot_seeds() -> Vec<Vec<u8>> {
    sample_states().iter().map(State::snapshot).collect()
}
