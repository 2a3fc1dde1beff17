//! What the searcher does about a bundle, given what he believes that it does.
//!
//! A *belief* is a list of swaps that are equally likely. Where he can read, it holds the one swap
//! that is there; where he can't, the swaps that the payer made before. So all arms have the same
//! strategies, sized by the same model, and differ in knowledge alone.
//!
//! - A *sandwich* is a front of the victim's side and a back of the other. Behind the victim the front
//!   fails by its limit. The back is signed for the nonce after the front's, so it is valid behind it
//!   alone. Where the victim is known it takes no less than the front cost; a lost bet is closed at
//!   once.
//! - A *back-run* is an arbitrage over both pools behind the victim, one for each way that it may go.
//!   Limits leave a profit: if the victim went another way, it is dropped.
//! - An *arbitrage* takes what a state leaves to be earned, with the same limits.
//!
//! A bundle that is dropped costs its fee and nothing else. Every plan is worth more, in the mean
//! over the belief and after fees, than doing nothing; a bet on a sandwich, which can lose, by more
//! than the mean's standard error.
//!
//! # Invariants
//!
//! 1. A sandwich of a swap that is known is as large as the victim's limit and the pool allow.
//! 2. Nothing is planned whose expectation is not positive.

use super::amm::{Arbitrage, Market, Rollup, Side, Swap, Trade, WHOLE, last_that, peak};
use super::flow::Intent;

/// What a network charges for 512 bytes of a bundle's size class, also when it is dropped: five
/// cents, in units of dollars.
pub const FEE_PER_512_BYTES: i64 = WHOLE as i64 / 20;
/// What a single swap pays.
pub const SWAP_FEE: i64 = FEE_PER_512_BYTES;
/// What an arbitrage pays: it needs the next size class.
pub const ARBITRAGE_FEE: i64 = 2 * FEE_PER_512_BYTES;
/// Of the swaps that may come, from the smallest, those that a plan is sized by, in percent.
const SIZED_BY: [usize; 4] = [10, 35, 60, 85];
/// Of what the front paid, the part that is given up at most to close a lost bet at once.
const GIVEN_UP: u64 = 40;
/// The most gold that a sandwich takes of a pool: a third.
const LARGEST_PART: u64 = 3;

/// A sandwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandwich {
    /// Before the victim.
    pub front: Swap,
    /// After it.
    pub back: Swap,
    /// What it is expected to leave after fees, in units of dollars.
    pub expected: i64,
}

/// What is done about a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Around it.
    pub sandwich: Option<Sandwich>,
    /// Behind it.
    pub runs: Vec<Trade>,
}

/// What a payer's past says of its next swap, with the limits that it computes from the pools that
/// it sees.
pub fn hypotheses(seen: &Market, past: &[Intent]) -> Vec<Swap> {
    past.iter().filter_map(|intent| intent.swap(seen)).collect()
}

/// The best sandwich around a swap that is one of these.
pub fn sandwich(state: &Market, belief: &[Swap]) -> Option<Sandwich> {
    let sized = ways().flat_map(|way| sized(&going(belief, way)));
    let fronts = sized.filter_map(|swap| largest(state, &[swap]));
    let best = fronts.filter_map(|front| {
        let gains = belief.iter().map(|swap| sandwiched(state, &front, &[*swap]) - 2 * SWAP_FEE);
        let gains: Vec<i64> = gains.collect();
        let expected = mean(gains.iter().copied())?;
        Some((expected, expected - standard_error(&gains, expected), front))
    });
    let best = best.filter(|(_, surely, _)| *surely > 0);
    let (expected, _, front) = best.max_by_key(|(expected, _, front)| (*expected, front.gold))?;
    let paid = state.pool(front.rollup).quote(front.side, front.gold)?;
    let limit = match (belief.len(), front.side) {
        (1, _) => paid,
        (_, Side::Buy) => paid - paid / GIVEN_UP,
        (_, Side::Sell) => paid + paid / GIVEN_UP,
    };
    let back = Swap { side: front.side.reverse(), limit, ..front };
    Some(Sandwich { front, back, expected })
}

/// Pool and side: the ways that a swap may go.
fn ways() -> impl Iterator<Item = (Rollup, Side)> {
    Rollup::ALL.into_iter().flat_map(|rollup| Side::ALL.map(|side| (rollup, side)))
}

