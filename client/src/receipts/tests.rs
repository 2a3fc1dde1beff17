#![allow(clippy::unwrap_used)]

use fairveil_crypto::{Epoch, NetworkId};
use fairveil_mempool::ReceiptBody;
use proptest::prelude::*;

use super::*;
use crate::test_support::{SCENE, WORLD, index};

pub(crate) fn info(receipt: &Receipt) -> ReceiptInfo {
    let position = match receipt.body.place {
        Place::Held => None,
        Place::Position(position) => Some(position),
    };
    ReceiptInfo {
        id: receipt.body.id.to_string(),
        sequencer: receipt.sequencer.get().into(),
        position,
        height: receipt.body.height.get(),
        time_ms: receipt.body.time_ms,
        receipt: alloy_primitives::hex::encode_prefixed(encoding::encode(receipt)),
    }
}

fn good(sequencer: u16) -> ReceiptInfo {
    info(&WORLD.receipt(sequencer, SCENE.id(0), Place::Position(4)))
}

fn rejected() -> Answer {
    Answer::Rejected(Rejected {
        code: "pool_full".into(),
        actual: "1".into(),
        limit: "0".into(),
        cure: "later\u{1b}[2J".into(),
    })
}

fn collected(infos: &[ReceiptInfo]) -> Receipts {
    let mut receipts = Receipts::new(&WORLD.network, SCENE.id(0));
    for (number, info) in infos.iter().enumerate() {
        receipts.take(&format!("http://{number}"), info);
    }
    receipts
}

#[test]
fn invariant_2_two_distinct_members_admit_where_f_is_1() {
    assert_eq!(collected(&[]).verdict(), Verdict::Unreachable);
    let one = collected(&[good(1), good(1), good(1)]);
    assert_eq!((one.count(), one.verdict()), (1, Verdict::Unreachable));
    assert_eq!(one.answers()[1].answer, Answer::Repeated(index(1)));
    let two = collected(&[good(1), good(3)]);
    assert_eq!((two.count(), two.needed(), two.verdict()), (2, 2, Verdict::Admitted));
}

#[test]
fn invariant_3_two_rejections_reject_unless_two_admit() {
    let mut receipts = collected(&[good(1)]);
    receipts.note("http://a", rejected());
    assert_eq!(receipts.verdict(), Verdict::Unreachable);
    receipts.note("http://b", rejected());
    assert_eq!(receipts.verdict(), Verdict::Rejected);
    receipts.take("http://c", &good(2));
    assert_eq!(receipts.verdict(), Verdict::Admitted);
}

#[test]
fn invariant_4_every_receipt_that_does_not_count_has_its_own_reason() {
    let other_field = |change: &dyn Fn(&mut ReceiptInfo)| {
        let mut info = good(1);
        change(&mut info);
        info
    };
    let body = WORLD.receipt(1, SCENE.id(0), Place::Held).body;
    let network_id = NetworkId::from_bytes([9; 32]);
    let forged = Receipt { sequencer: index(2), ..WORLD.receipt(1, SCENE.id(0), Place::Held) };
    let stranger = Receipt { sequencer: index(9), ..forged };
    let cases = [
        (other_field(&|i| i.receipt.insert(4, 'x')), "not 0x and hex"),
        (other_field(&|i| i.receipt.push_str("00")), "does not decode"),
        (other_field(&|i| i.id = SCENE.id(1).to_string()), "the answer's id"),
        (other_field(&|i| i.sequencer = 2), "the answer's sequencer"),
        (other_field(&|i| i.position = None), "the answer's position"),
        (other_field(&|i| i.height += 1), "the answer's height"),
        (other_field(&|i| i.time_ms += 1), "the answer's time_ms"),
        (info(&WORLD.sign(1, ReceiptBody { network_id, ..body })), "receipt is of network"),
        (
            info(&WORLD.sign(1, ReceiptBody { epoch: Epoch::new(2), ..body })),
            "receipt of epoch 2, the transcript proves 1 to 1",
        ),
        (info(&WORLD.receipt(1, SCENE.id(1), Place::Held)), "receipt is for bundle"),
        (info(&stranger), "is of sequencer 9, the committee has 5"),
        (info(&forged), "sequencer 2 did not sign this"),
    ];
    for (info, expected) in cases {
        let receipts = collected(&[info]);
        assert_eq!((receipts.count(), receipts.verdict()), (0, Verdict::Distrusted), "{expected}");
        let shown = receipts.answers()[0].answer.to_string();
        assert!(shown.contains(expected), "{shown}, not {expected}");
    }
}

#[test]
fn invariant_5_contradictions_are_evidence() {
    let held = WORLD.receipt(1, SCENE.id(0), Place::Position(5));
    let receipts = collected(&[good(1), info(&held), good(2)]);
    assert!(receipts.is_complete());
    let [conflict] = receipts.conflicts() else { panic!("one conflict") };
    let keys = WORLD.network.committee().consensus_keys();
    assert_eq!(conflict.verify(&WORLD.network.network_id(), keys), Ok(index(1)));
}

#[test]
fn what_a_sequencer_sent_can_not_drive_a_terminal() {
    assert!(!rejected().to_string().contains('\u{1b}'));
    assert_eq!(printable(&"x".repeat(10_000)).len(), MAX_SHOWN_CHARACTERS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn invariant_1_no_changed_receipt_counts(place in 2_usize..300, digit in 1_u8..16) {
        let mut info = good(1);
        let place = 2 + place % (info.receipt.len() - 2);
        let old = info.receipt.as_bytes()[place] as char;
        let new = char::from_digit(old.to_digit(16).unwrap() ^ u32::from(digit), 16).unwrap();
        info.receipt.replace_range(place..=place, &new.to_string());
        prop_assert_eq!(collected(&[info]).count(), 0);
    }

    #[test]
    fn invariant_1_and_2_any_crowd_counts_members_once(
        crowd in proptest::collection::vec((1_u16..=7, any::<bool>()), 0..12),
    ) {
        let infos: Vec<_> = crowd.iter().map(|&(member, honest)| {
            let id = SCENE.id(usize::from(!honest));
            let receipt = WORLD.receipt(member.min(5), id, Place::Position(4));
            info(&Receipt { sequencer: index(member), ..receipt })
        }).collect();
        let mut members: Vec<_> = crowd.iter()
            .filter(|(member, honest)| *honest && *member <= 5)
            .map(|(member, _)| *member)
            .collect();
        members.sort_unstable();
        members.dedup();
        let receipts = collected(&infos);
        prop_assert_eq!(receipts.count(), members.len());
        prop_assert_eq!(receipts.is_complete(), members.len() >= 2);
        prop_assert_eq!(receipts.answers().len(), infos.len());
    }
}
