//! Everything between a final order and its release.
//!
//! ```text
//! final order ── own share ──> opener (shares of peers) ──> judged ──> cut in height order
//!      └── not open in time, certified by a later block ──> adoption ──> taken over ──┘
//! ```
//!
//! A height that is cut over views of followed rollups waits for the committee's word before the next one
//! is cut: [`crate::views`].
//!
//! # Invariants
//!
//! 1. A share is made of a [`FinalOrder`] alone, so of a verified certificate.
//! 2. Shares prepared ahead stay in memory and are wiped once their bundle is released or gone.
//! 3. Heights are released in order, each once, whatever order they were opened in.
//! 4. A height that others have certified is taken over from them once it could not be opened here
//!    for [`ADOPT_AFTER_MS`]; opening goes on meanwhile, and whichever is first counts: both give
//!    the certified release.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use fairveil_crypto::{
    BundleId, Digest, Height, SequencerIndex,
    certificate::FinalOrder,
    envelope::VerifiedBundle,
    hint::HintRandomness,
    share::{PreparedShares, ShareError, ShareFreshness, SignedShare},
};
use fairveil_release::{
    adoption::{Adoption, MAX_WANTED},
    anchor::Anchor,
    chain::{JudgedOrder, ReleaseChain},
    change::RegistryChange,
    opener::{FinalBatch, OpenJob, OpenedOrder, Opener, OwnShare, Worked},
    release::Release,
};
use rayon::ThreadPool;

use crate::{actor::Done, config::Secrets, rollups::Rollups, views::Views};

mod cutting;

use cutting::OpenCut;
pub(crate) use cutting::{CutDone, Progress, Source};

/// How long a final height may stay closed here before the certified release of others is asked for.
pub(crate) const ADOPT_AFTER_MS: u64 = 2_000;
/// A heavy step of an opening, done.
pub(crate) enum OpeningDone {
    /// The own share of an order, or why there is none.
    Share(Box<FinalOrder>, Result<OwnShare, ShareError>),
    /// Shares were combined.
    Worked(Box<Worked>),
    /// An opened order was judged.
    Judged(JudgedOrder),
    /// A height was released, or cut over views.
    Cut(Box<CutDone>),
}

/// All heights between final and released.
pub(crate) struct Openings {
    pub(crate) opener: Opener,
    /// None while a height is being cut.
    releases: Option<ReleaseChain>,
    /// The height that is released next.
    next: Height,
    rollups: Rollups,
    /// Changes of the rollups and anchors that the chain of releases does not know of yet.
    announced: Vec<RegistryChange>,
    anchored: Vec<(Height, Vec<Anchor>)>,
    views: Arc<dyn Views>,
    open: Option<OpenCut>,
    /// Once the epoch has ended: the last height whose release it certifies.
    closing: Option<Height>,
    prepared: Arc<Mutex<PreparedShares>>,
    secrets: Arc<Secrets>,
    /// Final orders whose bundles aren't all here yet.
    waiting: BTreeMap<Height, WaitingOrder>,
    /// Batches for which the opener had no room.
    postponed: BTreeMap<Height, FinalBatch>,
    judged: BTreeMap<Height, JudgedOrder>,
    pub(crate) adoption: Adoption,
    /// Certified releases of others, with their roots.
    adopted: BTreeMap<Height, (Box<Release>, Digest)>,
    /// When each unreleased height became final here.
    final_since_ms: BTreeMap<Height, u64>,
}

struct WaitingOrder {
    order: FinalOrder,
    bundles: BTreeMap<BundleId, VerifiedBundle>,
    missing: BTreeSet<BundleId>,
}

impl Openings {
    /// The openings of member `own`, which keeps its shares for `kept_heights` heights.
    pub(crate) fn new(
        own: SequencerIndex,
        peers: Vec<SequencerIndex>,
        kept_heights: u64,
        releases: ReleaseChain,
        rollups: Rollups,
        secrets: Arc<Secrets>,
        views: Arc<dyn Views>,
    ) -> Self {
        let next = releases.next();
        let released = next.previous().unwrap_or(Height::ZERO);
        let prepared = PreparedShares::new(&secrets.key_share);
        Self {
            opener: Opener::new(own, released).keeping(kept_heights),
            adoption: Adoption::new(peers),
            adopted: BTreeMap::new(),
            final_since_ms: BTreeMap::new(),
            releases: Some(releases),
            next,
            rollups,
            announced: Vec::new(),
            anchored: Vec::new(),
            views,
            open: None,
            closing: None,
            prepared: Arc::new(Mutex::new(prepared)),
            secrets,
            waiting: BTreeMap::new(),
            postponed: BTreeMap::new(),
            judged: BTreeMap::new(),
        }
    }

    /// The height that is released next.
    pub(crate) fn next(&self) -> Height {
        self.next
    }

    /// A final block announced a change of the rollups.
    pub(crate) fn announced(&mut self, change: RegistryChange) {
        self.announced.push(change);
    }

