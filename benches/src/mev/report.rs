//! What a meter found, and the forms it leaves in.
//!
//! Money is in dollars per run; a run is one seed's flow. *Worse by* counts what the traders of swaps
//! paid more or got less than without the searcher, over swaps that were executed both times.
//!
//! # Invariants
//!
//! 1. The same seeds give the same bytes of `report.json`, but for the environment.
//! 2. No strategy is left out of a table, and back-runs after release never stand in a sum with
//!    anything else.

mod leaks;
mod markdown;
mod plot;

use fairveil_ordering::Mode;
use serde::{Deserialize, Serialize};

pub use self::leaks::Leaks;
use super::arm::{Arm, Outcome, Strategy, SwapOutcome};
use super::run::{ALONE, AloneOutcome, ArmOutcome, QUOTABLE_SEEDS, RACES, SeedOutcome};
use super::statistics::{Estimate, Sample};
use crate::environment::Environment;
use crate::report::{File, PlotError, ReportError};

/// Version of the JSON.
pub const FORMAT: u32 = 1;
/// Units in a dollar.
const DOLLAR: f64 = super::amm::WHOLE as f64;

/// What a meter found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Always `mev`.
    pub instrument: String,
    /// Whether there are too few seeds to quote it.
    pub quick: bool,
    /// Where it ran; nothing below depends on it.
    pub environment: Environment,
    /// The first seed.
    pub first_seed: u64,
    /// How many.
    pub seeds: u64,
    /// Dollars that the traders of swaps turn over in a run.
    pub volume: Estimate,
    /// The four arms.
    pub arms: Vec<ArmReport>,
    /// Strategies where the searcher has no other, in the worst arm and in the best.
    pub alone: Vec<Alone>,
    /// What front-running takes in the first arm, less what it takes in the last, seed by seed.
    pub front_running_difference: Estimate,
    /// The same of everything before release.
    pub before_release_difference: Estimate,
    /// The race for positions, by mode.
    pub races: Vec<Race>,
    /// What sealing and order leave.
    pub leaks: Leaks,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmReport {
    /// Its name.
    pub name: String,
    /// By strategy.
    pub strategies: Vec<StrategyReport>,
    /// Taken from traders by standing before them: sandwiches and copies.
    pub front_running: Estimate,
    /// The same in basis points of the volume.
    pub front_running_bps: Estimate,
    /// Everything before release: that, and back-runs that did not wait for it.
    pub before_release: Estimate,
    /// The same in basis points of the volume.
    pub before_release_bps: Estimate,
    /// Back-runs over public states.
    pub after_release: Estimate,
    /// Dollars by which swaps were worse.
    pub slippage: Estimate,
    /// The same in basis points of their volume.
    pub slippage_bps: Estimate,
    /// Of victims of sandwiches alone, in basis points of their volume.
    pub victim_slippage_bps: Estimate,
    /// Swaps of a run that were victims of a sandwich or of a bet on one.
    pub victims: Estimate,
    /// Swaps of a run that failed and would not have without the searcher.
    pub failed_by_searcher: Estimate,
    /// Swaps of a run that failed without him.
    pub failed_anyway: Estimate,
    /// Share of fronts that stood before their targets.
    pub fronts_ahead: Estimate,
    /// Sandwiches, or bets on one, that were tried in a run.
    pub sandwiches: Estimate,
    /// Share of sandwiches that were tried and left something after fees.
    pub sandwiches_won: Estimate,
    /// Dollars that honest arbitrageurs earned less than without the searcher.
    pub arbitrage_lost: Estimate,
}

/// Each strategy alone in an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alone {
    /// The arm's name.
    pub arm: String,
    /// Dollars after fees, in the order of the strategies.
    pub values: Vec<Estimate>,
    /// Dollars by which swaps were worse.
    pub slippages: Vec<Estimate>,
}

/// A strategy in an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyReport {
    /// Its name.
    pub name: String,
    /// Dollars after fees, beside the others.
    pub value: Estimate,
    /// Bundles.
    pub bundles: Estimate,
    /// Of these, executed.
    pub executed: Estimate,
}

