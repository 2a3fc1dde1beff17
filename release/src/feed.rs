//! What members of a network and those who join it say to each other while a resharing runs: who joins
//! has no chain yet, and its part of the ceremony is on it.

use fairveil_crypto::Digest;
use serde::{Deserialize, Serialize};

/// Bytes of entries in one message, unless the first alone is longer.
pub const FEED_BYTES: usize = 40 << 10;

/// A message about the resharing that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedMessage {
    /// The sender asks for the agreed entries from this number on.
    Ask {
        /// From 0.
        from: u64,
    },
    /// How far the resharing is at the sender, with entries from some number on.
    Agreed(AgreedPart),
    /// No resharing is open at the sender.
    Nothing,
    /// Who joins wants this entry agreed.
    Post(Vec<u8>),
}

/// How far a resharing is at a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedPart {
    /// The ceremony.
    pub ceremony: Digest,
    /// Its round.
    pub round: u64,
    /// How many entries are agreed.
    pub count: u64,
    /// The running hash over all of them.
    pub history: Digest,
    /// The number of the first entry here.
    pub from: u64,
    /// Entries, in order.
    pub entries: Vec<Vec<u8>>,
}
