#![allow(clippy::unwrap_used)]

use super::*;

fn peer(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

fn id(number: u16) -> BundleId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn limits() -> Limits {
    Limits {
        announced_ids: 3,
        needed_ids: 4,
        fetching_ids: 2,
        needed_ms: 10_000,
        ..Limits::DEFAULT
    }
}

fn connected(peers: &[u16]) -> Fetcher {
    let mut fetcher = Fetcher::default();
    peers.iter().for_each(|number| fetcher.connect(0, peer(*number)));
    fetcher
}

fn ask(fetcher: &mut Fetcher, now_ms: u64) -> Vec<(u16, Vec<BundleId>)> {
    let requests = fetcher.requests(now_ms, Intake::Open, |_| false, &limits());
    requests.into_iter().map(|(peer, ids)| (peer.get(), ids)).collect()
}

/// Every index agrees with the wants.
fn check(fetcher: &Fetcher) {
    assert_eq!(fetcher.due.len(), fetcher.wants.len());
    for (id, want) in &fetcher.wants {
        assert_eq!(fetcher.due.get(&want.due), Some(id));
    }
    let needed = |want: &&Want| matches!(want.reason, Reason::Needed { .. });
    assert_eq!(fetcher.needed, fetcher.wants.values().filter(needed).count());
    let mut announced: BTreeMap<SequencerIndex, usize> = BTreeMap::new();
    let mut asking: BTreeMap<SequencerIndex, usize> = BTreeMap::new();
    for want in fetcher.wants.values() {
        if want.reason == Reason::Announced {
            want.holders.iter().for_each(|peer| *announced.entry(*peer).or_default() += 1);
        }
        want.asking.iter().for_each(|peer| *asking.entry(*peer).or_default() += 1);
    }
    let mut counted = fetcher.announced.clone();
    counted.retain(|_, count| *count > 0);
    assert_eq!(counted, announced);
    assert_eq!(fetcher.asking, asking);
}

#[test]
fn a_bundle_whose_copy_waits_to_be_verified_is_fetched_later_and_at_last() {
    let grace = limits().announced_grace_ms;
    let mut fetcher = connected(&[2, 3]);
    fetcher.announced(0, peer(2), id(1), &limits());
    let mut asked_at = None;
    for round in 1..=u64::from(MAX_DEFERRALS) + 1 {
        let requests = fetcher.requests(round * grace, Intake::Open, |_| true, &limits());
        check(&fetcher);
        if !requests.is_empty() {
            asked_at.get_or_insert(round);
        }
    }
    assert_eq!(asked_at, Some(u64::from(MAX_DEFERRALS) + 1), "a forgery delays, and does not hide");
    // Without a copy it is fetched at once, and what is required never waits.
    let mut fetcher = connected(&[2, 3]);
    fetcher.announced(0, peer(2), id(1), &limits());
    assert!(fetcher.requests(grace, Intake::Open, |_| true, &limits()).is_empty());
    assert_eq!(ask(&mut fetcher, 2 * grace), [(2, vec![id(1)])]);
    let mut fetcher = connected(&[2, 3]);
    fetcher.want(0, id(1), Reason::Duty, &limits());
    assert_eq!(fetcher.requests(0, Intake::Open, |_| true, &limits()).len(), 1);
}

#[test]
fn an_announced_bundle_is_asked_for_after_a_grace_from_those_who_have_it() {
    let mut fetcher = connected(&[2, 3, 4]);
    fetcher.announced(0, peer(4), id(1), &limits());
    fetcher.announced(10, peer(3), id(1), &limits());
    assert_eq!(ask(&mut fetcher, 99), []);
    assert_eq!(fetcher.wake_at_ms(), Some(100));
    let first = ask(&mut fetcher, 100);
    assert_eq!(first.len(), 1);
    assert_eq!(ask(&mut fetcher, 599), []);
    let second = ask(&mut fetcher, 600);
    let mut asked = [first[0].0, second[0].0];
    asked.sort_unstable();
    assert_eq!(asked, [3, 4]);
    check(&fetcher);
    // Both were asked: whoever needs it will say so.
    assert_eq!(ask(&mut fetcher, 1_100), []);
    assert_eq!((fetcher.len(), fetcher.wake_at_ms()), (0, None));
    check(&fetcher);
}

#[test]
fn a_duty_is_asked_for_round_after_round_with_growing_patience() {
    let mut fetcher = connected(&[2, 3]);
    assert!(fetcher.want(0, id(1), Reason::Duty, &limits()));
    let mut asked = Vec::new();
    let mut now_ms = 0;
    while now_ms < 120_000 {
        asked.extend(ask(&mut fetcher, now_ms).into_iter().map(|(peer, _)| (now_ms, peer)));
        check(&fetcher);
        now_ms = fetcher.wake_at_ms().unwrap();
    }
    assert!(asked.len() > 15, "{asked:?}");
    assert!(asked.iter().any(|(_, peer)| *peer == 2) && asked.iter().any(|(_, peer)| *peer == 3));
    assert_eq!(asked[1].0 - asked[0].0, 500);
    let last = asked[asked.len() - 1].0 - asked[asked.len() - 2].0;
    assert!(last >= 4_000, "{last}");
    fetcher.remove(&id(1));
    check(&fetcher);
    assert_eq!(fetcher.asking(), 0);
}

#[test]
fn an_absent_bundle_is_asked_for_elsewhere_at_once() {
    let mut fetcher = connected(&[2, 3]);
    fetcher.want(0, id(1), Reason::Duty, &limits());
    let first = ask(&mut fetcher, 0)[0].0;
    fetcher.absent(5, peer(first), &id(1));
    let second = ask(&mut fetcher, 5)[0].0;
    assert_ne!(first, second);
    fetcher.disconnect(6, peer(second));
    check(&fetcher);
    assert_eq!(fetcher.asking(), 0);
    let third = (6..2_000).step_by(10).find_map(|now| ask(&mut fetcher, now).pop());
    assert_eq!(third.unwrap().0, first);
    check(&fetcher);
}

#[test]
fn without_peers_nothing_is_asked_until_one_comes() {
    let mut fetcher = Fetcher::default();
    fetcher.want(0, id(1), Reason::Duty, &limits());
    for now_ms in (0..60_000).step_by(500) {
        assert_eq!(ask(&mut fetcher, now_ms), []);
    }
    fetcher.connect(60_001, peer(2));
    assert_eq!(ask(&mut fetcher, 60_001), [(2, vec![id(1)])]);
    // The rounds without peers cost no patience.
    assert_eq!(fetcher.wake_at_ms(), Some(60_501));
}

#[test]
fn announcements_and_needs_and_requests_are_bounded() {
    let mut fetcher = connected(&[2, 3]);
    for number in 0..10 {
        fetcher.announced(0, peer(2), id(number), &limits());
    }
    assert_eq!(fetcher.len(), 3);
    fetcher.announced(0, peer(3), id(9), &limits());
    assert_eq!(fetcher.len(), 4);
    let until_ms = 10_000;
    let wanted = (20..30)
        .filter(|number| fetcher.want(0, id(*number), Reason::Needed { until_ms }, &limits()))
        .count();
    assert_eq!(wanted, 4);
    check(&fetcher);
    for now_ms in (0..9_000).step_by(20) {
        for (_, ids) in ask(&mut fetcher, now_ms) {
            assert!(ids.len() <= 2);
        }
        assert!(fetcher.asking() <= 4);
        check(&fetcher);
    }
    for now_ms in (9_000..30_000).step_by(20) {
        ask(&mut fetcher, now_ms);
    }
    assert_eq!(fetcher.len(), 0);
    check(&fetcher);
}

#[test]
fn a_stronger_reason_replaces_a_weaker_one() {
    let mut fetcher = connected(&[2]);
    fetcher.announced(0, peer(2), id(1), &limits());
    assert!(!fetcher.is_required(&id(1)));
    fetcher.want(1, id(1), Reason::Needed { until_ms: 5 }, &limits());
    assert_eq!(ask(&mut fetcher, 1), [(2, vec![id(1)])]);
    fetcher.want(2, id(1), Reason::Needed { until_ms: 9 }, &limits());
    assert_eq!(fetcher.reason(&id(1)), Some(Reason::Needed { until_ms: 9 }));
    fetcher.want(2, id(1), Reason::Duty, &limits());
    fetcher.want(2, id(1), Reason::Needed { until_ms: 99 }, &limits());
    assert_eq!(fetcher.reason(&id(1)), Some(Reason::Duty));
    check(&fetcher);
    fetcher.end_duty(&id(1), 600);
    check(&fetcher);
    ask(&mut fetcher, 700);
    assert_eq!(fetcher.len(), 0);
    check(&fetcher);
}

#[test]
fn announced_bundles_wait_while_intake_is_closed() {
    let mut fetcher = connected(&[2]);
    fetcher.announced(0, peer(2), id(1), &limits());
    fetcher.want(0, id(2), Reason::Duty, &limits());
    let requests = fetcher.requests(200, Intake::Closed, |_| false, &limits());
    assert_eq!(requests, BTreeMap::from([(peer(2), vec![id(2)])]));
    fetcher.hasten_all(300);
    assert_eq!(ask(&mut fetcher, 300), [(2, vec![id(1)])]);
}

/// What is fetched first is logged first: whoever grinds ids gains nothing by it.
#[test]
fn bundles_are_fetched_in_the_order_in_which_they_were_announced_whatever_their_ids() {
    let arrived = [id(7), id(2), id(9)];
    let mut fetcher = connected(&[2]);
    for (now_ms, id) in (0..).zip(arrived) {
        fetcher.announced(now_ms, peer(2), id, &limits());
    }
    let closed = fetcher.requests(10_000, Intake::Closed, |_| false, &limits());
    assert!(closed.is_empty());
    fetcher.hasten_all(10_001);
    check(&fetcher);
    let asked = ask(&mut fetcher, 10_001);
    assert_eq!(asked, [(2, arrived[..2].to_vec())], "as many as may be asked for at a time");
    fetcher.remove(&arrived[0]);
    assert_eq!(ask(&mut fetcher, 10_001 + 20), [(2, vec![arrived[2]])]);
}

/// A backlog of announcements never holds up what a proposal waits for.
#[test]
fn what_blocks_wait_for_is_fetched_before_what_was_announced_earlier() {
    let mut fetcher = connected(&[2]);
    for number in [7, 2, 9] {
        fetcher.announced(0, peer(2), id(number), &limits());
    }
    let now_ms = limits().announced_grace_ms;
    fetcher.want(now_ms, id(8), Reason::Duty, &limits());
    assert_eq!(ask(&mut fetcher, now_ms), [(2, vec![id(8), id(7)])]);
    check(&fetcher);
}
