//! The adversaries' moves. Nothing here happens in an honest sequencer.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{
    BundleId, ConsensusPublicKey, Height, SequencerIndex,
    certificate::FinalOrder,
    domain::{Tag, hash},
};
use fairveil_ordering::LogHead;
use fairveil_release::{
    boundary::BoundaryMessage,
    feed::FeedMessage,
    message::OpeningMessage,
    opener::{OwnShare, ShareMessage},
};
use rand_core_10::CryptoRng;

use super::{Actor, Lane, StopReason};
use crate::{
    adversary::{APART_TICKS, Held, MAX_READ, Reader, Try, halves},
    behaviour::Behaviour,
    logs::LogMessage,
};

/// Counter of what an adversary did that an honest sequencer never does.
pub(super) const MOVES: &str = "adversary_moves";
/// Invented ids a phantom reporter puts into its log at a time, and all in all.
const PHANTOMS: u64 = 1;
const MAX_PHANTOMS: u64 = 512;
/// How far above its last final height a front-runner asks for shares: who is asked may be some
/// heights further.
const NOT_FINAL: u64 = 16;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// A share came: one of a height that is not final here may be what is missing to read.
    pub(super) fn attack_on_share(&mut self, message: &ShareMessage) {
        if self.adversary.behaviour != Behaviour::FrontRunner {
            return;
        }
        if let ShareMessage::Share { height, share } = message
            && *height > self.chain.tip().height
        {
            let t = usize::from(self.config.committee.t());
            let (height, share) = (*height, share.as_ref().clone());
            self.try_to_read(|reader| reader.share(height, share, t));
        }
    }

    /// Tries to open bundles with the own key share and the shares at hand.
    pub(super) fn try_to_read(&mut self, news: impl FnOnce(&mut Reader) -> Vec<Try>) {
        let tries = news(&mut self.adversary.reader);
        let now_ms = self.now_ms();
        let (committee, own) = (&self.config.committee, &self.secrets.key_share);
        let report = &mut self.adversary.report;
        for attempt in tries {
            report.tries += 1;
            report.most_shares = report.most_shares.max(attempt.shares());
            if attempt.opens(committee, own) && report.read.len() < MAX_READ {
                report.read.push((attempt.victim(), now_ms));
            }
        }
    }

    /// A front-runner asks for shares of a height that is not final anywhere; a phantom reporter
    /// logs an id that nobody has.
    pub(super) fn attack_on_block(&mut self, height: Height, leader: ConsensusPublicKey) {
        match self.adversary.behaviour {
            Behaviour::FrontRunner => {
                let places = &self.places;
                self.adversary.reader.finalized(height, |id| places.contains_key(id));
                let peers = self.peers();
                let height = self.progress.finalized().max(height).saturating_add(NOT_FINAL);
                let message = OpeningMessage::Share(ShareMessage::Request { height });
                // What is sent to others does not leave.
                let reached = peers.iter().filter(|peer| self.connected[peer.position()]);
                self.adversary.report.requests += reached.count() as u64;
                self.count(MOVES, 1);
                self.send(Lane::Shares, &peers, message.encode());
            }
            Behaviour::Phantom if height.get() < MAX_PHANTOMS => {
                for number in 0..PHANTOMS {
                    let seed = [height.get().to_be_bytes(), number.to_be_bytes()].concat();
                    self.phantom(&seed);
                    self.count(MOVES, 1);
                }
            }
            // As the leader it carried nobody else's new ids.
            Behaviour::Censor if leader == self.signer.public_key() => self.count(MOVES, 1),
            Behaviour::OmittingLeader => {
                let omitted = self.shared.leader().take_omitted();
                self.count(MOVES, omitted);
            }
            _ => {}
        }
    }

    /// What is due: entries of the log that were kept, messages and submissions that were delayed, volleys
    /// of own bundles.
    pub(super) fn attack_on_tick(&mut self) -> Result<(), StopReason> {
        if self.adversary.behaviour == Behaviour::Honest {
            return Ok(());
        }
        let moved = self.adversary.report_gathered(self.ticks, &mut self.context);
        self.count(MOVES, moved);
        for Held { lane, to, bytes } in self.adversary.messages.due(self.ticks) {
            self.send_at_once(lane, &to, bytes);
        }
        for submission in self.adversary.submissions.due(self.ticks) {
            self.admit(submission)?;
        }
        self.inject_on_tick();
        Ok(())
    }

    /// A partitioner's message: one half of the peers has it at once, the other one later. The halves
    /// take turns with bundles; with the log it is always the same one that comes first.
    pub(super) fn send_apart(&mut self, lane: Lane, to: &[SequencerIndex], bytes: Vec<u8>) {
        let turn = match lane {
            Lane::Logs => 0,
            Lane::Bundles => {
                self.adversary.turns += 1;
                self.adversary.turns
            }
            Lane::Shares => return self.send_at_once(lane, to, bytes),
        };
        let (first, later) = halves(to, turn);
        self.send_at_once(lane, &first, bytes.clone());
        if !later.is_empty() {
            self.count(MOVES, 1);
            self.send_later(Held { lane, to: later, bytes }, APART_TICKS);
        }
    }

    /// Sends a message so many ticks later, or at once if too many wait.
    pub(super) fn send_later(&mut self, message: Held, after_ticks: u64) {
        let now = match after_ticks {
            0 => Some(message),
            _ => self.adversary.messages.defer(self.ticks + after_ticks, message),
        };
        if let Some(Held { lane, to, bytes }) = now {
            self.send_at_once(lane, &to, bytes);
        }
    }

    /// A false witness's answer to who joins is another one.
    pub(super) fn testified(&mut self, mut answer: OpeningMessage) -> OpeningMessage {
        if self.adversary.behaviour != Behaviour::FalseWitness {
            return answer;
        }
        self.count(MOVES, 1);
        let turned = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 1);
        match &mut answer {
            OpeningMessage::Boundary(BoundaryMessage::Root(named)) => {
                named.root = hash(Tag::EvidenceFile, &[named.root.as_bytes()]);
            }
            OpeningMessage::Boundary(
                BoundaryMessage::ManifestPart(part) | BoundaryMessage::ChunkPart(part),
            ) => turned(&mut part.bytes),
            OpeningMessage::Feed(FeedMessage::Entries(said)) => {
                said.entries.iter_mut().for_each(turned);
            }
            OpeningMessage::Feed(FeedMessage::Announced(said)) => turned(&mut said.definition),
            _ => {}
        }
        answer
    }

    fn phantom(&mut self, seed: &[u8]) {
        let id = BundleId::from_bytes(hash(Tag::EvidenceFile, &[seed]).to_bytes());
        let receipt = fairveil_mempool::ReceiptBody {
            network_id: self.config.network_id,
            epoch: self.config.committee.epoch(),
            id,
            place: fairveil_mempool::Place::Position(0),
            height: self.chain.tip().height,
            time_ms: self.now_ms(),
        };
        self.entries.push(fairveil_mempool::pool::LogEntry { position: 0, id, receipt });
    }

    /// An equivocator's second version of a piece: the same length, other entries.
    pub(super) fn forked(&self, from: u64, head: &LogHead, ids: &[BundleId]) -> Option<LogMessage> {
        if self.adversary.behaviour != Behaviour::Equivocator || ids.is_empty() {
            return None;
        }
        let mut ids = ids.to_vec();
        match ids.as_mut_slice() {
            [only] => {
                *only = BundleId::from_bytes(hash(Tag::EvidenceFile, &[only.as_bytes()]).to_bytes())
            }
            several => several.reverse(),
        }
        let tip = self.shared.read().logs.tip_at(self.config.index, from)?.after_all(&ids);
        let (height, time) = (head.height_seen, head.time_ms);
        let head = LogHead::sign(self.log.name(), tip, height, time, &self.signer);
        Some(LogMessage::Piece { from, head, ids })
    }

    /// A bad sharer's share: its first point is another one, and it is signed all the same.
    pub(super) fn adversary_share(&mut self, order: &FinalOrder, share: OwnShare) -> OwnShare {
        if self.adversary.behaviour != Behaviour::BadSharer {
            return share;
        }
        self.count(MOVES, 1);
        let mut wrong = share.share().clone();
        if let Some(first) = wrong.points.first_mut() {
            *first = self.secrets.key_share.public_key_share().encode();
        }
        let index = wrong.index.to_be_bytes();
        let mut items: Vec<&[u8]> = vec![&index, wrong.batch.as_bytes()];
        items.extend(wrong.points.iter().map(|point| &point.as_bytes()[..]));
        items.extend([&wrong.challenge.as_bytes()[..], &wrong.response.as_bytes()[..]]);
        wrong.signature = self.signer.sign(Tag::ShareMessage, &items);
        OwnShare::restore(wrong, order, self.config.index).unwrap_or(share)
    }
}
