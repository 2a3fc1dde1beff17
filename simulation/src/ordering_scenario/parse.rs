//! The file of an ordering scenario.

use std::collections::BTreeSet;

use fairveil_crypto::{BundleId, SequencerIndex};
use fairveil_ordering::{Committee, Mode};
use serde_json::Value;

use super::part::Part;
use super::{BlockInput, Code, FragmentInput, Scenario, ScenarioError};

/// What is known of the logs while blocks are read.
struct Logs {
    mode: Mode,
    committee: Committee,
    ids: Vec<Vec<BundleId>>,
    contained: Vec<BTreeSet<BundleId>>,
    clocks: Vec<u64>,
    listed: BTreeSet<BundleId>,
}

pub(super) fn parse(input: &[u8]) -> Result<Scenario, ScenarioError> {
    let document: Value = serde_json::from_slice(input)
        .map_err(|why| ScenarioError::new(Code::BadInput, format!("not JSON: {why}")))?;
    let top = Part::whole("scenario".into(), &document);
    let [n, f, g] = ["n", "f", "g"].map(|key| top.part(key)?.integer());
    let (numbers, word) = ([n?, f?, g?], top.part("mode")?);
    let name = word.text()?;
    let blocks = top.part("blocks")?.items()?;
    let committee = committee(numbers)?;
    let mode = Mode::named(name);
    let mode = mode.ok_or_else(|| word.fault(Code::BadMode, "none of the modes"))?;
    let mut logs = Logs::new(mode, committee);
    let blocks = (0u64..).zip(&blocks).map(|(number, block)| logs.block(number, block));
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

    fn block(&mut self, number: u64, block: &Part<'_>) -> Result<BlockInput, ScenarioError> {
        let mut parsed = BlockInput::default();
        let fragments = block.part("fragments")?;
        for fragment in fragments.items()? {
            let named = fragment.part("sequencer")?;
            let (number, ids) = (named.integer()?, fragment.part("ids")?.items()?);
            let sequencer = self.sequencer(&named, number)?;
            if parsed.fragments.contains_key(&sequencer) {
                return Err(named.fault(Code::DuplicateSequencer, "a second time in the block"));
            }
            let ids = self.append(sequencer, &ids)?;
            let (times_ms, clock_ms) = match self.mode {
                Mode::Median => self.times(sequencer, ids.len(), &fragment)?,
                Mode::Strict | Mode::Themis | Mode::Leader => (Vec::new(), 0),
            };
            parsed.fragments.insert(sequencer, FragmentInput { ids, times_ms, clock_ms });
        }
        let (actual, least) = (parsed.fragments.len(), usize::from(self.committee.quorum()));
        if actual < least {
            let what = format!("with {actual} fragments, it takes n - f = {least}");
            return Err(fragments.fault(Code::TooFewFragments, &what));
        }
        if self.mode == Mode::Leader {
            parsed.list = match block.optional("list")? {
                Some(list) => {
                    list.items()?.iter().map(Part::bundle_id).collect::<Result<_, _>>()?
                }
                None => self.said_by_leader(number),
            };
            self.listed.extend(&parsed.list);
        }
        Ok(parsed)
    }

    fn sequencer(&self, named: &Part<'_>, number: i64) -> Result<SequencerIndex, ScenarioError> {
        let n = self.committee.n();
        let sequencer = u16::try_from(number).ok().and_then(SequencerIndex::new);
        let sequencer = sequencer.filter(|sequencer| sequencer.get() <= n);
        sequencer.ok_or_else(|| named.fault(Code::UnknownSequencer, &format!("it may be 1 to {n}")))
    }

    fn append(
        &mut self,
        sequencer: SequencerIndex,
        items: &[Part<'_>],
    ) -> Result<Vec<BundleId>, ScenarioError> {
        let ids = items.iter().map(Part::bundle_id).collect::<Result<Vec<_>, _>>()?;
        for (id, item) in ids.iter().zip(items) {
            if !self.contained[sequencer.position()].insert(*id) {
                return Err(item.fault(Code::RepeatedId, "a second time in this log"));
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
        fragment: &Part<'_>,
    ) -> Result<(Vec<u64>, u64), ScenarioError> {
        let length = self.ids[sequencer.position()].len() as u64;
        let given = fragment.optional("times_ms")?;
        let times_ms: Vec<u64> = match &given {
            Some(times) => {
                times.items()?.iter().map(Part::milliseconds).collect::<Result<_, _>>()?
            }
            None => (length - count as u64..length).collect(),
        };
        let previous = &mut self.clocks[sequencer.position()];
        let clock_ms = match fragment.optional("clock_ms")? {
            Some(clock) => clock.milliseconds()?,
            None if given.is_some() => *times_ms.last().unwrap_or(previous),
            None => length,
        };
        let clocks: Vec<u64> = [*previous].into_iter().chain(times_ms.clone()).collect();
        let ascends = clocks.is_sorted() && clocks.last().is_some_and(|last| *last <= clock_ms);
        if times_ms.len() != count || !ascends || clock_ms == u64::MAX {
            let what = format!(
                "with {} times for {count} ids: one for each, none before {} ms or descending in \
                 the log, none after the clock of {clock_ms} ms",
                times_ms.len(),
                *previous
            );
            return Err(fragment.fault(Code::BadInput, &what));
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

fn committee(numbers: [i64; 3]) -> Result<Committee, ScenarioError> {
    let refused = |why: String| {
        let [n, f, g] = numbers;
        ScenarioError::new(Code::BadCommittee, format!("n = {n}, f = {f}, g = {g}: {why}"))
    };
    let small = |number: i64| {
        u16::try_from(number).map_err(|_| refused(format!("they may be 0 to {}", u16::MAX)))
    };
    let [n, f, g] = numbers;
    Committee::new(small(n)?, small(f)?, small(g)?).map_err(|why| refused(why.to_string()))
}
