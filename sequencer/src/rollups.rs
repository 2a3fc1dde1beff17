//! The rollups of every height, as far as final blocks announce changes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `changes` | number (8) | the height of the block that announced a change, and the change |
//!
//! Anchors of followed rollups go the same way ([`crate::views`]).
//!
//! # Invariants
//!
//! 1. What a final block announces is written in the transaction that commits the block.
//! 2. A height is judged, cut, taken over and shown by the registry of that height.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::state::{BlockFault, ChainState};
use fairveil_crypto::{Digest, Height, encoding};
use fairveil_release::{
    anchor::Anchor,
    change::{Action, ApprovedChange, RegistryChange},
    registry::{EmbeddedState, Registry},
    schedule::{Registries, Schedule},
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};

use crate::{
    actor::{Actor, StopReason},
    handle::decoded,
    recovery::entries,
    store::{Store, StoreError, Table, Write},
    views::anchor_key,
};

/// Longest stored change, in bytes.
const MAX_STORED_BYTES: usize = 1 << 10;

/// What became of a change that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeState {
    /// It waits for a block of a leader who has it.
    Waits,
    /// A final block announces it.
    Announced,
}

/// Why a change that was submitted is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// No block could carry it.
    #[error(transparent)]
    Fault(#[from] BlockFault),
    /// Another one waits already.
    #[error("another change with number {number} waits for a block, with digest {waiting}")]
    Another {
        /// The number of both.
        number: u64,
        /// The digest of the one that waits.
        waiting: Digest,
    },
}

/// The rollups of every height; clones share them.
#[derive(Clone)]
pub(crate) struct Rollups(Arc<Mutex<Registries>>);

impl Rollups {
    /// As they are stored, for a network that began with this schedule.
    pub(crate) fn restored(store: &Store, first: Schedule) -> Result<Self, StoreError> {
        let mut registries = Registries::new(first);
        for (height, change) in stored(store)? {
            registries.finalized(height, &[change]).map_err(|error| StoreError::Damaged {
                table: Table::Changes,
                why: error.to_string(),
            })?;
        }
        Ok(Self(Arc::new(Mutex::new(registries))))
    }

    /// Takes what another reading of the same database found.
    pub(crate) fn set(&self, other: Self) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            let registries = other.read().clone();
            *self.read() = registries;
        }
    }

    /// The registry of a height.
    pub(crate) fn at(&self, height: Height) -> Arc<Registry> {
        Arc::clone(self.read().at(height))
    }

    /// Whether any height has this rollup.
    pub(crate) fn ever(&self, chain_id: u64) -> bool {
        self.read().ever(chain_id)
    }

    /// The names of all rollups that any height has, by chain id.
    pub(crate) fn names(&self) -> BTreeMap<u64, String> {
        self.read().names()
    }

    /// The first height from this one on that has the rollup.
    pub(crate) fn next_of(&self, chain_id: u64, height: Height) -> Option<Height> {
        self.read().next_of(chain_id, height)
    }

    /// What holds and is announced at the last final height.
    pub(crate) fn schedule(&self) -> Schedule {
        self.read().schedule().clone()
    }

    fn finalized(&self, height: Height, announced: &[RegistryChange]) -> Result<(), StopReason> {
        let told = self.read().finalized(height, announced);
        told.map_err(|error| StopReason::Inconsistent(format!("announced at {height}: {error}")))
    }

    fn read(&self) -> MutexGuard<'_, Registries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All changes that final blocks announced, in the order of their numbers.
pub(crate) fn stored(store: &Store) -> Result<Vec<(Height, RegistryChange)>, StoreError> {
    let stored = entries(store, Table::Changes, &[])?;
    let changes = stored.iter().map(|(_, value)| decoded(Table::Changes, value, MAX_STORED_BYTES));
    changes.collect()
}

/// The anchors of final blocks from this height on.
pub(crate) fn stored_anchors(
    store: &Store,
    from: Height,
) -> Result<Vec<(Height, Anchor)>, StoreError> {
    let mut anchors = Vec::new();
    for (key, value) in entries(store, Table::Anchors, &[])? {
        let height = key.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let height = Height::new(height.unwrap_or(0));
        if height >= from {
            anchors.push((height, decoded(Table::Anchors, &value, MAX_STORED_BYTES)?));
        }
    }
    Ok(anchors)
}

