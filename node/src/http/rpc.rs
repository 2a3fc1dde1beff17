//! JSON-RPC 2.0: one POST, one call. Batches of calls are refused.

mod accounts;
mod missing;
mod reshare;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response as HttpResponse},
};
use fairveil_client::rpc::{self, Failure, Request, Response, code};
use fairveil_crypto::{BundleId, SequencerIndex};
use fairveil_mempool::{Place as LogPlace, Policy, Receipt, Rejection};
use fairveil_release::{
    change::{Action, ApprovedChange, RegistryChange},
    states::{Address, Receipt as TransactionReceipt, U256},
    tree::{Outcome, ReleasedLeg},
};
use fairveil_sequencer::{
    record::{BundleState, End, Event, LegEnd, Place},
    rollups::ChangeState,
};
use serde_json::Value;

use super::{Shared, deadline::Remote};

/// Sequencers that a submission may name: as many as a committee may have.
const MAX_ADDRESSED: usize = fairveil_ordering::MAX_SEQUENCERS as usize;

/// Storage slots that one call may ask for.
const MAX_SLOTS: usize = 64;

/// Answers one call.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(Remote(address)): ConnectInfo<Remote>,
    body: Bytes,
) -> HttpResponse {
    let Ok(_permit) = shared.requests.try_acquire() else {
        let failure = failure(code::INTERNAL, "too many requests in progress");
        return Json(response(Value::Null, Err(failure))).into_response();
    };
    let request: Request = match serde_json::from_slice::<Value>(&body) {
        Err(error) => {
            let failure = failure(code::PARSE, &format!("not JSON: {error}"));
            return Json(response(Value::Null, Err(failure))).into_response();
        }
        Ok(value) => match serde_json::from_value(value) {
            Err(error) => {
                let failure = failure(code::REQUEST, &format!("not a JSON-RPC call: {error}"));
                return Json(response(Value::Null, Err(failure))).into_response();
            }
            Ok(request) => request,
        },
    };
    let result = call(&shared, address, &request).await;
    Json(response(request.id, result)).into_response()
}

async fn call(
    shared: &Arc<Shared>,
    address: SocketAddr,
    request: &Request,
) -> Result<Value, Failure> {
    let known = rpc::METHODS.iter().find(|method| method.name == request.method);
    let Some(method) = known else {
        return Err(failure(code::METHOD, &format!("no method {:?}", request.method)));
    };
    let (given, least) = (request.params.len(), method.params.len());
    let most = least + method.optional.len();
    if !(least..=most).contains(&given) {
        let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let message = format!("{} takes {wanted} parameters, {given} were given", method.name);
        return Err(failure(code::PARAMS, &message));
    }
    match method.name {
        "fairveil_committee" => Ok(value(&committee(shared))),
        "fairveil_limits" => Ok(value(&limits(shared))),
        "fairveil_submit" => submit(shared, address, &request.params).await,
        "fairveil_status" => status(shared, id(&request.params[0])?).await,
        "fairveil_receipts" => receipts(shared, id(&request.params[0])?).await,
        "fairveil_release" => release(shared, id(&request.params[0])?).await,
        "fairveil_change_registry" => change_registry(shared, &request.params).await,
        "fairveil_reshare" => reshare::reshare(shared, &request.params[0]).await,
        "fairveil_account" => account(shared, &request.params).await,
        "fairveil_revenue" => accounts::revenue(shared).await,
        "fairveil_balance" => accounts::balance(shared, &request.params[0]).await,
        _ => Err(failure(code::METHOD, "this method is not served")),
    }
}

async fn submit(
    shared: &Arc<Shared>,
    address: SocketAddr,
    params: &[Value],
) -> Result<Value, Failure> {
    let text = params[0].as_str().and_then(|text| text.strip_prefix("0x"));
    let sealed = text.and_then(|text| alloy_primitives::hex::decode(text).ok());
    let sealed = sealed.ok_or_else(|| failure(code::PARAMS, "sealed must be 0x and hex"))?;
    let addressed = params.get(1).map_or(Ok(Vec::new()), addressed)?;
    submitted(shared.handle.submit(sealed, address.ip(), addressed).await)
}

/// The sequencers that a trader says it sends the same bytes.
fn addressed(parameter: &Value) -> Result<Vec<SequencerIndex>, Failure> {
    let wrong = |why: &str| {
        failure(
            code::PARAMS,
            &format!("addressed must list at most {MAX_ADDRESSED} indices: {why}"),
        )
    };
    let indices = parameter.as_array().ok_or_else(|| wrong("it is no list"))?;
    if indices.len() > MAX_ADDRESSED {
        return Err(wrong(&format!("it has {}", indices.len())));
    }
    let index = |value: &Value| {
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
        number
            .and_then(SequencerIndex::new)
            .ok_or_else(|| wrong(&format!("{value} is no index from 1")))
    };
    indices.iter().map(index).collect()
}

