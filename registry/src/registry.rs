//! The rollups that a network serves: those that its definition lists, and from some height on
//! those that [`crate::change`] makes of them.
//!
//! # Invariants
//!
//! 1. Rollups are sorted by chain id, no chain stands twice, there are 1 to 64 of them, and no
//!    limit is zero. All have block times that meet ([`crate::slot`]), or none has: then every
//!    height is a slot of its own, in which each rollup has one block. After a change they meet in
//!    the slots that the network began with. A followed rollup has block times.
//! 2. A rollup's *namespace* is its place in that list: one bit of a 64-bit set, which is how a
//!    release's tree says which rollups a subtree touches.
//! 3. The digest covers every field, so two sequencers with one definition agree on all of this.

use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::slot::{BlockTimes, SlotClock, SlotError};

/// The most rollups that a registry holds: the bits of a namespace set.
pub const MAX_ROLLUPS: usize = 64;
/// The longest name of a rollup in bytes.
pub const MAX_NAME_BYTES: usize = 32;
/// The least age in milliseconds at which the view of a followed rollup is too old.
pub const MIN_AGE_MS: u64 = 1_000;
/// The largest one.
pub const MAX_AGE_MS: u64 = 600_000;
/// The most bytes that may be released for a followed rollup while one view of it lasts: what is
/// not yet in an anchored block is kept and simulated again.
pub const MAX_UNSEEN_BYTES: u64 = 64 << 20;

/// Where the state comes from that a rollup's legs are simulated over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum StateSource {
    /// Every sequencer holds it, and what is released is all that changes it.
    Embedded(EmbeddedState),
    /// The rollup's own nodes hold it, and others feed the rollup too.
    Followed(FollowedState),
}

/// The state of a rollup that others feed too: that after a block of its own chain, which a block of
/// the network names ([`crate::anchor`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowedState {
    /// How old the anchored block may be at the height that cuts a slot, in milliseconds: 1,000 to
    /// 600,000. An older one is no view of the rollup's state.
    pub max_age_ms: u64,
    /// How many gas targets a block's gas limit holds (EIP-1559); at least 1.
    pub elasticity: u64,
    /// By what part of itself the base fee changes at most (EIP-1559); at least 1.
    pub denominator: u64,
}

/// A state that begins as a genesis that every sequencer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedState {
    /// The digest of the genesis (the crate `execution` defines it).
    pub genesis: Digest,
    /// The base fee of every block, in wei per gas.
    pub base_fee: u64,
}

/// One registered rollup.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// The chain id that its transactions are signed for; not zero.
    pub chain_id: u64,
    /// A name for people: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// When it makes blocks; without, one per height, with the height's number and time.
    pub blocks: Option<BlockTimes>,
    /// The sum of the gas limits of a block's transactions may reach this.
    pub gas_limit: u64,
    /// The sum of the lengths of a block's transactions may reach this.
    pub byte_limit: u64,
    /// Whether type 4 (EIP-7702) transactions are taken.
    pub allows_set_code: bool,
    /// Whether the rollup takes no batches now.
    pub paused: bool,
    /// The state that its legs are simulated over; without, its batches are `unvalidated`, and no
    /// bundle with policy `execute` can name it.
    pub state: Option<StateSource>,
}

/// All rollups of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rollup>", into = "Vec<Rollup>")]
pub struct Registry {
    rollups: Vec<Rollup>,
}

/// Why a list of rollups is no registry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// None, or more than a namespace set has bits.
    #[error("{actual} rollups, 1 to {limit} are allowed")]
    Count {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Chain id zero.
    #[error("chain id 0 is no chain")]
    ChainZero,
    /// Not sorted by chain id, or a chain twice.
    #[error("chain {next} stands after chain {previous}; sort them, each once")]
    Order {
        /// The chain id before.
        previous: u64,
        /// The chain id after it.
        next: u64,
    },
    /// A name that is empty, too long, or has other characters than `a-z`, `0-9` and `-`.
    #[error("rollup {chain_id}: a name is 1 to 32 of a-z, 0-9 and -")]
    Name {
        /// The rollup.
        chain_id: u64,
    },
    /// Some have block times, some have not.
    #[error("rollup {with} has block times and rollup {without} has none; all have them or none")]
    Mixed {
        /// A rollup with block times.
        with: u64,
        /// One without.
        without: u64,
    },
    /// The block times do not meet in slots.
    #[error("rollups counted from 0: {0}")]
    Slots(#[from] SlotError),
    /// A rollup that could never take a transaction.
    #[error("rollup {chain_id}: gas and byte limits are above zero")]
    LimitZero {
        /// The rollup.
        chain_id: u64,
    },
    /// A followed rollup without block times.
    #[error("rollup {chain_id} is followed, so it needs block times: those of its own blocks")]
    Followed {
        /// The rollup.
        chain_id: u64,
    },
    /// A followed rollup with a number outside of its limits.
    #[error("rollup {chain_id}: {what} is {actual}, {least} to {most} are allowed")]
    FollowedRange {
        /// The rollup.
        chain_id: u64,
        /// Which number, with its unit.
        what: &'static str,
        /// The number.
        actual: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A followed rollup for which too much could be released while one view lasts.
    #[error(
        "rollup {chain_id}: {actual} bytes can be released while a view lasts (byte limit times blocks \
         in its greatest age), the limit is {limit}"
    )]
    Unseen {
        /// The rollup.
        chain_id: u64,
        /// How many bytes.
        actual: u64,
        /// [`MAX_UNSEEN_BYTES`].
        limit: u64,
    },
}

