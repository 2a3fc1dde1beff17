//! Rules 12 and 13: blocks and slots, and what the rollups hold, by arithmetic instead of an EVM.
//!
//! The transactions of executing rollups are transfers and calls that are refused, so who has what
//! afterwards follows from the released batches by adding and subtracting. That is compared with the
//! states on the disks.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, U256};
use fairveil_crypto::BundleId;
use fairveil_mempool::Policy;
use fairveil_release::release::Release;
use fairveil_release::slot::BlockTimes;
use fairveil_release::states::{prefix, state_of};
use fairveil_release::tree::Outcome;
use fairveil_sequencer::store::Table;

use super::{Case, View};
use crate::committee::Released;
use crate::committee::plan::Kind;
use crate::committee::rollups::{
    BASE_FEE, FUNDS, REFUSED_GAS, REFUSES, SLOW_INTERVAL_MS, TRANSFER_GAS,
};
use crate::committee::traders::Submission;

/// What one account has on one rollup.
type Balances = BTreeMap<(u64, Address), (U256, u64)>;

impl Case<'_> {
    /// Rules 12 and 13, and how many bundles are half done with and without simulation.
    pub(super) fn execution(&mut self) {
        if !self.given.plan.rollups.execute() {
            return;
        }
        let longest = self.honest.iter().max_by_key(|view| view.releases.len());
        let Some(view) = longest else { return };
        let mut wrong = self.slots(view);
        wrong.extend(self.balances(view));
        wrong.extend(self.ledgers());
        self.counts.insert("blind_slots".into(), self.blind.len() as u64);
        let seen = |release: &Release| release.views.iter().any(|view| view.anchor.is_some());
        let seen = view.releases.values().filter(|(_, release)| seen(release)).count();
        self.counts.insert("seen_slots".into(), seen as u64);
        let partial = self.partial(view);
        self.counts.extend(partial.into_iter().map(|(name, count)| (name.to_owned(), count)));
        let slow = self.across_the_slow_rollup(view);
        self.counts.insert("across_12_s".into(), slow);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// Every batch that the sequencer released that has released most.
    pub(super) fn released(&self) -> Option<Released> {
        let view = self.honest.iter().max_by_key(|view| view.releases.len())?;
        let batches = view.releases.values().flat_map(|(_, release)| release.batches.clone());
        let is_run = self.given.plan.kind == Kind::Rollups;
        is_run.then(|| Released { rollups: self.history.ever(), batches: batches.collect() })
    }

    /// Released bundles with a leg on the rollup of 12 s and one on another.
    fn across_the_slow_rollup(&self, view: &View) -> u64 {
        let rollups = self.given.plan.rollups.registry.rollups().iter();
        let is_slow = |times: BlockTimes| times.interval_ms == SLOW_INTERVAL_MS;
        let slow: Vec<u64> = rollups
            .filter(|rollup| rollup.blocks.is_some_and(is_slow))
            .map(|rollup| rollup.chain_id)
            .collect();
        let leaves = view.releases.values().flat_map(|(_, release)| &release.leaves);
        let across = leaves.filter(|leaf| {
            let legs = leaf.outcome.legs();
            legs.len() > 1 && legs.iter().any(|leg| slow.contains(&leg.chain_id))
        });
        across.count() as u64
    }

    /// Rule 12: the intake closed before a bundle's block; blocks ascend, are the slot's, and hold no
    /// more than they may; the legs of a bundle have equal timestamps.
    fn slots(&self, view: &View) -> Vec<String> {
        let registry = self.history.ever();
        let Ok(Some(clock)) = registry.slots() else { return vec!["no slots".into()] };
        let mut wrong = Vec::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for (height, (_, release)) in &view.releases {
            for leaf in &release.leaves {
                let times: BTreeSet<u64> =
                    leaf.outcome.legs().iter().map(|leg| leg.block.time_ms).collect();
                let emitted = self.headers.get(&leaf.position.height.get());
                let early = |time: &u64| emitted.is_some_and(|(_, header)| *time <= header.time_ms);
                if times.len() > 1 || times.iter().any(early) {
                    wrong.push(format!("{} stands at {times:?}", leaf.id));
                }
            }
            for batch in &release.batches {
                let rollup = registry.rollup(batch.chain_id);
                let Some((rollup, times)) = rollup.and_then(|one| Some((one, one.blocks?))) else {
                    wrong.push(format!("a batch of chain {}", batch.chain_id));
                    continue;
                };
                let slot: Vec<_> = clock.blocks(times, batch.slot).collect();
                for block in &batch.blocks {
                    let gas: u64 =
                        block.transactions.iter().map(|raw| gas_limit(raw.as_bytes())).sum();
                    let before = last.insert(batch.chain_id, block.number);
                    let follows = before.is_none_or(|before| before < block.number);
                    if !follows || !slot.contains(&block.time()) || gas > rollup.gas_limit {
                        let (chain_id, number) = (batch.chain_id, block.number);
                        wrong.push(format!("block {number} of {chain_id} at height {height}"));
                    }
                }
            }
        }
        wrong
    }

    /// Rule 13: every state is what the released transactions make of the genesis.
    fn balances(&self, view: &View) -> Vec<String> {
        let mut expected = Balances::new();
        let mut fees: BTreeMap<u64, U256> = BTreeMap::new();
        for (_, release) in view.releases.values() {
            // What a followed rollup makes of it is its own affair.
            let followed = self.followed();
            for batch in release.batches.iter().filter(|one| Some(one.chain_id) != followed) {
                for raw in batch.transactions() {
                    let chain_id = batch.chain_id;
                    match apply(&mut expected, chain_id, raw.as_bytes()) {
                        Applied::Invalid => {
                            return vec![format!("{chain_id} can't take its block")];
                        }
                        Applied::Paid(fee) | Applied::Reverted(fee) => {
                            *fees.entry(chain_id).or_default() += fee;
                        }
                    }
                }
            }
        }
        let Some(store) = &self.given.stores[view.position] else { return Vec::new() };
        let mut wrong = Vec::new();
        let registry = self.history.at(view.releases.len() as u64);
        for (chain_id, genesis) in &self.given.plan.rollups.genesis {
            let read = store.range(Table::States, &prefix(*chain_id), usize::MAX);
            let records = read.unwrap_or_default().into_iter();
            let mut records = records.take_while(|(key, _)| key.starts_with(&prefix(*chain_id)));
            if registry.rollup(*chain_id).is_none() {
                // It left, or did not join.
                if records.next().is_some() {
                    wrong.push(format!("a state of {chain_id} is left"));
                }
                continue;
            }
            let state = match state_of(*chain_id, records, genesis.digest()) {
                Ok(state) => state,
                Err(error) => return vec![error.to_string()],
            };
            let of_chain = expected.iter().filter(|((chain, _), _)| chain == chain_id);
            for ((_, account), (balance, _)) in of_chain {
                let found = state.balance(account);
                if found != *balance {
                    wrong.push(format!("{account} on {chain_id} has {found}, expected {balance}"));
                }
            }
            // Nothing appears and nothing is lost: what is not with an account went to the vaults.
            let sum = |state: &fairveil_release::states::MemoryState| {
                state.accounts().fold(U256::ZERO, |sum, (_, account)| sum + account.balance)
            };
            let (before, after) = (sum(genesis), sum(&state));
            if before != after {
                wrong.push(format!("{chain_id} had {before} wei and has {after}"));
            }
            let known = of_chain_sum(&expected, *chain_id);
            let untouched = state.accounts().filter(|(account, _)| {
                !expected.contains_key(&(*chain_id, *account)) && genesis.balance(account) == FUNDS
            });
            let untouched = untouched.fold(U256::ZERO, |sum, (_, account)| sum + account.balance);
            let vaults = after - known - untouched;
            let paid = fees.get(chain_id).copied().unwrap_or_default();
            if vaults != paid {
                wrong.push(format!("{chain_id}: fees of {paid}, the vaults have {vaults}"));
            }
        }
        wrong
    }

    pub(super) fn followed(&self) -> Option<u64> {
        self.given.plan.rollups.followed.as_ref().map(|followed| followed.chain_id)
    }

    /// Whether a bundle ended in a release without a view of a rollup that it names.
    pub(super) fn is_blind(&self, submission: &Submission) -> bool {
        let ended = self.outcomes.get(&submission.id);
        let named = self.followed().is_some_and(|id| submission.legs.contains_key(&id));
        named && ended.is_some_and(|(height, _)| self.blind.contains(height))
    }

    /// Rule 14: what payers deposited is with them, in flight, or somebody's revenue, and sequencers
    /// that have ordered and released as much say the same.
    fn ledgers(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut same = BTreeMap::new();
        for view in &self.honest {
            let who = view.position + 1;
            let Some(accounts) = &self.given.accounts[view.position] else {
                if !self.given.plan.succession.last().contains(&view.position) {
                    continue;
                }
                wrong.push(format!("sequencer {who} has no ledger"));
                continue;
            };
            if !accounts.is_conserved() {
                wrong.push(format!("the ledger of sequencer {who} is not conserved: {accounts:?}"));
            }
            let at = (accounts.height, accounts.released);
            if same.entry(at).or_insert(accounts) != &accounts {
                wrong.push(format!("sequencer {who} has another ledger at {at:?}"));
            }
        }
        wrong
    }

    /// How many bundles some rollups would take and others not: if every leg went its own way, and as
    /// they were released.
    fn partial(&self, view: &View) -> BTreeMap<&'static str, u64> {
        let submissions: BTreeMap<BundleId, _> =
            self.given.submissions.iter().map(|one| (one.id, one)).collect();
        let mut alone = Balances::new();
        let mut counts = BTreeMap::from([
            ("opened", 0),
            ("partial_without_simulation", 0),
            ("partial_include", 0),
            ("partial_execute", 0),
        ]);
        let order = self.emissions.values().flat_map(|emission| emission.ids());
        for entry in order {
            let Some(submission) = submissions.get(&entry.id) else { continue };
            if self.refused(submission).is_some() {
                continue;
            }
            let mut went = BTreeSet::new();
            for (chain_id, transactions) in &submission.legs {
                let applied = transactions.iter().map(|raw| apply(&mut alone, *chain_id, raw));
                let applied: Vec<_> = applied.collect();
                went.insert(applied.iter().all(|one| matches!(one, Applied::Paid(_))));
            }
            *counts.entry("opened").or_default() += 1;
            if went.len() > 1 {
                *counts.entry("partial_without_simulation").or_default() += 1;
            }
        }
        for (_, release) in view.releases.values() {
            for leaf in &release.leaves {
                let Outcome::Released { policy, legs } = &leaf.outcome else { continue };
                let refused = legs.iter().map(|leg| {
                    let batch = release.batch(leg.chain_id).and_then(|batch| batch.leg(&leaf.id));
                    let transactions = batch.map_or(&[][..], |(_, transactions)| transactions);
                    transactions.iter().any(|raw| is_refused(raw.as_bytes()))
                });
                let refused: BTreeSet<bool> = refused.collect();
                let name = match policy {
                    Policy::Include => "partial_include",
                    Policy::Execute => "partial_execute",
                };
                if refused.len() > 1 {
                    *counts.entry(name).or_default() += 1;
                }
            }
        }
        counts
    }
}

