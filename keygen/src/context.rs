//! What is fixed when a ceremony begins: the approved definition and the round.

use std::sync::Arc;

use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::{ConsensusSecret, Digest, SequencerIndex};

use crate::approval::ApprovedDefinition;
use crate::dealing::{DealingPublicKey, DealingSecret};
use crate::definition::Definition;
use crate::dkg;

/// One ceremony: cheap to clone, the same for every member.
///
/// Its id is `hash(CEREMONY, definition digest, round as 8 bytes big-endian)`: the namespace of
/// the ceremony's chain and of everything signed in it. A ceremony that failed is repeated with a
/// round number that was never used with this definition.
#[derive(Clone)]
pub struct CeremonyContext(Arc<Context>);

struct Context {
    approved: ApprovedDefinition,
    round: u64,
    id: Digest,
    dkg: dkg::Round,
}

/// Why a machine can't take part in a ceremony with these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The consensus key is no member's.
    #[error("the keystore's consensus key is not in the definition")]
    NotAMember,
    /// The dealing key is not the one in the definition.
    #[error("the keystore's dealing key is {actual}, the definition has {expected}")]
    DealingKey {
        /// The key in the definition.
        expected: DealingPublicKey,
        /// That of the keystore.
        actual: DealingPublicKey,
    },
}

impl CeremonyContext {
    /// A ceremony for a definition.
    #[must_use]
    pub fn new(approved: ApprovedDefinition, round: u64) -> Self {
        let definition = approved.definition();
        let digest = definition.digest();
        let id = domain::hash(Tag::Ceremony, &[digest.as_bytes(), &round.to_be_bytes()]);
        let dkg = dkg::Round::new(&id, round, &definition.consensus_keys())
            .expect("a definition has valid consensus keys in order");
        Self(Arc::new(Context { approved, round, id, dkg }))
    }

    /// The ceremony's id.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.0.id
    }

    /// The round.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.0.round
    }

    /// The definition with its approvals.
    #[must_use]
    pub fn approved(&self) -> &ApprovedDefinition {
        &self.0.approved
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.0.approved.definition()
    }

    pub(crate) fn dkg(&self) -> &dkg::Round {
        &self.0.dkg
    }

    /// The index of the member with these keys.
    ///
    /// # Errors
    ///
    /// If they are no member's.
    pub fn identify(
        &self,
        consensus: &ConsensusSecret,
        dealing: &DealingSecret,
    ) -> Result<SequencerIndex, IdentityError> {
        let definition = self.definition();
        let index =
            definition.index_of(&consensus.public_key()).ok_or(IdentityError::NotAMember)?;
        let expected = definition.members()[index.position()].dealing;
        let actual = dealing.public_key();
        if expected != actual {
            return Err(IdentityError::DealingKey { expected, actual });
        }
        Ok(index)
    }
}

impl std::fmt::Debug for CeremonyContext {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CeremonyContext({}, round {})", self.id(), self.round())
    }
}
