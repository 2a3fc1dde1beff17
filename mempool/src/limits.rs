//! Every bound of the pool, by name.
//!
//! # Invariants
//!
//! 1. No queue, map or list of the pool grows beyond a limit of this page, whatever traders and
//!    peers send. Two exceptions are bounded by the order itself, which no trader and no f
//!    sequencers can grow at will: ids of bundles that were emitted within their windows are
//!    remembered beyond [`Limits::retained_ids`], and entries of the own log that no final block
//!    contains yet because they are duties.
//! 2. Bundles in memory: at most [`Limits::pool_bundles`] by choice and [`Limits::duty_ids`] by
//!    duty, with their bytes; what duty brings beyond that is in the store alone.
//! 3. [`Limits::DEFAULT`] satisfies the relations of [`Limits::fault`], checked at compile time.

use fairveil_crypto::envelope::MAX_SEALED_BYTES;

use crate::message::{MESSAGE_BYTES, MESSAGE_IDS};

/// How far ahead of the final height a window may end (crypto.md 6).
pub const HORIZON_HEIGHTS: u64 = 1 << 16;
/// Nobody starts to report in the last heights of a window (ordering.md 2).
pub const LAST_REPORT_HEIGHTS: u64 = 8;
/// A log with more ids than this that stand in fewer than T logs is not extended (ordering.md 2).
pub const UNSUPPORTED_CAP: usize = 4_096;
/// Heights for which a (payer, nonce) pair stays consumed (crypto.md 6).
pub const NONCE_HEIGHTS: u64 = 1 << 17;
/// Heights for which a bundle can still be fetched after it left the order: the ordering forgets
/// what stands in fewer than T logs after 1,024 heights, shares are kept for 1,024, and a log
/// head may be 32 heights old.
pub const RETAINED_HEIGHTS: u64 = 1_024 + 2 * 32;

/// The bounds of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bundles admitted by choice and not yet emitted.
    pub pool_bundles: u64,
    /// Bytes of these bundles.
    pub pool_bytes: u64,
    /// Of these bundles, those of one payer.
    pub payer_bundles: u64,
    /// Own reports that fewer than T logs support yet; more wait in the pool.
    pub unsupported_ids: usize,
    /// Ids that must be reported, at once; more are taken up when they are named again.
    pub duty_ids: usize,
    /// Bytes of bundles that duty brings into memory; more are in the store alone.
    pub duty_bytes: u64,
    /// Ids that are remembered after they were emitted or expired; intake stops above.
    pub retained_ids: usize,
    /// Consumed (payer, nonce) pairs that are remembered; the oldest go first.
    pub consumed_nonces: usize,

    /// Submissions that one address may make at once.
    pub address_burst: u64,
    /// Submissions per second that one address may keep up.
    pub address_per_second: u64,
    /// Admissions that one payer may have at once.
    pub payer_burst: u64,
    /// Admissions per second that one payer may keep up.
    pub payer_per_second: u64,
    /// Addresses, and payers, that are metered one by one; all others share one meter.
    pub meters: usize,

    /// Blocks that the sequencer may be behind while it admits.
    pub lag_blocks: u64,

    /// Bundles of one verification job.
    pub job_bundles: usize,
    /// Verification jobs at once.
    pub jobs: usize,
    /// Bundles of all traders that wait for verification.
    pub trader_queue_bundles: usize,
    /// Bytes of these.
    pub trader_queue_bytes: usize,
    /// Bundles of one peer that wait for verification.
    pub peer_queue_bundles: usize,
    /// Bytes of these.
    pub peer_queue_bytes: usize,
    /// Bundles that were asked for and wait for verification, before all others.
    pub fetched_queue_bundles: usize,
    /// Bytes of these.
    pub fetched_queue_bytes: usize,
    /// Requests that wait for the verdict on one bundle.
    pub waiters: usize,

    /// Ids announced by one peer that are not held yet.
    pub announced_ids: usize,
    /// Ids that proposals need and that are not held yet.
    pub needed_ids: usize,
    /// Milliseconds for which a needed id is fetched without being asked for again.
    pub needed_ms: u64,
    /// Ids that are being fetched from one peer at once.
    pub fetching_ids: usize,
    /// Milliseconds before an announced bundle is fetched: it may be on its way.
    pub announced_grace_ms: u64,
    /// Milliseconds before an unanswered fetch goes to another peer; doubles with each round.
    pub fetch_timeout_ms: u64,
    /// The longest such time.
    pub fetch_timeout_max_ms: u64,
    /// Heights for which a bundle stays in the pool's store after it left the order; later it is in
    /// the archive.
    pub retained_heights: u64,
    /// Bytes of bundles that one peer may fetch at once.
    pub served_burst_bytes: u64,
    /// Bytes of bundles per second that one peer may keep fetching.
    pub served_bytes_per_second: u64,
}

