//! What the sequencer's task shares with the consensus: the consensus asks, the task supplies.
//!
//! # Invariants
//!
//! 1. Evidence is made only of what is durable at its owner and verified here.
//! 2. Facts are supplied only of bundles that are held and intrinsically valid.
//! 3. A release root is supplied only once the release is durable here; that of a release over views
//!    before, for it is made again after a restart until one is certified ([`crate::views`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fairveil_consensus::{
    Resharing, Signal, Successor, SystemEntry,
    entries::Submissions,
    host::{BundleFacts, Host, Intake, OpenResharing, Wanted},
    state::BlockFault,
};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::{Evidence, FRESH_HEIGHTS, Fragment};
use fairveil_release::{anchor::Anchor, change::ApprovedChange};
use tokio::sync::watch;

use crate::{
    adversary::Leader,
    behaviour::Behaviour,
    logs::{Base, KnownLogs},
    renewal::Resharings,
    views::{Anchoring, OpenRelease, Views},
};

/// Proofs of equivocation kept until a block carries them.
const MAX_PROOFS: usize = 64;
/// Executed blocks that are not final and of which it is kept where the own log stands there.
const MAX_BASES: usize = 64;

/// What is shared; clones share it.
#[derive(Clone)]
pub(crate) struct Shared {
    contents: Arc<Mutex<Contents>>,
    signal: Arc<Signal>,
    wanted: watch::Sender<()>,
    views: Arc<dyn Views>,
    resharings: Arc<dyn Resharings>,
    /// Whether a vote waits for an anchored block.
    awaits_view: Arc<AtomicBool>,
    leader: Arc<Leader>,
    own: SequencerIndex,
}

pub(crate) struct Contents {
    pub(crate) logs: KnownLogs,
    /// Where the own log stands after blocks that were executed and are not final yet; the newest ones.
    pub(crate) bases: BTreeSet<Base>,
    pub(crate) facts: BTreeMap<BundleId, BundleFacts>,
    /// Bundles that the consensus waits for.
    pub(crate) needed: BTreeSet<BundleId>,
    pub(crate) roots: BTreeMap<Height, Digest>,
    pub(crate) proofs: Vec<(SequencerIndex, SystemEntry)>,
    /// Approved changes of the rollups that wait for a block, by number.
    pub(crate) changes: BTreeMap<u64, ApprovedChange>,
    /// The release over views that waits to be certified.
    pub(crate) open: Option<OpenRelease>,
    pub(crate) anchoring: Anchoring,
    pub(crate) renewing: Renewing,
}

/// This sequencer's side of a resharing.
#[derive(Default)]
pub(crate) struct Renewing {
    /// What an operator wants announced.
    pub(crate) offered: Option<Resharing>,
    /// The ceremony that is under way, with the entries to post.
    pub(crate) under_way: Option<(Digest, Submissions)>,
    /// Its result.
    pub(crate) successor: Option<Successor>,
}

impl Shared {
    pub(crate) fn new(
        logs: KnownLogs,
        own: SequencerIndex,
        behaviour: Behaviour,
        views: Arc<dyn Views>,
        resharings: Arc<dyn Resharings>,
    ) -> Self {
        let contents = Contents {
            logs,
            bases: BTreeSet::new(),
            facts: BTreeMap::new(),
            needed: BTreeSet::new(),
            roots: BTreeMap::new(),
            proofs: Vec::new(),
            changes: BTreeMap::new(),
            open: None,
            anchoring: Anchoring::default(),
            renewing: Renewing::default(),
        };
        let contents = Arc::new(Mutex::new(contents));
        let (wanted, awaits_view) = (watch::Sender::new(()), Arc::default());
        let (signal, leader) = (Arc::default(), Arc::new(Leader::new(behaviour, own)));
        Self { contents, signal, wanted, views, resharings, awaits_view, leader, own }
    }

    /// Reads.
    pub(crate) fn read(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes, and wakes whoever waits for something.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        let result = change(&mut self.read());
        self.signal.changed();
        result
    }

    /// What an adversary does as a leader.
    pub(crate) fn leader(&self) -> &Leader {
        &self.leader
    }

    /// Changes whenever the consensus begins to wait for bundles.
    pub(crate) fn wanted(&self) -> watch::Receiver<()> {
        self.wanted.subscribe()
    }

    /// Bundles that the consensus began to wait for.
    pub(crate) fn take_needed(&self) -> Vec<BundleId> {
        std::mem::take(&mut self.read().needed).into_iter().collect()
    }

