//! Development chains (anvil) of a local network: their processes, and the slots that they are handed.
//!
//! The sequencers simulate over the genesis with which each chain begins, and the network is all that
//! feeds it, so what a chain does must be what the simulation said: that is compared, transaction by
//! transaction.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fairveil_adapters::{
    development::{DevelopmentChains, End, MinedReceipt},
    json_rpc::{self, Limits},
    released::{ReleasedBlock, ReleasedSlot},
};
use fairveil_client::{Endpoint, PinnedNetwork, registry::registry, rpc};
use fairveil_release::{
    batch::Batch,
    document::{BatchDocument, Cursor, accept_batch},
    registry::Registry,
};
use serde_json::Value;

use super::LocalError;

/// How often it is looked for released slots.
const POLL: Duration = Duration::from_millis(100);
const LISTENING: &str = "Listening on 127.0.0.1:";

/// A development chain and its process, which ends with this value.
pub(crate) struct Anvil {
    pub(crate) chain_id: u64,
    pub(crate) url: String,
    process: Child,
}

impl Anvil {
    /// Starts a chain that begins with this genesis at this time.
    pub(crate) fn start(
        program: &Path,
        chain_id: u64,
        genesis: &Path,
        genesis_s: u64,
        gas_limit: u64,
    ) -> Result<Self, LocalError> {
        let failed = |why: String| LocalError::Other(format!("{}: {why}", program.display()));
        let mut command = Command::new(program);
        command
            .args(["--network", "optimism", "--no-mining", "--order", "fifo", "--color", "never"])
            .args(["--host", "127.0.0.1", "--port", "0", "--block-base-fee-per-gas", "0"])
            .args(["--chain-id", &chain_id.to_string(), "--timestamp", &genesis_s.to_string()])
            .args(["--gas-limit", &gas_limit.to_string(), "--init"])
            .arg(genesis)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| failed(error.to_string()))?;
        let output = process.stdout.take().ok_or_else(|| failed("no output".into()))?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let port = lines.by_ref().find_map(|line| Some(line.strip_prefix(LISTENING)?.to_owned()));
        let Some(port) = port else {
            let _ = process.kill();
            let _ = process.wait();
            return Err(failed("it ended before it listened".into()));
        };
        // It writes on, and must not wait for a reader.
        #[expect(clippy::disallowed_methods, reason = "the node owns its threads")]
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { chain_id, url: format!("http://127.0.0.1:{port}"), process })
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hands every released slot to the chains, until something is not as it must be.
pub(crate) struct Delivery {
    network: PinnedNetwork,
    registry: Registry,
    sequencers: Vec<Endpoint>,
    chains: DevelopmentChains,
    cursors: BTreeMap<u64, Cursor>,
}

impl Delivery {
    /// For these chains, before the first release.
    pub(crate) async fn new(
        network: PinnedNetwork,
        sequencers: Vec<Endpoint>,
        anvils: &[Anvil],
    ) -> Result<Self, LocalError> {
        let other = |error: &dyn std::fmt::Display| LocalError::Other(error.to_string());
        let registry = registry(network.definition()).map_err(|error| other(&error))?;
        let mut endpoints = BTreeMap::new();
        for anvil in anvils {
            let endpoint = json_rpc::Endpoint::new(&anvil.url, Limits::default());
            endpoints.insert(anvil.chain_id, endpoint.map_err(|error| other(&error))?);
        }
        let chains = DevelopmentChains::connect(endpoints).await.map_err(|error| other(&error))?;
        let start = Cursor::new(&network.network_id());
        let cursors = anvils.iter().map(|anvil| (anvil.chain_id, start)).collect();
        Ok(Self { network, registry, sequencers, chains, cursors })
    }

