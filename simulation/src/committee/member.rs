//! One simulated sequencer: the node's code on a simulated network and a disk that forgets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_p2p::simulated::{self, Oracle};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle as Task, Quota, Spawner, Supervisor as _, deterministic};
use commonware_utils::NZU32;
use fairveil_consensus::committee::{PublicKey, public_key};
use fairveil_consensus::{Channels, Network, Timing};
use fairveil_crypto::{Digest, SequencerIndex};
use fairveil_ordering::{self as ordering, Mode};
use fairveil_sequencer::views::{NoViews, Views};
use fairveil_sequencer::{
    Behaviour, Config, Engine, Executor, Handle, PeerChannels, StopReason, Store,
};
use futures::channel::oneshot;

use super::keys::Keys;
use super::plan::Plan;
use super::trace::{Listens, Tap, Trace};
use super::traders::lock;
use crate::disk::Disk;

/// Messages a second that a peer may send on a channel: never the bottleneck. Receivers reserve as
/// many slots for each possible peer.
const QUOTA: Quota = Quota::per_second(NZU32!(1_000));

/// Durations that let a view fail and recover within a few virtual seconds.
pub(crate) const TIMING: Timing = Timing {
    min_interval: Duration::from_millis(100),
    idle_interval: Duration::from_millis(300),
    leader_timeout: Duration::from_millis(700),
    certification_timeout: Duration::from_millis(1_000),
    retry_interval: Duration::from_millis(700),
    skip_timeout: Duration::from_millis(2_000),
    fetch_timeout: Duration::from_millis(300),
    fetch_retry: Duration::from_millis(100),
};

/// What all members share.
pub(crate) struct World {
    pub(crate) context: Arc<deterministic::Context>,
    pub(crate) oracle: Oracle<PublicKey, deterministic::Context>,
    pub(crate) keys: Keys,
    pub(crate) plan: Plan,
    pub(crate) trace: Trace,
    /// Who has power, by position.
    pub(crate) up: Arc<Mutex<Vec<bool>>>,
}

/// A member with power.
pub(crate) struct Live {
    pub(crate) handle: Handle,
    pub(crate) store: Store,
    task: Task<()>,
    /// Why the sequencer stopped, once it has.
    stopped: Arc<Mutex<Option<Stop>>>,
}

/// Why a sequencer stopped by itself.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// Whether its disk had failed.
    pub(crate) disk: bool,
    /// In its words.
    pub(crate) why: String,
}

/// One member.
pub(crate) struct Member {
    pub(crate) position: usize,
    pub(crate) disk: Disk,
    /// Whether the database has its name: as in the node, it gets it once it is whole.
    named: bool,
    pub(crate) live: Option<Live>,
}

impl Member {
    pub(crate) fn new(position: usize) -> Self {
        Self { position, disk: Disk::default(), named: false, live: None }
    }

    /// Starts the sequencer from what its disk holds.
    pub(crate) async fn start(&mut self, world: &World) -> Result<(), Stop> {
        let failed = |why: String| Stop { disk: self.disk.has_failed(), why };
        let network_id = world.keys.network_id;
        let identity = world.keys.committee().consensus_keys()[self.position];
        if !self.named {
            self.disk.erase();
        }
        let store = Store::open(self.disk.open(), &network_id, &identity);
        let store = store.map_err(|error| failed(error.to_string()))?;
        self.named = true;
        let peer = public_key(&identity).expect("a dealt key");
        let (channels, own) = channels(world, self.position, &peer).await;
        let config = config(world, self.position);
        let secrets = world.keys.secrets(self.position);
        let (oracle, database) = (world.oracle.clone(), store.clone());
        let (started, answer) = oneshot::channel();
        let stopped = Arc::new(Mutex::new(None));
        let (stop, disk) = (Arc::clone(&stopped), self.disk.clone());
        let context = world.context.child("member").with_attribute("index", self.position);
        let task = context.spawn(move |context| async move {
            let network = Network::new(&context.child("channels"), channels);
            let engine = Engine {
                peers: oracle.manager(),
                blocker: oracle.control(peer),
                strategy: Sequential,
                network,
            };
            let sequencer = context.child("sequencer");
            let running = fairveil_sequencer::start(
                sequencer,
                config,
                secrets,
                database,
                executor(),
                engine,
                own,
            );
            match running.await {
                Err(error) => {
                    // The harness waits for the answer.
                    let _ = started.send(Err(error.to_string()));
                }
                Ok(running) => {
                    let _ = started.send(Ok(running.handle.clone()));
                    let reason = running.stopped().await;
                    let failed = disk.has_failed() && matches!(reason, StopReason::Store(_));
                    *lock(&stop) = Some(Stop { disk: failed, why: reason.to_string() });
                }
            }
        });
        match answer.await {
            Ok(Ok(handle)) => {
                self.live = Some(Live { handle, store, task, stopped });
                lock(&world.up)[self.position] = true;
                Ok(())
            }
            Ok(Err(why)) => Err(failed(why)),
            Err(_) => Err(failed("the sequencer's task is gone".into())),
        }
    }

