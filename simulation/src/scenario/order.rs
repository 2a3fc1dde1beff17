//! An order to be measured: that of the run, or what another mode makes of the same evidence.
//!
//! 1. The order of the run's own mode, computed again from the committed evidence, must be the one
//!    that the sequencers made final: else the run has failed.
//! 2. In mode `leader` a block emits, in the order of its leader's committed log, every bundle there
//!    that is not emitted yet: what a leader can do who has its way.
//! 3. In mode `median` a sequencer's times are those of its receipts, which in an adversary's log are as
//!    out of order as the log; they never go back, as the mode wants it.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Height};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, Phase, Status, Step};

use super::record::{FinalBlock, Fragment, Record};

/// Where an id came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What.
    pub id: BundleId,
    /// The block that emitted it.
    pub height: u64,
    /// The number of its cohort, over all blocks.
    pub cohort: usize,
    /// The block that proposed it.
    pub proposed: u64,
    /// Logs in which it stood then.
    pub logs: u16,
}

/// An order of ids.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// In their order.
    pub places: Vec<Place>,
    /// Blocks after which a proposal was incomplete.
    pub deferred: u64,
}

impl Order {
    /// What a mode makes of the evidence of a run.
    ///
    /// # Errors
    ///
    /// If the evidence is refused, or the run's own mode makes another order of it than the run did.
    pub(crate) fn of(record: &Record, committee: Committee, mode: Mode) -> Result<Self, String> {
        let mut replay = Replay::new(committee, mode, record);
        for block in &record.blocks {
            replay.apply(block)?;
        }
        Ok(replay.order)
    }

    /// The ids in their order, cohort by cohort.
    pub(crate) fn cohorts(&self) -> impl Iterator<Item = &[Place]> {
        self.places.chunk_by(|one, other| one.cohort == other.cohort)
    }

    /// That of the run's own mode: what is wrong with it, if it is not the one that became final.
    pub(crate) fn differs(&self, record: &Record) -> Option<String> {
        let made: Vec<Vec<BundleId>> =
            self.cohorts().map(|cohort| cohort.iter().map(|place| place.id).collect()).collect();
        let final_ones = record
            .blocks
            .iter()
            .flat_map(|block| block.emitted.iter().map(move |cohort| (block.height, cohort)));
        let mut made = made.iter();
        for (height, cohort) in final_ones {
            if made.next() != Some(cohort) {
                return Some(format!("the evidence makes another order than block {height} has"));
            }
        }
        made.next().map(|_| "the evidence orders more than the blocks".to_owned())
    }
}

struct Replay<'a> {
    record: &'a Record,
    fair: FairOrder,
    mode: Mode,
    order: Order,
    cohorts: usize,
    /// Committed logs.
    logs: Vec<Vec<BundleId>>,
    counts: BTreeMap<BundleId, u16>,
    unproposed: BTreeSet<BundleId>,
    proposed: BTreeMap<BundleId, (u64, u16)>,
    /// Of each log: when its entries were received, in milliseconds.
    received: Vec<BTreeMap<BundleId, u64>>,
    /// Of each log: the latest time that it has said.
    clocks: Vec<u64>,
}

impl<'a> Replay<'a> {
    fn new(committee: Committee, mode: Mode, record: &'a Record) -> Self {
        let received = record.logs.iter().map(|log| {
            let received = log.iter().map(|received| (received.id, received.at_ms));
            received.collect()
        });
        Self {
            record,
            fair: FairOrder::new(committee, mode, Height::ZERO),
            mode,
            order: Order::default(),
            cohorts: 0,
            logs: vec![Vec::new(); usize::from(committee.n())],
            counts: BTreeMap::new(),
            unproposed: BTreeSet::new(),
            proposed: BTreeMap::new(),
            received: received.collect(),
            clocks: vec![0; usize::from(committee.n())],
        }
    }

