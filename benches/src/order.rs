//! The fair order: what a block costs in every mode beside the naive kernel, and what the modes
//! make of the same traces.
//!
//! # Invariants
//!
//! 1. All sides of a row get the same logs, and run in one process, sample by sample in turn.
//! 2. A row counts only if the kernels agree on all weights, `strict` and `themis` emit the same ids,
//!    `leader` its whole list, and `median` some, if all ids stand in all logs.
//! 3. Everything but the times follows from the seed.
//!
//! A block of [`Cost`] is the worst one with so many ids in flight: S - 1 logs hold all of them
//! already, the others bring theirs at once, as many as a block may hold. So everything that a proposal
//! takes is decided in it, which the soft cap bounds. There are two naive kernels, which make the weights
//! of the ids that the block decides and nothing else: *maps* is the one of the tests' transcription of
//! the rule, `w(a, b)` over ordered maps, and *arrays* is the one that the tests compare the product's
//! kernel with, two loops over positions. *Kernel* is the product's, on the same logs.

mod kept;
mod quality;
mod report;
mod world;

use std::collections::BTreeMap;

use fairveil_ordering::naive::{self, Case};
use fairveil_ordering::{
    AlreadyLogged, BlockError, Committee, CommitteeError, EvidenceError, Mode, OrderError,
};
use serde::{Deserialize, Serialize};

use crate::clock::timed;
use crate::environment::{Environment, load_average};
use crate::measure::Spread;
use crate::sweep::Extent;

use self::kept::Kept;
use self::world::{Outcome, World};
use crate::memory;
pub use quality::Quality;

/// Names the ids.
const SALT: u64 = 22;
/// Most ids in flight, and most later ids within which one reaches the sequencers.
pub const MAX_IDS: usize = 20_000;
/// Above so many ids the naive kernels are measured in a few samples alone.
const FEW_ABOVE: usize = 2_000;
/// In so many.
const FEW: usize = 3;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Sequencers.
    pub n: u16,
    /// Ids in flight.
    pub ids: usize,
    /// An id reaches the sequencers within so many later ids.
    pub jitter: usize,
}

/// What one row found, in milliseconds of one core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Sequencers, each with its log.
    pub n: u16,
    /// Ids in flight.
    pub ids: usize,
    /// An id reaches the sequencers within so many later ids.
    pub jitter: usize,
    /// Ids whose pairs the block decides, in mode `strict`.
    pub decided: usize,
    /// Ids that leave in it.
    pub emitted: usize,
    /// One block applied, by mode.
    pub block_ms: BTreeMap<String, Spread>,
    /// The weights of their pairs by ordered maps.
    pub maps_ms: Spread,
    /// The weights of their pairs by plain arrays.
    pub arrays_ms: Spread,
    /// The same weights by the product's kernel.
    pub kernel_ms: Spread,
    /// Maps over a block in mode `strict`, sample by sample.
    pub maps_ratio: Spread,
    /// Arrays over the product's kernel, sample by sample.
    pub arrays_ratio: Spread,
    /// The most resident MiB of the whole process while a block is applied in mode `strict`, before a
    /// naive kernel has run; nothing where the system does not tell.
    pub peak_mib: Option<f64>,
    /// Bytes of a snapshot with these ids in flight.
    pub snapshot_bytes: usize,
    /// Making one.
    pub snapshot_ms: Spread,
    /// Making a state of it again.
    pub restore_ms: Spread,
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub environment: Environment,
    /// What blocks cost.
    pub costs: Vec<Cost>,
    /// What the modes make of one trace.
    pub qualities: Vec<Quality>,
}

/// Why a row can't be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderBenchError {
    /// No ids, or too many.
    #[error("{actual} ids in flight, there may be 1 to {MAX_IDS}")]
    Ids {
        /// What was asked for.
        actual: usize,
    },
    /// More jitter than there can be ids.
    #[error("a jitter of {actual} later ids, the limit is {MAX_IDS}")]
    Jitter {
        /// What was asked for.
        actual: usize,
    },
    /// No committee of this size.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// A block is refused.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A block of signed evidence is refused.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Signed evidence is refused.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A log has an id twice.
    #[error(transparent)]
    Logged(#[from] AlreadyLogged),
    /// A state is not the one that its snapshot makes.
    #[error("n = {n}: a snapshot makes another state")]
    Restored {
        /// Sequencers.
        n: u16,
    },
    /// A mode emits not what it owes.
    #[error("n = {n}, {ids} ids: mode `{mode}` emits {emitted} ids")]
    Emitted {
        /// Sequencers.
        n: u16,
        /// Ids.
        ids: usize,
        /// Its name.
        mode: &'static str,
        /// What it emits.
        emitted: usize,
    },
    /// The kernels disagree.
    #[error("n = {n}, {ids} ids: the kernels disagree about the weights")]
    Disagree {
        /// Sequencers.
        n: u16,
        /// Ids.
        ids: usize,
    },
}

