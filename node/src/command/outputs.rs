//! What was released, for the nodes of OP Stack rollups: verified batches become L2 blocks, and
//! those frames on L1 (`rollup frames`) or blocks of an engine (`rollup engine`).
//!
//! ```text
//! documents ─> verified batches ─┐
//! rollup_config, l1_blocks ──────┴─> release::op::blocks ─> frames | engine
//! ```

pub(super) mod documents;
pub(super) mod engine;
pub(super) mod frames;
mod l1_blocks;
mod rollup_config;

use std::path::Path;

use fairveil_client::{PinnedNetwork, registry::registry};
use fairveil_crypto::Height;
use fairveil_release::op::{
    L2Block, Parent,
    blocks::{Timing, released_blocks},
};
use fairveil_release::registry::StateSource;

use self::{
    documents::{Following, Verified},
    l1_blocks::L1,
    rollup_config::RollupConfig,
};
use super::{error::CommandError, network};
use crate::cli;

/// The most batches of one run; the rest is for the next one.
const MAX_BATCHES: usize = 1 << 16;

/// Verified batches of a rollup, with what its nodes know of it.
struct Outputs {
    config: RollupConfig,
    l1: L1,
    timing: Timing,
    verified: Verified,
    count: usize,
}

impl Outputs {
    /// Reads the files and the batches. What can't become L2 blocks is refused before any batch is
    /// asked for.
    fn read(source: &cli::Source) -> Result<Self, CommandError> {
        let config = RollupConfig::read(&source.rollup_config)?;
        let l1 = L1::read(&source.l1_blocks)?;
        let from = Height::new(source.from);
        let (network, endpoints) = if source.batches.is_empty() {
            network::reached(&source.network)?
        } else {
            (network::pinned(&source.network.transcript, &source.network.network)?, Vec::new())
        };
        let timing = timing(&network, &config, &source.rollup_config)?;
        let following = Following::new(network, config.chain_id(), from);
        let mut following = following.map_err(|error| CommandError::Check(error.to_string()))?;
        if source.batches.is_empty() {
            network::run(following.take_from(&endpoints, MAX_BATCHES))??;
        } else {
            following.take_files(&source.batches, MAX_BATCHES)?;
        }
        let count =
            source.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(Self { config, l1, timing, verified: following.verified(), count })
    }

    /// The released blocks after this one.
    fn blocks(&self, parent: &Parent) -> Result<Vec<L2Block>, CommandError> {
        let Verified { batches, from_first, .. } = &self.verified;
        released_blocks(&self.timing, self.l1.blocks(), parent, batches, *from_first)
            .map_err(|error| CommandError::Check(error.to_string()))
    }
}

/// When the rollup makes blocks, if its batches can be blocks of an OP Stack rollup.
fn timing(
    network: &PinnedNetwork,
    config: &RollupConfig,
    path: &Path,
) -> Result<Timing, CommandError> {
    let chain_id = config.chain_id();
    let refused = |why: &str| {
        let why = format!("rollup {chain_id} (its `l2_chain_id`) {why}");
        CommandError::file(path, &why)
    };
    let registry = registry(network.definition());
    let registry = registry.map_err(|error| CommandError::Check(error.to_string()))?;
    let rollup = registry.rollup(chain_id);
    let rollup = rollup.ok_or_else(|| refused("is not registered in this network"))?;
    match rollup.state {
        Some(StateSource::Embedded(_)) => {}
        Some(StateSource::Followed(_)) => {
            return Err(refused(
                "is fed by others too, so its blocks are not the released ones: hand what is released \
                 to its sequencer as raw transactions",
            ));
        }
        None => {
            return Err(refused(
                "has no state in this network, so its batches are `unvalidated` and go to a raw \
                 adapter only",
            ));
        }
    }
    let clock = registry.slots().map_err(|error| CommandError::Check(error.to_string()))?;
    let (Some(clock), Some(times)) = (clock, rollup.blocks) else {
        return Err(refused("has no block times in this network: it has a block per height"));
    };
    Ok(Timing { clock, times, chain: config.chain(), max_drift_s: config.max_drift_s() })
}
