#![allow(clippy::unwrap_used)]

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, TxKind, keccak256};
use alloy_rlp::Header;
use miniz_oxide::inflate::decompress_to_vec_zlib;
use proptest::prelude::*;

use super::batcher::*;
use super::channel::*;
use super::span_batch::*;
use super::sub_blocks::*;
use super::transactions::{Bits, put_integer};
use super::world::*;
use super::*;

fn span(blocks: &[L2Block]) -> Result<SpanBatch, SpanBatchError> {
    SpanBatch::new(&CHAIN, &parent(), blocks)
}

fn fault(raw: RawTransaction) -> TransactionFault {
    let blocks = [block(1, 70, vec![transfer(0)]), block(2, 70, vec![transfer(1), raw])];
    match span(&blocks).unwrap_err() {
        SpanBatchError::Transaction { number: 7, index: 1, fault } => fault,
        other => panic!("{other:?}"),
    }
}

fn batches() -> Vec<SpanBatch> {
    let transactions = (0..40).map(transfer).collect();
    vec![span(&[block(1, 70, vec![]), block(2, 71, transactions)]).unwrap()]
}

fn channel(max_frame_bytes: usize) -> Channel {
    Channel::new(&CHAIN, &batches(), max_frame_bytes).unwrap()
}

fn terms() -> BatcherTerms {
    BatcherTerms {
        l1_chain_id: 900,
        inbox: Address::repeat_byte(0xff),
        max_fee_per_gas: 20,
        max_priority_fee_per_gas: 2,
    }
}

fn batcher() -> BatcherKey {
    let mut secret = [0; 32];
    secret[31] = 1;
    BatcherKey::from_bytes(secret).unwrap()
}

#[test]
fn integers_and_bits_have_the_bytes_of_the_specification() {
    let integer = |value| {
        let mut out = Vec::new();
        put_integer(&mut out, value);
        out
    };
    assert_eq!(integer(0), [0]);
    assert_eq!(integer(127), [0x7f]);
    assert_eq!(integer(128), [0x80, 0x01]);
    assert_eq!(integer(624_485), [0xe5, 0x8e, 0x26]);
    assert_eq!(integer(u64::MAX), [[0xff; 9].as_slice(), &[0x01]].concat());
    let bits = |set: &[usize], count| {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        (0..count).for_each(|place| bits.push(set.contains(&place)));
        bits.encode(&mut out);
        out
    };
    assert_eq!(bits(&[], 0), [0; 0]);
    assert_eq!(bits(&[0], 1), [0x01]);
    assert_eq!(bits(&[7], 8), [0x80]);
    assert_eq!(bits(&[0, 8], 9), [0x01, 0x01]);
    assert_eq!(bits(&[1, 10], 11), [0x04, 0x02]);
}

#[test]
fn a_span_batch_is_laid_out_as_specified() {
    let raw = transfer(300);
    let signature = *TxEnvelope::decode_2718_exact(raw.as_bytes()).unwrap().signature();
    let blocks = [block(1, 70, vec![]), block(2, 71, vec![raw]), block(3, 71, vec![])];
    let batch = span(&blocks).unwrap();
    assert_eq!((batch.chain_id(), batch.first_number()), (901, 6));
    let mut last_origin = [0; 20];
    last_origin.copy_from_slice(&origin(71).hash[..20]);
    let expected = [
        &[0x01][..],
        &[12],        // seconds since the genesis
        &[71],        // the last L1 origin
        &[0xaa; 20],  // the parent
        &last_origin, //
        &[3],         // blocks
        &[0b010],     // the second has a new L1 origin
        &[0, 1, 0],   // transactions by block
        &[0],         // no contract is created
        &[u8::from(signature.v())],
        &signature.r().to_be_bytes::<32>(),
        &signature.s().to_be_bytes::<32>(),
        &[7; 20],
        &[0x02, 0xc5, 3, 1, 9, 0x80, 0xc0], // value, priority fee, fee, input, access list
        &[0xac, 0x02],                      // nonce 300
        &[0x88, 0xa4, 0x01],                // 21,000 gas
    ];
    assert_eq!(batch.as_bytes(), expected.concat());
}

#[test]
fn every_type_of_a_span_batch_is_taken_invariant_1() {
    let all = vec![legacy(Some(901)), legacy(None), listed(), transfer(9), set_code()];
    let bytes = span(&[block(1, 71, all)]).unwrap().as_bytes().to_vec();
    // The last byte: of two legacy transactions the first is protected.
    assert_eq!(bytes.last(), Some(&0b01));
}

