//! From bytes to a held bundle, and what the trader is told.

use std::net::IpAddr;

use fairveil_crypto::committee::MAX_SEQUENCERS;
use fairveil_crypto::envelope::{Header, ParsedBundle, VerifiedBundle};
use fairveil_crypto::{BundleId, Height, SequencerIndex};

use super::fetch::Intake;
use super::ids::{Entry, Held, Report};
use super::verification::{Candidate, Urgency, VerificationResult};
use super::{Output, Pool, Reply, RequestId, Source, Step, StoredBundle};
use crate::limits::{HORIZON_HEIGHTS, LAST_REPORT_HEIGHTS};
use crate::message::BundleMessage;
use crate::rejection::{Rejection, RejectionCode, Value};

/// A bundle that a batch of verdicts made held, and who waits for it.
struct Accepted {
    id: BundleId,
    waiters: Vec<RequestId>,
    /// Why it would not have been admitted by choice.
    refused: Option<Rejection>,
}

impl Pool {
    pub(super) fn submitted(
        &mut self,
        step: &mut Step,
        request: RequestId,
        address: IpAddr,
        addressed: Vec<SequencerIndex>,
        bytes: &[u8],
    ) {
        if let Err(rejection) = self.submit(step, request, address, addressed, bytes) {
            step.reject(request, rejection);
        }
    }

    fn submit(
        &mut self,
        step: &mut Step,
        request: RequestId,
        address: IpAddr,
        addressed: Vec<SequencerIndex>,
        bytes: &[u8],
    ) -> Result<(), Rejection> {
        let source = Source::Trader(address).aggregated();
        let metered = match source {
            Source::Trader(address) => self.addresses.take(step.now_ms, address, 1),
            Source::Peer(_) => Ok(()),
        };
        // Behind its peers a sequencer still answers for what it holds.
        let syncing = self.syncing();
        let first = |rejection: Rejection| syncing.clone().unwrap_or(rejection);
        metered.map_err(|over| {
            first(Rejection::numbers(RejectionCode::Rate, over.actual, over.limit))
        })?;
        let parsed = ParsedBundle::decode(bytes).map_err(|error| first(error.into()))?;
        let id = parsed.id();
        let open = self.height <= parsed.header().expires_at;
        let known =
            |entry: &Entry| entry.stored_bytes.is_some() || (entry.receipt.is_some() && open);
        if self.ids.get(&id).is_some_and(known) {
            return self.submitted_again(step, request, source, parsed);
        }
        syncing.map_or(Ok(()), Err)?;
        self.check_horizon(parsed.header())?;
        if let Some(candidate) = self.queues.same(&parsed) {
            let (actual, limit) = (candidate.waiters.len() + 1, self.limits.waiters);
            if actual > limit {
                let code = RejectionCode::Rate;
                return Err(Rejection::numbers(code, actual as u64, limit as u64));
            }
            candidate.waiters.push(request);
            // From now on it is judged as the trader's, whoever was faster.
            candidate.source = source;
            return Ok(());
        }
        let addressed = addressed.into_iter().take(self.members.into()).collect();
        let (waiters, urgency) = (vec![request], Urgency::Turn);
        let candidate = Candidate { id, source, waiters, addressed, urgency };
        self.queues
            .push(parsed, bytes.len(), candidate, &self.limits)
            .map_err(|full| Rejection::numbers(RejectionCode::PoolFull, full.actual, full.limit))
    }

    /// A known id: its receipt, or, if it was only held for others so far, admission now.
    fn submitted_again(
        &mut self,
        step: &mut Step,
        request: RequestId,
        source: Source,
        parsed: ParsedBundle,
    ) -> Result<(), Rejection> {
        let (id, header) = (parsed.id(), *parsed.header());
        let known = self.ids.held(&id).map(|held| *held.bundle.sealed().signature());
        if known != Some(*parsed.signature()) {
            parsed.verify_signature()?;
        }
        self.admit_known(step, &header, &id, source)?;
        self.queue_report(&id);
        self.append_ready(step);
        self.answer(step, &id, request);
        Ok(())
    }

