//! Complaints: a player opens one sealed dealing to it in public, for everybody to judge.
//!
//! ```text
//! signed = hash(COMPLAINT, ceremony, encode(dealer, accuser, dealing, sealed, others, pad))
//! dealing = the hash that the dealer signed       others = the hashes of the other sealed dealings
//! ```
//!
//! | what is shown | verdict |
//! |---|---|
//! | a sealed dealing that is not among those the dealer signed | false: `shown` |
//! | one that is not well sealed, which is public | the dealer is convicted: `sealed` |
//! | a well sealed one without a pad | false: `well-sealed` |
//! | a pad whose proof does not hold | false: `proof` |
//! | a pad under which it does not open, or not with its own `rho` | the dealer: `sealed` |
//! | what opens to no scalar, or zero | the dealer: `scalar` |
//! | a scalar that the commitment does not promise | the dealer: `mismatch` |
//! | a scalar that it promises | false: `sound` |
//!
//! # Invariants
//!
//! 1. An honest player complains if and only if the dealing to it is bad, so no honest dealer and
//!    no honest player is ever convicted.
//! 2. A complaint and the dealing that it names are all that a verdict needs, beside the ceremony.
//! 3. An honest player shows a pad of a well sealed dealing alone: its proof says that the dealer
//!    knows what is inside, so the pad opens nothing of anybody else's.

use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::feldman;
use fairveil_crypto::point::Point;
use fairveil_crypto::scalar::Scalar;
use fairveil_crypto::sole::PadProof;
use fairveil_crypto::{ConsensusSecret, Digest, SequencerIndex, Signature, encoding};
use serde::{Deserialize, Serialize};

use super::{Dealing, EntryError, sealed_digest_of};
use crate::context::{CeremonyContext, Role};
use crate::dealing::{Header, SEALED_DEALING_BYTES, SealedDealing};
use crate::dkg::DealingError;
use crate::hex_bytes::HexBytes;

/// A player's complaint about a dealing to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complaint {
    /// Whose dealing.
    pub dealer: SequencerIndex,
    /// Who complains.
    pub accuser: SequencerIndex,
    /// The hash that the dealer signed ([`Dealing::digest`]).
    pub dealing: Digest,
    /// The sealed dealing to the accuser.
    pub sealed: HexBytes,
    /// The hashes of the sealed dealings to the others, by index.
    pub others: Vec<Digest>,
    /// The pad that opens it. None: it is not well sealed, which needs no pad.
    pub pad: Option<PadProof>,
    /// The accuser's signature.
    pub signature: Signature,
}

/// What makes a complaint a false one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum ComplaintFault {
    /// It shows something else than what the dealer signed.
    #[error("it shows another sealed dealing than the dealer signed")]
    Shown,
    /// It says that the dealing is not well sealed, and it is.
    #[error("it calls a dealing not well sealed that is")]
    WellSealed,
    /// The proof of its pad does not hold.
    #[error("the proof of its pad does not hold")]
    Proof,
    /// The dealing that it opens is sound.
    #[error("the dealing that it opens is sound")]
    Sound,
}

/// Whom a complaint convicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The dealer: its dealing to the accuser is bad.
    Dealer(DealingError),
    /// The accuser: its complaint is false.
    Accuser(ComplaintFault),
}

impl Complaint {
    pub(crate) fn sign(
        context: &CeremonyContext,
        accuser: SequencerIndex,
        dealing: &Dealing,
        sealed: &[Vec<u8>],
        pad: Option<PadProof>,
        secret: &ConsensusSecret,
    ) -> Self {
        let place = accuser.position();
        let others = (0..).zip(sealed).filter(|(other, _)| *other != place);
        let others = others.map(|(_, one)| domain::hash(Tag::SealedDealing, &[one])).collect();
        let mut complaint = Self {
            dealer: dealing.dealer,
            accuser,
            dealing: dealing.digest(context),
            sealed: HexBytes(sealed.get(place).cloned().unwrap_or_default()),
            others,
            pad,
            signature: Signature::from_bytes([0; 64]),
        };
        let signed = complaint.signed();
        let items: [&[u8]; 2] = [context.id().as_bytes(), &signed];
        complaint.signature = secret.sign(Tag::Complaint, &items);
        complaint
    }

    /// Checks seats, lengths and the accuser's signature; not whether it is true.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn verify(&self, context: &CeremonyContext) -> Result<(), EntryError> {
        let n = context.players();
        if self.sealed.0.len() != SEALED_DEALING_BYTES {
            return Err(EntryError::SealedLength { actual: self.sealed.0.len() });
        }
        if self.others.len() + 1 != usize::from(n) {
            return Err(EntryError::SealedCount { actual: self.others.len() + 1, n });
        }
        context.known(Role::Dealer, self.dealer)?;
        let items: [&[u8]; 2] = [context.id().as_bytes(), &self.signed()];
        let seat = (Role::Player, self.accuser);
        context.verify(seat, Tag::Complaint, &items, &self.signature)
    }

    /// Whom it convicts, if it is about this dealing; both are verified, and the dealing's points
    /// are a sound commitment. `None`: it is about another dealing.
    #[must_use]
    pub fn verdict(&self, context: &CeremonyContext, dealing: &Dealing) -> Option<Verdict> {
        if self.dealer != dealing.dealer || self.dealing != dealing.digest(context) {
            return None;
        }
        let judged = self.judge(context, dealing);
        Some(judged.map_or_else(Verdict::Accuser, Verdict::Dealer))
    }

    /// What is wrong with the dealing, or with the complaint.
    fn judge(
        &self,
        context: &CeremonyContext,
        dealing: &Dealing,
    ) -> Result<DealingError, ComplaintFault> {
        if self.sealed_digest() != dealing.sealed_digest {
            return Err(ComplaintFault::Shown);
        }
        let receiver = self.accuser;
        let to = context.member(Role::Player, receiver).ok_or(ComplaintFault::Shown)?;
        let header = Header {
            ceremony: context.id(),
            dealer: dealing.dealer,
            receiver,
            commitment: &dealing.commitment,
        };
        let Some(sealed) = SealedDealing::verify(&to.dealing, &header, &self.sealed.0) else {
            return Ok(DealingError::Sealed);
        };
        let pad = self.pad.ok_or(ComplaintFault::WellSealed)?;
        let Some(value) = sealed.open_with(&pad).ok_or(ComplaintFault::Proof)? else {
            return Ok(DealingError::Sealed);
        };
        let scalar = Scalar::decode(&value).ok().filter(|scalar| *scalar != Scalar::ZERO);
        let Some(scalar) = scalar else {
            return Ok(DealingError::Scalar);
        };
        let points = dealing.commitment.iter().map(|point| Point::decode(point.as_bytes()).ok());
        let promised = points
            .collect::<Option<Vec<Point>>>()
            .is_some_and(|points| feldman::is_committed_vartime(&points, receiver, &scalar));
        if promised { Err(ComplaintFault::Sound) } else { Ok(DealingError::Mismatch) }
    }

    fn signed(&self) -> Vec<u8> {
        let Self { dealer, accuser, dealing, sealed, others, pad, signature: _ } = self;
        encoding::encode(&(dealer, accuser, dealing, sealed, others, pad))
    }

    /// That of all sealed dealings, if these are the dealer's.
    fn sealed_digest(&self) -> Digest {
        let own = domain::hash(Tag::SealedDealing, &[&self.sealed.0]);
        let mut hashes = self.others.clone();
        hashes.insert(self.accuser.position().min(hashes.len()), own);
        sealed_digest_of(&hashes)
    }
}
