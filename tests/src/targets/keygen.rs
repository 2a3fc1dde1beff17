//! Decoders of `keygen`: definitions, entries, transcripts, blame, keystores.

use std::sync::LazyLock;
use std::time::Duration;

use fairveil_crypto::domain::{Hasher, Tag, hash};
use fairveil_crypto::encoding::encode;
use fairveil_crypto::{Epoch, Height};
use fairveil_keygen::keystore::{
    self, EpochKey, KeystoreRandomness, Passphrase, ScryptCost, SequencerKeys,
};
use fairveil_keygen::{
    Approval, BlameEvidence, CeremonyEntry, DealingNonce, Definition, Input, Output, Proposal,
    Record, Resharing, Transcript,
};
use serde_json::Value;

use super::world::{CULPRIT, MEMBERS, WORLD, ceremony_of, consensus_secret, dealing_secret};
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
    let first = WORLD.context.definition();
    let resharing = Resharing {
        network_id: first.network_id(),
        predecessor: first.digest(),
        boundary: Height::new(1_000),
    };
    let later = Proposal {
        version: 2,
        epoch: Epoch::new(2),
        resharing: Some(resharing),
        ..first.proposal().clone()
    };
    let later = Definition::new(later).expect("a definition");
    [first, &later]
        .into_iter()
        .flat_map(|one| [tagged(0, &one.to_bytes()), tagged(1, one.to_toml().as_bytes())])
        .collect()
}

fn of_culprit(member: u16) -> bool {
    let key = consensus_secret(member).public_key();
    WORLD.context.definition().index_of(&key) == Some(CULPRIT)
}

/// What follows from a bad dealing of [`CULPRIT`]: a member's complaint, and the blame.
struct Accusation {
    complaint: Vec<u8>,
    evidence: BlameEvidence,
}

static ACCUSATION: LazyLock<Accusation> = LazyLock::new(|| {
    let culprit = (1..=MEMBERS).find(|member| of_culprit(*member)).expect("a member");
    let dealt = |bytes: &Vec<u8>| match CeremonyEntry::decode(bytes, &WORLD.context) {
        Ok(CeremonyEntry::Dealing(posted)) => Some(posted),
        _ => None,
    };
    let mut dealings = WORLD.entries.iter().filter_map(dealt);
    let posted = dealings.find(|posted| posted.public.dealer == CULPRIT);
    let mut posted = posted.expect("everybody dealt");
    posted.sealed.iter_mut().for_each(|sealed| sealed[100] ^= 1);
    let mut all = Hasher::new(Tag::SealedDealing);
    for sealed in &posted.sealed {
        all.item(hash(Tag::SealedDealing, &[sealed]).as_bytes());
    }
    posted.public.sealed_digest = all.finish();
    let signed = posted.public.digest(&WORLD.context);
    posted.public.signature = consensus_secret(culprit).sign(Tag::Dealing, &[signed.as_bytes()]);
    let accuser = (1..).find(|member| *member != culprit).expect("there are others");
    let mut machine = ceremony_of(&WORLD.context, accuser);
    let mut give = |height, entry: &CeremonyEntry| {
        machine.handle(Duration::ZERO, Input::Agreed { height, entries: vec![entry.encode()] })
    };
    let answered = give(1, &CeremonyEntry::Dealing(posted));
    let complaint = answered.iter().find_map(|output| match output {
        Output::Post(entry @ CeremonyEntry::Complaint(_)) => Some(entry.clone()),
        _ => None,
    });
    let complaint = complaint.expect("a bad dealing is complained about");
    let blamed = give(2, &complaint);
    let evidence = blamed.iter().find_map(|output| match output {
        Output::Blamed(blame) => Some(BlameEvidence::new(&WORLD.context, blame)),
        _ => None,
    });
    let evidence = evidence.expect("the culprit is blamed");
    Accusation { complaint: complaint.encode(), evidence }
});

/// The blame of [`CULPRIT`].
pub(super) fn accusation() -> &'static BlameEvidence {
    &ACCUSATION.evidence
}

/// Blame as JSON: what is judged convicts the one culprit.
pub(super) fn blame(bytes: &[u8]) -> Verdict {
    let Ok(evidence) = serde_json::from_slice::<BlameEvidence>(bytes) else {
        return Verdict::Refused;
    };
    let written = serde_json::to_vec(&evidence).expect("evidence is JSON");
    assert_eq!(serde_json::from_slice::<BlameEvidence>(&written).expect("JSON"), evidence);
    let Ok(verdict) = evidence.judge() else { return Verdict::Refused };
    assert_eq!(verdict.culprit.dealer, Some(CULPRIT));
    assert!(!verdict.sentence.contains('\n'));
    Verdict::Accepted
}

pub(super) fn blame_seeds() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec(accusation()).expect("evidence is JSON")]
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
            let known = WORLD.entries.iter().chain([&ACCUSATION.complaint]);
            assert!(form_only || known.into_iter().any(|known| *known == bytes));
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
    let complaint = [&ACCUSATION.complaint];
    let entries = kinds.values().copied().chain(complaint).map(|entry| tagged(0, entry));
    let approval = tagged(1, &encode(&WORLD.context.approved().approvals()[0]));
    let started = ceremony_of(&WORLD.context, 1).handle(Duration::ZERO, Input::Wake);
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
