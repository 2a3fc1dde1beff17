//! What `release::op` writes, read by kona: its complete derivation pipeline over an L1 in memory.
//!
//! Numbers are those of the invariants in `release/src/op.rs`. `FAIRVEIL_SEEDS` sets how many
//! histories each test takes; a failure prints the seed.

mod command;
mod l1;
mod l1_attributes;
mod l2;
mod others;
mod pipeline;
mod released;
mod scenario;
mod transactions;

use std::collections::BTreeMap;
use std::ops::Range;

use alloy_primitives::Address;
use fairveil_release::op::batcher::{BatcherKey, batcher_transactions};
use fairveil_release::op::channel::{Channel, MAX_FRAME_BYTES};
use fairveil_release::op::sub_blocks::{SubBlock, enclosing_blocks};
use fairveil_release::op::{L2Block, Parent};
use fairveil_release::transaction::RawTransaction;
use rand::Rng;

use crate::others::{kona_span_batch, kona_span_batch_again, singular_channel};
use crate::pipeline::{Upgrades, derived};
use crate::scenario::{Posted, Scenario, key, secret, signed, terms};

/// The seeds of a test, `count` of them if nothing else is asked for.
fn seeds(count: u64) -> Range<u64> {
    let asked = std::env::var("FAIRVEIL_SEEDS").ok();
    0..asked.map_or(count, |asked| asked.parse().expect("FAIRVEIL_SEEDS is a number"))
}

/// A random history: a third of them read by the rules of Delta, half of block time 2 s.
fn scenario(seed: u64) -> Scenario {
    let upgrades = if seed.is_multiple_of(3) { Upgrades::Delta } else { Upgrades::Isthmus };
    Scenario::new(seed, upgrades, 1 + seed % 2)
}

/// The blocks of the channels before this one.
fn blocks_before(scenario: &Scenario, channel: usize) -> Vec<L2Block> {
    scenario.channels[..channel].iter().flatten().flatten().cloned().collect()
}

/// Changes one bit of a random byte of a frame, where the change says something else: not the
/// name of a channel of one frame.
fn tampered(scenario: &mut Scenario, posted: &Posted, frame: usize) -> Vec<u8> {
    let mut calldata = posted.channel.frames()[frame].calldata().to_vec();
    let one = posted.channel.frames().len() == 1;
    let place = match scenario.rng.random_range(0..calldata.len()) {
        1..17 if one => 0,
        place => place,
    };
    let is_last = place + 1 == calldata.len();
    calldata[place] ^= if is_last { 0x01 } else { 0xff };
    calldata
}

/// What the histories contained, so that nobody takes empty ones for a proof.
#[derive(Debug, Default)]
struct Coverage {
    blocks: usize,
    empty_blocks: usize,
    moved_origins: usize,
    batches: usize,
    channels: usize,
    frames: usize,
    /// By type; a list has none: 0.
    transactions: BTreeMap<u8, usize>,
}

impl Coverage {
    fn add(&mut self, scenario: &Scenario, posted: &[Posted]) {
        let blocks = scenario.all_blocks();
        let origins = blocks.windows(2).filter(|pair| pair[0].l1_origin != pair[1].l1_origin);
        self.moved_origins += origins.count();
        self.blocks += blocks.len();
        self.empty_blocks += blocks.iter().filter(|block| block.transactions.is_empty()).count();
        self.batches += scenario.channels.iter().map(Vec::len).sum::<usize>();
        self.channels += scenario.channels.len();
        self.frames += posted.iter().map(|posted| posted.transactions.len()).sum::<usize>();
        for raw in blocks.iter().flat_map(|block| &block.transactions) {
            let first = raw.as_bytes().first().copied().unwrap_or_default();
            let kind = if first < 0x80 { first } else { 0 };
            *self.transactions.entry(kind).or_default() += 1;
        }
    }

