#![allow(clippy::unwrap_used)]

use fairveil_crypto::Epoch;
use fairveil_crypto::certificate::Placement;
use fairveil_keygen::Transcript;
use fairveil_mempool::Place;
use serde_json::{json, to_value};

use super::*;
use crate::network::fake::{Says, committee, nobody, paced, serve};
use crate::network::tip;
use crate::receipts::tests::info;
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD, emitted};

const STATUS: &str = "fairveil_status";
const RECEIPTS: &str = "fairveil_receipts";
const RELEASE: &str = "fairveil_release";

fn says(state: &str, height: u64) -> Says {
    Says::Result(json!({ "id": "0x", "state": state, "height": height }))
}

fn ordered(height: u64, position: u64) -> Says {
    let place = json!({ "height": height, "position": position, "cohort": 0 });
    Says::Result(json!({ "id": "0x", "state": "ordered", "place": place, "height": 9 }))
}

fn order(number: usize) -> Says {
    Says::Body(serde_json::to_string(&SCENE.orders[number]).unwrap())
}

fn released(number: usize) -> Says {
    Says::Result(to_value(SCENE.document(number)).unwrap())
}

fn receipts(sequencer: u16, number: usize) -> Says {
    let receipt = WORLD.receipt(sequencer, SCENE.id(number), Place::Held);
    Says::Result(json!([info(&receipt)]))
}

fn subject(number: usize) -> Subject {
    let (id, bundle) = (SCENE.id(number), Some(SCENE.bundles[number].clone()));
    Subject { id, bundle, expires_at: Some(Height::new(500)) }
}

async fn asked(subject: Subject, sequencers: &[&[(&str, Says)]]) -> Status {
    let mut endpoints = Vec::new();
    for answers in sequencers {
        endpoints.push(serve(answers).await);
    }
    endpoints.push(nobody().await);
    status(&WORLD.network, &endpoints, subject).await
}

#[tokio::test]
async fn every_state_is_believed_for_its_reason() {
    let held: &[(&str, Says)] = &[(STATUS, says("held", 3)), (RECEIPTS, receipts(1, 0))];
    let logged: &[(&str, Says)] = &[(STATUS, says("logged", 3)), (RECEIPTS, receipts(2, 0))];
    let unknown: &[(&str, Says)] = &[(STATUS, says("unknown", 3))];
    let word = async |sequencers: &[&[(&str, Says)]]| asked(subject(0), sequencers).await.state;
    assert_eq!(word(&[unknown, unknown]).await, State::Unknown);
    assert_eq!(word(&[held, unknown]).await, State::Held);
    let admitted = asked(subject(0), &[held, logged]).await;
    assert_eq!((admitted.state, admitted.receipts.len()), (State::Admitted, 2));
    assert_eq!((admitted.answered(), admitted.claims.len()), (2, 3));
    let final_place: &[(&str, Says)] = &[(STATUS, ordered(1, 0)), ("/orders/1", order(0))];
    let placed = asked(subject(0), &[held, final_place]).await;
    assert_eq!(placed.state, State::Ordered);
    assert_eq!(placed.position, Some(Position { height: Height::new(1), index: 0 }));
    for (number, claim, expected) in
        [(0, "released", "released"), (1, "failed", "failed"), (2, "expired", "expired")]
    {
        let one: &[(&str, Says)] = &[(STATUS, says(claim, 9)), (RELEASE, released(number))];
        let ended = asked(subject(number), &[unknown, one]).await;
        assert_eq!(ended.state.word(), expected);
        assert!(ended.document.is_some() && ended.doubts.is_empty(), "{:?}", ended.doubts);
    }
}

