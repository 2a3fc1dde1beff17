//! `fairveil rollup`: what the rollups of a network hold, and what is released to them.

mod check_batcher;
mod follow;

use fairveil_client::rpc::AccountInfo;
use serde_json::json;

use super::{
    error::CommandError,
    network::{self as reach, Said},
    revenue,
};
use crate::cli::{self, exit};

/// Runs a command about rollups; the exit code.
pub(crate) fn run(args: &cli::Rollup, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Rollup::Account { asked, chain, address, slots } => {
            account(&asked.sequencers, *chain, address, slots, json)
        }
        cli::Rollup::Revenue { asked } => revenue::run(&asked.sequencers, json),
        cli::Rollup::Follow(args) => follow::run(args, json),
        cli::Rollup::CheckBatcher(args) => check_batcher::run(args, json),
    }
}

fn account(
    sequencers: &[String],
    chain: u64,
    address: &str,
    slots: &[String],
    json: bool,
) -> Result<u8, CommandError> {
    let params = [json!(chain), json!(address), json!(slots)];
    let compared =
        |info: &AccountInfo| json!([info.nonce, info.balance, info.code_hash, info.slots]);
    let height = |info: &AccountInfo| info.released;
    let said = reach::most_say(sequencers, "fairveil_account", &params, compared, height)?;
    if json {
        println!("{}", said.to_value());
    } else {
        print(&said, slots);
    }
    Ok(exit::OK)
}

fn print(said: &Said<AccountInfo>, slots: &[String]) {
    let Said { answer: info, agree, asked } = said;
    println!("{} on rollup {}", info.address, info.chain_id);
    println!("  nonce    {}", info.nonce);
    println!("  balance  {} wei", info.balance);
    for (slot, value) in slots.iter().zip(&info.slots) {
        println!("  slot {slot}  {value}");
    }
    println!("  said by {agree} of {asked} sequencers, released up to height {}", info.released);
}
