//! The committee: its key, its members' public key shares and consensus keys (crypto.md 2).
//!
//! With the secret polynomial f of degree t-1: the committee key is `P = Δ·f(0)·G`, the key share
//! of sequencer i is `s_i = f(i)`, and its public key share `vk_i = s_i·G`.
//!
//! # Invariants
//!
//! 1. A [`Committee`] has 1 to [`MAX_SEQUENCERS`] members, sorted strictly by consensus key, so
//!    that the index of a member is 1 + its rank, as in the consensus engine.
//! 2. Its public key shares lie on one polynomial of degree t-1 whose value at zero is, times Δ,
//!    the committee key: any t honest shares combine, and no other key is behind it.
//! 3. Quorum and threshold are the same number `n - floor((n-1)/3)`: t is no input.
//! 4. `key_id` depends on the committee key alone, so that sealed bundles survive resharing.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::{Tag, hash};
use crate::lagrange::{Combiner, DELTA};
use crate::point::{FixedBase, Point, PointBytes, PointError, UncheckedPoint};
use crate::scalar::{ScalarError, SecretScalar};
use crate::{ConsensusPublicKey, Epoch, KeyId, SequencerIndex};

/// Members of a committee, at most.
pub const MAX_SEQUENCERS: usize = 128;

/// How many shares suffice to open, and how many votes decide: `n - floor((n-1)/3)`.
#[must_use]
pub const fn threshold(n: u16) -> u16 {
    n - n.saturating_sub(1) / 3
}

/// The key that traders seal to. Cheap to clone.
#[derive(Clone)]
pub struct CommitteeKey {
    point: Point,
    key_id: KeyId,
    table: Arc<OnceLock<FixedBase>>,
}

impl CommitteeKey {
    /// The key P.
    #[must_use]
    pub fn new(point: Point) -> Self {
        let key_id = hash(Tag::KeyId, &[point.encode().as_ref()]);
        let key_id = KeyId::from_bytes(key_id.to_bytes());
        Self { point, key_id, table: Arc::new(OnceLock::new()) }
    }

    /// The key with this encoding of P.
    ///
    /// # Errors
    ///
    /// If it is no point of the subgroup, or infinity.
    pub fn decode(bytes: &[u8]) -> Result<Self, PointError> {
        Point::decode(bytes).map(Self::new)
    }

    /// `Δ · constant_term`, where a key generation ended with `constant_term = f(0)·G`.
    #[must_use]
    pub fn from_constant_term(constant_term: &Point) -> Self {
        let scaled = constant_term.multiply_short_vartime(DELTA.into()).to_point();
        // Δ is not a multiple of r, and the point is of order r.
        Self::new(scaled.expect("a multiple below r of a finite point is finite"))
    }

    /// P.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// `H(tag, P)`.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    pub(crate) fn table(&self) -> &FixedBase {
        self.table.get_or_init(|| FixedBase::new(&self.point))
    }
}

impl PartialEq for CommitteeKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for CommitteeKey {}

impl fmt::Debug for CommitteeKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CommitteeKey({})", self.point.encode())
    }
}

impl Serialize for CommitteeKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.point.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CommitteeKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Point::deserialize(deserializer).map(Self::new)
    }
}

/// `vk_i = s_i·G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKeyShare(pub(crate) Point);

impl PublicKeyShare {
    /// The public key share with this encoding.
    ///
    /// # Errors
    ///
    /// If it is no point of the subgroup, or infinity.
    pub fn decode(bytes: &[u8]) -> Result<Self, PointError> {
        Point::decode(bytes).map(Self)
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> PointBytes {
        self.0.encode()
    }
}

/// Bytes that are no key share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyShareError {
    /// Not a scalar.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
    /// Zero, which no honest key generation yields.
    #[error("key share is zero")]
    Zero,
}

/// The secret key share of one sequencer in one epoch.
#[derive(Debug)]
pub struct KeyShare {
    index: SequencerIndex,
    public: PublicKeyShare,
    secret: SecretScalar,
}

impl KeyShare {
    /// The key share of sequencer `index` with this encoding of `s_i`.
    ///
    /// # Errors
    ///
    /// If it is not 32 bytes below r, or zero.
    pub fn decode(index: SequencerIndex, bytes: &[u8]) -> Result<Self, KeyShareError> {
        let secret = SecretScalar::decode(bytes)?;
        let public = Point::generator().multiply(&secret).to_point().ok_or(KeyShareError::Zero)?;
        Ok(Self { index, public: PublicKeyShare(public), secret })
    }

