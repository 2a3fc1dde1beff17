//! Proof that a committee omitted a bundle that it had admitted.
//!
//! ```text
//! receipts   f+1 of distinct members of one epoch, for one bundle: an honest member had it
//! sealed     the bundle: its id is the hash of its window and its ciphertext
//! orders     the order certificates of the heights valid_from ..= start + 256, without a gap
//! start      the later of valid_from and the receipts' heights
//! ```
//!
//! It convinces if no height of these emitted the id and the window is open at the last one.
//! Heights *before* the receipts belong to it: a member may well sign a receipt for a bundle that
//! was ordered already, without having to be a liar. Before `valid_from` no honest member reports
//! an id, so it is not ordered there.
//!
//! # What it proves
//!
//! An honest member had the bundle at its receipt's height, no later than `start`, and had to
//! report it. By the order's liveness bound an id that all honest members have at height h is
//! ordered by h + 2·32 + d + 2, with d heights for the relay, and one height more for every 256
//! older ids that wait; the end of an epoch adds at most 2·(32 + 1) + d, and what passes until all
//! that it ordered is released. After 256 heights, then, more than f members kept it back, or
//! messages between honest members did not arrive, or tens of thousands of older ids waited. It
//! names no culprit: whose log lacks the bundle is in the blocks' evidence, which the certificates
//! commit to and do not show.
//!
//! # Invariants
//!
//! 1. Receipts count as they do for an admission: verified for the pinned network, one epoch,
//!    distinct members, f of that epoch. A second receipt of a member does not count, and the one
//!    with the lower height stands.
//! 2. The sealed bundle verifies, so that nobody honest had to refuse it, and its id is the
//!    receipts'.
//! 3. Each height is certified by the committee of its own epoch, and they follow each other as one
//!    chain, also from one epoch to the next. Unproposed ids are handed over to the next
//!    committee's logs.
//! 4. Any emission of the id refuses the proof, whatever became of it there: expired, a used nonce
//!    and no funds are places in the order.
//! 5. A proof holds nothing that it does not need: exactly those heights.

use std::collections::BTreeMap;

use fairveil_crypto::certificate::{OrderCertificate, Placement};
use fairveil_crypto::envelope::{EnvelopeError, SealedBundle};
use fairveil_crypto::{BundleId, Epoch, Height, SequencerIndex};
use fairveil_mempool::Receipt;
use fairveil_release::tree::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::certified::{CertifiedHeight, LinkFault, OrderFault};
use crate::file::{ReceiptsFile, SealedFile, SealedFileError};
use crate::receipts::{ReceiptFault, Receipts};
use crate::trust::PinnedNetwork;

/// Heights after the later of receipts and `valid_from` within which an admitted id is ordered.
pub const OMITTED_HEIGHTS: u64 = 256;
/// The most heights in a proof. A bundle whose receipts are later than this after its `valid_from`
/// has no proof of this form.
pub const MAX_HEIGHTS: usize = 1 << 12;
/// The most receipts in a proof.
pub const MAX_RECEIPTS: usize = 1 << 10;

const _: () = assert!(MAX_HEIGHTS > OMITTED_HEIGHTS as usize);

/// A proof of omission, unjudged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CensorshipFile {
    /// The bundle.
    pub sealed: SealedFile,
    /// Receipts for it.
    pub receipts: Vec<Receipt>,
    /// The order of every height, ascending.
    pub orders: Vec<OrderCertificate>,
}

/// What a proof of omission shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omission {
    /// The bundle.
    pub id: BundleId,
    /// The epoch of the receipts.
    pub epoch: Epoch,
    /// Who signed them.
    pub sequencers: Vec<SequencerIndex>,
    /// How many were needed.
    pub needed: usize,
    /// The first height that is shown: `valid_from`.
    pub first: Height,
    /// From which on heights count.
    pub start: Height,
    /// The last height that is shown.
    pub last: Height,
    /// The end of its window.
    pub expires_at: Height,
    /// The epoch of the last height.
    pub last_epoch: Epoch,
}

