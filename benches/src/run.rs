//! A whole sweep, with progress.

use std::time::Duration;

use crate::budget;
use crate::clock::wall_time;
use crate::environment::{Environment, load_average};
use crate::measure::{Committee, MeasureError, Row, seals};
use crate::report::{FORMAT, Report, losses};
use crate::sweep::{Extent, Instrument, RowCase, SAMPLES, Sweep};

/// How far a sweep is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Rows that are done.
    pub done: usize,
    /// All rows.
    pub rows: usize,
    /// The row that is next, if there is one.
    pub next: Option<RowCase>,
    /// The row that was measured last.
    pub last: Option<&'a Row>,
    /// About how long the rest takes.
    pub left: Duration,
}

/// Measures a sweep. `progress` hears of every row before it begins, and of the end.
///
/// # Errors
///
/// If a side did not open what was sealed.
pub fn run(sweep: &Sweep, mut progress: impl FnMut(&Progress<'_>)) -> Result<Report, MeasureError> {
    let mut environment = Environment::here();
    let begin = wall_time();
    let mut rows: Vec<Row> = Vec::new();
    let mut committee = None;
    for (done, case) in sweep.rows.iter().enumerate() {
        let left = left(sweep, done, begin.elapsed());
        let next = Some(*case);
        progress(&Progress { done, rows: sweep.rows.len(), next, last: rows.last(), left });
        rows.push(measure(sweep, *case, &mut committee)?);
    }
    let (done, left) = (rows.len(), Duration::ZERO);
    progress(&Progress { done, rows: done, next: None, last: rows.last(), left });
    environment.load_after = load_average();
    let budgets = budget::judge(sweep.instrument, &rows);
    Ok(Report {
        format: FORMAT,
        instrument: sweep.instrument,
        quick: sweep.extent == Extent::Quick,
        lost: losses(&rows),
        environment,
        budgets,
        rows,
    })
}

fn measure(
    sweep: &Sweep,
    case: RowCase,
    committee: &mut Option<Committee>,
) -> Result<Row, MeasureError> {
    let ciphertexts = sweep.baseline_ciphertexts(&case);
    if sweep.instrument == Instrument::Seal {
        return seals(case, SAMPLES, ciphertexts);
    }
    if committee.as_ref().is_some_and(|committee| !committee.is_of(&case)) {
        *committee = None;
    }
    let committee = committee.get_or_insert_with(|| Committee::new(&case));
    committee.measure(case, SAMPLES, ciphertexts)
}

/// What the rest is estimated at, corrected by what the rows so far took.
fn left(sweep: &Sweep, done: usize, elapsed: Duration) -> Duration {
    let estimate =
        |rows: &[RowCase]| -> Duration { rows.iter().map(|row| sweep.row_estimate(row)).sum() };
    let (before, after) = sweep.rows.split_at(done);
    let before = estimate(before).as_secs_f64();
    let correction = if before > 1.0 { elapsed.as_secs_f64() / before } else { 1.0 };
    estimate(after).mul_f64(correction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::measure::Way;
    use crate::sweep::Flags;

    fn list(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_small_sweep_measures_both_sides_with_and_without_bad_shares() {
        let flags = Flags {
            n: list("4"),
            batch: list("5"),
            threads: list("1,2"),
            bad_shares: list("0,n-t"),
            ..Flags::default()
        };
        let sweep = Sweep::new(Instrument::Decrypt, &flags, Extent::Whole).unwrap();
        let mut heard = Vec::new();
        let report = run(&sweep, |progress| heard.push(progress.done)).unwrap();
        assert_eq!(heard, [0, 1, 2, 3, 4]);
        assert_eq!(report.rows.len(), 4);
        for row in &report.rows {
            let bad = row.case.bad_shares > 0;
            assert_eq!(row.way(Way::ThresholdCryptoUnchecked).is_none(), bad);
            assert!(row.ratio(Way::ThresholdCrypto).unwrap().cpu.min > 0.0);
            let ours = row.way(Way::Fairveil).unwrap();
            assert!(ours.after_finality.unwrap().cpu_ms.median < ours.total.cpu_ms.median);
        }
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn seals_are_measured_beside_those_of_the_baseline() {
        let flags = Flags { batch: list("2"), ..Flags::default() };
        let sweep = Sweep::new(Instrument::Seal, &flags, Extent::Whole).unwrap();
        let report = run(&sweep, |_| {}).unwrap();
        let [row] = &report.rows[..] else { panic!("one row") };
        assert_eq!(row.ways.len(), 2);
        assert!(row.sent.is_none());
        assert!(row.way(Way::Fairveil).unwrap().after_finality.is_none());
    }
}
