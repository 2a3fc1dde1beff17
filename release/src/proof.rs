//! Proofs out of a release's tree: what became of a bundle, and that a batch is complete.
//!
//! Both are checked against a tree root alone ([`crate::tree`] has the bytes).
//!
//! - [`BundleProof`]: one leaf, which holds all legs of the bundle or the reason why none is
//!   released, with the path from it to the root. Level by level from the leaves: at an even index
//!   that has a right neighbour the neighbour is the next node of the path, at an odd index the
//!   left one is, and an even index without a neighbour takes none.
//! - [`BatchProof`]: the tree in preorder from the root, as parts. `outside` is a subtree that does
//!   not touch the rollup and is not opened; `inside` opens a node into its two children (a node
//!   without a neighbour is its only child, without a part); `leaf` is a leaf that touches the
//!   rollup.
//!
//! # Invariants
//!
//! 1. For one root and index there is one leaf with a proof that verifies; for one root and rollup
//!    one list of leaves. (Collisions of SHA-256 and a wrong root apart.)
//! 2. A verified batch proof leaves out no leaf that touches the rollup.
//! 3. Verification costs time and memory in proportion to the proof's length, whatever it claims.
//!
//! # Example
//!
//! ```
//! use fairveil_crypto::{BundleId, Height};
//! use fairveil_mempool::Policy;
//! use fairveil_release::proof::{BatchProof, BundleProof};
//! use fairveil_release::slot::BlockTime;
//! use fairveil_release::tree::{
//!     Leaf, LegDigest, Namespaces, Outcome, Position, ReleasedLeg, Tree,
//! };
//!
//! let leaf = |index: u32, chain_id: u64| {
//!     let digest = LegDigest::new(chain_id, &[vec![2, index as u8].into()]).digest;
//!     let block = BlockTime { number: 4, time_ms: 2_000 };
//!     let legs = vec![ReleasedLeg { chain_id, block, digest }];
//!     let position = Position { height: Height::new(1), index };
//!     let outcome = Outcome::Released { policy: Policy::Include, legs };
//!     Leaf { id: BundleId::from_bytes([1; 32]), position, outcome }
//! };
//! let namespaces = Namespaces::new(vec![901, 902]).unwrap();
//! let tree = Tree::new(namespaces, vec![leaf(0, 901), leaf(1, 902), leaf(2, 901)]).unwrap();
//! let root = tree.root();
//!
//! assert_eq!(BundleProof::new(&tree, 1).unwrap().verify(&root), Ok(()));
//! let batch = BatchProof::new(&tree, 901).unwrap();
//! assert_eq!(batch.verify(&root, 901).unwrap().len(), 2);
//! ```

use fairveil_crypto::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tree::{Leaf, LeafError, NamespaceSet, Namespaces, Node, Tree};

/// Shows one leaf of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleProof {
    /// How many leaves the tree has.
    pub count: u32,
    /// The tree's namespaces.
    pub namespaces: Namespaces,
    /// Which leaf it is, from 0.
    pub index: u32,
    /// The leaf.
    pub leaf: Leaf,
    /// The neighbours on the way up.
    pub path: Vec<Node>,
}

/// Shows every leaf of a release that touches one rollup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchProof {
    /// How many leaves the tree has.
    pub count: u32,
    /// The tree's namespaces.
    pub namespaces: Namespaces,
    /// The tree in preorder, as far as it is opened.
    pub parts: Vec<Part>,
}

