//! M5: an attacker's bundles and their victims.

use std::collections::BTreeMap;

use fairveil_crypto::BundleId;

use super::{Figures, PPM, count, share};
use crate::scenario::order::Order;
use crate::scenario::record::Record;

/// M5, but the gain: that takes another run.
pub(super) fn races(record: &Record, order: &Order, figures: &mut Figures) {
    let ranks: BTreeMap<BundleId, usize> =
        order.places.iter().enumerate().map(|(rank, place)| (place.id, rank)).collect();
    let mut by_victim: BTreeMap<BundleId, Vec<Option<usize>>> = BTreeMap::new();
    for race in &record.races {
        by_victim.entry(race.victim).or_default().push(ranks.get(&race.own).copied());
    }
    let (mut races, mut first, mut sandwiched) = (0_usize, 0, 0);
    for (victim, own) in by_victim {
        let Some(rank) = ranks.get(&victim) else { continue };
        let before = own.iter().flatten().any(|own| own < rank);
        let after = own.iter().flatten().any(|own| own > rank);
        races += 1;
        first += u64::from(before);
        sandwiched += u64::from(before && after);
    }
    figures.insert("races", count(races));
    figures.insert("first_ppm", share(first, races as u64, PPM));
    figures.insert("sandwich_ppm", share(sandwiched, races as u64, PPM));
}
