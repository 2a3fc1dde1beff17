//! The state of the network's chain after a block, and the rules by which a block changes it.
//!
//! # Applying a block
//!
//! ```text
//! header      version, network, epoch, height, parent                              (header)
//! evidence    form and signatures; it continues the logs; n - f fresh heads        (ordering)
//! intake      more than 64 unreleased heights: heads only, no ids
//! time        max(parent + 1 ms, lower median of the fresh heads' clocks)
//! releases    the unreleased heights in order, from the oldest, at most 64
//! system      proofs of equivocation, each of a sequencer not yet convicted; changes of the
//!             rollups, approved by a quorum, each of which the schedule admits; anchors of followed
//!             rollups (`state/anchors.rs`); what ends the epoch (`state/ending.rs`)
//! new ids     every id that reaches T: sealed to an active key, valid_from <= height,
//!             expires_at <= height + 2^16; its facts come from the held bundle
//! order       APPLY of ordering.md 3; above a handover's boundary nothing is proposed
//! placement   per emitted id, in order: window closed -> expired; pair consumed -> nonce used;
//!             fee not covered -> unfunded; else open, and the fee is debited. The first id with
//!             a pair consumes it, expired, unfunded or not
//! result      header.result_root = result_root(emission, state digest)
//! ```
//!
//! ```text
//! state digest = H(CHAIN-STATE, ordering digest, history, released(8), convicted, schedule digest,
//!                  anchors digest, epoch digest, balances)
//! history_h    = H(CHAIN-HISTORY, history_{h-1}, for each emitted id: id ‖ payer ‖ nonce(8))
//! ```
//!
//! The digest of the balances ([`crate::balances`]) stands there only where bundles are charged.
//!
//! # Invariants
//!
//! 1. `apply` is a function of the state, the block and the facts of bundles, which their ids
//!    commit to. Equal digests continue equally.
//! 2. `Missing` is the only error that can turn into a success.
//! 3. A pair (payer, nonce) opens at most one bundle in 2^17 heights. An id is emitted at most
//!    once: ordering remembers it beyond its window.
//! 4. `snapshot` and `restore` are inverse, and a restored state continues like the original.
//! 5. A clone is cheap: everything large is shared.
//! 6. What is charged is what is placed open, each at its place, also if it fails once opened; what
//!    is expired, has a used nonce or is unfunded costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::domain::{Hasher, Tag, hash};
use fairveil_crypto::envelope::Payer;
use fairveil_crypto::{BundleId, ConsensusPublicKey, Digest, Height, SequencerIndex};
use fairveil_ordering::{
    self as ordering, MAX_WINDOW_HEIGHTS, Output, VerifiedEvidence, median_time_ms,
};
use fairveil_registry::schedule::Schedule;

use crate::balances::Balances;
use crate::block::{Block, Body, Draft, MAX_EVIDENCE_IDS, MAX_RELEASES, SystemEntry};
use crate::chain::{Slot, Tip};
use crate::committee::Members;
use crate::equivocation::EquivocationError;
use crate::header::HeaderFault;
use crate::host::{BundleFacts, Intake, Wanted};
use crate::remembered::Remembered;
use crate::timing::Load;

mod anchors;
mod ending;
mod fault;
mod output;
mod parameters;
mod placement;
mod rollups;
mod snapshot;
#[cfg(test)]
mod tests;

pub use anchors::{AnchorFault, MAX_AHEAD_MS};
pub use ending::{EndingFault, EndingOutput, NextEpochError};
pub use fault::{BlockFault, ExtendError};
pub use output::BlockOutput;
use parameters::Checked;
pub use parameters::{Parameters, ParametersError};
pub use snapshot::{MAX_SNAPSHOT_BYTES, RestoreError};

/// For how many heights a consumed pair of payer and nonce is remembered.
pub const NONCE_HEIGHTS: u64 = 1 << 17;
/// Unreleased heights above which no new ids enter.
pub const MAX_UNRELEASED: u64 = 64;

// An id can't outlive the memory of the nonce that it used.
const _: () = assert!(NONCE_HEIGHTS >= 2 * MAX_WINDOW_HEIGHTS);

/// A payer's nonce.
type Pair = (Payer, u64);

