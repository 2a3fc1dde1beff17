//! `fairveil backup` and `fairveil restore`.
//!
//! | in the archive | what it is |
//! |---|---|
//! | `manifest.json` | what else is in it: format, member, network, whether there is a journal |
//! | `keystore*.json`, `keystore.keys/` | the keystores, encrypted as they are, and the epoch keys |
//! | `definition.toml`, `approvals/`, `predecessor.json`, `genesis/`, `deposits.json` | what the members agreed on |
//! | `settings.toml` | the settings of the file that are no paths |
//! | `data/transcript.json`, `data/*.key` | the ceremony's result, the secrets of the endpoints |
//! | `data/state.redb`, `data/consensus/` | the **journal**: the own log, receipts and votes |
//!
//! # Invariants
//!
//! 1. A backup is of a node that doesn't run: the data folder is locked meanwhile, so the database and the
//!    engine's journal belong together.
//! 2. An archive has its name only once it is whole and synced; a restored folder only once the whole
//!    archive was authenticated.
//! 3. A restored data folder is marked before anything else is in it ([`crate::process::restored`]): the
//!    node signs nothing until the network is beyond all that the original can have signed.
//! 4. Without the journal nothing is restored unless a height is given below which nothing is signed.

mod archive;
mod files;

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::archive::{ArchiveError, Reader, Writer};
use super::error::CommandError;
use crate::{
    cli::{self, exit},
    config::Config,
    process::{self, lock_folder, new_passphrase, passphrase, random, restored},
};

const MANIFEST: &str = "manifest.json";
const SETTINGS: &str = "settings.toml";
const DATA: &str = "data";
const DATABASE: &str = "data/state.redb";
const FORMAT: u32 = 1;
/// log2 of scrypt's n: about a second and 256 MiB, or milliseconds.
const STANDARD_LOG_N: u8 = 18;
const LIGHT_LOG_N: u8 = 12;
const MAX_MANIFEST_BYTES: u64 = 1 << 16;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    /// The network that the definition makes.
    network_id: String,
    /// Whether the record of what was signed is in it.
    journal: bool,
    /// The files that follow.
    files: u64,
}

