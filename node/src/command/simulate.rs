//! `fairveil simulate`.

use std::path::Path;

use fairveil_simulation::committee::Released;

use crate::cli::exit;

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

/// Whole committees on a simulated network: one suite or all, `seeds` seeds from `first` on.
pub(crate) fn committee(
    name: Option<&str>,
    first: u64,
    seeds: u64,
    batches: Option<&Path>,
    json: bool,
) -> u8 {
    use fairveil_simulation::committee::{run, suite, suites};
    let chosen: Vec<_> = match name {
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
        for seed in first..first.saturating_add(seeds) {
            let report = run(suite, seed);
            failed += u64::from(!report.passed());
            if let (Some(folder), Some(released)) = (batches, &report.released)
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
