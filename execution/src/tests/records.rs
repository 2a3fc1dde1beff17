//! Records that no state has.

use std::collections::BTreeMap;

use super::world::*;
use crate::records::{RecordError, prefix, records, state_of};

#[test]
fn invariant_2_what_no_state_has_is_refused_with_its_key() {
    let state = genesis();
    let all = records(ONE, &state.to_changes());
    let all: BTreeMap<_, _> =
        all.into_iter().filter_map(|record| Some((record.key, record.value?))).collect();
    assert_eq!(state_of(ONE, all.clone(), state.digest()), Ok(state.clone()));
    let refused = |key: &[u8], value: &[u8]| {
        let mut changed = all.clone();
        changed.insert(key.to_vec(), value.to_vec());
        state_of(ONE, changed, state.digest()).expect_err("refused")
    };
    let key = |kind: u8, rest: &[u8]| [&prefix(ONE)[..], &[kind], rest].concat();
    let (account, storage, code) = (key(0, &[1; 20]), key(1, &[1; 52]), key(2, &[1; 32]));
    for (key, value) in [
        (key(3, &[]), vec![]),
        (prefix(ONE).to_vec(), vec![]),
        ([&prefix(TWO)[..], &account[8..]].concat(), vec![1; 72]),
        (account.clone(), vec![1; 71]),
        (key(0, &[1; 19]), vec![1; 72]),
        (storage.clone(), vec![0; 32]),
        (storage.clone(), vec![1; 31]),
        (key(1, &[1; 51]), vec![1; 32]),
        (code, vec![1]),
    ] {
        assert_eq!(refused(&key, &value), RecordError { key });
    }
    // Storage of nobody, and an account that counts as not existing (EIP-161).
    assert_eq!(refused(&storage, &[1; 32]).key[..29], storage[..29]);
    let mut empty = vec![0; 40];
    empty.extend(crate::state::Account::of_balance(Default::default()).code_hash);
    assert_eq!(refused(&account, &empty), RecordError { key: account });
}
