//! Rules 12 to 15 broken: blocks, execution, fees, changes of the registry.

use fairveil_release::change::Action;

use super::*;
use crate::committee::rollups::Fates;

/// Changes the first release of every sequencer that has a block.
fn change_blocks(given: &mut Evidence<'_>, change: impl Fn(&mut Release)) {
    for member in 0..5 {
        rewrite(given, member, Table::Releases, |bytes| change_release(bytes, &change));
    }
}

pub(super) fn rule_12_a_block_of_another_slot(given: &mut Evidence<'_>) {
    change_blocks(given, |release| {
        let batch = release.batches.iter_mut().find(|batch| !batch.is_empty()).unwrap();
        batch.blocks[0].number += 1_000;
    });
}

pub(super) fn rule_12_legs_at_different_times(given: &mut Evidence<'_>) {
    change_blocks(given, |release| {
        for leaf in &mut release.leaves {
            if let Outcome::Released { legs, .. } = &mut leaf.outcome {
                legs[0].block.time_ms = 0;
            }
        }
    });
}

pub(super) fn rule_13_another_balance(given: &mut Evidence<'_>) {
    for member in 0..5 {
        rewrite(given, member, Table::States, |bytes| {
            // An account: nonce, balance, hash of its code. One that sent something.
            let sent = bytes.len() == 72 && bytes[7] > 0;
            bytes[39] ^= u8::from(sent);
            sent
        });
    }
}

pub(super) fn rule_13_another_fate(given: &mut Evidence<'_>) {
    for submission in &mut given.submissions {
        let fate = Fate::Failed("leg_failed");
        submission.purpose = Purpose::Known(Fates { seen: fate, blind: fate });
    }
}

/// Shows changes that nobody announced: a rollup is paused for one height.
fn pause_at(given: &mut Evidence<'_>, height: u64, chain_id: u64) {
    let change = |at, action| RegistryChange {
        network_id: given.keys.network_id,
        number: at,
        at: fairveil_crypto::Height::new(at),
        action,
    };
    let changes = [
        change(height, Action::Pause { chain_id }),
        change(height + 1, Action::Resume { chain_id }),
    ];
    given.changes.extend(changes);
}

/// The releases of the first sequencer.
fn releases(given: &Evidence<'_>) -> Vec<Release> {
    let stored = given.stores[0].as_ref().unwrap().range(Table::Releases, &[], usize::MAX);
    stored.unwrap().iter().map(|(_, bytes)| Release::decode(bytes).unwrap()).collect()
}

pub(super) fn rule_15_a_change_that_nobody_announced(given: &mut Evidence<'_>) {
    let chain_id = given.plan.rollups.registry.chain_ids()[0];
    pause_at(given, 1, chain_id);
}

pub(super) fn rule_15_a_paused_rollup_got_something(given: &mut Evidence<'_>) {
    let full = |release: Release| {
        let batch = release.batches.into_iter().find(|batch| !batch.is_empty());
        batch.map(|batch| (release.header.height.get(), batch.chain_id))
    };
    let (height, chain_id) = releases(given).into_iter().find_map(full).unwrap();
    pause_at(given, height, chain_id);
}

pub(super) fn rule_14_a_fee_is_lost(given: &mut Evidence<'_>) {
    given.accounts[0].as_mut().unwrap().balances -= 1;
}