/// Why nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CensorshipRefusal {
    /// It holds no sealed bundle.
    #[error(transparent)]
    SealedFile(#[from] SealedFileError),
    /// The bundle is not well sealed to this network: it had to be rejected.
    #[error("the bundle: {0}")]
    Sealed(#[from] EnvelopeError),
    /// A receipt does not count.
    #[error("receipt {number}: {fault}")]
    Receipt {
        /// Which, from 1.
        number: usize,
        /// Why.
        fault: ReceiptFault,
    },
    /// Receipts of two epochs.
    #[error(
        "receipt {number} is of epoch {actual}, the first of epoch {expected}: they are not counted \
         together"
    )]
    Epochs {
        /// Which, from 1.
        number: usize,
        /// Its epoch.
        actual: Epoch,
        /// The first one's.
        expected: Epoch,
    },
    /// Too few receipts.
    #[error("receipts of {actual} distinct sequencers, {needed} are needed")]
    TooFewReceipts {
        /// Distinct sequencers.
        actual: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Too many receipts.
    #[error("{actual} receipts, the limit is {MAX_RECEIPTS}")]
    TooManyReceipts {
        /// Receipts given.
        actual: usize,
    },
    /// The window closes before the bundle is late.
    #[error(
        "its window closes at height {expires_at}; it is late after height {last}, \
         {OMITTED_HEIGHTS} heights after height {start}"
    )]
    Window {
        /// The end of the window.
        expires_at: Height,
        /// From which on heights count.
        start: Height,
        /// The last height that had to be shown.
        last: Height,
    },
    /// More heights than a proof may have.
    #[error(
        "heights {first} to {last} have to be shown, a proof has at most {MAX_HEIGHTS}: the \
         receipts are too long after valid_from"
    )]
    TooManyHeights {
        /// The first one.
        first: Height,
        /// The last one.
        last: Height,
    },
    /// An order certificate proves nothing.
    #[error("order certificate {number}, of height {height}: {fault}")]
    Order {
        /// Which, from 1.
        number: usize,
        /// The height that it names.
        height: Height,
        /// Why.
        fault: OrderFault,
    },
    /// The heights are not one chain.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// It was ordered.
    #[error("bundle {id} was not omitted: emitted at height {} index {}{}",
        .position.height, .position.index, outcome(*.placement))]
    Emitted {
        /// The bundle.
        id: BundleId,
        /// Where.
        position: Position,
        /// What became of it there.
        placement: Placement,
    },
    /// No heights.
    #[error("no order is shown, that of every height from {first} to {last} is needed")]
    NoOrder {
        /// The first one needed.
        first: Height,
        /// The last one needed.
        last: Height,
    },
    /// The heights that are shown begin with another one.
    #[error("the first order is of height {actual}, it is needed from height {expected} on")]
    First {
        /// The first height that is shown.
        actual: Height,
        /// The first one needed.
        expected: Height,
    },
    /// The heights that are shown end early.
    #[error("the order is shown to height {actual}, it is needed to height {expected}")]
    Last {
        /// The last height that is shown.
        actual: Height,
        /// The last one needed.
        expected: Height,
    },
    /// Heights beyond those that are needed.
    #[error("the order is needed to height {expected}, height {actual} is beyond it")]
    Beyond {
        /// A height that is shown.
        actual: Height,
        /// The last one needed.
        expected: Height,
    },
}

/// When a bundle is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The first height whose order has to be shown.
    pub first: Height,
    /// From which on heights count.
    pub start: Height,
    /// The last height whose order has to be shown.
    pub last: Height,
}

/// Makes a proof out of what there is: of the receipts the f+1 that make the bundle late soonest,
/// of the orders, whose order does not matter, the heights that are needed. It is judged before it
/// is returned.
///
/// # Errors
///
/// [`CensorshipRefusal`].
pub fn prove(
    network: &PinnedNetwork,
    sealed: &SealedFile,
    receipts: &ReceiptsFile,
    orders: &[OrderCertificate],
) -> Result<(CensorshipFile, Omission), CensorshipRefusal> {
    let bundle = sealed_bundle(network, sealed)?;
    let receipts = soonest(network, &bundle, &receipts.receipts)?;
    let (counted, _) = counted(network, &bundle, &receipts)?;
    let deadline = deadline(&bundle, &counted);
    let mut heights: BTreeMap<Height, &OrderCertificate> = BTreeMap::new();
    for (number, order) in (1..).zip(orders) {
        let height = order.emission.height;
        // Where it was ordered is the better answer than what is missing.
        if order.emission.ids().any(|one| one.id == bundle.id()) {
            let certified = certified(network, number, order)?;
            refuse_emitted(&certified, &bundle.id())?;
        }
        heights.entry(height).or_insert(order);
    }
    let needed = heights.range(deadline.first..=deadline.last.max(deadline.first));
    let orders = needed.map(|(_, order)| (*order).clone()).collect();
    let file = CensorshipFile { sealed: sealed.clone(), receipts, orders };
    let omission = judge(network, &file)?;
    Ok((file, omission))
}

