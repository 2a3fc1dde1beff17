use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use fairveil_crypto::domain::{Tag, hash};

use super::world::*;
use crate::genesis::parse_genesis;
use crate::state::{Account, MemoryState, StateError, StateView};

fn parse(json: &str) -> MemoryState {
    parse_genesis(json.as_bytes()).unwrap()
}

#[test]
fn invariant_1_empty_accounts_and_zero_slots_are_not_held() {
    let state = parse(
        r#"{"alloc": {
            "0x1000000000000000000000000000000000000001": {"balance": "0"},
            "0x1000000000000000000000000000000000000002":
                {"balance": "1", "nonce": 1, "storage": {"0x1": "0x0"}}
        }}"#,
    );
    assert_eq!(state.accounts().count(), 1);
    let changes = state.to_changes();
    assert!(changes.accounts().all(|(_, change)| change.storage.is_empty()));
}

#[test]
fn invariant_2_the_digest_is_that_of_the_description() {
    let address = Address::repeat_byte(0x11);
    let other = Address::repeat_byte(0x22);
    let state = parse(&format!(
        r#"{{"alloc": {{
            "{other}": {{"balance": "9"}},
            "{address}": {{"balance": "0x5", "nonce": "2", "code": "0xfe",
                "storage": {{"0x02": "0x7", "0x01": "0x6"}}}}
        }}}}"#
    ));
    let word = |number: u64| U256::from(number).to_be_bytes::<32>();
    let code_hash = keccak256([0xfe]);
    let first = [
        address.as_slice(),
        &[1],
        &2u64.to_be_bytes(),
        &word(5),
        code_hash.as_slice(),
        &word(1),
        &word(6),
        &word(2),
        &word(7),
    ]
    .concat();
    let second =
        [other.as_slice(), &[1], &0u64.to_be_bytes(), &word(9), KECCAK256_EMPTY.as_slice()]
            .concat();
    assert_eq!(state.digest(), hash(Tag::ExecutionState, &[&first, &second]));
    assert_eq!(MemoryState::empty().digest(), hash(Tag::ExecutionState, &[]));
}

#[test]
fn invariant_2_a_slot_without_changes_leaves_the_digest() {
    let mut world = World::new(1);
    let before = world.state(ONE).digest();
    assert!(world.slot(&[]).is_empty());
    assert_eq!(world.state(ONE).digest(), before);
}

#[test]
fn a_state_in_memory_answers_for_what_it_holds() {
    let state = genesis();
    let nobody = Address::repeat_byte(0x99);
    assert_eq!(state.account(nobody), Ok(None));
    assert_eq!(state.storage(nobody, U256::ZERO), Ok(U256::ZERO));
    let hash = B256::repeat_byte(1);
    assert_eq!(state.code(hash), Err(StateError::Code { hash }));
    assert_eq!(state.block_hash(4), Ok(B256::ZERO));
    assert_eq!(state.code_of(INVALID), Some(hex("fe")));
    assert_eq!(state.code_of(address(1)), None);
    assert!(Account::of_balance(U256::ZERO).is_empty());
    assert!(!Account { nonce: 1, ..Account::of_balance(U256::ZERO) }.is_empty());
}
