//! What payers have left, and who got what they paid.

use std::sync::Arc;

use fairveil_client::rpc::{self, Failure, code};
use fairveil_crypto::envelope::{Payer, SizeClass};
use fairveil_release::ledger::Accounts;
use serde_json::Value;

use super::{Shared, failure, read, value};

/// Where all fees stand.
pub(super) async fn revenue(shared: &Arc<Shared>) -> Result<Value, Failure> {
    let handle = shared.handle.clone();
    let accounts = read(move || handle.accounts()).await?.ok_or_else(nothing_charged)?;
    Ok(value(&revenue_info(shared, &accounts)))
}

/// What a payer has left, and what bundles cost.
pub(super) async fn balance(shared: &Arc<Shared>, payer: &Value) -> Result<Value, Failure> {
    let payer = payer.as_str().and_then(|text| text.parse::<Payer>().ok());
    let payer = payer.ok_or_else(|| failure(code::PARAMS, "payer must be 0x and 40 hex digits"))?;
    let found = shared.handle.balance(payer).await;
    let found = found.map_err(|error| failure(code::INTERNAL, &error.to_string()))?;
    let found = found.ok_or_else(nothing_charged)?;
    let fees = SizeClass::all().map(|class| rpc::FeeInfo {
        class: class.get().into(),
        plaintext_bytes: class.plaintext_bytes() as u64,
        fee: (u128::from(found.fee_per_byte) * class.plaintext_bytes() as u128).to_string(),
    });
    Ok(value(&rpc::BalanceInfo {
        payer: payer.to_string(),
        balance: found.balance.to_string(),
        height: found.height.get(),
        fees: fees.collect(),
    }))
}

fn revenue_info(shared: &Shared, accounts: &Accounts) -> rpc::RevenueInfo {
    let rollups = shared.handle.rollup_names();
    let rollups = rollups.into_iter().map(|(chain_id, name)| rpc::RollupRevenue {
        chain_id,
        name,
        revenue: accounts.rollups.get(&chain_id).copied().unwrap_or_default().to_string(),
    });
    let term = shared.term();
    let members = (1..).zip(term.definition.members()).zip(&accounts.sequencers);
    let sequencers = members.map(|((index, member), revenue)| rpc::SequencerRevenue {
        index,
        name: member.name.clone(),
        revenue: revenue.to_string(),
    });
    rpc::RevenueInfo {
        height: accounts.height.get(),
        released: accounts.released.get(),
        deposits: accounts.deposits.to_string(),
        balances: accounts.balances.to_string(),
        in_flight: accounts.in_flight.to_string(),
        rollups: rollups.collect(),
        sequencers: sequencers.collect(),
    }
}

fn nothing_charged() -> Failure {
    failure(code::NO_ACCOUNTING, "this network charges nothing")
}
