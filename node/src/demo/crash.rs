//! SIGKILL under load, twice: at a random moment, and while the victim leads.

use std::time::Duration;

use fairveil_client::Endpoint;
use fairveil_crypto::certificate::OrderCertificate;
use serde::Serialize;

use super::{Check, Voice, figures::Clock};
use crate::local::{LocalError, LocalNetwork};

/// Pause before each crash, and before the restart.
const BEFORE: Duration = Duration::from_millis(2_500);
const DOWN: Duration = Duration::from_millis(700);
/// How long a restarted sequencer may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long the victim's turn is waited for.
const TURN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// One crash.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Crash {
    sequencer: String,
    leading: bool,
    ready_ms: u64,
}

impl Crash {
    pub(crate) fn check(&self) -> Check {
        let when = if self.leading { "while it led" } else { "under load" };
        Check {
            name: format!("{} restarts after SIGKILL {when}", self.sequencer),
            passed: self.ready_ms <= 10_000,
            detail: format!("ready and at the tip after {} ms", self.ready_ms),
        }
    }
}

/// Kills the same honest sequencer twice and restarts it each time.
pub(crate) async fn twice(
    network: &mut LocalNetwork,
    endpoints: &[Endpoint],
    attacker: usize,
    voice: Voice,
) -> Result<Vec<Crash>, LocalError> {
    let victim = (0..endpoints.len()).rev().find(|at| *at != attacker).unwrap_or(0);
    let watcher = &endpoints[0];
    let mut crashes = Vec::new();
    for leading in [false, true] {
        tokio::time::sleep(BEFORE).await;
        if leading {
            wait_for_turn(network, watcher, victim).await?;
        }
        network.kill(victim)?;
        tokio::time::sleep(DOWN).await;
        let clock = Clock::start();
        network.start(victim)?;
        network.ready(victim, READY).await?;
        let sequencer = network.sequencers[victim].name.clone();
        let crash = Crash { sequencer, leading, ready_ms: clock.ms() };
        let when = if leading { "while it led" } else { "under load" };
        voice.say(format!(
            "  {} killed {when}; ready and at the tip {} ms after its restart",
            crash.sequencer, crash.ready_ms
        ));
        crashes.push(crash);
    }
    Ok(crashes)
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
