//! `fairveil bench e2e`: a whole network on this machine under an open-loop load.
//!
//! Sequencers are processes of their own with real storage and real QUIC between them. Everything is
//! sealed before the load begins. A submission leaves at its planned instant, whether or not the
//! earlier ones were answered, and every wait counts from that instant: a slow network can't slow
//! down the load that measures it.

mod figures;
mod load;
mod usage;

use std::{path::PathBuf, sync::Arc, time::Duration};

use fairveil_benches::speed::busy_multiplication_us;
use fairveil_client::{Endpoint, PinnedNetwork};
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use serde::Serialize;

use self::{figures::Run, load::Load, usage::Usage};
use crate::{
    cli,
    local::{Folder, LocalError, LocalNetwork, clock::Clock, observer::Observer, workload},
};

/// How long the ceremony and the first blocks may take.
const START: Duration = Duration::from_secs(120);
/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// How long what was admitted may take to end after the last submission.
const SETTLE: Duration = Duration::from_secs(60);

/// What was measured, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    sequencers: u16,
    cores: usize,
    plaintext_bytes: usize,
    seconds: u64,
    seed: u64,
    byzantine: Option<String>,
    flood_per_second: Option<u64>,
    folder: PathBuf,
    load_average: String,
    runs: Vec<Run>,
    /// The most bundles released in a second of any run.
    saturation_per_second: f64,
}

/// Whether there are bundles as they are asked for.
pub(crate) fn check(args: &cli::EndToEnd) -> Result<(), LocalError> {
    let mut rng = ChaCha20Rng::seed_from_u64(args.seed);
    workload::bundle_of(&mut rng, args.bundle_bytes).map(drop)
}

/// Runs the benchmark; true if everything that was admitted was released.
pub(crate) fn e2e(args: &cli::EndToEnd, json: bool) -> Result<bool, LocalError> {
    let folder = Folder::new(args.dir.as_deref())?;
    let dir = folder.path().to_path_buf();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|source| LocalError::Io { what: "runtime".into(), source })?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = measure(args, dir, json) => report,
            _ = tokio::signal::ctrl_c() => Err(LocalError::Other("interrupted".into())),
        }
    })?;
    if json {
        let text = serde_json::to_string(&report).map_err(|e| LocalError::Other(e.to_string()))?;
        println!("{text}");
    } else {
        println!(
            "\nsaturation: {:.0} bundles released a second at most, on {} cores with the load \
             generator (load average {})",
            report.saturation_per_second, report.cores, report.load_average,
        );
    }
    Ok(report.runs.iter().all(Run::is_complete))
}

async fn measure(args: &cli::EndToEnd, dir: PathBuf, json: bool) -> Result<Report, LocalError> {
    let most = args.rates.iter().copied().max().unwrap_or(1);
    // A batch per height and no simulation: what is measured is the way to the release.
    let recorders = workload::ROLLUPS.map(|chain_id| format!("recorder:{chain_id}"));
    let rollups = crate::dev::rollups(&recorders)?;
    // All of the load comes from one address.
    let most = most + args.flood.unwrap_or(0);
    let settings = [("trader_rate", most * 2), ("trader_burst", most * 4)];
    let mut network = LocalNetwork::create(&dir, args.sequencers, &rollups.named)?;
    network.set(&settings.map(|(key, value)| (key, value.to_string())))?;
    if let Some(kind) = args.byzantine {
        network.corrupt(usize::from(args.sequencers) - 1, kind);
    }
    network.start_all()?;
    let endpoints = network.all_ready(START).await?;
    let pinned = Arc::new(network.pinned()?);
    let urls: Vec<_> = endpoints
        .iter()
        .map(|found| Endpoint::new(&found.http, CALL))
        .collect::<Result<_, _>>()
        .map_err(|error| LocalError::Other(error.to_string()))?;
    let pids: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.pid).collect();
    let clock = Clock::start();
    let observer = Observer::start(&urls, clock);
    let bench = Bench { pinned, urls, pids, clock, observer, dir: dir.clone() };
    let mut runs = Vec::new();
    for (number, rate) in (0u64..).zip(&args.rates) {
        if !json {
            println!("\n{rate} bundles a second for {} s", args.seconds);
        }
        let seed = args.seed.wrapping_add(number);
        let run = bench.run(args, *rate, seed).await?;
        if !json {
            run.print();
        }
        runs.push(run);
    }
    let saturation = runs.iter().map(Run::released_per_second).fold(0.0, f64::max);
    Ok(Report {
        sequencers: args.sequencers,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        plaintext_bytes: args.bundle_bytes,
        seconds: args.seconds,
        seed: args.seed,
        byzantine: args.byzantine.map(|kind| kind.to_string()),
        flood_per_second: args.flood,
        folder: dir,
        load_average: usage::load_average(),
        runs,
        saturation_per_second: saturation,
    })
}

/// A network that is measured.
struct Bench {
    pinned: Arc<PinnedNetwork>,
    urls: Vec<Endpoint>,
    pids: Vec<u32>,
    clock: Clock,
    observer: Observer,
    dir: PathBuf,
}

impl Bench {
    /// One rate, from sealing to the last release.
    async fn run(&self, args: &cli::EndToEnd, rate: u64, seed: u64) -> Result<Run, LocalError> {
        let load = Load::seal(self, rate, args.seconds, args.bundle_bytes, seed).await?;
        let flood = args.flood.map(|rate| load.flood(rate)).transpose()?;
        let multiplication_us = busy_multiplication_us();
        let before = Usage::read(self).await;
        let first_ms = self.clock.ms();
        let flood = async {
            match flood {
                Some(flood) => Some(flood.send(self).await),
                None => None,
            }
        };
        let (sent, flooded) = tokio::join!(load.send(self), flood);
        self.settle(&sent).await;
        let after = Usage::read(self).await;
        let usage = after.since(&before);
        let multiplication_us = f64::midpoint(multiplication_us, busy_multiplication_us());
        let sent = load::verified(self, sent);
        let flooded = flooded.map(|flood| {
            let flood = load::verified(self, flood);
            let rejected = flood.iter().filter(|sent| sent.rejected).count();
            (rejected, flood.len() - rejected)
        });
        let observer = &self.observer;
        Ok(Run::new(rate, first_ms, &sent, flooded, observer, usage, multiplication_us))
    }

    /// Waits until everything that was admitted has ended.
    async fn settle(&self, sent: &[load::Answered]) {
        let deadline = self.clock.ms() + u64::try_from(SETTLE.as_millis()).unwrap_or(u64::MAX);
        let open = |sent: &load::Answered| {
            sent.may_end(self) && self.observer.seen(&sent.id).ended.is_none()
        };
        while self.clock.ms() < deadline && sent.iter().any(open) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
