//! The environment of the block that a rollup makes of a slot.

use alloy_primitives::{Address, B256, U256};
use op_revm::{L1BlockInfo, OpSpecId};
use revm::context::BlockEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use serde::{Deserialize, Serialize};

/// What a transaction sees of its block. Committed data: the same on every sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The block's number.
    pub number: u64,
    /// In seconds since 1970.
    pub timestamp_s: u64,
    /// In wei per gas; it goes to the vault of base fees.
    pub base_fee: u64,
    /// The most gas that a transaction may ask for.
    pub gas_limit: u64,
    /// Who gets the priority fees.
    pub beneficiary: Address,
    /// What the opcode `PREVRANDAO` gives.
    pub prevrandao: B256,
    /// The rules.
    pub hardfork: Hardfork,
    /// What a transaction pays for its data on L1.
    pub l1_fees: L1Fees,
}

/// The rules of an OP chain, by the name of the upgrade that brought them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardfork {
    /// Cancun with the rules of Ecotone.
    Ecotone,
    /// Cancun with the rules of Fjord.
    Fjord,
    /// Cancun with the rules of Granite.
    Granite,
    /// Cancun with the rules of Holocene.
    Holocene,
    /// Prague with the rules of Isthmus: the first that takes type 4 transactions.
    Isthmus,
    /// Prague with the rules of Jovian.
    Jovian,
}

/// What a transaction pays for its data on L1, and to the chain's operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum L1Fees {
    /// Nothing. Embedded rollups post no data anywhere.
    Nothing,
    /// What the contract `L1Block` of the rollup's state says.
    FromState,
}

impl Hardfork {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] =
        [Self::Ecotone, Self::Fjord, Self::Granite, Self::Holocene, Self::Isthmus, Self::Jovian];

    pub(crate) const fn spec(self) -> OpSpecId {
        match self {
            Self::Ecotone => OpSpecId::ECOTONE,
            Self::Fjord => OpSpecId::FJORD,
            Self::Granite => OpSpecId::GRANITE,
            Self::Holocene => OpSpecId::HOLOCENE,
            Self::Isthmus => OpSpecId::ISTHMUS,
            Self::Jovian => OpSpecId::JOVIAN,
        }
    }
}

impl Block {
    pub(crate) fn environment(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp_s),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(self.prevrandao),
            // L2 blocks hold no blobs: the fee of a blob is the lowest, 1.
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 1,
            }),
            slot_num: 0,
        }
    }

    /// What op-revm takes the fees from: it asks the state if the block's number is not set.
    pub(crate) fn l1_block_info(&self) -> L1BlockInfo {
        match self.l1_fees {
            L1Fees::FromState => L1BlockInfo::default(),
            L1Fees::Nothing => L1BlockInfo {
                l2_block: Some(U256::from(self.number)),
                l1_blob_base_fee: Some(U256::ZERO),
                l1_blob_base_fee_scalar: Some(U256::ZERO),
                operator_fee_scalar: Some(U256::ZERO),
                operator_fee_constant: Some(U256::ZERO),
                da_footprint_gas_scalar: Some(0),
                ..L1BlockInfo::default()
            },
        }
    }
}
