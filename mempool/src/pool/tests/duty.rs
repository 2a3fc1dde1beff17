use std::collections::VecDeque;

use super::*;
use crate::limits::{RETAINED_HEIGHTS, UNSUPPORTED_CAP};

fn full() -> Limits {
    Limits { pool_bundles: 10, payer_bundles: 1, ..Limits::DEFAULT }
}

/// Every local limit speaks against the bundle.
fn unwelcome() -> (Bench, SealedBundle) {
    let mut bench = Bench::new(full()).connected_to(&[2, 3]);
    bench.finalize_height(50);
    bench.admitted(&Terms::new(1, 7).seal());
    for number in 2..=5 {
        for payer in 10..30 {
            bench.relay(number, &Terms::new(payer, u64::from(number)).seal());
        }
    }
    // Expired, nonce used, payer at its limit, pool full.
    let bundle = Terms::new(1, 7).window(0, 40).seal();
    bench.sent.clear();
    (bench, bundle)
}

#[test]
fn invariant_3_duty_overrides_window_nonce_payer_limit_and_a_full_pool() {
    let (mut bench, bundle) = unwelcome();
    let id = bundle.id();
    assert_eq!(bench.rejected(&bundle).code, RejectionCode::Expired);
    bench.relay(2, &bundle);
    assert!(!bench.held.contains(&id) && bench.asked(&id).is_empty());
    bench.finalize_duty(&[id]);
    assert_eq!(bench.asked(&id).len(), 1);
    let answering = bench.asked(&id)[0];
    bench.relay(answering, &bundle);
    assert_eq!(bench.logged().last(), Some(&id));
    assert_eq!((bench.pool.stats().duty, bench.pool.stats().wanted), (0, 0));
    assert_eq!(bench.pool.expires_at(&id), Some(Height::new(40)));
}

#[test]
fn invariant_3_duty_overrides_horizon_and_lag_and_a_future_window() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    let far = Terms::new(1, 1).window(60_000, 900_000).seal();
    bench.relay(2, &far);
    assert!(bench.held.is_empty());
    bench.give(Input::Lagging { blocks: 500 });
    bench.finalize_duty(&[far.id()]);
    bench.relay(2, &far);
    assert_eq!(bench.logged(), [far.id()]);
}

#[test]
fn bundles_that_become_duties_together_are_logged_in_the_order_in_which_they_came() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let later: Vec<SealedBundle> =
        (1..=6).map(|payer| Terms::new(payer, 1).window(500, 900).seal()).collect();
    for bundle in &later {
        bench.admitted(bundle);
    }
    let came: Vec<BundleId> = later.iter().map(SealedBundle::id).collect();
    let mut by_id = came.clone();
    by_id.sort_unstable();
    assert_ne!(by_id, came);
    bench.finalize_duty(&by_id);
    assert_eq!(bench.logged(), came);
}

#[test]
fn invariant_3_a_held_bundle_is_appended_when_it_becomes_a_duty() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let later = Terms::new(1, 1).window(500, 900).seal();
    let receipt = bench.admitted(&later);
    assert_eq!(receipt.place, Place::Held);
    assert!(bench.log.is_empty());
    bench.finalize_duty(&[later.id()]);
    assert_eq!(bench.logged(), [later.id()]);
    assert_eq!(bench.admitted(&later), receipt);
    bench.finalize_height(499);
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn invariant_3_an_emitted_id_is_appended_too() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    let bundle = Terms::new(1, 1).seal();
    bench.finalize_emitted(&[&bundle]);
    assert_eq!(bench.asked(&bundle.id()), [2]);
    bench.relay(2, &bundle);
    assert_eq!(bench.logged(), [bundle.id()]);
    // It is stored for others and handed over for the opening, but not kept in memory.
    assert!(bench.held.contains(&bundle.id()));
    assert!(bench.pool.bundle(&bundle.id()).is_none());
    bench.receive(2, BundleMessage::Fetch(vec![bundle.id()]));
    assert_eq!(bench.served, [(peer(2), bundle.id())]);
}

