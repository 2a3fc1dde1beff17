//! What an adversary's own log holds, in which order, and when.

use fairveil_crypto::BundleId;
use fairveil_mempool::pool::LogEntry;
use rand_core_10::CryptoRng;

use crate::behaviour::Behaviour;

/// Ticks for which entries are gathered before their order is changed.
pub(crate) const GATHERING_TICKS: u64 = 4;
/// Ticks for which a late reporter keeps an entry: half a second, far less than heads stay fresh.
pub(crate) const LATE_TICKS: u64 = 20;

/// How it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// All of it, as it came: honest.
    Prompt,
    /// Nothing.
    Never,
    /// What came in [`GATHERING_TICKS`], own bundles first, the rest from the last to the first.
    Reversed,
    /// What came in [`GATHERING_TICKS`], in random order.
    Shuffled,
    /// As it came, [`LATE_TICKS`] later.
    Late,
}

/// The way from the pool into the own log.
pub(super) struct Reports {
    manner: Manner,
    next_position: u64,
    /// Entries that wait, with the tick at which they came.
    gathered: Vec<(u64, LogEntry)>,
    /// Entries whose turn has come.
    ready: Vec<LogEntry>,
}

impl Reports {
    pub(super) fn new(behaviour: Behaviour, log_length: u64) -> Self {
        let manner = match behaviour {
            Behaviour::Censor => Manner::Never,
            Behaviour::Reverser | Behaviour::FrontRunner | Behaviour::IdGrinder => Manner::Reversed,
            Behaviour::Randomiser => Manner::Shuffled,
            Behaviour::LateReporter => Manner::Late,
            _ => Manner::Prompt,
        };
        Self { manner, next_position: log_length, gathered: Vec::new(), ready: Vec::new() }
    }

    /// The entries that go into the log now, with the positions that they get.
    pub(super) fn arrange(&mut self, ticks: u64, entries: Vec<LogEntry>) -> Vec<(u64, LogEntry)> {
        let entries = match self.manner {
            Manner::Prompt => entries,
            Manner::Never => return Vec::new(),
            Manner::Reversed | Manner::Shuffled | Manner::Late => {
                self.gathered.extend(entries.into_iter().map(|entry| (ticks, entry)));
                std::mem::take(&mut self.ready)
            }
        };
        let first = self.next_position;
        self.next_position += entries.len() as u64;
        (first..).zip(entries).collect()
    }

    /// Lets gathered entries go on; how many of them are not where, or when, they should be.
    pub(super) fn tick(
        &mut self,
        ticks: u64,
        rng: &mut impl CryptoRng,
        owns: impl Fn(&BundleId) -> bool,
    ) -> u64 {
        let due = match self.manner {
            Manner::Prompt | Manner::Never => return 0,
            Manner::Late => {
                let late = |(came, _): &(u64, LogEntry)| came + LATE_TICKS <= ticks;
                self.gathered.iter().take_while(|entry| late(entry)).count()
            }
            Manner::Reversed | Manner::Shuffled if ticks.is_multiple_of(GATHERING_TICKS) => {
                self.gathered.len()
            }
            Manner::Reversed | Manner::Shuffled => return 0,
        };
        let mut entries: Vec<LogEntry> =
            self.gathered.drain(..due).map(|(_, entry)| entry).collect();
        let before: Vec<BundleId> = entries.iter().map(|entry| entry.id).collect();
        match self.manner {
            Manner::Reversed => {
                entries.reverse();
                entries.sort_by_key(|entry| !owns(&entry.id));
            }
            Manner::Shuffled => shuffle(&mut entries, rng),
            _ => {}
        }
        let moved = match self.manner {
            Manner::Late => entries.len(),
            _ => entries.iter().zip(&before).filter(|(now, then)| now.id != **then).count(),
        };
        self.ready.append(&mut entries);
        moved as u64
    }
}

/// Every order is equally likely, but for the remainder of 2^64.
fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for last in (1..items.len()).rev() {
        let other = rng.next_u64() % (last as u64 + 1);
        items.swap(last, usize::try_from(other).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use fairveil_crypto::{Epoch, Height, NetworkId};
    use fairveil_mempool::{Place, ReceiptBody};
    use rand_core_10::{TryCryptoRng, TryRng};

    use super::*;

    /// Counts, in steps that are odd and large.
    struct Steps(u64);

    impl TryRng for Steps {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.try_next_u64().map(|number| (number >> 32) as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Ok(self.0 >> 7)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(0);
            Ok(())
        }
    }

    impl TryCryptoRng for Steps {}

    fn entries(numbers: impl IntoIterator<Item = u8>) -> Vec<LogEntry> {
        let entry = |number| {
            let id = BundleId::from_bytes([number; 32]);
            let network_id = NetworkId::from_bytes([1; 32]);
            let (epoch, place, height) = (Epoch::new(1), Place::Held, Height::ZERO);
            let receipt = ReceiptBody { network_id, epoch, id, place, height, time_ms: 0 };
            LogEntry { position: 99, id, receipt }
        };
        numbers.into_iter().map(entry).collect()
    }

    /// What stands in the log after these many ticks, entries 1 to 9 having come at the first.
    fn logged(behaviour: Behaviour, ticks: u64) -> (Vec<(u64, u8)>, u64) {
        let mut reports = Reports::new(behaviour, 5);
        let mut log = reports.arrange(1, entries(1..=9));
        let mut moved = 0;
        for tick in 2..=ticks {
            let own = BundleId::from_bytes([4; 32]);
            moved += reports.tick(tick, &mut Steps(3), |id| *id == own);
            log.append(&mut reports.arrange(tick, Vec::new()));
        }
        (log.into_iter().map(|(at, entry)| (at, entry.id.as_bytes()[0])).collect(), moved)
    }

    fn numbered(ids: &[u8]) -> Vec<(u64, u8)> {
        (5..).zip(ids.iter().copied()).collect()
    }

    #[test]
    fn an_honest_log_is_what_came_at_once() {
        let all = numbered(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(logged(Behaviour::Honest, 1), (all.clone(), 0));
        assert_eq!(logged(Behaviour::Honest, 40), (all, 0));
        assert_eq!(logged(Behaviour::Censor, 40), (Vec::new(), 0));
    }

    #[test]
    fn reversing_puts_own_bundles_first() {
        let turned = numbered(&[4, 9, 8, 7, 6, 5, 3, 2, 1]);
        assert_eq!(logged(Behaviour::Reverser, GATHERING_TICKS - 1), (Vec::new(), 0));
        assert_eq!(logged(Behaviour::IdGrinder, 40).0, turned);
        assert_eq!(logged(Behaviour::FrontRunner, 40), (turned, 9));
    }

    #[test]
    fn a_randomiser_reports_everything_once_in_another_order() {
        let (log, moved) = logged(Behaviour::Randomiser, 40);
        let mut sorted: Vec<u8> = log.iter().map(|(_, id)| *id).collect();
        assert_ne!(sorted, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(moved > 0);
        assert!(log.iter().map(|(at, _)| *at).eq(5..14));
    }

    #[test]
    fn a_late_reporter_keeps_the_order() {
        assert_eq!(logged(Behaviour::LateReporter, LATE_TICKS), (Vec::new(), 0));
        let all = numbered(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(logged(Behaviour::LateReporter, LATE_TICKS + 1), (all, 9));
    }
}
