//! Rows of `decrypt`.

use super::{Known, MeasureError, Row, Sample, Sent, Stage, Way, WaySample, rounded, row};
use crate::baseline::Baseline;
use crate::clock::timed;
use crate::fairveil::{Sequencers, plaintext};
use crate::plan::Case;
use crate::speed::multiplication_us;
use crate::sweep::RowCase;

/// A decryption share of `threshold_crypto`: one compressed point.
const BASELINE_SHARE_BYTES: f64 = 48.0;

/// A committee of ours with its ciphertexts, for all rows that have them.
pub(crate) struct Committee {
    sequencers: Sequencers,
    told: Vec<Vec<u8>>,
}

impl Committee {
    pub(crate) fn new(case: &RowCase) -> Self {
        let RowCase { n, batch, bundle_bytes, .. } = *case;
        let case = Case { n, count: batch, plaintext_bytes: bundle_bytes };
        let sequencers = Sequencers::new(case);
        Self { told: sequencers.told(), sequencers }
    }

    /// Whether it is the one of a row.
    pub(crate) fn is_of(&self, case: &RowCase) -> bool {
        let Case { n, count, plaintext_bytes } = self.sequencers.case();
        (n, count, plaintext_bytes) == (case.n, case.batch, case.bundle_bytes)
    }

    /// Measures a row.
    pub(crate) fn measure(
        &mut self,
        case: RowCase,
        samples: usize,
        baseline_ciphertexts: usize,
    ) -> Result<Row, MeasureError> {
        self.sequencers.use_threads(case.threads);
        self.sequencers.use_bad_shares(case.bad_shares);
        let plaintexts: Vec<Vec<u8>> =
            (0..baseline_ciphertexts).map(|number| plaintext(number, case.bundle_bytes)).collect();
        let baseline =
            Baseline::new(case.n, &plaintexts, case.threads).with_bad_shares(case.bad_shares);
        let sample = |_| -> Result<Sample, MeasureError> {
            let multiplication_us = multiplication_us();
            let (divided, whole) = self.ours(case)?;
            let (checked, unchecked) = theirs(case, &baseline, &plaintexts)?;
            let ways = [Some(divided), Some(whole), Some(checked), unchecked];
            Ok(Sample { ways: ways.into_iter().flatten().collect(), multiplication_us })
        };
        // The first one warms up.
        let all: Vec<Sample> = (0..=samples).map(sample).collect::<Result<_, _>>()?;
        let hints = case.batch - case.batch.div_ceil(case.n.into());
        Ok(row(Known { case, sent: Some(self.sent()), hints }, &all[1..]))
    }

    /// Divided and whole.
    fn ours(&self, case: RowCase) -> Result<(WaySample, WaySample), MeasureError> {
        let sequencers = &self.sequencers;
        let (verified, verify) = timed(|| sequencers.verify());
        let (prepared, share) = timed(|| sequencers.prepare(&verified));
        let (own, prove) = timed(|| sequencers.prove(&prepared));
        let copy = own.clone();
        let (opening, part) = timed(|| sequencers.combine_part(&verified, own));
        let (opened, check) = timed(|| sequencers.check_hints(opening, &self.told));
        if !sequencers.are_sealed(&opened) {
            return Err(MeasureError::OtherPlaintext { case, way: Way::Fairveil });
        }
        let (opened, whole) = timed(|| sequencers.combine(&verified, copy));
        if !sequencers.are_sealed(&opened) {
            return Err(MeasureError::OtherPlaintext { case, way: Way::FairveilWhole });
        }
        let ahead = [(Stage::Verify, verify), (Stage::Share, share), (Stage::Prove, prove)];
        let way = |way, rest: &[_]| WaySample {
            way,
            ciphertexts: case.batch,
            stages: [&ahead[..], rest].concat(),
        };
        let divided = way(Way::Fairveil, &[(Stage::Combine, part), (Stage::Check, check)]);
        Ok((divided, way(Way::FairveilWhole, &[(Stage::Combine, whole)])))
    }

    fn sent(&self) -> Sent {
        let (case, traffic) = (self.sequencers.case(), self.sequencers.traffic());
        let per_ciphertext = |bytes: usize| rounded(bytes as f64 / case.count as f64);
        let share_bytes = per_ciphertext(traffic.share_bytes);
        let hint_bytes = per_ciphertext(traffic.hint_bytes);
        Sent {
            share_bytes,
            hint_bytes,
            total_bytes: rounded((share_bytes + hint_bytes) * f64::from(case.n - 1)),
            baseline_share_bytes: BASELINE_SHARE_BYTES,
        }
    }
}

/// Checked, and unchecked where no share is bad.
fn theirs(
    case: RowCase,
    baseline: &Baseline,
    plaintexts: &[Vec<u8>],
) -> Result<(WaySample, Option<WaySample>), MeasureError> {
    let way = Way::ThresholdCrypto;
    let (verified, verify) = timed(|| baseline.verify());
    let (own, share) = timed(|| baseline.share());
    let (judged, check) = timed(|| baseline.check_shares());
    if !(verified && judged) {
        return Err(MeasureError::WrongVerdict { case, way });
    }
    let (opened, combine) = timed(|| baseline.combine(&own));
    if opened != plaintexts {
        return Err(MeasureError::OtherPlaintext { case, way });
    }
    let stages = vec![
        (Stage::Verify, verify),
        (Stage::Share, share),
        (Stage::Combine, combine),
        (Stage::Check, check),
    ];
    let ciphertexts = baseline.count();
    let checked = WaySample { way, ciphertexts, stages };
    let unchecked = WaySample {
        way: Way::ThresholdCryptoUnchecked,
        ciphertexts,
        stages: checked.stages[..3].to_vec(),
    };
    // With a bad share it would give a wrong plaintext.
    Ok((checked, (case.bad_shares == 0).then_some(unchecked)))
}
