//! The engine's head: where a run that was ended goes on.

use alloy_primitives::{B256, Bytes};
use fairveil_release::op::{L1Origin, l1_attributes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Engine;
use crate::json_rpc::RpcError;
use crate::quantity::Quantity;

const METHOD: &str = "eth_getBlockByNumber";

/// A block of an engine, usually the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its L1 origin, and how many blocks before it have the same one; none of a block without
    /// transactions, as the first one is.
    pub l1_origin: Option<(L1Origin, u64)>,
    /// The hashes of its transactions but for the deposits, in order.
    pub transactions: Vec<B256>,
}

#[derive(Deserialize)]
struct RawBlock {
    number: Quantity,
    hash: B256,
    timestamp: Quantity,
    transactions: Vec<RawTransaction>,
}

#[derive(Deserialize)]
struct RawTransaction {
    hash: B256,
    input: Bytes,
    #[serde(rename = "type")]
    kind: Quantity,
}

impl Engine {
    /// The engine's newest block, by `eth_getBlockByNumber`, which engines serve on the
    /// authenticated port too.
    ///
    /// # Errors
    ///
    /// If the engine can't be asked, has no block, or one whose first transaction is not the
    /// deposit of the L1 attributes of Ecotone or Isthmus.
    pub async fn head(&self) -> Result<Head, RpcError> {
        self.block_by(json!("latest")).await
    }

    /// The engine's block with this number, by the same method.
    ///
    /// # Errors
    ///
    /// As [`Self::head`].
    pub async fn block(&self, number: u64) -> Result<Head, RpcError> {
        self.block_by(json!(Quantity(number))).await
    }

    async fn block_by(&self, number: Value) -> Result<Head, RpcError> {
        let found: Value = self.endpoint.call(METHOD, vec![number, json!(true)]).await?;
        let block: RawBlock = self.endpoint.decode(METHOD, found)?;
        let deposit = u64::from(l1_attributes::DEPOSIT_TYPE);
        let l1_origin = match block.transactions.first() {
            None => None,
            Some(first) => {
                let told = l1_attributes::origin_of(&first.input);
                let told = told.filter(|_| first.kind.0 == deposit);
                let why = "its first transaction is no deposit of L1 attributes that is known here";
                Some(told.ok_or_else(|| self.endpoint.malformed(METHOD, why))?)
            }
        };
        let others = block.transactions.iter().skip_while(|one| one.kind.0 == deposit);
        Ok(Head {
            number: block.number.0,
            hash: block.hash,
            timestamp_s: block.timestamp.0,
            l1_origin,
            transactions: others.map(|one| one.hash).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{Address, hex, keccak256};
    use fairveil_release::op::l1_attributes::L1Attributes;

    use super::*;
    use crate::json_rpc::Limits;
    use crate::test_server::{Reply, TestServer};

    const ORIGIN: L1Origin = L1Origin { number: 70, hash: B256::repeat_byte(7) };
    const HASH: B256 = B256::repeat_byte(5);

    /// The input of a deposit, which stands at its end.
    fn input() -> String {
        let attributes = L1Attributes {
            origin: ORIGIN,
            timestamp_s: 1,
            base_fee: 1,
            blob_base_fee: 1,
            sequence_number: 3,
            batcher: Address::ZERO,
            base_fee_scalar: 1,
            blob_base_fee_scalar: 1,
            operator_fee: None,
        };
        let deposit = attributes.deposit();
        hex::encode_prefixed(&deposit[deposit.len() - 164..])
    }

    fn transaction(kind: &str, input: &str) -> Value {
        json!({ "hash": keccak256(kind), "type": kind, "input": input, "value": "0x0" })
    }

    async fn asked(transactions: Value) -> Result<Head, RpcError> {
        let server = TestServer::start(move |_, method, params| {
            assert_eq!((method, params), (METHOD, &json!(["latest", true])));
            Reply::Result(json!({
                "number": "0x1f", "hash": HASH, "timestamp": "0x3e8", "transactions": transactions,
                "someLaterField": "0x1",
            }))
        });
        let secret = "00".repeat(32).parse().unwrap();
        Engine::new(server.endpoint(Limits::default()), secret, Arc::new(|| 1)).head().await
    }

    #[tokio::test]
    async fn a_head_tells_its_origin_and_what_was_released() {
        let deposits = [transaction("0x7e", &input()), transaction("0x7e", "0x")];
        let others = [transaction("0x2", "0x01"), transaction("0x0", "0x")];
        let all = json!([deposits[0], deposits[1], others[0], others[1]]);
        let head = asked(all).await.unwrap();
        assert_eq!((head.number, head.hash, head.timestamp_s), (31, HASH, 1_000));
        assert_eq!(head.l1_origin, Some((ORIGIN, 3)));
        assert_eq!(head.transactions, [keccak256("0x2"), keccak256("0x0")]);
        let genesis = asked(json!([])).await.unwrap();
        assert_eq!((genesis.l1_origin, genesis.transactions), (None, Vec::new()));
    }

    #[tokio::test]
    async fn a_block_that_does_not_begin_with_l1_attributes_is_no_head() {
        for first in [transaction("0x2", &input()), transaction("0x7e", "0x0989")] {
            let error = asked(json!([first])).await.unwrap_err();
            assert!(error.to_string().contains("no deposit of L1 attributes"), "{error}");
        }
    }
}
