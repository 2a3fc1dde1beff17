//! Drives the product, and the naive order, through a case.

use std::collections::BTreeMap;

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};

use crate::{
    Appended, CAP_CANDIDATES, CAP_SOLID, FairOrder, Phase, Step,
    kernel::{Columns, LANES},
    naive::{Cap, Case, Emitted, NaiveOrder, bundle_id},
};

/// The naive order of a case, under the normative cap or another.
pub fn run_naive(case: &Case, cap: Option<Cap>) -> NaiveOrder {
    let cap = cap.unwrap_or(Cap { solid: CAP_SOLID, candidates: CAP_CANDIDATES });
    let mut naive = NaiveOrder::new(case.n, case.f, case.g, cap, case.expiries.clone());
    case.blocks.iter().for_each(|block| naive.apply(block));
    naive
}

/// The product's kernel over all pairs, as a sum that depends on each: for benches beside
/// [`super::pair_weights`].
pub fn kernel_checksum(size: usize, orders: &[Vec<u32>]) -> u64 {
    let columns = Columns::new(size, orders);
    let mut sum = 0u64;
    for vertex in 0..size {
        for word in 0..size.div_ceil(LANES) {
            let weights = columns.weights(vertex, word);
            let lanes = (size - word * LANES).min(LANES);
            for (lane, weight) in weights.forward[..lanes].iter().enumerate() {
                sum = sum.wrapping_add((word * LANES + lane) as u64 * *weight as u64);
            }
        }
    }
    sum
}

/// What `order`, fresh at height 0, makes of a case.
///
/// # Panics
///
/// If it refuses a block.
pub fn run(case: &Case, order: &mut FairOrder) -> Emitted {
    let mut driver = Driver::new(case);
    case.blocks.iter().for_each(|block| driver.apply(order, block));
    driver.emitted(order)
}

/// Feeds blocks of a case to an order.
#[derive(Clone, Debug)]
pub struct Driver<'a> {
    case: &'a Case,
    names: BTreeMap<BundleId, u32>,
    blocks: Vec<Vec<Vec<u32>>>,
}

impl<'a> Driver<'a> {
    /// Before the first block.
    pub fn new(case: &'a Case) -> Self {
        Self { case, names: BTreeMap::new(), blocks: Vec::new() }
    }

    /// One block, at the next height.
    ///
    /// # Panics
    ///
    /// If it is refused.
    #[allow(clippy::expect_used)]
    pub fn apply(&mut self, order: &mut FairOrder, block: &[(u16, Vec<u32>)]) {
        let mut logs = Vec::new();
        for (sequencer, ids) in block {
            let own: Vec<BundleId> = ids.iter().map(|id| bundle_id(self.case.salt, *id)).collect();
            self.names.extend(own.iter().copied().zip(ids.iter().copied()));
            logs.push((SequencerIndex::new(*sequencer).expect("sequencers count from 1"), own));
        }
        let appended: Vec<Appended<'_>> =
            logs.iter().map(|(sequencer, ids)| Appended { sequencer: *sequencer, ids }).collect();
        let expiry = |id: &BundleId| {
            let last = self.case.expiries.get(&self.names[id]).copied();
            last.map_or(Height::MAX, Height::new)
        };
        let reaching = order.would_reach_edge(&appended, &[]);
        let expiries = reaching.into_iter().map(|id| (id, expiry(&id))).collect();
        let height = order.height().next();
        let step = Step {
            height,
            seed: Digest::from_bytes([height.get() as u8; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        let output = order.apply(&step).expect("the case is valid");
        let cohorts = output.emission.cohorts.iter();
        let cohorts =
            cohorts.map(|ids| ids.iter().map(|emitted| self.names[&emitted.id]).collect());
        self.blocks.push(cohorts.collect());
    }

    /// What came out so far, and what `order` still holds.
    pub fn emitted(&self, order: &FairOrder) -> Emitted {
        Emitted {
            blocks: self.blocks.clone(),
            pending: order.pending().iter().map(|id| self.names[id]).collect(),
            unproposed: order.unproposed().iter().map(|id| self.names[id]).collect(),
        }
    }
}
