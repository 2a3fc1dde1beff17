//! The secrets of a simulated committee, all from its seed.

use fairveil_crypto::committee::{Committee, KeyShare};
use fairveil_crypto::dealer::{Dealt, deal};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{Epoch, NetworkId, SequencerIndex};
use fairveil_sequencer::Secrets;

/// The epoch of all simulated committees.
pub(crate) const EPOCH: Epoch = Epoch::new(1);

/// A committee whose keys a trusted dealer made: what a simulation may do and nobody else.
pub(crate) struct Keys {
    dealt: Dealt,
    /// The network.
    pub(crate) network_id: NetworkId,
}

impl Keys {
    /// The keys of a committee of `n`.
    pub(crate) fn new(seed: u64, n: u16) -> Self {
        let seed = hash(Tag::TestDealer, &[b"committee", &seed.to_be_bytes(), &n.to_be_bytes()]);
        let network = hash(Tag::TestDealer, &[b"network", seed.as_bytes()]);
        Self {
            dealt: deal(EPOCH, n, &seed.to_bytes()),
            network_id: NetworkId::from_bytes(network.to_bytes()),
        }
    }

    /// What everybody knows.
    pub(crate) fn committee(&self) -> &Committee {
        &self.dealt.committee
    }

    /// What the sequencer at `position` knows besides.
    pub(crate) fn secrets(&self, position: usize) -> Secrets {
        let index = SequencerIndex::from_position(position).expect("a member of the committee");
        let key_share: KeyShare = self.dealt.polynomial.key_share(index);
        let consensus_seed = self.dealt.consensus_secrets[position].expose_seed();
        Secrets { consensus_seed, key_share }
    }
}