/// Those of a belief that go one way, from the smallest.
fn going(belief: &[Swap], way: (Rollup, Side)) -> Vec<Swap> {
    let mut going: Vec<Swap> =
        belief.iter().filter(|swap| (swap.rollup, swap.side) == way).copied().collect();
    going.sort_by_key(|swap| (swap.gold, swap.limit));
    going
}

/// The few of them that plans are sized by.
fn sized(going: &[Swap]) -> Vec<Swap> {
    let mut sized: Vec<Swap> =
        SIZED_BY.iter().filter_map(|part| going.get(going.len() * part / 100)).copied().collect();
    sized.dedup();
    sized
}

/// The best sandwich around swaps that are known, go one way and stand in this order: it pays two
/// fees where one around each pays two for each.
pub fn sandwich_together(state: &Market, victims: &[Swap]) -> Option<Sandwich> {
    let mut after = *state;
    let executed: Vec<Swap> =
        victims.iter().filter(|swap| after.execute(&(**swap).into()).is_some()).copied().collect();
    let front = largest(state, &executed)?;
    let expected = sandwiched(state, &front, &executed) - 2 * SWAP_FEE;
    let back = Swap { side: front.side.reverse(), ..front };
    (expected > 0).then_some(Sandwich { front, back, expected })
}

/// The front that earns most around swaps that are known and go one way; its limit is today's price.
fn largest(state: &Market, victims: &[Swap]) -> Option<Swap> {
    let Swap { rollup, side, .. } = *victims.first()?;
    let front = |gold: u64| -> Option<Swap> {
        let limit = state.pool(rollup).quote(side, gold)?;
        Some(Swap { rollup, side, gold, limit })
    };
    let are_executed = |gold: u64| {
        let Some(front) = front(gold) else { return false };
        let mut after = *state;
        after.execute(&front.into()).is_some()
            && victims.iter().all(|victim| after.execute(&(*victim).into()).is_some())
    };
    let most = last_that(state.pool(rollup).gold / LARGEST_PART, are_executed)?;
    let profit =
        |gold: u64| front(gold).map_or(i64::MIN, |front| sandwiched(state, &front, victims));
    front(peak(0, most, profit)).filter(|front| front.gold > 0)
}

/// What front and back earn around swaps, whatever they do, before fees.
fn sandwiched(state: &Market, front: &Swap, victims: &[Swap]) -> i64 {
    let mut after = *state;
    let Some(first) = after.execute(&(*front).into()) else { return 0 };
    for victim in victims {
        after.execute(&(*victim).into());
    }
    let back = Swap::unlimited(front.rollup, front.side.reverse(), front.gold);
    after.execute(&back.into()).map_or(first.dollars, |second| first.dollars + second.dollars)
}

/// The arbitrages behind a swap that is one of these: at most one for each way that it may go.
pub fn back_runs(state: &Market, belief: &[Swap]) -> Vec<Trade> {
    let after: Vec<Market> = belief
        .iter()
        .map(|swap| {
            let mut after = *state;
            after.execute(&(*swap).into());
            after
        })
        .collect();
    let run = |way: (Rollup, Side)| {
        let sized = sized(&going(belief, way)).into_iter();
        let trades = sized.filter_map(|swap| {
            let mut market = *state;
            market.execute(&swap.into());
            let trade = arbitrage(&market)?;
            let gains = after.iter().map(|market| gain(market, &trade));
            Some((mean(gains).unwrap_or(0) - ARBITRAGE_FEE, trade))
        });
        let (expected, trade) = trades.max_by_key(|(expected, _)| *expected)?;
        (expected > 0).then_some(trade)
    };
    ways().filter_map(run).collect()
}

/// The arbitrage that a state leaves, if it is worth its fee.
pub fn arbitrage(state: &Market) -> Option<Trade> {
    guarded(&state.arbitrage()?)
}

/// With limits that leave what it costs, and a quarter of its profit.
fn guarded(found: &Arbitrage) -> Option<Trade> {
    let profit = found.profit();
    if profit <= ARBITRAGE_FEE {
        return None;
    }
    let slack = (profit - ARBITRAGE_FEE) * 3 / 8;
    Some(Trade::arbitrage(found, slack.unsigned_abs()))
}

