#![allow(clippy::unwrap_used)]

use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256};
use fairveil_mempool::Leg;

use super::*;

const CHAIN: u64 = 901;

fn secret(number: u8) -> B256 {
    B256::repeat_byte(number)
}

fn sign<T>(transaction: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    sign_with(transaction, |signature| signature)
}

fn sign_with<T>(transaction: T, change: impl Fn(Signature) -> Signature) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = secp256k1::sign_message(secret(1), transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(change(signature))).encoded_2718()
}

fn sender() -> Address {
    let raw = sign(dynamic());
    let rollup = Rollup::recorder(CHAIN, "one");
    valid_transaction(&raw, &rollup).unwrap().sender
}

fn legacy() -> TxLegacy {
    let to = TxKind::Call(Address::repeat_byte(7));
    TxLegacy { chain_id: Some(CHAIN), gas_limit: 21_000, gas_price: 5, to, ..Default::default() }
}

fn listed() -> TxEip2930 {
    let to = TxKind::Call(Address::repeat_byte(7));
    TxEip2930 { chain_id: CHAIN, gas_limit: 21_000, gas_price: 5, to, ..Default::default() }
}

fn dynamic() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN,
        nonce: 3,
        gas_limit: 21_000,
        max_fee_per_gas: 9,
        max_priority_fee_per_gas: 9,
        to: TxKind::Call(Address::repeat_byte(7)),
        ..Default::default()
    }
}

fn set_code() -> TxEip7702 {
    let address = Address::repeat_byte(8);
    let authorization = Authorization { chain_id: U256::from(CHAIN), address, nonce: 0 };
    let hash = authorization.signature_hash();
    let signature = secp256k1::sign_message(secret(2), hash).unwrap();
    TxEip7702 {
        chain_id: CHAIN,
        gas_limit: 46_000,
        max_fee_per_gas: 9,
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    }
}

fn blob() -> TxEip4844 {
    TxEip4844 { chain_id: CHAIN, gas_limit: 21_000, ..Default::default() }
}

fn create(input: Vec<u8>, gas_limit: u64) -> TxEip1559 {
    TxEip1559 { to: TxKind::Create, input: input.into(), gas_limit, ..dynamic() }
}

fn with_input(input: Vec<u8>, gas_limit: u64) -> TxEip1559 {
    TxEip1559 { input: input.into(), gas_limit, ..dynamic() }
}

fn with_access(keys: &[usize], gas_limit: u64) -> TxEip2930 {
    let items = keys.iter().map(|count| AccessListItem {
        address: Address::repeat_byte(1),
        storage_keys: vec![B256::ZERO; *count],
    });
    TxEip2930 { access_list: AccessList(items.collect()), gas_limit, ..listed() }
}

fn verdict(raw: &[u8]) -> Result<ValidTransaction, Invalid> {
    valid_transaction(raw, &Rollup { allows_set_code: true, ..Rollup::recorder(CHAIN, "one") })
}

fn refused(raw: &[u8]) -> Invalid {
    verdict(raw).expect_err("refused")
}

#[test]
fn every_type_is_taken_and_its_signer_recovered() {
    for raw in [sign(legacy()), sign(listed()), sign(dynamic()), sign(set_code())] {
        let valid = verdict(&raw).unwrap();
        assert_eq!(valid.sender, sender());
    }
    let key = "7e5f4552091a69125d5dfcb7b8c2659029395bdf";
    let signature = secp256k1::sign_message(B256::with_last_byte(1), dynamic().signature_hash());
    let raw = TxEnvelope::from(dynamic().into_signed(signature.unwrap())).encoded_2718();
    let expected = key.parse::<Address>().unwrap();
    assert_eq!(verdict(&raw).unwrap(), ValidTransaction { sender: expected, gas_limit: 21_000 });
}

#[test]
fn types_are_judged_by_the_registry() {
    let blob: EthereumTxEnvelope<TxEip4844> = {
        let signature = secp256k1::sign_message(secret(1), blob().signature_hash()).unwrap();
        blob().into_signed(signature).into()
    };
    assert_eq!(refused(&blob.encoded_2718()), Invalid::Type);
    let rollup = Rollup::recorder(CHAIN, "one");
    assert_eq!(valid_transaction(&sign(set_code()), &rollup), Err(Invalid::Type));
    for first in [0u8, 3, 5, 0x7e, 0x7f] {
        let mut raw = sign(dynamic());
        raw[0] = first;
        assert_eq!(refused(&raw), Invalid::Type, "type {first}");
    }
}

