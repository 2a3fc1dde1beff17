//! Every section of `vectors/sealing.json`, made by an independent implementation of crypto.md.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::committee::{Committee, CommitteeKey, KeyShare, PublicKeyShare};
use fairveil_crypto::dealer::Polynomial;
use fairveil_crypto::domain::{Tag, frame};
use fairveil_crypto::envelope::{
    Header, Payer, PayerSecret, SealedBundle, SizeClass, UnsignedBundle, domain_separator,
    domain_type_hash, signing_hash, struct_type_hash,
};
use fairveil_crypto::hint::{self, HintError, HintRandomness, WeightedSums};
use fairveil_crypto::lagrange::{DELTA, coefficients};
use fairveil_crypto::opening::{Batch, Opening, OpeningFailure, Outcome, Reception};
use fairveil_crypto::point::{Point, PointBytes, PointError};
use fairveil_crypto::scalar::{Scalar, ScalarError};
use fairveil_crypto::seal::{Ciphertext, Rho, SealRandomness, VerifiedCiphertext, seal};
use fairveil_crypto::share::{ShareChallenge, ShareResponse, SignedShare};
use fairveil_crypto::{
    BatchId, BlockDigest, BundleId, ConsensusPublicKey, ConsensusSecret, Epoch, Height, KeyId,
    NetworkId, SequencerIndex, Signature, certificate, trace,
};
use fairveil_tests::vectors::{
    Vectors, array, bytes, integer, items, require_copy_is_current, string,
};
use rayon::ThreadPool;
use serde_json::Value;

const FILE: &str = "sealing";

macro_rules! sections {
    ($($section:ident,)*) => {
        const SECTIONS: &[&str] = &[$(stringify!($section),)*];

        mod vectors {
            $(#[test]
            fn $section() {
                super::$section(&super::Vectors::load(super::FILE));
            })*
        }
    };
}

sections! {
    primitives,
    committees,
    resharing,
    seal_section,
    shares,
    hints,
    reject_ciphertext,
    bad_shares,
    malformed,
    envelope,
    edge_accept,
}

#[test]
fn vectors_have_exactly_the_sections_that_are_read() {
    let names: Vec<&str> =
        SECTIONS.iter().map(|name| name.strip_suffix("_section").unwrap_or(name)).collect();
    Vectors::load(FILE).require_exactly(&names);
}

#[test]
fn vectors_are_a_current_copy() {
    require_copy_is_current(FILE);
}

/// One committee of the file with all of its secrets.
struct Fixture {
    committee: Committee,
    key_shares: Vec<KeyShare>,
    secrets: Vec<ConsensusSecret>,
}

fn fixtures(vectors: &Vectors) -> BTreeMap<String, Fixture> {
    let fixture = |case: &Value| (string(&case["name"]).to_owned(), fixture(case));
    vectors.cases("committees").iter().map(fixture).collect()
}

fn fixture(case: &Value) -> Fixture {
    let n = u16::try_from(integer(&case["n"])).unwrap();
    let key_shares: Vec<KeyShare> = SequencerIndex::all(n)
        .zip(items(&case["shares"]))
        .map(|(index, share)| KeyShare::decode(index, &bytes(share)).unwrap())
        .collect();
    let seeds = case.get("consensus_seeds").map(|seeds| items(seeds).iter().map(array).collect());
    let seeds: Vec<[u8; 32]> = seeds.unwrap_or_else(|| (1..=n as u8).map(|i| [i; 32]).collect());
    let secrets: Vec<ConsensusSecret> = seeds.into_iter().map(ConsensusSecret::from_seed).collect();
    let committee = Committee::with_threshold(
        Epoch::new(1),
        u16::try_from(integer(&case["t"])).unwrap(),
        CommitteeKey::decode(&bytes(&case["P"])).unwrap(),
        items(&case["vks"]).iter().map(|vk| PublicKeyShare::decode(&bytes(vk)).unwrap()).collect(),
        secrets.iter().map(ConsensusSecret::public_key).collect(),
    )
    .unwrap();
    Fixture { committee, key_shares, secrets }
}

fn pool() -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn index(value: &Value) -> SequencerIndex {
    SequencerIndex::new(u16::try_from(integer(value)).unwrap()).unwrap()
}

