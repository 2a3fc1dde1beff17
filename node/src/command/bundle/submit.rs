//! `bundle submit`: the same bytes to every sequencer, and their receipts kept.

use std::path::{Path, PathBuf};

use fairveil_client::{
    file::File,
    receipts::{Answer, Verdict},
    submission::{self, SubmissionReport},
};
use serde_json::{Value, json};

use super::super::{
    disk::{self, Readers},
    error::CommandError,
    network as reach,
};
use crate::cli::{self, exit};

/// `bundle submit`.
pub(super) fn submit(args: &cli::Network, path: &Path, json: bool) -> Result<u8, CommandError> {
    let file = super::read_sealed(path)?;
    let sealed = file.bundle().map_err(|error| CommandError::file(path, &error))?;
    let (network, endpoints) = reach::reached(args)?;
    sealed
        .verify(&network.network_id(), network.committee().key())
        .map_err(|error| CommandError::file(path, &error))?;
    let report = reach::run(submission::submit(&network, &endpoints, &sealed))?;
    let kept = keep(path, &report)?;
    if json {
        println!("{}", value(&report, &kept));
    } else {
        print(&report, &kept);
    }
    Ok(match report.verdict() {
        Verdict::Admitted => exit::OK,
        Verdict::Rejected => exit::REJECTED,
        Verdict::Distrusted => exit::CHECK,
        Verdict::Unreachable => exit::UNREACHABLE,
    })
}

/// The files that were written.
struct Kept {
    receipts: Option<PathBuf>,
    evidence: Vec<PathBuf>,
}

/// Keeps receipts, and evidence of false ones, beside the sealed bundle. Fewer receipts than an
/// earlier submission gave do not replace them.
fn keep(sealed: &Path, report: &SubmissionReport) -> Result<Kept, CommandError> {
    let path = sealed.with_file_name(format!("{}.receipts.json", report.id()));
    let mut kept = Kept { receipts: None, evidence: Vec::new() };
    let known = match disk::read(&path, 1 << 20).map(|bytes| File::read(&bytes)) {
        Ok(Ok(File::Receipts(file))) => file.receipts.len(),
        _ => 0,
    };
    let count = report.receipts().len();
    if count > 0 && count >= known {
        disk::write(&path, report.file().to_json().as_bytes(), Readers::All)?;
    }
    if count > 0 || known > 0 {
        kept.receipts = Some(path);
    }
    for (number, evidence) in report.evidence().into_iter().enumerate() {
        let name = format!("{}.evidence-{}.json", report.id(), number + 1);
        let path = sealed.with_file_name(name);
        let text = File::Evidence(Box::new(evidence)).to_json();
        disk::write(&path, text.as_bytes(), Readers::All)?;
        kept.evidence.push(path);
    }
    Ok(kept)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Admitted => "admitted",
        Verdict::Rejected => "rejected",
        Verdict::Distrusted => "distrusted",
        Verdict::Unreachable => "unreachable",
    }
}

fn value(report: &SubmissionReport, kept: &Kept) -> Value {
    let answers: Vec<_> = report
        .answers()
        .iter()
        .map(|answered| {
            let (kind, code) = match &answered.answer {
                Answer::Receipt(_) => ("receipt", None),
                Answer::Repeated(_) => ("repeated", None),
                Answer::Rejected(rejected) => ("rejected", Some(rejected.code.clone())),
                Answer::Refused(_) => ("refused", None),
                Answer::Failed(_) => ("failed", None),
                Answer::Silent(_) => ("silent", None),
            };
            json!({
                "sequencer": answered.url, "answer": kind, "code": code,
                "text": answered.answer.to_string(),
            })
        })
        .collect();
    json!({
        "id": report.id(), "state": word(report.verdict()),
        "receipts": report.receipts().len(), "needed": report.needed(),
        "file": kept.receipts, "evidence": kept.evidence, "answers": answers,
    })
}

fn print(report: &SubmissionReport, kept: &Kept) {
    let (count, asked) = (report.receipts().len(), report.answers().len());
    let needed = report.needed();
    println!("{}", report.id());
    println!("  {}: {count} receipts of {asked} sequencers, {needed} needed", {
        word(report.verdict())
    });
    for answered in report.answers() {
        println!("  {}  {}", answered.url, answered.answer);
    }
    if let Some(path) = &kept.receipts {
        println!("  receipts are kept in {}", path.display());
    }
    for path in &kept.evidence {
        println!("  a sequencer contradicted itself; the proof is {}", path.display());
    }
    match report.verdict() {
        Verdict::Admitted => {}
        Verdict::Rejected if report.is_temporary() => {
            println!("  send the same bytes again later")
        }
        Verdict::Rejected => println!("  correct what the answers name and seal again"),
        Verdict::Distrusted => {
            println!("  check the sequencers' addresses: their receipts are not this network's")
        }
        Verdict::Unreachable => println!("  submit the same file again: the bytes stay the same"),
    }
}
