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

/// Which heights are wanted, as far as that was said.
pub(super) struct Range {
    pub(super) from: Option<u64>,
    /// The first height at which the sealed bundle may be ordered.
    pub(super) window: Option<u64>,
    pub(super) to: Option<u64>,
}

/// A height, and the words that say where it comes from.
type Bound = (u64, &'static str);

/// `bundle trace`.
pub(super) fn trace(
    args: &cli::Network,
    range: Range,
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
    range: Range,
    receipts: &[Receipt],
) -> Result<(u64, u64), CommandError> {
    let earliest = receipts.iter().map(|receipt| receipt.body.height.get().max(1)).min();
    let first = match (range.from, range.window, earliest) {
        (Some(from), _, _) => (from, "--from is height"),
        (None, Some(window), _) => (window, "the bundle's window begins at height"),
        (None, None, Some(earliest)) => (earliest, "the earliest receipt is of height"),
        (None, None, None) => {
            return Err(CommandError::Usage(
                "give the first height with --from, or --sealed, or --receipts".into(),
            ));
        }
    };
    let last = match range.to {
        Some(to) => (to, "--to is height"),
        None => {
            let tip = reach::run(tip(network, endpoints))?
                .map_err(|error| CommandError::Unreachable(error.to_string()))?;
            (tip.height.get(), "the network is at height")
        }
    };
    traceable(first, last)
}

/// Both heights, if a trace holds what is between them.
fn traceable((first, begins): Bound, (last, ends): Bound) -> Result<(u64, u64), CommandError> {
    if last < first {
        return Err(CommandError::Usage(format!(
            "{begins} {first}, but {ends} {last}: there is nothing to trace"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_that_can_not_be_traced_are_told_with_where_they_come_from() {
        let window = (400, "the bundle's window begins at height");
        let tip = (6, "the network is at height");
        let early = traceable(window, tip).unwrap_err();
        assert_eq!(early.exit(), exit::USAGE);
        assert_eq!(
            early.to_string(),
            "the bundle's window begins at height 400, but the network is at height 6: there is \
             nothing to trace"
        );
        assert_eq!(traceable((6, "--from is height"), tip).unwrap(), (6, 6));

        let limit = MAX_HEIGHTS as u64;
        assert_eq!(traceable((1, "--from is height"), (limit, "")).unwrap(), (1, limit));
        let many = traceable((1, "--from is height"), (limit + 1, "")).unwrap_err();
        assert!(many.to_string().contains(&format!("at most {limit}")), "{many}");
    }
}
