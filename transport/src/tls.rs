//! TLS 1.3 with raw ed25519 public keys (RFC 7250): no certificates, no names, no clock.
//!
//! Invariants:
//!
//! 1. A dialler accepts exactly one server key; an acceptor of sequencers exactly the keys that
//!    its directory admits at that moment. Both sides prove possession in the handshake.
//! 2. The protocol name (ALPN) is `<protocol>/<version>/<network id in hex>`; without agreement
//!    on it there is no connection.
//! 3. No 0-RTT and no resumption: no ticket is issued, stored or accepted.

use std::{fmt, sync::Arc};

use fairveil_crypto::NetworkId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use thiserror::Error as ThisError;

use crate::identity::{NetworkPublicKey, NetworkSecret};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Between two sequencers.
    Sequencers,
    /// Between a trader and a sequencer.
    Traders,
}

/// The protocol name that both sides must agree on.
pub(crate) fn protocol_name(protocol: Protocol, network_id: &NetworkId) -> Vec<u8> {
    let prefix = match protocol {
        Protocol::Sequencers => "fairveil/1",
        Protocol::Traders => "fairveil-trader/1",
    };
    format!("{prefix}/{network_id}").into_bytes()
}

/// The name that dialers put into the handshake; nobody looks at it.
pub(crate) const SERVER_NAME: &str = "fairveil";

/// TLS could not be set up.
#[derive(Clone, Debug, PartialEq, ThisError)]
pub enum TlsError {
    /// rustls refused the configuration.
    #[error("TLS refused its configuration: {0}")]
    Configuration(Error),
    /// The provider lacks the cipher suite that QUIC begins with.
    #[error("the TLS provider lacks QUIC's initial cipher suite")]
    NoInitialCipherSuite,
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self::Configuration(error)
    }
}

impl From<quinn::crypto::rustls::NoInitialCipherSuite> for TlsError {
    fn from(_: quinn::crypto::rustls::NoInitialCipherSuite) -> Self {
        Self::NoInitialCipherSuite
    }
}

/// Decides which network keys an acceptor admits.
pub(crate) trait Admission: Send + Sync + 'static {
    fn admits(&self, key: &NetworkPublicKey) -> bool;
}

/// The accepting side between sequencers.
pub(crate) fn sequencer_server(
    secret: &NetworkSecret,
    network_id: &NetworkId,
    admission: Arc<dyn Admission>,
) -> Result<QuicServerConfig, TlsError> {
    let provider = provider();
    let verifier =
        AdmittedKeys { admission, algorithms: provider.signature_verification_algorithms };
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier));
    server(config, secret, protocol_name(Protocol::Sequencers, network_id))
}

/// The dialling side between sequencers.
pub(crate) fn sequencer_client(
    secret: &NetworkSecret,
    network_id: &NetworkId,
    pinned: NetworkPublicKey,
) -> Result<QuicClientConfig, TlsError> {
    let own_key = AlwaysResolvesClientRawPublicKeys::new(certified_key(secret)?);
    let config = client_builder(pinned)?.with_client_cert_resolver(Arc::new(own_key));
    client(config, protocol_name(Protocol::Sequencers, network_id))
}

/// The accepting side of the trader endpoint: traders stay anonymous.
pub(crate) fn trader_server(
    secret: &NetworkSecret,
    network_id: &NetworkId,
) -> Result<QuicServerConfig, TlsError> {
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth();
    server(config, secret, protocol_name(Protocol::Traders, network_id))
}

/// A trader, who pins the key of the sequencer.
pub(crate) fn trader_client(
    network_id: &NetworkId,
    pinned: NetworkPublicKey,
) -> Result<QuicClientConfig, TlsError> {
    let config = client_builder(pinned)?.with_no_client_auth();
    client(config, protocol_name(Protocol::Traders, network_id))
}

/// The network key in a SubjectPublicKeyInfo (RFC 8410, 4).
pub(crate) fn key_of(spki: &[u8]) -> Option<NetworkPublicKey> {
    let key = spki.strip_prefix(SPKI_PREFIX.as_slice())?;
    Some(NetworkPublicKey::from_bytes(key.try_into().ok()?))
}

const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_builder(
    pinned: NetworkPublicKey,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>, TlsError>
{
    let provider = provider();
    let verifier = PinnedKey { pinned, algorithms: provider.signature_verification_algorithms };
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn client(mut config: rustls::ClientConfig, name: Vec<u8>) -> Result<QuicClientConfig, TlsError> {
    config.alpn_protocols = vec![name];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(QuicClientConfig::try_from(config)?)
}

fn server(
    builder: rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert>,
    secret: &NetworkSecret,
    name: Vec<u8>,
) -> Result<QuicServerConfig, TlsError> {
    let own_key = AlwaysResolvesServerRawPublicKeys::new(certified_key(secret)?);
    let mut config = builder.with_cert_resolver(Arc::new(own_key));
    config.alpn_protocols = vec![name];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(QuicServerConfig::try_from(config)?)
}

fn certified_key(secret: &NetworkSecret) -> Result<Arc<CertifiedKey>, TlsError> {
    let der = secret.to_pkcs8();
    let key =
        rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
    let spki = [SPKI_PREFIX.as_slice(), secret.public_key().as_bytes()].concat();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key)))
}

/// Judges a presented key; the alert for a wrong one is `access_denied`.
fn judge(
    spki: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    admitted: impl FnOnce(&NetworkPublicKey) -> bool,
) -> Result<(), Error> {
    if !intermediates.is_empty() {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    }
    let key = key_of(spki).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if admitted(&key) {
        Ok(())
    } else {
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

fn verify_possession(
    message: &[u8],
    spki: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signature, algorithms)
}

const TLS12: Error = Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered);

struct PinnedKey {
    pinned: NetworkPublicKey,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for PinnedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PinnedKey").field(&self.pinned).finish()
    }
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        judge(end_entity, intermediates, |key| *key == self.pinned)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

struct AdmittedKeys {
    admission: Arc<dyn Admission>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for AdmittedKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AdmittedKeys")
    }
}

impl ClientCertVerifier for AdmittedKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        judge(end_entity, intermediates, |key| self.admission.admits(key))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_round_trip_through_their_der_form() {
        let secret = NetworkSecret::from_seed([9; 32]).unwrap();
        let spki = [SPKI_PREFIX.as_slice(), secret.public_key().as_bytes()].concat();
        assert_eq!(key_of(&spki), Some(secret.public_key()));
        assert_eq!(key_of(&spki[..43]), None);
        assert_eq!(key_of(&[spki.as_slice(), &[0]].concat()), None);
        // rustls derives the same SubjectPublicKeyInfo from the secret key.
        let certified = certified_key(&secret).unwrap();
        let derived = certified.key.public_key().unwrap();
        assert_eq!(derived.as_ref(), spki.as_slice());
    }

    /// Invariant 2.
    #[test]
    fn protocol_names_differ_by_network_and_protocol() {
        let id = NetworkId::from_bytes([0xab; 32]);
        let name = protocol_name(Protocol::Sequencers, &id);
        assert_eq!(name, format!("fairveil/1/0x{}", "ab".repeat(32)).into_bytes());
        assert!(name.len() < 256);
        assert_ne!(name, protocol_name(Protocol::Traders, &id));
        assert_ne!(name, protocol_name(Protocol::Sequencers, &NetworkId::from_bytes([0; 32])));
    }
}
