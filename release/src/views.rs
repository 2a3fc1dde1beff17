//! Views of rollups that others feed too: what a slot is simulated over, and what was released that the
//! rollup need not hold yet.
//!
//! A block of the network *anchors* a block of a followed rollup ([`crate::anchor`]). From the height of
//! that block on, slots are simulated over the state after the anchored block: its **view**. A slot has a
//! view of a rollup if the last anchor at or before the height that cuts it is no older than the registry
//! allows. Without one, bundles with policy `execute` and a leg there fail (`state_unavailable`), and legs
//! of others are placed without simulation.
//!
//! Between an anchored block and the slot lies what was released before and may or may not be on the
//! rollup by now: it is **unseen**, and is simulated on top of the view before the slot is, leg by leg;
//! a leg that is invalid there is left out.
//!
//! # Bytes
//!
//! `views digest = H(RELEASE-VIEWS, view 1, ...)` over the followed rollups, ascending; a view is
//! chain_id (8) ‖ anchor digest (32), or chain_id (8) alone where there is none. A release that cuts no
//! slot has none of them. Notation as in [`crate::tree`].
//!
//! # Invariants
//!
//! 1. Which views a slot has follows from the chain of blocks alone, and what is unseen from the releases
//!    and the anchors: nothing of it depends on what a sequencer could read.
//! 2. A released block is seen once a *later* anchor has at least its timestamp: by then the rollup holds
//!    it, or never will. Without a view, what is older than every later anchor can be is forgotten too,
//!    so what is kept is bounded by what can be released within the registered age.
//! 3. A view that a slot was cut without is not used any more: only a later anchor gives a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::{Digest, Height};
use fairveil_execution::bundle::{self, Bundle};
use fairveil_execution::sender::{SetCode, SignedTransaction};
use serde::{Deserialize, Serialize};

pub use fairveil_execution::state::{StateError, StateView};

use crate::anchor::Anchor;
use crate::batch::Block;
use crate::change::{Action, RegistryChange};
use crate::registry::{Registry, Rollup};
use crate::release::Release;
use crate::slot::BlockTime;

/// The state after an anchored block, if it can be read here now.
pub type OpenState<'a> = &'a dyn Fn(&Anchor) -> Option<Arc<dyn StateView>>;

/// Whether a height is released over the views that it has.
#[derive(Clone, Copy)]
pub enum Sight<'a> {
    /// Over all of them, read through this.
    Open(OpenState<'a>),
    /// Without those that would have to be read: nobody could.
    Blind,
}

/// What a slot was simulated over on a followed rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The rollup.
    pub chain_id: u64,
    /// The block after which its state was taken; none without a view.
    pub anchor: Option<Anchor>,
}

/// Where a released block of a followed rollup stands that is unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The rollup.
    pub chain_id: u64,
    /// The height whose release has the block.
    pub height: Height,
    /// The block's number.
    pub number: u64,
}

/// What became seen and unseen with a release, to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Blocks that are unseen from now on.
    pub added: Vec<Place>,
    /// Blocks that are so no longer.
    pub gone: Vec<Place>,
    /// Rollups that the block of the height anchored.
    pub anchored: Vec<u64>,
}

/// A released block that is unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unseen {
    height: Height,
    pub(crate) time: BlockTime,
    /// Its legs, in order.
    pub(crate) legs: Vec<Leg>,
}

/// A leg with its senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg(Vec<fairveil_execution::sender::RecoveredTransaction>);

/// A followed rollup as the last release left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowedRollup {
    pub(crate) anchor: Option<Anchor>,
    pub(crate) unseen: Vec<Arc<Unseen>>,
}

/// All of them that were anchored or released to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowedRollups(BTreeMap<u64, FollowedRollup>);

/// What a release root commits to of these views.
pub fn views_digest(views: &[View]) -> Digest {
    let mut hasher = Hasher::new(Tag::ReleaseViews);
    for View { chain_id, anchor } in views {
        let mut item = chain_id.to_be_bytes().to_vec();
        item.extend(anchor.iter().flat_map(|anchor| *anchor.digest().as_bytes()));
        hasher.item(&item);
    }
    hasher.finish()
}

impl FollowedRollups {
    /// As they are stored: the last anchors, and the blocks that are unseen.
    pub(crate) fn restore(
        registry: &Registry,
        anchors: BTreeMap<u64, Anchor>,
        unseen: &[(Place, Block)],
    ) -> Self {
        let mut followed = Self::default();
        for (chain_id, anchor) in anchors {
            followed.0.entry(chain_id).or_default().anchor = Some(anchor);
        }
        for (place, block) in unseen {
            if let Some(rollup) = registry.rollup(place.chain_id) {
                followed.add(rollup, place.height, block);
            }
        }
        followed
    }

