//! How an epoch ends: a resharing, its handover, draining, the end, the tail, the next epoch.
//!
//! ```text
//! epoch digest = H(CHAIN-EPOCH, resharing, entries digest, ids of earlier ceremonies, handover)
//! origin       = H(EPOCH-ORIGIN, last block of the epoch before, transcript digest)      in the place
//!                of the parent of the next epoch's first block
//! ```
//!
//! # Invariants
//!
//! 1. At most one resharing is open. Another one takes its place, of a ceremony that was never
//!    announced in the epoch; after a handover none does.
//! 2. Entries are agreed between an announced resharing and its handover, in blocks above the one
//!    that announced it, as [`crate::entries`] says.
//! 3. A handover is of the open ceremony and the next epoch; its successor is a committee. Its
//!    boundary is the later of the definition's and [`HANDOVER_HEIGHTS`] above its block.
//! 4. Above the boundary nothing is proposed. The epoch ends with the first height at or above it at
//!    which nothing is pending and every height that emitted anything has its release certified: what
//!    an epoch ordered it also opens.
//! 5. What follows the end in the epoch is empty, changes no state and comes a millisecond after its
//!    parent: it only makes the end final.
//! 6. The next epoch goes on with what is settled: order, nonces, history, releases, balances,
//!    rollups, anchors. Logs, convictions and resharings begin anew.
//!
//! That a definition is approved, and that a successor is a resharing's result, is no rule of these:
//! it is what each voter knows ([`crate::host::Host::accepts_resharing`],
//! [`crate::host::Host::has_successor`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use fairveil_crypto::certificate::{Emission, result_root};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding::encode;
use fairveil_crypto::{BundleId, ConsensusPublicKey, Digest, Epoch, Height};
use fairveil_ordering::{Phase, StillPending, VerifiedEvidence};
use serde::{Deserialize, Serialize};

use super::{BlockFault, BlockOutput, ChainState, Checked, Effect, Parameters, ParametersError};
use crate::block::{Block, Body, SystemEntry};
use crate::chain::Tip;
use crate::entries::{AgreedEntries, EntriesFault};
use crate::epoch::{HANDOVER_HEIGHTS, Handover, MAX_RESHARINGS, Resharing, Successor};
use crate::header::ChainId;
use crate::host::OpenResharing;

/// Why what a block says of the next epoch makes it invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndingFault {
    /// The ceremony was announced before.
    #[error("ceremony {0} was announced before")]
    Announced(Digest),
    /// Not the round after the last one.
    #[error("round {actual} is announced, the next one is {expected}")]
    Round {
        /// The announced one.
        actual: u64,
        /// The next one.
        expected: u64,
    },
    /// Too many resharings.
    #[error("{MAX_RESHARINGS} resharings were announced in this epoch")]
    TooMany,
    /// Entries, or a handover, of a resharing that is not open.
    #[error("no resharing is open")]
    NotOpen,
    /// The epoch is handed over already.
    #[error("the epoch is handed over already")]
    HandedOver,
    /// An entry.
    #[error(transparent)]
    Entries(#[from] EntriesFault),
    /// A handover of another ceremony.
    #[error("a handover of ceremony {actual}, {expected} is open")]
    Ceremony {
        /// The handover's.
        actual: Digest,
        /// The open one.
        expected: Digest,
    },
    /// A handover to another epoch.
    #[error("a handover to epoch {actual}, the next one is {expected}")]
    Epoch {
        /// The handover's.
        actual: Epoch,
        /// The next one.
        expected: Epoch,
    },
    /// A handover at another boundary.
    #[error("a handover at height {actual}, the rule gives {expected}")]
    Boundary {
        /// The handover's.
        actual: Height,
        /// What the rule gives.
        expected: Height,
    },
    /// The successor's keys and numbers make no committee.
    #[error("the successor's keys and numbers make no committee")]
    Successor,
    /// Something in a block after the epoch's end.
    #[error("the epoch has ended, a block after it is empty")]
    Ended,
}

/// Why the next epoch can't begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextEpochError {
    /// The epoch has not ended.
    #[error("the epoch has not ended")]
    NotEnded,
    /// The order has not.
    #[error(transparent)]
    Pending(#[from] StillPending),
    /// The next committee's parameters contradict each other.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
}

/// What a block says of the next epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndingOutput {
    /// The resharing that it announces.
    pub resharing: Option<Resharing>,
    /// Entries of the open resharing, in order.
    pub entries: Vec<Vec<u8>>,
    /// The handover.
    pub handover: Option<Handover>,
}

/// How far the epoch is towards its end; a clone shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    resharing: Option<Arc<OpenResharing>>,
    /// Ceremonies that were announced before the open one.
    earlier: Arc<BTreeSet<Digest>>,
    handover: Option<Arc<Handover>>,
}

/// The same as bytes.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEnding {
    resharing: Option<OpenResharing>,
    earlier: BTreeSet<Digest>,
    handover: Option<Handover>,
}

