//! The grid of a sweep: which rows are measured.
//!
//! Without a flag of the grid it is the standard sweep: all committees with all batches, and every
//! further number of threads, of bad shares and of bytes at a batch of 512. With one it is the
//! product of what is given; what is not given has one value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fairveil_crypto::committee::{MAX_SEQUENCERS, threshold};
use fairveil_crypto::envelope::SizeClass;

#[cfg(test)]
mod tests;

/// Sequencers of a committee, at least.
pub const MIN_SEQUENCERS: u16 = 4;
/// Ciphertexts of a batch, at most.
pub const MAX_BATCH: usize = 8_192;
/// Threads, at most.
pub const MAX_THREADS: usize = 64;

/// Samples of a row, after one that warms up.
pub const SAMPLES: usize = 5;

/// The batch at which what is not a batch is varied.
const REFERENCE_BATCH: usize = 512;
const REFERENCE_N: u16 = 5;
const STANDARD_N: [u16; 4] = [4, 5, 16, 64];
const STANDARD_BATCHES: [usize; 4] = [32, 128, 512, 2_048];
const STANDARD_BYTES: [usize; 2] = [512, 4_096];
const SMALL_BYTES: usize = 512;
const LARGE_BYTES: usize = 4_096;
/// Seals of a sample.
const SEALS: usize = 32;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instrument {
    /// From sealed bundles to plaintexts.
    Decrypt,
    /// The trader's side.
    Seal,
}

impl fmt::Display for Instrument {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Decrypt => "decrypt",
            Self::Seal => "seal",
        })
    }
}

/// How many sequencers send bad shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadShares {
    /// So many.
    Count(u16),
    /// `n-t`: as many as there can be.
    Most,
}

impl FromStr for BadShares {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "n-t" => Ok(Self::Most),
            number => number.parse().map(Self::Count),
        }
    }
}

/// The values of the grid's flags, as they stand on a command line; empty where none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Sequencers.
    pub n: Vec<String>,
    /// Ciphertexts of a batch.
    pub batch: Vec<String>,
    /// Threads.
    pub threads: Vec<String>,
    /// Sequencers with bad shares: numbers, or `n-t`.
    pub bad_shares: Vec<String>,
    /// Bytes of a padded bundle.
    pub bundle_bytes: Vec<String>,
}

/// How much of a sweep is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// To be quoted.
    Whole,
    /// Few rows, in less than two minutes; not to be quoted.
    Quick,
}

/// Why a grid can not be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// A value is no number.
    #[error("--{flag} {value}: not a number{}", also(flag))]
    Number {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: String,
    },
    /// A value is outside its limits.
    #[error("--{flag} {value}: between {min} and {max} are measured")]
    Range {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: usize,
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },
    /// No size class has so many bytes.
    #[error("--bundle-bytes {value}: a padded bundle has 512, 1024, 2048 and so on to {max} bytes")]
    Bytes {
        /// The value.
        value: usize,
        /// The largest.
        max: usize,
    },
    /// More bad shares than a committee can bear.
    #[error("--bad-shares {value}: with --n {n} at most {max} can be bad (n-t)")]
    BadShares {
        /// The value.
        value: u16,
        /// The committee.
        n: u16,
        /// Its n-t.
        max: u16,
    },
    /// Both a quick sweep, whose rows are fixed, and a grid.
    #[error("--quick has rows of its own: leave out the grid's flags, or --quick")]
    QuickGrid,
}

fn also(flag: &str) -> &'static str {
    if flag == "bad-shares" { " and not n-t" } else { "" }
}

/// One row of a sweep.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct RowCase {
    /// Sequencers.
    pub n: u16,
    /// Shares that suffice.
    pub t: u16,
    /// Bytes of a padded bundle.
    pub bundle_bytes: usize,
    /// Ciphertexts of a batch.
    pub batch: usize,
    /// Sequencers with bad shares, which come first.
    pub bad_shares: u16,
    /// Threads of either side.
    pub threads: usize,
}

impl fmt::Display for RowCase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, batch, threads, bad_shares, bundle_bytes, .. } = self;
        write!(
            out,
            "n={n} batch={batch} threads={threads} bad-shares={bad_shares} \
             bundle-bytes={bundle_bytes}"
        )
    }
}

/// The rows of a sweep, in the order in which they are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// What is measured.
    pub instrument: Instrument,
    /// How much of it.
    pub extent: Extent,
    /// The rows; those of one set of ciphertexts follow each other.
    pub rows: Vec<RowCase>,
}

impl Sweep {
    /// The sweep that these flags ask for.
    ///
    /// # Errors
    ///
    /// The first reason of [`GridError`] that applies.
    pub fn new(instrument: Instrument, flags: &Flags, extent: Extent) -> Result<Self, GridError> {
        let mut rows = match (extent, *flags == Flags::default()) {
            (Extent::Quick, false) => return Err(GridError::QuickGrid),
            (Extent::Quick, true) => quick(instrument),
            (Extent::Whole, true) => standard(instrument),
            (Extent::Whole, false) => product(instrument, flags)?,
        };
        rows.sort();
        rows.dedup();
        Ok(Self { instrument, extent, rows })
    }

