//! The searcher in a run: what he knows, and what he sends when.
//!
//! His projection of the pools is the last block that he knows, with what he can read of what is
//! on its way, in the order in which he heard of it: everything in plaintext, his own bundles
//! where the rest is sealed.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::envelope::SizeClass;
use fairveil_ordering::Mode;

use super::super::MevError;
use super::super::amm::{Market, Rollup, Side, Swap, Trade};
use super::super::flow::{Flow, Intent, TRADERS};
use super::super::network::{MS, Network, SEQUENCERS, Sender};
use super::super::plan::{self, Plan, Sandwich};
use super::{Attacker, BLOCK_US, BLOCKS, Event, Item, Privacy, Purpose, Run, Strategy};
use crate::mev::chain::TRANSACTIONS_PER_SWAP;

/// Apart from what arrives at the same time.
const MARGIN_US: u64 = MS;
/// Honest sequencers that a front must reach first: with the corrupt log they are an edge, or,
/// where a lost bet costs more than a fee, most of five logs.
const FIRST_AT: [usize; 2] = [1, 2];

/// What the searcher remembers.
#[derive(Debug)]
pub(super) struct Searcher {
    /// The last height that he knows.
    pub(super) height: u64,
    /// What he heard of and does not know the place of, in the order that he expects.
    pending: Vec<usize>,
    /// By payer: the swaps that were opened.
    past: Vec<Vec<Intent>>,
    /// What his sequencer's log gets next.
    pub(super) log: Vec<(u64, usize)>,
    /// What it has or gets.
    pub(super) logged: BTreeSet<usize>,
    /// Fronts that were executed, and what closes them.
    closed: BTreeSet<usize>,
    /// Victims of a sandwich around several.
    pub(super) grouped: BTreeSet<usize>,
    accounts: usize,
    messages: u64,
}

/// Where a bundle meets its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// In a block that the searcher lists himself.
    OwnBlock,
    /// On the way.
    Race {
        /// Honest sequencers that decide and that a bundle sent now reaches first.
        first_at: usize,
        /// Of how many of them that is enough to dare.
        enough: usize,
        /// When to send what is to arrive after it everywhere.
        behind_us: u64,
    },
}

impl Searcher {
    pub(super) fn new(flow: &Flow) -> Self {
        Self {
            height: 0,
            pending: Vec::new(),
            past: flow.payers.iter().map(|payer| payer.past.clone()).collect(),
            log: Vec::new(),
            logged: BTreeSet::new(),
            closed: BTreeSet::new(),
            grouped: BTreeSet::new(),
            accounts: TRADERS,
            messages: 0,
        }
    }
}

