//! `fairveil rollup`: what the rollups of a network hold, and how its committee changes them.

mod change;
mod list;

use std::{collections::BTreeMap, time::Duration};

use fairveil_client::{Endpoint, rpc::AccountInfo};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{error::CommandError, keygen::Keys, network as reach};
use crate::cli::{self, exit};

/// How long one call to one sequencer may take.
const CALL: Duration = Duration::from_secs(5);

/// Runs a command about rollups; the exit code.
pub(crate) fn run(args: &cli::Rollup, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Rollup::Account { sequencers, chain, address, slots } => {
            account(&sequencers.sequencers, *chain, address, slots, json)
        }
        cli::Rollup::List { sequencers } => list::run(&sequencers.sequencers, json),
        cli::Rollup::Propose(propose) => change::propose(propose, json),
        cli::Rollup::Approve { change, digest, keystore, password_file, out } => {
            let keys = Keys { keystore, password_file: password_file.as_deref() };
            change::approve(change, digest, &keys, out, json)
        }
        cli::Rollup::Submit { network, change, approvals } => {
            change::submit(network, change, approvals, json)
        }
    }
}

/// The sequencers that are named.
fn endpoints(sequencers: &[String]) -> Result<Vec<Endpoint>, CommandError> {
    let endpoints = sequencers.iter().map(|url| Endpoint::new(url, CALL));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>();
    endpoints.map_err(|error| CommandError::Usage(error.to_string()))
}

fn account(
    sequencers: &[String],
    chain: u64,
    address: &str,
    slots: &[String],
    json: bool,
) -> Result<u8, CommandError> {
    let endpoints = endpoints(sequencers)?;
    let params = vec![json!(chain), json!(address), json!(slots)];
    let asked = endpoints.iter().map(|endpoint| {
        let params = params.clone();
        async move { endpoint.call::<AccountInfo>("fairveil_account", params).await }
    });
    let mut answers: BTreeMap<String, (AccountInfo, usize)> = BTreeMap::new();
    let mut failure = None;
    for answer in reach::run(join_all(asked))? {
        match answer {
            Ok(info) => {
                let said = json!([info.nonce, info.balance, info.code_hash, info.slots]);
                answers.entry(said.to_string()).or_insert((info, 0)).1 += 1;
            }
            Err(error) => failure = Some(error.to_string()),
        }
    }
    let Some((info, agree)) = answers.into_values().max_by_key(|(_, count)| *count) else {
        let why = failure.unwrap_or_else(|| "no sequencer is named".into());
        return Err(CommandError::Unreachable(why));
    };
    if json {
        let mut value = serde_json::to_value(&info).unwrap_or(Value::Null);
        value["agree"] = json!(agree);
        value["asked"] = json!(endpoints.len());
        println!("{value}");
    } else {
        print(&info, slots, agree, endpoints.len());
    }
    Ok(exit::OK)
}

fn print(info: &AccountInfo, slots: &[String], agree: usize, asked: usize) {
    println!("{} on rollup {}", info.address, info.chain_id);
    println!("  nonce    {}", info.nonce);
    println!("  balance  {} wei", info.balance);
    for (slot, value) in slots.iter().zip(&info.slots) {
        println!("  slot {slot}  {value}");
    }
    println!("  said by {agree} of {asked} sequencers, released up to height {}", info.released);
}
