//! Why a connection between two sequencers ended, in types and in codes on the wire.
//!
//! Invariants:
//!
//! 1. Whatever a peer does wrong closes its connection with one [`CloseReason`], is counted, and
//!    ends nothing else.
//! 2. A code on the wire never changes its meaning; an unknown one is kept as a number.

use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustls::AlertDescription;
use thiserror::Error;

/// Why one side closed a connection that was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum CloseReason {
    /// The process stops.
    #[error("the process stops")]
    Shutdown,
    /// A newer connection of the same peer has taken its place.
    #[error("a newer connection of the same peer took its place")]
    Superseded,
    /// The peer is in no tracked set.
    #[error("the peer is not in the committee")]
    NotMember,
    /// The peer is blocked for misbehaviour.
    #[error("the peer is blocked")]
    Blocked,
    /// The higher key dialled the lower one.
    #[error("the higher key dialled the lower one")]
    WrongDirection,
    /// The greeting did not come in time.
    #[error("no greeting came in time")]
    GreetingTimeout,
    /// The first stream was not a greeting.
    #[error("the first stream was not a greeting")]
    BadGreeting,
    /// A stream began with an unknown kind or channel.
    #[error("a stream began with an unknown kind or channel")]
    UnknownStream,
    /// A second stream for one channel and direction.
    #[error("a second stream for one channel and direction")]
    DuplicateStream,
    /// More large messages in flight than the channel allows.
    #[error("more large messages in flight than the channel allows")]
    TooManyLarge,
    /// A frame announced more bytes than the channel allows.
    #[error("a frame is larger than its channel allows")]
    OversizeFrame,
    /// A stream ended in the middle, went on after its end, or carried a wrong size class.
    #[error("a stream was cut off, too long or of a wrong size class")]
    MalformedStream,
    /// What is known of the peer has changed: its address or its network key.
    #[error("the peer's address or network key has changed")]
    RecordChanged,
    /// A task of ours failed.
    #[error("a task failed")]
    Failed,
    /// A code that this version does not know.
    #[error("unknown code {0}")]
    Unknown(u64),
}

const CODES: [(CloseReason, u32); 14] = [
    (CloseReason::Shutdown, 0),
    (CloseReason::Superseded, 1),
    (CloseReason::NotMember, 2),
    (CloseReason::Blocked, 3),
    (CloseReason::WrongDirection, 4),
    (CloseReason::GreetingTimeout, 5),
    (CloseReason::BadGreeting, 6),
    (CloseReason::UnknownStream, 7),
    (CloseReason::DuplicateStream, 8),
    (CloseReason::TooManyLarge, 9),
    (CloseReason::OversizeFrame, 10),
    (CloseReason::MalformedStream, 11),
    (CloseReason::RecordChanged, 12),
    (CloseReason::Failed, 13),
];

impl CloseReason {
    /// The code in QUIC's CONNECTION_CLOSE frame.
    pub fn code(self) -> VarInt {
        if let Self::Unknown(code) = self {
            return VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        }
        let code = CODES.iter().find(|(reason, _)| *reason == self).map_or(0, |(_, code)| *code);
        VarInt::from_u32(code)
    }

    /// The reason with this code.
    pub fn from_code(code: VarInt) -> Self {
        let code = code.into_inner();
        CODES
            .iter()
            .find(|(_, known)| u64::from(*known) == code)
            .map_or(Self::Unknown(code), |(reason, _)| *reason)
    }
}

