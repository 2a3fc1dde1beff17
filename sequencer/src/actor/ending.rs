//! The end of an epoch: its resharing, and giving way to the next one. Peers that are no members of
//! the epoch.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::{Resharing, state::EndingOutput};
use fairveil_crypto::{BundleId, Digest, Epoch, Height, encoding};
use fairveil_mempool::{
    BundleMessage,
    pool::{Input as PoolInput, StoredBundle},
};
use fairveil_release::{
    adoption::ReleaseMessage,
    boundary::{BoundaryMessage, BoundaryPart, BoundaryRoot, CHUNK_BYTES},
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};

use super::{Actor, Closing, Done, JobLost, Lane, StopReason};
use crate::{
    boundary,
    handle::decoded,
    outbox::Effect,
    record::height_key,
    renewal::{Input, Output, Progress},
    store::{Table, Write},
    sync::ASK_AGAIN_MS,
};

/// Where the machine's journal stands: with its ceremony.
pub(crate) const JOURNAL: &[u8] = b"resharing-journal";
/// What an operator wants announced.
const OFFERED: &[u8] = b"resharing-offered";
/// Longest of both, and of a block's entries.
const MAX_STORED_BYTES: usize = 1 << 20;
/// How long nothing may be final before the others are asked whether the epoch has ended.
const STUCK_MS: u64 = 3_000;

/// The beginning of this epoch, as others can have it.
#[derive(Clone)]
pub(crate) struct Kept {
    name: BoundaryRoot,
    manifest: Arc<[u8]>,
}

impl Kept {
    /// A part of the manifest; the last one is shorter than the others, if need be empty.
    fn part(&self, number: u32) -> Option<Vec<u8>> {
        let from = (number as usize).checked_mul(CHUNK_BYTES)?;
        let rest = self.manifest.get(from..)?;
        Some(rest[..rest.len().min(CHUNK_BYTES)].to_vec())
    }
}

/// What peers say of epochs that began without this sequencer.
#[derive(Default)]
pub(crate) struct Missed {
    height: Height,
    since_ms: u64,
    answers: BTreeMap<PublicKey, BoundaryRoot>,
}

impl Missed {
    /// Whether the tip has stood at this height for long.
    fn is_due(&mut self, now_ms: u64, height: Height) -> bool {
        if self.height != height || self.since_ms == 0 {
            (self.height, self.since_ms) = (height, now_ms);
            self.answers.clear();
        }
        let due = now_ms >= self.since_ms.saturating_add(STUCK_MS);
        if due {
            self.since_ms += ASK_AGAIN_MS;
        }
        due
    }

    fn named(&mut self, peer: &PublicKey, named: BoundaryRoot) {
        if self.answers.len() < MAX_ANSWERS {
            self.answers.insert(peer.clone(), named);
        }
    }

    /// The later epoch that so many peers name.
    fn agreed(&self, epoch: Epoch, needed: usize) -> Option<BoundaryRoot> {
        let later = self.answers.values().filter(|named| named.epoch > epoch);
        let same = |one: &BoundaryRoot| self.answers.values().filter(|other| *other == one).count();
        later.filter(|named| same(named) >= needed).max().copied()
    }
}