#[test]
fn invariant_3_a_trader_can_bring_what_is_emitted_and_missing() {
    let mut bench = Bench::new(full());
    let bundle = Terms::new(1, 1).seal();
    bench.finalize_emitted(&[&bundle]);
    assert_eq!(bench.admitted(&bundle).place, Place::Position(0));
    let late = Terms::new(1, 2).window(0, 50_000).seal();
    bench.finalize_emitted(&[&late]);
    bench.finalize_height(64 * 30);
    assert_eq!(bench.pool.stats().duty, 0);
    let receipt = bench.admitted(&late);
    assert_eq!(receipt.place, Place::Position(1));
    bench.finalize_height(64 * 60);
    assert!(bench.stored.is_empty());
    assert_eq!(bench.admitted(&late), receipt);
}

#[test]
fn invariant_3_a_duty_is_asked_for_until_it_is_held_whatever_peers_answer() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2, 3, 4]);
    let bundle = Terms::new(1, 1).seal();
    let id = bundle.id();
    let mut junk = bundle.encode();
    let last = junk.len() - 1;
    junk[last] ^= 1;
    bench.finalize_duty(&[id]);
    for round in 0..30 {
        let asked = *bench.asked(&id).last().unwrap();
        match round % 3 {
            0 => bench.receive(asked, BundleMessage::Absent(vec![id])),
            1 => bench.receive(asked, BundleMessage::Relay(junk.clone())),
            _ => {}
        }
        bench.wait(5_000);
    }
    let asked = bench.asked(&id);
    assert!(asked.len() > 20, "{asked:?}");
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(bench.faults.iter().all(|(_, fault)| fault.code == RejectionCode::Signature));
    bench.relay(*asked.last().unwrap(), &bundle);
    assert_eq!(bench.logged(), [id]);
    assert_eq!(bench.pool.wake_at_ms(), None);
}

#[test]
fn invariant_3_a_flood_of_a_peer_does_not_delay_a_duty() {
    let limits = Limits { jobs: 1, job_bundles: 1, ..Limits::DEFAULT };
    let mut pool = Pool::new(config(limits)).unwrap();
    pool.handle(0, Input::PeerConnected { peer: peer(2) });
    let duty = Terms::new(9, 9).seal();
    let block = FinalizedBlock {
        height: Height::new(1),
        duty: vec![duty.id()],
        ..FinalizedBlock::default()
    };
    let outputs = pool.handle(0, Input::Finalized(block));
    assert!(matches!(&outputs[..], [Output::Send { message: BundleMessage::Fetch(_), .. }]));
    let mut job = None;
    for nonce in 0..30 {
        let message = BundleMessage::Relay(Terms::new(1, nonce).seal().encode());
        for output in pool.handle(0, Input::Received { peer: peer(2), message }) {
            let Output::Verify(first) = output else { panic!("{output:?}") };
            job = Some(first);
        }
    }
    let message = BundleMessage::Relay(duty.encode());
    assert!(pool.handle(0, Input::Received { peer: peer(2), message }).is_empty());
    let outputs = pool.handle(0, Input::Verified(job.unwrap().run_inline()));
    let Some(Output::Verify(next)) = outputs.into_iter().last() else { panic!("no job") };
    let outputs = pool.handle(0, Input::Verified(next.run_inline()));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Append(entry) if entry.id == duty.id()))
    );
}

#[test]
fn duties_beyond_the_limit_are_taken_up_when_they_are_named_again() {
    let limits = Limits { duty_ids: 2, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits).connected_to(&[2]);
    let bundles: Vec<_> = (0..5).map(|nonce| Terms::new(1, nonce).seal()).collect();
    let ids: Vec<_> = bundles.iter().map(SealedBundle::id).collect();
    for _ in 0..3 {
        bench.finalize_duty(&ids);
        assert!(bench.pool.stats().duty <= 2);
        for bundle in &bundles {
            if !bench.asked(&bundle.id()).is_empty() {
                bench.relay(2, bundle);
            }
        }
    }
    assert_eq!(bench.logged().into_iter().collect::<BTreeSet<_>>(), ids.into_iter().collect());
}

