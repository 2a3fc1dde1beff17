use std::sync::Arc;

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding;
use op_revm::constants::{BASE_FEE_RECIPIENT, L1_BLOCK_CONTRACT, L1_FEE_RECIPIENT};

use super::world::*;
use crate::block::{Hardfork, L1Fees};
use crate::bundle::{Leg, Policy};
use crate::genesis::parse_genesis;
use crate::outcome::{Dropped, Fault, Halt, Invalid, MAX_REVERT_BYTES, Outcome};
use crate::state::Account;

use Policy::{Execute, Include};

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
    for (code, halt) in
        [("600456", Halt::Jump), ("50", Halt::Stack), ("6001600060003e", Halt::Offset)]
    {
        let creation = create(ONE, 0, hex(code).to_vec());
        assert_eq!(dropped(&single(Execute, vec![creation])), failed(0, 0, Fault::Halted(halt)));
    }
    // The precompiled contract of EIP-4844 refuses an input of another length.
    let precompiled = call(ONE, 0, Address::with_last_byte(10));
    let why = Fault::Halted(Halt::Precompile);
    assert_eq!(dropped(&single(Execute, vec![precompiled])), failed(0, 0, why));
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
    let unauthorized =
        TxEip7702 { chain_id: ONE, gas_limit: GAS, max_fee_per_gas: FEE, to, ..Default::default() };
    let transactions = vec![recovered(ONE, signed(1, unauthorized))];
    let outcome = dropped(&bundle(Include, vec![Leg { chain_id: ONE, transactions }]));
    assert_eq!(outcome, invalid(0, 0, Invalid::Authorization));
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
        r#"{{"alloc": {{"{}": {{"balance": "1000000000000"}},
            "{}": {{"balance": "1000000000000000000"}}, "{L1_BLOCK_CONTRACT}": {{
            "balance": "0", "code": "0x00", "storage": {{"0x01": "0x3b9aca00",
            "0x03": "0x00000000000000000000000000000000000f4240000000000000000000000000"}}}}}}}}"#,
        address(1),
        address(2),
    );
    let state = Arc::new(parse_genesis(json.as_bytes()).unwrap());
    for (l1_fees, fee) in [(L1Fees::Nothing, 0), (L1Fees::FromState, 1_600_000_000_000)] {
        let mut world = World::new(1);
        world.states[0].1 = state.clone();
        world.block.l1_fees = l1_fees;
        let outcomes = world.slot(&[1, 2].map(|who| {
            bundle(Execute, vec![leg(ONE, vec![(who, transfer(ONE, 0, address(3), 1))])])
        }));
        let poor = match l1_fees {
            L1Fees::Nothing => matches!(outcomes[0], Outcome::Kept { .. }),
            L1Fees::FromState => {
                outcomes[0]
                    == invalid(
                        0,
                        0,
                        Invalid::Balance {
                            actual: U256::from(1_000_000_000_000u64),
                            needed: U256::from(fee),
                        },
                    )
            }
        };
        assert!(poor, "{:?}", outcomes[0]);
        assert!(matches!(outcomes[1], Outcome::Kept { .. }), "{:?}", outcomes[1]);
        assert_eq!(world.balance(ONE, L1_FEE_RECIPIENT), fee);
    }
}

#[test]
fn outcomes_have_one_encoding_and_a_json_form() {
    let calls = || vec![call(ONE, 0, COUNTS), call(ONE, 1, REVERTS), call(ONE, 2, INVALID)];
    let poor = TxEip1559 { value: U256::MAX >> 1, ..call(ONE, 0, COUNTS) };
    let cheap = TxEip1559 { max_fee_per_gas: 6, ..call(ONE, 0, COUNTS) };
    let outcomes = [
        World::new(1).slot(&[single(Include, calls())]).remove(0),
        dropped(&single(Execute, calls())),
        dropped(&single(Include, vec![poor])),
        dropped(&single(Include, vec![cheap])),
        Outcome::Dropped(Dropped::Gas { actual: 2, limit: 1 }),
        Outcome::Unavailable { chain_id: ONE },
    ];
    for outcome in outcomes {
        let bytes = encoding::encode(&outcome);
        assert_eq!(encoding::decode::<Outcome>(&bytes, 4_096).as_ref(), Ok(&outcome));
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome, "{json}");
    }
}
