//! Tables: aligned for a terminal, and in Markdown.

use std::fmt::Write as _;

use super::{Loss, Report};
use crate::compare::Comparison;
use crate::measure::{Cost, Measured, Row, Spread, Stage, Way};
use crate::sweep::{Instrument, RowCase};

/// A table whose cells are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(headers: &[&str]) -> Self {
        Self { headers: headers.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns aligned by spaces; numbers to the right.
    #[must_use]
    pub fn aligned(&self) -> String {
        let lines = || std::iter::once(&self.headers).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let is_number =
            |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        let to_the_right =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).all(is_number);
        let mut out = String::new();
        for line in lines() {
            let cell = |(column, cell): (usize, &String)| match to_the_right(column) {
                true => format!("{cell:>width$}", width = widths[column]),
                false => format!("{cell:<width$}", width = widths[column]),
            };
            let cells: Vec<String> = line.iter().enumerate().map(cell).collect();
            // Writing to a String can't fail.
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
        out
    }

    /// In Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = vec!["---".to_owned(); self.headers.len()];
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.headers) + &line(&rule) + &rows
    }
}

const CASE_HEADERS: [&str; 5] = ["n", "batch", "threads", "bad", "bytes"];

fn case_cells(case: &RowCase) -> Vec<String> {
    let RowCase { n, batch, threads, bad_shares, bundle_bytes, .. } = case;
    vec![
        n.to_string(),
        batch.to_string(),
        threads.to_string(),
        bad_shares.to_string(),
        bundle_bytes.to_string(),
    ]
}

fn headed(headers: &[&str]) -> Table {
    Table::new(&[&CASE_HEADERS, headers].concat())
}

