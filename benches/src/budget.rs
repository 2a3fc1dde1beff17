//! The figures that are promised, judged on the rows of a report.
//!
//! Judged are rows with 512-byte bundles, one thread and no bad share, at a batch of 512 where the
//! sweep has one, or else at the largest from 128 on; what a sweep does not contain is not judged.

use serde::{Deserialize, Serialize};

use crate::measure::{Row, Spread, Stage, Way, rounded};
use crate::sweep::Instrument;

const BUNDLE_BYTES: usize = 512;
const BATCH: usize = 512;
/// The smallest batch that is judged.
const MIN_BATCH: usize = 128;
/// Sequencers, and how many times less our processor time is at least.
const RATIOS: [(u16, f64); 3] = [(4, 30.0), (16, 90.0), (64, 300.0)];
const AFTER_FINALITY_N: u16 = 5;
const AFTER_FINALITY_MS: f64 = 0.15;
const HINT_MS: f64 = 0.10;
const VERIFY_MULTIPLICATIONS: f64 = 3.2;
const SPEEDUP: f64 = 1.8;
const SEAL_MS: f64 = 1.0;
const SHARE_BYTES: f64 = 50.0;

/// On which side of its limit a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// At least the limit.
    AtLeast,
    /// At most the limit.
    AtMost,
    /// Less than the limit.
    Below,
}

impl Bound {
    fn holds(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::AtLeast => measured >= limit,
            Self::AtMost => measured <= limit,
            Self::Below => measured < limit,
        }
    }

    /// As it stands before a limit.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Below => "<",
        }
    }
}

/// One figure and whether it is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What.
    pub figure: String,
    /// The side of the limit.
    pub bound: Bound,
    /// The limit, in `unit`.
    pub limit: f64,
    /// What was measured, in `unit`.
    pub measured: f64,
    /// The unit.
    pub unit: String,
    /// Whether it is held.
    pub held: bool,
}

impl Verdict {
    fn new(figure: String, bound: Bound, limit: f64, unit: &str, measured: f64) -> Self {
        let measured = rounded(measured);
        let held = bound.holds(measured, limit);
        Self { figure, bound, limit, measured, unit: unit.to_owned(), held }
    }
}

/// The verdicts on a report's rows.
#[must_use]
pub fn judge(instrument: Instrument, rows: &[Row]) -> Vec<Verdict> {
    match instrument {
        Instrument::Seal => seal(rows).into_iter().collect(),
        Instrument::Decrypt => {
            let single = [after_finality(rows), hint(rows), verify(rows)];
            ratios(rows)
                .into_iter()
                .chain(single.into_iter().flatten())
                .chain(speedups(rows))
                .chain(share_bytes(rows))
                .collect()
        }
    }
}

fn is_plain(row: &Row) -> bool {
    row.case.bundle_bytes == BUNDLE_BYTES && row.case.bad_shares == 0
}

/// The row of a committee that is judged.
fn reference(rows: &[Row], n: u16) -> Option<&Row> {
    let single = |row: &&Row| is_plain(row) && row.case.threads == 1 && row.case.n == n;
    rows.iter()
        .filter(single)
        .filter(|row| (MIN_BATCH..=BATCH).contains(&row.case.batch))
        .max_by_key(|row| row.case.batch)
}

fn references(rows: &[Row]) -> Vec<&Row> {
    let mut committees: Vec<u16> = rows.iter().map(|row| row.case.n).collect();
    committees.sort_unstable();
    committees.dedup();
    committees.into_iter().filter_map(|n| reference(rows, n)).collect()
}

fn ratios(rows: &[Row]) -> Vec<Verdict> {
    let verdict = |(n, limit): (u16, f64)| {
        let row = reference(rows, n)?;
        let figure = format!(
            "processor time of threshold_crypto over ours, n={n}, batch={}",
            row.case.batch
        );
        let measured = row.ratio(Way::ThresholdCrypto)?.cpu.median;
        Some(Verdict::new(figure, Bound::AtLeast, limit, "x", measured))
    };
    RATIOS.into_iter().filter_map(verdict).collect()
}

fn after_finality(rows: &[Row]) -> Option<Verdict> {
    let row = reference(rows, AFTER_FINALITY_N).filter(|row| row.case.batch == BATCH)?;
    let measured = row.way(Way::Fairveil)?.after_finality?.cpu_ms.median;
    let figure = format!("after finality per ciphertext, n={AFTER_FINALITY_N}, batch={BATCH}");
    Some(Verdict::new(figure, Bound::Below, AFTER_FINALITY_MS, "ms", measured))
}

