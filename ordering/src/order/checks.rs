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
        let mut named: Vec<BundleId> = appended.iter().flat_map(|log| log.ids).copied().collect();
        named.sort_unstable();
        let votes = named.chunk_by(|a, b| a == b).map(|same| (same[0], same.len()));
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
        let mut sorted = log.ids.to_vec();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let before = |id: &&BundleId| {
            self.live.get(id).is_some_and(|live| live.is_in(sequencer))
                || self.settled.get(id).is_some_and(|settled| settled.logs.contains(sequencer))
        };
        match twice.or_else(|| log.ids.iter().find(before).copied()) {
            Some(id) => Err(OrderError::RepeatedId { sequencer, id }),
            None => Ok(()),
        }
    }

    fn check_list(&self, list: &[BundleId]) -> Result<(), OrderError> {
        if self.mode == Mode::Strict && !list.is_empty() {
            return Err(OrderError::UnexpectedList { actual: list.len() });
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
