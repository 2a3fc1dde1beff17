//! What is fixed when a ceremony begins: the approved definition, the round, and who deals to whom.

use std::sync::Arc;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, SequencerIndex};

use crate::approval::{ApprovalError, ApprovedDefinition};
use crate::dealing::{DealingPublicKey, DealingSecret};
use crate::definition::{Definition, Member};
use crate::dkg;
use crate::transcript::VerifiedTranscript;

/// One ceremony: cheap to clone, the same for every member.
///
/// | | dealers | players |
/// |---|---|---|
/// | first ceremony | the members | the members |
/// | resharing | the members of the committee before, who deal their shares | the members |
///
/// A dealer's index is the one that it has in its committee, and so is a player's.
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
    predecessor: Option<VerifiedTranscript>,
}

/// A side of the dealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Deals.
    Dealer,
    /// Is dealt to.
    Player,
}

/// Somebody who takes part in a ceremony.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its consensus key.
    pub consensus: ConsensusPublicKey,
    /// Its index as a dealer, if it is one.
    pub dealer: Option<SequencerIndex>,
    /// Its index as a player, if it is one.
    pub player: Option<SequencerIndex>,
}

/// The secrets that a machine takes part with.
pub struct Participant {
    /// Signs.
    pub consensus: ConsensusSecret,
    /// Opens the dealings to this member: of every player.
    pub dealing: Option<DealingSecret>,
    /// The share that a dealer of a resharing deals. Without, it deals nothing and is missed.
    pub share: Option<KeyShare>,
}

/// Which seats a participant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seats {
    pub(crate) dealer: Option<SequencerIndex>,
    pub(crate) player: Option<SequencerIndex>,
}

/// Why an approved definition and a predecessor make no ceremony.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// The definition is one of a later epoch.
    #[error("the definition is of a later epoch: its ceremony is a resharing")]
    NotFirst,
    /// It does not continue this predecessor, or was approved against another.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
}

/// Why a machine can't take part in a ceremony with these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The consensus key is nobody's.
    #[error("the keystore's consensus key is not in the definition")]
    NotAMember,
    /// A player takes part with its dealing key.
    #[error("the keystore has no dealing key, and the definition has {expected}")]
    NoDealingKey {
        /// The key in the definition.
        expected: DealingPublicKey,
    },
    /// The dealing key is not the one in the definition.
    #[error("the keystore's dealing key is {actual}, the definition has {expected}")]
    DealingKey {
        /// The key in the definition.
        expected: DealingPublicKey,
        /// That of the keystore.
        actual: DealingPublicKey,
    },
    /// The share is not the dealer's of the epoch before.
    #[error("the keystore's share of index {actual} is not the one of the epoch before")]
    Share {
        /// The index of the share.
        actual: SequencerIndex,
    },
}

impl CeremonyContext {
    /// The first ceremony of a network.
    ///
    /// # Errors
    ///
    /// If the definition is one of a later epoch.
    pub fn first(approved: ApprovedDefinition, round: u64) -> Result<Self, ContextError> {
        if approved.definition().resharing().is_some() {
            return Err(ContextError::NotFirst);
        }
        Ok(Self::make(approved, round, None))
    }

    /// A resharing of the key that `predecessor` proves: its committee deals to the members of the
    /// approved definition.
    ///
    /// # Errors
    ///
    /// If the definition does not continue the predecessor's, or lacks approvals of its members.
    pub fn resharing(
        approved: ApprovedDefinition,
        round: u64,
        predecessor: &VerifiedTranscript,
    ) -> Result<Self, ContextError> {
        let (definition, approvals) = (approved.definition(), approved.approvals());
        let approved = ApprovedDefinition::resharing(
            definition.clone(),
            approvals.iter().copied(),
            predecessor.definition(),
        )?;
        Ok(Self::make(approved, round, Some(predecessor.clone())))
    }

    /// A context for judging alone: nothing says that its definition was approved.
    pub(crate) fn unapproved(
        definition: Definition,
        round: u64,
        predecessor: Option<VerifiedTranscript>,
    ) -> Self {
        Self::make(ApprovedDefinition::unapproved(definition), round, predecessor)
    }

