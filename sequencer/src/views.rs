//! Followed rollups, as a sequencer sees them: what its own nodes know, when it proposes anchors, and the
//! release that waits for the committee's word.
//!
//! | table | key | value |
//! |---|---|---|
//! | `anchors` | height ‖ chain id | an anchor of a final block whose height is not released yet |
//! | `unseen` | chain id ‖ height ‖ number | nothing: the block stands in the release of that height |
//!
//! # A release over views
//!
//! ```text
//! cut over the views ──> sighted root ──────────────┐
//!   └── can't be read here: again, after a while    ├──> certified by a final block ──> kept
//! not certified after BLIND_AFTER_MS ──> blind root ┘        └── neither: taken over from a peer
//! ```
//!
//! A sequencer that reads the views gets the *sighted* root. Everybody gets the same *blind* root without
//! reading anything. A block may list the sighted root at once, the blind one if its time is
//! [`BLIND_AFTER_MS`] later than that of the released height; a leader that has the sighted one prefers it
//! for as long again. So nodes that are gone stop nothing: their slot is released blindly, and no later
//! one is simulated over those views.
//!
//! # Invariants
//!
//! 1. A release over views is kept, stored and told to anybody only if a final block lists its root: which
//!    of the two holds is decided once, for all.
//!    Heights that the blocks of an epoch do not certify before it ends are released blindly.
//! 2. A sequencer votes for a sighted root only if it read the views itself, so a quorum did.
//! 3. An anchor is proposed and voted for only if the own view has had the block for some time, or has it.
//! 4. Who proposes anchors in vain stops for a while, twice as long each time: [`MIN_PAUSE_HEIGHTS`] to
//!    [`MAX_PAUSE_HEIGHTS`], until a final block has one.

use std::sync::Arc;

use fairveil_consensus::state::BlockFault;
use fairveil_crypto::{Digest, Height};
use fairveil_release::anchor::Anchor;
use fairveil_release::views::{Place, StateView};

use crate::store::Table;
use crate::store::Write;

/// How long a block has to be known before it is proposed as an anchor: the others know it then too.
pub const SETTLED_MS: u64 = 1_000;
/// How long after a height a release of it may be certified that was made without its views.
pub const BLIND_AFTER_MS: u64 = 2_000;
/// For how many heights a sequencer proposes no anchors after it proposed some in vain.
pub const MIN_PAUSE_HEIGHTS: u64 = 32;
/// The most heights, however often.
pub const MAX_PAUSE_HEIGHTS: u64 = 512;

/// What this sequencer's own nodes know of the followed rollups. The first two are looked up in memory.
pub trait Views: Send + Sync {
    /// Of every rollup, the newest block that its node has had for [`SETTLED_MS`].
    fn settled(&self) -> Vec<Anchor>;

    /// Whether the rollup's node has this very block on its chain.
    fn has(&self, anchor: &Anchor) -> bool;

    /// The state after that block, if the node can be asked for it. This and all reads may take long.
    fn open(&self, anchor: &Anchor) -> Option<Arc<dyn StateView>>;
}

/// No nodes: anchors are left to the others, and so are releases over views.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoViews;

impl Views for NoViews {
    fn settled(&self) -> Vec<Anchor> {
        Vec::new()
    }

    fn has(&self, _: &Anchor) -> bool {
        false
    }

    fn open(&self, _: &Anchor) -> Option<Arc<dyn StateView>> {
        None
    }
}

/// Whether this sequencer proposes anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchoring {
    proposed: Option<Height>,
    from: Height,
    pause: u64,
}

impl Default for Anchoring {
    fn default() -> Self {
        Self { proposed: None, from: Height::ZERO, pause: MIN_PAUSE_HEIGHTS }
    }
}

impl Anchoring {
    pub(crate) fn may_propose(&self, height: Height) -> bool {
        height >= self.from
    }

    pub(crate) fn proposes(&mut self, height: Height) {
        self.proposed = Some(self.proposed.map_or(height, |before| before.max(height)));
    }

    /// The block of this height is final, with or without anchors.
    pub(crate) fn finalized(&mut self, height: Height, anchors: &[Anchor]) {
        if !anchors.is_empty() {
            *self = Self { proposed: self.proposed.filter(|at| *at > height), ..Self::default() };
        } else if self.proposed.is_some_and(|at| at <= height) {
            self.proposed = None;
            self.from = height.saturating_add(self.pause);
            self.pause = self.pause.saturating_mul(2).min(MAX_PAUSE_HEIGHTS);
        }
    }
}

/// The release that waits for the committee's word, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenRelease {
    pub(crate) height: Height,
    /// The time of that height's block.
    pub(crate) of_ms: u64,
    pub(crate) sighted: Option<Digest>,
    pub(crate) blind: Option<Digest>,
}

impl OpenRelease {
    fn blind_from_ms(&self) -> u64 {
        self.of_ms.saturating_add(BLIND_AFTER_MS)
    }

    /// The root that this sequencer would list in a block that is later than this time.
    pub(crate) fn offered(&self, after_ms: u64) -> Option<Digest> {
        let least_ms = after_ms.saturating_add(1);
        let blind = self.blind.filter(|_| least_ms >= self.blind_from_ms());
        let waited = least_ms >= self.blind_from_ms().saturating_add(BLIND_AFTER_MS);
        if waited { blind.or(self.sighted) } else { self.sighted.or(blind) }
    }

