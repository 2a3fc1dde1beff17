//! The checks of the demo: none lost, none half released, one order everywhere, all proven.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use fairveil_client::{Endpoint, PinnedNetwork, document::ending, rpc::State};
use fairveil_mempool::Policy;
use fairveil_release::document::{BatchDocument, BundleDocument, ReleaseDocument};
use serde_json::Value;

use super::{Check, traders::Traders};
use crate::{
    dev::ROLLUPS,
    local::{
        LocalError, LocalNetwork,
        clock::Clock,
        observer::{Ended, Observer},
    },
};

/// How long all sequencers may take to certify what is released.
const CERTIFIED: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Bundles whose documents the fresh process judges.
const SAMPLE: usize = 40;

/// All checks.
pub(crate) async fn all(
    network: &LocalNetwork,
    pinned: &PinnedNetwork,
    endpoints: &[Endpoint],
    honest: &[usize],
    traders: &Traders,
    observer: &Observer,
    dir: &Path,
) -> Result<Vec<Check>, LocalError> {
    let last = wait_certified(endpoints, honest, traders, observer).await;
    let mut checks = vec![admitted(traders), none_lost(traders, observer)];
    let (released, documents) = proven(pinned, &endpoints[honest[0]], traders).await;
    checks.push(released);
    let batches = batches(endpoints, honest, last).await?;
    checks.push(identical_batches(&batches));
    checks.push(identical_orders(endpoints, honest, last).await);
    checks.push(subsequences(&batches, observer));
    checks.push(atomic(&batches, traders));
    let files = write_files(dir, &batches, &documents, traders)?;
    checks.push(verified_offline(network, &files).await?);
    Ok(checks)
}

fn check(name: &str, passed: bool, detail: String) -> Check {
    Check { name: name.into(), passed, detail }
}

fn admitted(traders: &Traders) -> Check {
    let all = traders.submitted.len();
    let admitted = traders.submitted.iter().filter(|bundle| bundle.report.is_admitted()).count();
    let detail = match traders.faults.first() {
        Some(fault) => format!("{admitted} of {all}; a trader failed: {fault}"),
        None => format!("{admitted} of {all} with f + 1 verified receipts"),
    };
    check("every bundle is admitted", admitted == all && traders.faults.is_empty(), detail)
}

fn none_lost(traders: &Traders, observer: &Observer) -> Check {
    let (mut released, mut dropped, mut others, mut lost) = (0, 0, 0, 0);
    for bundle in traders.submitted.iter().filter(|bundle| bundle.report.is_admitted()) {
        match observer.seen(&bundle.id()).ended {
            Some(Ended { state: State::Released, .. }) => released += 1,
            Some(Ended { code: Some(code), .. }) if code.starts_with("leg_failed") => dropped += 1,
            Some(_) => others += 1,
            None => lost += 1,
        }
    }
    let detail = format!(
        "{released} released, {dropped} dropped by policy execute, {others} failed otherwise or \
         expired, {lost} lost"
    );
    let passed = lost == 0 && others == 0 && dropped == 1 && released > 0;
    check("no bundle is lost", passed, detail)
}

/// Every bundle's document, verified here with the transactions that were sealed.
async fn proven(
    pinned: &PinnedNetwork,
    endpoint: &Endpoint,
    traders: &Traders,
) -> (Check, Vec<BundleDocument>) {
    let mut documents = Vec::new();
    let mut fault = None;
    for bundle in &traders.submitted {
        let params = vec![Value::from(bundle.id())];
        let document: BundleDocument = match endpoint.call("fairveil_release", params).await {
            Ok(document) => document,
            Err(error) => {
                fault = Some(format!("{}: {error}", bundle.id()));
                continue;
            }
        };
        let id = bundle.sealed.id();
        match ending(pinned, &document, &id, Some(&bundle.bundle)) {
            Ok(_) => documents.push(document),
            Err(error) => fault = Some(format!("{id}: {error}")),
        }
    }
    let all = traders.submitted.len();
    let detail = fault.unwrap_or_else(|| format!("{} of {all}", documents.len()));
    (check("every outcome is proven", documents.len() == all, detail), documents)
}

