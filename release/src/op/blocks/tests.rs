#![allow(clippy::unwrap_used)]

use alloy_primitives::B256;
use fairveil_crypto::{Height, NetworkId};

use super::super::world::{CHAIN, origin, parent, transfer};
use super::*;
use crate::batch::Block;

/// Blocks every 500 ms in slots of 4 s that start at 1,010 s, on nodes that count in 2 s.
fn timing() -> Timing {
    let times = BlockTimes { genesis_ms: 1_002_000, interval_ms: 500 };
    let slow = BlockTimes { genesis_ms: 1_002_000, interval_ms: 4_000 };
    let clock = SlotClock::new(&[times, slow]).unwrap();
    Timing { clock, times, chain: CHAIN, max_drift_s: 600 }
}

/// L1 blocks 70 to 79 every 3 s from 1,008 s on.
fn l1() -> L1Blocks {
    let block = |step: u64| L1Block { origin: origin(70 + step), timestamp_s: 1_008 + 3 * step };
    L1Blocks::new((0..10).map(block).collect()).unwrap()
}

/// A batch of slot `slot` whose blocks are at these times.
fn batch(slot: u64, times_ms: &[u64]) -> Batch {
    let block = |time_ms: &u64| Block {
        number: (time_ms - 1_002_000) / 500,
        time_ms: *time_ms,
        bundles: Vec::new(),
        transactions: vec![transfer(*time_ms)],
    };
    Batch {
        network_id: NetworkId::from_bytes([1; 32]),
        chain_id: 901,
        height: Height::new(10 * slot),
        slot: SlotNumber::new(slot),
        validation: Validation::Simulated,
        blocks: times_ms.iter().map(block).collect(),
    }
}

/// Number, timestamp, L1 origin and how many transactions.
fn shown(blocks: &[L2Block]) -> Vec<(u64, u64, u64, usize)> {
    let shown = |block: &L2Block| {
        (block.number, block.timestamp_s, block.l1_origin.number, block.transactions.len())
    };
    blocks.iter().map(shown).collect()
}

fn made(batches: &[Batch]) -> Result<Vec<L2Block>, BlocksError> {
    released_blocks(&timing(), &l1(), &parent(), batches, false)
}

/// Slot 2 is that of (1,010 s, 1,014 s].
#[test]
fn blocks_follow_the_parent_without_a_gap_invariant_1() {
    let batches = [
        batch(0, &[1_003_000]),
        batch(2, &[1_010_500, 1_012_000, 1_014_000]),
        // Nothing was cut for slot 3.
        batch(4, &[1_018_500]),
    ];
    let blocks = made(&batches).unwrap();
    let expected = [
        (6, 1_012, 71, 2),
        (7, 1_014, 72, 1),
        (8, 1_016, 72, 0),
        (9, 1_018, 73, 0),
        (10, 1_020, 74, 1),
        (11, 1_022, 74, 0),
    ];
    assert_eq!(shown(&blocks), expected);
    let raw = [1_010_500, 1_012_000].map(transfer).to_vec();
    assert_eq!(blocks[0].transactions, raw);
    assert_eq!(made(&batches[..1]), Ok(Vec::new()));
    assert_eq!(made(&[]), Ok(Vec::new()));
}

#[test]
fn a_missing_slot_is_noticed_invariant_1() {
    let late = [batch(3, &[])];
    let error = made(&late).unwrap_err();
    let [actual, expected] = [3, 2].map(SlotNumber::new);
    assert_eq!(error, BlocksError::Missing { actual, height: 30, expected });
    // The network's first release: no slot before it was cut.
    let blocks = released_blocks(&timing(), &l1(), &parent(), &late, true).unwrap();
    assert_eq!(blocks.len(), 4);
}

/// Slots of 500 ms end within the second; what is not over is left for later.
#[test]
fn an_unfinished_block_is_left_out_invariant_2() {
    let clock = SlotClock::new(&[timing().times]).unwrap();
    let timing = Timing { clock, ..timing() };
    let slot = timing.clock.slot_at(1_010_000).get();
    let made = |slots: u64| {
        let batches: Vec<_> =
            (0..slots).map(|step| batch(slot + step, &[1_010_500 + 500 * step])).collect();
        released_blocks(&timing, &l1(), &parent(), &batches, false).unwrap()
    };
    assert_eq!(shown(&made(3)), []);
    assert_eq!(shown(&made(4)), [(6, 1_012, 71, 4)]);
    assert_eq!(shown(&made(7)), [(6, 1_012, 71, 4)]);
}

#[test]
fn what_derivation_would_drop_is_refused_invariant_3() {
    let batches = [batch(2, &[1_012_000])];
    let with = |timing: &Timing, l1: &L1Blocks, parent: &Parent| {
        released_blocks(timing, l1, parent, &batches, false).unwrap_err()
    };
    let odd = Parent { timestamp_s: 1_012, ..parent() };
    let start_ms = 1_014_000;
    assert_eq!(with(&timing(), &l1(), &odd), BlocksError::Parent { parent_s: 1_012, start_ms });
    for block_time_s in [0, 1] {
        let times = BlockTimes { interval_ms: 1_500, ..timing().times };
        let timing = Timing { times, chain: Chain { block_time_s, ..CHAIN }, ..timing() };
        let expected = BlocksError::BlockTime { block_time_s, interval_ms: 1_500 };
        assert_eq!(with(&timing, &l1(), &parent()), expected);
    }
    let hash = B256::repeat_byte(9);
    let other = Parent { l1_origin: L1Origin { number: 70, hash }, ..parent() };
    assert_eq!(with(&timing(), &l1(), &other), BlocksError::Origin { number: 70, hash });
    for number in [69, 80] {
        let other = Parent { l1_origin: origin(number), ..parent() };
        let error = with(&timing(), &l1(), &other);
        assert!(matches!(error, BlocksError::Origin { .. }), "{error}");
    }
    let old = L1Blocks::new(l1().blocks()[..1].to_vec()).unwrap();
    let timing = Timing { max_drift_s: 3, ..timing() };
    let expected = BlocksError::Drift { number: 6, origin: 70, drift_s: 4, limit_s: 3 };
    assert_eq!(with(&timing, &old, &parent()), expected);
    // An empty block may be as late as it likes.
    let empty = [batch(2, &[])];
    assert!(released_blocks(&timing, &old, &parent(), &empty, false).is_ok());
}

#[test]
fn what_was_not_simulated_is_refused_invariant_4() {
    let slot = SlotNumber::new(2);
    let batch = Batch { validation: Validation::Unvalidated, ..batch(2, &[]) };
    assert_eq!(made(&[batch]).unwrap_err(), BlocksError::Unvalidated { slot });
}

#[test]
fn l1_blocks_follow_each_other() {
    let block = |number, timestamp_s| L1Block { origin: origin(number), timestamp_s };
    let error = |blocks: &[L1Block]| L1Blocks::new(blocks.to_vec()).unwrap_err();
    assert_eq!(error(&[]), BlocksError::NoL1);
    let gap = BlocksError::L1Number { previous: 1, next: 3 };
    assert_eq!(error(&[block(1, 1), block(3, 2)]), gap);
    let same = BlocksError::L1Time { number: 2, previous_s: 5, next_s: 5 };
    assert_eq!(error(&[block(1, 5), block(2, 5)]), same);
}
