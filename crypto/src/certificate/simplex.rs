//! The signed bytes of the consensus engine's finalization, written anew.
//!
//! commonware's `simplex` with its ed25519 scheme signs
//!
//! ```text
//! namespace = network namespace ‖ "_FINALIZE"
//! message   = varint(epoch) ‖ varint(view) ‖ varint(parent view) ‖ payload(32)
//! signed    = varint(length of namespace) ‖ namespace ‖ message
//! ```
//!
//! with LEB128 varints. Whoever verifies an order does not link the engine: this file is all that
//! they need of it. The crate `consensus` compares it with the engine itself.

use crate::domain::Tag;
use crate::{BlockDigest, Epoch, NetworkId, View};

const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// The namespace that the engine of a network is configured with: a tag, then the network id.
#[must_use]
pub fn namespace(network_id: &NetworkId) -> Vec<u8> {
    [Tag::Consensus.as_bytes(), network_id.as_bytes()].concat()
}

/// The bytes that a member signs to finalize a block in a view.
#[must_use]
pub fn finalize_message(
    namespace: &[u8],
    epoch: Epoch,
    view: View,
    parent_view: View,
    block: &BlockDigest,
) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    varint(&mut message, (namespace.len() + FINALIZE_SUFFIX.len()) as u64);
    message.extend_from_slice(namespace);
    message.extend_from_slice(FINALIZE_SUFFIX);
    varint(&mut message, epoch.get());
    varint(&mut message, view.get());
    varint(&mut message, parent_view.get());
    message.extend_from_slice(block.as_bytes());
    message
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ConsensusSecret, Signature};

    /// Signatures made by commonware-consensus 2026.10.0 itself: `Finalize::sign` of its ed25519
    /// scheme, key from the seed 07..07, network id 11..11, payload 22..22.
    #[test]
    fn known_answers_of_the_engine_verify() {
        let answers = [
            (
                [1, 2, 1],
                "0x609c130019f4180d824b2071a9b31ea14da970c2e856d22fb4abbbb56a91b9a8\
                 33333913d197484ef65a8a775c09679f1bbc2522f2a14a6d47b373ae28f97d0a",
            ),
            (
                [300, 70_000, 69_999],
                "0x3383994c52abc47635c62a4f67753d52033322cfbfe2388c632b89e08c566265\
                 47a8ae5917c9a91448e79b0e4e7fd803bf8c4495b20a458c5a725f7a4648d402",
            ),
        ];
        let secret = ConsensusSecret::from_seed([7; 32]);
        let namespace = namespace(&NetworkId::from_bytes([0x11; 32]));
        for ([epoch, view, parent_view], signature) in answers {
            let message = finalize_message(
                &namespace,
                Epoch::new(epoch),
                View::new(view),
                View::new(parent_view),
                &BlockDigest::from_bytes([0x22; 32]),
            );
            let signature: Signature = signature.parse().unwrap();
            assert_eq!(secret.sign_bytes(&message), signature);
            let key = secret.public_key();
            assert_eq!(key.verify_bytes(&message, &signature), Ok(()));
        }
    }

    #[test]
    fn varints_are_leb128() {
        for (number, expected) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
            (u64::MAX, [vec![0xff; 9], vec![1]].concat()),
        ] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!(out, expected);
        }
    }
}
