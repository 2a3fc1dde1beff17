//! What a suite's seed decides: the committee, its links, who cheats, who crashes, who trades what.

use std::time::Duration;

use commonware_utils::{Probability, probability};
use fairveil_consensus::Timing;
use fairveil_mempool::Limits;
use fairveil_ordering::Mode;
use fairveil_release::opener::KEPT_HEIGHTS;
use fairveil_sequencer::Behaviour;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::changes::{self, Change};
use super::epochs::{PEOPLE, Succession};
use super::member::TIMING;
use super::rollups::{Rollups, has_slow_rollup};
use super::trace::Listens;

/// What a suite is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody cheats, nothing is lost.
    Honest,
    /// Messages are lost and links differ.
    Lossy,
    /// Sequencers lose their power, at random instants or at every k-th durable write.
    Crashes,
    /// One sequencer cheats.
    Adversary(Behaviour),
    /// One sequencer stays without power until nobody keeps shares and bundles for it any more.
    Latecomer,
    /// The committee changes: people join, leave and stay, and lose their power meanwhile.
    Epochs,
    /// Rollups of mixed block times execute bundles, some of which fail; sequencers lose their power.
    Rollups,
    /// A trader splits conflicting, expiring and limit-hitting bundles over the sequencers.
    Splitter,
    /// What a scenario file says ([`crate::scenario`]).
    Scenario,
}

/// The links of a committee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// Least and most mean latency of a link, in milliseconds.
    pub(crate) latency_ms: (u64, u64),
    /// Standard deviation of a message's latency, in milliseconds.
    pub(crate) jitter_ms: u64,
    /// Probability that a message arrives.
    pub(crate) success_rate: Probability,
}

/// Where sequencers stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    /// The site of each sequencer, by position; empty if there is only one.
    pub(crate) of: Vec<usize>,
    /// Least and most mean latency between two sites, in milliseconds.
    pub(crate) between_ms: (u64, u64),
}

impl Sites {
    /// Whether two sequencers stand at different sites.
    pub(crate) fn differ(&self, one: usize, other: usize) -> bool {
        self.of.get(one) != self.of.get(other)
    }
}

/// A loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Who.
    pub(crate) member: usize,
    /// When.
    pub(crate) begins: Begins,
    /// How long the sequencer stays down.
    pub(crate) lasts: Duration,
}

/// A trader that splits its bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Splitter;

/// When a power loss happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// So long after the start.
    At(Duration),
    /// During this durable write after its last start.
    AtWrite(u64),
}

/// A time during which some sequencers reach no other ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Who is on one side.
    pub(crate) side: Vec<usize>,
    /// When it begins, after the start.
    pub(crate) at: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
}

/// An ordinary bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// When it is sealed, after the start.
    pub(crate) at: Duration,
    /// To whom it goes, and how much later.
    pub(crate) to: Vec<(usize, Duration)>,
    /// Whether a trader of good faith sends it.
    pub(crate) faith: Faith,
}

/// What a trader has in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faith {
    /// It wants its bundle carried out.
    Good,
    /// It wants to harm the order.
    Bad,
}

/// A bundle as an adversary sent it in another run of the seed, sent by an honest client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    /// The bundle that the adversary raced: the number of its order.
    pub(crate) victim: u64,
    /// When and where the adversary's bundle came in.
    pub(crate) order: Order,
}

/// Everything that follows from a suite and a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) n: u16,
    pub(crate) f: u16,
    pub(crate) g: u16,
    /// Who decides the order.
    pub(crate) mode: Mode,
    pub(crate) links: Links,
    /// The place of each sequencer on the map: links between places take longer.
    pub(crate) sites: Sites,
    pub(crate) adversaries: Vec<(usize, Behaviour)>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) orders: Vec<Order>,
    pub(crate) echoes: Vec<Echo>,
    /// Whether a trader splits its bundles ([`super::splitter`]).
    pub(crate) splitter: Option<Splitter>,
    pub(crate) rollups: Rollups,
    /// Changes of the rollups.
    pub(crate) changes: Vec<Change>,
    pub(crate) limits: Limits,
    /// Heights for which own shares are kept.
    pub(crate) kept_share_heights: u64,
    /// Who is a member when.
    pub(crate) succession: Succession,
}

/// Streams of randomness that depend on the seed alone.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

