//! Submitting a sealed bundle to all sequencers.
//!
//! # Invariants
//!
//! 1. All sequencers get the same bytes, at the same time: a repeated submission changes nothing.
//! 2. The report is complete when every sequencer answered or its time is out; a slow one delays
//!    it no longer than its timeout, twice if an epoch begins meanwhile.
//! 3. Nothing is believed but receipts that verify ([`crate::receipts`]).

use fairveil_crypto::BundleId;
use fairveil_crypto::envelope::SealedBundle;
use fairveil_mempool::Receipt;
use fairveil_release::evidence::Evidence;
use futures::future::join_all;
use serde_json::Value;

use crate::file::{File, ReceiptsFile};
use crate::network::{Endpoint, HttpError, newest};
use crate::receipts::{Answer, Answered, Receipts, Verdict, printable};
use crate::rpc::{ReceiptInfo, Rejected, code};
use crate::trust::PinnedNetwork;

/// What came of a submission.
#[derive(Clone, Debug)]
pub struct SubmissionReport {
    network: fairveil_crypto::NetworkId,
    receipts: Receipts,
}

/// What all sequencers answered, not verified yet.
#[derive(Debug)]
pub struct Answers {
    id: BundleId,
    answers: Vec<(String, Result<ReceiptInfo, HttpError>)>,
}

/// Submits to all sequencers and verifies what they answer. If an epoch begins meanwhile, receipts may
/// be of either, or of one that `network` does not prove: then once more, judged by its transcript.
pub async fn submit(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    sealed: &SealedBundle,
) -> SubmissionReport {
    let report = send(network, endpoints, sealed).await.verify(network);
    if report.is_admitted() {
        return report;
    }
    let renewed = newest(network.clone(), endpoints).await;
    if renewed.epoch() == network.epoch() {
        return report;
    }
    send(&renewed, endpoints, sealed).await.verify(&renewed)
}

/// Submits to all sequencers; what they answer is to be verified.
pub async fn send(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    sealed: &SealedBundle,
) -> Answers {
    let mut params = vec![Value::from(alloy_primitives::hex::encode_prefixed(sealed.encode()))];
    let members = network.committee().n();
    if endpoints.len() == usize::from(members) {
        // All are addressed: they need not relay the bundle to each other.
        params.push((1..=members).collect());
    }
    let asked = endpoints
        .iter()
        .map(|endpoint| endpoint.call::<ReceiptInfo>("fairveil_submit", params.clone()));
    let answers = join_all(asked).await;
    let urls = endpoints.iter().map(|endpoint| endpoint.url().to_owned());
    Answers { id: sealed.id(), answers: urls.zip(answers).collect() }
}

impl Answers {
    /// Verifies every receipt.
    #[must_use]
    pub fn verify(self, network: &PinnedNetwork) -> SubmissionReport {
        let mut receipts = Receipts::new(network, self.id);
        for (url, answer) in self.answers {
            match answer {
                Ok(info) => receipts.take(&url, &info),
                Err(error) => receipts.note(&url, answer_of(error)),
            }
        }
        SubmissionReport { network: network.network_id(), receipts }
    }

    /// How many are receipts, as far as can be said before they are verified.
    #[must_use]
    pub fn receipts(&self) -> usize {
        self.answers.iter().filter(|(_, answer)| answer.is_ok()).count()
    }
}

impl SubmissionReport {
    /// The bundle.
    #[must_use]
    pub const fn id(&self) -> BundleId {
        self.receipts.id()
    }

    /// What all answers together say.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.receipts.verdict()
    }

    /// Whether f+1 distinct members gave receipts that verify.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.receipts.is_complete()
    }

    /// Whether every rejection is one that ends by itself: the same bytes may be admitted later, and
    /// sealing again would make a second bundle. Also without any rejection.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.answers().iter().all(|answered| match &answered.answer {
            Answer::Rejected(rejected) => rejected.is_temporary(),
            _ => true,
        })
    }

    /// The receipts that count, by sequencer.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.receipts.counted().copied().collect()
    }

    /// How many receipts are needed.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.receipts.needed()
    }

    /// Every sequencer's answer, in the order in which they were named.
    #[must_use]
    pub fn answers(&self) -> &[Answered] {
        self.receipts.answers()
    }

    /// Proofs that a sequencer contradicted itself.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        let conflicts = self.receipts.conflicts().iter();
        conflicts.map(|conflict| Evidence::ConflictingReceipts(*conflict)).collect()
    }

    /// The receipts as a file.
    #[must_use]
    pub fn file(&self) -> File {
        let (id, receipts) = (self.id(), self.receipts());
        File::Receipts(ReceiptsFile { id, network_id: self.network, receipts })
    }
}

fn answer_of(error: HttpError) -> Answer {
    match error {
        HttpError::Rpc(failure) if failure.code == code::REJECTED => {
            let said = failure.data.and_then(|data| serde_json::from_value(data).ok());
            Answer::Rejected(said.unwrap_or_else(|| Rejected {
                code: "unknown".into(),
                actual: "not said".into(),
                limit: "not said".into(),
                cure: printable(&failure.message),
            }))
        }
        HttpError::Rpc(failure) => Answer::Failed(printable(&failure.message)),
        error @ (HttpError::Status { .. } | HttpError::Malformed { .. }) => {
            Answer::Failed(printable(&error.to_string()))
        }
        error => Answer::Silent(printable(&error.to_string())),
    }
}

#[cfg(test)]
mod tests;
