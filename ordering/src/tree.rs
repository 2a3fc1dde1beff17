//! A persistent map from bundle ids, with a Merkle digest.
//!
//! 1. A clone is O(1) and shares everything; a change copies one path.
//! 2. The shape depends on the keys alone, not on the history: a 16-ary trie over the nibbles of
//!    the id, with a leaf at the first depth at which its prefix is unique. So the digest is a
//!    function of the contents, and iteration is in the order of ids.
//! 3. Digests of untouched subtrees are kept: a block that touches m ids hashes O(m log N) nodes.
//!
//! ```text
//! leaf   = hash(OrderStateLeaf, id, encode(value))
//! branch = hash(OrderStateBranch, mask of present children as 2 bytes, their digests)
//! empty  = a branch without children
//! ```

use std::sync::{Arc, OnceLock};

use fairveil_crypto::{
    BundleId, Digest,
    domain::{Tag, hash},
    encoding::encode,
};
use serde::Serialize;

const NIBBLES: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Tree<V> {
    root: Link<V>,
    len: usize,
}

type Link<V> = Option<Arc<Node<V>>>;

#[derive(Clone, Debug)]
struct Node<V> {
    content: Content<V>,
    digest: OnceLock<Digest>,
}

#[derive(Clone, Debug)]
enum Content<V> {
    Leaf(BundleId, V),
    Branch([Link<V>; NIBBLES]),
}

impl<V: Clone + Serialize> Tree<V> {
    pub(crate) fn new() -> Self {
        Self { root: None, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: &BundleId) -> Option<&V> {
        let mut link = &self.root;
        let mut depth = 0;
        loop {
            match &link.as_ref()?.content {
                Content::Leaf(key, value) => return (key == id).then_some(value),
                Content::Branch(children) => link = &children[nibble(id, depth)],
            }
            depth += 1;
        }
    }

    /// Changes a value in place; None if the id is absent.
    pub(crate) fn get_mut(&mut self, id: &BundleId) -> Option<&mut V> {
        self.get(id)?;
        let mut link = &mut self.root;
        let mut depth = 0;
        loop {
            let node = Arc::make_mut(link.as_mut()?);
            node.digest = OnceLock::new();
            match &mut node.content {
                Content::Leaf(_, value) => return Some(value),
                Content::Branch(children) => link = &mut children[nibble(id, depth)],
            }
            depth += 1;
        }
    }

    /// Adds an id; an earlier value under it is replaced.
    pub(crate) fn insert(&mut self, id: BundleId, value: V) {
        if let Some(present) = self.get_mut(&id) {
            *present = value;
            return;
        }
        self.len += 1;
        insert_absent(&mut self.root, 0, id, value);
    }

    pub(crate) fn remove(&mut self, id: &BundleId) -> Option<V> {
        let value = self.get(id)?.clone();
        remove_present(&mut self.root, 0, id);
        self.len -= 1;
        Some(value)
    }

    /// All entries in the order of ids.
    pub(crate) fn iter(&self) -> Entries<'_, V> {
        Entries { stack: self.root.as_deref().into_iter().collect() }
    }

    /// The entries whose id begins with these bytes, in the order of ids.
    pub(crate) fn beginning_with<const N: usize>(
        &self,
        bytes: [u8; N],
    ) -> impl Iterator<Item = (&BundleId, &V)> {
        let mut node = self.root.as_deref();
        for byte in bytes {
            for index in [usize::from(byte >> 4), usize::from(byte & 15)] {
                if let Some(Node { content: Content::Branch(children), .. }) = node {
                    node = children[index].as_deref();
                }
            }
        }
        Entries { stack: node.into_iter().collect() }
            .filter(move |(id, _)| id.as_bytes().starts_with(&bytes))
    }

    pub(crate) fn digest(&self) -> Digest {
        match &self.root {
            None => hash(Tag::OrderStateBranch, &[&[0; 2]]),
            Some(root) => node_digest(root),
        }
    }
}

/// Entries of a [`Tree`] in the order of ids.
pub(crate) struct Entries<'a, V> {
    stack: Vec<&'a Node<V>>,
}

impl<'a, V> Iterator for Entries<'a, V> {
    type Item = (&'a BundleId, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match &self.stack.pop()?.content {
                Content::Leaf(id, value) => return Some((id, value)),
                Content::Branch(children) => {
                    self.stack.extend(children.iter().rev().flatten().map(Arc::as_ref));
                }
            }
        }
    }
}

