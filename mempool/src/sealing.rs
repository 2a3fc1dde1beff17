//! The trader's side: from a bundle in the clear to the bytes that are sent.
//!
//! # Invariants
//!
//! 1. Nothing but the padded plaintext depends on the bundle: header and length show its size
//!    class alone.
//! 2. The randomness is used up. A retry sends the same bytes; sealing again needs another payer
//!    nonce, or the second bundle is never opened.
//! 3. The padded plaintext is wiped when the sealing is done.

use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::{
    EnvelopeError, Header, PayerSecret, SealedBundle, SizeClass, UnsignedBundle,
};
use fairveil_crypto::seal::{SealError, SealRandomness, seal};
use fairveil_crypto::{Height, NetworkId};

use crate::bundle::{Bundle, BundleError};

/// What a trader decides about a sealed bundle besides its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealTerms {
    /// The pinned network.
    pub network_id: NetworkId,
    /// The first height at which it may be ordered: a later one announces intent.
    pub valid_from: Height,
    /// The last height at which it may be ordered.
    pub expires_at: Height,
    /// A number that the payer has not used yet.
    pub payer_nonce: u64,
    /// The size class; the smallest that fits if none is given.
    pub class: Option<SizeClass>,
}

/// Why a bundle cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealBundleError {
    /// It does not fit.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The randomness is unusable: draw again.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The terms contradict each other.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Seals a bundle to the committee and signs it as `payer`.
///
/// # Errors
///
/// [`SealBundleError`].
pub fn seal_bundle(
    key: &CommitteeKey,
    terms: &SealTerms,
    payer: &PayerSecret,
    bundle: &Bundle,
    randomness: SealRandomness,
) -> Result<SealedBundle, SealBundleError> {
    let class = terms.class.unwrap_or_else(|| bundle.smallest_class());
    let m = bundle.padded(class)?;
    let header = Header {
        network_id: terms.network_id,
        key_id: key.key_id(),
        class,
        valid_from: terms.valid_from,
        expires_at: terms.expires_at,
        payer: payer.payer(),
        payer_nonce: terms.payer_nonce,
    };
    let ciphertext = seal(key, &header.encode(), &m, randomness)?;
    Ok(UnsignedBundle::new(header, ciphertext)?.sign(payer)?)
}
