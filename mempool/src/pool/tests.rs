#![allow(clippy::unwrap_used)]

mod admission;
mod duty;
mod funds;
mod random;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::{ParsedBundle, PayerSecret, SealedBundle};
use fairveil_crypto::point::Point;
use fairveil_crypto::seal::SealRandomness;

use super::*;
use crate::receipt::Place;
use crate::rejection::RejectionCode;
use crate::{Bundle, Leg, Policy, SealTerms, seal_bundle};

static KEY: LazyLock<CommitteeKey> = LazyLock::new(|| CommitteeKey::new(Point::generator()));

fn other_key() -> CommitteeKey {
    CommitteeKey::new(Point::second_generator())
}

fn network() -> NetworkId {
    NetworkId::from_bytes([9; 32])
}

fn peer(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

fn address(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

fn config(limits: Limits) -> PoolConfig {
    PoolConfig {
        network_id: network(),
        epoch: Epoch::new(1),
        sequencer: peer(1),
        members: 5,
        key: KEY.clone(),
        older_key: None,
        limits,
        funds: None,
    }
}

/// What a test bundle differs in.
#[derive(Clone, Copy)]
struct Terms {
    payer: u8,
    nonce: u64,
    valid_from: u64,
    expires_at: u64,
}

impl Terms {
    const fn new(payer: u8, nonce: u64) -> Self {
        Self { payer, nonce, valid_from: 0, expires_at: 1_000 }
    }

    const fn window(mut self, valid_from: u64, expires_at: u64) -> Self {
        (self.valid_from, self.expires_at) = (valid_from, expires_at);
        self
    }

    fn seal(self) -> SealedBundle {
        let transactions = vec![vec![2, self.payer, self.nonce as u8].into()];
        let bundle = Bundle::new(Policy::Include, vec![Leg { chain_id: 901, transactions }]);
        let terms = SealTerms {
            network_id: network(),
            valid_from: Height::new(self.valid_from),
            expires_at: Height::new(self.expires_at),
            payer_nonce: self.nonce,
            class: None,
        };
        let mut uniform = [self.payer; SealRandomness::UNIFORM_BYTES];
        uniform[..8].copy_from_slice(&self.nonce.to_be_bytes());
        uniform[8..16].copy_from_slice(&self.valid_from.to_be_bytes());
        uniform[40..48].copy_from_slice(&self.expires_at.to_be_bytes());
        let randomness = SealRandomness::from_uniform(&uniform).unwrap();
        seal_bundle(&KEY, &terms, &secret(self.payer), &bundle.unwrap(), randomness).unwrap()
    }
}

fn secret(payer: u8) -> PayerSecret {
    PayerSecret::from_bytes([payer; 32]).unwrap()
}

fn emitted(bundle: &SealedBundle) -> EmittedBundle {
    let header = bundle.header();
    EmittedBundle {
        id: bundle.id(),
        expires_at: header.expires_at,
        payer: header.payer,
        payer_nonce: header.payer_nonce,
    }
}

/// A pool whose jobs run at once, with everything it did, judged as it happens.
struct Bench {
    pool: Pool,
    now_ms: u64,
    height: u64,
    next_request: u64,
    replies: BTreeMap<RequestId, Reply>,
    sent: Vec<(SequencerIndex, BundleMessage)>,
    served: Vec<(SequencerIndex, BundleId)>,
    served_old: Vec<(SequencerIndex, Vec<BundleId>)>,
    log: Vec<LogEntry>,
    stored: BTreeMap<BundleId, StoredBundle>,
    receipts: BTreeMap<BundleId, ReceiptBody>,
    held: BTreeSet<BundleId>,
    faults: Vec<(SequencerIndex, Rejection)>,
    /// Peers and the ids that each was sent in full or by name.
    relayed: BTreeSet<(SequencerIndex, BundleId)>,
    connected: BTreeSet<SequencerIndex>,
    final_places: BTreeSet<BundleId>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self::of(Pool::new(config(limits)).unwrap())
    }

    fn of(pool: Pool) -> Self {
        Self {
            height: pool.height.get(),
            pool,
            now_ms: 1_000_000,
            next_request: 0,
            replies: BTreeMap::new(),
            sent: Vec::new(),
            served: Vec::new(),
            served_old: Vec::new(),
            log: Vec::new(),
            stored: BTreeMap::new(),
            receipts: BTreeMap::new(),
            held: BTreeSet::new(),
            faults: Vec::new(),
            relayed: BTreeSet::new(),
            connected: BTreeSet::new(),
            final_places: BTreeSet::new(),
        }
    }

    fn connected_to(mut self, peers: &[u16]) -> Self {
        for number in peers {
            self.give(Input::PeerConnected { peer: peer(*number) });
        }
        self.sent.clear();
        self
    }

    /// Hands an input in and runs all jobs that follow.
    fn give(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.note(&input);
            let outputs = self.pool.handle(self.now_ms, input);
            for output in outputs {
                if let Some(result) = self.carry_out(output) {
                    inputs.push(Input::Verified(result));
                }
            }
        }
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::PeerConnected { peer } => drop(self.connected.insert(*peer)),
            Input::PeerDisconnected { peer } => drop(self.connected.remove(peer)),
            Input::Finalized(block) => {
                self.final_places.extend(block.emitted.iter().map(|emitted| emitted.id));
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<VerificationResult> {
        match output {
            Output::Verify(job) => return Some(job.run_inline()),
            Output::Reply { request, reply } => {
                if let Reply::Receipt(body) = &reply {
                    // Invariant 5, and nothing is promised that is not stored.
                    assert!(self.stored.contains_key(&body.id) || self.is_final(&body.id));
                    assert_eq!(self.receipts.get(&body.id), Some(body));
                }
                assert!(self.replies.insert(request, reply).is_none(), "answered twice");
            }
            Output::Send { to, message } => {
                assert!(!to.is_empty() && BundleMessage::decode(&message.encode()).is_ok());
                for peer in to {
                    assert!(self.connected.contains(&peer));
                    self.note_sent(peer, &message);
                    self.sent.push((peer, message.clone()));
                }
            }
            Output::Serve { to, id } => {
                assert!(self.stored.contains_key(&id));
                self.served.push((to, id));
            }
            Output::Persist(stored) => {
                let sealed = SealedBundle::decode(&stored.sealed).unwrap();
                assert_eq!(sealed.id(), stored.id);
                let verifies = |key| sealed.verify(&network(), key).is_ok();
                assert!(verifies(&KEY) || verifies(&other_key()));
                self.stored.insert(stored.id, stored);
            }
            Output::PersistReceipt(body) => self.keep_receipt(body),
            Output::Append(entry) => self.append(entry),
            Output::Held { id, bundle } => {
                assert_eq!(bundle.id(), id);
                assert!(self.stored.contains_key(&id));
                self.held.insert(id);
            }
            Output::ServeOld { to, ids } => self.served_old.push((to, ids)),
            Output::Archive { id } => {
                assert!(self.stored.remove(&id).is_some());
                if !self.logged().contains(&id) {
                    self.receipts.remove(&id);
                }
            }
            Output::Fault { peer, fault } => {
                assert!(fault.is_intrinsic());
                self.faults.push((peer, fault));
            }
        }
        None
    }

    fn keep_receipt(&mut self, body: ReceiptBody) {
        assert_eq!(*self.receipts.entry(body.id).or_insert(body), body);
    }

    fn append(&mut self, entry: LogEntry) {
        // Invariants 1 and 2.
        assert!(self.stored.contains_key(&entry.id), "appended before it was stored");
        assert!(self.log.iter().all(|other| other.id != entry.id), "appended twice");
        if let Some(last) = self.log.last() {
            assert_eq!(entry.position, last.position + 1);
        }
        if !self.is_final(&entry.id) {
            for peer in &self.connected {
                assert!(self.relayed.contains(&(*peer, entry.id)), "not relayed to {peer}");
            }
        }
        assert_eq!(entry.receipt.id, entry.id);
        self.keep_receipt(entry.receipt);
        self.log.push(entry);
    }

    fn is_final(&self, id: &BundleId) -> bool {
        self.final_places.contains(id)
    }

    fn note_sent(&mut self, peer: SequencerIndex, message: &BundleMessage) {
        if let BundleMessage::Relay(bytes) = message {
            self.relayed.insert((peer, ParsedBundle::decode(bytes).unwrap().id()));
        }
        if let BundleMessage::Announce(ids) = message {
            self.relayed.extend(ids.iter().map(|id| (peer, *id)));
        }
    }

    fn submit_bytes(&mut self, from: u8, bytes: Vec<u8>) -> Option<Reply> {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let (address, addressed) = (address(from), Vec::new());
        self.give(Input::Submitted { request, address, addressed, bytes });
        self.replies.get(&request).cloned()
    }

    fn submit(&mut self, bundle: &SealedBundle) -> Reply {
        self.submit_bytes(1, bundle.encode()).expect("answered at once")
    }

    fn admitted(&mut self, bundle: &SealedBundle) -> ReceiptBody {
        match self.submit(bundle) {
            Reply::Receipt(body) => body,
            Reply::Rejected(rejection) => panic!("{rejection}"),
        }
    }

    fn rejected(&mut self, bundle: &SealedBundle) -> Rejection {
        match self.submit(bundle) {
            Reply::Rejected(rejection) => rejection,
            Reply::Receipt(body) => panic!("{body:?}"),
        }
    }

    fn receive(&mut self, from: u16, message: BundleMessage) {
        if let BundleMessage::Relay(bytes) = &message
            && let Ok(parsed) = ParsedBundle::decode(bytes)
        {
            // Who sends it needs no copy.
            self.relayed.insert((peer(from), parsed.id()));
        }
        self.give(Input::Received { peer: peer(from), message });
    }

    fn relay(&mut self, from: u16, bundle: &SealedBundle) {
        self.receive(from, BundleMessage::Relay(bundle.encode()));
    }

    /// The next block, or the one at `height`.
    fn finalize(&mut self, block: FinalizedBlock) {
        self.height =
            if block.height == Height::ZERO { self.height + 1 } else { block.height.get() };
        self.give(Input::Finalized(FinalizedBlock { height: Height::new(self.height), ..block }));
    }

    fn finalize_height(&mut self, height: u64) {
        let committed = self.log.last().map_or(0, |entry| entry.position + 1);
        let height = Height::new(height);
        self.finalize(FinalizedBlock { height, committed, ..FinalizedBlock::default() });
    }

    fn finalize_duty(&mut self, ids: &[BundleId]) {
        self.finalize(FinalizedBlock { duty: ids.to_vec(), ..FinalizedBlock::default() });
    }

    fn finalize_emitted(&mut self, bundles: &[&SealedBundle]) {
        let emitted = bundles.iter().map(|bundle| emitted(bundle)).collect();
        self.finalize(FinalizedBlock { emitted, ..FinalizedBlock::default() });
    }

    /// Lets time pass, with ticks when the pool wants them.
    fn wait(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(wake) = self.pool.wake_at_ms().filter(|wake| *wake <= end) {
            self.now_ms = self.now_ms.max(wake);
            self.give(Input::Tick);
        }
        self.now_ms = end;
    }

    fn logged(&self) -> Vec<BundleId> {
        self.log.iter().map(|entry| entry.id).collect()
    }

    /// Peers that were asked for an id, in order.
    fn asked(&self, id: &BundleId) -> Vec<u16> {
        let asks = |message: &BundleMessage| matches!(message, BundleMessage::Fetch(ids) if ids.contains(id));
        self.sent.iter().filter(|(_, message)| asks(message)).map(|(peer, _)| peer.get()).collect()
    }
}
