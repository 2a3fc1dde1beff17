//! The sequencer on tokio, QUIC and files: where its generic parts become concrete.
//!
//! `sequencer` and `consensus` are generic over the runtime, the network and the store, and so is
//! the consensus engine below them. Compiling them for one set of types takes minutes. It happens
//! here, once, and nowhere above: the functions are not generic and their futures are boxed, so
//! that a change of the node compiles in seconds.
//!
//! # Invariants
//!
//! 1. Nothing here decides anything: every function hands its arguments to the function of the same
//!    name below.

#![forbid(unsafe_code)]

use commonware_parallel::Sequential;
use commonware_runtime::tokio;
use fairveil_consensus::Successor;
use fairveil_consensus::network::{Channels, Network as EngineNetwork};
use fairveil_crypto::Epoch;
use fairveil_sequencer::{
    Config, Engine, Executor, PeerChannels, Running, Seat, Secrets, StartError, Store,
    ceremony::{CeremonyError, Keeper, Made, Setup},
    feed::{FeedError, Voters},
    renewal::Resharings,
    sync::{Sync, SyncError},
};
use fairveil_transport::{Channel, ChannelTaken, Directory, Network, Receiver, Sender};
use futures::{FutureExt as _, future::LocalBoxFuture};

/// The runtime's context: clock, tasks, entropy, the consensus' storage.
pub type Context = tokio::Context;

/// What the engine needs from its surroundings, over QUIC.
pub type NodeEngine = Engine<Directory, Directory, Sequential, Sender>;

/// What outlives an epoch at a node.
pub type NodeSeat = Seat<Sender, Receiver>;

/// A running sequencer over QUIC.
pub type NodeSequencer = Running<Sender, Receiver>;

/// The engine's side of a network, and the sequencer's own.
///
/// # Errors
///
/// If somebody took one of the channels before.
pub fn channels(
    context: &Context,
    network: &Network,
) -> Result<(NodeEngine, NodeSeat), ChannelTaken> {
    let channels = Channels {
        votes: network.channel(Channel::Votes)?,
        certificates: network.channel(Channel::Certificates)?,
        resolver: network.channel(Channel::Resolver)?,
        blocks: network.channel(Channel::Blocks)?,
        backfill: network.channel(Channel::Backfill)?,
    };
    let engine = Engine {
        peers: network.directory(),
        blocker: network.directory(),
        strategy: Sequential,
        network: EngineNetwork::new(context, channels),
    };
    let own = PeerChannels {
        logs: network.channel(Channel::Fragments)?,
        bundles: network.channel(Channel::Bundles)?,
        shares: network.channel(Channel::Shares)?,
    };
    Ok((engine, Seat::new(own)))
}

/// The same engine's surroundings once more: for the next epoch.
#[must_use]
pub fn again(engine: &NodeEngine) -> NodeEngine {
    Engine {
        peers: engine.peers.clone(),
        blocker: engine.blocker.clone(),
        strategy: Sequential,
        network: engine.network.clone(),
    }
}

/// Runs a key ceremony: [`fairveil_sequencer::ceremony::run`].
///
/// # Errors
///
/// [`CeremonyError`].
pub fn ceremony<'a>(
    context: Context,
    setup: Setup,
    store: &'a Store,
    engine: &'a NodeEngine,
    keeper: &'a mut dyn Keeper,
) -> LocalBoxFuture<'a, Result<Made, CeremonyError>> {
    fairveil_sequencer::ceremony::run(context, setup, store, engine, keeper).boxed_local()
}

/// Starts a sequencer: [`fairveil_sequencer::start`].
///
/// # Errors
///
/// [`StartError`]; nothing was signed then.
pub fn start(
    context: Context,
    config: Config,
    secrets: Secrets,
    store: Store,
    executor: Executor,
    engine: NodeEngine,
    seat: NodeSeat,
) -> LocalBoxFuture<'static, Result<NodeSequencer, StartError>> {
    fairveil_sequencer::start(context, config, secrets, store, executor, engine, seat).boxed_local()
}

/// Takes part in a resharing from outside: [`fairveil_sequencer::feed::follow`].
///
/// # Errors
///
/// [`FeedError`].
pub fn follow<'a>(
    context: &'a mut Context,
    store: &'a Store,
    seat: &'a mut NodeSeat,
    voters: &'a Voters,
    epoch: Epoch,
    resharings: &'a dyn Resharings,
) -> LocalBoxFuture<'a, Result<Successor, FeedError>> {
    fairveil_sequencer::feed::follow(context, store, seat, voters, epoch, resharings).boxed_local()
}

/// Takes the beginning of an epoch from the others: [`fairveil_sequencer::sync::run`].
///
/// # Errors
///
/// [`SyncError`].
pub fn sync<'a>(
    context: &'a Context,
    store: &'a Store,
    seat: &'a mut NodeSeat,
    sync: Sync,
) -> LocalBoxFuture<'a, Result<(), SyncError>> {
    fairveil_sequencer::sync::run(context, store, seat, sync).boxed_local()
}
