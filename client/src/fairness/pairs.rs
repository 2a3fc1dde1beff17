//! The pairs that logs have the other way round than a list.
//!
//! Θ(logs · ids²), as narrow integers beside each other, so that the compiler compares many at
//! once.

/// The most ids in a list: ranks have 16 bits.
pub(super) const MAX_IDS: usize = 1 << 14;

/// The rank of what a log does not have: never before anything.
const ABSENT: u16 = u16::MAX;

const _: () = assert!(MAX_IDS < ABSENT as usize);

/// The ids of a list as logs have them.
#[derive(Debug)]
pub(super) struct Ranks {
    /// For each log: the rank of each id of the list among those that the log has.
    rows: Vec<Vec<u16>>,
    ids: usize,
}

impl Ranks {
    /// For each log the positions of all ids of the list, which has at most [`MAX_IDS`].
    pub(super) fn new(logs: &[Vec<Option<u64>>]) -> Self {
        let rows = logs.iter().map(|positions| ranks(positions)).collect();
        Self { rows, ids: logs.first().map_or(0, Vec::len) }
    }

    /// Shows every pair of places `(earlier, later)` of the list that at least `least` logs have
    /// the other way round, in the order of the list.
    pub(super) fn reversed(&self, least: u16, mut show: impl FnMut(usize, usize)) {
        let mut counts = vec![0_u16; self.ids];
        for earlier in 0..self.ids {
            let first = earlier + 1;
            let counts = &mut counts[first..];
            counts.fill(0);
            for row in &self.rows {
                let own = row[earlier];
                if own == ABSENT {
                    continue;
                }
                for (count, rank) in counts.iter_mut().zip(&row[first..]) {
                    *count += u16::from(*rank < own);
                }
            }
            for (place, _) in counts.iter().enumerate().filter(|(_, count)| **count >= least) {
                show(earlier, first + place);
            }
        }
    }
}

fn ranks(positions: &[Option<u64>]) -> Vec<u16> {
    let known = positions.iter().enumerate();
    let mut known: Vec<(u64, usize)> =
        known.filter_map(|(place, position)| Some(((*position)?, place))).collect();
    known.sort_unstable();
    let mut ranks = vec![ABSENT; positions.len()];
    for (rank, (_, place)) in (0..).zip(known) {
        ranks[place] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// As it is said: for each pair, look at each log.
    fn naive(logs: &[Vec<Option<u64>>], least: u16) -> Vec<(usize, usize)> {
        let ids = logs.first().map_or(0, Vec::len);
        let pairs = (0..ids).flat_map(|one| (one + 1..ids).map(move |other| (one, other)));
        let is_reversed = |log: &[Option<u64>], (one, other): (usize, usize)| {
            log[one].zip(log[other]).is_some_and(|(one, other)| other < one)
        };
        pairs
            .filter(|pair| {
                logs.iter().filter(|log| is_reversed(log, *pair)).count() >= usize::from(least)
            })
            .collect()
    }

    fn fast(logs: &[Vec<Option<u64>>], least: u16) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        Ranks::new(logs).reversed(least, |earlier, later| found.push((earlier, later)));
        found
    }

    /// Logs of up to 40 ids, each with gaps, its positions spread over all of u64.
    fn logs() -> impl Strategy<Value = Vec<Vec<Option<u64>>>> {
        (0..40_usize, 0..12_usize).prop_flat_map(|(ids, logs)| {
            let order = Just((0..ids).collect::<Vec<_>>()).prop_shuffle();
            let log = (order, prop::collection::vec(0..4_u8, ids), 1..=u64::MAX / 64);
            let log = log.prop_map(|(order, kept, step)| {
                let mut positions = vec![None; order.len()];
                for (rank, place) in (0..).zip(order) {
                    positions[place] = (kept[place] > 0).then_some(rank * step);
                }
                positions
            });
            prop::collection::vec(log, logs)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn fast_and_naive_counters_find_the_same_pairs(logs in logs(), least in 1..6_u16) {
            prop_assert_eq!(fast(&logs, least), naive(&logs, least));
        }
    }

    #[test]
    fn a_reversed_log_reverses_all_pairs_and_an_absent_id_none() {
        let log: Vec<Option<u64>> = vec![Some(9), Some(4), None, Some(0)];
        assert_eq!(fast(std::slice::from_ref(&log), 1), [(0, 1), (0, 3), (1, 3)]);
        assert_eq!(fast(&[log.clone(), log.clone()], 2), [(0, 1), (0, 3), (1, 3)]);
        assert_eq!(fast(&[log], 2), []);
        assert_eq!(fast(&[], 1), []);
        let most: Vec<Option<u64>> = (0..MAX_IDS as u64).map(Some).collect();
        assert_eq!(fast(&[most], 1), []);
    }
}
