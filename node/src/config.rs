//! Configuration of `fairveil node`: one table of settings, four sources.
//!
//! A value comes from the first of: a flag, the environment, the file, the default. The table
//! below is the only definition: flags, environment names, the file's keys, `config show` and the
//! reference in `docs/cli.md` are all derived from it. Unknown keys in the file are errors.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// One setting: its key, default and meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// The key in the file; the flag is the same with dashes, the environment variable is
    /// `FAIRVEIL_` and the key in capitals.
    pub(crate) key: &'static str,
    /// The default, as it would stand in the file; empty means required or unset.
    pub(crate) default: &'static str,
    /// Whether leaving it out is an error.
    pub(crate) required: Need,
    /// What it does, with its unit.
    pub(crate) help: &'static str,
}

/// Whether a setting must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Must be given by flag, environment or file.
    Required,
    /// Has a default, or may stay empty.
    Optional,
}

const fn required(key: &'static str, help: &'static str) -> Setting {
    Setting { key, default: "", required: Need::Required, help }
}

const fn optional(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, default, required: Need::Optional, help }
}

/// Every setting of a node.
pub(crate) const SETTINGS: &[Setting] = &[
    required("data_dir", "folder of this sequencer's database, consensus journal and transcript"),
    required("keystore", "keystore file with this sequencer's keys, mode 0600"),
    required("definition", "the committee's definition, TOML"),
    required("approvals", "folder with one approval file per member"),
    optional(
        "predecessor",
        "",
        "transcript of the epoch before, at a member that joins with a definition of a later epoch",
    ),
    optional(
        "genesis",
        "",
        "folder with CHAIN_ID.json, the genesis document of every rollup that is simulated or will join",
    ),
    optional(
        "views",
        "",
        "nodes of followed rollups, CHAIN_ID=URL,..., e.g. 901=http://127.0.0.1:8545",
    ),
    optional("deposits", "", "document of deposits, where the definition charges for bundles"),
    optional(
        "passphrase_file",
        "",
        "file with the keystore's passphrase; else FAIRVEIL_PASSPHRASE, else it is asked for on a terminal",
    ),
    optional("peer_listen", "", "UDP address for the other sequencers; the definition's if empty"),
    optional("trader_listen", "", "UDP address for traders (QUIC); the definition's if empty"),
    optional("http_listen", "", "TCP address for JSON-RPC and metrics; the definition's if empty"),
    optional("runtime_threads", "2", "threads of the runtime (consensus and I/O)"),
    optional("admission_threads", "1", "threads that verify proofs of submitted bundles"),
    optional("opening_threads", "1", "threads that combine decryption shares"),
    optional("pool_bundles", "20000", "sealed bundles held at once"),
    optional("pool_bytes", "268435456", "bytes of sealed bundles held at once"),
    optional("pool_bundles_per_payer", "256", "sealed bundles held at once for one payer"),
    optional("trader_rate", "400", "submissions a second accepted from one address"),
    optional("trader_burst", "800", "submissions accepted from one address in a burst"),
    optional(
        "retention_heights",
        "0",
        "heights whose orders, releases and shares are kept, at least 2048; 0 keeps all",
    ),
    optional("leader_timeout_ms", "2000", "wait for a leader's block, milliseconds"),
    optional("certification_timeout_ms", "3000", "wait for a view's certificate, milliseconds"),
    optional("quic_idle_ms", "3000", "a silent connection is closed after this, milliseconds"),
    optional("quic_gso", "true", "UDP segmentation offload"),
    optional("log", "info", "log filter, e.g. info,fairveil_transport=debug"),
    optional("log_format", "text", "text or json"),
];

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A command-line flag.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File,
    /// The table's default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid TOML: {message}")]
    Syntax { path: PathBuf, message: String },
    #[error("unknown key `{key}` in {path}; the nearest known key is `{nearest}`")]
    UnknownKey { key: String, path: PathBuf, nearest: &'static str },
    #[error("`{key}` in {path} must be a string, a whole number or true/false")]
    WrongKind { key: String, path: PathBuf },
    #[error("`{key}` is required: give --{flag}, {environment}, or the key in the file")]
    Missing { key: &'static str, flag: String, environment: String },
    #[error("`{key}` is {value:?} (from {source_of}), expected {expected}")]
    Invalid { key: &'static str, value: String, source_of: Source, expected: &'static str },
}

/// Every setting with its value and source.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, (String, Source)>,
    base: PathBuf,
}

