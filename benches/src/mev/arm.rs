//! One run: a flow of swaps through one arm, with or without a searcher.
//!
//! ```text
//! swap sent ─> arrives at the sequencers ─> order logs ─┐
//!        └──> heard by the searcher ─> plan ─> bundles ─┤
//!                                                       ▼ every 200 ms
//!                                    FairOrder::apply: the order ─> both rollups execute it
//!                                                       │
//!               public to traders <─ final (60 ms), opened if sealed (35 ms), a link away
//! ```
//!
//! | who | plaintext | sealed |
//! |---|---|---|
//! | a trader sees a block's effects | when it is final, a link later | when it is opened, a link later |
//! | the searcher hears of a bundle | its contents, payer, time | payer, size class, time |
//! | the searcher sees a block's effects | when it is proposed | when it is opened: his own share is one of those needed, the others come 2.5 times as fast |
//!
//! What the searcher is granted beyond that: when a bundle reaches each sequencer, jitter
//! included; every payer's earlier swaps and tolerances; the digest that breaks the next ties; as
//! many funded payers as he likes.
//!
//! # Invariants
//!
//! 1. A run follows from its seed, arm and attacker.
//! 2. Honest logs are the true orders of reception.
//! 3. What the searcher does depends on what he knows: of a sealed bundle never on its contents
//!    before they are opened to him.

mod attack;
mod blocks;
mod own_block;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::envelope::SizeClass;
use fairveil_crypto::{BundleId, Digest};
use fairveil_ordering::{Committee, FairOrder, Mode};
use serde::Serialize;

use self::attack::Searcher;
pub use self::tally::{Outcome, SwapOutcome, Tally};
use super::MevError;
use super::amm::{Fill, Market, Rollup, Trade};
use super::chain::{Chain, Contracts, TRANSACTIONS_PER_SWAP, Written, genesis_market};
use super::flow::{ARBITRAGEURS, DESK_DELAY_US, Flow, Habit, PAYERS};
use super::network::{Arrivals, CORRUPT, Fifth, LIARS, MS, Network, SEQUENCERS, Sender};
use super::plan;

/// How far blocks are apart.
pub const BLOCK_US: u64 = 200 * MS;
/// From the proposal of a block to its certificate.
pub const FINAL_US: u64 = 60 * MS;
/// From the certificate to the opened bundles.
pub const OPEN_US: u64 = 35 * MS;
/// Blocks after the last swap in which everything that is on its way must be placed.
const DRAIN_BLOCKS: u64 = 12;
/// All blocks of a run.
pub const BLOCKS: u64 = Flow::end_us() / BLOCK_US + DRAIN_BLOCKS;

/// Whether bundles can be read before they are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// They can.
    Plaintext,
    /// Only payer, nonce, size class and times are seen.
    Sealed,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Arm {
    /// Who reads what.
    pub privacy: Privacy,
    /// Who decides the order.
    pub mode: Mode,
}

/// A way to earn at others' cost, or before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A trade before and one after a swap.
    Sandwich,
    /// An arbitrage that is heard of is made first.
    Copy,
    /// The arbitrage behind a swap that nobody can see executed yet.
    BackRun,
    /// An arbitrage over states that are public.
    AfterRelease,
}

/// Who attacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attacker {
    /// Nobody: all five sequencers are honest.
    Nobody,
    /// The searcher, with these strategies.
    Searcher(BTreeSet<Strategy>),
    /// Somebody on the searcher's links who sends two bundles that trade nothing around every
    /// swap, with the fifth sequencer's help or without: positions alone.
    Probe(Fifth),
}

/// Why a bundle is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Swap { number: usize },
    DeskArbitrage,
    Arbitrage,
    Front { target: usize },
    Back { target: usize },
    BackRun { target: Option<usize> },
    Copy,
    AfterRelease,
    Close { front: usize },
}

/// A bundle of a run.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: BundleId,
    pub(crate) account: usize,
    pub(crate) trade: Trade,
    pub(crate) nonces: [u64; 2],
    /// None of a probe, which trades nothing.
    pub(crate) written: Option<Written>,
    pub(crate) purpose: Purpose,
    /// None until it is sent, and of what a corrupt leader lists without sending it.
    pub(crate) arrivals: Option<Arrivals>,
    /// Height and index.
    pub(crate) place: Option<(u64, usize)>,
    pub(crate) fill: Option<Fill>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Swap(usize),
    Desk { swap: usize },
    Look { arbitrageur: usize, height: u64 },
    Heard(usize),
    Known(u64),
    Broadcast(usize),
    Block(u64),
}

/// What one sequencer's log grew by in a block: when it received what.
pub type Logged = (u64, BundleId);

