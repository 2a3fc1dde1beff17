//! SIGKILL under load: honest sequencers die at random instants, and while they lead.

use std::time::Duration;

use fairveil_client::{Endpoint, receipts, rpc::ReceiptInfo};
use fairveil_crypto::{SequencerIndex, certificate::OrderCertificate};
use fairveil_mempool::Receipt;
use rand::{Rng, SeedableRng, seq::IndexedRandom as _};
use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use serde_json::Value;

use super::{Check, Voice, traders::Traders};
use crate::{
    local::{LocalError, LocalNetwork, clock::Clock},
    rollups::now_ms,
};

/// Pause before each crash, at least and at most.
const BEFORE_MS: std::ops::Range<u64> = 1_500..3_000;
/// How long a killed sequencer stays down.
const DOWN: Duration = Duration::from_millis(700);
/// How long a crash, the restart and the pause before it take at most, on average.
pub(super) const EACH: Duration = Duration::from_secs(5);
/// How long a restarted sequencer may take to be ready.
const READY: Duration = Duration::from_secs(120);
/// How soon it must be ready and at the tip.
const READY_MS: u64 = 10_000;
/// How long the victim's turn is waited for.
const TURN: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(5);
/// Receipts of the last moments before a crash are counted apart, and must be honoured.
const LAST_MOMENTS_MS: u64 = 1_000;

/// One crash.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Crash {
    sequencer: String,
    index: u16,
    leading: bool,
    killed_at_ms: u64,
    dead_at_ms: u64,
    ready_ms: u64,
}

impl Crash {
    pub(crate) fn check(&self) -> Check {
        let when = if self.leading { "while it led" } else { "under load" };
        Check {
            name: format!("{} restarts after SIGKILL {when}", self.sequencer),
            passed: self.ready_ms <= READY_MS,
            detail: format!("ready and at the tip after {} ms", self.ready_ms),
        }
    }

    fn is_of_the_last_moments(&self, receipt: &Receipt) -> bool {
        let from = self.killed_at_ms.saturating_sub(LAST_MOMENTS_MS);
        receipt.sequencer.get() == self.index
            && (from..=self.dead_at_ms).contains(&receipt.body.time_ms)
    }
}

/// Kills honest sequencers `count` times, every second time while the victim leads, and restarts
/// each.
pub(crate) async fn storm(
    network: &mut LocalNetwork,
    endpoints: &[Endpoint],
    attacker: usize,
    count: u64,
    seed: u64,
    voice: Voice,
) -> Result<Vec<Crash>, LocalError> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let honest: Vec<usize> = (0..endpoints.len()).filter(|at| *at != attacker).collect();
    let mut crashes = Vec::new();
    for number in 0..count {
        let victim = *honest.choose(&mut rng).unwrap_or(&0);
        let leading = number % 2 == 1;
        tokio::time::sleep(Duration::from_millis(rng.random_range(BEFORE_MS))).await;
        if leading {
            let watcher = honest.iter().find(|at| **at != victim).unwrap_or(&0);
            wait_for_turn(network, &endpoints[*watcher], victim).await?;
        }
        let crash = once(network, victim, leading).await?;
        let when = if leading { "while it led" } else { "under load" };
        voice.say(format!(
            "  {} killed {when}; ready and at the tip {} ms after its restart",
            crash.sequencer, crash.ready_ms
        ));
        crashes.push(crash);
    }
    Ok(crashes)
}

async fn once(
    network: &mut LocalNetwork,
    victim: usize,
    leading: bool,
) -> Result<Crash, LocalError> {
    let killed_at_ms = now_ms();
    network.kill(victim)?;
    let dead_at_ms = now_ms();
    tokio::time::sleep(DOWN).await;
    let clock = Clock::start();
    network.start(victim)?;
    let ready = network.ready(victim, READY).await?;
    let sequencer = network.sequencers[victim].name.clone();
    let (index, ready_ms) = (ready.index, clock.ms());
    Ok(Crash { sequencer, index, leading, killed_at_ms, dead_at_ms, ready_ms })
}

/// Every receipt that a sequencer signed in the last moments before it was killed is still its
/// word: it shows the same receipt, and the bundle has ended.
pub(crate) async fn honoured(
    crashes: &[Crash],
    endpoints: &[Endpoint],
    traders: &Traders,
) -> Check {
    let (mut count, mut broken) = (0, None);
    for bundle in &traders.submitted {
        for receipt in bundle.report.receipts() {
            if !crashes.iter().any(|crash| crash.is_of_the_last_moments(&receipt)) {
                continue;
            }
            count += 1;
            if shown(endpoints, &receipt).await != Some(receipt) {
                broken = Some(format!("{} by sequencer {}", bundle.id(), receipt.sequencer));
            }
        }
    }
    Check {
        name: format!("receipts of the last {LAST_MOMENTS_MS} ms before a crash are honoured"),
        passed: broken.is_none(),
        detail: match broken {
            Some(broken) => format!("broken: {broken}"),
            None => format!("{count} receipts, {} crashes", crashes.len()),
        },
    }
}

/// The receipt for a bundle that its signer shows now.
async fn shown(endpoints: &[Endpoint], receipt: &Receipt) -> Option<Receipt> {
    let endpoint = endpoints.get(SequencerIndex::position(receipt.sequencer))?;
    let params = vec![Value::from(receipt.body.id.to_string())];
    let infos: Vec<ReceiptInfo> = endpoint.call("fairveil_receipts", params).await.ok()?;
    receipts::read(infos.first()?).ok()
}

/// Waits until the last final block's view is followed by one that the victim leads: leaders take
/// turns, so the leader n views earlier leads again.
async fn wait_for_turn(
    network: &LocalNetwork,
    watcher: &Endpoint,
    victim: usize,
) -> Result<(), LocalError> {
    let n = u64::from(network.definition.n());
    let key = network.definition.members()[victim].consensus;
    let clock = Clock::start();
    let mut turn = None;
    let mut last = 0;
    while clock.ms() < u64::try_from(TURN.as_millis()).unwrap_or(u64::MAX) {
        if let Some(certificate) = newest(watcher).await
            && let Some(header) = certificate.headers.last()
        {
            let view = header.view.get();
            if header.leader == key {
                turn = Some(view % n);
            }
            if view > last && turn == Some((view + 1) % n) {
                return Ok(());
            }
            last = view;
        }
        tokio::time::sleep(POLL).await;
    }
    Err(LocalError::Other("the victim never led".into()))
}

async fn newest(watcher: &Endpoint) -> Option<OrderCertificate> {
    let info: fairveil_client::rpc::CommitteeInfo =
        watcher.call("fairveil_committee", Vec::new()).await.ok()?;
    let bytes = watcher.get(&format!("/orders/{}", info.height)).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}