fn gain(market: &Market, trade: &Trade) -> i64 {
    let mut after = *market;
    after.execute(trade).map_or(0, |fill| fill.dollars)
}

/// Of a mean, as few earlier swaps say it: without it luck of the past looks like a habit.
fn standard_error(values: &[i64], mean: i64) -> i64 {
    if values.len() < 2 {
        return 0;
    }
    let squares: f64 = values.iter().map(|value| ((value - mean) as f64).powi(2)).sum();
    let count = values.len() as f64;
    (squares / (count - 1.0) / count).sqrt() as i64
}

fn mean(values: impl Iterator<Item = i64>) -> Option<i64> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::chain::genesis_market;
    use super::*;

    fn intent(gold: u64, side: Side, tolerance: u64) -> Intent {
        Intent { rollup: Rollup::First, side, gold: gold * WHOLE, tolerance }
    }

    #[test]
    fn a_sandwich_is_as_large_as_the_limit_allows_invariant_1() {
        let market = genesis_market();
        for side in Side::ALL {
            let victim = intent(10, side, 100).swap(&market).unwrap();
            let found = sandwich(&market, &[victim]).unwrap();
            let run = |gold: u64| {
                let limit = market.pool(Rollup::First).quote(side, gold).unwrap();
                let mut after = market;
                after.execute(&Swap { gold, limit, ..found.front }.into()).unwrap();
                after.execute(&victim.into())
            };
            assert!(run(found.front.gold).is_some(), "the victim is still executed");
            assert!(run(found.front.gold + WHOLE / 1_000).is_none(), "{side:?}: no larger one");
            let mut after = market;
            let first = after.execute(&found.front.into()).unwrap();
            after.execute(&victim.into()).unwrap();
            let second = after.execute(&found.back.into()).unwrap();
            assert_eq!(first.gold + second.gold, 0);
            assert_eq!(first.dollars + second.dollars, found.expected + 2 * SWAP_FEE);
        }
    }

    #[test]
    fn victims_of_one_way_pay_more_together() {
        let market = genesis_market();
        let mut quoted = market;
        let victims = [8, 9].map(|gold| {
            let victim = intent(gold, Side::Buy, 200).swap(&quoted).unwrap();
            quoted.execute(&victim.into()).unwrap();
            victim
        });
        let together = sandwich_together(&market, &victims).unwrap();
        let (mut after, mut alone) = (market, 0);
        for victim in &victims {
            let found = sandwich(&after, &[*victim]).unwrap();
            for swap in [found.front, *victim, found.back] {
                after.execute(&swap.into()).unwrap();
            }
            alone += found.expected;
        }
        assert!(together.expected > alone, "{} and {alone}", together.expected);
    }

    #[test]
    fn small_victims_are_left_alone_invariant_2() {
        let market = genesis_market();
        let victim = intent(1, Side::Buy, 100).swap(&market).unwrap();
        assert_eq!(sandwich(&market, &[victim]), None);
    }

    #[test]
    fn who_may_go_either_way_is_not_bet_on_and_who_has_a_habit_is() {
        let market = genesis_market();
        let either: Vec<Intent> =
            [Side::Buy, Side::Sell].iter().map(|side| intent(10, *side, 100)).collect();
        assert_eq!(sandwich(&market, &hypotheses(&market, &either)), None);
        let habit = vec![intent(10, Side::Buy, 100); 20];
        assert!(sandwich(&market, &hypotheses(&market, &habit)).is_some());
    }

    #[test]
    fn behind_a_large_swap_there_is_something_to_earn_whichever_way_it_goes() {
        let market = genesis_market();
        let either: Vec<Intent> =
            [Side::Buy, Side::Sell].iter().map(|side| intent(12, *side, 100)).collect();
        let runs = back_runs(&market, &hypotheses(&market, &either));
        assert_eq!(runs.len(), 2);
        for side in Side::ALL {
            let mut after = market;
            after.execute(&intent(12, side, 100).swap(&market).unwrap().into()).unwrap();
            let gains = runs.iter().filter_map(|run| after.execute(run));
            let gains: Vec<i64> = gains.map(|fill| fill.dollars).collect();
            assert_eq!(gains.len(), 1, "one is executed, the other is dropped");
            assert!(gains[0] > ARBITRAGE_FEE);
        }
    }
}