    /// Admits a bundle that was only held because others need it; nothing for all others.
    fn admit_known(
        &mut self,
        step: &mut Step,
        header: &Header,
        id: &BundleId,
        source: Source,
    ) -> Result<(), Rejection> {
        let Some(entry) = self.ids.get(id) else {
            return Ok(());
        };
        if entry.receipt.is_some() || entry.emitted || entry.report != Report::No {
            return Ok(());
        }
        if entry.held.as_ref().is_some_and(|held| held.charged.is_some()) {
            return Ok(());
        }
        let bytes = entry.stored_bytes.unwrap_or(0);
        self.syncing().map_or(Ok(()), Err)?;
        let in_memory = entry.held.as_ref().map(|held| (held.acceptance, held.bundle.sealed()));
        let stored = in_memory.map(|(acceptance, sealed)| StoredBundle {
            id: *id,
            acceptance,
            charged: Some(source),
            sealed: sealed.encode(),
        });
        self.check_local(step.now_ms, header, id, source, bytes)?;
        let Some(stored) = stored else {
            return Err(Rejection::numbers(RejectionCode::PoolFull, 1, 0));
        };
        self.charge(step.now_ms, id, source);
        // Who comes back after a power loss must know that this one was promised, not just held.
        step.push(Output::Persist(stored));
        Ok(())
    }

