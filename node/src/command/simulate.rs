//! `fairveil simulate`.

pub(crate) mod ordering;

use std::fs::File;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use fairveil_simulation::committee::{Released, Suite};
use fairveil_simulation::scenario::{self, Outcome, OverSeeds, Scenario, Whose, plot, table};

use super::{error::CommandError, seeds::seeds};
use crate::cli::{CommitteeArgs, exit};

/// The one suite whose runs `--batches` writes.
const WRITTEN: &str = "rollups";

/// What a seed released, as a file for other judges.
fn write(folder: &Path, seed: u64, released: &Released) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let text = serde_json::to_vec(released).map_err(std::io::Error::other)?;
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    std::fs::write(folder.join(format!("{seed}.json")), text)
}

/// Whole committees on a simulated network: a scenario, one suite or all, `seeds` seeds from the first.
pub(crate) fn committee(args: &CommitteeArgs, json: bool) -> Result<u8, CommandError> {
    let seeds = seeds(args.seed, args.seeds)?;
    match &args.scenario {
        Some(path) => scenario(path, args, seeds, json),
        None => suites(args, seeds, json),
    }
}

/// A scenario: a table or one line of JSON for each seed, what was expected and missed, and for people
/// what several seeds gave.
fn scenario(
    path: &Path,
    args: &CommitteeArgs,
    seeds: RangeInclusive<u64>,
    json: bool,
) -> Result<u8, CommandError> {
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    let read = std::fs::read(path);
    let bytes = read.map_err(|error| CommandError::file(path, &error))?;
    let scenario = Scenario::parse(&bytes).map_err(|error| CommandError::file(path, &error))?;
    // Before minutes of simulation: a file that can't be written is noticed now.
    let opened = args.svg.as_deref().map(|path| match open_drawing(path) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(CommandError::file(path, &error)),
    });
    let mut drawing = opened.transpose()?;
    let (mut code, mut over_seeds) = (exit::OK, OverSeeds::new(&scenario));
    for seed in seeds {
        let outcome = scenario::run(&scenario, seed);
        if !outcome.passed() {
            code = exit::CHECK;
        }
        match json {
            true => println!("{}", table::document(&scenario, &outcome)),
            false => print!("{}", table::table(&scenario, &outcome)),
        }
        if let Some((path, file)) = drawing.take() {
            let drawn = draw(file, &plot::svg(&scenario, &outcome));
            drawn.map_err(|error| CommandError::file(path, &error))?;
        }
        recompute(&scenario, &outcome);
        over_seeds.take(&outcome);
    }
    if !json && args.seeds > 1 {
        print!("{}", over_seeds.table());
    }
    Ok(code)
}

/// The file for a drawing; what it holds stays until there is a new one.
fn open_drawing(path: &Path) -> std::io::Result<File> {
    File::options().create(true).write(true).truncate(false).open(path)
}

fn draw(mut file: File, drawing: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all(drawing.as_bytes())
}

/// The one figure that is of this machine, and so not among the others.
fn recompute(scenario: &Scenario, outcome: &Outcome) {
    #[expect(clippy::disallowed_methods, reason = "wall time is what is measured")]
    let begun = std::time::Instant::now();
    if let Some(blocks) = outcome.recomputed(scenario) {
        let ids = outcome.figure(Whose::Run, "ordered").unwrap_or(0);
        let took = begun.elapsed();
        eprintln!("recomputed the order of {ids} ids in {blocks} blocks in {took:.1?} (wall time)");
    }
}

/// The suites that were asked for, if nothing would be ignored of what is asked of them.
fn chosen(args: &CommitteeArgs) -> Result<&'static [Suite], CommandError> {
    use fairveil_simulation::committee::{suite, suites};
    let Some(name) = args.suite.as_deref() else { return Ok(suites()) };
    let found = suite(name).ok_or_else(|| {
        let known: Vec<_> = suites().iter().map(|suite| suite.name).collect();
        CommandError::Usage(format!("no suite {name:?}; there are {}", known.join(", ")))
    })?;
    if args.batches.is_some() && found.name != WRITTEN {
        return Err(CommandError::Usage(format!(
            "--batches with --suite {name}: only suite {WRITTEN} writes batches"
        )));
    }
    Ok(std::slice::from_ref(found))
}

fn suites(
    args: &CommitteeArgs,
    seeds: RangeInclusive<u64>,
    json: bool,
) -> Result<u8, CommandError> {
    use fairveil_simulation::committee::run;
    let mut failed = 0_u64;
    for suite in chosen(args)? {
        for seed in seeds.clone() {
            let report = run(suite, seed);
            failed += u64::from(!report.passed());
            if let (Some(folder), Some(released)) = (&args.batches, &report.released) {
                let written = write(folder, seed, released);
                written.map_err(|error| CommandError::file(folder, &error))?;
            }
            if json {
                println!("{}", serde_json::to_string(&report).unwrap_or_default());
                continue;
            }
            let verdict = if report.passed() { "ok" } else { "FAILED" };
            println!("{verdict:7} {:17} seed {seed}  {} virtual ms", suite.name, report.virtual_ms);
            for violation in &report.violations {
                println!("        {violation}");
            }
            if !report.passed() {
                println!("        {}", report.command);
            }
        }
    }
    Ok(if failed == 0 { exit::OK } else { exit::CHECK })
}
