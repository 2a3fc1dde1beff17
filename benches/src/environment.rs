//! Where a report was measured: machine, build, versions, seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a fact is that nobody could find out.
pub const UNKNOWN: &str = "unknown";
/// From which everything but the times follows.
pub const SEED: u64 = 1;

const DEBUG: &str = "debug";

const LOCK: &str = include_str!("../../Cargo.lock");
const TOOLCHAIN: &str = include_str!("../../rust-toolchain.toml");
/// Crates whose versions matter for a figure.
const CRATES: [&str; 7] = [
    "blst",
    "ed25519-consensus",
    "fairveil-crypto",
    "pairing",
    "rayon",
    "ring",
    "threshold_crypto",
];
/// Features of a processor that the code in question asks for.
const FLAGS: [&str; 9] =
    ["adx", "aes", "avx2", "avx512f", "bmi2", "sha_ni", "asimd", "sha2", "vaes"];

/// Where a report was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Model of the processor.
    pub cpu: String,
    /// Threads that can run at once.
    pub cores: usize,
    /// Those of its features that the code can use.
    pub cpu_flags: Vec<String>,
    /// Operating system and architecture.
    pub system: String,
    /// Toolchain, profile and target features of the build.
    pub build: String,
    /// The commit of the source, or [`UNKNOWN`].
    pub commit: String,
    /// Versions of crates.
    pub crates: BTreeMap<String, String>,
    /// The seed.
    pub seed: u64,
    /// Load averages over 1, 5 and 15 minutes before the first row.
    pub load_before: Vec<f64>,
    /// The same after the last row.
    pub load_after: Vec<f64>,
}

impl Environment {
    /// This machine and build, now.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = text(Path::new("/proc/cpuinfo")).unwrap_or_default();
        let profile = if cfg!(debug_assertions) { DEBUG } else { "release" };
        let toolchain = quoted(TOOLCHAIN, "channel").unwrap_or(UNKNOWN);
        let features = target_features();
        Self {
            cpu: field(&cpuinfo, "model name").unwrap_or(UNKNOWN).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            cpu_flags: cpu_flags(&cpuinfo),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            build: format!("rustc {toolchain}, {profile}, target features: {features}"),
            commit: commit().unwrap_or_else(|| UNKNOWN.to_owned()),
            crates: CRATES.iter().map(|name| ((*name).to_owned(), version(LOCK, name))).collect(),
            seed: SEED,
            load_before: load_average(),
            load_after: Vec::new(),
        }
    }
}

impl Environment {
    /// Whether the build was not optimised.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.build.contains(DEBUG)
    }
}

/// Load averages over 1, 5 and 15 minutes; none where the system does not tell.
#[must_use]
pub fn load_average() -> Vec<f64> {
    let text = text(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split_whitespace().take(3).filter_map(|number| number.parse().ok()).collect()
}

fn text(path: &Path) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark says where it ran")]
    let bytes = std::fs::read(path).ok()?;
    String::from_utf8(bytes).ok()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.trim_start().starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn cpu_flags(cpuinfo: &str) -> Vec<String> {
    let all = field(cpuinfo, "flags").or_else(|| field(cpuinfo, "Features")).unwrap_or_default();
    let has = |flag: &&&str| all.split_whitespace().any(|other| other == **flag);
    FLAGS.iter().filter(has).map(|flag| (*flag).to_owned()).collect()
}

/// What the compiler was allowed beyond the architecture's minimum. Libraries with assembler
/// choose at run time.
fn target_features() -> String {
    let features = [("adx", cfg!(target_feature = "adx")), ("avx2", cfg!(target_feature = "avx2"))];
    let on: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    if on.is_empty() { "the default ones".to_owned() } else { on.join(", ") }
}

/// The value of `name = "value"`.
fn quoted<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split('"').nth(1)
}

fn version(lock: &str, name: &str) -> String {
    let mut packages = lock.split("[[package]]");
    let found = packages.find(|package| quoted(package.trim_start(), "name") == Some(name));
    let version = found.and_then(|package| quoted(package.trim_start(), "version"));
    version.unwrap_or(UNKNOWN).to_owned()
}

/// What the build was told in `FAIRVEIL_COMMIT`, or what the folder of the source is at now.
fn commit() -> Option<String> {
    if let Some(commit) = option_env!("FAIRVEIL_COMMIT") {
        return Some(commit.to_owned());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    commit_of(&root.join(".git"))
}

/// The commit of a `.git`, which a worktree has as a file that names its folder.
fn commit_of(git: &Path) -> Option<String> {
    let folder = match text(git) {
        Some(file) => {
            let named = PathBuf::from(file.strip_prefix("gitdir:")?.trim());
            git.parent()?.join(named)
        }
        None => git.to_owned(),
    };
    let head = text(&folder.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else {
        return Some(head.trim().to_owned());
    };
    let common = match text(&folder.join("commondir")) {
        Some(common) => folder.join(common.trim()),
        None => folder.clone(),
    };
    let loose = text(&common.join(name)).map(|commit| commit.trim().to_owned());
    loose.or_else(|| {
        let packed = text(&common.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.ends_with(&format!(" {name}")))?;
        line.split_whitespace().next().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        for name in CRATES {
            assert_ne!(version(LOCK, name), UNKNOWN, "{name}");
        }
        assert_eq!(version(LOCK, "threshold_crypto"), "0.4.0");
        assert_eq!(version(LOCK, "no-such-crate"), UNKNOWN);
    }

    #[test]
    fn facts_are_read_from_what_the_system_tells() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A Fast One\nflags\t\t: fpu adx bmi2\n";
        assert_eq!(field(cpuinfo, "model name"), Some("A Fast One"));
        assert_eq!(cpu_flags(cpuinfo), ["adx", "bmi2"]);
        assert_eq!(
            quoted(TOOLCHAIN, "channel").map(|channel| channel.starts_with("1.")),
            Some(true)
        );
    }

    #[test]
    fn a_worktree_names_its_commit_as_a_checkout_does() {
        let here = commit().unwrap_or_else(|| UNKNOWN.to_owned());
        let is_hash = here.len() == 40 && here.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash || here == UNKNOWN, "{here}");
    }
}