impl Ending {
    pub(super) fn open(&self) -> Option<Arc<OpenResharing>> {
        self.resharing.clone()
    }

    pub(super) fn store(&self) -> StoredEnding {
        StoredEnding {
            resharing: self.resharing.as_deref().cloned(),
            earlier: BTreeSet::clone(&self.earlier),
            handover: self.handover.as_deref().cloned(),
        }
    }

    pub(super) fn restore(stored: StoredEnding) -> Self {
        Self {
            resharing: stored.resharing.map(Arc::new),
            earlier: Arc::new(stored.earlier),
            handover: stored.handover.map(Arc::new),
        }
    }

    pub(super) fn digest(&self) -> Digest {
        let (mut resharing, mut entries) = (Vec::new(), Vec::new());
        if let Some(open) = &self.resharing {
            resharing = encode(&(&open.resharing, open.since));
            entries = open.agreed.digest().to_bytes().to_vec();
        }
        let earlier: Vec<u8> = self.earlier.iter().flat_map(|id| id.to_bytes()).collect();
        let handover = self.handover.as_deref().map(encode).unwrap_or_default();
        hash(Tag::ChainEpoch, &[&resharing, &entries, &earlier, &handover])
    }

    /// The round after the one that was announced last.
    fn next_round(&self) -> u64 {
        self.resharing.as_ref().map_or(0, |open| open.resharing.round.saturating_add(1))
    }

    fn announce(&mut self, resharing: &Resharing, height: Height) -> Result<(), EndingFault> {
        if self.handover.is_some() {
            return Err(EndingFault::HandedOver);
        }
        let ceremony = resharing.ceremony;
        let open = self.resharing.as_ref().map(|open| open.resharing.ceremony);
        if open == Some(ceremony) || self.earlier.contains(&ceremony) {
            return Err(EndingFault::Announced(ceremony));
        }
        if resharing.round != self.next_round() {
            return Err(EndingFault::Round {
                actual: resharing.round,
                expected: self.next_round(),
            });
        }
        if self.earlier.len() >= MAX_RESHARINGS {
            return Err(EndingFault::TooMany);
        }
        Arc::make_mut(&mut self.earlier).extend(open);
        let agreed = AgreedEntries::new(&ceremony);
        let open = OpenResharing { resharing: resharing.clone(), since: height, agreed };
        self.resharing = Some(Arc::new(open));
        Ok(())
    }

    fn agree(&mut self, leader: ConsensusPublicKey, entries: &[&[u8]]) -> Result<(), EndingFault> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.handover.is_some() {
            return Err(EndingFault::HandedOver);
        }
        let open = self.resharing.as_mut().ok_or(EndingFault::NotOpen)?;
        Ok(Arc::make_mut(open).agreed.extend(leader, entries.iter().copied())?)
    }

    fn hand_over(
        &mut self,
        handover: &Handover,
        next: Epoch,
        height: Height,
    ) -> Result<(), EndingFault> {
        if self.handover.is_some() {
            return Err(EndingFault::HandedOver);
        }
        let open = &self.resharing.as_ref().ok_or(EndingFault::NotOpen)?.resharing;
        let (actual, expected) = (handover.successor.ceremony, open.ceremony);
        if actual != expected {
            return Err(EndingFault::Ceremony { actual, expected });
        }
        let (actual, expected) = (handover.epoch, next);
        if actual != expected {
            return Err(EndingFault::Epoch { actual, expected });
        }
        let (actual, expected) = (handover.boundary, boundary(open, height));
        if actual != expected {
            return Err(EndingFault::Boundary { actual, expected });
        }
        handover.successor.committee().ok_or(EndingFault::Successor)?;
        self.handover = Some(Arc::new(handover.clone()));
        Ok(())
    }
}

/// Where a handover in the block of this height ends the epoch at the earliest.
fn boundary(resharing: &Resharing, height: Height) -> Height {
    resharing.boundary.max(height.saturating_add(HANDOVER_HEIGHTS))
}

impl ChainState {
    /// The resharing that is open, with its entries.
    #[must_use]
    pub fn open_resharing(&self) -> Option<&OpenResharing> {
        self.ending.resharing.as_deref()
    }

    /// The handover, once a block has it.
    #[must_use]
    pub fn handover(&self) -> Option<&Handover> {
        self.ending.handover.as_deref()
    }

