//! What the processes used: processor time by thread, bytes between sequencers, bytes on disk.
//!
//! Times are those of Linux' `/proc`, in its ticks of a hundredth of a second. Where there is no
//! such folder no thread is listed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::Bench;

/// Ticks of `/proc` in a second, on every Linux that runs this (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What was used up to a moment, or between two.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Usage {
    /// Processor seconds of all sequencers together, by kind of thread.
    pub(super) sequencers: BTreeMap<String, f64>,
    /// Processor seconds of this process, the load generator.
    pub(super) generator: f64,
    /// Bytes that sequencers sent to each other, by channel, all sequencers together.
    pub(super) sent_bytes: BTreeMap<String, f64>,
    /// Bytes in the folders of all sequencers.
    pub(super) stored_bytes: f64,
}

impl Usage {
    pub(super) async fn read(bench: &Bench) -> Self {
        let mut usage = Self::default();
        for pid in &bench.pids {
            for (thread, seconds) in threads(&pid.to_string()) {
                *usage.sequencers.entry(thread).or_default() += seconds;
            }
        }
        usage.generator = threads("self").into_iter().map(|(_, seconds)| seconds).sum();
        for endpoint in &bench.urls {
            let Ok(metrics) = endpoint.get("/metrics").await else { continue };
            for (channel, bytes) in sent(&String::from_utf8_lossy(&metrics)) {
                *usage.sent_bytes.entry(channel).or_default() += bytes;
            }
        }
        usage.stored_bytes = stored(&bench.dir);
        usage
    }

    /// What was used since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Self {
        let less = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let less = |(name, value): (&String, &f64)| {
                (name.clone(), value - then.get(name).copied().unwrap_or(0.0))
            };
            now.iter().map(less).filter(|(_, value)| *value > 0.0).collect()
        };
        Self {
            sequencers: less(&self.sequencers, &before.sequencers),
            generator: self.generator - before.generator,
            sent_bytes: less(&self.sent_bytes, &before.sent_bytes),
            stored_bytes: self.stored_bytes - before.stored_bytes,
        }
    }
}

/// The mean number of runnable tasks over 1, 5 and 15 minutes, or that it is unknown.
pub(super) fn load_average() -> String {
    let read = fs::read_to_string("/proc/loadavg").ok();
    let words = read.map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" "));
    words.unwrap_or_else(|| "unknown".into())
}

/// Processor seconds of a process' threads, each with its kind: its name without its number.
fn threads(pid: &str) -> Vec<(String, f64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
    tasks.filter_map(Result::ok).filter_map(stat).filter_map(|stat| thread(&stat)).collect()
}

/// The kind and the processor seconds of a line of `stat`: the name stands in parentheses, user
/// and system time are the 14th and 15th fields.
fn thread(stat: &str) -> Option<(String, f64)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let kind = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '-');
    Some((kind.to_owned(), (user + system) / TICKS))
}

/// Bytes sent by channel, from the text of the metrics.
fn sent(metrics: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let rest = line.strip_prefix("fairveil_channel_sent_bytes_total{channel=\"")?;
        let (channel, value) = rest.split_once("\"}")?;
        Some((channel.to_owned(), value.trim().parse().ok()?))
    };
    metrics.lines().filter_map(line).collect()
}

/// Bytes of all files below a folder.
fn stored(folder: &Path) -> f64 {
    let mut bytes = 0.0;
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len() as f64,
                // It was removed meanwhile.
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_line_is_read_whatever_its_name() {
        let line = "77 (tokio-rt (a) 1) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        let (kind, seconds) = thread(line).unwrap();
        assert_eq!((kind.as_str(), seconds), ("tokio-rt (a) ", 3.0));
        let line = "78 (opening-12) S 1 2 3 4 5 6 7 8 9 10 7 0 0 0 20 0 1";
        assert_eq!(thread(line).unwrap().0, "opening");
        assert_eq!(thread("79 (x) S 1"), None);
    }

    #[test]
    fn bytes_are_read_by_channel() {
        let text = "# TYPE x counter\n\
                    fairveil_channel_sent_bytes_total{channel=\"shares\"} 12\n\
                    fairveil_channel_received_bytes_total{channel=\"shares\"} 99\n";
        assert_eq!(sent(text), [("shares".to_owned(), 12.0)]);
    }

    #[test]
    fn only_what_came_in_between_is_counted() {
        let of = |shares: f64, generator: f64| Usage {
            sent_bytes: BTreeMap::from([("shares".into(), shares)]),
            generator,
            ..Usage::default()
        };
        let between = of(30.0, 5.0).since(&of(10.0, 2.0));
        assert_eq!((between.sent_bytes["shares"], between.generator), (20.0, 3.0));
        assert!(of(10.0, 2.0).since(&of(10.0, 2.0)).sent_bytes.is_empty());
    }
}
