#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::Epoch;
use crate::dealer::{Dealt, deal};
use crate::seal::{SealRandomness, seal};

const NETWORK: NetworkId = NetworkId::from_bytes([0x11; 32]);

static DEALT: LazyLock<Dealt> = LazyLock::new(|| deal(Epoch::new(1), 4, &[1; 32]));

fn secret() -> PayerSecret {
    PayerSecret::from_bytes([3; 32]).unwrap()
}

fn header() -> Header {
    Header {
        network_id: NETWORK,
        key_id: DEALT.committee.key_id(),
        class: SizeClass::MIN,
        valid_from: Height::new(300),
        expires_at: Height::new(70_000),
        payer: secret().payer(),
        payer_nonce: 5,
    }
}

fn sealed(header: Header) -> SealedBundle {
    let m = vec![0; header.class.plaintext_bytes()];
    let randomness = SealRandomness::from_parts([1; 32], &[2; 32]).unwrap();
    let ciphertext = seal(DEALT.committee.key(), &header.encode(), &m, randomness).unwrap();
    let unsigned = UnsignedBundle::new(header, ciphertext).unwrap();
    unsigned.sign(&secret()).unwrap()
}

fn judge(bytes: &[u8]) -> Result<VerifiedBundle, EnvelopeError> {
    SealedBundle::decode(bytes)?.verify(&NETWORK, DEALT.committee.key())
}

#[test]
fn a_right_bundle_is_accepted() {
    let bundle = sealed(header());
    let verified = judge(&bundle.encode()).unwrap();
    assert_eq!(verified.sealed(), &bundle);
    assert_eq!(verified.id(), bundle.id());
}

#[test]
fn the_longest_bundle_has_the_named_limit() {
    let header = Header {
        class: SizeClass::MAX,
        valid_from: Height::MAX,
        expires_at: Height::MAX,
        payer_nonce: u64::MAX,
        ..header()
    };
    assert_eq!(sealed(header).encode().len(), MAX_SEALED_BYTES);
}

#[test]
fn size_classes_fit() {
    assert_eq!(SizeClass::fitting(0), Some(SizeClass::MIN));
    assert_eq!(SizeClass::fitting(512), Some(SizeClass::MIN));
    assert_eq!(SizeClass::fitting(513), SizeClass::new(1));
    assert_eq!(SizeClass::fitting(65_536), Some(SizeClass::MAX));
    assert_eq!(SizeClass::fitting(65_537), None);
    assert_eq!(SizeClass::new(8), None);
}

#[test]
fn invariant_2_errors_carry_both_values() {
    let mut header = header();
    header.class = SizeClass::MAX;
    let ciphertext = Ciphertext::decode(&vec![0; 70_112]).unwrap();
    let error = UnsignedBundle::new(header, ciphertext).unwrap_err();
    assert_eq!(error.to_string(), "ciphertext is 70112 bytes, class 7 needs 65728");
    assert_eq!(error.code(), "length");
    let error = SealedBundle::decode(&[]).unwrap_err();
    assert_eq!(error.to_string(), "version is missing, only 1 is known");
    let error = SealedBundle::decode(&[2]).unwrap_err();
    assert_eq!(error.to_string(), "version is 2, only 1 is known");
    let error = SealedBundle::decode(&[1, 0xc1, 0x80]).unwrap_err();
    assert_eq!(error.to_string(), "field list: 1 items, 9 items needed");
    let error = SealedBundle::decode(&[1, 0xc0, 7]).unwrap_err();
    assert_eq!(error.to_string(), "rlp: 1 bytes follow the list at byte 2");
    let error = SealedBundle::decode(&[1, 0xc2, 0x81, 5]).unwrap_err();
    assert_eq!(error.to_string(), "rlp: not the shortest form at byte 2");
}

/// Writes a bundle whose fields break rules, which the types do not allow.
fn broken(fields: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    rlp::list(VERSION, |out| fields(out))
}

#[test]
fn invariant_2_the_first_broken_rule_decides() {
    // Everything is wrong at once; then the first fault is mended, and the next shows.
    let write = |network: usize, class: u64, length: usize, from: u64| {
        broken(&move |out: &mut Vec<u8>| {
            rlp::bytes(out, &vec![0; network]);
            rlp::bytes(out, &[0; 32]);
            rlp::integer(out, class);
            rlp::integer(out, from);
            rlp::integer(out, 5);
            rlp::bytes(out, &[0; 20]);
            rlp::integer(out, 0);
            rlp::bytes(out, &vec![0; length]);
            rlp::bytes(out, &[0; 65]);
        })
    };
    let code = |bytes: &[u8]| judge(bytes).unwrap_err().code();
    let mut bytes = write(31, 9, 0, 6);
    bytes[0] = 3;
    bytes.push(0);
    assert_eq!(code(&bytes), "version");
    bytes[0] = 1;
    assert_eq!(code(&bytes), "rlp");
    bytes.pop();
    assert_eq!(code(&bytes), "field");
    assert_eq!(code(&write(32, 9, 0, 6)), "class");
    assert_eq!(code(&write(32, 0, 0, 6)), "length");
    assert_eq!(code(&write(32, 0, 191, 6)), "length");
    assert_eq!(code(&write(32, 0, 704, 6)), "window");
    assert_eq!(code(&write(32, 0, 704, 5)), "signature");

    let foreign = Header {
        network_id: NetworkId::from_bytes([0; 32]),
        key_id: KeyId::from_bytes([0; 32]),
        ..header()
    };
    assert_eq!(code(&sealed(foreign).encode()), "network");
    let foreign = Header { key_id: KeyId::from_bytes([0; 32]), ..header() };
    assert_eq!(code(&sealed(foreign).encode()), "key");
}

