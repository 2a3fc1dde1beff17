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
    varint(
        &mut message,
        (namespace.len() + FINALIZE_SUFFIX.len()) as u64,
    );
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
    use super::*;

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
