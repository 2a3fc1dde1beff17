//! Changes of the rollups while a simulated network runs: which there are, and who makes them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_runtime::{Clock, deterministic};
use fairveil_crypto::committee::threshold;
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Height, NetworkId};
use fairveil_release::change::{Action, ApprovedChange, ChangeApproval, RegistryChange};
use fairveil_release::registry::Registry;
use fairveil_release::schedule::MIN_NOTICE_HEIGHTS;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha20Rng;

use super::keys::Keys;
use super::rollups::Rollups;
use super::traders::{Market, lock};

/// How often the operators look whether a change is announced.
const STEP: Duration = Duration::from_millis(100);
/// How many heights of notice they give beyond the least that is allowed.
const MORE_NOTICE: std::ops::Range<u64> = 6..20;

/// A change that the committee of a run makes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// How long after the change before it, or after the start, it is submitted.
    after: Duration,
    /// How many heights after the present one it shall hold.
    notice: u64,
    action: Action,
}

/// The changes of a run; one in four has none.
pub(crate) fn changes(rollups: &Rollups, rng: &mut ChaCha20Rng) -> Vec<Change> {
    let ids = rollups.registry.chain_ids();
    let one = *ids.choose(rng).expect("at least two rollups");
    let others: Vec<u64> = ids.into_iter().filter(|id| *id != one).collect();
    let other = *others.choose(rng).expect("at least two rollups");
    let pause = |chain_id| Action::Pause { chain_id };
    let resume = |chain_id| Action::Resume { chain_id };
    let leave = |chain_id| Action::Leave { chain_id };
    let join = || rollups.joins.iter().cloned().map(Action::Join).collect::<Vec<_>>();
    let actions = match rng.random_range(0..8) {
        0 | 1 => Vec::new(),
        2 => vec![pause(one), resume(one)],
        3 => vec![pause(one), resume(one), pause(other)],
        4 => vec![pause(one), leave(one)],
        5 => vec![pause(one), leave(other)],
        6 => [join(), vec![pause(one), resume(one)]].concat(),
        _ => [vec![leave(one)], join(), vec![pause(other)]].concat(),
    };
    let change = |action| Change {
        after: Duration::from_millis(rng.random_range(0..500)),
        notice: MIN_NOTICE_HEIGHTS + rng.random_range(MORE_NOTICE),
        action,
    };
    actions.into_iter().map(change).collect()
}

impl Change {
    /// The rollup that joins, if one does.
    pub(crate) fn joins(&self) -> Option<u64> {
        matches!(self.action, Action::Join(_)).then(|| self.action.chain_id())
    }
}

/// The operators of a network, who make its changes one after the other.
pub(crate) struct Operators {
    network_id: NetworkId,
    secrets: Vec<ConsensusSecret>,
    members: Vec<ConsensusPublicKey>,
    market: Market,
    announced: Arc<Mutex<Vec<RegistryChange>>>,
}

impl Operators {
    /// Those of a simulated network. They note what final blocks announce.
    pub(crate) fn new(
        keys: &Keys,
        market: Market,
        announced: Arc<Mutex<Vec<RegistryChange>>>,
    ) -> Self {
        let first = keys.first();
        let members = first.committee.consensus_keys().to_vec();
        let secrets = first.members.iter().map(|person| keys.secret(*person)).collect();
        Self { network_id: keys.network_id, secrets, members, market, announced }
    }

    /// Makes the changes. [`Market::begins`] comes before it.
    pub(crate) async fn work(self, clock: deterministic::Context, changes: Vec<Change>) {
        let mut last = Height::ZERO;
        for (number, change) in (1..).zip(changes) {
            clock.sleep(change.after).await;
            last = self.make(&clock, number, &change, last).await;
        }
        self.market.ends();
    }

    /// Submits a change to everybody, again and again, until a final block announces it; if none can
    /// any more, with a later height. Answers the height from which on it holds.
    async fn make(
        &self,
        clock: &deterministic::Context,
        number: u64,
        change: &Change,
        after: Height,
    ) -> Height {
        loop {
            let height = Height::new(self.market.height() + change.notice).max(after.next());
            let change = RegistryChange {
                network_id: self.network_id,
                number,
                at: height,
                action: change.action.clone(),
            };
            // No block after this height can announce it.
            let until = height.get().saturating_sub(MIN_NOTICE_HEIGHTS);
            while self.market.height() <= until {
                if self.submit(&change).await {
                    lock(&self.announced).push(change);
                    return height;
                }
                clock.sleep(STEP).await;
            }
            if self.submit(&change).await {
                lock(&self.announced).push(change);
                return height;
            }
        }
    }

