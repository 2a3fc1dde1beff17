//! A resharing by the key generation: [`crate::renewal`] on [`fairveil_keygen`].
//!
//! What a block announces is `encode(canonical bytes of the definition, approvals)`. Whoever has the
//! transcript of the running epoch judges it alone: the definition continues that epoch's, all of its
//! members approved it, and a quorum of the running committee. The machine then is
//! [`fairveil_keygen::Ceremony`], its log the entries of final blocks.
//!
//! # Invariants
//!
//! 1. Only an approved definition that continues the running epoch's is accepted, under the id that it
//!    and the round have.
//! 2. A share is in custody before it is confirmed, the transcript before the successor is named.
//! 3. After a restart the machine posts the same bytes: the journal holds its nonce.

use std::{sync::Arc, time::Duration};

use fairveil_consensus::{
    Resharing, Successor,
    committee::{PublicKey, public_key},
    epoch::MAX_DEFINITION_BYTES,
};
use fairveil_crypto::encoding;
use fairveil_keygen::{
    Approval, ApprovalError, ApprovedDefinition, Blame, Ceremony, CeremonyContext, CeremonyEntry,
    ContextError, DealingNonce, Definition, DefinitionError, Input as Told, Membership,
    Output as Wanted, Participant, Record, Status, Transcript, VerifiedTranscript,
};
use tracing::{info, warn};

use crate::renewal::{Input, Output, Progress, Renewal, Resharings};

/// What of a resharing stays with this sequencer's operator: secrets and files.
pub trait Custody: Send + Sync {
    /// The secrets that this sequencer takes part with: its share of the running epoch, and the secret
    /// of its dealing key if it is a member of the next.
    ///
    /// # Errors
    ///
    /// What is missing.
    fn participant(&self, context: &CeremonyContext) -> Result<Participant, String>;

    /// Stores the own share of the next epoch, durably.
    ///
    /// # Errors
    ///
    /// If it is not stored.
    fn keep(&self, membership: &Membership) -> std::io::Result<()>;

    /// Stores the transcript, durably.
    ///
    /// # Errors
    ///
    /// If it is not stored.
    fn complete(&self, transcript: &Transcript) -> std::io::Result<()>;

    /// Keeps the evidence of a fault. After a restart it is told again.
    fn blamed(&self, context: &CeremonyContext, blame: &Blame);

    /// Looks at how far the resharing is, whenever it was told something.
    fn observe(&self, context: &CeremonyContext, status: &Status);
}

/// What a sequencer of an epoch knows of the next one.
pub struct KeygenResharings {
    predecessor: VerifiedTranscript,
    custody: Arc<dyn Custody>,
}

/// Why an announced definition is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// Not an encoding of a definition with approvals.
    #[error("announcement: {0}")]
    Encoding(#[from] encoding::DecodeError),
    /// The definition is refused.
    #[error("definition: {0}")]
    Definition(#[from] DefinitionError),
    /// It does not continue the running epoch, or is not approved.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// It makes no ceremony.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Too long for a block.
    #[error("definition and approvals have {actual} bytes, the limit is {MAX_DEFINITION_BYTES}")]
    TooLong {
        /// Their length.
        actual: usize,
    },
    /// The announcement says something else than the definition.
    #[error("the announced ceremony or boundary is not that of the definition and the round")]
    Foreign,
}

impl KeygenResharings {
    /// For the epoch that comes after the one of this transcript.
    #[must_use]
    pub fn new(predecessor: VerifiedTranscript, custody: Arc<dyn Custody>) -> Self {
        Self { predecessor, custody }
    }

    /// The ceremony of an announced resharing.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub fn context(&self, resharing: &Resharing) -> Result<CeremonyContext, AnnouncementError> {
        let context = context(&resharing.definition, resharing.round, &self.predecessor)?;
        let expected = announcement(&context)?;
        if expected != *resharing {
            return Err(AnnouncementError::Foreign);
        }
        Ok(context)
    }
}

/// The ceremony of an announced definition and round, after the epoch of this transcript.
///
/// # Errors
///
/// [`AnnouncementError`].
pub fn context(
    announced: &[u8],
    round: u64,
    predecessor: &VerifiedTranscript,
) -> Result<CeremonyContext, AnnouncementError> {
    let (definition, approvals): (Vec<u8>, Vec<Approval>) =
        encoding::decode(announced, MAX_DEFINITION_BYTES)?;
    let definition = Definition::from_bytes(&definition)?;
    let approved = ApprovedDefinition::resharing(definition, approvals, predecessor.definition())?;
    Ok(CeremonyContext::resharing(approved, round, predecessor)?)
}

/// What a block announces of a ceremony.
///
/// # Errors
///
/// If it is no resharing, or too long for a block.
pub fn announcement(context: &CeremonyContext) -> Result<Resharing, AnnouncementError> {
    let definition = context.definition();
    let boundary = definition.resharing().ok_or(AnnouncementError::Foreign)?.boundary;
    let bytes = encoding::encode(&(definition.to_bytes(), context.approved().approvals().to_vec()));
    if bytes.len() > MAX_DEFINITION_BYTES {
        return Err(AnnouncementError::TooLong { actual: bytes.len() });
    }
    Ok(Resharing { ceremony: *context.id(), round: context.round(), boundary, definition: bytes })
}

