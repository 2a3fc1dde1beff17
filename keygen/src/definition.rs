//! The definition: everything that the members of a committee agree on before they make a key.
//!
//! A [`Proposal`] is what an operator writes, as TOML. [`Definition::new`] checks it and sorts it;
//! every member then signs its digest ([`crate::approval`]). The digest of a network's *first*
//! definition is its network id for ever.
//!
//! ```text
//! canonical bytes = encode(Proposal), members sorted by consensus key, rollups by chain id
//! digest          = hash(DEFINITION, canonical bytes)
//! network id      = digest of the first definition; later ones carry it
//! F = floor((n-1)/3)     t = q = n - F     required: n >= 4f + 2g + 1 and n >= 4
//! ```
//!
//! # Invariants
//!
//! 1. A `Definition` satisfies `n >= 4f + 2g + 1`; a proposal that does not is refused with the n
//!    that it would take. t is never an input: it follows from n.
//! 2. No two members share a name, a consensus, network or dealing key, or a peer address, and no
//!    key serves two purposes. Every key is a valid encoding of its kind.
//! 3. Two proposals that differ only in the order of members or rollups are one definition: same
//!    canonical bytes, same digest. Canonical bytes decode to exactly the definition they encode.
//! 4. The member at place k (from 0) has index k + 1, in the consensus, in the key generation and
//!    as holder of the share f(k + 1).
//!
//! 5. A definition of version 1 is a first one, of epoch 1. One of version 2 is of a later epoch
//!    and says what it continues ([`Resharing`]); whether it may, [`Definition::continues`] judges
//!    against the definition before it.
//!
//! A refusal says what is wrong, and the nearest value that would do.

mod canonical;
mod member;
mod parameters;
mod succession;

use std::collections::BTreeSet;

use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::encoding::DecodeError;
use fairveil_crypto::{ConsensusPublicKey, Digest, Epoch, NetworkId, SequencerIndex};
use serde::{Deserialize, Serialize};

pub use member::{
    Address, AddressError, MAX_ADDRESS_BYTES, MAX_NAME_BYTES, Member, NameError, NetworkPublicKey,
};
pub use parameters::{
    Accounting, Blocks, Deadlines, Mode, Ordering, ParameterError, Rollup, RollupBlocks,
    RollupState,
};
pub use succession::{Resharing, SuccessionError};

/// The version of first definitions.
pub const VERSION: u8 = 1;
/// The version of definitions of later epochs.
pub const RESHARING_VERSION: u8 = 2;
/// The smallest committee that tolerates a Byzantine member in its consensus.
pub const MIN_MEMBERS: u16 = 4;
/// The largest committee.
pub const MAX_MEMBERS: u16 = 128;
/// The most rollups in an initial registry.
pub const MAX_ROLLUPS: usize = 64;
/// The longest definition in canonical bytes or TOML.
pub const MAX_BYTES: usize = 256 << 10;

/// What an operator proposes: unchecked, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The form of the definition: [`VERSION`] or [`RESHARING_VERSION`].
    pub version: u8,
    /// The epoch of the committee: 1 for a first definition.
    pub epoch: Epoch,
    /// The number of members, as a check of the list.
    pub n: u16,
    /// Byzantine members that the fair order tolerates.
    pub f: u16,
    /// Honest disagreement that the fair order tolerates.
    pub g: u16,
    /// The most members whose shares may have been revealed in the ceremony; 0 refuses any.
    pub revealed_limit: u16,
    /// How the order is made.
    pub ordering: Ordering,
    /// How often blocks are made.
    pub blocks: Blocks,
    /// How long each step of the ceremony may take.
    pub deadlines: Deadlines,
    /// What bundles cost. Without, nothing is charged.
    pub accounting: Option<Accounting>,
    /// The initial registry of rollups.
    pub rollups: Vec<Rollup>,
    /// The members.
    pub members: Vec<Member>,
    /// What a definition of a later epoch continues; none in a first definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resharing: Option<Resharing>,
}