    /// About how long it takes on an idle core, from what the steps cost one.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        self.rows.iter().map(|row| self.row_estimate(row)).sum()
    }

    /// About how long a row takes.
    #[must_use]
    pub fn row_estimate(&self, row: &RowCase) -> Duration {
        let (t, bad) = (f64::from(row.t), f64::from(row.bad_shares));
        let batch = row.batch as f64;
        let (ours_ms, setup_ms) = match self.instrument {
            Instrument::Seal => (0.7, 0.0),
            Instrument::Decrypt => {
                let blame_ms = if bad > 0.0 { 0.14 * (t + bad) + 0.04 * t } else { 0.0 };
                (1.0 + 0.05 * t + blame_ms, 0.25 * t)
            }
        };
        let theirs_ms = match self.instrument {
            // What it sealed is opened, which does not count and takes as long all the same.
            Instrument::Seal => 16.0 + 0.5 * t,
            Instrument::Decrypt => 8.0 * (t + bad),
        };
        let runs = (SAMPLES + 1) as f64;
        let theirs = theirs_ms * self.baseline_ciphertexts(row) as f64;
        Duration::from_secs_f64((runs * (ours_ms * batch + theirs) + setup_ms * batch) / 1_000.0)
    }

    /// How many ciphertexts of a batch the baseline handles in a sample: its cost is linear, and
    /// all of a large batch would take hours.
    #[must_use]
    pub fn baseline_ciphertexts(&self, row: &RowCase) -> usize {
        let cap = match (self.instrument, row.t) {
            (Instrument::Seal, _) => SEALS,
            (_, ..=4) => 16,
            (_, 5..=16) => 8,
            _ => 4,
        };
        let cap = if self.extent == Extent::Quick { cap / 2 } else { cap };
        cap.next_multiple_of(row.threads).min(row.batch)
    }
}

const fn case(n: u16, batch: usize) -> RowCase {
    let (threads, bad_shares) = (1, 0);
    RowCase { n, t: threshold(n), batch, threads, bad_shares, bundle_bytes: SMALL_BYTES }
}

fn standard(instrument: Instrument) -> Vec<RowCase> {
    let mut rows = Vec::new();
    for n in STANDARD_N {
        let reference =
            case(n, if instrument == Instrument::Seal { SEALS } else { REFERENCE_BATCH });
        rows.push(RowCase { threads: 2, ..reference });
        rows.push(RowCase { bundle_bytes: LARGE_BYTES, ..reference });
        match instrument {
            Instrument::Seal => rows.push(reference),
            Instrument::Decrypt => {
                rows.extend(STANDARD_BATCHES.map(|batch| case(n, batch)));
                rows.push(RowCase { bad_shares: 1, ..reference });
                rows.push(RowCase { bad_shares: n - reference.t, ..reference });
            }
        }
    }
    rows
}

fn quick(instrument: Instrument) -> Vec<RowCase> {
    if instrument == Instrument::Seal {
        let seals = |bundle_bytes| RowCase { bundle_bytes, ..case(REFERENCE_N, SEALS) };
        return STANDARD_BYTES.map(seals).to_vec();
    }
    let mut rows = STANDARD_N.map(|n| case(n, 128)).to_vec();
    let reference = case(REFERENCE_N, REFERENCE_BATCH);
    rows.extend([
        case(REFERENCE_N, 32),
        reference,
        RowCase { threads: 2, ..reference },
        RowCase { bad_shares: 1, ..case(REFERENCE_N, 128) },
        RowCase { bundle_bytes: LARGE_BYTES, ..case(REFERENCE_N, 128) },
    ]);
    rows
}

fn product(instrument: Instrument, flags: &Flags) -> Result<Vec<RowCase>, GridError> {
    let largest = SizeClass::MAX.plaintext_bytes();
    let batch = if instrument == Instrument::Seal { SEALS } else { REFERENCE_BATCH };
    let committees =
        within("n", &flags.n, REFERENCE_N.into(), MIN_SEQUENCERS.into()..=MAX_SEQUENCERS)?;
    let batches = within("batch", &flags.batch, batch, 1..=MAX_BATCH)?;
    let threads = within("threads", &flags.threads, 1, 1..=MAX_THREADS)?;
    let sizes = within("bundle-bytes", &flags.bundle_bytes, SMALL_BYTES, 1..=largest)?;
    let is_class = |bytes: &usize| {
        SizeClass::fitting(*bytes).is_some_and(|class| class.plaintext_bytes() == *bytes)
    };
    if let Some(value) = sizes.iter().copied().find(|bytes| !is_class(bytes)) {
        return Err(GridError::Bytes { value, max: largest });
    }
    let bad = values("bad-shares", &flags.bad_shares, BadShares::Count(0))?;
    let mut rows = Vec::new();
    for n in committees.into_iter().map(|n| n as u16) {
        let (t, max) = (threshold(n), n - threshold(n));
        for bad in &bad {
            let bad_shares = match *bad {
                BadShares::Count(value) if value > max => {
                    return Err(GridError::BadShares { value, n, max });
                }
                BadShares::Count(value) => value,
                BadShares::Most => max,
            };
            for bundle_bytes in sizes.iter().copied() {
                for batch in batches.iter().copied() {
                    let row = |threads: &usize| RowCase {
                        n,
                        t,
                        bundle_bytes,
                        batch,
                        bad_shares,
                        threads: *threads,
                    };
                    rows.extend(threads.iter().map(row));
                }
            }
        }
    }
    Ok(rows)
}

/// The values of a flag, or the one that it has if it is not given.
fn values<T: FromStr>(flag: &'static str, given: &[String], other: T) -> Result<Vec<T>, GridError> {
    if given.is_empty() {
        return Ok(vec![other]);
    }
    let value = |text: &String| {
        text.trim().parse().map_err(|_| GridError::Number { flag, value: text.clone() })
    };
    given.iter().map(value).collect()
}

fn within(
    flag: &'static str,
    given: &[String],
    other: usize,
    limits: std::ops::RangeInclusive<usize>,
) -> Result<Vec<usize>, GridError> {
    let values = values(flag, given, other)?;
    match values.iter().copied().find(|value| !limits.contains(value)) {
        Some(value) => {
            Err(GridError::Range { flag, value, min: *limits.start(), max: *limits.end() })
        }
        None => Ok(values),
    }
}
