//! The network's chain: the rules of [`crate::state`], with a [`Host`] that supplies bundles,
//! evidence and release roots.
//!
//! # Invariants
//!
//! 1. A block is executed only with every bundle held whose id it lifts to T; until then its
//!    verification is pending.
//! 2. A vote needs the host's approval of every release root of the block: it equals one computed
//!    here. Until it is computed, the vote is pending.
//! 3. A leader proposes what it executed itself, and leaves out what would make its block invalid.
//! 4. A vote needs every anchored block to be on the rollup's chain as this sequencer's own view has
//!    it; until it is, the vote is pending. So an anchor of a final block was seen by a quorum.
//! 5. A vote needs an announced resharing to be accepted here, and a handover's successor to be this
//!    sequencer's own result of the resharing; until they are, the vote is pending.

use std::collections::BTreeMap;
use std::sync::Arc;

use commonware_parallel::Strategy;
use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::{BundleId, ConsensusPublicKey, SequencerIndex};
use tracing::{debug, warn};

use crate::block::{
    Block, Body, Draft, MAX_CEREMONY_ENTRY_BYTES, MAX_EQUIVOCATIONS, MAX_REGISTRY_CHANGES,
    MAX_RELEASES, SystemEntry,
};
use crate::chain::{Chain, Executed, Slot, Tip};
use crate::delivery::Finalized;
use crate::epoch::MAX_DEFINITION_BYTES;
use crate::equivocation::ConflictingVotes;
use crate::host::{BundleFacts, Host};
use crate::state::{BlockFault, BlockOutput, ChainState, ExtendError};
use crate::timing::Load;

/// Bytes of a ceremony's entries in a block: what evidence and releases leave.
const MAX_CEREMONY_BYTES: usize = 96 << 10;
const _: () = assert!(MAX_CEREMONY_ENTRY_BYTES <= MAX_CEREMONY_BYTES);
const _: () = assert!(MAX_DEFINITION_BYTES <= MAX_CEREMONY_BYTES);

/// The network's chain as one sequencer runs it.
#[derive(Clone)]
pub struct OrderChain<H, T> {
    host: H,
    strategy: T,
}

impl<H: Host, T: Strategy> OrderChain<H, T> {
    /// The rules with this host; blocks are applied where `strategy` says.
    pub fn new(host: H, strategy: T) -> Self {
        Self { host, strategy }
    }

    /// What is known of these bundles, once they are held.
    async fn facts(&self, ids: Vec<BundleId>) -> BTreeMap<BundleId, BundleFacts> {
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let facts = self.host.bundles(&ids).await;
        ids.into_iter().zip(facts).collect()
    }

    async fn draft(&self, leader: &ConsensusPublicKey, parent: &ChainState) -> Draft {
        if parent.has_ended() {
            return Draft::default();
        }
        let wanted = parent.wanted();
        let evidence = self.host.evidence(&wanted).await;
        let after_ms = parent.tip().time_ms;
        let mut releases = self.host.releases(wanted.unreleased, MAX_RELEASES, after_ms).await;
        releases.retain(|(height, _)| *height <= parent.tip().height);
        let mut convicted = Vec::new();
        let mut system = self.host.equivocations();
        system.retain(|entry| match parent.convicts(entry) {
            Ok(culprit) if !convicted.contains(&culprit) => {
                convicted.push(culprit);
                convicted.len() <= MAX_EQUIVOCATIONS
            }
            _ => false,
        });
        let changes = parent.announceable(self.host.registry_changes(), MAX_REGISTRY_CHANGES);
        system.extend(changes.into_iter().map(SystemEntry::RegistryChange));
        let anchors = parent.anchorable(self.host.anchors(wanted.height));
        system.extend(anchors.into_iter().map(SystemEntry::Anchor));
        system.extend(self.ending(leader, parent));
        Draft { evidence, releases, system }
    }

    /// What a block says of the next epoch: a handover, a resharing, or entries of the open one.
    fn ending(&self, leader: &ConsensusPublicKey, parent: &ChainState) -> Vec<SystemEntry> {
        if parent.handover().is_some() {
            return Vec::new();
        }
        let successor = self.host.successor();
        if let Some(handover) = successor.and_then(|successor| parent.handover_to(successor)) {
            return vec![SystemEntry::Handover(handover)];
        }
        let resharing = self.host.resharing();
        if let Some(resharing) = resharing.filter(|resharing| parent.may_announce(resharing)) {
            return vec![SystemEntry::Resharing(resharing)];
        }
        let Some(open) = parent.open_resharing() else { return Vec::new() };
        let unposted = self.host.ceremony_entries(open);
        let entries = open.agreed.fitting(leader, unposted, MAX_CEREMONY_BYTES);
        entries.into_iter().map(SystemEntry::CeremonyEntry).collect()
    }

