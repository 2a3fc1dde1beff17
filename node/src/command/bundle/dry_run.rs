//! `bundle dry-run`: what a bundle would do, on this machine alone.

use std::path::Path;

use alloy_primitives::{Address, B256};
use fairveil_mempool::Bundle;
use fairveil_release::dry_run::{
    Block, Dropped, L1Fees, LegReceipts, MAX_GENESIS_BYTES, Outcome, Pinned, Verdict, dry_run,
    parse_genesis,
};
use serde_json::{Value, json};

use super::super::{disk, error::CommandError};
use crate::{
    cli::{self, exit},
    rollups::now_ms,
};

/// `bundle dry-run`.
pub(super) fn run(args: &cli::DryRun, json: bool) -> Result<u8, CommandError> {
    let bundle = super::read_unsealed(&args.bundle)?;
    let pinned = args.states.iter().map(|state| pinned(state, args)).collect::<Result<_, _>>()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .map_err(|error| CommandError::Check(format!("no threads: {error}")))?;
    let verdict =
        dry_run(&pool, &bundle, pinned).map_err(|error| CommandError::Usage(error.to_string()))?;
    let released = verdict.is_released();
    if json {
        println!("{}", document(&verdict));
    } else {
        print(&bundle, &verdict);
    }
    Ok(if released { exit::OK } else { exit::CHECK })
}

/// `CHAIN_ID:FILE`, and the block that the arguments describe.
fn pinned(argument: &str, args: &cli::DryRun) -> Result<Pinned, CommandError> {
    let usage = |why: &str| {
        CommandError::Usage(format!(
            "--state {argument}: {why}; give CHAIN_ID:FILE, e.g. 901:genesis.json"
        ))
    };
    let (chain_id, file) = argument.split_once(':').ok_or_else(|| usage("no chain id"))?;
    let chain_id = chain_id.parse().map_err(|_| usage("the chain id is not a number"))?;
    let path = Path::new(file);
    let genesis = disk::read(path, MAX_GENESIS_BYTES)?;
    let state = parse_genesis(&genesis).map_err(|error| CommandError::file(path, &error))?;
    let block = Block {
        number: args.block,
        timestamp_s: args.time_s.unwrap_or_else(|| now_ms() / 1_000),
        base_fee: args.base_fee,
        gas_limit: args.gas_limit,
        beneficiary: Address::ZERO,
        prevrandao: B256::ZERO,
        hardfork: args.hardfork.into(),
        l1_fees: L1Fees::Nothing,
    };
    Ok(Pinned { chain_id, state, block })
}

/// The verdict as one JSON document.
fn document(verdict: &Verdict) -> Value {
    let released = verdict.is_released();
    match verdict {
        Verdict::Failed(failed) => json!({ "released": released, "failed": failed }),
        Verdict::Simulated(Outcome::Kept { legs }) => json!({ "released": released, "legs": legs }),
        Verdict::Simulated(Outcome::Dropped(dropped)) => {
            json!({ "released": released, "dropped": dropped, "why": dropped.to_string() })
        }
        Verdict::Simulated(Outcome::Unavailable { chain_id }) => {
            json!({ "released": released, "unavailable": chain_id })
        }
    }
}

fn print(bundle: &Bundle, verdict: &Verdict) {
    match verdict {
        Verdict::Failed(failed) => println!("it would fail with {failed}: {}", failed.cure()),
        Verdict::Simulated(Outcome::Kept { legs }) => {
            println!("it would be released, all of its legs");
            legs.iter().for_each(print_leg);
        }
        Verdict::Simulated(Outcome::Dropped(dropped)) => {
            println!("it would be dropped on all of its rollups: {dropped}");
            if let Dropped::Invalid { leg, .. } | Dropped::Failed { leg, .. } = dropped
                && let Some(leg) = bundle.legs().get(usize::from(*leg))
            {
                println!("  that leg is for chain {}", leg.chain_id);
            }
        }
        Verdict::Simulated(Outcome::Unavailable { chain_id }) => println!(
            "there is no verdict: the state of chain {chain_id} is not given (--state \
             {chain_id}:FILE)"
        ),
    }
}

fn print_leg(leg: &LegReceipts) {
    for (tx, receipt) in leg.receipts.iter().enumerate() {
        let end = match &receipt.fault {
            None => "ok".to_owned(),
            Some(fault) => fault.to_string(),
        };
        let contract = match receipt.contract {
            Some(contract) if receipt.fault.is_none() => format!(", contract {contract}"),
            _ => String::new(),
        };
        println!(
            "  chain {} transaction {tx}: {end}, {} gas, {} logs{contract}",
            leg.chain_id, receipt.gas_used, receipt.logs
        );
    }
}
