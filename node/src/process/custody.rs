//! What of a resharing stays at this node: its secrets, the next transcript, evidence, and the report.
//!
//! # Invariants
//!
//! 1. The transcript of the next epoch is `transcript-next.json` until that epoch has begun in the
//!    database; then it takes the place of `transcript.json`, which holds all epochs before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fairveil_client::file::File;
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, Epoch};
use fairveil_keygen::{
    Blame, BlameEvidence, CeremonyContext, Membership, Participant, Status, Transcript,
};
use fairveil_sequencer::resharing::Custody;
use fairveil_transport::Observer;
use tokio::sync::watch;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{
    NodeError,
    ceremony::report::{Report, State},
    files,
    keystore::KeystoreFile,
    metrics,
    peers::Peers,
    run::Node,
};

/// The transcript of the running epoch and all before.
pub(super) const TRANSCRIPT: &str = "transcript.json";
/// The same with the epoch that follows.
const NEXT_TRANSCRIPT: &str = "transcript-next.json";
/// Folder of the evidence of members' faults, in the data folder.
const EVIDENCE: &str = "evidence";

/// A node's part in a resharing.
pub(super) struct NodeCustody {
    pub(super) data: PathBuf,
    pub(super) keystore: Arc<KeystoreFile>,
    pub(super) consensus_seed: Zeroizing<[u8; 32]>,
    pub(super) key: ConsensusPublicKey,
    pub(super) peers: Arc<Peers>,
    pub(super) observer: Observer,
    pub(super) reports: Arc<watch::Sender<Report>>,
}

impl Node {
    /// This node's part in resharings, with what others see of it.
    pub(super) fn custody(
        &self,
        peers: &Arc<Peers>,
        observer: &Observer,
        reports: &Arc<watch::Sender<Report>>,
    ) -> NodeCustody {
        NodeCustody {
            data: self.data.clone(),
            keystore: Arc::clone(&self.keystore),
            consensus_seed: self.keys.consensus.expose_seed(),
            key: self.keys.consensus.public_key(),
            peers: Arc::clone(peers),
            observer: observer.clone(),
            reports: Arc::clone(reports),
        }
    }
}

impl Custody for NodeCustody {
    fn participant(&self, context: &CeremonyContext) -> Result<Participant, String> {
        let (definition, dealing) = (context.definition(), context.dealing_definition());
        self.peers.track(dealing, Some(definition)).map_err(|error| error.to_string())?;
        blocking(|| {
            let keys = self.keystore.read()?;
            let member = definition.index_of(&self.key).and_then(|own| definition.member(own));
            let secret =
                member.map(|member| self.keystore.dealing(&keys, &member.dealing)).transpose()?;
            let is_dealer = dealing.index_of(&self.key).is_some();
            let membership = match is_dealer {
                true => self.keystore.membership(&keys, &dealing.network_id(), dealing.epoch())?,
                false => None,
            };
            Ok(Participant {
                consensus: ConsensusSecret::from_seed(*self.consensus_seed),
                dealing: secret,
                share: membership.map(|membership| membership.share),
            })
        })
        .map_err(|error: NodeError| error.to_string())
    }

    fn keep(&self, membership: &Membership) -> std::io::Result<()> {
        blocking(|| self.keystore.keep(membership)).map_err(std::io::Error::other)
    }

    fn complete(&self, transcript: &Transcript) -> std::io::Result<()> {
        blocking(|| files::write_public(&self.data.join(NEXT_TRANSCRIPT), &transcript.to_json()))?;
        info!(digest = %transcript.digest, "the resharing's transcript is complete");
        Ok(())
    }

    fn blamed(&self, context: &CeremonyContext, blame: &Blame) {
        keep_evidence(&self.data, context, blame);
    }

    fn observe(&self, context: &CeremonyContext, status: &Status) {
        let keys = context.definition().consensus_keys();
        let connected = metrics::connected(&self.observer, &keys);
        let report = Report::of(context, &self.key, status, &connected);
        tell(&self.data, &self.reports, report);
    }
}

/// Shows a report, and writes it if it says something new.
pub(super) fn tell(data: &Path, reports: &watch::Sender<Report>, report: Report) {
    let is_news = report.is_news_after(&reports.borrow());
    reports.send_replace(report.clone());
    if !is_news {
        return;
    }
    info!(state = %report.state, epoch = report.epoch, "{}", report.line());
    if let Err(error) = report.write(data) {
        warn!(%error, "the ceremony's report can't be written");
    }
}

/// Writes the evidence of a fault into the data folder.
pub(super) fn keep_evidence(data: &Path, context: &CeremonyContext, blame: &Blame) {
    let text = File::Blame(Box::new(BlameEvidence::new(context, blame))).to_json();
    let (epoch, round) = (context.definition().epoch(), context.round());
    let folder = data.join(EVIDENCE);
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(&folder)?;
        let name = format!("epoch-{epoch}-round-{round}-{}.json", blame.culprit.name);
        files::write_public(&folder.join(name), text.as_bytes())
    };
    if let Err(error) = written() {
        warn!(%error, "the evidence of a fault can't be written");
    }
}

/// The transcript that the database's epoch takes: the next one's takes its place once that epoch has
/// begun. It may be of the epoch before, if this node missed the resharing.
pub(super) fn transcript_of(data: &Path, epoch: Epoch) -> Result<Transcript, NodeError> {
    let [current, next] = [TRANSCRIPT, NEXT_TRANSCRIPT].map(|name| data.join(name));
    let read = |path: &Path| -> Result<Transcript, NodeError> {
        Transcript::from_json(&files::read("transcript", path)?).map_err(|error| {
            let (path, why) = (path.to_path_buf(), error.to_string());
            NodeError::Unusable { what: "transcript", path, why }
        })
    };
    if next.exists() {
        let transcript = read(&next)?;
        if transcript.definition.epoch == epoch {
            let text = transcript.to_json();
            files::write_public(&current, &text)
                .and_then(|()| std::fs::remove_file(&next))
                .map_err(|source| NodeError::File { what: "transcript", path: next, source })?;
            return Ok(transcript);
        }
    }
    read(&current)
}

/// Removes a transcript that is not the one that the chain names: of a round that came to nothing.
pub(super) fn forget_next(data: &Path) -> Result<(), NodeError> {
    let path = data.join(NEXT_TRANSCRIPT);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(NodeError::File { what: "transcript", path, source })
        }
        _ => Ok(()),
    }
}

/// Whether there is a transcript of this epoch, and with this digest.
pub(super) fn has_transcript(data: &Path, epoch: Epoch, digest: Option<&Digest>) -> bool {
    [TRANSCRIPT, NEXT_TRANSCRIPT].iter().any(|name| {
        let path = data.join(name);
        let read = || Transcript::from_json(&files::read("transcript", &path).ok()?).ok();
        let fits = |transcript: Transcript| {
            let is_it = digest.is_none_or(|digest| transcript.digest == *digest);
            transcript.definition.epoch == epoch && is_it
        };
        path.exists() && read().is_some_and(fits)
    })
}

/// The report of an epoch that runs.
pub(super) fn running(transcript: &fairveil_keygen::VerifiedTranscript, name: String) -> Report {
    let definition = transcript.definition();
    let mut report = Report::before(definition, 0, name, State::Complete);
    report.transcript = Some(transcript.digest());
    report
}

/// Runs what takes a while (scrypt, a disk that syncs) without holding up other tasks.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
