//! Heavy verification as a value, and the queues in front of it.
//!
//! Bundles that were asked for because they are required come first; the others in turns, one of
//! all traders, one of each peer, and of the traders one of each address, so that a source that
//! sends a thousand waits behind its own, and a thousand addresses behind one turn. Bundles with
//! one id and one signature are verified once; with another signature they are another bundle.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::{EnvelopeError, ParsedBundle, VerifiedBundle};
use fairveil_crypto::{BundleId, NetworkId, SequencerIndex};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::RequestId;
use super::quota::Source;
use crate::limits::Limits;

/// What a bundle is verified against.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) network_id: NetworkId,
    /// The active key.
    pub(crate) key: CommitteeKey,
    /// The key before it, while both are active.
    pub(crate) older_key: Option<CommitteeKey>,
}

impl Verifier {
    pub(crate) fn verify(&self, bundle: ParsedBundle) -> Result<VerifiedBundle, EnvelopeError> {
        let sealed = bundle.verify_signature()?;
        let sealed_to = |key: &&CommitteeKey| key.key_id() == sealed.header().key_id;
        let key = self.older_key.as_ref().filter(sealed_to).unwrap_or(&self.key);
        sealed.verify(&self.network_id, key)
    }
}

/// Signatures and proofs of some bundles. To be run once, anywhere; the result goes back in.
#[derive(Debug)]
#[must_use = "the pool waits for the result"]
pub struct VerificationJob {
    verifier: Arc<Verifier>,
    bundles: Vec<(u64, ParsedBundle)>,
}

/// The verdicts of a job.
#[derive(Debug)]
pub struct VerificationResult {
    pub(crate) verdicts: Vec<(u64, Result<VerifiedBundle, EnvelopeError>)>,
}

impl VerificationJob {
    /// How many bundles it is about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bundles.len()
    }

    /// Never: a job has at least one bundle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// Verifies on the threads of a pool.
    #[must_use]
    pub fn run(self, pool: &ThreadPool) -> VerificationResult {
        let Self { verifier, bundles } = self;
        let verdicts = pool.install(|| {
            let bundles = bundles.into_par_iter();
            bundles.map(|(ticket, bundle)| (ticket, verifier.verify(bundle))).collect()
        });
        VerificationResult { verdicts }
    }

    /// Verifies here and now, with the same result.
    #[must_use]
    pub fn run_inline(self) -> VerificationResult {
        let Self { verifier, bundles } = self;
        let verdicts =
            bundles.into_iter().map(|(ticket, bundle)| (ticket, verifier.verify(bundle))).collect();
        VerificationResult { verdicts }
    }
}

/// A bundle on its way through verification.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) id: BundleId,
    pub(crate) source: Source,
    /// Requests that wait for the verdict.
    pub(crate) waiters: Vec<RequestId>,
    /// Peers that need no copy: they sent one, or the trader reached them.
    pub(crate) addressed: Vec<SequencerIndex>,
    pub(crate) urgency: Urgency,
}

/// How a candidate is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Its peer was asked for it because it is required: before all others.
    Solicited,
    /// It waits for its source's turn.
    Turn,
}

/// A queue is full: what it would hold, and what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) actual: u64,
    pub(crate) limit: u64,
}

/// A candidate's ticket, its bytes and their length.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    bundle: ParsedBundle,
    bytes: usize,
}

/// Candidates of one key, in order.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// Queues by key, of which each is served in its turn.
#[derive(Debug)]
struct Turns<K> {
    queues: BTreeMap<K, Queue>,
    bundles: usize,
    bytes: usize,
    last: Option<K>,
}

/// Candidates that wait, and those in jobs.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    fetched: Queue,
    traders: Turns<IpAddr>,
    peers: Turns<SequencerIndex>,
    /// Whose turn was last among all traders (none) and the peers.
    last: Option<Option<SequencerIndex>>,
    candidates: BTreeMap<u64, Candidate>,
    /// By id and signature.
    tickets: BTreeMap<(BundleId, [u8; 65]), u64>,
    keys: BTreeMap<u64, (BundleId, [u8; 65])>,
    next_ticket: u64,
    jobs: usize,
}

impl Queues {
    /// The candidate with the same id and the same signature.
    pub(crate) fn same(&mut self, bundle: &ParsedBundle) -> Option<&mut Candidate> {
        let ticket = self.tickets.get(&key(bundle))?;
        self.candidates.get_mut(ticket)
    }

    /// Whether a candidate with this id waits, whatever its signature.
    pub(crate) fn waits(&self, id: &BundleId) -> bool {
        self.tickets.range((*id, [0; 65])..=(*id, [0xff; 65])).next().is_some()
    }

