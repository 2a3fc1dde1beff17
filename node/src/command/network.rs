//! The network that a trader's command means: pinned, and reached.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    time::Duration,
};

use fairveil_client::{Endpoint, PinnedNetwork, network::newest};
use fairveil_crypto::NetworkId;
use fairveil_keygen::transcript::MAX_BYTES as MAX_TRANSCRIPT_BYTES;
use futures::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

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

/// The pinned network, with the epochs that it has had since the transcript was written, and its
/// sequencers, each once.
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
    let network = run(newest(network, &endpoints))?;
    Ok((network, endpoints))
}

/// What most sequencers say.
pub(super) struct Said<T> {
    pub(super) answer: T,
    /// How many say so, and how many were asked.
    pub(super) agree: usize,
    pub(super) asked: usize,
}

impl<T: Serialize> Said<T> {
    /// For programs: the answer, with how many say so.
    pub(super) fn to_value(&self) -> Value {
        let mut value = serde_json::to_value(&self.answer).unwrap_or(Value::Null);
        value["agree"] = json!(self.agree);
        value["asked"] = json!(self.asked);
        value
    }
}

/// Asks all sequencers. Those agree whose answers have the same `compared`, as they answer at
/// different heights; of them the one with the largest `height` is taken.
pub(super) fn most_say<T: DeserializeOwned>(
    sequencers: &[String],
    method: &str,
    params: &[Value],
    compared: impl Fn(&T) -> Value,
    height: impl Fn(&T) -> u64,
) -> Result<Said<T>, CommandError> {
    let endpoints = sequencers.iter().map(|url| Endpoint::new(url, CALL));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>();
    let endpoints = endpoints.map_err(|error| CommandError::Usage(error.to_string()))?;
    let asked = endpoints.iter().map(|endpoint| endpoint.call::<T>(method, params.to_vec()));
    let mut answers: BTreeMap<String, (T, usize)> = BTreeMap::new();
    let mut failure = None;
    for answer in run(join_all(asked))? {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                failure = Some(error.to_string());
                continue;
            }
        };
        match answers.entry(compared(&answer).to_string()) {
            Entry::Vacant(place) => drop(place.insert((answer, 1))),
            Entry::Occupied(mut known) => {
                let (newest, count) = known.get_mut();
                *count += 1;
                if height(&answer) > height(newest) {
                    *newest = answer;
                }
            }
        }
    }
    let most = answers.into_values().max_by_key(|(answer, count)| (*count, height(answer)));
    let (answer, agree) = most.ok_or_else(|| {
        CommandError::Unreachable(failure.unwrap_or_else(|| "no sequencer is named".into()))
    })?;
    Ok(Said { answer, agree, asked: endpoints.len() })
}

/// Runs a future to its end.
pub(super) fn run<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Check(format!("runtime: {error}")))?;
    Ok(runtime.block_on(future))
}
