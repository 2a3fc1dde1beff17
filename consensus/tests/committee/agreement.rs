//! Whole committees of real engines on a simulated network.

use std::time::Duration;

use commonware_runtime::{Clock, Runner, Supervisor as _, deterministic};
use fairveil_consensus::Voting;
use fairveil_consensus::state::MAX_UNRELEASED;
use fairveil_crypto::certificate::Placement;
use fairveil_crypto::{SequencerIndex, View};

use crate::harness::{Committee, LINK, facts, id};

const SECOND: Duration = Duration::from_secs(1);

fn everybody(n: u16) -> Vec<usize> {
    (0..usize::from(n)).collect()
}

/// Bundles arrive at all members, at each in another order.
fn submit_scattered(committee: &Committee, numbers: std::ops::Range<u64>) {
    let n = usize::from(committee.n);
    for number in numbers {
        for member in 0..n {
            let shuffled = number ^ (member as u64 & 1);
            committee.world.submit(id(shuffled), facts(shuffled as u8, shuffled), &[member]);
        }
    }
}

async fn agree(context: deterministic::Context, n: u16, f: u16) -> String {
    let mut committee = Committee::new(context.child("committee"), n, f, LINK).await;
    committee.start_all().await;
    for step in 0..8 {
        submit_scattered(&committee, step * 10..step * 10 + 10);
        context.sleep(SECOND / 5).await;
    }
    let ids: Vec<_> = (0..80).map(id).collect();
    committee.emit(&everybody(n), &ids, 10 * SECOND).await;
    let height = committee.height(0) + 3;
    committee.reach(&everybody(n), height, 10 * SECOND).await;
    committee.assert_agreement();

    let committed = committee.committed(0);
    let mut emitted = committed.emitted();
    assert_eq!(emitted.len(), 80, "each id once");
    emitted.sort_unstable();
    emitted.dedup();
    assert_eq!(emitted.len(), 80);
    assert!(
        committed
            .blocks
            .windows(2)
            .all(|pair| { pair[0].header().time_ms < pair[1].header().time_ms })
    );
    let released = committed.outputs.iter().flat_map(|output| &output.released);
    let heights: Vec<_> = released.map(|(height, _)| height.get()).collect();
    let expected: Vec<_> = (1..=heights.len() as u64).collect();
    assert_eq!(heights, expected, "releases in order");
    assert!(heights.len() + 10 > committed.outputs.len(), "releases keep up");
    context.auditor().state()
}

#[test]
fn five_members_agree_on_every_block_and_certificate() {
    deterministic::Runner::seeded(1).start(|context| agree(context, 5, 1));
}

#[test]
fn four_members_agree_without_tolerance_of_unfairness() {
    deterministic::Runner::seeded(2).start(|context| agree(context, 4, 0));
}

#[test]
fn a_seed_repeats_byte_for_byte() {
    let run = || deterministic::Runner::seeded(3).start(|context| agree(context, 5, 1));
    let first = run();
    assert_eq!(first, run());
    let other = deterministic::Runner::seeded(4).start(|context| agree(context, 5, 1));
    assert_ne!(first, other);
}

#[test]
fn an_idle_chain_makes_one_block_a_second_and_a_busy_one_more() {
    deterministic::Runner::seeded(5).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        committee.reach(&[0], 3, 10 * SECOND).await;
        let before = committee.height(0);
        context.sleep(10 * SECOND).await;
        let idle = committee.height(0) - before;
        assert!((8..=11).contains(&idle), "{idle} blocks in 10 s of idleness");

        let before = committee.height(0);
        for number in 0..50 {
            committee.world.submit(id(number), facts(1, number), &everybody(5));
            context.sleep(SECOND / 10).await;
        }
        let busy = committee.height(0) - before;
        assert!((25..=50).contains(&busy), "{busy} blocks in 5 s of work");
    });
}

#[test]
fn a_crashed_member_resumes_from_its_snapshot() {
    deterministic::Runner::seeded(6).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        submit_scattered(&committee, 0..20);
        committee.reach(&everybody(5), 5, 10 * SECOND).await;
        for round in 0..3 {
            committee.crash(2).await;
            let crashed_at = committee.height(2);
            let first = 100 + 20 * round;
            for number in first..first + 10 {
                committee.world.submit(id(number), facts(2, number), &[0, 1, 3, 4]);
            }
            let others = committee.height(0) + 10;
            committee.reach(&[0, 1, 3, 4], others, 60 * SECOND).await;
            assert_eq!(committee.height(2), crashed_at);
            committee.start(2).await;
            let tip = committee.height(0);
            committee.reach(&[2], tip, 5 * SECOND).await;
            let ids: Vec<_> = (first..first + 10).map(id).collect();
            committee.emit(&everybody(5), &ids, 10 * SECOND).await;
            committee.assert_agreement();
        }
    });
}

