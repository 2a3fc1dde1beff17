//! What a network did in two heights, with everything that proves it.

use fairveil_crypto::certificate::FinalOrder;
use fairveil_crypto::envelope::VerifiedBundle;
use fairveil_crypto::share::{PreparedShares, ShareEvidence, ShareFreshness};
use fairveil_mempool::receipt::{BrokenReceipt, ConflictingReceipts};
use fairveil_ordering::Equivocation;
use fairveil_release::chain::{Judged, JudgedOrder, ReleaseChain, Released};
use fairveil_release::document::{BatchDocument, BundleDocument, DocumentLeg};
use fairveil_release::evidence::{Evidence, PrematureShare};
use fairveil_release::proof::{BatchProof, BundleProof};
use fairveil_release::release::Release;
use fairveil_release::states::RollupStates;
use fairveil_release::tree::Tree;
use fairveil_release::validity::valid_bundles;

use super::*;

/// The liar of [`Scene::evidence`].
pub(crate) const CULPRIT: u16 = 2;

/// Two heights: released, failed, expired; then released.
pub(crate) struct Scene {
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) sealed: Vec<SealedBundle>,
    pub(crate) orders: Vec<OrderCertificate>,
    releases: Vec<(Release, Tree)>,
    pub(crate) certificate: ReleaseCertificate,
}

