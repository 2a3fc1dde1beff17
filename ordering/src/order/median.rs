//! Mode `median`: ids by the median of when sequencers say that they received them.
//!
//! The rule of Pompē (Zhang et al., OSDI 2020, section 4), on the logs that every mode has. Each
//! entry carries the time at which its sequencer received it, signed with the log.
//!
//! 1. An id is *stamped* in the block that lifts it into n - f logs or more: with the lower median
//!    of the times that stand there. A stamp never changes.
//! 2. Stamped ids leave in the order of (stamp, key), each a cohort of its own, once no id can be
//!    stamped earlier: a log that lacks an id will say no earlier time than its last head did.
//! 3. Times of a log never descend, over all its heads.
//!
//! A baseline: at least one of the times around a stamp is honest, so a stamp lies between two
//! honest receive times, and that is all that is promised. Who moves one time across the median
//! moves the id, and the order of two ids may contradict all honest sequencers but one.

use fairveil_crypto::{BundleId, Digest, certificate::Emitted};

use crate::{
    order::FairOrder,
    proposal::keys,
    record::{ABSENT, Live},
    step::{Phase, Step},
};

impl FairOrder {
    /// Stamps what stands in enough logs, and emits what nothing can come before any more.
    pub(super) fn by_median(&mut self, step: &Step<'_>) -> Vec<Vec<Emitted>> {
        if step.phase == Phase::Ordering {
            self.stamp(step);
        }
        let earliest = match step.phase {
            Phase::Ordering => self.earliest_to_come(step),
            // Nothing is stamped any more.
            Phase::Draining => u64::MAX,
        };
        let stamped = self.live.iter().filter_map(|(id, live)| Some((live.proposal?, *id)));
        let (times, ids): (Vec<u64>, Vec<BundleId>) =
            stamped.filter(|(time_ms, _)| *time_ms < earliest).unzip();
        let keys = keys(&step.seed, &ids);
        let mut due: Vec<(u64, Digest, BundleId)> = times
            .into_iter()
            .zip(keys)
            .zip(ids)
            .map(|((time_ms, key), id)| (time_ms, key, id))
            .collect();
        due.sort_unstable();
        let mut index = 0;
        due.into_iter().map(|(_, _, id)| vec![self.emit(id, step, &mut index)]).collect()
    }

    /// Ids that wait for their place, in the order of (stamp, id).
    pub(super) fn stamped(&self) -> Vec<BundleId> {
        let stamped = self.live.iter().filter_map(|(id, live)| Some((live.proposal?, *id)));
        let mut stamped: Vec<(u64, BundleId)> = stamped.collect();
        stamped.sort_unstable();
        stamped.into_iter().map(|(_, id)| id).collect()
    }

    fn stamp(&mut self, step: &Step<'_>) {
        let enough = |live: &Live| {
            live.proposal.is_none()
                && live.count >= self.committee.quorum()
                && live.expires_at.is_none_or(|last| last >= step.height)
        };
        let ripe = self.live.iter().filter(|(_, live)| enough(live)).map(|(id, _)| *id);
        for id in ripe.collect::<Vec<_>>() {
            if let Some(live) = self.live.get_mut(&id) {
                let present = live.positions.iter().copied().filter(|time| *time != ABSENT);
                live.proposal = lower_median(present.collect());
            }
        }
    }

    /// No id that is not stamped yet will get a smaller stamp than this.
    fn earliest_to_come(&self, step: &Step<'_>) -> u64 {
        let unseen = self.least_stamp(self.clocks.clone());
        let open = |live: &Live| {
            live.proposal.is_none() && live.expires_at.is_none_or(|last| last >= step.height)
        };
        let seen = self.live.iter().filter(|(_, live)| open(live)).map(|(_, live)| {
            let times = live.positions.iter().zip(&self.clocks);
            self.least_stamp(times.map(|(time, clock)| *time.min(clock)).collect())
        });
        seen.fold(unseen, u64::min)
    }

    /// The lower median of the n - f least of these times: adding later ones only raises it.
    fn least_stamp(&self, mut times: Vec<u64>) -> u64 {
        times.sort_unstable();
        times.truncate(self.committee.quorum().into());
        lower_median(times).unwrap_or(0)
    }
}

/// None of an empty list.
fn lower_median(mut times: Vec<u64>) -> Option<u64> {
    let middle = times.len().checked_sub(1)? / 2;
    Some(*times.select_nth_unstable(middle).1)
}
