//! Opening final orders together: from shares on the network to one result per id.
//!
//! One state machine for all heights: [`Opener::handle`] takes what happened and returns what to
//! do; it has no clock, no socket and no secret. Heavy work is a value, [`OpenJob`], that the
//! caller runs on a pool and gives back as [`Input::Worked`].
//!
//! 1. A final order comes with its sealed bundles ([`FinalBatch`]). The caller makes its own share
//!    ([`OwnShare`], which only [`PreparedShares::for_order`] yields) and gives it in; it is
//!    broadcast once and kept to answer requests.
//! 2. Shares of peers are kept until t of them are there, then a job combines them. Members that
//!    were named before are used last.
//! 3. What is still not open after [`REQUEST_AFTER_MS`] is asked for, from every member whose share
//!    is missing, again every [`REQUEST_EVERY_MS`].
//! 4. The ids of an order are divided among the members ([`Division`]): each combines its part and
//!    broadcasts opening hints, which the others check together. What has no right hint
//!    [`HINTS_WITHIN_MS`] after the t-th share came is combined by everybody.
//! 5. Once every ciphertext has its outcome the order leaves as [`OpenedOrder`].
//!
//! # Invariants
//!
//! 1. No share leaves but an [`OwnShare`], so none leaves without a final order; and no hint but of
//!    what a job opened for a final order.
//! 2. The outcomes of a height are the same bytes on every honest sequencer, whatever arrived, in
//!    whatever order: they depend on the ciphertexts alone ([`fairveil_crypto::opening`]).
//! 3. A member can only fill its own place: a share is taken from the member that signed it, and
//!    one per member and height.
//! 4. Memory is bounded, whatever peers send: by [`EARLY_HEIGHTS`] and [`EARLY_BYTES`] before local
//!    finality, by [`MAX_OPEN_HEIGHTS`] orders and n shares each after it, by [`KEPT_HEIGHTS`] and
//!    [`KEPT_BYTES`] of own shares.
//! 5. A member that signed a bad share is named with a self-contained file, once per epoch. Who is
//!    named depends on what arrived first: it is never consensus data.
//! 6. Requests are answered with the own share of a final height, at most once per peer, height
//!    and [`ANSWER_EVERY_MS`].
//! 7. A hint is believed only if it opens its ciphertext. A false one costs its member the rest of
//!    that batch, and its parts are combined here from then on.

mod division;
mod early;
mod job;
mod kept;
mod message;

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::opening::Culprit;
use fairveil_crypto::share::{PreparedShares, ShareEvidence, SignedShare};
use fairveil_crypto::{Epoch, Height, SequencerIndex};

pub use self::division::{DIVIDED_FROM, Division, HINTS_WITHIN_MS, Hint};
use self::division::{Parts, combiner};
use self::early::{Early, EarlyMessages, Refused};
pub use self::job::{FinalBatch, OpenJob, OpenedOrder, OwnShare, Worked};
use self::kept::Kept;
pub use self::message::{MAX_SHARE_MESSAGE_BYTES, ShareMessage};
use crate::evidence::Evidence;

/// How long after finality missing shares are asked for.
pub const REQUEST_AFTER_MS: u64 = 250;
/// How often they are asked for again.
pub const REQUEST_EVERY_MS: u64 = 1_000;
/// How often one peer gets an answer for one height.
pub const ANSWER_EVERY_MS: u64 = 500;
/// How many heights own shares are kept to answer requests.
pub const KEPT_HEIGHTS: u64 = 1_024;
/// How many bytes of own shares are kept; older ones go first.
pub const KEPT_BYTES: usize = 64 << 20;
/// How many orders may be open at once.
pub const MAX_OPEN_HEIGHTS: usize = 1_024;
/// How far above the newest local order shares are kept.
pub const EARLY_HEIGHTS: u64 = 64;
/// How many bytes of shares one member may have waiting for local finality.
pub const EARLY_BYTES: usize = 4 << 20;