/// The race for positions in a mode: who hears of a swap sends one bundle that is to stand before it
/// and one behind, whatever the swap is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Race {
    /// The mode.
    pub mode: Mode,
    /// Share of fronts that stood before, with the searcher's sequencer.
    pub ahead: Estimate,
    /// The same on the same links with an honest one.
    pub ahead_honest: Estimate,
    /// What the corrupt sequencer gains, seed by seed.
    pub gain: Estimate,
    /// Share of swaps between front and back.
    pub around: Estimate,
    /// The same with an honest one.
    pub around_honest: Estimate,
}

impl Report {
    /// What these seeds amount to.
    pub fn of(first_seed: u64, outcomes: &[SeedOutcome]) -> Self {
        let arms: Vec<ArmReport> =
            (0..Arm::ALL.len()).map(|place| ArmReport::of(place, outcomes)).collect();
        let last = Arm::ALL.len() - 1;
        let difference = |value: fn(&Outcome) -> i64| {
            mean(outcomes, |seed| {
                let value = |place: usize| value(&seed.arms[place].attacked);
                (value(0) - value(last)) as f64 / DOLLAR
            })
        };
        let seeds = outcomes.len() as u64;
        Self {
            format: FORMAT,
            instrument: "mev".to_owned(),
            quick: seeds < QUOTABLE_SEEDS,
            environment: Environment::here(),
            first_seed,
            seeds,
            volume: mean(outcomes, |seed| volume(&seed.arms[last].peaceful) / DOLLAR),
            arms,
            alone: (0..ALONE.len()).map(|place| Alone::of(place, outcomes)).collect(),
            front_running_difference: difference(front_running),
            before_release_difference: difference(before_release),
            races: (0..RACES.len()).map(|place| Race::of(place, outcomes)).collect(),
            leaks: Leaks::of(outcomes),
        }
    }

    /// The report as files: Markdown, CSV, JSON and the plot.
    ///
    /// # Errors
    ///
    /// If the plot could not be drawn, or a figure is no number.
    pub fn files(&self, outcomes: &[SeedOutcome]) -> Result<Vec<File>, ReportError> {
        Ok(vec![
            File { name: "report.md", contents: markdown::page(self) },
            File { name: "runs.csv", contents: lines(outcomes) },
            File { name: "report.json", contents: serde_json::to_string_pretty(self)? + "\n" },
            File { name: "extraction.svg", contents: self.plot()? },
        ])
    }

    /// The figure alone.
    ///
    /// # Errors
    ///
    /// If it could not be drawn.
    pub fn plot(&self) -> Result<String, PlotError> {
        plot::draw(self)
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        markdown::text(self)
    }
}

