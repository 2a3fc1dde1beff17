//! Defines what a bundle is, seals it, and admits sealed bundles within limits.
//!
//! | module | holds |
//! |---|---|
//! | [`bundle`] | bundles in the clear, their encoding and padding, the reasons of a failed one |
//! | [`sealing`] | sealing a bundle on the trader's machine |
//! | [`rejection`] | why a sealed bundle is not admitted |
//! | [`receipt`] | signed admission, and the evidence of a false one |
//! | [`message`] | what sequencers say to each other about bundles |
//! | [`limits`] | every bound of the pool |
//! | [`pool`] | the state machine: admission, relay, fetching, the duty to report |
//!
//! Nothing here reads a clock, entropy, disk or network; the pool never sees plaintext and decides
//! no order but that of its own log.

pub mod bundle;
pub mod limits;
pub mod message;
pub mod pool;
pub mod receipt;
pub mod rejection;
pub mod sealing;

pub use alloy_primitives::Bytes;

pub use crate::bundle::{Bundle, BundleError, FailedReason, Leg, Policy};
pub use crate::limits::Limits;
pub use crate::message::BundleMessage;
pub use crate::pool::Pool;
pub use crate::receipt::{Place, Receipt, ReceiptBody, ReceiptSet};
pub use crate::rejection::{Rejection, RejectionCode, Value};
pub use crate::sealing::{SealBundleError, SealTerms, seal_bundle};
