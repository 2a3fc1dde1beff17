//! Opening a batch with shares (crypto.md 5): optimistic first, with blame where it fails.
//!
//! 1. A share of a foreign index or batch, or without a valid signature, is ignored. A signed one
//!    that does not decode is named and never used.
//! 2. The first t others are combined without looking at their proofs: `K_j = Σ Δ·λ_i·D_{i,j}`. A
//!    ciphertext passes if its body opens under K_j, and with k recomputed from its `rho` both
//!    `k·G = U_j` and `k·P = K_j` hold.
//! 3. If one does not pass, the proofs of the shares in hand are verified, liars are named and
//!    dropped, and from then on every share is verified before it is used.
//! 4. What does not pass with verified shares is the trader's fault: `failed(aead)` or
//!    `failed(rho)`, the same on every sequencer.
//!
//! # Invariants
//!
//! 1. An outcome depends on the ciphertext alone, never on which shares arrived, or when. If a
//!    ciphertext passes, then `K_j = k·P` is its only pad, whoever lied; if not, verified shares
//!    give that pad.
//! 2. Only a sequencer whose signed share does not decode or verify is named, each once, with the
//!    share that proves it.
//! 3. A malformed ciphertext delays none of its neighbours: what has passed stays.
//! 4. Culprits depend on what arrived first: they are evidence, never consensus data.
//!
//! # Security
//!
//! Without the equation `k·P = K_j` a trader and one sequencer could seal under a false pad that
//! only quorums with that sequencer compute, and honest sequencers would disagree.

use std::collections::BTreeSet;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::certificate::FinalOrder;
use crate::committee::{Committee, CommitteeKey};
use crate::envelope::VerifiedBundle;
use crate::lagrange::Combiner;
use crate::point::{FixedBase, GroupElement, Point, PointBytes, UncheckedPoint};
use crate::seal::{AeadError, Opened, VerifiedCiphertext};
use crate::share::{ShareFault, SignedShare, UnusableShare};
use crate::{BatchId, BundleId, SequencerIndex};

/// Ciphertexts that a worker combines together at most, to share an inversion.
const CHUNK: usize = 16;

/// Why a ciphertext holds nothing: the trader's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpeningFailure {
    /// The body does not open under its pad.
    #[error("aead")]
    Aead,
    /// The body holds another `rho` than the one it was sealed with.
    #[error("rho")]
    Rho,
}

/// What became of a ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was opened.
    Opened(Opened),
    /// It holds nothing.
    Failed(OpeningFailure),
}

/// The ciphertexts that are opened together, in final order.
#[derive(Clone, Debug)]
pub struct Batch {
    id: BatchId,
    ciphertexts: Vec<VerifiedCiphertext>,
}

/// Bundles that are not those of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There are not as many bundles as the order opens.
    #[error("{actual} bundles, the order opens {expected}")]
    Count {
        /// Bundles given.
        actual: usize,
        /// Ids in the order.
        expected: usize,
    },
    /// A bundle is not the order's at its place.
    #[error("bundle is {actual}, the order opens {expected}")]
    Id {
        /// The bundle given.
        actual: BundleId,
        /// The id in the order.
        expected: BundleId,
    },
}

impl Batch {
    /// The batch of an order, with the bundles that it opens.
    ///
    /// # Errors
    ///
    /// If they are not the order's, in its order.
    pub fn of_order(order: &FinalOrder, bundles: &[VerifiedBundle]) -> Result<Self, BatchError> {
        let (actual, expected) = (bundles.len(), order.to_open().len());
        if actual != expected {
            return Err(BatchError::Count { actual, expected });
        }
        for (bundle, id) in bundles.iter().zip(order.to_open()) {
            if bundle.id() != *id {
                return Err(BatchError::Id { actual: bundle.id(), expected: *id });
            }
        }
        let ciphertexts = bundles.iter().map(|bundle| bundle.ciphertext().clone()).collect();
        Ok(Self::new(order.batch(), ciphertexts))
    }

