//! What a scenario and a seed decide: the plan of a committee's run.

use std::time::Duration;

use commonware_utils::Probability;
use fairveil_mempool::Limits;
use fairveil_release::opener::KEPT_HEIGHTS;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;

use super::file::{Attack, Fault, FaultKind, Scenario, Traders};
use crate::committee::epochs::Succession;
use crate::committee::plan::{
    Begins, Echo, Faith, Kind, Links, Order, Outage, Partition, Plan, SPLITTER_PAYER_BUNDLES,
    Sites, Splitter, stream,
};
use crate::committee::rollups::Rollups;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast<'a> {
    /// Adversaries and attacking traders, as the file says.
    AsWritten,
    /// Nobody cheats; honest clients send what adversaries sent.
    Honest(&'a [Echo]),
}

/// The plan of one run.
pub(super) fn plan(scenario: &Scenario, seed: u64, cast: Cast<'_>) -> Plan {
    let n = scenario.committee.n();
    let attacks = |one: &Traders| one.attack.is_some();
    // Numbers of honest bundles are the same whoever takes part.
    let mut orders = Vec::new();
    for (number, group) in (0_u64..).zip(&scenario.traders) {
        if !attacks(group) {
            orders.extend(honest(scenario, group, &mut stream(seed, 100 + number)));
        }
    }
    orders.sort_by_key(|order| order.at);
    let (mut adversaries, mut echoes, mut splitter) = (Vec::new(), Vec::new(), None);
    match cast {
        Cast::AsWritten => {
            adversaries.clone_from(&scenario.adversaries);
            for group in scenario.traders.iter().filter(|group| attacks(group)) {
                match group.attack {
                    Some(Attack::Split) => splitter = Some(Splitter),
                    _ => orders.extend(rotated(group, usize::from(n))),
                }
            }
        }
        Cast::Honest(stood_in) => echoes = stood_in.to_vec(),
    }
    let mut limits = Limits::DEFAULT;
    if splitter.is_some() {
        limits.payer_bundles = SPLITTER_PAYER_BUNDLES;
    }
    Plan {
        kind: Kind::Scenario,
        n,
        f: scenario.committee.f(),
        g: scenario.committee.g(),
        mode: scenario.mode,
        links: Links {
            latency_ms: scenario.latency_ms,
            jitter_ms: scenario.jitter_ms,
            success_rate: success_rate(scenario.loss_percent),
        },
        sites: Sites { of: scenario.site_of.clone(), between_ms: scenario.between_sites_ms },
        adversaries,
        outages: outages(&scenario.faults),
        partitions: partitions(&scenario.faults),
        rollups: Rollups::new(Kind::Scenario, seed, orders.len(), usize::from(n)),
        orders,
        echoes,
        splitter,
        changes: Vec::new(),
        limits,
        kept_share_heights: KEPT_HEIGHTS,
        succession: Succession::none(n),
    }
}

fn success_rate(loss_percent: u64) -> Probability {
    let percent = u8::try_from(100 - loss_percent).unwrap_or(100);
    Probability::try_from(f64::from(percent) / 100.0).expect("a share of 100")
}

/// The bundles of a group of good faith.
fn honest(scenario: &Scenario, group: &Traders, rng: &mut ChaCha20Rng) -> Vec<Order> {
    let members: Vec<usize> = (0..usize::from(scenario.committee.n())).collect();
    let order = |number: u64| {
        let mut to = members.clone();
        to.shuffle(rng);
        to.truncate(group.reach);
        let to = to.into_iter().map(|member| (member, delay(scenario, group, member, rng)));
        Order { to: to.collect(), at: sent_at(group, number), faith: Faith::Good }
    };
    (0..group.bundles).map(order).collect()
}

fn sent_at(group: &Traders, number: u64) -> Duration {
    Duration::from_millis(group.from_ms + number * group.every_ms)
}

/// How long a bundle is on its way from its trader to a sequencer.
fn delay(scenario: &Scenario, group: &Traders, member: usize, rng: &mut ChaCha20Rng) -> Duration {
    let far = group.site.is_some_and(|site| scenario.site_of.get(member) != Some(&site));
    let micros = |ms: u64| ms * 1_000;
    let (least, most) = scenario.between_sites_ms;
    let way = if far { rng.random_range(micros(least)..=micros(most)) } else { 0 };
    Duration::from_micros(way + rng.random_range(0..=micros(group.jitter_ms)))
}

/// One bundle after the other, to every sequencer beginning with another one.
fn rotated(group: &Traders, n: usize) -> Vec<Order> {
    let count = group.bundles;
    let order = |number: u64| {
        let to = (0..n).map(|member| {
            let shift = count * member as u64 / n as u64;
            let turn = (number + count - shift % count) % count;
            (member, Duration::from_millis(turn * group.every_ms))
        });
        Order { at: Duration::from_millis(group.from_ms), to: to.collect(), faith: Faith::Bad }
    };
    (0..count).map(order).collect()
}

fn outages(faults: &[Fault]) -> Vec<Outage> {
    let lost = faults.iter().filter(|fault| fault.is == FaultKind::Power);
    let mut outages: Vec<Outage> = lost
        .flat_map(|fault| {
            let begins = Begins::At(Duration::from_millis(fault.at_ms));
            let lasts = Duration::from_millis(fault.lasts_ms);
            fault.sequencers.iter().map(move |member| Outage { member: *member, begins, lasts })
        })
        .collect();
    outages.sort_by_key(|outage| match outage.begins {
        Begins::At(at) => (at, outage.member),
        Begins::AtWrite(_) => (Duration::ZERO, outage.member),
    });
    outages
}

fn partitions(faults: &[Fault]) -> Vec<Partition> {
    let parted = faults.iter().filter(|fault| fault.is == FaultKind::Partition);
    parted
        .map(|fault| Partition {
            side: fault.sequencers.clone(),
            at: Duration::from_millis(fault.at_ms),
            lasts: Duration::from_millis(fault.lasts_ms),
        })
        .collect()
}
