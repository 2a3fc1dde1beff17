#![allow(clippy::unwrap_used)]

use fairveil_keygen::Transcript;
use fairveil_mempool::Place;
use serde_json::to_value;

use super::*;
use crate::network::fake::{Says, committee, nobody, rejects, serve};
use crate::receipts::tests::info;
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD};

const SUBMIT: &str = "fairveil_submit";

fn receipt(sequencer: u16, bundle: usize) -> Says {
    let receipt = WORLD.receipt(sequencer, SCENE.id(bundle), Place::Position(1));
    Says::Result(to_value(info(&receipt)).unwrap())
}

async fn submitted(answers: Vec<Says>) -> SubmissionReport {
    let mut endpoints = Vec::new();
    for says in answers {
        endpoints.push(serve(&[(SUBMIT, says)]).await);
    }
    endpoints.push(nobody().await);
    submit(&WORLD.network, &endpoints, &SCENE.sealed[0]).await
}

#[tokio::test]
async fn two_receipts_of_five_answers_admit_and_every_answer_is_told() {
    let answers =
        vec![receipt(1, 0), rejects("pool_full"), Says::Nothing, receipt(2, 1), receipt(3, 0)];
    let report = submitted(answers).await;
    assert_eq!((report.verdict(), report.is_admitted()), (Verdict::Admitted, true));
    let sequencers: Vec<_> =
        report.receipts().iter().map(|receipt| receipt.sequencer.get()).collect();
    assert_eq!(sequencers, [1, 3]);
    let kinds: Vec<_> = report
        .answers()
        .iter()
        .map(|answered| match &answered.answer {
            Answer::Receipt(_) => "receipt",
            Answer::Rejected(rejected) => &rejected.code,
            Answer::Refused(_) => "refused",
            Answer::Silent(_) => "silent",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["receipt", "pool_full", "silent", "refused", "receipt", "silent"]);
    let judged = crate::verify::judge(&WORLD.network, report.file().to_json().as_bytes());
    assert!(judged.unwrap().to_string().contains("2 receipts"));
}

#[tokio::test]
async fn an_epoch_that_begins_meanwhile_costs_no_receipt() {
    let of_next = |sequencer| {
        let receipt = RENEWED.receipt(sequencer, SCENE.id(0), Place::Position(1));
        Says::Result(to_value(info(&receipt)).unwrap())
    };
    let says = |sequencer, transcript: &Transcript| {
        let ours = WORLD.network.network_id().to_string();
        let text = String::from_utf8(transcript.to_json()).unwrap();
        [
            (SUBMIT, of_next(sequencer)),
            ("fairveil_committee", committee(2, 9, &ours)),
            ("/transcript", Says::Body(text)),
        ]
    };
    let honest = [
        serve(&says(1, &RENEWED.transcript)).await,
        serve(&says(2, &RENEWED.transcript)).await,
        nobody().await,
    ];
    let report = submit(&WORLD.network, &honest, &SCENE.sealed[0]).await;
    assert_eq!((report.verdict(), report.receipts().len()), (Verdict::Admitted, 2));
    // What continues nothing that is pinned is no transcript of this network.
    let foreign = [
        serve(&says(1, &STRANGERS.transcript)).await,
        serve(&says(2, &STRANGERS.transcript)).await,
    ];
    let report = submit(&WORLD.network, &foreign, &SCENE.sealed[0]).await;
    assert_eq!(report.verdict(), Verdict::Distrusted);
}

#[tokio::test]
async fn what_does_not_admit_has_its_own_verdict() {
    let rejected = submitted(vec![receipt(1, 0), rejects("rate"), rejects("expired")]).await;
    assert_eq!(rejected.verdict(), Verdict::Rejected);
    assert!(!rejected.is_temporary());
    let busy = submitted(vec![receipt(1, 0), rejects("rate"), rejects("pool_full")]).await;
    assert_eq!(busy.verdict(), Verdict::Rejected);
    assert!(busy.is_temporary());
    let distrusted = submitted(vec![receipt(1, 1), receipt(2, 1), rejects("rate")]).await;
    assert_eq!(distrusted.verdict(), Verdict::Distrusted);
    let unreachable = submitted(vec![receipt(1, 0), receipt(1, 0)]).await;
    assert_eq!(unreachable.verdict(), Verdict::Unreachable);
    assert!(!unreachable.is_admitted() && unreachable.evidence().is_empty());
}

#[tokio::test]
async fn answers_that_are_none_are_told_as_what_they_are() {
    let garbage = submitted(vec![Says::Body("<html>".into()), Says::Error(-32603, None)]).await;
    let failed = |answered: &&Answered| matches!(answered.answer, Answer::Failed(_));
    assert_eq!(garbage.answers().iter().filter(failed).count(), 2);
    assert_eq!(garbage.verdict(), Verdict::Unreachable);
}
