//! Random inputs against all invariants at once.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::limits::RETAINED_HEIGHTS;

/// Bundles of few payers and nonces, so that they clash; with all kinds of windows.
static BUNDLES: LazyLock<Vec<SealedBundle>> = LazyLock::new(|| {
    let windows = [(0, 60), (0, 1_000), (12, 30), (25, 26), (40, 5_000)];
    let windows = windows.into_iter().cycle();
    let pairs = (1..5).flat_map(|payer| (0..6).map(move |nonce| (payer, nonce % 4)));
    pairs
        .zip(windows)
        .map(|((payer, nonce), (from, until))| Terms::new(payer, nonce).window(from, until).seal())
        .collect()
});

#[derive(Clone, Debug)]
enum Action {
    Submit { from: u8, bundle: Index, addressed: Vec<u16> },
    SubmitJunk { bundle: Index, at: Index, flip: u8 },
    Relay { from: u16, bundle: Index },
    RelayJunk { from: u16, bundle: Index, at: Index, flip: u8 },
    Announce { from: u16, bundles: Vec<Index> },
    Fetch { from: u16, bundles: Vec<Index> },
    Absent { from: u16, bundles: Vec<Index> },
    Needed { bundles: Vec<Index> },
    Block { skip: u64, duty: Vec<Index>, emitted: Vec<Index>, committed: bool, below: u32 },
    Lag { blocks: u64 },
    Connect { peer: u16 },
    Disconnect { peer: u16 },
    Wait { ms: u64 },
    FinishJobs,
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let some = || vec(any::<Index>(), 1..6);
    let none = || vec(any::<Index>(), 0..4);
    prop_oneof![
        8 => (1u8..4, any::<Index>(), vec(2u16..6, 0..3)).prop_map(|(from, bundle, addressed)| {
            Action::Submit { from, bundle, addressed }
        }),
        1 => (any::<Index>(), any::<Index>(), 1u8..)
            .prop_map(|(bundle, at, flip)| Action::SubmitJunk { bundle, at, flip }),
        6 => (2u16..6, any::<Index>()).prop_map(|(from, bundle)| Action::Relay { from, bundle }),
        1 => (2u16..6, any::<Index>(), any::<Index>(), 1u8..)
            .prop_map(|(from, bundle, at, flip)| Action::RelayJunk { from, bundle, at, flip }),
        3 => (2u16..6, some()).prop_map(|(from, bundles)| Action::Announce { from, bundles }),
        2 => (2u16..6, some()).prop_map(|(from, bundles)| Action::Fetch { from, bundles }),
        2 => (2u16..6, some()).prop_map(|(from, bundles)| Action::Absent { from, bundles }),
        2 => some().prop_map(|bundles| Action::Needed { bundles }),
        5 => (prop_oneof![8 => 1u64..6, 1 => 20u64..60, 1 => 900u64..2_000], none(), none(),
              any::<bool>(), 0u32..5)
            .prop_map(|(skip, duty, emitted, committed, below)| {
                Action::Block { skip, duty, emitted, committed, below }
            }),
        1 => prop_oneof![0u64..64, 65u64..100].prop_map(|blocks| Action::Lag { blocks }),
        2 => (2u16..6).prop_map(|peer| Action::Connect { peer }),
        1 => (2u16..6).prop_map(|peer| Action::Disconnect { peer }),
        3 => (1u64..3_000).prop_map(|ms| Action::Wait { ms }),
        6 => Just(Action::FinishJobs),
        1 => Just(Action::Restart),
    ]
}

fn limits() -> Limits {
    Limits {
        pool_bundles: 12,
        pool_bytes: 70_000,
        payer_bundles: 4,
        unsupported_ids: 6,
        duty_ids: 5,
        duty_bytes: 3_000,
        retained_ids: 20,
        consumed_nonces: 8,
        address_burst: 30,
        address_per_second: 10,
        payer_burst: 10,
        payer_per_second: 2,
        meters: 2,
        job_bundles: 3,
        jobs: 2,
        trader_queue_bundles: 6,
        peer_queue_bundles: 3,
        fetched_queue_bundles: 4,
        waiters: 3,
        announced_ids: 12,
        needed_ids: 4,
        needed_ms: 2_000,
        fetching_ids: 4,
        served_burst_bytes: 70_000,
        served_bytes_per_second: 2_000,
        ..Limits::DEFAULT
    }
}

/// A bench whose jobs come back later, in any number, next to a model of what must hold.
struct Run {
    bench: Bench,
    jobs: Vec<VerificationJob>,
    asked: BTreeSet<RequestId>,
    final_order: Vec<(EmittedBundle, u64)>,
    committed: u64,
    required: BTreeSet<BundleId>,
}

impl Run {
    fn new() -> Self {
        Self {
            bench: Bench::new(limits()),
            jobs: Vec::new(),
            asked: BTreeSet::new(),
            final_order: Vec::new(),
            committed: 0,
            required: BTreeSet::new(),
        }
    }

