//! The opener's heavy values: a final batch, the own share, the combining of shares, and what is
//! judged after it.

use std::collections::BTreeSet;

use fairveil_crypto::certificate::{FinalOrder, Placement};
use fairveil_crypto::committee::{Committee, CommitteeKey, KeyShare};
use fairveil_crypto::envelope::VerifiedBundle;
use fairveil_crypto::hint::{self, HintRandomness};
use fairveil_crypto::opening::{
    Batch, BatchError, Culprit, Opening, OpeningFailure, Outcome, Reception,
};
use fairveil_crypto::share::{ShareError, ShareFreshness, SignedShare};
use fairveil_crypto::{ConsensusSecret, Height, SequencerIndex};
use fairveil_mempool::{Bundle, FailedReason};

use super::PreparedShares;
use super::division::{Hint, Parts, Told};
use crate::chain::{Judged, JudgedOrder};
use crate::failed::Failed;
use crate::registry::Registry;
use crate::validity::valid_bundles;

/// A final order with the sealed bundles that it opens.
#[derive(Clone, Debug)]
pub struct FinalBatch {
    order: FinalOrder,
    bundles: Vec<VerifiedBundle>,
    batch: Batch,
}

/// This sequencer's share of a final order.
#[derive(Debug)]
pub struct OwnShare {
    height: Height,
    share: SignedShare,
}

/// Combining the shares of one height: run it on a pool.
#[derive(Debug)]
pub struct OpenJob {
    height: Height,
    opening: Opening,
    key: CommitteeKey,
    shares: Vec<SignedShare>,
    told: Vec<Told>,
    wanted: Vec<usize>,
    /// The positions that this member opens for all, until their hints were told.
    own: Option<Vec<usize>>,
    named: usize,
}

/// A job that was run.
#[derive(Debug)]
pub struct Worked {
    job: OpenJob,
    result: WorkResult,
}

/// What a job came to.
#[derive(Debug)]
pub(super) struct WorkResult {
    /// All outcomes in final order, once they are known.
    pub(super) outcomes: Option<Vec<Outcome>>,
    /// Members that this job named.
    pub(super) culprits: Vec<Culprit>,
    /// Members whose shares counted for nobody.
    pub(super) ignored: Vec<SequencerIndex>,
    /// Members that gave a false hint.
    pub(super) false_hints: Vec<SequencerIndex>,
    /// Whether something waits for more shares.
    pub(super) starved: bool,
    /// The hints of the own part, once all of it is known.
    pub(super) hints: Option<Vec<Hint>>,
}

/// A final order with what its ciphertexts turned out to hold.
#[derive(Debug)]
pub struct OpenedOrder {
    batch: FinalBatch,
    outcomes: Vec<Outcome>,
}

impl FinalBatch {
    /// The order with its bundles, in its order.
    pub fn new(order: FinalOrder, bundles: Vec<VerifiedBundle>) -> Result<Self, BatchError> {
        let batch = Batch::of_order(&order, &bundles)?;
        Ok(Self { order, bundles, batch })
    }

    /// The order.
    pub fn order(&self) -> &FinalOrder {
        &self.order
    }

    /// The sealed bundles that it opens.
    pub fn bundles(&self) -> &[VerifiedBundle] {
        &self.bundles
    }
}

impl OwnShare {
    /// The share of a final order, from what was prepared.
    pub fn new(
        prepared: &PreparedShares,
        order: &FinalOrder,
        key_share: &KeyShare,
        consensus: &ConsensusSecret,
        freshness: ShareFreshness,
    ) -> Result<Self, ShareError> {
        let share = prepared.for_order(order, key_share, consensus, freshness)?;
        Ok(Self { height: order.height(), share })
    }

    /// An own share that was stored when it was made, for the same final order.
    ///
    /// `None` if it is not this sequencer's share of that order.
    pub fn restore(share: SignedShare, order: &FinalOrder, own: SequencerIndex) -> Option<Self> {
        let signed = share.verify_signature(order.committee(), &order.batch()).is_ok();
        (signed && share.index == own).then(|| Self { height: order.height(), share })
    }

