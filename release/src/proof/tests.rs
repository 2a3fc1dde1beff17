#![allow(clippy::unwrap_used)]

use fairveil_crypto::{Height, encoding};
use fairveil_mempool::Policy;
use proptest::prelude::*;

use super::*;
use crate::tree::tests::released_leg;
use crate::tree::tests::{failed, id, namespaces, released};
use crate::tree::{Outcome, Position};

fn leaf(index: u32, kind: u8) -> Leaf {
    let chains = [901, 902, 903].into_iter().zip(0..).filter(|(_, bit)| kind >> bit & 1 == 1);
    let chains: Vec<u64> = chains.map(|(chain, _)| chain).collect();
    if chains.is_empty() { failed(index) } else { released(index, &chains) }
}

fn tree(kinds: &[u8]) -> Tree {
    let leaves = kinds.iter().zip(0..).map(|(kind, index)| leaf(index, *kind)).collect();
    Tree::new(namespaces(), leaves).unwrap()
}

fn sample() -> Tree {
    tree(&[1, 2, 0, 7, 0, 0, 4, 3, 0, 1, 5])
}

proptest! {
    #[test]
    fn every_leaf_is_shown_and_every_batch_is_complete(
        kinds in proptest::collection::vec(0u8..8, 0..40),
    ) {
        let tree = tree(&kinds);
        let root = tree.root();
        for (index, leaf) in (0..).zip(tree.leaves()) {
            let proof = BundleProof::new(&tree, index).unwrap();
            prop_assert_eq!(&proof.leaf, leaf);
            prop_assert_eq!(proof.verify(&root), Ok(()));
        }
        prop_assert_eq!(BundleProof::new(&tree, tree.count()), None);
        for chain in [901, 902, 903] {
            let proof = BatchProof::new(&tree, chain).unwrap();
            let expected: Vec<_> =
                tree.leaves().iter().filter(|leaf| leaf.leg(chain).is_some()).collect();
            prop_assert_eq!(proof.verify(&root, chain), Ok(expected));
        }
        prop_assert_eq!(BatchProof::new(&tree, 904), None);
    }

    #[test]
    fn any_changed_byte_of_a_proof_is_refused(
        kinds in proptest::collection::vec(0u8..8, 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let tree = tree(&kinds);
        let root = tree.root();
        let flip = |bytes: &mut Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        };
        let index = at.index(kinds.len()) as u32;
        let mut bytes = encoding::encode(&BundleProof::new(&tree, index).unwrap());
        flip(&mut bytes);
        if let Ok(changed) = encoding::decode::<BundleProof>(&bytes, 1 << 20) {
            prop_assert!(changed.verify(&root).is_err());
        }
        let mut bytes = encoding::encode(&BatchProof::new(&tree, 902).unwrap());
        flip(&mut bytes);
        if let Ok(changed) = encoding::decode::<BatchProof>(&bytes, 1 << 20) {
            prop_assert!(changed.verify(&root, 902).is_err());
        }
    }

    #[test]
    fn a_proof_for_a_subset_is_refused_invariant_2(
        kinds in proptest::collection::vec(0u8..8, 1..12),
        hidden in any::<prop::sample::Index>(),
    ) {
        let tree = tree(&kinds);
        let mut proof = BatchProof::new(&tree, 901).unwrap();
        let leaves: Vec<_> = proof.parts.iter().enumerate().filter_map(|(at, part)| match part {
            Part::Leaf(leaf) => Some((at, leaf.node(&proof.namespaces).ok()?)),
            _ => None,
        }).collect();
        if !leaves.is_empty() {
            let (at, node) = leaves[hidden.index(leaves.len())];
            proof.parts[at] = Part::Outside(node);
            let chain_id = 901;
            let expected = Err(ProofError::LeftOut { part: at, chain_id });
            prop_assert_eq!(proof.verify(&tree.root(), 901), expected);
            let lying = Node { namespaces: NamespaceSet::from_bits(0), ..node };
            proof.parts[at] = Part::Outside(lying);
            let verdict = proof.verify(&tree.root(), 901);
            let refused =
                matches!(verdict, Err(ProofError::Root { .. } | ProofError::Needless { .. }));
            prop_assert!(refused, "{:?}", verdict);
        }
    }
}

