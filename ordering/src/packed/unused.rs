//! The places of a dictionary that a column has not named yet, with their ranks: a Fenwick tree.

/// A set of places below a bound, all of them at first.
pub(super) struct Unused {
    /// `sums[i]` counts the places of the block that ends at i - 1.
    sums: Vec<u32>,
    count: usize,
}

impl Unused {
    pub(super) fn all(bound: usize) -> Self {
        let sums = (0..=bound).map(|at| (at & at.wrapping_neg()) as u32).collect();
        Self { sums, count: bound }
    }

    /// Places in the set below this one.
    pub(super) fn rank(&self, place: usize) -> usize {
        let (mut at, mut sum) = (place, 0);
        while at > 0 {
            sum += self.sums[at] as usize;
            at &= at - 1;
        }
        sum
    }

    /// The place with so many before it; None if there are fewer.
    pub(super) fn at_rank(&self, rank: usize) -> Option<usize> {
        if rank >= self.count {
            return None;
        }
        let (mut at, mut left) = (0, rank);
        let mut step = (self.sums.len() - 1).checked_ilog2().map_or(0, |log| 1usize << log);
        while step > 0 {
            if at + step < self.sums.len() && self.sums[at + step] as usize <= left {
                at += step;
                left -= self.sums[at] as usize;
            }
            step >>= 1;
        }
        Some(at)
    }

    /// Takes a place out that is in the set.
    pub(super) fn remove(&mut self, place: usize) {
        let mut at = place + 1;
        while at < self.sums.len() {
            self.sums[at] -= 1;
            at += at & at.wrapping_neg();
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_set(bound in 0usize..70, taken in proptest::collection::vec(0usize..70, 0..70)) {
            let mut unused = Unused::all(bound);
            let mut model: BTreeSet<usize> = (0..bound).collect();
            for place in taken {
                if model.remove(&place) {
                    unused.remove(place);
                }
                for (rank, place) in model.iter().enumerate() {
                    prop_assert_eq!(unused.at_rank(rank), Some(*place));
                    prop_assert_eq!(unused.rank(*place), rank);
                }
                prop_assert_eq!(unused.at_rank(model.len()), None);
            }
        }
    }
}
