//! `fairveil keygen run --sequencer`: a running network begins a resharing, and is followed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use fairveil_client::{
    Endpoint, HttpError,
    rpc::{ReshareInfo, ReshareRequest},
};
use fairveil_keygen::ApprovedDefinition;
use futures::future::join_all;

use super::{
    super::{error::CommandError, network},
    ceremony::{approvals, code, show},
    read_definition, transcript,
};
use crate::{
    cli::exit,
    process::{Report, State},
};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// How often the ceremony is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Gives an approved definition to the sequencers and follows the ceremony to its end.
pub(super) fn run(
    settings: &BTreeMap<String, String>,
    round: Option<u64>,
    sequencers: &[String],
    json: bool,
) -> Result<u8, CommandError> {
    let [definition, folder, before] = ["definition", "approvals", "predecessor"].map(|key| {
        settings
            .get(key)
            .map(PathBuf::from)
            .ok_or_else(|| CommandError::Usage(format!("--{key} is required beside --sequencer")))
    });
    let (definition, folder, before) = (definition?, folder?, before?);
    let mut request = request(&definition, &folder, &before)?;
    let endpoints = sequencers
        .iter()
        .map(|url| Endpoint::new(url, CALL).map_err(|error| CommandError::Usage(error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    network::run(async {
        request.round = match round {
            Some(round) => round,
            None => next_round(report(&endpoints).await, request.definition.epoch.get()),
        };
        let parameter = serde_json::to_value(&request)
            .map_err(|error| CommandError::Check(error.to_string()))?;
        let begun = begin(&endpoints, &parameter, json).await?;
        match begun {
            Ok(begun) => follow(&endpoints, &begun, json).await,
            Err(code) => Ok(code),
        }
    })?
}

/// What the sequencers are given: refused here already if they would refuse it.
fn request(
    definition: &Path,
    folder: &Path,
    before: &Path,
) -> Result<ReshareRequest, CommandError> {
    let predecessor = transcript::verified(before, None)?;
    let read = read_definition(definition)?;
    let approvals = approvals(folder)?;
    let approved = ApprovedDefinition::resharing(read, approvals, predecessor.definition())
        .map_err(|error| CommandError::file(definition, &error))?;
    Ok(ReshareRequest {
        definition: approved.definition().proposal().clone(),
        approvals: approved.approvals().to_vec(),
        round: 0,
    })
}

/// The round after the last one that failed, for the resharing that makes this epoch.
fn next_round(newest: Option<Report>, epoch: u64) -> u64 {
    let failed = newest.filter(|report| {
        report.epoch == epoch && matches!(report.state, State::Failed | State::Expired)
    });
    failed.map_or(0, |report| report.round + 1)
}

/// Gives it to all; what one of them answered, or the exit code if none took it.
async fn begin(
    endpoints: &[Endpoint],
    parameter: &serde_json::Value,
    json: bool,
) -> Result<Result<ReshareInfo, u8>, CommandError> {
    let asked = endpoints.iter().map(|endpoint| {
        let params = vec![parameter.clone()];
        async move { endpoint.call::<ReshareInfo>("fairveil_reshare", params).await }
    });
    let (mut begun, mut refused) = (None, false);
    for (endpoint, answer) in endpoints.iter().zip(join_all(asked).await) {
        match answer {
            Ok(info) => begun = begun.or(Some(info)),
            Err(error) => {
                refused |= matches!(error, HttpError::Rpc(_));
                eprintln!("fairveil: {}: {error}", endpoint.url());
            }
        }
    }
    let Some(begun) = begun else {
        return Ok(Err(if refused { exit::REJECTED } else { exit::UNREACHABLE }));
    };
    if !json {
        let ReshareInfo { epoch, round, boundary, height, .. } = &begun;
        println!(
            "epoch {epoch}, round {round}: the committee changes after height {boundary}; now {height}"
        );
    }
    Ok(Ok(begun))
}

/// Shows how far it is until it is over.
async fn follow(
    endpoints: &[Endpoint],
    begun: &ReshareInfo,
    json: bool,
) -> Result<u8, CommandError> {
    let mut shown = String::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(report) = report(endpoints).await else {
            return Err(CommandError::Unreachable("no sequencer answers any more".into()));
        };
        let of_it = report.epoch == begun.epoch
            && (report.round == begun.round || report.state == State::Complete);
        if !of_it {
            continue;
        }
        let line = report.line();
        let steady = line.split(';').next().unwrap_or_default().to_owned();
        if !json && steady != shown {
            println!("{line}");
            shown = steady;
        }
        if matches!(report.state, State::Complete | State::Failed | State::Expired) {
            if json {
                show(&report, json)?;
            }
            return Ok(code(report.state));
        }
    }
}

/// The newest report of the sequencers that answer.
async fn report(endpoints: &[Endpoint]) -> Option<Report> {
    let asked = endpoints.iter().map(|endpoint| endpoint.get("/ceremony"));
    let answers = join_all(asked).await.into_iter().flatten();
    let reports = answers.filter_map(|body| serde_json::from_slice::<Report>(&body).ok());
    reports.max_by_key(|report| (report.epoch, report.round))
}
