//! Reads batcher transactions back: the blocks that a node derives from them.
//!
//! It reads what the OP Stack's derivation does of span batches in zlib channels, whoever wrote
//! them: frames of one channel, in any order of transactions and any number per transaction, each
//! once. What an older batcher may also write (single batches, channels in brotli, blobs) is refused
//! by name. L1 origins and the parent's hash are passed over: they are judged by who has L1.
//!
//! # Invariants
//!
//! 1. What [`super::span_batch`], [`super::channel`] and [`super::batcher`] write is read back:
//!    timestamps, and every transaction byte for byte.
//! 2. Bounds: a channel inflates to [`MAX_CHANNEL_BYTES`] at most, and everything that is read takes
//!    memory in proportion to its bytes.
//! 3. Every way to fail has a reason of its own, and names the place.

mod columns;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, TxKind};
use alloy_rlp::Header;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use thiserror::Error;

use super::Chain;
use super::channel::{MAX_CHANNEL_BYTES, MAX_FRAMES};
use super::span_batch::MAX_ELEMENTS;
use crate::transaction::RawTransaction;
use columns::Bytes;

const DERIVATION_VERSION: u8 = 0;
const SPAN_BATCH_TYPE: u8 = 0x01;
const CHECK_BYTES: usize = 20;
/// The lower half of zlib's first byte: deflate.
const ZLIB_METHOD: u8 = 8;

/// What batcher transactions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadChannel {
    /// Whose key signed them all.
    pub signer: Address,
    /// The chain id of L1 that they are signed for.
    pub l1_chain_id: u64,
    /// To whom they are sent.
    pub inbox: Address,
    /// The channel's name.
    pub id: [u8; 16],
    /// The blocks of its span batches, in their order.
    pub blocks: Vec<ReadBlock>,
}

/// A block as a span batch says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBlock {
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its transactions, in order.
    pub transactions: Vec<RawTransaction>,
}

/// Why batcher transactions are not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// None, or more than a channel has frames.
    #[error("{actual} transactions, a channel has 1 to {limit} frames")]
    Count {
        /// How many there are.
        actual: usize,
        /// How many may be.
        limit: usize,
    },
    /// Not a signed transaction of L1.
    #[error("transaction {index} is no signed call of type 0, 1 or 2 with a chain id")]
    Transaction {
        /// Its place, from 0.
        index: usize,
    },
    /// Signed by another key, or for another chain or inbox, than the first.
    #[error("transaction {index} is not of the same signer, chain and inbox as the first")]
    Stranger {
        /// Its place, from 0.
        index: usize,
    },
    /// Another version of derivation, or no whole frames.
    #[error("transaction {index} does not hold whole frames of version 0")]
    Frame {
        /// Its place, from 0.
        index: usize,
    },
    /// Frames of two channels.
    #[error("transaction {index} has a frame of another channel than the first")]
    Channel {
        /// Its place, from 0.
        index: usize,
    },
    /// A frame is missing, stands twice, or comes after the last.
    #[error("the channel's frame {number} is missing, repeated, or after the last one")]
    Incomplete {
        /// Its number.
        number: u16,
    },
    /// Another compression than zlib.
    #[error("the channel begins with {actual:#04x}: not compressed by zlib")]
    Compression {
        /// Its first byte.
        actual: u8,
    },
    /// Damaged, or more than a channel holds.
    #[error("the channel does not inflate to at most {limit} bytes")]
    Inflate {
        /// The most bytes.
        limit: usize,
    },
    /// What is in the channel is not batches in RLP strings.
    #[error("batch {batch} of the channel is no RLP string")]
    Rlp {
        /// Its place, from 0.
        batch: usize,
    },
    /// Another type than a span batch.
    #[error("batch {batch} of the channel has type {actual:?}, span batches have 1")]
    Type {
        /// Its place, from 0.
        batch: usize,
        /// Its first byte, if it has one.
        actual: Option<u8>,
    },
    /// A span batch that ends early, late, or holds what none may.
    #[error("batch {batch} of the channel: {what} cannot be read")]
    Batch {
        /// Its place, from 0.
        batch: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One frame.
struct Frame<'a> {
    number: u16,
    part: &'a [u8],
    last: bool,
}

/// Whose transactions they are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin {
    signer: Address,
    l1_chain_id: u64,
    inbox: Address,
}

/// The blocks in the frames of these batcher transactions, which are those of one channel.
///
/// # Errors
///
/// [`ReadError`].
pub fn read_channel(
    transactions: &[RawTransaction],
    chain: &Chain,
) -> Result<ReadChannel, ReadError> {
    let (actual, limit) = (transactions.len(), MAX_FRAMES);
    if actual == 0 || actual > limit {
        return Err(ReadError::Count { actual, limit });
    }
    let mut origin = None;
    let mut calldata = Vec::with_capacity(actual);
    for (index, raw) in transactions.iter().enumerate() {
        let (from, input) = batcher_call(raw).ok_or(ReadError::Transaction { index })?;
        if *origin.get_or_insert(from) != from {
            return Err(ReadError::Stranger { index });
        }
        calldata.push(input);
    }
    let Origin { signer, l1_chain_id, inbox } = origin.ok_or(ReadError::Count { actual, limit })?;
    let (id, compressed) = channel(&calldata)?;
    let blocks = batches(&compressed, chain)?;
    Ok(ReadChannel { signer, l1_chain_id, inbox, id, blocks })
}

