//! What a node is set to: values of its configuration in the types that take them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{SocketAddr, ToSocketAddrs as _},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use fairveil_consensus::timing::Timing;
use fairveil_keygen::{Definition, Deposits, definition::Address, deposits::MAX_DEPOSITS_BYTES};
use fairveil_mempool::Limits;
use fairveil_release::{
    registry::{Registry, Rollup},
    states::{MAX_GENESIS_BYTES, MemoryState, parse_genesis},
};
use fairveil_sequencer::{Accounting, retention::MIN_HEIGHTS};
use fairveil_transport::{SegmentationOffload, SocketOptions};

use super::NodeError;
use crate::{command::disk, config::Config, rollups::genesis_file};

/// What `retention_heights` may be; the default texts name the same number.
const RETENTION: &str = "0 or at least 2048 heights";
const _: () = assert!(MIN_HEIGHTS == 2_048);

/// The pool's limits.
pub(super) fn limits(config: &Config) -> Result<Limits, NodeError> {
    let number = |key, expected| config.number(key, 1..=1 << 40, expected);
    let limits = Limits {
        pool_bundles: number("pool_bundles", "a number of bundles")?,
        pool_bytes: number("pool_bytes", "a number of bytes")?,
        payer_bundles: number("pool_bundles_per_payer", "a number of bundles")?,
        address_per_second: number("trader_rate", "submissions a second")?,
        address_burst: number("trader_burst", "submissions")?,
        announced_ids: usize::try_from(number("pool_bundles", "a number of bundles")?)
            .unwrap_or(usize::MAX)
            .max(Limits::DEFAULT.announced_ids),
        ..Limits::DEFAULT
    };
    match limits.fault() {
        None => Ok(limits),
        Some(fault) => Err(NodeError::Start { what: "limits", why: fault.into() }),
    }
}

/// How fast blocks are made: what the definition says, and what is the operator's.
pub(super) fn timing(config: &Config, definition: &Definition) -> Result<Timing, NodeError> {
    let blocks = definition.proposal().blocks;
    Ok(Timing {
        min_interval: Duration::from_millis(blocks.minimum_interval_ms.into()),
        idle_interval: Duration::from_millis(blocks.idle_interval_ms.into()),
        leader_timeout: millis(config, "leader_timeout_ms", 100..=60_000)?,
        certification_timeout: millis(config, "certification_timeout_ms", 100..=120_000)?,
        ..Timing::default()
    })
}

/// Heights to keep in the database.
pub(super) fn retention(config: &Config) -> Result<u64, NodeError> {
    let heights = config.number("retention_heights", 0..=u64::MAX >> 1, RETENTION)?;
    match heights {
        1..MIN_HEIGHTS => Err(config.invalid("retention_heights", RETENTION).into()),
        heights => Ok(heights),
    }
}

/// How both QUIC endpoints use their sockets.
pub(super) fn socket(config: &Config) -> Result<SocketOptions, NodeError> {
    let segmentation_offload =
        if config.switch("quic_gso")? { SegmentationOffload::On } else { SegmentationOffload::Off };
    Ok(SocketOptions { segmentation_offload, ..SocketOptions::default() })
}

/// A duration.
pub(super) fn millis(
    config: &Config,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Result<Duration, NodeError> {
    Ok(Duration::from_millis(config.number(key, range, "milliseconds in range")?))
}

/// A number of threads.
pub(super) fn threads(config: &Config, key: &'static str) -> Result<usize, NodeError> {
    let threads = config.number(key, 1..=256, "1 to 256 threads")?;
    Ok(usize::try_from(threads).unwrap_or(1))
}

/// The genesis states of the rollups that are simulated, and of all others whose documents are in
/// the folder too: rollups that may join.
pub(super) fn genesis(
    config: &Config,
    registry: &Registry,
) -> Result<BTreeMap<u64, MemoryState>, NodeError> {
    let mut states = BTreeMap::new();
    let simulated = registry.rollups().iter().filter(|rollup| rollup.embedded().is_some());
    for Rollup { chain_id, name, .. } in simulated {
        let refused = |why: String| NodeError::Start { what: "genesis", why };
        let folder = config.path("genesis").ok_or_else(|| {
            refused(format!("rollup {chain_id} ({name}) is simulated: set `genesis` to the folder with {chain_id}.json"))
        })?;
        states.insert(*chain_id, genesis_state(&genesis_file(&folder, *chain_id))?);
    }
    let Some(folder) = config.path("genesis") else { return Ok(states) };
    for path in genesis_files(&folder)? {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let Some(chain_id) = stem.and_then(|stem| stem.parse().ok()) else { continue };
        if let Entry::Vacant(entry) = states.entry(chain_id) {
            entry.insert(genesis_state(&path)?);
        }
    }
    Ok(states)
}

fn genesis_state(path: &Path) -> Result<MemoryState, NodeError> {
    let refused = |why: String| NodeError::Start { what: "genesis", why };
    let document =
        disk::read(path, MAX_GENESIS_BYTES).map_err(|error| refused(error.to_string()))?;
    parse_genesis(&document).map_err(|error| refused(format!("{}: {error}", path.display())))
}

/// The genesis documents of a folder; none if there is no such folder.
fn genesis_files(folder: &Path) -> Result<Vec<PathBuf>, NodeError> {
    let refused = |error: std::io::Error| NodeError::Start {
        what: "genesis",
        why: format!("{}: {error}", folder.display()),
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What bundles cost, with the deposits from their document: exactly those that the definition names.
pub(super) fn accounting(
    config: &Config,
    definition: &Definition,
) -> Result<Option<Accounting>, NodeError> {
    let refused = |why: String| NodeError::Start { what: "deposits", why };
    let (defined, path) = match (definition.proposal().accounting, config.path("deposits")) {
        (None, None) => return Ok(None),
        (None, Some(path)) => {
            let path = path.display();
            return Err(refused(format!(
                "`deposits` is {path}, but the definition charges nothing"
            )));
        }
        (Some(_), None) => {
            let why = "the definition charges for bundles: set `deposits` to its document";
            return Err(refused(why.into()));
        }
        (Some(defined), Some(path)) => (defined, path),
    };
    let document =
        disk::read(&path, MAX_DEPOSITS_BYTES).map_err(|error| refused(error.to_string()))?;
    let shown = path.display();
    let deposits =
        Deposits::from_json(&document).map_err(|error| refused(format!("{shown}: {error}")))?;
    let (actual, expected) = (deposits.digest(), defined.deposits);
    if actual != expected {
        let why = format!("{shown} has digest {actual}, the definition names {expected}");
        return Err(refused(why));
    }
    Ok(Some(Accounting {
        deposits: deposits.amounts().clone(),
        fee_per_byte: defined.fee_per_byte,
        rollup_share_percent: defined.rollup_share_percent,
    }))
}

/// The ceremony's chain has no traffic but the ceremony's: fast blocks, short timeouts.
pub(super) fn ceremony_timing() -> Timing {
    Timing {
        min_interval: Duration::from_millis(50),
        idle_interval: Duration::from_millis(400),
        ..Timing::default()
    }
}

/// Where a name of the definition leads.
pub(crate) fn resolve(address: Option<&Address>) -> Result<SocketAddr, NodeError> {
    let text = address.map(ToString::to_string).unwrap_or_default();
    let start = |why: String| NodeError::Start { what: "address", why };
    text.to_socket_addrs()
        .map_err(|error| start(format!("{text}: {error}")))?
        .next()
        .ok_or_else(|| start(format!("{text} does not resolve")))
}