impl Registry {
    /// A registry of these rollups, which are sorted by chain id.
    pub fn new(rollups: Vec<Rollup>) -> Result<Self, RegistryError> {
        let registry = Self::listed(rollups)?;
        registry.slots()?;
        Ok(registry)
    }

    /// The same, whose block times were judged by the slots of the network.
    pub(crate) fn listed(rollups: Vec<Rollup>) -> Result<Self, RegistryError> {
        if rollups.is_empty() || rollups.len() > MAX_ROLLUPS {
            return Err(RegistryError::Count { actual: rollups.len(), limit: MAX_ROLLUPS });
        }
        for pair in rollups.windows(2) {
            let (previous, next) = (pair[0].chain_id, pair[1].chain_id);
            if previous >= next {
                return Err(RegistryError::Order { previous, next });
            }
        }
        for rollup in &rollups {
            rollup.check()?;
        }
        Ok(Self { rollups })
    }

    /// The slots that the rollups' block times make; none if every height is a slot of its own.
    pub fn slots(&self) -> Result<Option<SlotClock>, RegistryError> {
        let times = |rollup: &&Rollup| rollup.blocks.is_some();
        let with = self.rollups.iter().find(times).map(|rollup| rollup.chain_id);
        let without = self.rollups.iter().find(|rollup| !times(rollup));
        match (with, without.map(|rollup| rollup.chain_id)) {
            (None, _) => Ok(None),
            (Some(with), Some(without)) => Err(RegistryError::Mixed { with, without }),
            (Some(_), None) => {
                let times: Vec<_> = self.rollups.iter().filter_map(|one| one.blocks).collect();
                Ok(Some(SlotClock::new(&times)?))
            }
        }
    }

    /// The rollups, sorted by chain id.
    pub fn rollups(&self) -> &[Rollup] {
        &self.rollups
    }

    /// The rollup with this chain id.
    pub fn rollup(&self, chain_id: u64) -> Option<&Rollup> {
        self.namespace(chain_id).map(|namespace| &self.rollups[namespace])
    }

    /// The place of this chain id in the list.
    pub fn namespace(&self, chain_id: u64) -> Option<usize> {
        self.rollups.binary_search_by_key(&chain_id, |rollup| rollup.chain_id).ok()
    }

    /// All chain ids, sorted: what a release's tree calls its namespaces.
    pub fn chain_ids(&self) -> Vec<u64> {
        self.rollups.iter().map(|rollup| rollup.chain_id).collect()
    }

    /// A digest of every field of every rollup.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::Registry);
        for rollup in &self.rollups {
            hasher.item(&rollup.chain_id.to_be_bytes());
            hasher.item(rollup.name.as_bytes());
            hasher.item(&rollup.gas_limit.to_be_bytes());
            hasher.item(&rollup.byte_limit.to_be_bytes());
            hasher.item(&[u8::from(rollup.allows_set_code), u8::from(rollup.paused)]);
            let times = rollup.blocks.map(|blocks| [blocks.genesis_ms, blocks.interval_ms]);
            hasher.item(&times.map_or(Vec::new(), |times| be_bytes(&times)));
            hasher.item(&rollup.state.map_or(Vec::new(), |state| state.to_bytes()));
        }
        hasher.finish()
    }
}

impl TryFrom<Vec<Rollup>> for Registry {
    type Error = RegistryError;

    fn try_from(rollups: Vec<Rollup>) -> Result<Self, RegistryError> {
        Self::new(rollups)
    }
}

impl From<Registry> for Vec<Rollup> {
    fn from(registry: Registry) -> Self {
        registry.rollups
    }
}

