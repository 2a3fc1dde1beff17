//! The state as bytes, for the sequencer's own store.
//!
//! 1. The bytes are a function of the state alone.
//! 2. `restore` takes what `snapshot` gave; the digest that a certified block commits to covers
//!    the order, the history, the anchors, the balances and what is released, and tells whether it is the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering as ordering;
use fairveil_registry::anchor::Anchor;
use fairveil_registry::schedule::Schedule;
use serde::{Deserialize, Serialize};

use super::ending::{Ending, StoredEnding};
use super::{ChainState, Checked, Pair, Parameters, ParametersError};
use crate::balances::{Balances, BalancesError, StoredBalances};
use crate::chain::Tip;
use crate::host::BundleFacts;
use crate::remembered::Remembered;

/// A snapshot above this size is not read.
pub const MAX_SNAPSHOT_BYTES: usize = 256 << 20;

/// Why bytes are no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Not the encoding of a snapshot.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The parameters contradict each other.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The order's part is no state.
    #[error(transparent)]
    Ordering(#[from] ordering::RestoreError),
    /// The order or the rollups stand at another height, or are of another network, epoch or committee.
    #[error("a part is not of this chain's state")]
    Foreign,
    /// Pairs out of order or twice.
    #[error("consumed nonces are not strictly ascending")]
    Nonces,
    /// Balances that are not of this chain.
    #[error(transparent)]
    Balances(#[from] BalancesError),
    /// Balances on a chain that charges nothing, or none on one that charges.
    #[error("the snapshot and the parameters differ in whether bundles are charged")]
    Accounting,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    tip: Tip,
    ordering: Vec<u8>,
    bundles: BTreeMap<BundleId, BundleFacts>,
    nonces: Vec<(Pair, Height)>,
    released: Height,
    emitting: BTreeSet<Height>,
    convicted: BTreeSet<SequencerIndex>,
    history: Digest,
    balances: Option<StoredBalances>,
    schedule: Schedule,
    anchors: BTreeMap<u64, Anchor>,
    ending: StoredEnding,
}

impl ChainState {
    /// The state's bytes. The parameters are not in them.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        encoding::encode(&Snapshot {
            tip: self.tip,
            ordering: self.ordering.snapshot(),
            bundles: BTreeMap::clone(&self.bundles),
            nonces: self.nonces.entries(self.tip.height.next()),
            released: self.released,
            emitting: BTreeSet::clone(&self.emitting),
            convicted: self.convicted.clone(),
            history: self.history,
            balances: self.balances.as_ref().map(Balances::store),
            schedule: Schedule::clone(&self.schedule),
            anchors: BTreeMap::clone(&self.anchors),
            ending: self.ending.store(),
        })
    }

    /// The state of [`Self::snapshot`].
    ///
    /// # Errors
    ///
    /// If the bytes are not a snapshot of a state with these parameters.
    pub fn restore(parameters: Parameters, bytes: &[u8]) -> Result<Self, RestoreError> {
        let checked = Checked::new(parameters)?;
        let snapshot: Snapshot = encoding::decode(bytes, MAX_SNAPSHOT_BYTES)?;
        let ordering = ordering::State::restore(&snapshot.ordering)?;
        let Parameters { id, committee, mode, .. } = &checked.given;
        let order = ordering.order();
        if ordering.network_id() != id.network_id
            || ordering.epoch() != id.epoch
            || order.committee() != *committee
            || order.mode() != *mode
            || order.height() != snapshot.tip.height
            || *snapshot.schedule.network_id() != id.network_id
            || snapshot.schedule.height() != snapshot.tip.height
        {
            return Err(RestoreError::Foreign);
        }
        if !snapshot.nonces.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Err(RestoreError::Nonces);
        }
        let mut balances = checked.balances.clone();
        match (&mut balances, snapshot.balances) {
            (Some(balances), Some(stored)) => balances.restore(stored)?,
            (None, None) => {}
            _ => return Err(RestoreError::Accounting),
        }
        let mut nonces = Remembered::new();
        nonces.extend(snapshot.nonces, snapshot.tip.height);
        Ok(Self {
            parameters: Arc::new(checked),
            tip: snapshot.tip,
            ordering,
            bundles: Arc::new(snapshot.bundles),
            nonces,
            released: snapshot.released,
            emitting: Arc::new(snapshot.emitting),
            convicted: snapshot.convicted,
            history: snapshot.history,
            balances,
            schedule: Arc::new(snapshot.schedule),
            anchors: Arc::new(snapshot.anchors),
            ending: Ending::restore(snapshot.ending),
        })
    }
}
