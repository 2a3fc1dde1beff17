//! One row: a warm-up that is not counted, then samples of both sides in turn.
//!
//! A sample handles the whole batch once, stage by stage. Ratios are those of one sample, whose
//! sides ran one after the other, so that a machine that slows down slows both.

mod decrypt;
mod seal;

use serde::{Deserialize, Serialize};

pub(crate) use self::decrypt::Committee;
pub(crate) use self::seal::seals;
use crate::clock::Elapsed;
use crate::sweep::RowCase;

const MS_PER_S: f64 = 1_000.0;
const BYTES_PER_MIB: f64 = 1_048_576.0;

/// Why a row does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// One side opened something else.
    #[error("{case}: {way} did not open what was sealed")]
    OtherPlaintext {
        /// The row.
        case: RowCase,
        /// The side.
        way: Way,
    },
    /// The baseline judged a ciphertext or a share wrongly.
    #[error("{case}: {way} gave a wrong verdict")]
    WrongVerdict {
        /// The row.
        case: RowCase,
        /// The side.
        way: Way,
    },
}

/// A way to do the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Ours, as sequencers do it: each combines its part and checks the hints of the others.
    Fairveil,
    /// Ours where each sequencer combines everything.
    FairveilWhole,
    /// The baseline as its interface requires it: every share is checked.
    ThresholdCrypto,
    /// The baseline trusting that every share of others is right: a lower bound.
    ThresholdCryptoUnchecked,
}

impl Way {
    /// Its name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fairveil => "fairveil",
            Self::FairveilWhole => "fairveil, undivided",
            Self::ThresholdCrypto => "threshold_crypto",
            Self::ThresholdCryptoUnchecked => "threshold_crypto, shares unchecked",
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A trader seals.
    Seal,
    /// The ciphertext is verified, at admission.
    Verify,
    /// The own share is computed; it stays at home until the order is final.
    Share,
    /// The own share is proven and signed.
    Prove,
    /// From t shares to plaintexts. Ours with decoding, signatures and the check of what opened,
    /// and with the blame of bad shares.
    Combine,
    /// Ours checks the hints of others; the baseline checks the shares of others.
    Check,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 6] =
        [Self::Seal, Self::Verify, Self::Share, Self::Prove, Self::Combine, Self::Check];

    /// Its name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Verify => "verify",
            Self::Share => "share",
            Self::Prove => "prove",
            Self::Combine => "combine",
            Self::Check => "check",
        }
    }

    /// Whether it waits for the final order.
    #[must_use]
    pub const fn is_after_finality(self) -> bool {
        matches!(self, Self::Prove | Self::Combine | Self::Check)
    }
}

/// What the samples of a figure were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these samples; all zero if there are none.
    #[must_use]
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let at = |place: usize| samples.get(place).copied().unwrap_or(0.0);
        let half = samples.len() / 2;
        let median = match samples.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => at(half),
            _ => f64::midpoint(at(half - 1), at(half)),
        };
        let (min, max) = (at(0), at(samples.len().saturating_sub(1)));
        Self { median: rounded(median), min: rounded(min), max: rounded(max) }
    }
}

/// With six digits: more is noise, and what is short in JSON reads back as the same number.
#[must_use]
pub fn rounded(figure: f64) -> f64 {
    format!("{figure:.5e}").parse().unwrap_or(figure)
}

/// What something costs per ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of all threads, milliseconds.
    pub cpu_ms: Spread,
    /// Time on the wall, milliseconds.
    pub wall_ms: Spread,
}

/// A stage and what it costs per ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// Its cost.
    pub cost: Cost,
}

/// What one way costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The way.
    pub way: Way,
    /// Ciphertexts in a sample.
    pub ciphertexts: usize,
    /// Per stage.
    pub stages: Vec<StageCost>,
    /// Everything.
    pub total: Cost,
    /// What is left once the order is final; nothing for seals.
    pub after_finality: Option<Cost>,
    /// Ciphertexts a second on the wall.
    pub ciphertexts_per_s: Spread,
    /// Plaintext a second on the wall, MiB.
    pub mib_per_s: Spread,
}

impl Measured {
    /// The cost of a stage, if the way has it.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<&Cost> {
        self.stages.iter().find(|cost| cost.stage == stage).map(|cost| &cost.cost)
    }
}

