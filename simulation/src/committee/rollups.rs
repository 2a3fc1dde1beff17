//! The rollups of a simulated network, and bundles for them whose fate is known beforehand.
//!
//! In suite `rollups`, and in half of the seeds of suite `epochs`, there are 2 to 8 of them with mixed block times and small blocks, and each
//! executes. In one seed of eight one of them makes a block every 12 s, so that slots last as long. Every bundle has an account of its own, which the genesis funds on all of them, so what
//! must become of it follows from what it holds and from nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use fairveil_crypto::envelope::PayerSecret;
use fairveil_mempool::{Bundle, Leg, Policy};
use fairveil_release::registry::{EmbeddedState, Registry, Rollup, StateSource};
use fairveil_release::slot::BlockTimes;
use fairveil_release::states::{MemoryState, parse_genesis};
use fairveil_sequencer::config::Accounting;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha20Rng;
use secp256k1::{PublicKey, SecretKey};

use super::nodes::{self, Followed};
use super::plan::{Kind, stream};
use super::traders::sign;

/// A contract that refuses every call: PUSH1 0, PUSH1 0, REVERT.
pub(crate) const REFUSES: Address = Address::repeat_byte(0xee);
/// The gas of a call that it refuses, beside that of a transfer.
pub(crate) const TRANSFER_GAS: u64 = 21_000;
pub(crate) const REFUSED_GAS: u64 = TRANSFER_GAS + 6;
/// The base fee, and the most that transactions pay per gas, in wei.
pub(crate) const BASE_FEE: u64 = 7;
/// What every account has on every rollup, in wei.
pub(crate) const FUNDS: u64 = 1 << 50;

const FIRST_CHAIN: u64 = 901;
/// The most rollups with which a network begins.
const MAX_COUNT: u64 = 8;
const RECORDERS: [u64; 3] = [901, 902, 903];
const INTERVALS_MS: [u64; 4] = [250, 500, 1_000, 2_000];
/// The block time of the slow rollup of some seeds.
pub(crate) const SLOW_INTERVAL_MS: u64 = 12_000;
/// One of so many seeds has it.
const SLOW_EVERY: u64 = 8;
/// One of so many seeds has a rollup that others feed too.
const FOLLOWED_EVERY: u64 = 4;
/// In one of so many seeds of suite `epochs` nothing is executed or paid.
const EXECUTING_EPOCHS_EVERY: u64 = 2;
/// Gas of a block: room for three to twelve transactions.
const BLOCK_GAS: std::ops::Range<u64> = 100_000..400_000;
const GAS_LIMIT: u64 = 30_000;
/// What a bundle costs per byte, what its payer has, and what of it the rollups get.
const FEE_PER_BYTE: u64 = 3;
const DEPOSIT: u128 = 1_000_003;
const ROLLUP_SHARE_PERCENT: u8 = 37;
/// The most legs of a bundle.
const MAX_LEGS: usize = 4;

/// The rollups of a network with what they begin with, and what payers have deposited.
#[derive(Clone, Debug)]
pub(crate) struct Rollups {
    pub(crate) registry: Registry,
    /// Rollups that may join.
    pub(crate) joins: Vec<Rollup>,
    pub(crate) genesis: BTreeMap<u64, MemoryState>,
    /// The one that others feed too, in every fourth seed.
    pub(crate) followed: Option<Followed>,
    pub(crate) accounting: Option<Accounting>,
}

/// What must become of a bundle: with a view of the followed rollup, and in a release without one. They
/// differ only where it has a leg there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fates {
    pub(crate) seen: Fate,
    pub(crate) blind: Fate,
}

/// What must become of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is released.
    Released,
    /// It fails with this code.
    Failed(&'static str),
}

/// What is wrong with one transaction of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Reverts,
    Overdraws,
    SkipsNonce,
    PaysTooLittle,
}

