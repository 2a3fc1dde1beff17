//! Concurrent traders: each seals its bundle here, submits it everywhere, and keeps its receipts.

use std::{sync::Arc, time::Duration};

use fairveil_client::{
    Endpoint, PinnedNetwork, network,
    seal::{Terms, seal},
    submission::{SubmissionReport, submit},
};
use fairveil_crypto::{
    BundleId,
    envelope::{PayerSecret, SealedBundle},
    seal::SealRandomness,
};
use fairveil_mempool::Bundle;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::Voice;
use crate::{
    local::{clock::Clock, observer::Observer, workload::Planned},
    process::random,
};

/// Heights for which a bundle may be ordered.
const WINDOW: u64 = 2_000;
/// Pause between two looks at what is still under way.
const POLL: Duration = Duration::from_millis(50);
/// Submissions of the same bytes while too few sequencers answer.
const TRIES: usize = 5;

/// One submitted bundle.
pub(crate) struct Submitted {
    pub(crate) bundle: Bundle,
    pub(crate) sealed: SealedBundle,
    pub(crate) report: SubmissionReport,
    pub(crate) sealed_ms: u64,
    pub(crate) admitted_ms: u64,
}

/// What became of a bundle, step by step, in milliseconds since the demo began.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Timeline {
    pub(crate) id: String,
    pub(crate) legs: usize,
    pub(crate) sealed_ms: u64,
    pub(crate) admitted_ms: u64,
    pub(crate) receipts: usize,
    pub(crate) ordered: Option<(u64, u64)>,
    pub(crate) ordered_ms: Option<u64>,
    pub(crate) ended: Option<String>,
    pub(crate) ended_ms: Option<u64>,
    pub(crate) rollups: Vec<u64>,
}

/// All traders of the demo.
pub(crate) struct Traders {
    network: Arc<PinnedNetwork>,
    endpoints: Vec<Endpoint>,
    clock: Clock,
    pub(crate) submitted: Vec<Submitted>,
    pub(crate) faults: Vec<String>,
}

/// Traders that are still submitting.
pub(crate) type Load = Vec<JoinHandle<Result<Submitted, String>>>;

impl Traders {
    pub(crate) fn new(network: Arc<PinnedNetwork>, endpoints: Vec<Endpoint>, clock: Clock) -> Self {
        Self { network, endpoints, clock, submitted: Vec::new(), faults: Vec::new() }
    }

    /// Starts a trader for every planned bundle.
    pub(crate) fn start(&self, plan: Vec<Planned>) -> Load {
        plan.into_iter()
            .map(|planned| {
                let (network, endpoints) = (Arc::clone(&self.network), self.endpoints.clone());
                let clock = self.clock;
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(planned.at_ms)).await;
                    trade(&network, &endpoints, clock, planned.bundle).await
                })
            })
            .collect()
    }

    /// Waits for all of them.
    pub(crate) async fn finish(&mut self, load: Load) {
        for trader in load {
            match trader.await {
                Ok(Ok(submitted)) => self.submitted.push(submitted),
                Ok(Err(fault)) => self.faults.push(fault),
                Err(error) => self.faults.push(error.to_string()),
            }
        }
    }

    /// Starts a trader for every planned bundle and waits for all of them.
    pub(crate) async fn submit_all(&mut self, plan: Vec<Planned>) {
        let load = self.start(plan);
        self.finish(load).await;
    }

    /// Waits until everything that was admitted has ended.
    pub(crate) async fn settle(&self, observer: &Observer, within: Duration) {
        let deadline = self.clock.ms() + u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        while self.clock.ms() < deadline {
            let open = self.submitted.iter().any(|bundle| {
                bundle.report.is_admitted() && observer.seen(&bundle.id()).ended.is_none()
            });
            if !open {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ids of all submitted bundles.
    pub(crate) fn ids(&self) -> Vec<BundleId> {
        self.submitted.iter().map(|bundle| bundle.sealed.id()).collect()
    }

    /// What became of each bundle.
    pub(crate) fn timelines(&self, observer: &Observer) -> Vec<Timeline> {
        self.submitted.iter().map(|bundle| bundle.timeline(observer)).collect()
    }

    pub(crate) fn print(&self, voice: Voice, observer: &Observer) {
        voice.say("  bundle      sealed admitted       ordered at      released");
        for line in self.timelines(observer) {
            let place = line.ordered.map_or("never".into(), |(h, p)| format!("{h}/{p}"));
            let ended = line.ended.clone().unwrap_or_else(|| "under way".into());
            let rollups: Vec<_> = line.rollups.iter().map(ToString::to_string).collect();
            voice.say(format!(
                "  {}… {:6} {:6} {} of {} {:>7} {:6} {:6} {ended} {}",
                &line.id[..10],
                line.sealed_ms,
                line.admitted_ms,
                line.receipts,
                self.endpoints.len(),
                place,
                line.ordered_ms.unwrap_or(0),
                line.ended_ms.unwrap_or(0),
                rollups.join("+"),
            ));
        }
    }
}

impl Submitted {
    pub(crate) fn id(&self) -> String {
        self.sealed.id().to_string()
    }

    fn timeline(&self, observer: &Observer) -> Timeline {
        let seen = observer.seen(&self.id());
        let ended = seen.ended.as_ref().map(|ended| match &ended.code {
            Some(code) => format!("failed({code})"),
            None => format!("{:?}", ended.state).to_lowercase(),
        });
        Timeline {
            id: self.id(),
            legs: self.bundle.legs().len(),
            sealed_ms: self.sealed_ms,
            admitted_ms: self.admitted_ms,
            receipts: self.report.receipts().len(),
            ordered: seen.ordered.map(|placed| (placed.height, placed.position)),
            ordered_ms: seen.ordered.map(|placed| placed.heard_ms),
            ended,
            ended_ms: seen.ended.map(|ended| ended.heard_ms),
            rollups: self.bundle.legs().iter().map(|leg| leg.chain_id).collect(),
        }
    }
}

async fn trade(
    pinned: &PinnedNetwork,
    endpoints: &[Endpoint],
    clock: Clock,
    bundle: Bundle,
) -> Result<Submitted, String> {
    let tip = network::tip(pinned, endpoints).await.map_err(|error| error.to_string())?;
    let sealed = {
        let (pinned, uniform) = (pinned.clone(), random().map_err(|e| e.to_string())?);
        let payer = PayerSecret::from_bytes(random().map_err(|e| e.to_string())?)
            .map_err(|error| error.to_string())?;
        let terms = Terms {
            valid_from: tip.height,
            expires_at: tip.height.saturating_add(WINDOW),
            payer_nonce: 0,
        };
        let randomness = SealRandomness::from_uniform(&uniform).map_err(|e| e.to_string())?;
        seal(&pinned, &terms, &payer, &bundle, randomness).map_err(|e| e.to_string())?
    };
    let sealed_ms = clock.ms();
    let mut report = submit(pinned, endpoints, &sealed).await;
    for _ in 1..TRIES {
        if report.is_admitted() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        report = submit(pinned, endpoints, &sealed).await;
    }
    Ok(Submitted { bundle, sealed, report, sealed_ms, admitted_ms: clock.ms() })
}
