//! Static validity: what makes a bundle invalid whatever the state of any chain.
//!
//! An opened bundle is judged in this order, and the first thing found is its failed code:
//!
//! 1. `unknown_rollup`: the first leg, in order, whose chain is not registered;
//! 2. `rollup_paused`: the first leg whose rollup is paused;
//! 3. `leg_invalid`: the first transaction, by leg and place, that fails a check below;
//! 4. `state_unavailable`: under policy `execute`, the first leg whose rollup has no state to
//!    simulate over.
//!
//! A transaction is checked in this order (the order of [`Invalid`]):
//!
//! | check | rule |
//! |---|---|
//! | `size` | at most the rollup's byte limit |
//! | `type` | EIP-2718 type 0 (a list, no type byte), 1, 2, and 4 where the registry allows it |
//! | `encoding` | the one canonical encoding: decoding and encoding again gives the same bytes |
//! | `unprotected` | a legacy transaction is signed for a chain (EIP-155) |
//! | `chain_id` | and that chain is the leg's |
//! | `nonce` | below 2^64 - 1 (EIP-2681) |
//! | `fee` | the priority fee is not above the maximum fee (EIP-1559) |
//! | `gas_limit` | at most the rollup's gas limit |
//! | `init_code` | at most 49,152 bytes where a contract is created (EIP-3860) |
//! | `intrinsic_gas` | the gas limit pays for the intrinsic gas and the calldata floor |
//! | `authorization` | type 4 has at least one authorization (EIP-7702) |
//! | `high_s` | s is at most half of the curve's order (EIP-2) |
//! | `signature` | r and s are in range and the signature recovers |
//!
//! Intrinsic gas is 21,000, 4 per zero and 16 per other byte of input, 32,000 and 2 per word of
//! init code where a contract is created, 2,400 per address and 1,900 per key of the access list,
//! 25,000 per authorization. The floor (EIP-7623) is 21,000 plus 10 per token of input, where a
//! zero byte is one token and any other byte four. It is applied to every rollup: one that does
//! not charge it yet refuses nothing more by it than transactions that its next upgrade refuses.
//!
//! # Invariants
//!
//! 1. The verdict is a function of the bundle and the registry; the pool and its size change
//!    nothing.
//! 2. Nothing here reads state: a transaction that passes may still revert, and on a rollup without
//!    a state it may even be invalid (nonce, balance). Batches say so: `unvalidated`.
//! 3. A [`ValidBundle`] is made here, or read back from where a sequencer stored its own; one that
//!    comes from a peer is judged again ([`ValidBundle::is_genuine`]). So nothing unchecked is
//!    placed in a batch, and no sender is taken on trust.

use alloy_consensus::crypto::{SECP256K1N_HALF, secp256k1};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip7623;
use alloy_primitives::Address;
use fairveil_mempool::{Bundle, Leg, Policy};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::failed::{Failed, Invalid};
use crate::registry::{Registry, Rollup};
use crate::transaction::RawTransaction;
use crate::tree::LegDigest;

/// The longest init code (EIP-3860).
pub const MAX_INIT_CODE_BYTES: usize = 49_152;

const TRANSACTION_GAS: u64 = 21_000;
const CREATE_GAS: u64 = 32_000;
const INIT_CODE_WORD_GAS: u64 = 2;
const ACCESS_ADDRESS_GAS: u64 = 2_400;
const ACCESS_KEY_GAS: u64 = 1_900;
const AUTHORIZATION_GAS: u64 = 25_000;

/// A transaction that passed every static check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidTransaction {
    /// The signer.
    pub sender: Address,
    /// The gas that it may use.
    pub gas_limit: u64,
}

/// A bundle that passed every static check: what batches are cut from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidBundle {
    policy: Policy,
    legs: Vec<ValidLeg>,
}

/// The leg of a [`ValidBundle`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidLeg {
    pub(crate) chain_id: u64,
    pub(crate) gas: u64,
    pub(crate) transactions: Vec<RawTransaction>,
    pub(crate) senders: Vec<Address>,
}

impl ValidBundle {
    /// What happens to the bundle when one of its transactions fails.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The legs, sorted by chain id; at least one.
    pub fn legs(&self) -> &[ValidLeg] {
        &self.legs
    }