impl Rollups {
    pub(crate) fn new(kind: Kind, seed: u64, bundles: usize, members: usize) -> Self {
        let executes = match kind {
            Kind::Rollups => true,
            Kind::Epochs => !seed.is_multiple_of(EXECUTING_EPOCHS_EVERY),
            _ => false,
        };
        if !executes {
            let rollup = |id| Rollup::recorder(id, &format!("rollup-{id}"));
            let registry = Registry::new(RECORDERS.map(rollup).to_vec()).expect("three rollups");
            let (joins, genesis) = (Vec::new(), BTreeMap::new());
            return Self { registry, joins, genesis, followed: None, accounting: None };
        }
        let mut rng = stream(seed, 5);
        let genesis = genesis((0..bundles as u64).map(|number| address(&secret(seed, number))));
        let state = EmbeddedState { genesis: genesis.digest(), base_fee: BASE_FEE };
        let state = Some(StateSource::Embedded(state));
        let count = rng.random_range(2..=MAX_COUNT);
        let slow = has_slow_rollup(kind, seed).then_some(FIRST_CHAIN + seed % count);
        let mut rollup = |chain_id| Rollup {
            blocks: Some(BlockTimes {
                genesis_ms: 0,
                interval_ms: *INTERVALS_MS.choose(&mut rng).expect("four"),
            }),
            gas_limit: rng.random_range(BLOCK_GAS),
            state,
            ..Rollup::recorder(chain_id, &format!("rollup-{chain_id}"))
        };
        let mut rollups: Vec<Rollup> =
            (FIRST_CHAIN..FIRST_CHAIN + count).map(&mut rollup).collect();
        for rollup in rollups.iter_mut().filter(|rollup| Some(rollup.chain_id) == slow) {
            let times = BlockTimes { genesis_ms: 0, interval_ms: SLOW_INTERVAL_MS };
            rollup.blocks = Some(times);
        }
        let is_followed = kind == Kind::Rollups && seed.is_multiple_of(FOLLOWED_EVERY);
        let followed = is_followed.then_some(FIRST_CHAIN + count - 1);
        for rollup in rollups.iter_mut().filter(|rollup| Some(rollup.chain_id) == followed) {
            rollup.state = Some(StateSource::Followed(nodes::RULE));
        }
        let registry = Registry::new(rollups).expect("2 to 8 rollups that meet");
        // Its blocks fit the slots if it makes them as often as one of the others.
        let blocks = registry.rollups()[0].blocks;
        let joins = vec![Rollup { blocks, ..rollup(FIRST_CHAIN + MAX_COUNT) }];
        let ids = registry.chain_ids().into_iter().chain([FIRST_CHAIN + MAX_COUNT]);
        let payers = (0..bundles as u64).map(|number| (payer(seed, number).payer(), DEPOSIT));
        let accounting = Accounting {
            deposits: Arc::new(payers.collect()),
            fee_per_byte: FEE_PER_BYTE,
            rollup_share_percent: ROLLUP_SHARE_PERCENT,
        };
        let followed =
            followed.map(|id| Followed::new(id, genesis.clone(), members, &mut stream(seed, 7)));
        let embedded = ids.filter(|id| followed.as_ref().is_none_or(|one| one.chain_id != *id));
        let genesis = embedded.map(|id| (id, genesis.clone())).collect();
        Self { registry, joins, genesis, followed, accounting: Some(accounting) }
    }

    /// Whether bundles are executed, and paid for.
    pub(crate) fn execute(&self) -> bool {
        self.accounting.is_some()
    }
}

/// Whether a rollup of a seed makes a block every 12 s.
pub(crate) fn has_slow_rollup(kind: Kind, seed: u64) -> bool {
    kind == Kind::Rollups && seed.is_multiple_of(SLOW_EVERY)
}

/// Who pays for a bundle.
pub(crate) fn payer(seed: u64, number: u64) -> PayerSecret {
    super::traders::payer(&mut stream(seed, 9_000 + number))
}

