//! Token buckets per address: a pure state machine, time is an argument.
//!
//! Each address prefix (an IPv4 address, or the /64 of an IPv6 one) has a bucket of `burst`
//! tokens that refills at `per_second`. A bucket is kept as the time at which it will be full
//! again (the generic cell rate algorithm), so all arithmetic is on durations, without remainders.
//!
//! Invariants:
//!
//! 1. In any interval of length d, an address takes at most `burst + d * per_second` tokens
//!    (rounded up to whole ones).
//! 2. A refusal takes nothing, and says after how long the same request would succeed.
//! 3. At most `max_addresses` buckets exist; full ones are forgotten first. While every bucket is
//!    in use, all further addresses share one bucket, so a crowd of addresses gains nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use thiserror::Error;

/// Limits of all buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLimits {
    /// Tokens of a full bucket.
    pub burst: NonZeroU32,
    /// Tokens that come back each second.
    pub per_second: NonZeroU32,
    /// Buckets that are kept.
    pub max_addresses: usize,
}

/// Not enough tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("over {per_second} requests per second, again in {retry_after:?}")]
pub struct Exhausted {
    /// The rate that is allowed in the long run.
    pub per_second: NonZeroU32,
    /// After how long the same request would succeed.
    pub retry_after: Duration,
}

/// The buckets of all addresses.
#[derive(Clone, Debug)]
pub struct TokenBuckets {
    limits: BucketLimits,
    token: Duration,
    full_at: BTreeMap<IpAddr, Duration>,
    by_time: BTreeSet<(Duration, IpAddr)>,
    shared_full_at: Duration,
}

impl TokenBuckets {
    /// Full buckets for everybody.
    #[must_use]
    pub fn new(limits: BucketLimits) -> Self {
        let per_second = u64::from(limits.per_second.get());
        Self {
            limits,
            token: Duration::from_nanos(1_000_000_000_u64.div_ceil(per_second)),
            full_at: BTreeMap::new(),
            by_time: BTreeSet::new(),
            shared_full_at: Duration::ZERO,
        }
    }

    /// Takes tokens from an address's bucket; `now` never goes back.
    ///
    /// # Errors
    ///
    /// If there are too few, or more are asked for than a bucket holds.
    pub fn take(
        &mut self,
        now: Duration,
        address: IpAddr,
        tokens: NonZeroU32,
    ) -> Result<(), Exhausted> {
        let prefix = prefix_of(address);
        self.forget_full(now);
        let known = self.full_at.get(&prefix).copied();
        let shared = known.is_none() && self.full_at.len() >= self.limits.max_addresses;
        let before = if shared { self.shared_full_at } else { known.unwrap_or(now) };
        let after = self.charge(now, before.max(now), tokens)?;
        if shared {
            self.shared_full_at = after;
        } else {
            if let Some(before) = known {
                self.by_time.remove(&(before, prefix));
            }
            self.full_at.insert(prefix, after);
            self.by_time.insert((after, prefix));
        }
        Ok(())
    }

    /// How many addresses have a bucket that is not full.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether every bucket is full.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    fn charge(
        &self,
        now: Duration,
        full_at: Duration,
        tokens: NonZeroU32,
    ) -> Result<Duration, Exhausted> {
        let after = full_at.saturating_add(self.token.saturating_mul(tokens.get()));
        let latest = now.saturating_add(self.token.saturating_mul(self.limits.burst.get()));
        if after > latest {
            let retry_after = after - latest;
            return Err(Exhausted { per_second: self.limits.per_second, retry_after });
        }
        Ok(after)
    }

    fn forget_full(&mut self, now: Duration) {
        while let Some((full_at, prefix)) = self.by_time.first().copied() {
            if full_at > now {
                break;
            }
            self.by_time.pop_first();
            self.full_at.remove(&prefix);
        }
    }
}

