//! One sequencer: its pool, order log, consensus, opening and release, on any runtime, network
//! and store.
//!
//! The same code runs in a node (tokio, QUIC, a file) and in the simulation (deterministic
//! runtime, simulated network, a disk that forgets unsynced writes).
//!
//! | module | |
//! |---|---|
//! | [`start`] | wires everything and starts it |
//! | [`handle`] | what the rest of the process may ask |
//! | [`ceremony`] | runs the key ceremony on its own chain |
//! | `actor` | the task: one loop over everything that happens |
//! | `shared` | what the consensus asks for and the task supplies |
//! | [`logs`] | what is known of everybody's order log |
//! | `opening` | from a final order to its release |
//! | `ledger_store` | what bundles paid and who got it, in the database |
//! | [`rollups`] | the rollups of every height, and changes of them |
//! | [`views`] | followed rollups: anchors, and releases over their states |
//! | [`renewal`] | its part in a resharing |
//! | [`resharing`] | the same by the key generation |
//! | [`feed`] | the same from outside: for those who join |
//! | [`boundary`] | everything at an epoch's end: what the next one begins with |
//! | [`sync`] | taking it from others |
//! | `seat` | what outlives an epoch |
//! | `outbox` | writes, and what may happen only after them |
//! | [`abstention`] | a sequencer that was restored from a backup signs nothing for a while |
//! | [`retention`] | what is removed from the database, if it is asked for |
//! | [`recovery`] | the state after a start |
//! | [`store`], [`record`] | the database and what stands in it |
//! | [`executor`] | where heavy work runs |
//! | [`behaviour`], `adversary` | named adversaries, for tests |

#![forbid(unsafe_code)]

pub mod abstention;
mod actor;
mod adversary;
pub mod behaviour;
pub mod boundary;
pub mod ceremony;
pub mod config;
pub mod executor;
pub mod feed;
pub mod handle;
mod ledger_store;
pub mod logs;
mod opening;
mod outbox;
pub mod record;
pub mod recovery;
mod release_store;
pub mod renewal;
pub mod resharing;
pub mod retention;
pub mod rollups;
mod seat;
mod shared;
mod start;
pub mod store;
pub mod sync;
pub mod views;

pub use crate::{
    abstention::{OtherInstance, Restored},
    actor::{PeerChannels, StopReason},
    adversary::{AttackReport, attacker},
    behaviour::{Behaviour, UnknownBehaviour},
    config::{Accounting, Config, Secrets},
    executor::Executor,
    handle::{Balance, Check, Handle, Overview},
    seat::Seat,
    start::{Engine, LINGER, Running, StartError, Stopped, start},
    store::{Store, StoreError},
};
