//! What one rate came to.

use comfy_table::{Table, presets::NOTHING};
use fairveil_client::rpc::State;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{load::Sent, usage::Usage};
use crate::local::observer::{Ended, Observer};

/// The longest wait that is told apart, in milliseconds.
const LONGEST_MS: u64 = 600_000;
/// What of the load's time is left out at its beginning before releases are counted.
const WARM_UP: f64 = 0.2;

/// One rate.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    rate_per_second: u64,
    submitted: usize,
    admitted: usize,
    rejected: usize,
    unanswered: usize,
    ordered: usize,
    released: usize,
    failed: usize,
    released_per_second: f64,
    /// Heights that ordered something.
    heights: usize,
    /// The furthest that a submission left after its instant: the generator itself was late.
    late_ms: u64,
    /// Bundles of a flood that were rejected, and that were not.
    flood: Option<(usize, usize)>,
    stages: Vec<Stage>,
    usage: Usage,
    /// Processor seconds of the sequencers over those that all cores have.
    busy: f64,
    /// One multiplication in G1 while all cores multiply, before and after the load.
    multiplication_us: f64,
}

/// How long one stage took.
#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    count: u64,
    p50_ms: u64,
    p90_ms: u64,
    p99_ms: u64,
    p999_ms: u64,
    max_ms: u64,
}

impl Stage {
    fn new(name: &'static str, waits: impl Iterator<Item = u64>) -> Self {
        let mut histogram =
            Histogram::<u64>::new_with_max(LONGEST_MS, 3).expect("three digits fit");
        waits.for_each(|wait| histogram.saturating_record(wait));
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            name,
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max(),
        }
    }
}

/// A bundle that was sent, and what was seen of it.
struct Line<'a> {
    sent: &'a Sent,
    height: Option<u64>,
    ordered_ms: Option<u64>,
    released_ms: Option<u64>,
    failed: bool,
}

impl Run {
    pub(super) fn new(
        rate: u64,
        first_ms: u64,
        sent: &[Sent],
        flood: Option<(usize, usize)>,
        observer: &Observer,
        usage: Usage,
        multiplication_us: f64,
    ) -> Self {
        let lines: Vec<Line<'_>> = sent.iter().map(|sent| line(sent, observer)).collect();
        let last_ms = sent.iter().map(|sent| sent.planned_ms).max().unwrap_or(first_ms);
        let all_ms = lines.iter().filter_map(|line| line.released_ms).max().unwrap_or(last_ms);
        let heights: std::collections::BTreeSet<_> =
            lines.iter().filter_map(|line| line.height).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wall = all_ms.max(last_ms).saturating_sub(first_ms).max(1) as f64 / 1_000.0;
        let busy = usage.sequencers.values().sum::<f64>() / (wall * cores as f64);
        Self {
            rate_per_second: rate,
            submitted: sent.len(),
            admitted: sent.iter().filter(|sent| sent.admitted).count(),
            rejected: sent.iter().filter(|sent| sent.rejected).count(),
            unanswered: sent.iter().filter(|sent| !sent.admitted && !sent.rejected).count(),
            ordered: lines.iter().filter(|line| line.ordered_ms.is_some()).count(),
            released: lines.iter().filter(|line| line.released_ms.is_some()).count(),
            failed: lines.iter().filter(|line| line.failed).count(),
            released_per_second: rate_between(&lines, first_ms, last_ms),
            heights: heights.len(),
            late_ms: sent.iter().map(|sent| sent.left_ms - sent.planned_ms).max().unwrap_or(0),
            flood,
            stages: stages(&lines),
            usage,
            busy,
            multiplication_us,
        }
    }

    /// Processor time of all sequencers for a bundle.
    fn bundle_ms(&self) -> f64 {
        let seconds: f64 = self.usage.sequencers.values().sum();
        seconds * 1_000.0 / self.released.max(1) as f64
    }

    /// Whether everything that was admitted was released.
    pub(super) fn is_complete(&self) -> bool {
        self.released == self.admitted && self.admitted > 0
    }

    pub(super) fn released_per_second(&self) -> f64 {
        self.released_per_second
    }