/// The rows and traces of a run without flags, or of a quick one.
#[must_use]
pub fn rows(extent: Extent) -> Vec<Row> {
    let row = |n, ids, jitter| Row { n, ids, jitter };
    match extent {
        Extent::Quick => vec![row(5, 200, 64), row(24, 1_000, 64)],
        Extent::Whole => vec![
            row(5, 200, 64),
            row(24, 200, 64),
            row(24, 1_000, 64),
            row(24, 1_000, 1_000),
            row(24, 5_000, 64),
            row(24, 5_000, 5_000),
        ],
    }
}

impl Row {
    /// The committee: of n, with as many liars as it tolerates.
    ///
    /// # Errors
    ///
    /// If the row can't be measured: its numbers, and what they may be.
    fn committee(&self) -> Result<Committee, OrderBenchError> {
        if !(1..=MAX_IDS).contains(&self.ids) {
            return Err(OrderBenchError::Ids { actual: self.ids });
        }
        if self.jitter > MAX_IDS {
            return Err(OrderBenchError::Jitter { actual: self.jitter });
        }
        Ok(Committee::new(self.n, self.n.saturating_sub(1) / 4, 0)?)
    }

    fn world(&self) -> Result<World, OrderBenchError> {
        let committee = self.committee()?;
        let numbers = (self.n, committee.f(), 0);
        let case = Case::stream(SALT, numbers, self.ids, self.jitter, 1);
        Ok(World::new(committee, case.truth.into_values().collect()))
    }
}

/// Measures all rows, and judges the modes. Nothing is measured if a row can't be.
///
/// # Errors
///
/// [`OrderBenchError`].
pub fn run(rows: &[Row], samples: usize, tell: impl Fn(&str)) -> Result<Report, OrderBenchError> {
    for row in rows {
        row.committee()?;
    }
    let mut environment = Environment::here();
    let mut peaks = Vec::new();
    for row in rows {
        // Before a naive kernel has run, whose maps the allocator may keep.
        let world = row.world()?;
        let (block, peak) = memory::peak(|| world.block(Mode::Strict).map(|applied| applied.ms));
        block?;
        peaks.push(peak);
    }
    let mut costs = Vec::new();
    for (row, peak) in rows.iter().zip(peaks) {
        tell(&format!("n = {}, {} ids, jitter {}", row.n, row.ids, row.jitter));
        costs.push(Cost::measure(*row, samples, peak)?);
    }
    let mut qualities = Vec::new();
    for (jitter, liars) in quality::traces() {
        tell(&format!("modes at a jitter of {jitter} inter-arrival times, {liars} liars"));
        qualities.extend(quality::compare(jitter, liars)?);
    }
    environment.load_after = load_average();
    Ok(Report { environment, costs, qualities })
}

impl Cost {
    fn measure(row: Row, samples: usize, peak: Option<u64>) -> Result<Self, OrderBenchError> {
        let Row { n, ids, .. } = row;
        let world = row.world()?;
        let outcome = world.outcome(ids)?;
        let kept = Kept::measure(row.committee()?, world.early(), samples)?;
        let logs = world.among(&outcome.decided);
        let decided = outcome.decided.len();
        let mut cost = Samples::default();
        for sample in 0..samples + 1 {
            let mut blocks = Vec::new();
            for mode in Mode::ALL {
                blocks.push((mode, world.block(mode)?.ms));
            }
            let (ours, kernel) = timed(|| naive::kernel_checksum(decided, &logs));
            // The naive kernels of many ids are measured in the first samples that count.
            let naive = match ids > FEW_ABOVE {
                true => (1..=FEW).contains(&sample),
                false => true,
            };
            let naive = naive.then(|| naive_ms(decided, &logs));
            if naive.as_ref().is_some_and(|naive| naive.sum != ours) {
                return Err(OrderBenchError::Disagree { n, ids });
            }
            // The first one warms up.
            if sample > 0 {
                cost.add(blocks, kernel.cpu.as_secs_f64() * 1e3, naive);
            }
        }
        Ok(cost.cost(row, &outcome, peak, kept))
    }
}

/// The naive kernels on the same logs.
struct Naive {
    sum: u128,
    maps_ms: f64,
    arrays_ms: f64,
}

fn naive_ms(ids: usize, logs: &[Vec<u32>]) -> Naive {
    let (sum, maps) = timed(|| naive::map_checksum(ids, logs));
    let (arrays, elapsed) = timed(|| naive::pair_weights(ids, logs));
    let arrays_sum = naive::checksum(&arrays);
    let agreed = if arrays_sum == sum { sum } else { !sum };
    Naive {
        sum: agreed,
        maps_ms: maps.cpu.as_secs_f64() * 1e3,
        arrays_ms: elapsed.cpu.as_secs_f64() * 1e3,
    }
}

