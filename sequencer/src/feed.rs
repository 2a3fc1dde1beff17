//! Takes part in a resharing without having a chain: who joins asks the members for the agreed entries,
//! and has them post its own.
//!
//! ```text
//! ask all members ── F + 1 equal (ceremony, count, running hash) ──> entries that hash to it ──> machine
//!      └──────────────────── own entries, again and again until they are agreed <──────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. An entry is handed to the machine only as part of a beginning of the agreed entries whose count and
//!    running hash F + 1 members stated: at least one honest one.
//! 2. A ceremony is taken up only if F + 1 members state that it is open; a later round takes its place.
//! 3. Memory is bounded: [`MAX_STATEMENTS`] statements per member, and what one ceremony may have.

use std::{collections::BTreeMap, time::Duration};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use fairveil_consensus::{
    Resharing, Successor,
    entries::{AgreedEntries, entry_digest},
};
use fairveil_crypto::{
    Digest, Height,
    domain::{Tag, hash},
    encoding,
};
use fairveil_release::{
    feed::{AgreedPart, FeedMessage},
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;
use tracing::{info, warn};

use crate::{
    actor::now_ms,
    handle::decoded,
    renewal::{
        Input as MachineInput, JOURNAL, MAX_JOURNAL_BYTES, Output as MachineOutput, Renewal,
        Resharings,
    },
    seat::Seat,
    store::{Store, StoreError, Table, Write},
};

/// How often all members are asked.
pub const ASK_MS: u64 = 500;
/// How often own entries that are not agreed are sent again.
pub const POST_MS: u64 = 2_000;
/// Statements that are kept of a member.
pub const MAX_STATEMENTS: usize = 64;
const TICK: Duration = Duration::from_millis(50);

/// What is known of the resharing that is open.
#[derive(Debug)]
pub struct Feed {
    members: Vec<PublicKey>,
    /// F + 1.
    needed: usize,
    statements: BTreeMap<PublicKey, BTreeMap<(u64, Digest, u64), Digest>>,
    /// The ceremony that is taken up, with its round, and the running hash over what was handed on.
    open: Option<(u64, Digest)>,
    count: u64,
    history: Digest,
}

/// What follows from a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This ceremony is open.
    Open {
        /// Its id.
        ceremony: Digest,
        /// Its round.
        round: u64,
    },
    /// These entries of it are agreed, after those before.
    Agreed(Vec<Vec<u8>>),
}

impl Feed {
    /// From these members, of whom at most `faulty` lie.
    #[must_use]
    pub fn new(members: Vec<PublicKey>, faulty: u16) -> Self {
        let history = AgreedEntries::new(&Digest::from_bytes([0; 32])).history();
        let (needed, statements) = (usize::from(faulty) + 1, BTreeMap::new());
        Self { members, needed, statements, open: None, count: 0, history }
    }

    /// The number of the first entry that is not known.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes what a member says.
    pub fn told(&mut self, from: &PublicKey, part: AgreedPart) -> Vec<News> {
        if !self.members.contains(from) {
            return Vec::new();
        }
        let AgreedPart { ceremony, round, count, history, .. } = part;
        let statements = self.statements.entry(from.clone()).or_default();
        statements.insert((round, ceremony, count), history);
        if statements.len() > MAX_STATEMENTS {
            statements.pop_first();
        }
        let mut news = Vec::new();
        let says = |known: &BTreeMap<(u64, Digest, u64), Digest>| {
            known.keys().any(|(at, of, _)| (*at, *of) == (round, ceremony))
        };
        let later = self.open.is_none_or(|(at, _)| round > at);
        if later && self.statements.values().filter(|known| says(known)).count() >= self.needed {
            self.open = Some((round, ceremony));
            self.count = 0;
            self.history = AgreedEntries::new(&ceremony).history();
            news.push(News::Open { ceremony, round });
        }
        if self.open == Some((round, ceremony)) && part.from == self.count {
            news.extend(self.agreed(round, ceremony, part.entries));
        }
        news
    }

