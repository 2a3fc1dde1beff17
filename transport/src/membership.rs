//! Who may be a peer: pure bookkeeping of known members, tracked sets and blocked keys.
//!
//! Invariants:
//!
//! 1. The ids of tracked sets rise; at most [`TRACKED_SETS`] are kept, the newest ones.
//! 2. A network key belongs to at most one member.
//! 3. Admitted = in a tracked set, known, and not blocked. The own key is never a peer.

use std::collections::{BTreeMap, BTreeSet};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{PeerSetUpdate, TrackedPeers};
use commonware_utils::ordered::Set;

use crate::identity::{Member, NetworkPublicKey};

/// Sets that are tracked at once: the old committee's and the new one's around an epoch change.
pub const TRACKED_SETS: usize = 2;

/// Two members show the same network key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peers {first} and {second} have the same network key {network_key}")]
pub struct SharedNetworkKey {
    /// One of them.
    pub first: PublicKey,
    /// The other one.
    pub second: PublicKey,
    /// The key.
    pub network_key: NetworkPublicKey,
}

#[derive(Debug)]
pub(crate) struct Membership {
    me: PublicKey,
    members: BTreeMap<PublicKey, Member>,
    owners: BTreeMap<NetworkPublicKey, PublicKey>,
    sets: BTreeMap<u64, TrackedPeers<PublicKey>>,
    tracked: BTreeSet<PublicKey>,
    blocked: BTreeSet<PublicKey>,
}

