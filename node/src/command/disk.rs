//! The files of the commands.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::error::CommandError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody.
    All,
    /// Its owner alone.
    Owner,
}

impl Readers {
    const fn mode(self) -> u32 {
        match self {
            Self::All => 0o644,
            Self::Owner => 0o600,
        }
    }
}

/// The whole of a file of at most `limit_bytes`.
pub(crate) fn read(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, CommandError> {
    let fault = |error: std::io::Error| CommandError::file(path, &error);
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > limit_bytes as u64 {
        let why = format!("{length} bytes, at most {limit_bytes} are read");
        return Err(CommandError::file(path, &why));
    }
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    fs::read(path).map_err(fault)
}

/// The whole of a file that holds a secret: refused while others may read it.
pub(super) fn read_secret(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, CommandError> {
    let metadata = fs::metadata(path).map_err(|error| CommandError::file(path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("can be read by others (mode {mode:03o}); run chmod 600 on it");
        return Err(CommandError::file(path, &why));
    }
    read(path, limit_bytes)
}

/// Writes a file durably and all or nothing.
pub(super) fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), CommandError> {
    replace(path, bytes, readers).map_err(|error| CommandError::file(path, &error))
}

/// Writes a file that must not exist yet.
pub(super) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), CommandError> {
    if path.exists() {
        let why = "exists already and is not overwritten; name another, or move it away";
        return Err(CommandError::file(path, &why));
    }
    write(path, bytes, readers)
}

fn replace(path: &Path, bytes: &[u8], readers: Readers) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    let mut file =
        OpenOptions::new().create_new(true).write(true).mode(readers.mode()).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            OpenOptions::new().read(true).open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}
