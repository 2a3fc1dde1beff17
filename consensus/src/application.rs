//! The one file that touches commonware's ALPHA surface: its `Application` trait and the wrapper
//! `Inline` around it.
//!
//! `Inline`, not `Deferred`: a member votes to notarize only after it executed and approved the
//! block, so a block that breaks a rule gets no honest vote at all, and a block that can't be
//! judged yet (a bundle or an opening is missing here) holds back the vote before anything is
//! certified. What is certified was executed by at least F + 1 honest members, so whoever missed
//! it can fetch everything that it takes.
//!
//! # Invariants
//!
//! 1. `verify` answers false only for what stays invalid; everything else leaves it pending.
//! 2. A proposal is a block that this sequencer executed itself.
//! 3. A block comes no sooner after its parent than [`crate::timing`] says: its leader waits, and
//!    voters hold their votes for half of that time against a leader who does not.

use std::future::pending;

use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::marshal::standard::{Inline, Standard};
use commonware_consensus::simplex::types::Context;
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_runtime::{Clock, Metrics, Spawner};
use futures::StreamExt as _;
use tracing::{debug, warn};

use crate::block::{self, Block};
use crate::chain::{Chain, Slot};
use crate::committee::{EpochBounds, PublicKey, Scheme, identity};
use crate::speculation::{Known, MAX_AHEAD, Speculation};
use crate::timing::Timing;

/// The engine's automaton, relay and reporter for a chain.
pub(crate) type Automaton<E, C> = Inline<E, Scheme, Application<C>, Block, EpochBounds>;

/// The mailbox of the actor that puts final blocks in order.
pub(crate) type Marshal = commonware_consensus::marshal::core::Mailbox<Scheme, Standard<Block>>;

/// Wraps a chain for the engine.
pub(crate) fn automaton<E, C>(
    context: E,
    application: Application<C>,
    marshal: Marshal,
    epochs: EpochBounds,
) -> Automaton<E, C>
where
    E: Spawner + Metrics + Clock,
    C: Chain,
{
    Inline::new(context, application, marshal, epochs)
}

/// A chain with the states of its open blocks.
pub(crate) struct Application<C: Chain> {
    chain: C,
    speculation: Speculation<C>,
    timing: Timing,
}

impl<C: Chain> Clone for Application<C> {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            speculation: self.speculation.clone(),
            timing: self.timing,
        }
    }
}

impl<C: Chain> Application<C> {
    pub(crate) fn new(chain: C, speculation: Speculation<C>, timing: Timing) -> Self {
        Self { chain, speculation, timing }
    }

    /// The state after the first block of `ancestry`: held, or executed from the nearest ancestor
    /// whose state is held. Nothing if it is on no chain that continues ours.
    async fn state(&self, clock: &impl Clock, mut ancestry: impl Ancestry<Block>) -> Resolved<C> {
        let mut open: Vec<Block> = Vec::new();
        let mut known = loop {
            let Some(block) = ancestry.next().await else {
                return Resolved::Unknown;
            };
            let digest = block.inner().block_digest();
            if let Some(known) = self.speculation.get(&digest) {
                break known;
            }
            let height = block.inner().header().height;
            if height <= self.speculation.base().height {
                return Resolved::Unknown;
            }
            if open.is_empty() {
                self.speculation.reached(height.saturating_sub(MAX_AHEAD)).await;
                if let Some(known) = self.speculation.get(&digest) {
                    break known;
                }
            }
            open.push(block.inner().clone());
        };
        while let Some(block) = open.pop() {
            match self.chain.execute(&known.state, &block).await {
                Ok(executed) => known = self.speculation.insert(executed, clock.current()),
                Err(fault) => {
                    warn!(height = block.header().height.get(), %fault, "ancestor is invalid");
                    return Resolved::Invalid;
                }
            }
        }
        Resolved::Known(known)
    }

    async fn build(
        &mut self,
        clock: &impl Clock,
        slot: Slot,
        ancestry: impl Ancestry<Block>,
    ) -> Option<Block> {
        let Resolved::Known(parent) = self.state(clock, ancestry).await else {
            return None;
        };
        let seen = parent.seen.unwrap_or_else(|| clock.current());
        clock.sleep_until(seen + self.timing.min_interval).await;
        select! {
            _ = self.chain.work(&parent.state) => {},
            _ = clock.sleep_until(seen + self.timing.idle_interval) => {},
        }
        let executed = self.chain.build(slot, &parent.state).await?;
        let block = executed.block.clone();
        self.speculation.insert(executed, clock.current());
        Some(block)
    }

    async fn judge(
        &mut self,
        clock: &impl Clock,
        slot: Slot,
        mut ancestry: impl Ancestry<Block>,
    ) -> bool {
        let Some(block) = ancestry.next().await else {
            return pending().await;
        };
        let block = block.inner().clone();
        let parent = match self.state(clock, ancestry).await {
            Resolved::Known(parent) => parent,
            Resolved::Invalid => return false,
            Resolved::Unknown => return pending().await,
        };
        if !block.matches(&slot) {
            debug!(height = block.header().height.get(), "header is not of this view");
            return false;
        }
        let verdict = async {
            let executed = self.chain.execute(&parent.state, &block).await?;
            self.speculation.insert(executed, clock.current());
            self.chain.approve(&parent.state, &block).await
        };
        if let Err(fault) = verdict.await {
            warn!(height = block.header().height.get(), %fault, "block is invalid");
            return false;
        }
        if let Some(seen) = parent.seen {
            let delay = self.timing.vote_delay(self.chain.load(&parent.state, &block));
            clock.sleep_until(seen + delay).await;
        }
        true
    }
}

enum Resolved<C: Chain> {
    Known(Known<C>),
    /// Not on a chain that continues ours, or not to be had: no verdict.
    Unknown,
    /// A block below breaks a rule.
    Invalid,
}

impl<E, C> commonware_consensus::Application<E> for Application<C>
where
    E: Clock + Spawner + Metrics,
    C: Chain,
{
    type SigningScheme = Scheme;
    type Context = Context<block::Digest, PublicKey>;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (clock, context): (E, Self::Context),
        ancestry: impl Ancestry<Block>,
        (): (),
    ) -> Option<Digested<Block>> {
        let block = self.build(&clock, slot(&context), ancestry).await?;
        let digest = block.digest();
        Some(Digested::precomputed(block, digest))
    }

    async fn verify(
        &mut self,
        (clock, context): (E, Self::Context),
        ancestry: impl Ancestry<Block>,
    ) -> bool {
        self.judge(&clock, slot(&context), ancestry).await
    }
}

fn slot(context: &Context<block::Digest, PublicKey>) -> Slot {
    Slot {
        epoch: fairveil_crypto::Epoch::new(context.round.epoch().get()),
        view: fairveil_crypto::View::new(context.round.view().get()),
        parent_view: fairveil_crypto::View::new(context.parent.0.get()),
        parent: block::block_digest(&context.parent.1),
        leader: identity(&context.leader),
    }
}
