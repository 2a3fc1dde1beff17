//! Runs the key ceremony on its own chain: `keygen` decides, the consensus agrees, the caller
//! keeps.
//!
//! # Restart
//!
//! Every final block of the ceremony's chain is stored before it is acknowledged. A restart applies
//! the stored blocks again, resumes the member's machine from its journal, and the engine goes on
//! after the last stored block.
//!
//! # Invariants
//!
//! 1. A record is durable before anything that comes after it is carried out.
//! 2. The chain runs on after this member is done, until it is stopped: others may still need it.

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
use fairveil_crypto::{ConsensusSecret, Height};
use fairveil_keygen::{
    Ceremony, CeremonyContext, DealingNonce, DealingSecret, Failure, Input, Membership, Output,
    Phase, Record, StartError, Transcript,
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    actor::now_ms,
    record::height_key,
    start::Engine,
    store::{Store, StoreError, Table, Write},
};

/// Where the journalled nonce of the own dealing is stored.
const NONCE: &[u8] = b"ceremony-nonce";
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
    /// A key was made without a share for this member.
    #[error("the ceremony made a key, but no share for this member: {0}")]
    NoShare(String),
    /// The key share couldn't be kept.
    #[error("the key share can't be stored: {0}")]
    Keep(std::io::Error),
}

/// Runs a ceremony to its end. `keep` stores the own key share durably, in the keystore; nothing
/// is confirmed before it returned.
///
/// # Errors
///
/// [`CeremonyError`].
pub async fn run<E, P, B, T, S>(
    mut context: E,
    setup: Setup,
    store: &Store,
    engine: &Engine<P, B, T, S>,
    mut keep: impl FnMut(&Membership) -> std::io::Result<()>,
) -> Result<Made, CeremonyError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = PublicKey> + Clone + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    T: Strategy,
    S: Sender<PublicKey = PublicKey>,
{
    let ceremony_context = setup.context.clone();
    let secret = || ConsensusSecret::from_seed(*setup.consensus_seed);
    let machine = match store.get(Table::Meta, NONCE)? {
        Some(bytes) => {
            let nonce = DealingNonce::from_bytes(&bytes)
                .map_err(|error| CeremonyError::Damaged(error.to_string()))?;
            Ceremony::resume(ceremony_context.clone(), secret(), setup.dealing, nonce)?
        }
        None => {
            let mut nonce = [0; 32];
            context.fill_bytes(&mut nonce);
            Ceremony::start(ceremony_context.clone(), secret(), setup.dealing, nonce)?
        }
    };
    let chain = CeremonyChain::new(ceremony_context.id());
    let keys = ceremony_context.definition().consensus_keys();
    let Some(first) = keys.first().copied() else {
        return Err(CeremonyError::Damaged("a definition without members".into()));
    };
    let (genesis, state) = chain.genesis(first)?;
    let mut run = Run { machine, chain: chain.clone(), store, membership: None, transcript: None };
    let outputs = run.machine.handle(now(&context), Input::Wake);
    run.carry_out(outputs, &mut keep)?;
    let state = run.replay(&context, state, &mut keep).await?;
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
        partition: setup.partition,
        timing: setup.timing,
    };
    let engine_context = context.child("ceremony");
    let mut running =
        consensus::start(engine_context, config, chain, genesis, state, &engine.network).await?;
    run.until_done(&context, &mut running, &mut keep).await?;
    match (run.membership, run.transcript) {
        (Some(membership), Some(transcript)) => Ok(Made { membership, transcript, chain: running }),
        _ => Err(CeremonyError::Damaged("complete without share or transcript".into())),
    }
}

struct Run<'a> {
    machine: Ceremony,
    chain: CeremonyChain,
    store: &'a Store,
    membership: Option<Membership>,
    transcript: Option<Box<Transcript>>,
}

type Keep<'a> = &'a mut dyn FnMut(&Membership) -> std::io::Result<()>;

impl Run<'_> {
    /// Applies the blocks that were stored before a restart.
    async fn replay(
        &mut self,
        clock: &impl Clock,
        mut state: CeremonyState,
        keep: Keep<'_>,
    ) -> Result<CeremonyState, CeremonyError> {
        let damaged = |error: &dyn std::fmt::Display| CeremonyError::Damaged(error.to_string());
        for (_, bytes) in self.store.range(Table::Ceremony, &[], usize::MAX)? {
            let block = Block::from_bytes(Bytes::from(bytes)).map_err(|error| damaged(&error))?;
            let executed = self.chain.execute(&state, &block).await;
            let executed = executed.map_err(|error| damaged(&error))?;
            state = executed.state;
            let (height, entries) = (block.header().height.get(), executed.output.to_vec());
            let outputs = self.machine.handle(now(clock), Input::Agreed { height, entries });
            self.carry_out(outputs, keep)?;
        }
        Ok(state)
    }

    async fn until_done(
        &mut self,
        clock: &impl Clock,
        running: &mut consensus::Running<CeremonyChain>,
        keep: Keep<'_>,
    ) -> Result<(), CeremonyError> {
        while self.transcript.is_none() || self.membership.is_none() {
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
                    self.store.commit(&[stored(height, block)])?;
                    let entries = delivered.executed.output.to_vec();
                    let input = Input::Agreed { height: height.get(), entries };
                    let outputs = self.machine.handle(now(clock), input);
                    self.carry_out(outputs, keep)?;
                    delivered.acknowledgement.acknowledge();
                }
                () = clock.sleep(wait) => {
                    let outputs = self.machine.handle(now(clock), Input::Wake);
                    self.carry_out(outputs, keep)?;
                }
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, outputs: Vec<Output>, keep: Keep<'_>) -> Result<(), CeremonyError> {
        for output in outputs {
            match output {
                Output::Persist(Record::Nonce(nonce)) => {
                    self.store.commit(&[Write::put(Table::Meta, NONCE, nonce.to_bytes())])?;
                }
                Output::Persist(Record::Membership(membership)) => {
                    keep(&membership).map_err(CeremonyError::Keep)?;
                    self.membership = Some(membership);
                }
                Output::Post(entry) => self.chain.submit(entry.encode())?,
                Output::Entered(phase) => info!(phase = phase_word(phase), "ceremony"),
                Output::NotAcknowledged { dealer, error } => {
                    warn!(%dealer, %error, "a dealing is not acknowledged");
                }
                Output::Refused(refusal) => warn!(?refusal, "an entry changes nothing"),
                Output::Blamed(blame) => warn!(?blame, "a member's provable fault"),
                Output::NoShare(error) => return Err(CeremonyError::NoShare(error.to_string())),
                Output::Complete(transcript) => self.transcript = Some(transcript),
                Output::Failed(failure) => return Err(CeremonyError::Failed(Box::new(failure))),
            }
        }
        Ok(())
    }
}

fn stored(height: Height, block: &Block) -> Write {
    Write::put(Table::Ceremony, height_key(height), block.bytes().to_vec())
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
pub async fn linger(mut chain: consensus::Running<CeremonyChain>, store: Store) {
    while let Some(delivered) = chain.finalized.recv().await {
        let block = &delivered.executed.block;
        if store.commit(&[stored(block.header().height, block)]).is_err() {
            return;
        }
        delivered.acknowledgement.acknowledge();
    }
}
