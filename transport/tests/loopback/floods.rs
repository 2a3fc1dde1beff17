//! Whoever sends too much, too slowly, or something else than what is spoken on a port: refused with
//! a type, counted, and everybody else is served meanwhile.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use fairveil_crypto::NetworkId;
use fairveil_transport::{
    Channel, CloseReason, LinkError, NetworkSecret, Refusal, Timing,
    testing::{RawPeer, RawPeerError, first_packets},
    trader::{TraderClient, TraderConnectError, TraderEndpoint, TraderLimits},
};
use quinn::{ReadExactError, VarInt};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    support::{
        LOOPBACK, Node, PATIENCE, committee, finish, network_id, no_tasks_left, until, within,
    },
    traders::{client_config, connect, echo, generous, open, secret},
};

/// Connections that are begun at once: more than QUIC keeps for an endpoint to look at, and than a
/// sequencer judges, at one time (64 each).
const FLOOD: u32 = 100;

/// A trader endpoint that answers, and a trader who must be served whatever else happens.
struct Scene {
    endpoint: TraderEndpoint,
    honest: TraderClient,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn set(limits: TraderLimits) -> Self {
        let mut tasks = JoinSet::new();
        let (endpoint, requests) = open(limits);
        echo(requests, &mut tasks);
        // An address of its own: what the others on this machine use up is not its share.
        let mut config = client_config(endpoint.socket().address);
        config.local = Some("127.0.0.9:0".parse().unwrap());
        let honest = within(TraderClient::connect(config)).await.unwrap();
        Self { endpoint, honest, tasks }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.socket().address
    }

    async fn dial(&self) -> RawPeer {
        let pinned = secret().public_key();
        within(RawPeer::dial_as_trader(&network_id(), pinned, self.address())).await.unwrap()
    }

    /// The honest trader's connection still stands, and so do requests on it.
    async fn serves(&self) {
        assert_eq!(self.honest.request("ab".into(), PATIENCE).await.unwrap(), "ba");
    }

    async fn finish(mut self) {
        self.serves().await;
        // And the socket takes new ones.
        let another = connect(self.address()).await;
        assert_eq!(another.request("xy".into(), PATIENCE).await.unwrap(), "yx");
        another.close().await;
        self.honest.close().await;
        self.endpoint.close().await;
        while self.tasks.join_next().await.is_some() {}
        no_tasks_left().await;
    }
}

