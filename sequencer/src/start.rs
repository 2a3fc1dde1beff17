//! Wires a sequencer and starts it.
//!
//! Order of a start: the database is read and checked, the pool verifies what it holds, final
//! heights that are not released are taken up again, the engine continues. Nothing is signed
//! before all of that has succeeded.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Strategy;
use commonware_runtime::{Clock, Handle as Task, Metrics, Spawner, Storage};
use fairveil_consensus::{
    self as consensus, ChainId, EngineError, Voting, balances,
    host::Host,
    network::{Network, Subchannel},
    order_chain::OrderChain,
    state::{BlockFault, Parameters},
};
use fairveil_crypto::{ConsensusPublicKey, Height};
use fairveil_mempool::{
    Pool,
    pool::{Funds, PoolConfig, RestoreError},
};
use fairveil_release::{
    chain::ReleaseChain,
    change::RegistryChange,
    release::Release,
    schedule::Schedule,
    states::{MemoryState, RollupStates},
};
use futures::{channel::oneshot, stream::FuturesUnordered};
use rand_core_10::CryptoRng;
use tracing::warn;

use crate::{
    abstention::Abstention,
    actor::{Actor, Closing, Missed, PeerChannels, Served, StopReason, engine_keys, pace::Pace},
    adversary::Adversary,
    behaviour::Behaviour,
    boundary,
    config::{Config, Secrets},
    executor::{Executor, Lane},
    handle::{Handle, MAX_CERTIFICATE_BYTES, decoded},
    logs::{KnownLogs, Requests},
    opening::Openings,
    outbox::Outbox,
    record::height_key,
    recovery::{Recovered, RecoveryError, recover},
    retention::Retention,
    rollups::{self, Rollups},
    seat::{Desk, Seat},
    shared::Shared,
    store::{Store, StoreError, Table},
};

/// What the engine needs from its surroundings.
pub struct Engine<P, B, T, S: Sender<PublicKey = PublicKey>> {
    /// Who is connected.
    pub peers: P,
    /// What happens to peers that provably cheat.
    pub blocker: B,
    /// Where the engine's heavy work runs.
    pub strategy: T,
    /// The engine's channels.
    pub network: Network<S>,
}

