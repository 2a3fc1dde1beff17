//! `rows.csv`: one line per row and way; the header has the units.

use std::fmt::Write as _;

use super::Report;
use crate::measure::{Cost, Measured, Row, Spread, Stage};

const CASE: [&str; 9] = [
    "n_sequencers",
    "t_shares",
    "batch_ciphertexts",
    "threads",
    "bad_shares",
    "bundle_bytes",
    "way",
    "samples",
    "sample_ciphertexts",
];

/// The lines, the header first.
pub(super) fn lines(report: &Report) -> String {
    let mut out = header().join(",") + "\n";
    for row in &report.rows {
        for measured in &row.ways {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{}", cells(row, measured).join(","));
        }
    }
    out
}

fn header() -> Vec<String> {
    let mut header: Vec<String> = CASE.map(str::to_owned).to_vec();
    for stage in Stage::ALL {
        cost_header(&mut header, stage.name());
    }
    cost_header(&mut header, "total");
    cost_header(&mut header, "after_finality");
    spread_header(&mut header, "throughput", "ciphertexts_per_s");
    spread_header(&mut header, "throughput", "mib_per_s");
    spread_header(&mut header, "cpu_over_fairveil", "ratio");
    spread_header(&mut header, "wall_over_fairveil", "ratio");
    for sent in ["share_to_each_peer", "hints_to_each_peer", "sent_to_all_peers"] {
        header.push(format!("{sent}_bytes_per_ciphertext"));
    }
    spread_header(&mut header, "multiplication_cpu", "us");
    header
}

fn cost_header(header: &mut Vec<String>, name: &str) {
    spread_header(header, &format!("{name}_cpu"), "ms_per_ciphertext");
    spread_header(header, &format!("{name}_wall"), "ms_per_ciphertext");
}

fn spread_header(header: &mut Vec<String>, name: &str, unit: &str) {
    header.extend(["median", "min", "max"].map(|which| format!("{name}_{which}_{unit}")));
}

fn cells(row: &Row, measured: &Measured) -> Vec<String> {
    let case = &row.case;
    let mut cells = vec![
        case.n.to_string(),
        case.t.to_string(),
        case.batch.to_string(),
        case.threads.to_string(),
        case.bad_shares.to_string(),
        case.bundle_bytes.to_string(),
        format!("\"{}\"", measured.way),
        row.samples.to_string(),
        measured.ciphertexts.to_string(),
    ];
    for stage in Stage::ALL {
        push_cost(&mut cells, measured.stage(stage));
    }
    push_cost(&mut cells, Some(&measured.total));
    push_cost(&mut cells, measured.after_finality.as_ref());
    push(&mut cells, Some(&measured.ciphertexts_per_s));
    push(&mut cells, Some(&measured.mib_per_s));
    let ratio = row.ratio(measured.way);
    push(&mut cells, ratio.map(|ratio| &ratio.cpu));
    push(&mut cells, ratio.map(|ratio| &ratio.wall));
    let sent = row.sent.filter(|_| row.ways.first() == Some(measured));
    let bytes = sent.map(|sent| [sent.share_bytes, sent.hint_bytes, sent.total_bytes]);
    match bytes {
        Some(bytes) => cells.extend(bytes.map(|bytes| bytes.to_string())),
        None => cells.extend([String::new(), String::new(), String::new()]),
    }
    push(&mut cells, Some(&row.multiplication_us));
    cells
}

fn push_cost(cells: &mut Vec<String>, cost: Option<&Cost>) {
    push(cells, cost.map(|cost| &cost.cpu_ms));
    push(cells, cost.map(|cost| &cost.wall_ms));
}

fn push(cells: &mut Vec<String>, spread: Option<&Spread>) {
    match spread {
        Some(Spread { median, min, max }) => {
            cells.extend([median, min, max].map(|number| number.to_string()));
        }
        None => cells.extend([String::new(), String::new(), String::new()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{report, row};

    #[test]
    fn every_column_has_a_unit_and_every_line_all_columns() {
        let units = [
            "_sequencers",
            "_shares",
            "_ciphertexts",
            "threads",
            "_bytes",
            "way",
            "samples",
            "_ms_per_ciphertext",
            "_per_s",
            "_ratio",
            "_bytes_per_ciphertext",
            "_us",
        ];
        for column in header() {
            assert!(units.iter().any(|unit| column.ends_with(unit)), "{column}");
        }
        let text = lines(&report(vec![row(4, 128, 1, 0.6, 20.0)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 4);
        // The name of the last way has a comma of its own, within quotes.
        let columns = |line: &str| line.replace(", ", " ").split(',').count();
        assert!(lines.iter().all(|line| columns(line) == header().len()), "{text}");
        assert!(lines[0].contains("verify_cpu_median_ms_per_ciphertext"));
    }
}
