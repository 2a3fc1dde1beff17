//! The endpoint for traders: one stream per request, on a socket of its own.
//!
//! ```text
//! request   bidirectional, opened by the trader   length request FIN
//! reply     on the same stream                     length reply   FIN
//! length    u32, big-endian
//! ```
//!
//! The transport does not look into requests and replies. It refuses by itself only what may not
//! reach the sequencer at all, and lets the caller encode the refusal, so that a trader reads one
//! kind of reply.
//!
//! Invariants:
//!
//! 1. The server shows one raw public key, which the trader pins; traders stay anonymous. The
//!    protocol name carries the network id and the version.
//! 2. Bounded: connections in total and per address, streams per connection, bytes per request,
//!    time per request, requests in the queue to the caller. Nothing of it waits for the caller.
//! 3. Token buckets ([`TokenBuckets`]) and connections are counted for an address only once it
//!    has proved itself, so that nobody spends a stranger's share.
//! 4. While many connections are open, an unknown address is sent a Retry before any work is done.
//! 5. A refused request costs its address a token's worth of waiting, not its connection; an
//!    address that does not stop is disconnected.

mod bucket;
mod client;
mod limits;
mod server;

pub use bucket::{BucketLimits, Exhausted, TokenBuckets};
pub use client::{TraderClient, TraderClientConfig, TraderConnectError, TraderRequestError};
pub use limits::{TraderCounts, TraderLimits};
pub use server::{TraderConfig, TraderEndpoint, TraderRefusal, TraderReply, TraderRequest};

use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, SendStream, VarInt, WriteError};

/// The process stops.
const CLOSE_SHUTDOWN: VarInt = VarInt::from_u32(0);
/// The address has too many connections, or the endpoint has.
const CLOSE_BUSY: VarInt = VarInt::from_u32(1);
/// The address asks too often.
const CLOSE_RATE: VarInt = VarInt::from_u32(2);
/// The request is malformed, or was refused while it was still being sent.
const STREAM_REFUSED: VarInt = VarInt::from_u32(3);
/// The sequencer has no reply.
const STREAM_NO_REPLY: VarInt = VarInt::from_u32(4);

/// Why a body could not be read.
enum BodyError {
    /// It announces more than is allowed.
    Length { actual: usize },
    /// It was cut off, or goes on after its end.
    Malformed,
}

impl From<quinn::ReadExactError> for BodyError {
    fn from(_: quinn::ReadExactError) -> Self {
        Self::Malformed
    }
}

/// Reads one body to the end of its stream.
async fn read_body(stream: &mut RecvStream, limit: usize) -> Result<Bytes, BodyError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let actual = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if actual > limit {
        return Err(BodyError::Length { actual });
    }
    let mut body = BytesMut::zeroed(actual);
    stream.read_exact(&mut body).await?;
    match stream.read(&mut [0; 1]).await {
        Ok(None) => Ok(body.freeze()),
        Ok(Some(_)) | Err(_) => Err(BodyError::Malformed),
    }
}

/// Writes one body and ends the stream.
async fn write_body(stream: &mut SendStream, body: Bytes) -> Result<(), WriteError> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    stream.write_all_chunks(&mut [Bytes::copy_from_slice(&length), body]).await?;
    Ok(stream.finish()?)
}
