//! The bridge to commonware's joint-Feldman key generation, which is used unchanged.
//!
//! Everything that crosses this bridge is bytes or types of `fairveil_crypto`. The commitments,
//! acknowledgements and dealer logs are commonware's canonical encodings; a decoder here encodes
//! again and compares.
//!
//! One thing is rebuilt instead of called: the transcript under which a player signs its
//! acknowledgement. Commonware checks acknowledgements for the dealer and inside a dealer log
//! alone, and here everyone must judge one that stands on the ceremony's chain. A test holds the
//! rebuilt transcript against acknowledgements that commonware makes and accepts.
//!
//! # Invariants
//!
//! 1. The DKG's dealers and players are the members of their committees in the order of their
//!    consensus keys, so that participant k (from 0), evaluated at k + 1, is the sequencer of index
//!    k + 1. In a resharing all members of the committee before are its dealers.
//! 2. The DKG's namespace is the ceremony id, which commits to definition and round: no signature
//!    of one ceremony counts in another.
//! 3. The variant is `MinPk`: commitments are points of G1, and no image of a share in G2 exists.
//! 4. A resharing's dealer commits to a polynomial whose constant coefficient is its share: what
//!    begins with another point is no sound commitment.
//! 5. No entropy: coefficients of batched checks are drawn from a hash of what they check.

mod dealer;
mod judge;
mod player;

use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _, modes};
use commonware_cryptography::bls12381::dkg::feldman_desmedt as dkg;
use commonware_cryptography::bls12381::primitives::sharing::Mode;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey, Signature as DkgSignature};
use commonware_cryptography::transcript::{Summary, Transcript, Version};
use commonware_utils::ordered::Set;
use commonware_utils::{N3f1, Participant};
use core::num::NonZeroU32;
use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, SequencerIndex, Signature};

pub(crate) use dealer::Dealer;
pub use judge::LogFault;
pub(crate) use judge::{Outcome, UsableLog};
pub(crate) use player::Player;
pub use player::{DealingError, ShareError};

/// One run of the DKG from dealers to players.
#[derive(Clone)]
pub(crate) struct Round {
    info: dkg::Info<MinPk, PublicKey>,
    dealers: Set<PublicKey>,
    players: Set<PublicKey>,
    previous: Option<Sharing>,
    acknowledgements: Summary,
}

/// The public polynomial of a finished run, with who has its shares: what a resharing begins with.
#[derive(Clone, Debug)]
pub(crate) struct Sharing(dkg::Output<MinPk, PublicKey>);

/// A dealer's commitment to its polynomial: t points.
#[derive(Clone)]
pub(crate) struct Commitment {
    message: dkg::DealerPubMsg<MinPk>,
    bytes: Vec<u8>,
}

/// Why points are no sound commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitmentFault {
    /// They are no points of the group, or one is at infinity.
    Points,
    /// They do not begin with the dealer's public key share.
    Share,
}

impl Round {
    /// The run of this ceremony. `None` if a key is no ed25519 key or the keys are not sorted,
    /// which definitions rule out, or the dealers have no shares of `previous`.
    pub(crate) fn new(
        ceremony: &Digest,
        round: u64,
        previous: Option<&Sharing>,
        dealers: &[ConsensusPublicKey],
        players: &[ConsensusPublicKey],
    ) -> Option<Self> {
        let (dealers, players) = (participants(dealers)?, participants(players)?);
        let output = previous.map(|sharing| sharing.0.clone());
        let info = dkg::Info::new::<N3f1>(
            ceremony.as_bytes(),
            round,
            output.clone(),
            Mode::NonZeroCounter,
            dkg::Reveal::V1,
            dealers.clone(),
            players.clone(),
        )
        .ok()?;
        let acknowledgements = round_summary(ceremony, round, &output, &dealers, &players);
        Some(Self { info, dealers, players, previous: previous.cloned(), acknowledgements })
    }

    fn limit(&self) -> NonZeroU32 {
        NonZeroU32::new(self.players.len() as u32).unwrap_or(NonZeroU32::MIN)
    }

    fn player_index(&self, key: &PublicKey) -> Option<SequencerIndex> {
        self.players.position(key).and_then(SequencerIndex::from_position)
    }

    fn dealer_index(&self, key: &PublicKey) -> Option<SequencerIndex> {
        self.dealers.position(key).and_then(SequencerIndex::from_position)
    }

