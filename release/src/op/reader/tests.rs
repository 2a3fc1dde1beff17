#![allow(clippy::unwrap_used)]

use alloy_consensus::TxEip1559;
use alloy_eips::eip2718::Encodable2718;
use miniz_oxide::deflate::compress_to_vec_zlib;
use proptest::prelude::*;

use super::*;
use crate::op::batcher::{BatcherKey, BatcherTerms, batcher_transactions};
use crate::op::channel::Channel;
use crate::op::span_batch::SpanBatch;
use crate::op::world::*;

const INBOX: Address = Address::repeat_byte(0xff);

fn terms() -> BatcherTerms {
    BatcherTerms {
        l1_chain_id: 900,
        inbox: INBOX,
        max_fee_per_gas: 20,
        max_priority_fee_per_gas: 2,
    }
}

fn key(byte: u8) -> BatcherKey {
    BatcherKey::from_bytes([byte; 32]).unwrap()
}

/// Every type of transaction, and a block without any.
fn blocks() -> Vec<super::super::L2Block> {
    let every = vec![legacy(None), legacy(Some(901)), listed(), transfer(300), set_code()];
    let many = (0..20).map(transfer).collect();
    vec![block(1, 70, every), block(2, 71, vec![]), block(3, 71, many)]
}

fn channel_of(blocks: &[super::super::L2Block], frame_bytes: usize) -> Channel {
    let span = SpanBatch::new(&CHAIN, &parent(), blocks).unwrap();
    Channel::new(&CHAIN, &[span], frame_bytes).unwrap()
}

fn signed_frames(frame_bytes: usize) -> Vec<RawTransaction> {
    batcher_transactions(&terms(), &key(1), 4, &channel_of(&blocks(), frame_bytes)).unwrap()
}

/// A call with this data, signed by the batcher.
fn call(input: Vec<u8>) -> RawTransaction {
    call_to(TxKind::Call(INBOX), 900, input)
}

fn call_to(to: TxKind, chain_id: u64, input: Vec<u8>) -> RawTransaction {
    signed(TxEip1559 { chain_id, to, input: input.into(), ..TxEip1559::default() })
}

/// One frame that holds these bytes, compressed.
fn one_frame(bytes: &[u8]) -> Vec<RawTransaction> {
    vec![call(frame_of(0, &compress_to_vec_zlib(bytes, 6), 1))]
}

fn frame_of(number: u16, part: &[u8], last: u8) -> Vec<u8> {
    let length = u32::try_from(part.len()).unwrap();
    [&[0][..], &[7; 16], &number.to_be_bytes(), &length.to_be_bytes(), part, &[last]].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    alloy_rlp::Encodable::encode(bytes, &mut out);
    out
}

fn refused(transactions: &[RawTransaction]) -> ReadError {
    read_channel(transactions, &CHAIN).unwrap_err()
}

#[test]
fn invariant_1_what_is_written_is_read_back() {
    for frame_bytes in [100, 500, 50_000] {
        let mut transactions = signed_frames(frame_bytes);
        transactions.reverse();
        let read = read_channel(&transactions, &CHAIN).unwrap();
        let written = blocks().into_iter().map(|block| ReadBlock {
            timestamp_s: block.timestamp_s,
            transactions: block.transactions,
        });
        assert_eq!(read.blocks, written.collect::<Vec<_>>());
        assert_eq!((read.signer, read.l1_chain_id, read.inbox), (key(1).address(), 900, INBOX));
        assert_eq!(read.id, *channel_of(&blocks(), frame_bytes).id().as_bytes());
    }
}

#[test]
fn two_frames_of_one_transaction_are_two_frames() {
    let channel = channel_of(&blocks(), 1_000);
    let frames: Vec<u8> =
        channel.frames().iter().flat_map(|frame| frame.as_bytes()).copied().collect();
    let read = read_channel(&[call([&[0], &frames[..]].concat())], &CHAIN).unwrap();
    assert_eq!(read.blocks.len(), 3);
}

