#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use fairveil_crypto::Height;

use super::*;
use crate::test_support::{Members, network_secret};

fn proposal(n: u16) -> Proposal {
    Members::new(n).proposal(0)
}

fn refused(change: impl FnOnce(&mut Proposal)) -> DefinitionError {
    let mut proposal = proposal(5);
    change(&mut proposal);
    Definition::new(proposal).unwrap_err()
}

#[test]
fn invariant_1_too_few_members_are_refused_with_the_n_it_would_take() {
    for (n, f, g, needed) in [(4, 1, 0, 5), (5, 1, 1, 7), (8, 2, 0, 9), (4, 16_383, 2, 65_537)] {
        let mut proposal = proposal(n);
        (proposal.f, proposal.g) = (f, g);
        assert_eq!(
            Definition::new(proposal).unwrap_err(),
            DefinitionError::TooFewMembers { n, f, g, needed }
        );
    }
    let mut three = proposal(4);
    three.members.pop();
    (three.n, three.f) = (3, 0);
    let error = Definition::new(three).unwrap_err();
    assert_eq!(error.to_string(), "n is 3; f = 0 and g = 0 take n >= 4");
    let nearest = |n, f, g| DefinitionError::TooFewMembers { n, f, g, needed: 0 }.to_string();
    assert!(nearest(8, 2, 0).ends_with("; n = 8 takes f <= 1, and with f = 1 g <= 1"));
    assert!(nearest(7, 1, 2).ends_with("; n = 7 takes f <= 1, and with f = 1 g <= 1"));
    assert!(nearest(7, 0, 9).ends_with("; n = 7 takes f <= 0, and with f = 0 g <= 3"));
    let counts = refused(|proposal| proposal.n = 6);
    assert_eq!(counts, DefinitionError::MemberCount { declared: 6, actual: 5 });
    assert!(matches!(refused(|p| p.revealed_limit = 2), DefinitionError::RevealedLimit { .. }));
}