impl Plan {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let mut rng = stream(seed, 0);
        let (n, f) = size(kind, &mut rng);
        let succession = match kind {
            Kind::Epochs => Succession::new(&mut stream(seed, 8)),
            _ => Succession::none(n),
        };
        let members = usize::from(n);
        let adversary = match kind {
            Kind::Adversary(behaviour) => Some((rng.random_range(0..members), behaviour)),
            Kind::Epochs => succession.false_witness.map(|one| (one, Behaviour::FalseWitness)),
            _ => None,
        };
        let adversaries = Vec::from_iter(adversary);
        let outages = match kind {
            Kind::Crashes | Kind::Rollups => outages(members, &mut rng),
            Kind::Latecomer => vec![long_outage(members, &mut rng)],
            Kind::Epochs => epochs_outages(members, &mut rng),
            _ => Vec::new(),
        };
        let mut limits = Limits::DEFAULT;
        if kind == Kind::Splitter {
            limits.payer_bundles = SPLITTER_PAYER_BUNDLES;
        }
        let mut kept_share_heights = KEPT_HEIGHTS;
        if kind == Kind::Latecomer {
            limits.retained_heights = LATECOMER_KEPT_HEIGHTS;
            kept_share_heights = LATECOMER_KEPT_HEIGHTS;
        }
        let mut orders = orders(kind, n, f, &mut rng);
        if has_slow_rollup(kind, seed) {
            // Slots are long and blocks small: what waits for the slow rollup takes its time.
            orders.truncate(ORDERS);
        }
        let links = links(kind, &mut rng);
        let rollups = Rollups::new(kind, seed, orders.len(), members);
        let changes = match kind {
            Kind::Rollups => changes::changes(&rollups, &mut stream(seed, 6)),
            _ => Vec::new(),
        };
        Self {
            kind,
            n,
            f,
            g: 0,
            mode: Mode::Strict,
            links,
            sites: Sites::default(),
            adversaries,
            outages,
            partitions: Vec::new(),
            orders,
            echoes: Vec::new(),
            splitter: (kind == Kind::Splitter).then_some(Splitter),
            rollups,
            changes,
            limits,
            kept_share_heights,
            succession,
        }
    }

    /// What is noted of the channel of blocks.
    pub(crate) fn block_tap(&self) -> Listens {
        if self.kind == Kind::Scenario { Listens::Blocks } else { Listens::Deaf }
    }

    /// Whether a person is away for so long that an epoch may begin without it.
    pub(crate) fn misses_much(&self, person: usize) -> bool {
        let long = |outage: &Outage| outage.member == person && outage.lasts > LONG;
        self.kind == Kind::Epochs && self.outages.iter().any(long)
    }

    /// The durations of the consensus.
    pub(crate) fn timing(&self) -> Timing {
        match self.kind {
            // From a handover to an epoch's end it is 32 heights.
            Kind::Epochs => Timing { idle_interval: TIMING.min_interval, ..TIMING },
            _ => TIMING,
        }
    }

    /// When the last thing happens that is planned.
    pub(crate) fn ends(&self) -> Duration {
        let orders = self.orders.iter().chain(self.echoes.iter().map(|echo| &echo.order));
        let sent = orders.map(|order| {
            let delays = order.to.iter().map(|(_, delay)| *delay);
            order.at + delays.max().unwrap_or_default()
        });
        let back = self.outages.iter().filter_map(|outage| match outage.begins {
            Begins::At(at) => Some(at + outage.lasts),
            Begins::AtWrite(_) => None,
        });
        let joined = self.partitions.iter().map(|partition| partition.at + partition.lasts);
        sent.chain(back).chain(joined).max().unwrap_or_default()
    }

    /// Positions of the members that follow the protocol.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..usize::from(self.n))
            .filter(|member| self.behaviour(*member) == Behaviour::Honest)
            .collect()
    }

    /// How a member behaves.
    pub(crate) fn behaviour(&self, member: usize) -> Behaviour {
        let found = self.adversaries.iter().find(|(cheat, _)| *cheat == member);
        found.map_or(Behaviour::Honest, |(_, behaviour)| *behaviour)
    }
}

/// Bundles of one payer that a sequencer admits in suite `splitter`.
pub(crate) const SPLITTER_PAYER_BUNDLES: u64 = 6;
/// Heights for which shares and bundles are kept in suite `latecomer`: far fewer than pass while
/// its member is away.
const LATECOMER_KEPT_HEIGHTS: u64 = 2;
/// Ordinary bundles of a seed.
const ORDERS: usize = 12;
/// Bundles that are sealed at one time where somebody cheats: an adversary needs something to
/// reorder.
const BURST: usize = 3;
/// When the last of them is sealed, at the latest.
const ORDERS_UNTIL_MS: u64 = 2_500;
/// The same in suite `rollups`: some before and some after the rollups have changed.
const ROLLUPS_UNTIL_MS: u64 = 5_500;
/// The same in suite `epochs`: before, while and after the committee changes.
const EPOCHS_UNTIL_MS: u64 = 18_000;
/// An outage in suite `epochs` that may outlast a lingering engine.
const LONG: Duration = Duration::from_secs(1);
/// Members of the smallest committee of suite `epochs`.
const LEAST_MEMBERS: u16 = 5;
/// When the first is sealed, at the earliest.
const ORDERS_FROM_MS: u64 = 300;

fn size(kind: Kind, rng: &mut ChaCha20Rng) -> (u16, u16) {
    let draw = rng.random_range(0..8);
    match kind {
        Kind::Honest | Kind::Lossy if draw < 2 => (4, 0),
        Kind::Epochs => (PEOPLE, 1),
        _ if draw == 7 => (7, 1),
        _ => (5, 1),
    }
}

