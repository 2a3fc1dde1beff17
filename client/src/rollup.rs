//! The rollup's side: takes the committee's batches one after the other, and says why not.
//!
//! [`RollupFollower::accept`] is the whole of it: it takes a batch document, or refuses it with a
//! [`Rejection`] and, where the document itself shows that its batch is false, a fraud proof.
//!
//! # Invariants
//!
//! 1. What is accepted is certified, complete for the rollup, in the fair order, and continues what
//!    was accepted before: no height is left out, none is taken twice.
//! 2. What a batch says of how its legs were checked is compared with the registry by which the
//!    release was cut. A registry that is not known leaves the claim [`Claim::Unproven`], by name.
//! 3. A refused document changes nothing: the follower waits for the true one.
//! 4. Verification needs the pinned network alone: no network, no clock, no consensus engine.
//! 5. Batches go on across the end of an epoch. What an epoch certified that the transcript does not
//!    prove is refused as [`Rejection::UnknownEpoch`]: nobody lied, a newer transcript is needed
//!    ([`RollupFollower::renew`]).
//! 6. A [`Checkpoint`] is where a follower stands; one of another network or rollup is refused.

#[cfg(feature = "network")]
pub mod stream;

use fairveil_crypto::committee::UnknownEpoch;
use fairveil_crypto::{Digest, Height, NetworkId};
use fairveil_keygen::Transcript;
use fairveil_release::batch::{Batch, Validation};
use fairveil_release::document::{AcceptError, BatchDocument, Cursor, DocumentError, accept_batch};
use fairveil_release::fraud::{FraudError, FraudProof, ServedBatch, committed_validation};
use fairveil_release::registry::{Registry, RegistryError};
use fairveil_release::release::BatchError;
use serde::{Deserialize, Serialize};

use crate::trust::{PinnedNetwork, RenewalError};

/// Follows the batches of one rollup.
#[derive(Clone, Debug)]
pub struct RollupFollower {
    network: PinnedNetwork,
    chain_id: u64,
    /// The network's own first, then those that were made known.
    registries: Vec<Registry>,
    at: At,
}

/// Where a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the release of this height, whose predecessor is not known.
    Begin(Height),
    /// After what was accepted.
    Cursor(Cursor),
}

/// Where a follower stands, to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The network.
    pub network_id: NetworkId,
    /// The rollup.
    pub chain_id: u64,
    /// What is accepted next.
    pub cursor: Cursor,
}

/// What is known of a batch's word on how its legs were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The release commits to it.
    Proven(Validation),
    /// It may be false: the release was cut by a registry that is not known here, or others feed the
    /// rollup too and the document does not show over which of its blocks the slot was simulated.
    Unproven {
        /// That registry's digest.
        registry: Digest,
    },
}

/// A batch that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// How its legs were checked.
    pub claim: Claim,
}

/// A document that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: Rejection,
    /// The proof that its batch is false, if the document itself shows that.
    pub fraud: Option<Box<FraudProof>>,
}

