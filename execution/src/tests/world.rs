//! Senders, contracts, blocks and rollups that the tests share.

use std::sync::Arc;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};

use crate::block::{Block, Hardfork, L1Fees};
use crate::bundle::{Bundle, Leg, Policy};
use crate::genesis::parse_genesis;
use crate::outcome::{Dropped, Fault, Invalid, LegReceipts, Outcome, Receipt};
use crate::sender::{RecoveredTransaction, SetCode, SignedTransaction};
use crate::simulator::{Finished, Limits, Rollup, Simulator};
use crate::state::{Account, MemoryState, StateView};

pub(super) const ONE: u64 = 901;
pub(super) const TWO: u64 = 902;
pub(super) const CHAINS: [u64; 4] = [ONE, TWO, 903, 904];
pub(super) const SENDERS: u8 = 4;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const BASE_FEE: u64 = 7;
pub(super) const FEE: u128 = 10;
pub(super) const TIP: u128 = 2;
pub(super) const GAS: u64 = 300_000;

/// Reverts with the bytes de ad be ef.
pub(super) const REVERTS: Address = Address::repeat_byte(0xc1);
/// Reverts with 1,024 zero bytes.
pub(super) const REVERTS_LONG: Address = Address::repeat_byte(0xc2);
/// Loops until its gas is gone.
pub(super) const LOOPS: Address = Address::repeat_byte(0xc3);
/// The designated invalid operation.
pub(super) const INVALID: Address = Address::repeat_byte(0xc4);
/// Adds one to slot 0 and logs topic 42.
pub(super) const COUNTS: Address = Address::repeat_byte(0xc5);
/// Stores the second word of the input in the slot of the first.
pub(super) const STORES: Address = Address::repeat_byte(0xc6);
/// Stores what it sees of its block in slots 0 to 6.
pub(super) const LOOKS: Address = Address::repeat_byte(0xc7);
/// Gives its balance to its caller and says that it destroys itself.
pub(super) const LEAVES: Address = Address::repeat_byte(0xc8);

pub(super) const RUNTIME_STORES: &str = "60203560003555";
const CODES: [(Address, &str); 8] = [
    (REVERTS, "63deadbeef6000526004601cfd"),
    (REVERTS_LONG, "6104006000fd"),
    (LOOPS, "5b600056"),
    (INVALID, "fe"),
    (COUNTS, "600054600101600055602a60006000a100"),
    (STORES, RUNTIME_STORES),
    (LOOKS, "43600055426001554460025548600355416004554560055546600655"),
    (LEAVES, "33ff"),
];

pub(super) fn beneficiary() -> Address {
    Address::repeat_byte(0xbe)
}

pub(super) fn block() -> Block {
    Block {
        number: 5,
        timestamp_s: 1_800_000_000,
        base_fee: BASE_FEE,
        gas_limit: 30_000_000,
        beneficiary: beneficiary(),
        prevrandao: B256::repeat_byte(0x77),
        hardfork: Hardfork::Isthmus,
        l1_fees: L1Fees::Nothing,
    }
}

pub(super) fn genesis() -> MemoryState {
    let mut alloc = serde_json::Map::new();
    for who in 1..=SENDERS {
        let account = serde_json::json!({ "balance": ETHER.to_string() });
        alloc.insert(address(who).to_string(), account);
    }
    for (address, code) in CODES {
        let account = serde_json::json!({
            "balance": "0x64", "nonce": "0x1", "code": format!("0x{code}"),
        });
        alloc.insert(address.to_string(), account);
    }
    parse_genesis(serde_json::json!({ "alloc": alloc }).to_string().as_bytes()).unwrap()
}

pub(super) fn secret(who: u8) -> B256 {
    B256::repeat_byte(who)
}

