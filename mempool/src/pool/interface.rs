//! What goes into a pool and what comes out: plain values.

use std::net::IpAddr;

use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::{Payer, VerifiedBundle};
use fairveil_crypto::{BundleId, Epoch, Height, NetworkId, SequencerIndex};
use serde::{Deserialize, Serialize};

use super::funds::Funds;
use super::quota::Source;
use super::verification::{VerificationJob, VerificationResult};
use crate::limits::Limits;
use crate::message::BundleMessage;
use crate::receipt::ReceiptBody;
use crate::rejection::Rejection;

/// Whose pool it is, and what it admits.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The network.
    pub network_id: NetworkId,
    /// The epoch of the order log.
    pub epoch: Epoch,
    /// This sequencer.
    pub sequencer: SequencerIndex,
    /// Sequencers of the committee, n.
    pub members: u16,
    /// The active committee key.
    pub key: CommitteeKey,
    /// The key before it, while both are active.
    pub older_key: Option<CommitteeKey>,
    /// The bounds.
    pub limits: Limits,
    /// What bundles cost; none if nothing is charged.
    pub funds: Option<Funds>,
}

/// A caller's name for a trader's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A trader sent a sealed bundle.
    Submitted {
        /// To be answered.
        request: RequestId,
        /// The trader's address.
        address: IpAddr,
        /// Sequencers that the trader says it sends the same bytes to.
        addressed: Vec<SequencerIndex>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A peer sent a message.
    Received {
        /// The sender.
        peer: SequencerIndex,
        /// The decoded message.
        message: BundleMessage,
    },
    /// A job is done.
    Verified(VerificationResult),
    /// A proposal that waits, or an order that is to be opened, needs these bundles.
    Needed {
        /// Their ids.
        ids: Vec<BundleId>,
    },
    /// A block is final.
    Finalized(FinalizedBlock),
    /// How far this sequencer is behind: in blocks, or in opening them.
    Lagging {
        /// Heights.
        blocks: u64,
    },
    /// A peer can be reached.
    PeerConnected {
        /// The peer.
        peer: SequencerIndex,
    },
    /// A peer cannot be reached any more.
    PeerDisconnected {
        /// The peer.
        peer: SequencerIndex,
    },
    /// Time passed.
    Tick,
}

/// What a final block means to the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalizedBlock {
    /// Its height.
    pub height: Height,
    /// Ids that reached T committed logs with it, or, now and then, all that must be reported.
    pub duty: Vec<BundleId>,
    /// Ids at their final place, in order.
    pub emitted: Vec<EmittedBundle>,
    /// Entries of this sequencer's log that final blocks contain.
    pub committed: u64,
    /// Of these, live ids that stand in fewer than T logs.
    pub below_edge: u32,
    /// The balances that it changed, where bundles are charged.
    pub balances: Vec<(Payer, u128)>,
}

/// A bundle at its final place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmittedBundle {
    /// Its id.
    pub id: BundleId,
    /// The end of its window.
    pub expires_at: Height,
    /// Its payer.
    pub payer: Payer,
    /// Its payer's nonce, consumed now.
    pub payer_nonce: u64,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Output {
    /// Answer a trader's request.
    Reply {
        /// The request.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Hand a message to the queues of connected peers.
    Send {
        /// The peers.
        to: Vec<SequencerIndex>,
        /// The message.
        message: BundleMessage,
    },
    /// Send a peer the stored bundle, as [`BundleMessage::Relay`].
    Serve {
        /// The peer.
        to: SequencerIndex,
        /// The bundle.
        id: BundleId,
    },
    /// Run a job and hand its result in.
    Verify(VerificationJob),
    /// Store a bundle.
    Persist(StoredBundle),
    /// Store the receipt of a bundle that is held back.
    PersistReceipt(ReceiptBody),
    /// Append to the own order log, and store it.
    Append(LogEntry),
    /// A bundle is held: what waited for it can go on.
    Held {
        /// Its id.
        id: BundleId,
        /// The bundle.
        bundle: VerifiedBundle,
    },
    /// A peer asked for bundles that the pool does not keep: send those that were archived, and
    /// say of the others that they are absent.
    ServeOld {
        /// The peer.
        to: SequencerIndex,
        /// The bundles.
        ids: Vec<BundleId>,
    },
    /// A stored bundle leaves the pool for good: into the archive, from which whoever applies old
    /// blocks later gets it.
    Archive {
        /// Its id.
        id: BundleId,
    },
    /// A peer relayed what no honest sequencer relays.
    Fault {
        /// The peer.
        peer: SequencerIndex,
        /// The rule that the bytes break.
        fault: Rejection,
    },
}

impl Output {
    /// Whether it is a write to the store, before which nothing later may be promised.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        matches!(
            self,
            Self::Persist(_) | Self::PersistReceipt(_) | Self::Append(_) | Self::Archive { .. }
        )
    }
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Admitted: to be signed and sent.
    Receipt(ReceiptBody),
    /// Not admitted.
    Rejected(Rejection),
}

/// A held bundle as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBundle {
    /// Its id.
    pub id: BundleId,
    /// Its rank among all that were held.
    pub acceptance: u64,
    /// Who is charged for it.
    pub charged: Option<Source>,
    /// The sealed bundle.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
}

/// An entry of the own order log as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its position, from 0.
    pub position: u64,
    /// The id.
    pub id: BundleId,
    /// The receipt that is given for it.
    pub receipt: ReceiptBody,
}

/// Limits that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits of the pool: {0}")]
pub struct LimitsError(pub &'static str);

/// How full the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bundles in memory.
    pub held: usize,
    /// Of these, admitted by choice.
    pub admitted: u64,
    /// Bytes of the latter.
    pub admitted_bytes: u64,
    /// Held bundles that wait for their window or for the log.
    pub held_back: usize,
    /// Ids that are remembered.
    pub ids: usize,
    /// Bundles in verification.
    pub verifying: usize,
    /// Bundles that are wanted from peers.
    pub wanted: usize,
    /// Bundles that peers are being asked for.
    pub asking: usize,
    /// Ids that must be reported and are not held.
    pub duty: usize,
    /// Entries of the own log.
    pub log_length: u64,
    /// Entries of it that no final block contains.
    pub uncommitted: usize,
    /// Bundles of peers that were not taken in, since the start.
    pub refused_from_peers: u64,
    /// Fetches of peers that were not served, since the start.
    pub unserved: u64,
}
