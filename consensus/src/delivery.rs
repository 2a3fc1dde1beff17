//! Final blocks, in height order, each with its state and the proof that it is final.
//!
//! # Invariants
//!
//! 1. Blocks are delivered in height order without gaps, from the one after the sequencer's last
//!    committed block; what is at or below it is acknowledged here and not delivered again.
//! 2. A block is delivered only with a finalization of itself or of a descendant, and the headers
//!    in between. This is the only place where finality leaves the crate.
//! 3. The receiver acknowledges a block after its own commit. An acknowledgement that is dropped
//!    stops the engine, so that nothing is lost silently.
//! 4. A final block that the rules refuse means that more members are faulty than are tolerated:
//!    the engine stops and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use commonware_actor::Feedback;
use commonware_consensus::Reporter;
use commonware_consensus::marshal::{Identifier, Update};
use commonware_runtime::Clock;
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use commonware_utils::channel::mpsc;
use fairveil_crypto::certificate::{BlockHeader, Finalization, MAX_HEADERS};
use fairveil_crypto::{Height, SequencerIndex, Signature, View};
use fairveil_ordering::FRESH_HEIGHTS;
use tracing::{error, warn};

use crate::application::Marshal;
use crate::block::{Block, block_digest, engine_height};
use crate::chain::{Chain, Executed};
use crate::committee::Scheme;
use crate::speculation::Speculation;

/// How often the store is looked at again for a finalization that is still being written.
const FINALITY_POLL: Duration = Duration::from_millis(20);

/// After how many polls without success the operator is told: 10 s.
const FINALITY_WARN_POLLS: u64 = 500;

/// A final block.
pub struct Finalized<C: Chain> {
    /// The block, the state after it, what it did.
    pub executed: Executed<C>,
    /// That it is final.
    pub finality: Finality,
    /// To be acknowledged after the receiver's own commit.
    pub acknowledgement: Acknowledgement,
}

/// The proof that a block is final: a finalization of it or of a descendant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finality {
    /// The quorum's signatures over the first header.
    pub finalization: Finalization,
    /// From the finalized block down to the block that was delivered, each the child of the next.
    pub headers: Vec<BlockHeader>,
}

/// Tells the engine that a final block is committed; dropping it stops the engine.
#[must_use = "dropping it stops the engine"]
pub struct Acknowledgement(Exact);

impl Acknowledgement {
    /// The block is committed, durably.
    pub fn acknowledge(self) {
        self.0.acknowledge();
    }
}

/// Why deliveries end.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError<F: std::error::Error + 'static> {
    /// Blocks between the sequencer's state and the engine's are gone: its store is older than
    /// what it acknowledged.
    #[error("the engine delivers height {actual}, the sequencer's state needs {expected}")]
    Gap {
        /// The height of the block.
        actual: Height,
        /// The height after the sequencer's last commit.
        expected: Height,
    },
    /// A final block does not continue the sequencer's state.
    #[error("the final block at height {height} does not continue this sequencer's state")]
    Fork {
        /// The height of the block.
        height: Height,
    },
    /// A final block breaks the rules.
    #[error("the final block at height {height} is invalid: {fault}")]
    Invalid {
        /// The height of the block.
        height: Height,
        /// The rule.
        fault: F,
    },
    /// The receiver of final blocks is gone.
    #[error("nobody receives final blocks")]
    Closed,
}

/// How far this sequencer sees: beyond what was delivered to it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Heights>);

#[derive(Debug)]
struct Heights {
    finalized: AtomicU64,
    executed: AtomicU64,
    view: AtomicU64,
}

impl Progress {
    pub(crate) fn new(height: Height) -> Self {
        let [finalized, executed] = [height.get(), height.get()].map(AtomicU64::new);
        Self(Arc::new(Heights { finalized, executed, view: AtomicU64::new(0) }))
    }

    /// The newest height that is known to be final, delivered or not.
    #[must_use]
    pub fn finalized(&self) -> Height {
        Height::new(self.0.finalized.load(Ordering::Relaxed))
    }

    /// The newest view whose finalization stands in the engine's own journal since its start. (A final
    /// block may come by another way: by its height, from a member that stored it.)
    #[must_use]
    pub fn final_view(&self) -> View {
        View::new(self.0.view.load(Ordering::Relaxed))
    }

    /// What a log head says that its sequencer has seen: the newest final height, or, while
    /// finality lags far behind, a height well below the highest block executed here. (With final
    /// heights alone, views that certify and do not finalize could use up the window in which
    /// heads are fresh, and no block could follow.)
    #[must_use]
    pub fn height_seen(&self) -> Height {
        let executed = Height::new(self.0.executed.load(Ordering::Relaxed));
        self.finalized().max(executed.saturating_sub(FRESH_HEIGHTS / 2))
    }

    pub(crate) fn saw_final(&self, height: Height) {
        self.0.finalized.fetch_max(height.get(), Ordering::Relaxed);
    }

    pub(crate) fn saw_final_view(&self, view: View) {
        self.0.view.fetch_max(view.get(), Ordering::Relaxed);
    }

    pub(crate) fn saw_executed(&self, height: Height) {
        self.0.executed.fetch_max(height.get(), Ordering::Relaxed);
    }
}

