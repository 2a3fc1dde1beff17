//! Only certified members of the tracked sets connect; everybody else is told why, and waits.

use std::time::Duration;

use commonware_p2p::{Blocker as _, Manager as _, Provider as _};
use fairveil_crypto::NetworkId;
use fairveil_transport::{
    Channel, CloseReason, LinkError, Member, NetworkSecret, PeerState, Probe, ProbeError, Refusal,
    SocketOptions, certify,
    testing::{RawPeer, RawPeerError},
};

use crate::support::{
    LOOPBACK, Node, committee, finish, identities, network_id, set_of, until, within,
};

/// The dialler's wait has doubled four times: it knows that nobody has accepted it.
fn has_backed_off(state: PeerState) -> bool {
    matches!(state, PeerState::Waiting { wait, .. } if wait >= Duration::from_millis(400))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_and_backs_off() {
    let ids = identities(3);
    let (stranger, member, target) = (Node::open(ids[0]), Node::open(ids[1]), Node::open(ids[2]));
    // Who is dialled knows the member first: the stranger alone is refused.
    target.join(1, vec![member.member()]);
    member.join(1, vec![target.member()]);
    stranger.join(1, vec![target.member()]);
    member.connected(1).await;

    let mut seen = stranger.peer(ids[2]);
    until(|| {
        seen = stranger.peer(ids[2]);
        has_backed_off(seen.state)
    })
    .await;
    assert_eq!(seen.last_error, Some(LinkError::NotRecognized));
    assert_eq!(seen.connections, 0);
    let PeerState::Waiting { failures, .. } = seen.state else { unreachable!() };
    assert_eq!(u64::from(failures), seen.dials, "no success has reset the back-off");
    assert!((4..=8).contains(&failures), "{failures}");
    until(|| target.snapshot().refused_for(Refusal::NotMember) >= 4).await;
    let refused = target.snapshot().refused_for(Refusal::NotMember);
    let dials = stranger.peer(ids[2]).dials;
    assert!(refused <= dials, "{refused} of {dials}");
    // Nobody else noticed.
    assert_eq!(member.peer(ids[2]).connections, 1);
    assert!(member.send(Channel::Votes, ids[2], "still here"));
    finish(vec![stranger, member, target]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_reaches_both_sides_of_a_pair_and_disturbs_neither() {
    let ids = identities(3);
    let (lower, higher) = (Node::open(ids[0]), Node::open(ids[2]));
    for node in [&higher, &lower] {
        node.join(1, vec![lower.member(), higher.member(), ids[1].member(LOOPBACK)]);
    }
    lower.connected(1).await;
    let open = |id, network| {
        let (listen, options) = (LOOPBACK, SocketOptions::default());
        Probe::open(network, id, listen, &options).unwrap()
    };
    let probe = open(ids[1].network(), network_id());
    for peer in [&lower, &higher] {
        probe.reach(&peer.member(), Duration::from_secs(5)).await.unwrap();
    }
    // Another network, another key at the address, nobody at the address.
    let foreign = open(ids[1].network(), NetworkId::from_bytes([0x22; 32]));
    let wrong = foreign.reach(&higher.member(), Duration::from_secs(5)).await;
    assert_eq!(wrong, Err(ProbeError::Link(LinkError::WrongNetwork)));
    let other = ids[1].member(higher.address());
    let wrong = probe.reach(&other, Duration::from_secs(5)).await;
    assert_eq!(wrong, Err(ProbeError::Link(LinkError::WrongKey)));
    let nobody = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let silent = ids[2].member(nobody.local_addr().unwrap());
    let patience = Duration::from_millis(200);
    assert_eq!(probe.reach(&silent, patience).await, Err(ProbeError::Silent(patience)));
    probe.close().await;
    foreign.close().await;
    assert_eq!(lower.peer(ids[2]).connections, 1);
    assert!(lower.peer(ids[2]).is_connected());
    finish(vec![lower, higher]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_network_is_refused_by_name() {
    let ids = identities(2);
    let mut config = ids[0].config(LOOPBACK);
    config.network_id = NetworkId::from_bytes([0x22; 32]);
    let (lower, higher) = (Node::with(ids[0], config), Node::open(ids[1]));
    lower.join(1, vec![higher.member()]);
    higher.join(1, vec![lower.member()]);
    until(|| lower.peer(ids[1]).last_error == Some(LinkError::WrongNetwork)).await;
    until(|| higher.snapshot().refused_for(Refusal::WrongNetwork) > 0).await;
    assert_eq!(lower.peer(ids[1]).connections, 0);
    finish(vec![lower, higher]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impostor_at_a_members_address_is_recognized() {
    let ids = identities(3);
    let (lower, impostor) = (Node::open(ids[0]), Node::open(ids[1]));
    impostor.join(1, vec![lower.member()]);
    lower.join(1, vec![ids[2].member(impostor.address())]);
    until(|| has_backed_off(lower.peer(ids[2]).state)).await;
    assert_eq!(lower.peer(ids[2]).last_error, Some(LinkError::WrongKey));
    assert_eq!(lower.peer(ids[2]).connections, 0);
    assert_eq!(impostor.peer(ids[0]).connections, 0);
    finish(vec![lower, impostor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_higher_key_may_not_dial() {
    let ids = identities(2);
    let lower = Node::open(ids[0]);
    lower.join(1, vec![ids[1].member(LOOPBACK)]);
    let own_key = ids[0].network().public_key();
    let dialled = RawPeer::dial(&ids[1].network(), &network_id(), own_key, lower.address()).await;
    // The refusal may come before or after the dialler's side of the handshake is done.
    match dialled {
        Ok(raw) => assert_eq!(within(raw.closed()).await, Ok(CloseReason::WrongDirection)),
        Err(RawPeerError::Connection(quinn::ConnectionError::ApplicationClosed(close))) => {
            assert_eq!(CloseReason::from_code(close.error_code), CloseReason::WrongDirection);
        }
        Err(error) => panic!("{error}"),
    }
    until(|| lower.snapshot().refused_for(Refusal::WrongDirection) == 1).await;
    finish(vec![lower]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_the_set_closes_and_returning_reconnects() {
    let nodes = committee(3).await;
    let ids: Vec<_> = nodes.iter().map(|node| node.identity).collect();
    let mut directory = nodes[2].network.directory();
    let mut sets = directory.subscribe().await;
    assert_eq!(within(sets.recv()).await.unwrap().index, 1);

    // Around an epoch change both sets are connected; when the old one is retired, who is only
    // in that one goes.
    directory.track(2, set_of(&ids[1..]));
    let update = within(sets.recv()).await.unwrap();
    assert_eq!((update.index, update.latest.primary.len(), update.all.primary.len()), (2, 2, 3));
    assert_eq!(nodes[2].snapshot().connected(), 2);
    directory.retire_before(2);
    until(|| {
        let error = nodes[0].peer(ids[2]).last_error;
        error == Some(LinkError::ClosedByPeer(CloseReason::NotMember))
            || error == Some(LinkError::NotRecognized)
    })
    .await;
    assert_eq!(nodes[2].snapshot().peers.len(), 1);
    until(|| nodes[2].snapshot().closed_for(CloseReason::NotMember) == 1).await;
    assert_eq!(nodes[1].snapshot().connected(), 2, "the others stay connected");

    directory.track(3, set_of(&ids));
    nodes[2].connected(2).await;
    assert_eq!(directory.peer_set(2).await.unwrap().primary, set_of(&ids[1..]));
    finish(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_peer_loses_its_connection_for_good() {
    let nodes = committee(3).await;
    let ids: Vec<_> = nodes.iter().map(|node| node.identity).collect();
    let mut directory = nodes[1].network.directory();
    let mut blocked = directory.blocked();
    assert_eq!(within(blocked.recv()).await.unwrap().len(), 0);
    directory.block(ids[0].key());
    assert_eq!(within(blocked.recv()).await.unwrap(), set_of(&ids[..1]));
    assert_eq!(nodes[1].peer(ids[0]).state, PeerState::Blocked);
    until(|| nodes[1].snapshot().closed_for(CloseReason::Blocked) == 1).await;
    // The blocked peer dials and is refused; also a new set does not change that.
    directory.track(2, set_of(&ids));
    until(|| nodes[0].peer(ids[1]).last_error == Some(LinkError::NotRecognized)).await;
    assert_eq!(nodes[1].peer(ids[0]).connections, 1);
    assert_eq!(nodes[1].snapshot().connected(), 1);
    assert!(!nodes[1].send(Channel::Votes, ids[0], "nobody"));

    directory.unblock(&ids[0].key());
    nodes[1].connected(2).await;
    // Blocking somebody that we dial ends the dialling.
    directory.block(ids[2].key());
    nodes[2].connected(1).await;
    let dials = nodes[1].peer(ids[2]).dials;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(nodes[1].peer(ids[2]).dials, dials);
    finish(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_network_key_takes_the_place_of_the_old_one() {
    let nodes = committee(2).await;
    let ids = [nodes[0].identity, nodes[1].identity];
    // The higher one is told that the lower one has another key: the old one is refused.
    let renewed = NetworkSecret::from_seed([0x77; 32]).unwrap().public_key();
    let certificate = certify(&ids[0].consensus(), &renewed);
    let consensus_key = ids[0].consensus().public_key();
    let member = Member::new(consensus_key, renewed, &certificate, nodes[0].address()).unwrap();
    nodes[1].network.directory().learn(vec![member]).unwrap();
    until(|| nodes[1].snapshot().closed_for(CloseReason::RecordChanged) == 1).await;
    // The last error alone does not say it: the lower one may have dialled before the higher one
    // knew it, and then that error stands there since, beside the connection.
    until(|| {
        let peer = nodes[0].peer(ids[1]);
        matches!(peer.state, PeerState::Waiting { .. } | PeerState::Dialling)
            && peer.last_error == Some(LinkError::NotRecognized)
    })
    .await;
    nodes[1].network.directory().learn(vec![nodes[0].member()]).unwrap();
    nodes[0].connected(1).await;
    finish(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_say_what_is_going_on() {
    let ids = identities(3);
    let node = Node::open(ids[1]);
    node.network.directory().track(1, set_of(&ids));
    assert_eq!(node.peer(ids[0]).state, PeerState::Unknown);
    assert_eq!(node.peer(ids[0]).address, None);
    let nobody = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let address = nobody.local_addr().unwrap();
    node.network.directory().learn(vec![ids[0].member(address), ids[2].member(address)]).unwrap();
    assert_eq!(node.peer(ids[0]).state, PeerState::Awaited);
    until(|| node.peer(ids[2]).state == PeerState::Dialling).await;
    assert_eq!(node.peer(ids[2]).address, Some(address));
    assert_eq!(node.snapshot().connected(), 0);
    let socket = node.network.socket();
    assert!(socket.receive_bytes > 0 && socket.receive_bytes <= socket.asked_bytes);
    assert!(socket.send_bytes > 0 && socket.send_bytes <= socket.asked_bytes);
    finish(vec![node]).await;
}
