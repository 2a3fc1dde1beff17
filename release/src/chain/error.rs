//! Why a chain of releases does not go on, or is none.

use fairveil_crypto::{BundleId, Digest, Height, NetworkId};
use thiserror::Error;

use crate::failed::Failed;
use crate::release::ReleaseError;
use crate::schedule::ScheduleError;
use crate::slot::SlotNumber;
use crate::states::StatesError;

/// Why a height can't be released now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// Another height is next.
    #[error("height {actual} is not next, {expected} is")]
    Height {
        /// The height that came.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// Of another network.
    #[error("a release of network {actual}, expected {expected}")]
    Network {
        /// The release's network.
        actual: NetworkId,
        /// This one.
        expected: NetworkId,
    },
    /// Built on another release.
    #[error("a release on {actual}, the last one has root {expected}")]
    Previous {
        /// The root that it names.
        actual: Digest,
        /// The last release's root.
        expected: Digest,
    },
    /// Not the certified release.
    #[error("a release with root {actual}, certified is {expected}")]
    Root {
        /// The release's root.
        actual: Digest,
        /// The certified one.
        expected: Digest,
    },
    /// A slot that was cut before.
    #[error("a release of slot {actual}, the last one that was cut is {last}")]
    Slot {
        /// The release's slot.
        actual: SlotNumber,
        /// The last one that was cut.
        last: SlotNumber,
    },
    /// A bundle of an earlier height that does not wait.
    #[error("bundle {id} does not wait, so it can't end at this height")]
    NotWaiting {
        /// The bundle.
        id: BundleId,
    },
    /// A waiting bundle that judging its transactions does not give.
    #[error("what is said of the waiting bundle {id} is not what its transactions give")]
    Forged {
        /// The bundle.
        id: BundleId,
    },
    /// A released bundle that can't be released here.
    #[error("bundle {id} is released, but simulating it gives {failed}")]
    Dropped {
        /// The bundle.
        id: BundleId,
        /// What it gives.
        failed: Failed,
    },
    /// Other states.
    #[error("the states after it have digest {actual}, the release has {expected}")]
    States {
        /// The digest of the states here.
        actual: Digest,
        /// The release's.
        expected: Digest,
    },
    /// A view that the slot does not have.
    #[error("the release has a view of rollup {chain_id} that its slot does not have")]
    View {
        /// The rollup.
        chain_id: u64,
    },
    /// A change of the registry that is not the next one.
    #[error("a change of the registry: {0}")]
    Schedule(#[from] ScheduleError),
    /// A rollup joins, and its genesis is not at hand.
    #[error("height {height}, at which a rollup joins, can't be released: {why}")]
    Genesis {
        /// The height.
        height: Height,
        /// What is missing.
        why: StatesError,
    },
    /// A rollup's state can't be read.
    #[error("the state of rollup {chain_id} can't be read")]
    Unreadable {
        /// The rollup.
        chain_id: u64,
    },
    /// Not what its header commits to.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

/// Why what was stored is no chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// The registry is of another height than the chain.
    #[error("the stored registry is of height {actual}, the last release of height {expected}")]
    Schedule {
        /// The registry's height.
        actual: Height,
        /// The last released height.
        expected: Height,
    },
    /// Another number of bundles waits.
    #[error("{actual} waiting bundles are stored, expected {expected}")]
    Waiting {
        /// How many are stored.
        actual: u64,
        /// How many waited.
        expected: u64,
    },
    /// Another number of released blocks is unseen.
    #[error("{actual} unseen blocks are stored, expected {expected}")]
    Unseen {
        /// How many are stored.
        actual: u64,
        /// How many were unseen.
        expected: u64,
    },
    /// Other states.
    #[error("the stored states are not those of the chain")]
    States,
}