/// What ours costs in terms of another way: above 1 the other one costs more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The other way.
    pub to: Way,
    /// Processor time of the other way over that of [`Way::Fairveil`].
    pub cpu: Spread,
    /// The same on the wall.
    pub wall: Spread,
}

/// What one sequencer sends to each other one, bytes per ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Decryption share, with proof, signature and framing of the message.
    pub share_bytes: f64,
    /// Opening hints, with framing.
    pub hint_bytes: f64,
    /// Both, to all n-1 others.
    pub total_bytes: f64,
    /// What the baseline's share has, without any framing or signature.
    pub baseline_share_bytes: f64,
}

/// A row of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    pub case: RowCase,
    /// Samples of every figure.
    pub samples: usize,
    /// What each way costs, [`Way::Fairveil`] first.
    pub ways: Vec<Measured>,
    /// What the others cost in terms of ours.
    pub ratios: Vec<Ratio>,
    /// What is sent; nothing for seals.
    pub sent: Option<Sent>,
    /// One constant-time multiplication in G1 by blst in the same samples, microseconds.
    pub multiplication_us: Spread,
    /// The verification of a ciphertext in multiplications, sample by sample.
    pub verify_in_multiplications: Option<Spread>,
    /// Processor time for an id that the hint of another sequencer opened, milliseconds.
    pub hint_ms: Option<Spread>,
}

impl Row {
    /// What a way costs, if it was measured.
    #[must_use]
    pub fn way(&self, way: Way) -> Option<&Measured> {
        self.ways.iter().find(|measured| measured.way == way)
    }

    /// The ratio to a way, if it was measured.
    #[must_use]
    pub fn ratio(&self, to: Way) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.to == to)
    }
}

/// One way in one sample.
#[derive(Clone, Debug)]
pub(crate) struct WaySample {
    pub(crate) way: Way,
    pub(crate) ciphertexts: usize,
    pub(crate) stages: Vec<(Stage, Elapsed)>,
}

impl WaySample {
    fn total(&self) -> Elapsed {
        self.stages.iter().map(|(_, elapsed)| *elapsed).sum()
    }

    fn after_finality(&self) -> Elapsed {
        let after = self.stages.iter().filter(|(stage, _)| stage.is_after_finality());
        after.map(|(_, elapsed)| *elapsed).sum()
    }

    fn stage(&self, stage: Stage) -> Option<Elapsed> {
        self.stages.iter().find(|(other, _)| *other == stage).map(|(_, elapsed)| *elapsed)
    }

    fn per_ciphertext_ms(&self, time: std::time::Duration) -> f64 {
        time.as_secs_f64() * MS_PER_S / self.ciphertexts as f64
    }
}

/// All ways in one sample: the same ones in every sample, ours first.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) ways: Vec<WaySample>,
    /// Processor time of one multiplication, microseconds.
    pub(crate) multiplication_us: f64,
}

/// What of a row does not come from samples.
pub(crate) struct Known {
    pub(crate) case: RowCase,
    pub(crate) sent: Option<Sent>,
    /// Ids that hints open.
    pub(crate) hints: usize,
}

/// The row that these samples make.
pub(crate) fn row(known: Known, samples: &[Sample]) -> Row {
    let Known { case, sent, hints } = known;
    let places = 0..samples.first().map_or(0, |sample| sample.ways.len());
    let of = |place: usize| samples.iter().map(move |sample| &sample.ways[place]);
    let ours = |figure: &dyn Fn(&Sample, &WaySample) -> Option<f64>| {
        let figures: Option<Vec<f64>> =
            samples.iter().map(|sample| figure(sample, sample.ways.first()?)).collect();
        figures.map(Spread::of)
    };
    let verify_in_multiplications = ours(&|sample, ours| {
        let verify = ours.stage(Stage::Verify)?;
        Some(ours.per_ciphertext_ms(verify.cpu) * MS_PER_S / sample.multiplication_us)
    });
    let hint_ms = ours(&|_, ours| {
        let check = ours.stage(Stage::Check).filter(|_| hints > 0)?;
        Some(check.cpu.as_secs_f64() * MS_PER_S / hints as f64)
    });
    Row {
        case,
        samples: samples.len(),
        ways: places.clone().map(|place| measured(&case, &of(place).collect::<Vec<_>>())).collect(),
        ratios: places.skip(1).map(|place| ratio(samples, place)).collect(),
        sent,
        multiplication_us: Spread::of(samples.iter().map(|sample| sample.multiplication_us)),
        verify_in_multiplications,
        hint_ms,
    }
}