impl Config {
    /// Resolves all settings; `flags` are those given on the command line, `environment` looks a
    /// variable up, `file` is the path of the configuration file.
    pub(crate) fn resolve(
        flags: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let from_file = match file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        let base =
            file.and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let found = flags
                .get(setting.key)
                .map(|v| (v.clone(), Source::Flag))
                .or_else(|| {
                    environment(&environment_name(setting.key)).map(|v| (v, Source::Environment))
                })
                .or_else(|| from_file.get(setting.key).map(|v| (v.clone(), Source::File)))
                .or_else(|| match setting.required {
                    Need::Optional => Some((setting.default.to_owned(), Source::Default)),
                    Need::Required => None,
                })
                .ok_or_else(|| ConfigError::Missing {
                    key: setting.key,
                    flag: flag_name(setting.key),
                    environment: environment_name(setting.key),
                })?;
            values.insert(setting.key, found);
        }
        Ok(Self { values, base })
    }

    /// Every setting in the table's order: key, value, source.
    pub(crate) fn shown(&self) -> Vec<(&'static str, &str, Source)> {
        SETTINGS
            .iter()
            .filter_map(|s| self.values.get(s.key).map(|(v, o)| (s.key, v.as_str(), *o)))
            .collect()
    }

    /// The value of `key` as text.
    pub(crate) fn text(&self, key: &'static str) -> &str {
        self.values.get(key).map_or("", |(v, _)| v.as_str())
    }

    /// The value of `key` as a path; relative ones start at the file's folder.
    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let (text, source) = self.values.get(key)?;
        if text.is_empty() {
            return None;
        }
        let path = PathBuf::from(text);
        Some(if path.is_relative() && *source == Source::File {
            self.base.join(path)
        } else {
            path
        })
    }

    /// The value of `key` as a whole number in `range`.
    pub(crate) fn number(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<u64, ConfigError> {
        let parsed = self.text(key).parse::<u64>().ok().filter(|n| range.contains(n));
        parsed.ok_or_else(|| self.invalid(key, expected))
    }

    /// The value of `key` as a socket address, if one is given.
    pub(crate) fn address(&self, key: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        match self.text(key) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(address) => Ok(Some(address)),
                Err(_) => Err(self.invalid(key, "an address such as 127.0.0.1:9000")),
            },
        }
    }

    /// The value of `key` as true or false.
    pub(crate) fn switch(&self, key: &'static str) -> Result<bool, ConfigError> {
        self.text(key).parse().map_err(|_| self.invalid(key, "true or false"))
    }

    /// The error that says what `key` should have been.
    pub(crate) fn invalid(&self, key: &'static str, expected: &'static str) -> ConfigError {
        let (value, source_of) =
            self.values.get(key).cloned().unwrap_or((String::new(), Source::Default));
        ConfigError::Invalid { key, value, source_of, expected }
    }
}

/// The flag of a key, without the leading dashes.
pub(crate) fn flag_name(key: &str) -> String {
    key.replace('_', "-")
}

/// The environment variable of a key.
pub(crate) fn environment_name(key: &str) -> String {
    format!("FAIRVEIL_{}", key.to_uppercase())
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax {
        path: path.to_path_buf(),
        message: e.message().to_owned(),
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|s| s.key == key) else {
            let nearest = nearest_key(&key);
            return Err(ConfigError::UnknownKey { key, path: path.to_path_buf(), nearest });
        };
        let text = match value {
            toml::Value::String(s) => s,
            toml::Value::Integer(i) => i.to_string(),
            toml::Value::Boolean(b) => b.to_string(),
            _ => return Err(ConfigError::WrongKind { key, path: path.to_path_buf() }),
        };
        values.insert(setting.key, text);
    }
    Ok(values)
}

fn nearest_key(key: &str) -> &'static str {
    SETTINGS
        .iter()
        .map(|s| s.key)
        .min_by_key(|known| edit_distance(known, key))
        .unwrap_or("data_dir")
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests prepare files")]

    use super::*;

    fn required_flags() -> BTreeMap<String, String> {
        ["data_dir", "keystore", "definition", "approvals"]
            .into_iter()
            .map(|k| (k.to_owned(), format!("/x/{k}")))
            .collect()
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("node.toml");
        std::fs::write(&file, "pool_bundles = 7\ntrader_rate = 8\nlog = \"warn\"\n")
            .expect("write");
        let mut flags = required_flags();
        flags.insert("pool_bundles".into(), "5".into());
        let environment = |name: &str| (name == "FAIRVEIL_TRADER_RATE").then(|| "6".to_owned());
        let config = Config::resolve(&flags, environment, Some(&file)).expect("valid");
        let source = |key| config.values[key].clone();
        assert_eq!(source("pool_bundles"), ("5".into(), Source::Flag));
        assert_eq!(source("trader_rate"), ("6".into(), Source::Environment));
        assert_eq!(source("log"), ("warn".into(), Source::File));
        assert_eq!(source("log_format"), ("text".into(), Source::Default));
    }

    #[test]
    fn unknown_key_names_the_nearest() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("node.toml");
        std::fs::write(&file, "pool_bundle = 7\n").expect("write");
        let error = Config::resolve(&required_flags(), |_| None, Some(&file)).expect_err("unknown");
        assert!(error.to_string().contains("the nearest known key is `pool_bundles`"), "{error}");
    }

    #[test]
    fn missing_key_says_how_to_give_it() {
        let error = Config::resolve(&BTreeMap::new(), |_| None, None).expect_err("missing");
        assert!(error.to_string().contains("--data-dir, FAIRVEIL_DATA_DIR"), "{error}");
    }

    #[test]
    fn keys_are_unique() {
        let mut keys: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SETTINGS.len());
    }
}