    /// Whether the epoch has ended with this block or an earlier one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.handover().is_some_and(|handover| {
            self.tip.height >= handover.boundary
                && self.emitting.is_empty()
                && self.ordering.order().pending().is_empty()
        })
    }

    /// Whether the next block may announce this resharing.
    #[must_use]
    pub fn may_announce(&self, resharing: &Resharing) -> bool {
        !self.has_ended() && self.ending.clone().announce(resharing, self.tip.height.next()).is_ok()
    }

    /// The round that may be announced next.
    #[must_use]
    pub fn next_round(&self) -> u64 {
        self.ending.next_round()
    }

    /// The handover to this successor that the next block may carry.
    #[must_use]
    pub fn handover_to(&self, successor: Successor) -> Option<Handover> {
        let (height, epoch) = (self.tip.height.next(), self.parameters.given.id.epoch.next());
        let boundary = boundary(&self.open_resharing()?.resharing, height);
        let handover = Handover { epoch, boundary, successor };
        self.ending.clone().hand_over(&handover, epoch, height).ok()?;
        Some(handover)
    }

    /// The first block of the next epoch and the state after it: a function of this one, which is
    /// that after the epoch's last block.
    ///
    /// # Errors
    ///
    /// If the epoch has not ended.
    pub fn next_epoch(&self) -> Result<(Block, Self), NextEpochError> {
        let handover = self.handover().filter(|_| self.has_ended());
        let Handover { epoch, successor, .. } = handover.ok_or(NextEpochError::NotEnded)?.clone();
        let given = self.parameters.given.clone();
        let id = ChainId { epoch, start: self.tip.height, ..given.id };
        let parameters = Parameters {
            id,
            committee: successor.committee().ok_or(NextEpochError::NotEnded)?,
            keys: successor.keys,
            active_keys: vec![successor.key_id],
            transcript: successor.transcript,
            ..given
        };
        let (ordering, _) = self.ordering.next_epoch(parameters.committee)?;
        let (transcript, first) = (parameters.transcript, parameters.keys[0]);
        let mut state = Self {
            parameters: Arc::new(Checked::new(parameters)?),
            ordering,
            bundles: Arc::default(),
            emitting: Arc::default(),
            convicted: BTreeSet::new(),
            ending: Ending::default(),
            ..self.clone()
        };
        let items: [&[u8]; 2] = [self.tip.digest.as_bytes(), transcript.as_bytes()];
        let origin = hash(Tag::EpochOrigin, &items);
        let root = state.idle_root(id.start);
        let block = id.genesis(origin, first, self.tip.time_ms, root);
        let block = block.map_err(ParametersError::from)?;
        state.tip = Tip::of(block.header());
        Ok((block, state))
    }

    /// Ids that the next epoch's logs begin with, at whoever holds them, in this order.
    #[must_use]
    pub fn unproposed(&self) -> Vec<BundleId> {
        self.ordering.order().unproposed()
    }

    /// What the block of this height may do.
    pub(super) fn phase(&self, height: Height) -> Phase {
        match self.handover() {
            Some(handover) if height > handover.boundary => Phase::Draining,
            _ => Phase::Ordering,
        }
    }

    /// The result root of a block that emits nothing.
    pub(super) fn idle_root(&self, height: Height) -> Digest {
        result_root(&Emission { height, cohorts: Vec::new() }, &self.digest())
    }

    /// Takes what a block of this leader says of the next epoch.
    pub(super) fn end_epoch(
        &mut self,
        leader: ConsensusPublicKey,
        system: &[SystemEntry],
    ) -> Result<EndingOutput, EndingFault> {
        let (height, next) = (self.tip.height.next(), self.parameters.given.id.epoch.next());
        let mut output = EndingOutput::default();
        let entries = system.iter().filter_map(|entry| match entry {
            SystemEntry::CeremonyEntry(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        let entries: Vec<&[u8]> = entries.collect();
        self.ending.agree(leader, &entries)?;
        output.entries = entries.into_iter().map(<[u8]>::to_vec).collect();
        for entry in system {
            match entry {
                SystemEntry::Resharing(resharing) => {
                    self.ending.announce(resharing, height)?;
                    output.resharing = Some(resharing.clone());
                }
                SystemEntry::Handover(handover) => {
                    self.ending.hand_over(handover, next, height)?;
                    output.handover = Some(handover.clone());
                }
                _ => {}
            }
        }
        Ok(output)
    }

    /// The effect of a block after the epoch's end.
    pub(super) fn tail(&self, body: &Body) -> Result<Effect, BlockFault> {
        if *body != Body::default() {
            return Err(EndingFault::Ended.into());
        }
        let emission = Emission { height: self.tip.height.next(), cohorts: Vec::new() };
        let output = BlockOutput { emission, ..BlockOutput::nothing(self.digest()) };
        let time_ms = self.tip.time_ms.saturating_add(1);
        Ok(Effect { state: self.clone(), output, time_ms })
    }
}

impl BlockOutput {
    fn nothing(state_digest: Digest) -> Self {
        Self {
            evidence: VerifiedEvidence::default(),
            emission: Emission { height: Height::ZERO, cohorts: Vec::new() },
            state_digest,
            released: Vec::new(),
            reached_edge: Vec::new(),
            convicted: Vec::new(),
            charges: Vec::new(),
            announced: Vec::new(),
            anchored: Vec::new(),
            ending: EndingOutput::default(),
        }
    }
}
