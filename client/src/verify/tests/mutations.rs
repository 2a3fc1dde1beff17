//! Good files of every kind, each changed in one named way: every change is refused, and a reader
//! sees from the one line that follows what is wrong.
//!
//! The expected lines are whole and exact. Digests in them are computed here from the changed file,
//! not taken from the judge.

mod accountability;

use std::collections::BTreeMap;

use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{
    BlockHeader, Emission, OrderCertificate, batch_id, result_root,
};
use fairveil_crypto::{Digest, NetworkId};
use fairveil_release::batch::Batch;
use fairveil_release::certificate::ReleaseCertificate;
use fairveil_release::document::DocumentLeg;
use fairveil_release::fraud::{FraudProof, ServedBatch};
use fairveil_release::proof::BundleProof;
use fairveil_release::release::ReleaseHeader;
use fairveil_release::tree::{LegDigest, Node, ReleasedLeg};
use serde::de::DeserializeOwned;

use accountability::{accountability_mutations, censorship, trace};

use super::*;
use crate::file::{MAX_FILE_BYTES, UnsealedFile, limit};
use crate::test_support::{CULPRIT, RENEWED, STRANGERS, index};

/// One change of a good file, and the line that it is refused with.
struct Mutation {
    name: &'static str,
    bytes: Vec<u8>,
    expected: String,
}

/// A change of a file's JSON; the line may depend on the changed file.
fn json<S: Into<String>>(
    name: &'static str,
    good: &File,
    change: impl FnOnce(&mut Value),
    expected: impl FnOnce(&Value) -> S,
) -> Mutation {
    let mut value = value(good);
    change(&mut value);
    let (bytes, expected) = (serde_json::to_vec(&value).unwrap(), expected(&value).into());
    Mutation { name, bytes, expected }
}

/// A whole other file in the place of a good one.
fn file(name: &'static str, changed: &File, expected: impl Into<String>) -> Mutation {
    Mutation { name, bytes: changed.to_json().into_bytes(), expected: expected.into() }
}

/// A change of a file's text.
fn text(
    name: &'static str,
    good: &File,
    change: impl FnOnce(String) -> String,
    expected: impl Into<String>,
) -> Mutation {
    let bytes = change(good.to_json()).into_bytes();
    Mutation { name, bytes, expected: expected.into() }
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// The text at a place.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).unwrap().as_str().unwrap()
}

fn header(value: &Value, number: usize) -> BlockHeader {
    typed(&value["headers"][number])
}

fn network_id() -> NetworkId {
    WORLD.network.network_id()
}

fn strangers() -> NetworkId {
    STRANGERS.network.network_id()
}

fn receipts() -> File {
    receipts_of(&[1, 2, 3])
}

fn receipt_mutations() -> Vec<Mutation> {
    let foreign = STRANGERS.receipt(1, SCENE.id(0), Place::Position(4));
    let unsigned = |sequencer, place, height, time_ms| {
        move |_: &Value| {
            format!(
                "receipt 1: sequencer {sequencer} did not sign this: {place}, \
                 height {height}, time {time_ms} ms"
            )
        }
    };
    let place = |position| json!({ "position": position });
    let at_place = |position| WORLD.receipt(1, SCENE.id(0), Place::Position(position));
    vec![
        json(
            "receipt: other id",
            &receipts(),
            |v| flip(&mut v["receipts"][0]["body"]["id"]),
            |v| {
                let actual = at(v, "/receipts/0/body/id");
                format!("receipt 1: receipt is for bundle {actual}, this is {}", SCENE.id(0))
            },
        ),
        json(
            "receipt: other position",
            &receipts(),
            |v| v["receipts"][0]["body"]["place"] = place(5),
            unsigned(1, "at position 5", 3, 1_000),
        ),
        json(
            "receipt: held instead of a position",
            &receipts(),
            |v| v["receipts"][0]["body"]["place"] = "held".into(),
            unsigned(1, "held back", 3, 1_000),
        ),
        json(
            "receipt: other height",
            &receipts(),
            |v| add(&mut v["receipts"][0]["body"]["height"], 1),
            unsigned(1, "at position 4", 4, 1_000),
        ),
        json(
            "receipt: other time",
            &receipts(),
            |v| add(&mut v["receipts"][0]["body"]["time_ms"], 1),
            unsigned(1, "at position 4", 3, 1_001),
        ),
        json(
            "receipt: other signer",
            &receipts(),
            |v| v["receipts"][0]["sequencer"] = 4.into(),
            unsigned(4, "at position 4", 3, 1_000),
        ),
        json(
            "receipt: signature bit",
            &receipts(),
            |v| flip(&mut v["receipts"][0]["signature"]),
            unsigned(1, "at position 4", 3, 1_000),
        ),
        json(
            "receipt: a signer beyond the committee",
            &receipts(),
            |v| v["receipts"][0]["sequencer"] = 9.into(),
            |_| "receipt 1: receipt is of sequencer 9, the committee has 5",
        ),
        json(
            "receipt: other epoch",
            &receipts(),
            |v| add(&mut v["receipts"][0]["body"]["epoch"], 1),
            |_| "receipt 1: receipt of epoch 2, the transcript proves 1 to 1: fetch a newer transcript",
        ),
        file(
            "receipt: of another network",
            &receipts_file(vec![foreign]),
            format!("receipt 1: receipt is of network {}, this is {}", strangers(), network_id()),
        ),
        json(
            "receipts: said to be of another network",
            &receipts(),
            |v| v["network_id"] = strangers().to_string().into(),
            |_| format!("the receipts are of network {}, expected {}", strangers(), network_id()),
        ),
        json(
            "receipts: f of them",
            &receipts(),
            |v| list(&mut v["receipts"]).truncate(1),
            |_| "1 receipts, 2 of distinct sequencers admit a bundle",
        ),
        json(
            "receipts: none",
            &receipts(),
            |v| list(&mut v["receipts"]).clear(),
            |_| "0 receipts, 2 of distinct sequencers admit a bundle",
        ),
        json(
            "receipts: one twice",
            &receipts(),
            |v| v["receipts"][2] = v["receipts"][1].clone(),
            |_| "receipt 3 is another one of sequencer 2, which counts once",
        ),
        file(
            "receipts: two that contradict each other",
            &receipts_file(vec![at_place(4), at_place(5)]),
            "receipt 2 has the bundle at position 5, another one of sequencer 1 has it \
             at position 4: it is a cheat",
        ),
    ]
}

