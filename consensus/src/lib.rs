//! The block, and what a validator proposes, verifies and finalizes, on commonware
//!
//! One engine runs two chains. The network's chain carries evidence of order logs, applies it, and
//! certifies release roots. A ceremony's chain puts opaque entries into one order before there is
//! a network. Both hand final blocks to the sequencer, in height order, with the proof that they
//! are final.
//!
//! | module | |
//! |---|---|
//! | [`block`] | header, body, limits, encoding |
//! | [`state`] | the network's state after a block, and every rule of it |
//! | [`host`] | what the sequencer supplies |
//! | [`order_chain`] | the network's chain: [`state`] with a [`host`] |
//! | [`ceremony`] | the chain of a ceremony |
//! | [`entries`] | a ceremony's entries, on whichever chain |
//! | [`epoch`] | how an epoch ends, as blocks say it |
//! | [`chain`] | the seam between the engine and a chain |
//! | [`header`] | what every header has to say |
//! | [`engine`] | wiring, configuration, start and stop |
//! | [`network`] | channels, split by epoch and round |
//! | [`delivery`] | final blocks, proofs, acknowledgements |
//! | [`committee`] | keys as the engine sees them, epochs |
//! | [`equivocation`] | two votes that convict |
//! | [`timing`] | durations and their relations |
//! | `application` | the one file on commonware's ALPHA surface |
//! | `speculation` | states of blocks that are not final |
//! | `remembered` | consumed nonces, cheap to clone |
//! | [`signal`] | waiting for what other tasks bring about, in a fixed order |
//!
//! # What of commonware 2026.10.0 is used
//!
//! | | stability | where |
//! |---|---|---|
//! | `simplex`, `elector::RoundRobin`, `scheme::ed25519` | BETA | `engine`, `committee` |
//! | `marshal::core` (`Actor`, `Mailbox`), `marshal::resolver::p2p` | BETA | `engine`, `delivery` |
//! | `consensus::Application`, `marshal::standard::Inline` | **ALPHA** | `application` alone |
//! | `broadcast::buffered`, `resolver::p2p`, `storage::archive::immutable` | BETA | `engine` |
//! | `p2p::utils::mux` | BETA | `network` |
//! | `runtime` traits (`Clock`, `Spawner`, `Storage`, `Metrics`) | BETA | generic parameter |
//!
//! # Durations
//!
//! `idle interval < leader timeout < certification timeout < skip timeout`, see [`timing`]: a
//! leader that waits for work is not a dead leader; a member that can't verify yet keeps silent
//! until the view is skipped; a member that is gone costs one timeout, and after the skip timeout
//! none.
//!
//! # Security
//!
//! 1. A block that breaks a rule gets no honest vote; what can't be judged yet gets no verdict.
//! 2. Nothing leaves as final without a quorum's finalization in hand ([`delivery`]).
//! 3. Leaders choose which evidence they carry, and nothing else: order, time, placements and
//!    roots follow from it and are recomputed by everybody.
//! 4. Leaders rotate by view. No randomness of the protocol is used as a key.

#![forbid(unsafe_code)]

mod application;
pub mod balances;
pub mod block;
pub mod ceremony;
pub mod chain;
pub mod committee;
pub mod delivery;
pub mod engine;
pub mod entries;
pub mod epoch;
pub mod equivocation;
pub mod header;
pub mod host;
mod layers;
pub mod network;
pub mod order_chain;
mod remembered;
pub mod signal;
mod speculation;
pub mod state;
pub mod timing;

pub use fairveil_crypto::certificate::simplex::namespace;

pub use crate::block::{Block, Body, Draft, SystemEntry};
pub use crate::ceremony::{CeremonyChain, CeremonyState};
pub use crate::chain::{Chain, Executed, Slot, Tip};
pub use crate::committee::Members;
pub use crate::delivery::{Acknowledgement, Finality, Finalized, Progress};
pub use crate::engine::{Config, EngineError, Running, Voting, start};
pub use crate::epoch::{Handover, Resharing, Successor};
pub use crate::header::ChainId;
pub use crate::host::{BundleFacts, Host, Intake, Wanted};
pub use crate::network::{Channels, Network, Subchannel};
pub use crate::order_chain::OrderChain;
pub use crate::signal::Signal;
pub use crate::state::{BlockFault, BlockOutput, ChainState, Parameters};
pub use crate::timing::Timing;