    /// Ciphertexts under an identity that somebody else vouches for.
    #[must_use]
    pub fn new(id: BatchId, ciphertexts: Vec<VerifiedCiphertext>) -> Self {
        Self { id, ciphertexts }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// Its ciphertexts.
    #[must_use]
    pub fn ciphertexts(&self) -> &[VerifiedCiphertext] {
        &self.ciphertexts
    }
}

/// A sequencer that signed a bad share, with that share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// What is wrong.
    pub fault: ShareFault,
    /// The share: [`crate::share::ShareEvidence`] makes a file of it.
    pub share: SignedShare,
}

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It is used, or kept for later. It may still be named when its proof is looked at.
    Kept,
    /// Everything was opened before it came.
    Late,
    /// Its sequencer's share was there before.
    Repeated,
    /// It counts for nobody.
    Ignored(UnusableShare),
    /// It proves a fault of its sequencer.
    Named(ShareFault),
}

/// A batch that is being opened.
///
/// [`Self::add_share`] and [`Self::want`] do heavy work on the pool that they are given, and wait
/// for it: call them where that is allowed.
#[derive(Debug)]
pub struct Opening {
    committee: Committee,
    batch: Batch,
    sealed: Vec<Point>,
    suspects: BTreeSet<SequencerIndex>,
    heard: BTreeSet<SequencerIndex>,
    usable: Vec<UsableShare>,
    verify_first: VerifyFirst,
    wanted: Vec<bool>,
    outcomes: Vec<Option<Outcome>>,
    culprits: Vec<Culprit>,
}

/// Whether shares are verified before they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VerifyFirst {
    Suspects,
    Everybody,
}

struct UsableShare {
    share: SignedShare,
    /// The points of the positions that were wanted so far.
    points: Vec<Option<UncheckedPoint>>,
    verified: bool,
}

impl UsableShare {
    /// Decodes the points of these positions.
    fn decode(&mut self, positions: &[usize], pool: &ThreadPool) -> Result<(), ShareFault> {
        let missing = |position: &&usize| self.points[**position].is_none();
        let missing: Vec<usize> = positions.iter().filter(missing).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let decode = |position: &usize| self.share.decode_point(*position);
        let decoded: Vec<Result<UncheckedPoint, ShareFault>> =
            pool.install(|| missing.par_iter().map(decode).collect());
        for (position, point) in missing.into_iter().zip(decoded) {
            self.points[position] = Some(point?);
        }
        Ok(())
    }
}

impl std::fmt::Debug for UsableShare {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "share of sequencer {}", self.share.index)
    }
}

impl Opening {
    /// Begins to open a batch with the committee that owns its height.
    ///
    /// `suspects` were named before: their shares are verified before they are used, so that they
    /// can not make the optimistic path fail again.
    #[must_use]
    pub fn new(committee: Committee, batch: Batch, suspects: BTreeSet<SequencerIndex>) -> Self {
        let ciphertexts = batch.ciphertexts.len();
        Self {
            committee,
            sealed: batch.ciphertexts.iter().map(|ciphertext| *ciphertext.u()).collect(),
            batch,
            suspects,
            heard: BTreeSet::new(),
            usable: Vec::new(),
            verify_first: VerifyFirst::Suspects,
            wanted: vec![true; ciphertexts],
            outcomes: vec![None; ciphertexts],
            culprits: Vec::new(),
        }
    }

    /// Leaves these positions to the hints of others, until [`Self::want`] asks for them.
    pub fn leave(&mut self, positions: impl IntoIterator<Item = usize>) {
        for position in positions {
            if let Some(wanted) = self.wanted.get_mut(position) {
                *wanted = false;
            }
        }
    }

    /// Asks for positions that were left, as no right hint came.
    pub fn want(&mut self, positions: impl IntoIterator<Item = usize>, pool: &ThreadPool) {
        for position in positions {
            if let Some(wanted) = self.wanted.get_mut(position) {
                *wanted = true;
            }
        }
        self.advance(pool);
    }