/// A run that is going on.
pub struct Run<'a> {
    contracts: &'a Contracts,
    seed: u64,
    arm: Arm,
    attacker: Attacker,
    flow: &'a Flow,
    network: Network,
    chain: Chain,
    order: FairOrder,
    items: Vec<Item>,
    by_id: BTreeMap<BundleId, usize>,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    /// By sequencer: what it received and no block carries yet, in the order of reception.
    unlogged: [BTreeSet<(u64, usize)>; SEQUENCERS],
    /// By sequencer: what blocks carried.
    logs: [Vec<Logged>; SEQUENCERS],
    /// Reserves after each height.
    snapshots: Vec<Market>,
    digests: Vec<Digest>,
    searcher: Searcher,
    tally: Tally,
}

impl Arm {
    /// The four, from the one without any protection.
    pub const ALL: [Self; 4] = [
        Self { privacy: Privacy::Plaintext, mode: Mode::Leader },
        Self { privacy: Privacy::Plaintext, mode: Mode::Strict },
        Self { privacy: Privacy::Sealed, mode: Mode::Leader },
        Self { privacy: Privacy::Sealed, mode: Mode::Strict },
    ];

    /// Its name.
    pub fn name(self) -> String {
        let privacy = match self.privacy {
            Privacy::Plaintext => "plaintext",
            Privacy::Sealed => "sealed",
        };
        format!("{privacy}, {}", self.mode.name())
    }
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sandwich, Self::Copy, Self::BackRun, Self::AfterRelease];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sandwich => "sandwich",
            Self::Copy => "copy",
            Self::BackRun => "back-run before release",
            Self::AfterRelease => "back-run after release",
        }
    }
}

impl Attacker {
    /// The searcher with everything.
    pub fn searcher() -> Self {
        Self::Searcher(Strategy::ALL.into())
    }

    const fn fifth(&self) -> Fifth {
        match self {
            Self::Nobody => Fifth::Honest,
            Self::Searcher(_) => Fifth::Corrupt,
            Self::Probe(fifth) => *fifth,
        }
    }
}

impl Item {
    fn class(&self) -> SizeClass {
        self.written.as_ref().map_or(SizeClass::MIN, |written| written.class)
    }

    const fn is_honest(&self) -> bool {
        matches!(self.purpose, Purpose::Swap { .. } | Purpose::DeskArbitrage | Purpose::Arbitrage)
    }
}

