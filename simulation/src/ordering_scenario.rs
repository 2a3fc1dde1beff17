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
    fragments: BTreeMap<SequencerIndex, FragmentInput>,
    list: Vec<BundleId>,
}

struct FragmentInput {
    ids: Vec<BundleId>,
    /// Empty but in mode `median`.
    times_ms: Vec<u64>,
    clock_ms: u64,
}

/// What is known of the logs while blocks are read.
struct Logs {
    mode: Mode,
    committee: Committee,
    ids: Vec<Vec<BundleId>>,
    contained: Vec<BTreeSet<BundleId>>,
    clocks: Vec<u64>,
    listed: BTreeSet<BundleId>,
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
    let output = order.apply(&step).map_err(|_| ScenarioError::RepeatedId)?;
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

fn parse(input: &[u8]) -> Result<Scenario, ScenarioError> {
    let document: Value = serde_json::from_slice(input).map_err(|_| ScenarioError::BadInput)?;
    let top = document.as_object().ok_or(ScenarioError::BadInput)?;
    let numbers = [integer(top, "n")?, integer(top, "f")?, integer(top, "g")?];
    let mode = get(top, "mode")?.as_str().ok_or(ScenarioError::BadInput)?;
    let blocks = array(top, "blocks")?;
    let committee = committee(numbers).ok_or(ScenarioError::BadCommittee)?;
    let mode = Mode::named(mode).ok_or(ScenarioError::BadMode)?;
    let mut logs = Logs::new(mode, committee);
    let blocks = (0u64..).zip(blocks).map(|(number, block)| logs.block(number, block));
    let blocks = blocks.collect::<Result<_, _>>()?;
    Ok(Scenario { committee, mode, blocks })
}

impl Logs {
    fn new(mode: Mode, committee: Committee) -> Self {
        let n = usize::from(committee.n());
        Self {
            mode,
            committee,
            ids: vec![Vec::new(); n],
            contained: vec![BTreeSet::new(); n],
            clocks: vec![0; n],
            listed: BTreeSet::new(),
        }
    }

    fn block(&mut self, number: u64, block: &Value) -> Result<BlockInput, ScenarioError> {
        let block = block.as_object().ok_or(ScenarioError::BadInput)?;
        let mut parsed = BlockInput::default();
        for fragment in array(block, "fragments")? {
            let fragment = fragment.as_object().ok_or(ScenarioError::BadInput)?;
            let (number, ids) = (integer(fragment, "sequencer")?, array(fragment, "ids")?);
            let sequencer = u16::try_from(number).ok().and_then(SequencerIndex::new);
            let sequencer = sequencer.filter(|sequencer| sequencer.get() <= self.committee.n());
            let sequencer = sequencer.ok_or(ScenarioError::UnknownSequencer)?;
            if parsed.fragments.contains_key(&sequencer) {
                return Err(ScenarioError::DuplicateSequencer);
            }
            let ids = self.append(sequencer, ids)?;
            let (times_ms, clock_ms) = match self.mode {
                Mode::Median => self.times(sequencer, ids.len(), fragment)?,
                Mode::Strict | Mode::Themis | Mode::Leader => (Vec::new(), 0),
            };
            parsed.fragments.insert(sequencer, FragmentInput { ids, times_ms, clock_ms });
        }
        if parsed.fragments.len() < usize::from(self.committee.quorum()) {
            return Err(ScenarioError::TooFewFragments);
        }
        if self.mode == Mode::Leader {
            parsed.list = match block.get("list") {
                Some(_) => array(block, "list")?.iter().map(bundle_id).collect::<Result<_, _>>()?,
                None => self.said_by_leader(number),
            };
            self.listed.extend(&parsed.list);
        }
        Ok(parsed)
    }

    fn append(
        &mut self,
        sequencer: SequencerIndex,
        ids: &[Value],
    ) -> Result<Vec<BundleId>, ScenarioError> {
        let ids = ids.iter().map(bundle_id).collect::<Result<Vec<_>, _>>()?;
        for id in &ids {
            if !self.contained[sequencer.position()].insert(*id) {
                return Err(ScenarioError::RepeatedId);
            }
        }
        self.ids[sequencer.position()].extend(&ids);
        Ok(ids)
    }

    /// Receive times of the last `count` entries of a log, and the clock of its head.
    fn times(
        &mut self,
        sequencer: SequencerIndex,
        count: usize,
        fragment: &Map<String, Value>,
    ) -> Result<(Vec<u64>, u64), ScenarioError> {
        let length = self.ids[sequencer.position()].len() as u64;
        let times_ms: Vec<u64> = match fragment.get("times_ms") {
            Some(_) => array(fragment, "times_ms")?
                .iter()
                .map(|time| time.as_u64().ok_or(ScenarioError::BadInput))
                .collect::<Result<_, _>>()?,
            None => (length - count as u64..length).collect(),
        };
        let previous = &mut self.clocks[sequencer.position()];
        let clock_ms = match fragment.get("clock_ms") {
            Some(clock) => clock.as_u64().ok_or(ScenarioError::BadInput)?,
            None if fragment.contains_key("times_ms") => *times_ms.last().unwrap_or(previous),
            None => length,
        };
        let clocks: Vec<u64> = [*previous].into_iter().chain(times_ms.clone()).collect();
        let ascends = clocks.is_sorted() && clocks.last().is_some_and(|last| *last <= clock_ms);
        if times_ms.len() != count || !ascends || clock_ms == u64::MAX {
            return Err(ScenarioError::BadInput);
        }
        *previous = clock_ms;
        Ok((times_ms, clock_ms))
    }

    /// What the leader of this block, from 0, has in its log and nobody listed.
    fn said_by_leader(&self, number: u64) -> Vec<BundleId> {
        let leader = (number % u64::from(self.committee.n())) as usize;
        self.ids[leader].iter().filter(|id| !self.listed.contains(*id)).copied().collect()
    }
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
