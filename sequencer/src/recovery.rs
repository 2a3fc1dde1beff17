//! The sequencer's state after a start: from the database, or from the genesis block.
//!
//! # What is stored of the chain
//!
//! `Meta/chain` is a snapshot of the chain's state at some height, `Blocks` the final blocks since.
//! They are applied again at a start; the result must be the committed tip. A snapshot is written
//! every `SNAPSHOT_HEIGHTS` heights, in the transaction that commits that height. At an epoch's end it
//! is that of the next epoch's first block ([`crate::boundary`]).
//!
//! # Invariants
//!
//! 1. What is restored is what was committed with the last acknowledged block, or the start fails.
//! 2. Nothing is signed before everything is restored: an old or damaged store stops the start.

use std::collections::BTreeMap;

use bytes::Bytes;
use fairveil_consensus::{
    Block,
    balances::Balances,
    block::BlockError,
    host::BundleFacts,
    state::{BlockFault, ChainState, Parameters, ParametersError, RestoreError},
};
use fairveil_crypto::{
    BundleId, Epoch, Height, SequencerIndex,
    envelope::{EnvelopeError, SealedBundle},
};
use fairveil_mempool::{
    Receipt,
    pool::{EmittedBundle, LogEntry, Restored, RestoredBundle, StoredBundle},
};
use fairveil_ordering::{AlreadyLogged, LogName, OrderLog, Status, Tip};
use fairveil_release::{
    chain::ReleaseChain, ledger::Ledger, registry::RegistryError, states::StatesError,
};

use crate::{
    boundary,
    config::Accounting,
    handle::decoded,
    ledger_store,
    record::height_key,
    release_store::restored,
    store::{Store, StoreError, Stored, Table, Write},
};

/// Where the snapshot of the chain's state stands.
pub(crate) const CHAIN: &[u8] = b"chain";
/// The epoch that a network begins with.
pub(crate) const FIRST_EPOCH: Epoch = Epoch::new(1);
/// Heights between two snapshots of the chain's state.
pub(crate) const SNAPSHOT_HEIGHTS: u64 = 64;
/// Heights for which consumed nonces and emitted ids are remembered.
pub(crate) const REMEMBERED_HEIGHTS: u64 = fairveil_consensus::state::NONCE_HEIGHTS;
/// Entries read from the database at a time.
const PAGE: usize = 1_024;
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Why a sequencer can't start from its database.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis states are not those that the registry names.
    #[error(transparent)]
    States(#[from] StatesError),
    /// The rollups have no slots in common.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The committee's parameters contradict each other.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The snapshot of the chain's state is not usable.
    #[error("the stored state of the chain: {0}")]
    Snapshot(#[from] RestoreError),
    /// The database stands in another epoch.
    #[error("the database stands in epoch {actual}, the committee is of epoch {expected}")]
    Epoch {
        /// The database's.
        actual: Epoch,
        /// The committee's.
        expected: Epoch,
    },
    /// A stored block is not a block.
    #[error("the stored block of height {height}: {error}")]
    Block {
        /// Its height.
        height: Height,
        /// What is wrong.
        error: BlockError,
    },
    /// A stored block doesn't continue the chain.
    #[error("the stored block of height {height} breaks a rule: {fault}")]
    Fault {
        /// Its height.
        height: Height,
        /// The rule.
        fault: BlockFault,
    },
    /// A stored bundle is not a bundle.
    #[error("the stored bundle {id}: {error}")]
    Bundle {
        /// Its id.
        id: BundleId,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// A bundle that a stored block needs is gone.
    #[error("bundle {id}, which the stored block of height {height} needs, is not stored")]
    Missing {
        /// The block's height.
        height: Height,
        /// The bundle.
        id: BundleId,
    },
    /// The own log is not usable.
    #[error(transparent)]
    Log(#[from] AlreadyLogged),
    /// The own log is shorter than what is committed of it.
    #[error(
        "the stored log has {actual} entries, final blocks contain {expected}: the database is older than the chain"
    )]
    OldLog {
        /// Entries stored.
        actual: u64,
        /// Entries committed.
        expected: u64,
    },
}

/// Everything that a sequencer continues from.
pub(crate) struct Recovered {
    pub(crate) genesis: Block,
    pub(crate) chain: ChainState,
    pub(crate) releases: ReleaseChain,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) log: OrderLog,
    pub(crate) pool: Restored,
    pub(crate) facts: BTreeMap<BundleId, BundleFacts>,
    pub(crate) next_event: u64,
    /// Height of the stored snapshot.
    pub(crate) snapshot: Height,
}