/// What a file proves.
///
/// # Errors
///
/// [`CensorshipRefusal`].
pub fn judge(
    network: &PinnedNetwork,
    file: &CensorshipFile,
) -> Result<Omission, CensorshipRefusal> {
    let bundle = sealed_bundle(network, &file.sealed)?;
    let (counted, needed) = counted(network, &bundle, &file.receipts)?;
    let Deadline { first, start, last } = deadline(&bundle, &counted);
    let expires_at = bundle.header().expires_at;
    if expires_at < last {
        return Err(CensorshipRefusal::Window { expires_at, start, last });
    }
    if last.distance_from(first) >= MAX_HEIGHTS as u64 {
        return Err(CensorshipRefusal::TooManyHeights { first, last });
    }
    let last_epoch = judge_orders(network, &file.orders, &bundle.id(), first, last)?;
    Ok(Omission {
        id: bundle.id(),
        epoch: counted.first().map_or(network.epoch(), |receipt| receipt.body.epoch),
        sequencers: counted.iter().map(|receipt| receipt.sequencer).collect(),
        needed,
        first,
        start,
        last,
        expires_at,
        last_epoch,
    })
}

/// That these heights are certified, one chain, and without the id; the epoch of the last one.
fn judge_orders(
    network: &PinnedNetwork,
    orders: &[OrderCertificate],
    id: &BundleId,
    first: Height,
    last: Height,
) -> Result<Epoch, CensorshipRefusal> {
    let mut before: Option<CertifiedHeight> = None;
    for (number, order) in (1..).zip(orders) {
        let certified = certified(network, number, order)?;
        refuse_emitted(&certified, id)?;
        match &before {
            Some(before) => certified.follows(before)?,
            None if certified.height() != first => {
                let (actual, expected) = (certified.height(), first);
                return Err(CensorshipRefusal::First { actual, expected });
            }
            None => {}
        }
        let (actual, expected) = (certified.height(), last);
        if actual > expected {
            return Err(CensorshipRefusal::Beyond { actual, expected });
        }
        before = Some(certified);
    }
    let Some(newest) = before else {
        return Err(CensorshipRefusal::NoOrder { first, last });
    };
    let (actual, expected) = (newest.height(), last);
    match actual == expected {
        true => Ok(newest.epoch()),
        false => Err(CensorshipRefusal::Last { actual, expected }),
    }
}

fn certified(
    network: &PinnedNetwork,
    number: usize,
    order: &OrderCertificate,
) -> Result<CertifiedHeight, CensorshipRefusal> {
    let height = order.emission.height;
    CertifiedHeight::new(network, order).map_err(|fault| CensorshipRefusal::Order {
        number,
        height,
        fault,
    })
}

fn refuse_emitted(certified: &CertifiedHeight, id: &BundleId) -> Result<(), CensorshipRefusal> {
    match certified.place_of(id) {
        None => Ok(()),
        Some((position, placement)) => {
            Err(CensorshipRefusal::Emitted { id: *id, position, placement })
        }
    }
}

fn sealed_bundle(
    network: &PinnedNetwork,
    file: &SealedFile,
) -> Result<SealedBundle, CensorshipRefusal> {
    let bundle = file.bundle()?;
    bundle.verify(&network.network_id(), network.committee().key())?;
    Ok(bundle)
}

