//! The engine's five channels, split by chain and epoch.
//!
//! A message of the wrong epoch, or of another chain, would make the engine block its sender for
//! good. So every physical channel is split into subchannels, one per epoch of the network's chain
//! and one per round of a ceremony, and each engine sees its own alone.
//!
//! | channel | carries | lost messages |
//! |---|---|---|
//! | votes | notarize, nullify, finalize | repeated while a view lasts |
//! | certificates | their quorums | fetched by the resolver |
//! | resolver | requests for certificates of earlier views | repeated |
//! | blocks | proposed blocks | fetched by backfill |
//! | backfill | requests for blocks and finalizations | repeated |

use commonware_consensus::marshal::max_payload_size as marshal_payload_size;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::simplex::max_payload_size as simplex_payload_size;
use commonware_p2p::utils::mux::{MuxHandle, Muxer, SubReceiver, SubSender, prefixed};
use commonware_p2p::{Receiver, Sender};
use commonware_runtime::Spawner;
use fairveil_crypto::Epoch;

use crate::block::{Block, Digest};
use crate::committee::{PublicKey, Scheme};

/// A sender and a receiver of one channel.
pub type Channel<S, R> = (S, R);

/// The physical channels.
pub struct Channels<S, R> {
    /// Votes.
    pub votes: Channel<S, R>,
    /// Certificates.
    pub certificates: Channel<S, R>,
    /// Requests for certificates.
    pub resolver: Channel<S, R>,
    /// Proposed blocks.
    pub blocks: Channel<S, R>,
    /// Requests for blocks.
    pub backfill: Channel<S, R>,
}

/// The channels of one engine.
pub(crate) struct Subchannels<S: Sender<PublicKey = PublicKey>> {
    pub(crate) votes: Sub<S>,
    pub(crate) certificates: Sub<S>,
    pub(crate) resolver: Sub<S>,
    pub(crate) blocks: Sub<S>,
    pub(crate) backfill: Sub<S>,
}

type Sub<S> = (SubSender<S>, SubReceiver<PublicKey>);

/// Which engine a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subchannel {
    /// The network's chain in this epoch.
    Epoch(Epoch),
    /// The chain of a ceremony, which restarts with a new round.
    Ceremony {
        /// The round, from 0.
        round: u64,
    },
}

impl Subchannel {
    /// The number in front of every message: epochs even, ceremonies odd.
    fn number(self) -> u64 {
        match self {
            Self::Epoch(epoch) => epoch.get().wrapping_shl(1),
            Self::Ceremony { round } => round.wrapping_shl(1) | 1,
        }
    }
}

/// The physical channels, being split.
#[derive(Clone)]
pub struct Network<S: Sender<PublicKey = PublicKey>> {
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    resolver: MuxHandle<S>,
    blocks: MuxHandle<S>,
    backfill: MuxHandle<S>,
}

/// The subchannel is in use, or the channels are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subchannel {0:?} is in use or its channel is closed")]
pub struct SubchannelError(pub Subchannel);

impl<S: Sender<PublicKey = PublicKey>> Network<S> {
    /// Splits the channels from now on, in tasks below `context`.
    pub fn new<E, R>(context: &E, channels: Channels<S, R>) -> Self
    where
        E: Spawner,
        R: Receiver<PublicKey = PublicKey>,
    {
        Self {
            votes: split(context.child("votes"), channels.votes),
            certificates: split(context.child("certificates"), channels.certificates),
            resolver: split(context.child("resolver"), channels.resolver),
            blocks: split(context.child("blocks"), channels.blocks),
            backfill: split(context.child("backfill"), channels.backfill),
        }
    }

    pub(crate) async fn subchannels(
        &self,
        subchannel: Subchannel,
    ) -> Result<Subchannels<S>, SubchannelError> {
        let number = subchannel.number();
        let register = async |handle: &MuxHandle<S>| {
            handle.clone().register(number).await.map_err(|_| SubchannelError(subchannel))
        };
        Ok(Subchannels {
            votes: register(&self.votes).await?,
            certificates: register(&self.certificates).await?,
            resolver: register(&self.resolver).await?,
            blocks: register(&self.blocks).await?,
            backfill: register(&self.backfill).await?,
        })
    }
}

fn split<E, S, R>(context: E, (sender, receiver): Channel<S, R>) -> MuxHandle<S>
where
    E: Spawner,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let (muxer, handle) = Muxer::new(context, sender, receiver);
    muxer.start();
    handle
}

/// The largest message on any of the five channels in a committee of so many: what the transport
/// must admit, as it panics above.
#[must_use]
pub fn max_message_bytes(members: u32) -> usize {
    let marshal = marshal_payload_size::<Standard<Block>, Scheme>(members, &());
    let simplex = simplex_payload_size::<Scheme, Digest>(members);
    prefixed(marshal.max(simplex))
}
