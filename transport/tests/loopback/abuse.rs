//! Whatever a peer or a stranger sends: typed, counted, and the others do not notice.

use std::{net::UdpSocket, time::Duration};

use fairveil_transport::{
    Channel, CloseReason, INLINE_BYTES, LinkError, PeerState, Timing, testing::RawPeer,
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};

use crate::support::{
    Identity, LOOPBACK, Node, finish, identities, network_id, patient, until, within,
};

/// A raw peer with the lowest key, and two honest nodes of which the first is abused.
struct Scene {
    raw: Identity,
    victim: Node,
    witness: Node,
}

impl Scene {
    async fn set(timing: Timing) -> Self {
        let ids = identities(3);
        let mut config = ids[1].config(LOOPBACK);
        config.timing = timing;
        let (victim, witness) = (Node::with(ids[1], config), Node::open(ids[2]));
        witness.join(1, vec![victim.member()]);
        victim.join(1, vec![ids[0].member(LOOPBACK), witness.member()]);
        victim.connected(1).await;
        Self { raw: ids[0], victim, witness }
    }

    async fn dial(&self) -> RawPeer {
        let pinned = self.victim.identity.network().public_key();
        RawPeer::dial(&self.raw.network(), &network_id(), pinned, self.victim.address())
            .await
            .unwrap()
    }

    /// The victim has closed the connection with this reason, and goes on with the witness.
    async fn closed(&mut self, peer: RawPeer, reason: CloseReason, times: u64) {
        assert_eq!(within(peer.closed()).await, Ok(reason));
        until(|| self.victim.snapshot().closed_for(reason) == times).await;
        until(|| self.victim.peer(self.raw).last_error == Some(LinkError::Closed(reason))).await;
        until(|| self.victim.peer(self.raw).state == PeerState::Awaited).await;
        assert_eq!(self.victim.peer(self.witness.identity).connections, 1);
        assert!(self.victim.send(Channel::Votes, self.witness.identity, "unharmed"));
        assert_eq!(self.witness.receive(Channel::Votes).await.1, "unharmed");
    }

    async fn finish(self) {
        finish(vec![self.victim, self.witness]).await;
    }
}

