//! Rows of `seal`.

use super::{Known, MeasureError, Row, Sample, Stage, Way, WaySample, row};
use crate::baseline::Baseline;
use crate::clock::timed;
use crate::fairveil::{Sequencers, plaintext};
use crate::plan::Case;
use crate::speed::multiplication_us;
use crate::sweep::RowCase;

/// Measures a row of seals: a batch of ours, then as many as stand beside it of the baseline.
pub(crate) fn seals(
    case: RowCase,
    samples: usize,
    baseline_ciphertexts: usize,
) -> Result<Row, MeasureError> {
    let RowCase { n, batch, bundle_bytes, threads, .. } = case;
    let mut sequencers = Sequencers::new(Case { n, count: 1, plaintext_bytes: bundle_bytes });
    sequencers.use_threads(threads);
    let plaintexts: Vec<Vec<u8>> =
        (0..batch).map(|number| plaintext(number, bundle_bytes)).collect();
    let others = &plaintexts[..baseline_ciphertexts.min(batch)];
    let baseline = Baseline::new(n, &[], threads);
    let sample = |_| -> Result<Sample, MeasureError> {
        let multiplication_us = multiplication_us();
        let (sealed, ours) = timed(|| sequencers.seal_many(&plaintexts));
        if sequencers.open_sealed(&sealed).as_ref() != Some(&plaintexts) {
            return Err(MeasureError::OtherPlaintext { case, way: Way::Fairveil });
        }
        let (sealed, theirs) = timed(|| baseline.seal(others));
        if baseline.open_sealed(&sealed).as_deref() != Some(others) {
            return Err(MeasureError::OtherPlaintext { case, way: Way::ThresholdCrypto });
        }
        let side = |way, ciphertexts, elapsed| WaySample {
            way,
            ciphertexts,
            stages: vec![(Stage::Seal, elapsed)],
        };
        let ours = side(Way::Fairveil, batch, ours);
        let theirs = side(Way::ThresholdCrypto, others.len(), theirs);
        Ok(Sample { ways: vec![ours, theirs], multiplication_us })
    };
    // The first one warms up.
    let all: Vec<Sample> = (0..=samples).map(sample).collect::<Result<_, _>>()?;
    Ok(row(Known { case, sent: None, hints: 0 }, &all[1..]))
}
