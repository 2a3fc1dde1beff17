//! The key ceremony of a node: from an approved definition to a key share in the keystore.
//!
//! `fairveil node` runs it when it has no share yet, `fairveil keygen run` runs nothing else. The
//! machine is [`fairveil_keygen`]'s, the chain [`fairveil_sequencer::ceremony`]'s; here are its
//! files, its progress and its endpoints.
//!
//! # Files
//!
//! | file | written | |
//! |---|---|---|
//! | keystore | before the member confirms | the key share, under an epoch key of its own |
//! | `transcript.json` | at the end | public |
//! | `ceremony.json` | whenever something changes | how far it is, for `keygen status` |
//! | `evidence/` | when a member is convicted | what `fairveil verify` judges |
//!
//! # Invariants
//!
//! 1. A share is in the keystore before it is confirmed.
//! 2. The dealing key and the nonce of the own dealing are erased once the transcript is on disk and
//!    the share was read back from the keystore, never before.
//! 3. A transcript of another member serves as well as an own one, if it verifies, founds this
//!    network and has the public key share of the share in the keystore.

pub(crate) mod report;

use std::time::Duration;

use commonware_runtime::{Spawner as _, Supervisor as _, tokio as runtime};
use fairveil_crypto::SequencerIndex;
use fairveil_keygen::{
    Blame, CeremonyContext, Member, Membership, Status, Transcript, keystore::MembershipError,
};
use fairveil_runtime::NodeEngine;
use fairveil_sequencer::{
    Store,
    ceremony::{self, CeremonyError, Keeper, Setup},
};
use fairveil_transport::Observer;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

use self::report::{Report, State};
use super::{
    NodeError, custody::keep_evidence, files, keystore::KeystoreFile, metrics, restored, run::Node,
    settings,
};
use crate::{cli::CeremonyStep, http};

/// How long the ceremony's chain goes on for members that are not done.
const LINGER: Duration = Duration::from_secs(60);
/// The same once all members have confirmed: they only lack the last blocks.
const LINGER_CONFIRMED: Duration = Duration::from_secs(10);

/// How a ceremony is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CeremonyOptions {
    /// The round; the one after the last that failed unless given.
    pub(crate) round: Option<u64>,
    /// Whether progress is printed.
    pub(crate) progress: Progress,
    /// Ends the process as a crash would, when this step begins.
    pub(crate) crash_in: Option<CeremonyStep>,
}

/// Where progress goes, besides the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nowhere.
    #[default]
    Log,
    /// Lines on standard output.
    Lines,
}

/// A share with its public proof.
pub(super) struct Made {
    pub(super) transcript: Transcript,
    pub(super) report: Report,
    /// The chain that goes on for the others, if the ceremony was run now.
    pub(super) lingering: Option<JoinHandle<()>>,
}

