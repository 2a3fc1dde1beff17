//! Changes of the registry while its network runs: a rollup joins, is paused, goes on, or leaves.
//!
//! ```text
//! proposed ── every member signs its digest ──> approved by a quorum ──> in a final block
//!     ──> at least 16 heights later: the registry that holds ([`crate::schedule`])
//! ```
//!
//! # Bytes
//!
//! ```text
//! digest   = hash(REGISTRY-CHANGE, encode(change))       encoding of fairveil_crypto::encoding
//! approval = sign(consensus key, hash(REGISTRY-APPROVAL, digest))
//! encode(change) = network id (32) ‖ number (8) ‖ at (8) ‖ kind (4) ‖ rollup or chain id (8)
//! ```
//!
//! Kinds are 0 join, 1 pause, 2 resume, 3 leave; integers are little-endian.
//!
//! # Invariants
//!
//! 1. What a change makes of a registry follows from both and from the slots that the network began
//!    with, which no change moves.
//! 2. An [`ApprovedChange`] that verifies has valid approvals of a quorum of distinct members, sorted
//!    by key, so that the same approvals have one encoding.
//! 3. Every way to fail has a reason of its own, with the values.

use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{ConsensusPublicKey, ConsensusSecret, Digest, Height, NetworkId, Signature};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::registry::{MAX_ROLLUPS, Registry, RegistryError, Rollup};
use crate::slot::{BlockTimes, MAX_BLOCKS, SlotClock};

/// The longest encoding of an [`ApprovedChange`]: with 128 members it has less than 13 KiB.
pub const MAX_CHANGE_BYTES: usize = 16 << 10;

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Action {
    /// This rollup is served from then on.
    Join(Rollup),
    /// Bundles that name this rollup fail, until it is resumed.
    Pause {
        /// The rollup.
        chain_id: u64,
    },
    /// This rollup takes bundles again.
    Resume {
        /// The rollup.
        chain_id: u64,
    },
    /// This rollup is served no longer.
    Leave {
        /// The rollup.
        chain_id: u64,
    },
}

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryChange {
    /// The network: a change of another one is never taken for one of this.
    pub network_id: NetworkId,
    /// Changes are numbered from 1; each number is used once, in sequence.
    pub number: u64,
    /// The first height at which it holds.
    pub at: Height,
    /// What it does.
    pub action: Action,
}

/// A member's approval of a change, as members give it to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeApproval {
    /// The digest of the change.
    pub change: Digest,
    /// Who approves.
    pub member: ConsensusPublicKey,
    /// The signature.
    pub signature: Signature,
}

/// A change with the approvals of a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedChange {
    /// The change.
    pub change: RegistryChange,
    /// Members and their signatures, ascending by key.
    pub approvals: Vec<(ConsensusPublicKey, Signature)>,
}

/// Why a change can't be made to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    /// No such rollup.
    #[error("rollup {chain_id} is not registered")]
    Unknown {
        /// The chain id.
        chain_id: u64,
    },
    /// There is one already.
    #[error("rollup {chain_id} is registered already, as {name:?}")]
    Registered {
        /// The chain id.
        chain_id: u64,
        /// The name of the registered one.
        name: String,
    },
    /// It is paused.
    #[error("rollup {chain_id} is paused already")]
    Paused {
        /// The rollup.
        chain_id: u64,
    },
    /// It is not paused.
    #[error("rollup {chain_id} is not paused")]
    NotPaused {
        /// The rollup.
        chain_id: u64,
    },
    /// One that joins takes bundles at once.
    #[error("rollup {chain_id} would join paused; let it join at the height from which it runs")]
    JoinsPaused {
        /// The rollup.
        chain_id: u64,
    },
    /// As many as there may be.
    #[error("rollup {chain_id} would be one of {actual}, the limit is {limit}")]
    TooMany {
        /// The rollup that would join.
        chain_id: u64,
        /// How many there would be.
        actual: usize,
        /// [`MAX_ROLLUPS`].
        limit: usize,
    },
    /// A network serves at least one.
    #[error("rollup {chain_id} is the last one of the network and can't leave")]
    Last {
        /// The rollup.
        chain_id: u64,
    },
    /// Not a rollup that any registry has.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The network's rollups have block times, this one has none.
    #[error("rollup {chain_id} has no block times, the network's slots need them")]
    NoTimes {
        /// The rollup.
        chain_id: u64,
    },
    /// The network's rollups have no block times, this one has.
    #[error("rollup {chain_id} has block times, the network makes a block per height")]
    Times {
        /// The rollup.
        chain_id: u64,
    },
    /// The network's slots are no multiple of its block time.
    #[error(
        "rollup {chain_id}: a block time of {actual} ms does not divide a slot of {slot_ms} ms"
    )]
    Interval {
        /// The rollup.
        chain_id: u64,
        /// Its block time.
        actual: u64,
        /// How long a slot is.
        slot_ms: u64,
    },
    /// Too many blocks in a slot.
    #[error("rollup {chain_id}: {actual} blocks in a slot, the limit is {limit}")]
    Blocks {
        /// The rollup.
        chain_id: u64,
        /// How many it would make.
        actual: u64,
        /// [`MAX_BLOCKS`].
        limit: u64,
    },
    /// It makes no block when a slot ends.
    #[error("rollup {chain_id}: its blocks are {off_ms} ms off the ends of the slots")]
    Apart {
        /// The rollup.
        chain_id: u64,
        /// How long after its last block a slot ends.
        off_ms: u64,
    },
}