#[test]
fn encodings_are_strict() {
    let raw = sign(dynamic());
    assert_eq!(refused(&[]), Invalid::Encoding);
    assert_eq!(refused(&[0x80]), Invalid::Encoding);
    assert_eq!(refused(&raw[..raw.len() - 1]), Invalid::Encoding);
    let mut trailing = raw.clone();
    trailing.push(0);
    assert_eq!(refused(&trailing), Invalid::Encoding);
    // The network form: the envelope as an RLP string.
    let wrapped = alloy_rlp::encode(Bytes::from(raw.clone()));
    assert_eq!(refused(&wrapped), Invalid::Encoding);
    // A nonce with a leading zero: 03 becomes 82 00 03, the list two bytes longer.
    assert_eq!(&raw[1..3], [0xf8, raw[2]]);
    let at = raw.iter().position(|byte| *byte == 3).unwrap();
    let mut padded = raw.clone();
    padded.splice(at..=at, [0x82, 0, 3]);
    padded[2] += 2;
    assert_eq!(refused(&padded), Invalid::Encoding);
    // A single byte as a string of one: 03 becomes 81 03.
    let mut wrapped = raw;
    wrapped.splice(at..=at, [0x81, 3]);
    wrapped[2] += 1;
    assert_eq!(refused(&wrapped), Invalid::Encoding);
}

#[test]
fn chains_and_replay_protection() {
    assert_eq!(refused(&sign(TxLegacy { chain_id: None, ..legacy() })), Invalid::Unprotected);
    for chain_id in [0, 1, CHAIN - 1, CHAIN + 1, u64::MAX] {
        let chain = Some(chain_id);
        assert_eq!(refused(&sign(TxLegacy { chain_id: chain, ..legacy() })), Invalid::ChainId);
        assert_eq!(refused(&sign(TxEip2930 { chain_id, ..listed() })), Invalid::ChainId);
        assert_eq!(refused(&sign(TxEip1559 { chain_id, ..dynamic() })), Invalid::ChainId);
        assert_eq!(refused(&sign(TxEip7702 { chain_id, ..set_code() })), Invalid::ChainId);
    }
}

#[test]
fn limits_of_the_rollup() {
    let rollup = Rollup { gas_limit: 50_000, byte_limit: 200, ..Rollup::recorder(CHAIN, "one") };
    let verdict = |raw: &[u8]| valid_transaction(raw, &rollup);
    assert!(verdict(&sign(TxEip1559 { gas_limit: 50_000, ..dynamic() })).is_ok());
    let over = sign(TxEip1559 { gas_limit: 50_001, ..dynamic() });
    assert_eq!(verdict(&over), Err(Invalid::GasLimit));
    let length = |input: usize| sign(with_input(vec![0; input], 50_000)).len();
    let fitting = (0..200).rev().find(|input| length(*input) <= 200).unwrap();
    assert!(verdict(&sign(with_input(vec![0; fitting], 50_000))).is_ok());
    let longer = sign(with_input(vec![0; fitting + 1], 50_000));
    assert_eq!(verdict(&longer), Err(Invalid::Size));
}

#[test]
fn gas_pays_for_the_intrinsic_gas_and_the_floor() {
    let exact = |raw: &dyn Fn(u64) -> Vec<u8>, gas: u64| {
        assert_eq!(verdict(&raw(gas)).map(|valid| valid.gas_limit), Ok(gas));
        assert_eq!(refused(&raw(gas - 1)), Invalid::IntrinsicGas);
    };
    exact(&|gas_limit| sign(TxLegacy { gas_limit, ..legacy() }), 21_000);
    exact(&|gas| sign(with_access(&[], gas)), 21_000);
    exact(&|gas| sign(with_access(&[0, 3], gas)), 21_000 + 2 * 2_400 + 3 * 1_900);
    exact(&|gas_limit| sign(TxEip7702 { gas_limit, ..set_code() }), 46_000);
    // A call's input is charged by the floor: 10 per zero byte, 40 per other byte.
    exact(&|gas| sign(with_input(vec![0; 10], gas)), 21_000 + 100);
    exact(&|gas| sign(with_input(vec![1; 10], gas)), 21_000 + 400);
    // Init code: 4 and 16 a byte, 2 a word and the creation are more than the floor.
    exact(&|gas| sign(create(vec![1; 33], gas)), 21_000 + 32_000 + 33 * 16 + 2 * 2);
    let floor = 21_000 + 40 * 2_000;
    assert!(floor > 21_000 + 32_000 + 16 * 2_000 + 2 * 63 - 10_000);
    exact(&|gas| sign(create(vec![1; 1_000], gas)), 21_000 + 32_000 + 16_000 + 2 * 32);
    exact(&|gas| sign(create(vec![1; 2_000], gas)), floor.max(53_000 + 32_000 + 2 * 63));
}

#[test]
fn init_code_nonce_fee_and_authorizations() {
    let gas = 3_000_000;
    assert!(verdict(&sign(create(vec![0; MAX_INIT_CODE_BYTES], gas))).is_ok());
    let longer = sign(create(vec![0; MAX_INIT_CODE_BYTES + 1], gas));
    assert_eq!(refused(&longer), Invalid::InitCode);
    assert!(verdict(&sign(with_input(vec![0; MAX_INIT_CODE_BYTES + 1], gas))).is_ok());
    assert!(verdict(&sign(TxEip1559 { nonce: u64::MAX - 1, ..dynamic() })).is_ok());
    assert_eq!(refused(&sign(TxEip1559 { nonce: u64::MAX, ..dynamic() })), Invalid::Nonce);
    let fee = TxEip1559 { max_priority_fee_per_gas: 10, ..dynamic() };
    assert_eq!(refused(&sign(fee)), Invalid::Fee);
    let none = TxEip7702 { authorization_list: Vec::new(), ..set_code() };
    assert_eq!(refused(&sign(none)), Invalid::Authorization);
}

