//! The plots, as SVG: cost against n, throughput against the batch, stages.

mod chart;

use std::collections::BTreeMap;

use self::chart::{Bar, Bars, Line, Lines, Mark};
use super::{File, Report};
use crate::measure::{Row, Stage, Way};
use crate::sweep::{Instrument, RowCase};

/// A plot could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlotError(pub(crate) String);

const WAYS: [Way; 4] =
    [Way::Fairveil, Way::FairveilWhole, Way::ThresholdCrypto, Way::ThresholdCryptoUnchecked];
/// Beyond it a plot of cost against n takes no larger batch.
const BATCH: usize = 512;

/// All plots of a report.
pub(super) fn files(report: &Report) -> Result<Vec<File>, PlotError> {
    let mut files = vec![
        File { name: "cost.svg", contents: cost(report).draw()? },
        File { name: "throughput.svg", contents: throughput(report).draw()? },
    ];
    if report.instrument == Instrument::Decrypt {
        files.push(File { name: "stages.svg", contents: stages(report).draw()? });
    }
    Ok(files)
}

/// Rows with the fewest threads, bad shares and bytes of the sweep.
fn plain(report: &Report) -> Vec<&Row> {
    let key = |case: &RowCase| (case.threads, case.bad_shares, case.bundle_bytes);
    let smallest = report.rows.iter().map(|row| key(&row.case)).min();
    report.rows.iter().filter(|row| Some(key(&row.case)) == smallest).collect()
}

/// One of them per committee: at the largest batch that all have and that is not too large, else
/// at the smallest of each.
fn references(report: &Report) -> Vec<&Row> {
    let rows = plain(report);
    let mut committees: BTreeMap<u16, BTreeMap<usize, &Row>> = BTreeMap::new();
    for row in rows {
        committees.entry(row.case.n).or_default().insert(row.case.batch, row);
    }
    let common = |batch: &usize| {
        *batch <= BATCH && committees.values().all(|batches| batches.contains_key(batch))
    };
    let all = committees.values().flat_map(BTreeMap::keys).copied();
    let batch = all.filter(common).max();
    committees
        .into_values()
        .filter_map(|batches| {
            let common = batch.and_then(|batch| batches.get(&batch).copied());
            common.or_else(|| batches.into_values().next())
        })
        .collect()
}

fn subtitle(rows: &[&Row]) -> String {
    let Some(case) = rows.first().map(|row| row.case) else { return String::new() };
    let RowCase { threads, bundle_bytes, .. } = case;
    let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    format!("{bundle_bytes}-byte bundles, {threads}")
}

fn batches(rows: &[&Row]) -> String {
    let mut batches: Vec<usize> = rows.iter().map(|row| row.case.batch).collect();
    batches.sort_unstable();
    batches.dedup();
    let batches: Vec<String> = batches.iter().map(usize::to_string).collect();
    format!("batch {}", batches.join(" and "))
}

fn cost(report: &Report) -> Lines {
    let rows = references(report);
    let line = |(place, way): (usize, Way)| {
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter_map(|row| {
                let cost = row.way(way)?.total.cpu_ms.median;
                Some((f64::from(row.case.n), cost))
            })
            .collect();
        let mark = if place < 2 { Mark::Filled } else { Mark::Open };
        (!points.is_empty()).then(|| Line {
            name: way.name().to_owned(),
            color: place,
            mark,
            points,
        })
    };
    Lines {
        title: format!("Processor time of bench {} per ciphertext", report.instrument),
        subtitle: format!("{}, {}", subtitle(&rows), batches(&rows)),
        x: "sequencers, n",
        y: "processor time per ciphertext, ms",
        lines: WAYS.into_iter().enumerate().filter_map(line).collect(),
    }
}

fn throughput(report: &Report) -> Lines {
    let rows = plain(report);
    let mut committees: Vec<u16> = rows.iter().map(|row| row.case.n).collect();
    committees.dedup();
    let line = |(color, n): (usize, u16), way: Way, mark: Mark| {
        let points = rows.iter().filter(|row| row.case.n == n).filter_map(|row| {
            Some((row.case.batch as f64, row.way(way)?.ciphertexts_per_s.median))
        });
        Line { name: format!("{way}, n={n}"), color, mark, points: points.collect() }
    };
    let ours = committees.iter().copied().enumerate();
    let theirs = committees.iter().copied().enumerate();
    Lines {
        title: format!("Throughput of bench {}", report.instrument),
        subtitle: subtitle(&rows),
        x: "ciphertexts of a batch",
        y: "ciphertexts a second on one server",
        lines: ours
            .map(|line_of| line(line_of, Way::Fairveil, Mark::Filled))
            .chain(theirs.map(|line_of| line(line_of, Way::ThresholdCrypto, Mark::Open)))
            .collect(),
    }
}

fn stages(report: &Report) -> Bars {
    let rows = references(report);
    let names: Vec<&'static str> = Stage::ALL[1..].iter().map(|stage| stage.name()).collect();
    let bar = |row: &&Row| {
        let part = |stage: &Stage| {
            let cost = row.way(Way::Fairveil).and_then(|ours| ours.stage(*stage));
            cost.map_or(0.0, |cost| cost.cpu_ms.median)
        };
        Bar { name: format!("n={}", row.case.n), parts: Stage::ALL[1..].iter().map(part).collect() }
    };
    Bars {
        title: "Stages of a divided opening".to_owned(),
        subtitle: format!("{}, {}", subtitle(&rows), batches(&rows)),
        x: "sequencers",
        y: "processor time per ciphertext, ms",
        parts: names,
        bars: rows.iter().map(bar).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::testing::{report, row};

    /// Every element that begins ends, in order, and nothing is outside of the one root.
    fn is_well_formed(svg: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        let mut roots = 0;
        for tag in svg.split('<').skip(1) {
            let Some((tag, text)) = tag.split_once('>') else { return false };
            if text.contains('&') && !text.contains(';') {
                return false;
            }
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
                roots += usize::from(open.is_empty());
                open.push(tag.split_whitespace().next().unwrap_or(""));
            }
            if tag.matches('"').count() % 2 == 1 {
                return false;
            }
        }
        open.is_empty() && roots == 1
    }

    #[test]
    fn plots_are_well_formed_and_hold_their_data() {
        let rows = vec![
            row(4, 32, 1, 0.7, 20.0),
            row(4, 512, 1, 0.6, 20.0),
            row(16, 512, 1, 0.7, 80.0),
            row(64, 512, 1, 0.9, 310.0),
            row(64, 512, 2, 0.5, 160.0),
        ];
        for file in files(&report(rows)).unwrap() {
            let svg = &file.contents;
            assert!(is_well_formed(svg), "{}: {svg}", file.name);
            assert!(svg.starts_with("<svg "), "{}", file.name);
            assert!(svg.matches("<rect ").count() + svg.matches("<circle ").count() > 5);
            assert!(svg.contains("ciphertext"), "{}: no unit", file.name);
        }
        assert!(!is_well_formed("<svg><text>a</svg>"));
        assert!(!is_well_formed("<svg></svg><svg></svg>"));
    }

    #[test]
    fn one_row_can_be_drawn() {
        assert_eq!(files(&report(vec![row(5, 128, 1, 0.7, 25.0)])).unwrap().len(), 3);
    }
}
