//! One simulated sequencer: the node's code on a simulated network and a disk that forgets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_p2p::simulated::{self, Oracle};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock as _, Handle as Task, Quota, Spawner, Supervisor as _, deterministic,
};
use commonware_utils::NZU32;
use fairveil_consensus::committee::PublicKey;
use fairveil_consensus::{Channels, Network, Timing};
use fairveil_crypto::Epoch;
use fairveil_keygen::VerifiedTranscript;
use fairveil_ordering as ordering;
use fairveil_sequencer::boundary::{self, BoundaryError};
use fairveil_sequencer::feed::{self, FeedError, Voters};
use fairveil_sequencer::renewal::{NoResharings, Resharings};
use fairveil_sequencer::sync::{self, Sync, SyncError};
use fairveil_sequencer::views::{NoViews, Views};
use fairveil_sequencer::{Config, Engine, Executor, Handle, PeerChannels, Seat, StopReason, Store};
use futures::channel::oneshot;

use super::ceremony::{Blamed, Own, Part};
use super::keys::{EPOCH, Keys};
use super::plan::Plan;
use super::trace::{Listens, Tap, Trace};
use super::traders::{Handles, lock};
use crate::disk::Disk;

/// Messages a second that a peer may send on a channel: never the bottleneck. Receivers reserve as
/// many slots for each possible peer.
const QUOTA: Quota = Quota::per_second(NZU32!(1_000));

/// How often who joins looks for the transcript that it joins with.
const LOOK: Duration = Duration::from_millis(200);
/// How long the engine of an epoch goes on after its end.
const LINGER: Duration = Duration::from_secs(2);

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
    pub(crate) keys: Arc<Keys>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) trace: Trace,
    pub(crate) reach: Arc<Mutex<Reach>>,
    /// Who was named in the evidence that members of resharings kept.
    pub(crate) blamed: Blamed,
}

/// Who can be reached.
pub(crate) struct Reach {
    /// Who has power, by position.
    pub(crate) up: Vec<bool>,
    /// Who is on one side, for every partition that lasts.
    pub(crate) sides: Vec<Vec<usize>>,
}

impl Reach {
    /// Whether `one` can reach `other` now.
    fn joins(&self, one: usize, other: usize) -> bool {
        self.up[other] && !self.parts(one, other)
    }

    /// Whether a partition lies between two members.
    fn parts(&self, one: usize, other: usize) -> bool {
        self.sides.iter().any(|side| side.contains(&one) != side.contains(&other))
    }
}

/// A person with power.
pub(crate) struct Live {
    handle: Arc<Mutex<Option<Handle>>>,
    pub(crate) store: Store,
    task: Task<()>,
    /// Why the sequencer stopped, once it has.
    stopped: Arc<Mutex<Option<Stop>>>,
}