impl Run<'_> {
    pub(super) fn does(&self, strategy: Strategy) -> bool {
        matches!(&self.attacker, Attacker::Searcher(all) if all.contains(&strategy))
    }

    pub(super) fn reads(&self, item: usize) -> bool {
        self.arm.privacy == Privacy::Plaintext || !self.items[item].is_honest()
    }

    /// The pools as he expects them before an item, or after all that is pending.
    fn projected(&self, before: Option<usize>) -> Market {
        let height = usize::try_from(self.searcher.height).unwrap_or(0);
        let mut market = self.snapshots[height];
        let pending = self.searcher.pending.iter();
        for item in pending.take_while(|item| Some(**item) != before) {
            if self.reads(*item) {
                market.execute(&self.items[*item].trade);
            }
        }
        market
    }

    /// He hears of an honest bundle.
    pub(super) fn heard(&mut self, now: u64, item: usize) -> Result<(), MevError> {
        match self.attacker {
            Attacker::Nobody => return Ok(()),
            Attacker::Probe(_) => return self.probe(now, item),
            Attacker::Searcher(_) => {}
        }
        if self.is_known(item) {
            return Ok(());
        }
        self.searcher.pending.push(item);
        self.guess(item);
        let state = self.projected(Some(item));
        if self.reads(item) && self.items[item].trade.swaps().len() > 1 {
            return self.copy(now, item, &state);
        }
        match self.meeting(now, item) {
            Meeting::OwnBlock => Ok(()),
            Meeting::Race { first_at, enough, behind_us } => {
                let mut plan = self.plan(now, item, &state);
                if first_at < enough {
                    plan.sandwich = None;
                }
                self.attack(now, item, &plan, Some(behind_us)).map(|_| ())
            }
        }
    }

    fn is_known(&self, item: usize) -> bool {
        self.items[item].place.is_some_and(|(height, _)| height <= self.searcher.height)
    }

    /// An arbitrage that he can read: he makes the best one first.
    fn copy(&mut self, now: u64, item: usize, state: &Market) -> Result<(), MevError> {
        if !self.does(Strategy::Copy) || self.meeting(now, item) == Meeting::OwnBlock {
            return Ok(());
        }
        let Some(trade) = plan::arbitrage(state) else { return Ok(()) };
        let own = self.create(trade, Purpose::Copy)?;
        let place = self.searcher.pending.iter().position(|other| *other == item);
        self.searcher.pending.insert(place.unwrap_or(0), own);
        self.log(now, own);
        self.broadcast(now, own);
        Ok(())
    }

    /// What he does about a swap, from its contents or from its payer's past.
    pub(super) fn plan(&self, now: u64, item: usize, state: &Market) -> Plan {
        let Item { account, trade, .. } = &self.items[item];
        let mut plan = Plan::default();
        if self.reads(item) {
            let swaps = trade.swaps();
            plan.sandwich = plan::sandwich(state, swaps);
            plan.runs = plan::back_runs(state, swaps);
        } else if self.items[item].class() == SizeClass::MIN
            && let Some(past) = self.searcher.past.get(*account)
        {
            let sent_us = self.items[item].arrivals.map_or(now, |arrivals| arrivals.heard);
            let belief = plan::hypotheses(&self.visible(sent_us, *account), past);
            plan.sandwich = plan::sandwich(state, &belief);
            plan.runs = plan::back_runs(state, &belief);
        }
        if !self.does(Strategy::Sandwich) {
            plan.sandwich = None;
        }
        if !self.does(Strategy::BackRun) {
            plan.runs.clear();
        }
        plan
    }

    /// When a bundle sent now and one sent later meet a target.
    fn meeting(&self, now: u64, target: usize) -> Meeting {
        let target = &self.items[target];
        let arrives = |at: usize| now + self.network.searcher(at) + Network::searcher_jitter();
        let is_first = |at: usize| arrives(at) < self.held(target, at);
        let behind = |at: usize| {
            (self.held(target, at) + MARGIN_US).saturating_sub(self.network.searcher(at))
        };
        let soon = now + Network::searcher_jitter() + MARGIN_US;
        if self.arm.mode == Mode::Leader {
            let next = now / BLOCK_US + 1;
            let lists =
                |height: &u64| self.held(target, Self::leader(*height)) <= height * BLOCK_US;
            let height = (next..=BLOCKS).find(lists).unwrap_or(next);
            let leader = Self::leader(height);
            if !self.network.is_honest(leader) {
                return Meeting::OwnBlock;
            }
            let first_at = usize::from(is_first(leader));
            return Meeting::Race { first_at, enough: 1, behind_us: behind(leader).max(soon) };
        }
        let honest = || (0..SEQUENCERS).filter(|at| self.network.is_honest(*at));
        let first_at = honest().filter(|at| is_first(*at)).count();
        let behind_us = honest().map(behind).max().unwrap_or(now).max(soon);
        let enough = match self.arm.privacy {
            Privacy::Plaintext => FIRST_AT[0],
            Privacy::Sealed => FIRST_AT[1],
        };
        Meeting::Race { first_at, enough, behind_us }
    }

    /// Makes the bundles of a plan; sends the front now and the others when they are to come
    /// behind. Without a time nothing is sent, for a list of his own. The bundles, in the order
    /// that he wants, with the target.
    pub(super) fn attack(
        &mut self,
        now: u64,
        target: usize,
        plan: &Plan,
        behind_us: Option<u64>,
    ) -> Result<Vec<usize>, MevError> {
        let mut wanted = Vec::new();
        let mut front = None;
        if let Some(Sandwich { front: swap, .. }) = plan.sandwich {
            let made = self.create(swap.into(), Purpose::Front { target })?;
            front = Some(made);
            wanted.push(made);
        }
        wanted.push(target);
        if let (Some(Sandwich { back, .. }), Some(front)) = (plan.sandwich, front) {
            wanted.push(self.create_behind(back, Purpose::Back { target }, front)?);
        }
        for run in &plan.runs {
            let purpose = Purpose::BackRun { target: Some(target) };
            wanted.push(self.create(run.clone(), purpose)?);
        }
        let Some(behind_us) = behind_us.filter(|_| wanted.len() > 1) else { return Ok(wanted) };
        let place = self.searcher.pending.iter().position(|other| *other == target);
        let place = place.unwrap_or(self.searcher.pending.len());
        let end = (place + 1).min(self.searcher.pending.len());
        self.searcher.pending.splice(place..end, wanted.iter().copied());
        for item in &wanted {
            self.log(now, *item);
        }
        for item in wanted.iter().filter(|item| **item != target) {
            match self.items[*item].purpose {
                Purpose::Front { .. } => self.broadcast(now, *item),
                Purpose::Back { .. } => self.schedule(behind_us, Event::Broadcast(*item)),
                // The back first: an arbitrage before it takes away what it sells.
                _ if front.is_some() => {
                    let later = behind_us + Network::searcher_jitter() + MARGIN_US;
                    self.schedule(later, Event::Broadcast(*item));
                }
                _ => self.schedule(behind_us, Event::Broadcast(*item)),
            }
        }
        Ok(wanted)
    }

    /// A bundle of a fresh payer.
    pub(super) fn create(&mut self, trade: Trade, purpose: Purpose) -> Result<usize, MevError> {
        self.searcher.accounts += 1;
        let id = self.next_id(purpose);
        self.add(id, self.searcher.accounts, trade, [0, 0], purpose)
    }

    /// A bundle of the payer of another one, valid only behind it.
    pub(super) fn create_behind(
        &mut self,
        swap: Swap,
        purpose: Purpose,
        first: usize,
    ) -> Result<usize, MevError> {
        let id = self.next_id(purpose);
        let account = self.items[first].account;
        let nonces = self.items[first].nonces.map(|nonce| nonce + TRANSACTIONS_PER_SWAP);
        self.add(id, account, swap.into(), nonces, purpose)
    }

    fn next_id(&mut self, purpose: Purpose) -> fairveil_crypto::BundleId {
        self.searcher.messages += 1;
        self.ground_id(self.searcher.messages, purpose)
    }

    fn log(&mut self, now: u64, item: usize) {
        if self.searcher.logged.insert(item) {
            self.searcher.log.push((now, item));
        }
    }

    /// Sends an own bundle to all sequencers.
    pub(super) fn broadcast(&mut self, now: u64, item: usize) {
        if self.items[item].place.is_some() {
            return;
        }
        let message = 4 << 40 | item as u64;
        let arrivals = self.network.arrivals(Sender::Searcher, message, now);
        self.arrive(item, arrivals);
    }

    /// He learns what a block did.
    pub(super) fn known(&mut self, now: u64, height: u64) -> Result<(), MevError> {
        if !matches!(self.attacker, Attacker::Searcher(_)) {
            return Ok(());
        }
        self.searcher.height = self.searcher.height.max(height);
        let placed: Vec<usize> = (0..self.items.len())
            .filter(|item| self.items[*item].place.is_some_and(|(at, _)| at == height))
            .collect();
        let names: BTreeSet<usize> = placed.iter().copied().collect();
        self.searcher.pending.retain(|item| !names.contains(item));
        for item in placed {
            if let Purpose::Swap { number } = self.items[item].purpose {
                let planned = &self.flow.swaps[number];
                self.searcher.past[planned.payer].push(planned.intent);
            }
        }
        self.close(now)?;
        self.arbitrage(now)
    }

    /// Closes what a back that failed left open.
    fn close(&mut self, now: u64) -> Result<(), MevError> {
        let backs: BTreeMap<usize, usize> = (0..self.items.len())
            .filter(|item| matches!(self.items[*item].purpose, Purpose::Back { .. }))
            .map(|item| (self.items[item].account, item))
            .collect();
        let is_open = |front: &usize| {
            let Item { purpose, fill, account, .. } = &self.items[*front];
            let is_front = matches!(purpose, Purpose::Front { .. });
            let back = backs.get(account).map(|back| &self.items[*back]);
            let failed = back.is_some_and(|back| {
                let is_known = back.place.is_some_and(|(at, _)| at <= self.searcher.height);
                is_known && back.fill.is_none()
            });
            is_front && fill.is_some() && failed && !self.searcher.closed.contains(front)
        };
        let open: Vec<usize> =
            (0..self.items.len()).filter(|front| self.is_known(*front) && is_open(front)).collect();
        for front in open {
            self.searcher.closed.insert(front);
            let swap = self.items[front].trade.swaps()[0];
            let swap = Swap::unlimited(swap.rollup, swap.side.reverse(), swap.gold);
            let made = self.create_behind(swap, Purpose::Close { front }, front)?;
            self.searcher.pending.push(made);
            self.log(now, made);
            self.broadcast(now, made);
        }
        Ok(())
    }

    /// Takes what the pools leave, as far as he can see.
    fn arbitrage(&mut self, now: u64) -> Result<(), MevError> {
        let state = self.projected(None);
        let Some(trade) = plan::arbitrage(&state) else { return Ok(()) };
        let Some(purpose) = self.purpose_of_arbitrage() else { return Ok(()) };
        let made = self.create(trade, purpose)?;
        self.searcher.pending.push(made);
        self.log(now, made);
        self.broadcast(now, made);
        Ok(())
    }

    /// Whether an arbitrage is public information, or takes reading what is on its way.
    fn purpose_of_arbitrage(&self) -> Option<Purpose> {
        let height = usize::try_from(self.searcher.height).unwrap_or(0);
        let mut public = self.snapshots[height];
        let own = self.searcher.pending.iter().filter(|item| !self.items[**item].is_honest());
        for item in own {
            public.execute(&self.items[*item].trade);
        }
        let is_public = plan::arbitrage(&public).is_some();
        let (purpose, strategy) = match is_public {
            true => (Purpose::AfterRelease, Strategy::AfterRelease),
            false => (Purpose::BackRun { target: None }, Strategy::BackRun),
        };
        self.does(strategy).then_some(purpose)
    }

    /// Two bundles that trade nothing around a swap.
    pub(super) fn probes(&mut self, target: usize) -> Result<Vec<usize>, MevError> {
        let front = self.create(Trade::default(), Purpose::Front { target })?;
        let account = self.items[front].account;
        let id = self.next_id(Purpose::Back { target });
        let back = self.add(id, account, Trade::default(), [0, 0], Purpose::Back { target })?;
        Ok(vec![front, target, back])
    }

    fn probe(&mut self, now: u64, item: usize) -> Result<(), MevError> {
        if !matches!(self.items[item].purpose, Purpose::Swap { .. }) {
            return Ok(());
        }
        let Meeting::Race { behind_us, .. } = self.meeting(now, item) else { return Ok(()) };
        let wanted = self.probes(item)?;
        for item in &wanted {
            self.log(now, *item);
        }
        self.broadcast(now, wanted[0]);
        self.schedule(behind_us, Event::Broadcast(wanted[2]));
        Ok(())
    }

    /// What he would guess of a sealed swap from its payer's past, for the table of leaks.
    fn guess(&mut self, item: usize) {
        let Purpose::Swap { number } = self.items[item].purpose else { return };
        let planned = self.flow.swaps[number];
        let mut ways: BTreeMap<(Rollup, Side), usize> = BTreeMap::new();
        for intent in &self.searcher.past[planned.payer] {
            *ways.entry((intent.rollup, intent.side)).or_default() += 1;
        }
        let guess = ways.into_iter().max_by_key(|(_, count)| *count).map(|(way, _)| way);
        let is_right = guess == Some((planned.intent.rollup, planned.intent.side));
        let payer = self.flow.payers[planned.payer].habit;
        self.tally.guessed(payer, if is_right { 1 } else { 0 });
    }
}
