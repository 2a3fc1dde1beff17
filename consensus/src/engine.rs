//! Wires commonware's simplex, marshal, buffered broadcast and resolver around one chain.
//!
//! ```text
//! blocks ── broadcast::buffered ─┐                       ┌─ Chain (order_chain, ceremony)
//! backfill ── resolver::p2p ─────┤ marshal ─ Application ┤
//! votes, certificates, resolver ─┤    │       (Inline)   └─ Speculation
//!                        simplex ┘    └─ delivery ─ Finalized ─ sequencer
//! ```
//!
//! # Invariants
//!
//! 1. Everything runs below one task: stopping the engine, or any part of it ending, ends all of
//!    it, and what was written stays.
//! 2. Partitions begin with the configured prefix and the epoch, so no two engines share a
//!    journal.
//! 3. A restart continues from the sequencer's last committed state; what the engine finalized
//!    since is delivered again.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};

use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::Actor;
use commonware_consensus::marshal::resolver::p2p as backfill;
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex;
use commonware_consensus::simplex::config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::types::{Activity, Context, Finalization};
use commonware_consensus::types::{Epoch as EngineEpoch, ViewDelta};
use commonware_consensus::{CertifiableAutomaton, Relay, Reporter, Reporters};
use commonware_cryptography::certificate::{ConstantProvider, Verifier as _};
use commonware_cryptography::{Digested, Digestible as _, Sha256};
use commonware_macros::select;
use commonware_p2p::{Blocker, Provider, Sender};
use commonware_parallel::Strategy;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_storage::archive::{self, Archive, Identifier, immutable};
use commonware_utils::channel::mpsc;
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize, NonZeroDuration};
use fairveil_crypto::{ConsensusSecret, Epoch, View};
use rand_core_10::CryptoRng;
use tracing::info;

use crate::application::{Application, automaton};
use crate::block::{Block, Digest};
use crate::chain::Chain;
use crate::committee::{CommitteeError, EpochBounds, Members, PublicKey, Scheme, own_key};
use crate::delivery::{self, DeliveryError, Finalized, Progress, Updates};
use crate::equivocation::{self, ConflictReporter};
use crate::network::{Network, Subchannel, SubchannelError, Subchannels};
use crate::speculation::Speculation;
use crate::timing::{Timing, TimingError};

/// Messages waiting inside the engine's actors.
const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Blocks kept per member before they are final.
const BUFFERED_BLOCKS: usize = 16;
/// Views behind the last final one whose votes are kept.
const RETAINED_VIEWS: u64 = 64;
/// Missing heights fetched at a time.
const MAX_REPAIR: NonZeroUsize = NZUsize!(32);
/// Final blocks delivered ahead of their acknowledgement.
pub const MAX_UNACKNOWLEDGED: NonZeroUsize = NZUsize!(16);
/// Bytes of a page of the page cache, and its pages: 16 MiB.
const PAGE_BYTES: NonZeroU16 = NZU16!(4096);
const PAGES: NonZeroUsize = NZUsize!(4096);
/// Bytes buffered before a write. Every file allocates them again after each flush: a vote's worth
/// of buffer, and larger writes go past it.
const WRITE_BUFFER: NonZeroUsize = NZUsize!(1 << 16);
/// Bytes read at once while replaying.
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
/// Items per section of prunable caches and of archives.
const CACHE_SECTION: NonZeroU64 = NZU64!(64);
const ARCHIVE_SECTION: NonZeroU64 = NZU64!(4096);
/// Slots of an archive's table at first.
const TABLE_SIZE: NonZeroU32 = NZU32!(4096);
/// Bytes of a section of an archive's values.
const VALUE_SECTION_BYTES: u64 = 64 << 20;

/// What an engine needs besides its chain and its channels.
pub struct Config<P, B, T> {
    /// The base of the namespace under which votes are signed: of the network, or of a round of a
    /// ceremony.
    pub namespace: Vec<u8>,
    /// The epoch that the votes name.
    pub epoch: Epoch,
    /// Which messages are ours.
    pub subchannel: Subchannel,
    /// All members.
    pub members: Members,
    /// This sequencer's key.
    pub secret: ConsensusSecret,
    /// Whether it signs votes.
    pub voting: Voting,
    /// Who is connected.
    pub peers: P,
    /// What happens to peers that provably cheat.
    pub blocker: B,
    /// Where heavy work runs.
    pub strategy: T,
    /// Prefix of everything in storage.
    pub partition: String,
    /// Durations.
    pub timing: Timing,
}