/// A figure with three digits that matter.
pub(super) fn figure(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{number:.0}"),
        middle if middle >= 10.0 => format!("{number:.1}"),
        small if small >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

fn spread(spread: &Spread) -> String {
    let Spread { median, min, max } = spread;
    format!("{} ({}..{})", figure(*median), figure(*min), figure(*max))
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn cpu(cost: &Cost) -> String {
    figure(cost.cpu_ms.median)
}

/// Totals, throughput and ratios.
pub(super) fn totals(report: &Report) -> Table {
    let decrypt = report.instrument == Instrument::Decrypt;
    let mut headers = vec!["cpu ms", "wall ms", "per s", "MiB/s", "tc cpu ms", "ratio"];
    if decrypt {
        headers.extend(["after finality", "undivided", "unchecked tc", "ratio", "sent bytes"]);
    }
    let mut table = headed(&headers);
    for row in &report.rows {
        table.push([case_cells(&row.case), total_cells(row, decrypt)].concat());
    }
    table
}

fn total_cells(row: &Row, decrypt: bool) -> Vec<String> {
    let of = |way: Way, show: fn(&Measured) -> Option<String>| or_dash(row.way(way).and_then(show));
    let total = |measured: &Measured| Some(cpu(&measured.total));
    let ratio = |to: Way| or_dash(row.ratio(to).map(|ratio| spread(&ratio.cpu)));
    let mut cells = vec![
        of(Way::Fairveil, |ours| Some(spread(&ours.total.cpu_ms))),
        of(Way::Fairveil, |ours| Some(figure(ours.total.wall_ms.median))),
        of(Way::Fairveil, |ours| Some(figure(ours.ciphertexts_per_s.median))),
        of(Way::Fairveil, |ours| Some(figure(ours.mib_per_s.median))),
        of(Way::ThresholdCrypto, total),
        ratio(Way::ThresholdCrypto),
    ];
    if decrypt {
        cells.extend([
            of(Way::Fairveil, |ours| ours.after_finality.as_ref().map(cpu)),
            of(Way::FairveilWhole, total),
            of(Way::ThresholdCryptoUnchecked, total),
            ratio(Way::ThresholdCryptoUnchecked),
            or_dash(row.sent.map(|sent| figure(sent.total_bytes))),
        ]);
    }
    cells
}

/// Processor time per stage.
pub(super) fn stages(report: &Report) -> Table {
    let mut table = headed(&[
        "verify",
        "share",
        "prove",
        "combine",
        "check",
        "tc verify",
        "tc share",
        "tc combine",
        "tc check",
        "cpu per hint",
        "verify in mult.",
        "mult. us",
    ]);
    for row in report.rows.iter().filter(|_| report.instrument == Instrument::Decrypt) {
        let stage = |way: Way, stage: Stage| {
            or_dash(row.way(way).and_then(|measured| measured.stage(stage)).map(cpu))
        };
        let ours = &Stage::ALL[1..];
        let theirs = [Stage::Verify, Stage::Share, Stage::Combine, Stage::Check];
        let mut cells = case_cells(&row.case);
        cells.extend(ours.iter().map(|which| stage(Way::Fairveil, *which)));
        cells.extend(theirs.iter().map(|which| stage(Way::ThresholdCrypto, *which)));
        cells.push(or_dash(row.hint_ms.map(|hint| figure(hint.median))));
        cells.push(or_dash(row.verify_in_multiplications.map(|verify| figure(verify.median))));
        cells.push(figure(row.multiplication_us.median));
        table.push(cells);
    }
    table
}

/// The figures that are promised.
pub(super) fn budgets(report: &Report) -> Table {
    let mut table = Table::new(&["verdict", "figure", "budget", "measured"]);
    for verdict in &report.budgets {
        let held = if verdict.held { "held" } else { "NOT HELD" };
        let unit = &verdict.unit;
        let limit = format!("{} {} {unit}", verdict.bound.sign(), verdict.limit);
        let measured = format!("{} {unit}", figure(verdict.measured));
        table.push(vec![held.to_owned(), verdict.figure.clone(), limit, measured]);
    }
    table
}

/// What the baseline does better.
pub(super) fn lost(report: &Report) -> Table {
    let mut table = headed(&["what", "ours", "other", "unit", "to"]);
    for loss in &report.lost {
        let mut cells = case_cells(&loss.case);
        cells.extend([loss.what.clone(), figure(loss.ours), figure(loss.other)]);
        cells.extend([loss.unit.clone(), loss.to.to_string()]);
        table.push(cells);
    }
    table
}

const QUICK: &str = "QUICK: few rows, not for quoting.";
const DEBUG: &str = "DEBUG: not optimised, not for quoting; build with --release.";

/// The same by what is lost, each with its worst row.
fn lost_in_short(report: &Report) -> Table {
    let mut table = Table::new(&["what", "to", "rows", "ours", "other", "unit", "worst at"]);
    let mut groups: Vec<Vec<&Loss>> = Vec::new();
    for loss in &report.lost {
        let same = |group: &&mut Vec<&Loss>| {
            group.iter().all(|other| (&other.what, other.to) == (&loss.what, loss.to))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(loss),
            None => groups.push(vec![loss]),
        }
    }
    for group in groups {
        let excess = |loss: &Loss| loss.ours / loss.other;
        let worst = group.iter().max_by(|one, other| excess(one).total_cmp(&excess(other)));
        let Some(Loss { case, what, to, ours, other, unit }) = worst else { continue };
        table.push(vec![
            what.clone(),
            to.to_string(),
            format!("{} of {}", group.len(), report.rows.len()),
            figure(*ours),
            figure(*other),
            unit.clone(),
            case.to_string(),
        ]);
    }
    table
}

/// Why a report is not for quoting.
pub(super) fn warnings(report: &Report) -> Vec<&'static str> {
    let debug = report.environment.is_debug().then_some(DEBUG);
    report.quick.then_some(QUICK).into_iter().chain(debug).collect()
}

/// How the columns are to be read.
pub(super) fn legend(instrument: Instrument) -> &'static str {
    match instrument {
        Instrument::Decrypt => {
            "Per ciphertext on one server: medians (minimum..maximum); cpu ms is processor time of \
             all threads. tc is threshold_crypto; ratio is its processor time over ours. Each \
             sequencer combines its part and checks the others' hints; undivided: it combines \
             everything. unchecked: tc trusts the shares of others. sent bytes: to all peers."
        }
        Instrument::Seal => {
            "Per ciphertext on the trader's machine: medians (minimum..maximum); cpu ms is \
             processor time of all threads. tc is threshold_crypto; ratio is its processor time \
             over ours."
        }
    }
}

