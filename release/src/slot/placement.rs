//! Which block of a slot each leg goes into.
//!
//! Bundles come in the fair order. A bundle with one leg takes the earliest block of its rollup that
//! it may; the legs of a bundle with several take the *last* block of each of their rollups, whose
//! timestamps are equal. What does not fit waits for the next slot, and closes every rollup that it
//! names for the rest of this one.
//!
//! # Invariants
//!
//! 1. Placement is monotone: on every rollup, no bundle's block is earlier than that of a bundle
//!    before it. Else whoever reads a cross-rollup bundle could slip in front of it.
//! 2. All legs of a bundle are placed or none is.
//! 3. No block is over its rollup's gas or byte limit.
//! 4. A single leg stands in the earliest block that the others allow; the legs of one bundle have
//!    equal timestamps.
//! 5. Nothing more is placed on a closed rollup: a bundle that waits keeps its place.

use super::BlockTime;

/// What a rollup's blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// The sum of the gas limits of a block's transactions may reach this.
    pub gas: u64,
    /// The sum of the lengths of a block's transactions may reach this.
    pub bytes: u64,
}

/// A leg as far as placement cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegSize {
    /// The rollup, by its place among those of the placement.
    pub rollup: usize,
    /// The sum of its gas limits.
    pub gas: u64,
    /// The sum of its transactions' lengths.
    pub bytes: u64,
}

/// The blocks of one slot while they are filled.
#[derive(Clone, Debug)]
pub struct Placement {
    rollups: Vec<Lane>,
}

/// Where a bundle's legs have room.
#[derive(Clone, Debug)]
pub struct Place(Vec<Found>);

#[derive(Clone, Copy, Debug)]
struct Found {
    leg: LegSize,
    block: usize,
    time: BlockTime,
}

#[derive(Clone, Debug)]
struct Lane {
    limits: BlockLimits,
    blocks: Vec<Filled>,
    /// The block of the last bundle that was placed.
    reached: usize,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Filled {
    time: BlockTime,
    gas: u64,
    bytes: u64,
}

impl Placement {
    /// Empty blocks: of each rollup its limits and its blocks of the slot, first to last.
    pub fn new<B>(rollups: impl IntoIterator<Item = (BlockLimits, B)>) -> Self
    where
        B: IntoIterator<Item = BlockTime>,
    {
        let empty = |time| Filled { time, gas: 0, bytes: 0 };
        let lane = |(limits, blocks): (BlockLimits, B)| Lane {
            limits,
            blocks: blocks.into_iter().map(empty).collect(),
            reached: 0,
            closed: false,
        };
        Self { rollups: rollups.into_iter().map(lane).collect() }
    }

    /// Where the next bundle of the fair order, which has at most one leg on a rollup, would stand.
    /// Or the first leg that has no room; if the bundle waits for it, [`Self::close`] keeps its
    /// place.
    pub fn find(&self, legs: &[LegSize]) -> Result<Place, usize> {
        let several = legs.len() > 1;
        let mut found = Vec::with_capacity(legs.len());
        for (number, leg) in legs.iter().enumerate() {
            let lane = self.rollups.get(leg.rollup).ok_or(number)?;
            let block = lane.room(leg, several).ok_or(number)?;
            found.push(Found { leg: *leg, block, time: lane.blocks[block].time });
        }
        Ok(Place(found))
    }

    /// Places the bundle there, if nothing was placed since.
    pub fn fill(&mut self, place: &Place) {
        for Found { leg, block, .. } in &place.0 {
            self.rollups[leg.rollup].fill(leg, *block);
        }
    }

    /// Closes the rollups of these legs for the rest of the slot.
    pub fn close(&mut self, legs: &[LegSize]) {
        for leg in legs {
            if let Some(lane) = self.rollups.get_mut(leg.rollup) {
                lane.closed = true;
            }
        }
    }

    /// Whether nothing more can be placed on any rollup.
    pub fn is_closed(&self) -> bool {
        self.rollups.iter().all(|lane| lane.closed)
    }
}

impl Place {
    /// The block of each leg, in the order of the legs.
    pub fn blocks(&self) -> impl Iterator<Item = BlockTime> {
        self.0.iter().map(|found| found.time)
    }
}

impl Lane {
    /// The block that a leg goes into, if there is one.
    fn room(&self, leg: &LegSize, last: bool) -> Option<usize> {
        if self.closed {
            return None;
        }
        let from = if last { self.blocks.len().checked_sub(1)? } else { self.reached };
        let fits = |block: &Filled| {
            let (gas, bytes) = (block.gas.checked_add(leg.gas), block.bytes.checked_add(leg.bytes));
            gas.is_some_and(|gas| gas <= self.limits.gas)
                && bytes.is_some_and(|bytes| bytes <= self.limits.bytes)
        };
        (from..self.blocks.len()).find(|block| fits(&self.blocks[*block]))
    }

