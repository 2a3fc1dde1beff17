//! A sequencer's HTTP side that answers what a test wants: for tests alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::network::Endpoint;
use crate::rpc::{Rejected, code};

/// How long a call to a fake may take.
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// What a fake answers to a method or a path.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Result(Value),
    Error(i64, Option<Value>),
    Body(String),
    /// Takes the call and never answers.
    Nothing,
}

/// What a sequencer says of its committee, in this epoch and at this height.
pub(crate) fn committee(epoch: u64, height: u64, network: &str) -> Says {
    paced(epoch, height, network, 0)
}

/// The same, with this interval between blocks for which bundles waited.
pub(crate) fn paced(epoch: u64, height: u64, network: &str, interval: u64) -> Says {
    Says::Result(serde_json::json!({
        "network_id": network, "epoch": epoch, "key_id": "0x", "committee_key": "0x", "n": 5,
        "f": 1, "g": 0, "t": 4, "index": 1, "height": height, "time_ms": 1,
        "block_interval_ms": height, "loaded_interval_ms": interval, "members": [], "rollups": [],
    }))
}

pub(crate) fn rejects(code_word: &str) -> Says {
    let rejected = Rejected {
        code: code_word.into(),
        actual: "7".into(),
        limit: "5".into(),
        cure: "wait".into(),
    };
    Says::Error(code::REJECTED, Some(serde_json::to_value(rejected).unwrap()))
}

/// Serves these answers, by method or path, until the test ends.
pub(crate) async fn serve(answers: &[(&str, Says)]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: BTreeMap<String, Says> =
        answers.iter().map(|(key, says)| ((*key).to_owned(), says.clone())).collect();
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move { while answer(&stream, &answers).await.is_some() {} });
        }
    });
    Endpoint::new(&url, CALL).unwrap()
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    Endpoint::new(&url, CALL).unwrap()
}

async fn answer(stream: &TcpStream, answers: &BTreeMap<String, Says>) -> Option<()> {
    let (key, is_call) = request(stream).await?;
    let unknown = Says::Error(code::UNKNOWN, None);
    let (status, body) = match answers.get(&key).unwrap_or(&unknown) {
        Says::Nothing => std::future::pending().await,
        Says::Body(body) => (200, body.clone()),
        Says::Result(result) => {
            (200, json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
        }
        Says::Error(..) if !is_call => (404, "nothing\n".to_owned()),
        Says::Error(code, data) => {
            let error = json!({ "code": code, "message": "no", "data": data });
            (200, json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string())
        }
    };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
    write(stream, format!("{head}{body}").as_bytes()).await
}

/// The method of a call, or the path of a GET.
async fn request(stream: &TcpStream) -> Option<(String, bool)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let path = head.split(' ').nth(1)?.to_owned();
            if head.starts_with("GET") {
                return Some((path, false));
            }
            if let Ok(call) = serde_json::from_str::<Value>(body) {
                return Some((call["method"].as_str()?.to_owned(), true));
            }
        }
        let mut piece = [0; 4096];
        stream.readable().await.ok()?;
        match stream.try_read(&mut piece) {
            Ok(0) => return None,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        stream.writable().await.ok()?;
        match stream.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(())
}
