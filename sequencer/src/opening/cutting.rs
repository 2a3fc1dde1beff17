//! Releasing the next height: from an order that was opened here, from a certified release of others, or
//! over views, where the committee's word decides ([`crate::views`]).

use std::sync::Arc;

use fairveil_crypto::{Digest, Height};
use fairveil_release::{
    anchor::Anchor,
    chain::{ChainError, JudgedOrder, ReleaseChain, Released, Summary},
    opener::Input,
    release::Release,
    views::Sight,
};
use rayon::ThreadPool;

use super::{OpeningDone, Openings};
use crate::{
    executor::Lane,
    views::{BLIND_AFTER_MS, OpenRelease, Views},
};

/// How long to wait before views are read again that could not be read, at first.
const FIRST_AGAIN_MS: u64 = 100;
/// At last: each time is twice as long as the one before.
const LAST_AGAIN_MS: u64 = 5_000;

/// What became of the next height; and the chain, whose turn is next.
pub(crate) struct CutDone {
    chain: ReleaseChain,
    made: Result<Made, ChainError>,
}

/// What a job made of the next height.
enum Made {
    /// It is released.
    Kept(Source, Box<Released>),
    /// It was cut over views, or they can't be read here now.
    Sighted(JudgedOrder, Option<Box<Released>>),
    /// It was cut without them.
    Blind(Box<Released>),
}

/// What followed from a job.
pub(crate) enum Progress {
    /// A height was released.
    Released(Source, Box<Released>, Box<Summary>),
    /// This height waits for the committee's word; whether its views can't be read here now.
    Waits { height: Height, unreadable: bool },
}

/// A height that is cut over views and not certified yet.
pub(super) struct OpenCut {
    order: JudgedOrder,
    /// Over the views, once they were read.
    sighted: Option<Box<Released>>,
    /// Without them, once that is of use.
    blind: Option<Box<Released>>,
    /// The root that a final block lists.
    certified: Option<Digest>,
    since_ms: u64,
    /// How often the views could not be read, and when it is tried again.
    failures: u32,
    again_ms: u64,
}

/// Where a release came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From shares, here.
    Opened,
    /// From a peer, certified.
    Adopted,
}

/// What a height is released from.
enum Turn {
    /// An order that was opened.
    Order(JudgedOrder),
    /// The same, where views may have to be read.
    Viewed(JudgedOrder),
    /// The same, without views.
    Blind(JudgedOrder),
    /// What was cut here, and is certified.
    Certified(Box<Released>),
    /// A release of others.
    Release(Box<Release>, Digest),
}

impl Openings {
    /// A final block named blocks of followed rollups.
    pub(crate) fn anchored(&mut self, height: Height, anchors: Vec<Anchor>) {
        self.anchored.push((height, anchors));
    }

    /// The epoch has ended, and its blocks certify releases up to this height. Nothing can decide any
    /// more whether later ones saw the views of followed rollups: they did not.
    pub(crate) fn close(&mut self, certified: Height) {
        self.closing = Some(certified);
    }

    /// A final block lists this release root.
    pub(crate) fn certified(&mut self, height: Height, root: Digest) {
        if let Some(open) = self.open.as_mut().filter(|open| open.order.height == height) {
            open.certified = Some(root);
        }
    }

    /// The release that waits for the committee's word.
    pub(crate) fn open_release(&self) -> Option<OpenRelease> {
        let open = self.open.as_ref()?;
        let root = |released: &Option<Box<Released>>| {
            released.as_ref().map(|released| released.release.header.root())
        };
        let (height, of_ms) = (open.order.height, open.order.time_ms);
        let (sighted, blind) = (root(&open.sighted), root(&open.blind));
        Some(OpenRelease { height, of_ms, sighted, blind })
    }

    /// The job that goes on with the next height, if there is anything to do and no other job does,
    /// and where it runs.
    pub(crate) fn cutting(
        &mut self,
        now_ms: u64,
    ) -> Option<(Lane, impl FnOnce(&ThreadPool) -> OpeningDone + Send + 'static)> {
        self.releases.as_ref()?;
        let turn = self.next_turn(now_ms)?;
        let mut chain = self.releases.take()?;
        let announced = std::mem::take(&mut self.announced);
        let anchored = std::mem::take(&mut self.anchored);
        let views = Arc::clone(&self.views);
        let lane = if matches!(turn, Turn::Viewed(_)) { Lane::Viewing } else { Lane::Opening };
        let job = move |_: &ThreadPool| {
            anchored.iter().for_each(|(height, anchors)| chain.anchored(*height, anchors));
            let known = announced.iter().try_for_each(|change| chain.announce(change));
            let known = known.map_err(ChainError::Schedule);
            let made = known.and_then(|()| turn.make(&mut chain, &*views));
            OpeningDone::Cut(Box::new(CutDone { chain, made }))
        };
        Some((lane, job))
    }

