//! Processor time and wall time of a piece of work.
//!
//! Processor time is that of the whole process: work on a thread pool counts, waiting for it does
//! not, and what else runs on the machine counts little.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this process so far.
#[must_use]
pub fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elapsed {
    /// Processor time of all threads together.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
}

impl std::ops::Add for Elapsed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, wall: self.wall + other.wall }
    }
}

impl std::iter::Sum for Elapsed {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}

/// Runs a piece of work, and returns what it gave and what it took.
pub fn timed<O>(work: impl FnOnce() -> O) -> (O, Elapsed) {
    let (wall, cpu) = (wall_time(), processor_time());
    let output = std::hint::black_box(work());
    (output, Elapsed { cpu: processor_time() - cpu, wall: wall.elapsed() })
}

/// Now, on the wall.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark is what reads clocks")]
pub fn wall_time() -> Instant {
    Instant::now()
}
