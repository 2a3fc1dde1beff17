#![allow(clippy::unwrap_used)]

use super::*;

pub(crate) fn id(number: u32) -> BundleId {
    let mut bytes = [0xaa; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

pub(crate) fn released(index: u32, chain_ids: &[u64]) -> Leaf {
    let legs = chain_ids.iter().map(|chain| released_leg(*chain, index));
    let position = Position { height: Height::new(7), index };
    let policy = Policy::Include;
    Leaf { id: id(index), position, outcome: Outcome::Released { policy, legs: legs.collect() } }
}

pub(crate) fn released_leg(chain_id: u64, index: u32) -> ReleasedLeg {
    let digest = LegDigest::new(chain_id, &[vec![2, index as u8].into()]).digest;
    ReleasedLeg { chain_id, block: BlockTime { number: 4, time_ms: 2_000 }, digest }
}

pub(crate) fn failed(index: u32) -> Leaf {
    Leaf { outcome: Outcome::Failed(Failed::Aead), ..released(index, &[901]) }
}

pub(crate) fn namespaces() -> Namespaces {
    Namespaces::new(vec![901, 902, 903]).unwrap()
}

/// The definition in its recursive form: split at the largest power of two below the length.
fn naive(nodes: &[Node]) -> Node {
    match nodes {
        [] => Node::empty(),
        [node] => *node,
        _ => {
            let split = nodes.len().next_power_of_two() / 2;
            Node::above(&naive(&nodes[..split]), &naive(&nodes[split..]))
        }
    }
}

#[test]
fn levels_equal_the_recursive_definition() {
    for count in 0..70 {
        let leaves: Vec<_> = (0..count)
            .map(|index| match index % 5 {
                0 => failed(index),
                1 => released(index, &[901]),
                2 => released(index, &[902, 903]),
                3 => released(index, &[901, 902, 903]),
                _ => released(index, &[903]),
            })
            .collect();
        let nodes: Vec<_> = leaves.iter().map(|leaf| leaf.node(&namespaces()).unwrap()).collect();
        let tree = Tree::new(namespaces(), leaves).unwrap();
        assert_eq!(tree.root(), naive(&nodes).tree_root(count, &namespaces()), "{count} leaves");
    }
}

#[test]
fn the_root_fixes_everything_invariant_1() {
    let base = vec![released(0, &[901, 902]), failed(1), released(2, &[903])];
    let carried = |chains: &[u64]| Outcome::Carried {
        policy: Policy::Execute,
        legs: chains.iter().map(|chain| LegDigest::new(*chain, &[])).collect(),
    };
    let moved = |block| Outcome::Released {
        policy: Policy::Include,
        legs: vec![ReleasedLeg { block, ..released_leg(901, 0) }, released_leg(902, 0)],
    };
    let root = |leaves: &[Leaf]| Tree::new(namespaces(), leaves.to_vec()).unwrap().root();
    let expected = root(&base);
    let mut roots = vec![expected, root(&base[..2]), root(&base[1..])];
    type Change<'a> = &'a dyn Fn(&mut Vec<Leaf>);
    let changes: [Change<'_>; 13] = [
        &|leaves| leaves[0].id = id(9),
        &|leaves| leaves[0].position.height = Height::new(6),
        &|leaves| leaves[2].position.index = 3,
        &|leaves| leaves[1].outcome = Outcome::Failed(Failed::Rho),
        &|leaves| leaves[1].outcome = Outcome::Expired,
        &|leaves| leaves[1].outcome = carried(&[901]),
        &|leaves| leaves[1].outcome = carried(&[901, 902]),
        &|leaves| leaves[0].outcome = moved(BlockTime { number: 5, time_ms: 2_000 }),
        &|leaves| leaves[0].outcome = moved(BlockTime { number: 4, time_ms: 2_001 }),
        &|leaves| {
            let Outcome::Released { policy, .. } = &mut leaves[0].outcome else { panic!() };
            *policy = Policy::Execute;
        },
        &|leaves| leaves[0] = released(0, &[901]),
        &|leaves| leaves[0] = released(0, &[901, 902, 903]),
        &|leaves| leaves.push(failed(5)),
    ];
    for change in changes {
        let mut leaves = base.clone();
        change(&mut leaves);
        roots.push(root(&leaves));
    }
    let other = Namespaces::new(vec![901, 902, 903, 904]).unwrap();
    roots.push(Tree::new(other, base).unwrap().root());
    let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(distinct.len(), roots.len());
}

#[test]
fn leaves_that_make_no_tree() {
    let error = |leaves| Tree::new(namespaces(), leaves).expect_err("refused");
    let foreign = vec![failed(0), released(1, &[901, 904])];
    assert_eq!(error(foreign), TreeError::Namespace { index: 1, chain_id: 904 });
    assert_eq!(error(vec![released(0, &[])]), TreeError::Legs { index: 0 });
    assert_eq!(error(vec![released(0, &[902, 901])]), TreeError::Legs { index: 0 });
    assert_eq!(error(vec![released(0, &[902, 902])]), TreeError::Legs { index: 0 });
    assert_eq!(error(vec![failed(1), failed(0)]), TreeError::Order { index: 1 });
    assert_eq!(error(vec![failed(0), failed(1), failed(1)]), TreeError::Order { index: 2 });
    for chains in [vec![], vec![2, 1], vec![1, 1], (0..65).collect()] {
        assert_eq!(Namespaces::new(chains), Err(NamespacesError));
    }
    assert!(Namespaces::new((0..64).collect()).is_ok());
}

#[test]
fn legs_depend_on_chain_and_every_boundary() {
    let leg = |chain, parts: &[&[u8]]| {
        let transactions: Vec<RawTransaction> =
            parts.iter().map(|part| part.to_vec().into()).collect();
        LegDigest::new(chain, &transactions).digest
    };
    let base = leg(901, &[&[1, 2], &[3]]);
    assert_ne!(base, leg(902, &[&[1, 2], &[3]]));
    assert_ne!(base, leg(901, &[&[1], &[2, 3]]));
    assert_ne!(base, leg(901, &[&[1, 2, 3]]));
    assert_ne!(base, leg(901, &[&[3], &[1, 2]]));
}
