//! The evidence as it stands in a block: as few bytes as the state before it allows.
//!
//! ```text
//! heads       their number, then per head, in the order of sequencers: the distance to the sequencer
//!             before, the number of its ids, height - height_seen, its time beside that of the head
//!             before, the signature
//! listed      the number of ids in the leader's list
//! dictionary  its length, a bit per id: known or new, then the ids: a known one by its first 4 bytes,
//!             a new one whole. In the order in which the columns first name them
//! columns     per head with ids, then the list: 4 bits, the code; then per id its place in the
//!             dictionary, among the places that the column has not named yet: by codes 0 to 14, Rice
//!             parameters, how far it is from the place after the last one; by code 15 its rank, in as
//!             few bits as all ranks take. The code with the fewest bits, of several the least
//! times       in mode `median`, per id: milliseconds since the one before it in its log; of the first
//!             one those until the head's
//! ```
//!
//! Numbers are varints, signed ones in zigzag form; bits begin at a byte.
//!
//! # Invariants
//!
//! 1. `unpack(pack(e)) == e` for all evidence that continues the state, and `pack(unpack(b)) == b`: one
//!    encoding each.
//! 2. What follows from the state and the ids is not sent: lengths, chains, epoch. So a fragment
//!    can't contradict its own head; it is signed or not.
//! 3. A known id is one that the state before the block remembers, the only such with its first 4
//!    bytes; every other stands whole. Who grinds ids that begin like others buys 28 bytes a block.
//! 4. No input makes the decoder hold more than [`MAX_IDS_PER_BLOCK`] ids.
//! 5. The ids of a dictionary are distinct, and so are those of a column: a place is named once.
//!
//! Logs that agree cost one bit an id and log, random ones about log2(k) + 1 bits with k ids in the
//! block. `benches` and `docs/performance.md` have the figures.

mod stream;
mod unused;

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, ConsensusPublicKey, Height, SequencerIndex, signature::Signature};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    stream::{Reader, Writer, rice_bits, unzigzag, zigzag},
    unused::Unused,
};
use crate::{
    evidence::{Evidence, EvidenceError, Fragment, MAX_IDS_PER_BLOCK, VerifiedEvidence},
    log::LogHead,
    order::repeated,
    state::{BlockError, State},
    step::{Mode, OrderError},
};

/// First bytes of an id that stand for a known one.
const SHORT_BYTES: usize = 4;
/// Bits that name a code.
const CODE_BITS: u32 = 4;
/// The code of ranks; those below are Rice parameters.
const RANKS: u32 = (1 << CODE_BITS) - 1;

const _: () = assert!(MAX_IDS_PER_BLOCK < 1 << 16);

/// Evidence in the form that blocks carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedEvidence {
    /// Ids in all columns together.
    ids: u32,
    bytes: Vec<u8>,
}

/// Why packed evidence is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PackError {
    /// The bytes end early.
    #[error("the packed evidence ends early")]
    Truncated,
    /// A number is too large for its place.
    #[error("a number in the packed evidence is out of range")]
    Number,
    /// A count above its limit.
    #[error("{actual} entries in the packed evidence, the limit is {limit}")]
    Count {
        /// What stands there.
        actual: u64,
        /// What may.
        limit: usize,
    },
    /// The state remembers no id, or several, that begin so.
    #[error("no single known id begins with the {SHORT_BYTES} bytes of entry {entry}")]
    Unknown {
        /// Its place in the dictionary.
        entry: usize,
    },
    /// An id stands in the dictionary twice.
    #[error("entry {entry} of the dictionary is an id that stands there before")]
    Repeated {
        /// The second place.
        entry: usize,
    },
    /// The same evidence has another encoding.
    #[error("the packed evidence is not in its canonical form")]
    NotCanonical,
}

impl PackedEvidence {
    /// Ids in all fragments and the list.
    pub fn ids(&self) -> usize {
        self.ids as usize
    }

