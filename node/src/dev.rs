//! `fairveil dev`: a network on this machine, left running.

use std::{collections::BTreeMap, path::Path, time::Duration};

use comfy_table::{Table, presets::NOTHING};

use fairveil_client::Endpoint;
use fairveil_crypto::SequencerIndex;
use fairveil_keygen::definition::{Rollup, RollupState};
use fairveil_release::states::parse_genesis;

use crate::{
    cli::{self, ByzantineKind},
    local::{
        Folder, GENESIS, LocalError, LocalNetwork,
        anvil::{Anvil, Delivery},
        charges::Charges,
        genesis::{DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI, document},
    },
    rollups::{Named, genesis_file, named, now_ms},
};

/// How long the ceremony and the first blocks may take.
const START: Duration = Duration::from_secs(120);
/// How long a call to a sequencer may take.
const CALL: Duration = Duration::from_secs(5);
/// The rollups, unless others are named, with their block times.
pub(crate) const ROLLUPS: [(u64, &str); 3] = [(901, "250ms"), (902, "1s"), (903, "2s")];
/// The greatest age of a block of a followed rollup, unless another is given.
const FOLLOWED_AGE: &str = "30s";
/// The base fee of embedded rollups, in wei per gas.
pub(crate) const BASE_FEE: u64 = 1_000_000;

/// Runs a network until it is asked to end.
pub(crate) fn dev(args: &cli::Dev, json: bool) -> Result<(), LocalError> {
    let folder = Folder::new(args.dir.as_deref())?;
    let dir = folder.path().to_path_buf();
    let rollups = rollups(&args.rollups)?;
    let charges = charges(args)?;
    let mut network = LocalNetwork::create_with(
        &dir,
        args.sequencers,
        &rollups.named,
        charges.as_ref(),
        args.order.into(),
    )?;
    let anvils = development_chains(args, &dir, &rollups)?;
    if !rollups.views.is_empty() {
        let views = rollups.views.iter().map(|(chain_id, url)| format!("{chain_id}={url}"));
        let views = views.collect::<Vec<_>>().join(",");
        network.set(&[("views", toml::Value::String(views).to_string())])?;
    }
    if let Some(kind) = args.byzantine {
        network.corrupt(usize::from(args.sequencers) - 1, kind);
        warn_of_liar(&network);
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
                "byzantine": liar(args, &endpoints).map(|(liar, kind)| serde_json::json!({
                    "index": liar.index, "name": liar.name, "kind": kind.to_string(),
                })),
                "anvil": chains(&anvils),
            });
            println!("{document}");
        } else {
            print(&network, &endpoints);
            if let Some((liar, kind)) = liar(args, &endpoints) {
                println!("\nsequencer {} ({}) is Byzantine: {kind}", liar.index, liar.name);
            }
            println!("\nfor the trader's commands:\n");
            println!("  export FAIRVEIL_TRANSCRIPT={}", transcript.display());
            println!("  export FAIRVEIL_NETWORK={}", network.network_id());
            println!("  export FAIRVEIL_SEQUENCERS={}", urls.join(","));
            for anvil in &anvils {
                println!("\nrollup {} is the development chain {}", anvil.chain_id, anvil.url);
            }
            println!("\nto start a sequencer again that you killed:\n");
            println!("  fairveil node --config {}/NAME/node.toml", dir.display());
            println!("\nCtrl-C ends it.");
        }
        // Without the signal nothing ends it but the end of this process, or a development chain
        // that does not do what was released.
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Ok(()),
            error = deliver(&network, &endpoints, &anvils) => Err(error?),
        }
    })
}

/// The sequencer that lies, which is the last one, and how.
fn liar<'a>(
    args: &cli::Dev,
    endpoints: &'a [crate::process::Endpoints],
) -> Option<(&'a crate::process::Endpoints, ByzantineKind)> {
    endpoints.last().zip(args.byzantine)
}

/// Says so if the order of this network holds against no liar at all.
fn warn_of_liar(network: &LocalNetwork) {
    let proposal = network.definition.proposal();
    if proposal.f == 0 {
        eprintln!(
            "fairveil: f = 0 of {} sequencers: the fair order tolerates no liar, and the last one \
             lies; --sequencers 5 tolerates one",
            proposal.n
        );
    }
}

/// Starts the development chains, each with its rollup's genesis.
fn development_chains(
    args: &cli::Dev,
    dir: &Path,
    rollups: &Rollups,
) -> Result<Vec<Anvil>, LocalError> {
    let named = rollups.named.iter().map(|named| &named.rollup);
    let named = named.filter(|rollup| rollups.anvils.contains(&rollup.chain_id));
    let started = named.map(|rollup| {
        let genesis = genesis_file(&dir.join(GENESIS), rollup.chain_id);
        let genesis_s = rollup.blocks.map_or(0, |blocks| blocks.genesis_ms / 1_000);
        Anvil::start(&args.anvil, rollup.chain_id, &genesis, genesis_s, rollup.gas_limit)
    });
    started.collect()
}

fn chains(anvils: &[Anvil]) -> BTreeMap<u64, &str> {
    anvils.iter().map(|anvil| (anvil.chain_id, anvil.url.as_str())).collect()
}

