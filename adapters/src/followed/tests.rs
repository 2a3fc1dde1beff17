#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::keccak256;
use fairveil_crypto::Digest;
use serde_json::{Value, json};

use super::*;
use crate::json_rpc::Limits;
use crate::quantity::Quantity;
use crate::test_server::{Reply, TestServer};

const CHAIN: u64 = 901;

/// A node whose chain may fork: the fork of every block, by number.
#[derive(Default)]
struct Node {
    chain: u64,
    forks: BTreeMap<u64, u8>,
    is_down: bool,
    calls: usize,
}

fn hash_of(number: u64, fork: u8) -> B256 {
    keccak256([&number.to_be_bytes()[..], &[fork]].concat())
}

impl Node {
    fn block(&self, number: u64) -> Value {
        let Some(fork) = self.forks.get(&number) else { return Value::Null };
        let before = number.wrapping_sub(1);
        json!({
            "number": Quantity(number),
            "hash": hash_of(number, *fork),
            "parentHash": hash_of(before, self.forks.get(&before).copied().unwrap_or(0)),
            "stateRoot": B256::repeat_byte(7),
            "timestamp": Quantity(1_800_000_000 + number),
            "baseFeePerGas": "0x7",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x5208",
        })
    }

    fn answer(&mut self, method: &str, params: &Value) -> Reply {
        self.calls += 1;
        if self.is_down {
            return Reply::HangUp;
        }
        Reply::Result(match method {
            "eth_chainId" => json!(Quantity(self.chain)),
            "eth_getBlockByNumber" => {
                self.forks.last_key_value().map_or(Value::Null, |(last, _)| self.block(*last))
            }
            "eth_getBlockByHash" => {
                let hash: B256 = serde_json::from_value(params[0].clone()).unwrap();
                let mut blocks = self.forks.iter();
                let found = blocks.find(|(number, fork)| hash_of(**number, **fork) == hash);
                found.map_or(Value::Null, |(number, _)| self.block(*number))
            }
            _ => panic!("{method}"),
        })
    }
}

fn serve(chain: u64, blocks: std::ops::RangeInclusive<u64>) -> (TestServer, Arc<Mutex<Node>>) {
    let forks = blocks.map(|number| (number, 0)).collect();
    let node = Arc::new(Mutex::new(Node { chain, forks, ..Node::default() }));
    let served = Arc::clone(&node);
    let server =
        TestServer::start(move |_, method, params| served.lock().unwrap().answer(method, params));
    (server, node)
}

fn followed(server: &TestServer) -> FollowedRollup {
    let limits = Limits { call: Duration::from_millis(500), ..Limits::default() };
    FollowedRollup::new(CHAIN, server.endpoint(limits)).unwrap()
}

fn anchor(number: u64, fork: u8) -> Anchor {
    Anchor {
        chain_id: CHAIN,
        number,
        hash: Digest::from_bytes(hash_of(number, fork).0),
        state_root: Digest::from_bytes([7; 32]),
        timestamp_s: 1_800_000_000 + number,
        base_fee: 7,
        gas_limit: 30_000_000,
        gas_used: 21_000,
    }
}

#[test]
fn the_newest_blocks_are_linked_and_settle_invariant_1() {
    let (server, node) = serve(CHAIN, 0..=3);
    let rollup = followed(&server);
    assert_eq!((rollup.settled(u64::MAX), rollup.is_reachable()), (None, false));
    rollup.observe(1_000).unwrap();
    assert!(rollup.is_reachable());
    assert_eq!((rollup.settled(999), rollup.settled(1_000)), (None, Some(anchor(3, 0))));
    assert!((0..=3).all(|number| rollup.has(&anchor(number, 0))));
    assert!(!rollup.has(&anchor(4, 0)) && !rollup.has(&anchor(3, 1)));
    let other = Anchor { base_fee: 8, ..anchor(3, 0) };
    assert!(!rollup.has(&other), "every field is compared");
    let calls = node.lock().unwrap().calls;
    rollup.observe(1_500).unwrap();
    assert_eq!(node.lock().unwrap().calls, calls + 1, "nothing new");
    node.lock().unwrap().forks.extend([(4, 0), (5, 0)]);
    rollup.observe(2_000).unwrap();
    assert_eq!(rollup.settled(1_999), Some(anchor(3, 0)), "block 5 was not seen then");
    assert_eq!(rollup.settled(2_000), Some(anchor(5, 0)));
    assert!(rollup.has(&anchor(4, 0)));
}

