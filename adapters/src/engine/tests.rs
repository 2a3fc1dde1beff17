use std::num::NonZeroU32;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, address, b256, bytes, keccak256};
use fairveil_release::transaction::RawTransaction;

use super::server::{BLOCK, EngineServer, NOW_S, PARENT, PARENT_NUMBER, SECRET, keys};
use super::*;
use crate::json_rpc::Limits;

const TIMESTAMP_S: u64 = 0x64e7_785b;
const RECIPIENT: Address = address!("0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b");
const RANDAO: B256 = b256!("0xc130d5e63c61c935f6089e61140ca9136172677cf6aa5800dcc1cf0a02152a14");
const ROOT: B256 = b256!("0x11f780a954bcba8889998e4e61deaae6388dd2391e9c810bd9c94962cc1eadc1");
static DEPOSITS: [Bytes; 2] = [bytes!("0x7ef801"), bytes!("0x7ef802")];

fn fees() -> FeeParameters {
    let [denominator, elasticity] = [250, 6].map(|number| NonZeroU32::new(number).unwrap());
    FeeParameters::Own { denominator, elasticity }
}

fn transactions() -> Vec<RawTransaction> {
    ["0x02aa", "0x01bb", "0xf8cc"].map(|text| text.parse().unwrap()).to_vec()
}

fn new_block(transactions: &[RawTransaction]) -> NewBlock<'_> {
    NewBlock {
        parent: Parent { number: PARENT_NUMBER, hash: PARENT, timestamp_s: TIMESTAMP_S - 2 },
        safe: PARENT,
        finalized: PARENT,
        rules: Rules::Isthmus(fees()),
        number: PARENT_NUMBER + 1,
        timestamp_s: TIMESTAMP_S,
        fee_recipient: RECIPIENT,
        prev_randao: RANDAO,
        parent_beacon_block_root: ROOT,
        gas_limit: 30_000_000,
        deposits: &DEPOSITS,
        transactions,
    }
}

fn engine_at(server: &EngineServer, secret: &str, now_s: u64) -> Engine {
    let limits = Limits { call: Duration::from_secs(2), ..Limits::default() };
    let endpoint = Endpoint::new(server.url(), limits).unwrap();
    Engine::new(endpoint, secret.parse().unwrap(), Arc::new(move || now_s))
}

async fn built(server: &EngineServer) -> Result<SealedBlock, BuildError> {
    let transactions = transactions();
    engine_at(server, SECRET, NOW_S).build_block(&new_block(&transactions)).await
}

/// The error if the result of a call, by number, is changed.
async fn error(call: usize, change: impl Fn(&mut Value) + Send + Sync + 'static) -> BuildError {
    let server = EngineServer::start(call, change);
    let error = built(&server).await.unwrap_err();
    assert_eq!(server.methods().len(), call + 1, "nothing is asked after {error}");
    error
}

#[tokio::test]
async fn a_block_is_built_executed_and_made_the_head_invariants_1_and_4() {
    let server = EngineServer::honest();
    let sealed = built(&server).await.unwrap();
    let expected = SealedBlock {
        number: PARENT_NUMBER + 1,
        hash: BLOCK,
        state_root: b256!("0xca3149fa9e37db08d1cd49c9061db1002ef1cd58db2210f2115c8c989b2bdf45"),
        timestamp_s: TIMESTAMP_S,
        base_fee: 7,
        gas_used: 0xbad2e8,
    };
    assert_eq!(sealed, expected);
    let methods = ["forkchoiceUpdatedV3", "getPayloadV4", "newPayloadV4", "forkchoiceUpdatedV3"];
    assert_eq!(server.methods(), methods.map(|method| format!("engine_{method}")));
    let attributes = json!({
        "timestamp": "0x64e7785b",
        "prevRandao": RANDAO,
        "suggestedFeeRecipient": RECIPIENT,
        "withdrawals": [],
        "parentBeaconBlockRoot": ROOT,
        "transactions": ["0x7ef801", "0x7ef802", "0x02aa", "0x01bb", "0xf8cc"],
        "noTxPool": true,
        "gasLimit": "0x1c9c380",
        "eip1559Params": "0x000000fa00000006",
    });
    assert_eq!(server.attributes(), attributes);
}

