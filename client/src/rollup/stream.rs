//! Batches from the sequencers' streams: from one sequencer until it ends, is silent, or serves what
//! is refused; then from the next, from where the follower stands.
//!
//! # Invariants
//!
//! 1. Only what [`RollupFollower::accept`] takes moves the follower, whoever served it.
//! 2. A sequencer that served something that was refused is not asked again.
//! 3. When an epoch comes that the follower does not know, the transcript that the sequencer serves
//!    is taken if it proves the pinned epochs and more; nobody is distrusted for a missing one.
//! 4. A false batch is told with its fraud proof, if its own document or another sequencer shows
//!    what is certified in its place.

use std::ops::ControlFlow;
use std::time::Duration;

use fairveil_keygen::Transcript;
use fairveil_release::document::BatchDocument;
use fairveil_release::fraud::FraudProof;

use super::{Accepted, Checkpoint, Refused, Rejection, RollupFollower};
use crate::network::events::{Events, ServerEvent};
use crate::network::{Endpoint, HttpError};
use crate::receipts::printable;

/// How long a stream may be silent. Sequencers send a heartbeat every 10 s.
pub const SILENCE: Duration = Duration::from_secs(25);
/// How long a sequencer may bring no batch. One comes with every slot, also an empty one.
pub const QUIET: Duration = Duration::from_secs(90);
/// The wait after a round in which no sequencer went on.
pub const AGAIN: Duration = Duration::from_secs(1);
/// Rounds in which no stream could be opened, until it is given up.
pub const MAX_ROUNDS: u32 = 30;

/// What happened while following.
#[derive(Debug)]
pub enum Told<'a> {
    /// A batch was accepted.
    Accepted {
        /// Who served it.
        url: &'a str,
        /// Its document.
        document: &'a BatchDocument,
        /// The batch.
        accepted: Accepted<'a>,
        /// Where the follower stands after it.
        checkpoint: Checkpoint,
    },
    /// A document was refused.
    Refused {
        /// Who served it.
        url: &'a str,
        /// The document.
        document: &'a BatchDocument,
        /// Why.
        reason: &'a Rejection,
        /// The proof that the batch is false, if there is one.
        fraud: Option<&'a FraudProof>,
    },
    /// A sequencer is left.
    Left {
        /// Who.
        url: &'a str,
        /// Why.
        why: String,
    },
}

/// Why following ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The caller said so.
    Stopped,
    /// Every sequencer served something that was refused.
    Distrusted,
    /// No stream could be opened for [`MAX_ROUNDS`] rounds.
    Unreachable,
}

/// How it went with one sequencer.
enum Went {
    Stopped,
    /// It served what was refused.
    Refused,
    /// Its stream was opened, and ended.
    Ended,
    /// Its stream could not be opened.
    Closed,
}

