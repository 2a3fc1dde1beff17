//! The rollups of a network and the changes that are announced.

use std::collections::BTreeMap;

use fairveil_client::rpc::{ChangeInfo, CommitteeInfo, RollupInfo};
use futures::future::join_all;
use serde_json::json;

use super::{CommandError, endpoints, reach};
use crate::cli::exit;

/// What most sequencers say.
pub(super) fn run(sequencers: &[String], json: bool) -> Result<u8, CommandError> {
    let endpoints = endpoints(sequencers)?;
    let asked = endpoints
        .iter()
        .map(|endpoint| endpoint.call::<CommitteeInfo>("fairveil_committee", Vec::new()));
    let mut answers: BTreeMap<String, (CommitteeInfo, usize)> = BTreeMap::new();
    let mut failure = None;
    for answer in reach::run(join_all(asked))? {
        match answer {
            Ok(info) => {
                let said = json!([info.network_id, info.rollups, info.changes, info.next_change]);
                let (latest, count) =
                    answers.entry(said.to_string()).or_insert_with(|| (info.clone(), 0));
                *count += 1;
                if info.height > latest.height {
                    *latest = info;
                }
            }
            Err(error) => failure = Some(error.to_string()),
        }
    }
    let most = answers.into_values().max_by_key(|(info, count)| (*count, info.height));
    let Some((info, agree)) = most else {
        let why = failure.unwrap_or_else(|| "no sequencer is named".into());
        return Err(CommandError::Unreachable(why));
    };
    if json {
        let CommitteeInfo { network_id, height, rollups, changes, next_change, .. } = info;
        let value = json!({
            "network_id": network_id, "height": height, "rollups": rollups, "changes": changes,
            "next_change": next_change, "agree": agree, "asked": endpoints.len(),
        });
        println!("{value}");
    } else {
        print(&info, agree, endpoints.len());
    }
    Ok(exit::OK)
}

fn print(info: &CommitteeInfo, agree: usize, asked: usize) {
    println!("network {} at height {}", info.network_id, info.height);
    for rollup in &info.rollups {
        let RollupInfo { chain_id, name, block_time_ms, simulated, paused } = rollup;
        let blocks = match block_time_ms {
            Some(interval) => format!("a block every {interval} ms"),
            None => "a block per height".into(),
        };
        let state = if *simulated { "simulated" } else { "recorded" };
        let paused = if *paused { ", paused" } else { "" };
        println!("  {chain_id}  {name}: {blocks}, {state}{paused}");
    }
    for ChangeInfo { number, at, action, chain_id, name } in &info.changes {
        let name = name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        println!("  change {number}, from height {at}: {action} {chain_id}{name}");
    }
    println!("  the next change has number {}", info.next_change);
    println!("  said by {agree} of {asked} sequencers");
}
