//! `fairveil_reshare`: an approved definition of the next epoch.

use std::sync::Arc;

use fairveil_client::rpc::{self, ReshareRequest, code};
use fairveil_keygen::{ApprovedDefinition, CeremonyContext, Definition};
use fairveil_sequencer::resharing::announcement;
use serde_json::Value;

use super::{Failure, Shared, failure, value};

/// Has the ceremony of an approved definition announced.
pub(super) async fn reshare(shared: &Arc<Shared>, parameter: &Value) -> Result<Value, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        failure(code::PARAMS, &format!("resharing is no approved definition: {why}"))
    };
    let request: ReshareRequest =
        serde_json::from_value(parameter.clone()).map_err(|error| wrong(&error))?;
    let term = shared.term();
    let refused = |why: &dyn std::fmt::Display| failure(code::REFUSED, &why.to_string());
    let definition =
        Definition::from_canonical(request.definition).map_err(|error| wrong(&error))?;
    let predecessor = &term.verified;
    let context =
        ApprovedDefinition::resharing(definition, request.approvals, predecessor.definition())
            .map_err(|error| refused(&error))?;
    let context = CeremonyContext::resharing(context, request.round, predecessor)
        .map_err(|error| refused(&error))?;
    let resharing = announcement(&context).map_err(|error| refused(&error))?;
    let (ceremony, boundary) = (resharing.ceremony, resharing.boundary);
    let offered = shared.handle.offer_resharing(resharing).await;
    offered
        .map_err(|error| failure(code::INTERNAL, &error.to_string()))?
        .map_err(|why| refused(&why))?;
    Ok(value(&rpc::ReshareInfo {
        ceremony: ceremony.to_string(),
        epoch: context.definition().epoch().get(),
        round: request.round,
        boundary: boundary.get(),
        height: shared.handle.overview().height,
    }))
}
