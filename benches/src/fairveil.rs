//! Our side: a committee with a batch of sealed bundles, and what its first member does.
//!
//! Not part of a comparison with another encryption, and so not in any time here: the payer's
//! signature on a bundle, and the certificate of the final order. What others send is decoded from
//! its bytes.

use std::collections::BTreeSet;

use fairveil_crypto::certificate::FinalOrder;
use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::dealer::{Dealt, deal};
use fairveil_crypto::domain::Tag;
use fairveil_crypto::envelope::{
    Header, PayerSecret, SealedBundle, SizeClass, UnsignedBundle, VerifiedBundle, verify_many,
};
use fairveil_crypto::hint::{self, HintRandomness};
use fairveil_crypto::opening::{Batch, Opening, Outcome, Reception};
use fairveil_crypto::point::Point;
use fairveil_crypto::seal::{Ciphertext, Opened, Rho, SealRandomness, VerifiedCiphertext, seal};
use fairveil_crypto::share::{PreparedShares, ShareFreshness, SignedShare};
use fairveil_crypto::{Epoch, Height, NetworkId, SequencerIndex};
use fairveil_release::opener::{Hint, ShareMessage};
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::{RngCore, SeedableRng};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::baseline::pool;
use crate::plan::Case;

const NETWORK: NetworkId = NetworkId::from_bytes([0x11; 32]);
const HEIGHT: Height = Height::new(5);

/// What the transport puts before a message: its length.
const LENGTH_BYTES: usize = 4;

/// The plaintext number `number`.
#[must_use]
pub fn plaintext(number: usize, bytes: usize) -> Vec<u8> {
    vec![number as u8; bytes]
}

/// A committee with its sealed bundles, their final order and what others send.
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
    /// Wrong and signed, of the last members: they come first.
    bad_shares: Vec<Vec<u8>>,
}

/// What one member sends to each other member for a batch, in bytes with the framing of messages.
/// Acknowledgements and packet headers of QUIC are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Its decryption share.
    pub share_bytes: usize,
    /// The opening hints of its part.
    pub hint_bytes: usize,
}

impl Sequencers {
    /// The committee of a case with one thread; everything follows from a fixed seed.
    #[must_use]
    pub fn new(case: Case) -> Self {
        let dealt = deal(Epoch::new(1), case.n, &[1; 32]);
        let setup = pool(std::thread::available_parallelism().map_or(1, Into::into));
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
        let randomness = randomness_of(case.count);
        let hints = randomness.iter().map(SealRandomness::expose_rho).collect();
        let key = dealt.committee.key();
        let seal = |(number, randomness): (usize, SealRandomness)| {
            let header = Header { payer_nonce: number as u64, ..header };
            let m = plaintext(number, case.plaintext_bytes);
            let bundle = UnsignedBundle::new(header, seal_one(key, &header, &m, randomness));
            bundle.expect("it fits its class").sign(&payer).expect("it is the payer's key")
        };
        let sealed: Vec<SealedBundle> =
            setup.install(|| randomness.into_par_iter().enumerate().map(seal).collect());
        let ids: Vec<_> = sealed.iter().map(SealedBundle::id).collect();
        let certificate = dealt.certify_ids(NETWORK, HEIGHT, &ids);
        let order = certificate.verify(&NETWORK, &dealt.committee).expect("it is certified");
        let (shares, bad_shares) = (Vec::new(), Vec::new());
        let mut sequencers =
            Self { dealt, pool: setup, case, header, sealed, order, hints, shares, bad_shares };
        let verified = sequencers.verify();
        let share = |member| message(sequencers.share_of(member, &verified));
        sequencers.shares = (1..usize::from(sequencers.dealt.committee.t())).map(share).collect();
        sequencers.use_threads(1);
        sequencers
    }

    /// Works with so many threads from now on.
    pub fn use_threads(&mut self, threads: usize) {
        self.pool = pool(threads);
    }

    /// So many of the last members send shares of wrong points with a valid signature, and theirs
    /// come first.
    ///
    /// # Panics
    ///
    /// If more are bad than a committee has beyond its threshold.
    pub fn use_bad_shares(&mut self, bad: u16) {
        let (n, t) = (self.case.n, self.dealt.committee.t());
        assert!(bad <= n - t, "t members must be right");
        let model = received(&self.shares[0]);
        let bad = (n - bad..n).map(|member| message(self.bad_share(member.into(), &model)));
        self.bad_shares = bad.collect();
    }

