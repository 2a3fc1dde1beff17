#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use fairveil_crypto::Height;

use super::*;
use crate::network::fake::{Says, nobody, serve};
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD};

const CHAIN: u64 = 902;

fn follower() -> RollupFollower {
    RollupFollower::new(WORLD.network.clone(), CHAIN, Height::new(1)).unwrap()
}

fn path(from: u64) -> String {
    format!("/batches/{CHAIN}/stream?from={from}")
}

fn events(documents: &[BatchDocument]) -> Says {
    let event = |document: &BatchDocument| {
        let (height, text) = (document.release.height, serde_json::to_string(document).unwrap());
        format!("id: {height}\ndata: {text}\n\n")
    };
    Says::Body(format!(":\n\n{}", documents.iter().map(event).collect::<String>()))
}

fn true_documents() -> [BatchDocument; 2] {
    [SCENE.batch(1, CHAIN), SCENE.batch(2, CHAIN)]
}

fn changed(change: impl FnOnce(&mut BatchDocument)) -> BatchDocument {
    let mut document = SCENE.batch(1, CHAIN);
    change(&mut document);
    document
}

/// What was told, as words, until `wanted` batches are accepted.
async fn told(endpoints: &[Endpoint], wanted: usize) -> (Vec<String>, End) {
    let (mut words, mut accepted) = (Vec::new(), 0);
    let mut follower = follower();
    let end = follow(&mut follower, endpoints, |told| {
        words.push(match told {
            Told::Accepted { document, checkpoint, .. } => {
                accepted += 1;
                assert_eq!(checkpoint.cursor.next, document.release.height.next());
                format!("accepted {}", document.release.height)
            }
            Told::Refused { reason, fraud, .. } => {
                format!("{} {}", reason.code(), if fraud.is_some() { "fraud" } else { "-" })
            }
            Told::Left { why, .. } => why,
        });
        let done = accepted == wanted;
        Ok::<_, Infallible>(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let end = end.await.unwrap();
    (words, end)
}

#[tokio::test]
async fn one_sequencer_ends_and_the_next_goes_on() {
    let [first, second] = true_documents();
    let one = serve(&[(&path(1), events(&[first])), (&path(2), events(&[]))]).await;
    let two = serve(&[(&path(2), events(&[second]))]).await;
    let (words, end) = told(&[nobody().await, one, two], 2).await;
    assert_eq!(end, End::Stopped);
    assert!(words[0].contains("did not answer"), "{words:?}");
    assert_eq!(words[1..], ["accepted 1", "it ended the stream", "accepted 2"]);
}

#[tokio::test]
async fn invariants_2_and_3_who_lies_is_left_with_a_proof() {
    let good = || async {
        let [_, second] = true_documents();
        serve(&[(&path(1), events(&true_documents())), (&path(2), events(&[second]))]).await
    };
    // The document itself shows what is certified.
    let lie = events(&[changed(|document| document.batch.blocks.clear())]);
    let (words, end) = told(&[serve(&[(&path(1), lie)]).await, good().await], 2).await;
    assert_eq!(
        (words, end),
        (vec!["false fraud".into(), "accepted 1".into(), "accepted 2".into()], End::Stopped)
    );
    // It proves nothing: another sequencer shows what is certified.
    let lie = events(&[changed(|document| {
        document.certificate.releases.clear();
        document.batch.blocks.clear();
    })]);
    let (words, _) = told(&[serve(&[(&path(1), lie)]).await, good().await], 2).await;
    assert_eq!(words, ["uncertified fraud", "accepted 1", "accepted 2"]);
    // Its batch is true: refused, and no fraud.
    let lie = events(&[changed(|document| document.certificate.releases.clear())]);
    let (words, _) = told(&[serve(&[(&path(1), lie)]).await, good().await], 2).await;
    assert_eq!(words, ["uncertified -", "accepted 1", "accepted 2"]);
    let lie = events(&[SCENE.batch(2, CHAIN)]);
    let (words, _) = told(&[serve(&[(&path(1), lie)]).await, good().await], 2).await;
    assert_eq!(words, ["gap -", "accepted 1", "accepted 2"]);
    let lie = Says::Body("data: {}\n\n".into());
    let (words, end) = told(&[serve(&[(&path(1), lie.clone())]).await, good().await], 2).await;
    assert!(words[0].starts_with("not a batch document: "), "{words:?}");
    assert_eq!((&words[1..], end), (&["accepted 1".into(), "accepted 2".into()][..], End::Stopped));
    // Nobody is left.
    let (_, end) = told(&[serve(&[(&path(1), lie)]).await], 2).await;
    assert_eq!(end, End::Distrusted);
}

#[tokio::test]
async fn invariant_3_at_the_end_of_an_epoch_the_newer_transcript_is_fetched() {
    let [first, second] = true_documents();
    let certificate = RENEWED.release_certificate(SCENE.certificate.releases.clone());
    let late = BatchDocument { certificate, ..second };
    let transcript = Says::Body(String::from_utf8(RENEWED.transcript.to_json()).unwrap());
    let both = || events(&[first.clone(), late.clone()]);
    let with = serve(&[(&path(1), both()), ("/transcript", transcript.clone())]).await;
    let (words, end) = told(&[with], 2).await;
    assert_eq!((words, end), (vec!["accepted 1".into(), "accepted 2".into()], End::Stopped));
    // Who can't show it yet is not distrusted.
    let without = serve(&[(&path(1), both())]).await;
    let next =
        serve(&[(&path(2), events(std::slice::from_ref(&late))), ("/transcript", transcript)])
            .await;
    let (words, end) = told(&[without, next], 2).await;
    let unknown = "certificate of epoch 2, the transcript proves 1 to 1: fetch a newer transcript";
    assert_eq!(words, ["accepted 1", unknown, "accepted 2"]);
    assert_eq!(end, End::Stopped);
    // The transcript of another network changes nothing.
    let strange = Says::Body(String::from_utf8(STRANGERS.transcript.to_json()).unwrap());
    let strange = serve(&[(&path(1), both()), ("/transcript", strange)]).await;
    let next = serve(&[(&path(2), events(&[SCENE.batch(2, CHAIN)]))]).await;
    let (words, _) = told(&[strange, next], 2).await;
    assert_eq!(words, ["accepted 1", unknown, "accepted 2"]);
}