#[test]
fn a_reorganization_replaces_what_it_replaces_invariant_1() {
    let (server, node) = serve(CHAIN, 0..=6);
    let rollup = followed(&server);
    rollup.observe(1_000).unwrap();
    node.lock().unwrap().forks.extend([(5, 1), (6, 1), (7, 1)]);
    rollup.observe(2_000).unwrap();
    assert!(rollup.has(&anchor(4, 0)) && rollup.has(&anchor(5, 1)) && rollup.has(&anchor(7, 1)));
    assert!(!rollup.has(&anchor(5, 0)) && !rollup.has(&anchor(6, 0)));
    // A shorter chain is one too.
    node.lock().unwrap().forks = (0..=4).map(|number| (number, 0)).collect();
    rollup.observe(3_000).unwrap();
    assert!(rollup.has(&anchor(4, 0)) && !rollup.has(&anchor(5, 1)));
    assert_eq!(rollup.settled(2_999), Some(anchor(4, 0)));
}

#[test]
fn what_is_remembered_and_asked_for_is_bounded_invariant_2() {
    let (server, node) = serve(CHAIN, 0..=5_000);
    let rollup = followed(&server);
    rollup.observe(1_000).unwrap();
    assert_eq!(node.lock().unwrap().calls, 2 + MAX_LINKS);
    // So much is new that nothing links it: what was remembered may be of another chain.
    node.lock().unwrap().forks.extend((5_001..=5_100).map(|number| (number, 0)));
    rollup.observe(2_000).unwrap();
    assert!(!rollup.has(&anchor(5_000, 0)) && rollup.has(&anchor(5_100, 0)));
    for more in 0..40u64 {
        let first = 5_101 + more * 30;
        node.lock().unwrap().forks.extend((first..first + 30).map(|number| (number, 0)));
        rollup.observe(3_000 + more).unwrap();
    }
    assert_eq!(rollup.seen().heads.len(), MAX_HEADS);
    assert!(rollup.has(&anchor(6_300, 0)) && !rollup.has(&anchor(5_100, 0)));
}

#[test]
fn a_node_that_is_gone_changes_nothing_that_is_remembered() {
    let (server, node) = serve(CHAIN, 0..=3);
    let rollup = followed(&server);
    rollup.observe(1_000).unwrap();
    node.lock().unwrap().is_down = true;
    assert!(matches!(rollup.observe(2_000), Err(ObserveError::Rpc(_))));
    assert!(!rollup.is_reachable() && rollup.has(&anchor(3, 0)));
    assert!(rollup.open(&anchor(3, 0)).is_some(), "its reads will fail");
    assert!(rollup.open(&anchor(4, 0)).is_none());
}

#[test]
fn a_node_of_another_chain_shows_nothing_invariant_3() {
    let (server, _) = serve(902, 0..=3);
    let rollup = followed(&server);
    let error = rollup.observe(1_000).unwrap_err();
    assert_eq!(error.to_string(), "the node is of chain 902, expected 901");
    assert_eq!(rollup.settled(u64::MAX), None);
}

#[test]
fn a_state_is_opened_by_the_hash_of_its_block() {
    let (server, node) = serve(CHAIN, 0..=100);
    let rollup = followed(&server);
    rollup.observe(1_000).unwrap();
    // Not remembered, but the node has it.
    let state = rollup.open(&anchor(10, 0)).unwrap();
    assert_eq!(state.header().number, 10);
    let calls = node.lock().unwrap().calls;
    assert!(Arc::ptr_eq(&rollup.open(&anchor(10, 0)).unwrap(), &state));
    assert_eq!(node.lock().unwrap().calls, calls);
    assert!(rollup.open(&anchor(10, 1)).is_none());
    let other = Anchor { state_root: Digest::from_bytes([8; 32]), ..anchor(11, 0) };
    assert!(rollup.open(&other).is_none(), "not what the node has under this hash");
}
