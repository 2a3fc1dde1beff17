//! What a trader reads: files of any kind, and the answers of sequencers.

use fairveil_client::censorship::CensorshipFile;
use fairveil_client::file::{File, ReceiptsFile, SealedFile, UnsealedFile};
use fairveil_client::receipts::{self, Receipts, printable};
use fairveil_client::rpc::{
    CommitteeInfo, Event, LimitInfo, ReceiptInfo, Rejected, Request, Response, StatusInfo,
};
use fairveil_client::trace::TraceFile;
use fairveil_client::verify::{Judgement, judge_file};
use fairveil_crypto::encoding::encode;
use fairveil_crypto::{BundleId, SequencerIndex};
use fairveil_mempool::Place;
use fairveil_release::document::BatchDocument;
use fairveil_release::fraud::{FraudProof, ServedBatch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keygen::accusation;
use super::scene::{SCENE, evidence};
use super::world::{CHAINS, CULPRIT, MEMBERS, WORLD, index};
use super::{Verdict, kind, tagged};

/// Reading believes nothing, what was written reads back, and what convinces is true.
pub(super) fn client_file(bytes: &[u8]) -> Verdict {
    let Ok(file) = File::read(bytes) else { return Verdict::Refused };
    let text = file.to_json();
    let again = File::read(text.as_bytes()).expect("what was written is read");
    assert_eq!(again.kind(), file.kind());
    assert_eq!(again.to_json(), text);
    if let Ok(judgement) = judge_file(&WORLD.network, &file) {
        assert!(!judgement.to_string().is_empty() && judgement.to_value().is_object());
        is_true(&judgement);
    }
    Verdict::Accepted
}

fn is_true(judgement: &Judgement) {
    let known = |id: &BundleId| SCENE.sealed.iter().any(|sealed| sealed.id() == *id);
    match judgement {
        Judgement::Sealed { id } => assert!(known(id)),
        Judgement::Receipts { id, sequencers, needed } => {
            assert!(known(id) && sequencers.len() >= *needed);
        }
        Judgement::Order { height, block, .. } => {
            let orders = &SCENE.orders;
            assert!(
                orders.iter().any(|order| order.height() == *height && order.block() == *block)
            );
        }
        Judgement::Bundle { id, position, .. } => {
            let leaves = SCENE.releases.iter().flat_map(|(release, _)| &release.leaves);
            let mut found = leaves.filter(|leaf| leaf.id == *id && leaf.position == *position);
            assert!(found.next().is_some());
        }
        Judgement::Batches { chain_id, first, last, .. } => {
            assert!(CHAINS.contains(chain_id) && first <= last);
        }
        Judgement::Transcript { network_id, digest, .. } => {
            assert_eq!((*network_id, *digest), (WORLD.network_id(), WORLD.transcript.digest));
        }
        Judgement::Evidence { culprit, .. } => assert_eq!(*culprit, CULPRIT),
        Judgement::Fraud(verdict) => assert!(CHAINS.contains(&verdict.chain_id())),
        Judgement::Blame { culprit, .. } => {
            let key = WORLD.context.definition().consensus_keys()[CULPRIT.position()];
            assert_eq!(*culprit, key);
        }
        Judgement::Trace { findings, convicted, .. } => {
            assert!(convicted.is_empty() && findings.broken + findings.violations == 0);
        }
        Judgement::Omission(omission) => panic!("nothing was omitted: {omission}"),
    }
}

pub(super) fn client_file_seeds() -> Vec<Vec<u8>> {
    let id = SCENE.sealed[0].id();
    let members = SequencerIndex::all(MEMBERS).take(2);
    let signed: Vec<_> =
        members.map(|member| WORLD.receipt(member, id, Place::Position(3))).collect();
    let (network_id, orders) = (WORLD.network_id(), SCENE.certificates[..1].to_vec());
    let trace = TraceFile { network_id, receipts: signed.clone(), orders: orders.clone() };
    let sealed = SealedFile::new(SCENE.sealed[0].sealed());
    let censorship = CensorshipFile { sealed, receipts: signed.clone(), orders };
    let receipts = signed;
    let receipts = ReceiptsFile { id, network_id: WORLD.network_id(), receipts };
    let batches = [0, 1].map(|place| SCENE.batch_document(place, CHAINS[0])).to_vec();
    let documents = (0..SCENE.sealed.len()).map(|at| File::Bundle(Box::new(SCENE.document(at))));
    let mut files = vec![
        File::Unsealed(UnsealedFile::new(&SCENE.bundles[0])),
        File::Sealed(SealedFile::new(SCENE.sealed[0].sealed())),
        File::Receipts(receipts),
        File::Order(Box::new(SCENE.certificates[0].clone())),
        File::Batch(Box::new(SCENE.batch_document(0, CHAINS[1]))),
        File::Batches(batches),
        File::Trace(Box::new(trace)),
        File::Censorship(Box::new(censorship)),
    ];
    files.extend(documents);
    files.push(File::Fraud(Box::new(fraud())));
    files.push(File::Blame(Box::new(accusation().clone())));
    files.extend(evidence().map(|one| File::Evidence(Box::new(one))));
    let mut seeds: Vec<_> = files.iter().map(|file| compact(&file.to_json())).collect();
    let unkind: Vec<BatchDocument> = vec![SCENE.batch_document(0, CHAINS[0])];
    seeds.push(serde_json::to_vec(&unkind).expect("a document is JSON"));
    seeds.extend(evidence()[2..].iter().map(|one| one.encode()));
    seeds
}

/// A batch that lost its blocks, beside the release that it is not of.
fn fraud() -> FraudProof {
    let certified = SCENE.batch_document(0, CHAINS[0]);
    let mut said = certified.batch.clone();
    said.blocks.clear();
    FraudProof::Served(Box::new(ServedBatch::new(&certified, said)))
}

/// JSON without space: shorter inputs are mutated more to the point.
fn compact(text: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(text).expect("a file is JSON");
    serde_json::to_vec(&value).expect("a value is JSON")
}

/// Answers of sequencers: receipts count only if they are a member's, and all of it is shown
/// without control characters.
pub(super) fn client_answer(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 7) else { return Verdict::Refused };
    let text = String::from_utf8_lossy(bytes);
    assert!(printable(&text).chars().all(|shown| !shown.is_control()));
    Verdict::of(match kind {
        0 => return receipt(bytes),
        1 => written_back::<Request>(bytes),
        2 => written_back::<Response>(bytes),
        3 => written_back::<Rejected>(bytes),
        4 => written_back::<CommitteeInfo>(bytes),
        5 => written_back::<StatusInfo>(bytes),
        6 => written_back::<LimitInfo>(bytes),
        _ => written_back::<Event>(bytes),
    })
}

