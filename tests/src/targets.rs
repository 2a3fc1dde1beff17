//! Everything that reads bytes of others, each as a function that panics if it breaks a promise.
//!
//! [`TARGETS`] is the one table. `tests/byte_mutators.rs` feeds every target its seeds, mutated, in
//! the test command; `fuzz/` feeds them what libFuzzer finds. A decoder must refuse or read
//! exactly: what it accepts encodes to the same bytes. A state machine takes its input as a
//! sequence of choices and must keep its module's invariants.
//!
//! A target says whether it accepted its input, so that tests know that the seeds reach beyond the
//! first check. To add one: a function in the file of its room, a line in the table, and a binary
//! in `fuzz/` (a test compares them).

mod adoption;
mod ceremony;
#[cfg(feature = "engine")]
mod chain_state;
mod choices;
mod client;
#[cfg(feature = "engine")]
mod consensus;
mod crypto;
mod frames;
mod keygen;
mod mempool;
mod opener;
mod order;
mod ordering;
mod pool;
mod registry;
mod release;
mod scene;
#[cfg(feature = "engine")]
mod sequencer;
mod world;

use std::fmt::Debug;

use fairveil_crypto::encoding;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a target made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A decoder read it and its judge was convinced; a state machine reached what it is for.
    Accepted,
    /// Anything else.
    Refused,
}

impl Verdict {
    const fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// One reader of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of its binary and its corpus.
    pub name: &'static str,
    /// The crate that it is of.
    pub room: &'static str,
    /// What it reads, or drives.
    pub about: &'static str,
    /// Runs one input; panics if a promise is broken.
    pub run: fn(&[u8]) -> Verdict,
    /// Inputs that it accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(
    room: &'static str,
    name: &'static str,
    about: &'static str,
    run: fn(&[u8]) -> Verdict,
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target { name, room, about, run, seeds }
}

