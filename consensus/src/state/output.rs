//! What a block did, for whoever acts on it.

use fairveil_crypto::certificate::{Emission, result_root};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::VerifiedEvidence;
use fairveil_registry::anchor::Anchor;
use fairveil_registry::change::RegistryChange;

use super::EndingOutput;
use crate::balances::Charge;

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutput {
    /// The evidence that the block carries.
    pub evidence: VerifiedEvidence,
    /// Cohorts with the placement of each id.
    pub emission: Emission,
    /// Digest of the state after the block.
    pub state_digest: Digest,
    /// Release roots that the block certifies.
    pub released: Vec<(Height, Digest)>,
    /// Ids that every honest sequencer has to hold and to report from now on.
    pub reached_edge: Vec<BundleId>,
    /// Sequencers that the block convicts.
    pub convicted: Vec<SequencerIndex>,
    /// What the ids that are to be opened paid, in their order.
    pub charges: Vec<Charge>,
    /// Changes of the rollups that the block announces.
    pub announced: Vec<RegistryChange>,
    /// Blocks of followed rollups that the block names, ascending by chain id.
    pub anchored: Vec<Anchor>,
    /// What the block says of the next epoch.
    pub ending: EndingOutput,
}

impl BlockOutput {
    /// What a header commits to.
    #[must_use]
    pub fn result_root(&self) -> Digest {
        result_root(&self.emission, &self.state_digest)
    }
}
