//! `bundle status`, `wait` and `verify`: what became of a bundle, as far as it is proven.

use std::{path::Path, time::Duration};

use fairveil_client::{
    file::File,
    follow::{self, State, Status, Subject},
    verify,
};
use serde_json::{Value, json};

use super::super::{
    disk::{self, Readers},
    error::CommandError,
    network as reach,
};
use crate::cli::{self, exit};

/// How long `bundle verify` waits for a certificate that is a few blocks away.
const CERTIFIED: Duration = Duration::from_secs(10);

/// `bundle status`.
pub(super) fn status(
    args: &cli::Network,
    subject: Subject,
    json: bool,
) -> Result<u8, CommandError> {
    let (network, endpoints) = reach::reached(args)?;
    let status = reach::run(follow::status(&network, &endpoints, subject))?;
    show(&status, json);
    Ok(code(&status, Asked::Once))
}

/// `bundle wait`.
pub(super) fn wait(
    args: &cli::Network,
    subject: Subject,
    timeout_seconds: u64,
    json: bool,
) -> Result<u8, CommandError> {
    let (network, endpoints) = reach::reached(args)?;
    let timeout = Duration::from_secs(timeout_seconds);
    let step = |status: &Status| {
        if !json {
            eprintln!("{}", line(status));
        }
    };
    let (_, status) = reach::run(follow::wait(&network, &endpoints, subject, timeout, step))?;
    show(&status, json);
    Ok(code(&status, Asked::UntilTheEnd))
}

/// `bundle verify`.
pub(super) fn verify(
    args: &cli::Network,
    subject: Subject,
    out: Option<&Path>,
    json: bool,
) -> Result<u8, CommandError> {
    let compared = subject.bundle.is_some();
    let (network, endpoints) = reach::reached(args)?;
    let (network, status) =
        reach::run(follow::wait(&network, &endpoints, subject, CERTIFIED, |_: &Status| {}))?;
    let Some(document) = &status.document else {
        show(&status, json);
        return Ok(match code(&status, Asked::UntilTheEnd) {
            exit::OK => exit::CHECK,
            code => code,
        });
    };
    let file = File::Bundle(Box::new(document.clone()));
    let text = file.to_json();
    // Judged once more from the bytes that are kept: what `fairveil verify` will say of them.
    let judgement = verify::judge(&network, text.as_bytes())
        .map_err(|error| CommandError::Check(error.to_string()))?;
    if let Some(path) = out {
        disk::write(path, text.as_bytes(), Readers::All)?;
    }
    if json {
        let mut value = judgement.to_value();
        value["file"] = json!(out);
        value["compared"] = json!(compared);
        value["legs"] = json!(document.legs);
        println!("{value}");
    } else {
        println!("{judgement}");
        for leg in &document.legs {
            println!("  rollup {}: {} transactions", leg.chain_id, leg.transactions.len());
        }
        match (status.state, compared) {
            (State::Released, true) => println!("  every leg is exactly what was sealed"),
            (State::Released, false) => {
                println!("  not compared with what was sealed: give it with --unsealed");
            }
            _ => {}
        }
        if let Some(path) = out {
            println!("  kept in {}; fairveil verify judges it offline", path.display());
        }
    }
    Ok(code(&status, Asked::UntilTheEnd))
}

/// What a command promised to find out.
#[derive(Clone, Copy)]
enum Asked {
    /// What is known now.
    Once,
    /// How it ended.
    UntilTheEnd,
}

fn code(status: &Status, asked: Asked) -> u8 {
    match (status.state, asked) {
        (State::Released, _) => exit::OK,
        (State::Failed(_), _) => exit::REJECTED,
        (State::Expired, _) => exit::EXPIRED,
        _ if status.window_closed => exit::EXPIRED,
        _ if status.answered() < status.needed => exit::UNREACHABLE,
        _ if status.doubts.is_empty() => match asked {
            Asked::Once => exit::OK,
            Asked::UntilTheEnd => exit::CHECK,
        },
        _ => exit::CHECK,
    }
}

fn line(status: &Status) -> String {
    let mut text = status.state.word().to_owned();
    if let State::Failed(failed) = status.state {
        text.push_str(&format!(" ({failed}): {}", failed.cure()));
    }
    if let Some(position) = status.position {
        text.push_str(&format!(" at height {} position {}", position.height, position.index));
    }
    if status.state == State::Admitted {
        text.push_str(&format!(" by {} receipts", status.receipts.len()));
    }
    if status.window_closed {
        text.push_str(", and its window is closed: it was not ordered");
    }
    text
}

fn show(status: &Status, json: bool) {
    if json {
        println!("{}", value(status));
        return;
    }
    println!("{}", status.id);
    println!("  {}", line(status));
    let asked = status.claims.len();
    println!("  {} of {asked} sequencers answered", status.answered());
    for claim in &status.claims {
        if let Err(why) = &claim.said {
            println!("  {}  {why}", claim.url);
        }
    }
    for doubt in &status.doubts {
        println!("  {}  is not believed: {}", doubt.url, doubt.why);
    }
    if let Some(document) = &status.document {
        for leg in &document.legs {
            println!("  rollup {}: {} transactions", leg.chain_id, leg.transactions.len());
        }
    }
}

fn value(status: &Status) -> Value {
    let failed = match status.state {
        State::Failed(failed) => Some(failed),
        _ => None,
    };
    let claims: Vec<_> = status
        .claims
        .iter()
        .map(|claim| match &claim.said {
            Ok(info) => json!({ "sequencer": claim.url, "said": info }),
            Err(why) => json!({ "sequencer": claim.url, "error": why }),
        })
        .collect();
    let doubts: Vec<_> = status
        .doubts
        .iter()
        .map(|doubt| json!({ "sequencer": doubt.url, "why": doubt.why }))
        .collect();
    json!({
        "id": status.id, "state": status.state.word(),
        "code": failed.map(|failed| failed.code()), "failed": failed,
        "height": status.position.map(|position| position.height),
        "position": status.position.map(|position| position.index),
        "receipts": status.receipts.len(), "needed": status.needed,
        "window_closed": status.window_closed,
        "legs": status.document.as_ref().map(|document| &document.legs),
        "release_height": status.document.as_ref().map(|document| document.release.height),
        "claims": claims, "doubts": doubts,
    })
}
