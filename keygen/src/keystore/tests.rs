#![allow(clippy::unwrap_used)]

use super::eip2335::File;
use super::*;
use crate::ceremony::Membership;
use crate::test_support::{consensus_secret, dealing_secret, network_secret};
use fairveil_crypto::SequencerIndex;
use fairveil_crypto::committee::KeyShare;

/// The scrypt vector of EIP-2335.
const PUBLISHED: &str = r#"{
    "crypto": {
        "kdf": {
            "function": "scrypt",
            "params": {
                "dklen": 32,
                "n": 262144,
                "p": 1,
                "r": 8,
                "salt": "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
            },
            "message": ""
        },
        "checksum": {
            "function": "sha256",
            "params": {},
            "message": "d2217fe5f3e9a1e34581ef8a78f7c9928e436d36dacc5e846690a5581e8ea484"
        },
        "cipher": {
            "function": "aes-128-ctr",
            "params": { "iv": "264daa3f303d7259501c93d997d84fe6" },
            "message": "06ae90d55fe0a6e9c5c3bc5b170827b2e5cce3929ed3f116c2811e6366dfe20f"
        }
    },
    "description": "This is a test keystore that uses scrypt to secure the secret.",
    "pubkey": "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07",
    "path": "m/12381/60/3141592653/589793238",
    "uuid": "1d85ae20-35c5-4611-98e8-aa14a633906f",
    "version": 4
}"#;
/// The PBKDF2 vector of EIP-2335.
const PUBLISHED_PBKDF2: &str = r#"{
    "crypto": {
        "kdf": {
            "function": "pbkdf2",
            "params": {
                "dklen": 32,
                "c": 262144,
                "prf": "hmac-sha256",
                "salt": "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
            },
            "message": ""
        },
        "checksum": {
            "function": "sha256",
            "params": {},
            "message": "8a9f5d9912ed7e75ea794bc5a89bca5f193721d30868ade6f73043c6ea6febf1"
        },
        "cipher": {
            "function": "aes-128-ctr",
            "params": { "iv": "264daa3f303d7259501c93d997d84fe6" },
            "message": "cee03fde2af33149775b7223e7845e4fb2c8ae1792e5f99fe9ecf474cc8c16ad"
        }
    },
    "description": "This is a test keystore that uses PBKDF2 to secure the secret.",
    "pubkey": "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07",
    "path": "m/12381/60/0/0",
    "uuid": "64625def-3331-4eea-ab6f-782f3ed16a83",
    "version": 4
}"#;
const SECRET: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn randomness(byte: u8) -> KeystoreRandomness {
    KeystoreRandomness { salt: [byte; 32], iv: [byte + 1; 16], uuid: [byte + 2; 16] }
}

const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);

fn epoch_key(byte: u8) -> EpochKey {
    EpochKey::from_bytes([byte; 32])
}

fn identity(member: u16) -> SequencerKeys {
    let mut keys = SequencerKeys::new(network_secret(member), consensus_secret(member));
    keys.add_dealing(&dealing_secret(member), &epoch_key(1)).unwrap();
    keys
}

fn membership(number: u16, epoch: u64) -> Membership {
    let index = SequencerIndex::new(number + 1).unwrap();
    let share = KeyShare::decode(index, &[9; 32]).unwrap();
    Membership { network_id: NETWORK, epoch: Epoch::new(epoch), share }
}

fn member(number: u16) -> SequencerKeys {
    let mut keys = identity(number);
    keys.add_membership(&membership(number, 1), &epoch_key(2)).unwrap();
    keys
}

fn sealed(keys: &SequencerKeys) -> Vec<u8> {
    seal(keys, &passphrase("correct horse"), ScryptCost::Light, randomness(1))
}

fn opened(bytes: &[u8]) -> Result<SequencerKeys, KeystoreError> {
    open(bytes, &passphrase("correct horse"))
}

#[test]
fn the_published_scrypt_vector_passes() {
    let file = File::parse(PUBLISHED.as_bytes()).unwrap();
    let secret = file.decrypt(&passphrase("𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑")).unwrap();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, SECRET);
    assert!(matches!(
        file.decrypt(&passphrase("testpassword")),
        Err(KeystoreError::WrongPassphraseOrCorrupted)
    ));
}

