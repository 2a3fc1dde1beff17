//! A random history: blocks of a rollup, cut into span batches and channels, on L1.

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_consensus_1::Header;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind};
use fairveil_release::op::batcher::{BatcherKey, BatcherTerms, batcher_transactions};
use fairveil_release::op::channel::{Channel, FRAME_OVERHEAD_BYTES, MAX_FRAME_BYTES};
use fairveil_release::op::span_batch::SpanBatch;
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use fairveil_release::transaction::RawTransaction;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::l1::{L1, headers, origin};
use crate::l2::made;
use crate::pipeline::{Rollup, Upgrades};
use crate::transactions::transaction;

const L1_CHAIN: u64 = 900;
const GENESIS_S: u64 = 1_700_000_000;
const L1_BLOCKS: u64 = 24;

/// The blocks of one channel, by span batch.
pub(crate) type Spans = Vec<Vec<L2Block>>;

/// One history.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) rollup: Rollup,
    pub(crate) secret: [u8; 32],
    headers: Vec<Header>,
    /// What goes into each channel.
    pub(crate) channels: Vec<Spans>,
}

/// A channel's transactions on L1, and what they carry.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) channel: Channel,
    pub(crate) transactions: Vec<RawTransaction>,
    /// The number of the L1 block after which they may stand.
    pub(crate) after: u64,
}

impl Scenario {
    /// The history of a seed, with random blocks.
    pub(crate) fn new(seed: u64, upgrades: Upgrades, block_time_s: u64) -> Self {
        let mut scenario = Self::empty(seed, upgrades, block_time_s);
        let count = scenario.rng.random_range(1..25);
        let blocks = scenario.blocks(count);
        scenario.cut(blocks);
        scenario
    }

    /// A history without blocks yet.
    pub(crate) fn empty(seed: u64, upgrades: Upgrades, block_time_s: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let chain_id = [10, 901, 1 << 40][rng.random_range(0..3)];
        let chain = Chain { chain_id, genesis_time_s: GENESIS_S, block_time_s };
        Self::of(rng, upgrades, chain)
    }

    /// A history of this rollup without blocks yet.
    pub(crate) fn of(mut rng: ChaCha20Rng, upgrades: Upgrades, chain: Chain) -> Self {
        let timestamp_s = chain.genesis_time_s;
        let seed = rng.random();
        let headers = headers(rng.random_range(1..1_000), timestamp_s, L1_BLOCKS, seed);
        let genesis = Parent {
            number: rng.random_range(0..300),
            hash: B256::from(rng.random::<[u8; 32]>()),
            timestamp_s,
            l1_origin: origin(&headers[0]),
        };
        let secret = secret(&mut rng);
        let batcher = BatcherKey::from_bytes(secret).expect("a secret").address();
        let inbox = Address::repeat_byte(0xff);
        let l1_chain_id = L1_CHAIN;
        let rollup = Rollup { chain, genesis, upgrades, inbox, batcher, l1_chain_id };
        Self { rng, rollup, headers, secret, channels: Vec::new() }
    }

    /// All blocks, in order.
    pub(crate) fn all_blocks(&self) -> Vec<L2Block> {
        self.channels.iter().flatten().flatten().cloned().collect()
    }

    /// Cuts blocks into span batches and those into channels, of random sizes.
    pub(crate) fn cut(&mut self, blocks: Vec<L2Block>) {
        let mut blocks = blocks.into_iter().peekable();
        while blocks.peek().is_some() {
            let spans = self.rng.random_range(1..3);
            let mut channel = Spans::new();
            for _ in 0..spans {
                let count = self.rng.random_range(1..9);
                let span: Vec<L2Block> = blocks.by_ref().take(count).collect();
                channel.extend(Some(span).filter(|span| !span.is_empty()));
            }
            self.channels.push(channel);
        }
    }

    /// The L1 origin of the next block: the one before, or the next if it is old enough.
    pub(crate) fn next_origin(&mut self, before: L1Origin, timestamp_s: u64) -> L1Origin {
        let next = self.headers.iter().find(|header| header.number == before.number + 1);
        match next.filter(|header| header.timestamp <= timestamp_s) {
            Some(header) if self.rng.random() => origin(header),
            _ => before,
        }
    }

    /// Random transactions, often none.
    pub(crate) fn transactions(&mut self, most: usize) -> Vec<RawTransaction> {
        let types = if self.rollup.upgrades == Upgrades::Isthmus { 5 } else { 4 };
        let count = self.rng.random_range(0..=most);
        let chain_id = self.rollup.chain.chain_id;
        (0..count).map(|_| transaction(&mut self.rng, chain_id, types)).collect()
    }

