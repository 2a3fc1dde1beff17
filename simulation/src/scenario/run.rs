//! One scenario and one seed: the run, its honest counterpart, and the same evidence in all modes.

use std::collections::BTreeMap;
use std::time::Duration;

use commonware_runtime::deterministic;
use fairveil_ordering::Mode;

use super::expect::{Verdict, Whose};
use super::file::Scenario;
use super::metrics::{Measured, measured};
use super::order::Order;
use super::plan::{Cast, plan};
use super::record::{Race, Record};
use crate::committee::plan::{Echo, Faith, Order as Sent};
use crate::committee::{Report, scene};

/// What came of a scenario and a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What the oracle of [`crate::committee`] says, the runtime's auditor with it.
    pub report: Report,
    /// Figures of the run's order, of its honest counterpart's, and of other modes'.
    pub orders: BTreeMap<Whose, Measured>,
    /// Sizes of the cohorts of each order, in its order.
    pub cohorts: BTreeMap<Whose, Vec<usize>>,
    /// Of traders' bundles: the ranks in the order of sending and in the run's.
    pub ranks: Vec<(usize, usize)>,
    /// What the run left behind.
    pub record: Option<Record>,
    /// Everything that is wrong: what the oracle found, and evidence that makes another order.
    pub violations: Vec<String>,
    /// What was expected, and what came.
    pub verdicts: Vec<Verdict>,
}

impl Outcome {
    /// Whether nothing is wrong and every expectation was met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty() && self.verdicts.iter().all(|verdict| verdict.met)
    }

    /// Computes the order once more from its evidence, for whoever measures how long that takes; how
    /// many blocks it was.
    #[must_use]
    pub fn recomputed(&self, scenario: &Scenario) -> Option<usize> {
        let record = self.record.as_ref()?;
        Order::of(record, scenario.committee, scenario.mode).ok()?;
        Some(record.blocks.len())
    }

    /// A figure.
    #[must_use]
    pub fn figure(&self, whose: Whose, name: &str) -> Option<i64> {
        self.orders.get(&whose)?.figures.get(name).copied()
    }

    /// What the attack adds to a figure: the run's less its honest counterpart's.
    #[must_use]
    pub fn added(&self, name: &str) -> Option<i64> {
        Some(self.figure(Whose::Run, name)? - self.figure(Whose::Honest, name)?)
    }
}

/// Modes that get the evidence of a run, but its own.
const MODES: [(Whose, Mode); 4] = [
    (Whose::Strict, Mode::Strict),
    (Whose::Themis, Mode::Themis),
    (Whose::Median, Mode::Median),
    (Whose::Leader, Mode::Leader),
];

/// Figures that are 0 in every run of mode `strict`.
const PROMISED_ZEROS: [&str; 3] =
    ["same_proposal_inversions", "ripe_inversions", "unsupported_neighbours"];
/// One more, where g = 0 and no log is a liar's (F2).
const HONEST_ZERO: &str = "other_inversions";

/// Runs a scenario with a seed.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let (report, record) = play(scenario, seed, Cast::AsWritten);
    let mut outcome = Outcome {
        seed,
        violations: report.violations.clone(),
        report,
        orders: BTreeMap::new(),
        cohorts: BTreeMap::new(),
        ranks: Vec::new(),
        record: None,
        verdicts: Vec::new(),
    };
    match record {
        Ok(record) => {
            outcome.measure(scenario, &record);
            outcome.record = Some(record);
        }
        Err(why) => outcome.violations.push(format!("nothing to measure: {why}")),
    }
    let verdicts = scenario.expect.iter().map(|expected| expected.judged(&outcome));
    outcome.verdicts = verdicts.collect();
    outcome
}

fn play(scenario: &Scenario, seed: u64, cast: Cast<'_>) -> (Report, Result<Record, String>) {
    let plan = plan(scenario, seed, cast);
    let members = plan.n;
    let config = deterministic::Config::new().with_seed(seed);
    let ((mut report, record), checkpoint) = deterministic::Runner::new(config)
        .start_and_recover(|context| scene::play_scenario(context, plan, seed));
    report.audit = checkpoint.auditor().state();
    report.suite.clone_from(&scenario.name);
    report.seed = seed;
    report.members = members;
    (report, record)
}

