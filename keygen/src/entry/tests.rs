#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::test_support::{Members, Run, consensus_secret, participant};
use crate::{Ceremony, DealingNonce, Input, Output};

fn run() -> Run {
    Run::new(Members::new(4).context(0), 11, false).finish()
}

fn resumed(context: &CeremonyContext, nonce: &DealingNonce) -> Ceremony {
    Ceremony::resume(context.clone(), participant(context, 0, None), nonce.clone()).unwrap()
}

#[test]
fn invariant_1_entries_have_one_encoding() {
    let run = run();
    for bytes in &run.log {
        let entry = CeremonyEntry::decode(bytes, &run.context).unwrap();
        assert_eq!(entry.encode(), *bytes);
        let longer = [&bytes[..], &[0]].concat();
        assert!(CeremonyEntry::decode(&longer, &run.context).is_err());
        assert!(CeremonyEntry::decode(&bytes[..bytes.len() - 1], &run.context).is_err());
    }
    let long = vec![0; MAX_ENTRY_BYTES + 1];
    assert!(matches!(
        CeremonyEntry::decode(&long, &run.context),
        Err(EntryError::Encoding(DecodeError::TooLong { .. }))
    ));
}

#[test]
fn invariant_2_entries_of_another_ceremony_or_stranger_are_refused() {
    let run = run();
    let other = CeremonyContext::first(run.context.approved().clone(), 2).unwrap();
    for bytes in &run.log {
        let entry = CeremonyEntry::decode(bytes, &run.context).unwrap();
        let verdict = CeremonyEntry::decode(bytes, &other);
        match entry {
            CeremonyEntry::Dealing(_) | CeremonyEntry::Close(_) => {
                assert!(matches!(verdict, Err(EntryError::Signature { .. })));
            }
            // Signed over what only the log tells, or over the transcript of one ceremony.
            _ => assert!(verdict.is_ok()),
        }
    }
    let stranger = SequencerIndex::new(5).unwrap();
    let close = Close::sign(&run.context, stranger, ClosingPhase::Dealing, &consensus_secret(0));
    let refused = CeremonyEntry::decode(&CeremonyEntry::Close(close).encode(), &run.context);
    assert_eq!(refused, Err(EntryError::NotAMember { index: stranger, n: 4 }));
}

#[test]
fn dealings_have_the_right_number_and_length_of_parts() {
    let run = run();
    let posted = run.log.iter().find_map(|bytes| {
        match CeremonyEntry::decode(bytes, &run.context).unwrap() {
            CeremonyEntry::Dealing(posted) => Some(posted),
            _ => None,
        }
    });
    let posted = posted.unwrap();
    let case = |change: &dyn Fn(&mut PostedDealing)| {
        let mut posted = posted.clone();
        change(&mut posted);
        CeremonyEntry::decode(&CeremonyEntry::Dealing(posted).encode(), &run.context).unwrap_err()
    };
    assert_eq!(
        case(&|posted| posted.sealed.truncate(3)),
        EntryError::SealedCount { actual: 3, n: 4 }
    );
    assert_eq!(
        case(&|posted| posted.sealed[2].truncate(9)),
        EntryError::SealedLength { actual: 9 }
    );
    assert_eq!(case(&|posted| posted.sealed.swap(0, 1)), EntryError::SealedDigest);
    assert_eq!(
        case(&|posted| posted.public.commitment.truncate(2)),
        EntryError::CommitmentLength { actual: 2, needed: 3 }
    );
    let author = posted.public.dealer;
    assert_eq!(
        case(&|posted| posted.public.commitment.swap(0, 1)),
        EntryError::Signature { author }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Damaged entries before every good one change neither the key nor the transcript.
    #[test]
    fn damaged_entries_change_nothing(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..8), 24),
    ) {
        let run = run();
        let mut machine = resumed(&run.context, run.machines[0].nonce.as_ref().unwrap());
        let mut damage = damage.into_iter().cycle();
        let mut refused = 0;
        for (height, bytes) in run.log.iter().enumerate() {
            let (place, bit) = damage.next().unwrap();
            let mut damaged = bytes.clone();
            damaged[place.index(bytes.len())] ^= 1 << bit;
            let entries = vec![damaged, bytes.clone()];
            let outputs =
                machine.handle(Duration::ZERO, Input::Agreed { height: height as u64, entries });
            refused += outputs.iter().filter(|one| matches!(one, Output::Refused(_))).count();
            let blamed = outputs.iter().any(|one| matches!(one, Output::Blamed(_)));
            prop_assert!(!blamed, "nobody signed the damage");
        }
        prop_assert!(refused >= run.log.len());
        let digest = machine.transcript().unwrap().digest;
        prop_assert_eq!(digest, run.transcript(0).unwrap().digest);
    }
}