    /// Wakes votes that wait for an anchored block: the views may have it now.
    pub(crate) fn look_at_views(&self) {
        if self.awaits_view.swap(false, Ordering::Relaxed) {
            self.signal.changed();
        }
    }

    async fn until<T>(&self, ready: impl Fn(&Contents) -> Option<T>) -> T {
        self.signal.until(|| ready(&self.read())).await
    }

    fn fragment(
        &self,
        contents: &Contents,
        wanted: &Wanted,
        at: usize,
        max: usize,
    ) -> Option<Fragment> {
        let sequencer = SequencerIndex::from_position(at)?;
        let committed = *wanted.committed.get(at)?;
        let full = wanted.full.get(at).copied().unwrap_or(false);
        let censored = self.leader.censors(sequencer);
        let stopped = wanted.intake == Intake::Stopped || full || censored;
        let max = if stopped { 0 } else { max };
        contents.logs.fragment(sequencer, committed, max, wanted.height)
    }

    fn gathered(&self, contents: &Contents, wanted: &Wanted) -> Option<Evidence> {
        let n = wanted.committed.len();
        let mut budget = wanted.max_ids;
        let mut fragments = Vec::with_capacity(n);
        for at in 0..n {
            let share = budget / (n - at);
            if let Some(fragment) = self.fragment(contents, wanted, at, share) {
                budget -= fragment.ids.len();
                fragments.push(fragment);
            }
        }
        let fresh = |fragment: &&Fragment| fragment.head.is_fresh(wanted.height, FRESH_HEIGHTS);
        let count = fragments.iter().filter(fresh).count();
        (count >= usize::from(wanted.quorum)).then_some(Evidence { fragments, list: Vec::new() })
    }

    fn has_work(&self, contents: &Contents, wanted: &Wanted) -> bool {
        let open = |due: Height| {
            let open = contents.open.filter(|open| open.height == due);
            open.is_some_and(|open| open.sighted.or(open.blind).is_some())
        };
        let released = |due: Height| contents.roots.contains_key(&due) || open(due);
        let released = wanted.due.is_some_and(released);
        released
            || contents.renewing.has_work(wanted)
            || (0..wanted.committed.len()).any(|at| {
                self.fragment(contents, wanted, at, wanted.max_ids)
                    .is_some_and(|fragment| !fragment.ids.is_empty())
            })
    }
}

impl Renewing {
    fn submissions(&self, ceremony: &Digest) -> Option<&Submissions> {
        let (under_way, submissions) = self.under_way.as_ref()?;
        (under_way == ceremony).then_some(submissions)
    }

    fn has_work(&self, wanted: &Wanted) -> bool {
        if wanted.handed_over {
            return false;
        }
        let unposted = wanted.open.as_ref().is_some_and(|open| {
            let submissions = self.submissions(&open.resharing.ceremony);
            submissions.is_some_and(|submissions| submissions.has_unposted(&open.agreed))
        });
        let offers = self.under_way.is_none() && self.offered.is_some();
        unposted || offers || self.successor.is_some()
    }
}

impl Host for Shared {
    async fn work(&self, wanted: &Wanted) {
        self.until(|contents| self.has_work(contents, wanted).then_some(())).await;
    }

    fn executed(&self, next: &Wanted) {
        let Some(base) = Base::of(next, self.own) else { return };
        let bases = &mut self.read().bases;
        bases.insert(base);
        if bases.len() > MAX_BASES {
            bases.pop_first();
        }
    }

    async fn evidence(&self, wanted: &Wanted) -> Evidence {
        let gather = |contents: &Contents| {
            let mut evidence = self.gathered(contents, wanted)?;
            let without_ids = |sequencer: SequencerIndex| {
                self.fragment(contents, wanted, sequencer.position(), 0)
            };
            self.leader.omit(&mut evidence.fragments, wanted, without_ids);
            Some(evidence)
        };
        self.until(gather).await
    }

    async fn bundles(&self, ids: &[BundleId]) -> Vec<BundleFacts> {
        {
            let mut contents = self.read();
            let missing: Vec<_> =
                ids.iter().filter(|id| !contents.facts.contains_key(id)).copied().collect();
            if !missing.is_empty() {
                contents.needed.extend(missing);
                self.wanted.send_replace(());
            }
        }
        self.until(|contents| ids.iter().map(|id| contents.facts.get(id).copied()).collect()).await
    }

