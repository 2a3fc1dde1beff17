//! Real processes on loopback: what traders and operators run, and what goes wrong around them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests of processes use the disk and the clock")]

mod accountability;
mod accounting;
mod adversaries;
mod backup;
mod bad_input;
mod ceremony;
mod dry_run;
mod engine;
mod epochs;
mod examples;
mod faults;
mod followed;
mod keystores;
mod load;
mod markdown;
mod network;
mod operator;
mod outputs;
#[path = "../../src/local/ports.rs"]
mod ports;
mod rollup;
mod rollups;
mod trader;
mod turns;
