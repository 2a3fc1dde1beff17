//! What a run amounts to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::MevError;
use super::super::amm::{Fill, Market, Side};
use super::super::flow::Habit;
use super::super::network::SEQUENCERS;
use super::super::plan::FEE_PER_512_BYTES;
use super::{Attacker, Item, Logged, Purpose, Run, Strategy};

/// What became of a swap of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapOutcome {
    /// Which way.
    pub side: Side,
    /// Units of dollars that it cost or brought; None if it failed.
    pub dollars: Option<u64>,
    /// Whether the searcher sent a bundle before it.
    pub is_victim: bool,
}

/// What a strategy came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earned {
    /// Units of dollars after fees, open positions closed.
    pub value: i64,
    /// Fees of it.
    pub fees: i64,
    /// Bundles.
    pub bundles: u64,
    /// Of these, executed.
    pub executed: u64,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By strategy.
    pub earned: BTreeMap<Strategy, Earned>,
    /// Sandwiches that were tried, and those that left something after fees.
    pub sandwiches: [u64; 2],
    /// By the victim's habit: how many, and units of dollars that they left after fees.
    pub by_victim: BTreeMap<Habit, [i64; 2]>,
    /// Front and target were placed; the front first; and the back behind.
    pub fronts: [u64; 3],
    /// What honest arbitrageurs and desks earned by arbitrage, after fees.
    pub honest_arbitrage: i64,
    /// Swaps by habit: all, and those whose pool and side the payer's past said.
    pub guesses: BTreeMap<Habit, [u64; 2]>,
    /// Honest bundles by size class: swaps, arbitrages.
    pub classes: BTreeMap<u8, [u64; 2]>,
    /// By honest swap: microseconds from the searcher's hearing to the median sequencer's.
    pub lead_us: Vec<i64>,
    /// Bundles that were never placed.
    pub unplaced: u64,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By number in the flow; None if it was not sent.
    pub swaps: Vec<Option<SwapOutcome>>,
    /// Counts.
    pub tally: Tally,
    /// By sequencer, what blocks carried of its log.
    pub logs: [Vec<Logged>; SEQUENCERS],
    /// Reserves at the end.
    pub market: Market,
}

impl SwapOutcome {
    /// By how many units of dollars it was worse than another time, and the units that it turned
    /// over then. None if it failed either time.
    pub fn worse_than(&self, then: &Self) -> Option<(i64, u64)> {
        let (now, before) = (self.dollars?, then.dollars?);
        let more = now as i64 - before as i64;
        Some((if self.side == Side::Buy { more } else { -more }, before))
    }
}

impl Outcome {
    /// The same for all swaps that were executed both times and count.
    pub fn worse_than(&self, then: &Self, counts: impl Fn(&SwapOutcome) -> bool) -> (i64, u64) {
        let pairs = self.swaps.iter().flatten().zip(then.swaps.iter().flatten());
        let counted = pairs.filter(|(now, _)| counts(now));
        let worse = counted.filter_map(|(now, then)| now.worse_than(then));
        worse.fold((0, 0), |(sum, over), (more, units)| (sum + more, over + units))
    }
}

impl Tally {
    pub(super) fn guessed(&mut self, habit: Habit, right: u64) {
        let guesses = self.guesses.entry(habit).or_default();
        guesses[0] += 1;
        guesses[1] += right;
    }

    /// Units of dollars that a strategy earned.
    pub fn value(&self, strategy: Strategy) -> i64 {
        self.earned.get(&strategy).map_or(0, |earned| earned.value)
    }
}

impl Purpose {
    /// The strategy that a bundle of the searcher belongs to.
    pub(super) const fn strategy(self) -> Option<Strategy> {
        match self {
            Self::Swap { .. } | Self::DeskArbitrage | Self::Arbitrage => None,
            Self::Front { .. } | Self::Back { .. } | Self::Close { .. } => Some(Strategy::Sandwich),
            Self::BackRun { .. } => Some(Strategy::BackRun),
            Self::Copy => Some(Strategy::Copy),
            Self::AfterRelease => Some(Strategy::AfterRelease),
        }
    }
}

impl Item {
    /// What the network charges for it, if it has a place.
    fn fee(&self) -> i64 {
        let charged = self.place.is_some() && self.written.is_some();
        if charged { FEE_PER_512_BYTES << self.class().get() } else { 0 }
    }
}

