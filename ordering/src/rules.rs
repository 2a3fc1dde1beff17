//! The constants and strategies of the rule, in one value.
//!
//! A network runs [`Rules::NORMATIVE`]. The other variants exist in this crate's own test build
//! alone: they are the mistakes of docs/fairness.md 6, each of which a named test must notice.

/// W: a head is fresh for so many heights.
pub const FRESH_HEIGHTS: u64 = 32;
/// A log with more ids below T than this is not extended.
pub const MAX_BELOW_EDGE: u32 = 4_096;
/// An id that stood below T for so many heights is forgotten.
pub const FORGET_HEIGHTS: u64 = 1_024;
/// How far ahead admission lets `expires_at` lie, so how long an id must not come back.
pub const MAX_WINDOW_HEIGHTS: u64 = 1 << 16;
/// A settled id is remembered for so many heights after its window, so that fragments which
/// were under way when the window closed do not begin it anew.
pub const GRACE_HEIGHTS: u64 = 2 * FRESH_HEIGHTS;
/// The soft cap's q: the least prefix makes so many ids solid, or all that can be.
pub const CAP_SOLID: usize = 256;
/// The soft cap's K: the prefix grows while at most so many ids are candidates.
pub const CAP_CANDIDATES: usize = 4_096;

/// What APPLY does where a mistake is tempting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) cap: Cap,
    pub(crate) edge: Edge,
    pub(crate) shaded: Shaded,
    pub(crate) cut: Cut,
    pub(crate) members: Members,
    pub(crate) last: Last,
    pub(crate) drain: Drain,
    pub(crate) closed: Closed,
    pub(crate) expired: Expired,
}

/// What Byzantine logs can make this state remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) below_edge: u32,
    pub(crate) forget_heights: u64,
}

/// Which prefix of the logs PROPOSE looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cap {
    /// The least prefix with `solid` solid ids (or all), enlarged up to `candidates`.
    Soft { solid: usize, candidates: usize },
    /// The largest prefix with at most so many candidates. Halts for ever (CE4).
    #[cfg(test)]
    Hard(usize),
}

/// How many logs make an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// g + f + 1.
    Enough,
    /// One more than that.
    #[cfg(test)]
    OneMore,
}

/// Whether ids that are not solid may be vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shaded {
    Keep,
    #[cfg(test)]
    Drop,
}

/// Over which edges a vertex must reach a solid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Strict,
    #[cfg(test)]
    Tournament,
    #[cfg(test)]
    Nothing,
}

/// The order inside a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Members {
    Path,
    #[cfg(test)]
    ById,
}

/// On which ids a cohort may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    SolidWhenProposed,
    #[cfg(test)]
    SolidByNow,
}

/// Whether an incomplete proposal blocks later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    InOrder,
    #[cfg(test)]
    Overtake,
}

/// What becomes of log entries whose window has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Append,
    #[cfg(test)]
    Refuse,
}

/// What becomes of a vertex whose window closed while it was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    KeepPlace,
    #[cfg(test)]
    Remove,
}

impl Rules {
    pub(crate) const NORMATIVE: Self = Self {
        bounds: Bounds { below_edge: MAX_BELOW_EDGE, forget_heights: FORGET_HEIGHTS },
        cap: Cap::Soft { solid: CAP_SOLID, candidates: CAP_CANDIDATES },
        edge: Edge::Enough,
        shaded: Shaded::Keep,
        cut: Cut::Strict,
        members: Members::Path,
        last: Last::SolidWhenProposed,
        drain: Drain::InOrder,
        closed: Closed::Append,
        expired: Expired::KeepPlace,
    };

    /// For logs from a file, that no adversary can grow: nothing is forgotten or refused.
    pub(crate) const UNBOUNDED: Self = Self {
        bounds: Bounds { below_edge: u32::MAX, forget_heights: u64::MAX },
        ..Self::NORMATIVE
    };
}
