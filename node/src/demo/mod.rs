//! `fairveil demo`: the whole story in one command, judged by its own checks.
//!
//! The rollups execute: embedded EVMs with blocks every 250 ms, 1 s and 2 s. Part 1: traders submit
//! sealed bundles while one sequencer is a front-runner, two of them with a leg that fails. Part 2:
//! sequencers are killed with SIGKILL under load, every second time while the victim leads. Then every
//! outcome is proven: by documents, by an offline verifier in a fresh process, and by comparing all
//! sequencers. The exit code is 0 only if every check passed.

mod accounts;
mod attack;
mod crash;
mod figures;
mod judge;
mod traders;

use std::{path::PathBuf, sync::Arc, time::Duration};

use fairveil_client::Endpoint;
use fairveil_mempool::Policy;
use serde::Serialize;

use crate::{
    cli::{self, ByzantineKind},
    local::{
        Folder, LocalError, LocalNetwork,
        clock::Clock,
        observer::Observer,
        workload::{self, Planned},
    },
};

/// How long the ceremony and the first blocks may take.
const START: Duration = Duration::from_secs(120);
/// How long everything that was admitted may take to end.
const SETTLE: Duration = Duration::from_secs(90);
/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// Sequencers of the demo.
const SEQUENCERS: u16 = 5;
/// Bundles a second in the first part.
const RATE: u64 = 20;

/// One check and its verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) detail: String,
}

/// Everything the demo found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    network_id: String,
    ceremony_ms: u64,
    timeline: Vec<traders::Timeline>,
    attack: attack::Comparison,
    crashes: Vec<crash::Crash>,
    figures: figures::Figures,
    checks: Vec<Check>,
    passed: bool,
}

/// Prints lines for people, or nothing with `--json`.
#[derive(Clone, Copy)]
pub(crate) struct Voice {
    quiet: bool,
}

impl Voice {
    pub(crate) fn say(self, line: impl AsRef<str>) {
        if !self.quiet {
            println!("{}", line.as_ref());
        }
    }
}

/// Runs the demo; true if every check passed.
pub(crate) fn demo(args: &cli::Demo, json: bool) -> Result<bool, LocalError> {
    let folder = Folder::new(args.keep.as_deref())?;
    let dir = folder.path().to_path_buf();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|source| LocalError::Io { what: "runtime".into(), source })?;
    let voice = Voice { quiet: json };
    let report = runtime.block_on(async {
        tokio::select! {
            report = run(args, dir, voice) => report,
            _ = tokio::signal::ctrl_c() => Err(LocalError::Other("interrupted".into())),
        }
    })?;
    if json {
        let text = serde_json::to_string(&report).map_err(|e| LocalError::Other(e.to_string()))?;
        println!("{text}");
    }
    Ok(report.passed)
}

/// Everything that traders will submit; the rollups begin with its senders funded.
struct Plans {
    /// Before sequencers are killed.
    quiet: Vec<Planned>,
    /// Two bundles with a leg that fails.
    failing: accounts::Failing,
    /// While sequencers are killed.
    stormy: Vec<Planned>,
}

