//! What every mode starts from, and the block that is measured.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::naive::bundle_id;
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, OrderError, Output, Phase, Step};

use super::{OrderBenchError, SALT};
use crate::clock::timed;

/// Ids in the evidence of a block of the network.
pub(super) const EACH_BLOCK: usize = fairveil_consensus::block::MAX_EVIDENCE_IDS;

/// Logs of which S - 1 stand in the chain before the block that brings the others.
pub(super) struct World {
    committee: Committee,
    /// Of all sequencers, as far as the chain has them after the block.
    logs: Vec<Vec<u32>>,
    early: Vec<(SequencerIndex, Vec<BundleId>)>,
    late: Vec<(SequencerIndex, Vec<BundleId>)>,
}

/// What the block does in mode `strict`.
pub(super) struct Outcome {
    /// Ids whose pairs it decides.
    pub(super) decided: BTreeSet<u32>,
    /// How many leave.
    pub(super) emitted: usize,
}

/// One block applied.
pub(super) struct Applied {
    pub(super) ms: f64,
    emitted: BTreeSet<BundleId>,
    /// In a proposal that has not emitted them.
    pending: Vec<BundleId>,
    listed: usize,
}

impl World {
    pub(super) fn new(committee: Committee, mut logs: Vec<Vec<u32>>) -> Self {
        let almost = usize::from(committee.thresholds().solid - 1);
        let each = EACH_BLOCK / (logs.len() - almost);
        logs.iter_mut().skip(almost).for_each(|ids| ids.truncate(each));
        let mut early: Vec<(SequencerIndex, Vec<BundleId>)> = SequencerIndex::all(committee.n())
            .zip(&logs)
            .map(|(index, log)| (index, log.iter().map(|id| bundle_id(SALT, *id)).collect()))
            .collect();
        let late = early.split_off(almost);
        Self { committee, logs, early, late }
    }

    /// The block in every mode once, and whether each emits what it owes.
    pub(super) fn outcome(&self, ids: usize) -> Result<Outcome, OrderBenchError> {
        let strict = self.block(Mode::Strict)?;
        let of: BTreeMap<BundleId, u32> =
            (0..ids as u32).map(|id| (bundle_id(SALT, id), id)).collect();
        let both = strict.emitted.iter().chain(&strict.pending);
        let decided: BTreeSet<u32> = both.filter_map(|id| of.get(id).copied()).collect();
        let outcome = Outcome { decided, emitted: strict.emitted.len() };
        for mode in Mode::ALL {
            let applied = self.block(mode)?;
            let emitted = applied.emitted.len();
            let owed = match mode {
                Mode::Strict | Mode::Themis => emitted > 0 && applied.emitted == strict.emitted,
                Mode::Leader => emitted == applied.listed,
                // What lacks n - f times holds back all that may be later.
                Mode::Median => emitted > 0 || outcome.decided.len() < ids,
            };
            if !owed {
                let (n, mode) = (self.committee.n(), mode.name());
                return Err(OrderBenchError::Emitted { n, ids, mode, emitted });
            }
        }
        Ok(outcome)
    }

    /// The logs that have all ids already.
    pub(super) fn early(&self) -> &[(SequencerIndex, Vec<BundleId>)] {
        &self.early
    }

    /// The logs, of these ids alone, which are numbered from 0.
    pub(super) fn among(&self, ids: &BTreeSet<u32>) -> Vec<Vec<u32>> {
        let number: BTreeMap<u32, u32> = ids.iter().copied().zip(0..).collect();
        let only = |log: &Vec<u32>| log.iter().filter_map(|id| number.get(id).copied()).collect();
        self.logs.iter().map(only).collect()
    }

    /// The block in this mode, as a validator applies it: on a clone.
    pub(super) fn block(&self, mode: Mode) -> Result<Applied, OrderError> {
        let mut order = FairOrder::new(self.committee, mode, Height::ZERO);
        let each = EACH_BLOCK / usize::from(self.committee.n());
        let longest = self.early.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
        for from in (0..longest).step_by(each) {
            let part = |ids: &Vec<BundleId>| ids.iter().copied().skip(from).take(each).collect();
            let part: Vec<(SequencerIndex, Vec<BundleId>)> =
                self.early.iter().map(|(index, ids)| (*index, part(ids))).collect();
            Block::new(&part, mode, from as u64 + 1).apply(&mut order)?;
        }
        let mut block = Block::new(&self.late, mode, longest as u64 + 1);
        match mode {
            Mode::Leader => {
                block.list = self.late.first().map_or_else(Vec::new, |(_, ids)| ids.clone());
            }
            // Nothing more comes with an earlier time.
            Mode::Median => block.heartbeats = self.early.iter().map(|(index, _)| *index).collect(),
            Mode::Strict | Mode::Themis => {}
        }
        let mut after = order.clone();
        let (output, elapsed) = timed(|| block.apply(&mut after));
        let emitted = output?.emission.ids().map(|emitted| emitted.id).collect();
        let ms = elapsed.cpu.as_secs_f64() * 1e3;
        Ok(Applied { ms, emitted, pending: after.pending(), listed: block.list.len() })
    }
}

/// The fragments of a block, with what its mode wants beside them: times, or the leader's list.
struct Block<'a> {
    logs: &'a [(SequencerIndex, Vec<BundleId>)],
    times_ms: Vec<Vec<u64>>,
    /// Sequencers without entries; every clock of the block stands where its latest entry was received.
    heartbeats: Vec<SequencerIndex>,
    list: Vec<BundleId>,
    expiries: BTreeMap<BundleId, Height>,
}

impl<'a> Block<'a> {
    fn new(logs: &'a [(SequencerIndex, Vec<BundleId>)], mode: Mode, first_ms: u64) -> Self {
        let times = |ids: &Vec<BundleId>| match mode {
            Mode::Median => (first_ms..first_ms + ids.len() as u64).collect(),
            Mode::Strict | Mode::Themis | Mode::Leader => Vec::new(),
        };
        let ids = logs.iter().flat_map(|(_, ids)| ids);
        Self {
            logs,
            times_ms: logs.iter().map(|(_, ids)| times(ids)).collect(),
            heartbeats: Vec::new(),
            list: Vec::new(),
            expiries: ids.map(|id| (*id, Height::MAX)).collect(),
        }
    }

    fn apply(&self, order: &mut FairOrder) -> Result<Output, OrderError> {
        let latest = self.times_ms.iter().flatten().max().copied().unwrap_or(0);
        let entries = self.logs.iter().zip(&self.times_ms).map(|((sequencer, ids), times_ms)| {
            Appended { sequencer: *sequencer, ids, times_ms, clock_ms: latest }
        });
        let heartbeats = self.heartbeats.iter().map(|sequencer| Appended {
            sequencer: *sequencer,
            ids: &[],
            times_ms: &[],
            clock_ms: latest,
        });
        let appended: Vec<Appended<'_>> = entries.chain(heartbeats).collect();
        let step = Step {
            height: order.height().next(),
            seed: Digest::from_bytes([23; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &self.list,
            expiries: &self.expiries,
        };
        order.apply(&step)
    }
}