#[tokio::test]
async fn invariant_2_a_lie_changes_no_state_and_is_told() {
    let mut forged = SCENE.document(0);
    forged.legs.pop();
    let mut unordered = SCENE.document(0);
    unordered.order = None;
    let other = order(1);
    let lies: [(&[(&str, Says)], &str); 6] = [
        (&[(STATUS, says("released", 9)), (RELEASE, released(3))], "the document is of bundle"),
        (
            &[(STATUS, says("released", 9)), (RELEASE, Says::Result(to_value(forged).unwrap()))],
            "1 legs, the release has 2",
        ),
        (
            &[(STATUS, says("expired", 9)), (RELEASE, Says::Result(to_value(unordered).unwrap()))],
            "no order certificate",
        ),
        (
            &[(STATUS, ordered(1, 0)), ("/orders/1", other)],
            "does not have the bundle at position 0",
        ),
        (&[(STATUS, ordered(1, 2)), ("/orders/1", order(0))], "at position 2"),
        (&[(STATUS, says("held", 9)), (RECEIPTS, receipts(1, 1))], "receipt is for bundle"),
    ];
    for (answers, expected) in lies {
        let status = asked(subject(0), &[answers]).await;
        assert_eq!(status.state, State::Unknown, "{expected}");
        let [doubt] = &status.doubts[..] else { panic!("{:?}", status.doubts) };
        assert!(doubt.why.contains(expected), "{} is not {expected}", doubt.why);
    }
}

#[tokio::test]
async fn invariant_2_one_honest_sequencer_is_enough_among_liars() {
    let liar: &[(&str, Says)] = &[(STATUS, says("expired", 9)), (RELEASE, released(2))];
    let honest: &[(&str, Says)] = &[(STATUS, says("released", 9)), (RELEASE, released(0))];
    let status = asked(subject(0), &[liar, liar, honest]).await;
    assert_eq!(status.state, State::Released);
    assert!(status.doubts.iter().all(|doubt| doubt.why.contains("the document is of bundle")));
}

#[tokio::test]
async fn invariant_4_who_never_answers_delays_nobody() {
    let silent: &[(&str, Says)] = &[(STATUS, Says::Nothing)];
    let stalling: &[(&str, Says)] = &[(STATUS, says("released", 9)), (RELEASE, Says::Nothing)];
    let honest: &[(&str, Says)] = &[(STATUS, says("released", 9)), (RELEASE, released(0))];
    for slow in [silent, stalling] {
        let endpoints = [slow, honest, honest];
        let round = asked(subject(0), &endpoints);
        let status = tokio::time::timeout(crate::network::fake::CALL / 2, round).await;
        assert_eq!(status.unwrap().state, State::Released);
    }
}

#[tokio::test]
async fn invariant_3_other_legs_than_were_sealed_are_not_believed() {
    let honest: &[(&str, Says)] = &[(STATUS, says("released", 9)), (RELEASE, released(0))];
    let mixed = Subject { bundle: Some(SCENE.bundles[3].clone()), ..subject(0) };
    let status = asked(mixed, &[honest]).await;
    assert!(!status.state.is_final());
    assert!(status.doubts[0].why.contains("2 legs were released, 1 were sealed"));
}

#[tokio::test]
async fn invariant_1_states_never_go_back() {
    let honest = serve(&[(STATUS, ordered(1, 0)), ("/orders/1", order(0))]).await;
    let forgetful = serve(&[(STATUS, says("unknown", 9))]).await;
    let (first, then) = ([honest], [forgetful]);
    let mut follower = Follower::new(&WORLD.network, &first, subject(0));
    assert_eq!(follower.poll().await.state, State::Ordered);
    follower.endpoints = &then;
    assert_eq!(follower.poll().await.state, State::Ordered);
}

#[tokio::test]
async fn waiting_ends_with_the_end_the_window_or_the_time() {
    let honest = serve(&[(STATUS, says("released", 9)), (RELEASE, released(0))]).await;
    let mut steps = Vec::new();
    let long = Duration::from_secs(60);
    let step = |status: &Status| steps.push(status.state);
    let (_, ended) = wait(&WORLD.network, &[honest], subject(0), long, step).await;
    assert!(ended.is_over() && !ended.window_closed);
    assert_eq!(steps, [State::Released]);

    let beyond = [
        serve(&[(STATUS, says("unknown", 501))]).await,
        serve(&[(STATUS, says("unknown", 502))]).await,
    ];
    let (_, closed) = wait(&WORLD.network, &beyond, subject(0), long, |_| {}).await;
    assert!(closed.window_closed && !closed.state.is_final());
    let (_, one) = wait(&WORLD.network, &beyond[..1], subject(0), Duration::ZERO, |_| {}).await;
    assert!(!one.is_over(), "one sequencer's word closes no window");
}