/// The first order with other signers' signatures.
fn order_signed_by(world: &crate::test_support::World) -> OrderCertificate {
    let OrderCertificate { headers, emission, state_digest, .. } = SCENE.orders[0].clone();
    world.dealt.certify(headers, emission, state_digest)
}

/// Headers that a quorum signs as they are.
fn order_of(headers: Vec<BlockHeader>) -> File {
    let OrderCertificate { emission, state_digest, .. } = SCENE.orders[0].clone();
    File::Order(Box::new(WORLD.dealt.certify(headers, emission, state_digest)))
}

fn unsigned_order(v: &Value) -> String {
    format!(
        "the order certificate: none of the 4 signatures is over block {}, view {}, \
         parent view {} of this network",
        header(v, 0).digest(),
        v["finalization"]["view"],
        v["finalization"]["parent_view"],
    )
}

fn certificate_mutations() -> Vec<Mutation> {
    let headers = || SCENE.orders[0].headers.clone();
    let [child, block] = <[BlockHeader; 2]>::try_from(headers()).unwrap();
    let mut orphan = child.clone();
    orphan.parent = child.digest();
    let mut high = child.clone();
    high.height = high.height.next();
    let block_of = |v: &Value| {
        let (actual, expected) = (at(v, "/finalization/block"), header(v, 0).digest());
        format!(
            "the order certificate: finalization is of block {actual}, the first header has \
             digest {expected}"
        )
    };
    let parent_of = |v: &Value| {
        let (actual, expected) = (header(v, 1).digest(), header(v, 0).parent);
        format!(
            "the order certificate: header at height 1 has digest {actual}, the one before it \
             names {expected}"
        )
    };
    let without_one = |v: &mut Value| {
        list(&mut v["finalization"]["signers"]).pop();
        list(&mut v["finalization"]["signatures"]).pop();
    };
    let one_twice = |v: &mut Value| {
        for what in ["signers", "signatures"] {
            v["finalization"][what][2] = v["finalization"][what][1].clone();
        }
    };
    let foreign = File::Order(Box::new(order_signed_by(&STRANGERS)));
    let foreign_line = unsigned_order(&value(&foreign));
    vec![
        json(
            "certificate: one signature below the quorum",
            &order(),
            without_one,
            |_| "the order certificate: 3 signers, 4 decide",
        ),
        json(
            "certificate: a signer twice",
            &order(),
            one_twice,
            |_| "the order certificate: signer 2 stands after signer 2: they ascend, each one once",
        ),
        json(
            "certificate: a signer beyond the committee",
            &order(),
            |v| v["finalization"]["signers"][3] = 8.into(),
            |_| "the order certificate: signer 8 is no member, the committee has 5",
        ),
        json(
            "certificate: a signature of another member",
            &order(),
            |v| v["finalization"]["signers"][3] = 5.into(),
            |_| "the order certificate: signature of sequencer 5 does not verify",
        ),
        json(
            "certificate: signature bit",
            &order(),
            |v| flip(&mut v["finalization"]["signatures"][2]),
            |_| "the order certificate: signature of sequencer 3 does not verify",
        ),
        json(
            "certificate: a signature without a signer",
            &order(),
            |v| drop(list(&mut v["finalization"]["signers"]).pop()),
            |_| "the order certificate: 4 signatures of 3 signers",
        ),
        json(
            "certificate: wrong view",
            &order(),
            |v| add(&mut v["finalization"]["view"], 1),
            unsigned_order,
        ),
        json(
            "certificate: wrong parent view",
            &order(),
            |v| add(&mut v["finalization"]["parent_view"], 1),
            unsigned_order,
        ),
        json(
            "certificate: wrong epoch of the finalization",
            &order(),
            |v| add(&mut v["finalization"]["epoch"], 1),
            |_| "certificate of epoch 2, the transcript proves 1 to 1: fetch a newer transcript",
        ),
        file("certificate: foreign committee", &foreign, foreign_line),
        json(
            "certificate: header of another network",
            &order(),
            |v| v["headers"][1]["network_id"] = strangers().to_string().into(),
            |_| {
                let (actual, expected) = (strangers(), network_id());
                format!("the order certificate: network_id is {actual}, {expected} is expected")
            },
        ),
        json(
            "certificate: header of an unknown version",
            &order(),
            |v| add(&mut v["headers"][0]["version"], 1),
            |_| "the order certificate: header at height 2 has version 3, only 2 is known",
        ),
        json(
            "certificate: parent digest changed",
            &order(),
            |v| flip(&mut v["headers"][0]["parent"]),
            block_of,
        ),
        file(
            "certificate: parent digest changed, and signed",
            &order_of(vec![orphan.clone(), block.clone()]),
            format!(
                "the order certificate: header at height 1 has digest {}, the one before it \
                 names {}",
                block.digest(),
                orphan.parent
            ),
        ),
        file(
            "certificate: height off by one, and signed",
            &order_of(vec![high, block]),
            "the order certificate: a header of height 1 follows one of height 3",
        ),
        json(
            "certificate: height of the certified header off by one",
            &order(),
            |v| add(&mut v["headers"][1]["height"], 1),
            |v| parent_of(v).replace("at height 1", "at height 2"),
        ),
        json(
            "certificate: result root of the header changed",
            &order(),
            |v| flip(&mut v["headers"][1]["result_root"]),
            parent_of,
        ),
        json(
            "certificate: no headers",
            &order(),
            |v| list(&mut v["headers"]).clear(),
            |_| "the order certificate: 0 headers, a certificate has 1 to 256",
        ),
        json(
            "certificate: too many headers",
            &order(),
            |v| v["headers"] = vec![v["headers"][1].clone(); 257].into(),
            |_| "the order certificate: 257 headers, a certificate has 1 to 256",
        ),
    ]
}