fn links(kind: Kind, rng: &mut ChaCha20Rng) -> Links {
    let far = rng.random_range(5..40);
    match kind {
        Kind::Lossy => Links {
            latency_ms: (5, far + 40),
            jitter_ms: rng.random_range(0..20),
            success_rate: *[probability!(0.99), probability!(0.97), probability!(0.95)]
                .get(rng.random_range(0..3))
                .expect("one of three"),
        },
        _ => Links {
            latency_ms: (2, far),
            jitter_ms: rng.random_range(0..5),
            success_rate: probability!(1.0),
        },
    }
}

/// At most one sequencer is without power at a time: a committee of five goes on without one.
fn outages(members: usize, rng: &mut ChaCha20Rng) -> Vec<Outage> {
    let lasts = |rng: &mut ChaCha20Rng| Duration::from_millis(rng.random_range(30..900));
    if rng.random_bool(0.5) {
        let (member, every) = (rng.random_range(0..members), rng.random_range(1..24));
        return (0..4)
            .map(|_| Outage { member, begins: Begins::AtWrite(every), lasts: lasts(rng) })
            .collect();
    }
    let mut at = Duration::from_millis(200);
    (0..3)
        .map(|_| {
            at += Duration::from_millis(rng.random_range(50..800));
            let member = rng.random_range(0..members);
            let outage = Outage { member, begins: Begins::At(at), lasts: lasts(rng) };
            at += outage.lasts + Duration::from_millis(200);
            outage
        })
        .collect()
}

/// In suite `epochs` people lose their power at random instants, at a durable write, or for so long that
/// an epoch ends and its engine is gone meanwhile; in one seed of four nobody does.
fn epochs_outages(members: usize, rng: &mut ChaCha20Rng) -> Vec<Outage> {
    let member = |rng: &mut ChaCha20Rng| rng.random_range(0..members);
    let short = |rng: &mut ChaCha20Rng| Duration::from_millis(rng.random_range(30..900));
    match rng.random_range(0..4) {
        0 => Vec::new(),
        1 => {
            let (member, every) = (member(rng), rng.random_range(1..40));
            (0..6)
                .map(|_| Outage { member, begins: Begins::AtWrite(every), lasts: short(rng) })
                .collect()
        }
        2 => {
            let mut at = Duration::from_millis(500);
            (0..6)
                .map(|_| {
                    at += Duration::from_millis(rng.random_range(50..1_500));
                    let (member, begins, lasts) = (member(rng), Begins::At(at), short(rng));
                    at += lasts + Duration::from_millis(200);
                    Outage { member, begins, lasts }
                })
                .collect()
        }
        _ => {
            let begins = Begins::At(Duration::from_millis(rng.random_range(1_000..3_000)));
            let lasts = Duration::from_millis(rng.random_range(12_000..18_000));
            vec![Outage { member: member(rng), begins, lasts }]
        }
    }
}

/// An outage that lasts longer than anything is kept.
fn long_outage(members: usize, rng: &mut ChaCha20Rng) -> Outage {
    let member = rng.random_range(0..members);
    let begins = Begins::At(Duration::from_millis(rng.random_range(200..600)));
    Outage { member, begins, lasts: Duration::from_millis(rng.random_range(4_000..5_000)) }
}

fn orders(kind: Kind, n: u16, f: u16, rng: &mut ChaCha20Rng) -> Vec<Order> {
    let until = match kind {
        Kind::Rollups => ROLLUPS_UNTIL_MS,
        Kind::Epochs => EPOCHS_UNTIL_MS,
        _ => ORDERS_UNTIL_MS,
    };
    let from = if kind == Kind::Splitter { ORDERS_UNTIL_MS } else { ORDERS_FROM_MS };
    let count = match kind {
        Kind::Splitter => ORDERS / 2,
        Kind::Rollups => ORDERS * 4,
        Kind::Epochs => ORDERS * 5,
        _ => ORDERS,
    };
    let bursts = matches!(kind, Kind::Adversary(_));
    let mut burst = from;
    let mut orders: Vec<Order> = (0..count)
        .map(|number| {
            if !bursts || number % BURST == 0 {
                burst = rng.random_range(from..from + until);
            }
            let places = if kind == Kind::Epochs { LEAST_MEMBERS } else { n };
            let (at, to) = (Duration::from_millis(burst), addressees(places, f, rng));
            Order { at, to, faith: Faith::Good }
        })
        .collect();
    orders.sort_by_key(|order| order.at);
    orders
}

/// All sequencers for half of the bundles, else at least f+1 of them.
fn addressees(n: u16, f: u16, rng: &mut ChaCha20Rng) -> Vec<(usize, Duration)> {
    let least = usize::from(f) + 1;
    let mut members: Vec<usize> = (0..usize::from(n)).collect();
    rand::seq::SliceRandom::shuffle(members.as_mut_slice(), rng);
    if rng.random_bool(0.5) {
        members.truncate(rng.random_range(least..=members.len()));
    }
    let delay = |rng: &mut ChaCha20Rng| Duration::from_millis(rng.random_range(0..60));
    members.into_iter().map(|member| (member, delay(rng))).collect()
}
