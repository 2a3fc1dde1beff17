//! One block: what is asked for, and whether it is what came.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes};
use fairveil_release::transaction::RawTransaction;
use thiserror::Error;

use super::{
    BuiltPayload, Engine, ForkchoiceState, PayloadAttributes, PayloadStatus, Rules, Status,
};
use crate::json_rpc::RpcError;
use crate::quantity::Quantity;

/// The type of forced deposits.
const DEPOSIT: u8 = 0x7e;
/// The type of transactions with blobs, which L2 blocks have none of.
const BLOB: u8 = 0x03;

/// The block that another one is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
}

/// A block that an engine has to build.
#[derive(Clone, Debug)]
pub struct NewBlock<'a> {
    /// What it is built on.
    pub parent: Parent,
    /// The newest block that is derived from L1.
    pub safe: B256,
    /// The newest block that is derived from final blocks of L1.
    pub finalized: B256,
    /// Its rules.
    pub rules: Rules,
    /// Its number.
    pub number: u64,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Who gets the priority fees.
    pub fee_recipient: Address,
    /// What the opcode `PREVRANDAO` gives: that of its L1 origin.
    pub prev_randao: B256,
    /// The beacon root of its L1 origin.
    pub parent_beacon_block_root: B256,
    /// The most gas that it may use.
    pub gas_limit: u64,
    /// The forced deposits, encoded; the first one is that of the L1 attributes.
    pub deposits: &'a [Bytes],
    /// The released transactions, in order.
    pub transactions: &'a [RawTransaction],
}

/// A block that the engine took for its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its base fee in wei per gas.
    pub base_fee: u64,
    /// The gas that it used.
    pub gas_used: u64,
}

/// What an engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To begin building on the parent.
    Begin,
    /// To give what it built.
    Payload,
    /// To execute it.
    Execute,
    /// To make it the head.
    Head,
}

/// Why an engine is not asked for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestFault {
    /// A number that does not follow.
    #[error("block {number} on block {parent}")]
    Number {
        /// The block's.
        number: u64,
        /// The parent's.
        parent: u64,
    },
    /// A time that does not rise.
    #[error("timestamps must rise, the block is of {timestamp_s} s on one of {parent_s} s")]
    Timestamp {
        /// The block's.
        timestamp_s: u64,
        /// The parent's.
        parent_s: u64,
    },
    /// No deposit.
    #[error("a block has at least the deposit of the L1 attributes")]
    NoDeposit,
    /// A deposit that is none.
    #[error("deposit {index} is of {}, deposits are of type 126", shown(.found))]
    Deposit {
        /// Its place, counted from zero.
        index: usize,
        /// Its first byte.
        found: Option<u8>,
    },
    /// A released transaction that no sender can sign for an L2 block.
    #[error("transaction {index} is of {}, which can't be released", shown(.found))]
    Transaction {
        /// Its place, counted from zero.
        index: usize,
        /// Its first byte.
        found: Option<u8>,
    },
}

/// How a payload differs from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PayloadFault {
    /// Its parent.
    #[error("its parent is {found}, expected {expected}")]
    Parent {
        /// The payload's.
        found: B256,
        /// What was asked for.
        expected: B256,
    },
    /// A number.
    #[error("its {field} is {found}, expected {expected}")]
    Number {
        /// The field's name in the specification.
        field: &'static str,
        /// The payload's.
        found: u64,
        /// What was asked for.
        expected: u64,
    },
    /// A hash.
    #[error("its {field} is {found}, expected {expected}")]
    Hash {
        /// The field's name in the specification.
        field: &'static str,
        /// The payload's.
        found: B256,
        /// What was asked for.
        expected: B256,
    },
    /// Who gets the priority fees.
    #[error("its feeRecipient is {found}, expected {expected}")]
    FeeRecipient {
        /// The payload's.
        found: Address,
        /// What was asked for.
        expected: Address,
    },
    /// The parameters of later base fees.
    #[error("its extraData is {found}, expected {expected}")]
    ExtraData {
        /// The payload's.
        found: Bytes,
        /// What the rules give.
        expected: Bytes,
    },
    /// A transaction; deposits count.
    #[error(
        "transaction {index} of the payload (deposits: {deposits}) is {}, expected {}",
        text(.found),
        text(.expected)
    )]
    Transaction {
        /// The first place with a difference, counted from zero.
        index: usize,
        /// How many of the block's first transactions are deposits.
        deposits: usize,
        /// The bytes that stand there, if any do.
        found: Option<Bytes>,
        /// The bytes that were given, if any were.
        expected: Option<Bytes>,
    },
    /// Something that L2 blocks have none of.
    #[error("it has {found} {what}, L2 blocks have none")]
    Extra {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
}

