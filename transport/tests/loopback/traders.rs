//! The trader endpoint: requests and replies, refusals, and floods.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use fairveil_crypto::NetworkId;
use fairveil_transport::{
    Channel, CloseReason, EndpointSecret, LinkError, NetworkPublicKey, NetworkSecret,
    SocketOptions,
    trader::{
        BucketLimits, TraderClient, TraderClientConfig, TraderConfig, TraderConnectError,
        TraderEndpoint, TraderLimits, TraderRefusal, TraderRequest, TraderRequestError,
    },
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::support::{
    LOOPBACK, PATIENCE, committee, finish, network_id, no_tasks_left, until, within,
};

pub(crate) fn secret() -> NetworkSecret {
    NetworkSecret::from_seed([0x5a; 32]).unwrap()
}

pub(crate) fn one(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

/// Limits that no test hits unless it wants to.
pub(crate) fn generous() -> TraderLimits {
    TraderLimits {
        bucket: BucketLimits { burst: one(100_000), per_second: one(100_000), max_addresses: 16 },
        max_connections_per_address: 64,
        handshake: Duration::from_secs(20),
        idle: PATIENCE,
        ..TraderLimits::default()
    }
}

pub(crate) fn open(limits: TraderLimits) -> (TraderEndpoint, mpsc::Receiver<TraderRequest>) {
    TraderEndpoint::open(TraderConfig {
        network_id: network_id(),
        network_secret: secret(),
        endpoint_secret: EndpointSecret::from_bytes([0x5b; 32]),
        listen: LOOPBACK,
        socket: SocketOptions::default(),
        limits,
        encode_refusal: Arc::new(|refusal| {
            Bytes::from(match refusal {
                TraderRefusal::Rate(exhausted) => format!("rate {}", exhausted.per_second),
                TraderRefusal::Length { actual, limit } => format!("length {actual} {limit}"),
                TraderRefusal::Busy { limit } => format!("busy {limit}"),
            })
        }),
    })
    .unwrap()
}

/// Answers every request with itself, backwards.
pub(crate) fn echo(mut requests: mpsc::Receiver<TraderRequest>, tasks: &mut JoinSet<()>) {
    tasks.spawn(async move {
        while let Some(request) = requests.recv().await {
            let mut body = request.body.to_vec();
            body.reverse();
            request.reply.send(body.into());
        }
    });
}

pub(crate) fn client_config(server: SocketAddr) -> TraderClientConfig {
    TraderClientConfig {
        network_id: network_id(),
        server_key: secret().public_key(),
        server,
        local: None,
        max_reply_bytes: 256 * 1024,
        handshake: Duration::from_secs(20),
        idle: PATIENCE,
    }
}

pub(crate) async fn connect(server: SocketAddr) -> TraderClient {
    within(TraderClient::connect(client_config(server))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_also_many_at_once() {
    let mut tasks = JoinSet::new();
    let (endpoint, requests) = open(generous());
    echo(requests, &mut tasks);
    let client = Arc::new(connect(endpoint.socket().address).await);
    let mut running = JoinSet::new();
    for number in 0..100_u32 {
        let client = client.clone();
        running.spawn(async move {
            let mut body = vec![0; 4 + number as usize * 1_000];
            body[..4].copy_from_slice(&number.to_be_bytes());
            let reply = client.request(Bytes::from(body.clone()), PATIENCE).await.unwrap();
            body.reverse();
            assert_eq!(reply, body);
        });
    }
    while let Some(done) = within(running.join_next()).await {
        done.unwrap();
    }
    assert_eq!(client.request(Bytes::new(), PATIENCE).await, Ok(Bytes::new()));
    let counts = endpoint.counts();
    assert_eq!((counts.accepted, counts.requests, counts.replies), (1, 101, 101));
    assert_eq!((counts.malformed, counts.rejected_rate, counts.connections), (0, 0, 1));
    Arc::into_inner(client).unwrap().close().await;
    until(|| endpoint.counts().connections == 0).await;
    endpoint.close().await;
    while tasks.join_next().await.is_some() {}
    no_tasks_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_pinned_and_the_network_named() {
    let (endpoint, _requests) = open(generous());
    let mut config = client_config(endpoint.socket().address);
    config.server_key = NetworkPublicKey::from_bytes([1; 32]);
    let error = TraderClient::connect(config).await.unwrap_err();
    assert!(
        matches!(error, TraderConnectError::Link { error: LinkError::WrongKey, .. }),
        "{error}"
    );
    let mut config = client_config(endpoint.socket().address);
    config.network_id = NetworkId::from_bytes([9; 32]);
    let error = TraderClient::connect(config).await.unwrap_err();
    assert!(
        matches!(error, TraderConnectError::Link { error: LinkError::WrongNetwork, .. }),
        "{error}"
    );
    until(|| endpoint.counts().failed_handshakes == 2).await;
    endpoint.close().await;
    no_tasks_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_replies_of_the_caller() {
    let limits = TraderLimits { queue: 2, max_request_bytes: 1_000, ..generous() };
    let (endpoint, mut requests) = open(limits);
    let client = Arc::new(connect(endpoint.socket().address).await);
    let body = |bytes| Bytes::from(vec![0; bytes]);

    let refused = client.request(body(1_001), PATIENCE).await;
    assert_eq!(refused, Ok(Bytes::from_static(b"length 1001 1000")));
    // So large that the server refuses while it is still being sent.
    let refused = client.request(body(5_000_000), PATIENCE).await;
    assert_eq!(refused, Ok(Bytes::from_static(b"length 5000000 1000")));

    // Nobody takes requests: two wait, the third is refused.
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let client = client.clone();
        waiting.spawn(async move { client.request(Bytes::from_static(b"wait"), PATIENCE).await });
    }
    until(|| endpoint.counts().requests == 2).await;
    let refused = client.request(body(1), PATIENCE).await;
    assert_eq!(refused, Ok(Bytes::from_static(b"busy 2")));

    // One is answered, the other is dropped by the caller.
    let first = within(requests.recv()).await.unwrap();
    assert_eq!(first.body, "wait");
    assert!(first.from.ip().is_loopback());
    first.reply.send(Bytes::from_static(b"done"));
    drop(within(requests.recv()).await.unwrap());
    let mut outcomes = Vec::new();
    while let Some(outcome) = within(waiting.join_next()).await {
        outcomes.push(outcome.unwrap());
    }
    assert!(outcomes.contains(&Ok(Bytes::from_static(b"done"))), "{outcomes:?}");
    assert!(outcomes.contains(&Err(TraderRequestError::NoReply)), "{outcomes:?}");

    // A reply that takes too long, and one that is too large.
    let brief = Duration::from_secs(1);
    let outcome = client.request(body(3), brief).await;
    assert_eq!(outcome, Err(TraderRequestError::Timeout(brief)));
    drop(within(requests.recv()).await.unwrap());
    let large = {
        let client = client.clone();
        tokio::spawn(async move { client.request(Bytes::from_static(b"large"), PATIENCE).await })
    };
    within(requests.recv()).await.unwrap().reply.send(body(256 * 1024 + 1));
    let limit = 256 * 1024;
    assert_eq!(
        within(large).await.unwrap(),
        Err(TraderRequestError::Length { actual: limit + 1, limit })
    );
    let counts = endpoint.counts();
    assert_eq!((counts.rejected_length, counts.rejected_busy, counts.malformed), (2, 1, 0));
    endpoint.close().await;
    let outcome = client.request(body(1), PATIENCE).await;
    assert!(
        matches!(
            outcome,
            Err(TraderRequestError::Connection(LinkError::ClosedByPeer(CloseReason::Shutdown)))
        ),
        "{outcome:?}"
    );
    drop(client);
    no_tasks_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_address_is_refused_then_disconnected_and_others_are_served() {
    let mut tasks = JoinSet::new();
    let limits = TraderLimits {
        // A bucket that does not refill within the test.
        bucket: BucketLimits { burst: one(10), per_second: one(1), max_addresses: 16 },
        connection_tokens: one(2),
        max_refusals: 5,
        ..generous()
    };
    let (endpoint, requests) = open(TraderLimits { request: PATIENCE, ..limits });
    echo(requests, &mut tasks);
    let address = endpoint.socket().address;
    let flooder = connect(address).await;
    let (mut answered, mut refused) = (0, 0);
    let ended = loop {
        match flooder.request(Bytes::from_static(b"ab"), PATIENCE).await {
            Ok(reply) if reply == "ba" => answered += 1,
            Ok(reply) => {
                assert_eq!(reply, "rate 1");
                refused += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(ended, TraderRequestError::Rate);
    assert!((8..20).contains(&answered), "{answered} of a burst of 10, 2 for the connection");
    assert!((4..=5 + 1).contains(&refused), "{refused}");
    assert!(!flooder.is_connected());
    // Another address of the same machine has its own bucket.
    let mut config = client_config(address);
    config.local = Some("127.0.0.2:0".parse().unwrap());
    let other = within(TraderClient::connect(config)).await.unwrap();
    assert_eq!(other.request(Bytes::from_static(b"xy"), PATIENCE).await.unwrap(), "yx");
    let counts = endpoint.counts();
    assert!(counts.refused_rate >= 1 && counts.rejected_rate >= 5);
    other.close().await;
    endpoint.close().await;
    drop(flooder);
    while tasks.join_next().await.is_some() {}
    no_tasks_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_and_retried_when_busy() {
    let limits = TraderLimits {
        max_connections: 4,
        max_connections_per_address: 3,
        retry_from: 2,
        ..generous()
    };
    let (endpoint, _requests) = open(limits);
    let address = endpoint.socket().address;
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(connect(address).await);
    }
    until(|| endpoint.counts().accepted == 2).await;
    assert_eq!(endpoint.counts().retried, 0);
    clients.push(connect(address).await);
    assert!(endpoint.counts().retried >= 1);
    // The fourth of this address is closed after its handshake.
    let fourth = TraderClient::connect(client_config(address)).await;
    until(|| endpoint.counts().refused_busy >= 1).await;
    drop(fourth);
    until(|| endpoint.counts().connections == 3).await;
    // Another address gets the last place; then nobody gets one.
    let mut config = client_config(address);
    config.local = Some("127.0.0.2:0".parse().unwrap());
    clients.push(within(TraderClient::connect(config)).await.unwrap());
    until(|| endpoint.counts().connections == 4).await;
    config.local = Some("127.0.0.3:0".parse().unwrap());
    let error = TraderClient::connect(config).await.unwrap_err();
    assert!(matches!(error, TraderConnectError::Link { error: LinkError::Busy, .. }), "{error}");
    // A place is free again when somebody leaves.
    clients.pop().unwrap().close().await;
    until(|| endpoint.counts().connections == 3).await;
    clients.push(within(TraderClient::connect(config)).await.unwrap());
    endpoint.close().await;
    drop(clients);
    no_tasks_left().await;
}

/// Votes between sequencers go on, in order and without a drop, while traders flood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_traders_does_not_touch_the_sequencers() {
    let mut nodes = committee(2).await;
    let to = nodes[1].identity;
    let limits = TraderLimits { max_refusals: u32::MAX, ..generous() };
    let bucket = BucketLimits { burst: one(50), per_second: one(50), max_addresses: 16 };
    let (endpoint, mut requests) = open(TraderLimits { bucket, ..limits });
    let address = endpoint.socket().address;
    let mut flood = JoinSet::new();
    for _ in 0..4 {
        let client = connect(address).await;
        flood.spawn(async move {
            while client.request(Bytes::from(vec![0; 10_000]), PATIENCE).await.is_ok() {}
        });
    }
    flood.spawn(async move {
        while let Some(request) = requests.recv().await {
            request.reply.send(Bytes::new());
        }
    });
    until(|| endpoint.counts().rejected_rate > 100).await;
    for at in 0..500_u32 {
        assert!(nodes[0].send(Channel::Votes, to, at.to_be_bytes().to_vec()));
        assert_eq!(nodes[1].receive(Channel::Votes).await.1[..], at.to_be_bytes());
    }
    let counts = || *nodes[0].peer(to).channel(Channel::Votes);
    until(|| counts().sent >= 500).await;
    let counts = counts();
    assert_eq!((counts.sent, counts.dropped_full, counts.lost), (500, 0, 0));
    assert_eq!(nodes[0].peer(to).connections, 1);
    flood.shutdown().await;
    endpoint.close().await;
    finish(nodes).await;
}
