//! A JSON-RPC server on loopback that answers what a test wants: for tests alone.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::json_rpc::{Endpoint, Limits};

/// What the server does with a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A result.
    Result(Value),
    /// An error object.
    Error(i64, &'static str),
    /// A status and a body, instead of JSON-RPC.
    Http(u16, String),
    /// A broken connection.
    HangUp,
    /// No answer ever.
    Never,
}

pub(crate) type Answers = Arc<dyn Fn(&HeaderMap, &str, &Value) -> Reply + Send + Sync>;

/// Serves until it is dropped, on threads of its own.
pub(crate) struct TestServer {
    url: String,
    runtime: Option<Runtime>,
}

impl TestServer {
    pub(crate) fn start(
        answers: impl Fn(&HeaderMap, &str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Answers = Arc::new(answers);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let router = Router::new().route("/", post(respond)).with_state(answers);
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn endpoint(&self, limits: Limits) -> Endpoint {
        Endpoint::new(&self.url, limits).unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn respond(State(answers): State<Answers>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let one = |call: &Value| {
        assert_eq!(call["jsonrpc"], "2.0");
        let reply = answers(&headers, call["method"].as_str().unwrap(), &call["params"]);
        match reply {
            Reply::Result(result) => {
                Ok(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
            }
            Reply::Error(code, message) => {
                let error = json!({ "code": code, "message": message });
                Ok(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }))
            }
            other => Err(other),
        }
    };
    let answer = match &request {
        Value::Array(calls) => {
            // In another order than asked, as the specification allows.
            calls.iter().rev().map(one).collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        call => one(call),
    };
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(Reply::Http(status, body)) => {
            Response::builder().status(status).body(Body::from(body)).unwrap()
        }
        Err(Reply::HangUp) => {
            let broken = futures::stream::once(async { Err::<Vec<u8>, _>("broken") });
            Response::new(Body::from_stream(broken))
        }
        Err(_) => std::future::pending().await,
    }
}