/// Why a sequencer didn't start. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be continued from.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pool can't be continued from.
    #[error(transparent)]
    Pool(#[from] RestoreError),
    /// The engine didn't start.
    #[error("consensus: {0}")]
    Engine(#[from] EngineError<BlockFault>),
    /// What is stored contradicts itself.
    #[error("the database is inconsistent: {0}")]
    Inconsistent(String),
    /// An adversary was asked for, and this build has none.
    #[error("this build has no adversaries: {0} needs the feature `adversaries`")]
    NoAdversaries(Behaviour),
}

/// How often a lingering engine looks whether the next epoch has a final block.
const LOOK: Duration = Duration::from_millis(500);
/// How long the engine of an epoch that has ended goes on once the next one has a final block, unless the
/// configuration says otherwise.
pub const LINGER: Duration = Duration::from_secs(60);

/// Counters that alarms watch: shown from the start, so that the first event is an increase.
const ALARMED: [&str; 6] =
    ["bad_shares", "equivocations", "failed", "missing_own_shares", "released", "unfunded"];

/// A running sequencer.
pub struct Running<S, R> {
    /// For everybody who wants something of it.
    pub handle: Handle,
    task: Task<()>,
    stopped: oneshot::Receiver<Stopped<S, R>>,
}

/// A sequencer that stopped.
pub struct Stopped<S, R> {
    /// Why.
    pub reason: StopReason,
    /// What the next epoch's sequencer is started with; none if its task was aborted.
    pub seat: Option<Seat<S, R>>,
}

impl<S, R> Running<S, R> {
    /// Waits until the sequencer stops. After [`StopReason::EpochEnded`] its engine lingers beside the
    /// next one ([`Config::linger`]).
    pub async fn stopped(self) -> Stopped<S, R> {
        let aborted = || StopReason::Inconsistent("the sequencer's task is gone".into());
        let gone = |_| Stopped { reason: aborted(), seat: None };
        self.stopped.await.unwrap_or_else(gone)
    }

    /// Stops it at once, as a crash would: everything durable stays.
    pub fn abort(&self) {
        self.task.abort();
    }
}

/// Starts a sequencer in the epoch in which its database stands ([`crate::boundary::position`]):
/// `config` and `secrets` are of that epoch.
///
/// # Errors
///
/// [`StartError`]; nothing was signed then.
pub async fn start<E, P, B, T, S, R>(
    context: E,
    config: Config,
    secrets: Secrets,
    store: Store,
    executor: Executor,
    engine: Engine<P, B, T, S>,
    seat: Seat<S, R>,
) -> Result<Running<S, R>, StartError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    T: Strategy,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    if config.behaviour != Behaviour::Honest && !cfg!(feature = "adversaries") {
        return Err(StartError::NoAdversaries(config.behaviour));
    }
    let (config, secrets) = (Arc::new(config), Arc::new(secrets));
    let now_ms = crate::actor::now_ms(&context);
    let abstention = Abstention::open(&store, config.restored, now_ms)?;
    let voting = abstention.as_ref().map_or(Voting::Votes, Abstention::voting);
    let abstention = abstention.and_then(Abstention::going_on);
    if let Some(abstention) = &abstention {
        warn!("{}", abstention.state());
    }
    let first = || first_releases(&config);
    let accounting = config.accounting.as_ref();
    let start = boundary::position(&store)?.map_or(Height::ZERO, |(_, start)| start);
    let recovered = recover(&store, parameters(&config, start), config.index, first, accounting)?;
    let Recovered { genesis, chain, mut releases, ledger, log, pool, .. } = recovered;
    let Recovered { facts, next_event, snapshot, .. } = recovered;
    releases.provide(config.genesis.clone());
    let first = Schedule::new(config.network_id, config.registry.clone());
    let rollups = Rollups::restored(&store, first.map_err(RecoveryError::Registry)?)?;
    let announced = unknown_changes(&store, &releases)?;
    for (height, anchor) in rollups::stored_anchors(&store, releases.next())? {
        releases.anchored(height, &[anchor]);
    }
    let shared = shared(&config, &store, &chain, &releases, facts)?;
    // Nobody votes for another round while one is open.
    if let Some(open) = chain.open_resharing().filter(|_| chain.handover().is_none()) {
        let ceremony = open.resharing.ceremony;
        shared
            .change(|contents| contents.renewing.under_way = Some((ceremony, Default::default())));
    }
    let consensus_config = consensus::Config {
        namespace: consensus::namespace(&config.network_id),
        epoch: config.committee.epoch(),
        subchannel: Subchannel::Epoch(config.committee.epoch()),
        members: chain.members().clone(),
        secret: secrets.consensus(),
        voting,
        peers: engine.peers,
        blocker: engine.blocker,
        strategy: engine.strategy.clone(),
        partition: config.partition.clone(),
        timing: config.timing,
    };
    let log_length = pool.log_length;
    let (pool, outputs) =
        Pool::restore(pool_config(&config), pool, now_ms, executor.pool(Lane::Admission))?;
    let rules = OrderChain::new(shared.clone(), engine.strategy);
    let keys = engine_keys(chain.members());
    let linger_of = config.linger;
    let mut running = consensus::start(
        context.child("consensus"),
        consensus_config,
        rules,
        genesis,
        chain.clone(),
        &engine.network,
    )
    .await?;
    let Seat { channels, desk } = seat;
    let PeerChannels { logs, bundles, shares } = channels;
    let desk = match desk {
        Some(desk) => desk.again(Arc::clone(&config), rollups.clone()),
        None => {
            let last_event = next_event.saturating_sub(1);
            Desk::new(Arc::clone(&config), store.clone(), rollups, last_event)
        }
    };
    let Desk { handle, mut calls, events } = desk;
    let rollups = handle.rollups.clone();
    let mut actor = Actor {
        context: context.child("actor"),
        signer: secrets.consensus(),
        keys,
        senders: [logs.0.clone(), bundles.0.clone(), shares.0.clone()],
        store: store.clone(),
        executor,
        shared,
        pool,
        log,
        entries: Vec::new(),
        published: 0,
        head_due: true,
        chain,
        snapshot,
        progress: running.progress.clone(),
        openings: Openings::new(
            config.index,
            config.committee.indices().filter(|index| *index != config.index).collect(),
            config.kept_share_heights,
            releases,
            rollups.clone(),
            Arc::clone(&secrets),
            Arc::clone(&config.views),
        ),
        ledger,
        rollups: rollups.clone(),
        served: Served::default(),
        requests: Requests::default(),
        places: BTreeMap::new(),
        certified: certified(&store)?,
        outbox: Outbox::default(),
        jobs: FuturesUnordered::new(),
        replies: BTreeMap::new(),
        next_request: 0,
        next_event,
        events: events.clone(),
        connected: vec![false; usize::from(config.committee.n())],
        overview: Arc::clone(&handle.overview),
        pace: Pace::default(),
        counters: ALARMED.map(|counter| (counter, 0)).into(),
        adversary: Adversary::new(
            config.behaviour,
            config.index,
            config.committee.n().into(),
            log_length,
            now_ms,
        ),
        abstention,
        retention: Retention::open(&store, config.retention_heights)?,
        ticks: 0,
        renewal: None,
        closing: Closing::Open,
        told_end: false,
        missed: Missed::default(),
        kept: None,
        feed: Default::default(),
        config,
        secrets,
    };
    announced.into_iter().for_each(|change| actor.openings.announced(change));
    let resumed = actor.resume(outputs);
    resumed.map_err(|reason| StartError::Inconsistent(reason.to_string()))?;
    let (own_handle, lasts) = (handle.clone(), linger_of);
    let (sender, stopped) = oneshot::channel();
    let task = context.spawn(move |context| async move {
        let mut receivers = [logs.1, bundles.1, shares.1];
        let reason = actor.run(&mut receivers, &mut calls, &mut running.finalized).await;
        drop(actor);
        let [logs_in, bundles_in, shares_in] = receivers;
        let channels = PeerChannels {
            logs: (logs.0, logs_in),
            bundles: (bundles.0, bundles_in),
            shares: (shares.0, shares_in),
        };
        let desk = Desk { handle: handle.clone(), calls, events };
        let seat = Some(Seat { channels, desk: Some(desk) });
        match reason {
            StopReason::EpochEnded(handover, end) => {
                let next = handover.epoch.get();
                let reason = StopReason::EpochEnded(handover, end);
                // Whoever waits for it may have gone.
                let _ = sender.send(Stopped { reason, seat });
                let has_block = || {
                    let overview = handle.overview();
                    overview.epoch >= next && overview.height > end.get()
                };
                linger(&context, running, lasts, has_block).await;
            }
            reason => {
                let reason = ended(running, reason).await;
                let _ = sender.send(Stopped { reason, seat });
            }
        }
    });
    Ok(Running { handle: own_handle, task, stopped })
}

