//! One epoch after the other: the same process, database, network and endpoints, another committee.
//!
//! ```text
//! start ─> epoch in which the database stands ─> sequencer ─> it has ended ─> the next one's transcript
//!                    ^                                                       and share are here ─┐
//!                    └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. Shares of earlier epochs are erased once a final block of the running epoch is committed here,
//!    never before: until then the boundary may have to be passed again. Who leaves erases them at once.
//! 2. The endpoints for traders hold one handle over all epochs.
//! 3. Who is no member of the next epoch keeps the old engine going for a while, and ends.

use std::{path::Path, sync::Arc, time::Duration};

use commonware_runtime::{Spawner as _, Supervisor as _, tokio as runtime};
use fairveil_crypto::{Digest, Epoch, SequencerIndex};
use fairveil_keygen::{Definition, VerifiedTranscript, definition::Mode};
use fairveil_ordering as ordering;
use fairveil_release::registry::Registry;
use fairveil_runtime::{NodeEngine, NodeSeat, NodeSequencer};
use fairveil_sequencer::{
    Config as SequencerConfig, Executor, Handle, LINGER, Secrets, StopReason, Store, boundary,
    resharing::KeygenResharings,
};
use fairveil_transport::Observer;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{
    NodeError, ceremony::report::Report, custody, keystore::KeystoreFile, metrics, peers::Peers,
    restored, run::Node, settings, views::NodeViews,
};
use crate::http::Term;

/// How often a new epoch is looked at until it has a final block.
const LOOK: Duration = Duration::from_millis(200);

/// What stays the same over all epochs.
pub(super) struct Ground {
    pub(super) store: Store,
    pub(super) engine: NodeEngine,
    pub(super) executor: Executor,
    pub(super) observer: Observer,
    pub(super) peers: Arc<Peers>,
    pub(super) views: Arc<NodeViews>,
    pub(super) reports: Arc<watch::Sender<Report>>,
    pub(super) term: watch::Sender<Arc<Term>>,
}

/// A sequencer of one epoch, running.
pub(super) struct Tenure {
    pub(super) epoch: Epoch,
    pub(super) sequencer: NodeSequencer,
}

impl Node {
    /// Starts the sequencer of the epoch in which the database stands.
    pub(super) async fn begin(
        &self,
        context: &runtime::Context,
        ground: &Ground,
        seat: NodeSeat,
        first: Option<&VerifiedTranscript>,
    ) -> Result<Tenure, NodeError> {
        let position = boundary::position(&ground.store).map_err(|error| self.damaged(&error))?;
        let begins =
            first.map_or(self.approved.definition().epoch(), |first| first.definition().epoch());
        let epoch = position.map_or(begins, |(epoch, _)| epoch);
        let transcript = match first.filter(|first| first.committee().epoch() == epoch) {
            Some(first) => first.clone(),
            None => self.verified(&custody::transcript_of(&self.data, epoch)?)?,
        };
        let definition = transcript.definition().clone();
        let key = self.keys.consensus.public_key();
        let Some(index) = definition.index_of(&key) else {
            self.erase_shares_before(epoch);
            return Err(NodeError::NotAMember { key });
        };
        let keys = self.keystore.read()?;
        let share = self.keystore.membership(&keys, &definition.network_id(), epoch)?;
        let share = share.ok_or(NodeError::NoShare { epoch })?.share;
        let name = definition.member(index).map(|member| member.name.clone());
        let before =
            epoch.get().checked_sub(1).and_then(|before| transcript.epoch(Epoch::new(before)));
        ground.peers.track(&definition, before.map(|before| before.definition()))?;
        let config = self.sequencer_config(ground, &transcript, index)?;
        let secrets =
            Secrets { consensus_seed: self.keys.consensus.expose_seed(), key_share: share };
        let sequencer = fairveil_runtime::start(
            context.child("sequencer"),
            config,
            secrets,
            ground.store.clone(),
            ground.executor.clone(),
            fairveil_runtime::again(&ground.engine),
            seat,
        )
        .await
        .map_err(|error| NodeError::Start { what: "sequencer", why: error.to_string() })?;
        let text = String::from_utf8_lossy(&transcript.transcript().to_json()).into_owned();
        let verified = transcript.clone();
        ground.term.send_replace(Arc::new(Term { definition, verified, transcript: text }));
        if epoch > Epoch::new(1) {
            let report = custody::running(&transcript, name.unwrap_or_default());
            custody::tell(&self.data, &ground.reports, report);
        }
        self.settle(
            context,
            ground,
            &sequencer.handle,
            &transcript,
            position.map(|(_, at)| at.get()),
        );
        Ok(Tenure { epoch, sequencer })
    }