impl Membership {
    pub(crate) const fn new(me: PublicKey) -> Self {
        Self {
            me,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            sets: BTreeMap::new(),
            tracked: BTreeSet::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// Adds members or replaces what is known of them; returns whose record has changed.
    pub(crate) fn learn(
        &mut self,
        members: Vec<Member>,
    ) -> Result<Vec<PublicKey>, Box<SharedNetworkKey>> {
        let mut known = self.members.clone();
        known.extend(members.into_iter().map(|member| (member.key().clone(), member)));
        let mut owners = BTreeMap::new();
        for (key, member) in &known {
            let network_key = member.network_key();
            if let Some(first) = owners.insert(network_key, key.clone()) {
                return Err(Box::new(SharedNetworkKey { first, second: key.clone(), network_key }));
            }
        }
        let changed = known.keys().filter(|key| known.get(*key) != self.members.get(*key));
        let changed = changed.cloned().collect();
        self.members = known;
        self.owners = owners;
        Ok(changed)
    }

    /// Tracks a further set; false if its id is not above all others.
    pub(crate) fn track(&mut self, id: u64, peers: TrackedPeers<PublicKey>) -> bool {
        if self.sets.keys().next_back().is_some_and(|newest| id <= *newest) {
            return false;
        }
        let primary = peers.primary;
        let secondary: Vec<_> =
            peers.secondary.into_iter().filter(|key| primary.position(key).is_none()).collect();
        self.sets.insert(id, TrackedPeers::new(primary, Set::from_iter_dedup(secondary)));
        while self.sets.len() > TRACKED_SETS {
            self.sets.pop_first();
        }
        self.retrack();
        true
    }

    /// Forgets the sets before `id`, but never the newest one.
    pub(crate) fn retire_before(&mut self, id: u64) {
        let newest = self.sets.keys().next_back().copied();
        self.sets.retain(|set, _| *set >= id || Some(*set) == newest);
        self.retrack();
    }

    /// Blocks a key; false if it was blocked already or is the own one.
    pub(crate) fn block(&mut self, key: &PublicKey) -> bool {
        *key != self.me && self.blocked.insert(key.clone())
    }

    /// Unblocks a key; false if it was not blocked.
    pub(crate) fn unblock(&mut self, key: &PublicKey) -> bool {
        self.blocked.remove(key)
    }

    pub(crate) fn set(&self, id: u64) -> Option<&TrackedPeers<PublicKey>> {
        self.sets.get(&id)
    }

    pub(crate) const fn tracked(&self) -> &BTreeSet<PublicKey> {
        &self.tracked
    }

    pub(crate) fn member(&self, key: &PublicKey) -> Option<&Member> {
        self.members.get(key)
    }

    pub(crate) fn is_blocked(&self, key: &PublicKey) -> bool {
        self.blocked.contains(key)
    }

    pub(crate) fn blocked(&self) -> Set<PublicKey> {
        Set::from_iter_dedup(self.blocked.iter().cloned())
    }

    /// The record of an admitted peer.
    pub(crate) fn admitted(&self, key: &PublicKey) -> Option<&Member> {
        let is_peer = self.tracked.contains(key) && !self.blocked.contains(key);
        self.members.get(key).filter(|_| is_peer)
    }

    /// Which admitted peer owns a network key.
    pub(crate) fn owner(&self, network_key: &NetworkPublicKey) -> Option<&PublicKey> {
        self.owners.get(network_key).filter(|owner| self.admitted(owner).is_some())
    }

    /// What subscribers to sets are told.
    pub(crate) fn update(&self) -> Option<PeerSetUpdate<PublicKey>> {
        let (index, latest) = self.sets.last_key_value()?;
        let primary = self.sets.values().flat_map(|set| set.primary.iter().cloned());
        let primary = primary.collect::<BTreeSet<_>>();
        let secondary = self.sets.values().flat_map(|set| set.secondary.iter());
        let secondary = secondary.filter(|key| !primary.contains(key)).cloned();
        let secondary = Set::from_iter_dedup(secondary.collect::<Vec<_>>());
        let all = TrackedPeers::new(Set::from_iter_dedup(primary), secondary);
        Some(PeerSetUpdate { index: *index, latest: latest.clone(), all })
    }

    fn retrack(&mut self) {
        let sets = self.sets.values();
        let keys = sets.flat_map(|set| set.primary.iter().chain(set.secondary.iter()));
        self.tracked = keys.filter(|key| **key != self.me).cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::{Ipv4Addr, SocketAddr};

    use fairveil_crypto::ConsensusSecret;

    use super::*;
    use crate::identity::{NetworkSecret, certify};

    fn member(consensus: u8, network: u8, port: u16) -> Member {
        let secret = ConsensusSecret::from_seed([consensus; 32]);
        let network_key = NetworkSecret::from_seed([network; 32]).unwrap().public_key();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let certificate = certify(&secret, &network_key);
        Member::new(secret.public_key(), network_key, &certificate, address).unwrap()
    }

    fn key(consensus: u8) -> PublicKey {
        member(consensus, 100 + consensus, 1).key().clone()
    }

    fn set(keys: &[u8]) -> TrackedPeers<PublicKey> {
        TrackedPeers::primary(Set::from_iter_dedup(keys.iter().map(|byte| key(*byte))))
    }

    /// Invariant 1.
    #[test]
    fn the_newest_sets_are_kept_and_ids_rise() {
        let mut membership = Membership::new(key(1));
        assert!(membership.update().is_none());
        assert!(membership.track(5, set(&[1, 2])));
        assert!(!membership.track(5, set(&[1, 3])));
        assert!(!membership.track(4, set(&[1, 3])));
        assert!(membership.track(6, set(&[1, 3])));
        assert_eq!(membership.tracked(), &[key(2), key(3)].into());
        assert_eq!(membership.update().unwrap().all, set(&[1, 2, 3]));
        assert!(membership.track(9, set(&[1, 4])));
        assert_eq!(membership.tracked(), &[key(3), key(4)].into());
        assert_eq!(membership.set(5), None);
        membership.retire_before(100);
        assert_eq!(membership.tracked(), &[key(4)].into());
        assert_eq!(membership.update().unwrap().index, 9);
    }

    /// Invariant 2.
    #[test]
    fn network_keys_are_not_shared() {
        let mut membership = Membership::new(key(1));
        membership.learn(vec![member(2, 7, 1)]).unwrap();
        let error = membership.learn(vec![member(3, 7, 1), member(4, 8, 1)]).unwrap_err();
        assert_eq!(error.network_key, member(2, 7, 1).network_key());
        assert!(membership.member(&key(4)).is_none(), "a refused list changes nothing");
        assert_eq!(membership.learn(vec![member(2, 7, 1)]), Ok(vec![]));
        assert_eq!(membership.learn(vec![member(2, 7, 2)]), Ok(vec![key(2)]));
    }

    /// Invariant 3.
    #[test]
    fn admission_needs_all_three() {
        let mut membership = Membership::new(key(1));
        let network_key = member(2, 7, 1).network_key();
        membership.learn(vec![member(1, 6, 1), member(2, 7, 1)]).unwrap();
        assert_eq!(membership.owner(&network_key), None);
        membership.track(1, set(&[1, 2, 3]));
        assert_eq!(membership.owner(&network_key), Some(&key(2)));
        assert!(membership.admitted(&key(3)).is_none(), "not known");
        assert!(membership.admitted(&key(1)).is_none(), "the own key");
        assert!(membership.block(&key(2)));
        assert!(!membership.block(&key(2)));
        assert!(!membership.block(&key(1)));
        assert_eq!(membership.owner(&network_key), None);
        assert!(membership.unblock(&key(2)));
        assert_eq!(membership.owner(&network_key), Some(&key(2)));
    }

    #[test]
    fn a_key_of_both_kinds_is_primary() {
        let mut membership = Membership::new(key(1));
        let both = TrackedPeers::new(
            Set::from_iter_dedup([key(1), key(2)]),
            Set::from_iter_dedup([key(2), key(3)]),
        );
        membership.track(1, both);
        let latest = membership.update().unwrap().latest;
        assert_eq!(latest.secondary, Set::from_iter_dedup([key(3)]));
    }
}