type Submitted = Result<Result<Receipt, Rejection>, fairveil_sequencer::handle::CallError>;

fn submitted(result: Submitted) -> Result<Value, Failure> {
    match result {
        Ok(Ok(receipt)) => Ok(value(&receipt_info(&receipt))),
        Ok(Err(rejection)) => Err(rejected(&rejection)),
        Err(error) => Err(failure(code::INTERNAL, &error.to_string())),
    }
}

/// The answer to a submission over QUIC: the response that JSON-RPC would give.
pub(crate) fn submission_answer(result: Submitted) -> Vec<u8> {
    serde_json::to_vec(&response(Value::Null, submitted(result))).unwrap_or_default()
}

/// The answer of the endpoint itself, before the sequencer was asked.
pub(crate) fn refusal_answer(why: &str) -> Vec<u8> {
    let data = rpc::Rejected {
        code: "rate".into(),
        actual: why.to_owned(),
        limit: "see fairveil_limits".into(),
        cure: "wait and send the same bytes again".into(),
    };
    let failure =
        Failure { code: code::REJECTED, message: why.to_owned(), data: Some(value(&data)) };
    serde_json::to_vec(&response(Value::Null, Err(failure))).unwrap_or_default()
}

async fn status(shared: &Arc<Shared>, id: BundleId) -> Result<Value, Failure> {
    let state = shared.handle.state(id).await;
    let state = state.map_err(|error| failure(code::INTERNAL, &error.to_string()))?;
    let height = shared.handle.overview().height;
    Ok(value(&status_info(id, state, height)))
}

async fn receipts(shared: &Arc<Shared>, id: BundleId) -> Result<Value, Failure> {
    let handle = shared.handle.clone();
    let found = read(move || handle.receipt(id)).await?;
    let found: Vec<_> = found.iter().map(receipt_info).collect();
    Ok(value(&found))
}

async fn release(shared: &Arc<Shared>, id: BundleId) -> Result<Value, Failure> {
    let handle = shared.handle.clone();
    match read(move || handle.release_document(id)).await? {
        Some(document) => Ok(value(&document)),
        None => {
            let state = shared.handle.state(id).await;
            Err(missing::why(state, shared.handle.overview().oldest))
        }
    }
}

async fn read<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(failure(code::INTERNAL, &error.to_string())),
        Err(error) => Err(failure(code::INTERNAL, &error.to_string())),
    }
}

fn committee(shared: &Shared) -> rpc::CommitteeInfo {
    let (overview, term) = (shared.handle.overview(), shared.term());
    let definition = &term.definition;
    let connected = (shared.connected)();
    let committee = shared.handle.committee();
    let members =
        definition.members().iter().enumerate().map(|(position, member)| rpc::MemberInfo {
            index: position as u64 + 1,
            name: member.name.clone(),
            consensus_key: member.consensus.to_string(),
            connected: connected.get(position).copied().unwrap_or(false),
        });
    let schedule = shared.handle.schedule();
    let rollups = schedule.registry().rollups().iter().map(|rollup| rpc::RollupInfo {
        chain_id: rollup.chain_id,
        name: rollup.name.clone(),
        block_time_ms: rollup.blocks.map(|blocks| blocks.interval_ms),
        simulated: rollup.state.is_some(),
        paused: rollup.paused,
    });
    rpc::CommitteeInfo {
        network_id: definition.network_id().to_string(),
        epoch: overview.epoch,
        key_id: committee.key_id().to_string(),
        committee_key: hex(committee.key().point().encode().as_bytes()),
        n: u64::from(committee.n()),
        f: u64::from(definition.proposal().f),
        g: u64::from(definition.proposal().g),
        t: u64::from(committee.t()),
        index: u64::from(shared.handle.index().get()),
        height: overview.height,
        time_ms: overview.time_ms,
        block_interval_ms: overview.block_interval_ms,
        loaded_interval_ms: overview.loaded_interval_ms,
        members: members.collect(),
        rollups: rollups.collect(),
        changes: schedule.pending().map(change_info).collect(),
        next_change: schedule.next_number(),
    }
}

fn change_info(change: &RegistryChange) -> rpc::ChangeInfo {
    let name = match &change.action {
        Action::Join(rollup) => Some(rollup.name.clone()),
        Action::Pause { .. } | Action::Resume { .. } | Action::Leave { .. } => None,
    };
    rpc::ChangeInfo {
        number: change.number,
        at: change.at.get(),
        action: change.action.name().to_owned(),
        chain_id: change.action.chain_id(),
        name,
    }
}

