//! Taking over certified releases: how a sequencer that was away gets past heights whose decryption
//! shares nobody keeps any more.
//!
//! ```text
//! certified root ── Wanted ──> Adoption ── Ask ──> one peer after the other
//!                                 ^                     │
//!                                 └──────── Part ───────┘     ... until the release is whole
//! ```
//!
//! A release travels in parts of [`PART_BYTES`], one request for each, from one peer at a time. It
//! is taken only if its header has the root that a final block lists, and everything else is what
//! the header commits to.
//!
//! One state machine in the manner of [`crate::opener`]: no clock, no socket, no secret.
//!
//! # Invariants
//!
//! 1. What leaves as [`Output::Whole`] has the certified root and passes [`Release::check`].
//! 2. Memory is bounded: [`MAX_WANTED`] heights, each with the parts of one release, and parts are
//!    accepted only from the peer that was asked for them, in order.
//! 3. A peer that is silent for [`ASK_AGAIN_MS`], has not got the release, or sends something else
//!    only costs that time: the next peer is asked from the beginning.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::{Digest, Height, SequencerIndex};
use serde::{Deserialize, Serialize};

use crate::registry::Registry;
use crate::release::{MAX_RELEASE_BYTES, Release};

/// Bytes of a release in one message.
pub const PART_BYTES: usize = 48 << 10;
/// Heights that are fetched at a time.
pub const MAX_WANTED: usize = 16;
/// How long a peer that was asked may take before the next one is asked.
pub const ASK_AGAIN_MS: u64 = 1_000;

const MAX_PARTS: u32 = MAX_RELEASE_BYTES.div_ceil(PART_BYTES) as u32;

/// What sequencers say to each other about releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseMessage {
    /// The sender asks for a part of the release of a height.
    Request {
        /// The height.
        height: Height,
        /// Which part, from 0.
        part: u32,
    },
    /// A part of the release of a height.
    Part(ReleasePart),
    /// The sender has not released this height, or not got this part.
    Absent {
        /// The height.
        height: Height,
    },
}

/// A part of a release's canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePart {
    /// The height.
    pub height: Height,
    /// Which part, from 0.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// [`PART_BYTES`] bytes; the last one has the rest.
    pub bytes: Vec<u8>,
}

impl ReleasePart {
    /// A part of an encoded release; none if there is no such part.
    pub fn of(height: Height, release: &[u8], part: u32) -> Option<Self> {
        let bytes = release.chunks(PART_BYTES).nth(part as usize)?.to_vec();
        let parts = u32::try_from(release.len().div_ceil(PART_BYTES)).ok()?;
        Some(Self { height, part, parts, bytes })
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A final block lists this root for a height that is not released here.
    Wanted {
        /// The height.
        height: Height,
        /// The certified root.
        root: Digest,
        /// The registry of that height.
        registry: Arc<Registry>,
    },
    /// A peer answered.
    Message {
        /// Which one; the transport has authenticated it.
        from: SequencerIndex,
        /// Its answer.
        message: ReleaseMessage,
    },
    /// All heights up to this one are released here.
    Released(Height),
    /// The time of [`Adoption::wake_at`] has come.
    Wake,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to a member.
    Send {
        /// To whom.
        to: SequencerIndex,
        /// What.
        message: ReleaseMessage,
    },
    /// The certified release of a height.
    Whole {
        /// The release.
        release: Box<Release>,
        /// Its certified root.
        root: Digest,
    },
}

/// The releases that are being taken over.
#[derive(Debug)]
pub struct Adoption {
    peers: Vec<SequencerIndex>,
    wanted: BTreeMap<Height, Transfer>,
    refused: u64,
}

/// The release of a height on its way here.
#[derive(Debug)]
struct Transfer {
    root: Digest,
    registry: Arc<Registry>,
    /// Position of the asked peer among all peers.
    asked: usize,
    ask_again_at_ms: u64,
    bytes: Vec<u8>,
    next_part: u32,
    parts: Option<u32>,
}

impl Adoption {
    /// For the member that has these peers.
    pub fn new(peers: Vec<SequencerIndex>) -> Self {
        Self { peers, wanted: BTreeMap::new(), refused: 0 }
    }