impl ArmReport {
    fn of(place: usize, outcomes: &[SeedOutcome]) -> Self {
        let arm = |seed: &SeedOutcome| seed.arms[place].clone();
        let dollars = |value: &dyn Fn(&ArmOutcome) -> i64| {
            mean(outcomes, |seed| value(&seed.arms[place]) as f64 / DOLLAR)
        };
        let share = |counts: &dyn Fn(&Outcome) -> (u64, u64)| {
            ratio(outcomes, |seed| {
                let (sum, over) = counts(&seed.arms[place].attacked);
                Sample { sum: sum as f64, over: over as f64 }
            })
        };
        let count = |counted: &dyn Fn(&ArmOutcome) -> usize| {
            mean(outcomes, |seed| counted(&seed.arms[place]) as f64)
        };
        let bps = |sample: Sample| Sample { sum: sample.sum * 10_000.0, ..sample };
        let of_volume = |value: fn(&Outcome) -> i64| {
            ratio(outcomes, |seed| {
                let ArmOutcome { attacked, peaceful } = &seed.arms[place];
                bps(Sample { sum: value(attacked) as f64, over: volume(peaceful) })
            })
        };
        Self {
            name: Arm::ALL[place].name(),
            strategies: (0..Strategy::ALL.len())
                .map(|strategy| StrategyReport::of(place, strategy, outcomes))
                .collect(),
            front_running: dollars(&|arm| front_running(&arm.attacked)),
            front_running_bps: of_volume(front_running),
            before_release: dollars(&|arm| before_release(&arm.attacked)),
            before_release_bps: of_volume(before_release),
            after_release: dollars(&|arm| arm.attacked.tally.value(Strategy::AfterRelease)),
            slippage: mean(outcomes, |seed| worse(&arm(seed), |_| true).sum / DOLLAR),
            slippage_bps: ratio(outcomes, |seed| bps(worse(&arm(seed), |_| true))),
            victim_slippage_bps: ratio(outcomes, |seed| bps(worse(&arm(seed), |victim| victim))),
            victims: count(&|arm| {
                arm.attacked.swaps.iter().flatten().filter(|s| s.is_victim).count()
            }),
            failed_by_searcher: count(&|arm| {
                let pairs = arm.attacked.swaps.iter().zip(&arm.peaceful.swaps);
                pairs.filter(|(now, then)| failed(now) && !failed(then)).count()
            }),
            failed_anyway: count(&|arm| arm.peaceful.swaps.iter().filter(|s| failed(s)).count()),
            fronts_ahead: share(&|run| (run.tally.fronts[1], run.tally.fronts[0])),
            sandwiches: count(&|arm| {
                usize::try_from(arm.attacked.tally.sandwiches[0]).unwrap_or(usize::MAX)
            }),
            sandwiches_won: share(&|run| (run.tally.sandwiches[1], run.tally.sandwiches[0])),
            arbitrage_lost: dollars(&|arm| {
                arm.peaceful.tally.honest_arbitrage - arm.attacked.tally.honest_arbitrage
            }),
        }
    }
}

impl Alone {
    fn of(place: usize, outcomes: &[SeedOutcome]) -> Self {
        let all = |figure: fn(&AloneOutcome) -> i64| -> Vec<Estimate> {
            let dollars =
                |at: usize| mean(outcomes, |seed| figure(&seed.alone[place][at]) as f64 / DOLLAR);
            (0..Strategy::ALL.len()).map(dollars).collect()
        };
        Self {
            arm: ALONE[place].name(),
            values: all(|alone| alone.value),
            slippages: all(|alone| alone.worse),
        }
    }
}

impl StrategyReport {
    fn of(place: usize, at: usize, outcomes: &[SeedOutcome]) -> Self {
        let strategy = Strategy::ALL[at];
        let earned = |seed: &SeedOutcome| {
            let tally = &seed.arms[place].attacked.tally;
            tally.earned.get(&strategy).copied().unwrap_or_default()
        };
        Self {
            name: strategy.name().to_owned(),
            value: mean(outcomes, |seed| earned(seed).value as f64 / DOLLAR),
            bundles: mean(outcomes, |seed| earned(seed).bundles as f64),
            executed: mean(outcomes, |seed| earned(seed).executed as f64),
        }
    }
}

impl Race {
    fn of(place: usize, outcomes: &[SeedOutcome]) -> Self {
        let share = |fifth: usize, what: usize| {
            ratio(outcomes, |seed| {
                let counts = seed.races[place][fifth];
                Sample { sum: counts[what] as f64, over: counts[0] as f64 }
            })
        };
        let part = |[all, ahead, _]: [u64; 3]| ahead as f64 / all.max(1) as f64;
        Self {
            mode: RACES[place],
            ahead: share(0, 1),
            ahead_honest: share(1, 1),
            gain: mean(outcomes, |seed| {
                let [corrupt, honest] = seed.races[place];
                part(corrupt) - part(honest)
            }),
            around: share(0, 2),
            around_honest: share(1, 2),
        }
    }
}

fn mean(outcomes: &[SeedOutcome], value: impl Fn(&SeedOutcome) -> f64) -> Estimate {
    ratio(outcomes, |seed| Sample::of(value(seed)))
}

fn ratio(outcomes: &[SeedOutcome], sample: impl Fn(&SeedOutcome) -> Sample) -> Estimate {
    Estimate::of(&outcomes.iter().map(sample).collect::<Vec<_>>())
}

