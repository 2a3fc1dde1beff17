//! `fairveil rollup engine`: an OP engine builds the released blocks, one after the other.
//!
//! The engine's head says where to go on, so nothing is stored here. The head must be a block that
//! was released, or the genesis. Every payload is compared before it becomes the head; the first
//! one that differs ends the command. Nothing is said of the safe and the final block (their hashes are
//! zero): derivation tells them.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use fairveil_adapters::{
    engine::{Engine, Head, JwtSecret, NewBlock, Parent as EngineParent, SealedBlock},
    json_rpc::{Endpoint, Limits},
};
use fairveil_release::op::{L1Origin, L2Block, Parent, l1_attributes::L1Attributes};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    super::{disk, error::CommandError, network},
    MAX_BATCHES, Outputs,
};
use crate::{
    cli::{self, exit},
    rollups::now_ms,
};

/// The longest file of a secret: 64 hex digits, with room.
const MAX_SECRET_BYTES: usize = 1 << 10;

/// Drives the engine; the exit code.
pub(in super::super) fn run(args: &cli::EngineOutput, json: bool) -> Result<u8, CommandError> {
    let secret = secret(args)?;
    let endpoint = Endpoint::new(&args.engine, Limits::default());
    let endpoint = endpoint.map_err(|error| CommandError::Usage(format!("--engine: {error}")))?;
    let engine = Engine::new(endpoint, secret, Arc::new(|| now_ms() / 1_000));
    let outputs = Outputs::read(&args.source)?;
    let built = network::run(drive(&engine, &outputs, args, json))??;
    if json {
        let shown = built.iter().map(|block| {
            json!({
                "number": block.number, "hash": block.hash, "state_root": block.state_root,
                "timestamp_s": block.timestamp_s, "gas_used": block.gas_used,
            })
        });
        let heights = outputs.verified.heights.map(|(first, last)| [first.get(), last.get()]);
        println!("{}", json!({ "built": shown.collect::<Vec<_>>(), "verified_heights": heights }));
    } else {
        println!("{} blocks built, nothing else is released", built.len());
    }
    Ok(exit::OK)
}

