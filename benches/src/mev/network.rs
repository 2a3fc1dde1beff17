//! Who hears what when.
//!
//! ```text
//! trader ── 10 to 60 ms, jitter 0 to 10 ──> each of the five sequencers
//! sequencer ── 8 to 30 ms, jitter 0 to 10 ──> each other one: bundles are relayed, log heads sent
//! searcher ── 2.5 times as fast as his sequencer's ──> each sequencer, and back
//! ```
//!
//! A trader sends to all sequencers; each receives directly, or from the first honest one that
//! relays. The searcher hears of a bundle when the first sequencer that has it tells him, or at once
//! when his own receives it.
//!
//! # Invariants
//!
//! 1. Links and jitter follow from the seed and from the name of the message, never from the arm:
//!    the same swap arrives at the same times in all of them.
//! 2. Nobody hears of a bundle before it was sent.

use fairveil_ordering::naive::Dice;

use super::flow::TRADERS;

/// Sequencers.
pub const SEQUENCERS: usize = 5;
/// Of these, liars that the order tolerates.
pub const LIARS: u16 = 1;
/// The place of the sequencer that the searcher controls.
pub const CORRUPT: usize = SEQUENCERS - 1;
/// How much faster the searcher's links are, in tenths.
pub const SPEED_TENTHS: u64 = 25;

/// Microseconds in a millisecond.
pub const MS: u64 = 1_000;
const TRADER_LINK: [u64; 2] = [10 * MS, 60 * MS];
const RELAY_LINK: [u64; 2] = [8 * MS, 30 * MS];
/// From the searcher to the sequencer beside him.
const OWN_LINK: u64 = MS;
const JITTER: u64 = 10 * MS;
/// What verifying a bundle takes before it is logged and relayed.
const ADMISSION: u64 = 2 * MS;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A trader, by its account.
    Trader(usize),
    /// The searcher.
    Searcher,
}

/// Whether the fifth sequencer is the searcher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fifth {
    /// It lies wherever that helps the searcher, and relays nothing.
    Corrupt,
    /// It is like the others.
    Honest,
}

/// When a bundle is where, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// At each sequencer.
    pub received: [u64; SEQUENCERS],
    /// At the searcher.
    pub heard: u64,
}

/// The links of a run.
#[derive(Clone, Debug)]
pub struct Network {
    seed: u64,
    fifth: Fifth,
    traders: Vec<[u64; SEQUENCERS]>,
    relays: [[u64; SEQUENCERS]; SEQUENCERS],
    searcher: [u64; SEQUENCERS],
}

/// What a link takes that is as much faster as the searcher's are.
pub const fn fast(us: u64) -> u64 {
    us * 10 / SPEED_TENTHS
}

impl Network {
    /// The links of a seed.
    pub fn new(seed: u64, fifth: Fifth) -> Self {
        let mut dice = Dice::new(seed ^ 0x6e65_7477_6f72_6b00);
        let mut link = |[low, high]: [u64; 2]| low + dice.roll() % (high - low);
        let traders = (0..TRADERS).map(|_| [(); SEQUENCERS].map(|()| link(TRADER_LINK))).collect();
        let mut relays = [[0; SEQUENCERS]; SEQUENCERS];
        for (from, to) in (0..SEQUENCERS).flat_map(|from| (0..from).map(move |to| (from, to))) {
            let us = link(RELAY_LINK);
            (relays[from][to], relays[to][from]) = (us, us);
        }
        // Beside the fifth sequencer, in it if that is his.
        let searcher = relays[CORRUPT].map(|us| if us == 0 { OWN_LINK } else { fast(us) });
        Self { seed, fifth, traders, relays, searcher }
    }

    /// When a bundle that is sent now arrives; `message` names it.
    pub fn arrivals(&self, sender: Sender, message: u64, sent_us: u64) -> Arrivals {
        let mut dice = Dice::new(self.seed.rotate_left(32) ^ message.wrapping_mul(0x2545_f491));
        // The first numbers of neighbouring seeds are alike.
        dice.roll();
        let direct: [u64; SEQUENCERS] = std::array::from_fn(|to| match sender {
            Sender::Trader(account) => self.traders[account][to] + dice.roll() % JITTER,
            Sender::Searcher => self.searcher[to] + dice.roll() % fast(JITTER),
        });
        let direct = direct.map(|link| sent_us + link + ADMISSION);
        let mut received = direct;
        for from in (0..SEQUENCERS).filter(|from| self.is_honest(*from)) {
            for (to, received) in received.iter_mut().enumerate() {
                let relayed = direct[from] + self.relays[from][to] + dice.roll() % JITTER;
                *received =
                    (*received).min(if from == to { u64::MAX } else { relayed + ADMISSION });
            }
        }
        let beside = |at: usize| received[at] + if at == CORRUPT { 0 } else { self.searcher[at] };
        let heard = match sender {
            Sender::Trader(_) => (0..SEQUENCERS).map(beside).min().unwrap_or(u64::MAX),
            Sender::Searcher => sent_us,
        };
        Arrivals { received, heard }
    }

    /// Whether a sequencer follows the rules.
    pub fn is_honest(&self, sequencer: usize) -> bool {
        sequencer != CORRUPT || self.fifth == Fifth::Honest
    }

    /// What a log's head takes from one sequencer to another.
    pub fn relay(&self, from: usize, to: usize) -> u64 {
        let us = self.relays[from][to];
        if self.is_honest(from) && self.is_honest(to) { us } else { fast(us) }
    }

    /// What the searcher's bundle takes to a sequencer without jitter, verified there.
    pub fn searcher(&self, to: usize) -> u64 {
        self.searcher[to] + ADMISSION
    }

    /// The longest jitter of the searcher's links.
    pub const fn searcher_jitter() -> u64 {
        fast(JITTER)
    }

    /// What the nearest sequencer's news takes to a trader.
    pub fn news(&self, account: usize) -> u64 {
        self.traders[account].into_iter().min().unwrap_or(0)
    }

    /// What a sequencer's news takes to the searcher.
    pub fn news_to_searcher(&self, from: usize) -> u64 {
        if self.is_honest(from) { self.searcher[from] } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hears_before_it_was_sent_and_every_arm_at_the_same_time() {
        for seed in 1..50 {
            let network = Network::new(seed, Fifth::Corrupt);
            let arrivals = network.arrivals(Sender::Trader(3), 17, 1_000);
            assert!(arrivals.received.iter().all(|at| *at > 1_000));
            assert!(arrivals.heard > 1_000);
            assert!(arrivals.heard <= arrivals.received[CORRUPT]);
            assert_eq!(
                arrivals,
                Network::new(seed, Fifth::Corrupt).arrivals(Sender::Trader(3), 17, 1_000)
            );
            let own = network.arrivals(Sender::Searcher, 18, 1_000);
            assert_eq!(own.heard, 1_000);
            for at in 0..SEQUENCERS {
                let limit = 1_000 + network.searcher(at) + Network::searcher_jitter();
                assert!(own.received[at] <= limit);
            }
        }
    }

    #[test]
    fn messages_have_jitter_of_their_own() {
        let network = Network::new(1, Fifth::Honest);
        let jitter = |message| network.arrivals(Sender::Trader(0), message, 0).received;
        assert_ne!(jitter(1), jitter(2));
    }
}