#[test]
fn transactions_that_derivation_drops_are_refused_invariant_2() {
    assert_eq!(fault(vec![].into()), TransactionFault::Empty);
    assert_eq!(fault(vec![0x7e, 0xc0].into()), TransactionFault::Deposit);
    assert_eq!(fault(blob()), TransactionFault::Blob);
    assert_eq!(fault(vec![0x05, 0xc0].into()), TransactionFault::Type { actual: 5 });
    assert_eq!(fault(vec![0x80].into()), TransactionFault::Type { actual: 0x80 });
    assert_eq!(fault(vec![0x00].into()), TransactionFault::Type { actual: 0 });
    let mut longer = transfer(1).as_bytes().to_vec();
    longer.push(0);
    assert_eq!(fault(longer.into()), TransactionFault::Encoding);
    let foreign = TransactionFault::ChainId { actual: 902, expected: 901 };
    assert_eq!(fault(signed(dynamic(0, 902))), foreign);
    assert_eq!(fault(legacy(Some(902))), foreign);
    let text = "it is signed for chain 902, the rollup is 901";
    assert_eq!(foreign.to_string(), text);
}

#[test]
fn blocks_that_do_not_follow_are_refused_invariant_2() {
    let with = |change: &dyn Fn(&mut Vec<L2Block>)| {
        let mut blocks = vec![block(1, 70, vec![]), block(2, 71, vec![]), block(3, 71, vec![])];
        change(&mut blocks);
        span(&blocks)
    };
    assert!(with(&|_| {}).is_ok());
    let error = |change: &dyn Fn(&mut Vec<L2Block>)| with(change).unwrap_err();
    assert_eq!(error(&|b| b.clear()), SpanBatchError::Empty);
    let number = |actual, expected| SpanBatchError::Number { actual, expected };
    assert_eq!(error(&|b| b.swap(0, 1)), number(7, 6));
    assert_eq!(error(&|b| b[2].number = 7), number(7, 8));
    assert_eq!(error(&|b| drop(b.remove(0))), number(7, 6));
    let time = |actual_s| SpanBatchError::Timestamp { number: 7, actual_s, expected_s: 1_014 };
    for actual_s in [1_012, 1_013, 1_015, 1_016, 0, u64::MAX] {
        assert_eq!(error(&|b| b[1].timestamp_s = actual_s), time(actual_s));
    }
    let l1 = |actual| SpanBatchError::Origin { number: 7, actual, previous: 70 };
    assert_eq!(error(&|b| b[1].l1_origin = origin(69)), l1(69));
    assert_eq!(error(&|b| b[1].l1_origin = origin(72)), l1(72));
    let hash = SpanBatchError::OriginHash { number: 8, origin: 71 };
    assert_eq!(error(&|b| b[2].l1_origin.hash = origin(1).hash), hash);
    let text = "block 7 has timestamp 1013, by the block time it is 1014";
    assert_eq!(time(1_013).to_string(), text);
}

#[test]
fn a_parent_off_the_block_time_is_refused_invariant_2() {
    let error = |chain: Chain, parent: Parent| {
        SpanBatch::new(&chain, &parent, &[block(1, 70, vec![])]).unwrap_err()
    };
    assert_eq!(error(Chain { block_time_s: 0, ..CHAIN }, parent()), SpanBatchError::BlockTimeZero);
    for actual_s in [999, 1_009] {
        let expected = SpanBatchError::ParentTime { actual_s, genesis_s: 1_000, block_time_s: 2 };
        assert_eq!(error(CHAIN, Parent { timestamp_s: actual_s, ..parent() }), expected);
    }
    let last = Parent { number: u64::MAX, ..parent() };
    assert_eq!(error(CHAIN, last), SpanBatchError::Exhausted { number: u64::MAX });
}