/// The state after a block.
#[derive(Clone, Debug)]
pub struct ChainState {
    parameters: Arc<Checked>,
    tip: Tip,
    ordering: ordering::State,
    /// Ids that reached T and are neither emitted nor forgotten.
    bundles: Arc<BTreeMap<BundleId, BundleFacts>>,
    nonces: Remembered<Pair>,
    /// The last height whose release is certified.
    released: Height,
    /// Unreleased heights that emitted something.
    emitting: Arc<BTreeSet<Height>>,
    convicted: BTreeSet<SequencerIndex>,
    history: Digest,
    /// None if nothing is charged.
    balances: Option<Balances>,
    /// The rollups at the tip, and the changes that are announced.
    schedule: Arc<Schedule>,
    anchors: anchors::Anchors,
    ending: ending::Ending,
}

/// A block's effect before it is a block: what does not depend on its result root.
struct Effect {
    state: ChainState,
    output: BlockOutput,
    time_ms: u64,
}

impl ChainState {
    /// The block at height 0 of a network's chain, and the state after it.
    ///
    /// # Errors
    ///
    /// If the parameters contradict each other.
    pub fn genesis(parameters: Parameters) -> Result<(Block, Self), ParametersError> {
        let checked = Checked::new(parameters)?;
        let Parameters { id, committee, mode, transcript, .. } = checked.given;
        let ordering = ordering::State::new(id.network_id, id.epoch, committee, mode, id.start);
        let placeholder = Tip {
            height: id.start,
            digest: fairveil_crypto::BlockDigest::from_bytes([0; 32]),
            time_ms: 0,
        };
        let first_member = checked.given.keys[0];
        let schedule = Schedule::new(id.network_id, checked.given.registry.clone())?;
        let mut state = Self {
            balances: checked.balances.clone(),
            parameters: Arc::new(checked),
            tip: placeholder,
            ordering,
            bundles: Arc::default(),
            nonces: Remembered::new(),
            released: id.start,
            emitting: Arc::default(),
            convicted: BTreeSet::new(),
            history: hash(Tag::ChainHistory, &[]),
            schedule: Arc::new(schedule),
            anchors: anchors::Anchors::default(),
            ending: ending::Ending::default(),
        };
        let root = state.idle_root(id.start);
        let block = id.genesis(transcript, first_member, 0, root)?;
        state.tip = Tip::of(block.header());
        Ok((block, state))
    }

    /// The block that the state stands after.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// The order so far.
    #[must_use]
    pub fn ordering(&self) -> &ordering::State {
        &self.ordering
    }

