//! The files that a trader keeps: JSON with a `kind`, hex with `0x`, integers as numbers.
//!
//! | kind | holds | fields |
//! |---|---|---|
//! | `unsealed` | a bundle in the clear, a secret | `policy`, `legs` |
//! | `sealed` | a sealed bundle | `id`, `network_id`, `sealed` |
//! | `receipts` | receipts for one bundle | `id`, `network_id`, `receipts` |
//! | `order` | an order certificate | those of [`OrderCertificate`] |
//! | `bundle` | what became of a bundle | those of [`BundleDocument`] |
//! | `batch` | a rollup's batch | those of [`BatchDocument`] |
//! | `evidence` | a proof of a sequencer's fault | `evidence` |
//! | `fraud` | a proof that a batch is false | those of [`FraudProof`] |
//! | `blame` | a proof of a fault in a key ceremony | those of [`BlameEvidence`] |
//! | `trace` | receipts and order of a run | those of [`TraceFile`] |
//! | `censorship` | a proof that a bundle was omitted | those of [`CensorshipFile`] |
//!
//! What a sequencer serves has no `kind`: an order certificate and a bundle or batch document are
//! recognised by their fields, a transcript and a blame too. A list of batch documents is what `GET /batches`
//! answers. Anything that is not JSON is read as encoded evidence.
//!
//! # Invariants
//!
//! 1. Reading a file believes nothing of it: [`crate::verify`] judges.
//! 2. A file that was written reads back as the same value.
//! 3. Nothing stands in a file beside what is read out of it: no unknown or repeated key, no other
//!    form of a value (upper-case hex), no byte after the end. Only space between JSON's tokens,
//!    the order of keys and escapes are free, and the hex in a bundle in the clear, which people
//!    write by hand.
//! 4. Bytes, values and bytes per kind are bounded ([`MAX_FILE_BYTES`], [`MAX_VALUES`], [`limit`]).
//! 5. A reason for a refusal is one line, whatever the file holds.

mod json;

use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::encoding::DecodeError;
use fairveil_crypto::envelope::{EnvelopeError, SealedBundle};
use fairveil_crypto::{BundleId, NetworkId};
use fairveil_keygen::{BlameEvidence, Transcript};
use fairveil_mempool::{Bundle, BundleError, Bytes, Leg, Policy, Receipt};
use fairveil_release::document::{BatchDocument, BundleDocument, DocumentLeg};
use fairveil_release::evidence::Evidence;
use fairveil_release::fraud::FraudProof;
use fairveil_release::transaction::RawTransaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use json::MAX_VALUES;

use crate::censorship::CensorshipFile;
use crate::receipts::printable;
use crate::trace::TraceFile;
use json::{Difference, shortened};

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 256 << 20;

/// The longest file of a kind, in bytes: what its content can take, and room.
#[must_use]
pub fn limit(kind: &str) -> usize {
    match kind {
        "unsealed" | "sealed" | "receipts" => 1 << 20,
        "transcript" => fairveil_keygen::transcript::MAX_BYTES,
        "blame" => fairveil_keygen::blame::evidence::MAX_BYTES,
        "order" | "bundle" => 64 << 20,
        _ => MAX_FILE_BYTES,
    }
}

/// A file of any kind, unjudged.
#[derive(Clone, Debug)]
pub enum File {
    /// A bundle in the clear.
    Unsealed(UnsealedFile),
    /// A sealed bundle.
    Sealed(SealedFile),
    /// Receipts for one bundle.
    Receipts(ReceiptsFile),
    /// An order certificate.
    Order(Box<OrderCertificate>),
    /// What became of a bundle.
    Bundle(Box<BundleDocument>),
    /// A batch of a rollup.
    Batch(Box<BatchDocument>),
    /// Batches of a rollup, in order.
    Batches(Vec<BatchDocument>),
    /// A ceremony's transcript.
    Transcript(Box<Transcript>),
    /// A proof of a sequencer's fault.
    Evidence(Box<Evidence>),
    /// A proof that a batch is false.
    Fraud(Box<FraudProof>),
    /// A proof of a fault in a key ceremony.
    Blame(Box<BlameEvidence>),
    /// Receipts and the order of a run.
    Trace(Box<TraceFile>),
    /// A proof that a bundle was omitted.
    Censorship(Box<CensorshipFile>),
}

