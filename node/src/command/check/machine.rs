//! The machine: files, disk, processor.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fairveil_crypto::{
    Height, envelope::VerifiedBundle, seal::SealRandomness, share::PreparedShares,
};
use fairveil_keygen::{Membership, VerifiedTranscript};
use fairveil_mempool::{Bundle, Bytes, Leg, Policy, SealTerms, seal_bundle};

use super::{Good, Line, Verdict};
use crate::{
    config::Config,
    process::{NodeError, random},
};

/// Small durable writes that are timed.
const WRITES: usize = 64;
const WRITE_BYTES: usize = 4_096;
/// Every promise waits for one or two of them.
const MAX_P50: Duration = Duration::from_millis(20);
const MAX_P99: Duration = Duration::from_millis(100);
/// What an idle network writes in some weeks.
const MIN_FREE_BYTES: u64 = 5 << 30;
/// Bundles whose shares are timed, and the fewest shares a second.
const BUNDLES: usize = 64;
const MIN_SHARES_PER_SECOND: u64 = 300;

/// The checks that need no keys.
pub(super) fn lines(config: &Config) -> Vec<Line> {
    let data = config.path("data_dir").unwrap_or_default();
    let mut lines = vec![files(config, &data)];
    let folder = existing(&data);
    lines.push(sync(&folder));
    lines.push(space(&folder));
    lines
}

/// The folder, or the nearest one above it that there is.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn files(config: &Config, data: &Path) -> Line {
    let wanted = "secrets readable by their owner alone, the data folder writable by nobody else";
    let secrets = [config.path("passphrase_file"), Some(data.join("endpoint.key"))];
    let secrets = secrets.into_iter().flatten().map(|path| (path, 0o077));
    let folder = [(data.to_path_buf(), 0o022), (data.join("state.redb"), 0o022)];
    let wrong: Vec<String> = secrets
        .chain(folder)
        .filter_map(|(path, forbidden)| {
            let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
            (mode & forbidden != 0).then(|| format!("{} has mode {mode:03o}", path.display()))
        })
        .collect();
    match wrong.as_slice() {
        [] => Line::new(Verdict::Ok, "files", "modes are as they should be", wanted),
        wrong => Line::new(Verdict::Fail, "files", wrong.join(", "), wanted),
    }
}

fn sync(folder: &Path) -> Line {
    let wanted = format!(
        "p50 of {WRITES} synced writes of {WRITE_BYTES} bytes up to {MAX_P50:?}, p99 up to {MAX_P99:?}"
    );
    match timed_writes(folder) {
        Ok(mut times) => {
            times.sort_unstable();
            let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            let seen = format!("p50 {p50:.1?}, p99 {p99:.1?} in {}", folder.display());
            Line::judged(Good::when(|| p50 <= MAX_P50 && p99 <= MAX_P99), "sync", seen, &wanted)
        }
        Err(error) => {
            Line::new(Verdict::Fail, "sync", format!("{}: {error}", folder.display()), &wanted)
        }
    }
}

fn timed_writes(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let path = folder.join(format!(".check-{}", std::process::id()));
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    fs::remove_file(&path)?;
    let bytes = [0xa5; WRITE_BYTES];
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn space(folder: &Path) -> Line {
    let wanted = format!("at least {} GiB free", MIN_FREE_BYTES >> 30);
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let seen = format!("{} MiB free at {}", free >> 20, folder.display());
            Line::judged(Good::when(|| free >= MIN_FREE_BYTES), "space", seen, &wanted)
        }
        Err(error) => Line::new(Verdict::Fail, "space", error.to_string(), &wanted),
    }
}

/// How fast decryption shares are made, with as many threads as the node opens with.
pub(super) fn shares(
    config: &Config,
    membership: &Membership,
    transcript: &VerifiedTranscript,
) -> Line {
    let wanted = format!("at least {MIN_SHARES_PER_SECOND} decryption shares a second");
    match shares_per_second(config, membership, transcript) {
        Ok(rate) => {
            let good = Good::when(|| rate >= MIN_SHARES_PER_SECOND);
            Line::judged(good, "shares", format!("{rate} a second"), &wanted)
        }
        Err(why) => Line::new(Verdict::Fail, "shares", why, &wanted),
    }
}

fn shares_per_second(
    config: &Config,
    membership: &Membership,
    transcript: &VerifiedTranscript,
) -> Result<u64, String> {
    let threads = config.number("opening_threads", 1..=256, "1 to 256 threads");
    let threads = threads.map_err(|error| error.to_string())?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::try_from(threads).unwrap_or(1))
        .build()
        .map_err(|error| error.to_string())?;
    let bundles = (0..BUNDLES as u64)
        .map(|nonce| sealed(transcript, nonce))
        .collect::<Result<Vec<_>, _>>()?;
    let mut prepared = PreparedShares::new(&membership.share);
    let started = now();
    prepared.prepare_many(&membership.share, &bundles, &pool).map_err(|error| error.to_string())?;
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    Ok(BUNDLES as u64 * 1_000_000 / micros)
}

/// A bundle of no meaning, sealed to the committee's key; it never leaves this process.
fn sealed(transcript: &VerifiedTranscript, nonce: u64) -> Result<VerifiedBundle, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let entropy = |error: NodeError| error.to_string();
    let uniform: [u8; SealRandomness::UNIFORM_BYTES] = random().map_err(entropy)?;
    let payer = fairveil_crypto::envelope::PayerSecret::from_bytes(random().map_err(entropy)?)
        .map_err(|error| failed(&error))?;
    let (network_id, key) = (transcript.network_id(), transcript.committee().key());
    let (valid_from, expires_at) = (Height::new(1), Height::new(2));
    let terms = SealTerms { network_id, valid_from, expires_at, payer_nonce: nonce, class: None };
    let leg = Leg { chain_id: 1, transactions: vec![Bytes::from_static(&[2, 0xc0])] };
    let bundle = Bundle::new(Policy::Include, vec![leg]).map_err(|error| failed(&error))?;
    let randomness = SealRandomness::from_uniform(&uniform).map_err(|error| failed(&error))?;
    let sealed =
        seal_bundle(key, &terms, &payer, &bundle, randomness).map_err(|error| failed(&error))?;
    sealed.verify(&network_id, key).map_err(|error| failed(&error))
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "what is measured takes wall time")]
    Instant::now()
}
