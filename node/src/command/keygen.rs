//! `fairveil keygen`: the files that operators exchange before a ceremony, and its transcript.

use std::path::{Path, PathBuf};

use fairveil_crypto::{ConsensusSecret, Digest, Epoch};
use fairveil_keygen::{
    Approval, DealingSecret, Definition, Deposits, Member, NetworkPublicKey, Proposal, Transcript,
    definition::{
        self, Accounting, Address, Blocks, Deadlines, MAX_BYTES, Ordering, VERSION, short_digest,
    },
    deposits::MAX_DEPOSITS_BYTES,
    keystore::{self, KeystoreRandomness, ScryptCost, SequencerKeys},
    transcript::MAX_BYTES as MAX_TRANSCRIPT_BYTES,
};
use serde_json::json;

use super::{
    disk::{self, Readers},
    error::CommandError,
    network::network_id,
};
use crate::{
    cli::{self, exit},
    process::{passphrase, random},
    rollups::{named, now_ms},
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
        } => {
            let cost = if *light { ScryptCost::Light } else { ScryptCost::Standard };
            let addresses = [address, trader_address, rpc_address].map(Clone::clone);
            identity(name, addresses, out, password_file.as_deref(), cost, json)
        }
        cli::Keygen::Propose { members, f, g, rollups, step_seconds, out, .. } => {
            let accounting = accounting(args)?;
            let step_ms = step_seconds.saturating_mul(1_000);
            let numbers = Numbers { f: *f, g: *g, step_ms, accounting };
            propose(members, &numbers, rollups, out, json)
        }
        cli::Keygen::Approve { definition, digest, keystore, password_file, out } => {
            let keys = Keys { keystore, password_file: password_file.as_deref() };
            approve(definition, digest, &keys, out, json)
        }
        cli::Keygen::Verify { transcript, network } => verify(transcript, network.as_deref(), json),
    }
}

fn identity(
    name: &str,
    [peer_address, trader_address, rpc_address]: [Address; 3],
    out: &Path,
    password_file: Option<&Path>,
    cost: ScryptCost,
    json: bool,
) -> Result<u8, CommandError> {
    let passphrase = passphrase(password_file)?;
    let keys = SequencerKeys {
        network: ConsensusSecret::from_seed(random()?),
        consensus: ConsensusSecret::from_seed(random()?),
        dealing: DealingSecret::from_seed(&random()?),
        membership: None,
    };
    let member = Member {
        name: name.to_owned(),
        consensus: keys.consensus.public_key(),
        network: NetworkPublicKey::from_bytes(keys.network.public_key().to_bytes()),
        dealing: keys.dealing.public_key(),
        peer_address,
        trader_address,
        rpc_address,
    };
    let randomness = KeystoreRandomness { salt: random()?, iv: random()?, uuid: random()? };
    let sealed = keystore::seal(&keys, &passphrase, cost, randomness);
    std::fs::create_dir_all(out).map_err(|error| CommandError::file(out, &error))?;
    let (secret, public) = (out.join("keystore.json"), out.join("member.json"));
    disk::write_new(&secret, &sealed, Readers::Owner)?;
    disk::write(&public, &pretty(&member)?, Readers::All)?;
    if json {
        println!("{}", json!({ "keystore": secret, "member": public, "keys": member }));
    } else {
        println!("{name}, consensus key {}", member.consensus);
        println!("  {}  secret, encrypted: back it up, give it to nobody", secret.display());
        println!("  {}  public: send it to whoever proposes the definition", public.display());
        if cost == ScryptCost::Light {
            println!("  made with a light scrypt setting: only for networks that don't matter");
        }
    }
    Ok(exit::OK)
}

/// What the members agree on besides themselves.
struct Numbers {
    f: u16,
    g: u16,
    step_ms: u64,
    accounting: Option<Accounting>,
}

/// What bundles cost by the definition that is proposed.
fn accounting(args: &cli::Keygen) -> Result<Option<Accounting>, CommandError> {
    let cli::Keygen::Propose { deposits: Some(path), fee_per_byte, rollup_share, .. } = args else {
        return Ok(None);
    };
    let document = disk::read(path, MAX_DEPOSITS_BYTES)?;
    let deposits = Deposits::from_json(&document)
        .map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))?;
    Ok(Some(Accounting {
        deposits: deposits.digest(),
        fee_per_byte: fee_per_byte.unwrap_or(0),
        rollup_share_percent: *rollup_share,
    }))
}

