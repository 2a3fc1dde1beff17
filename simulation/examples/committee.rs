//! Runs seeds of a suite and prints their reports: `committee SUITE|all FIRST COUNT [--json]`.

use std::process::ExitCode;

use fairveil_simulation::committee::{run, suites};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(name), Some(first), Some(count)) = (arguments.first(), number(1), number(2)) else {
        eprintln!("usage: committee SUITE|all FIRST COUNT [--json]");
        return ExitCode::from(2);
    };
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut failed = false;
    for suite in suites().iter().filter(|suite| name == "all" || suite.name == name) {
        for seed in first..first.saturating_add(count) {
            let report = run(suite, seed);
            failed |= !report.passed();
            if json {
                println!("{}", serde_json::json!(report));
                continue;
            }
            println!(
                "{} {seed}: n={} height={} {} ms audit={} {:?}",
                suite.name,
                report.members,
                report.height,
                report.virtual_ms,
                report.audit,
                report.counts
            );
            for violation in &report.violations {
                println!("  {violation}");
            }
            if !report.passed() {
                println!("  repeat: {}", report.command);
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
