//! Coming in from outside: a member that joins with an epoch, or has missed the beginning of one.
//!
//! ```text
//! predecessor's transcript ─> follow the resharing ─> share, transcript ─> state sync ─> sequencer
//! ```
//!
//! A joining member is connected to the members of the running epoch, of whom at most F lie: what F + 1 of
//! them say alike is true.

use std::sync::Arc;

use commonware_runtime::{Supervisor as _, tokio as runtime};
use fairveil_consensus::committee::public_key;
use fairveil_crypto::{Digest, Epoch};
use fairveil_keygen::{Definition, VerifiedTranscript};
use fairveil_runtime::NodeSeat;
use fairveil_sequencer::{Store, feed::Voters, resharing::KeygenResharings, sync::Sync};
use fairveil_transport::Observer;
use tokio::sync::watch;
use tracing::info;

use super::{
    NodeError,
    ceremony::report::{Report, State},
    custody::{self, NodeCustody},
    epochs::Ground,
    peers::Peers,
    run::Node,
};
use crate::http;

impl Node {
    /// Takes part in the resharing that makes this node a member, and takes everything that the next
    /// epoch begins with.
    pub(super) async fn join(
        &self,
        context: &runtime::Context,
        store: &Store,
        peers: &Arc<Peers>,
        observer: &Observer,
        seat: &mut NodeSeat,
    ) -> Result<(VerifiedTranscript, Report), NodeError> {
        let failed = |what: &'static str, why: String| NodeError::Start { what, why };
        let definition = self.approved.definition();
        let (_, member) = self.own_member()?;
        let why = || failed("definition", "it continues nothing".into());
        let predecessor = self.predecessor.clone().ok_or_else(why)?;
        peers.track(predecessor.definition(), Some(definition))?;
        let first = Report::before(definition, 0, member.name.clone(), State::Approved);
        let (reports, seen) = watch::channel(first);
        let listener = self.http_listener(member).await?;
        let served = tokio::spawn(http::ceremony::serve(listener, seen));
        let custody = self.custody(peers, observer, &Arc::new(reports));
        let epoch = definition.epoch();
        self.take_part(context, store, seat, custody, &predecessor, epoch).await?;
        let transcript = self.verified(&custody::transcript_of(&self.data, epoch)?)?;
        self.sync(context, store, epoch, seat).await?;
        served.abort();
        // Its listener is closed before the node's own opens.
        let _ = served.await;
        let report = custody::running(&transcript, member.name.clone());
        Ok((transcript, report))
    }

    /// The same for a node that runs: in the next epoch, with what it has of this one. `digest` is that
    /// of the next transcript, if the chain has named it here.
    pub(super) async fn prepare(
        &self,
        context: &runtime::Context,
        ground: &Ground,
        seat: &mut NodeSeat,
        epoch: Epoch,
        digest: Option<&Digest>,
    ) -> Result<(), NodeError> {
        match digest {
            // The share was kept before it.
            Some(_) if custody::has_transcript(&self.data, epoch, digest) => return Ok(()),
            Some(_) => custody::forget_next(&self.data)?,
            None => {}
        }
        let before = ground.term.borrow().verified.clone();
        let custody = self.custody(&ground.peers, &ground.observer, &ground.reports);
        self.take_part(context, &ground.store, seat, custody, &before, epoch).await
    }

    /// Goes on in an epoch that began without this node.
    pub(super) async fn catch_up(
        &self,
        context: &runtime::Context,
        ground: &Ground,
        seat: &mut NodeSeat,
        epoch: Epoch,
    ) -> Result<(), NodeError> {
        self.prepare(context, ground, seat, epoch, None).await?;
        self.sync(context, &ground.store, epoch, seat).await
    }

    /// Whether this node comes in from outside with the epoch of its definition: it was no member in
    /// the one before, or its database stands before that.
    pub(super) fn comes_in(&self, stands: Option<Epoch>) -> bool {
        let Some(before) = self.predecessor.as_ref().map(VerifiedTranscript::definition) else {
            return false;
        };
        let first = before.resharing().is_none();
        let was_member = before.index_of(&self.keys.consensus.public_key()).is_some();
        match stands {
            None => {
                !(was_member && first && custody::has_transcript(&self.data, before.epoch(), None))
            }
            Some(epoch) => epoch < before.epoch() || epoch == before.epoch() && !was_member,
        }
    }

    /// Gets this node's share and the transcript of an epoch from its resharing, now or afterwards,
    /// unless they are here: the entries are kept until the next one is announced.
    pub(super) async fn take_part(
        &self,
        context: &runtime::Context,
        store: &Store,
        seat: &mut NodeSeat,
        custody: NodeCustody,
        before: &VerifiedTranscript,
        epoch: Epoch,
    ) -> Result<(), NodeError> {
        let failed = |why: String| NodeError::Start { what: "resharing", why };
        let keys = self.keystore.read()?;
        let share = self.keystore.membership(&keys, &before.network_id(), epoch)?;
        if share.is_some() && custody::has_transcript(&self.data, epoch, None) {
            return Ok(());
        }
        let known = before.definition().epoch();
        if known.next() != epoch {
            return Err(failed(format!(
                "epoch {epoch} began without this sequencer, whose last transcript is of epoch {known}: \
                 it missed more than one resharing, and takes part again in the next one"
            )));
        }
        info!(%epoch, "waiting for the resharing that makes this sequencer a member");
        let resharings = KeygenResharings::new(before.clone(), Arc::new(custody));
        let (voters, mut context) = (self.others(before.definition()), context.child("feed"));
        fairveil_runtime::follow(&mut context, store, seat, &voters, epoch, &resharings)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// Takes everything that an epoch begins with from the members of the one before.
    pub(super) async fn sync(
        &self,
        context: &runtime::Context,
        store: &Store,
        epoch: Epoch,
        seat: &mut NodeSeat,
    ) -> Result<(), NodeError> {
        let transcript = self.verified(&custody::transcript_of(&self.data, epoch)?)?;
        let before = epoch.get().checked_sub(1).map(Epoch::new);
        let Some(before) = before.and_then(|before| transcript.epoch(before)) else {
            let why = format!("nobody has been there before epoch {epoch}");
            return Err(NodeError::Start { what: "state sync", why });
        };
        let groups = [before.definition(), transcript.definition()];
        let groups = groups.map(|definition| self.others(definition)).to_vec();
        fairveil_runtime::sync(context, store, seat, Sync::new(epoch, groups))
            .await
            .map_err(|error| NodeError::Start { what: "state sync", why: error.to_string() })
    }

    /// The other members of an epoch, and how many of them may lie.
    fn others(&self, definition: &Definition) -> Voters {
        let own = self.keys.consensus.public_key();
        let keys = definition.consensus_keys().into_iter().filter(|key| *key != own);
        let keys = keys.filter_map(|key| public_key(&key)).collect();
        Voters { keys, faulty: definition.consensus_faults() }
    }
}