    /// A peer sent a bundle in full.
    pub(super) fn relayed(&mut self, step: &mut Step, peer: SequencerIndex, bytes: &[u8]) {
        let parsed = match ParsedBundle::decode(bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                step.push(Output::Fault { peer, fault: error.into() });
                return;
            }
        };
        let id = parsed.id();
        if let Some(candidate) = self.queues.same(&parsed) {
            if !candidate.addressed.contains(&peer) && candidate.addressed.len() < MAX_SEQUENCERS {
                candidate.addressed.push(peer);
            }
            return;
        }
        let required = self.fetcher.is_required(&id);
        let answered = self.fetcher.answered(peer, &id);
        if !required {
            let known = self.ids.get(&id);
            if known.is_some_and(|entry| entry.stored_bytes.is_some() || entry.emitted) {
                return;
            }
            if self.intake() == Intake::Closed {
                self.fetcher.announced(step.now_ms, peer, id, &self.limits);
                return;
            }
            // What would be turned away anyway is not worth its verification.
            let (source, bytes) = (Source::Peer(peer), bytes.len() as u64);
            let local = self
                .check_horizon(parsed.header())
                .and_then(|()| self.check_local(step.now_ms, parsed.header(), &id, source, bytes));
            if local.is_err() {
                self.refused_from_peers += 1;
                self.fetcher.remove(&id);
                return;
            }
        }
        let (waiters, addressed) = (Vec::new(), vec![peer]);
        let urgency = if required && answered { Urgency::Solicited } else { Urgency::Turn };
        let source = Source::Peer(peer);
        let candidate = Candidate { id, source, waiters, addressed, urgency };
        let queued = self.queues.push(parsed, bytes.len(), candidate, &self.limits);
        if queued.is_err() {
            self.fetcher.announced(step.now_ms, peer, id, &self.limits);
        }
    }

    /// The verdicts of a job: all accepted bundles are held and relayed before any is reported.
    pub(super) fn verified(&mut self, step: &mut Step, result: VerificationResult) {
        self.queues.end_job();
        let mut accepted = Vec::new();
        for (ticket, verdict) in result.verdicts {
            let Some(candidate) = self.queues.take(ticket) else {
                continue;
            };
            match verdict {
                Ok(bundle) => accepted.extend(self.accept(step, candidate, bundle)),
                Err(error) => self.refuse(step, candidate, error.into()),
            }
        }
        self.send_announcements(step);
        for Accepted { id, .. } in &accepted {
            let emitted = self.ids.get(id).is_some_and(|entry| entry.emitted);
            if emitted || self.duty.contains_key(id) {
                self.append(step, id);
            } else if self.ids.held(id).is_some_and(|held| held.charged.is_some()) {
                self.queue_report(id);
            }
        }
        self.append_ready(step);
        for Accepted { id, waiters, refused } in accepted {
            let reported = self.ids.get(&id).is_some_and(|entry| entry.report != Report::No);
            for request in waiters {
                match &refused {
                    Some(rejection) if !reported => step.reject(request, rejection.clone()),
                    _ => self.answer(step, &id, request),
                }
            }
        }
    }

    fn refuse(&mut self, step: &mut Step, candidate: Candidate, rejection: Rejection) {
        if let Source::Peer(peer) = candidate.source {
            match candidate.urgency {
                Urgency::Solicited => self.fetcher.failed(step.now_ms, peer, &candidate.id),
                Urgency::Turn => self.fetcher.absent(step.now_ms, peer, &candidate.id),
            }
            step.push(Output::Fault { peer, fault: rejection.clone() });
        }
        for request in candidate.waiters {
            step.reject(request, rejection.clone());
        }
    }

    fn accept(
        &mut self,
        step: &mut Step,
        candidate: Candidate,
        bundle: VerifiedBundle,
    ) -> Option<Accepted> {
        let (id, source) = (candidate.id, candidate.source);
        let entry = self.ids.get(&id);
        if entry.is_some_and(|entry| entry.stored_bytes.is_some()) {
            // Another signature, or another peer, was faster.
            let waiters = candidate.waiters;
            let refused = self.admit_known(step, bundle.header(), &id, source).err();
            return Some(Accepted { id, waiters, refused });
        }
        let open = self.height <= bundle.header().expires_at;
        let emitted = open && entry.is_some_and(|entry| entry.emitted);
        let duty = self.duty.contains_key(&id);
        let sealed = bundle.sealed().encode();
        let header = *bundle.header();
        let local = self.check_local(step.now_ms, &header, &id, source, sealed.len() as u64);
        let refused = match local {
            Err(rejection) if !emitted && !self.fetcher.is_required(&id) => {
                self.refused_from_peers += u64::from(matches!(source, Source::Peer(_)));
                self.fetcher.remove(&id);
                for request in candidate.waiters {
                    step.reject(request, rejection.clone());
                }
                return None;
            }
            Err(rejection) if !emitted => Some(rejection),
            _ => None,
        };
        let charged = (refused.is_none() && !emitted && !duty).then_some(source);
        self.hold(step, &candidate, bundle, sealed, charged);
        Some(Accepted { id, waiters: candidate.waiters, refused })
    }

    fn hold(
        &mut self,
        step: &mut Step,
        candidate: &Candidate,
        bundle: VerifiedBundle,
        sealed: Vec<u8>,
        charged: Option<Source>,
    ) {
        let (id, header) = (candidate.id, *bundle.header());
        let acceptance = self.next_acceptance;
        self.next_acceptance += 1;
        let known = self.ids.get(&id);
        let emitted = known.is_some_and(|entry| entry.emitted);
        // Beyond the limit a bundle that duty brings is in the store alone.
        let in_memory = !emitted && (charged.is_some() || self.duty_has_room(sealed.len() as u64));
        let entry = Entry {
            expires_at: header.expires_at,
            payer: header.payer,
            payer_nonce: header.payer_nonce,
            stored_bytes: Some(sealed.len() as u64),
            held: in_memory.then(|| Held { bundle: bundle.clone(), acceptance, charged: None }),
            receipt: known.and_then(|entry| entry.receipt),
            report: known.map_or(Report::No, |entry| entry.report),
            emitted,
            settled_at: known.and_then(|entry| entry.settled_at),
        };
        self.ids.insert(id, entry);
        if let Some(source) = charged {
            self.charge(step.now_ms, &id, source);
        }
        self.ids.recheck(id, self.height.next());
        self.fetcher.remove(&id);
        let stored = StoredBundle { id, acceptance, charged, sealed: sealed.clone() };
        step.push(Output::Persist(stored));
        step.push(Output::Held { id, bundle });
        if !emitted {
            self.relay(step, candidate, sealed);
        }
    }

    /// Every connected peer gets the bundle or its id.
    fn relay(&mut self, step: &mut Step, candidate: &Candidate, sealed: Vec<u8>) {
        let named = |peer: &SequencerIndex| candidate.addressed.contains(peer);
        let (named, others): (Vec<_>, Vec<_>) =
            self.fetcher.connected().iter().copied().partition(named);
        let (full, ids) = match candidate.source {
            Source::Trader(_) => (others, named),
            // Who sent it needs no announcement of it.
            Source::Peer(_) => (Vec::new(), others),
        };
        if !full.is_empty() {
            step.push(Output::Send { to: full, message: BundleMessage::Relay(sealed) });
        }
        for peer in ids {
            self.announcements.entry(peer).or_default().push(candidate.id);
        }
    }

    fn charge(&mut self, now_ms: u64, id: &BundleId, source: Source) {
        let Some(entry) = self.ids.get_mut(id) else {
            return;
        };
        let bytes = entry.stored_bytes.unwrap_or(0);
        let Some(held) = entry.held.as_mut().filter(|held| held.charged.is_none()) else {
            return;
        };
        held.charged = Some(source);
        self.quotas.charge(source, entry.payer, bytes);
        self.payers.charge(now_ms, entry.payer, 1);
    }

    fn answer(&mut self, step: &mut Step, id: &BundleId, request: RequestId) {
        if let Some(body) = self.receipt_at(step, id) {
            step.push(Output::Reply { request, reply: Reply::Receipt(body) });
        }
    }

    /// Whether a bundle that nobody is charged for still fits into memory.
    pub(super) fn duty_has_room(&self, bytes: u64) -> bool {
        let used = self.quotas.used();
        let bundles = (self.ids.held_len() as u64).saturating_sub(used.bundles);
        let held_bytes = self.ids.held_bytes().saturating_sub(used.bytes);
        bundles < self.limits.duty_ids as u64 && held_bytes + bytes <= self.limits.duty_bytes
    }

    fn syncing(&self) -> Option<Rejection> {
        let (actual, limit) = (self.lag_blocks, self.limits.lag_blocks);
        (self.intake() == Intake::Closed)
            .then(|| Rejection::numbers(RejectionCode::Syncing, actual, limit))
    }

    fn check_horizon(&self, header: &Header) -> Result<(), Rejection> {
        let limit = self.height.saturating_add(HORIZON_HEIGHTS);
        if header.expires_at > limit {
            let actual = header.expires_at.get();
            return Err(Rejection::numbers(RejectionCode::Horizon, actual, limit.get()));
        }
        Ok(())
    }

    /// The local limits, in the order of the codes. They decide who is first, nothing else.
    fn check_local(
        &self,
        now_ms: u64,
        header: &Header,
        id: &BundleId,
        source: Source,
        bytes: u64,
    ) -> Result<(), Rejection> {
        self.payers
            .check(now_ms, &header.payer, 1)
            .map_err(|over| Rejection::numbers(RejectionCode::Rate, over.actual, over.limit))?;
        let (earliest, last) = (self.first_report(header), last_report(header));
        if last.is_none_or(|last| earliest > last) {
            let last = last.map_or(0, Height::get);
            return Err(Rejection::numbers(RejectionCode::Expired, earliest.get(), last));
        }
        if let Some(other) = self.nonce_holder(header, id) {
            return Err(Rejection {
                code: RejectionCode::Nonce,
                actual: Value::Number(header.payer_nonce),
                limit: Value::Digest(other.to_bytes()),
            });
        }
        self.quotas.check(source, &header.payer, bytes)?;
        let (actual, limit) = (self.ids.len() + 1, self.limits.retained_ids);
        if actual > limit {
            let code = RejectionCode::PoolFull;
            return Err(Rejection::numbers(code, actual as u64, limit as u64));
        }
        let Some(balances) = &self.balances else { return Ok(()) };
        let held = self.ids.plaintext_bytes(&header.payer, id);
        balances.check(&header.payer, header.class, held)
    }

    /// The first final height at which a bundle can be reported: now, or when its window opens.
    pub(super) fn first_report(&self, header: &Header) -> Height {
        self.height.max(header.valid_from.saturating_sub(1))
    }

    fn nonce_holder(&self, header: &Header, id: &BundleId) -> Option<BundleId> {
        let consumed = self.consumed.get(&(header.payer, header.payer_nonce));
        let consumed = consumed.map(|(_, other)| *other).filter(|other| other != id);
        consumed.or_else(|| self.ids.nonce_holder(header.payer, header.payer_nonce, id))
    }
}

/// The last final height at which anybody starts to report; none if the window is too short.
pub(super) fn last_report(header: &Header) -> Option<Height> {
    header.expires_at.get().checked_sub(LAST_REPORT_HEIGHTS).map(Height::new)
}
