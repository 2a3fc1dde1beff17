//! Batches, channels and frames as kona's own types write them.

use alloy_primitives::Bytes;
use alloy_rlp::Encodable;
use fairveil_release::op::{Chain, L2Block, Parent};
use kona_protocol::{Batch, Frame, RawSpanBatch, SingleBatch, SpanBatch};
use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::l2::made;

const SPAN_BATCH_TYPE: u8 = 1;
const FRAME_PART_BYTES: usize = 700;

/// The calldata of a channel that holds one singular batch per block; `parent` moves on.
pub(crate) fn singular_channel(parent: &mut Parent, blocks: &[L2Block]) -> Vec<Vec<u8>> {
    let mut strings = Vec::new();
    for block in blocks {
        let mut batch = Vec::new();
        Batch::Single(single(parent, block)).encode(&mut batch).expect("a batch");
        batch.as_slice().encode(&mut strings);
        *parent = made(parent, block);
    }
    let compressed = compress_to_vec_zlib(&strings, 9);
    let id = [blocks.len() as u8; 16];
    let count = compressed.len().div_ceil(FRAME_PART_BYTES);
    let parts = compressed.chunks(FRAME_PART_BYTES).enumerate();
    let calldata = |(number, part): (usize, &[u8])| {
        let frame = Frame::new(id, number as u16, part.to_vec(), number + 1 == count);
        [vec![0], frame.encode()].concat()
    };
    parts.map(calldata).collect()
}

/// A span batch by kona's encoder.
pub(crate) fn kona_span_batch(chain: &Chain, parent: &Parent, blocks: &[L2Block]) -> Vec<u8> {
    let mut batch = SpanBatch {
        genesis_timestamp: chain.genesis_time_s,
        chain_id: chain.chain_id,
        ..SpanBatch::default()
    };
    let mut previous = *parent;
    for block in blocks {
        let mut single = single(&previous, block);
        // kona's encoder reads typed transactions in their form for the network: in a string.
        for raw in &mut single.transactions {
            *raw = in_a_string(raw);
        }
        let moved = block.l1_origin.number != previous.l1_origin.number;
        batch.append_singular_batch(single, u64::from(!moved)).expect("a batch");
        previous = made(&previous, block);
    }
    let mut bytes = Vec::new();
    Batch::Span(batch).encode(&mut bytes).expect("a span batch");
    bytes
}

/// A span batch, decoded and encoded again.
pub(crate) fn kona_span_batch_again(bytes: &[u8]) -> Vec<u8> {
    let (kind, mut rest) = bytes.split_first().expect("a type");
    let batch = RawSpanBatch::decode(&mut rest).expect("a span batch");
    assert_eq!((*kind, rest), (SPAN_BATCH_TYPE, &[][..]));
    let mut again = vec![SPAN_BATCH_TYPE];
    batch.encode(&mut again).expect("a span batch");
    again
}

fn single(parent: &Parent, block: &L2Block) -> SingleBatch {
    let bytes = |raw: &fairveil_release::transaction::RawTransaction| {
        Bytes::copy_from_slice(raw.as_bytes())
    };
    SingleBatch {
        parent_hash: parent.hash,
        epoch_num: block.l1_origin.number,
        epoch_hash: block.l1_origin.hash,
        timestamp: block.timestamp_s,
        transactions: block.transactions.iter().map(bytes).collect(),
    }
}

fn in_a_string(raw: &Bytes) -> Bytes {
    if raw.first().is_some_and(|first| *first >= 0xc0) {
        return raw.clone();
    }
    let mut string = Vec::new();
    raw.encode(&mut string);
    string.into()
}
