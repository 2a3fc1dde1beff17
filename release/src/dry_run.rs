//! The dry run of a bundle: what it would do over states that the trader pins, before it is sealed.
//!
//! The bundle is judged as a sequencer would judge it: first what no state can make valid
//! ([`crate::validity`]), then jointly over all of its rollups, each leg in the block that is given
//! ([`fairveil_execution`]), by the policy that the bundle has. Nothing leaves the machine.
//!
//! # Invariants
//!
//! 1. A verdict is a function of the bundle, the states and the blocks.
//! 2. A leg on a chain without a state has no verdict of its own: the bundle is *unavailable*.
//!
//! # What it does not promise
//!
//! Bundles that are ordered before this one may change what it meets, and a state that is pinned is
//! as old as its pin.

use std::sync::Arc;

use fairveil_execution::bundle::{self, BundleError};
use fairveil_execution::sender::{SenderError, SetCode, SignedTransaction, recover_senders};
use fairveil_execution::simulator::{self, Limits, Simulator, SimulatorError};
use fairveil_mempool::{Bundle, Policy};
use rayon::ThreadPool;
use thiserror::Error;

pub use fairveil_execution::block::{Block, Hardfork, L1Fees};
pub use fairveil_execution::genesis::{GenesisError, MAX_GENESIS_BYTES, parse_genesis};
pub use fairveil_execution::outcome::{Dropped, LegReceipts, Outcome, Receipt};
pub use fairveil_execution::state::MemoryState;

use crate::failed::Failed;
use crate::registry::Rollup;
use crate::validity::valid_transaction;

/// A rollup as the trader pins it.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Its chain id.
    pub chain_id: u64,
    /// Its state.
    pub state: MemoryState,
    /// The block in which the leg would stand.
    pub block: Block,
}

