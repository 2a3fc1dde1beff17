//! Messages to the other sequencers.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::SequencerIndex;
use rand_core_10::CryptoRng;

use super::{Actor, Lane};
use crate::behaviour::Behaviour;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Hands a message to the queues of these peers.
    pub(crate) fn send(&mut self, lane: Lane, to: &[SequencerIndex], bytes: Vec<u8>) {
        match self.adversary.behaviour {
            Behaviour::Partitioner => self.send_apart(lane, to, bytes),
            _ => self.send_at_once(lane, to, bytes),
        }
    }

    pub(super) fn send_at_once(&mut self, lane: Lane, to: &[SequencerIndex], bytes: Vec<u8>) {
        let own = self.config.index;
        let keys: Vec<_> = to
            .iter()
            .filter(|index| **index != own)
            .filter_map(|index| self.keys.get(index.position()).cloned())
            .collect();
        self.send_to(lane, keys, bytes);
    }

    /// Hands a message to the queues of these keys' owners, members of this epoch or not.
    pub(crate) fn send_to(&mut self, lane: Lane, keys: Vec<PublicKey>, bytes: Vec<u8>) {
        if !keys.is_empty() {
            self.senders[lane as usize].send(Recipients::Some(keys), bytes, false);
        }
    }

    /// All sequencers but this one.
    pub(crate) fn peers(&self) -> Vec<SequencerIndex> {
        let own = self.config.index;
        self.config.committee.indices().filter(|index| *index != own).collect()
    }
}
