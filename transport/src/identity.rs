//! Who a sequencer is on the network.
//!
//! A sequencer is known to its peers by its **consensus key**. It does not use that key in TLS:
//! it has a **network key** beside it, an ed25519 key as well, which the consensus key certifies
//! once. Only whoever holds a certified network key is a peer.
//!
//! Invariants:
//!
//! 1. A [`Member`] exists only with a valid certificate, and with two different keys.
//! 2. Secrets are wiped on drop, are never printed and cannot be serialized or cloned.
//! 3. The keys of an endpoint depend on its secret alone, so that a restarted process answers
//!    packets of its previous life with resets that their senders believe.

use std::{fmt, net::SocketAddr, str::FromStr};

use bytes::Bytes;
use commonware_codec::DecodeExt as _;
use commonware_cryptography::ed25519::PublicKey;
use fairveil_crypto::{
    ConsensusPublicKey, ConsensusSecret, Digest, ParseHexError, Signature, domain::Tag,
};
use ring::{hkdf, hmac, signature::Ed25519KeyPair, signature::KeyPair as _};
use thiserror::Error;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// The ed25519 public key that a sequencer shows in TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkPublicKey([u8; 32]);

impl NetworkPublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NetworkPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Digest::from_bytes(self.0), out)
    }
}

impl fmt::Debug for NetworkPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for NetworkPublicKey {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Digest::from_str(text)?.to_bytes()))
    }
}

/// The secret half of a network key, from its 32-byte seed (RFC 8032).
#[derive(ZeroizeOnDrop)]
pub struct NetworkSecret {
    seed: [u8; 32],
    #[zeroize(skip)]
    public_key: NetworkPublicKey,
}

/// PKCS#8 wrapping of an ed25519 seed (RFC 8410, 7): everything before the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

impl NetworkSecret {
    /// The key of this seed.
    ///
    /// # Errors
    ///
    /// If the cryptography provider refuses the seed.
    pub fn from_seed(mut seed: [u8; 32]) -> Result<Self, SeedRefused> {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SeedRefused)?;
        let mut public_key = [0; 32];
        public_key.copy_from_slice(key.public_key().as_ref());
        let secret = Self { seed, public_key: NetworkPublicKey(public_key) };
        seed.zeroize();
        Ok(secret)
    }

    /// The public key.
    #[must_use]
    pub const fn public_key(&self) -> NetworkPublicKey {
        self.public_key
    }

    /// The key in the form that TLS libraries read.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + self.seed.len()));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(&self.seed);
        der
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("NetworkSecret(<redacted>)")
    }
}

/// The cryptography provider refused a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the cryptography provider refused the seed of a network key")]
pub struct SeedRefused;

/// Certifies a network key with the consensus key of the same sequencer.
#[must_use]
pub fn certify(consensus: &ConsensusSecret, network_key: &NetworkPublicKey) -> Signature {
    consensus.sign(Tag::NetworkKey, &[network_key.as_bytes()])
}

/// A sequencer that may be a peer, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    key: PublicKey,
    network_key: NetworkPublicKey,
    address: SocketAddr,
}

/// Why a member was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MemberError {
    /// The consensus key is not a point of the curve.
    #[error("consensus key {0} is not a point of the curve")]
    ConsensusKey(ConsensusPublicKey),
    /// Both keys are the same.
    #[error("network key {0} is the consensus key itself")]
    SameKey(NetworkPublicKey),
    /// The certificate does not verify.
    #[error("network key {network_key} is not certified by consensus key {consensus_key}")]
    Certificate {
        /// The key that should have signed.
        consensus_key: ConsensusPublicKey,
        /// The key that should be certified.
        network_key: NetworkPublicKey,
    },
}

impl Member {
    /// A member whose network key is certified by its consensus key.
    ///
    /// # Errors
    ///
    /// If the keys are equal or invalid, or the certificate does not verify.
    pub fn new(
        consensus_key: ConsensusPublicKey,
        network_key: NetworkPublicKey,
        certificate: &Signature,
        address: SocketAddr,
    ) -> Result<Self, MemberError> {
        let member = Self::approved(consensus_key, network_key, address)?;
        consensus_key
            .verify(Tag::NetworkKey, &[network_key.as_bytes()], certificate)
            .map_err(|_| MemberError::Certificate { consensus_key, network_key })?;
        Ok(member)
    }

