//! The two rollups: the contracts of the examples in the EVM of `execution`.
//!
//! Each trade is what `examples/arbitrage` shows: a transaction that allows the pool to take what
//! is given away, and one that trades. Signatures have the length of real ones and are not made:
//! nothing here depends on them, and senders are told to the EVM.
//!
//! # Invariants
//!
//! 1. What the model computes of a bundle is what the EVM did: dropped or kept for every bundle,
//!    and at the end every reserve and every balance, to the unit. A run that finds a difference
//!    is an error, never a figure.
//! 2. No token appears or vanishes: what all accounts won together is what the pools lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use fairveil_crypto::envelope::SizeClass;
use fairveil_examples::arbitrage::{CHAINS, DOLLARS, GOLD, POOL};
use fairveil_examples::contract::{Contract, word};
use fairveil_execution::block::{Block, Hardfork, L1Fees};
use fairveil_execution::bundle::{Bundle, Leg, Policy};
use fairveil_execution::genesis::parse_genesis;
use fairveil_execution::outcome::Outcome;
use fairveil_execution::sender::{SetCode, SignedTransaction};
use fairveil_execution::simulator::{Finished, Limits, Rollup as Lane, Simulator};
use fairveil_execution::state::{MemoryState, StateView};
use serde_json::{Map, Value, json};

use super::MevError;
use super::amm::{Fill, MAX_UNITS, Market, Pool, Rollup, Side, Swap, Trade, WHOLE};

/// Units of dollars in each pool at first.
pub const DOLLAR_RESERVE: u64 = 2_000_000 * WHOLE;
/// Units of gold in each pool at first.
pub const GOLD_RESERVE: u64 = 1_000 * WHOLE;
/// Units of dollars that every account has on each rollup at first.
const DOLLAR_PURSE: u64 = 10_000_000 * WHOLE;
/// Units of gold.
const GOLD_PURSE: u64 = 5_000 * WHOLE;
/// The most accounts of a run.
pub const MAX_ACCOUNTS: usize = 4_096;
/// Transactions of a swap.
pub const TRANSACTIONS_PER_SWAP: u64 = 2;

const GAS_LIMIT: u64 = 200_000;
const BLOCK_GAS: u64 = 30_000_000;

/// The contracts, and the states that every run begins with.
pub struct Contracts {
    token: Contract,
    pool: Contract,
    states: [Arc<MemoryState>; 2],
}

/// A bundle, and the smallest size class that holds it.
#[derive(Clone, Debug)]
pub struct Written {
    /// For the EVM.
    pub bundle: Bundle,
    /// What is seen of its size while it is sealed.
    pub class: SizeClass,
}

/// The rollups in a run: the EVM, and the model beside it.
pub struct Chain {
    simulator: Simulator,
    market: Market,
    nonces: BTreeMap<(usize, Rollup), u64>,
    holdings: BTreeMap<(usize, Rollup), Fill>,
}

/// The market that every run begins with.
pub const fn genesis_market() -> Market {
    let pool = Pool { dollars: DOLLAR_RESERVE, gold: GOLD_RESERVE };
    Market { pools: [pool, pool] }
}

/// An account's address.
pub fn address(account: usize) -> Address {
    let hash = keccak256([b"mev account".as_slice(), &(account as u64).to_be_bytes()].concat());
    Address::from_slice(&hash[12..])
}

impl Contracts {
    /// Reads the compiled contracts and makes the states.
    ///
    /// # Errors
    ///
    /// If a contract is not of its form.
    pub fn new() -> Result<Self, MevError> {
        let (token, pool) = (Contract::token()?, Contract::pool()?);
        let json = genesis(&token, &pool)?;
        let state = parse_genesis(json.to_string().as_bytes())
            .map_err(|error| MevError::Contracts(error.to_string()))?;
        let state = Arc::new(state);
        Ok(Self { token, pool, states: [state.clone(), state] })
    }

