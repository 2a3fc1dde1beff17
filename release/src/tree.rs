//! The tree of a release: one Merkle tree over every id of the release, namespaced by rollup.
//!
//! There is one leaf per id, in the fair order, whatever became of it; a released bundle's leaf
//! holds *all* of its legs. Every node carries the set of rollups that the leaves under it touch.
//! So one short path shows a trader that all legs of a bundle are released (or why none is), and a
//! rollup sees that its batch is complete: it opens the leaves that touch it, and every subtree
//! that it does not open says in its set that it does not touch it. A rollup's batch is the
//! subsequence of the leaves that touch it, so atomicity and order are the shape of the tree
//! and nothing that has to be compared between trees.
//!
//! # Bytes
//!
//! `H(TAG, x1, x2, ...)` is SHA-256 over the frame of the tag `FAIRVEIL-V1-TAG` and the items:
//! before each, its length as 4 bytes big-endian. Integers are big-endian, lengths in brackets.
//!
//! - **Namespaces**: the chain ids (8 each) of the registry, ascending. A set is 8 bytes whose
//!   bit i (value 2^i) is the i-th of them.
//! - **Leg**: `H(RELEASE-LEG, chain_id (8), transaction 1, transaction 2, ...)`.
//! - **Position**: height (8) ‖ index (4), where the order certificate of that height emitted the
//!   id: cohorts one after the other, from 0.
//! - **Outcome**: `01 ‖ policy (1)` released, `02 ‖ failed code` ([`crate::failed`]), `03` expired,
//!   `04 ‖ policy (1)` waits for a later release; policy 0 is `include`, 1 is `execute`.
//! - **Leaf**: digest `H(RELEASE-LEAF, id, position, outcome, leg 1, ..., leg k)`. A released one
//!   has its legs as chain_id (8) ‖ block number (8) ‖ block time in ms (8) ‖ digest (32), and its
//!   set is their chains; one that waits has them as chain_id (8) ‖ digest (32), and its set is
//!   empty, as that of any other, which has no legs.
//! - **Node**: digest `H(RELEASE-NODE, left digest, left set (8), right digest, right set (8))`;
//!   its set is the union.
//! - **Levels**: level 0 are the leaves; neighbours 2i and 2i+1 make node i of the next level; a
//!   last one without a neighbour moves up unchanged, until one is left. Without leaves that one
//!   has digest `H(RELEASE-EMPTY)` and the empty set.
//! - **Tree root**: `H(RELEASE-TREE, number of leaves (4), digest, set (8), namespaces)` of the
//!   last node left, the namespaces as one item.
//!
//! # Invariants
//!
//! 1. The root fixes the number of leaves, every leaf and the namespaces.
//! 2. Leaves are in strictly ascending position, and so are the opened leaves of every rollup.
//! 3. A proof for a bundle is one path: under 2 KiB for 8 legs, 64 rollups and 2^20 ids.
//! 4. An id has at most two leaves over all releases: at most one that waits, and after it one that
//!    does not.
//!
//! Deviation from the published namespaced trees (minimum and maximum of sorted namespaces): sets
//! instead of ranges, because the leaves are sorted by the fair order and not by rollup.

use fairveil_crypto::domain::{Hasher, Tag, hash};
use fairveil_crypto::{BundleId, Digest, Height};
use fairveil_mempool::Policy;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failed::Failed;
use crate::registry::MAX_ROLLUPS;
use crate::slot::BlockTime;
use crate::transaction::RawTransaction;

/// Where an id stands in the network's fair order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The height that emitted it.
    pub height: Height,
    /// Its index in that height's order, from 0.
    pub index: u32,
}

/// What became of an ordered id in a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Outcome {
    /// All of its legs are in this release's batches.
    Released {
        /// What the release guarantees of the legs.
        policy: Policy,
        /// The legs, sorted by chain id.
        legs: Vec<ReleasedLeg>,
    },
    /// None of its legs is in any batch, ever.
    Failed(Failed),
    /// Its window closed before it was emitted; it was never opened.
    Expired,
    /// It waits for a slot, and keeps its place before everything ordered later.
    Carried {
        /// What a release will guarantee of the legs.
        policy: Policy,
        /// The legs, sorted by chain id.
        legs: Vec<LegDigest>,
    },
}

/// One leg of a released bundle: where it stands, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedLeg {
    /// The rollup.
    pub chain_id: u64,
    /// The rollup's block that holds it.
    pub block: BlockTime,
    /// The digest of its transactions.
    pub digest: Digest,
}

/// One leg of a bundle, by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegDigest {
    /// The rollup.
    pub chain_id: u64,
    /// The digest of its transactions.
    pub digest: Digest,
}

/// One id of a release and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The sealed bundle.
    pub id: BundleId,
    /// Where it stands in the fair order.
    pub position: Position,
    /// What became of it.
    pub outcome: Outcome,
}

