//! What became of a bundle: asks all sequencers and believes what is proven.
//!
//! | state | believed because |
//! |---|---|
//! | `unknown` | nothing better is proven |
//! | `held` | a receipt verifies, or f+1 sequencers say that they hold it |
//! | `admitted` | f+1 receipts of distinct members verify |
//! | `ordered` | an order certificate verifies and has the id at the place that was told |
//! | `released`, `failed`, `expired` | a bundle document verifies, order certificate included |
//!
//! # Invariants
//!
//! 1. States only move forward, and the last three are final.
//! 2. What a sequencer says and can't prove changes no state; it is kept as a doubt with its name.
//! 3. A released bundle has exactly the legs that were sealed, where the trader shows them.
//! 4. The slowest f sequencers delay a round by [`GRACE`](crate::network::GRACE) at most, and no proof of another one.
//! 5. An epoch that begins meanwhile is believed once its transcript continues what is pinned.
//! 6. Time is the runtime's; nothing here reads a clock but for waiting.

use std::time::Duration;

use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::{BundleId, Height};
use fairveil_mempool::{Bundle, Receipt};
use fairveil_release::document::BundleDocument;
use fairveil_release::failed::Failed;
use fairveil_release::tree::Position;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::document::{DisbeliefReason, Ending, ending};
use crate::network::{Endpoint, HttpError, gather, newest};
use crate::receipts::{Answer, Receipts, printable};
use crate::rpc::{self, ReceiptInfo, StatusInfo};
use crate::trust::PinnedNetwork;

/// The time between two rounds of questions.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How often the newest transcript is asked for while something is said that the one at hand does not
/// prove.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// What a trader knows of the bundle that is followed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its id.
    pub id: BundleId,
    /// What was sealed, if the trader still has it: then released legs are compared with it.
    pub bundle: Option<Bundle>,
    /// The last height at which it may be ordered, if known.
    pub expires_at: Option<Height>,
}

/// The state of a bundle, as far as it is proven. Later is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is proven.
    Unknown,
    /// Some sequencer holds it.
    Held,
    /// f+1 members signed that they admitted it.
    Admitted,
    /// Its final place is certified.
    Ordered,
    /// Every leg is in a released batch.
    Released,
    /// A no-op on all rollups.
    Failed(Failed),
    /// Its window closed before its place; never opened.
    Expired,
}

/// What a sequencer said and could not prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who.
    pub url: String,
    /// What is wrong with it.
    pub why: String,
}

/// What one sequencer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Who.
    pub url: String,
    /// Its answer, or why there is none.
    pub said: Result<StatusInfo, String>,
}

/// What is known of a bundle.
#[derive(Clone, Debug)]
pub struct Status {
    /// The bundle.
    pub id: BundleId,
    /// Its state.
    pub state: State,
    /// Its certified place in the fair order.
    pub position: Option<Position>,
    /// The receipts that verify, by sequencer.
    pub receipts: Vec<Receipt>,
    /// How many receipts admit a bundle.
    pub needed: usize,
    /// The document that proves how it ended.
    pub document: Option<BundleDocument>,
    /// What each sequencer said last.
    pub claims: Vec<Claim>,
    /// What was said without proof, over the whole time.
    pub doubts: Vec<Doubt>,
    /// f+1 sequencers beyond the end of its window say that it was not ordered. Not a proof.
    pub window_closed: bool,
    /// Whether something was said without proof in the last round.
    unproven: bool,
}

/// Follows one bundle.
#[derive(Clone, Debug)]
pub struct Follower<'a> {
    network: PinnedNetwork,
    endpoints: &'a [Endpoint],
    subject: Subject,
    receipts: Receipts,
    status: Status,
    /// When the newest transcript was asked for.
    renewed_at: Option<Instant>,
}

/// Asks once.
pub async fn status(network: &PinnedNetwork, endpoints: &[Endpoint], subject: Subject) -> Status {
    let mut follower = Follower::new(network, endpoints, subject);
    follower.poll().await;
    follower.status
}

/// Asks until the bundle ended, its window is closed without it, or time is out. `changed` sees
/// every step forward. Also answers the network that the status is proven by: an epoch may have begun
/// meanwhile.
pub async fn wait(
    network: &PinnedNetwork,
    endpoints: &[Endpoint],
    subject: Subject,
    timeout: Duration,
    mut changed: impl FnMut(&Status),
) -> (PinnedNetwork, Status) {
    let mut follower = Follower::new(network, endpoints, subject);
    let mut shown = None;
    let asking = async {
        loop {
            let status = follower.poll().await;
            if shown.replace(status.state) != Some(status.state) {
                changed(status);
            }
            if status.is_over() {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    // Out of time: what is known then is the answer.
    let _ = tokio::time::timeout(timeout, asking).await;
    (follower.network, follower.status)
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Held => "held",
            Self::Admitted => "admitted",
            Self::Ordered => "ordered",
            Self::Released => "released",
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
        }
    }

    /// Whether it is final.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Released | Self::Failed(_) | Self::Expired)
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Held => 1,
            Self::Admitted => 2,
            Self::Ordered => 3,
            Self::Released | Self::Failed(_) | Self::Expired => 4,
        }
    }
}