#[derive(Default)]
struct Samples {
    blocks: BTreeMap<String, Vec<f64>>,
    kernel: Vec<f64>,
    naive: Vec<Naive>,
}

impl Samples {
    fn add(&mut self, blocks: Vec<(Mode, f64)>, kernel: f64, naive: Option<Naive>) {
        self.naive.extend(naive);
        self.kernel.push(kernel);
        for (mode, ms) in blocks {
            self.blocks.entry(mode.name().to_owned()).or_default().push(ms);
        }
    }

    /// The naive side over ours, sample by sample; where it has few samples, they stand beside the
    /// median of ours.
    fn ratio(&self, naive: fn(&Naive) -> f64, ours: &[f64]) -> Spread {
        let median = Spread::of(ours.iter().copied()).median;
        let each = self.naive.iter().enumerate().map(|(at, side)| {
            let ours = if self.naive.len() == ours.len() { ours[at] } else { median };
            naive(side) / ours
        });
        Spread::of(each)
    }

    fn cost(self, row: Row, outcome: &Outcome, peak: Option<u64>, kept: Kept) -> Cost {
        let of = |values: Vec<f64>| Spread::of(values);
        let strict = self.blocks.get(Mode::Strict.name()).map_or(&[][..], Vec::as_slice);
        Cost {
            n: row.n,
            ids: row.ids,
            jitter: row.jitter,
            decided: outcome.decided.len(),
            emitted: outcome.emitted,
            maps_ms: of(self.naive.iter().map(|side| side.maps_ms).collect()),
            arrays_ms: of(self.naive.iter().map(|side| side.arrays_ms).collect()),
            maps_ratio: self.ratio(|side| side.maps_ms, strict),
            arrays_ratio: self.ratio(|side| side.arrays_ms, &self.kernel),
            kernel_ms: of(self.kernel),
            block_ms: self.blocks.into_iter().map(|(mode, ms)| (mode, of(ms))).collect(),
            peak_mib: peak.map(|bytes| bytes as f64 / f64::from(1 << 20)),
            snapshot_bytes: kept.bytes,
            snapshot_ms: kept.snapshot_ms,
            restore_ms: kept.restore_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_small_run_measures_every_side() {
        let rows = [Row { n: 5, ids: 40, jitter: 8 }];
        let report = run(&rows, 2, |_| ()).unwrap();
        let cost = &report.costs[0];
        assert_eq!(cost.block_ms.len(), Mode::ALL.len());
        assert_eq!((cost.decided, cost.emitted), (40, 40));
        assert!(cost.maps_ms.median > 0.0 && cost.maps_ratio.median > 0.0);
        assert!(report.text().contains("| 5 | 40 | 8 | 40 | 40 |"), "{}", report.text());
        let json = serde_json::to_string(&report).unwrap();
        assert!(serde_json::from_str::<Report>(&json).is_ok());
        assert!(cost.kernel_ms.median > 0.0 && cost.arrays_ratio.median > 0.0);
        // Three logs of forty ids.
        assert!(cost.snapshot_bytes > 40 * 32 && cost.restore_ms.median > 0.0);
    }

    #[test]
    fn nothing_is_measured_if_a_row_cannot_be() {
        let good = Row { n: 5, ids: 40, jitter: 8 };
        let refused = |row: Row| {
            let told = |what: &str| panic!("{what} is measured");
            run(&[good, row], 1, told).unwrap_err().to_string()
        };
        let ids = |ids| refused(Row { ids, ..good });
        assert_eq!(ids(0), "0 ids in flight, there may be 1 to 20000");
        assert_eq!(ids(MAX_IDS + 1), "20001 ids in flight, there may be 1 to 20000");
        let jitter = refused(Row { jitter: usize::MAX, ..good });
        assert!(jitter.ends_with("later ids, the limit is 20000"), "{jitter}");
        assert!(refused(Row { n: 129, ..good }).contains("128"));
        assert!(!refused(Row { n: 0, ..good }).is_empty());
    }

    #[test]
    fn the_page_shows_what_the_modes_make_of_the_traces() {
        let page = include_str!("../../docs/fairness.md");
        let shown: Vec<&str> =
            page.lines().filter(|line| line.matches('|').count() == 11).collect();
        let found =
            quality::traces().flat_map(|(jitter, liars)| quality::compare(jitter, liars).unwrap());
        let found: Vec<String> =
            found.map(|quality| quality.line().trim_end().to_owned()).collect();
        // Two lines of the table are its head.
        assert_eq!(shown[2..], found);
    }
}