/// Takes an approved change of the rollups.
async fn change_registry(shared: &Arc<Shared>, params: &[Value]) -> Result<Value, Failure> {
    let text = params[0].as_str().and_then(|text| text.strip_prefix("0x"));
    let bytes = text.and_then(|text| alloy_primitives::hex::decode(text).ok());
    let bytes = bytes.ok_or_else(|| failure(code::PARAMS, "change must be 0x and hex"))?;
    let change = ApprovedChange::decode(&bytes).map_err(|error| {
        failure(code::PARAMS, &format!("change is no approved change: {error}"))
    })?;
    let digest = change.change.digest();
    let verdict = shared.handle.change_registry(change).await;
    let verdict = verdict.map_err(|error| failure(code::INTERNAL, &error.to_string()))?;
    let state = match verdict {
        Ok(ChangeState::Waits) => "waits",
        Ok(ChangeState::Announced) => "announced",
        Err(refused) => return Err(failure(code::REFUSED, &refused.to_string())),
    };
    let height = shared.handle.overview().height;
    Ok(value(&rpc::ChangeVerdict { change: digest.to_string(), state: state.to_owned(), height }))
}

fn limits(shared: &Shared) -> Vec<rpc::LimitInfo> {
    shared
        .handle
        .limits()
        .into_iter()
        .map(|(code, what, value, unit)| rpc::LimitInfo {
            code: code.to_owned(),
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
        })
        .collect()
}

/// A receipt as clients read it.
pub(crate) fn receipt_info(receipt: &Receipt) -> rpc::ReceiptInfo {
    let position = match receipt.body.place {
        LogPlace::Held => None,
        LogPlace::Position(position) => Some(position),
    };
    rpc::ReceiptInfo {
        id: receipt.body.id.to_string(),
        sequencer: u64::from(receipt.sequencer.get()),
        position,
        height: receipt.body.height.get(),
        time_ms: receipt.body.time_ms,
        receipt: hex(&fairveil_crypto::encoding::encode(receipt)),
    }
}

/// An account of a simulated rollup.
async fn account(shared: &Arc<Shared>, params: &[Value]) -> Result<Value, Failure> {
    let wrong = |what: &str| failure(code::PARAMS, what);
    let chain_id = params[0].as_u64().ok_or_else(|| wrong("chain_id must be a number"))?;
    let address = params[1].as_str().and_then(|text| text.parse::<Address>().ok());
    let address = address.ok_or_else(|| wrong("address must be 0x and 40 hex digits"))?;
    let empty = Vec::new();
    let slots = match params.get(2) {
        None => &empty,
        Some(slots) => slots.as_array().ok_or_else(|| wrong("slots must be a list"))?,
    };
    if slots.len() > MAX_SLOTS {
        return Err(wrong(&format!("{} slots, at most {MAX_SLOTS} are read", slots.len())));
    }
    let slot = |slot: &Value| slot.as_str().and_then(|text| text.parse::<U256>().ok());
    let slots: Option<Vec<U256>> = slots.iter().map(slot).collect();
    let slots = slots.ok_or_else(|| wrong("a slot must be a number as text, decimal or 0x"))?;
    let released = shared.handle.overview().released;
    let handle = shared.handle.clone();
    let found = read(move || handle.account(chain_id, &address, &slots)).await?;
    let unknown = format!("rollup {chain_id} is not registered, or not simulated");
    let (account, values) = found.ok_or_else(|| failure(code::NO_STATE, &unknown))?;
    Ok(value(&rpc::AccountInfo {
        chain_id,
        address: address.to_string(),
        nonce: account.nonce,
        balance: account.balance.to_string(),
        code_hash: account.code_hash.to_string(),
        slots: values.iter().map(|value| hex(&value.to_be_bytes::<32>())).collect(),
        released,
    }))
}

fn status_info(id: BundleId, state: BundleState, height: u64) -> rpc::StatusInfo {
    let mut info = rpc::StatusInfo {
        id: id.to_string(),
        state: rpc::State::Unknown,
        code: None,
        policy: None,
        guarantee: None,
        place: None,
        opened_ms: None,
        legs: Vec::new(),
        height,
    };
    match state {
        BundleState::Unknown => {}
        BundleState::Held => info.state = rpc::State::Held,
        BundleState::Logged => info.state = rpc::State::Logged,
        BundleState::Ordered(place) => {
            info.state = rpc::State::Ordered;
            info.place = Some(place_info(&place));
        }
        BundleState::Ended(place, end) => {
            info.place = Some(place_info(&place));
            info.opened_ms = Some(end.time_ms);
            (info.state, info.code) = ended(&end.outcome);
            if let Outcome::Released { policy, legs } = &end.outcome {
                let (policy, guarantee) = guarantee(*policy);
                info.policy = Some(policy.into());
                info.guarantee = Some(guarantee.into());
                info.legs =
                    legs.iter().zip(&end.legs).map(|(leg, at)| leg_info(&end, leg, at)).collect();
            }
        }
    }
    info
}