/// Units of dollars taken by standing before others.
fn front_running(outcome: &Outcome) -> i64 {
    outcome.tally.value(Strategy::Sandwich) + outcome.tally.value(Strategy::Copy)
}

/// Units of dollars earned before anything of it was public.
fn before_release(outcome: &Outcome) -> i64 {
    front_running(outcome) + outcome.tally.value(Strategy::BackRun)
}

fn volume(outcome: &Outcome) -> f64 {
    outcome.swaps.iter().flatten().filter_map(|swap| swap.dollars).sum::<u64>() as f64
}

fn failed(swap: &Option<SwapOutcome>) -> bool {
    swap.is_none_or(|swap| swap.dollars.is_none())
}

/// By how many units swaps were worse than without the searcher, over the units that they turned
/// over then.
fn worse(arm: &ArmOutcome, counts: impl Fn(bool) -> bool) -> Sample {
    let counts = |swap: &SwapOutcome| counts(swap.is_victim);
    let (sum, over) = arm.attacked.worse_than(&arm.peaceful, counts);
    Sample { sum: sum as f64, over: over as f64 }
}

/// `runs.csv`: a line per seed and arm.
fn lines(outcomes: &[SeedOutcome]) -> String {
    let mut text = "seed,arm,volume_usd,sandwich_usd,copy_usd,back_run_before_release_usd,\
                    back_run_after_release_usd,swaps_worse_by_usd,victims,failed_by_searcher,\
                    failed_anyway,honest_arbitrage_usd,honest_arbitrage_without_searcher_usd\n"
        .to_owned();
    for outcome in outcomes {
        for (arm, found) in Arm::ALL.into_iter().zip(&outcome.arms) {
            let tally = &found.attacked.tally;
            let money = |units: f64| format!("{:.6}", units / DOLLAR);
            let pairs = found.attacked.swaps.iter().zip(&found.peaceful.swaps);
            let failed_now = pairs.filter(|(now, then)| failed(now) && !failed(then)).count();
            let mut cells = vec![outcome.seed.to_string(), arm.name().replace(", ", " ")];
            cells.push(money(volume(&found.peaceful)));
            cells.extend(Strategy::ALL.map(|strategy| money(tally.value(strategy) as f64)));
            cells.push(money(worse(found, |_| true).sum));
            let victims = found.attacked.swaps.iter().flatten().filter(|swap| swap.is_victim);
            cells.push(victims.count().to_string());
            cells.push(failed_now.to_string());
            cells.push(found.peaceful.swaps.iter().filter(|s| failed(s)).count().to_string());
            cells.push(money(tally.honest_arbitrage as f64));
            cells.push(money(found.peaceful.tally.honest_arbitrage as f64));
            text += &(cells.join(",") + "\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::chain::Contracts;
    use super::super::run::of_seed;
    use super::*;

    #[test]
    fn a_report_shows_every_arm_and_strategy_and_reads_back() {
        let contracts = Contracts::new().unwrap();
        let outcomes: Vec<SeedOutcome> =
            (1..4).map(|seed| of_seed(&contracts, seed).unwrap()).collect();
        let report = Report::of(1, &outcomes);
        let files = report.files(&outcomes).unwrap();
        let file = |name: &str| {
            let found = files.iter().find(|file| file.name == name).unwrap();
            found.contents.clone()
        };
        let read: Report = serde_json::from_str(&file("report.json")).unwrap();
        assert_eq!(read, report);
        let (page, svg) = (file("report.md"), file("extraction.svg"));
        for arm in Arm::ALL {
            assert!(page.contains(&format!("| {} |", arm.name())));
        }
        for strategy in Strategy::ALL {
            assert!(page.contains(strategy.name()), "{}", strategy.name());
        }
        assert!(page.contains("Too few seeds") && report.quick);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(file("runs.csv").lines().count(), 1 + 3 * Arm::ALL.len());
        // No sum holds what stands apart from it.
        for arm in &report.arms {
            let parts: f64 = arm.strategies[..3].iter().map(|found| found.value.value).sum();
            assert!((parts - arm.before_release.value).abs() < 0.01, "{}", arm.name);
        }
    }
}
