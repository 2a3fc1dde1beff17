//! The demo's rollups execute: who has what on them before, and what everybody must have after.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use fairveil_client::{Endpoint, rpc};
use fairveil_mempool::Policy;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use serde_json::Value;

use super::{Check, traders::Traders};
use crate::{
    dev::{BASE_FEE, ROLLUPS, embed},
    local::{
        LocalError,
        genesis::{Refusing, document},
        observer::Observer,
        workload::{self, FUNDS_WEI, PRIORITY_FEE, Payment, Planned},
    },
    rollups::{Named, named, now_ms},
};

/// A contract that refuses every call, on every rollup.
const REFUSES: Refusing = Refusing(Address::repeat_byte(0xee));

/// A bundle with a leg that fails, under each policy.
pub(super) struct Failing {
    /// It must be dropped on all rollups.
    pub(super) execute: Planned,
    /// It must be released, and one of its legs reverts.
    pub(super) include: Planned,
}

/// A payment on one rollup beside a call that is refused on another.
pub(super) fn failing(seed: u64) -> Result<Failing, LocalError> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let legs = [(901, Some(1_000)), (903, None)];
    let mut of = |policy| workload::payments(&mut rng, policy, &legs, REFUSES.0);
    Ok(Failing { execute: of(Policy::Execute)?, include: of(Policy::Include)? })
}

/// Rollups of 250 ms, 1 s and 2 s on which the senders of these bundles have funds.
pub(super) fn rollups<'a>(
    planned: impl IntoIterator<Item = &'a Planned>,
) -> Result<Vec<Named>, LocalError> {
    let senders: Vec<_> = planned.into_iter().map(|planned| planned.sender).collect();
    let arguments =
        ROLLUPS.map(|(chain_id, time)| format!("rollup-{chain_id}:{chain_id},block-time={time}"));
    let named = named(&arguments, now_ms() / 1_000 * 1_000);
    let mut named = named.map_err(|error| LocalError::Other(error.to_string()))?;
    for Named { rollup, genesis } in &mut named {
        let document = document(senders.iter().copied(), FUNDS_WEI, &[REFUSES]);
        embed(rollup, genesis, document, BASE_FEE)?;
    }
    Ok(named)
}

/// A failing leg drops its whole bundle under `execute`, and only reverts under `include`.
pub(super) fn policies(failing: &[(Policy, String)], observer: &Observer) -> Check {
    let mut said = Vec::new();
    let mut passed = failing.len() == 2;
    for (policy, id) in failing {
        let ended = observer.seen(id).ended;
        let (state, code) = ended.map_or((None, None), |end| (Some(end.state), end.code));
        passed &= match policy {
            Policy::Execute => code.as_ref().is_some_and(|code| code.starts_with("leg_failed")),
            Policy::Include => state == Some(rpc::State::Released),
        };
        let how = code.unwrap_or_else(|| state.map_or("under way".into(), |s| format!("{s:?}")));
        said.push(format!("{policy:?}: {}", how.to_lowercase()));
    }
    let name = "a failing leg drops its bundle under execute alone";
    Check { name: name.into(), passed, detail: said.join("; ") }
}

/// Every account that a bundle of the demo names has exactly what the released bundles give it, at
/// every honest sequencer.
pub(super) async fn balances(
    endpoints: &[Endpoint],
    honest: &[usize],
    planned: &[Planned],
    traders: &Traders,
    reader: &Endpoint,
) -> Result<Check, LocalError> {
    let mut expected: BTreeMap<(u64, Address), U256> = BTreeMap::new();
    let mut reverted = 0u64;
    for bundle in &traders.submitted {
        let Some(planned) = planned.iter().find(|planned| planned.bundle == bundle.bundle) else {
            return Err(LocalError::Other(format!("bundle {} was not planned", bundle.id())));
        };
        let status: rpc::StatusInfo =
            call(reader, "fairveil_status", vec![bundle.id().into()]).await?;
        for leg in planned.bundle.legs() {
            let sender = (leg.chain_id, planned.sender);
            expected.entry(sender).or_insert(U256::from(FUNDS_WEI));
        }
        for leg in &status.legs {
            let payments = planned.payments.iter().filter(|one| one.chain_id == leg.chain_id);
            for (Payment { chain_id, to, value }, did) in payments.zip(&leg.receipts) {
                let gas =
                    U256::from(did.gas_used) * U256::from(u128::from(BASE_FEE) + PRIORITY_FEE);
                let paid = if did.fault.is_none() { U256::from(*value) } else { U256::ZERO };
                reverted += u64::from(did.fault.is_some());
                *expected.entry((*chain_id, planned.sender)).or_default() -= gas + paid;
                *expected.entry((*chain_id, *to)).or_default() += paid;
            }
        }
    }
    let mut wrong = None;
    for at in honest {
        for ((chain_id, address), balance) in &expected {
            let params = vec![Value::from(*chain_id), address.to_string().into()];
            let found: rpc::AccountInfo = call(&endpoints[*at], "fairveil_account", params).await?;
            if found.balance != balance.to_string() {
                let found = found.balance;
                wrong.get_or_insert(format!(
                    "{address} on {chain_id} has {found} at sequencer {}, expected {balance}",
                    at + 1
                ));
            }
        }
    }
    let passed = wrong.is_none() && !expected.is_empty() && reverted > 0;
    let detail = wrong.unwrap_or_else(|| {
        format!(
            "{} accounts at {} sequencers to the wei, {reverted} transactions reverted",
            expected.len(),
            honest.len()
        )
    });
    Ok(Check { name: "balances are what was released".into(), passed, detail })
}

async fn call<T: serde::de::DeserializeOwned>(
    endpoint: &Endpoint,
    method: &str,
    params: Vec<Value>,
) -> Result<T, LocalError> {
    endpoint
        .call(method, params)
        .await
        .map_err(|error| LocalError::Other(format!("{method}: {error}")))
}
