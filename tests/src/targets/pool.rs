//! The pool, driven by bytes, next to a model of what its module promises.
//!
//! | byte | input |
//! |---|---|
//! | 0 | a trader submits one of the bundles, perhaps damaged |
//! | 1 | a peer relays one, perhaps damaged |
//! | 2, 3, 4 | a peer announces, asks for, or does not have some ids |
//! | 5 | a message as bytes |
//! | 6 | a proposal needs some ids |
//! | 7 | a final block |
//! | 8 | the opening lags |
//! | 9, 10 | a peer comes or goes |
//! | 11 | time passes |
//! | 12 | the jobs that wait are done |
//! | 13 | the process dies and starts again |

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use fairveil_crypto::envelope::{ParsedBundle, VerifiedBundle};
use fairveil_crypto::{BundleId, Height, SequencerIndex};
use fairveil_mempool::limits::RETAINED_HEIGHTS;
use fairveil_mempool::pool::{
    EmittedBundle, FinalizedBlock, Input, LogEntry, Output, PoolConfig, Reply, RequestId, Restored,
    RestoredBundle, StoredBundle, VerificationJob,
};
use fairveil_mempool::{BundleMessage, Limits, Pool, ReceiptBody};

use super::choices::Choices;
use super::world::{EPOCH, MEMBERS, POOL, WORLD, bundle, index, leg};
use super::{MAX_STEPS, Verdict};

/// Bundles of few payers and nonces, so that they clash; with all kinds of windows.
static BUNDLES: LazyLock<Vec<VerifiedBundle>> = LazyLock::new(|| {
    let windows = [[0, 60], [0, 1_000], [12, 30], [25, 26], [40, 5_000]];
    let pairs = (1..4).flat_map(|payer| (0..4).map(move |nonce| (payer, nonce % 3)));
    let clear = bundle(vec![leg(901, &[0])]);
    let seal = |((payer, nonce), window)| WORLD.seal(payer, nonce, window, &clear);
    pairs.zip(windows.into_iter().cycle()).map(seal).collect()
});

const fn limits() -> Limits {
    Limits {
        pool_bundles: 6,
        pool_bytes: 70_000,
        payer_bundles: 3,
        unsupported_ids: 4,
        duty_ids: 3,
        duty_bytes: 2_000,
        retained_ids: 12,
        consumed_nonces: 5,
        address_burst: 20,
        address_per_second: 10,
        payer_burst: 6,
        payer_per_second: 2,
        meters: 2,
        job_bundles: 2,
        jobs: 2,
        trader_queue_bundles: 4,
        peer_queue_bundles: 2,
        fetched_queue_bundles: 3,
        waiters: 2,
        announced_ids: 6,
        needed_ids: 3,
        needed_ms: 2_000,
        fetching_ids: 3,
        served_burst_bytes: 70_000,
        served_bytes_per_second: 2_000,
        ..Limits::DEFAULT
    }
}

const _: () = assert!(limits().fault().is_none());

fn config() -> PoolConfig {
    PoolConfig {
        network_id: WORLD.network_id(),
        epoch: EPOCH,
        sequencer: index(1),
        members: MEMBERS,
        key: WORLD.dealt.committee.key().clone(),
        older_key: None,
        limits: limits(),
        funds: None,
    }
}

/// A pool whose jobs come back later, with everything that it did.
struct Run {
    pool: Pool,
    now_ms: u64,
    height: u64,
    requests: u64,
    asked: BTreeSet<RequestId>,
    jobs: Vec<VerificationJob>,
    connected: BTreeSet<SequencerIndex>,
    stored: BTreeMap<BundleId, StoredBundle>,
    receipts: BTreeMap<BundleId, ReceiptBody>,
    log: Vec<LogEntry>,
    committed: u64,
    emitted: Vec<(EmittedBundle, Height)>,
    was_held: bool,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let mut run = Run::new();
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    run.finish_jobs();
    assert!(run.asked.is_empty(), "a request was not answered");
    assert_eq!(run.pool.stats().verifying, 0);
    Verdict::of(run.was_held)
}