#[test]
fn invariant_3_the_id_does_not_cover_the_signature() {
    let bundle = sealed(header());
    let mut bytes = bundle.encode();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    let parsed = ParsedBundle::decode(&bytes).unwrap();
    assert_eq!(parsed.id(), bundle.id());
    assert_eq!(parsed.verify_signature().unwrap_err().code(), "signature");
}

#[test]
fn invariant_4_another_payer_can_not_take_a_ciphertext() {
    let other = PayerSecret::from_bytes([4; 32]).unwrap();
    let bundle = sealed(header());
    let stolen = Header { payer: other.payer(), ..header() };
    let unsigned = UnsignedBundle::new(stolen, bundle.ciphertext().clone()).unwrap();
    let bytes = unsigned.sign(&other).unwrap().encode();
    assert_eq!(judge(&bytes).unwrap_err().code(), "proof");
    let unsigned = UnsignedBundle::new(header(), bundle.ciphertext().clone()).unwrap();
    assert_eq!(unsigned.sign(&other).unwrap_err().code(), "signature");
    assert_eq!(format!("{other:?}"), "PayerSecret(<redacted>)");
}

#[test]
fn header_fields_can_not_be_changed_by_the_payer_either() {
    let bundle = sealed(header());
    let changes: [&dyn Fn(&mut Header); 3] = [
        &|header| header.valid_from = Height::new(1),
        &|header| header.expires_at = header.expires_at.next(),
        &|header| header.payer_nonce += 1,
    ];
    for change in changes {
        let mut changed = header();
        change(&mut changed);
        let unsigned = UnsignedBundle::new(changed, bundle.ciphertext().clone()).unwrap();
        let bytes = unsigned.sign(&secret()).unwrap().encode();
        assert_eq!(judge(&bytes).unwrap_err().code(), "proof");
    }
}

#[test]
fn many_are_judged_as_each_alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let foreign = Header { network_id: NetworkId::from_bytes([0; 32]), ..header() };
    let bundles = [sealed(header()), sealed(foreign), sealed(header())];
    let verdicts = verify_many(&bundles, &NETWORK, DEALT.committee.key(), &pool);
    for (verdict, bundle) in verdicts.iter().zip(&bundles) {
        assert_eq!(*verdict, bundle.verify(&NETWORK, DEALT.committee.key()));
    }
    assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_byte_is_refused(position: prop::sample::Index, change in 1u8..) {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(header()).encode());
        let mut bytes = BYTES.clone();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        prop_assert!(judge(&bytes).is_err());
    }

    #[test]
    fn any_cut_or_addition_is_refused(position: prop::sample::Index, byte: u8) {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(header()).encode());
        let mut bytes = BYTES.clone();
        let position = position.index(bytes.len());
        bytes.insert(position, byte);
        prop_assert!(judge(&bytes).is_err());
        bytes.remove(position);
        bytes.remove(position);
        prop_assert!(judge(&bytes).is_err());
    }

    #[test]
    fn invariant_1_what_decodes_encodes_to_the_same_bytes(
        class in 0u64..3, from: u64, until: u64, nonce: u64, length_error in 0usize..3,
    ) {
        let length = (512 << class) + OVERHEAD_BYTES + length_error / 2;
        let bytes = broken(&|out| {
            rlp::bytes(out, &[1; 32]);
            rlp::bytes(out, &[2; 32]);
            rlp::integer(out, class);
            rlp::integer(out, from);
            rlp::integer(out, until);
            rlp::bytes(out, &[3; 20]);
            rlp::integer(out, nonce);
            rlp::bytes(out, &vec![4; length]);
            rlp::bytes(out, &[5; 65]);
        });
        if let Ok(ParsedBundle { unsigned, signature }) = ParsedBundle::decode(&bytes) {
            let bundle = SealedBundle { unsigned, signature };
            prop_assert_eq!(bundle.encode(), bytes);
        } else {
            prop_assert!(from > until || length_error == 2);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = SealedBundle::decode(&bytes);
        let mut versioned = vec![VERSION, 0xf8, bytes.len() as u8];
        versioned.extend_from_slice(&bytes);
        let _ = SealedBundle::decode(&versioned);
    }
}