/// Ordered in the first epoch, released in the second.
#[tokio::test]
async fn invariant_5_waiting_crosses_the_end_of_an_epoch() {
    let certificate = RENEWED.release_certificate(SCENE.certificate.releases.clone());
    let document = to_value(BundleDocument { certificate, ..SCENE.document(0) }).unwrap();
    let proof = |transcript: Says| {
        let ours = WORLD.network.network_id().to_string();
        [
            (STATUS, says("released", 9)),
            (RELEASE, Says::Result(document.clone())),
            ("fairveil_committee", committee(2, 9, &ours)),
            ("/transcript", transcript),
        ]
    };
    let text =
        |transcript: &Transcript| Says::Body(String::from_utf8(transcript.to_json()).unwrap());
    let liar = serve(&proof(text(&STRANGERS.transcript))).await;
    let second = Duration::from_secs(5);
    let (network, told) = wait(&WORLD.network, &[liar], subject(0), second, |_| {}).await;
    assert_eq!((network.epoch(), told.state), (Epoch::new(1), State::Unknown));
    assert!(told.doubts[0].why.contains("epoch 2"), "{:?}", told.doubts);

    let honest = [serve(&proof(text(&RENEWED.transcript))).await, nobody().await];
    let long = Duration::from_secs(60);
    let (network, ended) = wait(&WORLD.network, &honest, subject(0), long, |_| {}).await;
    assert_eq!((network.epoch(), ended.state), (Epoch::new(2), State::Released));
    assert!(ended.doubts.is_empty(), "{:?}", ended.doubts);
}

#[tokio::test]
async fn a_place_in_another_certified_order_is_no_place() {
    let ids = vec![emitted(SCENE.id(1), Placement::Open), emitted(SCENE.id(0), Placement::Open)];
    let certificate = WORLD.order(7, vec![ids]);
    let body = Says::Body(serde_json::to_string(&certificate).unwrap());
    let honest: &[(&str, Says)] = &[(STATUS, ordered(7, 1)), ("/orders/7", body.clone())];
    assert_eq!(asked(subject(0), &[honest]).await.state, State::Ordered);
    let shifted: &[(&str, Says)] = &[(STATUS, ordered(8, 1)), ("/orders/8", body)];
    assert_eq!(asked(subject(0), &[shifted]).await.state, State::Unknown);
}

#[tokio::test]
async fn the_tip_is_the_median_of_this_network() {
    let ours = WORLD.network.network_id().to_string();
    let ours = ours.as_str();
    let mut endpoints = Vec::new();
    let said = [
        (100, ours, 120),
        (102, ours, 130),
        (u64::MAX, ours, u64::MAX),
        (7, "0x00", 9),
        (101, ours, 0),
    ];
    for (height, network, interval) in said {
        let says = paced(1, height, network, interval);
        endpoints.push(serve(&[("fairveil_committee", says)]).await);
    }
    let found = tip(&WORLD.network, &endpoints).await.unwrap();
    assert_eq!(
        (found.height, found.loaded_interval_ms, found.answered),
        (Height::new(101), 130, 4)
    );
    let error = tip(&WORLD.network, &endpoints[3..]).await.unwrap_err();
    assert_eq!((error.asked, error.answered, error.needed), (2, 1, 2));
    assert!(error.to_string().contains("is of network 0x00"), "{error}");
    // Where nobody has seen any work, and after any standstill: within what the definition says.
    let blocks = WORLD.network.definition().proposal().blocks;
    for (said, expected) in [
        (0, blocks.minimum_interval_ms),
        (1, blocks.minimum_interval_ms),
        (u64::MAX, blocks.idle_interval_ms),
    ] {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(serve(&[("fairveil_committee", paced(1, 1, ours, said))]).await);
        }
        let found = tip(&WORLD.network, &all).await.unwrap();
        assert_eq!(found.loaded_interval_ms, u64::from(expected), "{said}");
    }
}