impl Run {
    fn new() -> Self {
        Self {
            pool: Pool::new(config()).expect("limits without a fault"),
            now_ms: 1_000_000,
            height: 0,
            requests: 0,
            asked: BTreeSet::new(),
            jobs: Vec::new(),
            connected: BTreeSet::new(),
            stored: BTreeMap::new(),
            receipts: BTreeMap::new(),
            log: Vec::new(),
            committed: 0,
            emitted: Vec::new(),
            was_held: false,
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(14) {
            0 => self.submit(choices),
            1 => self.receive(choices, |choices| BundleMessage::Relay(sealed(choices))),
            2 => self.receive(choices, |choices| BundleMessage::Announce(some_ids(choices))),
            3 => self.receive(choices, |choices| BundleMessage::Fetch(some_ids(choices))),
            4 => self.receive(choices, |choices| BundleMessage::Absent(some_ids(choices))),
            5 => {
                let peer = peer(choices);
                if let Ok(message) = BundleMessage::decode(choices.bytes())
                    && self.connected.contains(&peer)
                {
                    self.give(Input::Received { peer, message });
                }
            }
            6 => self.give(Input::Needed { ids: some_ids(choices) }),
            7 => self.finalize(choices),
            8 => self.give(Input::Lagging { blocks: u64::from(choices.byte()) }),
            9 => {
                let peer = peer(choices);
                self.connected.insert(peer);
                self.give(Input::PeerConnected { peer });
            }
            10 => {
                let peer = peer(choices);
                self.connected.remove(&peer);
                self.give(Input::PeerDisconnected { peer });
            }
            11 => {
                self.now_ms += choices.number();
                self.give(Input::Tick);
            }
            12 => self.finish_jobs(),
            _ => self.restart(),
        }
    }

    fn submit(&mut self, choices: &mut Choices<'_>) {
        let request = RequestId(self.requests);
        self.requests += 1;
        self.asked.insert(request);
        let address = IpAddr::from([10, 0, 0, choices.byte() % 3]);
        let addressed = choices.some(&[index(2), index(3), index(1)]);
        let bytes = sealed(choices);
        self.give(Input::Submitted { request, address, addressed, bytes });
    }

    fn receive(
        &mut self,
        choices: &mut Choices<'_>,
        message: impl FnOnce(&mut Choices<'_>) -> BundleMessage,
    ) {
        let peer = peer(choices);
        let message = message(choices);
        // What arrives was decoded, and from a peer that is there.
        if self.connected.contains(&peer) && BundleMessage::decode(&message.encode()).is_ok() {
            self.give(Input::Received { peer, message });
        }
    }

    fn finalize(&mut self, choices: &mut Choices<'_>) {
        self.height += [1, 1, 2, 5, 40, 1_000][choices.below(6)];
        if choices.byte().is_multiple_of(2) {
            self.committed = self.log.len() as u64;
        }
        let height = Height::new(self.height);
        let mut emitted = Vec::new();
        for bundle in choices.some(&BUNDLES) {
            let header = bundle.header();
            let emitted_before = self.emitted.iter().any(|(known, _)| known.id == bundle.id());
            if !emitted_before && header.expires_at.saturating_add(40) >= height {
                let (expires_at, payer) = (header.expires_at, header.payer);
                let payer_nonce = header.payer_nonce;
                let one = EmittedBundle { id: bundle.id(), expires_at, payer, payer_nonce };
                self.emitted.push((one, height));
                emitted.push(one);
            }
        }
        // The order forgets ids whose windows have closed.
        let mut duty = choices.some(&BUNDLES);
        duty.retain(|one| height <= one.header().expires_at.saturating_add(RETAINED_HEIGHTS));
        let duty = duty.iter().map(VerifiedBundle::id).collect();
        let committed = self.committed;
        let below_edge = u32::from(choices.byte() % 5);
        self.give(Input::Finalized(FinalizedBlock {
            height,
            duty,
            emitted,
            committed,
            below_edge,
            balances: Vec::new(),
        }));
    }

    fn finish_jobs(&mut self) {
        while let Some(job) = self.jobs.pop() {
            self.give(Input::Verified(job.run_inline()));
        }
    }

    /// Requests and jobs are gone, what was stored is there.
    fn restart(&mut self) {
        self.jobs.clear();
        self.asked.clear();
        self.connected.clear();
        let stored = self.stored.values().cloned();
        let mut bundles: Vec<RestoredBundle> = stored
            .map(|stored| RestoredBundle {
                receipt: self.receipts.get(&stored.id).copied(),
                stored,
            })
            .collect();
        bundles.sort_by_key(|bundle| bundle.stored.acceptance);
        let restored = Restored {
            height: Height::new(self.height),
            bundles,
            log: self.log.clone(),
            log_length: self.log.len() as u64,
            committed: self.committed,
            below_edge: 0,
            emitted: self.emitted.clone(),
            first: Vec::new(),
            duty: Vec::new(),
            balances: Vec::new(),
        };
        let (pool, outputs) =
            Pool::restore(config(), restored, self.now_ms, &POOL).expect("its own store");
        self.pool = pool;
        outputs.into_iter().for_each(|output| self.carry_out(output));
        self.check();
    }

    fn give(&mut self, input: Input) {
        let outputs = self.pool.handle(self.now_ms, input);
        outputs.into_iter().for_each(|output| self.carry_out(output));
        self.check();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Verify(job) => self.jobs.push(job),
            Output::Reply { request, reply } => {
                assert!(self.asked.remove(&request), "answered twice");
                if let Reply::Receipt(body) = reply {
                    assert_eq!(self.receipts.get(&body.id), Some(&body), "invariant 5");
                }
            }
            Output::Send { to, message } => {
                assert!(!to.is_empty() && to.iter().all(|peer| self.connected.contains(peer)));
                assert_eq!(BundleMessage::decode(&message.encode()), Ok(message));
            }
            Output::Serve { to, id } => {
                assert!(self.connected.contains(&to) && self.stored.contains_key(&id));
            }
            Output::ServeOld { to, ids } => {
                assert!(self.connected.contains(&to) && !ids.is_empty());
            }
            Output::Persist(stored) => self.persist(stored),
            Output::PersistReceipt(body) => self.keep_receipt(body),
            Output::Append(entry) => self.append(entry),
            Output::Held { id, bundle } => {
                assert!(bundle.id() == id && self.stored.contains_key(&id));
                self.was_held = true;
            }
            Output::Archive { id } => {
                assert!(self.stored.remove(&id).is_some());
                if self.log.iter().all(|entry| entry.id != id) {
                    self.receipts.remove(&id);
                }
            }
            Output::Fault { fault, .. } => assert!(fault.is_intrinsic()),
        }
    }

    fn persist(&mut self, stored: StoredBundle) {
        let parsed = ParsedBundle::decode(&stored.sealed).expect("only valid bundles are held");
        let known = BUNDLES.iter().any(|bundle| bundle.id() == stored.id);
        assert!(known && parsed.id() == stored.id, "invariant 1");
        self.stored.insert(stored.id, stored);
    }

    fn keep_receipt(&mut self, body: ReceiptBody) {
        assert_eq!(*self.receipts.entry(body.id).or_insert(body), body, "invariant 5");
    }

    fn append(&mut self, entry: LogEntry) {
        assert!(self.stored.contains_key(&entry.id), "invariant 1");
        assert!(self.log.iter().all(|other| other.id != entry.id), "invariant 2");
        assert_eq!(entry.position, self.log.len() as u64, "invariant 2");
        assert_eq!(entry.receipt.id, entry.id);
        self.keep_receipt(entry.receipt);
        self.log.push(entry);
    }

    /// Invariant 6, as far as it is visible from outside.
    fn check(&self) {
        let (stats, limits, peers) = (self.pool.stats(), limits(), usize::from(MEMBERS) - 1);
        assert!(stats.admitted <= limits.pool_bundles && stats.admitted_bytes <= limits.pool_bytes);
        assert!(stats.held <= limits.pool_bundles as usize + limits.duty_ids);
        assert!(stats.held_back as u64 <= stats.admitted);
        assert!(stats.duty <= limits.duty_ids);
        assert!(stats.asking <= peers * limits.fetching_ids);
        let queued = limits.trader_queue_bundles + peers * limits.peer_queue_bundles;
        let in_jobs = limits.jobs * limits.job_bundles;
        assert!(stats.verifying <= queued + limits.fetched_queue_bundles + in_jobs);
        let announced = peers * limits.announced_ids;
        assert!(stats.wanted <= announced + limits.needed_ids + 2 * limits.duty_ids);
        assert!(self.jobs.len() <= limits.jobs);
        assert_eq!(stats.log_length, self.log.len() as u64);
    }
}

fn peer(choices: &mut Choices<'_>) -> SequencerIndex {
    *choices.pick(&[index(2), index(3), index(4), index(5)])
}

fn some_ids(choices: &mut Choices<'_>) -> Vec<BundleId> {
    choices.some(&BUNDLES).iter().map(VerifiedBundle::id).collect()
}

/// One of the bundles; every fourth is damaged.
fn sealed(choices: &mut Choices<'_>) -> Vec<u8> {
    let bytes = choices.pick(&BUNDLES).sealed().encode();
    if choices.byte() % 4 == 3 { choices.changed(&bytes) } else { bytes }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let submitted = [0, 0, 0, 0, 0, 12];
    let relayed = [9, 0, 1, 0, 5, 0, 12, 7, 0, 0, 1, 3, 1, 3, 0];
    let fetched = [9, 0, 9, 1, 2, 0, 2, 4, 5, 11, 1, 0, 1, 0, 4, 0, 12, 3, 1, 1, 4];
    let restarted = [0, 0, 0, 1, 0, 12, 7, 2, 1, 1, 1, 1, 1, 0, 13, 9, 2, 11, 9, 9];
    let damaged = [9, 0, 1, 0, 1, 3, 2, 0, 9, 1, 0, 9, 1, 0, 9, 1, 12, 0, 1, 0, 2, 0, 12];
    [&submitted[..], &relayed, &fetched, &restarted, &damaged].map(<[u8]>::to_vec).to_vec()
}
