//! What the network ordered, opened and released, and what its one liar signed.

use std::sync::LazyLock;

use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{Emission, Emitted, FinalOrder, OrderCertificate, Placement};
use fairveil_crypto::domain::Tag;
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::envelope::VerifiedBundle;
use fairveil_crypto::share::{PreparedShares, ShareEvidence, ShareFreshness, SignedShare};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, SequencerIndex};
use fairveil_mempool::receipt::{BrokenReceipt, ConflictingReceipts};
use fairveil_mempool::{Bundle, Place};
use fairveil_ordering::{Equivocation, LogHead, LogName, OrderLog};
use fairveil_release::certificate::{ListedRelease, ReleaseCertificate};
use fairveil_release::chain::{Judged, JudgedOrder};
use fairveil_release::document::{BatchDocument, BundleDocument, DocumentLeg};
use fairveil_release::evidence::{Evidence, PrematureShare};
use fairveil_release::opener::{FinalBatch, OwnShare};
use fairveil_release::proof::{BatchProof, BundleProof};
use fairveil_release::release::Release;
use fairveil_release::tree::Tree;
use fairveil_release::validity::valid_bundles;

use super::world::{CULPRIT, EPOCH, POOL, WORLD, bundle, index, leg};

/// Two heights: released, failed and expired ones, then a released one.
pub(crate) static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

/// Which of the bundles each height emits.
const HEIGHTS: [&[usize]; 2] = [&[0, 1, 2, 3], &[4]];
/// The bundle whose window had closed.
const EXPIRED: usize = 2;

/// What the network made of five bundles.
pub(crate) struct Scene {
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) sealed: Vec<VerifiedBundle>,
    pub(crate) certificates: Vec<OrderCertificate>,
    pub(crate) orders: Vec<FinalOrder>,
    pub(crate) releases: Vec<(Release, Tree)>,
    pub(crate) release_certificate: ReleaseCertificate,
}

impl Scene {
    fn new() -> Self {
        let mut foreign = leg(902, &[0]);
        foreign.chain_id = 903;
        let bundles = vec![
            bundle(vec![leg(901, &[0]), leg(902, &[0, 1])]),
            bundle(vec![foreign]),
            bundle(vec![leg(903, &[5])]),
            bundle(vec![leg(901, &[1])]),
            bundle(vec![leg(902, &[2]), leg(903, &[0])]),
        ];
        let seal = |(nonce, bundle)| WORLD.seal(5, nonce, [1, 500], bundle);
        let sealed: Vec<_> = (0..).zip(&bundles).map(seal).collect();
        let certificates: Vec<_> =
            (1..).zip(HEIGHTS).map(|(height, places)| order(height, places, &sealed)).collect();
        let final_order = |certificate: &OrderCertificate| {
            certificate.verify(&WORLD.network_id(), &WORLD.dealt.committee).expect("certified")
        };
        let orders: Vec<_> = certificates.iter().map(final_order).collect();
        let releases = releases(&bundles, &sealed, &orders);
        let release_certificate = release_certificate(&releases);
        Self { bundles, sealed, certificates, orders, releases, release_certificate }
    }

    /// The sealed bundles that the order of a height opens.
    pub(crate) fn opened_by(&self, place: usize) -> Vec<VerifiedBundle> {
        let opens = |at: &&usize| **at != EXPIRED;
        HEIGHTS[place].iter().filter(opens).map(|at| self.sealed[*at].clone()).collect()
    }

    /// A final order with its bundles.
    pub(crate) fn batch(&self, place: usize) -> FinalBatch {
        FinalBatch::new(self.orders[place].clone(), self.opened_by(place)).expect("its bundles")
    }

    /// A member's share of a final order.
    pub(crate) fn own_share(&self, place: usize, member: SequencerIndex) -> OwnShare {
        own_share(&self.orders[place], &self.opened_by(place), member)
    }

