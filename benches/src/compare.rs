//! Two reports, row by row.
//!
//! Times move with the machine, so what is compared are ratios to the baseline of the same run: a
//! row is better or worse where the spreads of its samples do not overlap.

use serde::{Deserialize, Serialize};

use crate::measure::{Row, Spread, Way};
use crate::report::{FORMAT, Report};
use crate::sweep::{Instrument, RowCase};

/// Why two reports can not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file is no report.
    #[error("not a report of fairveil bench: {0}")]
    Json(#[from] serde_json::Error),
    /// A report of another version of this program.
    #[error("report of format {actual}, this program reads {FORMAT}")]
    Format {
        /// Its format.
        actual: u32,
    },
    /// They measure different things.
    #[error("the first is of bench {first}, the second of bench {second}")]
    Instrument {
        /// What the first one measures.
        first: Instrument,
        /// What the second one measures.
        second: Instrument,
    },
    /// Nothing is in both.
    #[error("the reports have no row in common")]
    NothingInCommon,
}

/// How a row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Every sample of the second is above those of the first.
    Better,
    /// The samples overlap.
    Same,
    /// Every sample of the second is below those of the first.
    Worse,
}

impl Change {
    fn between(first: &Spread, second: &Spread) -> Self {
        if second.min > first.max {
            Self::Better
        } else if second.max < first.min {
            Self::Worse
        } else {
            Self::Same
        }
    }

    /// Its name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "WORSE",
        }
    }
}

/// One row of both reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Which.
    pub case: RowCase,
    /// Ratio of processor times to the baseline in the first report.
    pub first: Spread,
    /// The same in the second.
    pub second: Spread,
    /// How it changed.
    pub change: Change,
}

/// Two reports beside each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What they measure.
    pub instrument: Instrument,
    /// Rows of both.
    pub rows: Vec<Compared>,
    /// Rows of the first alone.
    pub only_first: Vec<RowCase>,
    /// Rows of the second alone.
    pub only_second: Vec<RowCase>,
    /// Whether one of them is not for quoting.
    pub quick: bool,
}

impl Comparison {
    /// Whether no row is worse.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.change != Change::Worse)
    }
}

/// Reads a report.
///
/// # Errors
///
/// If these bytes are none, or one of another format.
pub fn read(bytes: &[u8]) -> Result<Report, CompareError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format: actual } = serde_json::from_slice(bytes)?;
    if actual != FORMAT {
        return Err(CompareError::Format { actual });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Compares two reports, the earlier one first.
///
/// # Errors
///
/// If they measure different things, or no row is in both.
pub fn compare(first: &Report, second: &Report) -> Result<Comparison, CompareError> {
    if first.instrument != second.instrument {
        let (first, second) = (first.instrument, second.instrument);
        return Err(CompareError::Instrument { first, second });
    }
    let compared = |row: &Row| {
        let other = second.rows.iter().find(|other| other.case == row.case)?;
        let ratio = |row: &Row| row.ratio(Way::ThresholdCrypto).map(|ratio| ratio.cpu);
        let (first, second) = (ratio(row)?, ratio(other)?);
        let change = Change::between(&first, &second);
        Some(Compared { case: row.case, first, second, change })
    };
    let rows: Vec<Compared> = first.rows.iter().filter_map(compared).collect();
    if rows.is_empty() {
        return Err(CompareError::NothingInCommon);
    }
    let only = |report: &Report| -> Vec<RowCase> {
        let cases = report.rows.iter().map(|row| row.case);
        cases.filter(|case| rows.iter().all(|row| row.case != *case)).collect()
    };
    Ok(Comparison {
        instrument: first.instrument,
        only_first: only(first),
        only_second: only(second),
        quick: first.quick || second.quick,
        rows,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::testing::{report, row};

    fn changes(comparison: &Comparison) -> Vec<Change> {
        comparison.rows.iter().map(|row| row.change).collect()
    }

    #[test]
    fn rows_are_judged_by_whether_their_spreads_overlap() {
        // Samples lie within a tenth of their median.
        let first = report(vec![
            row(4, 128, 1, 1.0, 30.0),
            row(5, 128, 1, 1.0, 30.0),
            row(16, 128, 1, 1.0, 30.0),
            row(64, 128, 1, 1.0, 30.0),
        ]);
        let second = report(vec![
            row(4, 128, 1, 1.0, 31.0),
            row(5, 128, 1, 0.5, 30.0),
            row(16, 128, 1, 2.0, 30.0),
            row(16, 512, 1, 1.0, 30.0),
        ]);
        let comparison = compare(&first, &second).unwrap();
        assert_eq!(changes(&comparison), [Change::Same, Change::Better, Change::Worse]);
        assert_eq!(comparison.only_first, [first.rows[3].case]);
        assert_eq!(comparison.only_second, [second.rows[3].case]);
        assert!(!comparison.passed());
        assert!(compare(&first, &first).unwrap().passed());
    }

    #[test]
    fn a_machine_of_half_the_speed_is_no_change() {
        let first = report(vec![row(4, 128, 1, 1.0, 30.0)]);
        let second = report(vec![row(4, 128, 1, 2.0, 60.0)]);
        assert_eq!(changes(&compare(&first, &second).unwrap()), [Change::Same]);
    }

    #[test]
    fn what_can_not_be_compared_says_why() {
        let one = report(vec![row(4, 128, 1, 1.0, 30.0)]);
        let other = report(vec![row(5, 128, 1, 1.0, 30.0)]);
        let error = compare(&one, &other).unwrap_err();
        assert_eq!(error.to_string(), "the reports have no row in common");
        let seals = Report { instrument: Instrument::Seal, ..one.clone() };
        let error = compare(&one, &seals).unwrap_err();
        assert_eq!(error.to_string(), "the first is of bench decrypt, the second of bench seal");
        let old = serde_json::to_vec(&Report { format: 99, ..one.clone() }).unwrap();
        let error = read(&old).unwrap_err().to_string();
        assert_eq!(error, format!("report of format 99, this program reads {FORMAT}"));
        assert!(matches!(read(b"{}"), Err(CompareError::Json(_))));
        assert_eq!(read(&serde_json::to_vec(&one).unwrap()).unwrap(), one);
    }
}