impl Status {
    /// Whether nothing more is to be waited for.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.state.is_final() || self.window_closed
    }

    /// How many sequencers answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.claims.iter().filter(|claim| claim.said.is_ok()).count()
    }

    fn advance(&mut self, state: State) {
        if state.rank() > self.state.rank() {
            self.state = state;
        }
    }

    fn doubt(&mut self, url: &str, why: &str) {
        self.unproven = true;
        let doubt = Doubt { url: url.to_owned(), why: printable(why) };
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }
}

impl<'a> Follower<'a> {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(network: &'a PinnedNetwork, endpoints: &'a [Endpoint], subject: Subject) -> Self {
        let receipts = Receipts::new(network, subject.id);
        let status = Status {
            id: subject.id,
            state: State::Unknown,
            position: None,
            receipts: Vec::new(),
            needed: receipts.needed(),
            document: None,
            claims: Vec::new(),
            doubts: Vec::new(),
            window_closed: false,
            unproven: false,
        };
        let network = network.clone();
        Self { network, endpoints, subject, receipts, status, renewed_at: None }
    }

    /// What is known.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Asks all sequencers once and proves what can be proven.
    pub async fn poll(&mut self) -> &Status {
        if self.status.state.is_final() {
            return &self.status;
        }
        self.status.unproven = false;
        let id = self.subject.id;
        let asked = self.endpoints.iter().map(|endpoint| async move {
            let said = endpoint.call::<StatusInfo>("fairveil_status", params(id)).await;
            let said = said.map_err(|error| printable(&error.to_string()));
            Claim { url: endpoint.url().to_owned(), said }
        });
        let enough = self.endpoints.len().saturating_sub(self.network.faults());
        let mut said = gather(asked, enough).await;
        let late = |endpoint: &Endpoint| Claim {
            url: endpoint.url().to_owned(),
            said: Err("no answer yet".to_owned()),
        };
        let claims = self.endpoints.iter().zip(said.drain(..));
        self.status.claims =
            claims.map(|(endpoint, claim)| claim.unwrap_or_else(|| late(endpoint))).collect();
        let ended = self.claiming(|state| state >= rpc::State::Released);
        self.prove_ending(&ended).await;
        if self.status.state.rank() < State::Ordered.rank() {
            let ordered = self.claiming(|state| state >= rpc::State::Ordered);
            self.prove_order(&ordered).await;
        }
        if self.status.state.rank() < State::Admitted.rank() {
            let holding = self.claiming(|state| state >= rpc::State::Held);
            self.prove_admission(&holding).await;
        }
        self.judge_window();
        if self.status.unproven && !self.status.state.is_final() {
            self.renew().await;
        }
        &self.status
    }

    /// What is not proven may be of an epoch that has begun: takes the newest transcript. Doubts from
    /// before it count no more; who lies is caught again.
    async fn renew(&mut self) {
        let now = Instant::now();
        if self.renewed_at.is_some_and(|at| now < at + RENEWAL_INTERVAL) {
            return;
        }
        self.renewed_at = Some(now);
        let network = newest(self.network.clone(), self.endpoints).await;
        if network.epoch() > self.network.epoch() {
            self.receipts = Receipts::new(&network, self.subject.id);
            self.status.needed = self.receipts.needed();
            self.status.receipts.clear();
            self.status.doubts.clear();
            self.network = network;
        }
    }

    /// Endpoints whose claim satisfies `is`, with the claim.
    fn claiming(&self, is: impl Fn(rpc::State) -> bool) -> Vec<(&'a Endpoint, StatusInfo)> {
        let said = self.endpoints.iter().zip(&self.status.claims);
        said.filter_map(|(endpoint, claim)| {
            let info = claim.said.as_ref().ok()?;
            is(info.state).then(|| (endpoint, info.clone()))
        })
        .collect()
    }

