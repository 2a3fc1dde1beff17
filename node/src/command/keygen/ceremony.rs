//! `fairveil keygen run | status`: a member's part in a ceremony.

use std::path::Path;

use fairveil_keygen::{Approval, ApprovalError, ApprovedDefinition, Definition};

use super::{
    super::{disk, error::CommandError},
    read_definition,
};
use crate::{
    cli::{CeremonyStep, exit},
    config::Config,
    process::{self, CeremonyOptions, NodeError, Progress, Report, State},
};

/// Longest approval in bytes.
const MAX_APPROVAL_BYTES: usize = 1 << 12;

/// Takes part in the ceremony until it is over.
pub(super) fn run(
    config: &Config,
    round: Option<u64>,
    crash_in: Option<CeremonyStep>,
    json: bool,
) -> Result<u8, CommandError> {
    let progress = if json { Progress::Log } else { Progress::Lines };
    let report = process::run_ceremony(config, CeremonyOptions { round, progress, crash_in });
    match report {
        Ok(report) => {
            show(&report, json)?;
            Ok(exit::OK)
        }
        Err(NodeError::Ceremony { state, missing, why }) => {
            if json {
                let value = serde_json::json!({ "state": state, "missing": missing, "why": why });
                println!("{value}");
            } else {
                eprintln!("fairveil: the key ceremony {state}: {why}");
            }
            Ok(code(state))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows how far the ceremony is, from the files of this member alone.
pub(super) fn status(config: &Config, json: bool) -> Result<u8, CommandError> {
    let data = config.path("data_dir").unwrap_or_default();
    let report = match Report::read(&data)? {
        Some(report) => report,
        None => before(config)?,
    };
    show(&report, json)?;
    Ok(code(report.state))
}

/// Before the ceremony has begun here: who has approved.
fn before(config: &Config) -> Result<Report, CommandError> {
    let path = config.path("definition").unwrap_or_default();
    let definition = read_definition(&path)?;
    let folder = config.path("approvals").unwrap_or_default();
    let approvals = approvals(&folder)?;
    let mut missing = Vec::new();
    for member in definition.members() {
        let own = |approval: &&Approval| approval.member == member.consensus;
        match approvals.iter().find(own).map(|approval| approval.verify(&definition)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(CommandError::file(&folder, &error)),
            None => missing.push(member.name.clone()),
        }
    }
    let state = if missing.is_empty() { State::Approved } else { State::Proposed };
    let mut report = Report::before(&definition, 0, own(config), state);
    report.missing = missing;
    if state == State::Approved {
        checked(definition, approvals).map_err(|error| CommandError::file(&folder, &error))?;
    }
    Ok(report)
}

fn checked(definition: Definition, approvals: Vec<Approval>) -> Result<(), ApprovalError> {
    ApprovedDefinition::new(definition, approvals).map(|_| ())
}

/// This member's name, by the public file beside its keystore.
fn own(config: &Config) -> String {
    let path = config.path("keystore").map(|path| path.with_file_name("member.json"));
    let member = path.and_then(|path| super::member(&path).ok());
    member.map_or_else(|| "nobody".into(), |member| member.name)
}

fn approvals(folder: &Path) -> Result<Vec<Approval>, CommandError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let fault = |error: std::io::Error| CommandError::file(folder, &error);
    let mut approvals = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let approval = serde_json::from_slice(&disk::read(&path, MAX_APPROVAL_BYTES)?)
            .map_err(|error| CommandError::file(&path, &format!("not an approval: {error}")))?;
        approvals.push(approval);
    }
    Ok(approvals)
}

fn show(report: &Report, json: bool) -> Result<(), CommandError> {
    if json {
        let text = serde_json::to_string(report)
            .map_err(|error| CommandError::Check(error.to_string()))?;
        println!("{text}");
    } else {
        println!("{}", report.text());
    }
    Ok(())
}

const fn code(state: State) -> u8 {
    match state {
        State::Failed => exit::CHECK,
        State::Expired => exit::EXPIRED,
        _ => exit::OK,
    }
}