fn indices(value: &Value) -> Vec<SequencerIndex> {
    items(value).iter().map(index).collect()
}

fn rho(value: &Value) -> Rho {
    Rho::from_bytes(array(value))
}

fn point_bytes(value: &Value) -> PointBytes {
    PointBytes::from_bytes(array(value))
}

fn all_points(value: &Value) -> Vec<PointBytes> {
    items(value).iter().map(point_bytes).collect()
}

fn verified(key: &CommitteeKey, case: &Value) -> VerifiedCiphertext {
    let ciphertext = Ciphertext::decode(&bytes(&case["ciphertext"])).unwrap();
    ciphertext.verify(key, &bytes(&case["ad"])).unwrap()
}

fn header(fields: &Value) -> Header {
    Header {
        network_id: NetworkId::from_bytes(array(&fields["network_id"])),
        key_id: KeyId::from_bytes(array(&fields["key_id"])),
        class: SizeClass::new(integer(&fields["class"])).unwrap(),
        valid_from: Height::new(integer(&fields["valid_from"])),
        expires_at: Height::new(integer(&fields["expires_at"])),
        payer: Payer::from_bytes(array(&fields["payer"])),
        payer_nonce: integer(&fields["payer_nonce"]),
    }
}

fn slices(values: &[Vec<u8>]) -> Vec<&[u8]> {
    values.iter().map(Vec::as_slice).collect()
}

fn primitives(vectors: &Vectors) {
    let section = vectors.section("primitives");
    let known = [
        "r",
        "p",
        "generator",
        "gbar",
        "gbar_xy",
        "tags",
        "delta",
        "eip712",
        "frame",
        "Hs",
        "share_nonce",
        "points",
        "scalars",
    ];
    let found: BTreeSet<&str> = section.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(known));

    let order: [u8; 32] = array(&section["r"]);
    assert_eq!(Scalar::decode(&order), Err(ScalarError::Range));
    let mut modulus: [u8; 48] = array(&section["p"]);
    modulus[0] |= 0x80;
    assert_eq!(Point::decode(&modulus), Err(PointError::NotCanonical));
    assert_eq!(Point::generator().encode(), point_bytes(&section["generator"]));
    assert_eq!(Point::second_generator().encode(), point_bytes(&section["gbar"]));
    assert_eq!(Point::second_generator().coordinates()[..], bytes(&section["gbar_xy"]));
    assert_eq!(
        DELTA,
        section["delta"]
            .as_str()
            .map_or_else(|| integer(&section["delta"]), |text| text.parse().unwrap(),)
    );
    let tags: BTreeSet<&str> = Tag::ALL.iter().map(|tag| tag.as_str()).collect();
    items(&section["tags"]).iter().for_each(|tag| assert!(tags.contains(string(tag)), "{tag}"));
    typed_data(&section["eip712"]);
    hashes(section);
    encodings(section);
}

fn typed_data(section: &Value) {
    assert_eq!(section["domain_type"], "EIP712Domain(string name,string version)");
    assert_eq!(section["struct_type"], "SealedBundle(bytes32 id)");
    assert_eq!(domain_type_hash(), array(&section["domain_type_hash"]));
    assert_eq!(domain_separator(), array(&section["domain_separator"]));
    assert_eq!(struct_type_hash(), array(&section["struct_type_hash"]));
}

fn hashes(section: &Value) {
    let inputs = |case: &Value| items(&case["items"]).iter().map(bytes).collect::<Vec<_>>();
    for case in items(&section["frame"]) {
        let inputs = inputs(case);
        assert_eq!(frame(&slices(&inputs)), bytes(&case["frame"]));
        assert_eq!(trace::frame_hash(&slices(&inputs)), array(&case["H"]));
    }
    for case in items(&section["Hs"]) {
        let (inputs, tag) = (inputs(case), string(&case["tag"]));
        assert_eq!(frame(&slices(&inputs)), bytes(&case["msg"]));
        let (uniform, scalar) = trace::hash_to_scalar(tag.as_bytes(), &slices(&inputs));
        assert_eq!(uniform[..], bytes(&case["uniform_bytes"]));
        assert_eq!(scalar, array(&case["scalar"]));
        if let Some(tag) = Tag::ALL.iter().find(|known| known.as_str() == tag) {
            assert_eq!(Scalar::hash(*tag, &slices(&inputs)).encode(), scalar);
        }
    }
    for case in items(&section["share_nonce"]) {
        let (secret, fresh): ([u8; 32], [u8; 32]) = (array(&case["s"]), array(&case["fresh"]));
        let batch = BatchId::from_bytes(array(&case["batch"]));
        assert_eq!(frame(&[&secret, batch.as_bytes(), &fresh]), bytes(&case["msg"]));
        assert_eq!(trace::proof_nonce(&secret, &batch, &fresh), array(&case["w"]));
    }
}

