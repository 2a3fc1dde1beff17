//! Why a block is refused.

use fairveil_crypto::{BundleId, ConsensusPublicKey, Digest, Height, KeyId, SequencerIndex};
use fairveil_ordering as ordering;
use fairveil_registry::change::ApprovalError;
use fairveil_registry::schedule::ScheduleError;

use super::anchors::AnchorFault;
use super::ending::EndingFault;
use crate::block::BlockError;
use crate::equivocation::EquivocationError;
use crate::header::HeaderFault;

/// Why a block is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// Bundles that have to be held; every other variant is for ever.
    #[error("{} bundles are missing, the first is {}", .0.len(), .0[0])]
    Missing(Vec<BundleId>),
    /// The header does not continue the chain.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// The leader is no member.
    #[error("leader {0} is no member")]
    Leader(ConsensusPublicKey),
    /// The evidence has no form or is not signed.
    #[error(transparent)]
    Evidence(#[from] ordering::EvidenceError),
    /// The evidence does not continue the logs.
    #[error(transparent)]
    Ordering(#[from] ordering::BlockError),
    /// New ids while intake is stopped.
    #[error("{ids} ids while {unreleased} heights wait for their release")]
    IntakeStopped {
        /// Ids in the evidence.
        ids: usize,
        /// Heights without a certified release.
        unreleased: u64,
    },
    /// Releases out of turn.
    #[error("release of height {actual}, the next one is of height {expected}")]
    ReleaseOrder {
        /// The height in the block.
        actual: Height,
        /// The oldest unreleased height.
        expected: Height,
    },
    /// A release without the views of followed rollups, too soon after its height.
    #[error(
        "height {height} of {of_ms} ms is released blindly at {actual_ms} ms, {needed_ms} ms is the first time"
    )]
    Blind {
        /// The height.
        height: Height,
        /// Its time.
        of_ms: u64,
        /// The time of the block that lists the release.
        actual_ms: u64,
        /// What it has to reach.
        needed_ms: u64,
    },
    /// A release root that this sequencer computed otherwise.
    #[error("release root of height {height} is {actual}, opening it gives {expected}")]
    ReleaseRoot {
        /// The height.
        height: Height,
        /// The root in the block.
        actual: Digest,
        /// The root computed here.
        expected: Digest,
    },
    /// An id that is sealed to another key.
    #[error("{id} is sealed to key {actual}, which is not active")]
    Key {
        /// The bundle.
        id: BundleId,
        /// Its key.
        actual: KeyId,
    },
    /// An id whose window does not contain the height, or reaches too far.
    #[error("{id} may be ordered at heights {valid_from} to {expires_at}, this is {height}")]
    Window {
        /// The bundle.
        id: BundleId,
        /// The first height of its window.
        valid_from: Height,
        /// The last one.
        expires_at: Height,
        /// The block's height.
        height: Height,
    },
    /// A proof of equivocation that proves nothing.
    #[error(transparent)]
    Votes(#[from] EquivocationError),
    /// A proof of a forked log that proves nothing.
    #[error(transparent)]
    Log(#[from] ordering::EquivocationError),
    /// A proof against somebody who is convicted already.
    #[error("sequencer {0} is convicted already")]
    Convicted(SequencerIndex),
    /// The approvals of a change of the rollups do not approve it.
    #[error("a change of the rollups: {0}")]
    Approval(#[from] ApprovalError),
    /// A change of the rollups that can't be announced.
    #[error("a change of the rollups: {0}")]
    Schedule(#[from] ScheduleError),
    /// An anchor of a followed rollup that the block may not carry.
    #[error("an anchor: {0}")]
    Anchor(#[from] AnchorFault),
    /// What the block says of the next epoch.
    #[error("the end of the epoch: {0}")]
    Ending(#[from] EndingFault),
    /// Something else, where a proof of equivocation is asked for.
    #[error("the entry is no proof of equivocation")]
    NoProof,
}

impl BlockFault {
    /// The sequencer whose fragment is at fault, if it is one's alone: a leader leaves it out.
    #[must_use]
    pub fn blamed(&self) -> Option<SequencerIndex> {
        use ordering::{BlockError, EvidenceError, OrderError};
        match self {
            Self::Evidence(
                EvidenceError::Unsorted { sequencer }
                | EvidenceError::UnknownSequencer { sequencer, .. }
                | EvidenceError::Epoch { sequencer, .. }
                | EvidenceError::Signature { sequencer },
            )
            | Self::Ordering(
                BlockError::Form(EvidenceError::Unsorted { sequencer })
                | BlockError::Length { sequencer, .. }
                | BlockError::Chain { sequencer, .. }
                | BlockError::Order(
                    OrderError::UnknownSequencer { sequencer, .. }
                    | OrderError::DuplicateSequencer { sequencer }
                    | OrderError::RepeatedId { sequencer, .. }
                    | OrderError::LogFull { sequencer, .. },
                ),
            ) => Some(*sequencer),
            _ => None,
        }
    }
}

/// Why a body makes no child.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The body breaks a rule.
    #[error(transparent)]
    Fault(#[from] BlockFault),
    /// The block would not be well-formed.
    #[error(transparent)]
    Block(#[from] BlockError),
}
