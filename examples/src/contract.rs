//! The compiled contracts: code, calls and the storage slots of their variables.
//!
//! Calls and slots follow Solidity's ABI and storage layout, as far as the examples need them:
//! arguments of one word each, and mappings by address.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256, hex, keccak256};
use serde::Deserialize;

use crate::scenario::ExampleError;

/// A contract as `contracts/build.mjs` compiled it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    #[serde(rename = "contract")]
    name: String,
    method_identifiers: BTreeMap<String, String>,
    slots: BTreeMap<String, u64>,
    bytecode: Code,
    deployed_bytecode: Code,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Code(Bytes);

impl TryFrom<String> for Code {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(|bytes| Self(bytes.into()))
    }
}

impl Contract {
    /// `Token.sol`.
    pub fn token() -> Result<Self, ExampleError> {
        Self::read(include_str!("../contracts/out/Token.json"))
    }

    /// `Pool.sol`.
    pub fn pool() -> Result<Self, ExampleError> {
        Self::read(include_str!("../contracts/out/Pool.json"))
    }

    /// `Vault.sol`.
    pub fn vault() -> Result<Self, ExampleError> {
        Self::read(include_str!("../contracts/out/Vault.json"))
    }

    /// `Strategy.sol`.
    pub fn strategy() -> Result<Self, ExampleError> {
        Self::read(include_str!("../contracts/out/Strategy.json"))
    }

    /// `Ballot.sol`.
    pub fn ballot() -> Result<Self, ExampleError> {
        Self::read(include_str!("../contracts/out/Ballot.json"))
    }

    fn read(json: &str) -> Result<Self, ExampleError> {
        serde_json::from_str(json).map_err(|error| ExampleError::Artifact(error.to_string()))
    }

    /// The code of a deployed contract.
    pub fn code(&self) -> &Bytes {
        &self.deployed_bytecode.0
    }

    /// The code that deploys a contract, with its constructor's encoded arguments.
    pub fn creation(&self, arguments: &[U256]) -> Bytes {
        concat(&self.bytecode.0, arguments)
    }

    /// The input of a call, the method by its signature, such as `burn(uint256)`.
    pub fn call(&self, signature: &str, arguments: &[U256]) -> Result<Bytes, ExampleError> {
        let selector = self.method_identifiers.get(signature);
        let selector = selector.and_then(|text| hex::decode(text).ok());
        let selector = selector.ok_or_else(|| self.missing(signature))?;
        Ok(concat(&selector, arguments))
    }

    /// The storage slot of a variable.
    pub fn slot(&self, variable: &str) -> Result<U256, ExampleError> {
        let slot = self.slots.get(variable).ok_or_else(|| self.missing(variable))?;
        Ok(U256::from(*slot))
    }

    /// The storage slot of an account in a variable that is a mapping.
    pub fn entry(&self, variable: &str, account: Address) -> Result<U256, ExampleError> {
        Ok(entry(self.slot(variable)?, account))
    }

    /// The storage slot of a pair of accounts in a variable that is a mapping of mappings.
    pub fn pair(
        &self,
        variable: &str,
        outer: Address,
        inner: Address,
    ) -> Result<U256, ExampleError> {
        Ok(entry(self.entry(variable, outer)?, inner))
    }

    fn missing(&self, what: &str) -> ExampleError {
        ExampleError::Missing { contract: self.name.clone(), what: what.to_owned() }
    }
}

/// The storage slot of a key in the mapping at `slot`.
fn entry(slot: U256, account: Address) -> U256 {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&word(account).to_be_bytes::<32>());
    bytes[32..].copy_from_slice(&slot.to_be_bytes::<32>());
    keccak256(bytes).into()
}

/// An address as an argument or as a value of storage.
pub fn word(address: Address) -> U256 {
    U256::from_be_slice(address.as_slice())
}

/// What a contract gives back when it reverts with an error, by the error's signature.
pub fn revert_data(signature: &str, arguments: &[U256]) -> Bytes {
    concat(&keccak256(signature)[..4], arguments)
}

fn concat(head: &[u8], arguments: &[U256]) -> Bytes {
    let mut bytes = head.to_vec();
    arguments.iter().for_each(|argument| bytes.extend(argument.to_be_bytes::<32>()));
    bytes.into()
}
