//! What a sequencer says of itself.

use fairveil_release::anchor::Anchor;

use crate::adversary::AttackReport;

/// One check of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is checked, one word.
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// The values behind the verdict.
    pub why: String,
}

/// What a sequencer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// The epoch.
    pub epoch: u64,
    /// The last final height committed here.
    pub height: u64,
    /// The newest final height known of, here or not.
    pub final_height: u64,
    /// The newest view whose finalization the engine has seen since its start.
    pub final_view: u64,
    /// Committed time of that height, in milliseconds since 1970.
    pub time_ms: u64,
    /// Mean milliseconds between the last final blocks (at most 64).
    pub block_interval_ms: u64,
    /// The same of the last intervals between blocks that had work; 0 if this task has seen none.
    pub loaded_interval_ms: u64,
    /// Height up to which everything is released here.
    pub released: u64,
    /// Bundles held and not yet ordered.
    pub pool_bundles: u64,
    /// Bytes of them.
    pub pool_bytes: u64,
    /// Length of this sequencer's order log.
    pub log_length: u64,
    /// Height up to which final blocks certify releases.
    pub certified: u64,
    /// Bundles in memory.
    pub pool_held: u64,
    /// Bundles that must be reported and are not held.
    pub pool_duty: u64,
    /// The last anchored block of every followed rollup that has one, as of that height.
    pub anchors: Vec<Anchor>,
    /// Sequencers that final blocks prove to have equivocated, in this epoch.
    pub convicted: u64,
    /// While a restored sequencer signs nothing: how long.
    pub abstention: Option<String>,
    /// The first height whose order and release are kept.
    pub oldest: u64,
    /// What an adversary that races bundles tried; none for anybody else.
    pub attack: Option<AttackReport>,
    /// Counters by name, for metrics.
    pub counters: Vec<(&'static str, u64)>,
}
