//! Free ports of this machine for a network whose processes come, go and return.
//!
//! A port that the system picks is one of those that it also gives to outgoing connections: of a
//! sequencer that is killed and starts again it may be gone. These lie below, in a block for each
//! network, which it claims by holding the first port; so no other network takes one of them while
//! its owner is down.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::RangeInclusive,
};

use rand::Rng as _;

/// Ports of a block: the claim, and three of each sequencer.
const BLOCK: u16 = 64;
/// Sequencers that a block has ports for.
const MOST: u16 = (BLOCK - 1) / 3;
/// The blocks to choose from: ports 10,048 to 32,703. Outgoing connections get those from 32,768 on
/// Linux, from 49,152 elsewhere.
const BLOCKS: RangeInclusive<u16> = 157..=510;
/// How many blocks may be in use, one after the other, until it is given up.
const ATTEMPTS: usize = 1_000;

/// Loopback addresses of one sequencer, of different ports.
pub(crate) struct Addresses {
    pub(crate) peer: SocketAddr,
    pub(crate) trader: SocketAddr,
    pub(crate) rpc: SocketAddr,
}

/// A block of ports, claimed while this value lives.
pub(crate) struct Ports {
    _claim: TcpListener,
    /// Of each sequencer.
    pub(crate) addresses: Vec<Addresses>,
}

impl Ports {
    /// Claims a block for this many sequencers, of whose ports none is in use.
    ///
    /// # Errors
    ///
    /// None of [`ATTEMPTS`] blocks was free, or more sequencers than a block has ports for.
    pub(crate) fn claim(sequencers: u16) -> io::Result<Self> {
        if sequencers > MOST {
            let what = format!("ports for {sequencers} sequencers, at most {MOST}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut left = ATTEMPTS;
        loop {
            let block = BLOCK * rand::rng().random_range(BLOCKS);
            left -= 1;
            match Self::claim_block(block, sequencers) {
                Err(_) if left > 0 => {}
                claimed => return claimed,
            }
        }
    }

    fn claim_block(block: u16, sequencers: u16) -> io::Result<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let claim = TcpListener::bind(at(block))?;
        let addresses = (0..sequencers)
            .map(|sequencer| {
                let first = block + 1 + 3 * sequencer;
                let [peer, trader, rpc] = [first, first + 1, first + 2].map(at);
                // That they are free: the sockets end here.
                UdpSocket::bind(peer)?;
                UdpSocket::bind(trader)?;
                TcpListener::bind(rpc)?;
                Ok(Addresses { peer, trader, rpc })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { _claim: claim, addresses })
    }
}
