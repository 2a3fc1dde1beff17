//! The pool after a restart, from what was stored.
//!
//! Stored bundles are judged again, on all threads: id and signature of each, and the proof of those
//! that are still to be ordered. A damaged store is noticed before anything is signed. What was
//! persisted and not reported when the process died is reported now; receipts are the same.
//!
//! An epoch that begins goes the same way: its log is empty, begins with what the last epoch did not
//! propose, and goes on with what is held, in the order of acceptance; receipts of the last epoch
//! speak of another log.

use fairveil_crypto::envelope::{EnvelopeError, Header, ParsedBundle, Payer, VerifiedBundle};
use fairveil_crypto::{BundleId, Height};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::ids::{Entry, Held, Report};
use super::{EmittedBundle, LimitsError, LogEntry, Output, Pool, PoolConfig, Step, StoredBundle};
use crate::limits::HORIZON_HEIGHTS;
use crate::receipt::ReceiptBody;

/// Everything that a pool continues from.
#[derive(Debug, Default)]
pub struct Restored {
    /// The last final height.
    pub height: Height,
    /// The bundles in the store, by rank.
    pub bundles: Vec<RestoredBundle>,
    /// The entries of the own log whose ids may come again: at least those that no final block
    /// contains and those whose windows are open; consecutive, the last is the log's last.
    pub log: Vec<LogEntry>,
    /// Entries of the own log, all of them.
    pub log_length: u64,
    /// Of these, entries that final blocks contain.
    pub committed: u64,
    /// Of the latter, live ids that stand in fewer than T logs.
    pub below_edge: u32,
    /// Emitted bundles whose windows or nonces are remembered, with the heights of their blocks.
    pub emitted: Vec<(EmittedBundle, Height)>,
    /// Where the log is that of an epoch that begins: the ids that it begins with, of those that are
    /// held, in this order.
    pub first: Vec<BundleId>,
    /// All ids that must be reported.
    pub duty: Vec<BundleId>,
    /// The balances that blocks have changed so far, where bundles are charged.
    pub balances: Vec<(Payer, u128)>,
}

/// A bundle from the store.
#[derive(Clone, Debug)]
pub struct RestoredBundle {
    /// As it was stored.
    pub stored: StoredBundle,
    /// The receipt that was stored for it, if it was held back.
    pub receipt: Option<ReceiptBody>,
}

/// A store that a pool cannot continue from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The limits contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// A stored bundle is not valid any more.
    #[error("stored bundle {id} is damaged: {fault}")]
    Bundle {
        /// Under which id it was stored.
        id: BundleId,
        /// The rule that it breaks.
        fault: EnvelopeError,
    },
    /// A stored bundle has another id.
    #[error("the bundle stored as {expected} is {actual}")]
    Id {
        /// Its id.
        actual: BundleId,
        /// Under which id it was stored.
        expected: BundleId,
    },
    /// Entries of the log are missing.
    #[error("the stored log has position {actual}, {expected} is expected")]
    Log {
        /// The position that was found.
        actual: u64,
        /// The position that is next.
        expected: u64,
    },
    /// The log is shorter than what final blocks contain of it: the store is older than the chain,
    /// and a log that went on from here would contradict what this sequencer signed.
    #[error("the stored log has {actual} entries, final blocks contain {expected}")]
    OldLog {
        /// Entries of the stored log.
        actual: u64,
        /// Entries in final blocks.
        expected: u64,
    },
}

/// A stored bundle that is what it was stored as.
struct Judged {
    header: Header,
    /// Verified, if it is still to be ordered.
    bundle: Option<VerifiedBundle>,
}

impl Pool {
    /// The pool as it was, on `threads` for the verification of what it holds; with what is to be
    /// done at once.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]: nothing may be signed then.
    pub fn restore(
        config: PoolConfig,
        restored: Restored,
        now_ms: u64,
        threads: &ThreadPool,
    ) -> Result<(Self, Vec<Output>), RestoreError> {
        check_log(&restored)?;
        let mut pool = Self::new(config)?;
        let Restored { height, bundles, log, log_length, committed, .. } = restored;
        let Restored { below_edge, emitted, first, duty, balances, .. } = restored;
        if let Some(known) = &mut pool.balances {
            known.change(&balances);
        }
        (pool.height, pool.below_edge, pool.next_position) = (height, below_edge, log_length);
        for (bundle, at) in &emitted {
            pool.restore_emitted(bundle, *at);
        }
        let judge = |bundle: &RestoredBundle| pool.judge_restored(bundle);
        let judged: Vec<Judged> = threads
            .install(|| bundles.par_iter().map(judge).collect::<Result<_, RestoreError>>())?;
        for (bundle, judged) in bundles.into_iter().zip(judged) {
            pool.restore_bundle(bundle, judged);
        }
        for entry in &log {
            pool.restore_entry(entry, committed);
        }
        let unreported: Vec<BundleId> = pool.ids.held_in_order().collect();
        for id in &unreported {
            if pool.ids.held(id).is_some_and(|held| held.charged.is_some()) {
                pool.queue_report(id);
            }
        }
        let mut step = Step { now_ms, outputs: Vec::new() };
        for id in first.iter().filter(|_| log_length == 0) {
            if pool.ids.get(id).is_some_and(|entry| entry.expires_at > height) {
                pool.append(&mut step, id);
            }
        }
        pool.take_duties(&mut step, &duty);
        pool.append_ready(&mut step);
        Ok((pool, step.outputs))
    }

