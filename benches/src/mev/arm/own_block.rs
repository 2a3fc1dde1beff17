//! The list of a block that the searcher leads in mode `leader`.
//!
//! First what closes his positions and takes what is public; then swaps, each with his bundles around
//! it; other people's arbitrages last. Where he reads, swaps that go one way in one pool stand together,
//! in one sandwich if that earns more than one around each.

use std::collections::BTreeMap;

use fairveil_crypto::envelope::SizeClass;

use super::super::MevError;
use super::super::amm::{Market, Rollup, Side, Swap};
use super::super::network::CORRUPT;
use super::super::plan::{self, Sandwich};
use super::{Attacker, Privacy, Purpose, Run, Strategy, blocks};

impl Run<'_> {
    /// The list.
    pub(super) fn composed(&mut self, now: u64) -> Result<Vec<usize>, MevError> {
        let waiting: Vec<usize> =
            (0..self.items.len()).filter(|item| self.items[*item].place.is_none()).collect();
        let is_held = |item: &usize| self.held(&self.items[*item], CORRUPT) <= now;
        let mut honest: Vec<usize> =
            waiting.iter().copied().filter(|item| self.items[*item].is_honest()).collect();
        honest.retain(is_held);
        honest.sort_by_key(|item| (self.held(&self.items[*item], CORRUPT), *item));
        let is_last = |item: &usize| match self.reads(*item) {
            true => self.items[*item].trade.swaps().len() > 1,
            false => self.items[*item].class() > SizeClass::MIN,
        };
        let (last, swaps): (Vec<usize>, Vec<usize>) = honest.into_iter().partition(is_last);
        // What is meant for a bundle that he has not got yet waits for it.
        let mine = waiting.iter().copied().filter(|item| !self.items[*item].is_honest());
        let target = |item: usize| match self.items[item].purpose {
            Purpose::Front { target } | Purpose::Back { target } => Some(target),
            Purpose::BackRun { target } => target,
            _ => None,
        };
        let mut around: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut list = Vec::new();
        for item in mine {
            match target(item).filter(|target| self.items[*target].place.is_none()) {
                Some(target) => around.entry(target).or_default().push(item),
                None => list.push(item),
            }
        }
        let mut state = self.snapshots[usize::try_from(self.searcher.height).unwrap_or(0)];
        for item in &list {
            state.execute(&self.items[*item].trade);
        }
        if self.does(Strategy::AfterRelease)
            && let Some(trade) = plan::arbitrage(&state)
        {
            state.execute(&trade);
            list.push(self.create(trade, Purpose::AfterRelease)?);
        }
        for swaps in self.grouped(swaps, &around) {
            if let Some(wanted) = self.together(&swaps, &state)? {
                self.foresee(&mut state, &wanted);
                list.extend(wanted);
                continue;
            }
            for swap in swaps {
                let wanted = match around.remove(&swap) {
                    Some(mine) => self.around(swap, mine),
                    None => self.newly_around(now, swap, &state)?,
                };
                self.foresee(&mut state, &wanted);
                list.extend(wanted);
            }
        }
        list.extend(last);
        Ok(blocks::once(list))
    }

    /// Fronts before the target, everything else behind.
    fn around(&self, target: usize, mine: Vec<usize>) -> Vec<usize> {
        let is_front = |item: &usize| matches!(self.items[*item].purpose, Purpose::Front { .. });
        let (mut wanted, behind): (Vec<usize>, Vec<usize>) = mine.into_iter().partition(is_front);
        wanted.push(target);
        wanted.extend(behind);
        wanted
    }

    fn newly_around(
        &mut self,
        now: u64,
        target: usize,
        state: &Market,
    ) -> Result<Vec<usize>, MevError> {
        if matches!(self.attacker, Attacker::Probe(_)) {
            return self.probes(target);
        }
        let plan = self.plan(now, target, state);
        self.attack(now, target, &plan, None)
    }

    fn foresee(&self, market: &mut Market, items: &[usize]) {
        for item in items.iter().filter(|item| self.reads(**item)) {
            market.execute(&self.items[*item].trade);
        }
    }

    /// Swaps that go one way, if he can read them and has nothing around them yet; each alone
    /// otherwise.
    fn grouped(&self, swaps: Vec<usize>, around: &BTreeMap<usize, Vec<usize>>) -> Vec<Vec<usize>> {
        let reads = self.arm.privacy == Privacy::Plaintext && self.does(Strategy::Sandwich);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut ways: BTreeMap<(Rollup, Side), usize> = BTreeMap::new();
        for item in swaps {
            let way = self.items[item].trade.swaps().first().map(|swap| (swap.rollup, swap.side));
            match way.filter(|_| reads && !around.contains_key(&item)) {
                Some(way) => {
                    let place = *ways.entry(way).or_insert(groups.len());
                    if place == groups.len() {
                        groups.push(Vec::new());
                    }
                    groups[place].push(item);
                }
                None => groups.push(vec![item]),
            }
        }
        groups
    }

    /// One sandwich around all of them, and an arbitrage behind, if that earns more.
    fn together(
        &mut self,
        targets: &[usize],
        state: &Market,
    ) -> Result<Option<Vec<usize>>, MevError> {
        let [first, .., last] = *targets else { return Ok(None) };
        let swaps: Vec<Swap> = targets
            .iter()
            .flat_map(|target| self.items[*target].trade.swaps().iter().copied())
            .collect();
        let Some(found) = plan::sandwich_together(state, &swaps) else { return Ok(None) };
        let (mut after, mut alone) = (*state, 0);
        for swap in &swaps {
            let single = plan::sandwich(&after, &[*swap]);
            alone += single.map_or(0, |single| single.expected);
            for swap in single.iter().flat_map(|s| [s.front, *swap, s.back]) {
                after.execute(&swap.into());
            }
            if single.is_none() {
                after.execute(&(*swap).into());
            }
        }
        if found.expected <= alone {
            return Ok(None);
        }
        let Sandwich { front, back, .. } = found;
        let front = self.create(front.into(), Purpose::Front { target: first })?;
        let back = self.create_behind(back, Purpose::Back { target: last }, front)?;
        let mut wanted = vec![front];
        wanted.extend(targets);
        wanted.push(back);
        self.searcher.grouped.extend(targets);
        let mut after = *state;
        self.foresee(&mut after, &wanted);
        if self.does(Strategy::BackRun)
            && let Some(trade) = plan::arbitrage(&after)
        {
            wanted.push(self.create(trade, Purpose::BackRun { target: Some(last) })?);
        }
        Ok(Some(wanted))
    }
}