    async fn prove_ending(&mut self, claiming: &[(&Endpoint, StatusInfo)]) {
        let id = self.subject.id;
        let asked = claiming.iter().map(|(endpoint, _)| async move {
            let document = endpoint.call::<BundleDocument>("fairveil_release", params(id)).await;
            (endpoint.url(), document)
        });
        // The first proof counts: who is slow, or lies, delays nobody else's.
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some((url, document)) = asked.next().await {
            let document = match document {
                Ok(document) => document,
                // Certified a few blocks after it is released: no fault.
                Err(HttpError::Rpc(failure)) if failure.code == rpc::code::NOT_RELEASED => continue,
                Err(error) => {
                    self.status.doubt(url, &error.to_string());
                    continue;
                }
            };
            match self.believe(&document) {
                Ok((position, state)) => {
                    self.status.position = Some(position);
                    self.status.advance(state);
                    if state.is_final() {
                        self.status.document = Some(document);
                        return;
                    }
                }
                Err(reason) => self.status.doubt(url, &reason.to_string()),
            }
        }
    }

    fn believe(&self, document: &BundleDocument) -> Result<(Position, State), DisbeliefReason> {
        let Subject { id, bundle, .. } = &self.subject;
        let (position, ending) = ending(&self.network, document, id, bundle.as_ref())?;
        let state = match ending {
            Ending::Released { .. } => State::Released,
            Ending::Failed(failed) => State::Failed(failed),
            Ending::Expired => State::Expired,
            Ending::Carried => State::Ordered,
        };
        Ok((position, state))
    }

    async fn prove_order(&mut self, claiming: &[(&Endpoint, StatusInfo)]) {
        let placed = claiming.iter().filter_map(|(endpoint, info)| Some((*endpoint, info.place?)));
        let asked = placed.map(|(endpoint, place)| async move {
            let path = format!("/orders/{}", place.height);
            (endpoint.url(), place, endpoint.get(&path).await)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some((url, place, answer)) = asked.next().await {
            let proven = match answer {
                Ok(bytes) => self.ordered_at(&bytes, place),
                // It knows the place a moment before its certificate is durable: no fault.
                Err(HttpError::Status { status, .. }) if status == StatusCode::NOT_FOUND => {
                    continue;
                }
                Err(error) => Err(error.to_string()),
            };
            match proven {
                Ok(position) => {
                    self.status.position = Some(position);
                    self.status.advance(State::Ordered);
                    return;
                }
                Err(why) => self.status.doubt(url, &why),
            }
        }
    }

    fn ordered_at(&self, bytes: &[u8], place: rpc::PlaceInfo) -> Result<Position, String> {
        let certificate: OrderCertificate = serde_json::from_slice(bytes)
            .map_err(|error| format!("not an order certificate: {error}"))?;
        let committee = self
            .network
            .committee_of(certificate.finalization.epoch)
            .map_err(|error| format!("the order certificate: {error}"))?;
        let order = certificate
            .verify(&self.network.network_id(), committee)
            .map_err(|error| format!("the order certificate: {error}"))?;
        let index = u32::try_from(place.position).map_err(|error| error.to_string())?;
        let height = order.height();
        let emitted = order.emission().ids().nth(index as usize);
        if height.get() != place.height || emitted.map(|one| one.id) != Some(self.subject.id) {
            return Err(format!(
                "the order of height {height} does not have the bundle at position {index}"
            ));
        }
        Ok(Position { height, index })
    }

    async fn prove_admission(&mut self, claiming: &[(&Endpoint, StatusInfo)]) {
        let id = self.subject.id;
        let asked = claiming.iter().map(|(endpoint, _)| {
            endpoint.call::<Vec<ReceiptInfo>>("fairveil_receipts", params(id))
        });
        let answers = gather(asked, self.network.needed()).await;
        for ((endpoint, _), answer) in claiming.iter().zip(answers) {
            let answer = answer.and_then(Result::ok);
            for info in answer.unwrap_or_default() {
                match crate::receipts::read(&info).and_then(|receipt| self.receipts.add(receipt)) {
                    Ok(Answer::Receipt(receipt)) => self.status.receipts.push(receipt),
                    Ok(_) => {}
                    Err(fault) => self.status.doubt(endpoint.url(), &fault.to_string()),
                }
            }
        }
        self.status.receipts.sort_by_key(|receipt| receipt.sequencer);
        if self.receipts.is_complete() {
            self.status.advance(State::Admitted);
        } else if self.receipts.count() > 0 || claiming.len() >= self.network.needed() {
            self.status.advance(State::Held);
        }
    }

    fn judge_window(&mut self) {
        let Some(expires_at) = self.subject.expires_at else { return };
        let beyond = self.claiming(|state| state < rpc::State::Held);
        let beyond = beyond.iter().filter(|(_, info)| info.height > expires_at.get()).count();
        let never = self.status.state.rank() < State::Admitted.rank();
        self.status.window_closed = never && beyond >= self.network.needed();
    }
}

fn params(id: BundleId) -> Vec<Value> {
    vec![Value::from(id.to_string())]
}

#[cfg(test)]
mod tests;