/// Whether an engine signs votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voting {
    /// As every member does.
    #[default]
    Votes,
    /// Never: it executes, stores and delivers what the others finalize, over a journal of its own. (The
    /// engine does not read its own votes back as somebody who can't sign.)
    Follows,
    /// In views above the newest finalization that is stored, which is of this view or a later one:
    /// the journal is older than what this member has signed.
    VotesAbove(View),
}

/// Why an engine did not start or ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError<F: std::error::Error + 'static> {
    /// The durations contradict each other.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// This sequencer is not a member.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The channels are in use.
    #[error(transparent)]
    Subchannel(#[from] SubchannelError),
    /// Storage failed.
    #[error("consensus storage: {0}")]
    Storage(#[from] archive::Error),
    /// The stored finalizations end before the view above which this member may vote.
    #[error(
        "the newest stored finalization is of view {actual}, this member votes above {expected}"
    )]
    Floor {
        /// The view of the newest one.
        actual: View,
        /// What is needed.
        expected: View,
    },
    /// Final blocks can't be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError<F>),
    /// A part of the engine ended, which it does when storage fails or an acknowledgement is lost.
    #[error("the engine's {part} ended")]
    Ended {
        /// Which part.
        part: &'static str,
    },
}

/// A running engine.
pub struct Running<C: Chain> {
    /// Final blocks, in order.
    pub finalized: mpsc::Receiver<Finalized<C>>,
    /// How far the engine sees.
    pub progress: Progress,
    handle: Handle<Result<(), EngineError<C::Fault>>>,
}

impl<C: Chain> Running<C> {
    /// Why the engine ended; pending while it runs.
    pub async fn ended(&mut self) -> Result<(), EngineError<C::Fault>> {
        match (&mut self.handle).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::Ended { part: "task" }),
        }
    }

    /// Stops the engine; what it stored stays.
    pub async fn stop(self) {
        self.handle.abort();
        let _ = self.handle.await;
    }
}

/// Starts the engine for `chain`, whose last committed block left `state`.
///
/// `genesis` is the block that the epoch begins with, on which all members agree; the engine counts
/// heights from there.
///
/// # Errors
///
/// If the configuration is impossible. Later failures end the engine: [`Running::ended`].
pub async fn start<E, C, P, B, T, S>(
    context: E,
    config: Config<P, B, T>,
    chain: C,
    genesis: Block,
    state: C::State,
    network: &Network<S>,
) -> Result<Running<C>, EngineError<C::Fault>>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    C: Chain,
    P: Provider<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    T: Strategy,
    S: Sender<PublicKey = PublicKey>,
{
    config.timing.check()?;
    let scheme = match config.voting {
        Voting::Votes | Voting::VotesAbove(_) => {
            config.members.signer(&config.namespace, &config.secret)?
        }
        Voting::Follows => config.members.follower(&config.namespace, &config.secret)?,
    };
    let channels = network.subchannels(config.subchannel).await?;
    let progress = Progress::new(C::tip(&state).height);
    let (sender, finalized) = mpsc::channel(MAX_UNACKNOWLEDGED.get());
    let parts = Parts { config, scheme, chain, genesis, state, progress: progress.clone(), sender };
    let handle = context.spawn(move |context| parts.run(context, channels));
    Ok(Running { finalized, progress, handle })
}

struct Parts<C: Chain, P, B, T> {
    config: Config<P, B, T>,
    scheme: Scheme,
    chain: C,
    genesis: Block,
    state: C::State,
    progress: Progress,
    sender: mpsc::Sender<Finalized<C>>,
}