#[test]
fn a_member_that_follows_signs_nothing_and_votes_again_above_what_it_stored() {
    deterministic::Runner::seeded(16).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        submit_scattered(&committee, 0..20);
        committee.reach(&everybody(5), 8, 20 * SECOND).await;
        committee.crash(2).await;
        // The journal has its votes: it is left alone while the member follows.
        committee.voting[2] = Voting::Follows;
        committee.start(2).await;
        let from = committee.height(0) as usize + 2;
        committee.reach(&everybody(5), from as u64 + 20, 60 * SECOND).await;
        let own = SequencerIndex::from_position(2).unwrap();
        let signed = |committee: &Committee, from: usize| {
            let certificates = committee.committed(0).certificates;
            let after = certificates[from..].iter();
            after.filter(|one| one.finalization.signers.contains(&own)).count()
        };
        assert_eq!(signed(&committee, from), 0);
        committee.crash(2).await;

        let newest = committee.committed(2).certificates.pop().unwrap();
        committee.voting[2] = Voting::VotesAbove(newest.finalization.view);
        committee.start(2).await;
        let from = committee.height(0) as usize;
        committee.reach(&everybody(5), from as u64 + 40, 60 * SECOND).await;
        assert!(signed(&committee, from) > 10);
        committee.assert_agreement();

        committee.crash(2).await;
        committee.voting[2] = Voting::VotesAbove(View::new(1 << 40));
        committee.start(2).await;
        context.sleep(SECOND).await;
        let ended = committee.ended.lock().clone();
        assert!(matches!(&ended[..], [(2, why)] if why.contains("votes above")), "{ended:?}");
    });
}

#[test]
fn all_members_crash_and_continue_where_they_were() {
    deterministic::Runner::seeded(7).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        submit_scattered(&committee, 0..20);
        committee.reach(&everybody(5), 8, 10 * SECOND).await;
        for member in everybody(5) {
            committee.crash(member).await;
        }
        let tip = committee.height(0);
        committee.start_all().await;
        committee.reach(&everybody(5), tip + 5, 30 * SECOND).await;
        committee.assert_agreement();
    });
}

#[test]
fn a_missing_bundle_keeps_votes_pending_until_it_is_held() {
    deterministic::Runner::seeded(8).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        committee.reach(&everybody(5), 2, 10 * SECOND).await;
        // Two of five can't judge: three are no quorum of four.
        committee.world.withhold(id(1), 0);
        committee.world.withhold(id(1), 1);
        committee.world.submit(id(1), facts(1, 1), &[2, 3, 4]);
        context.sleep(10 * SECOND).await;
        let stuck = committee.height(2);
        context.sleep(10 * SECOND).await;
        assert_eq!(committee.height(2), stuck, "no quorum could vote");
        assert!(committee.world.waits(0) > 0 && committee.world.waits(1) > 0);
        assert!(!committee.committed(2).emitted().contains(&id(1)));

        committee.world.deliver_withheld();
        committee.emit(&everybody(5), &[id(1)], 20 * SECOND).await;
        committee.assert_agreement();
    });
}

#[test]
fn one_member_without_a_bundle_is_outvoted_and_waits_for_it() {
    deterministic::Runner::seeded(9).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        committee.reach(&everybody(5), 2, 10 * SECOND).await;
        committee.world.withhold(id(1), 0);
        committee.world.submit(id(1), facts(1, 1), &[1, 2, 3, 4]);
        committee.emit(&[1, 2, 3, 4], &[id(1)], 20 * SECOND).await;
        context.sleep(2 * SECOND).await;
        assert!(!committee.committed(0).emitted().contains(&id(1)));
        committee.world.deliver_withheld();
        committee.emit(&[0], &[id(1)], 5 * SECOND).await;
        committee.assert_agreement();
    });
}

