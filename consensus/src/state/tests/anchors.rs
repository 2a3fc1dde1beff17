//! Anchors of followed rollups in blocks.

use fairveil_registry::anchor::{Anchor, BaseFeeError};
use fairveil_registry::change::{Action, ApprovedChange, ChangeApproval, RegistryChange};
use fairveil_registry::registry::{FollowedState, StateSource};
use fairveil_registry::schedule::MIN_NOTICE_HEIGHTS;
use fairveil_registry::slot::BlockTimes;

use super::*;

const MAX_AGE_MS: u64 = 8_000;

/// A network with followed rollups 901 and 903, and one that is not followed.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let rule = FollowedState { max_age_ms: MAX_AGE_MS, elasticity: 2, denominator: 8 };
    let rollup = |chain_id| Rollup {
        blocks: Some(BlockTimes { genesis_ms: 0, interval_ms: 1_000 }),
        state: (chain_id != 902).then_some(StateSource::Followed(rule)),
        ..Rollup::recorder(chain_id, "followed")
    };
    let (_, mut given) = parameters(5, 1);
    given.registry = Registry::new([901, 902, 903].map(rollup).to_vec()).unwrap();
    bench.state = ChainState::genesis(given).unwrap().1;
    bench.advance(bench.body());
    bench
}

/// Block `number` of a rollup, `number` seconds after second 990.
fn anchor(chain_id: u64, number: u64) -> Anchor {
    Anchor {
        chain_id,
        number,
        hash: hash(Tag::Batch, &[&number.to_be_bytes()]),
        state_root: Digest::from_bytes([1; 32]),
        timestamp_s: 990 + number,
        base_fee: 7,
        gas_limit: 30_000_000,
        gas_used: 21_000,
    }
}

impl Bench {
    fn naming(&self, anchors: &[Anchor]) -> Draft {
        let system = anchors.iter().copied().map(SystemEntry::Anchor).collect();
        Draft { system, ..self.body() }
    }

    fn refused_anchor(&self, anchors: &[Anchor]) -> AnchorFault {
        match self.fault(self.naming(anchors)) {
            BlockFault::Anchor(fault) => fault,
            fault => panic!("{fault}"),
        }
    }
}

#[test]
fn anchors_are_kept_in_the_state_and_committed_to_invariant_1() {
    let mut bench = bench();
    let (_, plain, _) = bench.extend(bench.body()).unwrap();
    let both = [anchor(901, 5), anchor(903, 9)];
    assert_eq!(bench.state.anchorable(vec![both[1], both[0], both[1]]), both);
    let output = bench.advance(bench.naming(&both));
    assert_eq!(output.anchored, both);
    assert_ne!(bench.state.digest(), plain.digest());
    assert_eq!(bench.state.anchors(), &BTreeMap::from([(901, both[0]), (903, both[1])]));
    let restored = ChainState::restore(bench.state.parameters().clone(), &bench.state.snapshot());
    let restored = restored.unwrap();
    assert_eq!(restored.anchors(), bench.state.anchors());
    assert_eq!(restored.digest(), bench.state.digest());
    // A block without anchors changes none, and is no reason to come soon.
    let digest = bench.state.anchors().clone();
    bench.advance(bench.body());
    assert_eq!(bench.state.anchors(), &digest);
    let body = Draft { evidence: Evidence::default(), ..bench.naming(&[anchor(901, 6)]) };
    assert_eq!(bench.state.load(&bench.state.pack(&body).unwrap()), Load::Idle);
}

#[test]
fn the_order_and_the_rollups_of_anchors_are_judged_invariant_1() {
    let bench = bench();
    let order = |previous, next| AnchorFault::Order { previous, next };
    assert_eq!(bench.refused_anchor(&[anchor(903, 5), anchor(901, 5)]), order(903, 901));
    assert_eq!(bench.refused_anchor(&[anchor(901, 5), anchor(901, 6)]), order(901, 901));
    for chain_id in [902, 904] {
        let fault = AnchorFault::NotFollowed { chain_id };
        assert_eq!(bench.refused_anchor(&[anchor(chain_id, 5)]), fault);
        assert!(bench.state.anchorable(vec![anchor(chain_id, 5)]).is_empty());
    }
}