    /// A trade as a bundle by policy `execute`, with the nonces of its first transaction by
    /// rollup.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn write(
        &self,
        account: usize,
        trade: &Trade,
        nonces: [u64; 2],
    ) -> Result<Written, MevError> {
        let other = |error: &dyn std::fmt::Display| MevError::Contracts(error.to_string());
        let (mut legs, mut sealed) = (Vec::new(), Vec::new());
        for swap in trade.swaps() {
            let chain_id = CHAINS[swap.rollup.index()];
            let raw = self.transactions(chain_id, swap, nonces[swap.rollup.index()])?;
            let signed = raw.iter().map(|raw| {
                let set_code = SetCode::Refused;
                SignedTransaction { raw: raw.clone(), chain_id, set_code }.sent_by(address(account))
            });
            let transactions = signed.collect::<Result<Vec<_>, _>>().map_err(|e| other(&e))?;
            legs.push(Leg { chain_id, transactions });
            sealed.push(fairveil_mempool::Leg { chain_id, transactions: raw });
        }
        let bundle = Bundle::new(Policy::Execute, legs).map_err(|error| other(&error))?;
        let policy = fairveil_mempool::Policy::Execute;
        let sealed =
            fairveil_mempool::Bundle::new(policy, sealed).map_err(|error| other(&error))?;
        Ok(Written { bundle, class: sealed.smallest_class() })
    }

    fn transactions(&self, chain_id: u64, swap: &Swap, nonce: u64) -> Result<Vec<Bytes>, MevError> {
        let Swap { side, gold, limit, .. } = *swap;
        let (token, units, method) = match side {
            Side::Buy => (DOLLARS, limit, "buy(uint256,uint256)"),
            Side::Sell => (GOLD, gold, "sell(uint256,uint256)"),
        };
        let allow = [word(POOL), U256::from(units)];
        let allow = self.token.call("approve(address,uint256)", &allow)?;
        let trade = self.pool.call(method, &[U256::from(gold), U256::from(limit)])?;
        Ok(vec![raw(chain_id, nonce, token, allow), raw(chain_id, nonce + 1, POOL, trade)])
    }

    /// The rollups at the beginning of a run.
    ///
    /// # Errors
    ///
    /// If they can't be simulated.
    pub fn chain(&self) -> Result<Chain, MevError> {
        let block = Block {
            number: 1,
            timestamp_s: 1_800_000_000,
            base_fee: 0,
            gas_limit: BLOCK_GAS,
            beneficiary: Address::ZERO,
            prevrandao: B256::ZERO,
            hardfork: Hardfork::Isthmus,
            l1_fees: L1Fees::Nothing,
        };
        let lane = |(chain_id, state): (u64, &Arc<MemoryState>)| Lane {
            chain_id,
            view: Some(state.clone()),
            digest: state.digest(),
            block,
        };
        let lanes = CHAINS.into_iter().zip(&self.states).map(lane).collect();
        let simulator = Simulator::new(lanes, Limits::default())
            .map_err(|error| MevError::Contracts(error.to_string()))?;
        let (nonces, holdings) = (BTreeMap::new(), BTreeMap::new());
        Ok(Chain { simulator, market: genesis_market(), nonces, holdings })
    }
}

impl Chain {
    /// Reserves as they are now.
    pub fn market(&self) -> Market {
        self.market
    }

    /// The next nonce of an account on a rollup.
    pub fn nonce(&self, account: usize, rollup: Rollup) -> u64 {
        self.nonces.get(&(account, rollup)).copied().unwrap_or(0)
    }

    /// Executes bundles of accounts, one after the other, in the EVM and in the model. What each
    /// did; None if it was dropped.
    ///
    /// # Errors
    ///
    /// If the two differ.
    pub fn execute(
        &mut self,
        items: &[(usize, &Trade, [u64; 2], &Bundle)],
    ) -> Result<Vec<Option<Fill>>, MevError> {
        let outcomes = self.simulator.simulate_all(items.iter().map(|(.., bundle)| *bundle));
        let mut fills = Vec::with_capacity(items.len());
        for ((account, trade, nonces, _), outcome) in items.iter().zip(&outcomes) {
            let fill = self.model(*account, trade, *nonces);
            if fill.is_some() != matches!(outcome, Outcome::Kept { .. }) {
                let what = format!("{trade:?}: the model says {fill:?}, the EVM {outcome:?}");
                return Err(MevError::Differ(what));
            }
            fills.push(fill);
        }
        Ok(fills)
    }

    fn model(&mut self, account: usize, trade: &Trade, nonces: [u64; 2]) -> Option<Fill> {
        let rollups = || trade.swaps().iter().map(|swap| swap.rollup);
        if rollups().any(|rollup| self.nonce(account, rollup) != nonces[rollup.index()]) {
            return None;
        }
        let before = self.market;
        let fill = self.market.execute(trade)?;
        for rollup in rollups() {
            *self.nonces.entry((account, rollup)).or_default() += TRANSACTIONS_PER_SWAP;
            let (old, new) = (before.pool(rollup), self.market.pool(rollup));
            let holding = self.holdings.entry((account, rollup)).or_default();
            holding.dollars += old.dollars as i64 - new.dollars as i64;
            holding.gold += old.gold as i64 - new.gold as i64;
        }
        Some(fill)
    }

