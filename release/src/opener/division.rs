//! Who combines what: the ids of a final order are divided among the members of its committee.
//!
//! Member `1 + (height + position) mod n` combines the id at that position and tells all others
//! its opening hint; they check the hints of one message together, at about a tenth of the cost.
//! What a member does not tell in time is combined by everybody.
//!
//! # Invariants
//!
//! 1. Every position is either the own member's, or left to one other member, or wanted here; it
//!    moves from left to wanted at most once, and never back.
//! 2. A member can only speak for its own part of a height, once.
//! 3. Nothing is left to a member that gave a false hint in this epoch, or that was silent the last
//!    time, so that either costs one delay and not one per height.

use std::collections::BTreeMap;

use fairveil_crypto::seal::Rho;
use fairveil_crypto::{Height, SequencerIndex};
use serde::{Deserialize, Serialize};

use super::early::Early;
use super::{Opener, Output};

/// How long the hints of others are waited for once t shares are here, which is when a member as
/// near as this one can begin to combine its part.
pub const HINTS_WITHIN_MS: u64 = 150;

/// The smallest committee that divides: below it nobody is spared anything worth a delay.
pub const DIVIDED_FROM: u16 = 4;

/// Whether members divide the combining among themselves. Either gives the same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Division {
    /// From [`DIVIDED_FROM`] members on each combines its part and checks the hints of the others.
    #[default]
    Divided,
    /// Each combines everything.
    Whole,
}

/// The opening of one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Its position among the ids that the order opens, from 0.
    pub position: u32,
    /// The seed that the body holds.
    pub rho: Rho,
}

/// The hints of one member that a message held: positions of its part, ascending.
pub(super) type Told = (SequencerIndex, Vec<(usize, Rho)>);

/// A message that speaks for positions of others, or not in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced;

/// What of one height is left to whom.
#[derive(Debug, Default)]
pub(super) struct Parts {
    left: BTreeMap<SequencerIndex, Vec<usize>>,
    wanted: Vec<usize>,
    told: Vec<Told>,
    /// Until when hints are in time, once the clock runs.
    until_ms: Option<u64>,
}

/// The member of a committee of `n` that combines a position.
pub(super) fn combiner(height: Height, position: usize, n: u16) -> SequencerIndex {
    let turn = (height.get() % u64::from(n) + position as u64) % u64::from(n);
    SequencerIndex::from_position(usize::try_from(turn).unwrap_or(0))
        .expect("below the size of a committee")
}

impl Parts {
    /// The parts of the members that are trusted with theirs.
    pub(super) fn new(
        height: Height,
        positions: usize,
        n: u16,
        trusted: impl Fn(SequencerIndex) -> bool,
    ) -> Self {
        let mut left: BTreeMap<SequencerIndex, Vec<usize>> = BTreeMap::new();
        for position in 0..positions {
            let member = combiner(height, position, n);
            if trusted(member) {
                left.entry(member).or_default().push(position);
            }
        }
        Self { left, ..Self::default() }
    }

    /// Starts the clock: t shares are here.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.until_ms.get_or_insert(now_ms.saturating_add(HINTS_WITHIN_MS));
    }

    /// Positions that are left to others.
    pub(super) fn left(&self) -> impl Iterator<Item = usize> {
        self.left.values().flatten().copied()
    }

    /// Takes what a member tells of its part. What it does not open is wanted at once; if
    /// nothing is left to it any more, it is not heard.
    pub(super) fn tell(&mut self, from: SequencerIndex, hints: Vec<Hint>) -> Result<(), Misplaced> {
        let Some(part) = self.left.remove(&from) else { return Ok(()) };
        let place = |hint: Hint| {
            let position = usize::try_from(hint.position).ok()?;
            part.binary_search(&position).is_ok().then_some((position, hint.rho))
        };
        let told: Option<Vec<(usize, Rho)>> = hints.into_iter().map(place).collect();
        let Some(told) = told.filter(|told| told.is_sorted_by(|one, next| one.0 < next.0)) else {
            self.wanted.extend(part);
            return Err(Misplaced);
        };
        let is_told = |position: &usize| told.binary_search_by_key(position, |told| told.0).is_ok();
        self.wanted.extend(part.into_iter().filter(|position| !is_told(position)));
        self.told.push((from, told));
        Ok(())
    }

    /// The members that are late now; what was left to them is wanted.
    pub(super) fn overdue(&mut self, now_ms: u64) -> Vec<SequencerIndex> {
        if self.until_ms.is_none_or(|until| now_ms < until) {
            return Vec::new();
        }
        let left = std::mem::take(&mut self.left);
        self.wanted.extend(left.values().flatten());
        left.into_keys().collect()
    }

    /// When to ask for [`Self::overdue`].
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.until_ms.filter(|_| !self.left.is_empty())
    }

    /// Until when hints are in time; `None` before t shares are here.
    pub(super) fn until_ms(&self) -> Option<u64> {
        self.until_ms
    }

    /// Whether something is wanted here that was not before.
    pub(super) fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether there is something for a job.
    pub(super) fn has_news(&self) -> bool {
        !self.wanted.is_empty() || !self.told.is_empty()
    }

    /// What is wanted, and what was told, for a job.
    pub(super) fn take_news(&mut self) -> (Vec<usize>, Vec<Told>) {
        (std::mem::take(&mut self.wanted), std::mem::take(&mut self.told))
    }
}

impl Opener {
    /// A member tells hints of its part of a height.
    pub(super) fn hints(
        &mut self,
        now_ms: u64,
        from: SequencerIndex,
        height: Height,
        hints: Vec<Hint>,
        outputs: &mut Vec<Output>,
    ) {
        if self.division == Division::Whole {
            return;
        }
        if height > self.tip {
            self.keep_early(from, height, Early { share: None, hints: Some(hints) });
            return;
        }
        let Some(working) = self.open.get_mut(&height) else {
            if self.in_time_ms.get(&height).is_some_and(|until| now_ms <= *until) {
                self.silent.remove(&from);
            }
            return;
        };
        self.silent.remove(&from);
        match working.parts.tell(from, hints) {
            Ok(()) => {}
            Err(Misplaced) => {
                let epoch = working.batch.order().committee().epoch();
                self.distrusted.insert((epoch, from));
                self.dropped.false_hints += 1;
            }
        }
        self.advance(height, outputs);
    }

    /// Stops waiting for hints that did not come in time.
    pub(super) fn overdue(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        let mut late = Vec::new();
        for (height, working) in &mut self.open {
            let members = working.parts.overdue(now_ms);
            if !members.is_empty() {
                self.dropped.silent_parts += members.len() as u64;
                self.silent.extend(members);
                late.push(*height);
            }
        }
        late.into_iter().for_each(|height| self.advance(height, outputs));
    }
}
