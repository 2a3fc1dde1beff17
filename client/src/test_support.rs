//! A network whose key comes from a real ceremony, and everything that it signs, for tests.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Duration;

use alloy_consensus::crypto::secp256k1;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind};
use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{
    BLOCK_VERSION, BlockHeader, Emission, Emitted, OrderCertificate, Placement, result_root,
};
use fairveil_crypto::dealer::{Dealt, Polynomial};
use fairveil_crypto::envelope::{PayerSecret, SealedBundle};
use fairveil_crypto::seal::SealRandomness;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusSecret, Digest, Epoch, Height, SequencerIndex, View,
};
use fairveil_keygen::definition::{Blocks, Deadlines, Ordering, Rollup};
use fairveil_keygen::{
    Approval, ApprovedDefinition, Ceremony, CeremonyContext, DealingSecret, Definition, Input,
    Member, NetworkPublicKey, Output, Proposal, Transcript,
};
use fairveil_mempool::{Bundle, Bytes, Leg, Place, Policy, Receipt, ReceiptBody};
use fairveil_release::batch::Judged;
use fairveil_release::certificate::{ListedRelease, ReleaseCertificate};
use fairveil_release::chain::{JudgedOrder, ReleaseChain};
use fairveil_release::document::{BatchDocument, BundleDocument, DocumentLeg};
use fairveil_release::proof::{BatchProof, BundleProof};
use fairveil_release::registry::{Registry, Rollup as RegistryRollup};
use fairveil_release::release::Release;
use fairveil_release::tree::Tree;
use fairveil_release::validity::valid_bundles;

use crate::seal::{Terms, seal};
use crate::trust::PinnedNetwork;

/// Five members, f = 1.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::new);
/// What they released.
pub(crate) static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(&WORLD));

const MEMBERS: u8 = 5;
pub(crate) const CHAINS: [u64; 3] = [901, 902, 903];

pub(crate) struct World {
    pub(crate) transcript: Transcript,
    pub(crate) network: PinnedNetwork,
    dealt: Dealt,
}

/// Two heights: released, failed, expired; then released.
pub(crate) struct Scene {
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) sealed: Vec<SealedBundle>,
    pub(crate) orders: Vec<OrderCertificate>,
    releases: Vec<(Release, Tree)>,
    certificate: ReleaseCertificate,
}

pub(crate) fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

fn consensus(k: u8) -> ConsensusSecret {
    ConsensusSecret::from_seed([k; 32])
}

fn dealing(k: u8) -> DealingSecret {
    DealingSecret::from_seed(&[k; 32])
}

fn proposal() -> Proposal {
    let members = (1..=MEMBERS).map(|k| Member {
        name: format!("member-{k}"),
        consensus: consensus(k).public_key(),
        network: NetworkPublicKey::from_bytes(consensus(k + 100).public_key().to_bytes()),
        dealing: dealing(k).public_key(),
        peer_address: format!("127.0.0.1:400{k}").parse().unwrap(),
        trader_address: format!("127.0.0.1:500{k}").parse().unwrap(),
        rpc_address: format!("127.0.0.1:600{k}").parse().unwrap(),
    });
    let rollup = |chain_id| Rollup { chain_id, name: format!("rollup-{chain_id}") };
    Proposal {
        version: 1,
        epoch: Epoch::new(1),
        n: MEMBERS.into(),
        f: 1,
        g: 0,
        revealed_limit: 0,
        ordering: Ordering::default(),
        blocks: Blocks::default(),
        deadlines: Deadlines::default(),
        rollups: CHAINS.map(rollup).to_vec(),
        members: members.collect(),
    }
}

/// A ceremony in one process, with a list in the place of its chain.
fn ceremony(round: u64) -> Transcript {
    let definition = Definition::new(proposal()).unwrap();
    let approvals: Vec<_> =
        (1..=MEMBERS).map(|k| Approval::new(&definition, &consensus(k))).collect();
    let approved = ApprovedDefinition::new(definition, approvals).unwrap();
    let context = CeremonyContext::new(approved, round);
    let start = |k| Ceremony::start(context.clone(), consensus(k), dealing(k), [k; 32]).unwrap();
    let mut machines: Vec<_> = (1..=MEMBERS).map(start).collect();
    let (mut chain, mut done) = (Vec::<Vec<u8>>::new(), 0);
    while done < chain.len() || chain.is_empty() {
        let input = match chain.get(done) {
            None => Input::Wake,
            Some(entry) => Input::Agreed { height: done as u64, entries: vec![entry.clone()] },
        };
        done += usize::from(!chain.is_empty());
        for machine in &mut machines {
            for output in machine.handle(Duration::ZERO, input.clone()) {
                if let Output::Post(entry) = output {
                    chain.push(entry.encode());
                }
            }
        }
    }
    machines[0].transcript().unwrap()
}

impl World {
    fn new() -> Self {
        let transcript = ceremony(1);
        let network_id = transcript.verify().unwrap().network_id();
        let network = PinnedNetwork::from_transcript(&transcript.to_json(), &network_id).unwrap();
        let mut consensus_secrets: Vec<_> = (1..=MEMBERS).map(consensus).collect();
        consensus_secrets.sort_by_key(ConsensusSecret::public_key);
        let dealt = Dealt {
            committee: network.committee().clone(),
            key_shares: Vec::new(),
            consensus_secrets,
            polynomial: Polynomial::from_seed(4, &[1; 32]),
        };
        Self { transcript, network, dealt }
    }