#[test]
fn the_published_pbkdf2_vector_is_refused_by_name() {
    match File::parse(PUBLISHED_PBKDF2.as_bytes()).unwrap_err() {
        KeystoreError::Function { actual, supported } => {
            assert_eq!((actual.as_str(), supported), ("pbkdf2", "scrypt"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn invariant_2_what_is_sealed_opens_to_the_same_keys() {
    for keys in [identity(2), member(2)] {
        let again = opened(&sealed(&keys)).unwrap();
        assert_eq!(*again.network.expose_seed(), *keys.network.expose_seed());
        assert_eq!(*again.consensus.expose_seed(), *keys.consensus.expose_seed());
        assert!(again.labels().eq(keys.labels()));
        let dealing = again.dealing(&dealing_secret(2).public_key(), &epoch_key(1)).unwrap();
        assert_eq!(*dealing.expose_bytes(), *dealing_secret(2).expose_bytes());
    }
    let again = opened(&sealed(&member(2))).unwrap();
    let found = again.membership_of(&NETWORK, Epoch::new(1), &epoch_key(2)).unwrap();
    let before = membership(2, 1);
    assert_eq!((found.network_id, found.epoch), (before.network_id, before.epoch));
    assert_eq!(found.share.index(), before.share.index());
    assert_eq!(*found.share.expose_encoding(), *before.share.expose_encoding());
}

#[test]
fn invariant_5_a_secret_opens_under_its_own_epoch_key_alone() {
    let (keys, epoch) = (member(2), Epoch::new(1));
    assert_eq!(
        keys.membership_of(&NETWORK, epoch, &epoch_key(3)).unwrap_err(),
        MembershipError::EpochKey { epoch }
    );
    let dealing = dealing_secret(2).public_key();
    assert_eq!(
        keys.dealing(&dealing, &epoch_key(2)).unwrap_err(),
        DealingKeyError::EpochKey { dealing }
    );
    let expected = dealing_secret(1).public_key();
    assert_eq!(
        keys.dealing(&expected, &epoch_key(1)).unwrap_err(),
        DealingKeyError::Missing { expected }
    );
    // The plain contents, once the passphrase is known, hold neither secret.
    let contents = keys.expose_bytes();
    for secret in [&dealing_secret(2).expose_bytes()[..], &[9; 32]] {
        assert!(!contents.windows(secret.len()).any(|window| window == secret));
    }
    // Another label, the same key: the wrapping names what it wraps.
    let mut moved = opened(&sealed(&keys)).unwrap().expose_bytes();
    let epoch_at = moved.len() - 48 - 2 - 1;
    moved[epoch_at] = 2;
    let moved = SequencerKeys::from_bytes(&moved).unwrap();
    let epoch = Epoch::new(2);
    assert_eq!(
        moved.membership_of(&NETWORK, epoch, &epoch_key(2)).unwrap_err(),
        MembershipError::EpochKey { epoch }
    );
}

#[test]
fn shares_of_two_epochs_stand_side_by_side_until_one_is_forgotten() {
    let mut keys = member(2);
    keys.add_membership(&membership(4, 2), &epoch_key(4)).unwrap();
    // A later round of the same epoch replaces the share of the earlier one.
    keys.add_membership(&membership(3, 2), &epoch_key(5)).unwrap();
    assert_eq!(keys.labels().count(), 3);
    let second = keys.membership_of(&NETWORK, Epoch::new(2), &epoch_key(5)).unwrap();
    assert_eq!(second.share.index(), SequencerIndex::new(4).unwrap());
    let first = keys.share_label(&NETWORK, Epoch::new(1)).unwrap();
    assert!(keys.forget(&first));
    assert!(!keys.forget(&first));
    assert!(matches!(
        keys.membership_of(&NETWORK, Epoch::new(1), &epoch_key(2)),
        Err(MembershipError::WrongEpoch { .. })
    ));
    for number in 10..16 {
        keys.add_dealing(&dealing_secret(number), &epoch_key(6)).unwrap();
    }
    assert_eq!(keys.add_dealing(&dealing_secret(16), &epoch_key(7)), Err(KeystoreFull));
    assert!(opened(&sealed(&keys)).is_ok());
}

#[test]
fn the_standard_cost_is_the_one_of_the_published_vector() {
    let keys = identity(1);
    let bytes = seal(&keys, &passphrase("p"), ScryptCost::Standard, randomness(1));
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("\"n\": 262144") && text.contains("\"r\": 8"));
    let light = String::from_utf8(sealed(&keys)).unwrap();
    assert!(light.contains("\"n\": 4096"));
}

#[test]
fn invariant_2_a_wrong_passphrase_is_named() {
    let bytes = sealed(&member(0));
    for wrong in ["correct horsf", "Correct horse", "correct  horse"] {
        assert!(matches!(open(&bytes, &passphrase(wrong)), Err(KeystoreError::WrongPassphrase)));
    }
}

#[test]
fn invariant_2_every_damaged_byte_is_an_error_and_never_a_wrong_passphrase() {
    let bytes = sealed(&member(0));
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        // Still a hex digit where there was one.
        damaged[place] = if damaged[place] == b'1' { b'2' } else { b'1' };
        match opened(&damaged) {
            Ok(_) => assert!(bytes[place].is_ascii_whitespace(), "byte {place}"),
            Err(KeystoreError::WrongPassphrase) => {
                panic!("byte {place} is blamed on the passphrase")
            }
            Err(_) => {}
        }
    }
    assert!(matches!(opened(&bytes[..bytes.len() / 2]), Err(KeystoreError::Json(_))));
    let message = String::from_utf8(bytes).unwrap().replacen("message\": \"", "message\": \"00", 2);
    assert!(matches!(opened(message.as_bytes()), Err(KeystoreError::Corrupted)));
}

#[test]
fn invariant_2_swapped_labels_and_foreign_contents_are_named() {
    let (keys, other) = (member(0), member(1));
    let label = other.consensus.public_key().to_bytes().to_vec();
    let relabelled = File::encrypt(
        &keys.expose_bytes(),
        &passphrase("correct horse"),
        ScryptCost::Light,
        randomness(1),
        String::new(),
        label,
    );
    match opened(&relabelled.to_json()).unwrap_err() {
        KeystoreError::Swapped { actual, .. } => assert_eq!(actual, keys.consensus.public_key()),
        other => panic!("{other}"),
    }
    for contents in
        [&[0; 32][..], &keys.expose_bytes()[1..], &[&keys.expose_bytes()[..], &[0]].concat()]
    {
        let foreign = File::encrypt(
            contents,
            &passphrase("correct horse"),
            ScryptCost::Light,
            randomness(1),
            String::new(),
            Vec::new(),
        );
        assert!(matches!(opened(&foreign.to_json()), Err(KeystoreError::Contents)));
    }
}

#[test]
fn invariant_2_wrong_network_and_epoch_are_named() {
    let keys = opened(&sealed(&member(3))).unwrap();
    let key = epoch_key(2);
    assert!(keys.membership_of(&NETWORK, Epoch::new(1), &key).is_ok());
    let other = NetworkId::from_bytes([8; 32]);
    assert_eq!(
        keys.membership_of(&other, Epoch::new(1), &key).unwrap_err(),
        MembershipError::WrongNetwork { expected: other, actual: NETWORK }
    );
    assert_eq!(
        keys.membership_of(&NETWORK, Epoch::new(2), &key).unwrap_err(),
        MembershipError::WrongEpoch { expected: Epoch::new(2), actual: Epoch::new(1) }
    );
    let before = identity(3).membership_of(&NETWORK, Epoch::new(1), &key).map(|_| ());
    assert_eq!(before, Err(MembershipError::NoShare));
}

#[test]
fn invariant_3_nothing_secret_is_printed_or_in_clear_in_the_file() {
    let keys = member(0);
    let bytes = seal(&keys, &passphrase("p"), ScryptCost::Light, randomness(0x77));
    let text = String::from_utf8(bytes).unwrap();
    let secrets = [
        keys.network.expose_seed().to_vec(),
        keys.consensus.expose_seed().to_vec(),
        dealing_secret(0).expose_bytes().to_vec(),
        vec![9; 32],
    ];
    for secret in secrets {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&hex));
    }
    let printed = format!("{keys:?} {:?} {:?}", membership(0, 1), epoch_key(2));
    assert_eq!(printed.matches("<redacted>").count(), 3);
}

#[test]
fn invariant_4_costly_and_unknown_parameters_are_refused_before_they_are_computed() {
    let text = String::from_utf8(PUBLISHED.into()).unwrap();
    let with = |from: &str, to: &str| {
        let bytes = text.replace(from, to);
        File::parse(bytes.as_bytes()).and_then(|file| file.decrypt(&passphrase("p")).map(|_| ()))
    };
    for (from, to) in [
        ("262144", "2097152"),
        ("262144", "262143"),
        ("262144", "1"),
        ("\"p\": 1", "\"p\": 17"),
        ("\"r\": 8", "\"r\": 9"),
        ("\"r\": 8", "\"r\": 0"),
        ("\"dklen\": 32", "\"dklen\": 64"),
    ] {
        assert!(matches!(with(from, to), Err(KeystoreError::Parameters)), "{to}");
    }
    assert!(matches!(
        with("\"scrypt\"", "\"pbkdf2\""),
        Err(KeystoreError::Function { supported: "scrypt", .. })
    ));
    assert!(matches!(with("\"version\": 4", "\"version\": 3"), Err(KeystoreError::Version { .. })));
    let long = vec![b' '; MAX_BYTES + 1];
    assert!(matches!(opened(&long), Err(KeystoreError::TooLong { .. })));
}
