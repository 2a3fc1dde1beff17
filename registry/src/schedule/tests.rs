#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::slot::BlockTimes;

fn network() -> NetworkId {
    NetworkId::from_bytes([7; 32])
}

fn rollup(chain_id: u64) -> Rollup {
    Rollup::recorder(chain_id, "rollup")
}

fn schedule() -> Schedule {
    Schedule::new(network(), Registry::new(vec![rollup(901), rollup(902)]).unwrap()).unwrap()
}

fn change(number: u64, at: u64, action: Action) -> RegistryChange {
    RegistryChange { network_id: network(), number, at: Height::new(at), action }
}

fn pause(chain_id: u64) -> Action {
    Action::Pause { chain_id }
}

fn leave(chain_id: u64) -> Action {
    Action::Leave { chain_id }
}

fn block(height: u64) -> Announcement {
    Announcement { height: Height::new(height), after_ms: 0 }
}

fn paused(registry: &Registry, chain_id: u64) -> bool {
    registry.rollup(chain_id).unwrap().paused
}

#[test]
fn a_change_holds_from_its_height_on() {
    let mut schedule = schedule();
    schedule.announce(&change(1, 30, pause(901)), block(10)).unwrap();
    let before = schedule.digest();
    assert!(schedule.advance(Height::new(29)).is_empty());
    assert!(!paused(schedule.registry(), 901));
    assert_eq!(schedule.digest(), before);
    assert_eq!(schedule.advance(Height::new(30)), [change(1, 30, pause(901))]);
    assert!(paused(schedule.registry(), 901) && !paused(schedule.registry(), 902));
    assert_ne!(schedule.digest(), before);
    assert_eq!((schedule.next_number(), schedule.pending().len()), (2, 0));
}

#[test]
fn what_can_not_be_announced_is_refused_with_its_values() {
    let mut schedule = schedule();
    let error = |schedule: &Schedule, change: RegistryChange| {
        let mut after = schedule.clone();
        let error = after.announce(&change, block(10)).unwrap_err();
        assert_eq!(after, *schedule);
        error
    };
    let other = NetworkId::from_bytes([8; 32]);
    let foreign = RegistryChange { network_id: other, ..change(1, 30, pause(901)) };
    let refused = ScheduleError::Network { actual: other, expected: network() };
    assert_eq!(error(&schedule, foreign), refused);
    for actual in [0, 2] {
        let refused = ScheduleError::Number { actual, expected: 1 };
        assert_eq!(error(&schedule, change(actual, 30, pause(901))), refused);
    }
    let (height, least) = (Height::new(10), Height::new(26));
    let soon = ScheduleError::TooSoon { at: Height::new(25), height, least };
    assert_eq!(error(&schedule, change(1, 25, pause(901))), soon);
    let most = Height::new(10 + MAX_NOTICE_HEIGHTS);
    let far = ScheduleError::TooFar { at: most.next(), height, most };
    assert_eq!(error(&schedule, change(1, most.next().get(), pause(901))), far);
    for at in [26, most.get()] {
        assert!(schedule.check(&change(1, at, pause(901)), block(10)).is_ok());
    }
    let unknown = ScheduleError::Action(ActionError::Unknown { chain_id: 5 });
    assert_eq!(error(&schedule, change(1, 30, leave(5))), unknown);
    for number in 1..=MAX_PENDING as u64 {
        schedule.announce(&change(number, 29, Action::Join(rollup(number))), block(10)).unwrap();
    }
    let full = ScheduleError::Pending { actual: MAX_PENDING, limit: MAX_PENDING };
    assert_eq!(error(&schedule, change(17, 30, pause(901))), full);
}

#[test]
fn a_change_that_contradicts_an_announced_one_is_refused_invariant_1() {
    let mut schedule = schedule();
    schedule.announce(&change(1, 100, pause(901)), block(10)).unwrap();
    // To leave before the pause would leave nothing to pause.
    let early = schedule.check(&change(2, 50, leave(901)), block(10)).unwrap_err();
    let why = ActionError::Unknown { chain_id: 901 };
    let at = Height::new(100);
    assert_eq!(early, ScheduleError::Contradiction { number: 1, at, why });
    let again = schedule.check(&change(2, 101, pause(901)), block(10)).unwrap_err();
    assert_eq!(again, ScheduleError::Action(ActionError::Paused { chain_id: 901 }));
    // What is announced later may hold earlier, and one height may have several.
    schedule.announce(&change(2, 50, pause(902)), block(11)).unwrap();
    schedule.announce(&change(3, 100, leave(901)), block(12)).unwrap();
    let following = schedule.following();
    assert_eq!(following.keys().map(|at| at.get()).collect::<Vec<_>>(), [50, 100]);
    assert!(paused(&following[&Height::new(50)], 902));
    assert_eq!(following[&Height::new(100)].chain_ids(), [902]);
}