    /// The last anchors, by chain id.
    pub(crate) fn anchors(&self) -> BTreeMap<u64, Anchor> {
        let anchors = self.0.iter().filter_map(|(id, one)| Some((*id, one.anchor?)));
        anchors.collect()
    }

    /// How many blocks are unseen.
    pub(crate) fn unseen(&self) -> u64 {
        self.0.values().map(|one| one.unseen.len() as u64).sum()
    }

    pub(crate) fn get(&self, chain_id: u64) -> Option<&FollowedRollup> {
        self.0.get(&chain_id)
    }

    /// Goes on to a height at which these changes hold and whose block has these anchors.
    pub(crate) fn advance<'a>(
        &mut self,
        made: &[RegistryChange],
        anchors: impl Iterator<Item = &'a Anchor>,
    ) -> Vec<Place> {
        let mut gone = Vec::new();
        for change in made {
            if let Action::Leave { chain_id } = change.action
                && let Some(left) = self.0.remove(&chain_id)
            {
                gone.extend(left.unseen.iter().map(|unseen| unseen.place(chain_id)));
            }
        }
        for anchor in anchors {
            let followed = self.0.entry(anchor.chain_id).or_default();
            followed.anchor = Some(*anchor);
            gone.extend(followed.forget(anchor.chain_id, anchor.timestamp_s));
        }
        gone
    }

    /// Takes in what a height released, and forgets views that its slot was cut without.
    pub(crate) fn take(&mut self, registry: &Registry, release: &Release) -> Moves {
        let mut moves = Moves::default();
        let height = release.header.height;
        for view in release.views.iter().filter(|view| view.anchor.is_none()) {
            if let Some(followed) = self.0.get_mut(&view.chain_id) {
                followed.anchor = None;
            }
        }
        for rollup in registry.rollups() {
            let (chain_id, Some(rule)) = (rollup.chain_id, rollup.followed()) else { continue };
            for block in release.batch(chain_id).into_iter().flat_map(|batch| &batch.blocks) {
                self.add(rollup, height, block);
                moves.added.push(Place { chain_id, height, number: block.number });
            }
            // Every later anchor is of a block that is no older than that.
            let oldest_ms = release.header.time_ms.saturating_sub(rule.max_age_ms);
            let blind = self.0.get_mut(&chain_id).filter(|followed| followed.anchor.is_none());
            if let Some(followed) = blind {
                moves.gone.extend(followed.forget(chain_id, oldest_ms / 1_000));
            }
        }
        let FollowedRollups(rollups) = self;
        rollups.retain(|_, one| one.anchor.is_some() || !one.unseen.is_empty());
        moves
    }

    fn add(&mut self, rollup: &Rollup, height: Height, block: &Block) {
        let followed = self.0.entry(rollup.chain_id).or_default();
        followed.unseen.push(Arc::new(Unseen::new(rollup, height, block)));
    }
}

impl FollowedRollup {
    /// Forgets blocks up to this timestamp.
    fn forget(&mut self, chain_id: u64, timestamp_s: u64) -> Vec<Place> {
        let seen = |unseen: &Arc<Unseen>| unseen.time.time_ms.div_ceil(1_000) <= timestamp_s;
        let gone = self.unseen.iter().filter(|unseen| seen(unseen));
        let gone = gone.map(|unseen| unseen.place(chain_id)).collect();
        self.unseen.retain(|unseen| !seen(unseen));
        gone
    }
}

impl Unseen {
    fn new(rollup: &Rollup, height: Height, block: &Block) -> Self {
        let set_code = if rollup.allows_set_code { SetCode::Taken } else { SetCode::Refused };
        let chain_id = rollup.chain_id;
        let legs = block.bundles.iter().filter_map(|range| {
            let transactions = block.leg(range)?.iter().map(|raw| {
                SignedTransaction { raw: raw.clone().into_bytes(), chain_id, set_code }.recover()
            });
            // What was released was judged before, so all of it recovers.
            transactions.collect::<Result<_, _>>().ok().map(Leg)
        });
        Self { height, time: block.time(), legs: legs.collect() }
    }

    fn place(&self, chain_id: u64) -> Place {
        Place { chain_id, height: self.height, number: self.time.number }
    }
}

impl Leg {
    /// The leg alone: what its neighbours on other rollups did is done.
    pub(crate) fn bundle(&self, chain_id: u64) -> Option<Bundle> {
        let leg = bundle::Leg { chain_id, transactions: self.0.clone() };
        Bundle::new(bundle::Policy::Include, vec![leg]).ok()
    }
}
