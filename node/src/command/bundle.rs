//! `fairveil bundle`: from raw transactions to a verified release.

mod build;
mod dry_run;
mod follow;
mod submit;
mod trace;

use std::path::{Path, PathBuf};

use fairveil_client::{
    file::{File, SealedFile, UnsealedFile},
    follow::Subject,
};
use fairveil_mempool::Bundle;

use super::{disk, error::CommandError};
use crate::cli;

/// The longest file of a bundle, sealed or not: 64 KiB as hex, with room.
const MAX_BUNDLE_FILE_BYTES: usize = 1 << 20;

/// Runs a command about a bundle; the exit code.
pub(crate) fn run(args: &cli::Bundle, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Bundle::Build { transactions, files, policy, valid_from, expires_in, out } => {
            let window = (*valid_from, expires_in.as_deref());
            build::build(transactions, files, *policy, window, out, json)
        }
        cli::Bundle::Seal {
            network,
            bundle,
            payer,
            nonce,
            expires_in,
            valid_from,
            anyway,
            out,
        } => {
            let (nonce, valid_from, anyway) = (*nonce, *valid_from, *anyway);
            let expires_in = expires_in.as_deref();
            let choices = build::Choices { nonce, expires_in, valid_from, anyway };
            build::seal(network, bundle, payer, &choices, out, json)
        }
        cli::Bundle::DryRun(args) => dry_run::run(args, json),
        cli::Bundle::Submit { network, sealed } => submit::submit(network, sealed, json),
        cli::Bundle::Status { network, bundle, unsealed } => {
            follow::status(network, subject(bundle, unsealed.as_deref())?, json)
        }
        cli::Bundle::Height { network } => build::height(network, json),
        cli::Bundle::Wait { network, bundle, unsealed, timeout_seconds } => {
            let subject = subject(bundle, unsealed.as_deref())?;
            follow::wait(network, subject, *timeout_seconds, json)
        }
        cli::Bundle::Trace { network, from, to, sealed, receipts, ask, out } => {
            let asked = if *ask { trace::Receipts::OfAll } else { trace::Receipts::Given };
            let window = sealed.as_deref().map(valid_from).transpose()?;
            let range = trace::Range { from: *from, window, to: *to };
            trace::trace(network, range, receipts, asked, out, json)
        }
        cli::Bundle::Verify { network, bundle, unsealed, out } => {
            let subject = subject(bundle, unsealed.as_deref())?;
            follow::verify(network, subject, out.as_deref(), json)
        }
    }
}

/// A bundle in the clear.
fn read_unsealed(path: &Path) -> Result<Bundle, CommandError> {
    read_unsealed_file(path).map(|(bundle, _)| bundle)
}

/// A bundle in the clear, and what its file says besides.
fn read_unsealed_file(path: &Path) -> Result<(Bundle, UnsealedFile), CommandError> {
    let bytes = disk::read(path, MAX_BUNDLE_FILE_BYTES)?;
    match File::read(&bytes).map_err(|error| CommandError::file(path, &error))? {
        File::Unsealed(file) => {
            let bundle = file.bundle().map_err(|error| CommandError::file(path, &error))?;
            Ok((bundle, file))
        }
        other => Err(wrong_kind(path, other.kind(), "unsealed")),
    }
}

/// A sealed bundle.
fn read_sealed(path: &Path) -> Result<SealedFile, CommandError> {
    let bytes = disk::read(path, MAX_BUNDLE_FILE_BYTES)?;
    match File::read(&bytes).map_err(|error| CommandError::file(path, &error))? {
        File::Sealed(file) => Ok(file),
        other => Err(wrong_kind(path, other.kind(), "sealed")),
    }
}

/// The first height at which a sealed bundle may be ordered; heights begin with 1.
fn valid_from(path: &Path) -> Result<u64, CommandError> {
    let sealed = read_sealed(path)?.bundle().map_err(|error| CommandError::file(path, &error))?;
    Ok(sealed.header().valid_from.get().max(1))
}

fn wrong_kind(path: &Path, actual: &str, expected: &str) -> CommandError {
    CommandError::file(path, &format!("a file of kind {actual:?}, one of {expected:?} is needed"))
}

/// The bundle that is meant: by its id, or by the file of the sealed one.
fn subject(argument: &str, unsealed: Option<&Path>) -> Result<Subject, CommandError> {
    let bundle = unsealed.map(read_unsealed).transpose()?;
    if let Ok(id) = argument.parse() {
        return Ok(Subject { id, bundle, expires_at: None });
    }
    let path = PathBuf::from(argument);
    let sealed = read_sealed(&path)?;
    let sealed = sealed.bundle().map_err(|error| CommandError::file(&path, &error))?;
    Ok(Subject { id: sealed.id(), bundle, expires_at: Some(sealed.header().expires_at) })
}
