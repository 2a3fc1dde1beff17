//! The numbers of a committee, and the integer thresholds that follow from them.
//!
//! ```text
//! T = g + f + 1   an edge: so many logs hold at least g + 1 honest ones
//! S = n - 2f      solid: so many of n - f fresh logs are honest if f of them are not
//! required        n >= 4f + 2g + 1, which is S >= 2T - 1
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest committee: log sets are 128-bit masks.
pub const MAX_SEQUENCERS: u16 = 128;

/// n sequencers, at most f of them Byzantine, g tolerated honest disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    n: u16,
    f: u16,
    g: u16,
}

/// How many logs it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// T: a vote of so many logs makes an edge, an id in so many logs is a candidate.
    pub edge: u16,
    /// S: an id in so many logs is solid.
    pub solid: u16,
}

/// Why three numbers are no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommitteeError {
    /// n = 0.
    #[error("a committee has at least one sequencer")]
    Empty,
    /// n is above [`MAX_SEQUENCERS`].
    #[error("{actual} sequencers, at most {limit} are supported")]
    TooMany {
        /// What was asked for.
        actual: u16,
        /// [`MAX_SEQUENCERS`].
        limit: u16,
    },
    /// n < 4f + 2g + 1.
    #[error("{actual} sequencers cannot be fair with f = {f} and g = {g}, it takes {needed}")]
    TooFew {
        /// n.
        actual: u16,
        /// f.
        f: u16,
        /// g.
        g: u16,
        /// 4f + 2g + 1.
        needed: u32,
    },
}

impl Committee {
    /// Checks n >= 4f + 2g + 1.
    pub fn new(n: u16, f: u16, g: u16) -> Result<Self, CommitteeError> {
        if n == 0 {
            return Err(CommitteeError::Empty);
        }
        let needed = 4 * u32::from(f) + 2 * u32::from(g) + 1;
        if u32::from(n) < needed {
            return Err(CommitteeError::TooFew { actual: n, f, g, needed });
        }
        if n > MAX_SEQUENCERS {
            return Err(CommitteeError::TooMany { actual: n, limit: MAX_SEQUENCERS });
        }
        Ok(Self { n, f, g })
    }

    /// Sequencers.
    pub fn n(&self) -> u16 {
        self.n
    }

    /// Byzantine sequencers tolerated by fairness.
    pub fn f(&self) -> u16 {
        self.f
    }

    /// Honest disagreement tolerated.
    pub fn g(&self) -> u16 {
        self.g
    }

    /// Logs a block must carry fresh evidence of: n - f.
    pub fn quorum(&self) -> u16 {
        self.n - self.f
    }

    /// T and S.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { edge: self.g + self.f + 1, solid: self.n - 2 * self.f }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inequality_names_the_n_it_would_take() {
        assert_eq!(
            Committee::new(4, 1, 0),
            Err(CommitteeError::TooFew { actual: 4, f: 1, g: 0, needed: 5 })
        );
        assert_eq!(Committee::new(0, 0, 0), Err(CommitteeError::Empty));
        assert_eq!(
            Committee::new(129, 1, 0),
            Err(CommitteeError::TooMany { actual: 129, limit: 128 })
        );
        assert!(Committee::new(u16::MAX, u16::MAX, u16::MAX).is_err());
    }

    #[test]
    fn solid_is_at_least_two_edges_less_one() {
        for n in 1..=MAX_SEQUENCERS {
            for f in 0..n {
                for g in 0..n {
                    let Ok(committee) = Committee::new(n, f, g) else {
                        continue;
                    };
                    let Thresholds { edge, solid } = committee.thresholds();
                    assert!(solid >= 2 * edge - 1, "{committee:?}");
                }
            }
        }
    }
}