    /// Submits a change to everybody who has power: whether a final block announces it.
    async fn submit(&self, change: &RegistryChange) -> bool {
        let quorum = threshold(u16::try_from(self.members.len()).expect("a small committee"));
        let signing = self.secrets.iter().take(quorum.into());
        let approvals = signing.map(|secret| ChangeApproval::new(change, secret)).collect();
        let approved = ApprovedChange::new(change.clone(), approvals, &self.members, quorum);
        let approved = approved.expect("a quorum of the members");
        let handles: Vec<_> = lock(&self.market.handles).iter().flatten().cloned().collect();
        let mut announced = false;
        for handle in handles {
            // Whoever lost its power is asked again; who refuses may know already that it is announced.
            let _ = handle.change_registry(approved.clone()).await;
            let schedule = handle.schedule();
            let pending = schedule.pending().any(|pending| pending == change);
            announced |= pending || schedule.next_number() > change.number;
        }
        announced
    }
}

/// The rollups at every height, from what was announced alone.
#[derive(Clone, Debug)]
pub(crate) struct History {
    first: Registry,
    /// In the order in which they come to hold.
    changes: Vec<RegistryChange>,
}

/// Why a bundle must fail for a rollup that it names.
pub(crate) type Refused = &'static str;

impl History {
    /// That of a network which began with these rollups.
    pub(crate) fn new(first: Registry, mut changes: Vec<RegistryChange>) -> Self {
        changes.sort_by_key(|change| (change.at, change.number));
        Self { first, changes }
    }

    /// The rollups at a height.
    pub(crate) fn at(&self, height: u64) -> Registry {
        let mut rollups = self.first.rollups().to_vec();
        for change in self.changes.iter().take_while(|change| change.at.get() <= height) {
            let chain_id = change.action.chain_id();
            match &change.action {
                Action::Join(rollup) => rollups.push(rollup.clone()),
                Action::Leave { .. } => rollups.retain(|rollup| rollup.chain_id != chain_id),
                Action::Pause { .. } | Action::Resume { .. } => {
                    let paused = matches!(change.action, Action::Pause { .. });
                    let found = rollups.iter_mut().find(|rollup| rollup.chain_id == chain_id);
                    if let Some(rollup) = found {
                        rollup.paused = paused;
                    }
                }
            }
        }
        Registry::new(rollups).expect("rollups that meet")
    }

    /// All rollups that there ever were.
    pub(crate) fn ever(&self) -> Registry {
        let joined = self.changes.iter().filter_map(|change| match &change.action {
            Action::Join(rollup) => Some(rollup.clone()),
            _ => None,
        });
        let rollups = self.first.rollups().iter().cloned().chain(joined);
        Registry::new(rollups.collect()).expect("rollups that meet")
    }

    /// Whether a bundle with legs on these rollups must fail for one of them: at once when it is
    /// ordered at a height, or else in the release that ends it. And whether at once.
    pub(crate) fn refused(
        &self,
        chains: &BTreeSet<u64>,
        ordered: u64,
        ended: u64,
    ) -> Option<(Refused, bool)> {
        let now = self.refuses(chains, ordered, ordered).map(|why| (why, true));
        now.or_else(|| self.refuses(chains, ordered, ended).map(|why| (why, false)))
    }

    fn refuses(&self, chains: &BTreeSet<u64>, ordered: u64, height: u64) -> Option<Refused> {
        let registry = self.at(height);
        // One that joined since is not the one that was named.
        let joined_since = |chain_id: &u64| {
            self.changes.iter().any(|change| {
                let at = change.at.get();
                matches!(&change.action, Action::Join(rollup) if rollup.chain_id == *chain_id)
                    && (ordered + 1..=height).contains(&at)
            })
        };
        let gone = |id: &u64| registry.rollup(*id).is_none() || joined_since(id);
        if chains.iter().any(gone) {
            return Some("unknown_rollup");
        }
        let paused = |id: &u64| registry.rollup(*id).is_some_and(|rollup| rollup.paused);
        chains.iter().any(paused).then_some("rollup_paused")
    }
}
