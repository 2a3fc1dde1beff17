//! Why a transcript proves nothing.

use std::fmt;

use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{Digest, Epoch, KeyId, NetworkId, SequencerIndex};

use super::{MAX_BYTES, MAX_EPOCHS, VERSION};
use crate::agreed::Refusal;
use crate::approval::ApprovalError;
use crate::blame::Failure;
use crate::definition::DefinitionError;

/// Why a transcript proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file is too long.
    #[error("transcript has {actual} bytes, the limit is {MAX_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// Not JSON of a transcript.
    #[error("not a transcript: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the form.
    #[error("transcript has version {actual}, this program reads version {VERSION}")]
    Version {
        /// The version found.
        actual: u8,
    },
    /// The definition is refused.
    #[error("definition: {0}")]
    Definition(#[from] DefinitionError),
    /// The definition is not approved.
    #[error("approvals: {0}")]
    Approval(#[from] ApprovalError),
    /// It is the transcript of another network.
    #[error("transcript founds network {actual}, not {expected}")]
    WrongNetwork {
        /// The pinned network.
        expected: NetworkId,
        /// That of the transcript.
        actual: NetworkId,
    },
    /// No ceremony of it has the pinned digest.
    #[error("the transcript proves no ceremony with digest {expected}, its newest has {actual}")]
    WrongDigest {
        /// The pinned digest.
        expected: Digest,
        /// The newest one of the transcript.
        actual: Digest,
    },
    /// More epochs than a transcript may have.
    #[error("transcript has {actual} epochs, the limit is {MAX_EPOCHS}")]
    TooManyEpochs {
        /// Epochs found.
        actual: usize,
    },
    /// The transcript of an epoch before proves nothing.
    #[error("epoch {epoch}: {error}")]
    Predecessor {
        /// Which, by its place: from 1.
        epoch: usize,
        /// Why.
        error: Box<TranscriptError>,
    },
    /// A predecessor's transcript holds predecessors of its own.
    #[error("a transcript within a transcript holds predecessors of its own")]
    Nested,
    /// The first transcript of the chain is one of a resharing.
    #[error("the chain begins with the definition of epoch {actual}, not with the first")]
    NoBeginning {
        /// The epoch that it begins with.
        actual: Epoch,
    },
    /// A list is not in its order, or has an element twice.
    #[error("{section} are not in strictly ascending order")]
    Order {
        /// Which list.
        section: Section,
    },
    /// A dealing is refused.
    #[error("dealing of member {dealer}: {refusal}")]
    Dealing {
        /// The dealer.
        dealer: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// The second dealing of a dealer is refused.
    #[error("second dealing of member {dealer}: {refusal}")]
    Equivocation {
        /// The dealer.
        dealer: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// A complaint is refused.
    #[error("complaint of member {accuser} about the dealing of member {dealer}: {refusal}")]
    Complaint {
        /// The dealer.
        dealer: SequencerIndex,
        /// The accuser.
        accuser: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// An acknowledgement is refused.
    #[error("acknowledgement by member {player} of the dealing of member {dealer}: {refusal}")]
    Acknowledgement {
        /// The dealer.
        dealer: SequencerIndex,
        /// The player.
        player: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// A dealer log is refused.
    #[error("log of member {dealer}: {refusal}")]
    Log {
        /// The dealer.
        dealer: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// No key follows from the entries.
    #[error("the entries make no key: {0}")]
    NoKey(Failure),
    /// A point of the result is not what follows from the entries.
    #[error("{what} is {actual}, {expected} follows from the entries")]
    Point {
        /// Which point.
        what: ResultPoint,
        /// What follows.
        expected: PointBytes,
        /// What the transcript says.
        actual: PointBytes,
    },
    /// The key id is not that of the committee key.
    #[error("key id is {actual}, {expected} follows from the committee key")]
    KeyId {
        /// What follows.
        expected: KeyId,
        /// What the transcript says.
        actual: KeyId,
    },
    /// A number of the result is not what follows from the entries.
    #[error("{what} is {actual}, {expected} follows from the entries")]
    Number {
        /// Which number.
        what: ResultNumber,
        /// What follows.
        expected: usize,
        /// What the transcript says.
        actual: usize,
    },
    /// A list of the result is not what follows from the entries.
    #[error("the list of {section} is not the one that follows from the entries")]
    List {
        /// Which list.
        section: Section,
    },
    /// The digest is not that of the content.
    #[error("digest is {actual}, that of the content is {expected}")]
    Digest {
        /// The content's digest.
        expected: Digest,
        /// What the transcript says.
        actual: Digest,
    },
    /// A confirmation is refused.
    #[error("confirmation of member {member}: {refusal}")]
    Confirmation {
        /// The member.
        member: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// Too few members confirmed.
    #[error("{found} confirmations, {needed} are needed")]
    Confirmations {
        /// Confirmations found.
        found: usize,
        /// The quorum.
        needed: u16,
    },
}

/// A list of the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The approvals.
    Approvals,
    /// The dealings.
    Dealings,
    /// The acknowledgements.
    Acknowledgements,
    /// The second dealings.
    Equivocations,
    /// The complaints.
    Complaints,
    /// The dealer logs.
    Logs,
    /// The selected dealers.
    Dealers,
    /// The revealed members.
    Revealed,
    /// The faults.
    Faults,
    /// The confirmations.
    Confirmations,
}

/// A point of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultPoint {
    /// The committee key.
    CommitteeKey,
    /// The public key share of a member.
    PublicKeyShare(SequencerIndex),
}

/// A number of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultNumber {
    /// The threshold.
    Threshold,
    /// The effective threshold.
    EffectiveThreshold,
    /// The number of public key shares.
    PublicKeyShares,
}

impl fmt::Display for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Section::Approvals => "approvals",
            Section::Dealings => "dealings",
            Section::Acknowledgements => "acknowledgements",
            Section::Equivocations => "second dealings",
            Section::Complaints => "complaints",
            Section::Logs => "logs",
            Section::Dealers => "dealers",
            Section::Revealed => "revealed members",
            Section::Faults => "faults",
            Section::Confirmations => "confirmations",
        })
    }
}

impl fmt::Display for ResultPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResultPoint::CommitteeKey => out.write_str("committee key"),
            ResultPoint::PublicKeyShare(index) => write!(out, "public key share of member {index}"),
        }
    }
}

impl fmt::Display for ResultNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ResultNumber::Threshold => "threshold",
            ResultNumber::EffectiveThreshold => "effective threshold",
            ResultNumber::PublicKeyShares => "number of public key shares",
        })
    }
}
