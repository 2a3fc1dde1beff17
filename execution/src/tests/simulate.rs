use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use fairveil_crypto::domain::{Tag, hash};
use op_revm::constants::{BASE_FEE_RECIPIENT, L1_BLOCK_CONTRACT, L1_FEE_RECIPIENT};
use revm::bytecode::Bytecode;

use super::world::*;
use crate::block::{Hardfork, L1Fees};
use crate::bundle::{Bundle, BundleError, Leg, Policy};
use crate::genesis::parse_genesis;
use crate::outcome::{Dropped, Fault, Halt, Invalid, MAX_REVERT_BYTES, Outcome};
use crate::simulator::{BUNDLE_GAS, Limits, Rollup, Simulator, SimulatorError, Unavailable};
use crate::state::{Account, MemoryState, StateError, StateView};

use Policy::{Execute, Include};

fn invalid(leg: u16, tx: u16, why: Invalid) -> Outcome {
    Outcome::Dropped(Dropped::Invalid { leg, tx, why })
}

fn failed(leg: u16, tx: u16, why: Fault) -> Outcome {
    Outcome::Dropped(Dropped::Failed { leg, tx, why })
}

/// The outcome of a slot of one bundle on two rollups, which must leave no trace.
fn dropped(bundle: &Bundle) -> Outcome {
    let mut world = World::new(2);
    let before = world.states.clone();
    let outcome = world.slot(std::slice::from_ref(bundle)).remove(0);
    assert_eq!(world.states, before);
    outcome
}

#[test]
fn a_transfer_moves_value_and_pays_fees() {
    let mut world = World::new(1);
    let to = Address::repeat_byte(9);
    let outcomes = world.slot(&[single(Execute, vec![transfer(ONE, 0, to, 1_000)])]);
    let [receipt] = receipts(&outcomes[0]) else { panic!("one receipt") };
    assert_eq!((receipt.gas_used, receipt.logs, &receipt.fault), (21_000, 0, &None));
    assert_eq!(receipt.logs_digest, hash(Tag::ExecutionLogs, &[]));
    assert_eq!(world.balance(ONE, to), 1_000);
    let price = u128::from(BASE_FEE) + TIP;
    assert_eq!(world.balance(ONE, address(1)), ETHER - 1_000 - 21_000 * price);
    assert_eq!(world.balance(ONE, beneficiary()), 21_000 * TIP);
    assert_eq!(world.balance(ONE, BASE_FEE_RECIPIENT), 21_000 * u128::from(BASE_FEE));
    assert_eq!(world.balance(ONE, L1_FEE_RECIPIENT), 0);
    assert_eq!(world.account(ONE, address(1)).unwrap().nonce, 1);
}

#[test]
fn a_call_changes_storage_and_logs() {
    let mut world = World::new(1);
    let calls = vec![call(ONE, 0, COUNTS), call(ONE, 1, COUNTS)];
    let outcomes = world.slot(&[single(Execute, calls)]);
    assert_eq!(world.storage(ONE, COUNTS, 0), U256::from(2));
    let topic = B256::with_last_byte(42);
    let log = [COUNTS.as_slice(), &[1], topic.as_slice()].concat();
    for receipt in receipts(&outcomes[0]) {
        assert_eq!(receipt.logs, 1);
        assert_eq!(receipt.logs_digest, hash(Tag::ExecutionLogs, &[&log]));
    }
}

