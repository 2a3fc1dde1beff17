//! The transcript: one public JSON file that proves a committee key, offline and without keys.
//!
//! It holds the public side of everything that was agreed on: definition and approvals, dealings,
//! complaints, acknowledgements, dealer logs, the result, and the members' confirmations.
//! [`Transcript::verify`] believes none of it: it plays the entries through the same fold as the
//! members did and compares the result. Traders get the committee key from here alone.
//!
//! The transcript of a resharing holds those of all ceremonies before it, back to the first, and
//! they are verified with it: the key of the newest epoch is that of the network, whoever its
//! members are by now.
//!
//! ```text
//! digest = hash(TRANSCRIPT, version, definition digest, round as 8 bytes big-endian,
//!               digest of the transcript before, or nothing in a first ceremony,
//!               encode(dealings), encode(equivocations), encode(complaints),
//!               encode(acknowledgements), encode(logs), encode(result))
//! ```
//!
//! Approvals and confirmations are not in the digest: it is one number for all members however
//! their signatures were gathered, and it stands in the genesis of the network's chain. That of a
//! resharing commits to those of all ceremonies before it.
//!
//! # Invariants
//!
//! 1. A [`VerifiedTranscript`] only comes from a verification. All members approved its definition,
//!    its key, public key shares and key id are recomputed from the dealings and logs in it, and at
//!    least q = n - F members confirmed it, each saying that its share is safe. That holds for every
//!    epoch in it; a quorum of every committee approved the definition of the next one and dealt
//!    its shares to it, so all epochs have one key.
//! 2. Every field is checked, and whatever is changed is refused with a reason that names it.
//! 3. No secret is in it, and of the sealed dealings their digest and those that complaints show.
//!    The dealings that dealers revealed are: [`CeremonyResult::revealed`] names the members whose
//!    share follows from them, and [`CeremonyResult::effective_threshold`] what is left of t.
//! 4. Who cheated is named in [`CeremonyResult::faults`], and the entries that prove it are there.

mod error;
mod verified;
mod verify;

use fairveil_crypto::committee::Committee;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::encoding;
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{Digest, KeyId, SequencerIndex};
use serde::{Deserialize, Serialize};

pub use error::{ResultNumber, ResultPoint, Section, TranscriptError};
pub use verified::{VerifiedEpoch, VerifiedTranscript};

use crate::agreed::Agreed;
use crate::approval::Approval;
use crate::definition::Proposal;
use crate::dkg::{DealingError, LogFault, Outcome};
use crate::entry::{Acknowledgement, Complaint, ComplaintFault, Confirmation, DealerLog, Dealing};

/// The version of this form of transcript.
pub const VERSION: u8 = 2;
/// The longest file in bytes: an epoch of n = 16 takes about 300 KiB, one of n = 128 about 9 MiB.
pub const MAX_BYTES: usize = 128 << 20;
/// The most epochs in a transcript.
pub const MAX_EPOCHS: usize = 1 << 10;

/// A transcript as it is read: nothing in it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The form of the transcript: [`VERSION`].
    pub version: u8,
    /// The definition.
    pub definition: Proposal,
    /// All members' approvals, and those of members of the committee before, by consensus key.
    pub approvals: Vec<Approval>,
    /// The round of the ceremony.
    pub round: u64,
    /// The dealings, by dealer.
    pub dealings: Vec<Dealing>,
    /// The second dealings of dealers who signed two, by dealer.
    pub equivocations: Vec<Dealing>,
    /// The complaints that convicted somebody, by dealer and accuser.
    pub complaints: Vec<Complaint>,
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
    /// Of a resharing: the transcripts of all ceremonies before it, the first one first, each
    /// without predecessors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<Transcript>,
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
    /// The dealers whose polynomials make up f, by their index as dealers.
    pub dealers: Vec<SequencerIndex>,
    /// The members whose share may have been revealed.
    pub revealed: Vec<SequencerIndex>,
    /// The secret shares that an adversary still needs: t without the revealed ones.
    pub effective_threshold: u16,
    /// What members did wrong, and whose log does not count.
    pub faults: Vec<RecordedFault>,
}

/// A fault that the entries show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFault {
    /// Whose: the index of a player for a false complaint, else that of a dealer.
    pub member: SequencerIndex,
    /// What it is.
    pub fault: PublicFault,
}

/// What is wrong with a dealing, a log or a complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicFault {
    /// The dealer's commitment is no list of points.
    Commitment,
    /// The dealer's commitment is to something else than its share.
    Share,
    /// The dealer signed two dealings.
    Equivocation,
    /// The dealer's dealing to a player is bad.
    Dealing(DealingError),
    /// The dealer's log does not count.
    Log(LogFault),
    /// The player's complaint is false.
    FalseComplaint(ComplaintFault),
}

impl PublicFault {
    /// Whether it proves that the member did not follow the protocol. A log that was withheld
    /// proves nothing.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        match self {
            PublicFault::Log(fault) => fault.is_proof(),
            _ => true,
        }
    }
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
            equivocations: agreed.equivocations().cloned().collect(),
            complaints: agreed.complaints().cloned().collect(),
            acknowledgements: agreed.acknowledgements().copied().collect(),
            logs: agreed.logs().cloned().collect(),
            result: key.result.clone(),
            digest: key.transcript,
            confirmations: agreed.confirmations().copied().collect(),
            predecessors: context.predecessor().map(VerifiedTranscript::files).unwrap_or_default(),
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
pub(crate) fn digest(agreed: &Agreed, result: &CeremonyResult) -> Digest {
    fn list<'a, T: Serialize + 'a>(items: impl Iterator<Item = &'a T>) -> Vec<u8> {
        encoding::encode(&items.collect::<Vec<_>>())
    }
    let context = agreed.context();
    let predecessor = context.predecessor().map(VerifiedTranscript::digest);
    let mut hasher = Hasher::new(Tag::Transcript);
    hasher.item(&[VERSION]);
    hasher.item(context.definition().digest().as_bytes());
    hasher.item(&context.round().to_be_bytes());
    hasher.item(predecessor.as_ref().map_or(&[][..], |digest| digest.as_bytes()));
    hasher.item(&list(agreed.dealings()));
    hasher.item(&list(agreed.equivocations()));
    hasher.item(&list(agreed.complaints()));
    hasher.item(&list(agreed.acknowledgements()));
    hasher.item(&list(agreed.logs()));
    hasher.item(&encoding::encode(result));
    hasher.finish()
}

#[cfg(test)]
mod tests;
