//! Bundles, sealing and admission against the sealing vectors of an independent implementation.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::{PayerSecret, SealedBundle, SizeClass};
use fairveil_crypto::hint;
use fairveil_crypto::seal::{Ciphertext, OVERHEAD_BYTES, Rho, SealRandomness};
use fairveil_crypto::{BundleId, Epoch, Height, NetworkId, SequencerIndex};
use fairveil_mempool::pool::{Input, Output, PoolConfig, Reply, RequestId};
use fairveil_mempool::{
    Bundle, FailedReason, Limits, Pool, Rejection, RejectionCode, SealTerms, seal_bundle,
};
use fairveil_tests::vectors::{FOLDER_VARIABLE, Vectors, array, bytes, integer, items, string};
use serde_json::Value;

const FILE: &str = "sealing";

fn keys(vectors: &Vectors) -> BTreeMap<String, CommitteeKey> {
    let named = |case: &Value| {
        let key = CommitteeKey::decode(&bytes(&case["P"])).unwrap();
        (string(&case["name"]).to_owned(), key)
    };
    vectors.cases("committees").iter().map(named).collect()
}

/// The size class whose plaintext has exactly this many bytes.
fn class_of(plaintext_bytes: usize) -> SizeClass {
    let class = SizeClass::fitting(plaintext_bytes).unwrap();
    assert_eq!(class.plaintext_bytes(), plaintext_bytes);
    class
}

fn envelope<'a>(vectors: &'a Vectors, part: &str) -> &'a [Value] {
    let cases = items(&vectors.section("envelope")[part]);
    assert!(!cases.is_empty(), "envelope.{part} is missing");
    cases
}

#[test]
fn vectors_of_valid_bundles_are_read_written_and_sealed_byte_for_byte() {
    let vectors = Vectors::load(FILE);
    let keys = keys(&vectors);
    for case in envelope(&vectors, "valid") {
        let note = string(&case["note"]);
        let encoded = bytes(&case["bundle_rlp"]);
        let bundle = Bundle::decode(&encoded).unwrap();
        assert_eq!(bundle.encode()[..], encoded, "{note}");
        assert_eq!(Bundle::new(bundle.policy(), bundle.legs().to_vec()), Ok(bundle.clone()));

        let fields = &case["header_fields"];
        let class = SizeClass::new(integer(&fields["class"])).unwrap();
        let m = bundle.padded(class).unwrap();
        assert_eq!(Bundle::from_padded(&m, class), Ok(bundle.clone()), "{note}");
        assert!(bundle.smallest_class() <= class, "{note}");

        let terms = SealTerms {
            network_id: NetworkId::from_bytes(array(&fields["network_id"])),
            valid_from: Height::new(integer(&fields["valid_from"])),
            expires_at: Height::new(integer(&fields["expires_at"])),
            payer_nonce: integer(&fields["payer_nonce"]),
            class: Some(class),
        };
        let key = &keys[string(&case["committee"])];
        let payer = PayerSecret::from_bytes(array(&case["payer_secret"])).unwrap();
        let randomness =
            SealRandomness::from_parts(array(&case["rho"]), &array(&case["a"])).unwrap();
        let sealed = seal_bundle(key, &terms, &payer, &bundle, randomness).unwrap();
        assert_eq!(sealed.id(), BundleId::from_bytes(array(&case["id"])), "{note}");
        assert_eq!(sealed.encode(), bytes(&case["sealed"]), "{note}");

        // And it opens to the same bundle.
        let verified = sealed.verify(&terms.network_id, key).unwrap();
        let rho = Rho::from_bytes(array(&case["rho"]));
        let opened = hint::open(key, verified.ciphertext(), &rho).unwrap();
        assert_eq!(Bundle::from_padded(&opened.m, class), Ok(bundle), "{note}");
    }
}

