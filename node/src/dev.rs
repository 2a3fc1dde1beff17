//! `fairveil dev`: a network on this machine, left running.

use std::time::Duration;

use comfy_table::{Table, presets::NOTHING};

use fairveil_keygen::definition::{Rollup, RollupState};
use fairveil_release::states::parse_genesis;

use crate::{
    cli,
    local::{
        Folder, LocalError, LocalNetwork,
        charges::Charges,
        genesis::{DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI, document},
    },
    rollups::{Named, named, now_ms},
};

/// How long the ceremony and the first blocks may take.
const START: Duration = Duration::from_secs(120);
/// The rollups, unless others are named, with their block times.
pub(crate) const ROLLUPS: [(u64, &str); 3] = [(901, "250ms"), (902, "1s"), (903, "2s")];
/// The base fee of embedded rollups, in wei per gas.
pub(crate) const BASE_FEE: u64 = 1_000_000;

/// Runs a network until it is asked to end.
pub(crate) fn dev(args: &cli::Dev, json: bool) -> Result<(), LocalError> {
    let folder = Folder::new(args.dir.as_deref())?;
    let dir = folder.path().to_path_buf();
    let rollups = rollups(&args.rollups)?;
    let charges = charges(args)?;
    let mut network =
        LocalNetwork::create_charging(&dir, args.sequencers, &rollups, charges.as_ref())?;
    if let Some(kind) = args.byzantine {
        network.corrupt(usize::from(args.sequencers) - 1, kind);
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|source| LocalError::Io { what: "runtime".into(), source })?;
    runtime.block_on(async {
        network.start_all()?;
        let endpoints = network.all_ready(START).await?;
        let urls: Vec<_> = endpoints.iter().map(|endpoint| endpoint.http.clone()).collect();
        let transcript = network.transcript_file();
        if json {
            let document = serde_json::json!({
                "network_id": network.network_id(),
                "transcript": transcript,
                "folder": dir,
                "sequencers": endpoints,
            });
            println!("{document}");
        } else {
            print(&network, &endpoints);
            println!("\nfor the trader's commands:\n");
            println!("  export FAIRVEIL_TRANSCRIPT={}", transcript.display());
            println!("  export FAIRVEIL_NETWORK={}", network.network_id());
            println!("  export FAIRVEIL_SEQUENCERS={}", urls.join(","));
            println!("\nto start a sequencer again that you killed:\n");
            println!("  fairveil node --config {}/NAME/node.toml", dir.display());
            println!("\nCtrl-C ends it.");
        }
        // Without the signal nothing ends it but the end of this process.
        let _ = tokio::signal::ctrl_c().await;
        Ok(())
    })
}

/// What `--fee-per-byte` and its companions say; none if nothing is charged.
fn charges(args: &cli::Dev) -> Result<Option<Charges>, LocalError> {
    match (args.fee_per_byte, &args.deposits[..]) {
        (0, []) => Ok(None),
        (0, _) => Err(LocalError::Other("--deposit needs --fee-per-byte".into())),
        (fee, deposits) => Charges::development(fee, args.rollup_share, deposits).map(Some),
    }
}

fn print(network: &LocalNetwork, endpoints: &[crate::process::Endpoints]) {
    println!(
        "network {} · {} sequencers, any {} open together",
        fairveil_keygen::definition::short_digest(&network.definition.digest()),
        endpoints.len(),
        network.threshold(),
    );
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["index", "name", "pid", "http", "traders", "peers"]);
    for endpoint in endpoints {
        table.add_row([
            &endpoint.index.to_string(),
            &endpoint.name,
            &endpoint.pid.to_string(),
            &endpoint.http,
            &endpoint.trader,
            &endpoint.peer,
        ]);
    }
    println!("{table}");
}

/// What `--rollup KIND:CHAIN_ID,...` says, or the default: embedded rollups of 250 ms, 1 s and 2 s.
pub(crate) fn rollups(given: &[String]) -> Result<Vec<Named>, LocalError> {
    let default;
    let given = if given.is_empty() {
        default = ROLLUPS.map(|(chain_id, time)| format!("embedded:{chain_id},block-time={time}"));
        &default[..]
    } else {
        given
    };
    let mut arguments = Vec::with_capacity(given.len());
    let mut embedded = Vec::new();
    for argument in given {
        let (kind, rest) = argument.split_once(':').unwrap_or((argument, ""));
        let chain_id = rest.split(',').next().unwrap_or_default();
        match kind {
            "embedded" => embedded.push(chain_id.to_owned()),
            "recorder" => {}
            _ => {
                let why = format!("--rollup {argument}: KIND is embedded or recorder");
                return Err(LocalError::Other(why));
            }
        }
        arguments.push(format!("rollup-{chain_id}:{rest}"));
    }
    let named = named(&arguments, now_ms());
    let mut named = named.map_err(|error| LocalError::Other(error.to_string()))?;
    for Named { rollup, genesis } in &mut named {
        if embedded.contains(&rollup.chain_id.to_string()) && genesis.is_none() {
            embed(rollup, genesis, development_genesis())?;
        }
    }
    Ok(named)
}

/// Lets a rollup begin with this genesis.
pub(crate) fn embed(
    rollup: &mut Rollup,
    genesis: &mut Option<Vec<u8>>,
    document: Vec<u8>,
) -> Result<(), LocalError> {
    let state = parse_genesis(&document).map_err(|error| LocalError::Other(error.to_string()))?;
    rollup.state = Some(RollupState { genesis: state.digest(), base_fee: BASE_FEE });
    *genesis = Some(document);
    Ok(())
}

fn development_genesis() -> Vec<u8> {
    document(DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI, &[])
}
