//! JSON-RPC 2.0 over HTTP/1.1, with bounds on time and size, without TLS.
//!
//! For endpoints on this machine or in a trusted network. One [`Endpoint`] is cheap to clone and
//! keeps its connections.
//!
//! # Invariants
//!
//! 1. Faults are kept apart: who can't be reached ([`RpcError::Unreachable`],
//!    [`RpcError::Timeout`]), who answers over HTTP with something else ([`RpcError::Status`]), who
//!    answers with nonsense ([`RpcError::Malformed`], [`RpcError::AnswerTooLong`]), and who
//!    understood and says no ([`RpcError::Answered`]).
//! 2. Bounds: a request is at most [`MAX_REQUEST_BYTES`] long and a batch has at most
//!    [`MAX_BATCH`] calls; an answer is not read beyond [`Limits::answer_bytes`], and nothing is
//!    waited for beyond [`Limits::call`].
//! 3. An answer is taken only if it is one to the call: version 2.0, the call's id, and exactly one
//!    of result and error. A batch is taken only if every call has exactly one answer.
//! 4. Silence: an endpoint is named by host and port alone, as paths and queries hold keys at some
//!    providers; addresses with a user or password are refused; a bearer token is made for each
//!    request, marked as sensitive, and never part of an error.
//! 5. A call reaches the endpoint at most once: only what was not written to a connection that had
//!    closed meanwhile goes out again, on another one.

mod answer;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use answer::printable;

/// The longest request that is sent, in bytes.
pub const MAX_REQUEST_BYTES: usize = 32 << 20;
/// The longest answer that is read unless configured, in bytes.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;
/// The longest wait for an answer unless configured.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// The most calls of a batch.
pub const MAX_BATCH: usize = 256;
/// How much of what an endpoint says in words is kept, in characters.
pub const MAX_MESSAGE_CHARS: usize = 300;

/// Bounds of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait, from connecting to the last byte of the answer.
    pub call: Duration,
    /// The longest answer that is read, in bytes.
    pub answer_bytes: usize,
}

/// Makes the bearer token of one request.
pub type TokenSource = Arc<dyn Fn() -> Zeroizing<String> + Send + Sync>;

/// A method and its parameters.
#[derive(Clone, Debug)]
pub struct Call {
    method: &'static str,
    params: Vec<Value>,
}

/// An endpoint's "no" to a call that it understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{method} was refused with {code}: {message}")]
pub struct Refusal {
    /// The method called.
    pub method: &'static str,
    /// The endpoint's code.
    pub code: i64,
    /// What it says, printable and at most [`MAX_MESSAGE_CHARS`] long.
    pub message: String,
}

/// Why an address is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressFault {
    /// It can't be parsed.
    #[error("an endpoint's address can't be parsed as a URL")]
    Form,
    /// Another scheme than `http`.
    #[error("an endpoint's address begins with http://")]
    Scheme,
    /// No host.
    #[error("an endpoint's address names a host")]
    Host,
    /// A user or password in it.
    #[error("an endpoint's address holds no user or password")]
    Credentials,
}

/// Why a call brought no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RpcError {
    /// More calls in a batch than allowed.
    #[error("a batch of {actual} calls for {at}, the limit is {limit}")]
    BatchTooLong {
        /// Host and port.
        at: Arc<str>,
        /// How many there are.
        actual: usize,
        /// [`MAX_BATCH`].
        limit: usize,
    },
    /// A request longer than allowed.
    #[error("{method} for {at} takes {actual} bytes, the limit is {limit}")]
    RequestTooLong {
        /// Host and port.
        at: Arc<str>,
        /// The (first) method.
        method: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// [`MAX_REQUEST_BYTES`].
        limit: usize,
    },
    /// No connection, or one that broke.
    #[error("{at} can't be reached for {method}: {why}")]
    Unreachable {
        /// Host and port.
        at: Arc<str>,
        /// The (first) method.
        method: &'static str,
        /// The transport's words.
        why: String,
    },
    /// No whole answer in time.
    #[error("{at} gave no answer to {method} within {limit_ms} ms")]
    Timeout {
        /// Host and port.
        at: Arc<str>,
        /// The (first) method.
        method: &'static str,
        /// The longest wait.
        limit_ms: u64,
    },
    /// Another HTTP status than 200.
    #[error("{at} answered {method} with HTTP status {status}: {beginning}")]
    Status {
        /// Host and port.
        at: Arc<str>,
        /// The (first) method.
        method: &'static str,
        /// The status.
        status: u16,
        /// The beginning of the answer.
        beginning: String,
    },
    /// An answer longer than allowed.
    #[error("{at} answered {method} with more than {limit} bytes")]
    AnswerTooLong {
        /// Host and port.
        at: Arc<str>,
        /// The (first) method.
        method: &'static str,
        /// The longest answer that is read.
        limit: usize,
    },
    /// An answer that is none to the call.
    #[error("{at} answered {method} with something else: {why}")]
    Malformed {
        /// Host and port.
        at: Arc<str>,
        /// The method.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The endpoint understood and says no.
    #[error("{at}: {refusal}")]
    Answered {
        /// Host and port.
        at: Arc<str>,
        /// What it says.
        refusal: Refusal,
    },
}

/// Who answers JSON-RPC at an address.
#[derive(Clone)]
pub struct Endpoint {
    uri: Uri,
    at: Arc<str>,
    limits: Limits,
    token: Option<TokenSource>,
    http: Client<HttpConnector, Full<Bytes>>,
    next_id: Arc<AtomicU64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a [Value],
}

impl Default for Limits {
    fn default() -> Self {
        Self { call: CALL_TIMEOUT, answer_bytes: MAX_ANSWER_BYTES }
    }
}

