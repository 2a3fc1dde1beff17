//! The structures of the Engine API, with the names of the specifications.

use std::num::NonZeroU32;

use alloy_primitives::{Address, B64, B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::quantity::Quantity;

/// What the engine calls a payload that it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadId(B64);

/// The EIP-1559 parameters of a block, from Holocene on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeParameters {
    /// Those that the chain began with.
    Chain,
    /// These.
    Own {
        /// The denominator.
        denominator: NonZeroU32,
        /// The elasticity.
        elasticity: NonZeroU32,
    },
}

/// The rules of a block, by the name of the upgrade that brought them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Ecotone, Fjord and Granite.
    Ecotone,
    /// Holocene.
    Holocene(FeeParameters),
    /// Isthmus.
    Isthmus(FeeParameters),
    /// Jovian.
    Jovian {
        /// The EIP-1559 parameters.
        fees: FeeParameters,
        /// The least base fee, in wei per gas.
        min_base_fee: u64,
    },
}

/// Which blocks the engine takes for the newest, the safe and the final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkchoiceState {
    /// The newest.
    pub head_block_hash: B256,
    /// Derived from L1.
    pub safe_block_hash: B256,
    /// Derived from final blocks of L1.
    pub finalized_block_hash: B256,
}

/// What the engine builds a block of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadAttributes {
    pub(super) timestamp: Quantity,
    pub(super) prev_randao: B256,
    pub(super) suggested_fee_recipient: Address,
    /// L2 blocks have none.
    pub(super) withdrawals: [(); 0],
    pub(super) parent_beacon_block_root: B256,
    pub(super) transactions: Vec<Bytes>,
    pub(super) no_tx_pool: bool,
    pub(super) gas_limit: Quantity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eip_1559_params: Option<B64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_base_fee: Option<Quantity>,
}

/// The engine's judgement of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Executed, and right.
    Valid,
    /// Wrong.
    Invalid,
    /// Not judged, as ancestors are missing.
    Syncing,
    /// Not judged, as it extends no canonical block.
    Accepted,
}

/// The engine's judgement of a block, with its words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadStatus {
    /// The judgement.
    pub status: Status,
    /// The newest valid block of the judged one's ancestors and itself, if the engine knows it.
    pub latest_valid_hash: Option<B256>,
    /// What is wrong, if anything.
    pub validation_error: Option<String>,
}

/// The answer to a forkchoice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkchoiceUpdated {
    /// The judgement of the new head.
    pub payload_status: PayloadStatus,
    /// What is being built, if attributes were given and taken.
    pub payload_id: Option<PayloadId>,
}

/// A block that the engine built.
#[derive(Clone, Debug)]
pub struct BuiltPayload {
    pub(super) block: ExecutionPayload,
    pub(super) parent_beacon_block_root: Option<B256>,
    pub(super) execution_requests: Vec<Bytes>,
    /// As it came.
    raw: Value,
}

/// What is compared of a payload.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionPayload {
    pub(super) parent_hash: B256,
    pub(super) fee_recipient: Address,
    pub(super) state_root: B256,
    pub(super) prev_randao: B256,
    pub(super) block_number: Quantity,
    pub(super) gas_limit: Quantity,
    pub(super) gas_used: Quantity,
    pub(super) timestamp: Quantity,
    pub(super) extra_data: Bytes,
    pub(super) base_fee_per_gas: Quantity,
    pub(super) block_hash: B256,
    pub(super) transactions: Vec<Bytes>,
    pub(super) withdrawals: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadEnvelope {
    execution_payload: Value,
    /// Added by the OP Stack.
    parent_beacon_block_root: Option<B256>,
    /// From V4 on.
    #[serde(default)]
    execution_requests: Vec<Bytes>,
}

impl FeeParameters {
    /// Denominator, then elasticity; zero for the chain's own.
    fn to_bytes(self) -> B64 {
        let (denominator, elasticity) = match self {
            Self::Chain => (0, 0),
            Self::Own { denominator, elasticity } => (denominator.get(), elasticity.get()),
        };
        B64::from((u64::from(denominator) << 32 | u64::from(elasticity)).to_be_bytes())
    }
}

impl Rules {
    pub(super) fn get_payload(&self) -> &'static str {
        match self {
            Self::Ecotone | Self::Holocene(_) => "engine_getPayloadV3",
            Self::Isthmus(_) | Self::Jovian { .. } => "engine_getPayloadV4",
        }
    }

    pub(super) fn new_payload(&self) -> &'static str {
        match self {
            Self::Ecotone | Self::Holocene(_) => "engine_newPayloadV3",
            Self::Isthmus(_) | Self::Jovian { .. } => "engine_newPayloadV4",
        }
    }

    pub(super) fn eip_1559_params(&self) -> Option<B64> {
        match self {
            Self::Ecotone => None,
            Self::Holocene(fees) | Self::Isthmus(fees) | Self::Jovian { fees, .. } => {
                Some(fees.to_bytes())
            }
        }
    }

    pub(super) fn min_base_fee(&self) -> Option<Quantity> {
        match self {
            Self::Jovian { min_base_fee, .. } => Some(Quantity(*min_base_fee)),
            _ => None,
        }
    }

    /// The extra data of the header: a version, the fee parameters, and in Jovian the least base
    /// fee. Unknown here if the parameters are those that the chain began with.
    pub(super) fn extra_data(&self) -> Option<Bytes> {
        let own = |version: u8, fees: &FeeParameters, rest: &[u8]| match fees {
            FeeParameters::Chain => None,
            FeeParameters::Own { .. } => {
                Some([&[version], fees.to_bytes().as_slice(), rest].concat().into())
            }
        };
        match self {
            Self::Ecotone => Some(Bytes::new()),
            Self::Holocene(fees) | Self::Isthmus(fees) => own(0, fees, &[]),
            Self::Jovian { fees, min_base_fee } => own(1, fees, &min_base_fee.to_be_bytes()),
        }
    }
}

impl BuiltPayload {
    pub(super) fn read(envelope: Value) -> Result<Self, String> {
        let envelope: PayloadEnvelope =
            serde_json::from_value(envelope).map_err(|error| error.to_string())?;
        let raw = envelope.execution_payload;
        let block = ExecutionPayload::deserialize(&raw).map_err(|error| error.to_string())?;
        let PayloadEnvelope { parent_beacon_block_root, execution_requests, .. } = envelope;
        Ok(Self { block, parent_beacon_block_root, execution_requests, raw })
    }

    /// Payload, versioned hashes of blobs (none), beacon root, and from V4 on requests (none).
    pub(super) fn params(&self, rules: &Rules, parent_beacon_block_root: B256) -> Vec<Value> {
        let mut params = vec![self.raw.clone(), json!([]), json!(parent_beacon_block_root)];
        if matches!(rules, Rules::Isthmus(_) | Rules::Jovian { .. }) {
            params.push(json!([]));
        }
        params
    }
}