impl<'a> Run<'a> {
    /// Before the first event.
    ///
    /// # Errors
    ///
    /// If the contracts can't be simulated.
    pub fn new(
        contracts: &'a Contracts,
        flow: &'a Flow,
        seed: u64,
        arm: Arm,
        attacker: Attacker,
    ) -> Result<Self, MevError> {
        let n = u16::try_from(SEQUENCERS).unwrap_or(u16::MAX);
        let committee =
            Committee::new(n, LIARS, 0).map_err(|error| MevError::Order(error.to_string()))?;
        let mut run = Self {
            contracts,
            seed,
            arm,
            network: Network::new(seed, attacker.fifth()),
            attacker,
            flow,
            chain: contracts.chain()?,
            order: FairOrder::unbounded(committee, arm.mode),
            items: Vec::new(),
            by_id: BTreeMap::new(),
            queue: BTreeMap::new(),
            events: 0,
            unlogged: std::array::from_fn(|_| BTreeSet::new()),
            logs: std::array::from_fn(|_| Vec::new()),
            snapshots: vec![genesis_market()],
            digests: vec![Digest::from_bytes([0; 32])],
            searcher: Searcher::new(flow),
            tally: Tally::default(),
        };
        for (number, planned) in flow.swaps.iter().enumerate() {
            run.schedule(planned.at_us, Event::Swap(number));
        }
        for height in 1..=BLOCKS {
            run.schedule(height * BLOCK_US, Event::Block(height));
        }
        Ok(run)
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// If model and EVM differ, or a step of the order is refused.
    pub fn finish(mut self) -> Result<Outcome, MevError> {
        while let Some(((now, _), event)) = self.queue.pop_first() {
            match event {
                Event::Swap(number) => self.send_swap(now, number)?,
                Event::Desk { swap } => self.send_behind(now, swap)?,
                Event::Look { arbitrageur, height } => self.look(now, arbitrageur, height)?,
                Event::Heard(item) => self.heard(now, item)?,
                Event::Known(height) => self.known(now, height)?,
                Event::Broadcast(item) => self.broadcast(now, item),
                Event::Block(height) => self.block(now, height)?,
            }
        }
        self.outcome()
    }

    fn schedule(&mut self, at_us: u64, event: Event) {
        self.events += 1;
        self.queue.insert((at_us, self.events), event);
    }

    /// The last height whose effects a trader sees.
    fn visible(&self, now: u64, account: usize) -> Market {
        let delay = self.public_delay() + self.network.news(account);
        let height = now.saturating_sub(delay) / BLOCK_US;
        let last = self.snapshots.len() - 1;
        self.snapshots[usize::try_from(height).map_or(last, |height| height.min(last))]
    }

    const fn public_delay(&self) -> u64 {
        match self.arm.privacy {
            Privacy::Plaintext => FINAL_US,
            Privacy::Sealed => FINAL_US + OPEN_US,
        }
    }

    fn send_swap(&mut self, now: u64, number: usize) -> Result<(), MevError> {
        let planned = self.flow.swaps[number];
        let seen = self.visible(now, planned.payer);
        let Some(swap) = planned.intent.swap(&seen) else { return Ok(()) };
        let message = number as u64;
        let item =
            self.send_honest(now, planned.payer, swap.into(), Purpose::Swap { number }, message)?;
        if Habit::of(planned.payer) == Habit::Desk {
            self.schedule(now + DESK_DELAY_US, Event::Desk { swap: item });
        }
        Ok(())
    }

    /// A desk's arbitrage behind its own swap.
    fn send_behind(&mut self, now: u64, swap: usize) -> Result<(), MevError> {
        let (account, trade) = (self.items[swap].account, self.items[swap].trade.clone());
        let mut seen = self.visible(now - DESK_DELAY_US, account);
        seen.execute(&trade);
        let Some(trade) = plan::arbitrage(&seen) else { return Ok(()) };
        let message = 1 << 40 | swap as u64;
        self.send_honest(now, account, trade, Purpose::DeskArbitrage, message).map(|_| ())
    }

    /// An arbitrageur sees a new height.
    fn look(&mut self, now: u64, account: usize, height: u64) -> Result<(), MevError> {
        let own = self.items.iter().rev().find(|item| item.account == account);
        let is_waiting =
            own.is_some_and(|item| item.place.is_none_or(|(placed, _)| placed > height));
        let seen = self.snapshots[usize::try_from(height).unwrap_or(0)];
        let Some(trade) = plan::arbitrage(&seen).filter(|_| !is_waiting) else { return Ok(()) };
        let message = 2 << 40 | (account as u64) << 20 | height;
        self.send_honest(now, account, trade, Purpose::Arbitrage, message).map(|_| ())
    }

    fn send_honest(
        &mut self,
        now: u64,
        account: usize,
        trade: Trade,
        purpose: Purpose,
        message: u64,
    ) -> Result<usize, MevError> {
        let waiting = |rollup: Rollup| {
            let own = self.items.iter().filter(|item| {
                item.account == account
                    && item.place.is_none()
                    && item.trade.swaps().iter().any(|swap| swap.rollup == rollup)
            });
            own.count() as u64 * TRANSACTIONS_PER_SWAP
        };
        let nonces = Rollup::ALL.map(|rollup| self.chain.nonce(account, rollup) + waiting(rollup));
        let id = self.honest_id(message);
        let item = self.add(id, account, trade, nonces, purpose)?;
        let arrivals = self.network.arrivals(Sender::Trader(account), message, now);
        self.arrive(item, arrivals);
        self.schedule(arrivals.heard, Event::Heard(item));
        Ok(item)
    }

    fn add(
        &mut self,
        id: BundleId,
        account: usize,
        trade: Trade,
        nonces: [u64; 2],
        purpose: Purpose,
    ) -> Result<usize, MevError> {
        let written = match trade.is_empty() {
            true => None,
            false => Some(self.contracts.write(account, &trade, nonces)?),
        };
        let (arrivals, place, fill) = (None, None, None);
        let item = Item { id, account, trade, nonces, written, purpose, arrivals, place, fill };
        self.items.push(item);
        self.by_id.insert(id, self.items.len() - 1);
        Ok(self.items.len() - 1)
    }

    fn arrive(&mut self, item: usize, arrivals: Arrivals) {
        self.items[item].arrivals = Some(arrivals);
        for (sequencer, at) in arrivals.received.into_iter().enumerate() {
            if self.network.is_honest(sequencer) {
                self.unlogged[sequencer].insert((at, item));
            }
        }
    }

    /// When a bundle can be in a sequencer's block: the searcher forwards to his own what he hears.
    fn held(&self, item: &Item, sequencer: usize) -> u64 {
        let Some(arrivals) = item.arrivals else { return u64::MAX };
        let is_corrupt = sequencer == CORRUPT && !self.network.is_honest(sequencer);
        if is_corrupt { arrivals.heard } else { arrivals.received[sequencer] }
    }

    fn look_later(&mut self, height: u64, proposed_us: u64) {
        for arbitrageur in PAYERS..PAYERS + ARBITRAGEURS {
            let at = proposed_us + self.public_delay() + self.network.news(arbitrageur);
            self.schedule(at, Event::Look { arbitrageur, height });
        }
    }
}
