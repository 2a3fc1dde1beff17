//! Hands released slots to development chains (anvil): all rollups mine all of the slot, or none
//! keeps any of it.
//!
//! ```text
//! examine all ─> checkpoint all ─> fill each: send in order, mine, compare ─> receipts
//!      │                               │ a rollup differs or fails
//!      │ already mined: receipts       └─> undo on all, precise error
//! ```
//!
//! A development chain here is an anvil that mines on demand, in the order of arrival, and is fed
//! by nobody else:
//!
//! ```text
//! npm install --prefix ~/anvil @foundry-rs/anvil@1.7.1
//! ~/anvil/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil \
//!     --network optimism --no-mining --order fifo --chain-id 901 --port 8545
//! ```
//!
//! What stands in its pool when a slot is handed over is dropped, as it would be mined with it.
//!
//! # Protocol
//!
//! Per rollup, and on all rollups at once:
//!
//! 1. **Examine.** The blocks at and after the slot's first second are compared with the released
//!    ones ([`Difference`]). None there: the rollup is *fresh*. The first of them there, as the
//!    newest blocks of the chain: it is *begun*, by a call that did not live to its end. All there:
//!    it is *done*. Anything else is an error, before anything was sent to any rollup.
//! 2. **Checkpoint**, if not all rollups are done: `evm_snapshot`, and the next base fee.
//! 3. **Fill** what is missing: `anvil_dropAllTransactions`; then for each whole second
//!    ([`crate::released`]) `eth_sendRawTransaction` one after the other, `evm_mine` with the
//!    timestamp, and the mined block is read back and compared.
//! 4. **Receipts** of all of the slot's blocks.
//! 5. If a rollup failed in 3 or 4, **undo** on all of them: `evm_revert` to the snapshot, then
//!    `anvil_rollback` by the blocks that an earlier call had left, and an empty pool. Neither
//!    call restores the next base fee, so it is set as it was. The head is then compared with the
//!    one before the slot.
//!
//! # Invariants
//!
//! 1. Exactness: after success every rollup's blocks at the slot's seconds hold exactly the
//!    released transactions, in order, each block on its parent and at its time.
//! 2. Atomicity: after [`ReleaseError::Undone`] no rollup has any of the slot; the next release
//!    finds base fees and pool as if nothing had been tried. If a rollup could not be undone,
//!    [`ReleaseError::NotUndone`] names it.
//! 3. A slot is mined once, whatever crashed: what is there is recognised and not sent again, and
//!    what was begun on some rollups is completed on the others. If it can't be completed, what
//!    earlier calls had left of it is undone too.
//! 4. Nothing is sent before every rollup was examined. Timestamps rise: anvil itself would mine
//!    two blocks at one timestamp.
//!
//! # Limits
//!
//! Completing instead of starting again keeps the hashes of blocks that somebody may have seen.
//! Anvil keeps every snapshot in memory for good. Blocks are numbered by the chain, which need not
//! be the number in the release: it is the time that places a block. Blocks of one rollup within a
//! second are one block there. Atomicity is that of this adapter: whoever reads a chain in the
//! middle of a release sees blocks that may go again, and a call that was given up for its time may
//! still take effect behind the undoing, which the next release finds when it examines. Slots are
//! handed over one after another: who goes on with the next one after an error leaves a gap.

mod chain;
mod error;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use futures::future::join_all;

use crate::json_rpc::Endpoint;
use crate::released::{ReleasedSlot, WholeSecond, whole_seconds};

use chain::{Chain, Checkpoint, Standing};
pub use error::{
    ChainFault, ConnectError, Difference, Faults, Place, ReceiptFault, RefusedSlot, ReleaseError,
};

/// The most development chains that are fed together.
pub const MAX_CHAINS: usize = 64;

/// Development chains of several rollups.
#[derive(Debug)]
pub struct DevelopmentChains {
    chains: BTreeMap<u64, Chain>,
}

/// A slot that every rollup has mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinedSlot {
    /// The blocks of each rollup, by chain id, in ascending order.
    pub rollups: BTreeMap<u64, Vec<MinedBlock>>,
}

/// A mined block, with what its transactions did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinedBlock {
    /// The released blocks that it is made of.
    pub place: Place,
    /// Its number on the chain.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its base fee in wei per gas.
    pub base_fee: u64,
    /// What each transaction did, in order.
    pub receipts: Vec<MinedReceipt>,
}

/// What a mined transaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinedReceipt {
    /// The transaction's hash.
    pub transaction: B256,
    /// Its place in the block, counted from zero.
    pub index: u64,
    /// Whether its effects stayed.
    pub end: End,
    /// The gas that it used.
    pub gas_used: u64,
}

/// How a mined transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its effects stayed.
    Succeeded,
    /// It reverted or halted; its gas was paid.
    Failed,
}

/// A block that a chain has to mine.
#[derive(Clone, Debug)]
struct Expected {
    second: WholeSecond,
    hashes: Vec<B256>,
}

impl Expected {
    fn place(&self) -> Place {
        let WholeSecond { timestamp_s, first, last, .. } = self.second;
        Place { first, last, timestamp_s }
    }
}

/// A rollup's part of a slot, and where its chain stands.
struct Lane<'a> {
    chain: &'a Chain,
    expected: Vec<Expected>,
    standing: Standing,
}

