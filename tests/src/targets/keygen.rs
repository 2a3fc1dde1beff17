//! Decoders of `keygen`: definitions, entries, transcripts, keystores.

use std::sync::LazyLock;

use fairveil_crypto::encoding::encode;
use fairveil_keygen::keystore::{
    self, EpochKey, KeystoreRandomness, Passphrase, ScryptCost, SequencerKeys,
};
use fairveil_keygen::{
    Approval, CeremonyEntry, DealingNonce, Definition, Input, Output, Record, Transcript,
};
use serde_json::Value;

use super::world::{WORLD, ceremony_of, consensus_secret, dealing_secret};
use super::{Verdict, kind, stored, tagged};

/// A definition as bytes and as TOML: one digest per content, in either form.
pub(super) fn definition(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let definition = if kind == 0 {
        let Ok(definition) = Definition::from_bytes(bytes) else { return Verdict::Refused };
        assert_eq!(definition.to_bytes(), bytes);
        definition
    } else {
        let read =
            std::str::from_utf8(bytes).ok().and_then(|text| Definition::from_toml(text).ok());
        let Some(definition) = read else { return Verdict::Refused };
        definition
    };
    let from_toml = Definition::from_toml(&definition.to_toml()).expect("what was written is read");
    let from_bytes = Definition::from_bytes(&definition.to_bytes()).expect("in canonical order");
    assert_eq!(from_toml, definition);
    assert_eq!(from_bytes, definition);
    assert_eq!(from_toml.digest(), definition.digest());
    Verdict::Accepted
}

pub(super) fn definition_seeds() -> Vec<Vec<u8>> {
    let definition = WORLD.context.definition();
    vec![tagged(0, &definition.to_bytes()), tagged(1, definition.to_toml().as_bytes())]
}

/// What members post, approve and journal.
pub(super) fn ceremony_entry(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 2) else { return Verdict::Refused };
    match kind {
        0 => {
            let Ok(entry) = CeremonyEntry::decode(bytes, &WORLD.context) else {
                return Verdict::Refused;
            };
            assert_eq!(entry.encode(), bytes);
            // Acknowledgements and logs are judged against the log before them; all others carry
            // a signature over all of their bytes.
            let form_only =
                matches!(entry, CeremonyEntry::Acknowledgement(_) | CeremonyEntry::DealerLog(_));
            assert!(form_only || WORLD.entries.iter().any(|known| *known == bytes));
            Verdict::Accepted
        }
        1 => {
            let Some(approval) = stored::<Approval>(bytes) else { return Verdict::Refused };
            let Ok(member) = approval.verify(WORLD.context.definition()) else {
                return Verdict::Refused;
            };
            assert_eq!(approval, WORLD.context.approved().approvals()[member.position()]);
            Verdict::Accepted
        }
        _ => {
            let Ok(nonce) = DealingNonce::from_bytes(bytes) else { return Verdict::Refused };
            assert_eq!(nonce.to_bytes(), bytes);
            assert!(!format!("{nonce:?}").is_empty());
            Verdict::Accepted
        }
    }
}

pub(super) fn ceremony_entry_seeds() -> Vec<Vec<u8>> {
    // One of each kind: the first entries are dealings, the last are confirmations.
    let mut kinds = std::collections::BTreeMap::new();
    for entry in &WORLD.entries {
        kinds.entry(entry[0]).or_insert(entry);
    }
    let entries = kinds.values().map(|entry| tagged(0, entry));
    let approval = tagged(1, &encode(&WORLD.context.approved().approvals()[0]));
    let started = ceremony_of(&WORLD.context, 1).handle(std::time::Duration::ZERO, Input::Wake);
    let nonce = started.iter().find_map(|output| match output {
        Output::Persist(Record::Nonce(nonce)) => Some(tagged(2, &nonce.to_bytes())),
        _ => None,
    });
    entries.chain([approval]).chain(nonce).collect()
}

/// A transcript that verifies proves the one committee key.
pub(super) fn transcript(bytes: &[u8]) -> Verdict {
    let Ok(transcript) = Transcript::from_json(bytes) else { return Verdict::Refused };
    let written = Transcript::from_json(&transcript.to_json()).expect("what was written is read");
    assert_eq!(written, transcript);
    let Ok(verified) = transcript.verify() else { return Verdict::Refused };
    if verified.network_id() == WORLD.network_id() {
        assert_eq!(verified.committee(), &WORLD.dealt.committee);
        assert_eq!(verified.digest(), WORLD.transcript.digest);
    }
    Verdict::Accepted
}

pub(super) fn transcript_seeds() -> Vec<Vec<u8>> {
    let compact = serde_json::to_vec(&WORLD.transcript).expect("a transcript is JSON");
    vec![compact]
}

/// The longest derivation that an input may ask for: that of the cheapest cost.
const MOST_BLOCKS: u64 = 8 << 12;

static PASSPHRASE: LazyLock<Passphrase> =
    LazyLock::new(|| Passphrase::new("correct horse battery staple").expect("a passphrase"));

fn keys() -> SequencerKeys {
    let share = &WORLD.dealt.key_shares[0];
    let bytes = share.expose_encoding();
    let share = fairveil_crypto::committee::KeyShare::decode(share.index(), &bytes[..]);
    let membership = fairveil_keygen::Membership {
        network_id: WORLD.network_id(),
        epoch: super::world::EPOCH,
        share: share.expect("its own encoding"),
    };
    let mut keys = SequencerKeys::new(consensus_secret(101), consensus_secret(1));
    keys.add_dealing(&dealing_secret(1), &EpochKey::from_bytes([1; 32])).expect("room");
    keys.add_membership(&membership, &EpochKey::from_bytes([2; 32])).expect("room");
    keys
}

/// A keystore that opens holds the keys that were sealed.
pub(super) fn keystore(bytes: &[u8]) -> Verdict {
    if asks_for_too_much(bytes) {
        return Verdict::Refused;
    }
    let Ok(opened) = keystore::open(bytes, &PASSPHRASE) else { return Verdict::Refused };
    assert_eq!(opened.consensus.public_key(), consensus_secret(1).public_key());
    let key = EpochKey::from_bytes([2; 32]);
    let membership = opened.membership_of(&WORLD.network_id(), super::world::EPOCH, &key);
    let public = membership.expect("what was sealed").share.public_key_share();
    assert_eq!(Some(&public), WORLD.dealt.committee.public_key_shares().first());
    Verdict::Accepted
}

/// What the file's own limits allow takes a gigabyte and seconds: not here.
fn asks_for_too_much(bytes: &[u8]) -> bool {
    let Ok(file) = serde_json::from_slice::<Value>(bytes) else { return false };
    let number = |name: &str| {
        let value = file.pointer(&format!("/crypto/kdf/params/{name}")).and_then(Value::as_u64);
        value.unwrap_or(0)
    };
    number("n").saturating_mul(number("r")).saturating_mul(number("p")) > MOST_BLOCKS
}

pub(super) fn keystore_seeds() -> Vec<Vec<u8>> {
    let randomness = KeystoreRandomness { salt: [1; 32], iv: [2; 16], uuid: [3; 16] };
    let file = keystore::seal(&keys(), &PASSPHRASE, ScryptCost::Light, randomness);
    let mut bare: Value = serde_json::from_slice(&file).expect("a keystore is JSON");
    // As other programs write it, without the field that names damage as damage.
    bare.as_object_mut().expect("an object").remove("integrity");
    vec![file, serde_json::to_vec(&bare).expect("a value is JSON")]
}