/// Passes the engine's updates on to [`run`].
#[derive(Clone)]
pub(crate) struct Updates {
    pub(crate) progress: Progress,
    /// The height of the block that the engine counts from.
    pub(crate) start: Height,
    pub(crate) blocks: mpsc::UnboundedSender<(Block, Exact)>,
}

impl Reporter for Updates {
    type Activity = Update<Block>;

    fn report(&mut self, update: Update<Block>) -> Feedback {
        match update {
            Update::Tip(_, height, _) => {
                self.progress.saw_final(self.start.saturating_add(height.get()));
            }
            // The engine has at most `max_pending_acks` of them under way.
            Update::Block(block, acknowledgement) => {
                let block = block.inner().clone();
                if self.blocks.send((block, acknowledgement)).is_err() {
                    return Feedback::Closed;
                }
            }
        }
        Feedback::Ok
    }
}

/// Delivers final blocks until the receiver is gone or something is wrong.
pub(crate) async fn run<C: Chain>(
    clock: impl Clock,
    chain: C,
    speculation: Speculation<C>,
    marshal: Marshal,
    mut updates: mpsc::UnboundedReceiver<(Block, Exact)>,
    finalized: mpsc::Sender<Finalized<C>>,
) -> Result<(), DeliveryError<C::Fault>> {
    while let Some((block, acknowledgement)) = updates.recv().await {
        let base = speculation.base();
        let height = block.header().height;
        if height <= base.height {
            acknowledgement.acknowledge();
            continue;
        }
        if height != base.height.next() {
            return Err(DeliveryError::Gap { actual: height, expected: base.height.next() });
        }
        if block.header().parent != base.digest {
            return Err(DeliveryError::Fork { height });
        }
        let executed = executed(&clock, &chain, &speculation, &block).await?;
        let finality = finality(&clock, &marshal, &block).await;
        let acknowledgement = Acknowledgement(acknowledgement);
        let delivery = Finalized { executed, finality, acknowledgement };
        if finalized.send(delivery).await.is_err() {
            return Err(DeliveryError::Closed);
        }
    }
    Ok(())
}

async fn executed<C: Chain>(
    clock: &impl Clock,
    chain: &C,
    speculation: &Speculation<C>,
    block: &Block,
) -> Result<Executed<C>, DeliveryError<C::Fault>> {
    let height = block.header().height;
    let known = match speculation.get(&block.block_digest()) {
        Some(known) => known,
        None => {
            let base = speculation.base();
            let parent = speculation.get(&base.digest).ok_or(DeliveryError::Fork { height })?;
            let result = chain.execute(&parent.state, block).await;
            let executed = result.map_err(|fault| {
                error!(%height, %fault, "a final block is invalid");
                DeliveryError::Invalid { height, fault }
            })?;
            speculation.insert(executed, clock.current())
        }
    };
    speculation.finalize(&known);
    let executed = known.executed.ok_or(DeliveryError::Fork { height })?;
    Ok(Executed::clone(&executed))
}

/// The proof for a block that is known to be final: waits until the engine stored it.
async fn finality(clock: &impl Clock, marshal: &Marshal, block: &Block) -> Finality {
    let mut polls = 0_u64;
    loop {
        if let Some(finality) = stored_finality(marshal, block).await {
            return finality;
        }
        polls += 1;
        if polls.is_multiple_of(FINALITY_WARN_POLLS) {
            let height = block.header().height.get();
            warn!(height, "no finalization within {MAX_HEADERS} heights is stored yet");
        }
        clock.sleep(FINALITY_POLL).await;
    }
}

async fn stored_finality(marshal: &Marshal, block: &Block) -> Option<Finality> {
    let mut headers = vec![block.header().clone()];
    let mut newest = block.clone();
    let start = block.header().epoch_start;
    while headers.len() <= MAX_HEADERS {
        let height = newest.header().height;
        if let Some(finalization) = marshal.get_finalization(engine_height(height, start)).await
            && block_digest(&finalization.proposal.payload) == newest.block_digest()
        {
            headers.reverse();
            return Some(Finality { finalization: certificate(&finalization), headers });
        }
        let next = Identifier::Height(engine_height(height.next(), start));
        let child = marshal.get_block(next).await?.inner().clone();
        if child.header().parent != newest.block_digest() {
            return None;
        }
        headers.push(child.header().clone());
        newest = child;
    }
    None
}

/// The engine's finalization in the form that is verified without the engine.
fn certificate(
    finalization: &commonware_consensus::simplex::types::Finalization<Scheme, crate::block::Digest>,
) -> Finalization {
    let proposal = &finalization.proposal;
    let certificate = &finalization.certificate;
    let (signers, signatures) = certificate
        .signers
        .iter()
        .zip(&certificate.signatures)
        .filter_map(|(signer, signature)| {
            let index = SequencerIndex::from_position(signer.get() as usize)?;
            let mut bytes = [0; 64];
            bytes.copy_from_slice(signature.get()?.as_ref());
            Some((index, Signature::from_bytes(bytes)))
        })
        .unzip();
    Finalization {
        epoch: fairveil_crypto::Epoch::new(proposal.round.epoch().get()),
        view: View::new(proposal.round.view().get()),
        parent_view: View::new(proposal.parent.get()),
        block: block_digest(&proposal.payload),
        signers,
        signatures,
    }
}
