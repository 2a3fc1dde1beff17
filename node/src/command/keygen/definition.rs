//! `fairveil keygen propose | reshare | refresh | approve`: definitions, and who signs them.

use std::path::{Path, PathBuf};

use fairveil_crypto::{Epoch, Height};
use fairveil_keygen::{
    Approval, Definition, Deposits, Member, Proposal,
    definition::{
        Accounting, Blocks, Deadlines, Mode, Ordering, RESHARING_VERSION, Resharing, VERSION,
        short_digest,
    },
    deposits::MAX_DEPOSITS_BYTES,
};
use serde_json::json;

use super::{
    super::{
        disk::{self, Readers},
        error::CommandError,
    },
    Keys, check_digest, member, pretty, read_definition, transcript,
};
use crate::{
    cli::{self, exit},
    rollups::{named, now_ms},
};

/// What the members agree on besides themselves.
pub(super) struct Numbers {
    pub(super) f: u16,
    pub(super) g: u16,
    pub(super) mode: Mode,
    pub(super) step_ms: u64,
    pub(super) revealed_limit: u16,
    pub(super) accounting: Option<Accounting>,
}

/// What bundles cost by the definition that is proposed.
pub(super) fn accounting(args: &cli::Keygen) -> Result<Option<Accounting>, CommandError> {
    let cli::Keygen::Propose { deposits: Some(path), fee_per_byte, rollup_share, .. } = args else {
        return Ok(None);
    };
    let document = disk::read(path, MAX_DEPOSITS_BYTES)?;
    let deposits = Deposits::from_json(&document)
        .map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))?;
    Ok(Some(Accounting {
        deposits: deposits.digest(),
        fee_per_byte: fee_per_byte.unwrap_or(0),
        rollup_share_percent: *rollup_share,
    }))
}

pub(super) fn propose(
    members: &[PathBuf],
    numbers: &Numbers,
    rollups: &[String],
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let members = members_of(members)?;
    let rollups = named(rollups, now_ms())?.into_iter().map(|named| named.rollup).collect();
    let &Numbers { f, g, mode, step_ms, revealed_limit, accounting } = numbers;
    let n = number_of(&members)?;
    let definition = Definition::new(Proposal {
        version: VERSION,
        epoch: Epoch::new(1),
        n,
        f,
        g,
        revealed_limit,
        ordering: Ordering { mode, ..Ordering::default() },
        blocks: Blocks::default(),
        deadlines: deadlines(step_ms),
        accounting,
        rollups,
        members,
        resharing: None,
    })
    .map_err(|error| CommandError::Usage(error.to_string()))?;
    disk::write(out, definition.to_toml().as_bytes(), Readers::All)?;
    show_definition(&definition, out, json);
    Ok(exit::OK)
}

fn show_definition(definition: &Definition, path: &Path, json: bool) {
    let digest = definition.digest();
    let (n, t) = (definition.n(), definition.threshold());
    let Proposal { f, g, revealed_limit, .. } = definition.proposal();
    let consensus_faults = definition.consensus_faults();
    if json {
        let value = json!({
            "file": path, "digest": digest, "short": short_digest(&digest), "n": n, "f": f,
            "g": g, "consensus_faults": consensus_faults, "t": t, "revealed_limit": revealed_limit,
            "epoch": definition.epoch(),
            "boundary": definition.resharing().map(|resharing| resharing.boundary),
        });
        println!("{value}");
        return;
    }
    println!("{}", path.display());
    println!("  digest    {digest}");
    println!("  short     {}", short_digest(&digest));
    if let Some(resharing) = definition.resharing() {
        println!(
            "  epoch {}, after height {}: the key of network {} stays",
            definition.epoch(),
            resharing.boundary,
            resharing.network_id
        );
    }
    println!("  n = {n}, f = {f}: the fair order holds against {f} liars, g = {g}");
    println!("  F = {consensus_faults}: blocks stay final against {consensus_faults} of {n}");
    println!("  t = {t}: any {t} of {n} open an ordered bundle, {} open nothing", t - 1);
    if *revealed_limit > 0 {
        println!(
            "  up to {revealed_limit} members may be silent in the ceremony: each lowers the {t} by one"
        );
    }
    println!("  Every member: read the digest to the others, then fairveil keygen approve.");
}

