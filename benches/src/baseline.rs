//! The baseline: a committee of `threshold_crypto` and what one of its members does.
//!
//! Every step takes what its interface offers at best: points that are decoded already, public key
//! shares that were evaluated before, a ciphertext that is verified once, ciphertexts spread over
//! a thread pool. What it can not leave out is checking the shares of others: its ciphertext is a
//! one-time pad, so one wrong share gives a wrong plaintext that nobody notices.

use fairveil_crypto::committee::threshold;
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::SeedableRng;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use threshold_crypto::{
    Ciphertext, DecryptionShare, PublicKeySet, PublicKeyShare, SecretKeySet, SecretKeyShare,
};

/// A committee with ciphertexts and the decryption shares of others.
pub struct Baseline {
    secret: SecretKeySet,
    public: PublicKeySet,
    public_key_shares: Vec<PublicKeyShare>,
    own: SecretKeyShare,
    bad: usize,
    pool: ThreadPool,
    sealed: Vec<Sealed>,
}

struct Sealed {
    ciphertext: Ciphertext,
    /// Of members 1 to t, from 0 on; that of the first is computed anew in every run.
    shares: Vec<DecryptionShare>,
}

impl Baseline {
    /// A committee of n with the threshold of ours, and ciphertexts of these plaintexts, handled
    /// by so many threads. Everything follows from a fixed seed.
    ///
    /// # Panics
    ///
    /// If there are no threads to be had.
    #[must_use]
    pub fn new(n: u16, plaintexts: &[Vec<u8>], threads: usize) -> Self {
        let t = usize::from(threshold(n));
        let mut rng = ChaCha20Rng::from_seed([17; 32]);
        let secret = SecretKeySet::random(t - 1, &mut rng);
        let public = secret.public_keys();
        let pool = pool(threads);
        let ciphertexts: Vec<Ciphertext> = plaintexts
            .iter()
            .map(|plaintext| public.public_key().encrypt_with_rng(&mut rng, plaintext))
            .collect();
        let seal = |ciphertext: Ciphertext| {
            let share = |member| {
                secret.secret_key_share::<usize>(member).decrypt_share_no_verify(&ciphertext)
            };
            Sealed { shares: (0..t).map(share).collect(), ciphertext }
        };
        Self {
            public_key_shares: (0..usize::from(n)).map(|i| public.public_key_share(i)).collect(),
            own: secret.secret_key_share(0usize),
            bad: 0,
            sealed: pool.install(|| ciphertexts.into_par_iter().map(seal).collect()),
            pool,
            public,
            secret,
        }
    }

    /// The same committee, whose last `bad` members sent wrong shares, which came first.
    #[must_use]
    pub fn with_bad_shares(self, bad: u16) -> Self {
        Self { bad: bad.into(), ..self }
    }

    /// How many ciphertexts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sealed.len()
    }

    /// Encrypts plaintexts, each worker with randomness of its own.
    #[must_use]
    pub fn seal(&self, plaintexts: &[Vec<u8>]) -> Vec<Ciphertext> {
        let seal = |(number, plaintext): (usize, &Vec<u8>)| {
            let mut rng = rng_of(number);
            self.public.public_key().encrypt_with_rng(&mut rng, plaintext)
        };
        self.pool.install(|| plaintexts.par_iter().enumerate().map(seal).collect())
    }

    /// Opens what [`Self::seal`] sealed with the shares of t members; nothing where one does not
    /// verify.
    #[must_use]
    pub fn open_sealed(&self, ciphertexts: &[Ciphertext]) -> Option<Vec<Vec<u8>>> {
        let open = |ciphertext: &Ciphertext| {
            let share = |member| {
                let key_share = self.secret.secret_key_share::<usize>(member);
                key_share.decrypt_share_no_verify(ciphertext)
            };
            let shares: Vec<DecryptionShare> = (0..=self.public.threshold()).map(share).collect();
            let opened = self.public.decrypt(shares.iter().enumerate(), ciphertext).ok();
            opened.filter(|_| ciphertext.verify())
        };
        self.pool.install(|| ciphertexts.par_iter().map(open).collect())
    }

    /// Verifies every ciphertext.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.pool.install(|| self.sealed.par_iter().all(|sealed| sealed.ciphertext.verify()))
    }

    /// The own shares of the verified ciphertexts.
    #[must_use]
    pub fn share(&self) -> Vec<DecryptionShare> {
        let share = |sealed: &Sealed| self.own.decrypt_share_no_verify(&sealed.ciphertext);
        self.pool.install(|| self.sealed.par_iter().map(share).collect())
    }

    /// Checks the share of one other member, from 0, of the first ciphertext.
    #[must_use]
    pub fn check_share(&self, member: usize) -> bool {
        let sealed = &self.sealed[0];
        self.check(member, &sealed.shares[member], sealed)
    }

    /// Checks what came: the wrong shares, then t-1 right ones of others. Whether the verdicts are
    /// the right ones.
    #[must_use]
    pub fn check_shares(&self) -> bool {
        let n = self.public_key_shares.len();
        let check = |sealed: &Sealed| {
            let wrong = (n - self.bad..n).all(|member| {
                // A share of somebody else: a point as good as any that is not the right one.
                !self.check(member, &sealed.shares[0], sealed)
            });
            let mut others = sealed.shares.iter().enumerate().skip(1);
            wrong && others.all(|(member, share)| self.check(member, share, sealed))
        };
        self.pool.install(|| self.sealed.par_iter().all(check))
    }

    /// The plaintexts from the own shares and those of others.
    ///
    /// # Panics
    ///
    /// If there is not an own share for every ciphertext.
    #[must_use]
    pub fn combine(&self, own: &[DecryptionShare]) -> Vec<Vec<u8>> {
        assert_eq!(own.len(), self.sealed.len());
        let combine = |(sealed, own): (&Sealed, &DecryptionShare)| {
            let others = sealed.shares.iter().enumerate().skip(1);
            let shares = std::iter::once((0, own)).chain(others);
            self.public.decrypt(shares, &sealed.ciphertext).expect("there are t shares")
        };
        self.pool.install(|| self.sealed.par_iter().zip(own).map(combine).collect())
    }

    /// Everything: verify, own share, the others' shares, combine.
    ///
    /// # Panics
    ///
    /// If something does not verify.
    #[must_use]
    pub fn open(&self) -> Vec<Vec<u8>> {
        assert!(self.verify());
        let own = self.share();
        assert!(self.check_shares());
        self.combine(&own)
    }

    /// Everything but the check of the others' shares.
    ///
    /// # Panics
    ///
    /// If a ciphertext does not verify.
    #[must_use]
    pub fn open_unchecked(&self) -> Vec<Vec<u8>> {
        assert!(self.verify());
        self.combine(&self.share())
    }

    fn check(&self, member: usize, share: &DecryptionShare, sealed: &Sealed) -> bool {
        self.public_key_shares[member].verify_decryption_share(share, &sealed.ciphertext)
    }
}

/// The randomness of one encryption.
fn rng_of(number: usize) -> ChaCha20Rng {
    let mut seed = [24; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ChaCha20Rng::from_seed(seed)
}

/// A pool of so many threads.
pub(crate) fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("the system gives threads")
}
