//! Taking the certified order and the receipts of a run from the sequencers.
//!
//! # Invariants
//!
//! 1. Of each height one certificate is kept, the first that verifies; the others are asked only
//!    after one failed. Whoever answers with something that does not verify is named.
//! 2. A height that nobody proves is named with the last reason, never left out in silence.
//! 3. Blocks after the end of an epoch are named and left out.
//! 4. A receipt is kept if it verifies and is of the bundle that was asked for.
//! 5. At most [`ASKED_AT_ONCE`] calls are under way, and no more heights are taken than a trace
//!    has.

use std::ops::RangeInclusive;

use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::{BundleId, Height};
use fairveil_mempool::Receipt;
use futures::StreamExt as _;
use futures::stream::iter;
use serde_json::Value;

use crate::certified::{CertifiedHeight, LinkFault};
use crate::network::Endpoint;
use crate::receipts::{Answer, Receipts, printable};
use crate::rpc::ReceiptInfo;
use crate::trace::{MAX_HEIGHTS, MAX_RECEIPTS};
use crate::trust::PinnedNetwork;

/// Calls under way at once.
pub const ASKED_AT_ONCE: usize = 16;

/// What was taken.
#[derive(Clone, Debug, Default)]
pub struct Recorded<T> {
    /// What verifies, in the order in which it was asked for.
    pub taken: Vec<T>,
    /// What a sequencer said that does not, or what nobody said.
    pub doubts: Vec<String>,
}

/// The order certificates of these heights, each from whoever has it.
pub async fn orders(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    heights: RangeInclusive<u64>,
) -> Recorded<OrderCertificate> {
    let asked = heights.take(MAX_HEIGHTS).map(|height| order(network, endpoints, height));
    let mut asked = iter(asked).buffered(ASKED_AT_ONCE);
    let mut recorded = Recorded { taken: Vec::new(), doubts: Vec::new() };
    while let Some((taken, mut doubts)) = asked.next().await {
        recorded.taken.extend(taken);
        recorded.doubts.append(&mut doubts);
    }
    leave_out_ended(network, &mut recorded);
    recorded
}

/// Leaves out what was made after the end of an epoch: the next one owns these heights.
fn leave_out_ended(network: &PinnedNetwork, recorded: &mut Recorded<OrderCertificate>) {
    let mut before: Option<CertifiedHeight> = None;
    let Recorded { taken, doubts } = recorded;
    taken.retain(|certificate| {
        let Ok(certified) = CertifiedHeight::new(network, certificate) else { return false };
        let link = before.as_ref().map(|before| certified.follows(before));
        before = Some(certified);
        match link {
            Some(Err(fault @ LinkFault::Ended { .. })) => {
                doubts.push(fault.to_string());
                false
            }
            _ => true,
        }
    });
}

/// The receipts of all sequencers for these bundles.
pub async fn receipts(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    ids: &[BundleId],
) -> Recorded<Receipt> {
    let calls = ids.iter().flat_map(|id| endpoints.iter().map(move |endpoint| (*id, endpoint)));
    let asked = calls.take(MAX_RECEIPTS).map(|(id, endpoint)| receipt(network, endpoint, id));
    let mut asked = iter(asked).buffered(ASKED_AT_ONCE);
    let mut recorded = Recorded { taken: Vec::new(), doubts: Vec::new() };
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(receipts) => recorded.taken.extend(receipts),
            Err(doubt) => recorded.doubts.push(doubt),
        }
    }
    recorded
}

/// Asks one after the other, beginning with another one at each height.
async fn order(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    height: u64,
) -> (Option<OrderCertificate>, Vec<String>) {
    let mut doubts = Vec::new();
    let mut nobody = "nobody was asked".to_owned();
    let first = usize::try_from(height).unwrap_or(0) % endpoints.len().max(1);
    for endpoint in endpoints[first..].iter().chain(&endpoints[..first]) {
        match endpoint.get(&format!("/orders/{height}")).await {
            Ok(bytes) => match proven(network, &bytes, height) {
                Ok(certificate) => return (Some(certificate), doubts),
                Err(why) => doubts.push(format!("{}: {}", endpoint.url(), printable(&why))),
            },
            Err(error) => nobody = printable(&error.to_string()),
        }
    }
    doubts.push(format!("the order of height {height} is proven by nobody: {nobody}"));
    (None, doubts)
}

fn proven(network: &PinnedNetwork, bytes: &[u8], height: u64) -> Result<OrderCertificate, String> {
    let certificate: OrderCertificate = serde_json::from_slice(bytes)
        .map_err(|error| format!("not an order certificate: {error}"))?;
    let certified = CertifiedHeight::new(network, &certificate)
        .map_err(|fault| format!("the order certificate of height {height}: {fault}"))?;
    match certified.height() {
        actual if actual == Height::new(height) => Ok(certificate),
        actual => Err(format!("the order of height {actual} was answered for height {height}")),
    }
}

async fn receipt(
    network: &PinnedNetwork,
    endpoint: &Endpoint,
    id: BundleId,
) -> Result<Vec<Receipt>, String> {
    let doubt = |why: &str| format!("{}: {}", endpoint.url(), printable(why));
    let params = vec![Value::from(id.to_string())];
    let infos: Vec<ReceiptInfo> = endpoint
        .call("fairveil_receipts", params)
        .await
        .map_err(|error| doubt(&error.to_string()))?;
    let mut receipts = Receipts::new(network, id);
    let mut taken = Vec::new();
    for info in &infos {
        let answer = crate::receipts::read(info).and_then(|receipt| receipts.add(receipt));
        match answer.map_err(|fault| doubt(&format!("bundle {id}: {fault}")))? {
            Answer::Receipt(receipt) => taken.push(receipt),
            _ => continue,
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;