    fn player(&self, index: SequencerIndex) -> Option<&PublicKey> {
        self.players.get(index.position())
    }

    fn dealer(&self, index: SequencerIndex) -> Option<&PublicKey> {
        self.dealers.get(index.position())
    }

    /// The dealer's commitment of these points.
    pub(crate) fn commitment(
        &self,
        dealer: SequencerIndex,
        points: &[PointBytes],
    ) -> Result<Commitment, CommitmentFault> {
        let mut bytes = points.len().encode().to_vec();
        points.iter().for_each(|point| bytes.extend_from_slice(point.as_bytes()));
        let message = dkg::DealerPubMsg::decode_cfg(Copying(&bytes), &self.limit())
            .map_err(|_| CommitmentFault::Points)?;
        if message.encode() != bytes {
            return Err(CommitmentFault::Points);
        }
        if let Some(previous) = &self.previous
            && previous.public_key_share(dealer).as_ref() != points.first()
        {
            return Err(CommitmentFault::Share);
        }
        Ok(Commitment { message, bytes })
    }

    /// Whether `player` signed that it holds the dealing that belongs to this commitment.
    pub(crate) fn is_acknowledged(
        &self,
        dealer: SequencerIndex,
        commitment: &Commitment,
        player: SequencerIndex,
        signature: &Signature,
    ) -> bool {
        let (Some(dealer), Some(player)) = (self.dealer(dealer), self.player(player)) else {
            return false;
        };
        let Ok(signature) = DkgSignature::decode(Copying(signature.as_bytes())) else {
            return false;
        };
        let mut transcript = Transcript::resume(self.acknowledgements, Version::V0).fork(b"ack");
        transcript.commit(dealer.encode()).commit(&commitment.bytes[..]);
        transcript.verify(player, &signature)
    }
}

impl Sharing {
    fn public_key_share(&self, index: SequencerIndex) -> Option<PointBytes> {
        let participant = Participant::from_usize(index.position());
        let point = self.0.public().partial_public(participant).ok()?;
        Some(point_bytes(&point))
    }
}

fn participants(keys: &[ConsensusPublicKey]) -> Option<Set<PublicKey>> {
    let keys: Vec<PublicKey> = keys
        .iter()
        .map(|key| PublicKey::decode(Copying(key.as_bytes())).ok())
        .collect::<Option<_>>()?;
    keys.is_sorted_by(|a, b| a < b).then(|| Set::from_iter_dedup(keys))
}

/// What [`dkg::Info::new`] keeps to itself: the hash of the round that signatures begin with.
fn round_summary(
    ceremony: &Digest,
    round: u64,
    previous: &Option<dkg::Output<MinPk, PublicKey>>,
    dealers: &Set<PublicKey>,
    players: &Set<PublicKey>,
) -> Summary {
    let mut transcript = Transcript::new(b"_COMMONWARE_CRYPTOGRAPHY_BLS12381_DKG", Version::V0);
    transcript
        .commit(&ceremony.as_bytes()[..])
        .commit(round.encode())
        .commit(previous.encode())
        .commit(dealers.encode())
        .commit(players.encode());
    if let Some(modes) = modes![Mode::NonZeroCounter, dkg::Reveal::V1] {
        transcript.commit(modes.encode());
    }
    transcript.summarize()
}

/// The DKG's form of a member's signing key.
fn signer(secret: &ConsensusSecret) -> PrivateKey {
    PrivateKey::decode(Copying(&secret.expose_seed()[..])).expect("every 32 bytes are a seed")
}

impl Commitment {
    /// The points, of the constant coefficient first.
    pub(crate) fn points(&self) -> Vec<PointBytes> {
        let (points, _) = self.bytes[self.bytes.len() % 48..].as_chunks::<48>();
        points.iter().copied().map(PointBytes::from_bytes).collect()
    }
}

fn point_bytes(point: &impl commonware_codec::Encode) -> PointBytes {
    let mut bytes = [0; 48];
    bytes.copy_from_slice(&point.encode());
    PointBytes::from_bytes(bytes)
}

/// Randomness from a seed: `randomness(..).noise(..)` is a generator, the same for the same seed.
fn randomness(tag: Tag, seed: &[u8]) -> Transcript {
    let seed = domain::hash(tag, &[seed]);
    let mut transcript = Transcript::new(tag.as_bytes(), Version::V1);
    transcript.commit(&seed.as_bytes()[..]);
    transcript
}

#[cfg(test)]
mod tests;
