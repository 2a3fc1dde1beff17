//! Whole committees from one seed: real sequencers, a simulated network, disks that forget, and an
//! oracle that judges what came out from the design alone.
//!
//! ```text
//! suite, seed ──> Plan ──> committee of sequencers ──> trace of the wire, disks, receipts
//!                            ^    ^                                 │
//!                      traders    power losses                   Oracle ──> Report
//! ```
//!
//! The sequencers are the node's: the same `start`, consensus, pool, opening and store. Only the
//! transport (commonware's simulated network), the clock (its deterministic runtime), the disk and
//! the threads differ.
//!
//! # What the oracle requires of every run
//!
//! 1. **Agreement**: honest sequencers have the same block and emission at every height.
//! 2. **Identical bytes**: honest sequencers have the same release at every height.
//! 3. **None lost**: a bundle with f+1 verified receipts ends released, failed or expired; an
//!    ordinary one ends released.
//! 4. **None half released**: all legs of a bundle are in one release, with the trader's bytes,
//!    or none is.
//! 5. **Order**: each rollup's released sequence is the subsequence of the fair order.
//! 6. **No share before finality**: whatever decryption share an honest sequencer sends, a quorum
//!    had voted before to finalize its height or a later one, and the share opens that final order
//!    and nothing else.
//! 7. **Fairness**: a bundle that all honest order logs have before another one is in no later
//!    cohort.
//! 8. **Windows and nonces**: nothing is opened after its window, and of bundles with one payer
//!    nonce the first alone.
//! 9. **Blame**: whoever evidence names is the adversary, and the evidence convinces offline.
//! 10. **Liveness**: all of it within 15 virtual seconds; after a splitting trader, and beside a
//!     splitting sequencer, an honest bundle is out within 20 blocks.
//! 11. **Same seed, same bytes**: two runs of one seed end in the same state of the runtime's
//!     auditor.
//! 12. **Slots**: a bundle's blocks are later than the block that ordered it and of its slot, its
//!     legs have equal timestamps, blocks ascend and hold no more than they may.
//! 13. **Execution**: what the rollups hold is what the released transactions make of their genesis,
//!     by arithmetic, and a bundle with a known fate has it. In a slot without a view of a rollup that
//!     others feed too, bundles of policy `execute` with a leg there fail, and nobody looks at the legs
//!     there of others.
//! 14. **Ledger**: what payers deposited is conserved, and the same everywhere.
//! 15. **Changes of the rollups**: what final blocks announced holds from its height on, for what
//!     releases hold and for what becomes of bundles.
//!
//! 16. **One boundary**: whoever saw an epoch begin has the same beginning of it, byte for byte, and the
//!     committee key is the same in all epochs.
//! 17. **Shares of their epoch**: a decryption share of a height is signed by the member of that height's
//!     epoch that sends it; nobody keeps two shares or transcripts of one epoch, and whom evidence of a
//!     resharing names is the liar.
//! 18. **Logs go on**: the log of the last epoch begins with what the one before did not propose, in the
//!     order of the chain, as far as its owner had it.
//!
//! # Crashes
//!
//! A sequencer that loses power is gone at once with everything in memory. Of what its database
//! had not synced a random subset survives; of what the consensus had not synced nothing does.

mod ceremony;
mod changes;
pub(crate) mod epochs;
mod keys;
mod member;
mod nodes;
pub(crate) mod oracle;
pub(crate) mod plan;
pub(crate) mod rollups;
pub(crate) mod scene;
mod splitter;
pub(crate) mod trace;
pub(crate) mod traders;

use commonware_runtime::deterministic;
use fairveil_release::batch::Batch;
use fairveil_release::registry::Registry;
use fairveil_sequencer::Behaviour;
use serde::{Deserialize, Serialize};

pub use self::oracle::tamper::{TAMPERS, Tamper, violations};
use self::plan::{Kind, Plan};

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    kind: Kind,
}

