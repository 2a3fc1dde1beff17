//! The soft cap: backlogs far above 4,096 candidates leave, in proposals of a bounded size where the
//! logs allow one, and keep every promise.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};

use crate::{
    Appended, CAP_CANDIDATES, CAP_SOLID, Committee, FairOrder, Mode, Phase, Step,
    naive::{Dice, bundle_id},
    rules::{Cap, Rules},
};

/// By sequencer: its whole log.
type Logs = Vec<Vec<u32>>;

/// What came out of one block that brought all logs, and of empty ones after it until nothing waits.
struct Drained {
    /// By block: ids in order.
    blocks: Vec<Vec<u32>>,
    /// By block: the ids of the proposal.
    proposed: Vec<usize>,
}

/// None if something waits after `blocks` blocks.
fn drain(committee: Committee, logs: &Logs, rules: Rules, blocks: usize) -> Option<Drained> {
    let mut order = FairOrder::with_rules(committee, Mode::Strict, Height::ZERO, rules);
    let names: BTreeMap<BundleId, u32> =
        logs.iter().flatten().map(|id| (bundle_id(1, *id), *id)).collect();
    let ids: Vec<Vec<BundleId>> =
        logs.iter().map(|log| log.iter().map(|id| bundle_id(1, *id)).collect()).collect();
    let mut drained = Drained { blocks: Vec::new(), proposed: Vec::new() };
    for block in 0..blocks {
        let appended: Vec<Appended<'_>> = SequencerIndex::all(committee.n())
            .zip(&ids)
            .map(|(sequencer, ids)| Appended::new(sequencer, if block == 0 { ids } else { &[] }))
            .collect();
        let reaching = order.would_reach_edge(&appended, &[]).into_iter();
        let expiries = reaching.map(|id| (id, Height::MAX)).collect();
        let before = order.unproposed().len();
        let step = Step {
            height: order.height().next(),
            seed: Digest::from_bytes([block as u8; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        let out = order.apply(&step).unwrap().emission.cohorts.concat();
        let before = if block == 0 { names.len() } else { before };
        drained.proposed.push(before - order.unproposed().len());
        drained.blocks.push(out.iter().map(|emitted| names[&emitted.id]).collect());
        if order.live_ids() == 0 {
            return Some(drained);
        }
    }
    None
}

/// All ids left once, neighbours with a supporter among the honest logs, and L2's bound on blocks.
fn judge(committee: Committee, logs: &Logs, honest: usize, drained: &Drained) {
    let out = drained.blocks.concat();
    let all: BTreeSet<u32> = logs.iter().flatten().copied().collect();
    assert_eq!(out.len(), all.len());
    assert_eq!(out.iter().copied().collect::<BTreeSet<_>>(), all);
    let places: Vec<BTreeMap<u32, usize>> = logs[..honest]
        .iter()
        .map(|log| log.iter().enumerate().map(|(at, id)| (*id, at)).collect())
        .collect();
    for pair in out.windows(2) {
        let before = |place: &&BTreeMap<u32, usize>| {
            let at = |id| place.get(id).copied().unwrap_or(usize::MAX);
            at(&pair[0]) < at(&pair[1])
        };
        let supporters = places.iter().filter(before).count();
        assert!(supporters > usize::from(committee.g()), "{pair:?} in {supporters} logs");
    }
    let blocks = 1 + all.len() / CAP_SOLID;
    assert!(drained.blocks.len() <= blocks, "{} blocks, {blocks} at most", drained.blocks.len());
}

fn jittered(dice: &mut Dice, ids: usize, jitter: usize) -> Vec<u32> {
    let mut when: Vec<(usize, u32)> =
        (0..ids).map(|id| (id + dice.below(jitter + 1), id as u32)).collect();
    when.sort_unstable();
    when.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn a_backlog_of_5_000_ids_in_24_logs_leaves_in_proposals_of_4_096_at_most() {
    let committee = Committee::new(24, 5, 0).unwrap();
    let mut dice = Dice::new(1);
    let logs: Logs = (0..24).map(|_| jittered(&mut dice, 5_000, 64)).collect();
    let drained = drain(committee, &logs, Rules::NORMATIVE, 400).unwrap();
    judge(committee, &logs, 24, &drained);
    assert!(drained.proposed.iter().all(|ids| *ids <= CAP_CANDIDATES), "{:?}", drained.proposed);
    assert_eq!(drained.blocks.len(), 2, "{:?}", drained.proposed);
}

#[test]
fn a_backlog_of_20_000_ids_leaves_although_a_log_lies() {
    let committee = Committee::new(5, 1, 0).unwrap();
    let mut dice = Dice::new(2);
    let mut logs: Logs = (0..5).map(|_| jittered(&mut dice, 20_000, 100)).collect();
    logs[4].reverse();
    let drained = drain(committee, &logs, Rules::NORMATIVE, 400).unwrap();
    judge(committee, &logs, 4, &drained);
    assert!(drained.proposed.iter().all(|ids| *ids <= CAP_CANDIDATES), "{:?}", drained.proposed);
}

#[test]
fn two_halves_that_saw_different_ids_first_need_more_candidates_than_the_cap() {
    // A partition of a second: no prefix with at most 4,096 candidates has a solid id.
    for (committee, half) in [((5, 1, 0), 2_100), ((5, 1, 0), 10_000), ((9, 2, 0), 2_500)] {
        let committee = Committee::new(committee.0, committee.1, committee.2).unwrap();
        let mut dice = Dice::new(half as u64);
        let honest = usize::from(committee.quorum());
        let logs: Logs = (0..committee.n())
            .map(|log| {
                let mut parts = [jittered(&mut dice, half, 8), jittered(&mut dice, half, 8)];
                parts[1].iter_mut().for_each(|id| *id += half as u32);
                match usize::from(log) {
                    log if log >= honest => Vec::new(),
                    log if log % 2 == 0 => parts.concat(),
                    _ => [&parts[1][..], &parts[0][..]].concat(),
                }
            })
            .collect();
        let drained = drain(committee, &logs, Rules::NORMATIVE, 400).unwrap();
        judge(committee, &logs, honest, &drained);
        let hard = Rules { cap: Cap::Hard(CAP_CANDIDATES), ..Rules::NORMATIVE };
        assert!(drain(committee, &logs, hard, 20).is_none(), "a hard cap halts");
    }
}