#[test]
fn invariant_3_transactions_are_refused_each_for_its_reason() {
    let good = signed_frames(300);
    assert!(good.len() > 2);
    assert_eq!(refused(&[]), ReadError::Count { actual: 0, limit: MAX_FRAMES });
    let with = |place: usize, other: RawTransaction| {
        let mut transactions = good.clone();
        transactions[place] = other;
        refused(&transactions)
    };
    for bad in [vec![1].into(), blob(), call_to(TxKind::Create, 900, vec![])] {
        assert_eq!(with(1, bad), ReadError::Transaction { index: 1 });
    }
    let frames = channel_of(&blocks(), 300);
    let other = batcher_transactions(&terms(), &key(2), 4, &frames).unwrap();
    assert_eq!(with(1, other[1].clone()), ReadError::Stranger { index: 1 });
    for (l1_chain_id, inbox) in [(901, INBOX), (900, Address::ZERO)] {
        let terms = BatcherTerms { l1_chain_id, inbox, ..terms() };
        let other = batcher_transactions(&terms, &key(1), 4, &frames).unwrap();
        assert_eq!(with(2, other[2].clone()), ReadError::Stranger { index: 2 });
    }
    let foreign = batcher_transactions(&terms(), &key(1), 4, &channel_of(&blocks(), 301)).unwrap();
    assert_eq!(with(1, foreign[1].clone()), ReadError::Channel { index: 1 });
    assert_eq!(with(2, good[1].clone()), ReadError::Incomplete { number: 2 });
    let short = &good[..good.len() - 1];
    let number = u16::try_from(short.len() - 1).unwrap();
    assert_eq!(refused(short), ReadError::Incomplete { number });
    for data in [vec![], vec![0], vec![1, 2, 3], frame_of(0, &[1, 2], 2), {
        let mut cut = frame_of(0, &[1, 2], 1);
        cut.pop();
        cut
    }] {
        assert_eq!(refused(&[call(data)]), ReadError::Frame { index: 0 });
    }
}

#[test]
fn invariant_3_channels_and_batches_are_refused_each_for_its_reason() {
    let brotli = refused(&[call(frame_of(0, &[0x01, 2, 3], 1))]);
    assert_eq!(brotli, ReadError::Compression { actual: 0x01 });
    let damaged = refused(&[call(frame_of(0, &[0x78, 0x9c, 9, 9], 1))]);
    assert_eq!(damaged, ReadError::Inflate { limit: MAX_CHANNEL_BYTES });
    let bomb = one_frame(&vec![0; MAX_CHANNEL_BYTES + 1]);
    assert_eq!(refused(&bomb), ReadError::Inflate { limit: MAX_CHANNEL_BYTES });
    let single = one_frame(&string(&[0x00, 1, 2]));
    assert_eq!(refused(&single), ReadError::Type { batch: 0, actual: Some(0) });
    assert_eq!(refused(&one_frame(&string(&[]))), ReadError::Type { batch: 0, actual: None });
    assert_eq!(refused(&one_frame(&[0xc1, 1])), ReadError::Rlp { batch: 0 });
    let span = SpanBatch::new(&CHAIN, &parent(), &blocks()).unwrap().as_bytes().to_vec();
    let what = |bytes: &[u8]| match refused(&one_frame(&string(bytes))) {
        ReadError::Batch { batch: 0, what } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(&[&span[..], &[0]].concat()), "what stands after its end");
    let reasons: std::collections::BTreeSet<_> =
        (1..span.len()).map(|length| what(&span[..length])).collect();
    for named in ["the timestamp", "a signature", "a receiver", "a nonce", "a gas limit"] {
        assert!(reasons.contains(named), "{named}: {reasons:?}");
    }
    let mut none = span.clone();
    none[1 + 1 + 1 + 40] = 0;
    assert_eq!(what(&none), "the number of blocks");
}

proptest! {
    /// Whatever the bytes of a channel are: they are read within bounds, or refused.
    #[test]
    fn invariant_2_changed_batches_are_read_or_refused(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut span = SpanBatch::new(&CHAIN, &parent(), &blocks()).unwrap().as_bytes().to_vec();
        let place = place.index(span.len());
        span[place] = byte;
        if let Ok(read) = read_channel(&one_frame(&string(&span)), &CHAIN) {
            for raw in read.blocks.iter().flat_map(|block| &block.transactions) {
                let decoded = TxEnvelope::decode_2718_exact(raw.as_bytes()).unwrap();
                prop_assert_eq!(&decoded.encoded_2718()[..], raw.as_bytes());
            }
        }
    }
}
