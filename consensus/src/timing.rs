//! Every duration of the engine, and the relations between them.
//!
//! # Invariants
//!
//! 1. `idle_interval < leader_timeout < certification_timeout < skip_timeout`, and
//!    `retry_interval < skip_timeout`: a leader that idles on purpose is not taken for a dead
//!    one, a certification that stalls is noticed before its leader is called inactive. The
//!    engine refuses to start otherwise.
//! 2. `min_interval <= idle_interval`.

use std::time::Duration;

/// The durations that one engine runs with. All members of a committee use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Least time between a block and its child.
    pub min_interval: Duration,
    /// Time between a block and its child while there is nothing new to put into it.
    pub idle_interval: Duration,
    /// How long a view waits for its leader's proposal.
    pub leader_timeout: Duration,
    /// How long a view waits for a certified proposal.
    pub certification_timeout: Duration,
    /// How often a vote to skip a view is repeated.
    pub retry_interval: Duration,
    /// After how much silence, while a quorum speaks, a leader's views are skipped at once.
    pub skip_timeout: Duration,
    /// How long a request to one peer waits before the next peer is asked.
    pub fetch_timeout: Duration,
    /// How long a failed request waits before it is tried again.
    pub fetch_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_millis(100),
            idle_interval: Duration::from_secs(1),
            leader_timeout: Duration::from_secs(2),
            certification_timeout: Duration::from_secs(3),
            retry_interval: Duration::from_secs(2),
            skip_timeout: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(1),
            fetch_retry: Duration::from_millis(100),
        }
    }
}

/// Two durations in the wrong relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{smaller} ({smaller_value:?}) must be below {larger} ({larger_value:?})")]
pub struct TimingError {
    /// Name of the duration that must be the smaller one.
    pub smaller: &'static str,
    /// Its value.
    pub smaller_value: Duration,
    /// Name of the duration that must be the larger one.
    pub larger: &'static str,
    /// Its value.
    pub larger_value: Duration,
}

impl Timing {
    /// Checks the relations of the module's documentation.
    ///
    /// # Errors
    ///
    /// The first pair that breaks them.
    pub fn check(&self) -> Result<(), TimingError> {
        let idle = ("idle_interval", self.idle_interval);
        let leader = ("leader_timeout", self.leader_timeout);
        let certification = ("certification_timeout", self.certification_timeout);
        let skip = ("skip_timeout", self.skip_timeout);
        let zero = ("zero", Duration::ZERO);
        below(idle, leader)?;
        below(leader, certification)?;
        below(certification, skip)?;
        below(("retry_interval", self.retry_interval), skip)?;
        below(zero, ("retry_interval", self.retry_interval))?;
        below(zero, ("fetch_timeout", self.fetch_timeout))?;
        if self.min_interval > self.idle_interval {
            return Err(error(("min_interval", self.min_interval), idle));
        }
        Ok(())
    }

    /// How long after its parent a block may be voted for: half of what its leader has to wait,
    /// since the leader's clock started earlier than ours.
    pub(crate) fn vote_delay(&self, idle: Load) -> Duration {
        match idle {
            Load::Idle => self.idle_interval / 2,
            Load::Busy => self.min_interval / 2,
        }
    }
}

/// Whether a block carries anything that another block has to follow soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing new: the next block may come late.
    Idle,
    /// New evidence, a release, or a backlog.
    Busy,
}

fn below(
    smaller: (&'static str, Duration),
    larger: (&'static str, Duration),
) -> Result<(), TimingError> {
    if smaller.1 < larger.1 { Ok(()) } else { Err(error(smaller, larger)) }
}

fn error(smaller: (&'static str, Duration), larger: (&'static str, Duration)) -> TimingError {
    TimingError {
        smaller: smaller.0,
        smaller_value: smaller.1,
        larger: larger.0,
        larger_value: larger.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_1_the_default_holds_and_each_relation_is_checked() {
        let good = Timing::default();
        assert_eq!(good.check(), Ok(()));
        let second = Duration::from_secs(1);
        for broken in [
            Timing { idle_interval: good.leader_timeout, ..good },
            Timing { leader_timeout: good.certification_timeout, ..good },
            Timing { certification_timeout: good.skip_timeout, ..good },
            Timing { retry_interval: good.skip_timeout, ..good },
            Timing { retry_interval: Duration::ZERO, ..good },
            Timing { fetch_timeout: Duration::ZERO, ..good },
            Timing { min_interval: good.idle_interval + second, ..good },
        ] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
    }
}
