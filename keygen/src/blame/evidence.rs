//! Blame as a file: one member's fault, which anybody judges offline.
//!
//! ```json
//! {"definition": {...}, "round": 1, "fault": {"dealing": {...}}, "predecessor": {...}}
//! ```
//!
//! `predecessor` is the transcript of the epoch before, in a resharing: the dealers' keys and
//! shares are in it. The definition needs no approvals: what the culprit signed names the ceremony,
//! and so the definition, and nobody honest signs such things for any.
//!
//! # Invariants
//!
//! 1. [`BlameEvidence::judge`] finds the fault anew: it believes neither the file's word for it nor
//!    anything that the culprit, or an accuser whose complaint is judged, did not sign.
//! 2. No evidence convicts a member that follows the protocol, whatever the others sign.

use fairveil_crypto::NetworkId;
use serde::{Deserialize, Serialize};

use super::{Blame, Fault};
use crate::context::{CeremonyContext, Party};
use crate::definition::{Definition, DefinitionError, Proposal, SuccessionError};
use crate::dkg::{Commitment, CommitmentFault, LogFault};
use crate::entry::{Complaint, Dealing, EntryError, Verdict};
use crate::transcript::{Transcript, TranscriptError};

/// The longest file in bytes: a transcript of a predecessor, and room.
pub const MAX_BYTES: usize = crate::transcript::MAX_BYTES + (2 << 20);

/// A fault with all that it takes to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlameEvidence {
    /// The definition of the ceremony.
    pub definition: Proposal,
    /// Its round.
    pub round: u64,
    /// What was done.
    pub fault: Fault,
    /// The transcript of the epoch before, of a resharing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Box<Transcript>>,
}

/// What evidence proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlameVerdict {
    /// The network of the ceremony.
    pub network_id: NetworkId,
    /// Who did it.
    pub culprit: Party,
    /// What, as a sentence with names.
    pub sentence: String,
}