    /// Compares everything that the EVM holds with the model, and checks that no token appeared or
    /// vanished.
    ///
    /// # Errors
    ///
    /// If a reserve or a balance differs.
    pub fn finish(self, contracts: &Contracts) -> Result<(), MevError> {
        let Self { simulator, market, holdings, .. } = self;
        let finished =
            simulator.finish().map_err(|error| MevError::Contracts(error.to_string()))?;
        let accounts: BTreeSet<usize> = holdings.keys().map(|(account, _)| *account).collect();
        for (rollup, finished) in Rollup::ALL.into_iter().zip(&finished) {
            let after = After { contracts, rollup, finished };
            let pool = market.pool(rollup);
            after.compare("dollarReserve", POOL, &contracts.pool, None, pool.dollars)?;
            after.compare("goldReserve", POOL, &contracts.pool, None, pool.gold)?;
            let mut all = [0i64; 2];
            for account in &accounts {
                let held = holdings.get(&(*account, rollup)).copied().unwrap_or_default();
                let purses = [(DOLLARS, DOLLAR_PURSE, held.dollars), (GOLD, GOLD_PURSE, held.gold)];
                for (at, (token, purse, change)) in purses.into_iter().enumerate() {
                    let units = purse.saturating_add_signed(change);
                    let holder = Some(address(*account));
                    after.compare("balanceOf", token, &contracts.token, holder, units)?;
                    all[at] += change;
                }
            }
            let lost = |at_first: u64, now: u64| at_first as i64 - now as i64;
            let pools = [lost(DOLLAR_RESERVE, pool.dollars), lost(GOLD_RESERVE, pool.gold)];
            if all != pools {
                let what = format!("accounts won {all:?} units on {rollup:?}, the pool {pools:?}");
                return Err(MevError::Differ(what));
            }
        }
        Ok(())
    }
}

/// A rollup after a run.
struct After<'a> {
    contracts: &'a Contracts,
    rollup: Rollup,
    finished: &'a Finished,
}

impl After<'_> {
    fn compare(
        &self,
        variable: &str,
        at: Address,
        contract: &Contract,
        holder: Option<Address>,
        model: u64,
    ) -> Result<(), MevError> {
        let slot = match holder {
            Some(holder) => contract.entry(variable, holder)?,
            None => contract.slot(variable)?,
        };
        let changed = self.finished.changes.accounts().find(|(address, _)| **address == at);
        let changed = changed.and_then(|(_, change)| change.storage.get(&slot)).copied();
        let before = || self.contracts.states[self.rollup.index()].storage(at, slot);
        let value = match changed {
            Some(value) => value,
            None => before().map_err(|error| MevError::Contracts(error.to_string()))?,
        };
        if value == U256::from(model) {
            return Ok(());
        }
        let what =
            format!("{variable} on {:?}: the model has {model}, the EVM {value}", self.rollup);
        Err(MevError::Differ(what))
    }
}

/// Both rollups at first: two tokens, a pool, and accounts with a purse of each token.
fn genesis(token: &Contract, pool: &Contract) -> Result<Value, MevError> {
    let slot = |slot: U256| format!("{slot:#066x}");
    let number = |units: U256| format!("{units:#x}");
    let holdings = |reserve: u64, purse: u64| -> Result<Map<String, Value>, MevError> {
        let mut storage = Map::new();
        let supply = U256::from(reserve) + U256::from(purse) * U256::from(MAX_ACCOUNTS);
        let mut set = |at: U256, units: U256| storage.insert(slot(at), json!(number(units)));
        set(token.slot("totalSupply")?, supply);
        set(token.entry("balanceOf", POOL)?, U256::from(reserve));
        for account in 0..MAX_ACCOUNTS {
            set(token.entry("balanceOf", address(account))?, U256::from(purse));
        }
        Ok(storage)
    };
    let market = [
        (pool.slot("dollars")?, word(DOLLARS)),
        (pool.slot("gold")?, word(GOLD)),
        (pool.slot("dollarReserve")?, U256::from(DOLLAR_RESERVE)),
        (pool.slot("goldReserve")?, U256::from(GOLD_RESERVE)),
    ];
    let market: Map<String, Value> =
        market.into_iter().map(|(at, value)| (slot(at), json!(number(value)))).collect();
    let contract = |code: &Contract, storage: Map<String, Value>| {
        let code = code.code().to_string();
        json!({"balance": "0", "nonce": "0x1", "code": code, "storage": storage})
    };
    let mut alloc = Map::new();
    let dollars = holdings(DOLLAR_RESERVE, DOLLAR_PURSE)?;
    alloc.insert(DOLLARS.to_string(), contract(token, dollars));
    alloc.insert(GOLD.to_string(), contract(token, holdings(GOLD_RESERVE, GOLD_PURSE)?));
    alloc.insert(POOL.to_string(), contract(pool, market));
    Ok(json!({"alloc": alloc}))
}