    fn assert_enough(&self) {
        let types: Vec<u8> = self.transactions.keys().copied().collect();
        assert_eq!(types, [0, 1, 2, 4], "{self:?}");
        assert!(self.transactions.values().all(|count| *count > 100), "{self:?}");
        assert!(self.empty_blocks > 100 && self.empty_blocks < self.blocks, "{self:?}");
        assert!(self.moved_origins > 100 && self.batches > self.channels, "{self:?}");
        assert!(self.frames > self.channels, "{self:?}");
    }
}

#[test]
fn every_history_is_derived_exactly_invariant_1() {
    let seeds = seeds(300);
    let enough = seeds.end >= 300;
    let mut coverage = Coverage::default();
    for seed in seeds {
        let mut scenario = scenario(seed);
        let posted = scenario.post_own();
        let l1 = scenario.l1(&posted);
        assert_eq!(derived(&scenario.rollup, &l1), scenario.all_blocks(), "seed {seed}");
        coverage.add(&scenario, &posted);
    }
    println!("{coverage:?}");
    if enough {
        coverage.assert_enough();
    }
}

/// Thousands of transactions in one span batch, in frames as large as they may be.
#[test]
fn a_large_channel_is_derived_exactly_invariant_1() {
    let mut scenario = Scenario::empty(1, Upgrades::Isthmus, 2);
    let Parent { number, timestamp_s, l1_origin, .. } = scenario.rollup.genesis;
    let block = |step| {
        let transactions = scenario.transactions(400);
        let (number, timestamp_s) = (number + step, timestamp_s + 2 * step);
        L2Block { number, timestamp_s, l1_origin, transactions }
    };
    let blocks: Vec<L2Block> = (1..=16).map(block).collect();
    scenario.channels = vec![vec![blocks.clone()]];
    let (_, _, batch) = scenario.span_batches().remove(0);
    let channel = Channel::new(&scenario.rollup.chain, &[batch], MAX_FRAME_BYTES);
    let channel = channel.expect("a channel");
    let key = BatcherKey::from_bytes(scenario.secret).expect("a secret");
    let transactions = batcher_transactions(&terms(scenario.rollup.inbox), &key, 0, &channel);
    let transactions = transactions.expect("signed");
    let count: usize = blocks.iter().map(|block| block.transactions.len()).sum();
    assert!(count >= 2_000 && transactions.len() >= 4, "{count} in {}", transactions.len());
    let posted = Posted { channel, transactions, after: l1_origin.number };
    let l1 = scenario.l1(&[posted]);
    assert!(derived(&scenario.rollup, &l1) == blocks);
}

#[test]
fn a_foreign_batcher_gives_no_blocks() {
    for seed in seeds(60) {
        let mut scenario = scenario(seed);
        let foreign = key(&mut scenario.rng);
        let posted = scenario.post(&foreign);
        let l1 = scenario.l1(&posted);
        assert_eq!(derived(&scenario.rollup, &l1), [], "seed {seed}");
    }
}

#[test]
fn what_others_send_and_what_goes_elsewhere_changes_nothing() {
    for seed in seeds(60) {
        let mut scenario = scenario(seed);
        let (own, foreign) = (scenario.secret, secret(&mut scenario.rng));
        let mut posted = scenario.post_own();
        for channel in &mut posted {
            let transactions = std::mem::take(&mut channel.transactions);
            for (frame, transaction) in transactions.into_iter().enumerate() {
                let wrong = tampered(&mut scenario, channel, frame);
                let right = channel.channel.frames()[frame].calldata().to_vec();
                let inbox = scenario.rollup.inbox;
                channel.transactions.push(signed(&foreign, inbox, wrong.clone()));
                channel.transactions.push(signed(&foreign, inbox, right.clone()));
                channel.transactions.push(signed(&own, Address::repeat_byte(1), wrong));
                channel.transactions.push(transaction);
            }
        }
        let l1 = scenario.l1(&posted);
        assert_eq!(derived(&scenario.rollup, &l1), scenario.all_blocks(), "seed {seed}");
    }
}

