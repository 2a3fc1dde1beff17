//! Domain separation: the one table of tags, and the one way to hash.
//!
//! `hash(tag, items) = SHA-256(frame(tag, items...))`, where `frame` writes each item's length as
//! 4 bytes big-endian before its bytes.
//!
//! # Invariants
//!
//! 1. Everything that Fairveil hashes or signs with SHA-256 or ed25519 begins with a tag of this
//!    table. (Trader-facing ids and signatures follow Ethereum's conventions: `envelope`.)
//! 2. Every tag begins with `FAIRVEIL-V1-` and no two are equal.
//! 3. `frame` is injective: different lists of items give different bytes.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// The prefix of every tag.
pub const PREFIX: &str = "FAIRVEIL-V1-";

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A domain tag. Add one here, in order of the crate that uses it, never elsewhere.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Tag { $($(#[$doc])* $name,)* }

        impl Tag {
            /// All tags, in the order of the table.
            pub const ALL: &'static [Tag] = &[$(Tag::$name,)*];

            /// The tag as text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Tag::$name => concat!("FAIRVEIL-V1-", $text),)* }
            }
        }
    };
}

tags! {
    // Sealing and opening (crypto.md).
    /// The second generator: destination of `hash_to_curve`.
    Gbar = "GBAR",
    /// `key_id` of a committee key.
    KeyId = "KEY-ID",
    /// The sealing scalar k from `rho`.
    Nonce = "NONCE",
    /// Salt of the key derivation.
    Kdf = "KDF",
    /// Challenge of the proof of a ciphertext.
    SealProof = "SEAL-PROOF",
    /// Identity of a batch of ciphertexts that are opened together.
    Batch = "BATCH",
    /// Seed of the weights of a share proof.
    ShareWeights = "SHARE-WEIGHTS",
    /// One weight of a share proof.
    ShareWeight = "SHARE-WEIGHT",
    /// Challenge of a share proof.
    ShareProof = "SHARE-PROOF",
    /// What a signed decryption share signs.
    ShareMessage = "SHARE-MESSAGE",
    /// Nonce of a share proof.
    ShareNonce = "SHARE-NONCE",
    /// Local weights under which many opening hints are checked at once.
    HintWeight = "HINT-WEIGHT",

    /// Secrets of the trusted dealer of tests and benches.
    TestDealer = "TEST-DEALER",

    // Blocks and certificates.
    /// Namespace of the consensus engine's votes, before the network id.
    Consensus = "CONSENSUS",
    /// Digest of a block header.
    Block = "BLOCK",
    /// Root that a block commits to: what it emitted, and the state after it.
    ResultRoot = "RESULT-ROOT",
    /// Digest of a block's body.
    BlockBody = "BLOCK-BODY",
    /// Digest of a block's evidence.
    BlockEvidence = "BLOCK-EVIDENCE",
    /// Digest of a block's system entries.
    BlockSystem = "BLOCK-SYSTEM",
    /// The state of the network's chain after a block.
    ChainState = "CHAIN-STATE",
    /// Everything that the network's chain has emitted, with who paid.
    ChainHistory = "CHAIN-HISTORY",
    /// What every payer deposited before the first block, and what a bundle costs.
    ChainDeposits = "CHAIN-DEPOSITS",
    /// The balances after a block that charged somebody: the digest before it, and what changed.
    ChainDebits = "CHAIN-DEBITS",
    /// One entry of a ceremony's chain.
    CeremonyEntry = "CEREMONY-ENTRY",
    /// All entries of a ceremony's chain so far.
    CeremonyHistory = "CEREMONY-HISTORY",
    /// What later entries of a ceremony on the network's chain are judged by.
    CeremonyRoom = "CEREMONY-ROOM",
    /// A resharing that the network's chain announced, and the end of its epoch.
    ChainEpoch = "CHAIN-EPOCH",
    /// What the first block of a later epoch stands on.
    EpochOrigin = "EPOCH-ORIGIN",
    /// A snapshot of everything at an epoch's end.
    Boundary = "BOUNDARY",
    /// Result root of a block of a ceremony's chain.
    CeremonyResult = "CEREMONY-RESULT",

    // Admission.
    /// What an admission receipt signs.
    Receipt = "RECEIPT",

    // Execution.
    /// A rollup's whole state, as its genesis has it.
    ExecutionState = "EXECUTION-STATE",
    /// A rollup's state after a slot: the digest before it, and what the slot changed.
    ExecutionSlot = "EXECUTION-SLOT",
    /// The logs of one transaction.
    ExecutionLogs = "EXECUTION-LOGS",

    // Release.
    /// The registry of rollups that a network's definition carries.
    Registry = "REGISTRY",
    /// Digest of a change of the registry while its network runs.
    RegistryChange = "REGISTRY-CHANGE",
    /// A member's approval of such a change.
    RegistryApproval = "REGISTRY-APPROVAL",
    /// The registry that holds and the changes that are announced.
    RegistrySchedule = "REGISTRY-SCHEDULE",
    /// A block of a followed rollup that a block of the network names.
    StateAnchor = "STATE-ANCHOR",
    /// All blocks of followed rollups that the chain's state has named last.
    ChainAnchors = "CHAIN-ANCHORS",
    /// The views of followed rollups over which a slot was simulated.
    ReleaseViews = "RELEASE-VIEWS",
    /// The transactions of one leg.
    ReleaseLeg = "RELEASE-LEG",
    /// A leaf of a release's tree: one id, its place, its outcome and its legs.
    ReleaseLeaf = "RELEASE-LEAF",
    /// An inner node of a release's tree.
    ReleaseNode = "RELEASE-NODE",
    /// The tree of a release without ids.
    ReleaseEmpty = "RELEASE-EMPTY",
    /// The root of a release's tree, with its size and its namespaces.
    ReleaseTree = "RELEASE-TREE",
    /// The states of all simulated rollups after a release.
    ReleaseState = "RELEASE-STATE",
    /// The release root of a height.
    ReleaseRoot = "RELEASE-ROOT",
    /// What the first release of a network has for a previous root.
    ReleaseGenesis = "RELEASE-GENESIS",
    /// Id of a channel of frames for an OP Stack rollup.
    OpChannel = "OP-CHANNEL",

    // Fair ordering.
    /// Where the chain of a sequencer's order log begins.
    OrderLogStart = "ORDER-LOG-START",
    /// One link of an order log's chain.
    OrderLogLink = "ORDER-LOG-LINK",
    /// What a log head signs.
    OrderLogHead = "ORDER-LOG-HEAD",
    /// The tie-break key of an id under a seed.
    OrderKey = "ORDER-KEY",
    /// The seed that a scenario file's evidence stands in for a parent block with.
    OrderScenarioSeed = "ORDER-SCENARIO-SEED",
    /// A proposal that is not complete.
    OrderProposal = "ORDER-PROPOSAL",
    /// The state of the order after a block.
    OrderState = "ORDER-STATE",
    /// An id with what the state knows of it.
    OrderStateLeaf = "ORDER-STATE-LEAF",
    /// An inner node above ids of the state.
    OrderStateBranch = "ORDER-STATE-BRANCH",

    // Transport.
    /// A consensus key's certificate of its sequencer's network key.
    NetworkKey = "NETWORK-KEY",
    /// Salt of the keys that a QUIC endpoint keeps over restarts.
    EndpointKeys = "ENDPOINT-KEYS",

    // Files of evidence.
    /// Name under which evidence is kept.
    EvidenceFile = "EVIDENCE-FILE",

    // Signatures checked many at a time.
    /// Seed of the coefficients of a batch of ed25519 signatures.
    SignatureBatch = "SIGNATURE-BATCH",

    // The making of a committee key (keygen).
    /// Digest of a definition; that of the first is the network id.
    Definition = "DEFINITION",
    /// The content of a document of deposits, which a definition names.
    Deposits = "DEPOSITS",
    /// A member's approval of a definition.
    Approval = "APPROVAL",
    /// Identity of one ceremony: a definition and a round.
    Ceremony = "CEREMONY",
    /// A dealing secret from its seed.
    DealingKey = "DEALING-KEY",
    /// The key under which a keystore wraps an erasable secret.
    EpochKey = "EPOCH-KEY",
    /// Seed of a dealer's polynomial and of the encryption of its dealings.
    DealingSeed = "DEALING-SEED",
    /// The public header under which a private dealing is encrypted.
    DealingHeader = "DEALING-HEADER",
    /// Digest of one encrypted dealing, and of all of one dealer.
    SealedDealing = "SEALED-DEALING",
    /// What a dealer signs: commitment and encrypted dealings.
    Dealing = "DEALING",
    /// A member's vote to close a phase of a ceremony.
    CeremonyClose = "CEREMONY-CLOSE",
    /// Nonce of the proof that a pad belongs to a ciphertext and a dealing key.
    PadNonce = "PAD-NONCE",
    /// Challenge of that proof.
    PadProof = "PAD-PROOF",
    /// What a member signs that complains about a dealing.
    Complaint = "COMPLAINT",
    /// Digest of a ceremony's transcript, without its confirmations.
    Transcript = "TRANSCRIPT",
    /// A member's confirmation of a transcript.
    TranscriptConfirmation = "TRANSCRIPT-CONFIRMATION",
    /// Seed of the coefficients under which a ceremony's proofs are checked at once.
    CeremonyCheck = "CEREMONY-CHECK",
}

