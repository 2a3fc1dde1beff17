//! `fairveil simulate ordering`: JSON in, JSON out, and nothing else on standard output.

use std::path::Path;

use fairveil_simulation::ordering_scenario;
use serde_json::json;

use crate::cli::exit;

/// Runs one ordering scenario. Why it is refused stands on standard error.
pub(crate) fn run(input: &Path) -> u8 {
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    let read = std::fs::read(input);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("fairveil: cannot read {}: {error}", input.display());
            return exit::USAGE;
        }
    };
    match ordering_scenario::run(&bytes) {
        Ok(result) => {
            println!("{result}");
            exit::OK
        }
        Err(error) => {
            println!("{}", json!({ "error": error.code.name() }));
            eprintln!("fairveil: {}: {}", input.display(), error);
            exit::CHECK
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cli::ORDERING_INPUT;

    const PAGE: &str = include_str!("../../../../docs/testing.md");

    #[test]
    fn the_example_of_help_and_page_runs() {
        let example = &ORDERING_INPUT[ORDERING_INPUT.find('{').unwrap()..];
        let result = ordering_scenario::run(example.as_bytes()).unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["blocks"][0]["cohorts"][0].as_array().unwrap().len(), 1);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(PAGE).contains(&words(example)), "docs/testing.md has another example");
    }
}
