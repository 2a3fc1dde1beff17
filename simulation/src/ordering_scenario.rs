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
//! In mode `leader` every block also has a `list` of ids, which is what it emits; a file without
//! lists is none of that mode. Other modes are not built.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::certificate::{Emission, result_root};
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, Phase, Step};
use serde_json::{Map, Value, json};

/// Why a scenario is refused; [`Self::code`] is what the command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScenarioError {
    /// Not JSON, or a key is missing or of another type.
    BadInput,
    /// n, f and g are no committee.
    BadCommittee,
    /// An unknown mode.
    BadMode,
    /// A sequencer outside 1..=n.
    UnknownSequencer,
    /// A sequencer twice in a block.
    DuplicateSequencer,
    /// Not a string of 0x and 64 lower-case hex digits.
    BadId,
    /// An id twice in one log, or in the leader's lists.
    RepeatedId,
    /// Fewer than n - f fragments in a block.
    TooFewFragments,
}

impl ScenarioError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadInput => "bad-input",
            Self::BadCommittee => "bad-committee",
            Self::BadMode => "bad-mode",
            Self::UnknownSequencer => "unknown-sequencer",
            Self::DuplicateSequencer => "duplicate-sequencer",
            Self::BadId => "bad-id",
            Self::RepeatedId => "repeated-id",
            Self::TooFewFragments => "too-few-fragments",
        }
    }
}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.code())
    }
}

impl std::error::Error for ScenarioError {}

struct Scenario {
    committee: Committee,
    mode: Mode,
    blocks: Vec<BlockInput>,
}

#[derive(Default)]
struct BlockInput {
    fragments: BTreeMap<SequencerIndex, Vec<BundleId>>,
    list: Vec<BundleId>,
}

/// The result of a scenario file as one JSON document.
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
        .map(|(sequencer, ids)| Appended { sequencer: *sequencer, ids })
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
    // All that can be wrong with one block's logs was found while parsing, but for repetition.
    let output = order.apply(&step).map_err(|_| ScenarioError::RepeatedId)?;
    Ok(output.emission)
}

fn next_seed(seed: &Digest, fragments: &BTreeMap<SequencerIndex, Vec<BundleId>>) -> Digest {
    let mut hasher = Hasher::new(Tag::OrderScenarioSeed);
    hasher.item(seed.as_bytes());
    for (sequencer, ids) in fragments {
        hasher.item(&sequencer.to_be_bytes());
        ids.iter().for_each(|id| hasher.item(id.as_bytes()));
    }
    hasher.finish()
}

fn texts(ids: impl IntoIterator<Item = BundleId>) -> Value {
    ids.into_iter().map(|id| Value::String(id.to_string())).collect()
}

fn parse(input: &[u8]) -> Result<Scenario, ScenarioError> {
    let document: Value = serde_json::from_slice(input).map_err(|_| ScenarioError::BadInput)?;
    let top = document.as_object().ok_or(ScenarioError::BadInput)?;
    let numbers = [integer(top, "n")?, integer(top, "f")?, integer(top, "g")?];
    let mode = get(top, "mode")?.as_str().ok_or(ScenarioError::BadInput)?;
    let blocks = array(top, "blocks")?;
    let committee = committee(numbers).ok_or(ScenarioError::BadCommittee)?;
    let mode = match mode {
        "strict" => Mode::Strict,
        "leader" if blocks.iter().all(|block| block.get("list").is_some()) => Mode::Leader,
        _ => return Err(ScenarioError::BadMode),
    };
    let mut logs = vec![BTreeSet::new(); usize::from(committee.n())];
    let blocks = blocks
        .iter()
        .map(|block| parse_block(block, mode, committee, &mut logs))
        .collect::<Result<_, _>>()?;
    Ok(Scenario { committee, mode, blocks })
}

fn parse_block(
    block: &Value,
    mode: Mode,
    committee: Committee,
    logs: &mut [BTreeSet<BundleId>],
) -> Result<BlockInput, ScenarioError> {
    let block = block.as_object().ok_or(ScenarioError::BadInput)?;
    let mut parsed = BlockInput::default();
    for fragment in array(block, "fragments")? {
        let fragment = fragment.as_object().ok_or(ScenarioError::BadInput)?;
        let (number, ids) = (integer(fragment, "sequencer")?, array(fragment, "ids")?);
        let sequencer = u16::try_from(number).ok().and_then(SequencerIndex::new);
        let sequencer = sequencer.filter(|sequencer| sequencer.get() <= committee.n());
        let sequencer = sequencer.ok_or(ScenarioError::UnknownSequencer)?;
        if parsed.fragments.contains_key(&sequencer) {
            return Err(ScenarioError::DuplicateSequencer);
        }
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            let id = bundle_id(id)?;
            if !logs[sequencer.position()].insert(id) {
                return Err(ScenarioError::RepeatedId);
            }
            entries.push(id);
        }
        parsed.fragments.insert(sequencer, entries);
    }
    if parsed.fragments.len() < usize::from(committee.quorum()) {
        return Err(ScenarioError::TooFewFragments);
    }
    if mode == Mode::Leader {
        parsed.list = array(block, "list")?.iter().map(bundle_id).collect::<Result<_, _>>()?;
    }
    Ok(parsed)
}

fn get<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Value, ScenarioError> {
    object.get(key).ok_or(ScenarioError::BadInput)
}

fn integer(object: &Map<String, Value>, key: &str) -> Result<i64, ScenarioError> {
    get(object, key)?.as_i64().ok_or(ScenarioError::BadInput)
}

fn array<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], ScenarioError> {
    get(object, key)?.as_array().map(Vec::as_slice).ok_or(ScenarioError::BadInput)
}

fn committee(numbers: [i64; 3]) -> Option<Committee> {
    let [n, f, g] = numbers.map(|number| u16::try_from(number).ok());
    Committee::new(n?, f?, g?).ok()
}

/// 0x and 64 lower-case hex digits, nothing else.
fn bundle_id(text: &Value) -> Result<BundleId, ScenarioError> {
    let text = text.as_str().ok_or(ScenarioError::BadId)?;
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    text.parse().ok().filter(|_| lower).ok_or(ScenarioError::BadId)
}
