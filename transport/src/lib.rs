//! Moves bounded, authenticated messages between sequencers, and from traders, over QUIC.
mod backoff;
mod channel;
mod connection_id;
mod directory;
mod endpoint;
mod frame;
mod identity;
mod inbox;
mod membership;
mod metrics;
mod network;
mod peers;
mod queue;
mod reason;
mod sender;
mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tls;
pub mod trader;

pub use crate::{
    channel::{CHANNELS, Channel, INLINE_BYTES, QueueBound, WhenFull},
    directory::Directory,
    endpoint::{BindError, SegmentationOffload, SocketOptions, SocketReport, Timing},
    identity::{
        EndpointSecret, Member, MemberError, NetworkPublicKey, NetworkSecret, SeedRefused, certify,
        peer_key,
    },
    membership::{SharedNetworkKey, TRACKED_SETS},
    metrics::{ChannelCounts, PeerSnapshot, PeerState, Snapshot},
    network::{ChannelTaken, Config, Network, Observer},
    reason::{CloseReason, LinkError, Refusal},
    sender::{CheckedSender, NetworkClosed, Oversize, Receiver, Sender},
    tls::TlsError,
};