fn encodings(section: &Value) {
    for case in items(&section["points"]) {
        let encoding = bytes(&case["bytes"]);
        let verdict = match Point::decode(&encoding) {
            Ok(point) => {
                assert_eq!(point.encode().as_bytes()[..], encoding);
                "accept"
            }
            Err(PointError::Length { .. }) => "point-length",
            Err(PointError::Flags) => "point-flags",
            Err(PointError::Infinity) => "point-infinity",
            Err(PointError::NotCanonical) => "point-noncanonical",
            Err(PointError::NotOnCurve) => "point-not-on-curve",
            Err(PointError::Subgroup) => "point-subgroup",
        };
        assert_eq!(verdict, case["verdict"], "{}", case["what"]);
    }
    for case in items(&section["scalars"]) {
        let encoding = bytes(&case["bytes"]);
        let verdict = match Scalar::decode(&encoding) {
            Ok(scalar) => {
                assert_eq!(scalar.encode()[..], encoding);
                "accept"
            }
            Err(ScalarError::Length { .. }) => "scalar-length",
            Err(ScalarError::Range) => "scalar-range",
        };
        assert_eq!(verdict, case["verdict"], "{}", case["what"]);
    }
}

fn committees(vectors: &Vectors) {
    let order: [u8; 32] = array(&vectors.section("primitives")["r"]);
    for case in vectors.cases("committees") {
        polynomial(case);
        let fixture = fixture(case);
        for (secret, key) in fixture.secrets.iter().zip(items(&case["consensus_keys"])) {
            assert_eq!(secret.public_key(), ConsensusPublicKey::from_bytes(array(key)));
        }
        for quorum in items(&case["quorums"]) {
            let found = coefficients(&indices(&quorum["indices"])).unwrap();
            let (integers, scalars) = (quorum.get("delta_lambda"), quorum.get("lambda"));
            assert!(integers.is_some() || scalars.is_some());
            for (coefficient, expected) in found.iter().zip(integers.map(items).unwrap_or_default())
            {
                let expected: i64 = string(expected).parse().unwrap();
                let magnitude = Scalar::from_u128(expected.unsigned_abs().into());
                let expected = if expected < 0 { minus(&magnitude, order) } else { magnitude };
                assert_eq!(coefficient.to_scalar(), expected);
            }
            for (coefficient, expected) in found.iter().zip(scalars.map(items).unwrap_or_default())
            {
                assert_eq!(coefficient.to_scalar().encode()[..], bytes(expected));
            }
            let count = integers.or(scalars).map(items).unwrap_or_default().len();
            assert_eq!(found.len(), count);
        }
    }
}

/// `-scalar`, by subtracting its bytes from r.
fn minus(scalar: &Scalar, mut order: [u8; 32]) -> Scalar {
    let mut borrow = 0;
    for (digit, subtrahend) in order.iter_mut().zip(scalar.encode()).rev() {
        let difference = i16::from(*digit) - i16::from(subtrahend) - borrow;
        borrow = i16::from(difference < 0);
        *digit = (difference & 0xff) as u8;
    }
    Scalar::decode(&order).unwrap()
}

fn polynomial(case: &Value) {
    let coefficients: Vec<Vec<u8>> = items(&case["coefficients"]).iter().map(bytes).collect();
    let polynomial = Polynomial::decode(&coefficients).unwrap();
    let n = u16::try_from(integer(&case["n"])).unwrap();
    assert_eq!(coefficients.len() as u64, integer(&case["t"]));
    assert_eq!(polynomial.secret_key(), array(&case["sk"]));
    let key = polynomial.committee_key();
    assert_eq!(key.point().encode(), point_bytes(&case["P"]));
    assert_eq!(key.key_id(), KeyId::from_bytes(array(&case["key_id"])));
    assert_eq!(items(&case["shares"]).len(), usize::from(n));
    let members = SequencerIndex::all(n).zip(items(&case["shares"])).zip(items(&case["vks"]));
    for ((index, share), public) in members {
        assert_eq!(polynomial.value(index)[..], bytes(share));
        let public_key_share = polynomial.key_share(index).public_key_share();
        assert_eq!(public_key_share.encode(), point_bytes(public));
    }
}