/// Why approvals do not approve a change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApprovalError {
    /// Of another change.
    #[error("an approval of the change {actual}, this one is {expected}")]
    OtherChange {
        /// The digest that is approved.
        actual: Digest,
        /// That of the change.
        expected: Digest,
    },
    /// Too few.
    #[error("{actual} approvals, the quorum is {quorum}")]
    TooFew {
        /// How many there are.
        actual: usize,
        /// How many it takes.
        quorum: u16,
    },
    /// More than there are members.
    #[error("{actual} approvals of {members} members")]
    TooMany {
        /// How many there are.
        actual: usize,
        /// n.
        members: usize,
    },
    /// Not sorted by key, or one member twice.
    #[error("the approval of {next} stands after that of {previous}; sort them, one per member")]
    Order {
        /// The key before.
        previous: ConsensusPublicKey,
        /// The key after it.
        next: ConsensusPublicKey,
    },
    /// By somebody else.
    #[error("an approval of {member}, who is no member")]
    NotAMember {
        /// Who signed.
        member: ConsensusPublicKey,
    },
    /// The signature is not the member's.
    #[error("the approval of {member} has an invalid signature")]
    Signature {
        /// The member.
        member: ConsensusPublicKey,
    },
}

impl Action {
    /// The rollup that it is about.
    pub fn chain_id(&self) -> u64 {
        match self {
            Self::Join(Rollup { chain_id, .. })
            | Self::Pause { chain_id }
            | Self::Resume { chain_id }
            | Self::Leave { chain_id } => *chain_id,
        }
    }

    /// Its kind in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Leave { .. } => "leave",
        }
    }

    /// What it makes of a registry of a network with these slots.
    ///
    /// # Errors
    ///
    /// Why it can't be done.
    pub fn applied(
        &self,
        registry: &Registry,
        slots: Option<&SlotClock>,
    ) -> Result<Registry, ActionError> {
        let chain_id = self.chain_id();
        let mut rollups = registry.rollups().to_vec();
        let at = rollups.binary_search_by_key(&chain_id, |rollup| rollup.chain_id);
        match (self, at) {
            (Self::Join(_), Ok(at)) => {
                let name = rollups.swap_remove(at).name;
                return Err(ActionError::Registered { chain_id, name });
            }
            (Self::Join(rollup), Err(at)) => {
                rollups.insert(at, rollup.clone());
                joins(rollup, rollups.len(), slots)?;
            }
            (_, Err(_)) => return Err(ActionError::Unknown { chain_id }),
            (Self::Pause { .. }, Ok(at)) if rollups[at].paused => {
                return Err(ActionError::Paused { chain_id });
            }
            (Self::Pause { .. }, Ok(at)) => rollups[at].paused = true,
            (Self::Resume { .. }, Ok(at)) if !rollups[at].paused => {
                return Err(ActionError::NotPaused { chain_id });
            }
            (Self::Resume { .. }, Ok(at)) => rollups[at].paused = false,
            (Self::Leave { .. }, Ok(_)) if rollups.len() == 1 => {
                return Err(ActionError::Last { chain_id });
            }
            (Self::Leave { .. }, Ok(at)) => drop(rollups.remove(at)),
        }
        Ok(Registry::listed(rollups)?)
    }
}

