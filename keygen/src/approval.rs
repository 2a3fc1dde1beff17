//! Approvals: every member signs the digest of a definition before anything starts.
//!
//! ```text
//! approval = sign(consensus key, hash(APPROVAL, digest of the definition))
//! ```
//!
//! A definition of a later epoch is approved by all its members too, and by a quorum q of the
//! members of the definition before it: nobody takes the key out of their hands without them. Who
//! is in both approves once, for both.
//!
//! # Invariants
//!
//! 1. An [`ApprovedDefinition`] holds a valid approval of every member; one of a later epoch also
//!    those of at least q members of its predecessor, which it may continue. In the order of the
//!    consensus keys: for a first definition, by index.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::domain::Tag;
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, SequencerIndex, Signature};
use serde::{Deserialize, Serialize};

use crate::definition::{Definition, Member, SuccessionError};

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
    /// Too few members of the committee before have approved.
    #[error("approved by {found} members of the committee before, {needed} are needed of: {}",
        .names.join(", "))]
    Predecessors {
        /// How many have.
        found: usize,
        /// The quorum of that committee.
        needed: u16,
        /// The names of those who have not.
        names: Vec<String>,
    },
    /// It does not continue its predecessor.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// A definition of a later epoch is judged with the one before it.
    #[error("a definition of epoch 2 or later is approved by the committee before it too")]
    NeedsPredecessor,
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

    /// Checks the approval against a definition and returns which of its members approves.
    ///
    /// # Errors
    ///
    /// If it is of another definition, by no member, or not signed by it.
    pub fn verify(&self, definition: &Definition) -> Result<SequencerIndex, ApprovalError> {
        self.verify_among(definition, definition)
    }

    /// Checks the approval of `definition` by a member of `committee`.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`].
    pub fn verify_among(
        &self,
        definition: &Definition,
        committee: &Definition,
    ) -> Result<SequencerIndex, ApprovalError> {
        let expected = definition.digest();
        if self.definition != expected {
            return Err(ApprovalError::OtherDefinition { expected, actual: self.definition });
        }
        let index = committee
            .index_of(&self.member)
            .ok_or(ApprovalError::NotAMember { member: self.member })?;
        self.member
            .verify(Tag::Approval, &[expected.as_bytes()], &self.signature)
            .map_err(|_| ApprovalError::Signature { name: name(committee, index) })?;
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
    /// Checks that every member of a first definition has approved it, each once.
    ///
    /// # Errors
    ///
    /// The first approval that does not count, or who is missing.
    pub fn new(
        definition: Definition,
        approvals: impl IntoIterator<Item = Approval>,
    ) -> Result<Self, ApprovalError> {
        if definition.resharing().is_some() {
            return Err(ApprovalError::NeedsPredecessor);
        }
        let approvals = gather(&definition, None, approvals)?;
        Ok(Self(Arc::new(Approved { definition, approvals })))
    }

    /// Checks that a definition continues `predecessor`, that every member has approved it, and a
    /// quorum of the predecessor's members.
    ///
    /// # Errors
    ///
    /// Why it does not continue it, the first approval that does not count, or who is missing.
    pub fn resharing(
        definition: Definition,
        approvals: impl IntoIterator<Item = Approval>,
        predecessor: &Definition,
    ) -> Result<Self, ApprovalError> {
        definition.continues(predecessor)?;
        let approvals = gather(&definition, Some(predecessor), approvals)?;
        Ok(Self(Arc::new(Approved { definition, approvals })))
    }

    /// For judging alone: nobody approved it.
    pub(crate) fn unapproved(definition: Definition) -> Self {
        Self(Arc::new(Approved { definition, approvals: Vec::new() }))
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.0.definition
    }

    /// The approvals, in the order of the consensus keys.
    #[must_use]
    pub fn approvals(&self) -> &[Approval] {
        &self.0.approvals
    }
}