fn resharing(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for case in vectors.cases("resharing") {
        polynomial(case);
        let (old, new) = (&fixtures[string(&case["from"])], fixture(case));
        assert_eq!(old.committee.key_id(), new.committee.key_id());
        let ciphertext = verified(old.committee.key(), case);
        let quorum = indices(&case["indices"]);
        let products: Vec<PointBytes> = quorum
            .iter()
            .map(|index| {
                let secret = new.key_shares[index.position()].expose_encoding();
                trace::multiple(ciphertext.u(), &secret[..]).unwrap()
            })
            .collect();
        assert_eq!(products, all_points(&case["D"]));
        assert_eq!(trace::combine(&quorum, &products), point_bytes(&case["K"]));
        let outcome = open_alone(&new, ciphertext, &quorum);
        assert!(matches!(outcome, Outcome::Opened(opened) if opened.rho == rho(&case["rho"])));
    }
}

/// Opens one ciphertext with the shares of a quorum.
fn open_alone(
    fixture: &Fixture,
    ciphertext: VerifiedCiphertext,
    quorum: &[SequencerIndex],
) -> Outcome {
    let batch = BatchId::from_bytes([7; 32]);
    let sealed = [*ciphertext.u()];
    let mut opening = Opening::new(
        fixture.committee.clone(),
        Batch::new(batch, vec![ciphertext]),
        BTreeSet::new(),
    );
    for index in quorum {
        assert!(!opening.is_complete());
        let (key_share, secret) =
            (&fixture.key_shares[index.position()], &fixture.secrets[index.position()]);
        let (share, _) = trace::share(batch, &sealed, key_share, &[9; 32], secret).unwrap();
        assert_eq!(opening.add_share(share, &pool()), Reception::Kept);
    }
    assert!(opening.culprits().is_empty());
    opening.into_outcomes().unwrap().remove(0)
}

fn seal_section(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for case in vectors.cases("seal") {
        let key = fixtures[string(&case["committee"])].committee.key();
        let (ad, m) = (bytes(&case["ad"]), bytes(&case["m"]));
        let header = header(&case["header_fields"]);
        assert_eq!(header.encode(), ad);
        assert_eq!(header.class.plaintext_bytes(), m.len());
        let a: [u8; 32] = array(&case["a"]);
        let trace = trace::seal(key, &ad, &rho(&case["rho"]));
        assert_eq!(trace.k, array(&case["k"]));
        assert_eq!(trace.pad, point_bytes(&case["K"]));
        assert_eq!(trace.key, array(&case["key"]));
        assert_eq!(trace.aad, bytes(&case["aad"]));
        let commitment = |point: Point| trace::multiple(&point, &a).unwrap();
        assert_eq!(commitment(Point::generator()), point_bytes(&case["W"]));
        assert_eq!(commitment(Point::second_generator()), point_bytes(&case["Wbar"]));

        let randomness = SealRandomness::from_parts(array(&case["rho"]), &a).unwrap();
        let ciphertext = seal(key, &ad, &m, randomness).unwrap();
        let parts = ["U", "Ubar", "e", "z", "body"].map(|part| bytes(&case[part])).concat();
        assert_eq!(ciphertext.as_bytes(), parts);
        assert_eq!(ciphertext.as_bytes(), bytes(&case["ciphertext"]));
        let verified = ciphertext.verify(key, &ad).unwrap();
        assert_eq!(hint::open(key, &verified, &rho(&case["rho"])).unwrap().m, m);
    }
}

