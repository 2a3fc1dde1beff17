//! A trace: the admission receipts of a run and its certified order, out of files, verified.
//!
//! # Invariants
//!
//! 1. Whatever is in a [`Trace`] was verified for the pinned network: each receipt under the key of
//!    a member of its epoch, each height by an order certificate. What does not verify is answered
//!    as a [`TraceFault`], one each, and changes nothing.
//! 2. A receipt or a certificate that stands there twice counts once.
//! 3. Two receipts of one member and epoch that can't both be true convict it; one such pair of
//!    each is kept. From then on no receipt of it in that epoch counts.
//! 4. Every id has one place in the [`CertifiedOrder`]: the first one. Two places, two blocks at
//!    one height and two heights that are not of one chain are faults.
//! 5. Receipts, heights and bytes are bounded; beyond a limit nothing is judged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fairveil_crypto::SequencerIndex;
use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::{BlockDigest, BundleId, ConsensusPublicKey, Epoch, Height, NetworkId};
use fairveil_mempool::receipt::{ConflictingReceipts, unsigned_receipts};
use fairveil_mempool::{Place, Receipt};
use fairveil_release::tree::Position;
use serde::{Deserialize, Serialize};

use crate::certified::{CertifiedHeight, LinkFault, OrderFault};
use crate::file::File;
use crate::receipts::ReceiptFault;
use crate::trust::PinnedNetwork;

/// The most receipts in a trace.
pub const MAX_RECEIPTS: usize = 1 << 18;
/// The most heights in a trace.
pub const MAX_HEIGHTS: usize = 1 << 14;
/// The most ids that a trace emits.
pub const MAX_EMITTED: usize = 1 << 20;
/// Receipts whose signatures are verified at once.
const VERIFIED_AT_ONCE: usize = 256;

/// Receipts and order certificates, unjudged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceFile {
    /// The network.
    pub network_id: NetworkId,
    /// Receipts, for any number of bundles.
    pub receipts: Vec<Receipt>,
    /// Order certificates, of any heights.
    pub orders: Vec<OrderCertificate>,
}

/// Why something in a trace does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceFault {
    /// A receipt does not verify.
    #[error("receipt {number}, of bundle {id}: {fault}")]
    Receipt {
        /// Which one of its file, from 1.
        number: usize,
        /// The bundle that it names.
        id: BundleId,
        /// Why.
        fault: ReceiptFault,
    },
    /// A certificate does not verify.
    #[error("order certificate {number}, of height {height}: {fault}")]
    Order {
        /// Which one of its file, from 1.
        number: usize,
        /// The height that it names.
        height: Height,
        /// Why.
        fault: OrderFault,
    },
    /// Two blocks are certified at one height: more than a third of its committee cheated.
    #[error("height {height} is certified twice, as block {first} and as block {second}")]
    TwoBlocks {
        /// The height.
        height: Height,
        /// The block that was read first.
        first: BlockDigest,
        /// The other one.
        second: BlockDigest,
    },
    /// Two heights are not of one chain.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// An id is ordered twice.
    #[error("bundle {id} is ordered at height {} index {} and again at height {} index {}",
        .first.height, .first.index, .second.height, .second.index)]
    OrderedTwice {
        /// The bundle.
        id: BundleId,
        /// Its first place.
        first: Position,
        /// The other one.
        second: Position,
    },
}

/// Why a file is not taken into a trace at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It holds neither receipts nor an order.
    #[error("a file of kind {actual:?}; a trace, receipts or an order certificate is needed")]
    Kind {
        /// Its kind.
        actual: &'static str,
    },
    /// It is said to be of another network.
    #[error("of network {actual}, expected {expected}")]
    Network {
        /// The network in the file.
        actual: NetworkId,
        /// The pinned one.
        expected: NetworkId,
    },
    /// Too much to judge.
    #[error("more than {limit} {what} in all, the limit")]
    TooMany {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Where an id stands in the certified order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The bundle.
    pub id: BundleId,
    /// Its place.
    pub position: Position,
    /// Its cohort, counted within its height, from 0.
    pub cohort: u32,
    /// The epoch whose committee emitted it.
    pub epoch: Epoch,
    /// Whether it is known to be the next one after the id before it in the list: no id stands
    /// between them, and every height between is certified.
    pub is_next: bool,
}

/// All certified ids, in the fair order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertifiedOrder {
    /// The ids.
    pub ids: Vec<Ordered>,
    /// What is wrong between certificates that are each valid.
    pub faults: Vec<TraceFault>,
}

/// What one member signed in one epoch.
#[derive(Clone, Debug, Default)]
pub struct SignedLog {
    /// By bundle: its place, with the receipt that says so.
    by_id: BTreeMap<BundleId, Receipt>,
    /// Which receipt names a position.
    by_position: BTreeMap<u64, BundleId>,
    conflict: Option<ConflictingReceipts>,
}

