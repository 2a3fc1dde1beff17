//! The demo's figures.

use serde::Serialize;

use super::{Voice, traders::Traders};
use crate::local::observer::Observer;

/// What the traders waited, by their own clock.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    bundles: usize,
    bytes: usize,
    seconds: f64,
    released_per_second: f64,
    submit_to_ordered_ms: (u64, u64),
    submit_to_released_ms: (u64, u64),
}

impl Figures {
    pub(crate) fn of(traders: &Traders, observer: &Observer) -> Self {
        let timelines = traders.timelines(observer);
        let waited = |end: fn(&super::traders::Timeline) -> Option<u64>| {
            let mut waits: Vec<u64> = timelines
                .iter()
                .filter_map(|line| Some(end(line)?.saturating_sub(line.sealed_ms)))
                .collect();
            waits.sort_unstable();
            (quantile(&waits, 50), quantile(&waits, 99))
        };
        let first = timelines.iter().map(|line| line.sealed_ms).min().unwrap_or(0);
        let last = timelines.iter().filter_map(|line| line.ended_ms).max().unwrap_or(first);
        let seconds = (last - first).max(1) as f64 / 1000.0;
        Self {
            bundles: timelines.len(),
            bytes: traders.submitted.iter().map(|bundle| bundle.sealed.encode().len()).sum(),
            seconds,
            released_per_second: timelines.len() as f64 / seconds,
            submit_to_ordered_ms: waited(|line| line.ordered_ms),
            submit_to_released_ms: waited(|line| line.ended_ms),
        }
    }

    pub(crate) fn print(&self, voice: Voice) {
        voice.say(format!(
            "\nfigures: {} bundles, {} bytes sealed; submit to ordered p50 {} ms p99 {} ms; \
             to released p50 {} ms p99 {} ms; {:.0} bundles a second over {:.0} s, crashes \
             and waiting included",
            self.bundles,
            self.bytes,
            self.submit_to_ordered_ms.0,
            self.submit_to_ordered_ms.1,
            self.submit_to_released_ms.0,
            self.submit_to_released_ms.1,
            self.released_per_second,
            self.seconds,
        ));
    }
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}