    async fn releases(&self, from: Height, limit: usize, after_ms: u64) -> Vec<(Height, Digest)> {
        let contents = self.read();
        let mut next = from;
        let mut releases = Vec::new();
        while let Some(root) = contents.roots.get(&next).filter(|_| releases.len() < limit) {
            releases.push((next, *root));
            next = next.next();
        }
        let open = contents.open.filter(|open| open.height == next && releases.len() < limit);
        releases.extend(open.and_then(|open| Some((next, open.offered(after_ms)?))));
        releases
    }

    async fn judge_release(
        &self,
        height: Height,
        actual: Digest,
        time_ms: u64,
    ) -> Result<(), BlockFault> {
        let verdict = |contents: &Contents| {
            if let Some(expected) = contents.roots.get(&height).copied() {
                let fault = BlockFault::ReleaseRoot { height, actual, expected };
                return Some(if actual == expected { Ok(()) } else { Err(fault) });
            }
            let open = contents.open.filter(|open| open.height == height)?;
            open.verdict(&actual, time_ms)
        };
        self.until(verdict).await
    }

    fn anchors(&self, height: Height) -> Vec<Anchor> {
        if !self.read().anchoring.may_propose(height) {
            return Vec::new();
        }
        self.views.settled()
    }

    fn proposes_anchors(&self, height: Height) {
        self.read().anchoring.proposes(height);
    }

    async fn has_anchor(&self, anchor: &Anchor) {
        let seen = |_: &Contents| {
            let has = self.views.has(anchor);
            if !has {
                self.awaits_view.store(true, Ordering::Relaxed);
            }
            has.then_some(())
        };
        self.until(seen).await;
    }

    fn resharing(&self) -> Option<Resharing> {
        let contents = self.read();
        let idle = contents.renewing.under_way.is_none();
        contents.renewing.offered.clone().filter(|_| idle)
    }

    async fn accepts_resharing(&self, resharing: &Resharing) {
        let accepts = |contents: &Contents| {
            let idle = contents.renewing.under_way.is_none();
            (idle && self.resharings.accepts(resharing)).then_some(())
        };
        self.until(accepts).await;
    }

    fn ceremony_entries(&self, open: &OpenResharing) -> Vec<Vec<u8>> {
        let contents = self.read();
        let submissions = contents.renewing.submissions(&open.resharing.ceremony);
        submissions.map(|submissions| submissions.unposted(&open.agreed)).unwrap_or_default()
    }

    fn successor(&self) -> Option<Successor> {
        self.read().renewing.successor.clone()
    }

    async fn has_successor(&self, successor: &Successor) {
        let same = |contents: &Contents| {
            (contents.renewing.successor.as_ref() == Some(successor)).then_some(())
        };
        self.until(same).await;
    }

    fn equivocations(&self) -> Vec<SystemEntry> {
        self.read().proofs.iter().map(|(_, proof)| proof.clone()).collect()
    }

    fn registry_changes(&self) -> Vec<ApprovedChange> {
        self.read().changes.values().cloned().collect()
    }

