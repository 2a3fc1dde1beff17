//! Limits and counters of the trader endpoint.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::BucketLimits;

/// Limits of the trader endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraderLimits {
    /// Largest request.
    pub max_request_bytes: usize,
    /// Requests in progress on one connection.
    pub streams_per_connection: u32,
    /// Connections in all, handshakes included.
    pub max_connections: usize,
    /// Connections of one address prefix.
    pub max_connections_per_address: usize,
    /// From this many connections on, unknown addresses must prove themselves first.
    pub retry_from: usize,
    /// Token buckets: a request takes one.
    pub bucket: BucketLimits,
    /// What a connection takes from the bucket.
    pub connection_tokens: NonZeroU32,
    /// Refusals after which a connection is closed.
    pub max_refusals: u32,
    /// Requests that wait for the caller.
    pub queue: usize,
    /// Longest handshake.
    pub handshake: Duration,
    /// Longest time to send a request, and then again to get the reply.
    pub request: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

impl Default for TraderLimits {
    fn default() -> Self {
        const fn count(value: u32) -> NonZeroU32 {
            match NonZeroU32::new(value) {
                Some(value) => value,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            max_request_bytes: 128 * 1024,
            streams_per_connection: 8,
            max_connections: 1024,
            max_connections_per_address: 16,
            retry_from: 64,
            bucket: BucketLimits {
                burst: count(200),
                per_second: count(100),
                max_addresses: 16 * 1024,
            },
            connection_tokens: count(4),
            max_refusals: 64,
            queue: 1024,
            handshake: Duration::from_secs(3),
            request: Duration::from_secs(10),
            idle: Duration::from_secs(15),
        }
    }
}

/// What the endpoint counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraderCounts {
    /// Connections open now, handshakes included.
    pub connections: u64,
    /// Handshakes that succeeded.
    pub accepted: u64,
    /// Addresses that were asked to prove themselves.
    pub retried: u64,
    /// Connections refused because there were too many.
    pub refused_busy: u64,
    /// Connections refused or closed because their address asks too often.
    pub refused_rate: u64,
    /// Handshakes that failed or took too long.
    pub failed_handshakes: u64,
    /// Requests handed to the caller.
    pub requests: u64,
    /// Replies that were written.
    pub replies: u64,
    /// Requests refused for their rate.
    pub rejected_rate: u64,
    /// Requests refused for their size.
    pub rejected_length: u64,
    /// Requests refused because the queue was full.
    pub rejected_busy: u64,
    /// Requests that were cut off, malformed or too slow.
    pub malformed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) refused_busy: AtomicU64,
    pub(super) refused_rate: AtomicU64,
    pub(super) failed_handshakes: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) rejected_rate: AtomicU64,
    pub(super) rejected_length: AtomicU64,
    pub(super) rejected_busy: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, connections: usize) -> TraderCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TraderCounts {
            connections: u64::try_from(connections).unwrap_or(u64::MAX),
            accepted: get(&self.accepted),
            retried: get(&self.retried),
            refused_busy: get(&self.refused_busy),
            refused_rate: get(&self.refused_rate),
            failed_handshakes: get(&self.failed_handshakes),
            requests: get(&self.requests),
            replies: get(&self.replies),
            rejected_rate: get(&self.rejected_rate),
            rejected_length: get(&self.rejected_length),
            rejected_busy: get(&self.rejected_busy),
            malformed: get(&self.malformed),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