/// Stops an engine whose sequencer stopped; why it did, if it was the engine.
async fn ended<H: Host, T: Strategy>(
    mut running: consensus::Running<OrderChain<H, T>>,
    reason: StopReason,
) -> StopReason {
    if !matches!(reason, StopReason::Engine(_)) {
        running.stop().await;
        return reason;
    }
    match running.ended().await {
        Err(error) => StopReason::Engine(error),
        Ok(()) => reason,
    }
}

/// Keeps the engine of an epoch that has ended going for those who have not seen the end: so long after
/// the next epoch has a final block here, for which a quorum has seen it. What it delivers comes after
/// the end and is nothing.
async fn linger<H: Host, T: Strategy>(
    clock: &impl Clock,
    mut running: consensus::Running<OrderChain<H, T>>,
    lasts: Duration,
    has_next_block: impl Fn() -> bool,
) {
    let mut until = Box::pin(async {
        while !has_next_block() {
            clock.sleep(LOOK).await;
        }
        clock.sleep(lasts).await;
    });
    loop {
        tokio::select! {
            biased;
            () = &mut until => break,
            block = running.finalized.recv() => match block {
                Some(block) => block.acknowledgement.acknowledge(),
                None => break,
            },
        }
    }
    running.stop().await;
}

fn parameters(config: &Config, start: Height) -> Parameters {
    let epoch = config.committee.epoch();
    Parameters {
        id: ChainId { network_id: config.network_id, epoch, start },
        keys: config.committee.consensus_keys().to_vec(),
        committee: config.fairness,
        mode: config.mode,
        active_keys: vec![config.committee.key_id()],
        transcript: config.transcript,
        accounting: config.accounting.as_ref().map(|accounting| balances::Accounting {
            fee_per_byte: accounting.fee_per_byte,
            deposits: Arc::clone(&accounting.deposits),
        }),
        registry: config.registry.clone(),
    }
}

