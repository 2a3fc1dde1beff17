//! `fairveil bench`: runs a sweep or a meter and writes its report, compares two reports, or loads a
//! network.

use std::path::Path;

use fairveil_benches::{
    compare::{self, CompareError, compare},
    measure::Way,
    mev, order,
    report::{self, Report},
    run::{self, Progress},
    sweep::{Extent, Flags, Instrument, Sweep},
};
use fairveil_ordering::MAX_SEQUENCERS;

use super::{
    disk::{self, Readers},
    error::CommandError,
    seeds::seeds,
};
use crate::{
    cli::{self, BenchGrid, Meter, exit},
    e2e,
};

/// A report of the largest grid has a few MB.
const MAX_REPORT_BYTES: usize = 64 << 20;

/// Runs a command about measurements; the exit code.
pub(crate) fn run(args: &cli::Bench, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Bench::Decrypt { grid, bad_shares, out } => {
            measure(Instrument::Decrypt, grid, bad_shares, out, json)
        }
        cli::Bench::Seal { grid, out } => measure(Instrument::Seal, grid, &[], out, json),
        cli::Bench::Compare { first, second } => compared(first, second, json),
        cli::Bench::Mev(meter) => extracted(meter, json),
        cli::Bench::Order { rows, samples, quick } => ordered(rows, *samples, *quick, json),
        cli::Bench::E2e(args) => loaded(args, json),
    }
}

fn measure(
    instrument: Instrument,
    grid: &BenchGrid,
    bad_shares: &[String],
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let BenchGrid { n, batch, threads, bundle_bytes, quick } = grid.clone();
    let flags = Flags { n, batch, threads, bad_shares: bad_shares.to_vec(), bundle_bytes };
    let extent = if quick { Extent::Quick } else { Extent::Whole };
    let usage = |error: &dyn std::fmt::Display| CommandError::Usage(error.to_string());
    let sweep = Sweep::new(instrument, &flags, extent).map_err(|error| usage(&error))?;
    // Minutes later it would be too late to learn that nothing can be written.
    std::fs::create_dir_all(out).map_err(|error| CommandError::file(out, &error))?;
    let minutes = sweep.estimate().as_secs_f64() / 60.0;
    let rows = sweep.rows.len();
    eprintln!("{rows} rows, about {minutes:.1} minutes on an idle core, more on a busy one");
    let check = |error: &dyn std::fmt::Display| CommandError::Check(error.to_string());
    let report = run::run(&sweep, show).map_err(|error| check(&error))?;
    for file in report.files().map_err(|error| check(&error))? {
        disk::write(&out.join(file.name), file.contents.as_bytes(), Readers::All)?;
    }
    match json {
        true => print_json(&report)?,
        false => print!("{}", report::text(&report)),
    }
    eprintln!("report.md, rows.csv, report.json and plots are in {}", out.display());
    Ok(exit::OK)
}

/// A line for what was measured last, and one for what is next.
fn show(progress: &Progress<'_>) {
    if let Some(row) = progress.last {
        let cost = row.way(Way::Fairveil).map_or(0.0, |ours| ours.total.cpu_ms.median);
        let ratio = row.ratio(Way::ThresholdCrypto).map_or(0.0, |ratio| ratio.cpu.median);
        eprintln!("    {cost:.3} ms, threshold_crypto {ratio:.1} times as much");
    }
    if let Some(next) = progress.next {
        let (number, rows) = (progress.done + 1, progress.rows);
        let minutes = progress.left.as_secs_f64() / 60.0;
        eprintln!("[{number}/{rows}, about {minutes:.1} min left] {next}");
    }
}

fn extracted(meter: &Meter, json: bool) -> Result<u8, CommandError> {
    let Meter { seeds: count, first_seed, out, .. } = meter;
    let first = *seeds(*first_seed, *count)?.start();
    std::fs::create_dir_all(out).map_err(|error| CommandError::file(out, &error))?;
    let check = |error: &dyn std::fmt::Display| CommandError::Check(error.to_string());
    let tell = |progress: mev::run::Progress| {
        eprintln!("{} of {} seeds", progress.done, progress.seeds);
    };
    let outcomes = mev::run::run(first, *count, tell).map_err(|error| check(&error))?;
    let report = mev::report::Report::of(first, &outcomes);
    for file in report.files(&outcomes).map_err(|error| check(&error))? {
        disk::write(&out.join(file.name), file.contents.as_bytes(), Readers::All)?;
    }
    match json {
        true => print_json(&report)?,
        false => print!("{}", report.text()),
    }
    eprintln!("report.md, runs.csv, report.json and extraction.svg are in {}", out.display());
    Ok(exit::OK)
}

fn ordered(rows: &[String], samples: u16, quick: bool, json: bool) -> Result<u8, CommandError> {
    let rows = match rows {
        [] => order::rows(if quick { Extent::Quick } else { Extent::Whole }),
        given => given.iter().map(|row| order_row(row)).collect::<Result<_, _>>()?,
    };
    let report = order::run(&rows, samples.into(), |next| eprintln!("{next}"));
    let report = report.map_err(|error| CommandError::Usage(error.to_string()))?;
    match json {
        true => print_json(&report)?,
        false => print!("{}", report.text()),
    }
    Ok(if report.holds() { exit::OK } else { exit::CHECK })
}

