//! `fairveil verify`: judges files offline.

use fairveil_client::{
    file::MAX_FILE_BYTES,
    verify::{Judgement, Refusal, judge},
};
use serde_json::json;

use super::{disk, error::CommandError, network};
use crate::cli::{self, exit};

/// Judges every file; exit code 0 if each one proves something.
pub(crate) fn run(args: &cli::Verify, json: bool) -> Result<u8, CommandError> {
    let pinned = network::pinned(&args.transcript, &args.network)?;
    let mut shown = Vec::new();
    let mut refused = 0_usize;
    for path in &args.files {
        let bytes = disk::read(path, MAX_FILE_BYTES)?;
        let verdict: Result<Judgement, Refusal> = judge(&pinned, &bytes);
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
