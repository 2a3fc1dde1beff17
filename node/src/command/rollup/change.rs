//! A change of the rollups on its way: proposed, approved by members, given to the sequencers.

use std::path::{Path, PathBuf};

use fairveil_client::{
    HttpError,
    registry::{
        EmbeddedState, FollowedState, StateSource,
        change::{Action, ApprovedChange, ChangeApproval, RegistryChange},
        rollup,
    },
    rpc::ChangeVerdict,
};
use fairveil_crypto::Height;
use fairveil_keygen::definition::short_digest;
use futures::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{CommandError, reach};
use crate::{
    cli::{self, Proposal, Propose, exit},
    command::{
        disk::{self, Readers},
        keygen::{Keys, check_digest, pretty},
    },
    rollups::joining,
};

/// Longest file of a change or an approval.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Writes a change.
pub(super) fn propose(propose: &Propose, json: bool) -> Result<u8, CommandError> {
    let (action, proposal) = match propose {
        Propose::Join { rollup: argument, proposal } => {
            (Action::Join(rollup(&joining(argument)?.rollup)), proposal)
        }
        Propose::Pause { chain, proposal } => (Action::Pause { chain_id: *chain }, proposal),
        Propose::Resume { chain, proposal } => (Action::Resume { chain_id: *chain }, proposal),
        Propose::Leave { chain, proposal } => (Action::Leave { chain_id: *chain }, proposal),
    };
    let Proposal { at, number, network, out } = proposal;
    let network_id = reach::network_id(network)?;
    let change = RegistryChange { network_id, number: *number, at: Height::new(*at), action };
    disk::write(out, &pretty(&change)?, Readers::All)?;
    let digest = change.digest();
    if json {
        println!("{}", json!({ "file": out, "digest": digest, "short": short_digest(&digest) }));
    } else {
        show(&change);
        println!("  {}: give it to every member", out.display());
        println!("  A quorum of the members: read the digest to each other, then fairveil rollup");
        println!("  approve.");
    }
    Ok(exit::OK)
}

/// Shows a change and signs its digest.
pub(super) fn approve(
    path: &Path,
    digest: &str,
    keys: &Keys<'_>,
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let change: RegistryChange = read(path, "change")?;
    if !json {
        show(&change);
    }
    check_digest(&change.digest(), digest)?;
    let keys = keys.open()?;
    let approval = ChangeApproval::new(&change, &keys.consensus);
    disk::write(out, &pretty(&approval)?, Readers::All)?;
    if json {
        let value = json!({ "file": out, "digest": approval.change, "member": approval.member });
        println!("{value}");
    } else {
        println!("  approved by {}", approval.member);
        println!("  {}: give it to whoever submits the change", out.display());
    }
    Ok(exit::OK)
}

/// Gives an approved change to the sequencers.
pub(super) fn submit(
    args: &cli::Network,
    path: &Path,
    approvals: &[PathBuf],
    json: bool,
) -> Result<u8, CommandError> {
    let (network, endpoints) = reach::reached(args)?;
    let change: RegistryChange = read(path, "change")?;
    let (actual, expected) = (change.network_id, network.network_id());
    if actual != expected {
        return Err(CommandError::Check(format!(
            "{}: a change of network {actual}, this is {expected}",
            path.display()
        )));
    }
    let approvals = approvals.iter().map(|path| read::<ChangeApproval>(path, "approval"));
    let approvals = approvals.collect::<Result<Vec<_>, _>>()?;
    let committee = network.committee();
    let (keys, quorum) = (committee.consensus_keys(), committee.quorum());
    let approved = ApprovedChange::new(change, approvals, keys, quorum)
        .map_err(|error| CommandError::Check(format!("{}: {error}", path.display())))?;
    let encoded = format!("0x{}", alloy_primitives::hex::encode(approved.encode()));
    let asked = endpoints.iter().map(|endpoint| {
        let params = vec![json!(encoded)];
        async move { endpoint.call::<ChangeVerdict>("fairveil_change_registry", params).await }
    });
    let answers = reach::run(join_all(asked))?;
    if !json {
        show(&approved.change);
    }
    let (mut taken, mut refused, mut said) = (0, 0, Vec::new());
    for (endpoint, answer) in endpoints.iter().zip(answers) {
        let (state, text) = match answer {
            Ok(verdict) => {
                taken += 1;
                (verdict.state.clone(), verdict.state)
            }
            Err(error) => {
                let answered = matches!(error, HttpError::Rpc(_));
                refused += usize::from(answered);
                let state = if answered { "refused" } else { "unreachable" };
                (state.to_owned(), error.to_string())
            }
        };
        if !json {
            println!("  {}  {text}", endpoint.url());
        }
        said.push(json!({ "sequencer": endpoint.url(), "state": state, "text": text }));
    }
    if json {
        let digest = approved.change.digest();
        println!("{}", json!({ "change": digest, "taken": taken, "answers": said }));
    } else if taken > 0 {
        println!(
            "  taken by {taken} of {}: fairveil rollup list shows it once it",
            endpoints.len()
        );
        println!("  is announced");
    }
    Ok(match (taken, refused) {
        (0, 0) => exit::UNREACHABLE,
        (0, _) => exit::REJECTED,
        _ => exit::OK,
    })
}

/// What is signed.
fn show(change: &RegistryChange) {
    let digest = change.digest();
    println!("change {} of network {}", change.number, change.network_id);
    println!("  from height {}: {}", change.at, describe(&change.action));
    println!("  digest    {digest}");
    println!("  short     {}", short_digest(&digest));
}

fn describe(action: &Action) -> String {
    let chain_id = action.chain_id();
    let rollup = match action {
        Action::Join(rollup) => rollup,
        Action::Pause { .. } => return format!("rollup {chain_id} is paused"),
        Action::Resume { .. } => return format!("rollup {chain_id} goes on"),
        Action::Leave { .. } => return format!("rollup {chain_id} leaves, and its state with it"),
    };
    let blocks = match rollup.blocks {
        Some(blocks) => {
            let (interval, genesis) = (blocks.interval_ms, blocks.genesis_ms);
            format!("a block every {interval} ms from {genesis} ms on")
        }
        None => "a block per height".into(),
    };
    let state = match &rollup.state {
        Some(StateSource::Embedded(EmbeddedState { genesis, base_fee })) => {
            format!("simulated from genesis {genesis} with base fee {base_fee}")
        }
        Some(StateSource::Followed(FollowedState { max_age_ms, elasticity, denominator })) => {
            format!(
                "followed, simulated over blocks up to {max_age_ms} ms old, elasticity {elasticity}, \
                 denominator {denominator}"
            )
        }
        None => "not simulated".into(),
    };
    let set_code = if rollup.allows_set_code { "type 4 taken" } else { "type 4 refused" };
    format!(
        "rollup {chain_id} ({}) joins: {blocks}, {} gas and {} bytes a block, {set_code}, {state}",
        rollup.name, rollup.gas_limit, rollup.byte_limit
    )
}

fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, CommandError> {
    let bytes = disk::read(path, MAX_FILE_BYTES)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::file(path, &format!("not a {what}: {error}")))
}