impl Resharings for KeygenResharings {
    fn accepts(&self, resharing: &Resharing) -> bool {
        match self.context(resharing) {
            Ok(_) => true,
            Err(error) => {
                warn!(%error, "an announced resharing is not accepted");
                false
            }
        }
    }

    fn take_part(
        &self,
        resharing: &Resharing,
        journal: Option<Vec<u8>>,
        random: [u8; 32],
    ) -> Result<Box<dyn Renewal>, String> {
        let context = self.context(resharing).map_err(|error| error.to_string())?;
        let custody = Arc::clone(&self.custody);
        Ok(Box::new(KeygenRenewal::new(context, custody, journal, random)?))
    }
}

/// One member's part in a resharing.
pub struct KeygenRenewal {
    context: CeremonyContext,
    machine: Ceremony,
    custody: Arc<dyn Custody>,
}

impl KeygenRenewal {
    /// From its journal if it has one, else with fresh random bytes.
    ///
    /// # Errors
    ///
    /// Why it can't take part.
    pub fn new(
        context: CeremonyContext,
        custody: Arc<dyn Custody>,
        journal: Option<Vec<u8>>,
        random: [u8; 32],
    ) -> Result<Self, String> {
        let participant = custody.participant(&context)?;
        let machine = match journal {
            Some(bytes) => DealingNonce::from_bytes(&bytes)
                .map_err(|error| format!("the journal is damaged: {error}"))
                .and_then(|nonce| {
                    Ceremony::resume(context.clone(), participant, nonce)
                        .map_err(|error| error.to_string())
                })?,
            None => Ceremony::start(context.clone(), participant, random)
                .map_err(|error| error.to_string())?,
        };
        Ok(Self { context, machine, custody })
    }

    fn wanted(&self, wanted: Wanted, outputs: &mut Vec<Output>) {
        match wanted {
            Wanted::Persist(Record::Nonce(nonce)) => {
                outputs.push(Output::Journal(nonce.to_bytes()));
            }
            Wanted::Persist(Record::Membership(membership)) => {
                if let Err(error) = self.custody.keep(&membership) {
                    outputs.push(Output::Unkept(error.to_string()));
                }
            }
            Wanted::Post(entry) => outputs.push(Output::Post(CeremonyEntry::encode(&entry))),
            Wanted::Entered(phase) => info!(?phase, "resharing"),
            Wanted::NotAcknowledged { dealer, error } => {
                warn!(%dealer, %error, "a dealing is bad and complained about");
            }
            Wanted::Refused(refusal) => warn!(?refusal, "an entry changes nothing"),
            Wanted::Blamed(blame) => {
                warn!(fault = blame.sentence(&self.context), "a member's provable fault");
                self.custody.blamed(&self.context, &blame);
            }
            Wanted::NoShare(error) => warn!(%error, "no share of the next epoch"),
            Wanted::Complete(transcript) => match self.custody.complete(&transcript) {
                Ok(()) => outputs.push(match self.successor(&transcript) {
                    Ok(successor) => Output::Complete(Box::new(successor)),
                    Err(why) => Output::Unkept(why),
                }),
                Err(error) => outputs.push(Output::Unkept(error.to_string())),
            },
            Wanted::Failed(failure) => {
                outputs.push(Output::Failed(failure.sentence(&self.context)));
            }
        }
    }

    fn successor(&self, transcript: &Transcript) -> Result<Successor, String> {
        let verified = transcript.verify().map_err(|error| error.to_string())?;
        let (definition, committee) = (verified.definition(), verified.committee());
        Ok(Successor {
            ceremony: *self.context.id(),
            keys: definition.consensus_keys(),
            f: definition.proposal().f,
            g: definition.proposal().g,
            key_id: committee.key_id(),
            transcript: verified.digest(),
        })
    }
}

impl Renewal for KeygenRenewal {
    fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        let told = match input {
            Input::Wake => Told::Wake,
            Input::Agreed { height, entries } => Told::Agreed { height: height.get(), entries },
        };
        let mut outputs = Vec::new();
        for wanted in self.machine.handle(now, told) {
            self.wanted(wanted, &mut outputs);
            // Nothing after what could not be kept: a start later goes on from what is.
            if matches!(outputs.last(), Some(Output::Unkept(_))) {
                break;
            }
        }
        self.custody.observe(&self.context, &self.machine.status(now));
        outputs
    }

    fn wake_at(&self) -> Option<Duration> {
        self.machine.wake_at()
    }

    fn is_of(&self, author: &PublicKey, entry: &[u8]) -> bool {
        let entry = CeremonyEntry::decode(entry, &self.context).ok();
        let of = entry.and_then(|entry| entry.author(&self.context));
        of.and_then(|key| public_key(&key)).as_ref() == Some(author)
    }

    fn progress(&self, now: Duration) -> Progress {
        let status = self.machine.status(now);
        let mut missing: Vec<String> = status.missing.into_iter().map(|party| party.name).collect();
        missing.sort();
        Progress {
            ceremony: *self.context.id(),
            round: self.context.round(),
            phase: status.word,
            missing,
            left: status.time_left,
        }
    }
}