/// A policy's name, and what a release by it guarantees.
fn guarantee(policy: Policy) -> (&'static str, &'static str) {
    match policy {
        Policy::Include => (
            "include",
            "atomic inclusion: every leg is in the batches of one slot; a leg may revert on its chain",
        ),
        Policy::Execute => (
            "execute",
            "atomic execution as far as the release is the block: every leg is in the batches of one \
             slot, and none failed in the joint simulation",
        ),
    }
}

fn leg_info(end: &End, leg: &ReleasedLeg, at: &LegEnd) -> rpc::LegInfo {
    let did = |receipt: &TransactionReceipt| rpc::TransactionInfo {
        fault: receipt.fault.as_ref().map(ToString::to_string),
        gas_used: receipt.gas_used,
        logs: receipt.logs.into(),
        contract: receipt.contract.map(|address| address.to_string()),
    };
    rpc::LegInfo {
        chain_id: leg.chain_id,
        batch_height: end.height.get(),
        block: leg.block.number,
        block_time_ms: leg.block.time_ms,
        first: at.first.into(),
        receipts: at.receipts.iter().map(did).collect(),
    }
}

fn place_info(place: &Place) -> rpc::PlaceInfo {
    rpc::PlaceInfo {
        height: place.height.get(),
        position: u64::from(place.position),
        cohort: u64::from(place.cohort),
    }
}

fn ended(outcome: &Outcome) -> (rpc::State, Option<String>) {
    match outcome {
        Outcome::Released { .. } => (rpc::State::Released, None),
        Outcome::Failed(failed) => (rpc::State::Failed, Some(failed.to_string())),
        Outcome::Expired => (rpc::State::Expired, None),
        Outcome::Carried { .. } => (rpc::State::Ordered, None),
    }
}

/// An event as clients read it.
pub(super) fn event(event: &Event) -> rpc::Event {
    match event {
        Event::Ordered { height, time_ms, cohorts } => rpc::Event::Ordered {
            height: height.get(),
            time_ms: *time_ms,
            cohorts: cohorts
                .iter()
                .map(|cohort| cohort.iter().map(ToString::to_string).collect())
                .collect(),
        },
        Event::Released { height, root, outcomes } => rpc::Event::Released {
            height: height.get(),
            root: root.to_string(),
            outcomes: outcomes
                .iter()
                .map(|(id, outcome)| {
                    let (state, code) = ended(outcome);
                    rpc::OutcomeInfo { id: id.to_string(), state, code }
                })
                .collect(),
        },
    }
}

fn rejected(rejection: &Rejection) -> Failure {
    let data = rpc::Rejected {
        code: rejection.code.to_string(),
        actual: rejection.actual.to_string(),
        limit: rejection.limit.to_string(),
        cure: rejection
            .to_string()
            .rsplit_once(": ")
            .map_or_else(String::new, |(_, cure)| cure.to_owned()),
    };
    Failure { code: code::REJECTED, message: rejection.to_string(), data: Some(value(&data)) }
}

fn id(parameter: &Value) -> Result<BundleId, Failure> {
    let parsed = parameter.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| failure(code::PARAMS, "id must be 0x and 64 lower-case hex digits"))
}

fn failure(code: i64, message: &str) -> Failure {
    Failure { code, message: message.to_owned(), data: None }
}

fn response(id: Value, result: Result<Value, Failure>) -> Response {
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    Response { jsonrpc: "2.0".into(), id, result, error }
}

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode_prefixed(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn addressed_sequencers_are_indices_from_one() {
        let indices = addressed(&json!([1, 5])).unwrap();
        assert_eq!(indices.iter().map(|index| index.get()).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(addressed(&json!([])).unwrap(), []);
        let many = Value::from(vec![1; MAX_ADDRESSED + 1]);
        for wrong in [json!("0x01"), json!([0]), json!([-1]), json!([70_000]), json!(["1"]), many] {
            let failure = addressed(&wrong).unwrap_err();
            assert_eq!(failure.code, code::PARAMS);
            assert!(failure.message.starts_with("addressed must list at most 128 indices: "));
        }
    }
}