/// What a transaction did.
enum Applied {
    /// It paid its value, and this fee.
    Paid(U256),
    /// It was refused, and paid this fee.
    Reverted(U256),
    /// Its chain would not take it.
    Invalid,
}

fn of_chain_sum(balances: &Balances, chain_id: u64) -> U256 {
    let of_chain = balances.iter().filter(|((chain, _), _)| *chain == chain_id);
    of_chain.fold(U256::ZERO, |sum, (_, (balance, _))| sum + balance)
}

fn decoded(raw: &[u8]) -> Option<(TxEnvelope, Address)> {
    let transaction = TxEnvelope::decode_2718_exact(raw).ok()?;
    let sender = transaction.recover_signer().ok()?;
    Some((transaction, sender))
}

fn gas_limit(raw: &[u8]) -> u64 {
    decoded(raw).map_or(u64::MAX, |(transaction, _)| transaction.gas_limit())
}

fn is_refused(raw: &[u8]) -> bool {
    decoded(raw).is_some_and(|(transaction, _)| transaction.to() == Some(REFUSES))
}

/// A transaction by arithmetic. Every sender begins with [`FUNDS`], everybody else with nothing.
fn apply(balances: &mut Balances, chain_id: u64, raw: &[u8]) -> Applied {
    let Some((transaction, sender)) = decoded(raw) else { return Applied::Invalid };
    let (balance, nonce) = *balances.entry((chain_id, sender)).or_insert((U256::from(FUNDS), 0));
    let refused = transaction.to() == Some(REFUSES);
    let most = U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas());
    let cheap = transaction.max_fee_per_gas() < u128::from(BASE_FEE);
    if transaction.nonce() != nonce || balance < most + transaction.value() || cheap {
        return Applied::Invalid;
    }
    let gas = if refused { REFUSED_GAS } else { TRANSFER_GAS };
    let fee = U256::from(gas) * U256::from(BASE_FEE);
    let paid = if refused { U256::ZERO } else { transaction.value() };
    balances.insert((chain_id, sender), (balance - fee - paid, nonce + 1));
    if refused {
        return Applied::Reverted(fee);
    }
    let to = transaction.to().unwrap_or_default();
    balances.entry((chain_id, to)).or_insert((U256::ZERO, 0)).0 += paid;
    Applied::Paid(fee)
}
