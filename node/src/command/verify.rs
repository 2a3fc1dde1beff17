//! `fairveil verify`: judges files offline.

mod censorship;
mod fairness;

use std::path::{Path, PathBuf};

use fairveil_client::{
    PinnedNetwork,
    file::{File, MAX_FILE_BYTES},
    verify::{Judgement, Refusal, coverage::TraceVerdict, judge},
};
use serde_json::json;

use super::{disk, error::CommandError, network};
use crate::cli::{self, VerifyCommand, exit};

/// Runs a form of the command; the exit code.
pub(crate) fn run(args: &cli::Verify, json: bool) -> Result<u8, CommandError> {
    match &args.command {
        Some(VerifyCommand::Fairness { pinned, traces }) => {
            fairness::run(&pin(pinned)?, traces, json)
        }
        Some(VerifyCommand::Censorship { pinned, receipts, sealed, orders, out }) => {
            let files = censorship::Files { receipts, sealed, orders };
            censorship::run(&pin(pinned)?, &files, out.as_deref(), json)
        }
        None => {
            let (Some(transcript), Some(network)) = (&args.transcript, &args.network) else {
                return Err(CommandError::Usage("--transcript and --network are needed".into()));
            };
            files(&network::pinned(transcript, network)?, &args.files, json)
        }
    }
}

fn pin(args: &cli::Pinned) -> Result<PinnedNetwork, CommandError> {
    network::pinned(&args.transcript, &args.network)
}

/// Judges every file; exit code 0 if each one proves something, and no trace shows a fault or too
/// little.
fn files(pinned: &PinnedNetwork, files: &[PathBuf], json: bool) -> Result<u8, CommandError> {
    let mut shown = Vec::new();
    let mut codes = Vec::new();
    for path in files {
        let bytes = disk::read(path, MAX_FILE_BYTES)?;
        let verdict: Result<Judgement, Refusal> = judge(pinned, &bytes);
        codes.push(code_of_file(&verdict));
        match (json, verdict) {
            (false, Ok(judgement)) => println!("{}: {judgement}", path.display()),
            (false, Err(refusal)) => println!("{}: REFUSED, {refusal}", path.display()),
            (true, Ok(judgement)) => shown.push(json!({
                "file": path, "valid": true, "proves": judgement.to_value(),
            })),
            (true, Err(refusal)) => shown.push(json!({
                "file": path, "valid": false, "reason": refusal.to_string(),
            })),
        }
    }
    if json {
        println!("{}", json!({ "network_id": pinned.network_id(), "files": shown }));
    }
    Ok(gravest(&codes))
}

/// The exit code of one file. A trace has that of `verify fairness`.
fn code_of_file(verdict: &Result<Judgement, Refusal>) -> u8 {
    match verdict {
        Ok(judgement) => judgement.trace_verdict().map_or(exit::OK, code_of_trace),
        Err(_) => exit::CHECK,
    }
}

fn code_of_trace(verdict: TraceVerdict) -> u8 {
    match verdict {
        TraceVerdict::NoFault => exit::OK,
        TraceVerdict::Fault => exit::CHECK,
        TraceVerdict::NotEnough => exit::UNREACHABLE,
    }
}

/// One exit code for all files: a failed check comes before what is not enough.
fn gravest(codes: &[u8]) -> u8 {
    match codes.contains(&exit::CHECK) {
        true => exit::CHECK,
        false => codes.iter().copied().max().unwrap_or(exit::OK),
    }
}

/// A file of any kind.
fn read(path: &Path) -> Result<File, CommandError> {
    let bytes = disk::read(path, MAX_FILE_BYTES)?;
    File::read(&bytes).map_err(|error| CommandError::file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_comes_before_what_is_not_enough() {
        let (ok, check) = (exit::OK, exit::CHECK);
        let few = code_of_trace(TraceVerdict::NotEnough);
        assert_eq!(code_of_trace(TraceVerdict::NoFault), ok);
        assert_eq!(code_of_trace(TraceVerdict::Fault), check);
        assert!(few != ok && few != check && few != exit::USAGE);
        assert_eq!(gravest(&[ok, few, ok]), few);
        assert_eq!(gravest(&[few, check, few]), check);
        assert_eq!((gravest(&[ok, ok]), gravest(&[])), (ok, ok));
    }
}