#[test]
fn every_type_of_transaction_is_executed() {
    let mut world = World::new(1);
    let to = TxKind::Call(Address::repeat_byte(9));
    let (gas_limit, gas_price, value) = (GAS, FEE, U256::from(3));
    let legacy =
        TxLegacy { chain_id: Some(ONE), gas_limit, gas_price, to, value, ..Default::default() };
    let item = AccessListItem { address: COUNTS, storage_keys: vec![B256::ZERO] };
    let access_list = AccessList(vec![item]);
    let listed = TxEip2930 {
        chain_id: ONE,
        nonce: 1,
        gas_limit,
        gas_price,
        to,
        value,
        access_list,
        ..Default::default()
    };
    let authorization = Authorization { chain_id: U256::from(ONE), address: COUNTS, nonce: 0 };
    let signature =
        alloy_consensus::crypto::secp256k1::sign_message(secret(2), authorization.signature_hash());
    let set_code = TxEip7702 {
        chain_id: ONE,
        nonce: 2,
        gas_limit,
        max_fee_per_gas: FEE,
        to: address(2),
        authorization_list: vec![authorization.into_signed(signature.unwrap())],
        ..Default::default()
    };
    let raws = [signed(1, legacy), signed(1, listed), signed(1, set_code)];
    let transactions = raws.map(|raw| recovered(ONE, raw)).to_vec();
    let bundle = bundle(Execute, vec![Leg { chain_id: ONE, transactions }]);
    let outcomes = world.slot(std::slice::from_ref(&bundle));
    let gas: Vec<u64> = receipts(&outcomes[0]).iter().map(|receipt| receipt.gas_used).collect();
    assert_eq!(gas[..2], [21_000, 21_000 + 2_400 + 1_900]);
    // The delegated account ran the counter's code on its own storage.
    assert_eq!(world.storage(ONE, address(2), 0), U256::from(1));
    assert_eq!(world.account(ONE, address(2)).unwrap().nonce, 1);
    let delegation = [&hex("ef0100")[..], COUNTS.as_slice()].concat();
    assert_eq!(world.state(ONE).code_of(address(2)).unwrap(), delegation);

    world.block.hardfork = Hardfork::Holocene;
    let mut fresh = World { block: world.block, ..World::new(1) };
    assert_eq!(fresh.slot(&[bundle])[0], invalid(0, 2, Invalid::Unsupported));
}

#[test]
fn a_revert_drops_under_execute_and_pays_under_include() {
    let why = Fault::Reverted { data: hex("deadbeef"), length_bytes: 4 };
    let calls = || vec![store(ONE, 0, 1, 1), call(ONE, 1, REVERTS), store(ONE, 2, 2, 2)];
    assert_eq!(dropped(&single(Execute, calls())), failed(0, 1, why.clone()));

    let mut world = World::new(1);
    let outcomes = world.slot(&[single(Include, calls())]);
    let receipts = receipts(&outcomes[0]);
    assert_eq!(receipts[1].fault, Some(why));
    assert_eq!((&receipts[0].fault, &receipts[2].fault), (&None, &None));
    assert_eq!(world.account(ONE, address(1)).unwrap().nonce, 3);
    assert_eq!(world.storage(ONE, STORES, 2), U256::from(2));
    let paid: u64 = receipts.iter().map(|receipt| receipt.gas_used).sum();
    let price = u128::from(BASE_FEE) + TIP;
    assert_eq!(world.balance(ONE, address(1)), ETHER - u128::from(paid) * price);
}

#[test]
fn halts_are_told_apart() {
    let gas = |to| TxEip1559 { gas_limit: 60_000, ..call(ONE, 0, to) };
    for (to, halt) in [(LOOPS, Halt::OutOfGas), (INVALID, Halt::Operation)] {
        let bundle = single(Execute, vec![gas(to)]);
        assert_eq!(dropped(&bundle), failed(0, 0, Fault::Halted(halt)));
        let outcome = World::new(1).slot(&[single(Include, vec![gas(to)])]).remove(0);
        let [receipt] = receipts(&outcome) else { panic!("one receipt") };
        assert_eq!(receipt.fault, Some(Fault::Halted(halt)));
        assert_eq!(receipt.gas_used, 60_000, "a halt takes all gas");
    }
    for (code, halt) in [("600456", Halt::Jump), ("50", Halt::Stack), ("60016000f3", Halt::Other)] {
        let init = hex(code).to_vec();
        let outcome = World::new(1).slot(&[single(Include, vec![create(ONE, 0, init)])]).remove(0);
        let fault = receipts(&outcome)[0].fault.clone();
        let expected = (halt != Halt::Other).then_some(Fault::Halted(halt));
        assert_eq!(fault, expected, "{code}");
    }
    // A contract that begins with 0xef (EIP-3541).
    let outcome = World::new(1).slot(&[single(Include, vec![create(ONE, 0, deploys("ef"))])]);
    assert_eq!(receipts(&outcome[0])[0].fault, Some(Fault::Halted(Halt::Create)));
}

#[test]
fn the_data_of_a_revert_is_bounded_invariant_1() {
    let outcome = dropped(&single(Execute, vec![call(ONE, 0, REVERTS_LONG)]));
    let data = vec![0; MAX_REVERT_BYTES].into();
    assert_eq!(outcome, failed(0, 0, Fault::Reverted { data, length_bytes: 1_024 }));
}

