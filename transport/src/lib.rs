//! Moves bounded, authenticated messages between sequencers, and from traders, over QUIC.
//!
//! Two endpoints, each on a socket of its own. [`Network`] connects the sequencers of a committee
//! with each other and gives the consensus engine the network traits it asks for; [`trader`]
//! takes requests of traders. Neither looks into a message.
//!
//! # Between sequencers
//!
//! A sequencer is known by its consensus key and shows in TLS a network key that the consensus
//! key has certified ([`Member`]). Of each pair, the lower consensus key dials. After the
//! handshake both greet; then every [`Channel`] has one stream in each direction, and every
//! message over [`INLINE_BYTES`] one of its own. QUIC serves the streams by strict priority.
//!
//! | id | channel | priority | what a full incoming queue does |
//! |---|---|---|---|
//! | 1 | votes | 40 | drops the arriving message, counted |
//! | 2 | certificates | 30 | drops |
//! | 3 | resolver | 20 | drops |
//! | 4 | shares | 15 | drops |
//! | 5 | fragments | 12 | drops |
//! | 6 | blocks | 10 | stops reading, so that QUIC's flow control stops the sender |
//! | 7 | bundles | 5 | stops reading |
//! | 8 | backfill | 0 | stops reading |
//!
//! # Invariants
//!
//! Each module states its own; these hold for the whole.
//!
//! 1. **Authentic.** A message is delivered under a consensus key only if it came over a
//!    connection that proved the network key certified by it, while that key was in a tracked set
//!    and not blocked. Leaving the set or being blocked closes the connection at once.
//! 2. **Bounded.** Every queue, stream, message, handshake and table has a named limit. Sending
//!    never waits.
//! 3. **Accounted.** A message is never dropped silently: per peer and channel, what was offered
//!    is sent, dropped because full, dropped because offline, or lost with its connection.
//! 4. **Ordered.** Messages of at most [`INLINE_BYTES`] of one channel arrive in the order in
//!    which they were sent, as long as the connection lasts. Larger ones may be overtaken: that
//!    is what their own streams are for.
//! 5. **Isolated.** What one peer sends or leaves unread costs other peers and other channels
//!    nothing: a violation closes one connection with a typed reason, a full queue stops one
//!    channel of one peer, incoming queues are read in turn.
//! 6. **Heard.** Who is closed on learns of it and of the reason at once, also while data is on its
//!    way to it.
//! 7. **Reconnecting.** While a peer is tracked, its dialler goes on, with waits that double until
//!    the peer has greeted. A restarted peer is recognized by a stateless reset at the next
//!    packet, not by a timeout.
//!
//! # Not here
//!
//! Nothing is acknowledged or sent again over connections: a message that was on its way when a
//! connection ended is lost (and the end is counted), and the engines above ask again. Epochs
//! share the channels through the engine's own multiplexer.
//!
//! # Example
//!
//! ```no_run
//! use std::num::NonZeroUsize;
//!
//! use commonware_p2p::Manager as _;
//! use commonware_utils::ordered::Set;
//! use fairveil_crypto::{ConsensusPublicKey, NetworkId, Signature};
//! use fairveil_transport::{
//!     Channel, Config, EndpointSecret, Member, Network, NetworkPublicKey, NetworkSecret,
//!     SocketOptions, Timing, peer_key,
//! };
//!
//! # async fn example(
//! #     network_id: NetworkId,
//! #     own_consensus_key: ConsensusPublicKey,
//! #     peer: (ConsensusPublicKey, NetworkPublicKey, Signature, std::net::SocketAddr),
//! #     seeds: [[u8; 32]; 2],
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let own_key = peer_key(&own_consensus_key).ok_or("not a point of the curve")?;
//! let network = Network::open(Config {
//!     network_id,
//!     key: own_key.clone(),
//!     network_secret: NetworkSecret::from_seed(seeds[0])?,
//!     endpoint_secret: EndpointSecret::from_bytes(seeds[1]),
//!     listen: "0.0.0.0:7000".parse()?,
//!     timing: Timing::WIDE_AREA,
//!     socket: SocketOptions::default(),
//!     max_peers: NonZeroUsize::MIN,
//!     jitter_seed: 1,
//! })?;
//! let member = Member::new(peer.0, peer.1, &peer.2, peer.3)?;
//! let mut directory = network.directory();
//! let committee = Set::from_iter_dedup([own_key, member.key().clone()]);
//! directory.learn(vec![member])?;
//! directory.track(1, committee);
//! let (votes, incoming_votes) = network.channel(Channel::Votes)?;
//! # let _ = (votes, incoming_votes);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod channel;
mod congestion;
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
mod probe;
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
    probe::{Probe, ProbeError},
    reason::{CloseReason, LinkError, Refusal},
    sender::{CheckedSender, NetworkClosed, Oversize, Receiver, Sender},
    tls::TlsError,
};
