//! What holds at the next height, and how its slot is cut: nothing here changes the chain.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Height};

use super::{ChainError, Judged, JudgedOrder, ReleaseChain, Released, ended};
use crate::carry_over::{CarryOver, Load, Waiting};
use crate::cut::{Cut, Served, Slot, cut};
use crate::registry::Rollup;
use crate::release::{Release, ReleaseError, ReleaseHeader};
use crate::schedule::Schedule;
use crate::slot::{BlockTime, SlotNumber};
use crate::states::{Moved, OpenView, RollupStates};
use crate::tree::{Leaf, Namespaces, Outcome, Position, Tree};
use crate::views::{FollowedRollups, Moves, Place, Sight, View, views_digest};

/// What holds at a height, and whose states came and went with it.
pub(super) struct Turn {
    pub(super) schedule: Schedule,
    pub(super) states: RollupStates,
    pub(super) moved: Moved,
    pub(super) followed: FollowedRollups,
    /// Blocks that are seen now.
    gone: Vec<Place>,
    /// Rollups that the block of the height anchored.
    anchored: Vec<u64>,
}

/// The slots that a height may cut.
struct Due {
    /// The latest one whose intake closed before the height and that is not cut yet.
    closed: Option<SlotNumber>,
    /// The one to which the height belongs.
    open: SlotNumber,
}

/// A slot that was cut, and over what.
struct Sighted {
    cut: Cut,
    views: Vec<View>,
    read: BTreeSet<u64>,
}

impl ReleaseChain {
    /// What holds at the next height.
    pub(super) fn turn(&self) -> Result<Turn, ChainError> {
        let (height, mut schedule) = (self.next, self.schedule.clone());
        let made = schedule.advance(height);
        let moved = self.states.after(&made, &self.genesis);
        let (states, moved) = moved.map_err(|why| ChainError::Genesis { height, why })?;
        let mut followed = self.followed.clone();
        let anchors = self.coming.range((height, 0)..=(height, u64::MAX));
        let anchored = anchors.clone().map(|((_, chain_id), _)| *chain_id).collect();
        let gone = followed.advance(&made, anchors.map(|(_, anchor)| anchor));
        Ok(Turn { schedule, states, moved, followed, gone, anchored })
    }

    /// What the next height releases. The chain is as before, whatever the result.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unreadable`] if a view that it takes can't be read here; with [`Sight::Blind`]
    /// there is no such view.
    pub fn release(
        &mut self,
        mut order: JudgedOrder,
        sight: Sight<'_>,
    ) -> Result<Released, ChainError> {
        self.check_next(order.height)?;
        let turn = self.turn()?;
        let due = self.due(&turn, order.height, order.time_ms);
        let closed = due.closed.map(|slot| turn.cut(self, slot, &order, sight)).transpose()?;
        // What ended makes room for what comes. All of it is undone below: `keep` does it for good.
        let ended = closed.iter().flat_map(|sighted| &sighted.cut.leaves);
        let ended: Vec<Position> = ended.map(|leaf| leaf.position).collect();
        let ended: Vec<_> =
            ended.iter().filter_map(|position| self.waiting.remove(position)).collect();
        let (ids, mut pushed) = (std::mem::take(&mut order.ids), Vec::new());
        let leaves = take_in(&mut self.waiting, order.height, ids, &mut pushed);
        let released = self.finish(turn, due, closed, leaves, &order, sight);
        pushed.iter().for_each(|position| drop(self.waiting.remove(position)));
        ended.into_iter().for_each(|waiting| self.waiting.insert(waiting));
        released
    }

    /// Goes on after a release of the next height that was made here from this very chain.
    ///
    /// # Errors
    ///
    /// If it was not; then nothing is changed.
    pub fn keep(&mut self, released: &Released) -> Result<(), ChainError> {
        let header = &released.release.header;
        self.check_next(header.height)?;
        let (actual, expected) = (header.previous, self.previous);
        if actual != expected {
            return Err(ChainError::Previous { actual, expected });
        }
        let Turn { schedule, states, .. } = self.turn()?;
        (self.schedule, self.states) = (schedule, states);
        self.states.apply(&released.finished);
        released.ended.iter().for_each(|position| drop(self.waiting.remove(position)));
        // They had room where the release was cut, with the same bundles waiting.
        released.release.waiting.iter().for_each(|one| self.waiting.insert(one.clone()));
        self.followed = released.followed.clone();
        self.coming = self.coming.split_off(&(header.height.next(), 0));
        self.next = self.next.next();
        self.previous = header.root();
        self.last_slot = header.slot.or(self.last_slot);
        Ok(())
    }