    /// Judges these raw legs again, one transaction after the other.
    pub(crate) fn judge(
        registry: &Registry,
        policy: Policy,
        legs: Vec<(u64, Vec<RawTransaction>)>,
    ) -> Result<Self, Failed> {
        let leg = |(chain_id, transactions): (u64, Vec<RawTransaction>)| {
            let transactions = transactions.into_iter().map(RawTransaction::into_bytes);
            Leg { chain_id, transactions: transactions.collect() }
        };
        let bundle = Bundle::new(policy, legs.into_iter().map(leg).collect());
        let bundle = bundle.map_err(|_| Failed::Legs)?;
        let rollups = leg_rollups(registry, &bundle)?;
        let legs = bundle.legs().iter().zip(&rollups);
        let jobs =
            legs.flat_map(|(leg, rollup)| leg.transactions.iter().map(move |r| (r, *rollup)));
        let mut verdicts = jobs.map(|(raw, rollup)| valid_transaction(raw, rollup));
        assemble(&bundle, Ok(rollups.clone()), &mut verdicts)
    }

    /// Whether judging its raw transactions gives this very bundle.
    pub fn is_genuine(&self, registry: &Registry) -> bool {
        let legs = self.legs.iter().map(|leg| (leg.chain_id, leg.transactions.clone()));
        Self::judge(registry, self.policy, legs.collect()).is_ok_and(|judged| judged == *self)
    }

    /// The same type without the checks, so that cutting is tested on its own.
    #[cfg(test)]
    pub(crate) fn unchecked(policy: Policy, legs: Vec<ValidLeg>) -> Self {
        Self { policy, legs }
    }
}

impl ValidLeg {
    /// The rollup.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The sum of the transactions' gas limits.
    pub fn gas(&self) -> u64 {
        self.gas
    }

    /// The transactions in the trader's order; at least one.
    pub fn transactions(&self) -> &[RawTransaction] {
        &self.transactions
    }

    /// Who signed each of them.
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// The sum of the transactions' lengths.
    pub fn length_bytes(&self) -> u64 {
        self.transactions.iter().map(RawTransaction::length_bytes).sum()
    }

    /// What a tree commits to of it.
    pub fn digest(&self) -> LegDigest {
        LegDigest::new(self.chain_id, &self.transactions)
    }
}

/// Judges bundles, recovering all signers in parallel on `pool`. One verdict per bundle, in order.
pub fn valid_bundles(
    pool: &rayon::ThreadPool,
    registry: &Registry,
    bundles: &[Bundle],
) -> Vec<Result<ValidBundle, Failed>> {
    let rollups: Vec<_> = bundles.iter().map(|bundle| leg_rollups(registry, bundle)).collect();
    let mut jobs = Vec::new();
    for (bundle, rollups) in bundles.iter().zip(&rollups) {
        for (leg, rollup) in bundle.legs().iter().zip(rollups.iter().flatten()) {
            jobs.extend(leg.transactions.iter().map(|raw| (raw.as_ref(), *rollup)));
        }
    }
    let verdicts: Vec<_> = pool.install(|| {
        jobs.into_par_iter().map(|(raw, rollup)| valid_transaction(raw, rollup)).collect()
    });
    let mut verdicts = verdicts.into_iter();
    let judged = bundles.iter().zip(rollups);
    judged.map(|(bundle, rollups)| assemble(bundle, rollups, &mut verdicts)).collect()
}

/// Checks one transaction against its rollup.
pub fn valid_transaction(raw: &[u8], rollup: &Rollup) -> Result<ValidTransaction, Invalid> {
    let check = |passed: bool, why: Invalid| if passed { Ok(()) } else { Err(why) };
    check(raw.len() as u64 <= rollup.byte_limit, Invalid::Size)?;
    check(takes_type(raw, rollup), Invalid::Type)?;
    let transaction = TxEnvelope::decode_2718_exact(raw).map_err(|_| Invalid::Encoding)?;
    check(transaction.encoded_2718() == raw, Invalid::Encoding)?;
    let chain_id = transaction.chain_id().ok_or(Invalid::Unprotected)?;
    check(chain_id == rollup.chain_id, Invalid::ChainId)?;
    check(transaction.nonce() != u64::MAX, Invalid::Nonce)?;
    let priority_fee = transaction.max_priority_fee_per_gas().unwrap_or(0);
    check(priority_fee <= transaction.max_fee_per_gas(), Invalid::Fee)?;
    let gas_limit = transaction.gas_limit();
    check(gas_limit <= rollup.gas_limit, Invalid::GasLimit)?;
    let init_code = if transaction.is_create() { transaction.input().len() } else { 0 };
    check(init_code <= MAX_INIT_CODE_BYTES, Invalid::InitCode)?;
    check(gas_limit >= least_gas(&transaction), Invalid::IntrinsicGas)?;
    let unauthorized = transaction.authorization_list().is_some_and(<[_]>::is_empty);
    check(!unauthorized, Invalid::Authorization)?;
    let signature = transaction.signature();
    check(signature.s() <= SECP256K1N_HALF, Invalid::HighS)?;
    let sender = secp256k1::recover_signer(signature, transaction.signature_hash())
        .map_err(|_| Invalid::Signature)?;
    Ok(ValidTransaction { sender, gas_limit })
}

