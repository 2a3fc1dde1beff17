//! M6: how long bundles wait, and the bound on it.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::BundleId;
use fairveil_ordering::{CAP_SOLID, FRESH_HEIGHTS};

use super::{Figures, quantile};
use crate::scenario::order::{Order, Place};
use crate::scenario::record::{Received, Record};

/// When honest sequencers appended an id.
struct Known {
    first: Received,
    /// The highest and the lowest final height that any of them had then.
    heights: (u64, u64),
    logs: usize,
}

/// M6.
pub(super) fn waiting(record: &Record, order: &Order, figures: &mut Figures) {
    let known = known(record);
    let committed: BTreeMap<u64, u64> =
        record.blocks.iter().map(|block| (block.height.get(), block.committed_ms)).collect();
    let traders: BTreeSet<BundleId> = record.traders().map(|(id, _)| id).collect();
    let (mut millis, mut heights) = (Vec::new(), Vec::new());
    for place in order.places.iter().filter(|place| traders.contains(&place.id)) {
        let (Some(known), Some(at_ms)) = (known.get(&place.id), committed.get(&place.height))
        else {
            continue;
        };
        millis.push(at_ms.saturating_sub(known.first.at_ms));
        heights.push(place.height.saturating_sub(known.first.height));
    }
    let everywhere = |known: &&Known| known.logs == record.honest.len();
    let spread = known.values().filter(everywhere).map(|known| known.heights.0 - known.heights.1);
    let relay = spread.max().unwrap_or(0);
    let (mut longest, mut late) = (0, 0);
    for place in &order.places {
        let Some(known) = known.get(&place.id).filter(everywhere) else { continue };
        let waited = place.height.saturating_sub(known.heights.0);
        let bound = 2 * FRESH_HEIGHTS + relay + 2;
        longest = longest.max(waited);
        if waited > bound {
            let from = known.heights.0 + FRESH_HEIGHTS + 1;
            let older = older(record, order, place, from) / CAP_SOLID;
            late = late.max(waited.saturating_sub(bound + older as u64));
        }
    }
    for waited in still_waiting(record, order, &known) {
        longest = longest.max(waited);
        late = late.max(waited.saturating_sub(2 * FRESH_HEIGHTS + relay + 2));
    }
    figures.insert("latency_p50_ms", quantile(&mut millis, 50));
    figures.insert("latency_p99_ms", quantile(&mut millis, 99));
    figures.insert("latency_p50_heights", quantile(&mut heights, 50));
    figures.insert("latency_p99_heights", quantile(&mut heights, 99));
    figures.insert("blocks_deferred", i64::try_from(order.deferred).unwrap_or(i64::MAX));
    figures.insert("relay_heights", i64::try_from(relay).unwrap_or(i64::MAX));
    figures.insert("known_heights_max", i64::try_from(longest).unwrap_or(i64::MAX));
    figures.insert("late_heights", i64::try_from(late).unwrap_or(i64::MAX));
}

/// Since how many heights all honest sequencers know ids that could come out and did not.
fn still_waiting(record: &Record, order: &Order, known: &BTreeMap<BundleId, Known>) -> Vec<u64> {
    let tip = record.blocks.last().map_or(0, |block| block.height.get());
    let out: BTreeSet<BundleId> = order.places.iter().map(|place| place.id).collect();
    let open = |id: &BundleId| record.expiries.get(id).is_some_and(|last| last.get() > tip);
    let waits = known
        .iter()
        .filter(|(id, known)| known.logs == record.honest.len() && !out.contains(id) && open(id));
    waits.map(|(_, known)| tip.saturating_sub(known.heights.0)).collect()
}

fn known(record: &Record) -> BTreeMap<BundleId, Known> {
    let mut known: BTreeMap<BundleId, Known> = BTreeMap::new();
    for received in record.honest.iter().flat_map(|member| &record.logs[*member]) {
        let height = received.height;
        let one = known.entry(received.id).or_insert(Known {
            first: *received,
            heights: (height, height),
            logs: 0,
        });
        one.logs += 1;
        one.heights = (one.heights.0.max(height), one.heights.1.min(height));
        if received.at_ms < one.first.at_ms {
            one.first = *received;
        }
    }
    known
}

/// A: ids that no proposal had when the block of `height` came, and that some honest sequencer had
/// appended before this one.
fn older(record: &Record, order: &Order, place: &Place, height: u64) -> usize {
    let mut before: BTreeSet<BundleId> = BTreeSet::new();
    for member in &record.honest {
        let log = record.logs[*member].iter().map(|received| received.id);
        before.extend(log.take_while(|id| *id != place.id));
    }
    let waiting = |other: &&Place| other.proposed >= height && before.contains(&other.id);
    order.places.iter().filter(waiting).count()
}
