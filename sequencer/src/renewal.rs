//! A resharing as this sequencer takes part in it: what it accepts, and the machine that decides what
//! to post.
//!
//! ```text
//! operator ── offer ──> announced by a block ──> Resharings::take_part ──> Renewal
//!                                                  entries of final blocks ──> │ ──> entries to post
//!                                                                              └──> successor
//! ```
//!
//! # Invariants
//!
//! 1. What a machine wants journalled is durable before anything that it posts later is shown to
//!    anybody.
//! 2. After a restart the machine gets its journal and all agreed entries again.

use std::time::Duration;

use fairveil_consensus::{Resharing, Successor, committee::PublicKey};
use fairveil_crypto::{Digest, Height};

/// What a machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The time of [`Renewal::wake_at`] has come, or the machine begins.
    Wake,
    /// Entries of a final block, in order.
    Agreed {
        /// The block's height.
        height: Height,
        /// The entries.
        entries: Vec<Vec<u8>>,
    },
}

/// What a machine wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this durable before anything after it; it takes the place of what was journalled before.
    Journal(Vec<u8>),
    /// Have this entry agreed.
    Post(Vec<u8>),
    /// The resharing made a key for these.
    Complete(Box<Successor>),
    /// It made none, for this reason; another round may be announced.
    Failed(String),
    /// What has to be kept could not be: this sequencer stops before it promises anything.
    Unkept(String),
}

/// How far a resharing is, as this sequencer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The ceremony.
    pub ceremony: Digest,
    /// The round.
    pub round: u64,
    /// The phase in the operators' words.
    pub phase: &'static str,
    /// Names of those whom the phase waits for, or who were missing when it failed.
    pub missing: Vec<String>,
    /// The time until this member votes to close the phase.
    pub left: Option<Duration>,
}

/// One sequencer's part in a resharing: a machine without clock, disk and network.
pub trait Renewal: Send {
    /// What follows from an input at this time.
    fn handle(&mut self, now: Duration, input: Input) -> Vec<Output>;

    /// When to call with [`Input::Wake`] at the latest.
    fn wake_at(&self) -> Option<Duration>;

    /// Whether these bytes are an entry of the ceremony, of this member's.
    fn is_of(&self, author: &PublicKey, entry: &[u8]) -> bool;

    /// How far it is.
    fn progress(&self, now: Duration) -> Progress;
}

/// What this sequencer knows of approved definitions, and the keys that it takes part with.
pub trait Resharings: Send + Sync {
    /// Whether the definition is approved for the epoch that follows, and the ceremony is of it.
    fn accepts(&self, resharing: &Resharing) -> bool;

    /// This sequencer's machine; from its journal if it has one, else with fresh random bytes.
    ///
    /// # Errors
    ///
    /// Why it can't take part.
    fn take_part(
        &self,
        resharing: &Resharing,
        journal: Option<Vec<u8>>,
        random: [u8; 32],
    ) -> Result<Box<dyn Renewal>, String>;
}

/// Nothing is accepted: the committee stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoResharings;

impl Resharings for NoResharings {
    fn accepts(&self, _: &Resharing) -> bool {
        false
    }

    fn take_part(
        &self,
        _: &Resharing,
        _: Option<Vec<u8>>,
        _: [u8; 32],
    ) -> Result<Box<dyn Renewal>, String> {
        Err("this sequencer knows of no definition".into())
    }
}