impl StateSource {
    /// What is hashed of it.
    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Embedded(EmbeddedState { genesis, base_fee }) => {
                [&[1][..], genesis.as_bytes(), &base_fee.to_be_bytes()].concat()
            }
            Self::Followed(FollowedState { max_age_ms, elasticity, denominator }) => {
                [vec![2], be_bytes(&[max_age_ms, elasticity, denominator])].concat()
            }
        }
    }
}

impl FollowedState {
    /// Whether its numbers are within their limits, on a rollup with blocks at these times.
    fn check(&self, rollup: &Rollup) -> Result<(), RegistryError> {
        let chain_id = rollup.chain_id;
        let Some(BlockTimes { interval_ms, .. }) = rollup.blocks else {
            return Err(RegistryError::Followed { chain_id });
        };
        for (what, actual, least, most) in [
            ("the greatest age in ms", self.max_age_ms, MIN_AGE_MS, MAX_AGE_MS),
            ("the elasticity", self.elasticity, 1, u64::MAX),
            ("the denominator", self.denominator, 1, u64::MAX),
        ] {
            if !(least..=most).contains(&actual) {
                return Err(RegistryError::FollowedRange { chain_id, what, actual, least, most });
            }
        }
        let blocks = self.max_age_ms.div_ceil(interval_ms.max(1));
        let (actual, limit) = (rollup.byte_limit.saturating_mul(blocks), MAX_UNSEEN_BYTES);
        if actual > limit {
            return Err(RegistryError::Unseen { chain_id, actual, limit });
        }
        Ok(())
    }
}

impl Rollup {
    /// The genesis that its state begins with, if every sequencer holds its state.
    pub fn embedded(&self) -> Option<&EmbeddedState> {
        match &self.state {
            Some(StateSource::Embedded(state)) => Some(state),
            _ => None,
        }
    }

    /// How its state is followed, if others feed it too.
    pub fn followed(&self) -> Option<&FollowedState> {
        match &self.state {
            Some(StateSource::Followed(state)) => Some(state),
            _ => None,
        }
    }

