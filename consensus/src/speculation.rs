//! States of blocks that are not final yet, by digest, over the last final one.
//!
//! # Invariants
//!
//! 1. The base is the state after the last delivered final block; it only moves up.
//! 2. At most [`MAX_STATES`] states above the base are held; the lowest go first, and are computed
//!    again from the blocks' ancestry when they are needed.
//! 3. A state is only ever the result of [`Chain::execute`], or what the sequencer started from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use commonware_utils::sync::Mutex;
use fairveil_crypto::{BlockDigest, Height};

use crate::chain::{Chain, Executed, Tip};
use crate::delivery::Progress;
use crate::signal::Signal;

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
    by_height: BTreeSet<(Height, BlockDigest)>,
}

/// A handle to the states of one engine.
pub(crate) struct Speculation<C: Chain> {
    inner: Arc<Mutex<Inner<C>>>,
    raised: Arc<Signal>,
    progress: Progress,
}

impl<C: Chain> Clone for Speculation<C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            raised: self.raised.clone(),
            progress: self.progress.clone(),
        }
    }
}

impl<C: Chain> Speculation<C> {
    /// Starts from the state after the last block that the sequencer committed.
    pub(crate) fn new(state: C::State, progress: Progress) -> Self {
        let base = C::tip(&state);
        let known = Known { state, executed: None, seen: None };
        let inner = Inner {
            base,
            states: BTreeMap::from([(base.digest, known)]),
            by_height: BTreeSet::from([(base.height, base.digest)]),
        };
        Self { inner: Arc::new(Mutex::new(inner)), raised: Arc::default(), progress }
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
        self.progress.saw_executed(tip.height);
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
            inner.by_height.insert((tip.height, tip.digest));
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
        for (_, digest) in std::mem::replace(&mut inner.by_height, above) {
            inner.states.remove(&digest);
        }
        inner.states.insert(tip.digest, known.clone());
        inner.by_height.insert((tip.height, tip.digest));
        inner.base = tip;
        drop(inner);
        self.raised.changed();
    }

    /// Resolves once the base is at `height` or above.
    pub(crate) async fn reached(&self, height: Height) {
        self.raised.until(|| (self.base().height >= height).then_some(())).await;
    }
}

impl<C: Chain> Inner<C> {
    fn evict(&mut self) {
        while self.states.len() > MAX_STATES + 1 {
            let lowest = self.by_height.iter().find(|(_, digest)| *digest != self.base.digest);
            let Some(lowest) = lowest.copied() else {
                return;
            };
            self.by_height.remove(&lowest);
            self.states.remove(&lowest.1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_crypto::{ConsensusSecret, Digest, Epoch, View};
    use futures::executor::block_on;

    use super::*;
    use crate::ceremony::{CeremonyChain, CeremonyState};
    use crate::chain::Slot;

    type Blocks = Vec<Executed<CeremonyChain>>;

    /// A chain of empty blocks over a genesis; `view` makes another one.
    fn blocks(count: usize, view: u64) -> (CeremonyState, Blocks) {
        let leader = ConsensusSecret::from_seed([1; 32]).public_key();
        let chain = CeremonyChain::new(&Digest::from_bytes([2; 32]));
        let (_, genesis) = chain.genesis(leader).unwrap();
        let mut blocks: Blocks = Vec::new();
        for _ in 0..count {
            let parent = blocks.last().map_or(&genesis, |block| &block.state);
            let slot = Slot {
                epoch: Epoch::ZERO,
                view: View::new(view),
                parent_view: View::ZERO,
                parent: CeremonyChain::tip(parent).digest,
                leader,
            };
            let built = block_on(chain.build(slot, parent)).unwrap();
            blocks.push(built);
        }
        (genesis, blocks)
    }

    fn digest(block: &Executed<CeremonyChain>) -> BlockDigest {
        block.block.block_digest()
    }

    #[test]
    fn invariant_1_the_base_drops_what_is_not_above_it() {
        let (genesis, main) = blocks(5, 1);
        let (_, fork) = blocks(5, 2);
        let progress = Progress::new(Height::ZERO);
        let speculation = Speculation::<CeremonyChain>::new(genesis, progress.clone());
        let now = SystemTime::UNIX_EPOCH;
        for block in main.iter().chain(&fork) {
            speculation.insert(block.clone(), now);
        }
        let second = speculation.get(&digest(&main[1])).unwrap();
        speculation.finalize(&second);
        assert_eq!(speculation.base().digest, digest(&main[1]));
        for (height, (block, other)) in main.iter().zip(&fork).enumerate() {
            assert_eq!(speculation.get(&digest(block)).is_some(), height >= 1);
            assert_eq!(speculation.get(&digest(other)).is_some(), height >= 2);
        }
        block_on(speculation.reached(Height::new(2)));
        // What is not above the base is not held again.
        speculation.insert(main[0].clone(), now);
        assert!(speculation.get(&digest(&main[0])).is_none());
        assert_eq!(progress.height_seen(), Height::ZERO);
    }

    #[test]
    fn invariant_2_the_lowest_states_go_first() {
        let (genesis, main) = blocks(MAX_STATES + 10, 1);
        let progress = Progress::new(Height::ZERO);
        let speculation = Speculation::<CeremonyChain>::new(genesis.clone(), progress.clone());
        for block in &main {
            speculation.insert(block.clone(), SystemTime::UNIX_EPOCH);
        }
        let held = main.iter().filter(|block| speculation.get(&digest(block)).is_some()).count();
        assert_eq!(held, MAX_STATES);
        assert!(speculation.get(&digest(&main[9])).is_none());
        assert!(speculation.get(&digest(&main[10])).is_some());
        assert!(speculation.get(&CeremonyChain::tip(&genesis).digest).is_some(), "the base stays");
        assert_eq!(progress.height_seen(), Height::new(MAX_STATES as u64 + 10 - 16));
    }
}
