//! The sequencer's task: one loop over everything that can happen.
//!
//! ```text
//! traders ── calls ──┐                          ┌── replies, after the commit
//! peers ── bundles ──┤                          ├── messages to peers
//!          logs ─────┼──> Actor::handle ──> ────┼── writes ──> transaction ──> effects
//!          shares ───┤      pool, log, opening  └── jobs ──> pools of threads
//! engine ── final ───┘
//! ```
//!
//! # Invariants
//!
//! 1. Nothing that is promised to anybody leaves before it is durable ([`crate::outbox`]).
//! 2. A final block is acknowledged to the engine in the transaction after which all that follows
//!    from it is durable.
//! 3. The task never blocks: proofs, combining and transactions run elsewhere.
//! 4. When the epoch has ended and everything is released, nothing more is taken, what is under way is
//!    brought to its end, and the end is written; then the task stops.
//! 5. All inputs are bounded; what doesn't fit is refused or dropped by its own queue.

mod abstention;
mod admission;
mod adoption;
mod attack;
mod ending;
mod feed;
mod finality;
mod injection;
mod ledger;
mod logs;
mod opening;
pub(crate) mod pace;
mod resume;
mod sending;
mod status;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Sender};
use commonware_runtime::{Clock, Metrics, Spawner};
use commonware_utils::channel::mpsc as engine_channel;
use fairveil_consensus::{
    Finalized, Handover, Members, engine::EngineError, order_chain::OrderChain,
};
use fairveil_consensus::{
    delivery::Progress,
    state::{BlockFault, ChainState},
};
use fairveil_crypto::{BundleId, ConsensusSecret, Digest, Height, SequencerIndex};
use fairveil_mempool::{
    Pool, Receipt, Rejection,
    pool::{Input, LogEntry, RequestId, VerificationResult},
};
use fairveil_ordering::OrderLog;
use fairveil_release::boundary::BoundaryRoot;
use fairveil_release::ledger::Ledger;
use fairveil_release::states::StatesError;
use futures::{
    FutureExt, StreamExt, channel::oneshot, future::BoxFuture, stream::FuturesUnordered,
};
use rand_core_10::CryptoRng;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::{
    abstention::{Abstention, OtherInstance},
    adversary::Adversary,
    boundary::BoundaryError,
    config::{Config, Secrets},
    executor::{Executor, JobLost},
    handle::{Call, Overview},
    logs::Requests,
    opening::{OpeningDone, Openings},
    outbox::{Effect, Outbox},
    record::Place,
    renewal::Renewal,
    retention::Retention,
    rollups::Rollups,
    shared::Shared,
    store::{Store, StoreError},
};

/// How often the log is published and timers are looked at.
const TICK: Duration = Duration::from_millis(25);
/// Ticks between two looks at who is connected, and between heartbeats of an idle chain.
const SLOW_TICKS: u64 = 10;

pub(crate) use adoption::Served;
pub(crate) use ending::JOURNAL;
pub(crate) use ending::{Kept, Missed};
pub(crate) use feed::NEWEST;

/// The channels of a sequencer beside the engine's.
pub struct PeerChannels<S, R> {
    /// Order logs.
    pub logs: (S, R),
    /// Bundles.
    pub bundles: (S, R),
    /// Decryption shares.
    pub shares: (S, R),
}