#[test]
fn anchors_of_a_rollup_strictly_ascend_invariant_2() {
    let mut bench = bench();
    bench.advance(bench.naming(&[anchor(901, 5)]));
    let later = |number, timestamp_s| Anchor { timestamp_s, ..anchor(901, number) };
    for (number, timestamp_s) in [(5, 996), (4, 996), (6, 995), (6, 994)] {
        let fault = AnchorFault::NotLater {
            chain_id: 901,
            number,
            timestamp_s,
            last_number: 5,
            last_timestamp_s: 995,
        };
        assert_eq!(bench.refused_anchor(&[later(number, timestamp_s)]), fault);
    }
    bench.advance(bench.naming(&[later(6, 996)]));
}

#[test]
fn anchors_are_neither_ahead_nor_old_invariant_3() {
    let bench = bench();
    // The lower median of the clocks: 100 ms after the first block.
    let time_ms = bench.extend(bench.body()).unwrap().0.header().time_ms;
    assert_eq!(time_ms, 1_000_102);
    let of = |timestamp_s| Anchor { timestamp_s, ..anchor(901, 5) };
    let limit_ms = time_ms + MAX_AHEAD_MS;
    let ahead = AnchorFault::Ahead { chain_id: 901, actual_ms: 1_006_000, limit_ms };
    assert_eq!(bench.refused_anchor(&[of(1_006)]), ahead);
    assert!(bench.extend(bench.naming(&[of(1_005)])).is_ok());
    let old = AnchorFault::Old { chain_id: 901, actual_ms: 8_102, limit_ms: MAX_AGE_MS };
    assert_eq!(bench.refused_anchor(&[of(992)]), old);
    assert!(bench.extend(bench.naming(&[of(993)])).is_ok());
    let blocked = Anchor { gas_limit: 1, ..anchor(901, 5) };
    let why = BaseFeeError::Target { gas_limit: 1, elasticity: 2 };
    assert_eq!(bench.refused_anchor(&[blocked]), AnchorFault::BaseFee { chain_id: 901, why });
}

#[test]
fn an_anchor_is_due_once_the_last_has_a_quarter_of_its_age() {
    let mut bench = bench();
    bench.advance(bench.naming(&[anchor(901, 9)]));
    // The last one is of 999,000 ms, the state's time about 1,000,100.
    assert!(bench.state.anchorable(vec![anchor(901, 10)]).is_empty());
    bench.now_ms = 1_001_000;
    bench.advance(bench.body());
    assert_eq!(bench.state.anchorable(vec![anchor(901, 10)]), [anchor(901, 10)]);
    assert!(bench.state.anchorable(vec![anchor(901, 9)]).is_empty(), "not later");
    // After an idle hour a fresh block is far ahead of the last one of the network, and due.
    let fresh = Anchor { timestamp_s: 4_600, ..anchor(901, 999) };
    assert_eq!(bench.state.anchorable(vec![fresh]), [fresh]);
    bench.now_ms = 4_601_000;
    bench.advance(bench.naming(&[fresh]));
}

#[test]
fn a_rollup_that_leaves_takes_its_anchor_with_it_invariant_4() {
    let mut bench = bench();
    bench.advance(bench.naming(&[anchor(901, 5), anchor(903, 5)]));
    let at = bench.state.tip().height.next().get() + MIN_NOTICE_HEIGHTS;
    let change = RegistryChange {
        network_id: NetworkId::from_bytes([7; 32]),
        number: 1,
        at: Height::new(at),
        action: Action::Leave { chain_id: 901 },
    };
    let approvals = bench.secrets[..4].iter().map(|secret| ChangeApproval::new(&change, secret));
    let approvals = approvals.map(|approval| (approval.member, approval.signature)).collect();
    let approved = ApprovedChange { change, approvals };
    let system = vec![SystemEntry::RegistryChange(approved)];
    bench.advance(Draft { system, ..bench.body() });
    while bench.state.tip().height.get() + 1 < at {
        assert_eq!(bench.state.anchors().len(), 2);
        bench.advance(bench.body());
    }
    // The block of the height at which it has left may not anchor it any more.
    assert!(bench.state.anchorable(vec![anchor(901, 8)]).is_empty());
    let fault = AnchorFault::NotFollowed { chain_id: 901 };
    assert_eq!(bench.refused_anchor(&[anchor(901, 8)]), fault);
    bench.advance(bench.body());
    assert_eq!(bench.state.anchors().keys().collect::<Vec<_>>(), [&903]);
}

#[test]
fn an_anchor_convicts_nobody() {
    let bench = bench();
    let entry = SystemEntry::Anchor(anchor(901, 5));
    assert_eq!(bench.state.convicts(&entry), Err(BlockFault::NoProof));
}
