//! A sequencer that was restored from a backup signs nothing until the network is beyond everything
//! that the original may have signed.
//!
//! # What the original may have signed since the backup
//!
//! The database and the engine's journal are the record of what a sequencer signed. A copy of them is a
//! prefix: the original may have gone on for any time, and then it was lost.
//!
//! | signed | what contradicts it | from when on it can't be contradicted |
//! |---|---|---|
//! | votes, in views after the journal's last | another vote in the same view | the finalization of a later view than any that the original saw is stored, and the engine begins above it |
//! | log heads, over positions after the log's last | a head of the same length over other entries | final blocks contain every head that an honest member knows; the log goes on from there |
//! | receipts for such positions | another id at the position | as above |
//! | decryption shares, release roots (votes) | nothing: they follow from final orders | |
//!
//! # The rule
//!
//! 1. While it abstains the engine follows (`Voting::Follows`): it executes and stores what the others
//!    finalize, without a vote. No log head, receipt or share is signed; submissions are rejected as
//!    `syncing`; the pool's new entries are dropped and appended after the end.
//! 2. The *horizon* is the first final block whose committed time is [`MARGIN_MS`] later than this
//!    machine's clock at the first start after the restore. Its quorum voted after that start, so after
//!    the original's end; at least one honest voter had followed the original's newest view by then, and
//!    nobody votes in a view below its own: the horizon's view is at least the original's last but one.
//! 3. It ends with the first final height that is [`QUIET_HEIGHTS`] above the horizon and not below the
//!    operator's height, once a finalization of a view [`QUIET_VIEWS`] above the horizon's is stored:
//!    since the horizon every honest member led and put the newest head that it knows into a block. A
//!    block after which nothing of the own log may be taken (the intake is stopped, or the log is full),
//!    or which took entries of it, is a new horizon: there may be more. After the end the engine begins
//!    above the newest stored finalization, at every start
//!    (`Voting::VotesAbove`): what it has in its old journal is below.
//! 4. Meanwhile the entries of the own log that final blocks contain are taken over into the database: it
//!    goes on where the original's log ends. Entries that contradict stored ones stop the sequencer.
//! 5. A vote or a log head of the own key that is newer than the first start shows that another instance
//!    runs with the same keys. This one stops, and has signed nothing.
//!
//! What remains: clocks that differ by more than [`MARGIN_MS`] (`fairveil check` looks at that), and a
//! head that the original showed to liars alone before it was lost. Whoever wants to be sure of that too
//! gives a height at which a new epoch has begun: logs start anew with it.
//!
//! # Invariants
//!
//! 1. It is durable before anything else happens, and survives restarts. Another restore, which has another
//!    number, begins it anew, whatever the backup says of an earlier one.
//! 2. Its end is durable before the sequencer is started as one that signs.

use fairveil_consensus::Voting;
use fairveil_crypto::{Height, SequencerIndex, View, certificate::OrderCertificate, encoding};
use fairveil_ordering::Fragment;
use serde::{Deserialize, Serialize};

use crate::{
    handle::decoded,
    store::{Store, StoreError, Table, Write},
};

/// How much clocks may differ, in milliseconds.
pub const MARGIN_MS: u64 = 10_000;
/// Heights after the horizon for which it is listened.
pub const QUIET_HEIGHTS: u64 = 64;
/// Views after the horizon's of which a finalization must be stored.
pub const QUIET_VIEWS: u64 = 32;

const KEY: &[u8] = b"abstention";
const MAX_BYTES: usize = 64;

const _: () = assert!(QUIET_HEIGHTS >= fairveil_ordering::FRESH_HEIGHTS + QUIET_VIEWS);

/// What a restored sequencer is started with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Which restore: a random number.
    pub id: u64,
    /// It signs nothing below this height, whatever else it sees.
    pub until: Height,
}

/// Why a restored sequencer stops for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherInstance {
    /// A vote of the own key.
    #[error(
        "another instance runs with this keystore: it voted for height {height}, after this one was \
         started from a backup; this one signed nothing"
    )]
    Voted {
        /// The height that is final with the vote.
        height: Height,
    },
    /// A log head of the own key.
    #[error(
        "another instance runs with this keystore: the block of height {height} has a head of its log, \
         signed after this one was started from a backup; this one signed nothing"
    )]
    Logged {
        /// The block's height.
        height: Height,
    },
    /// The own log in a block is another than the stored one.
    #[error(
        "the block of height {height} has another entry at position {position} of this sequencer's log \
         than the restored database: this is no backup of the sequencer that ran"
    )]
    OtherLog {
        /// The block's height.
        height: Height,
        /// The position.
        position: u64,
    },
}

