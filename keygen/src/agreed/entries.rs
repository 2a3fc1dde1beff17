//! What each kind of entry changes.

use fairveil_crypto::SequencerIndex;

use super::{Agreed, DealingSlot, LogSlot, Phase, Refusal};
use crate::blame::{Blame, Fault};
use crate::dkg::{CommitmentFault, LogFault};
use crate::entry::{Acknowledgement, Close, Complaint, Confirmation, DealerLog, Dealing, Verdict};

impl Agreed {
    /// Takes the public part of a dealing; `Dealing::verify` has passed.
    pub(crate) fn take_dealing(&mut self, dealing: Dealing) -> Result<(), Refusal> {
        self.require(matches!(self.phase, Phase::Dealing | Phase::Acknowledging))?;
        let author = dealing.dealer;
        if let Some(slot) = self.dealings.get(&author) {
            let first = slot.dealing.clone();
            if first.digest(&self.context) != dealing.digest(&self.context) {
                self.take_equivocation(first, dealing);
            }
            return Err(Refusal::Duplicate { author });
        }
        self.require(self.phase == Phase::Dealing)?;
        let commitment = self.context.dkg().commitment(author, &dealing.commitment);
        let signed = Box::new(dealing.clone());
        match commitment {
            Err(CommitmentFault::Points) => {
                self.blame(Fault::Commitment { dealing: signed }, author)
            }
            Err(CommitmentFault::Share) => self.blame(Fault::Share { dealing: signed }, author),
            Ok(_) => {}
        }
        self.dealings.insert(author, DealingSlot { dealing, commitment });
        self.settle();
        Ok(())
    }

    fn take_equivocation(&mut self, first: Dealing, second: Dealing) {
        let author = first.dealer;
        let dealings = Box::new([first, second.clone()]);
        self.blame(Fault::Equivocation { dealings }, author);
        self.equivocations.entry(author).or_insert(second);
    }

    /// Takes the second dealing of a dealer, as a reader of the transcript does.
    pub(crate) fn replay_equivocation(&mut self, second: Dealing) -> Result<(), Refusal> {
        let author = second.dealer;
        let slot = self.dealings.get(&author).ok_or(Refusal::NoDealing { dealer: author })?;
        let first = slot.dealing.clone();
        if first.digest(&self.context) == second.digest(&self.context) {
            return Err(Refusal::Duplicate { author });
        }
        self.take_equivocation(first, second);
        Ok(())
    }

    pub(crate) fn take_acknowledgement(
        &mut self,
        acknowledgement: Acknowledgement,
    ) -> Result<(), Refusal> {
        self.require(matches!(self.phase, Phase::Dealing | Phase::Acknowledging))?;
        let Acknowledgement { dealer, player, signature } = acknowledgement;
        let commitment = self.commitment(dealer).ok_or(Refusal::NoDealing { dealer })?;
        if self.has_answered(dealer, player) {
            return Err(Refusal::Duplicate { author: player });
        }
        if !self.context.dkg().is_acknowledged(dealer, commitment, player, &signature) {
            return Err(Refusal::Signature { author: player });
        }
        self.acknowledgements.insert((dealer, player), acknowledgement);
        self.settle();
        Ok(())
    }

    /// Takes a complaint; `Complaint::verify` has passed.
    ///
    /// It is judged even if its dealer is convicted already: it may convict its author, in
    /// whatever order complaints come. A complaint withdraws its author's acknowledgement.
    pub(crate) fn take_complaint(&mut self, complaint: Complaint) -> Result<(), Refusal> {
        self.require(matches!(self.phase, Phase::Dealing | Phase::Acknowledging))?;
        let (dealer, accuser) = (complaint.dealer, complaint.accuser);
        let slot = self.dealings.get(&dealer).filter(|slot| slot.commitment.is_ok());
        let slot = slot.ok_or(Refusal::NoDealing { dealer })?;
        let verdict = complaint.verdict(&self.context, &slot.dealing);
        let verdict = verdict.ok_or(Refusal::OtherDealing { accuser, dealer })?;
        let dealing = Box::new(slot.dealing.clone());
        let evidence = Box::new(complaint.clone());
        match verdict {
            Verdict::Dealer(_) if self.convicted_dealers.contains_key(&dealer) => {
                return Err(Refusal::Convicted { accuser, dealer });
            }
            Verdict::Accuser(_) if self.convicted_players.contains_key(&accuser) => {
                return Err(Refusal::Convicted { accuser, dealer });
            }
            Verdict::Dealer(error) => {
                self.blame(Fault::Dealing { dealing, complaint: evidence, error }, dealer);
                self.convicted_dealers.insert(dealer, error);
                self.acknowledgements.retain(|(other, _), _| *other != dealer);
            }
            Verdict::Accuser(fault) => {
                self.blame(Fault::FalseComplaint { dealing, complaint: evidence, fault }, accuser);
                self.convicted_players.insert(accuser, fault);
                self.acknowledgements.remove(&(dealer, accuser));
            }
        }
        self.complaints.insert((dealer, accuser), complaint);
        self.settle();
        Ok(())
    }

    pub(crate) fn take_log(&mut self, entry: DealerLog) -> Result<(), Refusal> {
        self.require(self.phase == Phase::Logging)?;
        let dealer = entry.dealer;
        let (dealing, commitment) = self.sound(dealer).ok_or(Refusal::NoDealing { dealer })?;
        if self.has_logged(dealer) {
            return Err(Refusal::Duplicate { author: dealer });
        }
        let dealing = Box::new(dealing.clone());
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
            self.blame(Fault::Log { dealing, log, fault }, dealer);
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

    fn require(&self, accepted: bool) -> Result<(), Refusal> {
        if accepted { Ok(()) } else { Err(Refusal::Phase { phase: self.phase }) }
    }

    fn blame(&mut self, fault: Fault, index: SequencerIndex) {
        let Some(culprit) = self.context.party(fault.role(), index) else { return };
        let known = |blame: &Blame| blame.culprit == culprit && blame.fault.same_kind(&fault);
        if !self.blames.iter().any(known) {
            self.blames.push(Blame { culprit, fault });
        }
    }
}