    /// An own share that was stored when it was made, where the order is no longer at hand: to
    /// answer requests after a restart ([`super::Opener::keep`]).
    ///
    /// `None` if it is not signed by member `own`. Nothing but [`PreparedShares::for_order`] signs
    /// as this sequencer, so a share with its signature was made for a final order.
    pub fn stored(
        height: Height,
        share: SignedShare,
        committee: &Committee,
        own: SequencerIndex,
    ) -> Option<Self> {
        let signed = share.verify_signature(committee, &share.batch).is_ok();
        (signed && share.index == own).then_some(Self { height, share })
    }

    /// The height.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The signed share, for storage.
    pub fn share(&self) -> &SignedShare {
        &self.share
    }

    pub(super) fn into_parts(self) -> (Height, SignedShare) {
        (self.height, self.share)
    }
}

impl OpenJob {
    pub(super) fn new(
        batch: &FinalBatch,
        suspects: BTreeSet<SequencerIndex>,
        parts: &Parts,
        own: Vec<usize>,
    ) -> Self {
        let committee = batch.order.committee().clone();
        let key = committee.key().clone();
        let mut opening = Opening::new(committee, batch.batch.clone(), suspects);
        opening.leave(parts.left());
        Self {
            height: batch.order.height(),
            opening,
            key,
            shares: Vec::new(),
            told: Vec::new(),
            wanted: Vec::new(),
            own: (!own.is_empty()).then_some(own),
            named: 0,
        }
    }

    pub(super) fn add(&mut self, shares: Vec<SignedShare>, parts: &mut Parts) {
        self.shares.extend(shares);
        let (wanted, told) = parts.take_news();
        self.wanted.extend(wanted);
        self.told.extend(told);
    }

    /// The height that is opened.
    pub fn height(&self) -> Height {
        self.height
    }

    /// Checks the hints together, then takes the shares in turn until every ciphertext that is
    /// wanted here has its outcome. The randomness is drawn now, after the hints have come.
    pub fn run(mut self, pool: &rayon::ThreadPool, randomness: HintRandomness) -> Worked {
        let false_hints = self.check_hints(pool, randomness);
        let wanted = std::mem::take(&mut self.wanted);
        if !wanted.is_empty() {
            self.opening.want(wanted, pool);
        }
        let mut ignored = Vec::new();
        for share in std::mem::take(&mut self.shares) {
            let index = share.index;
            match self.opening.add_share(share, pool) {
                Reception::Ignored(_) => ignored.push(index),
                Reception::Kept | Reception::Late | Reception::Repeated | Reception::Named(_) => {}
            }
        }
        let culprits = self.opening.culprits()[self.named..].to_vec();
        self.named += culprits.len();
        let hints = self.own_hints();
        let outcomes = self.opening.outcomes().iter().cloned().collect();
        let starved = self.opening.waits_for_shares();
        let result = WorkResult { outcomes, culprits, ignored, false_hints, starved, hints };
        Worked { job: self, result }
    }

    /// Records what right hints open. After its first false hint the rest of a member's is not
    /// believed, and its part is wanted here.
    fn check_hints(
        &mut self,
        pool: &rayon::ThreadPool,
        randomness: HintRandomness,
    ) -> Vec<SequencerIndex> {
        let told = std::mem::take(&mut self.told);
        let ciphertexts = self.opening.batch().ciphertexts();
        let each = |(from, hints): Told| {
            hints.into_iter().map(move |(position, rho)| (from, position, rho))
        };
        let given: Vec<_> = told.into_iter().flat_map(each).collect();
        let pairs: Vec<_> =
            given.iter().map(|(_, position, rho)| (&ciphertexts[*position], *rho)).collect();
        let verdicts = hint::open_many(&self.key, &pairs, randomness, pool);
        let mut liars = Vec::new();
        for ((from, position, _), verdict) in given.into_iter().zip(verdicts) {
            match verdict {
                Ok(opened) if !liars.contains(&from) => self.opening.record(position, opened),
                Ok(_) => self.wanted.push(position),
                Err(_) => {
                    self.wanted.push(position);
                    if !liars.contains(&from) {
                        liars.push(from);
                    }
                }
            }
        }
        liars
    }