    /// Its bytes in a block, without the two lengths around them.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The distinct ids of evidence in the order in which its columns name them.
struct Dictionary {
    ids: Vec<BundleId>,
    places: BTreeMap<BundleId, usize>,
}

impl Dictionary {
    fn of(evidence: &Evidence) -> Self {
        let mut dictionary = Self { ids: Vec::new(), places: BTreeMap::new() };
        for id in columns(evidence).flatten() {
            dictionary.places.entry(*id).or_insert_with(|| {
                dictionary.ids.push(*id);
                dictionary.ids.len() - 1
            });
        }
        dictionary
    }
}

/// The logs' ids, then the list.
fn columns(evidence: &Evidence) -> impl Iterator<Item = &Vec<BundleId>> {
    evidence.fragments.iter().map(|fragment| &fragment.ids).chain([&evidence.list])
}

impl State {
    /// The form of this evidence in the next block.
    pub fn pack(&self, evidence: &Evidence) -> Result<PackedEvidence, BlockError> {
        let mut previous = None;
        for fragment in &evidence.fragments {
            let sequencer = fragment.head.sequencer;
            if previous >= Some(sequencer) {
                return Err(EvidenceError::Unsorted { sequencer }.into());
            }
            previous = Some(sequencer);
            self.check_continues(fragment)?;
            if let Some(id) = repeated(&fragment.ids) {
                return Err(OrderError::RepeatedId { sequencer, id }.into());
            }
        }
        match repeated(&evidence.list) {
            Some(id) => Err(OrderError::ListedTwice { id }.into()),
            None => Ok(self.packed(evidence)),
        }
    }

    /// The evidence that the next block carries, its signatures verified. `keys` are the
    /// committee's consensus keys in order.
    pub fn verify(
        &self,
        packed: &PackedEvidence,
        keys: &[ConsensusPublicKey],
    ) -> Result<VerifiedEvidence, EvidenceError> {
        self.unpack(packed)?.verify(&self.network_id, self.epoch, keys)
    }

    /// The evidence that the next block carries, whoever signed it.
    pub fn unpack(&self, packed: &PackedEvidence) -> Result<Evidence, PackError> {
        if packed.is_empty() && packed.ids == 0 {
            return Ok(Evidence::default());
        }
        let mut reader = Reader::new(&packed.bytes);
        let mut fragments = self.read_heads(&mut reader)?;
        let heads: usize = fragments.iter().map(|(_, count)| count).sum();
        let listed = reader.count(MAX_IDS_PER_BLOCK)?;
        if heads + listed > MAX_IDS_PER_BLOCK {
            let actual = (heads + listed) as u64;
            return Err(PackError::Count { actual, limit: MAX_IDS_PER_BLOCK });
        }
        let dictionary = self.read_dictionary(&mut reader, heads + listed)?;
        for (fragment, count) in &mut fragments {
            fragment.ids = read_column(&mut reader, &dictionary, *count)?;
        }
        let list = read_column(&mut reader, &dictionary, listed)?;
        reader.align();
        let mut evidence = Evidence { fragments: Vec::with_capacity(fragments.len()), list };
        for (mut fragment, _) in fragments {
            if self.order.mode() == Mode::Median {
                fragment.times_ms = read_times(&mut reader, &fragment)?;
            }
            self.complete(&mut fragment);
            evidence.fragments.push(fragment);
        }
        if reader.left() > 0 || self.packed(&evidence) != *packed {
            return Err(PackError::NotCanonical);
        }
        Ok(evidence)
    }

