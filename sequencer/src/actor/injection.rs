//! The adversaries' own bundles. Nothing here happens in an honest sequencer.
//!
//! Whoever pays may seal bundles; what breaks the protocol is to whom these go, when, and what waits for
//! them. An adversary pays like anyone else ([`crate::attacker`]).

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{
    SequencerIndex,
    envelope::{ParsedBundle, SealedBundle, VerifiedBundle},
    seal::SealRandomness,
};
use fairveil_mempool::{
    Bundle, BundleMessage, Bytes, Leg, Policy, SealTerms,
    limits::LAST_REPORT_HEIGHTS,
    pool::{Input, RequestId},
    seal_bundle,
};
use rand_core_10::CryptoRng;

use super::{Actor, Lane, StopReason, attack::MOVES};
use crate::{
    adversary::{Held, Shot, conflict, cycle, next_cycle},
    behaviour::Behaviour,
};

/// Heights for which an own bundle may be ordered.
const ATTACK_HEIGHTS: u64 = 512;
/// Ticks for which a racer keeps what a trader submitted.
const RACE_TICKS: u64 = 4;
/// How often an id grinder seals a bundle; the smallest id of them counts.
const GRINDING_TRIES: usize = 24;
/// Ticks between two rounds of a spammer.
const SPAM_TICKS: u64 = 16;
/// Bytes of noise in a message of a spammer.
const NOISE_BYTES: usize = 96;
/// Ticks between two volleys of a splitter.
const SPLIT_TICKS: u64 = 20;
/// A splitter's expiring bundle has from 0 to 5 heights left in which it may be reported first.
const SPARE_HEIGHTS: u64 = 6;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Bundles came in. A front-runner and an id grinder answer each foreign one with one of their own;
    /// around foreign ones is where a cycle is worth its fees.
    pub(super) fn attack_on_arrival(
        &mut self,
        bundles: &[VerifiedBundle],
    ) -> Result<(), StopReason> {
        let behaviour = self.adversary.behaviour;
        if behaviour == Behaviour::Honest {
            return Ok(());
        }
        for victim in bundles {
            if self.adversary.is_paid_by_one(victim) {
                continue;
            }
            let own = match behaviour {
                Behaviour::FrontRunner => {
                    self.try_to_read(|reader| reader.victim(victim));
                    self.own_bundle()
                }
                Behaviour::IdGrinder => self.ground_bundle(),
                Behaviour::Condorcet { bundles } => return self.attack_in_a_cycle(bundles),
                _ => return Ok(()),
            };
            if let Some(own) = own {
                self.adversary.made_for(own.id(), victim.id());
                self.submit_own(&own, Vec::new())?;
            }
        }
        Ok(())
    }

    /// A trader submitted something. A racer lets it wait for its own bundle.
    pub(super) fn submitted(&mut self, submission: Input) -> Result<(), StopReason> {
        if self.adversary.behaviour != Behaviour::Racer {
            return self.admit(submission);
        }
        let Input::Submitted { bytes, .. } = &submission else { return self.admit(submission) };
        let victim = ParsedBundle::decode(bytes).ok().map(|parsed| parsed.id());
        let Some(victim) = victim.filter(|id| self.pool.bundle(id).is_none()) else {
            return self.admit(submission);
        };
        if let Some(own) = self.own_bundle() {
            self.adversary.made_for(own.id(), victim);
            self.count(MOVES, 1);
            self.submit_own(&own, Vec::new())?;
        }
        let due = self.ticks + RACE_TICKS;
        let refused = self.adversary.submissions.defer(due, submission);
        refused.map_or(Ok(()), |submission| self.admit(submission))
    }

    /// Volleys that nothing but time provokes.
    pub(super) fn inject_on_tick(&mut self) {
        let due = |ticks: u64| self.ticks.is_multiple_of(ticks);
        match self.adversary.behaviour {
            Behaviour::Spammer if due(SPAM_TICKS) => self.spam(),
            Behaviour::Splitter if due(SPLIT_TICKS) => self.split(),
            _ => {}
        }
    }

    /// Rotated orders of new own bundles for the others; the own log has them unrotated.
    fn attack_in_a_cycle(&mut self, bundles: u16) -> Result<(), StopReason> {
        if self.ticks < self.adversary.next_cycle {
            return Ok(());
        }
        self.adversary.next_cycle = next_cycle(self.ticks, bundles);
        let sealed: Vec<_> = (0..bundles).filter_map(|_| self.own_bundle()).collect();
        sealed.iter().for_each(|own| self.adversary.made(own.id()));
        let peers = self.peers();
        self.fire(&sealed, cycle(sealed.len(), &peers));
        sealed.iter().try_for_each(|own| self.submit_own(own, peers.clone()))
    }

    /// Conflicting bundles, and one that soon expires, to other peers each; it keeps none.
    fn split(&mut self) {
        let volley = self.next_turn();
        let peers = self.peers();
        let payer_nonce = self.next_nonce();
        let sealed: Vec<_> =
            peers.iter().filter_map(|_| self.seal(payer_nonce, ATTACK_HEIGHTS)).collect();
        let edge = self.config.fairness.thresholds().edge;
        self.fire(&sealed, conflict(volley, edge.into(), &peers));
        let (payer_nonce, reach) = (self.next_nonce(), 1 + usize::from(volley.is_multiple_of(3)));
        let expiring = self.seal(payer_nonce, LAST_REPORT_HEIGHTS + volley % SPARE_HEIGHTS);
        let to = peers.iter().cycle().skip((volley % 7) as usize).take(reach);
        let shots = to.map(|to| Shot { bundle: 0, to: *to, after_ticks: 0 }).collect();
        self.fire(expiring.as_slice(), shots);
    }

    /// To every peer other junk: a bundle that nobody else gets, an altered one, noise on each channel
    /// in turn.
    fn spam(&mut self) {
        let lanes = [Lane::Bundles, Lane::Logs, Lane::Shares];
        let lane = lanes[(self.next_turn() % 3) as usize];
        for peer in self.peers() {
            let (Some(own), Some(other)) = (self.own_bundle(), self.own_bundle()) else { continue };
            let mut altered = other.encode();
            let at = self.context.next_u64() % altered.len() as u64;
            altered[at as usize] ^= 1;
            let mut noise = vec![0; NOISE_BYTES];
            self.context.fill_bytes(&mut noise);
            let relay = |bytes| BundleMessage::Relay(bytes).encode();
            self.send(Lane::Bundles, &[peer], relay(own.encode()));
            self.send(Lane::Bundles, &[peer], relay(altered));
            self.send(lane, &[peer], noise);
            self.count(MOVES, 3);
        }
    }

    /// Sends own bundles to those whom the shots name.
    fn fire(&mut self, sealed: &[SealedBundle], shots: Vec<Shot>) {
        for Shot { bundle, to, after_ticks } in shots {
            let Some(own) = sealed.get(bundle) else { continue };
            let bytes = BundleMessage::Relay(own.encode()).encode();
            let message = Held { lane: Lane::Bundles, to: vec![to], bytes };
            self.count(MOVES, 1);
            self.send_later(message, after_ticks);
        }
    }

    /// Hands an own bundle to the pool, as a trader who addressed these peers too.
    fn submit_own(
        &mut self,
        own: &SealedBundle,
        addressed: Vec<SequencerIndex>,
    ) -> Result<(), StopReason> {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        self.admit(Input::Submitted { request, address, addressed, bytes: own.encode() })
    }

    /// The own bundle with the smallest id of a few: ties are not decided by ids, but it doesn't know.
    fn ground_bundle(&mut self) -> Option<SealedBundle> {
        let payer_nonce = self.next_nonce();
        let tries = (0..GRINDING_TRIES).filter_map(|_| self.seal(payer_nonce, ATTACK_HEIGHTS));
        let smallest = tries.min_by_key(SealedBundle::id);
        self.count(MOVES, 1);
        smallest
    }

    /// A new bundle of its own.
    fn own_bundle(&mut self) -> Option<SealedBundle> {
        let payer_nonce = self.next_nonce();
        self.seal(payer_nonce, ATTACK_HEIGHTS)
    }

    /// It can't know what to copy: it seals a transaction of no meaning to the first rollup.
    fn seal(&mut self, payer_nonce: u64, window: u64) -> Option<SealedBundle> {
        let payer = self.adversary.payer.as_ref()?;
        let mut uniform = [0; SealRandomness::UNIFORM_BYTES];
        self.context.fill_bytes(&mut uniform);
        let randomness = SealRandomness::from_uniform(&uniform).ok()?;
        let height = self.chain.tip().height;
        let terms = SealTerms {
            network_id: self.config.network_id,
            valid_from: height,
            expires_at: height.saturating_add(window),
            payer_nonce,
            class: None,
        };
        let chain_id = self.config.registry.rollups().first()?.chain_id;
        let leg = Leg { chain_id, transactions: vec![Bytes::from_static(&[2, 0xc0])] };
        let bundle = Bundle::new(Policy::Include, vec![leg]).ok()?;
        seal_bundle(self.config.committee.key(), &terms, payer, &bundle, randomness).ok()
    }

    fn next_nonce(&mut self) -> u64 {
        let nonce = self.adversary.next_nonce;
        self.adversary.next_nonce += 1;
        nonce
    }

    fn next_turn(&mut self) -> u64 {
        let turn = self.adversary.turns;
        self.adversary.turns += 1;
        turn
    }
}