impl Node {
    /// The key share and the transcript: from the keystore and the data folder, or from a
    /// ceremony.
    pub(super) async fn key_share(
        &self,
        context: &runtime::Context,
        store: &Store,
        engine: &NodeEngine,
        observer: &Observer,
        options: CeremonyOptions,
    ) -> Result<Made, NodeError> {
        let (index, member) = self.own_member()?;
        if let Some(made) = self.kept(index)? {
            self.erase_ceremony_secrets(store, made.report.round)?;
            return Ok(made);
        }
        let definition = self.approved.definition();
        let known = self.keys.share_label(&definition.network_id(), definition.epoch());
        if let Err(
            error @ (MembershipError::WrongNetwork { .. } | MembershipError::WrongEpoch { .. }),
        ) = known
        {
            let path = self.config.path("keystore").unwrap_or_default();
            return Err(NodeError::WrongKeystore { path, why: error.to_string() });
        }
        restored::refuse_ceremony(&self.data)?;
        let (next, failure) = ceremony::next_round(store).map_err(|error| self.damaged(&error))?;
        if let Some(failure) = failure {
            warn!(round = next.saturating_sub(1), failure, "an earlier round made no key");
        }
        let round = options.round.unwrap_or(next);
        let ceremony_context = CeremonyContext::first(self.approved.clone(), round)
            .map_err(|error| NodeError::Start { what: "definition", why: error.to_string() })?;
        info!(round = ceremony_context.round(), "no key share yet: the key ceremony begins");
        let setup = Setup {
            context: ceremony_context.clone(),
            consensus_seed: self.keys.consensus.expose_seed(),
            dealing: self.keystore.dealing(&self.keys, &member.dealing)?,
            partition: "ceremony".into(),
            timing: settings::ceremony_timing(),
        };
        let definition = ceremony_context.definition();
        let first = Report::before(
            definition,
            ceremony_context.round(),
            member.name.clone(),
            State::Approved,
        );
        let (reports, seen) = watch::channel(first);
        let served = self.http_listener(member).await?;
        let served = tokio::spawn(http::ceremony::serve(served, seen));
        let (observer, seen) = (observer.clone(), vec![false; usize::from(definition.n())]);
        let mut host =
            Host { node: self, context: ceremony_context, observer, reports, options, seen };
        host.tell();
        let made =
            fairveil_runtime::ceremony(context.child("keygen"), setup, store, engine, &mut host);
        let made = made.await;
        served.abort();
        // Its listener is closed before the node's own opens.
        let _ = served.await;
        let made = made.map_err(|error| host.failed(error))?;
        self.keep_transcript(&made.transcript)?;
        host.complete(&made.transcript);
        self.erase_ceremony_secrets(store, host.context.round())?;
        let report = host.reports.borrow().clone();
        let linger = if report.missing.is_empty() { LINGER_CONFIRMED } else { LINGER };
        let (chain, store, round) = (made.chain, store.clone(), report.round);
        let (ended, lingering) = tokio::sync::oneshot::channel::<()>();
        context.child("linger").spawn(move |_| async move {
            // Others may still need this member to finish.
            let _ = tokio::time::timeout(linger, ceremony::linger(chain, store, round)).await;
            drop(ended);
        });
        let lingering = tokio::spawn(async move {
            // Its sender is dropped, never used.
            let _ = lingering.await;
        });
        Ok(Made { transcript: *made.transcript, report, lingering: Some(lingering) })
    }

    /// The share that the keystore has of this epoch, with the transcript of the data folder.
    fn kept(&self, index: SequencerIndex) -> Result<Option<Made>, NodeError> {
        let definition = self.approved.definition();
        let path = self.data.join("transcript.json");
        let stored =
            self.keystore.membership(&self.keys, &definition.network_id(), definition.epoch())?;
        let (Some(membership), true) = (stored, path.exists()) else { return Ok(None) };
        let unusable =
            |why: String| NodeError::Unusable { what: "transcript", path: path.clone(), why };
        let transcript = Transcript::from_json(&files::read("transcript", &path)?)
            .map_err(|error| unusable(error.to_string()))?;
        let verified = self.verified(&transcript)?;
        let expected = verified.committee().public_key_share(index);
        if expected != Some(membership.share.public_key_share()) {
            let why =
                "it has another public key share than the keystore's: they are of two ceremonies";
            return Err(unusable(why.into()));
        }
        let name = definition.member(index).map(|member| member.name.clone()).unwrap_or_default();
        let mut report = Report::before(definition, transcript.round, name, State::Complete);
        report.transcript = Some(verified.digest());
        Ok(Some(Made { transcript, report, lingering: None }))
    }

    fn keep_transcript(&self, transcript: &Transcript) -> Result<(), NodeError> {
        let path = self.data.join("transcript.json");
        files::write_public(&path, &transcript.to_json()).map_err(|source| NodeError::File {
            what: "transcript",
            path,
            source,
        })
    }

    /// Invariant 2.
    fn erase_ceremony_secrets(&self, store: &Store, round: u64) -> Result<(), NodeError> {
        let (definition, (_, member)) = (self.approved.definition(), self.own_member()?);
        let keys = self.keystore.read()?;
        let share =
            self.keystore.membership(&keys, &definition.network_id(), definition.epoch())?;
        if share.is_none() {
            let what = "keystore";
            return Err(NodeError::Start { what, why: "the key share was not stored".into() });
        }
        if self.keystore.erase_dealing(&member.dealing)? > 0 {
            ceremony::forget_nonce(store, round).map_err(|error| self.damaged(&error))?;
            info!("the dealing key of the ceremony is erased");
        }
        Ok(())
    }