/// Who sent a batcher transaction where, and its data.
fn batcher_call(raw: &RawTransaction) -> Option<(Origin, Vec<u8>)> {
    let decoded = TxEnvelope::decode_2718_exact(raw.as_bytes()).ok()?;
    if !matches!(decoded, TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_)) {
        return None;
    }
    let TxKind::Call(inbox) = decoded.kind() else { return None };
    let l1_chain_id = decoded.chain_id()?;
    let signer = decoded.recover_signer().ok()?;
    Some((Origin { signer, l1_chain_id, inbox }, decoded.input().to_vec()))
}

/// The channel's name and its bytes, put together.
fn channel(calldata: &[Vec<u8>]) -> Result<([u8; 16], Vec<u8>), ReadError> {
    let mut name = None;
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for (index, input) in calldata.iter().enumerate() {
        let fault = ReadError::Frame { index };
        let mut rest = match input.split_first() {
            Some((&DERIVATION_VERSION, rest)) if !rest.is_empty() => Bytes(rest),
            _ => return Err(fault),
        };
        while !rest.0.is_empty() {
            let (id, frame) = frame(&mut rest).ok_or_else(|| fault.clone())?;
            if *name.get_or_insert(id) != id {
                return Err(ReadError::Channel { index });
            }
            if frames.len() >= MAX_FRAMES {
                return Err(ReadError::Count { actual: frames.len() + 1, limit: MAX_FRAMES });
            }
            frames.push(frame);
        }
    }
    frames.sort_by_key(|frame| frame.number);
    let end = frames.len().saturating_sub(1);
    let mut compressed = Vec::new();
    for ((place, frame), number) in frames.iter().enumerate().zip(0..=u16::MAX) {
        if frame.number != number || frame.last != (place == end) {
            return Err(ReadError::Incomplete { number });
        }
        compressed.extend_from_slice(frame.part);
    }
    let name = name.ok_or(ReadError::Count { actual: 0, limit: MAX_FRAMES })?;
    Ok((name, compressed))
}

fn frame<'a>(bytes: &mut Bytes<'a>) -> Option<([u8; 16], Frame<'a>)> {
    let id = bytes.array::<16>()?;
    let number = u16::from_be_bytes(bytes.array()?);
    let length = u32::from_be_bytes(bytes.array()?);
    let part = bytes.take(usize::try_from(length).ok()?)?;
    let last = match bytes.array::<1>()? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    Some((id, Frame { number, part, last }))
}

fn batches(compressed: &[u8], chain: &Chain) -> Result<Vec<ReadBlock>, ReadError> {
    match compressed.first().copied() {
        Some(first) if first & 0x0f == ZLIB_METHOD => {}
        first => return Err(ReadError::Compression { actual: first.unwrap_or(0) }),
    }
    let limit = MAX_CHANNEL_BYTES;
    let inflated = decompress_to_vec_zlib_with_limit(compressed, limit);
    let inflated = inflated.map_err(|_| ReadError::Inflate { limit })?;
    let (mut rest, mut blocks) = (&inflated[..], Vec::new());
    let mut batch = 0;
    while !rest.is_empty() {
        let bytes = Header::decode_bytes(&mut rest, false).map_err(|_| ReadError::Rlp { batch })?;
        match bytes.split_first() {
            Some((&SPAN_BATCH_TYPE, span)) => {
                let read = span_batch(Bytes(span), chain);
                blocks.extend(read.map_err(|what| ReadError::Batch { batch, what })?);
            }
            first => {
                let actual = first.map(|(first, _)| *first);
                return Err(ReadError::Type { batch, actual });
            }
        }
        batch += 1;
    }
    Ok(blocks)
}

/// The blocks of a span batch without its type; or what of it cannot be read.
fn span_batch(mut bytes: Bytes<'_>, chain: &Chain) -> Result<Vec<ReadBlock>, &'static str> {
    let age_s = bytes.integer().ok_or("the timestamp")?;
    bytes.integer().ok_or("the L1 origin")?;
    bytes.take(2 * CHECK_BYTES).ok_or("the parent's or the L1 origin's check")?;
    let count = bytes.integer().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| (1..=MAX_ELEMENTS).contains(count));
    let count = count.ok_or("the number of blocks")?;
    bytes.bits(count).ok_or("the bits of the L1 origins")?;
    let (mut counts, mut total) = (Vec::new(), 0_usize);
    for _ in 0..count {
        let one = bytes.integer().and_then(|one| usize::try_from(one).ok());
        let one = one.ok_or("the number of a block's transactions")?;
        total = total
            .checked_add(one)
            .filter(|total| *total <= MAX_ELEMENTS)
            .ok_or("the number of transactions")?;
        counts.push(one);
    }
    let mut transactions = columns::transactions(&mut bytes, total, chain.chain_id)?.into_iter();
    if !bytes.0.is_empty() {
        return Err("what stands after its end");
    }
    let first_s = chain.genesis_time_s.checked_add(age_s).ok_or("the timestamp")?;
    let mut blocks = Vec::with_capacity(counts.len());
    for (step, one) in (0_u64..).zip(counts) {
        let age_s = step.checked_mul(chain.block_time_s);
        let timestamp_s = age_s.and_then(|age_s| first_s.checked_add(age_s));
        let timestamp_s = timestamp_s.ok_or("the timestamp")?;
        blocks.push(ReadBlock {
            timestamp_s,
            transactions: transactions.by_ref().take(one).collect(),
        });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests;
