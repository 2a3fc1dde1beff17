//! Restarts, silence and lossy links.

use std::time::Duration;

use fairveil_transport::{
    Channel, CloseReason, EndpointSecret, LinkError, Member, SegmentationOffload, SocketOptions,
    Timing,
    testing::{Faults, LossyProxy},
};

use crate::support::{Identity, LOOPBACK, Node, finish, identities, patient, until};

/// A dialler and an acceptor, with a proxy between them.
struct Pair {
    ids: Vec<Identity>,
    dialler: Node,
    acceptor: Node,
    proxy: LossyProxy,
}

impl Pair {
    async fn connect(timing: Timing, faults: Faults) -> Self {
        let ids = identities(2);
        let open = |id: Identity| {
            let mut config = id.config(LOOPBACK);
            config.timing = timing;
            Node::with(id, config)
        };
        let (dialler, acceptor) = (open(ids[0]), open(ids[1]));
        let proxy = LossyProxy::start(acceptor.address(), faults).await.unwrap();
        acceptor.join(1, vec![dialler.member()]);
        dialler.join(1, vec![ids[1].member(proxy.address())]);
        dialler.connected(1).await;
        acceptor.connected(1).await;
        Self { ids, dialler, acceptor, proxy }
    }
}

/// Stops a node without a word to anybody, as a crash does, and starts it again on its port. It
/// knows its peer by the time that anything gets through.
async fn crash(
    node: Node,
    proxy: &LossyProxy,
    secret: EndpointSecret,
    timing: Timing,
    peer: Member,
) -> Node {
    let (identity, address) = (node.identity, node.address());
    proxy.block();
    node.network.close().await;
    let mut config = identity.config(address);
    config.endpoint_secret = secret;
    config.timing = timing;
    let again = Node::with(identity, config);
    again.join(1, vec![peer]);
    proxy.unblock();
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_acceptor_is_back_after_a_reset_not_a_timeout() {
    // Nothing times out before the test does: only a stateless reset can end the connection.
    let Pair { ids, dialler, acceptor, proxy } = Pair::connect(patient(), Faults::default()).await;
    let secret = EndpointSecret::from_bytes([ids[1].0; 32]);
    let peer = dialler.member();
    let mut acceptor = crash(acceptor, &proxy, secret, patient(), peer).await;
    until(|| dialler.peer(ids[1]).connections == 2).await;
    assert_eq!(dialler.peer(ids[1]).last_error, Some(LinkError::Restarted));
    dialler.connected(1).await;
    acceptor.connected(1).await;
    assert!(dialler.send(Channel::Votes, ids[1], "welcome back"));
    assert_eq!(acceptor.receive(Channel::Votes).await.1, "welcome back");
    drop(proxy);
    finish(vec![dialler, acceptor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_persistent_secret_only_the_idle_timeout_helps() {
    let timing = Timing { idle: Duration::from_secs(2), ..patient() };
    let Pair { ids, dialler, acceptor, proxy } = Pair::connect(timing, Faults::default()).await;
    let secret = EndpointSecret::from_bytes([0xee; 32]);
    let acceptor = crash(acceptor, &proxy, secret, timing, dialler.member()).await;
    until(|| dialler.peer(ids[1]).connections == 2).await;
    assert_eq!(dialler.peer(ids[1]).last_error, Some(LinkError::TimedOut));
    drop(proxy);
    finish(vec![dialler, acceptor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_dialler_takes_the_place_of_its_old_connection() {
    let Pair { ids, dialler, mut acceptor, proxy } =
        Pair::connect(patient(), Faults::default()).await;
    let secret = EndpointSecret::from_bytes([ids[0].0; 32]);
    let peer = ids[1].member(proxy.address());
    let dialler = crash(dialler, &proxy, secret, patient(), peer).await;
    until(|| acceptor.peer(ids[0]).connections == 2).await;
    dialler.connected(1).await;
    acceptor.connected(1).await;
    // The old one ended either because it was superseded or because of the reset before.
    until(|| {
        acceptor.snapshot().closed_for(CloseReason::Superseded) == 1
            || acceptor.peer(ids[0]).last_error == Some(LinkError::Restarted)
    })
    .await;
    assert!(dialler.send(Channel::Blocks, ids[1], "back"));
    assert_eq!(acceptor.receive(Channel::Blocks).await.1, "back");
    drop(proxy);
    finish(vec![dialler, acceptor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_link_is_noticed_and_mended() {
    let timing = Timing { idle: Duration::from_secs(1), ..patient() };
    let Pair { ids, dialler, acceptor, proxy } = Pair::connect(timing, Faults::default()).await;
    proxy.block();
    dialler.connected(0).await;
    acceptor.connected(0).await;
    assert_eq!(dialler.peer(ids[1]).last_error, Some(LinkError::TimedOut));
    assert_eq!(acceptor.peer(ids[0]).last_error, Some(LinkError::TimedOut));
    proxy.unblock();
    dialler.connected(1).await;
    acceptor.connected(1).await;
    drop(proxy);
    finish(vec![dialler, acceptor]).await;
}

/// The window is full, and the peer's acknowledgements are a round trip away: the goodbye does not
/// wait for them. (quinn alone never sends it.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_heard_while_data_is_on_its_way() {
    let faults = Faults { delay: Duration::from_millis(200), ..Faults::default() };
    let Pair { ids, dialler, acceptor, proxy } = Pair::connect(patient(), faults).await;
    assert!(dialler.send(Channel::Blocks, ids[1], vec![7; Channel::Blocks.max_message_bytes()]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    dialler.network.close().await;
    let goodbye = LinkError::ClosedByPeer(CloseReason::Shutdown);
    until(|| acceptor.peer(ids[0]).last_error == Some(goodbye)).await;
    drop(proxy);
    finish(vec![acceptor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_link_loses_nothing_and_keeps_the_order() {
    let faults = Faults {
        seed: 7,
        drop_per_mille: 50,
        reorder_per_mille: 100,
        reorder_by: Duration::from_millis(3),
        delay: Duration::from_millis(2),
    };
    let Pair { ids, dialler, mut acceptor, proxy } = Pair::connect(patient(), faults).await;
    for at in 0..200_u32 {
        for channel in Channel::ALL {
            assert!(dialler.send(
                channel,
                ids[1],
                [at.to_be_bytes().as_slice(), &[0; 96]].concat()
            ));
        }
        // These two have the smallest queues.
        if at % 16 == 15 {
            until(|| {
                let peer = dialler.peer(ids[1]);
                let smallest = [Channel::Blocks, Channel::Backfill];
                smallest.iter().all(|channel| peer.channel(*channel).sent > u64::from(at))
            })
            .await;
        }
    }
    for channel in Channel::ALL {
        for at in 0..200_u32 {
            let (_, message) = acceptor.receive(channel).await;
            assert_eq!(message[..4], at.to_be_bytes(), "{}", channel.name());
        }
    }
    assert!(proxy.dropped() > 0, "the link was lossy");
    assert_eq!(dialler.peer(ids[1]).connections, 1);
    drop(proxy);
    finish(vec![dialler, acceptor]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segmentation_offload_can_be_switched_off() {
    let ids = identities(2);
    let open = |id: Identity| {
        let mut config = id.config(LOOPBACK);
        config.socket = SocketOptions {
            segmentation_offload: SegmentationOffload::Off,
            ..SocketOptions::default()
        };
        Node::with(id, config)
    };
    let (lower, mut higher) = (open(ids[0]), open(ids[1]));
    assert_eq!(lower.network.socket().segments, 1);
    higher.join(1, vec![lower.member()]);
    lower.join(1, vec![higher.member()]);
    lower.connected(1).await;
    let block = vec![9; Channel::Blocks.max_message_bytes()];
    assert!(lower.send(Channel::Blocks, ids[1], block.clone()));
    assert_eq!(higher.receive(Channel::Blocks).await.1, block);
    finish(vec![lower, higher]).await;
}