fn shares(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for case in vectors.cases("shares") {
        let fixture = &fixtures[string(&case["committee"])];
        let ids: Vec<BundleId> =
            items(&case["ids"]).iter().map(|id| BundleId::from_bytes(array(id))).collect();
        let batch = certificate::batch_id(
            &NetworkId::from_bytes(array(&case["network_id"])),
            Height::new(integer(&case["height"])),
            &BlockDigest::from_bytes(array(&case["block_digest"])),
            &ids,
        );
        assert_eq!(batch, BatchId::from_bytes(array(&case["batch"])));
        let ciphertexts: Vec<VerifiedCiphertext> = items(&case["ciphertexts"])
            .iter()
            .map(|ciphertext| verified(fixture.committee.key(), ciphertext))
            .collect();
        assert_eq!(ciphertexts.len(), ids.len());
        let sealed: Vec<Point> = ciphertexts.iter().map(|ciphertext| *ciphertext.u()).collect();
        let made: BTreeMap<SequencerIndex, SignedShare> = items(&case["sequencers"])
            .iter()
            .map(|expected| (index(&expected["i"]), share(fixture, batch, &sealed, expected)))
            .collect();
        for quorum in items(&case["quorums"]) {
            combine(fixture, batch, &ciphertexts, &made, quorum, &case["opened"]);
        }
    }
}

fn share(fixture: &Fixture, batch: BatchId, sealed: &[Point], expected: &Value) -> SignedShare {
    let index = index(&expected["i"]);
    let key_share = &fixture.key_shares[index.position()];
    let secret = &fixture.secrets[index.position()];
    let w = bytes(&expected["w"]);
    let (share, trace) = trace::share(batch, sealed, key_share, &w, secret).unwrap();
    assert_eq!(share.points, all_points(&expected["D"]));
    assert_eq!(trace.seed.to_bytes(), array(&expected["seed"]));
    let weights: Vec<u128> = items(&expected["weights"])
        .iter()
        .map(|weight| u128::from_be_bytes(array(weight)))
        .collect();
    assert_eq!(trace.weights, weights);
    assert_eq!(trace.base, point_bytes(&expected["A"]));
    assert_eq!(trace.product, point_bytes(&expected["C"]));
    assert_eq!(trace.commitments[0], point_bytes(&expected["wG"]));
    assert_eq!(trace.commitments[1], point_bytes(&expected["wA"]));
    assert_eq!(share.challenge, ShareChallenge::from_bytes(array(&expected["e_s"])));
    assert_eq!(share.response, ShareResponse::from_bytes(array(&expected["z_s"])));
    assert_eq!(share.message().to_bytes(), array(&expected["message"]));
    assert_eq!(share.signature, Signature::from_bytes(array(&expected["signature"])));
    share.verify_signature(&fixture.committee, &batch).unwrap();
    share.verify_proof(&key_share.public_key_share(), sealed).unwrap();
    share
}

fn combine(
    fixture: &Fixture,
    batch: BatchId,
    ciphertexts: &[VerifiedCiphertext],
    made: &BTreeMap<SequencerIndex, SignedShare>,
    quorum: &Value,
    expected: &Value,
) {
    let members = indices(&quorum["indices"]);
    for (position, pad) in items(&quorum["K"]).iter().enumerate() {
        let points: Vec<PointBytes> =
            members.iter().map(|index| made[index].points[position]).collect();
        assert_eq!(trace::combine(&members, &points), point_bytes(pad));
    }
    let batch = Batch::new(batch, ciphertexts.to_vec());
    let mut opening = Opening::new(fixture.committee.clone(), batch, BTreeSet::new());
    for index in &members {
        assert_eq!(opening.add_share(made[index].clone(), &pool()), Reception::Kept);
    }
    assert_eq!(opening.used(), members);
    assert_outcomes(&opening.into_outcomes().unwrap(), expected, "shares");
}

fn assert_outcomes(outcomes: &[Outcome], expected: &Value, what: &str) {
    assert_eq!(outcomes.len(), items(expected).len(), "{what}");
    for (outcome, expected) in outcomes.iter().zip(items(expected)) {
        match outcome {
            Outcome::Opened(opened) => {
                assert_eq!(opened.rho, rho(&expected["rho"]), "{what}");
                assert_eq!(opened.m, bytes(&expected["m"]), "{what}");
            }
            Outcome::Failed(failure) => {
                assert_eq!(failure.to_string(), string(&expected["failed"]), "{what}");
            }
        }
    }
}