/// Hands every slot to the development chains, for as long as they do what was released.
async fn deliver(
    network: &LocalNetwork,
    endpoints: &[crate::process::Endpoints],
    anvils: &[Anvil],
) -> Result<LocalError, LocalError> {
    if anvils.is_empty() {
        return std::future::pending().await;
    }
    let sequencers = endpoints.iter().map(|found| Endpoint::new(&found.http, CALL));
    let sequencers = sequencers.collect::<Result<Vec<_>, _>>();
    let sequencers = sequencers.map_err(|error| LocalError::Other(error.to_string()))?;
    Ok(Delivery::new(network.pinned()?, sequencers, anvils).await?.run().await)
}

/// What `--fee-per-byte` and its companions say; none if nothing is charged.
fn charges(args: &cli::Dev) -> Result<Option<Charges>, LocalError> {
    match (args.fee_per_byte, &args.deposits[..]) {
        (0, []) => Ok(None),
        (0, _) => Err(LocalError::Other("--deposit needs --fee-per-byte".into())),
        (fee, deposits) => {
            let adversary = args.byzantine.map_or_else(Vec::new, |_| adversary_deposits(args));
            let deposits: Vec<_> = deposits.iter().cloned().chain(adversary).collect();
            Charges::development(fee, args.rollup_share, &deposits).map(Some)
        }
    }
}

/// What an adversary pays for its own bundles with, at whatever index its keys will put it.
fn adversary_deposits(args: &cli::Dev) -> Vec<String> {
    let payers = SequencerIndex::all(args.sequencers).filter_map(fairveil_sequencer::attacker);
    payers.map(|secret| format!("{}:{DEVELOPMENT_WEI}", secret.payer())).collect()
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

/// The rollups of a development network.
pub(crate) struct Rollups {
    pub(crate) named: Vec<Named>,
    /// Those that are development chains.
    anvils: Vec<u64>,
    /// The nodes of those that others feed too, by chain id.
    views: BTreeMap<u64, String>,
}

/// What `--rollup KIND:CHAIN_ID,...` says, or the default: embedded rollups of 250 ms, 1 s and 2 s.
pub(crate) fn rollups(given: &[String]) -> Result<Rollups, LocalError> {
    let default;
    let given = if given.is_empty() {
        default = ROLLUPS.map(|(chain_id, time)| format!("embedded:{chain_id},block-time={time}"));
        &default[..]
    } else {
        given
    };
    let mut arguments = Vec::with_capacity(given.len());
    let (mut simulated, mut anvils, mut views) = (Vec::new(), Vec::new(), BTreeMap::new());
    for argument in given {
        let (kind, rest) = argument.split_once(':').unwrap_or((argument, ""));
        let chain_id = rest.split(',').next().unwrap_or_default();
        let mut argument = format!("rollup-{chain_id}:{rest}");
        match kind {
            "embedded" => simulated.push((chain_id.to_owned(), BASE_FEE)),
            "anvil" => {
                // A base fee of 0 stays what it is, whatever the blocks hold.
                simulated.push((chain_id.to_owned(), 0));
                anvils.extend(chain_id.parse::<u64>());
                if !rest.contains("block-time=") {
                    argument += ",block-time=1s";
                }
            }
            "followed" => {
                let (url, rest) = node_of(rest)?;
                views.extend(chain_id.parse::<u64>().map(|chain_id| (chain_id, url)));
                argument = format!("rollup-{chain_id}:{rest}");
                for (option, value) in [("block-time", "1s"), ("max-age", FOLLOWED_AGE)] {
                    if !rest.contains(&format!("{option}=")) {
                        argument += &format!(",{option}={value}");
                    }
                }
            }
            "recorder" => {}
            _ => {
                let why =
                    format!("--rollup {argument}: KIND is embedded, anvil, followed or recorder");
                return Err(LocalError::Other(why));
            }
        }
        arguments.push(argument);
    }
    // Slots begin at whole seconds, which is what development chains count in.
    let named = named(&arguments, now_ms() / 1_000 * 1_000);
    let mut named = named.map_err(|error| LocalError::Other(error.to_string()))?;
    for Named { rollup, genesis } in &mut named {
        let chain_id = rollup.chain_id.to_string();
        let simulated = simulated.iter().find(|(simulated, _)| *simulated == chain_id);
        if let (Some((_, base_fee)), None) = (simulated, &genesis) {
            embed(rollup, genesis, development_genesis(), *base_fee)?;
        }
    }
    anvils.sort_unstable();
    Ok(Rollups { named, anvils, views })
}

/// The option `url` of a followed rollup, and everything else.
fn node_of(rest: &str) -> Result<(String, String), LocalError> {
    let (mut url, mut others) = (None, Vec::new());
    for part in rest.split(',') {
        match part.strip_prefix("url=") {
            Some(found) => url = Some(found.to_owned()),
            None => others.push(part),
        }
    }
    let url = url.ok_or_else(|| {
        let why = format!("--rollup followed:{rest}: give its node, url=http://HOST:PORT");
        LocalError::Other(why)
    })?;
    Ok((url, others.join(",")))
}

/// Lets a rollup begin with this genesis.
pub(crate) fn embed(
    rollup: &mut Rollup,
    genesis: &mut Option<Vec<u8>>,
    document: Vec<u8>,
    base_fee: u64,
) -> Result<(), LocalError> {
    let state = parse_genesis(&document).map_err(|error| LocalError::Other(error.to_string()))?;
    rollup.state = Some(RollupState::Embedded { genesis: state.digest(), base_fee });
    *genesis = Some(document);
    Ok(())
}

fn development_genesis() -> Vec<u8> {
    document(DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI, &[])
}