/// The rollups that a subtree touches: bit i is the i-th namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamespaceSet(u64);

/// A subtree: its digest and the rollups that it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The digest of the subtree.
    pub digest: Digest,
    /// The rollups that it touches.
    pub namespaces: NamespaceSet,
}

/// The chain ids that a tree's namespaces stand for: ascending, 1 to 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Namespaces(Vec<u64>);

/// All leaves and nodes of a release's tree.
#[derive(Clone, Debug)]
pub struct Tree {
    namespaces: Namespaces,
    leaves: Vec<Leaf>,
    /// Level 0 are the leaves; the last level has at most one node.
    levels: Vec<Vec<Node>>,
}

/// Chain ids that are no namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("namespaces are 1 to 64 ascending chain ids")]
pub struct NamespacesError;

/// Why leaves make no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// A leg of a rollup that is no namespace.
    #[error("leaf {index} has a leg on chain {chain_id}, which is no namespace")]
    Namespace {
        /// The leaf.
        index: usize,
        /// The chain.
        chain_id: u64,
    },
    /// A bundle that is released or waits without legs, or with legs that are not sorted.
    #[error("leaf {index} has no sorted legs")]
    Legs {
        /// The leaf.
        index: usize,
    },
    /// A leaf that does not stand after the one before it.
    #[error("leaf {index} does not stand after its neighbour in the fair order")]
    Order {
        /// The leaf.
        index: usize,
    },
    /// More leaves than a count of 32 bits can say.
    #[error("{actual} leaves are too many")]
    Count {
        /// How many there are.
        actual: usize,
    },
}

/// Why a leaf has no set of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafError {
    Namespace { chain_id: u64 },
    Legs,
}

impl Position {
    /// The 12 bytes that are hashed.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.height.get().to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { height, index } = self;
        write!(out, "height {height} position {index}")
    }
}

impl Outcome {
    /// The bytes that are hashed; the legs follow as items of their own.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Released { policy, .. } => vec![1, policy_number(*policy)],
            Self::Failed(failed) => {
                let mut bytes = vec![2];
                bytes.extend(failed.to_bytes());
                bytes
            }
            Self::Expired => vec![3],
            Self::Carried { policy, .. } => vec![4, policy_number(*policy)],
        }
    }

    /// The legs of a released bundle; none of any other.
    pub fn legs(&self) -> &[ReleasedLeg] {
        match self {
            Self::Released { legs, .. } => legs,
            _ => &[],
        }
    }

    /// The stable code, as interfaces show it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Released { .. } => "released",
            Self::Failed(failed) => failed.code(),
            Self::Expired => "expired",
            Self::Carried { .. } => "carried",
        }
    }

    /// Whether the legs that it commits to are there, sorted, each chain once.
    fn has_sorted_legs(&self) -> bool {
        let ascends = |chains: Vec<u64>| {
            !chains.is_empty() && chains.windows(2).all(|pair| pair[0] < pair[1])
        };
        match self {
            Self::Released { legs, .. } => ascends(legs.iter().map(|leg| leg.chain_id).collect()),
            Self::Carried { legs, .. } => ascends(legs.iter().map(|leg| leg.chain_id).collect()),
            Self::Failed(_) | Self::Expired => true,
        }
    }
}

const fn policy_number(policy: Policy) -> u8 {
    match policy {
        Policy::Include => 0,
        Policy::Execute => 1,
    }
}

impl ReleasedLeg {
    /// The 56 bytes that are hashed.
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        bytes[..8].copy_from_slice(&self.chain_id.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.block.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.block.time_ms.to_be_bytes());
        bytes[24..].copy_from_slice(self.digest.as_bytes());
        bytes
    }
}

impl LegDigest {
    /// The digest of these transactions as a leg on this chain.
    pub fn new(chain_id: u64, transactions: &[RawTransaction]) -> Self {
        let mut hasher = Hasher::new(Tag::ReleaseLeg);
        hasher.item(&chain_id.to_be_bytes());
        for transaction in transactions {
            hasher.item(transaction.as_bytes());
        }
        Self { chain_id, digest: hasher.finish() }
    }

    /// The 40 bytes that are hashed.
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.chain_id.to_be_bytes());
        bytes[8..].copy_from_slice(self.digest.as_bytes());
        bytes
    }
}

