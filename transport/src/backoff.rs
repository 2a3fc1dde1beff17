//! How long a dialler waits after a failed attempt: a pure state machine.
//!
//! Invariants:
//!
//! 1. The n-th wait since the last success lies in `[d/2, d]` where `d = min(first * 2^n, max)`.
//! 2. Only [`Backoff::succeeded`] makes waits shorter again. The caller calls it after the peer's
//!    first frame, never after a handshake: in TLS 1.3 the dialler finishes before it is judged.

use std::time::Duration;

/// First wait after a failure.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Longest wait.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The waits of one dialler.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits that double from `first` to `max`.
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    /// Failures since the last success.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure and returns the wait before the next attempt; `jitter` is random.
    pub(crate) fn failed(&mut self, jitter: u32) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.failures.min(30)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let half_ns = u64::try_from(ceiling.as_nanos() / 2).unwrap_or(u64::MAX);
        let part_ns = (u128::from(half_ns) * u128::from(jitter)) >> 32;
        ceiling - Duration::from_nanos(half_ns)
            + Duration::from_nanos(u64::try_from(part_ns).unwrap_or(half_ns))
    }

    /// The peer has answered.
    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Invariant 1.
        #[test]
        fn waits_double_within_their_band(jitters in prop::collection::vec(any::<u32>(), 1..64)) {
            let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
            let mut ceiling = FIRST_WAIT;
            for jitter in jitters {
                let wait = backoff.failed(jitter);
                prop_assert!(wait >= ceiling / 2 && wait <= ceiling, "{wait:?} for {ceiling:?}");
                ceiling = (ceiling * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// Invariant 2.
    #[test]
    fn only_success_resets() {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let waits: Vec<_> = (0..6).map(|_| backoff.failed(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [49, 99, 199, 399, 799, 999]);
        assert_eq!(backoff.failures(), 6);
        backoff.succeeded();
        assert_eq!(backoff.failed(0), FIRST_WAIT / 2);
    }
}
