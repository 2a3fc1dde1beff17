//! What a certificate is refused for.

use super::BLOCK_VERSION;
use crate::{BlockDigest, Digest, Epoch, Height, NetworkId, SequencerIndex, View};

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No headers, or too many.
    #[error("{actual} headers, a certificate has 1 to {limit}")]
    Headers {
        /// Headers given.
        actual: usize,
        /// Headers allowed.
        limit: usize,
    },
    /// The committee of another epoch was given.
    #[error("epoch is {actual}, the committee's is {expected}")]
    Epoch {
        /// The epoch in the certificate.
        actual: Epoch,
        /// The committee's.
        expected: Epoch,
    },
    /// A header of an unknown version.
    #[error("header at height {height} has version {actual}, only {BLOCK_VERSION} is known")]
    Version {
        /// Where.
        height: Height,
        /// The version given.
        actual: u8,
    },
    /// A header of another network.
    #[error("network_id is {actual}, {expected} is expected")]
    Network {
        /// The network in the header.
        actual: NetworkId,
        /// The network asked for.
        expected: NetworkId,
    },
    /// The finalization is of another block than the first header.
    #[error("finalization is of block {actual}, the first header has digest {expected}")]
    Block {
        /// The block that was finalized.
        actual: BlockDigest,
        /// The digest of the first header.
        expected: BlockDigest,
    },
    /// A header is not the parent that the one before it names.
    #[error("header at height {height} has digest {actual}, the one before it names {expected}")]
    Parent {
        /// Where.
        height: Height,
        /// The header's digest.
        actual: BlockDigest,
        /// The parent of the header before it.
        expected: BlockDigest,
    },
    /// A header does not stand one height below the one before it.
    #[error("a header of height {actual} follows one of height {previous}")]
    Gap {
        /// The header's height.
        actual: Height,
        /// That of the header before it.
        previous: Height,
    },
    /// Signers and signatures differ in number.
    #[error("{signatures} signatures of {signers} signers")]
    Count {
        /// Signers given.
        signers: usize,
        /// Signatures given.
        signatures: usize,
    },
    /// Fewer signers than decide.
    #[error("{actual} signers, {expected} decide")]
    Quorum {
        /// Signers given.
        actual: usize,
        /// Signers needed.
        expected: usize,
    },
    /// A signer is no member.
    #[error("signer {actual} is no member, the committee has {members}")]
    Member {
        /// The signer.
        actual: SequencerIndex,
        /// Members of the committee.
        members: u16,
    },
    /// A signer is not above the one before it: it stands there twice, or in the wrong place.
    #[error("signer {actual} stands after signer {previous}: they ascend, each one once")]
    SignerOrder {
        /// The signer before.
        previous: SequencerIndex,
        /// The signer.
        actual: SequencerIndex,
    },
    /// A signature does not verify.
    #[error("signature of sequencer {0} does not verify")]
    Signature(SequencerIndex),
    /// None of several signatures verifies: they are over something else.
    #[error(
        "none of the {signers} signatures is over block {block}, view {view}, \
         parent view {parent_view} of this network"
    )]
    Unsigned {
        /// Signatures given.
        signers: usize,
        /// The block that is said to be finalized.
        block: BlockDigest,
        /// The view that is said.
        view: View,
        /// The parent's view that is said.
        parent_view: View,
    },
    /// The emission is of another height than the last header.
    #[error("emission is of height {actual}, the last header of height {expected}")]
    Height {
        /// The height of the emission.
        actual: Height,
        /// The height of the last header.
        expected: Height,
    },
    /// The last header commits to another emission or state.
    #[error("result root is {actual}, the last header has {expected}")]
    ResultRoot {
        /// The root of what was given.
        actual: Digest,
        /// The root in the header.
        expected: Digest,
    },
}
