//! The end of an epoch, as blocks say it: a resharing is announced, its entries are agreed, a quorum
//! that has its result hands the chain over.
//!
//! ```text
//! Resharing ── entries of its ceremony ── Handover ── boundary ── draining ── end ── next epoch
//!     └── failed: another one, of another round
//! ```

use fairveil_crypto::{ConsensusPublicKey, Digest, Epoch, Height, KeyId};
use fairveil_ordering::Committee;
use serde::{Deserialize, Serialize};

/// Bytes of a definition with its approvals.
pub const MAX_DEFINITION_BYTES: usize = 64 << 10;
/// Heights from a handover to the last one that proposes, at least: so long it may take until every
/// member has it.
pub const HANDOVER_HEIGHTS: u64 = 32;
/// Resharings that may be announced in one epoch.
pub const MAX_RESHARINGS: usize = 1_024;

/// A resharing begins: an approved definition of the next epoch and a round, opaque here. Whoever
/// votes for it accepts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resharing {
    /// The id of the ceremony: of the definition and the round.
    pub ceremony: Digest,
    /// The round.
    pub round: u64,
    /// The height after which the definition wants nothing new to be proposed.
    pub boundary: Height,
    /// The approved definition.
    pub definition: Vec<u8>,
}

/// Who takes over, as the result of a resharing says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// The ceremony that made its shares.
    pub ceremony: Digest,
    /// The consensus keys, by index.
    pub keys: Vec<ConsensusPublicKey>,
    /// Liars that its fair order tolerates.
    pub f: u16,
    /// Honest disagreement that it tolerates.
    pub g: u16,
    /// The committee key.
    pub key_id: KeyId,
    /// The digest of the transcript.
    pub transcript: Digest,
}

/// The epoch ends: a quorum has the result of the resharing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The next epoch.
    pub epoch: Epoch,
    /// The last height at which this one proposes.
    pub boundary: Height,
    /// Who takes over.
    pub successor: Successor,
}

impl Successor {
    /// The numbers of its fair order, if they and the keys make a committee.
    #[must_use]
    pub fn committee(&self) -> Option<Committee> {
        let n = u16::try_from(self.keys.len()).ok()?;
        let committee = Committee::new(n, self.f, self.g).ok()?;
        crate::committee::Members::new(&self.keys).ok()?;
        Some(committee)
    }
}