    fn record(&self, culprit: SequencerIndex, proof: SystemEntry) {
        self.change(|contents| {
            let known = contents.proofs.iter().any(|(other, _)| *other == culprit);
            if !known && contents.proofs.len() < MAX_PROOFS {
                contents.proofs.push((culprit, proof));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_crypto::{ConsensusSecret, Epoch, NetworkId};
    use fairveil_ordering::Tip;
    use fairveil_release::views::StateView;
    use futures::FutureExt as _;

    use super::*;
    use crate::logs::Reach;

    /// Nodes that know of one block, from some time on.
    #[derive(Default)]
    struct OneBlock {
        knows: AtomicBool,
    }

    impl Views for OneBlock {
        fn settled(&self) -> Vec<Anchor> {
            vec![anchor(7)]
        }

        fn has(&self, other: &Anchor) -> bool {
            self.knows.load(Ordering::Relaxed) && *other == anchor(7)
        }

        fn open(&self, _: &Anchor) -> Option<Arc<dyn StateView>> {
            None
        }
    }

    fn anchor(number: u64) -> Anchor {
        let (hash, state_root) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let (base_fee, gas_limit, gas_used) = (1, 2, 1);
        let (chain_id, timestamp_s) = (901, number);
        Anchor { chain_id, number, hash, state_root, timestamp_s, base_fee, gas_limit, gas_used }
    }

    fn shared(views: &Arc<OneBlock>) -> Shared {
        let key = ConsensusSecret::from_seed([1; 32]).public_key();
        let logs = KnownLogs::new(NetworkId::from_bytes([1; 32]), Epoch::new(1), vec![key]);
        let own = SequencerIndex::from_position(0).unwrap();
        let resharings = Arc::new(crate::renewal::NoResharings);
        Shared::new(logs, own, Behaviour::Honest, Arc::<OneBlock>::clone(views), resharings)
    }

    #[test]
    fn a_vote_waits_until_the_own_view_has_the_anchored_block() {
        let views = Arc::new(OneBlock::default());
        let shared = shared(&views);
        let seven = anchor(7);
        let mut vote = Box::pin(shared.has_anchor(&seven));
        assert_eq!(vote.as_mut().now_or_never(), None);
        shared.look_at_views();
        assert_eq!(vote.as_mut().now_or_never(), None);
        views.knows.store(true, Ordering::Relaxed);
        shared.look_at_views();
        assert_eq!(vote.now_or_never(), Some(()));
        // Another block of the same number is never voted for.
        let other = Anchor { hash: Digest::from_bytes([9; 32]), ..anchor(7) };
        assert_eq!(shared.has_anchor(&other).now_or_never(), None);
    }

    #[test]
    fn anchors_are_proposed_but_for_a_while_after_it_was_in_vain() {
        let shared = shared(&Arc::new(OneBlock::default()));
        assert_eq!(shared.anchors(Height::new(5)), [anchor(7)]);
        shared.proposes_anchors(Height::new(5));
        shared.read().anchoring.finalized(Height::new(5), &[]);
        assert!(shared.anchors(Height::new(6)).is_empty());
        assert_eq!(shared.anchors(Height::new(37)), [anchor(7)]);
    }

    #[test]
    fn where_the_own_log_stands_after_executed_blocks_is_kept_of_the_newest() {
        let shared = shared(&Arc::new(OneBlock::default()));
        let next = |height, length, intake| Wanted {
            height: Height::new(height),
            committed: vec![Tip { length, head: Digest::from_bytes([1; 32]) }],
            full: vec![false],
            quorum: 1,
            intake,
            max_ids: 1_000,
            unreleased: Height::ZERO,
            due: None,
            open: None,
            handed_over: false,
        };
        for height in 1..=MAX_BASES as u64 + 1 {
            shared.executed(&next(height, 10 * height, Intake::Open));
        }
        shared.executed(&next(2, 20, Intake::Open));
        let reach = Reach::of(Intake::Open, false, 1);
        let kept: Vec<_> = shared.read().bases.iter().map(|base| base.committed).collect();
        assert_eq!(kept.len(), MAX_BASES);
        assert_eq!((kept[0], kept[MAX_BASES - 1]), (20, 10 * (MAX_BASES as u64 + 1)));
        let height = Height::new(2);
        assert!(shared.read().bases.contains(&Base { height, committed: 20, reach }));
        // Two blocks of one height, one of which is final in the end.
        shared.executed(&next(60, 1, Intake::Stopped));
        let stopped = Base { height: Height::new(60), committed: 1, reach: Reach::Nothing };
        assert!(shared.read().bases.contains(&stopped));
        assert_eq!(stopped.lengths(9).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_release_over_views_is_offered_and_judged_before_it_is_kept() {
        let shared = shared(&Arc::new(OneBlock::default()));
        let [kept, sighted, blind] = [1, 2, 3].map(|byte| Digest::from_bytes([byte; 32]));
        let at = Height::new;
        shared.change(|contents| {
            contents.roots.insert(at(6), kept);
            let (sighted, blind) = (Some(sighted), Some(blind));
            contents.open = Some(OpenRelease { height: at(7), of_ms: 1_000, sighted, blind });
        });
        let offered = |from, limit| shared.releases(at(from), limit, 1_000).now_or_never().unwrap();
        assert_eq!(offered(6, 64), [(at(6), kept), (at(7), sighted)]);
        assert_eq!(offered(6, 1), [(at(6), kept)]);
        assert_eq!(offered(8, 64), []);
        let judged =
            |height, root, time_ms| shared.judge_release(at(height), root, time_ms).now_or_never();
        assert_eq!(judged(6, kept, 1_001), Some(Ok(())));
        assert!(matches!(judged(6, blind, 9_999), Some(Err(BlockFault::ReleaseRoot { .. }))));
        assert_eq!(judged(7, sighted, 1_001), Some(Ok(())));
        assert!(matches!(judged(7, blind, 1_001), Some(Err(BlockFault::Blind { .. }))));
        assert_eq!(judged(7, blind, 3_000), Some(Ok(())));
        assert_eq!(judged(8, blind, 3_000), None);
    }
}