#[test]
fn frames_hold_the_compressed_strings_invariant_1() {
    for max in [FRAME_OVERHEAD_BYTES + 1, 100, 1_000, MAX_FRAME_BYTES] {
        let channel = channel(max);
        let count = channel.frames().len();
        let mut compressed = Vec::new();
        for (place, frame) in channel.frames().iter().enumerate() {
            let bytes = frame.as_bytes();
            let number = u16::try_from(place).unwrap();
            assert_eq!(frame.calldata(), [&[0], bytes].concat());
            assert_eq!(&bytes[..16], channel.id().as_bytes());
            assert_eq!(bytes[16..18], number.to_be_bytes());
            assert_eq!(frame.number(), number);
            let part = &bytes[22..bytes.len() - 1];
            assert_eq!(bytes[18..22], u32::try_from(part.len()).unwrap().to_be_bytes());
            let last = place + 1 == count;
            assert_eq!(bytes.last(), Some(&u8::from(last)));
            assert!(bytes.len() == max || last && bytes.len() < max);
            compressed.extend_from_slice(part);
        }
        assert_eq!(compressed[0], 0x78);
        let strings = decompress_to_vec_zlib(&compressed).unwrap();
        let mut rest = strings.as_slice();
        let batch = Header::decode_bytes(&mut rest, false).unwrap();
        assert_eq!((batch, rest), (batches()[0].as_bytes(), &[][..]));
    }
}

#[test]
fn the_same_arguments_give_the_same_bytes_invariant_3() {
    assert_eq!(channel(100), channel(100));
    let sign = |nonce| batcher_transactions(&terms(), &batcher(), nonce, &channel(100));
    assert_eq!(sign(4), sign(4));
    let other = [span(&[block(1, 70, vec![])]).unwrap()];
    let other = Channel::new(&CHAIN, &other, 100).unwrap();
    let later = Parent { number: 6, ..parent() };
    let block = L2Block { number: 7, ..block(1, 70, vec![]) };
    let later = [SpanBatch::new(&CHAIN, &later, &[block]).unwrap()];
    let later = Channel::new(&CHAIN, &later, 100).unwrap();
    let ids = [channel(100).id(), channel(101).id(), other.id(), later.id()];
    assert!((1..4).all(|i| !ids[..i].contains(&ids[i])), "{ids:?}");
}

#[test]
fn channels_are_bounded_invariant_4() {
    let new = |batches: &[SpanBatch], max| Channel::new(&CHAIN, batches, max).unwrap_err();
    assert_eq!(new(&[], 100), ChannelError::Empty);
    let (least, limit) = (24, 119_999);
    for actual in [0, 23, 120_000, usize::MAX] {
        let expected = ChannelError::FrameBytes { actual, least, limit };
        assert_eq!(new(&batches(), actual), expected);
    }
    let foreign = Channel::new(&Chain { chain_id: 902, ..CHAIN }, &batches(), 100);
    assert_eq!(foreign, Err(ChannelError::ChainId { actual: 901, expected: 902 }));

    let input: Vec<u8> = (0u32..3_750).flat_map(|i| keccak256(i.to_be_bytes()).0).collect();
    let large = signed(alloy_consensus::TxEip1559 { input: input.into(), ..dynamic(0, 901) });
    let batch = |count| span(&[block(1, 70, vec![large.clone(); count])]).unwrap();
    let actual = batch(84).as_bytes().len() + 4;
    assert_eq!(new(&[batch(84)], 100), ChannelError::Bytes { actual, limit: 10_000_000 });
    let tiny = new(&[batch(1)], 24);
    assert!(matches!(tiny, ChannelError::Frames { actual, limit: 65_536 } if actual > 65_536));
    let memory = new(&[batch(1)], 25);
    let over = |actual| actual > 10_000_000;
    assert!(
        matches!(memory, ChannelError::Memory { actual, limit: 10_000_000 } if over(actual)),
        "{memory}"
    );
}

#[test]
fn batcher_transactions_carry_frames_to_the_inbox() {
    let channel = channel(500);
    let signed = batcher_transactions(&terms(), &batcher(), 7, &channel).unwrap();
    assert_eq!(signed.len(), channel.frames().len());
    for ((raw, frame), nonce) in signed.iter().zip(channel.frames()).zip(7..) {
        let transaction = TxEnvelope::decode_2718_exact(raw.as_bytes()).unwrap();
        assert!(transaction.is_eip1559());
        assert_eq!(transaction.recover_signer().unwrap(), batcher().address());
        assert_eq!(transaction.input(), frame.calldata());
        assert_eq!(transaction.kind(), TxKind::Call(terms().inbox));
        assert_eq!((transaction.nonce(), transaction.chain_id()), (nonce, Some(900)));
        assert!(transaction.value().is_zero());
        let zeros = frame.calldata().iter().filter(|byte| **byte == 0).count() as u64;
        let others = frame.calldata().len() as u64 - zeros;
        assert_eq!(transaction.gas_limit(), 21_000 + 10 * zeros + 40 * others);
    }
    let fees = BatcherTerms { max_priority_fee_per_gas: 21, ..terms() };
    let error = batcher_transactions(&fees, &batcher(), 7, &channel).unwrap_err();
    assert_eq!(error, BatcherError::Fee { actual: 21, limit: 20 });
    let frames = channel.frames().len();
    let first = u64::MAX - frames as u64;
    assert!(batcher_transactions(&terms(), &batcher(), first, &channel).is_ok());
    let error = batcher_transactions(&terms(), &batcher(), first + 1, &channel).unwrap_err();
    assert_eq!(error, BatcherError::Nonce { first: first + 1, frames });
}