/// What would become of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No state makes it valid.
    Failed(Failed),
    /// What the simulation says.
    Simulated(Outcome),
}

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DryRunError {
    /// A chain is pinned twice.
    #[error(transparent)]
    Pinned(#[from] SimulatorError),
    /// A transaction that is valid by its form, and that the simulation can't read.
    #[error("leg {leg}, transaction {tx} can't be simulated: {why}")]
    Sender {
        /// The leg, counted from zero.
        leg: u16,
        /// The transaction in the leg, counted from zero.
        tx: u16,
        /// Why it has no sender.
        why: SenderError,
    },
    /// More than a simulation counts.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl Verdict {
    /// Whether all of its legs would be released.
    pub fn is_released(&self) -> bool {
        matches!(self, Self::Simulated(Outcome::Kept { .. }))
    }
}

/// What would become of `bundle`, its senders recovered in parallel on `pool`.
pub fn dry_run(
    pool: &ThreadPool,
    bundle: &Bundle,
    pinned: Vec<Pinned>,
) -> Result<Verdict, DryRunError> {
    let known = |chain_id| pinned.iter().find(|rollup| rollup.chain_id == chain_id);
    let unknown = bundle.legs().iter().find(|leg| known(leg.chain_id).is_none());
    let block = |chain_id| known(chain_id).map(|rollup| rollup.block);
    if let Some(failed) = never_valid(bundle, block) {
        return Ok(Verdict::Failed(failed));
    }
    if let Some(leg) = unknown {
        return Ok(Verdict::Simulated(Outcome::Unavailable { chain_id: leg.chain_id }));
    }
    let transactions: Vec<_> = bundle
        .legs()
        .iter()
        .flat_map(|leg| leg.transactions.iter().map(|raw| (leg.chain_id, raw)))
        .map(|(chain_id, raw)| SignedTransaction {
            raw: raw.clone(),
            chain_id,
            set_code: block(chain_id).map_or(SetCode::Refused, set_code),
        })
        .collect();
    let mut recovered = recover_senders(pool, &transactions).into_iter();
    let mut legs = Vec::with_capacity(bundle.legs().len());
    for (leg, at) in bundle.legs().iter().zip(0u16..) {
        let senders = recovered.by_ref().take(leg.transactions.len()).zip(0u16..);
        let sender = |(sender, tx): (Result<_, SenderError>, u16)| {
            sender.map_err(|why| DryRunError::Sender { leg: at, tx, why })
        };
        let transactions = senders.map(sender).collect::<Result<_, _>>()?;
        legs.push(bundle::Leg { chain_id: leg.chain_id, transactions });
    }
    let policy = match bundle.policy() {
        Policy::Include => bundle::Policy::Include,
        Policy::Execute => bundle::Policy::Execute,
    };
    let bundle = bundle::Bundle::new(policy, legs)?;
    let rollups = pinned.into_iter().map(|Pinned { chain_id, state, block }| simulator::Rollup {
        chain_id,
        digest: state.digest(),
        view: Some(Arc::new(state)),
        block,
    });
    let mut simulator = Simulator::new(rollups.collect(), Limits::default())?;
    Ok(Verdict::Simulated(simulator.simulate(&bundle)))
}

/// Why no state makes the bundle valid. Without a block the limits are those of any rollup.
fn never_valid(bundle: &Bundle, block: impl Fn(u64) -> Option<Block>) -> Option<Failed> {
    for (leg, at) in bundle.legs().iter().zip(0u16..) {
        let recorder = Rollup::recorder(leg.chain_id, "pinned");
        let rollup = match block(leg.chain_id) {
            None => Rollup { gas_limit: u64::MAX, allows_set_code: true, ..recorder },
            Some(block) => Rollup {
                gas_limit: block.gas_limit,
                allows_set_code: set_code(block) == SetCode::Taken,
                ..recorder
            },
        };
        for (raw, tx) in leg.transactions.iter().zip(0u16..) {
            if let Err(why) = valid_transaction(raw, &rollup) {
                return Some(Failed::LegInvalid { leg: at, tx, why });
            }
        }
    }
    None
}

fn set_code(block: Block) -> SetCode {
    if block.hardfork >= Hardfork::Isthmus { SetCode::Taken } else { SetCode::Refused }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_consensus::crypto::secp256k1::sign_message;
    use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
    use fairveil_execution::outcome::{Fault, Invalid as Refused};
    use fairveil_mempool::Leg;

    use super::*;
    use crate::failed::Invalid;
    use crate::world::POOL;

    /// The address of the key of thirty-two bytes of 1.
    const SENDER: Address = address!("1a642f0e3c3af545e7acbd38b07251b3990914f1");
    /// Its code reverts with nothing: PUSH1 0, PUSH1 0, REVERT.
    const REVERTS: Address = Address::repeat_byte(0xee);

    fn state(balance: u64) -> MemoryState {
        let genesis = format!(
            r#"{{"alloc": {{"{SENDER}": {{"balance": "{balance}"}},
                "{REVERTS}": {{"balance": "0", "code": "0x60006000fd"}}}}}}"#
        );
        parse_genesis(genesis.as_bytes()).unwrap()
    }

    fn pinned(chain_id: u64, balance: u64) -> Pinned {
        let block = Block {
            number: 1,
            timestamp_s: 1_800_000_000,
            base_fee: 0,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            prevrandao: B256::ZERO,
            hardfork: Hardfork::Isthmus,
            l1_fees: L1Fees::Nothing,
        };
        Pinned { chain_id, state: state(balance), block }
    }

    fn transaction(chain_id: u64, nonce: u64, to: Address, value: u64) -> Bytes {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 60_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            ..TxEip1559::default()
        };
        let hash = transaction.signature_hash();
        let signature = sign_message(B256::repeat_byte(1), hash).unwrap();
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    fn run(policy: Policy, legs: Vec<(u64, Vec<Bytes>)>) -> Verdict {
        let leg = |(chain_id, transactions)| Leg { chain_id, transactions };
        let bundle = Bundle::new(policy, legs.into_iter().map(leg).collect()).unwrap();
        dry_run(&POOL, &bundle, vec![pinned(901, 100), pinned(902, 100)]).unwrap()
    }

    #[test]
    fn a_good_bundle_is_released_with_a_receipt_per_transaction() {
        let to = Address::repeat_byte(7);
        let legs = vec![
            (901, vec![transaction(901, 0, to, 60), transaction(901, 1, to, 40)]),
            (902, vec![transaction(902, 0, to, 100)]),
        ];
        for policy in [Policy::Include, Policy::Execute] {
            let verdict = run(policy, legs.clone());
            assert!(verdict.is_released());
            let Verdict::Simulated(Outcome::Kept { legs }) = verdict else { panic!("kept") };
            let gas: Vec<_> = legs.iter().map(|leg| (leg.chain_id, leg.receipts.len())).collect();
            assert_eq!(gas, [(901, 2), (902, 1)]);
            assert!(legs.iter().flat_map(|leg| &leg.receipts).all(|tx| tx.gas_used == 21_000));
        }
    }

    #[test]
    fn only_a_revert_separates_the_policies() {
        let legs = vec![
            (901, vec![transaction(901, 0, Address::ZERO, 1)]),
            (902, vec![transaction(902, 0, REVERTS, 0)]),
        ];
        assert!(run(Policy::Include, legs.clone()).is_released());
        let fault = Fault::Reverted { data: Bytes::new(), length_bytes: 0 };
        let dropped = Dropped::Failed { leg: 1, tx: 0, why: fault };
        assert_eq!(run(Policy::Execute, legs), Verdict::Simulated(Outcome::Dropped(dropped)));
        let legs = vec![(901, vec![transaction(901, 0, Address::ZERO, 101)])];
        for policy in [Policy::Include, Policy::Execute] {
            let verdict = run(policy, legs.clone());
            assert!(!verdict.is_released());
            let why = Refused::Balance { actual: U256::from(100), needed: U256::from(101) };
            let dropped = Dropped::Invalid { leg: 0, tx: 0, why };
            assert_eq!(verdict, Verdict::Simulated(Outcome::Dropped(dropped)));
        }
    }

    #[test]
    fn what_no_state_makes_valid_is_named_as_the_release_names_it() {
        let legs = vec![(901, vec![transaction(902, 0, Address::ZERO, 1)])];
        let failed = Failed::LegInvalid { leg: 0, tx: 0, why: Invalid::ChainId };
        assert_eq!(run(Policy::Include, legs), Verdict::Failed(failed));
    }

    #[test]
    fn invariant_2_without_a_state_there_is_no_verdict() {
        let legs = vec![
            (901, vec![transaction(901, 0, Address::ZERO, 1)]),
            (903, vec![transaction(903, 0, Address::ZERO, 1)]),
        ];
        let unavailable = Outcome::Unavailable { chain_id: 903 };
        assert_eq!(run(Policy::Execute, legs), Verdict::Simulated(unavailable));
    }

    #[test]
    fn a_chain_is_pinned_once() {
        let leg = Leg { chain_id: 901, transactions: vec![transaction(901, 0, SENDER, 1)] };
        let bundle = Bundle::new(Policy::Include, vec![leg]).unwrap();
        let twice = vec![pinned(901, 1), pinned(901, 2)];
        let error = SimulatorError::ChainTwice { chain_id: 901 };
        assert_eq!(dry_run(&POOL, &bundle, twice), Err(error.into()));
    }
}
