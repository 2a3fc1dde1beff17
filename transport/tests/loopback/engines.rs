//! commonware's own engines over this transport: broadcast and resolver, in a committee of four.

use std::{collections::BTreeMap, future::Future, time::Duration};

use bytes::Bytes;
use commonware_broadcast::{Broadcaster as _, buffered};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, ReadRangeExt, Write};
use commonware_cryptography::{Digested, Digestible, Hasher as _, Sha256, sha256};
use commonware_p2p::Recipients;
use commonware_parallel::Sequential;
use commonware_resolver::{Consumer, Delivery, Resolver as _, p2p};
use commonware_runtime::{BufMut, Runner as _, Supervisor as _, tokio as runtime};
use commonware_utils::{
    NZDuration, NZUsize,
    channel::{mpsc, oneshot},
    sequence::U64,
};
use fairveil_transport::{Channel, CloseReason, PeerState};

use crate::support::{Node, committee, until, within};

fn run<F: Future<Output = ()>>(test: impl FnOnce(runtime::Context) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        runtime::Config::new().with_worker_threads(2).with_storage_directory(folder.path());
    runtime::Runner::new(config).start(test);
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Blob(Vec<u8>);

impl Digestible for Blob {
    type Digest = sha256::Digest;

    fn digest(&self) -> sha256::Digest {
        Sha256::hash(&[&self.0])
    }
}

impl Write for Blob {
    fn write(&self, buffer: &mut impl BufMut) {
        self.0.write(buffer);
    }
}

impl EncodeSize for Blob {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl Read for Blob {
    type Cfg = RangeCfg<usize>;

    fn read_cfg(buffer: &mut impl Buf, range: &Self::Cfg) -> Result<Self, CodecError> {
        Ok(Self(Vec::read_range(buffer, *range)?))
    }
}

#[test]
fn four_members_broadcast_to_each_other() {
    run(|context| async move {
        let mut nodes = committee(4).await;
        let mut mailboxes = Vec::new();
        let mut handles = Vec::new();
        for (at, node) in nodes.iter_mut().enumerate() {
            let config = buffered::Config {
                public_key: node.identity.key(),
                mailbox_size: NZUsize!(256),
                deque_size: 16,
                priority: false,
                codec_config: RangeCfg::from(..),
                peer_provider: node.network.directory(),
                strategy: Sequential,
            };
            let context = context.child("buffered").with_attribute("node", at);
            let (engine, mailbox) = buffered::Engine::<_, _, Blob, _, _>::new(context, config);
            handles.push(engine.start(node.take(Channel::Blocks)));
            mailboxes.push(mailbox);
        }
        // Small and large ones from everybody, each of which everybody gets.
        for (from, mailbox) in mailboxes.iter().enumerate() {
            for size in [10_usize, 1_000, 70_000, 1_000_000] {
                let blob = Blob(vec![from as u8 + 1; size]);
                let digest = blob.digest();
                let waiting: Vec<_> =
                    mailboxes.iter().map(|mailbox| mailbox.subscribe(digest)).collect();
                let blob = Digested::precomputed(blob, digest);
                assert!(mailbox.broadcast(Recipients::All, blob.clone()).accepted());
                for arrival in waiting {
                    assert_eq!(within(arrival).await.unwrap().inner(), blob.inner());
                }
            }
        }
        for node in &nodes {
            for peer in node.snapshot().peers {
                let counts = peer.channel(Channel::Blocks);
                assert_eq!((counts.received, counts.dropped_inbound), (4, 0));
            }
        }
        for handle in handles {
            handle.abort();
        }
        close(nodes).await;
    });
}

/// Serves what it holds.
#[derive(Clone)]
struct Shelf(BTreeMap<U64, Bytes>);

impl p2p::Producer for Shelf {
    type Key = U64;

    fn produce(&mut self, key: U64) -> oneshot::Receiver<Bytes> {
        let (reply, receiver) = oneshot::channel();
        if let Some(value) = self.0.get(&key) {
            let _gone = reply.send(value.clone());
        }
        receiver
    }
}

/// Accepts only true values: the key, repeated.
#[derive(Clone)]
struct Reader(mpsc::UnboundedSender<(U64, Bytes)>);

fn value_of(key: u64) -> Bytes {
    Bytes::from(vec![key as u8; 300_000])
}

impl Consumer for Reader {
    type Key = U64;
    type Value = Bytes;
    type Subscriber = ();
    type Outcome = bool;

    fn deliver(&mut self, delivery: Delivery<U64, ()>, value: Bytes) -> oneshot::Receiver<bool> {
        let (verdict, receiver) = oneshot::channel();
        let valid = value == value_of(u64::from(&delivery.key));
        if valid {
            let _gone = self.0.send((delivery.key, value));
        }
        let _gone = verdict.send(valid);
        receiver
    }
}

/// A member fetches what only one other holds, and blocks the one that answers with lies.
#[test]
fn a_resolver_fetches_and_blocks_a_liar() {
    run(|context| async move {
        let mut nodes = committee(4).await;
        let truth = BTreeMap::from([(U64::new(7), value_of(7))]);
        let lie = BTreeMap::from([(U64::new(8), Bytes::from_static(b"a lie"))]);
        let shelves = [BTreeMap::new(), lie, truth, BTreeMap::new()];
        // An engine ends with its last mailbox.
        let mut mailboxes = Vec::new();
        let mut deliveries = Vec::new();
        let mut handles = Vec::new();
        for (at, (node, shelf)) in nodes.iter_mut().zip(shelves).enumerate() {
            let (results, receiver) = mpsc::unbounded_channel();
            let config = p2p::Config {
                peer_provider: node.network.directory(),
                blocker: node.network.directory(),
                consumer: Reader(results),
                producer: Shelf(shelf),
                mailbox_size: NZUsize!(64),
                me: Some(node.identity.key()),
                fetch_timeout: NZDuration!(Duration::from_secs(1)),
                fetch_retry_delay: Duration::from_millis(10),
                priority_requests: false,
                priority_responses: false,
            };
            let context = context.child("resolver").with_attribute("node", at);
            let (engine, mailbox) = p2p::Engine::new(context, config);
            handles.push(engine.start(node.take(Channel::Backfill)));
            mailboxes.push(mailbox);
            deliveries.push(receiver);
        }
        let (mailbox, results) = (&mut mailboxes[0], &mut deliveries[0]);
        let liar = nodes[1].identity;
        // Only the liar answers for 8, and is blocked for what it says.
        assert!(mailbox.fetch(U64::new(8)).accepted());
        until(|| nodes[0].peer(liar).state == PeerState::Blocked).await;
        until(|| nodes[0].snapshot().closed_for(CloseReason::Blocked) == 1).await;
        nodes[0].connected(2).await;
        // Only one other member holds 7, and it is found.
        assert!(mailbox.fetch(U64::new(7)).accepted());
        let fetched = within(results.recv()).await.unwrap();
        assert_eq!(fetched, (U64::new(7), value_of(7)));
        for handle in handles {
            handle.abort();
        }
        close(nodes).await;
    });
}

/// Other tests see to it that no task is left; here the runtime has tasks of its own.
async fn close(nodes: Vec<Node>) {
    for node in nodes {
        node.network.close().await;
    }
}
