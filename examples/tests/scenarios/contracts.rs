//! That the compiled constructors deploy the code that the states hold, and write the storage that
//! the states were given slot by slot.

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use fairveil_examples::accounts::{ALICE, BOB, CURATOR, OPERATOR};
use fairveil_examples::contract::{Contract, word};
use fairveil_examples::{arbitrage, burn_and_mint, vault, vote};
use fairveil_execution::bundle::{Bundle, Leg, Policy};
use fairveil_execution::sender::{SetCode, SignedTransaction};

use crate::joint::World;

/// A rollup on which nothing is but this contract: what its constructor left.
struct Deployed {
    world: World,
    contract: Address,
}

impl Deployed {
    fn new(contract: &Contract, arguments: &[U256]) -> Self {
        let transaction = TxEip1559 {
            chain_id: 901,
            gas_limit: 2_000_000,
            to: TxKind::Create,
            input: contract.creation(arguments),
            ..TxEip1559::default()
        };
        let key = B256::repeat_byte(1);
        let signature = sign_message(key, transaction.signature_hash()).unwrap();
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into();
        let signed = SignedTransaction { raw, chain_id: 901, set_code: SetCode::Refused };
        let leg = Leg { chain_id: 901, transactions: vec![signed.recover().unwrap()] };
        let bundle = Bundle::new(Policy::Execute, vec![leg]).unwrap();
        let after = World::empty(901).without_base_fee().slot(&[bundle]);
        let contract = after.receipts(0)[0].1[0].contract.unwrap();
        Self { world: after.world, contract }
    }

    /// Asserts that a committed state holds the same code, and the same values in these slots.
    fn assert_equals(&self, scenario: &str, chain_id: u64, address: Address, slots: &[U256]) {
        let genesis = World::of(scenario, &[chain_id]);
        let code = self.world.state(901).code_of(self.contract).unwrap();
        assert_eq!(genesis.state(chain_id).code_of(address), Some(code));
        for slot in slots {
            let value = self.world.value(901, self.contract, *slot);
            assert!(!value.is_zero());
            assert_eq!(genesis.value(chain_id, address, *slot), value, "slot {slot}");
        }
    }
}

#[test]
fn the_token_is_what_its_constructor_makes() {
    let token = Contract::token().unwrap();
    let deployed = Deployed::new(&token, &[word(OPERATOR.address)]);
    let slots = [token.slot("minter").unwrap()];
    deployed.assert_equals(burn_and_mint::FOLDER, 901, burn_and_mint::COIN, &slots);
    deployed.assert_equals(burn_and_mint::FOLDER, 902, burn_and_mint::COIN, &slots);
    deployed.assert_equals(arbitrage::FOLDER, 901, arbitrage::GOLD, &slots);
    deployed.assert_equals(arbitrage::FOLDER, 902, arbitrage::DOLLARS, &slots);
}

#[test]
fn the_pool_is_what_its_constructor_makes() {
    let pool = Contract::pool().unwrap();
    let deployed = Deployed::new(&pool, &[word(arbitrage::DOLLARS), word(arbitrage::GOLD)]);
    let slots = [pool.slot("dollars").unwrap(), pool.slot("gold").unwrap()];
    for chain_id in arbitrage::CHAINS {
        deployed.assert_equals(arbitrage::FOLDER, chain_id, arbitrage::POOL, &slots);
    }
}

#[test]
fn the_vault_and_the_strategy_are_what_their_constructors_make() {
    let (vault, strategy) = (Contract::vault().unwrap(), Contract::strategy().unwrap());
    let curator = [vault.slot("curator").unwrap()];
    let cap = [strategy.slot("cap").unwrap()];
    let deployed = Deployed::new(&vault, &[word(CURATOR.address)]);
    for (chain_id, limit) in [901, 902, 903].into_iter().zip(vault::CAP) {
        deployed.assert_equals(vault::FOLDER, chain_id, vault::VAULT, &curator);
        let deployed = Deployed::new(&strategy, &[U256::from(limit)]);
        deployed.assert_equals(vault::FOLDER, chain_id, vault::STRATEGY, &cap);
    }
}

#[test]
fn the_ballot_is_what_its_constructor_makes() {
    let ballot = Contract::ballot().unwrap();
    let members = [ALICE.address, BOB.address];
    let slots = members.map(|member| ballot.entry("weightOf", member).unwrap());
    for (at, chain_id) in [901, 902, 903].into_iter().enumerate() {
        let weights = [vote::ALICE_WEIGHT[at], vote::BOB_WEIGHT[at]];
        // Two lists: where each begins, then its length and its items.
        let mut arguments = vec![U256::from(0x40), U256::from(0xa0), U256::from(2)];
        arguments.extend(members.map(word));
        arguments.push(U256::from(2));
        arguments.extend(weights.map(U256::from));
        let deployed = Deployed::new(&ballot, &arguments);
        deployed.assert_equals(vote::FOLDER, chain_id, vote::BALLOT, &slots);
    }
}