    fn packed(&self, evidence: &Evidence) -> PackedEvidence {
        if *evidence == Evidence::default() {
            return PackedEvidence::default();
        }
        let mut writer = Writer::default();
        self.write_heads(&mut writer, evidence);
        writer.varint(evidence.list.len() as u64);
        let dictionary = Dictionary::of(evidence);
        self.write_dictionary(&mut writer, &dictionary);
        for column in columns(evidence) {
            write_column(&mut writer, &dictionary, column);
        }
        for fragment in &evidence.fragments {
            write_times(&mut writer, fragment);
        }
        let ids = columns(evidence).map(Vec::len).sum::<usize>();
        PackedEvidence { ids: u32::try_from(ids).unwrap_or(u32::MAX), bytes: writer.finish() }
    }

    fn write_heads(&self, writer: &mut Writer, evidence: &Evidence) {
        let height = self.order.height().next();
        writer.varint(evidence.fragments.len() as u64);
        let (mut sequencer, mut time_ms) = (0, 0);
        for Fragment { head, ids, .. } in &evidence.fragments {
            writer.varint(u64::from(head.sequencer.get().wrapping_sub(sequencer)));
            writer.varint(ids.len() as u64);
            writer.varint(zigzag(height.get().wrapping_sub(head.height_seen.get()) as i64));
            writer.varint(zigzag(head.time_ms.wrapping_sub(time_ms) as i64));
            writer.bytes(head.signature.as_bytes());
            (sequencer, time_ms) = (head.sequencer.get(), head.time_ms);
        }
    }

    /// Heads without lengths and chains, each with the number of its ids.
    fn read_heads(&self, reader: &mut Reader<'_>) -> Result<Vec<(Fragment, usize)>, PackError> {
        let n = self.order.committee().n();
        let height = self.order.height().next();
        let count = reader.count(n.into())?;
        let (mut number, mut time_ms) = (0u16, 0u64);
        let mut heads = Vec::with_capacity(count);
        for _ in 0..count {
            let distance = reader.count(n.into())? as u16;
            number = number.wrapping_add(distance);
            let sequencer = SequencerIndex::new(number).filter(|_| number <= n && distance > 0);
            let sequencer = sequencer.ok_or(PackError::Number)?;
            let ids = reader.count(MAX_IDS_PER_BLOCK)?;
            let age = unzigzag(reader.varint()?) as u64;
            time_ms = time_ms.wrapping_add(unzigzag(reader.varint()?) as u64);
            let head = LogHead {
                epoch: self.epoch,
                sequencer,
                length: 0,
                head: self.heads[sequencer.position()],
                height_seen: Height::new(height.get().wrapping_sub(age)),
                time_ms,
                signature: Signature::from_bytes(reader.bytes()?),
            };
            heads.push((Fragment { head, ids: Vec::new(), times_ms: Vec::new() }, ids));
        }
        Ok(heads)
    }

    fn write_dictionary(&self, writer: &mut Writer, dictionary: &Dictionary) {
        let known: Vec<bool> =
            dictionary.ids.iter().map(|id| self.known(short(id)) == Some(*id)).collect();
        writer.varint(dictionary.ids.len() as u64);
        known.iter().for_each(|known| writer.bits(u64::from(*known), 1));
        for (id, known) in dictionary.ids.iter().zip(known) {
            if known { writer.bytes(&short(id)) } else { writer.bytes(id.as_bytes()) }
        }
    }

