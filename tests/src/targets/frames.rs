//! What a batcher signs for L1, read back.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Signature, TxKind};
use fairveil_release::op::batcher::{BatcherKey, BatcherTerms, batcher_transactions};
use fairveil_release::op::channel::Channel;
use fairveil_release::op::reader::{ReadBlock, read_channel};
use fairveil_release::op::span_batch::SpanBatch;
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use fairveil_release::transaction::RawTransaction;

use super::world::{CHAINS, transaction as signed_transaction};
use super::{Verdict, kind, tagged};

const CHAIN: Chain = Chain { chain_id: CHAINS[0], genesis_time_s: 1_000, block_time_s: 2 };
const ORIGIN: L1Origin = L1Origin { number: 70, hash: B256::ZERO };
/// The largest part of a stored block of zlib.
const STORED_BYTES: usize = 65_535;

/// Whatever batcher transactions hold is refused, or read as blocks that are written and read the
/// same again. The first byte says whether the rest is a transaction or a channel's content.
pub(super) fn batcher_frames(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let raw = if kind == 0 { bytes.to_vec().into() } else { call(&stored(bytes)) };
    let Ok(channel) = read_channel(&[raw], &CHAIN) else { return Verdict::Refused };
    for raw in channel.blocks.iter().flat_map(|block| &block.transactions) {
        let decoded = TxEnvelope::decode_2718_exact(raw.as_bytes()).expect("what is read decodes");
        assert_eq!(decoded.encoded_2718(), raw.as_bytes());
    }
    if let Some(again) = written(&channel.blocks) {
        let again = read_channel(&again, &CHAIN).expect("what is written is read");
        assert_eq!(again.blocks, channel.blocks);
    }
    Verdict::Accepted
}

pub(super) fn batcher_frames_seeds() -> Vec<Vec<u8>> {
    let transactions = |nonce: u64| -> Vec<RawTransaction> {
        (nonce..nonce + 3).map(|nonce| signed_transaction(CHAINS[0], nonce, 9).into()).collect()
    };
    let block = |step: u64, transactions| ReadBlock { timestamp_s: 1_010 + 2 * step, transactions };
    let blocks = [block(1, transactions(0)), block(2, Vec::new()), block(3, transactions(3))];
    let whole = written(&blocks).expect("blocks that follow each other");
    let span = span_batch(&blocks).expect("blocks that follow each other");
    vec![tagged(0, whole[0].as_bytes()), tagged(1, &rlp_string(span.as_bytes()))]
}

fn span_batch(blocks: &[ReadBlock]) -> Option<SpanBatch> {
    let first_s = blocks.first()?.timestamp_s;
    let timestamp_s = first_s.checked_sub(CHAIN.block_time_s)?;
    let parent = Parent { number: 5, hash: B256::ZERO, timestamp_s, l1_origin: ORIGIN };
    let blocks = (6..).zip(blocks).map(|(number, block)| L2Block {
        number,
        timestamp_s: block.timestamp_s,
        l1_origin: ORIGIN,
        transactions: block.transactions.clone(),
    });
    SpanBatch::new(&CHAIN, &parent, &blocks.collect::<Vec<_>>()).ok()
}

/// Batcher transactions that hold these blocks, if they follow each other.
fn written(blocks: &[ReadBlock]) -> Option<Vec<RawTransaction>> {
    let channel = Channel::new(&CHAIN, &[span_batch(blocks)?], 50_000).ok()?;
    let key = BatcherKey::from_bytes([1; 32]).expect("a key");
    let terms = BatcherTerms {
        l1_chain_id: 900,
        inbox: Address::repeat_byte(0xff),
        max_fee_per_gas: 2,
        max_priority_fee_per_gas: 1,
    };
    Some(batcher_transactions(&terms, &key, 0, &channel).expect("few frames"))
}

/// A batcher transaction with one frame that holds this channel. Whose it is does not matter.
fn call(channel: &[u8]) -> RawTransaction {
    let length = u32::try_from(channel.len()).expect("inputs are short");
    let frame = [&[0][..], &[7; 16], &[0, 0], &length.to_be_bytes(), channel, &[1]].concat();
    let to = TxKind::Call(Address::repeat_byte(0xff));
    let transaction = TxEip1559 { chain_id: 900, to, input: frame.into(), ..TxEip1559::default() };
    TxEnvelope::from(transaction.into_signed(Signature::test_signature())).encoded_2718().into()
}

/// These bytes in zlib's form, not compressed (RFC 1950 and 1951).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    for part in bytes.chunks(STORED_BYTES) {
        let length = u16::try_from(part.len()).expect("a stored block's length");
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(part);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    out.extend((high << 16 | low).to_be_bytes());
    out
}

/// A string in RLP of more than 55 bytes.
fn rlp_string(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() > 55, "a short string has another form");
    let length = u32::try_from(bytes.len()).expect("seeds are short").to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte > 0).unwrap_or(0)..];
    let tag = 0xb7 + u8::try_from(length.len()).expect("at most 4");
    [&[tag][..], length, bytes].concat()
}
