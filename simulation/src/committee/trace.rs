//! What honest sequencers say to each other, as the wire saw it.
//!
//! A [`Tap`] is a sender that notes, before anything leaves, votes to finalize a block and
//! everything about decryption shares. The oracle judges from these notes alone whether a share
//! ever left before a quorum had voted to finalize: it asks no sequencer what it believed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use commonware_codec::varint::UInt;
use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::Vote;
use commonware_cryptography::sha256::Digest as EngineDigest;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, simulated};
use commonware_runtime::{IoBufs, deterministic};
use fairveil_consensus::Block;
use fairveil_consensus::committee::PublicKey;
use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{BatchId, BlockDigest};
use fairveil_release::message::OpeningMessage;
use fairveil_release::opener::ShareMessage;

/// A sender of the simulated network.
pub(crate) type Wire = simulated::Sender<PublicKey, deterministic::Context>;

/// Something that left a sequencer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A vote to finalize a block.
    Finalize(BlockDigest),
    /// A decryption share.
    Share {
        /// The height that it names.
        height: u64,
        /// What it opens.
        batch: BatchId,
        /// The share itself.
        share: Box<SignedShare>,
    },
    /// Opening hints.
    Hints {
        /// The height that they name.
        height: u64,
    },
    /// A request for somebody's share.
    Request,
    /// A message on a channel of votes or shares that nobody can read.
    Unreadable,
}

/// All that was noted.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// In the order in which it left: by whom, and what.
    sent: Vec<(usize, Sent)>,
    /// Blocks that anybody proposed, of those channels that are listened to.
    blocks: BTreeMap<BlockDigest, Block>,
}

impl Trace {
    /// Everything so far.
    pub(crate) fn taken(&self) -> Vec<(usize, Sent)> {
        std::mem::take(&mut self.lock().sent)
    }

    /// A block that somebody proposed.
    pub(crate) fn block(&self, digest: &BlockDigest) -> Option<Block> {
        self.lock().blocks.get(digest).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a tap listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listens {
    /// Votes of the consensus.
    Votes,
    /// Messages about decryption shares.
    Shares,
    /// Proposed blocks.
    Blocks,
    /// Nothing.
    Deaf,
}

/// A sender with a listener.
#[derive(Clone)]
pub(crate) struct Tap {
    wire: Wire,
    note: Note,
}

#[derive(Clone)]
struct Note {
    member: usize,
    listens: Listens,
    trace: Trace,
}

impl Tap {
    /// Listens to what `member` sends over `wire`.
    pub(crate) fn new(wire: Wire, member: usize, listens: Listens, trace: Trace) -> Self {
        Self { wire, note: Note { member, listens, trace } }
    }
}

impl Note {
    fn note(&self, bytes: &[u8]) {
        let sent = match self.listens {
            Listens::Votes => vote(bytes),
            Listens::Shares => share(bytes),
            Listens::Blocks => {
                if let Some(block) = block(bytes) {
                    self.trace.lock().blocks.insert(block.block_digest(), block);
                }
                None
            }
            Listens::Deaf => None,
        };
        if let Some(sent) = sent {
            self.trace.lock().sent.push((self.member, sent));
        }
    }
}

/// A vote behind the number of its subchannel.
fn vote(bytes: &[u8]) -> Option<Sent> {
    let mut rest = Copying(bytes);
    let subchannel = UInt::<u64>::read(&mut rest);
    match subchannel.and_then(|_| Vote::<Scheme, EngineDigest>::read(&mut rest)) {
        Ok(Vote::Finalize(vote)) => {
            Some(Sent::Finalize(BlockDigest::from_bytes(vote.proposal.payload.0)))
        }
        Ok(_) => None,
        Err(_) => Some(Sent::Unreadable),
    }
}

/// A block behind the number of its subchannel.
fn block(bytes: &[u8]) -> Option<Block> {
    let mut rest = Copying(bytes);
    UInt::<u64>::read(&mut rest).ok()?;
    Block::read(&mut rest).ok()
}

fn share(bytes: &[u8]) -> Option<Sent> {
    match OpeningMessage::decode(bytes) {
        Ok(OpeningMessage::Share(ShareMessage::Share { height, share })) => {
            let (height, batch) = (height.get(), share.batch);
            Some(Sent::Share { height, batch, share })
        }
        Ok(OpeningMessage::Share(ShareMessage::Hints { height, .. })) => {
            Some(Sent::Hints { height: height.get() })
        }
        Ok(OpeningMessage::Share(ShareMessage::Request { .. })) => Some(Sent::Request),
        Ok(OpeningMessage::Release(_) | OpeningMessage::Boundary(_) | OpeningMessage::Feed(_)) => {
            None
        }
        Err(_) => Some(Sent::Unreadable),
    }
}

impl LimitedSender for Tap {
    type PublicKey = PublicKey;
    type Checked<'a> = CheckedTap<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<CheckedTap<'_>, SystemTime> {
        let checked = self.wire.check(recipients)?;
        Ok(CheckedTap { checked, note: self.note.clone() })
    }
}

/// A message that the tap notes when it is sent.
pub(crate) struct CheckedTap<'a> {
    checked: <Wire as LimitedSender>::Checked<'a>,
    note: Note,
}

impl CheckedSender for CheckedTap<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.checked.recipients()
    }

    fn send(
        self,
        message: impl Into<IoBufs> + Send,
        priority: bool,
    ) -> commonware_actor::Unreliable<commonware_actor::Feedback> {
        let message = message.into().coalesce();
        self.note.note(message.as_ref());
        self.checked.send(message, priority)
    }
}
