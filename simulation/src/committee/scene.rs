//! One run: members start, traders trade, power fails and returns, until all is quiet.

mod scenario;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use commonware_p2p::simulated::{self, Link};
use commonware_runtime::{Clock, Spawner, Supervisor as _, deterministic};
use commonware_utils::NZUsize;
use fairveil_crypto::BundleId;
use fairveil_mempool::{Bundle, receipt::Receipt};
use fairveil_release::change::RegistryChange;
use fairveil_sequencer::Handle;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::Report;
use super::changes::{Change, Operators};
use super::keys::Keys;
use super::member::{Live, Member, Reach, Stop, World};
use super::oracle::{self, Evidence};
use super::plan::{Begins, Faith, Kind, Order, Outage, Partition, Plan, stream};
use super::trace::Trace;
use super::traders::{Market, Naming, Purpose, Submission, Wish, lock, ordinary, payer};
use super::{epochs, rollups, splitter};

pub(crate) use self::scenario::play_scenario;

/// A run that is not quiet by then has failed.
const DEADLINE: Duration = Duration::from_secs(15);
/// The same where blocks are small and slots long.
const SLOTS_DEADLINE: Duration = Duration::from_secs(90);
/// The same where the committee changes twice.
const EPOCHS_DEADLINE: Duration = Duration::from_secs(45);
/// How often the scene looks around.
const STEP: Duration = Duration::from_millis(20);
/// The same of a scenario, whose record says when blocks came.
const SCENARIO_STEP: Duration = Duration::from_millis(5);
/// Steps of a scenario between two looks at whether all is quiet.
const SCENARIO_QUIET_STEPS: u64 = 8;
/// Peers of the simulated network, at the least.
const PEERS: NonZeroUsize = NZUsize!(8);
/// How long everything must stand still before it counts as quiet.
const QUIET: Duration = Duration::from_millis(600);
/// Largest message of the simulated network.
const MAX_MESSAGE_BYTES: u32 = 8 << 20;
/// Heights for which an ordinary bundle may be ordered: longer than any run.
const WINDOW: u64 = 2_000;

struct Scene {
    world: World,
    members: Vec<Member>,
    market: Market,
    rng: ChaCha20Rng,
    started: SystemTime,
    outages: Vec<Outage>,
    /// All links, by who sends and who receives.
    links: BTreeMap<(usize, usize), Link>,
    /// Partitions that have not begun.
    partitions: Vec<Partition>,
    /// When the first honest member had committed a height. Of scenarios alone.
    commits: BTreeMap<u64, SystemTime>,
    /// Changes of the rollups that final blocks announced.
    announced: Arc<Mutex<Vec<RegistryChange>>>,
    /// Members without power, and when it comes back.
    dark: BTreeMap<usize, SystemTime>,
    /// Members whose sequencer stopped by itself for another reason than its disk.
    stops: Vec<(usize, Stop)>,
    crashes: u64,
}

/// Plays a plan to its end and has it judged.
pub(super) async fn play(context: deterministic::Context, plan: Plan, seed: u64) -> Report {
    play_with(context, plan, seed, |_| ()).await
}