/// Why evidence proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The definition is refused.
    #[error("definition: {0}")]
    Definition(#[from] DefinitionError),
    /// The transcript of the epoch before proves nothing.
    #[error("predecessor: {0}")]
    Predecessor(#[from] Box<TranscriptError>),
    /// The definition is of a later epoch, and what it continues is not there.
    #[error("the definition is of a later epoch, and its predecessor's transcript is missing")]
    NoPredecessor,
    /// A first definition continues nothing.
    #[error("the definition is a first one, and the transcript of a predecessor stands beside it")]
    UnexpectedPredecessor,
    /// The definition does not continue the predecessor's.
    #[error("definition: {0}")]
    Succession(#[from] SuccessionError),
    /// What the culprit, or an accuser, is to have signed was not signed in this ceremony.
    #[error("{what}: {error}")]
    Entry {
        /// Which entry.
        what: &'static str,
        /// Why.
        error: EntryError,
    },
    /// The complaint or log is about another dealing.
    #[error("the {what} is not about this dealing")]
    OtherDealing {
        /// Which entry.
        what: &'static str,
    },
    /// Both dealings are the same, or of two dealers.
    #[error("the dealings are not two different ones of one dealer")]
    NoEquivocation,
    /// The fault is not there.
    #[error("there is no such fault in what is shown")]
    NoFault,
    /// The fault shows on the ceremony's chain alone.
    #[error("when a dealing was acknowledged shows in the transcript alone, not in evidence")]
    NotSelfContained,
}

impl BlameEvidence {
    /// The evidence of a blame of this ceremony.
    #[must_use]
    pub fn new(context: &CeremonyContext, blame: &Blame) -> Self {
        Self {
            definition: context.definition().proposal().clone(),
            round: context.round(),
            fault: blame.fault.clone(),
            predecessor: context.predecessor().map(|before| Box::new(before.transcript())),
        }
    }

    /// Judges it, from the definition to the fault.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold.
    pub fn judge(&self) -> Result<BlameVerdict, EvidenceError> {
        let context = self.context()?;
        self.find(&context)?;
        let index = match &self.fault {
            Fault::Commitment { dealing } | Fault::Share { dealing } => dealing.dealer,
            Fault::Dealing { dealing, .. } | Fault::Log { dealing, .. } => dealing.dealer,
            Fault::Equivocation { dealings } => dealings[0].dealer,
            Fault::FalseComplaint { complaint, .. } => complaint.accuser,
        };
        let culprit = context.party(self.fault.role(), index).ok_or(EvidenceError::NoFault)?;
        let sentence =
            Blame { culprit: culprit.clone(), fault: self.fault.clone() }.sentence(&context);
        let network_id = context.definition().network_id();
        Ok(BlameVerdict { network_id, culprit, sentence })
    }

    fn context(&self) -> Result<CeremonyContext, EvidenceError> {
        let definition = Definition::from_canonical(self.definition.clone())?;
        let predecessor = match (&self.predecessor, definition.resharing()) {
            (None, None) => None,
            (None, Some(_)) => return Err(EvidenceError::NoPredecessor),
            (Some(_), None) => return Err(EvidenceError::UnexpectedPredecessor),
            (Some(transcript), Some(_)) => {
                let before = transcript.verify().map_err(Box::new)?;
                definition.continues(before.definition())?;
                Some(before)
            }
        };
        Ok(CeremonyContext::unapproved(definition, self.round, predecessor))
    }

    /// Finds the very fault that is said.
    fn find(&self, context: &CeremonyContext) -> Result<(), EvidenceError> {
        match &self.fault {
            Fault::Commitment { dealing } => {
                found(commitment(context, dealing)?.err() == Some(CommitmentFault::Points))
            }
            Fault::Share { dealing } => {
                found(commitment(context, dealing)?.err() == Some(CommitmentFault::Share))
            }
            Fault::Equivocation { dealings } => {
                let [first, second] = &**dealings;
                verify_dealing(context, first)?;
                verify_dealing(context, second)?;
                let one_dealer = first.dealer == second.dealer;
                if !one_dealer || first.digest(context) == second.digest(context) {
                    return Err(EvidenceError::NoEquivocation);
                }
                Ok(())
            }
            Fault::Dealing { dealing, complaint, error } => {
                found(verdict(context, dealing, complaint)? == Verdict::Dealer(*error))
            }
            Fault::FalseComplaint { dealing, complaint, fault } => {
                found(verdict(context, dealing, complaint)? == Verdict::Accuser(*fault))
            }
            Fault::Log { fault: LogFault::RevealedAcknowledged { .. }, .. } => {
                Err(EvidenceError::NotSelfContained)
            }
            Fault::Log { dealing, log, fault } => {
                let sound = commitment(context, dealing)?.map_err(|_| EvidenceError::NoFault)?;
                if log.dealer != dealing.dealer {
                    return Err(EvidenceError::OtherDealing { what: "log" });
                }
                let judged = context.dkg().judge_log(log.dealer, &sound, &log.log.0);
                let error = EntryError::Signature { author: log.dealer };
                let judged = judged.ok_or(EvidenceError::Entry { what: "log", error })?;
                found(fault.is_proof() && judged.err().as_ref() == Some(fault))
            }
        }
    }
}

fn found(there: bool) -> Result<(), EvidenceError> {
    if there { Ok(()) } else { Err(EvidenceError::NoFault) }
}

fn verify_dealing(context: &CeremonyContext, dealing: &Dealing) -> Result<(), EvidenceError> {
    dealing.verify(context).map_err(|error| EvidenceError::Entry { what: "dealing", error })
}

/// The commitment of a signed dealing, or what is wrong with it.
fn commitment(
    context: &CeremonyContext,
    dealing: &Dealing,
) -> Result<Result<Commitment, CommitmentFault>, EvidenceError> {
    verify_dealing(context, dealing)?;
    Ok(context.dkg().commitment(dealing.dealer, &dealing.commitment))
}

fn verdict(
    context: &CeremonyContext,
    dealing: &Dealing,
    complaint: &Complaint,
) -> Result<Verdict, EvidenceError> {
    commitment(context, dealing)?.map_err(|_| EvidenceError::NoFault)?;
    let what = "complaint";
    complaint.verify(context).map_err(|error| EvidenceError::Entry { what, error })?;
    complaint.verdict(context, dealing).ok_or(EvidenceError::OtherDealing { what })
}

#[cfg(test)]
mod tests;
