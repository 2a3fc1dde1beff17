#![allow(clippy::unwrap_used)]

use fairveil_crypto::BlockDigest;
use fairveil_mempool::Place;
use serde_json::{json, to_string};

use super::*;
use crate::network::fake::{Says, nobody, serve};
use crate::receipts::tests::info;
use crate::test_support::{SCENE, STRANGERS, WORLD};

const ROOT: BlockDigest = BlockDigest::from_bytes([6; 32]);

fn chain(length: usize) -> Vec<OrderCertificate> {
    WORLD.chain((0, 1), ROOT, &vec![vec![vec![SCENE.id(0)]]; length])
}

fn answers(orders: &[OrderCertificate]) -> Vec<(String, Says)> {
    let path = |order: &OrderCertificate| format!("/orders/{}", order.emission.height);
    orders.iter().map(|order| (path(order), Says::Body(to_string(order).unwrap()))).collect()
}

async fn served(answers: &[(String, Says)]) -> Endpoint {
    let answers: Vec<_> = answers.iter().map(|(key, says)| (key.as_str(), says.clone())).collect();
    serve(&answers).await
}

#[tokio::test]
async fn invariants_1_and_2_each_height_is_taken_from_who_proves_it() {
    let chain = chain(40);
    let honest = served(&answers(&chain)).await;
    // Serves other heights than it is asked for, and those of another network.
    let mut shifted = answers(&chain[1..]);
    shifted.iter_mut().zip(&chain).for_each(|((key, _), order)| {
        *key = format!("/orders/{}", order.emission.height);
    });
    let strange = answers(&STRANGERS.chain((0, 1), ROOT, &vec![vec![]; 40]));
    let endpoints = [served(&shifted).await, nobody().await, served(&strange).await, honest];
    let recorded = orders(&WORLD.network, &endpoints, 1..=40).await;
    assert_eq!(recorded.taken, chain);
    let said = recorded.doubts.join("\n");
    assert!(said.contains("was answered for height"), "{said}");
    assert!(said.contains("network_id is"), "{said}");
    let beyond = orders(&WORLD.network, &endpoints[3..], 39..=41).await;
    assert_eq!(beyond.taken, chain[38..]);
    let [doubt] = &beyond.doubts[..] else { panic!("{:?}", beyond.doubts) };
    assert!(doubt.starts_with("the order of height 41 is proven by nobody: http://"), "{doubt}");
}

#[tokio::test]
async fn invariant_3_what_follows_the_end_of_an_epoch_is_left_out() {
    let mut all = chain(3);
    all.extend(WORLD.tail(&all[2], 2));
    let endpoint = served(&answers(&all)).await;
    let recorded = orders(&WORLD.network, &[endpoint], 1..=5).await;
    assert_eq!(recorded.taken, all[..3]);
    let [one, two] = &recorded.doubts[..] else { panic!("{:?}", recorded.doubts) };
    assert!(one.starts_with("the block of height 4 follows the end of epoch 1"), "{one}");
    assert!(two.contains("height 5"), "{two}");
}

#[tokio::test]
async fn invariant_4_receipts_of_every_sequencer_are_taken_if_they_verify() {
    let answer = |sequencer, number| {
        let receipt = WORLD.receipt(sequencer, SCENE.id(number), Place::Position(1));
        [("fairveil_receipts".to_owned(), Says::Result(json!([info(&receipt)])))]
    };
    let endpoints = [
        served(&answer(1, 0)).await,
        served(&answer(2, 0)).await,
        served(&answer(3, 1)).await,
        nobody().await,
    ];
    let recorded = receipts(&WORLD.network, &endpoints, &[SCENE.id(0)]).await;
    let expected = [1, 2].map(|one| WORLD.receipt(one, SCENE.id(0), Place::Position(1)));
    assert_eq!(recorded.taken, expected);
    assert_eq!(recorded.doubts.len(), 2);
    assert!(recorded.doubts[0].contains("receipt is for bundle"), "{:?}", recorded.doubts);
    assert!(recorded.doubts[1].contains("did not answer"), "{:?}", recorded.doubts);
}