/// Verified receipts and a verified order.
#[derive(Clone, Debug)]
pub struct Trace {
    network: PinnedNetwork,
    logs: BTreeMap<Epoch, BTreeMap<SequencerIndex, SignedLog>>,
    heights: BTreeMap<Height, CertifiedHeight>,
    receipts: usize,
    emitted: usize,
}

impl Trace {
    /// Nothing yet.
    #[must_use]
    pub fn new(network: &PinnedNetwork) -> Self {
        let (logs, heights) = (BTreeMap::new(), BTreeMap::new());
        Self { network: network.clone(), logs, heights, receipts: 0, emitted: 0 }
    }

    /// Takes what verifies of a file of kind `trace`, `receipts` or `order`; the rest is answered.
    ///
    /// # Errors
    ///
    /// If the file is none of these or of another network, or a limit is exceeded.
    pub fn add(&mut self, file: &File) -> Result<Vec<TraceFault>, TraceError> {
        match file {
            File::Trace(trace) => {
                self.check_network(trace.network_id)?;
                let mut faults = self.add_receipts(&trace.receipts)?;
                faults.extend(self.add_orders(&trace.orders)?);
                Ok(faults)
            }
            File::Receipts(receipts) => {
                self.check_network(receipts.network_id)?;
                self.add_receipts(&receipts.receipts)
            }
            File::Order(certificate) => self.add_orders(std::slice::from_ref(certificate)),
            other => Err(TraceError::Kind { actual: other.kind() }),
        }
    }

    /// Takes the receipts that verify.
    ///
    /// # Errors
    ///
    /// Beyond [`MAX_RECEIPTS`].
    pub fn add_receipts(&mut self, receipts: &[Receipt]) -> Result<Vec<TraceFault>, TraceError> {
        let limit = MAX_RECEIPTS;
        if receipts.len() > limit - self.receipts {
            return Err(TraceError::TooMany { what: "receipts", limit });
        }
        self.receipts += receipts.len();
        let mut faults = Vec::new();
        for (piece, first) in receipts.chunks(VERIFIED_AT_ONCE).zip((1..).step_by(VERIFIED_AT_ONCE))
        {
            let (mut numbers, mut entries) = (Vec::new(), Vec::new());
            for (number, receipt) in (first..).zip(piece) {
                match self.key_of(receipt) {
                    Ok(key) => {
                        numbers.push(number);
                        entries.push((key, *receipt));
                    }
                    Err(fault) => {
                        faults.push(TraceFault::Receipt { number, id: receipt.body.id, fault });
                    }
                }
            }
            let mut unsigned = unsigned_receipts(&entries).into_iter().peekable();
            for (at, (number, (_, receipt))) in numbers.into_iter().zip(&entries).enumerate() {
                if unsigned.next_if_eq(&at).is_some() {
                    let fault = ReceiptFault::Receipt(receipt.unsigned());
                    faults.push(TraceFault::Receipt { number, id: receipt.body.id, fault });
                } else {
                    self.take(*receipt);
                }
            }
        }
        Ok(faults)
    }

