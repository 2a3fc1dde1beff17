//! The oracle sees what is wrong: a good run, shown to it with one thing changed.

#![allow(clippy::unwrap_used)]

use commonware_runtime::{Runner as _, deterministic};
use fairveil_sequencer::store::Write;

use super::*;
use crate::committee::scene::play_with;

/// What the oracle says to a good run of five with one thing changed.
fn violations(tamper: impl FnOnce(&mut Evidence<'_>)) -> Vec<String> {
    let seed = (0..).find(|seed| Plan::new(Kind::Honest, *seed).n == 5).unwrap();
    let runner = deterministic::Runner::new(deterministic::Config::new().with_seed(seed));
    let plan = Plan::new(Kind::Honest, seed);
    runner.start(|context| play_with(context, plan, seed, tamper)).violations
}

fn sees(what: &str, tamper: impl FnOnce(&mut Evidence<'_>)) {
    let violations = violations(tamper);
    let seen = violations.iter().any(|violation| violation.contains(what));
    assert!(seen, "{what} is not in {violations:?}");
}

/// Changes a stored value of one sequencer.
fn rewrite(
    given: &Evidence<'_>,
    member: usize,
    table: Table,
    change: impl Fn(&mut Vec<u8>) -> bool,
) {
    let store = given.stores[member].as_ref().unwrap();
    for (key, mut value) in store.range(table, &[], usize::MAX).unwrap() {
        if change(&mut value) {
            store.commit(&[Write::put(table, key, value)]).unwrap();
            return;
        }
    }
    panic!("nothing to change in {table:?}");
}

/// Changes a release with a batch that has transactions.
fn change_release(bytes: &mut Vec<u8>, change: impl Fn(&mut Release)) -> bool {
    let mut release = Release::decode(bytes).unwrap();
    let full = release.batches.iter().any(|batch| !batch.transactions.is_empty());
    if full {
        change(&mut release);
        *bytes = release.encode();
    }
    full
}

#[test]
fn nothing_is_wrong_with_the_run_itself() {
    assert_eq!(violations(|_| ()), Vec::<String>::new());
}

#[test]
fn rule_1_another_block() {
    sees("certificate of height", |given| {
        rewrite(given, 2, Table::Orders, |bytes| {
            let mut certificate: OrderCertificate = decode(bytes, MAX_VALUE_BYTES).unwrap();
            let changed = certificate.emission.cohorts.len() > 1;
            certificate.emission.cohorts.reverse();
            *bytes = fairveil_crypto::encoding::encode(&certificate);
            changed
        });
    });
}

#[test]
fn rule_2_another_release() {
    sees("another release at height", |given| {
        let change = |release: &mut Release| release.batches[0].time_ms += 1;
        rewrite(given, 3, Table::Releases, |bytes| change_release(bytes, change));
    });
}

#[test]
fn rule_3_a_lost_bundle() {
    sees("receipts ended None", |given| {
        given.submissions[0].id = BundleId::from_bytes([7; 32]);
        let id = given.submissions[0].id;
        let network_id = given.keys.network_id;
        let receipts = (0..2).map(|member| {
            let secret = given.keys.secrets(member).consensus_seed;
            let secret = fairveil_crypto::ConsensusSecret::from_seed(*secret);
            let body = fairveil_mempool::ReceiptBody {
                network_id,
                epoch: EPOCH,
                id,
                place: fairveil_mempool::Place::Held,
                height: fairveil_crypto::Height::new(1),
                time_ms: 1,
            };
            body.sign(SequencerIndex::from_position(member).unwrap(), &secret)
        });
        given.submissions[0].receipts = receipts.collect();
    });
}

#[test]
fn rule_3_a_forged_receipt() {
    sees("does not verify", |given| given.submissions[0].receipts[0].body.time_ms += 1);
}

#[test]
fn rule_4_a_missing_leg() {
    sees("half released", |given| {
        for member in 0..5 {
            rewrite(given, member, Table::Releases, |bytes| {
                change_release(bytes, |release| {
                    let batches = &mut release.batches;
                    let batch = batches.iter_mut().find(|batch| !batch.bundles.is_empty()).unwrap();
                    let last = batch.bundles.pop().unwrap();
                    batch.transactions.truncate(last.first as usize);
                })
            });
        }
    });
}

#[test]
fn rule_4_other_transactions() {
    sees("other transactions", |given| {
        let legs = given.submissions[0].legs.values_mut().next().unwrap();
        legs[0][0] ^= 1;
    });
}

#[test]
fn rule_5_another_order() {
    sees("is not released in the fair order", |given| {
        for member in 0..5 {
            // The ranges of the first two heights with batches of one rollup, exchanged.
            let store = given.stores[member].as_ref().unwrap();
            let mut full = Vec::new();
            for (key, bytes) in store.range(Table::Releases, &[], usize::MAX).unwrap() {
                let release = Release::decode(&bytes).unwrap();
                if !release.batches[0].bundles.is_empty() {
                    full.push((key, release));
                }
            }
            let (first, second) = (full[0].clone(), full[1].clone());
            let mut swapped = [first.1.clone(), second.1.clone()];
            swapped[0].batches[0] = second.1.batches[0].clone();
            swapped[1].batches[0] = first.1.batches[0].clone();
            for (key, release) in [first.0, second.0].into_iter().zip(swapped) {
                store.commit(&[Write::put(Table::Releases, key, release.encode())]).unwrap();
            }
        }
    });
}

#[test]
fn rule_6_a_share_before_its_order_was_final() {
    sees("was final", |given| {
        let at = given.trace.iter().position(|(_, sent)| matches!(sent, Sent::Share { .. }));
        let share = given.trace.remove(at.unwrap());
        given.trace.insert(0, share);
    });
}

#[test]
fn rule_6_a_share_of_another_order() {
    sees("of another order", |given| {
        let shares = given.trace.iter_mut().filter_map(|(_, sent)| match sent {
            Sent::Share { batch, .. } => Some(batch),
            _ => None,
        });
        *shares.into_iter().next().unwrap() = fairveil_crypto::BatchId::from_bytes([1; 32]);
    });
}

#[test]
fn rule_7_an_inversion() {
    sees("against all honest logs", |given| {
        // All logs turned around: whatever came out in two cohorts is inverted now.
        for store in given.stores.iter().flatten() {
            let mut entries = store.range(Table::Log, &[], usize::MAX).unwrap();
            let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
            entries.reverse();
            for (key, (_, value)) in keys.into_iter().zip(entries) {
                store.commit(&[Write::put(Table::Log, key, value)]).unwrap();
            }
        }
    });
}

#[test]
fn rule_8_an_open_bundle_after_its_window() {
    sees("is Open, not Expired", |given| given.submissions[0].expires_at = 0);
}

#[test]
fn rule_8_a_nonce_used_twice() {
    sees("is Open, not NonceUsed", |given| {
        let nonce = given.submissions[0].nonce;
        given.submissions.iter_mut().for_each(|submission| submission.nonce = nonce);
    });
}

#[test]
fn rule_9_evidence_that_proves_nothing() {
    sees("evidence proves nothing", |given| {
        let store = given.stores[0].as_ref().unwrap();
        store.commit(&[Write::put(Table::Evidence, [1; 32], vec![1, 2, 3])]).unwrap();
    });
}

#[test]
fn rule_10_a_run_that_does_not_end() {
    sees("not quiet in time", |given| given.finished = false);
}