    fn own_hints(&mut self) -> Option<Vec<Hint>> {
        let outcomes = self.opening.outcomes();
        let own = self.own.take_if(|own| own.iter().all(|place| outcomes[*place].is_some()))?;
        let hint = |place: usize| match &outcomes[place] {
            Some(Outcome::Opened(opened)) => {
                Some(Hint { position: u32::try_from(place).ok()?, rho: opened.rho })
            }
            _ => None,
        };
        Some(own.into_iter().filter_map(hint).collect())
    }
}

impl Worked {
    /// The height.
    pub fn height(&self) -> Height {
        self.job.height
    }

    pub(super) fn into_parts(self) -> (Box<OpenJob>, WorkResult) {
        (Box::new(self.job), self.result)
    }
}

impl OpenedOrder {
    /// The height that was opened: judging it takes the registry of that height.
    pub fn height(&self) -> Height {
        self.batch.order().height()
    }

    pub(super) fn new(batch: FinalBatch, outcomes: Vec<Outcome>) -> Self {
        Self { batch, outcomes }
    }

    pub(super) fn empty(batch: FinalBatch) -> Self {
        Self { batch, outcomes: Vec::new() }
    }

    /// The order.
    pub fn order(&self) -> &FinalOrder {
        &self.batch.order
    }

    /// What the ciphertexts hold, in the order of `order().to_open()`.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Parses what was opened and judges it statically, on a pool: what the release is cut from.
    pub fn judge(&self, registry: &Registry, pool: &rayon::ThreadPool) -> JudgedOrder {
        let order = self.order();
        let parsed: Vec<_> =
            self.outcomes.iter().zip(&self.batch.bundles).map(|(o, b)| parse(o, b)).collect();
        let bundles: Vec<Bundle> = parsed.iter().filter_map(|parsed| parsed.clone().ok()).collect();
        let mut verdicts = valid_bundles(pool, registry, &bundles).into_iter();
        let mut opened = parsed.into_iter().map(|parsed| match parsed {
            Ok(_) => match verdicts.next() {
                Some(Ok(valid)) => Judged::Valid(valid),
                Some(Err(failed)) => Judged::Failed(failed),
                None => unreachable!("one verdict per bundle"),
            },
            Err(failed) => Judged::Failed(failed),
        });
        let ids = order.emission().ids().map(|emitted| {
            let judged = match emitted.placement {
                Placement::Open => opened.next().expect("one outcome per opened id"),
                Placement::Expired => Judged::Expired,
                Placement::NonceUsed => Judged::Failed(Failed::NonceUsed),
                Placement::Unfunded => Judged::Failed(Failed::Unfunded),
            };
            (emitted.id, judged)
        });
        let ids = ids.collect();
        let (height, block, time_ms) = (order.height(), order.block(), order.time_ms());
        JudgedOrder { height, block, time_ms, ids }
    }
}

fn parse(outcome: &Outcome, bundle: &VerifiedBundle) -> Result<Bundle, Failed> {
    match outcome {
        Outcome::Opened(opened) => {
            let class = bundle.header().class;
            Bundle::from_padded(&opened.m, class).map_err(Failed::from)
        }
        Outcome::Failed(OpeningFailure::Aead) => Err(Failed::Aead),
        Outcome::Failed(OpeningFailure::Rho) => Err(Failed::Rho),
    }
}

impl From<FailedReason> for Failed {
    fn from(reason: FailedReason) -> Self {
        match reason {
            FailedReason::Length => Self::Length,
            FailedReason::Padding => Self::Padding,
            FailedReason::Encoding => Self::Encoding,
            FailedReason::Legs => Self::Legs,
        }
    }
}
