//! The nodes of a followed rollup, one per sequencer: its chain, and when they are away.
//!
//! The rollup makes a block a second. Nobody feeds it, so its state stays what it was; every bundle
//! has an account of its own, so that decides what becomes of a leg, whatever was released before.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use commonware_runtime::{Clock, deterministic};
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Tag, hash};
use fairveil_release::anchor::Anchor;
use fairveil_release::registry::FollowedState;
use fairveil_release::states::MemoryState;
use fairveil_release::views::StateView;
use fairveil_sequencer::views::{SETTLED_MS, Views};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::rollups::BASE_FEE;

/// How a simulated rollup is followed. Its blocks hold exactly their gas target, so that the base fee
/// stays [`BASE_FEE`].
pub(crate) const RULE: FollowedState =
    FollowedState { max_age_ms: 4_000, elasticity: 2, denominator: 8 };
const GAS_LIMIT: u64 = 30_000_000;

/// From when to when a node does not answer, in milliseconds after the start.
type Absence = std::ops::Range<u64>;

/// A rollup that others feed too.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) chain_id: u64,
    state: Arc<MemoryState>,
    /// Of every sequencer's node.
    away: Vec<Vec<Absence>>,
}

impl Followed {
    /// Every other seed has a time without any node; and each node is away for a while of its own.
    pub(crate) fn new(
        chain_id: u64,
        state: MemoryState,
        members: usize,
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let mut absence = |most| {
            let from = rng.random_range(500..8_000);
            from..from + rng.random_range(100..most)
        };
        let all = absence(8_000);
        let own: Vec<Absence> = (0..members).map(|_| absence(3_000)).collect();
        let common = rng.random_bool(0.5);
        let away = own.into_iter().map(|own| {
            let all = common.then(|| all.clone());
            all.into_iter().chain([own]).collect()
        });
        Self { chain_id, state: Arc::new(state), away: away.collect() }
    }

    /// The node of one sequencer.
    pub(crate) fn node(&self, member: usize, clock: Arc<deterministic::Context>) -> Node {
        let (chain_id, state) = (self.chain_id, Arc::clone(&self.state));
        Node { chain_id, state, away: self.away[member].clone(), clock }
    }
}

/// A node of a followed rollup.
pub(crate) struct Node {
    chain_id: u64,
    state: Arc<MemoryState>,
    away: Vec<Absence>,
    clock: Arc<deterministic::Context>,
}

impl Node {
    /// The time, if the node answers.
    fn now_ms(&self) -> Option<u64> {
        let elapsed = self.clock.current().duration_since(SystemTime::UNIX_EPOCH);
        let now = elapsed.unwrap_or(Duration::ZERO).as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        (!self.away.iter().any(|absence| absence.contains(&now))).then_some(now)
    }

    /// Block `number`, of that second.
    fn block(&self, number: u64) -> Anchor {
        let names = [&self.chain_id.to_be_bytes()[..], &number.to_be_bytes()];
        Anchor {
            chain_id: self.chain_id,
            number,
            hash: hash(Tag::TestDealer, &names),
            state_root: Digest::from_bytes([1; 32]),
            timestamp_s: number,
            base_fee: BASE_FEE,
            gas_limit: GAS_LIMIT,
            gas_used: GAS_LIMIT / RULE.elasticity,
        }
    }
}

impl Views for Node {
    fn settled(&self) -> Vec<Anchor> {
        let Some(now) = self.now_ms() else { return Vec::new() };
        let newest = now.saturating_sub(SETTLED_MS) / 1_000;
        (newest > 0).then(|| self.block(newest)).into_iter().collect()
    }

    fn has(&self, anchor: &Anchor) -> bool {
        let made = |now: u64| anchor.time_ms() <= now;
        self.now_ms().is_some_and(made) && *anchor == self.block(anchor.number)
    }

    fn open(&self, anchor: &Anchor) -> Option<Arc<dyn StateView>> {
        let state: Arc<dyn StateView> = Arc::<MemoryState>::clone(&self.state);
        self.has(anchor).then_some(state)
    }
}
