//! Blame: a member's provable fault with its evidence; and why a ceremony made no key.
//!
//! | fault | of a | proven by |
//! |---|---|---|
//! | points that are no points of the group | dealer | its signed dealing |
//! | another secret than its share, in a resharing | dealer | its signed dealing |
//! | two different dealings | dealer | both, signed |
//! | a bad dealing to a player | dealer | its signed dealing and the player's complaint |
//! | a log that no honest dealer signs | dealer | its signed dealing and log |
//! | a false complaint | player | the complaint, signed, and the dealing that it accuses |
//!
//! Who posted nothing is listed as missing and never blamed: its silence proves nothing.
//!
//! A fault is evidence by itself, for anybody and offline ([`evidence`]), with one exception: that
//! a log reveals the dealing of a player who acknowledged it. When the acknowledgement was agreed
//! stands on the ceremony's chain alone, so the confirmed transcript names that dealer and nothing
//! else does.

pub mod evidence;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use evidence::{BlameEvidence, BlameVerdict, EvidenceError};

use crate::context::{Party, Role};
use crate::dkg::{DealingError, LogFault};
use crate::entry::{Complaint, ComplaintFault, DealerLog, Dealing};

/// A provable fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Who did it.
    pub culprit: Party,
    /// What, with the evidence.
    pub fault: Fault,
}

/// What a member did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// It committed to points that are no points of the group.
    Commitment {
        /// The signed dealing.
        dealing: Box<Dealing>,
    },
    /// It committed to another secret than its share of the epoch before.
    Share {
        /// The signed dealing.
        dealing: Box<Dealing>,
    },
    /// It signed two different dealings in one ceremony.
    Equivocation {
        /// Both, the one that counts first.
        dealings: Box<[Dealing; 2]>,
    },
    /// Its dealing to a player is bad.
    Dealing {
        /// The signed dealing.
        dealing: Box<Dealing>,
        /// The player's complaint, which opens it.
        complaint: Box<Complaint>,
        /// What is wrong with it.
        error: DealingError,
    },
    /// Its log is not one that an honest dealer signs.
    Log {
        /// The signed dealing.
        dealing: Box<Dealing>,
        /// The signed log.
        log: Box<DealerLog>,
        /// What is wrong with it.
        fault: LogFault,
    },
    /// It complained about a dealing without reason.
    FalseComplaint {
        /// The dealing.
        dealing: Box<Dealing>,
        /// The signed complaint.
        complaint: Box<Complaint>,
        /// What is wrong with it.
        fault: ComplaintFault,
    },
}

impl Fault {
    /// The side on which the culprit acted.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Fault::FalseComplaint { .. } => Role::Player,
            _ => Role::Dealer,
        }
    }

    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// What was done, to be read after the culprit's name. `name` names a seat.
    fn deed(&self, name: &dyn Fn(Role, fairveil_crypto::SequencerIndex) -> String) -> String {
        match self {
            Fault::Commitment { .. } => "dealt a commitment that is no polynomial".to_owned(),
            Fault::Share { .. } => "dealt something else than its share".to_owned(),
            Fault::Equivocation { .. } => "signed two different dealings".to_owned(),
            Fault::Dealing { complaint, error, .. } => {
                let victim = name(Role::Player, complaint.accuser);
                format!("sent an invalid dealing to {victim}: {error}")
            }
            Fault::Log { fault: LogFault::RevealedAcknowledged { member }, .. } => {
                let victim = name(Role::Player, *member);
                format!("revealed the dealing of {victim}, who had acknowledged it")
            }
            Fault::Log { fault, .. } => format!("posted a faulty log: {fault}"),
            Fault::FalseComplaint { complaint, fault, .. } => {
                let accused = name(Role::Dealer, complaint.dealer);
                format!("complained about the dealing of {accused} without reason: {fault}")
            }
        }
    }
}

impl Blame {
    /// The blame as a sentence with the members' names.
    #[must_use]
    pub fn sentence(&self, context: &crate::CeremonyContext) -> String {
        let name = |role, index| match context.member(role, index) {
            Some(member) => member.name.clone(),
            None => format!("member {index}"),
        };
        format!("{} {}", self.culprit, self.fault.deed(&name))
    }
}

/// Why there is no key, who was missing, and whom to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was lacking.
    pub reason: FailureReason,
    /// Who did not do all that was asked of them.
    pub missing: Vec<Party>,
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
        /// The quorum of the dealers.
        needed: usize,
    },
    /// Too few dealer logs.
    #[error("{found} usable dealer logs, {needed} are needed")]
    Logs {
        /// Usable logs found.
        found: u32,
        /// The quorum of the dealers.
        needed: u32,
    },
    /// More shares may have been revealed than the definition allows.
    #[error("the shares of {} members may have been revealed, the definition allows {limit}",
        .members.len())]
    Revealed {
        /// Whose.
        members: Vec<Party>,
        /// The limit of the definition.
        limit: u16,
    },
    /// Too few confirmations.
    #[error("{found} confirmations, {needed} are needed")]
    Confirmations {
        /// Confirmations found.
        found: usize,
        /// The quorum of the players.
        needed: usize,
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
    pub fn sentence(&self, context: &crate::CeremonyContext) -> String {
        let names = |members: &[Party]| {
            members.iter().map(|member| &*member.name).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!("{}: {}", self.word(), self.reason);
        if let FailureReason::Revealed { members, .. } = &self.reason {
            text = format!("{text} ({})", names(members));
        }
        if !self.missing.is_empty() {
            text = format!("{text}; missing: {}", names(&self.missing));
        }
        for blame in &self.blames {
            text = format!("{text}; {}", blame.sentence(context));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.word(), self.reason)
    }
}
