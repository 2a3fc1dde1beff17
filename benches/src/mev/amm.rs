//! Constant-product pools in integers: what the contract `Pool` of the examples does, to the unit.
//!
//! This is the searcher's model, and everybody's: who trades computes limits from it.
//!
//! # Invariants
//!
//! 1. A trade that the contracts execute gives the same units here, and one that they refuse is
//!    refused here. Every run compares both ([`super::chain`]).
//! 2. A trade is all or nothing over both pools.

use serde::Serialize;

/// Units of a dollar, and of an ounce of gold: both have six decimals.
pub const WHOLE: u64 = 1_000_000;
/// What of a thousand parts that come in is left after the fee.
const AFTER_FEE: u128 = 997;
const THOUSAND: u128 = 1_000;
/// The most units of a reserve or of a trade, so that no product leaves 128 bits.
pub const MAX_UNITS: u64 = 1 << 52;
/// How near to the best size a trade comes, in units of gold: what is missed is below a cent.
const NEAR: u64 = WHOLE / 1_000;

/// One of the two rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollup {
    /// Chain 901.
    First,
    /// Chain 902.
    Second,
}

/// What happens to gold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// It is bought.
    Buy,
    /// It is sold.
    Sell,
}

/// A pool's reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Units of dollars.
    pub dollars: u64,
    /// Units of gold.
    pub gold: u64,
}

/// The pools of both rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// By rollup.
    pub pools: [Pool; 2],
}

/// One swap in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Where.
    pub rollup: Rollup,
    /// Which way.
    pub side: Side,
    /// Units of gold.
    pub gold: u64,
    /// The most units of dollars that are paid, or the least that are taken.
    pub limit: u64,
}

/// What a bundle does: at most one swap on each rollup, all of them or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trade {
    swaps: Vec<Swap>,
}

/// What a trade that was executed changed for its trader, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Of dollars.
    pub dollars: i64,
    /// Of gold.
    pub gold: i64,
}

/// Gold bought in one pool and sold in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arbitrage {
    /// Where it is bought.
    pub buy_on: Rollup,
    /// Units of gold.
    pub gold: u64,
    /// Units of dollars that it costs.
    pub cost: u64,
    /// Units of dollars that it brings.
    pub proceeds: u64,
}

