//! From released batches to the sub-blocks that derivation is given: every block of every slot from
//! the first batch to the last, also the empty ones, which a batch does not name.

use super::{L1Origin, sub_blocks::SubBlock};
use crate::batch::Batch;
use crate::slot::{BlockTimes, SlotClock, SlotNumber};

/// The blocks of one rollup from slot `from` on up to the last batch, each with the L1 origin that
/// `l1_origin` gives for its time in milliseconds since 1970.
///
/// The batches are of slots in ascending order, none before `from`, as a verified sequence of batch
/// documents has them ([`crate::document::accept_batch`]).
pub fn released_sub_blocks(
    clock: &SlotClock,
    times: BlockTimes,
    from: SlotNumber,
    batches: &[Batch],
    mut l1_origin: impl FnMut(u64) -> L1Origin,
) -> Vec<SubBlock> {
    let mut sub_blocks = Vec::new();
    let mut slot = from;
    for batch in batches {
        let mut full = batch.blocks.iter().peekable();
        while slot <= batch.slot {
            for time in clock.blocks(times, slot) {
                let block = full.next_if(|block| block.time() == time);
                sub_blocks.push(SubBlock {
                    time_ms: time.time_ms,
                    l1_origin: l1_origin(time.time_ms),
                    transactions: block.map_or_else(Vec::new, |block| block.transactions.clone()),
                });
            }
            slot = slot.next();
        }
    }
    sub_blocks
}