#[test]
fn bundle_proofs_are_refused_each_for_its_reason() {
    let tree = sample();
    let root = tree.root();
    let refused = |change: &dyn Fn(&mut BundleProof)| {
        let mut proof = BundleProof::new(&tree, 3).unwrap();
        change(&mut proof);
        proof.verify(&root).expect_err("refused")
    };
    let index = |index, count| ProofError::Index { index, count };
    assert_eq!(refused(&|proof| proof.index = 11), index(11, 11));
    assert_eq!(refused(&|proof| proof.count = 3), index(3, 3));
    let length =
        |index, count, actual, expected| ProofError::PathLength { index, count, actual, expected };
    assert_eq!(refused(&|proof| proof.count = 8), length(3, 8, 4, 3));
    assert_eq!(refused(&|proof| proof.path.truncate(3)), length(3, 11, 3, 4));
    assert_eq!(refused(&|proof| proof.path.push(Node::empty())), length(3, 11, 5, 4));
    assert_eq!(
        refused(&|proof| proof.leaf = released(3, &[904])),
        ProofError::Namespace { chain_id: 904 }
    );
    assert_eq!(refused(&|proof| proof.leaf = released(3, &[902, 901])), ProofError::Legs);
    assert_eq!(refused(&|proof| proof.leaf = released(3, &[])), ProofError::Legs);
    let changes: [&dyn Fn(&mut BundleProof); 8] = [
        &|proof| proof.index = 2,
        &|proof| proof.count = 12,
        &|proof| proof.leaf.id = id(77),
        &|proof| proof.leaf.position = Position { height: Height::new(8), index: 3 },
        &|proof| proof.leaf.outcome = Outcome::Expired,
        &|proof| proof.leaf = released(3, &[901, 902]),
        &|proof| proof.path.swap(0, 1),
        &|proof| proof.path[0].namespaces = NamespaceSet::from_bits(7),
    ];
    for change in changes {
        assert!(matches!(refused(change), ProofError::Root { .. }));
    }
    let more = |proof: &mut BundleProof| {
        proof.namespaces = Namespaces::new(vec![901, 902, 903, 904]).unwrap();
    };
    assert!(matches!(refused(&more), ProofError::Root { .. }));
}

#[test]
fn batch_proofs_are_refused_each_for_its_reason() {
    let tree = sample();
    let root = tree.root();
    let refused = |change: &dyn Fn(&mut BatchProof)| {
        let mut proof = BatchProof::new(&tree, 902).unwrap();
        change(&mut proof);
        proof.verify(&root, 902).expect_err("refused")
    };
    let proof = BatchProof::new(&tree, 902).unwrap();
    let chain_id = 904;
    assert_eq!(proof.verify(&root, 904), Err(ProofError::Namespace { chain_id }));
    let foreign = proof.verify(&root, 901).expect_err("a proof for another rollup");
    assert!(matches!(foreign, ProofError::LeftOut { chain_id: 901, .. }), "{foreign:?}");
    let parts = proof.parts.len();
    assert_eq!(refused(&|proof| proof.parts.clear()), ProofError::TooShort { parts: 0 });
    assert_eq!(
        refused(&|proof| proof.parts.truncate(parts - 1)),
        ProofError::TooShort { parts: parts - 1 }
    );
    assert_eq!(
        refused(&|proof| proof.parts.push(Part::Inside)),
        ProofError::TooLong { actual: parts + 1, used: parts }
    );
    let first_leaf = proof.parts.iter().position(|part| matches!(part, Part::Leaf(_))).unwrap();
    assert_eq!(
        refused(&|proof| proof.parts[first_leaf] = Part::Inside),
        ProofError::Shape { part: first_leaf }
    );
    assert_eq!(
        refused(&|proof| proof.parts[0] = Part::Leaf(released(0, &[902]))),
        ProofError::Shape { part: 0 }
    );
    let chain_id = 902;
    assert_eq!(
        refused(&|proof| proof.parts[first_leaf] = Part::Leaf(failed(1))),
        ProofError::Needless { part: first_leaf, chain_id }
    );
    let top = tree.levels().last().unwrap()[0];
    assert_eq!(
        refused(&|proof| proof.parts = vec![Part::Outside(top)]),
        ProofError::LeftOut { part: 0, chain_id }
    );
    let last_leaf = proof.parts.iter().rposition(|part| matches!(part, Part::Leaf(_))).unwrap();
    let reorder = refused(&|proof| proof.parts[last_leaf] = Part::Leaf(released(0, &[902])));
    assert!(matches!(reorder, ProofError::Order { .. }), "{reorder:?}");
    let other = refused(&|proof| proof.parts[first_leaf] = Part::Leaf(released(1, &[901, 902])));
    assert!(matches!(other, ProofError::Root { .. }), "{other:?}");
    refused(&|proof| proof.count = 8);
    assert!(matches!(refused(&|proof| proof.count = 10), ProofError::Root { .. }));
}

