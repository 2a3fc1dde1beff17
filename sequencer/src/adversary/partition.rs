//! Who hears something first, and what leaves later.

use std::collections::VecDeque;

use fairveil_crypto::SequencerIndex;

/// Ticks by which one half of the peers hears later: longer than the grace after which an announced
/// bundle is asked for elsewhere.
pub(crate) const APART_TICKS: u64 = 8;
/// What waits at most; the rest is not delayed.
const MAX_DEFERRED: usize = 2_048;

/// Things that leave some ticks later, in the order in which they came.
pub(crate) struct Deferred<T> {
    items: VecDeque<(u64, T)>,
}

impl<T> Default for Deferred<T> {
    fn default() -> Self {
        Self { items: VecDeque::new() }
    }
}

impl<T> Deferred<T> {
    /// Keeps it until this tick; gives it back if [`MAX_DEFERRED`] wait already.
    pub(crate) fn defer(&mut self, due: u64, item: T) -> Option<T> {
        if self.items.len() >= MAX_DEFERRED {
            return Some(item);
        }
        self.items.push_back((due, item));
        None
    }

    /// What is due.
    pub(crate) fn due(&mut self, ticks: u64) -> Vec<T> {
        let due = self.items.iter().take_while(|(due, _)| *due <= ticks).count();
        self.items.drain(..due).map(|(_, item)| item).collect()
    }
}

/// The half of these peers that hears at once, and the one that hears later: sequencers of even and of
/// odd positions, or the other way round.
pub(crate) fn halves(
    to: &[SequencerIndex],
    turn: u64,
) -> (Vec<SequencerIndex>, Vec<SequencerIndex>) {
    to.iter().partition(|peer| (peer.position() as u64 + turn).is_multiple_of(2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_halves_take_turns_and_are_everybody() {
        let peers: Vec<_> = (0..5).map(|at| SequencerIndex::from_position(at).unwrap()).collect();
        let (first, later) = halves(&peers, 0);
        assert_eq!((first.len(), later.len()), (3, 2));
        assert_eq!(halves(&peers, 1), (later, first));
    }

    #[test]
    fn things_leave_when_they_are_due_and_too_many_at_once() {
        let mut deferred = Deferred::default();
        assert_eq!(deferred.defer(5, 1), None);
        assert_eq!(deferred.defer(6, 2), None);
        assert_eq!((deferred.due(4), deferred.due(5), deferred.due(9)), (vec![], vec![1], vec![2]));
        for item in 0..MAX_DEFERRED {
            assert_eq!(deferred.defer(1, item), None);
        }
        assert_eq!(deferred.defer(1, 7), Some(7));
    }
}