fn emission_mutations() -> Vec<Mutation> {
    let two_cohorts = || {
        let cohorts = [vec![0, 1], vec![3]].map(|places| {
            places.into_iter().map(|at| emitted(SCENE.id(at), Placement::Open)).collect::<Vec<_>>()
        });
        File::Order(Box::new(WORLD.order(1, cohorts.to_vec())))
    };
    let root_of = |v: &Value| {
        let emission: Emission = typed(&v["emission"]);
        let state: Digest = typed(&v["state_digest"]);
        format!(
            "the order certificate: result root is {}, the last header has {}",
            result_root(&emission, &state),
            at(v, "/headers/1/result_root")
        )
    };
    let swap = |v: &mut Value| {
        let (first, second) =
            (v["emission"]["cohorts"][0][1].take(), v["emission"]["cohorts"][1][0].take());
        v["emission"]["cohorts"][0][1] = second;
        v["emission"]["cohorts"][1][0] = first;
    };
    let join = |v: &mut Value| {
        let last = list(&mut v["emission"]["cohorts"]).pop().unwrap();
        list(&mut v["emission"]["cohorts"][0]).extend(typed::<Vec<Value>>(&last));
    };
    vec![
        json("emission: ids swapped between cohorts", &two_cohorts(), swap, root_of),
        json("emission: two cohorts made one", &two_cohorts(), join, root_of),
        json(
            "emission: id dropped",
            &order(),
            |v| drop(list(&mut v["emission"]["cohorts"][0]).pop()),
            root_of,
        ),
        json(
            "emission: ids swapped within a cohort",
            &order(),
            |v| list(&mut v["emission"]["cohorts"][0]).swap(0, 1),
            root_of,
        ),
        json(
            "emission: an id opened that is expired",
            &order(),
            |v| v["emission"]["cohorts"][0][2]["placement"] = "Open".into(),
            root_of,
        ),
        json("emission: other state", &order(), |v| flip(&mut v["state_digest"]), root_of),
        json(
            "emission: other height",
            &order(),
            |v| add(&mut v["emission"]["height"], 1),
            |_| "the order certificate: emission is of height 2, the last header of height 1",
        ),
    ]
}

/// The topmost node that a proof leads to; its leaf has a neighbour on every level.
fn top(proof: &BundleProof) -> Node {
    let chain_ids = proof.namespaces.chain_ids();
    let bit = |leg: &ReleasedLeg| 1_u64 << chain_ids.binary_search(&leg.chain_id).unwrap();
    let set: u64 = proof.leaf.outcome.legs().iter().map(bit).sum();
    let leaf = Node { digest: proof.leaf.digest(), namespaces: typed(&json!(set)) };
    let step = |(node, index): (Node, u32), neighbour: &Node| match index % 2 {
        0 => (Node::above(&node, neighbour), index / 2),
        _ => (Node::above(neighbour, &node), index / 2),
    };
    proof.path.iter().fold((leaf, proof.index), step).0
}

fn leads_elsewhere(v: &Value) -> String {
    let proof: BundleProof = typed(&v["proof"]);
    let root = top(&proof).tree_root(proof.count, &proof.namespaces);
    format!("the proof: it leads to root {root}, expected {}", at(v, "/release/tree_root"))
}

fn release_mutations() -> Vec<Mutation> {
    let other_order = serde_json::to_value(&SCENE.orders[1]).unwrap();
    let places = [1, 0, 2, 3];
    let ids = places.map(|at| {
        emitted(SCENE.id(at), if at == 2 { Placement::Expired } else { Placement::Open })
    });
    let reordered = WORLD.order(1, vec![ids.to_vec()]);
    let rival = reordered.headers[1].digest();
    let reordered = serde_json::to_value(&reordered).unwrap();
    let root_line = |v: &Value| {
        let release: ReleaseHeader = typed(&v["release"]);
        let certified = at(v, "/certificate/releases/0/root");
        format!("a release with root {}, certified is {certified}", release.root())
    };
    vec![
        json(
            "release: time changed",
            &document(),
            |v| add(&mut v["release"]["time_ms"], 1),
            root_line,
        ),
        json(
            "release: tree root changed",
            &document(),
            |v| flip(&mut v["release"]["tree_root"]),
            root_line,
        ),
        json(
            "release: previous root changed",
            &document(),
            |v| flip(&mut v["release"]["previous"]),
            root_line,
        ),
        json(
            "release: of another network",
            &document(),
            |v| v["release"]["network_id"] = strangers().to_string().into(),
            |_| format!("a release of network {}, expected {}", strangers(), network_id()),
        ),
        json(
            "release: a height that the block does not list",
            &document(),
            |v| v["release"]["height"] = 8.into(),
            |_| "the certified block does not list height 8",
        ),
        json(
            "release certificate: a listed root changed",
            &document(),
            |v| flip(&mut v["certificate"]["releases"][1]["root"]),
            |v| {
                let certificate: ReleaseCertificate = typed(&v["certificate"]);
                let listed: Vec<_> =
                    certificate.releases.iter().map(|one| (one.height, one.root)).collect();
                let digest =
                    body_digest(&certificate.evidence_digest, &listed, &certificate.system_digest);
                let expected = at(v, "/certificate/headers/1/body_digest");
                format!(
                    "the release certificate: the releases lead to body digest {digest}, \
                     the block has {expected}"
                )
            },
        ),
        json(
            "release certificate: one signature below the quorum",
            &document(),
            |v| {
                list(&mut v["certificate"]["finalization"]["signers"]).pop();
                list(&mut v["certificate"]["finalization"]["signatures"]).pop();
            },
            |_| "the release certificate: 3 signers, 4 decide",
        ),
        json(
            "bundle: order certificate left out",
            &document(),
            |v| drop(v.as_object_mut().unwrap().remove("order")),
            |_| "the document has no order certificate",
        ),
        json(
            "bundle: order certificate of another height",
            &document(),
            |v| v["order"] = other_order,
            |_| "the order certificate is of height 2, the bundle was emitted at 1",
        ),
        json(
            "bundle: order certificate of a rival block",
            &document(),
            |v| v["order"] = reordered,
            |v| {
                let expected = at(v, "/release/block");
                format!(
                    "the order certificate is of block {rival}, the release of block {expected}"
                )
            },
        ),
    ]
}

