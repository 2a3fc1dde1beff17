//! APPLY: the fair order of one epoch as a pure state machine over log entries.
//!
//! Knows nothing of signatures and heads (`state` does). Its input per block are the ids that
//! some logs grew by; its output are cohorts.
//!
//! ```text
//! append;  UPDATE every pending proposal, oldest first;  PROPOSE;  DRAIN;  forget
//! ```
//!
//! 1. A block that is refused changes nothing.
//! 2. The result does not depend on the order of sequencers within a block.
//! 3. An id is emitted at most once: it is remembered until its window has passed.
//! 4. Proposals leave strictly in order; an incomplete one blocks later ones.
//! 5. An id whose window closed while it was pending keeps its place, as `Expired`.
//! 6. An id below T for 1,024 heights is forgotten and never proposed; it stays remembered as
//!    forgotten for as long as a window can be, so that an honest log that contains it never
//!    votes as if it did not. So is an unproposed id whose window has closed.
//! 7. A clone shares everything with its original; a block costs what it touches.
//!
//! Mode `themis` differs in LINEARIZE alone ([`crate::linearize`]), mode `median` replaces UPDATE,
//! PROPOSE and DRAIN ([`median`]). Mode `leader` is the control: a block emits exactly the ids of its list, each in a cohort of
//! its own, whatever the logs say. It promises nothing but that an id is emitted at most once.

mod checks;
mod median;
mod queries;
mod votes;

pub(crate) use checks::repeated;
use votes::{Vote, Votes};

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fairveil_crypto::{
    BundleId, Digest, Height, SequencerIndex,
    certificate::{Emission, Emitted, Placement},
    domain::{Tag, hash},
    encoding::encode,
};

use crate::{
    bits::Bits,
    committee::{Committee, Thresholds},
    linearize::{Cohorts, Priorities, linearize},
    proposal::{Entry, Proposal, Rest},
    record::{Live, LogSet, Outcome, Settled, Validity},
    rules::{Closed, Drain, Edge, Expired, GRACE_HEIGHTS, Last, MAX_WINDOW_HEIGHTS, Rules},
    step::{Mode, OrderError, Output, Phase, Step},
    tree::Tree,
};

/// The fair order so far, and everything its continuation depends on.
#[derive(Clone, Debug)]
pub struct FairOrder {
    pub(crate) committee: Committee,
    pub(crate) mode: Mode,
    pub(crate) rules: Rules,
    pub(crate) height: Height,
    pub(crate) lengths: Vec<u64>,
    /// By log the latest time that its heads said; empty but in mode `median`.
    pub(crate) clocks: Vec<u64>,
    pub(crate) live: Tree<Live>,
    pub(crate) settled: Tree<Settled>,
    pub(crate) pending: VecDeque<Proposal>,
    pub(crate) proposals: u64,
    /// By log: its live ids below T. Follows from `live`.
    pub(crate) below_edge: Vec<u32>,
    /// Ids by the height of their first appearance. Follows from `live`, but for ids that have
    /// risen above T since.
    pub(crate) arrivals: BTreeMap<Height, Arc<Vec<BundleId>>>,
}

/// What was known of an id that is live no longer.
#[derive(Default)]
struct Taken {
    logs: LogSet,
    expires_at: Option<Height>,
}

impl FairOrder {
    /// Empty logs, before the block of height `height` + 1.
    pub fn new(committee: Committee, mode: Mode, height: Height) -> Self {
        Self::with_rules(committee, mode, height, Rules::NORMATIVE)
    }

    /// As [`Self::new`], for logs from a file: nothing is forgotten, no log is too long.
    pub fn unbounded(committee: Committee, mode: Mode) -> Self {
        Self::with_rules(committee, mode, Height::ZERO, Rules::UNBOUNDED)
    }

    pub(crate) fn with_rules(
        committee: Committee,
        mode: Mode,
        height: Height,
        rules: Rules,
    ) -> Self {
        let n = usize::from(committee.n());
        Self {
            committee,
            mode,
            rules,
            height,
            lengths: vec![0; n],
            clocks: if mode == Mode::Median { vec![0; n] } else { Vec::new() },
            live: Tree::new(),
            settled: Tree::new(),
            pending: VecDeque::new(),
            proposals: 0,
            below_edge: vec![0; n],
            arrivals: BTreeMap::new(),
        }
    }

