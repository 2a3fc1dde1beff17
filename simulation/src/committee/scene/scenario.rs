//! What only scenarios have: partitions, a record of when blocks came, and what is kept for metrics.

use std::time::SystemTime;

use commonware_runtime::{Clock, deterministic};
use fairveil_sequencer::store::Table;

use super::{Scene, since};
use crate::committee::plan::{Partition, Plan};
use crate::committee::traders::lock;
use crate::committee::{Report, oracle};
use crate::scenario::Record;

/// Plays what a scenario says to its end, has it judged, and keeps what metrics are computed from.
pub(crate) async fn play_scenario(
    context: deterministic::Context,
    plan: Plan,
    seed: u64,
) -> (Report, Result<Record, String>) {
    let (scene, finished) = Scene::played(context, plan, seed).await;
    let virtual_ms = since(scene.started, scene.world.context.current());
    let evidence = scene.evidence(finished);
    let mut report = oracle::judge(&evidence);
    report.virtual_ms = virtual_ms;
    report.counts.insert("crashes".into(), scene.crashes);
    let record = Record::of(&evidence, &scene.world.trace, &scene.commits, scene.started);
    (report, record)
}

impl Scene {
    /// Notes which heights some honest member has committed by now.
    pub(super) fn watch_commits(&mut self) {
        let now = self.world.context.current();
        for member in self.world.plan.honest() {
            let Some(live) = &self.members[member].live else { continue };
            loop {
                let next = self.commits.last_key_value().map_or(1, |(height, _)| height + 1);
                match live.store.get(Table::Orders, &next.to_be_bytes()) {
                    Ok(Some(_)) => self.commits.insert(next, now),
                    Ok(None) | Err(_) => break,
                };
            }
        }
    }

    /// Cuts and joins the links of partitions that begin or end by now.
    pub(super) async fn part(&mut self, now: SystemTime) {
        let started = self.started;
        let lasts = |one: &Partition| now >= started + one.at && now < started + one.at + one.lasts;
        let sides = self.partitions.iter().filter(|one| lasts(one));
        let sides: Vec<Vec<usize>> = sides.map(|one| one.side.clone()).collect();
        let before = std::mem::replace(&mut lock(&self.world.reach).sides, sides.clone());
        self.partitions.retain(|one| now < started + one.at + one.lasts);
        if before == sides {
            return;
        }
        let parts = |sides: &[Vec<usize>], (one, other): (usize, usize)| {
            sides.iter().any(|side| side.contains(&one) != side.contains(&other))
        };
        for (ends, link) in &self.links {
            let (one, other) = (self.world.keys.peer(ends.0), self.world.keys.peer(ends.1));
            match (parts(&before, *ends), parts(&sides, *ends)) {
                (false, true) => {
                    let removed = self.world.oracle.remove_link(one, other).await;
                    removed.expect("a link that is there");
                }
                (true, false) => {
                    let added = self.world.oracle.add_link(one, other, link.clone()).await;
                    added.expect("a link that was removed");
                }
                _ => {}
            }
        }
    }
}