#[tokio::test]
async fn each_upgrade_has_its_versions_and_fields() {
    let own = "0x000000fa00000006";
    for (rules, version, params, min_base_fee) in [
        (Rules::Ecotone, "V3", Value::Null, Value::Null),
        (Rules::Holocene(fees()), "V3", json!(own), Value::Null),
        (Rules::Isthmus(FeeParameters::Chain), "V4", json!("0x0000000000000000"), Value::Null),
        (Rules::Jovian { fees: fees(), min_base_fee: 10 }, "V4", json!(own), json!("0xa")),
    ] {
        let server = EngineServer::honest();
        let block = NewBlock { rules, ..new_block(&[]) };
        engine_at(&server, SECRET, NOW_S).build_block(&block).await.unwrap();
        let methods = server.methods();
        assert_eq!(methods[1], format!("engine_getPayload{version}"));
        assert_eq!(methods[2], format!("engine_newPayload{version}"));
        let attributes = server.attributes();
        assert_eq!(attributes["eip1559Params"], params);
        assert_eq!(attributes["minBaseFee"], min_base_fee);
        let fields = 8 + usize::from(!params.is_null()) + usize::from(!min_base_fee.is_null());
        assert_eq!(keys(&attributes).len(), fields);
    }
}

#[tokio::test]
async fn another_payload_is_refused_invariant_1() {
    let set = |field: &'static str, value: Value| {
        move |envelope: &mut Value| envelope["executionPayload"][field] = value.clone()
    };
    let raws = |list: &[&str]| set("transactions", json!(list));
    let other = B256::repeat_byte(9);
    let [second, third, fourth] =
        ["02aa", "01bb", "f8cc"].map(|text| keccak256(text.parse::<Bytes>().unwrap()));
    let cases = [
        (
            raws(&["0x7ef801", "0x7ef802", "0x01bb", "0x02aa", "0xf8cc"]),
            format!("transaction 2 of the payload (deposits: 2) is {third}, expected {second}"),
        ),
        (
            raws(&["0x7ef801", "0x7ef802", "0x02aa", "0x01bb"]),
            format!("transaction 4 of the payload (deposits: 2) is nothing, expected {fourth}"),
        ),
        (
            raws(&["0x7ef801", "0x7ef802", "0x02aa", "0x01bb", "0xf8cc", "0x02aa"]),
            format!("transaction 5 of the payload (deposits: 2) is {second}, expected nothing"),
        ),
        (
            set("timestamp", json!("0x64e7785c")),
            "timestamp is 1692891228, expected 1692891227".into(),
        ),
        (set("blockNumber", json!("0x1")), "its blockNumber is 1, expected 17986063".into()),
        (set("gasLimit", json!("0x1")), "its gasLimit is 1, expected 30000000".into()),
        (set("parentHash", json!(other)), format!("its parent is {other}, expected {PARENT}")),
        (set("prevRandao", json!(other)), format!("its prevRandao is {other}, expected {RANDAO}")),
        (set("feeRecipient", json!(Address::ZERO)), format!("{}, expected", Address::ZERO)),
        (
            set("extraData", json!("0x000000003200000002")),
            "its extraData is 0x000000003200000002, expected 0x00000000fa00000006".into(),
        ),
        (set("withdrawals", json!([{}])), "it has 1 withdrawals, L2 blocks have none".into()),
    ];
    for (change, words) in cases {
        let error = error(1, change).await;
        assert!(matches!(error, BuildError::Payload { number: 0x112_720f, .. }), "{error}");
        assert!(error.to_string().contains(&words), "{error}\n{words}");
    }
    let root = error(1, |envelope| envelope["parentBeaconBlockRoot"] = json!(PARENT)).await;
    assert!(root.to_string().contains("its parentBeaconBlockRoot is 0x3b8f"), "{root}");
    let requests = error(1, |envelope| envelope["executionRequests"] = json!(["0x00"])).await;
    assert!(requests.to_string().contains("it has 1 execution requests"), "{requests}");
}