fn measured(case: &RowCase, samples: &[&WaySample]) -> Measured {
    let cost = |elapsed: &dyn Fn(&WaySample) -> Elapsed| Cost {
        cpu_ms: Spread::of(samples.iter().map(|way| way.per_ciphertext_ms(elapsed(way).cpu))),
        wall_ms: Spread::of(samples.iter().map(|way| way.per_ciphertext_ms(elapsed(way).wall))),
    };
    let first = samples[0];
    let stage = |(place, (stage, _)): (usize, &(Stage, Elapsed))| StageCost {
        stage: *stage,
        cost: cost(&|way| way.stages[place].1),
    };
    let per_s = |way: &&WaySample| way.ciphertexts as f64 / way.total().wall.as_secs_f64();
    let opens = first.stages.iter().any(|(stage, _)| stage.is_after_finality());
    let mib = case.bundle_bytes as f64 / BYTES_PER_MIB;
    Measured {
        way: first.way,
        ciphertexts: first.ciphertexts,
        stages: first.stages.iter().enumerate().map(stage).collect(),
        total: cost(&WaySample::total),
        after_finality: opens.then(|| cost(&WaySample::after_finality)),
        ciphertexts_per_s: Spread::of(samples.iter().map(per_s)),
        mib_per_s: Spread::of(samples.iter().map(|way| per_s(way) * mib)),
    }
}

fn ratio(samples: &[Sample], place: usize) -> Ratio {
    let between = |time: fn(Elapsed) -> std::time::Duration| {
        Spread::of(samples.iter().map(|sample| {
            let (ours, other) = (&sample.ways[0], &sample.ways[place]);
            other.per_ciphertext_ms(time(other.total()))
                / ours.per_ciphertext_ms(time(ours.total()))
        }))
    };
    let to = samples[0].ways[place].way;
    Ratio { to, cpu: between(|elapsed| elapsed.cpu), wall: between(|elapsed| elapsed.wall) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spreads_are_medians_with_minimum_and_maximum() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }

    #[test]
    fn ratios_are_those_of_one_sample() {
        let elapsed = |ms: u64| {
            let time = Duration::from_millis(ms);
            Elapsed { cpu: time, wall: time / 2 }
        };
        let sample = |ours: u64, theirs: u64| Sample {
            ways: vec![
                WaySample {
                    way: Way::Fairveil,
                    ciphertexts: 10,
                    stages: vec![(Stage::Verify, elapsed(ours)), (Stage::Check, elapsed(ours))],
                },
                WaySample {
                    way: Way::ThresholdCrypto,
                    ciphertexts: 1,
                    stages: vec![(Stage::Verify, elapsed(theirs))],
                },
            ],
            multiplication_us: 500.0,
        };
        let case = RowCase { n: 4, t: 3, bundle_bytes: 512, batch: 10, bad_shares: 0, threads: 2 };
        let known = Known { case, sent: None, hints: 5 };
        let row = row(known, &[sample(10, 20), sample(20, 80), sample(20, 40)]);
        let cpu = row.ratio(Way::ThresholdCrypto).map(|ratio| ratio.cpu);
        assert_eq!(cpu, Some(Spread { median: 10.0, min: 10.0, max: 20.0 }));
        let ours = row.way(Way::Fairveil).map(|ours| (ours.total.cpu_ms, ours.ciphertexts_per_s));
        let (total, per_s) = ours.expect("it was measured");
        assert_eq!(total, Spread { median: 4.0, min: 2.0, max: 4.0 });
        assert_eq!(per_s, Spread { median: 500.0, min: 500.0, max: 1_000.0 });
        assert_eq!(row.verify_in_multiplications.map(|spread| spread.max), Some(4.0));
        assert_eq!(row.hint_ms.map(|spread| spread.max), Some(4.0));
    }
}