fn propose(
    members: &[PathBuf],
    numbers: &Numbers,
    rollups: &[String],
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let members = members.iter().map(|path| member(path)).collect::<Result<Vec<_>, _>>()?;
    let rollups = named(rollups, now_ms())?.into_iter().map(|named| named.rollup).collect();
    let &Numbers { f, g, step_ms, accounting } = numbers;
    let n =
        u16::try_from(members.len()).map_err(|_| CommandError::Usage("too many members".into()))?;
    let definition = Definition::new(Proposal {
        version: VERSION,
        epoch: Epoch::new(1),
        n,
        f,
        g,
        revealed_limit: 0,
        ordering: Ordering::default(),
        blocks: Blocks::default(),
        deadlines: Deadlines {
            deal_ms: step_ms,
            acknowledge_ms: step_ms,
            log_ms: step_ms,
            confirm_ms: step_ms,
        },
        accounting,
        rollups,
        members,
        resharing: None,
    })
    .map_err(|error| CommandError::Usage(error.to_string()))?;
    disk::write(out, definition.to_toml().as_bytes(), Readers::All)?;
    show_definition(&definition, out, json);
    Ok(exit::OK)
}

fn show_definition(definition: &Definition, path: &Path, json: bool) {
    let digest = definition.digest();
    let (n, t) = (definition.n(), definition.threshold());
    let Proposal { f, g, .. } = definition.proposal();
    let consensus_faults = definition.consensus_faults();
    if json {
        let value = json!({
            "file": path, "digest": digest, "short": short_digest(&digest), "n": n, "f": f,
            "g": g, "consensus_faults": consensus_faults, "t": t,
        });
        println!("{value}");
        return;
    }
    println!("{}", path.display());
    println!("  digest    {digest}");
    println!("  to read   {}", short_digest(&digest));
    println!("  n = {n}, f = {f}: the fair order holds against {f} liars, g = {g}");
    println!("  F = {consensus_faults}: blocks stay final against {consensus_faults} of {n}");
    println!("  t = {t}: any {t} of {n} open an ordered bundle, {} open nothing", t - 1);
    println!("  Every member: read the digest to the others, then fairveil keygen approve.");
}

fn approve(
    path: &Path,
    digest: &str,
    keys: &Keys<'_>,
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let definition = read_definition(path)?;
    check_digest(&definition.digest(), digest)?;
    let keys = keys.open()?;
    let key = keys.consensus.public_key();
    let Some(index) = definition.index_of(&key) else {
        return Err(CommandError::Usage(format!(
            "{}: the keystore's consensus key {key} is no member's; take part with another \
             keystore, or have the definition proposed again with your member.json",
            path.display()
        )));
    };
    let approval = Approval::new(&definition, &keys.consensus);
    disk::write(out, &pretty(&approval)?, Readers::All)?;
    let name = definition.member(index).map(|member| member.name.as_str()).unwrap_or_default();
    if json {
        println!("{}", json!({ "file": out, "digest": definition.digest(), "member": name }));
    } else {
        println!(
            "{name} approves {} ({})",
            definition.digest(),
            short_digest(&definition.digest())
        );
        println!("  {}: give it to every member", out.display());
    }
    Ok(exit::OK)
}

fn verify(path: &Path, network: Option<&str>, json: bool) -> Result<u8, CommandError> {
    let refused =
        |error: &dyn std::fmt::Display| CommandError::Check(format!("{}: {error}", path.display()));
    let expected = network.map(network_id).transpose()?;
    let bytes = disk::read(path, MAX_TRANSCRIPT_BYTES)?;
    let verified = Transcript::from_json(&bytes)
        .and_then(|transcript| transcript.verify())
        .and_then(|verified| match &expected {
            Some(expected) => verified.of_network(expected),
            None => Ok(verified),
        })
        .map_err(|error| refused(&error))?;
    let committee = verified.committee();
    let (result, confirmed) = (verified.result(), verified.confirmed().len());
    if json {
        let value = json!({
            "network_id": verified.network_id(), "committee_key": result.committee_key,
            "key_id": committee.key_id(), "n": committee.n(), "t": committee.t(),
            "effective_threshold": result.effective_threshold, "revealed": result.revealed,
            "confirmed": confirmed, "digest": verified.digest(),
            "pinned": expected.is_some(),
        });
        println!("{value}");
        return Ok(exit::OK);
    }
    println!("network       {}", verified.network_id());
    println!("committee key {}", result.committee_key);
    println!("key id        {}", committee.key_id());
    println!(
        "any {} of {} open together; {confirmed} members confirmed their shares",
        committee.t(),
        committee.n()
    );
    if !result.revealed.is_empty() {
        println!(
            "{} shares were revealed in the ceremony: {} more open it",
            result.revealed.len(),
            result.effective_threshold
        );
    }
    if expected.is_none() {
        println!("Nothing was pinned: compare the network id with one from whom you trust.");
    }
    Ok(exit::OK)
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
    definition::Definition::from_toml(&text).map_err(|error| CommandError::file(path, &error))
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