/// The receipts that count, one of each member, and how many are needed.
fn counted(
    network: &PinnedNetwork,
    bundle: &SealedBundle,
    receipts: &[Receipt],
) -> Result<(Vec<Receipt>, usize), CensorshipRefusal> {
    let actual = receipts.len();
    if actual > MAX_RECEIPTS {
        return Err(CensorshipRefusal::TooManyReceipts { actual });
    }
    let mut verified = Receipts::new(network, bundle.id());
    let mut counted: BTreeMap<SequencerIndex, Receipt> = BTreeMap::new();
    for (number, receipt) in (1..).zip(receipts) {
        let taken = verified.add(*receipt);
        taken.map_err(|fault| CensorshipRefusal::Receipt { number, fault })?;
        let (actual, expected) = (receipt.body.epoch, receipts[0].body.epoch);
        if actual != expected {
            return Err(CensorshipRefusal::Epochs { number, actual, expected });
        }
        let lowest = counted.entry(receipt.sequencer).or_insert(*receipt);
        if receipt.body.height < lowest.body.height {
            *lowest = *receipt;
        }
    }
    let (actual, needed) = (verified.count(), verified.needed());
    if actual < needed {
        return Err(CensorshipRefusal::TooFewReceipts { actual, needed });
    }
    Ok((counted.into_values().collect(), needed))
}

/// Of one epoch the f+1 receipts with the lowest heights: of the epoch whose are the lowest.
fn soonest(
    network: &PinnedNetwork,
    bundle: &SealedBundle,
    receipts: &[Receipt],
) -> Result<Vec<Receipt>, CensorshipRefusal> {
    let mut verified = Receipts::new(network, bundle.id());
    let mut epochs: BTreeMap<Epoch, BTreeMap<SequencerIndex, Receipt>> = BTreeMap::new();
    for (number, receipt) in (1..).zip(receipts) {
        let taken = verified.add(*receipt);
        taken.map_err(|fault| CensorshipRefusal::Receipt { number, fault })?;
        let lowest = epochs.entry(receipt.body.epoch).or_default();
        let lowest = lowest.entry(receipt.sequencer).or_insert(*receipt);
        if receipt.body.height < lowest.body.height {
            *lowest = *receipt;
        }
    }
    let soonest = epochs.into_iter().filter_map(|(epoch, receipts)| {
        let needed = usize::from(network.proven(epoch).ok()?.definition().proposal().f) + 1;
        let mut receipts: Vec<_> = receipts.into_values().collect();
        receipts.sort_by_key(|receipt| (receipt.body.height, receipt.sequencer));
        receipts.truncate(needed);
        (receipts.len() == needed).then_some(receipts)
    });
    let latest = |receipts: &Vec<Receipt>| receipts.last().map(|receipt| receipt.body.height);
    let (actual, needed) = (verified.count(), verified.needed());
    soonest.min_by_key(latest).ok_or(CensorshipRefusal::TooFewReceipts { actual, needed })
}

fn deadline(bundle: &SealedBundle, receipts: &[Receipt]) -> Deadline {
    let first = bundle.header().valid_from.max(Height::new(1));
    let latest = receipts.iter().map(|receipt| receipt.body.height).max();
    let start = latest.unwrap_or(Height::ZERO).max(first);
    Deadline { first, start, last: start.saturating_add(OMITTED_HEIGHTS) }
}

const fn outcome(placement: Placement) -> &'static str {
    match placement {
        Placement::Open => "",
        Placement::Expired => ", after its window",
        Placement::NonceUsed => ", its nonce was used before",
        Placement::Unfunded => ", its payer could not pay",
    }
}

impl Omission {
    /// As a JSON object, for programs.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({
            "kind": "censorship", "id": self.id, "epoch": self.epoch, "sequencers": self.sequencers,
            "needed": self.needed, "first": self.first, "start": self.start, "last": self.last,
            "last_epoch": self.last_epoch, "expires_at": self.expires_at,
        })
    }
}

/// A line for people.
impl std::fmt::Display for Omission {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, epoch, needed, first, start, last, last_epoch, expires_at, .. } = self;
        let signers: Vec<_> = self.sequencers.iter().map(ToString::to_string).collect();
        write!(
            out,
            "bundle {id} was omitted: sequencers {} of epoch {epoch} admitted it ({needed} needed), \
             no height from {first} to {last} emitted it, {OMITTED_HEIGHTS} heights after height \
             {start}, and its window is open to height {expires_at}",
            signers.join(", ")
        )?;
        if last_epoch != epoch {
            write!(out, "; the last height is of epoch {last_epoch}")?;
        }
        out.write_str(
            "; it names no culprit: more than f members kept it back, or messages between honest \
             ones did not arrive",
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
