//! The honest traders: who trades what when, drawn from a seed and the same in every arm.
//!
//! What is drawn of a swap is its time, payer, rollup, side, size and tolerance. Its limit follows
//! from the price that was public when it was sent, and so do the trades of the arbitrageurs: they
//! are rules, not lists, because what they see differs from arm to arm.
//!
//! | payers | of them | trade |
//! |---|---|---|
//! | ordinary | 14 | 0.25 to 4 ounces, anywhere, either way; tolerate 0.5 or 1 % |
//! | large | 3 | 4 to 16 ounces, anywhere, either way; 1 or 2 % |
//! | savers | 4 | always buy about half an ounce in one pool; 1 % |
//! | treasury | 1 | 6 to 10 ounces, 19 times of 20 the same way in one pool; 1 % |
//! | desks | 2 | 8 to 16 ounces anywhere, and right behind it the arbitrage that this leaves; 1 or 2 % |
//! | arbitrageurs | 3 | what the last public state leaves to be earned over both pools |
//!
//! Savers, the treasury and the desks have habits: what sealing can't hide of them is part of the meter.

use fairveil_ordering::naive::Dice;
use serde::Serialize;

use super::amm::{Market, Rollup, Side, Swap, WHOLE};
use super::network::MS;

/// Payers of swaps.
pub const PAYERS: usize = 24;
/// Traders that live from arbitrage.
pub const ARBITRAGEURS: usize = 3;
/// All honest accounts.
pub const TRADERS: usize = PAYERS + ARBITRAGEURS;
/// Periods in which every payer trades once.
pub const PERIODS: usize = 4;
/// How long a period is.
pub const PERIOD_US: u64 = 4_000 * MS;
/// When in a period a swap may be sent, so that the payer's last one has ended.
const SENDING_US: u64 = 3_000 * MS;
/// How long after its swap a desk sends its arbitrage.
pub const DESK_DELAY_US: u64 = 15 * MS;
/// Earlier swaps of each payer that everybody has seen.
pub const PAST_SWAPS: usize = 20;
/// Basis points of a whole.
pub const BASIS_POINTS: u64 = 10_000;

const HUNDREDTH: u64 = WHOLE / 100;

/// What a payer is used to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// None.
    Ordinary,
    /// None, and large.
    Large,
    /// The same small purchase.
    Saver,
    /// The same large trade.
    Treasury,
    /// A large trade with an arbitrage behind it.
    Desk,
}

/// What a trader wants before it looks at the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Where.
    pub rollup: Rollup,
    /// Which way.
    pub side: Side,
    /// Units of gold.
    pub gold: u64,
    /// How much worse than quoted it may be, in basis points.
    pub tolerance: u64,
}

/// A swap of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it is sent, in microseconds.
    pub at_us: u64,
    /// By whom.
    pub payer: usize,
    /// What is wanted.
    pub intent: Intent,
}

/// One payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// What it is used to.
    pub habit: Habit,
    /// Its swaps before the run, which are public.
    pub past: Vec<Intent>,
}

/// The flow of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// By account.
    pub payers: Vec<Payer>,
    /// In the order of their times.
    pub swaps: Vec<Planned>,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ordinary, Self::Large, Self::Saver, Self::Treasury, Self::Desk];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Large => "large",
            Self::Saver => "saver",
            Self::Treasury => "treasury",
            Self::Desk => "desk",
        }
    }

    /// Who has it, by account.
    pub const fn of(payer: usize) -> Self {
        match payer {
            0..14 => Self::Ordinary,
            14..17 => Self::Large,
            17..21 => Self::Saver,
            21..22 => Self::Treasury,
            _ => Self::Desk,
        }
    }

    fn intent(self, usual: (Rollup, Side), dice: &mut Dice) -> Intent {
        let anywhere = (dice.pick(&Rollup::ALL), dice.pick(&Side::ALL));
        let (wide, other_way) = (dice.chance(50), dice.chance(5));
        let mut between = |low: u64, high: u64| (low + dice.roll() % (high - low)) * HUNDREDTH;
        let percent = |wide_percent: u64, percent: u64| if wide { wide_percent } else { percent };
        let ((rollup, side), gold, tolerance) = match self {
            Self::Ordinary => (anywhere, between(25, 400), percent(100, 50)),
            Self::Large => (anywhere, between(400, 1_600), percent(200, 100)),
            Self::Saver => ((usual.0, Side::Buy), between(45, 55), 100),
            Self::Treasury => {
                let side = if other_way { usual.1.reverse() } else { usual.1 };
                ((usual.0, side), between(600, 1_000), 100)
            }
            Self::Desk => (anywhere, between(800, 1_600), percent(200, 100)),
        };
        Intent { rollup, side, gold, tolerance }
    }
}