    /// Applies one block, or refuses it and changes nothing.
    pub fn apply(&mut self, step: &Step<'_>) -> Result<Output, OrderError> {
        let votes = Votes::new(step.appended);
        self.check(step, &votes)?;
        self.height = step.height;
        let reached_edge = self.append(step, &votes);
        let cohorts = match self.mode {
            Mode::Strict | Mode::Themis => self.order(step),
            Mode::Median => self.by_median(step),
            Mode::Leader => self.emit_list(step),
        };
        self.forget(step.height);
        let emission = Emission { height: step.height, cohorts };
        Ok(Output { emission, reached_edge })
    }

    /// New logs of a new committee; what is settled stays settled.
    pub(crate) fn next_epoch(&self, committee: Committee) -> Self {
        let mut next = Self::with_rules(committee, self.mode, self.height, self.rules);
        next.proposals = self.proposals;
        for (id, settled) in self.settled.iter() {
            next.settled.insert(*id, Settled { logs: LogSet::default(), ..*settled });
        }
        next
    }

    /// Digest of everything that the continuation depends on.
    pub fn digest(&self) -> Digest {
        let mut head =
            encode(&(self.committee, self.mode, self.height, &self.lengths, self.proposals));
        self.clocks.iter().for_each(|clock_ms| head.extend(clock_ms.to_be_bytes()));
        let pending: Vec<u8> =
            self.pending.iter().flat_map(|proposal| proposal.digest().to_bytes()).collect();
        let (live, settled) = (self.live.digest(), self.settled.digest());
        hash(Tag::OrderState, &[&head, live.as_bytes(), settled.as_bytes(), &pending])
    }

    pub(crate) fn thresholds(&self) -> Thresholds {
        let Thresholds { edge, solid } = self.committee.thresholds();
        match self.rules.edge {
            Edge::Enough => Thresholds { edge, solid },
            #[cfg(test)]
            Edge::OneMore => Thresholds { edge: edge + 1, solid },
        }
    }

    pub(super) fn expiry(
        &self,
        id: &BundleId,
        told: &BTreeMap<BundleId, Height>,
    ) -> Option<Height> {
        let known = self.live.get(id).and_then(|live| live.expires_at);
        known.or_else(|| told.get(id).copied())
    }

    /// Returns the ids that reached T, in the order of ids.
    fn append(&mut self, step: &Step<'_>, votes: &Votes<'_>) -> Vec<BundleId> {
        let (mut reached, mut arrived) = (Vec::new(), Vec::new());
        for vote in votes.iter() {
            if let Some(settled) = self.settled.get_mut(vote.id) {
                vote.entries().for_each(|(log, _)| settled.logs.insert(log.sequencer));
                continue;
            }
            if self.live.get(vote.id).is_none() {
                self.live.insert(*vote.id, Live::new(self.committee.n(), step.height));
                arrived.push(*vote.id);
            }
            if self.count_vote(vote, step) {
                reached.push(*vote.id);
            }
        }
        for log in step.appended {
            self.lengths[log.sequencer.position()] += log.ids.len() as u64;
            if let Some(clock_ms) = self.clocks.get_mut(log.sequencer.position()) {
                *clock_ms = log.clock_ms;
            }
        }
        if !arrived.is_empty() {
            self.arrivals.insert(step.height, Arc::new(arrived));
        }
        reached
    }