impl Rollup {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The place in a list of both.
    pub const fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Buy, Self::Sell];

    /// The opposite.
    pub const fn reverse(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

impl Pool {
    /// What buying so much gold costs or selling it brings, in units of dollars. None if the pool
    /// has not so much, or a number is too large.
    pub fn quote(&self, side: Side, gold: u64) -> Option<u64> {
        if [self.dollars, self.gold, gold].into_iter().any(|units| units > MAX_UNITS) {
            return None;
        }
        let (dollars, reserve, amount) =
            (u128::from(self.dollars), u128::from(self.gold), u128::from(gold));
        let quote = match side {
            Side::Buy => {
                let left = reserve.checked_sub(amount).filter(|left| *left > 0)?;
                dollars * amount * THOUSAND / (left * AFTER_FEE) + 1
            }
            Side::Sell => {
                let charged = amount * AFTER_FEE;
                let whole = reserve * THOUSAND + charged;
                if whole == 0 {
                    return None;
                }
                charged * dollars / whole
            }
        };
        u64::try_from(quote).ok()
    }

    /// Executes a swap; what it costs or brings. None, and nothing changes, if its limit or the
    /// pool does not allow it.
    pub fn swap(&mut self, side: Side, gold: u64, limit: u64) -> Option<u64> {
        let quote = self.quote(side, gold)?;
        match side {
            Side::Buy => {
                if quote > limit {
                    return None;
                }
                self.dollars = self.dollars.checked_add(quote)?;
                self.gold -= gold;
            }
            Side::Sell => {
                if quote < limit {
                    return None;
                }
                self.gold = self.gold.checked_add(gold)?;
                self.dollars -= quote;
            }
        }
        Some(quote)
    }
}

impl Swap {
    /// With a limit that does not bind.
    pub const fn unlimited(rollup: Rollup, side: Side, gold: u64) -> Self {
        let limit = match side {
            Side::Buy => MAX_UNITS,
            Side::Sell => 0,
        };
        Self { rollup, side, gold, limit }
    }
}

impl From<Swap> for Trade {
    fn from(swap: Swap) -> Self {
        Self { swaps: vec![swap] }
    }
}

impl Trade {
    /// The swaps, in the order of their rollups.
    pub fn swaps(&self) -> &[Swap] {
        &self.swaps
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.swaps.is_empty()
    }

    /// The purchase and the sale of an arbitrage, each at most so many units of dollars worse than
    /// computed.
    pub fn arbitrage(found: &Arbitrage, slack: u64) -> Self {
        let Arbitrage { buy_on, gold, cost, proceeds } = *found;
        let buy = Swap { rollup: buy_on, side: Side::Buy, gold, limit: cost.saturating_add(slack) };
        let limit = proceeds.saturating_sub(slack);
        let sell = Swap { rollup: buy_on.other(), side: Side::Sell, gold, limit };
        let mut swaps = vec![buy, sell];
        swaps.sort_by_key(|swap| swap.rollup);
        Self { swaps }
    }
}

impl Market {
    /// A rollup's pool.
    pub fn pool(&self, rollup: Rollup) -> &Pool {
        &self.pools[rollup.index()]
    }

    /// Executes a trade on both rollups, or not at all.
    pub fn execute(&mut self, trade: &Trade) -> Option<Fill> {
        let mut after = *self;
        let mut fill = Fill::default();
        for swap in &trade.swaps {
            let pool = &mut after.pools[swap.rollup.index()];
            let dollars = pool.swap(swap.side, swap.gold, swap.limit)?;
            let (dollars, gold) = (i64::try_from(dollars).ok()?, i64::try_from(swap.gold).ok()?);
            match swap.side {
                Side::Buy => (fill.dollars, fill.gold) = (fill.dollars - dollars, fill.gold + gold),
                Side::Sell => {
                    (fill.dollars, fill.gold) = (fill.dollars + dollars, fill.gold - gold);
                }
            }
        }
        *self = after;
        Some(fill)
    }

    /// The most profitable arbitrage between the pools, if there is any.
    pub fn arbitrage(&self) -> Option<Arbitrage> {
        let best = Rollup::ALL.into_iter().filter_map(|buy_on| self.arbitrage_from(buy_on));
        best.max_by_key(Arbitrage::profit)
    }

    fn arbitrage_from(&self, buy_on: Rollup) -> Option<Arbitrage> {
        let (cheap, dear) = (self.pool(buy_on), self.pool(buy_on.other()));
        let at = |gold: u64| {
            let cost = cheap.quote(Side::Buy, gold)?;
            let proceeds = dear.quote(Side::Sell, gold)?;
            Some(Arbitrage { buy_on, gold, cost, proceeds })
        };
        let profit = |gold: u64| at(gold).map_or(i64::MIN, |found| found.profit());
        let gold = peak(0, cheap.gold / 2, profit);
        at(gold).filter(|found| found.profit() > 0)
    }

    /// What gold is worth when it is traded away, where that is better; dollars in units.
    pub fn closing_value(&self, gold: i64) -> i64 {
        let side = if gold > 0 { Side::Sell } else { Side::Buy };
        let quotes = self.pools.iter().filter_map(|pool| pool.quote(side, gold.unsigned_abs()));
        let quotes = quotes.filter_map(|quote| i64::try_from(quote).ok());
        match (gold, side) {
            (0, _) => 0,
            (_, Side::Sell) => quotes.max().unwrap_or(0),
            (_, Side::Buy) => -quotes.min().unwrap_or(i64::MAX),
        }
    }
}

impl Arbitrage {
    /// Units of dollars that it leaves.
    pub fn profit(&self) -> i64 {
        // Quotes are below 2^63: reserves are at most `MAX_UNITS`.
        self.proceeds as i64 - self.cost as i64
    }
}

/// Where a function of one peak is highest, between two numbers: within [`NEAR`] of it, but for the
/// ends, which are met exactly.
pub(super) fn peak(low: u64, high: u64, value: impl Fn(u64) -> i64) -> u64 {
    let ends = [low, high.max(low)];
    let [mut low, mut high] = ends;
    while high - low > NEAR {
        let third = (high - low) / 3;
        let (left, right) = (low + third, high - third);
        if value(left) < value(right) { low = left } else { high = right }
    }
    let middle = low + (high - low) / 2;
    let found = [ends[0], middle, ends[1]].map(|at| (value(at), at));
    found.into_iter().max().map_or(middle, |(_, at)| at)
}

/// The largest number from 0 to `high` that holds, if those that hold come first.
pub(super) fn last_that(high: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(0) {
        return None;
    }
    let (mut yes, mut no) = (0, high + 1);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(first: u64, second: u64) -> Market {
        let pool = |dollars| Pool { dollars: dollars * WHOLE, gold: 1_000 * WHOLE };
        Market { pools: [pool(first), pool(second)] }
    }

    #[test]
    fn the_best_arbitrage_is_best_and_leaves_none() {
        let mut market = market(2_000_000, 2_100_000);
        let found = market.arbitrage().unwrap();
        assert_eq!(found.buy_on, Rollup::First);
        for other in [found.gold / 2, found.gold - WHOLE, found.gold + WHOLE, found.gold * 2] {
            let cost = market.pools[0].quote(Side::Buy, other).unwrap();
            let proceeds = market.pools[1].quote(Side::Sell, other).unwrap();
            assert!(found.profit() >= proceeds as i64 - cost as i64, "{other}");
        }
        let fill = market.execute(&Trade::arbitrage(&found, 0)).unwrap();
        assert_eq!(fill, Fill { dollars: found.profit(), gold: 0 });
        assert!(market.arbitrage().is_none_or(|left| left.profit() < WHOLE as i64 / 100));
    }

    #[test]
    fn a_trade_is_all_or_nothing_invariant_2() {
        let mut market = market(2_000_000, 2_100_000);
        let found = market.arbitrage().unwrap();
        let greedy = Arbitrage { proceeds: found.proceeds + 1, ..found };
        let before = market;
        assert_eq!(market.execute(&Trade::arbitrage(&greedy, 0)), None);
        assert_eq!(market, before);
    }

    #[test]
    fn a_round_trip_costs_two_fees() {
        let mut market = market(2_000_000, 2_000_000);
        let gold = 5 * WHOLE;
        let buy = Swap::unlimited(Rollup::First, Side::Buy, gold);
        let bought = market.execute(&buy.into()).unwrap();
        let sold = market.execute(&Swap::unlimited(Rollup::First, Side::Sell, gold).into());
        let lost = -(bought.dollars + sold.unwrap().dollars);
        let whole = -bought.dollars;
        assert!(lost * 1_000 > whole * 5 && lost * 1_000 < whole * 7, "{lost} of {whole}");
    }
}
