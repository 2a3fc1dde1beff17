//! Rules 4 and 5: releases against the fair order and against what the traders sealed.

use std::collections::BTreeMap;

use fairveil_crypto::BundleId;
use fairveil_release::batch::Block;
use fairveil_release::release::Release;
use fairveil_release::tree::Outcome;

use super::{Case, View};

type Legs = BTreeMap<u64, Vec<Vec<u8>>>;

impl Case<'_> {
    /// Rules 4 and 5.
    pub(super) fn releases(&mut self) {
        let longest = self.honest.iter().max_by_key(|view| view.releases.len());
        let Some(view) = longest else { return };
        let mut wrong = Vec::new();
        let mut found: BTreeMap<BundleId, (u64, Legs)> = BTreeMap::new();
        let mut sequences: BTreeMap<u64, Vec<BundleId>> = BTreeMap::new();
        for (height, (_, release)) in &view.releases {
            wrong.extend(collect(*height, release, &mut found, &mut sequences));
        }
        let sealed: BTreeMap<BundleId, &Legs> = self
            .given
            .submissions
            .iter()
            .map(|submission| (submission.id, &submission.legs))
            .collect();
        for (id, (height, outcome)) in &self.outcomes {
            let there = found.get(id);
            match outcome {
                Outcome::Released { legs, .. } => {
                    let chains: Vec<u64> = legs.iter().map(|leg| leg.chain_id).collect();
                    let in_batches = there.map(|(_, legs)| legs.keys().copied().collect());
                    if there.map(|(at, _)| at) != Some(height) || Some(chains) != in_batches {
                        wrong.push(format!("{id} is half released"));
                    }
                    let bytes = there.map(|(_, legs)| legs);
                    if sealed.get(id).is_some_and(|sealed| Some(*sealed) != bytes) {
                        wrong.push(format!("{id} is released with other transactions"));
                    }
                }
                _ if there.is_some() => wrong.push(format!("{id} is in a batch: {outcome:?}")),
                _ => {}
            }
        }
        wrong.extend(self.subsequences(view, &found, &sequences));
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// Rule 5: the fair order, filtered by what each rollup was given.
    fn subsequences(
        &self,
        view: &View,
        found: &BTreeMap<BundleId, (u64, Legs)>,
        sequences: &BTreeMap<u64, Vec<BundleId>>,
    ) -> Vec<String> {
        let released = view.releases.keys().next_back().copied().unwrap_or(0);
        let order: Vec<BundleId> = self
            .emissions
            .range(..=released)
            .flat_map(|(_, emission)| emission.ids().map(|entry| entry.id))
            .collect();
        let chain_ids = self.history.ever().chain_ids();
        chain_ids
            .iter()
            .filter(|chain_id| {
                let has_leg = |id: &&BundleId| {
                    found.get(id).is_some_and(|(_, legs)| legs.contains_key(chain_id))
                };
                let expected: Vec<BundleId> = order.iter().filter(has_leg).copied().collect();
                sequences.get(chain_id).cloned().unwrap_or_default() != expected
            })
            .map(|chain_id| format!("rollup {chain_id} is not released in the fair order"))
            .collect()
    }
}

/// Reads the batches of one release.
fn collect(
    height: u64,
    release: &Release,
    found: &mut BTreeMap<BundleId, (u64, Legs)>,
    sequences: &mut BTreeMap<u64, Vec<BundleId>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for batch in &release.batches {
        let mut next = BTreeMap::new();
        for (block, range) in batch.bundles() {
            let next = next.entry(block.number).or_insert(0);
            let (first, count) = (range.first as usize, range.count as usize);
            let transactions = block.leg(range);
            let (Some(transactions), true) = (transactions, first == *next) else {
                wrong.push(format!("batch {}/{height} has a gap", batch.chain_id));
                continue;
            };
            *next = first + count;
            let raw = transactions.iter().map(|raw| raw.as_bytes().to_vec()).collect();
            let (at, legs) = found.entry(range.id).or_insert((height, Legs::new()));
            if *at != height || legs.insert(batch.chain_id, raw).is_some() {
                wrong.push(format!("{} is in batches of two heights, or twice", range.id));
            }
            sequences.entry(batch.chain_id).or_default().push(range.id);
        }
        let covered = |block: &Block| next.get(&block.number) == Some(&block.transactions.len());
        if !batch.blocks.iter().all(covered) {
            wrong.push(format!("batch {}/{height} has foreign transactions", batch.chain_id));
        }
    }
    wrong
}
