//! Decoders of `mempool`, and everything that is read from text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use fairveil_crypto::encoding::encode;
use fairveil_crypto::envelope::SizeClass;
use fairveil_crypto::{BundleId, Height, SequencerIndex, Signature};
use fairveil_keygen::definition::Address;
use fairveil_keygen::keystore::Passphrase;
use fairveil_mempool::pool::{LogEntry, StoredBundle};
use fairveil_mempool::{
    Bundle, BundleMessage, FailedReason, Place, Policy, Receipt, ReceiptBody, Rejection,
    RejectionCode, Value,
};
use fairveil_ordering::LogHead;
use fairveil_release::transaction::RawTransaction;

use super::scene::{SCENE, head};
use super::world::{WORLD, bundle as bundle_of, index, leg};
use super::{LIMIT_BYTES, Verdict, kind, stored, tagged};

/// What sequencers say to each other about bundles.
pub(super) fn bundle_message(bytes: &[u8]) -> Verdict {
    let Ok(message) = BundleMessage::decode(bytes) else { return Verdict::Refused };
    assert_eq!(message.encode(), bytes);
    assert!(message.ids().len() <= fairveil_mempool::message::MESSAGE_IDS);
    Verdict::Accepted
}

pub(super) fn bundle_message_seeds() -> Vec<Vec<u8>> {
    let ids: Vec<_> = SCENE.sealed[..3].iter().map(|sealed| sealed.id()).collect();
    [
        BundleMessage::Relay(SCENE.sealed[0].sealed().encode()),
        BundleMessage::Announce(ids.clone()),
        BundleMessage::Fetch(ids.clone()),
        BundleMessage::Absent(ids),
    ]
    .map(|message| message.encode())
    .to_vec()
}

/// A bundle in the clear, alone and inside a padded plaintext.
pub(super) fn bundle(bytes: &[u8]) -> Verdict {
    let class = SizeClass::fitting(bytes.len());
    let class = class.filter(|class| class.plaintext_bytes() == bytes.len());
    if let Some(class) = class
        && let Ok(bundle) = Bundle::from_padded(bytes, class)
    {
        let written = bundle.padded(class).expect("it was read from this class");
        assert_eq!(written[..], *bytes);
        return Verdict::Accepted;
    }
    let Ok(bundle) = Bundle::decode(bytes) else { return Verdict::Refused };
    assert_eq!(bundle.encode()[..], *bytes);
    assert_eq!(Bundle::new(bundle.policy(), bundle.legs().to_vec()), Ok(bundle));
    Verdict::Accepted
}

pub(super) fn bundle_seeds() -> Vec<Vec<u8>> {
    let plain = SCENE.bundles.iter().map(|bundle| bundle.encode().to_vec());
    let execute = Bundle::new(Policy::Execute, vec![leg(901, &[1, 2]), leg(903, &[0])]);
    let execute = execute.expect("legs that make a bundle");
    let padded = [&execute, &bundle_of(vec![leg(902, &[3])])]
        .map(|bundle| bundle.padded(bundle.smallest_class()).expect("its own class").to_vec());
    plain.chain(padded).collect()
}

/// What is signed or stored in the one encoding, and is text in JSON.
pub(super) fn stored_values(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 5) else { return Verdict::Refused };
    let found = match kind {
        0 => stored::<Receipt>(bytes).is_some(),
        1 => stored::<ReceiptBody>(bytes).is_some(),
        2 => stored::<LogHead>(bytes).is_some(),
        3 => stored::<StoredBundle>(bytes).is_some(),
        4 => stored::<LogEntry>(bytes).is_some(),
        // In JSON numbers in a text are numbers: one way only.
        _ => match fairveil_crypto::encoding::decode::<Rejection>(bytes, LIMIT_BYTES) {
            Ok(rejection) => {
                assert_eq!(encode(&rejection), bytes);
                true
            }
            Err(_) => false,
        },
    };
    Verdict::of(found)
}

pub(super) fn stored_value_seeds() -> Vec<Vec<u8>> {
    let id = SCENE.sealed[0].id();
    let receipt = WORLD.receipt(index(1), id, Place::Position(4));
    let stored_bundle = StoredBundle {
        id,
        acceptance: 3,
        charged: Some(fairveil_mempool::pool::Source::Peer(index(2))),
        sealed: vec![1; 40],
    };
    let rejection = Rejection {
        code: RejectionCode::Length,
        actual: Value::Text("missing".to_owned()),
        limit: Value::Number(7),
    };
    vec![
        tagged(0, &encode(&receipt)),
        tagged(1, &encode(&WORLD.receipt(index(1), id, Place::Held).body)),
        tagged(2, &encode(&head(index(1), &[1]))),
        tagged(3, &encode(&stored_bundle)),
        tagged(4, &encode(&LogEntry { position: 4, id, receipt: receipt.body })),
        tagged(5, &encode(&rejection)),
    ]
}

/// Text of people and files: what is read and shown reads as the same, and the strict ones as the
/// same text.
pub(super) fn texts(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 9) else { return Verdict::Refused };
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    Verdict::of(match kind {
        0 => reads_back::<Value>(text, Some(text)),
        1 => reads_back::<RejectionCode>(text, Some(text)),
        2 => reads_back::<FailedReason>(text, Some(text)),
        3 => reads_back::<Address>(text, Some(text)),
        4 => reads_back::<RawTransaction>(text, None),
        5 => reads_back::<BundleId>(text, None),
        6 => reads_back::<Height>(text, None),
        7 => reads_back::<SequencerIndex>(text, None),
        8 => reads_back::<Signature>(text, None),
        _ => Passphrase::new(text).is_ok(),
    })
}

/// Whether the text is read; if so, what it shows must read as the same value.
fn reads_back<T>(text: &str, shown: Option<&str>) -> bool
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    let Ok(value) = text.parse::<T>() else { return false };
    let written = value.to_string();
    assert_eq!(written.parse::<T>().expect("what was shown is read"), value);
    if let Some(shown) = shown {
        assert_eq!(written, shown);
    }
    true
}

pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    let id = SCENE.sealed[0].id().to_string();
    let signature = head(index(1), &[]).signature.to_string();
    let texts = [
        (0, "17"),
        (0, "canonical RLP"),
        (0, &id),
        (1, "pool_full"),
        (2, "padding"),
        (3, "[::1]:4000"),
        (3, "node-1.example:65535"),
        (4, "0x02ab00"),
        (5, &id),
        (6, "65536"),
        (7, "128"),
        (8, &signature),
        (9, "a pass phrase of ﬁve words"),
    ];
    texts.iter().map(|(kind, text)| tagged(*kind, text.as_bytes())).collect()
}
