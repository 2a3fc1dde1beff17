//! `fairveil keygen`: the files that operators exchange before a ceremony, and its transcript.

mod ceremony;
mod definition;
mod reshare;
mod transcript;

use std::path::Path;

use fairveil_crypto::{ConsensusSecret, Digest};
use fairveil_keygen::{
    DealingSecret, Definition, Member, NetworkPublicKey,
    definition::{Address, MAX_BYTES},
    keystore::{self, ScryptCost, SequencerKeys},
};
use serde_json::json;

use self::definition::{Fairness, Numbers};
use super::{
    disk::{self, Readers},
    error::CommandError,
};
use crate::{
    cli::{self, exit},
    config::Config,
    process::{self, KeystoreFile, NodeError, keys_folder, new_passphrase, passphrase, random},
};

/// Runs a command about keys; the exit code.
pub(crate) fn run(args: &cli::Keygen, json: bool) -> Result<u8, CommandError> {
    match args {
        cli::Keygen::Identity {
            name,
            address,
            trader_address,
            rpc_address,
            out,
            password_file,
            light,
            renew,
        } => {
            let addresses = [address, trader_address, rpc_address].map(Clone::clone);
            let cost = match (light, renew) {
                (_, true) => Make::DealingKey,
                (true, false) => Make::Keystore(ScryptCost::Light),
                (false, false) => Make::Keystore(ScryptCost::Standard),
            };
            identity(name, addresses, out, password_file.as_deref(), cost, json)
        }
        cli::Keygen::Propose {
            members,
            f,
            g,
            order,
            rollups,
            step_seconds,
            revealed_limit,
            out,
            ..
        } => {
            let accounting = definition::accounting(args)?;
            let step_ms = step_seconds.saturating_mul(1_000);
            let revealed_limit = revealed_limit.unwrap_or(*f);
            let mode = (*order).into();
            let numbers = Numbers { f: *f, g: *g, mode, step_ms, revealed_limit, accounting };
            definition::propose(members, &numbers, rollups, out, json)
        }
        cli::Keygen::Reshare { succession, f, g } => {
            definition::succeed(succession, Fairness::Given { f: *f, g: *g }, json)
        }
        cli::Keygen::Refresh { succession } => {
            definition::succeed(succession, Fairness::Same, json)
        }
        cli::Keygen::Approve { definition, digest, keystore, password_file, transcript, out } => {
            let keys = Keys { keystore, password_file: password_file.as_deref() };
            definition::approve(definition, digest, &keys, transcript.as_deref(), out, json)
        }
        cli::Keygen::Run { settings, round, sequencers, .. } if !sequencers.is_empty() => {
            reshare::run(&settings.0, *round, sequencers, json)
        }
        cli::Keygen::Run { config, settings, round, crash_in, .. } => {
            let config = configuration(config.as_deref(), settings)?;
            ceremony::run(&config, *round, *crash_in, json)
        }
        cli::Keygen::Status { config, settings } => {
            ceremony::status(&configuration(config.as_deref(), settings)?, json)
        }
        cli::Keygen::Verify { transcript, network } => {
            transcript::verify(transcript, network.as_deref(), json)
        }
    }
}

fn configuration(
    file: Option<&Path>,
    settings: &cli::SettingFlags,
) -> Result<Config, CommandError> {
    Ok(process::config(file, &settings.0).map_err(NodeError::from)?)
}

/// What `identity` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    /// A keystore with all keys.
    Keystore(ScryptCost),
    /// A dealing key for another ceremony, into the keystore that is there.
    DealingKey,
}