fn proof_mutations() -> Vec<Mutation> {
    let byte = |v: &mut Value| flip(&mut v["legs"][0]["transactions"][0]);
    let leg_line = |v: &Value| {
        let leg: DocumentLeg = typed(&v["legs"][0]);
        let expected = at(v, "/proof/leaf/outcome/released/legs/0/digest");
        let actual = LegDigest::new(901, &leg.transactions).digest;
        format!("the leg on chain 901 has digest {actual}, released is {expected}")
    };
    vec![
        json(
            "proof: leaf changed",
            &document(),
            |v| flip(&mut v["proof"]["leaf"]["id"]),
            leads_elsewhere,
        ),
        json(
            "proof: sibling node changed",
            &document(),
            |v| flip(&mut v["proof"]["path"][0]["digest"]),
            leads_elsewhere,
        ),
        json(
            "proof: set of a sibling node changed",
            &document(),
            |v| v["proof"]["path"][1]["namespaces"] = 7.into(),
            leads_elsewhere,
        ),
        json(
            "proof: other leaf's place",
            &document(),
            |v| v["proof"]["index"] = 1.into(),
            leads_elsewhere,
        ),
        json(
            "proof: wrong namespaces",
            &document(),
            |v| v["proof"]["namespaces"] = json!([901, 902, 904]),
            leads_elsewhere,
        ),
        json(
            "proof: a leg's rollup is no namespace",
            &document(),
            |v| v["proof"]["namespaces"] = json!([901, 903]),
            |_| "the proof: a leg on chain 902, which is no namespace of this tree",
        ),
        json(
            "proof: leaf beyond the tree",
            &document(),
            |v| v["proof"]["index"] = 9.into(),
            |_| "the proof: leaf 9 of a tree of 4",
        ),
        json(
            "proof: path cut",
            &document(),
            |v| drop(list(&mut v["proof"]["path"]).pop()),
            |_| "the proof: a path of 1 nodes, leaf 0 of 4 has 2",
        ),
        json(
            "proof: a leg missing",
            &document(),
            |v| drop(list(&mut v["legs"]).pop()),
            |_| "1 legs, the release has 2 of this bundle",
        ),
        json("proof: a byte of a leg's transaction", &document(), byte, leg_line),
        json(
            "proof: a leg's transaction missing",
            &document(),
            |v| list(&mut v["legs"][0]["transactions"]).clear(),
            leg_line,
        ),
    ]
}

fn batch_mutations() -> Vec<Mutation> {
    let batches = || File::Batches(vec![SCENE.batch(1, 902), SCENE.batch(2, 902)]);
    let leg_line = |v: &Value| {
        let batch: Batch = typed(&v["batch"]);
        let actual = LegDigest::new(902, &batch.blocks[0].transactions).digest;
        let expected =
            LegDigest::new(902, &SCENE.batch(1, 902).batch.blocks[0].transactions).digest;
        format!("the batch: the leg of bundle 0 has digest {actual}, expected {expected}")
    };
    let first = SCENE.id(0);
    vec![
        json(
            "batch: transaction order swapped",
            &batch(),
            |v| list(&mut v["batch"]["blocks"][0]["transactions"]).swap(0, 1),
            leg_line,
        ),
        json(
            "batch: a byte of a transaction",
            &batch(),
            |v| flip(&mut v["batch"]["blocks"][0]["transactions"][1]),
            leg_line,
        ),
        json(
            "batch: a transaction too many",
            &batch(),
            |v| list(&mut v["batch"]["blocks"][0]["transactions"]).push("0x02".into()),
            |_| "the batch: block 1 has 3 transactions, 2 belong to bundles",
        ),
        json(
            "batch: a bundle left out",
            &batch(),
            |v| list(&mut v["batch"]["blocks"]).clear(),
            |_| "the batch: 0 bundles, expected 1",
        ),
        json(
            "batch: another bundle",
            &batch(),
            |v| v["batch"]["blocks"][0]["bundles"][0]["id"] = SCENE.id(1).to_string().into(),
            |_| {
                let other = SCENE.id(1);
                format!(
                    "the batch: bundle 0 is {other}, expected {first} at its place in the fair order"
                )
            },
        ),
        json(
            "batch: another place in the order",
            &batch(),
            |v| add(&mut v["batch"]["blocks"][0]["bundles"][0]["position"]["index"], 1),
            |_| {
                "the batch: bundle 0 is placed at height 1 position 1, \
                 the fair order has it at height 1 position 0"
            },
        ),
        json(
            "batch: a range that leaves a gap",
            &batch(),
            |v| add(&mut v["batch"]["blocks"][0]["bundles"][0]["first"], 1),
            |_| "the batch: bundle 0 has 2 transactions from 1 on, expected at least 1 from 0 on, of 2",
        ),
        json(
            "batch: other height",
            &batch(),
            |v| add(&mut v["batch"]["height"], 1),
            |_| "the batch: of height 2, expected 1",
        ),
        json(
            "batch: other slot",
            &batch(),
            |v| add(&mut v["batch"]["slot"], 1),
            |_| "the batch: of slot 2, expected 1",
        ),
        json(
            "batch: other time of a block",
            &batch(),
            |v| add(&mut v["batch"]["blocks"][0]["time_ms"], 1),
            |_| "the batch: bundle 0 is in block 1 at 1001 ms, expected 1 at 1000 ms",
        ),
        json(
            "batch: other number of a block",
            &batch(),
            |v| add(&mut v["batch"]["blocks"][0]["number"], 1),
            |_| "the batch: bundle 0 is in block 2 at 1000 ms, expected 1 at 1000 ms",
        ),
        json(
            "batch: a block that is empty",
            &batch(),
            |v| {
                let empty =
                    json!({"number": 2, "time_ms": 2000, "bundles": [], "transactions": []});
                list(&mut v["batch"]["blocks"]).push(empty);
            },
            |_| "the batch: block 2 at 2000 ms is empty or out of order",
        ),
        json(
            "batch: a block twice",
            &batch(),
            |v| {
                let block = v["batch"]["blocks"][0].clone();
                list(&mut v["batch"]["blocks"]).push(block);
            },
            |_| "the batch: 2 bundles, expected 1",
        ),
        json(
            "batch: a release before it that does not lead to it",
            &batch(),
            |v| v["skipped"] = json!([v["release"].clone()]),
            |_| "the release of height 1 does not follow the one before, or cuts a slot",
        ),
        json(
            "batch: another rollup's namespace",
            &batch(),
            |v| v["batch"]["chain_id"] = 903.into(),
            |_| "the proof: part 2 opens what does not touch chain 903",
        ),
        json(
            "batch: a rollup that is no namespace",
            &batch(),
            |v| v["batch"]["chain_id"] = 909.into(),
            |_| "the proof: a leg on chain 909, which is no namespace of this tree",
        ),
        json(
            "completeness: proof cut",
            &batch(),
            |v| drop(list(&mut v["proof"]["parts"]).pop()),
            |v| {
                let parts = list(&mut v["proof"]["parts"].clone()).len();
                format!("the proof: it ends after {parts} parts, before the tree does")
            },
        ),
        json(
            "completeness: proof too long",
            &batch(),
            |v| list(&mut v["proof"]["parts"]).push("inside".into()),
            |v| {
                let parts = list(&mut v["proof"]["parts"].clone()).len();
                format!("the proof: it has {parts} parts, the tree ends after {}", parts - 1)
            },
        ),
        json(
            "completeness: a leaf of the rollup hidden",
            &batch(),
            |v| v["proof"]["parts"] = json!([{ "outside": top(&SCENE.document(0).proof) }]),
            |_| "the proof: part 0 leaves out a subtree that touches chain 902",
        ),
        json(
            "batches: out of order",
            &batches(),
            |v| list(v).swap(0, 1),
            |_| "batch 2: a batch of height 1, next is 3",
        ),
        json(
            "batches: another rollup's in between",
            &File::Batches(vec![SCENE.batch(1, 902), SCENE.batch(2, 901)]),
            |_| {},
            |_| "batch 2: the batch: for chain 901, expected 902",
        ),
        json(
            "batches: built on another release",
            &batches(),
            |v| flip(&mut v[1]["release"]["previous"]),
            |v| {
                let release: ReleaseHeader = typed(&v[0]["release"]);
                let actual = at(v, "/1/release/previous");
                let expected = release.root();
                format!("batch 2: a release on {actual}, the last one has root {expected}")
            },
        ),
        json(
            "batch: another claim about what was checked",
            &batch(),
            |v| v["batch"]["validation"] = "simulated".into(),
            |_| "the batch: said to be Simulated, the rollup's legs are Unvalidated",
        ),
        json("batches: none", &batches(), |v| list(v).clear(), |_| "a list of no batches"),
    ]
}