/// Why an engine made no head of a released block.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The engine was not asked.
    #[error("block {number} was not asked for: {fault}")]
    Request {
        /// The block's number.
        number: u64,
        /// What is wrong with it.
        fault: RequestFault,
    },
    /// The engine does not take the token.
    #[error("the engine refused the token (HTTP status {status}) when asked {step}")]
    Unauthorized {
        /// What it was asked for.
        step: Step,
        /// The status.
        status: u16,
    },
    /// The call failed.
    #[error("asked {step}, {source}")]
    Rpc {
        /// What the engine was asked for.
        step: Step,
        /// The fault.
        source: RpcError,
    },
    /// `INVALID`.
    #[error(
        "the engine says INVALID when asked {step}: {why} (latest valid block: {})",
        hash(.latest_valid)
    )]
    Invalid {
        /// What it was asked for.
        step: Step,
        /// Its words.
        why: String,
        /// The newest ancestor that is valid, if it knows it.
        latest_valid: Option<B256>,
    },
    /// `SYNCING`.
    #[error("the engine says SYNCING when asked {step}: it lacks ancestors of the block")]
    Syncing {
        /// What it was asked for.
        step: Step,
    },
    /// `ACCEPTED`.
    #[error("the engine says ACCEPTED when asked {step}: the block extends no canonical block")]
    Accepted {
        /// What it was asked for.
        step: Step,
    },
    /// `VALID`, but for another block.
    #[error("the engine says VALID of block {} when asked {step} with {expected}", hash(.found))]
    OtherBlock {
        /// What it was asked for.
        step: Step,
        /// The latest valid block.
        found: Option<B256>,
        /// The block in question.
        expected: B256,
    },
    /// `VALID`, but nothing is being built.
    #[error("the engine builds nothing: it gave no payload id")]
    NoPayloadId,
    /// Another block than asked for.
    #[error("the engine built another block {number}: {fault}")]
    Payload {
        /// The number that was asked for.
        number: u64,
        /// How it differs.
        fault: PayloadFault,
    },
}

impl Engine {
    /// Has the engine build exactly this block, execute it and make it the head.
    pub async fn build_block(&self, new: &NewBlock<'_>) -> Result<SealedBlock, BuildError> {
        let number = new.number;
        let attributes = attributes(new).map_err(|fault| BuildError::Request { number, fault })?;
        let on_parent = new.forkchoice(new.parent.hash);
        let begun = self.forkchoice_updated(&on_parent, Some(&attributes)).await;
        let begun = begun.map_err(|source| failed(Step::Begin, source))?;
        judge(Step::Begin, begun.payload_status, new.parent.hash)?;
        let id = begun.payload_id.ok_or(BuildError::NoPayloadId)?;

        let payload = self.payload(&new.rules, id).await;
        let payload = payload.map_err(|source| failed(Step::Payload, source))?;
        compare(new, &attributes, &payload)
            .map_err(|fault| BuildError::Payload { number, fault })?;

        let hash = payload.block.block_hash;
        let executed = self.new_payload(&new.rules, &payload, new.parent_beacon_block_root).await;
        let executed = executed.map_err(|source| failed(Step::Execute, source))?;
        judge(Step::Execute, executed, hash)?;

        let head = self.forkchoice_updated(&new.forkchoice(hash), None).await;
        let head = head.map_err(|source| failed(Step::Head, source))?;
        judge(Step::Head, head.payload_status, hash)?;
        Ok(SealedBlock {
            number,
            hash,
            state_root: payload.block.state_root,
            timestamp_s: new.timestamp_s,
            base_fee: payload.block.base_fee_per_gas.0,
            gas_used: payload.block.gas_used.0,
        })
    }
}

impl NewBlock<'_> {
    fn forkchoice(&self, head_block_hash: B256) -> ForkchoiceState {
        let (safe_block_hash, finalized_block_hash) = (self.safe, self.finalized);
        ForkchoiceState { head_block_hash, safe_block_hash, finalized_block_hash }
    }
}