/// Why a running sequencer stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopReason {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The consensus ended.
    #[error("consensus: {0}")]
    Engine(#[from] EngineError<BlockFault>),
    /// A heavy job was lost.
    #[error(transparent)]
    Job(#[from] JobLost),
    /// A channel to the peers is closed.
    #[error("channel {channel:?} is closed")]
    Channel {
        /// Which one.
        channel: Lane,
    },
    /// The epoch has ended, and the database stands at the beginning of the next one.
    #[error("epoch {} begins at height {}", .0.epoch, .1)]
    EpochEnded(Box<Handover>, Height),
    /// An epoch has begun without this sequencer, says one honest member at least: it takes its
    /// beginning from the others ([`crate::sync`]).
    #[error("epoch {} began without this sequencer at height {}", .0.epoch, .0.start)]
    Missed(BoundaryRoot),
    /// All handles are gone.
    #[error("nobody holds a handle any more")]
    Unused,
    /// A rollup joins, and its genesis document is not here: started again with it, the sequencer
    /// goes on at that height.
    #[error(
        "height {height} can't be released: {why}; put the rollup's genesis document into the folder \
         `genesis` and start again"
    )]
    Genesis {
        /// The height at which the rollup joins.
        height: Height,
        /// What is missing.
        why: StatesError,
    },
    /// A share or transcript of the next epoch can't be kept.
    #[error("what the resharing made can't be kept: {0}")]
    Custody(String),
    /// It was restored from a backup, and the network is beyond everything that the original signed:
    /// started again, it signs.
    #[error("the abstention after the restore is over")]
    AbstentionOver,
    /// It was restored from a backup, and must not go on.
    #[error(transparent)]
    OtherInstance(#[from] OtherInstance),
    /// What is final contradicts what this sequencer knows: more members cheat than are tolerated,
    /// or its database is damaged.
    #[error("inconsistent: {0}")]
    Inconsistent(String),
}

/// A sequencer's own channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Order logs.
    Logs,
    /// Bundles.
    Bundles,
    /// Decryption shares.
    Shares,
}

/// A heavy job's result, back in the task.
pub(crate) enum Done {
    Verified(VerificationResult),
    Prepared,
    Opening(Box<OpeningDone>),
    Committed(Vec<Effect>, Result<(), StoreError>),
    Boundary(Result<(), BoundaryError>),
}

type Job = BoxFuture<'static, Result<Done, JobLost>>;

/// What the consensus of this sequencer delivers.
pub(crate) type Delivered<T> = Finalized<OrderChain<Shared, T>>;

pub(crate) struct Actor<E, S> {
    pub(crate) context: E,
    pub(crate) config: Arc<Config>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) signer: ConsensusSecret,
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) senders: [S; 3],
    pub(crate) store: Store,
    pub(crate) executor: Executor,
    pub(crate) shared: Shared,
    pub(crate) pool: Pool,
    pub(crate) log: OrderLog,
    /// Entries that wait for the transaction that makes them durable.
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) published: u64,
    pub(crate) head_due: bool,
    pub(crate) chain: ChainState,
    pub(crate) snapshot: Height,
    pub(crate) progress: Progress,
    pub(crate) rollups: Rollups,
    pub(crate) openings: Openings,
    /// None if nothing is charged.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) served: Served,
    pub(crate) requests: Requests,
    /// Final places whose bundles have not ended yet.
    pub(crate) places: BTreeMap<BundleId, Place>,
    /// Release roots that final blocks list.
    pub(crate) certified: BTreeMap<Height, Digest>,
    pub(crate) outbox: Outbox,
    pub(crate) jobs: FuturesUnordered<Job>,
    pub(crate) replies: BTreeMap<RequestId, oneshot::Sender<Result<Receipt, Rejection>>>,
    pub(crate) next_request: u64,
    pub(crate) next_event: u64,
    pub(crate) events: watch::Sender<u64>,
    pub(crate) connected: Vec<bool>,
    pub(crate) overview: Arc<Mutex<Overview>>,
    pub(crate) pace: pace::Pace,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) adversary: Adversary,
    /// Some: it was restored, and signs nothing.
    pub(crate) abstention: Option<Abstention>,
    pub(crate) retention: Retention,
    pub(crate) ticks: u64,
    pub(crate) renewal: Option<Box<dyn Renewal>>,
    pub(crate) closing: Closing,
    /// Whether the end is on its way through the outbox.
    pub(crate) told_end: bool,
    pub(crate) missed: Missed,
    pub(crate) kept: Option<Kept>,
    pub(crate) feed: feed::Feed,
}