/// Reads everything.
pub(crate) fn recover(
    store: &Store,
    parameters: Parameters,
    own: SequencerIndex,
    first_releases: impl FnOnce() -> Result<ReleaseChain, RecoveryError>,
    accounting: Option<&Accounting>,
) -> Result<Recovered, RecoveryError> {
    let epoch = parameters.id.epoch;
    let n = parameters.committee.n();
    let name = LogName { network_id: parameters.id.network_id, epoch, sequencer: own };
    let (bundles, facts) = bundles(store)?;
    let (actual, expected) = (boundary::epoch(store)?.unwrap_or(FIRST_EPOCH), epoch);
    if actual != expected {
        return Err(RecoveryError::Epoch { actual, expected });
    }
    let snapshot = store.get(Table::Meta, CHAIN)?;
    let (genesis, chain) = match (boundary::genesis(store)?, snapshot) {
        (Some(genesis), Some(snapshot)) => (genesis, ChainState::restore(parameters, &snapshot)?),
        (_, snapshot) => {
            let (genesis, first) = ChainState::genesis(parameters.clone())?;
            let restore = |bytes: Vec<u8>| ChainState::restore(parameters, &bytes);
            (genesis, snapshot.map_or(Ok(first), restore)?)
        }
    };
    let snapshot = chain.tip().height;
    let chain = replay(store, chain, &facts)?;
    let releases = restored(store, first_releases)?;
    let released = releases.next().previous().unwrap_or(Height::ZERO);
    let ledger = accounting
        .map(|accounting| ledger_store::restored(store, accounting, n, &chain, released))
        .transpose()?;
    let entries = log_entries(store, epoch)?;
    let committed = chain.ordering().committed(own).unwrap_or_else(|| name.start());
    let log = resume_log(name, committed, &entries)?;
    let order = chain.ordering().order();
    let remembered = |entry: &&LogEntry| {
        entry.position >= committed.length || order.status(&entry.id) != Status::Unknown
    };
    let first = entries.iter().position(|entry| remembered(&entry)).unwrap_or(entries.len());
    let first_ids = boundary::unproposed(store)?;
    let pool = Restored {
        height: chain.tip().height,
        bundles: of_epoch(bundles, epoch),
        log: entries[first..].to_vec(),
        log_length: entries.len() as u64,
        committed: committed.length,
        below_edge: order.below_edge(own),
        emitted: emitted(store, chain.tip().height)?,
        first: if entries.is_empty() { first_ids } else { Vec::new() },
        duty: duty(&chain, own),
        balances: chain.balances().map(Balances::changed).unwrap_or_default(),
    };
    let next_event = match store.last(Table::Events)? {
        Some((key, _)) => key.try_into().map(u64::from_be_bytes).unwrap_or(0).saturating_add(1),
        None => 1,
    };
    Ok(Recovered { genesis, chain, releases, ledger, log, pool, facts, next_event, snapshot })
}

/// Ids that this sequencer must report: what earlier epochs emitted is settled.
pub(crate) fn duty(chain: &ChainState, own: SequencerIndex) -> Vec<BundleId> {
    let (order, start) = (chain.ordering().order(), chain.parameters().id.start);
    let earlier = |id: &BundleId| match order.status(id) {
        Status::Emitted { height, .. } => height <= start,
        _ => false,
    };
    order.to_report(own).into_iter().filter(|id| !earlier(id)).collect()
}

/// Bundles without the receipts of earlier epochs, which speak of other logs.
fn of_epoch(mut bundles: Vec<RestoredBundle>, epoch: Epoch) -> Vec<RestoredBundle> {
    for bundle in &mut bundles {
        bundle.receipt = bundle.receipt.filter(|receipt| receipt.epoch == epoch);
    }
    bundles
}

/// The writes that commit a final block, with a snapshot where one is due.
pub(crate) fn chain_writes(chain: &ChainState, block: &Block, snapshot: &mut Height) -> Vec<Write> {
    let height = chain.tip().height;
    let mut writes = vec![Write::put(Table::Blocks, height_key(height), block.bytes().to_vec())];
    if height.distance_from(*snapshot) >= SNAPSHOT_HEIGHTS {
        writes.push(Write::put(Table::Meta, CHAIN, chain.snapshot()));
        let mut old = *snapshot;
        while old < height {
            old = old.next();
            writes.push(Write::remove(Table::Blocks, height_key(old)));
        }
        *snapshot = height;
    }
    writes
}

