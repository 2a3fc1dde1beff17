//! Heavy verification as a value, and the queues in front of it.
//!
//! Bundles that were fetched because they are required come first; the others in turns, one of
//! each source, so that a source that sends a thousand waits behind its own. Bundles with one id
//! and one signature are verified once; with another signature they are another bundle.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
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
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Fetched,
    Trader(IpAddr),
    Peer(SequencerIndex),
}

/// How urgent a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// It is required by a proposal or by duty.
    Required,
    /// It waits for its source's turn.
    Turn,
}

/// A queue is full: what it would hold, and what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) actual: u64,
    pub(crate) limit: u64,
}

/// Candidates that wait, and those in jobs.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    lanes: BTreeMap<Lane, VecDeque<(u64, ParsedBundle)>>,
    traders: usize,
    last: Option<Lane>,
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

    pub(crate) fn push(
        &mut self,
        bundle: ParsedBundle,
        candidate: Candidate,
        urgency: Urgency,
        limits: &Limits,
    ) -> Result<(), QueueFull> {
        let lane = match (urgency, candidate.source) {
            (Urgency::Required, _) => Lane::Fetched,
            (Urgency::Turn, Source::Trader(address)) => Lane::Trader(address),
            (Urgency::Turn, Source::Peer(peer)) => Lane::Peer(peer),
        };
        let length = self.lanes.get(&lane).map_or(0, VecDeque::len);
        // An address leaves as much of the traders' queue to others as it takes.
        let limit = match lane {
            Lane::Fetched => limits.fetched_queue_bundles,
            Lane::Peer(_) => limits.peer_queue_bundles,
            Lane::Trader(_) => limits.trader_queue_bundles.saturating_sub(self.traders),
        };
        if length >= limit {
            return Err(QueueFull { actual: length as u64 + 1, limit: limit as u64 });
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.traders += usize::from(matches!(lane, Lane::Trader(_)));
        self.tickets.insert(key(&bundle), ticket);
        self.keys.insert(ticket, key(&bundle));
        self.candidates.insert(ticket, candidate);
        self.lanes.entry(lane).or_default().push_back((ticket, bundle));
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
            && let Some(next) = self.pop()
        {
            bundles.push(next);
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

    fn pop(&mut self) -> Option<(u64, ParsedBundle)> {
        let lane = self.next_lane()?;
        let queue = self.lanes.get_mut(&lane)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        if lane != Lane::Fetched {
            self.last = Some(lane);
        }
        self.traders -= usize::from(matches!(lane, Lane::Trader(_)));
        next
    }

    fn next_lane(&self) -> Option<Lane> {
        use std::ops::Bound::{Excluded, Unbounded};
        if self.lanes.contains_key(&Lane::Fetched) {
            return Some(Lane::Fetched);
        }
        let after = self.last.and_then(|last| {
            self.lanes.range((Excluded(last), Unbounded)).next().map(|(lane, _)| *lane)
        });
        after.or_else(|| self.lanes.keys().next().copied())
    }
}

fn key(bundle: &ParsedBundle) -> (BundleId, [u8; 65]) {
    (bundle.id(), bundle.signature().to_bytes())
}
