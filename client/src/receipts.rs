//! What sequencers answered to a submission, and what of it counts.
//!
//! # Invariants
//!
//! 1. Only a receipt that verifies for the pinned network, its epoch, the bundle and a member
//!    counts, and each member once, whoever handed it over.
//! 2. f+1 of distinct members of one epoch admit the bundle: at least one of them is honest, and an
//!    honest one reports what it admitted. Receipts of two epochs are never counted together: who
//!    is f in one committee may be more in another.
//! 3. f+1 rejections reject it: an honest sequencer is among them.
//! 4. Every answer is kept with who gave it, also the ones that do not count, with the reason.
//! 5. Two receipts of one member that contradict each other are kept as evidence.

use std::collections::BTreeMap;

use fairveil_crypto::committee::UnknownEpoch;
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BundleId, Epoch, NetworkId, SequencerIndex};
use fairveil_keygen::VerifiedEpoch;
use fairveil_mempool::receipt::{ConflictingReceipts, ReceiptError};
use fairveil_mempool::{Place, Receipt, ReceiptSet};

use crate::rpc::{ReceiptInfo, Rejected};
use crate::trust::PinnedNetwork;

/// The longest encoded receipt that is read, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 1 << 10;

/// Why a receipt does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// Not hex.
    #[error("the receipt is not 0x and hex")]
    Hex,
    /// Not the encoding of a receipt.
    #[error("the receipt does not decode: {0}")]
    Encoding(#[from] DecodeError),
    /// A field beside the signed receipt says something else.
    #[error("the answer's {field} is not that of the signed receipt")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// It is of an epoch that the transcript does not prove.
    #[error(
        "receipt of epoch {}, the transcript proves {} to {}: fetch a newer transcript",
        .0.actual, .0.first, .0.last
    )]
    UnknownEpoch(#[from] UnknownEpoch),
    /// It does not verify.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// What one sequencer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A receipt that counts, the first of this member.
    Receipt(Receipt),
    /// A receipt of a member that has one already.
    Repeated(SequencerIndex),
    /// The bundle was rejected.
    Rejected(Rejected),
    /// A receipt that does not count.
    Refused(ReceiptFault),
    /// An answer that is neither.
    Failed(String),
    /// No answer.
    Silent(String),
}

/// One answer and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who was asked.
    pub url: String,
    /// What came back.
    pub answer: Answer,
}

/// What all answers together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// f+1 distinct members gave receipts that verify.
    Admitted,
    /// f+1 sequencers rejected it.
    Rejected,
    /// Neither, and somebody gave a receipt that does not count.
    Distrusted,
    /// Neither: too few answered.
    Unreachable,
}

/// Receipts for one bundle, as they come in.
#[derive(Clone, Debug)]
pub struct Receipts {
    id: BundleId,
    network: PinnedNetwork,
    /// By epoch; that of the newest is always there.
    sets: BTreeMap<Epoch, ReceiptSet>,
    answers: Vec<Answered>,
    conflicts: Vec<ConflictingReceipts>,
}

/// The receipt inside an answer, if the fields beside it say the same. Not verified yet.
///
/// # Errors
///
/// [`ReceiptFault`].
pub fn read(info: &ReceiptInfo) -> Result<Receipt, ReceiptFault> {
    let bytes = crate::file::hex_bytes(&info.receipt).ok_or(ReceiptFault::Hex)?;
    let receipt: Receipt = encoding::decode(&bytes, MAX_RECEIPT_BYTES)?;
    let body = &receipt.body;
    let position = match body.place {
        Place::Held => None,
        Place::Position(position) => Some(position),
    };
    let fields = [
        ("id", info.id == body.id.to_string()),
        ("sequencer", info.sequencer == u64::from(receipt.sequencer.get())),
        ("position", info.position == position),
        ("height", info.height == body.height.get()),
        ("time_ms", info.time_ms == body.time_ms),
    ];
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(ReceiptFault::Field { field }),
        None => Ok(receipt),
    }
}

/// Nothing yet of what an epoch's members signed.
fn set(network_id: NetworkId, epoch: &VerifiedEpoch, id: BundleId) -> ReceiptSet {
    let keys = epoch.committee().consensus_keys().to_vec();
    let faults = epoch.definition().proposal().f.into();
    ReceiptSet::new(network_id, epoch.epoch(), id, keys, faults)
}

impl Receipts {
    /// None yet.
    #[must_use]
    pub fn new(network: &PinnedNetwork, id: BundleId) -> Self {
        let newest = set(network.network_id(), network.transcript().newest(), id);
        let sets = BTreeMap::from([(network.epoch(), newest)]);
        Self { id, network: network.clone(), sets, answers: Vec::new(), conflicts: Vec::new() }
    }

