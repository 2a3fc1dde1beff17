//! A channel: compressed batches, cut into frames.
//!
//! ```text
//! channel = zlib(RLP string(batch 1) ‖ RLP string(batch 2) ‖ ...)
//! frame   = channel id (16) ‖ number u16 ‖ length u32 ‖ part of the channel ‖ is_last (1)
//! ```
//!
//! A batch is its type and its content *in an RLP string*; the first byte of the compressed
//! bytes is zlib's own (0x78), by which derivation knows the compression. Frames are numbered
//! from 0 without gaps; all but the last are as large as allowed, and only the last says so.

use std::fmt;

use alloy_rlp::Encodable;
use fairveil_crypto::domain::{self, Tag};
use miniz_oxide::deflate::compress_to_vec_zlib;
use thiserror::Error;

use super::Chain;
use super::span_batch::SpanBatch;

/// The most bytes of a channel before compression, and of its frames in a node's memory:
/// `max_rlp_bytes_per_channel` before the Fjord upgrade, which allows ten times as much.
pub const MAX_CHANNEL_BYTES: usize = 10_000_000;
/// The bytes of a frame beside its part of the channel.
pub const FRAME_OVERHEAD_BYTES: usize = 23;
/// The largest frame: with the version byte 120,000 bytes of calldata. L1's pools take
/// transactions of 131,072 bytes, derivation frames of 1,000,000.
pub const MAX_FRAME_BYTES: usize = 119_999;
/// The most frames of a channel: numbers have 16 bits.
pub const MAX_FRAMES: usize = 1 << 16;
/// How hard zlib tries, of 1 to 9. Signatures do not compress, so more effort gains little.
pub const COMPRESSION_LEVEL: u8 = 6;

/// What a node accounts for a frame beside its part of the channel.
const FRAME_MEMORY_BYTES: usize = 200;
/// The version of derivation, before the frame in a batcher transaction.
const DERIVATION_VERSION: u8 = 0;

const _: () = assert!(FRAME_OVERHEAD_BYTES < MAX_FRAME_BYTES && MAX_FRAME_BYTES < 1_000_000);

/// The name of a channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId([u8; 16]);

/// One frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    number: u16,
    calldata: Vec<u8>,
}

/// Batches, compressed and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    id: ChannelId,
    frames: Vec<Frame>,
}

/// Why batches are no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChannelError {
    /// No batch.
    #[error("0 batches, a channel has at least 1")]
    Empty,
    /// Batches of two rollups, or of another one.
    #[error("a batch of chain {actual} in a channel of chain {expected}")]
    ChainId {
        /// The batch's.
        actual: u64,
        /// The channel's.
        expected: u64,
    },
    /// More than derivation decompresses.
    #[error("{actual} bytes of batches, a channel holds {limit}")]
    Bytes {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The largest frame holds nothing, or is larger than L1 takes.
    #[error("frames of {actual} bytes, {least} to {limit} are allowed")]
    FrameBytes {
        /// What was asked for.
        actual: usize,
        /// The least.
        least: usize,
        /// The most.
        limit: usize,
    },
    /// More frames than have numbers.
    #[error("{actual} frames, a channel has at most {limit}")]
    Frames {
        /// How many it would be.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// More memory than a node keeps for a channel.
    #[error("its frames take {actual} bytes of memory, a channel may take {limit}")]
    Memory {
        /// How many it would be.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
}

impl Channel {
    /// Compresses batches and cuts them into frames of at most `max_frame_bytes`.
    pub fn new(
        chain: &Chain,
        batches: &[SpanBatch],
        max_frame_bytes: usize,
    ) -> Result<Self, ChannelError> {
        let (least, limit) = (FRAME_OVERHEAD_BYTES + 1, MAX_FRAME_BYTES);
        if !(least..=limit).contains(&max_frame_bytes) {
            return Err(ChannelError::FrameBytes { actual: max_frame_bytes, least, limit });
        }
        let first = batches.first().ok_or(ChannelError::Empty)?;
        let compressed = compress(chain, batches)?;
        let part_bytes = max_frame_bytes - FRAME_OVERHEAD_BYTES;
        let count = compressed.len().div_ceil(part_bytes);
        if count > MAX_FRAMES {
            return Err(ChannelError::Frames { actual: count, limit: MAX_FRAMES });
        }
        let memory = compressed.len() + count * FRAME_MEMORY_BYTES;
        if memory > MAX_CHANNEL_BYTES {
            return Err(ChannelError::Memory { actual: memory, limit: MAX_CHANNEL_BYTES });
        }
        let id = ChannelId::new(chain, first.first_number(), max_frame_bytes, &compressed);
        let parts = compressed.chunks(part_bytes);
        let numbered = parts.zip(0..=u16::MAX);
        let frames = numbered.map(|(part, number)| {
            let last = usize::from(number) + 1 == count;
            Frame { number, calldata: frame_calldata(id, number, part, last) }
        });
        Ok(Self { id, frames: frames.collect() })
    }

    /// Its name.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Its frames in order; at least one.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl Frame {
    /// Its place in the channel.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.calldata[1..]
    }

    /// The data of a batcher transaction: the version of derivation, 0, and the frame.
    pub fn calldata(&self) -> &[u8] {
        &self.calldata
    }
}

impl ChannelId {
    fn new(chain: &Chain, first_number: u64, max_frame_bytes: usize, compressed: &[u8]) -> Self {
        let numbers = [chain.chain_id, first_number, max_frame_bytes as u64].map(u64::to_be_bytes);
        let items = [&numbers[0][..], &numbers[1], &numbers[2], compressed];
        let digest = domain::hash(Tag::OpChannel, &items).to_bytes();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloy_primitives::hex::encode(self.0))
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelId({self})")
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.number, self.as_bytes().len())
    }
}

fn compress(chain: &Chain, batches: &[SpanBatch]) -> Result<Vec<u8>, ChannelError> {
    let expected = chain.chain_id;
    if let Some(foreign) = batches.iter().find(|batch| batch.chain_id() != expected) {
        return Err(ChannelError::ChainId { actual: foreign.chain_id(), expected });
    }
    let actual = batches.iter().map(|batch| batch.as_bytes().length()).sum();
    if actual > MAX_CHANNEL_BYTES {
        return Err(ChannelError::Bytes { actual, limit: MAX_CHANNEL_BYTES });
    }
    let mut strings = Vec::with_capacity(actual);
    for batch in batches {
        batch.as_bytes().encode(&mut strings);
    }
    Ok(compress_to_vec_zlib(&strings, COMPRESSION_LEVEL))
}

fn frame_calldata(id: ChannelId, number: u16, part: &[u8], last: bool) -> Vec<u8> {
    let length = u32::try_from(part.len()).expect("a frame has at most 119,999 bytes");
    let mut calldata = Vec::with_capacity(1 + FRAME_OVERHEAD_BYTES + part.len());
    calldata.push(DERIVATION_VERSION);
    calldata.extend_from_slice(&id.0);
    calldata.extend_from_slice(&number.to_be_bytes());
    calldata.extend_from_slice(&length.to_be_bytes());
    calldata.extend_from_slice(part);
    calldata.push(u8::from(last));
    calldata
}
