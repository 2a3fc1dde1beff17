//! The fold over the agreed log: what every member, and every reader of the transcript, computes.
//!
//! # Phases
//!
//! | phase | accepts | ends when |
//! |---|---|---|
//! | dealing | dealings, acknowledgements, complaints | all dealers have dealt |
//! | acknowledging | acknowledgements, complaints | every player has answered every sound dealing |
//! | logging | dealer logs | every dealer of a sound dealing has posted its log |
//! | confirming | confirmations | all players have confirmed |
//!
//! Each ends as well when a quorum of the dealers voted to close it (the last one: if a quorum of
//! the players has confirmed). A vote is cast by a member's own clock, so no leader can hurry the
//! ceremony by lying about time, and F members can neither close a phase nor keep it open.
//!
//! A player answers a dealing by its acknowledgement or its complaint. A complaint convicts the
//! dealer or its author ([`crate::entry::Verdict`]):
//!
//! - a convicted dealer has no sound dealing any more: its acknowledgements are dropped, it posts
//!   no log, and it is no dealer of the key;
//! - a player who is convicted of a false complaint has answered. The dealer reveals its dealing,
//!   which the complaint has opened anyway. Its dealings to others and its share are untouched.
//!
//! A dealer that signs two dealings is blamed. The first that was agreed counts: all members see
//! the same one, and what they acknowledge and reveal is about that one alone.
//!
//! # Invariants
//!
//! 1. The state is a function of the entries in their order; within one phase their order does not
//!    matter, but for the choice between entries of one place: of two dealings or logs of one
//!    dealer, and of two complaints that convict the same member, the first counts.
//! 2. An entry that is refused changes nothing. What a member signed and no honest member would
//!    sign names it ([`Blame`]); what anybody could have posted names nobody. Who posts nothing is
//!    missing and not blamed.
//! 3. A dealer's log counts if it commits to the dealer's dealing, commonware's checks pass, and it
//!    reveals nobody who acknowledged on the chain.
//! 4. Fewer sound dealings or usable logs than a quorum of the dealers, or more revealed members
//!    than the definition allows, end the ceremony without a key; it is repeated with a new round
//!    number.
//! 5. A complaint that is kept convicts somebody who was not convicted before, so there are at most
//!    as many as there are seats.

mod entries;

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::committee::{Committee, CommitteeKey, PublicKeyShare};
use fairveil_crypto::{Digest, SequencerIndex};