const _: () = assert!(EARLY_BYTES >= MAX_SHARE_MESSAGE_BYTES);
const _: () = assert!(KEPT_BYTES >= MAX_SHARE_MESSAGE_BYTES);
const _: () = assert!(ANSWER_EVERY_MS < REQUEST_EVERY_MS);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A height is final, and its sealed bundles are here.
    Order(Box<FinalBatch>),
    /// This sequencer's share of a final height.
    OwnShare(OwnShare),
    /// A member sent a message; the transport has authenticated it.
    Message {
        /// Who sent it.
        from: SequencerIndex,
        /// What it sent.
        message: ShareMessage,
    },
    /// A job is done.
    Worked(Box<Worked>),
    /// A height was released otherwise: its certified release was taken over.
    Released(Height),
    /// The time of [`Opener::wake_at`] has come.
    Wake,
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Send this to every other member.
    Broadcast(ShareMessage),
    /// Send this to one member.
    Send {
        /// To whom.
        to: SequencerIndex,
        /// What.
        message: ShareMessage,
    },
    /// Run this on a pool.
    Run(Box<OpenJob>),
    /// A height is opened.
    Opened(Box<OpenedOrder>),
    /// A member signed a bad share.
    Blame {
        /// Who.
        culprit: SequencerIndex,
        /// The proof.
        evidence: Box<Evidence>,
    },
    /// Too many orders are open: give this one in again when there is room.
    Postponed(Height),
}

/// What was not used, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Shares that name another signer than their sender.
    pub foreign: u64,
    /// Shares above the bounds for what is not final here.
    pub early: u64,
    /// Shares of heights that were open already, or are too old.
    pub late: u64,
    /// Second shares of one member for one height.
    pub repeated: u64,
    /// Requests for heights without an own share, or too soon after an answer.
    pub unanswered: u64,
    /// Messages with a false hint, or with one for the part of another member.
    pub false_hints: u64,
    /// Parts whose hints were not here in time.
    pub silent_parts: u64,
}

/// The opening of all heights.
#[derive(Debug)]
pub struct Opener {
    own: SequencerIndex,
    tip: Height,
    open: BTreeMap<Height, Working>,
    early: EarlyMessages,
    kept: BTreeMap<Height, Kept>,
    suspects: BTreeSet<(Epoch, SequencerIndex)>,
    division: Division,
    /// Members that gave a false hint.
    distrusted: BTreeSet<(Epoch, SequencerIndex)>,
    /// Members whose hints did not come in time the last time.
    silent: BTreeSet<SequencerIndex>,
    /// Until when the hints of heights that are open already are in time.
    in_time_ms: BTreeMap<Height, u64>,
    dropped: Dropped,
    kept_heights: u64,
}

/// A height that is being opened.
#[derive(Debug)]
struct Working {
    batch: FinalBatch,
    heard: BTreeSet<SequencerIndex>,
    waiting: Vec<SignedShare>,
    parts: Parts,
    /// Shares without which a job does not get further.
    needed: usize,
    /// Whether something waits for shares, and not for hints alone.
    starved: bool,
    progress: Progress,
    request_at_ms: u64,
}

#[derive(Debug)]
enum Progress {
    /// The job that holds what is combined so far.
    Ready(Box<OpenJob>),
    /// A job is out.
    Running,
}

impl Opener {
    /// The opener of member `own`, whose orders up to `tip` are released. Members have other
    /// indices in another epoch: an epoch that begins gets an opener of its own, and the old one
    /// goes on until its heights are open.
    pub fn new(own: SequencerIndex, tip: Height) -> Self {
        Self {
            own,
            tip,
            open: BTreeMap::new(),
            early: EarlyMessages::default(),
            kept: BTreeMap::new(),
            suspects: BTreeSet::new(),
            division: Division::default(),
            distrusted: BTreeSet::new(),
            silent: BTreeSet::new(),
            in_time_ms: BTreeMap::new(),
            dropped: Dropped::default(),
            kept_heights: KEPT_HEIGHTS,
        }
    }

    /// The same opener, which keeps own shares for another number of heights.
    #[must_use]
    pub fn keeping(self, heights: u64) -> Self {
        Self { kept_heights: heights, ..self }
    }

    /// The same opener, which divides the combining or does not.
    #[must_use]
    pub fn dividing(self, division: Division) -> Self {
        Self { division, ..self }
    }