fn takes_type(raw: &[u8], rollup: &Rollup) -> bool {
    match raw.first() {
        Some(1 | 2) => true,
        Some(4) => rollup.allows_set_code,
        Some(0..=0x7f) => false,
        // A list is a legacy transaction; what is neither is refused by the decoder.
        _ => true,
    }
}

/// The larger of the intrinsic gas and the calldata floor.
fn least_gas(transaction: &TxEnvelope) -> u64 {
    let input = transaction.input();
    let tokens = eip7623::tokens_in_calldata(input);
    let mut intrinsic = TRANSACTION_GAS + eip7623::STANDARD_TOKEN_COST * tokens;
    if transaction.is_create() {
        intrinsic += CREATE_GAS + INIT_CODE_WORD_GAS * input.len().div_ceil(32) as u64;
    }
    for item in transaction.access_list().into_iter().flat_map(|list| list.iter()) {
        intrinsic += ACCESS_ADDRESS_GAS + ACCESS_KEY_GAS * item.storage_keys.len() as u64;
    }
    let authorizations = transaction.authorization_list().map_or(0, <[_]>::len);
    intrinsic += AUTHORIZATION_GAS * authorizations as u64;
    intrinsic.max(TRANSACTION_GAS + eip7623::TOTAL_COST_FLOOR_PER_TOKEN * tokens)
}

/// The rollup of every leg, or the first leg's trouble with the registry.
fn leg_rollups<'a>(registry: &'a Registry, bundle: &Bundle) -> Result<Vec<&'a Rollup>, Failed> {
    let rollups = bundle.legs().iter().map(|leg| {
        registry.rollup(leg.chain_id).ok_or(Failed::UnknownRollup { rollup: leg.chain_id })
    });
    let rollups = rollups.collect::<Result<Vec<_>, _>>()?;
    match rollups.iter().find(|rollup| rollup.paused) {
        Some(paused) => Err(Failed::RollupPaused { rollup: paused.chain_id }),
        None => Ok(rollups),
    }
}

/// One bundle's verdict; takes as many transaction verdicts as the bundle has jobs.
fn assemble(
    bundle: &Bundle,
    rollups: Result<Vec<&Rollup>, Failed>,
    verdicts: &mut impl Iterator<Item = Result<ValidTransaction, Invalid>>,
) -> Result<ValidBundle, Failed> {
    let rollups = rollups?;
    let mut first_invalid = None;
    let mut legs = Vec::with_capacity(bundle.legs().len());
    // A bundle has at most 64 KiB, hence fewer than 2^16 legs and transactions.
    for (leg, leg_index) in bundle.legs().iter().zip(0u16..) {
        let mut gas = 0u64;
        let mut senders = Vec::with_capacity(leg.transactions.len());
        for (verdict, tx) in verdicts.take(leg.transactions.len()).zip(0u16..) {
            match verdict {
                Ok(valid) => {
                    gas = gas.saturating_add(valid.gas_limit);
                    senders.push(valid.sender);
                }
                Err(why) => {
                    let failed = Failed::LegInvalid { leg: leg_index, tx, why };
                    first_invalid.get_or_insert(failed);
                }
            }
        }
        let transactions = leg.transactions.iter().cloned().map(RawTransaction::from).collect();
        legs.push(ValidLeg { chain_id: leg.chain_id, gas, transactions, senders });
    }
    if let Some(failed) = first_invalid {
        return Err(failed);
    }
    let policy = bundle.policy();
    let blind = rollups.iter().find(|rollup| rollup.state.is_none());
    match blind.filter(|_| policy == Policy::Execute) {
        Some(rollup) => Err(Failed::StateUnavailable { rollup: rollup.chain_id }),
        None => Ok(ValidBundle { policy, legs }),
    }
}

#[cfg(test)]
mod tests;
