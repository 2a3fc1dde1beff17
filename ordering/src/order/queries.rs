//! What an order tells: lengths, statuses, what is pending, the duty to report.

use fairveil_crypto::{BundleId, Height, SequencerIndex};

use crate::{
    committee::Committee,
    order::FairOrder,
    proposal::Proposal,
    record::{Live, Outcome},
    step::{Mode, Status},
};

impl FairOrder {
    /// The height of the last block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The committee's numbers.
    pub fn committee(&self) -> Committee {
        self.committee
    }

    /// Who decides the order.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Entries of a log so far.
    pub fn length(&self, sequencer: SequencerIndex) -> u64 {
        self.lengths.get(sequencer.position()).copied().unwrap_or(0)
    }

    /// Live ids of a log that stand in fewer than T logs; above the limit it is not extended.
    pub fn below_edge(&self, sequencer: SequencerIndex) -> u32 {
        self.below_edge.get(sequencer.position()).copied().unwrap_or(0)
    }

    /// Whether a log holds so many of these that it is not extended.
    pub fn is_full(&self, sequencer: SequencerIndex) -> bool {
        self.below_edge(sequencer) > self.rules.bounds.below_edge
    }

    /// Ids that are in some log, neither emitted nor forgotten.
    pub fn live_ids(&self) -> usize {
        self.live.len()
    }

    /// Emitted and forgotten ids that are remembered.
    pub fn settled_ids(&self) -> usize {
        self.settled.len()
    }

    /// The only id that is remembered and begins with these bytes.
    pub(crate) fn only_beginning_with<const N: usize>(&self, bytes: [u8; N]) -> Option<BundleId> {
        let live = self.live.beginning_with(bytes).map(|(id, _)| *id);
        let mut ids = live.chain(self.settled.beginning_with(bytes).map(|(id, _)| *id));
        let first = ids.next()?;
        ids.next().is_none().then_some(first)
    }

    /// Where an id stands.
    pub fn status(&self, id: &BundleId) -> Status {
        if let Some(settled) = self.settled.get(id) {
            return match settled.outcome {
                Outcome::Emitted { height, index, validity } => {
                    Status::Emitted { height, index, validity }
                }
                Outcome::Forgotten => Status::Forgotten,
            };
        }
        match self.live.get(id) {
            None => Status::Unknown,
            Some(Live { count, proposal: Some(_), .. }) => Status::Proposed { logs: *count },
            Some(Live { count, .. }) => Status::Logged { logs: *count },
        }
    }

    /// Ids in proposals that have not emitted them, oldest proposal first; in mode `median` those
    /// whose time is settled, in the order of times.
    pub fn pending(&self) -> Vec<BundleId> {
        if self.mode == Mode::Median {
            return self.stamped();
        }
        self.pending.iter().flat_map(Proposal::remaining).collect()
    }

    /// Live ids in no proposal, in the order of (median, id): so they enter the next epoch's logs.
    pub fn unproposed(&self) -> Vec<BundleId> {
        let unproposed = self.live.iter().filter(|(_, live)| live.proposal.is_none());
        let mut ids: Vec<_> = unproposed.map(|(id, live)| (live.median(), *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Ids in T logs, pending or emitted, that this sequencer's committed log lacks: the duty to
    /// report. Visits everything remembered; from block to block use [`Output::reached_edge`](crate::Output::reached_edge).
    pub fn to_report(&self, sequencer: SequencerIndex) -> Vec<BundleId> {
        let edge = self.thresholds().edge;
        let live = self.live.iter();
        let live = live.filter(|(_, live)| live.count >= edge && !live.is_in(sequencer));
        let emitted = self.settled.iter().filter(|(_, settled)| {
            matches!(settled.outcome, Outcome::Emitted { .. }) && !settled.logs.contains(sequencer)
        });
        live.map(|(id, _)| *id).chain(emitted.map(|(id, _)| *id)).collect()
    }
}