#[test]
fn needless_opening_is_refused() {
    // Leaves 0 and 1 touch 901 alone, so for 903 their parent stays closed.
    let tree = tree(&[1, 1, 4]);
    let mut proof = BatchProof::new(&tree, 903).unwrap();
    assert_eq!(proof.parts.len(), 3);
    let closed = tree.levels()[0].iter().take(2).copied().map(Part::Outside);
    proof.parts.splice(1..2, std::iter::once(Part::Inside).chain(closed));
    let expected = Err(ProofError::Needless { part: 1, chain_id: 903 });
    assert_eq!(proof.verify(&tree.root(), 903), expected);
}

#[test]
fn absence_in_an_empty_release_is_shown() {
    let tree = tree(&[]);
    let proof = BatchProof::new(&tree, 901).unwrap();
    assert_eq!(proof.verify(&tree.root(), 901), Ok(Vec::new()));
    let forged = BatchProof { parts: vec![Part::Leaf(released(0, &[901]))], ..proof };
    assert_eq!(forged.verify(&tree.root(), 901), Err(ProofError::Shape { part: 0 }));
}

#[test]
fn hostile_shapes_cost_little_invariant_3() {
    let proof = BatchProof { count: u32::MAX, namespaces: namespaces(), parts: Vec::new() };
    let tree = sample();
    assert_eq!(proof.verify(&tree.root(), 901), Err(ProofError::TooShort { parts: 0 }));
    let parts = vec![Part::Inside; 40];
    let proof = BatchProof { parts, ..proof };
    assert_eq!(proof.verify(&tree.root(), 901), Err(ProofError::Shape { part: 32 }));
}

#[test]
fn the_merkle_part_for_eight_legs_is_under_2_kib_invariant_3() {
    let chains: Vec<u64> = (1..=64).map(|chain| chain << 40).collect();
    let namespaces = Namespaces::new(chains.clone()).unwrap();
    let legs = chains.iter().step_by(8).map(|chain| released_leg(*chain, 2));
    let legs: Vec<_> = legs.collect();
    assert_eq!(legs.len(), 8);
    let leaves = (0..5_000).map(|index| {
        let position = Position { height: Height::new(1), index };
        let outcome = Outcome::Released { policy: Policy::Include, legs: legs.clone() };
        Leaf { id: id(index), position, outcome }
    });
    let tree = Tree::new(namespaces, leaves.collect()).unwrap();
    let mut largest = 0;
    for index in [0, 1, 2_500, 4_999] {
        let proof = BundleProof::new(&tree, index).unwrap();
        assert_eq!(proof.verify(&tree.root()), Ok(()));
        largest = largest.max(encoding::encode(&proof).len());
    }
    assert!(largest < 2_048, "{largest} bytes");
    // 13 levels here; 7 more levels of 40 bytes still fit.
    assert!(largest + 7 * 40 < 2_048, "{largest} bytes");
}