impl Leaf {
    /// The leaf's digest.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::ReleaseLeaf);
        hasher.item(self.id.as_bytes());
        hasher.item(&self.position.to_bytes());
        hasher.item(&self.outcome.to_bytes());
        match &self.outcome {
            Outcome::Released { legs, .. } => {
                legs.iter().for_each(|leg| hasher.item(&leg.to_bytes()))
            }
            Outcome::Carried { legs, .. } => {
                legs.iter().for_each(|leg| hasher.item(&leg.to_bytes()))
            }
            Outcome::Failed(_) | Outcome::Expired => {}
        }
        hasher.finish()
    }

    /// The leaf as a node of level 0.
    pub(crate) fn node(&self, namespaces: &Namespaces) -> Result<Node, LeafError> {
        if !self.outcome.has_sorted_legs() {
            return Err(LeafError::Legs);
        }
        let mut set = NamespaceSet::default();
        for leg in self.outcome.legs() {
            let chain_id = leg.chain_id;
            let bit = namespaces.only(chain_id).ok_or(LeafError::Namespace { chain_id })?;
            set = set.union(bit);
        }
        Ok(Node { digest: self.digest(), namespaces: set })
    }

    /// This leaf's released leg on a chain, if it has one.
    pub fn leg(&self, chain_id: u64) -> Option<&ReleasedLeg> {
        self.outcome.legs().iter().find(|leg| leg.chain_id == chain_id)
    }
}

impl NamespaceSet {
    /// The set with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Everything that is in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have something in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Namespaces {
    /// Namespaces for these chain ids.
    pub fn new(chain_ids: Vec<u64>) -> Result<Self, NamespacesError> {
        let ascending = chain_ids.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || chain_ids.is_empty() || chain_ids.len() > MAX_ROLLUPS {
            return Err(NamespacesError);
        }
        Ok(Self(chain_ids))
    }

    /// The chain ids, ascending.
    pub fn chain_ids(&self) -> &[u64] {
        &self.0
    }

    /// The set that holds this chain alone.
    pub fn only(&self, chain_id: u64) -> Option<NamespaceSet> {
        self.0.binary_search(&chain_id).ok().map(|at| NamespaceSet(1 << at))
    }
}

impl TryFrom<Vec<u64>> for Namespaces {
    type Error = NamespacesError;

    fn try_from(chain_ids: Vec<u64>) -> Result<Self, NamespacesError> {
        Self::new(chain_ids)
    }
}

impl From<Namespaces> for Vec<u64> {
    fn from(namespaces: Namespaces) -> Self {
        namespaces.0
    }
}

impl Node {
    /// The node above two neighbours.
    pub fn above(left: &Self, right: &Self) -> Self {
        let digest = hash(
            Tag::ReleaseNode,
            &[
                left.digest.as_bytes(),
                &left.namespaces.bits().to_be_bytes(),
                right.digest.as_bytes(),
                &right.namespaces.bits().to_be_bytes(),
            ],
        );
        Self { digest, namespaces: left.namespaces.union(right.namespaces) }
    }

    /// The only node of a tree without leaves.
    pub fn empty() -> Self {
        Self { digest: hash(Tag::ReleaseEmpty, &[]), namespaces: NamespaceSet::default() }
    }

    /// The tree root, if this is the last node left of `count` leaves.
    pub fn tree_root(&self, count: u32, namespaces: &Namespaces) -> Digest {
        let chains: Vec<u8> = namespaces.0.iter().flat_map(|chain| chain.to_be_bytes()).collect();
        hash(
            Tag::ReleaseTree,
            &[
                &count.to_be_bytes(),
                self.digest.as_bytes(),
                &self.namespaces.bits().to_be_bytes(),
                &chains,
            ],
        )
    }
}

impl Tree {
    /// The tree of these leaves.
    pub fn new(namespaces: Namespaces, leaves: Vec<Leaf>) -> Result<Self, TreeError> {
        u32::try_from(leaves.len()).map_err(|_| TreeError::Count { actual: leaves.len() })?;
        if let Some(before) =
            leaves.windows(2).position(|pair| pair[0].position >= pair[1].position)
        {
            return Err(TreeError::Order { index: before + 1 });
        }
        let nodes = leaves.iter().enumerate().map(|(index, leaf)| {
            leaf.node(&namespaces).map_err(|error| match error {
                LeafError::Namespace { chain_id } => TreeError::Namespace { index, chain_id },
                LeafError::Legs => TreeError::Legs { index },
            })
        });
        let mut levels = vec![nodes.collect::<Result<Vec<_>, _>>()?];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level_above(level));
        }
        Ok(Self { namespaces, leaves, levels })
    }

    /// The root, with the number of leaves and the namespaces.
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(Node::empty).tree_root(self.count(), &self.namespaces)
    }

    /// How many leaves there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    /// The leaves in the fair order.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Level 0 are the leaves; the last has at most one node.
    pub(crate) fn levels(&self) -> &[Vec<Node>] {
        &self.levels
    }
}

fn level_above(level: &[Node]) -> Vec<Node> {
    let pairs = level.chunks(2).map(|pair| match pair {
        [left, right] => Node::above(left, right),
        alone => alone[0],
    });
    pairs.collect()
}

#[cfg(test)]
pub(crate) mod tests;
