//! One run: members start, traders trade, power fails and returns, until all is quiet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use commonware_p2p::simulated::{self, Link};
use commonware_runtime::{Clock, Spawner, Supervisor as _, deterministic};
use commonware_utils::NZUsize;
use fairveil_crypto::BundleId;
use fairveil_mempool::Bundle;
use fairveil_release::change::RegistryChange;
use fairveil_sequencer::Handle;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::Report;
use super::changes::{Change, Operators};
use super::keys::Keys;
use super::member::{Live, Member, Stop, World};
use super::oracle::{self, Evidence};
use super::plan::{Begins, Kind, Outage, Plan, stream};
use super::trace::Trace;
use super::traders::{Market, Purpose, Wish, lock, ordinary, payer};
use super::{epochs, rollups, splitter};

/// A run that is not quiet by then has failed.
const DEADLINE: Duration = Duration::from_secs(15);
/// The same where blocks are small and slots long.
const SLOTS_DEADLINE: Duration = Duration::from_secs(90);
/// The same where the committee changes twice.
const EPOCHS_DEADLINE: Duration = Duration::from_secs(45);
/// How often the scene looks around.
const STEP: Duration = Duration::from_millis(20);
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
    let mut scene = Scene::new(context, plan, seed).await;
    scene.arm();
    for position in 0..scene.members.len() {
        scene.power(position).await;
    }
    scene.trade(seed);
    let finished = scene.until_quiet().await;
    let virtual_ms = since(scene.started, scene.world.context.current());
    let mut evidence = scene.evidence(finished);
    tamper(&mut evidence);
    let mut report = oracle::judge(&evidence);
    report.virtual_ms = virtual_ms;
    report.counts.insert("crashes".into(), scene.crashes);
    report
}

impl Scene {
    async fn new(context: deterministic::Context, plan: Plan, seed: u64) -> Self {
        let keys = Arc::new(match plan.kind {
            Kind::Epochs => Keys::founded(seed, plan.n, &plan.succession.terms[0]),
            _ => Keys::dealt(seed, plan.n),
        });
        let peers: Vec<_> = (0..usize::from(plan.n)).map(|person| keys.peer(person)).collect();
        let config = simulated::Config {
            max_size: MAX_MESSAGE_BYTES,
            max_peers_per_set: NZUsize!(8),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let network = context.child("network");
        let (network, oracle) =
            simulated::Network::new_with_peers(network, config, peers.clone()).await;
        network.start();
        let mut rng = stream(seed, 1);
        for one in &peers {
            for other in peers.iter().filter(|other| *other != one) {
                let (least, most) = plan.links.latency_ms;
                let link = Link {
                    latency: Duration::from_millis(rng.random_range(least..=most)),
                    jitter: Duration::from_millis(plan.links.jitter_ms),
                    success_rate: plan.links.success_rate,
                };
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
        let outages = plan.outages.clone();
        let up = Arc::new(Mutex::new(vec![false; members.len()]));
        let context = Arc::new(context);
        let (plan, trace, blamed) = (Arc::new(plan), Trace::default(), Arc::default());
        let world = World { context, oracle, keys, plan, trace, up, blamed };
        Self {
            world,
            members,
            market,
            rng,
            started,
            outages,
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
            let (bundle, purpose) = self.contents(seed, number, &mut own);
            let wish = Wish {
                bundle,
                purpose,
                payer: match self.world.plan.rollups.execute() {
                    true => rollups::payer(seed, number),
                    false => payer(&mut rng),
                },
                payer_nonce: rng.random_range(0..1_000),
                window: WINDOW,
                to: order.to.clone(),
            };
            let (market, at) = (self.market.clone(), order.at);
            market.begins();
            context.child("trader").spawn(move |context| async move {
                context.sleep(at).await;
                market.trade(Arc::new(context), wish, own).await;
            });
        }
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
        if self.world.plan.kind == Kind::Splitter {
            splitter::begin(context, &self.market, &self.world.plan, seed);
        }
    }

    /// What the trader of this number wants, and what must become of it.
    fn contents(&self, seed: u64, number: u64, rng: &mut ChaCha20Rng) -> (Bundle, Purpose) {
        let registry = &self.world.plan.rollups.registry;
        if !self.world.plan.rollups.execute() {
            return (ordinary(&registry.chain_ids(), rng), Purpose::Honest);
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
            _ => self.started + DEADLINE,
        };
        let mut quiet_since = None;
        loop {
            self.world.context.sleep(STEP).await;
            self.look().await;
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
            if self.dark.is_empty() {
                self.cut(outage.member, outage.lasts).await;
            }
        }
        let due: Vec<usize> =
            self.dark.iter().filter(|(_, at)| now >= **at).map(|(member, _)| *member).collect();
        for position in due {
            self.dark.remove(&position);
            self.arm();
            self.power(position).await;
        }
    }

    /// Whether every submission is answered and every bundle with f+1 receipts has ended everywhere.
    fn is_quiet(&self) -> bool {
        let outages = self.outages.iter().any(|outage| outage.begins_at_write().is_none());
        if outages || !self.dark.is_empty() || !self.market.is_quiet() {
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
        // Fewer than f+1 receipts promise nothing: such a bundle may wait until its window closes.
        let promised = usize::from(self.world.plan.f) + 1;
        let admitted =
            submissions.iter().filter(|submission| submission.receipts.len() >= promised);
        let all_ended = admitted.into_iter().all(|submission| {
            veterans.iter().all(|member| ended(member, submission.id, submission.expires_at))
        });
        all_ended && self.is_caught_up(&last) && self.is_settled(&last)
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