/// A batch that lost its blocks, beside the release that it is not of.
fn fraud_of(height: usize, change: impl FnOnce(&mut Batch)) -> File {
    let certified = SCENE.batch(height, 902);
    let mut said = certified.batch.clone();
    change(&mut said);
    File::Fraud(Box::new(FraudProof::Served(Box::new(ServedBatch::new(&certified, said)))))
}

fn fraud() -> File {
    fraud_of(1, |batch| batch.blocks.clear())
}

fn fraud_mutations() -> Vec<Mutation> {
    let served = |v: &Value| v["served"].clone();
    let sides = format!("{} beside", strangers());
    vec![
        file(
            "fraud: nothing is false",
            &fraud_of(1, |_| {}),
            "the fraud proof: the batch of rollup 902 at height 1 is what the committee released",
        ),
        file(
            "fraud: a true batch beside another height's release",
            &fraud_of(1, |batch| *batch = SCENE.batch(2, 902).batch),
            "the fraud proof: a batch of height 2 beside the release of height 1",
        ),
        file(
            "fraud: a batch of another network",
            &fraud_of(1, |batch| batch.network_id = strangers()),
            format!(
                "the fraud proof: a batch of network {sides} a release of network {}",
                network_id()
            ),
        ),
        file(
            "fraud: a true batch of another rollup",
            &fraud_of(1, |batch| *batch = SCENE.batch(1, 903).batch),
            "the fraud proof: the certified side: the proof: part 2 opens what does not touch chain 903",
        ),
        json(
            "fraud: release of another network",
            &fraud(),
            |v| v["served"]["release"]["network_id"] = strangers().to_string().into(),
            |_| {
                let (actual, expected) = (strangers(), network_id());
                format!(
                    "the fraud proof: the certified side: a release of network {actual}, \
                     expected {expected}"
                )
            },
        ),
        json(
            "fraud: certificate changed",
            &fraud(),
            |v| drop(list(&mut v["served"]["certificate"]["releases"]).pop()),
            |v| {
                let certificate: ReleaseCertificate = typed(&served(v)["certificate"]);
                let releases = certificate.releases.iter().map(|one| (one.height, one.root));
                let releases: Vec<_> = releases.collect();
                let ReleaseCertificate { evidence_digest, system_digest, .. } = &certificate;
                let actual = body_digest(evidence_digest, &releases, system_digest);
                let expected = certificate.headers[1].body_digest;
                format!(
                    "the fraud proof: the certified side: the release certificate: the releases \
                     lead to body digest {actual}, the block has {expected}"
                )
            },
        ),
        json(
            "fraud: a height that is not certified",
            &fraud(),
            |v| {
                v["served"]["release"]["height"] = 7.into();
                v["served"]["batch"]["height"] = 7.into();
            },
            |_| "the fraud proof: the certified side: the certified block does not list height 7",
        ),
        json(
            "fraud: completeness proof cut",
            &fraud(),
            |v| drop(list(&mut v["served"]["proof"]["parts"]).pop()),
            |v| {
                let parts = list(&mut v["served"]["proof"]["parts"].clone()).len();
                format!(
                    "the fraud proof: the certified side: the proof: it ends after {parts} parts, \
                     before the tree does"
                )
            },
        ),
        json(
            "fraud: signed frames without the certified side",
            &fraud(),
            |v| {
                let object = v.as_object_mut().unwrap();
                object.remove("served");
                object.insert("signed".into(), json!({ "batches": [], "transactions": [] }));
            },
            |_| "the fraud proof: 0 batch documents on the certified side, 1 to 1024 are judged",
        ),
    ]
}

fn proof_of(evidence: Evidence) -> File {
    File::Evidence(Box::new(evidence))
}

