//! A rollup as its nodes are configured: op-node's `rollup.json`, as far as it matters here.
//!
//! Other fields are passed over, but for upgrades: one that is not known here and is active makes
//! every block of an engine another one, so it is refused. The system config is that of the
//! genesis: what was changed on L1 since then has to be written into the file.

use std::{collections::BTreeMap, num::NonZeroU32, path::Path};

use alloy_primitives::{Address, B64, B256};
use fairveil_adapters::engine::{FeeParameters, Rules};
use fairveil_release::op::{Chain, L1Origin, Parent, l1_attributes::OperatorFee};
use serde::Deserialize;
use serde_json::Value;

use super::super::{disk, error::CommandError};

/// The longest file of a rollup's configuration.
const MAX_BYTES: usize = 1 << 20;
/// The most that a block may be later than its L1 origin from Fjord on, in seconds.
const FJORD_DRIFT_S: u64 = 1_800;
/// Upgrades that change nothing here, or that the fields of [`Upgrades`] are about.
const KNOWN: [&str; 4] =
    ["regolith_time", "canyon_time", "granite_time", "pectra_blob_schedule_time"];
/// The version of a fee scalar that has two parts.
const ECOTONE_SCALAR: u8 = 1;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RollupConfig {
    genesis: Genesis,
    block_time: u64,
    max_sequencer_drift: u64,
    l1_chain_id: u64,
    l2_chain_id: u64,
    batch_inbox_address: Address,
    #[serde(flatten)]
    upgrades: Upgrades,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Genesis {
    l1: Block,
    l2: Block,
    l2_time: u64,
    system_config: SystemConfig,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Block {
    number: u64,
    hash: B256,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SystemConfig {
    batcher_addr: Address,
    scalar: B256,
    gas_limit: u64,
    eip1559_params: Option<B64>,
    operator_fee_params: Option<B256>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Upgrades {
    delta_time: Option<u64>,
    ecotone_time: Option<u64>,
    fjord_time: Option<u64>,
    holocene_time: Option<u64>,
    isthmus_time: Option<u64>,
}

/// What the system config says of fees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fees {
    pub(super) base_fee_scalar: u32,
    pub(super) blob_base_fee_scalar: u32,
    /// From Isthmus on.
    pub(super) operator_fee: Option<OperatorFee>,
}

fn active(time_s: Option<u64>, at_s: u64) -> bool {
    time_s.is_some_and(|time_s| time_s <= at_s)
}

impl RollupConfig {
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let bytes = disk::read(path, MAX_BYTES)?;
        serde_json::from_slice(&bytes).map_err(|error| CommandError::file(path, &error))
    }

    pub(super) fn chain_id(&self) -> u64 {
        self.l2_chain_id
    }

    pub(super) fn chain(&self) -> Chain {
        let (chain_id, genesis_time_s) = (self.l2_chain_id, self.genesis.l2_time);
        Chain { chain_id, genesis_time_s, block_time_s: self.block_time }
    }

    pub(super) fn genesis(&self) -> Parent {
        let Genesis { l1, l2, l2_time, .. } = &self.genesis;
        let l1_origin = L1Origin { number: l1.number, hash: l1.hash };
        Parent { number: l2.number, hash: l2.hash, timestamp_s: *l2_time, l1_origin }
    }

    /// The timestamp of the block with this number; none if it is before the genesis.
    pub(super) fn timestamp_s(&self, number: u64) -> Option<u64> {
        let blocks = number.checked_sub(self.genesis.l2.number)?;
        self.genesis.l2_time.checked_add(blocks.checked_mul(self.block_time)?)
    }

    /// The number of the block at this time, if there is one.
    pub(super) fn number_at(&self, time_ms: u64) -> Option<u64> {
        let genesis_ms = self.genesis.l2_time.checked_mul(1_000)?;
        let age_ms = time_ms.checked_sub(genesis_ms)?;
        let block_time_ms = self.block_time.checked_mul(1_000).filter(|time| *time > 0)?;
        let is_whole = age_ms.is_multiple_of(block_time_ms);
        is_whole.then(|| self.genesis.l2.number + age_ms / block_time_ms)
    }

    pub(super) fn max_drift_s(&self) -> u64 {
        let fjord = active(self.upgrades.fjord_time, self.genesis.l2_time);
        if fjord { FJORD_DRIFT_S } else { self.max_sequencer_drift }
    }

    pub(super) fn l1_chain_id(&self) -> u64 {
        self.l1_chain_id
    }

    pub(super) fn inbox(&self) -> Address {
        self.batch_inbox_address
    }

    pub(super) fn batcher(&self) -> Address {
        self.genesis.system_config.batcher_addr
    }

    pub(super) fn gas_limit(&self) -> u64 {
        self.genesis.system_config.gas_limit
    }

    /// Whether derivation reads span batches at this time.
    pub(super) fn check_span_batches(&self, at_s: u64) -> Result<(), CommandError> {
        if active(self.upgrades.delta_time, at_s) {
            return Ok(());
        }
        let delta = self.upgrades.delta_time.map_or("never".to_owned(), |time| format!("{time} s"));
        Err(CommandError::Usage(format!(
            "the rollup reads span batches from Delta on (`delta_time`: {delta}), the blocks \
             begin at {at_s} s"
        )))
    }

    /// The rules of the block after `parent_s`.
    pub(super) fn rules(&self, parent_s: u64, at_s: u64) -> Result<Rules, CommandError> {
        self.check_upgrades(parent_s, at_s)?;
        let Upgrades { holocene_time, isthmus_time, .. } = self.upgrades;
        let fees = if active(holocene_time, parent_s) {
            self.fee_parameters()?
        } else {
            FeeParameters::Chain
        };
        Ok(match (active(holocene_time, at_s), active(isthmus_time, at_s)) {
            (_, true) => Rules::Isthmus(fees),
            (true, false) => Rules::Holocene(fees),
            (false, false) => Rules::Ecotone,
        })
    }

    pub(super) fn fees(&self, at_s: u64) -> Fees {
        let config = &self.genesis.system_config;
        let part = |word: &B256, at: usize| {
            u32::from_be_bytes([word[at], word[at + 1], word[at + 2], word[at + 3]])
        };
        let two = config.scalar[0] == ECOTONE_SCALAR;
        let operator = config.operator_fee_params.unwrap_or_default();
        let constant = u64::from(part(&operator, 24)) << 32 | u64::from(part(&operator, 28));
        let operator_fee = OperatorFee { scalar: part(&operator, 20), constant };
        Fees {
            base_fee_scalar: part(&config.scalar, 28),
            blob_base_fee_scalar: if two { part(&config.scalar, 24) } else { 0 },
            operator_fee: active(self.upgrades.isthmus_time, at_s).then_some(operator_fee),
        }
    }

    fn fee_parameters(&self) -> Result<FeeParameters, CommandError> {
        let params = self.genesis.system_config.eip1559_params.unwrap_or_default().0;
        let [a, b, c, d, e, f, g, h] = params;
        let (denominator, elasticity) =
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        match (NonZeroU32::new(denominator), NonZeroU32::new(elasticity)) {
            (Some(denominator), Some(elasticity)) => {
                Ok(FeeParameters::Own { denominator, elasticity })
            }
            (None, None) => Ok(FeeParameters::Chain),
            _ => Err(CommandError::Usage(format!(
                "`eip1559Params` have denominator {denominator} and elasticity {elasticity}: both \
                 are zero or none is"
            ))),
        }
    }

    fn check_upgrades(&self, parent_s: u64, at_s: u64) -> Result<(), CommandError> {
        let refused = |name: &str, why: &str| {
            Err(CommandError::Usage(format!("the block at {at_s} s: `{name}` {why}")))
        };
        let Upgrades { ecotone_time, fjord_time, isthmus_time, .. } = self.upgrades;
        if !active(ecotone_time, at_s) {
            return refused("ecotone_time", "is later; earlier rules are not written here");
        }
        for (name, time_s) in [
            ("ecotone_time", ecotone_time),
            ("fjord_time", fjord_time),
            ("isthmus_time", isthmus_time),
        ] {
            if active(time_s, at_s) && !active(time_s, parent_s) {
                let why = "begins with it, and its first block has deposits that are not written \
                           here; let the rollup's own nodes make that block";
                return refused(name, why);
            }
        }
        let unknown = self.others.iter().find(|(name, value)| {
            let is_upgrade = name.ends_with("_time") && !KNOWN.contains(&name.as_str());
            is_upgrade && active(value.as_u64(), at_s)
        });
        match unknown {
            Some((name, _)) => refused(name, "is an upgrade that is not known here"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
