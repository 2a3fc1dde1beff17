//! Every batch that a simulated committee released, as its rollup's nodes derive it.
//!
//! `FAIRVEIL_BATCHES` names a folder of what `fairveil simulate committee --suite rollups --batches`
//! wrote; without it the runs that are kept in `tests/derivation/runs` are taken.

use std::fs;
use std::path::{Path, PathBuf};

use fairveil_release::batch::Batch;
use fairveil_release::op::released::released_sub_blocks;
use fairveil_release::op::sub_blocks::enclosing_blocks;
use fairveil_release::op::{Chain, L2Block};
use fairveil_release::registry::Registry;
use fairveil_release::transaction::RawTransaction;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::Deserialize;

use crate::pipeline::{Upgrades, derived};
use crate::scenario::{Scenario, key};

/// What a run released.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Released {
    rollups: Registry,
    batches: Vec<Batch>,
}

fn runs() -> Vec<(PathBuf, Released)> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
    let folder = std::env::var_os("FAIRVEIL_BATCHES").map_or(kept, PathBuf::from);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no runs", folder.display());
    let read = |path: PathBuf| {
        #[expect(clippy::disallowed_methods, reason = "a test reads its runs")]
        let text = fs::read(&path).expect("a readable file");
        let run = serde_json::from_slice(&text);
        let run = run.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, run)
    };
    files.into_iter().map(read).collect()
}

/// The rollups that got batches: not one that left before its first slot was cut.
fn served(run: &Released) -> Vec<u64> {
    let mut ids = run.rollups.chain_ids();
    ids.retain(|chain_id| run.batches.iter().any(|batch| batch.chain_id == *chain_id));
    ids
}

/// The blocks of one rollup in a history of its own.
fn history(run: &Released, chain_id: u64, seed: u64) -> (Scenario, Vec<Batch>, Vec<L2Block>) {
    let times = run.rollups.rollup(chain_id).expect("registered").blocks.expect("block times");
    let clock = run.rollups.slots().expect("slots").expect("block times");
    let batches: Vec<Batch> =
        run.batches.iter().filter(|batch| batch.chain_id == chain_id).cloned().collect();
    let first = batches.first().expect("a batch").slot;
    let genesis_time_s = clock.start_ms(first) / 1_000;
    let block_time_s = times.interval_ms.div_ceil(1_000);
    let chain = Chain { chain_id, genesis_time_s, block_time_s };
    let mut scenario = Scenario::of(ChaCha20Rng::seed_from_u64(seed), Upgrades::Isthmus, chain);
    let genesis = scenario.rollup.genesis;
    let mut origin = (genesis.timestamp_s, genesis.l1_origin);
    let sub_blocks = released_sub_blocks(&clock, times, first, &batches, |time_ms| {
        // Sub-blocks of one block share an origin.
        let timestamp_s = time_ms.div_ceil(1_000);
        if timestamp_s > origin.0 {
            origin = (timestamp_s, scenario.next_origin(origin.1, timestamp_s));
        }
        origin.1
    });
    let blocks = enclosing_blocks(&chain, &genesis, &sub_blocks).expect("blocks without a gap");
    (scenario, batches, blocks)
}

#[test]
fn every_released_batch_is_derived_and_nothing_of_a_foreign_batcher() {
    let (mut rollups, mut transactions) = (0, 0);
    for (number, (path, run)) in (0u64..).zip(runs()) {
        for chain_id in served(&run) {
            let seed = number * 100 + chain_id;
            let (mut scenario, batches, blocks) = history(&run, chain_id, seed);
            scenario.cut(blocks.clone());
            let posted = scenario.post_own();
            let l1 = scenario.l1(&posted);
            let found = derived(&scenario.rollup, &l1);
            assert_eq!(found, blocks, "{}, rollup {chain_id}", path.display());
            let released: Vec<&RawTransaction> =
                batches.iter().flat_map(Batch::transactions).collect();
            let of_blocks: Vec<&RawTransaction> =
                found.iter().flat_map(|block| &block.transactions).collect();
            assert_eq!(of_blocks, released, "{}, rollup {chain_id}", path.display());
            rollups += 1;
            transactions += released.len();

            let foreign = key(&mut scenario.rng);
            let posted = scenario.post(&foreign);
            let l1 = scenario.l1(&posted);
            assert_eq!(derived(&scenario.rollup, &l1), vec![]);
        }
    }
    println!("{rollups} rollups, {transactions} transactions");
    assert!(transactions > 0);
}

#[test]
fn a_tampered_frame_of_a_released_batch_gives_nothing_from_there_on() {
    for (number, (path, run)) in (0u64..).zip(runs()) {
        let chain_id = served(&run)[0];
        let (mut scenario, _, blocks) = history(&run, chain_id, number);
        scenario.cut(blocks);
        let mut posted = scenario.post_own();
        let channel = scenario.rng.random_range(0..posted.len());
        let frame = scenario.rng.random_range(0..posted[channel].transactions.len());
        let calldata = crate::tampered(&mut scenario, &posted[channel].clone(), frame);
        let (secret, inbox) = (scenario.secret, scenario.rollup.inbox);
        posted[channel].transactions[frame] = crate::scenario::signed(&secret, inbox, calldata);
        let expected = crate::blocks_before(&scenario, channel);
        let l1 = scenario.l1(&posted);
        assert_eq!(derived(&scenario.rollup, &l1), expected, "{}", path.display());
    }
}
