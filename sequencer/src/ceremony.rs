//! Runs the key ceremony on its own chain: `keygen` decides, the consensus agrees, the caller
//! keeps.
//!
//! # Restart
//!
//! Every final block of the ceremony's chain is stored before it is acknowledged. A restart applies
//! the stored blocks again, resumes the member's machine from its journal, and the engine goes on
//! after the last stored block.
//!
//! # Rounds
//!
//! A ceremony that failed is over for everybody, by agreement: the failure is stored, and
//! [`next_round`] says which round follows. A ceremony that does not go on because too many members
//! are away has failed for nobody: this member gives up
//! [`EXPIRY_GRACE`](fairveil_keygen::ceremony::EXPIRY_GRACE) after a step's time is over
//! ([`CeremonyError::Expired`]), keeps everything, and goes on in the same round when it is started
//! again.
//!
//! # Invariants
//!
//! 1. A record is durable before anything that comes after it is carried out.
//! 2. The chain runs on after this member is done, until it is stopped: others may still need it.
//! 3. Nonce, blocks and the engine's journal are those of one round; a round that failed is never
//!    run again.

use std::time::Duration;

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Provider, Sender};
use commonware_parallel::Strategy;
use commonware_runtime::{Clock, Metrics, Spawner, Storage};
use fairveil_consensus::{
    self as consensus, Block, CeremonyChain, CeremonyState, Chain, Members, Voting,
    block::BlockError,
    ceremony::{CeremonyFault, SubmitError},
    committee::CommitteeError,
    engine::EngineError,
    network::Subchannel,
    timing::Timing,
};
use fairveil_crypto::{ConsensusSecret, Height, encoding};
use fairveil_keygen::{
    Blame, Ceremony, CeremonyContext, DealingNonce, DealingSecret, Failure, Input, Membership,
    Output, Participant, Phase, Record, StartError, Status, Transcript,
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    actor::now_ms,
    record::height_key,
    recovery::entries,
    start::Engine,
    store::{Store, StoreError, Table, Write},
};

/// Where the round that follows the last failed one is stored, with why that one failed.
const NEXT_ROUND: &[u8] = b"ceremony-next-round";
/// The longest stored failure in bytes.
const MAX_FAILURE_BYTES: usize = 64 << 10;
/// The word of a step that nobody ends.
const EXPIRED: &str = "expired";
/// Longest sleep between two looks at the clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What one member takes part with.
pub struct Setup {
    /// The approved definition and the round.
    pub context: CeremonyContext,
    /// Seed of the consensus key.
    pub consensus_seed: Zeroizing<[u8; 32]>,
    /// Seed-holding dealing key, once per call that needs one.
    pub dealing: DealingSecret,
    /// Prefix of everything in the consensus' storage.
    pub partition: String,
    /// Durations of the ceremony's chain.
    pub timing: Timing,
}

/// What a ceremony made for this member.
pub struct Made {
    /// The own key share: it belongs into the keystore and nowhere else.
    pub membership: Membership,
    /// The public proof of the committee key.
    pub transcript: Box<Transcript>,
    /// The chain, still running for the others.
    pub chain: consensus::Running<CeremonyChain>,
}