const _: () = assert!(DOLLAR_PURSE < MAX_UNITS && GOLD_PURSE < MAX_UNITS);

/// A transaction that pays nothing for gas, with a signature of the right length.
fn raw(chain_id: u64, nonce: u64, to: Address, input: Bytes) -> Bytes {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: GAS_LIMIT,
        to: TxKind::Call(to),
        input,
        ..TxEip1559::default()
    };
    let half = |part: u8| {
        let hash = keccak256([transaction.signature_hash().as_slice(), &[part]].concat());
        // The highest bits 001: 32 bytes long, and below half of the curve's order.
        (U256::from_be_bytes(hash.0) >> 2) | (U256::ONE << 253)
    };
    let signature = Signature::new(half(0), half(1), false);
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_ordering::naive::Dice;

    use super::super::amm::Arbitrage;
    use super::*;

    fn random_trade(dice: &mut Dice) -> Trade {
        // From dust to more than the pool has, limits on both sides of the price.
        let gold = 1 << dice.between(0, 31);
        let gold = gold + dice.roll() % gold;
        let near = u64::try_from(u128::from(gold) * 2_000).unwrap();
        let limit = near / 100 * dice.between(80, 125) as u64;
        if dice.chance(20) {
            let buy_on = dice.pick(&Rollup::ALL);
            let found = Arbitrage { buy_on, gold, cost: limit, proceeds: limit / 100 * 97 };
            return Trade::arbitrage(&found, 0);
        }
        let (rollup, side) = (dice.pick(&Rollup::ALL), dice.pick(&Side::ALL));
        Swap { rollup, side, gold, limit }.into()
    }

    #[test]
    fn the_model_is_the_contracts_to_the_unit_invariants_1_and_2() {
        let contracts = Contracts::new().unwrap();
        let mut dice = Dice::new(7);
        let (mut kept, mut dropped) = (0, 0);
        for _ in 0..8 {
            let mut chain = contracts.chain().unwrap();
            for _ in 0..250 {
                let (account, trade) = (dice.below(6), random_trade(&mut dice));
                // Some are sent too early or too late.
                let wrong = if dice.chance(5) { 2 } else { 0 };
                let nonces = Rollup::ALL.map(|rollup| chain.nonce(account, rollup) + wrong);
                let written = contracts.write(account, &trade, nonces).unwrap();
                let fills = chain.execute(&[(account, &trade, nonces, &written.bundle)]).unwrap();
                if fills[0].is_some() { kept += 1 } else { dropped += 1 }
            }
            chain.finish(&contracts).unwrap();
        }
        assert!(kept > 400 && dropped > 400, "{kept} kept, {dropped} dropped");
    }

    #[test]
    fn a_model_that_differs_is_found() {
        let contracts = Contracts::new().unwrap();
        let trade = Trade::from(Swap::unlimited(Rollup::First, Side::Buy, WHOLE));
        let other = Trade::from(Swap::unlimited(Rollup::First, Side::Buy, WHOLE + 1));
        let written = contracts.write(0, &other, [0, 0]).unwrap();
        let mut chain = contracts.chain().unwrap();
        chain.execute(&[(0, &trade, [0, 0], &written.bundle)]).unwrap();
        assert!(matches!(chain.finish(&contracts), Err(MevError::Differ(_))));
    }

    #[test]
    fn an_arbitrage_shows_a_larger_class_than_a_swap() {
        let contracts = Contracts::new().unwrap();
        let swap = Trade::from(Swap::unlimited(Rollup::First, Side::Buy, WHOLE));
        let found = Arbitrage { buy_on: Rollup::First, gold: WHOLE, cost: 1, proceeds: 1 };
        let class = |trade| contracts.write(0, trade, [0, 0]).unwrap().class.get();
        assert_eq!((class(&swap), class(&Trade::arbitrage(&found, 0))), (0, 1));
    }
}
