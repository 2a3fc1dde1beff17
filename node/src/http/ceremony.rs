//! What a node answers while its key ceremony runs: health, metrics, and how far it is.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use super::{deadline, health, json};
use crate::process::Report;

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    reports: watch::Receiver<Report>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/ceremony", get(report))
        .route("/metrics", get(metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(ready))
        .with_state(Arc::new(reports));
    let service = router.into_make_service_with_connect_info::<deadline::Remote>();
    axum::serve(deadline::Deadline::new(listener, deadline::STALLED), service).await
}

type Reports = State<Arc<watch::Receiver<Report>>>;

async fn report(State(reports): Reports) -> Response {
    answer(&reports.borrow())
}

async fn metrics(State(reports): Reports) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = format!("{}# EOF\n", reports.borrow().metrics());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn ready(State(reports): Reports) -> Response {
    health::verdicts(&[reports.borrow().check()])
}

/// A report as JSON.
pub(super) fn answer(report: &Report) -> Response {
    match serde_json::to_string(report) {
        Ok(text) => json(StatusCode::OK, text),
        Err(error) => super::failed(&error.to_string()),
    }
}