    fn read_dictionary(
        &self,
        reader: &mut Reader<'_>,
        limit: usize,
    ) -> Result<Vec<BundleId>, PackError> {
        let length = reader.count(limit)?;
        let known = (0..length).map(|_| Ok(reader.bits(1)? == 1)).collect::<Result<Vec<_>, _>>()?;
        let mut ids = Vec::with_capacity(length);
        let mut distinct = BTreeSet::new();
        for (entry, known) in known.into_iter().enumerate() {
            let id = if known {
                self.known(reader.bytes()?).ok_or(PackError::Unknown { entry })?
            } else {
                BundleId::from_bytes(reader.bytes()?)
            };
            if !distinct.insert(id) {
                return Err(PackError::Repeated { entry });
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// The only remembered id that begins so.
    fn known(&self, short: [u8; SHORT_BYTES]) -> Option<BundleId> {
        self.order.only_beginning_with(short)
    }

    /// Length and chain of a head follow from the state and the entries.
    fn complete(&self, fragment: &mut Fragment) {
        let Some(committed) = self.committed(fragment.head.sequencer) else { return };
        let tip = committed.after_entries(&fragment.ids, &fragment.times_ms);
        (fragment.head.length, fragment.head.head) = (tip.length, tip.head);
    }
}

fn short(id: &BundleId) -> [u8; SHORT_BYTES] {
    let mut short = [0; SHORT_BYTES];
    short.copy_from_slice(&id.as_bytes()[..SHORT_BYTES]);
    short
}

fn write_column(writer: &mut Writer, dictionary: &Dictionary, column: &[BundleId]) {
    if column.is_empty() {
        return;
    }
    let mut unused = Unused::all(dictionary.ids.len());
    let mut next = 0;
    let mut places = Vec::with_capacity(column.len());
    for id in column {
        let place = dictionary.places[id];
        let rank = unused.rank(place);
        places.push((zigzag(rank as i64 - unused.rank(next) as i64), rank as u64));
        unused.remove(place);
        next = place + 1;
    }
    let all = dictionary.ids.len();
    let bits = |code: &u32| -> u64 {
        match *code {
            RANKS => (0..places.len()).map(|named| u64::from(rank_bits(all - named))).sum(),
            parameter => places.iter().map(|(far, _)| rice_bits(*far, parameter)).sum(),
        }
    };
    let code = (0..=RANKS).min_by_key(bits).unwrap_or(0);
    writer.bits(code.into(), CODE_BITS);
    for (named, (far, rank)) in places.into_iter().enumerate() {
        match code {
            RANKS => writer.bits(rank, rank_bits(all - named)),
            parameter => writer.rice(far, parameter),
        }
    }
}

/// Bits of a rank among so many places.
fn rank_bits(places: usize) -> u32 {
    places.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}

fn read_column(
    reader: &mut Reader<'_>,
    dictionary: &[BundleId],
    count: usize,
) -> Result<Vec<BundleId>, PackError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let code = reader.bits(CODE_BITS)? as u32;
    let mut unused = Unused::all(dictionary.len());
    let mut next = 0;
    let mut column = Vec::with_capacity(count.min(dictionary.len()));
    for named in 0..count.min(dictionary.len() + 1) {
        let rank = match code {
            RANKS => reader.bits(rank_bits(dictionary.len().saturating_sub(named)))? as i64,
            parameter => {
                let far = unzigzag(reader.rice(parameter, 2 * dictionary.len() as u64)?);
                unused.rank(next) as i64 + far
            }
        };
        let place = usize::try_from(rank).ok().and_then(|rank| unused.at_rank(rank));
        let place = place.ok_or(PackError::Number)?;
        unused.remove(place);
        column.push(dictionary[place]);
        next = place + 1;
    }
    Ok(column)
}

fn write_times(writer: &mut Writer, fragment: &Fragment) {
    let mut previous = None;
    for time_ms in &fragment.times_ms {
        writer.varint(match previous {
            None => fragment.head.time_ms.wrapping_sub(*time_ms),
            Some(previous) => time_ms.wrapping_sub(previous),
        });
        previous = Some(*time_ms);
    }
}

fn read_times(reader: &mut Reader<'_>, fragment: &Fragment) -> Result<Vec<u64>, PackError> {
    let mut times_ms: Vec<u64> = Vec::with_capacity(fragment.ids.len());
    for _ in &fragment.ids {
        let distance = reader.varint()?;
        times_ms.push(match times_ms.last() {
            None => fragment.head.time_ms.wrapping_sub(distance),
            Some(previous) => previous.wrapping_add(distance),
        });
    }
    Ok(times_ms)
}

#[cfg(test)]
mod tests;