    /// Records what a checked hint opened ([`crate::hint`]).
    pub fn record(&mut self, position: usize, opened: Opened) {
        if let Some(outcome) = self.outcomes.get_mut(position) {
            outcome.get_or_insert(Outcome::Opened(opened));
        }
    }

    /// Takes a share, and combines if it was the one that was missing.
    pub fn add_share(&mut self, share: SignedShare, pool: &ThreadPool) -> Reception {
        if self.is_complete() {
            return Reception::Late;
        }
        if self.heard.contains(&share.index) {
            return Reception::Repeated;
        }
        if let Err(unusable) = share.verify_signature(&self.committee, &self.batch.id) {
            return Reception::Ignored(unusable);
        }
        self.heard.insert(share.index);
        match self.admit(share, pool) {
            Ok(usable) => {
                self.usable.push(usable);
                self.advance(pool);
                Reception::Kept
            }
            Err(culprit) => {
                let fault = culprit.fault;
                self.culprits.push(*culprit);
                Reception::Named(fault)
            }
        }
    }

    /// Whether every ciphertext has its outcome.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    /// Whether something that is not left to hints waits for more shares.
    #[must_use]
    pub fn waits_for_shares(&self) -> bool {
        !self.missing().is_empty()
    }

    /// Outcomes by position, as far as they are known.
    #[must_use]
    pub fn outcomes(&self) -> &[Option<Outcome>] {
        &self.outcomes
    }

    /// All outcomes in final order, once they are known.
    #[must_use]
    pub fn into_outcomes(self) -> Option<Vec<Outcome>> {
        self.outcomes.into_iter().collect()
    }

    /// The sequencers that are named so far.
    #[must_use]
    pub fn culprits(&self) -> &[Culprit] {
        &self.culprits
    }

    /// The sequencers whose shares are in use, in order of arrival.
    #[must_use]
    pub fn used(&self) -> Vec<SequencerIndex> {
        let usable = self.usable.iter().take(self.committee.t().into());
        usable.map(|usable| usable.share.index).collect()
    }

    /// The batch.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.batch
    }
}

impl Opening {
    /// A share that may be used, or the fault that it proves.
    fn admit(&self, share: SignedShare, pool: &ThreadPool) -> Result<UsableShare, Box<Culprit>> {
        let suspect = self.suspects.contains(&share.index);
        let verified = suspect || self.verify_first == VerifyFirst::Everybody;
        let mut usable = UsableShare { points: vec![None; self.sealed.len()], share, verified };
        let verdict = usable
            .share
            .decode_form(self.sealed.len())
            .and_then(|_| usable.decode(&self.missing(), pool))
            .and_then(|()| match verified {
                true => self.verify_proof(&usable.share),
                false => Ok(()),
            });
        match verdict {
            Ok(()) => Ok(usable),
            Err(fault) => Err(Box::new(Culprit { fault, share: usable.share })),
        }
    }

    /// Combines what is wanted and not known, as often as there are shares to do it with.
    fn advance(&mut self, pool: &ThreadPool) {
        let t = usize::from(self.committee.t());
        loop {
            let missing = self.missing();
            self.drop_undecodable(&missing, pool);
            if missing.is_empty() || self.usable.len() < t {
                return;
            }
            let verdicts = self.combine(&missing, pool);
            let mut failed = Vec::new();
            for (position, verdict) in missing.into_iter().zip(verdicts) {
                match verdict {
                    Ok(opened) => self.outcomes[position] = Some(Outcome::Opened(opened)),
                    Err(failure) => failed.push((position, failure)),
                }
            }
            if failed.is_empty() {
                return;
            }
            if self.drop_liars(pool) == 0 {
                for (position, failure) in failed {
                    self.outcomes[position] = Some(Outcome::Failed(failure));
                }
                return;
            }
        }
    }

    /// Decodes points that were not wanted before, and names and drops whose do not decode.
    fn drop_undecodable(&mut self, positions: &[usize], pool: &ThreadPool) {
        let verdict = |usable: &mut UsableShare| usable.decode(positions, pool);
        let verdicts = self.usable.iter_mut().map(verdict).collect();
        self.keep(verdicts);
    }

