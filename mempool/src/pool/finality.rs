//! The own order log, and what final blocks change.

use fairveil_crypto::{BundleId, Height};

use super::admission::last_report;
use super::fetch::Reason;
use super::ids::{Demoted, Entry, Report};
use super::{EmittedBundle, FinalizedBlock, LogEntry, Output, Pool, Step};
use crate::limits::NONCE_HEIGHTS;
use crate::message::BundleMessage;
use crate::receipt::{Place, ReceiptBody};

impl Pool {
    pub(super) fn finalized(&mut self, step: &mut Step, block: FinalizedBlock) {
        if block.height <= self.height {
            return;
        }
        self.height = block.height;
        self.below_edge = block.below_edge;
        self.commit(block.committed);
        if let Some(balances) = &mut self.balances {
            balances.change(&block.balances);
        }
        self.take_duties(step, &block.duty);
        for emitted in &block.emitted {
            self.emitted(step, emitted);
        }
        self.open_windows();
        self.append_ready(step);
        self.forget(step);
    }

    /// Ids that must be reported: those that are held in the order in which they were accepted, then the
    /// others as they are given.
    pub(super) fn take_duties(&mut self, step: &mut Step, ids: &[BundleId]) {
        let mut in_turn = ids.to_vec();
        in_turn.sort_by_key(|id| self.ids.held(id).map_or(u64::MAX, |held| held.acceptance));
        in_turn.iter().for_each(|id| self.take_duty(step, id));
    }

    /// An id that must be reported: now, or as soon as it is held.
    fn take_duty(&mut self, step: &mut Step, id: &BundleId) {
        let height = self.height;
        let entry = self.ids.get_mut(id);
        let stored = entry.as_ref().is_some_and(|entry| entry.stored_bytes.is_some());
        if let Some(entry) = entry {
            if entry.report != Report::No {
                if !entry.emitted {
                    entry.settled_at = Some(height);
                }
                return;
            }
            let gone =
                |settled: Height| height > settled.saturating_add(self.limits.retained_heights);
            if !stored && entry.emitted && entry.settled_at.is_some_and(gone) {
                return;
            }
            if !entry.emitted {
                entry.settled_at = Some(height);
            }
        }
        if stored {
            self.append(step, id);
        } else if self.duty.len() < self.limits.duty_ids || self.duty.contains_key(id) {
            self.duty.insert(*id, height);
            self.fetcher.want(step.now_ms, *id, Reason::Duty, &self.limits);
        }
    }

    fn emitted(&mut self, step: &mut Step, emitted: &EmittedBundle) {
        self.consume(emitted, self.height);
        let id = &emitted.id;
        if let Some(demoted) = self.ids.demote(id) {
            self.release(id, demoted);
        }
        let height = self.height;
        match self.ids.get_mut(id) {
            Some(entry) => {
                entry.emitted = true;
                entry.settled_at = Some(height);
            }
            None => self.ids.insert(*id, emitted_entry(emitted, height)),
        }
        self.ids.recheck(*id, height.saturating_add(self.limits.retained_heights).next());
        self.take_duty(step, id);
    }

    /// Appends to the own log. The bundle is held, verified, persisted and relayed.
    pub(super) fn append(&mut self, step: &mut Step, id: &BundleId) {
        let position = self.next_position;
        let body = self.receipt_body(step, *id, Place::Position(position));
        let Some(entry) = self.ids.get_mut(id) else {
            return;
        };
        if entry.report != Report::No || entry.stored_bytes.is_none() {
            return;
        }
        if entry.held.is_none() && !entry.emitted {
            // Peers that came since it left memory, or since a restart, were not told of it.
            let to: Vec<_> = self.fetcher.connected().iter().copied().collect();
            if !to.is_empty() {
                step.push(Output::Send { to, message: BundleMessage::Announce(vec![*id]) });
            }
        }
        entry.report = Report::Appended;
        let receipt = *entry.receipt.get_or_insert(body);
        self.next_position += 1;
        self.uncommitted.insert(position, *id);
        self.duty.remove(id);
        if let Some(held) = &entry.held {
            let key = (held.bundle.header().valid_from, held.acceptance, *id);
            self.waiting.remove(&key);
            self.ready.remove(&held.acceptance);
        }
        step.push(Output::Append(LogEntry { position, id: *id, receipt }));
    }

    /// Lines an admitted bundle up for the log.
    pub(super) fn queue_report(&mut self, id: &BundleId) {
        let Some(entry) = self.ids.get(id).filter(|entry| entry.report == Report::No) else {
            return;
        };
        let Some(held) = &entry.held else { return };
        let header = held.bundle.header();
        if self.first_report(header) > self.height {
            self.waiting.insert((header.valid_from, held.acceptance, *id));
        } else {
            self.ready.insert(held.acceptance, *id);
        }
    }