/// The report for a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    for warning in warnings(report) {
        out += &format!("{warning}\n\n");
    }
    out += &format!("{}\n\n{}", legend(report.instrument), totals(report).aligned());
    let mut part = |title: &str, table: &Table| {
        if !table.is_empty() {
            out += &format!("\n{title}\n\n{}", table.aligned());
        }
    };
    part("Stages, cpu ms", &stages(report));
    part("What we lose", &lost_in_short(report));
    part("Budgets", &budgets(report));
    let load = |load: &[f64]| load.first().map_or_else(|| "unknown".into(), f64::to_string);
    let environment = &report.environment;
    let (before, after) = (load(&environment.load_before), load(&environment.load_after));
    let (cpu, cores) = (&environment.cpu, environment.cores);
    out += &format!("\n{cpu}, {cores} cores, load average {before} before and {after} after\n");
    out
}

/// A comparison for a terminal.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut table = headed(&["verdict", "first ratio", "second ratio"]);
    for row in &comparison.rows {
        let mut cells = case_cells(&row.case);
        cells.extend([row.change.name().to_owned(), spread(&row.first), spread(&row.second)]);
        table.push(cells);
    }
    let mut out = String::new();
    if comparison.quick {
        out += &format!("{QUICK}\n\n");
    }
    out += &table.aligned();
    for (name, rows) in [("first", &comparison.only_first), ("second", &comparison.only_second)] {
        for case in rows {
            out += &format!("only in the {name}: {case}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{report, row};

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["what", "ms"]);
        table.push(vec!["one".into(), "1.0".into()]);
        table.push(vec!["another".into(), "10.0".into()]);
        assert_eq!(table.aligned(), "what       ms\none       1.0\nanother  10.0\n");
        assert_eq!(
            table.markdown(),
            "| what | ms |\n| --- | --- |\n| one | 1.0 |\n| another | 10.0 |\n"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        let shown: Vec<String> = [0.0, 0.0123, 1.234, 12.34, 1234.5].map(figure).to_vec();
        assert_eq!(shown, ["0", "0.012", "1.23", "12.3", "1234"]);
    }

    #[test]
    fn what_is_lost_is_shown_once_with_its_worst_row() {
        let rows = vec![row(4, 128, 1, 1.0, 1.4), row(4, 512, 1, 1.0, 1.2)];
        let table = lost_in_short(&report(rows)).aligned();
        let everything: Vec<&str> =
            table.lines().filter(|line| line.starts_with("everything")).collect();
        let [line] = everything[..] else { panic!("{table}") };
        assert!(line.contains("2 of 2") && line.contains("batch=512"), "{line}");
    }

    #[test]
    fn a_quick_report_says_so() {
        let whole = report(vec![row(4, 128, 1, 0.6, 20.0)]);
        assert!(!text(&whole).contains(QUICK));
        let quick = Report { quick: true, ..whole };
        assert!(text(&quick).starts_with(QUICK));
        let mut debug = quick.clone();
        debug.environment.build = "rustc 1.0.0, debug".to_owned();
        assert!(text(&debug).contains(DEBUG));
        assert!(text(&quick).contains("What we lose"));
        assert!(text(&quick).contains("NOT HELD") || text(&quick).contains("held"));
    }
}