    fn make(
        approved: ApprovedDefinition,
        round: u64,
        predecessor: Option<VerifiedTranscript>,
    ) -> Self {
        let definition = approved.definition();
        let digest = definition.digest();
        let id = domain::hash(Tag::Ceremony, &[digest.as_bytes(), &round.to_be_bytes()]);
        let players = definition.consensus_keys();
        let dkg = match &predecessor {
            None => dkg::Round::new(&id, round, None, &players, &players),
            Some(before) => {
                let dealers = before.definition().consensus_keys();
                dkg::Round::new(&id, round, Some(before.sharing()), &dealers, &players)
            }
        };
        let dkg = dkg.expect("definitions have valid consensus keys in order");
        Self(Arc::new(Context { approved, round, id, dkg, predecessor }))
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

    /// The definition: its members are the players.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.0.approved.definition()
    }

    /// The transcript of the epoch before, of a resharing.
    #[must_use]
    pub fn predecessor(&self) -> Option<&VerifiedTranscript> {
        self.0.predecessor.as_ref()
    }

    /// The definition whose members are the dealers.
    #[must_use]
    pub fn dealing_definition(&self) -> &Definition {
        self.predecessor().map_or_else(|| self.definition(), VerifiedTranscript::definition)
    }

    /// The number of dealers.
    #[must_use]
    pub fn dealers(&self) -> u16 {
        self.dealing_definition().n()
    }

    /// The number of players.
    #[must_use]
    pub fn players(&self) -> u16 {
        self.definition().n()
    }

    /// The dealers that suffice: for a key, and to close a phase.
    #[must_use]
    pub fn dealer_quorum(&self) -> u16 {
        self.dealing_definition().threshold()
    }

    /// The confirmations that suffice.
    #[must_use]
    pub fn player_quorum(&self) -> u16 {
        self.definition().threshold()
    }

    /// The member that has this seat.
    #[must_use]
    pub fn member(&self, role: Role, index: SequencerIndex) -> Option<&Member> {
        match role {
            Role::Dealer => self.dealing_definition().member(index),
            Role::Player => self.definition().member(index),
        }
    }

    /// Who has this seat.
    #[must_use]
    pub fn party(&self, role: Role, index: SequencerIndex) -> Option<Party> {
        let member = self.member(role, index)?;
        let consensus = member.consensus;
        let Seats { dealer, player } = self.seats(&consensus);
        Some(Party { name: member.name.clone(), consensus, dealer, player })
    }

    pub(crate) fn dkg(&self) -> &dkg::Round {
        &self.0.dkg
    }

    fn seats(&self, key: &ConsensusPublicKey) -> Seats {
        let dealer = self.dealing_definition().index_of(key);
        Seats { dealer, player: self.definition().index_of(key) }
    }

    /// The seats of a participant, if its keys are those of its seats.
    pub(crate) fn identify(&self, participant: &Participant) -> Result<Seats, IdentityError> {
        let seats = self.seats(&participant.consensus.public_key());
        if seats.dealer.is_none() && seats.player.is_none() {
            return Err(IdentityError::NotAMember);
        }
        if let Some(member) = seats.player.and_then(|index| self.member(Role::Player, index)) {
            let expected = member.dealing;
            let actual = participant.dealing.as_ref().map(DealingSecret::public_key);
            let actual = actual.ok_or(IdentityError::NoDealingKey { expected })?;
            if expected != actual {
                return Err(IdentityError::DealingKey { expected, actual });
            }
        }
        if let (Some(before), Some(share)) = (self.predecessor(), &participant.share) {
            let actual = share.index();
            let expected = before.committee().public_key_share(actual);
            let own = seats.dealer == Some(actual);
            if !own || expected != Some(share.public_key_share()) {
                return Err(IdentityError::Share { actual });
            }
        }
        Ok(seats)
    }
}

impl std::fmt::Debug for CeremonyContext {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CeremonyContext({}, round {})", self.id(), self.round())
    }
}

impl std::fmt::Debug for Participant {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Participant({}, <redacted>)", self.consensus.public_key())
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name)
    }
}