    /// Takes the certificates that verify.
    ///
    /// # Errors
    ///
    /// Beyond [`MAX_HEIGHTS`] or [`MAX_EMITTED`].
    pub fn add_orders(
        &mut self,
        certificates: &[OrderCertificate],
    ) -> Result<Vec<TraceFault>, TraceError> {
        let mut faults = Vec::new();
        for (number, certificate) in (1..).zip(certificates) {
            let height = certificate.emission.height;
            let certified = match CertifiedHeight::new(&self.network, certificate) {
                Ok(certified) => certified,
                Err(fault) => {
                    faults.push(TraceFault::Order { number, height, fault });
                    continue;
                }
            };
            let is_full = self.heights.len() >= MAX_HEIGHTS;
            match self.heights.entry(height) {
                Entry::Vacant(_) if is_full => {
                    let limit = MAX_HEIGHTS;
                    return Err(TraceError::TooMany { what: "heights", limit });
                }
                Entry::Vacant(place) => {
                    self.emitted += certified.emission().ids().count();
                    place.insert(certified);
                    let limit = MAX_EMITTED;
                    if self.emitted > limit {
                        return Err(TraceError::TooMany { what: "emitted ids", limit });
                    }
                }
                Entry::Occupied(mut known) => {
                    let (first, second) = (known.get().block(), certified.block());
                    if is_superseded(known.get(), &certified) {
                        self.emitted += certified.emission().ids().count();
                        known.insert(certified);
                    } else if first != second && !is_superseded(&certified, known.get()) {
                        faults.push(TraceFault::TwoBlocks { height, first, second });
                    }
                }
            }
        }
        Ok(faults)
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> &PinnedNetwork {
        &self.network
    }

    /// What each member signed, by epoch.
    #[must_use]
    pub const fn logs(&self) -> &BTreeMap<Epoch, BTreeMap<SequencerIndex, SignedLog>> {
        &self.logs
    }

    /// The certified heights.
    #[must_use]
    pub const fn heights(&self) -> &BTreeMap<Height, CertifiedHeight> {
        &self.heights
    }

    /// Receipts that count, of all members.
    #[must_use]
    pub fn receipts(&self) -> usize {
        self.logs.values().flat_map(BTreeMap::values).map(|log| log.by_id.len()).sum()
    }

    /// Proofs that a member contradicted itself, one of each member and epoch.
    pub fn conflicts(&self) -> impl Iterator<Item = &ConflictingReceipts> {
        self.logs.values().flat_map(BTreeMap::values).filter_map(|log| log.conflict.as_ref())
    }

    /// All certified ids in their order, and what does not fit together.
    #[must_use]
    pub fn order(&self) -> CertifiedOrder {
        let mut order = CertifiedOrder::default();
        let mut places: BTreeMap<BundleId, Position> = BTreeMap::new();
        let mut before: Option<&CertifiedHeight> = None;
        let mut is_next = false;
        for (height, certified) in &self.heights {
            if let Some(Err(fault)) = before.map(|before| certified.follows(before)) {
                is_next = false;
                if matches!(fault, LinkFault::Ended { .. }) {
                    order.faults.push(fault.into());
                    before = Some(certified);
                    continue;
                }
                // A height that is not there is no fault of those that are.
                if !matches!(fault, LinkFault::Gap { .. }) {
                    order.faults.push(fault.into());
                }
            }
            before = Some(certified);
            let cohorts = (0..).zip(&certified.emission().cohorts);
            let ids = cohorts.flat_map(|(cohort, ids)| ids.iter().map(move |one| (cohort, one.id)));
            for (index, (cohort, id)) in (0..).zip(ids) {
                let position = Position { height: *height, index };
                match places.entry(id) {
                    Entry::Occupied(first) => {
                        let (first, second) = (*first.get(), position);
                        order.faults.push(TraceFault::OrderedTwice { id, first, second });
                        is_next = false;
                    }
                    Entry::Vacant(place) => {
                        place.insert(position);
                        let epoch = certified.epoch();
                        order.ids.push(Ordered { id, position, cohort, epoch, is_next });
                        is_next = true;
                    }
                }
            }
        }
        order
    }

    fn check_network(&self, actual: NetworkId) -> Result<(), TraceError> {
        let expected = self.network.network_id();
        (actual == expected).then_some(()).ok_or(TraceError::Network { actual, expected })
    }

    fn key_of(&self, receipt: &Receipt) -> Result<ConsensusPublicKey, ReceiptFault> {
        let epoch = receipt.body.epoch;
        let network_id = self.network.network_id();
        // A receipt of another network says nothing of this one's epochs.
        let keys = match self.network.committee_of(epoch) {
            Ok(committee) => committee.consensus_keys(),
            Err(_) if receipt.body.network_id != network_id => &[],
            Err(unknown) => return Err(unknown.into()),
        };
        Ok(*receipt.member_key(&network_id, epoch, keys)?)
    }

    /// Counts a verified receipt.
    fn take(&mut self, receipt: Receipt) {
        let body = &receipt.body;
        let log = self.logs.entry(body.epoch).or_default().entry(receipt.sequencer).or_default();
        log.take(receipt);
    }
}

/// Whether one of two blocks of a height was made after the end of its epoch, and the other is the
/// later epoch's: the order has that one.
fn is_superseded(one: &CertifiedHeight, other: &CertifiedHeight) -> bool {
    one.epoch() < other.epoch()
        && other.epoch_start() < other.height()
        && one.emission().cohorts.is_empty()
}

impl SignedLog {
    /// Where the member's log has a bundle, as it signed. Nothing if it only held it back, and
    /// nothing of a member that contradicted itself.
    #[must_use]
    pub fn position(&self, id: &BundleId) -> Option<u64> {
        match self.by_id.get(id)?.body.place {
            Place::Position(position) if self.conflict.is_none() => Some(position),
            _ => None,
        }
    }

    /// Whether the member contradicted itself.
    #[must_use]
    pub const fn is_convicted(&self) -> bool {
        self.conflict.is_some()
    }

    /// The receipts, by bundle.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.by_id.values()
    }

    fn take(&mut self, receipt: Receipt) {
        let id = receipt.body.id;
        if let Place::Position(position) = receipt.body.place {
            let other = *self.by_position.entry(position).or_insert(id);
            let known = [self.by_id.get(&other), self.by_id.get(&id)];
            let conflicts = known.into_iter().flatten();
            let conflict =
                conflicts.filter_map(|one| ConflictingReceipts::new(*one, receipt)).next();
            self.conflict = self.conflict.or(conflict);
        }
        match self.by_id.entry(id) {
            Entry::Occupied(mut known) if known.get().body.place == Place::Held => {
                known.insert(receipt);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => drop(place.insert(receipt)),
        }
    }
}

#[cfg(test)]
mod tests;