#[tokio::test]
async fn an_engine_is_not_asked_for_what_it_must_not_build_invariant_2() {
    let server = EngineServer::honest();
    let engine = engine_at(&server, SECRET, NOW_S);
    let transactions = transactions();
    let good = new_block(&transactions);
    let with = |text: &str| vec![transactions[0].clone(), text.parse().unwrap()];
    let (deposit, blob, nothing) = (with("0x7e01"), with("0x0301"), with("0x"));
    let wrong = [bytes!("0x7ef801"), bytes!("0x02aa")];
    let late = Parent { timestamp_s: TIMESTAMP_S, ..good.parent };
    let cases = [
        (NewBlock { number: 7, ..good.clone() }, "block 7 on block 17986062"),
        (NewBlock { parent: late, ..good.clone() }, "the block is of 1692891227 s on one of"),
        (NewBlock { deposits: &[], ..good.clone() }, "at least the deposit of the L1 attributes"),
        (NewBlock { deposits: &wrong, ..good.clone() }, "deposit 1 is of type 2"),
        (NewBlock { transactions: &deposit, ..good.clone() }, "transaction 1 is of type 126"),
        (NewBlock { transactions: &blob, ..good.clone() }, "transaction 1 is of type 3"),
        (NewBlock { transactions: &nothing, ..good.clone() }, "transaction 1 is of no bytes"),
    ];
    for (block, words) in cases {
        let error = engine.build_block(&block).await.unwrap_err();
        assert!(matches!(error, BuildError::Request { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(server.methods(), Vec::<String>::new());
}

#[tokio::test]
async fn every_status_has_its_own_error_invariant_3() {
    let steps = [(0, Step::Begin), (2, Step::Execute), (3, Step::Head)];
    for (call, step) in steps {
        let status = move |text: &'static str, latest: Value| {
            move |result: &mut Value| {
                let status = if call == 2 { result } else { &mut result["payloadStatus"] };
                status["status"] = json!(text);
                status["latestValidHash"] = latest.clone();
                if text == "INVALID" {
                    status["validationError"] = json!("New payload\nis invalid");
                }
            }
        };
        match error(call, status("INVALID", json!(PARENT))).await {
            BuildError::Invalid { step: at, why, latest_valid: Some(PARENT) } => {
                assert_eq!((at, why.as_str()), (step, "New payload is invalid"));
            }
            other => panic!("{other}"),
        }
        let syncing = error(call, status("SYNCING", Value::Null)).await;
        assert!(matches!(syncing, BuildError::Syncing { step: at } if at == step), "{syncing}");
        let accepted = error(call, status("ACCEPTED", Value::Null)).await;
        assert!(matches!(accepted, BuildError::Accepted { step: at } if at == step), "{accepted}");
        let other = error(call, status("VALID", json!(B256::ZERO))).await;
        assert!(matches!(other, BuildError::OtherBlock { step: at, .. } if at == step), "{other}");
        let unknown = error(call, status("FINE", Value::Null)).await;
        let BuildError::Rpc { step: at, source: RpcError::Malformed { .. } } = unknown else {
            panic!("{unknown}")
        };
        assert_eq!(at, step);
    }
    let no_id = error(0, |result| result["payloadId"] = Value::Null).await;
    assert!(matches!(no_id, BuildError::NoPayloadId), "{no_id}");
    // An id that the engine itself does not know.
    let server = EngineServer::start(0, |result| result["payloadId"] = json!("0x0000000000000001"));
    let error = built(&server).await.unwrap_err();
    let words = "asked for what it built, ";
    assert!(error.to_string().starts_with(words), "{error}");
    assert!(error.to_string().contains("refused with -38001: Unknown payload"), "{error}");
}

#[tokio::test]
async fn a_token_is_by_the_secret_and_of_this_time_invariants_3_and_5() {
    let server = EngineServer::honest();
    let other = SECRET.replace("73", "74");
    let transactions = transactions();
    let block = new_block(&transactions);
    for (secret, now_s, taken) in [
        (SECRET, NOW_S, true),
        (SECRET, NOW_S - TOKEN_LIFE_S, true),
        (SECRET, NOW_S + TOKEN_LIFE_S, true),
        (SECRET, NOW_S - TOKEN_LIFE_S - 1, false),
        (SECRET, NOW_S + TOKEN_LIFE_S + 1, false),
        (other.as_str(), NOW_S, false),
    ] {
        let engine = engine_at(&server, secret, now_s);
        assert!(!format!("{engine:?}").contains(secret));
        match engine.build_block(&block).await {
            Ok(_) => assert!(taken),
            Err(BuildError::Unauthorized { step: Step::Begin, status: 401 }) => assert!(!taken),
            Err(error) => panic!("{error}"),
        }
    }
    let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
    let without = endpoint.call::<Value>("engine_getPayloadV4", vec![]).await.unwrap_err();
    assert!(matches!(without, RpcError::Status { status: 401, .. }), "{without}");
}