    /// What never changes in the epoch.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters.given
    }

    /// The members' keys.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.parameters.members
    }

    /// The last height whose release is certified.
    #[must_use]
    pub fn released(&self) -> Height {
        self.released
    }

    /// Heights without a certified release.
    #[must_use]
    pub fn unreleased(&self) -> u64 {
        self.tip.height.distance_from(self.released)
    }

    /// Whether the next block may carry new ids.
    #[must_use]
    pub fn intake(&self) -> Intake {
        if self.unreleased() > MAX_UNRELEASED { Intake::Stopped } else { Intake::Open }
    }

    /// Who was convicted of equivocation.
    #[must_use]
    pub fn convicted(&self) -> &BTreeSet<SequencerIndex> {
        &self.convicted
    }

    /// What payers have left; none if nothing is charged.
    #[must_use]
    pub const fn balances(&self) -> Option<&Balances> {
        self.balances.as_ref()
    }

    /// Whether this payer's nonce is consumed, as the next block sees it.
    #[must_use]
    pub fn is_consumed(&self, payer: &Payer, nonce: u64) -> bool {
        self.nonces.contains(&(*payer, nonce), self.tip.height.next())
    }

    /// Whether ids that reached T wait to be emitted.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.bundles.is_empty()
    }

    /// What the next block is built from.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let committee = self.parameters.given.committee;
        let order = self.ordering.order();
        let all = || SequencerIndex::all(committee.n());
        Wanted {
            height: self.tip.height.next(),
            committed: all().filter_map(|index| self.ordering.committed(index)).collect(),
            full: all().map(|index| order.is_full(index)).collect(),
            quorum: committee.quorum(),
            intake: self.intake(),
            max_ids: MAX_EVIDENCE_IDS,
            unreleased: self.released.next(),
            due: self.emitting.first().copied(),
            open: self.ending.open(),
            handed_over: self.handover().is_some(),
        }
    }

    /// Whether a block on this state has a reason to come soon.
    #[must_use]
    pub fn load(&self, body: &Body) -> Load {
        let due = self.emitting.first();
        let releases = due.is_some_and(|due| body.releases.iter().any(|(height, _)| height == due));
        let urgent = |entry: &SystemEntry| !matches!(entry, SystemEntry::Anchor(_));
        let news = body.evidence_ids() > 0 || body.system.iter().any(urgent);
        let busy = news || releases || self.has_backlog();
        if busy && !self.has_ended() { Load::Busy } else { Load::Idle }
    }

    /// Digest of everything that the continuation depends on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let convicted: Vec<u8> =
            self.convicted.iter().flat_map(|sequencer| sequencer.to_be_bytes()).collect();
        let mut digest = Hasher::new(Tag::ChainState);
        digest.item(self.ordering.digest().as_bytes());
        digest.item(self.history.as_bytes());
        digest.item(&self.released.get().to_be_bytes());
        digest.item(&convicted);
        digest.item(self.schedule.digest().as_bytes());
        digest.item(anchors::digest(&self.anchors).as_bytes());
        digest.item(self.ending.digest().as_bytes());
        if let Some(balances) = &self.balances {
            digest.item(balances.digest().as_bytes());
        }
        digest.finish()
    }

    /// The state after `block`, and what it did. `facts` are those of the bundles that are held.
    ///
    /// # Errors
    ///
    /// [`BlockFault::Missing`] if facts are missing; anything else for ever.
    pub fn apply(
        &self,
        block: &Block,
        facts: &BTreeMap<BundleId, BundleFacts>,
    ) -> Result<(Self, BlockOutput), BlockFault> {
        let header = block.header();
        self.parameters.given.id.check(header, &self.tip)?;
        if self.parameters.given.keys.binary_search(&header.leader).is_err() {
            return Err(BlockFault::Leader(header.leader));
        }
        let effect = self.effect(header.leader, block.body(), facts)?;
        if header.time_ms != effect.time_ms {
            let (actual, expected) = (header.time_ms, effect.time_ms);
            return Err(HeaderFault::Time { actual, expected }.into());
        }
        let expected = effect.output.result_root();
        if header.result_root != expected {
            let actual = header.result_root;
            return Err(HeaderFault::ResultRoot { actual, expected }.into());
        }
        let mut state = effect.state;
        state.tip = Tip::of(header);
        Ok((state, effect.output))
    }

    /// The child with this body, the state after it, and what it does.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn extend(
        &self,
        slot: Slot,
        body: Body,
        facts: &BTreeMap<BundleId, BundleFacts>,
    ) -> Result<(Block, Self, BlockOutput), ExtendError> {
        let Effect { mut state, output, time_ms } = self.effect(slot.leader, &body, facts)?;
        let id = self.parameters.given.id;
        let block = id.child(slot, &self.tip, time_ms, output.result_root(), body)?;
        state.tip = Tip::of(block.header());
        Ok((block, state, output))
    }

    /// The body that this draft becomes in the next block.
    ///
    /// # Errors
    ///
    /// If its evidence does not continue the logs.
    pub fn pack(&self, draft: &Draft) -> Result<Body, BlockFault> {
        let Draft { evidence, releases, system } = draft;
        let evidence = self.ordering.pack(evidence)?;
        Ok(Body { evidence, releases: releases.clone(), system: system.clone() })
    }

    /// The bundles of which the facts are needed to apply a block with this body.
    ///
    /// # Errors
    ///
    /// If the evidence is invalid for ever.
    pub fn needed(&self, body: &Body) -> Result<Vec<BundleId>, BlockFault> {
        if self.has_ended() {
            return Ok(Vec::new());
        }
        let evidence = self.verified(body)?;
        self.ordering.validate(self.tip.height.next(), &evidence)?;
        Ok(self.ordering.would_reach_edge(&evidence))
    }

    /// Whether this proof would convict somebody who is not convicted yet.
    ///
    /// # Errors
    ///
    /// If it proves nothing, or nothing new.
    pub fn convicts(&self, entry: &SystemEntry) -> Result<SequencerIndex, BlockFault> {
        let culprit = match entry {
            SystemEntry::ConflictingVotes(votes) => votes.culprit(&self.parameters.jury())?,
            SystemEntry::ForkedLog(logs) => {
                let Parameters { id, keys, .. } = &self.parameters.given;
                let sequencer = logs.one.sequencer;
                let key = keys.get(sequencer.position()).ok_or(EquivocationError::Signer)?;
                if logs.one.epoch != id.epoch {
                    let (actual, expected) = (logs.one.epoch, id.epoch);
                    return Err(EquivocationError::Epoch { actual, expected }.into());
                }
                logs.verify(&id.network_id, key)?;
                sequencer
            }
            SystemEntry::RegistryChange(_)
            | SystemEntry::Anchor(_)
            | SystemEntry::CeremonyEntry(_)
            | SystemEntry::Resharing(_)
            | SystemEntry::Handover(_) => return Err(BlockFault::NoProof),
        };
        if self.convicted.contains(&culprit) {
            return Err(BlockFault::Convicted(culprit));
        }
        Ok(culprit)
    }

    fn verified(&self, body: &Body) -> Result<VerifiedEvidence, BlockFault> {
        Ok(self.ordering.verify(&body.evidence, &self.parameters.given.keys)?)
    }

    fn effect(
        &self,
        leader: ConsensusPublicKey,
        body: &Body,
        facts: &BTreeMap<BundleId, BundleFacts>,
    ) -> Result<Effect, BlockFault> {
        if self.has_ended() {
            return self.tail(body);
        }
        let height = self.tip.height.next();
        let mut state = self.clone();
        let ids = body.evidence_ids();
        if self.intake() == Intake::Stopped && ids > 0 {
            return Err(BlockFault::IntakeStopped { ids, unreleased: self.unreleased() });
        }
        let evidence = self.verified(body)?;
        self.ordering.validate(height, &evidence)?;
        let expiries = self.expiries(&evidence, facts)?;
        let convicted = state.convict(&body.system)?;
        let announced = state.announce(&body.system)?;
        let median = median_time_ms(height, &evidence).unwrap_or_default();
        let time_ms = median.max(self.tip.time_ms.saturating_add(1));
        let anchored = state.anchor(&body.system, time_ms)?;
        state.release(&body.releases)?;
        let ending = state.end_epoch(leader, &body.system)?;
        let output = state.ordering.apply(&ordering::Block {
            height,
            parent: self.tip.digest,
            phase: state.phase(height),
            evidence: &evidence,
            expiries: &expiries,
        })?;
        state.admit(&output, facts);
        let (emission, charges) = state.place(height, &output);
        let output = BlockOutput {
            evidence,
            emission,
            state_digest: state.digest(),
            released: body.releases.clone(),
            reached_edge: output.reached_edge,
            convicted,
            charges,
            announced,
            anchored,
            ending,
        };
        Ok(Effect { state, output, time_ms })
    }

    /// When the windows of the ids close that reach T by this evidence.
    fn expiries(
        &self,
        evidence: &VerifiedEvidence,
        facts: &BTreeMap<BundleId, BundleFacts>,
    ) -> Result<BTreeMap<BundleId, Height>, BlockFault> {
        let height = self.tip.height.next();
        let needed = self.ordering.would_reach_edge(evidence);
        let missing: Vec<_> =
            needed.iter().filter(|id| !facts.contains_key(*id)).copied().collect();
        if !missing.is_empty() {
            return Err(BlockFault::Missing(missing));
        }
        let mut expiries = BTreeMap::new();
        for id in needed {
            let BundleFacts { key_id, valid_from, expires_at, .. } = facts[&id];
            if !self.parameters.given.active_keys.contains(&key_id) {
                return Err(BlockFault::Key { id, actual: key_id });
            }
            if valid_from > height || expires_at > height.saturating_add(MAX_WINDOW_HEIGHTS) {
                return Err(BlockFault::Window { id, valid_from, expires_at, height });
            }
            expiries.insert(id, expires_at);
        }
        Ok(expiries)
    }

    fn convict(&mut self, system: &[SystemEntry]) -> Result<Vec<SequencerIndex>, BlockFault> {
        let mut convicted = Vec::new();
        let proof = |entry: &&SystemEntry| {
            matches!(entry, SystemEntry::ForkedLog(_) | SystemEntry::ConflictingVotes(_))
        };
        for entry in system.iter().filter(proof) {
            let culprit = self.convicts(entry)?;
            self.convicted.insert(culprit);
            convicted.push(culprit);
        }
        Ok(convicted)
    }

    fn release(&mut self, releases: &[(Height, Digest)]) -> Result<(), BlockFault> {
        for (actual, _) in releases {
            let expected = self.released.next();
            if *actual != expected || *actual > self.tip.height {
                return Err(BlockFault::ReleaseOrder { actual: *actual, expected });
            }
            self.released = *actual;
            Arc::make_mut(&mut self.emitting).remove(actual);
        }
        Ok(())
    }

    fn admit(&mut self, output: &Output, facts: &BTreeMap<BundleId, BundleFacts>) {
        let bundles = Arc::make_mut(&mut self.bundles);
        for id in &output.reached_edge {
            if let Some(facts) = facts.get(id) {
                bundles.insert(*id, *facts);
            }
        }
    }
}

const _: () = assert!(MAX_RELEASES as u64 >= MAX_UNRELEASED);