fn attributes(new: &NewBlock<'_>) -> Result<PayloadAttributes, RequestFault> {
    let (number, parent) = (new.number, new.parent.number);
    if parent.checked_add(1) != Some(number) {
        return Err(RequestFault::Number { number, parent });
    }
    let (timestamp_s, parent_s) = (new.timestamp_s, new.parent.timestamp_s);
    if timestamp_s <= parent_s {
        return Err(RequestFault::Timestamp { timestamp_s, parent_s });
    }
    if new.deposits.is_empty() {
        return Err(RequestFault::NoDeposit);
    }
    for (index, deposit) in new.deposits.iter().enumerate() {
        let found = deposit.first().copied();
        if found != Some(DEPOSIT) {
            return Err(RequestFault::Deposit { index, found });
        }
    }
    for (index, raw) in new.transactions.iter().enumerate() {
        let found = raw.as_bytes().first().copied();
        if matches!(found, None | Some(DEPOSIT | BLOB)) {
            return Err(RequestFault::Transaction { index, found });
        }
    }
    let released = new.transactions.iter().map(|raw| Bytes::copy_from_slice(raw.as_bytes()));
    Ok(PayloadAttributes {
        timestamp: Quantity(timestamp_s),
        prev_randao: new.prev_randao,
        suggested_fee_recipient: new.fee_recipient,
        withdrawals: [],
        parent_beacon_block_root: new.parent_beacon_block_root,
        transactions: new.deposits.iter().cloned().chain(released).collect(),
        no_tx_pool: true,
        gas_limit: Quantity(new.gas_limit),
        eip_1559_params: new.rules.eip_1559_params(),
        min_base_fee: new.rules.min_base_fee(),
    })
}

/// Whether the engine built what it was asked for.
fn compare(
    new: &NewBlock<'_>,
    attributes: &PayloadAttributes,
    payload: &BuiltPayload,
) -> Result<(), PayloadFault> {
    let block = &payload.block;
    let (found, expected) = (block.parent_hash, new.parent.hash);
    if found != expected {
        return Err(PayloadFault::Parent { found, expected });
    }
    for (field, Quantity(found), expected) in [
        ("blockNumber", block.block_number, new.number),
        ("timestamp", block.timestamp, new.timestamp_s),
        ("gasLimit", block.gas_limit, new.gas_limit),
    ] {
        if found != expected {
            return Err(PayloadFault::Number { field, found, expected });
        }
    }
    let root = new.parent_beacon_block_root;
    for (field, found, expected) in [
        ("prevRandao", block.prev_randao, new.prev_randao),
        ("parentBeaconBlockRoot", payload.parent_beacon_block_root.unwrap_or(root), root),
    ] {
        if found != expected {
            return Err(PayloadFault::Hash { field, found, expected });
        }
    }
    let (found, expected) = (block.fee_recipient, new.fee_recipient);
    if found != expected {
        return Err(PayloadFault::FeeRecipient { found, expected });
    }
    if let Some(expected) = new.rules.extra_data().filter(|data| *data != block.extra_data) {
        return Err(PayloadFault::ExtraData { found: block.extra_data.clone(), expected });
    }
    let longest = block.transactions.len().max(attributes.transactions.len());
    for index in 0..longest {
        let found = block.transactions.get(index);
        let expected = attributes.transactions.get(index);
        if found != expected {
            let (found, expected) = (found.cloned(), expected.cloned());
            let deposits = new.deposits.len();
            return Err(PayloadFault::Transaction { index, deposits, found, expected });
        }
    }
    for (what, found) in [
        ("withdrawals", block.withdrawals.len()),
        ("execution requests", payload.execution_requests.len()),
    ] {
        if found > 0 {
            return Err(PayloadFault::Extra { what, found });
        }
    }
    Ok(())
}

/// Whether the engine says that this block is valid.
fn judge(step: Step, judgement: PayloadStatus, expected: B256) -> Result<(), BuildError> {
    let PayloadStatus { status, latest_valid_hash, validation_error } = judgement;
    match status {
        Status::Valid if latest_valid_hash == Some(expected) => Ok(()),
        Status::Valid => Err(BuildError::OtherBlock { step, found: latest_valid_hash, expected }),
        Status::Invalid => {
            let why = validation_error.unwrap_or_else(|| "no reason given".to_owned());
            let why = crate::json_rpc::printable(&why);
            Err(BuildError::Invalid { step, why, latest_valid: latest_valid_hash })
        }
        Status::Syncing => Err(BuildError::Syncing { step }),
        Status::Accepted => Err(BuildError::Accepted { step }),
    }
}

fn failed(step: Step, source: RpcError) -> BuildError {
    match source {
        RpcError::Status { status: status @ (401 | 403), .. } => {
            BuildError::Unauthorized { step, status }
        }
        source => BuildError::Rpc { step, source },
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "to build on the parent",
            Self::Payload => "for what it built",
            Self::Execute => "to execute the block",
            Self::Head => "to make the block its head",
        })
    }
}

fn shown(first: &Option<u8>) -> String {
    first.map_or_else(|| "no bytes".to_owned(), |byte| format!("type {byte}"))
}

fn hash(hash: &Option<B256>) -> String {
    hash.map_or_else(|| "unknown".to_owned(), |hash| hash.to_string())
}

/// The hash of a transaction: its bytes may be long.
fn text(raw: &Option<Bytes>) -> String {
    raw.as_ref()
        .map_or_else(|| "nothing".to_owned(), |raw| alloy_primitives::keccak256(raw).to_string())
}