    /// A rollup without block times or a state, so that its batches are recorded and nothing is
    /// executed, with generous limits: 30,000,000 gas and 1 MiB a block, transaction types 0, 1
    /// and 2.
    pub fn recorder(chain_id: u64, name: &str) -> Self {
        Self {
            chain_id,
            name: name.to_owned(),
            blocks: None,
            gas_limit: 30_000_000,
            byte_limit: 1 << 20,
            allows_set_code: false,
            paused: false,
            state: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let chain_id = self.chain_id;
        if chain_id == 0 {
            return Err(RegistryError::ChainZero);
        }
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let length = self.name.len();
        if length == 0 || length > MAX_NAME_BYTES || !self.name.bytes().all(letter) {
            return Err(RegistryError::Name { chain_id });
        }
        if self.gas_limit == 0 || self.byte_limit == 0 {
            return Err(RegistryError::LimitZero { chain_id });
        }
        self.followed().map_or(Ok(()), |state| state.check(self))
    }
}

fn be_bytes(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<Rollup> {
        [901, 902, 903].map(|id| Rollup::recorder(id, &format!("rollup-{id}"))).to_vec()
    }

    fn embedded(genesis: Digest, base_fee: u64) -> StateSource {
        StateSource::Embedded(EmbeddedState { genesis, base_fee })
    }

    /// Three rollups with blocks every second, the last of which is followed.
    fn followed(state: FollowedState) -> Vec<Rollup> {
        let mut rollups = three();
        let times = Some(BlockTimes { genesis_ms: 0, interval_ms: 1_000 });
        rollups.iter_mut().for_each(|rollup| rollup.blocks = times);
        rollups[2].state = Some(StateSource::Followed(state));
        rollups
    }

    #[test]
    fn a_followed_rollup_has_block_times_and_bounds() {
        let state = FollowedState { max_age_ms: 30_000, elasticity: 6, denominator: 250 };
        let error = |state: FollowedState, change: &dyn Fn(&mut Rollup)| {
            let mut rollups = followed(state);
            change(&mut rollups[2]);
            Registry::listed(rollups).expect_err("refused").to_string()
        };
        assert!(Registry::new(followed(state)).is_ok());
        let said = error(state, &|r| r.blocks = None);
        assert_eq!(
            said,
            "rollup 903 is followed, so it needs block times: those of its own blocks"
        );
        let said = error(FollowedState { max_age_ms: 999, ..state }, &|_| {});
        assert_eq!(said, "rollup 903: the greatest age in ms is 999, 1000 to 600000 are allowed");
        let said = error(FollowedState { denominator: 0, ..state }, &|_| {});
        assert!(said.starts_with("rollup 903: the denominator is 0, 1 to"), "{said}");
        let said = error(FollowedState { elasticity: 0, ..state }, &|_| {});
        assert!(said.starts_with("rollup 903: the elasticity is 0, 1 to"), "{said}");
        let said = error(state, &|r| r.byte_limit = 3 << 20);
        assert!(said.contains("94371840 bytes can be released"), "{said}");
        assert!(said.ends_with("the limit is 67108864"), "{said}");
    }

    #[test]
    fn refuses_what_invariant_1_excludes() {
        let with = |change: &dyn Fn(&mut Vec<Rollup>)| {
            let mut rollups = three();
            change(&mut rollups);
            Registry::new(rollups)
        };
        assert!(with(&|_| {}).is_ok());
        let error = |change: &dyn Fn(&mut Vec<Rollup>)| with(change).expect_err("refused");
        assert_eq!(error(&|r| r.clear()), RegistryError::Count { actual: 0, limit: 64 });
        assert_eq!(error(&|r| r.swap(0, 1)), RegistryError::Order { previous: 902, next: 901 });
        assert_eq!(
            error(&|r| r[1].chain_id = 901),
            RegistryError::Order { previous: 901, next: 901 }
        );
        assert_eq!(error(&|r| r[0].chain_id = 0), RegistryError::ChainZero);
        assert_eq!(error(&|r| r[2].name.clear()), RegistryError::Name { chain_id: 903 });
        assert_eq!(error(&|r| r[2].name = "A".into()), RegistryError::Name { chain_id: 903 });
        assert_eq!(error(&|r| r[1].gas_limit = 0), RegistryError::LimitZero { chain_id: 902 });
        assert_eq!(error(&|r| r[1].byte_limit = 0), RegistryError::LimitZero { chain_id: 902 });
        let times = |interval_ms| Some(BlockTimes { genesis_ms: 0, interval_ms });
        let mixed = error(&|r| r[1].blocks = times(250));
        assert_eq!(mixed, RegistryError::Mixed { with: 902, without: 901 });
        let never = error(&|r| {
            r.iter_mut().zip([0, 250, 1_000]).for_each(|(r, ms)| r.blocks = times(ms));
        });
        assert_eq!(never, RegistryError::Slots(SlotError::IntervalZero { rollup: 0 }));
        let many = (1..=65).map(|id| Rollup::recorder(id, "many")).collect();
        assert_eq!(Registry::new(many), Err(RegistryError::Count { actual: 65, limit: 64 }));
    }

    #[test]
    fn namespaces_are_places_invariant_2() {
        let registry = Registry::new(three()).expect("valid");
        assert_eq!(registry.chain_ids(), [901, 902, 903]);
        assert_eq!(registry.namespace(902), Some(1));
        assert_eq!(registry.namespace(904), None);
        assert_eq!(registry.rollup(903).map(|rollup| rollup.chain_id), Some(903));
    }

    #[test]
    fn the_digest_covers_every_field_invariant_3() {
        let digest = |change: &dyn Fn(&mut Rollup)| {
            let mut rollups = three();
            change(&mut rollups[2]);
            Registry::new(rollups).expect("valid").digest()
        };
        let one = Digest::from_bytes([1; 32]);
        let mut digests = std::collections::BTreeSet::from([digest(&|_| {})]);
        for change in [
            &(|r: &mut Rollup| r.chain_id += 1) as &dyn Fn(&mut Rollup),
            &|r| r.name.push('x'),
            &|r| r.gas_limit += 1,
            &|r| r.byte_limit += 1,
            &|r| r.allows_set_code = true,
            &|r| r.paused = true,
            &|r| r.state = Some(embedded(one, 0)),
            &|r| r.state = Some(embedded(one, 1)),
        ] {
            assert!(digests.insert(digest(change)));
        }
        for (max_age_ms, elasticity, denominator) in
            [(5_000, 6, 250), (5_001, 6, 250), (5_000, 7, 250), (5_000, 6, 251)]
        {
            let state = FollowedState { max_age_ms, elasticity, denominator };
            assert!(digests.insert(Registry::new(followed(state)).expect("valid").digest()));
        }
        for blocks in [(0, 250), (1_000, 250), (0, 500)] {
            let (genesis_ms, interval_ms) = blocks;
            let times = Some(BlockTimes { genesis_ms, interval_ms });
            let rollups = three().into_iter().map(|rollup| Rollup { blocks: times, ..rollup });
            let registry = Registry::new(rollups.collect()).expect("valid");
            assert!(digests.insert(registry.digest()));
        }
    }
}
