//! A map that is cheap to clone and cheap to change: sorted layers, shared between clones.
//!
//! A change is a new layer above the others; a layer is merged with the one below while that is
//! less than twice as long, so there are logarithmically many, an entry is copied logarithmically
//! often, and no choice of keys makes it worse.
//!
//! # Invariants
//!
//! 1. `get` finds what was put under the key last.
//! 2. `entries` depends on what was put alone, not on how it is cut into layers.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys with values, the newest layer last.
#[derive(Clone, Debug)]
pub(crate) struct Layers<K, V> {
    layers: Vec<Arc<Vec<(K, V)>>>,
}

impl<K: Ord + Copy, V: Copy> Layers<K, V> {
    pub(crate) const fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// The value that was put under the key last.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.layers.iter().rev().find_map(|layer| {
            let at = layer.binary_search_by(|(held, _)| held.cmp(key)).ok()?;
            Some(&layer[at].1)
        })
    }

    /// Puts values under keys, the later of one key in the place of the earlier.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = (K, V)>) {
        let entries: BTreeMap<K, V> = entries.into_iter().collect();
        if entries.is_empty() {
            return;
        }
        let mut newest: Vec<_> = entries.into_iter().collect();
        while let Some(below) = self.layers.pop_if(|last| last.len() < 2 * newest.len()) {
            newest = merge(&below, &newest);
        }
        self.layers.push(Arc::new(newest));
    }

    /// All keys with their values, ascending.
    pub(crate) fn entries(&self) -> Vec<(K, V)> {
        let mut all = Vec::new();
        for layer in self.layers.iter().rev() {
            all = merge(layer, &all);
        }
        all
    }
}

/// Both layers, the upper one's value where both have a key.
fn merge<K: Ord + Copy, V: Copy>(below: &[(K, V)], above: &[(K, V)]) -> Vec<(K, V)> {
    let mut merged = Vec::with_capacity(below.len() + above.len());
    let mut below = below.iter().copied().peekable();
    for (key, value) in above.iter().copied() {
        while let Some(lower) = below.next_if(|(lower, _)| *lower < key) {
            merged.push(lower);
        }
        below.next_if(|(lower, _)| *lower == key);
        merged.push((key, value));
    }
    merged.extend(below);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator: the tests need many cases, not good randomness.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        *state >> 33
    }

    #[test]
    fn invariants_hold_against_a_plain_map() {
        for seed in 0..20 {
            let mut random = seed;
            let (mut naive, mut layers) = (BTreeMap::new(), Layers::new());
            for _ in 0..300 {
                let count = next(&mut random) % 9;
                let entries: Vec<_> =
                    (0..count).map(|_| (next(&mut random) % 200, next(&mut random))).collect();
                naive.extend(entries.iter().copied());
                layers.extend(entries);
                for key in 0..200 {
                    assert_eq!(layers.get(&key), naive.get(&key));
                }
                assert_eq!(layers.entries(), Vec::from_iter(naive.clone()));
            }
            assert!(layers.layers.len() < 12, "{} layers", layers.layers.len());
        }
    }
}
