//! Batcher transactions that say something else than is certified.

use alloy_primitives::{Address, B256, keccak256};
use fairveil_crypto::committee::Committees;
use fairveil_crypto::{Digest, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::document::{AcceptError, BatchDocument, Cursor, accept_batch};
use crate::op::Chain;
use crate::op::reader::{ReadBlock, ReadError, read_channel};
use crate::registry::Registry;
use crate::slot::{BlockTimes, SlotClock, SlotNumber};
use crate::transaction::RawTransaction;

/// The most batch documents on the certified side: the slots of one block, and of its neighbours.
pub const MAX_BATCHES: usize = 1_024;

/// The batcher transactions of one channel, beside the certified batches of their time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFrames {
    /// Certified batches of the rollup, one after the other without a gap.
    pub batches: Vec<BatchDocument>,
    /// The raw transactions, with all frames of one channel.
    pub transactions: Vec<RawTransaction>,
}

/// What signed batcher transactions are convicted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVerdict {
    /// Whose key signed them.
    pub signer: Address,
    /// The chain id of L1 that they are signed for.
    pub l1_chain_id: u64,
    /// To whom they are sent.
    pub inbox: Address,
    /// The rollup.
    pub chain_id: u64,
    /// The timestamp of the rollup's block 0 by which they were read, in seconds since 1970.
    pub genesis_time_s: u64,
    /// The block time by which they were read, in seconds.
    pub block_time_s: u64,
    /// The first block that differs.
    pub timestamp_s: u64,
    /// The place of the first transaction in it that differs, from 0.
    pub index: usize,
    /// The hash of the transaction that they have there, if they have one.
    pub signed: Option<B256>,
    /// The hash of the certified one there, if there is one.
    pub certified: Option<B256>,
}

/// Why signed batcher transactions are convicted of nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignedError {
    /// No batch documents, or too many.
    #[error("{actual} batch documents on the certified side, 1 to {limit} are judged")]
    Count {
        /// How many there are.
        actual: usize,
        /// How many may be.
        limit: usize,
    },
    /// A batch document proves nothing, or does not follow the one before it.
    #[error("batch document {number} of the certified side: {error}")]
    Batch {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: AcceptError,
    },
    /// A release was cut by another registry than the network's first.
    #[error("the release of batch document {number} is by registry {actual}, known is {expected}")]
    Registry {
        /// Which, from 1.
        number: usize,
        /// The release's.
        actual: Digest,
        /// The known one.
        expected: Digest,
    },
    /// The rollup is not derived in whole seconds.
    #[error(
        "rollup {chain_id} has no block time that derivation counts in: its blocks, or whole \
         numbers of them, and its first one must be at whole seconds"
    )]
    BlockTime {
        /// The rollup.
        chain_id: u64,
    },
    /// The transactions are not those of a channel.
    #[error("the batcher transactions: {0}")]
    Read(#[from] ReadError),
    /// The certified side has none of the signed blocks.
    #[error(
        "no block of the batcher transactions is covered: they are of {first_s} s to {last_s} s, \
         certified is ({from_ms} ms, {to_ms} ms]"
    )]
    Uncovered {
        /// The first signed block's timestamp.
        first_s: u64,
        /// The last one's.
        last_s: u64,
        /// Certified after this time.
        from_ms: u64,
        /// Certified up to this time.
        to_ms: u64,
    },
    /// Nothing is false.
    #[error("{blocks} blocks of the batcher transactions are covered, and hold what was released")]
    True {
        /// How many blocks were compared.
        blocks: usize,
    },
}

/// The time that certified batches cover, and what they hold.
struct Certified<'a> {
    from_ms: u64,
    to_ms: u64,
    /// In order: the block's time and its transactions.
    blocks: Vec<(u64, &'a [RawTransaction])>,
}

impl SignedFrames {
    /// In what the signed blocks first differ from the certified ones.
    ///
    /// # Errors
    ///
    /// [`SignedError`], if they don't, or nothing can be compared.
    pub fn judge(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        registry: &Registry,
    ) -> Result<SignedVerdict, SignedError> {
        let chain_id = self.verify_batches(network_id, committees, registry)?;
        let (clock, chain) = derivation(registry, chain_id)?;
        let channel = read_channel(&self.transactions, &chain)?;
        let certified = self.certified(&clock);
        let mut compared = 0;
        for block in &channel.blocks {
            let Some(expected) = certified.block(block.timestamp_s, chain.block_time_s) else {
                continue;
            };
            compared += 1;
            if let Some(index) = first_difference(&block.transactions, &expected) {
                let hash = |raw: &RawTransaction| keccak256(raw.as_bytes());
                return Ok(SignedVerdict {
                    signer: channel.signer,
                    l1_chain_id: channel.l1_chain_id,
                    inbox: channel.inbox,
                    chain_id,
                    genesis_time_s: chain.genesis_time_s,
                    block_time_s: chain.block_time_s,
                    timestamp_s: block.timestamp_s,
                    index,
                    signed: block.transactions.get(index).map(hash),
                    certified: expected.get(index).copied().map(hash),
                });
            }
        }
        if compared > 0 {
            return Err(SignedError::True { blocks: compared });
        }
        let time = |block: Option<&ReadBlock>| block.map_or(0, |block| block.timestamp_s);
        let (first_s, last_s) = (time(channel.blocks.first()), time(channel.blocks.last()));
        let Certified { from_ms, to_ms, .. } = certified;
        Err(SignedError::Uncovered { first_s, last_s, from_ms, to_ms })
    }