/// Why a proposal is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Another form of definition.
    #[error(
        "definition has version {actual}, this program reads {VERSION} and {RESHARING_VERSION}"
    )]
    Version {
        /// The version found.
        actual: u8,
    },
    /// A first definition makes epoch 1.
    #[error("a first definition has epoch 1, this one has epoch {actual}")]
    Epoch {
        /// The epoch found.
        actual: Epoch,
    },
    /// A definition of version 2 makes a later epoch.
    #[error("a definition of version 2 has epoch 2 or a later one, this one has epoch {actual}")]
    FirstEpoch {
        /// The epoch found.
        actual: Epoch,
    },
    /// A first definition continues nothing.
    #[error("a definition of version 1 continues nothing: with [resharing] its version is 2")]
    UnexpectedResharing,
    /// A definition of a later epoch says what it continues.
    #[error("a definition of version 2 says in [resharing] what it continues")]
    MissingResharing,
    /// The list of members does not have the declared length.
    #[error("n is {declared}, {actual} members are listed: n = {actual}, or list {declared}")]
    MemberCount {
        /// The declared n.
        declared: u16,
        /// Members listed.
        actual: usize,
    },
    /// Too few members for f and g.
    #[error("n is {n}; f = {f} and g = {g} take n >= {needed}{}", nearest_faults(*n, *f))]
    TooFewMembers {
        /// The n of the proposal.
        n: u16,
        /// Its f.
        f: u16,
        /// Its g.
        g: u16,
        /// The smallest n that would do.
        needed: u32,
    },
    /// Too many members.
    #[error("n is {n}, the limit is {MAX_MEMBERS}")]
    TooManyMembers {
        /// The n of the proposal.
        n: u16,
    },
    /// So many revealed shares would leave no secrecy against F members.
    #[error("revealed_limit is {actual}, n = {n} allows at most {limit}")]
    RevealedLimit {
        /// The limit of the proposal.
        actual: u16,
        /// The n of the proposal.
        n: u16,
        /// The largest value.
        limit: u16,
    },
    /// Two members share what identifies one.
    #[error("members {first} and {second} have the same {what}")]
    Duplicate {
        /// What is the same.
        what: Identity,
        /// Name of the first.
        first: String,
        /// Name of the second.
        second: String,
    },
    /// One key stands in two places.
    #[error("member {name} has a network key that is also a consensus key")]
    KeyReused {
        /// Name of the member.
        name: String,
    },
    /// A member's name is not one.
    #[error("member name {name:?}: {error}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// A key is not an encoding of its kind.
    #[error("member {name} has an invalid {what}")]
    InvalidKey {
        /// Name of the member.
        name: String,
        /// Which key.
        what: Identity,
    },
    /// A parameter is outside its limits.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The canonical bytes are not an encoding of a proposal.
    #[error("definition: {0}")]
    Encoding(#[from] DecodeError),
    /// The members or rollups are not in canonical order.
    #[error("definition is not in canonical form: members or rollups are not sorted")]
    NotSorted,
    /// The file is too long.
    #[error("definition has {actual} bytes, the limit is {MAX_BYTES}")]
    TooLong {
        /// Length found.
        actual: usize,
    },
    /// The text is not TOML of a proposal.
    #[error("definition: {0}")]
    Toml(#[from] toml::de::Error),
}

/// What identifies a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Its name.
    Name,
    /// Its consensus key.
    ConsensusKey,
    /// Its network key.
    NetworkKey,
    /// Its dealing key.
    DealingKey,
    /// Its address for the other members.
    PeerAddress,
}

/// A checked definition in canonical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    proposal: Proposal,
    digest: Digest,
}

