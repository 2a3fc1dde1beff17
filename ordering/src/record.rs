//! What the state knows of an id, from its first appearance in a log until it leaves the index.

use fairveil_crypto::{Height, SequencerIndex};
use serde::{Deserialize, Serialize};

use crate::committee::MAX_SEQUENCERS;

/// The position of an id in a log that does not contain it.
pub(crate) const ABSENT: u64 = u64::MAX;

/// An id that is in some log and neither emitted nor forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// By log its position, in mode `median` its receive time; [`ABSENT`] where it is not.
    pub(crate) positions: Vec<u64>,
    /// Logs that contain it.
    pub(crate) count: u16,
    /// When it first appeared.
    pub(crate) first_height: Height,
    /// Known since it stood in T logs.
    pub(crate) expires_at: Option<Height>,
    /// The number of its proposal; in mode `median` the time that it is ordered by.
    pub(crate) proposal: Option<u64>,
}

/// An id that will not be proposed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// Logs that contain it.
    pub(crate) logs: LogSet,
    /// The last height at which it is surely remembered.
    pub(crate) until: Height,
    pub(crate) outcome: Outcome,
}

/// Why an id will not be proposed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Emitted { height: Height, index: u32, validity: Validity },
    Forgotten,
}

/// Whether an emitted id is to be opened, as far as its window decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validity {
    /// Its window was open when it was emitted.
    Open,
    /// Its window closed while it was pending: it keeps its place and is never opened.
    Expired,
}

/// A set of logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LogSet(u128);

impl LogSet {
    pub(crate) fn contains(self, sequencer: SequencerIndex) -> bool {
        self.0 >> sequencer.position() & 1 == 1
    }

    pub(crate) fn insert(&mut self, sequencer: SequencerIndex) {
        self.0 |= 1 << sequencer.position();
    }

    pub(crate) fn within(self, n: u16) -> bool {
        n >= 128 || self.0 >> n == 0
    }
}

impl Live {
    pub(crate) fn new(n: u16, first_height: Height) -> Self {
        Self {
            positions: vec![ABSENT; usize::from(n)],
            count: 0,
            first_height,
            expires_at: None,
            proposal: None,
        }
    }

    pub(crate) fn is_in(&self, sequencer: SequencerIndex) -> bool {
        self.positions[sequencer.position()] != ABSENT
    }

    /// Lower median of the positions in all logs, absent = infinity.
    pub(crate) fn median(&self) -> u64 {
        let mut positions = [ABSENT; MAX_SEQUENCERS as usize];
        let positions = &mut positions[..self.positions.len()];
        positions.copy_from_slice(&self.positions);
        let middle = (positions.len() - 1) / 2;
        *positions.select_nth_unstable(middle).1
    }

    pub(crate) fn logs(&self) -> LogSet {
        let mut logs = LogSet::default();
        for sequencer in SequencerIndex::all(self.positions.len() as u16) {
            if self.is_in(sequencer) {
                logs.insert(sequencer);
            }
        }
        logs
    }
}
