//! `fairveil simulate ordering --input FILE --json`: a scenario file through the fair order.
//!
//! ```text
//! {"n": 5, "f": 1, "g": 0, "mode": "strict",
//!  "blocks": [{"fragments": [{"sequencer": 1, "ids": ["0x…", …]}, …]}, …]}
//! -> {"blocks": [{"height": 1, "cohorts": [["0x…", …], …]}, …],
//!     "pending": […], "unproposed": […], "root": "0x…"}
//! ```
//!
//! 1. Logs come without signatures, heads and windows: nothing expires or is forgotten. Unknown
//!    keys are ignored, `name` among them.
//! 2. The order of fragments inside a block changes nothing.
//! 3. The seed of a block is zero for the first, then hash(OrderScenarioSeed, the seed before,
//!    per fragment in the order of sequencers: its index, its ids).
//! 4. `root` is the result root of the last block: what it emitted, and the state after it.
//!
//! The same file runs in every mode: `strict`, `themis`, `median`, `leader`. What the others need
//! beside logs stands in the file or follows from it:
//!
//! * `median`: a fragment may have `times_ms`, one receive time per id, never descending in a log, and
//!   `clock_ms`, when its head was signed. Without them an id's time is its position in the log, and
//!   the clock the log's length.
//! * `leader`: a block may have a `list` of ids, which is what it emits. Without it the leader of block h
//!   is sequencer (h - 1) mod n + 1, and lists what its log holds so far and no block has emitted, in
//!   the order of its log.

mod error;
mod parse;
mod part;

use std::collections::BTreeMap;

use fairveil_crypto::certificate::{Emission, result_root};
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, Phase, Step};
use serde_json::{Value, json};

pub use self::error::{Code, ScenarioError};
use self::parse::parse;

struct Scenario {
    committee: Committee,
    mode: Mode,
    blocks: Vec<BlockInput>,
}

#[derive(Default)]
struct BlockInput {
    fragments: BTreeMap<SequencerIndex, FragmentInput>,
    list: Vec<BundleId>,
}

struct FragmentInput {
    ids: Vec<BundleId>,
    /// Empty but in mode `median`.
    times_ms: Vec<u64>,
    clock_ms: u64,
}

/// The result of a scenario file as one JSON document.
///
/// # Errors
///
/// [`ScenarioError`], with a stable code, and what is wrong where.
pub fn run(input: &[u8]) -> Result<String, ScenarioError> {
    let scenario = parse(input)?;
    let mut order = FairOrder::unbounded(scenario.committee, scenario.mode);
    let mut seed = Digest::from_bytes([0; 32]);
    let mut last = Emission { height: Height::ZERO, cohorts: Vec::new() };
    let mut blocks = Vec::new();
    for block in &scenario.blocks {
        last = apply(&mut order, block, seed)?;
        seed = next_seed(&seed, &block.fragments);
        let cohorts = last.cohorts.iter();
        let cohorts = cohorts.map(|cohort| texts(cohort.iter().map(|emitted| emitted.id)));
        let cohorts: Vec<Value> = cohorts.collect();
        blocks.push(json!({"height": last.height.get(), "cohorts": cohorts}));
    }
    let result = json!({
        "blocks": blocks,
        "pending": texts(order.pending()),
        "unproposed": texts(order.unproposed()),
        "root": result_root(&last, &order.digest()).to_string(),
    });
    Ok(result.to_string())
}

fn apply(
    order: &mut FairOrder,
    block: &BlockInput,
    seed: Digest,
) -> Result<Emission, ScenarioError> {
    let appended: Vec<Appended<'_>> = block
        .fragments
        .iter()
        .map(|(sequencer, fragment)| Appended {
            sequencer: *sequencer,
            ids: &fragment.ids,
            times_ms: &fragment.times_ms,
            clock_ms: fragment.clock_ms,
        })
        .collect();
    let reaching = order.would_reach_edge(&appended, &block.list);
    let expiries: BTreeMap<BundleId, Height> =
        reaching.into_iter().map(|id| (id, Height::MAX)).collect();
    let step = Step {
        height: order.height().next(),
        seed,
        phase: Phase::Ordering,
        appended: &appended,
        list: &block.list,
        expiries: &expiries,
    };
    // All else that can be wrong was found while parsing.
    let output =
        order.apply(&step).map_err(|why| ScenarioError::new(Code::RepeatedId, why.to_string()))?;
    Ok(output.emission)
}

fn next_seed(seed: &Digest, fragments: &BTreeMap<SequencerIndex, FragmentInput>) -> Digest {
    let mut hasher = Hasher::new(Tag::OrderScenarioSeed);
    hasher.item(seed.as_bytes());
    for (sequencer, fragment) in fragments {
        hasher.item(&sequencer.to_be_bytes());
        fragment.ids.iter().for_each(|id| hasher.item(id.as_bytes()));
    }
    hasher.finish()
}

fn texts(ids: impl IntoIterator<Item = BundleId>) -> Value {
    ids.into_iter().map(|id| Value::String(id.to_string())).collect()
}
