//! Speaks to rollups: reads their pinned state, and hands them what was released.
//!
//! ```text
//!                    ┌─ followed ────> which blocks a rollup's node has
//!                    ├─ state_view ──> a node's JSON-RPC, pinned to a block hash
//! json_rpc (HTTP) ───┼─ engine ──────> an OP engine builds exactly the released block
//!                    └─ development ─> development chains mine exactly the released slot
//! ```
//!
//! Everything that goes over a socket here goes over [`json_rpc`], to endpoints that the operator
//! runs: on this machine or in the same trusted network, without TLS. What an endpoint answers is
//! bounded and checked for form, and what it *built* is compared with what was released; that its
//! reads are true is not checked, as a rollup's own node is trusted with them.
//!
//! # Invariants of the crate
//!
//! 1. Exactness: a block counts as handed over only if the rollup's block holds exactly the
//!    released transactions, in the released order, at the released time.
//! 2. Bounds: every answer, batch, cache and wait has a named limit.
//! 3. Silence: secrets are wiped when they are dropped and are not printed; an endpoint is named by
//!    host and port alone.

//!
//! # Example
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use fairveil_adapters::development::DevelopmentChains;
//! use fairveil_adapters::json_rpc::{Endpoint, Limits};
//! use fairveil_adapters::released::{ReleasedBlock, ReleasedSlot};
//! use fairveil_adapters::state_view::{BlockId, Reader};
//! use fairveil_execution::state::StateView;
//!
//! // On an ordinary thread: the state that the next block begins with.
//! let endpoint = Endpoint::new("http://127.0.0.1:8545", Limits::default())?;
//! let reader = Arc::new(Reader::new(endpoint.clone())?);
//! if let Some(header) = reader.header(BlockId::Latest)? {
//!     let state = reader.pin(header);
//!     println!("{:?}", state.account(Default::default())?);
//! }
//!
//! // In a task: the chain mines the slot, or is as it was.
//! let release = async {
//!     let mut chains = DevelopmentChains::connect(BTreeMap::from([(901, endpoint)])).await?;
//!     let block = ReleasedBlock {
//!         number: 7,
//!         time_ms: 1_800_000_000_000,
//!         transactions: vec!["0x02c0".parse()?],
//!     };
//!     let slot = ReleasedSlot { rollups: BTreeMap::from([(901, vec![block])]) };
//!     println!("{:?}", chains.release(&slot).await?);
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! };
//! tokio::runtime::Runtime::new()?.block_on(release)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod development;
pub mod engine;
pub mod followed;
pub mod json_rpc;
mod quantity;
pub mod released;
pub mod state_view;
#[cfg(test)]
mod test_server;
