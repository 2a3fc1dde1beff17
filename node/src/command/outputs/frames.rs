//! `fairveil rollup frames`: released blocks as signed batcher transactions for L1.
//!
//! All blocks go into one span batch and one channel: a span batch names its parent by hash, which
//! is not known of a block that no node has executed yet. The same input gives the same bytes.

use std::path::Path;

use alloy_primitives::{B256, keccak256};
use fairveil_release::{
    op::{
        L1Origin, L2Block, Parent,
        batcher::{BatcherKey, BatcherTerms, batcher_transactions},
        channel::Channel,
        span_batch::SpanBatch,
    },
    transaction::RawTransaction,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    super::{
        disk::{self, Readers},
        error::CommandError,
    },
    Outputs,
};
use crate::cli::{self, exit};

/// The longest file of a key: 64 hex digits, with room.
const MAX_KEY_BYTES: usize = 1 << 10;

/// Writes the transactions; the exit code.
pub(in super::super) fn run(args: &cli::Frames, json: bool) -> Result<u8, CommandError> {
    let key = batcher_key(&args.batcher_key)?;
    let outputs = Outputs::read(&args.source)?;
    let (actual, expected) = (key.address(), outputs.config.batcher());
    if actual != expected {
        let why = format!(
            "the key of {actual}, and derivation takes transactions of {expected} (`batcherAddr`)"
        );
        return Err(CommandError::file(&args.batcher_key, &why));
    }
    let parent = parent(args, &outputs)?;
    let mut blocks = outputs.blocks(&parent)?;
    blocks.truncate(outputs.count);
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Err(CommandError::Check(format!(
            "no complete block was released after block {} of {} s",
            parent.number, parent.timestamp_s
        )));
    };
    outputs.config.check_span_batches(first.timestamp_s)?;
    let refused = |error: &dyn std::fmt::Display| CommandError::Check(error.to_string());
    let chain = outputs.config.chain();
    let span = SpanBatch::new(&chain, &parent, &blocks).map_err(|error| refused(&error))?;
    let channel = Channel::new(&chain, &[span], args.frame_bytes);
    let channel = channel.map_err(|error| {
        CommandError::Usage(format!("{error}; --count makes a channel of fewer blocks"))
    })?;
    let terms = BatcherTerms {
        l1_chain_id: outputs.config.l1_chain_id(),
        inbox: outputs.config.inbox(),
        max_fee_per_gas: args.max_fee_per_gas,
        max_priority_fee_per_gas: args.max_priority_fee_per_gas,
    };
    let signed = batcher_transactions(&terms, &key, args.nonce, &channel);
    let signed = signed.map_err(|error| CommandError::Usage(error.to_string()))?;
    let written = Written { outputs: &outputs, parent, blocks: &blocks, first, last };
    let document = written.document(&channel, &terms, &signed, args.nonce);
    let text = format!("{document:#}\n");
    disk::write_new(&args.out, text.as_bytes(), Readers::All)?;
    if json {
        println!("{document}");
    } else {
        written.print(&channel, &signed, &args.out);
    }
    Ok(exit::OK)
}

struct Written<'a> {
    outputs: &'a Outputs,
    parent: Parent,
    blocks: &'a [L2Block],
    first: &'a L2Block,
    last: &'a L2Block,
}

impl Written<'_> {
    fn document(
        &self,
        channel: &Channel,
        terms: &BatcherTerms,
        signed: &[RawTransaction],
        nonce: u64,
    ) -> Value {
        let frames = channel.frames().iter().zip(signed).zip(nonce..);
        let frames = frames.map(|((frame, raw), nonce)| {
            json!({
                "frame": frame.number(), "nonce": nonce, "hash": keccak256(raw.as_bytes()),
                "raw": raw,
            })
        });
        let frames: Vec<Value> = frames.collect();
        let origin = |of: L1Origin| json!({ "number": of.number, "hash": of.hash });
        let (parent, heights) = (&self.parent, self.outputs.verified.heights);
        json!({
            "chain_id": self.outputs.config.chain_id(),
            "l1_chain_id": terms.l1_chain_id,
            "inbox": terms.inbox,
            "batcher": self.outputs.config.batcher(),
            "channel": channel.id().to_string(),
            "parent": {
                "number": parent.number, "hash": parent.hash, "timestamp_s": parent.timestamp_s,
                "l1_origin": origin(parent.l1_origin),
            },
            "blocks": {
                "first": self.first.number, "last": self.last.number,
                "last_timestamp_s": self.last.timestamp_s,
                "last_l1_origin": origin(self.last.l1_origin),
                "transactions": self.count(),
            },
            "verified_heights": heights.map(|(first, last)| [first.get(), last.get()]),
            "transactions": frames,
        })
    }

    fn count(&self) -> usize {
        self.blocks.iter().map(|block| block.transactions.len()).sum()
    }

    fn print(&self, channel: &Channel, signed: &[RawTransaction], out: &Path) {
        let (first, last) = (self.first.number, self.last.number);
        println!("blocks {first} to {last} of rollup {}", self.outputs.config.chain_id());
        println!("  transactions  {}", self.count());
        if let Some((first, last)) = self.outputs.verified.heights {
            println!("  verified      the releases of heights {first} to {last}");
        }
        println!("  channel       {}, {} frames", channel.id(), signed.len());
        println!("  written       {}", out.display());
    }
}

/// The block that the first one follows.
fn parent(args: &cli::Frames, outputs: &Outputs) -> Result<Parent, CommandError> {
    let (Some(text), Some(origin)) = (&args.parent, args.parent_origin) else {
        return Ok(outputs.config.genesis());
    };
    let usage = |why: &str| {
        CommandError::Usage(format!("--parent {text}: {why}; give NUMBER:HASH, e.g. 120:0x…"))
    };
    let (number, hash) = text.split_once(':').ok_or_else(|| usage("no hash"))?;
    let number = number.parse().map_err(|_| usage("the number is none"))?;
    let hash: B256 = hash.parse().map_err(|_| usage("the hash is not 0x and 64 hex digits"))?;
    let timestamp_s = outputs.config.timestamp_s(number);
    let timestamp_s = timestamp_s.ok_or_else(|| usage("it is before the genesis"))?;
    let l1_origin = outputs.l1.origin(origin)?;
    Ok(Parent { number, hash, timestamp_s, l1_origin })
}

fn batcher_key(path: &Path) -> Result<BatcherKey, CommandError> {
    let text = Zeroizing::new(disk::read_secret(path, MAX_KEY_BYTES)?);
    let mut bytes = Zeroizing::new([0; 32]);
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    alloy_primitives::hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| {
        CommandError::file(path, &"not a batcher's key: 0x and 64 hex digits are needed")
    })?;
    BatcherKey::from_bytes(*bytes).map_err(|error| CommandError::file(path, &error))
}