impl DevelopmentChains {
    /// Development chains by chain id, after a look at each whether it is what it has to be.
    pub async fn connect(endpoints: BTreeMap<u64, Endpoint>) -> Result<Self, ConnectError> {
        let (actual, limit) = (endpoints.len(), MAX_CHAINS);
        if actual > limit {
            return Err(ConnectError::Chains { actual, limit });
        }
        let connected = endpoints.into_iter().map(|(chain_id, endpoint)| async move {
            Chain::connect(chain_id, endpoint).await.map(|chain| (chain_id, chain))
        });
        let chains = join_all(connected).await.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { chains })
    }

    /// Has all rollups mine exactly this slot, or none. Safe to repeat.
    ///
    /// Exclusive, as two slots at once would mix. If the future is dropped, what it had begun is
    /// found and completed by the next call.
    pub async fn release(&mut self, slot: &ReleasedSlot) -> Result<MinedSlot, ReleaseError> {
        let lanes = self.examine(slot).await?;
        let done = lanes.iter().all(|lane| lane.missing().is_empty());
        if done {
            let mined = join_all(lanes.iter().map(Lane::receipts)).await;
            let (rollups, faults) = sorted(&lanes, mined);
            return match faults {
                None => Ok(MinedSlot { rollups }),
                Some(faults) => Err(ReleaseError::Receipts { faults }),
            };
        }
        if let Some(refused) = lanes.iter().find_map(Lane::buried) {
            return Err(refused.into());
        }
        let checkpoints = join_all(lanes.iter().map(Lane::checkpoint)).await;
        let (checkpoints, faults) = sorted(&lanes, checkpoints);
        if let Some(faults) = faults {
            return Err(ReleaseError::NotBegun { faults });
        }
        let mined = join_all(lanes.iter().map(Lane::fill)).await;
        let (rollups, faults) = sorted(&lanes, mined);
        let Some(faults) = faults else { return Ok(MinedSlot { rollups }) };
        // Every lane has a checkpoint, and both are in the order of the chain ids.
        let undone = lanes.iter().zip(checkpoints.values());
        let undone = undone.map(|(lane, checkpoint)| lane.chain.undo(checkpoint));
        match sorted(&lanes, join_all(undone).await).1 {
            None => Err(ReleaseError::Undone { faults }),
            Some(undo) => Err(ReleaseError::NotUndone { faults, undo }),
        }
    }

    /// The rollups that the slot has blocks of, and where they stand.
    async fn examine(&self, slot: &ReleasedSlot) -> Result<Vec<Lane<'_>>, ReleaseError> {
        let mut planned = Vec::new();
        for (&chain_id, blocks) in &slot.rollups {
            let unknown = RefusedSlot::UnknownRollup { chain_id };
            let chain = self.chains.get(&chain_id).ok_or(unknown)?;
            let seconds = whole_seconds(blocks);
            let seconds = seconds.map_err(|why| RefusedSlot::Slot { chain_id, why })?;
            let expected = seconds.into_iter().map(|second| {
                let hashes = second.transactions.iter().map(|raw| keccak256(raw.as_bytes()));
                Expected { hashes: hashes.collect(), second }
            });
            planned.push((chain, expected.collect::<Vec<_>>()));
        }
        let examined = planned.into_iter().map(|(chain, expected)| async move {
            let standing = chain.standing(&expected).await?;
            Ok(Lane { chain, expected, standing })
        });
        join_all(examined).await.into_iter().collect()
    }
}

impl Lane<'_> {
    /// The blocks that the chain does not have yet.
    fn missing(&self) -> &[Expected] {
        self.expected.get(self.standing.mined.len()..).unwrap_or_default()
    }

    /// If the chain went on after the slot, so that it can't be undone any more.
    fn buried(&self) -> Option<RefusedSlot> {
        let (chain_id, later) = (self.chain.chain_id(), self.standing.later);
        (later > 0).then_some(RefusedSlot::Buried { chain_id, later })
    }

    async fn checkpoint(&self) -> Result<Checkpoint, ChainFault> {
        self.chain.checkpoint(&self.standing).await
    }

    /// Mines what is missing, and gives all of it.
    async fn fill(&self) -> Result<Vec<MinedBlock>, ChainFault> {
        let mut mined = self.standing.mined.clone();
        if !self.missing().is_empty() {
            self.chain.drop_pending().await?;
        }
        for expected in self.missing() {
            let parent = mined.last().unwrap_or(&self.standing.parent);
            let block = self.chain.mine(parent, expected).await?;
            mined.push(block);
        }
        self.chain.with_receipts(&self.expected, &mined).await
    }

    async fn receipts(&self) -> Result<Vec<MinedBlock>, ChainFault> {
        self.chain.with_receipts(&self.expected, &self.standing.mined).await
    }
}

/// What went well and what did not, by chain id.
fn sorted<T>(
    lanes: &[Lane<'_>],
    results: Vec<Result<T, ChainFault>>,
) -> (BTreeMap<u64, T>, Option<Faults>) {
    let (mut well, mut faults) = (BTreeMap::new(), BTreeMap::new());
    for (lane, result) in lanes.iter().zip(results) {
        match result {
            Ok(value) => drop(well.insert(lane.chain.chain_id(), value)),
            Err(fault) => drop(faults.insert(lane.chain.chain_id(), fault)),
        }
    }
    (well, Faults::new(faults))
}