    fn give(&mut self, input: Input) {
        self.bench.note(&input);
        let first = self.bench.log.len();
        let outputs = self.bench.pool.handle(self.bench.now_ms, input);
        self.carry_out(outputs);
        for entry in &self.bench.log[first..] {
            self.judge_report(&entry.id);
        }
        self.check();
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Verify(job) => self.jobs.push(job),
                other => drop(self.bench.carry_out(other)),
            }
        }
    }

    /// Invariant 4, for what is reported by choice.
    fn judge_report(&self, id: &BundleId) {
        if self.required.contains(id) {
            return;
        }
        let header = *BUNDLES.iter().find(|bundle| bundle.id() == *id).unwrap().header();
        let height = self.bench.height;
        assert!(height + 1 >= header.valid_from.get(), "before its window");
        assert!(height + 8 <= header.expires_at.get(), "too late");
    }

    /// Invariants 3 and 6.
    fn check(&self) {
        let (pool, limits) = (&self.bench.pool, limits());
        let stats = pool.stats();
        assert!(stats.admitted <= limits.pool_bundles && stats.admitted_bytes <= limits.pool_bytes);
        assert!(stats.held <= (limits.pool_bundles as usize) + limits.duty_ids);
        let uncharged = pool.ids.held_bytes() - stats.admitted_bytes;
        assert!(uncharged <= limits.duty_bytes);
        assert!(stats.held_back as u64 <= stats.admitted);
        assert!(stats.duty <= limits.duty_ids);
        assert!(stats.asking <= 4 * limits.fetching_ids);
        let queued = limits.trader_queue_bundles + 4 * limits.peer_queue_bundles;
        let in_jobs = limits.jobs * limits.job_bundles;
        assert!(stats.verifying <= queued + limits.fetched_queue_bundles + in_jobs);
        let announced = 4 * limits.announced_ids;
        assert!(stats.wanted <= announced + limits.needed_ids + 2 * limits.duty_ids);
        assert!(self.jobs.len() <= limits.jobs);
        assert!(self.jobs.iter().all(|job| (1..=limits.job_bundles).contains(&job.len())));
        assert!(pool.consumed.len() <= limits.consumed_nonces);
        assert_eq!(pool.consumed.len(), pool.consumed_at.len());
        assert!(pool.announcements.is_empty());
        for id in pool.duty.keys() {
            assert!(!self.bench.stored.contains_key(id), "held, but not reported");
        }
        for (_, _, id) in &pool.waiting {
            assert!(pool.ids.held(id).is_some_and(|held| held.charged.is_some()));
        }
        for id in pool.ready.values() {
            assert!(pool.ids.held(id).is_some_and(|held| held.charged.is_some()));
        }
    }

    fn act(&mut self, action: Action) {
        let id = |index: &Index| index.get(&BUNDLES).id();
        let ids = |indices: &[Index]| indices.iter().map(id).collect::<Vec<_>>();
        let mutated = |bundle: &Index, at: &Index, flip: u8| {
            let mut bytes = bundle.get(&BUNDLES).encode();
            let position = at.index(bytes.len());
            bytes[position] ^= flip;
            bytes
        };
        match action {
            Action::Submit { from, bundle, addressed } => {
                let addressed = addressed.into_iter().map(peer).collect();
                self.submit(from, bundle.get(&BUNDLES).encode(), addressed);
            }
            Action::SubmitJunk { bundle, at, flip } => {
                self.submit(1, mutated(&bundle, &at, flip), Vec::new());
            }
            Action::Relay { from, bundle } => {
                self.receive(from, BundleMessage::Relay(bundle.get(&BUNDLES).encode()));
            }
            Action::RelayJunk { from, bundle, at, flip } => {
                self.receive(from, BundleMessage::Relay(mutated(&bundle, &at, flip)));
            }
            Action::Announce { from, bundles } => {
                self.receive(from, BundleMessage::Announce(ids(&bundles)));
            }
            Action::Fetch { from, bundles } => {
                self.receive(from, BundleMessage::Fetch(ids(&bundles)));
            }
            Action::Absent { from, bundles } => {
                self.receive(from, BundleMessage::Absent(ids(&bundles)));
            }
            Action::Needed { bundles } => self.give(Input::Needed { ids: ids(&bundles) }),
            Action::Block { skip, duty, emitted, committed, below } => {
                self.block(skip, ids(&duty), &emitted, committed, below);
            }
            Action::Lag { blocks } => self.give(Input::Lagging { blocks }),
            Action::Connect { peer: number } => {
                self.give(Input::PeerConnected { peer: peer(number) });
            }
            Action::Disconnect { peer: number } => {
                self.give(Input::PeerDisconnected { peer: peer(number) });
            }
            Action::Wait { ms } => {
                self.bench.now_ms += ms;
                self.give(Input::Tick);
            }
            Action::FinishJobs => {
                while let Some(job) = self.jobs.pop() {
                    self.give(Input::Verified(job.run_inline()));
                }
            }
            Action::Restart => self.restart(),
        }
    }

    fn submit(&mut self, from: u8, bytes: Vec<u8>, addressed: Vec<SequencerIndex>) {
        let request = RequestId(self.bench.next_request);
        self.bench.next_request += 1;
        self.asked.insert(request);
        let address = address(from);
        self.give(Input::Submitted { request, address, addressed, bytes });
    }

    fn receive(&mut self, from: u16, message: BundleMessage) {
        if !self.bench.connected.contains(&peer(from)) {
            return;
        }
        if let BundleMessage::Relay(bytes) = &message
            && let Ok(parsed) = ParsedBundle::decode(bytes)
        {
            self.bench.relayed.insert((peer(from), parsed.id()));
        }
        self.give(Input::Received { peer: peer(from), message });
    }

    fn block(
        &mut self,
        skip: u64,
        duty: Vec<BundleId>,
        emitted_now: &[Index],
        committed: bool,
        below_edge: u32,
    ) {
        self.bench.height += skip;
        if committed {
            self.committed = self.bench.log.len() as u64;
        }
        let mut out = Vec::new();
        for index in emitted_now {
            let bundle = emitted(index.get(&BUNDLES));
            let new = !self.bench.is_final(&bundle.id)
                && !out.contains(&bundle)
                && bundle.expires_at.get() + 40 >= self.bench.height;
            if new {
                self.final_order.push((bundle, self.bench.height));
                out.push(bundle);
            }
        }
        // The order forgets ids whose windows have closed.
        let alive = |id: &BundleId| {
            let bundle = BUNDLES.iter().find(|bundle| bundle.id() == *id).unwrap();
            self.bench.height <= bundle.header().expires_at.get() + RETAINED_HEIGHTS
        };
        let duty: Vec<BundleId> = duty.into_iter().filter(alive).collect();
        self.required.extend(&duty);
        self.required.extend(out.iter().map(|bundle| bundle.id));
        let height = Height::new(self.bench.height);
        let (emitted, committed, balances) = (out, self.committed, Vec::new());
        let block = FinalizedBlock { height, duty, emitted, committed, below_edge, balances };
        self.give(Input::Finalized(block));
    }

    /// kill -9 and start: requests and jobs are gone, what was stored is there.
    fn restart(&mut self) {
        self.jobs.clear();
        self.asked.clear();
        let bench = &self.bench;
        let mut bundles: Vec<RestoredBundle> = bench
            .stored
            .values()
            .map(|stored| RestoredBundle {
                receipt: bench.receipts.get(&stored.id).copied(),
                stored: stored.clone(),
            })
            .collect();
        bundles.sort_by_key(|bundle| bundle.stored.acceptance);
        let restored = Restored {
            height: Height::new(bench.height),
            bundles,
            log: bench.log.clone(),
            log_length: bench.log.len() as u64,
            committed: self.committed,
            below_edge: 0,
            emitted: self
                .final_order
                .iter()
                .filter(|(bundle, _)| bundle.expires_at.get() + 2_000 >= bench.height)
                .map(|(bundle, at)| (*bundle, Height::new(*at)))
                .collect(),
            balances: Vec::new(),
            first: Vec::new(),
            duty: Vec::new(),
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let now_ms = self.bench.now_ms;
        let (pool, outputs) = Pool::restore(config(limits()), restored, now_ms, &threads).unwrap();
        self.bench.pool = pool;
        self.bench.connected.clear();
        let first = self.bench.log.len();
        self.carry_out(outputs);
        for entry in &self.bench.log[first..] {
            self.judge_report(&entry.id);
        }
        self.check();
        self.judge_promises();
    }

    /// Whoever has a receipt for a bundle that is not in the log yet is still in line for it.
    fn judge_promises(&self) {
        let logged = self.bench.logged();
        for (id, receipt) in &self.bench.receipts {
            let header = *BUNDLES.iter().find(|bundle| bundle.id() == *id).unwrap().header();
            let open = self.bench.height <= header.expires_at.get();
            if receipt.place == Place::Held
                && open
                && !logged.contains(id)
                && !self.bench.is_final(id)
            {
                assert!(self.bench.pool.ids.held(id).is_some_and(|held| held.charged.is_some()));
            }
        }
    }
}

proptest! {
    #[test]
    fn invariants_hold_whatever_happens(actions in vec(action(), 1..120)) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
        }
        while let Some(job) = run.jobs.pop() {
            run.give(Input::Verified(job.run_inline()));
        }
        // Every request was answered, once.
        for request in &run.asked {
            prop_assert!(run.bench.replies.contains_key(request));
        }
        prop_assert_eq!(run.bench.pool.stats().verifying, 0);
    }

    #[test]
    fn invariant_8_the_same_inputs_give_the_same_outputs(actions in vec(action(), 1..60)) {
        let outputs = [(), ()].map(|()| {
            let mut run = Run::new();
            actions.iter().for_each(|action| run.act(action.clone()));
            format!("{:?} {:?} {:?}", run.bench.sent, run.bench.log, run.bench.replies)
        });
        prop_assert_eq!(&outputs[0], &outputs[1]);
    }
}