fn replay(
    store: &Store,
    mut chain: ChainState,
    facts: &BTreeMap<BundleId, BundleFacts>,
) -> Result<ChainState, RecoveryError> {
    let from = chain.tip().height.next();
    for (_, bytes) in store.range(Table::Blocks, &height_key(from), usize::MAX)? {
        let height = chain.tip().height.next();
        let block = Block::from_bytes(Bytes::from(bytes))
            .map_err(|error| RecoveryError::Block { height, error })?;
        let fault = |fault| RecoveryError::Fault { height, fault };
        let mut known = BTreeMap::new();
        for id in chain.needed(block.body()).map_err(fault)? {
            let found = facts.get(&id).ok_or(RecoveryError::Missing { height, id })?;
            known.insert(id, *found);
        }
        chain = chain.apply(&block, &known).map_err(fault)?.0;
    }
    Ok(chain)
}

type Bundles = (Vec<RestoredBundle>, BTreeMap<BundleId, BundleFacts>);

fn bundles(store: &Store) -> Result<Bundles, RecoveryError> {
    let (mut bundles, mut facts) = (Vec::new(), BTreeMap::new());
    for value in pages(store, Table::Bundles, &[])? {
        let stored: StoredBundle = decoded(Table::Bundles, &value, MAX_VALUE_BYTES)?;
        let id = stored.id;
        let sealed = SealedBundle::decode(&stored.sealed)
            .map_err(|error| RecoveryError::Bundle { id, error })?;
        facts.insert(id, BundleFacts::from(sealed.header()));
        let receipt = match store.get(Table::Receipts, id.as_bytes())? {
            Some(bytes) => {
                let receipt: Receipt = decoded(Table::Receipts, &bytes, MAX_VALUE_BYTES)?;
                Some(receipt.body)
            }
            None => None,
        };
        bundles.push(RestoredBundle { stored, receipt });
    }
    bundles.sort_by_key(|bundle| bundle.stored.acceptance);
    Ok((bundles, facts))
}

fn log_entries(store: &Store, epoch: Epoch) -> Result<Vec<LogEntry>, RecoveryError> {
    let values = pages(store, Table::Log, &epoch.get().to_be_bytes())?;
    let entries = values.iter().map(|value| decoded(Table::Log, value, MAX_VALUE_BYTES));
    Ok(entries.collect::<Result<_, _>>()?)
}

fn resume_log(
    name: LogName,
    committed: Tip,
    entries: &[LogEntry],
) -> Result<OrderLog, RecoveryError> {
    let actual = entries.len() as u64;
    let split = usize::try_from(committed.length).unwrap_or(usize::MAX);
    if split > entries.len() {
        return Err(RecoveryError::OldLog { actual, expected: committed.length });
    }
    let (earlier, open) = entries.split_at(split);
    let ids = |entries: &[LogEntry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    Ok(OrderLog::resume(name, committed, ids(earlier), ids(open))?)
}

/// An emitted bundle as it is stored: id, end of window, payer, nonce.
pub(crate) type StoredEmission = (BundleId, BundleFacts);

fn emitted(store: &Store, tip: Height) -> Result<Vec<(EmittedBundle, Height)>, RecoveryError> {
    let from = tip.saturating_sub(REMEMBERED_HEIGHTS);
    let mut emitted = Vec::new();
    for (key, value) in store.range(Table::Emitted, &height_key(from), usize::MAX)? {
        let height = Height::new(key.try_into().map(u64::from_be_bytes).unwrap_or(0));
        let bundles: Vec<StoredEmission> = decoded(Table::Emitted, &value, MAX_VALUE_BYTES)?;
        for (id, facts) in bundles {
            emitted.push((emitted_bundle(id, &facts), height));
        }
    }
    Ok(emitted)
}

/// What the pool wants to know of a bundle at its final place.
pub(crate) fn emitted_bundle(id: BundleId, facts: &BundleFacts) -> EmittedBundle {
    EmittedBundle {
        id,
        expires_at: facts.expires_at,
        payer: facts.payer,
        payer_nonce: facts.payer_nonce,
    }
}

/// All values whose keys begin with `prefix`.
fn pages(store: &Store, table: Table, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(entries(store, table, prefix)?.into_iter().map(|(_, value)| value).collect())
}

/// All entries whose keys begin with `prefix`.
pub(crate) fn entries(
    store: &Store,
    table: Table,
    prefix: &[u8],
) -> Result<Vec<Stored>, StoreError> {
    let mut entries = Vec::new();
    let mut from = prefix.to_vec();
    loop {
        let page = store.range(table, &from, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(entries) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            if !key.starts_with(prefix) {
                return Ok(entries);
            }
            entries.push((key, value));
        }
    }
}