impl Limits {
    /// Limits for a committee of up to 64 on a machine with a gigabyte to spare.
    pub const DEFAULT: Self = Self {
        pool_bundles: 16_384,
        pool_bytes: 128 << 20,
        payer_bundles: 1_024,
        unsupported_ids: UNSUPPORTED_CAP - 256,
        duty_ids: 65_536,
        duty_bytes: 128 << 20,
        retained_ids: 1 << 21,
        consumed_nonces: 1 << 21,
        address_burst: 2_048,
        address_per_second: 512,
        payer_burst: 1_024,
        payer_per_second: 256,
        meters: 65_536,
        lag_blocks: 64,
        job_bundles: 64,
        jobs: 2,
        trader_queue_bundles: 2_048,
        trader_queue_bytes: 32 << 20,
        peer_queue_bundles: 512,
        peer_queue_bytes: 4 << 20,
        fetched_queue_bundles: 2_048,
        fetched_queue_bytes: 32 << 20,
        waiters: 16,
        announced_ids: 16_384,
        needed_ids: 65_536,
        needed_ms: 60_000,
        fetching_ids: 256,
        announced_grace_ms: 100,
        fetch_timeout_ms: 500,
        fetch_timeout_max_ms: 4_000,
        retained_heights: RETAINED_HEIGHTS,
        served_burst_bytes: 16 << 20,
        served_bytes_per_second: 16 << 20,
    };

    /// The first relation between the limits that does not hold.
    #[must_use]
    pub const fn fault(&self) -> Option<&'static str> {
        if self.unsupported_ids == 0 || self.unsupported_ids > UNSUPPORTED_CAP {
            return Some("unsupported_ids is 1 to 4,096");
        }
        if self.payer_bundles == 0 || self.payer_bundles > self.pool_bundles {
            return Some("payer_bundles is 1 to pool_bundles");
        }
        if self.pool_bytes < MAX_SEALED_BYTES as u64 {
            return Some("pool_bytes holds at least one bundle");
        }
        if self.announced_ids < self.pool_bundles as usize {
            return Some("announced_ids covers what a peer's pool can announce");
        }
        if self.job_bundles == 0 || self.jobs == 0 || self.waiters == 0 {
            return Some("job_bundles, jobs and waiters are at least 1");
        }
        if self.trader_queue_bundles == 0
            || self.peer_queue_bundles == 0
            || self.fetched_queue_bundles < self.fetching_ids
        {
            return Some("queues hold at least 1, the fetched one what one peer is asked for");
        }
        if self.trader_queue_bytes < MAX_SEALED_BYTES
            || self.peer_queue_bytes < MAX_SEALED_BYTES
            || self.fetched_queue_bytes < MAX_SEALED_BYTES
        {
            return Some("queues hold the bytes of at least one bundle");
        }
        if self.fetching_ids == 0 || self.fetching_ids > MESSAGE_IDS {
            return Some("fetching_ids is 1 to the ids of a message");
        }
        if self.fetch_timeout_ms == 0 || self.fetch_timeout_ms > self.fetch_timeout_max_ms {
            return Some("fetch_timeout_ms is 1 to fetch_timeout_max_ms");
        }
        if self.served_burst_bytes < MESSAGE_BYTES as u64 || self.served_bytes_per_second == 0 {
            return Some("served_burst_bytes holds at least one message");
        }
        if self.address_burst == 0
            || self.address_per_second == 0
            || self.payer_burst == 0
            || self.payer_per_second == 0
            || self.meters == 0
        {
            return Some("meters let at least one submission through");
        }
        None
    }
}

const _: () = assert!(Limits::DEFAULT.fault().is_none());
const _: () = assert!(NONCE_HEIGHTS > HORIZON_HEIGHTS);
const _: () = assert!(RETAINED_HEIGHTS > 1_024);