    fn next_turn(&mut self, now_ms: u64) -> Option<Turn> {
        let height = self.next;
        if self.open.is_some() {
            return self.open_turn(now_ms);
        }
        if let Some(order) = self.judged.remove(&height) {
            let registry = self.rollups.at(height);
            let followed = registry.rollups().iter().any(|rollup| rollup.followed().is_some());
            return Some(if followed { Turn::Viewed(order) } else { Turn::Order(order) });
        }
        self.adopted.remove(&height).map(|(release, root)| Turn::Release(release, root))
    }

    /// What is to be done with a height that is cut over views.
    fn open_turn(&mut self, now_ms: u64) -> Option<Turn> {
        let closing = self.closing;
        let open = self.open.as_mut()?;
        let closed = closing.is_some_and(|released| open.order.height > released);
        let late = now_ms >= open.since_ms.saturating_add(BLIND_AFTER_MS);
        if let Some(root) = open.certified {
            for made in [&mut open.sighted, &mut open.blind] {
                if made.as_ref().is_some_and(|made| made.release.header.root() == root) {
                    return made.take().map(Turn::Certified);
                }
            }
            if let Some((release, root)) = self.adopted.remove(&open.order.height) {
                return Some(Turn::Release(release, root));
            }
        }
        if open.blind.is_none() && (late || closed || open.certified.is_some()) {
            return Some(Turn::Blind(open.order.clone()));
        }
        let again = open.sighted.is_none() && now_ms >= open.again_ms;
        again.then(|| Turn::Viewed(open.order.clone()))
    }

    /// A job is done: what followed.
    pub(crate) fn cut(&mut self, now_ms: u64, done: CutDone) -> Result<Progress, ChainError> {
        let CutDone { chain, made } = done;
        let height = self.next;
        let progress = match made? {
            Made::Kept(source, released) => {
                self.next = chain.next();
                self.open = None;
                self.adopted = self.adopted.split_off(&self.next);
                self.final_since_ms = self.final_since_ms.split_off(&self.next);
                self.waiting = self.waiting.split_off(&self.next);
                self.postponed = self.postponed.split_off(&self.next);
                // Neither has anything to say to that.
                self.adoption.handle(0, fairveil_release::adoption::Input::Released(height));
                self.opener.handle(0, Input::Released(height));
                Progress::Released(source, released, Box::new(chain.summary()))
            }
            Made::Sighted(order, sighted) => {
                let unreadable = sighted.is_none();
                let open = self.open.get_or_insert_with(|| OpenCut::new(order, now_ms));
                open.sighted = sighted;
                if unreadable {
                    open.again_ms = now_ms.saturating_add(again_after_ms(open.failures));
                    open.failures = open.failures.saturating_add(1);
                }
                Progress::Waits { height, unreadable }
            }
            Made::Blind(released) => {
                let closing = self.closing;
                if let Some(open) = &mut self.open {
                    if closing.is_some_and(|certified| height > certified) {
                        open.certified = Some(released.release.header.root());
                    }
                    open.blind = Some(released);
                }
                Progress::Waits { height, unreadable: false }
            }
        };
        self.releases = Some(chain);
        Ok(progress)
    }
}

/// How long to wait before views are read again that could not be read so often.
fn again_after_ms(failures: u32) -> u64 {
    (FIRST_AGAIN_MS << failures.min(10)).min(LAST_AGAIN_MS)
}

impl OpenCut {
    fn new(order: JudgedOrder, now_ms: u64) -> Self {
        Self {
            order,
            sighted: None,
            blind: None,
            certified: None,
            since_ms: now_ms,
            failures: 0,
            again_ms: now_ms,
        }
    }
}

impl Turn {
    fn make(self, chain: &mut ReleaseChain, views: &dyn Views) -> Result<Made, ChainError> {
        let kept = |source, released| Ok(Made::Kept(source, Box::new(released)));
        match self {
            Self::Order(order) => kept(Source::Opened, chain.extend(order)?),
            Self::Release(release, root) => kept(Source::Adopted, chain.adopt(*release, &root)?),
            Self::Certified(released) => {
                chain.keep(&released)?;
                Ok(Made::Kept(Source::Opened, released))
            }
            Self::Blind(order) => Ok(Made::Blind(Box::new(chain.release(order, Sight::Blind)?))),
            Self::Viewed(order) => {
                let open = |anchor: &Anchor| views.open(anchor);
                match chain.release(order.clone(), Sight::Open(&open)) {
                    Ok(released) if released.read.is_empty() => {
                        chain.keep(&released)?;
                        kept(Source::Opened, released)
                    }
                    Ok(released) => Ok(Made::Sighted(order, Some(Box::new(released)))),
                    Err(ChainError::Unreadable { .. }) => Ok(Made::Sighted(order, None)),
                    Err(error) => Err(error),
                }
            }
        }
    }
}
