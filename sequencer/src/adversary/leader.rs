//! Which evidence an adversary's blocks carry when it leads.
//!
//! An omitting leader's blocks stay valid: it leaves out no more fragments than leave a quorum of fresh
//! heads. Its victims are those with the most new ids, so those that reported most, and first.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use fairveil_consensus::host::Wanted;
use fairveil_crypto::SequencerIndex;
use fairveil_ordering::{FRESH_HEIGHTS, Fragment};

use crate::behaviour::Behaviour;

/// What this sequencer does as a leader.
pub(crate) struct Leader {
    behaviour: Behaviour,
    own: SequencerIndex,
    omitted: AtomicU64,
}

impl Leader {
    pub(crate) const fn new(behaviour: Behaviour, own: SequencerIndex) -> Self {
        Self { behaviour, own, omitted: AtomicU64::new(0) }
    }

    /// Whether new ids of this sequencer never stand in its blocks.
    pub(crate) fn censors(&self, sequencer: SequencerIndex) -> bool {
        self.behaviour == Behaviour::Censor && sequencer != self.own
    }

    /// Takes fragments out of a block's evidence at even heights, and their ids at odd ones.
    pub(crate) fn omit(
        &self,
        fragments: &mut Vec<Fragment>,
        wanted: &Wanted,
        without_ids: impl Fn(SequencerIndex) -> Option<Fragment>,
    ) {
        if self.behaviour != Behaviour::OmittingLeader {
            return;
        }
        let fresh =
            fragments.iter().filter(|one| one.head.is_fresh(wanted.height, FRESH_HEIGHTS)).count();
        let quorum = usize::from(wanted.quorum);
        let most = wanted.committed.len().saturating_sub(quorum);
        let mut victims: Vec<&Fragment> = fragments
            .iter()
            .filter(|one| one.head.sequencer != self.own && !one.ids.is_empty())
            .collect();
        victims.sort_by_key(|one| Reverse(one.ids.len()));
        let victims: BTreeSet<SequencerIndex> = victims
            .into_iter()
            .take(most.min(fresh.saturating_sub(quorum)))
            .map(|one| one.head.sequencer)
            .collect();
        self.omitted.fetch_add(victims.len() as u64, Ordering::Relaxed);
        let keeps_heads = !wanted.height.get().is_multiple_of(2);
        *fragments = std::mem::take(fragments)
            .into_iter()
            .filter_map(|one| match victims.contains(&one.head.sequencer) {
                false => Some(one),
                true if keeps_heads => without_ids(one.head.sequencer),
                true => None,
            })
            .collect();
    }

    /// How many fragments it left out, or cut, since the last time.
    pub(crate) fn take_omitted(&self) -> u64 {
        self.omitted.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_consensus::host::Intake;
    use fairveil_crypto::{BundleId, ConsensusSecret, Epoch, Height, NetworkId};
    use fairveil_ordering::{LogHead, LogName};

    use super::*;

    const QUORUM: u16 = 4;

    fn index(at: usize) -> SequencerIndex {
        SequencerIndex::from_position(at).unwrap()
    }

    fn name(at: usize) -> LogName {
        let (network_id, epoch) = (NetworkId::from_bytes([1; 32]), Epoch::new(1));
        LogName { network_id, epoch, sequencer: index(at) }
    }

    /// A fragment of `ids` new ids, signed when `height` was final.
    fn fragment(at: usize, ids: u8, height: u64) -> Fragment {
        let ids: Vec<_> = (0..ids).map(|byte| BundleId::from_bytes([byte; 32])).collect();
        let tip = name(at).start().after_all(&ids);
        let key = ConsensusSecret::from_seed([at as u8 + 1; 32]);
        let head = LogHead::sign(&name(at), tip, Height::new(height), 0, &key);
        Fragment { head, ids, times_ms: Vec::new() }
    }

    fn wanted(height: u64) -> Wanted {
        Wanted {
            height: Height::new(height),
            committed: (0..5).map(|at| name(at).start()).collect(),
            full: vec![false; 5],
            quorum: QUORUM,
            intake: Intake::Open,
            max_ids: 1_000,
            unreleased: Height::ZERO,
            due: None,
            open: None,
            handed_over: false,
        }
    }

    /// Ids of each fragment that sequencer 1 carries as the leader of a height; how many it omitted.
    fn carried(height: u64, fragments: &[Fragment]) -> (Vec<(usize, usize)>, u64) {
        let leader = Leader::new(Behaviour::OmittingLeader, index(0));
        let mut fragments = fragments.to_vec();
        let empty = |of: SequencerIndex| Some(fragment(of.position(), 0, 40));
        leader.omit(&mut fragments, &wanted(height), empty);
        let carried = fragments.iter().map(|one| (one.head.sequencer.position(), one.ids.len()));
        (carried.collect(), leader.take_omitted())
    }

    #[test]
    fn who_reports_most_is_left_out_or_without_ids_and_a_quorum_stays() {
        let all: Vec<_> =
            [(0, 9), (1, 2), (2, 3), (3, 1), (4, 0)].map(|(at, ids)| fragment(at, ids, 40)).into();
        assert_eq!(carried(42, &all), (vec![(0, 9), (1, 2), (3, 1), (4, 0)], 1));
        assert_eq!(carried(41, &all), (vec![(0, 9), (1, 2), (2, 0), (3, 1), (4, 0)], 1));
    }

    #[test]
    fn nothing_is_left_out_where_that_would_leave_too_few_fresh_heads() {
        let mut all: Vec<_> = (0..4).map(|at| fragment(at, 2, 40)).collect();
        assert_eq!(carried(42, &all).1, 0);
        // A fifth one, that is stale.
        all.push(fragment(4, 5, 40 - FRESH_HEIGHTS));
        assert_eq!(carried(42, &all).1, 0);
    }

    #[test]
    fn honest_leaders_carry_everything() {
        let all: Vec<_> = (0..5).map(|at| fragment(at, 2, 40)).collect();
        let leader = Leader::new(Behaviour::Honest, index(0));
        let mut carried = all.clone();
        leader.omit(&mut carried, &wanted(42), |_| None);
        assert_eq!((carried, leader.take_omitted()), (all, 0));
        assert!(!leader.censors(index(1)));
        assert!(Leader::new(Behaviour::Censor, index(0)).censors(index(1)));
    }
}
