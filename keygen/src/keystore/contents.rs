//! What a keystore holds.

use std::fmt;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::{ConsensusSecret, Epoch, NetworkId, SequencerIndex};
use zeroize::{Zeroize, Zeroizing};

use super::MembershipError;
use crate::ceremony::Membership;
use crate::dealing::DealingSecret;

const FORM: u8 = 1;
const IDENTITY_BYTES: usize = 1 + 3 * 32 + 1;
const MEMBERSHIP_BYTES: usize = 32 + 8 + 2 + 32;
const MEMBER_BYTES: usize = IDENTITY_BYTES + MEMBERSHIP_BYTES;
const _: () = assert!(MEMBER_BYTES <= super::eip2335::MAX_MESSAGE_BYTES);

/// All secrets of a sequencer.
pub struct SequencerKeys {
    /// Seed of the ed25519 key that authenticates its connections.
    pub network: ConsensusSecret,
    /// The key that signs votes, receipts, shares and its part of the ceremony.
    pub consensus: ConsensusSecret,
    /// Opens the dealings that are encrypted to it.
    pub dealing: DealingSecret,
    /// What it got from a ceremony.
    pub membership: Option<Membership>,
}

impl SequencerKeys {
    /// The membership, if it is the one that is asked for.
    ///
    /// # Errors
    ///
    /// If there is none, or it is of another network or epoch.
    pub fn membership_of(
        &self,
        network_id: &NetworkId,
        epoch: Epoch,
    ) -> Result<&Membership, MembershipError> {
        let member = self.membership.as_ref().ok_or(MembershipError::NoShare)?;
        if member.network_id != *network_id {
            return Err(MembershipError::WrongNetwork {
                expected: *network_id,
                actual: member.network_id,
            });
        }
        if member.epoch != epoch {
            return Err(MembershipError::WrongEpoch { expected: epoch, actual: member.epoch });
        }
        Ok(member)
    }

    pub(super) fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MEMBER_BYTES));
        bytes.push(FORM);
        bytes.extend_from_slice(&self.network.expose_seed()[..]);
        bytes.extend_from_slice(&self.consensus.expose_seed()[..]);
        bytes.extend_from_slice(&self.dealing.expose_bytes()[..]);
        let Some(member) = &self.membership else {
            bytes.push(0);
            return bytes;
        };
        bytes.push(1);
        bytes.extend_from_slice(member.network_id.as_bytes());
        bytes.extend_from_slice(&member.epoch.get().to_be_bytes());
        bytes.extend_from_slice(&member.share.index().get().to_be_bytes());
        bytes.extend_from_slice(&member.share.expose_encoding()[..]);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let form = reader.take::<1>()?;
        let network = ConsensusSecret::from_seed(*reader.take_secret()?);
        let consensus = ConsensusSecret::from_seed(*reader.take_secret()?);
        let dealing = DealingSecret::from_bytes(&*reader.take_secret()?).ok()?;
        let membership = match reader.take::<1>()? {
            [0] => None,
            [1] => Some(Membership {
                network_id: NetworkId::from_bytes(reader.take()?),
                epoch: Epoch::new(u64::from_be_bytes(reader.take()?)),
                share: {
                    let index = SequencerIndex::new(u16::from_be_bytes(reader.take()?))?;
                    KeyShare::decode(index, &*reader.take_secret()?).ok()?
                },
            }),
            _ => return None,
        };
        let complete = form == [FORM] && reader.0.is_empty();
        complete.then_some(Self { network, consensus, dealing, membership })
    }
}

impl fmt::Debug for SequencerKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SequencerKeys({}, <redacted>)", self.consensus.public_key())
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