impl Definition {
    /// Checks and sorts a proposal.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn new(mut proposal: Proposal) -> Result<Self, DefinitionError> {
        check_numbers(&proposal)?;
        proposal.ordering.check()?;
        proposal.blocks.check()?;
        proposal.deadlines.check()?;
        proposal.accounting.as_ref().map_or(Ok(()), Accounting::check)?;
        proposal.members.sort_by_key(|member| member.consensus);
        proposal.rollups.sort_by_key(|rollup| rollup.chain_id);
        parameters::check_rollups(&proposal.rollups)?;
        check_members(&proposal.members)?;
        let digest = domain::hash(Tag::Definition, &[&canonical::encode(&proposal)]);
        Ok(Self { proposal, digest })
    }

    /// Reads a proposal as TOML, in any order, and checks it.
    ///
    /// # Errors
    ///
    /// If it is not TOML of a proposal, or [`Self::new`] refuses it.
    pub fn from_toml(text: &str) -> Result<Self, DefinitionError> {
        if text.len() > MAX_BYTES {
            return Err(DefinitionError::TooLong { actual: text.len() });
        }
        Self::new(toml::from_str(text)?)
    }

    /// The definition as TOML, in canonical order.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(&self.proposal).expect("every checked value has a form in TOML")
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    ///
    /// If they are not exactly what [`Self::to_bytes`] returns for a definition.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DefinitionError> {
        Self::from_canonical(canonical::decode(bytes)?)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(&self.proposal)
    }

    /// Checks a proposal that must already be in canonical order.
    ///
    /// # Errors
    ///
    /// If it is not, or [`Self::new`] refuses it.
    pub fn from_canonical(proposal: Proposal) -> Result<Self, DefinitionError> {
        let definition = Self::new(proposal.clone())?;
        if definition.proposal != proposal {
            return Err(DefinitionError::NotSorted);
        }
        Ok(definition)
    }

    /// The content, in canonical order.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// The digest that the members approve.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The network: that which this definition founds, or continues.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        match &self.proposal.resharing {
            None => NetworkId::from_bytes(self.digest.to_bytes()),
            Some(resharing) => resharing.network_id,
        }
    }

    /// What it continues; `None` for a first definition.
    #[must_use]
    pub fn resharing(&self) -> Option<&Resharing> {
        self.proposal.resharing.as_ref()
    }

    /// The epoch of the committee.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.proposal.epoch
    }

    /// The members, by index.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.proposal.members
    }

    /// The member with this index.
    #[must_use]
    pub fn member(&self, index: SequencerIndex) -> Option<&Member> {
        self.proposal.members.get(index.position())
    }

    /// The index of the member with this consensus key.
    #[must_use]
    pub fn index_of(&self, key: &ConsensusPublicKey) -> Option<SequencerIndex> {
        let found = self.proposal.members.binary_search_by_key(key, |member| member.consensus);
        SequencerIndex::from_position(found.ok()?)
    }

    /// The consensus keys, by index.
    #[must_use]
    pub fn consensus_keys(&self) -> Vec<ConsensusPublicKey> {
        self.proposal.members.iter().map(|member| member.consensus).collect()
    }

    /// The number of members, n.
    #[must_use]
    pub fn n(&self) -> u16 {
        self.proposal.n
    }

    /// The Byzantine members that the consensus tolerates, F.
    #[must_use]
    pub fn consensus_faults(&self) -> u16 {
        (self.proposal.n - 1) / 3
    }

    /// The shares that suffice to open, and the members that form a quorum: t = q = n - F.
    #[must_use]
    pub fn threshold(&self) -> u16 {
        self.proposal.n - self.consensus_faults()
    }
}

impl Serialize for Definition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.proposal.serialize(serializer)
    }
}

/// The first 48 bits of a digest, in three groups of four hex digits, to read out to each other.
///
/// For people who compare; a program compares whole digests.
#[must_use]
pub fn short_digest(digest: &Digest) -> String {
    let [a, b, c, d, e, f, ..] = digest.to_bytes();
    format!("{a:02x}{b:02x}-{c:02x}{d:02x}-{e:02x}{f:02x}")
}

impl std::fmt::Display for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Identity::Name => "name",
            Identity::ConsensusKey => "consensus key",
            Identity::NetworkKey => "network key",
            Identity::DealingKey => "dealing key",
            Identity::PeerAddress => "peer address",
        })
    }
}