    /// Whether a block of this time may list this root; none while it is not known here.
    pub(crate) fn verdict(&self, root: &Digest, time_ms: u64) -> Option<Result<(), BlockFault>> {
        if self.sighted.as_ref() == Some(root) {
            return Some(Ok(()));
        }
        let needed_ms = self.blind_from_ms();
        (self.blind.as_ref() == Some(root)).then(|| {
            if time_ms >= needed_ms {
                return Ok(());
            }
            let (height, of_ms, actual_ms) = (self.height, self.of_ms, time_ms);
            Err(BlockFault::Blind { height, of_ms, actual_ms, needed_ms })
        })
    }
}

/// The key of an anchor.
pub(crate) fn anchor_key(height: Height, chain_id: u64) -> [u8; 16] {
    pair(height.get(), chain_id)
}

/// The write that makes a released block unseen.
pub(crate) fn unseen_write(place: &Place) -> Write {
    Write::put(Table::Unseen, place_key(place), Vec::new())
}

/// The write that makes it seen.
pub(crate) fn seen_write(place: &Place) -> Write {
    Write::remove(Table::Unseen, place_key(place))
}

/// The place that a key stands for.
pub(crate) fn place_of(key: &[u8]) -> Option<Place> {
    let numbers: Vec<u64> = key
        .chunks(8)
        .map(|chunk| chunk.try_into().map(u64::from_be_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let [chain_id, height, number] = numbers[..] else { return None };
    Some(Place { chain_id, height: Height::new(height), number })
}

fn place_key(place: &Place) -> Vec<u8> {
    let first = pair(place.chain_id, place.height.get());
    [&first[..], &place.number.to_be_bytes()].concat()
}

fn pair(one: u64, other: u64) -> [u8; 16] {
    (u128::from(one) << 64 | u128::from(other)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        let zero = Digest::from_bytes([0; 32]);
        Anchor {
            chain_id: 901,
            number: 1,
            hash: zero,
            state_root: zero,
            timestamp_s: 1,
            base_fee: 1,
            gas_limit: 2,
            gas_used: 1,
        }
    }

    #[test]
    fn who_proposes_in_vain_pauses_longer_each_time_invariant_4() {
        let mut anchoring = Anchoring::default();
        let mut height = 10;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(anchoring.may_propose(Height::new(height)));
            anchoring.proposes(Height::new(height));
            anchoring.finalized(Height::new(height - 1), &[]);
            assert!(anchoring.may_propose(Height::new(height)), "not decided yet");
            anchoring.finalized(Height::new(height), &[]);
            let next = (height..).find(|at| anchoring.may_propose(Height::new(*at))).unwrap();
            pauses.push(next - height);
            height = next;
        }
        assert_eq!(pauses, [32, 64, 128, 256, 512, 512]);
        anchoring.proposes(Height::new(height));
        anchoring.finalized(Height::new(height), &[anchor()]);
        assert_eq!(anchoring, Anchoring::default());
        // Somebody else's success ends a pause too.
        anchoring.proposes(Height::new(height + 1));
        anchoring.finalized(Height::new(height + 1), &[]);
        anchoring.finalized(Height::new(height + 2), &[anchor()]);
        assert!(anchoring.may_propose(Height::new(height + 3)));
    }

    #[test]
    fn the_blind_root_comes_late_and_the_sighted_one_is_preferred_invariant_1() {
        let [sighted, blind, other] = [1, 2, 3].map(|byte| Digest::from_bytes([byte; 32]));
        let height = Height::new(7);
        let open = |sighted, blind| OpenRelease { height, of_ms: 10_000, sighted, blind };
        let both = open(Some(sighted), Some(blind));
        assert_eq!(both.offered(10_000), Some(sighted));
        assert_eq!(both.offered(13_998), Some(sighted));
        assert_eq!(both.offered(13_999), Some(blind));
        let unread = open(None, Some(blind));
        assert_eq!(unread.offered(11_998), None);
        assert_eq!(unread.offered(11_999), Some(blind));
        assert_eq!(open(Some(sighted), None).offered(20_000), Some(sighted));
        assert_eq!(open(None, None).offered(20_000), None);

        assert_eq!(both.verdict(&sighted, 10_001), Some(Ok(())));
        assert_eq!(both.verdict(&blind, 12_000), Some(Ok(())));
        let early =
            BlockFault::Blind { height, of_ms: 10_000, actual_ms: 11_999, needed_ms: 12_000 };
        assert_eq!(both.verdict(&blind, 11_999), Some(Err(early)));
        assert_eq!(both.verdict(&other, 12_000), None);
        assert_eq!(unread.verdict(&sighted, 12_000), None, "it may be read later");
    }

    #[test]
    fn keys_and_places_are_inverse() {
        let place = Place { chain_id: 901, height: Height::new(1 << 40), number: 77 };
        assert_eq!(place_of(&place_key(&place)), Some(place));
        assert_eq!(place_of(&[0; 23]), None);
        assert_eq!(place_of(&[0; 32]), None);
    }
}
