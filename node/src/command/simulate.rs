//! `fairveil simulate`.

use std::path::Path;

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
