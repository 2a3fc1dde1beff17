//! `fairveil rollup`: what the rollups of a network hold, what is released to them, and how its committee
//! changes them.

mod change;
mod check_batcher;
mod follow;
mod list;

use fairveil_client::rpc::AccountInfo;
use serde_json::json;

use super::{
    error::CommandError,
    keygen::Keys,
    network::{self as reach, Said},
    outputs, revenue,
};
use crate::cli::{self, exit};

/// Runs a command about rollups; the exit code.
pub(crate) fn run(args: &cli::Rollup, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Rollup::Account { asked, chain, address, slots } => {
            account(&asked.sequencers, *chain, address, slots, json)
        }
        cli::Rollup::Frames(args) => outputs::frames::run(args, json),
        cli::Rollup::Engine(args) => outputs::engine::run(args, json),
        cli::Rollup::Revenue { asked } => revenue::run(&asked.sequencers, json),
        cli::Rollup::List { asked } => list::run(&asked.sequencers, json),
        cli::Rollup::Propose(propose) => change::propose(propose, json),
        cli::Rollup::Approve { change, digest, keystore, password_file, out } => {
            let keys = Keys { keystore, password_file: password_file.as_deref() };
            change::approve(change, digest, &keys, out, json)
        }
        cli::Rollup::Submit { network, change, approvals } => {
            change::submit(network, change, approvals, json)
        }
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