    /// Queues a candidate of so many bytes, or says which bound it would break.
    pub(crate) fn push(
        &mut self,
        bundle: ParsedBundle,
        bytes: usize,
        candidate: Candidate,
        limits: &Limits,
    ) -> Result<(), QueueFull> {
        self.check(&candidate, bytes, limits)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(key(&bundle), ticket);
        self.keys.insert(ticket, key(&bundle));
        let waiting = Waiting { ticket, bundle, bytes };
        match (candidate.urgency, candidate.source) {
            (Urgency::Solicited, _) => self.fetched.push(waiting),
            (Urgency::Turn, Source::Trader(address)) => self.traders.push(address, waiting),
            (Urgency::Turn, Source::Peer(peer)) => self.peers.push(peer, waiting),
        }
        self.candidates.insert(ticket, candidate);
        Ok(())
    }

    fn check(&self, candidate: &Candidate, bytes: usize, limits: &Limits) -> Result<(), QueueFull> {
        let place = (candidate.urgency, candidate.source);
        let (queue, most_bundles, most_bytes) = match place {
            (Urgency::Solicited, _) => {
                (Some(&self.fetched), limits.fetched_queue_bundles, limits.fetched_queue_bytes)
            }
            (Urgency::Turn, Source::Peer(peer)) => {
                let queue = self.peers.queues.get(&peer);
                (queue, limits.peer_queue_bundles, limits.peer_queue_bytes)
            }
            // An address leaves as much of the traders' queue to others as it takes.
            (Urgency::Turn, Source::Trader(address)) => (
                self.traders.queues.get(&address),
                limits.trader_queue_bundles.saturating_sub(self.traders.bundles),
                limits.trader_queue_bytes.saturating_sub(self.traders.bytes),
            ),
        };
        let (bundles, queued) = queue.map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes));
        for (actual, limit) in [(bundles + 1, most_bundles), (queued + bytes, most_bytes)] {
            if actual > limit {
                return Err(QueueFull { actual: actual as u64, limit: limit as u64 });
            }
        }
        Ok(())
    }

    /// The next job, if one may start and something waits.
    pub(crate) fn next_job(
        &mut self,
        verifier: &Arc<Verifier>,
        limits: &Limits,
    ) -> Option<VerificationJob> {
        if self.jobs >= limits.jobs {
            return None;
        }
        let mut bundles = Vec::new();
        while bundles.len() < limits.job_bundles
            && let Some(Waiting { ticket, bundle, .. }) = self.pop()
        {
            bundles.push((ticket, bundle));
        }
        if bundles.is_empty() {
            return None;
        }
        self.jobs += 1;
        Some(VerificationJob { verifier: Arc::clone(verifier), bundles })
    }

    /// A job is done.
    pub(crate) fn end_job(&mut self) {
        self.jobs = self.jobs.saturating_sub(1);
    }

    /// The candidate of a verdict, which comes once.
    pub(crate) fn take(&mut self, ticket: u64) -> Option<Candidate> {
        let candidate = self.candidates.remove(&ticket)?;
        if let Some(key) = self.keys.remove(&ticket) {
            self.tickets.remove(&key);
        }
        Some(candidate)
    }

    pub(crate) fn len(&self) -> usize {
        self.candidates.len()
    }

    fn pop(&mut self) -> Option<Waiting> {
        if let Some(next) = self.fetched.pop() {
            return Some(next);
        }
        let traders = (!self.traders.queues.is_empty()).then_some(None);
        let classes: Vec<Option<SequencerIndex>> =
            traders.into_iter().chain(self.peers.queues.keys().copied().map(Some)).collect();
        let after = |class: &&Option<SequencerIndex>| Some(**class) > self.last;
        let class = *classes.iter().find(after).or(classes.first())?;
        self.last = Some(class);
        match class {
            None => self.traders.pop(),
            Some(peer) => self.peers.pop_of(peer),
        }
    }
}

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes;
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.bytes;
        Some(next)
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), bundles: 0, bytes: 0, last: None }
    }
}

impl<K: Ord + Copy> Turns<K> {
    fn push(&mut self, key: K, waiting: Waiting) {
        self.bundles += 1;
        self.bytes += waiting.bytes;
        self.queues.entry(key).or_default().push(waiting);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let after = self.last.and_then(|last| {
            self.queues.range((Excluded(last), Unbounded)).next().map(|(key, _)| *key)
        });
        let key = after.or_else(|| self.queues.keys().next().copied())?;
        self.last = Some(key);
        self.pop_of(key)
    }

    fn pop_of(&mut self, key: K) -> Option<Waiting> {
        let queue = self.queues.get_mut(&key)?;
        let next = queue.pop()?;
        if queue.waiting.is_empty() {
            self.queues.remove(&key);
        }
        self.bundles -= 1;
        self.bytes -= next.bytes;
        Some(next)
    }
}

fn key(bundle: &ParsedBundle) -> (BundleId, [u8; 65]) {
    (bundle.id(), bundle.signature().to_bytes())
}