#[test]
fn the_batcher_key_is_not_printed_invariant_5() {
    assert_eq!(format!("{:?}", batcher()), "BatcherKey(<redacted>)");
    let address = "7e5f4552091a69125d5dfcb7b8c2659029395bdf";
    assert_eq!(batcher().address(), address.parse::<Address>().unwrap());
    for wrong in [[0; 32], [0xff; 32]] {
        assert_eq!(BatcherKey::from_bytes(wrong).unwrap_err(), BatcherKeyError);
    }
}

fn sub_block(time_ms: u64, l1: u64, nonce: u64) -> SubBlock {
    SubBlock { time_ms, l1_origin: origin(l1), transactions: vec![transfer(nonce)] }
}

fn enclosing(sub_blocks: &[SubBlock]) -> Result<Vec<L2Block>, SubBlockError> {
    enclosing_blocks(&CHAIN, &parent(), sub_blocks)
}

#[test]
fn sub_blocks_are_concatenated_by_block_time_invariant_6() {
    assert_eq!(enclosing(&[]), Ok(vec![]));
    let times = [1_010_001, 1_010_250, 1_012_000, 1_012_001, 1_014_000];
    let origins = [70, 70, 70, 71, 71];
    let zipped = times.iter().zip(origins).zip(0..);
    let sub_blocks: Vec<_> =
        zipped.map(|((time, l1), nonce)| sub_block(*time, l1, nonce)).collect();
    let expected = vec![
        block(1, 70, (0..3).map(transfer).collect()),
        block(2, 71, (3..5).map(transfer).collect()),
    ];
    assert_eq!(enclosing(&sub_blocks), Ok(expected.clone()));
    assert!(span(&expected).is_ok());
}

#[test]
fn sub_blocks_that_do_not_fit_are_refused_invariant_6() {
    let error = |sub_blocks: &[SubBlock]| enclosing(sub_blocks).unwrap_err();
    let twice = [sub_block(1_012_000, 70, 0), sub_block(1_012_000, 70, 1)];
    let (previous_ms, next_ms) = (1_012_000, 1_012_000);
    assert_eq!(error(&twice), SubBlockError::Order { previous_ms, next_ms });
    let expected_s = 1_012;
    for time_ms in [0, 999_999, 1_010_000, 1_012_001] {
        let expected = SubBlockError::Time { time_ms, expected_s };
        assert_eq!(error(&[sub_block(time_ms, 70, 0)]), expected);
    }
    let gap = [sub_block(1_012_000, 70, 0), sub_block(1_016_000, 70, 1)];
    let expected = SubBlockError::Time { time_ms: 1_016_000, expected_s: 1_014 };
    assert_eq!(error(&gap), expected);
    let moved = [sub_block(1_011_750, 70, 0), sub_block(1_012_000, 71, 1)];
    let expected = SubBlockError::Origin { timestamp_s: 1_012, first: 70, other: 71 };
    assert_eq!(error(&moved), expected);
    let still = Chain { block_time_s: 0, ..CHAIN };
    let error = enclosing_blocks(&still, &parent(), &[]).unwrap_err();
    assert_eq!(error, SubBlockError::BlockTimeZero);
}

proptest! {
    /// Whatever the bytes are: they are refused, or they are a transaction's canonical ones.
    #[test]
    fn no_bytes_are_taken_that_would_not_survive_invariant_2(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        place in 0usize..200,
        bit in 0u32..8,
    ) {
        let mut flipped = transfer(1).as_bytes().to_vec();
        let place = place % flipped.len();
        flipped[place] ^= 1 << bit;
        for bytes in [bytes, flipped] {
            if span(&[block(1, 70, vec![bytes.clone().into()])]).is_ok() {
                let mut rest = bytes.as_slice();
                let decoded = TxEnvelope::decode_2718(&mut rest).unwrap();
                prop_assert!(rest.is_empty());
                prop_assert_eq!(alloy_eips::eip2718::Encodable2718::encoded_2718(&decoded), bytes);
            }
        }
    }
}
