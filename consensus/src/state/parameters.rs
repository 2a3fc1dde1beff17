//! What a chain's state is judged by, the same for a whole epoch.

use fairveil_crypto::{ConsensusPublicKey, Digest, KeyId};
use fairveil_ordering as ordering;
use fairveil_registry::registry::{Registry, RegistryError};

use crate::balances::{Accounting, AccountingError, Balances};
use crate::block::BlockError;
use crate::committee::{CommitteeError, Members};
use crate::equivocation::Jury;
use crate::header::ChainId;

/// What never changes in an epoch.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Network and epoch.
    pub id: ChainId,
    /// The consensus keys, by index.
    pub keys: Vec<ConsensusPublicKey>,
    /// The numbers of fairness.
    pub committee: ordering::Committee,
    /// Who decides the order.
    pub mode: ordering::Mode,
    /// The active committee keys: one, or two while a new one overlaps.
    pub active_keys: Vec<KeyId>,
    /// Digest of the transcript that the chain begins with.
    pub transcript: Digest,
    /// What bundles cost; none if nothing is charged.
    pub accounting: Option<Accounting>,
    /// The rollups with which the network begins.
    pub registry: Registry,
}

/// Why a chain can't begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// The keys make no committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The keys are not as many as the numbers say.
    #[error("{actual} keys, the committee has {expected} members")]
    Size {
        /// Keys given.
        actual: usize,
        /// n.
        expected: u16,
    },
    /// The deposits and the fee contradict each other.
    #[error(transparent)]
    Accounting(#[from] AccountingError),
    /// The rollups have no slots in common.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The first key is no key.
    #[error(transparent)]
    Block(#[from] BlockError),
}

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) given: Parameters,
    pub(super) members: Members,
    /// The balances before the first block.
    pub(super) balances: Option<Balances>,
    namespace: Vec<u8>,
}

impl Checked {
    pub(super) fn new(given: Parameters) -> Result<Self, ParametersError> {
        let (actual, expected) = (given.keys.len(), given.committee.n());
        if actual != usize::from(expected) {
            return Err(ParametersError::Size { actual, expected });
        }
        let members = Members::new(&given.keys)?;
        let namespace = crate::namespace(&given.id.network_id);
        let balances = given.accounting.clone().map(Balances::new).transpose()?;
        Ok(Self { given, members, balances, namespace })
    }

    pub(super) fn jury(&self) -> Jury<'_> {
        Jury { members: &self.members, namespace: &self.namespace, epoch: self.given.id.epoch }
    }
}
