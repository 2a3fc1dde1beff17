//! Blocks: what a leader carries, the order that follows, and its execution.
//!
//! Leaders rotate. In mode `strict` a block carries what its leader knows of all five logs, in
//! pieces of 25 ms; in mode `leader` it carries a list: an honest leader's is its order of
//! reception.
//!
//! The fifth sequencer, where it is corrupt,
//!
//! 1. logs its own bundles when they are made, around their targets as the searcher wants them,
//!    and anything else only once it is placed: an absent id stands behind all present ones;
//! 2. as the leader in mode `strict`, tries to leave out what is new of each other log, and of all,
//!    and carries what places most of its bundles as wanted; and grinds its block's digest, which
//!    breaks the next ties;
//! 3. as the leader in mode `leader`, lists what it likes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::{Appended, FairOrder, Mode, Phase, Step};

use super::super::MevError;
use super::super::network::{CORRUPT, MS, SEQUENCERS};
use super::{Attacker, BLOCK_US, Event, FINAL_US, OPEN_US, Privacy, Purpose, Run};
use crate::mev::network::fast;

/// How often a sequencer tells the others the head of its log.
const PIECE_US: u64 = 25 * MS;
/// Digests that a corrupt leader tries, and ids that the searcher tries.
const GRINDING: u64 = 16;

/// Entries of the five logs that a block carries.
type Fragments = [Vec<(u64, usize)>; SEQUENCERS];

