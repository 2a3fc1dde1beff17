//! `fairveil check`: everything that a sequencer needs, looked at before it runs or while it does.
//!
//! One line per check: verdict, name, what was seen, what is wanted. Nothing is changed, and peers keep
//! the connections that they have.
//!
//! | check | fails if |
//! |---|---|
//! | `keystore` | it can't be opened, or others may read it |
//! | `files` | others may read a secret or write the data folder |
//! | `definition` | an approval is missing, or the keystore is no member's |
//! | `share` | the keystore's share is of another network or epoch, or the transcript does not verify |
//! | `clock` | the sequencers' committed time is ahead of this clock, or far behind it |
//! | `buffers` | the kernel grants less than asked |
//! | `peer NAME` | it has another key, network or version; one that does not answer is a warning |
//! | `peers` | fewer answer than are needed with this one |
//! | `sync` | a small durable write takes too long |
//! | `space` | too little is free |
//! | `shares` | decryption shares are made too slowly |

mod machine;
mod network;

use std::path::Path;

use fairveil_keygen::{
    ApprovedDefinition, Membership, Transcript, VerifiedTranscript, keystore::MembershipError,
    keystore::SequencerKeys,
};
use serde::Serialize;

use super::error::CommandError;
use crate::{
    cli::{self, exit},
    config::Config,
    process::{self, KeystoreFile, NodeError},
};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It can't be said, or is no fault of this machine.
    Warn,
    /// To be cured before the node runs.
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    verdict: Verdict,
    check: String,
    /// What was seen.
    seen: String,
    /// What is wanted.
    wanted: String,
}

impl Line {
    fn new(verdict: Verdict, check: &str, seen: impl Into<String>, wanted: &str) -> Self {
        Self { verdict, check: check.into(), seen: seen.into(), wanted: wanted.into() }
    }

    /// Fails unless it is as it should be.
    fn judged(good: Good, check: &str, seen: impl Into<String>, wanted: &str) -> Self {
        let verdict = if good == Good::Yes { Verdict::Ok } else { Verdict::Fail };
        Self::new(verdict, check, seen, wanted)
    }
}

/// Whether a value is within its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    Yes,
    No,
}

impl Good {
    fn when(condition: impl FnOnce() -> bool) -> Self {
        if condition() { Self::Yes } else { Self::No }
    }
}

/// Runs all checks.
pub(crate) fn run(args: &cli::Check, json: bool) -> Result<u8, CommandError> {
    let config =
        process::config(args.config.as_deref(), &args.settings.0).map_err(NodeError::from)?;
    let mut lines = Vec::new();
    let (file, keys) = keystore(&config, &mut lines).unzip();
    let approved = definition(&config, keys.as_ref(), &mut lines);
    let opened = file.as_ref().zip(keys.as_ref());
    let share = share(&config, opened, approved.as_ref(), &mut lines);
    lines.extend(machine::lines(&config));
    if let (Some(keys), Some(approved)) = (&keys, &approved) {
        lines.extend(network::lines(&config, keys, approved, args.patience_ms)?);
    }
    if let Some((transcript, membership)) = &share {
        lines.push(machine::shares(&config, membership, transcript));
    }
    show(&lines, json);
    let failed = lines.iter().any(|line| line.verdict == Verdict::Fail);
    Ok(if failed { exit::CHECK } else { exit::OK })
}

fn show(lines: &[Line], json: bool) {
    if json {
        println!("{}", serde_json::to_string(lines).unwrap_or_default());
        return;
    }
    for Line { verdict, check, seen, wanted } in lines {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        println!("{verdict:5} {check:14} {seen}; wanted: {wanted}");
    }
}

fn keystore(config: &Config, lines: &mut Vec<Line>) -> Option<(KeystoreFile, SequencerKeys)> {
    let wanted = "it opens, and only its owner reads it";
    let path = config.path("keystore").unwrap_or_default();
    let opened = process::passphrase(config.path("passphrase_file").as_deref())
        .and_then(|passphrase| KeystoreFile::open(&path, passphrase));
    match opened {
        Ok((file, keys)) => {
            let seen = format!("consensus key {}", keys.consensus.public_key());
            lines.push(Line::new(Verdict::Ok, "keystore", seen, wanted));
            Some((file, keys))
        }
        Err(error) => {
            lines.push(Line::new(Verdict::Fail, "keystore", error.to_string(), wanted));
            None
        }
    }
}

fn definition(
    config: &Config,
    keys: Option<&SequencerKeys>,
    lines: &mut Vec<Line>,
) -> Option<ApprovedDefinition> {
    let wanted = "approved by every member, this keystore's one of them";
    let approved = match process::approved(config) {
        Ok((approved, _)) => approved,
        Err(error) => {
            lines.push(Line::new(Verdict::Fail, "definition", error.to_string(), wanted));
            return None;
        }
    };
    let definition = approved.definition();
    let key = keys.map(|keys| keys.consensus.public_key());
    let index = key.and_then(|key| definition.index_of(&key));
    let name = index.and_then(|index| definition.member(index)).map(|member| member.name.as_str());
    let seen = format!(
        "network {}, {} members, this one is {}",
        definition.network_id(),
        definition.n(),
        name.unwrap_or("none of them")
    );
    let good = Good::when(|| key.is_none() || name.is_some());
    lines.push(Line::judged(good, "definition", seen, wanted));
    name.is_some().then_some(approved)
}

/// The share and the transcript that it belongs to, after a ceremony.
fn share(
    config: &Config,
    opened: Option<(&KeystoreFile, &SequencerKeys)>,
    approved: Option<&ApprovedDefinition>,
    lines: &mut Vec<Line>,
) -> Option<(VerifiedTranscript, Membership)> {
    let definition = approved?.definition();
    let wanted = "a share of this network, and a transcript that verifies";
    let path = config.path("data_dir").unwrap_or_default().join("transcript.json");
    let verified = transcript(&path, approved?);
    let epoch = verified.as_ref().map_or(definition.epoch(), |one| one.committee().epoch());
    let (file, keys) = opened?;
    if keys.share_label(&definition.network_id(), epoch) == Err(MembershipError::NoShare) {
        let seen = "no share yet: the node begins with the ceremony";
        lines.push(Line::new(Verdict::Warn, "share", seen, wanted));
        return None;
    }
    let membership = match file.membership(keys, &definition.network_id(), epoch) {
        Ok(Some(membership)) => membership,
        Ok(None) => {
            let seen =
                format!("the keystore has a share, but not of epoch {epoch} of this network");
            lines.push(Line::new(Verdict::Fail, "share", seen, wanted));
            return None;
        }
        Err(error) => {
            lines.push(Line::new(Verdict::Fail, "share", error.to_string(), wanted));
            return None;
        }
    };
    match verified {
        Ok(verified) => {
            let seen = format!("committee key {}", verified.result().committee_key);
            lines.push(Line::new(Verdict::Ok, "share", seen, wanted));
            Some((verified, membership))
        }
        Err(why) => {
            let seen = format!("{}: {why}", path.display());
            lines.push(Line::new(Verdict::Fail, "share", seen, wanted));
            None
        }
    }
}

fn transcript(path: &Path, approved: &ApprovedDefinition) -> Result<VerifiedTranscript, String> {
    let limit = fairveil_keygen::transcript::MAX_BYTES;
    let bytes = super::disk::read(path, limit).map_err(|error| error.to_string())?;
    Transcript::from_json(&bytes)
        .and_then(|transcript| transcript.verify())
        .and_then(|verified| verified.of_network(&approved.definition().network_id()))
        .map_err(|error| error.to_string())
}