use crate::blame::{Blame, Failure, FailureReason};
use crate::context::{CeremonyContext, Party, Role};
use crate::dkg::{
    Commitment, CommitmentFault, DealingError, LogFault, Outcome, Sharing, UsableLog,
};
use crate::entry::{
    Acknowledgement, ClosingPhase, Complaint, ComplaintFault, Confirmation, DealerLog, Dealing,
    EntryError,
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
    /// It complains about another dealing than the one that counts.
    #[error("the complaint of member {accuser} is about another dealing of member {dealer}")]
    OtherDealing {
        /// The accuser.
        accuser: SequencerIndex,
        /// The dealer.
        dealer: SequencerIndex,
    },
    /// Whom it would convict is convicted already.
    #[error("the complaint of member {accuser} about member {dealer} convicts nobody new")]
    Convicted {
        /// The accuser.
        accuser: SequencerIndex,
        /// The dealer.
        dealer: SequencerIndex,
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
    equivocations: BTreeMap<SequencerIndex, Dealing>,
    complaints: BTreeMap<(SequencerIndex, SequencerIndex), Complaint>,
    convicted_dealers: BTreeMap<SequencerIndex, DealingError>,
    convicted_players: BTreeMap<SequencerIndex, ComplaintFault>,
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
    commitment: Result<Commitment, CommitmentFault>,
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
    pub(crate) sharing: Sharing,
}

impl Agreed {
    pub(crate) fn new(context: CeremonyContext) -> Self {
        Self {
            context,
            phase: Phase::Dealing,
            dealings: BTreeMap::new(),
            equivocations: BTreeMap::new(),
            complaints: BTreeMap::new(),
            convicted_dealers: BTreeMap::new(),
            convicted_players: BTreeMap::new(),
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

    /// The second dealings of those who signed two.
    pub(crate) fn equivocations(&self) -> impl Iterator<Item = &Dealing> {
        self.equivocations.values()
    }

    pub(crate) fn complaints(&self) -> impl Iterator<Item = &Complaint> {
        self.complaints.values()
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

    /// The dealing and commitment of a dealer whose dealing is sound as far as is known.
    fn sound(&self, dealer: SequencerIndex) -> Option<(&Dealing, &Commitment)> {
        if self.convicted_dealers.contains_key(&dealer) {
            return None;
        }
        let slot = self.dealings.get(&dealer)?;
        Some((&slot.dealing, slot.commitment.as_ref().ok()?))
    }

    /// The commitment of a sound dealing.
    pub(crate) fn commitment(&self, dealer: SequencerIndex) -> Option<&Commitment> {
        self.sound(dealer).map(|(_, commitment)| commitment)
    }

    pub(crate) fn has_dealt(&self, dealer: SequencerIndex) -> bool {
        self.dealings.contains_key(&dealer)
    }

    pub(crate) fn has_acknowledged(&self, dealer: SequencerIndex, player: SequencerIndex) -> bool {
        self.acknowledgements.contains_key(&(dealer, player))
    }

    /// Whether a player has said what it thinks of a dealing.
    pub(crate) fn has_answered(&self, dealer: SequencerIndex, player: SequencerIndex) -> bool {
        self.has_acknowledged(dealer, player) || self.complaints.contains_key(&(dealer, player))
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

    /// Whom the phase waits for.
    pub(crate) fn missing(&self) -> Vec<Party> {
        match self.phase {
            Phase::Dealing => self.dealers(|dealer| !self.has_dealt(dealer)),
            Phase::Acknowledging => self.players(|player| self.lacks_answer(player)),
            Phase::Logging => self.dealers(|dealer| self.lacks_log(dealer)),
            Phase::Confirming | Phase::Complete => {
                self.players(|player| !self.has_confirmed(player))
            }
            Phase::Failed => Vec::new(),
        }
    }

    /// Those that did not do all that was asked of them so far, each once.
    fn absent(&self) -> Vec<Party> {
        let logging = self.phase == Phase::Logging;
        let dealers =
            self.dealers(|dealer| !self.has_dealt(dealer) || logging && self.lacks_log(dealer));
        let answering = self.phase != Phase::Dealing;
        let mut all = self.players(|player| answering && self.lacks_answer(player));
        let known = |all: &[Party], one: &Party| all.iter().any(|o| o.consensus == one.consensus);
        for dealer in dealers {
            if !known(&all, &dealer) {
                all.push(dealer);
            }
        }
        all.sort_by_key(|party| party.consensus);
        all
    }

    fn lacks_answer(&self, player: SequencerIndex) -> bool {
        self.sound_dealers().any(|dealer| !self.has_answered(dealer, player))
    }

    fn lacks_log(&self, dealer: SequencerIndex) -> bool {
        self.sound(dealer).is_some() && !self.has_logged(dealer)
    }

    fn dealers(&self, wanted: impl Fn(SequencerIndex) -> bool) -> Vec<Party> {
        self.parties(Role::Dealer, self.context.dealers(), wanted)
    }

    fn players(&self, wanted: impl Fn(SequencerIndex) -> bool) -> Vec<Party> {
        self.parties(Role::Player, self.context.players(), wanted)
    }

    fn parties(&self, role: Role, n: u16, wanted: impl Fn(SequencerIndex) -> bool) -> Vec<Party> {
        let seats = SequencerIndex::all(n).filter(|index| wanted(*index));
        seats.filter_map(|index| self.context.party(role, index)).collect()
    }

    /// Ends a phase as a quorum's votes do; a reader of the transcript replays phase by phase.
    pub(crate) fn leave(&mut self, phase: Phase) {
        if self.phase == phase {
            self.enter_next();
            self.settle();
        }
    }

    fn quorum(&self) -> usize {
        self.context.dealer_quorum().into()
    }

    fn sound_dealers(&self) -> impl Iterator<Item = SequencerIndex> {
        self.dealings.keys().copied().filter(|dealer| self.sound(*dealer).is_some())
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
            Phase::Dealing | Phase::Acknowledging | Phase::Logging | Phase::Confirming => {
                closed || self.missing().is_empty()
            }
        }
    }

    fn enter_next(&mut self) {
        self.votes.clear();
        let next = match self.phase {
            Phase::Dealing => self.with_dealings(Phase::Acknowledging),
            Phase::Acknowledging => self.with_dealings(Phase::Logging),
            Phase::Logging => self.after_logging(),
            Phase::Confirming => self.after_confirming(),
            ended @ (Phase::Complete | Phase::Failed) => Ok(ended),
        };
        self.phase = next.unwrap_or_else(|reason| {
            let (missing, blames) = (self.absent(), self.blames.clone());
            self.failure = Some(Failure { reason, missing, blames });
            Phase::Failed
        });
    }

    fn with_dealings(&self, next: Phase) -> Result<Phase, FailureReason> {
        let (found, needed) = (self.sound_dealers().count(), self.quorum());
        if found < needed {
            return Err(FailureReason::Dealings { found, needed });
        }
        Ok(next)
    }

    fn after_confirming(&self) -> Result<Phase, FailureReason> {
        let (found, needed) = (self.confirmations.len(), self.context.player_quorum().into());
        if found < needed {
            return Err(FailureReason::Confirmations { found, needed });
        }
        Ok(Phase::Complete)
    }

    fn after_logging(&mut self) -> Result<Phase, FailureReason> {
        let outcome = self.context.dkg().outcome(&self.usable_logs());
        let (outcome, sharing) = outcome.map_err(|shortage| FailureReason::Logs {
            found: shortage.found,
            needed: shortage.needed,
        })?;
        let limit = self.context.definition().proposal().revealed_limit;
        if outcome.revealed.len() > usize::from(limit) {
            let members = self.players(|player| outcome.revealed.contains(&player));
            return Err(FailureReason::Revealed { members, limit });
        }
        let committee = self.committee(&outcome).ok_or(FailureReason::Degenerate)?;
        let result = CeremonyResult::new(&committee, outcome, self.recorded_faults());
        let transcript = transcript::digest(self, &result);
        self.key = Some(Key { committee, result, transcript, sharing });
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

    /// Everybody's faults that the entries show: the dealers' first, then the players'.
    fn recorded_faults(&self) -> Vec<RecordedFault> {
        let mut faults = Vec::new();
        let mut record =
            |member: SequencerIndex, fault| faults.push(RecordedFault { member, fault });
        for (&dealer, slot) in &self.dealings {
            match slot.commitment {
                Err(CommitmentFault::Points) => record(dealer, PublicFault::Commitment),
                Err(CommitmentFault::Share) => record(dealer, PublicFault::Share),
                Ok(_) => {}
            }
            if self.equivocations.contains_key(&dealer) {
                record(dealer, PublicFault::Equivocation);
            }
            if let Some(&error) = self.convicted_dealers.get(&dealer) {
                record(dealer, PublicFault::Dealing(error));
            }
            if let Some(Err(fault)) = self.logs.get(&dealer).map(|slot| &slot.judged) {
                record(dealer, PublicFault::Log(fault.clone()));
            }
        }
        for (&player, &fault) in &self.convicted_players {
            record(player, PublicFault::FalseComplaint(fault));
        }
        faults
    }
}
