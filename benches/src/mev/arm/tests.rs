#![allow(clippy::unwrap_used)]

use super::super::network::{Network, Sender};
use super::*;

const SEEDS: std::ops::Range<u64> = 21..27;

fn ended(seed: u64, arm: Arm, attacker: Attacker) -> Outcome {
    let (contracts, flow) = (Contracts::new().unwrap(), Flow::new(seed));
    Run::new(&contracts, &flow, seed, arm, attacker).unwrap().finish().unwrap()
}

fn before_release(outcome: &Outcome) -> i64 {
    let all = [Strategy::Sandwich, Strategy::Copy, Strategy::BackRun];
    all.map(|strategy| outcome.tally.value(strategy)).iter().sum()
}

fn front_running(outcome: &Outcome) -> i64 {
    outcome.tally.value(Strategy::Sandwich) + outcome.tally.value(Strategy::Copy)
}

#[test]
fn a_run_follows_from_its_seed_invariant_1() {
    for arm in Arm::ALL {
        let run = || ended(5, arm, Attacker::searcher());
        let (first, second) = (run(), run());
        assert_eq!(first.tally, second.tally);
        assert_eq!(first.swaps, second.swaps);
        assert_eq!(first.logs, second.logs);
        assert_eq!(first.market, second.market);
        assert_ne!(first.swaps, ended(6, arm, Attacker::searcher()).swaps);
    }
}

#[test]
fn who_does_nothing_extracts_nothing() {
    for arm in Arm::ALL {
        let peaceful = ended(3, arm, Attacker::Nobody);
        let idle = ended(3, arm, Attacker::Searcher(BTreeSet::new()));
        for outcome in [&peaceful, &idle] {
            assert!(outcome.tally.earned.is_empty(), "{}: {:?}", arm.name(), outcome.tally.earned);
            assert_eq!(outcome.tally.sandwiches, [0, 0]);
            assert_eq!(outcome.tally.unplaced, 0);
            let sent = outcome.swaps.iter().flatten();
            let executed = sent.filter(|swap| swap.dollars.is_some()).count();
            assert!(executed > 60, "{}: {executed}", arm.name());
        }
    }
}

#[test]
fn plaintext_under_a_leader_loses_much_and_sealed_in_the_fair_order_only_to_back_runs() {
    let [worst, _, _, best] = Arm::ALL;
    let (mut lost, mut kept) = (0, 0);
    let (mut all_lost, mut all_kept) = (0, 0);
    for seed in SEEDS {
        let plaintext = ended(seed, worst, Attacker::searcher());
        let sealed = ended(seed, best, Attacker::searcher());
        assert!(before_release(&plaintext) > before_release(&sealed), "seed {seed}");
        lost += front_running(&plaintext);
        kept += front_running(&sealed);
        all_lost += before_release(&plaintext);
        all_kept += before_release(&sealed);
    }
    assert!(lost > 10 * kept.abs(), "{lost} against {kept}");
    assert!(all_lost > 2 * all_kept, "{all_lost} against {all_kept}");
}

#[test]
fn in_plaintext_everything_pays_alone() {
    for strategy in Strategy::ALL {
        let only = || Attacker::Searcher(BTreeSet::from([strategy]));
        let earned: i64 =
            SEEDS.map(|seed| ended(seed, Arm::ALL[0], only()).tally.value(strategy)).sum();
        assert!(earned > 0, "{}: {earned}", strategy.name());
    }
}

#[test]
fn honest_logs_are_true_orders_of_reception_invariant_2() {
    for (seed, arm) in SEEDS.zip([Arm::ALL[1], Arm::ALL[3]].into_iter().cycle()) {
        let outcome = ended(seed, arm, Attacker::searcher());
        let (flow, network) = (Flow::new(seed), Network::new(seed, Fifth::Corrupt));
        let arrivals: Vec<Arrivals> = (0u64..)
            .zip(&flow.swaps)
            .map(|(message, planned)| {
                network.arrivals(Sender::Trader(planned.payer), message, planned.at_us)
            })
            .collect();
        for (sequencer, log) in outcome.logs.iter().enumerate().take(CORRUPT) {
            assert!(log.is_sorted_by_key(|(at, _)| *at), "sequencer {sequencer}");
            let times: BTreeSet<u64> = log.iter().map(|(at, _)| *at).collect();
            assert!(arrivals.iter().all(|arrival| times.contains(&arrival.received[sequencer])));
        }
        let honest: BTreeSet<BundleId> = outcome.logs[0].iter().map(|(_, id)| *id).collect();
        let lying: Vec<BundleId> = outcome.logs[CORRUPT].iter().map(|(_, id)| *id).collect();
        let order: Vec<BundleId> =
            outcome.logs[0].iter().map(|(_, id)| *id).filter(|id| lying.contains(id)).collect();
        let lies: Vec<BundleId> = lying.iter().copied().filter(|id| honest.contains(id)).collect();
        assert_ne!(order, lies, "the corrupt log is another one");
    }
}

#[test]
fn what_is_sealed_is_not_known_before_it_is_opened_invariant_3() {
    // The same payers at the same times with other contents: until the first block is opened, the
    // searcher does the same.
    let [_, plaintext, _, sealed] = Arm::ALL;
    let contracts = Contracts::new().unwrap();
    let flow = Flow::new(11);
    let mut other = flow.clone();
    for planned in &mut other.swaps {
        planned.intent.side = planned.intent.side.reverse();
        planned.intent.gold += planned.intent.gold / 7;
    }
    let opened_us = BLOCK_US + FINAL_US + OPEN_US;
    let sent = |arm: Arm, flow: &Flow| {
        let mut run = Run::new(&contracts, flow, 11, arm, Attacker::searcher()).unwrap();
        while let Some(((now, _), event)) = run.queue.pop_first().filter(|((at, _), _)| {
            // What is planned is all that counts; nothing is executed yet.
            *at < opened_us
        }) {
            match event {
                Event::Swap(number) => run.send_swap(now, number).unwrap(),
                Event::Heard(item) => run.heard(now, item).unwrap(),
                Event::Broadcast(item) => run.broadcast(now, item),
                _ => {}
            }
        }
        let own = run.items.iter().filter(|item| !item.is_honest());
        own.map(|item| (item.id, item.trade.clone(), item.arrivals)).collect::<Vec<_>>()
    };
    let first = sent(sealed, &flow);
    assert!(!first.is_empty());
    assert_eq!(first, sent(sealed, &other));
    assert_ne!(sent(plaintext, &flow), sent(plaintext, &other));
}

#[test]
fn a_corrupt_sequencer_gains_positions_in_either_mode() {
    for mode in [Mode::Leader, Mode::Strict] {
        let ahead = |fifth| -> u64 {
            let arm = Arm { privacy: Privacy::Sealed, mode };
            SEEDS.map(|seed| ended(seed, arm, Attacker::Probe(fifth)).tally.fronts[1]).sum()
        };
        let (corrupt, honest) = (ahead(Fifth::Corrupt), ahead(Fifth::Honest));
        assert!(corrupt > honest, "{mode:?}: {corrupt}, {honest}");
    }
}
