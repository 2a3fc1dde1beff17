//! Fees at emission.

use super::*;
use crate::balances::{Accounting, AccountingError, BalancesError, MAX_FEE_PER_BYTE};

const FEE: u64 = 3 * 512;

fn charging(deposits: &[(u8, u128)]) -> Parameters {
    let deposits =
        deposits.iter().map(|(payer, amount)| (Payer::from_bytes([*payer; 20]), *amount));
    let deposits = Arc::new(deposits.collect());
    let accounting = Some(Accounting { fee_per_byte: 3, deposits });
    Parameters { accounting, ..parameters(5, 1).1 }
}

fn bench(deposits: &[(u8, u128)]) -> Bench {
    let (_, state) = ChainState::genesis(charging(deposits)).unwrap();
    Bench { state, ..Bench::new() }
}

fn of(payer: u8, nonce: u64, class: u64) -> BundleFacts {
    let class = SizeClass::new(class).unwrap();
    BundleFacts { payer: Payer::from_bytes([payer; 20]), class, ..facts(nonce) }
}

fn balance(bench: &Bench, payer: u8) -> u128 {
    bench.state.balances().unwrap().balance(&Payer::from_bytes([payer; 20]))
}

const ALL: &[usize] = &[0, 1, 2, 3, 4];

#[test]
fn invariant_6_who_does_not_have_the_fee_is_unfunded_and_keeps_the_rest() {
    let mut bench = bench(&[(1, 4 * u128::from(FEE) - 1), (2, u128::from(FEE))]);
    bench.log(1, of(1, 1, 1), ALL);
    bench.log(2, of(1, 2, 1), ALL);
    bench.log(3, of(1, 3, 0), ALL);
    bench.log(4, of(2, 1, 0), ALL);
    bench.log(5, of(3, 1, 0), ALL);
    let output = bench.advance(bench.body());
    let expected = [
        (id(1), Placement::Open),
        (id(2), Placement::Unfunded),
        (id(3), Placement::Open),
        (id(4), Placement::Open),
        (id(5), Placement::Unfunded),
    ];
    assert_eq!(placements(&output), expected);
    let charged: Vec<_> = output.charges.iter().map(|charge| (charge.id, charge.fee)).collect();
    assert_eq!(charged, [(id(1), 2 * FEE), (id(3), FEE), (id(4), FEE)]);
    assert_eq!([1, 2, 3].map(|payer| balance(&bench, payer)), [u128::from(FEE) - 1, 0, 0]);
    let balances = bench.state.balances().unwrap();
    assert_eq!(balances.charged(), 4 * u128::from(FEE));
    assert_eq!(balances.left() + balances.charged(), balances.deposited());
}

#[test]
fn invariant_3_an_unfunded_bundle_consumes_its_nonce() {
    let mut bench = bench(&[(1, u128::from(FEE))]);
    bench.log(1, of(1, 7, 1), ALL);
    bench.log(2, of(1, 7, 0), ALL);
    let output = bench.advance(bench.body());
    let expected = [(id(1), Placement::Unfunded), (id(2), Placement::NonceUsed)];
    assert_eq!(placements(&output), expected);
    assert!(bench.state.is_consumed(&Payer::from_bytes([1; 20]), 7));
    assert_eq!(balance(&bench, 1), u128::from(FEE), "neither is charged");
    bench.log(3, of(1, 8, 0), ALL);
    assert_eq!(placements(&bench.advance(bench.body())), [(id(3), Placement::Open)]);
    assert_eq!(balance(&bench, 1), 0);
}

#[test]
fn invariant_6_what_expires_while_it_is_pending_costs_nothing() {
    let mut bench = bench(&[(1, u128::from(10 * FEE))]);
    bench.facts.insert(id(1), BundleFacts { expires_at: Height::new(2), ..of(1, 7, 0) });
    bench.facts.insert(id(2), of(1, 8, 0));
    bench.facts.insert(id(3), of(1, 9, 0));
    for (member, ids) in [vec![1, 2, 3], vec![2, 1, 3], vec![3]].iter().enumerate() {
        for number in ids {
            bench.logs[member].append(id(*number)).unwrap();
        }
    }
    for _ in 0..4 {
        assert_eq!(placements(&bench.advance(bench.body())), [], "undecided");
    }
    assert_eq!(balance(&bench, 1), u128::from(10 * FEE), "charged at its place, not before");
    for member in 2..5 {
        for number in [1, 2, 3] {
            let _ = bench.logs[member].append(id(number));
        }
    }
    let output = bench.advance(bench.body());
    assert!(placements(&output).contains(&(id(1), Placement::Expired)));
    let mut charged: Vec<_> = output.charges.iter().map(|charge| charge.id).collect();
    charged.sort();
    let mut expected = [id(2), id(3)];
    expected.sort();
    assert_eq!(charged, expected);
    assert_eq!(balance(&bench, 1), u128::from(8 * FEE));
}

#[test]
fn invariant_1_states_that_differ_in_a_balance_have_another_digest() {
    let body = |bench: &Bench| bench.extend(bench.body()).unwrap();
    let mut rich = bench(&[(1, 100_000)]);
    let mut richer = bench(&[(1, 100_001)]);
    let free = Bench::new();
    assert_ne!(rich.state.digest(), richer.state.digest());
    assert_ne!(rich.state.digest(), free.state.digest());
    for bench in [&mut rich, &mut richer] {
        bench.log(1, of(1, 1, 0), ALL);
    }
    let (block, _, output) = body(&rich);
    let (_, _, other) = body(&richer);
    assert_eq!(placements(&output), placements(&other));
    assert_ne!(output.result_root(), other.result_root());
    let fault = richer.state.apply(&block, &richer.facts).unwrap_err();
    assert!(matches!(fault, BlockFault::Header(_)), "{fault}");
}

#[test]
fn invariant_4_balances_are_restored_and_continue_equally() {
    let deposits = [(1, u128::from(20 * FEE)), (2, u128::from(3 * FEE))];
    let mut bench = bench(&deposits);
    for number in 0..40 {
        bench.log(number, of(1 + (number % 3) as u8, number, number % 2), ALL);
        let body = bench.released(bench.body());
        bench.advance(body);
        let bytes = bench.state.snapshot();
        let restored = ChainState::restore(charging(&deposits), &bytes).unwrap();
        assert_eq!(restored.digest(), bench.state.digest());
        assert_eq!(restored.snapshot(), bytes);
        let (one, other) = (restored.balances().unwrap(), bench.state.balances().unwrap());
        assert_eq!((one.left(), one.changed()), (other.left(), other.changed()));
        bench.state = restored;
    }
    assert!([1, 2].iter().all(|payer| balance(&bench, *payer) < 2 * u128::from(FEE)));
    let bytes = bench.state.snapshot();
    let nothing = ChainState::restore(parameters(5, 1).1, &bytes).unwrap_err();
    assert_eq!(nothing, RestoreError::Accounting);
    let poorer = ChainState::restore(charging(&[(1, 20)]), &bytes).unwrap_err();
    assert!(matches!(poorer, RestoreError::Balances(BalancesError::Balance { .. })));
}

#[test]
fn numbers_that_can_not_be_charged_by_are_refused() {
    let deposits = Arc::default();
    let accounting = Some(Accounting { fee_per_byte: MAX_FEE_PER_BYTE + 1, deposits });
    let given = Parameters { accounting, ..parameters(5, 1).1 };
    let expected = AccountingError::Fee { actual: MAX_FEE_PER_BYTE + 1 };
    let error = ChainState::genesis(given).unwrap_err();
    assert_eq!(error, ParametersError::Accounting(expected));
}
