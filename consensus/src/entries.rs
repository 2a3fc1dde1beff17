//! Opaque entries of a ceremony in one order for everybody, on whichever chain they are posted.
//!
//! The first ceremony has a chain of its own ([`crate::ceremony`]); a resharing posts to the
//! network's chain ([`crate::state`]). What holds for entries is the same on both:
//!
//! # Invariants
//!
//! 1. An entry is agreed at most once: entries are told apart by their hash.
//! 2. A leader has [`MAX_LEADER_ENTRIES`] entries and [`MAX_LEADER_BYTES`] in a whole ceremony, so
//!    that no member takes the others' room.
//! 3. The running hash commits to all entries so far, in order.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::domain::{Hasher, Tag, hash};
use fairveil_crypto::{ConsensusPublicKey, Digest};
use serde::{Deserialize, Serialize};

use crate::block::{MAX_CEREMONY_ENTRIES, MAX_CEREMONY_ENTRY_BYTES};

/// Entries of one leader in a whole ceremony.
pub const MAX_LEADER_ENTRIES: u32 = 1_024;
/// Bytes of one leader's entries in a whole ceremony.
pub const MAX_LEADER_BYTES: u64 = 16 << 20;

/// Why a block's entries are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntriesFault {
    /// An entry is already on the chain.
    #[error("entry {entry} is already on the chain")]
    Repeated {
        /// Its hash.
        entry: Digest,
    },
    /// The leader's room is used up.
    #[error("the leader has {entries} entries of {bytes} bytes, beyond its room")]
    Room {
        /// Entries with this block.
        entries: u32,
        /// Bytes with this block.
        bytes: u64,
    },
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The entry is too long.
    #[error("entry is {actual} bytes, the limit is {MAX_CEREMONY_ENTRY_BYTES}")]
    Long {
        /// Its length.
        actual: usize,
    },
    /// This member's room is used up.
    #[error(
        "{entries} entries of {bytes} bytes, the limits are {MAX_LEADER_ENTRIES} \
         and {MAX_LEADER_BYTES}"
    )]
    Full {
        /// Entries submitted, with this one.
        entries: u32,
        /// Their bytes.
        bytes: u64,
    },
}

/// What entries take of the room of whoever posts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Room {
    entries: u32,
    bytes: u64,
}

impl Room {
    fn with(self, entry: &[u8]) -> Self {
        Self {
            entries: self.entries.saturating_add(1),
            bytes: self.bytes.saturating_add(entry.len() as u64),
        }
    }

    fn suffices(self) -> bool {
        self.entries <= MAX_LEADER_ENTRIES && self.bytes <= MAX_LEADER_BYTES
    }
}

/// The entries that are agreed so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedEntries {
    history: Digest,
    entries: BTreeSet<Digest>,
    room: BTreeMap<ConsensusPublicKey, Room>,
}

impl AgreedEntries {
    /// None yet, in the ceremony with this id.
    #[must_use]
    pub fn new(ceremony: &Digest) -> Self {
        Self { history: *ceremony, entries: BTreeSet::new(), room: BTreeMap::new() }
    }

    /// The running hash over all of them.
    #[must_use]
    pub fn history(&self) -> Digest {
        self.history
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether the entry with this hash is agreed.
    #[must_use]
    pub fn contains(&self, entry: &Digest) -> bool {
        self.entries.contains(entry)
    }

    /// Digest of everything that later entries are judged by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::CeremonyRoom);
        hasher.item(self.history.as_bytes());
        for (leader, Room { entries, bytes }) in &self.room {
            let numbers = [&entries.to_be_bytes()[..], &bytes.to_be_bytes()].concat();
            hasher.item(&[&leader.as_bytes()[..], &numbers].concat());
        }
        hasher.finish()
    }

    /// Takes the entries of a leader's block.
    ///
    /// # Errors
    ///
    /// The invariant that they break; part of them may be taken then.
    pub fn extend<'a>(
        &mut self,
        leader: ConsensusPublicKey,
        entries: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), EntriesFault> {
        for bytes in entries {
            let entry = entry_digest(bytes);
            if !self.entries.insert(entry) {
                return Err(EntriesFault::Repeated { entry });
            }
            let room = self.room.entry(leader).or_default();
            *room = room.with(bytes);
            if !room.suffices() {
                return Err(EntriesFault::Room { entries: room.entries, bytes: room.bytes });
            }
            let items: [&[u8]; 2] = [self.history.as_bytes(), entry.as_bytes()];
            self.history = hash(Tag::CeremonyHistory, &items);
        }
        Ok(())
    }

    /// As many of these entries as fit into a block and into the leader's room.
    pub fn fitting(
        &self,
        leader: &ConsensusPublicKey,
        all: impl IntoIterator<Item = Vec<u8>>,
        max_bytes: usize,
    ) -> Vec<Vec<u8>> {
        let mut room = self.room.get(leader).copied().unwrap_or_default();
        let mut bytes = 0;
        let fresh = all.into_iter().filter(|entry| !self.contains(&entry_digest(entry)));
        fresh
            .take_while(|entry| {
                room = room.with(entry);
                bytes += entry.len();
                room.suffices() && bytes <= max_bytes
            })
            .take(MAX_CEREMONY_ENTRIES)
            .collect()
    }
}