/// Why a ceremony made nothing for this member.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The keys or the journal don't belong to it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored block or journal entry is damaged.
    #[error("the stored ceremony is damaged: {0}")]
    Damaged(String),
    /// The members' keys make no committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The first block can't be made.
    #[error(transparent)]
    Genesis(#[from] BlockError),
    /// The engine failed.
    #[error("consensus: {0}")]
    Engine(#[from] EngineError<CeremonyFault>),
    /// An own entry can't be posted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The ceremony failed; who was missing or cheated is inside.
    #[error("the ceremony made no key: {0}")]
    Failed(Box<Failure>),
    /// Too few members are there to go on, or to agree that the ceremony failed.
    #[error("the step {} is overdue and too few members are there to end it", .0.word)]
    Expired(Box<Status>),
    /// This round, or a later one, has failed already.
    #[error("round {asked} is over; the next one is {next}")]
    RoundOver {
        /// The round that was to be run.
        asked: u64,
        /// The one that follows the last failure.
        next: u64,
    },
    /// A key was made without a share for this member.
    #[error("the ceremony made a key, but no share for this member: {0}")]
    NoShare(String),
    /// The key share couldn't be kept.
    #[error("the key share can't be stored: {0}")]
    Keep(std::io::Error),
}

/// Who runs a ceremony for this member.
pub trait Keeper {
    /// Stores the own key share durably, in the keystore; nothing is confirmed before it returned.
    ///
    /// # Errors
    ///
    /// If it is not stored.
    fn keep(&mut self, membership: &Membership) -> std::io::Result<()>;

    /// Keeps the evidence of a member's fault. After a restart it is told again.
    fn blamed(&mut self, blame: &Blame);

    /// Looks at how far the ceremony is: after everything that was agreed on, and at least once a
    /// second.
    fn observe(&mut self, status: &Status);
}

/// The round that follows the last one that failed, with why that one did; 0 if none has.
///
/// # Errors
///
/// If the database fails or is damaged.
pub fn next_round(store: &Store) -> Result<(u64, Option<String>), StoreError> {
    let Some(bytes) = store.get(Table::Meta, NEXT_ROUND)? else { return Ok((0, None)) };
    let (round, failure): (u64, String) =
        encoding::decode(&bytes, MAX_FAILURE_BYTES).map_err(|error| StoreError::Damaged {
            table: Table::Meta,
            why: format!("next round of the ceremony: {error}"),
        })?;
    Ok((round, Some(failure)))
}

/// Forgets the nonce of the own dealing, once the ceremony is over and the dealing key erased.
///
/// # Errors
///
/// If the database fails.
pub fn forget_nonce(store: &Store, round: u64) -> Result<(), StoreError> {
    store.commit(&[Write::remove(Table::Meta, nonce_key(round))])
}

/// Runs a ceremony to its end.
///
/// # Errors
///
/// [`CeremonyError`].
pub async fn run<E, P, B, T, S>(
    mut context: E,
    setup: Setup,
    store: &Store,
    engine: &Engine<P, B, T, S>,
    keeper: &mut dyn Keeper,
) -> Result<Made, CeremonyError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = PublicKey> + Clone + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    T: Strategy,
    S: Sender<PublicKey = PublicKey>,
{
    let ceremony_context = setup.context.clone();
    let asked = ceremony_context.round();
    let (next, _) = next_round(store)?;
    if asked < next {
        return Err(CeremonyError::RoundOver { asked, next });
    }
    let secret = || ConsensusSecret::from_seed(*setup.consensus_seed);
    let participant =
        Participant { consensus: secret(), dealing: Some(setup.dealing), share: None };
    let machine = match store.get(Table::Meta, &nonce_key(asked))? {
        Some(bytes) => {
            let nonce = DealingNonce::from_bytes(&bytes)
                .map_err(|error| CeremonyError::Damaged(error.to_string()))?;
            Ceremony::resume(ceremony_context.clone(), participant, nonce)?
        }
        None => {
            let mut nonce = [0; 32];
            context.fill_bytes(&mut nonce);
            Ceremony::start(ceremony_context.clone(), participant, nonce)?
        }
    };
    let chain = CeremonyChain::new(ceremony_context.id());
    let keys = ceremony_context.definition().consensus_keys();
    let Some(first) = keys.first().copied() else {
        return Err(CeremonyError::Damaged("a definition without members".into()));
    };
    let (genesis, state) = chain.genesis(first)?;
    let mut run = Run {
        machine,
        chain: chain.clone(),
        store,
        context: ceremony_context.clone(),
        round: asked,
        keeper,
        membership: None,
        transcript: None,
    };
    let outputs = run.machine.handle(now(&context), Input::Wake);
    run.carry_out(outputs)?;
    let state = run.replay(&context, state).await?;
    let config = consensus::Config {
        namespace: chain.namespace(),
        epoch: chain.epoch(),
        subchannel: Subchannel::Ceremony { round: ceremony_context.round() },
        members: Members::new(&keys)?,
        secret: secret(),
        voting: Voting::Votes,
        peers: engine.peers.clone(),
        blocker: engine.blocker.clone(),
        strategy: engine.strategy.clone(),
        partition: format!("{}-{asked}", setup.partition),
        timing: setup.timing,
    };
    let engine_context = context.child("ceremony");
    let mut running =
        consensus::start(engine_context, config, chain, genesis, state, &engine.network).await?;
    run.until_done(&context, &mut running).await?;
    match (run.membership, run.transcript) {
        (Some(membership), Some(transcript)) => Ok(Made { membership, transcript, chain: running }),
        _ => Err(CeremonyError::Damaged("complete without share or transcript".into())),
    }
}

struct Run<'a> {
    machine: Ceremony,
    chain: CeremonyChain,
    store: &'a Store,
    context: CeremonyContext,
    round: u64,
    keeper: &'a mut dyn Keeper,
    membership: Option<Membership>,
    transcript: Option<Box<Transcript>>,
}