impl Run<'_> {
    /// The leader of a height.
    pub(super) fn leader(height: u64) -> usize {
        // Below 5.
        (height.wrapping_sub(1) % SEQUENCERS as u64) as usize
    }

    pub(super) fn block(&mut self, now: u64, height: u64) -> Result<(), MevError> {
        let leader = Self::leader(height);
        let ids = match self.arm.mode {
            Mode::Leader => {
                let list = self.list(now, leader)?;
                self.apply_list(height, &list)?
            }
            _ => {
                let known = self.fragments(now, leader);
                let carried = self.chosen(height, leader, known);
                self.apply_fragments(height, carried)?
            }
        };
        self.digests.push(self.digest(height, leader));
        self.execute(height, &ids)?;
        self.look_later(height, now);
        let known = match self.arm.privacy {
            Privacy::Plaintext => now + self.network.news_to_searcher(leader),
            Privacy::Sealed => now + FINAL_US + fast(OPEN_US),
        };
        self.schedule(known, Event::Known(height));
        Ok(())
    }

    /// What the leader knows of every log.
    fn fragments(&self, now: u64, leader: usize) -> Fragments {
        std::array::from_fn(|sequencer| {
            let sent = match sequencer == leader {
                true => now,
                false => {
                    let sent = now.saturating_sub(self.network.relay(sequencer, leader));
                    sent / PIECE_US * PIECE_US
                }
            };
            if self.network.is_honest(sequencer) {
                self.unlogged[sequencer].range(..=(sent, usize::MAX)).copied().collect()
            } else {
                let sent = now.saturating_sub(self.network.relay(sequencer, leader));
                self.searcher.log.iter().take_while(|(at, _)| *at <= sent).copied().collect()
            }
        })
    }

    /// What the leader carries of it.
    fn chosen(&self, height: u64, leader: usize, known: Fragments) -> Fragments {
        if leader != CORRUPT || self.network.is_honest(CORRUPT) {
            return known;
        }
        let without = |left_out: &dyn Fn(usize) -> bool| -> Fragments {
            std::array::from_fn(|at| if left_out(at) { Vec::new() } else { known[at].clone() })
        };
        let mut choices = vec![known.clone()];
        for omitted in 0..CORRUPT {
            choices.push(without(&|at| at == omitted));
        }
        choices.push(without(&|at| at != CORRUPT));
        let score = |choice: &Fragments| -> i64 {
            let mut order = self.order.clone();
            let ids = self.applied(&mut order, height, choice).unwrap_or_default();
            self.wanted(&ids)
        };
        // The first of those that are equally good: everything, if nothing is better.
        let scores: Vec<i64> = choices.iter().map(score).collect();
        let best = scores.iter().copied().max().unwrap_or(0);
        let place = scores.iter().position(|score| *score == best).unwrap_or(0);
        choices.swap_remove(place)
    }

    /// Pairs of own bundle and target that an order places as the searcher wants them, less those
    /// that it places otherwise.
    fn wanted(&self, ids: &[BundleId]) -> i64 {
        let places: BTreeMap<usize, usize> =
            ids.iter().enumerate().map(|(place, id)| (self.by_id[id], place)).collect();
        let judge = |(item, place): (&usize, &usize)| {
            let before = |target: &usize| match self.items[*target].place {
                Some(_) => false,
                None => places.get(target).is_none_or(|other| place < other),
            };
            match &self.items[*item].purpose {
                Purpose::Front { target } => {
                    if before(target) {
                        1
                    } else {
                        -1
                    }
                }
                Purpose::Back { target } | Purpose::BackRun { target: Some(target) } => {
                    if before(target) { -1 } else { 1 }
                }
                _ => 0,
            }
        };
        places.iter().map(judge).sum()
    }

    fn apply_fragments(
        &mut self,
        height: u64,
        carried: Fragments,
    ) -> Result<Vec<BundleId>, MevError> {
        let mut order = self.order.clone();
        let ids = self.applied(&mut order, height, &carried)?;
        self.order = order;
        for (sequencer, entries) in carried.into_iter().enumerate() {
            if sequencer == CORRUPT && !self.network.is_honest(CORRUPT) {
                self.searcher.log.drain(..entries.len());
            }
            for (at, item) in entries {
                self.unlogged[sequencer].remove(&(at, item));
                self.logs[sequencer].push((at, self.items[item].id));
            }
        }
        Ok(ids)
    }

    fn applied(
        &self,
        order: &mut FairOrder,
        height: u64,
        carried: &Fragments,
    ) -> Result<Vec<BundleId>, MevError> {
        let ids: Vec<Vec<BundleId>> = carried
            .iter()
            .map(|entries| entries.iter().map(|(_, item)| self.items[*item].id).collect())
            .collect();
        let appended: Vec<Appended<'_>> = (0u16..)
            .zip(&ids)
            .filter_map(|(place, ids)| {
                let sequencer = SequencerIndex::new(place + 1)?;
                Some(Appended { sequencer, ids, times_ms: &[], clock_ms: 0 })
            })
            .collect();
        let reaching = order.would_reach_edge(&appended, &[]);
        self.step(order, height, &appended, &[], reaching)
    }

    fn apply_list(&mut self, height: u64, list: &[usize]) -> Result<Vec<BundleId>, MevError> {
        let ids: Vec<BundleId> = list.iter().map(|item| self.items[*item].id).collect();
        let mut order = self.order.clone();
        let reaching = order.would_reach_edge(&[], &ids);
        let ids = self.step(&mut order, height, &[], &ids, reaching)?;
        self.order = order;
        Ok(ids)
    }

    fn step(
        &self,
        order: &mut FairOrder,
        height: u64,
        appended: &[Appended<'_>],
        list: &[BundleId],
        reaching: Vec<BundleId>,
    ) -> Result<Vec<BundleId>, MevError> {
        let step = Step {
            height: Height::new(height),
            seed: self.digests[self.digests.len() - 1],
            phase: Phase::Ordering,
            appended,
            list,
            expiries: &reaching.into_iter().map(|id| (id, Height::MAX)).collect(),
        };
        let output = order.apply(&step).map_err(|error| MevError::Order(error.to_string()))?;
        Ok(output.emission.ids().map(|emitted| emitted.id).collect())
    }

    /// A leader's list.
    fn list(&mut self, now: u64, leader: usize) -> Result<Vec<usize>, MevError> {
        if !self.network.is_honest(leader) {
            return self.composed(now);
        }
        let received = self.unlogged[leader].range(..=(now, usize::MAX));
        let waiting = received.filter(|(_, item)| self.items[*item].place.is_none());
        Ok(waiting.map(|(_, item)| *item).collect())
    }

    fn execute(&mut self, height: u64, ids: &[BundleId]) -> Result<(), MevError> {
        let items: Vec<usize> = ids.iter().map(|id| self.by_id[id]).collect();
        let trading: Vec<usize> =
            items.iter().copied().filter(|item| self.items[*item].written.is_some()).collect();
        let bundles: Vec<_> = trading
            .iter()
            .filter_map(|item| {
                let item = &self.items[*item];
                let written = item.written.as_ref()?;
                Some((item.account, &item.trade, item.nonces, &written.bundle))
            })
            .collect();
        let fills = match bundles.is_empty() {
            true => Vec::new(),
            false => self.chain.execute(&bundles)?,
        };
        for (index, item) in items.iter().enumerate() {
            self.items[*item].place = Some((height, index));
        }
        for (item, fill) in trading.into_iter().zip(fills) {
            self.items[item].fill = fill;
        }
        self.withheld(height * BLOCK_US, &items);
        self.snapshots.push(self.chain.market());
        Ok(())
    }

    /// The corrupt log takes what it withheld once that is placed.
    fn withheld(&mut self, now: u64, items: &[usize]) {
        let searcher = &mut self.searcher;
        for item in items {
            if searcher.logged.insert(*item) {
                searcher.log.push((now, *item));
            }
        }
    }

    /// A block's digest; the corrupt leader's is the one of many that suits it.
    fn digest(&self, height: u64, leader: usize) -> Digest {
        let digest = |number: u64| {
            let bytes = [self.seed, height, number].map(u64::to_be_bytes).concat();
            Digest::from_bytes(keccak256(bytes).0)
        };
        if self.network.is_honest(leader) || self.attacker == Attacker::Nobody {
            return digest(0);
        }
        let pairs: Vec<(BundleId, BundleId)> = self
            .items
            .iter()
            .filter(|item| item.place.is_none())
            .filter_map(|item| match item.purpose {
                Purpose::Front { target } => Some((item.id, self.items[target].id)),
                Purpose::Back { target } | Purpose::BackRun { target: Some(target) } => {
                    Some((self.items[target].id, item.id))
                }
                _ => None,
            })
            .collect();
        let suits = |seed: &Digest| {
            let first = |(first, last): &&(BundleId, BundleId)| key(seed, first) < key(seed, last);
            pairs.iter().filter(first).count()
        };
        let tried = if pairs.is_empty() { 1 } else { GRINDING };
        let found = (0..tried).map(digest).max_by_key(suits);
        found.unwrap_or_else(|| digest(0))
    }

    /// An honest bundle's id.
    pub(super) fn honest_id(&self, message: u64) -> BundleId {
        id(self.seed, message, 0)
    }

    /// An id of the searcher's: of many the one that stands first, or last, in the next ties.
    pub(super) fn ground_id(&self, number: u64, purpose: Purpose) -> BundleId {
        let seed = &self.digests[self.digests.len() - 1];
        let mut ids: Vec<BundleId> =
            (0..GRINDING).map(|try_| id(self.seed, 3 << 40 | number, try_)).collect();
        ids.sort_by_key(|id| key(seed, id));
        match purpose {
            Purpose::Back { .. } => ids[ids.len() - 1],
            _ => ids[0],
        }
    }
}

/// What breaks ties in the order.
fn key(seed: &Digest, id: &BundleId) -> Digest {
    hash(Tag::OrderKey, &[seed.as_bytes(), id.as_bytes()])
}

fn id(seed: u64, message: u64, nonce: u64) -> BundleId {
    let bytes = [seed, message, nonce].map(u64::to_be_bytes).concat();
    BundleId::from_bytes(keccak256([b"mev bundle".as_slice(), &bytes].concat()).0)
}

/// Items that a list names twice are named once.
pub(super) fn once(list: Vec<usize>) -> Vec<usize> {
    let mut named = BTreeSet::new();
    list.into_iter().filter(|item| named.insert(*item)).collect()
}
