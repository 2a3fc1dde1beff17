//! The trader's side: builds, seals, submits, follows and verifies; and the rollup's: takes batches.
//!
//! | module | holds |
//! |---|---|
//! | [`trust`] | the pinned network: what a client believes, and from where |
//! | [`rpc`] | the trader interface's messages, for both ends |
//! | [`mod@file`] | the files that a trader keeps |
//! | [`mod@registry`] | the rollups of a network |
//! | [`seal`] | sealing a bundle on the trader's machine |
//! | [`receipts`] | what sequencers answered to a submission, and what of it counts |
//! | [`document`] | what became of a bundle, proven |
//! | [`verify`] | judging any file offline |
//! | [`certified`] | what a height emitted, proven, and that heights are one chain |
//! | [`trace`] | receipts and order of a run, verified |
//! | [`fairness`] | whether receipts contradict the certified order, and what that shows |
//! | [`censorship`] | proof that an admitted bundle was omitted |
//! | [`rollup`] | a rollup's side: taking batch after batch, and why not |
//! | `network` | the HTTP side of a sequencer, and the tip of the chain |
//! | `submission` | submitting to all sequencers |
//! | `follow` | what became of a bundle, and waiting for it |
//! | `record` | taking order and receipts of a run from the sequencers |
//! | `rollup::stream` | batches from sequencers' streams, from one to the next |
//!
//! The last five need the feature `network`; without it nothing here does any I/O. No sequencer is
//! believed alone: the committee key comes from a verified transcript of the pinned network, f+1
//! verified receipts admit a bundle, and an outcome is what a certificate proves.

#![forbid(unsafe_code)]

pub mod censorship;
pub mod certified;
pub mod document;
pub mod fairness;
pub mod file;
#[cfg(feature = "network")]
pub mod follow;
#[cfg(feature = "network")]
pub mod network;
pub mod receipts;
#[cfg(feature = "network")]
pub mod record;
pub mod registry;
pub mod rollup;
pub mod rpc;
pub mod seal;
#[cfg(feature = "network")]
pub mod submission;
#[cfg(test)]
mod test_support;
pub mod trace;
pub mod trust;
pub mod verify;

#[cfg(feature = "network")]
pub use network::{Endpoint, HttpError};
pub use trust::PinnedNetwork;
