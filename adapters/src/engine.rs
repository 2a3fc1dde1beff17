//! Hands released blocks to an OP Stack execution engine by the Engine API.
//!
//! ```text
//! engine_forkchoiceUpdatedV3   head = parent, exactly these transactions   ─> payload id
//! engine_getPayloadV3 / V4     what the engine built                       ─> compared
//! engine_newPayloadV3 / V4     the same payload, as it came                ─> VALID
//! engine_forkchoiceUpdatedV3   head = the new block                        ─> VALID
//! ```
//!
//! The attributes are those of the OP Stack specification (*L2 execution engine*): the forced
//! deposits first, then the released transactions in their order, and `noTxPool`, so that the
//! engine adds nothing of its own. Versions: V3 up to Holocene, V4 from Isthmus on. Deposits come
//! from the caller, as raw bytes: they are derived from L1
//! ([`fairveil_release::op::l1_attributes`] writes the first one). Blocks count whole seconds; those of a
//! faster rollup are put together by [`crate::released::whole_seconds`].
//!
//! **No OP engine has accepted these calls yet**: none can be installed where this was written.
//! They are tested against a server of our own, whose answers follow the published examples of
//! `ethereum/execution-apis` with the OP Stack's fields, and which refuses what these forbid.
//!
//! # Invariants
//!
//! 1. Exactness: a payload that does not hold exactly the given deposits and transactions, in
//!    order, on the given parent, with the given number, time, fee recipient, randomness, gas
//!    limit, fee parameters and beacon root is refused ([`PayloadFault`]) and never made the head.
//! 2. What an engine must not be asked is refused before it is ([`RequestFault`]): a block that
//!    does not follow its parent, no deposit, a deposit among the released transactions (it would
//!    mint), a blob transaction, an empty one.
//! 3. Every status has an error of its own: `INVALID`, `SYNCING`, `ACCEPTED`, no payload id,
//!    another head than asked for, and a token that the engine does not take.
//! 4. The payload goes back as it came, with fields that are not known here: the hash is over all
//!    of them.
//! 5. Silence: the secret is wiped when it is dropped, can't be copied out and is not printed.
//!    Each request has a token of its own, issued at the time of the clock.
//!
//! # Limits
//!
//! [`Engine::build_block`] begins at the parent whenever it is called: whether the block is the
//! engine's head already, as after a crash behind the last step, is for the caller to look up
//! ([`Engine::head`]). What
//! an engine says of a block's validity is believed: its state is not executed a second time.
//!
//! Own types instead of `op-alloy-rpc-types-engine`: see `docs/dependencies.md`.

mod block;
mod head;
mod jwt;
mod payload;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::json_rpc::{Endpoint, RpcError};

pub use block::{BuildError, NewBlock, Parent, PayloadFault, RequestFault, SealedBlock, Step};
pub use head::Head;
pub use jwt::{JwtSecret, SecretFault, TOKEN_LIFE_S};
pub use payload::{
    BuiltPayload, FeeParameters, ForkchoiceState, ForkchoiceUpdated, PayloadAttributes, PayloadId,
    PayloadStatus, Rules, Status,
};

/// The time in whole seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The engine of one rollup.
pub struct Engine {
    endpoint: Endpoint,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("endpoint", &self.endpoint).finish()
    }
}

impl Engine {
    /// The engine behind this endpoint (its authenticated port, usually 8551).
    ///
    /// A call must be over within [`TOKEN_LIFE_S`] of its token's time, so the endpoint's timeout
    /// has to be shorter, and the clock right by the rest.
    pub fn new(endpoint: Endpoint, secret: JwtSecret, clock: Clock) -> Self {
        let token = Arc::new(move || secret.token(clock()));
        Self { endpoint: endpoint.with_token(token) }
    }

    /// `engine_forkchoiceUpdatedV3`.
    pub async fn forkchoice_updated(
        &self,
        state: &ForkchoiceState,
        attributes: Option<&PayloadAttributes>,
    ) -> Result<ForkchoiceUpdated, RpcError> {
        let params = vec![json!(state), json!(attributes)];
        self.endpoint.call("engine_forkchoiceUpdatedV3", params).await
    }

    /// `engine_getPayloadV3` or `V4`.
    pub async fn payload(&self, rules: &Rules, id: PayloadId) -> Result<BuiltPayload, RpcError> {
        let method = rules.get_payload();
        let envelope: Value = self.endpoint.call(method, vec![json!(id)]).await?;
        BuiltPayload::read(envelope).map_err(|why| self.endpoint.malformed(method, why))
    }

    /// `engine_newPayloadV3` or `V4`.
    pub async fn new_payload(
        &self,
        rules: &Rules,
        payload: &BuiltPayload,
        parent_beacon_block_root: B256,
    ) -> Result<PayloadStatus, RpcError> {
        let params = payload.params(rules, parent_beacon_block_root);
        self.endpoint.call(rules.new_payload(), params).await
    }
}