/// The chain of releases of a network that begins: documents of rollups that may join later are not
/// for it.
fn first_releases(config: &Config) -> Result<ReleaseChain, RecoveryError> {
    let registry = &config.registry;
    let simulated = |chain_id: &u64| {
        registry.rollup(*chain_id).is_some_and(|rollup| rollup.embedded().is_some())
    };
    let genesis = config.genesis.iter().filter(|(chain_id, _)| simulated(chain_id));
    let genesis: BTreeMap<u64, MemoryState> =
        genesis.map(|(chain_id, state)| (*chain_id, state.clone())).collect();
    let states = RollupStates::new(registry, genesis)?;
    Ok(ReleaseChain::new(config.network_id, registry.clone(), states)?)
}

/// Changes of the rollups that final blocks announced after the last one that releases know of.
fn unknown_changes(
    store: &Store,
    releases: &ReleaseChain,
) -> Result<Vec<RegistryChange>, StoreError> {
    let next = releases.schedule().next_number();
    let changes = rollups::stored(store)?.into_iter().map(|(_, change)| change);
    Ok(changes.filter(|change| change.number >= next).collect())
}

fn pool_config(config: &Config) -> PoolConfig {
    PoolConfig {
        network_id: config.network_id,
        epoch: config.committee.epoch(),
        sequencer: config.index,
        members: config.committee.n(),
        key: config.committee.key().clone(),
        older_key: None,
        limits: config.limits.clone(),
        funds: config.accounting.as_ref().map(|accounting| Funds {
            fee_per_byte: accounting.fee_per_byte,
            deposits: Arc::clone(&accounting.deposits),
        }),
    }
}

fn shared(
    config: &Config,
    store: &Store,
    chain: &consensus::state::ChainState,
    releases: &ReleaseChain,
    facts: BTreeMap<fairveil_crypto::BundleId, consensus::host::BundleFacts>,
) -> Result<Shared, StartError> {
    let keys: Vec<ConsensusPublicKey> = config.committee.consensus_keys().to_vec();
    let logs = KnownLogs::new(config.network_id, config.committee.epoch(), keys);
    let views = Arc::clone(&config.views);
    let resharings = Arc::clone(&config.resharings);
    let shared = Shared::new(logs, config.index, config.behaviour, views, resharings);
    let mut roots = BTreeMap::new();
    let mut height = chain.released();
    while height < releases.next() {
        if let Some(bytes) = store.get(Table::Releases, &height_key(height))? {
            let release = Release::decode(&bytes).map_err(|error| StoreError::Damaged {
                table: Table::Releases,
                why: error.to_string(),
            })?;
            roots.insert(height, release.header.root());
        }
        height = height.next();
    }
    shared.change(|contents| {
        contents.facts = facts;
        contents.roots = roots;
    });
    Ok(shared)
}

/// Roots that final blocks certify, of recent heights.
fn certified(store: &Store) -> Result<BTreeMap<Height, fairveil_crypto::Digest>, StoreError> {
    let mut roots = BTreeMap::new();
    let Some((last, _)) = store.last(Table::Certified)? else { return Ok(roots) };
    let last = last.try_into().map(u64::from_be_bytes).unwrap_or(0);
    let from = last.saturating_sub(1_024).to_be_bytes();
    for (_, bytes) in store.range(Table::Certified, &from, usize::MAX)? {
        let certificate: fairveil_release::certificate::ReleaseCertificate =
            decoded(Table::Certified, &bytes, MAX_CERTIFICATE_BYTES)?;
        roots.extend(certificate.releases.iter().map(|listed| (listed.height, listed.root)));
    }
    Ok(roots)
}
