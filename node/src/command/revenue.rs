//! `fairveil rollup revenue`: who got what of the fees of bundles.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{Table, presets::NOTHING};
use fairveil_client::{Endpoint, rpc::RevenueInfo};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{error::CommandError, network as reach};
use crate::cli::exit;

/// How long one call to one sequencer may take.
const CALL: Duration = Duration::from_secs(5);

/// Asks all sequencers, and prints what most of them say; of those the newest.
pub(super) fn run(sequencers: &[String], json: bool) -> Result<u8, CommandError> {
    let endpoints = sequencers.iter().map(|url| Endpoint::new(url, CALL));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>();
    let endpoints = endpoints.map_err(|error| CommandError::Usage(error.to_string()))?;
    let asked = endpoints
        .iter()
        .map(|endpoint| endpoint.call::<RevenueInfo>("fairveil_revenue", Vec::new()));
    // Sequencers answer at different heights: those agree who paid out the same.
    let mut answers: BTreeMap<String, (RevenueInfo, usize)> = BTreeMap::new();
    let mut failure = None;
    for answer in reach::run(join_all(asked))? {
        match answer {
            Ok(info) => {
                let said = json!([info.deposits, info.rollups, info.sequencers]).to_string();
                let known = answers.entry(said).or_insert_with(|| (info.clone(), 0));
                known.1 += 1;
                if (info.released, info.height) > (known.0.released, known.0.height) {
                    known.0 = info;
                }
            }
            Err(error) => failure = Some(error.to_string()),
        }
    }
    let best = answers.into_values().max_by_key(|(info, count)| (*count, info.released));
    let Some((info, agree)) = best else {
        let why = failure.unwrap_or_else(|| "no sequencer is named".into());
        return Err(CommandError::Unreachable(why));
    };
    if json {
        let mut value = serde_json::to_value(&info).unwrap_or(Value::Null);
        value["agree"] = json!(agree);
        value["asked"] = json!(endpoints.len());
        println!("{value}");
    } else {
        print(&info, agree, endpoints.len());
    }
    Ok(exit::OK)
}

fn print(info: &RevenueInfo, agree: usize, asked: usize) {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["", "", "revenue"]);
    for rollup in &info.rollups {
        table.add_row([&format!("rollup {}", rollup.chain_id), &rollup.name, &rollup.revenue]);
    }
    for sequencer in &info.sequencers {
        let index = format!("sequencer {}", sequencer.index);
        table.add_row([&index, &sequencer.name, &sequencer.revenue]);
    }
    println!("{table}");
    println!("  in flight  {}", info.in_flight);
    println!("  balances   {}", info.balances);
    println!("  deposits   {}", info.deposits);
    println!(
        "  said by {agree} of {asked} sequencers, final up to height {}, released up to {}",
        info.height, info.released
    );
}