#[test]
fn every_invalid_transaction_drops_under_both_policies() {
    let to = Address::repeat_byte(9);
    let base = || transfer(ONE, 0, to, 1);
    let too_much = ETHER + 1;
    let needed = U256::from(too_much) + U256::from(21_000 * FEE);
    let long = vec![0; 49_153];
    let cases: Vec<(TxEip1559, Invalid)> = vec![
        (TxEip1559 { nonce: 3, ..base() }, Invalid::NonceTooHigh { actual: 3, expected: 0 }),
        (
            TxEip1559 { value: U256::from(too_much), ..base() },
            Invalid::Balance { actual: U256::from(ETHER), needed },
        ),
        (
            TxEip1559 { max_fee_per_gas: 6, ..base() },
            Invalid::BaseFee { actual: 6, needed: BASE_FEE },
        ),
        (TxEip1559 { max_priority_fee_per_gas: FEE + 1, ..base() }, Invalid::PriorityFee),
        (
            TxEip1559 { gas_limit: 30_000_001, ..base() },
            Invalid::GasLimit { actual: 30_000_001, limit: 30_000_000 },
        ),
        (
            TxEip1559 { gas_limit: 20_999, ..base() },
            Invalid::IntrinsicGas { actual: 20_999, needed: 21_000 },
        ),
        (
            TxEip1559 { gas_limit: 21_039, input: vec![1].into(), ..base() },
            Invalid::IntrinsicGas { actual: 21_039, needed: 21_040 },
        ),
        (TxEip1559 { gas_limit: 2_000_000, ..create(ONE, 0, long) }, Invalid::InitCode),
    ];
    for (transaction, why) in cases {
        for policy in [Include, Execute] {
            let bundle = single(policy, vec![transaction.clone()]);
            assert_eq!(dropped(&bundle), invalid(0, 0, why), "{policy:?}");
        }
    }
    let twice = single(Include, vec![base(), base()]);
    assert_eq!(dropped(&twice), invalid(0, 1, Invalid::NonceTooLow { actual: 0, expected: 1 }));
}

#[test]
fn a_contract_can_not_send_and_a_nonce_needs_a_successor() {
    let json = format!(
        r#"{{"alloc": {{"{}": {{"balance": "99999999999", "code": "0x00"}},
            "{}": {{"balance": "99999999999", "nonce": "0xfffffffffffffffe"}}}}}}"#,
        address(1),
        address(2),
    );
    let mut world = World::new(1);
    world.states[0].1 = Arc::new(parse_genesis(json.as_bytes()).unwrap());
    let last = transfer(ONE, u64::MAX - 1, Address::repeat_byte(9), 1);
    let over = transfer(ONE, u64::MAX, Address::repeat_byte(9), 1);
    let of = |who, transaction| bundle(Include, vec![leg(ONE, vec![(who, transaction)])]);
    let outcomes = world.slot(&[
        of(1, transfer(ONE, 0, Address::repeat_byte(9), 1)),
        of(2, last),
        of(2, over),
    ]);
    assert_eq!(outcomes[0], invalid(0, 0, Invalid::SenderIsContract));
    assert!(matches!(outcomes[1], Outcome::Kept { .. }));
    assert_eq!(outcomes[2], invalid(0, 0, Invalid::NonceOverflow));
}

#[test]
fn a_created_contract_is_there_for_the_next_transaction() {
    let mut world = World::new(1);
    let init = deploys(RUNTIME_STORES);
    let contract = address(1).create(0);
    let words = [5u64, 6].map(|word| U256::from(word).to_be_bytes::<32>()).concat();
    let used = TxEip1559 { input: words.into(), ..call(ONE, 1, contract) };
    let outcomes = world.slot(&[single(Execute, vec![create(ONE, 0, init), used])]);
    assert_eq!(receipts(&outcomes[0])[0].contract, Some(contract));
    assert_eq!(world.storage(ONE, contract, 5), U256::from(6));
    let account = world.account(ONE, contract).unwrap();
    assert_eq!((account.nonce, account.code_hash), (1, keccak256(hex(RUNTIME_STORES))));
    assert_eq!(world.state(ONE).code_of(contract), Some(hex(RUNTIME_STORES)));
}

