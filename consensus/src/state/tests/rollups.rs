//! Changes of the rollups in blocks.

use fairveil_registry::change::{
    Action, ActionError, ApprovalError, ApprovedChange, ChangeApproval, RegistryChange,
};
use fairveil_registry::schedule::{MAX_NOTICE_HEIGHTS, MIN_NOTICE_HEIGHTS, ScheduleError};

use super::*;
use crate::block::BlockError;

fn change(number: u64, at: u64, action: Action) -> RegistryChange {
    let network_id = NetworkId::from_bytes([7; 32]);
    RegistryChange { network_id, number, at: Height::new(at), action }
}

fn join(chain_id: u64) -> Action {
    Action::Join(Rollup::recorder(chain_id, "beta"))
}

impl Bench {
    fn approved(&self, change: RegistryChange, members: &[usize]) -> ApprovedChange {
        let approvals = members
            .iter()
            .map(|member| ChangeApproval::new(&change, &self.secrets[*member]))
            .map(|approval| (approval.member, approval.signature))
            .collect();
        ApprovedChange { change, approvals }
    }

    fn announcing(&self, changes: Vec<ApprovedChange>) -> Draft {
        let system = changes.into_iter().map(SystemEntry::RegistryChange).collect();
        Draft { system, ..self.body() }
    }

    fn refused(&self, change: ApprovedChange) -> BlockFault {
        let fault = self.fault(self.announcing(vec![change.clone()]));
        assert_eq!(self.state.announces(&change), Err(fault.clone()));
        assert!(self.state.announceable(vec![change], 4).is_empty());
        fault
    }
}

#[test]
fn a_change_is_announced_and_holds_from_its_height_on() {
    let mut bench = Bench::new();
    bench.advance(bench.body());
    let first = change(1, 2 + MIN_NOTICE_HEIGHTS, join(902));
    let second = change(2, 2 + MIN_NOTICE_HEIGHTS, Action::Leave { chain_id: 901 });
    let both = vec![
        bench.approved(first.clone(), &[0, 1, 2, 3]),
        bench.approved(second.clone(), &[0, 1, 2, 3, 4]),
    ];
    assert_eq!(bench.state.announceable(both.clone(), 4), both);
    assert_eq!(bench.state.announceable(both.clone(), 1), both[..1]);
    let before = bench.state.digest();
    let (_, plain, _) = bench.extend(bench.body()).unwrap();
    let output = bench.advance(bench.announcing(both));
    assert_eq!(output.announced, [first, second]);
    assert!(bench.state.digest() != before && bench.state.digest() != plain.digest());
    for _ in 0..MIN_NOTICE_HEIGHTS {
        assert_eq!(bench.state.schedule().registry().chain_ids(), [901]);
        assert_eq!(bench.state.schedule().pending().len(), 2);
        bench.advance(bench.body());
    }
    assert_eq!(bench.state.schedule().registry().chain_ids(), [902]);
    assert_eq!(bench.state.schedule().pending().len(), 0);
}

#[test]
fn a_change_that_breaks_a_rule_is_refused_for_its_reason() {
    let mut bench = Bench::new();
    bench.advance(bench.body());
    let at = 2 + MIN_NOTICE_HEIGHTS;
    let all = [0, 1, 2, 3, 4];
    let pause = || Action::Pause { chain_id: 901 };
    let refused =
        |change: RegistryChange, members: &[usize]| bench.refused(bench.approved(change, members));
    let few = ApprovalError::TooFew { actual: 3, quorum: 4 };
    assert_eq!(refused(change(1, at, pause()), &[0, 1, 2]), few.into());
    let key = bench.secrets[2].public_key();
    let twice = ApprovalError::Order { previous: key, next: key };
    assert_eq!(refused(change(1, at, pause()), &[0, 1, 2, 2]), twice.into());
    let mut moved = bench.approved(change(1, at, pause()), &all);
    moved.change.at = Height::new(at + 1);
    let first = bench.secrets[0].public_key();
    assert_eq!(bench.refused(moved), ApprovalError::Signature { member: first }.into());
    let other = NetworkId::from_bytes([8; 32]);
    let foreign = RegistryChange { network_id: other, ..change(1, at, pause()) };
    let expected = NetworkId::from_bytes([7; 32]);
    let network = ScheduleError::Network { actual: other, expected };
    assert_eq!(refused(foreign, &all), network.into());
    let number = ScheduleError::Number { actual: 2, expected: 1 };
    assert_eq!(refused(change(2, at, pause()), &all), number.into());
    let (height, least) = (Height::new(2), Height::new(at));
    let soon = ScheduleError::TooSoon { at: Height::new(at - 1), height, least };
    assert_eq!(refused(change(1, at - 1, pause()), &all), soon.into());
    let most = Height::new(2 + MAX_NOTICE_HEIGHTS);
    let far = ScheduleError::TooFar { at: most.next(), height, most };
    assert_eq!(refused(change(1, most.next().get(), pause()), &all), far.into());
    let last = ScheduleError::Action(ActionError::Last { chain_id: 901 });
    assert_eq!(refused(change(1, at, Action::Leave { chain_id: 901 }), &all), last.into());
    // The second of two that contradict each other makes the block invalid.
    let again = |number| bench.approved(change(number, at, pause()), &all);
    let paused = ScheduleError::Action(ActionError::Paused { chain_id: 901 });
    assert_eq!(bench.fault(bench.announcing(vec![again(1), again(2)])), paused.into());
    assert_eq!(bench.state.announceable(vec![again(1), again(2)], 4), [again(1)]);
    // So does one that was announced before.
    let mut bench = bench;
    let again = bench.approved(change(1, at + 1, pause()), &all);
    bench.advance(bench.announcing(vec![again.clone()]));
    let number = ScheduleError::Number { actual: 1, expected: 2 };
    assert_eq!(bench.refused(again), number.into());
}

#[test]
fn a_block_has_few_changes_and_they_are_no_proofs() {
    let bench = Bench::new();
    let at = 1 + MIN_NOTICE_HEIGHTS;
    let approved = |number: u64| bench.approved(change(number, at, join(number)), &[0, 1, 2, 3]);
    let five: Vec<_> = (1..=5).map(approved).collect();
    assert_eq!(bench.state.announceable(five.clone(), 4), five[..4]);
    let many = bench.extend(bench.announcing(five.clone())).unwrap_err();
    let error = BlockError::Entries { what: "registry changes", actual: 5, limit: 4 };
    assert_eq!(many, ExtendError::Block(error));
    assert!(bench.extend(bench.announcing(five[..4].to_vec())).is_ok());
    let entry = SystemEntry::RegistryChange(approved(1));
    assert_eq!(bench.state.convicts(&entry), Err(BlockFault::NoProof));
}

#[test]
fn the_schedule_is_in_the_snapshot_invariant_4() {
    let mut bench = Bench::new();
    let at = 1 + MIN_NOTICE_HEIGHTS;
    let approved = bench.approved(change(1, at, join(902)), &[0, 1, 2, 4]);
    bench.advance(bench.announcing(vec![approved]));
    for _ in 0..MIN_NOTICE_HEIGHTS + 2 {
        let bytes = bench.state.snapshot();
        let restored = ChainState::restore(parameters(5, 1).1, &bytes).unwrap();
        assert_eq!(restored.schedule(), bench.state.schedule());
        assert_eq!(restored.digest(), bench.state.digest());
        bench.state = restored;
        bench.advance(bench.body());
    }
    assert_eq!(bench.state.schedule().registry().chain_ids(), [901, 902]);
}
