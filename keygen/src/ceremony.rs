//! One member's part in a ceremony: a deterministic state machine over the agreed log.
//!
//! The members run a BFT chain for the ceremony alone, whose blocks hold entries
//! ([`crate::entry`]). This machine says what to post, folds what was agreed
//! ([`crate::agreed`]), and ends with a key share and a transcript.
//!
//! ```text
//! start    journal a fresh nonce; deal f from (secret, ceremony, nonce); post the dealing
//! dealing  for each agreed dealing: open the own part, check it; post the acknowledgement, or
//!          the complaint that opens it for everybody
//! logging  post the own log: the agreed acknowledgements, and the dealings of the others
//! key      combine the dealings of the selected logs; journal the share; post the confirmation
//! done     q players confirmed: the transcript
//! ```
//!
//! A member deals if it is a dealer, and does the rest if it is a player; votes are the dealers'
//! and confirmations the players'. In a first ceremony everybody is both. In a resharing, who
//! leaves the committee only deals, who joins it only plays, and who stays does both. There the
//! dealer's secret is its share, which f(0) is too; else it is its dealing secret.
//!
//! # Use
//!
//! The host carries out outputs in their order and only continues past [`Output::Persist`] when
//! the record is synced to disk. It delivers the chain's final blocks in order, each at least
//! once, and calls with [`Input::Wake`] at [`Ceremony::wake_at`]. A leader of the ceremony's chain
//! proposes its own [`Ceremony::pending`] entries and those it was sent; as leaders rotate, every
//! member's entries are agreed without anyone's help. Entries that stay pending are posted again.
//!
//! # Invariants
//!
//! 1. What this member posts is a function of its secrets, the journalled nonce and the agreed
//!    log: a machine that is resumed from its journal and given the log again posts the same
//!    bytes, and so never signs two dealings, logs or confirmations in one ceremony.
//! 2. No dealing is posted before the nonce is durable, no confirmation before the share is.
//! 3. A dealing is acknowledged only if it opens and matches its commitment. Then this member can
//!    compute its share from the log and its dealing key alone, whatever else it loses. A dealing
//!    is complained about only if it does not; never is one answered both ways.
//! 4. Time only decides when to vote for closing a phase, and when to post again.
//! 5. Secrets leave through [`Output::Persist`] alone. They are wiped when the machine is dropped.
//! 6. A phase that is still open [`EXPIRY_GRACE`] after its deadline is called `expired`, with who
//!    is missing: fewer than a quorum takes part, and they can't close it. It is a word only: if
//!    the others come back, the ceremony goes on.
//!
//! # Example
//!
//! Four members, and a list in the place of their chain:
//!
//! ```
//! # use fairveil_crypto::{ConsensusSecret, Epoch};
//! # use fairveil_keygen::definition::{Blocks, Deadlines, Ordering};
//! # use fairveil_keygen::{
//! #     Approval, ApprovedDefinition, Ceremony, CeremonyContext, DealingSecret, Definition, Input,
//! #     Member, NetworkPublicKey, Output, Participant, Proposal,
//! # };
//! # use std::time::Duration;
//! # let consensus = |k: u8| ConsensusSecret::from_seed([k; 32]);
//! # let dealing = |k: u8| DealingSecret::from_seed(&[k; 32]);
//! # let members = (1..=4).map(|k| Member {
//! #     name: format!("member-{k}"),
//! #     consensus: consensus(k).public_key(),
//! #     network: NetworkPublicKey::from_bytes(consensus(k + 100).public_key().to_bytes()),
//! #     dealing: dealing(k).public_key(),
//! #     peer_address: format!("127.0.0.1:400{k}").parse().unwrap(),
//! #     trader_address: format!("127.0.0.1:500{k}").parse().unwrap(),
//! #     rpc_address: format!("127.0.0.1:600{k}").parse().unwrap(),
//! # });
//! # let proposal = Proposal {
//! #     version: 1, epoch: Epoch::new(1), n: 4, f: 0, g: 0, revealed_limit: 0,
//! #     ordering: Ordering::default(), blocks: Blocks::default(), deadlines: Deadlines::default(),
//! #     accounting: None, rollups: Vec::new(), members: members.collect(), resharing: None,
//! # };
//! let definition = Definition::new(proposal)?;
//! let approvals: Vec<_> = (1..=4).map(|k| Approval::new(&definition, &consensus(k))).collect();
//! let context = CeremonyContext::first(ApprovedDefinition::new(definition, approvals)?, 1)?;
//! let mut machines = Vec::new();
//! for k in 1..=4 {
//!     let (consensus, dealing) = (consensus(k), Some(dealing(k)));
//!     let participant = Participant { consensus, dealing, share: None };
//!     machines.push(Ceremony::start(context.clone(), participant, [k; 32])?);
//! }
//! let (mut chain, mut done, now) = (Vec::new(), 0, Duration::ZERO);
//! while done < chain.len() || chain.is_empty() {
//!     let input = match chain.get(done) {
//!         None => Input::Wake,
//!         Some(entry) => Input::Agreed { height: done as u64, entries: vec![Vec::clone(entry)] },
//!     };
//!     done += usize::from(!chain.is_empty());
//!     for machine in &mut machines {
//!         for output in machine.handle(now, input.clone()) {
//!             if let Output::Post(entry) = output {
//!                 chain.push(entry.encode());
//!             }
//!         }
//!     }
//! }
//! let transcript = machines[0].transcript().expect("complete").verify()?;
//! assert_eq!(transcript.committee().t(), 3);
//! assert_eq!(transcript.confirmed().len(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod member;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fairveil_crypto::SequencerIndex;