fn check_numbers(proposal: &Proposal) -> Result<(), DefinitionError> {
    let &Proposal { n, f, g, revealed_limit, ref members, .. } = proposal;
    check_version(proposal)?;
    if members.len() != usize::from(n) {
        return Err(DefinitionError::MemberCount { declared: n, actual: members.len() });
    }
    let needed = u32::from(MIN_MEMBERS).max(4 * u32::from(f) + 2 * u32::from(g) + 1);
    if u32::from(n) < needed {
        return Err(DefinitionError::TooFewMembers { n, f, g, needed });
    }
    if n > MAX_MEMBERS {
        return Err(DefinitionError::TooManyMembers { n });
    }
    let limit = (n - 1) / 3;
    if revealed_limit > limit {
        return Err(DefinitionError::RevealedLimit { actual: revealed_limit, n, limit });
    }
    Ok(())
}

fn check_version(proposal: &Proposal) -> Result<(), DefinitionError> {
    let &Proposal { version, epoch: actual, ref resharing, .. } = proposal;
    match (version, resharing) {
        (VERSION, None) if actual != Epoch::new(1) => Err(DefinitionError::Epoch { actual }),
        (VERSION, None) => Ok(()),
        (VERSION, Some(_)) => Err(DefinitionError::UnexpectedResharing),
        (RESHARING_VERSION, None) => Err(DefinitionError::MissingResharing),
        (RESHARING_VERSION, Some(_)) if actual < Epoch::new(2) => {
            Err(DefinitionError::FirstEpoch { actual })
        }
        (RESHARING_VERSION, Some(resharing)) => Ok(parameters::check_resharing(resharing)?),
        _ => Err(DefinitionError::Version { actual: version }),
    }
}

/// The largest f up to `f`, and g beside it, that so many members tolerate.
fn nearest_faults(n: u16, f: u16) -> String {
    if n < MIN_MEMBERS {
        return String::new();
    }
    let f = f.min((n - 1) / 4);
    let g = (n - 1 - 4 * f) / 2;
    format!("; n = {n} takes f <= {f}, and with f = {f} g <= {g}")
}

fn check_members(members: &[Member]) -> Result<(), DefinitionError> {
    for member in members {
        let name = || member.name.clone();
        member.check_name().map_err(|error| DefinitionError::Name { name: name(), error })?;
        let invalid = |what| DefinitionError::InvalidKey { name: name(), what };
        if !member.consensus.is_valid() {
            return Err(invalid(Identity::ConsensusKey));
        }
        if !member.network.is_valid() {
            return Err(invalid(Identity::NetworkKey));
        }
        if !member.dealing.is_valid() {
            return Err(invalid(Identity::DealingKey));
        }
    }
    check_unique(members, Identity::Name, |member| member.name.clone().into_bytes())?;
    check_unique(members, Identity::ConsensusKey, |member| member.consensus.as_bytes().to_vec())?;
    check_unique(members, Identity::NetworkKey, |member| member.network.as_bytes().to_vec())?;
    check_unique(members, Identity::DealingKey, |member| member.dealing.as_bytes().to_vec())?;
    check_unique(members, Identity::PeerAddress, |member| {
        member.peer_address.to_string().into_bytes()
    })?;
    let consensus: BTreeSet<_> =
        members.iter().map(|member| *member.consensus.as_bytes()).collect();
    match members.iter().find(|member| consensus.contains(member.network.as_bytes())) {
        Some(member) => Err(DefinitionError::KeyReused { name: member.name.clone() }),
        None => Ok(()),
    }
}

fn check_unique(
    members: &[Member],
    what: Identity,
    key: impl Fn(&Member) -> Vec<u8>,
) -> Result<(), DefinitionError> {
    let mut sorted: Vec<_> = members.iter().map(|member| (key(member), &member.name)).collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(DefinitionError::Duplicate {
            what,
            first: pair[0].1.clone(),
            second: pair[1].1.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
