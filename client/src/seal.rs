//! Sealing a bundle on the trader's machine: nothing leaves it in the clear.
//!
//! # Invariants
//!
//! 1. A bundle is sealed to the committee key of the pinned network, and to no key that a
//!    sequencer named.
//! 2. What is returned was verified as a sequencer will verify it.
//! 3. A leg on a chain that the definition does not register is refused: it would be ordered,
//!    opened for all to read, and then fail.

use fairveil_crypto::Height;
use fairveil_crypto::envelope::{EnvelopeError, PayerSecret, SealedBundle};
use fairveil_crypto::seal::SealRandomness;
use fairveil_mempool::{Bundle, SealBundleError, SealTerms, seal_bundle};

use crate::trust::PinnedNetwork;

/// What a trader decides about a sealed bundle besides its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The first height at which it may be ordered.
    pub valid_from: Height,
    /// The last height at which it may be ordered.
    pub expires_at: Height,
    /// A number that the payer has not used yet.
    pub payer_nonce: u64,
}

/// Why a bundle is not sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A leg on a chain that is not registered.
    #[error(
        "chain {chain_id} is not registered in this network, registered are {}: correct the leg",
        ChainIds(.registered)
    )]
    UnknownRollup {
        /// The leg's chain.
        chain_id: u64,
        /// The registered ones.
        registered: Vec<u64>,
    },
    /// It can not be sealed under these terms.
    #[error(transparent)]
    Bundle(#[from] SealBundleError),
    /// It would not be admitted.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Seals a bundle to the pinned network's committee and signs it as `payer`.
///
/// # Errors
///
/// [`SealError`].
pub fn seal(
    network: &PinnedNetwork,
    terms: &Terms,
    payer: &PayerSecret,
    bundle: &Bundle,
    randomness: SealRandomness,
) -> Result<SealedBundle, SealError> {
    check_rollups(network, bundle)?;
    let terms = SealTerms {
        network_id: network.network_id(),
        valid_from: terms.valid_from,
        expires_at: terms.expires_at,
        payer_nonce: terms.payer_nonce,
        class: None,
    };
    let key = network.committee().key();
    let sealed = seal_bundle(key, &terms, payer, bundle, randomness)?;
    sealed.verify(&terms.network_id, key)?;
    Ok(sealed)
}

/// How many heights a duration takes, at least one, rounded up.
#[must_use]
pub const fn heights(duration_ms: u64, block_interval_ms: u64) -> u64 {
    let interval = if block_interval_ms == 0 { 1 } else { block_interval_ms };
    let heights = duration_ms.div_ceil(interval);
    if heights == 0 { 1 } else { heights }
}

fn check_rollups(network: &PinnedNetwork, bundle: &Bundle) -> Result<(), SealError> {
    let rollups = &network.definition().proposal().rollups;
    let registered = |chain_id| rollups.iter().any(|rollup| rollup.chain_id == chain_id);
    match bundle.legs().iter().find(|leg| !registered(leg.chain_id)) {
        None => Ok(()),
        Some(leg) => Err(SealError::UnknownRollup {
            chain_id: leg.chain_id,
            registered: rollups.iter().map(|rollup| rollup.chain_id).collect(),
        }),
    }
}

struct ChainIds<'a>(&'a [u64]);

impl std::fmt::Display for ChainIds<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return out.write_str("none");
        }
        for (place, chain_id) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(out, "{separator}{chain_id}")?;
        }
        Ok(())
    }
}