/// Waits until all honest sequencers have certified the heights that the demo speaks of; the
/// height up to which all have.
async fn wait_certified(
    endpoints: &[Endpoint],
    honest: &[usize],
    traders: &Traders,
    observer: &Observer,
) -> u64 {
    let highest = traders
        .submitted
        .iter()
        .filter_map(|bundle| observer.seen(&bundle.id()).ended)
        .map(|ended| ended.height)
        .max()
        .unwrap_or(0);
    let clock = Clock::start();
    let mut least = 0;
    while clock.ms() < u64::try_from(CERTIFIED.as_millis()).unwrap_or(u64::MAX) {
        least = u64::MAX;
        for at in honest {
            least = least.min(certified(&endpoints[*at]).await);
        }
        if least >= highest {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    least
}

async fn certified(endpoint: &Endpoint) -> u64 {
    let Ok(bytes) = endpoint.get("/metrics").await else { return 0 };
    String::from_utf8_lossy(&bytes)
        .lines()
        .find_map(|line| line.strip_prefix("fairveil_certified_height ")?.trim().parse().ok())
        .unwrap_or(0)
}

/// The batches of every rollup at every honest sequencer, up to a height.
type Batches = BTreeMap<u64, Vec<Vec<BatchDocument>>>;

async fn batches(
    endpoints: &[Endpoint],
    honest: &[usize],
    last: u64,
) -> Result<Batches, LocalError> {
    let mut all = Batches::new();
    for (chain_id, _) in ROLLUPS {
        for at in honest {
            let mut found = Vec::new();
            let mut from = 0;
            loop {
                let path = format!("/batches/{chain_id}?from={from}");
                let bytes = endpoints[*at]
                    .get(&path)
                    .await
                    .map_err(|error| LocalError::Other(error.to_string()))?;
                let page: Vec<BatchDocument> = serde_json::from_slice(&bytes)
                    .map_err(|error| LocalError::Other(format!("batches: {error}")))?;
                let Some(end) = page.last() else { break };
                from = end.release.height.get() + 1;
                found.extend(page.into_iter().filter(|one| one.release.height.get() <= last));
                if from > last {
                    break;
                }
            }
            all.entry(chain_id).or_default().push(found);
        }
    }
    Ok(all)
}

fn identical_batches(batches: &Batches) -> Check {
    let same = |a: &BatchDocument, b: &BatchDocument| a.release == b.release && a.batch == b.batch;
    let mut count = 0;
    let mut passed = true;
    for of_rollup in batches.values() {
        let Some((first, others)) = of_rollup.split_first() else { continue };
        count += first.len();
        passed &= others.iter().all(|other| {
            other.len() == first.len() && first.iter().zip(other).all(|(a, b)| same(a, b))
        });
    }
    let detail = format!("{count} batches and release roots at every honest sequencer");
    check("identical batches everywhere", passed && count > 0, detail)
}

async fn identical_orders(endpoints: &[Endpoint], honest: &[usize], last: u64) -> Check {
    let mut different = Vec::new();
    for height in 1..=last {
        let mut roots = BTreeSet::new();
        for at in honest {
            let found = endpoints[*at].get(&format!("/orders/{height}")).await.ok();
            let value = found.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let header = value.and_then(|value| value["headers"].as_array()?.last().cloned());
            roots.insert(header.map(|header| header["result_root"].to_string()));
        }
        if roots.len() != 1 || roots.contains(&None) {
            different.push(height);
        }
    }
    let detail = format!("{last} heights, {} differ", different.len());
    check("identical result roots everywhere", last > 0 && different.is_empty(), detail)
}

/// On each rollup the released sequence is the subsequence of the fair order.
fn subsequences(batches: &Batches, observer: &Observer) -> Check {
    let order = observer.order();
    let place: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let mut passed = true;
    let mut released = 0;
    for of_rollup in batches.values() {
        let Some(first) = of_rollup.first() else { continue };
        let places: Vec<_> = first
            .iter()
            .flat_map(|document| document.batch.bundles())
            .map(|(_, range)| place.get(range.id.to_string().as_str()).copied())
            .collect();
        released += places.len();
        passed &= places.iter().all(Option::is_some);
        passed &= places.windows(2).all(|pair| pair[0] < pair[1]);
    }
    let detail =
        format!("{released} legs on {} rollups, {} ordered ids", batches.len(), order.len());
    check("every rollup follows the fair order", passed && released > 0, detail)
}

/// All legs of a bundle in one slot, or none.
fn atomic(batches: &Batches, traders: &Traders) -> Check {
    let mut slots: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for (chain_id, of_rollup) in batches {
        for document in of_rollup.first().into_iter().flatten() {
            for (_, range) in document.batch.bundles() {
                let legs = slots.entry(range.id.to_string()).or_default();
                legs.insert(*chain_id, document.release.height.get());
            }
        }
    }
    let half = traders.submitted.iter().filter(|bundle| {
        let wanted: BTreeSet<u64> = bundle.bundle.legs().iter().map(|leg| leg.chain_id).collect();
        let found = slots.get(&bundle.id()).cloned().unwrap_or_default();
        let heights: BTreeSet<_> = found.values().collect();
        let rollups: BTreeSet<u64> = found.keys().copied().collect();
        let none = rollups.is_empty() && bundle.bundle.policy() == Policy::Execute;
        !none && rollups != wanted || heights.len() > 1
    });
    let half = half.count();
    check("no bundle is half released", half == 0, format!("{half} of {}", traders.submitted.len()))
}

/// Receipts, bundle documents and batches as files for the offline verifier.
fn write_files(
    dir: &Path,
    batches: &Batches,
    documents: &[BundleDocument],
    traders: &Traders,
) -> Result<Vec<PathBuf>, LocalError> {
    let folder = dir.join("proofs");
    let io = |source| LocalError::Io { what: folder.display().to_string(), source };
    std::fs::create_dir_all(&folder).map_err(io)?;
    let mut files = Vec::new();
    let mut write = |name: String, text: String| -> Result<(), LocalError> {
        let path = folder.join(name);
        #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
        std::fs::write(&path, text).map_err(io)?;
        files.push(path);
        Ok(())
    };
    for bundle in traders.submitted.iter().take(SAMPLE) {
        write(format!("{}.receipts.json", bundle.id()), bundle.report.file().to_json())?;
    }
    for document in documents.iter().take(SAMPLE) {
        let id = document.proof.leaf.id;
        let document = ReleaseDocument::Bundle(Box::new(document.clone()));
        write(format!("{id}.release.json"), json(&document)?)?;
    }
    for (chain_id, of_rollup) in batches {
        let with_bundles = of_rollup.first().into_iter().flatten();
        for one in with_bundles.filter(|one| !one.batch.is_empty()).take(SAMPLE) {
            let name = format!("batch-{chain_id}-{}.json", one.release.height);
            write(name, json(&ReleaseDocument::Batch(Box::new(one.clone())))?)?;
        }
    }
    Ok(files)
}

/// A fresh process judges the files, with nothing but the transcript and the network id.
async fn verified_offline(network: &LocalNetwork, files: &[PathBuf]) -> Result<Check, LocalError> {
    let program = std::env::current_exe()
        .map_err(|source| LocalError::Io { what: "this program".into(), source })?;
    let output = tokio::process::Command::new(program)
        .arg("verify")
        .arg("--transcript")
        .arg(network.transcript_file())
        .arg("--network")
        .arg(network.network_id())
        .args(files)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| LocalError::Io { what: "fairveil verify".into(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let refused = text.lines().find(|line| line.contains("REFUSED"));
    let detail = match refused {
        Some(line) => line.to_owned(),
        None => format!("{} files in a fresh process, {}", files.len(), output.status),
    };
    Ok(check("all certificates hold offline", output.status.success(), detail))
}

fn json(of: &impl serde::Serialize) -> Result<String, LocalError> {
    serde_json::to_string(of).map_err(|error| LocalError::Other(error.to_string()))
}