#[test]
fn a_needed_bundle_is_held_whatever_the_limits_say_and_not_reported() {
    let (mut bench, bundle) = unwelcome();
    let (id, before) = (bundle.id(), bench.log.len());
    bench.give(Input::Needed { ids: vec![id] });
    assert_eq!(bench.asked(&id).len(), 1);
    bench.relay(3, &bundle);
    assert!(bench.held.contains(&id));
    assert_eq!(bench.log.len(), before);
    // A trader is told why it is not admitted, though it is held.
    assert_eq!(bench.rejected(&bundle).code, RejectionCode::Expired);
    bench.finalize_duty(&[id]);
    assert_eq!(bench.logged().last(), Some(&id));
}

#[test]
fn a_needed_bundle_that_fits_is_admitted_like_any_other() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2, 3]);
    let bundle = Terms::new(1, 1).seal();
    bench.give(Input::Needed { ids: vec![bundle.id()] });
    bench.relay(3, &bundle);
    assert_eq!(bench.logged(), [bundle.id()]);
}

#[test]
fn what_was_only_held_for_others_is_admitted_when_a_trader_comes_with_it() {
    let mut bench = Bench::new(full()).connected_to(&[2]);
    let first = Terms::new(1, 1).seal();
    bench.admitted(&first);
    let second = Terms::new(1, 2).seal();
    bench.give(Input::Needed { ids: vec![second.id()] });
    bench.relay(2, &second);
    assert_eq!(bench.rejected(&second).code, RejectionCode::PayerLimit);
    bench.finalize_emitted(&[&first]);
    let receipt = bench.admitted(&second);
    assert_eq!(receipt.place, Place::Position(1));
    assert_eq!(bench.logged(), [first.id(), second.id()]);
}

#[test]
fn invariant_4_held_back_bundles_are_appended_in_the_order_of_acceptance() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let (a, b) = (Terms::new(1, 1).window(30, 900).seal(), Terms::new(2, 1).window(20, 900).seal());
    let c = Terms::new(3, 1).window(30, 900).seal();
    for bundle in [&a, &b, &c] {
        assert_eq!(bench.admitted(bundle).place, Place::Held);
    }
    bench.finalize_height(18);
    assert!(bench.log.is_empty());
    bench.finalize_height(29);
    assert_eq!(bench.logged(), [a.id(), b.id(), c.id()]);
    let d = Terms::new(4, 1).window(30, 900).seal();
    assert_eq!(bench.admitted(&d).place, Place::Position(3));
    let e = Terms::new(5, 1).window(31, 900).seal();
    assert_eq!(bench.admitted(&e).place, Place::Held);
    bench.finalize_height(30);
    assert_eq!(bench.logged().len(), 5);
}

#[test]
fn invariant_4_nobody_starts_to_report_in_the_last_eight_heights() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let bundle = Terms::new(1, 1).window(30, 60).seal();
    bench.admitted(&bundle);
    // The block at which it could be reported came too late.
    bench.finalize_height(53);
    assert!(bench.log.is_empty());
    bench.finalize_height(61);
    assert!(bench.pool.bundle(&bundle.id()).is_none());
    assert!(bench.stored.is_empty(), "never reported: nobody can ask for it");
    let other = Terms::new(1, 2).window(30, 70).seal();
    bench.finalize_height(62);
    bench.admitted(&other);
    assert_eq!(bench.logged(), [other.id()]);
}

#[test]
fn invariant_4_the_log_never_grows_beyond_what_the_order_extends() {
    const { assert!(Limits::DEFAULT.unsupported_ids < UNSUPPORTED_CAP) };
    let limits = Limits { unsupported_ids: 3, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits);
    let bundles: Vec<_> = (0..6).map(|nonce| Terms::new(1, nonce).seal()).collect();
    let places: Vec<_> = bundles.iter().map(|bundle| bench.admitted(bundle).place).collect();
    assert_eq!(places[..3], [0, 1, 2].map(Place::Position));
    assert_eq!(places[3..], [Place::Held; 3]);
    // Final blocks contain two of them, which still stand in fewer than T logs.
    bench.finalize(FinalizedBlock { committed: 2, below_edge: 2, ..FinalizedBlock::default() });
    assert_eq!(bench.log.len(), 3);
    bench.finalize(FinalizedBlock { committed: 3, below_edge: 1, ..FinalizedBlock::default() });
    assert_eq!(bench.log.len(), 5);
    // A duty is appended all the same.
    bench.finalize(FinalizedBlock {
        committed: 3,
        below_edge: 1,
        duty: vec![bundles[5].id()],
        ..FinalizedBlock::default()
    });
    assert_eq!(bench.log.len(), 6);
    assert_eq!(bench.log[5].receipt.place, Place::Held);
}

