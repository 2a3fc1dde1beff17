//! The rollups of a network and the changes that are announced.

use fairveil_client::rpc::{ChangeInfo, CommitteeInfo, RollupInfo};
use serde_json::json;

use super::{CommandError, Said, reach};
use crate::cli::exit;

/// What most sequencers say.
pub(super) fn run(sequencers: &[String], json: bool) -> Result<u8, CommandError> {
    let compared = |info: &CommitteeInfo| {
        json!([info.network_id, info.rollups, info.changes, info.next_change])
    };
    let height = |info: &CommitteeInfo| info.height;
    let said = reach::most_say(sequencers, "fairveil_committee", &[], compared, height)?;
    if json {
        let Said { answer, agree, asked } = said;
        let CommitteeInfo { network_id, height, rollups, changes, next_change, .. } = answer;
        let value = json!({
            "network_id": network_id, "height": height, "rollups": rollups, "changes": changes,
            "next_change": next_change, "agree": agree, "asked": asked,
        });
        println!("{value}");
    } else {
        print(&said);
    }
    Ok(exit::OK)
}

fn print(said: &Said<CommitteeInfo>) {
    let Said { answer: info, agree, asked } = said;
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
