//! What is checked before a block changes anything.

use std::collections::BTreeSet;

use fairveil_crypto::{BundleId, Height};

use crate::{
    order::{FairOrder, votes::Votes},
    step::{Appended, Mode, OrderError, Step},
    tree::first_bytes,
};

impl FairOrder {
    /// Ids that these entries lift into T logs (or that the list names) and whose expiry is not
    /// known yet, in the order of ids. Their bundles must be held before the step is applied.
    pub fn would_reach_edge(&self, appended: &[Appended<'_>], list: &[BundleId]) -> Vec<BundleId> {
        self.reaching(&Votes::new(appended), list)
    }

    fn reaching(&self, votes: &Votes<'_>, list: &[BundleId]) -> Vec<BundleId> {
        let edge = usize::from(self.thresholds().edge);
        let listed: BTreeSet<BundleId> = list.iter().copied().collect();
        let reaches = |id: &BundleId, more: usize| match self.live.get(id) {
            Some(live) => live.expires_at.is_none() && usize::from(live.count) + more >= edge,
            None => more >= edge && self.settled.get(id).is_none(),
        };
        let unlisted = votes.iter().filter(|vote| !listed.contains(vote.id));
        let lifted = unlisted.filter(|vote| reaches(vote.id, vote.len()));
        let mut ids: Vec<BundleId> = lifted.map(|vote| *vote.id).collect();
        if !listed.is_empty() {
            ids.extend(listed.iter().filter(|id| reaches(id, edge)));
            ids.sort_unstable();
        }
        ids
    }

    /// Whether entries and list are acceptable at this height. Expiries are not asked for.
    pub fn validate(
        &self,
        height: Height,
        appended: &[Appended<'_>],
        list: &[BundleId],
    ) -> Result<(), OrderError> {
        self.validate_votes(height, &Votes::new(appended), list)
    }

    fn validate_votes(
        &self,
        height: Height,
        votes: &Votes<'_>,
        list: &[BundleId],
    ) -> Result<(), OrderError> {
        let expected = self.height.next();
        if height != expected {
            return Err(OrderError::Height { expected, actual: height });
        }
        let mut seen = BTreeSet::new();
        for log in votes.logs() {
            let sequencer = log.sequencer;
            if sequencer.get() > self.committee.n() {
                return Err(OrderError::UnknownSequencer { sequencer, n: self.committee.n() });
            }
            if !seen.insert(sequencer) {
                return Err(OrderError::DuplicateSequencer { sequencer });
            }
            self.check_room(log)?;
            self.check_times(log)?;
        }
        self.check_repeated(votes)?;
        self.check_list(list)
    }

    pub(super) fn check(&self, step: &Step<'_>, votes: &Votes<'_>) -> Result<(), OrderError> {
        self.validate_votes(step.height, votes, step.list)?;
        let unknown = self.reaching(votes, step.list);
        if let Some(id) = unknown.into_iter().find(|id| !step.expiries.contains_key(id)) {
            return Err(OrderError::MissingExpiry { id });
        }
        let closed = |id: &BundleId| self.expiry(id, step.expiries) < Some(step.height);
        match step.list.iter().find(|id| closed(id)) {
            Some(id) => Err(OrderError::ListedExpired { id: *id, height: step.height }),
            None => Ok(()),
        }
    }

    fn check_room(&self, log: &Appended<'_>) -> Result<(), OrderError> {
        let sequencer = log.sequencer;
        let (actual, limit) = (self.below_edge(sequencer), self.rules.bounds.below_edge);
        if actual > limit && !log.ids.is_empty() {
            return Err(OrderError::LogFull { sequencer, actual, limit });
        }
        Ok(())
    }

    /// Names the first entry, in the order of the block, that its log holds already.
    fn check_repeated(&self, votes: &Votes<'_>) -> Result<(), OrderError> {
        let repeated = votes.iter().filter_map(|vote| match self.live.get(vote.id) {
            Some(live) => vote.repeated(|log| live.is_in(log)),
            None => match self.settled.get(vote.id) {
                Some(settled) => vote.repeated(|log| settled.logs.contains(log)),
                None => vote.repeated(|_| false),
            },
        });
        let Some(place) = repeated.min() else { return Ok(()) };
        let (sequencer, id) = votes.entry(place);
        Err(OrderError::RepeatedId { sequencer, id })
    }

    fn check_times(&self, log: &Appended<'_>) -> Result<(), OrderError> {
        let sequencer = log.sequencer;
        let expected = if self.mode == Mode::Median { log.ids.len() } else { 0 };
        let actual = log.times_ms.len();
        if actual != expected {
            return Err(OrderError::Times { sequencer, mode: self.mode.name(), expected, actual });
        }
        let Some(clock_ms) = self.clocks.get(sequencer.position()) else {
            return Ok(());
        };
        let mut previous = *clock_ms;
        for actual in log.times_ms.iter().chain([&log.clock_ms]).copied() {
            if actual < previous {
                return Err(OrderError::ClockBack { sequencer, previous, actual });
            }
            previous = actual;
        }
        Ok(())
    }

    fn check_list(&self, list: &[BundleId]) -> Result<(), OrderError> {
        if self.mode != Mode::Leader && !list.is_empty() {
            let mode = self.mode.name();
            return Err(OrderError::UnexpectedList { mode, actual: list.len() });
        }
        let mut listed = BTreeSet::new();
        for id in list {
            if self.settled.get(id).is_some() || !listed.insert(id) {
                return Err(OrderError::ListedTwice { id: *id });
            }
        }
        Ok(())
    }
}

/// An id that stands there twice.
pub(crate) fn repeated(ids: &[BundleId]) -> Option<BundleId> {
    let mut firsts: Vec<u64> = ids.iter().map(|id| first_bytes(id.as_bytes())).collect();
    firsts.sort_unstable();
    if firsts.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    let mut seen = BTreeSet::new();
    ids.iter().find(|id| !seen.insert(**id)).copied()
}
