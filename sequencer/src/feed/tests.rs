use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PrivateKey;
use fairveil_crypto::ConsensusSecret;

use super::*;

const CEREMONY: Digest = Digest::from_bytes([7; 32]);

fn members() -> Vec<PublicKey> {
    (0..5).map(|seed| PrivateKey::from_seed(seed).public_key()).collect()
}

fn entries(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|byte| vec![byte; 3]).collect()
}

/// What a member with these entries says from entry `from` on.
fn part(round: u64, ceremony: Digest, entries: &[Vec<u8>], from: u64) -> AgreedPart {
    let mut agreed = AgreedEntries::new(&ceremony);
    let leader = ConsensusSecret::from_seed([1; 32]).public_key();
    agreed.extend(leader, entries.iter().map(Vec::as_slice)).unwrap();
    let after = entries.iter().skip(from as usize).cloned().collect();
    let (count, history) = (agreed.count(), agreed.history());
    AgreedPart { ceremony, round, count, history, from, entries: after }
}

#[test]
fn entries_count_once_enough_members_state_them_invariant_1() {
    let (members, all) = (members(), entries(4));
    let mut feed = Feed::new(members.clone(), 1);
    assert_eq!(feed.told(&members[0], part(0, CEREMONY, &all, 0)), [], "one may lie");
    let news = feed.told(&members[1], part(0, CEREMONY, &all[..3], 0));
    assert_eq!(news, [News::Open { ceremony: CEREMONY, round: 0 }], "of different lengths");
    let news = feed.told(&members[2], part(0, CEREMONY, &all, 0));
    assert_eq!(news, [News::Agreed(all.clone())]);
    assert_eq!(feed.count(), 4);
    // Only what is new is handed on.
    let more = entries(6);
    assert_eq!(feed.told(&members[3], part(0, CEREMONY, &more, 4)), []);
    let news = feed.told(&members[0], part(0, CEREMONY, &more, 4));
    assert_eq!(news, [News::Agreed(more[4..].to_vec())]);
}

#[test]
fn a_liar_adds_drops_and_turns_around_nothing_invariant_1() {
    let (members, all) = (members(), entries(4));
    let mut forged = all.clone();
    forged.swap(1, 2);
    let mut feed = Feed::new(members.clone(), 1);
    feed.told(&members[0], part(0, CEREMONY, &forged, 0));
    feed.told(&members[1], part(0, CEREMONY, &all, 0));
    assert_eq!(feed.count(), 0, "two say that it is open, and differ in what is agreed");
    // The forged entries under the honest statement.
    let mut mixed = part(0, CEREMONY, &all, 0);
    mixed.entries = forged;
    feed.told(&members[2], part(0, CEREMONY, &all, 0));
    assert_eq!(feed.count(), 4);
    let mut feed = Feed::new(members.clone(), 1);
    for member in [1, 2] {
        feed.told(
            &members[member],
            AgreedPart { entries: Vec::new(), ..part(0, CEREMONY, &all, 0) },
        );
    }
    assert_eq!(feed.told(&members[0], mixed), []);
    assert_eq!(feed.told(&members[3], part(0, CEREMONY, &all, 0)), [News::Agreed(all)]);
}

#[test]
fn a_later_round_takes_the_place_of_an_earlier_one_invariant_2() {
    let (members, all) = (members(), entries(2));
    let second = Digest::from_bytes([8; 32]);
    let mut feed = Feed::new(members.clone(), 1);
    for member in &members[..2] {
        feed.told(member, part(0, CEREMONY, &all, 0));
    }
    assert_eq!(feed.count(), 2);
    assert_eq!(feed.told(&members[0], part(1, second, &all[..1], 0)), []);
    let news = feed.told(&members[1], part(1, second, &all[..1], 0));
    assert_eq!(news, [News::Open { ceremony: second, round: 1 }, News::Agreed(all[..1].to_vec())]);
    assert_eq!(feed.told(&members[2], part(0, CEREMONY, &entries(3), 1)), [], "the first is over");
    let stranger = PrivateKey::from_seed(99).public_key();
    assert_eq!(feed.told(&stranger, part(5, second, &all, 0)), []);
}

#[test]
fn statements_of_a_member_are_bounded_invariant_3() {
    let members = members();
    let mut feed = Feed::new(members.clone(), 1);
    for round in 0..200 {
        feed.told(&members[0], part(round, Digest::from_bytes([round as u8; 32]), &[], 0));
    }
    assert_eq!(feed.statements[&members[0]].len(), MAX_STATEMENTS);
}