    /// A member whose network key is certified otherwise: by its approval of the definition that
    /// lists both keys.
    ///
    /// # Errors
    ///
    /// If the keys are equal or invalid.
    pub fn approved(
        consensus_key: ConsensusPublicKey,
        network_key: NetworkPublicKey,
        address: SocketAddr,
    ) -> Result<Self, MemberError> {
        if consensus_key.as_bytes() == network_key.as_bytes() {
            return Err(MemberError::SameKey(network_key));
        }
        let key = peer_key(&consensus_key).ok_or(MemberError::ConsensusKey(consensus_key))?;
        Ok(Self { key, network_key, address })
    }

    /// Its consensus key, which is its name on the network.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its network key.
    #[must_use]
    pub const fn network_key(&self) -> NetworkPublicKey {
        self.network_key
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A consensus key in the form that the consensus engine uses for peers.
#[must_use]
pub fn peer_key(consensus_key: &ConsensusPublicKey) -> Option<PublicKey> {
    PublicKey::decode(Bytes::copy_from_slice(consensus_key.as_bytes())).ok()
}

/// The secret behind the keys that an endpoint keeps over restarts.
#[derive(ZeroizeOnDrop)]
pub struct EndpointSecret([u8; 32]);

impl EndpointSecret {
    /// The secret with these bytes, which must be random and stay the same over restarts.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let secret = Self(bytes);
        bytes.zeroize();
        secret
    }

    /// Signs stateless resets.
    pub(crate) fn reset_key(&self) -> hmac::Key {
        self.hmac_key(b"stateless-reset")
    }

    /// Marks the connection ids of this endpoint.
    pub(crate) fn connection_id_key(&self) -> hmac::Key {
        self.hmac_key(b"connection-id")
    }

    /// Protects retry tokens.
    pub(crate) fn token_key(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, Tag::EndpointKeys.as_bytes()).extract(&self.0)
    }

    fn hmac_key(&self, label: &[u8]) -> hmac::Key {
        let labels = [label];
        match self.token_key().expand(&labels, hmac::HMAC_SHA256) {
            Ok(material) => hmac::Key::from(material),
            // HKDF refuses only outputs over 255 hashes; this one is a single hash.
            Err(ring::error::Unspecified) => unreachable!("HKDF gives one block for any label"),
        }
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EndpointSecret(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ADDRESS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    /// Invariant 1.
    #[test]
    fn members_need_a_valid_certificate_and_two_keys() {
        let consensus = ConsensusSecret::from_seed([1; 32]);
        let network = NetworkSecret::from_seed([2; 32]).unwrap().public_key();
        let certificate = certify(&consensus, &network);
        let member = Member::new(consensus.public_key(), network, &certificate, ADDRESS).unwrap();
        assert_eq!(member.key().as_ref(), consensus.public_key().as_bytes());

        let other = NetworkSecret::from_seed([3; 32]).unwrap().public_key();
        assert_eq!(
            Member::new(consensus.public_key(), other, &certificate, ADDRESS),
            Err(MemberError::Certificate {
                consensus_key: consensus.public_key(),
                network_key: other,
            })
        );
        let same = NetworkPublicKey::from_bytes(consensus.public_key().to_bytes());
        let certificate = certify(&consensus, &same);
        assert_eq!(
            Member::new(consensus.public_key(), same, &certificate, ADDRESS),
            Err(MemberError::SameKey(same))
        );
        let no_point = ConsensusPublicKey::from_bytes([2; 32]);
        assert_eq!(
            Member::new(no_point, network, &certificate, ADDRESS),
            Err(MemberError::ConsensusKey(no_point))
        );
    }

    /// Invariant 2.
    #[test]
    fn debug_shows_nothing() {
        let network = NetworkSecret::from_seed([7; 32]).unwrap();
        assert_eq!(format!("{network:?}"), "NetworkSecret(<redacted>)");
        let endpoint = EndpointSecret::from_bytes([7; 32]);
        assert_eq!(format!("{endpoint:?}"), "EndpointSecret(<redacted>)");
    }

    /// Invariant 3, and: the keys differ from each other.
    #[test]
    fn endpoint_keys_are_derived_and_differ() {
        let tag = |key: &hmac::Key| hmac::sign(key, b"x").as_ref().to_vec();
        let secret = EndpointSecret::from_bytes([1; 32]);
        let again = EndpointSecret::from_bytes([1; 32]);
        let other = EndpointSecret::from_bytes([2; 32]);
        assert_eq!(tag(&secret.reset_key()), tag(&again.reset_key()));
        assert_eq!(tag(&secret.connection_id_key()), tag(&again.connection_id_key()));
        assert_ne!(tag(&secret.reset_key()), tag(&other.reset_key()));
        assert_ne!(tag(&secret.reset_key()), tag(&secret.connection_id_key()));
    }

    #[test]
    fn keys_are_read_as_they_are_printed() {
        let key = NetworkSecret::from_seed([5; 32]).unwrap().public_key();
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