    /// Once the epoch has a final block: old shares and served dealing keys are erased; later the
    /// members that left are no peers any more.
    fn settle(
        &self,
        context: &runtime::Context,
        ground: &Ground,
        handle: &Handle,
        transcript: &VerifiedTranscript,
        began: Option<u64>,
    ) {
        let Some(began) = began else { return };
        let (handle, keystore) = (handle.clone(), Arc::clone(&self.keystore));
        let (peers, definition) = (Arc::clone(&ground.peers), transcript.definition().clone());
        let epoch = definition.epoch();
        let before = epoch.previous().and_then(|before| transcript.epoch(before));
        let left = before.map(|before| before.definition().clone());
        let own = definition.index_of(&self.keys.consensus.public_key());
        let dealing = own.and_then(|own| definition.member(own)).map(|member| member.dealing);
        context.child("settle").shared(true).spawn(move |_| async move {
            while handle.overview().height <= began {
                tokio::time::sleep(LOOK).await;
            }
            erase_shares_before(&keystore, epoch);
            if let Some(Err(error)) = dealing.map(|dealing| keystore.erase_dealing(&dealing)) {
                error!(%error, "the dealing key of the ceremony can't be erased");
            }
            tokio::time::sleep(LINGER).await;
            let Some(left) = left else { return };
            if let Err(error) = peers.forget(&definition, &left) {
                error!(%error, "members that left are still peers");
            }
        });
    }

    /// Who leaves erases its shares once the old epoch has ended here: all that they could open is
    /// released and certified, and a quorum has confirmed the next committee's.
    pub(super) fn erase_shares_before(&self, epoch: Epoch) {
        erase_shares_before(&self.keystore, epoch);
    }

    /// What follows after a sequencer stopped: the seat for the next epoch, or the end.
    pub(super) fn after(&self, reason: StopReason) -> Result<Next, NodeError> {
        let (handover, height) = match reason {
            StopReason::EpochEnded(handover, height) => (handover, height),
            StopReason::Missed(named) => {
                warn!(epoch = %named.epoch, "the epoch began without this sequencer");
                return Ok(Next::Sync(named.epoch));
            }
            reason => return Err(NodeError::Stopped(reason)),
        };
        info!(epoch = %handover.epoch, height = height.get(), "the next epoch begins");
        let key = self.keys.consensus.public_key();
        if !handover.successor.keys.contains(&key) {
            return Ok(Next::Leave(handover.epoch));
        }
        Ok(Next::Go(handover.epoch, handover.successor.transcript))
    }

    fn sequencer_config(
        &self,
        ground: &Ground,
        transcript: &VerifiedTranscript,
        index: SequencerIndex,
    ) -> Result<SequencerConfig, NodeError> {
        let start = |what: &'static str, why: String| NodeError::Start { what, why };
        let definition = transcript.definition();
        let proposal = definition.proposal();
        let registry = registry(definition)?;
        let genesis = settings::genesis(&self.config, &registry)?;
        let observed = (ground.observer.clone(), definition.consensus_keys());
        let custody = self.custody(&ground.peers, &ground.observer, &ground.reports);
        Ok(SequencerConfig {
            network_id: definition.network_id(),
            committee: transcript.committee().clone(),
            index,
            fairness: ordering::Committee::new(proposal.n, proposal.f, proposal.g)
                .map_err(|error| start("definition", error.to_string()))?,
            mode: match proposal.ordering.mode {
                Mode::Strict => ordering::Mode::Strict,
                Mode::Themis => ordering::Mode::Themis,
                control @ (Mode::Leader | Mode::Median) => {
                    let name = if control == Mode::Leader { "leader" } else { "median" };
                    let why = format!(
                        "ordering mode `{name}` is for scenarios and comparisons; a network runs \
                         `strict` or `themis`"
                    );
                    return Err(start("definition", why));
                }
            },
            registry,
            genesis,
            views: Arc::<NodeViews>::clone(&ground.views),
            resharings: Arc::new(KeygenResharings::new(transcript.clone(), Arc::new(custody))),
            accounting: settings::accounting(&self.config, definition)?,
            transcript: transcript.digest(),
            limits: settings::limits(&self.config)?,
            kept_share_heights: fairveil_release::opener::KEPT_HEIGHTS,
            timing: settings::timing(&self.config, definition)?,
            linger: LINGER,
            partition: "network".into(),
            connected: Arc::new(move || metrics::connected(&observed.0, &observed.1)),
            retention_heights: settings::retention(&self.config)?,
            restored: restored::mark(&self.data, self.mark)?,
            behaviour: self.byzantine.map(|kind| kind.behaviour()).unwrap_or_default(),
        })
    }

    pub(super) fn damaged(&self, error: &dyn std::fmt::Display) -> NodeError {
        let path = Path::new(&self.data).join("state.redb");
        NodeError::Unusable { what: "database", path, why: error.to_string() }
    }
}

/// What a node does when an epoch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is a member of the next one, which begins with this transcript.
    Go(Epoch, Digest),
    /// It is, and has missed its beginning.
    Sync(Epoch),
    /// It is none.
    Leave(Epoch),
}

fn erase_shares_before(keystore: &KeystoreFile, epoch: Epoch) {
    match keystore.erase_shares_before(epoch) {
        Ok(shares) => info!(%epoch, shares, "shares of earlier epochs are erased"),
        Err(error) => error!(%error, "shares of earlier epochs can't be erased"),
    }
}

/// The rollups with which the network began.
pub(super) fn registry(definition: &Definition) -> Result<Registry, NodeError> {
    fairveil_client::registry::registry(definition)
        .map_err(|error| NodeError::Start { what: "rollups", why: error.to_string() })
}
