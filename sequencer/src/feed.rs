//! Taking part in a resharing from outside: who joins with the next epoch follows the entries that the
//! running committee agrees on, and has its own posted by its members. A member that missed the
//! resharing follows it later: its share is in what was dealt to its dealing key.
//!
//! ```text
//! ask all voters ── F + 1 name a ceremony ──> its announcement, from anyone, judged here
//!                └─ F + 1 equal entries at a place ──> the machine ──> entries of its own ──> all voters
//! ```
//!
//! The voters are the members of the running epoch, of whom at most F lie: an entry that F + 1 of them
//! name at a place stands there on an honest member's chain, and so on everybody's.
//!
//! # Invariants
//!
//! 1. The machine is given the entries of the chain, in order, without a gap.
//! 2. What the machine wants journalled is durable before what it posts later is sent.
//! 3. Memory is bounded by one answer per voter and the own pending entries.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use fairveil_consensus::{Resharing, Successor};
use fairveil_crypto::{Digest, Epoch, Height, encoding};
use fairveil_release::{
    feed::{FeedAnnouncement, FeedEntries, FeedMessage, MAX_ENTRIES},
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};

use crate::{
    actor::{JOURNAL, now_ms},
    handle::decoded,
    renewal::{Input, Output, Renewal, Resharings},
    seat::Seat,
    store::{Store, StoreError, Table, Write},
};

/// How often all voters are asked.
pub const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often own entries that are not agreed yet are sent again.
const SEND_AGAIN: Duration = Duration::from_secs(1);
/// How often the driver looks at the clock.
const TICK: Duration = Duration::from_millis(50);
/// Longest journal.
const MAX_JOURNAL_BYTES: usize = 1 << 20;

/// What the voters say, place by place.
#[derive(Debug)]
pub struct Feed {
    /// The epoch that the resharing makes.
    epoch: Epoch,
    /// F + 1.
    needed: usize,
    /// Entries that F + 1 voters named, so far.
    accepted: u32,
    ceremony: Option<(Digest, u64)>,
    answers: BTreeMap<PublicKey, FeedEntries>,
    /// Voters that speak of a later epoch's resharing.
    later: BTreeSet<PublicKey>,
}

impl Feed {
    /// Nothing heard yet of the resharing that makes this epoch; at most `faulty` voters lie.
    #[must_use]
    pub fn new(epoch: Epoch, faulty: u16) -> Self {
        let needed = usize::from(faulty) + 1;
        let (answers, later) = (BTreeMap::new(), BTreeSet::new());
        Self { epoch, needed, accepted: 0, ceremony: None, answers, later }
    }

    /// Whether F + 1 voters speak of a later epoch's resharing: nobody has the entries any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.later.len() >= self.needed
    }

    /// The number of the entry that is wanted next.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.accepted
    }

    /// A voter says this. A ceremony that F + 1 name for the first time comes back.
    pub fn heard(&mut self, voter: PublicKey, said: FeedEntries) -> Option<(Digest, u64)> {
        if said.epoch > self.epoch {
            self.later.insert(voter);
            return None;
        }
        if said.epoch != self.epoch || said.entries.len() > MAX_ENTRIES {
            return None;
        }
        self.answers.insert(voter, said);
        let named = |one: &FeedEntries| (one.ceremony, one.round);
        let agreed = self.answers.values().map(named).filter(|one| {
            self.answers.values().filter(|other| named(other) == *one).count() >= self.needed
        });
        let newest = agreed.max_by_key(|(_, round)| *round)?;
        let later = self.ceremony.is_none_or(|(_, round)| newest.1 > round);
        if !later {
            return None;
        }
        self.ceremony = Some(newest);
        self.accepted = 0;
        Some(newest)
    }

    /// The next entry, once F + 1 voters name the same one at its place.
    pub fn next_entry(&mut self) -> Option<Vec<u8>> {
        let (ceremony, _) = self.ceremony?;
        let at = |said: &FeedEntries| -> Option<Vec<u8>> {
            let offset = self.accepted.checked_sub(said.from)?;
            let of_it = said.ceremony == ceremony;
            of_it.then(|| said.entries.get(offset as usize).cloned()).flatten()
        };
        let named: Vec<Vec<u8>> = self.answers.values().filter_map(at).collect();
        let count = |entry: &&Vec<u8>| named.iter().filter(|other| other == entry).count();
        let entry = named.iter().find(|entry| count(entry) >= self.needed).cloned()?;
        self.accepted += 1;
        Some(entry)
    }
}

