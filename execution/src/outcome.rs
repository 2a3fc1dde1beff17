//! What becomes of a bundle, and the receipts of what it did.
//!
//! # Invariants
//!
//! 1. A receipt is bounded: the data of a revert is cut at [`MAX_REVERT_BYTES`], logs are a number
//!    and a digest.
//! 2. Everything here is the same on every sequencer; messages of the EVM are not part of it.

use alloy_primitives::{Address, Bytes, Log, U256};
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use op_revm::{OpHaltReason, OpTransactionError};
use revm::context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::block::Block;
use crate::sender::RecoveredTransaction;

/// How much of what a call gave back when it reverted stands in its receipt.
pub const MAX_REVERT_BYTES: usize = 256;

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// All of its effects are kept, on every rollup.
    Kept {
        /// What each leg did, in the bundle's order.
        legs: Vec<LegReceipts>,
    },
    /// It has no effect on any rollup.
    Dropped(Dropped),
    /// A rollup's state can't be read. No effect on any rollup either.
    Unavailable {
        /// The first such rollup.
        chain_id: u64,
    },
}

/// Why a bundle was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Dropped {
    /// Its gas limits add up to more than a bundle may ask for. Nothing was executed.
    #[error("the bundle asks for {actual} gas, the limit is {limit}")]
    Gas {
        /// The sum of its gas limits.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// A transaction that its chain would not take.
    #[error("leg {leg}, transaction {tx} is invalid: {why}")]
    Invalid {
        /// The leg, counted from zero.
        leg: u16,
        /// The transaction in the leg, counted from zero.
        tx: u16,
        /// What is wrong.
        why: Invalid,
    },
    /// A transaction that reverted or halted, under the policy `execute`.
    #[error("leg {leg}, transaction {tx} failed: {why}")]
    Failed {
        /// The leg, counted from zero.
        leg: u16,
        /// The transaction in the leg, counted from zero.
        tx: u16,
        /// How it failed.
        why: Fault,
    },
}

/// Why a chain would not take a transaction in this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Invalid {
    /// The nonce was used.
    #[error("nonce {actual} is used, the next is {expected}")]
    NonceTooLow {
        /// The transaction's.
        actual: u64,
        /// The sender's.
        expected: u64,
    },
    /// An earlier nonce is missing.
    #[error("nonce {actual} is too high, the next is {expected}")]
    NonceTooHigh {
        /// The transaction's.
        actual: u64,
        /// The sender's.
        expected: u64,
    },
    /// A nonce of 2^64 - 1 (EIP-2681).
    #[error("the nonce has no successor")]
    NonceOverflow,
    /// The sender can't pay for the value and all of the gas.
    #[error("the sender has {actual} wei and may have to pay {needed}")]
    Balance {
        /// What the sender has.
        actual: U256,
        /// What it may have to pay.
        needed: U256,
    },
    /// The fee is below the block's base fee.
    #[error("pays {actual} wei per gas, the base fee is {needed}")]
    BaseFee {
        /// The most that the transaction pays per gas.
        actual: u128,
        /// The base fee.
        needed: u64,
    },
    /// The priority fee is above the maximum fee.
    #[error("the priority fee is above the maximum fee")]
    PriorityFee,
    /// The gas limit is above the block's.
    #[error("asks for {actual} gas, the block has {limit}")]
    GasLimit {
        /// The transaction's.
        actual: u64,
        /// The block's.
        limit: u64,
    },
    /// The gas limit does not pay for the transaction itself.
    #[error("a gas limit of {actual}, the transaction alone takes {needed}")]
    IntrinsicGas {
        /// The transaction's gas limit.
        actual: u64,
        /// What it takes at least.
        needed: u64,
    },
    /// Init code that is too long (EIP-3860).
    #[error("the init code is too long")]
    InitCode,
    /// The sender is a contract (EIP-3607).
    #[error("the sender is a contract")]
    SenderIsContract,
    /// A type 4 transaction without authorizations, or one that creates a contract.
    #[error("no authorizations, or no account to call")]
    Authorization,
    /// A type that the rollup's rules do not know yet.
    #[error("the rollup's rules do not know this type")]
    Unsupported,
    /// Something that can't be paid for at all, or that the EVM refuses for another reason.
    #[error("the rollup's rules refuse it")]
    Refused,
}

/// How a transaction failed that its chain would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// It reverted, and what it gave back.
    #[error("reverted with {length_bytes} bytes")]
    Reverted {
        /// The first [`MAX_REVERT_BYTES`] bytes.
        data: Bytes,
        /// How many there were.
        length_bytes: u64,
    },
    /// It halted, and all of its gas is gone.
    #[error("halted: {0}")]
    Halted(Halt),
}

/// Why the EVM stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// The gas did not suffice.
    #[error("out of gas")]
    OutOfGas,
    /// An operation that does not exist, or not yet, or the designated invalid one.
    #[error("invalid operation")]
    Operation,
    /// A jump to where none may go.
    #[error("invalid jump")]
    Jump,
    /// Too few or too many values on the stack.
    #[error("stack under- or overflow")]
    Stack,
    /// Data was read beyond its end.
    #[error("read beyond the end")]
    Offset,
    /// A change of state inside a static call.
    #[error("change of state in a static call")]
    Static,
    /// A contract that can't be created: address taken, code too long or reserved.
    #[error("contract not created")]
    Create,
    /// A precompiled contract refused its input.
    #[error("precompiled contract")]
    Precompile,
    /// Anything else.
    #[error("another reason")]
    Other,
}

