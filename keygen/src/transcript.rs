//! The transcript: one public JSON file that proves a committee key, offline and without keys.
//!
//! It holds the public side of everything that was agreed on: definition and approvals, dealings,
//! acknowledgements, dealer logs, the result, and the members' confirmations.
//! [`Transcript::verify`] believes none of it: it plays the entries through the same fold as the
//! members did and compares the result. Traders get the committee key from here alone.
//!
//! ```text
//! digest = hash(TRANSCRIPT, version, definition digest, round as 8 bytes big-endian,
//!               encode(dealings), encode(acknowledgements), encode(logs), encode(result))
//! ```
//!
//! Approvals and confirmations are not in the digest: it is one number for all members however
//! their signatures were gathered, and it stands in the genesis of the network's chain.
//!
//! # Invariants
//!
//! 1. A [`VerifiedTranscript`] only comes from a verification. All members approved its definition,
//!    its key, public key shares and key id are recomputed from the dealings and logs in it, and at
//!    least q = n - F members confirmed it, each saying that its share is safe.
//! 2. Every field is checked, and whatever is changed is refused with a reason that names it.
//! 3. No secret and no sealed dealing is in it, only the digest of the latter. The dealings that
//!    dealers revealed are: [`CeremonyResult::revealed`] names the members whose share follows from
//!    them, and [`CeremonyResult::effective_threshold`] what is left of t.

mod verify;

use fairveil_crypto::committee::Committee;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::encoding;
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{Digest, KeyId, SequencerIndex};
use serde::{Deserialize, Serialize};

pub use verify::{TranscriptError, VerifiedTranscript};

use crate::agreed::Agreed;
use crate::approval::Approval;
use crate::context::CeremonyContext;
use crate::definition::Proposal;
use crate::dkg::{LogFault, Outcome};
use crate::entry::{Acknowledgement, Confirmation, DealerLog, Dealing};

/// The version of this form of transcript.
pub const VERSION: u8 = 1;
/// The longest file in bytes: n = 128 takes about 9 MiB.
pub const MAX_BYTES: usize = 32 << 20;

/// A transcript as it is read: nothing in it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The form of the transcript: [`VERSION`].
    pub version: u8,
    /// The definition.
    pub definition: Proposal,
    /// All members' approvals, by index.
    pub approvals: Vec<Approval>,
    /// The round of the ceremony.
    pub round: u64,
    /// The dealings, by dealer.
    pub dealings: Vec<Dealing>,
    /// The acknowledgements, by dealer and player.
    pub acknowledgements: Vec<Acknowledgement>,
    /// The dealer logs, by dealer.
    pub logs: Vec<DealerLog>,
    /// What follows from the above.
    pub result: CeremonyResult,
    /// The digest of all of the above but the approvals.
    pub digest: Digest,
    /// The members' confirmations of the digest, by index.
    pub confirmations: Vec<Confirmation>,
}

/// What a ceremony made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyResult {
    /// P = 15!·f(0)·G.
    pub committee_key: PointBytes,
    /// Its id.
    pub key_id: KeyId,
    /// vk_i = f(i)·G, by index.
    pub public_key_shares: Vec<PointBytes>,
    /// The shares that suffice to open, t.
    pub threshold: u16,
    /// The dealers whose polynomials make up f.
    pub dealers: Vec<SequencerIndex>,
    /// The members whose share may have been revealed.
    pub revealed: Vec<SequencerIndex>,
    /// The secret shares that an adversary still needs: t without the revealed ones.
    pub effective_threshold: u16,
    /// Dealers whose dealing or log does not count, with the reason.
    pub faults: Vec<RecordedFault>,
}

/// A dealer whose dealing or log does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFault {
    /// The dealer.
    pub dealer: SequencerIndex,
    /// Why.
    pub fault: PublicFault,
}

/// What is wrong with a dealing or log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicFault {
    /// The commitment is no list of points.
    Commitment,
    /// The log does not count.
    Log(LogFault),
}

impl Transcript {
    /// Reads a transcript file.
    ///
    /// # Errors
    ///
    /// If it is too long or not JSON of a transcript.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TranscriptError> {
        if bytes.len() > MAX_BYTES {
            return Err(TranscriptError::TooLong { actual: bytes.len() });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The transcript as a file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("a transcript has no failing Serialize");
        json.push(b'\n');
        json
    }

    /// Verifies everything and recomputes the result.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold.
    pub fn verify(&self) -> Result<VerifiedTranscript, TranscriptError> {
        verify::verify(self)
    }

    /// The transcript of a ceremony that has a key, with the confirmations so far.
    pub(crate) fn of(agreed: &Agreed) -> Option<Self> {
        let (context, key) = (agreed.context(), agreed.key()?);
        Some(Self {
            version: VERSION,
            definition: context.definition().proposal().clone(),
            approvals: context.approved().approvals().to_vec(),
            round: context.round(),
            dealings: agreed.dealings().cloned().collect(),
            acknowledgements: agreed.acknowledgements().copied().collect(),
            logs: agreed.logs().cloned().collect(),
            result: key.result.clone(),
            digest: key.transcript,
            confirmations: agreed.confirmations().copied().collect(),
        })
    }
}

impl CeremonyResult {
    pub(crate) fn new(committee: &Committee, outcome: Outcome, faults: Vec<RecordedFault>) -> Self {
        let revealed = outcome.revealed.len() as u16;
        Self {
            committee_key: outcome.committee_key,
            key_id: committee.key_id(),
            public_key_shares: outcome.public_key_shares,
            threshold: committee.t(),
            dealers: outcome.dealers,
            revealed: outcome.revealed,
            effective_threshold: committee.t().saturating_sub(revealed),
            faults,
        }
    }
}

/// The digest that members confirm.
pub(crate) fn digest(
    context: &CeremonyContext,
    dealings: &[Dealing],
    acknowledgements: &[Acknowledgement],
    logs: &[DealerLog],
    result: &CeremonyResult,
) -> Digest {
    let mut hasher = Hasher::new(Tag::Transcript);
    hasher.item(&[VERSION]);
    hasher.item(context.definition().digest().as_bytes());
    hasher.item(&context.round().to_be_bytes());
    hasher.item(&encoding::encode(dealings));
    hasher.item(&encoding::encode(acknowledgements));
    hasher.item(&encoding::encode(logs));
    hasher.item(&encoding::encode(result));
    hasher.finish()
}

#[cfg(test)]
mod tests;
