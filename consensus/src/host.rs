//! What the sequencer supplies to the network's chain: what it holds and what it has opened.
//!
//! The host is asked; it is never told what to vote. Everything it waits for may never come, so
//! all of its futures may be dropped at any await.

use std::future::Future;
use std::sync::Arc;

use fairveil_crypto::envelope::{Header, Payer, SizeClass};
use fairveil_crypto::{BundleId, Digest, Height, KeyId, SequencerIndex};
use fairveil_ordering::{Evidence, Tip};
use fairveil_registry::anchor::Anchor;
use fairveil_registry::change::ApprovedChange;
use serde::{Deserialize, Serialize};

use crate::block::SystemEntry;
use crate::entries::AgreedEntries;
use crate::epoch::{Resharing, Successor};
use crate::state::BlockFault;

/// What the chain needs to know of a sealed bundle: the part of its header that decides about
/// order, window, nonce and fee. The bundle's id commits to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFacts {
    /// The key it is sealed to.
    pub key_id: KeyId,
    /// The first height at which it may be ordered.
    pub valid_from: Height,
    /// The last one.
    pub expires_at: Height,
    /// Who pays.
    pub payer: Payer,
    /// Which of the payer's nonces it uses.
    pub payer_nonce: u64,
    /// The size that it pays for.
    pub class: SizeClass,
}

impl From<&Header> for BundleFacts {
    fn from(header: &Header) -> Self {
        Self {
            key_id: header.key_id,
            valid_from: header.valid_from,
            expires_at: header.expires_at,
            payer: header.payer,
            payer_nonce: header.payer_nonce,
            class: header.class,
        }
    }
}

/// Whether new ids may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Yes.
    Open,
    /// No: too many heights wait for their release. Heads must stand at the committed length.
    Stopped,
}

/// What a block is being built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The block's height.
    pub height: Height,
    /// Where the logs stand, by sequencer from index 1: fragments begin here.
    pub committed: Vec<Tip>,
    /// Which logs hold so many ids below T that they are not extended: heads must stand at the
    /// committed length.
    pub full: Vec<bool>,
    /// How many fresh heads it takes.
    pub quorum: u16,
    /// Whether fragments may have ids.
    pub intake: Intake,
    /// Ids in all fragments together, at most.
    pub max_ids: usize,
    /// The first height without a certified release; heights up to the parent's may follow.
    pub unreleased: Height,
    /// The first of them that emitted anything, if any did.
    pub due: Option<Height>,
    /// The resharing that is open, if one is: its ceremony, and the entries that are agreed.
    pub open: Option<Arc<OpenResharing>>,
    /// Whether a handover is final.
    pub handed_over: bool,
}

/// A resharing on this chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenResharing {
    /// As it was announced.
    pub resharing: Resharing,
    /// The height of the block that announced it.
    pub since: Height,
    /// Its entries so far.
    pub agreed: AgreedEntries,
}

/// A handle to the sequencer; clones are handles to the same one.
pub trait Host: Clone + Send + Sync + 'static {
    /// Resolves once there are ids beyond the committed lengths (with intake open), the release of
    /// the due height is known, or a resharing has to be announced, to go on or to be handed over.
    fn work(&self, wanted: &Wanted) -> impl Future<Output = ()> + Send;

    /// A block was executed that may become final: what the next one would be built from. The
    /// sequencer keeps fresh heads of its own log within reach of that.
    fn executed(&self, next: &Wanted);

    /// Evidence for a block: fresh heads of at least the quorum, as soon as it has them, with all
    /// ids since the committed lengths that the limit admits.
    fn evidence(&self, wanted: &Wanted) -> impl Future<Output = Evidence> + Send;

    /// What is known of these bundles, in the same order, once all are held as full, intrinsically
    /// valid sealed bundles. Missing ones are fetched.
    fn bundles(&self, ids: &[BundleId]) -> impl Future<Output = Vec<BundleFacts>> + Send;

    /// The release roots from this height on that this sequencer would certify in a block later than
    /// `after_ms`, without a gap and at most so many.
    fn releases(
        &self,
        from: Height,
        limit: usize,
        after_ms: u64,
    ) -> impl Future<Output = Vec<(Height, Digest)>> + Send;

    /// Whether a block of this time may certify this release root of a height, once this sequencer
    /// knows: an answer stays what it is.
    fn judge_release(
        &self,
        height: Height,
        root: Digest,
        time_ms: u64,
    ) -> impl Future<Output = Result<(), BlockFault>> + Send;

    /// Blocks of followed rollups that this sequencer would name in the block of this height, at most
    /// one per rollup.
    fn anchors(&self, height: Height) -> Vec<Anchor>;

    /// This sequencer proposes a block of this height with anchors.
    fn proposes_anchors(&self, height: Height);

    /// Resolves once this sequencer's own view of the rollup has the anchored block on its chain.
    fn has_anchor(&self, anchor: &Anchor) -> impl Future<Output = ()> + Send;

    /// The resharing that this sequencer would announce.
    fn resharing(&self) -> Option<Resharing>;

    /// Resolves once this sequencer accepts the announced resharing: it knows the definition as
    /// approved for the next epoch, and no resharing that it takes part in is under way.
    fn accepts_resharing(&self, resharing: &Resharing) -> impl Future<Output = ()> + Send;

    /// Entries of the open resharing that this sequencer wants agreed and that are not.
    fn ceremony_entries(&self, open: &OpenResharing) -> Vec<Vec<u8>>;

    /// Who takes over by the result of the open resharing, once this sequencer has it.
    fn successor(&self) -> Option<Successor>;

    /// Resolves once this sequencer has this very result of the open resharing.
    fn has_successor(&self, successor: &Successor) -> impl Future<Output = ()> + Send;

    /// Proofs of equivocation that are recorded and on no final block yet.
    fn equivocations(&self) -> Vec<SystemEntry>;

    /// Approved changes of the rollups that wait for a block, in the order of their numbers.
    fn registry_changes(&self) -> Vec<ApprovedChange>;

    /// Records a verified proof of equivocation.
    fn record(&self, culprit: SequencerIndex, proof: SystemEntry);
}
