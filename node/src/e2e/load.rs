//! The load: sealed beforehand, sent at planned instants.

use std::{sync::Arc, time::Duration};

use fairveil_client::{
    network,
    receipts::Verdict,
    seal::{Terms, seal},
    submission::{Answers, send as submit},
};
use fairveil_crypto::{
    Height,
    envelope::{Header, PayerSecret, SealedBundle, UnsignedBundle},
    seal::SealRandomness,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::Bench;
use crate::{
    local::{LocalError, workload},
    process::random,
};

/// Heights for which a bundle may be ordered.
const WINDOW: u64 = 20_000;

/// Sealed bundles that wait to be sent, `rate` a second.
pub(super) struct Load {
    rate: u64,
    sealed: Vec<SealedBundle>,
}

/// Bundles that cost a sequencer as much as others and are never admitted: each is signed by its
/// payer, and has a ciphertext whose proof was made for another header.
pub(super) struct Flood {
    rate: u64,
    bundles: Vec<SealedBundle>,
}

/// One bundle that was sent, and what was answered: its receipts are verified when the load is
/// over, as the machine is the sequencers' until then.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) id: String,
    planned_ms: u64,
    left_ms: u64,
    answered_ms: u64,
    answers: Answers,
}

impl Answered {
    /// Whether it will end, as far as that can be said now.
    pub(super) fn may_end(&self, bench: &Bench) -> bool {
        self.answers.receipts() >= bench.pinned.needed()
    }

    /// Verifies the receipts.
    fn verify(self, bench: &Bench) -> Sent {
        let Self { id, planned_ms, left_ms, answered_ms, answers } = self;
        let report = answers.verify(&bench.pinned);
        let (admitted, rejected) = (report.is_admitted(), report.verdict() == Verdict::Rejected);
        Sent { id, planned_ms, left_ms, answered_ms, admitted, rejected }
    }
}

/// Verifies all receipts, on all cores.
pub(super) fn verified(bench: &Bench, answered: Vec<Answered>) -> Vec<Sent> {
    answered.into_par_iter().map(|answered| answered.verify(bench)).collect()
}

/// One bundle that was sent. Times are of the benchmark's clock.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: String,
    /// When it was planned to leave.
    pub(super) planned_ms: u64,
    /// When it left.
    pub(super) left_ms: u64,
    /// When all sequencers had answered.
    pub(super) answered_ms: u64,
    /// Whether f+1 receipts verified.
    pub(super) admitted: bool,
    /// Whether sequencers refused it, rather than not answering.
    pub(super) rejected: bool,
}

impl Load {
    /// As many bundles whose proofs do not hold, for as long.
    pub(super) fn flood(&self, rate: u64) -> Result<Flood, LocalError> {
        let other = |error: &dyn std::fmt::Display| LocalError::Other(error.to_string());
        let model = self.sealed.first().ok_or_else(|| LocalError::Other("no load".into()))?;
        let payer = PayerSecret::from_bytes(random()?).map_err(|error| other(&error))?;
        let count = rate * self.sealed.len() as u64 / self.rate;
        let forged = |payer_nonce| {
            let header = Header { payer: payer.payer(), payer_nonce, ..*model.header() };
            let unsigned = UnsignedBundle::new(header, model.ciphertext().clone());
            let unsigned = unsigned.map_err(|error| other(&error))?;
            unsigned.sign(&payer).map_err(|error| other(&error))
        };
        let bundles: Result<_, LocalError> = (0..count).map(forged).collect();
        Ok(Flood { rate, bundles: bundles? })
    }

    /// Builds and seals everything, on all cores.
    pub(super) async fn seal(
        bench: &Bench,
        rate: u64,
        seconds: u64,
        plaintext_bytes: usize,
        seed: u64,
    ) -> Result<Self, LocalError> {
        let tip = network::tip(&bench.pinned, &bench.urls)
            .await
            .map_err(|error| LocalError::Other(error.to_string()))?;
        let pinned = Arc::clone(&bench.pinned);
        let work = move || {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let bundles: Vec<_> = (0..rate * seconds)
                .map(|_| workload::bundle_of(&mut rng, plaintext_bytes))
                .collect::<Result<_, _>>()?;
            let seal_one = |bundle: &fairveil_mempool::Bundle| {
                let other = |error: &dyn std::fmt::Display| LocalError::Other(error.to_string());
                let payer = PayerSecret::from_bytes(random()?).map_err(|error| other(&error))?;
                let terms = Terms {
                    valid_from: tip.height,
                    expires_at: Height::new(tip.height.get().saturating_add(WINDOW)),
                    payer_nonce: 0,
                };
                let randomness =
                    SealRandomness::from_uniform(&random()?).map_err(|error| other(&error))?;
                seal(&pinned, &terms, &payer, bundle, randomness).map_err(|error| other(&error))
            };
            bundles.par_iter().map(seal_one).collect::<Result<Vec<_>, LocalError>>()
        };
        let sealed = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| LocalError::Other(error.to_string()))??;
        Ok(Self { rate, sealed })
    }

    /// Sends everything, each at its instant, and waits for all answers.
    pub(super) async fn send(self, bench: &Bench) -> Vec<Answered> {
        send(bench, self.rate, self.sealed).await
    }
}

impl Flood {
    /// Sends everything, each at its instant.
    pub(super) async fn send(self, bench: &Bench) -> Vec<Answered> {
        send(bench, self.rate, self.bundles).await
    }
}

async fn send(bench: &Bench, rate: u64, bundles: Vec<SealedBundle>) -> Vec<Answered> {
    let first_ms = bench.clock.ms();
    let mut tasks = Vec::with_capacity(bundles.len());
    for (number, sealed) in (0u64..).zip(bundles) {
        let planned_ms = first_ms + number * 1_000 / rate;
        let wait = planned_ms.saturating_sub(bench.clock.ms());
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        let (pinned, urls) = (Arc::clone(&bench.pinned), bench.urls.clone());
        let clock = bench.clock;
        tasks.push(tokio::spawn(async move {
            let left_ms = clock.ms();
            let answers = submit(&pinned, &urls, &sealed).await;
            let (id, answered_ms) = (sealed.id().to_string(), clock.ms());
            Answered { id, planned_ms, left_ms, answered_ms, answers }
        }));
    }
    let mut answered = Vec::with_capacity(tasks.len());
    for task in tasks {
        // A task is lost only with this process.
        answered.extend(task.await.ok());
    }
    answered
}