fn receipt(bytes: &[u8]) -> Verdict {
    let Ok(info) = serde_json::from_slice::<ReceiptInfo>(bytes) else { return Verdict::Refused };
    let Ok(receipt) = receipts::read(&info) else { return Verdict::Refused };
    let mut counted = Receipts::new(&WORLD.network, SCENE.sealed[0].id());
    counted.take("a sequencer", &info);
    let signed = WORLD.receipt(receipt.sequencer, receipt.body.id, receipt.body.place);
    if counted.count() == 1 {
        assert_eq!(receipt, signed, "only what a member signed counts");
    }
    Verdict::Accepted
}

/// Whether it is read; what is written of it then reads and writes the same.
fn written_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return false };
    let written = serde_json::to_vec(&value).expect("an answer is JSON");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("an answer is JSON"), written);
    true
}

pub(super) fn client_answer_seeds() -> Vec<Vec<u8>> {
    let receipt = WORLD.receipt(index(1), SCENE.sealed[0].id(), Place::Position(3));
    let hex: String = encode(&receipt).iter().map(|byte| format!("{byte:02x}")).collect();
    let info = ReceiptInfo {
        id: receipt.body.id.to_string(),
        sequencer: 1,
        position: Some(3),
        height: receipt.body.height.get(),
        time_ms: receipt.body.time_ms,
        receipt: format!("0x{hex}"),
    };
    let info = serde_json::to_string(&info).expect("an answer is JSON");
    let texts = [
        (0, info.as_str()),
        (1, r#"{"jsonrpc":"2.0","id":1,"method":"fairveil_status","params":["0x01"]}"#),
        (2, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"m","data":{"a":1}}}"#),
        (2, r#"{"jsonrpc":"2.0","id":"x","result":[1,"0x",null]}"#),
        (3, r#"{"code":"pool_full","actual":"7","limit":"6","cure":"wait"}"#),
        (
            4,
            r#"{"network_id":"0x","epoch":1,"key_id":"0x","committee_key":"0x","n":5,"f":1,"g":0,"t":4,"index":1,"height":9,"time_ms":1,"block_interval_ms":500,"loaded_interval_ms":100,"members":[{"index":1,"name":"a","consensus_key":"0x","connected":true}],"rollups":[{"chain_id":901,"name":"r","block_time_ms":250,"simulated":true}]}"#,
        ),
        (
            5,
            r#"{"id":"0x","state":"released","policy":"execute","place":{"height":1,"position":2,"cohort":0},"legs":[{"chain_id":901,"batch_height":1,"block":4,"block_time_ms":5,"first":0,"receipts":[{"gas_used":6,"logs":0}]}],"height":3}"#,
        ),
        (6, r#"{"code":"rate","what":"submissions","value":7,"unit":"per second"}"#),
        (7, r#"{"event":"ordered","height":1,"time_ms":2,"cohorts":[["0x01"],[]]}"#),
        (
            7,
            r#"{"event":"released","height":1,"root":"0x","outcomes":[{"id":"0x","state":"failed","code":"aead"}]}"#,
        ),
    ];
    texts.iter().map(|(kind, text)| tagged(*kind, text.as_bytes())).collect()
}
