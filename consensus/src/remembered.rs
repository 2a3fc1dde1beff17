//! A set of keys, each remembered until some height: cheap to clone, cheap to extend.
//!
//! Sorted segments that are shared between clones; a new segment is merged with its neighbour
//! while that is less than twice as long, so there are logarithmically many, a key is copied
//! logarithmically often, and no choice of keys makes it worse.
//!
//! # Invariants
//!
//! 1. `contains(key, height)` iff the key was inserted with an `until` of at least `height`.
//! 2. `entries` depends on what was inserted alone, not on how it is cut into segments.

use std::sync::Arc;

use fairveil_crypto::Height;

/// Keys with the last height at which each counts.
#[derive(Clone, Debug)]
pub(crate) struct Remembered<K> {
    segments: Vec<Arc<Vec<(K, Height)>>>,
}

impl<K: Ord + Clone> Remembered<K> {
    pub(crate) fn new() -> Self {
        Self { segments: Vec::new() }
    }

    /// Whether the key counts at this height.
    pub(crate) fn contains(&self, key: &K, height: Height) -> bool {
        self.segments.iter().any(|segment| {
            segment
                .binary_search_by(|(held, _)| held.cmp(key))
                .is_ok_and(|position| segment[position].1 >= height)
        })
    }

    /// Adds keys at `height`; what no longer counts then may be dropped.
    pub(crate) fn extend(&mut self, mut entries: Vec<(K, Height)>, height: Height) {
        if entries.is_empty() {
            return;
        }
        entries.sort_unstable();
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = kept.1.max(later.1);
            }
            same
        });
        let mut newest = entries;
        while let Some(segment) = self.segments.pop_if(|last| last.len() < 2 * newest.len()) {
            newest = merge(&segment, &newest, height);
        }
        self.segments.push(Arc::new(newest));
    }

    /// All keys that count at `height`, ascending.
    pub(crate) fn entries(&self, height: Height) -> Vec<(K, Height)> {
        let mut all = Vec::new();
        for segment in self.segments.iter().rev() {
            all = merge(segment, &all, height);
        }
        all
    }
}

fn merge<K: Ord + Clone>(
    one: &[(K, Height)],
    other: &[(K, Height)],
    height: Height,
) -> Vec<(K, Height)> {
    let mut merged: Vec<(K, Height)> = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    loop {
        let next = match (one.peek(), other.peek()) {
            (Some(left), Some(right)) if left.0 <= right.0 => one.next(),
            (_, Some(_)) => other.next(),
            (_, None) => one.next(),
        };
        let Some((key, until)) = next else {
            return merged;
        };
        if *until < height {
            continue;
        }
        match merged.last_mut() {
            Some(last) if last.0 == *key => last.1 = last.1.max(*until),
            _ => merged.push((key.clone(), *until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A small generator: the tests need many cases, not good randomness.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        *state >> 33
    }

    #[test]
    fn invariants_hold_against_a_plain_map() {
        for seed in 0..20 {
            let mut state = seed;
            let mut naive: BTreeMap<u64, Height> = BTreeMap::new();
            let mut remembered = Remembered::new();
            for height in (1..400).map(Height::new) {
                let count = next(&mut state) % 9;
                let entries: Vec<_> = (0..count)
                    .map(|_| {
                        let until = height.saturating_add(next(&mut state) % 50);
                        (next(&mut state) % 300, until)
                    })
                    .collect();
                for (key, until) in &entries {
                    let held = naive.entry(*key).or_insert(*until);
                    *held = (*held).max(*until);
                }
                remembered.extend(entries, height);
                naive.retain(|_, until| *until >= height);
                for key in 0..300 {
                    assert_eq!(remembered.contains(&key, height), naive.contains_key(&key));
                }
                let expected: Vec<_> = naive.iter().map(|(key, until)| (*key, *until)).collect();
                assert_eq!(remembered.entries(height), expected);
            }
            assert!(remembered.segments.len() < 12, "{} segments", remembered.segments.len());
        }
    }
}