    /// Every channel as frames in transactions of the rollup's batcher.
    pub(crate) fn post_own(&mut self) -> Vec<Posted> {
        let key = BatcherKey::from_bytes(self.secret).expect("a secret");
        self.post(&key)
    }

    /// Every channel as frames in transactions signed with any key.
    pub(crate) fn post(&mut self, key: &BatcherKey) -> Vec<Posted> {
        let mut all = self.span_batches().into_iter();
        let mut nonce = 0;
        let mut posted = Vec::new();
        for spans in &self.channels {
            let (mut batches, mut after) = (Vec::new(), 0);
            for (_, span, batch) in all.by_ref().take(spans.len()) {
                after = span.last().map_or(after, |block| block.l1_origin.number);
                batches.push(batch);
            }
            let most = [150, 2_000, MAX_FRAME_BYTES][self.rng.random_range(0..3)];
            let max = self.rng.random_range(FRAME_OVERHEAD_BYTES + 40..=most);
            let channel = Channel::new(&self.rollup.chain, &batches, max).expect("a channel");
            let terms = terms(self.rollup.inbox);
            let transactions = batcher_transactions(&terms, key, nonce, &channel).expect("signed");
            nonce += transactions.len() as u64;
            posted.push(Posted { channel, transactions, after });
        }
        posted
    }

    /// All span batches in order, each with its parent and its blocks.
    pub(crate) fn span_batches(&self) -> Vec<(Parent, Vec<L2Block>, SpanBatch)> {
        let mut parent = self.rollup.genesis;
        let spans = self.channels.iter().flatten().map(|span| {
            let batch = SpanBatch::new(&self.rollup.chain, &parent, span);
            let next = span.iter().fold(parent, |parent, block| made(&parent, block));
            let before = std::mem::replace(&mut parent, next);
            (before, span.clone(), batch.expect("blocks that follow each other"))
        });
        spans.collect()
    }

    /// An L1 with these transactions in order, each in a random block that is late enough.
    pub(crate) fn l1(&mut self, posted: &[Posted]) -> L1 {
        let first = self.headers[0].number;
        let mut blocks = vec![Vec::new(); self.headers.len()];
        let last = blocks.len() - 1;
        let mut place = 0;
        for channel in posted {
            let late_enough = (channel.after - first + 1) as usize;
            place = place.max(late_enough);
            for transaction in &channel.transactions {
                if place < last && self.rng.random_ratio(1, 6) {
                    place += 1;
                }
                blocks[place].push(transaction.clone());
            }
        }
        L1::new(&self.headers, &blocks)
    }

    fn blocks(&mut self, count: u64) -> Vec<L2Block> {
        let Parent { number, timestamp_s, mut l1_origin, .. } = self.rollup.genesis;
        let mut blocks = Vec::new();
        for step in 1..=count {
            let timestamp_s = timestamp_s + step * self.rollup.chain.block_time_s;
            l1_origin = self.next_origin(l1_origin, timestamp_s);
            let most = [0, 3, 12][self.rng.random_range(0..3)];
            let transactions = self.transactions(most);
            blocks.push(L2Block { number: number + step, timestamp_s, l1_origin, transactions });
        }
        blocks
    }
}

/// A random batcher key.
pub(crate) fn key(rng: &mut ChaCha20Rng) -> BatcherKey {
    BatcherKey::from_bytes(secret(rng)).expect("a secret")
}

/// A transaction with any calldata, signed as an owner of the key can: by its bytes.
pub(crate) fn signed(secret: &[u8; 32], to: Address, calldata: Vec<u8>) -> RawTransaction {
    let transaction = TxEip1559 {
        chain_id: L1_CHAIN,
        gas_limit: 1_000_000,
        max_fee_per_gas: 1,
        to: TxKind::Call(to),
        input: calldata.into(),
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::from(*secret), transaction.signature_hash());
    let signed = transaction.into_signed(signature.expect("a secret"));
    TxEnvelope::from(signed).encoded_2718().into()
}

/// What the batcher pays, and where to.
pub(crate) fn terms(inbox: Address) -> BatcherTerms {
    BatcherTerms {
        l1_chain_id: L1_CHAIN,
        inbox,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
    }
}

/// Random bytes below the group order.
pub(crate) fn secret(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut secret: [u8; 32] = rng.random();
    secret[0] = 0x01;
    secret
}
