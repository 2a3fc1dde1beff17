//! What became of a bundle, as its document proves it to a trader.
//!
//! # Invariants
//!
//! 1. An [`Ending`] only comes from a document that verifies for the pinned network and the bundle,
//!    order certificate included: release root, Merkle proof, legs and final place.
//! 2. If the trader shows what was sealed, a released bundle has exactly these legs.

use fairveil_crypto::BundleId;
use fairveil_mempool::{Bundle, Policy};
use fairveil_release::document::{BundleDocument, DocumentError};
use fairveil_release::failed::Failed;
use fairveil_release::tree::{Outcome, Position};

use crate::file::document_legs;
use crate::trust::PinnedNetwork;

/// What became of an ordered bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of its legs are in the batches of one release.
    Released {
        /// What that guarantees.
        policy: Policy,
    },
    /// It is a no-op on all rollups.
    Failed(Failed),
    /// It stands after the end of its window and was never opened.
    Expired,
    /// It waits for a later slot; not an end.
    Carried,
}

/// Why a document does not convince a trader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisbeliefReason {
    /// It proves nothing.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It does not show where the bundle was ordered.
    #[error("the document has no order certificate")]
    NoOrder,
    /// The released legs are others than were sealed.
    #[error("the released leg on chain {chain_id} is not what was sealed")]
    OtherLeg {
        /// The first such chain.
        chain_id: u64,
    },
    /// A leg is missing or one too many.
    #[error("{actual} legs were released, {expected} were sealed")]
    LegCount {
        /// Released legs.
        actual: usize,
        /// Sealed legs.
        expected: usize,
    },
}

/// What the document proves: the place in the fair order, and what became of the bundle there.
///
/// # Errors
///
/// [`DisbeliefReason`].
pub fn ending(
    network: &PinnedNetwork,
    document: &BundleDocument,
    id: &BundleId,
    sealed: Option<&Bundle>,
) -> Result<(Position, Ending), DisbeliefReason> {
    let leaf = document.verify(&network.network_id(), network, id)?;
    if document.order.is_none() {
        return Err(DisbeliefReason::NoOrder);
    }
    let ending = match &leaf.outcome {
        Outcome::Released { policy, .. } => Ending::Released { policy: *policy },
        Outcome::Failed(failed) => Ending::Failed(*failed),
        Outcome::Expired => Ending::Expired,
        Outcome::Carried { .. } => Ending::Carried,
    };
    if let (Ending::Released { .. }, Some(bundle)) = (&ending, sealed) {
        check_legs(document, bundle)?;
    }
    Ok((leaf.position, ending))
}

fn check_legs(document: &BundleDocument, bundle: &Bundle) -> Result<(), DisbeliefReason> {
    let sealed = document_legs(bundle);
    let (actual, expected) = (document.legs.len(), sealed.len());
    if actual != expected {
        return Err(DisbeliefReason::LegCount { actual, expected });
    }
    match document.legs.iter().zip(&sealed).find(|(released, sealed)| released != sealed) {
        Some((_, sealed)) => Err(DisbeliefReason::OtherLeg { chain_id: sealed.chain_id }),
        None => Ok(()),
    }
}