/// Why a joiner's resharing made nothing for it.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This sequencer can't take part.
    #[error("this sequencer takes no part in the resharing: {0}")]
    NoPart(String),
    /// What it made can't be kept.
    #[error("what the resharing made can't be kept: {0}")]
    Custody(String),
    /// The next resharing is announced: its entries are nowhere any more.
    #[error(
        "the resharing that made epoch {epoch} is over, and its entries are no longer kept: this \
         sequencer gets no share of that epoch, and takes part again in the next resharing"
    )]
    Over {
        /// The epoch that it made.
        epoch: Epoch,
    },
    /// The channel is closed.
    #[error("the channel `shares` is closed")]
    Closed,
}

/// The members of the running epoch.
#[derive(Debug, Clone)]
pub struct Voters {
    /// Their keys.
    pub keys: Vec<PublicKey>,
    /// How many of them may lie.
    pub faulty: u16,
}

/// Takes part in the resharing that makes `epoch`, whichever round, until it made a successor.
///
/// # Errors
///
/// [`FeedError`]. A failed round is no error: the next one is waited for.
pub async fn follow<E, S, R>(
    context: &mut E,
    store: &Store,
    seat: &mut Seat<S, R>,
    voters: &Voters,
    epoch: Epoch,
    resharings: &dyn Resharings,
) -> Result<Successor, FeedError>
where
    E: Clock + CryptoRng,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let mut joiner = Joiner {
        store,
        voters,
        wanted: None,
        machine: None,
        ceremony: None,
        pending: Vec::new(),
        has_news: false,
        height: 0,
    };
    let mut feed = Feed::new(epoch, voters.faulty);
    let (mut asked, mut sent) = (Duration::ZERO, Duration::ZERO);
    loop {
        let now = Duration::from_millis(now_ms(context));
        if now >= asked + ASK_EVERY {
            asked = now;
            let mut asks = vec![FeedMessage::Ask { from: feed.from() }];
            asks.extend(joiner.wanted.map(|_| FeedMessage::AskAnnounced));
            for ask in asks {
                let bytes = OpeningMessage::Feed(ask).encode();
                seat.channels.shares.0.send(Recipients::Some(voters.keys.clone()), bytes, false);
            }
        }
        if joiner.machine.as_ref().and_then(|machine| machine.wake_at()).is_some_and(|at| at <= now)
        {
            joiner.tell(now, Input::Wake)?;
        }
        let mut done = None;
        while joiner.wanted.is_none()
            && let Some(entry) = feed.next_entry()
        {
            done = joiner.agreed(now, entry)?.or(done);
        }
        if joiner.has_news || now >= sent + SEND_AGAIN {
            sent = now;
            joiner.send(&mut seat.channels.shares.0);
        }
        if let Some(successor) = done {
            return Ok(*successor);
        }
        if feed.is_over() {
            return Err(FeedError::Over { epoch });
        }
        let heard = listen(voters, context, seat).await?;
        match heard {
            Some((voter, FeedMessage::Entries(said))) => {
                if let Some(newest) = feed.heard(voter, said) {
                    joiner.wanted = Some(newest);
                    asked = Duration::ZERO;
                }
            }
            Some((_, FeedMessage::Announced(announced)))
                if joiner.wanted == Some((announced.ceremony, announced.round)) =>
            {
                let FeedAnnouncement { ceremony, round, boundary, definition } = announced;
                let resharing = Resharing { ceremony, round, boundary, definition };
                if resharings.accepts(&resharing) {
                    joiner.begin(context, resharings, &resharing)?;
                }
            }
            _ => {}
        }
    }
}

struct Joiner<'a> {
    store: &'a Store,
    voters: &'a Voters,
    /// The newest ceremony and its round, until its announcement is here.
    wanted: Option<(Digest, u64)>,
    machine: Option<Box<dyn Renewal>>,
    ceremony: Option<Digest>,
    /// Own entries that are not agreed yet.
    pending: Vec<Vec<u8>>,
    height: u64,
    has_news: bool,
}

