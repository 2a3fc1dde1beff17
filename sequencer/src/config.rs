//! What one sequencer is started with.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use fairveil_consensus::timing::Timing;
use fairveil_crypto::{
    ConsensusSecret, Digest, NetworkId, SequencerIndex,
    committee::{Committee, KeyShare},
    envelope::Payer,
};
use fairveil_mempool::Limits;
use fairveil_ordering as ordering;
use fairveil_release::{registry::Registry, states::MemoryState};
use zeroize::Zeroizing;

use crate::abstention::Restored;
use crate::behaviour::Behaviour;
use crate::renewal::Resharings;
use crate::views::Views;

/// Everything public that a sequencer is started with.
#[derive(Clone)]
pub struct Config {
    /// The network: the digest of its first definition.
    pub network_id: NetworkId,
    /// The epoch's committee: keys, threshold, public key shares.
    pub committee: Committee,
    /// This sequencer's index.
    pub index: SequencerIndex,
    /// The numbers of fairness.
    pub fairness: ordering::Committee,
    /// Who decides the order.
    pub mode: ordering::Mode,
    /// The rollups with which the network began.
    pub registry: Registry,
    /// The genesis state of every rollup that is simulated, and of those that may join, by chain id.
    pub genesis: BTreeMap<u64, MemoryState>,
    /// The own nodes of followed rollups; [`crate::views::NoViews`] where there are none.
    pub views: Arc<dyn Views>,
    /// What this sequencer knows of the next epoch; [`crate::renewal::NoResharings`] for nothing.
    pub resharings: Arc<dyn Resharings>,
    /// What bundles cost; none if nothing is charged.
    pub accounting: Option<Accounting>,
    /// Digest of the transcript that the epoch begins with.
    pub transcript: Digest,
    /// Bounds of the pool.
    pub limits: Limits,
    /// Heights for which own decryption shares are kept to answer requests: members that are
    /// further behind take over certified releases.
    pub kept_share_heights: u64,
    /// Durations of the consensus.
    pub timing: Timing,
    /// How long the engine goes on after the epoch has ended, for those who have not seen the end.
    pub linger: Duration,
    /// Prefix of everything in the consensus' storage.
    pub partition: String,
    /// Which peers can be reached now, by position. A closure, for who knows it.
    pub connected: Connected,
    /// Heights whose orders, releases and shares are kept ([`crate::retention`]); 0 keeps all.
    pub retention_heights: u64,
    /// What to abide by if the data folder was restored from a backup ([`crate::abstention`]).
    pub restored: Option<Restored>,
    /// Honest, or a named adversary.
    pub behaviour: Behaviour,
}

/// What bundles cost, who deposited, and who gets what is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounting {
    /// What each payer has before the first block.
    pub deposits: Arc<BTreeMap<Payer, u128>>,
    /// Charged per byte of a bundle's padded plaintext.
    pub fee_per_byte: u64,
    /// How much of a released bundle's fee its rollups get.
    pub rollup_share_percent: u8,
}

/// Which peers can be reached now, by position.
pub type Connected = Arc<dyn Fn() -> Vec<bool> + Send + Sync>;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("network_id", &self.network_id)
            .field("index", &self.index)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

/// A sequencer's secrets. They leave it for nothing but signatures and decryption shares.
pub struct Secrets {
    /// Seed of the consensus key.
    pub consensus_seed: Zeroizing<[u8; 32]>,
    /// The key share.
    pub key_share: KeyShare,
}

impl Secrets {
    /// The consensus key.
    pub(crate) fn consensus(&self) -> ConsensusSecret {
        ConsensusSecret::from_seed(*self.consensus_seed)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(<redacted>)")
    }
}
