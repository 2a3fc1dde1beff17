//! `fairveil rollup revenue`: who got what of the fees of bundles.

use comfy_table::{Table, presets::NOTHING};
use fairveil_client::rpc::RevenueInfo;
use serde_json::json;

use super::{
    error::CommandError,
    network::{self as reach, Said},
};
use crate::cli::exit;

/// Asks all sequencers, and prints what most of them say; of those the newest.
pub(super) fn run(sequencers: &[String], json: bool) -> Result<u8, CommandError> {
    let compared = |info: &RevenueInfo| json!([info.deposits, info.rollups, info.sequencers]);
    let height = |info: &RevenueInfo| info.released;
    let said = reach::most_say(sequencers, "fairveil_revenue", &[], compared, height)?;
    if json {
        println!("{}", said.to_value());
    } else {
        print(&said);
    }
    Ok(exit::OK)
}

fn print(said: &Said<RevenueInfo>) {
    let Said { answer: info, agree, asked } = said;
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
