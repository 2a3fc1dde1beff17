#![allow(clippy::unwrap_used)]

use super::*;
use crate::batch::Judged;
use crate::failed::Failed;
use crate::release::tests::{judged, network, order, registry};

fn orders() -> Vec<JudgedOrder> {
    vec![
        order(1, vec![judged(&[901, 902], 6), judged(&[902], 6), Judged::Expired]),
        order(2, vec![judged(&[901, 902], 7), Judged::Failed(Failed::Legs)]),
        order(3, vec![]),
        order(4, vec![judged(&[901], 11)]),
    ]
}

#[test]
fn heights_are_released_in_order_invariant_1() {
    let mut chain = ReleaseChain::new(network(), registry());
    assert_eq!(chain.previous(), ReleaseHeader::genesis(&network()));
    let mut previous = chain.previous();
    for order in orders() {
        let wrong = |actual: Height| ChainError::Height { actual, expected: order.height };
        let skipped = JudgedOrder { height: order.height.next(), ..order.clone() };
        assert_eq!(chain.extend(skipped).err(), Some(wrong(order.height.next())));
        let (release, tree) = chain.extend(order.clone()).unwrap();
        assert_eq!(release.header.previous, previous);
        assert_eq!(release.header.tree_root, tree.root());
        assert!(release.check(&registry()).is_ok());
        previous = release.header.root();
        assert_eq!(chain.previous(), previous);
        let stored = ReleaseChain::decode(&chain.encode()).unwrap();
        assert_eq!(stored, chain);
    }
    assert_eq!(chain.next(), Height::new(5));
}

#[test]
fn adopting_equals_cutting_invariant_2() {
    let mut cutting = ReleaseChain::new(network(), registry());
    let mut adopting = cutting.clone();
    for order in orders() {
        let before = adopting.clone();
        let (release, _) = cutting.extend(order).unwrap();
        let root = release.header.root();
        let release = Release::decode(&release.encode()).unwrap();
        let other = Digest::from_bytes([1; 32]);
        assert!(matches!(adopting.adopt(&release, &other), Err(ChainError::Root { .. })));
        let mut changed = release.clone();
        changed.batches[0].transactions.push(vec![1].into());
        assert!(matches!(adopting.adopt(&changed, &root), Err(ChainError::Release(_))));
        let mut foreign = release.clone();
        foreign.header.network_id = NetworkId::from_bytes([1; 32]);
        assert!(matches!(adopting.adopt(&foreign, &root), Err(ChainError::Network { .. })));
        let mut forked = release.clone();
        forked.header.previous = other;
        assert!(matches!(adopting.adopt(&forked, &root), Err(ChainError::Previous { .. })));
        assert_eq!(adopting, before);
        adopting.adopt(&release, &root).unwrap();
        assert_eq!(adopting, cutting);
        assert!(matches!(adopting.adopt(&release, &root), Err(ChainError::Height { .. })));
    }
}
