//! Approvals: every member signs the digest of a definition before anything starts.
//!
//! ```text
//! approval = sign(consensus key, hash(APPROVAL, digest of the definition))
//! ```
//!
//! # Invariants
//!
//! 1. An [`ApprovedDefinition`] holds a valid approval of every member, by index.

use std::sync::Arc;

use fairveil_crypto::domain::Tag;
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, SequencerIndex, Signature};
use serde::{Deserialize, Serialize};

use crate::definition::Definition;

/// One member's approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The digest that is approved.
    pub definition: Digest,
    /// Who approves.
    pub member: ConsensusPublicKey,
    /// The signature.
    pub signature: Signature,
}

/// Why an approval does not count, or a definition is not approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// It approves another definition.
    #[error("approval is of definition {actual}, not of {expected}")]
    OtherDefinition {
        /// The definition's digest.
        expected: Digest,
        /// The approved digest.
        actual: Digest,
    },
    /// It is by someone else.
    #[error("approval by {member}, who is no member")]
    NotAMember {
        /// Who signed.
        member: ConsensusPublicKey,
    },
    /// Its signature is not the member's.
    #[error("approval of {name} has an invalid signature")]
    Signature {
        /// The member's name.
        name: String,
    },
    /// Two approvals of one member.
    #[error("two approvals of {name}")]
    Duplicate {
        /// The member's name.
        name: String,
    },
    /// Not everyone has approved.
    #[error("not approved by {}", .names.join(", "))]
    Missing {
        /// The names of those who have not.
        names: Vec<String>,
    },
}

impl Approval {
    /// The approval of a member.
    #[must_use]
    pub fn new(definition: &Definition, secret: &ConsensusSecret) -> Self {
        let digest = definition.digest();
        Self {
            definition: digest,
            member: secret.public_key(),
            signature: secret.sign(Tag::Approval, &[digest.as_bytes()]),
        }
    }

    /// Checks the approval against a definition and returns who approves.
    ///
    /// # Errors
    ///
    /// If it is of another definition, by no member, or not signed by it.
    pub fn verify(&self, definition: &Definition) -> Result<SequencerIndex, ApprovalError> {
        let expected = definition.digest();
        if self.definition != expected {
            return Err(ApprovalError::OtherDefinition { expected, actual: self.definition });
        }
        let index = definition
            .index_of(&self.member)
            .ok_or(ApprovalError::NotAMember { member: self.member })?;
        self.member
            .verify(Tag::Approval, &[expected.as_bytes()], &self.signature)
            .map_err(|_| ApprovalError::Signature { name: name(definition, index) })?;
        Ok(index)
    }
}

/// A definition that all its members approved. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApprovedDefinition(Arc<Approved>);

#[derive(Debug)]
struct Approved {
    definition: Definition,
    approvals: Vec<Approval>,
}

impl ApprovedDefinition {
    /// Checks that every member has approved, each once.
    ///
    /// # Errors
    ///
    /// The first approval that does not count, or who is missing.
    pub fn new(
        definition: Definition,
        approvals: impl IntoIterator<Item = Approval>,
    ) -> Result<Self, ApprovalError> {
        let mut found = vec![None; usize::from(definition.n())];
        for approval in approvals {
            let index = approval.verify(&definition)?;
            let place = &mut found[index.position()];
            if place.is_some_and(|earlier| earlier != approval) {
                return Err(ApprovalError::Duplicate { name: name(&definition, index) });
            }
            *place = Some(approval);
        }
        let missing: Vec<String> = definition
            .members()
            .iter()
            .zip(&found)
            .filter(|(_, approval)| approval.is_none())
            .map(|(member, _)| member.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(ApprovalError::Missing { names: missing });
        }
        let approvals = found.into_iter().flatten().collect();
        Ok(Self(Arc::new(Approved { definition, approvals })))
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.0.definition
    }

    /// The approvals, by index.
    #[must_use]
    pub fn approvals(&self) -> &[Approval] {
        &self.0.approvals
    }
}

fn name(definition: &Definition, index: SequencerIndex) -> String {
    definition.member(index).map(|member| member.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::test_support::Members;

    #[test]
    fn invariant_1_everyone_approves_exactly_this_definition() {
        let members = Members::new(4);
        let definition = members.definition(0);
        let approvals = members.approvals(&definition);
        let approved = ApprovedDefinition::new(definition.clone(), approvals.clone()).unwrap();
        assert_eq!(approved.approvals().len(), 4);

        let mut reversed = approvals.clone();
        reversed.reverse();
        reversed.push(approvals[2]);
        let again = ApprovedDefinition::new(definition.clone(), reversed).unwrap();
        assert_eq!(again.approvals(), approved.approvals());

        let missing = ApprovedDefinition::new(definition.clone(), approvals[1..].to_vec());
        let first = definition.member(approvals[0].verify(&definition).unwrap()).unwrap();
        assert_eq!(
            missing.unwrap_err(),
            ApprovalError::Missing { names: vec![first.name.clone()] }
        );
    }

    #[test]
    fn invariant_1_a_wrong_approval_is_refused_with_its_reason() {
        let members = Members::new(4);
        let definition = members.definition(0);
        let good = members.approvals(&definition)[0];
        let other = members.definition(1);
        assert!(matches!(good.verify(&other), Err(ApprovalError::OtherDefinition { .. })));
        let stranger = Approval::new(&definition, &ConsensusSecret::from_seed([99; 32]));
        assert!(matches!(stranger.verify(&definition), Err(ApprovalError::NotAMember { .. })));
        let mut bytes = good.signature.to_bytes();
        bytes[3] ^= 1;
        let forged = Approval { signature: Signature::from_bytes(bytes), ..good };
        assert!(matches!(forged.verify(&definition), Err(ApprovalError::Signature { .. })));
    }
}