impl<C, P, B, T> Parts<C, P, B, T>
where
    C: Chain,
    P: Provider<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    T: Strategy,
{
    async fn run<E, S>(
        self,
        context: E,
        channels: Subchannels<S>,
    ) -> Result<(), EngineError<C::Fault>>
    where
        E: Clock + CryptoRng + Spawner + Storage + Metrics,
        S: Sender<PublicKey = PublicKey>,
    {
        let pages = CacheRef::new(PAGE_BYTES, PAGES);
        let own_key = own_key(&self.config.secret);
        let epochs = EpochBounds::open(self.config.epoch);

        let (broadcast, buffer) =
            buffered::Engine::new(context.child("broadcast"), self.buffered(own_key.clone()));
        let broadcast = broadcast.start(channels.blocks);
        let resolver =
            backfill::init(context.child("backfill"), self.backfill(own_key), channels.backfill);

        let certificates =
            self.archive("finalizations", &pages, self.scheme.certificate_codec_config());
        let certificates = immutable::Archive::init(context.child("finalizations"), certificates);
        let blocks = self.archive("blocks", &pages, ());
        let blocks = immutable::Archive::init(context.child("blocks"), blocks);
        let marshal = self.marshal(epochs, &pages);
        let certificates = certificates.await?;
        let begin = self.floor(&certificates).await?;
        let (actor, marshal, floor) =
            Actor::init(context.child("marshal"), certificates, blocks.await?, marshal).await;
        info!(processed = ?floor.processed(), epoch = self.config.epoch.get(), "engine starts");

        let speculation = Speculation::new(self.state.clone(), self.progress.clone());
        let (updates, received) = mpsc::unbounded_channel();
        let start = self.genesis.header().height;
        let updates = Updates { progress: self.progress.clone(), start, blocks: updates };
        let actor = actor.start(updates, buffer, resolver);
        let (chain, states, store) = (self.chain.clone(), speculation.clone(), marshal.clone());
        let sender = self.sender.clone();
        let delivery = context
            .child("delivery")
            .spawn(move |context| delivery::run(context, chain, states, store, received, sender));

        let application = Application::new(self.chain.clone(), speculation, self.config.timing);
        let automaton = automaton(context.child("application"), application, marshal, epochs);
        let (conflicts, found) = ConflictReporter::new(self.progress.clone());
        let (chain, members) = (self.chain.clone(), self.config.members.clone());
        let (namespace, epoch) = (self.config.namespace.clone(), self.config.epoch);
        let evidence = context
            .child("evidence")
            .spawn(move |_| equivocation::forward(chain, members, namespace, epoch, found));
        let reporter = Reporters::from((automaton.clone(), conflicts));
        let engine = self.simplex(automaton, reporter, pages, begin);
        let engine = simplex::Engine::new(context.child("simplex"), engine);
        let engine = engine.start(channels.votes, channels.certificates, channels.resolver);

        select! {
            result = delivery => {
                result.map_err(|_| EngineError::Ended { part: "delivery" })??;
                Err(EngineError::Ended { part: "delivery" })
            },
            _ = engine => Err(EngineError::Ended { part: "simplex" }),
            _ = actor => Err(EngineError::Ended { part: "marshal" }),
            _ = broadcast => Err(EngineError::Ended { part: "broadcast" }),
            _ = evidence => Err(EngineError::Ended { part: "evidence" }),
        }
    }
}

