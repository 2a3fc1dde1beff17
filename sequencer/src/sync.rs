//! State sync: a member that joins with an epoch, or missed its beginning, takes everything at that
//! point from the others.
//!
//! ```text
//! ask all voters ── F + 1 equal roots ──> manifest, part by part ──> chunks, several at a time ──> whole
//! ```
//!
//! The voters are the members of the epoch before, and those of the epoch itself, of either of whom at
//! most F lie: a root that F + 1 of one committee name was named by an honest one, who wrote it when the
//! epoch before had ended, or has it from others in this way. Manifest and chunks may then
//! come from anybody.
//!
//! One state machine without clock, disk or network; [`run`] drives it over a sequencer's channels.
//!
//! # Invariants
//!
//! 1. What leaves as [`Output::Whole`] hashes to a root that F + 1 voters named for the wanted epoch.
//! 2. Memory is bounded by the largest manifest and snapshot, and by one answer per voter.
//! 3. A peer that is silent for [`ASK_AGAIN_MS`], has not got something, or sends something else only
//!    costs that time: the next peer is asked for it.
//! 4. A manifest that hashes to the root and is none means that more than F voters lie: nothing is
//!    taken.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use fairveil_crypto::{
    Epoch,
    domain::{Tag, hash},
    encoding,
};
use fairveil_release::{
    boundary::{BoundaryMessage, BoundaryPart, BoundaryRoot, CHUNK_BYTES},
    message::OpeningMessage,
};
use tracing::{info, warn};

use crate::{
    actor::now_ms,
    boundary::{self, BoundaryError, MAX_CHUNKS, MAX_MANIFEST_BYTES, Manifest, chunk_digest},
    feed::Voters,
    seat::Seat,
    store::Store,
};

/// How long a peer that was asked may take before the next one is asked.
pub const ASK_AGAIN_MS: u64 = 1_000;
/// Chunks that are asked for at a time.
pub const MAX_ASKED: usize = 8;
/// How often the driver looks at the clock.
const TICK: std::time::Duration = std::time::Duration::from_millis(50);

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "handed on at once, never stored")]
pub enum Input {
    /// A peer said this.
    Message {
        /// Who; the transport has authenticated it.
        from: PublicKey,
        /// What.
        message: BoundaryMessage,
    },
    /// Time has passed.
    Wake,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "handed on at once, never stored")]
pub enum Output {
    /// Send this.
    Send {
        /// To whom.
        to: PublicKey,
        /// What.
        message: BoundaryMessage,
    },
    /// Everything is here.
    Whole {
        /// What it consists of.
        manifest: Box<Manifest>,
        /// Its chunks, in order.
        chunks: Vec<Vec<u8>>,
    },
    /// More than F voters lie: the root that they name is of nothing.
    Impossible(BoundaryRoot),
    /// F + 1 voters name this beginning of a later epoch: that of the wanted one is nowhere any more.
    Over(BoundaryRoot),
}

/// A snapshot on its way here.
#[derive(Debug)]
pub struct Sync {
    epoch: Epoch,
    /// Those of all groups.
    voters: Vec<PublicKey>,
    groups: Vec<Voters>,
    answers: BTreeMap<PublicKey, BoundaryRoot>,
    /// How many voters, the first ones, named the root that is taken.
    holders: usize,
    ask_at_ms: u64,
    stage: Stage,
    refused: u64,
}

#[derive(Debug)]
enum Stage {
    /// Which root?
    Asking,
    /// The manifest with this root.
    Manifest { named: BoundaryRoot, bytes: Vec<u8>, next: u32, asked: Asked },
    /// The chunks of this manifest.
    Chunks {
        named: BoundaryRoot,
        manifest: Box<Manifest>,
        chunks: Vec<Option<Vec<u8>>>,
        asked: BTreeMap<u32, Asked>,
    },
    /// Nothing more is wanted.
    Done,
}