    fn restore_emitted(&mut self, bundle: &EmittedBundle, at: Height) {
        let entry = Entry {
            expires_at: bundle.expires_at,
            payer: bundle.payer,
            payer_nonce: bundle.payer_nonce,
            stored_bytes: None,
            held: None,
            receipt: None,
            report: Report::No,
            emitted: true,
            settled_at: Some(at),
        };
        self.consume(bundle, at);
        self.ids.insert(bundle.id, entry);
    }

    fn judge_restored(&self, restored: &RestoredBundle) -> Result<Judged, RestoreError> {
        let StoredBundle { id, sealed, .. } = &restored.stored;
        let fault = |fault| RestoreError::Bundle { id: *id, fault };
        let parsed = ParsedBundle::decode(sealed).map_err(fault)?;
        if parsed.id() != *id {
            return Err(RestoreError::Id { actual: parsed.id(), expected: *id });
        }
        let header = *parsed.header();
        let emitted = self.ids.get(id).is_some_and(|entry| entry.emitted);
        let open = !emitted && self.height <= header.expires_at;
        let bundle = if open {
            Some(self.verifier.verify(parsed).map_err(fault)?)
        } else {
            parsed.verify_signature().map_err(fault)?;
            None
        };
        Ok(Judged { header, bundle })
    }

    fn restore_bundle(&mut self, restored: RestoredBundle, judged: Judged) {
        let RestoredBundle { stored, receipt } = restored;
        let StoredBundle { id, acceptance, charged, sealed } = stored;
        let Judged { header, bundle } = judged;
        let bytes = sealed.len() as u64;
        self.next_acceptance = self.next_acceptance.max(acceptance.saturating_add(1));
        let known = self.ids.get(&id);
        let emitted = known.is_some_and(|entry| entry.emitted);
        let settled_at = known.and_then(|entry| entry.settled_at);
        // What became of a closed one is not known: it is kept as long as anybody could fetch it.
        let settled_at = settled_at.or(bundle.is_none().then_some(self.height));
        let in_memory = charged.is_some() || self.duty_has_room(bytes);
        let bundle = bundle.filter(|_| in_memory);
        let held = bundle.map(|bundle| Held { bundle, acceptance, charged });
        if let (Some(_), Some(source)) = (&held, charged) {
            self.quotas.charge(source, header.payer, bytes);
        }
        let entry = Entry {
            expires_at: header.expires_at,
            payer: header.payer,
            payer_nonce: header.payer_nonce,
            stored_bytes: Some(bytes),
            held,
            receipt,
            report: Report::No,
            emitted,
            settled_at,
        };
        self.ids.insert(id, entry);
        self.ids.recheck(id, self.height.next());
    }

    fn restore_entry(&mut self, logged: &LogEntry, committed: u64) {
        let report = if logged.position < committed { Report::Committed } else { Report::Appended };
        if report == Report::Appended {
            self.uncommitted.insert(logged.position, logged.id);
        }
        let height = self.height;
        if let Some(entry) = self.ids.get_mut(&logged.id) {
            entry.report = report;
            entry.receipt = Some(logged.receipt);
            entry.settled_at.get_or_insert(height);
            return;
        }
        // Its bundle is gone; the id must not be appended again while its window may be open.
        let entry = Entry {
            expires_at: height.saturating_add(HORIZON_HEIGHTS),
            payer: Payer::from_bytes([0; 20]),
            payer_nonce: 0,
            stored_bytes: None,
            held: None,
            receipt: Some(logged.receipt),
            report,
            emitted: false,
            settled_at: Some(height),
        };
        self.ids.insert(logged.id, entry);
    }
}

fn check_log(restored: &Restored) -> Result<(), RestoreError> {
    let Restored { log, log_length, committed, .. } = restored;
    if log_length < committed {
        return Err(RestoreError::OldLog { actual: *log_length, expected: *committed });
    }
    let kept = log.len() as u64;
    let first = log_length
        .checked_sub(kept)
        .ok_or(RestoreError::Log { actual: *log_length, expected: kept })?;
    if first > *committed {
        return Err(RestoreError::Log { actual: first, expected: *committed });
    }
    match (first..).zip(log).find(|(expected, entry)| entry.position != *expected) {
        Some((expected, entry)) => Err(RestoreError::Log { actual: entry.position, expected }),
        None => Ok(()),
    }
}
