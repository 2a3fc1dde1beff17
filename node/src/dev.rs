//! `fairveil dev`: a network on this machine, left running.

use std::time::Duration;

use comfy_table::{Table, presets::NOTHING};

use crate::{
    cli,
    local::{Folder, LocalError, LocalNetwork},
};

/// How long the ceremony and the first blocks may take.
const START: Duration = Duration::from_secs(120);
/// The rollups, unless others are named.
pub(crate) const ROLLUPS: [(u64, &str); 3] = [(901, "alpha"), (902, "beta"), (903, "gamma")];

/// Runs a network until it is asked to end.
pub(crate) fn dev(args: &cli::Dev, json: bool) -> Result<(), LocalError> {
    let folder = Folder::new(args.dir.as_deref())?;
    let dir = folder.path().to_path_buf();
    let rollups = rollups(&args.rollups)?;
    let mut network = LocalNetwork::create(&dir, args.sequencers, &rollups)?;
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

fn rollups(given: &[String]) -> Result<Vec<(u64, String)>, LocalError> {
    if given.is_empty() {
        return Ok(ROLLUPS.iter().map(|(id, name)| (*id, (*name).to_owned())).collect());
    }
    let mut rollups: Vec<_> = given
        .iter()
        .map(|text| {
            let wrong = || LocalError::Other(format!("rollup {text:?} is not NAME:CHAIN_ID"));
            let (name, id) = text.rsplit_once(':').ok_or_else(wrong)?;
            Ok((id.parse().map_err(|_| wrong())?, name.to_owned()))
        })
        .collect::<Result<_, LocalError>>()?;
    rollups.sort();
    Ok(rollups)
}
