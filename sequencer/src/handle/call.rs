//! Questions that go through the sequencer's own task.

use std::net::IpAddr;

use fairveil_consensus::Resharing;
use fairveil_crypto::{BundleId, Height, SequencerIndex, envelope::Payer};
use fairveil_mempool::{Receipt, Rejection};
use fairveil_release::change::ApprovedChange;
use futures::channel::oneshot;

use crate::{
    record::BundleState,
    renewal::Progress,
    rollups::{ChangeRefused, ChangeState},
    store::StoreError,
};

/// Calls that wait for the sequencer's task.
pub(crate) const MAX_CALLS: usize = 4_096;

/// One question to the sequencer's task.
pub(crate) enum Call {
    /// Admit these bytes.
    Submit {
        /// The sealed bundle.
        sealed: Vec<u8>,
        /// Who sent it.
        address: IpAddr,
        /// Who else is sent the same bytes.
        addressed: Vec<SequencerIndex>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Receipt, Rejection>>,
    },
    /// Keep this change of the rollups for a block.
    ChangeRegistry {
        /// The change.
        change: Box<ApprovedChange>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<ChangeState, ChangeRefused>>,
    },
    /// Have this resharing announced.
    Offer {
        /// The resharing.
        resharing: Box<Resharing>,
        /// Where the answer goes: accepted, or why not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// How far the resharing is that is under way.
    Renewal {
        /// Where the answer goes; none if none is.
        reply: oneshot::Sender<Option<Progress>>,
    },
    /// Where a bundle stands that isn't ordered.
    Pending {
        /// The bundle.
        id: BundleId,
        /// Where the answer goes.
        reply: oneshot::Sender<BundleState>,
    },
    /// What a payer has.
    Balance {
        /// The payer.
        payer: Payer,
        /// Where the answer goes; none if nothing is charged.
        reply: oneshot::Sender<Option<Balance>>,
    },
}

/// What a payer has after a final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What it has.
    pub balance: u128,
    /// What a bundle costs per byte of its size class.
    pub fee_per_byte: u64,
    /// The block.
    pub height: Height,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The sequencer has stopped.
    #[error("the sequencer has stopped")]
    Stopped,
    /// Too many calls wait already.
    #[error("{} calls wait already", MAX_CALLS)]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