    fn apply(&mut self, block: &FinalBlock) -> Result<(), String> {
        for fragment in &block.appended {
            let log = &mut self.logs[fragment.sequencer.position()];
            log.extend(&fragment.ids);
            for id in &fragment.ids {
                let count = self.counts.entry(*id).or_insert(0);
                *count += 1;
                if *count == 1 {
                    self.unproposed.insert(*id);
                }
            }
        }
        let list = if self.mode == Mode::Leader { self.list(block) } else { Vec::new() };
        let fragments = block.appended.iter();
        let times: Vec<(Vec<u64>, u64)> = match self.mode {
            Mode::Median => fragments.map(|fragment| self.times_ms(fragment)).collect(),
            _ => fragments.map(|_| (Vec::new(), 0)).collect(),
        };
        let appended: Vec<Appended<'_>> = block
            .appended
            .iter()
            .zip(&times)
            .map(|(fragment, (times_ms, clock_ms))| Appended {
                sequencer: fragment.sequencer,
                ids: &fragment.ids,
                times_ms,
                clock_ms: *clock_ms,
            })
            .collect();
        let reaching = self.fair.would_reach_edge(&appended, &list);
        let expiries: BTreeMap<BundleId, Height> =
            reaching.into_iter().map(|id| (id, self.expiry(&id))).collect();
        let step = Step {
            height: block.height,
            seed: block.seed,
            phase: Phase::Ordering,
            appended: &appended,
            list: &list,
            expiries: &expiries,
        };
        let refused = |error| format!("block {}: {error}", block.height);
        let output = self.fair.apply(&step).map_err(refused)?;
        self.note_proposed(block.height.get());
        for cohort in &output.emission.cohorts {
            for entry in cohort {
                let height = block.height.get();
                let at_once = (height, self.counts.get(&entry.id).copied().unwrap_or(0));
                let (proposed, logs) = self.proposed.get(&entry.id).copied().unwrap_or(at_once);
                let (id, cohort) = (entry.id, self.cohorts);
                self.order.places.push(Place { id, height, cohort, proposed, logs });
            }
            self.cohorts += 1;
        }
        self.order.deferred += u64::from(!self.fair.pending().is_empty());
        Ok(())
    }

    /// Whatever this block proposed.
    fn note_proposed(&mut self, height: u64) {
        let is_proposed = |id: &BundleId| {
            matches!(self.fair.status(id), Status::Proposed { .. } | Status::Emitted { .. })
        };
        let (proposed, unproposed) = self.unproposed.iter().partition(|id| is_proposed(id));
        self.unproposed = unproposed;
        let proposed: BTreeSet<BundleId> = proposed;
        for id in proposed {
            let logs = self.counts.get(&id).copied().unwrap_or(0);
            self.proposed.insert(id, (height, logs));
        }
    }

    /// When the entries of a fragment were received, as its sequencer would say it in mode `median`, and
    /// its clock at the end. An id of which its disk has no time was received when the head was signed.
    fn times_ms(&mut self, fragment: &Fragment) -> (Vec<u64>, u64) {
        let at = fragment.sequencer.position();
        let mut clock = self.clocks[at];
        let head = fragment.time_ms.max(clock);
        let times = fragment.ids.iter().map(|id| {
            let received = self.received[at].get(id).copied().unwrap_or(head);
            clock = received.min(head).max(clock);
            clock
        });
        let times = times.collect();
        self.clocks[at] = head;
        (times, head)
    }

    /// What the leader of a block would emit.
    fn list(&self, block: &FinalBlock) -> Vec<BundleId> {
        let settled = |id: &BundleId| {
            matches!(self.fair.status(id), Status::Emitted { .. } | Status::Forgotten)
        };
        let real =
            |id: &BundleId| self.record.expiries.get(id).is_some_and(|last| *last >= block.height);
        let log = self.logs[block.leader].iter().copied();
        log.filter(|id| real(id) && !settled(id)).collect()
    }

    /// Bundles of which nobody knows a window are not limited by one.
    fn expiry(&self, id: &BundleId) -> Height {
        self.record.expiries.get(id).copied().unwrap_or(Height::MAX)
    }
}