/// A bundle in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsealedFile {
    /// What happens when a leg does not go through.
    pub policy: Policy,
    /// The legs.
    pub legs: Vec<DocumentLeg>,
    /// The first height at which it is to be ordered, if the trader already knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<u64>,
    /// For how long it is to be ordered, as text such as `30s` or `300h`, if the trader already knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A sealed bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    /// Its id.
    pub id: BundleId,
    /// The network that it is sealed for.
    pub network_id: NetworkId,
    /// The bytes that are submitted, as hex.
    pub sealed: String,
}

/// Receipts for one bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptsFile {
    /// The bundle.
    pub id: BundleId,
    /// The network.
    pub network_id: NetworkId,
    /// The receipts.
    pub receipts: Vec<Receipt>,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Too long.
    #[error("file has {actual} bytes, the limit is {MAX_FILE_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// Empty.
    #[error("file is empty")]
    Empty,
    /// Too long for its kind.
    #[error("a file of kind {kind:?} has {actual} bytes, the limit is {limit}")]
    KindTooLong {
        /// The kind.
        kind: &'static str,
        /// Bytes found.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Begins as JSON and is none, or repeats a key, or has too many values.
    #[error("not JSON that is judged here: {}", printable(&.0.to_string()))]
    Json(serde_json::Error),
    /// A kind that this program does not know.
    #[error("no such kind of file: {actual}")]
    Kind {
        /// The kind given.
        actual: String,
    },
    /// No kind, and the fields of none.
    #[error("no kind, and not the fields of anything that is judged here")]
    Unrecognised,
    /// Not the fields of its kind.
    #[error("not a file of kind {kind:?}: {}", printable(&.error.to_string()))]
    Fields {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Something stands there beside what was read, or in another form.
    #[error("`{path}` is {actual}, a file of kind {kind:?} has {expected} there")]
    Form {
        /// The kind.
        kind: &'static str,
        /// Where.
        path: String,
        /// What stands there.
        actual: String,
        /// How it is written.
        expected: String,
    },
    /// Not the encoding of evidence.
    #[error("neither JSON nor evidence: {}", printable(&.0.to_string()))]
    Evidence(DecodeError),
    /// JSON whose hex is not the encoding of evidence.
    #[error("the hex is no evidence: {}", printable(&.0.to_string()))]
    EvidenceFields(DecodeError),
    /// The hex of evidence is none.
    #[error("the evidence is not 0x and hex")]
    EvidenceHex,
}

/// Why a sealed file holds no sealed bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedFileError {
    /// Not hex.
    #[error("`sealed` is not 0x and lower-case hex")]
    Hex,
    /// Not a sealed bundle.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The id is another bundle's.
    #[error("`id` is {actual}, the sealed bundle's is {expected}")]
    Id {
        /// The id in the file.
        actual: BundleId,
        /// The bundle's.
        expected: BundleId,
    },
    /// The network is not the bundle's.
    #[error("`network_id` is {actual}, the sealed bundle's is {expected}")]
    Network {
        /// The network in the file.
        actual: NetworkId,
        /// The bundle's.
        expected: NetworkId,
    },
}

