//! The trader interface's messages: JSON-RPC 2.0 methods, their parameters, results and errors.
//!
//! One definition for both ends: the node serves these types and the client reads them. Byte
//! strings are lower-case hex with `0x`; heights, counts and milliseconds are JSON numbers below
//! 2^53. `docs/rpc.md` is the frozen reference and a test compares it with [`METHODS`].
//!
//! No method takes plaintext: `fairveil_submit` takes a sealed bundle and nothing else does.

use fairveil_keygen::{Approval, Proposal};
use fairveil_mempool::RejectionCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod methods;

pub use methods::{METHODS, Method, code};

/// A JSON-RPC call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Echoed in the response.
    #[serde(default)]
    pub id: Value,
    /// A name of [`METHODS`].
    pub method: String,
    /// Positional parameters.
    #[serde(default)]
    pub params: Vec<Value>,
}

/// A JSON-RPC response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Response {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// The request's id.
    pub id: Value,
    /// The answer, on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What went wrong, otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// One of [`code`].
    pub code: i64,
    /// One sentence for people.
    pub message: String,
    /// Structured details, e.g. a [`Rejected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// Why a submission was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The stable code, e.g. `pool_full`.
    pub code: String,
    /// The value that was found.
    pub actual: String,
    /// The limit, or the value that was expected.
    pub limit: String,
    /// What the trader can do about it.
    pub cure: String,
}

impl Rejected {
    /// Whether the same bytes may be admitted later, with nothing changed in them.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code.parse().is_ok_and(RejectionCode::is_temporary)
    }
}

/// Answer of `fairveil_committee`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitteeInfo {
    /// Digest of the network's first definition.
    pub network_id: String,
    /// The current epoch.
    pub epoch: u64,
    /// Identifier of the committee key.
    pub key_id: String,
    /// The committee key; believe it only from a verified transcript.
    pub committee_key: String,
    /// Sequencers.
    pub n: u64,
    /// Liars that the fair order tolerates; `f + 1` receipts admit a bundle.
    pub f: u64,
    /// Honest disagreement that the fair order tolerates.
    pub g: u64,
    /// Shares that suffice to open; also the consensus' quorum.
    pub t: u64,
    /// Index of the answering sequencer.
    pub index: u64,
    /// Height of the last final block here.
    pub height: u64,
    /// Committed time of that block, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Mean milliseconds between the last final blocks (at most 64).
    pub block_interval_ms: u64,
    /// The same of the last intervals between two blocks that had work; 0 if it has seen none in this
    /// epoch since its start.
    #[serde(default)]
    pub loaded_interval_ms: u64,
    /// Members in order of index.
    pub members: Vec<MemberInfo>,
    /// Rollups that bundles may name at that height.
    pub rollups: Vec<RollupInfo>,
    /// Changes of the rollups that are announced for later heights, in the order in which they come.
    #[serde(default)]
    pub changes: Vec<ChangeInfo>,
    /// The number that the next change of the rollups has.
    #[serde(default)]
    pub next_change: u64,
}

/// A sequencer as `fairveil_committee` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its index, from 1.
    pub index: u64,
    /// Its name in the definition.
    pub name: String,
    /// Its consensus key.
    pub consensus_key: String,
    /// Whether the answering sequencer has a connection to it.
    pub connected: bool,
}

/// A rollup as `fairveil_committee` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupInfo {
    /// Its chain id.
    pub chain_id: u64,
    /// Its name in the registry.
    pub name: String,
    /// Its block time, milliseconds; without, it has a block per height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_time_ms: Option<u64>,
    /// Whether bundles are simulated over its state: only then one may have policy `execute`.
    pub simulated: bool,
    /// Whether bundles that name it fail now.
    #[serde(default)]
    pub paused: bool,
}

/// A change of the rollups that is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeInfo {
    /// Its number, from 1.
    pub number: u64,
    /// The first height at which it holds.
    pub at: u64,
    /// `join`, `pause`, `resume` or `leave`.
    pub action: String,
    /// The rollup.
    pub chain_id: u64,
    /// The rollup's name, of one that joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Answer of `fairveil_change_registry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeVerdict {
    /// The digest of the change.
    pub change: String,
    /// `waits` for a block, or `announced` by one.
    pub state: String,
    /// Height of this sequencer when it answered.
    pub height: u64,
}

/// Parameter of `fairveil_reshare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReshareRequest {
    /// The definition of the next epoch, in its canonical form.
    pub definition: Proposal,
    /// The approvals of all its members, and of a quorum of the running committee.
    pub approvals: Vec<Approval>,
    /// The round: one that was never announced.
    pub round: u64,
}

/// Answer of `fairveil_reshare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReshareInfo {
    /// The id of the ceremony.
    pub ceremony: String,
    /// The epoch that it makes.
    pub epoch: u64,
    /// Its round.
    pub round: u64,
    /// The last height at which the running committee proposes, unless the ceremony takes longer.
    pub boundary: u64,
    /// Height of this sequencer when it answered.
    pub height: u64,
}

/// Answer of `fairveil_submit`, and of `fairveil_receipts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptInfo {
    /// The bundle.
    pub id: String,
    /// Index of the sequencer that signed.
    pub sequencer: u64,
    /// Its place in that sequencer's order log, from 0; absent while held for a later height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Height that the sequencer had seen.
    pub height: u64,
    /// The sequencer's time, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The signed receipt in the one encoding; what `verify` checks.
    pub receipt: String,
}

