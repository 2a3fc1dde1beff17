//! `/livez` and `/readyz`: whether the process runs, and whether it does its work, with reasons.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::Shared;

/// Alive: the process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Ready: every check with its verdict, one a line; 200 if all pass.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let mut checks = shared.handle.checks();
    let connected = (shared.connected)();
    let peers = connected.iter().filter(|up| **up).count();
    let n = shared.term().definition.n();
    let needed = usize::from(fairveil_crypto::committee::threshold(n)).saturating_sub(1);
    checks.push(fairveil_sequencer::Check {
        name: "peers",
        passed: peers >= needed,
        why: format!("{peers} connected, {needed} needed"),
    });
    checks.push((shared.ceremony)().check());
    verdicts(&checks)
}

/// Checks, one a line; 200 if all pass, else 503.
pub(super) fn verdicts(checks: &[fairveil_sequencer::Check]) -> Response {
    let mut text = String::new();
    for check in checks {
        let verdict = if check.passed { "ok" } else { "failing" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{verdict:8} {:12} {}", check.name, check.why);
    }
    let status = if checks.iter().all(|check| check.passed) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
}
