//! Prints the table of the last run of the benches: times, and ratios within that run.
//!
//! Reads what criterion left in `criterion` of the target folder that this binary stands in, or in
//! the folder given as argument. A row that was not measured is an error.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, io};

use fairveil_benches::plan::{Case, OPERATIONS, OURS, Operation, Per};
use serde_json::Value;

const NS_PER_US: f64 = 1_000.0;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
enum RatiosError {
    /// No folder to read.
    #[error("no criterion folder beside {0}: name it as argument")]
    NoFolder(PathBuf),
    /// The path of this binary is unknown.
    #[error("where this binary stands: {0}")]
    Binary(io::Error),
    /// A result is missing.
    #[error("{}: {source}; run `cargo bench -p fairveil-benches` first, all of it", path.display())]
    Missing { path: PathBuf, source: io::Error },
    /// A file is not JSON.
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    /// A file holds no number where it should.
    #[error("{}: no number at {field}", path.display())]
    Field { path: PathBuf, field: &'static str },
}

fn main() -> ExitCode {
    match folder().and_then(|folder| table(&folder)) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn folder() -> Result<PathBuf, RatiosError> {
    if let Some(folder) = env::args_os().nth(1) {
        return Ok(folder.into());
    }
    let binary = env::current_exe().map_err(RatiosError::Binary)?;
    let folder = binary.ancestors().nth(2).map(|target| target.join("criterion"));
    folder.filter(|folder| folder.is_dir()).ok_or(RatiosError::NoFolder(binary))
}

fn table(folder: &Path) -> Result<String, RatiosError> {
    let mut table = String::from(
        "| operation | n | at once | bytes | ours, µs | baseline | its µs | ratio |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for operation in OPERATIONS {
        for case in operation.cases {
            let ours = time_us(folder, operation, OURS, case)?;
            for baseline in operation.baselines {
                let theirs = time_us(folder, operation, baseline, case)?;
                let Case { n, count, plaintext_bytes } = case;
                table.push_str(&format!(
                    "| {} | {n} | {count} | {plaintext_bytes} | {ours:.1} | {baseline} | \
                     {theirs:.1} | {:.1} |\n",
                    operation.name,
                    theirs / ours,
                ));
            }
        }
    }
    Ok(table)
}

/// The median of one side of a case.
fn time_us(
    folder: &Path,
    operation: &Operation,
    side: &str,
    case: &Case,
) -> Result<f64, RatiosError> {
    let folder = folder.join(operation.name).join(side).join(case.name()).join("new");
    let time = number(folder.join("estimates.json"), "/median/point_estimate")? / NS_PER_US;
    match operation.per {
        Per::Run => Ok(time),
        Per::Ciphertext => {
            Ok(time / number(folder.join("benchmark.json"), "/throughput/Elements")?)
        }
    }
}

fn number(path: PathBuf, field: &'static str) -> Result<f64, RatiosError> {
    #[expect(clippy::disallowed_methods, reason = "a tool of the benches, not part of the core")]
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(RatiosError::Missing { path, source }),
    };
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(source) => return Err(RatiosError::Json { path, source }),
    };
    let number = value.pointer(field).and_then(Value::as_f64);
    number.ok_or(RatiosError::Field { path, field })
}