#[test]
fn invariant_1_t_follows_from_n() {
    let expected = [(4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (16, 11), (64, 43)];
    for (n, t) in expected {
        let definition = Definition::new(proposal(n)).unwrap();
        assert_eq!((definition.threshold(), definition.consensus_faults()), (t, n - t));
        assert_eq!(definition.threshold(), fairveil_crypto::committee::threshold(n));
    }
    let with_t =
        Definition::new(proposal(5)).unwrap().to_toml().replace("n = 5\n", "n = 5\nt = 4\n");
    assert!(matches!(Definition::from_toml(&with_t), Err(DefinitionError::Toml(_))));
}

#[test]
fn invariant_2_duplicates_and_invalid_keys_are_refused() {
    let duplicate = |what, change: fn(&mut Proposal)| match refused(change) {
        DefinitionError::Duplicate { what: found, .. } => assert_eq!(found, what),
        other => panic!("{other}"),
    };
    duplicate(Identity::Name, |p| p.members[3].name = p.members[1].name.clone());
    duplicate(Identity::ConsensusKey, |p| p.members[3].consensus = p.members[1].consensus);
    duplicate(Identity::NetworkKey, |p| p.members[3].network = p.members[1].network);
    duplicate(Identity::DealingKey, |p| p.members[3].dealing = p.members[1].dealing);
    duplicate(Identity::PeerAddress, |p| {
        p.members[3].peer_address = p.members[1].peer_address.clone();
    });
    let reused = refused(|p| {
        p.members[3].network = NetworkPublicKey::from_bytes(p.members[1].consensus.to_bytes());
    });
    assert_eq!(reused, DefinitionError::KeyReused { name: "member-3".to_owned() });
    let mut not_a_point = [0; 32];
    not_a_point[0] = 2;
    let invalid = |what, change: &dyn Fn(&mut Proposal)| {
        let name = "member-2".to_owned();
        assert_eq!(refused(|p| change(p)), DefinitionError::InvalidKey { name, what });
    };
    invalid(Identity::ConsensusKey, &|p| {
        p.members[2].consensus = ConsensusPublicKey::from_bytes(not_a_point);
    });
    invalid(Identity::NetworkKey, &|p| {
        p.members[2].network = NetworkPublicKey::from_bytes(not_a_point);
    });
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    invalid(Identity::DealingKey, &|p| {
        p.members[2].dealing = crate::DealingPublicKey::from_bytes(infinity);
    });
}

#[test]
fn parameters_are_limited() {
    let named = |change: fn(&mut Proposal)| match refused(change) {
        DefinitionError::Parameter(ParameterError::Range { parameter, .. }) => parameter,
        other => panic!("{other}"),
    };
    assert_eq!(named(|p| p.blocks.minimum_interval_ms = 0), "minimum_interval_ms");
    assert_eq!(named(|p| p.blocks.idle_interval_ms = 99), "idle_interval_ms");
    assert_eq!(named(|p| p.deadlines.log_ms = 99), "log_ms");
    assert_eq!(named(|p| p.ordering.freshness_window_heights = 31), "freshness_window_heights");
    assert_eq!(named(|p| p.ordering.freshness_window_heights = 33), "freshness_window_heights");
    assert_eq!(named(|p| p.rollups[0].chain_id = 0), "chain_id");
    let accounting = |fee_per_byte, rollup_share_percent| {
        let deposits = Digest::from_bytes([7; 32]);
        Some(Accounting { deposits, fee_per_byte, rollup_share_percent })
    };
    let refused_accounting = |given| match refused(|p| p.accounting = given) {
        DefinitionError::Parameter(ParameterError::Range { parameter, .. }) => parameter,
        other => panic!("{other}"),
    };
    let most = i64::MAX as u64 >> 16;
    assert_eq!(refused_accounting(accounting(0, 50)), "fee_per_byte");
    assert_eq!(refused_accounting(accounting(most + 1, 50)), "fee_per_byte");
    assert_eq!(refused_accounting(accounting(1, 101)), "rollup_share_percent");
    let mut charging = proposal(5);
    charging.accounting = accounting(most, 100);
    let charging = Definition::new(charging).unwrap();
    assert_eq!(Definition::from_toml(&charging.to_toml()).unwrap(), charging);
    assert_eq!(Definition::from_bytes(&charging.to_bytes()).unwrap(), charging);
    assert_ne!(charging.digest(), Definition::new(proposal(5)).unwrap().digest());
    assert!(matches!(
        refused(|p| p.rollups[0].chain_id = 901),
        DefinitionError::Parameter(ParameterError::DuplicateRollup { chain_id: 901 })
    ));
    assert!(matches!(refused(|p| p.members[0].name = "Acme".into()), DefinitionError::Name { .. }));
    assert_eq!(refused(|p| p.version = 3), DefinitionError::Version { actual: 3 });
    assert!(matches!(refused(|p| p.epoch = Epoch::new(2)), DefinitionError::Epoch { .. }));
}

/// Zero, too short and too long: the nearest that would do stands in the refusal.
#[test]
fn unreachable_deadlines_are_refused_with_the_nearest_reachable_one() {
    let month = 30 * 24 * 3_600_000;
    let cases: [(fn(&mut Deadlines) -> &mut u64, &str); 4] = [
        (|deadlines| &mut deadlines.deal_ms, "deal_ms"),
        (|deadlines| &mut deadlines.acknowledge_ms, "acknowledge_ms"),
        (|deadlines| &mut deadlines.log_ms, "log_ms"),
        (|deadlines| &mut deadlines.confirm_ms, "confirm_ms"),
    ];
    for (deadline, name) in cases {
        for (given, nearest) in [(0, 100), (99, 100), (month + 1, month), (u64::MAX, month)] {
            let error = refused(|p| *deadline(&mut p.deadlines) = given).to_string();
            let expected =
                format!("{name} is {given}, it must be 100 to {month}: the nearest is {nearest}");
            assert_eq!(error, expected);
        }
    }
}

fn continued() -> (Definition, Proposal) {
    let first = Definition::new(proposal(5)).unwrap();
    let resharing = Resharing {
        network_id: first.network_id(),
        predecessor: first.digest(),
        boundary: Height::new(500),
    };
    let ids = vec![1, 2, 3, 4, 5, 6, 7];
    let next = Members { ids, epoch: 2 }.proposal(1);
    (first, Proposal { version: 2, resharing: Some(resharing), ..next })
}

#[test]
fn invariant_5_a_later_definition_carries_the_network_and_has_its_own_digest() {
    let (first, next) = continued();
    let definition = Definition::new(next.clone()).unwrap();
    assert_eq!(definition.network_id(), first.network_id());
    assert_ne!(definition.digest(), first.digest());
    assert_eq!(definition.continues(&first), Ok(()));
    assert_eq!(Definition::from_bytes(&definition.to_bytes()).unwrap(), definition);
    assert_eq!(Definition::from_toml(&definition.to_toml()).unwrap(), definition);
    let text = serde_json::to_string(&definition).unwrap();
    assert_eq!(Definition::new(serde_json::from_str(&text).unwrap()).unwrap(), definition);
    for (bytes, length) in [(first.to_bytes(), 1), (definition.to_bytes(), 9)] {
        for cut in 1..=length {
            assert!(Definition::from_bytes(&bytes[..bytes.len() - cut]).is_err());
        }
        assert!(Definition::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
    let mut later = next;
    later.resharing.as_mut().unwrap().boundary = Height::new(501);
    assert_ne!(Definition::new(later).unwrap().digest(), definition.digest());
}

#[test]
fn invariant_5_version_epoch_and_what_is_continued_belong_together() {
    let case = |change: &dyn Fn(&mut Proposal)| {
        let (_, mut proposal) = continued();
        change(&mut proposal);
        Definition::new(proposal).unwrap_err()
    };
    assert_eq!(case(&|p| p.version = 1), DefinitionError::UnexpectedResharing);
    assert_eq!(case(&|p| p.resharing = None), DefinitionError::MissingResharing);
    let epoch = Epoch::new(1);
    assert_eq!(case(&|p| p.epoch = epoch), DefinitionError::FirstEpoch { actual: epoch });
    let zero = case(&|p| p.resharing.as_mut().unwrap().boundary = Height::new(0)).to_string();
    assert!(zero.starts_with("boundary is 0, it must be 1 to "), "{zero}");
    assert!(zero.ends_with(": the nearest is 1"), "{zero}");
}

#[test]
fn invariant_5_what_does_not_continue_is_refused_with_what_would() {
    let (first, good) = continued();
    let case = |change: &dyn Fn(&mut Proposal)| {
        let mut proposal = good.clone();
        change(&mut proposal);
        Definition::new(proposal).unwrap().continues(&first).unwrap_err()
    };
    fn of(proposal: &mut Proposal) -> &mut Resharing {
        proposal.resharing.as_mut().unwrap()
    }
    use SuccessionError as E;
    let other = NetworkId::from_bytes([1; 32]);
    let wrong = case(&|p| of(p).network_id = other);
    assert_eq!(wrong, E::Network { expected: first.network_id(), actual: other });
    let (expected, actual) = (Epoch::new(2), Epoch::new(3));
    assert_eq!(case(&|p| p.epoch = actual), E::Epoch { expected, actual });
    let (expected, actual) = (first.digest(), Digest::from_bytes([2; 32]));
    let wrong = case(&|p| of(p).predecessor = actual);
    assert_eq!(wrong, E::Predecessor { expected, actual });
    let changed = |change: &dyn Fn(&mut Proposal)| match case(change) {
        E::Changed { what } => what,
        other => panic!("{other}"),
    };
    assert_eq!(changed(&|p| p.ordering.mode = Mode::Leader), "the parameters of the order");
    assert_eq!(changed(&|p| p.blocks.idle_interval_ms += 1), "the intervals of blocks");
    assert_eq!(changed(&|p| p.accounting = None), "what bundles cost and the deposits");
    assert_eq!(changed(&|p| p.rollups.truncate(1)), "the initial rollups");
    let served = first.members()[0].dealing;
    let reused = case(&|p| p.members[6].dealing = served);
    assert_eq!(reused, E::DealingKeyReused { name: "member-7".to_owned() });
    assert_eq!(first.continues(&first), Err(E::First));

    let second = Definition::new(good.clone()).unwrap();
    let mut third = Members { ids: vec![1, 2, 3, 4], epoch: 3 }.proposal(0);
    let boundary = Height::new(500);
    let (network_id, predecessor) = (first.network_id(), second.digest());
    third.version = 2;
    third.resharing = Some(Resharing { network_id, predecessor, boundary });
    let error = Definition::new(third.clone()).unwrap().continues(&second).unwrap_err();
    assert_eq!(error, E::Boundary { least: Height::new(501), actual: boundary });
    of(&mut third).boundary = Height::new(501);
    assert_eq!(Definition::new(third).unwrap().continues(&second), Ok(()));
}

#[test]
fn addresses_have_one_form() {
    for good in ["localhost:1", "127.0.0.1:65535", "[::1]:80", "acme.example:4433"] {
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
    }
    for bad in ["", "host", ":1", "host:0", "host:01", "host:65536", "::1:80", "[x]:1", "a b:1"] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}

#[test]
fn invariant_4_index_is_one_plus_the_rank_of_the_consensus_key() {
    let definition = Definition::new(proposal(7)).unwrap();
    let keys = definition.consensus_keys();
    assert!(keys.is_sorted());
    for (place, key) in keys.iter().enumerate() {
        let index = definition.index_of(key).unwrap();
        assert_eq!(usize::from(index.get()), place + 1);
        assert_eq!(definition.member(index).unwrap().consensus, *key);
    }
    assert_eq!(definition.index_of(&network_secret(0).public_key()), None);
}

#[test]
fn short_digests_are_three_groups() {
    let digest = Digest::from_bytes(std::array::from_fn(|k| k as u8 * 17));
    assert_eq!(short_digest(&digest), "0011-2233-4455");
}

#[test]
fn unknown_and_missing_fields_in_toml_are_refused() {
    let toml = Definition::new(proposal(4)).unwrap().to_toml();
    let extra = toml.replace("[ordering]", "[ordering]\nseed = 1");
    assert!(matches!(Definition::from_toml(&extra), Err(DefinitionError::Toml(_))));
    let missing = toml.replace("revealed_limit = 0\n", "");
    assert!(matches!(Definition::from_toml(&missing), Err(DefinitionError::Toml(_))));
    let long = " ".repeat(MAX_BYTES + 1);
    assert!(matches!(Definition::from_toml(&long), Err(DefinitionError::TooLong { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn invariant_3_a_definition_is_canonical(
        n in 4u16..12,
        g in 0u16..2,
        interval in 1u32..5_000,
        chain_ids in proptest::collection::btree_set(1u64..1 << 40, 0..5),
        order in any::<proptest::sample::Index>(),
        leader: bool,
    ) {
        let mut proposal = proposal(n);
        proposal.g = g;
        proposal.f = n.saturating_sub(1 + 2 * g) / 4;
        proposal.blocks.minimum_interval_ms = interval;
        proposal.blocks.idle_interval_ms = 2 * interval;
        proposal.ordering.mode = if leader { Mode::Leader } else { Mode::Strict };
        proposal.rollups = chain_ids
            .iter()
            .map(|&chain_id| Rollup::new(chain_id, &format!("r{chain_id}")))
            .collect();
        let definition = Definition::new(proposal.clone()).unwrap();
        let mut shuffled = proposal;
        let places = shuffled.members.len();
        shuffled.members.rotate_left(order.index(places));
        shuffled.members.swap(0, order.index(places));
        shuffled.rollups.reverse();
        let again = Definition::new(shuffled).unwrap();
        prop_assert_eq!(&again, &definition);
        prop_assert_eq!(again.digest(), definition.digest());
        prop_assert_eq!(&Definition::from_bytes(&definition.to_bytes()).unwrap(), &definition);
        prop_assert_eq!(&Definition::from_toml(&definition.to_toml()).unwrap(), &definition);
    }

    #[test]
    fn invariant_3_changed_bytes_are_refused_or_another_definition(
        place in any::<proptest::sample::Index>(),
        bit in 0u8..8,
    ) {
        let definition = Definition::new(proposal(4)).unwrap();
        let mut bytes = definition.to_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(other) = Definition::from_bytes(&bytes) {
            prop_assert_ne!(other.digest(), definition.digest());
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }
}
