//! Everything that is remembered by id: held bundles, and emitted or expired ones.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::envelope::{Payer, VerifiedBundle};
use fairveil_crypto::{BundleId, Height};

use super::quota::Source;
use crate::receipt::ReceiptBody;

/// What is known of one id.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) expires_at: Height,
    pub(crate) payer: Payer,
    pub(crate) payer_nonce: u64,
    /// Bytes of the sealed bundle while it is in the store.
    pub(crate) stored_bytes: Option<u64>,
    /// The bundle in memory, from its verification until it is emitted or expired.
    pub(crate) held: Option<Held>,
    /// The one receipt that is given for it.
    pub(crate) receipt: Option<ReceiptBody>,
    pub(crate) report: Report,
    pub(crate) emitted: bool,
    /// The last height at which something happened that others may catch up with.
    pub(crate) settled_at: Option<Height>,
}

/// A bundle in memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bundle: VerifiedBundle,
    /// Its rank among all that were held.
    pub(crate) acceptance: u64,
    /// Who is charged for it; nobody if duty made this sequencer hold it.
    pub(crate) charged: Option<Source>,
}

impl Held {
    /// What its payer pays for.
    fn plaintext_bytes(&self) -> u64 {
        self.bundle.header().class.plaintext_bytes() as u64
    }
}

/// Whether an id stands in the own order log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It does not.
    No,
    /// It does, at a position that no final block contains yet.
    Appended,
    /// It does, at a position that a final block contains.
    Committed,
}

/// What became of an entry when its time had come.
#[derive(Debug)]
pub(crate) struct Settlement {
    /// The bundle that left memory, because its window closed.
    pub(crate) demoted: Option<Demoted>,
    /// The pool does not need the stored bytes any more.
    pub(crate) forget: bool,
}

/// A bundle that left memory.
#[derive(Debug)]
pub(crate) struct Demoted {
    pub(crate) held: Held,
    pub(crate) payer: Payer,
    pub(crate) bytes: u64,
}

/// All entries, with an index of when each is looked at again.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    entries: BTreeMap<BundleId, Entry>,
    held: BTreeMap<u64, BundleId>,
    held_bytes: u64,
    /// Plaintext bytes of the bundles in memory, by payer.
    plaintext_bytes: BTreeMap<Payer, u64>,
    by_nonce: BTreeSet<(Payer, u64, BundleId)>,
    checks: BTreeSet<(Height, BundleId)>,
}

/// Heights until an entry that must still be kept is looked at again.
const RECHECK_HEIGHTS: u64 = 64;

impl Ids {
    pub(crate) fn get(&self, id: &BundleId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &BundleId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    pub(crate) fn held(&self, id: &BundleId) -> Option<&Held> {
        self.entries.get(id)?.held.as_ref()
    }

    /// The ids of the bundles in memory, in the order of acceptance.
    pub(crate) fn held_in_order(&self) -> impl Iterator<Item = BundleId> {
        self.held.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the bundles in memory.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Plaintext bytes of this payer's bundles in memory, `id` not counted.
    pub(crate) fn plaintext_bytes(&self, payer: &Payer, id: &BundleId) -> u64 {
        let all = self.plaintext_bytes.get(payer).copied().unwrap_or(0);
        let own = self.held(id).filter(|held| held.bundle.header().payer == *payer);
        all.saturating_sub(own.map_or(0, Held::plaintext_bytes))
    }

    /// Adds an entry; an existing one, of a bundle that is not in memory, is replaced.
    pub(crate) fn insert(&mut self, id: BundleId, entry: Entry) {
        if let Some(held) = &entry.held {
            self.held.insert(held.acceptance, id);
            self.held_bytes += entry.stored_bytes.unwrap_or(0);
            *self.plaintext_bytes.entry(entry.payer).or_default() += held.plaintext_bytes();
            self.by_nonce.insert((entry.payer, entry.payer_nonce, id));
        }
        self.checks.insert((entry.expires_at.next(), id));
        self.entries.insert(id, entry);
    }

    /// Another held id with this pair.
    pub(crate) fn nonce_holder(
        &self,
        payer: Payer,
        payer_nonce: u64,
        id: &BundleId,
    ) -> Option<BundleId> {
        let (first, last) = (BundleId::from_bytes([0; 32]), BundleId::from_bytes([0xff; 32]));
        self.by_nonce
            .range((payer, payer_nonce, first)..=(payer, payer_nonce, last))
            .map(|(_, _, other)| *other)
            .find(|other| other != id)
    }

    /// Takes the bundle out of memory, because it was emitted or has expired.
    pub(crate) fn demote(&mut self, id: &BundleId) -> Option<Demoted> {
        let entry = self.entries.get_mut(id)?;
        let held = entry.held.take()?;
        self.held.remove(&held.acceptance);
        self.by_nonce.remove(&(entry.payer, entry.payer_nonce, *id));
        self.held_bytes -= entry.stored_bytes.unwrap_or(0);
        if let Some(bytes) = self.plaintext_bytes.get_mut(&entry.payer) {
            *bytes -= held.plaintext_bytes();
            if *bytes == 0 {
                self.plaintext_bytes.remove(&entry.payer);
            }
        }
        Some(Demoted { held, payer: entry.payer, bytes: entry.stored_bytes.unwrap_or(0) })
    }

    /// Looks at the entries whose time has come.
    pub(crate) fn settle(&mut self, height: Height, retained: u64) -> Vec<(BundleId, Settlement)> {
        let mut settlements = Vec::new();
        while let Some(&(due, id)) = self.checks.first() {
            if due > height {
                break;
            }
            self.checks.pop_first();
            if let Some(settlement) = self.settle_one(height, retained, id) {
                settlements.push((id, settlement));
            }
        }
        settlements
    }

    fn settle_one(&mut self, height: Height, retained: u64, id: BundleId) -> Option<Settlement> {
        let expired = height > self.entries.get(&id)?.expires_at;
        let demoted = if expired { self.demote(&id) } else { None };
        let entry = self.entries.get_mut(&id)?;
        // Until a final block contains the own report, others may need the bundle for it.
        let waits = entry.report == Report::Appended && !entry.emitted;
        let settled = entry.settled_at.map(|at| at.saturating_add(retained));
        let stored_until = match settled {
            Some(until) if entry.emitted => until,
            Some(until) => until.max(entry.expires_at),
            None => entry.expires_at,
        };
        let forget = entry.stored_bytes.is_some() && !waits && height > stored_until;
        if forget {
            entry.stored_bytes = None;
        }
        // What stands in the own log, or is ordered, must not be appended again.
        let remembered_until = match (entry.report, entry.emitted) {
            (Report::No, false) => entry.expires_at,
            _ => entry.expires_at.saturating_add(retained),
        };
        let next = match entry.stored_bytes {
            _ if entry.held.is_some() => Some(entry.expires_at.next()),
            _ if waits => Some(height.saturating_add(RECHECK_HEIGHTS)),
            Some(_) => Some(stored_until.max(height).next()),
            None if height <= remembered_until => Some(remembered_until.next()),
            None => None,
        };
        match next {
            Some(next) => {
                self.checks.insert((next, id));
            }
            None => {
                self.entries.remove(&id);
            }
        }
        (demoted.is_some() || forget).then_some(Settlement { demoted, forget })
    }

    /// Schedules a look at an entry that changed, at the latest when its bytes may go.
    pub(crate) fn recheck(&mut self, id: BundleId, at: Height) {
        self.checks.insert((at, id));
    }
}