impl Run<'_> {
    /// Adds everything up.
    pub(super) fn outcome(mut self) -> Result<Outcome, MevError> {
        let market = self.chain.market();
        let mut swaps = vec![None; self.flow.swaps.len()];
        let mut victims: BTreeSet<usize> = self.items.iter().filter_map(Item::front_of).collect();
        victims.extend(&self.searcher.grouped);
        for (at, item) in self.items.iter().enumerate() {
            if let Purpose::Swap { number } = item.purpose {
                let side = self.flow.swaps[number].intent.side;
                let dollars = item.fill.map(|fill| fill.dollars.unsigned_abs());
                let is_victim = victims.contains(&at);
                swaps[number] = Some(SwapOutcome { side, dollars, is_victim });
            }
        }
        let mut tally = std::mem::take(&mut self.tally);
        self.earned(&mut tally, &market);
        self.positions(&mut tally);
        self.seen(&mut tally);
        self.chain.finish(self.contracts)?;
        Ok(Outcome { swaps, tally, logs: self.logs, market })
    }

    fn earned(&self, tally: &mut Tally, market: &Market) {
        let fronts: BTreeMap<usize, usize> = self
            .items
            .iter()
            .filter_map(|item| Some((item.account, self.items[item.front_of()?].account)))
            .collect();
        // What a payer of the searcher's has left of gold is closed against the pools.
        let mut sandwiches: BTreeMap<usize, (Fill, i64)> = BTreeMap::new();
        for item in &self.items {
            let fill = item.fill.unwrap_or_default();
            let Some(strategy) = item.purpose.strategy() else {
                if !matches!(item.purpose, Purpose::Swap { .. }) {
                    tally.honest_arbitrage += fill.dollars - item.fee();
                }
                continue;
            };
            let earned = tally.earned.entry(strategy).or_default();
            earned.value += fill.dollars - item.fee();
            earned.fees += item.fee();
            earned.bundles += u64::from(item.place.is_some());
            earned.executed += u64::from(item.fill.is_some());
            if strategy == Strategy::Sandwich {
                let (sum, fees) = sandwiches.entry(item.account).or_default();
                sum.dollars += fill.dollars;
                sum.gold += fill.gold;
                *fees += item.fee();
            }
        }
        for (account, (sum, fees)) in sandwiches {
            let closing = market.closing_value(sum.gold);
            tally.earned.entry(Strategy::Sandwich).or_default().value += closing;
            let gain = sum.dollars + closing - fees;
            tally.sandwiches[0] += 1;
            tally.sandwiches[1] += u64::from(gain > 0);
            let Some(target) = fronts.get(&account) else { continue };
            let [count, value] = tally.by_victim.entry(Habit::of(*target)).or_default();
            (*count, *value) = (*count + 1, *value + gain);
        }
    }

    fn positions(&self, tally: &mut Tally) {
        let backs: BTreeMap<usize, &Item> = self
            .items
            .iter()
            .filter_map(|item| match item.purpose {
                Purpose::Back { .. } => Some((item.account, item)),
                _ => None,
            })
            .collect();
        for front in &self.items {
            let Some(target) = front.front_of() else { continue };
            let (Some(own), Some(theirs)) = (front.place, self.items[target].place) else {
                continue;
            };
            let is_around = backs
                .get(&front.account)
                .and_then(|back| back.place)
                .is_some_and(|back| theirs < back);
            tally.fronts[0] += 1;
            tally.fronts[1] += u64::from(own < theirs);
            tally.fronts[2] += u64::from(own < theirs && is_around);
        }
    }

    fn seen(&self, tally: &mut Tally) {
        for item in &self.items {
            tally.unplaced += u64::from(item.place.is_none());
            if !item.is_honest() {
                continue;
            }
            let is_swap = matches!(item.purpose, Purpose::Swap { .. });
            tally.classes.entry(item.class().get()).or_default()[usize::from(!is_swap)] += 1;
            if let Some(arrivals) = item.arrivals.filter(|_| is_swap) {
                let mut received = arrivals.received;
                received.sort_unstable();
                let lead = received[SEQUENCERS / 2] as i64 - arrivals.heard as i64;
                tally.lead_us.push(lead);
            }
        }
        if self.attacker == Attacker::Nobody {
            tally.guesses.clear();
        }
    }
}

impl Item {
    const fn front_of(&self) -> Option<usize> {
        match self.purpose {
            Purpose::Front { target } => Some(target),
            _ => None,
        }
    }
}
