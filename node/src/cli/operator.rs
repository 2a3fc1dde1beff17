//! The command lines of `fairveil backup`, `fairveil restore`, `fairveil check` and `fairveil man`.

use std::path::PathBuf;

use clap::Args;

use super::SettingFlags;

/// `fairveil backup`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Backup {
    /// Configuration file, TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to write the archive; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Only keystores, definition, approvals and transcript: restoring it takes a height to abstain until.
    #[arg(long)]
    pub(crate) without_journal: bool,
    /// File with the archive's passphrase; else FAIRVEIL_PASSPHRASE, else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A light scrypt setting, for networks that don't matter.
    #[arg(long)]
    pub(crate) light: bool,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// `fairveil restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    /// The archive that `backup` wrote.
    #[arg(long, value_name = "FILE")]
    pub(crate) archive: PathBuf,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// Sign nothing below this height. Required without a journal: a height that the network has not
    /// reached yet.
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) abstain_until: Option<u64>,
    /// File with the archive's passphrase; else FAIRVEIL_PASSPHRASE, else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// `fairveil check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Check {
    /// Configuration file, TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long a peer may take to answer, in milliseconds.
    #[arg(
        long,
        default_value_t = 3_000,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(100..=60_000)
    )]
    pub(crate) patience_ms: u64,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}