    /// The body without fragments that would make the block invalid, and the bundles it needs.
    fn admissible(parent: &ChainState, mut draft: Draft) -> Option<(Body, Vec<BundleId>)> {
        loop {
            let judged = parent.pack(&draft).and_then(|body| Ok((parent.needed(&body)?, body)));
            let fault = match judged {
                Ok((needed, body)) => return Some((body, needed)),
                Err(fault) => fault,
            };
            warn!(%fault, "evidence for a proposal is invalid");
            let culprit = fault.blamed()?;
            let fragments = &mut draft.evidence.fragments;
            let before = fragments.len();
            fragments.retain(|fragment| fragment.head.sequencer != culprit);
            if fragments.len() == before {
                return None;
            }
        }
    }

    /// Rough cost of applying a block, for the strategy.
    fn cost(parent: &ChainState, body: &Body) -> usize {
        body.evidence_ids() + usize::from(parent.parameters().committee.n())
    }
}

impl<H: Host, T: Strategy> Chain for OrderChain<H, T> {
    type State = ChainState;
    type Output = Arc<BlockOutput>;
    type Fault = BlockFault;

    fn tip(state: &ChainState) -> Tip {
        state.tip()
    }

    fn load(&self, parent: &ChainState, block: &Block) -> Load {
        parent.load(block.body())
    }

    async fn work(&self, parent: &ChainState) {
        if parent.has_ended() {
            return std::future::pending().await;
        }
        if !parent.has_backlog() {
            self.host.work(&parent.wanted()).await;
        }
    }

    async fn build(&self, slot: Slot, parent: &ChainState) -> Option<Executed<Self>> {
        let draft = self.draft(&slot.leader, parent).await;
        let (body, needed) = Self::admissible(parent, draft)?;
        let facts = self.facts(needed).await;
        let (parent, cost) = (parent.clone(), Self::cost(parent, &body));
        let extended = self.strategy.spawn(cost, move |_| extended(&parent, slot, body, &facts));
        match extended.await {
            Ok((block, state, output)) => {
                self.host.executed(&state.wanted());
                if !output.anchored.is_empty() {
                    self.host.proposes_anchors(block.header().height);
                }
                Some(Executed { block, state, output: Arc::new(output) })
            }
            Err(error) => {
                warn!(%error, "a proposal would be invalid");
                None
            }
        }
    }

    async fn execute(
        &self,
        parent: &ChainState,
        block: &Block,
    ) -> Result<Executed<Self>, BlockFault> {
        let facts = self.facts(parent.needed(block.body())?).await;
        let cost = Self::cost(parent, block.body());
        let (parent, block) = (parent.clone(), block.clone());
        let applied = self.strategy.spawn(cost, move |_| {
            let (state, output) = parent.apply(&block, &facts)?;
            Ok(Executed { block, state, output: Arc::new(output) })
        });
        let executed: Result<Executed<Self>, BlockFault> = applied.await;
        let executed = executed?;
        self.host.executed(&executed.state.wanted());
        Ok(executed)
    }

    async fn approve(&self, _: &ChainState, block: &Block) -> Result<(), BlockFault> {
        let time_ms = block.header().time_ms;
        for (height, root) in &block.body().releases {
            self.host.judge_release(*height, *root, time_ms).await?;
        }
        for entry in &block.body().system {
            match entry {
                SystemEntry::Anchor(anchor) => self.host.has_anchor(anchor).await,
                SystemEntry::Resharing(resharing) => self.host.accepts_resharing(resharing).await,
                SystemEntry::Handover(handover) => {
                    self.host.has_successor(&handover.successor).await;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn equivocation(&self, culprit: SequencerIndex, votes: ConflictingVotes) {
        self.host.record(culprit, SystemEntry::ConflictingVotes(votes));
    }
}

/// The child with this body, or without its anchors if one of them does not fit the block's time,
/// which is known once the evidence is verified.
fn extended(
    parent: &ChainState,
    slot: Slot,
    body: Body,
    facts: &BTreeMap<BundleId, BundleFacts>,
) -> Result<(Block, ChainState, BlockOutput), ExtendError> {
    if !body.system.iter().any(is_anchor) {
        return parent.extend(slot, body, facts);
    }
    let mut without = body.clone();
    match parent.extend(slot.clone(), body, facts) {
        Err(ExtendError::Fault(BlockFault::Anchor(fault))) => {
            debug!(%fault, "an anchor is left out of a proposal");
            without.system.retain(|entry| !is_anchor(entry));
            parent.extend(slot, without, facts)
        }
        extended => extended,
    }
}

fn is_anchor(entry: &SystemEntry) -> bool {
    matches!(entry, SystemEntry::Anchor(_))
}

impl<H: Host, T: Strategy> Finalized<OrderChain<H, T>> {
    /// The proof of this height's order that is verified without the engine, and with which alone
    /// decryption shares may leave.
    #[must_use]
    pub fn certificate(&self) -> OrderCertificate {
        OrderCertificate {
            finalization: self.finality.finalization.clone(),
            headers: self.finality.headers.clone(),
            emission: self.executed.output.emission.clone(),
            state_digest: self.executed.output.state_digest,
        }
    }
}