/// The worst of the committees.
fn hint(rows: &[Row]) -> Option<Verdict> {
    let of = |row: &Row| row.hint_ms.map(|hint| (hint.median, row.case));
    let all = references(rows).into_iter().filter_map(of);
    let (measured, case) = all.max_by(|one, other| one.0.total_cmp(&other.0))?;
    let figure = format!(
        "an id that the hint of another sequencer opens, worst at n={}, batch={}",
        case.n, case.batch
    );
    Some(Verdict::new(figure, Bound::Below, HINT_MS, "ms", measured))
}

/// The median of the committees: it does not depend on them.
fn verify(rows: &[Row]) -> Option<Verdict> {
    let of = |row: &Row| row.verify_in_multiplications.map(|verify| verify.median);
    let all: Vec<f64> = references(rows).into_iter().filter_map(of).collect();
    let measured = (!all.is_empty()).then(|| Spread::of(all).median)?;
    let figure = "verify at admission, in multiplications in G1".to_owned();
    let bound = Bound::AtMost;
    Some(Verdict::new(figure, bound, VERIFY_MULTIPLICATIONS, "multiplications", measured))
}

/// The best samples of two threads and of one.
fn speedups(rows: &[Row]) -> Vec<Verdict> {
    let best = |n: u16, threads: usize| {
        let is = |row: &&Row| {
            let case = row.case;
            is_plain(row) && (case.n, case.batch, case.threads) == (n, BATCH, threads)
        };
        let ours = rows.iter().find(is)?.way(Way::Fairveil)?;
        Some(ours.ciphertexts_per_s.max)
    };
    let verdict = |row: &Row| {
        let n = row.case.n;
        let measured = best(n, 2)? / best(n, 1)?;
        let figure = format!(
            "ciphertexts/s of 2 threads over those of 1, best of {}, n={n}, batch={BATCH}",
            row.samples
        );
        Some(Verdict::new(figure, Bound::AtLeast, SPEEDUP, "x", measured))
    };
    references(rows).into_iter().filter_map(verdict).collect()
}

/// The worst row.
fn share_bytes(rows: &[Row]) -> Option<Verdict> {
    let large = rows.iter().filter(|row| row.case.batch >= MIN_BATCH);
    let sent = large.filter_map(|row| row.sent.map(|sent| (sent.share_bytes, row.case.batch)));
    let (measured, batch) = sent.max_by(|one, other| one.0.total_cmp(&other.0))?;
    let figure = format!("share to each peer per ciphertext, batch={batch}");
    Some(Verdict::new(figure, Bound::AtMost, SHARE_BYTES, "bytes", measured))
}

/// The worst row.
fn seal(rows: &[Row]) -> Option<Verdict> {
    let plain = rows.iter().filter(|row| is_plain(row) && row.case.threads == 1);
    let cost = |row: &Row| Some(row.way(Way::Fairveil)?.stage(Stage::Seal)?.cpu_ms.median);
    let measured = plain.filter_map(cost).max_by(f64::total_cmp)?;
    Some(Verdict::new("seal".to_owned(), Bound::Below, SEAL_MS, "ms", measured))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::row;

    #[test]
    fn what_is_in_the_sweep_is_judged_and_nothing_else() {
        assert!(judge(Instrument::Decrypt, &[]).is_empty());
        assert!(judge(Instrument::Seal, &[]).is_empty());
        assert!(judge(Instrument::Decrypt, &[row(4, 32, 1, 0.5, 16.0)]).is_empty());
        let rows = [row(4, 512, 1, 0.5, 16.0), row(16, 128, 1, 0.5, 40.0)];
        let verdicts = judge(Instrument::Decrypt, &rows);
        let ratios: Vec<(f64, bool)> = verdicts
            .iter()
            .filter(|verdict| verdict.unit == "x")
            .map(|verdict| (verdict.measured, verdict.held))
            .collect();
        assert_eq!(ratios, [(32.0, true), (80.0, false)]);
        assert!(verdicts.iter().all(|verdict| !verdict.figure.starts_with("after finality")));
        assert!(verdicts.iter().any(|verdict| verdict.unit == "bytes"));
    }

    #[test]
    fn two_threads_are_judged_by_their_best_samples() {
        let rows = [row(5, 512, 1, 0.5, 16.0), row(5, 512, 2, 0.25, 8.0)];
        let verdicts = judge(Instrument::Decrypt, &rows);
        let speedup = verdicts.iter().find(|verdict| verdict.figure.starts_with("ciphertexts/s"));
        assert_eq!(speedup.map(|verdict| (verdict.measured, verdict.held)), Some((2.0, true)));
        let after = verdicts.iter().find(|verdict| verdict.figure.starts_with("after finality"));
        assert_eq!(after.map(|verdict| verdict.held), Some(false));
    }

    #[test]
    fn bounds_are_judged_at_their_edge() {
        assert!(Bound::AtLeast.holds(30.0, 30.0));
        assert!(Bound::AtMost.holds(50.0, 50.0));
        assert!(!Bound::Below.holds(1.0, 1.0));
    }
}