/// Whether a rollup may join as one of `actual`.
fn joins(rollup: &Rollup, actual: usize, slots: Option<&SlotClock>) -> Result<(), ActionError> {
    let chain_id = rollup.chain_id;
    rollup.check()?;
    if rollup.paused {
        return Err(ActionError::JoinsPaused { chain_id });
    }
    if actual > MAX_ROLLUPS {
        return Err(ActionError::TooMany { chain_id, actual, limit: MAX_ROLLUPS });
    }
    match (slots, rollup.blocks) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(ActionError::Times { chain_id }),
        (Some(_), None) => Err(ActionError::NoTimes { chain_id }),
        (Some(slots), Some(times)) => fits(chain_id, times, slots),
    }
}

/// Whether blocks at these times fill the network's slots.
pub(crate) fn fits(chain_id: u64, times: BlockTimes, slots: &SlotClock) -> Result<(), ActionError> {
    let BlockTimes { genesis_ms, interval_ms } = times;
    let slot_ms = slots.length_ms();
    if interval_ms == 0 || !slot_ms.is_multiple_of(interval_ms) {
        return Err(ActionError::Interval { chain_id, actual: interval_ms, slot_ms });
    }
    let actual = slot_ms / interval_ms;
    if actual > MAX_BLOCKS {
        return Err(ActionError::Blocks { chain_id, actual, limit: MAX_BLOCKS });
    }
    let end_ms = slots.anchor_ms();
    let before_ms = genesis_ms.saturating_sub(end_ms).div_ceil(slot_ms).saturating_mul(slot_ms);
    let off_ms = end_ms.saturating_add(before_ms).saturating_sub(genesis_ms) % interval_ms;
    if off_ms > 0 { Err(ActionError::Apart { chain_id, off_ms }) } else { Ok(()) }
}

impl RegistryChange {
    /// The digest that members approve.
    pub fn digest(&self) -> Digest {
        hash(Tag::RegistryChange, &[&encoding::encode(self)])
    }
}

impl ChangeApproval {
    /// The approval of the member with this key.
    pub fn new(change: &RegistryChange, secret: &ConsensusSecret) -> Self {
        let digest = change.digest();
        let signature = secret.sign(Tag::RegistryApproval, &[digest.as_bytes()]);
        Self { change: digest, member: secret.public_key(), signature }
    }
}

impl ApprovedChange {
    /// A change with these approvals, each of which has to be of this change and valid.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`], or if an approval is of another change.
    pub fn new(
        change: RegistryChange,
        mut approvals: Vec<ChangeApproval>,
        members: &[ConsensusPublicKey],
        quorum: u16,
    ) -> Result<Self, ApprovalError> {
        let expected = change.digest();
        if let Some(other) = approvals.iter().find(|approval| approval.change != expected) {
            return Err(ApprovalError::OtherChange { actual: other.change, expected });
        }
        approvals.sort_by_key(|approval| approval.member);
        let approvals = approvals.iter().map(|approval| (approval.member, approval.signature));
        let approved = Self { change, approvals: approvals.collect() };
        approved.verify(members, quorum)?;
        Ok(approved)
    }

    /// Whether a quorum of these members, whose keys are sorted, approves.
    ///
    /// # Errors
    ///
    /// The first reason why not.
    pub fn verify(&self, members: &[ConsensusPublicKey], quorum: u16) -> Result<(), ApprovalError> {
        let actual = self.approvals.len();
        if actual > members.len() {
            return Err(ApprovalError::TooMany { actual, members: members.len() });
        }
        if actual < usize::from(quorum) {
            return Err(ApprovalError::TooFew { actual, quorum });
        }
        for pair in self.approvals.windows(2) {
            let (previous, next) = (pair[0].0, pair[1].0);
            if previous >= next {
                return Err(ApprovalError::Order { previous, next });
            }
        }
        let digest = self.change.digest();
        for (member, signature) in &self.approvals {
            let member = *member;
            if members.binary_search(&member).is_err() {
                return Err(ApprovalError::NotAMember { member });
            }
            member
                .verify(Tag::RegistryApproval, &[digest.as_bytes()], signature)
                .map_err(|_| ApprovalError::Signature { member })?;
        }
        Ok(())
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    ///
    /// # Errors
    ///
    /// If the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_CHANGE_BYTES)
    }
}

#[cfg(test)]
mod tests;
