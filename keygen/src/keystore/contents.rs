//! What a keystore holds.

use std::fmt;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::{ConsensusSecret, Epoch, NetworkId, SequencerIndex};
use zeroize::{Zeroize, Zeroizing};

use super::epoch_key::{EpochKey, WRAPPED_BYTES};
use super::{DealingKeyError, MembershipError};
use crate::ceremony::Membership;
use crate::dealing::{DealingPublicKey, DealingSecret};

const FORM: u8 = 2;
/// Wrapped secrets in one keystore: shares of two epochs, and a few dealing keys of ceremonies that
/// did not come to an end.
pub const MAX_WRAPPED: usize = 8;
const KIND_DEALING: u8 = 1;
const KIND_SHARE: u8 = 2;
const MAX_LABEL_BYTES: usize = 1 + 48;
const MAX_CONTENTS_BYTES: usize = 1 + 2 * 32 + 1 + MAX_WRAPPED * (MAX_LABEL_BYTES + WRAPPED_BYTES);
const _: () = assert!(MAX_CONTENTS_BYTES <= super::eip2335::MAX_MESSAGE_BYTES);

/// All secrets of a sequencer: two in clear, those that are erased one day wrapped.
pub struct SequencerKeys {
    /// Seed of the ed25519 key that authenticates its connections.
    pub network: ConsensusSecret,
    /// The key that signs votes, receipts, shares and its part of the ceremony.
    pub consensus: ConsensusSecret,
    wrapped: Vec<Wrapped>,
}

/// Which erasable secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// The secret of this dealing key.
    Dealing(DealingPublicKey),
    /// A key share.
    Share {
        /// Its network.
        network_id: NetworkId,
        /// The epoch of its committee.
        epoch: Epoch,
        /// The sequencer's index in it.
        index: SequencerIndex,
    },
}

#[derive(Clone, PartialEq, Eq)]
struct Wrapped {
    label: Label,
    secret: [u8; WRAPPED_BYTES],
}

/// No room for another wrapped secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keystore holds {MAX_WRAPPED} erasable secrets, the limit; forget one that is not needed")]
pub struct KeystoreFull;

impl SequencerKeys {
    /// Keys without a dealing key and without a share.
    #[must_use]
    pub const fn new(network: ConsensusSecret, consensus: ConsensusSecret) -> Self {
        Self { network, consensus, wrapped: Vec::new() }
    }