/// Why there is no connection to a peer, or why the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum LinkError {
    /// Another key answers at the peer's address.
    #[error("another key answers at the peer's address")]
    WrongKey,
    /// The peer does not know our network key.
    #[error("the peer does not have our network key in its committee")]
    NotRecognized,
    /// The other side belongs to another network or speaks another version of the protocol.
    #[error("the other side belongs to another network or protocol version")]
    WrongNetwork,
    /// The peer has too many handshakes in progress.
    #[error("the peer is too busy for a handshake")]
    Busy,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// Nothing was heard for the idle timeout.
    #[error("nothing was heard for the idle timeout")]
    TimedOut,
    /// The peer has restarted and does not know the connection any more.
    #[error("the peer has restarted")]
    Restarted,
    /// The peer closed the connection.
    #[error("closed by the peer: {0}")]
    ClosedByPeer(CloseReason),
    /// We closed the connection.
    #[error("closed: {0}")]
    Closed(CloseReason),
    /// The address cannot be dialled from our socket.
    #[error("the address cannot be dialled from our socket")]
    Undialable,
    /// A violation of QUIC or TLS, with its code (RFC 9000, 20.1).
    #[error("QUIC error {code:#x}")]
    Quic {
        /// The code of RFC 9000, 20.1.
        code: u64,
    },
}

/// Alert of an acceptor that does not have the dialler's key, and of a dialler whose pin differs.
const ACCESS_DENIED: AlertDescription = AlertDescription::AccessDenied;
const NO_PROTOCOL: AlertDescription = AlertDescription::NoApplicationProtocol;

fn is_alert(code: TransportErrorCode, alert: AlertDescription) -> bool {
    code == TransportErrorCode::crypto(u8::from(alert))
}

impl LinkError {
    /// Reads what QUIC says about the end of a connection; `local` is what we closed it with.
    pub(crate) fn from_quic(error: &ConnectionError, local: Option<CloseReason>) -> Self {
        match error {
            ConnectionError::TransportError(error) => match error.code {
                code if is_alert(code, ACCESS_DENIED) => Self::WrongKey,
                code if is_alert(code, NO_PROTOCOL) => Self::WrongNetwork,
                code => Self::Quic { code: u64::from(code) },
            },
            ConnectionError::ConnectionClosed(close) => match close.error_code {
                code if is_alert(code, ACCESS_DENIED) => Self::NotRecognized,
                code if is_alert(code, NO_PROTOCOL) => Self::WrongNetwork,
                TransportErrorCode::CONNECTION_REFUSED => Self::Busy,
                code => Self::Quic { code: u64::from(code) },
            },
            ConnectionError::ApplicationClosed(close) => {
                Self::ClosedByPeer(CloseReason::from_code(close.error_code))
            }
            ConnectionError::Reset => Self::Restarted,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Closed(local.unwrap_or(CloseReason::Shutdown)),
            ConnectionError::VersionMismatch => Self::WrongNetwork,
            ConnectionError::CidsExhausted => {
                Self::Quic { code: u64::from(TransportErrorCode::INTERNAL_ERROR) }
            }
        }
    }
}

/// Why a connection attempt of somebody else was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Refusal {
    /// The key is not in the committee, or not any more.
    #[error("the key is not in the committee")]
    NotMember,
    /// Another network id or protocol version.
    #[error("another network or protocol version")]
    WrongNetwork,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// The handshake failed otherwise.
    #[error("the handshake failed")]
    HandshakeFailed,
    /// The higher key dialled the lower one.
    #[error("the higher key dialled the lower one")]
    WrongDirection,
    /// Too many handshakes are in progress.
    #[error("too many handshakes are in progress")]
    Busy,
}

impl Refusal {
    /// Reads what QUIC says about a handshake that failed on the accepting side.
    pub(crate) fn from_quic(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(error) if is_alert(error.code, ACCESS_DENIED) => {
                Self::NotMember
            }
            ConnectionError::TransportError(error) if is_alert(error.code, NO_PROTOCOL) => {
                Self::WrongNetwork
            }
            ConnectionError::TimedOut => Self::HandshakeTimeout,
            _ => Self::HandshakeFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 2.
    #[test]
    fn codes_are_a_bijection() {
        for (reason, code) in CODES {
            assert_eq!(reason.code(), VarInt::from_u32(code));
            assert_eq!(CloseReason::from_code(VarInt::from_u32(code)), reason);
        }
        let unknown = CloseReason::from_code(VarInt::from_u32(99));
        assert_eq!(unknown, CloseReason::Unknown(99));
        assert_eq!(unknown.code(), VarInt::from_u32(99));
    }
}