/// How far the sequencer is with ending its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The epoch goes on, or what it ordered is not released here yet.
    Open,
    /// All is released: what is under way is brought to its end, nothing else is taken.
    Finishing,
    /// The end is being written.
    Writing,
    /// It is written.
    Written,
}

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Runs until something fails or nobody holds a handle.
    pub(crate) async fn run<R, T>(
        &mut self,
        receivers: &mut [R; 3],
        calls: &mut mpsc::Receiver<Call>,
        finalized: &mut engine_channel::Receiver<Delivered<T>>,
    ) -> StopReason
    where
        R: Receiver<PublicKey = PublicKey>,
        T: commonware_parallel::Strategy,
    {
        let [logs, bundles, shares] = receivers;
        let mut wanted = self.shared.wanted();
        let mut tick = Box::pin(self.context.sleep(TICK));
        loop {
            if let Some(reason) = self.closed() {
                return reason;
            }
            let open = self.closing == Closing::Open;
            let ordering = open && !self.chain.has_ended();
            let step = tokio::select! {
                biased;
                block = finalized.recv(), if ordering => match block {
                    Some(block) => self.finalized(block),
                    None => return StopReason::Engine(EngineError::Ended { part: "delivery" }),
                },
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
                message = shares.recv(), if open => match message {
                    Ok((peer, bytes)) => self.received(Lane::Shares, &peer, bytes.as_ref()),
                    Err(_) => return StopReason::Channel { channel: Lane::Shares },
                },
                message = logs.recv(), if open => match message {
                    Ok((peer, bytes)) => self.received(Lane::Logs, &peer, bytes.as_ref()),
                    Err(_) => return StopReason::Channel { channel: Lane::Logs },
                },
                Ok(()) = wanted.changed(), if open => self.wanted(),
                () = &mut tick => {
                    tick = Box::pin(self.context.sleep(TICK));
                    if open { self.tick() } else { Ok(()) }
                }
                message = bundles.recv(), if open => match message {
                    Ok((peer, bytes)) => self.received(Lane::Bundles, &peer, bytes.as_ref()),
                    Err(_) => return StopReason::Channel { channel: Lane::Bundles },
                },
                call = calls.recv(), if open => match call {
                    Some(call) => self.call(call),
                    None => return StopReason::Unused,
                },
            };
            let step = step.and_then(|()| self.flush());
            let step = step.and_then(|()| self.close());
            if let Err(reason) = step {
                match reason {
                    StopReason::AbstentionOver => info!("{reason}"),
                    StopReason::Missed(_) => warn!("{reason}"),
                    _ => error!(%reason, "the sequencer stops"),
                }
                return reason;
            }
        }
    }

    /// Milliseconds since 1970 on this machine's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        now_ms(&self.context)
    }

    pub(crate) fn count(&mut self, counter: &'static str, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    /// Starts a heavy job.
    pub(crate) fn start(
        &mut self,
        job: impl Future<Output = Result<Done, JobLost>> + Send + 'static,
    ) {
        self.jobs.push(job.boxed());
    }

    fn received(&mut self, lane: Lane, peer: &PublicKey, bytes: &[u8]) -> Result<(), StopReason> {
        let Some(position) = self.keys.iter().position(|key| key == peer) else {
            return self.guest_message(lane, peer, bytes);
        };
        let Some(peer) = SequencerIndex::from_position(position) else { return Ok(()) };
        match lane {
            Lane::Logs => self.log_message(peer, bytes),
            Lane::Bundles => self.bundle_message(peer, bytes),
            Lane::Shares => self.share_message(peer, bytes),
        }
    }

    fn done(&mut self, done: Result<Done, JobLost>) -> Result<(), StopReason> {
        match done? {
            Done::Verified(result) => self.admit(Input::Verified(result)),
            Done::Prepared => Ok(()),
            Done::Opening(done) => self.opening_done(*done),
            Done::Committed(effects, result) => {
                result?;
                self.outbox.done();
                effects.into_iter().try_for_each(|effect| self.effect(effect))
            }
            Done::Boundary(result) => {
                result.map_err(|error| match error {
                    BoundaryError::Store(error) => StopReason::Store(error),
                    error => StopReason::Inconsistent(error.to_string()),
                })?;
                self.closing = Closing::Written;
                Ok(())
            }
        }
    }

    /// Starts the next transaction, if none is under way.
    fn flush(&mut self) -> Result<(), StopReason> {
        self.write_entries();
        let Some(batch) = self.outbox.start() else { return Ok(()) };
        if batch.writes.is_empty() {
            self.outbox.done();
            return batch.effects.into_iter().try_for_each(|effect| self.effect(effect));
        }
        let store = self.store.clone();
        let commit = self.context.child("commit").shared(true).spawn(move |_| async move {
            let result = store.commit(&batch.writes);
            Done::Committed(batch.effects, result)
        });
        self.start(async move { commit.await.map_err(|_| JobLost) });
        Ok(())
    }

    fn effect(&mut self, effect: Effect) -> Result<(), StopReason> {
        match effect {
            Effect::Reply(request, answer) => {
                if let Some(reply) = self.replies.remove(&request) {
                    // The trader may have hung up.
                    let _ = reply.send(answer);
                }
            }
            Effect::Logged(ids) => self.logged(&ids)?,
            Effect::PublishHead => self.publish_head(),
            Effect::AbstentionOver => return Err(StopReason::AbstentionOver),
            Effect::Acknowledge(acknowledgement) => acknowledgement.acknowledge(),
            Effect::Released(height, root) => {
                self.shared.change(|contents| contents.roots.insert(height, root));
            }
            Effect::Event(number) => {
                self.events.send_replace(number);
            }
            Effect::Post(entry) => self.posted(entry),
            Effect::Succeed(successor) => {
                self.shared.change(|contents| contents.renewing.successor = Some(*successor));
            }
            Effect::EpochEnded => self.closing = Closing::Finishing,
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), StopReason> {
        self.ticks += 1;
        self.attack_on_tick()?;
        let slow = self.ticks.is_multiple_of(SLOW_TICKS);
        if slow {
            self.served.renew();
            self.requests.renew();
            self.look_at_peers()?;
            self.look_for_missed_epoch()?;
        }
        if self.pool.wake_at_ms().is_some_and(|at| at <= self.now_ms()) {
            self.admit(Input::Tick)?;
        }
        if self.head_due || slow {
            self.publish_head();
        }
        self.tick_openings()?;
        self.tick_renewal()?;
        self.update_overview();
        Ok(())
    }

    fn wanted(&mut self) -> Result<(), StopReason> {
        let ids = self.shared.take_needed();
        if ids.is_empty() {
            return Ok(());
        }
        debug!(count = ids.len(), "the consensus waits for bundles");
        self.admit(Input::Needed { ids })
    }

    fn look_at_peers(&mut self) -> Result<(), StopReason> {
        let now = (self.config.connected)();
        let before = std::mem::replace(&mut self.connected, now.clone());
        for (position, up) in now.into_iter().enumerate() {
            let was = before.get(position).copied().unwrap_or(false);
            let Some(peer) = SequencerIndex::from_position(position) else { continue };
            if up == was || peer == self.config.index {
                continue;
            }
            let input =
                if up { Input::PeerConnected { peer } } else { Input::PeerDisconnected { peer } };
            self.admit(input)?;
            if up {
                self.greet(peer);
            }
        }
        Ok(())
    }
}

/// Milliseconds since 1970 on this clock.
pub(crate) fn now_ms(clock: &impl Clock) -> u64 {
    let since = clock.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The engine's keys of all members.
pub(crate) fn engine_keys(members: &Members) -> Vec<PublicKey> {
    members.keys().iter().cloned().collect()
}
