use fairveil_release::transaction::RawTransaction;

use super::fake::{BASE_FEE, FAILS, FakeChain, Fault, REFUSED};
use super::*;
use crate::released::{ReleasedBlock, ReleasedError};

const A: u64 = 901;
const B: u64 = 902;
const GENESIS_S: u64 = 1_000;
const CHANGING: [&str; 4] = ["eth_sendRawTransaction", "evm_mine", "evm_revert", "anvil_rollback"];

/// Two chains and who feeds them.
struct World {
    a: FakeChain,
    b: FakeChain,
    chains: DevelopmentChains,
}

impl World {
    async fn start() -> Self {
        let [a, b] = [A, B].map(|chain_id| FakeChain::start(chain_id, GENESIS_S));
        let endpoints = BTreeMap::from([(A, a.endpoint()), (B, b.endpoint())]);
        let chains = DevelopmentChains::connect(endpoints).await.unwrap();
        Self { a, b, chains }
    }

    fn heads(&self) -> [(usize, B256); 2] {
        [self.a.head(), self.b.head()]
    }

    /// Calls that change something, by chain.
    fn changes(&self) -> [usize; 2] {
        [self.a.count(&CHANGING), self.b.count(&CHANGING)]
    }
}

fn raw(first: u8, number: u64) -> RawTransaction {
    [&[first][..], &number.to_be_bytes()].concat().into()
}

fn released(number: u64, time_ms: u64, count: u64) -> ReleasedBlock {
    let transactions = (0..count).map(|index| raw(2, number * 100 + index)).collect();
    ReleasedBlock { number, time_ms, transactions }
}

/// Slot k of a rollup of 1 s and one of 500 ms.
fn slot(k: u64) -> ReleasedSlot {
    let start_ms = (GENESIS_S + 2 * k) * 1_000;
    let a = (1..=2).map(|i| released(2 * k + i, start_ms + 1_000 * i, 2 + i)).collect();
    let b = (1..=4).map(|i| released(4 * k + i, start_ms + 500 * i, i % 3)).collect();
    ReleasedSlot { rollups: BTreeMap::from([(A, a), (B, b)]) }
}

fn hash(raw: &RawTransaction) -> B256 {
    keccak256(raw.as_bytes())
}

/// The transactions of the slot, by chain and block.
fn hashes(mined: &MinedSlot) -> Vec<(u64, Place, Vec<B256>)> {
    let mut shown = Vec::new();
    for (chain_id, blocks) in &mined.rollups {
        for block in blocks {
            let hashes = block.receipts.iter().map(|receipt| receipt.transaction).collect();
            shown.push((*chain_id, block.place, hashes));
        }
    }
    shown
}

#[tokio::test]
async fn a_slot_is_mined_exactly_invariant_1() {
    let mut world = World::start().await;
    world.a.state().pool.push(b"somebody else's"[..].to_vec().into());
    let slot = slot(0);
    let mined = world.chains.release(&slot).await.unwrap();
    let list = |chain_id: u64, blocks: &[usize]| -> Vec<B256> {
        let blocks = blocks.iter().map(|&index| &slot.rollups[&chain_id][index]);
        blocks.flat_map(|block| &block.transactions).map(hash).collect()
    };
    let place = |first, last, timestamp_s| Place { first, last, timestamp_s };
    let expected = [
        (A, place(1, 1, GENESIS_S + 1), list(A, &[0])),
        (A, place(2, 2, GENESIS_S + 2), list(A, &[1])),
        (B, place(1, 2, GENESIS_S + 1), list(B, &[0, 1])),
        (B, place(3, 4, GENESIS_S + 2), list(B, &[2, 3])),
    ];
    assert_eq!(hashes(&mined), expected);
    let block = &mined.rollups[&A][1];
    assert_eq!((block.number, block.hash), world.a.head_as_block());
    assert_eq!(block.base_fee, BASE_FEE - 1);
    let receipt = block.receipts[3];
    assert_eq!((receipt.index, receipt.end, receipt.gas_used), (3, End::Succeeded, 21_003));
}

impl FakeChain {
    fn head_as_block(&self) -> (u64, B256) {
        let (number, hash) = self.head();
        (number as u64, hash)
    }
}

#[tokio::test]
async fn a_failing_transaction_is_mined_too() {
    let mut world = World::start().await;
    let mut slot = slot(0);
    slot.rollups.get_mut(&A).unwrap()[0].transactions[1] = raw(FAILS, 1);
    let mined = world.chains.release(&slot).await.unwrap();
    let ends: Vec<End> = mined.rollups[&A][0].receipts.iter().map(|r| r.end).collect();
    assert_eq!(ends, [End::Succeeded, End::Failed, End::Succeeded]);
}

