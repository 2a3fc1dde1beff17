//! What is kept of the order while ids are in flight: memory, and snapshots.

use std::collections::BTreeMap;

use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusPublicKey, ConsensusSecret, Epoch, Height, NetworkId,
    SequencerIndex,
};
use fairveil_ordering::{
    Block, Committee, Evidence, Fragment, LogName, Mode, OrderLog, Phase, State,
};

use super::OrderBenchError;
use super::world::EACH_BLOCK;
use crate::clock::timed;
use crate::measure::Spread;

const NETWORK: NetworkId = NetworkId::from_bytes([24; 32]);
const EPOCH: Epoch = Epoch::new(1);

/// Snapshots of a state with so many ids in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    /// Bytes of a snapshot.
    pub(super) bytes: usize,
    /// Milliseconds to make one.
    pub(super) snapshot_ms: Spread,
    /// Milliseconds to make a state of it again.
    pub(super) restore_ms: Spread,
}

impl Kept {
    /// Of a state that real, signed evidence of these logs made, none of it solid yet.
    pub(super) fn measure(
        committee: Committee,
        logs: &[(SequencerIndex, Vec<BundleId>)],
        samples: usize,
    ) -> Result<Self, OrderBenchError> {
        let state = state(committee, logs)?;
        let (mut bytes, mut snapshots, mut restores) = (Vec::new(), Vec::new(), Vec::new());
        for sample in 0..=samples {
            let (made, snapshot) = timed(|| state.snapshot());
            let (restored, restore) = timed(|| State::restore(&made));
            if restored.map(|restored| restored.digest()).ok() != Some(state.digest()) {
                return Err(OrderBenchError::Restored { n: committee.n() });
            }
            bytes = made;
            // The first one warms up.
            if sample > 0 {
                snapshots.push(snapshot.cpu.as_secs_f64() * 1e3);
                restores.push(restore.cpu.as_secs_f64() * 1e3);
            }
        }
        Ok(Self {
            bytes: bytes.len(),
            snapshot_ms: Spread::of(snapshots),
            restore_ms: Spread::of(restores),
        })
    }
}

/// All members' logs, of which those without entries here send heartbeats.
fn state(
    committee: Committee,
    logs: &[(SequencerIndex, Vec<BundleId>)],
) -> Result<State, OrderBenchError> {
    let secret = |index: SequencerIndex| ConsensusSecret::from_seed([index.get() as u8; 32]);
    let keys: Vec<ConsensusPublicKey> =
        SequencerIndex::all(committee.n()).map(|index| secret(index).public_key()).collect();
    let name = |sequencer| LogName { network_id: NETWORK, epoch: EPOCH, sequencer };
    let mut own: Vec<OrderLog> =
        SequencerIndex::all(committee.n()).map(|index| OrderLog::new(name(index))).collect();
    let mut state = State::new(NETWORK, EPOCH, committee, Mode::Strict, Height::ZERO);
    let each = EACH_BLOCK / usize::from(committee.n());
    let longest = logs.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
    for from in (0..longest).step_by(each) {
        let height = state.order().height().next();
        let mut fragments = Vec::new();
        for log in &mut own {
            let sequencer = log.name().sequencer;
            let all = logs.iter().find(|(index, _)| *index == sequencer);
            let ids = all.map_or(&[][..], |(_, ids)| ids.as_slice());
            let ids: Vec<BundleId> = ids.iter().skip(from).take(each).copied().collect();
            for id in &ids {
                log.append(*id)?;
            }
            let head = log.sign(state.order().height(), height.get(), &secret(sequencer));
            fragments.push(Fragment { head, ids, times_ms: Vec::new() });
        }
        let evidence = Evidence { fragments, list: Vec::new() }.verify(&NETWORK, EPOCH, &keys)?;
        let expiries: BTreeMap<BundleId, Height> =
            state.would_reach_edge(&evidence).into_iter().map(|id| (id, Height::MAX)).collect();
        let parent = BlockDigest::from_bytes([25; 32]);
        let phase = Phase::Ordering;
        state.apply(&Block { height, parent, phase, evidence: &evidence, expiries: &expiries })?;
    }
    Ok(state)
}
