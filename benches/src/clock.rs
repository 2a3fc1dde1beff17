//! Processor time instead of wall time, so that what else runs on the machine counts little.
//!
//! It is that of the whole process: work on a thread pool of one thread counts, waiting for it
//! does not.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessorTime;

/// Criterion with this clock, short enough that a complete run takes minutes, and the arguments
/// of the command line.
#[must_use]
pub fn criterion() -> Criterion<ProcessorTime> {
    Criterion::default()
        .with_measurement(ProcessorTime)
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .nresamples(2_000)
        .configure_from_args()
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).expect("processor time is not negative");
    let nanoseconds = u64::try_from(now.tv_nsec).expect("processor time is not negative");
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now() - start
    }

    fn add(&self, first: &Duration, second: &Duration) -> Duration {
        *first + *second
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        const NANOSECONDS: &WallTime = &WallTime;
        NANOSECONDS.formatter()
    }
}