#[test]
fn selfdestruct_leaves_nothing_of_what_the_same_transaction_created() {
    let mut world = World::new(1);
    let (heir, contract) = (Address::repeat_byte(9), address(1).create(0));
    let creation = TxEip1559 { value: U256::from(50), ..create(ONE, 0, passes_on(heir)) };
    // Afterwards the address may hold value like any other, in the same bundle too.
    let gift = transfer(ONE, 1, contract, 8);
    world.slot(&[single(Execute, vec![creation, gift])]);
    assert_eq!(world.balance(ONE, heir), 50);
    assert_eq!(world.account(ONE, contract), Some(Account::of_balance(U256::from(8))));

    // One that existed before only gives its balance away (EIP-6780).
    let supply = world.supply(ONE);
    world.slot(&[single(Execute, vec![call(ONE, 2, LEAVES)])]);
    let left = world.account(ONE, LEAVES).unwrap();
    assert_eq!((left.balance, left.has_code()), (U256::ZERO, true));
    assert_eq!(world.supply(ONE), supply);
}

#[test]
fn transactions_see_their_block() {
    let mut world = World::new(1);
    world.slot(&[single(Execute, vec![call(ONE, 0, LOOKS)])]);
    let seen = |slot| world.storage(ONE, LOOKS, slot);
    let block = block();
    assert_eq!(seen(0), U256::from(block.number));
    assert_eq!(seen(1), U256::from(block.timestamp_s));
    assert_eq!(seen(2), U256::from_be_bytes(block.prevrandao.0));
    assert_eq!(seen(3), U256::from(block.base_fee));
    assert_eq!(seen(4), U256::from_be_slice(block.beneficiary.as_slice()));
    assert_eq!(seen(5), U256::from(block.gas_limit));
    assert_eq!(seen(6), U256::from(ONE));
}

#[test]
fn every_hardfork_executes() {
    for hardfork in Hardfork::ALL {
        let mut world = World::new(1);
        world.block.hardfork = hardfork;
        let outcome = world.slot(&[single(Execute, vec![call(ONE, 0, COUNTS)])]).remove(0);
        assert!(matches!(outcome, Outcome::Kept { .. }), "{hardfork:?}");
    }
}

#[test]
fn l1_fees_are_charged_only_where_the_state_says_so() {
    // L1 base fee in slot 1, scalars (of the base fee: bytes 16 to 19) in slot 3.
    let json = format!(
        r#"{{"alloc": {{"{}": {{"balance": "1000000000000"}}, "{L1_BLOCK_CONTRACT}": {{
            "balance": "0", "code": "0x00", "storage": {{"0x01": "0x3b9aca00",
            "0x03": "0x00000000000000000000000000000000000f4240000000000000000000000000"}}}}}}}}"#,
        address(1),
    );
    let state = Arc::new(parse_genesis(json.as_bytes()).unwrap());
    for (l1_fees, is_charged) in [(L1Fees::Nothing, false), (L1Fees::FromState, true)] {
        let mut world = World::new(1);
        world.states[0].1 = state.clone();
        world.block.l1_fees = l1_fees;
        let outcome = world.slot(&[single(Execute, vec![transfer(ONE, 0, address(2), 1)])]);
        assert_eq!(matches!(outcome[0], Outcome::Kept { .. }), !is_charged, "{outcome:?}");
        assert_eq!(world.balance(ONE, L1_FEE_RECIPIENT), 0);
        if is_charged {
            assert!(matches!(
                outcome[0],
                Outcome::Dropped(Dropped::Invalid { why: Invalid::Balance { .. }, .. })
            ));
        }
    }
}

#[test]
fn invariant_1_a_failing_leg_leaves_every_rollup_as_it_was() {
    let first = || leg(ONE, vec![(1, store(ONE, 0, 1, 9)), (1, call(ONE, 1, COUNTS))]);
    let reverted = Fault::Reverted { data: hex("deadbeef"), length_bytes: 4 };
    let second = leg(TWO, vec![(1, transfer(TWO, 0, REVERTS, 0)), (1, call(TWO, 1, REVERTS))]);
    let second = Leg { transactions: second.transactions[1..].to_vec(), ..second };
    // Its nonce is 1 while the account is at 0.
    let why = Invalid::NonceTooHigh { actual: 1, expected: 0 };
    assert_eq!(dropped(&bundle(Include, vec![first(), second])), invalid(1, 0, why));
    let second = leg(TWO, vec![(1, store(TWO, 0, 3, 3)), (1, call(TWO, 1, REVERTS))]);
    assert_eq!(dropped(&bundle(Execute, vec![first(), second])), failed(1, 1, reverted));
}