/// A part of a [`BatchProof`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A subtree that does not touch the rollup.
    Outside(Node),
    /// A node whose two children follow.
    Inside,
    /// A leaf that touches the rollup.
    Leaf(Leaf),
}

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// An index that the tree does not have.
    #[error("leaf {index} of a tree of {count}")]
    Index {
        /// The index.
        index: u32,
        /// How many leaves there are.
        count: u32,
    },
    /// A path of another length than the index has.
    #[error("a path of {actual} nodes, leaf {index} of {count} has {expected}")]
    PathLength {
        /// The index.
        index: u32,
        /// How many leaves there are.
        count: u32,
        /// The path's length.
        actual: usize,
        /// The length that it must have.
        expected: usize,
    },
    /// A leg on a chain that is no namespace.
    #[error("a leg on chain {chain_id}, which is no namespace of this tree")]
    Namespace {
        /// The chain.
        chain_id: u64,
    },
    /// A released bundle without legs, or legs that are not sorted.
    #[error("a released bundle without sorted legs")]
    Legs,
    /// Leaves that are not in the fair order.
    #[error("leaf {index} of the rollup does not stand after the one before it")]
    Order {
        /// The leaf among the rollup's, from 0.
        index: usize,
    },
    /// A subtree is left out that touches the rollup.
    #[error("part {part} leaves out a subtree that touches chain {chain_id}")]
    LeftOut {
        /// The part.
        part: usize,
        /// The rollup.
        chain_id: u64,
    },
    /// A leaf or a subtree is opened that does not touch the rollup.
    #[error("part {part} opens what does not touch chain {chain_id}")]
    Needless {
        /// The part.
        part: usize,
        /// The rollup.
        chain_id: u64,
    },
    /// A leaf above level 0, or a node opened below it.
    #[error("part {part} does not fit the tree's shape")]
    Shape {
        /// The part.
        part: usize,
    },
    /// Fewer parts than the tree needs.
    #[error("it ends after {parts} parts, before the tree does")]
    TooShort {
        /// How many parts there are.
        parts: usize,
    },
    /// More parts than the tree needs.
    #[error("it has {actual} parts, the tree ends after {used}")]
    TooLong {
        /// How many parts there are.
        actual: usize,
        /// How many the tree took.
        used: usize,
    },
    /// The proof leads to another root.
    #[error("it leads to root {actual}, expected {expected}")]
    Root {
        /// The root that it leads to.
        actual: Digest,
        /// The certified root.
        expected: Digest,
    },
}

impl BundleProof {
    /// The proof for a leaf; `None` if the tree has no such leaf.
    pub fn new(tree: &Tree, index: u32) -> Option<Self> {
        let leaf = tree.leaves().get(index as usize)?.clone();
        let mut path = Vec::new();
        let mut at = index as usize;
        for level in tree.levels() {
            path.extend(level.get(at ^ 1));
            at /= 2;
        }
        let (count, namespaces) = (tree.count(), tree.namespaces().clone());
        Some(Self { count, namespaces, index, leaf, path })
    }

    /// Whether the leaf is in the tree with this root.
    pub fn verify(&self, tree_root: &Digest) -> Result<(), ProofError> {
        let Self { count, index, .. } = *self;
        if index >= count {
            return Err(ProofError::Index { index, count });
        }
        let expected = path_length(index, count);
        if self.path.len() != expected {
            let actual = self.path.len();
            return Err(ProofError::PathLength { index, count, actual, expected });
        }
        let mut node = self.leaf.node(&self.namespaces)?;
        let (mut at, mut width) = (index, count);
        let mut path = self.path.iter();
        while width > 1 {
            let neighbour = if at ^ 1 < width { path.next() } else { None };
            node = match neighbour {
                Some(left) if at % 2 == 1 => Node::above(left, &node),
                Some(right) => Node::above(&node, right),
                None => node,
            };
            (at, width) = (at / 2, width.div_ceil(2));
        }
        check_root(node.tree_root(count, &self.namespaces), tree_root)
    }
}

impl BatchProof {
    /// The proof for a rollup; `None` if the tree has no such namespace.
    pub fn new(tree: &Tree, chain_id: u64) -> Option<Self> {
        let set = tree.namespaces().only(chain_id)?;
        let mut parts = Vec::new();
        match tree.levels().len().checked_sub(1) {
            Some(top) if tree.count() > 0 => open(tree, set, top, 0, &mut parts),
            _ => parts.push(Part::Outside(Node::empty())),
        }
        let (count, namespaces) = (tree.count(), tree.namespaces().clone());
        Some(Self { count, namespaces, parts })
    }