    /// Takes what happened; returns what to do, in order.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Order(batch) => self.order(now_ms, *batch, &mut outputs),
            Input::OwnShare(own) => self.own_share(now_ms, own, &mut outputs),
            Input::Message { from, message: ShareMessage::Share { height, share } } => {
                self.share(now_ms, from, height, *share, &mut outputs);
            }
            Input::Message { from, message: ShareMessage::Request { height } } => {
                self.answer(now_ms, from, height, &mut outputs);
            }
            Input::Message { from, message: ShareMessage::Hints { height, hints } } => {
                self.hints(now_ms, from, height, hints, &mut outputs);
            }
            Input::Worked(worked) => self.worked(now_ms, *worked, &mut outputs),
            Input::Released(height) => drop(self.open.remove(&height)),
            Input::Wake => {
                self.overdue(now_ms, &mut outputs);
                self.request(now_ms, &mut outputs);
            }
        }
        outputs
    }

    /// When to come back with [`Input::Wake`].
    pub fn wake_at(&self) -> Option<u64> {
        let wake = |working: &Working| {
            let hints = working.parts.wake_at();
            hints.map_or(working.request_at_ms, |at| at.min(working.request_at_ms))
        };
        self.open.values().map(wake).min()
    }

    /// Whether another order can be taken.
    pub fn has_room(&self) -> bool {
        self.open.len() < MAX_OPEN_HEIGHTS
    }

    /// Keeps an own share of before a restart, to answer requests; it is not broadcast.
    pub fn keep(&mut self, own: OwnShare) {
        let (height, share) = own.into_parts();
        self.keep_share(height, share);
    }

    /// The heights that are final here and not open yet, ascending.
    pub fn open_heights(&self) -> impl Iterator<Item = Height> {
        self.open.keys().copied()
    }

    /// What was not used so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn order(&mut self, now_ms: u64, batch: FinalBatch, outputs: &mut Vec<Output>) {
        let height = batch.order().height();
        if self.open.contains_key(&height) {
            return;
        }
        if !batch.order().to_open().is_empty() && !self.has_room() {
            outputs.push(Output::Postponed(height));
            return;
        }
        self.tip = self.tip.max(height);
        let (early, below) = self.early.take(height);
        self.dropped.late += below;
        if batch.order().to_open().is_empty() {
            outputs.push(Output::Opened(Box::new(OpenedOrder::empty(batch))));
            return;
        }
        let committee = batch.order().committee();
        let (epoch, needed) = (committee.epoch(), usize::from(committee.t()));
        let (n, positions) = (committee.n(), batch.order().to_open().len());
        let divided = self.division == Division::Divided && n >= DIVIDED_FROM;
        let trusted = |member: SequencerIndex| {
            divided
                && member != self.own
                && !self.distrusted.contains(&(epoch, member))
                && !self.silent.contains(&member)
        };
        let parts = Parts::new(height, positions, n, trusted);
        let is_own = |position: &usize| divided && combiner(height, *position, n) == self.own;
        let own = (0..positions).filter(is_own).collect();
        let job = Box::new(OpenJob::new(&batch, self.suspects_of(epoch), &parts, own));
        let working = Working {
            batch,
            heard: BTreeSet::new(),
            waiting: Vec::new(),
            parts,
            needed,
            starved: true,
            progress: Progress::Ready(job),
            request_at_ms: now_ms.saturating_add(REQUEST_AFTER_MS),
        };
        self.open.insert(height, working);
        for (from, early) in early {
            if let Some(hints) = early.hints {
                self.hints(now_ms, from, height, hints, outputs);
            }
            if let Some(share) = early.share {
                self.share(now_ms, from, height, share, outputs);
            }
        }
    }

    fn own_share(&mut self, now_ms: u64, own: OwnShare, outputs: &mut Vec<Output>) {
        let (height, share) = own.into_parts();
        self.keep_share(height, share.clone());
        self.share(now_ms, self.own, height, share.clone(), outputs);
        outputs.push(Output::Broadcast(ShareMessage::Share { height, share: Box::new(share) }));
    }

    fn share(
        &mut self,
        now_ms: u64,
        from: SequencerIndex,
        height: Height,
        share: SignedShare,
        outputs: &mut Vec<Output>,
    ) {
        if share.index != from {
            self.dropped.foreign += 1;
            return;
        }
        if height > self.tip {
            self.keep_early(from, height, Early { share: Some(share), hints: None });
            return;
        }
        let Some(working) = self.open.get_mut(&height) else {
            self.dropped.late += 1;
            return;
        };
        if working.batch.order().committee().consensus_key(from).is_none() {
            self.dropped.foreign += 1;
        } else if working.heard.insert(from) {
            working.waiting.push(share);
            if working.heard.len() >= usize::from(working.batch.order().committee().t()) {
                working.parts.begin(now_ms);
            }
            self.advance(height, outputs);
        } else {
            self.dropped.repeated += 1;
        }
    }

    fn keep_early(&mut self, from: SequencerIndex, height: Height, more: Early) {
        match self.early.keep(self.tip, from, height, more) {
            Ok(()) => {}
            Err(Refused::Beyond) => self.dropped.early += 1,
            Err(Refused::Repeated) => self.dropped.repeated += 1,
        }
    }

    /// Starts a job if enough shares are there for it to get further.
    fn advance(&mut self, height: Height, outputs: &mut Vec<Output>) {
        let Some(working) = self.open.get_mut(&height) else { return };
        let epoch = working.batch.order().committee().epoch();
        let starved = working.starved || working.parts.has_wanted();
        let shares_help = starved && working.waiting.len() >= working.needed;
        if matches!(working.progress, Progress::Running)
            || !(shares_help || working.parts.has_news())
        {
            return;
        }
        if let Progress::Ready(mut job) =
            std::mem::replace(&mut working.progress, Progress::Running)
        {
            let mut shares = Vec::new();
            if shares_help {
                shares = std::mem::take(&mut working.waiting);
                working.needed = 1;
            }
            shares.sort_by_key(|share| self.suspects.contains(&(epoch, share.index)));
            job.add(shares, &mut working.parts);
            outputs.push(Output::Run(job));
        }
    }

    fn worked(&mut self, now_ms: u64, worked: Worked, outputs: &mut Vec<Output>) {
        let height = worked.height();
        let Some(working) = self.open.get_mut(&height) else { return };
        let (job, result) = worked.into_parts();
        let order = working.batch.order();
        let epoch = order.committee().epoch();
        for Culprit { share, .. } in result.culprits {
            let culprit = share.index;
            let first = self.suspects.insert((epoch, culprit));
            let evidence = ShareEvidence::new(share, order, working.batch.bundles());
            if let (true, Ok(evidence)) = (first, evidence) {
                let evidence = Box::new(Evidence::BadShare(evidence));
                outputs.push(Output::Blame { culprit, evidence });
            }
        }
        for ignored in result.ignored {
            // Without a valid signature it is nobody's share: a right one may still come.
            working.heard.remove(&ignored);
        }
        for liar in result.false_hints {
            self.distrusted.insert((epoch, liar));
            self.dropped.false_hints += 1;
        }
        if let Some(hints) = result.hints {
            outputs.push(Output::Broadcast(ShareMessage::Hints { height, hints }));
        }
        match result.outcomes {
            Some(outcomes) => {
                if let Some(working) = self.open.remove(&height) {
                    self.in_time_ms.retain(|_, until| *until >= now_ms);
                    let until = working.parts.until_ms();
                    self.in_time_ms.extend(until.map(|until| (height, until)));
                    let opened = OpenedOrder::new(working.batch, outcomes);
                    outputs.push(Output::Opened(Box::new(opened)));
                }
            }
            None => {
                working.progress = Progress::Ready(job);
                working.starved = result.starved;
                self.advance(height, outputs);
            }
        }
    }

    fn request(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        for (height, working) in &mut self.open {
            if working.request_at_ms > now_ms {
                continue;
            }
            working.request_at_ms = now_ms.saturating_add(REQUEST_EVERY_MS);
            for to in working.batch.order().committee().indices() {
                if to != self.own && !working.heard.contains(&to) {
                    let message = ShareMessage::Request { height: *height };
                    outputs.push(Output::Send { to, message });
                }
            }
        }
    }

    fn suspects_of(&self, epoch: Epoch) -> BTreeSet<SequencerIndex> {
        let of_epoch = self.suspects.iter().filter(|(at, _)| *at == epoch);
        of_epoch.map(|(_, index)| *index).collect()
    }
}

/// The lowest index, where a range over members begins.
const FIRST: SequencerIndex = match SequencerIndex::new(1) {
    Some(first) => first,
    None => unreachable!(),
};

#[cfg(test)]
mod tests;
