//! `bundle trace`: the certified order of a run and its receipts, in one file.

use std::path::{Path, PathBuf};

use fairveil_client::{
    Endpoint, PinnedNetwork,
    file::File,
    network::tip,
    record,
    trace::{MAX_HEIGHTS, TraceFile},
};
use fairveil_mempool::Receipt;
use serde_json::json;

use super::super::{
    disk::{self, Readers},
    error::CommandError,
    network as reach,
};
use crate::cli::{self, exit};

/// Whose receipts are taken along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipts {
    /// Those that were given.
    Given,
    /// Those of all sequencers for every bundle in the order, too.
    OfAll,
}

/// `bundle trace`.
pub(super) fn trace(
    args: &cli::Network,
    range: (Option<u64>, Option<u64>),
    files: &[PathBuf],
    asked: Receipts,
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let mut receipts = Vec::new();
    for path in files {
        receipts.extend(given(path)?);
    }
    let (network, endpoints) = reach::reached(args)?;
    let (first, last) = heights(&network, &endpoints, range, &receipts)?;
    let orders = reach::run(record::orders(&network, &endpoints, first..=last))?;
    let mut doubts = orders.doubts;
    if asked == Receipts::OfAll {
        let emitted = orders.taken.iter().flat_map(|order| order.emission.ids());
        let ids: Vec<_> = emitted.map(|one| one.id).collect();
        let said = reach::run(record::receipts(&network, &endpoints, &ids))?;
        receipts.extend(said.taken);
        doubts.extend(said.doubts);
    }
    let file = TraceFile { network_id: network.network_id(), receipts, orders: orders.taken };
    let (heights, known) = (file.orders.len(), file.receipts.len());
    disk::write(out, File::Trace(Box::new(file)).to_json().as_bytes(), Readers::All)?;
    if json {
        println!(
            "{}",
            json!({
                "first": first, "last": last, "heights": heights, "receipts": known, "file": out,
                "doubts": doubts,
            })
        );
    } else {
        println!(
            "heights {first} to {last}: {heights} orders, {known} receipts in {}",
            out.display()
        );
        doubts.iter().for_each(|doubt| println!("  {doubt}"));
    }
    let wanted = last - first + 1;
    Ok(if heights as u64 == wanted { exit::OK } else { exit::CHECK })
}

fn given(path: &Path) -> Result<Vec<Receipt>, CommandError> {
    let bytes = disk::read(path, fairveil_client::file::MAX_FILE_BYTES)?;
    match File::read(&bytes).map_err(|error| CommandError::file(path, &error))? {
        File::Receipts(file) => Ok(file.receipts),
        File::Trace(file) => Ok(file.receipts),
        other => Err(super::wrong_kind(path, other.kind(), "receipts")),
    }
}

/// The first and the last height.
fn heights(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    (from, to): (Option<u64>, Option<u64>),
    receipts: &[Receipt],
) -> Result<(u64, u64), CommandError> {
    let earliest = receipts.iter().map(|receipt| receipt.body.height.get().max(1)).min();
    let first = from.or(earliest).ok_or_else(|| {
        CommandError::Usage("give the first height with --from, or --sealed, or --receipts".into())
    })?;
    let last = match to {
        Some(last) => last,
        None => {
            let tip = reach::run(tip(network, endpoints))?
                .map_err(|error| CommandError::Unreachable(error.to_string()))?;
            tip.height.get()
        }
    };
    if last < first {
        return Err(CommandError::Usage(format!(
            "the last height, {last}, is below the first, {first}"
        )));
    }
    let (actual, limit) = ((last - first).saturating_add(1), MAX_HEIGHTS as u64);
    if actual > limit {
        return Err(CommandError::Usage(format!(
            "heights {first} to {last} are {actual}, a trace has at most {limit}: give --from and \
             --to"
        )));
    }
    Ok((first, last))
}
