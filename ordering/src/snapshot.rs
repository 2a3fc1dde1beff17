//! The state as bytes.
//!
//! 1. The bytes are a function of the state alone: ids ascend, what follows from the rest is left
//!    out, and `restore` accepts no other bytes. `restore(snapshot(s))` has s' digest and bytes.
//! 2. `restore` judges form, not truth: whoever takes a snapshot from another compares the digest
//!    of what it restored with a certified one.
//! 3. Outside of mode `median` no two live ids stand at one position of a log.

use std::{collections::BTreeMap, sync::Arc};

use fairveil_crypto::{
    BundleId, Digest, Epoch, Height, NetworkId, SequencerIndex,
    encoding::{DecodeError, decode, encode},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    committee::{Committee, CommitteeError},
    order::FairOrder,
    proposal::{Proposal, ProposalRecord},
    record::{ABSENT, Live, Settled},
    state::State,
    step::Mode,
};

/// A snapshot above this size is not read.
pub const MAX_SNAPSHOT_BYTES: usize = 256 << 20;

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// Not the encoding of any snapshot.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Numbers that are no committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// A number of logs that is not the committee's.
    #[error("{actual} logs of {n} sequencers")]
    Logs {
        /// Logs.
        actual: usize,
        /// The committee's size.
        n: u16,
    },
    /// Ids out of order or twice, or a record that no sequence of blocks makes.
    #[error("the record of {id} is impossible")]
    Record {
        /// The id.
        id: BundleId,
    },
    /// A proposal that no sequence of blocks makes.
    #[error("proposal {position} of the pending ones is impossible")]
    Proposal {
        /// From 0.
        position: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    network_id: NetworkId,
    epoch: Epoch,
    committee: Committee,
    mode: Mode,
    height: Height,
    heads: Vec<Digest>,
    lengths: Vec<u64>,
    clocks: Vec<u64>,
    proposals: u64,
    live: Vec<(BundleId, Live)>,
    settled: Vec<(BundleId, Settled)>,
    pending: Vec<ProposalRecord>,
}

impl State {
    /// Canonical bytes of the state.
    pub fn snapshot(&self) -> Vec<u8> {
        let order = &self.order;
        encode(&Snapshot {
            network_id: self.network_id,
            epoch: self.epoch,
            committee: order.committee,
            mode: order.mode,
            height: order.height,
            heads: self.heads.clone(),
            lengths: order.lengths.clone(),
            clocks: order.clocks.clone(),
            proposals: order.proposals,
            live: order.live.iter().map(|(id, live)| (*id, live.clone())).collect(),
            settled: order.settled.iter().map(|(id, settled)| (*id, *settled)).collect(),
            pending: order.pending.iter().map(Proposal::record).collect(),
        })
    }

    /// The state of [`Self::snapshot`].
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let snapshot: Snapshot = decode(bytes, MAX_SNAPSHOT_BYTES)?;
        let numbers = snapshot.committee;
        let committee = Committee::new(numbers.n(), numbers.f(), numbers.g())?;
        for actual in [snapshot.heads.len(), snapshot.lengths.len()] {
            if actual != usize::from(committee.n()) {
                return Err(RestoreError::Logs { actual, n: committee.n() });
            }
        }
        let mut order = FairOrder::new(committee, snapshot.mode, snapshot.height);
        if snapshot.clocks.len() != order.clocks.len() {
            return Err(RestoreError::Logs { actual: snapshot.clocks.len(), n: committee.n() });
        }
        order.lengths = snapshot.lengths;
        order.clocks = snapshot.clocks;
        order.proposals = snapshot.proposals;
        restore_settled(&mut order, snapshot.settled)?;
        restore_live(&mut order, snapshot.live)?;
        restore_pending(&mut order, snapshot.pending)?;
        let (network_id, epoch, heads) = (snapshot.network_id, snapshot.epoch, snapshot.heads);
        Ok(Self { network_id, epoch, heads, order })
    }
}

fn restore_settled(
    order: &mut FairOrder,
    settled: Vec<(BundleId, Settled)>,
) -> Result<(), RestoreError> {
    let mut previous = None;
    for (id, record) in settled {
        if previous >= Some(id) || !record.logs.within(order.committee.n()) {
            return Err(RestoreError::Record { id });
        }
        previous = Some(id);
        order.settled.insert(id, record);
    }
    Ok(())
}

fn restore_live(order: &mut FairOrder, live: Vec<(BundleId, Live)>) -> Result<(), RestoreError> {
    let edge = order.thresholds().edge;
    let mut arrivals: BTreeMap<Height, Vec<BundleId>> = BTreeMap::new();
    let mut previous = None;
    for (id, record) in live {
        if previous >= Some(id) || order.settled.get(&id).is_some() || !possible(order, &record) {
            return Err(RestoreError::Record { id });
        }
        previous = Some(id);
        if record.count < edge {
            arrivals.entry(record.first_height).or_default().push(id);
            for sequencer in SequencerIndex::all(order.committee.n()) {
                order.below_edge[sequencer.position()] += u32::from(record.is_in(sequencer));
            }
        }
        order.live.insert(id, record);
    }
    if order.mode != Mode::Median
        && let Some(id) = at_one_position(order)
    {
        return Err(RestoreError::Record { id });
    }
    order.arrivals = arrivals.into_iter().map(|(height, ids)| (height, Arc::new(ids))).collect();
    Ok(())
}