/// Writes the definition of the epoch that follows the one of a transcript.
pub(super) fn succeed(
    succession: &cli::Succession,
    fairness: Fairness,
    json: bool,
) -> Result<u8, CommandError> {
    let before = transcript::verified(&succession.transcript, Some(&succession.network))?;
    let predecessor = before.definition();
    let proposal = predecessor.proposal();
    let members = members_of(&succession.members)?;
    let (f, g) = match fairness {
        Fairness::Given { f, g } => (f, g),
        Fairness::Same => {
            same_members(predecessor, &members)?;
            (proposal.f, proposal.g)
        }
    };
    let definition = Definition::new(Proposal {
        version: RESHARING_VERSION,
        epoch: predecessor.epoch().next(),
        n: number_of(&members)?,
        f,
        g,
        revealed_limit: succession.revealed_limit.unwrap_or(f),
        deadlines: deadlines(succession.step_seconds.saturating_mul(1_000)),
        members,
        resharing: Some(Resharing {
            network_id: before.network_id(),
            predecessor: predecessor.digest(),
            boundary: Height::new(succession.boundary),
        }),
        ..proposal.clone()
    });
    let definition = definition.map_err(|error| CommandError::Usage(error.to_string()))?;
    definition.continues(predecessor).map_err(|error| CommandError::Usage(error.to_string()))?;
    disk::write(&succession.out, definition.to_toml().as_bytes(), Readers::All)?;
    show_definition(&definition, &succession.out, json);
    Ok(exit::OK)
}

/// Which numbers of fairness the next committee has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fairness {
    /// These.
    Given {
        /// Liars that the fair order tolerates.
        f: u16,
        /// Honest disagreement that it tolerates.
        g: u16,
    },
    /// Those of the committee before, which has the same members.
    Same,
}

/// A refresh keeps the members: their consensus keys.
fn same_members(predecessor: &Definition, members: &[Member]) -> Result<(), CommandError> {
    let mut keys: Vec<_> = members.iter().map(|member| member.consensus).collect();
    keys.sort();
    if keys == predecessor.consensus_keys() {
        return Ok(());
    }
    let known = |member: &&Member| predecessor.index_of(&member.consensus).is_some();
    let new = members.iter().filter(|member| !known(member)).map(|member| member.name.as_str());
    let gone = predecessor.members().iter().filter(|member| !keys.contains(&member.consensus));
    let gone: Vec<_> = gone.map(|member| member.name.as_str()).collect();
    let new: Vec<_> = new.collect();
    Err(CommandError::Usage(format!(
        "a refresh keeps the members; new: {}; not there: {}. With other members it is \
         `fairveil keygen reshare`",
        if new.is_empty() { "none".into() } else { new.join(", ") },
        if gone.is_empty() { "none".into() } else { gone.join(", ") },
    )))
}

fn members_of(paths: &[PathBuf]) -> Result<Vec<Member>, CommandError> {
    member_files(paths)?.iter().map(|path| member(path)).collect()
}

fn number_of(members: &[Member]) -> Result<u16, CommandError> {
    u16::try_from(members.len()).map_err(|_| CommandError::Usage("too many members".into()))
}

const fn deadlines(step_ms: u64) -> Deadlines {
    Deadlines { deal_ms: step_ms, acknowledge_ms: step_ms, log_ms: step_ms, confirm_ms: step_ms }
}

/// Signs a definition as one of its members, or of the committee before it.
pub(super) fn approve(
    path: &Path,
    digest: &str,
    keys: &Keys<'_>,
    before: Option<&Path>,
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let definition = read_definition(path)?;
    check_digest(&definition.digest(), digest)?;
    let predecessor = before.map(|path| transcript::verified(path, None)).transpose()?;
    if let Some(before) = &predecessor {
        definition
            .continues(before.definition())
            .map_err(|error| CommandError::file(path, &error))?;
    }
    let keys = keys.open()?;
    let key = keys.consensus.public_key();
    let committees = [Some(&definition), predecessor.as_ref().map(|before| before.definition())];
    let member = committees
        .into_iter()
        .flatten()
        .find_map(|committee| committee.member(committee.index_of(&key)?));
    let Some(member) = member else {
        let leaving = match (definition.resharing(), before) {
            (Some(_), None) => {
                "; who leaves approves as a member of the committee before, with --transcript"
            }
            _ => "",
        };
        return Err(CommandError::Usage(format!(
            "{}: the keystore's consensus key {key} is no member's; take part with another \
             keystore, or have the definition proposed again with your member.json{leaving}",
            path.display()
        )));
    };
    let approval = Approval::new(&definition, &keys.consensus);
    disk::write(out, &pretty(&approval)?, Readers::All)?;
    let name = &member.name;
    if json {
        println!("{}", json!({ "file": out, "digest": definition.digest(), "member": name }));
    } else {
        println!(
            "{name} approves {} ({})",
            definition.digest(),
            short_digest(&definition.digest())
        );
        println!("  {}: give it to every member", out.display());
    }
    Ok(exit::OK)
}

/// The files that were named, and those of the folders that were.
fn member_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let fault = |error: std::io::Error| CommandError::file(path, &error);
        let before = files.len();
        for entry in std::fs::read_dir(path).map_err(fault)? {
            let file = entry.map_err(fault)?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                files.push(file);
            }
        }
        if files.len() == before {
            return Err(CommandError::file(path, &"no member's file: none ends in .json"));
        }
    }
    Ok(files)
}