fn evidence_mutations() -> Vec<Mutation> {
    let [bad, premature, forked, broken, _] = SCENE.evidence(&WORLD);
    let order = SCENE.final_order(&WORLD);
    let (Evidence::BadShare(bad), Evidence::PrematureShare(premature)) = (bad, premature) else {
        panic!("in their order")
    };
    let (Evidence::ForkedLog(forked), Evidence::BrokenReceipt(broken)) = (forked, broken) else {
        panic!("in their order")
    };
    let mut innocent = bad.clone();
    innocent.share = SCENE.share(&WORLD, &order);
    let mut other_member = bad.clone();
    other_member.share.index = index(3);
    let mut other_batch = bad.clone();
    other_batch.bundles.pop();
    let fewer = batch_id(&network_id(), bad.height, &bad.block, &order.to_open()[..2]);
    let mut foreign = bad.clone();
    foreign.network_id = strangers();
    let mut later = bad.clone();
    later.epoch = later.epoch.next();
    let mut not_premature = premature.clone();
    not_premature.share = SCENE.share(&WORLD, &order);
    not_premature.block = order.block();
    let mut other_height = premature.clone();
    other_height.height = other_height.height.next();
    let mut other_ids = premature;
    other_ids.ids.swap(0, 1);
    let swapped = batch_id(&network_id(), other_ids.height, &other_ids.block, &other_ids.ids);
    let mut same = forked;
    same.other = same.one;
    let mut framed = forked;
    framed.one.sequencer = index(3);
    framed.other.sequencer = index(3);
    let mut longer = forked;
    longer.other = WORLD.log_head(&[1, 2, 3]);
    let mut two_members = forked;
    two_members.other.sequencer = index(3);
    let mut kept = broken.clone();
    kept.receipt = WORLD.receipt(CULPRIT, kept.ids[0], Place::Position(1));
    let mut held = broken.clone();
    held.receipt = WORLD.receipt(CULPRIT, held.receipt.body.id, Place::Held);
    let mut shorter = broken.clone();
    shorter.ids.pop();
    let mut elsewhere = broken.clone();
    elsewhere.ids.swap(0, 1);
    let reached = WORLD.log(&[1, 3, 2]).tip().head;
    let mut other_log = broken.clone();
    other_log.receipt = WORLD.receipt(3, broken.receipt.body.id, Place::Position(1));
    let receipt = |member, number, place| WORLD.receipt(member, SCENE.id(number), place);
    let pair = |first, second| {
        proof_of(Evidence::ConflictingReceipts(ConflictingReceipts { first, second }))
    };
    let at_place = Place::Position;
    let (zero, one) = (SCENE.id(0), SCENE.id(1));
    vec![
        file(
            "bad share: innocent culprit",
            &proof_of(Evidence::BadShare(innocent)),
            "the evidence: the share of sequencer 2 is right",
        ),
        file(
            "bad share: pinned on another member",
            &proof_of(Evidence::BadShare(other_member)),
            "the evidence: signature of sequencer 3 does not verify",
        ),
        file(
            "bad share: a bundle left out",
            &proof_of(Evidence::BadShare(other_batch)),
            format!("the evidence: share is of batch {}, {fewer} is opened", order.batch()),
        ),
        file(
            "bad share: of another network",
            &proof_of(Evidence::BadShare(foreign)),
            format!("the evidence: evidence of network {}, expected {}", strangers(), network_id()),
        ),
        file(
            "bad share: of another epoch",
            &proof_of(Evidence::BadShare(later)),
            "the evidence: evidence of epoch 2, the transcript proves 1 to 1: fetch a newer transcript",
        ),
        file(
            "premature share: for the final order",
            &proof_of(Evidence::PrematureShare(not_premature)),
            format!("the evidence: the share is for the final order, batch {}", order.batch()),
        ),
        file(
            "premature share: certificate of another height",
            &proof_of(Evidence::PrematureShare(other_height)),
            "the evidence: the certificate is of height 1, the share of 2",
        ),
        file(
            "premature share: other ids than were signed",
            &proof_of(Evidence::PrematureShare(other_ids.clone())),
            format!(
                "the evidence: share is of batch {}, {swapped} is opened",
                other_ids.share.batch
            ),
        ),
        file(
            "forked log: same head twice",
            &proof_of(Evidence::ForkedLog(same)),
            format!("the evidence: both heads are {}", same.one.head),
        ),
        file(
            "forked log: innocent culprit",
            &proof_of(Evidence::ForkedLog(framed)),
            format!("the evidence: the signature of head {} is not sequencer 3's", framed.one.head),
        ),
        file(
            "forked log: a longer head",
            &proof_of(Evidence::ForkedLog(longer)),
            "the evidence: heads of lengths 2 and 3",
        ),
        file(
            "forked log: heads of two members",
            &proof_of(Evidence::ForkedLog(two_members)),
            "the evidence: heads of sequencers 2 and 3",
        ),
        file(
            "broken receipt: the log keeps it",
            &proof_of(Evidence::BrokenReceipt(kept.clone())),
            format!("the evidence: the log has bundle {} at position 1, as promised", kept.ids[0]),
        ),
        file(
            "broken receipt: no position promised",
            &proof_of(Evidence::BrokenReceipt(held)),
            "the evidence: the receipt names no position",
        ),
        file(
            "broken receipt: an id left out",
            &proof_of(Evidence::BrokenReceipt(shorter)),
            "the evidence: 1 ids from position 1 on, the head covers 3",
        ),
        file(
            "broken receipt: ids in another order",
            &proof_of(Evidence::BrokenReceipt(elsewhere)),
            format!("the evidence: the ids lead to head {reached}, signed is {}", broken.head.head),
        ),
        file(
            "broken receipt: another member's log",
            &proof_of(Evidence::BrokenReceipt(other_log)),
            "the evidence: the log head is of sequencer 2 in epoch 1, \
             the receipt of sequencer 3 in epoch 1",
        ),
        file(
            "conflicting receipts: one receipt twice",
            &pair(receipt(2, 0, at_place(4)), receipt(2, 0, at_place(4))),
            format!(
                "the evidence: {zero}, at position 4, and {zero}, at position 4, \
                 do not contradict each other"
            ),
        ),
        file(
            "conflicting receipts: two bundles at two positions",
            &pair(receipt(2, 0, at_place(4)), receipt(2, 1, at_place(5))),
            format!(
                "the evidence: {zero}, at position 4, and {one}, at position 5, \
                 do not contradict each other"
            ),
        ),
        file(
            "conflicting receipts: of two members",
            &pair(receipt(2, 0, at_place(4)), receipt(3, 0, at_place(5))),
            "the evidence: receipts are of sequencers 2 and 3",
        ),
    ]
}

