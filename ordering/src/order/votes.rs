//! A block's log entries by id.
//!
//! An id stands in up to n logs of a block. What the state knows of it is looked up once, not once per
//! log, because by far most of a block's time goes into lookups.

use fairveil_crypto::{BundleId, SequencerIndex};

use crate::{step::Appended, tree::first_bytes};

/// All entries of a block, in the order of (id, log).
pub(super) struct Votes<'a> {
    logs: &'a [Appended<'a>],
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The id's first bytes, which decide the order of two ids nearly always.
    first: u64,
    log: u32,
    at: u32,
}

/// The entries of one id.
#[derive(Clone, Copy)]
pub(super) struct Vote<'a, 'b> {
    pub(super) id: &'a BundleId,
    logs: &'a [Appended<'a>],
    entries: &'b [Entry],
}

impl<'a> Votes<'a> {
    pub(super) fn new(logs: &'a [Appended<'a>]) -> Self {
        let mut entries = Vec::with_capacity(logs.iter().map(|log| log.ids.len()).sum());
        for (log, appended) in (0..).zip(logs) {
            let ids = (0..).zip(appended.ids);
            entries.extend(ids.map(|(at, id)| Entry {
                first: first_bytes(id.as_bytes()),
                log,
                at,
            }));
        }
        entries.sort_unstable();
        let mut votes = Self { logs, entries };
        votes.part_namesakes();
        votes
    }

    /// Sorts ids that share their first bytes, which takes 2^32 attempts to make on purpose.
    fn part_namesakes(&mut self) {
        let Self { logs, entries } = self;
        for same in entries.chunk_by_mut(|a, b| a.first == b.first) {
            if same.iter().any(|entry| entry.id(logs) != same[0].id(logs)) {
                same.sort_unstable_by_key(|entry| (entry.id(logs), entry.log, entry.at));
            }
        }
    }

    pub(super) fn logs(&self) -> &'a [Appended<'a>] {
        self.logs
    }

    /// Whose log has what at this place.
    pub(super) fn entry(&self, place: Place) -> (SequencerIndex, BundleId) {
        let log = &self.logs[place.log as usize];
        (log.sequencer, log.ids[place.at as usize])
    }

    /// By id, in the order of ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = Vote<'a, '_>> {
        let logs = self.logs;
        let same = move |a: &Entry, b: &Entry| a.first == b.first && a.id(logs) == b.id(logs);
        let groups = self.entries.chunk_by(same);
        groups.map(move |entries| Vote { id: entries[0].id(logs), logs, entries })
    }
}

impl Entry {
    fn id<'a>(&self, logs: &'a [Appended<'a>]) -> &'a BundleId {
        &logs[self.log as usize].ids[self.at as usize]
    }
}

impl<'a> Vote<'a, '_> {
    /// Logs that name the id.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// By log, in the order of the block: the log, and where in what it grew by the id stands.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a Appended<'a>, usize)> {
        let logs = self.logs;
        self.entries.iter().map(move |entry| (&logs[entry.log as usize], entry.at as usize))
    }

    /// The first entry, in the order of the block, that stands in its log already: earlier in the block,
    /// or, as `before` says, before it.
    pub(super) fn repeated(&self, before: impl Fn(SequencerIndex) -> bool) -> Option<Place> {
        let here = self.entries.windows(2).filter(|pair| pair[0].log == pair[1].log);
        let here = here.map(|pair| pair[1]);
        let earlier = self
            .entries
            .iter()
            .copied()
            .filter(|entry| before(self.logs[entry.log as usize].sequencer));
        here.chain(earlier).map(|entry| Place { log: entry.log, at: entry.at }).min()
    }
}

/// Where an entry stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) log: u32,
    pub(super) at: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, last: u8) -> BundleId {
        let mut bytes = [first; 32];
        bytes[31] = last;
        BundleId::from_bytes(bytes)
    }

    fn sequencer(index: u16) -> SequencerIndex {
        SequencerIndex::new(index).unwrap()
    }

    #[test]
    fn entries_stand_by_id_and_log_even_where_ids_share_their_first_bytes() {
        let (a, b, c) = (id(1, 9), id(1, 2), id(0, 0));
        let (first, second, third) = ([a, b], [b, c, a], [c]);
        let logs = [
            Appended::new(sequencer(3), &first),
            Appended::new(sequencer(1), &second),
            Appended::new(sequencer(2), &third),
        ];
        let votes = Votes::new(&logs);
        let found: Vec<(BundleId, Vec<(u16, usize)>)> = votes
            .iter()
            .map(|vote| {
                let entries = vote.entries().map(|(log, at)| (log.sequencer.get(), at)).collect();
                assert_eq!(vote.len(), 2);
                (*vote.id, entries)
            })
            .collect();
        let expected =
            [(c, vec![(1, 1), (2, 0)]), (b, vec![(3, 1), (1, 0)]), (a, vec![(3, 0), (1, 2)])];
        assert_eq!(found, expected);
        assert!(votes.iter().all(|vote| vote.repeated(|_| false).is_none()));
    }

    #[test]
    fn the_first_repetition_is_found() {
        let (a, b) = (id(1, 1), id(1, 2));
        let (first, second) = ([b, a], [a, b, a]);
        let logs = [Appended::new(sequencer(1), &first), Appended::new(sequencer(2), &second)];
        let votes = Votes::new(&logs);
        let repeated = |before: fn(SequencerIndex) -> bool| -> Vec<Option<(u32, u32)>> {
            let each = votes.iter().map(|vote| vote.repeated(before));
            each.map(|place| place.map(|place| (place.log, place.at))).collect()
        };
        assert_eq!(repeated(|_| false), [Some((1, 2)), None]);
        assert_eq!(repeated(|log| log.get() == 2), [Some((1, 0)), Some((1, 1))]);
        assert_eq!(repeated(|log| log.get() == 1), [Some((0, 1)), Some((0, 0))]);
    }
}
