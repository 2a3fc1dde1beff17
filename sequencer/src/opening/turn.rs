//! What a height is released from, and what a job makes of it.

use fairveil_crypto::Digest;
use fairveil_release::{
    anchor::Anchor,
    chain::{ChainError, JudgedOrder, ReleaseChain, Released},
    release::Release,
    views::Sight,
};

use super::Source;
use crate::views::Views;

/// How long to wait before views are read again that could not be read, at first.
const FIRST_AGAIN_MS: u64 = 100;
/// At last: each time is twice as long as the one before.
const LAST_AGAIN_MS: u64 = 5_000;

/// What a height is released from.
pub(super) enum Turn {
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

/// What a job made of the next height.
pub(super) enum Made {
    /// It is released.
    Kept(Source, Box<Released>),
    /// It was cut over views, or they can't be read here now.
    Sighted(JudgedOrder, Option<Box<Released>>),
    /// It was cut without them.
    Blind(Box<Released>),
}

/// A height that is cut over views and not certified yet.
pub(super) struct OpenCut {
    pub(super) order: JudgedOrder,
    /// Over the views, once they were read.
    pub(super) sighted: Option<Box<Released>>,
    /// Without them, once that is of use.
    pub(super) blind: Option<Box<Released>>,
    /// The root that a final block lists.
    pub(super) certified: Option<Digest>,
    pub(super) since_ms: u64,
    /// How often the views could not be read, and when it is tried again.
    pub(super) failures: u32,
    pub(super) again_ms: u64,
}

impl Turn {
    pub(super) fn make(
        self,
        chain: &mut ReleaseChain,
        views: &dyn Views,
    ) -> Result<Made, ChainError> {
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

/// How long to wait before views are read again that could not be read so often.
pub(super) fn again_after_ms(failures: u32) -> u64 {
    (FIRST_AGAIN_MS << failures.min(10)).min(LAST_AGAIN_MS)
}

impl OpenCut {
    pub(super) fn new(order: JudgedOrder, now_ms: u64) -> Self {
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