/// Why a rollup does not accept a batch document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Heights are left out.
    #[error("a gap: it begins at height {actual}, next is {expected}")]
    Gap {
        /// The first height that the document shows.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// Everything in it was accepted before.
    #[error("a replay: it ends at height {actual}, everything below {expected} is accepted")]
    Replay {
        /// The document's height.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// It begins at a height that was accepted before, and goes beyond.
    #[error("it begins at height {actual}, everything below {expected} is accepted")]
    Overlap {
        /// The first height that the document shows.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// Built on another release than the last accepted one.
    #[error("a fork: its first release is built on {actual}, the last accepted one is {expected}")]
    Fork {
        /// The root that it names.
        actual: Digest,
        /// The last accepted root.
        expected: Digest,
    },
    /// Slot, block or bundle do not stand after what was accepted.
    #[error(transparent)]
    Order(AcceptError),
    /// It is certified by the committee of an epoch that the transcript does not prove.
    #[error(transparent)]
    UnknownEpoch(UnknownEpoch),
    /// The release is not certified for this network, or its proof shows nothing.
    #[error(transparent)]
    Uncertified(DocumentError),
    /// The release is certified, and the batch is not what it has for the rollup.
    #[error("the batch is not the committee's: {0}")]
    False(BatchError),
}

/// Why there is nothing to follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowerError {
    /// The definition's rollups make no registry.
    #[error("the network's rollups: {0}")]
    Registry(#[from] RegistryError),
    /// A checkpoint of another network.
    #[error("a checkpoint of network {actual}, expected {expected}")]
    Network {
        /// The checkpoint's.
        actual: NetworkId,
        /// The pinned one.
        expected: NetworkId,
    },
    /// A checkpoint of another rollup.
    #[error("a checkpoint of rollup {actual}, expected {expected}")]
    Rollup {
        /// The checkpoint's.
        actual: u64,
        /// The followed one.
        expected: u64,
    },
}

impl RollupFollower {
    /// Follows a rollup from height `from` on. From height 1 on everything is judged; from a later
    /// one, what came before is not.
    ///
    /// # Errors
    ///
    /// If the definition's rollups make no registry.
    pub fn new(network: PinnedNetwork, chain_id: u64, from: Height) -> Result<Self, FollowerError> {
        let registries = vec![crate::registry::registry(network.definition())?];
        let first = Height::ZERO.next();
        let at = match from.max(first) {
            from if from == first => At::Cursor(Cursor::new(&network.network_id())),
            from => At::Begin(from),
        };
        Ok(Self { network, chain_id, registries, at })
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// If it is of another network or rollup.
    pub fn resumed(
        network: PinnedNetwork,
        chain_id: u64,
        checkpoint: &Checkpoint,
    ) -> Result<Self, FollowerError> {
        let (actual, expected) = (checkpoint.network_id, network.network_id());
        if actual != expected {
            return Err(FollowerError::Network { actual, expected });
        }
        let (actual, expected) = (checkpoint.chain_id, chain_id);
        if actual != expected {
            return Err(FollowerError::Rollup { actual, expected });
        }
        let follower = Self::new(network, chain_id, checkpoint.cursor.next)?;
        Ok(Self { at: At::Cursor(checkpoint.cursor), ..follower })
    }

    /// Makes a registry known that holds from some height on: what batches say of their checks is
    /// judged by it too, where a release was cut by it.
    pub fn know(&mut self, registry: Registry) {
        self.registries.push(registry);
    }

    /// Goes on with a newer transcript of the network: what later epochs certify is judged too.
    ///
    /// # Errors
    ///
    /// If it is not one; then nothing changes.
    pub fn renew(&mut self, transcript: &Transcript) -> Result<(), RenewalError> {
        self.network = self.network.renewed(transcript)?;
        Ok(())
    }

    /// The pinned network.
    #[must_use]
    pub const fn network(&self) -> &PinnedNetwork {
        &self.network
    }

    /// The rollup.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The height that is accepted next.
    #[must_use]
    pub const fn next(&self) -> Height {
        match &self.at {
            At::Begin(from) => *from,
            At::Cursor(cursor) => cursor.next,
        }
    }

    /// Where the follower stands; none before the first document of a later height.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let At::Cursor(cursor) = self.at else { return None };
        let (network_id, chain_id) = (self.network.network_id(), self.chain_id);
        Some(Checkpoint { network_id, chain_id, cursor })
    }

    /// Takes the next batch.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the reason; then nothing was taken. It holds a fraud proof if the
    /// document certifies its release and its batch is another one. If the document proves nothing,
    /// [`RollupFollower::fraud`] compares it with another one that does.
    pub fn accept<'a>(&mut self, document: &'a BatchDocument) -> Result<Accepted<'a>, Refused> {
        let (accepted, cursor) = self.judge(document).map_err(|reason| {
            let fraud =
                matches!(reason, Rejection::False(_)).then(|| self.fraud(document, document));
            Refused { reason, fraud: fraud.and_then(Result::ok) }
        })?;
        self.at = At::Cursor(cursor);
        Ok(accepted)
    }

    /// The proof that the batch of `said` is not what the release has that `certified` shows, a
    /// document of the same height.
    ///
    /// # Errors
    ///
    /// [`FraudError`], if that is not so: the batch may be the committee's although its document
    /// proves nothing.
    pub fn fraud(
        &self,
        certified: &BatchDocument,
        said: &BatchDocument,
    ) -> Result<Box<FraudProof>, FraudError> {
        let served = ServedBatch::new(certified, said.batch.clone());
        let proof = FraudProof::Served(Box::new(served));
        // Whoever judges the file knows the network's first registry alone.
        proof.judge(&self.network.network_id(), &self.network, &self.registries[0])?;
        Ok(Box::new(proof))
    }

    fn judge<'a>(&self, document: &'a BatchDocument) -> Result<(Accepted<'a>, Cursor), Rejection> {
        let (first, last) = (document.first(), document.release.height);
        let (actual, expected) = (first.height, self.next());
        if actual > expected {
            return Err(Rejection::Gap { actual, expected });
        }
        if last < expected {
            return Err(Rejection::Replay { actual: last, expected });
        }
        if actual < expected {
            return Err(Rejection::Overlap { actual, expected });
        }
        let cursor = match &self.at {
            At::Begin(_) => Cursor::before(first),
            At::Cursor(cursor) => *cursor,
        };
        let (network_id, network) = (self.network.network_id(), &self.network);
        let (batch, next) = accept_batch(&cursor, &network_id, network, self.chain_id, document)?;
        let claim = self.claim(document)?;
        Ok((Accepted { batch, claim }, next))
    }

    fn claim(&self, document: &BatchDocument) -> Result<Claim, Rejection> {
        let actual = document.batch.validation;
        match claimed(&self.registries, document) {
            Claim::Proven(expected) if actual != expected => {
                Err(Rejection::False(BatchError::Validation { actual, expected }))
            }
            claim => Ok(claim),
        }
    }
}

/// How the legs of a document's batch were checked, as far as these registries say.
#[must_use]
pub fn claimed(registries: &[Registry], document: &BatchDocument) -> Claim {
    let (release, chain_id) = (&document.release, document.batch.chain_id);
    let mut committed =
        registries.iter().filter_map(|registry| committed_validation(release, registry, chain_id));
    match committed.next() {
        Some(validation) => Claim::Proven(validation),
        None => Claim::Unproven { registry: release.registry },
    }
}

impl From<AcceptError> for Rejection {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Previous { actual, expected } => Self::Fork { actual, expected },
            AcceptError::Document(DocumentError::Batch(error)) => Self::False(error),
            AcceptError::Document(DocumentError::Epoch(error)) => Self::UnknownEpoch(error),
            AcceptError::Document(error) => Self::Uncertified(error),
            other => Self::Order(other),
        }
    }
}

impl Rejection {
    /// A word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Replay { .. } => "replay",
            Self::Overlap { .. } => "overlap",
            Self::Fork { .. } => "fork",
            Self::Order(_) => "order",
            Self::UnknownEpoch(_) => "unknown_epoch",
            Self::Uncertified(_) => "uncertified",
            Self::False(_) => "false",
        }
    }
}

impl Claim {
    /// A word for programs: `simulated`, `unvalidated`, `unproven`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proven(Validation::Simulated) => "simulated",
            Self::Proven(Validation::Unvalidated) => "unvalidated",
            Self::Unproven { .. } => "unproven",
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/rollups.md")]
struct Page;

#[cfg(test)]
mod tests;