impl<C: Chain, P, B, T> Parts<C, P, B, T>
where
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
    T: Strategy,
{
    fn simplex<A, F>(
        &self,
        automaton: A,
        reporter: F,
        page_cache: CacheRef,
        floor: Floor<Scheme, Digest>,
    ) -> simplex::config::Config<Scheme, RoundRobin<Sha256>, B, Digest, A, A, F, T>
    where
        A: CertifiableAutomaton<Context = Context<Digest, PublicKey>> + Relay,
        F: Reporter<Activity = Activity<Scheme, Digest>>,
    {
        let timing = self.config.timing;
        simplex::config::Config {
            scheme: self.scheme.clone(),
            elector: RoundRobin::default(),
            blocker: self.config.blocker.clone(),
            automaton: automaton.clone(),
            relay: automaton,
            reporter,
            // Without it a second vote after the certificate would convict nobody.
            track_historical_votes: true,
            strategy: self.config.strategy.clone(),
            partition: match self.config.voting {
                Voting::Follows => format!("{}-follows", self.partition()),
                _ => format!("{}-simplex", self.partition()),
            },
            mailbox_size: MAILBOX,
            epoch: EngineEpoch::new(self.config.epoch.get()),
            // After a restart the journal knows better.
            floor,
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache,
            leader_timeout: timing.leader_timeout,
            certification_timeout: timing.certification_timeout,
            timeout_retry: timing.retry_interval,
            view_retention: ViewDelta::new(RETAINED_VIEWS),
            skip: SkipPolicy::Enabled {
                timeout: timing.skip_timeout,
                budget: SkipBudget::Participants,
            },
            fetch_timeout: nonzero(timing.fetch_timeout),
            fetch_retry_delay: timing.fetch_retry,
            forward: ForwardPolicy::SilentLeader,
        }
    }

    /// Where the engine begins.
    async fn floor<A>(&self, stored: &A) -> Result<Floor<Scheme, Digest>, EngineError<C::Fault>>
    where
        A: Archive<Key = Digest, Value = Finalization<Scheme, Digest>>,
    {
        let genesis = Floor::Genesis(self.genesis.digest());
        if self.config.voting == Voting::Votes {
            return Ok(genesis);
        }
        let newest = match stored.last_index() {
            Some(height) => stored.get(Identifier::Index(height)).await?,
            None => None,
        };
        let view = newest.as_ref().map_or(0, |found| found.proposal.round.view().get());
        if let Voting::VotesAbove(expected) = self.config.voting
            && view < expected.get()
        {
            return Err(EngineError::Floor { actual: View::new(view), expected });
        }
        Ok(newest.map_or(genesis, Floor::Finalized))
    }

    fn buffered(&self, own_key: PublicKey) -> buffered::Config<PublicKey, (), P, T> {
        buffered::Config {
            public_key: own_key,
            mailbox_size: MAILBOX,
            deque_size: BUFFERED_BLOCKS,
            priority: true,
            codec_config: (),
            peer_provider: self.config.peers.clone(),
            strategy: self.config.strategy.clone(),
        }
    }

    fn backfill(&self, own_key: PublicKey) -> backfill::Config<PublicKey, P, B> {
        backfill::Config {
            public_key: own_key,
            peer_provider: self.config.peers.clone(),
            blocker: self.config.blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: nonzero(self.config.timing.fetch_timeout),
            fetch_retry_delay: self.config.timing.fetch_retry,
            priority_requests: false,
            priority_responses: false,
        }
    }

    fn marshal(
        &self,
        epochs: EpochBounds,
        pages: &CacheRef,
    ) -> marshal::Config<
        ConstantProvider<Scheme, EngineEpoch>,
        EpochBounds,
        T,
        Block,
        Digested<Block>,
    > {
        let digest = self.genesis.digest();
        let genesis = Digested::precomputed(self.genesis.clone(), digest);
        marshal::Config {
            provider: ConstantProvider::new(self.scheme.clone()),
            epocher: epochs,
            start: Start::Genesis(genesis),
            partition_prefix: format!("{}-marshal", self.partition()),
            mailbox_size: MAILBOX,
            view_retention: ViewDelta::new(RETAINED_VIEWS),
            prunable_items_per_section: CACHE_SECTION,
            page_cache: pages.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: (),
            max_repair: MAX_REPAIR,
            max_pending_acks: MAX_UNACKNOWLEDGED,
            strategy: self.config.strategy.clone(),
        }
    }

    /// The prefix of everything that this engine stores: no two epochs share a file.
    fn partition(&self) -> String {
        format!("{}-{}", self.config.partition, self.config.epoch)
    }

    fn archive<V>(&self, name: &str, pages: &CacheRef, codec_config: V) -> immutable::Config<V> {
        let partition = |part: &str| format!("{}-{name}-{part}", self.partition());
        immutable::Config {
            metadata_partition: partition("metadata"),
            freezer_table_partition: partition("table"),
            freezer_table_initial_size: TABLE_SIZE.get(),
            freezer_table_resize_frequency: 4,
            freezer_table_resize_chunk_size: 1024,
            freezer_key_partition: partition("keys"),
            freezer_key_page_cache: pages.clone(),
            freezer_value_partition: partition("values"),
            freezer_value_target_size: VALUE_SECTION_BYTES,
            freezer_value_compression: None,
            ordinal_partition: partition("ordinal"),
            items_per_section: ARCHIVE_SECTION,
            codec_config,
            replay_buffer: REPLAY_BUFFER,
            freezer_key_write_buffer: WRITE_BUFFER,
            freezer_value_write_buffer: WRITE_BUFFER,
            ordinal_write_buffer: WRITE_BUFFER,
        }
    }
}

/// Durations that are zero were refused by `Timing::check`.
fn nonzero(duration: std::time::Duration) -> NonZeroDuration {
    NonZeroDuration::new_panic(duration)
}