impl Joiner<'_> {
    /// A round is announced: the machine of another one is dropped.
    fn begin(
        &mut self,
        context: &mut (impl Clock + CryptoRng),
        resharings: &dyn Resharings,
        resharing: &Resharing,
    ) -> Result<(), FeedError> {
        let ceremony = resharing.ceremony;
        info!(%ceremony, round = resharing.round, "the resharing is announced");
        let journal = match self.store.get(Table::Meta, JOURNAL)? {
            Some(bytes) => {
                let (of, journal): (Digest, Vec<u8>) =
                    decoded(Table::Meta, &bytes, MAX_JOURNAL_BYTES)?;
                (of == ceremony).then_some(journal)
            }
            None => None,
        };
        let mut random = [0; 32];
        context.fill_bytes(&mut random);
        let machine =
            resharings.take_part(resharing, journal, random).map_err(FeedError::NoPart)?;
        self.wanted = None;
        self.machine = Some(machine);
        self.ceremony = Some(ceremony);
        self.pending.clear();
        self.height = 0;
        self.tell(Duration::from_millis(now_ms(context)), Input::Wake)?;
        Ok(())
    }

    /// The next agreed entry: the successor, if it was the last that was missing.
    fn agreed(
        &mut self,
        now: Duration,
        entry: Vec<u8>,
    ) -> Result<Option<Box<Successor>>, FeedError> {
        self.pending.retain(|own| *own != entry);
        self.height += 1;
        let (height, entries) = (Height::new(self.height), vec![entry]);
        self.tell(now, Input::Agreed { height, entries })
    }

    fn tell(&mut self, now: Duration, input: Input) -> Result<Option<Box<Successor>>, FeedError> {
        let (Some(machine), Some(ceremony)) = (&mut self.machine, self.ceremony) else {
            return Ok(None);
        };
        let mut made = None;
        for output in machine.handle(now, input) {
            match output {
                Output::Journal(journal) => {
                    let value = encoding::encode(&(ceremony, journal));
                    self.store.commit(&[Write::put(Table::Meta, JOURNAL, value)])?;
                }
                Output::Post(entry) if !self.pending.contains(&entry) => {
                    self.pending.push(entry);
                    self.has_news = true;
                }
                Output::Post(_) => {}
                Output::Complete(successor) => made = Some(successor),
                Output::Failed(why) => {
                    warn!(why, "the resharing failed; the next round is waited for")
                }
                Output::Unkept(why) => return Err(FeedError::Custody(why)),
            }
        }
        Ok(made)
    }

    /// Sends what is pending to all voters.
    fn send(&mut self, sender: &mut impl Sender<PublicKey = PublicKey>) {
        self.has_news = false;
        let Some(ceremony) = self.ceremony else { return };
        for entry in &self.pending {
            let post = FeedMessage::Post { ceremony, entry: entry.clone() };
            let bytes = OpeningMessage::Feed(post).encode();
            sender.send(Recipients::Some(self.voters.keys.clone()), bytes, false);
        }
    }
}