/// Answers that are kept: of more peers than a committee has.
const MAX_ANSWERS: usize = 256;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// After a start: takes part again in the resharing that is open.
    pub(crate) fn resume_renewal(&mut self) -> Result<(), StopReason> {
        if let Some(bytes) = self.store.get(Table::Meta, OFFERED)? {
            let offered: Resharing = decoded(Table::Meta, &bytes, MAX_STORED_BYTES)?;
            // It may be of an epoch that is over.
            let stands =
                self.chain.may_announce(&offered) && self.config.resharings.accepts(&offered);
            let offered = stands.then_some(offered);
            self.shared.change(|contents| contents.renewing.offered = offered);
        }
        let Some(open) = self.chain.open_resharing().cloned() else { return Ok(()) };
        if self.chain.handover().is_some() {
            return Ok(());
        }
        self.take_part(&open.resharing)?;
        for (key, value) in self.store.range(Table::Entries, &[], usize::MAX)? {
            let height = Height::new(key.try_into().map(u64::from_be_bytes).unwrap_or(0));
            let entries = decoded(Table::Entries, &value, MAX_STORED_BYTES)?;
            if height > open.since {
                self.renew(Input::Agreed { height, entries })?;
            }
        }
        Ok(())
    }

    /// A final block said this of the next epoch.
    pub(super) fn ending(
        &mut self,
        height: Height,
        output: &EndingOutput,
    ) -> Result<(), StopReason> {
        if let Some(resharing) = &output.resharing {
            info!(ceremony = %resharing.ceremony, round = resharing.round, "a resharing is announced");
            let chain = &self.chain;
            let waits = self.shared.change(|contents| {
                let offered = contents.renewing.offered.take();
                contents.renewing.offered = offered.filter(|other| chain.may_announce(other));
                contents.renewing.offered.is_some()
            });
            if !waits {
                self.outbox.write(Write::remove(Table::Meta, OFFERED));
            }
            for (key, _) in self.store.range(Table::Entries, &[], usize::MAX)? {
                self.outbox.write(Write::remove(Table::Entries, key));
            }
            self.begin_feed(height, resharing);
            self.take_part(resharing)?;
        }
        if !output.entries.is_empty() {
            self.extend_feed(&output.entries);
            let value = encoding::encode(&output.entries);
            self.outbox.write(Write::put(Table::Entries, height_key(height), value));
            self.renew(Input::Agreed { height, entries: output.entries.clone() })?;
        }
        if let Some(handover) = &output.handover {
            let (epoch, boundary) = (handover.epoch, handover.boundary);
            info!(%epoch, %boundary, "the epoch is handed over");
            self.renewal = None;
        }
        if self.chain.has_ended() {
            info!(%height, "the epoch has ended");
        }
        self.end_if_released();
        Ok(())
    }

    /// Begins to end once the epoch has ended and everything is released here.
    pub(crate) fn end_if_released(&mut self) {
        if !self.chain.has_ended() {
            return;
        }
        self.openings.close(self.chain.released());
        if self.openings.next() > self.chain.tip().height && !self.told_end {
            self.told_end = true;
            self.outbox.then(Effect::EpochEnded);
        }
    }

    /// Writes the end once nothing is under way any more.
    pub(super) fn close(&mut self) -> Result<(), StopReason> {
        let quiet = self.outbox.is_idle() && self.jobs.is_empty();
        if self.closing != Closing::Finishing || !quiet {
            return Ok(());
        }
        self.closing = Closing::Writing;
        let (store, chain, ledger) = (self.store.clone(), self.chain.clone(), self.ledger.clone());
        let write = self.context.child("boundary").shared(true).spawn(move |_| async move {
            let written = boundary::writes(&store, &chain, ledger.as_ref());
            Done::Boundary(written.and_then(|writes| Ok(store.commit(&writes)?)))
        });
        self.start(async move { write.await.map_err(|_| JobLost) });
        Ok(())
    }

    /// Why to stop, once the end is written.
    pub(super) fn closed(&self) -> Option<StopReason> {
        let handover = self.chain.handover().filter(|_| self.closing == Closing::Written)?;
        Some(StopReason::EpochEnded(Box::new(handover.clone()), self.chain.tip().height))
    }

    /// An operator wants this resharing announced.
    pub(super) fn offered(&mut self, resharing: Resharing) -> Result<(), String> {
        if !self.chain.may_announce(&resharing) {
            return Err(match self.chain.handover() {
                Some(_) => "the epoch is handed over".into(),
                None => {
                    let (actual, next) = (resharing.round, self.chain.next_round());
                    format!("round {actual} can't be announced, the next one is {next}")
                }
            });
        }
        if !self.config.resharings.accepts(&resharing) {
            return Err("its definition is not approved for the next epoch".into());
        }
        let value = encoding::encode(&resharing);
        self.outbox.write(Write::put(Table::Meta, OFFERED, value));
        self.shared.change(|contents| contents.renewing.offered = Some(resharing));
        Ok(())
    }

    pub(super) fn renewal_progress(&self) -> Option<Progress> {
        let now = self.renewal_time();
        self.renewal.as_ref().map(|machine| machine.progress(now))
    }

    fn take_part(&mut self, resharing: &Resharing) -> Result<(), StopReason> {
        let ceremony = resharing.ceremony;
        let journal = match self.store.get(Table::Meta, JOURNAL)? {
            Some(bytes) => {
                let (of, journal): (Digest, Vec<u8>) =
                    decoded(Table::Meta, &bytes, MAX_STORED_BYTES)?;
                (of == ceremony).then_some(journal)
            }
            None => None,
        };
        let mut random = [0; 32];
        self.context.fill_bytes(&mut random);
        self.shared.change(|contents| {
            contents.renewing.successor = None;
            contents.renewing.under_way = Some((ceremony, Default::default()));
        });
        match self.config.resharings.take_part(resharing, journal, random) {
            Ok(machine) => {
                self.renewal = Some(machine);
                self.renew(Input::Wake)
            }
            Err(why) => {
                warn!(%ceremony, why, "this sequencer takes no part in the resharing");
                self.renewal = None;
                self.shared.change(|contents| contents.renewing.under_way = None);
                Ok(())
            }
        }
    }

    pub(super) fn tick_renewal(&mut self) -> Result<(), StopReason> {
        let now = self.renewal_time();
        let due = self.renewal.as_ref().and_then(|machine| machine.wake_at());
        if due.is_some_and(|at| at <= now) { self.renew(Input::Wake) } else { Ok(()) }
    }

    fn renew(&mut self, input: Input) -> Result<(), StopReason> {
        let now = self.renewal_time();
        let Some(machine) = &mut self.renewal else { return Ok(()) };
        let ceremony = machine.progress(now).ceremony;
        for output in machine.handle(now, input) {
            match output {
                Output::Journal(journal) => {
                    let value = encoding::encode(&(ceremony, journal));
                    self.outbox.write(Write::put(Table::Meta, JOURNAL, value));
                }
                Output::Post(entry) => self.outbox.then(Effect::Post(entry)),
                Output::Complete(successor) => {
                    info!(transcript = %successor.transcript, "the resharing is complete");
                    self.outbox.then(Effect::Succeed(successor));
                }
                Output::Unkept(why) => return Err(StopReason::Custody(why)),
                Output::Failed(why) => {
                    warn!(why, "the resharing failed; the committee stays");
                    self.count("failed_resharings", 1);
                    self.shared.change(|contents| contents.renewing.under_way = None);
                }
            }
        }
        Ok(())
    }

    /// What the machine posts is durable as far as it has to be.
    pub(super) fn posted(&mut self, entry: Vec<u8>) {
        let submitted = self.shared.change(|contents| {
            let (_, submissions) = contents.renewing.under_way.as_mut()?;
            Some(submissions.submit(entry))
        });
        if let Some(Err(error)) = submitted {
            warn!(%error, "an entry of the resharing is not posted");
        }
    }

    pub(super) fn renewal_time(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    /// A peer that is a member of another epoch asks: it gets what is final and what is held.
    pub(super) fn guest_message(
        &mut self,
        lane: Lane,
        peer: &PublicKey,
        bytes: &[u8],
    ) -> Result<(), StopReason> {
        match lane {
            Lane::Logs => {}
            Lane::Bundles => {
                return match BundleMessage::decode(bytes) {
                    Ok(BundleMessage::Fetch(ids)) => self.serve_guest(peer, &ids),
                    // Who leaves has relayed what it admitted last: one source for all of them.
                    Ok(message @ BundleMessage::Relay(_)) => {
                        let own = self.config.index;
                        self.admit(PoolInput::Received { peer: own, message })
                    }
                    _ => Ok(()),
                };
            }
            Lane::Shares => {
                return match OpeningMessage::decode(bytes) {
                    Ok(OpeningMessage::Release(ReleaseMessage::Request { height, part })) => {
                        self.serve_release(peer, height, part)
                    }
                    Ok(OpeningMessage::Boundary(message)) => self.boundary_message(peer, message),
                    Ok(OpeningMessage::Feed(message)) => self.feed_message(peer, message),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    /// A peer asks for the beginning of the epoch, or tells of a later one.
    pub(super) fn boundary_message(
        &mut self,
        peer: &PublicKey,
        message: BoundaryMessage,
    ) -> Result<(), StopReason> {
        let answer = match message {
            BoundaryMessage::Root(named) => {
                // F + 1 members of this epoch say it, or nobody.
                if self.keys.contains(peer) {
                    self.missed.named(peer, named);
                }
                return Ok(());
            }
            BoundaryMessage::Ask
            | BoundaryMessage::Manifest { .. }
            | BoundaryMessage::Chunk { .. }
                if !self.served.grant(peer) =>
            {
                self.count("boundary_requests_refused", 1);
                return Ok(());
            }
            BoundaryMessage::Ask => self.boundary()?.map(|kept| BoundaryMessage::Root(kept.name)),
            BoundaryMessage::Manifest { root, part } => {
                let kept = self.boundary()?.filter(|kept| kept.name.root == root);
                let bytes = kept.and_then(|kept| kept.part(part));
                bytes.map(|bytes| {
                    BoundaryMessage::ManifestPart(BoundaryPart { root, number: part, bytes })
                })
            }
            BoundaryMessage::Chunk { root, number } => {
                let kept = self.boundary()?.is_some_and(|kept| kept.name.root == root);
                let bytes = if kept { boundary::chunk(&self.store, number)? } else { None };
                bytes.map(|bytes| BoundaryMessage::ChunkPart(BoundaryPart { root, number, bytes }))
            }
            BoundaryMessage::ManifestPart(_)
            | BoundaryMessage::ChunkPart(_)
            | BoundaryMessage::Absent => return Ok(()),
        };
        let answer = answer.unwrap_or(BoundaryMessage::Absent);
        let answer = self.testified(OpeningMessage::Boundary(answer));
        self.send_to(Lane::Shares, vec![peer.clone()], answer.encode());
        Ok(())
    }

    /// What others can have of this epoch's beginning: read once.
    fn boundary(&mut self) -> Result<Option<Kept>, StopReason> {
        if self.kept.is_none() {
            self.kept = boundary::manifest(&self.store)?
                .map(|manifest| Kept { name: manifest.name(), manifest: manifest.encode().into() });
        }
        Ok(self.kept.clone())
    }

    /// Asks whether an epoch has begun without this sequencer, if nothing was final for a while.
    pub(super) fn look_for_missed_epoch(&mut self) -> Result<(), StopReason> {
        let (now, height) = (self.now_ms(), self.chain.tip().height);
        if self.chain.has_ended() || !self.missed.is_due(now, height) {
            return Ok(());
        }
        let committee = &self.config.committee;
        let (epoch, faulty) = (committee.epoch(), committee.n() - committee.quorum());
        if let Some(named) = self.missed.agreed(epoch, usize::from(faulty) + 1) {
            return Err(StopReason::Missed(named));
        }
        let peers = self.peers();
        self.send(Lane::Shares, &peers, OpeningMessage::Boundary(BoundaryMessage::Ask).encode());
        Ok(())
    }

    fn serve_guest(&mut self, peer: &PublicKey, ids: &[BundleId]) -> Result<(), StopReason> {
        let mut absent = Vec::new();
        for id in ids {
            if !self.served.grant(peer) {
                self.count("fetches_of_guests_refused", 1);
                return Ok(());
            }
            match self.stored_sealed(id)? {
                Some(sealed) => {
                    let message = BundleMessage::Relay(sealed);
                    self.send_to(Lane::Bundles, vec![peer.clone()], message.encode());
                }
                None => absent.push(*id),
            }
        }
        if !absent.is_empty() {
            let message = BundleMessage::Absent(absent);
            self.send_to(Lane::Bundles, vec![peer.clone()], message.encode());
        }
        Ok(())
    }

    fn stored_sealed(&self, id: &BundleId) -> Result<Option<Vec<u8>>, StopReason> {
        if let Some(bytes) = self.store.get(Table::Bundles, id.as_bytes())? {
            let stored: StoredBundle = decoded(Table::Bundles, &bytes, MAX_STORED_BYTES)?;
            return Ok(Some(stored.sealed));
        }
        Ok(self.store.get(Table::Archive, id.as_bytes())?)
    }
}
