//! The network that a trader's command means: pinned, and reached.

use std::{path::Path, time::Duration};

use fairveil_client::{Endpoint, PinnedNetwork};
use fairveil_crypto::NetworkId;
use fairveil_keygen::transcript::MAX_BYTES as MAX_TRANSCRIPT_BYTES;

use super::{disk, error::CommandError};
use crate::cli;

/// How long one call to one sequencer may take.
const CALL: Duration = Duration::from_secs(5);

/// The network that a transcript file proves.
pub(super) fn pinned(transcript: &Path, network: &str) -> Result<PinnedNetwork, CommandError> {
    let id = network_id(network)?;
    let bytes = disk::read(transcript, MAX_TRANSCRIPT_BYTES)?;
    PinnedNetwork::from_transcript(&bytes, &id)
        .map_err(|error| CommandError::Check(format!("{}: {error}", transcript.display())))
}

/// A network id as it is given.
pub(super) fn network_id(text: &str) -> Result<NetworkId, CommandError> {
    text.parse().map_err(|error| {
        CommandError::Usage(format!(
            "network id {text:?}: {error}; it is 0x and 64 hex digits, from whom you trust"
        ))
    })
}

/// The pinned network and its sequencers, each once.
pub(super) fn reached(args: &cli::Network) -> Result<(PinnedNetwork, Vec<Endpoint>), CommandError> {
    let network = pinned(&args.transcript, &args.network)?;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for url in &args.sequencers {
        let endpoint =
            Endpoint::new(url, CALL).map_err(|error| CommandError::Usage(error.to_string()))?;
        if endpoints.iter().all(|known| known.url() != endpoint.url()) {
            endpoints.push(endpoint);
        }
    }
    let (actual, needed) = (endpoints.len(), network.needed());
    if actual < needed {
        return Err(CommandError::Usage(format!(
            "{actual} sequencers are named, {needed} at least are needed: give --sequencer \
             http://HOST:PORT for each, or FAIRVEIL_SEQUENCERS"
        )));
    }
    Ok((network, endpoints))
}

/// Runs a future to its end.
pub(super) fn run<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Check(format!("runtime: {error}")))?;
    Ok(runtime.block_on(future))
}