impl Run<'_> {
    /// Applies the blocks that were stored before a restart.
    async fn replay(
        &mut self,
        clock: &impl Clock,
        mut state: CeremonyState,
    ) -> Result<CeremonyState, CeremonyError> {
        let damaged = |error: &dyn std::fmt::Display| CeremonyError::Damaged(error.to_string());
        let prefix = self.round.to_be_bytes();
        for (_, bytes) in entries(self.store, Table::Ceremony, &prefix)? {
            let block = Block::from_bytes(Bytes::from(bytes)).map_err(|error| damaged(&error))?;
            let executed = self.chain.execute(&state, &block).await;
            let executed = executed.map_err(|error| damaged(&error))?;
            state = executed.state;
            let (height, entries) = (block.header().height.get(), executed.output.to_vec());
            let outputs = self.machine.handle(now(clock), Input::Agreed { height, entries });
            self.carry_out(outputs)?;
        }
        Ok(state)
    }

    async fn until_done(
        &mut self,
        clock: &impl Clock,
        running: &mut consensus::Running<CeremonyChain>,
    ) -> Result<(), CeremonyError> {
        while self.transcript.is_none() || self.membership.is_none() {
            self.look(now(clock))?;
            let wait = self
                .machine
                .wake_at()
                .map_or(LONGEST_SLEEP, |at| at.saturating_sub(now(clock)).min(LONGEST_SLEEP));
            tokio::select! {
                biased;
                block = running.finalized.recv() => {
                    let Some(delivered) = block else {
                        running.ended().await?;
                        return Err(EngineError::Ended { part: "delivery" }.into());
                    };
                    let block = &delivered.executed.block;
                    let height = block.header().height;
                    self.store.commit(&[stored(self.round, height, block)])?;
                    let entries = delivered.executed.output.to_vec();
                    let input = Input::Agreed { height: height.get(), entries };
                    let outputs = self.machine.handle(now(clock), input);
                    self.carry_out(outputs)?;
                    delivered.acknowledgement.acknowledge();
                }
                () = clock.sleep(wait) => {
                    let outputs = self.machine.handle(now(clock), Input::Wake);
                    self.carry_out(outputs)?;
                }
            }
        }
        self.keeper.observe(&self.machine.status(now(clock)));
        Ok(())
    }

    /// Shows how far the ceremony is, and gives up if nobody ends an overdue step.
    fn look(&mut self, now: Duration) -> Result<(), CeremonyError> {
        let status = self.machine.status(now);
        self.keeper.observe(&status);
        if status.phase != Phase::Failed && status.word == EXPIRED {
            return Err(CeremonyError::Expired(Box::new(status)));
        }
        Ok(())
    }

    /// Stores that this round is over.
    fn ended(&self, failure: &Failure) -> Result<(), CeremonyError> {
        let next = self.round.saturating_add(1);
        let mut sentence = failure.sentence(&self.context);
        let mut end = sentence.len().min(MAX_FAILURE_BYTES / 2);
        while !sentence.is_char_boundary(end) {
            end -= 1;
        }
        sentence.truncate(end);
        let bytes = encoding::encode(&(next, sentence));
        Ok(self.store.commit(&[Write::put(Table::Meta, NEXT_ROUND, bytes)])?)
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), CeremonyError> {
        for output in outputs {
            match output {
                Output::Persist(Record::Nonce(nonce)) => {
                    let key = nonce_key(self.round);
                    self.store.commit(&[Write::put(Table::Meta, key, nonce.to_bytes())])?;
                }
                Output::Persist(Record::Membership(membership)) => {
                    self.keeper.keep(&membership).map_err(CeremonyError::Keep)?;
                    self.membership = Some(membership);
                }
                Output::Post(entry) => self.chain.submit(entry.encode())?,
                Output::Entered(phase) => info!(phase = phase_word(phase), "ceremony"),
                Output::NotAcknowledged { dealer, error } => {
                    warn!(%dealer, %error, "a dealing is bad and complained about");
                }
                Output::Refused(refusal) => warn!(?refusal, "an entry changes nothing"),
                Output::Blamed(blame) => {
                    warn!(fault = blame.sentence(&self.context), "a member's provable fault");
                    self.keeper.blamed(&blame);
                }
                Output::NoShare(error) => return Err(CeremonyError::NoShare(error.to_string())),
                Output::Complete(transcript) => self.transcript = Some(transcript),
                Output::Failed(failure) => {
                    self.ended(&failure)?;
                    return Err(CeremonyError::Failed(Box::new(failure)));
                }
            }
        }
        Ok(())
    }
}

fn nonce_key(round: u64) -> Vec<u8> {
    format!("ceremony-nonce-{round}").into_bytes()
}

fn stored(round: u64, height: Height, block: &Block) -> Write {
    let key = [&round.to_be_bytes()[..], &height_key(height)].concat();
    Write::put(Table::Ceremony, key, block.bytes().to_vec())
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Dealing => "dealing",
        Phase::Acknowledging => "acknowledging",
        Phase::Logging => "logging",
        Phase::Confirming => "confirming",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
    }
}

fn now(clock: &impl Clock) -> Duration {
    Duration::from_millis(now_ms(clock))
}

/// Keeps a ceremony's chain going for those who are not done, and drops what it delivers.
pub async fn linger(mut chain: consensus::Running<CeremonyChain>, store: Store, round: u64) {
    while let Some(delivered) = chain.finalized.recv().await {
        let block = &delivered.executed.block;
        if store.commit(&[stored(round, block.header().height, block)]).is_err() {
            return;
        }
        delivered.acknowledgement.acknowledge();
    }
}
