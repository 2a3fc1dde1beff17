//! Own bundles of an adversary: who pays for them, which they are, and to whom they go when.

use std::collections::{BTreeSet, VecDeque};

use fairveil_crypto::{
    BundleId, SequencerIndex,
    envelope::{Payer, PayerSecret},
};

/// Ticks after which the second part of a cycle follows: bundles of traders come in between, and it is
/// less than the grace after which peers would fetch what was announced.
const PAUSE_TICKS: u64 = 2;
/// Ticks between two cycles, at least; larger ones are as many ticks apart as they have bundles.
const CYCLE_TICKS: u64 = 20;
/// Own bundles that are remembered.
const MAX_OWN: usize = 65_536;

/// The key with which the adversary of this index pays for its bundles. It is no secret: a network that
/// charges for bundles gives its payer a deposit, if the adversary is to have bundles there.
#[must_use]
pub fn attacker(index: SequencerIndex) -> Option<PayerSecret> {
    let mut bytes = [0xa5; 32];
    let index = index.to_be_bytes();
    let at = bytes.len() - index.len();
    bytes[at..].copy_from_slice(&index);
    PayerSecret::from_bytes(bytes).ok()
}

/// The payers of the adversaries among so many sequencers.
pub(super) fn payers(sequencers: usize) -> BTreeSet<Payer> {
    let indices = (0..sequencers).filter_map(SequencerIndex::from_position);
    indices.filter_map(attacker).map(|secret| secret.payer()).collect()
}

/// The newest own bundles.
#[derive(Default)]
pub(super) struct Own {
    ids: BTreeSet<BundleId>,
    oldest_first: VecDeque<BundleId>,
}

impl Own {
    pub(super) fn insert(&mut self, id: BundleId) {
        if self.ids.insert(id) {
            self.oldest_first.push_back(id);
        }
        if self.oldest_first.len() > MAX_OWN
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, id: &BundleId) -> bool {
        self.ids.contains(id)
    }
}

/// One of a volley's bundles, on its way to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shot {
    pub(crate) bundle: usize,
    pub(crate) to: SequencerIndex,
    pub(crate) after_ticks: u64,
}

/// Bundles in an order that is rotated further for every peer: the part up to the rotation's beginning
/// follows after a pause.
pub(crate) fn cycle(bundles: usize, peers: &[SequencerIndex]) -> Vec<Shot> {
    let begins = |at: usize| at * (bundles + 1) / peers.len().max(1);
    let shots = |from: usize, until: usize, to: SequencerIndex, after_ticks: u64| {
        (from..until).map(move |bundle| Shot { bundle, to, after_ticks })
    };
    let peers = || (0..).zip(peers);
    let at_once = peers().flat_map(|(at, peer)| shots(begins(at), bundles, *peer, 0));
    let later = peers().flat_map(|(at, peer)| shots(0, begins(at), *peer, PAUSE_TICKS));
    at_once.chain(later).collect()
}

/// The tick before which no other cycle of as many bundles begins.
pub(crate) fn next_cycle(ticks: u64, bundles: u16) -> u64 {
    ticks + CYCLE_TICKS.max(bundles.into())
}

/// Another bundle for every few peers: in every second volley for fewer than `edge` by one, who may all
/// keep theirs to themselves; in the others for as many as make it every sequencer's duty to report it.
pub(crate) fn conflict(volley: u64, edge: usize, peers: &[SequencerIndex]) -> Vec<Shot> {
    let together = if volley.is_multiple_of(2) { edge.saturating_sub(1) } else { edge };
    let groups = peers.chunks(together.max(1)).enumerate();
    groups
        .flat_map(|(bundle, peers)| {
            peers.iter().map(move |to| Shot { bundle, to: *to, after_ticks: 0 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn peers(count: usize) -> Vec<SequencerIndex> {
        (1..=count).map(|at| SequencerIndex::from_position(at).unwrap()).collect()
    }

    /// The order in which every peer is handed the bundles.
    fn orders(shots: &[Shot]) -> BTreeMap<SequencerIndex, Vec<usize>> {
        let mut orders: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for shot in shots {
            orders.entry(shot.to).or_default().push(shot.bundle);
        }
        orders
    }

    #[test]
    fn a_cycle_reaches_every_peer_whole_and_each_step_has_all_but_one_of_them() {
        for bundles in [2, 10, 100] {
            let shots = cycle(bundles, &peers(4));
            assert!(shots.is_sorted_by_key(|shot| shot.after_ticks));
            let orders = orders(&shots);
            assert_eq!(orders.len(), 4);
            for order in orders.values() {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..bundles).collect::<Vec<_>>());
            }
            let place = |order: &Vec<usize>, bundle| order.iter().position(|one| *one == bundle);
            // With two bundles it takes a third one, of a trader, to close a cycle.
            for bundle in (0..bundles).filter(|_| bundles > 2) {
                let next = (bundle + 1) % bundles;
                let before = |order: &&Vec<usize>| place(order, bundle) < place(order, next);
                assert!(orders.values().filter(before).count() >= 3, "{bundle} of {bundles}");
            }
        }
    }

    #[test]
    fn a_trader_s_bundle_in_the_pause_stands_between_two_bundles_of_a_cycle() {
        let shots = cycle(2, &peers(4));
        let split: Vec<_> = shots.iter().filter(|shot| shot.after_ticks > 0).collect();
        assert!(
            split.iter().any(|shot| shot.bundle == 0) && split.iter().any(|shot| shot.bundle == 1)
        );
        assert!(shots.iter().any(|shot| shot.bundle == 1 && shot.after_ticks == 0));
    }

    #[test]
    fn conflicting_bundles_reach_as_many_peers_as_make_them_a_duty_or_one_less() {
        let reached = |volley, edge, count| {
            let mut reached: BTreeMap<usize, BTreeSet<SequencerIndex>> = BTreeMap::new();
            for shot in conflict(volley, edge, &peers(count)) {
                assert!(reached.entry(shot.bundle).or_default().insert(shot.to));
            }
            reached.values().map(BTreeSet::len).collect::<Vec<_>>()
        };
        assert_eq!((reached(0, 2, 4), reached(1, 2, 4)), (vec![1; 4], vec![2; 2]));
        assert_eq!((reached(2, 4, 12), reached(3, 4, 12)), (vec![3; 4], vec![4; 3]));
        assert_eq!((reached(0, 1, 2), reached(1, 3, 2)), (vec![1; 2], vec![2]));
        assert!(conflict(1, 2, &[]).is_empty());
    }

    #[test]
    fn the_newest_own_bundles_are_remembered() {
        let mut own = Own::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            BundleId::from_bytes(bytes)
        };
        (0..=MAX_OWN).for_each(|number| own.insert(id(number)));
        assert!(!own.contains(&id(0)) && own.contains(&id(1)) && own.contains(&id(MAX_OWN)));
    }

    #[test]
    fn every_index_has_a_payer_of_its_own() {
        let payer = |at| attacker(SequencerIndex::from_position(at).unwrap()).unwrap().payer();
        assert_ne!(payer(0), payer(1));
        assert_eq!(payers(2), [payer(0), payer(1)].into());
    }
}