    /// The rollup, if the documents are one run of certified batches by this registry.
    fn verify_batches(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        registry: &Registry,
    ) -> Result<u64, SignedError> {
        let (actual, limit) = (self.batches.len(), MAX_BATCHES);
        let first = self.batches.first().filter(|_| actual <= limit);
        let first = first.ok_or(SignedError::Count { actual, limit })?;
        let chain_id = first.batch.chain_id;
        let mut cursor = Cursor::at(network_id, first.first());
        let expected = registry.digest();
        for (number, document) in (1..).zip(&self.batches) {
            let accepted = accept_batch(&cursor, network_id, committees, chain_id, document);
            let (_, next) = accepted.map_err(|error| SignedError::Batch { number, error })?;
            let actual = document.release.registry;
            if actual != expected {
                return Err(SignedError::Registry { number, actual, expected });
            }
            cursor = next;
        }
        Ok(chain_id)
    }

    /// What the verified documents say, and of which time they say all.
    fn certified(&self, clock: &SlotClock) -> Certified<'_> {
        let blocks = self.batches.iter().flat_map(|document| &document.batch.blocks);
        let blocks = blocks.map(|block| (block.time_ms, &block.transactions[..])).collect();
        // What stands before the first slot that is shown is not the network's to say.
        let first = self.batches.first().map_or(SlotNumber::new(0), |first| first.batch.slot);
        let from_ms = clock.start_ms(first);
        let last = self.batches.last().map_or(SlotNumber::new(0), |last| last.batch.slot.next());
        Certified { from_ms, to_ms: clock.start_ms(last), blocks }
    }
}

impl<'a> Certified<'a> {
    /// The certified transactions of the block with this timestamp, if all of its time is covered.
    fn block(&self, timestamp_s: u64, block_time_s: u64) -> Option<Vec<&'a RawTransaction>> {
        let end_ms = timestamp_s.checked_mul(1_000)?;
        let start_ms = end_ms.checked_sub(block_time_s.checked_mul(1_000)?)?;
        if start_ms < self.from_ms || end_ms > self.to_ms {
            return None;
        }
        let first = self.blocks.partition_point(|(time_ms, _)| *time_ms <= start_ms);
        let last = self.blocks.partition_point(|(time_ms, _)| *time_ms <= end_ms);
        Some(self.blocks[first..last].iter().flat_map(|(_, block)| *block).collect())
    }
}

/// The slots, and what derivation knows of the rollup.
fn derivation(registry: &Registry, chain_id: u64) -> Result<(SlotClock, Chain), SignedError> {
    let fault = SignedError::BlockTime { chain_id };
    let clock = registry.slots().ok().flatten().ok_or(fault.clone())?;
    let times = registry.rollup(chain_id).and_then(|rollup| rollup.blocks).ok_or(fault.clone())?;
    let BlockTimes { genesis_ms, interval_ms } = times;
    let block_time_s = match interval_ms {
        0 => return Err(fault),
        _ if interval_ms.is_multiple_of(1_000) => interval_ms / 1_000,
        _ if 1_000_u64.is_multiple_of(interval_ms) => 1,
        _ => return Err(fault),
    };
    if !genesis_ms.is_multiple_of(1_000) {
        return Err(fault);
    }
    let chain = Chain { chain_id, genesis_time_s: genesis_ms / 1_000, block_time_s };
    Ok((clock, chain))
}

/// The first place at which the two are not the same.
fn first_difference(signed: &[RawTransaction], certified: &[&RawTransaction]) -> Option<usize> {
    let longest = signed.len().max(certified.len());
    (0..longest).find(|&index| signed.get(index) != certified.get(index).copied())
}

impl std::fmt::Display for SignedVerdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |hash: &Option<B256>| hash.map_or("none".to_owned(), |hash| hash.to_string());
        let Self { signer, l1_chain_id, inbox, chain_id, genesis_time_s, block_time_s, .. } = self;
        let (signed, certified) = (shown(&self.signed), shown(&self.certified));
        write!(
            out,
            "{signer} signed a false block of rollup {chain_id} for L1 chain {l1_chain_id}, inbox \
             {inbox}: at {} s (genesis {genesis_time_s} s, a block every {block_time_s} s) \
             transaction {} is {signed}, released is {certified}",
            self.timestamp_s, self.index
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Rollup;

    #[test]
    fn only_rollups_of_whole_seconds_or_parts_of_one_are_read() {
        let read = |blocks: Option<(u64, u64)>| {
            let blocks =
                blocks.map(|(genesis_ms, interval_ms)| BlockTimes { genesis_ms, interval_ms });
            let rollup = Rollup { blocks, ..Rollup::recorder(901, "rollup") };
            let registry = Registry::new(vec![rollup]).expect("a registry");
            derivation(&registry, 901).map(|(_, chain)| (chain.genesis_time_s, chain.block_time_s))
        };
        assert_eq!(read(Some((7_000, 250))), Ok((7, 1)));
        assert_eq!(read(Some((7_000, 1_000))), Ok((7, 1)));
        assert_eq!(read(Some((0, 12_000))), Ok((0, 12)));
        let fault = Err(SignedError::BlockTime { chain_id: 901 });
        for blocks in [None, Some((7_001, 1_000)), Some((7_000, 400)), Some((7_000, 1_500))] {
            assert_eq!(read(blocks), fault, "{blocks:?}");
        }
    }
}