fn transcript_mutations() -> Vec<Mutation> {
    let good = transcript;
    let foreign = File::Transcript(Box::new(STRANGERS.transcript.clone()));
    vec![
        file(
            "transcript: another network is pinned",
            &foreign,
            format!(
                "the transcript: transcript founds network {}, not {}",
                strangers(),
                network_id()
            ),
        ),
        json(
            "transcript: key changed",
            &good(),
            |v| {
                v["result"]["committee_key"] =
                    serde_json::to_value(STRANGERS.transcript.result.committee_key).unwrap();
            },
            |v| {
                let (actual, expected) =
                    (at(v, "/result/committee_key"), WORLD.transcript.result.committee_key);
                format!(
                    "the transcript: committee key is {actual}, {expected} follows from the \
                     entries"
                )
            },
        ),
        json(
            "transcript: a public key share changed",
            &good(),
            |v| v["result"]["public_key_shares"][1] = v["result"]["public_key_shares"][0].clone(),
            |v| {
                let actual = at(v, "/result/public_key_shares/0");
                let expected = WORLD.transcript.result.public_key_shares[1];
                format!(
                    "the transcript: public key share of member 2 is {actual}, {expected} follows \
                     from the entries"
                )
            },
        ),
        json(
            "transcript: threshold changed",
            &good(),
            |v| add(&mut v["result"]["threshold"], 1),
            |_| "the transcript: threshold is 5, 4 follows from the entries",
        ),
        json(
            "transcript: digest changed",
            &good(),
            |v| flip(&mut v["digest"]),
            |v| {
                let (actual, expected) = (at(v, "/digest"), WORLD.transcript.digest);
                format!("the transcript: digest is {actual}, that of the content is {expected}")
            },
        ),
        json(
            "transcript: confirmations below the quorum",
            &good(),
            |v| list(&mut v["confirmations"]).truncate(3),
            |_| "the transcript: 3 confirmations, 4 are needed",
        ),
        json(
            "transcript: a dealing twice",
            &good(),
            |v| v["dealings"][1] = v["dealings"][0].clone(),
            |_| "the transcript: dealings are not in strictly ascending order",
        ),
        json(
            "transcript: more liars tolerated than the committee allows",
            &good(),
            |v| add(&mut v["definition"]["f"], 1),
            |_| {
                "the transcript: definition: n is 5; f = 2 and g = 0 take n >= 9; n = 5 takes \
                 f <= 1, and with f = 1 g <= 0"
            },
        ),
    ]
}

fn blame() -> File {
    File::Blame(Box::new(WORLD.blame()))
}

fn blame_mutations() -> Vec<Mutation> {
    let dealing = "/fault/dealing/dealing";
    let mut alone = RENEWED.blame_after(&WORLD);
    alone.predecessor = None;
    let mut beside = WORLD.blame();
    beside.predecessor = Some(Box::new(WORLD.transcript.clone()));
    let foreign = File::Blame(Box::new(STRANGERS.blame()));
    vec![
        file(
            "blame: a ceremony of another network",
            &foreign,
            format!("the blame is of network {}, expected {}", strangers(), network_id()),
        ),
        file(
            "blame: a resharing without what it continues",
            &File::Blame(Box::new(alone)),
            "the blame: the definition is of a later epoch, and its predecessor's transcript is \
             missing",
        ),
        file(
            "blame: a first ceremony with what it continues",
            &File::Blame(Box::new(beside)),
            "the blame: the definition is a first one, and the transcript of a predecessor stands \
             beside it",
        ),
        json(
            "blame: other round",
            &blame(),
            |v| add(&mut v["round"], 1),
            |_| "the blame: dealing: entry has no valid signature of member 2",
        ),
        json(
            "blame: other error",
            &blame(),
            |v| v["fault"]["dealing"]["error"] = "mismatch".into(),
            |_| "the blame: there is no such fault in what is shown",
        ),
        json(
            "blame: other accuser",
            &blame(),
            |v| add(&mut v["fault"]["dealing"]["complaint"]["accuser"], 1),
            |v| {
                let accuser = v.pointer("/fault/dealing/complaint/accuser").unwrap();
                format!("the blame: complaint: entry has no valid signature of member {accuser}")
            },
        ),
        json(
            "blame: a dealing of nobody",
            &blame(),
            |v| *v.pointer_mut(dealing).unwrap().pointer_mut("/dealer").unwrap() = 9.into(),
            |_| "the blame: dealing: entry by member 9 of 5",
        ),
    ]
}

fn sealed_mutations() -> Vec<Mutation> {
    let foreign = STRANGERS.seal(0, &SCENE.bundles[0]);
    let unsealed = File::Unsealed(UnsealedFile::new(&SCENE.bundles[0]));
    vec![
        json(
            "sealed: other id",
            &sealed(),
            |v| flip(&mut v["id"]),
            |v| format!("`id` is {}, the sealed bundle's is {}", at(v, "/id"), SCENE.id(0)),
        ),
        json(
            "sealed: other network",
            &sealed(),
            |v| v["network_id"] = strangers().to_string().into(),
            |_| format!("`network_id` is {}, the sealed bundle's is {}", strangers(), network_id()),
        ),
        file(
            "sealed: for another network",
            &File::Sealed(SealedFile::new(&foreign)),
            format!("network_id is {}, this network is {}", strangers(), network_id()),
        ),
        json(
            "sealed: unknown version",
            &sealed(),
            |v| v["sealed"] = at(v, "/sealed").replacen("0x0", "0x1", 1).into(),
            |_| "version is 17, only 1 is known",
        ),
        json(
            "sealed: upper-case hex",
            &sealed(),
            |v| {
                let digits = at(v, "/sealed")[2..].to_uppercase();
                v["sealed"] = format!("0x{digits}").into();
            },
            |_| "`sealed` is not 0x and lower-case hex",
        ),
        file(
            "unsealed",
            &unsealed,
            "a bundle in the clear proves nothing: give the sealed bundle or its release",
        ),
    ]
}