#[test]
fn vectors_of_malformed_plaintexts_fail_for_their_reasons() {
    let vectors = Vectors::load(FILE);
    let keys = keys(&vectors);
    let mut seen = BTreeSet::new();
    for case in vectors.cases("malformed") {
        // What fails before there is a plaintext is not judged here.
        let Ok(reason) = string(&case["failed"]).parse::<FailedReason>() else { continue };
        let what = string(&case["what"]);
        let key = &keys[string(&case["committee"])];
        let ciphertext = Ciphertext::decode(&bytes(&case["ciphertext"])).unwrap();
        let verified = ciphertext.verify(key, &bytes(&case["ad"])).unwrap();
        let rho = Rho::from_bytes(array(&case["rho"]));
        let m = hint::open(key, &verified, &rho).unwrap().m;
        let class = class_of(ciphertext.as_bytes().len() - OVERHEAD_BYTES);
        assert_eq!(Bundle::from_padded(&m, class), Err(reason), "{what}");
        seen.insert(reason);
    }
    assert!(!seen.is_empty(), "no plaintext is malformed");
    if std::env::var_os(FOLDER_VARIABLE).is_none() {
        assert_eq!(seen, FailedReason::ALL.into_iter().collect(), "a reason without a case");
    }
}

#[test]
fn vectors_of_opened_plaintexts_are_canonical_or_fail() {
    let vectors = Vectors::load(FILE);
    let mut parsed = 0;
    for case in vectors.cases("bad_shares") {
        for opened in case["expected"]["results"].as_array().into_iter().flatten() {
            let Some(m) = opened.get("m") else { continue };
            let m = bytes(m);
            let class = class_of(m.len());
            if let Ok(bundle) = Bundle::from_padded(&m, class) {
                assert_eq!(bundle.padded(class).unwrap()[..], m);
                parsed += 1;
            }
        }
    }
    assert!(parsed > 0, "no plaintext holds a bundle");
}

/// A pool that admits for one network and committee key.
fn pool(network_id: NetworkId, key: CommitteeKey) -> Pool {
    Pool::new(PoolConfig {
        network_id,
        epoch: Epoch::new(1),
        sequencer: SequencerIndex::new(1).unwrap(),
        members: 5,
        key,
        older_key: None,
        limits: Limits::DEFAULT,
        funds: None,
    })
    .unwrap()
}

fn submit(pool: &mut Pool, sealed: Vec<u8>) -> Reply {
    let address = IpAddr::from([127, 0, 0, 1]);
    let (request, addressed) = (RequestId(0), Vec::new());
    let mut inputs = vec![Input::Submitted { request, address, addressed, bytes: sealed }];
    let mut replies = Vec::new();
    while let Some(input) = inputs.pop() {
        for output in pool.handle(0, input) {
            match output {
                Output::Verify(job) => inputs.push(Input::Verified(job.run_inline())),
                Output::Reply { reply, .. } => replies.push(reply),
                _ => {}
            }
        }
    }
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

#[test]
fn vectors_of_bad_envelopes_are_rejected_by_the_pool() {
    let vectors = Vectors::load(FILE);
    let keys = keys(&vectors);
    for case in envelope(&vectors, "reject") {
        let what = string(&case["what"]);
        let network_id = NetworkId::from_bytes(array(&case["network_id"]));
        let mut pool = pool(network_id, keys[string(&case["committee"])].clone());
        let Reply::Rejected(rejection) = submit(&mut pool, bytes(&case["sealed"])) else {
            panic!("{what}: admitted");
        };
        // No case depends on the height, but its window may end beyond the horizon of height 0.
        let judged = rejection.is_intrinsic() || rejection.code == RejectionCode::Horizon;
        assert!(judged, "{what}: {rejection}");
        assert_round_trip(&rejection);
        assert_eq!(pool.stats().ids, 0, "{what}");
    }
}

#[test]
fn vectors_of_valid_envelopes_are_judged_by_height_alone() {
    let vectors = Vectors::load(FILE);
    let keys = keys(&vectors);
    for case in envelope(&vectors, "valid") {
        let sealed = SealedBundle::decode(&bytes(&case["sealed"])).unwrap();
        let header = sealed.header();
        let key = keys[string(&case["committee"])].clone();
        let reply = submit(&mut pool(header.network_id, key), sealed.encode());
        let (until, first) = (header.expires_at.get(), header.valid_from.get().saturating_sub(1));
        let expected = if until > 1 << 16 {
            Some(RejectionCode::Horizon)
        } else {
            (first + 8 > until).then_some(RejectionCode::Expired)
        };
        let code = match reply {
            Reply::Receipt(_) => None,
            Reply::Rejected(rejection) => Some(rejection.code),
        };
        assert_eq!(code, expected, "{}", string(&case["note"]));
    }
}

fn assert_round_trip(rejection: &Rejection) {
    let json = serde_json::to_string(rejection).unwrap();
    assert_eq!(&serde_json::from_str::<Rejection>(&json).unwrap(), rejection);
}
