//! JSON-RPC and plain GETs over HTTP/1.1, with a bound on time and on the answer's size.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, body::Incoming, header};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rpc::{self, Failure};

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address isn't an `http://` URL.
    #[error("{url:?} is not an http:// address: {why}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answered in time or at all.
    #[error("{url} did not answer: {why}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// The transport's error.
        why: String,
    },
    /// The answer wasn't 200.
    #[error("{url} answered with status {status}: {body}")]
    Status {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the answer.
        body: String,
    },
    /// The answer wasn't what the method promises.
    #[error("{url} sent an answer that is not understood: {why}")]
    Malformed {
        /// Who was asked.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The method answered with an error.
    #[error("{}", .0.message)]
    Rpc(Failure),
}

/// The HTTP side of one sequencer.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    base: Uri,
    http: HttpClient<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint at `url` (`http://host:port`); each call takes at most `timeout`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, HttpError> {
        let address = |why: &str| HttpError::Address { url: url.to_owned(), why: why.to_owned() };
        let trimmed = url.trim_end_matches('/');
        let base = Uri::from_str(trimmed).map_err(|e| address(&e.to_string()))?;
        if base.scheme_str() != Some("http") {
            return Err(address("the scheme must be http"));
        }
        if base.authority().is_none() {
            return Err(address("no host"));
        }
        let http = HttpClient::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Self { url: trimmed.to_owned(), base, http, timeout })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a JSON-RPC method.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Vec<Value>,
    ) -> Result<T, HttpError> {
        let body = serde_json::to_vec(&rpc::Request {
            jsonrpc: "2.0".into(),
            id: Value::from(1),
            method: method.to_owned(),
            params,
        })
        .map_err(|e| self.malformed(&e.to_string()))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", self.base.to_string().trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| self.malformed(&e.to_string()))?;
        let bytes = self.exchange(request).await?;
        let response: rpc::Response =
            serde_json::from_slice(&bytes).map_err(|e| self.malformed(&e.to_string()))?;
        if let Some(failure) = response.error {
            return Err(HttpError::Rpc(failure));
        }
        let result = response.result.ok_or_else(|| self.malformed("neither result nor error"))?;
        serde_json::from_value(result).map_err(|e| self.malformed(&e.to_string()))
    }

    /// Reads `path`.
    pub async fn get(&self, path: &str) -> Result<Bytes, HttpError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{path}", self.base.to_string().trim_end_matches('/')))
            .body(Full::new(Bytes::new()))
            .map_err(|e| self.malformed(&e.to_string()))?;
        self.exchange(request).await
    }

    /// Opens `path` as a stream, e.g. of server-sent events; only the head is awaited.
    ///
    /// # Errors
    ///
    /// If nobody answers, or with another status than 200.
    pub async fn stream(&self, path: &str) -> Result<Incoming, HttpError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{path}", self.base.to_string().trim_end_matches('/')))
            .body(Full::new(Bytes::new()))
            .map_err(|e| self.malformed(&e.to_string()))?;
        let response = tokio::time::timeout(self.timeout, self.http.request(request))
            .await
            .map_err(|_| self.unreachable("no answer in time"))?
            .map_err(|e| self.unreachable(&e.to_string()))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
            let body = tokio::time::timeout(self.timeout, body).await;
            let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes());
            return Err(self.status(status, &body.unwrap_or_default()));
        }
        Ok(response.into_body())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, HttpError> {
        let answer = async {
            let response =
                self.http.request(request).await.map_err(|e| self.unreachable(&e.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|e| self.unreachable(&e.to_string()))?
                .to_bytes();
            if status != StatusCode::OK {
                return Err(self.status(status, &body));
            }
            Ok(body)
        };
        tokio::time::timeout(self.timeout, answer)
            .await
            .map_err(|_| self.unreachable("no answer in time"))?
    }

    fn status(&self, status: StatusCode, body: &[u8]) -> HttpError {
        let body = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        HttpError::Status { url: self.url.clone(), status, body }
    }

    fn unreachable(&self, why: &str) -> HttpError {
        HttpError::Unreachable { url: self.url.clone(), why: why.to_owned() }
    }

    fn malformed(&self, why: &str) -> HttpError {
        HttpError::Malformed { url: self.url.clone(), why: why.to_owned() }
    }
}