#[test]
fn a_tampered_frame_ends_the_chain_before_its_channel() {
    for seed in seeds(200) {
        let mut scenario = scenario(seed);
        let mut posted = scenario.post_own();
        let channel = scenario.rng.random_range(0..posted.len());
        let frame = scenario.rng.random_range(0..posted[channel].transactions.len());
        let wrong = tampered(&mut scenario, &posted[channel], frame);
        posted[channel].transactions[frame] =
            signed(&scenario.secret, scenario.rollup.inbox, wrong);
        let l1 = scenario.l1(&posted);
        let expected = blocks_before(&scenario, channel);
        assert_eq!(derived(&scenario.rollup, &l1), expected, "seed {seed}");
    }
}

#[test]
fn a_lost_frame_ends_the_chain_before_its_channel() {
    for seed in seeds(60) {
        let mut scenario = scenario(seed);
        let mut posted = scenario.post_own();
        let channel = scenario.rng.random_range(0..posted.len());
        let frame = scenario.rng.random_range(0..posted[channel].transactions.len());
        posted[channel].transactions.remove(frame);
        let l1 = scenario.l1(&posted);
        let expected = blocks_before(&scenario, channel);
        assert_eq!(derived(&scenario.rollup, &l1), expected, "seed {seed}");
    }
}

/// A rollup of four blocks a second: what is derived is each second's transactions, in order.
#[test]
fn sub_blocks_are_derived_by_the_second_invariant_6() {
    for seed in seeds(100) {
        let mut scenario = Scenario::empty(seed, Upgrades::Isthmus, 1);
        let genesis = scenario.rollup.genesis;
        let mut l1_origin = genesis.l1_origin;
        let mut sub_blocks = Vec::new();
        let mut by_second: BTreeMap<u64, Vec<RawTransaction>> = BTreeMap::new();
        for step in 0..scenario.rng.random_range(1..80) {
            let time_ms = genesis.timestamp_s * 1_000 + (step + 1) * 250;
            let second = time_ms.div_ceil(1_000);
            if step % 4 == 0 {
                l1_origin = scenario.next_origin(l1_origin, second);
            }
            let transactions = scenario.transactions(3);
            by_second.entry(second).or_default().extend(transactions.clone());
            sub_blocks.push(SubBlock { time_ms, l1_origin, transactions });
        }
        let chain = scenario.rollup.chain;
        let blocks = enclosing_blocks(&chain, &genesis, &sub_blocks).expect("a block a second");
        scenario.cut(blocks);
        let posted = scenario.post_own();
        let l1 = scenario.l1(&posted);
        let derived = derived(&scenario.rollup, &l1);
        let pairs = derived.into_iter().map(|block| (block.timestamp_s, block.transactions));
        assert_eq!(pairs.collect::<BTreeMap<_, _>>(), by_second, "seed {seed}");
    }
}

/// The same blocks as singular batches, written by kona's types alone.
#[test]
fn singular_batches_of_others_give_the_same_blocks() {
    for seed in seeds(60) {
        let mut scenario = scenario(seed);
        let mut posted = scenario.post_own();
        let mut parent = scenario.rollup.genesis;
        for (channel, spans) in posted.iter_mut().zip(&scenario.channels) {
            let blocks: Vec<L2Block> = spans.iter().flatten().cloned().collect();
            let calldata = singular_channel(&mut parent, &blocks);
            channel.transactions = calldata
                .into_iter()
                .map(|data| signed(&scenario.secret, scenario.rollup.inbox, data))
                .collect();
        }
        let l1 = scenario.l1(&posted);
        assert_eq!(derived(&scenario.rollup, &l1), scenario.all_blocks(), "seed {seed}");
    }
}

/// Two encoders of span batches: ours, and kona's own from single batches.
#[test]
fn span_batches_are_the_bytes_that_kona_writes() {
    for seed in seeds(100) {
        let scenario = scenario(seed);
        for (parent, span, batch) in scenario.span_batches() {
            let expected = kona_span_batch(&scenario.rollup.chain, &parent, &span);
            assert_eq!(batch.as_bytes(), expected, "seed {seed}");
            assert_eq!(kona_span_batch_again(batch.as_bytes()), expected, "seed {seed}");
        }
    }
}