    /// What it holds wrapped, in order.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.wrapped.iter().map(|one| one.label)
    }

    /// Adds a dealing key under a fresh epoch key.
    ///
    /// # Errors
    ///
    /// If there is no room.
    pub fn add_dealing(
        &mut self,
        secret: &DealingSecret,
        key: &EpochKey,
    ) -> Result<(), KeystoreFull> {
        self.add(Label::Dealing(secret.public_key()), &secret.expose_bytes(), key)
    }

    /// Adds a key share under a fresh epoch key; one of the same epoch is replaced.
    ///
    /// # Errors
    ///
    /// If there is no room.
    pub fn add_membership(
        &mut self,
        membership: &Membership,
        key: &EpochKey,
    ) -> Result<(), KeystoreFull> {
        let &Membership { network_id, epoch, ref share } = membership;
        let label = Label::Share { network_id, epoch, index: share.index() };
        self.add(label, &share.expose_encoding(), key)
    }

    /// Forgets a wrapped secret; false if there is none with this label.
    pub fn forget(&mut self, label: &Label) -> bool {
        let before = self.wrapped.len();
        self.wrapped.retain(|one| one.label != *label);
        self.wrapped.len() < before
    }

    /// The label of the share of this network and epoch.
    ///
    /// # Errors
    ///
    /// If there is none, or only one of another network or epoch.
    pub fn share_label(
        &self,
        network_id: &NetworkId,
        epoch: Epoch,
    ) -> Result<Label, MembershipError> {
        let mut other = MembershipError::NoShare;
        for label in self.labels() {
            let Label::Share { network_id: actual_network, epoch: actual, .. } = label else {
                continue;
            };
            if actual_network != *network_id {
                let (expected, actual) = (*network_id, actual_network);
                other = MembershipError::WrongNetwork { expected, actual };
            } else if actual != epoch {
                other = MembershipError::WrongEpoch { expected: epoch, actual };
            } else {
                return Ok(label);
            }
        }
        Err(other)
    }

    /// The membership in this epoch of this network.
    ///
    /// # Errors
    ///
    /// If there is none, it is of another network or epoch, or `key` is not its epoch key.
    pub fn membership_of(
        &self,
        network_id: &NetworkId,
        epoch: Epoch,
        key: &EpochKey,
    ) -> Result<Membership, MembershipError> {
        let label = self.share_label(network_id, epoch)?;
        let Label::Share { index, .. } = label else { return Err(MembershipError::NoShare) };
        let secret = self.secret(&label, key).ok_or(MembershipError::EpochKey { epoch })?;
        let share = KeyShare::decode(index, &secret[..])
            .map_err(|_| MembershipError::EpochKey { epoch })?;
        Ok(Membership { network_id: *network_id, epoch, share })
    }

    /// The secret of this dealing key.
    ///
    /// # Errors
    ///
    /// If it is not in the keystore, or `key` is not its epoch key.
    pub fn dealing(
        &self,
        public: &DealingPublicKey,
        key: &EpochKey,
    ) -> Result<DealingSecret, DealingKeyError> {
        let label = Label::Dealing(*public);
        if !self.labels().any(|one| one == label) {
            return Err(DealingKeyError::Missing { expected: *public });
        }
        let secret = self.secret(&label, key);
        secret
            .and_then(|bytes| DealingSecret::from_bytes(&bytes).ok())
            .filter(|secret| secret.public_key() == *public)
            .ok_or(DealingKeyError::EpochKey { dealing: *public })
    }

    fn add(&mut self, label: Label, secret: &[u8; 32], key: &EpochKey) -> Result<(), KeystoreFull> {
        self.wrapped.retain(|one| !one.label.is_replaced_by(&label));
        if self.wrapped.len() >= MAX_WRAPPED {
            return Err(KeystoreFull);
        }
        self.wrapped.push(Wrapped { label, secret: key.wrap(&label.to_bytes(), secret) });
        self.wrapped.sort_by_key(|one| one.label);
        Ok(())
    }

    fn secret(&self, label: &Label, key: &EpochKey) -> Option<Zeroizing<[u8; 32]>> {
        let found = self.wrapped.iter().find(|one| one.label == *label)?;
        key.unwrap(&label.to_bytes(), &found.secret)
    }

    pub(super) fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_CONTENTS_BYTES));
        bytes.push(FORM);
        bytes.extend_from_slice(&self.network.expose_seed()[..]);
        bytes.extend_from_slice(&self.consensus.expose_seed()[..]);
        bytes.push(self.wrapped.len() as u8);
        for Wrapped { label, secret } in &self.wrapped {
            bytes.extend_from_slice(&label.to_bytes());
            bytes.extend_from_slice(secret);
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let form = reader.take::<1>()?;
        let network = ConsensusSecret::from_seed(*reader.take_secret()?);
        let consensus = ConsensusSecret::from_seed(*reader.take_secret()?);
        let [count] = reader.take()?;
        let wrapped: Vec<Wrapped> = (0..count)
            .map(|_| Some(Wrapped { label: Label::read(&mut reader)?, secret: reader.take()? }))
            .collect::<Option<_>>()?;
        let ordered = wrapped.is_sorted_by(|one, next| one.label < next.label);
        let complete = form == [FORM] && reader.0.is_empty() && wrapped.len() <= MAX_WRAPPED;
        (complete && ordered).then_some(Self { network, consensus, wrapped })
    }
}

impl fmt::Debug for SequencerKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SequencerKeys({}, <redacted>)", self.consensus.public_key())
    }
}

impl Label {
    /// Whether a secret of this label makes room for one of the other: the same, or the share of
    /// the same epoch.
    fn is_replaced_by(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Share { network_id, epoch, .. },
                Self::Share { network_id: network, epoch: other, .. },
            ) => network_id == network && epoch == other,
            _ => self == other,
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Dealing(key) => [&[KIND_DEALING], &key.as_bytes()[..]].concat(),
            Self::Share { network_id, epoch, index } => [
                &[KIND_SHARE],
                &network_id.as_bytes()[..],
                &epoch.get().to_be_bytes(),
                &index.get().to_be_bytes(),
            ]
            .concat(),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.take::<1>()? {
            [KIND_DEALING] => Some(Self::Dealing(DealingPublicKey::from_bytes(reader.take()?))),
            [KIND_SHARE] => Some(Self::Share {
                network_id: NetworkId::from_bytes(reader.take()?),
                epoch: Epoch::new(u64::from_be_bytes(reader.take()?)),
                index: SequencerIndex::new(u16::from_be_bytes(reader.take()?))?,
            }),
            _ => None,
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn take_secret(&mut self) -> Option<Zeroizing<[u8; 32]>> {
        let mut bytes = self.take::<32>()?;
        let secret = Zeroizing::new(bytes);
        bytes.zeroize();
        Some(secret)
    }
}
