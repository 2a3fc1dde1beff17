//! The transport over real QUIC on loopback: ephemeral ports, bounded in time, no task left over.
#![allow(clippy::unwrap_used, missing_docs)]

mod abuse;
mod authentication;
mod delivery;
mod engines;
mod floods;
mod priority;
mod recovery;
mod support;
mod traders;
