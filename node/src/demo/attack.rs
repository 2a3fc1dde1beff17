//! What the front-runner gained, beside what the same attack gains without Fairveil.
//!
//! *Sealed arm*: the running network. The corrupt sequencer answers every bundle that arrives with
//! one of its own, logs its own first, asks all others for decryption shares before finality, and
//! tries to open every bundle with its own share and all that it holds. It has read one early if
//! that succeeds before the block that orders it was proposed. It has gained a place if its bundle stands before the victim's although no honest sequencer
//! received it first (the honest receive orders are in the receipts and logs' positions).
//!
//! *Control arm*: the same victims in the same order of arrival, in plaintext, ordered by mode
//! `leader` of the same ordering code with the attacker as the leader: it reads each trade and puts
//! its own before it.

use std::{collections::BTreeMap, time::Duration};

use fairveil_client::{Endpoint, PinnedNetwork, rpc::ReceiptInfo};
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, Phase, Step};
use fairveil_sequencer::AttackReport;
use serde::Serialize;
use serde_json::Value;

use super::{Check, Voice, traders::Traders};
use crate::local::{LocalError, observer::Observer, workload};

/// How often it is looked whether all refusals are counted.
const POLLS: usize = 300;
const POLL: Duration = Duration::from_millis(100);

/// Both arms side by side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    victims: usize,
    attacks: usize,
    sealed: Arm,
    control: Arm,
    share_requests: u64,
    share_requests_refused: u64,
    /// Tries to open a bundle before its order was final at the attacker.
    tries: u64,
    /// The most shares that it had in a try; t are needed.
    most_shares: u64,
}

/// One arm.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Arm {
    /// Bundles whose contents the attacker knew before their order was final.
    read_early: usize,
    /// Attacks that stand before their victim.
    ahead: usize,
    /// Of these, attacks that no honest sequencer received before the victim.
    stolen: usize,
}

/// Reads the attack's report and judges it.
pub(crate) async fn compare(
    pinned: &PinnedNetwork,
    endpoints: &[Endpoint],
    attacker: usize,
    victims: &[BundleId],
    observer: &Observer,
    traders: &Traders,
    seed: u64,
) -> Result<Comparison, LocalError> {
    let other = |error: &dyn std::fmt::Display| LocalError::Other(format!("attack: {error}"));
    let bytes = endpoints[attacker].get("/adversary").await.map_err(|error| other(&error))?;
    let report: AttackReport = serde_json::from_slice(&bytes).map_err(|error| other(&error))?;
    let f = usize::from(pinned.definition().proposal().f);
    let mut sealed = Arm::default();
    let mut attacks = 0;
    for (attack, victim) in report.pairs.iter().filter(|(_, victim)| victims.contains(victim)) {
        let (Some(own), Some(theirs)) = (
            observer.seen(&attack.to_string()).ordered,
            observer.seen(&victim.to_string()).ordered,
        ) else {
            continue;
        };
        attacks += 1;
        if (own.height, own.position) < (theirs.height, theirs.position) {
            sealed.ahead += 1;
            let first = received_first(endpoints, attacker, attack, victim).await;
            sealed.stolen += usize::from(first == 0);
        }
    }
    let refused = refusals(endpoints, attacker, report.requests).await;
    // Shares of a final order may be here before the order is: what they open was public.
    let early = |(victim, at): &&(BundleId, u64)| {
        let placed = observer.seen(&victim.to_string()).ordered;
        victims.contains(victim) && placed.is_none_or(|placed| *at < placed.time_ms)
    };
    sealed.read_early = report.read.iter().filter(early).count();
    let control = control(pinned.definition().n(), f, traders, seed)?;
    Ok(Comparison {
        victims: victims.len(),
        attacks,
        sealed,
        control,
        share_requests: report.requests,
        share_requests_refused: refused,
        tries: report.tries,
        most_shares: report.most_shares,
    })
}

/// Honest sequencers whose log has the attack before the victim.
async fn received_first(
    endpoints: &[Endpoint],
    attacker: usize,
    attack: &BundleId,
    victim: &BundleId,
) -> usize {
    let mut first = 0;
    for (at, endpoint) in endpoints.iter().enumerate().filter(|(at, _)| *at != attacker) {
        let own = position(endpoint, attack).await;
        let theirs = position(endpoint, victim).await;
        let _ = at;
        first += usize::from(match (own, theirs) {
            (Some(own), Some(theirs)) => own < theirs,
            (Some(_), None) => true,
            _ => false,
        });
    }
    first
}

async fn position(endpoint: &Endpoint, id: &BundleId) -> Option<u64> {
    let params = vec![Value::from(id.to_string())];
    let receipts: Vec<ReceiptInfo> = endpoint.call("fairveil_receipts", params).await.ok()?;
    receipts.first()?.position
}