impl Scene {
    pub(super) fn new(world: &World) -> Self {
        let mut foreign = leg(902, &[0]);
        foreign.chain_id = 903;
        let bundles = vec![
            bundle(vec![leg(901, &[0]), leg(902, &[0, 1])]),
            bundle(vec![foreign]),
            bundle(vec![leg(903, &[5])]),
            bundle(vec![leg(901, &[1])]),
            bundle(vec![leg(902, &[2]), leg(903, &[0])]),
        ];
        let sealed: Vec<_> =
            (0..).zip(&bundles).map(|(nonce, bundle)| world.seal(nonce, bundle)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let verdicts = valid_bundles(&pool, &world.registry(), &bundles);
        let heights = [vec![0, 1, 2, 3], vec![4]];
        let states = RollupStates::default();
        let network_id = world.network.network_id();
        let mut chain = ReleaseChain::new(network_id, world.registry(), states).unwrap();
        let (mut orders, mut releases) = (Vec::new(), Vec::new());
        for (height, places) in (1..).zip(heights) {
            let judged = |place: usize| match &verdicts[place] {
                _ if place == 2 => Judged::Expired,
                Ok(valid) => Judged::Valid(valid.clone()),
                Err(failed) => Judged::Failed(*failed),
            };
            let placement = |place| if place == 2 { Placement::Expired } else { Placement::Open };
            let cohort = places.iter().map(|&at| emitted(sealed[at].id(), placement(at)));
            let order = world.order(height, vec![cohort.collect()]);
            let block = order.headers[1].digest();
            let ids = places.iter().map(|&at| (sealed[at].id(), judged(at))).collect();
            let (height, time_ms) = (Height::new(height), 1_000 * height);
            let judged = JudgedOrder { height, block, time_ms, ids };
            let Released { release, tree, .. } = chain.extend(judged).unwrap();
            releases.push((release, tree));
            orders.push(order);
        }
        let listed = releases.iter().map(|(release, _)| ListedRelease {
            height: release.header.height,
            root: release.header.root(),
        });
        let certificate = world.release_certificate(listed.collect());
        Self { bundles, sealed, orders, releases, certificate }
    }

    pub(crate) fn id(&self, number: usize) -> BundleId {
        self.sealed[number].id()
    }

    /// The document of a bundle by its number.
    pub(crate) fn document(&self, number: usize) -> BundleDocument {
        let (height, at) = if number < 4 { (0, number) } else { (1, number - 4) };
        let (release, tree) = &self.releases[height];
        let proof = BundleProof::new(tree, at as u32).unwrap();
        let legs = proof.leaf.outcome.legs().iter().map(|leg| {
            let batch = release.batch(leg.chain_id).unwrap();
            let transactions = batch.leg(&proof.leaf.id).unwrap().1.to_vec();
            DocumentLeg { chain_id: leg.chain_id, transactions }
        });
        BundleDocument {
            release: release.header,
            certificate: self.certificate.clone(),
            legs: legs.collect(),
            proof,
            order: Some(self.orders[height].clone()),
        }
    }

    /// A proof of each kind against the culprit.
    pub(crate) fn evidence(&self, world: &World) -> [Evidence; 5] {
        let order = self.final_order(world);
        let mut bad = self.share(world, &order);
        bad.points.swap(0, 1);
        let bad = ShareEvidence::new(world.sign_share(bad), &order, &self.opened(world, &order));
        // The same ids in a block that another one won against.
        let mut fork = world.header(1, BlockDigest::from_bytes([9; 32]));
        let OrderCertificate { emission, state_digest, .. } = self.orders[0].clone();
        fork.result_root = result_root(&emission, &state_digest);
        let fork = world.dealt.certify(vec![fork], emission, state_digest);
        let fork = fork.verify(&world.network.network_id(), world.network.committee()).unwrap();
        let premature = PrematureShare {
            share: self.share(world, &fork),
            height: fork.height(),
            block: fork.block(),
            ids: fork.to_open().to_vec(),
            certificate: self.orders[0].clone(),
        };
        let forked = Equivocation { one: world.log_head(&[1, 2]), other: world.log_head(&[1, 3]) };
        let id = |byte| BundleId::from_bytes([byte; 32]);
        let receipt = |byte, place| world.receipt(CULPRIT, id(byte), Place::Position(place));
        let head = world.log_head(&[1, 2, 3]);
        let broken = BrokenReceipt {
            receipt: receipt(9, 1),
            head: decode(&encode(&head), 1_024).unwrap(),
            before: world.log(&[1]).tip().head,
            ids: vec![id(2), id(3)],
        };
        let conflicting = ConflictingReceipts::new(receipt(9, 1), receipt(9, 2));
        [
            Evidence::BadShare(bad.unwrap()),
            Evidence::PrematureShare(Box::new(premature)),
            Evidence::ForkedLog(forked),
            Evidence::BrokenReceipt(broken),
            Evidence::ConflictingReceipts(conflicting.unwrap()),
        ]
    }

    /// The final order of the first height.
    pub(crate) fn final_order(&self, world: &World) -> FinalOrder {
        self.orders[0].verify(&world.network.network_id(), world.network.committee()).unwrap()
    }

    /// The bundles that an order opens, verified.
    pub(crate) fn opened(&self, world: &World, order: &FinalOrder) -> Vec<VerifiedBundle> {
        let sealed = self.sealed.iter().filter(|sealed| order.to_open().contains(&sealed.id()));
        let (network_id, key) = (world.network.network_id(), world.network.committee().key());
        sealed.map(|sealed| sealed.clone().verify(&network_id, key).unwrap()).collect()
    }

    /// The culprit's own share of an order, as it should be.
    pub(crate) fn share(&self, world: &World, order: &FinalOrder) -> SignedShare {
        let place = index(CULPRIT).position();
        let key_share = &world.dealt.key_shares[place];
        let mut prepared = PreparedShares::new(key_share);
        for bundle in self.opened(world, order) {
            prepared.prepare(key_share, &bundle).unwrap();
        }
        let consensus = &world.dealt.consensus_secrets[place];
        prepared.for_order(order, key_share, consensus, ShareFreshness::new([3; 32])).unwrap()
    }

    pub(crate) fn batch(&self, height: usize, chain_id: u64) -> BatchDocument {
        let (release, tree) = &self.releases[height - 1];
        BatchDocument {
            skipped: Vec::new(),
            release: release.header,
            certificate: self.certificate.clone(),
            proof: BatchProof::new(tree, chain_id).unwrap(),
            batch: release.batch(chain_id).unwrap().clone(),
        }
    }
}
