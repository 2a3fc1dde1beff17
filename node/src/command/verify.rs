//! `fairveil verify`: judges files offline.

mod censorship;
mod fairness;

use std::path::{Path, PathBuf};

use fairveil_client::{
    PinnedNetwork,
    file::{File, MAX_FILE_BYTES},
    verify::{Judgement, Refusal, judge},
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

/// Judges every file; exit code 0 if each one proves something.
fn files(pinned: &PinnedNetwork, files: &[PathBuf], json: bool) -> Result<u8, CommandError> {
    let mut shown = Vec::new();
    let mut refused = 0_usize;
    for path in files {
        let bytes = disk::read(path, MAX_FILE_BYTES)?;
        let verdict: Result<Judgement, Refusal> = judge(pinned, &bytes);
        refused += usize::from(verdict.is_err());
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
    Ok(if refused == 0 { exit::OK } else { exit::CHECK })
}

/// A file of any kind.
fn read(path: &Path) -> Result<File, CommandError> {
    let bytes = disk::read(path, MAX_FILE_BYTES)?;
    File::read(&bytes).map_err(|error| CommandError::file(path, &error))
}
