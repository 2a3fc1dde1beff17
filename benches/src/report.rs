//! What a sweep found, and the forms it leaves in.

mod csv;
mod markdown;
mod plot;
mod table;

use serde::{Deserialize, Serialize};

pub use self::plot::PlotError;
pub use self::table::{Table, comparison_text, text};
use crate::budget::Verdict;
use crate::environment::Environment;
use crate::measure::{Measured, Row, Stage, Way, rounded};
use crate::sweep::{Instrument, RowCase};

/// Version of the JSON.
pub const FORMAT: u32 = 1;

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was measured.
    pub instrument: Instrument,
    /// Whether it was a quick sweep, which is not for quoting.
    pub quick: bool,
    /// Where.
    pub environment: Environment,
    /// The rows.
    pub rows: Vec<Row>,
    /// The figures that are promised.
    pub budgets: Vec<Verdict>,
    /// What the baseline does better.
    pub lost: Vec<Loss>,
}

/// Something that the baseline does at less cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// The row.
    pub case: RowCase,
    /// What.
    pub what: String,
    /// The way that does better.
    pub to: Way,
    /// Ours, in `unit`.
    pub ours: f64,
    /// The other one's.
    pub other: f64,
    /// The unit.
    pub unit: String,
}

/// A file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub contents: String,
}

/// Why a report has no files.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot could not be drawn.
    #[error("plot: {0}")]
    Plot(#[from] PlotError),
    /// A figure is no number.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Report {
    /// The report as files: Markdown, CSV, JSON and plots.
    ///
    /// # Errors
    ///
    /// If a plot could not be drawn, or a figure is no number.
    pub fn files(&self) -> Result<Vec<File>, ReportError> {
        let plots = plot::files(self)?;
        let names: Vec<&str> = plots.iter().map(|file| file.name).collect();
        let mut files = vec![
            File { name: "report.md", contents: markdown::page(self, &names) },
            File { name: "rows.csv", contents: csv::lines(self) },
            File { name: "report.json", contents: serde_json::to_string_pretty(self)? + "\n" },
        ];
        files.extend(plots);
        Ok(files)
    }
}

/// What the baseline does better, in the order of the rows.
#[must_use]
pub fn losses(rows: &[Row]) -> Vec<Loss> {
    rows.iter().flat_map(losses_of).collect()
}

fn losses_of(row: &Row) -> Vec<Loss> {
    let Some(ours) = row.way(Way::Fairveil) else { return Vec::new() };
    let mut losses = Vec::new();
    let mut judge = |what: &str, to: Way, figures: Option<(f64, f64)>, unit: &str| {
        let Some((ours, other)) = figures.filter(|(ours, other)| ours > other) else { return };
        let (what, unit) = (what.to_owned(), unit.to_owned());
        let (ours, other) = (rounded(ours), rounded(other));
        losses.push(Loss { case: row.case, what, to, ours, other, unit });
    };
    for to in [Way::ThresholdCrypto, Way::ThresholdCryptoUnchecked] {
        let Some(other) = row.way(to) else { continue };
        let stages = |stages: &[Stage]| Some((cpu(ours, stages)?, cpu(other, stages)?));
        judge("seal", to, stages(&[Stage::Seal]), "ms");
        judge("verify", to, stages(&[Stage::Verify]), "ms");
        judge("own share, with its proof", to, stages(&[Stage::Share, Stage::Prove]), "ms");
        judge("combine and check", to, stages(&[Stage::Combine, Stage::Check]), "ms");
        let total = |measured: &Measured| measured.total.cpu_ms.median;
        judge("everything", to, Some((total(ours), total(other))), "ms");
        let after = |measured: &Measured| measured.after_finality.map(|cost| cost.cpu_ms.median);
        judge("after finality", to, after(ours).zip(after(other)), "ms");
    }
    let sent = row.sent.map(|sent| (sent.share_bytes + sent.hint_bytes, sent.baseline_share_bytes));
    judge("sent to each peer per ciphertext", Way::ThresholdCrypto, sent, "bytes");
    losses
}

/// Processor time of those of these stages that a way has, if it has any.
fn cpu(measured: &Measured, stages: &[Stage]) -> Option<f64> {
    let costs: Vec<f64> = stages
        .iter()
        .filter_map(|stage| measured.stage(*stage))
        .map(|cost| cost.cpu_ms.median)
        .collect();
    (!costs.is_empty()).then(|| costs.iter().sum())
}