/// Random packets, every other one with a long header of QUIC version 1.
fn send_garbage(to: SocketAddr, seed: u64) {
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let mut packet = [0; 1400];
    for round in 0..2_000_u32 {
        let length = random.random_range(8..packet.len());
        random.fill_bytes(&mut packet[..length]);
        if round % 2 == 0 {
            packet[0] = 0xc0 | (packet[0] & 0x3f);
            packet[1..5].copy_from_slice(&1_u32.to_be_bytes());
        }
        socket.send_to(&packet[..length], to).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_trader_socket_changes_nothing() {
    let scene = Scene::set(generous()).await;
    send_garbage(scene.address(), 5);
    scene.serves().await;
    let counts = scene.endpoint.counts();
    assert_eq!((counts.connections, counts.accepted, counts.failed_handshakes), (1, 1, 0));
    scene.finish().await;
}

/// What comes back on a stream: the reply, or the code of its reset.
async fn answer(peer: &RawPeer, bytes: &[u8]) -> Result<Vec<u8>, VarInt> {
    let (mut send, mut receive) = peer.connection().open_bi().await.unwrap();
    // It may be refused while it is sent.
    let _refused = send.write_all(bytes).await;
    let _ended = send.finish();
    match within(receive.read_to_end(1_024)).await {
        Ok(reply) => Ok(reply),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => Err(code),
        Err(error) => panic!("{error}"),
    }
}

fn framed(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_a_typed_answer() {
    let scene = Scene::set(TraderLimits { max_request_bytes: 1_000, ..generous() }).await;
    let peer = scene.dial().await;
    let refused = Err(VarInt::from_u32(3));
    // Read as a length, the first four letters are 1,734,439,522 bytes.
    assert_eq!(answer(&peer, b"garbage").await, Ok(framed("length 1734439522 1000")));
    assert_eq!(answer(&peer, &u32::MAX.to_be_bytes()).await, Ok(framed("length 4294967295 1000")));
    assert_eq!(answer(&peer, &1_001_u32.to_be_bytes()).await, Ok(framed("length 1001 1000")));
    assert_eq!(answer(&peer, b"").await, refused, "nothing");
    assert_eq!(answer(&peer, b"\0\0").await, refused, "half a length");
    assert_eq!(answer(&peer, b"\0\0\0\x05cut").await, refused, "cut off");
    assert_eq!(answer(&peer, b"\0\0\0\x02ab!").await, refused, "more after its end");
    assert_eq!(answer(&peer, &framed("ab")).await, Ok(framed("ba")), "still connected");
    let counts = scene.endpoint.counts();
    assert_eq!((counts.rejected_length, counts.malformed, counts.requests), (3, 4, 1));
    drop(peer);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_is_cut_off_and_others_are_served() {
    let request = Duration::from_secs(5);
    let limits = TraderLimits { request, streams_per_connection: 8, ..generous() };
    let scene = Scene::set(limits).await;
    let peer = scene.dial().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let (mut send, receive) = peer.connection().open_bi().await.unwrap();
        send.write_all(b"\0\0\x03").await.unwrap();
        streams.push((send, receive));
    }
    // It has no place for a ninth request, and the others notice nothing.
    let ninth = tokio::time::timeout(Duration::from_millis(300), peer.connection().open_bi());
    assert!(ninth.await.is_err());
    scene.serves().await;
    for (mut send, mut receive) in streams {
        let dribbled = send.write_all(b"\0").await;
        assert!(dribbled.is_ok() || matches!(dribbled, Err(quinn::WriteError::Stopped(_))));
        let end = within(receive.read_exact(&mut [0; 1])).await;
        let code = VarInt::from_u32(3);
        assert_eq!(end, Err(ReadExactError::ReadError(quinn::ReadError::Reset(code))));
    }
    until(|| scene.endpoint.counts().malformed == 8).await;
    // The places are free again.
    assert_eq!(answer(&peer, &framed("ab")).await, Ok(framed("ba")));
    drop(peer);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_take_places_for_a_while_only() {
    let handshake = Duration::from_secs(5);
    let limits = TraderLimits { max_connections: 5, retry_from: 5, handshake, ..generous() };
    let scene = Scene::set(limits).await;
    let packets = first_packets(&network_id(), secret().public_key(), 8).await.unwrap();
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    for packet in &packets {
        socket.send_to(packet, scene.address()).unwrap();
    }
    // Four get the places that are left; the others would have to prove their address first.
    until(|| scene.endpoint.counts().connections == 5).await;
    until(|| scene.endpoint.counts().retried >= 4).await;
    scene.serves().await;
    let error = within(TraderClient::connect(client_config(scene.address()))).await;
    let counts = scene.endpoint.counts();
    match error {
        Err(TraderConnectError::Link { error: LinkError::Busy, .. }) => {
            assert!(counts.refused_busy >= 1, "{counts:?}");
        }
        // On a busy machine the places may be free again by now.
        Ok(late) => late.close().await,
        Err(error) => panic!("{error}"),
    }
    until(|| scene.endpoint.counts().failed_handshakes >= 4).await;
    until(|| scene.endpoint.counts().connections == 1).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_refused_by_type_and_others_are_served() {
    let limits = TraderLimits { max_connections: 8, max_connections_per_address: 8, ..generous() };
    let scene = Scene::set(TraderLimits { retry_from: 4, ..limits }).await;
    let mut dialling = JoinSet::new();
    for _ in 0..FLOOD {
        dialling.spawn(TraderClient::connect(client_config(scene.address())));
    }
    let (mut connected, mut busy, mut late) = (Vec::new(), 0, 0);
    while let Some(outcome) = within(dialling.join_next()).await {
        scene.serves().await;
        match outcome.unwrap() {
            Ok(client) => connected.push(client),
            Err(TraderConnectError::Link { error: LinkError::Busy, .. }) => busy += 1,
            // A machine that is busy with other things too.
            Err(TraderConnectError::Link { error: LinkError::HandshakeTimeout, .. }) => late += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // The honest one has a place of the eight.
    let counts = scene.endpoint.counts();
    let seen = format!("{} connected, {busy} busy, {late} late, {counts:?}", connected.len());
    assert!((1..=7).contains(&connected.len()) && busy > 0, "{seen}");
    assert!(counts.connections <= 8 && counts.refused_busy > 0 && counts.retried > 0, "{seen}");
    for client in connected {
        client.close().await;
    }
    until(|| scene.endpoint.counts().connections == 1).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_is_refused_on_either_port() {
    let scene = Scene::set(generous()).await;
    let nodes = committee(2).await;
    let identity = nodes[0].identity;
    let refused = |dialled: Result<RawPeer, RawPeerError>| {
        let Err(RawPeerError::Connection(quinn::ConnectionError::ConnectionClosed(close))) =
            dialled
        else {
            panic!("{dialled:?}")
        };
        // TLS's alert 120, no_application_protocol.
        assert_eq!(u64::from(close.error_code), 0x100 + 120, "{close:?}");
    };
    // A sequencer at the traders' port.
    let key = secret().public_key();
    let own = identity.network();
    refused(within(RawPeer::dial(&own, &network_id(), key, scene.address())).await);
    until(|| scene.endpoint.counts().failed_handshakes == 1).await;
    // A trader at the sequencers' port, and a member of another network.
    let (key, address) = (nodes[1].identity.network().public_key(), nodes[1].address());
    refused(within(RawPeer::dial_as_trader(&network_id(), key, address)).await);
    until(|| nodes[1].snapshot().refused_for(Refusal::WrongNetwork) == 1).await;
    let other = NetworkId::from_bytes([0x33; 32]);
    refused(within(RawPeer::dial(&own, &other, key, address)).await);
    until(|| nodes[1].snapshot().refused_for(Refusal::WrongNetwork) == 2).await;
    assert_eq!(nodes[1].snapshot().connected(), 1);
    for node in nodes {
        node.network.close().await;
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begun_handshakes_cost_a_sequencer_a_retry_each() {
    let mut nodes = committee(2).await;
    let to = nodes[1].identity;
    let before = nodes[1].snapshot().retried;
    let key = to.network().public_key();
    let packets = first_packets(&network_id(), key, 100).await.unwrap();
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    for (sent, packet) in (1..).zip(&packets) {
        socket.send_to(packet, nodes[1].address()).unwrap();
        // One at a time: what the kernel drops is nobody's to count.
        until(|| nodes[1].snapshot().retried >= before + sent).await;
    }
    assert!(nodes[0].send(Channel::Votes, to, "unharmed"));
    assert_eq!(nodes[1].receive(Channel::Votes).await.1, "unharmed");
    let snapshot = nodes[1].snapshot();
    assert_eq!((snapshot.connected(), snapshot.refused.len()), (1, 0), "{:?}", snapshot.refused);
    finish(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_is_refused_by_type_and_members_go_on() {
    let mut nodes = committee(2).await;
    let (to, address) = (nodes[1].identity, nodes[1].address());
    let key = to.network().public_key();
    let stranger = Arc::new(NetworkSecret::from_seed([0x99; 32]).unwrap());
    let mut dialling = JoinSet::new();
    for _ in 0..FLOOD {
        let stranger = stranger.clone();
        dialling.spawn(async move {
            match RawPeer::dial(&stranger, &network_id(), key, address).await {
                // In TLS 1.3 a dialler is through before it is judged.
                Ok(peer) => peer.closed().await.unwrap_err(),
                Err(RawPeerError::Connection(error)) => error,
                Err(error) => panic!("{error}"),
            }
        });
    }
    let (mut not_member, mut busy, mut late) = (0, 0, 0);
    for at in 0..FLOOD {
        let outcome = within(dialling.join_next()).await.expect("all of them dial").unwrap();
        match outcome {
            quinn::ConnectionError::ConnectionClosed(close) => match close.error_code.into() {
                // TLS's alert 49, access_denied.
                0x131 => not_member += 1,
                2 => busy += 1,
                code => panic!("{code:#x}"),
            },
            // A machine that is busy with other things too.
            quinn::ConnectionError::TimedOut => late += 1,
            error => panic!("{error}"),
        }
        assert!(nodes[0].send(Channel::Votes, to, at.to_be_bytes().to_vec()));
        assert_eq!(nodes[1].receive(Channel::Votes).await.1[..], at.to_be_bytes());
    }
    // Who is refused for business and had sent its packet twice is counted twice.
    until(|| nodes[1].snapshot().refused_for(Refusal::NotMember) >= not_member).await;
    let refused = nodes[1].snapshot().refused_for(Refusal::Busy);
    let seen = format!("{not_member} no members, {busy} busy, {late} late, {refused} counted");
    assert!(not_member > 0 && (busy == 0 || refused > 0), "{seen}");
    assert_eq!(nodes[1].snapshot().connected(), 1);
    assert_eq!(nodes[1].peer(nodes[0].identity).connections, 1);
    finish(nodes).await;
}

/// A member that begins everything and ends nothing holds its own streams, and those alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_member_holds_its_own_streams_alone() {
    let ids = crate::support::identities(3);
    let mut config = ids[1].config(LOOPBACK);
    config.timing = Timing { handshake: Duration::from_secs(5), ..config.timing };
    let (mut victim, witness) = (Node::with(ids[1], config), Node::open(ids[2]));
    witness.join(1, vec![victim.member()]);
    victim.join(1, vec![ids[0].member(LOOPBACK), witness.member()]);
    victim.connected(1).await;
    let dial = || async {
        let pinned = ids[1].network().public_key();
        let address = victim.address();
        within(RawPeer::dial(&ids[0].network(), &network_id(), pinned, address)).await.unwrap()
    };
    // Half a greeting is none.
    let peer = dial().await;
    let mut greeting = peer.connection().open_uni().await.unwrap();
    greeting.write_all(&[0]).await.unwrap();
    assert_eq!(within(peer.closed()).await, Ok(CloseReason::GreetingTimeout));
    until(|| victim.snapshot().closed_for(CloseReason::GreetingTimeout) == 1).await;
    drop((greeting, peer));
    // A stream per channel with half a length, and what else fits, without a channel.
    let peer = dial().await;
    peer.greet().await.unwrap();
    let mut streams = Vec::new();
    for channel in Channel::ALL {
        let mut stream = peer.connection().open_uni().await.unwrap();
        stream.write_all(&[1, channel.id(), 0, 0]).await.unwrap();
        streams.push(stream);
    }
    let mut begun = Vec::new();
    let wait = Duration::from_millis(300);
    while let Ok(stream) = tokio::time::timeout(wait, peer.connection().open_uni()).await {
        let mut stream = stream.unwrap();
        stream.write_all(&[1]).await.unwrap();
        begun.push(stream);
    }
    assert!(begun.len() <= 1, "no place but the greeting's: {}", begun.len());
    until(|| victim.snapshot().connected() == 2).await;
    for at in 0..50_u32 {
        assert!(witness.send(Channel::Votes, ids[1], at.to_be_bytes().to_vec()));
        assert_eq!(victim.receive(Channel::Votes).await.1[..], at.to_be_bytes());
    }
    // It may go on, at whatever pace: a message that is whole arrives.
    streams[0].write_all(&[0, 2]).await.unwrap();
    streams[0].write_all(b"ok").await.unwrap();
    let (key, message) = victim.receive(Channel::ALL[0]).await;
    assert_eq!((key, &message[..]), (ids[0].key(), &b"ok"[..]));
    assert_eq!(victim.peer(ids[2]).connections, 1);
    drop((streams, begun, peer));
    finish(vec![victim, witness]).await;
}
