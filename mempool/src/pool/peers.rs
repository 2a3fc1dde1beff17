//! What peers say and ask, and what they are told.

use fairveil_crypto::{BundleId, SequencerIndex};

use super::fetch::Reason;
use super::{Output, Pool, Step};
use crate::message::{BundleMessage, MESSAGE_IDS};

/// What a bundle that the pool does not keep is taken to weigh, in bytes.
const OLD_BYTES: u64 = 8 << 10;

impl Pool {
    pub(super) fn received(
        &mut self,
        step: &mut Step,
        peer: SequencerIndex,
        message: BundleMessage,
    ) {
        match message {
            BundleMessage::Relay(bytes) => self.relayed(step, peer, &bytes),
            BundleMessage::Announce(ids) => self.announced(step, peer, &ids),
            BundleMessage::Fetch(ids) => self.serve(step, peer, &ids),
            BundleMessage::Absent(ids) => {
                for id in ids.iter().take(MESSAGE_IDS) {
                    self.fetcher.absent(step.now_ms, peer, id);
                }
            }
        }
    }

    /// A proposal waits for these, or an order is to be opened: fetched whatever the limits say.
    pub(super) fn needed(&mut self, step: &Step, ids: Vec<BundleId>) {
        let until_ms = step.now_ms.saturating_add(self.limits.needed_ms);
        for id in ids.into_iter().take(self.limits.needed_ids) {
            if self.ids.get(&id).is_none_or(|entry| entry.stored_bytes.is_none()) {
                self.fetcher.want(step.now_ms, id, Reason::Needed { until_ms }, &self.limits);
            }
        }
    }

    /// A peer came (back): it learns what is held and not yet ordered.
    pub(super) fn peer_connected(&mut self, step: &mut Step, peer: SequencerIndex) {
        if peer == self.sequencer {
            return;
        }
        self.fetcher.connect(step.now_ms, peer);
        let held: Vec<BundleId> = self.ids.held_in_order().collect();
        for ids in held.chunks(MESSAGE_IDS) {
            let message = BundleMessage::Announce(ids.to_vec());
            step.push(Output::Send { to: vec![peer], message });
        }
    }

    pub(super) fn send_announcements(&mut self, step: &mut Step) {
        for (peer, ids) in std::mem::take(&mut self.announcements) {
            for ids in ids.chunks(MESSAGE_IDS) {
                let message = BundleMessage::Announce(ids.to_vec());
                step.push(Output::Send { to: vec![peer], message });
            }
        }
    }

    fn announced(&mut self, step: &Step, peer: SequencerIndex, ids: &[BundleId]) {
        for id in ids.iter().take(MESSAGE_IDS) {
            let entry = self.ids.get(id);
            let known = entry.is_some_and(|entry| entry.stored_bytes.is_some() || entry.emitted);
            if !known || self.fetcher.is_required(id) {
                self.fetcher.announced(step.now_ms, peer, *id, &self.limits);
            }
        }
    }

    fn serve(&mut self, step: &mut Step, peer: SequencerIndex, ids: &[BundleId]) {
        let mut old = Vec::new();
        for id in ids.iter().take(MESSAGE_IDS) {
            let stored = self.ids.get(id).and_then(|entry| entry.stored_bytes);
            // Who asks for too much at once is not answered, and asks somebody else.
            if self.served.take(step.now_ms, peer, stored.unwrap_or(OLD_BYTES)).is_err() {
                self.unserved += 1;
                continue;
            }
            if stored.is_none() {
                old.push(*id);
                continue;
            }
            match self.ids.held(id) {
                Some(held) => {
                    let message = BundleMessage::Relay(held.bundle.sealed().encode());
                    step.push(Output::Send { to: vec![peer], message });
                }
                None => step.push(Output::Serve { to: peer, id: *id }),
            }
        }
        if !old.is_empty() {
            step.push(Output::ServeOld { to: peer, ids: old });
        }
    }
}