/// All targets, by room.
pub const TARGETS: &[Target] = &[
    target(
        "crypto",
        "points_and_scalars",
        "points, scalars, keys and shares of keys",
        crypto::points_and_scalars,
        crypto::point_and_scalar_seeds,
    ),
    target(
        "crypto",
        "ciphertext",
        "a ciphertext and its proof",
        crypto::ciphertext,
        crypto::ciphertext_seeds,
    ),
    target(
        "crypto",
        "sealed_bundle",
        "the envelope: RLP, header, signature, network, key, proof",
        crypto::sealed_bundle,
        crypto::sealed_bundle_seeds,
    ),
    target(
        "crypto",
        "signed_share",
        "decryption shares and the evidence of bad ones",
        crypto::signed_share,
        crypto::signed_share_seeds,
    ),
    target(
        "crypto",
        "certificates",
        "order and release certificates",
        crypto::certificates,
        crypto::certificate_seeds,
    ),
    target(
        "mempool",
        "bundle_message",
        "messages about bundles",
        mempool::bundle_message,
        mempool::bundle_message_seeds,
    ),
    target(
        "mempool",
        "bundle",
        "a bundle in the clear, alone and in its padding",
        mempool::bundle,
        mempool::bundle_seeds,
    ),
    target(
        "mempool",
        "stored_values",
        "receipts, log heads and entries, places, events, rejections",
        mempool::stored_values,
        mempool::stored_value_seeds,
    ),
    target(
        "mempool",
        "texts",
        "values, codes, addresses, ids and numbers as text",
        mempool::texts,
        mempool::text_seeds,
    ),
    target("mempool", "pool", "state machine: the pool", pool::run, pool::seeds),
    target(
        "ordering",
        "order_evidence",
        "evidence of a block, proofs of forked logs",
        ordering::order_evidence,
        ordering::order_evidence_seeds,
    ),
    target(
        "ordering",
        "order_snapshot",
        "snapshots of the order",
        ordering::order_snapshot,
        ordering::order_snapshot_seeds,
    ),
    target("ordering", "order", "state machine: the fair order", order::run, order::seeds),
    target(
        "keygen",
        "definition",
        "definitions as TOML and as bytes",
        keygen::definition,
        keygen::definition_seeds,
    ),
    target(
        "keygen",
        "ceremony_entry",
        "entries, approvals and the journal of a ceremony",
        keygen::ceremony_entry,
        keygen::ceremony_entry_seeds,
    ),
    target(
        "keygen",
        "transcript",
        "transcripts and their verification",
        keygen::transcript,
        keygen::transcript_seeds,
    ),
    target(
        "keygen",
        "blame",
        "evidence of faults in a ceremony",
        keygen::blame,
        keygen::blame_seeds,
    ),
    target(
        "keygen",
        "keystore",
        "keystores, at the cheapest cost",
        keygen::keystore,
        keygen::keystore_seeds,
    ),
    target(
        "keygen",
        "ceremony",
        "state machine: one member of a ceremony",
        ceremony::run,
        ceremony::seeds,
    ),
    target(
        "registry",
        "registry_change",
        "changes of the rollups with their approvals, schedules",
        registry::registry_change,
        registry::registry_change_seeds,
    ),
    target(
        "release",
        "opening_message",
        "messages about shares and releases",
        release::opening_message,
        release::opening_message_seeds,
    ),
    target(
        "release",
        "fault_evidence",
        "files that convict",
        release::fault_evidence,
        release::fault_evidence_seeds,
    ),
    target(
        "release",
        "release",
        "releases, the release chain, failed codes",
        release::release,
        release::release_seeds,
    ),
    target(
        "release",
        "release_proof",
        "Merkle proofs of bundles and batches",
        release::release_proof,
        release::release_proof_seeds,
    ),
    target(
        "release",
        "transaction",
        "raw transactions and their static validity",
        release::transaction,
        release::transaction_seeds,
    ),
    target(
        "release",
        "batcher_frames",
        "a batcher's transactions of L1: frames, channel, span batches",
        frames::batcher_frames,
        frames::batcher_frames_seeds,
    ),
    target("release", "opener", "state machine: opening together", opener::run, opener::seeds),
    target(
        "release",
        "adoption",
        "state machine: taking over certified releases",
        adoption::run,
        adoption::seeds,
    ),
    #[cfg(feature = "engine")]
    target(
        "consensus",
        "block",
        "blocks and the proofs that they carry",
        consensus::block,
        consensus::block_seeds,
    ),
    #[cfg(feature = "engine")]
    target(
        "consensus",
        "chain_snapshot",
        "snapshots of the chain's state",
        consensus::chain_snapshot,
        consensus::chain_snapshot_seeds,
    ),
    #[cfg(feature = "engine")]
    target(
        "consensus",
        "chain_state",
        "state machine: the network's chain",
        chain_state::run,
        chain_state::seeds,
    ),
    #[cfg(feature = "engine")]
    target(
        "sequencer",
        "log_message",
        "messages about order logs, stored places and events",
        sequencer::log_message,
        sequencer::log_message_seeds,
    ),
    #[cfg(feature = "engine")]
    target(
        "sequencer",
        "known_logs",
        "state machine: what is known of all logs",
        sequencer::run,
        sequencer::seeds,
    ),
    target(
        "client",
        "client_file",
        "a trader's files of every kind, judged offline",
        client::client_file,
        client::client_file_seeds,
    ),
    target(
        "client",
        "client_answer",
        "answers of sequencers: receipts and JSON-RPC",
        client::client_answer,
        client::client_answer_seeds,
    ),
];

/// The target with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The longest input that a decoder is given in the encoding between sequencers.
const LIMIT_BYTES: usize = 1 << 20;
/// Inputs that a state machine takes from one run.
const MAX_STEPS: usize = 200;

/// The kind that the first byte chooses, 0 to `most`, and the rest.
fn kind(bytes: &[u8], most: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((first % (most + 1), rest))
}

/// An input of this kind.
fn tagged(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], bytes].concat()
}

/// The value of exactly these bytes, which is the same after a detour through JSON.
fn stored<T>(bytes: &[u8]) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let value: T = encoding::decode(bytes, LIMIT_BYTES).ok()?;
    assert_eq!(encoding::encode(&value), bytes);
    let text = serde_json::to_vec(&value).expect("every stored value has a form in JSON");
    let read: T = serde_json::from_slice(&text).expect("what was written is read");
    assert_eq!(read, value);
    Some(value)
}