/// Where an abstention stands, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Abstention {
    /// Which restore.
    id: u64,
    /// This machine's clock at the first start after the restore.
    started_ms: u64,
    /// The operator's height.
    until: Height,
    /// Height and view of the horizon, once it is final.
    horizon: Option<(Height, View)>,
    /// Whether it signs again.
    over: bool,
}

/// What a final block shows of a sequencer that abstains.
pub(crate) struct Shown<'a> {
    pub(crate) certificate: &'a OrderCertificate,
    /// The own fragment in the block's evidence.
    pub(crate) own: Option<&'a Fragment>,
    pub(crate) intake: fairveil_consensus::Intake,
    /// Whether the own log is not extended for now.
    pub(crate) full: bool,
}

/// What follows from a final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing new.
    Goes,
    /// The horizon is final: to be stored.
    Horizon,
    /// The horizon is another one: the own log was held back, or has gone on.
    Later,
    /// The network is beyond everything that the original signed.
    Over,
}

impl Abstention {
    /// The stored abstention, or a new one, durable, if the data folder was restored.
    pub(crate) fn open(
        store: &Store,
        restored: Option<Restored>,
        now_ms: u64,
    ) -> Result<Option<Self>, StoreError> {
        let stored = store.get(Table::Meta, KEY)?;
        let stored: Option<Self> =
            stored.map(|bytes| decoded(Table::Meta, &bytes, MAX_BYTES)).transpose()?;
        let Some(Restored { id, until }) = restored else { return Ok(stored) };
        if stored.is_some_and(|stored| stored.id == id) {
            return Ok(stored);
        }
        let new = Self { id, started_ms: now_ms, until, horizon: None, over: false };
        store.commit(&[new.write()])?;
        Ok(Some(new))
    }

    /// Stores where it stands.
    pub(crate) fn write(&self) -> Write {
        Write::put(Table::Meta, KEY, encoding::encode(self))
    }

    /// How the engine is started.
    pub(crate) fn voting(&self) -> Voting {
        match self.horizon {
            Some((_, view)) if self.over => {
                Voting::VotesAbove(View::new(view.get().saturating_add(QUIET_VIEWS)))
            }
            _ => Voting::Follows,
        }
    }

    /// While nothing may be signed.
    pub(crate) fn going_on(self) -> Option<Self> {
        (!self.over).then_some(self)
    }

    /// A block is final.
    pub(crate) fn finalized(
        &mut self,
        own: SequencerIndex,
        shown: &Shown<'_>,
    ) -> Result<Verdict, OtherInstance> {
        let Some((newest, block)) =
            shown.certificate.headers.first().zip(shown.certificate.headers.last())
        else {
            return Ok(Verdict::Goes);
        };
        let after_ms = self.started_ms.saturating_add(MARGIN_MS);
        let height = block.height;
        if newest.time_ms > after_ms && shown.certificate.finalization.signers.contains(&own) {
            return Err(OtherInstance::Voted { height: newest.height });
        }
        if shown.own.is_some_and(|fragment| fragment.head.time_ms > after_ms) {
            return Err(OtherInstance::Logged { height });
        }
        let Some((horizon, view)) = self.horizon else {
            if block.time_ms > after_ms {
                self.horizon = Some((height, block.view));
                return Ok(Verdict::Horizon);
            }
            return Ok(Verdict::Goes);
        };
        let held_back = shown.intake != fairveil_consensus::Intake::Open || shown.full;
        if held_back || shown.own.is_some_and(|fragment| !fragment.ids.is_empty()) {
            self.horizon = Some((height, block.view));
            return Ok(Verdict::Later);
        }
        let stored = shown.certificate.finalization.view;
        self.over = height >= horizon.saturating_add(QUIET_HEIGHTS)
            && height >= self.until
            && stored.get() >= view.get().saturating_add(QUIET_VIEWS);
        Ok(if self.over { Verdict::Over } else { Verdict::Goes })
    }

    /// In words, for people.
    pub(crate) fn state(&self) -> String {
        let until = match self.until {
            Height::ZERO => String::new(),
            height => format!(", not below height {height}"),
        };
        match self.horizon {
            None => format!(
                "restored from a backup: signs nothing until a final block is {MARGIN_MS} ms newer than \
                 its first start, and then for {QUIET_HEIGHTS} heights{until}"
            ),
            Some((horizon, _)) => {
                let height = horizon.saturating_add(QUIET_HEIGHTS).max(self.until);
                format!("restored from a backup: signs nothing before height {height}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
