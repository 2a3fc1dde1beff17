//! `fairveil node`: one sequencer as a process.
//!
//! Order of a start: configuration, the data folder's lock, the keystore, the definition with all
//! approvals, the network between sequencers, the database, the key ceremony if there is no key
//! share yet, then the sequencer with its trader and HTTP endpoints. Each failure is one line on
//! standard error, and nothing was signed before it.

mod ceremony;
mod custody;
mod epochs;
mod files;
mod join;
mod keystore;
mod metrics;
mod peers;
pub(crate) mod restored;
mod run;
mod settings;
mod traders;
mod views;

pub(crate) use ceremony::{
    CeremonyOptions, Progress,
    report::{Report, State},
};
pub(crate) use files::{
    Endpoints, approved, create_secret, give_name, keep_secret, lock_folder, new_passphrase,
    passphrase, random, write_public,
};
pub(crate) use keystore::{KeystoreFile, keys_folder};
pub(crate) use settings::resolve;

use std::collections::BTreeMap;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    cli,
    config::{Config, ConfigError},
};

/// Why a node stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: std::path::PathBuf, source: std::io::Error },
    #[error("{what} {path}: {why}")]
    Unusable { what: &'static str, path: std::path::PathBuf, why: String },
    #[error("the data folder {path} is in use by another process")]
    InUse { path: std::path::PathBuf },
    #[error("no passphrase: give a password file or FAIRVEIL_PASSPHRASE, or run it on a terminal")]
    NoPassphrase,
    #[error("the two passphrases differ; nothing was written")]
    PassphrasesDiffer,
    #[error("keystore {path}: {why}")]
    WrongKeystore { path: std::path::PathBuf, why: String },
    #[error("{path} can be read by others (mode {mode:03o}); run chmod 600 on it")]
    Readable { path: std::path::PathBuf, mode: u32 },
    #[error("approvals: {0}")]
    Approvals(#[from] fairveil_keygen::ApprovalError),
    #[error("the keystore's consensus key {key} is not a member's of the definition")]
    NotAMember { key: fairveil_crypto::ConsensusPublicKey },
    #[error("{what}: {why}")]
    Start { what: &'static str, why: String },
    #[error("the key ceremony {state}: {why}")]
    Ceremony { state: State, missing: Vec<String>, why: String },
    #[error(
        "the keystore holds no key share of epoch {epoch}: this sequencer took no part in its ceremony"
    )]
    NoShare { epoch: fairveil_crypto::Epoch },
    #[error("the key ceremony is not over; run again, this member goes on where it was")]
    Interrupted,
    #[error(transparent)]
    Stopped(#[from] fairveil_sequencer::StopReason),
}

impl NodeError {
    /// The exit code: the configuration and files are the operator's, the rest is a failed check.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Ceremony { state: State::Expired, .. } => cli::exit::EXPIRED,
            Self::Start { .. } | Self::Stopped(_) | Self::Ceremony { .. } | Self::Interrupted => {
                cli::exit::CHECK
            }
            _ => cli::exit::USAGE,
        }
    }
}

/// Resolves a node's configuration.
pub(crate) fn config(
    file: Option<&std::path::Path>,
    flags: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    Config::resolve(flags, |name| std::env::var(name).ok(), file)
}

/// Runs one sequencer until it stops.
pub(crate) fn node(args: &cli::Node) -> Result<(), NodeError> {
    let config = config(args.config.as_deref(), &args.settings.0)?;
    start_log(&config)?;
    if args.end_with_stdin {
        end_with_stdin();
    }
    if args.sign_at_once && !cfg!(feature = "adversaries") {
        let why = "this build has no adversaries: --sign-at-once needs the feature `adversaries`";
        return Err(NodeError::Start { what: "flag", why: why.into() });
    }
    let mark = if args.sign_at_once { restored::Mark::Ignored } else { restored::Mark::Obeyed };
    run::run(&config, run::Purpose::Sequence(args.byzantine), mark).map(|_| ())
}

/// Takes part in the key ceremony; how it ended.
pub(crate) fn run_ceremony(config: &Config, options: CeremonyOptions) -> Result<Report, NodeError> {
    start_log(config)?;
    let what = "key ceremony";
    run::run(config, run::Purpose::Ceremony(options), restored::Mark::Obeyed)?
        .ok_or_else(|| NodeError::Start { what, why: "it left no report".into() })
}

/// Ends the process, as a crash would, once standard input closes.
fn end_with_stdin() {
    #[expect(clippy::disallowed_methods, reason = "nothing else can watch a pipe until its end")]
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(cli::exit::OK));
    });
}

fn start_log(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(config.text("log"))
        .map_err(|_| config.invalid("log", "a filter such as info,fairveil_transport=debug"))?;
    let quiet = ["commonware_consensus=warn", "commonware_p2p=warn", "commonware_storage=warn"];
    let filter = quiet.iter().filter_map(|directive| directive.parse().ok()).fold(
        filter,
        |filter, directive| {
            if config.text("log").contains("commonware") {
                filter
            } else {
                filter.add_directive(directive)
            }
        },
    );
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first.
    let _ = match config.text("log_format") {
        "text" => builder.try_init(),
        "json" => builder.json().try_init(),
        _ => return Err(config.invalid("log_format", "text or json")),
    };
    Ok(())
}
