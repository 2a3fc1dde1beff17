//! A lossy UDP proxy for tests, in the same process.
//!
//! Whoever sends to the proxy's address reaches the target through it, and gets the answers back
//! from it. Every sender has a socket of its own towards the target, so the target sees different
//! addresses for different senders.
//!
//! Invariants:
//!
//! 1. What happens to the k-th packet of a sender in one direction depends on the seed, the
//!    sender's place in the order of first appearance, the direction and k alone; not on the clock.
//! 2. While the proxy is blocked nothing passes, in either direction.
//! 3. When the proxy is dropped, none of its tasks is left.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{net::UdpSocket, task::JoinSet};

/// Largest UDP payload.
const PACKET_BYTES: usize = 65_536;

/// What happens to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Seed of every decision.
    pub seed: u64,
    /// Packets of a thousand that are dropped.
    pub drop_per_mille: u32,
    /// Packets of a thousand that are held back by `reorder_by` more.
    pub reorder_per_mille: u32,
    /// How long such a packet is held back.
    pub reorder_by: Duration,
    /// Delay of every packet.
    pub delay: Duration,
}

/// The proxy.
#[derive(Debug)]
pub struct LossyProxy {
    address: SocketAddr,
    switch: Arc<Switch>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Switch {
    blocked: AtomicBool,
    passed: AtomicU64,
    dropped: AtomicU64,
}

impl LossyProxy {
    /// Starts a proxy on a loopback address of its own, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If there is no socket.
    pub async fn start(target: SocketAddr, faults: Faults) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = front.local_addr()?;
        let switch = Arc::new(Switch::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(front, target, faults, switch.clone()));
        Ok(Self { address, switch, _tasks: tasks })
    }

    /// Where to send to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing pass any more.
    pub fn block(&self) {
        self.switch.blocked.store(true, Ordering::Release);
    }

    /// Lets packets pass again.
    pub fn unblock(&self) {
        self.switch.blocked.store(false, Ordering::Release);
    }

    /// Packets that passed.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.switch.passed.load(Ordering::Relaxed)
    }

    /// Packets that were dropped, by chance or because the proxy was blocked.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.switch.dropped.load(Ordering::Relaxed)
    }
}

/// One direction of one sender.
struct Lane {
    faults: Faults,
    switch: Arc<Switch>,
    decisions: StdRng,
}

impl Lane {
    fn new(faults: Faults, switch: Arc<Switch>, sender: u64, direction: u64) -> Self {
        let seed = faults.seed ^ (sender << 1 | direction).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { faults, switch, decisions: StdRng::seed_from_u64(seed) }
    }

    /// How long the next packet is held back; `None` drops it.
    fn decide(&mut self) -> Option<Duration> {
        let drops = self.decisions.random_range(0..1000) < self.faults.drop_per_mille;
        let reorders = self.decisions.random_range(0..1000) < self.faults.reorder_per_mille;
        if drops || self.switch.blocked.load(Ordering::Acquire) {
            self.switch.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let more = if reorders { self.faults.reorder_by } else { Duration::ZERO };
        Some(self.faults.delay + more)
    }

    /// Sends a packet when its time has come.
    async fn pass(
        &mut self,
        socket: &Arc<UdpSocket>,
        to: SocketAddr,
        packet: &[u8],
        tasks: &mut JoinSet<()>,
    ) {
        let Some(delay) = self.decide() else {
            return;
        };
        while tasks.try_join_next().is_some() {}
        let switch = self.switch.clone();
        if delay.is_zero() {
            send(&switch, socket, to, packet).await;
        } else {
            let (socket, packet) = (socket.clone(), packet.to_vec());
            tasks.spawn(async move {
                tokio::time::sleep(delay).await;
                send(&switch, &socket, to, &packet).await;
            });
        }
    }
}

async fn send(switch: &Switch, socket: &UdpSocket, to: SocketAddr, packet: &[u8]) {
    // The target may be down: that is what such tests are about.
    if !switch.blocked.load(Ordering::Acquire) && socket.send_to(packet, to).await.is_ok() {
        switch.passed.fetch_add(1, Ordering::Relaxed);
    } else {
        switch.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

async fn forward(front: Arc<UdpSocket>, target: SocketAddr, faults: Faults, switch: Arc<Switch>) {
    let mut senders: BTreeMap<SocketAddr, (Arc<UdpSocket>, Lane)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut delayed = JoinSet::new();
    let mut packet = vec![0; PACKET_BYTES];
    loop {
        // An error is the echo of a packet to a closed port.
        let Ok((length, from)) = front.recv_from(&mut packet).await else {
            continue;
        };
        if !senders.contains_key(&from) {
            let Ok(back) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else {
                continue;
            };
            let back = Arc::new(back);
            let number = senders.len() as u64;
            let lane = Lane::new(faults, switch.clone(), number, 1);
            tasks.spawn(backward(front.clone(), back.clone(), from, lane));
            senders.insert(from, (back, Lane::new(faults, switch.clone(), number, 0)));
        }
        if let Some((back, lane)) = senders.get_mut(&from) {
            lane.pass(back, target, &packet[..length], &mut delayed).await;
        }
    }
}

async fn backward(front: Arc<UdpSocket>, back: Arc<UdpSocket>, to: SocketAddr, mut lane: Lane) {
    let mut delayed = JoinSet::new();
    let mut packet = vec![0; PACKET_BYTES];
    loop {
        if let Ok((length, _)) = back.recv_from(&mut packet).await {
            lane.pass(&front, to, &packet[..length], &mut delayed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fates(seed: u64, sender: u64, direction: u64) -> Vec<Option<Duration>> {
        let faults = Faults {
            seed,
            drop_per_mille: 300,
            reorder_per_mille: 300,
            reorder_by: Duration::from_millis(5),
            delay: Duration::from_millis(1),
        };
        let mut lane = Lane::new(faults, Arc::default(), sender, direction);
        (0..200).map(|_| lane.decide()).collect()
    }

    /// Invariant 1.
    #[test]
    fn decisions_come_from_the_seed() {
        assert_eq!(fates(1, 0, 0), fates(1, 0, 0));
        assert_ne!(fates(1, 0, 0), fates(2, 0, 0));
        assert_ne!(fates(1, 0, 0), fates(1, 1, 0));
        assert_ne!(fates(1, 0, 0), fates(1, 0, 1));
        let dropped = fates(1, 0, 0).iter().filter(|fate| fate.is_none()).count();
        assert!((30..90).contains(&dropped), "{dropped} of 200 at 30 %");
    }

    /// Invariant 2, and: answers find their way back.
    #[tokio::test]
    async fn packets_pass_both_ways_unless_blocked() {
        let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy =
            LossyProxy::start(target.local_addr().unwrap(), Faults::default()).await.unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut buffer = [0; 16];
        proxy.block();
        sender.send_to(b"lost", proxy.address()).await.unwrap();
        while proxy.dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.unblock();
        sender.send_to(b"ping", proxy.address()).await.unwrap();
        let (length, from) = target.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"ping");
        target.send_to(b"pong", from).await.unwrap();
        let (length, from) = sender.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (b"pong".as_slice(), proxy.address()));
    }
}
