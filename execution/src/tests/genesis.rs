use alloy_primitives::{Address, U256};

use crate::genesis::{
    GenesisError, MAX_CODE_BYTES, MAX_GENESIS_ACCOUNTS, MAX_GENESIS_BYTES, parse_genesis,
};
use crate::state::{MemoryState, StateView};

const A: &str = "1000000000000000000000000000000000000001";
const B: &str = "10000000000000000000000000000000000000ab";

fn address() -> Address {
    A.parse().unwrap()
}

fn parse(json: &str) -> Result<MemoryState, GenesisError> {
    parse_genesis(json.as_bytes())
}

/// A genesis with one account of these fields.
fn one(fields: &str) -> Result<MemoryState, GenesisError> {
    parse(&format!(r#"{{"alloc": {{"0x{A}": {{{fields}}}}}}}"#))
}

fn form(fields: &str) -> String {
    match one(fields) {
        Err(GenesisError::Form { reason, .. }) => reason,
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn numbers_are_decimal_hex_or_json() {
    for balance in [r#""26""#, r#""0x1a""#, r#""0x1A""#, "26", r#""0x001a""#, r#""026""#] {
        let state = one(&format!(r#""balance": {balance}, "nonce": {balance}"#)).unwrap();
        let account = state.account(address()).unwrap().unwrap();
        assert_eq!((account.balance, account.nonce), (U256::from(26), 26), "{balance}");
    }
    let most = format!(r#""balance": "0x{}""#, "f".repeat(64));
    assert_eq!(one(&most).unwrap().account(address()).unwrap().unwrap().balance, U256::MAX);
}

#[test]
fn invariant_1_numbers_that_are_none_or_do_not_fit_are_refused() {
    let too_large = format!(r#""0x1{}""#, "0".repeat(64));
    for balance in
        [r#""""#, r#""0x""#, r#""-1""#, "-1", "1.5", r#""1e3""#, r#""0xg""#, "null", &too_large]
    {
        let reason = form(&format!(r#""balance": {balance}"#));
        assert!(reason.contains("number below 2^256"), "{balance}: {reason}");
    }
    let limit = u64::MAX;
    for (nonce, actual) in [
        ("0xffffffffffffffff", U256::from(u64::MAX)),
        ("0x10000000000000000", U256::from(1u128 << 64)),
    ] {
        let error = one(&format!(r#""balance": 1, "nonce": "{nonce}""#));
        assert_eq!(error, Err(GenesisError::Nonce { address: address(), actual, limit }));
    }
}

#[test]
fn invariant_1_unknown_and_missing_fields_are_refused() {
    assert!(form(r#""balance": 1, "secretKey": "0x01""#).contains("unknown field `secretKey`"));
    assert!(form(r#""nonce": 1"#).contains("missing field `balance`"));
    assert!(form(r#""balance": 1, "balance": 2"#).contains("duplicate field `balance`"));
    let error = parse(r#"{"alloc": {}, "config": {}}"#);
    assert!(matches!(error, Err(GenesisError::Form { line: 1, column: 22, .. })), "{error:?}");
    for wrong in ["", "[]", "{}", r#"{"alloc": []}"#, r#"{"alloc": {}} x"#] {
        assert!(matches!(parse(wrong), Err(GenesisError::Form { .. })), "{wrong}");
    }
    assert_eq!(parse(r#"{"alloc": {}}"#), Ok(MemoryState::empty()));
}

#[test]
fn invariant_1_addresses_are_addresses_and_stand_once() {
    for text in ["", "0x", "1", &A[1..], "0X1000000000000000000000000000000000000001", &B[2..]] {
        let error = parse(&format!(r#"{{"alloc": {{"{text}": {{"balance": 1}}}}}}"#));
        assert_eq!(error, Err(GenesisError::Address { text: text.to_owned() }));
    }
    let address = B.parse().unwrap();
    for other in [format!("0x{B}"), B.to_uppercase(), format!("0x{}", B.to_uppercase())] {
        let json =
            format!(r#"{{"alloc": {{"{B}": {{"balance": 1}}, "{other}": {{"balance": 1}}}}}}"#);
        assert_eq!(parse(&json), Err(GenesisError::AccountTwice { address }));
    }
}

#[test]
fn invariant_1_code_is_code_and_not_too_long() {
    let state = one(r#""balance": 0, "code": "0x6000""#).unwrap();
    assert_eq!(state.code_of(address()).unwrap()[..], [0x60, 0x00]);
    for code in ["6000", "0x600", "0x60zz", "0x0x60"] {
        let reason = form(&format!(r#""balance": 0, "code": "{code}""#));
        assert!(reason.contains("whole bytes of hex"), "{reason}");
    }
    let of_length = |length| one(&format!(r#""balance": 0, "code": "0x{}""#, "00".repeat(length)));
    assert!(of_length(MAX_CODE_BYTES).is_ok());
    let (actual, limit) = (MAX_CODE_BYTES + 1, MAX_CODE_BYTES);
    let too_long = GenesisError::CodeTooLong { address: address(), actual, limit };
    assert_eq!(of_length(actual), Err(too_long));
    let delegation = one(r#""balance": 0, "code": "0xef0100aa""#);
    assert_eq!(delegation, Err(GenesisError::Delegation { address: address() }));
}

#[test]
fn invariant_1_storage_stands_once_and_belongs_to_somebody() {
    let code = r#""balance": 0, "code": "0x00""#;
    let state = one(&format!(r#"{code}, "storage": {{"0x2a": "0x07"}}"#)).unwrap();
    assert_eq!(state.storage(address(), U256::from(42)), Ok(U256::from(7)));
    let twice = one(&format!(r#"{code}, "storage": {{"0x01": "0x1", "0x1": "0x2"}}"#));
    let slot = U256::from(1);
    assert_eq!(twice, Err(GenesisError::SlotTwice { address: address(), slot }));
    for word in ["1", "0x", "0xg", &format!("0x{}", "0".repeat(65))] {
        let reason = form(&format!(r#"{code}, "storage": {{"{word}": "0x1"}}"#));
        assert!(reason.contains("1 to 64 hex digits"), "{reason}");
    }
    let orphan = one(r#""balance": 1, "storage": {"0x1": "0x1"}"#);
    assert_eq!(orphan, Err(GenesisError::Storage { address: address() }));
}

#[test]
fn invariant_1_documents_have_a_limit() {
    let error = parse_genesis(&vec![b' '; MAX_GENESIS_BYTES + 1]);
    let (actual, limit) = (MAX_GENESIS_BYTES + 1, MAX_GENESIS_BYTES);
    assert_eq!(error, Err(GenesisError::TooLong { actual, limit }));
    let accounts = |count: usize| {
        let account = |number| format!(r#""{number:040x}":{{"balance":1}}"#);
        let accounts: Vec<String> = (0..count).map(account).collect();
        parse(&format!(r#"{{"alloc":{{{}}}}}"#, accounts.join(",")))
    };
    let limit = MAX_GENESIS_ACCOUNTS;
    assert_eq!(accounts(limit).unwrap().accounts().count(), limit);
    let actual = limit + 1;
    assert_eq!(accounts(actual), Err(GenesisError::Accounts { actual, limit }));
}

#[test]
fn invariant_2_all_balances_together_fit() {
    let most = "f".repeat(64);
    let json = |second: &str| {
        format!(
            r#"{{"alloc": {{"{A}": {{"balance": "0x{most}"}}, "{B}": {{"balance": "{second}"}}}}}}"#
        )
    };
    assert!(parse(&json("0")).is_ok());
    let address = B.parse().unwrap();
    assert_eq!(parse(&json("1")), Err(GenesisError::Supply { address }));
}

#[test]
fn invariant_3_order_and_spelling_do_not_matter() {
    let one = parse(&format!(
        r#"{{"alloc": {{"0x{A}": {{"balance": "0x10"}}, "{B}":
            {{"balance": 5, "code": "0x00", "storage": {{"0x1": "0x2", "0x2": "0x3"}}}}}}}}"#
    ));
    let two = parse(&format!(
        r#"{{"alloc": {{"0x{}": {{"storage": {{"0x0002": "0x03", "0x01": "0x02"}},
            "code": "0x00", "nonce": "0", "balance": "5"}}, "{A}": {{"balance": "16"}}}}}}"#,
        B.to_uppercase()
    ));
    assert_eq!(one, two);
    assert!(one.is_ok());
}
