//! Reading before finality: what a front-runner holds, and when it is worth a try.
//!
//! It keeps every share of a height that is not final here, and every bundle that has no final
//! place. When a bundle comes it tries all shares on it; when a share makes t it tries all bundles.

use std::collections::BTreeMap;

use fairveil_crypto::{
    BundleId, Height, SequencerIndex,
    committee::{Committee, KeyShare},
    envelope::VerifiedBundle,
    share::SignedShare,
};

/// Bundles that are kept to be read.
const MAX_VICTIMS: usize = 1_024;
/// Heights whose shares are kept.
const MAX_HEIGHTS: usize = 64;

/// What there is to read, and to read with.
#[derive(Default)]
pub(crate) struct Reader {
    victims: BTreeMap<BundleId, VerifiedBundle>,
    shares: BTreeMap<Height, BTreeMap<SequencerIndex, SignedShare>>,
}

/// One bundle with the shares of one batch, which may hold it.
pub(crate) struct Try {
    victim: VerifiedBundle,
    others: Vec<SignedShare>,
}

impl Reader {
    /// A bundle came: what to try on it. Without a share of others it is tried with the own one.
    pub(crate) fn victim(&mut self, victim: &VerifiedBundle) -> Vec<Try> {
        if self.victims.len() < MAX_VICTIMS {
            self.victims.insert(victim.id(), victim.clone());
        }
        let batches = self.shares.values().map(|shares| shares.values().cloned().collect());
        let mut batches: Vec<Vec<SignedShare>> = batches.collect();
        if batches.is_empty() {
            batches.push(Vec::new());
        }
        batches.into_iter().map(|others| Try { victim: victim.clone(), others }).collect()
    }

    /// A share came: what to try once it makes t with the own one.
    pub(crate) fn share(&mut self, height: Height, share: SignedShare, t: usize) -> Vec<Try> {
        if self.shares.len() >= MAX_HEIGHTS && !self.shares.contains_key(&height) {
            return Vec::new();
        }
        let shares = self.shares.entry(height).or_default();
        let more = shares.insert(share.index, share).is_none();
        if !more || shares.len() + 1 != t {
            return Vec::new();
        }
        let others: Vec<SignedShare> = shares.values().cloned().collect();
        let attempt =
            |victim: &VerifiedBundle| Try { victim: victim.clone(), others: others.clone() };
        self.victims.values().map(attempt).collect()
    }

    /// A height is final here: its shares are for everybody, and what has a place is no victim.
    pub(crate) fn finalized(&mut self, height: Height, placed: impl Fn(&BundleId) -> bool) {
        self.shares = self.shares.split_off(&height.next());
        self.victims.retain(|id, _| !placed(id));
    }
}

impl Try {
    /// Whom it is for.
    pub(crate) fn victim(&self) -> BundleId {
        self.victim.id()
    }

    /// How many shares it has, the own one included.
    pub(crate) fn shares(&self) -> u64 {
        self.others.len() as u64 + 1
    }

    /// Whether it opens the bundle.
    pub(crate) fn opens(&self, committee: &Committee, own: &KeyShare) -> bool {
        let others: Vec<&SignedShare> = self.others.iter().collect();
        read(committee, &self.victim, own, &others)
    }
}

#[cfg(feature = "adversaries")]
fn read(
    committee: &Committee,
    victim: &VerifiedBundle,
    own: &KeyShare,
    others: &[&SignedShare],
) -> bool {
    fairveil_crypto::corrupt::read(committee, victim.ciphertext(), own, others).is_some()
}

/// Never asked: such a build starts no adversary.
#[cfg(not(feature = "adversaries"))]
fn read(_: &Committee, _: &VerifiedBundle, _: &KeyShare, _: &[&SignedShare]) -> bool {
    false
}
