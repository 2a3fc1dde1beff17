//! What traders of a local network send: bundles of real signed EIP-1559 transactions from fresh accounts.
//!
//! Everything here follows from the seed, so that the attacked and the control run see the same
//! flow; the sealing randomness and the network's keys never do.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use fairveil_crypto::envelope::SizeClass;
use fairveil_mempool::bundle::{Bundle, Leg, Policy};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha20Rng;
use secp256k1::{
    Message, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use super::LocalError;

/// Rollups of a local network.
pub(crate) const ROLLUPS: [u64; 3] = [901, 902, 903];

/// Gas of a transaction with a few words of calldata.
const GAS_LIMIT: u64 = 120_000;

/// An account with a key of its own.
pub(crate) struct Account {
    secret: SecretKey,
    nonce: u64,
}

impl Account {
    /// A fresh account.
    pub(crate) fn fresh(rng: &mut impl Rng) -> Self {
        loop {
            let bytes: [u8; 32] = rng.random();
            if let Ok(secret) = SecretKey::from_secret_bytes(bytes) {
                return Self { secret, nonce: 0 };
            }
        }
    }

    /// The next transaction of this account on `chain_id`, signed, in its EIP-2718 encoding.
    pub(crate) fn transaction(
        &mut self,
        chain_id: u64,
        to: Address,
        value: u128,
        input: Bytes,
    ) -> Vec<u8> {
        let transaction = TxEip1559 {
            chain_id,
            nonce: self.nonce,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            access_list: Default::default(),
            input,
        };
        self.nonce += 1;
        let signature = sign(&self.secret, transaction.signature_hash().0);
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
    }
}

/// What the control arm lets its leader read, and what the sealed arm hides: who trades how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trade {
    /// The rollup of the first leg.
    pub(crate) chain_id: u64,
    /// Value moved by its first transaction, in wei.
    pub(crate) value: u128,
}

/// One trader's bundle and its plan.
pub(crate) struct Planned {
    /// The bundle in plaintext; it never leaves this process unsealed.
    pub(crate) bundle: Bundle,
    /// What a reader of the plaintext could act upon.
    pub(crate) trade: Trade,
    /// Milliseconds after the start at which the trader submits.
    pub(crate) at_ms: u64,
}

/// `count` bundles with 1 to 3 legs of 1 to 3 transactions, about `per_second` of them.
pub(crate) fn plan(seed: u64, count: usize, per_second: u64) -> Vec<Planned> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut at_us = 0;
    (0..count)
        .map(|_| {
            at_us += rng.random_range(0..=2_000_000 / per_second.max(1));
            let (bundle, trade) = bundle(&mut rng);
            Planned { bundle, trade, at_ms: at_us / 1000 }
        })
        .collect()
}

/// What [`bundle_of`] leaves of the bytes for the length before a bundle, and for the headers of
/// longer inputs.
const SLACK_BYTES: usize = 32;

/// A bundle of two legs with one transaction each that fills the plaintext of `bytes` of its size
/// class but for up to [`SLACK_BYTES`].
pub(crate) fn bundle_of(rng: &mut impl Rng, bytes: usize) -> Result<Bundle, LocalError> {
    let mut account = Account::fresh(rng);
    let to = Address::from(rng.random::<[u8; 20]>());
    let mut with_inputs = |input: usize| {
        let mut leg = |chain_id| {
            let input = (0..input).map(|_| rng.random()).collect::<Vec<u8>>();
            account.nonce = 0;
            let transaction = account.transaction(chain_id, to, 1, Bytes::from(input));
            Leg { chain_id, transactions: vec![transaction.into()] }
        };
        let legs = vec![leg(ROLLUPS[0]), leg(ROLLUPS[1])];
        Bundle::new(Policy::Include, legs).map_err(|error| LocalError::Other(error.to_string()))
    };
    let least = with_inputs(0)?.encode().len() + SLACK_BYTES;
    let most = SizeClass::MAX.plaintext_bytes();
    if !(least..=most).contains(&bytes) {
        let why = format!("bundles of {bytes} bytes: from {least} to {most} can be made");
        return Err(LocalError::Other(why));
    }
    with_inputs((bytes - least) / 2)
}

/// One bundle and what its first transaction does.
pub(crate) fn bundle(rng: &mut impl Rng) -> (Bundle, Trade) {
    let mut chains = ROLLUPS.to_vec();
    chains.retain(|_| rng.random_bool(0.6));
    if chains.is_empty() {
        chains.extend(ROLLUPS.choose(rng));
    }
    let mut account = Account::fresh(rng);
    let mut trade = None;
    let legs = chains
        .into_iter()
        .map(|chain_id| {
            let transactions = (0..rng.random_range(1..=3))
                .map(|_| {
                    let value = rng.random_range(1..1_000_000_000_000_000_000);
                    trade.get_or_insert(Trade { chain_id, value });
                    let input: [u8; 36] = rng.random();
                    let to = Address::from(rng.random::<[u8; 20]>());
                    account.transaction(chain_id, to, value, Bytes::from(input.to_vec())).into()
                })
                .collect();
            Leg { chain_id, transactions }
        })
        .collect();
    let trade = trade.unwrap_or(Trade { chain_id: ROLLUPS[0], value: 0 });
    (Bundle::new(Policy::Include, legs).expect("three small legs make a bundle"), trade)
}

fn sign(secret: &SecretKey, hash: [u8; 32]) -> Signature {
    let signed = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash), secret);
    let (recovery, compact) = signed.serialize_compact();
    let (r, s) = compact.split_at(32);
    let odd = matches!(recovery, RecoveryId::One | RecoveryId::Three);
    Signature::from_scalars_and_parity(B256::from_slice(r), B256::from_slice(s), odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_fill_the_class_that_was_asked_for() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        for bytes in [512, 1_024, 4_096, 65_536] {
            let bundle = bundle_of(&mut rng, bytes).unwrap();
            let class = SizeClass::fitting(bytes).unwrap();
            assert_eq!(bundle.smallest_class(), class, "{bytes}");
            assert!(bundle.encode().len() + 2 * SLACK_BYTES > bytes, "{bytes}");
        }
        for (bytes, said) in [(20, "bundles of 20 bytes"), (70_000, "to 65536 can be made")] {
            let error = bundle_of(&mut rng, bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
