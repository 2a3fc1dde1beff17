//! `fairveil simulate`.

use std::fs::File;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use fairveil_simulation::committee::Released;
use fairveil_simulation::scenario::{self, Outcome, OverSeeds, Scenario, Whose, plot, table};

use crate::cli::{CommitteeArgs, exit};

/// One ordering scenario: JSON in, JSON out, and nothing else on standard output.
pub(crate) fn ordering(input: &Path) -> u8 {
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    let read = std::fs::read(input);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("fairveil: cannot read {}: {error}", input.display());
            return exit::USAGE;
        }
    };
    match fairveil_simulation::ordering_scenario::run(&bytes) {
        Ok(result) => {
            println!("{result}");
            exit::OK
        }
        Err(code) => {
            println!("{}", serde_json::json!({ "error": code.to_string() }));
            exit::CHECK
        }
    }
}

/// What a seed released, as a file for other judges.
fn write(folder: &Path, seed: u64, released: &Released) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let text = serde_json::to_vec(released).map_err(std::io::Error::other)?;
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    std::fs::write(folder.join(format!("{seed}.json")), text)
}

/// Whole committees on a simulated network: a scenario, one suite or all, `seeds` seeds from the first.
pub(crate) fn committee(args: &CommitteeArgs, json: bool) -> u8 {
    let seeds = match seeds(args) {
        Ok(seeds) => seeds,
        Err(code) => return code,
    };
    match &args.scenario {
        Some(path) => scenario(path, args, seeds, json),
        None => suites(args, seeds, json),
    }
}

/// The seeds that were asked for: at least one, and none beyond the greatest number.
fn seeds(args: &CommitteeArgs) -> Result<RangeInclusive<u64>, u8> {
    let more = args.seeds.saturating_sub(1);
    let last = args.seed.checked_add(more).ok_or_else(|| {
        let (seed, seeds) = (args.seed, args.seeds);
        eprintln!("fairveil: {seeds} seeds from {seed} on go beyond {}", u64::MAX);
        exit::USAGE
    })?;
    Ok(args.seed..=last)
}

/// A scenario: a table or one line of JSON for each seed, what was expected and missed, and for people
/// what several seeds gave.
fn scenario(path: &Path, args: &CommitteeArgs, seeds: RangeInclusive<u64>, json: bool) -> u8 {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| {
        eprintln!("fairveil: {}: {why}", path.display());
        exit::USAGE
    };
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    let read = std::fs::read(path);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return unusable(path, &error),
    };
    let scenario = match Scenario::parse(&bytes) {
        Ok(scenario) => scenario,
        Err(error) => return unusable(path, &error),
    };
    // Before minutes of simulation: a file that can't be written is noticed now.
    let opened = args.svg.as_deref().map(|path| (path, open_drawing(path)));
    let mut drawing = match opened {
        None => None,
        Some((path, Ok(file))) => Some((path, file)),
        Some((path, Err(error))) => return unusable(path, &error),
    };
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
        if let Some((path, mut file)) = drawing.take()
            && let Err(error) = file
                .set_len(0)
                .and_then(|()| file.write_all(plot::svg(&scenario, &outcome).as_bytes()))
        {
            return unusable(path, &error);
        }
        recompute(&scenario, &outcome);
        over_seeds.take(&outcome);
    }
    if !json && args.seeds > 1 {
        print!("{}", over_seeds.table());
    }
    code
}

/// The file for a drawing; what it holds stays until there is a new one.
fn open_drawing(path: &Path) -> std::io::Result<File> {
    File::options().create(true).write(true).truncate(false).open(path)
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

fn suites(args: &CommitteeArgs, seeds: RangeInclusive<u64>, json: bool) -> u8 {
    use fairveil_simulation::committee::{run, suite, suites};
    let chosen: Vec<_> = match args.suite.as_deref() {
        None => suites().iter().collect(),
        Some(name) => match suite(name) {
            Some(found) => vec![found],
            None => {
                let known: Vec<_> = suites().iter().map(|suite| suite.name).collect();
                eprintln!("fairveil: no suite {name:?}; there are {}", known.join(", "));
                return exit::USAGE;
            }
        },
    };
    let mut failed = 0_u64;
    for suite in chosen {
        for seed in seeds.clone() {
            let report = run(suite, seed);
            failed += u64::from(!report.passed());
            if let (Some(folder), Some(released)) = (&args.batches, &report.released)
                && let Err(error) = write(folder, seed, released)
            {
                eprintln!("fairveil: {}: {error}", folder.display());
                return exit::USAGE;
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
    if failed == 0 { exit::OK } else { exit::CHECK }
}
