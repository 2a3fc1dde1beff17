use alloy_consensus::crypto::secp256k1::{recover_signer, sign_message};
use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxEnvelope, TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::{Authorization, RecoveredAuthority, SignedAuthorization};
use alloy_primitives::{Address, Signature, TxKind, U256};
use revm::context_interface::either::Either;

use super::world::*;
use crate::sender::{RecoveredTransaction, SenderError, SetCode, SignedTransaction};

fn recover(raw: Vec<u8>, set_code: SetCode) -> Result<RecoveredTransaction, SenderError> {
    SignedTransaction { raw: raw.into(), chain_id: ONE, set_code }.recover()
}

fn refused(raw: Vec<u8>) -> SenderError {
    recover(raw, SetCode::Taken).expect_err("refused")
}

fn dynamic() -> TxEip1559 {
    transfer(ONE, 3, Address::repeat_byte(9), 1)
}

fn authorized(change: impl Fn(Signature) -> (u8, U256, U256)) -> SignedAuthorization {
    let address = Address::repeat_byte(8);
    let authorization = Authorization { chain_id: U256::from(ONE), address, nonce: 0 };
    let signature = sign_message(secret(2), authorization.signature_hash()).unwrap();
    let (parity, r, s) = change(signature);
    SignedAuthorization::new_unchecked(authorization, parity, r, s)
}

fn set_code(authorization: SignedAuthorization) -> TxEip7702 {
    TxEip7702 {
        chain_id: ONE,
        gas_limit: GAS,
        max_fee_per_gas: FEE,
        authorization_list: vec![authorization],
        ..Default::default()
    }
}

fn unchanged(signature: Signature) -> (u8, U256, U256) {
    (u8::from(signature.v()), signature.r(), signature.s())
}

/// The other s of the same signature: n - s.
fn high_s(signature: Signature) -> (u8, U256, U256) {
    let order = U256::from_be_slice(&secp256k1::constants::CURVE_ORDER);
    (u8::from(!signature.v()), signature.r(), order - signature.s())
}

#[test]
fn every_type_is_recovered_as_another_library_does() {
    let to = TxKind::Call(Address::repeat_byte(9));
    let legacy = TxLegacy { chain_id: Some(ONE), gas_limit: GAS, to, ..Default::default() };
    let listed = TxEip2930 { chain_id: ONE, gas_limit: GAS, to, ..Default::default() };
    let raws = [
        signed(1, legacy),
        signed(2, listed),
        signed(3, dynamic()),
        signed(4, set_code(authorized(unchanged))),
    ];
    for (raw, who) in raws.into_iter().zip(1u8..) {
        let transaction = recover(raw, SetCode::Taken).unwrap();
        assert_eq!(transaction.sender(), address(who));
        assert_eq!(transaction.chain_id(), ONE);
    }
    let transaction = recovered(ONE, signed(1, dynamic()));
    assert_eq!((transaction.nonce(), transaction.gas_limit()), (3, 21_000));
    assert_eq!(transaction.max_fee_per_gas(), FEE);
    for nonce in 0..50 {
        let transaction = transfer(ONE, nonce, Address::ZERO, 1);
        let signature = sign_message(secret(7), transaction.signature_hash()).unwrap();
        let expected = recover_signer(&signature, transaction.signature_hash()).unwrap();
        assert_eq!(recovered(ONE, signed(7, transaction)).sender(), expected);
    }
}

#[test]
fn types_that_a_rollup_does_not_take_are_refused_deposits_among_them() {
    let blob = TxEip4844 { chain_id: ONE, gas_limit: GAS, ..Default::default() };
    let signature = sign_message(secret(1), blob.signature_hash()).unwrap();
    let blob: EthereumTxEnvelope<TxEip4844> = blob.into_signed(signature).into();
    assert_eq!(refused(blob.encoded_2718()), SenderError::Type { actual: 3 });
    let with_code = signed(1, set_code(authorized(unchanged)));
    assert_eq!(recover(with_code, SetCode::Refused), Err(SenderError::Type { actual: 4 }));
    for actual in [0, 3, 5, 0x7e, 0x7f] {
        let mut raw = signed(1, dynamic());
        raw[0] = actual;
        assert_eq!(refused(raw), SenderError::Type { actual });
    }
}

#[test]
fn encodings_are_strict() {
    let raw = signed(1, dynamic());
    for length in 0..raw.len() {
        assert_eq!(refused(raw[..length].to_vec()), SenderError::Encoding);
    }
    assert_eq!(refused([&raw[..], &[0]].concat()), SenderError::Encoding);
    assert_eq!(refused(vec![0x80]), SenderError::Encoding);
    // The nonce 3 with a leading zero, the list two bytes longer.
    let at = raw.iter().position(|byte| *byte == 3).unwrap();
    let mut padded = raw.clone();
    padded.splice(at..=at, [0x82, 0, 3]);
    padded[2] += 2;
    assert_eq!(refused(padded), SenderError::Encoding);
}

#[test]
fn a_transaction_is_for_this_chain_alone() {
    let unprotected = TxLegacy { chain_id: None, gas_limit: GAS, ..Default::default() };
    assert_eq!(refused(signed(1, unprotected)), SenderError::Unprotected);
    let foreign = signed(1, transfer(TWO, 0, Address::ZERO, 1));
    assert_eq!(refused(foreign), SenderError::Chain { actual: TWO, expected: ONE });
}

#[test]
fn signatures_have_a_low_s_and_recover() {
    let transaction = dynamic();
    let signature = sign_message(secret(1), transaction.signature_hash()).unwrap();
    let with = |(parity, r, s): (u8, U256, U256)| {
        let signed = transaction.clone().into_signed(Signature::new(r, s, parity == 1));
        TxEnvelope::from(signed).encoded_2718()
    };
    assert_eq!(refused(with(high_s(signature))), SenderError::HighS);
    let (parity, r, s) = unchanged(signature);
    for (r, s) in [(U256::ZERO, s), (r, U256::ZERO), (U256::MAX, s)] {
        assert_eq!(refused(with((parity, r, s))), SenderError::Signature);
    }
    // Another signature is another sender, never this one.
    let flipped = recover(with((1 - parity, r, s)), SetCode::Taken);
    assert!(flipped.is_err() || flipped.unwrap().sender() != address(1));
}

#[test]
fn invariant_3_only_sound_authorizations_authorize() {
    let authority = |authorization| {
        let transaction = recovered(ONE, signed(1, set_code(authorization)));
        match &transaction.to_environment().base.authorization_list[..] {
            [Either::Right(recovered)] => recovered.authority(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(authority(authorized(unchanged)), Some(address(2)));
    assert_eq!(authority(authorized(high_s)), None);
    assert_eq!(authority(authorized(|s| (u8::from(s.v()) + 27, s.r(), s.s()))), None);
    assert_eq!(authority(authorized(|s| (0, U256::ZERO, s.s()))), None);
    assert!(RecoveredAuthority::Invalid.is_invalid());
}