    /// The longest beginning of these entries that enough members stated.
    fn agreed(&mut self, round: u64, ceremony: Digest, entries: Vec<Vec<u8>>) -> Option<News> {
        let (mut history, mut sure) = (self.history, 0);
        let mut reached = history;
        for (number, entry) in (1..).zip(&entries) {
            let entry = entry_digest(entry);
            history = hash(Tag::CeremonyHistory, &[history.as_bytes(), entry.as_bytes()]);
            let key = (round, ceremony, self.count + number);
            let stated = |known: &&BTreeMap<_, Digest>| known.get(&key) == Some(&history);
            if self.statements.values().filter(stated).count() >= self.needed {
                (sure, reached) = (number, history);
            }
        }
        let sure_entries = usize::try_from(sure).ok().filter(|sure| *sure > 0)?;
        (self.count, self.history) = (self.count + sure, reached);
        Some(News::Agreed(entries.into_iter().take(sure_entries).collect()))
    }
}

/// Why who joins has no part in the next epoch.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The channel is closed.
    #[error("the channel `shares` is closed")]
    Closed,
    /// It can't go on.
    #[error("{0}")]
    Stop(String),
}

/// Takes part in resharings until one is complete: then its share is kept, and [`crate::sync`] waits for
/// the epoch. `announcement` says what a block announces for a round of the own definition.
///
/// # Errors
///
/// [`JoinError`].
pub async fn join<E, S, R>(
    context: &mut E,
    store: &Store,
    seat: &mut Seat<S, R>,
    mut feed: Feed,
    resharings: &dyn Resharings,
    announcement: impl Fn(u64) -> Option<Resharing>,
) -> Result<Box<Successor>, JoinError>
where
    E: Clock + CryptoRng,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let mut joiner = Joiner { machine: None, unagreed: BTreeMap::new(), number: 0 };
    let (mut ask_at, mut post_at) = (0, 0);
    loop {
        let now = now_ms(context);
        let mut due = Vec::new();
        if now >= ask_at {
            ask_at = now.saturating_add(ASK_MS);
            due.push(FeedMessage::Ask { from: feed.count() });
        }
        let outputs = joiner.wake(Duration::from_millis(now));
        if let Some(successor) = joiner.carry_out(store, outputs)? {
            return Ok(successor);
        }
        if now >= post_at || joiner.has_news() {
            post_at = now.saturating_add(POST_MS);
            due.extend(joiner.posts());
        }
        for message in due {
            let bytes = OpeningMessage::Feed(message).encode();
            let members = Recipients::Some(feed.members.clone());
            seat.channels.shares.0.send(members, bytes, false);
        }
        let Some((from, part)) = heard(context, seat).await? else { continue };
        for news in feed.told(&from, part) {
            let now = Duration::from_millis(now_ms(context));
            let outputs = match news {
                News::Open { ceremony, round } => {
                    let mut random = [0; 32];
                    context.fill_bytes(&mut random);
                    let announced = announcement(round).filter(|one| one.ceremony == ceremony);
                    match announced {
                        Some(resharing) => {
                            joiner.begin(store, resharings, &resharing, random, now)?
                        }
                        None => {
                            warn!(%ceremony, round, "another resharing is open than the own one");
                            joiner.machine = None;
                            Vec::new()
                        }
                    }
                }
                News::Agreed(entries) => joiner.agreed(entries, now),
            };
            if let Some(successor) = joiner.carry_out(store, outputs)? {
                return Ok(successor);
            }
        }
    }
}