/// A live id that stands in some log where another one stands.
fn at_one_position(order: &FairOrder) -> Option<BundleId> {
    (0..order.lengths.len()).find_map(|log| {
        let positions = order.live.iter().map(|(id, live)| (live.positions[log], *id));
        let mut taken: Vec<_> = positions.filter(|(position, _)| *position != ABSENT).collect();
        taken.sort_unstable();
        taken.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1)
    })
}

fn possible(order: &FairOrder, record: &Live) -> bool {
    let positions = &record.positions;
    let present = positions.iter().filter(|position| **position != ABSENT).count();
    positions.len() == usize::from(order.committee.n())
        && present == usize::from(record.count)
        && present > 0
        && record.first_height <= order.height
        && (record.count < order.thresholds().edge || record.expires_at.is_some())
        && within(order, positions)
        && (order.mode != Mode::Median
            || record.proposal.is_none()
            || record.count >= order.committee.quorum())
}

/// Whether each log is so long, or its clock so late.
fn within(order: &FairOrder, positions: &[u64]) -> bool {
    let lengths = positions.iter().zip(&order.lengths);
    let mut clocks = positions.iter().zip(&order.clocks);
    match order.mode {
        Mode::Median => clocks.all(|(time, clock)| *time == ABSENT || time <= clock),
        _ => lengths.clone().all(|(position, length)| *position == ABSENT || position < length),
    }
}

/// Pending ids are live and know their proposal, and the other way round.
fn restore_pending(
    order: &mut FairOrder,
    pending: Vec<ProposalRecord>,
) -> Result<(), RestoreError> {
    let mut claimed = 0;
    let mut next = 0;
    for (position, record) in pending.into_iter().enumerate() {
        let proposal = Proposal::restored(record);
        let proposal = proposal.ok_or(RestoreError::Proposal { position })?;
        let number = proposal.number;
        let known =
            |id: BundleId| order.live.get(&id).is_some_and(|live| live.proposal == Some(number));
        let remaining = proposal.remaining().count();
        if number < next
            || number >= order.proposals
            || remaining == 0
            || !proposal.remaining().all(known)
        {
            return Err(RestoreError::Proposal { position });
        }
        claimed += remaining;
        next = number + 1;
        order.pending.push_back(proposal);
    }
    if order.mode == Mode::Median {
        return match order.pending.is_empty() {
            true => Ok(()),
            false => Err(RestoreError::Proposal { position: 0 }),
        };
    }
    let mut claims = order.live.iter().filter(|(_, live)| live.proposal.is_some());
    if let Some((id, _)) = claims.nth(claimed) {
        return Err(RestoreError::Record { id: *id });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        Appended, Phase, Step,
        naive::{bundle_id, seed},
    };

    /// Three live ids in two of five logs, at positions 0 to 2 of each.
    fn state(mode: Mode) -> State {
        let committee = Committee::new(5, 1, 0).unwrap();
        let network_id = NetworkId::from_bytes([1; 32]);
        let mut state = State::new(network_id, Epoch::new(0), committee, mode, Height::ZERO);
        let ids: Vec<BundleId> = (0..3).map(|id| bundle_id(1, id)).collect();
        let median = mode == Mode::Median;
        let (times_ms, clock_ms): (&[u64], _) = if median { (&[7, 8, 9], 9) } else { (&[], 0) };
        let appended: Vec<Appended<'_>> = SequencerIndex::all(2)
            .map(|sequencer| Appended { sequencer, ids: &ids, times_ms, clock_ms })
            .collect();
        let expiries = ids.iter().map(|id| (*id, Height::MAX)).collect();
        let step = Step {
            height: Height::new(1),
            seed: seed(1),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        state.order.apply(&step).unwrap();
        state
    }

    #[test]
    fn two_ids_at_one_position_of_a_log_are_no_snapshot_but_by_median() {
        for mode in [Mode::Strict, Mode::Themis, Mode::Leader, Mode::Median] {
            let bytes = state(mode).snapshot();
            assert_eq!(State::restore(&bytes).unwrap().snapshot(), bytes);
            let mut snapshot: Snapshot = decode(&bytes, MAX_SNAPSHOT_BYTES).unwrap();
            let [first, _, last] = &mut snapshot.live[..] else { unreachable!("three are live") };
            last.1.positions[1] = first.1.positions[1];
            let id = last.0;
            let restored = State::restore(&encode(&snapshot));
            match mode {
                Mode::Median => assert!(restored.is_ok(), "two ids may come in one millisecond"),
                _ => assert_eq!(restored.err(), Some(RestoreError::Record { id }), "{mode:?}"),
            }
        }
    }
}