    /// Records a live id in the logs that name it; whether that lifted it to T.
    fn count_vote(&mut self, vote: Vote<'_, '_>, step: &Step<'_>) -> bool {
        let edge = self.thresholds().edge;
        let Some(live) = self.live.get_mut(vote.id) else {
            return false;
        };
        match self.rules.closed {
            Closed::Append => {}
            #[cfg(test)]
            Closed::Refuse => {
                if live.expires_at.is_some_and(|expires_at| expires_at < step.height) {
                    return false;
                }
            }
        }
        let was_below = live.count < edge;
        let before = if was_below { live.logs() } else { LogSet::default() };
        for (log, at) in vote.entries() {
            let log_at = log.sequencer.position();
            let time_ms = log.times_ms.get(at).copied();
            live.positions[log_at] = time_ms.unwrap_or(self.lengths[log_at] + at as u64);
            live.count += 1;
        }
        if live.count < edge {
            for (log, _) in vote.entries() {
                self.below_edge[log.sequencer.position()] += 1;
            }
            return false;
        }
        if live.expires_at.is_none() {
            live.expires_at = step.expiries.get(vote.id).copied();
        }
        if was_below {
            self.uncount(before);
        }
        was_below
    }

    /// Takes one id off the counters of these logs.
    fn uncount(&mut self, logs: LogSet) {
        for sequencer in SequencerIndex::all(self.committee.n()) {
            if logs.contains(sequencer) {
                self.below_edge[sequencer.position()] -= 1;
            }
        }
    }

    fn order(&mut self, step: &Step<'_>) -> Vec<Vec<Emitted>> {
        let thresholds = self.thresholds();
        for proposal in &mut self.pending {
            proposal.update(&self.live, thresholds, &step.seed);
        }
        if step.phase == Phase::Ordering {
            self.propose(step);
        }
        self.drain(step)
    }

    fn propose(&mut self, step: &Step<'_>) {
        let unproposed = self.live.iter().filter(|(_, live)| live.proposal.is_none());
        let eligible: Vec<Entry<'_>> = unproposed
            .filter(|(_, live)| live.expires_at.is_none_or(|last| last >= step.height))
            .map(|(id, live)| (*id, live))
            .collect();
        let (thresholds, seed) = (self.thresholds(), &step.seed);
        let Some(proposal) =
            Proposal::new(self.proposals, &eligible, thresholds, &self.rules, seed)
        else {
            return;
        };
        for id in proposal.ids() {
            if let Some(live) = self.live.get_mut(id) {
                live.proposal = Some(self.proposals);
            }
        }
        self.proposals += 1;
        self.pending.push_back(proposal);
    }

    fn drain(&mut self, step: &Step<'_>) -> Vec<Vec<Emitted>> {
        let mut cohorts = Vec::new();
        let mut index = 0;
        let mut kept = VecDeque::new();
        while let Some(mut proposal) = self.pending.pop_front() {
            let leaving = proposal.leaving();
            let among = match self.rules.expired {
                Expired::KeepPlace => leaving.vertices.clone(),
                #[cfg(test)]
                Expired::Remove => self.without_expired(&proposal, &leaving.vertices, step.height),
            };
            let kind = match (self.mode, leaving.rest) {
                (Mode::Themis, Rest::Nothing) => Cohorts::LastOfTournament,
                (Mode::Themis, Rest::Undecided) => Cohorts::Tournament,
                _ => Cohorts::Strict,
            };
            for cohort in self.cohorts(&proposal, &among, &step.seed, kind) {
                let ids = cohort.into_iter().map(|vertex| proposal.ids()[vertex]);
                let place = |id| self.emit(id, step, &mut index);
                cohorts.push(ids.map(place).collect());
            }
            proposal.mark_emitted(&leaving.vertices);
            if leaving.rest == Rest::Nothing {
                continue;
            }
            kept.push_back(proposal);
            match self.rules.drain {
                Drain::InOrder => break,
                #[cfg(test)]
                Drain::Overtake => {}
            }
        }
        kept.append(&mut self.pending);
        self.pending = kept;
        cohorts
    }

    fn cohorts(
        &self,
        proposal: &Proposal,
        among: &Bits,
        seed: &Digest,
        cohorts: Cohorts,
    ) -> Vec<Vec<usize>> {
        if among.is_empty() {
            return Vec::new();
        }
        let solid = match self.rules.last {
            Last::SolidWhenProposed => proposal.solid().clone(),
            #[cfg(test)]
            Last::SolidByNow => {
                let mut solid = Bits::empty(proposal.ids().len());
                for (vertex, id) in proposal.ids().iter().enumerate() {
                    let count = self.live.get(id).map_or(0, |live| live.count);
                    if count >= self.thresholds().solid {
                        solid.insert(vertex);
                    }
                }
                solid
            }
        };
        let keys = proposal.keys(seed);
        let priorities = Priorities {
            medians: proposal.medians(),
            keys: &keys,
            solid: &solid,
            members: self.rules.members,
            cohorts,
        };
        linearize(proposal.graph(), among, &priorities)
    }