#[test]
fn a_reported_bundle_can_be_fetched_until_nobody_can_need_it() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    let bundle = Terms::new(1, 1).window(0, 20).seal();
    let id = bundle.id();
    bench.admitted(&bundle);
    let fetch = |bench: &mut Bench| {
        bench.sent.clear();
        bench.served.clear();
        bench.receive(2, BundleMessage::Fetch(vec![id]));
        let absent = |(_, ids): &(_, Vec<BundleId>)| ids.contains(&id);
        !bench.served_old.iter().any(absent)
    };
    assert!(fetch(&mut bench));
    // Its window closed, but no final block contains the report yet.
    bench.finalize(FinalizedBlock { height: Height::new(5_000), ..FinalizedBlock::default() });
    assert!(bench.pool.bundle(&id).is_none());
    assert_eq!(bench.pool.stats().admitted, 0);
    assert!(fetch(&mut bench));
    bench.finalize_height(5_001);
    bench.finalize_height(5_001 + RETAINED_HEIGHTS);
    assert!(fetch(&mut bench));
    bench.finalize_height(5_002 + RETAINED_HEIGHTS + 64);
    assert!(!fetch(&mut bench));
    assert_eq!(bench.stored.len(), 0);
    bench.finalize_height(8_000);
    assert_eq!(bench.pool.stats().ids, 0);
}

#[test]
fn an_emitted_id_is_remembered_while_its_window_is_open() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    let bundle = Terms::new(1, 1).window(0, 9_000).seal();
    let receipt = bench.admitted(&bundle);
    bench.finalize_emitted(&[&bundle]);
    bench.finalize_height(2 + RETAINED_HEIGHTS);
    assert!(bench.stored.is_empty());
    assert_eq!(bench.admitted(&bundle), receipt);
    bench.relay(2, &bundle);
    assert_eq!(bench.log.len(), 1);
    bench.finalize_height(9_001);
    assert_eq!(bench.rejected(&bundle).code, RejectionCode::Expired);
    bench.finalize_height(9_001 + RETAINED_HEIGHTS);
    assert_eq!(bench.pool.stats().ids, 0);
    assert_eq!(bench.rejected(&bundle).code, RejectionCode::Expired);
}

#[test]
fn a_duty_that_nobody_can_have_ends() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    bench.finalize_duty(&[Terms::new(1, 1).seal().id()]);
    assert_eq!(bench.pool.stats().duty, 1);
    bench.finalize_height(64 * 20);
    assert_eq!(bench.pool.stats().duty, 0);
    bench.wait(60_000);
    assert_eq!((bench.pool.stats().wanted, bench.pool.wake_at_ms()), (0, None));
}

#[test]
fn announcements_are_fetched_from_who_made_them_and_held_ids_are_announced() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2, 3]);
    let bundle = Terms::new(1, 1).seal();
    let id = bundle.id();
    bench.receive(3, BundleMessage::Announce(vec![id]));
    bench.wait(99);
    assert!(bench.asked(&id).is_empty());
    bench.wait(10);
    assert_eq!(bench.asked(&id), [3]);
    bench.relay(3, &bundle);
    assert_eq!(bench.logged(), [id]);
    bench.sent.clear();
    bench.give(Input::PeerConnected { peer: peer(4) });
    assert_eq!(bench.sent, [(peer(4), BundleMessage::Announce(vec![id]))]);
    // What is on its way anyway is not fetched.
    let other = Terms::new(1, 2).seal();
    bench.receive(3, BundleMessage::Announce(vec![other.id()]));
    bench.admitted(&other);
    bench.wait(1_000);
    assert!(bench.asked(&other.id()).is_empty());
}