#[test]
fn invariant_2_a_bundle_sees_what_was_kept_before_it() {
    let mut world = World::new(2);
    let on = |chain, nonce| leg(chain, vec![(1, call(chain, nonce, COUNTS))]);
    let reverting = leg(TWO, vec![(1, call(TWO, 1, REVERTS))]);
    let outcomes = world.slot(&[
        bundle(Execute, vec![on(ONE, 0), on(TWO, 0)]),
        bundle(Execute, vec![on(ONE, 1), reverting]),
        bundle(Execute, vec![on(ONE, 1)]),
        bundle(Execute, vec![on(ONE, 2), on(TWO, 1)]),
    ]);
    let kept: Vec<bool> = outcomes.iter().map(|o| matches!(o, Outcome::Kept { .. })).collect();
    assert_eq!(kept, [true, false, true, true]);
    assert_eq!(world.storage(ONE, COUNTS, 0), U256::from(3));
    assert_eq!(world.storage(TWO, COUNTS, 0), U256::from(2));
}

#[test]
fn invariant_4_a_slot_goes_on_from_a_snapshot() {
    let world = World::new(2);
    let on = |chain, nonce| leg(chain, vec![(1, call(chain, nonce, COUNTS))]);
    let bundles = [0, 1, 2].map(|nonce| bundle(Execute, vec![on(ONE, nonce), on(TWO, nonce)]));
    let mut whole = world.simulator();
    whole.simulate(&bundles[0]);
    let snapshot = whole.snapshot();
    whole.simulate(&bundles[1]);
    let after_two = whole.snapshot();
    let outcome = whole.simulate(&bundles[2]);

    let mut resumed = world.simulator();
    resumed.restore(snapshot.clone());
    resumed.simulate(&bundles[1]);
    assert_eq!(resumed.snapshot(), after_two);
    assert_eq!(resumed.simulate(&bundles[2]), outcome);
    assert_eq!(resumed.finish(), whole.finish());

    let mut back = world.simulator();
    bundles.iter().for_each(|bundle| drop(back.simulate(bundle)));
    back.restore(snapshot);
    let once = world.simulator();
    let mut once = once;
    once.simulate(&bundles[0]);
    assert_eq!(back.finish(), once.finish());
}

#[test]
fn invariant_4_no_state_is_written_to_and_the_gas_is_summed() {
    let world = World::new(1);
    let before = world.states.clone();
    let mut simulator = world.simulator();
    simulator.simulate(&single(Execute, vec![transfer(ONE, 0, address(2), 1)]));
    simulator.simulate(&single(Execute, vec![transfer(ONE, 1, address(2), 1)]));
    let finished = simulator.finish().unwrap();
    assert_eq!(world.states, before);
    assert_eq!(finished[0].gas_used, 42_000);
    assert!(!finished[0].changes.is_empty());
}

#[test]
fn invariant_5_a_bundle_over_the_gas_limit_is_dropped_before_it_runs() {
    let mut world = World::new(1);
    world.limits = Limits { bundle_gas: 42_000 };
    let pair = |gas_limit| {
        let first = transfer(ONE, 0, address(2), 1);
        vec![first.clone(), TxEip1559 { nonce: 1, gas_limit, ..first }]
    };
    let outcomes = world.slot(&[single(Include, pair(21_001)), single(Include, pair(21_000))]);
    assert_eq!(outcomes[0], Outcome::Dropped(Dropped::Gas { actual: 42_001, limit: 42_000 }));
    assert!(matches!(outcomes[1], Outcome::Kept { .. }));
    assert_eq!(Limits::default().bundle_gas, BUNDLE_GAS);
}

/// A view that stops answering about one account.
struct Flaky {
    state: MemoryState,
    fails: AtomicBool,
}

impl StateView for Flaky {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.fails.load(Ordering::Relaxed) && address == COUNTS {
            true => Err(StateError::Unreachable),
            false => self.state.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.state.storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, _number: u64) -> Result<B256, StateError> {
        Err(StateError::Stale)
    }
}