    /// Keeps the shares with a good verdict, names the others, and counts those.
    fn keep(&mut self, verdicts: Vec<Result<(), ShareFault>>) -> usize {
        let before = self.usable.len();
        for (usable, verdict) in std::mem::take(&mut self.usable).into_iter().zip(verdicts) {
            match verdict {
                Ok(()) => self.usable.push(usable),
                Err(fault) => {
                    let share = usable.share;
                    self.culprits.push(Culprit { fault, share });
                }
            }
        }
        before - self.usable.len()
    }

    fn missing(&self) -> Vec<usize> {
        let missing =
            |position: &usize| self.wanted[*position] && self.outcomes[*position].is_none();
        (0..self.outcomes.len()).filter(missing).collect()
    }

    /// What the first t shares make of these positions, in order.
    fn combine(
        &self,
        positions: &[usize],
        pool: &ThreadPool,
    ) -> Vec<Result<Opened, OpeningFailure>> {
        let quorum = &self.usable[..self.committee.t().into()];
        let indices: Vec<SequencerIndex> = quorum.iter().map(|usable| usable.share.index).collect();
        let combiner = Combiner::new(&indices).expect("every index is heard once");
        let combine_chunk = |positions: &[usize]| {
            let pad = |position: &usize| {
                combiner.combine(|member| {
                    let point = quorum[member].points[*position].as_ref();
                    point.expect("wanted positions are decoded")
                })
            };
            let pads: Vec<GroupElement> = positions.iter().map(pad).collect();
            let encoded = GroupElement::encode_many(&pads);
            let judge = |((position, pad), bytes): ((&usize, &GroupElement), &PointBytes)| {
                let ciphertext = &self.batch.ciphertexts[*position];
                judge(self.committee.key(), ciphertext, pad, bytes)
            };
            positions.iter().zip(&pads).zip(&encoded).map(judge).collect::<Vec<_>>()
        };
        let chunk = positions.len().div_ceil(pool.current_num_threads()).clamp(1, CHUNK);
        pool.install(|| positions.par_chunks(chunk).flat_map_iter(combine_chunk).collect())
    }

    /// Verifies the shares in hand that were not, names and drops the liars, and counts them.
    fn drop_liars(&mut self, pool: &ThreadPool) -> usize {
        self.verify_first = VerifyFirst::Everybody;
        let verify = |usable: &UsableShare| match usable.verified {
            true => Ok(()),
            false => self.verify_proof(&usable.share),
        };
        let verdicts = pool.install(|| self.usable.par_iter().map(verify).collect());
        let dropped = self.keep(verdicts);
        self.usable.iter_mut().for_each(|usable| usable.verified = true);
        dropped
    }

    fn verify_proof(&self, share: &SignedShare) -> Result<(), ShareFault> {
        let public_key_share = self
            .committee
            .public_key_share(share.index)
            .expect("the signature was judged against the committee");
        share.verify_proof(&public_key_share, &self.sealed)
    }
}

/// Judges one ciphertext under a combined pad: aead, then `k·G = U`, then `k·P = K`.
///
/// With verified shares the last equation follows from the one before it. With others a pad that
/// breaks it is false, and so counts as not opening.
fn judge(
    key: &CommitteeKey,
    ciphertext: &VerifiedCiphertext,
    pad: &GroupElement,
    pad_bytes: &PointBytes,
) -> Result<Opened, OpeningFailure> {
    if pad.is_infinity() {
        return Err(OpeningFailure::Aead);
    }
    let opened = ciphertext.open_body(pad_bytes).map_err(|AeadError| OpeningFailure::Aead)?;
    let k = ciphertext.sealing_scalar(&opened.rho);
    if !FixedBase::generator().multiply_vartime(&k).equals(ciphertext.u()) {
        return Err(OpeningFailure::Rho);
    }
    if !key.table().multiply_vartime(&k).equals_element(pad) {
        return Err(OpeningFailure::Aead);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests;
