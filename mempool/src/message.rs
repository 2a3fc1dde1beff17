//! What sequencers say to each other about bundles, on the channel `bundles`.
//!
//! # Invariants
//!
//! 1. A message has at most [`MESSAGE_BYTES`], a list of ids at least one and at most
//!    [`MESSAGE_IDS`] entries; the decoder refuses the rest before anything is kept.
//! 2. The encoding is canonical: what decodes, encodes to the same bytes.
//! 3. No message is believed: a relayed bundle is verified, an announcement or a missing bundle
//!    only says whom to ask next.

use fairveil_crypto::BundleId;
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::envelope::MAX_SEALED_BYTES;
use serde::{Deserialize, Serialize};

/// Ids in one message.
pub const MESSAGE_IDS: usize = 1_024;
/// Bytes of the longest message.
pub const MESSAGE_BYTES: usize = MAX_SEALED_BYTES + 12;

const _: () = assert!(MESSAGE_IDS * 32 + 12 <= MESSAGE_BYTES);

/// One message about bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BundleMessage {
    /// A sealed bundle in full: at first sight, or because it was asked for.
    Relay(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Bundles that the sender holds.
    Announce(Vec<BundleId>),
    /// Bundles that the sender asks for.
    Fetch(Vec<BundleId>),
    /// Bundles that the sender was asked for and does not hold.
    Absent(Vec<BundleId>),
}

/// Why bytes are no message about bundles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not the canonical encoding of a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A list of ids is empty or too long.
    #[error("message has {actual} ids, 1 to {limit} are allowed")]
    Ids {
        /// Ids in the message.
        actual: usize,
        /// [`MESSAGE_IDS`].
        limit: usize,
    },
    /// The sealed bundle is longer than any can be.
    #[error("sealed bundle is {actual} bytes, at most {limit} are allowed")]
    Sealed {
        /// Bytes of the sealed bundle.
        actual: usize,
        /// [`MAX_SEALED_BYTES`].
        limit: usize,
    },
}

impl BundleMessage {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// The message whose canonical bytes are `bytes`.
    ///
    /// # Errors
    ///
    /// [`MessageError`] for everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let message: Self = encoding::decode(bytes, MESSAGE_BYTES)?;
        let limit = match &message {
            Self::Relay(sealed) if sealed.len() > MAX_SEALED_BYTES => {
                return Err(MessageError::Sealed { actual: sealed.len(), limit: MAX_SEALED_BYTES });
            }
            Self::Relay(_) => return Ok(message),
            Self::Announce(_) | Self::Fetch(_) | Self::Absent(_) => MESSAGE_IDS,
        };
        match message.ids().len() {
            1..=MESSAGE_IDS => Ok(message),
            actual => Err(MessageError::Ids { actual, limit }),
        }
    }

    /// The ids that the message lists; none in a relayed bundle.
    #[must_use]
    pub fn ids(&self) -> &[BundleId] {
        match self {
            Self::Relay(_) => &[],
            Self::Announce(ids) | Self::Fetch(ids) | Self::Absent(ids) => ids,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn ids(count: usize) -> Vec<BundleId> {
        (0..count).map(|index| BundleId::from_bytes([index as u8; 32])).collect()
    }

    #[test]
    fn invariant_1_lists_have_one_to_1024_ids() {
        for list in [BundleMessage::Announce, BundleMessage::Fetch, BundleMessage::Absent] {
            for count in [1, MESSAGE_IDS] {
                let message = list(ids(count));
                assert_eq!(BundleMessage::decode(&message.encode()), Ok(message));
            }
            for actual in [0, MESSAGE_IDS + 1] {
                let error = BundleMessage::decode(&list(ids(actual)).encode());
                assert_eq!(error, Err(MessageError::Ids { actual, limit: MESSAGE_IDS }));
            }
        }
    }

    #[test]
    fn invariant_1_the_longest_sealed_bundle_fits() {
        let message = BundleMessage::Relay(vec![1; MAX_SEALED_BYTES]);
        let bytes = message.encode();
        assert_eq!(bytes.len(), MESSAGE_BYTES);
        assert_eq!(BundleMessage::decode(&bytes), Ok(message));
        let longer = BundleMessage::Relay(vec![1; MAX_SEALED_BYTES + 1]).encode();
        assert!(matches!(
            BundleMessage::decode(&longer),
            Err(MessageError::Decode(DecodeError::TooLong { .. }))
        ));
    }

    proptest! {
        #[test]
        fn invariant_2_what_decodes_encodes_to_the_same_bytes(
            bytes in vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 0..90),
        ) {
            if let Ok(message) = BundleMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn invariant_2_mutated_messages_are_refused_or_canonical(
            count in 1usize..5,
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let mut bytes = BundleMessage::Fetch(ids(count)).encode();
            let position = at.index(bytes.len());
            bytes[position] ^= flip;
            if let Ok(message) = BundleMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