fn order_row(text: &str) -> Result<order::Row, CommandError> {
    let usage = |why: &str| CommandError::Usage(format!("row {text} {why}"));
    let parts: Vec<Option<usize>> = text.split(':').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(n), Some(ids), Some(jitter)] => {
            // What numbers may be is the bench's to say.
            let n = u16::try_from(*n)
                .map_err(|_| usage(&format!("has more than {MAX_SEQUENCERS} sequencers")))?;
            Ok(order::Row { n, ids: *ids, jitter: *jitter })
        }
        _ => Err(usage("is not N:IDS:JITTER, such as 24:5000:64")),
    }
}

fn loaded(args: &cli::EndToEnd, json: bool) -> Result<u8, CommandError> {
    e2e::check(args).map_err(|error| CommandError::Usage(error.to_string()))?;
    match e2e::e2e(args, json) {
        Ok(true) => Ok(exit::OK),
        Ok(false) => Ok(exit::CHECK),
        Err(error) => Err(CommandError::Check(error.to_string())),
    }
}

fn compared(first: &Path, second: &Path, json: bool) -> Result<u8, CommandError> {
    let read = |path: &Path| -> Result<Report, CommandError> {
        let bytes = disk::read(path, MAX_REPORT_BYTES)?;
        compare::read(&bytes).map_err(|error| CommandError::file(path, &error))
    };
    let usage = |error: CompareError| CommandError::Usage(error.to_string());
    let comparison = compare(&read(first)?, &read(second)?).map_err(usage)?;
    match json {
        true => print_json(&comparison)?,
        false => print!("{}", report::comparison_text(&comparison)),
    }
    Ok(if comparison.passed() { exit::OK } else { exit::CHECK })
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let text =
        serde_json::to_string(value).map_err(|error| CommandError::Check(error.to_string()))?;
    println!("{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decrypt(out: &Path, batch: &str) -> Result<u8, CommandError> {
        let list = |text: &str| vec![text.to_owned()];
        let grid = BenchGrid {
            n: list("4"),
            batch: list(batch),
            threads: Vec::new(),
            bundle_bytes: Vec::new(),
            quick: false,
        };
        let out = out.to_owned();
        run(&cli::Bench::Decrypt { grid, bad_shares: Vec::new(), out }, true)
    }

    fn comparison(first: &Path, second: &Path) -> Result<u8, CommandError> {
        let (first, second) = (first.to_owned(), second.to_owned());
        run(&cli::Bench::Compare { first, second }, false)
    }

    /// The same report where the baseline takes a thousandth.
    fn worse(report: &Path) -> Vec<u8> {
        let bytes = disk::read(report, MAX_REPORT_BYTES).unwrap();
        let mut report = compare::read(&bytes).unwrap();
        for ratio in report.rows.iter_mut().flat_map(|row| &mut row.ratios) {
            ratio.cpu.min /= 1_000.0;
            ratio.cpu.max /= 1_000.0;
        }
        serde_json::to_vec(&report).unwrap()
    }

    #[test]
    fn a_report_is_written_and_compared_with_the_exit_codes_of_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new");
        assert_eq!(decrypt(&out, "1").unwrap(), exit::OK);
        let names =
            ["report.md", "rows.csv", "report.json", "cost.svg", "throughput.svg", "stages.svg"];
        assert!(names.iter().all(|name| out.join(name).is_file()));

        let report = out.join("report.json");
        assert_eq!(comparison(&report, &report).unwrap(), exit::OK);
        let slower = folder.path().join("slower.json");
        disk::write(&slower, &worse(&report), Readers::All).unwrap();
        assert_eq!(comparison(&report, &slower).unwrap(), exit::CHECK);
        assert_eq!(comparison(&slower, &report).unwrap(), exit::OK);

        let error = comparison(&report, &out.join("rows.csv")).unwrap_err();
        assert_eq!(error.exit(), exit::USAGE);
        assert!(error.to_string().contains("not a report of fairveil bench"), "{error}");
        let error = comparison(&report, &out.join("none.json")).unwrap_err();
        assert_eq!(error.exit(), exit::USAGE);
    }

    #[test]
    fn a_meter_writes_the_same_report_twice_but_for_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let measured = |name: &str| {
            let out = folder.path().join(name);
            let meter = Meter { seeds: 2, first_seed: 7, quick: true, out: out.clone() };
            assert_eq!(run(&cli::Bench::Mev(meter), true).unwrap(), exit::OK);
            let names = ["report.md", "runs.csv", "report.json", "extraction.svg"];
            assert!(names.iter().all(|name| out.join(name).is_file()));
            let json = disk::read(&out.join("report.json"), MAX_REPORT_BYTES).unwrap();
            let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            json["environment"].take();
            json
        };
        assert_eq!(measured("first"), measured("second"));
    }

    #[test]
    fn a_grid_that_can_not_be_measured_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = decrypt(&folder.path().join("none"), "9000").unwrap_err();
        assert_eq!(error.exit(), exit::USAGE);
        assert_eq!(error.to_string(), "--batch 9000: between 1 and 8192 are measured");
        assert!(!folder.path().join("none").exists());
    }
}