/// The account of a bundle.
pub(crate) fn secret(seed: u64, number: u64) -> SecretKey {
    let mut rng = stream(seed, 5_000 + number);
    loop {
        if let Ok(secret) = SecretKey::from_secret_bytes(rng.random()) {
            return secret;
        }
    }
}

pub(crate) fn address(secret: &SecretKey) -> Address {
    let key = PublicKey::from_secret_key(secret);
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// A bundle over some of the rollups, one in three with a flaw in one of its transactions; and what
/// must become of it.
pub(crate) fn bundle(
    mut chains: Vec<u64>,
    secret: &SecretKey,
    followed: Option<u64>,
    rng: &mut ChaCha20Rng,
) -> (Bundle, Fates) {
    chains.shuffle(rng);
    chains.truncate(rng.random_range(1..=chains.len().min(MAX_LEGS)));
    chains.sort_unstable();
    let policy = if rng.random_bool(0.5) { Policy::Include } else { Policy::Execute };
    let flaws = [Flaw::Reverts, Flaw::Reverts, Flaw::Overdraws, Flaw::SkipsNonce];
    let flaws = [&flaws[..], &[Flaw::PaysTooLittle]].concat();
    let flaw = rng.random_bool(1.0 / 3.0).then(|| *flaws.choose(rng).expect("five"));
    let flawed = *chains.choose(rng).expect("at least one");
    let has_followed = followed.is_some_and(|id| chains.contains(&id));
    let legs = chains.into_iter().map(|chain_id| {
        let count = rng.random_range(1..=2u64);
        let flaw = flaw.filter(|_| chain_id == flawed);
        // The last transaction has the flaw, so that one before it is undone.
        let transactions = (0..count).map(|nonce| {
            let flaw = flaw.filter(|_| nonce + 1 == count);
            transaction(rng, secret, chain_id, nonce, flaw)
        });
        Leg { chain_id, transactions: transactions.collect() }
    });
    let bundle = Bundle::new(policy, legs.collect()).expect("a few small legs");
    let fate = |flaw| match (flaw, policy) {
        (None, _) | (Some(Flaw::Reverts), Policy::Include) => Fate::Released,
        (Some(Flaw::Reverts), Policy::Execute) => Fate::Failed("leg_failed"),
        (Some(_), _) => Fate::Failed("leg_invalid"),
    };
    let seen = fate(flaw);
    let blind = match policy {
        _ if !has_followed => seen,
        Policy::Execute => Fate::Failed("state_unavailable"),
        // Nobody looks at the leg there.
        Policy::Include => fate(flaw.filter(|_| Some(flawed) != followed)),
    };
    (bundle, Fates { seen, blind })
}

fn transaction(
    rng: &mut ChaCha20Rng,
    secret: &SecretKey,
    chain_id: u64,
    nonce: u64,
    flaw: Option<Flaw>,
) -> Bytes {
    let to = match flaw {
        Some(Flaw::Reverts) => REFUSES,
        _ => Address::from(rng.random::<[u8; 20]>()),
    };
    let value = match flaw {
        Some(Flaw::Reverts) => 0,
        Some(Flaw::Overdraws) => FUNDS,
        _ => rng.random_range(1..1_000_000),
    };
    let nonce = nonce + u64::from(flaw == Some(Flaw::SkipsNonce));
    let cheap = u128::from(flaw == Some(Flaw::PaysTooLittle));
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: GAS_LIMIT,
        max_fee_per_gas: u128::from(BASE_FEE) - cheap,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    let signature = sign(secret, transaction.signature_hash().0);
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

fn genesis(accounts: impl Iterator<Item = Address>) -> MemoryState {
    let mut alloc = vec![format!(r#""{REFUSES}": {{"balance": "0", "code": "0x60006000fd"}}"#)];
    alloc.extend(accounts.map(|account| format!(r#""{account}": {{"balance": "{FUNDS}"}}"#)));
    let document = format!(r#"{{"alloc": {{{}}}}}"#, alloc.join(","));
    parse_genesis(document.as_bytes()).expect("accounts with funds")
}
