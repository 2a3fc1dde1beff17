//! A scenario file through the fair order, without the rest of the program:
//! `ordering_scenario simulate ordering --input FILE --json`.

use std::process::ExitCode;

use fairveil_simulation::ordering_scenario;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let input = arguments.iter().position(|argument| argument == "--input");
    let Some(path) = input.and_then(|at| arguments.get(at + 1)) else {
        eprintln!("usage: ordering_scenario simulate ordering --input FILE --json");
        return ExitCode::from(2);
    };
    #[allow(clippy::disallowed_methods)]
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    };
    match ordering_scenario::run(&bytes) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", serde_json::json!({"error": error.code()}));
            ExitCode::FAILURE
        }
    }
}