impl File {
    /// Reads a file of any kind.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(FileError::TooLong { actual: bytes.len() });
        }
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => Err(FileError::Empty),
            Some(b'{' | b'[') => {
                // A binary file may begin with the same byte; it is no JSON then.
                match json::read(bytes, MAX_VALUES) {
                    Ok(value) => Self::of_value(value, bytes.len()),
                    Err(error) => match Evidence::decode(bytes) {
                        Ok(evidence) => Ok(Self::Evidence(Box::new(evidence))),
                        Err(_) => Err(FileError::Json(error)),
                    },
                }
            }
            Some(_) => {
                let evidence = Evidence::decode(bytes).map_err(FileError::Evidence)?;
                Ok(Self::Evidence(Box::new(evidence)))
            }
        }
    }

    fn of_value(mut value: Value, length: usize) -> Result<Self, FileError> {
        let kind = kind_of(&mut value)?;
        let (actual, limit) = (length, limit(kind));
        if actual > limit {
            return Err(FileError::KindTooLong { kind, actual, limit });
        }
        let file = match kind {
            "unsealed" => Self::Unsealed(fields(kind, &value)?),
            "sealed" => Self::Sealed(fields(kind, &value)?),
            "receipts" => Self::Receipts(fields(kind, &value)?),
            "order" => Self::Order(fields(kind, &value)?),
            "bundle" => Self::Bundle(fields(kind, &value)?),
            "batch" => Self::Batch(fields(kind, &value)?),
            "batches" => Self::Batches(fields(kind, &value)?),
            "transcript" => Self::Transcript(fields(kind, &value)?),
            "fraud" => Self::Fraud(fields(kind, &value)?),
            "blame" => Self::Blame(fields(kind, &value)?),
            "trace" => Self::Trace(fields(kind, &value)?),
            "censorship" => Self::Censorship(fields(kind, &value)?),
            _ => {
                let EvidenceFields { evidence } = fields(kind, &value)?;
                let bytes = hex_bytes(&evidence).ok_or(FileError::EvidenceHex)?;
                let evidence = Evidence::decode(&bytes).map_err(FileError::EvidenceFields)?;
                Self::Evidence(Box::new(evidence))
            }
        };
        match json::difference(&value, &file.content()) {
            Some(Difference { path, actual, expected }) if kind != "unsealed" => {
                Err(FileError::Form { kind, path, actual, expected })
            }
            _ => Ok(file),
        }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unsealed(_) => "unsealed",
            Self::Sealed(_) => "sealed",
            Self::Receipts(_) => "receipts",
            Self::Order(_) => "order",
            Self::Bundle(_) => "bundle",
            Self::Batch(_) => "batch",
            Self::Batches(_) => "batches",
            Self::Transcript(_) => "transcript",
            Self::Evidence(_) => "evidence",
            Self::Fraud(_) => "fraud",
            Self::Blame(_) => "blame",
            Self::Trace(_) => "trace",
            Self::Censorship(_) => "censorship",
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.to_value()).expect("a value is JSON");
        text.push('\n');
        text
    }

    /// The file as JSON. A list of batches is written as what it is, without a kind, and so is a
    /// transcript.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = self.content();
        if let (Value::Object(object), false) = (&mut value, matches!(self, Self::Transcript(_))) {
            let fields = std::mem::take(object);
            object.insert("kind".into(), self.kind().into());
            object.extend(fields);
        }
        value
    }

    /// The file's JSON without a kind.
    fn content(&self) -> Value {
        let value = match self {
            Self::Unsealed(file) => serde_json::to_value(file),
            Self::Sealed(file) => serde_json::to_value(file),
            Self::Receipts(file) => serde_json::to_value(file),
            Self::Order(certificate) => serde_json::to_value(certificate),
            Self::Bundle(document) => serde_json::to_value(document),
            Self::Batch(document) => serde_json::to_value(document),
            Self::Batches(documents) => serde_json::to_value(documents),
            Self::Transcript(transcript) => serde_json::to_value(transcript),
            Self::Fraud(proof) => serde_json::to_value(proof),
            Self::Blame(evidence) => serde_json::to_value(evidence),
            Self::Trace(trace) => serde_json::to_value(trace),
            Self::Censorship(proof) => serde_json::to_value(proof),
            Self::Evidence(evidence) => {
                let evidence = alloy_primitives::hex::encode_prefixed(evidence.encode());
                serde_json::to_value(EvidenceFields { evidence })
            }
        };
        value.expect("no value here has a failing Serialize")
    }
}

impl UnsealedFile {
    /// The file of a bundle.
    #[must_use]
    pub fn new(bundle: &Bundle) -> Self {
        let (policy, legs) = (bundle.policy(), document_legs(bundle));
        Self { policy, legs, valid_from: None, expires_in: None }
    }

