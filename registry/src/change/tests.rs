#![allow(clippy::unwrap_used)]

use super::*;
use crate::registry::MAX_NAME_BYTES;

fn network() -> NetworkId {
    NetworkId::from_bytes([7; 32])
}

fn plain(chain_id: u64) -> Rollup {
    Rollup::recorder(chain_id, "plain")
}

fn timed(chain_id: u64, genesis_ms: u64, interval_ms: u64) -> Rollup {
    Rollup { blocks: Some(BlockTimes { genesis_ms, interval_ms }), ..plain(chain_id) }
}

fn secrets() -> Vec<ConsensusSecret> {
    let mut secrets: Vec<_> = (1..=5).map(|seed| ConsensusSecret::from_seed([seed; 32])).collect();
    secrets.sort_by_key(ConsensusSecret::public_key);
    secrets
}

fn keys() -> Vec<ConsensusPublicKey> {
    secrets().iter().map(ConsensusSecret::public_key).collect()
}

fn pause() -> RegistryChange {
    let action = Action::Pause { chain_id: 901 };
    RegistryChange { network_id: network(), number: 1, at: Height::new(40), action }
}

fn approvals(change: &RegistryChange, members: &[usize]) -> Vec<ChangeApproval> {
    let secrets = secrets();
    members.iter().map(|member| ChangeApproval::new(change, &secrets[*member])).collect()
}

#[test]
fn every_action_does_what_it_says_invariant_1() {
    let registry = Registry::new(vec![plain(901), plain(903)]).unwrap();
    let after = |action: Action| action.applied(&registry, None).unwrap();
    assert_eq!(after(Action::Join(plain(902))).chain_ids(), [901, 902, 903]);
    assert_eq!(after(Action::Leave { chain_id: 901 }).chain_ids(), [903]);
    let paused = after(Action::Pause { chain_id: 903 });
    assert!(paused.rollup(903).unwrap().paused && !paused.rollup(901).unwrap().paused);
    let resumed = Action::Resume { chain_id: 903 }.applied(&paused, None).unwrap();
    assert_eq!(resumed, registry);
}

#[test]
fn every_reason_against_an_action_names_its_values_invariant_3() {
    let registry = Registry::new(vec![plain(901), plain(903)]).unwrap();
    let error = |action: Action| action.applied(&registry, None).unwrap_err();
    for action in [
        Action::Pause { chain_id: 5 },
        Action::Resume { chain_id: 5 },
        Action::Leave { chain_id: 5 },
    ] {
        assert_eq!(error(action), ActionError::Unknown { chain_id: 5 });
    }
    let registered = ActionError::Registered { chain_id: 901, name: "plain".into() };
    assert_eq!(error(Action::Join(plain(901))), registered);
    assert_eq!(error(Action::Resume { chain_id: 901 }), ActionError::NotPaused { chain_id: 901 });
    let paused = Action::Pause { chain_id: 901 }.applied(&registry, None).unwrap();
    let again = Action::Pause { chain_id: 901 }.applied(&paused, None).unwrap_err();
    assert_eq!(again, ActionError::Paused { chain_id: 901 });
    let asleep = Rollup { paused: true, ..plain(902) };
    assert_eq!(error(Action::Join(asleep)), ActionError::JoinsPaused { chain_id: 902 });
    let long = Rollup { name: "n".repeat(MAX_NAME_BYTES + 1), ..plain(902) };
    let named = ActionError::Registry(RegistryError::Name { chain_id: 902 });
    assert_eq!(error(Action::Join(long)), named);
    let times = ActionError::Times { chain_id: 902 };
    assert_eq!(error(Action::Join(timed(902, 0, 250))), times);
    let one = Registry::new(vec![plain(901)]).unwrap();
    let last = Action::Leave { chain_id: 901 }.applied(&one, None).unwrap_err();
    assert_eq!(last, ActionError::Last { chain_id: 901 });
    let full = Registry::new((1..=64).map(plain).collect()).unwrap();
    let many = Action::Join(plain(65)).applied(&full, None).unwrap_err();
    assert_eq!(many, ActionError::TooMany { chain_id: 65, actual: 65, limit: MAX_ROLLUPS });
}

#[test]
fn who_joins_fits_the_slots_that_the_network_began_with_invariant_1() {
    let registry = Registry::new(vec![timed(901, 10_000, 1_000), timed(902, 8_000, 2_000)]);
    let registry = registry.unwrap();
    let slots = registry.slots().unwrap().unwrap();
    assert_eq!((slots.length_ms(), slots.anchor_ms()), (2_000, 10_000));
    let join = |rollup: Rollup| Action::Join(rollup).applied(&registry, Some(&slots));
    let error = |rollup: Rollup| join(rollup).unwrap_err();
    assert_eq!(error(plain(903)), ActionError::NoTimes { chain_id: 903 });
    for actual in [0, 300, 4_000] {
        let interval = ActionError::Interval { chain_id: 903, actual, slot_ms: 2_000 };
        assert_eq!(error(timed(903, 10_000, actual)), interval);
    }
    let blocks = ActionError::Blocks { chain_id: 903, actual: 400, limit: MAX_BLOCKS };
    assert_eq!(error(timed(903, 10_000, 5)), blocks);
    for (genesis_ms, off_ms) in [(9_900, 100), (10_100, 150), (13_999, 1), (0, 0), (12_250, 0)] {
        let verdict = join(timed(903, genesis_ms, 250));
        match off_ms {
            0 => assert_eq!(verdict.unwrap().chain_ids(), [901, 902, 903]),
            off_ms => {
                assert_eq!(verdict.unwrap_err(), ActionError::Apart { chain_id: 903, off_ms });
            }
        }
    }
    // Its blocks fill the slots, to the end, whatever its genesis.
    for genesis_ms in [250, 10_000, 12_250] {
        let times = BlockTimes { genesis_ms, interval_ms: 250 };
        let slot = slots.slot_at(20_000);
        let blocks: Vec<_> = slots.blocks(times, slot).collect();
        for block in &blocks {
            assert_eq!(block.time_ms, genesis_ms + block.number * 250);
        }
        assert_eq!(blocks.last().unwrap().time_ms, slots.start_ms(slot.next()));
    }
    // What is left when the others leave keeps the slots.
    let left = Action::Leave { chain_id: 902 }.applied(&registry, Some(&slots)).unwrap();
    assert_eq!(left.slots().unwrap().unwrap().length_ms(), 1_000);
    let wide = Action::Join(timed(903, 10_000, 2_000)).applied(&left, Some(&slots));
    assert_eq!(wide.unwrap().chain_ids(), [901, 903]);
}