/// The approvals that count, by key, if nobody is missing.
fn gather(
    definition: &Definition,
    predecessor: Option<&Definition>,
    approvals: impl IntoIterator<Item = Approval>,
) -> Result<Vec<Approval>, ApprovalError> {
    let mut found: BTreeMap<ConsensusPublicKey, Approval> = BTreeMap::new();
    for approval in approvals {
        let committee = match predecessor {
            Some(before) if definition.index_of(&approval.member).is_none() => before,
            _ => definition,
        };
        let index = approval.verify_among(definition, committee)?;
        let earlier = found.insert(approval.member, approval);
        if earlier.is_some_and(|earlier| earlier != approval) {
            return Err(ApprovalError::Duplicate { name: name(committee, index) });
        }
    }
    let missing = |committee: &Definition| -> Vec<String> {
        let lacks = |member: &&Member| !found.contains_key(&member.consensus);
        committee.members().iter().filter(lacks).map(|member| member.name.clone()).collect()
    };
    let names = missing(definition);
    if !names.is_empty() {
        return Err(ApprovalError::Missing { names });
    }
    if let Some(before) = predecessor {
        let (names, needed) = (missing(before), before.threshold());
        let found = before.members().len() - names.len();
        if found < usize::from(needed) {
            return Err(ApprovalError::Predecessors { found, needed, names });
        }
    }
    Ok(found.into_values().collect())
}

fn name(definition: &Definition, index: SequencerIndex) -> String {
    definition.member(index).map(|member| member.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_crypto::Height;

    use super::*;
    use crate::definition::{Proposal, Resharing};
    use crate::test_support::{Members, consensus_secret};

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

    #[test]
    fn invariant_1_a_later_definition_takes_all_its_members_and_a_quorum_of_those_before() {
        let before = Members::new(5).definition(0);
        let resharing = Resharing {
            network_id: before.network_id(),
            predecessor: before.digest(),
            boundary: Height::new(9),
        };
        let next = Members { ids: vec![3, 4, 5, 6], epoch: 2 };
        let proposal = next.proposal(0);
        let definition =
            Definition::new(Proposal { version: 2, resharing: Some(resharing), ..proposal });
        let definition = definition.unwrap();
        let of = |members: &[u16]| -> Vec<Approval> {
            let approval = |k: &u16| Approval::new(&definition, &consensus_secret(*k));
            members.iter().map(approval).collect()
        };
        let approve = |members: &[u16]| {
            ApprovedDefinition::resharing(definition.clone(), of(members), &before)
        };
        let approved = approve(&[6, 5, 4, 3, 0, 1]).unwrap();
        assert!(approved.approvals().is_sorted_by_key(|one| one.member));
        assert_eq!(approved.approvals().len(), 6);
        assert_eq!(approve(&[6, 5, 4, 3, 2, 0, 1]).unwrap().approvals().len(), 7);
        assert_eq!(
            approve(&[6, 4, 3, 0, 1, 2]).unwrap_err(),
            ApprovalError::Missing { names: vec!["member-5".to_owned()] }
        );
        let ApprovalError::Predecessors { found, needed, mut names } =
            approve(&[6, 5, 4, 3, 0]).unwrap_err()
        else {
            panic!()
        };
        names.sort();
        assert_eq!((found, needed), (3, 4));
        assert_eq!(names, ["member-1", "member-2"]);
        let stranger = approve(&[6, 5, 4, 3, 0, 1, 9]).unwrap_err();
        assert!(matches!(stranger, ApprovalError::NotAMember { .. }));
        let alone = ApprovedDefinition::new(definition.clone(), of(&[3, 4, 5, 6]));
        assert_eq!(alone.unwrap_err(), ApprovalError::NeedsPredecessor);
        let other = Members::new(5).definition(1);
        let wrong = ApprovedDefinition::resharing(definition.clone(), of(&[3, 4, 5, 6]), &other);
        assert!(matches!(wrong.unwrap_err(), ApprovalError::Succession(_)));
    }
}
