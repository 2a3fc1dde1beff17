//! What is checked before a block changes anything.

use std::collections::BTreeSet;

use fairveil_crypto::{BundleId, Height};

use crate::{
    order::FairOrder,
    step::{Appended, Mode, OrderError, Step},
};

impl FairOrder {
    /// Ids that these entries lift into T logs (or that the list names) and whose expiry is not
    /// known yet, in the order of ids. Their bundles must be held before the step is applied.
    pub fn would_reach_edge(&self, appended: &[Appended<'_>], list: &[BundleId]) -> Vec<BundleId> {
        let edge = usize::from(self.thresholds().edge);
        let named = appended.iter().flat_map(|log| log.ids);
        let mut named: Vec<(u64, &BundleId)> = named.map(|id| (first_bytes(id), id)).collect();
        named.sort_unstable();
        let votes = named.chunk_by(|a, b| a == b).map(|same| (*same[0].1, same.len()));
        let listed: BTreeSet<BundleId> = list.iter().copied().collect();
        let reaches = |id: &BundleId, more: usize| {
            let live = self.live.get(id);
            self.settled.get(id).is_none()
                && live.is_none_or(|live| live.expires_at.is_none())
                && live.map_or(0, |live| usize::from(live.count)) + more >= edge
        };
        let lifted = votes.filter(|(id, more)| !listed.contains(id) && reaches(id, *more));
        let mut ids: Vec<BundleId> = lifted.map(|(id, _)| id).collect();
        ids.extend(listed.iter().filter(|id| reaches(id, edge)));
        ids.sort_unstable();
        ids
    }

    /// Whether entries and list are acceptable at this height. Expiries are not asked for.
    pub fn validate(
        &self,
        height: Height,
        appended: &[Appended<'_>],
        list: &[BundleId],
    ) -> Result<(), OrderError> {
        let expected = self.height.next();
        if height != expected {
            return Err(OrderError::Height { expected, actual: height });
        }
        let mut seen = BTreeSet::new();
        for log in appended {
            let sequencer = log.sequencer;
            if sequencer.get() > self.committee.n() {
                return Err(OrderError::UnknownSequencer { sequencer, n: self.committee.n() });
            }
            if !seen.insert(sequencer) {
                return Err(OrderError::DuplicateSequencer { sequencer });
            }
            self.check_log(log)?;
            self.check_times(log)?;
        }
        self.check_list(list)
    }

    pub(super) fn check(&self, step: &Step<'_>) -> Result<(), OrderError> {
        self.validate(step.height, step.appended, step.list)?;
        let unknown = self.would_reach_edge(step.appended, step.list);
        if let Some(id) = unknown.into_iter().find(|id| !step.expiries.contains_key(id)) {
            return Err(OrderError::MissingExpiry { id });
        }
        let closed = |id: &BundleId| self.expiry(id, step.expiries) < Some(step.height);
        match step.list.iter().find(|id| closed(id)) {
            Some(id) => Err(OrderError::ListedExpired { id: *id, height: step.height }),
            None => Ok(()),
        }
    }

    fn check_log(&self, log: &Appended<'_>) -> Result<(), OrderError> {
        let sequencer = log.sequencer;
        let (actual, limit) = (self.below_edge(sequencer), self.rules.bounds.below_edge);
        if actual > limit && !log.ids.is_empty() {
            return Err(OrderError::LogFull { sequencer, actual, limit });
        }
        let before = |id: &&BundleId| {
            self.live.get(id).is_some_and(|live| live.is_in(sequencer))
                || self.settled.get(id).is_some_and(|settled| settled.logs.contains(sequencer))
        };
        match repeated(log.ids).or_else(|| log.ids.iter().find(before).copied()) {
            Some(id) => Err(OrderError::RepeatedId { sequencer, id }),
            None => Ok(()),
        }
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
    let mut firsts: Vec<u64> = ids.iter().map(first_bytes).collect();
    firsts.sort_unstable();
    if firsts.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    let mut seen = BTreeSet::new();
    ids.iter().find(|id| !seen.insert(**id)).copied()
}

/// What decides the order of two ids nearly always.
fn first_bytes(id: &BundleId) -> u64 {
    id.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
