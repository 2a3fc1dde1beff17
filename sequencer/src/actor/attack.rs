//! The adversaries' moves. Nothing here happens in an honest sequencer.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{
    BundleId, ConsensusPublicKey, Height,
    certificate::FinalOrder,
    domain::{Tag, hash},
    envelope::{SealedBundle, VerifiedBundle},
    seal::SealRandomness,
};
use fairveil_mempool::{
    Bundle, Bytes, Leg, Policy, SealTerms,
    pool::{Input, RequestId},
    seal_bundle,
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
    adversary::{MAX_READ, Reader, Try},
    behaviour::Behaviour,
    logs::LogMessage,
};

/// Heights for which an attacking bundle may be ordered.
const ATTACK_HEIGHTS: u64 = 512;
/// Counter of what an adversary did that an honest sequencer never does.
pub(super) const MOVES: &str = "adversary_moves";
/// Ticks for which a reversing sequencer gathers entries before it turns them around.
const GATHERING_TICKS: u64 = 4;
/// Invented ids a phantom reporter puts into its log at a time, and all in all.
const PHANTOMS: u64 = 1;
const MAX_PHANTOMS: u64 = 512;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// A front-runner answers every foreign bundle with one of its own.
    pub(super) fn attack_on_arrival(
        &mut self,
        bundles: &[VerifiedBundle],
    ) -> Result<(), StopReason> {
        if self.adversary.behaviour != Behaviour::FrontRunner {
            return Ok(());
        }
        for victim in bundles {
            if self.adversary.owns(&victim.id()) {
                continue;
            }
            self.try_to_read(|reader| reader.victim(victim));
            let Some(sealed) = self.attacking_bundle() else { continue };
            self.adversary.made(sealed.id(), victim.id());
            let request = RequestId(self.next_request);
            self.next_request += 1;
            let address = std::net::IpAddr::from([127, 0, 0, 1]);
            let (addressed, bytes) = (Vec::new(), sealed.encode());
            self.admit(Input::Submitted { request, address, addressed, bytes })?;
        }
        Ok(())
    }

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
    fn try_to_read(&mut self, news: impl FnOnce(&mut Reader) -> Vec<Try>) {
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

    /// It can't know what to copy: it seals a transaction of no meaning to the first rollup.
    fn attacking_bundle(&mut self) -> Option<SealedBundle> {
        let payer = self.adversary.payer.as_ref()?;
        let mut uniform = [0; SealRandomness::UNIFORM_BYTES];
        self.context.fill_bytes(&mut uniform);
        let randomness = SealRandomness::from_uniform(&uniform).ok()?;
        let height = self.chain.tip().height;
        let terms = SealTerms {
            network_id: self.config.network_id,
            valid_from: height,
            expires_at: height.saturating_add(ATTACK_HEIGHTS),
            payer_nonce: self.adversary.next_nonce,
            class: None,
        };
        let chain_id = self.config.registry.rollups().first()?.chain_id;
        let leg = Leg { chain_id, transactions: vec![Bytes::from_static(&[2, 0xc0])] };
        let bundle = Bundle::new(Policy::Include, vec![leg]).ok()?;
        let sealed =
            seal_bundle(self.config.committee.key(), &terms, payer, &bundle, randomness).ok()?;
        self.adversary.next_nonce += 1;
        Some(sealed)
    }

    /// A front-runner asks for shares of the next height, which is not final anywhere; a phantom
    /// reporter logs an id that nobody has.
    pub(super) fn attack_on_block(&mut self, height: Height, leader: ConsensusPublicKey) {
        match self.adversary.behaviour {
            Behaviour::FrontRunner => {
                let places = &self.places;
                self.adversary.reader.finalized(height, |id| places.contains_key(id));
                let peers = self.peers();
                let height = self.progress.finalized().max(height).saturating_add(2);
                let message = OpeningMessage::Share(ShareMessage::Request { height });
                self.adversary.report.requests += peers.len() as u64;
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
            _ => {}
        }
    }

    /// What a reversing sequencer gathered goes into its log, turned around.
    pub(super) fn attack_on_tick(&mut self) {
        if self.ticks.is_multiple_of(GATHERING_TICKS) {
            let moved = self.adversary.turn_around();
            self.count(MOVES, moved);
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