#[test]
fn an_opening_lag_stops_new_ids_and_not_the_blocks() {
    deterministic::Runner::seeded(10).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.world.open_until(0);
        committee.start_all().await;
        committee.reach(&[0], MAX_UNRELEASED + 2, 200 * SECOND).await;
        committee.world.submit(id(1), facts(1, 1), &everybody(5));
        let height = committee.height(0);
        committee.reach(&everybody(5), height + 40, 120 * SECOND).await;
        assert!(committee.committed(0).emitted().is_empty(), "intake is stopped");

        committee.world.open_until(u64::MAX);
        committee.emit(&everybody(5), &[id(1)], 20 * SECOND).await;
        committee.assert_agreement();
    });
}

#[test]
fn a_nonce_opens_once_and_a_closed_window_never() {
    deterministic::Runner::seeded(11).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        for number in [1, 2] {
            committee.world.submit(id(number), facts(1, 77), &everybody(5));
        }
        committee.emit(&everybody(5), &[id(1), id(2)], 20 * SECOND).await;
        let committed = committee.committed(3);
        let emissions = committed.outputs.iter().map(|output| &output.emission);
        let placements: Vec<_> = emissions
            .flat_map(|emission| emission.ids().map(|emitted| emitted.placement))
            .collect();
        assert_eq!(placements, [Placement::Open, Placement::NonceUsed]);
    });
}

#[test]
fn a_lossy_network_loses_nothing() {
    let link = commonware_p2p::simulated::Link {
        latency: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        success_rate: commonware_utils::probability!(0.9),
    };
    deterministic::Runner::seeded(12).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 4, 0, link).await;
        committee.start_all().await;
        submit_scattered(&committee, 0..30);
        let ids: Vec<_> = (0..30).map(id).collect();
        committee.emit(&everybody(4), &ids, 60 * SECOND).await;
        let height = committee.height(0) + 20;
        committee.reach(&everybody(4), height, 60 * SECOND).await;
        committee.assert_agreement();
    });
}

/// Blocks whose own view does not finalize are certified by a descendant.
#[test]
fn heights_without_a_finalization_are_certified_by_a_descendant() {
    deterministic::Runner::seeded(13).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.finalizes_every = 4;
        committee.start_all().await;
        submit_scattered(&committee, 0..30);
        let ids: Vec<_> = (0..30).map(id).collect();
        committee.emit(&everybody(5), &ids, 30 * SECOND).await;
        committee.reach(&everybody(5), 20, 60 * SECOND).await;
        committee.assert_agreement();
        // Each was verified when it was committed.
        let certificates = committee.committed(3).certificates;
        let chained = certificates.iter().filter(|one| one.headers.len() > 1).count();
        assert!(chained >= 10, "{chained} of {}", certificates.len());
    });
}

#[test]
fn a_long_time_without_finality_does_not_use_up_the_freshness_of_heads() {
    deterministic::Runner::seeded(14).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.finalizes_every = 60;
        committee.start_all().await;
        committee.reach(&everybody(5), 100, 300 * SECOND).await;
        committee.assert_agreement();
        let certificates = committee.committed(3).certificates;
        let longest = certificates.iter().map(|one| one.headers.len()).max();
        assert!(longest > Some(40), "{longest:?}");
    });
}

#[test]
fn a_store_older_than_what_it_acknowledged_stops_the_engine() {
    deterministic::Runner::seeded(15).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        committee.reach(&[2], 3, 20 * SECOND).await;
        let old = committee.committed(2);
        let height = committee.height(2) + 5;
        committee.reach(&everybody(5), height, 20 * SECOND).await;
        committee.crash(2).await;
        *committee.committed[2].lock() = old.clone();
        committee.start(2).await;
        context.sleep(5 * SECOND).await;
        let ended = committee.ended.lock().clone();
        assert_eq!(ended.len(), 1);
        let needs = format!("the sequencer's state needs {}", old.tip.next());
        assert!(ended[0].0 == 2 && ended[0].1.contains(&needs), "{ended:?}");
    });
}

#[test]
fn a_dropped_acknowledgement_stops_the_engine_and_loses_nothing() {
    deterministic::Runner::seeded(16).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.forgets = Some((1, 4));
        committee.start_all().await;
        let others = [0, 2, 3, 4];
        while committee.height(0) < 10 {
            context.sleep(SECOND).await;
        }
        assert_eq!(committee.height(1), 3);
        assert_eq!(committee.ended.lock().len(), 1, "{:?}", committee.ended.lock());

        committee.forgets = None;
        committee.ended.lock().clear();
        committee.crash(1).await;
        committee.start(1).await;
        let tip = committee.height(0);
        committee.reach(&[1], tip, 10 * SECOND).await;
        committee.reach(&others, tip, SECOND).await;
        committee.assert_agreement();
    });
}
