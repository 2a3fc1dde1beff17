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
use fairveil_consensus::{Resharing, committee::public_key};
use fairveil_crypto::Epoch;
use fairveil_keygen::{CeremonyContext, Definition, VerifiedTranscript};
use fairveil_runtime::NodeSeat;
use fairveil_sequencer::{
    Store,
    feed::Voters,
    resharing::{KeygenResharings, announcement},
    sync::Sync,
};
use fairveil_transport::Observer;
use tokio::sync::watch;
use tracing::info;

use super::{
    NodeError,
    ceremony::report::{Report, State},
    custody::{self, NodeCustody},
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
        let custody = NodeCustody {
            data: self.data.clone(),
            keystore: Arc::clone(&self.keystore),
            consensus_seed: self.keys.consensus.expose_seed(),
            key: self.keys.consensus.public_key(),
            peers: Arc::clone(peers),
            observer: observer.clone(),
            reports: Arc::new(reports),
        };
        let epoch = definition.epoch();
        let keys = self.keystore.read()?;
        let share = self.keystore.membership(&keys, &definition.network_id(), epoch)?;
        if share.is_none() || !custody::has_transcript_of(&self.data, epoch) {
            info!(%epoch, "waiting for the resharing that makes this sequencer a member");
            let approved = self.approved.clone();
            let of_round = |round| -> Option<Resharing> {
                let ceremony =
                    CeremonyContext::resharing(approved.clone(), round, &predecessor).ok()?;
                announcement(&ceremony).ok()
            };
            let resharings = KeygenResharings::new(predecessor.clone(), Arc::new(custody));
            let voters = voters(predecessor.definition());
            let mut context = context.child("feed");
            fairveil_runtime::follow(&mut context, store, seat, &voters, &resharings, &of_round)
                .await
                .map_err(|error| failed("resharing", error.to_string()))?;
        }
        let transcript = self.verified(&custody::transcript_of(&self.data, epoch, None)?)?;
        self.sync(context, store, epoch, seat).await?;
        served.abort();
        // Its listener is closed before the node's own opens.
        let _ = served.await;
        let report = custody::running(&transcript, member.name.clone());
        Ok((transcript, report))
    }

    /// Takes everything that an epoch begins with from the members of the one before.
    pub(super) async fn sync(
        &self,
        context: &runtime::Context,
        store: &Store,
        epoch: Epoch,
        seat: &mut NodeSeat,
    ) -> Result<(), NodeError> {
        let transcript = self.verified(&custody::transcript_of(&self.data, epoch, None)?)?;
        let before = epoch.get().checked_sub(1).map(Epoch::new);
        let Some(before) = before.and_then(|before| transcript.epoch(before)) else {
            let why = format!("nobody has been there before epoch {epoch}");
            return Err(NodeError::Start { what: "state sync", why });
        };
        let Voters { keys, faulty } = voters(before.definition());
        fairveil_runtime::sync(context, store, seat, Sync::new(epoch, keys, faulty))
            .await
            .map_err(|error| NodeError::Start { what: "state sync", why: error.to_string() })
    }
}

/// The members of an epoch, and how many of them may lie.
fn voters(definition: &Definition) -> Voters {
    let keys = definition.consensus_keys().iter().filter_map(public_key).collect();
    Voters { keys, faulty: definition.consensus_faults() }
}