fn hints(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for group in vectors.cases("hints") {
        let key = fixtures[string(&group["committee"])].committee.key();
        let ciphertexts: Vec<VerifiedCiphertext> =
            items(&group["ciphertexts"]).iter().map(|case| verified(key, case)).collect();
        for case in items(&group["cases"]) {
            let what = string(&case["what"]);
            let hints: Vec<(&VerifiedCiphertext, Rho)> =
                ciphertexts.iter().zip(items(&case["rho"]).iter().map(rho)).collect();
            for ((_, rho), k) in hints.iter().zip(items(&case["k"])) {
                assert_eq!(trace::seal(key, &[], rho).k[..], bytes(k), "{what}");
            }
            let theta: Vec<u128> = items(&case["theta"])
                .iter()
                .map(|theta| u128::from_be_bytes(array(theta)))
                .collect();
            let sums = WeightedSums::new(&hints, &theta);
            assert_eq!(sums.points(), point_bytes(&case["sum_theta_U"]), "{what}");
            assert_eq!(sums.scalar().encode()[..], bytes(&case["sum_theta_k"]), "{what}");
            assert_eq!(sums.agree(), case["batch_check"], "{what}");
            let verdicts = hint::open_many(key, &hints, HintRandomness::new([5; 32]), &pool());
            for (((ciphertext, rho), verdict), expected) in
                hints.iter().zip(&verdicts).zip(items(&case["each"]))
            {
                assert_eq!(verdict.is_ok(), expected == "accept", "{what}");
                assert_eq!(*verdict, hint::open(key, ciphertext, rho), "{what}");
            }
            assert_eq!(verdicts.len(), items(&case["each"]).len());
        }
    }
}

fn reject_ciphertext(vectors: &Vectors) {
    for case in vectors.cases("reject_ciphertext") {
        let key = CommitteeKey::decode(&bytes(&case["P"])).unwrap();
        let verdict = Ciphertext::decode(&bytes(&case["ciphertext"]))
            .and_then(|ciphertext| ciphertext.verify(&key, &bytes(&case["ad"])));
        assert!(verdict.is_err(), "{}", case["what"]);
    }
}

/// The share of a case; none if its bytes are not even those of a share, as where the index is 0
/// or the signature has another length: nobody can have sent it.
fn sent_share(case: &Value) -> Option<SignedShare> {
    let signature: [u8; 64] = bytes(&case["signature"]).try_into().ok()?;
    Some(SignedShare {
        index: SequencerIndex::new(u16::try_from(integer(&case["i"])).ok()?)?,
        batch: BatchId::from_bytes(array(&case["batch"])),
        points: all_points(&case["D"]),
        challenge: ShareChallenge::from_bytes(array(&case["e_s"])),
        response: ShareResponse::from_bytes(array(&case["z_s"])),
        signature: Signature::from_bytes(signature),
    })
}

fn bad_shares(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    let pool = pool();
    for case in vectors.cases("bad_shares") {
        let what = string(&case["what"]);
        let committee = &fixtures[string(&case["committee"])].committee;
        let ciphertexts: Vec<VerifiedCiphertext> = items(&case["ciphertexts"])
            .iter()
            .map(|ciphertext| verified(committee.key(), ciphertext))
            .collect();
        let sealed: Vec<Point> = ciphertexts.iter().map(|ciphertext| *ciphertext.u()).collect();
        let batch = Batch::new(BatchId::from_bytes(array(&case["batch"])), ciphertexts);
        let sent: Vec<Option<SignedShare>> =
            items(&case["shares"]).iter().map(sent_share).collect();
        for (share, verdict) in sent.iter().zip(items(&case["share_verdicts"])) {
            let right = share.as_ref().is_some_and(|share| {
                let public = committee.public_key_share(share.index);
                share.verify_signature(committee, &batch.id()).is_ok()
                    && share.verify_proof(&public.unwrap(), &sealed).is_ok()
            });
            assert_eq!(right, verdict == "accept", "{what}");
        }
        let opening = open_in_order(committee, &batch, sent.iter().flatten(), &pool);
        let expected = &case["expected"];
        assert!(
            agrees(&opening, expected) || expected.get("or").is_some_and(|or| agrees(&opening, or)),
            "{what}: culprits {:?}, used {:?}",
            culprits(&opening),
            opening.used(),
        );
        assert_eq!(opening.is_complete(), !expected["results"].is_null(), "{what}");
        for culprit in opening.culprits() {
            let public = committee.public_key_share(culprit.share.index).unwrap();
            let verdict = culprit.share.verify_proof(&public, &sealed);
            assert_eq!(verdict, Err(culprit.fault), "{what}: evidence convicts");
        }
        if let Some(outcomes) = opening.into_outcomes() {
            assert_outcomes(&outcomes, &expected["results"], what);
            other_orders(committee, &batch, &sent, &outcomes, &pool, what);
        }
    }
}

