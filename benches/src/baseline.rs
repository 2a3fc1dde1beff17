//! The baseline: a committee of `threshold_crypto` and what one of its members does.
//!
//! Every step takes what its interface offers at best: points that are decoded already, public key
//! shares that were evaluated before, a ciphertext that is verified once. What it can not leave out
//! is checking the shares of others: its ciphertext is a one-time pad, so one wrong share gives a
//! wrong plaintext that nobody notices.

use fairveil_crypto::committee::threshold;
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::SeedableRng;
use threshold_crypto::{
    Ciphertext, DecryptionShare, PublicKeySet, PublicKeyShare, SecretKeySet, SecretKeyShare,
};

/// A committee with one ciphertext and t decryption shares of it.
pub struct Baseline {
    rng: ChaCha20Rng,
    public: PublicKeySet,
    public_key_shares: Vec<PublicKeyShare>,
    own: SecretKeyShare,
    ciphertext: Ciphertext,
    shares: Vec<DecryptionShare>,
}

impl Baseline {
    /// A committee of n with the threshold of ours, and a ciphertext of this plaintext.
    #[must_use]
    pub fn new(n: u16, plaintext: &[u8]) -> Self {
        let t = usize::from(threshold(n));
        let mut rng = ChaCha20Rng::from_seed([17; 32]);
        let secret = SecretKeySet::random(t - 1, &mut rng);
        let public = secret.public_keys();
        let ciphertext = public.public_key().encrypt_with_rng(&mut rng, plaintext);
        let share = |member: usize| {
            secret.secret_key_share(member).decrypt_share(&ciphertext).expect("it is valid")
        };
        Self {
            public_key_shares: (0..t).map(|member| public.public_key_share(member)).collect(),
            shares: (0..t).map(share).collect(),
            own: secret.secret_key_share(0usize),
            rng,
            public,
            ciphertext,
        }
    }

    /// Encrypts a plaintext.
    pub fn seal(&mut self, plaintext: &[u8]) -> Ciphertext {
        self.public.public_key().encrypt_with_rng(&mut self.rng, plaintext)
    }

    /// Verifies the ciphertext.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.ciphertext.verify()
    }

    /// The own share of the verified ciphertext.
    #[must_use]
    pub fn share(&self) -> DecryptionShare {
        self.own.decrypt_share_no_verify(&self.ciphertext)
    }

    /// Checks the share of another member.
    #[must_use]
    pub fn check_share(&self, member: usize) -> bool {
        self.public_key_shares[member]
            .verify_decryption_share(&self.shares[member], &self.ciphertext)
    }

    /// Checks the t-1 shares of others.
    ///
    /// # Panics
    ///
    /// If one is wrong.
    pub fn check_shares(&self) {
        assert!((1..self.shares.len()).all(|member| self.check_share(member)));
    }

    /// The plaintext from the own share and those of others.
    #[must_use]
    pub fn combine(&self, own: &DecryptionShare) -> Vec<u8> {
        let others = self.shares.iter().enumerate().skip(1);
        let shares = std::iter::once((0, own)).chain(others);
        self.public.decrypt(shares, &self.ciphertext).expect("there are t shares")
    }

    /// Everything: verify, own share, the others' shares, combine.
    ///
    /// # Panics
    ///
    /// If something does not verify.
    #[must_use]
    pub fn open(&self) -> Vec<u8> {
        assert!(self.verify());
        let own = self.share();
        self.check_shares();
        self.combine(&own)
    }

    /// Everything but the check of the others' shares.
    ///
    /// # Panics
    ///
    /// If the ciphertext does not verify.
    #[must_use]
    pub fn open_unchecked(&self) -> Vec<u8> {
        assert!(self.verify());
        self.combine(&self.share())
    }
}