/// The state of a bundle at one sequencer. States only move forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is known of the id.
    Unknown,
    /// Held, verified, and waiting for its `valid_from`, or for its place in the log.
    Held,
    /// In this sequencer's order log. (A client calls a bundle admitted with f+1 receipts.)
    Logged,
    /// Final place known; not opened yet.
    Ordered,
    /// Every leg is in a released batch.
    Released,
    /// Ordered, but a no-op on all rollups; `code` says why.
    Failed,
    /// Its window closed before it was ordered, or while it was pending; never opened.
    Expired,
}

/// Answer of `fairveil_status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// The bundle.
    pub id: String,
    /// Its state here.
    pub state: State,
    /// The failed code, where the state is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its policy, `include` or `execute`, once it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Which guarantee that policy gives, once released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<String>,
    /// Final place: height, position within it, and cohort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceInfo>,
    /// When this sequencer opened it, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_ms: Option<u64>,
    /// Every leg with its batch, once released.
    #[serde(default)]
    pub legs: Vec<LegInfo>,
    /// Height of this sequencer when it answered.
    pub height: u64,
}

/// A final place in the fair order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceInfo {
    /// The block.
    pub height: u64,
    /// Position among the ids of the block, from 0.
    pub position: u64,
    /// Cohort of the block, from 0.
    pub cohort: u64,
}

/// One leg of a released bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegInfo {
    /// The rollup.
    pub chain_id: u64,
    /// Height of the batch.
    pub batch_height: u64,
    /// The rollup's block that holds the leg.
    pub block: u64,
    /// The block's timestamp, milliseconds since the Unix epoch.
    pub block_time_ms: u64,
    /// The place of the leg's first transaction among those of the batch in that block, from 0.
    pub first: u64,
    /// What each transaction did in the simulation, where the rollup is simulated.
    #[serde(default)]
    pub receipts: Vec<TransactionInfo>,
}

/// What a transaction of a released leg did in the simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionInfo {
    /// How it failed, if it did (policy `include`): it is included all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The gas that it paid for.
    pub gas_used: u64,
    /// How many logs it wrote.
    pub logs: u64,
    /// The contract that it created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
}

/// Answer of `fairveil_account`. Not proven: what a trader relies on is in `fairveil_release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The rollup.
    pub chain_id: u64,
    /// The account.
    pub address: String,
    /// How many transactions it sent; of a contract, 1 and how many contracts it created.
    pub nonce: u64,
    /// In wei, as a decimal number.
    pub balance: String,
    /// keccak256 of its code; that of nothing if it has none.
    pub code_hash: String,
    /// The values of the storage slots that were asked for, in that order; 32 bytes each.
    pub slots: Vec<String>,
    /// The height up to which this sequencer has released.
    pub released: u64,
}

/// Answer of `fairveil_revenue`: where all fees stand at this sequencer. Amounts are decimal text;
/// `deposits` is the sum of all the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevenueInfo {
    /// The last final height whose charges are in it.
    pub height: u64,
    /// The last height whose release is in it.
    pub released: u64,
    /// What all payers deposited.
    pub deposits: String,
    /// What all payers have left.
    pub balances: String,
    /// What was charged for bundles that have not ended yet.
    pub in_flight: String,
    /// What each rollup got, by chain id.
    pub rollups: Vec<RollupRevenue>,
    /// What each sequencer got, by index.
    pub sequencers: Vec<SequencerRevenue>,
}

/// What a rollup got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupRevenue {
    /// Its chain id.
    pub chain_id: u64,
    /// Its name in the registry.
    pub name: String,
    /// What it got.
    pub revenue: String,
}

/// What a sequencer got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencerRevenue {
    /// Its index, from 1.
    pub index: u64,
    /// Its name in the definition.
    pub name: String,
    /// What it got.
    pub revenue: String,
}

/// Answer of `fairveil_balance`. Amounts are decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceInfo {
    /// The payer.
    pub payer: String,
    /// What it has left.
    pub balance: String,
    /// The last final height here: later charges are not in it.
    pub height: u64,
    /// What a bundle costs, by size class.
    pub fees: Vec<FeeInfo>,
}

/// What a bundle of one size class costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeInfo {
    /// The class.
    pub class: u64,
    /// Bytes of a padded plaintext of this class.
    pub plaintext_bytes: u64,
    /// What it costs.
    pub fee: String,
}

/// Answer of `fairveil_limits`: each limit's name, value and unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitInfo {
    /// The rejection code that it belongs to.
    pub code: String,
    /// What is limited.
    pub what: String,
    /// The value.
    pub value: u64,
    /// The unit of the value.
    pub unit: String,
}

/// An event of the `/events` stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A block became final; its ids in fair order.
    Ordered {
        /// The block.
        height: u64,
        /// Its committed time, milliseconds.
        time_ms: u64,
        /// Its ids in fair order, by cohort.
        cohorts: Vec<Vec<String>>,
    },
    /// A height was opened and cut into batches.
    Released {
        /// The height.
        height: u64,
        /// Its release root.
        root: String,
        /// What became of each id of the height, in fair order.
        outcomes: Vec<OutcomeInfo>,
    },
}

/// What became of one ordered id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeInfo {
    /// The bundle.
    pub id: String,
    /// `released`, `failed` or `expired`.
    pub state: State,
    /// The failed code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

#[cfg(test)]
mod tests;