fn open_in_order<'a>(
    committee: &Committee,
    batch: &Batch,
    shares: impl Iterator<Item = &'a SignedShare>,
    pool: &ThreadPool,
) -> Opening {
    let mut opening = Opening::new(committee.clone(), batch.clone(), BTreeSet::new());
    for share in shares {
        let _ = opening.add_share(share.clone(), pool);
    }
    opening
}

/// Whatever the order of arrival and whoever is suspected, the outcomes are the same.
fn other_orders(
    committee: &Committee,
    batch: &Batch,
    sent: &[Option<SignedShare>],
    outcomes: &[Outcome],
    pool: &ThreadPool,
    what: &str,
) {
    let shares: Vec<&SignedShare> = sent.iter().flatten().collect();
    for rotation in 0..shares.len().min(5) {
        let mut order = shares.clone();
        order.rotate_left(rotation);
        for _ in 0..2 {
            order.reverse();
            let opening = open_in_order(committee, batch, order.iter().copied(), pool);
            if let Some(found) = opening.into_outcomes() {
                assert_eq!(found, outcomes, "{what}, rotated by {rotation}");
            }
        }
    }
    let suspects: BTreeSet<SequencerIndex> = committee.indices().collect();
    let mut opening = Opening::new(committee.clone(), batch.clone(), suspects);
    for share in shares {
        let _ = opening.add_share(share.clone(), pool);
    }
    if let Some(found) = opening.into_outcomes() {
        assert_eq!(found, outcomes, "{what}, everybody suspected");
    }
}

fn culprits(opening: &Opening) -> BTreeSet<SequencerIndex> {
    opening.culprits().iter().map(|culprit| culprit.share.index).collect()
}

fn agrees(opening: &Opening, expected: &Value) -> bool {
    let expected_culprits: BTreeSet<SequencerIndex> =
        indices(&expected["culprits"]).into_iter().collect();
    let set = |used: Vec<SequencerIndex>| used.into_iter().collect::<BTreeSet<_>>();
    culprits(opening) == expected_culprits
        && opening.culprits().len() == expected_culprits.len()
        && set(opening.used()) == set(indices(&expected["used"]))
}

fn malformed(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for case in vectors.cases("malformed") {
        let what = string(&case["what"]);
        let fixture = &fixtures[string(&case["committee"])];
        let key = fixture.committee.key();
        let ciphertext = verified(key, case);
        let quorum: Vec<SequencerIndex> =
            fixture.committee.indices().rev().take(fixture.committee.t().into()).collect();
        let products: Vec<PointBytes> = quorum
            .iter()
            .map(|index| {
                let secret = fixture.key_shares[index.position()].expose_encoding();
                trace::multiple(ciphertext.u(), &secret[..]).unwrap()
            })
            .collect();
        assert_eq!(trace::combine(&quorum, &products), point_bytes(&case["K"]), "{what}");
        let reason = string(&case["failed"]);
        match open_alone(fixture, ciphertext.clone(), &quorum) {
            Outcome::Failed(failure) => assert_eq!(failure.to_string(), reason, "{what}"),
            Outcome::Opened(opened) => {
                // What is wrong with the plaintext is judged by whoever parses it.
                assert!(["length", "padding", "encoding", "legs"].contains(&reason), "{what}");
                assert_eq!(opened.rho, rho(&case["rho"]), "{what}");
                assert_eq!(hint::open(key, &ciphertext, &opened.rho), Ok(opened), "{what}");
            }
        }
        if let Some(trader_rho) = case.get("trader_rho") {
            let verdict = hint::open(key, &ciphertext, &rho(trader_rho)).unwrap_err();
            let proves = verdict == HintError::ProvesAead;
            assert_eq!(proves, case["proves_aead_failure"], "{what}");
            assert!(!proves || reason == OpeningFailure::Aead.to_string(), "{what}");
        }
    }
}

