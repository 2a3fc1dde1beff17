//! Committees of sequencers in one process.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Manager as _, Recipients};
use commonware_utils::{NZUsize, ordered::Set};
use fairveil_crypto::{ConsensusSecret, NetworkId};
use fairveil_transport::{
    Channel, Config, EndpointSecret, Member, Network, NetworkSecret, PeerSnapshot, Receiver,
    Sender, Snapshot, SocketOptions, Timing, certify, peer_key,
};
use tokio::time::timeout;

/// Longest wait for anything; never reached by a passing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn network_id() -> NetworkId {
    NetworkId::from_bytes([0x11; 32])
}

/// Times for a busy machine: nothing ends for idleness unless a test wants it.
pub(crate) fn patient() -> Timing {
    Timing { idle: PATIENCE, handshake: Duration::from_secs(20), ..Timing::LOCAL }
}

/// The secrets of one sequencer, from a byte.
#[derive(Clone, Copy)]
pub(crate) struct Identity(pub(crate) u8);

impl Identity {
    pub(crate) fn consensus(self) -> ConsensusSecret {
        ConsensusSecret::from_seed([self.0; 32])
    }

    pub(crate) fn network(self) -> NetworkSecret {
        NetworkSecret::from_seed([self.0 ^ 0x80; 32]).unwrap()
    }

    pub(crate) fn key(self) -> PublicKey {
        peer_key(&self.consensus().public_key()).unwrap()
    }

    pub(crate) fn member(self, address: SocketAddr) -> Member {
        let network_key = self.network().public_key();
        let certificate = certify(&self.consensus(), &network_key);
        Member::new(self.consensus().public_key(), network_key, &certificate, address).unwrap()
    }

    pub(crate) fn config(self, listen: SocketAddr) -> Config {
        Config {
            network_id: network_id(),
            key: self.key(),
            network_secret: self.network(),
            endpoint_secret: EndpointSecret::from_bytes([self.0; 32]),
            listen,
            timing: patient(),
            socket: SocketOptions::default(),
            max_peers: NZUsize!(8),
            jitter_seed: u64::from(self.0),
        }
    }
}

/// Identities in the order of their keys: of each pair, the earlier one dials.
pub(crate) fn identities(n: u8) -> Vec<Identity> {
    let mut identities: Vec<_> = (1..=n).map(Identity).collect();
    identities.sort_by_key(|identity| identity.key());
    identities
}

pub(crate) fn set_of(identities: &[Identity]) -> Set<PublicKey> {
    Set::from_iter_dedup(identities.iter().map(|identity| identity.key()))
}

/// A running sequencer.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) network: Network,
    channels: BTreeMap<Channel, (Sender, Receiver)>,
}

impl Node {
    pub(crate) fn open(identity: Identity) -> Self {
        Self::with(identity, identity.config(LOOPBACK))
    }

    pub(crate) fn with(identity: Identity, config: Config) -> Self {
        let network = Network::open(config).unwrap();
        let take = |channel| (channel, network.channel(channel).unwrap());
        let channels = Channel::ALL.map(take).into_iter().collect();
        Self { identity, network, channels }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.network.socket().address
    }

    pub(crate) fn member(&self) -> Member {
        self.identity.member(self.address())
    }

    /// Learns members, and tracks all of them with the node itself.
    pub(crate) fn join(&self, id: u64, members: Vec<Member>) {
        let mut keys: Vec<_> = members.iter().map(|member| member.key().clone()).collect();
        keys.push(self.identity.key());
        self.network.directory().learn(members).unwrap();
        self.network.directory().track(id, Set::from_iter_dedup(keys));
    }

    pub(crate) fn sender(&self, channel: Channel) -> Sender {
        self.channels[&channel].0.clone()
    }

    pub(crate) fn take(&mut self, channel: Channel) -> (Sender, Receiver) {
        self.channels.remove(&channel).unwrap()
    }

    pub(crate) fn send(&self, channel: Channel, to: Identity, message: impl Into<Bytes>) -> bool {
        let took = self.sender(channel).offer(&Recipients::One(to.key()), &message.into()).unwrap();
        !took.is_empty()
    }

    pub(crate) async fn receive(&mut self, channel: Channel) -> (PublicKey, Bytes) {
        let (_, receiver) = self.channels.get_mut(&channel).unwrap();
        within(receiver.next()).await.unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.network.snapshot()
    }

    pub(crate) fn peer(&self, identity: Identity) -> PeerSnapshot {
        let peers = self.snapshot().peers;
        peers.into_iter().find(|peer| peer.key == identity.key()).unwrap()
    }

    pub(crate) async fn connected(&self, peers: usize) {
        until(|| self.snapshot().connected() == peers).await;
    }
}

/// A committee in which everybody is connected to everybody, in the order of the keys.
pub(crate) async fn committee(n: u8) -> Vec<Node> {
    let nodes: Vec<_> = identities(n).into_iter().map(Node::open).collect();
    introduce(&nodes);
    for node in &nodes {
        node.connected(usize::from(n) - 1).await;
    }
    nodes
}

/// The highest key first: the lower ones dial, and who is dialled has to know them by then.
pub(crate) fn introduce(nodes: &[Node]) {
    for node in nodes.iter().rev() {
        node.join(1, nodes.iter().map(Node::member).collect());
    }
}

/// Closes everything, and sees to it that no task is left.
pub(crate) async fn finish(nodes: Vec<Node>) {
    for node in nodes {
        node.network.close().await;
    }
    no_tasks_left().await;
}

pub(crate) async fn no_tasks_left() {
    let runtime = tokio::runtime::Handle::current();
    until(|| runtime.metrics().num_alive_tasks() == 0).await;
}

/// Waits for a condition.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took longer than a test may wait")
}