fn framed(head: [u8; 2], length: usize, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [head.as_slice(), &length, body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_streams_close_with_their_reason() {
    let votes = Channel::Votes.id();
    let bundles = Channel::Bundles.id();
    let inline = framed([1, votes], 2, b"ok");
    let cases: [(&[&[u8]], CloseReason); 8] = [
        (
            &[&framed([1, votes], Channel::Votes.max_message_bytes() + 1, b"")],
            CloseReason::OversizeFrame,
        ),
        (
            &[&framed([1, votes], usize::try_from(u32::MAX).unwrap(), b"")],
            CloseReason::OversizeFrame,
        ),
        (&[&framed([1, bundles], INLINE_BYTES + 1, b"")], CloseReason::MalformedStream),
        (&[&framed([1, votes], 5, b"cut")], CloseReason::MalformedStream),
        (&[&[1, 99]], CloseReason::UnknownStream),
        (&[&[7, votes]], CloseReason::UnknownStream),
        (&[&[2, votes]], CloseReason::UnknownStream),
        (&[b"garbage"], CloseReason::UnknownStream),
    ];
    let mut scene = Scene::set(patient()).await;
    let mut times = std::collections::BTreeMap::new();
    for (streams, reason) in cases {
        let peer = scene.dial().await;
        peer.greet().await.unwrap();
        for stream in streams {
            peer.uni(stream).await.unwrap();
        }
        let times = times.entry(reason).or_insert(0);
        *times += 1;
        scene.closed(peer, reason, *times).await;
    }
    // A second stream for a channel, while the first is still open.
    let peer = scene.dial().await;
    peer.greet().await.unwrap();
    let mut first = peer.connection().open_uni().await.unwrap();
    first.write_all(&inline).await.unwrap();
    assert_eq!(scene.victim.receive(Channel::Votes).await.1, "ok");
    peer.uni(&inline).await.unwrap();
    scene.closed(peer, CloseReason::DuplicateStream, 1).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_large_messages_close_with_their_reason() {
    let votes = Channel::Votes.id();
    let blocks = Channel::Blocks.id();
    let limit = Channel::Blocks.max_message_bytes();
    let large = INLINE_BYTES + 1;
    let cases = [
        (framed([2, blocks], limit + 1, b""), CloseReason::OversizeFrame),
        (framed([2, votes], large, b""), CloseReason::OversizeFrame),
        (framed([2, blocks], INLINE_BYTES, &[0; INLINE_BYTES]), CloseReason::MalformedStream),
        (framed([2, blocks], large, &vec![0; large + 1]), CloseReason::MalformedStream),
        (framed([2, blocks], large, b"cut"), CloseReason::MalformedStream),
        (framed([1, blocks], large, b""), CloseReason::UnknownStream),
    ];
    let mut scene = Scene::set(patient()).await;
    let mut times = std::collections::BTreeMap::new();
    for (bytes, reason) in cases {
        let peer = scene.dial().await;
        peer.greet().await.unwrap();
        let (mut stream, _answer) = peer.connection().open_bi().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let _ended = stream.finish();
        let times = times.entry(reason).or_insert(0);
        *times += 1;
        scene.closed(peer, reason, *times).await;
    }
    // One message more in flight than the channel allows; none of them is complete.
    let peer = scene.dial().await;
    peer.greet().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..=Channel::Blocks.large_streams() {
        let (mut stream, answer) = peer.connection().open_bi().await.unwrap();
        stream.write_all(&framed([2, blocks], large, b"begun")).await.unwrap();
        streams.push((stream, answer));
    }
    scene.closed(peer, CloseReason::TooManyLarge, 1).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_greet_is_no_peer() {
    let timing = Timing { handshake: Duration::from_secs(3), ..patient() };
    let mut scene = Scene::set(timing).await;
    let peer = scene.dial().await;
    peer.uni(&framed([1, Channel::Votes.id()], 2, b"ok")).await.unwrap();
    scene.closed(peer, CloseReason::BadGreeting, 1).await;
    let peer = scene.dial().await;
    peer.uni(&[0, 9]).await.unwrap();
    scene.closed(peer, CloseReason::BadGreeting, 2).await;
    let peer = scene.dial().await;
    scene.closed(peer, CloseReason::GreetingTimeout, 1).await;
    assert_eq!(scene.victim.peer(scene.raw).connections, 0);
    assert_eq!(scene.victim.peer(scene.raw).channel(Channel::Votes).received, 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_socket_changes_nothing() {
    let mut scene = Scene::set(patient()).await;
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let mut packet = [0; 1400];
    for round in 0..2_000_u32 {
        let length = random.random_range(1..packet.len());
        random.fill_bytes(&mut packet[..length]);
        if round % 2 == 0 {
            // A long header of QUIC version 1, so that the packet is looked at more closely.
            packet[0] = 0xc0 | (packet[0] & 0x3f);
            packet[1..5].copy_from_slice(&1_u32.to_be_bytes());
        }
        socket.send_to(&packet[..length], scene.victim.address()).unwrap();
    }
    assert!(scene.victim.send(Channel::Votes, scene.witness.identity, "unharmed"));
    assert_eq!(scene.witness.receive(Channel::Votes).await.1, "unharmed");
    assert_eq!(scene.victim.peer(scene.witness.identity).connections, 1);
    assert_eq!(scene.victim.snapshot().closed, []);
    // And the socket still takes new peers.
    let peer = scene.dial().await;
    peer.greet().await.unwrap();
    until(|| scene.victim.snapshot().connected() == 2).await;
    drop(peer);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_addresses_prove_themselves_first() {
    let scene = Scene::set(patient()).await;
    assert_eq!(scene.victim.snapshot().retried, 0, "the victim has only dialled so far");
    let peer = scene.dial().await;
    peer.greet().await.unwrap();
    until(|| scene.victim.snapshot().connected() == 2).await;
    assert_eq!(scene.victim.snapshot().retried, 1);
    drop(peer);
    scene.finish().await;
}