    pub(super) fn print(&self) {
        println!(
            "  submitted {}, admitted {}, rejected {}, unanswered {}; ordered {} in {} heights, \
             released {}, failed {}",
            self.submitted,
            self.admitted,
            self.rejected,
            self.unanswered,
            self.ordered,
            self.heights,
            self.released,
            self.failed,
        );
        if let Some((rejected, others)) = self.flood {
            println!("  beside them a flood: {rejected} rejected, {others} not");
        }
        println!(
            "  released {:.0} a second while the load ran; the generator was at most {} ms late",
            self.released_per_second, self.late_ms
        );
        let mut table = Table::new();
        table.load_preset(NOTHING).set_header(["ms", "p50", "p90", "p99", "p99.9", "max"]);
        for stage in &self.stages {
            let waits = [stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.p999_ms, stage.max_ms];
            let waits = waits.map(|wait| wait.to_string());
            table.add_row(std::iter::once(stage.name.to_owned()).chain(waits));
        }
        println!("{table}");
        self.print_usage();
    }

    fn print_usage(&self) {
        let bundles = self.released.max(1) as f64;
        let mut threads: Vec<_> = self.usage.sequencers.iter().collect();
        threads.sort_by(|left, right| right.1.total_cmp(left.1));
        println!(
            "  processor: all sequencers {:.2} ms a bundle, {:.0} % of the cores; the generator \
             {:.2} ms a bundle",
            self.bundle_ms(),
            self.busy * 100.0,
            self.usage.generator * 1_000.0 / bundles,
        );
        let threads: Vec<_> = threads
            .into_iter()
            .map(|(kind, seconds)| format!("{kind} {:.2}", seconds * 1_000.0 / bundles))
            .collect();
        println!("    ms a bundle by thread: {}", threads.join(", "));
        println!(
            "    that is {:.1} multiplications in G1, at {:.0} us each while all cores multiply",
            self.bundle_ms() * 1_000.0 / self.multiplication_us,
            self.multiplication_us,
        );
        let sent: f64 = self.usage.sent_bytes.values().sum();
        let channels: Vec<_> = self
            .usage
            .sent_bytes
            .iter()
            .map(|(channel, bytes)| format!("{channel} {:.0}", bytes / bundles))
            .collect();
        println!(
            "  bytes a bundle: {:.0} between sequencers ({}), {:.0} on all disks",
            sent / bundles,
            channels.join(", "),
            self.usage.stored_bytes / bundles,
        );
    }
}

fn line<'a>(sent: &'a Sent, observer: &Observer) -> Line<'a> {
    let seen = observer.seen(&sent.id);
    let released = |ended: &Ended| (ended.state == State::Released).then_some(ended.heard_ms);
    Line {
        sent,
        height: seen.ordered.map(|placed| placed.height),
        ordered_ms: seen.ordered.map(|placed| placed.heard_ms),
        released_ms: seen.ended.as_ref().and_then(released),
        failed: seen.ended.as_ref().is_some_and(|ended| ended.state != State::Released),
    }
}

/// Releases a second while the load ran, its warm-up left out.
fn rate_between(lines: &[Line<'_>], first_ms: u64, last_ms: u64) -> f64 {
    let length = last_ms.saturating_sub(first_ms) as f64;
    let from = first_ms + (length * WARM_UP) as u64;
    let within = |line: &&Line<'_>| line.released_ms.is_some_and(|at| at >= from && at < last_ms);
    let count = lines.iter().filter(within).count() as f64;
    count * 1_000.0 / (last_ms.saturating_sub(from)).max(1) as f64
}

fn stages(lines: &[Line<'_>]) -> Vec<Stage> {
    let admitted = || lines.iter().filter(|line| line.sent.admitted);
    let planned = |line: &Line<'_>| line.sent.planned_ms;
    vec![
        Stage::new(
            "submit to admitted by all",
            admitted().map(|line| line.sent.answered_ms.saturating_sub(planned(line))),
        ),
        Stage::new(
            "submit to ordered",
            admitted().filter_map(|line| Some(line.ordered_ms?.saturating_sub(planned(line)))),
        ),
        Stage::new(
            "ordered to released",
            admitted().filter_map(|line| Some(line.released_ms?.saturating_sub(line.ordered_ms?))),
        ),
        Stage::new(
            "submit to released",
            admitted().filter_map(|line| Some(line.released_ms?.saturating_sub(planned(line)))),
        ),
    ]
}
