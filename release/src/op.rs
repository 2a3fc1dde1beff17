//! Data for the nodes of an OP Stack rollup: blocks become a span batch, a channel, frames, and
//! signed batcher transactions on L1, from which derivation gives back exactly those blocks.
//!
//! ```text
//! batches ──> sub-blocks ─> L2 blocks ─> span batch ─> channel ─> frames ─> batcher transactions
//! released    sub_blocks    this module  span_batch    channel    channel   batcher
//! ```
//!
//! [`blocks`] makes the first two steps with an L1 at hand; [`l1_attributes`] is what a node adds to
//! each block.
//!
//! Formats are those of the OP Stack specification: "Batch submission wire format" and "Frame
//! format" in *L2 chain derivation*, and *Span batches* of the Delta upgrade with the transaction
//! type that Isthmus adds to them (EIP-7702). Nothing here is a format of our own but the channel
//! id, which the specification leaves to the batcher:
//!
//! `H(OP-CHANNEL, chain_id u64, first block u64, largest frame u64, compressed bytes)`, its first
//! 16 bytes; integers big-endian, notation as in [`crate::tree`].
//!
//! # Invariants
//!
//! 1. Exactness: a node that derives from the frames gets the given blocks, each with its number,
//!    timestamp and L1 origin, and every transaction byte for byte, in order.
//! 2. What derivation would drop for its form is refused before anything is written: blocks that
//!    do not follow each other or the parent, block times that are not met, L1 origins that go
//!    back or leave one out, transactions that are empty, deposits, blobs, of an unknown type, of
//!    another chain, or not in the one canonical encoding. An error names the place, what was
//!    found and what was expected.
//! 3. Determinism: the same arguments give the same bytes, up to the signatures (RFC 6979). A
//!    channel's id commits to its bytes and to how they were cut, so frames of two attempts are
//!    never mixed.
//! 4. Bounds: blocks and transactions, bytes of a channel, its frames, and each frame are
//!    limited by named constants, which are at most what derivation and the pools of L1 take.
//! 5. Silence: the batcher's key is wiped when it is dropped, cannot be copied out, and is not
//!    printed.
//! 6. Sub-blocks of a rollup faster than one second are concatenated into the block time at whose
//!    end they are: none is lost, none is moved before an earlier one, none is split.
//!
//! # What is not judged
//!
//! Whether a transaction is valid (see [`crate::validity`]), and what needs L1: that an L1 origin
//! exists; that the frames are included within the sequencing window and the channel's timeout. That
//! an L1 origin is not younger than its block and within the sequencer's drift is [`blocks`]' to say. Whether type 4 is taken
//! hangs on the rollup's upgrade (Isthmus): its registry entry says so.
//!
//! A span batch names its parent by hash, which exists only when the block before it was
//! executed. So blocks that a node has not executed yet belong into one span batch.

pub mod batcher;
pub mod blocks;
pub mod channel;
pub mod l1_attributes;
pub mod reader;
pub mod released;
pub mod span_batch;
pub mod sub_blocks;
mod transactions;

use alloy_primitives::B256;

pub use transactions::TransactionFault;

use crate::transaction::RawTransaction;

/// What derivation knows of a rollup beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The chain id that its transactions are signed for.
    pub chain_id: u64,
    /// The timestamp of its first block, in seconds since 1970.
    pub genesis_time_s: u64,
    /// The seconds between two blocks; at least one.
    pub block_time_s: u64,
}

/// The L1 block that an L2 block refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct L1Origin {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// The L2 block that a span batch stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its L1 origin.
    pub l1_origin: L1Origin,
}

/// A block of the rollup, without the deposits that derivation adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Block {
    /// Its number.
    pub number: u64,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its L1 origin.
    pub l1_origin: L1Origin,
    /// Its transactions, in order.
    pub transactions: Vec<RawTransaction>,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
