//! Who acts in the examples: the first development accounts that Ethereum's tools come with.
//!
//! Their keys are public: everybody has them, and on every public chain somebody waits for what is
//! sent to them. They are worth nothing, and must never be worth anything.

use alloy_primitives::{Address, B256, address, b256};

/// Somebody who signs transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Their name in the examples.
    pub name: &'static str,
    /// Their address.
    pub address: Address,
    /// Their key, which is public.
    pub(crate) key: B256,
}

/// A customer, a member, a trader.
pub const ALICE: Account = Account {
    name: "alice",
    address: address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
    key: b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
};

/// Another member, another trader.
pub const BOB: Account = Account {
    name: "bob",
    address: address!("70997970c51812dc3a010c7d01b50e0d17dc79c8"),
    key: b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
};

/// The operator of a bridge.
pub const OPERATOR: Account = Account {
    name: "operator",
    address: address!("3c44cdddb6a900fa2b585dd299e03d12fa4293bc"),
    key: b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
};

/// The curator of a vault.
pub const CURATOR: Account = Account {
    name: "curator",
    address: address!("90f79bf6eb2c4f870365e785982e1f101e93b906"),
    key: b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
};

/// All of them.
pub const ALL: [Account; 4] = [ALICE, BOB, OPERATOR, CURATOR];