    /// This member, by the definition.
    pub(super) fn own_member(&self) -> Result<(SequencerIndex, &Member), NodeError> {
        let (definition, key) = (self.approved.definition(), self.keys.consensus.public_key());
        let index = definition.index_of(&key).ok_or(NodeError::NotAMember { key })?;
        let member = definition.member(index).ok_or(NodeError::NotAMember { key })?;
        Ok((index, member))
    }
}

/// What the ceremony needs of this node.
struct Host<'a> {
    node: &'a Node,
    context: CeremonyContext,
    observer: Observer,
    /// Who was connected at any time since the step began.
    seen: Vec<bool>,
    reports: watch::Sender<Report>,
    options: CeremonyOptions,
}

impl Keeper for Host<'_> {
    fn keep(&mut self, membership: &Membership) -> std::io::Result<()> {
        let keystore: &KeystoreFile = &self.node.keystore;
        keystore.keep(membership).map_err(std::io::Error::other)
    }

    fn blamed(&mut self, blame: &Blame) {
        keep_evidence(&self.node.data, &self.context, blame);
    }

    fn observe(&mut self, status: &Status) {
        if self.options.crash_in.is_some_and(|step| step.phase() == status.phase) {
            std::process::abort();
        }
        let connected = self.connected();
        let own = self.node.keys.consensus.public_key();
        let report = Report::of(&self.context, &own, status, &connected);
        if report.step != self.reports.borrow().step {
            self.seen.fill(false);
        }
        self.seen.iter_mut().zip(&connected).for_each(|(seen, up)| *seen |= up);
        let is_news = report.is_news_after(&self.reports.borrow());
        self.reports.send_replace(report);
        if is_news {
            self.tell();
        }
    }
}

impl Host<'_> {
    fn connected(&self) -> Vec<bool> {
        metrics::connected(&self.observer, &self.context.definition().consensus_keys())
    }

    /// Writes the newest report where people and programs look.
    fn tell(&self) {
        let report = self.reports.borrow().clone();
        if let Err(error) = report.write(&self.node.data) {
            warn!(%error, "the ceremony's report can't be written");
        }
        match self.options.progress {
            Progress::Lines => println!("{}", report.line()),
            Progress::Log => info!(state = %report.state, "{}", report.line()),
        }
    }

    fn complete(&self, transcript: &Transcript) {
        self.reports.send_modify(|report| {
            report.state = State::Complete;
            report.step = State::Complete.word().into();
            report.unreachable.clear();
            report.transcript = Some(transcript.digest);
        });
        self.tell();
    }

    /// The ceremony made nothing for this member: the last report, and why.
    fn failed(&self, error: CeremonyError) -> NodeError {
        let definition = self.context.definition();
        let (state, missing, why) = match error {
            CeremonyError::Failed(failure) => {
                let state = if failure.blames.is_empty() { State::Expired } else { State::Failed };
                (state, report::party_names(&failure.missing), failure.sentence(&self.context))
            }
            CeremonyError::Expired(status) => {
                let mut away = report::names(definition, &report::away(definition, &self.seen));
                if away.is_empty() {
                    away = report::party_names(&status.missing);
                }
                let why = format!(
                    "the step {} is overdue, and too few members are there to end it; nothing is \
                     lost: run the same round again once they are",
                    report::step(status.phase)
                );
                (State::Expired, away, why)
            }
            other => {
                return NodeError::Start { what: "key ceremony", why: other.to_string() };
            }
        };
        self.reports.send_modify(|report| {
            report.state = state;
            report.step = state.word().into();
            report.missing.clone_from(&missing);
            report.unreachable.clear();
            report.time_left_ms = None;
            report.safe_to_stop = true;
            if !report.faults.contains(&why) {
                report.faults.push(why.clone());
            }
        });
        self.tell();
        NodeError::Ceremony { state, missing, why }
    }
}
