//! `fairveil rollup check-batcher`: whether what a batcher signed is what was released.

use std::path::Path;

use fairveil_client::{
    PinnedNetwork,
    file::{File, MAX_FILE_BYTES},
    registry::registry,
};
use fairveil_release::{
    document::BatchDocument,
    fraud::{FraudError, FraudProof, SignedError, SignedFrames},
    transaction::RawTransaction,
};
use serde_json::json;

use crate::{
    cli::{self, exit},
    command::{
        disk::{self, Readers},
        error::CommandError,
        network as reach,
    },
};

/// The longest file of batcher transactions in bytes.
const MAX_TRANSACTIONS_BYTES: usize = 64 << 20;

/// Judges the transactions; exit code 1, and a fraud proof, if they are false.
pub(super) fn run(args: &cli::CheckBatcher, json: bool) -> Result<u8, CommandError> {
    let network = reach::pinned(&args.transcript, &args.network)?;
    let mut batches = Vec::new();
    for path in &args.batches {
        batches.extend(documents(path)?);
    }
    let transactions = transactions(&args.transactions)?;
    let signed = SignedFrames { batches, transactions };
    let proof = FraudProof::Signed(Box::new(signed));
    match judge(&network, &proof)? {
        Ok(verdict) => {
            let text = File::Fraud(Box::new(proof)).to_json();
            disk::write_new(&args.out, text.as_bytes(), Readers::All)?;
            if json {
                println!("{}", json!({ "false": verdict, "fraud": args.out }));
            } else {
                println!("FALSE: {verdict}; fraud proof in {}", args.out.display());
            }
            Ok(exit::CHECK)
        }
        Err(blocks) => {
            if json {
                println!("{}", json!({ "true_blocks": blocks }));
            } else {
                println!("{blocks} blocks hold exactly what was released");
            }
            Ok(exit::OK)
        }
    }
}

/// What the proof shows, or how many blocks are true.
fn judge(
    network: &PinnedNetwork,
    proof: &FraudProof,
) -> Result<Result<String, usize>, CommandError> {
    let check = |error: &dyn std::fmt::Display| CommandError::Check(error.to_string());
    let registry = registry(network.definition()).map_err(|error| check(&error))?;
    match proof.judge(&network.network_id(), network, &registry) {
        Ok(verdict) => Ok(Ok(verdict.to_string())),
        Err(FraudError::Signed(SignedError::True { blocks })) => Ok(Err(blocks)),
        Err(error) => Err(check(&error)),
    }
}

fn documents(path: &Path) -> Result<Vec<BatchDocument>, CommandError> {
    let bytes = disk::read(path, MAX_FILE_BYTES)?;
    match File::read(&bytes).map_err(|error| CommandError::file(path, &error))? {
        File::Batch(document) => Ok(vec![*document]),
        File::Batches(documents) => Ok(documents),
        other => {
            let why = format!("a file of kind {:?}, one of batches is needed", other.kind());
            Err(CommandError::file(path, &why))
        }
    }
}

fn transactions(path: &Path) -> Result<Vec<RawTransaction>, CommandError> {
    let bytes = disk::read(path, MAX_TRANSACTIONS_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| CommandError::file(path, &error))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = lines.map(|(number, line)| {
        line.parse().map_err(|error| CommandError::file(path, &format!("line {number}: {error}")))
    });
    read.collect()
}