/// What counts as one address: a host has all of its /64 (RFC 6177).
pub(crate) fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn limits(burst: u32, per_second: u32, max_addresses: usize) -> BucketLimits {
        BucketLimits {
            burst: NonZeroU32::new(burst).unwrap(),
            per_second: NonZeroU32::new(per_second).unwrap(),
            max_addresses,
        }
    }

    fn host(byte: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, byte))
    }

    /// The textbook bucket, in units of 1/per_second of a nanosecond-token.
    struct Naive {
        limits: BucketLimits,
        level: BTreeMap<IpAddr, (u128, u128)>,
    }

    impl Naive {
        fn take(&mut self, now: Duration, address: IpAddr, tokens: u32) -> bool {
            let unit = u128::from(1_000_000_000_u64.div_ceil(self.limits.per_second.get().into()));
            let full = u128::from(self.limits.burst.get()) * unit;
            let now = now.as_nanos();
            let (level, at) = self.level.get(&address).copied().unwrap_or((full, now));
            let level = (level + (now - at)).min(full);
            let cost = u128::from(tokens) * unit;
            let took = level >= cost;
            self.level.insert(address, (if took { level - cost } else { level }, now));
            took
        }
    }

    proptest! {
        /// Invariants 1 and 2, against the textbook bucket.
        #[test]
        fn buckets_agree_with_the_textbook(
            burst in 1..20_u32,
            per_second in 1..2_000_u32,
            steps in prop::collection::vec((0..50_000_000_u64, 0..4_u8, 1..4_u32), 1..300),
        ) {
            let limits = limits(burst, per_second, 16);
            let mut buckets = TokenBuckets::new(limits);
            let mut naive = Naive { limits, level: BTreeMap::new() };
            let mut now = Duration::from_secs(5);
            for (pause_ns, byte, tokens) in steps {
                now += Duration::from_nanos(pause_ns);
                let tokens = NonZeroU32::new(tokens).unwrap();
                let taken = buckets.take(now, host(byte), tokens);
                prop_assert_eq!(taken.is_ok(), naive.take(now, host(byte), tokens.get()));
                if let (Err(exhausted), true) = (taken, tokens.get() <= burst) {
                    let early = exhausted.retry_after - Duration::from_nanos(1);
                    prop_assert!(buckets.clone().take(now + early, host(byte), tokens).is_err());
                }
            }
        }

        /// Invariant 2: the promised wait is enough.
        #[test]
        fn waiting_as_told_succeeds(burst in 1..20_u32, per_second in 1..2_000_u32) {
            let mut buckets = TokenBuckets::new(limits(burst, per_second, 4));
            let mut now = Duration::ZERO;
            let mut taken = 0;
            while taken < 50 {
                match buckets.take(now, host(1), ONE) {
                    Ok(()) => taken += 1,
                    Err(exhausted) => {
                        now += exhausted.retry_after;
                        prop_assert!(buckets.take(now, host(1), ONE).is_ok());
                        taken += 1;
                    }
                }
            }
            // Invariant 1 over the whole interval.
            let refilled = now.as_nanos() * u128::from(per_second) / 1_000_000_000;
            prop_assert!(taken <= u128::from(burst) + refilled + 1);
        }

        /// Invariant 3.
        #[test]
        fn crowds_share_and_tables_stay_small(
            steps in prop::collection::vec((0..3_000_000_u64, any::<u8>()), 1..400),
        ) {
            let mut buckets = TokenBuckets::new(limits(2, 100, 8));
            let mut now = Duration::ZERO;
            for (pause_ns, byte) in steps {
                now += Duration::from_nanos(pause_ns);
                let _either = buckets.take(now, host(byte), ONE);
                prop_assert!(buckets.len() <= 8);
                prop_assert_eq!(buckets.full_at.len(), buckets.by_time.len());
            }
        }
    }

    /// Invariant 3: with the table full, a hundred new addresses have two tokens together.
    #[test]
    fn a_crowd_has_one_bucket() {
        let mut buckets = TokenBuckets::new(limits(2, 1, 3));
        for byte in 0..3 {
            buckets.take(Duration::ZERO, host(byte), ONE).unwrap();
        }
        let crowd =
            (100..200).filter(|byte| buckets.take(Duration::ZERO, host(*byte), ONE).is_ok());
        assert_eq!(crowd.count(), 2);
        buckets.take(Duration::ZERO, host(0), ONE).unwrap();
        assert!(buckets.take(Duration::from_secs(10), host(150), ONE).is_ok());
        assert_eq!(buckets.len(), 1);
    }

    #[test]
    fn a_v6_host_is_its_prefix_and_a_mapped_one_its_v4_address() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(prefix_of(address("2001:db8::1")), prefix_of(address("2001:db8::ffff:2")));
        assert_ne!(prefix_of(address("2001:db8::1")), prefix_of(address("2001:db8:0:1::1")));
        assert_eq!(prefix_of(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