fn identity(
    name: &str,
    [peer_address, trader_address, rpc_address]: [Address; 3],
    out: &Path,
    password_file: Option<&Path>,
    make: Make,
    json: bool,
) -> Result<u8, CommandError> {
    let passphrase = match make {
        Make::Keystore(_) => new_passphrase(password_file)?,
        Make::DealingKey => passphrase(password_file)?,
    };
    std::fs::create_dir_all(out).map_err(|error| CommandError::file(out, &error))?;
    let (secret, public) = (out.join("keystore.json"), out.join("member.json"));
    let dealing = DealingSecret::from_seed(&random()?);
    let [consensus, network] = match make {
        Make::Keystore(cost) => {
            let keys = SequencerKeys::new(
                ConsensusSecret::from_seed(random()?),
                ConsensusSecret::from_seed(random()?),
            );
            let public = [keys.consensus.public_key(), keys.network.public_key()];
            KeystoreFile::create(&secret, passphrase, cost, keys, &dealing)?;
            public
        }
        Make::DealingKey => {
            let (file, mut keys) = KeystoreFile::open(&secret, passphrase)?;
            file.add_dealing(&mut keys, &dealing)?;
            [keys.consensus.public_key(), keys.network.public_key()]
        }
    };
    let member = Member {
        name: name.to_owned(),
        consensus,
        network: NetworkPublicKey::from_bytes(network.to_bytes()),
        dealing: dealing.public_key(),
        peer_address,
        trader_address,
        rpc_address,
    };
    disk::write(&public, &pretty(&member)?, Readers::All)?;
    let settings = out.join("node.toml");
    let new = !settings.exists();
    if new {
        disk::write(&settings, node_toml(password_file).as_bytes(), Readers::All)?;
    }
    if json {
        let value =
            json!({ "keystore": secret, "member": public, "config": settings, "keys": member });
        println!("{value}");
        return Ok(exit::OK);
    }
    println!("{name}, consensus key {}", member.consensus);
    println!("  {}  secret, encrypted", secret.display());
    println!("  {}  secret: part of the keystore", keys_folder(&secret).display());
    println!("  {}  public: send it to whoever proposes the definition", public.display());
    if new {
        println!("  {}  settings of this member's node", settings.display());
    }
    if make == Make::Keystore(ScryptCost::Light) {
        println!("  made with a light scrypt setting: only for networks that don't matter");
    }
    Ok(exit::OK)
}

/// Settings of a node whose files stand in one folder.
fn node_toml(password_file: Option<&Path>) -> String {
    let passphrase = match password_file.map(std::path::absolute) {
        Some(Ok(path)) => {
            let path = toml::Value::String(path.display().to_string());
            format!("passphrase_file = {path}\n")
        }
        _ => String::new(),
    };
    format!(
        "# Paths that are relative start at this file's folder; `fairveil config show --config FILE`\n\
         # prints every setting with its source.\n\
         data_dir = \"data\"\nkeystore = \"keystore.json\"\n{passphrase}\
         definition = \"definition.toml\"\napprovals = \"approvals\"\n"
    )
}

/// A member's keystore and how it is opened.
pub(super) struct Keys<'a> {
    pub(super) keystore: &'a Path,
    pub(super) password_file: Option<&'a Path>,
}

impl Keys<'_> {
    pub(super) fn open(&self) -> Result<SequencerKeys, CommandError> {
        let bytes = disk::read_secret(self.keystore, keystore::MAX_BYTES)?;
        let passphrase = passphrase(self.password_file)?;
        keystore::open(&bytes, &passphrase)
            .map_err(|error| CommandError::file(self.keystore, &error))
    }
}

fn member(path: &Path) -> Result<Member, CommandError> {
    let bytes = disk::read(path, 1 << 16)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::file(path, &format!("not a member.json: {error}")))
}

fn read_definition(path: &Path) -> Result<Definition, CommandError> {
    let text = String::from_utf8(disk::read(path, MAX_BYTES)?)
        .map_err(|_| CommandError::file(path, &"not text"))?;
    Definition::from_toml(&text).map_err(|error| CommandError::file(path, &error))
}

/// The digest that the members read to each other: the whole one, never its short form.
pub(super) fn check_digest(actual: &Digest, given: &str) -> Result<(), CommandError> {
    let expected: Digest = given.parse().map_err(|error| {
        CommandError::Usage(format!(
            "--digest {given}: {error}; give the whole digest, 0x and 64 hex digits, as the other \
             members read it"
        ))
    })?;
    if *actual == expected {
        return Ok(());
    }
    Err(CommandError::Check(format!(
        "the file's digest is {actual}, the one that was read out is {expected}: somebody has \
         another definition; nothing was signed"
    )))
}

pub(super) fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>, CommandError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| CommandError::Check(error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
