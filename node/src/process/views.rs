//! The own nodes of followed rollups: asked again and again, each by a thread of its own.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fairveil_adapters::{
    followed::FollowedRollup,
    json_rpc::{Endpoint, Limits},
};
use fairveil_release::{anchor::Anchor, registry::Registry, views::StateView};
use fairveil_sequencer::views::{SETTLED_MS, Views};
use tracing::{info, warn};

use super::NodeError;
use crate::config::Config;

/// How often a node is asked where its chain is.
const POLL: Duration = Duration::from_millis(250);
/// The longest wait for an answer.
const CALL: Duration = Duration::from_secs(3);

/// The nodes of the followed rollups, by chain id.
pub(super) struct NodeViews {
    rollups: BTreeMap<u64, Arc<FollowedRollup>>,
}

impl NodeViews {
    /// Those that the setting `views` names. Each is asked from now on until the process ends.
    pub(super) fn start(config: &Config, registry: &Registry) -> Result<Self, NodeError> {
        let failed = |why: String| NodeError::Start { what: "views", why };
        let expected = "CHAIN_ID=URL, comma-separated, e.g. 901=http://127.0.0.1:8545";
        let invalid = || NodeError::from(config.invalid("views", expected));
        let limits = Limits { call: CALL, ..Limits::default() };
        let mut rollups = BTreeMap::new();
        for one in config.text("views").split(',').filter(|one| !one.trim().is_empty()) {
            let (chain_id, url) = one.trim().split_once('=').ok_or_else(invalid)?;
            let chain_id: u64 = chain_id.parse().map_err(|_| invalid())?;
            let endpoint = Endpoint::new(url, limits)
                .map_err(|error| failed(format!("the node of rollup {chain_id}: {error}")))?;
            let rollup = FollowedRollup::new(chain_id, endpoint)
                .map_err(|error| failed(format!("the node of rollup {chain_id}: {error}")))?;
            if rollups.insert(chain_id, Arc::new(rollup)).is_some() {
                return Err(failed(format!("rollup {chain_id} has two nodes, one is allowed")));
            }
        }
        for rollup in registry.rollups().iter().filter(|rollup| rollup.followed().is_some()) {
            let chain_id = rollup.chain_id;
            if !rollups.contains_key(&chain_id) {
                warn!(
                    chain_id,
                    "a rollup is followed and `views` names no node of it: this sequencer does not vote \
                     for its anchors, and takes over what others release over them"
                );
            }
        }
        for rollup in rollups.values() {
            ask(Arc::clone(rollup)).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Self { rollups })
    }

    /// Whether each rollup's node answered when it was asked last.
    pub(super) fn reachable(&self) -> impl Iterator<Item = (u64, bool)> {
        self.rollups.iter().map(|(chain_id, rollup)| (*chain_id, rollup.is_reachable()))
    }
}

impl Views for NodeViews {
    fn settled(&self) -> Vec<Anchor> {
        let until_ms = now_ms().saturating_sub(SETTLED_MS);
        self.rollups.values().filter_map(|rollup| rollup.settled(until_ms)).collect()
    }

    fn has(&self, anchor: &Anchor) -> bool {
        self.rollups.get(&anchor.chain_id).is_some_and(|rollup| rollup.has(anchor))
    }

    fn open(&self, anchor: &Anchor) -> Option<Arc<dyn StateView>> {
        // Who did not answer a moment ago is not waited for.
        let rollup = self.rollups.get(&anchor.chain_id).filter(|rollup| rollup.is_reachable())?;
        let state = rollup.open(anchor)?;
        Some(state)
    }
}

/// Starts the thread that asks a rollup's node. It says so when the node stops and begins to answer.
fn ask(rollup: Arc<FollowedRollup>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name(format!("view-{}", rollup.chain_id()));
    thread.spawn(move || {
        let chain_id = rollup.chain_id();
        let mut answered = None;
        // A node that was restored starts its sequencer twice in one process.
        while Arc::strong_count(&rollup) > 1 {
            let observed = rollup.observe(now_ms());
            if answered != Some(observed.is_ok()) {
                match &observed {
                    Ok(()) => info!(chain_id, "the rollup's node answers"),
                    Err(error) => warn!(chain_id, %error, "the rollup's node can't be followed"),
                }
                answered = Some(observed.is_ok());
            }
            std::thread::sleep(POLL);
        }
    })?;
    Ok(())
}

fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the node owns the clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