/// Whether the next block could carry a change that somebody submitted.
pub(crate) fn judged(
    chain: &ChainState,
    waiting: Option<&ApprovedChange>,
    change: &ApprovedChange,
) -> Result<ChangeState, ChangeRefused> {
    if chain.schedule().pending().any(|pending| *pending == change.change) {
        return Ok(ChangeState::Announced);
    }
    match waiting {
        Some(waiting) if waiting.change == change.change => Ok(ChangeState::Waits),
        Some(waiting) => {
            let (number, waiting) = (change.change.number, waiting.change.digest());
            Err(ChangeRefused::Another { number, waiting })
        }
        None => {
            chain.announces(change)?;
            Ok(ChangeState::Waits)
        }
    }
}

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Somebody submitted a change: it waits for a block if one could carry it.
    pub(crate) fn submitted_change(
        &mut self,
        change: ApprovedChange,
    ) -> Result<ChangeState, ChangeRefused> {
        let number = change.change.number;
        self.shared.change(|contents| {
            let state = judged(&self.chain, contents.changes.get(&number), &change)?;
            if state == ChangeState::Waits {
                contents.changes.entry(number).or_insert(change);
            }
            Ok(state)
        })
    }

    /// A final block named these blocks of followed rollups.
    pub(crate) fn anchored(&mut self, height: Height, anchored: &[Anchor]) {
        self.shared.read().anchoring.finalized(height, anchored);
        if anchored.is_empty() {
            return;
        }
        for anchor in anchored {
            let key = anchor_key(height, anchor.chain_id);
            self.outbox.write(Write::put(Table::Anchors, key, encoding::encode(anchor)));
        }
        self.count("anchors", anchored.len() as u64);
        self.openings.anchored(height, anchored.to_vec());
    }

    /// A final block announced these changes.
    pub(crate) fn announced(
        &mut self,
        height: Height,
        announced: &[RegistryChange],
    ) -> Result<(), StopReason> {
        self.rollups.finalized(height, announced)?;
        for change in announced {
            let (number, at, chain_id) = (change.number, change.at, change.action.chain_id());
            let action = change.action.name();
            info!(number, %at, chain_id, action, "a change of the rollups is announced");
            if let Action::Join(rollup) = &change.action
                && let Some(EmbeddedState { genesis, .. }) = rollup.embedded()
                && !self.config.genesis.contains_key(&chain_id)
            {
                warn!(
                    %at, chain_id, %genesis,
                    "a rollup joins whose genesis document is not here: without it this sequencer \
                     stops at that height"
                );
            }
            let value = encoding::encode(&(height, change));
            self.outbox.write(Write::put(Table::Changes, number.to_be_bytes(), value));
            self.openings.announced(change.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_crypto::{ConsensusSecret, NetworkId};
    use fairveil_release::registry::Rollup;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn change(network_id: NetworkId, number: u64, at: u64, action: Action) -> RegistryChange {
        RegistryChange { network_id, number, at: Height::new(at), action }
    }

    #[test]
    fn what_final_blocks_announced_is_read_back_invariant_1() {
        let network_id = NetworkId::from_bytes([7; 32]);
        let key = ConsensusSecret::from_seed([1; 32]).public_key();
        let store = Store::open(InMemoryBackend::new(), &network_id, &key).unwrap();
        let registry = Registry::new(vec![Rollup::recorder(901, "alpha")]).unwrap();
        let first = Schedule::new(network_id, registry).unwrap();
        let join = |chain_id| Action::Join(Rollup::recorder(chain_id, "beta"));
        let changes = [
            (10, change(network_id, 1, 60, join(902))),
            (12, change(network_id, 2, 40, join(903))),
            (70, change(network_id, 3, 90, Action::Leave { chain_id: 902 })),
        ];
        for (height, change) in &changes {
            let value = encoding::encode(&(Height::new(*height), change));
            let key = change.number.to_be_bytes();
            store.commit(&[Write::put(Table::Changes, key, value)]).unwrap();
        }
        let rollups = Rollups::restored(&store, first.clone()).unwrap();
        for (height, ids) in [
            (0, &[901][..]),
            (39, &[901]),
            (40, &[901, 903]),
            (60, &[901, 902, 903]),
            (89, &[901, 902, 903]),
            (90, &[901, 903]),
            (1_000, &[901, 903]),
        ] {
            assert_eq!(rollups.at(Height::new(height)).chain_ids(), ids, "height {height}");
        }
        let next = |chain_id, height| rollups.next_of(chain_id, Height::new(height));
        assert_eq!((next(902, 1), next(902, 61)), (Some(Height::new(60)), Some(Height::new(61))));
        assert_eq!((next(902, 90), next(901, 7)), (None, Some(Height::new(7))));
        assert!(rollups.ever(902) && !rollups.ever(904));
        let names = rollups.names();
        assert_eq!(names.keys().copied().collect::<Vec<_>>(), [901, 902, 903]);
        assert_eq!((&*names[&901], &*names[&902]), ("alpha", "beta"));
        assert_eq!(rollups.schedule().next_number(), 4);
        // A change that can't follow is damage.
        let wrong = encoding::encode(&(Height::new(80), change(network_id, 9, 99, join(904))));
        store.commit(&[Write::put(Table::Changes, 9u64.to_be_bytes(), wrong)]).unwrap();
        assert!(matches!(Rollups::restored(&store, first), Err(StoreError::Damaged { .. })));
    }
}
