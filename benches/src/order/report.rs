//! A run as text and Markdown.

use std::fmt::Write as _;

use fairveil_ordering::Mode;

use super::{Cost, Quality, Report};
use crate::measure::Spread;

/// The budgets, with the rows that they speak of: sequencers, ids, milliseconds.
const BUDGETS: [(u16, usize, f64); 3] = [(5, 200, 2.0), (24, 1_000, 5.0), (24, 5_000, 100.0)];
/// How often the naive kernel of the oracle takes as long as ours at 5,000 ids.
const LEAST_RATIO: f64 = 20.0;
/// 100 MB.
const MOST_MIB: f64 = 100e6 / (1 << 20) as f64;

impl Report {
    /// Markdown tables, and which budgets are held.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(COST_HEAD);
        self.costs.iter().for_each(|cost| text.push_str(&cost.line()));
        text.push_str(KEPT_HEAD);
        self.costs.iter().for_each(|cost| text.push_str(&cost.kept()));
        text.push('\n');
        self.budgets().into_iter().for_each(|budget| text.push_str(&budget.line()));
        text.push_str(QUALITY_HEAD);
        self.qualities.iter().for_each(|quality| text.push_str(&quality.line()));
        text
    }

    /// Whether every budget is held that a row speaks of.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.budgets().iter().all(|budget| budget.held)
    }

    /// Every budget that a row speaks of.
    fn budgets(&self) -> Vec<Budget> {
        let mut budgets = Vec::new();
        for (n, ids, limit) in BUDGETS {
            let rows = self.costs.iter().filter(|cost| (cost.n, cost.ids) == (n, ids));
            for cost in rows {
                let of = format!("n = {n}, {ids} ids, jitter {}", cost.jitter);
                let strict = cost.of(Mode::Strict).median;
                let what = format!("{of}: {strict:.2} ms a block, {limit} ms promised");
                budgets.push(Budget { what, held: strict < limit });
                if ids == 5_000 {
                    budgets.extend(cost.of_many());
                }
            }
        }
        budgets
    }
}

/// A promised figure, and whether a run keeps it.
struct Budget {
    what: String,
    held: bool,
}

impl Budget {
    fn line(&self) -> String {
        format!("{}: {}\n", self.what, if self.held { "held" } else { "NOT HELD" })
    }
}

const COST_HEAD: &str = "\
| n | ids | jitter | decided | leave | strict ms | themis | median | leader | maps ms | maps / strict \
| kernel ms | arrays ms | arrays / kernel |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const KEPT_HEAD: &str = "
| n | ids | peak MiB | snapshot bytes | snapshot ms | restore ms |
|---|---|---|---|---|---|
";

const QUALITY_HEAD: &str = "
| jitter | liars of 21 | mode | cohort mean | max | premise pairs | inverted inside | across \
| unsupported neighbours | displacement |
|---|---|---|---|---|---|---|---|---|---|
";

impl Cost {
    fn of(&self, mode: Mode) -> Spread {
        self.block_ms.get(mode.name()).copied().unwrap_or(Spread::of([]))
    }

    fn line(&self) -> String {
        let Self { n, ids, jitter, decided, emitted, .. } = self;
        let mut line = format!("| {n} | {ids} | {jitter} | {decided} | {emitted} |");
        for mode in Mode::ALL {
            let _ = write!(line, " {} |", spread(&self.of(mode)));
        }
        let weights =
            [&self.maps_ms, &self.maps_ratio, &self.kernel_ms, &self.arrays_ms, &self.arrays_ratio];
        for figure in weights {
            let _ = write!(line, " {} |", spread(figure));
        }
        line + "\n"
    }

    /// Memory and snapshots.
    fn kept(&self) -> String {
        let peak = self.peak_mib.map_or_else(|| "-".into(), |mib| format!("{mib:.0}"));
        format!(
            "| {} | {} | {peak} | {} | {} | {} |\n",
            self.n,
            self.ids,
            self.snapshot_bytes,
            spread(&self.snapshot_ms),
            spread(&self.restore_ms)
        )
    }

    /// What is promised of 5,000 ids beside the time of a block.
    fn of_many(&self) -> Vec<Budget> {
        // The oracle's kernel and the product's, on the same ids. What else a block does, and plain
        // arrays, which no oracle of the order uses, stand beside it in the table.
        let ratio = self.maps_ms.median / self.kernel_ms.median;
        let whole = self.maps_ratio.median;
        let what = format!(
            "    the naive kernel takes {ratio:.0} times as long as our kernel, {LEAST_RATIO} promised \
             ({whole:.0} times as long as our whole block)"
        );
        let mut budgets = vec![Budget { what, held: ratio >= LEAST_RATIO }];
        budgets.push(match self.peak_mib {
            Some(mib) => Budget {
                what: format!("    the whole process peaks at {mib:.0} MiB, 100 MB promised"),
                held: mib < MOST_MIB,
            },
            None => Budget { what: "    memory is not measured on this system".into(), held: true },
        });
        budgets
    }
}

impl Quality {
    pub(super) fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {:.2} | {} | {} | {} | {} | {} | {:.1} |\n",
            self.jitter,
            self.liars,
            self.mode,
            self.cohort_mean,
            self.cohort_max,
            self.premises,
            self.inverted_inside,
            self.inverted_across,
            self.unsupported,
            self.displacement
        )
    }
}

/// The median, with minimum and maximum where they differ.
fn spread(spread: &Spread) -> String {
    let digits = |figure: f64| match figure {
        small if small < 10.0 => format!("{small:.2}"),
        figure => format!("{figure:.0}"),
    };
    if spread.min == spread.max {
        return digits(spread.median);
    }
    format!("{} ({}..{})", digits(spread.median), digits(spread.min), digits(spread.max))
}