    /// The bundle.
    ///
    /// # Errors
    ///
    /// If the legs make none.
    pub fn bundle(&self) -> Result<Bundle, BundleError> {
        let leg = |leg: &DocumentLeg| Leg {
            chain_id: leg.chain_id,
            transactions: leg
                .transactions
                .iter()
                .map(|raw| Bytes::copy_from_slice(raw.as_bytes()))
                .collect(),
        };
        Bundle::new(self.policy, self.legs.iter().map(leg).collect())
    }
}

impl SealedFile {
    /// The file of a sealed bundle.
    #[must_use]
    pub fn new(sealed: &SealedBundle) -> Self {
        Self {
            id: sealed.id(),
            network_id: sealed.header().network_id,
            sealed: alloy_primitives::hex::encode_prefixed(sealed.encode()),
        }
    }

    /// The sealed bundle.
    ///
    /// # Errors
    ///
    /// If the file holds none, or says something else about it.
    pub fn bundle(&self) -> Result<SealedBundle, SealedFileError> {
        let lower_case = !self.sealed.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = hex_bytes(&self.sealed).filter(|_| lower_case).ok_or(SealedFileError::Hex)?;
        let sealed = SealedBundle::decode(&bytes)?;
        let (actual, expected) = (self.id, sealed.id());
        if actual != expected {
            return Err(SealedFileError::Id { actual, expected });
        }
        let (actual, expected) = (self.network_id, sealed.header().network_id);
        if actual != expected {
            return Err(SealedFileError::Network { actual, expected });
        }
        Ok(sealed)
    }
}

/// A bundle's legs as documents show them.
#[must_use]
pub fn document_legs(bundle: &Bundle) -> Vec<DocumentLeg> {
    let raw = |bytes: &Bytes| RawTransaction::from(bytes.to_vec());
    let leg = |leg: &Leg| DocumentLeg {
        chain_id: leg.chain_id,
        transactions: leg.transactions.iter().map(raw).collect(),
    };
    bundle.legs().iter().map(leg).collect()
}

/// The bytes of `0x` and hex, nothing else.
#[must_use]
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    let bytes = alloy_primitives::hex::decode(digits).ok()?;
    // The library strips a second prefix, which is no hex digit.
    (bytes.len() * 2 == digits.len()).then_some(bytes)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceFields {
    evidence: String,
}

fn fields<'a, T: Deserialize<'a>>(kind: &'static str, value: &'a Value) -> Result<T, FileError> {
    T::deserialize(value).map_err(|error| FileError::Fields { kind, error })
}

/// The kinds of files that are objects.
const KINDS: [&str; 12] = [
    "unsealed",
    "sealed",
    "receipts",
    "order",
    "bundle",
    "batch",
    "transcript",
    "evidence",
    "fraud",
    "blame",
    "trace",
    "censorship",
];

/// The kind of a file, which is taken out of it.
fn kind_of(value: &mut Value) -> Result<&'static str, FileError> {
    if value.is_array() {
        return Ok("batches");
    }
    let Some(object) = value.as_object_mut() else { return Err(FileError::Unrecognised) };
    let Some(given) = object.remove("kind") else {
        return guess(object).ok_or(FileError::Unrecognised);
    };
    let known = KINDS.into_iter().find(|kind| given == *kind);
    known.ok_or_else(|| FileError::Kind { actual: shortened(&given.to_string()) })
}

/// The kind of what sequencers serve without one.
fn guess(object: &serde_json::Map<String, Value>) -> Option<&'static str> {
    let has = |key| object.contains_key(key);
    if has("confirmations") && has("definition") {
        Some("transcript")
    } else if has("finalization") && has("emission") {
        Some("order")
    } else if has("fault") && has("definition") {
        Some("blame")
    } else if has("proof") && has("batch") {
        Some("batch")
    } else if has("proof") && has("legs") {
        Some("bundle")
    } else {
        None
    }
}
