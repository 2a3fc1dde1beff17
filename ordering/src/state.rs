//! The state of one epoch's order: committed log heads above [`FairOrder`].
//!
//! A validator that gets a block:
//!
//! ```text
//! state.verify(&packed, keys)                     form and signatures, once
//! state.validate(height, &evidence)               does it continue what is committed?
//! state.would_reach_edge(&evidence)               hold these bundles, else fetch and stay pending
//! let mut next = state.clone(); next.apply(..)    O(1) to clone; then vote, or forget `next`
//! ```
//!
//! 1. A fragment continues the committed log of its sequencer exactly: as many ids as the length
//!    grew by, and the chain over them ends at the signed head.
//! 2. A block carries fresh heads of at least n - f sequencers: height - W <= height_seen <
//!    height. Others are admitted and don't count.
//! 3. A refused block changes nothing.
//! 4. Two states with equal digests continue equally.

use std::collections::BTreeMap;

use fairveil_crypto::{
    BlockDigest, BundleId, Digest, Epoch, Height, NetworkId, SequencerIndex,
    domain::{Tag, hash},
    encoding::encode,
};
use thiserror::Error;

use crate::{
    committee::Committee,
    evidence::{EvidenceError, Fragment, VerifiedEvidence},
    log::{LogName, Tip},
    order::FairOrder,
    rules::FRESH_HEIGHTS,
    step::{Appended, Mode, OrderError, Output, Phase, Status, Step},
};

/// The input of one block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its height.
    pub height: Height,
    /// Its parent, which breaks ties.
    pub parent: BlockDigest,
    /// What the block may do.
    pub phase: Phase,
    /// Its evidence.
    pub evidence: &'a VerifiedEvidence,
    /// `expires_at` of at least the ids of [`State::would_reach_edge`].
    pub expiries: &'a BTreeMap<BundleId, Height>,
}

/// Why a block is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlockError {
    /// A head of an epoch that this state does not order.
    #[error("evidence of epoch {actual}, the state is of epoch {expected}")]
    Epoch {
        /// The state's.
        expected: Epoch,
        /// The evidence's.
        actual: Epoch,
    },
    /// The ids do not lead from the committed length to the head's.
    #[error(
        "sequencer {sequencer}: {actual} ids, from length {committed} to {length} \
         it is another number"
    )]
    Length {
        /// Whose log.
        sequencer: SequencerIndex,
        /// Entries before the block.
        committed: u64,
        /// Entries that the head says.
        length: u64,
        /// Ids in the fragment.
        actual: usize,
    },
    /// The chain over the ids does not end at the head.
    #[error("sequencer {sequencer}: the chain ends at {actual}, its head says {head}")]
    Chain {
        /// Whose log.
        sequencer: SequencerIndex,
        /// What the head says.
        head: Digest,
        /// Where the ids lead.
        actual: Digest,
    },
    /// Too few sequencers have signed lately.
    #[error("fresh heads of {actual} sequencers, {needed} are needed")]
    TooFewFresh {
        /// Fresh ones.
        actual: usize,
        /// n - f.
        needed: u16,
    },
    /// A form that no block has.
    #[error(transparent)]
    Form(#[from] EvidenceError),
    /// What the entries say.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Proposals are pending, and an epoch ends only without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{ids} ids are pending")]
pub struct StillPending {
    /// How many.
    pub ids: usize,
}

/// The order of one epoch. A clone shares everything with its original.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) network_id: NetworkId,
    pub(crate) epoch: Epoch,
    pub(crate) heads: Vec<Digest>,
    pub(crate) order: FairOrder,
}

impl State {
    /// Empty logs of a network's first epoch; the first block has height `height` + 1.
    pub fn new(
        network_id: NetworkId,
        epoch: Epoch,
        committee: Committee,
        mode: Mode,
        height: Height,
    ) -> Self {
        let heads = starts(network_id, epoch, committee);
        Self { network_id, epoch, heads, order: FairOrder::new(committee, mode, height) }
    }

    /// The epoch that follows, once nothing is pending: new logs, which begin with the ids
    /// that were not proposed, in this order; what is settled stays settled.
    pub fn next_epoch(&self, committee: Committee) -> Result<(Self, Vec<BundleId>), StillPending> {
        let pending = self.order.pending().len();
        if pending > 0 {
            return Err(StillPending { ids: pending });
        }
        let epoch = self.epoch.next();
        let heads = starts(self.network_id, epoch, committee);
        let order = self.order.next_epoch(committee);
        let next = Self { network_id: self.network_id, epoch, heads, order };
        Ok((next, self.order.unproposed()))
    }

