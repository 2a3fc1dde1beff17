//! Runs the ceremony that makes, reshares and refreshes the committee key, and defines its files.
//!
//! | module | holds |
//! |---|---|
//! | [`definition`] | what the members agree on before they make a key; founds the network |
//! | [`approval`] | every member's signature on it |
//! | [`context`] | one ceremony: an approved definition, a round, and who deals to whom |
//! | [`dealing`] | dealing keys, and the encryption of a dealing to one member |
//! | [`entry`] | what members post on the ceremony's chain |
//! | [`agreed`] | the fold over the agreed log, the same for members and readers |
//! | [`blame`] | provable faults and their evidence, and why a ceremony failed |
//! | [`ceremony`] | one member's state machine |
//! | [`journal`] | what it must not lose |
//! | [`transcript`] | the public proof of the committee key of every epoch, verified offline |
//! | [`keystore`] | all secrets of one sequencer and epoch, in one encrypted file |
//!
//! The key generation itself is commonware's `bls12381::dkg::feldman_desmedt`, unchanged. Nobody
//! ever holds the secret key; t = n - floor((n-1)/3) shares open, t - 1 open nothing.
//!
//! Feature `simulation`, for tests and simulations alone, has ceremonies in one process, and what
//! cheating members post.
//!
//! This crate touches neither disk, network, clock nor entropy: all of these are arguments.

#[cfg(any(test, feature = "simulation"))]
pub mod adversary;
pub mod agreed;
pub mod approval;
pub mod blame;
pub mod ceremony;
pub mod context;
pub mod dealing;
pub mod definition;
pub mod deposits;
mod dkg;
pub mod entry;
mod hex_bytes;
#[cfg(feature = "simulation")]
pub mod in_process;
pub mod journal;
pub mod keystore;
pub mod transcript;

#[cfg(test)]
mod test_support;

pub use agreed::{Phase, Refusal};
pub use approval::{Approval, ApprovalError, ApprovedDefinition};
pub use blame::{Blame, BlameEvidence, BlameVerdict, EvidenceError, Failure, FailureReason, Fault};
pub use ceremony::{Ceremony, Input, Membership, Output, Record, StartError, Status};
pub use context::{CeremonyContext, ContextError, IdentityError, Participant, Party, Role};
pub use dealing::{DealingPublicKey, DealingSecret};
pub use definition::{
    Definition, DefinitionError, Member, NetworkPublicKey, Proposal, Resharing, SuccessionError,
};
pub use deposits::{DepositError, Deposits, DepositsError};
pub use dkg::{DealingError, LogFault, ShareError};
pub use entry::{CeremonyEntry, Complaint, ComplaintFault, EntryError};
pub use hex_bytes::HexBytes;
pub use journal::DealingNonce;
pub use transcript::{
    CeremonyResult, PublicFault, Transcript, TranscriptError, VerifiedEpoch, VerifiedTranscript,
};