const SUITES: &[Suite] = &[
    Suite { name: "honest", about: "nobody cheats and nothing is lost", kind: Kind::Honest },
    Suite { name: "lossy", about: "1 to 5 % of all messages are lost", kind: Kind::Lossy },
    Suite {
        name: "crashes",
        about: "sequencers lose power at random instants or at every k-th durable write",
        kind: Kind::Crashes,
    },
    Suite {
        name: "latecomer",
        about: "one sequencer is away until nobody keeps shares and bundles for it any more",
        kind: Kind::Latecomer,
    },
    Suite {
        name: "rollups",
        about: "2 to 8 executing rollups of mixed block times, failing legs, full blocks, rollups that pause, \
                join and leave, power losses",
        kind: Kind::Rollups,
    },
    Suite {
        name: "epochs",
        about: "the committee changes twice, 5 to 7 to 5, two of five replaced, or new shares, by resharings \
                in which members lie: people join by state sync, leave, lose their power",
        kind: Kind::Epochs,
    },
    adversary("equivocator", "one sequencer signs two order logs", Behaviour::Equivocator),
    adversary("reverser", "one sequencer reverses its order log", Behaviour::Reverser),
    adversary("phantom", "one sequencer reports bundles that nobody has", Behaviour::Phantom),
    adversary("bad-sharer", "one sequencer signs wrong decryption shares", Behaviour::BadSharer),
    adversary(
        "share-withholder",
        "one sequencer keeps its decryption shares",
        Behaviour::ShareWithholder,
    ),
    adversary(
        "censor",
        "one sequencer reports nothing and leads without others",
        Behaviour::Censor,
    ),
    adversary(
        "front-runner",
        "one sequencer puts its own bundles first and asks for shares early",
        Behaviour::FrontRunner,
    ),
    adversary("randomiser", "one sequencer shuffles its order log", Behaviour::Randomiser),
    adversary(
        "late-reporter",
        "one sequencer reports everything half a second late",
        Behaviour::LateReporter,
    ),
    adversary(
        "omitting-leader",
        "one sequencer leads without what the one that reports most has reported",
        Behaviour::OmittingLeader,
    ),
    adversary(
        "racer",
        "one sequencer lets what traders submit to it wait for its own bundles",
        Behaviour::Racer,
    ),
    adversary(
        "id-grinder",
        "one sequencer grinds the ids of its own bundles and puts them first",
        Behaviour::IdGrinder,
    ),
    adversary(
        "condorcet-2",
        "one sequencer makes the others' logs a cycle, with 2 own bundles at a time",
        Behaviour::Condorcet { bundles: 2 },
    ),
    adversary(
        "condorcet-10",
        "the same with 10 own bundles at a time",
        Behaviour::Condorcet { bundles: 10 },
    ),
    adversary(
        "condorcet-100",
        "the same with 100 own bundles at a time",
        Behaviour::Condorcet { bundles: 100 },
    ),
    adversary(
        "spammer",
        "one sequencer sends each of the others different junk",
        Behaviour::Spammer,
    ),
    adversary(
        "partitioner",
        "one sequencer lets half of the others hear everything late",
        Behaviour::Partitioner,
    ),
    adversary(
        "corrupt-splitter",
        "one sequencer shows the others conflicting and expiring bundles",
        Behaviour::Splitter,
    ),
    Suite {
        name: "splitter",
        about: "a trader splits conflicting, expiring and limit-hitting bundles",
        kind: Kind::Splitter,
    },
];

const fn adversary(name: &'static str, about: &'static str, behaviour: Behaviour) -> Suite {
    Suite { name, about, kind: Kind::Adversary(behaviour) }
}

/// All suites.
#[must_use]
pub fn suites() -> &'static [Suite] {
    SUITES
}

/// What came of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The suite.
    pub suite: String,
    /// The seed.
    pub seed: u64,
    /// The command that repeats it.
    pub command: String,
    /// What the oracle found wrong; nothing in a good run.
    pub violations: Vec<String>,
    /// The state of the runtime's auditor at the end: the same for the same seed.
    pub audit: String,
    /// Sequencers.
    pub members: u16,
    /// Virtual milliseconds until all was quiet.
    pub virtual_ms: u64,
    /// Final heights that all honest sequencers have.
    pub height: u64,
    /// What was counted, by name.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// Of suite `rollups`: the rollups, and every released batch.
    #[serde(skip)]
    pub released: Option<Released>,
}

/// What a run released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The rollups.
    pub rollups: Registry,
    /// Their batches, by height.
    pub batches: Vec<Batch>,
}

impl Report {
    /// Whether the oracle found nothing wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs one seed of a suite.
#[must_use]
pub fn run(suite: &Suite, seed: u64) -> Report {
    let plan = Plan::new(suite.kind, seed);
    let members = plan.n;
    let config = deterministic::Config::new().with_seed(seed);
    let (mut report, checkpoint) = deterministic::Runner::new(config)
        .start_and_recover(|context| scene::play(context, plan, seed));
    report.audit = checkpoint.auditor().state();
    report.suite = suite.name.to_owned();
    report.seed = seed;
    report.command = format!("fairveil simulate committee --suite {} --seed {seed}", suite.name);
    report.members = members;
    report
}

/// The suite of this name.
#[must_use]
pub fn suite(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}