pub use member::Membership;
use member::{Member, Slot};

use crate::agreed::{Agreed, Phase, Refusal};
use crate::blame::{Blame, Failure};
use crate::context::{CeremonyContext, IdentityError, Participant, Party};
use crate::dkg::{DealingError, ShareError};
use crate::entry::CeremonyEntry;
use crate::journal::DealingNonce;
use crate::transcript::Transcript;

/// Entries that are still pending are posted again after this time.
pub const REPOST_INTERVAL: Duration = Duration::from_secs(2);

/// A phase that is open for so long after its deadline is called `expired`: votes to close it are
/// agreed within seconds, if a quorum is there to agree.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(15);

/// What the host tells the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A final block of the ceremony's chain. Heights rise; a block that was delivered before is
    /// ignored, and blocks without entries may be left out.
    Agreed {
        /// The height of the block.
        height: u64,
        /// Its entries, in order.
        entries: Vec<Vec<u8>>,
    },
    /// The time of [`Ceremony::wake_at`] has come, or the machine begins.
    Wake,
}

/// What the machine tells the host, to be carried out in order.
#[derive(Debug)]
pub enum Output {
    /// Make this durable before anything after it.
    Persist(Record),
    /// Post this entry on the chain.
    Post(CeremonyEntry),
    /// A new phase began.
    Entered(Phase),
    /// This member complains about a dealing to it.
    NotAcknowledged {
        /// The dealer.
        dealer: SequencerIndex,
        /// What is wrong with the dealing.
        error: DealingError,
    },
    /// An agreed entry changes nothing.
    Refused(Refusal),
    /// A member's provable fault.
    Blamed(Blame),
    /// The ceremony made a key, but this member has no share of it.
    NoShare(ShareError),
    /// The transcript is complete.
    Complete(Box<Transcript>),
    /// The ceremony made no key.
    Failed(Failure),
}

/// What must be durable.
#[derive(Debug)]
pub enum Record {
    /// The nonce of the own dealing: with it and the keystore the machine resumes. Public without
    /// the dealing secret, but what is dealt can't be recomputed once it is erased.
    Nonce(DealingNonce),
    /// The own key share: belongs in the keystore and nowhere else.
    Membership(Membership),
}

