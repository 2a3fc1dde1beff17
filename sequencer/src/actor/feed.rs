//! The entries of the newest resharing, for those who join with the next epoch.
//!
//! 1. A guest has a bounded number of entries agreed in one ceremony, each authentic and its own
//!    concern: nobody's room on the chain is used up by strangers.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{Digest, encoding};
use fairveil_release::{
    feed::{FeedEntries, FeedMessage, MAX_ENTRIES, MAX_ENTRIES_BYTES},
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;

use super::{Actor, Lane, StopReason};
use crate::{
    handle::decoded,
    outbox::Effect,
    store::{Table, Write},
};

/// Which resharing the stored entries are of.
const NEWEST: &[u8] = b"resharing-newest";
/// Entries that one guest may have agreed in one ceremony: acknowledgements of up to 128 dealings,
/// complaints, a confirmation.
const MAX_GUEST_ENTRIES: u32 = 300;
/// Guests that are counted: more peers than two committees have.
const MAX_GUESTS: usize = 256;
/// Longest stored block of entries.
const MAX_STORED_BYTES: usize = 2 << 20;

/// The newest resharing and its agreed entries.
#[derive(Default)]
pub(crate) struct Feed {
    newest: Option<(Digest, u64)>,
    entries: Vec<Vec<u8>>,
    guests: BTreeMap<PublicKey, u32>,
}

impl Feed {
    /// At most so many entries and bytes from this number on.
    fn part(&self, from: u32) -> FeedMessage {
        let Some((ceremony, round)) = self.newest else { return FeedMessage::None };
        let mut bytes = 0;
        let rest = self.entries.iter().skip(from as usize).take(MAX_ENTRIES);
        let fitting = rest.take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.len();
            first || bytes <= MAX_ENTRIES_BYTES
        });
        let entries = fitting.cloned().collect();
        FeedMessage::Entries(FeedEntries { ceremony, round, from, entries })
    }

    /// Whether a guest may have one more entry agreed.
    fn admits(&mut self, guest: &PublicKey) -> bool {
        if self.guests.len() >= MAX_GUESTS && !self.guests.contains_key(guest) {
            return false;
        }
        let count = self.guests.entry(guest.clone()).or_default();
        *count += 1;
        *count <= MAX_GUEST_ENTRIES
    }
}

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// After a start: what the database has of the newest resharing, also of the epoch before.
    pub(crate) fn resume_feed(&mut self) -> Result<(), StopReason> {
        let Some(bytes) = self.store.get(Table::Meta, NEWEST)? else { return Ok(()) };
        self.feed.newest = Some(decoded(Table::Meta, &bytes, MAX_STORED_BYTES)?);
        for (_, value) in self.store.range(Table::Entries, &[], usize::MAX)? {
            let entries: Vec<Vec<u8>> = decoded(Table::Entries, &value, MAX_STORED_BYTES)?;
            self.feed.entries.extend(entries);
        }
        Ok(())
    }

    /// A resharing is announced: its feed begins.
    pub(super) fn begin_feed(&mut self, ceremony: Digest, round: u64) {
        self.feed = Feed { newest: Some((ceremony, round)), ..Feed::default() };
        let value = encoding::encode(&(ceremony, round));
        self.outbox.write(Write::put(Table::Meta, NEWEST, value));
    }

    /// Entries are agreed.
    pub(super) fn extend_feed(&mut self, entries: &[Vec<u8>]) {
        self.feed.entries.extend_from_slice(entries);
    }

    /// A peer asks for entries, or wants one agreed.
    pub(super) fn feed_message(
        &mut self,
        peer: &PublicKey,
        message: FeedMessage,
    ) -> Result<(), StopReason> {
        if !self.served.grant(peer) {
            self.count("feed_requests_refused", 1);
            return Ok(());
        }
        match message {
            FeedMessage::Ask { from } => {
                let bytes = OpeningMessage::Feed(self.feed.part(from)).encode();
                self.send_to(Lane::Shares, vec![peer.clone()], bytes);
            }
            FeedMessage::Post { ceremony, entry } => {
                let open = self.feed.newest.is_some_and(|(newest, _)| newest == ceremony);
                let known = self.feed.entries.contains(&entry);
                let now = self.renewal_time();
                let authentic = self.renewal.as_ref().is_some_and(|machine| {
                    machine.progress(now).ceremony == ceremony && machine.is_authentic(&entry)
                });
                if open && !known && authentic && self.feed.admits(peer) {
                    self.outbox.then(Effect::Post(entry));
                }
            }
            FeedMessage::Entries(_) | FeedMessage::None => {}
        }
        Ok(())
    }
}