impl Outcome {
    fn measure(&mut self, scenario: &Scenario, record: &Record) {
        let own = self.order(scenario, record, Whose::Run, scenario.mode);
        if let Some(own) = &own {
            self.violations.extend(own.differs(record));
            self.broken_promises(scenario, Whose::Run);
            self.ranks = ranks(record, own);
        }
        let attacked = !scenario.adversaries.is_empty()
            || scenario.traders.iter().any(|group| group.attack.is_some());
        if attacked {
            self.counterpart(scenario, record);
        }
        for (whose, mode) in MODES.into_iter().filter(|(_, mode)| *mode != scenario.mode) {
            self.order(scenario, record, whose, mode);
        }
    }

    /// The zeros of M1, which mode `strict` promises whatever the file expects.
    fn broken_promises(&mut self, scenario: &Scenario, whose: Whose) {
        if scenario.mode != Mode::Strict {
            return;
        }
        let honest = whose == Whose::Honest || scenario.adversaries.is_empty();
        let honest_zero = (honest && scenario.committee.g() == 0).then_some(HONEST_ZERO);
        for name in PROMISED_ZEROS.into_iter().chain(honest_zero) {
            let value = self.figure(whose, name).unwrap_or(0);
            if value != 0 {
                self.violations.push(format!("{}: {name} is {value}, not 0", whose.name()));
            }
        }
    }

    /// The order that a mode makes of a record, measured.
    fn order(
        &mut self,
        scenario: &Scenario,
        record: &Record,
        whose: Whose,
        mode: Mode,
    ) -> Option<Order> {
        match Order::of(record, scenario.committee, mode) {
            Ok(order) => {
                self.orders.insert(whose, measured(record, &order));
                let sizes = order.cohorts().map(<[_]>::len);
                self.cohorts.insert(whose, sizes.collect());
                Some(order)
            }
            Err(why) => {
                self.violations.push(format!("{}: {why}", whose.name()));
                None
            }
        }
    }

    /// The same seed with nobody cheating: what the attack gained. What promises are kept is judged by
    /// all logs; beside the run it is measured by those that are honest there, too.
    fn counterpart(&mut self, scenario: &Scenario, attacked: &Record) {
        let echoes = echoes(attacked);
        let (report, record) = play(scenario, self.seed, Cast::Honest(&echoes));
        let found = report.violations.into_iter().map(|what| format!("honest: {what}"));
        self.violations.extend(found);
        match record {
            Ok(mut record) => {
                let order = self.order(scenario, &record, Whose::Honest, scenario.mode);
                self.broken_promises(scenario, Whose::Honest);
                if let Some(order) = order {
                    let differs = order.differs(&record);
                    self.violations.extend(differs.map(|what| format!("honest: {what}")));
                    record.honest.clone_from(&attacked.honest);
                    self.orders.insert(Whose::Honest, measured(&record, &order));
                }
            }
            Err(why) => self.violations.push(format!("honest: {why}")),
        }
        if let Some(gain) = self.added("first_ppm")
            && let Some(measured) = self.orders.get_mut(&Whose::Run)
        {
            measured.figures.insert("gain_ppm", gain);
        }
    }
}

/// When and where adversaries' bundles came in that raced others: what an honest client does there, one
/// for each adversary and victim.
fn echoes(record: &Record) -> Vec<Echo> {
    let mut found: BTreeMap<(u64, usize), Echo> = BTreeMap::new();
    for Race { own, victim, by } in &record.races {
        let Some(number) = record.bundles.get(victim).and_then(|sent| sent.number) else {
            continue;
        };
        let Some(entry) = record.logs[*by].iter().find(|entry| entry.id == *own) else { continue };
        // Its clock is rounded down: not before the victim was there.
        let at = Duration::from_millis(entry.at_ms + 1);
        let order = Sent { at, to: vec![(*by, Duration::ZERO)], faith: Faith::Good };
        found.entry((number, *by)).or_insert(Echo { victim: number, order });
    }
    found.into_values().collect()
}

/// Ranks of traders' bundles: in the order of sending, and in the order.
fn ranks(record: &Record, order: &Order) -> Vec<(usize, usize)> {
    let sent: BTreeMap<_, _> = record.traders().map(|(id, sent)| (id, sent.at_us)).collect();
    let out = order.places.iter().filter_map(|place| sent.get(&place.id));
    let mut by_sent: Vec<(u64, usize)> = out.enumerate().map(|(rank, at)| (*at, rank)).collect();
    by_sent.sort_unstable();
    by_sent.into_iter().enumerate().map(|(sent, (_, out))| (sent, out)).collect()
}