/// Makes an archive.
pub(crate) fn backup(args: &cli::Backup, json: bool) -> Result<u8, CommandError> {
    let config = process::config(args.config.as_deref(), &args.settings.0)
        .map_err(process::NodeError::from)?;
    if args.out.exists() {
        let why = "exists already and is not overwritten; name another, or move it away";
        return Err(CommandError::file(&args.out, &why));
    }
    let data = config.path("data_dir").unwrap_or_default();
    if !data.is_dir() {
        return Err(CommandError::file(&data, &"there is no such data folder"));
    }
    let _lock = lock_folder(&data)?;
    let journal = !args.without_journal;
    if journal && !data.join("state.redb").is_file() {
        let why =
            "there is no journal: this node never ran. --without-journal saves the keys alone";
        return Err(CommandError::file(&data.join("state.redb"), &why));
    }
    let found = files::found(&config, journal)?;
    let manifest = Manifest {
        format: FORMAT,
        network_id: files::network_id(&config)?,
        journal,
        files: found.len() as u64,
    };
    let passphrase = new_passphrase(args.password_file.as_deref())?;
    let log_n = if args.light { LIGHT_LOG_N } else { STANDARD_LOG_N };
    let temporary = with_suffix(&args.out, ".partial");
    let fault = |error: ArchiveError| CommandError::file(&args.out, &error);
    let written = (|| {
        let file = process::create_secret(&temporary)?;
        let mut writer = Writer::new(BufWriter::new(file), &passphrase, log_n, salt()?)?;
        put(&mut writer, MANIFEST, &serde_json::to_vec(&manifest).unwrap_or_default())?;
        put(&mut writer, SETTINGS, files::settings(&config).as_bytes())?;
        for (name, path) in &found {
            let file = open(path)?;
            let length = file.metadata()?.len();
            writer.add(name, length, &mut BufReader::new(file))?;
        }
        let file = writer.end()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        process::give_name(&temporary, &args.out)?;
        Ok(())
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(fault(error));
    }
    let bytes = fs::metadata(&args.out).map_or(0, |metadata| metadata.len());
    if json {
        println!("{}", json!({ "file": args.out, "bytes": bytes, "journal": journal }));
    } else {
        println!("{}: {bytes} bytes, {} files", args.out.display(), found.len());
        if journal {
            println!(
                "  with the journal; who restores it signs nothing until the network is beyond it"
            );
        } else {
            println!("  without the journal: restoring it takes a height to abstain until");
        }
    }
    Ok(exit::OK)
}

/// Unpacks an archive into a new folder.
pub(crate) fn restore(args: &cli::Restore, json: bool) -> Result<u8, CommandError> {
    let into = &args.into;
    if into.exists() {
        let why = "exists already; name a folder that doesn't";
        return Err(CommandError::file(into, &why));
    }
    let fault = |error: ArchiveError| CommandError::file(&args.archive, &error);
    let file = open(&args.archive).map_err(|error| fault(error.into()))?;
    let passphrase = passphrase(args.password_file.as_deref())?;
    let mut reader = Reader::new(BufReader::new(file), &passphrase).map_err(fault)?;
    let manifest = manifest(&mut reader).map_err(fault)?;
    if manifest.format != FORMAT {
        let why = format!("format {}, this program reads {FORMAT}", manifest.format);
        return Err(CommandError::file(&args.archive, &why));
    }
    if !manifest.journal && args.abstain_until.is_none() {
        let why = "it has no journal, so nothing says what this sequencer signed. Give --abstain-until a \
                   height that the network has not reached yet: nothing is signed below it";
        return Err(CommandError::file(&args.archive, &why));
    }
    let temporary = with_suffix(into, ".partial");
    let _ = fs::remove_dir_all(&temporary);
    let abstain_until = args.abstain_until.unwrap_or(0);
    let unpacked = unpack(&mut reader, &manifest, &temporary, abstain_until)
        .and_then(|()| Ok(process::give_name(&temporary, into)?));
    if let Err(error) = unpacked {
        let _ = fs::remove_dir_all(&temporary);
        return Err(fault(error));
    }
    shown(into, &manifest, abstain_until, json);
    Ok(exit::OK)
}

fn shown(into: &Path, manifest: &Manifest, abstain_until: u64, json: bool) {
    let config = into.join("node.toml");
    if json {
        let value = json!({
            "folder": into, "config": config, "network_id": manifest.network_id,
            "journal": manifest.journal, "abstain_until": abstain_until,
        });
        println!("{value}");
        return;
    }
    println!("{}: network {}", into.display(), manifest.network_id);
    println!("  Is the original gone for good, wherever it ran? Two of them are one that cheats.");
    match abstain_until {
        0 => {
            println!("  It signs nothing until the network is beyond all that the original signed.")
        }
        height => println!("  It signs nothing below height {height}."),
    }
    println!("  fairveil node --config {}", config.display());
}

fn manifest<R: std::io::Read>(reader: &mut Reader<R>) -> Result<Manifest, ArchiveError> {
    let damaged = ArchiveError::Damaged("it does not begin with a manifest");
    match reader.next_file()? {
        Some((name, length)) if name == Path::new(MANIFEST) && length <= MAX_MANIFEST_BYTES => {
            let mut text = Vec::new();
            reader.contents(length, &mut text)?;
            serde_json::from_slice(&text).map_err(|_| damaged)
        }
        _ => Err(damaged),
    }
}

fn unpack<R: std::io::Read>(
    reader: &mut Reader<R>,
    manifest: &Manifest,
    into: &Path,
    abstain_until: u64,
) -> Result<(), ArchiveError> {
    fs::create_dir_all(into.join(DATA))?;
    restored::write_mark(&into.join(DATA), abstain_until)?;
    let (mut names, mut settings) = (Vec::new(), String::new());
    while let Some((name, length)) = reader.next_file()? {
        if name == Path::new(SETTINGS) {
            let mut text = Vec::new();
            reader.contents(length.min(MAX_MANIFEST_BYTES), &mut text)?;
            settings = String::from_utf8_lossy(&text).into_owned();
            continue;
        }
        let path = into.join(&name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = process::create_secret(&path)?;
        reader.contents(length, &mut file)?;
        file.sync_all()?;
        names.push(name);
    }
    let journal = names.iter().any(|name| name == Path::new(DATABASE));
    if names.len() as u64 != manifest.files || journal != manifest.journal {
        return Err(ArchiveError::Damaged("it has other files than its manifest says"));
    }
    files::write_config(into, &names, &settings)?;
    files::sync_folders(into)?;
    Ok(())
}

fn put(writer: &mut Writer<BufWriter<File>>, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    writer.add(Path::new(name), bytes.len() as u64, &mut &bytes[..])
}

fn open(path: &Path) -> std::io::Result<File> {
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    File::open(path)
}

fn salt() -> std::io::Result<[u8; 32]> {
    random().map_err(std::io::Error::other)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}
