//! Rules 16 to 18: what holds over the boundary between two epochs.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::BundleId;
use fairveil_crypto::encoding::decode;
use fairveil_sequencer::boundary::{self, Manifest};
use fairveil_sequencer::store::{Store, Table};

use super::{Case, MAX_VALUE_BYTES, View};
use crate::committee::plan::Kind;

impl Case<'_> {
    /// Rule 16, the part of rule 17 about resharings, and rule 18.
    pub(super) fn epochs(&mut self) {
        if self.given.plan.kind != Kind::Epochs {
            return;
        }
        let mut wrong: Vec<String> = self.given.keys.forks();
        let named: BTreeSet<usize> = self.given.blamed.iter().copied().collect();
        let honest = self.given.plan.honest();
        for person in named.iter().filter(|person| honest.contains(person)) {
            wrong
                .push(format!("sequencer {} is blamed for a resharing, and is honest", person + 1));
        }
        self.counts.insert("blamed".into(), named.len() as u64);
        self.counts.insert("late_shares".into(), self.given.keys.late());
        let keys: BTreeSet<_> =
            self.given.keys.terms().iter().map(|term| term.committee.key_id()).collect();
        if keys.len() != 1 {
            wrong.push(format!("there are {} committee keys", keys.len()));
        }
        let mut beginnings: BTreeMap<u64, (usize, Manifest)> = BTreeMap::new();
        let (mut joined, mut first) = (0, 0);
        let last = self.given.plan.succession.last_epoch().get();
        let outages = &self.given.plan.outages;
        for view in &self.honest {
            let who = view.position + 1;
            let ever = self.given.plan.succession.terms.iter();
            if !ever.flatten().any(|member| *member == view.position) {
                continue;
            }
            let Some(store) = &self.given.stores[view.position] else { continue };
            let stays = self.given.plan.succession.last().contains(&view.position);
            let was_away = outages.iter().any(|outage| outage.member == view.position);
            match boundary::manifest(store) {
                Ok(Some(manifest)) => {
                    let epoch = manifest.epoch.get();
                    let known = beginnings.entry(epoch).or_insert((who, manifest.clone()));
                    if known.1 != manifest {
                        let other = known.0;
                        wrong.push(format!("sequencers {other} and {who} begin {epoch} otherwise"));
                    }
                    first += self.log_begins(view, store, epoch, &mut wrong);
                    if stays && epoch != last {
                        wrong.push(format!("sequencer {who} stands in epoch {epoch}"));
                    }
                }
                // Nobody keeps the beginning of an epoch that is over for one who was away.
                Ok(None) if was_away && !stays => {}
                Ok(None) => wrong.push(format!("sequencer {who} saw no epoch begin")),
                Err(error) => wrong.push(format!("sequencer {who}: {error}")),
            }
            let since = view.blocks.first_key_value().map_or(0, |(height, _)| *height);
            joined += u64::from(since > 1);
        }
        if !beginnings.contains_key(&last) {
            wrong.push(format!("epoch {last} did not begin"));
        }
        let proposed: Vec<u64> =
            self.headers.values().map(|(_, header)| header.epoch.get()).collect();
        let ordered = |epoch: u64| proposed.iter().filter(|of| **of == epoch).count() as u64;
        self.counts.insert("heights_of_later_epochs".into(), (2..=last).map(ordered).sum());
        self.counts.insert("joined".into(), joined);
        self.counts.insert("carried_ids".into(), first);
        let failed: u64 = self.given.plan.succession.failing.iter().sum();
        self.counts.insert("failed_rounds".into(), failed);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// Rule 18 for one sequencer; how many ids its log begins with that were not proposed before.
    fn log_begins(&self, view: &View, store: &Store, epoch: u64, wrong: &mut Vec<String>) -> u64 {
        let bytes = store.get(Table::Meta, b"unproposed").ok().flatten();
        let unproposed: Option<Vec<BundleId>> =
            bytes.and_then(|bytes| decode(&bytes, MAX_VALUE_BYTES).ok());
        let (Some(unproposed), Some(log)) = (unproposed, view.logs.get(&epoch)) else { return 0 };
        let before = epoch.checked_sub(1).and_then(|before| view.logs.get(&before));
        let had = |id: &&BundleId| before.is_some_and(|log| log.contains(id));
        let expected: Vec<&BundleId> = unproposed.iter().filter(had).collect();
        let begins: Vec<&BundleId> = log.iter().take_while(|id| unproposed.contains(id)).collect();
        // What it had not then comes as it arrives.
        let carried = begins.iter().filter(|id| expected.contains(id));
        let places = carried.map(|id| unproposed.iter().position(|other| other == *id));
        let in_order = places.collect::<Vec<_>>().is_sorted();
        if !in_order || !expected.iter().all(|id| begins.contains(id)) {
            let who = view.position + 1;
            wrong.push(format!("the log of sequencer {who} in epoch {epoch} begins otherwise"));
        }
        begins.len() as u64
    }
}
