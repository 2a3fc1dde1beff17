use std::collections::BTreeSet;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy};
use proptest::{prop_assert, prop_oneof, proptest};
use serde_json::json;

use super::*;
use crate::test_server::{Reply, TestServer};

fn limits() -> Limits {
    Limits { call: Duration::from_millis(500), answer_bytes: 4_096 }
}

fn server() -> TestServer {
    TestServer::start(|_, method, params| match method {
        "echo" => Reply::Result(params.clone()),
        "null" => Reply::Result(Value::Null),
        "no" => Reply::Error(-32_000, "not\nthat"),
        "long" => Reply::Result(json!("x".repeat(5_000))),
        "status" => Reply::Http(503, "busy\u{7}".to_owned()),
        "raw" => Reply::Http(200, params[0].as_str().unwrap().to_owned()),
        "hang up" => Reply::HangUp,
        _ => Reply::Never,
    })
}

async fn error_of(endpoint: &Endpoint, method: &'static str, params: Vec<Value>) -> RpcError {
    endpoint.call::<Value>(method, params).await.unwrap_err()
}

#[tokio::test]
async fn faults_are_kept_apart_invariant_1() {
    let server = server();
    let endpoint = server.endpoint(limits());
    assert_eq!(endpoint.call::<Vec<u8>>("echo", vec![json!(1), json!(2)]).await, Ok(vec![1, 2]));
    assert_eq!(endpoint.call::<Option<u8>>("null", vec![]).await, Ok(None));

    let at = endpoint.at();
    assert_eq!(server.url(), format!("http://{at}"));
    let texts = [
        ("no", format!("{at}: no was refused with -32000: not that")),
        ("status", format!("{at} answered status with HTTP status 503: busy ")),
        ("long", format!("{at} answered long with more than 4096 bytes")),
        ("never", format!("{at} gave no answer to never within 500 ms")),
    ];
    for (method, text) in texts {
        assert_eq!(error_of(&endpoint, method, vec![]).await.to_string(), text);
    }
    let broken = error_of(&endpoint, "hang up", vec![]).await;
    assert!(matches!(broken, RpcError::Unreachable { .. }), "{broken}");
    let other = endpoint.call::<u64>("echo", vec![]).await.unwrap_err();
    assert!(matches!(other, RpcError::Malformed { .. }), "{other}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let nobody = error_of(&Endpoint::new(&url, limits()).unwrap(), "echo", vec![]).await;
    assert!(matches!(nobody, RpcError::Unreachable { .. }), "{nobody}");
    assert!(nobody.to_string().contains("refused"), "{nobody}");
}

#[tokio::test]
async fn requests_and_batches_are_bounded_invariant_2() {
    let server = server();
    let endpoint = server.endpoint(limits());
    let calls = vec![Call::new("null", vec![]); MAX_BATCH + 1];
    let error = endpoint.batch(&calls).await.unwrap_err();
    assert!(matches!(error, RpcError::BatchTooLong { actual: 257, limit: 256, .. }), "{error}");
    let param = json!("x".repeat(MAX_REQUEST_BYTES));
    let error = error_of(&endpoint, "echo", vec![param]).await;
    assert!(matches!(error, RpcError::RequestTooLong { limit: MAX_REQUEST_BYTES, .. }), "{error}");
    let calls = vec![Call::new("echo", vec![json!("x".repeat(40))]); 100];
    let error = endpoint.batch(&calls).await.unwrap_err();
    assert!(matches!(error, RpcError::AnswerTooLong { limit: 4_096, .. }), "{error}");
}

#[tokio::test]
async fn only_an_answer_to_the_call_is_taken_invariant_3() {
    let server = server();
    for (text, why) in [
        ("", "EOF"),
        ("[]", "[] instead of an object"),
        (r#"{"jsonrpc":"1.0","id":0,"result":1}"#, r#"version "1.0" instead of "2.0""#),
        (r#"{"id":0,"result":1}"#, r#"version nothing instead of "2.0""#),
        (r#"{"jsonrpc":"2.0","id":7,"result":1}"#, "an answer to call 7, not 0"),
        (r#"{"jsonrpc":"2.0","id":"0","result":1}"#, r#"an answer to call "0", not 0"#),
        (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, "an answer to call null, not 0"),
        (r#"{"jsonrpc":"2.0","result":1}"#, "an answer to call nothing, not 0"),
        (r#"{"jsonrpc":"2.0","id":0}"#, "neither result nor error"),
        (
            r#"{"jsonrpc":"2.0","id":0,"result":1,"error":{"code":1,"message":""}}"#,
            "a result and an error",
        ),
        (r#"{"jsonrpc":"2.0","id":0,"error":"no"}"#, "an error without code and message"),
    ] {
        // A new endpoint counts from 0.
        let error = error_of(&server.endpoint(limits()), "raw", vec![json!(text)]).await;
        assert!(matches!(error, RpcError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    // Who could not read the request answers without its id.
    let text = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse"}}"#;
    let error = error_of(&server.endpoint(limits()), "raw", vec![json!(text)]).await;
    assert!(matches!(error, RpcError::Answered { .. }), "{error}");
}

#[tokio::test]
async fn every_call_of_a_batch_has_one_answer_invariant_3() {
    let server = server();
    let endpoint = server.endpoint(limits());
    assert_eq!(endpoint.batch(&[]).await, Ok(vec![]));
    let calls =
        [Call::new("echo", vec![json!("a")]), Call::new("no", vec![]), Call::new("null", vec![])];
    let results = endpoint.batch(&calls).await.unwrap();
    assert_eq!(results[0], Ok(json!(["a"])));
    let refusal = results[1].as_ref().unwrap_err();
    assert_eq!((refusal.method, refusal.code), ("no", -32_000));
    assert_eq!(results[2], Ok(Value::Null));

    let one = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": 1 });
    let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "m" } });
    for (answer, why) in [
        (json!([one(0)]), "1 answers to 2 calls"),
        (json!([one(0), one(0)]), "an answer to call 0, which was not made or was answered before"),
        (json!([one(0), one(2)]), "an answer to call 2, which was not made"),
        (json!(one(0)), "one result instead of a list"),
        (error, "raw was refused with 1: m"),
    ] {
        let calls = [Call::new("raw", vec![json!(answer.to_string())]), Call::new("null", vec![])];
        let error = server.endpoint(limits()).batch(&calls).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

proptest! {
    /// Whatever comes, a batch has one answer per call or none is taken.
    #[test]
    fn answers_of_any_form_are_judged_invariant_3(
        ids in prop_oneof![Just(vec![0, 1, 2]).prop_shuffle(), vec(0..4u64, 0..4)],
        forms in prop_oneof![vec(0..3usize, 4), vec(0..5usize, 4)],
        cut in 0..200usize,
    ) {
        let answers = ids.iter().zip(&forms).map(|(id, form)| match form {
            0 | 1 => json!({ "jsonrpc": "2.0", "id": id, "result": id }),
            2 => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -1, "message": "no" } }),
            3 => json!({ "jsonrpc": "2.0", "id": id }),
            _ => json!([id]),
        });
        let text = Value::from_iter(answers).to_string();
        let sorted: Vec<u64> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let whole = sorted == [0, 1, 2] && ids.len() == 3 && forms[..3].iter().all(|form| *form < 3);
        let parsed = answer::parse(text.as_bytes()).unwrap();
        match answer::results(parsed, 0, 3) {
            Ok(Ok(results)) => {
                prop_assert!(whole);
                for (id, result) in results.iter().enumerate() {
                    prop_assert!(result.as_ref().is_ok_and(|result| *result == json!(id))
                        || result.is_err());
                }
            }
            _ => prop_assert!(!whole),
        }
        let cut = &text.as_bytes()[..cut.min(text.len())];
        if let Ok(parsed) = answer::parse(cut) {
            drop(answer::result(parsed, 0));
        }
    }
}

#[tokio::test]
async fn addresses_and_tokens_are_not_printed_invariant_4() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let headers_seen = Arc::clone(&seen);
    let server = TestServer::start(move |headers, _, _| {
        let header = headers["authorization"].to_str().unwrap().to_owned();
        headers_seen.lock().unwrap().push(header);
        Reply::Http(401, String::new())
    });
    let count = AtomicU64::new(0);
    let token = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Zeroizing::new(format!("secret{number}"))
    };
    let endpoint = server.endpoint(limits()).with_token(Arc::new(token));
    for _ in 0..2 {
        let error = error_of(&endpoint, "echo", vec![]).await;
        assert!(matches!(error, RpcError::Status { status: 401, .. }), "{error}");
        assert!(!format!("{error} {error:?} {endpoint:?}").contains("secret"));
    }
    assert_eq!(*seen.lock().unwrap(), ["Bearer secret0", "Bearer secret1"]);

    let endpoint = Endpoint::new("http://127.0.0.1:1/key?k=secret", limits()).unwrap();
    let error = error_of(&endpoint, "echo", vec![]).await;
    assert!(!format!("{error} {error:?} {endpoint:?}").contains("secret"));

    let fault = |url| Endpoint::new(url, limits()).unwrap_err();
    assert_eq!(fault("http://u:p@127.0.0.1:1"), AddressFault::Credentials);
    assert_eq!(fault("https://127.0.0.1:1"), AddressFault::Scheme);
    assert_eq!(fault("/path"), AddressFault::Scheme);
    assert_eq!(fault("http:// "), AddressFault::Form);
}
