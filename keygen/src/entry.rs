//! Entries: what members post on the ceremony's chain.
//!
//! An entry is `encode(CeremonyEntry)`, at most [`MAX_ENTRY_BYTES`] long. Each kind carries the
//! one signature that makes it its author's:
//!
//! | entry | signature |
//! |---|---|
//! | dealing | `sign(dealer, hash(DEALING, ceremony, dealer, sealed digest, commitment...))` |
//! | acknowledgement | the DKG's own, over ceremony, dealer and commitment |
//! | dealer log | the DKG's own, over ceremony and log |
//! | complaint | `sign(accuser, hash(COMPLAINT, ceremony, complaint))` |
//! | close | `sign(dealer, hash(CEREMONY-CLOSE, ceremony, dealer, phase))` |
//! | confirmation | `sign(player, hash(TRANSCRIPT-CONFIRMATION, transcript digest))` |
//!
//! The digest of all sealed dealings of one dealer is
//! `hash(SEALED-DEALING, hash(SEALED-DEALING, sealed_1), ..., hash(SEALED-DEALING, sealed_n))`, so
//! that a complaint can show one of them and the hashes of the others.
//!
//! Dealings, logs and votes are the dealers'; acknowledgements, complaints and confirmations the
//! players'. In a first ceremony everybody is both.
//!
//! # Invariants
//!
//! 1. An entry has one encoding, and only that decodes.
//! 2. Whether an entry is authentic depends on its bytes and the ceremony alone, not on the log
//!    before it: a block that holds another kind of entry is invalid for everyone.

mod complaint;

use fairveil_crypto::domain::{self, Hasher, Tag};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{
    ConsensusPublicKey, ConsensusSecret, Digest, SequencerIndex, Signature, SignatureError,
};
use serde::{Deserialize, Serialize};

pub use complaint::{Complaint, ComplaintFault, Verdict};

use crate::context::{CeremonyContext, Role};
use crate::dealing::SEALED_DEALING_BYTES;
use crate::definition::MAX_MEMBERS;
use crate::hex_bytes::HexBytes;

/// The longest entry: a dealing to [`MAX_MEMBERS`] members.
pub const MAX_ENTRY_BYTES: usize = 64 << 10;
const _: () =
    assert!(MAX_MEMBERS as usize * (SEALED_DEALING_BYTES + 8 + 48) + 256 < MAX_ENTRY_BYTES);

/// What a member posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CeremonyEntry {
    /// A dealer's commitment and its encrypted dealings to everyone.
    Dealing(PostedDealing),
    /// A player holds a dealing.
    Acknowledgement(Acknowledgement),
    /// A dealer's acknowledgements, and the dealings of those who did not acknowledge.
    DealerLog(DealerLog),
    /// A dealer votes to close a phase whose deadline has passed.
    Close(Close),
    /// A player confirms the transcript, and that its share is safe on its disk.
    Confirmation(Confirmation),
    /// A player complains about the dealing to it.
    Complaint(Complaint),
}

/// A dealing as it is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedDealing {
    /// What everyone sees and the transcript keeps.
    pub public: Dealing,
    /// The sealed dealings, by index of the player.
    pub sealed: Vec<Vec<u8>>,
}

/// The public part of a dealing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dealing {
    /// The dealer.
    pub dealer: SequencerIndex,
    /// Its commitment: t points, of the constant coefficient first.
    pub commitment: Vec<PointBytes>,
    /// Digest of its sealed dealings.
    pub sealed_digest: Digest,
    /// The dealer's signature.
    pub signature: Signature,
}

/// A player's acknowledgement of a dealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Whose dealing.
    pub dealer: SequencerIndex,
    /// Who holds it.
    pub player: SequencerIndex,
    /// The player's signature, in the DKG's form.
    pub signature: Signature,
}

/// A dealer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealerLog {
    /// The dealer.
    pub dealer: SequencerIndex,
    /// The log with the dealer's signature, in the DKG's form.
    pub log: HexBytes,
}

/// A vote to close a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The dealer who votes.
    pub member: SequencerIndex,
    /// The phase.
    pub phase: ClosingPhase,
    /// The member's signature.
    pub signature: Signature,
}

