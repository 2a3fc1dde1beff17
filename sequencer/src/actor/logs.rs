//! The own order log, and everybody's.

use std::collections::BTreeSet;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::{SystemEntry, host::Host as _, state::BlockOutput};
use fairveil_crypto::{
    BundleId, Height, SequencerIndex,
    domain::{Tag, hash},
    encoding,
};
use fairveil_mempool::pool::LogEntry;
use fairveil_ordering::{Equivocation, LogHead};
use fairveil_release::evidence::Evidence;
use rand_core_10::CryptoRng;
use tracing::{debug, warn};

use super::{Actor, Lane, StopReason, attack::MOVES};
use crate::{
    logs::{Base, Learned, LogMessage, MAX_PIECE_IDS},
    outbox::Effect,
    store::{Table, Write},
};

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Puts the entries that the pool appended into the next transaction.
    pub(super) fn write_entries(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        if self.abstains() {
            return;
        }
        let entries = self.adversary.arrange(self.ticks, entries);
        if entries.is_empty() {
            return;
        }
        let mut ids = Vec::with_capacity(entries.len());
        for (position, entry) in entries {
            let key = log_key(self.log.name().epoch.get(), position);
            let entry = LogEntry { position, ..entry };
            self.outbox.write(Write::put(Table::Log, key, encoding::encode(&entry)));
            ids.push(entry.id);
        }
        self.outbox.then(Effect::Logged(ids));
    }

    /// Entries are durable: they stand in the log from now on.
    pub(super) fn logged(&mut self, ids: &[BundleId]) -> Result<(), StopReason> {
        for id in ids {
            self.log.append(*id).map_err(|error| StopReason::Inconsistent(error.to_string()))?;
        }
        self.head_due = true;
        Ok(())
    }

    /// Signs the head and shows it to everybody, with the entries since the last time.
    pub(super) fn publish_head(&mut self) {
        self.head_due = false;
        let from = self.published.max(self.committed_length());
        for piece in self.pieces(from) {
            self.publish(piece);
        }
        self.published = self.log.tip().length;
        for piece in self.renewed() {
            self.publish(piece);
        }
    }

    /// Newer heads of the own log within the reach of the next blocks, if they can't take all of it:
    /// after the last final block, and after those that may become final, for leaders have to build on
    /// a certified one.
    fn renewed(&self) -> Vec<Piece> {
        if self.abstains() {
            return Vec::new();
        }
        let (own, length) = (self.config.index, self.log.tip().length);
        let (height, now) = (self.progress.height_seen(), self.now_ms());
        let contents = self.shared.read();
        let last = Base::of(&self.chain.wanted(), own);
        let bases = contents.bases.iter().copied().chain(last);
        let lengths: BTreeSet<u64> = bases.flat_map(|base| base.lengths(length)).collect();
        let tips = lengths.into_iter().filter_map(|length| contents.logs.tip_at(own, length));
        tips.map(|tip| {
            let head = LogHead::sign(self.log.name(), tip, height, now, &self.signer);
            Piece { from: tip.length, head, ids: Vec::new() }
        })
        .collect()
    }

    /// The own log from a length on, in messages of at most [`MAX_PIECE_IDS`] entries; one
    /// without entries if there are none. Of durable entries alone. No head but the last says what
    /// this sequencer has seen: a fresh head stands for all that its owner had appended, and who asks
    /// for pieces must not get others.
    fn pieces(&self, from: u64) -> Vec<Piece> {
        if self.abstains() {
            return Vec::new();
        }
        let Some(ids) = self.log.entries_from(from) else { return Vec::new() };
        let own = self.config.index;
        let Some(mut tip) = self.shared.read().logs.tip_at(own, from) else { return Vec::new() };
        let (seen, now) = (self.progress.height_seen(), self.now_ms());
        let mut chunks: Vec<&[BundleId]> = ids.chunks(MAX_PIECE_IDS).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let last = chunks.len() - 1;
        let pieces = chunks.into_iter().enumerate().map(|(at, ids)| {
            let from = tip.length;
            tip = tip.after_all(ids);
            let height = if at == last { seen } else { Height::ZERO };
            let head = LogHead::sign(self.log.name(), tip, height, now, &self.signer);
            Piece { from, head, ids: ids.to_vec() }
        });
        pieces.collect()
    }

    /// After a start: shows the consensus' side the own log as it was stored.
    pub(crate) fn show_own_log(&mut self) {
        self.published = self.committed_length();
        let own = self.config.index;
        for Piece { from, head, ids } in self.pieces(self.published) {
            // What is stored was accepted before.
            let _ = self.shared.change(|contents| contents.logs.learn(own, from, head, &ids));
        }
    }

    fn committed_length(&self) -> u64 {
        self.chain.ordering().committed(self.config.index).map_or(0, |tip| tip.length)
    }

    fn publish(&mut self, piece: Piece) {
        let own = self.config.index;
        let Piece { from, head, ids } = piece;
        let learned = self.shared.change(|contents| contents.logs.learn(own, from, head, &ids));
        if let Err(fault) = learned {
            warn!(%fault, "the own log is not what was published of it");
        }
        let forked = self.forked(from, &head, &ids);
        let message = LogMessage::Piece { from, head, ids };
        let peers = self.peers();
        let (shown, deceived) = match forked {
            Some(_) => peers.split_at(peers.len() / 2),
            None => (peers.as_slice(), &[][..]),
        };
        self.send(Lane::Logs, shown, message.encode());
        if let Some(other) = forked {
            self.count(MOVES, 1);
            self.send(Lane::Logs, deceived, other.encode());
        }
    }

    pub(super) fn log_message(
        &mut self,
        peer: SequencerIndex,
        bytes: &[u8],
    ) -> Result<(), StopReason> {
        match LogMessage::decode(bytes) {
            Ok(LogMessage::Piece { from, head, ids }) => self.learn(peer, from, head, &ids),
            Ok(LogMessage::Request { from }) if self.requests.grants(peer) => {
                self.show(peer, from);
            }
            Ok(LogMessage::Request { .. }) => self.count("refused_log_requests", 1),
            Err(error) => {
                debug!(%peer, %error, "not a message about logs");
                self.count("malformed_messages", 1);
            }
        }
        Ok(())
    }

    /// A peer came back: shows it the own log and asks for its own.
    pub(super) fn greet(&mut self, peer: SequencerIndex) {
        let known = self.shared.read().logs.known(peer).map_or(0, |tip| tip.length);
        self.requests.forget(peer);
        self.ask(peer, known);
        self.show(peer, self.committed_length());
    }

    /// Asks a peer for its log from this length on, once for all pieces that came after a gap.
    fn ask(&mut self, peer: SequencerIndex, from: u64) {
        if self.requests.asks(peer, from) {
            self.send(Lane::Logs, &[peer], LogMessage::Request { from }.encode());
        }
    }

    fn learn(&mut self, peer: SequencerIndex, from: u64, head: LogHead, ids: &[BundleId]) {
        let learned = self.shared.change(|contents| contents.logs.learn(peer, from, head, ids));
        match learned {
            Ok(Learned::Extended | Learned::Renewed | Learned::Nothing) => {}
            Ok(Learned::Missing { from }) => self.ask(peer, from),
            Ok(Learned::Equivocated(proof)) => self.equivocated(*proof),
            Err(fault) => {
                debug!(%peer, %fault, "a piece of a log is refused");
                self.count("refused_pieces", 1);
            }
        }
    }

    /// A final block may carry another head than its owner told us, before what it told us goes.
    pub(super) fn compare_heads(&mut self, output: &BlockOutput) {
        let heads = output.evidence.fragments().iter().map(|fragment| fragment.head);
        let proofs: Vec<_> = {
            let contents = self.shared.read();
            heads.filter_map(|head| contents.logs.equivocation(&head)).collect()
        };
        proofs.into_iter().for_each(|proof| self.equivocated(proof));
    }

    fn equivocated(&mut self, proof: Equivocation) {
        let culprit = proof.one.sequencer;
        if culprit == self.config.index || self.chain.convicted().contains(&culprit) {
            return;
        }
        warn!(%culprit, "a sequencer signed two order logs");
        self.count("equivocations", 1);
        self.write_evidence(&Evidence::ForkedLog(proof));
        self.shared.record(culprit, SystemEntry::ForkedLog(proof));
    }

    /// Shows a peer the own log from a length on.
    fn show(&mut self, peer: SequencerIndex, from: u64) {
        for Piece { from, head, ids } in self.pieces(from) {
            self.send(Lane::Logs, &[peer], LogMessage::Piece { from, head, ids }.encode());
        }
    }

    /// Keeps a proof under its digest.
    pub(super) fn write_evidence(&mut self, evidence: &Evidence) {
        let bytes = evidence.encode();
        let key = hash(Tag::EvidenceFile, &[&bytes]);
        self.outbox.write(Write::put(Table::Evidence, *key.as_bytes(), bytes));
    }
}

/// A part of the own log with the head over everything up to its end.
struct Piece {
    from: u64,
    head: LogHead,
    ids: Vec<BundleId>,
}

pub(super) fn log_key(epoch: u64, position: u64) -> Vec<u8> {
    [epoch.to_be_bytes(), position.to_be_bytes()].concat()
}
