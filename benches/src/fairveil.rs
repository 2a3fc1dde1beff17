//! Our side: a committee with a batch of sealed bundles, and what its first member does.
//!
//! Not part of a comparison with another encryption, and so not in any time here: the payer's
//! signature on a bundle, and the certificate of the final order. What others send is decoded from
//! its bytes.

use std::collections::BTreeSet;

use fairveil_crypto::certificate::FinalOrder;
use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::dealer::{Dealt, deal};
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::envelope::{
    Header, PayerSecret, SealedBundle, SizeClass, UnsignedBundle, VerifiedBundle, verify_many,
};
use fairveil_crypto::hint::{self, HintRandomness};
use fairveil_crypto::opening::{Batch, Opening, Outcome, Reception};
use fairveil_crypto::point::Point;
use fairveil_crypto::seal::{Ciphertext, Opened, Rho, SealRandomness, VerifiedCiphertext, seal};
use fairveil_crypto::share::{PreparedShares, ShareFreshness, SignedShare};
use fairveil_crypto::{Epoch, Height, NetworkId};
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::{RngCore, SeedableRng};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::plan::Case;

const NETWORK: NetworkId = NetworkId::from_bytes([0x11; 32]);
const HEIGHT: Height = Height::new(5);
/// More than a share of the largest batch here has.
const MAX_SHARE_BYTES: usize = 1 << 16;

/// The plaintext number `number`.
#[must_use]
pub fn plaintext(number: usize, bytes: usize) -> Vec<u8> {
    vec![number as u8; bytes]
}

/// A committee with its sealed bundles, their final order and the shares of others.
pub struct Sequencers {
    dealt: Dealt,
    pool: ThreadPool,
    case: Case,
    header: Header,
    sealed: Vec<SealedBundle>,
    order: FinalOrder,
    hints: Vec<Rho>,
    /// Of members 2 to t, as they travel.
    shares: Vec<Vec<u8>>,
}

impl Sequencers {
    /// The committee of a case; everything follows from a fixed seed.
    #[must_use]
    pub fn new(case: Case) -> Self {
        let dealt = deal(Epoch::new(1), case.n, &[1; 32]);
        let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        let payer = PayerSecret::from_bytes([3; 32]).expect("a secret");
        let header = Header {
            network_id: NETWORK,
            key_id: dealt.committee.key_id(),
            class: SizeClass::fitting(case.plaintext_bytes).expect("a class of this size"),
            valid_from: Height::new(1),
            expires_at: Height::new(100),
            payer: payer.payer(),
            payer_nonce: 0,
        };
        let mut rng = ChaCha20Rng::from_seed([18; 32]);
        let (mut sealed, mut hints) = (Vec::new(), Vec::new());
        for number in 0..case.count {
            let header = Header { payer_nonce: number as u64, ..header };
            let randomness = randomness(&mut rng);
            hints.push(randomness.expose_rho());
            let m = plaintext(number, case.plaintext_bytes);
            let ciphertext = seal_one(dealt.committee.key(), &header, &m, randomness);
            let bundle = UnsignedBundle::new(header, ciphertext).expect("it fits its class");
            sealed.push(bundle.sign(&payer).expect("it is the payer's key"));
        }
        let ids: Vec<_> = sealed.iter().map(SealedBundle::id).collect();
        let certificate = dealt.certify_ids(NETWORK, HEIGHT, &ids);
        let order = certificate.verify(&NETWORK, &dealt.committee).expect("it is certified");
        let mut sequencers =
            Self { dealt, pool, case, header, sealed, order, hints, shares: Vec::new() };
        let verified = sequencers.verify();
        let others = 1..usize::from(sequencers.dealt.committee.t());
        sequencers.shares =
            others.map(|member| encode(&sequencers.share_of(member, &verified))).collect();
        sequencers
    }

    /// Seals one plaintext.
    #[must_use]
    pub fn seal(&self, m: &[u8], rng: &mut ChaCha20Rng) -> Ciphertext {
        seal_one(self.dealt.committee.key(), &self.header, m, randomness(rng))
    }

    /// Admission: network, key and proof of every bundle.
    #[must_use]
    pub fn verify(&self) -> Vec<VerifiedBundle> {
        verify_many(&self.sealed, &NETWORK, self.dealt.committee.key(), &self.pool)
            .into_iter()
            .map(|verdict| verdict.expect("it is valid"))
            .collect()
    }

    /// The products of the own share, which need no final order.
    #[must_use]
    pub fn prepare(&self, verified: &[VerifiedBundle]) -> PreparedShares {
        self.prepare_as(0, verified)
    }

    /// The own share out of its products: proof and signature.
    #[must_use]
    pub fn prove(&self, prepared: &PreparedShares) -> SignedShare {
        self.prove_as(0, prepared)
    }

    /// The own share.
    #[must_use]
    pub fn share(&self, verified: &[VerifiedBundle]) -> SignedShare {
        self.share_of(0, verified)
    }

