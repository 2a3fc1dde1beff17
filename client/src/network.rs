//! The network side: one sequencer over HTTP, and where the chain stands.
//!
//! # Invariants
//!
//! 1. The tip is the median of what the sequencers say: while at most f of at least 2f+1 answers
//!    lie, it lies between two honest ones. It sets a window and proves nothing.

pub mod events;
#[cfg(test)]
pub(crate) mod fake;
pub mod http;

use std::time::Duration;

use fairveil_crypto::Height;
use fairveil_keygen::Transcript;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

pub use http::{Endpoint, HttpError, MAX_ANSWER_BYTES};

use crate::rpc::CommitteeInfo;
use crate::trust::PinnedNetwork;

/// How long a round waits for the slowest f sequencers.
pub const GRACE: Duration = Duration::from_millis(300);

/// Where the chain stands, as far as its sequencers agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The median of the last final heights.
    pub height: Height,
    /// Milliseconds that a height takes while there is work: the median of what sequencers have seen,
    /// within the definition's `minimum_interval_ms` and `idle_interval_ms`, whoever says what; the
    /// former if fewer than f+1 have seen any work.
    pub loaded_interval_ms: u64,
    /// Sequencers that answered for this network.
    pub answered: usize,
}

/// Nobody, or too few, said where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{answered} of {asked} sequencers said where the chain stands, {needed} are needed: {}",
    .faults.join("; ")
)]
pub struct TipError {
    /// Sequencers asked.
    pub asked: usize,
    /// Sequencers that answered for this network.
    pub answered: usize,
    /// How many have to.
    pub needed: usize,
    /// What was wrong with the others.
    pub faults: Vec<String>,
}

/// The same network by the newest transcript that a sequencer has: whoever names a later epoch is asked
/// for it, and it is believed only if it verifies and continues what is pinned
/// ([`PinnedNetwork::renewed`]).
pub async fn newest(network: PinnedNetwork, endpoints: &[Endpoint]) -> PinnedNetwork {
    let asked = endpoints.iter().map(|endpoint| async move {
        let info: CommitteeInfo = endpoint.call("fairveil_committee", Vec::new()).await.ok()?;
        Some((info.epoch, endpoint))
    });
    let enough = endpoints.len().saturating_sub(network.faults());
    let said = gather(asked, enough).await;
    let mut named: Vec<_> = said.into_iter().flatten().flatten().collect();
    named.sort_by_key(|(epoch, _)| std::cmp::Reverse(*epoch));
    for (_, endpoint) in named.into_iter().filter(|(epoch, _)| *epoch > network.epoch().get()) {
        let Ok(bytes) = endpoint.get("/transcript").await else { continue };
        let Ok(transcript) = Transcript::from_json(&bytes) else { continue };
        if let Ok(renewed) = network.renewed(&transcript) {
            return renewed;
        }
    }
    network
}

/// Asks all sequencers where the chain stands.
///
/// # Errors
///
/// If fewer than f+1 answer for the pinned network.
pub async fn tip(network: &PinnedNetwork, endpoints: &[Endpoint]) -> Result<Tip, TipError> {
    let asked = endpoints.iter().map(|endpoint| committee(network, endpoint));
    let (mut infos, mut faults) = (Vec::new(), Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok(info) => infos.push(info),
            Err(fault) => faults.push(fault),
        }
    }
    let (answered, needed) = (infos.len(), network.needed());
    if answered < needed {
        return Err(TipError { asked: endpoints.len(), answered, needed, faults });
    }
    let height = Height::new(median(infos.iter().map(|info| info.height)));
    let seen = infos.iter().map(|info| info.loaded_interval_ms).filter(|interval| *interval > 0);
    let seen: Vec<u64> = seen.collect();
    let typical = if seen.len() < needed { 0 } else { median(seen.into_iter()) };
    let blocks = network.definition().proposal().blocks;
    let loaded_interval_ms =
        typical.clamp(blocks.minimum_interval_ms.into(), blocks.idle_interval_ms.into());
    Ok(Tip { height, loaded_interval_ms, answered })
}

async fn committee(network: &PinnedNetwork, endpoint: &Endpoint) -> Result<CommitteeInfo, String> {
    let info: CommitteeInfo = endpoint
        .call("fairveil_committee", Vec::new())
        .await
        .map_err(|error| crate::receipts::printable(&error.to_string()))?;
    let expected = network.network_id().to_string();
    if info.network_id != expected {
        let actual = crate::receipts::printable(&info.network_id);
        return Err(format!("{} is of network {actual}, not {expected}", endpoint.url()));
    }
    Ok(info)
}

/// The lower median; 0 of nothing.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.len().checked_sub(1).map_or(0, |last| values[last / 2])
}

/// What the futures give, in their order: waits for `enough` of them, and for the others only a
/// grace time longer.
pub(crate) async fn gather<F: Future>(
    futures: impl Iterator<Item = F>,
    enough: usize,
) -> Vec<Option<F::Output>> {
    let numbered =
        futures.enumerate().map(|(number, future)| async move { (number, future.await) });
    let mut running: FuturesUnordered<_> = numbered.collect();
    let mut answers: Vec<_> = (0..running.len()).map(|_| None).collect();
    let mut count = 0;
    loop {
        let next = if count < enough {
            running.next().await
        } else {
            tokio::time::timeout(GRACE, running.next()).await.unwrap_or_default()
        };
        let Some((number, answer)) = next else { return answers };
        answers[number] = Some(answer);
        count += 1;
    }
}