fn flaky() -> (Arc<Flaky>, Simulator) {
    let flaky = Arc::new(Flaky { state: genesis(), fails: AtomicBool::new(false) });
    let digest = genesis().digest();
    let views: [(u64, Option<Arc<dyn StateView>>); 3] =
        [(ONE, Some(Arc::new(genesis()))), (TWO, Some(flaky.clone())), (903, None)];
    let rollups = views.map(|(chain_id, view)| Rollup { chain_id, view, digest, block: block() });
    (flaky, Simulator::new(rollups.into(), Limits::default()).unwrap())
}

#[test]
fn invariant_6_a_view_that_failed_is_unavailable_for_the_rest_of_the_slot() {
    let (view, mut simulator) = flaky();
    let on = |chain, nonce, to| leg(chain, vec![(1, call(chain, nonce, to))]);
    let both = |nonce, to| bundle(Execute, vec![on(ONE, nonce, COUNTS), on(TWO, nonce, to)]);
    let unavailable = Outcome::Unavailable { chain_id: TWO };
    assert!(matches!(simulator.simulate(&both(0, STORES)), Outcome::Kept { .. }));
    view.fails.store(true, Ordering::Relaxed);
    assert_eq!(simulator.simulate(&both(1, COUNTS)), unavailable);
    view.fails.store(false, Ordering::Relaxed);
    assert_eq!(simulator.simulate(&both(1, STORES)), unavailable);
    // The other rollup goes on, without what was not kept.
    let alone = bundle(Execute, vec![on(ONE, 1, COUNTS)]);
    assert!(matches!(simulator.simulate(&alone), Outcome::Kept { .. }));
    assert_eq!(simulator.finish().unwrap().len(), 3);
}

#[test]
fn a_rollup_without_a_view_is_unavailable() {
    let (view, mut simulator) = flaky();
    for chain_id in [903, 904] {
        let legs = vec![
            leg(ONE, vec![(1, call(ONE, 0, COUNTS))]),
            leg(chain_id, vec![(1, call(chain_id, 0, COUNTS))]),
        ];
        let outcome = simulator.simulate(&bundle(Include, legs));
        assert_eq!(outcome, Outcome::Unavailable { chain_id });
    }
    // What is not in memory any more has to be read again to know what changed.
    let on_two = bundle(Include, vec![leg(TWO, vec![(1, call(TWO, 0, COUNTS))])]);
    assert!(matches!(simulator.simulate(&on_two), Outcome::Kept { .. }));
    let snapshot = simulator.snapshot();
    let rollup = |view: Arc<dyn StateView>| Rollup {
        chain_id: TWO,
        view: Some(view),
        digest: genesis().digest(),
        block: block(),
    };
    view.fails.store(true, Ordering::Relaxed);
    let mut resumed = Simulator::new(vec![rollup(view)], Limits::default()).unwrap();
    resumed.restore(snapshot);
    assert_eq!(resumed.finish(), Err(Unavailable { chain_id: TWO }));
    let twice = vec![rollup(Arc::new(genesis())), rollup(Arc::new(genesis()))];
    let error = Simulator::new(twice, Limits::default()).err();
    assert_eq!(error, Some(SimulatorError::ChainTwice { chain_id: TWO }));
}

#[test]
fn legs_make_a_bundle_only_if_invariant_1_holds() {
    let on = |chain| leg(chain, vec![(1, call(chain, 0, COUNTS))]);
    let error = |legs| Bundle::new(Include, legs).expect_err("refused");
    assert_eq!(error(vec![]), BundleError::Legs { actual: 0, limit: 65_535 });
    assert_eq!(error(vec![on(TWO), on(ONE)]), BundleError::Order { previous: TWO, next: ONE });
    assert_eq!(error(vec![on(ONE), on(ONE)]), BundleError::Order { previous: ONE, next: ONE });
    let empty = Leg { chain_id: ONE, transactions: vec![] };
    let limit = 65_535;
    assert_eq!(error(vec![empty]), BundleError::Transactions { chain_id: ONE, actual: 0, limit });
    let foreign = Leg { chain_id: ONE, ..on(TWO) };
    assert_eq!(error(vec![foreign]), BundleError::Chain { chain_id: ONE, actual: TWO });
    assert!(Bundle::new(Execute, vec![on(ONE), on(TWO)]).is_ok());
}