    fn finish(
        &self,
        turn: Turn,
        due: Due,
        closed: Option<Sighted>,
        mut leaves: BTreeMap<Position, Leaf>,
        head: &JudgedOrder,
        sight: Sight<'_>,
    ) -> Result<Released, ChainError> {
        let JudgedOrder { height, block, time_ms, .. } = *head;
        let (slot, sighted) = match closed {
            Some(sighted) => (due.closed, Some(sighted)),
            None if turn.closes_early(self, due.open) => {
                (Some(due.open), Some(turn.cut(self, due.open, head, sight)?))
            }
            None => (None, None),
        };
        let (cut, views, read) = match sighted {
            Some(Sighted { cut, views, read }) => (cut, views, read),
            None => (Cut::default(), Vec::new(), BTreeSet::new()),
        };
        let mut ends: BTreeSet<Position> = BTreeSet::new();
        for leaf in cut.leaves {
            ends.insert(leaf.position);
            leaves.insert(leaf.position, leaf);
        }
        let leaves: Vec<Leaf> = leaves.into_values().collect();
        let waits = self.waiting.waiting().rev();
        let waits = waits.take_while(|waiting| waiting.position.height == height);
        let mut waiting: Vec<_> =
            waits.filter(|waiting| !ends.contains(&waiting.position)).cloned().collect();
        waiting.reverse();
        let registry = turn.schedule.registry();
        let namespaces = Namespaces::new(registry.chain_ids()).map_err(ReleaseError::Namespaces)?;
        let tree = Tree::new(namespaces, leaves.clone()).map_err(ReleaseError::Tree)?;
        let header = ReleaseHeader {
            network_id: self.network_id,
            height,
            block,
            time_ms,
            previous: self.previous,
            slot,
            tree_root: tree.root(),
            registry: registry.digest(),
            state_digest: turn.states.digest_after(&cut.finished),
            views: views_digest(&views),
        };
        let release = Release { header, leaves, batches: cut.batches, waiting, views };
        let (finished, receipts) = (cut.finished, cut.receipts);
        Ok(turn.released(release, tree, finished, receipts, read))
    }

    fn due(&self, turn: &Turn, height: Height, time_ms: u64) -> Due {
        let Some(slots) = turn.schedule.slots() else {
            return Due { closed: None, open: SlotNumber::new(height.get()) };
        };
        let open = slots.slot_at(time_ms);
        let closed = open.previous().filter(|closed| Some(*closed) > self.last_slot);
        Due { closed, open }
    }
}

impl Turn {
    /// The views that a slot has which a block of this time cuts, of all followed rollups.
    pub(super) fn views(&self, time_ms: u64) -> Vec<View> {
        let rollups = self.schedule.registry().rollups().iter();
        let views = rollups.filter_map(|rollup| {
            let (chain_id, rule) = (rollup.chain_id, rollup.followed()?);
            let anchor = self.followed.get(chain_id).and_then(|followed| followed.anchor);
            let anchor = anchor.filter(|anchor| anchor.age_ms(time_ms) <= rule.max_age_ms);
            Some(View { chain_id, anchor })
        });
        views.collect()
    }

    /// Those of these views that have to be read: something waits for the rollup.
    fn read(views: &[View], waiting: &CarryOver) -> BTreeSet<u64> {
        let read = views
            .iter()
            .filter(|view| view.anchor.is_some() && waiting.load(view.chain_id) != Load::default());
        read.map(|view| view.chain_id).collect()
    }

    /// The views without these ones.
    fn without(views: &[View], read: &BTreeSet<u64>) -> Vec<View> {
        let keep = |view: &View| view.anchor.filter(|_| !read.contains(&view.chain_id));
        views.iter().map(|view| View { anchor: keep(view), ..*view }).collect()
    }