    /// Whose share it is.
    #[must_use]
    pub fn index(&self) -> SequencerIndex {
        self.index
    }

    /// `vk_i`.
    #[must_use]
    pub fn public_key_share(&self) -> PublicKeyShare {
        self.public
    }

    /// The encoding of `s_i`, for the keystore alone.
    #[must_use]
    pub fn expose_encoding(&self) -> Zeroizing<[u8; 32]> {
        self.secret.expose_encoding()
    }

    pub(crate) fn secret(&self) -> &SecretScalar {
        &self.secret
    }
}

/// Why keys do not make a committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Nobody, or too many.
    #[error("{actual} sequencers, a committee has 1 to {limit}")]
    Size {
        /// Members given.
        actual: usize,
        /// Members allowed.
        limit: usize,
    },
    /// Public key shares and consensus keys differ in number.
    #[error("{shares} public key shares for {keys} consensus keys")]
    Count {
        /// Public key shares given.
        shares: usize,
        /// Consensus keys given.
        keys: usize,
    },
    /// The threshold is 0 or above n.
    #[error("threshold {threshold} of {n}")]
    Threshold {
        /// Threshold given.
        threshold: u16,
        /// Members.
        n: u16,
    },
    /// Consensus keys are not strictly ascending.
    #[error("consensus key of sequencer {0} is not above the one before it")]
    Unsorted(SequencerIndex),
    /// A consensus key is no point.
    #[error("consensus key of sequencer {0} is not valid")]
    ConsensusKey(SequencerIndex),
    /// The public key shares do not lie on a polynomial that gives the committee key.
    #[error("public key shares from sequencer {0} on do not give the committee key")]
    Inconsistent(SequencerIndex),
}

/// The sequencers of one epoch with their keys. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee(Arc<Members>);

/// The committees of a network: who judges what an epoch signed.
pub trait Committees {
    /// The committee whose signatures count in this epoch.
    ///
    /// # Errors
    ///
    /// If that epoch's is not known here.
    fn of_epoch(&self, epoch: Epoch) -> Result<&Committee, UnknownEpoch>;
}

/// A committee alone judges everything that is given to it; what is of another epoch is refused
/// where its signatures are judged, with both epochs.
impl Committees for Committee {
    fn of_epoch(&self, _: Epoch) -> Result<&Committee, UnknownEpoch> {
        Ok(self)
    }
}

/// Something is signed by the committee of an epoch that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "certificate of epoch {actual}, the transcript proves {first} to {last}: fetch a newer \
     transcript"
)]
pub struct UnknownEpoch {
    /// The epoch.
    pub actual: Epoch,
    /// The first known epoch.
    pub first: Epoch,
    /// The last known one.
    pub last: Epoch,
}

#[derive(Debug, PartialEq, Eq)]
struct Members {
    epoch: Epoch,
    t: u16,
    key: CommitteeKey,
    public_key_shares: Vec<PublicKeyShare>,
    consensus_keys: Vec<ConsensusPublicKey>,
}