    fn fill(&mut self, leg: &LegSize, block: usize) {
        self.reached = block;
        let filled = &mut self.blocks[block];
        filled.gas += leg.gas;
        filled.bytes += leg.bytes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BlockLimits = BlockLimits { gas: 10, bytes: 100 };

    fn block(number: u64) -> BlockTime {
        BlockTime { number, time_ms: number * 250 }
    }

    /// A rollup of four blocks a slot, of two, and of one; they end together.
    fn slot() -> Placement {
        let blocks = |every: usize| (1..=4).map(block).skip(every - 1).step_by(every);
        Placement::new([1, 2, 4].map(|every| (LIMITS, blocks(every).collect::<Vec<_>>())))
    }

    fn leg(rollup: usize, gas: u64) -> LegSize {
        LegSize { rollup, gas, bytes: 1 }
    }

    impl Placement {
        fn place(&mut self, legs: &[LegSize]) -> Result<Vec<BlockTime>, usize> {
            let place = self.find(legs)?;
            self.fill(&place);
            Ok(place.blocks().collect())
        }
    }

    fn numbers(placed: Result<Vec<BlockTime>, usize>) -> Vec<u64> {
        placed.unwrap().iter().map(|block| block.number).collect()
    }

    #[test]
    fn invariant_1_after_a_cross_rollup_bundle_nobody_is_earlier() {
        let mut slot = slot();
        assert_eq!(numbers(slot.place(&[leg(0, 1)])), [1]);
        assert_eq!(numbers(slot.place(&[leg(0, 1), leg(1, 1)])), [4, 4]);
        assert_eq!(numbers(slot.place(&[leg(0, 1)])), [4]);
        assert_eq!(numbers(slot.place(&[leg(1, 1)])), [4]);
        assert_eq!(numbers(slot.place(&[leg(2, 1)])), [4]);
    }

    #[test]
    fn invariants_2_and_5_what_waits_takes_nothing_and_closes_its_rollups() {
        let mut slot = slot();
        assert_eq!(numbers(slot.place(&[leg(2, 8)])), [4]);
        let waits = [leg(0, 10), leg(2, 3)];
        assert_eq!(slot.place(&waits), Err(1));
        slot.close(&waits);
        assert!(!slot.is_closed());
        assert_eq!(slot.place(&[leg(0, 1)]), Err(0));
        assert_eq!(slot.place(&[leg(2, 1)]), Err(0));
        assert_eq!(numbers(slot.place(&[leg(1, 10)])), [2]);
        assert_eq!(slot.place(&[leg(3, 1)]), Err(0), "no such rollup");
        slot.close(&[leg(1, 1)]);
        assert!(slot.is_closed());
    }

    #[test]
    fn invariants_3_and_4_blocks_are_filled_first_to_last() {
        let mut slot = slot();
        let placed: Vec<u64> = (0..6).flat_map(|_| numbers(slot.place(&[leg(0, 5)]))).collect();
        assert_eq!(placed, [1, 1, 2, 2, 3, 3]);
        assert_eq!(numbers(slot.place(&[leg(0, 10)])), [4]);
        assert_eq!(slot.place(&[leg(0, 1)]), Err(0));
        assert_eq!(numbers(slot.place(&[LegSize { rollup: 1, gas: 0, bytes: 100 }])), [2]);
        assert_eq!(numbers(slot.place(&[leg(1, 0)])), [4]);
        assert_eq!(slot.place(&[LegSize { rollup: 1, gas: u64::MAX, bytes: 1 }]), Err(0));
    }

    proptest! {
        #[test]
        fn all_invariants_hold_for_any_bundles(
            bundles in prop::collection::vec(
                prop::collection::btree_map(0..3usize, (0..6u64, 0..40u64), 1..4),
                1..80,
            ),
        ) {
            let mut slot = slot();
            let mut filled = std::collections::BTreeMap::new();
            let (mut reached, mut closed) = ([0; 3], [false; 3]);
            for bundle in bundles {
                let legs: Vec<_> = bundle
                    .into_iter()
                    .map(|(rollup, (gas, bytes))| LegSize { rollup, gas, bytes })
                    .collect();
                match slot.place(&legs) {
                    Ok(blocks) => {
                        for (leg, block) in legs.iter().zip(&blocks) {
                            prop_assert!(!closed[leg.rollup]);
                            prop_assert!(block.number >= reached[leg.rollup]);
                            reached[leg.rollup] = block.number;
                            let sums = filled.entry((leg.rollup, block.number)).or_insert((0, 0));
                            *sums = (sums.0 + leg.gas, sums.1 + leg.bytes);
                            prop_assert!(sums.0 <= LIMITS.gas && sums.1 <= LIMITS.bytes);
                            prop_assert!(legs.len() == 1 || block.time_ms == 1_000);
                        }
                    }
                    Err(number) => {
                        prop_assert!(number < legs.len());
                        slot.close(&legs);
                        legs.iter().for_each(|leg| closed[leg.rollup] = true);
                    }
                }
            }
            prop_assert_eq!(slot.is_closed(), closed == [true; 3]);
        }
    }
}