    /// Judges the proof of the share of member 2.
    ///
    /// # Panics
    ///
    /// If it does not hold.
    pub fn check_share(&self, verified: &[VerifiedBundle]) {
        let share = received(&self.shares[0]);
        let sealed: Vec<Point> = verified.iter().map(|bundle| *bundle.ciphertext().u()).collect();
        let public = self.dealt.committee.public_key_share(share.index).expect("a member");
        share.verify_proof(&public, &sealed).expect("the proof holds");
    }

    /// Opens the batch with the own share and those of members 2 to t.
    #[must_use]
    pub fn combine(&self, verified: &[VerifiedBundle], own: SignedShare) -> Vec<Opened> {
        let opening = self.opening(verified);
        self.finish(self.with_shares(opening, own))
    }

    /// Opens every n-th ciphertext with the shares and the rest with the hints of others.
    #[must_use]
    pub fn combine_divided(&self, verified: &[VerifiedBundle], own: SignedShare) -> Vec<Opened> {
        let others = || (0..verified.len()).filter(|at| at % usize::from(self.case.n) != 0);
        let mut opening = self.opening(verified);
        opening.leave(others());
        let mut opening = self.with_shares(opening, own);
        let hints: Vec<(&VerifiedCiphertext, Rho)> =
            others().map(|at| (verified[at].ciphertext(), self.hints[at])).collect();
        let randomness = HintRandomness::new([19; 32]);
        let key = self.dealt.committee.key();
        let opened = hint::open_many(key, &hints, randomness, &self.pool);
        for (position, opened) in others().zip(opened) {
            opening.record(position, opened.expect("the hint is right"));
        }
        self.finish(opening)
    }

    /// Everything: verify, own share, the others' shares, combine.
    #[must_use]
    pub fn open(&self) -> Vec<Opened> {
        let verified = self.verify();
        let own = self.share(&verified);
        self.combine(&verified, own)
    }

    /// Everything, the combining divided among the members.
    #[must_use]
    pub fn open_divided(&self) -> Vec<Opened> {
        let verified = self.verify();
        let own = self.share(&verified);
        self.combine_divided(&verified, own)
    }

    /// Judges that these are the plaintexts that were sealed.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn assert_opened(&self, opened: &[Opened]) {
        assert_eq!(opened.len(), self.case.count);
        for (number, opened) in opened.iter().enumerate() {
            assert_eq!(opened.m, plaintext(number, self.case.plaintext_bytes));
        }
    }
}

impl Sequencers {
    fn prepare_as(&self, member: usize, verified: &[VerifiedBundle]) -> PreparedShares {
        let key_share = &self.dealt.key_shares[member];
        let mut prepared = PreparedShares::new(key_share);
        prepared.prepare_many(key_share, verified, &self.pool).expect("there is room");
        prepared
    }

    fn prove_as(&self, member: usize, prepared: &PreparedShares) -> SignedShare {
        let (key_share, consensus) =
            (&self.dealt.key_shares[member], &self.dealt.consensus_secrets[member]);
        let freshness = ShareFreshness::new([20; 32]);
        prepared.for_order(&self.order, key_share, consensus, freshness).expect("it is prepared")
    }

    fn share_of(&self, member: usize, verified: &[VerifiedBundle]) -> SignedShare {
        self.prove_as(member, &self.prepare_as(member, verified))
    }

    fn opening(&self, verified: &[VerifiedBundle]) -> Opening {
        let batch = Batch::of_order(&self.order, verified).expect("they are the order's");
        Opening::new(self.dealt.committee.clone(), batch, BTreeSet::new())
    }

    fn with_shares(&self, mut opening: Opening, own: SignedShare) -> Opening {
        assert_eq!(opening.add_share(own, &self.pool), Reception::Kept);
        for bytes in &self.shares {
            assert_eq!(opening.add_share(received(bytes), &self.pool), Reception::Kept);
        }
        opening
    }

    fn finish(&self, opening: Opening) -> Vec<Opened> {
        let opened = |outcome| match outcome {
            Outcome::Opened(opened) => opened,
            Outcome::Failed(failure) => panic!("a well-formed bundle failed: {failure}"),
        };
        let outcomes = opening.into_outcomes().expect("t shares open everything");
        outcomes.into_iter().map(opened).collect()
    }
}

fn received(bytes: &[u8]) -> SignedShare {
    decode(bytes, MAX_SHARE_BYTES).expect("it was encoded here")
}

fn randomness(rng: &mut ChaCha20Rng) -> SealRandomness {
    let mut uniform = [0; SealRandomness::UNIFORM_BYTES];
    rng.fill_bytes(&mut uniform);
    SealRandomness::from_uniform(&uniform).expect("not zero")
}

fn seal_one(
    key: &CommitteeKey,
    header: &Header,
    m: &[u8],
    randomness: SealRandomness,
) -> Ciphertext {
    seal(key, &header.encode(), m, randomness).expect("not zero")
}
