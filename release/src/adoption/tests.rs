#![allow(clippy::unwrap_used)]

use fairveil_crypto::BundleId;

use super::*;
use crate::chain::{Judged, JudgedOrder};
use crate::failed::Failed;
use crate::release::tests::{chain, judged, order, registry};

const HEIGHT: Height = Height::new(1);

/// The first release of a chain, with enough failed bundles to need several parts.
fn release() -> Release {
    let mut ids = order(1, vec![judged(&[901, 902], 6)]).ids;
    for number in 0u32..2_000 {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ids.push((BundleId::from_bytes(id), Judged::Failed(Failed::Legs)));
    }
    let order = JudgedOrder { ids, ..order(1, vec![]) };
    let release = chain().extend(order).unwrap().release;
    assert!(release.encode().len() > 2 * PART_BYTES);
    release
}

fn index(index: u16) -> SequencerIndex {
    SequencerIndex::new(index).unwrap()
}

fn adoption() -> Adoption {
    Adoption::new(vec![index(2), index(3), index(5)])
}

fn wanted(height: Height, root: Digest) -> Input {
    Input::Wanted { height, root, registry: Arc::new(registry()) }
}

fn asked(outputs: &[Output]) -> (SequencerIndex, u32) {
    match outputs {
        [Output::Send { to, message: ReleaseMessage::Request { height: HEIGHT, part } }] => {
            (*to, *part)
        }
        other => panic!("no request: {other:?}"),
    }
}

fn answer(from: SequencerIndex, part: ReleasePart) -> Input {
    Input::Message { from, message: ReleaseMessage::Part(part) }
}

/// Answers every request as `bytes` say, until nothing is asked any more.
fn fetch(adoption: &mut Adoption, mut outputs: Vec<Output>, bytes: &[u8]) -> Vec<Output> {
    while let [Output::Send { to, message: ReleaseMessage::Request { height, part } }] =
        outputs.as_slice()
    {
        let part = ReleasePart::of(*height, bytes, *part).unwrap();
        outputs = adoption.handle(0, answer(*to, part));
    }
    outputs
}

#[test]
fn a_release_arrives_in_parts_and_is_the_certified_one_invariant_1() {
    let (mut adoption, release) = (adoption(), release());
    let root = release.header.root();
    let outputs = adoption.handle(0, wanted(HEIGHT, root));
    assert!(adoption.wants(HEIGHT));
    let outputs = fetch(&mut adoption, outputs, &release.encode());
    assert_eq!(outputs, vec![Output::Whole { release: Box::new(release), root }]);
    assert!(!adoption.wants(HEIGHT));
    assert_eq!((adoption.wake_at(), adoption.refused()), (None, 0));
}

#[test]
fn another_release_is_refused_and_the_next_peer_asked_invariant_1() {
    let (mut adoption, release) = (adoption(), release());
    let root = release.header.root();
    let mut forged = release.clone();
    forged.batches[0].blocks[0].transactions.push(vec![9].into());
    let other_root = {
        let mut other = release.clone();
        other.header.time_ms += 1;
        other
    };
    let mut outputs = adoption.handle(0, wanted(HEIGHT, root));
    let (first, _) = asked(&outputs);
    for (refused, wrong) in [(1, forged), (2, other_root)] {
        let bytes = wrong.encode();
        for part in 0..bytes.len().div_ceil(PART_BYTES) as u32 {
            let (to, wanted) = asked(&outputs);
            assert_eq!(wanted, part);
            outputs =
                adoption.handle(0, answer(to, ReleasePart::of(HEIGHT, &bytes, part).unwrap()));
        }
        assert_eq!(adoption.refused(), refused);
        assert_eq!(asked(&outputs).1, 0);
    }
    assert_ne!(asked(&outputs).0, first);
    let outputs = fetch(&mut adoption, outputs, &release.encode());
    assert!(matches!(outputs.as_slice(), [Output::Whole { .. }]));
}

#[test]
fn parts_that_were_not_asked_for_are_ignored_invariant_2() {
    let (mut adoption, release) = (adoption(), release());
    let (root, bytes) = (release.header.root(), release.encode());
    let part = |number| ReleasePart::of(HEIGHT, &bytes, number).unwrap();
    assert_eq!(adoption.handle(0, answer(index(2), part(0))), vec![]);
    let outputs = adoption.handle(0, wanted(HEIGHT, root));
    let (to, _) = asked(&outputs);
    let other = if to == index(2) { index(3) } else { index(2) };
    for unasked in [answer(other, part(0)), answer(to, part(1)), answer(to, part(2))] {
        assert_eq!(adoption.handle(0, unasked), vec![]);
    }
    let mut to = to;
    for wrong in [
        ReleasePart { bytes: vec![0; PART_BYTES + 1], ..part(0) },
        ReleasePart { bytes: vec![], ..part(0) },
        ReleasePart { parts: 0, ..part(0) },
        ReleasePart { parts: u32::MAX, ..part(0) },
    ] {
        let (next, wanted) = asked(&adoption.handle(0, answer(to, wrong)));
        assert_eq!(wanted, 0, "from the beginning");
        assert_ne!(next, to, "another peer");
        to = next;
    }
}

#[test]
fn parts_that_contradict_each_other_begin_anew_invariant_2() {
    let (mut adoption, release) = (adoption(), release());
    let (root, bytes) = (release.header.root(), release.encode());
    let outputs = adoption.handle(0, wanted(HEIGHT, root));
    let (to, _) = asked(&outputs);
    let part = |number| ReleasePart::of(HEIGHT, &bytes, number).unwrap();
    assert_eq!(asked(&adoption.handle(0, answer(to, part(0)))), (to, 1));
    let more = ReleasePart { parts: part(1).parts + 1, ..part(1) };
    let (next, wanted) = asked(&adoption.handle(0, answer(to, more)));
    assert_eq!(wanted, 0);
    assert_ne!(next, to);
}

#[test]
fn silent_and_empty_peers_cost_time_alone_invariant_3() {
    let (mut adoption, release) = (adoption(), release());
    let root = release.header.root();
    let outputs = adoption.handle(10, wanted(HEIGHT, root));
    let (first, _) = asked(&outputs);
    assert_eq!(adoption.wake_at(), Some(10 + ASK_AGAIN_MS));
    assert_eq!(adoption.handle(10 + ASK_AGAIN_MS - 1, Input::Wake), vec![]);
    let (second, _) = asked(&adoption.handle(10 + ASK_AGAIN_MS, Input::Wake));
    assert_ne!(first, second);
    let absent = |from| Input::Message { from, message: ReleaseMessage::Absent { height: HEIGHT } };
    assert_eq!(adoption.handle(2_000, absent(first)), vec![], "it is not asked any more");
    let (third, _) = asked(&adoption.handle(2_000, absent(second)));
    assert!(third != first && third != second);
    adoption.handle(2_000, Input::Released(HEIGHT));
    assert!(!adoption.wants(HEIGHT));
}

#[test]
fn heights_are_bounded_invariant_2() {
    let mut adoption = adoption();
    let root = Digest::from_bytes([1; 32]);
    for height in 1..=MAX_WANTED as u64 {
        assert!(adoption.has_room());
        let outputs = adoption.handle(0, wanted(Height::new(height), root));
        assert_eq!(outputs.len(), 1);
    }
    assert!(!adoption.has_room());
    assert_eq!(adoption.handle(0, wanted(Height::new(99), root)), vec![]);
}
