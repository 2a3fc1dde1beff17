use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use proptest::prelude::*;

use super::world::*;
use crate::bundle::Policy;
use crate::changes::{AccountChange, Changes, ChangesError, MAX_CHANGES_BYTES};
use crate::simulator::Finished;
use crate::state::Account;

fn finished() -> Finished {
    let mut simulator = World::new(1).simulator();
    simulator.simulate(&single(
        Policy::Execute,
        vec![create(ONE, 0, deploys(RUNTIME_STORES)), store(ONE, 1, 1, 2), call(ONE, 2, COUNTS)],
    ));
    simulator.finish().unwrap().remove(0)
}

#[test]
fn invariant_1_the_encoding_is_strict() {
    let changes = finished().changes;
    let bytes = changes.encode();
    assert_eq!(Changes::decode(&bytes), Ok(changes));
    for length in [0, 1, 8, bytes.len() / 2, bytes.len() - 1] {
        let error = Changes::decode(&bytes[..length]);
        assert!(matches!(error, Err(ChangesError::Encoding(_))), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Changes::decode(&longer), Err(ChangesError::Encoding(_))));
    let huge = vec![0; MAX_CHANGES_BYTES + 1];
    assert!(matches!(Changes::decode(&huge), Err(ChangesError::Encoding(_))));
}

#[test]
fn invariant_1_what_no_simulation_produces_is_refused() {
    let address = Address::repeat_byte(1);
    let code = hex("6000");
    let hash = keccak256(&code);
    let some = Account { code_hash: hash, ..Account::of_balance(U256::from(1)) };
    let with = |account, slots: &[u64], codes: &[(_, Bytes)]| {
        let storage = slots.iter().map(|slot| (U256::from(*slot), U256::from(1))).collect();
        let accounts = BTreeMap::from([(address, AccountChange { account, storage })]);
        let changes = Changes { accounts, codes: codes.iter().cloned().collect() };
        Changes::decode(&changes.encode()).map(drop)
    };
    assert_eq!(with(Some(some), &[1, 2], &[(hash, code.clone())]), Ok(()));
    assert_eq!(with(None, &[], &[]), Ok(()));
    assert_eq!(with(None, &[1], &[]), Err(ChangesError::StorageOfNone { address }));
    let empty = Account::of_balance(U256::ZERO);
    assert_eq!(with(Some(empty), &[], &[]), Err(ChangesError::Empty { address }));
    let foreign = (hash, hex("6001"));
    assert_eq!(with(Some(some), &[], &[foreign]), Err(ChangesError::Code { hash }));
    let delegation = hex("ef0100aa");
    let malformed = keccak256(&delegation);
    let account = Some(Account { code_hash: malformed, ..some });
    let error = Err(ChangesError::Code { hash: malformed });
    assert_eq!(with(account, &[], &[(malformed, delegation)]), error);
    let none = Some(Account::of_balance(U256::from(1)));
    assert_eq!(with(none, &[], &[(hash, code)]), Err(ChangesError::UnusedCode { hash }));
}

#[test]
fn invariant_2_applying_gives_the_state_after_the_slot() {
    let mut state = genesis();
    let Finished { changes, digest, .. } = finished();
    assert_eq!(state.apply(&changes), digest);
    assert_eq!(state.digest(), digest);
    let contract = address(1).create(0);
    assert_eq!(state.code_of(contract), Some(hex(RUNTIME_STORES)));
    // The codes of contracts that were there before are not told again.
    assert_eq!(changes.codes().count(), 1);
}

#[test]
fn changes_are_net() {
    let mut world = World::new(1);
    world.slot(&[single(Policy::Execute, vec![store(ONE, 0, 1, 5)])]);
    let mut simulator = world.simulator();
    simulator.simulate(&single(
        Policy::Execute,
        vec![store(ONE, 1, 1, 6), store(ONE, 2, 1, 5), store(ONE, 3, 2, 0), store(ONE, 4, 3, 1)],
    ));
    let changes = simulator.finish().unwrap().remove(0).changes;
    let (_, stores) = changes.accounts().find(|(address, _)| **address == STORES).unwrap();
    assert_eq!(stores.storage, BTreeMap::from([(U256::from(3), U256::from(1))]));
    let mut unchanged = changes.accounts().filter(|(_, change)| change.account.is_none());
    assert_eq!(unchanged.next(), None, "an account that never was is no change");
}

proptest! {
    #[test]
    fn invariant_1_mutated_bytes_are_refused_or_canonical(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = finished().changes.encode();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(changes) = Changes::decode(&bytes) {
            prop_assert_eq!(changes.encode(), bytes);
        }
    }
}