#[test]
fn a_rollup_joins_once_its_blocks_fill_a_slot() {
    let timed = |chain_id, genesis_ms, interval_ms| Rollup {
        blocks: Some(BlockTimes { genesis_ms, interval_ms }),
        ..rollup(chain_id)
    };
    let registry = Registry::new(vec![timed(901, 10_000, 2_000)]).unwrap();
    let schedule = Schedule::new(network(), registry).unwrap();
    let check = |genesis_ms, after_ms| {
        let change = change(1, 30, Action::Join(timed(902, genesis_ms, 500)));
        schedule.check(&change, Announcement { height: Height::new(10), after_ms })
    };
    assert_eq!(check(9_500, 0), Ok(()));
    let young = |actual_ms| ScheduleError::Young {
        chain_id: 902,
        genesis_ms: 20_000,
        actual_ms,
        needed_ms: 22_000,
    };
    assert_eq!(check(20_000, 20_000), Err(young(20_000)));
    assert_eq!(check(20_000, 22_000), Err(young(22_000)));
    assert_eq!(check(20_000, 22_001), Ok(()));
    // The slot that is cut first begins after the rollup's block 0.
    let slots = schedule.slots().unwrap();
    let cut = slots.slot_at(22_002).previous().unwrap();
    assert!(slots.start_ms(cut) >= 20_000);
}

fn actions() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
    prop::collection::vec((0..4u8, 1..6u64, 16..60u64), 1..40)
}

fn action(kind: u8, chain_id: u64) -> Action {
    match kind {
        0 => Action::Join(rollup(chain_id)),
        1 => pause(chain_id),
        2 => Action::Resume { chain_id },
        _ => leave(chain_id),
    }
}

proptest! {
    #[test]
    fn a_height_has_one_registry_whenever_it_was_announced_invariants_1_2_and_5(
        actions in actions(),
    ) {
        let first = Schedule::new(network(), Registry::new(vec![rollup(1), rollup(2)]).unwrap());
        let mut schedule = first.unwrap();
        let mut registries = Registries::new(schedule.clone());
        let mut known = schedule.clone();
        let mut announced = Vec::new();
        for (height, (kind, chain_id, notice)) in (1u64..).zip(actions) {
            schedule.advance(Height::new(height));
            let number = schedule.next_number();
            let change = change(number, height + notice, action(kind, chain_id));
            let taken = schedule.announce(&change, block(height)).is_ok();
            let new = if taken { vec![change] } else { Vec::new() };
            registries.finalized(Height::new(height), &new).unwrap();
            announced.extend(new);
            let stored = fairveil_crypto::encoding::encode(&schedule);
            let restored: Schedule = fairveil_crypto::encoding::decode(&stored, 1 << 16).unwrap();
            prop_assert_eq!(&restored, &schedule);
            prop_assert_eq!(registries.schedule(), &schedule);
        }
        // Who learns of all of them at once has the same registry at every height.
        for change in &announced {
            known.follow(change).unwrap();
        }
        for height in 1..120 {
            known.advance(Height::new(height));
            prop_assert_eq!(known.registry(), registries.at(Height::new(height)));
        }
    }
}

#[test]
fn stored_values_that_are_no_schedule_are_refused_invariant_5() {
    let mut schedule = schedule();
    schedule.announce(&change(1, 30, pause(901)), block(10)).unwrap();
    let refused = |wrong: &dyn Fn(&mut Stored)| {
        let mut stored = Stored::from(schedule.clone());
        wrong(&mut stored);
        Schedule::try_from(stored).unwrap_err()
    };
    let joined = refused(&|stored| stored.joined.extend([(5, Height::ZERO)]));
    assert_eq!(joined, StoredError::Joined { chain_id: 5 });
    let at = Height::new(30);
    assert!(matches!(refused(&|stored| stored.height = at), StoredError::Schedule(_)));
    assert!(matches!(refused(&|stored| stored.number = 0), StoredError::Schedule(_)));
    assert!(matches!(refused(&|stored| stored.rollups.clear()), StoredError::Registry(_)));
    let gone = refused(&|stored| drop(stored.rollups.remove(0)));
    let why = ActionError::Unknown { chain_id: 901 };
    assert_eq!(gone, ScheduleError::Contradiction { number: 1, at, why }.into());
}