pub(super) fn address(who: u8) -> Address {
    let key = secp256k1::SecretKey::from_secret_bytes(secret(who).0).unwrap().public_key();
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

pub(super) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

pub(super) fn signed<T>(who: u8, transaction: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<Signed<T>>,
{
    let signature = sign_message(secret(who), transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

pub(super) fn recovered(chain_id: u64, raw: Vec<u8>) -> RecoveredTransaction {
    SignedTransaction { raw: raw.into(), chain_id, set_code: SetCode::Taken }.recover().unwrap()
}

/// A call of a contract or a transfer, of type 2.
pub(super) fn call(chain_id: u64, nonce: u64, to: Address) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: GAS,
        max_fee_per_gas: FEE,
        max_priority_fee_per_gas: TIP,
        to: TxKind::Call(to),
        ..Default::default()
    }
}

pub(super) fn transfer(chain_id: u64, nonce: u64, to: Address, value: u128) -> TxEip1559 {
    TxEip1559 { gas_limit: 21_000, value: U256::from(value), ..call(chain_id, nonce, to) }
}

pub(super) fn store(chain_id: u64, nonce: u64, slot: u64, value: u64) -> TxEip1559 {
    let words = [slot, value].map(|word| U256::from(word).to_be_bytes::<32>());
    TxEip1559 { input: words.concat().into(), ..call(chain_id, nonce, STORES) }
}

pub(super) fn create(chain_id: u64, nonce: u64, init_code: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        to: TxKind::Create,
        input: init_code.into(),
        ..call(chain_id, nonce, Address::ZERO)
    }
}

/// Init code that deploys a runtime of fewer than 256 bytes.
pub(super) fn deploys(runtime: &str) -> Vec<u8> {
    let runtime = hex(runtime);
    let length = u8::try_from(runtime.len()).unwrap();
    let mut code = vec![0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xf3];
    code.extend_from_slice(&runtime);
    code
}

/// Init code that gives its value to `heir` and destroys the contract before there is one.
pub(super) fn passes_on(heir: Address) -> Vec<u8> {
    [&[0x73][..], heir.as_slice(), &[0xff]].concat()
}

pub(super) fn hex(text: &str) -> Bytes {
    alloy_primitives::hex::decode(text).unwrap().into()
}

pub(super) fn leg(chain_id: u64, transactions: Vec<(u8, TxEip1559)>) -> Leg {
    let sign = |(who, transaction)| recovered(chain_id, signed(who, transaction));
    Leg { chain_id, transactions: transactions.into_iter().map(sign).collect() }
}

pub(super) fn bundle(policy: Policy, legs: Vec<Leg>) -> Bundle {
    Bundle::new(policy, legs).unwrap()
}

/// A bundle of sender 1 on chain ONE alone.
pub(super) fn single(policy: Policy, transactions: Vec<TxEip1559>) -> Bundle {
    bundle(policy, vec![leg(ONE, transactions.into_iter().map(|tx| (1, tx)).collect())])
}

/// States that are simulated on slot by slot.
pub(super) struct World {
    pub(super) states: Vec<(u64, Arc<MemoryState>)>,
    pub(super) block: Block,
    pub(super) limits: Limits,
}

impl World {
    pub(super) fn new(chains: usize) -> Self {
        let genesis = Arc::new(genesis());
        let states = CHAINS[..chains].iter().map(|chain_id| (*chain_id, genesis.clone()));
        Self { states: states.collect(), block: block(), limits: Limits::default() }
    }

    pub(super) fn simulator(&self) -> Simulator {
        let rollups = self.states.iter().map(|(chain_id, state)| {
            let view: Arc<dyn StateView> = state.clone();
            let (chain_id, digest) = (*chain_id, state.digest());
            Rollup { chain_id, view: Some(view), digest, block: self.block }
        });
        Simulator::new(rollups.collect(), self.limits).unwrap()
    }

    pub(super) fn apply(&mut self, finished: &[Finished]) {
        for (slot, (chain_id, state)) in finished.iter().zip(&mut self.states) {
            assert_eq!(slot.chain_id, *chain_id);
            assert_eq!(Arc::make_mut(state).apply(&slot.changes), slot.digest);
        }
    }

    /// Simulates a slot of these bundles and applies it.
    pub(super) fn slot(&mut self, bundles: &[Bundle]) -> Vec<Outcome> {
        let mut simulator = self.simulator();
        let outcomes = simulator.simulate_all(bundles);
        let finished = simulator.finish().unwrap();
        self.apply(&finished);
        outcomes
    }

    pub(super) fn state(&self, chain_id: u64) -> &MemoryState {
        &self.states.iter().find(|(id, _)| *id == chain_id).unwrap().1
    }

    pub(super) fn account(&self, chain_id: u64, address: Address) -> Option<Account> {
        self.state(chain_id).account(address).unwrap()
    }

    pub(super) fn balance(&self, chain_id: u64, address: Address) -> u128 {
        self.account(chain_id, address).map_or(0, |account| account.balance.to())
    }

    pub(super) fn storage(&self, chain_id: u64, address: Address, slot: u64) -> U256 {
        self.state(chain_id).storage(address, U256::from(slot)).unwrap()
    }

    pub(super) fn supply(&self, chain_id: u64) -> U256 {
        let accounts = self.state(chain_id).accounts();
        accounts.fold(U256::ZERO, |sum, (_, account)| sum + account.balance)
    }
}

pub(super) fn legs(outcome: &Outcome) -> &[LegReceipts] {
    match outcome {
        Outcome::Kept { legs } => legs,
        other => panic!("not kept: {other:?}"),
    }
}

/// The receipts of the only leg.
pub(super) fn receipts(outcome: &Outcome) -> &[Receipt] {
    match legs(outcome) {
        [leg] => &leg.receipts,
        other => panic!("{} legs", other.len()),
    }
}

pub(super) fn invalid(leg: u16, tx: u16, why: Invalid) -> Outcome {
    Outcome::Dropped(Dropped::Invalid { leg, tx, why })
}

pub(super) fn failed(leg: u16, tx: u16, why: Fault) -> Outcome {
    Outcome::Dropped(Dropped::Failed { leg, tx, why })
}

/// The outcome of a slot of one bundle on two rollups, which must leave no trace.
pub(super) fn dropped(bundle: &Bundle) -> Outcome {
    let mut world = World::new(2);
    let before = world.states.clone();
    let outcome = world.slot(std::slice::from_ref(bundle)).remove(0);
    assert_eq!(world.states, before);
    outcome
}
