//! Messages arrive, in order, within the bounds, and every one of them is accounted for.

use bytes::Bytes;
use commonware_p2p::{CheckedSender as _, LimitedSender as _, Receiver as _, Recipients};
use fairveil_transport::{
    Channel, ChannelTaken, INLINE_BYTES, NetworkClosed, Oversize, PeerState, WhenFull,
    testing::{Faults, LossyProxy},
};

use crate::support::{Node, committee, finish, identities, until, within};

fn numbered(number: u32, bytes: usize) -> Bytes {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(bytes.max(4), 0xa5);
    message.into()
}

fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[..4].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_delivers_in_order_both_ways() {
    let mut nodes = committee(2).await;
    let ids = [nodes[0].identity, nodes[1].identity];
    for channel in Channel::ALL {
        // As many as the smallest queue holds.
        let count = 32;
        for (from, to) in [(0, 1), (1, 0)] {
            for at in 0..count {
                assert!(nodes[from].send(channel, ids[to], numbered(at, 4 + at as usize)));
            }
            for at in 0..count {
                let (key, message) = nodes[to].receive(channel).await;
                assert_eq!(key, ids[from].key());
                assert_eq!(message, numbered(at, 4 + at as usize), "{}", channel.name());
            }
            let counts = || *nodes[from].peer(ids[to]).channel(channel);
            until(|| counts().sent >= u64::from(count)).await;
            let counts = counts();
            assert_eq!(counts.sent, u64::from(count));
            assert_eq!((counts.dropped_full, counts.dropped_offline, counts.lost), (0, 0, 0));
        }
    }
    assert!(matches!(nodes[0].peer(ids[1]).state, PeerState::Connected { .. }));
    finish(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_up_to_the_limit_arrives() {
    let mut nodes = committee(2).await;
    let to = nodes[1].identity;
    for channel in Channel::ALL {
        let limit = channel.max_message_bytes();
        for size in [0, 1, INLINE_BYTES, INLINE_BYTES + 1, limit - 1, limit] {
            if size > limit {
                continue;
            }
            let message = Bytes::from(vec![channel.id(); size]);
            assert!(nodes[0].send(channel, to, message.clone()));
            assert_eq!(nodes[1].receive(channel).await.1, message, "{} {size}", channel.name());
        }
        let message = Bytes::from(vec![0; limit + 1]);
        let refused = nodes[0].sender(channel).offer(&Recipients::All, &message);
        assert_eq!(refused, Err(Oversize { channel, bytes: limit + 1, limit }));
    }
    finish(nodes).await;
}

/// commonware's contract says that an oversize message panics; nothing else does.
#[tokio::test]
async fn the_engines_trait_panics_on_oversize_alone() {
    let node = Node::open(identities(1)[0]);
    let mut sender = node.sender(Channel::Votes);
    let checked = sender.check(Recipients::All).unwrap();
    assert!(!checked.send(vec![0; Channel::Votes.max_message_bytes()], true).accepted());
    let oversize = tokio::spawn(async move {
        let checked = sender.check(Recipients::All).unwrap();
        checked.send(vec![0; Channel::Votes.max_message_bytes() + 1], true)
    });
    assert!(oversize.await.unwrap_err().is_panic());
    finish(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_are_who_they_should_be() {
    let mut nodes = committee(3).await;
    let ids: Vec<_> = nodes.iter().map(|node| node.identity).collect();
    let stranger = identities(9).into_iter().find(|id| ids.iter().all(|known| known.0 != id.0));
    let message = Bytes::from_static(b"vote");
    let sender = nodes[0].sender(Channel::Votes);

    let mut everybody = sender.offer(&Recipients::All, &message).unwrap();
    everybody.sort();
    assert_eq!(everybody, [ids[1].key(), ids[2].key()]);
    let some = vec![ids[0].key(), ids[1].key(), ids[1].key(), stranger.unwrap().key()];
    assert_eq!(sender.offer(&Recipients::Some(some), &message).unwrap(), [ids[1].key()]);
    assert_eq!(sender.offer(&Recipients::One(ids[0].key()), &message).unwrap(), []);
    for node in &mut nodes[1..] {
        assert_eq!(node.receive(Channel::Votes).await, (ids[0].key(), message.clone()));
    }
    assert_eq!(nodes[1].receive(Channel::Votes).await, (ids[0].key(), message.clone()));

    let gone = nodes.pop().unwrap();
    gone.network.close().await;
    nodes[0].connected(1).await;
    assert!(!nodes[0].send(Channel::Votes, ids[2], "offline"));
    assert_eq!(nodes[0].peer(ids[2]).channel(Channel::Votes).dropped_offline, 1);
    finish(nodes).await;
}

#[tokio::test]
async fn a_channel_is_taken_once_and_ends_with_the_network() {
    let mut node = Node::open(identities(1)[0]);
    let taken = node.network.channel(Channel::Votes).map(|_| ()).unwrap_err();
    assert_eq!(taken, ChannelTaken(Channel::Votes));
    let (mut sender, mut receiver) = node.take(Channel::Votes);
    assert_eq!(receiver.capacity().get(), 8 * Channel::Votes.queue().messages);
    finish(vec![node]).await;
    assert_eq!(within(receiver.recv()).await.unwrap_err(), NetworkClosed);
    let checked = sender.check(Recipients::All).unwrap();
    assert!(!checked.send(b"late", true).accepted());
}

/// While nothing gets through, the queue fills, the rest is dropped and counted, and nothing
/// waits; afterwards the connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outgoing_queue_drops_and_counts() {
    let ids = identities(2);
    let (lower, mut higher) = (Node::open(ids[0]), Node::open(ids[1]));
    let proxy = LossyProxy::start(higher.address(), Faults::default()).await.unwrap();
    higher.join(1, vec![lower.member()]);
    lower.join(1, vec![ids[1].member(proxy.address())]);
    lower.connected(1).await;
    higher.connected(1).await;

    proxy.block();
    let offered = 4 * 1024;
    for at in 0..offered {
        lower.send(Channel::Votes, ids[1], numbered(at, 1024));
    }
    let before = *lower.peer(ids[1]).channel(Channel::Votes);
    assert!(before.dropped_full > 500, "{before:?}");
    assert!(before.dropped_full + 1024 <= u64::from(offered), "{before:?}");

    proxy.unblock();
    // What was taken arrives, in order and without a gap before the first drop.
    let mut last = None;
    let taken = u64::from(offered) - before.dropped_full;
    for _ in 0..taken.min(1024) {
        let at = number(&higher.receive(Channel::Votes).await.1);
        assert!(last.is_none_or(|last| last < at));
        last = Some(at);
    }
    until(|| lower.peer(ids[1]).channel(Channel::Votes).sent == taken).await;
    let after = *lower.peer(ids[1]).channel(Channel::Votes);
    assert_eq!(after.sent + after.dropped_full + after.dropped_offline, u64::from(offered));
    drop(proxy);
    finish(vec![lower, higher]).await;
}

/// Who does not read a channel for votes loses messages, counted, and keeps the first ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_incoming_queue_of_votes_drops_and_counts() {
    let mut nodes = committee(2).await;
    let to = nodes[1].identity;
    let bound = u32::try_from(Channel::Votes.queue().messages).unwrap();
    assert_eq!(Channel::Votes.when_full(), WhenFull::Drop);
    let offered = 3 * bound;
    for at in 0..offered {
        let sent = u64::from(at);
        assert!(nodes[0].send(Channel::Votes, to, numbered(at, 4)));
        if at % 500 == 499 {
            until(|| nodes[0].peer(to).channel(Channel::Votes).sent > sent).await;
        }
    }
    let from = nodes[0].identity;
    let counts = |nodes: &[Node]| *nodes[1].peer(from).channel(Channel::Votes);
    until(|| counts(&nodes).received == u64::from(offered)).await;
    assert_eq!(counts(&nodes).dropped_inbound, u64::from(offered - bound));
    for at in 0..bound {
        assert_eq!(number(&nodes[1].receive(Channel::Votes).await.1), at);
    }
    finish(nodes).await;
}

/// Who does not read a bulk channel stops its sender, loses nothing, and stalls nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_channel_that_is_not_read_pushes_back() {
    let mut nodes = committee(2).await;
    let ids = [nodes[0].identity, nodes[1].identity];
    for channel in [Channel::Blocks, Channel::Bundles, Channel::Backfill] {
        assert_eq!(channel.when_full(), WhenFull::Wait);
        // Inline and large ones in turn, until the outgoing queue is full: everything behind it
        // is full then, too.
        let mut offered = 0_u32;
        let large = channel.max_message_bytes().min(200 * 1024);
        while nodes[0].peer(ids[1]).channel(channel).dropped_full == 0 {
            let bytes = if offered.is_multiple_of(2) { large } else { 40 * 1024 };
            nodes[0].send(channel, ids[1], numbered(offered, bytes));
            offered += 1;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // The other channels do not notice.
        assert!(nodes[0].send(Channel::Votes, ids[1], "vote"));
        assert_eq!(nodes[1].receive(Channel::Votes).await.1, "vote");
        let dropped = nodes[0].peer(ids[1]).channel(channel).dropped_full;
        let mut inline = Vec::new();
        for _ in 0..u64::from(offered) - dropped {
            let (_, message) = nodes[1].receive(channel).await;
            if message.len() <= INLINE_BYTES {
                inline.push(number(&message));
            }
        }
        assert!(inline.is_sorted(), "inline messages keep their order");
        let received = *nodes[1].peer(ids[0]).channel(channel);
        assert_eq!(received.received, u64::from(offered) - dropped);
        assert_eq!(received.dropped_inbound, 0);
    }
    finish(nodes).await;
}