    /// The document of a bundle.
    pub(crate) fn document(&self, number: usize) -> BundleDocument {
        let place = usize::from(number >= HEIGHTS[0].len());
        let (release, tree) = &self.releases[place];
        let at = number - place * HEIGHTS[0].len();
        let proof = BundleProof::new(tree, at as u32).expect("a leaf");
        let legs = proof.leaf.outcome.legs().iter().map(|leg| {
            let batch = release.batch(leg.chain_id).expect("a registered rollup");
            let (_, transactions) = batch.leg(&proof.leaf.id).expect("a released bundle");
            let transactions = transactions.to_vec();
            DocumentLeg { chain_id: leg.chain_id, transactions }
        });
        BundleDocument {
            release: release.header,
            certificate: self.release_certificate.clone(),
            legs: legs.collect(),
            proof,
            order: Some(self.certificates[place].clone()),
        }
    }

    /// The batch of a rollup in one release.
    pub(crate) fn batch_document(&self, place: usize, chain_id: u64) -> BatchDocument {
        let (release, tree) = &self.releases[place];
        BatchDocument {
            skipped: Vec::new(),
            release: release.header,
            certificate: self.release_certificate.clone(),
            proof: BatchProof::new(tree, chain_id).expect("a registered rollup"),
            batch: release.batch(chain_id).expect("a registered rollup").clone(),
        }
    }
}

/// An order that its child's finalization certifies.
fn order(height: u64, places: &[usize], sealed: &[VerifiedBundle]) -> OrderCertificate {
    let placement = |place| if place == EXPIRED { Placement::Expired } else { Placement::Open };
    let emitted = |at: &usize| Emitted { id: sealed[*at].id(), placement: placement(*at) };
    let emission = Emission {
        height: Height::new(height),
        cohorts: places.iter().map(|at| vec![emitted(at)]).collect(),
    };
    certify(emission, BlockDigest::from_bytes([6; 32]))
}

fn certify(emission: Emission, parent: BlockDigest) -> OrderCertificate {
    let (state, height) = (Digest::from_bytes([4; 32]), emission.height.get());
    let mut block = WORLD.header(height, parent);
    block.result_root = fairveil_crypto::certificate::result_root(&emission, &state);
    let child = WORLD.header(height + 1, block.digest());
    WORLD.dealt.certify(vec![child, block], emission, state)
}

fn releases(
    bundles: &[Bundle],
    sealed: &[VerifiedBundle],
    orders: &[FinalOrder],
) -> Vec<(Release, Tree)> {
    let verdicts = valid_bundles(&POOL, &WORLD.registry, bundles);
    let mut chain = WORLD.chain();
    let cut = |(order, places): (&FinalOrder, &[usize])| {
        let judged = |place: usize| match &verdicts[place] {
            _ if place == EXPIRED => Judged::Expired,
            Ok(valid) => Judged::Valid(valid.clone()),
            Err(failed) => Judged::Failed(*failed),
        };
        let ids = places.iter().map(|at| (sealed[*at].id(), judged(*at))).collect();
        let (height, block, time_ms) = (order.height(), order.block(), order.time_ms());
        let judged = JudgedOrder { height, block, time_ms, ids };
        let released = chain.extend(judged).expect("the next height");
        (released.release, released.tree)
    };
    orders.iter().zip(HEIGHTS).map(cut).collect()
}

fn release_certificate(releases: &[(Release, Tree)]) -> ReleaseCertificate {
    let listed = |(release, _): &(Release, Tree)| ListedRelease {
        height: release.header.height,
        root: release.header.root(),
    };
    let releases: Vec<_> = releases.iter().map(listed).collect();
    let [evidence_digest, system_digest] = [7, 8].map(|byte| Digest::from_bytes([byte; 32]));
    let mut block = WORLD.header(9, BlockDigest::from_bytes([6; 32]));
    let pairs: Vec<_> = releases.iter().map(|listed| (listed.height, listed.root)).collect();
    block.body_digest = body_digest(&evidence_digest, &pairs, &system_digest);
    let child = WORLD.header(10, block.digest());
    let emission = Emission { height: Height::new(9), cohorts: Vec::new() };
    let certified = WORLD.dealt.certify(vec![child, block], emission, Digest::from_bytes([4; 32]));
    let OrderCertificate { finalization, headers, .. } = certified;
    ReleaseCertificate { finalization, headers, evidence_digest, releases, system_digest }
}

