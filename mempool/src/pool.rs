//! The pool of one sequencer: admission, relay, fetching, and the duty to report.
//!
//! A state machine without clock, disk or network: [`Pool::handle`] takes the time and one
//! [`Input`], and returns [`Output`]s for the caller to carry out in their order;
//! [`Pool::wake_at_ms`] says when it wants a [`Input::Tick`] although nothing happened.
//!
//! # Protocol
//!
//! ```text
//! submitted by a trader    syncing, rate; version .. window, horizon      cheap, at once
//! relayed by a peer        the same without syncing and rate; local limits
//!   -> queue -> job        signature, network, key, proof                 heavy, on another thread
//!   -> verdict             rate of the payer, expired, nonce, payer_limit, pool_full, unfunded
//!   -> held                persisted, relayed, then reported or held back, then answered
//! reached T logs           fetched if it is not held, and reported, whatever the limits say
//! emitted or expired       leaves memory; the store keeps it while others may fetch it
//! ```
//!
//! *Relayed* means: every connected peer was sent the bundle or, if it has the bytes or is being
//! sent them by the trader, the id. From a trader a bundle goes out in full to the peers that the
//! trader did not name; from a peer, who sent it to everybody, only the id goes on.
//!
//! # Durability
//!
//! [`Output::is_durable`] outputs are written to the store. The caller may write those of several
//! calls in one transaction; before it is committed no later [`Output::Reply`] leaves the machine,
//! and no log head that covers an [`Output::Append`] is signed. Everything else may go at once.
//!
//! # Invariants
//!
//! 1. **Holding before reporting.** `Append` of an id comes after its `Persist`, its verification
//!    (intrinsic: strict decoding, payer signature, network, active key, class, proof) and its
//!    relay. (An id whose place is already final needs no relay any more.)
//! 2. **Once.** An id is appended at most once, and positions are consecutive. What was appended
//!    or emitted is remembered until its window has passed by [`RETAINED_HEIGHTS`]; the order
//!    has forgotten it by then, and it is `expired` for everybody.
//! 3. **Duty.** An id that reached T committed logs, or was emitted, is appended as soon as it is
//!    held, whatever window, limits, quotas and nonces say; until it is held it is fetched from
//!    one peer after the other, without end. Local limits only decide who is first.
//! 4. **Windows.** A bundle that is not a duty is appended at the first final height
//!    `>= valid_from - 1`, held-back ones in the order of acceptance, and never after
//!    `expires_at - 8`. A log never grows beyond what the order extends: more waits.
//! 5. **One receipt** per id, given when it is admitted and the same as long as its window is open
//!    or the order knows it, over restarts too.
//! 6. **Bounded.** Every collection has a limit in [`Limits`]; a full pool turns newcomers away
//!    and never drops what it holds. One source cannot take the part of the others (`quota`).
//! 7. **No censorship by id.** No verdict on other bytes of the same id counts against an id.
//! 8. The same inputs at the same times give the same outputs, bit by bit.
//!
//! [`RETAINED_HEIGHTS`]: crate::limits::RETAINED_HEIGHTS
//!
//! # What the caller owes
//!
//! Each job comes back once. Final blocks come in order of height; after a start, and every few
//! hundred heights, `FinalizedBlock::duty` also holds `FairOrder::to_report`, which takes up what
//! was beyond [`Limits::duty_ids`]. The order log itself refuses to append an id twice.

mod admission;
mod fetch;
mod finality;
mod funds;
mod ids;
mod interface;
mod meter;
mod peers;
mod quota;
mod restore;
mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use fairveil_crypto::envelope::{Payer, VerifiedBundle};
use fairveil_crypto::{BundleId, Epoch, Height, NetworkId, SequencerIndex};

pub use self::funds::Funds;
pub use self::interface::{
    EmittedBundle, FinalizedBlock, Input, LimitsError, LogEntry, Output, PoolConfig, PoolStats,
    Reply, RequestId, StoredBundle,
};
pub use self::quota::Source;
pub use self::restore::{RestoreError, Restored, RestoredBundle};
pub use self::verification::{VerificationJob, VerificationResult};

use self::fetch::{Fetcher, Intake};
use self::funds::Balances;
use self::ids::Ids;
use self::meter::Meters;
use self::quota::{Amount, Quotas};
use self::verification::{Queues, Verifier};
use crate::limits::Limits;
use crate::message::BundleMessage;
use crate::receipt::ReceiptBody;
use crate::rejection::Rejection;

/// The pool of one sequencer.
#[derive(Debug)]
pub struct Pool {
    network_id: NetworkId,
    epoch: Epoch,
    sequencer: SequencerIndex,
    members: u16,
    limits: Limits,
    verifier: Arc<Verifier>,
    height: Height,
    lag_blocks: u64,
    ids: Ids,
    quotas: Quotas,
    /// None where nothing is charged.
    balances: Option<Balances>,
    queues: Queues,
    fetcher: Fetcher,
    addresses: Meters<IpAddr>,
    payers: Meters<Payer>,
    served: Meters<SequencerIndex>,
    next_acceptance: u64,
    /// Admitted bundles that wait for a height, by (valid_from, acceptance).
    waiting: BTreeSet<(Height, u64, BundleId)>,
    /// Admitted bundles whose window is open, by acceptance.
    ready: BTreeMap<u64, BundleId>,
    /// Ids that must be reported and are not held, with the height since when.
    duty: BTreeMap<BundleId, Height>,
    next_position: u64,
    uncommitted: BTreeMap<u64, BundleId>,
    below_edge: u32,
    consumed: BTreeMap<(Payer, u64), (Height, BundleId)>,
    consumed_at: BTreeSet<(Height, Payer, u64)>,
    /// Ids that one call of `handle` announces, by peer.
    announcements: BTreeMap<SequencerIndex, Vec<BundleId>>,
    refused_from_peers: u64,
    unserved: u64,
}