/// What the transactions of a leg did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegReceipts {
    /// The rollup.
    pub chain_id: u64,
    /// One receipt per transaction, in order.
    pub receipts: Vec<Receipt>,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// How it failed, if it did.
    pub fault: Option<Fault>,
    /// The gas that was paid for.
    pub gas_used: u64,
    /// How many logs there are.
    pub logs: u32,
    /// `H(EXECUTION-LOGS, log 1, ...)`, each as address (20) ‖ number of topics (1) ‖ topics (32
    /// each) ‖ data.
    pub logs_digest: Digest,
    /// The contract that was created.
    pub contract: Option<Address>,
}

impl Receipt {
    pub(crate) fn new(result: ExecutionResult<OpHaltReason>) -> Self {
        let (gas_used, contract) = (result.tx_gas_used(), result.created_address());
        let fault = match &result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => Some(Fault::Reverted {
                data: Bytes::copy_from_slice(&output[..output.len().min(MAX_REVERT_BYTES)]),
                length_bytes: output.len() as u64,
            }),
            ExecutionResult::Halt { reason, .. } => Some(Fault::Halted(Halt::new(reason))),
        };
        // Logs of what was undone are undone too.
        let logs = if fault.is_none() { result.into_logs() } else { Vec::new() };
        // Each log costs gas, of which there are fewer than 2^32 per bundle.
        let count = u32::try_from(logs.len()).unwrap_or(u32::MAX);
        Self { fault, gas_used, logs: count, logs_digest: logs_digest(&logs), contract }
    }
}

fn logs_digest(logs: &[Log]) -> Digest {
    let mut hasher = Hasher::new(Tag::ExecutionLogs);
    for log in logs {
        let mut item = log.address.to_vec();
        // The EVM has at most four topics.
        item.push(log.data.topics().len() as u8);
        log.data.topics().iter().for_each(|topic| item.extend_from_slice(topic.as_slice()));
        item.extend_from_slice(&log.data.data);
        hasher.item(&item);
    }
    hasher.finish()
}

impl Invalid {
    pub(crate) fn new(
        error: &OpTransactionError,
        transaction: &RecoveredTransaction,
        block: &Block,
    ) -> Self {
        use InvalidTransaction as I;
        let OpTransactionError::Base(error) = error else { return Self::Refused };
        let gas_limit = transaction.gas_limit();
        match error {
            I::NonceTooLow { tx, state } => Self::NonceTooLow { actual: *tx, expected: *state },
            I::NonceTooHigh { tx, state } => Self::NonceTooHigh { actual: *tx, expected: *state },
            I::NonceOverflowInTransaction => Self::NonceOverflow,
            I::LackOfFundForMaxFee { fee, balance } => {
                Self::Balance { actual: **balance, needed: **fee }
            }
            I::GasPriceLessThanBasefee => {
                Self::BaseFee { actual: transaction.max_fee_per_gas(), needed: block.base_fee }
            }
            I::PriorityFeeGreaterThanMaxFee => Self::PriorityFee,
            I::CallerGasLimitMoreThanBlock => {
                Self::GasLimit { actual: gas_limit, limit: block.gas_limit }
            }
            I::TxGasLimitGreaterThanCap { gas_limit, cap } => {
                Self::GasLimit { actual: *gas_limit, limit: *cap }
            }
            I::CallGasCostMoreThanGasLimit { initial_gas: needed, .. }
            | I::GasFloorMoreThanGasLimit { gas_floor: needed, .. } => {
                Self::IntrinsicGas { actual: gas_limit, needed: *needed }
            }
            I::CreateInitCodeSizeLimit => Self::InitCode,
            I::RejectCallerWithCode => Self::SenderIsContract,
            I::EmptyAuthorizationList | I::AuthorizationListInvalidFields => Self::Authorization,
            I::Eip7702NotSupported | I::AuthorizationListNotSupported => Self::Unsupported,
            _ => Self::Refused,
        }
    }
}

impl Halt {
    fn new(reason: &OpHaltReason) -> Self {
        use HaltReason as H;
        let OpHaltReason::Base(reason) = reason else { return Self::Other };
        match reason {
            H::OutOfGas(_) => Self::OutOfGas,
            H::OpcodeNotFound | H::InvalidFEOpcode | H::NotActivated => Self::Operation,
            H::InvalidJump => Self::Jump,
            H::StackUnderflow | H::StackOverflow => Self::Stack,
            H::OutOfOffset => Self::Offset,
            H::StateChangeDuringStaticCall | H::CallNotAllowedInsideStatic => Self::Static,
            H::CreateCollision
            | H::CreateContractSizeLimit
            | H::CreateContractStartingWithEF
            | H::CreateInitCodeSizeLimit => Self::Create,
            H::PrecompileError | H::PrecompileErrorWithContext(_) => Self::Precompile,
            _ => Self::Other,
        }
    }
}
