#![allow(clippy::unwrap_used)]

use fairveil_crypto::BundleId;
use fairveil_mempool::Policy;

use super::*;
use crate::chain::{Judged, JudgedOrder, ReleaseChain};
use crate::failed::Failed;
use crate::registry::Rollup;
use crate::states::RollupStates;
use crate::transaction::RawTransaction;
use crate::tree::{Outcome, TreeError};
use crate::validity::{ValidBundle, ValidLeg};

pub(crate) fn registry() -> Registry {
    let rollup = |id| Rollup { gas_limit: 10, ..Rollup::recorder(id, "rollup") };
    Registry::new(vec![rollup(901), rollup(902)]).unwrap()
}

pub(crate) fn judged(chain_ids: &[u64], gas: u64) -> Judged {
    let transactions: Vec<RawTransaction> = vec![vec![2, gas as u8].into(), vec![3].into()];
    let leg = |chain_id: &u64| ValidLeg {
        chain_id: *chain_id,
        gas,
        transactions: transactions.clone(),
        senders: Vec::new(),
    };
    Judged::Valid(ValidBundle::unchecked(Policy::Include, chain_ids.iter().map(leg).collect()))
}

pub(crate) fn order(height: u64, judged: Vec<Judged>) -> JudgedOrder {
    let id = |index: usize| BundleId::from_bytes([(16 * height + index as u64) as u8; 32]);
    JudgedOrder {
        height: Height::new(height),
        block: BlockDigest::from_bytes([height as u8; 32]),
        time_ms: height * 100,
        ids: judged.into_iter().enumerate().map(|(index, judged)| (id(index), judged)).collect(),
    }
}

pub(crate) fn network() -> NetworkId {
    NetworkId::from_bytes([9; 32])
}

pub(crate) fn chain() -> ReleaseChain {
    ReleaseChain::new(network(), registry(), RollupStates::default()).unwrap()
}

fn sample() -> Release {
    let mut chain = chain();
    let ids = vec![
        judged(&[901, 902], 6),
        Judged::Failed(Failed::Aead),
        judged(&[902], 3),
        judged(&[902], 2),
    ];
    chain.extend(order(1, ids)).unwrap().release
}

#[test]
fn a_release_is_exactly_what_its_header_commits_to_invariant_2() {
    let release = sample();
    assert_eq!(release.check(&registry()).unwrap().root(), release.header.tree_root);
    assert_eq!(release.waiting.len(), 1);
    assert_eq!(Release::decode(&release.encode()), Ok(release));
    let refused = |change: &dyn Fn(&mut Release)| {
        let mut release = sample();
        change(&mut release);
        release.check(&registry()).expect_err("refused")
    };
    use ReleaseError as E;
    let tree = |error| matches!(error, E::TreeRoot { .. });
    assert!(tree(refused(&|r| drop(r.leaves.pop()))));
    assert!(tree(refused(&|r| r.leaves[1].outcome = Outcome::Expired)));
    assert!(tree(refused(&|r| r.header.tree_root = r.header.previous)));
    assert!(matches!(refused(&|r| r.leaves.swap(0, 1)), E::Tree(TreeError::Order { index: 1 })));
    let waiting = E::Waiting { index: 0 };
    assert_eq!(refused(&|r| r.waiting.clear()), waiting);
    assert_eq!(refused(&|r| r.waiting[0].id = BundleId::from_bytes([9; 32])), waiting);
    let other = || judged(&[901], 2);
    let bundle = move || if let Judged::Valid(bundle) = other() { bundle } else { panic!() };
    assert_eq!(refused(&|r| r.waiting[0].bundle = bundle()), waiting);
    let again = |r: &mut Release| r.waiting.push(r.waiting[0].clone());
    assert_eq!(refused(&again), E::Waiting { index: 1 });
    assert!(matches!(refused(&|r| r.header.registry = r.header.previous), E::Registry { .. }));
    let (actual, expected) = (1, 2);
    assert_eq!(refused(&|r| drop(r.batches.pop())), E::BatchCount { actual, expected });
    assert_eq!(refused(&|r| r.header.slot = None), E::BatchCount { actual: 2, expected: 0 });
    let uncut = refused(&|r| {
        r.header.slot = None;
        r.batches.clear();
    });
    assert_eq!(uncut, E::NoSlot { id: sample().leaves[0].id });
    let batch = |error| matches!(error, E::Batch { chain_id: 901, .. });
    assert!(batch(refused(&|r| r.batches.swap(0, 1))));
    assert!(batch(refused(&|r| r.batches[0].blocks[0].transactions[0] = vec![1].into())));
    assert!(batch(refused(&|r| r.header.slot = Some(SlotNumber::new(9)))));
    assert!(batch(refused(&|r| r.batches[0].validation = Validation::Simulated)));
    let other = Registry::new(vec![Rollup::recorder(901, "one")]).unwrap();
    let unknown = sample().check(&other).expect_err("refused");
    assert!(matches!(unknown, E::Registry { .. }));
}

#[test]
fn the_root_covers_every_field() {
    let base = sample().header;
    let one = Digest::from_bytes([1; 32]);
    let roots = [
        base,
        ReleaseHeader { network_id: NetworkId::from_bytes([1; 32]), ..base },
        ReleaseHeader { height: Height::new(2), ..base },
        ReleaseHeader { block: BlockDigest::from_bytes([2; 32]), ..base },
        ReleaseHeader { time_ms: 101, ..base },
        ReleaseHeader { previous: one, ..base },
        ReleaseHeader { tree_root: one, ..base },
        ReleaseHeader { slot: None, ..base },
        ReleaseHeader { slot: Some(SlotNumber::new(9)), ..base },
        ReleaseHeader { registry: one, ..base },
        ReleaseHeader { state_digest: one, ..base },
        ReleaseHeader { views: one, ..base },
    ]
    .map(|header| header.root());
    assert_eq!(std::collections::BTreeSet::from(roots).len(), roots.len());
}
