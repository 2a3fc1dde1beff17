//! How fast this machine multiplies in G1 now: what other figures are counted in.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::thread;

use fairveil_crypto::domain::Tag;
use fairveil_crypto::point::Point;
use fairveil_crypto::primitive;
use fairveil_crypto::scalar::SecretScalar;

use crate::clock::{Elapsed, timed};

/// Multiplications that are timed together.
const MULTIPLICATIONS: u32 = 100;
/// Such rounds on each core while all are busy.
const BUSY_ROUNDS: u32 = 20;

/// Processor time of one constant-time multiplication by blst, microseconds.
#[must_use]
pub fn multiplication_us() -> f64 {
    round().cpu.as_secs_f64() * 1e6 / f64::from(MULTIPLICATIONS)
}

/// Wall time of one multiplication while every core does the same, microseconds: cores that share
/// anything, with each other or with other machines, are slower then.
#[must_use]
pub fn busy_multiplication_us() -> f64 {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let core = || (0..BUSY_ROUNDS).map(|_| round().wall.as_secs_f64()).sum::<f64>();
    let seconds: f64 = thread::scope(|scope| {
        let cores: Vec<_> = (0..cores).map(|_| scope.spawn(core)).collect();
        cores.into_iter().map(|core| core.join().expect("multiplying does not panic")).sum()
    });
    seconds * 1e6 / (cores as f64 * f64::from(MULTIPLICATIONS * BUSY_ROUNDS))
}

fn round() -> Elapsed {
    let secret = SecretScalar::hash(Tag::TestDealer, &[b"multiplication"]);
    let point = Point::second_generator();
    let ((), elapsed) = timed(|| {
        for _ in 0..MULTIPLICATIONS {
            black_box(primitive::multiply(black_box(&point), black_box(&secret)));
        }
    });
    elapsed
}
