//! What sequencers say to each other about a resharing: who joins with the next epoch is no member of
//! the running one, asks its members for the agreed entries, and has its own agreed by them. Who
//! missed the resharing of the running epoch asks for its entries later.

use fairveil_crypto::{Digest, Epoch, Height};
use serde::{Deserialize, Serialize};

/// Entries in one answer, at most.
pub const MAX_ENTRIES: usize = 64;
/// Bytes of entries in one answer, at most, unless the first one alone is longer.
pub const MAX_ENTRIES_BYTES: usize = 64 << 10;

/// A message about a resharing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedMessage {
    /// The sender asks for entries of the newest resharing, from this one on.
    Ask {
        /// The number of the first one that is wanted, from 0.
        from: u32,
    },
    /// The entries that are agreed here.
    Entries(FeedEntries),
    /// No resharing was ever announced here.
    None,
    /// The sender asks what was announced: the newest resharing.
    AskAnnounced,
    /// The newest resharing.
    Announced(FeedAnnouncement),
    /// The sender, a member of the next epoch, wants this entry agreed.
    Post {
        /// The ceremony.
        ceremony: Digest,
        /// The entry.
        entry: Vec<u8>,
    },
}

/// Agreed entries of a resharing, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEntries {
    /// The epoch that the resharing makes.
    pub epoch: Epoch,
    /// The ceremony.
    pub ceremony: Digest,
    /// Its round.
    pub round: u64,
    /// The number of the first entry.
    pub from: u32,
    /// The entries.
    pub entries: Vec<Vec<u8>>,
}

/// What a final block announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedAnnouncement {
    /// The ceremony.
    pub ceremony: Digest,
    /// Its round.
    pub round: u64,
    /// The height after which the old committee proposes nothing new.
    pub boundary: Height,
    /// The definition with its approvals.
    pub definition: Vec<u8>,
}