/// Requests for shares that the others refused. What was asked last is refused and counted meanwhile.
async fn refusals(endpoints: &[Endpoint], attacker: usize, requests: u64) -> u64 {
    let mut refused = 0;
    for _ in 0..POLLS {
        refused = 0;
        for (at, endpoint) in endpoints.iter().enumerate() {
            if at != attacker {
                refused += metric(endpoint, "fairveil_share_requests_refused_total").await;
            }
        }
        if refused >= requests {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    refused
}

async fn metric(endpoint: &Endpoint, name: &str) -> u64 {
    let Ok(bytes) = endpoint.get("/metrics").await else { return 0 };
    String::from_utf8_lossy(&bytes)
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or(0)
}

/// The same victims in plaintext under a leader who reads them.
fn control(n: u16, f: usize, traders: &Traders, seed: u64) -> Result<Arm, LocalError> {
    let plan = workload::plan(seed, traders.submitted.len(), super::RATE);
    let mut list = Vec::new();
    let mut pairs = BTreeMap::new();
    let mut arm = Arm::default();
    for (number, planned) in (0u64..).zip(&plan) {
        let victim = label(b"victim", number);
        if planned.trade.value > 0 {
            // The leader reads the trade and puts its own before it.
            arm.read_early += 1;
            let own = label(b"attack", number);
            pairs.insert(own, victim);
            list.push(own);
        }
        list.push(victim);
    }
    let ids = led(n, f, &list).map_err(|why| LocalError::Other(format!("control arm: {why}")))?;
    let place = |id: &BundleId| ids.iter().position(|known| known == id);
    for (own, victim) in &pairs {
        if let (Some(own), Some(victim)) = (place(own), place(victim))
            && own < victim
        {
            // Every honest sequencer received the victim first: the attack was made from it.
            arm.ahead += 1;
            arm.stolen += 1;
        }
    }
    Ok(arm)
}

/// The order that comes out of a leader's list in mode `leader`.
fn led(n: u16, f: usize, list: &[BundleId]) -> Result<Vec<BundleId>, String> {
    let f = u16::try_from(f).map_err(|error| error.to_string())?;
    let committee = Committee::new(n, f, 0).map_err(|error| error.to_string())?;
    let mut order = FairOrder::unbounded(committee, Mode::Leader);
    let silent = (1..=n).filter_map(SequencerIndex::new);
    let appended: Vec<_> = silent.map(|sequencer| Appended::new(sequencer, &[])).collect();
    let reaching = order.would_reach_edge(&appended, list);
    let step = Step {
        height: order.height().next(),
        seed: Digest::from_bytes([0; 32]),
        phase: Phase::Ordering,
        appended: &appended,
        list,
        expiries: &reaching.into_iter().map(|id| (id, Height::MAX)).collect(),
    };
    let output = order.apply(&step).map_err(|error| error.to_string())?;
    Ok(output.emission.ids().map(|emitted| emitted.id).collect())
}

fn label(kind: &[u8], number: u64) -> BundleId {
    let bytes = [kind, &number.to_be_bytes()].concat();
    BundleId::from_bytes(alloy_primitives::keccak256(bytes).0)
}

impl Comparison {
    pub(crate) fn print(&self, voice: Voice) {
        voice.say(format!(
            "\n  the attack on {} bundles             Fairveil   plaintext under a leader",
            self.victims
        ));
        let row = |name: &str, sealed: usize, control: usize| {
            voice.say(format!("    {name:<32} {sealed:>9}   {control:>9}"));
        };
        row("contents read before the order", self.sealed.read_early, self.control.read_early);
        row("own bundle before the victim's", self.sealed.ahead, self.control.ahead);
        row("of these against all receipts", self.sealed.stolen, self.control.stolen);
        voice.say(format!(
            "    it tried {} times to open a bundle with the shares it held, at most {} of them",
            self.tries, self.most_shares,
        ));
        voice.say(format!(
            "    it asked for {} shares before finality; the others counted {} refusals (of members \
             that were late, too)",
            self.share_requests, self.share_requests_refused,
        ));
    }

    pub(crate) fn checks(&self) -> Vec<Check> {
        let check =
            |name: &str, passed: bool, detail: String| Check { name: name.into(), passed, detail };
        vec![
            check(
                "the front-runner gains nothing",
                self.attacks > 0
                    && self.tries >= self.attacks as u64
                    && self.sealed.stolen == 0
                    && self.sealed.read_early == 0,
                format!(
                    "{} attacks, {} stolen places, {} read early in {} tries",
                    self.attacks, self.sealed.stolen, self.sealed.read_early, self.tries
                ),
            ),
            check(
                "the same attack succeeds against plaintext",
                self.control.stolen == self.victims,
                format!("{} of {}", self.control.stolen, self.victims),
            ),
            check(
                "shares are refused before finality",
                self.share_requests > 0 && self.share_requests_refused >= self.share_requests,
                format!("{} asked, {} refusals", self.share_requests, self.share_requests_refused),
            ),
        ]
    }
}
