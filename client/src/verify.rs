//! Judging any file offline: receipts, certificates, documents, transcripts, evidence.
//!
//! # Invariants
//!
//! 1. A [`Judgement`] needs the pinned network and the file's bytes, nothing else: no network, no
//!    clock, no consensus engine.
//! 2. Every way to fail has a reason of its own, with both values where there are two.
//! 3. A file that claims nothing (a bundle in the clear) is refused rather than passed.
//! 4. A judgement and a refusal are one line each, whatever the file holds.
//! 5. A genuine trace may show a fault, or too little: [`Judgement::trace_verdict`].

pub mod coverage;
mod judgement;

use fairveil_crypto::certificate::{CertificateError, OrderCertificate};
use fairveil_crypto::committee::UnknownEpoch;
use fairveil_crypto::envelope::EnvelopeError;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusPublicKey, Digest, Epoch, Height, KeyId, NetworkId,
    SequencerIndex,
};
use fairveil_keygen::{BlameEvidence, BlameVerdict, Transcript, TranscriptError, VerifiedEpoch};
use fairveil_mempool::Place;
use fairveil_release::document::{
    AcceptError, BatchDocument, BundleDocument, Cursor, DocumentError, accept_batch,
};
use fairveil_release::evidence::{Evidence, EvidenceError};
use fairveil_release::fraud::{FraudError, FraudProof, FraudVerdict};
use fairveil_release::registry::{Registry, RegistryError};
use fairveil_release::release::BatchError;
use fairveil_release::tree::Position;

use crate::censorship::{self, CensorshipRefusal, Omission};
use crate::document::{DisbeliefReason, Ending, ending};
use crate::fairness::{Comparison, Findings, TooManyIds};
use crate::file::{File, FileError, ReceiptsFile, SealedFile, SealedFileError};
use crate::receipts::{Answer, ReceiptFault, Receipts, printable};
use crate::registry::registry;
use crate::rollup::{Claim, claimed};
use crate::trace::{Trace, TraceError, TraceFault};
use crate::trust::PinnedNetwork;
use coverage::Coverage;