/// What decides the order of two ids or keys nearly always.
pub(crate) fn first_bytes(bytes: &[u8; 32]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

fn nibble(id: &BundleId, depth: usize) -> usize {
    let byte = id.as_bytes()[depth / 2];
    usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

fn node<V>(content: Content<V>) -> Arc<Node<V>> {
    Arc::new(Node { content, digest: OnceLock::new() })
}

fn insert_absent<V: Clone>(link: &mut Link<V>, depth: usize, id: BundleId, value: V) {
    let Some(present) = link else {
        *link = Some(node(Content::Leaf(id, value)));
        return;
    };
    if let Content::Leaf(other, _) = present.content {
        let mut children: [Link<V>; NIBBLES] = Default::default();
        children[nibble(&other, depth)] = Some(present.clone());
        *present = node(Content::Branch(children));
    }
    let present = Arc::make_mut(present);
    present.digest = OnceLock::new();
    if let Content::Branch(children) = &mut present.content {
        insert_absent(&mut children[nibble(&id, depth)], depth + 1, id, value);
    }
}

fn remove_present<V: Clone>(link: &mut Link<V>, depth: usize, id: &BundleId) {
    let Some(present) = link else { return };
    if matches!(present.content, Content::Leaf(..)) {
        *link = None;
        return;
    }
    let present = Arc::make_mut(present);
    present.digest = OnceLock::new();
    let Content::Branch(children) = &mut present.content else {
        return;
    };
    remove_present(&mut children[nibble(id, depth)], depth + 1, id);
    let mut rest = children.iter().flatten();
    let only = match (rest.next(), rest.next()) {
        (Some(only), None) if matches!(only.content, Content::Leaf(..)) => only.clone(),
        _ => return,
    };
    *link = Some(only);
}

fn node_digest<V: Serialize>(node: &Node<V>) -> Digest {
    *node.digest.get_or_init(|| match &node.content {
        Content::Leaf(id, value) => hash(Tag::OrderStateLeaf, &[id.as_bytes(), &encode(value)]),
        Content::Branch(children) => {
            let mut mask = 0u16;
            let mut below = Vec::with_capacity(NIBBLES * 32);
            for (at, child) in children.iter().enumerate() {
                if let Some(child) = child {
                    mask |= 1 << at;
                    below.extend_from_slice(node_digest(child).as_bytes());
                }
            }
            hash(Tag::OrderStateBranch, &[&mask.to_be_bytes(), &below])
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Few distinct bytes, so that long prefixes are shared.
    fn id(seed: u16) -> BundleId {
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte =
                if at < 30 { (seed >> (at % 3) & 1) as u8 } else { seed.to_be_bytes()[at - 30] };
        }
        BundleId::from_bytes(bytes)
    }

    fn built(model: &BTreeMap<BundleId, u32>) -> Tree<u32> {
        let mut tree = Tree::new();
        for (id, value) in model.iter().rev() {
            tree.insert(*id, *value);
        }
        tree
    }

    proptest! {
        #[test]
        fn equals_a_btree_map_and_its_digest_has_no_history(
            steps in vec((0u16..200, any::<u32>(), 0u8..3), 0..300)
        ) {
            let mut tree = Tree::new();
            let mut model = BTreeMap::new();
            for (seed, value, action) in steps {
                let before = (tree.clone(), model.clone());
                match action {
                    0 => assert_eq!(tree.remove(&id(seed)), model.remove(&id(seed))),
                    1 => {
                        tree.insert(id(seed), value);
                        model.insert(id(seed), value);
                    }
                    _ => {
                        let (mine, its) = (tree.get_mut(&id(seed)), model.get_mut(&id(seed)));
                        prop_assert_eq!(&mine, &its);
                        if let (Some(mine), Some(its)) = (mine, its) {
                            *mine = value;
                            *its = value;
                        }
                    }
                }
                prop_assert_eq!(before.0.digest(), built(&before.1).digest());
            }
            prop_assert_eq!(tree.len(), model.len());
            prop_assert!(tree.iter().eq(model.iter()));
            prop_assert_eq!(tree.digest(), built(&model).digest());
            let swept = (0..=255).flat_map(|byte| tree.beginning_with([byte])).count();
            for (id, _) in tree.iter() {
                let bytes: [u8; 30] = id.as_bytes()[..30].try_into().unwrap();
                let model = model.keys().filter(|other| other.as_bytes().starts_with(&bytes));
                prop_assert!(tree.beginning_with(bytes).map(|(id, _)| id).eq(model));
            }
            prop_assert_eq!(swept, model.len());
        }
    }

    #[test]
    fn different_contents_differ() {
        let one = built(&[(id(1), 7)].into());
        let two = built(&[(id(1), 8)].into());
        assert_ne!(one.digest(), two.digest());
        assert_ne!(one.digest(), Tree::<u32>::new().digest());
    }
}
