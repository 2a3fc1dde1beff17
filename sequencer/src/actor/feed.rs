//! The entries of the newest resharing, for those who join with the next epoch, and for members that
//! missed it: they are kept until the next one is announced.
//!
//! 1. Only who joins has entries agreed by others, each of them its own and no more than
//!    `MAX_GUEST_ENTRIES` in one ceremony: nobody's room on the chain is used up by others. Members
//!    propose their own.

use std::collections::{BTreeMap, BTreeSet};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::{Resharing, entries::entry_digest};
use fairveil_crypto::{Digest, Epoch, Height, encoding};
use fairveil_release::{
    feed::{FeedAnnouncement, FeedEntries, FeedMessage, MAX_ENTRIES, MAX_ENTRIES_BYTES},
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;

use super::{Actor, Lane, StopReason};
use crate::{
    handle::decoded,
    outbox::Effect,
    record::height_key,
    store::{Table, Write},
};

/// Which resharing the stored entries are of.
pub(crate) const NEWEST: &[u8] = b"resharing-newest";
/// Entries that one guest may have agreed in one ceremony: acknowledgements of up to 128 dealings,
/// complaints, a confirmation.
const MAX_GUEST_ENTRIES: usize = 300;
/// Guests that are counted: more peers than two committees have.
const MAX_GUESTS: usize = 256;
/// Longest stored block of entries.
const MAX_STORED_BYTES: usize = 2 << 20;

/// The newest resharing and its agreed entries.
#[derive(Default)]
pub(crate) struct Feed {
    /// With the epoch that it makes, and the height of its announcement.
    newest: Option<(Epoch, Height, Resharing)>,
    entries: Vec<Vec<u8>>,
    /// What guests posted.
    guests: BTreeMap<PublicKey, BTreeSet<Digest>>,
}

impl Feed {
    /// At most so many entries and bytes from this number on.
    fn part(&self, from: u32) -> FeedMessage {
        let Some((epoch, _, newest)) = &self.newest else { return FeedMessage::None };
        let mut bytes = 0;
        let rest = self.entries.iter().skip(from as usize).take(MAX_ENTRIES);
        let fitting = rest.take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.len();
            first || bytes <= MAX_ENTRIES_BYTES
        });
        let entries = fitting.cloned().collect();
        let (epoch, ceremony, round) = (*epoch, newest.ceremony, newest.round);
        FeedMessage::Entries(FeedEntries { epoch, ceremony, round, from, entries })
    }

    fn announcement(&self) -> FeedMessage {
        let Some((_, _, newest)) = self.newest.clone() else { return FeedMessage::None };
        let Resharing { ceremony, round, boundary, definition } = newest;
        FeedMessage::Announced(FeedAnnouncement { ceremony, round, boundary, definition })
    }

    /// Whether a guest may have this entry agreed, and has not asked for it before.
    fn admits(&mut self, guest: &PublicKey, entry: &[u8]) -> bool {
        if self.guests.len() >= MAX_GUESTS && !self.guests.contains_key(guest) {
            return false;
        }
        let posted = self.guests.entry(guest.clone()).or_default();
        posted.len() < MAX_GUEST_ENTRIES && posted.insert(entry_digest(entry))
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
        let newest: (Epoch, Height, Resharing) = decoded(Table::Meta, &bytes, MAX_STORED_BYTES)?;
        // What stands there from before is of an earlier round.
        let from = height_key(newest.1.next());
        self.feed.newest = Some(newest);
        for (_, value) in self.store.range(Table::Entries, &from, usize::MAX)? {
            let entries: Vec<Vec<u8>> = decoded(Table::Entries, &value, MAX_STORED_BYTES)?;
            self.feed.entries.extend(entries);
        }
        Ok(())
    }

    /// A resharing is announced: its feed begins.
    pub(super) fn begin_feed(&mut self, height: Height, resharing: &Resharing) {
        let newest = (self.config.committee.epoch().next(), height, resharing.clone());
        self.outbox.write(Write::put(Table::Meta, NEWEST, encoding::encode(&newest)));
        self.feed = Feed { newest: Some(newest), ..Feed::default() };
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
        let answer = match message {
            FeedMessage::Ask { from } => self.feed.part(from),
            FeedMessage::AskAnnounced => self.feed.announcement(),
            FeedMessage::Post { ceremony, entry } => {
                let newest = self.feed.newest.as_ref();
                let open = newest.is_some_and(|(_, _, newest)| newest.ceremony == ceremony);
                let known = self.feed.entries.contains(&entry);
                let now = self.renewal_time();
                let is_guest = !self.keys.contains(peer);
                let own = self.renewal.as_ref().is_some_and(|machine| {
                    machine.progress(now).ceremony == ceremony && machine.is_of(peer, &entry)
                });
                if is_guest && open && !known && own && self.feed.admits(peer, &entry) {
                    self.outbox.then(Effect::Post(entry));
                }
                return Ok(());
            }
            FeedMessage::Entries(_) | FeedMessage::Announced(_) | FeedMessage::None => {
                return Ok(());
            }
        };
        let answer = self.testified(OpeningMessage::Feed(answer));
        self.send_to(Lane::Shares, vec![peer.clone()], answer.encode());
        Ok(())
    }
}