#[test]
fn a_quorum_of_distinct_members_approves_invariant_2() {
    let (change, keys) = (pause(), keys());
    let approved = |members: &[usize]| {
        ApprovedChange::new(change.clone(), approvals(&change, members), &keys, 4)
    };
    let some = approved(&[4, 0, 2, 1]).unwrap();
    assert_eq!(some, approved(&[0, 1, 2, 4]).unwrap());
    assert_eq!(ApprovedChange::decode(&some.encode()), Ok(some.clone()));
    assert!(approved(&[0, 1, 2, 3, 4]).is_ok());
    let few = approved(&[0, 1, 2]).unwrap_err();
    assert_eq!(few, ApprovalError::TooFew { actual: 3, quorum: 4 });
    let twice = approved(&[0, 1, 2, 2]).unwrap_err();
    assert_eq!(twice, ApprovalError::Order { previous: keys[2], next: keys[2] });
    let many = approved(&[0, 0, 1, 2, 3, 4]).unwrap_err();
    assert_eq!(many, ApprovalError::TooMany { actual: 6, members: 5 });
    let mut swapped = some.clone();
    swapped.approvals.swap(0, 1);
    let order = ApprovalError::Order { previous: keys[1], next: keys[0] };
    assert_eq!(swapped.verify(&keys, 4), Err(order));
    let stranger = ConsensusSecret::from_seed([9; 32]);
    let mut foreign = approvals(&change, &[0, 1, 2]);
    foreign.push(ChangeApproval::new(&change, &stranger));
    let foreign = ApprovedChange::new(change.clone(), foreign, &keys, 4).unwrap_err();
    assert_eq!(foreign, ApprovalError::NotAMember { member: stranger.public_key() });
    let other = RegistryChange { number: 2, ..change.clone() };
    let mixed = [approvals(&change, &[0, 1, 2]), approvals(&other, &[3])].concat();
    let mixed = ApprovedChange::new(change.clone(), mixed, &keys, 4).unwrap_err();
    let (actual, expected) = (other.digest(), change.digest());
    assert_eq!(mixed, ApprovalError::OtherChange { actual, expected });
    let moved = ApprovedChange { change: other, ..some };
    assert_eq!(moved.verify(&keys, 4), Err(ApprovalError::Signature { member: keys[0] }));
}

#[test]
fn the_digest_covers_every_field_and_an_approval_signs_nothing_else() {
    let base = pause();
    let at = Height::new(41);
    let changes = [
        base.clone(),
        RegistryChange { network_id: NetworkId::from_bytes([8; 32]), ..base.clone() },
        RegistryChange { number: 2, ..base.clone() },
        RegistryChange { at, ..base.clone() },
        RegistryChange { action: Action::Pause { chain_id: 902 }, ..base.clone() },
        RegistryChange { action: Action::Resume { chain_id: 901 }, ..base.clone() },
        RegistryChange { action: Action::Leave { chain_id: 901 }, ..base.clone() },
        RegistryChange { action: Action::Join(plain(901)), ..base.clone() },
        RegistryChange { action: Action::Join(timed(901, 0, 250)), ..base.clone() },
    ];
    let digests: std::collections::BTreeSet<_> =
        changes.iter().map(RegistryChange::digest).collect();
    assert_eq!(digests.len(), changes.len());
    let approval = approvals(&base, &[0])[0];
    let digest = base.digest();
    let key = approval.member;
    assert!(key.verify(Tag::RegistryApproval, &[digest.as_bytes()], &approval.signature).is_ok());
    assert!(key.verify(Tag::Approval, &[digest.as_bytes()], &approval.signature).is_err());
}

#[test]
fn the_layout_is_fixed() {
    let encoded = encoding::encode(&pause());
    let mut expected = vec![7; 32];
    expected.extend(1u64.to_le_bytes());
    expected.extend(40u64.to_le_bytes());
    expected.extend(1u32.to_le_bytes());
    expected.extend(901u64.to_le_bytes());
    assert_eq!(encoded, expected);
}

#[test]
fn files_are_read_as_they_were_written() {
    for action in [Action::Join(timed(902, 5, 250)), Action::Leave { chain_id: 901 }] {
        let change = RegistryChange { action, ..pause() };
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<RegistryChange>(&text).unwrap(), change);
        let approval = approvals(&change, &[3])[0];
        let text = serde_json::to_string(&approval).unwrap();
        assert_eq!(serde_json::from_str::<ChangeApproval>(&text).unwrap(), approval);
    }
}