/// How far a ceremony is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The phase.
    pub phase: Phase,
    /// The phase in the operators' words.
    pub word: &'static str,
    /// Whom the phase waits for, or who was missing when it failed.
    pub missing: Vec<Party>,
    /// The provable faults so far.
    pub blames: Vec<Blame>,
    /// The time until this member votes to close the phase; zero if it has.
    pub time_left: Option<Duration>,
}

/// One member's machine.
pub struct Ceremony {
    agreed: Agreed,
    member: Member,
    height: Option<u64>,
    unrecorded: Option<DealingNonce>,
    phase: Phase,
    phase_began: Option<Duration>,
    pending: BTreeMap<Slot, CeremonyEntry>,
    posted_at: Option<Duration>,
    blames_told: usize,
}

/// Why a machine does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The keys are no member's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The journal belongs to another ceremony.
    #[error("the journal is of another definition or round")]
    OtherCeremony,
}

impl Ceremony {
    /// Begins a ceremony for the first time. `nonce` is 32 fresh bytes of the host's CSPRNG; the
    /// first output makes it durable.
    ///
    /// # Errors
    ///
    /// If the keys are no member's.
    pub fn start(
        context: CeremonyContext,
        participant: Participant,
        nonce: [u8; 32],
    ) -> Result<Self, StartError> {
        let nonce = DealingNonce::new(&context, nonce);
        let mut ceremony = Self::resume(context, participant, nonce.clone())?;
        ceremony.unrecorded = Some(nonce);
        Ok(ceremony)
    }

    /// Resumes a ceremony from its journal. The host then delivers the agreed log from its
    /// beginning.
    ///
    /// # Errors
    ///
    /// If the keys are no member's, or the journal is of another ceremony.
    pub fn resume(
        context: CeremonyContext,
        participant: Participant,
        nonce: DealingNonce,
    ) -> Result<Self, StartError> {
        let seats = context.identify(&participant)?;
        if nonce.ceremony() != context.id() {
            return Err(StartError::OtherCeremony);
        }
        let member = Member::new(&context, seats, participant, nonce.bytes());
        Ok(Self {
            agreed: Agreed::new(context),
            member,
            height: None,
            unrecorded: None,
            phase: Phase::Dealing,
            phase_began: None,
            pending: BTreeMap::new(),
            posted_at: None,
            blames_told: 0,
        })
    }

