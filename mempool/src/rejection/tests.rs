#![allow(clippy::unwrap_used)]

use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::envelope::SealedBundle;
use proptest::prelude::*;

use super::*;

#[test]
fn invariant_1_the_codes_are_those_of_the_table_in_its_order() {
    let codes: Vec<&str> = RejectionCode::ALL.iter().map(|code| code.as_str()).collect();
    let table = "syncing, rate, version, rlp, field, class, length, window, horizon, signature, \
                 network, key, proof, expired, nonce, payer_limit, pool_full, unfunded";
    assert_eq!(codes.join(", "), table);
    assert!(RejectionCode::ALL.is_sorted());
    for code in RejectionCode::ALL {
        assert_eq!(code.to_string().parse(), Ok(*code));
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
    }
    assert_eq!("full".parse::<RejectionCode>(), Err(ParseCodeError));
}

#[test]
fn invariant_2_sentences_have_both_values_and_a_cure() {
    let length = Rejection::numbers(RejectionCode::Length, 70_112, 65_728);
    assert_eq!(length.to_string(), "ciphertext is 70,112 bytes, class 7 needs 65,728: seal again");
    for code in RejectionCode::ALL {
        let sentence = Rejection::numbers(*code, 1_234_567, 89).to_string();
        assert!(sentence.contains("1,234,567"), "{sentence}");
        assert!(sentence.contains("89"), "{sentence}");
        assert!(sentence.contains(": "), "{sentence}");
    }
}

#[test]
fn values_are_written_as_people_and_machines_read_them() {
    let values = [
        Value::Number(u64::MAX),
        Value::Number(0),
        Value::Address([0xab; 20]),
        Value::Digest([0x01; 32]),
        Value::Text("signature: 64 bytes".to_owned()),
        Value::Text(String::new()),
    ];
    for value in values {
        assert_eq!(value.to_string().parse(), Ok(value.clone()));
        let (actual, limit) = (value.clone(), value);
        let rejection = Rejection { code: RejectionCode::Key, actual, limit };
        let json = serde_json::to_string(&rejection).unwrap();
        assert_eq!(serde_json::from_str::<Rejection>(&json).unwrap(), rejection);
        assert_eq!(decode::<Rejection>(&encode(&rejection), 1_024), Ok(rejection));
    }
    assert_eq!("007".parse(), Ok(Value::Text("007".to_owned())));
    assert_eq!("0xAB".parse(), Ok(Value::Text("0xAB".to_owned())));
    let long = "x".repeat(TEXT_BYTES + 1);
    assert_eq!(long.parse::<Value>(), Err(ParseValueError { actual: TEXT_BYTES + 1 }));
    let rejection =
        Rejection { code: RejectionCode::Rlp, actual: Value::Text(long), limit: Value::Number(1) };
    assert!(decode::<Rejection>(&encode(&rejection), 1_024).is_err());
    assert_eq!(Value::text(&"ä".repeat(TEXT_BYTES)), Value::Text("ä".repeat(TEXT_BYTES / 2)));
}

#[test]
fn envelopes_are_rejected_with_their_values() {
    let rejected = |bytes: &[u8]| Rejection::from(SealedBundle::decode(bytes).unwrap_err());
    assert_eq!(rejected(&[2, 0xc0]), Rejection::numbers(RejectionCode::Version, 2, 1));
    assert_eq!(
        rejected(&[]).to_string(),
        "version byte is missing, this network reads 1: use a \
        client of its version"
    );
    let field = rejected(&[1, 0xc0]);
    assert_eq!(field.code, RejectionCode::Field);
    assert_eq!(
        (field.actual.to_string(), field.limit.to_string()),
        ("list: 0 items".to_owned(), "9 items".to_owned())
    );
    assert_eq!(rejected(&[1, 0xc0, 0]).code, RejectionCode::Rlp);
    assert!(rejected(&[1, 0xc0, 0]).is_intrinsic());
}

proptest! {
    #[test]
    fn any_text_is_read_as_it_is_written(text in ".{0,40}") {
        let value: Value = text.parse().unwrap();
        prop_assert_eq!(value.to_string(), text);
        let bytes = encode(&value);
        prop_assert_eq!(decode::<Value>(&bytes, 1_024), Ok(value));
    }
}