/// A phase that members can vote to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClosingPhase {
    /// Waiting for dealings.
    Dealing,
    /// Waiting for acknowledgements.
    Acknowledging,
    /// Waiting for dealer logs.
    Logging,
    /// Waiting for confirmations.
    Confirming,
}

/// A member's confirmation of the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Who confirms.
    pub member: SequencerIndex,
    /// The digest of the transcript.
    pub transcript: Digest,
    /// The member's signature.
    pub signature: Signature,
}

/// Why bytes are no entry of a ceremony, for anyone and at any place in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// They are not the encoding of an entry.
    #[error("entry: {0}")]
    Encoding(#[from] DecodeError),
    /// The author is no member.
    #[error("entry by member {index} of {n}")]
    NotAMember {
        /// The index in the entry.
        index: SequencerIndex,
        /// The number of members.
        n: u16,
    },
    /// The signature is not the author's.
    #[error("entry has no valid signature of member {author}")]
    Signature {
        /// The author in the entry.
        author: SequencerIndex,
    },
    /// Not one sealed dealing for every member.
    #[error("dealing has {actual} sealed dealings for {n} members")]
    SealedCount {
        /// Sealed dealings found.
        actual: usize,
        /// The number of members.
        n: u16,
    },
    /// A sealed dealing does not have the one length.
    #[error("sealed dealing has {actual} bytes, {SEALED_DEALING_BYTES} are needed")]
    SealedLength {
        /// Bytes found.
        actual: usize,
    },
    /// The sealed dealings are not those that the dealer signed.
    #[error("sealed dealings do not have the signed digest")]
    SealedDigest,
    /// The commitment does not have t points.
    #[error("commitment has {actual} points, {needed} are needed")]
    CommitmentLength {
        /// Points found.
        actual: usize,
        /// The threshold t.
        needed: u16,
    },
}

impl CeremonyEntry {
    /// The bytes to post.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Decodes an entry and checks all of it that does not depend on the log before it: the rule
    /// for entries in a valid block of the ceremony's chain.
    ///
    /// Acknowledgements and dealer logs are signed over a commitment that stands in the log; of
    /// them only the form is checked here.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn decode(bytes: &[u8], context: &CeremonyContext) -> Result<Self, EntryError> {
        let entry: Self = encoding::decode(bytes, MAX_ENTRY_BYTES)?;
        entry.check(context)?;
        Ok(entry)
    }

    /// The consensus key of the member that an entry is of.
    #[must_use]
    pub fn author(&self, context: &CeremonyContext) -> Option<ConsensusPublicKey> {
        let (role, index) = match self {
            CeremonyEntry::Dealing(posted) => (Role::Dealer, posted.public.dealer),
            CeremonyEntry::Acknowledgement(one) => (Role::Player, one.player),
            CeremonyEntry::DealerLog(log) => (Role::Dealer, log.dealer),
            CeremonyEntry::Close(close) => (Role::Dealer, close.member),
            CeremonyEntry::Confirmation(one) => (Role::Player, one.member),
            CeremonyEntry::Complaint(complaint) => (Role::Player, complaint.accuser),
        };
        context.member(role, index).map(|member| member.consensus)
    }

    fn check(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        match self {
            CeremonyEntry::Dealing(dealing) => dealing.check(context),
            CeremonyEntry::Acknowledgement(Acknowledgement { dealer, player, .. }) => {
                context.known(Role::Dealer, *dealer)?;
                context.known(Role::Player, *player)
            }
            CeremonyEntry::DealerLog(log) => context.known(Role::Dealer, log.dealer),
            CeremonyEntry::Close(close) => close.verify(context),
            CeremonyEntry::Confirmation(confirmation) => confirmation.verify(context),
            CeremonyEntry::Complaint(complaint) => complaint.verify(context),
        }
    }
}

impl PostedDealing {
    fn check(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        let n = context.players();
        if self.sealed.len() != usize::from(n) {
            return Err(EntryError::SealedCount { actual: self.sealed.len(), n });
        }
        if let Some(sealed) = self.sealed.iter().find(|one| one.len() != SEALED_DEALING_BYTES) {
            return Err(EntryError::SealedLength { actual: sealed.len() });
        }
        self.public.verify(context)?;
        if self.public.sealed_digest != sealed_digest(&self.sealed) {
            return Err(EntryError::SealedDigest);
        }
        Ok(())
    }
}