    fn open(&self, read: &BTreeSet<u64>, sight: Sight<'_>) -> Result<BTreeMap<u64, OpenView>, u64> {
        let Sight::Open(open) = sight else { return Ok(BTreeMap::new()) };
        let view = |chain_id: &u64| {
            let followed = self.followed.get(*chain_id).ok_or(*chain_id)?;
            let anchor = followed.anchor.ok_or(*chain_id)?;
            let state = open(&anchor).ok_or(*chain_id)?;
            Ok((*chain_id, OpenView { anchor, state, unseen: followed.unseen.clone() }))
        };
        read.iter().map(view).collect()
    }

    fn cut(
        &self,
        chain: &ReleaseChain,
        number: SlotNumber,
        head: &JudgedOrder,
        sight: Sight<'_>,
    ) -> Result<Sighted, ChainError> {
        let (height, time_ms) = (head.height, head.time_ms);
        let slot = Slot { network_id: chain.network_id, height, number };
        let only = BlockTime { number: height.get(), time_ms };
        let (registry, slots) = (self.schedule.registry(), self.schedule.slots());
        let blocks = |rollup: &Rollup| match (slots, rollup.blocks) {
            (Some(slots), Some(times)) => slots.blocks(times, number).collect(),
            _ => vec![only],
        };
        let mut views = self.views(time_ms);
        let mut read = Self::read(&views, &chain.waiting);
        if matches!(sight, Sight::Blind) {
            views = Self::without(&views, &read);
            read.clear();
        }
        let unreadable = |chain_id| ChainError::Unreadable { chain_id };
        let opened = self.open(&read, sight).map_err(unreadable)?;
        let simulation = self.states.simulation(registry, opened).map_err(unreadable)?;
        let served = Served { registry, joined: self.schedule.joined(), views: &views };
        let cut = cut(served, slot, blocks, simulation, &chain.waiting).map_err(unreadable)?;
        Ok(Sighted { cut, views, read })
    }

    /// Whether the open slot is cut although its intake could go on.
    fn closes_early(&self, chain: &ReleaseChain, open: SlotNumber) -> bool {
        let Some(slots) = self.schedule.slots() else { return true };
        let overfull = |rollup: &Rollup| {
            let blocks = rollup.blocks.map_or(1, |times| slots.blocks(times, open).count() as u64);
            let load = chain.waiting.load(rollup.chain_id);
            load.gas > rollup.gas_limit.saturating_mul(blocks)
                || load.bytes > rollup.byte_limit.saturating_mul(blocks)
        };
        Some(open) > chain.last_slot && self.schedule.registry().rollups().iter().any(overfull)
    }

    /// A release with all that has to be stored of it.
    pub(super) fn released(
        self,
        release: Release,
        tree: Tree,
        finished: Vec<fairveil_execution::simulator::Finished>,
        receipts: BTreeMap<BundleId, Vec<fairveil_execution::outcome::LegReceipts>>,
        read: BTreeSet<u64>,
    ) -> Released {
        let Self { schedule, moved, mut followed, mut gone, anchored, .. } = self;
        let mut unseen: Moves = followed.take(schedule.registry(), &release);
        gone.append(&mut unseen.gone);
        let unseen = Moves { gone, anchored, ..unseen };
        let ended = ended(&release);
        Released { release, tree, ended, moved, finished, receipts, unseen, read, followed }
    }
}

/// The outcomes of a height's ids as far as no slot is needed for them. The valid ones wait.
fn take_in(
    carry_over: &mut CarryOver,
    height: Height,
    ids: Vec<(BundleId, Judged)>,
    pushed: &mut Vec<Position>,
) -> BTreeMap<Position, Leaf> {
    let mut leaves = BTreeMap::new();
    for ((id, judged), index) in ids.into_iter().zip(0u32..) {
        let position = Position { height, index };
        let outcome = match judged {
            Judged::Expired => Outcome::Expired,
            Judged::Failed(failed) => Outcome::Failed(failed),
            Judged::Valid(bundle) => {
                let waiting = Waiting { id, position, bundle };
                let (policy, legs) = (waiting.bundle.policy(), waiting.leg_digests());
                match carry_over.push(waiting) {
                    Ok(()) => {
                        pushed.push(position);
                        Outcome::Carried { policy, legs }
                    }
                    Err(failed) => Outcome::Failed(failed),
                }
            }
        };
        leaves.insert(position, Leaf { id, position, outcome });
    }
    leaves
}