impl Tag {
    /// The tag as the bytes that are hashed.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.as_str().as_bytes()
    }
}

/// `SHA-256(frame(tag, items...))`.
#[must_use]
pub fn hash(tag: Tag, items: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(tag);
    for item in items {
        hasher.item(item);
    }
    hasher.finish()
}

/// The same hash as [`hash`], fed item by item.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Begins with the tag as the first item.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.item(tag.as_bytes());
        hasher
    }

    /// Adds one item.
    ///
    /// # Panics
    ///
    /// If the item has 4 GiB or more, which no message of the protocol can have.
    pub fn item(&mut self, item: &[u8]) {
        self.0.update(length_prefix(item.len()));
        self.0.update(item);
    }

    /// The hash of all items.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// `frame(items...)`: each item's length as 4 bytes big-endian, then its bytes.
#[must_use]
pub fn frame(items: &[&[u8]]) -> Vec<u8> {
    let total = items.iter().map(|item| item.len() + 4).sum();
    let mut framed = Vec::with_capacity(total);
    for item in items {
        framed.extend_from_slice(&length_prefix(item.len()));
        framed.extend_from_slice(item);
    }
    framed
}

/// `SHA-256(bytes)` without a frame, for the two places of the sealing scheme that say so.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn length_prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("an item is shorter than 4 GiB").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn invariant_2_tags_are_unique_and_prefixed() {
        let texts: BTreeSet<_> = Tag::ALL.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(texts.len(), Tag::ALL.len());
        assert!(texts.iter().all(|text| text.starts_with(PREFIX)));
        assert!(texts.iter().all(|text| text.len() > PREFIX.len() && text.len() < 256));
    }

    #[test]
    fn invariant_3_frames_of_different_lists_differ() {
        assert_ne!(frame(&[b"ab", b"c"]), frame(&[b"a", b"bc"]));
        assert_ne!(frame(&[]), frame(&[b""]));
        assert_eq!(frame(&[b"ab"]), b"\x00\x00\x00\x02ab");
    }

    #[test]
    fn hashing_at_once_and_by_item_agree() {
        let mut hasher = Hasher::new(Tag::Batch);
        hasher.item(b"one");
        hasher.item(b"");
        assert_eq!(hasher.finish(), hash(Tag::Batch, &[b"one", b""]));
        let framed = frame(&[Tag::Batch.as_bytes(), b"one", b""]);
        assert_eq!(sha256(&framed), hash(Tag::Batch, &[b"one", b""]).to_bytes());
    }
}