    /// Why the running sequencer stopped, if it did.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.live.as_ref().and_then(|live| lock(&live.stopped).clone())
    }

    /// Loses power: the process is gone, and what wasn't synced survives as `seed` says.
    pub(crate) async fn crash(&mut self, world: &World, seed: u64) {
        lock(&world.up)[self.position] = false;
        self.disk.crash(seed);
        if let Some(live) = self.live.take() {
            live.task.abort();
            // Aborted, or ended before.
            let _ = live.task.await;
        }
    }
}

/// One thread beside each thread that simulates: every job runs to its end before anything else.
fn executor() -> Executor {
    thread_local! {
        static EXECUTOR: Executor = Executor::inline().expect("a thread");
    }
    EXECUTOR.with(Clone::clone)
}

fn config(world: &World, position: usize) -> Config {
    let plan = &world.plan;
    let behaviour = match plan.adversary {
        Some((member, behaviour)) if member == position => behaviour,
        _ => Behaviour::Honest,
    };
    let up = Arc::clone(&world.up);
    let views: Arc<dyn Views> = match &plan.rollups.followed {
        Some(followed) => Arc::new(followed.node(position, Arc::clone(&world.context))),
        None => Arc::new(NoViews),
    };
    Config {
        network_id: world.keys.network_id,
        committee: world.keys.committee().clone(),
        index: SequencerIndex::from_position(position).expect("a member"),
        fairness: ordering::Committee::new(plan.n, plan.f, 0).expect("a planned size"),
        mode: Mode::Strict,
        registry: plan.rollups.registry.clone(),
        genesis: plan.rollups.genesis.clone(),
        views,
        accounting: plan.rollups.accounting.clone(),
        transcript: Digest::from_bytes([1; 32]),
        limits: plan.limits.clone(),
        kept_share_heights: plan.kept_share_heights,
        timing: TIMING,
        partition: format!("member-{position}"),
        connected: Arc::new(move || lock(&up).clone()),
        retention_heights: 0,
        restored: None,
        behaviour,
    }
}

type Pair = (Tap, simulated::Receiver<PublicKey>);

/// The member's channels, with taps where the trace listens.
async fn channels(
    world: &World,
    position: usize,
    peer: &PublicKey,
) -> (
    Channels<Tap, simulated::Receiver<PublicKey>>,
    PeerChannels<Tap, simulated::Receiver<PublicKey>>,
) {
    let control = world.oracle.control(peer.clone());
    let register = async |channel: u64, listens: Listens| -> Pair {
        let registered = control.register(channel, QUOTA).await;
        let (wire, receiver) = registered.expect("the simulated network runs");
        (Tap::new(wire, position, listens, world.trace.clone()), receiver)
    };
    let engine = Channels {
        votes: register(0, Listens::Votes).await,
        certificates: register(1, Listens::Deaf).await,
        resolver: register(2, Listens::Deaf).await,
        blocks: register(3, Listens::Deaf).await,
        backfill: register(4, Listens::Deaf).await,
    };
    let own = PeerChannels {
        logs: register(5, Listens::Deaf).await,
        bundles: register(6, Listens::Deaf).await,
        shares: register(7, Listens::Shares).await,
    };
    (engine, own)
}