/// What a voter says, or nothing for a moment.
async fn listen<S, R>(
    voters: &Voters,
    clock: &impl Clock,
    seat: &mut Seat<S, R>,
) -> Result<Option<(PublicKey, FeedMessage)>, FeedError>
where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let channels = &mut seat.channels;
    tokio::select! {
        biased;
        message = channels.shares.1.recv() => {
            let (from, bytes) = message.map_err(|_| FeedError::Closed)?;
            match OpeningMessage::decode(bytes.as_ref()) {
                Ok(OpeningMessage::Feed(message)) if voters.keys.contains(&from) => {
                    Ok(Some((from, message)))
                }
                _ => Ok(None),
            }
        }
        // Others may not be kept from sending these.
        message = channels.bundles.1.recv() => {
            message.map(|_| None).map_err(|_| FeedError::Closed)
        }
        message = channels.logs.1.recv() => {
            message.map(|_| None).map_err(|_| FeedError::Closed)
        }
        () = clock.sleep(TICK) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_consensus::committee::own_key;
    use fairveil_crypto::ConsensusSecret;

    use super::*;

    const EPOCH: Epoch = Epoch::new(2);

    fn voter(number: u8) -> PublicKey {
        own_key(&ConsensusSecret::from_seed([number; 32]))
    }

    fn said(round: u64, from: u32, entries: &[u8]) -> FeedEntries {
        let ceremony = Digest::from_bytes([round as u8; 32]);
        let entries = entries.iter().map(|entry| vec![*entry]).collect();
        FeedEntries { epoch: EPOCH, ceremony, round, from, entries }
    }

    fn taken(feed: &mut Feed) -> Vec<u8> {
        std::iter::from_fn(|| feed.next_entry()).map(|entry| entry[0]).collect()
    }

    #[test]
    fn an_entry_counts_once_f_plus_1_voters_name_it_at_its_place_invariant_1() {
        let mut feed = Feed::new(EPOCH, 1);
        assert_eq!(feed.heard(voter(1), said(0, 0, &[7, 8, 9])), None);
        assert_eq!(taken(&mut feed), [0; 0]);
        // A liar alone: other entries at the same places.
        assert!(feed.heard(voter(2), said(0, 0, &[1, 8])).is_some());
        assert_eq!(taken(&mut feed), [0; 0]);
        feed.heard(voter(3), said(0, 0, &[7, 8]));
        assert_eq!(taken(&mut feed), [7, 8]);
        assert_eq!(feed.from(), 2);
        // Answers that begin elsewhere are read at their places; a gap is waited for.
        feed.heard(voter(3), said(0, 3, &[10]));
        assert_eq!(taken(&mut feed), [0; 0]);
        feed.heard(voter(2), said(0, 1, &[8, 9, 10]));
        assert_eq!(taken(&mut feed), [9, 10]);
        feed.heard(voter(1), said(0, 3, &[10]));
        assert_eq!(taken(&mut feed), [0; 0]);
    }

    #[test]
    fn a_later_round_begins_anew_and_an_earlier_one_never_comes_back() {
        let mut feed = Feed::new(EPOCH, 1);
        feed.heard(voter(1), said(0, 0, &[1]));
        assert!(feed.heard(voter(2), said(0, 0, &[1])).is_some());
        assert_eq!(taken(&mut feed), [1]);
        assert_eq!(feed.heard(voter(1), said(1, 0, &[5])), None);
        let newest = feed.heard(voter(2), said(1, 0, &[5]));
        assert_eq!(newest, Some((Digest::from_bytes([1; 32]), 1)));
        assert_eq!(taken(&mut feed), [5]);
        feed.heard(voter(3), said(0, 0, &[1]));
        feed.heard(voter(4), said(0, 0, &[1]));
        assert_eq!((feed.from(), taken(&mut feed)), (1, Vec::new()));
    }

    #[test]
    fn what_is_said_of_another_epoch_is_not_heard() {
        let mut feed = Feed::new(EPOCH, 1);
        // The resharing of the epoch before, in a later round.
        let before = FeedEntries { epoch: Epoch::new(1), ..said(3, 0, &[4]) };
        feed.heard(voter(1), before.clone());
        assert_eq!(feed.heard(voter(2), before), None);
        feed.heard(voter(1), said(0, 0, &[7]));
        assert!(feed.heard(voter(2), said(0, 0, &[7])).is_some());
        assert_eq!(taken(&mut feed), [7]);
        // One liar alone does not end it.
        let after = FeedEntries { epoch: EPOCH.next(), ..said(0, 0, &[4]) };
        feed.heard(voter(1), after.clone());
        feed.heard(voter(1), after.clone());
        assert!(!feed.is_over());
        feed.heard(voter(3), after);
        assert!(feed.is_over());
    }

    #[test]
    fn a_voter_has_one_answer_and_a_bounded_one_invariant_3() {
        let mut feed = Feed::new(EPOCH, 1);
        let long = vec![3; MAX_ENTRIES + 1];
        assert_eq!(feed.heard(voter(1), said(0, 0, &long)), None);
        feed.heard(voter(1), said(0, 0, &[3]));
        assert_eq!(feed.heard(voter(1), said(0, 0, &[3])), None);
        assert_eq!(taken(&mut feed), [0; 0]);
    }
}