/// Plays a plan to its end; `tamper` changes what the oracle is shown.
pub(super) async fn play_with(
    context: deterministic::Context,
    plan: Plan,
    seed: u64,
    tamper: fn(&mut Evidence<'_>),
) -> Report {
    let (scene, finished) = Scene::played(context, plan, seed).await;
    let virtual_ms = since(scene.started, scene.world.context.current());
    let mut evidence = scene.evidence(finished);
    tamper(&mut evidence);
    let mut report = oracle::judge(&evidence);
    report.virtual_ms = virtual_ms;
    report.counts.insert("crashes".into(), scene.crashes);
    report
}

impl Scene {
    /// A plan, played to its end; whether all went quiet in time.
    async fn played(context: deterministic::Context, plan: Plan, seed: u64) -> (Self, bool) {
        let mut scene = Self::new(context, plan, seed).await;
        scene.arm();
        for position in 0..scene.members.len() {
            scene.power(position).await;
        }
        if scene.world.plan.kind == Kind::Scenario {
            // Instants of a scenario count from here on, as what its traders do.
            scene.started = scene.world.context.current();
        }
        scene.trade(seed);
        let finished = scene.until_quiet().await;
        (scene, finished)
    }

    async fn new(context: deterministic::Context, plan: Plan, seed: u64) -> Self {
        let keys = Arc::new(match plan.kind {
            Kind::Epochs => Keys::founded(seed, plan.n, &plan.succession.terms[0]),
            _ => Keys::dealt(seed, plan.n),
        });
        let peers: Vec<_> = (0..usize::from(plan.n)).map(|person| keys.peer(person)).collect();
        let config = simulated::Config {
            max_size: MAX_MESSAGE_BYTES,
            max_peers_per_set: NonZeroUsize::new(peers.len()).map_or(PEERS, |n| n.max(PEERS)),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let network = context.child("network");
        let (network, oracle) =
            simulated::Network::new_with_peers(network, config, peers.clone()).await;
        network.start();
        let mut rng = stream(seed, 1);
        let mut links = BTreeMap::new();
        for (from, one) in peers.iter().enumerate() {
            for (to, other) in peers.iter().enumerate().filter(|(_, other)| *other != one) {
                let (least, most) = match plan.sites.differ(from, to) {
                    true => plan.sites.between_ms,
                    false => plan.links.latency_ms,
                };
                let link = Link {
                    latency: Duration::from_millis(rng.random_range(least..=most)),
                    jitter: Duration::from_millis(plan.links.jitter_ms),
                    success_rate: plan.links.success_rate,
                };
                links.insert((from, to), link.clone());
                let added = oracle.add_link(one.clone(), other.clone(), link).await;
                added.expect("every link once");
            }
        }
        let members: Vec<_> = (0..peers.len()).map(Member::new).collect();
        let handles = Arc::new(Mutex::new(vec![None; members.len()]));
        let terms = plan.succession.terms.clone();
        let key = keys.first().committee.key().clone();
        let market = Market::new(keys.network_id, key, handles, terms);
        let started = context.current();
        let (outages, partitions) = (plan.outages.clone(), plan.partitions.clone());
        let reach = Reach { up: vec![false; members.len()], sides: Vec::new() };
        let reach = Arc::new(Mutex::new(reach));
        let context = Arc::new(context);
        let (plan, trace, blamed) = (Arc::new(plan), Trace::default(), Arc::default());
        let world = World { context, oracle, keys, plan, trace, reach, blamed };
        Self {
            world,
            members,
            market,
            rng,
            started,
            outages,
            links,
            partitions,
            commits: BTreeMap::new(),
            announced: Arc::default(),
            dark: BTreeMap::new(),
            stops: Vec::new(),
            crashes: 0,
        }
    }

    /// Power is on: the sequencer starts. If its disk fails meanwhile, power is off again.
    async fn power(&mut self, position: usize) {
        match self.members[position].start(&self.world, &self.market.handles).await {
            Ok(()) => {}
            Err(stop) if stop.disk => self.disk_failed(position).await,
            Err(stop) => self.stops.push((position, stop)),
        }
    }

    /// Power failed at a write.
    async fn disk_failed(&mut self, position: usize) {
        let due = self.outages.iter().position(|outage| outage.begins_at_write() == Some(position));
        let lasts = due.map(|at| self.outages.remove(at).lasts);
        self.cut(position, lasts.unwrap_or(STEP)).await;
    }

    /// Power is off.
    async fn cut(&mut self, position: usize, lasts: Duration) {
        let seed = self.rng.random();
        lock(&self.market.handles)[position] = None;
        self.members[position].crash(&self.world, seed).await;
        self.dark.insert(position, self.world.context.current() + lasts);
        self.crashes += 1;
    }

    /// Sets the next failing write of those members that have one coming.
    fn arm(&self) {
        if let Some(Outage { member, begins: Begins::AtWrite(number), .. }) = self.outages.first() {
            let disk = &self.members[*member].disk;
            disk.fail_at_sync(disk.syncs() + number);
        }
    }

    /// All traders begin.
    fn trade(&self, seed: u64) {
        let mut rng = stream(seed, 2);
        let context = &self.world.context;
        for (number, order) in (0u64..).zip(&self.world.plan.orders) {
            let mut own = stream(seed, 1_000 + number);
            let (bundle, purpose) = self.contents(seed, number, order, &mut own);
            let wish = Wish {
                number: Some(number),
                bundle,
                purpose,
                payer: match self.world.plan.rollups.execute() {
                    true => rollups::payer(seed, number),
                    false => payer(&mut rng),
                },
                payer_nonce: rng.random_range(0..1_000),
                window: WINDOW,
                to: order.to.clone(),
                naming: self.naming(),
            };
            self.send(order.at, wish, own);
        }
        self.send_echoes(seed);
        let changes = self.world.plan.changes.clone();
        let operators =
            Operators::new(&self.world.keys, self.market.clone(), Arc::clone(&self.announced));
        self.market.begins();
        context.child("operators").spawn(move |context| operators.work(context, changes));
        if self.world.plan.kind == Kind::Epochs {
            let (market, succession) = (self.market.clone(), self.world.plan.succession.clone());
            let keys = Arc::clone(&self.world.keys);
            self.market.begins();
            context
                .child("succession")
                .spawn(move |context| epochs::operate(context, market, keys, succession));
        }
        if self.world.plan.splitter.is_some() {
            splitter::begin(context, &self.market, &self.world.plan, seed);
        }
    }

    /// A trader begins to carry out its wish at an instant after the start.
    fn send(&self, at: Duration, wish: Wish, rng: ChaCha20Rng) {
        let market = self.market.clone();
        market.begins();
        self.world.context.child("trader").spawn(move |context| async move {
            context.sleep(at).await;
            market.trade(Arc::new(context), wish, rng).await;
        });
    }

    /// What honest clients send where an adversary did in another run.
    fn send_echoes(&self, seed: u64) {
        let registry = &self.world.plan.rollups.registry;
        let first = self.world.plan.orders.len() as u64;
        for (number, echo) in (first..).zip(&self.world.plan.echoes) {
            let mut own = stream(seed, 1_000_000 + number);
            let wish = Wish {
                number: Some(number),
                bundle: ordinary(&registry.chain_ids(), &mut own),
                purpose: Purpose::Honest,
                payer: payer(&mut own),
                payer_nonce: 0,
                window: WINDOW,
                to: echo.order.to.clone(),
                naming: Naming::Everybody,
            };
            self.send(echo.order.at, wish, own);
        }
    }

    /// Whom the traders of this run name.
    fn naming(&self) -> Naming {
        match self.world.plan.kind {
            Kind::Scenario => Naming::Everybody,
            _ => Naming::EveryOther,
        }
    }

    /// What the trader of this number wants, and what must become of it.
    fn contents(
        &self,
        seed: u64,
        number: u64,
        order: &Order,
        rng: &mut ChaCha20Rng,
    ) -> (Bundle, Purpose) {
        let registry = &self.world.plan.rollups.registry;
        if !self.world.plan.rollups.execute() {
            let purpose = match order.faith {
                Faith::Good => Purpose::Honest,
                Faith::Bad => Purpose::Hostile,
            };
            return (ordinary(&registry.chain_ids(), rng), purpose);
        }
        let joins = self.world.plan.changes.iter().filter_map(Change::joins);
        let chains = registry.chain_ids().into_iter().chain(joins).collect();
        let followed = self.world.plan.rollups.followed.as_ref().map(|one| one.chain_id);
        let (bundle, fates) =
            rollups::bundle(chains, &rollups::secret(seed, number), followed, rng);
        (bundle, Purpose::Known(fates))
    }

    /// Lets time pass until nothing is left to happen; false if that takes too long.
    async fn until_quiet(&mut self) -> bool {
        let deadline = match self.world.plan.kind {
            Kind::Epochs => self.started + EPOCHS_DEADLINE,
            Kind::Rollups => self.started + SLOTS_DEADLINE,
            Kind::Scenario => self.started + self.world.plan.ends() + DEADLINE,
            _ => self.started + DEADLINE,
        };
        let scenario = self.world.plan.kind == Kind::Scenario;
        let step = if scenario { SCENARIO_STEP } else { STEP };
        let mut quiet_since = None;
        for number in 1_u64.. {
            self.world.context.sleep(step).await;
            self.look().await;
            if scenario {
                self.watch_commits();
                if !number.is_multiple_of(SCENARIO_QUIET_STEPS) {
                    continue;
                }
            }
            let now = self.world.context.current();
            if now >= deadline || !self.stops.is_empty() {
                return false;
            }
            if !self.is_quiet() {
                quiet_since = None;
                continue;
            }
            if now >= *quiet_since.get_or_insert(now) + QUIET {
                return true;
            }
        }
        false
    }

    /// Carries out what is due: power losses, restarts.
    async fn look(&mut self) {
        let now = self.world.context.current();
        for position in 0..self.members.len() {
            let Some(stop) = self.members[position].stop() else { continue };
            if stop.disk {
                self.disk_failed(position).await;
            } else {
                self.stops.push((position, stop));
                return;
            }
        }
        if let Some(outage) = self.outages.first().copied()
            && let Begins::At(at) = outage.begins
            && now >= self.started + at
        {
            self.outages.remove(0);
            // A suite has one out at a time; a scenario says itself who is.
            if self.dark.is_empty() || self.world.plan.kind == Kind::Scenario {
                self.cut(outage.member, outage.lasts).await;
            }
        }
        self.part(now).await;
        let due: Vec<usize> =
            self.dark.iter().filter(|(_, at)| now >= **at).map(|(member, _)| *member).collect();
        for position in due {
            self.dark.remove(&position);
            self.arm();
            self.power(position).await;
        }
    }

    /// Whether every submission is answered and every awaited bundle has ended everywhere.
    fn is_quiet(&self) -> bool {
        let outages = self.outages.iter().any(|outage| outage.begins_at_write().is_none());
        if outages || !self.dark.is_empty() || !self.partitions.is_empty() {
            return false;
        }
        if !self.market.is_quiet() {
            return false;
        }
        let submissions = self.market.submissions();
        let honest = self.world.plan.honest();
        let staying = |members: Vec<usize>| -> Vec<usize> {
            honest.iter().copied().filter(|member| members.contains(member)).collect()
        };
        // Who was away over a boundary can't tell what became of bundles meanwhile.
        let mut veterans = staying(self.world.plan.succession.veterans());
        veterans.retain(|member| !self.world.plan.misses_much(*member));
        let last = staying(self.world.plan.succession.last().to_vec());
        let ended = |member: &usize, id: BundleId, expires_at: u64| {
            let live = self.members[*member].live.as_ref().and_then(Live::handle);
            let Some(handle) = live else { return false };
            match handle.place(id) {
                Ok(Some(place)) => place.end.is_some(),
                Ok(None) => handle.overview().height > expires_at,
                Err(_) => false,
            }
        };
        let awaited = submissions.iter().filter(|submission| self.is_awaited(submission, &honest));
        let all_ended = awaited.into_iter().all(|submission| {
            veterans.iter().all(|member| ended(member, submission.id, submission.expires_at))
        });
        all_ended && self.is_caught_up(&last) && self.is_settled(&last)
    }

    /// Fewer than f+1 receipts promise nothing: such a bundle may wait until its window closes. A
    /// scenario also waits for what a single honest member relays, so that all of it is measured.
    fn is_awaited(&self, submission: &Submission, honest: &[usize]) -> bool {
        let plan = &self.world.plan;
        let relays = |receipt: &Receipt| honest.contains(&receipt.sequencer.position());
        submission.receipts.len() > usize::from(plan.f)
            || plan.kind == Kind::Scenario
                && submission.purpose != Purpose::Hostile
                && submission.receipts.iter().any(relays)
    }

    /// Whether all honest members are near one tip and have released it.
    fn is_caught_up(&self, honest: &[usize]) -> bool {
        let overviews: Vec<_> = self.handles(honest).map(|handle| handle.overview()).collect();
        let epoch = self.world.plan.succession.last_epoch().get();
        if overviews.iter().any(|overview| overview.epoch != epoch) {
            return false;
        }
        let tip = overviews.iter().map(|overview| overview.height).max().unwrap_or(0);
        overviews.len() == honest.len()
            && overviews.iter().all(|overview| overview.height + 2 >= tip && overview.height > 0)
    }

    /// The handles of those of these members that have one.
    fn handles<'a>(&'a self, members: &'a [usize]) -> impl Iterator<Item = Handle> + 'a {
        members.iter().filter_map(|member| self.members[*member].live.as_ref()?.handle())
    }

    /// Whether all announced changes hold in what every honest member has released.
    fn is_settled(&self, honest: &[usize]) -> bool {
        let released = self.handles(honest).map(|handle| handle.overview().released);
        let released = released.min().unwrap_or(0);
        lock(&self.announced).iter().all(|change| change.at.get() <= released)
    }

    /// Everything that the oracle judges from.
    fn evidence(&self, finished: bool) -> Evidence<'_> {
        Evidence {
            plan: &self.world.plan,
            keys: &self.world.keys,
            finished,
            stops: self
                .stops
                .iter()
                .map(|(member, stop)| format!("sequencer {} stopped: {}", member + 1, stop.why))
                .collect(),
            trace: self.world.trace.taken(),
            submissions: self.market.submissions(),
            changes: lock(&self.announced).clone(),
            blamed: lock(&self.world.blamed).clone(),
            stores: self
                .members
                .iter()
                .map(|member| member.live.as_ref().map(|live| live.store.clone()))
                .collect(),
            accounts: self
                .members
                .iter()
                .map(|member| member.live.as_ref()?.handle()?.accounts().ok()?)
                .collect(),
            overviews: self
                .members
                .iter()
                .map(|member| Some(member.live.as_ref()?.handle()?.overview()))
                .collect(),
        }
    }
}

impl Outage {
    /// The member whose write fails, if this outage begins so.
    fn begins_at_write(&self) -> Option<usize> {
        matches!(self.begins, Begins::AtWrite(_)).then_some(self.member)
    }
}

fn since(from: SystemTime, to: SystemTime) -> u64 {
    let elapsed = to.duration_since(from).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