#[test]
fn a_peer_that_fetches_too_much_is_not_served() {
    let limits = Limits { served_burst_bytes: 70_000, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits).connected_to(&[2, 3]);
    let bundle = Terms::new(1, 1).seal();
    bench.admitted(&bundle);
    let bytes = bundle.encode().len() as u64;
    bench.sent.clear();
    let fetches = 100;
    for _ in 0..fetches {
        bench.receive(2, BundleMessage::Fetch(vec![bundle.id()]));
    }
    assert_eq!(bench.sent.len() as u64, 70_000 / bytes);
    assert_eq!(bench.pool.stats().unserved, fetches - 70_000 / bytes);
    bench.receive(3, BundleMessage::Fetch(vec![bundle.id()]));
    assert_eq!(bench.sent.last().unwrap().0, peer(3));
}

#[test]
fn blocks_that_were_seen_change_nothing() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    bench.finalize_height(5);
    let unseen = Terms::new(1, 1).seal().id();
    for height in [5, 4] {
        let duty = vec![unseen];
        let height = Height::new(height);
        let outputs = bench.pool.handle(
            0,
            Input::Finalized(FinalizedBlock { height, duty, ..FinalizedBlock::default() }),
        );
        assert!(outputs.is_empty());
    }
}

/// A committee of pools over a network that delivers everything, with an order that only counts.
struct Committee {
    benches: Vec<Bench>,
    height: u64,
}

/// T of n = 5, f = 1, g = 0, and what a pending pair needs to be decided.
const EDGE: usize = 2;
const SOLID: usize = 3;

impl Committee {
    fn new(limits: [Limits; 5]) -> Self {
        let benches = (1..=5)
            .zip(limits)
            .map(|(number, limits)| {
                let mut config = config(limits);
                config.sequencer = peer(number);
                let others: Vec<u16> = (1..=5).filter(|other| *other != number).collect();
                Bench::of(Pool::new(config).unwrap()).connected_to(&others)
            })
            .collect();
        Self { benches, height: 0 }
    }

    fn logs_with(&self, id: &BundleId) -> usize {
        self.benches.iter().filter(|bench| bench.logged().contains(id)).count()
    }

    /// Delivers all messages, answers from the store included, until there are none.
    fn deliver(&mut self) {
        let mut queue = VecDeque::new();
        loop {
            for (from, bench) in (1u16..).zip(&mut self.benches) {
                for (to, message) in bench.sent.drain(..) {
                    queue.push_back((from, to, message));
                }
                for (to, id) in std::mem::take(&mut bench.served) {
                    let message = BundleMessage::Relay(bench.stored[&id].sealed.clone());
                    queue.push_back((from, to, message));
                }
            }
            let Some((from, to, message)) = queue.pop_front() else { break };
            self.benches[to.position()].receive(from, message);
        }
    }

    /// A block that commits all logs, and says what stands in T of them.
    fn block(&mut self) {
        self.height += 1;
        let ids: BTreeSet<BundleId> =
            self.benches.iter().flat_map(|bench| bench.logged()).collect();
        let duty: Vec<BundleId> = ids.into_iter().filter(|id| self.logs_with(id) >= EDGE).collect();
        for bench in &mut self.benches {
            let (height, duty) = (Height::new(self.height), duty.clone());
            bench.finalize(FinalizedBlock { height, duty, ..FinalizedBlock::default() });
        }
        for _ in 0..20 {
            self.deliver();
            self.benches.iter_mut().for_each(|bench| bench.wait(500));
        }
    }
}