    /// Takes what happened; returns what to do, in order.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        match input {
            Input::Wanted { height, root, registry } => self.want(now_ms, height, root, registry),
            Input::Message { from, message: ReleaseMessage::Part(part) } => {
                self.part(now_ms, from, part)
            }
            Input::Message { from, message: ReleaseMessage::Absent { height } } => {
                let asked = self.wanted.get(&height).map(|transfer| transfer.asked);
                let answers = asked.is_some_and(|at| self.peers.get(at) == Some(&from));
                if answers { self.ask_next(now_ms, height).into_iter().collect() } else { vec![] }
            }
            // Answered by whoever has the database.
            Input::Message { message: ReleaseMessage::Request { .. }, .. } => Vec::new(),
            Input::Released(height) => {
                self.wanted = self.wanted.split_off(&height.next());
                Vec::new()
            }
            Input::Wake => self.wake(now_ms),
        }
    }

    /// When to come back with [`Input::Wake`].
    pub fn wake_at(&self) -> Option<u64> {
        self.wanted.values().map(|transfer| transfer.ask_again_at_ms).min()
    }

    /// Whether this height is being taken over.
    pub fn wants(&self, height: Height) -> bool {
        self.wanted.contains_key(&height)
    }

    /// Whether another height can be taken over.
    pub fn has_room(&self) -> bool {
        self.wanted.len() < MAX_WANTED
    }

    /// Releases and parts that were not what was asked for, so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn want(
        &mut self,
        now_ms: u64,
        height: Height,
        root: Digest,
        registry: Arc<Registry>,
    ) -> Vec<Output> {
        if self.peers.is_empty() || self.wants(height) || !self.has_room() {
            return Vec::new();
        }
        // Different heights begin with different peers.
        let asked = usize::try_from(height.get()).unwrap_or(0) % self.peers.len();
        self.wanted.insert(height, Transfer::new(root, registry, asked));
        self.ask(now_ms, height).into_iter().collect()
    }

    fn part(&mut self, now_ms: u64, from: SequencerIndex, part: ReleasePart) -> Vec<Output> {
        let height = part.height;
        let Some(transfer) = self.wanted.get_mut(&height) else { return Vec::new() };
        if self.peers.get(transfer.asked) != Some(&from) || part.part != transfer.next_part {
            // An answer that came too late, or nothing that was asked for.
            self.refused += 1;
            return Vec::new();
        }
        if !transfer.accept(part) {
            self.refused += 1;
            return self.ask_next(now_ms, height).into_iter().collect();
        }
        if transfer.parts != Some(transfer.next_part) {
            return self.ask(now_ms, height).into_iter().collect();
        }
        match whole(transfer, height) {
            Some(release) => {
                let root = transfer.root;
                self.wanted.remove(&height);
                vec![Output::Whole { release: Box::new(release), root }]
            }
            None => {
                self.refused += 1;
                self.ask_next(now_ms, height).into_iter().collect()
            }
        }
    }

    fn wake(&mut self, now_ms: u64) -> Vec<Output> {
        let due = self.wanted.iter().filter(|(_, transfer)| transfer.ask_again_at_ms <= now_ms);
        let due: Vec<Height> = due.map(|(height, _)| *height).collect();
        due.into_iter().filter_map(|height| self.ask_next(now_ms, height)).collect()
    }

    /// Asks the next peer, from the first part.
    fn ask_next(&mut self, now_ms: u64, height: Height) -> Option<Output> {
        let transfer = self.wanted.get_mut(&height)?;
        let next = (transfer.asked + 1) % self.peers.len();
        *transfer = Transfer::new(transfer.root, Arc::clone(&transfer.registry), next);
        self.ask(now_ms, height)
    }

    fn ask(&mut self, now_ms: u64, height: Height) -> Option<Output> {
        let transfer = self.wanted.get_mut(&height)?;
        transfer.ask_again_at_ms = now_ms.saturating_add(ASK_AGAIN_MS);
        let to = *self.peers.get(transfer.asked)?;
        let message = ReleaseMessage::Request { height, part: transfer.next_part };
        Some(Output::Send { to, message })
    }
}

impl Transfer {
    fn new(root: Digest, registry: Arc<Registry>, asked: usize) -> Self {
        let (bytes, next_part, parts) = (Vec::new(), 0, None);
        Self { root, registry, asked, ask_again_at_ms: 0, bytes, next_part, parts }
    }

    /// Appends the next part; false if it contradicts those before it, or the bounds.
    fn accept(&mut self, part: ReleasePart) -> bool {
        let last = part.part + 1 == part.parts;
        let full = part.bytes.len() == PART_BYTES;
        let fits = full || (last && !part.bytes.is_empty() && part.bytes.len() < PART_BYTES);
        let counted = part.part < part.parts && part.parts <= MAX_PARTS;
        if !fits || !counted || self.parts.is_some_and(|parts| parts != part.parts) {
            return false;
        }
        self.parts = Some(part.parts);
        self.next_part += 1;
        self.bytes.extend_from_slice(&part.bytes);
        true
    }
}

/// The release that a transfer brought, if it is the certified one.
fn whole(transfer: &Transfer, height: Height) -> Option<Release> {
    let release = Release::decode(&transfer.bytes).ok()?;
    let certified = release.header.height == height && release.header.root() == transfer.root;
    (certified && release.check(&transfer.registry).is_ok()).then_some(release)
}

#[cfg(test)]
mod tests;
