//! Which files make a sequencer, and where they stand after a restore.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fairveil_keygen::{Definition, definition::MAX_BYTES};

use super::{Config, DATA};
use crate::{
    command::{disk, error::CommandError},
    config::Source,
    process::keys_folder,
};

/// Settings that name files or folders: a restored node has them elsewhere.
const PATHS: [&str; 8] = [
    "data_dir",
    "keystore",
    "definition",
    "approvals",
    "predecessor",
    "genesis",
    "deposits",
    "passphrase_file",
];

/// Files of a data folder that are no part of a backup.
const LEFT_OUT: [&str; 4] = ["lock", "endpoints.json", "restored.json", "state.new"];

/// Names in the archive, and where their files stand.
pub(super) fn found(
    config: &Config,
    journal: bool,
) -> Result<Vec<(PathBuf, PathBuf)>, CommandError> {
    let mut found = Vec::new();
    for path in keystores(&config.path("keystore").unwrap_or_default())? {
        found.push((PathBuf::from(path.file_name().unwrap_or_default()), path));
    }
    epoch_keys(&config.path("keystore").unwrap_or_default(), &mut found)?;
    found.push(("definition.toml".into(), config.path("definition").unwrap_or_default()));
    if let Some(path) = config.path("predecessor") {
        found.push(("predecessor.json".into(), path));
    }
    if let Some(path) = config.path("deposits") {
        found.push(("deposits.json".into(), path));
    }
    for (name, key) in [("approvals", "approvals"), ("genesis", "genesis")] {
        let Some(folder) = config.path(key).filter(|folder| folder.is_dir()) else { continue };
        for path in entries(&folder)? {
            if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
                let file = path.file_name().unwrap_or_default().to_owned();
                found.push((Path::new(name).join(file), path));
            }
        }
    }
    let data = config.path("data_dir").unwrap_or_default();
    if journal {
        folder(&data, Path::new(DATA), &mut found)?;
    } else {
        let transcript = data.join("transcript.json");
        if transcript.is_file() {
            found.push((Path::new(DATA).join("transcript.json"), transcript));
        }
    }
    Ok(found)
}

/// The epoch keys, without which a keystore's share can't be had.
fn epoch_keys(keystore: &Path, found: &mut Vec<(PathBuf, PathBuf)>) -> Result<(), CommandError> {
    let folder = keys_folder(keystore);
    if !folder.is_dir() {
        return Ok(());
    }
    let name = PathBuf::from(folder.file_name().unwrap_or_default());
    for path in entries(&folder)? {
        if path.extension().is_some_and(|extension| extension == "key") {
            found.push((name.join(path.file_name().unwrap_or_default()), path));
        }
    }
    Ok(())
}

/// The keystore, and what stands beside it under a name that begins alike: those of other epochs.
fn keystores(keystore: &Path) -> Result<Vec<PathBuf>, CommandError> {
    disk::read_secret(keystore, fairveil_keygen::keystore::MAX_BYTES)?;
    let stem = keystore.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let folder = match keystore.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = entries(folder)?.into_iter().filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.is_file()
            && path.file_name() != keystore.file_name()
            && name.starts_with(&stem)
            && name.ends_with(".json")
    });
    Ok(std::iter::once(keystore.to_path_buf()).chain(beside).collect())
}

fn folder(
    from: &Path,
    name: &Path,
    found: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), CommandError> {
    for path in entries(from)? {
        let file = path.file_name().unwrap_or_default();
        let left_out = file.to_str().is_none_or(|file| {
            LEFT_OUT.contains(&file) || Path::new(file).extension().is_some_and(|e| e == "tmp")
        });
        if name == Path::new(DATA) && left_out {
            continue;
        }
        let name = name.join(file);
        if path.is_dir() {
            folder(&path, &name, found)?;
        } else if path.is_file() {
            found.push((name, path));
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let fault = |error: io::Error| CommandError::file(folder, &error);
    let read = fs::read_dir(folder).map_err(fault)?;
    let mut paths: Vec<PathBuf> = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    paths.sort();
    Ok(paths)
}

/// The network that the definition makes.
pub(super) fn network_id(config: &Config) -> Result<String, CommandError> {
    let path = config.path("definition").unwrap_or_default();
    let text = String::from_utf8(disk::read(&path, MAX_BYTES)?)
        .map_err(|_| CommandError::file(&path, &"not text"))?;
    let definition =
        Definition::from_toml(&text).map_err(|error| CommandError::file(&path, &error))?;
    Ok(definition.network_id().to_string())
}

/// The settings that are neither paths nor defaults, as they would stand in a file.
pub(super) fn settings(config: &Config) -> String {
    let mut text = String::new();
    for (key, value, source) in config.shown() {
        if source != Source::Default && !PATHS.contains(&key) && !value.is_empty() {
            text.push_str(&format!("{key} = {}\n", toml::Value::String(value.to_owned())));
        }
    }
    text
}

/// Writes the configuration of what was unpacked.
pub(super) fn write_config(into: &Path, names: &[PathBuf], settings: &str) -> io::Result<()> {
    let keystore = names.first().map(|name| name.display().to_string()).unwrap_or_default();
    let mut text = format!(
        "data_dir = \"{DATA}\"\nkeystore = {}\ndefinition = \"definition.toml\"\n\
         approvals = \"approvals\"\n",
        toml::Value::String(keystore)
    );
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    if has("predecessor.json") {
        text.push_str("predecessor = \"predecessor.json\"\n");
    }
    if has("genesis") {
        text.push_str("genesis = \"genesis\"\n");
    }
    if has("deposits.json") {
        text.push_str("deposits = \"deposits.json\"\n");
    }
    text.push_str(settings);
    crate::process::write_public(&into.join("node.toml"), text.as_bytes())
}

/// Makes the names in all folders durable.
pub(super) fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    super::open(folder)?.sync_all()
}
