//! The files of a node: read with one clear line per fault, written atomically.

use std::{
    fs::{self, File, OpenOptions},
    io::{IsTerminal as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use fairveil_keygen::{
    Approval, ApprovedDefinition, Definition, Transcript, TranscriptError, VerifiedTranscript,
    keystore::Passphrase,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::NodeError;
use crate::config::Config;

/// Longest file that is read as a whole, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Where a passphrase may stand in the environment.
const PASSPHRASE_VARIABLE: &str = "FAIRVEIL_PASSPHRASE";

/// Where a running node listens; written into its data folder once it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// Process id.
    pub(crate) pid: u32,
    /// Index in the committee, from 1.
    pub(crate) index: u16,
    /// Name in the definition.
    pub(crate) name: String,
    /// UDP address for the other sequencers.
    pub(crate) peer: String,
    /// UDP address for traders.
    pub(crate) trader: String,
    /// URL of the JSON-RPC.
    pub(crate) http: String,
}

/// 32 fresh bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the node is where entropy comes from")]
    getrandom::fill(&mut bytes)
        .map_err(|error| NodeError::Start { what: "entropy", why: error.to_string() })?;
    Ok(bytes)
}

/// Holds the lock on a data folder until it is dropped.
pub(crate) struct FolderLock {
    _file: File,
}

/// Creates the data folder and locks it.
pub(crate) fn lock_folder(path: &Path) -> Result<FolderLock, NodeError> {
    let fault = |source| NodeError::File { what: "data folder", path: path.to_path_buf(), source };
    fs::create_dir_all(path).map_err(fault)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(NodeError::InUse { path: path.to_path_buf() }),
        Err(fs::TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// The whole of a file.
pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, NodeError> {
    let fault = |source| NodeError::File { what, path: path.to_path_buf(), source };
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > MAX_FILE_BYTES {
        let why = format!("{length} bytes, the limit is {MAX_FILE_BYTES}");
        return Err(NodeError::Unusable { what, path: path.to_path_buf(), why });
    }
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    fs::read(path).map_err(fault)
}

/// Writes a file that only its owner may read, durably and all or nothing.
pub(crate) fn keep_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write(path, bytes, 0o600)
}

/// Writes a public file, durably and all or nothing.
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write(path, bytes, 0o644)
}

/// A new file, or one that begins anew, that only its owner may read.
pub(crate) fn create_secret(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    give_name(&temporary, path)
}

/// Gives a whole file its name, durably.
pub(crate) fn give_name(new: &Path, path: &Path) -> std::io::Result<()> {
    fs::rename(new, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            OpenOptions::new().read(true).open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}

/// The passphrase of an existing file: from a password file, else the environment, else asked for on
/// the terminal.
pub(crate) fn passphrase(file: Option<&Path>) -> Result<Passphrase, NodeError> {
    match given_passphrase(file)? {
        Some(passphrase) => Ok(passphrase),
        None => asked_passphrase("Passphrase: "),
    }
}

/// The passphrase of a file that is made now: on a terminal it is asked for twice.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Passphrase, NodeError> {
    if let Some(passphrase) = given_passphrase(file)? {
        return Ok(passphrase);
    }
    let first = typed("New passphrase: ")?;
    if *first != *typed("The same again: ")? {
        return Err(NodeError::PassphrasesDiffer);
    }
    checked_passphrase(&first, Path::new("terminal"))
}

/// The passphrase from a password file or the environment, if one is given.
fn given_passphrase(file: Option<&Path>) -> Result<Option<Passphrase>, NodeError> {
    let (text, path) = match file {
        Some(path) => {
            let bytes = Zeroizing::new(read("passphrase", path)?);
            (Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()), path.to_path_buf())
        }
        None => match std::env::var(PASSPHRASE_VARIABLE) {
            Ok(text) => (Zeroizing::new(text), PathBuf::from(PASSPHRASE_VARIABLE)),
            Err(_) => return Ok(None),
        },
    };
    checked_passphrase(&text, &path).map(Some)
}

fn asked_passphrase(prompt: &str) -> Result<Passphrase, NodeError> {
    checked_passphrase(&typed(prompt)?, Path::new("terminal"))
}

/// What is typed on the terminal, which does not show it.
fn typed(prompt: &str) -> Result<Zeroizing<String>, NodeError> {
    if !std::io::stdin().is_terminal() {
        return Err(NodeError::NoPassphrase);
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|source| NodeError::File {
        what: "passphrase",
        path: PathBuf::from("terminal"),
        source,
    })
}

fn checked_passphrase(text: &str, path: &Path) -> Result<Passphrase, NodeError> {
    let trimmed = text.trim_end_matches(['\r', '\n']);
    Passphrase::new(trimmed).map_err(|error| NodeError::Unusable {
        what: "passphrase",
        path: path.to_path_buf(),
        why: error.to_string(),
    })
}

/// Refuses a file with a secret that others may read.
pub(super) fn refuse_readable(what: &'static str, path: &Path) -> Result<(), NodeError> {
    let fault = |source| NodeError::File { what, path: path.to_path_buf(), source };
    let mode = fs::metadata(path).map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NodeError::Readable { path: path.to_path_buf(), mode });
    }
    Ok(())
}

/// The definition with the approvals of all members; of a later epoch, with the transcript of the one
/// before.
pub(crate) fn approved(
    config: &Config,
) -> Result<(ApprovedDefinition, Option<VerifiedTranscript>), NodeError> {
    let path = config.path("definition").unwrap_or_default();
    let text = String::from_utf8_lossy(&read("definition", &path)?).into_owned();
    let unusable =
        |why: String| NodeError::Unusable { what: "definition", path: path.clone(), why };
    let definition = Definition::from_toml(&text).map_err(|error| unusable(error.to_string()))?;
    let folder = config.path("approvals").unwrap_or_default();
    let fault = |source| NodeError::File { what: "approvals", path: folder.clone(), source };
    let mut approvals = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(fault)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    files.sort();
    for path in files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let approval: Approval =
            serde_json::from_slice(&read("approval", &path)?).map_err(|error| {
                NodeError::Unusable { what: "approval", path: path.clone(), why: error.to_string() }
            })?;
        approvals.push(approval);
    }
    if definition.resharing().is_none() {
        return Ok((ApprovedDefinition::new(definition, approvals)?, None));
    }
    let Some(path) = config.path("predecessor") else {
        let why = "it is of a later epoch: set `predecessor` to the transcript of the one before";
        return Err(unusable(why.into()));
    };
    let unusable = |error: TranscriptError| {
        let (path, why) = (path.clone(), error.to_string());
        NodeError::Unusable { what: "predecessor", path, why }
    };
    let predecessor = Transcript::from_json(&read("predecessor", &path)?)
        .and_then(|transcript| transcript.verify())
        .and_then(|verified| verified.of_network(&definition.network_id()))
        .map_err(unusable)?;
    let approved = ApprovedDefinition::resharing(definition, approvals, predecessor.definition())?;
    Ok((approved, Some(predecessor)))
}

/// A secret that is made at the first start and stays the same.
pub(super) fn lasting_secret(path: &Path) -> Result<[u8; 32], NodeError> {
    let fault = |source| NodeError::File { what: "endpoint key", path: path.to_path_buf(), source };
    if !path.exists() {
        keep_secret(path, &random::<32>()?).map_err(fault)?;
    }
    let bytes = read("endpoint key", path)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| NodeError::Unusable {
        what: "endpoint key",
        path: path.to_path_buf(),
        why: format!("{} bytes, expected 32", bytes.len()),
    })
}
