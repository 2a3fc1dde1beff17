//! Metrics in Prometheus' text form: the sequencer's, the network's, the engine's.

use std::{fmt::Write as _, path::Path};

use fairveil_crypto::ConsensusPublicKey;
use fairveil_sequencer::{Handle, Overview};
use fairveil_transport::{Channel, Observer, peer_key};

use super::views::NodeViews;
use crate::rollups::now_ms;

/// Which members are connected, by position; oneself counts as connected.
pub(super) fn connected(observer: &Observer, keys: &[ConsensusPublicKey]) -> Vec<bool> {
    let snapshot = observer.snapshot();
    keys.iter()
        .map(|key| {
            let Some(key) = peer_key(key) else { return false };
            let peer = snapshot.peers.iter().find(|peer| peer.key == key);
            // The network lists peers, not oneself.
            peer.is_none_or(|peer| peer.is_connected())
        })
        .collect()
}

/// All metrics.
pub(super) fn text(
    handle: &Handle,
    observer: &Observer,
    views: &NodeViews,
    ceremony: &str,
    engine: &str,
    data: &Path,
) -> String {
    let mut text = String::from(ceremony);
    let overview = handle.overview();
    let abstaining = u64::from(overview.abstention.is_some());
    let gauges = [
        ("height", "last final height committed", overview.height),
        ("final_height", "newest final height known of", overview.final_height),
        ("released_height", "height up to which everything is released", overview.released),
        ("certified_height", "height up to which releases are certified", overview.certified),
        ("block_interval_milliseconds", "mean of recent blocks", overview.block_interval_ms),
        (
            "loaded_interval_milliseconds",
            "mean between recent blocks that had work",
            overview.loaded_interval_ms,
        ),
        ("pool_bundles", "bundles admitted and not ordered", overview.pool_bundles),
        ("pool_bytes", "bytes of them", overview.pool_bytes),
        ("pool_held", "bundles in memory", overview.pool_held),
        ("pool_duty", "bundles to report that are not held", overview.pool_duty),
        ("final_view", "newest view with a finalization since the start", overview.final_view),
        ("log_length", "entries of the own order log", overview.log_length),
        ("convicted_sequencers", "proven to have equivocated in this epoch", overview.convicted),
        ("oldest_height", "first height whose order and release are kept", overview.oldest),
        ("abstaining", "1 while a restored sequencer signs nothing", abstaining),
    ];
    for (name, help, value) in gauges {
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP fairveil_{name} {help}\n# TYPE fairveil_{name} gauge");
        let _ = writeln!(text, "fairveil_{name} {value}");
    }
    for (name, value) in &overview.counters {
        let _ = writeln!(text, "# TYPE fairveil_{name} counter\nfairveil_{name}_total {value}");
    }
    machine(&mut text, &overview, data);
    accounts(&mut text, handle);
    followed(&mut text, &overview, views);
    peers(&mut text, observer);
    text.push_str(engine);
    text
}

/// The clock and the disk that everything waits for.
fn machine(text: &mut String, overview: &Overview, data: &Path) {
    if overview.height > 0 {
        let ahead = i128::from(now_ms()) - i128::from(overview.time_ms);
        let _ = writeln!(
            text,
            "# HELP fairveil_clock_ahead_milliseconds this clock less the time of the last block\n\
             # TYPE fairveil_clock_ahead_milliseconds gauge\n\
             fairveil_clock_ahead_milliseconds {ahead}"
        );
    }
    if let Ok(found) = rustix::fs::statvfs(data) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let _ = writeln!(
            text,
            "# HELP fairveil_disk_free_bytes free where the data folder is\n\
             # TYPE fairveil_disk_free_bytes gauge\nfairveil_disk_free_bytes {free}"
        );
    }
}

/// Where all fees stand, where bundles are charged.
fn accounts(text: &mut String, handle: &Handle) {
    let accounts = match handle.accounts() {
        Ok(Some(accounts)) => accounts,
        Ok(None) => return,
        Err(error) => {
            tracing::error!(%error, "the accounts can't be read");
            return;
        }
    };
    for (name, help, value) in [
        ("deposits", "what all payers deposited", accounts.deposits),
        ("balances", "what all payers have left", accounts.balances),
        ("fees_in_flight", "charged for bundles that have not ended", accounts.in_flight),
    ] {
        let _ = writeln!(text, "# HELP fairveil_{name} {help}\n# TYPE fairveil_{name} gauge");
        let _ = writeln!(text, "fairveil_{name} {value}");
    }
    let _ = writeln!(text, "# TYPE fairveil_revenue_rollup counter");
    for (chain_id, revenue) in &accounts.rollups {
        let _ = writeln!(text, "fairveil_revenue_rollup_total{{rollup=\"{chain_id}\"}} {revenue}");
    }
    let _ = writeln!(text, "# TYPE fairveil_revenue_sequencer counter");
    for (index, revenue) in (1..).zip(&accounts.sequencers) {
        let index: u32 = index;
        let _ = writeln!(text, "fairveil_revenue_sequencer_total{{index=\"{index}\"}} {revenue}");
    }
}

/// Where the followed rollups stand.
fn followed(text: &mut String, overview: &Overview, views: &NodeViews) {
    let _ = writeln!(
        text,
        "# HELP fairveil_view_reachable whether the own node of a followed rollup answers\n\
         # TYPE fairveil_view_reachable gauge"
    );
    for (chain_id, reachable) in views.reachable() {
        let up = u8::from(reachable);
        let _ = writeln!(text, "fairveil_view_reachable{{rollup=\"{chain_id}\"}} {up}");
    }
    let _ = writeln!(
        text,
        "# HELP fairveil_anchor_age_milliseconds age of the last anchored block of a followed rollup \
         at the last final height\n# TYPE fairveil_anchor_age_milliseconds gauge"
    );
    for anchor in &overview.anchors {
        let (chain_id, age) = (anchor.chain_id, anchor.age_ms(overview.time_ms));
        let _ = writeln!(text, "fairveil_anchor_age_milliseconds{{rollup=\"{chain_id}\"}} {age}");
    }
}

fn peers(text: &mut String, observer: &Observer) {
    let snapshot = observer.snapshot();
    let _ = writeln!(text, "# TYPE fairveil_peer_connected gauge");
    for peer in &snapshot.peers {
        let up = u8::from(peer.is_connected());
        let _ = writeln!(text, "fairveil_peer_connected{{peer=\"{}\"}} {up}", peer.key);
    }
    for (name, count) in [
        ("sent_bytes", 0usize),
        ("received_bytes", 1),
        ("dropped_full", 2),
        ("dropped_offline", 3),
        ("dropped_inbound", 4),
    ] {
        let _ = writeln!(text, "# TYPE fairveil_channel_{name} counter");
        for channel in Channel::ALL {
            let total: u64 = snapshot
                .peers
                .iter()
                .map(|peer| {
                    let counts = peer.channel(channel);
                    [
                        counts.sent_bytes,
                        counts.received_bytes,
                        counts.dropped_full,
                        counts.dropped_offline,
                        counts.dropped_inbound,
                    ][count]
                })
                .sum();
            let channel = channel.name();
            let _ =
                writeln!(text, "fairveil_channel_{name}_total{{channel=\"{channel}\"}} {total}");
        }
    }
    for (reason, count) in &snapshot.refused {
        let _ = writeln!(text, "fairveil_refused_total{{reason=\"{reason}\"}} {count}");
    }
}