    /// Delivers for as long as the network runs.
    pub(crate) async fn run(mut self) -> LocalError {
        loop {
            match self.next().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(POLL).await,
                Err(error) => return error,
            }
        }
    }

    /// Delivers the next slot, if every chain's batch of it is certified; whether it was there.
    async fn next(&mut self) -> Result<bool, LocalError> {
        let mut batches = BTreeMap::new();
        for chain_id in self.cursors.keys() {
            let Some(document) = self.document(*chain_id).await? else { return Ok(false) };
            batches.insert(*chain_id, document);
        }
        let mut slot = ReleasedSlot::default();
        let mut accepted = BTreeMap::new();
        for (chain_id, document) in &batches {
            let (id, committee) = (self.network.network_id(), &self.network);
            let taken = accept_batch(&self.cursors[chain_id], &id, committee, *chain_id, document);
            let (batch, cursor) = taken.map_err(|error| {
                LocalError::Other(format!("a batch of rollup {chain_id}: {error}"))
            })?;
            slot.rollups.insert(*chain_id, self.blocks(batch));
            accepted.insert(*chain_id, cursor);
        }
        let mined = self.chains.release(&slot).await;
        let mined =
            mined.map_err(|error| LocalError::Other(format!("development chains: {error}")))?;
        self.cursors = accepted;
        for (chain_id, document) in &batches {
            let blocks = mined.rollups.get(chain_id).into_iter().flatten();
            let receipts: Vec<_> = blocks.flat_map(|block| &block.receipts).collect();
            self.compare(*chain_id, &document.batch, &receipts).await?;
        }
        Ok(true)
    }

    /// The next batch of a rollup, if the first sequencer that answers has it certified.
    async fn document(&self, chain_id: u64) -> Result<Option<BatchDocument>, LocalError> {
        let path = format!("/batches/{chain_id}?from={}", self.cursors[&chain_id].next);
        for sequencer in &self.sequencers {
            let Ok(bytes) = sequencer.get(&path).await else { continue };
            let page: Vec<BatchDocument> = serde_json::from_slice(&bytes)
                .map_err(|error| LocalError::Other(format!("{path}: {error}")))?;
            return Ok(page.into_iter().next());
        }
        Ok(None)
    }

    /// All blocks of a batch's slot, also those that are empty.
    fn blocks(&self, batch: &Batch) -> Vec<ReleasedBlock> {
        let rollup = self.registry.rollup(batch.chain_id);
        let times = rollup.and_then(|rollup| rollup.blocks);
        let slots = self.registry.slots().ok().flatten();
        let (Some(times), Some(slots)) = (times, slots) else { return Vec::new() };
        let mut full = batch.blocks.iter().peekable();
        let blocks = slots.blocks(times, batch.slot).map(|time| {
            let block = full.next_if(|block| block.time() == time);
            let transactions = block.map_or_else(Vec::new, |block| block.transactions.clone());
            ReleasedBlock { number: time.number, time_ms: time.time_ms, transactions }
        });
        blocks.collect()
    }

    /// Whether the chain did what the simulation said.
    async fn compare(
        &self,
        chain_id: u64,
        batch: &Batch,
        mined: &[&MinedReceipt],
    ) -> Result<(), LocalError> {
        let mut mined = mined.iter();
        for (_, range) in batch.bundles() {
            let id = range.id.to_string();
            let simulated = self.simulated(chain_id, &id).await?;
            for said in &simulated {
                let Some(did) = mined.next() else { break };
                let same = (did.end == End::Failed) == said.fault.is_some()
                    && did.gas_used == said.gas_used;
                if !same {
                    return Err(LocalError::Other(format!(
                        "transaction {} of bundle {id} on {chain_id} did {did:?}, simulated {said:?}",
                        did.transaction
                    )));
                }
            }
        }
        Ok(())
    }

    async fn simulated(
        &self,
        chain_id: u64,
        id: &str,
    ) -> Result<Vec<rpc::TransactionInfo>, LocalError> {
        for sequencer in &self.sequencers {
            let params = vec![Value::from(id)];
            let status = sequencer.call::<rpc::StatusInfo>("fairveil_status", params).await;
            let legs = status.map(|status| status.legs).unwrap_or_default();
            if let Some(leg) = legs.into_iter().find(|leg| leg.chain_id == chain_id) {
                return Ok(leg.receipts);
            }
        }
        Err(LocalError::Other(format!("nobody has a receipt of bundle {id} on {chain_id}")))
    }
}