impl Call {
    /// A call of a method.
    pub fn new(method: &'static str, params: Vec<Value>) -> Self {
        Self { method, params }
    }

    /// The method.
    pub fn method(&self) -> &'static str {
        self.method
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The endpoint at an `http://` address. Nothing is sent yet.
    pub fn new(url: &str, limits: Limits) -> Result<Self, AddressFault> {
        let uri = Uri::from_str(url).map_err(|_| AddressFault::Form)?;
        if uri.scheme_str() != Some("http") {
            return Err(AddressFault::Scheme);
        }
        let authority = uri.authority().ok_or(AddressFault::Host)?;
        if authority.as_str().contains('@') {
            return Err(AddressFault::Credentials);
        }
        let at = Arc::from(authority.as_str());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { uri, at, limits, token: None, http, next_id: Arc::default() })
    }

    /// The same endpoint, with a bearer token in every request.
    pub fn with_token(self, token: TokenSource) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Its host and port.
    pub fn at(&self) -> &Arc<str> {
        &self.at
    }

    /// The result of a call.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<T, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = Envelope { jsonrpc: "2.0", id, method, params: &params };
        let bytes = self.exchange(method, &request).await?;
        let answer = answer::parse(&bytes).map_err(|why| self.malformed(method, why))?;
        let result = answer::result(answer, id).map_err(|why| self.malformed(method, why))?;
        self.decode(method, result.map_err(|error| self.refused(method, error))?)
    }

    /// The results of several calls, in their order, by one request.
    ///
    /// A call that is refused has its refusal; only what concerns all of them is an error.
    pub async fn batch(&self, calls: &[Call]) -> Result<Vec<Result<Value, Refusal>>, RpcError> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let method = first.method;
        let (at, actual, limit) = (Arc::clone(&self.at), calls.len(), MAX_BATCH);
        if actual > limit {
            return Err(RpcError::BatchTooLong { at, actual, limit });
        }
        let first_id = self.next_id.fetch_add(actual as u64, Ordering::Relaxed);
        let requests: Vec<Envelope<'_>> = (first_id..)
            .zip(calls)
            .map(|(id, Call { method, params })| Envelope { jsonrpc: "2.0", id, method, params })
            .collect();
        let bytes = self.exchange(method, &requests).await?;
        let answer = answer::parse(&bytes).map_err(|why| self.malformed(method, why))?;
        let results = answer::results(answer, first_id, actual);
        let results = results.map_err(|why| self.malformed(method, why))?;
        // One error instead of a list of answers concerns the batch as such.
        let results = results.map_err(|error| self.refused(method, error))?;
        let named = calls
            .iter()
            .zip(results)
            .map(|(call, result)| result.map_err(|error| answer::refusal(call.method, error)));
        Ok(named.collect())
    }

    /// A result as what the method promises.
    pub fn decode<T: DeserializeOwned>(
        &self,
        method: &'static str,
        result: Value,
    ) -> Result<T, RpcError> {
        serde_json::from_value(result).map_err(|error| self.malformed(method, error.to_string()))
    }

    /// An answer that is not what the method promises.
    pub fn malformed(&self, method: &'static str, why: impl Into<String>) -> RpcError {
        let why = printable(&why.into());
        RpcError::Malformed { at: Arc::clone(&self.at), method, why }
    }

    fn refused(&self, method: &'static str, error: answer::ErrorObject) -> RpcError {
        let refusal = answer::refusal(method, error);
        RpcError::Answered { at: Arc::clone(&self.at), refusal }
    }

    fn unreachable(&self, method: &'static str, error: &dyn std::error::Error) -> RpcError {
        // The client's own words say little: the cause is what matters.
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        let why = printable(&why);
        RpcError::Unreachable { at: Arc::clone(&self.at), method, why }
    }

    async fn exchange(
        &self,
        method: &'static str,
        body: &impl Serialize,
    ) -> Result<Bytes, RpcError> {
        let request = self.request(method, body)?;
        let at = Arc::clone(&self.at);
        let limit_ms = u64::try_from(self.limits.call.as_millis()).unwrap_or(u64::MAX);
        tokio::time::timeout(self.limits.call, self.body_of_answer(method, request))
            .await
            .map_err(|_| RpcError::Timeout { at, method, limit_ms })?
    }

    fn request(
        &self,
        method: &'static str,
        body: &impl Serialize,
    ) -> Result<Request<Full<Bytes>>, RpcError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unreachable(method, &error))?;
        let (at, actual, limit) = (Arc::clone(&self.at), body.len(), MAX_REQUEST_BYTES);
        if actual > limit {
            return Err(RpcError::RequestTooLong { at, method, actual, limit });
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let value = Zeroizing::new(format!("Bearer {}", *token()));
            let value = HeaderValue::from_str(&value);
            let mut value = value.map_err(|error| self.unreachable(method, &error))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(body.into())).map_err(|error| self.unreachable(method, &error))
    }

    async fn body_of_answer(
        &self,
        method: &'static str,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, RpcError> {
        let response = self.http.request(request).await;
        let response = response.map_err(|error| self.unreachable(method, &error))?;
        let (status, limit) = (response.status(), self.limits.answer_bytes);
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                RpcError::AnswerTooLong { at: Arc::clone(&self.at), method, limit }
            } else {
                self.unreachable(method, error.as_ref())
            }
        })?;
        let body = body.to_bytes();
        if status != StatusCode::OK {
            let (at, status) = (Arc::clone(&self.at), status.as_u16());
            let beginning = &body[..body.len().min(4 * MAX_MESSAGE_CHARS)];
            let beginning = printable(&String::from_utf8_lossy(beginning));
            return Err(RpcError::Status { at, method, status, beginning });
        }
        Ok(body)
    }
}
