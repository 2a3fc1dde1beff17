//! Drives the product, and the naive order, through a case.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex, certificate::Placement};

use crate::{
    Appended, CAP_CANDIDATES, CAP_SOLID, FairOrder, Mode, Phase, Step,
    kernel::{Columns, LANES},
    naive::{Cap, Case, Emitted, NaiveOrder, bundle_id, median::Clocks},
};

/// The naive order of a case in mode `strict` or `themis`, under the normative cap or another.
pub fn run_naive(case: &Case, mode: Mode, cap: Option<Cap>) -> NaiveOrder {
    let cap = cap.unwrap_or(Cap { solid: CAP_SOLID, candidates: CAP_CANDIDATES });
    let naive = NaiveOrder::new(case.n, case.f, case.g, cap, case.expiries.clone());
    let mut naive = if mode == Mode::Themis { naive.themis(case.salt) } else { naive };
    case.blocks.iter().for_each(|block| naive.apply(block));
    naive
}

/// The seed of the block at a height, in every run.
pub fn seed(height: u64) -> Digest {
    Digest::from_bytes([height as u8; 32])
}

/// The product's kernel over all pairs, as a sum that depends on each: for benches beside
/// [`super::pair_weights`].
pub fn kernel_checksum(size: usize, orders: &[Vec<u32>]) -> u128 {
    let columns = Columns::new(size, orders);
    let mut panel = columns.panel();
    let mut sum = 0u128;
    for first in (0..size).step_by(LANES) {
        let lanes: Vec<usize> = (first..size.min(first + LANES)).collect();
        panel.fill(&lanes);
        let all = u64::MAX >> (LANES - lanes.len());
        for vertex in 0..size {
            // A vertex has no weight against itself.
            let own = if lanes.contains(&vertex) { 1 << (vertex % LANES) } else { 0 };
            sum = sum.wrapping_add(panel.against(vertex).checksum(all & !own));
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
    expired: BTreeSet<u32>,
    clocks: Clocks<'a>,
}

impl<'a> Driver<'a> {
    /// Before the first block.
    pub fn new(case: &'a Case) -> Self {
        let (names, expired) = (BTreeMap::new(), BTreeSet::new());
        Self { case, names, blocks: Vec::new(), expired, clocks: Clocks::new(case) }
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
            let times = self.clocks.append(*sequencer, ids.len());
            let index = SequencerIndex::new(*sequencer).expect("sequencers count from 1");
            logs.push((index, own, times));
        }
        let appended: Vec<Appended<'_>> = logs
            .iter()
            .map(|(sequencer, ids, (times_ms, clock_ms))| match order.mode() {
                Mode::Median => {
                    Appended { sequencer: *sequencer, ids, times_ms, clock_ms: *clock_ms }
                }
                _ => Appended::new(*sequencer, ids),
            })
            .collect();
        let expiry = |id: &BundleId| {
            let last = self.case.expiries.get(&self.names[id]).copied();
            last.map_or(Height::MAX, Height::new)
        };
        let reaching = order.would_reach_edge(&appended, &[]);
        let expiries = reaching.into_iter().map(|id| (id, expiry(&id))).collect();
        let height = order.height().next();
        let step = Step {
            height,
            seed: seed(height.get()),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        let output = order.apply(&step).expect("the case is valid");
        let voids = output.emission.ids().filter(|e| e.placement == Placement::Expired);
        self.expired.extend(voids.map(|emitted| self.names[&emitted.id]));
        let cohorts = output.emission.cohorts.iter();
        let cohorts =
            cohorts.map(|ids| ids.iter().map(|emitted| self.names[&emitted.id]).collect());
        self.blocks.push(cohorts.collect());
    }

    /// What came out so far, and what `order` still holds.
    pub fn emitted(&self, order: &FairOrder) -> Emitted {
        Emitted {
            blocks: self.blocks.clone(),
            expired: self.expired.clone(),
            pending: order.pending().iter().map(|id| self.names[id]).collect(),
            unproposed: order.unproposed().iter().map(|id| self.names[id]).collect(),
        }
    }
}