    /// Appends what is ready, in the order of acceptance, as far as the log may grow.
    pub(super) fn append_ready(&mut self, step: &mut Step) {
        while let Some((&acceptance, &id)) = self.ready.first_key_value() {
            if self.below_edge as usize + self.uncommitted.len() >= self.limits.unsupported_ids {
                break;
            }
            self.ready.remove(&acceptance);
            let in_time = self.ids.held(&id).is_some_and(|held| {
                last_report(held.bundle.header()).is_some_and(|last| self.height <= last)
            });
            if in_time {
                self.append(step, &id);
            }
        }
    }

    /// The receipt of a held or emitted bundle: made once, stored before it is given.
    pub(super) fn receipt_at(&mut self, step: &mut Step, id: &BundleId) -> Option<ReceiptBody> {
        let body = self.receipt_body(step, *id, Place::Held);
        let entry = self.ids.get_mut(id)?;
        if entry.receipt.is_none() {
            entry.receipt = Some(body);
            step.push(Output::PersistReceipt(body));
        }
        entry.receipt
    }

    fn receipt_body(&self, step: &Step, id: BundleId, place: Place) -> ReceiptBody {
        let (network_id, epoch, height) = (self.network_id, self.epoch, self.height);
        ReceiptBody { network_id, epoch, id, place, height, time_ms: step.now_ms }
    }

    /// Own log entries below this length are in final blocks.
    fn commit(&mut self, committed: u64) {
        let height = self.height;
        while let Some(first) = self.uncommitted.first_entry()
            && *first.key() < committed
        {
            let id = first.remove();
            if let Some(entry) = self.ids.get_mut(&id) {
                entry.report = Report::Committed;
                if !entry.emitted {
                    entry.settled_at = Some(height);
                }
            }
        }
    }

    fn open_windows(&mut self) {
        // Windows of the next height are open: valid_from - 1 <= height.
        let opened = self.height.next();
        while let Some(&(valid_from, acceptance, id)) = self.waiting.first() {
            if valid_from > opened {
                break;
            }
            self.waiting.pop_first();
            self.ready.insert(acceptance, id);
        }
    }

    /// Gives back what a bundle that left memory had taken.
    fn release(&mut self, id: &BundleId, demoted: Demoted) {
        let Demoted { held, payer, bytes } = demoted;
        self.waiting.remove(&(held.bundle.header().valid_from, held.acceptance, *id));
        self.ready.remove(&held.acceptance);
        if let Some(source) = held.charged {
            self.quotas.release(source, payer, bytes);
        }
    }

    pub(super) fn consume(&mut self, emitted: &EmittedBundle, height: Height) {
        let pair = (emitted.payer, emitted.payer_nonce);
        if self.consumed.contains_key(&pair) {
            return;
        }
        self.consumed.insert(pair, (height, emitted.id));
        self.consumed_at.insert((height, pair.0, pair.1));
        while self.consumed_at.len() > self.limits.consumed_nonces {
            self.unconsume_oldest();
        }
    }

    fn unconsume_oldest(&mut self) {
        if let Some((_, payer, payer_nonce)) = self.consumed_at.pop_first() {
            self.consumed.remove(&(payer, payer_nonce));
        }
    }

    /// Lets go of what nobody needs any more.
    fn forget(&mut self, step: &mut Step) {
        for (id, settlement) in self.ids.settle(self.height, self.limits.retained_heights) {
            if let Some(demoted) = settlement.demoted {
                self.release(&id, demoted);
            }
            if settlement.forget {
                step.push(Output::Archive { id });
            }
        }
        let height = self.height;
        let old = |at: Height| at.saturating_add(NONCE_HEIGHTS) < height;
        while self.consumed_at.first().is_some_and(|(at, _, _)| old(*at)) {
            self.unconsume_oldest();
        }
        if self.height.get().is_multiple_of(64) {
            self.end_old_duties(step);
        }
    }

    /// After this long no peer can have the bundle, and the order cannot need it.
    fn end_old_duties(&mut self, step: &Step) {
        let height = self.height;
        let old = |since: &Height| height > since.saturating_add(self.limits.retained_heights);
        let ended: Vec<BundleId> =
            self.duty.iter().filter(|(_, since)| old(since)).map(|(id, _)| *id).collect();
        for id in ended {
            self.duty.remove(&id);
            self.fetcher.end_duty(&id, step.now_ms);
        }
    }
}

fn emitted_entry(emitted: &EmittedBundle, height: Height) -> Entry {
    Entry {
        expires_at: emitted.expires_at,
        payer: emitted.payer,
        payer_nonce: emitted.payer_nonce,
        stored_bytes: None,
        held: None,
        receipt: None,
        report: Report::No,
        emitted: true,
        settled_at: Some(height),
    }
}