impl Plans {
    fn new(args: &cli::Demo) -> Result<Self, LocalError> {
        let count = usize::try_from(args.bundles).unwrap_or(50);
        let during = args.rate * args.crashes * crash::EACH.as_secs();
        let during = usize::try_from(during).unwrap_or(usize::MAX);
        Ok(Self {
            quiet: workload::plan(args.seed, count, RATE),
            failing: accounts::failing(args.seed.wrapping_add(2))?,
            stormy: workload::plan(args.seed.wrapping_add(1), during, args.rate),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Planned> {
        let failing = [&self.failing.execute, &self.failing.include];
        self.quiet.iter().chain(failing).chain(&self.stormy)
    }
}

/// Submits both; their policies and ids.
async fn submit_failing(
    traders: &mut traders::Traders,
    failing: &accounts::Failing,
) -> Vec<(Policy, String)> {
    let mut ids = Vec::new();
    for planned in [&failing.execute, &failing.include] {
        let before = traders.submitted.len();
        traders.submit_all(vec![planned.clone()]).await;
        let id = traders.submitted.get(before).map(traders::Submitted::id);
        ids.extend(id.map(|id| (planned.bundle.policy(), id)));
    }
    ids
}

async fn run(args: &cli::Demo, dir: PathBuf, voice: Voice) -> Result<Report, LocalError> {
    voice.say(
        "Fairveil demo: 5 sequencers as processes on loopback; rollups 901, 902, 903 are embedded \
         EVMs with blocks every 250 ms, 1 s and 2 s",
    );
    let plans = Plans::new(args)?;
    let rollups = accounts::rollups(plans.all())?;
    let mut network = LocalNetwork::create(&dir, SEQUENCERS, &rollups)?;
    let attacker = usize::from(SEQUENCERS) - 1;
    network.corrupt(attacker, ByzantineKind::FRONT_RUNNER);
    let clock = Clock::start();
    network.start_all()?;
    let endpoints = network.all_ready(START).await?;
    let ceremony_ms = clock.ms();
    let pinned = Arc::new(network.pinned()?);
    let urls: Vec<_> = endpoints
        .iter()
        .map(|found| Endpoint::new(&found.http, CALL))
        .collect::<Result<_, _>>()
        .map_err(|error| LocalError::Other(error.to_string()))?;
    voice.say(format!(
        "ceremony: key {} made by {} sequencers in {ceremony_ms} ms; any {} open, nobody holds it",
        pinned.committee().key_id(),
        endpoints.len(),
        pinned.committee().t(),
    ));
    let observer = Observer::start(&urls, clock);
    let mut traders = traders::Traders::new(Arc::clone(&pinned), urls.clone(), clock);

    voice.say(format!(
        "\npart 1: {} sealed bundles; sequencer {} ({}) is a front-runner",
        args.bundles,
        attacker + 1,
        network.sequencers[attacker].name,
    ));
    traders.submit_all(plans.quiet.clone()).await;
    let failing = submit_failing(&mut traders, &plans.failing).await;
    traders.settle(&observer, SETTLE).await;
    let victims = traders.ids();
    let attack =
        attack::compare(&pinned, &urls, attacker, &victims, &observer, &traders, args.seed).await?;
    traders.print(voice, &observer);
    attack.print(voice);

    voice.say(format!(
        "\npart 2: honest sequencers are killed with SIGKILL, {} times, at {} bundles a second",
        args.crashes, args.rate
    ));
    let load = traders.start(plans.stormy.clone());
    let crashes =
        crash::storm(&mut network, &urls, attacker, args.crashes, args.seed, voice).await?;
    traders.finish(load).await;
    traders.settle(&observer, SETTLE).await;

    let mut checks = attack.checks();
    checks.extend(crashes.iter().map(crash::Crash::check));
    checks.push(crash::honoured(&crashes, &urls, &traders).await);
    let honest: Vec<_> = (0..urls.len()).filter(|at| *at != attacker).collect();
    checks.extend(judge::all(&network, &pinned, &urls, &honest, &traders, &observer, &dir).await?);
    checks.push(accounts::policies(&failing, &observer));
    let planned: Vec<_> = plans.all().cloned().collect();
    let reader = &urls[honest[0]];
    checks.push(accounts::balances(&urls, &honest, &planned, &traders, reader).await?);
    let figures = figures::Figures::of(&traders, &observer);
    figures.print(voice);
    voice.say("\nchecks:");
    for check in &checks {
        let verdict = if check.passed { "ok    " } else { "FAILED" };
        voice.say(format!("  {verdict} {}: {}", check.name, check.detail));
    }
    let passed = checks.iter().all(|check| check.passed);
    voice.say(if passed { "\nevery check passed" } else { "\nA CHECK FAILED" });
    Ok(Report {
        network_id: network.network_id(),
        ceremony_ms,
        timeline: traders.timelines(&observer),
        attack,
        crashes,
        figures,
        checks,
        passed,
    })
}