impl Committee {
    /// The committee of an epoch; both lists are ordered by index from 1.
    ///
    /// # Errors
    ///
    /// The first of the module's invariants 1 and 2 that is broken.
    pub fn new(
        epoch: Epoch,
        key: CommitteeKey,
        public_key_shares: Vec<PublicKeyShare>,
        consensus_keys: Vec<ConsensusPublicKey>,
    ) -> Result<Self, CommitteeError> {
        let n = members(&public_key_shares, &consensus_keys)?;
        for (position, pair) in consensus_keys.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                return Err(CommitteeError::Unsorted(index_at(position + 1)));
            }
        }
        Self::build(epoch, threshold(n), key, public_key_shares, consensus_keys)
    }

    /// A committee with any threshold and any order of consensus keys, as vectors have.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], but for the order.
    #[cfg(any(test, feature = "dealer"))]
    pub fn with_threshold(
        epoch: Epoch,
        t: u16,
        key: CommitteeKey,
        public_key_shares: Vec<PublicKeyShare>,
        consensus_keys: Vec<ConsensusPublicKey>,
    ) -> Result<Self, CommitteeError> {
        members(&public_key_shares, &consensus_keys)?;
        Self::build(epoch, t, key, public_key_shares, consensus_keys)
    }

    fn build(
        epoch: Epoch,
        t: u16,
        key: CommitteeKey,
        public_key_shares: Vec<PublicKeyShare>,
        consensus_keys: Vec<ConsensusPublicKey>,
    ) -> Result<Self, CommitteeError> {
        let n = members(&public_key_shares, &consensus_keys)?;
        if t == 0 || t > n {
            return Err(CommitteeError::Threshold { threshold: t, n });
        }
        if let Some(position) = consensus_keys.iter().position(|key| !key.is_valid()) {
            return Err(CommitteeError::ConsensusKey(index_at(position)));
        }
        check_shares(t, &key, &public_key_shares)?;
        Ok(Self(Arc::new(Members { epoch, t, key, public_key_shares, consensus_keys })))
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// How many sequencers there are.
    #[must_use]
    pub fn n(&self) -> u16 {
        self.0.consensus_keys.len() as u16
    }

    /// How many shares suffice to open.
    #[must_use]
    pub fn t(&self) -> u16 {
        self.0.t
    }

    /// How many votes decide.
    #[must_use]
    pub fn quorum(&self) -> u16 {
        threshold(self.n())
    }

    /// The committee key.
    #[must_use]
    pub fn key(&self) -> &CommitteeKey {
        &self.0.key
    }

    /// The id of the committee key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.0.key.key_id()
    }

    /// All public key shares, by index from 1.
    #[must_use]
    pub fn public_key_shares(&self) -> &[PublicKeyShare] {
        &self.0.public_key_shares
    }

    /// All consensus keys, by index from 1.
    #[must_use]
    pub fn consensus_keys(&self) -> &[ConsensusPublicKey] {
        &self.0.consensus_keys
    }

    /// The public key share of a member.
    #[must_use]
    pub fn public_key_share(&self, index: SequencerIndex) -> Option<PublicKeyShare> {
        self.0.public_key_shares.get(index.position()).copied()
    }

    /// The consensus key of a member.
    #[must_use]
    pub fn consensus_key(&self, index: SequencerIndex) -> Option<ConsensusPublicKey> {
        self.0.consensus_keys.get(index.position()).copied()
    }

    /// The index of the member with this consensus key.
    #[must_use]
    pub fn index_of(&self, key: &ConsensusPublicKey) -> Option<SequencerIndex> {
        let position = self.0.consensus_keys.iter().position(|member| member == key)?;
        SequencerIndex::from_position(position)
    }

    /// The indices of all members.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = SequencerIndex> + ExactSizeIterator {
        SequencerIndex::all(self.n())
    }
}

fn members(
    public_key_shares: &[PublicKeyShare],
    consensus_keys: &[ConsensusPublicKey],
) -> Result<u16, CommitteeError> {
    let (shares, keys) = (public_key_shares.len(), consensus_keys.len());
    if shares != keys {
        return Err(CommitteeError::Count { shares, keys });
    }
    match u16::try_from(keys) {
        Ok(n) if (1..=MAX_SEQUENCERS).contains(&keys) => Ok(n),
        _ => Err(CommitteeError::Size { actual: keys, limit: MAX_SEQUENCERS }),
    }
}

/// Every window of t neighbours interpolates to the committee key. As no coefficient at zero
/// vanishes, each share is then determined by its t-1 neighbours: all lie on one polynomial.
fn check_shares(
    t: u16,
    key: &CommitteeKey,
    public_key_shares: &[PublicKeyShare],
) -> Result<(), CommitteeError> {
    let indices: Vec<SequencerIndex> = (0..public_key_shares.len()).map(index_at).collect();
    let points: Vec<UncheckedPoint> =
        public_key_shares.iter().map(|share| UncheckedPoint::from(share.0)).collect();
    for (window, points) in indices.windows(t.into()).zip(points.windows(t.into())) {
        let combiner = Combiner::new(window).expect("neighbours are distinct");
        if !combiner.combine(|member| &points[member]).equals(&key.point) {
            return Err(CommitteeError::Inconsistent(window[0]));
        }
    }
    Ok(())
}

fn index_at(position: usize) -> SequencerIndex {
    SequencerIndex::from_position(position).expect("a committee has at most 128 members")
}

#[cfg(test)]
mod tests;
