//! A rollup's genesis, as the JSON document that `fairveil` reads.
//!
//! Balances are decimal, storage is hex; accounts are sorted, so a genesis has one text.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use serde::Serialize;

use crate::accounts::Account;
use crate::contract::Contract;
use crate::scenario::ExampleError;

/// Wei in one ether.
pub const ETHER: u64 = 1_000_000_000_000_000_000;
/// What everybody who signs has for gas, on every rollup: ten ether.
pub const GAS_MONEY: u64 = 10 * ETHER;

/// A state to begin with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Genesis {
    alloc: BTreeMap<String, Allocation>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Allocation {
    balance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<String, String>,
}

impl Genesis {
    /// With somebody who sent so many transactions, and can pay for the gas of more.
    pub fn with_signer(mut self, account: Account, nonce: u64) -> Self {
        let balance = GAS_MONEY.to_string();
        let nonce = (nonce > 0).then(|| format!("{nonce:#x}"));
        let allocation = Allocation { balance, nonce, ..Allocation::default() };
        self.alloc.insert(account.address.to_string(), allocation);
        self
    }

    /// With a contract that has a balance in wei and these values in its storage.
    pub fn with_contract(
        mut self,
        address: Address,
        contract: &Contract,
        balance: u64,
        storage: &[(U256, U256)],
    ) -> Self {
        let word = |(slot, value): &(U256, U256)| (format!("{slot:#066x}"), format!("{value:#x}"));
        let allocation = Allocation {
            balance: balance.to_string(),
            // A contract begins with nonce 1 (EIP-161).
            nonce: Some("0x1".to_owned()),
            code: Some(contract.code().to_string()),
            storage: storage.iter().map(word).collect(),
        };
        self.alloc.insert(address.to_string(), allocation);
        self
    }

    /// The document.
    pub fn to_json(&self) -> Result<String, ExampleError> {
        let json = serde_json::to_string_pretty(self);
        let json = json.map_err(|error| ExampleError::Artifact(error.to_string()))?;
        Ok(json + "\n")
    }
}
