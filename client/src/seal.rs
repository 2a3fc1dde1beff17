//! Sealing a bundle on the trader's machine: nothing leaves it in the clear.
//!
//! # Invariants
//!
//! 1. A bundle is sealed to the committee key of the pinned network, and to no key that a
//!    sequencer named.
//! 2. What is returned was verified as a sequencer will verify it.
//! 3. What would certainly fail is known before it is sealed: [`foreseen`] judges as the release
//!    does.

use fairveil_crypto::Height;
use fairveil_crypto::envelope::{EnvelopeError, PayerSecret, SealedBundle};
use fairveil_crypto::seal::SealRandomness;
use fairveil_mempool::{Bundle, Policy, SealBundleError, SealTerms, seal_bundle};
use fairveil_release::failed::Failed;
use fairveil_release::registry::Rollup;
use fairveil_release::validity::valid_transaction;

use crate::registry::registry;
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

/// Why the bundle would fail once it is opened, as far as that is certain today.
///
/// It would be ordered, opened for all to read, and then dropped. The registry is the definition's;
/// a bundle that fails for what it holds, and for no other reason, fails here with the same code.
#[must_use]
pub fn foreseen(network: &PinnedNetwork, bundle: &Bundle) -> Option<Failed> {
    let Ok(registry) = registry(network.definition()) else {
        return bundle.legs().first().map(|leg| Failed::UnknownRollup { rollup: leg.chain_id });
    };
    let mut rollups: Vec<&Rollup> = Vec::new();
    for leg in bundle.legs() {
        match registry.rollup(leg.chain_id) {
            Some(rollup) => rollups.push(rollup),
            None => return Some(Failed::UnknownRollup { rollup: leg.chain_id }),
        }
    }
    for (leg, (contents, rollup)) in (0..).zip(bundle.legs().iter().zip(&rollups)) {
        for (tx, raw) in (0..).zip(&contents.transactions) {
            if let Err(why) = valid_transaction(raw, rollup) {
                return Some(Failed::LegInvalid { leg, tx, why });
            }
        }
    }
    let blind = rollups.iter().find(|rollup| rollup.state.is_none());
    let blind = blind.filter(|_| bundle.policy() == Policy::Execute);
    blind.map(|rollup| Failed::StateUnavailable { rollup: rollup.chain_id })
}

#[cfg(test)]
mod tests;