    /// The bundle.
    #[must_use]
    pub const fn id(&self) -> BundleId {
        self.id
    }

    /// Verifies and counts a receipt.
    ///
    /// # Errors
    ///
    /// If it does not count.
    pub fn add(&mut self, receipt: Receipt) -> Result<Answer, ReceiptFault> {
        let epoch = receipt.body.epoch;
        let proven = self.network.proven(epoch)?;
        let (network_id, id) = (self.network.network_id(), self.id);
        let set = self.sets.entry(epoch).or_insert_with(|| set(network_id, proven, id));
        let before = set.count();
        if let Some(conflict) = set.add(receipt)? {
            self.conflicts.push(conflict);
        }
        let first = set.count() > before;
        Ok(if first { Answer::Receipt(receipt) } else { Answer::Repeated(receipt.sequencer) })
    }

    /// Takes a receipt as a sequencer answered it, and keeps what became of it.
    pub fn take(&mut self, url: &str, info: &ReceiptInfo) {
        let answer = read(info).and_then(|receipt| self.add(receipt));
        self.note(url, answer.unwrap_or_else(Answer::Refused));
    }

    /// Keeps an answer that is no receipt.
    pub fn note(&mut self, url: &str, answer: Answer) {
        self.answers.push(Answered { url: url.to_owned(), answer });
    }

    /// Every answer, in the order in which the sequencers were named.
    #[must_use]
    pub fn answers(&self) -> &[Answered] {
        &self.answers
    }

    /// Proofs that a member contradicted itself.
    #[must_use]
    pub fn conflicts(&self) -> &[ConflictingReceipts] {
        &self.conflicts
    }

    /// The receipts that count, by sequencer: of the epoch that admits the bundle, or of the one
    /// with most of them.
    pub fn counted(&self) -> impl Iterator<Item = &Receipt> {
        self.leading().receipts()
    }

    /// The newest epoch's set that is complete, or the fullest; the newest one if there is none.
    fn leading(&self) -> &ReceiptSet {
        let rank = |set: &&ReceiptSet| (set.is_complete(), set.count());
        self.sets.values().max_by_key(rank).expect("the newest epoch's set is there")
    }

    /// How many count.
    #[must_use]
    pub fn count(&self) -> usize {
        self.leading().count()
    }

    /// How many are needed: f+1.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.leading().needed()
    }

    /// Whether f+1 distinct members admitted the bundle.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.leading().is_complete()
    }

    /// What all answers together say.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let count = |is: fn(&Answer) -> bool| {
            self.answers.iter().filter(|answered| is(&answered.answer)).count()
        };
        if self.is_complete() {
            Verdict::Admitted
        } else if count(|answer| matches!(answer, Answer::Rejected(_))) >= self.needed() {
            Verdict::Rejected
        } else if count(|answer| matches!(answer, Answer::Refused(_))) > 0 {
            Verdict::Distrusted
        } else {
            Verdict::Unreachable
        }
    }
}

/// A line for people.
impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Receipt(receipt) => {
                write!(out, "receipt of sequencer {}", receipt.sequencer)?;
                match receipt.body.place {
                    Place::Held => out.write_str(", held until its window opens"),
                    Place::Position(position) => write!(out, ", position {position} of its log"),
                }
            }
            Self::Repeated(sequencer) => {
                write!(out, "another receipt of sequencer {sequencer}, which counts once")
            }
            Self::Rejected(Rejected { code, actual, limit, cure }) => write!(
                out,
                "rejected ({}): actual {}, limit {}: {}",
                printable(code),
                printable(actual),
                printable(limit),
                printable(cure)
            ),
            Self::Refused(fault) => write!(out, "a receipt that does not count: {fault}"),
            Self::Failed(why) | Self::Silent(why) => out.write_str(&printable(why)),
        }
    }
}

/// The longest text of a sequencer that is shown, in characters.
const MAX_SHOWN_CHARACTERS: usize = 400;

/// Text that somebody else wrote, fit for a line on a terminal: bounded, without control
/// characters, and without those that are not seen or turn the direction of the text.
#[must_use]
pub fn printable(text: &str) -> String {
    // Escaped is what is not printable, and quotes, which are.
    let is_shown = |character: &char| match character {
        '"' | '\'' | '\\' => true,
        character => character.escape_debug().len() == 1,
    };
    text.chars().filter(is_shown).take(MAX_SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
pub(crate) mod tests;
