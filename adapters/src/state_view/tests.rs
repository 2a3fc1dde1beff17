use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::{address, bytes, keccak256};
use rayon::prelude::*;

use super::*;
use crate::json_rpc::Limits;
use crate::test_server::{Reply, TestServer};

const PINNED: u64 = 300;
const RICH: Address = address!("0x1000000000000000000000000000000000000001");
const CONTRACT: Address = address!("0x2000000000000000000000000000000000000002");
const CODE: Bytes = bytes!("0x6001600255");

/// What a test's node does, and what it was asked.
#[derive(Default)]
struct Node {
    /// Answers that replace the usual ones, by method.
    instead: BTreeMap<&'static str, Reply>,
    /// From this number on its chain is another one.
    reorganized_from: Option<u64>,
    calls: Vec<(String, Value)>,
}

fn hash_of(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

fn header() -> PinnedHeader {
    PinnedHeader {
        number: PINNED,
        hash: hash_of(PINNED),
        parent_hash: hash_of(PINNED - 1),
        state_root: B256::repeat_byte(7),
        timestamp_s: 1_800_000_000,
        base_fee: 7,
        gas_limit: 30_000_000,
        gas_used: 21_000,
    }
}

fn block(node: &Node, number: u64) -> Value {
    let hash = |number| {
        let other = node.reorganized_from.is_some_and(|from| number >= from);
        if other { hash_of(number + 1_000) } else { hash_of(number) }
    };
    json!({
        "number": Quantity(number),
        "hash": hash(number),
        "parentHash": hash(number.wrapping_sub(1)),
        "stateRoot": B256::repeat_byte(7),
        "timestamp": "0x6b49d200",
        "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
        "transactions": [],
        "extraData": "0x",
    })
}

fn serve(node: Node) -> (TestServer, Arc<Mutex<Node>>) {
    let node = Arc::new(Mutex::new(node));
    let served = Arc::clone(&node);
    let server = TestServer::start(move |_, method, params| {
        let mut node = served.lock().unwrap();
        node.calls.push((method.to_owned(), params.clone()));
        if let Some(reply) = node.instead.get(method) {
            return reply.clone();
        }
        let of: Option<Address> = serde_json::from_value(params[0].clone()).ok();
        Reply::Result(match (method, of) {
            ("eth_chainId", _) => json!("0x385"),
            ("eth_getBalance", Some(RICH)) => json!("0xde0b6b3a7640000"),
            ("eth_getTransactionCount", Some(RICH)) => json!("0x9"),
            ("eth_getTransactionCount", Some(CONTRACT)) => json!("0x1"),
            ("eth_getCode", Some(CONTRACT)) => json!(CODE),
            ("eth_getStorageAt", Some(CONTRACT)) => json!(B256::with_last_byte(5)),
            ("eth_getBalance" | "eth_getTransactionCount", _) => json!("0x0"),
            ("eth_getCode", _) => json!("0x"),
            ("eth_getStorageAt", _) => json!(B256::ZERO),
            ("eth_getBlockByNumber", _) if params[0] == "latest" => block(&node, PINNED),
            ("eth_getBlockByNumber", _) => {
                let number: Quantity = serde_json::from_value(params[0].clone()).unwrap();
                block(&node, number.0)
            }
            ("eth_getBlockByHash", _) => block(&node, PINNED),
            _ => panic!("{method}"),
        })
    });
    (server, node)
}

fn reader(server: &TestServer) -> Arc<Reader> {
    let limits = Limits { call: Duration::from_millis(500), ..Limits::default() };
    Arc::new(Reader::new(server.endpoint(limits)).unwrap())
}

fn state_of(instead: &[(&'static str, Reply)]) -> (TestServer, Arc<Mutex<Node>>, RpcState) {
    let instead = instead.iter().cloned().collect();
    let (server, node) = serve(Node { instead, ..Node::default() });
    let state = reader(&server).pin(header());
    (server, node, state)
}

#[test]
fn reads_are_pinned_to_the_block_invariant_1() {
    let (_server, node, state) = state_of(&[]);
    let rich = Account { nonce: 9, balance: U256::from(10).pow(U256::from(18)), ..none() };
    assert_eq!(state.account(RICH), Ok(Some(rich)));
    assert_eq!(state.storage(CONTRACT, U256::from(2)), Ok(U256::from(5)));
    let pinned = json!({ "blockHash": hash_of(PINNED), "requireCanonical": true });
    let mut calls = node.lock().unwrap().calls.clone();
    calls.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("eth_getBalance", json!([RICH, pinned])),
        ("eth_getCode", json!([RICH, pinned])),
        ("eth_getStorageAt", json!([CONTRACT, "0x2", pinned])),
        ("eth_getTransactionCount", json!([RICH, pinned])),
    ];
    assert_eq!(calls, expected.map(|(method, params)| (method.to_owned(), params)));
    assert_eq!(state.fault(), None);
}

fn none() -> Account {
    Account::of_balance(U256::ZERO)
}

#[test]
fn what_was_read_is_not_asked_for_again_invariant_2() {
    let (_server, node, state) = state_of(&[]);
    for _ in 0..2 {
        state.account(RICH).unwrap();
        state.account(Address::ZERO).unwrap();
        state.storage(CONTRACT, U256::from(2)).unwrap();
        state.storage(CONTRACT, U256::from(3)).unwrap();
        state.block_hash(PINNED - 40).unwrap();
        state.block_hash(PINNED - 1).unwrap();
    }
    assert_eq!(node.lock().unwrap().calls.len(), 2 * 3 + 2 + 40);
}

#[test]
fn an_empty_account_does_not_exist_invariant_3() {
    let (_server, _, state) = state_of(&[]);
    assert_eq!(state.account(Address::ZERO), Ok(None));
}

#[test]
fn codes_are_found_by_their_hash_invariant_4() {
    let (_server, node, state) = state_of(&[]);
    let hash = keccak256(&CODE);
    assert_eq!(state.code(hash), Err(StateError::Code { hash }));
    let account = state.account(CONTRACT).unwrap().unwrap();
    assert_eq!((account.code_hash, account.nonce), (hash, 1));
    assert_eq!(state.code(hash).unwrap().original_bytes(), CODE);
    assert_eq!(state.code(KECCAK256_EMPTY).unwrap().original_bytes(), Bytes::new());

    // Forgotten and read again; then the node says something else.
    let forget = || {
        let filler = Bytecode::new_legacy(vec![1; MAX_CODE_BYTES].into());
        let mut cache = state.cache.lock().unwrap();
        cache.insert_code(RICH, B256::ZERO, filler);
        assert_eq!(cache.code(&hash), (None, Some(CONTRACT)));
    };
    forget();
    assert_eq!(state.code(hash).unwrap().original_bytes(), CODE);
    forget();
    node.lock().unwrap().instead.insert("eth_getCode", Reply::Result(json!("0x6002")));
    assert_eq!(state.code(hash), Err(StateError::Code { hash }));
}

#[test]
fn faults_become_stale_or_unreachable() {
    let (stale, unreachable) = (StateError::Stale, StateError::Unreachable);
    let cases = [
        (Reply::Error(-32_001, "Resource not found"), stale, "Resource not found"),
        (Reply::Error(-32_000, "hash is not currently canonical"), stale, "canonical"),
        (Reply::Result(Value::Null), stale, "null"),
        (Reply::Error(-32_601, "Method not found"), unreachable, "Method not found"),
        (Reply::Result(json!("12")), unreachable, "something else"),
        (Reply::Http(502, String::new()), unreachable, "502"),
        (Reply::HangUp, unreachable, "can't be reached"),
        (Reply::Never, unreachable, "no answer"),
    ];
    for (reply, error, words) in cases {
        let (_server, _, state) = state_of(&[("eth_getStorageAt", reply.clone())]);
        assert_eq!(state.storage(RICH, U256::ONE), Err(error), "{reply:?}");
        let fault = state.fault().unwrap().to_string();
        assert!(fault.contains(words), "{fault}");
        let (_server, _, state) = state_of(&[("eth_getTransactionCount", reply.clone())]);
        assert_eq!(state.account(RICH), Err(error), "{reply:?}");
        let (_server, _, state) = state_of(&[("eth_getBlockByNumber", reply.clone())]);
        assert_eq!(state.block_hash(PINNED - 3), Err(error), "{reply:?}");
    }
    let malformed = Reply::Result(json!("0xef0101"));
    let (_server, _, state) = state_of(&[("eth_getCode", malformed)]);
    assert_eq!(state.account(RICH), Err(unreachable));
    assert!(state.fault().unwrap().to_string().contains("a code that is none"));
}

#[test]
fn block_hashes_are_linked_to_the_pinned_block_invariant_1() {
    let (_server, node, state) = state_of(&[]);
    assert_eq!(state.block_hash(PINNED), Ok(hash_of(PINNED)));
    assert_eq!(state.block_hash(PINNED - 255), Ok(hash_of(PINNED - 255)));
    assert_eq!(state.block_hash(PINNED - 256), Ok(B256::ZERO));
    assert_eq!(state.block_hash(PINNED + 1), Ok(B256::ZERO));
    assert_eq!(node.lock().unwrap().calls.len(), 255);

    for from in [PINNED - 40, PINNED - 1] {
        let node = Node { reorganized_from: Some(from), ..Node::default() };
        let (server, _) = serve(node);
        let state = reader(&server).pin(header());
        assert_eq!(state.block_hash(PINNED - 80), Err(StateError::Stale));
        assert!(state.fault().unwrap().to_string().contains("the pinned one has"));
    }
}

#[test]
fn a_header_is_of_the_block_that_was_asked_for() {
    let (server, node) = serve(Node::default());
    let reader = reader(&server);
    assert_eq!(reader.chain_id(), Ok(901));
    for id in [BlockId::Latest, BlockId::Number(PINNED), BlockId::Hash(hash_of(PINNED))] {
        assert_eq!(reader.header(id), Ok(Some(header())));
    }
    let other = reader.header(BlockId::Hash(hash_of(1))).unwrap_err();
    assert!(other.to_string().contains("was asked for, block 300 came"), "{other}");
    node.lock().unwrap().instead.insert("eth_getBlockByNumber", Reply::Result(Value::Null));
    assert_eq!(reader.header(BlockId::Number(301)), Ok(None));
}

#[test]
fn many_threads_read_at_once() {
    let (_server, _, state) = state_of(&[]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let slots: Vec<u64> = (0..64).collect();
    let values: Vec<_> = pool.install(|| {
        slots.par_iter().map(|slot| state.storage(CONTRACT, U256::from(*slot))).collect()
    });
    assert_eq!(values, vec![Ok(U256::from(5)); 64]);
}

#[tokio::test]
async fn a_thread_that_runs_tasks_is_blocked_but_nothing_breaks() {
    let (_server, _, state) = state_of(&[]);
    assert_eq!(state.storage(CONTRACT, U256::ONE), Ok(U256::from(5)));
    drop(state);
}
