//! Genesis documents of embedded rollups on this machine.

use alloy_primitives::{Address, address};
use serde_json::{Map, json};

/// The accounts of the mnemonic that development chains share. Their keys are public: what they hold
/// is worth nothing.
pub(crate) const DEVELOPMENT_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];
/// What each of them has in a development genesis: 10,000 ether, in wei.
pub(crate) const DEVELOPMENT_WEI: u128 = 10_000_000_000_000_000_000_000;

/// A contract that refuses every call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusing(pub(crate) Address);

/// A genesis in which these accounts have `wei` each, and these contracts refuse every call.
pub(crate) fn document(
    accounts: impl IntoIterator<Item = Address>,
    wei: u128,
    refusing: &[Refusing],
) -> Vec<u8> {
    let mut alloc = Map::new();
    for account in accounts {
        alloc.insert(account.to_string(), json!({ "balance": wei.to_string() }));
    }
    for Refusing(contract) in refusing {
        // PUSH1 0, PUSH1 0, REVERT.
        let refuses = json!({ "balance": "0", "code": "0x60006000fd" });
        alloc.insert(contract.to_string(), refuses);
    }
    json!({ "alloc": alloc }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use fairveil_release::states::parse_genesis;

    use super::*;

    #[test]
    fn a_document_is_a_genesis_with_these_accounts() {
        let refusing = Refusing(Address::repeat_byte(0xee));
        let document = document(DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI, &[refusing]);
        let state = parse_genesis(&document).expect("a genesis");
        assert_eq!(state.accounts().count(), DEVELOPMENT_ACCOUNTS.len() + 1);
        for account in DEVELOPMENT_ACCOUNTS {
            assert_eq!(state.balance(&account), U256::from(DEVELOPMENT_WEI));
        }
        assert!(state.code_of(refusing.0).is_some());
    }
}
