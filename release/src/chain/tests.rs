#![allow(clippy::unwrap_used)]

use super::*;
use crate::failed::Failed;
use crate::release::tests::{chain, judged, network, order, registry};

mod rollups;

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
    let mut chain = chain();
    assert_eq!(chain.previous(), ReleaseHeader::genesis(&network()));
    let mut previous = chain.previous();
    for order in orders() {
        let wrong = |actual: Height| ChainError::Height { actual, expected: order.height };
        let skipped = JudgedOrder { height: order.height.next(), ..order.clone() };
        assert_eq!(chain.extend(skipped).err(), Some(wrong(order.height.next())));
        let Released { release, tree, .. } = chain.extend(order.clone()).unwrap();
        assert_eq!(release.header.previous, previous);
        assert_eq!(release.header.tree_root, tree.root());
        assert!(release.check(&registry()).is_ok());
        previous = release.header.root();
        assert_eq!(chain.previous(), previous);
        let summary = Summary::decode(&chain.summary().encode()).unwrap();
        let waiting: Vec<_> = chain.waiting().waiting().cloned().collect();
        let stored = ReleaseChain::restore(summary, waiting, BTreeMap::new(), &[]);
        assert_eq!(stored, Ok(chain.clone()));
    }
    assert_eq!(chain.next(), Height::new(5));
}