/// What a file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Well sealed to the network's committee, and signed by its payer.
    Sealed {
        /// The bundle.
        id: BundleId,
    },
    /// Admitted by f+1 distinct members.
    Receipts {
        /// The bundle.
        id: BundleId,
        /// Who signed.
        sequencers: Vec<SequencerIndex>,
        /// How many are needed.
        needed: usize,
    },
    /// A final order.
    Order {
        /// The height.
        height: Height,
        /// The block.
        block: BlockDigest,
        /// How many ids it emits.
        ids: usize,
    },
    /// What became of a bundle.
    Bundle {
        /// The bundle.
        id: BundleId,
        /// Where it stands in the fair order.
        position: Position,
        /// What became of it there.
        ending: Ending,
        /// The rollups that it has legs on, if released.
        chain_ids: Vec<u64>,
    },
    /// Complete batches of a rollup, from the first to the last height without a gap.
    Batches {
        /// The rollup.
        chain_id: u64,
        /// The first height.
        first: Height,
        /// The last height.
        last: Height,
        /// Bundles in them.
        bundles: usize,
        /// Transactions in them.
        transactions: usize,
        /// Batches whose word on how their legs were checked is not proven: their releases were cut
        /// by a later registry than the definition's.
        unproven: usize,
    },
    /// A committee key.
    Transcript {
        /// The network.
        network_id: NetworkId,
        /// The newest epoch.
        epoch: Epoch,
        /// The shares that suffice to open.
        threshold: u16,
        /// Those that an adversary still needs: without the ones that were revealed.
        effective_threshold: u16,
        /// Who did what in the newest ceremony, as sentences.
        faults: Vec<String>,
        /// Its committee key.
        key_id: KeyId,
        /// The transcript's digest.
        digest: Digest,
        /// Members that confirmed.
        confirmed: usize,
    },
    /// A sequencer's fault.
    Evidence {
        /// Against whom.
        culprit: SequencerIndex,
        /// What it did.
        offence: String,
    },
    /// A false batch.
    Fraud(FraudVerdict),
    /// Receipts and order of a run.
    Trace {
        /// Receipts that count.
        receipts: usize,
        /// Certified heights.
        heights: usize,
        /// Ids that they emit.
        ids: usize,
        /// Pairs that f+1 or more members of one epoch contradict, by what they show.
        findings: Findings,
        /// How much of the order they are made of.
        coverage: Coverage,
        /// Members that contradicted themselves.
        convicted: Vec<SequencerIndex>,
    },
    /// A bundle that was omitted.
    Omission(Box<Omission>),
    /// A fault in a key ceremony.
    Blame {
        /// Whose consensus key.
        culprit: ConsensusPublicKey,
        /// The member's name in the ceremony's definition.
        name: String,
        /// What was done, as a sentence.
        sentence: String,
    },
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds no sealed bundle.
    #[error(transparent)]
    SealedFile(#[from] SealedFileError),
    /// It is not well sealed for this network.
    #[error(transparent)]
    Sealed(#[from] EnvelopeError),
    /// The receipts are said to be of another network.
    #[error("the receipts are of network {actual}, expected {expected}")]
    ReceiptsNetwork {
        /// The network in the file.
        actual: NetworkId,
        /// The pinned one.
        expected: NetworkId,
    },
    /// A receipt does not count.
    #[error("receipt {number}: {fault}")]
    Receipt {
        /// Which, from 1.
        number: usize,
        /// Why.
        fault: ReceiptFault,
    },
    /// Two receipts of one sequencer.
    #[error("receipt {number} is another one of sequencer {sequencer}, which counts once")]
    RepeatedReceipt {
        /// Which, from 1.
        number: usize,
        /// The sequencer.
        sequencer: SequencerIndex,
    },
    /// Two receipts of one sequencer that can't both be true.
    #[error(
        "receipt {number} has the bundle {second}, another one of sequencer {sequencer} has it \
         {first}: it is a cheat"
    )]
    Conflict {
        /// Which, from 1.
        number: usize,
        /// The sequencer.
        sequencer: SequencerIndex,
        /// Where the earlier receipt places the bundle.
        first: Place,
        /// Where this one does.
        second: Place,
    },
    /// Too few receipts.
    #[error("{actual} receipts, {needed} of distinct sequencers admit a bundle")]
    TooFewReceipts {
        /// How many there are.
        actual: usize,
        /// How many are needed.
        needed: usize,
    },
    /// It is signed by the committee of an epoch that the transcript does not prove.
    #[error(transparent)]
    UnknownEpoch(#[from] UnknownEpoch),
    /// The order certificate proves nothing.
    #[error("the order certificate: {0}")]
    Order(#[from] CertificateError),
    /// The bundle document does not convince.
    #[error(transparent)]
    Bundle(#[from] DisbeliefReason),
    /// The batch document proves nothing.
    #[error(transparent)]
    Batch(#[from] DocumentError),
    /// No batches.
    #[error("a list of no batches")]
    NoBatches,
    /// A batch does not follow the one before it.
    #[error("batch {number}: {error}")]
    Batches {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: AcceptError,
    },
    /// The transcript proves nothing.
    #[error("the transcript: {}", printable(&.0.to_string()))]
    Transcript(#[from] TranscriptError),
    /// The evidence proves nothing.
    #[error("the evidence: {0}")]
    Evidence(#[from] EvidenceError),
    /// The fraud proof proves nothing.
    #[error("the fraud proof: {0}")]
    Fraud(#[from] FraudError),
    /// The blame proves nothing.
    #[error("the blame: {}", printable(&.0.to_string()))]
    Blame(#[from] fairveil_keygen::EvidenceError),
    /// The blame is of another network's ceremony.
    #[error("the blame is of network {actual}, expected {expected}")]
    BlameNetwork {
        /// The ceremony's network.
        actual: NetworkId,
        /// The pinned one.
        expected: NetworkId,
    },
    /// The blame stands on another ceremony than the pinned transcript proves.
    #[error(
        "the blame stands on ceremony {actual} for epoch {epoch}, the transcript has {expected}"
    )]
    BlameCeremony {
        /// The epoch.
        epoch: Epoch,
        /// The transcript's ceremony.
        expected: Digest,
        /// The other one.
        actual: Digest,
    },
    /// The definition's rollups make no registry.
    #[error("the network's rollups: {0}")]
    Registry(#[from] RegistryError),
    /// Something in the trace does not verify.
    #[error("the trace: {first} ({count} faults in all)")]
    TraceFaults {
        /// How many.
        count: usize,
        /// The first of them.
        first: TraceFault,
    },
    /// The trace is not judged.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Too many ids at once.
    #[error(transparent)]
    TooManyIds(#[from] TooManyIds),
    /// The omission is not proven.
    #[error(transparent)]
    Censorship(#[from] CensorshipRefusal),
    /// A bundle in the clear claims nothing.
    #[error("a bundle in the clear proves nothing: give the sealed bundle or its release")]
    Unsealed,
}

/// Judges a file of any kind.
///
/// # Errors
///
/// [`Refusal`].
pub fn judge(network: &PinnedNetwork, bytes: &[u8]) -> Result<Judgement, Refusal> {
    judge_file(network, &File::read(bytes)?)
}

/// Judges what was read.
///
/// # Errors
///
/// [`Refusal`].
pub fn judge_file(network: &PinnedNetwork, file: &File) -> Result<Judgement, Refusal> {
    match file {
        File::Unsealed(_) => Err(Refusal::Unsealed),
        File::Sealed(file) => judge_sealed(network, file),
        File::Receipts(file) => judge_receipts(network, file),
        File::Order(certificate) => judge_order(network, certificate),
        File::Bundle(document) => judge_bundle(network, document),
        File::Batch(document) => judge_batch(network, document),
        File::Batches(documents) => judge_batches(network, documents),
        File::Transcript(transcript) => judge_transcript(network, transcript),
        File::Evidence(evidence) => judge_evidence(network, evidence),
        File::Fraud(proof) => judge_fraud(network, proof),
        File::Blame(evidence) => judge_blame(network, evidence),
        File::Trace(_) => judge_trace(network, file),
        File::Censorship(proof) => {
            Ok(Judgement::Omission(Box::new(censorship::judge(network, proof)?)))
        }
    }
}

fn judge_sealed(network: &PinnedNetwork, file: &SealedFile) -> Result<Judgement, Refusal> {
    let verified = file.bundle()?.verify(&network.network_id(), network.committee().key())?;
    Ok(Judgement::Sealed { id: verified.id() })
}

fn judge_receipts(network: &PinnedNetwork, file: &ReceiptsFile) -> Result<Judgement, Refusal> {
    let (actual, expected) = (file.network_id, network.network_id());
    if actual != expected {
        return Err(Refusal::ReceiptsNetwork { actual, expected });
    }
    let mut receipts = Receipts::new(network, file.id);
    for (number, receipt) in (1..).zip(&file.receipts) {
        let known = receipts.conflicts().len();
        let answer = receipts.add(*receipt);
        let answer = answer.map_err(|fault| Refusal::Receipt { number, fault })?;
        let sequencer = receipt.sequencer;
        if let Some(conflict) = receipts.conflicts().get(known) {
            let (first, second) = (conflict.first.body.place, conflict.second.body.place);
            return Err(Refusal::Conflict { number, sequencer, first, second });
        }
        if let Answer::Repeated(sequencer) = answer {
            return Err(Refusal::RepeatedReceipt { number, sequencer });
        }
    }
    let (actual, needed) = (receipts.count(), receipts.needed());
    if !receipts.is_complete() {
        return Err(Refusal::TooFewReceipts { actual, needed });
    }
    let sequencers = receipts.counted().map(|receipt| receipt.sequencer).collect();
    Ok(Judgement::Receipts { id: file.id, sequencers, needed })
}

fn judge_order(
    network: &PinnedNetwork,
    certificate: &OrderCertificate,
) -> Result<Judgement, Refusal> {
    let committee = network.committee_of(certificate.finalization.epoch)?;
    let order = certificate.verify(&network.network_id(), committee)?;
    let ids = order.emission().ids().count();
    Ok(Judgement::Order { height: order.height(), block: order.block(), ids })
}

fn judge_bundle(network: &PinnedNetwork, document: &BundleDocument) -> Result<Judgement, Refusal> {
    let id = document.proof.leaf.id;
    let (position, ending) = ending(network, document, &id, None)?;
    let chain_ids = document.legs.iter().map(|leg| leg.chain_id).collect();
    Ok(Judgement::Bundle { id, position, ending, chain_ids })
}

fn judge_batch(network: &PinnedNetwork, document: &BatchDocument) -> Result<Judgement, Refusal> {
    let chain_id = document.batch.chain_id;
    let batch = document.verify(&network.network_id(), network, chain_id)?;
    let unproven = unproven(&registry(network.definition())?, document)?;
    let (bundles, transactions) = (batch.bundles().count(), batch.transactions().count());
    let (first, last) = (batch.height, batch.height);
    Ok(Judgement::Batches { chain_id, first, last, bundles, transactions, unproven })
}

/// 1 if what the batch says of how its legs were checked can be neither proven nor refuted, else 0.
fn unproven(registry: &Registry, document: &BatchDocument) -> Result<usize, DocumentError> {
    let actual = document.batch.validation;
    match claimed(std::slice::from_ref(registry), document) {
        Claim::Unproven { .. } => Ok(1),
        Claim::Proven(expected) if actual == expected => Ok(0),
        Claim::Proven(expected) => Err(BatchError::Validation { actual, expected }.into()),
    }
}

fn judge_batches(
    network: &PinnedNetwork,
    documents: &[BatchDocument],
) -> Result<Judgement, Refusal> {
    let (Some(first), Some(last)) = (documents.first(), documents.last()) else {
        return Err(Refusal::NoBatches);
    };
    let network_id = network.network_id();
    let chain_id = first.batch.chain_id;
    let mut cursor = Cursor::at(&network_id, first.first());
    let registry = registry(network.definition())?;
    let (mut bundles, mut transactions, mut unknown) = (0, 0, 0);
    for (number, document) in (1..).zip(documents) {
        let accepted = accept_batch(&cursor, &network_id, network, chain_id, document);
        let refused = |error| Refusal::Batches { number, error };
        let (batch, next) = accepted.map_err(refused)?;
        unknown += unproven(&registry, document).map_err(|error| refused(error.into()))?;
        bundles += batch.bundles().count();
        transactions += batch.transactions().count();
        cursor = next;
    }
    let (first, last) = (first.first().height, last.release.height);
    Ok(Judgement::Batches { chain_id, first, last, bundles, transactions, unproven: unknown })
}

fn judge_transcript(
    network: &PinnedNetwork,
    transcript: &Transcript,
) -> Result<Judgement, Refusal> {
    let verified = transcript.verify()?.of_network(&network.network_id())?;
    let (result, epoch) = (verified.result(), verified.newest().epoch());
    let faults = verified.faults(epoch);
    Ok(Judgement::Transcript {
        network_id: verified.network_id(),
        epoch,
        threshold: result.threshold,
        effective_threshold: result.effective_threshold,
        faults: faults.iter().map(|(name, fault)| format!("{name} {fault}")).collect(),
        key_id: verified.committee().key_id(),
        digest: verified.digest(),
        confirmed: verified.confirmed().len(),
    })
}

fn judge_evidence(network: &PinnedNetwork, evidence: &Evidence) -> Result<Judgement, Refusal> {
    let verdict = evidence.judge(&network.network_id(), network)?;
    Ok(Judgement::Evidence { culprit: verdict.culprit, offence: verdict.offence.to_string() })
}

fn judge_fraud(network: &PinnedNetwork, proof: &FraudProof) -> Result<Judgement, Refusal> {
    let registry = registry(network.definition())?;
    Ok(Judgement::Fraud(proof.judge(&network.network_id(), network, &registry)?))
}

/// Everything in it verifies; what that shows of the order is in the judgement.
fn judge_trace(network: &PinnedNetwork, file: &File) -> Result<Judgement, Refusal> {
    let mut trace = Trace::new(network);
    let mut faults = trace.add(file)?;
    let mut order = trace.order();
    faults.append(&mut order.faults);
    let count = faults.len();
    if let Some(first) = faults.into_iter().next() {
        return Err(Refusal::TraceFaults { count, first });
    }
    let comparison = Comparison::new(&trace, &order)?;
    let coverage = Coverage::new(&trace, &order, &comparison);
    let findings = comparison.contradictions(&mut |_| {});
    let convicted = trace.conflicts().map(|conflict| conflict.first.sequencer).collect();
    let (receipts, heights) = (trace.receipts(), trace.heights().len());
    let ids = order.ids.len();
    Ok(Judgement::Trace { receipts, heights, ids, findings, coverage, convicted })
}

/// The ceremony is one of the pinned network; its key may never have come to be.
fn judge_blame(network: &PinnedNetwork, evidence: &BlameEvidence) -> Result<Judgement, Refusal> {
    let verdict = evidence.judge()?;
    let (actual, expected) = (verdict.network_id, network.network_id());
    if actual != expected {
        return Err(Refusal::BlameNetwork { actual, expected });
    }
    let before = evidence.predecessor.as_deref().map(|transcript| transcript.digest);
    let epoch = Epoch::new(evidence.definition.epoch.get().saturating_sub(1));
    let pinned = network.transcript().epoch(epoch).map(VerifiedEpoch::digest);
    if let (Some(actual), Some(expected)) = (before, pinned)
        && actual != expected
    {
        return Err(Refusal::BlameCeremony { epoch, expected, actual });
    }
    let BlameVerdict { culprit, sentence, .. } = verdict;
    Ok(Judgement::Blame { culprit: culprit.consensus, name: culprit.name, sentence })
}

#[cfg(test)]
mod tests;
