//! How streams and messages are laid out between two sequencers.
//!
//! ```text
//! greeting        uni    0x00 version                                  FIN
//! channel stream  uni    0x01 channel  (length message)*
//! large message   bidi   0x02 channel   length message                 FIN; the answer is a FIN
//! length          u32, big-endian, of the message alone
//! ```
//!
//! Invariants:
//!
//! 1. A length is judged before anything is allocated for it.
//! 2. A message has exactly one size class: at most `INLINE_BYTES` on the channel's stream, more
//!    on a stream of its own.
//! 3. The receiver ends its half of a large message's stream only after the message was put into
//!    the inbox: the sender's count of large messages in flight is therefore the receiver's too.

use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream, SendStream, WriteError};

use crate::{
    channel::{Channel, INLINE_BYTES},
    reason::CloseReason,
};

/// Version of the greeting.
pub(crate) const VERSION: u8 = 1;

const KIND_GREETING: u8 = 0;
const KIND_CHANNEL: u8 = 1;
const KIND_LARGE: u8 = 2;

pub(crate) const GREETING: [u8; 2] = [KIND_GREETING, VERSION];

/// First bytes of a channel's stream.
pub(crate) const fn channel_header(channel: Channel) -> [u8; 2] {
    [KIND_CHANNEL, channel.id()]
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The connection ended: nobody's fault here.
    Lost,
    /// The peer broke the protocol.
    Violation(CloseReason),
}

impl From<ReadExactError> for ReadEnd {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(quinn::ReadError::ConnectionLost(_)) => Self::Lost,
            ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_) => {
                Self::Violation(CloseReason::MalformedStream)
            }
        }
    }
}

/// Reads and judges the greeting.
pub(crate) async fn read_greeting(stream: &mut RecvStream) -> Result<(), ReadEnd> {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting).await.map_err(|error| match ReadEnd::from(error) {
        ReadEnd::Lost => ReadEnd::Lost,
        ReadEnd::Violation(_) => ReadEnd::Violation(CloseReason::BadGreeting),
    })?;
    if greeting != GREETING {
        return Err(ReadEnd::Violation(CloseReason::BadGreeting));
    }
    Ok(())
}

/// Reads the first bytes of a uni-directional stream after the greeting.
pub(crate) async fn read_channel(stream: &mut RecvStream) -> Result<Channel, ReadEnd> {
    read_header(stream, KIND_CHANNEL).await
}

/// Reads the next message of a channel's stream.
pub(crate) async fn read_inline(
    stream: &mut RecvStream,
    channel: Channel,
) -> Result<Bytes, ReadEnd> {
    let length = read_length(stream, channel.max_message_bytes()).await?;
    if length > INLINE_BYTES {
        return Err(ReadEnd::Violation(CloseReason::MalformedStream));
    }
    read_body(stream, length).await
}

/// Reads the channel of a large message.
pub(crate) async fn read_large_header(stream: &mut RecvStream) -> Result<Channel, ReadEnd> {
    let channel = read_header(stream, KIND_LARGE).await?;
    if channel.large_streams() == 0 {
        return Err(ReadEnd::Violation(CloseReason::OversizeFrame));
    }
    Ok(channel)
}

/// Reads a large message to the end of its stream.
pub(crate) async fn read_large(
    stream: &mut RecvStream,
    channel: Channel,
) -> Result<Bytes, ReadEnd> {
    let length = read_length(stream, channel.max_message_bytes()).await?;
    if length <= INLINE_BYTES {
        return Err(ReadEnd::Violation(CloseReason::MalformedStream));
    }
    let message = read_body(stream, length).await?;
    match stream.read(&mut [0; 1]).await {
        Ok(None) => Ok(message),
        Err(quinn::ReadError::ConnectionLost(_)) => Err(ReadEnd::Lost),
        Ok(Some(_)) | Err(_) => Err(ReadEnd::Violation(CloseReason::MalformedStream)),
    }
}

/// Writes one message with its length; the caller has checked the length against the channel.
pub(crate) async fn write_message(
    stream: &mut SendStream,
    message: Bytes,
) -> Result<(), WriteError> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    stream.write_all_chunks(&mut [Bytes::copy_from_slice(&length), message]).await
}

/// Writes a large message and waits until the peer has taken it.
pub(crate) async fn write_large(
    mut stream: SendStream,
    mut answer: RecvStream,
    channel: Channel,
    message: Bytes,
) -> Result<(), WriteError> {
    stream.set_priority(channel.priority())?;
    stream.write_all(&[KIND_LARGE, channel.id()]).await?;
    write_message(&mut stream, message).await?;
    stream.finish()?;
    // Whatever comes instead of the expected end, the slot is free again.
    let _end = answer.read(&mut [0; 1]).await;
    Ok(())
}

async fn read_header(stream: &mut RecvStream, kind: u8) -> Result<Channel, ReadEnd> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).await?;
    match Channel::from_id(header[1]) {
        Some(channel) if header[0] == kind => Ok(channel),
        _ => Err(ReadEnd::Violation(CloseReason::UnknownStream)),
    }
}

async fn read_length(stream: &mut RecvStream, max_bytes: usize) -> Result<usize, ReadEnd> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    match usize::try_from(u32::from_be_bytes(length)) {
        Ok(length) if length <= max_bytes => Ok(length),
        _ => Err(ReadEnd::Violation(CloseReason::OversizeFrame)),
    }
}

async fn read_body(stream: &mut RecvStream, length: usize) -> Result<Bytes, ReadEnd> {
    let mut body = BytesMut::zeroed(length);
    stream.read_exact(&mut body).await?;
    Ok(body.freeze())
}