    /// The network.
    pub fn network_id(&self) -> NetworkId {
        self.network_id
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Entries, statuses and what is pending.
    pub fn order(&self) -> &FairOrder {
        &self.order
    }

    /// Where a status API finds an id.
    pub fn status(&self, id: &BundleId) -> Status {
        self.order.status(id)
    }

    /// The committed log of a sequencer; fragments begin here.
    pub fn committed(&self, sequencer: SequencerIndex) -> Option<Tip> {
        let head = *self.heads.get(sequencer.position())?;
        Some(Tip { length: self.order.length(sequencer), head })
    }

    /// Whether the evidence continues this state at this height. Expiries are not asked for.
    pub fn validate(&self, height: Height, evidence: &VerifiedEvidence) -> Result<(), BlockError> {
        self.check_heads(height, evidence)?;
        Ok(self.order.validate(height, &appended(evidence), evidence.list())?)
    }

    /// Ids of which the full, intrinsically valid bundle must be held before this evidence is
    /// voted for; their expiries go into [`Block`].
    pub fn would_reach_edge(&self, evidence: &VerifiedEvidence) -> Vec<BundleId> {
        self.order.would_reach_edge(&appended(evidence), evidence.list())
    }

    /// Applies a block, or refuses it and changes nothing.
    pub fn apply(&mut self, block: &Block<'_>) -> Result<Output, BlockError> {
        self.check_heads(block.height, block.evidence)?;
        let output = self.order.apply(&Step {
            height: block.height,
            seed: Digest::from_bytes(*block.parent.as_bytes()),
            phase: block.phase,
            appended: &appended(block.evidence),
            list: block.evidence.list(),
            expiries: block.expiries,
        })?;
        for fragment in block.evidence.fragments() {
            self.heads[fragment.head.sequencer.position()] = fragment.head.head;
        }
        Ok(output)
    }

    /// Digest of everything that the continuation depends on.
    pub fn digest(&self) -> Digest {
        let head = encode(&(self.network_id, self.epoch, &self.heads));
        hash(Tag::OrderState, &[&head, self.order.digest().as_bytes()])
    }

    /// Whether a fragment goes from the committed log to its head.
    pub(crate) fn check_continues(&self, fragment: &Fragment) -> Result<(), BlockError> {
        let (head, actual) = (&fragment.head, fragment.ids.len());
        let sequencer = head.sequencer;
        if head.epoch != self.epoch {
            let (expected, actual) = (self.epoch, head.epoch);
            return Err(BlockError::Epoch { expected, actual });
        }
        let n = self.order.committee().n();
        let committed =
            self.committed(sequencer).ok_or(OrderError::UnknownSequencer { sequencer, n })?;
        if committed.length.checked_add(actual as u64) != Some(head.length) {
            let (committed, length) = (committed.length, head.length);
            return Err(BlockError::Length { sequencer, committed, length, actual });
        }
        let actual = committed.after_entries(&fragment.ids, &fragment.times_ms).head;
        if actual != head.head {
            return Err(BlockError::Chain { sequencer, head: head.head, actual });
        }
        Ok(())
    }

    fn check_heads(&self, height: Height, evidence: &VerifiedEvidence) -> Result<(), BlockError> {
        evidence.fragments().iter().try_for_each(|fragment| self.check_continues(fragment))?;
        let actual = fresh_times_ms(height, evidence).len();
        let needed = self.order.committee().quorum();
        if actual < usize::from(needed) {
            return Err(BlockError::TooFewFresh { actual, needed });
        }
        Ok(())
    }
}

/// The lower median of the fresh heads' clocks: a block's time is the larger of this and its
/// parent's time plus one. None without any fresh head.
pub fn median_time_ms(height: Height, evidence: &VerifiedEvidence) -> Option<u64> {
    let mut times = fresh_times_ms(height, evidence);
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

fn fresh_times_ms(height: Height, evidence: &VerifiedEvidence) -> Vec<u64> {
    let heads = evidence.fragments().iter().map(|fragment| &fragment.head);
    heads.filter(|head| head.is_fresh(height, FRESH_HEIGHTS)).map(|head| head.time_ms).collect()
}

fn appended(evidence: &VerifiedEvidence) -> Vec<Appended<'_>> {
    let fragments = evidence.fragments().iter();
    fragments
        .map(|fragment| Appended {
            sequencer: fragment.head.sequencer,
            ids: &fragment.ids,
            times_ms: &fragment.times_ms,
            clock_ms: fragment.head.time_ms,
        })
        .collect()
}

fn starts(network_id: NetworkId, epoch: Epoch, committee: Committee) -> Vec<Digest> {
    SequencerIndex::all(committee.n())
        .map(|sequencer| LogName { network_id, epoch, sequencer }.start().head)
        .collect()
}
