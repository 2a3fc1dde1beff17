//! States of blocks that are not final yet, by digest, over the last final one.
//!
//! # Invariants
//!
//! 1. The base is the state after the last delivered final block; it only moves up.
//! 2. At most [`MAX_STATES`] states above the base are held; the lowest go first, and are computed
//!    again from the blocks' ancestry when they are needed.
//! 3. A state is only ever the result of [`Chain::execute`], or what the sequencer started from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use commonware_utils::channel::watch;
use commonware_utils::sync::Mutex;
use fairveil_crypto::{BlockDigest, Height};

use crate::chain::{Chain, Executed, Tip};

/// States above the base that are held at once.
pub(crate) const MAX_STATES: usize = 256;

/// How far above the base blocks are executed at all: whoever is further behind waits for the
/// final blocks instead of walking down the chain.
pub(crate) const MAX_AHEAD: u64 = 64;

/// Below every digest, at the lower end of a height.
const LOWEST: BlockDigest = BlockDigest::from_bytes([0; 32]);

/// A state and when its block was first judged here.
#[derive(Clone)]
pub(crate) struct Known<C: Chain> {
    pub(crate) state: C::State,
    /// What the block did; nothing is known of the block that the sequencer started from.
    pub(crate) executed: Option<Arc<Executed<C>>>,
    /// When the block was first seen here, unless that was before the start.
    pub(crate) seen: Option<SystemTime>,
}

struct Inner<C: Chain> {
    base: Tip,
    states: BTreeMap<BlockDigest, Known<C>>,
    by_height: BTreeMap<(Height, BlockDigest), ()>,
}

/// A handle to the states of one engine.
pub(crate) struct Speculation<C: Chain> {
    inner: Arc<Mutex<Inner<C>>>,
    base: Arc<watch::Sender<Height>>,
}

impl<C: Chain> Clone for Speculation<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), base: self.base.clone() }
    }
}

impl<C: Chain> Speculation<C> {
    /// Starts from the state after the last block that the sequencer committed.
    pub(crate) fn new(state: C::State) -> Self {
        let base = C::tip(&state);
        let known = Known { state, executed: None, seen: None };
        let inner = Inner {
            base,
            states: BTreeMap::from([(base.digest, known)]),
            by_height: BTreeMap::from([((base.height, base.digest), ())]),
        };
        let (sender, _) = watch::channel(base.height);
        Self { inner: Arc::new(Mutex::new(inner)), base: Arc::new(sender) }
    }

    /// The block that the base stands after.
    pub(crate) fn base(&self) -> Tip {
        self.inner.lock().base
    }

    /// The state after this block, if it is held.
    pub(crate) fn get(&self, digest: &BlockDigest) -> Option<Known<C>> {
        self.inner.lock().states.get(digest).cloned()
    }

    /// Holds the state after a block; the first time it was seen stays.
    pub(crate) fn insert(&self, executed: Executed<C>, now: SystemTime) -> Known<C> {
        let tip = C::tip(&executed.state);
        let mut inner = self.inner.lock();
        if let Some(known) = inner.states.get(&tip.digest) {
            return known.clone();
        }
        let known = Known {
            state: executed.state.clone(),
            executed: Some(Arc::new(executed)),
            seen: Some(now),
        };
        if tip.height > inner.base.height {
            inner.states.insert(tip.digest, known.clone());
            inner.by_height.insert((tip.height, tip.digest), ());
            inner.evict();
        }
        known
    }

    /// Makes a held or given state the base and drops everything that is not above it.
    pub(crate) fn finalize(&self, known: &Known<C>) {
        let tip = C::tip(&known.state);
        let mut inner = self.inner.lock();
        debug_assert!(tip.height > inner.base.height);
        let above = inner.by_height.split_off(&(tip.height.next(), LOWEST));
        for (_, digest) in std::mem::replace(&mut inner.by_height, above).into_keys() {
            inner.states.remove(&digest);
        }
        inner.states.insert(tip.digest, known.clone());
        inner.by_height.insert((tip.height, tip.digest), ());
        inner.base = tip;
        drop(inner);
        self.base.send_replace(tip.height);
    }

    /// Resolves once the base is at `height` or above.
    pub(crate) async fn reached(&self, height: Height) {
        let mut receiver = self.base.subscribe();
        // The sender lives in `self`: the wait can't fail.
        let _ = receiver.wait_for(|base| *base >= height).await;
    }
}

impl<C: Chain> Inner<C> {
    fn evict(&mut self) {
        while self.states.len() > MAX_STATES + 1 {
            let lowest = self.by_height.keys().find(|(_, digest)| *digest != self.base.digest);
            let Some(lowest) = lowest.copied() else {
                return;
            };
            self.by_height.remove(&lowest);
            self.states.remove(&lowest.1);
        }
    }
}