/// What is not signed or committed has one form, and nothing stands beside it.
fn form_mutations() -> Vec<Mutation> {
    let upper = |v: &mut Value| {
        let text = at(v, "/receipts/0/body/id").to_uppercase().replacen("0X", "0x", 1);
        v["receipts"][0]["body"]["id"] = text.into();
    };
    let evidence = || evidence(Place::Position(5));
    let File::Evidence(proof) = evidence() else { panic!("evidence") };
    let bytes = proof.encode();
    let trailing = [bytes.as_slice(), &[0]].concat();
    let length = bytes.len();
    let too_long = vec![b'{'; MAX_FILE_BYTES + 1];
    let kind_limit = limit("receipts");
    vec![
        json(
            "form: unknown key beside the fields",
            &receipts(),
            |v| v["note"] = "paid".into(),
            |_| {
                "not a file of kind \"receipts\": unknown field `note`, expected one of `id`, \
                 `network_id`, `receipts`"
            },
        ),
        json(
            "form: unknown key in a header",
            &order(),
            |v| v["headers"][0]["note"] = "paid".into(),
            |_| {
                "not a file of kind \"order\": unknown field `note`, expected one of `version`, \
                 `network_id`, `epoch`, `epoch_start`, `height`, `parent`, `leader`, `view`, \
                 `parent_view`, `time_ms`, `result_root`, `body_digest`"
            },
        ),
        json(
            "form: unknown key in a leaf",
            &document(),
            |v| v["proof"]["leaf"]["note"] = "paid".into(),
            |_| {
                "not a file of kind \"bundle\": unknown field `note`, expected one of `id`, \
                 `position`, `outcome`"
            },
        ),
        json("form: upper-case hex", &receipts(), upper, |v| {
            let (actual, expected) = (at(v, "/receipts/0/body/id"), SCENE.id(0));
            format!(
                "`receipts[0].body.id` is \"{actual}\", a file of kind \"receipts\" has \
                 \"{expected}\" there"
            )
        }),
        json(
            "form: a field that is left out when there is none",
            &document(),
            |v| v["order"] = Value::Null,
            |_| "`order` is null, a file of kind \"bundle\" has nothing there",
        ),
        text(
            "form: a key twice",
            &receipts(),
            |text| text.replacen("\"id\":", "\"id\": \"0x00\",\n  \"id\":", 1),
            "not JSON that is judged here: key `id` stands there twice at line 3 column 6",
        ),
        text(
            "form: bytes after the end",
            &order(),
            |text| format!("{text}{{}}"),
            format!(
                "not JSON that is judged here: trailing characters at line {} column 1",
                order().to_json().lines().count() + 1
            ),
        ),
        Mutation {
            name: "form: a byte after binary evidence",
            bytes: trailing,
            expected: format!(
                "neither JSON nor evidence: value is {length} bytes, {} were given",
                length + 1
            ),
        },
        json(
            "form: a byte after evidence in hex",
            &evidence(),
            |v| v["evidence"] = format!("{}00", at(v, "/evidence")).into(),
            |_| {
                let given = length + 1;
                format!("the hex is no evidence: value is {length} bytes, {given} were given")
            },
        ),
        json(
            "form: evidence that is no hex",
            &evidence(),
            |v| v["evidence"] = "0xzz".into(),
            |_| "the evidence is not 0x and hex",
        ),
        json(
            "form: a line for the reader in the kind",
            &receipts(),
            |v| v["kind"] = "x\nok.json: bundle 0x00 is admitted\u{1b}[2J\u{202e}".into(),
            |_| "no such kind of file: \"x\\nok.json: bundle 0x00 is admitted\\u001b[2J\"..",
        ),
        json(
            "form: a line for the reader in a key",
            &receipts(),
            |v| v["x\nok.json: bundle 0x00 is admitted"] = 1.into(),
            |_| {
                "not a file of kind \"receipts\": unknown field `xok.json: bundle 0x00 is \
                 admitted`, expected one of `id`, `network_id`, `receipts`"
            },
        ),
        json(
            "form: no kind",
            &receipts(),
            |v| drop(v.as_object_mut().unwrap().remove("kind")),
            |_| "no kind, and not the fields of anything that is judged here",
        ),
        Mutation { name: "form: empty", bytes: b" \n".to_vec(), expected: "file is empty".into() },
        text(
            "form: too long for its kind",
            &receipts(),
            |text| text + &" ".repeat(kind_limit),
            format!(
                "a file of kind \"receipts\" has {} bytes, the limit is {kind_limit}",
                receipts().to_json().len() + kind_limit
            ),
        ),
        Mutation {
            name: "form: too long",
            bytes: too_long,
            expected: format!(
                "file has {} bytes, the limit is {MAX_FILE_BYTES}",
                MAX_FILE_BYTES + 1
            ),
        },
    ]
}

/// A good file of every kind, as its makers write it.
fn good_files() -> Vec<File> {
    let mut files = vec![receipts(), order(), batch(), sealed(), transcript()];
    files.push(File::Batches(vec![SCENE.batch(1, 902), SCENE.batch(2, 902)]));
    files.push(fraud());
    files.push(blame());
    files.extend([trace(), censorship()]);
    files.extend((0..5).map(|number| File::Bundle(Box::new(SCENE.document(number)))));
    files.extend(SCENE.evidence(&WORLD).map(proof_of));
    files
}

fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

#[test]
fn a_good_file_of_every_kind_is_accepted_with_one_line() {
    let mut kinds = BTreeSet::new();
    for good in good_files() {
        let judgement = judge(&WORLD.network, good.to_json().as_bytes());
        let judgement = judgement.unwrap_or_else(|error| panic!("{}: {error}", good.kind()));
        assert!(is_one_line(&judgement.to_string()), "{judgement}");
        kinds.insert(good.kind());
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    for (evidence, offence) in SCENE.evidence(&WORLD).into_iter().zip([
        "signed a bad decryption share: proof does not hold",
        "signed a decryption share for an order that is not final",
        "signed two order logs",
        "signed a receipt that its own order log contradicts",
        "signed two receipts that contradict each other",
    ]) {
        let judgement = judge(&WORLD.network, &evidence.encode()).unwrap();
        assert_eq!(judgement.to_string(), format!("sequencer {CULPRIT} {offence}"));
    }
}

#[test]
fn invariants_2_and_4_every_mutation_is_refused_with_a_line_of_its_own() {
    let mutations = [
        receipt_mutations(),
        certificate_mutations(),
        emission_mutations(),
        release_mutations(),
        proof_mutations(),
        batch_mutations(),
        fraud_mutations(),
        evidence_mutations(),
        transcript_mutations(),
        blame_mutations(),
        sealed_mutations(),
        accountability_mutations(),
        form_mutations(),
    ];
    let mut names = BTreeMap::new();
    let mut wrong = Vec::new();
    for Mutation { name, bytes, expected } in mutations.into_iter().flatten() {
        let line = match judge(&WORLD.network, &bytes) {
            Ok(judgement) => format!("ACCEPTED: {judgement}"),
            Err(refusal) => refusal.to_string(),
        };
        if line != expected {
            wrong.push(format!("{name}\n  says     {line}\n  expected {expected}"));
        }
        assert!(is_one_line(&line), "{name}: {line}");
        if let Some(other) = names.insert(line.clone(), name) {
            wrong.push(format!("{name}\n  says the same as\n{other}:\n  {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(names.len() >= 120, "{} mutations", names.len());
}