/// Entries that this sequencer wants agreed, in the order in which they were submitted.
#[derive(Clone, Debug, Default)]
pub struct Submissions {
    submitted: Vec<(Digest, Vec<u8>)>,
}

impl Submissions {
    /// Takes an entry; whether it is new.
    ///
    /// # Errors
    ///
    /// If it is too long or too many were submitted.
    pub fn submit(&mut self, entry: Vec<u8>) -> Result<bool, SubmitError> {
        if entry.len() > MAX_CEREMONY_ENTRY_BYTES {
            return Err(SubmitError::Long { actual: entry.len() });
        }
        let digest = entry_digest(&entry);
        if self.submitted.iter().any(|(held, _)| *held == digest) {
            return Ok(false);
        }
        let held = self.submitted.iter().map(|(_, entry)| entry.as_slice());
        let room = held.chain([entry.as_slice()]).fold(Room::default(), Room::with);
        if !room.suffices() {
            return Err(SubmitError::Full { entries: room.entries, bytes: room.bytes });
        }
        self.submitted.push((digest, entry));
        Ok(true)
    }

    /// Whether one of them is not agreed yet.
    #[must_use]
    pub fn has_unposted(&self, agreed: &AgreedEntries) -> bool {
        self.submitted.iter().any(|(digest, _)| !agreed.contains(digest))
    }

    /// Those that are not agreed yet.
    #[must_use]
    pub fn unposted(&self, agreed: &AgreedEntries) -> Vec<Vec<u8>> {
        let fresh = self.submitted.iter().filter(|(digest, _)| !agreed.contains(digest));
        fresh.map(|(_, entry)| entry.clone()).collect()
    }
}

/// The hash by which an entry is told apart.
#[must_use]
pub fn entry_digest(entry: &[u8]) -> Digest {
    hash(Tag::CeremonyEntry, &[entry])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fairveil_crypto::ConsensusSecret;

    use super::*;

    fn leader(seed: u8) -> ConsensusPublicKey {
        ConsensusSecret::from_seed([seed; 32]).public_key()
    }

    #[test]
    fn invariant_1_an_entry_is_agreed_once_whoever_posts_it() {
        let mut agreed = AgreedEntries::new(&Digest::from_bytes([1; 32]));
        let before = agreed.clone();
        agreed.extend(leader(1), [&b"one"[..], b"two"]).unwrap();
        let entry = entry_digest(b"one");
        for poster in [leader(1), leader(2)] {
            let fault = agreed.clone().extend(poster, [&b"one"[..]]).unwrap_err();
            assert_eq!(fault, EntriesFault::Repeated { entry });
        }
        assert_eq!((agreed.count(), before.count()), (2, 0), "a clone is another");
        let all = [b"one".to_vec(), b"three".to_vec()];
        assert_eq!(agreed.fitting(&leader(1), all, 100), [b"three".to_vec()]);
    }

    #[test]
    fn invariant_2_no_leader_takes_the_room_of_another() {
        let mut agreed = AgreedEntries::new(&Digest::from_bytes([1; 32]));
        for number in 0..MAX_LEADER_ENTRIES {
            agreed.extend(leader(1), [&number.to_be_bytes()[..]]).unwrap();
        }
        let (entries, bytes) = (MAX_LEADER_ENTRIES + 1, 4 * u64::from(MAX_LEADER_ENTRIES) + 1);
        let fault = agreed.clone().extend(leader(1), [&b"x"[..]]).unwrap_err();
        assert_eq!(fault, EntriesFault::Room { entries, bytes });
        assert!(agreed.fitting(&leader(1), [b"x".to_vec()], 100).is_empty());
        assert_eq!(agreed.fitting(&leader(2), [b"x".to_vec()], 100).len(), 1);
        assert!(agreed.extend(leader(2), [&b"x"[..]]).is_ok());
    }

    #[test]
    fn invariant_3_the_running_hash_and_the_digest_depend_on_order_and_posters() {
        let empty = AgreedEntries::new(&Digest::from_bytes([1; 32]));
        let of = |posts: &[(u8, &[u8])]| {
            let mut agreed = empty.clone();
            for (poster, entry) in posts {
                agreed.extend(leader(*poster), [*entry]).unwrap();
            }
            agreed
        };
        let one = of(&[(1, b"a"), (1, b"b")]);
        assert_ne!(one.history(), of(&[(1, b"b"), (1, b"a")]).history());
        let other = of(&[(1, b"a"), (2, b"b")]);
        assert_eq!(one.history(), other.history());
        assert_ne!(one.digest(), other.digest());
    }
}