/// Whom something was asked of, and until when it may answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    peer: usize,
    until_ms: u64,
}

impl Sync {
    /// For the beginning of `epoch`. One group are the members of the epoch before; those of this epoch
    /// are another, of whom honest ones have the beginning from there.
    #[must_use]
    pub fn new(epoch: Epoch, groups: Vec<Voters>) -> Self {
        let mut voters: Vec<PublicKey> = Vec::new();
        for key in groups.iter().flat_map(|group| &group.keys) {
            if !voters.contains(key) {
                voters.push(key.clone());
            }
        }
        Self {
            epoch,
            voters,
            groups,
            answers: BTreeMap::new(),
            holders: 0,
            ask_at_ms: 0,
            stage: Stage::Asking,
            refused: 0,
        }
    }

    /// Answers that were not what was asked for, so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes what happened; returns what to do.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        match input {
            Input::Wake => self.wake(now_ms),
            Input::Message { from, message } => {
                let Some(peer) = self.voters.iter().position(|voter| *voter == from) else {
                    return Vec::new();
                };
                match message {
                    BoundaryMessage::Root(root) => self.named(now_ms, from, root),
                    BoundaryMessage::ManifestPart(part) => self.manifest_part(now_ms, peer, part),
                    BoundaryMessage::ChunkPart(part) => self.chunk(now_ms, peer, part),
                    BoundaryMessage::Absent => self.absent(now_ms, peer),
                    BoundaryMessage::Ask
                    | BoundaryMessage::Manifest { .. }
                    | BoundaryMessage::Chunk { .. } => Vec::new(),
                }
            }
        }
    }

    fn wake(&mut self, now_ms: u64) -> Vec<Output> {
        match &self.stage {
            Stage::Asking if now_ms >= self.ask_at_ms => {
                self.ask_at_ms = now_ms.saturating_add(ASK_AGAIN_MS);
                let ask =
                    |to: &PublicKey| Output::Send { to: to.clone(), message: BoundaryMessage::Ask };
                self.voters.iter().map(ask).collect()
            }
            Stage::Manifest { asked, .. } if now_ms >= asked.until_ms => {
                self.next_for_manifest(now_ms)
            }
            Stage::Chunks { .. } => self.ask_for_chunks(now_ms),
            _ => Vec::new(),
        }
    }

    fn named(&mut self, now_ms: u64, from: PublicKey, root: BoundaryRoot) -> Vec<Output> {
        if !matches!(self.stage, Stage::Asking) || root.epoch < self.epoch {
            return Vec::new();
        }
        self.answers.insert(from, root);
        let says = |key: &&PublicKey| self.answers.get(*key) == Some(&root);
        let proven = self
            .groups
            .iter()
            .any(|group| group.keys.iter().filter(says).count() > usize::from(group.faulty));
        if !proven {
            return Vec::new();
        }
        if root.epoch > self.epoch {
            self.stage = Stage::Done;
            return vec![Output::Over(root)];
        }
        // Those who named it have it: the others are asked after them.
        self.holders = self.voters.iter().filter(says).count();
        self.voters.sort_by_key(|voter| self.answers.get(voter) != Some(&root));
        let asked = Asked { peer: 0, until_ms: now_ms.saturating_add(ASK_AGAIN_MS) };
        self.stage = Stage::Manifest { named: root, bytes: Vec::new(), next: 0, asked };
        self.ask_for_manifest(now_ms)
    }

    fn ask_for_manifest(&mut self, now_ms: u64) -> Vec<Output> {
        let Stage::Manifest { named, next, asked, .. } = &mut self.stage else { return Vec::new() };
        asked.until_ms = now_ms.saturating_add(ASK_AGAIN_MS);
        let message = BoundaryMessage::Manifest { root: named.root, part: *next };
        vec![Output::Send { to: self.voters[asked.peer].clone(), message }]
    }

    /// The next peer, from the first part.
    fn next_for_manifest(&mut self, now_ms: u64) -> Vec<Output> {
        let voters = self.voters.len();
        if let Stage::Manifest { bytes, next, asked, .. } = &mut self.stage {
            asked.peer = (asked.peer + 1) % voters;
            (*bytes, *next) = (Vec::new(), 0);
        }
        self.ask_for_manifest(now_ms)
    }

    fn manifest_part(&mut self, now_ms: u64, peer: usize, part: BoundaryPart) -> Vec<Output> {
        let Stage::Manifest { named, bytes, next, asked } = &mut self.stage else {
            return Vec::new();
        };
        if asked.peer != peer || part.root != named.root || part.number != *next {
            self.refused += 1;
            return Vec::new();
        }
        let (length, last) = (part.bytes.len(), part.bytes.len() < CHUNK_BYTES);
        bytes.extend_from_slice(&part.bytes);
        *next += 1;
        if length > CHUNK_BYTES || bytes.len() > MAX_MANIFEST_BYTES {
            self.refused += 1;
            return self.next_for_manifest(now_ms);
        }
        if hash(Tag::Boundary, &[bytes]) != named.root {
            if last {
                self.refused += 1;
                return self.next_for_manifest(now_ms);
            }
            return self.ask_for_manifest(now_ms);
        }
        let named = *named;
        let manifest = encoding::decode::<Manifest>(bytes, MAX_MANIFEST_BYTES).ok();
        let fits = |manifest: &Manifest| {
            let (count, bytes) = (manifest.chunks.len(), manifest.bytes);
            let most = count as u64 * CHUNK_BYTES as u64;
            manifest.name() == named && count <= MAX_CHUNKS && (1..=most).contains(&bytes)
        };
        let Some(manifest) = manifest.filter(fits) else {
            self.stage = Stage::Done;
            return vec![Output::Impossible(named)];
        };
        let chunks = vec![None; manifest.chunks.len()];
        let (manifest, asked) = (Box::new(manifest), BTreeMap::new());
        self.stage = Stage::Chunks { named, manifest, chunks, asked };
        self.ask_for_chunks(now_ms)
    }

    /// Asks for chunks that are missing, and asks the next peer for those that are late.
    fn ask_for_chunks(&mut self, now_ms: u64) -> Vec<Output> {
        let voters = &self.voters;
        let Stage::Chunks { named, chunks, asked, .. } = &mut self.stage else {
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for (number, at) in asked.iter_mut().filter(|(_, at)| now_ms >= at.until_ms) {
            at.peer = (at.peer + 1) % voters.len();
            at.until_ms = now_ms.saturating_add(ASK_AGAIN_MS);
            let message = BoundaryMessage::Chunk { root: named.root, number: *number };
            outputs.push(Output::Send { to: voters[at.peer].clone(), message });
        }
        for (number, _) in (0u32..).zip(chunks.iter()).filter(|(_, chunk)| chunk.is_none()) {
            if asked.len() >= MAX_ASKED {
                break;
            }
            if asked.contains_key(&number) {
                continue;
            }
            let peer = number as usize % self.holders;
            asked.insert(number, Asked { peer, until_ms: now_ms.saturating_add(ASK_AGAIN_MS) });
            let message = BoundaryMessage::Chunk { root: named.root, number };
            outputs.push(Output::Send { to: voters[peer].clone(), message });
        }
        outputs
    }

    fn chunk(&mut self, now_ms: u64, peer: usize, part: BoundaryPart) -> Vec<Output> {
        let Stage::Chunks { named, manifest, chunks, asked } = &mut self.stage else {
            return Vec::new();
        };
        let Some(at) = asked.get_mut(&part.number).filter(|at| at.peer == peer) else {
            self.refused += 1;
            return Vec::new();
        };
        let expected = manifest.chunks.get(part.number as usize);
        if part.root != named.root || expected != Some(&chunk_digest(&part.bytes)) {
            at.until_ms = now_ms;
            self.refused += 1;
            return self.ask_for_chunks(now_ms);
        }
        asked.remove(&part.number);
        chunks[part.number as usize] = Some(part.bytes);
        if chunks.iter().all(Option::is_some) {
            let chunks = std::mem::take(chunks).into_iter().flatten().collect();
            let manifest = manifest.clone();
            self.stage = Stage::Done;
            return vec![Output::Whole { manifest, chunks }];
        }
        self.ask_for_chunks(now_ms)
    }

    fn absent(&mut self, now_ms: u64, peer: usize) -> Vec<Output> {
        match &mut self.stage {
            Stage::Manifest { asked, .. } if asked.peer == peer => self.next_for_manifest(now_ms),
            Stage::Chunks { asked, .. } => {
                asked.values_mut().filter(|at| at.peer == peer).for_each(|at| at.until_ms = now_ms);
                self.ask_for_chunks(now_ms)
            }
            _ => Vec::new(),
        }
    }
}

