//! The fold over the agreed log: what every member, and every reader of the transcript, computes.
//!
//! # Phases
//!
//! | phase | accepts | ends when |
//! |---|---|---|
//! | dealing | dealings, acknowledgements | all n have dealt |
//! | acknowledging | acknowledgements | every sound dealing is acknowledged by all |
//! | logging | dealer logs | every dealer of a sound dealing has posted its log |
//! | confirming | confirmations | all n have confirmed |
//!
//! Each ends as well when q = n - F members voted to close it (the last one: if q have confirmed).
//! A vote is cast by a member's own clock, so no leader can hurry the ceremony by lying about
//! time, and F members can neither close a phase nor keep it open.
//!
//! # Invariants
//!
//! 1. The state is a function of the entries in their order; within one phase their order does not
//!    matter, but for the choice between two dealings or logs of one dealer: the first counts.
//! 2. An entry that is refused changes nothing. What a member signed and no honest member would
//!    sign names it ([`Blame`]); what anybody could have posted names nobody.
//! 3. A dealer's log counts if it commits to the dealer's dealing, commonware's checks pass, and it
//!    reveals nobody who acknowledged on the chain.
//! 4. Fewer than t sound dealings or usable logs, or more revealed members than the definition
//!    allows, end the ceremony without a key; it is repeated with a new round number.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::committee::{Committee, CommitteeKey, PublicKeyShare};
use fairveil_crypto::{Digest, SequencerIndex};

use crate::blame::{Blame, Failure, FailureReason, Fault};
use crate::context::CeremonyContext;
use crate::dkg::{Commitment, LogFault, Outcome, UsableLog};
use crate::entry::{
    Acknowledgement, Close, ClosingPhase, Confirmation, DealerLog, Dealing, EntryError,
};
use crate::transcript::{self, CeremonyResult, PublicFault, RecordedFault};

/// Where a ceremony stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Waiting for dealings.
    Dealing,
    /// Waiting for acknowledgements.
    Acknowledging,
    /// Waiting for dealer logs.
    Logging,
    /// The key is known; waiting for confirmations.
    Confirming,
    /// The transcript is complete.
    Complete,
    /// There is no key.
    Failed,
}

impl Phase {
    /// The phase as one that can be closed by votes.
    #[must_use]
    pub fn closing(self) -> Option<ClosingPhase> {
        match self {
            Phase::Dealing => Some(ClosingPhase::Dealing),
            Phase::Acknowledging => Some(ClosingPhase::Acknowledging),
            Phase::Logging => Some(ClosingPhase::Logging),
            Phase::Confirming => Some(ClosingPhase::Confirming),
            Phase::Complete | Phase::Failed => None,
        }
    }
}

/// Why an authentic entry changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not one of this ceremony.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It came too early or too late.
    #[error("not accepted while {phase:?}")]
    Phase {
        /// The phase it came in.
        phase: Phase,
    },
    /// Its author has posted one already.
    #[error("member {author} has posted one already")]
    Duplicate {
        /// The author.
        author: SequencerIndex,
    },
    /// There is no sound dealing that it could belong to.
    #[error("member {dealer} has no sound dealing")]
    NoDealing {
        /// The dealer.
        dealer: SequencerIndex,
    },
    /// Its signature, in the DKG's form, is not the author's, or its form is not canonical.
    #[error("no valid signature of member {author}")]
    Signature {
        /// The author in the entry.
        author: SequencerIndex,
    },
    /// It confirms another transcript.
    #[error("member {member} confirms transcript {actual}, the agreed one is {expected}")]
    OtherTranscript {
        /// The member.
        member: SequencerIndex,
        /// The agreed transcript.
        expected: Digest,
        /// The confirmed one.
        actual: Digest,
    },
}

/// The state after a prefix of the log.
pub(crate) struct Agreed {
    context: CeremonyContext,
    phase: Phase,
    dealings: BTreeMap<SequencerIndex, DealingSlot>,
    acknowledgements: BTreeMap<(SequencerIndex, SequencerIndex), Acknowledgement>,
    logs: BTreeMap<SequencerIndex, LogSlot>,
    votes: BTreeSet<SequencerIndex>,
    confirmations: BTreeMap<SequencerIndex, Confirmation>,
    blames: Vec<Blame>,
    key: Option<Key>,
    failure: Option<Failure>,
}

