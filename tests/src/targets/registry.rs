//! Decoders of `registry`: changes of the rollups with their approvals, schedules.

use fairveil_crypto::Height;
use fairveil_crypto::encoding::{decode, encode};
use fairveil_release::change::{Action, ApprovedChange, ChangeApproval, RegistryChange};
use fairveil_release::registry::Rollup;
use fairveil_release::schedule::{Announcement, Schedule};

use super::world::WORLD;
use super::{LIMIT_BYTES, Verdict, kind, tagged};

const BLOCK: Announcement = Announcement { height: Height::new(5), after_ms: 1 };

/// What is approved is one of the changes that the members signed, and what is announced holds at
/// its height.
pub(super) fn registry_change(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 2) else { return Verdict::Refused };
    match kind {
        0 => {
            let Ok(approved) = ApprovedChange::decode(bytes) else { return Verdict::Refused };
            assert_eq!(approved.encode(), bytes);
            let committee = &WORLD.dealt.committee;
            if approved.verify(committee.consensus_keys(), committee.quorum()).is_err() {
                return Verdict::Refused;
            }
            assert!(changes().contains(&approved.change), "nobody signed it");
            Verdict::Accepted
        }
        1 => {
            let Ok(change) = decode::<RegistryChange>(bytes, LIMIT_BYTES) else {
                return Verdict::Refused;
            };
            let mut schedule = first();
            let before = schedule.clone();
            if schedule.announce(&change, BLOCK).is_err() {
                assert_eq!(schedule, before);
                return Verdict::Refused;
            }
            assert_eq!(schedule.advance(change.at), [change]);
            assert_ne!(schedule.registry().digest(), before.registry().digest());
            Verdict::Accepted
        }
        _ => {
            let Ok(mut schedule) = decode::<Schedule>(bytes, LIMIT_BYTES) else {
                return Verdict::Refused;
            };
            assert_eq!(encode(&schedule), bytes);
            let pending = schedule.pending().len();
            assert_eq!(schedule.advance(Height::new(u64::MAX)).len(), pending);
            Verdict::Accepted
        }
    }
}

pub(super) fn registry_change_seeds() -> Vec<Vec<u8>> {
    let committee = &WORLD.dealt.committee;
    let mut seeds = Vec::new();
    let mut schedule = first();
    for change in changes() {
        let secrets = WORLD.dealt.consensus_secrets.iter();
        let approvals = secrets.map(|secret| ChangeApproval::new(&change, secret));
        let (keys, quorum) = (committee.consensus_keys(), committee.quorum());
        let approved = ApprovedChange::new(change.clone(), approvals.collect(), keys, quorum);
        seeds.push(tagged(0, &approved.expect("approved by everybody").encode()));
        if change.number == 1 {
            seeds.push(tagged(1, &encode(&change)));
        }
        // Those that can follow one another.
        if schedule.announce(&change, BLOCK).is_ok() {
            seeds.push(tagged(2, &encode(&schedule)));
        }
    }
    seeds
}

fn first() -> Schedule {
    Schedule::new(WORLD.network_id(), WORLD.registry.clone()).expect("no block times")
}

/// What the members sign.
fn changes() -> Vec<RegistryChange> {
    let change = |number, at, action| RegistryChange {
        network_id: WORLD.network_id(),
        number,
        at: Height::new(at),
        action,
    };
    vec![
        change(1, 21, Action::Pause { chain_id: 901 }),
        change(2, 40, Action::Resume { chain_id: 901 }),
        change(1, 30, Action::Join(Rollup::recorder(904, "delta"))),
        change(3, 50, Action::Join(Rollup::recorder(905, "epsilon"))),
        change(1, 50, Action::Leave { chain_id: 902 }),
    ]
}
