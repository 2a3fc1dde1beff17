//! Opening what is final, and cutting what is open.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{
    BundleId, SequencerIndex, certificate::FinalOrder, encoding, envelope::VerifiedBundle,
};
use fairveil_mempool::pool::Input as PoolInput;
use fairveil_release::{
    chain::{ChainError, Released, Summary},
    failed::Failed,
    message::OpeningMessage,
    opener::{FinalBatch, Input, MAX_SHARE_MESSAGE_BYTES, Output, ShareMessage},
    tree::Outcome,
};
use rand_core_10::CryptoRng;
use tracing::{debug, warn};

use super::{Actor, Lane, StopReason, attack::MOVES};
use crate::{
    executor::Lane as Threads,
    handle::decoded,
    opening::{OpeningDone, Openings, Progress, Source, stored_share},
    outbox::Effect,
    record::{End, Event, LegEnd, MAX_PLACE_BYTES, Place, height_key},
    release_store::released_writes,
    store::{Table, Write},
};

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// An order is final: opens it as soon as all of its bundles are here.
    pub(crate) fn open(&mut self, order: FinalOrder) -> Result<(), StopReason> {
        let (pool, now) = (&self.pool, self.now_ms());
        let batch = self.openings.order(now, order, |id| pool.bundle(id).cloned());
        match batch {
            Some(batch) => self.open_batch(batch),
            None => {
                let ids = self.openings.missing();
                self.admit(PoolInput::Needed { ids })
            }
        }
    }

    pub(super) fn openings_hold(&mut self, bundles: Vec<VerifiedBundle>) -> Result<(), StopReason> {
        for bundle in bundles {
            for batch in self.openings.holds(&bundle) {
                self.open_batch(batch)?;
            }
        }
        Ok(())
    }

    pub(crate) fn open_batch(&mut self, batch: FinalBatch) -> Result<(), StopReason> {
        if !self.openings.opener.has_room() {
            self.openings.postpone(batch);
            return Ok(());
        }
        let order = batch.order();
        if !order.to_open().is_empty() && !self.abstains() {
            match self.stored_own_share(order)? {
                Some(share) => {
                    let done = OpeningDone::Share(Box::new(order.clone()), Ok(share));
                    self.start(futures::future::ready(Ok(done.into())));
                }
                None => {
                    let mut fresh = [0; 32];
                    self.context.fill_bytes(&mut fresh);
                    let job = self.openings.own_share(&batch, fresh);
                    let run = self.executor.run(Threads::Opening, job);
                    self.start(async move { run.await.map(Into::into) });
                }
            }
        }
        let now = self.now_ms();
        let outputs = self.openings.opener.handle(now, Input::Order(Box::new(batch)));
        self.opener_outputs(outputs)
    }

    pub(super) fn share_message(
        &mut self,
        from: SequencerIndex,
        bytes: &[u8],
    ) -> Result<(), StopReason> {
        match OpeningMessage::decode(bytes) {
            Ok(OpeningMessage::Share(message)) => {
                self.attack_on_share(&message);
                let now = self.now_ms();
                let outputs = self.openings.opener.handle(now, Input::Message { from, message });
                self.opener_outputs(outputs)
            }
            Ok(OpeningMessage::Release(message)) => self.release_message(from, message),
            Ok(OpeningMessage::Boundary(message)) => {
                let Some(peer) = self.keys.get(from.position()).cloned() else { return Ok(()) };
                self.boundary_message(&peer, message)
            }
            Ok(OpeningMessage::Feed(message)) => {
                let Some(peer) = self.keys.get(from.position()).cloned() else { return Ok(()) };
                self.feed_message(&peer, message)
            }
            Err(error) => {
                debug!(%from, %error, "not a message about openings");
                self.count("malformed_messages", 1);
                Ok(())
            }
        }
    }

    pub(super) fn opening_done(&mut self, done: OpeningDone) -> Result<(), StopReason> {
        match done {
            OpeningDone::Share(order, Ok(share)) => {
                let share = self.adversary_share(&order, share);
                let key = height_key(order.height());
                let value = encoding::encode(share.share());
                self.outbox.write(Write::put(Table::Shares, key, value));
                let now = self.now_ms();
                let outputs = self.openings.opener.handle(now, Input::OwnShare(share));
                self.opener_outputs(outputs)
            }
            OpeningDone::Share(order, Err(error)) => {
                warn!(height = %order.height(), %error, "no own share for a final order");
                self.count("missing_own_shares", 1);
                Ok(())
            }
            OpeningDone::Worked(worked) => {
                let now = self.now_ms();
                let outputs = self.openings.opener.handle(now, Input::Worked(worked));
                self.opener_outputs(outputs)
            }
            OpeningDone::Judged(order) => {
                self.openings.judged(order);
                self.cut();
                Ok(())
            }
            OpeningDone::Cut(done) => {
                let now = self.now_ms();
                let progress = self.openings.cut(now, *done).map_err(|error| match error {
                    ChainError::Genesis { height, why } => StopReason::Genesis { height, why },
                    error => StopReason::Inconsistent(error.to_string()),
                })?;
                match progress {
                    Progress::Released(source, released, summary) => {
                        if source == Source::Adopted {
                            self.count("adopted_releases", 1);
                        }
                        self.keep_release(*released, &summary)?;
                    }
                    Progress::Waits { height, unreadable } => {
                        if unreadable {
                            warn!(%height, "a slot needs the view of a rollup that can't be read");
                            self.count("unreadable_views", 1);
                        }
                        if let Some(root) = self.stored_certified_root(height)? {
                            self.openings.certified(height, root);
                        }
                    }
                }
                self.share_open_release();
                self.cut();
                self.tell_lag()
            }
        }
    }

    pub(super) fn tick_openings(&mut self) -> Result<(), StopReason> {
        let now = self.now_ms();
        if self.openings.opener.wake_at().is_some_and(|at| at <= now) {
            let outputs = self.openings.opener.handle(now, Input::Wake);
            self.opener_outputs(outputs)?;
        }
        while let Some(batch) = self.openings.resume() {
            self.open_batch(batch)?;
        }
        self.shared.look_at_views();
        // Views that could not be read are read again, and a slot is cut without them after a while.
        self.cut();
        self.tick_adoption(now)
    }

    fn opener_outputs(&mut self, outputs: Vec<Output>) -> Result<(), StopReason> {
        for output in outputs {
            match output {
                Output::Broadcast(message) => {
                    let peers = self.peers();
                    self.send_share(&peers, message);
                }
                Output::Send { to, message } => self.send_share(&[to], message),
                Output::Run(job) => {
                    let mut random = [0; 32];
                    self.context.fill_bytes(&mut random);
                    let run = self.executor.run(Threads::Opening, Openings::combining(job, random));
                    self.start(async move { run.await.map(Into::into) });
                }
                Output::Opened(opened) => {
                    let run = self.executor.run(Threads::Opening, self.openings.judging(opened));
                    self.start(async move { run.await.map(Into::into) });
                }
                Output::Blame { culprit, evidence } => {
                    warn!(%culprit, "a sequencer signed a bad decryption share");
                    self.count("bad_shares", 1);
                    self.write_evidence(&evidence);
                }
                Output::Postponed(height) => {
                    // `open_batch` asks for room first.
                    return Err(StopReason::Inconsistent(format!("no room to open {height}")));
                }
            }
        }
        Ok(())
    }

    fn send_share(&mut self, to: &[SequencerIndex], mut message: ShareMessage) {
        if self.abstains() && !matches!(message, ShareMessage::Request { .. }) {
            return;
        }
        if self.adversary.withholds(&message) {
            self.count(MOVES, 1);
            return;
        }
        if self.adversary.falsifies(&mut message) {
            self.count(MOVES, 1);
        }
        self.send(Lane::Shares, to, OpeningMessage::Share(message).encode());
    }

    fn stored_own_share(
        &self,
        order: &FinalOrder,
    ) -> Result<Option<fairveil_release::opener::OwnShare>, StopReason> {
        let key = height_key(order.height());
        let Some(bytes) = self.store.get(Table::Shares, &key)? else { return Ok(None) };
        let share = decoded(Table::Shares, &bytes, MAX_SHARE_MESSAGE_BYTES)?;
        Ok(stored_share(share, order, self.config.index))
    }

    /// Releases the next height, if its turn has come.
    pub(super) fn cut(&mut self) {
        let now = self.now_ms();
        if let Some((lane, job)) = self.openings.cutting(now) {
            let run = self.executor.run(lane, job);
            self.start(async move { run.await.map(Into::into) });
        }
    }

    /// Tells the consensus' side of the release that waits for the committee's word.
    fn share_open_release(&self) {
        let open = self.openings.open_release();
        if self.shared.read().open != open {
            self.shared.change(|contents| contents.open = open);
        }
    }

    fn keep_release(&mut self, released: Released, summary: &Summary) -> Result<(), StopReason> {
        let release = &released.release;
        let (height, root) = (release.header.height, release.header.root());
        if let Some(certified) = self.certified_root(height)
            && certified != root
        {
            return Err(StopReason::Inconsistent(format!(
                "release root {root} of height {height}, certified is {certified}"
            )));
        }
        for write in released_writes(&released, summary) {
            self.outbox.write(write);
        }
        self.pay_out(height, &release.leaves)?;
        let time_ms = self.now_ms();
        let mut places = leg_ends(&released);
        let mut outcomes = Vec::with_capacity(release.leaves.len());
        for leaf in &release.leaves {
            if !matches!(leaf.outcome, Outcome::Carried { .. }) {
                let legs = places.remove(&leaf.id).unwrap_or_default();
                let end = End { height, outcome: leaf.outcome.clone(), legs, time_ms };
                self.write_end(leaf, end)?;
            }
            outcomes.push((leaf.id, leaf.outcome.clone()));
        }
        if !outcomes.is_empty() {
            self.count("released_heights", 1);
            self.event(Event::Released { height, root, outcomes });
        }
        self.outbox.then(Effect::Released(height, root));
        self.end_if_released();
        Ok(())
    }

    fn write_end(
        &mut self,
        leaf: &fairveil_release::tree::Leaf,
        end: End,
    ) -> Result<(), StopReason> {
        let key = leaf.id.as_bytes();
        // The place may still wait for its transaction.
        let place = match self.places.get(&leaf.id) {
            Some(place) => Some(place.clone()),
            None => match self.store.get(Table::Places, key)? {
                Some(bytes) => Some(decoded::<Place>(Table::Places, &bytes, MAX_PLACE_BYTES)?),
                None => None,
            },
        };
        let Some(place) = place else {
            return Err(StopReason::Inconsistent(format!("bundle {} has no place", leaf.id)));
        };
        self.places.remove(&leaf.id);
        let counter = match &end.outcome {
            Outcome::Released { .. } => "released",
            Outcome::Failed(_) => "failed",
            Outcome::Expired => "expired",
            Outcome::Carried { .. } => "carried",
        };
        self.count(counter, 1);
        match end.outcome {
            Outcome::Failed(Failed::StateUnavailable { .. }) => self.count("state_unavailable", 1),
            Outcome::Failed(Failed::Unfunded) => self.count("unfunded", 1),
            _ => {}
        }
        let place = Place { end: Some(end), ..place };
        self.outbox.write(Write::put(Table::Places, *key, encoding::encode(&place)));
        Ok(())
    }

    /// Puts an event in; subscribers see it once it is durable.
    pub(super) fn event(&mut self, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        let value = encoding::encode(&event);
        self.outbox.write(Write::put(Table::Events, number.to_be_bytes(), value));
        self.outbox.then(Effect::Event(number));
    }
}

/// Where the released legs stand, by bundle.
fn leg_ends(released: &Released) -> BTreeMap<BundleId, Vec<LegEnd>> {
    let mut ends: BTreeMap<BundleId, Vec<LegEnd>> = BTreeMap::new();
    for batch in &released.release.batches {
        let chain_id = batch.chain_id;
        for (_, range) in batch.bundles() {
            let legs = released.receipts.get(&range.id).into_iter().flatten();
            let receipts = legs.filter(|leg| leg.chain_id == chain_id);
            let receipts = receipts.flat_map(|leg| leg.receipts.iter().cloned()).collect();
            let end = LegEnd { chain_id, first: range.first, receipts };
            ends.entry(range.id).or_default().push(end);
        }
    }
    ends
}