/// One call of [`Pool::handle`].
struct Step {
    now_ms: u64,
    outputs: Vec<Output>,
}

impl Step {
    fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    fn reject(&mut self, request: RequestId, rejection: Rejection) {
        self.push(Output::Reply { request, reply: Reply::Rejected(rejection) });
    }
}

impl Pool {
    /// An empty pool before the first block.
    ///
    /// # Errors
    ///
    /// If the limits contradict each other.
    pub fn new(config: PoolConfig) -> Result<Self, LimitsError> {
        if let Some(fault) = config.limits.fault() {
            return Err(LimitsError(fault));
        }
        let PoolConfig { network_id, epoch, sequencer, members, .. } = config;
        let PoolConfig { key, older_key, limits, funds, .. } = config;
        let total = Amount { bundles: limits.pool_bundles, bytes: limits.pool_bytes };
        let meters = limits.meters;
        Ok(Self {
            network_id,
            epoch,
            sequencer,
            members,
            verifier: Arc::new(Verifier { network_id, key, older_key }),
            height: Height::ZERO,
            lag_blocks: 0,
            ids: Ids::default(),
            quotas: Quotas::new(total, limits.payer_bundles, members),
            balances: funds.map(Balances::new),
            queues: Queues::default(),
            fetcher: Fetcher::default(),
            addresses: Meters::new(limits.address_burst, limits.address_per_second, meters),
            payers: Meters::new(limits.payer_burst, limits.payer_per_second, meters),
            served: Meters::new(limits.served_burst_bytes, limits.served_bytes_per_second, meters),
            next_acceptance: 0,
            waiting: BTreeSet::new(),
            ready: BTreeMap::new(),
            duty: BTreeMap::new(),
            next_position: 0,
            uncommitted: BTreeMap::new(),
            below_edge: 0,
            consumed: BTreeMap::new(),
            consumed_at: BTreeSet::new(),
            announcements: BTreeMap::new(),
            refused_from_peers: 0,
            unserved: 0,
            limits,
        })
    }

    /// What follows from one input at this time, in milliseconds since 1970.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut step = Step { now_ms, outputs: Vec::new() };
        match input {
            Input::Submitted { request, address, addressed, bytes } => {
                self.submitted(&mut step, request, address, addressed, &bytes);
            }
            Input::Received { peer, message } => self.received(&mut step, peer, message),
            Input::Verified(result) => self.verified(&mut step, result),
            Input::Needed { ids } => self.needed(&step, ids),
            Input::Finalized(block) => self.finalized(&mut step, block),
            Input::Lagging { blocks } => self.lagging(&step, blocks),
            Input::PeerConnected { peer } => self.peer_connected(&mut step, peer),
            Input::PeerDisconnected { peer } => self.fetcher.disconnect(now_ms, peer),
            Input::Tick => {}
        }
        self.start_jobs(&mut step);
        self.send_fetches(&mut step);
        step.outputs
    }

    /// When to hand in a [`Input::Tick`], in milliseconds since 1970.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.fetcher.wake_at_ms()
    }

    /// A bundle in memory: held, neither emitted nor expired.
    #[must_use]
    pub fn bundle(&self, id: &BundleId) -> Option<&VerifiedBundle> {
        Some(&self.ids.held(id)?.bundle)
    }

    /// The end of the window of a bundle that is held, in memory or in the store.
    #[must_use]
    pub fn expires_at(&self, id: &BundleId) -> Option<Height> {
        let entry = self.ids.get(id)?;
        entry.stored_bytes.map(|_| entry.expires_at)
    }

    /// The receipt that was given for an id.
    #[must_use]
    pub fn receipt(&self, id: &BundleId) -> Option<&ReceiptBody> {
        self.ids.get(id)?.receipt.as_ref()
    }

    /// The bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How full the pool is.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            held: self.ids.held_len(),
            admitted: self.quotas.used().bundles,
            admitted_bytes: self.quotas.used().bytes,
            held_back: self.waiting.len() + self.ready.len(),
            ids: self.ids.len(),
            verifying: self.queues.len(),
            wanted: self.fetcher.len(),
            asking: self.fetcher.asking(),
            duty: self.duty.len(),
            log_length: self.next_position,
            uncommitted: self.uncommitted.len(),
            refused_from_peers: self.refused_from_peers,
            unserved: self.unserved,
        }
    }

    fn intake(&self) -> Intake {
        if self.lag_blocks > self.limits.lag_blocks { Intake::Closed } else { Intake::Open }
    }

    fn lagging(&mut self, step: &Step, blocks: u64) {
        let before = self.intake();
        self.lag_blocks = blocks;
        if before == Intake::Closed && self.intake() == Intake::Open {
            self.fetcher.hasten_all(step.now_ms);
        }
    }

    fn start_jobs(&mut self, step: &mut Step) {
        while let Some(job) = self.queues.next_job(&self.verifier, &self.limits) {
            step.push(Output::Verify(job));
        }
    }

    fn send_fetches(&mut self, step: &mut Step) {
        let intake = self.intake();
        let queued = |id: &BundleId| self.queues.waits(id);
        for (peer, ids) in self.fetcher.requests(step.now_ms, intake, queued, &self.limits) {
            step.push(Output::Send { to: vec![peer], message: BundleMessage::Fetch(ids) });
        }
    }
}

#[cfg(test)]
mod tests;
