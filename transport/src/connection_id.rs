//! Connection ids that an endpoint recognizes as its own, also after a restart.
//!
//! ```text
//! connection id = nonce (6 bytes) || HMAC-SHA256(key, nonce), first 6 bytes
//! ```
//!
//! quinn sends a stateless reset only for ids that validate. With a key that survives a restart,
//! a peer of the previous process learns at its next packet that the connection is gone, instead
//! of waiting for its idle timeout; packets with made-up ids are dropped without an answer.
//! quinn's own generator does the same with a hash whose key anybody can compute from one id.

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use rand::RngCore as _;
use ring::hmac;
use std::time::Duration;

const NONCE_BYTES: usize = 6;
const MARK_BYTES: usize = 6;
const ID_BYTES: usize = NONCE_BYTES + MARK_BYTES;

/// Generates and recognizes the connection ids of one endpoint.
pub(crate) struct MarkedConnectionIds {
    key: hmac::Key,
}

impl MarkedConnectionIds {
    pub(crate) const fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    fn mark(&self, nonce: &[u8]) -> [u8; MARK_BYTES] {
        let tag = hmac::sign(&self.key, nonce);
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&tag.as_ref()[..MARK_BYTES]);
        mark
    }
}

impl ConnectionIdGenerator for MarkedConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        let (nonce, mark) = id.split_at_mut(NONCE_BYTES);
        // Ids must not link connections of one peer (RFC 9000, 5.1); nothing else depends on them.
        rand::rng().fill_bytes(nonce);
        mark.copy_from_slice(&self.mark(nonce));
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        if id.len() != ID_BYTES {
            return Err(InvalidCid);
        }
        let (nonce, mark) = id.split_at(NONCE_BYTES);
        if self.mark(nonce) == mark { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::EndpointSecret;

    fn ids(byte: u8) -> MarkedConnectionIds {
        MarkedConnectionIds::new(EndpointSecret::from_bytes([byte; 32]).connection_id_key())
    }

    #[test]
    fn own_ids_validate_after_a_restart_and_others_do_not() {
        let id = ids(1).generate_cid();
        assert!(ids(1).validate(&id).is_ok());
        assert!(ids(2).validate(&id).is_err());
        for position in 0..ID_BYTES {
            let mut changed = id.to_vec();
            changed[position] ^= 1;
            assert!(ids(1).validate(&ConnectionId::new(&changed)).is_err());
        }
        assert!(ids(1).validate(&ConnectionId::new(&id[..8])).is_err());
        assert_ne!(ids(1).generate_cid(), id);
    }
}