fn envelope(vectors: &Vectors) {
    let section = vectors.section("envelope");
    let fixtures = fixtures(vectors);
    assert!(!items(&section["valid"]).is_empty() && !items(&section["reject"]).is_empty());
    for case in items(&section["valid"]) {
        valid_envelope(&fixtures[string(&case["committee"])], case);
    }
    for case in items(&section["reject"]) {
        let (what, reason) = (string(&case["what"]), string(&case["reason"]));
        let decoded = SealedBundle::decode(&bytes(&case["sealed"]));
        let error = match (string(&case["stage"]), decoded) {
            ("decode", decoded) => decoded.expect_err(what),
            (stage, decoded) => {
                assert_eq!(stage, "admission", "{what}");
                let network_id = NetworkId::from_bytes(array(&case["network_id"]));
                let key = fixtures[string(&case["committee"])].committee.key();
                decoded.expect(what).verify(&network_id, key).expect_err(what)
            }
        };
        if let Some(code) = rejection_code(reason) {
            assert_eq!(error.code(), code, "{what}: {error}");
        }
    }
}

/// The rejection code of a reason in the file, which names some more finely.
fn rejection_code(reason: &str) -> Option<&str> {
    match reason {
        "version" | "rlp" | "field" | "class" | "length" | "window" | "signature" | "network"
        | "key" | "proof" => Some(reason),
        "rlp-trailing" => Some("rlp"),
        "payer" => Some("signature"),
        _ if reason.starts_with("point-") || reason.starts_with("scalar-") => Some("proof"),
        _ => None,
    }
}

fn valid_envelope(fixture: &Fixture, case: &Value) {
    let note = string(&case["note"]);
    let (header, key) = (header(&case["header_fields"]), fixture.committee.key());
    let sealed = bytes(&case["sealed"]);
    let bundle = SealedBundle::decode(&sealed).expect(note);
    assert_eq!(bundle.encode(), sealed, "{note}");
    assert_eq!(*bundle.header(), header, "{note}");
    assert_eq!(header.encode(), bytes(&case["header"]), "{note}");
    let id = BundleId::from_bytes(array(&case["id"]));
    assert_eq!(bundle.id(), id, "{note}");
    assert_eq!(signing_hash(&id), array(&case["signing_hash"]), "{note}");
    assert_eq!(bundle.signature().as_bytes()[..], bytes(&case["signature"]), "{note}");
    let verified = bundle.verify(&header.network_id, key).expect(note);
    assert_eq!(verified.id(), id, "{note}");

    let plain = bytes(&case["bundle_rlp"]);
    let mut m = u32::try_from(plain.len()).unwrap().to_be_bytes().to_vec();
    m.extend_from_slice(&plain);
    m.resize(header.class.plaintext_bytes(), 0);
    let secret = PayerSecret::from_bytes(array(&case["payer_secret"])).unwrap();
    assert_eq!(secret.payer(), Payer::from_bytes(array(&case["payer"])), "{note}");
    let randomness = SealRandomness::from_parts(array(&case["rho"]), &array(&case["a"])).unwrap();
    let ciphertext = seal(key, &header.encode(), &m, randomness).unwrap();
    let made = UnsignedBundle::new(header, ciphertext).unwrap().sign(&secret).unwrap();
    assert_eq!(made.encode(), sealed, "{note}");
    let opened = hint::open(key, verified.ciphertext(), &rho(&case["rho"])).unwrap();
    assert_eq!(opened.m, m, "{note}");
}

fn edge_accept(vectors: &Vectors) {
    let fixtures = fixtures(vectors);
    for case in vectors.cases("edge_accept") {
        let what = string(&case["what"]);
        assert_eq!(case["literal_reading"], "accept", "{what}");
        let committee = &fixtures[string(&case["committee"])].committee;
        match string(&case["kind"]) {
            "ciphertext" => drop(verified(committee.key(), case)),
            "share" => {
                let share = sent_share(&case["share"]).unwrap();
                let sealed: Vec<Point> =
                    items(&case["U"]).iter().map(|u| Point::decode(&bytes(u)).unwrap()).collect();
                share.verify_signature(committee, &share.batch).expect(what);
                let public = committee.public_key_share(share.index).unwrap();
                share.verify_proof(&public, &sealed).expect(what);
            }
            kind => panic!("{what}: unknown kind {kind}"),
        }
    }
}