impl Dealing {
    pub(crate) fn sign(
        context: &CeremonyContext,
        dealer: SequencerIndex,
        commitment: Vec<PointBytes>,
        sealed: &[Vec<u8>],
        secret: &ConsensusSecret,
    ) -> Self {
        let sealed_digest = sealed_digest(sealed);
        let signed = context.dealing_digest(dealer, &commitment, &sealed_digest);
        let signature = secret.sign(Tag::Dealing, &[signed.as_bytes()]);
        Self { dealer, commitment, sealed_digest, signature }
    }

    /// Checks membership, signature and the number of points; not the points.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn verify(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        let needed = context.player_quorum();
        if self.commitment.len() != usize::from(needed) {
            return Err(EntryError::CommitmentLength { actual: self.commitment.len(), needed });
        }
        let seat = (Role::Dealer, self.dealer);
        let signed = self.digest(context);
        context.verify(seat, Tag::Dealing, &[signed.as_bytes()], &self.signature)
    }

    /// What the dealer signs.
    #[must_use]
    pub fn digest(&self, context: &CeremonyContext) -> Digest {
        context.dealing_digest(self.dealer, &self.commitment, &self.sealed_digest)
    }
}

impl Close {
    pub(crate) fn sign(
        context: &CeremonyContext,
        member: SequencerIndex,
        phase: ClosingPhase,
        secret: &ConsensusSecret,
    ) -> Self {
        let signature = secret.sign(
            Tag::CeremonyClose,
            &[context.id().as_bytes(), &member.to_be_bytes(), &[phase as u8]],
        );
        Self { member, phase, signature }
    }

    fn verify(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        let items: [&[u8]; 3] =
            [context.id().as_bytes(), &self.member.to_be_bytes(), &[self.phase as u8]];
        context.verify((Role::Dealer, self.member), Tag::CeremonyClose, &items, &self.signature)
    }
}

impl Confirmation {
    pub(crate) fn sign(
        member: SequencerIndex,
        transcript: Digest,
        secret: &ConsensusSecret,
    ) -> Self {
        let signature = secret.sign(Tag::TranscriptConfirmation, &[transcript.as_bytes()]);
        Self { member, transcript, signature }
    }

    /// Checks membership and signature; not what the digest is of.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn verify(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        let items: [&[u8]; 1] = [self.transcript.as_bytes()];
        context.verify(
            (Role::Player, self.member),
            Tag::TranscriptConfirmation,
            &items,
            &self.signature,
        )
    }
}

impl CeremonyContext {
    fn dealing_digest(
        &self,
        dealer: SequencerIndex,
        commitment: &[PointBytes],
        sealed_digest: &Digest,
    ) -> Digest {
        let mut hasher = Hasher::new(Tag::Dealing);
        hasher.item(self.id().as_bytes());
        hasher.item(&dealer.to_be_bytes());
        hasher.item(sealed_digest.as_bytes());
        commitment.iter().for_each(|point| hasher.item(point.as_bytes()));
        hasher.finish()
    }

    /// Whether there is such a seat.
    fn known(&self, role: Role, index: SequencerIndex) -> Result<(), EntryError> {
        let n = match role {
            Role::Dealer => self.dealers(),
            Role::Player => self.players(),
        };
        if index.get() > n { Err(EntryError::NotAMember { index, n }) } else { Ok(()) }
    }

    fn verify(
        &self,
        (role, author): (Role, SequencerIndex),
        tag: Tag,
        items: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), EntryError> {
        self.known(role, author)?;
        let unknown = EntryError::Signature { author };
        let member = self.member(role, author).ok_or(unknown.clone())?;
        member.consensus.verify(tag, items, signature).map_err(|SignatureError| unknown)
    }
}

fn sealed_digest(sealed: &[Vec<u8>]) -> Digest {
    let hash = |one: &Vec<u8>| domain::hash(Tag::SealedDealing, &[one]);
    sealed_digest_of(&sealed.iter().map(hash).collect::<Vec<_>>())
}

fn sealed_digest_of(hashes: &[Digest]) -> Digest {
    let mut hasher = Hasher::new(Tag::SealedDealing);
    hashes.iter().for_each(|hash| hasher.item(hash.as_bytes()));
    hasher.finish()
}

#[cfg(test)]
mod tests;
