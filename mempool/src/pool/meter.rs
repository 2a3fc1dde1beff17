//! Leaky buckets: what one key may do at once, and how fast it drains.

use std::collections::{BTreeMap, BTreeSet};

/// Buckets by key. Those of idle keys are forgotten; beyond `limit` keys the rest share one.
#[derive(Debug)]
pub(crate) struct Meters<K> {
    burst: u64,
    per_second: u64,
    limit: usize,
    buckets: BTreeMap<K, Bucket>,
    by_empty_ms: BTreeSet<(u64, K)>,
    shared: Bucket,
}

/// A level in thousandths of a unit: it falls by `per_second` of them each millisecond.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: u64,
    at_ms: u64,
}

/// A bucket that would run over: what it would hold, and what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow {
    pub(crate) actual: u64,
    pub(crate) limit: u64,
}

const UNIT: u64 = 1_000;

impl<K: Ord + Copy> Meters<K> {
    pub(crate) fn new(burst: u64, per_second: u64, limit: usize) -> Self {
        let (buckets, by_empty_ms) = (BTreeMap::new(), BTreeSet::new());
        Self { burst, per_second, limit, buckets, by_empty_ms, shared: Bucket::default() }
    }

    /// Whether `amount` more would run over now.
    pub(crate) fn check(&self, now_ms: u64, key: &K, amount: u64) -> Result<(), Overflow> {
        let level = self.buckets.get(key).unwrap_or(&self.shared).level_at(now_ms, self.per_second);
        let filled = level.saturating_add(amount.saturating_mul(UNIT));
        if filled > self.burst.saturating_mul(UNIT) {
            return Err(Overflow { actual: filled.div_ceil(UNIT), limit: self.burst });
        }
        Ok(())
    }

    /// Pours `amount` in, whatever it does to the level.
    pub(crate) fn charge(&mut self, now_ms: u64, key: K, amount: u64) {
        self.forget_empty(now_ms);
        let own = self.buckets.contains_key(&key) || self.buckets.len() < self.limit;
        let bucket = if own { self.buckets.entry(key).or_default() } else { &mut self.shared };
        let before = bucket.empty_ms(self.per_second);
        let level = bucket.level_at(now_ms, self.per_second);
        *bucket =
            Bucket { level: level.saturating_add(amount.saturating_mul(UNIT)), at_ms: now_ms };
        let after = bucket.empty_ms(self.per_second);
        if own {
            self.by_empty_ms.remove(&(before, key));
            self.by_empty_ms.insert((after, key));
        }
    }

    /// [`Self::check`], then [`Self::charge`] if it fits.
    pub(crate) fn take(&mut self, now_ms: u64, key: K, amount: u64) -> Result<(), Overflow> {
        self.check(now_ms, &key, amount)?;
        self.charge(now_ms, key, amount);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    fn forget_empty(&mut self, now_ms: u64) {
        while let Some(&(empty_ms, key)) = self.by_empty_ms.first() {
            if empty_ms > now_ms {
                break;
            }
            self.by_empty_ms.pop_first();
            self.buckets.remove(&key);
        }
    }
}

impl Bucket {
    fn level_at(&self, now_ms: u64, per_second: u64) -> u64 {
        let drained = now_ms.saturating_sub(self.at_ms).saturating_mul(per_second);
        self.level.saturating_sub(drained)
    }

    fn empty_ms(&self, per_second: u64) -> u64 {
        self.at_ms.saturating_add(self.level.div_ceil(per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_burst_and_drains_at_its_rate() {
        let mut meters = Meters::new(3, 2, 10);
        for _ in 0..3 {
            assert_eq!(meters.take(1_000, 'a', 1), Ok(()));
        }
        assert_eq!(meters.take(1_000, 'a', 1), Err(Overflow { actual: 4, limit: 3 }));
        assert_eq!(meters.take(1_499, 'a', 1), Err(Overflow { actual: 4, limit: 3 }));
        assert_eq!(meters.take(1_500, 'a', 1), Ok(()));
        assert_eq!(meters.take(1_500, 'b', 3), Ok(()));
        assert_eq!(meters.take(1_500, 'b', 1), Err(Overflow { actual: 4, limit: 3 }));
    }

    #[test]
    fn idle_keys_are_forgotten_and_the_surplus_shares_a_bucket() {
        let mut meters = Meters::new(2, 1, 2);
        for key in ['a', 'b', 'c', 'd'] {
            assert_eq!(meters.take(0, key, 1), Ok(()));
        }
        assert_eq!(meters.len(), 2);
        assert!(meters.take(0, 'e', 1).is_err());
        assert_eq!(meters.take(0, 'a', 1), Ok(()));
        assert_eq!(meters.take(2_000, 'e', 1), Ok(()));
        assert_eq!(meters.len(), 1);
        assert_eq!(meters.buckets.len(), meters.by_empty_ms.len());
    }

    #[test]
    fn time_that_goes_back_drains_nothing() {
        let mut meters = Meters::new(1, 1, 2);
        assert_eq!(meters.take(5_000, 'a', 1), Ok(()));
        assert!(meters.take(1_000, 'a', 1).is_err());
        assert_eq!(meters.take(6_000, 'a', 1), Ok(()));
    }
}