#[cfg(test)]
pub(crate) mod testing {
    //! Reports with round figures.

    use fairveil_crypto::committee::threshold;

    use super::*;
    use crate::budget;
    use crate::measure::{Cost, Ratio, Sent, Spread, StageCost};

    fn spread(median: f64) -> Spread {
        Spread::of([median * 0.95, median, median * 1.05])
    }

    fn cost(ms: f64) -> Cost {
        Cost { cpu_ms: spread(ms), wall_ms: spread(ms) }
    }

    fn measured(way: Way, stages: &[Stage], ms: f64) -> Measured {
        let each = ms / stages.len() as f64;
        let after = stages.iter().filter(|stage| stage.is_after_finality()).count() as f64;
        Measured {
            way,
            ciphertexts: 8,
            stages: stages
                .iter()
                .map(|stage| StageCost { stage: *stage, cost: cost(each) })
                .collect(),
            total: cost(ms),
            after_finality: Some(cost(each * after)),
            ciphertexts_per_s: spread(1_000.0 / ms),
            mib_per_s: spread(0.5 / ms),
        }
    }

    /// A row whose sides take so many milliseconds per ciphertext, evenly over their stages.
    pub(crate) fn row(n: u16, batch: usize, threads: usize, ours: f64, theirs: f64) -> Row {
        use Stage::{Check, Combine, Prove, Share, Verify};
        let t = threshold(n);
        let ratio =
            |to, theirs: f64| Ratio { to, cpu: spread(theirs / ours), wall: spread(theirs / ours) };
        Row {
            case: RowCase { n, t, bundle_bytes: 512, batch, bad_shares: 0, threads },
            samples: 5,
            ways: vec![
                measured(Way::Fairveil, &[Verify, Share, Prove, Combine, Check], ours),
                measured(Way::FairveilWhole, &[Verify, Share, Prove, Combine], ours * 2.0),
                measured(Way::ThresholdCrypto, &[Verify, Share, Combine, Check], theirs),
                measured(Way::ThresholdCryptoUnchecked, &[Verify, Share, Combine], theirs / 2.0),
            ],
            ratios: vec![
                ratio(Way::FairveilWhole, ours * 2.0),
                ratio(Way::ThresholdCrypto, theirs),
                ratio(Way::ThresholdCryptoUnchecked, theirs / 2.0),
            ],
            sent: Some(Sent {
                share_bytes: 49.5,
                hint_bytes: 9.0,
                total_bytes: rounded(58.5 * f64::from(n - 1)),
                baseline_share_bytes: 48.0,
            }),
            multiplication_us: spread(100.0),
            verify_in_multiplications: Some(spread(3.0)),
            hint_ms: Some(spread(0.08)),
        }
    }

    pub(crate) fn report(rows: Vec<Row>) -> Report {
        Report {
            format: FORMAT,
            instrument: Instrument::Decrypt,
            quick: false,
            environment: Environment::here(),
            budgets: budget::judge(Instrument::Decrypt, &rows),
            lost: losses(&rows),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::testing::{report, row};
    use super::*;

    #[test]
    fn what_is_lost_is_listed() {
        let lost = losses(&[row(4, 128, 1, 1.0, 1.2)]);
        let what: Vec<(&str, Way)> = lost.iter().map(|loss| (&loss.what[..], loss.to)).collect();
        // Evenly: ours 0.2 ms a stage, 0.3 with checks and 0.2 without on the other side.
        assert!(what.contains(&("everything", Way::ThresholdCryptoUnchecked)), "{what:?}");
        assert!(what.contains(&("own share, with its proof", Way::ThresholdCrypto)));
        assert!(what.contains(&("sent to each peer per ciphertext", Way::ThresholdCrypto)));
        assert!(!what.contains(&("everything", Way::ThresholdCrypto)));
        assert!(!what.contains(&("verify", Way::ThresholdCrypto)));
    }

    #[test]
    fn json_reads_back() {
        let report = report(vec![row(4, 128, 1, 0.6, 20.0), row(64, 512, 2, 0.8, 300.0)]);
        let files = report.files().unwrap();
        let json = files.iter().find(|file| file.name == "report.json").unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json.contents).unwrap(), report);
        let names: Vec<&str> = files.iter().map(|file| file.name).collect();
        let expected =
            ["report.md", "rows.csv", "report.json", "cost.svg", "throughput.svg", "stages.svg"];
        assert_eq!(names, expected);
    }
}