    /// The job that prepares own shares of these bundles, at home.
    pub(crate) fn preparation(
        &self,
        bundles: Vec<VerifiedBundle>,
    ) -> impl FnOnce(&ThreadPool) + Send + 'static {
        let (prepared, secrets) = (Arc::clone(&self.prepared), Arc::clone(&self.secrets));
        move |pool| {
            let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            // Without room the shares are prepared when their order is final.
            let _ = prepared.prepare_many(&secrets.key_share, &bundles, pool);
        }
    }

    /// Wipes what was prepared for a bundle that is gone.
    pub(crate) fn forget(&self, id: &BundleId) {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).forget(id);
    }

    /// A final order, with those of its bundles that are held; the batch once all are.
    pub(crate) fn order(
        &mut self,
        now_ms: u64,
        order: FinalOrder,
        held: impl Fn(&BundleId) -> Option<VerifiedBundle>,
    ) -> Option<FinalBatch> {
        self.final_since_ms.insert(order.height(), now_ms);
        let mut waiting =
            WaitingOrder { missing: BTreeSet::new(), bundles: BTreeMap::new(), order };
        for id in waiting.order.to_open() {
            match held(id) {
                Some(bundle) => drop(waiting.bundles.insert(*id, bundle)),
                None => drop(waiting.missing.insert(*id)),
            }
        }
        self.complete(waiting)
    }

    /// Ids that final orders wait for.
    pub(crate) fn missing(&self) -> Vec<BundleId> {
        self.waiting.values().flat_map(|order| order.missing.iter().copied()).collect()
    }

    /// A bundle came in: the batches that are complete now.
    pub(crate) fn holds(&mut self, bundle: &VerifiedBundle) -> Vec<FinalBatch> {
        let id = bundle.id();
        let heights: Vec<Height> = self
            .waiting
            .iter()
            .filter(|(_, order)| order.missing.contains(&id))
            .map(|(height, _)| *height)
            .collect();
        let mut complete = Vec::new();
        for height in heights {
            if let Some(mut order) = self.waiting.remove(&height) {
                order.missing.remove(&id);
                order.bundles.insert(id, bundle.clone());
                complete.extend(self.complete(order));
            }
        }
        complete
    }

    /// The job that makes the own share of a final order.
    pub(crate) fn own_share(
        &self,
        batch: &FinalBatch,
        fresh: [u8; 32],
    ) -> impl FnOnce(&ThreadPool) -> OpeningDone + Send + 'static {
        let (prepared, secrets) = (Arc::clone(&self.prepared), Arc::clone(&self.secrets));
        let batch = batch.clone();
        move |pool| {
            let order = batch.order();
            let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            let missing: Vec<_> = batch
                .bundles()
                .iter()
                .filter(|bundle| !prepared.contains(&bundle.id()))
                .cloned()
                .collect();
            let _ = prepared.prepare_many(&secrets.key_share, &missing, pool);
            let (share, signer) = (&secrets.key_share, secrets.consensus());
            let fresh = ShareFreshness::new(fresh);
            let own = OwnShare::new(&prepared, order, share, &signer, fresh);
            for id in order.to_open() {
                prepared.forget(id);
            }
            OpeningDone::Share(Box::new(order.clone()), own)
        }
    }

    /// The job that combines shares and checks hints, with bytes that are drawn now.
    pub(crate) fn combining(
        job: Box<OpenJob>,
        random: [u8; 32],
    ) -> impl FnOnce(&ThreadPool) -> OpeningDone + Send {
        move |pool| OpeningDone::Worked(Box::new(job.run(pool, HintRandomness::new(random))))
    }

    /// The job that parses and judges what was opened.
    pub(crate) fn judging(
        &self,
        opened: Box<OpenedOrder>,
    ) -> impl FnOnce(&ThreadPool) -> OpeningDone + Send + 'static {
        let registry = self.rollups.at(opened.height());
        move |pool| OpeningDone::Judged(opened.judge(&registry, pool))
    }

    /// Keeps a batch for which the opener has no room now.
    pub(crate) fn postpone(&mut self, batch: FinalBatch) {
        self.postponed.insert(batch.order().height(), batch);
    }

    /// The next postponed batch, if the opener has room.
    pub(crate) fn resume(&mut self) -> Option<FinalBatch> {
        if !self.opener.has_room() {
            return None;
        }
        self.postponed.pop_first().map(|(_, batch)| batch)
    }

    /// Keeps a judged order until its turn.
    pub(crate) fn judged(&mut self, order: JudgedOrder) {
        if order.height >= self.next {
            self.judged.insert(order.height, order);
        }
    }

    /// Heights whose certified release should be asked for now.
    pub(crate) fn overdue(&self, now_ms: u64) -> Vec<Height> {
        let late = |since: &u64| now_ms >= since.saturating_add(ADOPT_AFTER_MS);
        let cutting = |height: &Height| *height == self.next && self.releases.is_none();
        let closed = self.final_since_ms.iter().take(MAX_WANTED).filter(|(height, since)| {
            let here = self.judged.contains_key(height) || self.adopted.contains_key(height);
            late(since) && !here && !cutting(height)
        });
        let wanted = closed.filter(|(height, _)| !self.adoption.wants(**height));
        wanted.map(|(height, _)| *height).collect()
    }

    /// Keeps another sequencer's certified release until its turn.
    pub(crate) fn adopted(&mut self, release: Box<Release>, root: Digest) {
        let height = release.header.height;
        if height >= self.next {
            self.adopted.insert(height, (release, root));
        }
    }

    fn complete(&mut self, order: WaitingOrder) -> Option<FinalBatch> {
        if !order.missing.is_empty() {
            self.waiting.insert(order.order.height(), order);
            return None;
        }
        let WaitingOrder { order, mut bundles, .. } = order;
        let in_order = order.to_open().iter().filter_map(|id| bundles.remove(id)).collect();
        match FinalBatch::new(order, in_order) {
            Ok(batch) => Some(batch),
            // All ids of the order are there, once each: nothing else can be wrong.
            Err(error) => {
                tracing::error!(%error, "a final order and its bundles do not fit");
                None
            }
        }
    }
}

/// The own share of an order as it was stored when it was made.
pub(crate) fn stored_share(
    share: SignedShare,
    order: &FinalOrder,
    own: SequencerIndex,
) -> Option<OwnShare> {
    OwnShare::restore(share, order, own)
}

impl From<OpeningDone> for Done {
    fn from(done: OpeningDone) -> Self {
        Self::Opening(Box::new(done))
    }
}
