//! What one chain decides: the seam between the engine and its two applications.
//!
//! The engine knows nothing of order logs or ceremonies. It asks a [`Chain`] for the child of a
//! block, for the state after a block, and whether a block may be voted for. The network's chain
//! ([`crate::order_chain`]) and the ceremony's ([`crate::ceremony`]) are the two answers.

use std::future::Future;

use fairveil_crypto::certificate::BlockHeader;
use fairveil_crypto::{BlockDigest, ConsensusPublicKey, Epoch, Height, SequencerIndex, View};

use crate::block::Block;
use crate::equivocation::ConflictingVotes;
use crate::timing::Load;

/// The block a state stands after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: BlockDigest,
    /// Its time.
    pub time_ms: u64,
}

impl Tip {
    /// The tip that a block makes.
    #[must_use]
    pub fn of(header: &BlockHeader) -> Self {
        Self { height: header.height, digest: header.digest(), time_ms: header.time_ms }
    }
}

/// The part of a header that the consensus fixes, not the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The committee's period.
    pub epoch: Epoch,
    /// The attempt.
    pub view: View,
    /// The attempt in which the parent was proposed.
    pub parent_view: View,
    /// The parent.
    pub parent: BlockDigest,
    /// Who leads the attempt.
    pub leader: ConsensusPublicKey,
}

/// The rules of one chain. Clones are handles to the same rules.
///
/// # Invariants
///
/// 1. `execute` is a function of the parent's state, the block and data that the block's digest
///    fixes: all sequencers get the same state, or all get a fault. It waits for what is missing
///    here and never answers with a fault for it.
/// 2. `approve` adds what only a voter checks, against its own results; it waits as well.
/// 3. Every future may be dropped at any await without harm.
pub trait Chain: Clone + Send + Sync + 'static {
    /// What is known after a block; cheap to clone.
    type State: Clone + Send + Sync + 'static;
    /// What a block did.
    type Output: Clone + Send + Sync + 'static;
    /// Why a block is invalid for ever.
    type Fault: std::error::Error + Send + Sync + 'static;

    /// The block that `state` stands after.
    fn tip(state: &Self::State) -> Tip;

    /// Whether `block`, a child of `parent`, had a reason to come soon.
    fn load(&self, parent: &Self::State, block: &Block) -> Load;

    /// Resolves once there is something to put into a child of `parent`.
    fn work(&self, parent: &Self::State) -> impl Future<Output = ()> + Send;

    /// A child of `parent` and what it does, or nothing if this sequencer has to let the view go.
    fn build(
        &self,
        slot: Slot,
        parent: &Self::State,
    ) -> impl Future<Output = Option<Executed<Self>>> + Send;

    /// The state after `block`, a child of `parent`.
    fn execute(
        &self,
        parent: &Self::State,
        block: &Block,
    ) -> impl Future<Output = Result<Executed<Self>, Self::Fault>> + Send;

    /// Whether this sequencer may vote for `block`, which `execute` accepted.
    fn approve(
        &self,
        parent: &Self::State,
        block: &Block,
    ) -> impl Future<Output = Result<(), Self::Fault>> + Send;

    /// Two votes of one sequencer that contradict each other, verified.
    fn equivocation(&self, culprit: SequencerIndex, votes: ConflictingVotes);
}

/// A block with the state after it.
pub struct Executed<C: Chain> {
    /// The block.
    pub block: Block,
    /// The state after it.
    pub state: C::State,
    /// What it did.
    pub output: C::Output,
}

impl<C: Chain> Clone for Executed<C> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), state: self.state.clone(), output: self.output.clone() }
    }
}