impl Intent {
    /// The swap with the limit that the trader computes from the pools that it sees. None if they
    /// have not so much.
    pub fn swap(&self, seen: &Market) -> Option<Swap> {
        let Self { rollup, side, gold, tolerance } = *self;
        let quote = seen.pool(rollup).quote(side, gold)?;
        let share = match side {
            Side::Buy => BASIS_POINTS + tolerance,
            Side::Sell => BASIS_POINTS - tolerance,
        };
        let limit = u128::from(quote) * u128::from(share) / u128::from(BASIS_POINTS);
        Some(Swap { rollup, side, gold, limit: u64::try_from(limit).ok()? })
    }
}

impl Flow {
    /// The flow of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x666c_6f77_0000_0000);
        let (mut payers, mut swaps) = (Vec::new(), Vec::new());
        for payer in 0..PAYERS {
            let habit = Habit::of(payer);
            let usual = (dice.pick(&Rollup::ALL), dice.pick(&Side::ALL));
            let past = (0..PAST_SWAPS).map(|_| habit.intent(usual, &mut dice)).collect();
            payers.push(Payer { habit, past });
            for period in 0..PERIODS as u64 {
                let at_us = period * PERIOD_US + dice.roll() % SENDING_US;
                let intent = habit.intent(usual, &mut dice);
                swaps.push(Planned { at_us, payer, intent });
            }
        }
        swaps.sort_by_key(|planned| (planned.at_us, planned.payer));
        Self { payers, swaps }
    }

    /// When the last swap was sent at the latest.
    pub const fn end_us() -> u64 {
        PERIODS as u64 * PERIOD_US
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::chain::genesis_market;
    use super::*;

    #[test]
    fn a_flow_follows_from_its_seed() {
        assert_eq!(Flow::new(3), Flow::new(3));
        assert_ne!(Flow::new(3), Flow::new(4));
        assert_eq!(Flow::new(3).swaps.len(), PAYERS * PERIODS);
    }

    #[test]
    fn habits_are_kept() {
        let (mut same, mut all) = (0, 0);
        for seed in 0..200 {
            for payer in Flow::new(seed).payers {
                match payer.habit {
                    Habit::Saver => {
                        assert!(payer.past.iter().all(|intent| intent.side == Side::Buy));
                    }
                    Habit::Treasury => {
                        let buys = payer.past.iter().filter(|i| i.side == Side::Buy).count();
                        same += buys.max(PAST_SWAPS - buys);
                        all += PAST_SWAPS;
                    }
                    Habit::Ordinary | Habit::Large | Habit::Desk => {}
                }
            }
        }
        let percent = same * 100 / all;
        assert!((92..98).contains(&percent), "{percent} %");
    }

    #[test]
    fn a_limit_tolerates_what_was_said() {
        let market = genesis_market();
        for side in Side::ALL {
            let intent = Intent { rollup: Rollup::Second, side, gold: WHOLE, tolerance: 100 };
            let quote = market.pool(Rollup::Second).quote(side, WHOLE).unwrap();
            let limit = intent.swap(&market).unwrap().limit;
            let worse = quote.abs_diff(limit);
            assert!(worse.abs_diff(quote / 100) <= 1, "{side:?}: {worse} of {quote}");
        }
    }
}