/// ordering.md 2: x,y to sequencer 1, y,x to sequencer 2, refused by the rest.
#[test]
fn invariant_3_a_pair_that_all_others_refuse_reaches_every_log() {
    let none = || Limits { pool_bundles: 6, payer_bundles: 1, ..Limits::DEFAULT };
    let limits = [Limits::DEFAULT, Limits::DEFAULT, none(), none(), none()];
    let mut committee = Committee::new(limits);
    // The rest has the payer at its limit, and the trader lets the window close on them.
    for number in 2..5 {
        let bench = &mut committee.benches[number];
        bench.admitted(&Terms::new(1, 100 + number as u64).seal());
        bench.sent.clear();
    }
    let (x, y) = (Terms::new(1, 1).window(0, 9).seal(), Terms::new(1, 2).window(0, 9).seal());
    for (number, bundles) in [(0, [&x, &y]), (1, [&y, &x])] {
        let bench = &mut committee.benches[number];
        // Before their relays cross: each first saw its own order.
        for bundle in bundles {
            bench.admitted(bundle);
        }
    }
    let orders: Vec<_> = committee.benches[..2].iter().map(Bench::logged).collect();
    assert_eq!(orders, [[x.id(), y.id()], [y.id(), x.id()]]);
    committee.deliver();
    for bench in &committee.benches[2..] {
        assert!(!bench.logged().contains(&x.id()) && !bench.logged().contains(&y.id()));
    }
    for _ in 0..12 {
        committee.height += 1;
        for bench in &mut committee.benches {
            bench.finalize_height(committee.height);
        }
    }
    committee.block();
    for id in [x.id(), y.id()] {
        assert!(committee.logs_with(&id) >= SOLID);
        assert_eq!(committee.logs_with(&id), 5);
    }
    // The honest bundle behind them is not blocked by what was refused.
    let honest = Terms::new(7, 1).seal();
    committee.benches[4].admitted(&honest);
    committee.block();
    assert_eq!(committee.logs_with(&honest.id()), 5);
}

#[test]
fn a_bundle_given_to_one_reaches_all_logs() {
    let mut committee = Committee::new([(); 5].map(|()| Limits::DEFAULT));
    let bundle = Terms::new(1, 1).seal();
    committee.benches[3].admitted(&bundle);
    committee.deliver();
    assert_eq!(committee.logs_with(&bundle.id()), 5);
    // Each peer was sent the bytes once.
    let copies: usize = committee.benches.iter().map(|bench| bench.stored.len()).sum();
    assert_eq!(copies, 5);
}

#[test]
fn invariant_3_junk_for_a_required_id_waits_in_its_peers_own_queue() {
    let limits = Limits { jobs: 1, job_bundles: 1, ..Limits::DEFAULT };
    let mut pool = Pool::new(config(limits)).unwrap();
    pool.handle(0, Input::PeerConnected { peer: peer(2) });
    pool.handle(0, Input::PeerConnected { peer: peer(3) });
    let duty = Terms::new(9, 9).seal();
    let block = FinalizedBlock {
        height: Height::new(1),
        duty: vec![duty.id()],
        ..FinalizedBlock::default()
    };
    let outputs = pool.handle(0, Input::Finalized(block));
    let [Output::Send { to, message: BundleMessage::Fetch(_) }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let asked = to[0];
    let liar = if asked == peer(2) { peer(3) } else { peer(2) };
    let mut job = None;
    for flip in 1..60u8 {
        let mut junk = duty.encode();
        let last = junk.len() - 10;
        junk[last] ^= flip;
        let message = BundleMessage::Relay(junk);
        for output in pool.handle(0, Input::Received { peer: liar, message }) {
            let Output::Verify(first) = output else { panic!("{output:?}") };
            job = Some(first);
        }
    }
    let message = BundleMessage::Relay(duty.encode());
    assert!(pool.handle(0, Input::Received { peer: asked, message }).is_empty());
    let outputs = pool.handle(0, Input::Verified(job.unwrap().run_inline()));
    let Some(Output::Verify(next)) = outputs.into_iter().last() else { panic!("no job") };
    let outputs = pool.handle(0, Input::Verified(next.run_inline()));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Append(entry) if entry.id == duty.id()))
    );
}

#[test]
fn what_duty_brings_beyond_its_memory_is_in_the_store_alone() {
    let limits = Limits { duty_bytes: 2_000, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits).connected_to(&[2]);
    let bundles: Vec<_> = (0..5).map(|nonce| Terms::new(1, nonce).seal()).collect();
    let ids: Vec<_> = bundles.iter().map(SealedBundle::id).collect();
    bench.finalize_duty(&ids);
    bundles.iter().for_each(|bundle| bench.relay(2, bundle));
    assert_eq!(bench.log.len(), 5);
    let in_memory = ids.iter().filter(|id| bench.pool.bundle(id).is_some()).count();
    assert_eq!(in_memory, 2);
    bench.sent.clear();
    bench.receive(2, BundleMessage::Fetch(ids));
    assert_eq!((bench.sent.len(), bench.served.len()), (2, 3));
}