/// Follows from one sequencer to the next until `told` breaks off, all are distrusted, or none can
/// be reached.
///
/// # Errors
///
/// What `told` fails with. What it was told last may then be told again after a resumption.
pub async fn follow<E>(
    follower: &mut RollupFollower,
    endpoints: &[Endpoint],
    mut told: impl FnMut(Told<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<End, E> {
    let mut trusted: Vec<&Endpoint> = endpoints.iter().collect();
    let mut closed_rounds = 0;
    while !trusted.is_empty() {
        let mut opened = false;
        let mut at = 0;
        while at < trusted.len() {
            let others: Vec<_> =
                trusted.iter().copied().filter(|one| one.url() != trusted[at].url()).collect();
            match follow_one(follower, trusted[at], &others, &mut told).await? {
                Went::Stopped => return Ok(End::Stopped),
                Went::Refused => {
                    opened = true;
                    trusted.remove(at);
                    continue;
                }
                Went::Ended => opened = true,
                Went::Closed => {}
            }
            at += 1;
        }
        closed_rounds = if opened { 0 } else { closed_rounds + 1 };
        if closed_rounds >= MAX_ROUNDS {
            return Ok(End::Unreachable);
        }
        if !trusted.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
    }
    Ok(End::Distrusted)
}

async fn follow_one<E>(
    follower: &mut RollupFollower,
    endpoint: &Endpoint,
    others: &[&Endpoint],
    told: &mut impl FnMut(Told<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<Went, E> {
    let url = endpoint.url();
    let left = |told: &mut dyn FnMut(Told<'_>) -> Result<ControlFlow<()>, E>, why: String| {
        told(Told::Left { url, why: printable(&why) })
    };
    let mut events = match open(follower, endpoint).await {
        Ok(events) => events,
        Err(error) => {
            let flow = left(told, error.to_string())?;
            return Ok(if flow.is_break() { Went::Stopped } else { Went::Closed });
        }
    };
    loop {
        let next = tokio::time::timeout(QUIET, events.next()).await;
        let next = next.unwrap_or_else(|_| {
            let why = format!("no batch within {QUIET:?}");
            Err(HttpError::Unreachable { url: url.to_owned(), why })
        });
        let (why, refused) = match next {
            Ok(Some(event)) if event.name.is_empty() => match document(&event) {
                Ok(document) => match take(follower, endpoint, &document, others, told).await? {
                    None => continue,
                    Some(went) => return Ok(went),
                },
                Err(why) => (why, true),
            },
            Ok(Some(event)) => {
                (format!("it ended the stream: {} {}", event.name, event.data), false)
            }
            Ok(None) => ("it ended the stream".to_owned(), false),
            Err(error) => (error.to_string(), false),
        };
        let flow = left(told, why)?;
        return Ok(match flow {
            ControlFlow::Break(()) => Went::Stopped,
            ControlFlow::Continue(()) if refused => Went::Refused,
            ControlFlow::Continue(()) => Went::Ended,
        });
    }
}

/// Takes a document; how it went with the sequencer, if it does not go on.
async fn take<E>(
    follower: &mut RollupFollower,
    endpoint: &Endpoint,
    document: &BatchDocument,
    others: &[&Endpoint],
    told: &mut impl FnMut(Told<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<Option<Went>, E> {
    let url = endpoint.url();
    let mut next = follower.clone();
    renew(&mut next, endpoint, document).await;
    match next.accept(document) {
        Ok(accepted) => {
            // A follower that accepted something has a place.
            let Some(checkpoint) = next.checkpoint() else { return Ok(Some(Went::Ended)) };
            let flow = told(Told::Accepted { url, document, accepted, checkpoint })?;
            *follower = next;
            Ok(flow.is_break().then_some(Went::Stopped))
        }
        // Nobody lied: nobody has shown the transcript of that epoch yet.
        Err(Refused { reason: Rejection::UnknownEpoch(error), .. }) => {
            let flow = told(Told::Left { url, why: error.to_string() })?;
            Ok(Some(if flow.is_break() { Went::Stopped } else { Went::Ended }))
        }
        Err(refused) => {
            let fraud = match refused.fraud {
                Some(proof) => Some(proof),
                None => shown_by_others(follower, document, others).await,
            };
            let (reason, fraud) = (&refused.reason, fraud.as_deref());
            let flow = told(Told::Refused { url, document, reason, fraud })?;
            Ok(Some(if flow.is_break() { Went::Stopped } else { Went::Refused }))
        }
    }
}

/// Fetches the transcript of an epoch that the follower does not know, if it comes to one. What is
/// fetched is believed if it proves the pinned epochs and more.
async fn renew(follower: &mut RollupFollower, endpoint: &Endpoint, document: &BatchDocument) {
    if follower.network().committee_of(document.certificate.finalization.epoch).is_ok() {
        return;
    }
    let Ok(bytes) = endpoint.get("/transcript").await else { return };
    if let Ok(transcript) = Transcript::from_json(&bytes) {
        // What is no newer transcript changes nothing: the document is refused then.
        let _ = follower.renew(&transcript);
    }
}

/// The proof that a batch is false, by what another sequencer certifies in its place.
async fn shown_by_others(
    follower: &RollupFollower,
    said: &BatchDocument,
    others: &[&Endpoint],
) -> Option<Box<FraudProof>> {
    for other in others {
        let Ok(mut events) = open(follower, other).await else { continue };
        let Ok(Ok(Some(event))) = tokio::time::timeout(SILENCE, events.next()).await else {
            continue;
        };
        let Ok(certified) = document(&event) else { continue };
        if follower.clone().accept(&certified).is_ok() {
            // Either way this is the answer: the committee's document of this height is certain.
            return follower.fraud(&certified, said).ok();
        }
    }
    None
}

async fn open(follower: &RollupFollower, endpoint: &Endpoint) -> Result<Events, HttpError> {
    let (chain_id, from) = (follower.chain_id(), follower.next());
    endpoint.events(&format!("/batches/{chain_id}/stream?from={from}"), SILENCE).await
}

fn document(event: &ServerEvent) -> Result<BatchDocument, String> {
    serde_json::from_str(&event.data).map_err(|error| format!("not a batch document: {error}"))
}

#[cfg(test)]
mod tests;