struct DealingSlot {
    dealing: Dealing,
    /// `None`: its points are no points of the group.
    commitment: Option<Commitment>,
}

struct LogSlot {
    entry: DealerLog,
    judged: Result<UsableLog, LogFault>,
}

/// The key that the ceremony made.
pub(crate) struct Key {
    pub(crate) committee: Committee,
    pub(crate) result: CeremonyResult,
    pub(crate) transcript: Digest,
}

impl Agreed {
    pub(crate) fn new(context: CeremonyContext) -> Self {
        Self {
            context,
            phase: Phase::Dealing,
            dealings: BTreeMap::new(),
            acknowledgements: BTreeMap::new(),
            logs: BTreeMap::new(),
            votes: BTreeSet::new(),
            confirmations: BTreeMap::new(),
            blames: Vec::new(),
            key: None,
            failure: None,
        }
    }

    pub(crate) fn context(&self) -> &CeremonyContext {
        &self.context
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub(crate) fn blames(&self) -> &[Blame] {
        &self.blames
    }

    pub(crate) fn dealings(&self) -> impl Iterator<Item = &Dealing> {
        self.dealings.values().map(|slot| &slot.dealing)
    }

    pub(crate) fn acknowledgements(&self) -> impl Iterator<Item = &Acknowledgement> {
        self.acknowledgements.values()
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = &DealerLog> {
        self.logs.values().map(|slot| &slot.entry)
    }

    pub(crate) fn confirmations(&self) -> impl Iterator<Item = &Confirmation> {
        self.confirmations.values()
    }

    /// The commitment of a sound dealing.
    pub(crate) fn commitment(&self, dealer: SequencerIndex) -> Option<&Commitment> {
        self.dealings.get(&dealer)?.commitment.as_ref()
    }

    pub(crate) fn has_dealt(&self, dealer: SequencerIndex) -> bool {
        self.dealings.contains_key(&dealer)
    }

    pub(crate) fn has_acknowledged(&self, dealer: SequencerIndex, player: SequencerIndex) -> bool {
        self.acknowledgements.contains_key(&(dealer, player))
    }

    pub(crate) fn has_logged(&self, dealer: SequencerIndex) -> bool {
        self.logs.contains_key(&dealer)
    }

    pub(crate) fn has_voted(&self, member: SequencerIndex) -> bool {
        self.votes.contains(&member)
    }

    pub(crate) fn has_confirmed(&self, member: SequencerIndex) -> bool {
        self.confirmations.contains_key(&member)
    }

    /// The logs that count, by dealer.
    pub(crate) fn usable_logs(&self) -> Vec<(SequencerIndex, UsableLog)> {
        let usable = |(dealer, slot): (&SequencerIndex, &LogSlot)| {
            slot.judged.as_ref().ok().map(|log| (*dealer, log.clone()))
        };
        self.logs.iter().filter_map(usable).collect()
    }

    /// The members that the phase waits for.
    pub(crate) fn missing(&self) -> Vec<SequencerIndex> {
        let members = SequencerIndex::all(self.n());
        match self.phase {
            Phase::Dealing => members.filter(|member| !self.has_dealt(*member)).collect(),
            Phase::Acknowledging => {
                let lacks = |player: &SequencerIndex| {
                    self.sound_dealers().any(|dealer| !self.has_acknowledged(dealer, *player))
                };
                members.filter(lacks).collect()
            }
            Phase::Logging => {
                self.sound_dealers().filter(|dealer| !self.has_logged(*dealer)).collect()
            }
            Phase::Confirming | Phase::Complete => {
                members.filter(|member| !self.has_confirmed(*member)).collect()
            }
            Phase::Failed => Vec::new(),
        }
    }

    /// The members that did not do all that was asked of them so far.
    fn absent(&self) -> Vec<SequencerIndex> {
        let lacks = |member: &SequencerIndex| {
            let lacks_acknowledgement =
                self.sound_dealers().any(|dealer| !self.has_acknowledged(dealer, *member));
            let lacks_log = self.phase == Phase::Logging
                && self.commitment(*member).is_some()
                && !self.has_logged(*member);
            !self.has_dealt(*member)
                || self.phase != Phase::Dealing && lacks_acknowledgement
                || lacks_log
        };
        SequencerIndex::all(self.n()).filter(lacks).collect()
    }

    /// Takes the public part of a dealing; `Dealing::verify` has passed.
    pub(crate) fn take_dealing(&mut self, dealing: Dealing) -> Result<(), Refusal> {
        self.require(self.phase == Phase::Dealing)?;
        let author = dealing.dealer;
        if let Some(slot) = self.dealings.get(&author) {
            let first = &slot.dealing;
            let differs = first.commitment != dealing.commitment
                || first.sealed_digest != dealing.sealed_digest;
            if differs {
                let both = Box::new([first.clone(), dealing]);
                self.blame(author, Fault::Equivocation { dealings: both });
            }
            return Err(Refusal::Duplicate { author });
        }
        let commitment = self.context.dkg().commitment(&dealing.commitment);
        if commitment.is_none() {
            self.blame(author, Fault::Commitment { dealing: Box::new(dealing.clone()) });
        }
        self.dealings.insert(author, DealingSlot { dealing, commitment });
        self.settle();
        Ok(())
    }

    pub(crate) fn take_acknowledgement(
        &mut self,
        acknowledgement: Acknowledgement,
    ) -> Result<(), Refusal> {
        self.require(matches!(self.phase, Phase::Dealing | Phase::Acknowledging))?;
        let Acknowledgement { dealer, player, signature } = acknowledgement;
        let commitment = self.commitment(dealer).ok_or(Refusal::NoDealing { dealer })?;
        if self.has_acknowledged(dealer, player) {
            return Err(Refusal::Duplicate { author: player });
        }
        if !self.context.dkg().is_acknowledged(dealer, commitment, player, &signature) {
            return Err(Refusal::Signature { author: player });
        }
        self.acknowledgements.insert((dealer, player), acknowledgement);
        self.settle();
        Ok(())
    }

    pub(crate) fn take_log(&mut self, entry: DealerLog) -> Result<(), Refusal> {
        self.require(self.phase == Phase::Logging)?;
        let dealer = entry.dealer;
        let commitment = self.commitment(dealer).ok_or(Refusal::NoDealing { dealer })?;
        if self.has_logged(dealer) {
            return Err(Refusal::Duplicate { author: dealer });
        }
        let judged = self
            .context
            .dkg()
            .judge_log(dealer, commitment, &entry.log.0)
            .ok_or(Refusal::Signature { author: dealer })?;
        let judged = judged.and_then(|usable| {
            let acknowledged = |player: &&SequencerIndex| self.has_acknowledged(dealer, **player);
            match usable.revealed.iter().find(acknowledged) {
                Some(member) => Err(LogFault::RevealedAcknowledged { member: *member }),
                None => Ok(usable),
            }
        });
        if let Err(fault) = &judged
            && fault.is_proof()
        {
            let (log, fault) = (Box::new(entry.clone()), fault.clone());
            self.blame(dealer, Fault::Log { log, fault });
        }
        self.logs.insert(dealer, LogSlot { entry, judged });
        self.settle();
        Ok(())
    }

    /// Takes a vote; `Close::verify` has passed.
    pub(crate) fn take_close(&mut self, close: Close) -> Result<(), Refusal> {
        self.require(self.phase.closing() == Some(close.phase))?;
        if !self.votes.insert(close.member) {
            return Err(Refusal::Duplicate { author: close.member });
        }
        self.settle();
        Ok(())
    }

    /// Takes a confirmation; `Confirmation::verify` has passed.
    pub(crate) fn take_confirmation(&mut self, confirmation: Confirmation) -> Result<(), Refusal> {
        let Some(key) = &self.key else {
            return Err(Refusal::Phase { phase: self.phase });
        };
        let Confirmation { member, transcript: actual, .. } = confirmation;
        if actual != key.transcript {
            return Err(Refusal::OtherTranscript { member, expected: key.transcript, actual });
        }
        if self.has_confirmed(member) {
            return Err(Refusal::Duplicate { author: member });
        }
        self.confirmations.insert(member, confirmation);
        self.settle();
        Ok(())
    }

    /// Ends a phase as q votes do; a reader of the transcript replays phase by phase.
    pub(crate) fn leave(&mut self, phase: Phase) {
        if self.phase == phase {
            self.enter_next();
            self.settle();
        }
    }

    fn n(&self) -> u16 {
        self.context.definition().n()
    }

    fn quorum(&self) -> usize {
        usize::from(self.context.definition().threshold())
    }

    fn sound_dealers(&self) -> impl Iterator<Item = SequencerIndex> {
        self.dealings
            .iter()
            .filter(|(_, slot)| slot.commitment.is_some())
            .map(|(dealer, _)| *dealer)
    }

    fn require(&self, accepted: bool) -> Result<(), Refusal> {
        if accepted { Ok(()) } else { Err(Refusal::Phase { phase: self.phase }) }
    }

    fn blame(&mut self, culprit: SequencerIndex, fault: Fault) {
        let known = |blame: &Blame| blame.culprit == culprit && blame.fault.same_kind(&fault);
        if !self.blames.iter().any(known) {
            self.blames.push(Blame { culprit, fault });
        }
    }

    /// Moves on while the phase has what it waits for, or a quorum voted to close it.
    fn settle(&mut self) {
        while self.is_over() {
            self.enter_next();
        }
    }

    fn is_over(&self) -> bool {
        let closed = self.votes.len() >= self.quorum();
        match self.phase {
            Phase::Complete | Phase::Failed => false,
            Phase::Confirming => {
                self.missing().is_empty() || closed && self.confirmations.len() >= self.quorum()
            }
            Phase::Dealing | Phase::Acknowledging | Phase::Logging => {
                closed || self.missing().is_empty()
            }
        }
    }

    fn enter_next(&mut self) {
        self.votes.clear();
        let next = match self.phase {
            Phase::Dealing => self.after_dealing(),
            Phase::Acknowledging => Ok(Phase::Logging),
            Phase::Logging => self.after_logging(),
            Phase::Confirming => Ok(Phase::Complete),
            ended @ (Phase::Complete | Phase::Failed) => Ok(ended),
        };
        self.phase = next.unwrap_or_else(|reason| {
            let (missing, blames) = (self.absent(), self.blames.clone());
            self.failure = Some(Failure { reason, missing, blames });
            Phase::Failed
        });
    }

    fn after_dealing(&self) -> Result<Phase, FailureReason> {
        let (found, needed) = (self.sound_dealers().count(), self.quorum());
        if found < needed {
            return Err(FailureReason::Dealings { found, needed });
        }
        Ok(Phase::Acknowledging)
    }

    fn after_logging(&mut self) -> Result<Phase, FailureReason> {
        let outcome = self.context.dkg().outcome(&self.usable_logs()).map_err(|shortage| {
            FailureReason::Logs { found: shortage.found, needed: shortage.needed }
        })?;
        let definition = self.context.definition();
        let limit = definition.proposal().revealed_limit;
        if outcome.revealed.len() > usize::from(limit) {
            return Err(FailureReason::Revealed { members: outcome.revealed, limit });
        }
        let committee = self.committee(&outcome).ok_or(FailureReason::Degenerate)?;
        let result = CeremonyResult::new(&committee, outcome, self.recorded_faults());
        let transcript = transcript::digest(
            &self.context,
            &self.dealings().cloned().collect::<Vec<_>>(),
            &self.acknowledgements().copied().collect::<Vec<_>>(),
            &self.logs().cloned().collect::<Vec<_>>(),
            &result,
        );
        self.key = Some(Key { committee, result, transcript });
        Ok(Phase::Confirming)
    }

    /// `None` if the key or a share is the point at infinity, with a probability of 2^-255.
    fn committee(&self, outcome: &Outcome) -> Option<Committee> {
        let definition = self.context.definition();
        let key = CommitteeKey::decode(outcome.committee_key.as_bytes()).ok()?;
        let shares = outcome
            .public_key_shares
            .iter()
            .map(|share| PublicKeyShare::decode(share.as_bytes()).ok())
            .collect::<Option<_>>()?;
        Committee::new(definition.epoch(), key, shares, definition.consensus_keys()).ok()
    }

    fn recorded_faults(&self) -> Vec<RecordedFault> {
        let commitments =
            self.dealings.iter().filter(|(_, slot)| slot.commitment.is_none()).map(
                |(dealer, _)| RecordedFault { dealer: *dealer, fault: PublicFault::Commitment },
            );
        let logs = self.logs.iter().filter_map(|(dealer, slot)| {
            let fault = slot.judged.as_ref().err()?.clone();
            Some(RecordedFault { dealer: *dealer, fault: PublicFault::Log(fault) })
        });
        commitments.chain(logs).collect()
    }
}