    /// The case.
    #[must_use]
    pub fn case(&self) -> Case {
        self.case
    }

    /// Seals one plaintext.
    #[must_use]
    pub fn seal(&self, m: &[u8], rng: &mut ChaCha20Rng) -> Ciphertext {
        seal_one(self.dealt.committee.key(), &self.header, m, randomness(rng))
    }

    /// Seals plaintexts on the pool.
    #[must_use]
    pub fn seal_many(&self, plaintexts: &[Vec<u8>]) -> Vec<Ciphertext> {
        let key = self.dealt.committee.key();
        let seal = |(m, randomness): (&Vec<u8>, SealRandomness)| {
            seal_one(key, &self.header, m, randomness)
        };
        let randomness = randomness_of(plaintexts.len());
        self.pool.install(|| plaintexts.par_iter().zip(randomness).map(seal).collect())
    }

    /// Opens what [`Self::seal_many`] sealed by the hints of its trader; nothing where one is
    /// wrong.
    #[must_use]
    pub fn open_sealed(&self, ciphertexts: &[Ciphertext]) -> Option<Vec<Vec<u8>>> {
        let (key, ad) = (self.dealt.committee.key(), self.header.encode());
        let open = |(ciphertext, randomness): (&Ciphertext, SealRandomness)| {
            let verified = ciphertext.verify(key, &ad).ok()?;
            hint::open(key, &verified, &randomness.expose_rho()).ok().map(|opened| opened.m)
        };
        ciphertexts.iter().zip(randomness_of(ciphertexts.len())).map(open).collect()
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

    /// Opens the batch with the own share and those of others.
    #[must_use]
    pub fn combine(&self, verified: &[VerifiedBundle], own: SignedShare) -> Vec<Opened> {
        self.finish(self.with_shares(self.opening(verified), own))
    }

    /// Opens every n-th ciphertext with the shares, and leaves the rest to the hints of others.
    #[must_use]
    pub fn combine_part(&self, verified: &[VerifiedBundle], own: SignedShare) -> Opening {
        let mut opening = self.opening(verified);
        opening.leave(self.others());
        self.with_shares(opening, own)
    }

    /// Opens the rest with the hints of others, which are all there.
    #[must_use]
    pub fn check_hints(&self, mut opening: Opening, told: &[Vec<u8>]) -> Vec<Opened> {
        let told: Vec<Hint> = told.iter().flat_map(|bytes| received_hints(bytes)).collect();
        let ciphertexts = opening.batch().ciphertexts();
        let hints: Vec<(&VerifiedCiphertext, Rho)> =
            told.iter().map(|hint| (&ciphertexts[hint.position as usize], hint.rho)).collect();
        let randomness = HintRandomness::new([19; 32]);
        let opened = hint::open_many(self.dealt.committee.key(), &hints, randomness, &self.pool);
        for (hint, opened) in told.iter().zip(opened) {
            opening.record(hint.position as usize, opened.expect("the hint is right"));
        }
        self.finish(opening)
    }

    /// The hints that the other members tell, as they travel: one message of each.
    #[must_use]
    pub fn told(&self) -> Vec<Vec<u8>> {
        let members = 1..usize::from(self.case.n).min(self.case.count);
        members.map(|member| self.hint_message(member)).collect()
    }

    /// Opens every n-th ciphertext with the shares and the rest with the hints of others.
    #[must_use]
    pub fn combine_divided(&self, verified: &[VerifiedBundle], own: SignedShare) -> Vec<Opened> {
        self.check_hints(self.combine_part(verified, own), &self.told())
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

    /// Opens the first ciphertext with its hint alone.
    ///
    /// # Panics
    ///
    /// If the hint is not believed.
    #[must_use]
    pub fn open_hint(&self, verified: &[VerifiedBundle]) -> Opened {
        let key = self.dealt.committee.key();
        hint::open(key, verified[0].ciphertext(), &self.hints[0]).expect("the hint is right")
    }

    /// Whether these are the plaintexts that were sealed.
    #[must_use]
    pub fn are_sealed(&self, opened: &[Opened]) -> bool {
        let is_sealed = |(number, opened): (usize, &Opened)| {
            opened.m == plaintext(number, self.case.plaintext_bytes)
        };
        opened.len() == self.case.count && opened.iter().enumerate().all(is_sealed)
    }

    /// Judges that these are the plaintexts that were sealed.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn assert_opened(&self, opened: &[Opened]) {
        assert!(self.are_sealed(opened), "the sealed plaintexts");
    }

    /// What a member sends to each other one.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let hint_bytes = LENGTH_BYTES + self.hint_message(0).len();
        Traffic { share_bytes: LENGTH_BYTES + self.shares[0].len(), hint_bytes }
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

    /// The points of somebody else in another order, under the signature of this member.
    fn bad_share(&self, member: usize, model: &SignedShare) -> SignedShare {
        let index = SequencerIndex::from_position(member).expect("a member");
        let mut share = SignedShare { index, ..model.clone() };
        share.points.rotate_left(1);
        let number = index.to_be_bytes();
        let mut items: Vec<&[u8]> = vec![&number, share.batch.as_bytes()];
        items.extend(share.points.iter().map(|point| &point.as_bytes()[..]));
        items.extend([&share.challenge.as_bytes()[..], &share.response.as_bytes()[..]]);
        share.signature = self.dealt.consensus_secrets[member].sign(Tag::ShareMessage, &items);
        share
    }

    /// The positions that others combine.
    fn others(&self) -> impl Iterator<Item = usize> {
        let n = usize::from(self.case.n);
        (0..self.case.count).filter(move |position| !position.is_multiple_of(n))
    }

    fn hint_message(&self, member: usize) -> Vec<u8> {
        let part = (member..self.case.count).step_by(self.case.n.into());
        let hint = |position: usize| Hint { position: position as u32, rho: self.hints[position] };
        ShareMessage::Hints { height: HEIGHT, hints: part.map(hint).collect() }.encode()
    }

    fn opening(&self, verified: &[VerifiedBundle]) -> Opening {
        let batch = Batch::of_order(&self.order, verified).expect("they are the order's");
        Opening::new(self.dealt.committee.clone(), batch, BTreeSet::new())
    }

    fn with_shares(&self, mut opening: Opening, own: SignedShare) -> Opening {
        assert_eq!(opening.add_share(own, &self.pool), Reception::Kept);
        for bytes in self.bad_shares.iter().chain(&self.shares) {
            assert_eq!(opening.add_share(received(bytes), &self.pool), Reception::Kept);
        }
        assert_eq!(opening.culprits().len(), self.bad_shares.len(), "who lied is named");
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

fn message(share: SignedShare) -> Vec<u8> {
    ShareMessage::Share { height: HEIGHT, share: Box::new(share) }.encode()
}

fn received(bytes: &[u8]) -> SignedShare {
    match ShareMessage::decode(bytes) {
        Ok(ShareMessage::Share { share, .. }) => *share,
        other => panic!("a share was encoded here, not {other:?}"),
    }
}

fn received_hints(bytes: &[u8]) -> Vec<Hint> {
    match ShareMessage::decode(bytes) {
        Ok(ShareMessage::Hints { hints, .. }) => hints,
        other => panic!("hints were encoded here, not {other:?}"),
    }
}

fn randomness_of(count: usize) -> Vec<SealRandomness> {
    let mut rng = ChaCha20Rng::from_seed([18; 32]);
    (0..count).map(|_| randomness(&mut rng)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As many shares as suffice, and as many wrong ones before them as there can be.
    #[test]
    fn bad_shares_are_named_and_everything_opens() {
        for (n, count) in [(4, 9), (7, 3), (16, 1)] {
            let mut sequencers = Sequencers::new(Case { n, count, plaintext_bytes: 512 });
            for bad in [0, 1, (n - 1) / 3] {
                sequencers.use_bad_shares(bad);
                sequencers.assert_opened(&sequencers.open());
                sequencers.assert_opened(&sequencers.open_divided());
            }
        }
    }

    #[test]
    fn what_is_sealed_on_the_pool_opens() {
        let sequencers = Sequencers::new(Case { n: 4, count: 1, plaintext_bytes: 512 });
        let plaintexts: Vec<_> = (0..3).map(|number| plaintext(number, 512)).collect();
        let sealed = sequencers.seal_many(&plaintexts);
        assert_eq!(sequencers.open_sealed(&sealed), Some(plaintexts));
    }
}