fn own_share(order: &FinalOrder, bundles: &[VerifiedBundle], member: SequencerIndex) -> OwnShare {
    let key_share = &WORLD.dealt.key_shares[member.position()];
    let mut prepared = PreparedShares::new(key_share);
    prepared.prepare_many(key_share, bundles, &POOL).expect("there is room");
    let freshness = ShareFreshness::new([member.get() as u8; 32]);
    OwnShare::new(&prepared, order, key_share, WORLD.secret(member), freshness).expect("prepared")
}

/// A share that its signer signs again after it was changed.
pub(crate) fn signed_again(mut share: SignedShare) -> SignedShare {
    let index = share.index.to_be_bytes();
    let mut items: Vec<&[u8]> = vec![&index, share.batch.as_bytes()];
    items.extend(share.points.iter().map(|point| &point.as_bytes()[..]));
    items.extend([&share.challenge.as_bytes()[..], &share.response.as_bytes()[..]]);
    let signature = WORLD.secret(share.index).sign(Tag::ShareMessage, &items);
    share.signature = signature;
    share
}

/// The culprit's share of the first height with two points exchanged.
pub(crate) fn bad_share() -> SignedShare {
    let mut share = SCENE.own_share(0, CULPRIT).share().clone();
    share.points.swap(0, 1);
    signed_again(share)
}

/// A log of a member with these ids.
pub(crate) fn log(sequencer: SequencerIndex, ids: &[u8]) -> OrderLog {
    let mut log =
        OrderLog::new(LogName { network_id: WORLD.network_id(), epoch: EPOCH, sequencer });
    for byte in ids {
        log.append(BundleId::from_bytes([*byte; 32])).expect("each id once");
    }
    log
}

/// A signed head of such a log.
pub(crate) fn head(sequencer: SequencerIndex, ids: &[u8]) -> LogHead {
    log(sequencer, ids).sign(Height::new(3), 1_000, WORLD.secret(sequencer))
}

/// A proof of each kind against the culprit.
pub(crate) fn evidence() -> [Evidence; 5] {
    let bad = ShareEvidence::new(bad_share(), &SCENE.orders[0], &SCENE.opened_by(0));
    let other = certify(SCENE.certificates[0].emission.clone(), BlockDigest::from_bytes([9; 32]));
    let other = other.verify(&WORLD.network_id(), &WORLD.dealt.committee).expect("certified");
    let premature = PrematureShare {
        share: own_share(&other, &SCENE.opened_by(0), CULPRIT).share().clone(),
        height: other.height(),
        block: other.block(),
        ids: other.to_open().to_vec(),
        certificate: SCENE.certificates[0].clone(),
    };
    let forked = Equivocation { one: head(CULPRIT, &[1, 2]), other: head(CULPRIT, &[1, 3]) };
    let id = |byte| BundleId::from_bytes([byte; 32]);
    let receipt = |byte, place| WORLD.receipt(CULPRIT, id(byte), Place::Position(place));
    let broken = BrokenReceipt {
        receipt: receipt(9, 1),
        head: decode(&encode(&head(CULPRIT, &[1, 2, 3])), 1_024).expect("the same layout"),
        before: log(CULPRIT, &[1]).tip().head,
        ids: vec![id(2), id(3)],
    };
    let conflict = ConflictingReceipts::new(receipt(9, 1), receipt(9, 2));
    [
        Evidence::BadShare(bad.expect("the order's bundles")),
        Evidence::PrematureShare(Box::new(premature)),
        Evidence::ForkedLog(forked),
        Evidence::BrokenReceipt(broken),
        Evidence::ConflictingReceipts(conflict.expect("two places of one id")),
    ]
}

/// True statements of an honest member, of which no proof against it can be made.
pub(crate) fn honest_heads() -> Vec<LogHead> {
    [&[][..], &[1], &[1, 2], &[1, 2, 3]].iter().map(|ids| head(index(1), ids)).collect()
}