/// Why state sync made nothing.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// What came can't be installed.
    #[error(transparent)]
    Boundary(#[from] BoundaryError),
    /// More voters lie than are tolerated.
    #[error("{} of epoch {} at height {} is no snapshot, though F + 1 members name it", .0.root, .0.epoch, .0.start)]
    Impossible(BoundaryRoot),
    /// The wanted epoch is over.
    #[error("epoch {wanted} is over: epoch {} began at height {}", .now.epoch, .now.start)]
    Over {
        /// The wanted epoch.
        wanted: Epoch,
        /// The beginning that is served now.
        now: BoundaryRoot,
    },
    /// The channel is closed.
    #[error("the channel `shares` is closed")]
    Closed,
}

/// Takes the beginning of an epoch from the others and installs it: then a sequencer of that epoch can
/// start over the same store and seat. Waits until the epoch before has ended.
///
/// # Errors
///
/// [`SyncError`]; the store is as it was then.
pub async fn run<S, R>(
    clock: &impl Clock,
    store: &Store,
    seat: &mut Seat<S, R>,
    mut sync: Sync,
) -> Result<(), SyncError>
where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    info!(epoch = sync.epoch.get(), "state sync begins");
    let channels = &mut seat.channels;
    let mut input = Input::Wake;
    loop {
        for output in sync.handle(now_ms(clock), input) {
            match output {
                Output::Send { to, message } => {
                    let bytes = OpeningMessage::Boundary(message).encode();
                    channels.shares.0.send(Recipients::One(to), bytes, false);
                }
                Output::Whole { manifest, chunks } => {
                    let writes = boundary::installed(store, &manifest, &chunks)?;
                    store.commit(&writes).map_err(BoundaryError::from)?;
                    info!(height = manifest.start.get(), "state sync is complete");
                    return Ok(());
                }
                Output::Impossible(named) => return Err(SyncError::Impossible(named)),
                Output::Over(now) => return Err(SyncError::Over { wanted: sync.epoch, now }),
            }
        }
        input = loop {
            tokio::select! {
                biased;
                message = channels.shares.1.recv() => {
                    let (from, bytes) = message.map_err(|_| SyncError::Closed)?;
                    match OpeningMessage::decode(bytes.as_ref()) {
                        Ok(OpeningMessage::Boundary(message)) => {
                            break Input::Message { from, message };
                        }
                        Ok(_) => {}
                        Err(error) => warn!(%error, "not a message about openings"),
                    }
                }
                // Others may not be kept from sending these.
                message = channels.bundles.1.recv() => drop(message.map_err(|_| SyncError::Closed)?),
                message = channels.logs.1.recv() => drop(message.map_err(|_| SyncError::Closed)?),
                () = clock.sleep(TICK) => break Input::Wake,
            }
        };
    }
}

#[cfg(test)]
mod tests;
