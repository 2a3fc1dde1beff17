//! Rules 7 and 8: what the fair order promises about any two bundles, and about one.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::BundleId;
use fairveil_crypto::certificate::Placement;

use super::{Case, View, shows_another_log};

impl Case<'_> {
    /// Rule 7. The premise: no honest order log has `late` before `early`, where a log that has
    /// `early` not at all has it after everything.
    pub(super) fn fairness(&mut self) {
        let epochs = self.given.keys.terms().into_iter().map(|term| term.committee.epoch().get());
        let (mut wrong, mut pairs) = (Vec::new(), 0);
        for epoch in epochs {
            pairs += self.fairness_in(epoch, &mut wrong);
        }
        self.counts.insert("premise_pairs".into(), pairs);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// The same for what was ordered in one epoch, by the logs of its members.
    fn fairness_in(&self, epoch: u64, wrong: &mut Vec<String>) -> u64 {
        let logs = |view: &View| positions(view, epoch);
        let honest: Vec<Positions> = self.honest.iter().filter_map(logs).collect();
        let liars = self.adversaries.iter().map(|view| {
            let shown = !shows_another_log(self.given.plan.behaviour(view.position));
            (logs(view), shown)
        });
        let liars: Vec<(Option<Positions>, bool)> = liars.collect();
        let of_epoch = |height: &u64| {
            self.headers.get(height).is_some_and(|(_, header)| header.epoch.get() == epoch)
        };
        let spots = self.spots.iter().filter(|(_, (spot, _))| of_epoch(&spot.height));
        let ids: Vec<BundleId> = spots.map(|(id, _)| *id).collect();
        let mut pairs = 0;
        for early in &ids {
            for late in ids.iter().filter(|late| *late != early) {
                if !honest.iter().all(|log| first(log, early, late)) {
                    continue;
                }
                // With g = 0 an inversion takes a faulty log that has it the other way round; with
                // one, `late` may come first if few had it when it was proposed.
                let lies = |(log, shown): &(Option<Positions>, bool)| {
                    log.as_ref().is_some_and(|log| !(*shown && first(log, early, late)))
                };
                let lied = self.given.plan.g > 0 || liars.iter().any(lies);
                let ((one, _), (other, _)) = (self.spots[early], self.spots[late]);
                let inverted = (other.height, other.cohort) < (one.height, one.cohort);
                pairs += 1;
                if inverted && !(lied && self.was_rare(late, early, &honest)) {
                    wrong.push(format!(
                        "{late} at height {}.{} is before {early} at height {}.{}, against all \
                         honest logs",
                        other.height, other.cohort, one.height, one.cohort
                    ));
                }
            }
        }
        pairs
    }

    /// Traders' bundles that share a cohort with some that no trader sealed.
    pub(super) fn trapped(&self) -> u64 {
        let sealed: BTreeSet<BundleId> =
            self.given.submissions.iter().map(|submission| submission.id).collect();
        let cohorts = self.emissions.values().flat_map(|emission| &emission.cohorts);
        let trapped = cohorts.map(|cohort| {
            let ours = cohort.iter().filter(|entry| sealed.contains(&entry.id)).count();
            if ours < cohort.len() { ours as u64 } else { 0 }
        });
        trapped.sum()
    }

    /// Whether the exception of part (2) of the promise may have applied: `late` was proposed while
    /// at most 2(g+f) logs had it, in an earlier proposal. Two proposals that leave in one block look
    /// like one from here; then at least part (3) holds, each step from `late` to `early` has more than
    /// g honest supporters.
    fn was_rare(&self, late: &BundleId, early: &BundleId, honest: &[Positions]) -> bool {
        let (earlier, later) = (self.spots[late].0.height, self.spots[early].0.height);
        if earlier < later {
            return true;
        }
        let Some(emission) = self.emissions.get(&later) else { return false };
        let ids: Vec<BundleId> = emission.ids().map(|entry| entry.id).collect();
        let from = ids.iter().position(|id| id == late);
        let to = ids.iter().position(|id| id == early);
        let (Some(from), Some(to)) = (from, to) else { return false };
        ids[from..=to].windows(2).all(|pair| {
            let supporters = honest.iter().filter(|log| first(log, &pair[0], &pair[1])).count();
            supporters > usize::from(self.given.plan.g)
        })
    }

    /// Rule 8, from the traders' own knowledge of what they sealed.
    pub(super) fn windows_and_nonces(&mut self) {
        let mut wrong = Vec::new();
        let known: BTreeMap<BundleId, (([u8; 20], u64), u64)> = self
            .given
            .submissions
            .iter()
            .map(|submission| (submission.id, (submission.nonce, submission.expires_at)))
            .collect();
        let mut used = BTreeMap::new();
        for (height, emission) in &self.emissions {
            for entry in emission.ids() {
                let Some((nonce, expires_at)) = known.get(&entry.id) else { continue };
                let first = *used.entry(*nonce).or_insert(entry.id) == entry.id;
                let right = match (*height > *expires_at, first) {
                    (true, _) => Placement::Expired,
                    (false, false) => Placement::NonceUsed,
                    (false, true) => Placement::Open,
                };
                if entry.placement != right {
                    let (id, found) = (entry.id, entry.placement);
                    wrong.push(format!("{id} at height {height} is {found:?}, not {right:?}"));
                }
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }
}

type Positions = BTreeMap<BundleId, usize>;

/// Where ids stand in its log of this epoch, if it had one.
fn positions(view: &View, epoch: u64) -> Option<Positions> {
    let log = view.logs.get(&epoch)?;
    Some(log.iter().enumerate().map(|(position, id)| (*id, position)).collect())
}

/// Whether this log has `early` before `late`, or neither.
fn first(log: &Positions, early: &BundleId, late: &BundleId) -> bool {
    match (log.get(early), log.get(late)) {
        (Some(early), Some(late)) => early < late,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => false,
    }
}
