//! What traders of a local network send: bundles of real signed EIP-1559 transactions from fresh accounts.
//!
//! Everything here follows from the seed, so that the attacked and the control run see the same
//! flow; the sealing randomness and the network's keys never do.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
#[cfg(any(feature = "bench", test))]
use fairveil_crypto::envelope::SizeClass;
use fairveil_mempool::bundle::{Bundle, Leg, Policy};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha20Rng;
use secp256k1::{
    Message, PublicKey, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use super::LocalError;

/// Rollups of a local network.
pub(crate) const ROLLUPS: [u64; 3] = [901, 902, 903];

/// Gas of a transaction with a few words of calldata.
const GAS_LIMIT: u64 = 120_000;
/// What each transaction pays per gas on top of the base fee, in wei.
pub(crate) const PRIORITY_FEE: u128 = 1_000_000;
const MAX_FEE: u128 = 2_000_000_000;
/// What an account needs for all that its bundle does on one rollup, in wei: 4 ether.
pub(crate) const FUNDS_WEI: u128 = 4_000_000_000_000_000_000;

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

    /// Its address.
    pub(crate) fn address(&self) -> Address {
        let key = PublicKey::from_secret_key(&self.secret);
        Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
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
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: PRIORITY_FEE,
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

/// What a transaction pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payment {
    /// The rollup.
    pub(crate) chain_id: u64,
    /// Who gets it.
    pub(crate) to: Address,
    /// How much, in wei.
    pub(crate) value: u128,
}

/// One trader's bundle and its plan.
#[derive(Clone)]
pub(crate) struct Planned {
    /// The bundle in plaintext; it never leaves this process unsealed.
    pub(crate) bundle: Bundle,
    /// What a reader of the plaintext could act upon.
    pub(crate) trade: Trade,
    /// Who signs all of its transactions, from nonce 0 on on every rollup.
    pub(crate) sender: Address,
    /// What each of its transactions pays to whom.
    pub(crate) payments: Vec<Payment>,
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
            Planned { at_ms: at_us / 1000, ..planned(&mut rng) }
        })
        .collect()
}

/// What [`bundle_of`] leaves of the bytes for the length before a bundle, and for the headers of
/// longer inputs.
#[cfg(any(feature = "bench", test))]
const SLACK_BYTES: usize = 32;

/// A bundle of two legs with one transaction each that fills the plaintext of `bytes` of its size
/// class but for up to [`SLACK_BYTES`].
#[cfg(any(feature = "bench", test))]
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

/// A bundle that is submitted at once, of a fresh account: one leg per entry of `legs`, in which a
/// payment without a value goes to a contract that refuses it.
pub(crate) fn payments(
    rng: &mut impl Rng,
    policy: Policy,
    legs: &[(u64, Option<u128>)],
    refusing: Address,
) -> Result<Planned, LocalError> {
    let mut account = Account::fresh(rng);
    let mut payments = Vec::new();
    let legs = legs.iter().map(|&(chain_id, value)| {
        account.nonce = 0;
        let to = value.map_or(refusing, |_| Address::from(rng.random::<[u8; 20]>()));
        let payment = Payment { chain_id, to, value: value.unwrap_or(0) };
        payments.push(payment);
        let transaction = account.transaction(chain_id, to, payment.value, Bytes::new());
        Leg { chain_id, transactions: vec![transaction.into()] }
    });
    let bundle = Bundle::new(policy, legs.collect());
    let bundle = bundle.map_err(|error| LocalError::Other(error.to_string()))?;
    let first = payments.first().copied();
    let trade = first.map_or(Trade { chain_id: 0, value: 0 }, |first| Trade {
        chain_id: first.chain_id,
        value: first.value,
    });
    Ok(Planned { bundle, trade, sender: account.address(), payments, at_ms: 0 })
}

/// One bundle that is submitted at once, with what it does.
pub(crate) fn planned(rng: &mut impl Rng) -> Planned {
    let mut chains = ROLLUPS.to_vec();
    chains.retain(|_| rng.random_bool(0.6));
    if chains.is_empty() {
        chains.extend(ROLLUPS.choose(rng));
    }
    let mut account = Account::fresh(rng);
    let mut trade = None;
    let mut payments = Vec::new();
    let legs = chains
        .into_iter()
        .map(|chain_id| {
            account.nonce = 0;
            let transactions = (0..rng.random_range(1..=3))
                .map(|_| {
                    let value = rng.random_range(1..1_000_000_000_000_000_000);
                    trade.get_or_insert(Trade { chain_id, value });
                    let input: [u8; 36] = rng.random();
                    let to = Address::from(rng.random::<[u8; 20]>());
                    payments.push(Payment { chain_id, to, value });
                    account.transaction(chain_id, to, value, Bytes::from(input.to_vec())).into()
                })
                .collect();
            Leg { chain_id, transactions }
        })
        .collect();
    let trade = trade.unwrap_or(Trade { chain_id: ROLLUPS[0], value: 0 });
    let bundle = Bundle::new(Policy::Include, legs).expect("three small legs make a bundle");
    Planned { bundle, trade, sender: account.address(), payments, at_ms: 0 }
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
