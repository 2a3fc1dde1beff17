//! Rule 15: what is announced holds from its height on, for every bundle and every release.

use std::collections::BTreeSet;

use fairveil_release::tree::Outcome;

use super::Case;
use crate::committee::plan::Kind;
use crate::committee::traders::Submission;

impl Case<'_> {
    /// Rule 15, as far as releases show it: a batch for each rollup of their height, none for others,
    /// nothing where one is paused, and the registry's digest.
    pub(super) fn changes(&mut self) {
        if self.given.plan.kind != Kind::Rollups {
            return;
        }
        let longest = self.honest.iter().max_by_key(|view| view.releases.len());
        let Some(view) = longest else { return };
        let mut wrong = Vec::new();
        for (height, (_, release)) in &view.releases {
            let registry = self.history.at(*height);
            if release.header.registry != registry.digest() {
                wrong.push(format!("the release of height {height} names other rollups"));
            }
            if release.header.slot.is_some() {
                let batches: Vec<u64> =
                    release.batches.iter().map(|batch| batch.chain_id).collect();
                if batches != registry.chain_ids() {
                    wrong.push(format!("the release of height {height} is for {batches:?}"));
                }
            }
            for rollup in registry.rollups().iter().filter(|rollup| rollup.paused) {
                let chain_id = rollup.chain_id;
                if release.batch(chain_id).is_some_and(|batch| !batch.is_empty()) {
                    wrong.push(format!("paused rollup {chain_id} got something at {height}"));
                }
            }
        }
        self.counts.insert("changes".into(), self.given.changes.len() as u64);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// The code with which a bundle must fail for a rollup that it names: none if all of them take it,
    /// or if it did not end.
    pub(super) fn refused(&self, submission: &Submission) -> Option<&'static str> {
        let (spot, _) = self.spots.get(&submission.id)?;
        let (ended, outcome) = self.outcomes.get(&submission.id)?;
        if *outcome == Outcome::Expired {
            return None;
        }
        let chains: BTreeSet<u64> = submission.legs.keys().copied().collect();
        let (code, at_once) = self.history.refused(&chains, spot.height, *ended)?;
        // One that should have failed when it was ordered and waited is wrong, whatever came of it.
        let waited = at_once && *ended != spot.height;
        Some(if waited { "what it was when it was ordered" } else { code })
    }
}
