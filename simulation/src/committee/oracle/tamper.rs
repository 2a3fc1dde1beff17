//! The oracle judged: a good run, shown to it with one thing changed, and what it must say then.
//!
//! Part of the library, not of its unit tests, so that the consensus is compiled once.

#![allow(
    clippy::unwrap_used,
    reason = "a change that can't be made ends the test that asked for it"
)]

mod epochs;
mod rollups;

use commonware_runtime::{Runner as _, deterministic};
use fairveil_sequencer::store::Write;

use self::epochs::*;
use self::rollups::*;
use super::*;
use crate::committee::keys::EPOCH;
use crate::committee::scene::play_with;

/// One thing changed in what the oracle is shown.
#[derive(Clone, Copy, Debug)]
pub struct Tamper {
    /// The rule of [`crate::committee`] that it breaks, and how.
    pub name: &'static str,
    /// What the oracle must say.
    pub says: &'static str,
    /// The run that is shown.
    kind: Kind,
    change: fn(&mut Evidence<'_>),
}

/// At least one change for every rule that a change can break.
pub const TAMPERS: &[Tamper] = &[
    Tamper {
        kind: Kind::Honest,
        name: "rule_1_another_block",
        says: "certificate of height",
        change: rule_1_another_block,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_2_another_release",
        says: "another release at height",
        change: rule_2_another_release,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_3_a_lost_bundle",
        says: "receipts did not end",
        change: rule_3_a_lost_bundle,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_3_a_forged_receipt",
        says: "does not verify",
        change: rule_3_a_forged_receipt,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_4_a_missing_leg",
        says: "half released",
        change: rule_4_a_missing_leg,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_4_other_transactions",
        says: "other transactions",
        change: rule_4_other_transactions,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_5_another_order",
        says: "is not released in the fair order",
        change: rule_5_another_order,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_6_a_share_before_its_order_was_final",
        says: "was final",
        change: rule_6_a_share_before_its_order_was_final,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_6_a_share_of_a_height_to_come",
        says: "was final",
        change: rule_6_a_share_of_a_height_to_come,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_6_a_hint_before_its_order_was_final",
        says: "hint",
        change: rule_6_a_hint_before_its_order_was_final,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_6_a_bundle_read_before_its_order",
        says: "before its order",
        change: rule_6_a_bundle_read_before_its_order,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_6_a_share_of_another_order",
        says: "of another order",
        change: rule_6_a_share_of_another_order,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_7_an_inversion",
        says: "against all honest logs",
        change: rule_7_an_inversion,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_8_an_open_bundle_after_its_window",
        says: "is Open, not Expired",
        change: rule_8_an_open_bundle_after_its_window,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_8_a_nonce_used_twice",
        says: "is Open, not NonceUsed",
        change: rule_8_a_nonce_used_twice,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_9_evidence_that_proves_nothing",
        says: "evidence proves nothing",
        change: rule_9_evidence_that_proves_nothing,
    },
    Tamper {
        kind: Kind::Honest,
        name: "rule_10_a_run_that_does_not_end",
        says: "not quiet in time",
        change: rule_10_a_run_that_does_not_end,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_12_a_block_of_another_slot",
        says: "at height",
        change: rule_12_a_block_of_another_slot,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_12_legs_at_different_times",
        says: "stands at",
        change: rule_12_legs_at_different_times,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_13_another_balance",
        says: ", expected",
        change: rule_13_another_balance,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_13_another_fate",
        says: "receipts ended Released",
        change: rule_13_another_fate,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_14_a_fee_is_lost",
        says: "is not conserved",
        change: rule_14_a_fee_is_lost,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_15_a_change_that_nobody_announced",
        says: "names other rollups",
        change: rule_15_a_change_that_nobody_announced,
    },
    Tamper {
        kind: Kind::Rollups,
        name: "rule_15_a_paused_rollup_got_something",
        says: "got something at",
        change: rule_15_a_paused_rollup_got_something,
    },
    Tamper {
        kind: Kind::Epochs,
        name: "rule_16_another_beginning",
        says: "otherwise",
        change: rule_16_another_beginning,
    },
    Tamper {
        kind: Kind::Epochs,
        name: "rule_17_a_share_of_another_epoch",
        says: "from another epoch",
        change: rule_17_a_share_of_another_epoch,
    },
    Tamper {
        kind: Kind::Epochs,
        name: "rule_17_an_honest_member_that_is_blamed",
        says: "is honest",
        change: rule_17_an_honest_member_that_is_blamed,
    },
    Tamper {
        kind: Kind::Epochs,
        name: "rule_18_a_log_that_begins_otherwise",
        says: "begins otherwise",
        change: rule_18_a_log_that_begins_otherwise,
    },
];

/// What the oracle says to a good run of five: as it was, or with one thing changed.
#[must_use]
pub fn violations(tamper: Option<&Tamper>) -> Vec<String> {
    let kind = tamper.map_or(Kind::Honest, |tamper| tamper.kind);
    let calm = |plan: &Plan| kind == Kind::Epochs && plan.outages.is_empty();
    let fits = |plan: Plan| plan.n == 5 || calm(&plan);
    let seed = (0..).find(|seed| fits(Plan::new(kind, *seed))).unwrap();
    let runner = deterministic::Runner::new(deterministic::Config::new().with_seed(seed));
    let plan = Plan::new(kind, seed);
    let change = tamper.map_or(nothing as fn(&mut Evidence<'_>), |tamper| tamper.change);
    runner.start(|context| play_with(context, plan, seed, change)).violations
}

fn nothing(_: &mut Evidence<'_>) {}

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
    let full = release.batches.iter().any(|batch| !batch.is_empty());
    if full {
        change(&mut release);
        *bytes = release.encode();
    }
    full
}

fn rule_1_another_block(given: &mut Evidence<'_>) {
    rewrite(given, 2, Table::Orders, |bytes| {
        let mut certificate: OrderCertificate = decode(bytes, MAX_VALUE_BYTES).unwrap();
        let changed = certificate.emission.cohorts.len() > 1;
        certificate.emission.cohorts.reverse();
        *bytes = fairveil_crypto::encoding::encode(&certificate);
        changed
    });
}

fn rule_2_another_release(given: &mut Evidence<'_>) {
    let change = |release: &mut Release| release.header.time_ms += 1;
    rewrite(given, 3, Table::Releases, |bytes| change_release(bytes, change));
}

fn rule_3_a_lost_bundle(given: &mut Evidence<'_>) {
    given.submissions[0].id = BundleId::from_bytes([7; 32]);
    let id = given.submissions[0].id;
    let network_id = given.keys.network_id;
    let receipts = (0..2).map(|member| {
        let secret = given.keys.secret(member);
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
}

fn rule_3_a_forged_receipt(given: &mut Evidence<'_>) {
    given.submissions[0].receipts[0].body.time_ms += 1;
}

fn rule_4_a_missing_leg(given: &mut Evidence<'_>) {
    for member in 0..5 {
        rewrite(given, member, Table::Releases, |bytes| {
            change_release(bytes, |release| {
                let batches = &mut release.batches;
                let batch = batches.iter_mut().find(|batch| !batch.is_empty()).unwrap();
                let block = batch.blocks.last_mut().unwrap();
                let last = block.bundles.pop().unwrap();
                block.transactions.truncate(last.first as usize);
            })
        });
    }
}

fn rule_4_other_transactions(given: &mut Evidence<'_>) {
    let legs = given.submissions[0].legs.values_mut().next().unwrap();
    legs[0][0] ^= 1;
}

fn rule_5_another_order(given: &mut Evidence<'_>) {
    for member in 0..5 {
        // The ranges of the first two heights with batches of one rollup, exchanged.
        let store = given.stores[member].as_ref().unwrap();
        let mut full = Vec::new();
        for (key, bytes) in store.range(Table::Releases, &[], usize::MAX).unwrap() {
            let release = Release::decode(&bytes).unwrap();
            if !release.batches[0].is_empty() {
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
}

fn rule_6_a_share_before_its_order_was_final(given: &mut Evidence<'_>) {
    let at = given.trace.iter().position(|(_, sent)| matches!(sent, Sent::Share { .. }));
    let share = given.trace.remove(at.unwrap());
    given.trace.insert(0, share);
}

fn rule_6_a_share_of_a_height_to_come(given: &mut Evidence<'_>) {
    let shares = given.trace.iter_mut().rev().filter_map(|(_, sent)| match sent {
        Sent::Share { height, .. } => Some(height),
        _ => None,
    });
    *shares.into_iter().next().unwrap() = u64::MAX;
}

fn rule_6_a_hint_before_its_order_was_final(given: &mut Evidence<'_>) {
    let at = given.trace.iter().position(|(_, sent)| matches!(sent, Sent::Hints { .. }));
    let hints = given.trace.remove(at.unwrap());
    given.trace.insert(0, hints);
}

fn rule_6_a_bundle_read_before_its_order(given: &mut Evidence<'_>) {
    let read = vec![(given.submissions[0].id, 0)];
    let report = fairveil_sequencer::AttackReport { read, ..Default::default() };
    given.overviews[1].as_mut().unwrap().attack = Some(report);
}

fn rule_6_a_share_of_another_order(given: &mut Evidence<'_>) {
    let shares = given.trace.iter_mut().filter_map(|(_, sent)| match sent {
        Sent::Share { batch, .. } => Some(batch),
        _ => None,
    });
    *shares.into_iter().next().unwrap() = fairveil_crypto::BatchId::from_bytes([1; 32]);
}

fn rule_7_an_inversion(given: &mut Evidence<'_>) {
    // All logs turned around: whatever came out in two cohorts is inverted now.
    for store in given.stores.iter().flatten() {
        let mut entries = store.range(Table::Log, &[], usize::MAX).unwrap();
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
        entries.reverse();
        for (key, (_, value)) in keys.into_iter().zip(entries) {
            store.commit(&[Write::put(Table::Log, key, value)]).unwrap();
        }
    }
}

fn rule_8_an_open_bundle_after_its_window(given: &mut Evidence<'_>) {
    given.submissions[0].expires_at = 0;
}

fn rule_8_a_nonce_used_twice(given: &mut Evidence<'_>) {
    let nonce = given.submissions[0].nonce;
    given.submissions.iter_mut().for_each(|submission| submission.nonce = nonce);
}

fn rule_9_evidence_that_proves_nothing(given: &mut Evidence<'_>) {
    let store = given.stores[0].as_ref().unwrap();
    store.commit(&[Write::put(Table::Evidence, [1; 32], vec![1, 2, 3])]).unwrap();
}

fn rule_10_a_run_that_does_not_end(given: &mut Evidence<'_>) {
    given.finished = false;
}