/// The next statement of a member, if one comes soon.
async fn heard<S, R>(
    clock: &impl Clock,
    seat: &mut Seat<S, R>,
) -> Result<Option<(PublicKey, AgreedPart)>, JoinError>
where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let channels = &mut seat.channels;
    tokio::select! {
        biased;
        message = channels.shares.1.recv() => {
            let (from, bytes) = message.map_err(|_| JoinError::Closed)?;
            Ok(match OpeningMessage::decode(bytes.as_ref()) {
                Ok(OpeningMessage::Feed(FeedMessage::Agreed(part))) => Some((from, part)),
                _ => None,
            })
        }
        // Others may not be kept from sending these.
        message = channels.bundles.1.recv() => message.map(|_| None).map_err(|_| JoinError::Closed),
        message = channels.logs.1.recv() => message.map(|_| None).map_err(|_| JoinError::Closed),
        () = clock.sleep(TICK) => Ok(None),
    }
}

struct Joiner {
    machine: Option<Box<dyn Renewal>>,
    /// Own entries that are not agreed, and whether they were sent.
    unagreed: BTreeMap<Digest, (Vec<u8>, bool)>,
    number: u64,
}

impl Joiner {
    fn begin(
        &mut self,
        store: &Store,
        resharings: &dyn Resharings,
        resharing: &Resharing,
        random: [u8; 32],
        now: Duration,
    ) -> Result<Vec<MachineOutput>, JoinError> {
        let ceremony = resharing.ceremony;
        info!(%ceremony, round = resharing.round, "the resharing is open");
        let journal = match store.get(Table::Meta, JOURNAL)? {
            Some(bytes) => {
                let (of, journal): (Digest, Vec<u8>) =
                    decoded(Table::Meta, &bytes, MAX_JOURNAL_BYTES)?;
                (of == ceremony).then_some(journal)
            }
            None => None,
        };
        self.unagreed.clear();
        let machine = resharings.take_part(resharing, journal, random).map_err(JoinError::Stop)?;
        let machine = self.machine.insert(machine);
        Ok(machine.handle(now, MachineInput::Wake))
    }

    fn wake(&mut self, now: Duration) -> Vec<MachineOutput> {
        match &mut self.machine {
            Some(machine) if machine.wake_at().is_some_and(|at| at <= now) => {
                machine.handle(now, MachineInput::Wake)
            }
            _ => Vec::new(),
        }
    }

    fn agreed(&mut self, entries: Vec<Vec<u8>>, now: Duration) -> Vec<MachineOutput> {
        for entry in &entries {
            self.unagreed.remove(&entry_digest(entry));
        }
        self.number += 1;
        let height = Height::new(self.number);
        let machine = self.machine.as_mut();
        let handle = |machine: &mut Box<dyn Renewal>| {
            machine.handle(now, MachineInput::Agreed { height, entries })
        };
        machine.map(handle).unwrap_or_default()
    }

    fn carry_out(
        &mut self,
        store: &Store,
        outputs: Vec<MachineOutput>,
    ) -> Result<Option<Box<Successor>>, JoinError> {
        let Some(machine) = &self.machine else { return Ok(None) };
        let ceremony = machine.progress(Duration::ZERO).ceremony;
        for output in outputs {
            match output {
                MachineOutput::Journal(journal) => {
                    let value = encoding::encode(&(ceremony, journal));
                    store.commit(&[Write::put(Table::Meta, JOURNAL, value)])?;
                }
                MachineOutput::Post(entry) => {
                    self.unagreed.entry(entry_digest(&entry)).or_insert((entry, false));
                }
                MachineOutput::Complete(successor) => return Ok(Some(successor)),
                MachineOutput::Failed(why) => {
                    warn!(why, "the resharing failed; another round may be announced");
                    self.unagreed.clear();
                }
                MachineOutput::Unkept(why) => return Err(JoinError::Stop(why)),
            }
        }
        Ok(None)
    }

    fn has_news(&self) -> bool {
        self.unagreed.values().any(|(_, sent)| !sent)
    }

    fn posts(&mut self) -> Vec<FeedMessage> {
        let all = self.unagreed.values_mut();
        all.map(|(entry, sent)| {
            *sent = true;
            FeedMessage::Post(entry.clone())
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