#[test]
fn signatures_are_low_and_recover() {
    let order = SECP256K1N_HALF * U256::from(2) + U256::from(1);
    let high =
        |signature: Signature| Signature::new(signature.r(), order - signature.s(), !signature.v());
    let same = |signature: Signature| signature;
    assert!(verdict(&sign_with(dynamic(), same)).is_ok());
    assert_eq!(refused(&sign_with(dynamic(), high)), Invalid::HighS);
    assert_eq!(refused(&sign_with(legacy(), high)), Invalid::HighS);
    let zero_r = |signature: Signature| Signature::new(U256::ZERO, signature.s(), false);
    let zero_s = |signature: Signature| Signature::new(signature.r(), U256::ZERO, false);
    let large_r = |signature: Signature| Signature::new(order, signature.s(), false);
    for change in [&zero_r as &dyn Fn(Signature) -> Signature, &zero_s, &large_r] {
        assert_eq!(refused(&sign_with(dynamic(), change)), Invalid::Signature);
    }
    let other = |signature: Signature| signature.with_parity(!signature.v());
    let recovered = verdict(&sign_with(dynamic(), other));
    assert!(recovered.is_err() || recovered.unwrap().sender != sender());
}

fn leg(chain_id: u64, transactions: Vec<Vec<u8>>) -> Leg {
    Leg { chain_id, transactions: transactions.into_iter().map(Bytes::from).collect() }
}

fn for_chain(chain_id: u64) -> Vec<u8> {
    sign(TxEip1559 { chain_id, ..dynamic() })
}

fn registry() -> Registry {
    let paused = Rollup { paused: true, ..Rollup::recorder(903, "three") };
    Registry::new(vec![Rollup::recorder(901, "one"), Rollup::recorder(902, "two"), paused]).unwrap()
}

fn judge(policy: Policy, legs: Vec<Leg>) -> Result<ValidBundle, Failed> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let bundle = Bundle::new(policy, legs).unwrap();
    valid_bundles(&pool, &registry(), &[bundle]).remove(0)
}

#[test]
fn bundles_fail_in_the_documented_order() {
    let bad = || vec![vec![0x7f]];
    let good = |chain_id| leg(chain_id, vec![for_chain(chain_id), for_chain(chain_id)]);
    let valid = judge(Policy::Include, vec![good(901), good(902)]).unwrap();
    assert_eq!(valid.legs().iter().map(ValidLeg::chain_id).collect::<Vec<_>>(), [901, 902]);
    assert!(valid.legs().iter().all(|leg| leg.gas() == 42_000 && leg.transactions().len() == 2));
    let unknown = Failed::UnknownRollup { rollup: 904 };
    let legs = vec![leg(901, bad()), leg(903, bad()), leg(904, bad()), leg(905, bad())];
    assert_eq!(judge(Policy::Execute, legs), Err(unknown));
    let paused = Failed::RollupPaused { rollup: 903 };
    let legs = vec![leg(901, bad()), leg(903, bad())];
    assert_eq!(judge(Policy::Execute, legs), Err(paused));
    let legs = vec![good(901), leg(902, vec![for_chain(902), for_chain(901), vec![0x7f]])];
    let why = Invalid::ChainId;
    let invalid = Failed::LegInvalid { leg: 1, tx: 1, why };
    assert_eq!(judge(Policy::Execute, legs.clone()), Err(invalid));
    assert_eq!(judge(Policy::Include, legs), Err(invalid));
    let unavailable = Failed::StateUnavailable { rollup: 901 };
    assert_eq!(judge(Policy::Execute, vec![good(901), good(902)]), Err(unavailable));
}

#[test]
fn many_bundles_get_their_own_verdicts_invariant_1() {
    let good = |chain_id| leg(chain_id, vec![for_chain(chain_id)]);
    let one = |legs| Bundle::new(Policy::Include, legs).unwrap();
    let bundles = [
        one(vec![good(901)]),
        one(vec![good(904)]),
        one(vec![good(901), leg(902, vec![for_chain(902), vec![1]])]),
        one(vec![good(903)]),
        one(vec![leg(902, vec![for_chain(902), for_chain(902), for_chain(902)])]),
    ];
    let verdicts = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        valid_bundles(&pool, &registry(), &bundles)
    });
    assert_eq!(verdicts[0], verdicts[1]);
    let codes =
        verdicts[0].iter().map(|verdict| verdict.as_ref().map_or_else(Failed::code, |_| "ok"));
    let expected = ["ok", "unknown_rollup", "leg_invalid", "rollup_paused", "ok"];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(verdicts[0][4].as_ref().unwrap().legs()[0].gas(), 63_000);
}
