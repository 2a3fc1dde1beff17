//! Strict priorities: what is urgent goes first, whatever is queued before it.

use std::time::Duration;

use fairveil_transport::{
    Channel,
    testing::{Faults, LossyProxy},
};

use crate::support::{Node, finish, identities, until, within};

/// Backfill is queued first, votes after it, all while nothing gets through. Once the link is
/// back, every vote arrives before the backfill does: what was on the wire already is the only
/// exception.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_backfill_does_not_delay_votes() {
    const VOTES: u32 = 700;
    const BACKFILL: u64 = 60;
    const BACKFILL_BYTES: usize = 60 * 1024;
    let ids = identities(2);
    let (lower, mut higher) = (Node::open(ids[0]), Node::open(ids[1]));
    let delay = Duration::from_millis(10);
    let faults = Faults { seed: 1, delay, ..Faults::default() };
    let proxy = LossyProxy::start(higher.address(), faults).await.unwrap();
    higher.join(1, vec![lower.member()]);
    lower.join(1, vec![ids[1].member(proxy.address())]);
    lower.connected(1).await;
    higher.connected(1).await;

    proxy.block();
    for _ in 0..BACKFILL {
        assert!(lower.send(Channel::Backfill, ids[1], vec![0; BACKFILL_BYTES]));
    }
    // QUIC has taken as much backfill as one stream's window allows.
    until(|| lower.peer(ids[1]).channel(Channel::Backfill).sent >= 20).await;
    for at in 0..VOTES {
        assert!(lower.send(Channel::Votes, ids[1], vec![at.to_be_bytes()[3]; 1024]));
    }
    until(|| lower.peer(ids[1]).channel(Channel::Votes).sent == u64::from(VOTES)).await;
    proxy.unblock();

    let (_, mut votes) = higher.take(Channel::Votes);
    let (_, mut backfill) = higher.take(Channel::Backfill);
    let (mut seen_votes, mut seen_backfill, mut before_last_vote) = (0, 0, 0);
    while seen_backfill < BACKFILL {
        tokio::select! {
            biased;
            vote = within(votes.next()) => {
                vote.unwrap();
                seen_votes += 1;
                before_last_vote = seen_backfill;
            }
            message = within(backfill.next()) => {
                message.unwrap();
                seen_backfill += 1;
            }
        }
    }
    assert_eq!(seen_votes, VOTES);
    // 700 KiB of votes went before all but the backfill that was in flight when they were queued.
    assert!(before_last_vote <= 10, "{before_last_vote} of {BACKFILL} came before the last vote");
    drop(proxy);
    finish(vec![lower, higher]).await;
}

/// The same with the order of all channels: each finishes before the next one begins in earnest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_goes_before_the_next() {
    const COUNT: usize = 16;
    const BYTES: usize = 8 * 1024;
    let ids = identities(2);
    let (lower, mut higher) = (Node::open(ids[0]), Node::open(ids[1]));
    let faults = Faults { seed: 2, delay: Duration::from_millis(5), ..Faults::default() };
    let proxy = LossyProxy::start(higher.address(), faults).await.unwrap();
    higher.join(1, vec![lower.member()]);
    lower.join(1, vec![ids[1].member(proxy.address())]);
    lower.connected(1).await;
    higher.connected(1).await;

    proxy.block();
    for channel in Channel::ALL.iter().rev() {
        for _ in 0..COUNT {
            assert!(lower.send(*channel, ids[1], vec![channel.id(); BYTES]));
        }
        until(|| lower.peer(ids[1]).channel(*channel).sent == COUNT as u64).await;
    }
    proxy.unblock();

    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut readers = tokio::task::JoinSet::new();
    for channel in Channel::ALL {
        let (_, mut receiver) = higher.take(channel);
        let arrivals = arrivals.clone();
        readers.spawn(async move {
            for _ in 0..COUNT {
                receiver.next().await.unwrap();
                arrivals.send(channel).unwrap();
            }
        });
    }
    let mut order = Vec::new();
    while order.len() < COUNT * Channel::ALL.len() {
        order.push(within(arrived.recv()).await.unwrap());
    }
    // An inversion is a message that came before one of a more urgent channel. Served in turn,
    // the channels would have over three thousand; the first flight of packets allows a few.
    let inversions: usize = (0..order.len())
        .map(|at| order[at + 1..].iter().filter(|later| **later < order[at]).count())
        .sum();
    assert!(inversions <= 1_200, "{inversions} inversions");
    drop(proxy);
    finish(vec![lower, higher]).await;
}