    pub(crate) fn registry(&self) -> Registry {
        let rollup = |id| RegistryRollup::recorder(id, &format!("rollup-{id}"));
        Registry::new(CHAINS.map(rollup).to_vec()).unwrap()
    }

    /// A sealed bundle; the payer nonce also seeds its randomness.
    pub(crate) fn seal(&self, payer_nonce: u64, bundle: &Bundle) -> SealedBundle {
        let terms = Terms { valid_from: Height::new(1), expires_at: Height::new(500), payer_nonce };
        let mut uniform = [7; SealRandomness::UNIFORM_BYTES];
        uniform[..8].copy_from_slice(&payer_nonce.to_be_bytes());
        let randomness = SealRandomness::from_uniform(&uniform).unwrap();
        let payer = PayerSecret::from_bytes([5; 32]).unwrap();
        seal(&self.network, &terms, &payer, bundle, randomness).unwrap()
    }

    pub(crate) fn receipt(&self, sequencer: u16, id: BundleId, place: Place) -> Receipt {
        let body = ReceiptBody {
            network_id: self.network.network_id(),
            epoch: Epoch::new(1),
            id,
            place,
            height: Height::new(3),
            time_ms: 1_000,
        };
        self.sign(sequencer, body)
    }

    pub(crate) fn sign(&self, sequencer: u16, body: ReceiptBody) -> Receipt {
        let sequencer = index(sequencer);
        body.sign(sequencer, &self.dealt.consensus_secrets[sequencer.position()])
    }

    fn header(&self, height: u64, parent: BlockDigest) -> BlockHeader {
        BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network.network_id(),
            epoch: Epoch::new(1),
            height: Height::new(height),
            parent,
            leader: self.network.committee().consensus_keys()[0],
            view: View::new(height),
            parent_view: View::new(height - 1),
            time_ms: 1_000 * height,
            result_root: Digest::from_bytes([1; 32]),
            body_digest: Digest::from_bytes([2; 32]),
        }
    }

    /// An order that its child's finalization certifies.
    pub(crate) fn order(&self, height: u64, cohorts: Vec<Vec<Emitted>>) -> OrderCertificate {
        let emission = Emission { height: Height::new(height), cohorts };
        let state = Digest::from_bytes([4; 32]);
        let mut block = self.header(height, BlockDigest::from_bytes([6; 32]));
        block.result_root = result_root(&emission, &state);
        let child = self.header(height + 1, block.digest());
        self.dealt.certify(vec![child, block], emission, state)
    }

    fn release_certificate(&self, releases: Vec<ListedRelease>) -> ReleaseCertificate {
        let (evidence_digest, system_digest) =
            (Digest::from_bytes([7; 32]), Digest::from_bytes([8; 32]));
        let mut block = self.header(9, BlockDigest::from_bytes([6; 32]));
        let listed: Vec<_> = releases.iter().map(|entry| (entry.height, entry.root)).collect();
        block.body_digest = body_digest(&evidence_digest, &listed, &system_digest);
        let child = self.header(10, block.digest());
        let emission = Emission { height: Height::new(9), cohorts: Vec::new() };
        let certified =
            self.dealt.certify(vec![child, block], emission, Digest::from_bytes([4; 32]));
        let OrderCertificate { finalization, headers, .. } = certified;
        ReleaseCertificate { finalization, headers, evidence_digest, releases, system_digest }
    }
}

pub(crate) fn emitted(id: BundleId, placement: Placement) -> Emitted {
    Emitted { id, placement }
}

pub(crate) fn transaction(chain_id: u64, nonce: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 9,
        to: TxKind::Call(Address::repeat_byte(7)),
        ..Default::default()
    };
    let hash = transaction.signature_hash();
    let signature = secp256k1::sign_message(B256::repeat_byte(1), hash).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

pub(crate) fn leg(chain_id: u64, nonces: &[u64]) -> Leg {
    let transactions = nonces.iter().map(|nonce| transaction(chain_id, *nonce)).collect();
    Leg { chain_id, transactions }
}

pub(crate) fn bundle(legs: Vec<Leg>) -> Bundle {
    Bundle::new(Policy::Include, legs).unwrap()
}

impl Scene {
    fn new(world: &World) -> Self {
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
        let mut chain = ReleaseChain::new(world.network.network_id(), world.registry());
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
            releases.push(chain.extend(JudgedOrder { height, block, time_ms, ids }).unwrap());
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
            let range = batch.bundles.iter().find(|range| range.id == proof.leaf.id).unwrap();
            let transactions = batch.leg(range).unwrap().to_vec();
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

    pub(crate) fn batch(&self, height: usize, chain_id: u64) -> BatchDocument {
        let (release, tree) = &self.releases[height - 1];
        BatchDocument {
            release: release.header,
            certificate: self.certificate.clone(),
            proof: BatchProof::new(tree, chain_id).unwrap(),
            batch: release.batch(chain_id).unwrap().clone(),
        }
    }
}
