//! A committee with all of its secrets, and what it makes: for tests alone.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use alloy_consensus::crypto::secp256k1;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use ed25519_consensus::SigningKey;
use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{
    BLOCK_VERSION, BlockHeader, Emission, Emitted, FinalOrder, Finalization, OrderCertificate,
    Placement, result_root,
};
use fairveil_crypto::dealer::{Dealt, deal};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::envelope::{
    Header, PayerSecret, SealedBundle, SizeClass, UnsignedBundle, VerifiedBundle,
};
use fairveil_crypto::point::Point;
use fairveil_crypto::scalar::Scalar;
use fairveil_crypto::seal::{Ciphertext, Rho, SealRandomness, sealing_scalar};
use fairveil_crypto::share::{PreparedShares, ShareFreshness, SignedShare};
use fairveil_crypto::{
    BlockDigest, ConsensusSecret, Digest, Epoch, Height, NetworkId, SequencerIndex, Signature,
    View, trace,
};
use fairveil_mempool::{Bundle, Leg, Policy, SealTerms, seal_bundle};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use crate::certificate::{ListedRelease, ReleaseCertificate};
use crate::chain::ReleaseChain;
use crate::opener::OwnShare;
use crate::registry::{Registry, Rollup};
use crate::states::RollupStates;

pub(crate) static POOL: LazyLock<rayon::ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());

/// Seven sequencers, five of which suffice.
pub(crate) static SEVEN: LazyLock<World> = LazyLock::new(|| World::new(7));

pub(crate) struct World {
    pub(crate) network_id: NetworkId,
    pub(crate) dealt: Dealt,
    pub(crate) registry: Registry,
}

/// How a bundle's ciphertext deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forged {
    /// The body does not open.
    Body,
    /// The body holds another `rho`.
    OtherRho,
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

pub(crate) fn bundle(policy: Policy, legs: Vec<Leg>) -> Bundle {
    Bundle::new(policy, legs).unwrap()
}

impl World {
    pub(crate) fn new(n: u16) -> Self {
        let rollups = [901, 902, 903].map(|id| Rollup::recorder(id, &format!("rollup-{id}")));
        Self {
            network_id: NetworkId::from_bytes([0x77; 32]),
            dealt: deal(Epoch::new(1), n, &[3; 32]),
            registry: Registry::new(rollups.to_vec()).unwrap(),
        }
    }

    /// The chain of releases before height 1.
    pub(crate) fn chain(&self) -> ReleaseChain {
        let states = RollupStates::default();
        ReleaseChain::new(self.network_id, self.registry.clone(), states).unwrap()
    }

    fn payer(&self) -> PayerSecret {
        PayerSecret::from_bytes([5; 32]).unwrap()
    }

    fn randomness(&self, nonce: u64) -> ([u8; 32], [u8; 32]) {
        let number = nonce.to_be_bytes();
        let rho = hash(Tag::TestDealer, &[b"rho", &number]).to_bytes();
        (rho, Scalar::hash(Tag::TestDealer, &[b"a", &number]).encode())
    }

    fn verified(&self, sealed: &SealedBundle) -> VerifiedBundle {
        sealed.verify(&self.network_id, self.dealt.committee.key()).unwrap()
    }

    /// A sealed bundle; the payer nonce also seeds its randomness.
    pub(crate) fn seal(&self, nonce: u64, bundle: &Bundle) -> VerifiedBundle {
        let terms = SealTerms {
            network_id: self.network_id,
            valid_from: Height::new(1),
            expires_at: Height::new(1_000),
            payer_nonce: nonce,
            class: None,
        };
        let (rho, a) = self.randomness(nonce);
        let randomness = SealRandomness::from_parts(rho, &a).unwrap();
        let key = self.dealt.committee.key();
        self.verified(&seal_bundle(key, &terms, &self.payer(), bundle, randomness).unwrap())
    }

    fn header(&self, nonce: u64) -> Header {
        Header {
            network_id: self.network_id,
            key_id: self.dealt.committee.key_id(),
            class: SizeClass::MIN,
            valid_from: Height::new(1),
            expires_at: Height::new(1_000),
            payer: self.payer().payer(),
            payer_nonce: nonce,
        }
    }

    /// A sealed plaintext that need not be a bundle.
    pub(crate) fn seal_plaintext(&self, nonce: u64, m: &[u8; 512]) -> VerifiedBundle {
        let (rho, a) = self.randomness(nonce);
        let (header, key) = (self.header(nonce), self.dealt.committee.key());
        let randomness = SealRandomness::from_parts(rho, &a).unwrap();
        let ciphertext = fairveil_crypto::seal::seal(key, &header.encode(), m, randomness).unwrap();
        let unsigned = UnsignedBundle::new(header, ciphertext).unwrap();
        self.verified(&unsigned.sign(&self.payer()).unwrap())
    }

