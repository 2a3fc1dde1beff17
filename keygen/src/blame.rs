//! Blame: a member's provable fault with its evidence; and why a ceremony made no key.

use std::fmt;

use fairveil_crypto::SequencerIndex;

use crate::definition::Definition;
use crate::dkg::LogFault;
use crate::entry::{DealerLog, Dealing};

/// A provable fault. The evidence is signed by the culprit and needs nothing but definition and
/// round to be judged; for a log also the dealer's dealing, and the acknowledgement that it denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Who did it.
    pub culprit: SequencerIndex,
    /// What, with the evidence.
    pub fault: Fault,
}

/// What a member did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It committed to points that are no points of the group.
    Commitment {
        /// The signed dealing.
        dealing: Box<Dealing>,
    },
    /// It signed two different dealings in one ceremony.
    Equivocation {
        /// Both.
        dealings: Box<[Dealing; 2]>,
    },
    /// Its log is not one that an honest dealer signs.
    Log {
        /// The signed log.
        log: Box<DealerLog>,
        /// What is wrong with it.
        fault: LogFault,
    },
}

impl Fault {
    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Blame {
    /// The blame as a sentence with the member's name.
    #[must_use]
    pub fn sentence(&self, definition: &Definition) -> String {
        let name = name(definition, self.culprit);
        match &self.fault {
            Fault::Commitment { .. } => format!("{name} dealt a commitment that is no polynomial"),
            Fault::Equivocation { .. } => format!("{name} signed two different dealings"),
            Fault::Log { fault: LogFault::RevealedAcknowledged { member }, .. } => {
                let victim = self::name(definition, *member);
                format!("{name} revealed the dealing of {victim}, who had acknowledged it")
            }
            Fault::Log { fault, .. } => format!("{name} posted a faulty log: {fault}"),
        }
    }
}

/// Why there is no key, who was missing, and whom to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was lacking.
    pub reason: FailureReason,
    /// The members that did not do all that was asked of them.
    pub missing: Vec<SequencerIndex>,
    /// The provable faults.
    pub blames: Vec<Blame>,
}

/// What was lacking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// Too few dealings.
    #[error("{found} sound dealings, {needed} are needed")]
    Dealings {
        /// Sound dealings found.
        found: usize,
        /// The threshold.
        needed: usize,
    },
    /// Too few dealer logs.
    #[error("{found} usable dealer logs, {needed} are needed")]
    Logs {
        /// Usable logs found.
        found: u32,
        /// The threshold.
        needed: u32,
    },
    /// More shares may have been revealed than the definition allows.
    #[error("the shares of {} members may have been revealed, the definition allows {limit}",
        .members.len())]
    Revealed {
        /// Whose.
        members: Vec<SequencerIndex>,
        /// The limit of the definition.
        limit: u16,
    },
    /// The key or a share is the point at infinity.
    #[error("the key is degenerate")]
    Degenerate,
}

impl Failure {
    /// The word of the ceremony's status: `failed` with somebody to blame, else `expired`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.blames.is_empty() { "expired" } else { "failed" }
    }

    /// The failure as a sentence with the members' names.
    #[must_use]
    pub fn sentence(&self, definition: &Definition) -> String {
        let names = |members: &[SequencerIndex]| {
            members.iter().map(|index| name(definition, *index)).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!("{}: {}", self.word(), self.reason);
        if let FailureReason::Revealed { members, .. } = &self.reason {
            text = format!("{text} ({})", names(members));
        }
        if !self.missing.is_empty() {
            text = format!("{text}; missing: {}", names(&self.missing));
        }
        for blame in &self.blames {
            text = format!("{text}; {}", blame.sentence(definition));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.word(), self.reason)
    }
}

fn name(definition: &Definition, index: SequencerIndex) -> String {
    match definition.member(index) {
        Some(member) => member.name.clone(),
        None => format!("member {index}"),
    }
}