    /// All leaves of the tree with this root that touch the rollup, in the fair order.
    pub fn verify(&self, tree_root: &Digest, chain_id: u64) -> Result<Vec<&Leaf>, ProofError> {
        let set = self.namespaces.only(chain_id).ok_or(ProofError::Namespace { chain_id })?;
        let mut walk = Walk { proof: self, chain_id, set, at: 0, leaves: Vec::new() };
        let levels = u32::BITS - self.count.saturating_sub(1).leading_zeros();
        let top = walk.subtree(levels, 0)?;
        if walk.at != self.parts.len() {
            return Err(ProofError::TooLong { actual: self.parts.len(), used: walk.at });
        }
        let leaves = walk.leaves;
        if let Some(before) =
            leaves.windows(2).position(|pair| pair[0].position >= pair[1].position)
        {
            return Err(ProofError::Order { index: before + 1 });
        }
        check_root(top.tree_root(self.count, &self.namespaces), tree_root)?;
        Ok(leaves)
    }
}

impl From<LeafError> for ProofError {
    fn from(error: LeafError) -> Self {
        match error {
            LeafError::Namespace { chain_id } => Self::Namespace { chain_id },
            LeafError::Legs => Self::Legs,
        }
    }
}

/// A batch proof on its way through the tree.
struct Walk<'a> {
    proof: &'a BatchProof,
    chain_id: u64,
    set: NamespaceSet,
    at: usize,
    leaves: Vec<&'a Leaf>,
}

impl Walk<'_> {
    /// The node of a level, rebuilt from the parts. Recursion is as deep as the tree has levels,
    /// at most 32.
    fn subtree(&mut self, level: u32, index: u64) -> Result<Node, ProofError> {
        let children = self.width(level.saturating_sub(1));
        if level > 0 && 2 * index + 1 >= children {
            return self.subtree(level - 1, 2 * index);
        }
        let (chain_id, part) = (self.chain_id, self.at);
        let parts = &self.proof.parts;
        let next = parts.get(part).ok_or(ProofError::TooShort { parts: parts.len() })?;
        self.at += 1;
        match next {
            Part::Outside(node) if node.namespaces.meets(self.set) => {
                Err(ProofError::LeftOut { part, chain_id })
            }
            Part::Outside(node) => Ok(*node),
            Part::Leaf(leaf) if level == 0 && self.proof.count > 0 => {
                let node = leaf.node(&self.proof.namespaces)?;
                self.leaves.push(leaf);
                self.needed(part, node)
            }
            Part::Inside if level > 0 => {
                let left = self.subtree(level - 1, 2 * index)?;
                let right = self.subtree(level - 1, 2 * index + 1)?;
                self.needed(part, Node::above(&left, &right))
            }
            Part::Leaf(_) | Part::Inside => Err(ProofError::Shape { part }),
        }
    }

    fn needed(&self, part: usize, node: Node) -> Result<Node, ProofError> {
        if node.namespaces.meets(self.set) {
            Ok(node)
        } else {
            Err(ProofError::Needless { part, chain_id: self.chain_id })
        }
    }

    /// How many nodes a level has.
    fn width(&self, level: u32) -> u64 {
        u64::from(self.proof.count).div_ceil(1 << level)
    }
}

fn open(tree: &Tree, set: NamespaceSet, level: usize, index: usize, parts: &mut Vec<Part>) {
    let node = tree.levels()[level][index];
    if !node.namespaces.meets(set) {
        parts.push(Part::Outside(node));
    } else if level == 0 {
        parts.push(Part::Leaf(tree.leaves()[index].clone()));
    } else {
        let (left, right) = (2 * index, 2 * index + 1);
        if right < tree.levels()[level - 1].len() {
            parts.push(Part::Inside);
            open(tree, set, level - 1, left, parts);
            open(tree, set, level - 1, right, parts);
        } else {
            open(tree, set, level - 1, left, parts);
        }
    }
}

fn path_length(index: u32, count: u32) -> usize {
    let (mut at, mut width, mut length) = (index, count, 0);
    while width > 1 {
        length += usize::from(at ^ 1 < width);
        (at, width) = (at / 2, width.div_ceil(2));
    }
    length
}

fn check_root(actual: Digest, expected: &Digest) -> Result<(), ProofError> {
    if actual == *expected { Ok(()) } else { Err(ProofError::Root { actual, expected: *expected }) }
}

#[cfg(test)]
mod tests;