impl Live {
    /// The handle, once there was a sequencer: who joins later has none at first.
    pub(crate) fn handle(&self) -> Option<Handle> {
        lock(&self.handle).clone()
    }
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
    pub(crate) async fn start(&mut self, world: &World, handles: &Handles) -> Result<(), Stop> {
        let failed = |why: String| Stop { disk: self.disk.has_failed(), why };
        let identity = world.keys.identity(self.position);
        if !self.named {
            self.disk.erase();
        }
        let store = Store::open(self.disk.open(), &world.keys.network_id, &identity);
        let store = store.map_err(|error| failed(error.to_string()))?;
        self.named = true;
        let peer = world.keys.peer(self.position);
        let (channels, own) = channels(world, self.position, &peer).await;
        let (started, answer) = oneshot::channel();
        let (handle, stopped) = (Arc::default(), Arc::new(Mutex::new(None)));
        let person = Person {
            position: self.position,
            setup: Setup::of(world),
            store: store.clone(),
            handle: Arc::clone(&handle),
            handles: Arc::clone(handles),
            started: Some(started),
        };
        let (oracle, stop, disk) = (world.oracle.clone(), Arc::clone(&stopped), self.disk.clone());
        let context = world.context.child("member").with_attribute("index", self.position);
        let task = context.spawn(move |context| async move {
            let engine = Surroundings {
                oracle,
                peer,
                network: Network::new(&context.child("channels"), channels),
            };
            if let Some(mut why) = person.live(&context, engine, Seat::new(own)).await {
                why.disk = why.disk && disk.has_failed();
                *lock(&stop) = Some(why);
            }
        });
        match answer.await {
            Ok(Ok(())) => {
                self.live = Some(Live { handle, store, task, stopped });
                lock(&world.reach).up[self.position] = true;
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
        lock(&world.reach).up[self.position] = false;
        self.disk.crash(seed);
        if let Some(live) = self.live.take() {
            live.task.abort();
            // Aborted, or ended before.
            let _ = live.task.await;
        }
    }
}

/// What a person's engine runs in.
struct Surroundings {
    oracle: Oracle<PublicKey, deterministic::Context>,
    peer: PublicKey,
    network: Network<Tap>,
}

/// What every start of a sequencer needs.
struct Setup {
    keys: Arc<Keys>,
    plan: Arc<Plan>,
    reach: Arc<Mutex<Reach>>,
    clock: Arc<deterministic::Context>,
    blamed: Blamed,
}

/// A person as long as it has power: a sequencer in one epoch after the other.
struct Person {
    position: usize,
    setup: Setup,
    store: Store,
    handle: Arc<Mutex<Option<Handle>>>,
    handles: Handles,
    /// Told once the first sequencer runs or waits to join.
    started: Option<oneshot::Sender<Result<(), String>>>,
}

impl Person {
    /// Why it stopped by itself; nothing if its last term is over.
    async fn live(
        mut self,
        context: &deterministic::Context,
        around: Surroundings,
        mut seat: Seat<Tap, simulated::Receiver<PublicKey>>,
    ) -> Option<Stop> {
        let stop = |disk, why: String| Some(Stop { disk, why });
        // From which epoch on it comes in from outside.
        let mut outside = None;
        loop {
            if let Some(from) = outside.take() {
                self.tell(Ok(()));
                lock(&self.handles)[self.position] = None;
                let next = self.setup.plan.succession.next_of(self.position, from);
                let Some(next) = next else {
                    // Its engine lingers for the others.
                    context.sleep(LINGER).await;
                    return None;
                };
                match self.join(context, &mut seat, next).await {
                    Ok(later) => outside = later,
                    Err(why) => return Some(why),
                }
                continue;
            }
            let stands = match boundary::position(&self.store) {
                Ok(position) => position.map_or(EPOCH, |(epoch, _)| epoch),
                Err(error) => return stop(true, error.to_string()),
            };
            let members = self.setup.plan.succession.members(stands);
            if !members.is_some_and(|members| members.contains(&self.position)) {
                outside = Some(stands);
                continue;
            }
            match self.take_part(context, &mut seat, stands).await {
                Ok(true) => {}
                Ok(false) => {
                    outside = Some(stands.next());
                    continue;
                }
                Err(why) => return Some(why),
            }
            let secrets = self.setup.keys.secrets_in(stands, self.position);
            let secrets = secrets.expect("a share that it kept");
            let engine = Engine {
                peers: around.oracle.manager(),
                blocker: around.oracle.control(around.peer.clone()),
                strategy: Sequential,
                network: around.network.clone(),
            };
            let config = self.setup.config(self.position, stands);
            let (database, own) = (self.store.clone(), context.child("sequencer"));
            let own = own.with_attribute("epoch", stands.get());
            let running =
                fairveil_sequencer::start(own, config, secrets, database, executor(), engine, seat);
            let running = match running.await {
                Ok(running) => running,
                Err(error) => {
                    self.tell(Err(error.to_string()));
                    return stop(true, error.to_string());
                }
            };
            *lock(&self.handle) = Some(running.handle.clone());
            lock(&self.handles)[self.position] = Some(running.handle.clone());
            self.tell(Ok(()));
            let stopped = running.stopped().await;
            seat = match (stopped.reason, stopped.seat) {
                (StopReason::EpochEnded(..), Some(seat)) => seat,
                (StopReason::Missed(named), Some(seat)) => {
                    outside = Some(named.epoch);
                    seat
                }
                (reason, _) => {
                    return stop(matches!(reason, StopReason::Store(_)), reason.to_string());
                }
            };
        }
    }

    /// Comes into an epoch from outside: takes part in its resharing, if there is no share of it here,
    /// and takes its beginning from the members of the epoch before. Answers a later epoch, if that is
    /// all that is served any more.
    async fn join(
        &self,
        context: &deterministic::Context,
        seat: &mut Seat<Tap, simulated::Receiver<PublicKey>>,
        epoch: Epoch,
    ) -> Result<Option<Epoch>, Stop> {
        if !self.take_part(context, seat, epoch).await? {
            return Ok(Some(epoch.next()));
        }
        let groups = vec![self.voters(epoch), self.voters(epoch.next())];
        match sync::run(context, &self.store, seat, Sync::new(epoch, groups)).await {
            Ok(()) => Ok(None),
            Err(SyncError::Over { now, .. }) => Ok(Some(now.epoch)),
            Err(error) => {
                let disk = matches!(error, SyncError::Boundary(BoundaryError::Store(_)));
                Err(Stop { disk, why: error.to_string() })
            }
        }
    }

    /// Gets the share and the transcript of an epoch from its resharing, now or afterwards; false if
    /// that is over.
    async fn take_part(
        &self,
        context: &deterministic::Context,
        seat: &mut Seat<Tap, simulated::Receiver<PublicKey>>,
        epoch: Epoch,
    ) -> Result<bool, Stop> {
        let keys = &self.setup.keys;
        let has_share = keys.secrets_in(epoch, self.position).is_some();
        let before = epoch.previous().filter(|before| *before >= EPOCH);
        let Some(before) = before else { return Ok(has_share) };
        if has_share && keys.transcript(epoch, self.position).is_some() {
            return Ok(true);
        }
        // Whoever joins gets the transcript of the epoch before from the operators.
        let before = loop {
            match keys.published(before) {
                Some(transcript) => break transcript,
                None => context.sleep(LOOK).await,
            }
        };
        let part = self.setup.part(self.position, before);
        let mut own = context.child("feed");
        let voters = self.voters(epoch);
        let is_over = keys.term_of(epoch).is_some();
        match feed::follow(&mut own, &self.store, seat, &voters, epoch, &part).await {
            Ok(_) => {
                let has_share = keys.secrets_in(epoch, self.position).is_some();
                if is_over && has_share {
                    keys.came_late();
                }
                Ok(has_share)
            }
            Err(FeedError::Over { .. }) => Ok(false),
            Err(error) => {
                Err(Stop { disk: matches!(error, FeedError::Store(_)), why: error.to_string() })
            }
        }
    }

    /// The other members of the epoch before this one, and how many of them may lie.
    fn voters(&self, epoch: Epoch) -> Voters {
        let succession = &self.setup.plan.succession;
        let before = epoch.previous().and_then(|before| succession.members(before));
        let before = before.expect("nobody joins the first epoch");
        let keys = before.iter().filter(|member| **member != self.position);
        let keys = keys.map(|member| self.setup.keys.peer(*member)).collect();
        Voters { keys, faulty: (before.len() as u16 - 1) / 3 }
    }

    fn tell(&mut self, what: Result<(), String>) {
        if let Some(started) = self.started.take() {
            // The harness waits for the answer.
            let _ = started.send(what);
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

impl Setup {
    fn of(world: &World) -> Self {
        Self {
            keys: Arc::clone(&world.keys),
            plan: Arc::clone(&world.plan),
            reach: Arc::clone(&world.reach),
            clock: Arc::clone(&world.context),
            blamed: Arc::clone(&world.blamed),
        }
    }

    fn part(&self, person: usize, before: VerifiedTranscript) -> Part {
        let (keys, blamed) = (Arc::clone(&self.keys), Arc::clone(&self.blamed));
        Part::new(before, Own { keys, person, blamed }, self.plan.succession.clone())
    }

    fn config(&self, position: usize, epoch: Epoch) -> Config {
        let plan = &self.plan;
        let term = self.keys.term_of(epoch).expect("an epoch of the plan");
        let (reach, members) = (Arc::clone(&self.reach), term.members.clone());
        let resharings: Arc<dyn Resharings> = match self.keys.transcript(epoch, position) {
            Some(transcript) => Arc::new(self.part(position, transcript)),
            None => Arc::new(NoResharings),
        };
        let views: Arc<dyn Views> = match &plan.rollups.followed {
            Some(followed) => Arc::new(followed.node(position, Arc::clone(&self.clock))),
            None => Arc::new(NoViews),
        };
        Config {
            network_id: self.keys.network_id,
            committee: term.committee.clone(),
            index: term.index_of(position).expect("a member"),
            fairness: ordering::Committee::new(term.committee.n(), plan.f, plan.g)
                .expect("a planned size"),
            mode: plan.mode,
            registry: plan.rollups.registry.clone(),
            genesis: plan.rollups.genesis.clone(),
            views,
            resharings,
            accounting: plan.rollups.accounting.clone(),
            transcript: term.transcript,
            limits: plan.limits.clone(),
            kept_share_heights: plan.kept_share_heights,
            timing: plan.timing(),
            linger: LINGER,
            partition: format!("member-{position}"),
            connected: Arc::new(move || {
                let reach = lock(&reach);
                members.iter().map(|member| reach.joins(position, *member)).collect()
            }),
            retention_heights: 0,
            restored: None,
            behaviour: plan.behaviour(position),
        }
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
        blocks: register(3, world.plan.block_tap()).await,
        backfill: register(4, Listens::Deaf).await,
    };
    let own = PeerChannels {
        logs: register(5, Listens::Deaf).await,
        bundles: register(6, Listens::Deaf).await,
        shares: register(7, Listens::Shares).await,
    };
    (engine, own)
}