    /// The mistake of CE6: expired vertices are dropped before LINEARIZE.
    #[cfg(test)]
    fn without_expired(&mut self, proposal: &Proposal, leaving: &Bits, height: Height) -> Bits {
        let mut among = leaving.clone();
        for vertex in leaving.iter() {
            let id = proposal.ids()[vertex];
            let expiry = self.live.get(&id).and_then(|live| live.expires_at);
            if expiry.is_some_and(|last| last < height) {
                among.remove(vertex);
                self.settle_forgotten(&id, height);
            }
        }
        among
    }

    fn emit_list(&mut self, step: &Step<'_>) -> Vec<Vec<Emitted>> {
        let mut index = 0;
        step.list.iter().map(|id| vec![self.emit(*id, step, &mut index)]).collect()
    }

    /// Settles an id at the next index of this block.
    fn emit(&mut self, id: BundleId, step: &Step<'_>, index: &mut u32) -> Emitted {
        let live = self.take_live(&id);
        let expires_at = live.expires_at.or_else(|| step.expiries.get(&id).copied());
        let expires_at = expires_at.unwrap_or(step.height);
        let (validity, placement) = if expires_at >= step.height {
            (Validity::Open, Placement::Open)
        } else {
            (Validity::Expired, Placement::Expired)
        };
        let until = expires_at.max(step.height).saturating_add(GRACE_HEIGHTS);
        let outcome = Outcome::Emitted { height: step.height, index: *index, validity };
        self.settled.insert(id, Settled { logs: live.logs, until, outcome });
        *index += 1;
        Emitted { id, placement }
    }

    /// Removes a live id.
    fn take_live(&mut self, id: &BundleId) -> Taken {
        let Some(live) = self.live.get(id) else {
            return Taken::default();
        };
        let taken = Taken { logs: live.logs(), expires_at: live.expires_at };
        if live.count < self.thresholds().edge {
            self.uncount(taken.logs);
        }
        self.live.remove(id);
        taken
    }

    fn settle_forgotten(&mut self, id: &BundleId, height: Height) {
        let Taken { logs, .. } = self.take_live(id);
        let until = height.saturating_add(MAX_WINDOW_HEIGHTS + GRACE_HEIGHTS);
        self.settled.insert(*id, Settled { logs, until, outcome: Outcome::Forgotten });
    }

    /// Forgets what stayed below T for too long or closed before it was proposed, and lets go
    /// what was settled long ago: of the settled ids one part in 256 is visited per block.
    fn forget(&mut self, height: Height) {
        let edge = self.thresholds().edge;
        while let Some(first) = self.arrivals.first_entry() {
            if first.key().saturating_add(self.rules.bounds.forget_heights) > height {
                break;
            }
            let (arrived, ids) = first.remove_entry();
            for id in ids.iter() {
                let same = |live: &Live| live.count < edge && live.first_height == arrived;
                if self.live.get(id).is_some_and(same) {
                    self.settle_forgotten(id, height);
                }
            }
        }
        let closed = |live: &Live| {
            live.proposal.is_none() && live.expires_at.is_some_and(|last| last < height)
        };
        let closed = self.live.iter().filter(|(_, live)| closed(live)).map(|(id, _)| *id);
        for id in closed.collect::<Vec<_>>() {
            self.settle_forgotten(&id, height);
        }
        let part = (height.get() % 256) as u8;
        let passed =
            self.settled.beginning_with([part]).filter(|(_, settled)| settled.until < height);
        let passed: Vec<BundleId> = passed.map(|(id, _)| *id).collect();
        for id in passed {
            self.settled.remove(&id);
        }
    }
}
