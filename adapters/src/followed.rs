//! A rollup that others feed too, as one node of it shows it: the newest blocks of its chain, and the
//! state after each of them.
//!
//! Somebody asks the node again and again ([`FollowedRollup::observe`], on an ordinary thread); everybody
//! else looks at what is remembered. The state after a block is an [`RpcState`]: every read is pinned to
//! the block's hash.
//!
//! # Invariants
//!
//! 1. What is remembered is one chain, linked parent by parent, and ends with the block that the node
//!    named last. A reorganization replaces what it replaces on the node.
//! 2. At most [`MAX_HEADS`] blocks are remembered, and at most [`MAX_LINKS`] are asked for at once.
//! 3. A node of another chain shows nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use fairveil_release::anchor::Anchor;
use thiserror::Error;

use crate::json_rpc::{Endpoint, RpcError};
use crate::state_view::{BlockId, PinnedHeader, Reader, RpcState};

/// The most blocks that are remembered.
pub const MAX_HEADS: usize = 1_024;
/// The most blocks that are asked for to link the newest one to what is remembered.
pub const MAX_LINKS: usize = 32;

/// A followed rollup.
#[derive(Debug)]
pub struct FollowedRollup {
    chain_id: u64,
    reader: Arc<Reader>,
    seen: Mutex<Seen>,
    /// The state that was opened last: the next slot often begins with it too.
    pinned: Mutex<Option<Arc<RpcState>>>,
}

/// What is remembered.
#[derive(Debug, Default)]
struct Seen {
    is_right_chain: bool,
    is_reachable: bool,
    /// Ascending, each with when it was first seen, in milliseconds since 1970.
    heads: VecDeque<(u64, PinnedHeader)>,
}

/// Why a node shows nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ObserveError {
    /// It does not answer, or with nonsense.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// It is of another chain.
    #[error("the node is of chain {actual}, expected {expected}")]
    Chain {
        /// The node's chain.
        actual: u64,
        /// The rollup's.
        expected: u64,
    },
    /// It has no newest block.
    #[error("the node of chain {chain_id} has no block")]
    Empty {
        /// The rollup.
        chain_id: u64,
    },
}

impl FollowedRollup {
    /// A rollup with this node. It starts a thread for the network's work; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the thread can't be started.
    pub fn new(chain_id: u64, endpoint: Endpoint) -> std::io::Result<Self> {
        let reader = Arc::new(Reader::new(endpoint)?);
        Ok(Self { chain_id, reader, seen: Mutex::default(), pinned: Mutex::default() })
    }

    /// The chain.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Whether the node answered when it was asked last.
    pub fn is_reachable(&self) -> bool {
        self.seen().is_reachable
    }

    /// Asks the node where its chain is, at this time in milliseconds since 1970. It blocks for as long as
    /// the node takes.
    ///
    /// # Errors
    ///
    /// Why nothing new is known; what is remembered stays.
    pub fn observe(&self, now_ms: u64) -> Result<(), ObserveError> {
        let observed = self.ask(now_ms);
        self.seen().is_reachable = observed.is_ok();
        observed
    }

    /// The newest block that was first seen at this time in milliseconds or before.
    pub fn settled(&self, until_ms: u64) -> Option<Anchor> {
        let seen = self.seen();
        let settled = seen.heads.iter().rev().find(|(first_ms, _)| *first_ms <= until_ms);
        settled.map(|(_, header)| header.anchor(self.chain_id))
    }

    /// Whether this very block is on the node's chain, as far as it is remembered.
    pub fn has(&self, anchor: &Anchor) -> bool {
        let seen = self.seen();
        let found = seen.header(&B256::from(*anchor.hash.as_bytes()), anchor.number);
        found.is_some_and(|header| header.anchor(self.chain_id) == *anchor)
    }

    /// The state after a block, if the node has the block. It blocks for as long as the node takes, if the
    /// block is not remembered.
    pub fn open(&self, anchor: &Anchor) -> Option<Arc<RpcState>> {
        let hash = B256::from(*anchor.hash.as_bytes());
        if let Some(pinned) = self.pinned().as_ref().filter(|state| state.header().hash == hash) {
            return Some(Arc::clone(pinned));
        }
        let remembered = self.seen().header(&hash, anchor.number).copied();
        let header = match remembered {
            Some(header) => header,
            None => self.reader.header(BlockId::Hash(hash)).ok()??,
        };
        if header.anchor(self.chain_id) != *anchor {
            return None;
        }
        let state = Arc::new(self.reader.pin(header));
        *self.pinned() = Some(Arc::clone(&state));
        Some(state)
    }

    fn ask(&self, now_ms: u64) -> Result<(), ObserveError> {
        let expected = self.chain_id;
        if !self.seen().is_right_chain {
            let actual = self.reader.chain_id()?;
            if actual != expected {
                return Err(ObserveError::Chain { actual, expected });
            }
            self.seen().is_right_chain = true;
        }
        let newest = self.reader.header(BlockId::Latest)?;
        let newest = newest.ok_or(ObserveError::Empty { chain_id: expected })?;
        let (fresh, linked) = self.linked(newest)?;
        let mut seen = self.seen();
        if !linked {
            seen.heads.clear();
        }
        let lowest = fresh.last().map_or(newest.number.saturating_add(1), |header| header.number);
        seen.heads.retain(|(_, header)| header.number < lowest);
        seen.heads.extend(fresh.into_iter().rev().map(|header| (now_ms, header)));
        let excess = seen.heads.len().saturating_sub(MAX_HEADS);
        seen.heads.drain(..excess);
        Ok(())
    }

    /// The newest block and its ancestors down to one that is remembered, newest first; and whether there
    /// is one within reach.
    fn linked(&self, newest: PinnedHeader) -> Result<(Vec<PinnedHeader>, bool), ObserveError> {
        let (mut fresh, mut next) = (Vec::new(), newest);
        loop {
            if self.seen().header(&next.hash, next.number).is_some() {
                return Ok((fresh, true));
            }
            fresh.push(next);
            if next.number == 0 || fresh.len() > MAX_LINKS {
                return Ok((fresh, false));
            }
            match self.reader.header(BlockId::Hash(next.parent_hash))? {
                Some(parent) if parent.number.checked_add(1) == Some(next.number) => next = parent,
                _ => return Ok((fresh, false)),
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pinned(&self) -> MutexGuard<'_, Option<Arc<RpcState>>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn header(&self, hash: &B256, number: u64) -> Option<&PinnedHeader> {
        // Linked blocks have consecutive numbers.
        let first = self.heads.front().map(|(_, header)| header.number)?;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        let (_, header) = self.heads.get(place)?;
        (header.hash == *hash).then_some(header)
    }
}

#[cfg(test)]
mod tests;