fn secret(args: &cli::EngineOutput) -> Result<JwtSecret, CommandError> {
    let path = &args.jwt_secret;
    let bytes = Zeroizing::new(disk::read_secret(path, MAX_SECRET_BYTES)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    text.parse().map_err(|error| CommandError::file(path, &error))
}

async fn drive(
    engine: &Engine,
    outputs: &Outputs,
    args: &cli::EngineOutput,
    json: bool,
) -> Result<Vec<SealedBlock>, CommandError> {
    let head = engine.head().await.map_err(|error| CommandError::Unreachable(error.to_string()))?;
    let (mut at, blocks) = position(engine, outputs, &head).await?;
    let mut built = Vec::new();
    for block in blocks.iter().take(outputs.count) {
        let sealed = at.build(engine, outputs, args, block).await?;
        if !json {
            let SealedBlock { number, hash, gas_used, .. } = sealed;
            let count = block.transactions.len();
            println!("block {number}  {hash}  {count} transactions, {gas_used} gas");
        }
        built.push(sealed);
    }
    Ok(built)
}

/// Where the engine stands.
struct At {
    head: EngineParent,
    l1_origin: L1Origin,
    sequence_number: u64,
}

impl At {
    /// Has the engine build the next block, and goes on to it.
    async fn build(
        &mut self,
        engine: &Engine,
        outputs: &Outputs,
        args: &cli::EngineOutput,
        block: &L2Block,
    ) -> Result<SealedBlock, CommandError> {
        let same = block.l1_origin == self.l1_origin;
        let sequence_number = if same { self.sequence_number + 1 } else { 0 };
        let config = &outputs.config;
        let l1 = outputs.l1.for_engine(block.l1_origin.number)?;
        let fees = config.fees(block.timestamp_s);
        let attributes = L1Attributes {
            origin: block.l1_origin,
            timestamp_s: l1.timestamp_s,
            base_fee: l1.base_fee,
            blob_base_fee: l1.blob_base_fee,
            sequence_number,
            batcher: config.batcher(),
            base_fee_scalar: fees.base_fee_scalar,
            blob_base_fee_scalar: fees.blob_base_fee_scalar,
            operator_fee: fees.operator_fee,
        };
        let mut deposits = vec![attributes.deposit()];
        if sequence_number == 0 {
            deposits.extend_from_slice(l1.deposits);
        }
        let new = NewBlock {
            parent: self.head,
            safe: B256::ZERO,
            finalized: B256::ZERO,
            rules: config.rules(self.head.timestamp_s, block.timestamp_s)?,
            number: block.number,
            timestamp_s: block.timestamp_s,
            fee_recipient: args.fee_recipient,
            prev_randao: l1.prev_randao,
            parent_beacon_block_root: l1.parent_beacon_block_root,
            gas_limit: args.gas_limit.unwrap_or_else(|| config.gas_limit()),
            deposits: &deposits,
            transactions: &block.transactions,
        };
        let sealed = engine.build_block(&new).await.map_err(|error| {
            CommandError::Check(format!("block {} is not built: {error}", block.number))
        })?;
        let SealedBlock { number, hash, timestamp_s, .. } = sealed;
        self.head = EngineParent { number, hash, timestamp_s };
        (self.l1_origin, self.sequence_number) = (block.l1_origin, sequence_number);
        Ok(sealed)
    }
}

/// Where the engine stands, and the released blocks after that.
async fn position(
    engine: &Engine,
    outputs: &Outputs,
    head: &Head,
) -> Result<(At, Vec<L2Block>), CommandError> {
    let genesis = outputs.config.genesis();
    let other = |why: String| {
        CommandError::Check(format!(
            "the engine's head, block {} {}, {why}",
            head.number, head.hash
        ))
    };
    let (number, hash, timestamp_s) = (head.number, head.hash, head.timestamp_s);
    let expected_s = outputs.config.timestamp_s(number);
    if expected_s != Some(timestamp_s) {
        let expected =
            expected_s.map_or("none: it is before the genesis".into(), |s| s.to_string());
        return Err(other(format!("has timestamp {timestamp_s}, by the block time {expected}")));
    }
    let at = EngineParent { number, hash, timestamp_s };
    if number == genesis.number {
        if hash != genesis.hash {
            return Err(other(format!("is not the rollup's genesis {}", genesis.hash)));
        }
        let at = At { head: at, l1_origin: genesis.l1_origin, sequence_number: 0 };
        return Ok((at, outputs.blocks(&genesis)?));
    }
    let told = head.l1_origin.ok_or_else(|| other("tells no L1 origin".into()))?;
    let mut blocks = outputs.blocks(&start(engine, outputs, head).await?)?;
    let place = blocks.iter().position(|block| block.number == number);
    let place = place.ok_or_else(|| {
        other(format!(
            "is not among what was released from height {} on (a run reads {MAX_BATCHES} batches \
             at most, from --from on)",
            outputs.verified.heights.map_or(0, |(first, _)| first.get())
        ))
    })?;
    check_head(head, &blocks[place]).map_err(other)?;
    let at = At { head: at, l1_origin: told.0, sequence_number: told.1 };
    Ok((at, blocks.split_off(place + 1)))
}

/// The newest block before the head at which a slot starts.
async fn start(engine: &Engine, outputs: &Outputs, head: &Head) -> Result<Parent, CommandError> {
    let (genesis, clock) = (outputs.config.genesis(), &outputs.timing.clock);
    let mut slot = clock.slot_at(head.timestamp_s.saturating_mul(1_000)).previous();
    let number = loop {
        let Some(at) = slot else { return Ok(genesis) };
        match outputs.config.number_at(clock.start_ms(at)) {
            Some(number) if number > genesis.number => break number,
            Some(_) => return Ok(genesis),
            None if clock.start_ms(at) <= genesis.timestamp_s.saturating_mul(1_000) => {
                return Ok(genesis);
            }
            None => slot = at.previous(),
        }
    };
    let block = engine.block(number).await;
    let block = block.map_err(|error| CommandError::Unreachable(error.to_string()))?;
    let (l1_origin, _) = block.l1_origin.ok_or_else(|| {
        CommandError::Check(format!("the engine's block {number} tells no L1 origin"))
    })?;
    let (hash, timestamp_s) = (block.hash, block.timestamp_s);
    Ok(Parent { number, hash, timestamp_s, l1_origin })
}

/// Whether the head is the released block.
fn check_head(head: &Head, released: &L2Block) -> Result<(), String> {
    let (found, expected) = (head.l1_origin.map(|(origin, _)| origin), released.l1_origin);
    if found != Some(expected) {
        let found = found.map_or("none".to_owned(), |origin| origin.number.to_string());
        return Err(format!("has L1 origin {found}, by the L1 blocks {}", expected.number));
    }
    let hashes = released.transactions.iter().map(|raw| keccak256(raw.as_bytes()));
    let hashes: Vec<B256> = hashes.collect();
    let longest = hashes.len().max(head.transactions.len());
    let differs = (0..longest).find(|at| head.transactions.get(*at) != hashes.get(*at));
    let Some(index) = differs else { return Ok(()) };
    let shown = |of: &[B256]| of.get(index).map_or("nothing".to_owned(), B256::to_string);
    Err(format!(
        "has {} as transaction {index} behind the deposits, released is {}",
        shown(&head.transactions),
        shown(&hashes)
    ))
}