    /// A ciphertext with a right proof that opens to nothing.
    pub(crate) fn forge(&self, nonce: u64, forged: Forged) -> VerifiedBundle {
        let (rho, a) = self.randomness(nonce);
        let (header, key) = (self.header(nonce), self.dealt.committee.key());
        let ad = header.encode();
        let traced = trace::seal(key, &ad, &Rho::from_bytes(rho));
        let mut body = match forged {
            Forged::Body => vec![9; 32],
            Forged::OtherRho => vec![8; 32],
        };
        body.extend([0; 512]);
        let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &traced.key).unwrap());
        let zero = Nonce::assume_unique_for_key([0; 12]);
        cipher.seal_in_place_append_tag(zero, Aad::from(&traced.aad), &mut body).unwrap();
        if forged == Forged::Body {
            body[40] ^= 1;
        }
        let k = sealing_scalar(key.key_id(), &Rho::from_bytes(rho)).encode();
        let points = [(Point::generator(), &k), (Point::second_generator(), &k)];
        let masks = [(Point::generator(), &a), (Point::second_generator(), &a)];
        let multiple = |(point, scalar): &(Point, &[u8; 32])| {
            trace::multiple(point, &scalar[..]).unwrap().as_bytes().to_vec()
        };
        let sealed: Vec<_> = points.iter().chain(&masks).map(multiple).collect();
        let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
        let mut items = vec![key.key_id().as_bytes().to_vec(), digest(&ad), digest(&body)];
        items.extend(sealed.iter().cloned());
        let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let challenge = hash(Tag::SealProof, &items).to_bytes()[..16].to_vec();
        let order: U256 =
            "0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001".parse().unwrap();
        let [e, k, a] = [&challenge[..], &k, &a].map(U256::from_be_slice);
        let response = e.mul_mod(k, order).add_mod(a, order).to_be_bytes::<32>();
        let bytes = [&sealed[0][..], &sealed[1], &challenge, &response, &body].concat();
        let ciphertext = Ciphertext::decode(&bytes).unwrap();
        let unsigned = UnsignedBundle::new(header, ciphertext).unwrap();
        self.verified(&unsigned.sign(&self.payer()).unwrap())
    }

    pub(crate) fn secret(&self, index: SequencerIndex) -> &ConsensusSecret {
        &self.dealt.consensus_secrets[index.position()]
    }

    pub(crate) fn block(&self, height: u64, parent: BlockDigest) -> BlockHeader {
        BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network_id,
            epoch: Epoch::new(1),
            epoch_start: Height::ZERO,
            height: Height::new(height),
            parent,
            leader: self.dealt.committee.consensus_keys()[0],
            view: View::new(height),
            parent_view: View::new(height - 1),
            time_ms: 1_000 * height,
            result_root: Digest::from_bytes([1; 32]),
            body_digest: Digest::from_bytes([2; 32]),
        }
    }

    /// The quorum's finalization of a block.
    pub(crate) fn finalize(&self, header: &BlockHeader) -> Finalization {
        let mut finalization = Finalization {
            epoch: header.epoch,
            view: header.view,
            parent_view: header.parent_view,
            block: header.digest(),
            signers: SequencerIndex::all(self.dealt.committee.quorum()).collect(),
            signatures: Vec::new(),
        };
        let message = finalization.signed_message(&self.network_id);
        let sign = |index: &SequencerIndex| {
            let key = SigningKey::from(*self.secret(*index).expose_seed());
            Signature::from_bytes(key.sign(&message).to_bytes())
        };
        finalization.signatures = finalization.signers.iter().map(sign).collect();
        finalization
    }

    pub(crate) fn order_certificate(
        &self,
        height: u64,
        cohorts: Vec<Vec<Emitted>>,
    ) -> OrderCertificate {
        let emission = Emission { height: Height::new(height), cohorts };
        let state_digest = Digest::from_bytes([4; 32]);
        let mut header = self.block(height, BlockDigest::from_bytes([6; 32]));
        header.result_root = result_root(&emission, &state_digest);
        let finalization = self.finalize(&header);
        OrderCertificate { finalization, headers: vec![header], emission, state_digest }
    }

    /// A final order that opens these bundles.
    pub(crate) fn order(&self, height: u64, bundles: &[VerifiedBundle]) -> FinalOrder {
        let emitted = |bundle: &VerifiedBundle| vec![open(bundle)];
        let certificate = self.order_certificate(height, bundles.iter().map(emitted).collect());
        certificate.verify(&self.network_id, &self.dealt.committee).unwrap()
    }

    pub(crate) fn own_share(
        &self,
        index: SequencerIndex,
        order: &FinalOrder,
        bundles: &[VerifiedBundle],
    ) -> OwnShare {
        let key_share = &self.dealt.key_shares[index.position()];
        let mut prepared = PreparedShares::new(key_share);
        prepared.prepare_many(key_share, bundles, &POOL).unwrap();
        let freshness = ShareFreshness::new([index.get() as u8; 32]);
        OwnShare::new(&prepared, order, key_share, self.secret(index), freshness).unwrap()
    }

    /// Signs a share again, after it was changed.
    pub(crate) fn sign_again(&self, mut share: SignedShare) -> SignedShare {
        let index = share.index.to_be_bytes();
        let mut items: Vec<&[u8]> = vec![&index, share.batch.as_bytes()];
        items.extend(share.points.iter().map(|point| &point.as_bytes()[..]));
        items.extend([&share.challenge.as_bytes()[..], &share.response.as_bytes()[..]]);
        let signature = self.secret(share.index).sign(Tag::ShareMessage, &items);
        share.signature = signature;
        share
    }

    /// A certificate that a block at `height`, with a child, lists these releases.
    pub(crate) fn release_certificate(
        &self,
        height: u64,
        releases: Vec<ListedRelease>,
    ) -> ReleaseCertificate {
        let (evidence_digest, system_digest) =
            (Digest::from_bytes([7; 32]), Digest::from_bytes([8; 32]));
        let mut block = self.block(height, BlockDigest::from_bytes([6; 32]));
        let listed: Vec<_> = releases.iter().map(|entry| (entry.height, entry.root)).collect();
        block.body_digest = body_digest(&evidence_digest, &listed, &system_digest);
        let child = self.block(height + 1, block.digest());
        let finalization = self.finalize(&child);
        let headers = vec![child, block];
        ReleaseCertificate { finalization, headers, evidence_digest, releases, system_digest }
    }
}

pub(crate) fn open(bundle: &VerifiedBundle) -> Emitted {
    Emitted { id: bundle.id(), placement: Placement::Open }
}

pub(crate) fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}