    /// Takes an input at a time of the host's monotonic clock and returns what is to be done.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        outputs.extend(self.unrecorded.take().map(|nonce| Output::Persist(Record::Nonce(nonce))));
        self.phase_began.get_or_insert(now);
        if let Input::Agreed { height, entries } = input
            && self.height < Some(height)
        {
            self.height = Some(height);
            for bytes in entries {
                self.apply(now, &bytes, &mut outputs);
            }
        }
        self.post(now, &mut outputs);
        outputs
    }

    /// When to call with [`Input::Wake`] at the latest. `None`: there is nothing to wait for.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let repost = match (self.pending.is_empty(), self.posted_at) {
            (false, Some(posted)) => Some(posted + REPOST_INTERVAL),
            (false, None) => Some(Duration::ZERO),
            (true, _) => None,
        };
        let close = self.deadline().filter(|_| !self.has_closed());
        [repost, close].into_iter().flatten().min()
    }

    /// The own entries that are not agreed yet: what this member proposes as a leader.
    pub fn pending(&self) -> impl Iterator<Item = &CeremonyEntry> {
        self.pending.values()
    }

    /// The height of the last block that was taken.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.height
    }

    /// How far the ceremony is.
    #[must_use]
    pub fn status(&self, now: Duration) -> Status {
        let failure = self.agreed.failure();
        let missing = failure.map_or_else(|| self.agreed.missing(), |one| one.missing.clone());
        let expired = self.deadline().is_some_and(|deadline| deadline + EXPIRY_GRACE <= now);
        let word = match self.phase {
            _ if expired => "expired",
            Phase::Dealing => "dealing",
            Phase::Acknowledging | Phase::Logging | Phase::Confirming => "verifying",
            Phase::Complete => "complete",
            Phase::Failed => failure.map_or("failed", Failure::word),
        };
        Status {
            phase: self.phase,
            word,
            missing,
            blames: self.agreed.blames().to_vec(),
            time_left: self.deadline().map(|deadline| deadline.saturating_sub(now)),
        }
    }

    /// The transcript with all confirmations agreed so far, once the ceremony is complete. Members
    /// that confirm later are added as their confirmations are agreed; the digest stays.
    #[must_use]
    pub fn transcript(&self) -> Option<Transcript> {
        (self.phase == Phase::Complete).then(|| Transcript::of(&self.agreed)).flatten()
    }

    fn deadline(&self) -> Option<Duration> {
        let deadlines = &self.agreed.context().definition().proposal().deadlines;
        let allowed = match self.phase {
            Phase::Dealing => deadlines.deal(),
            Phase::Acknowledging => deadlines.acknowledge(),
            Phase::Logging => deadlines.log(),
            Phase::Confirming => deadlines.confirm(),
            Phase::Complete | Phase::Failed => return None,
        };
        Some(self.phase_began? + allowed)
    }

    fn has_closed(&self) -> bool {
        self.member.dealer_index().is_none_or(|dealer| self.agreed.has_voted(dealer))
            || self.pending.keys().any(|slot| matches!(slot, Slot::Close(_)))
    }

    fn apply(&mut self, now: Duration, bytes: &[u8], outputs: &mut Vec<Output>) {
        let entry = CeremonyEntry::decode(bytes, self.agreed.context());
        let applied = entry
            .map_err(Refusal::from)
            .and_then(|entry| self.member.apply(&mut self.agreed, entry, outputs));
        outputs.extend(applied.err().map(Output::Refused));
        let blames = self.agreed.blames();
        outputs.extend(blames[self.blames_told..].iter().cloned().map(Output::Blamed));
        self.blames_told = blames.len();
        if self.phase != self.agreed.phase() {
            self.enter(now, outputs);
        }
    }

    fn enter(&mut self, now: Duration, outputs: &mut Vec<Output>) {
        self.phase = self.agreed.phase();
        self.phase_began = Some(now);
        outputs.push(Output::Entered(self.phase));
        if self.agreed.key().is_some() {
            self.member.take_share(&self.agreed, outputs);
        }
        if let Some(failure) = self.agreed.failure() {
            outputs.push(Output::Failed(failure.clone()));
        }
        if let Some(transcript) = self.transcript() {
            outputs.push(Output::Complete(Box::new(transcript)));
        }
    }

    /// Posts what is new at once, and what is pending for long again.
    fn post(&mut self, now: Duration, outputs: &mut Vec<Output>) {
        let overdue = self.deadline().is_some_and(|deadline| deadline <= now);
        let wanted = self.member.entries(&self.agreed, overdue);
        let old = std::mem::replace(&mut self.pending, wanted);
        let again = self.posted_at.is_some_and(|posted| posted + REPOST_INTERVAL <= now);
        let to_post = self.pending.iter().filter(|(slot, _)| again || !old.contains_key(slot));
        let before = outputs.len();
        outputs.extend(to_post.map(|(_, entry)| Output::Post(entry.clone())));
        if outputs.len() > before {
            self.posted_at = Some(now);
        }
    }
}

impl fmt::Debug for Ceremony {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seats = self.member.seats();
        write!(out, "Ceremony({:?}, {seats:?}, {:?})", self.agreed.context(), self.phase)
    }
}

#[cfg(test)]
mod tests;