#[tokio::test]
async fn a_difference_undoes_the_slot_on_all_rollups_invariant_2() {
    let [first, second, last] = [300, 301, 302].map(|number| hash(&raw(2, number)));
    let block = "rollup 901: released block 3 of 1003 s";
    let mined = "was mined as block 3 (";
    let cases = [
        (
            Fault::Reorders,
            vec![mined.to_owned(), format!("transaction 0 is {second}, expected {first}")],
        ),
        (
            Fault::DropsOne,
            vec![mined.to_owned(), format!("transaction 2 is nothing, expected {last}")],
        ),
        (
            Fault::AddsOne,
            vec![format!("transaction 0 is {}, expected {first}", keccak256("foreign"))],
        ),
        (Fault::Late, vec!["but its timestamp is 1004 s, expected 1003 s".to_owned()]),
        (Fault::Renames, vec!["transaction 0 was taken as ".to_owned()]),
        (Fault::MixesReceipts, vec!["block 3: receipt 0 is of place 1, expected 0".to_owned()]),
    ];
    for (fault, words) in cases {
        let mut world = World::start().await;
        world.chains.release(&slot(0)).await.unwrap();
        let heads = world.heads();
        world.a.fail(fault);
        let error = world.chains.release(&slot(1)).await.unwrap_err();
        assert!(matches!(error, ReleaseError::Undone { .. }), "{error}");
        let text = error.to_string();
        let begin = format!("the slot was undone on all rollups: {block}");
        assert!(text.starts_with(&begin), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(world.heads(), heads, "{fault:?}");
        assert!(world.a.state().pool.is_empty() && world.b.state().pool.is_empty());

        // As if nothing had been tried.
        world.a.fail(Fault::Nothing);
        let mined = world.chains.release(&slot(1)).await.unwrap();
        for blocks in mined.rollups.values() {
            assert_eq!(blocks[0].base_fee, BASE_FEE - 2, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_transaction_undoes_the_slot_on_all_rollups_invariant_2() {
    let mut world = World::start().await;
    let heads = world.heads();
    let mut slot = slot(0);
    let refused = raw(REFUSED, 7);
    slot.rollups.get_mut(&B).unwrap()[3].transactions.push(refused.clone());
    let error = world.chains.release(&slot).await.unwrap_err();
    let text = format!(
        "the slot was undone on all rollups: rollup 902: released blocks 3 to 4 of 1002 s, \
         transaction 1 ({}): eth_sendRawTransaction was refused with -32003: nonce too low",
        hash(&refused),
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(world.heads(), heads);
}

#[tokio::test]
async fn what_is_mined_is_recognised_invariant_3() {
    let mut world = World::start().await;
    let mut slots = Vec::new();
    for k in 0..5 {
        slots.push(world.chains.release(&slot(k)).await.unwrap());
    }
    let changes = world.changes();
    for k in [4, 0, 2] {
        assert_eq!(world.chains.release(&slot(k)).await.unwrap(), slots[k as usize]);
    }
    assert_eq!(world.changes(), changes);
}

/// B dies after every number of calls, comes back, and the slot is released again.
#[tokio::test]
async fn what_was_begun_is_completed_invariant_3() {
    for begun in [0, 1] {
        let expected = World::start_and_release(&[slot(0)]).await;
        for calls in 0.. {
            let mut world = if begun == 0 { World::start().await } else { crashed().await };
            world.b.fail(Fault::DiesAfter(calls));
            let Err(error) = world.chains.release(&slot(0)).await else {
                assert!(calls > 10, "{calls} calls were enough");
                break;
            };
            match &error {
                ReleaseError::Refused(RefusedSlot::Rpc { chain_id: B, .. })
                | ReleaseError::NotBegun { .. } => assert_eq!(world.a.count(&CHANGING), 0),
                ReleaseError::NotUndone { faults, undo } => {
                    assert_eq!(faults.by_chain().keys().collect::<Vec<_>>(), [&B]);
                    assert_eq!(undo.by_chain().keys().collect::<Vec<_>>(), [&B]);
                    assert_eq!(world.a.head().0, 0, "{calls}: A is undone");
                }
                _ => panic!("{calls}: {error}"),
            }
            world.b.fail(Fault::Nothing);
            let mined = world.chains.release(&slot(0)).await.unwrap();
            assert_eq!(mined, expected, "{calls}");
            assert_eq!((world.a.head().0, world.b.head().0), (2, 2), "{calls}");
        }
    }
}

/// A mines late, and B dies while it is undone.
#[tokio::test]
async fn what_was_left_by_a_broken_undo_is_completed_invariant_3() {
    let mut broken = 0;
    for calls in 0..24 {
        let mut world = crashed().await;
        world.a.state().blocks.truncate(1);
        world.a.state().next_base_fee = BASE_FEE;
        world.a.fail(Fault::Late);
        world.b.fail(Fault::DiesAfter(calls));
        let error = world.chains.release(&slot(0)).await.unwrap_err();
        broken += usize::from(matches!(error, ReleaseError::NotUndone { .. }));
        world.a.fail(Fault::Nothing);
        world.b.fail(Fault::Nothing);
        let mined = world.chains.release(&slot(0)).await.unwrap();
        let expected = World::start_and_release(&[slot(0)]).await;
        assert_eq!(hashes(&mined), hashes(&expected), "{calls}: {error}");
    }
    assert!(broken > 10, "{broken}");
}

impl World {
    async fn start_and_release(slots: &[ReleasedSlot]) -> MinedSlot {
        let mut world = Self::start().await;
        let mut mined = None;
        for slot in slots {
            mined = Some(world.chains.release(slot).await.unwrap());
        }
        mined.unwrap()
    }
}

/// A has all of slot 0, B its first block and a part of the next one in the pool.
async fn crashed() -> World {
    let world = World::start().await;
    let slot = slot(0);
    for block in &slot.rollups[&A] {
        let mut a = world.a.state();
        a.pool.extend(block.transactions.iter().map(|raw| raw.as_bytes().to_vec().into()));
        a.mine(block.time_ms / 1_000);
    }
    let blocks = &slot.rollups[&B];
    let first = blocks[..2].iter().flat_map(|block| &block.transactions);
    let mut b = world.b.state();
    b.pool.extend(first.map(|raw| raw.as_bytes().to_vec().into()));
    b.mine(GENESIS_S + 1);
    b.pool.push(blocks[3].transactions[0].as_bytes().to_vec().into());
    drop(b);
    world
}

#[tokio::test]
async fn mined_on_some_is_completed_on_the_others_invariant_3() {
    let mut world = crashed().await;
    let (a, first_of_b) = (world.a.head(), world.b.state().blocks[1].hash);
    let mined = world.chains.release(&slot(0)).await.unwrap();
    let expected = World::start_and_release(&[slot(0)]).await;
    assert_eq!(hashes(&mined), hashes(&expected));
    assert_eq!(world.a.head(), a);
    assert_eq!(world.a.count(&CHANGING), 0);
    assert_eq!(mined.rollups[&B][0].hash, first_of_b);
    assert_eq!(world.b.count(&["evm_mine"]), 1);
}

#[tokio::test]
async fn what_can_not_be_completed_is_undone_everywhere_invariant_3() {
    let mut world = crashed().await;
    world.b.fail(Fault::Late);
    let error = world.chains.release(&slot(0)).await.unwrap_err();
    assert!(matches!(error, ReleaseError::Undone { .. }), "{error}");
    assert_eq!((world.a.head().0, world.b.head().0), (0, 0));
    assert!(world.b.state().pool.is_empty());

    world.b.fail(Fault::Nothing);
    let mined = world.chains.release(&slot(0)).await.unwrap();
    // Block for block as if nothing had happened, base fees included.
    assert_eq!(mined, World::start_and_release(&[slot(0)]).await);
}

#[tokio::test]
async fn a_chain_that_can_not_be_undone_is_named_invariant_2() {
    let mut world = World::start().await;
    world.a.fail(Fault::Late);
    world.b.fail(Fault::Forgets);
    let error = world.chains.release(&slot(0)).await.unwrap_err();
    let ReleaseError::NotUndone { faults, undo } = &error else { panic!("{error}") };
    assert_eq!(faults.by_chain().keys().collect::<Vec<_>>(), [&A]);
    assert_eq!(undo.to_string(), "rollup 902: snapshot 0x0 is gone");
    assert_eq!((world.a.head().0, world.b.head().0), (0, 2));
}

#[tokio::test]
async fn nothing_is_sent_before_all_were_examined_invariant_4() {
    let mut world = World::start().await;
    let refused = |error: ReleaseError| {
        assert!(matches!(error, ReleaseError::Refused(_)), "{error}");
        error.to_string()
    };

    // B is in the future.
    world.b.state().mine(GENESIS_S + 9);
    let text = refused(world.chains.release(&slot(0)).await.unwrap_err());
    assert_eq!(
        text,
        "nothing was sent: rollup 902: timestamps must rise, but block 1 is of 1009 s and the slot \
         begins with released blocks 1 to 2 of 1001 s"
    );
    // As old as the genesis.
    let mut early = slot(4);
    early.rollups.insert(A, vec![released(1, GENESIS_S * 1_000, 1)]);
    let text = refused(world.chains.release(&early).await.unwrap_err());
    assert!(text.contains("block 0 is of 1000 s and the slot begins with"), "{text}");
    // Other transactions at the slot's time.
    world.b.state().mine(GENESIS_S + 11);
    let text = refused(world.chains.release(&slot(5)).await.unwrap_err());
    let expected = hash(&raw(2, 2_100));
    assert_eq!(
        text,
        format!(
            "nothing was sent: rollup 902: block 2 stands where the slot has released blocks 21 to \
             22 of 1011 s: transaction 0 is nothing, expected {expected}"
        )
    );
    let mut unknown = slot(9);
    unknown.rollups.insert(7, Vec::new());
    let text = refused(world.chains.release(&unknown).await.unwrap_err());
    assert!(text.ends_with("blocks of rollup 7, which has no development chain"), "{text}");
    let mut falling = slot(9);
    falling.rollups.get_mut(&B).unwrap()[1].time_ms = 1;
    let error = world.chains.release(&falling).await.unwrap_err();
    let expected = ReleasedError::Time { number: 38, previous_ms: 1_018_500, next_ms: 1 };
    let ReleaseError::Refused(RefusedSlot::Slot { chain_id: B, why }) = error else {
        panic!("{error}")
    };
    assert_eq!(why, expected);
    assert_eq!(world.changes(), [0, 0]);
}

#[tokio::test]
async fn a_slot_under_later_blocks_is_not_completed() {
    let mut world = crashed().await;
    world.a.state().mine(GENESIS_S + 3);
    let error = world.chains.release(&slot(0)).await.unwrap_err();
    assert!(error.to_string().contains("rollup 901 has mined 1 blocks after the slot"), "{error}");
    assert_eq!(world.changes(), [0, 0]);
}

#[tokio::test]
async fn an_empty_block_is_mined_and_an_empty_slot_is_done() {
    let mut world = World::start().await;
    let empty = released(1, (GENESIS_S + 1) * 1_000, 0);
    let rollups = BTreeMap::from([(A, vec![empty]), (B, Vec::new())]);
    let mined = world.chains.release(&ReleasedSlot { rollups }).await.unwrap();
    assert_eq!((world.a.head().0, world.b.head().0), (1, 0));
    assert_eq!((mined.rollups[&A].len(), mined.rollups[&B].len()), (1, 0));
    assert_eq!(mined.rollups[&A][0].receipts, []);
}

#[tokio::test]
async fn only_a_chain_that_mines_on_demand_in_order_is_taken() {
    let chain = FakeChain::start(A, GENESIS_S);
    let connect = |chain_id| {
        let endpoints = BTreeMap::from([(chain_id, chain.endpoint())]);
        async move { DevelopmentChains::connect(endpoints).await.map(|_| ()) }
    };
    connect(A).await.unwrap();
    let text = connect(B).await.unwrap_err().to_string();
    assert_eq!(text, "rollup 902: the endpoint is of chain 901");
    chain.state().order = "fees";
    let text = connect(A).await.unwrap_err().to_string();
    assert!(text.contains("orders by \"fees\""), "{text}");
    for (automine, interval_s) in [(true, None), (false, Some(2))] {
        chain.state().automine = automine;
        chain.state().interval_s = interval_s;
        let text = connect(A).await.unwrap_err().to_string();
        assert!(text.contains("mines by itself"), "{text}");
    }
    chain.fail(Fault::DiesAfter(0));
    assert!(matches!(connect(A).await, Err(ConnectError::Rpc { chain_id: A, .. })));
    let many = (0..=MAX_CHAINS as u64).map(|chain_id| (chain_id, chain.endpoint())).collect();
    let error = DevelopmentChains::connect(many).await.unwrap_err();
    assert_eq!(error.to_string(), "65 development chains, the limit is 64");
}
