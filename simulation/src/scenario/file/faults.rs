//! The faults of a scenario file.

use serde::Deserialize;

use super::{FileError, MAX_FAULTS, MAX_MS, positions, range};

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum RawFault {
    Power { sequencer: u64, at_ms: u64, lasts_ms: u64 },
    Partition { sequencers: Vec<u64>, at_ms: u64, lasts_ms: u64 },
}

/// What fails without anybody cheating.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Who loses its power, or stands on one side of a partition.
    pub(crate) sequencers: Vec<usize>,
    pub(crate) is: FaultKind,
    pub(crate) at_ms: u64,
    pub(crate) lasts_ms: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Power,
    Partition,
}

/// All faults, each of which does something.
pub(super) fn checked(raw: &[RawFault], n: u16) -> Result<Vec<Fault>, FileError> {
    range("the number of faults", raw.len() as u64, 0, MAX_FAULTS)?;
    let mut faults: Vec<Fault> = Vec::with_capacity(raw.len());
    for (at, one) in raw.iter().enumerate() {
        let fault = one.checked(at, n)?;
        for (before, earlier) in faults.iter().enumerate() {
            fault.is_apart(at, earlier, before)?;
        }
        faults.push(fault);
    }
    Ok(faults)
}

impl RawFault {
    fn checked(&self, at: usize, n: u16) -> Result<Fault, FileError> {
        let key = |name: &str| format!("faults[{at}].{name}");
        let (numbers, name, is, at_ms, lasts_ms) = match self {
            Self::Power { sequencer, at_ms, lasts_ms } => {
                (vec![*sequencer], "sequencer", FaultKind::Power, *at_ms, *lasts_ms)
            }
            Self::Partition { sequencers, at_ms, lasts_ms } => {
                (sequencers.clone(), "sequencers", FaultKind::Partition, *at_ms, *lasts_ms)
            }
        };
        range(&key("at_ms"), at_ms, 0, MAX_MS)?;
        range(&key("lasts_ms"), lasts_ms, 1, MAX_MS)?;
        let sequencers = positions(&key(name), &numbers, n)?;
        if is == FaultKind::Partition {
            let count = sequencers.len() as u64;
            let key = format!("the number of {}", key(name));
            range(&key, count, 1, u64::from(n).saturating_sub(1))?;
        }
        Ok(Fault { sequencers, is, at_ms, lasts_ms })
    }
}

impl Fault {
    /// Whether this and an earlier one of the file cut nobody's power at once.
    fn is_apart(&self, at: usize, earlier: &Self, before: usize) -> Result<(), FileError> {
        if self.is != FaultKind::Power || earlier.is != FaultKind::Power {
            return Ok(());
        }
        let until_ms = earlier.at_ms.saturating_add(earlier.lasts_ms);
        let meets =
            self.at_ms <= until_ms && earlier.at_ms <= self.at_ms.saturating_add(self.lasts_ms);
        match self.sequencers.iter().find(|sequencer| earlier.sequencers.contains(sequencer)) {
            Some(sequencer) if meets => Err(FileError::Overlap {
                at,
                sequencer: sequencer + 1,
                at_ms: self.at_ms,
                before,
                until_ms,
            }),
            _ => Ok(()),
        }
    }
}
