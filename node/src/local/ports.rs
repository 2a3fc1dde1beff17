//! Free ports of this machine that nothing else takes while their owner is down.
//!
//! A port that the system picks is one of those that it also gives to outgoing connections: of a
//! sequencer that is killed and starts again it may be gone. These lie below.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

use rand::Rng as _;

/// The ports to choose from: outgoing connections get those from 32,768 on Linux, from 49,152 elsewhere.
const PORTS: std::ops::Range<u16> = 10_000..32_768;
/// How many ports may be taken, one after the other, until it is given up.
const ATTEMPTS: usize = 1_000;

/// Loopback addresses of one sequencer, of different ports: for its peers, for traders, for calls.
pub(crate) type Addresses = [SocketAddr; 3];

/// Addresses of some sequencers, all found before any is given back.
pub(crate) fn free_addresses(sequencers: usize) -> io::Result<Vec<Addresses>> {
    let mut held = Vec::new();
    for _ in 0..sequencers {
        let peer = on_a_free_port(UdpSocket::bind)?;
        let trader = on_a_free_port(UdpSocket::bind)?;
        held.push((peer, trader, on_a_free_port(TcpListener::bind)?));
    }
    held.iter()
        .map(|(peer, trader, rpc)| {
            Ok([peer.local_addr()?, trader.local_addr()?, rpc.local_addr()?])
        })
        .collect()
}

fn on_a_free_port<T>(bind: fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut left = ATTEMPTS;
    loop {
        let port = rand::rng().random_range(PORTS);
        left -= 1;
        match bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            // Not "in use" alone: a port may be kept for others.
            Err(_) if left > 0 => {}
            bound => return bound,
        }
    }
}
