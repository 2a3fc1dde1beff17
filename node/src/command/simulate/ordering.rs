//! `fairveil simulate ordering`: JSON in, JSON out, and nothing else on standard output.

use std::path::Path;

use fairveil_ordering::MAX_SEQUENCERS;
use fairveil_simulation::ordering_scenario::{self, ScenarioError};
use serde_json::{Value, json};

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
            println!("{}", json!({ "error": error.to_string() }));
            eprintln!("fairveil: {}: {}", input.display(), reason(error, &bytes));
            exit::CHECK
        }
    }
}

/// Why a scenario is refused, in words.
fn reason(error: ScenarioError, bytes: &[u8]) -> String {
    let text = match error {
        ScenarioError::BadInput => return fault(bytes),
        ScenarioError::BadCommittee => {
            return format!("n, f and g: n is from 4f + 2g + 1 to {MAX_SEQUENCERS}");
        }
        ScenarioError::BadMode => "mode is none of strict, themis, median and leader",
        ScenarioError::UnknownSequencer => "a sequencer is not from 1 to n",
        ScenarioError::DuplicateSequencer => "a sequencer has two fragments in one block",
        ScenarioError::BadId => "an id is not a string of 0x and 64 lower-case hex digits",
        ScenarioError::RepeatedId => "an id stands twice in one log, or in the leader's lists",
        ScenarioError::TooFewFragments => "a block has fewer than n - f fragments",
    };
    text.to_owned()
}

/// What has not the form of a scenario, and where.
fn fault(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Err(error) => format!("not JSON: {error}"),
        Ok(document) => form(&document).err().unwrap_or_else(|| {
            "times_ms has one time for each id, which never descend in a log, and clock_ms is not \
             before them"
                .to_owned()
        }),
    }
}

/// Whether a document has the form of a scenario, as far as every mode needs it.
fn form(document: &Value) -> Result<(), String> {
    if document.is_array() {
        return Err("a list, not one object: give one of its elements".to_owned());
    }
    let scenario = Part { path: "scenario".to_owned(), value: document };
    for key in ["n", "f", "g"] {
        scenario.part(key)?.is("an integer", Value::is_i64)?;
    }
    scenario.part("mode")?.is("a string", Value::is_string)?;
    for block in scenario.part("blocks")?.items()? {
        for fragment in block.part("fragments")?.items()? {
            fragment.part("sequencer")?.is("an integer", Value::is_i64)?;
            fragment.part("ids")?.is("a list", Value::is_array)?;
        }
        if block.value.get("list").is_some() {
            block.part("list")?.is("a list", Value::is_array)?;
        }
    }
    Ok(())
}

/// A value, and where in the document it stands.
struct Part<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Part<'a> {
    /// The value of a key.
    fn part(&self, key: &str) -> Result<Part<'a>, String> {
        self.is("an object", Value::is_object)?;
        let value = self.value.get(key).ok_or_else(|| format!("{} has no {key:?}", self.path))?;
        Ok(Part { path: format!("{}.{key}", self.path), value })
    }

    /// The elements of a list.
    fn items(&self) -> Result<Vec<Part<'a>>, String> {
        self.is("a list", Value::is_array)?;
        let items = self.value.as_array().into_iter().flatten().enumerate();
        let parts = items.map(|(at, value)| Part { path: format!("{}[{at}]", self.path), value });
        Ok(parts.collect())
    }

    fn is(&self, wanted: &str, is_wanted: fn(&Value) -> bool) -> Result<(), String> {
        let actual = match self.value {
            value if is_wanted(value) => return Ok(()),
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Err(format!("{} is {actual}, not {wanted}", self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ORDERING_INPUT;

    const PAGE: &str = include_str!("../../../../docs/testing.md");

    /// The reason for which a scenario is refused.
    fn refused(text: &str) -> String {
        let error = ordering_scenario::run(text.as_bytes()).unwrap_err();
        reason(error, text.as_bytes())
    }

    #[test]
    fn the_example_of_help_and_page_runs() {
        let example = &ORDERING_INPUT[ORDERING_INPUT.find('{').unwrap()..];
        let result = ordering_scenario::run(example.as_bytes()).unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["blocks"][0]["cohorts"][0].as_array().unwrap().len(), 1);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(PAGE).contains(&words(example)), "docs/testing.md has another example");
    }

    #[test]
    fn what_is_no_scenario_is_told_with_its_place() {
        let example = ORDERING_INPUT.split_once(':').unwrap().1;
        let said = [
            (String::new(), "not JSON: EOF while parsing a value at line 1 column 0"),
            ("{\"n\": 1,\n x}".to_owned(), "not JSON: key must be a string at line 2 column 2"),
            (format!("[{example}]"), "a list, not one object: give one of its elements"),
            ("3".to_owned(), "scenario is a number, not an object"),
            ("{}".to_owned(), "scenario has no \"n\""),
            (example.replace("\"f\": 0", "\"f\": \"0\""), "scenario.f is a string, not an integer"),
            (
                example.replace("\"ids\"", "\"id\""),
                "scenario.blocks[0].fragments[0] has no \"ids\"",
            ),
            (example.replace("\"n\": 1", "\"n\": 0"), "n, f and g: n is from 4f + 2g + 1 to 128"),
        ];
        for (text, expected) in said {
            assert_eq!(refused(&text), expected, "{text}");
        }
        let times = example.replace("strict", "median");
        let times = times.replace("\"sequencer\"", "\"times_ms\": [], \"sequencer\"");
        assert!(refused(&times).starts_with("times_ms has one time"), "{times}");
    }
}
