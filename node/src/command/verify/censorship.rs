//! `fairveil verify censorship`: a proof of omission out of receipts, a sealed bundle and an order.

use std::path::{Path, PathBuf};

use fairveil_client::{PinnedNetwork, censorship::prove, file::File};
use serde_json::json;

use crate::{
    cli::exit,
    command::{
        disk::{self, Readers},
        error::CommandError,
    },
};

/// What a proof is made of.
pub(super) struct Files<'a> {
    pub(super) receipts: &'a Path,
    pub(super) sealed: &'a Path,
    pub(super) orders: &'a [PathBuf],
}

/// Proves the omission, or says why it is not proven (exit code 1).
pub(super) fn run(
    pinned: &PinnedNetwork,
    files: &Files<'_>,
    out: Option<&Path>,
    json: bool,
) -> Result<u8, CommandError> {
    let File::Receipts(receipts) = super::read(files.receipts)? else {
        return Err(CommandError::file(files.receipts, &"not a file of kind \"receipts\""));
    };
    let File::Sealed(sealed) = super::read(files.sealed)? else {
        return Err(CommandError::file(files.sealed, &"not a file of kind \"sealed\""));
    };
    let mut orders = Vec::new();
    for path in files.orders {
        match super::read(path)? {
            File::Order(order) => orders.push(*order),
            File::Trace(trace) => orders.extend(trace.orders),
            other => {
                let why =
                    format!("a file of kind {:?}, a trace or an order is needed", other.kind());
                return Err(CommandError::file(path, &why));
            }
        }
    }
    let (proof, omission) = match prove(pinned, &sealed, &receipts, &orders) {
        Ok(proven) => proven,
        Err(refusal) if json => {
            println!("{}", json!({ "proven": false, "reason": refusal.to_string() }));
            return Ok(exit::CHECK);
        }
        Err(refusal) => {
            println!("NOT PROVEN: {refusal}");
            return Ok(exit::CHECK);
        }
    };
    if let Some(path) = out {
        let text = File::Censorship(Box::new(proof)).to_json();
        disk::write(path, text.as_bytes(), Readers::All)?;
    }
    if json {
        println!("{}", json!({ "proven": true, "proves": omission.to_value(), "file": out }));
    } else {
        println!("{omission}");
        if let Some(path) = out {
            println!("  kept in {}; fairveil verify judges it offline", path.display());
        }
    }
    Ok(exit::OK)
}
