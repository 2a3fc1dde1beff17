//! The committee as the engine sees it: ed25519 keys in their order, one namespace per chain.
//!
//! # Invariants
//!
//! 1. The engine's participant i (from 0) is the sequencer with index i + 1: both orders are the
//!    order of the keys' bytes.
//! 2. A chain's votes are signed under a namespace of its own, so no vote of one chain (the
//!    network's, a round of a ceremony) means anything on another.

use commonware_codec::{Copying, DecodeExt as _, FixedSize as _};
use commonware_consensus::simplex::scheme::ed25519;
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PrivateKey;
use commonware_utils::TryCollect as _;
use commonware_utils::ordered::Set;
use fairveil_crypto::signature::{ConsensusPublicKey, ConsensusSecret};

/// A sequencer's key as the engine's type.
pub use commonware_cryptography::ed25519::PublicKey;

/// How the engine signs and verifies votes.
pub(crate) type Scheme = ed25519::Scheme;

/// The largest committee that the engine is started with.
pub const MAX_MEMBERS: usize = 128;

/// Why keys make no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// None, or too many.
    #[error("{actual} members, 1 to {MAX_MEMBERS} are possible")]
    Size {
        /// Keys given.
        actual: usize,
    },
    /// A key is no point of the curve.
    #[error("key {position} is not an ed25519 public key")]
    Key {
        /// Its position, from 0.
        position: usize,
    },
    /// Not strictly ascending.
    #[error("keys are not sorted and different")]
    Order,
    /// This sequencer's key is not among them.
    #[error("this sequencer is not a member")]
    NotMember,
}

/// The members' keys, checked.
#[derive(Clone, Debug)]
pub struct Members {
    keys: Set<PublicKey>,
}

impl Members {
    /// The members with these keys, in the order of their indices.
    ///
    /// # Errors
    ///
    /// If the keys are not valid, sorted and different.
    pub fn new(keys: &[ConsensusPublicKey]) -> Result<Self, CommitteeError> {
        if keys.is_empty() || keys.len() > MAX_MEMBERS {
            return Err(CommitteeError::Size { actual: keys.len() });
        }
        let mut decoded = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            decoded.push(public_key(key).ok_or(CommitteeError::Key { position })?);
        }
        let set: Set<PublicKey> =
            decoded.iter().cloned().try_collect().map_err(|_| CommitteeError::Order)?;
        if set.iter().zip(&decoded).any(|(sorted, given)| sorted != given) {
            return Err(CommitteeError::Order);
        }
        Ok(Self { keys: set })
    }

    /// The keys in the order of their indices.
    #[must_use]
    pub fn keys(&self) -> &Set<PublicKey> {
        &self.keys
    }

    /// Verifies as the member with this secret, and never signs.
    pub(crate) fn follower(
        &self,
        namespace: &[u8],
        secret: &ConsensusSecret,
    ) -> Result<Scheme, CommitteeError> {
        let key = own_key(secret);
        Scheme::member(namespace, self.keys.clone(), &key).ok_or(CommitteeError::NotMember)
    }

    /// Signs as the member with this secret.
    pub(crate) fn signer(
        &self,
        namespace: &[u8],
        secret: &ConsensusSecret,
    ) -> Result<Scheme, CommitteeError> {
        let key = private_key(secret);
        Scheme::signer(namespace, self.keys.clone(), key).ok_or(CommitteeError::NotMember)
    }
}

/// The engine's form of a key, if it is a point.
#[must_use]
pub fn public_key(key: &ConsensusPublicKey) -> Option<PublicKey> {
    PublicKey::decode(Copying(&key.as_bytes()[..])).ok()
}

/// The key of a member.
#[must_use]
pub fn identity(key: &PublicKey) -> ConsensusPublicKey {
    let mut bytes = [0; PublicKey::SIZE];
    bytes.copy_from_slice(key.as_ref());
    ConsensusPublicKey::from_bytes(bytes)
}

/// The key that this secret has in the engine.
#[must_use]
pub fn own_key(secret: &ConsensusSecret) -> PublicKey {
    private_key(secret).public_key()
}

fn private_key(secret: &ConsensusSecret) -> PrivateKey {
    PrivateKey::decode(Copying(&secret.expose_seed()[..])).expect("every seed is a key")
}

/// Which heights belong to the running epoch: heights are global and go on over epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochBounds {
    epoch: Epoch,
    last: Height,
}

impl EpochBounds {
    /// One epoch that does not end by itself.
    #[must_use]
    pub fn open(epoch: fairveil_crypto::Epoch) -> Self {
        // `Epocher` wants the height above the last one to exist.
        Self { epoch: Epoch::new(epoch.get()), last: Height::new(u64::MAX - 1) }
    }
}

impl Epocher for EpochBounds {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        (height <= self.last).then(|| EpochInfo::new(self.epoch, height, Height::zero(), self.last))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        (epoch == self.epoch).then(Height::zero)
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        (epoch == self.epoch).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn secrets() -> Vec<ConsensusSecret> {
        let mut secrets: Vec<_> =
            (0..40).map(|seed| ConsensusSecret::from_seed([seed; 32])).collect();
        secrets.sort_by_key(ConsensusSecret::public_key);
        secrets
    }

    #[test]
    fn invariant_1_the_orders_of_keys_agree() {
        let secrets = secrets();
        let keys: Vec<_> = secrets.iter().map(ConsensusSecret::public_key).collect();
        let members = Members::new(&keys).unwrap();
        for (position, (member, secret)) in members.keys().iter().zip(&secrets).enumerate() {
            assert_eq!(identity(member), keys[position]);
            assert_eq!(&own_key(secret), member);
        }
    }

    #[test]
    fn keys_that_make_no_committee_are_refused() {
        let secrets = secrets();
        let mut keys: Vec<_> = secrets.iter().map(ConsensusSecret::public_key).collect();
        assert_eq!(Members::new(&[]).unwrap_err(), CommitteeError::Size { actual: 0 });
        keys.swap(3, 4);
        assert_eq!(Members::new(&keys).unwrap_err(), CommitteeError::Order);
        keys.swap(3, 4);
        keys[1] = keys[0];
        assert_eq!(Members::new(&keys).unwrap_err(), CommitteeError::Order);
        let mut bytes = [0xff; 32];
        bytes[31] = 0x7f;
        keys[1] = ConsensusPublicKey::from_bytes(bytes);
        if public_key(&keys[1]).is_none() {
            assert_eq!(Members::new(&keys).unwrap_err(), CommitteeError::Key { position: 1 });
        }
    }
}
