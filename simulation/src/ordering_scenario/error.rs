//! Why an ordering scenario is refused.

use std::fmt;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not JSON, or a key is missing or of another type.
    BadInput,
    /// n, f and g are no committee.
    BadCommittee,
    /// An unknown mode.
    BadMode,
    /// A sequencer outside 1..=n.
    UnknownSequencer,
    /// A sequencer twice in a block.
    DuplicateSequencer,
    /// Not a string of 0x and 64 lower-case hex digits.
    BadId,
    /// An id twice in one log, or in the leader's lists.
    RepeatedId,
    /// Fewer than n - f fragments in a block.
    TooFewFragments,
}

impl Code {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadInput => "bad-input",
            Self::BadCommittee => "bad-committee",
            Self::BadMode => "bad-mode",
            Self::UnknownSequencer => "unknown-sequencer",
            Self::DuplicateSequencer => "duplicate-sequencer",
            Self::BadId => "bad-id",
            Self::RepeatedId => "repeated-id",
            Self::TooFewFragments => "too-few-fragments",
        }
    }
}

/// Why a scenario is refused: a code for programs; shown, what is wrong where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The kind of fault.
    pub code: Code,
    why: String,
}

impl ScenarioError {
    pub(super) const fn new(code: Code, why: String) -> Self {
        Self { code, why }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

impl std::error::Error for ScenarioError {}
