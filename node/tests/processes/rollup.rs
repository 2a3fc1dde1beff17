//! A rollup's side: following the stream of batches over kills and lies, and judging a batcher.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256};
use fairveil_client::PinnedNetwork;
use fairveil_client::registry::registry;
use fairveil_release::batch::{Block, BundleRange};
use fairveil_release::document::BatchDocument;
use fairveil_release::op::batcher::{BatcherKey, BatcherTerms, batcher_transactions};
use fairveil_release::op::channel::Channel;
use fairveil_release::op::released::released_sub_blocks;
use fairveil_release::op::span_batch::SpanBatch;
use fairveil_release::op::sub_blocks::{SubBlock, enclosing_blocks};
use fairveil_release::op::{Chain, L1Origin, Parent};
use fairveil_release::tree::Position;
use serde_json::Value;

use crate::network::{Desk, Dev, fairveil, wait_for};

const CHAIN: u64 = 901;
const ORIGIN: L1Origin = L1Origin { number: 70, hash: B256::ZERO };

/// A running `rollup follow`, and the lines that it printed.
struct Follower {
    process: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Follower {
    fn start(dev: &Dev, sequencers: &[String], out: &str, more: &[&str]) -> Self {
        let mut command = fairveil();
        command.envs(dev.environment()).env_remove("FAIRVEIL_SEQUENCERS");
        command.args(["rollup", "follow", "--json", "--chain", "901", "--out", out]);
        command.args(["--sequencer", &sequencers.join(",")]).args(more);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, seen) = (process.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, lines }
    }

    fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for so many batches from one sequencer; the last one's height.
    fn accepted(&self, from: &str, count: usize) -> u64 {
        wait_for("accepted batches", || {
            let lines = self.lines();
            let accepted = lines.iter().filter(|line| line["event"] == "accepted");
            let heights: Vec<_> = accepted
                .filter(|line| line["sequencer"] == from)
                .map(|line| line["height"].as_u64().unwrap())
                .collect();
            heights.last().copied().filter(|_| heights.len() >= count)
        })
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A sequencer that serves the true batches of another one, each with a bundle that nobody sent.
fn liar(true_one: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            lie(&true_one, stream);
        }
    });
    address
}

fn lie(true_one: &str, mut stream: TcpStream) -> Option<()> {
    let mut head = String::new();
    BufReader::new(&stream).read_line(&mut head).ok()?;
    let path = head.split(' ').nth(1)?.replace("/stream", "");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    loop {
        let mut upstream = TcpStream::connect(true_one.strip_prefix("http://")?).ok()?;
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        upstream.write_all(ask.as_bytes()).ok()?;
        let mut answer = String::new();
        upstream.read_to_string(&mut answer).ok()?;
        let body = answer.split_once("\r\n\r\n")?.1;
        let documents: Vec<BatchDocument> = serde_json::from_str(body).ok()?;
        for mut document in documents {
            let height = document.release.height;
            let range = BundleRange {
                id: fairveil_crypto::BundleId::from_bytes([7; 32]),
                position: Position { height, index: 0 },
                first: 0,
                count: 1,
            };
            document.batch.blocks = vec![Block {
                number: height.get(),
                time_ms: document.release.time_ms,
                bundles: vec![range],
                transactions: vec![vec![2, 0xc0].into()],
            }];
            let text = serde_json::to_string(&document).ok()?;
            stream.write_all(format!("id: {height}\ndata: {text}\n\n").as_bytes()).ok()?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An open stream of batches: the status, then what comes.
fn stream(sequencer: &str, query: &str, header: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(sequencer.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(crate::network::PATIENCE)).unwrap();
    let ask = format!("GET /batches/{query} HTTP/1.1\r\nhost: x\r\n{header}\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    (status, reader)
}

/// The ids of the first events.
fn ids(stream: BufReader<TcpStream>, count: usize) -> Vec<u64> {
    let lines = stream.lines().map_while(Result::ok);
    let ids = lines.filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok());
    ids.take(count).collect()
}

#[test]
fn streams_resume_after_their_last_event_and_are_bounded() {
    let dev = Dev::start();
    let url = &dev.sequencers()[0].http;
    wait_for("some heights", || (dev.height(&dev.sequencers()[0]) > 6).then_some(()));
    let (status, events) = stream(url, "901/stream", "");
    assert!(status.contains(" 200 "), "{status}");
    // Beyond what is certified now: it waits for what comes.
    assert_eq!(ids(events, 12), (1..=12).collect::<Vec<_>>());
    assert_eq!(ids(stream(url, "902/stream?from=3", "").1, 2), [3, 4]);
    let resumed = stream(url, "901/stream?from=1", "last-event-id: 5\r\n");
    assert_eq!(ids(resumed.1, 2), [6, 7]);
    assert!(stream(url, "909/stream", "").0.contains(" 404 "));
    let open: Vec<_> = (0..64).map(|_| stream(url, "901/stream?from=1000000", "")).collect();
    assert!(open.iter().all(|(status, _)| status.contains(" 200 ")));
    assert!(stream(url, "901/stream", "").0.contains(" 503 "));
    drop(open);
    wait_for("a free place", || stream(url, "901/stream", "").0.contains(" 200 ").then_some(()));
}

fn heights(folder: &Path) -> BTreeMap<u64, String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = names.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_prefix("901-")?.strip_suffix(".json")?;
        Some((name.parse().ok()?, path.to_str()?.to_owned()))
    });
    named.collect()
}

fn judge(dev: &Dev, file: &str) -> (Option<i32>, String) {
    let output = dev.trader(&["verify", file]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_rollup_follows_over_kills_and_a_lie_and_proves_the_fraud() {
    let dev = Dev::start();
    let desk = Desk::new();
    let out = desk.text("batches");
    let urls: Vec<_> = dev.sequencers().into_iter().map(|one| one.http).collect();

    // The sequencer that it follows is killed: another one goes on.
    let follower = Follower::start(&dev, &urls, &out, &[]);
    follower.accepted(&urls[0], 3);
    crate::trader::seal(&dev, &desk, "60s");
    dev.done(&["bundle", "submit", &desk.text("sealed.json")]);
    dev.kill(&dev.sequencers()[0]);
    follower.accepted(&urls[1], 3);
    assert!(follower.lines().iter().all(|line| line["event"] != "refused"));
    dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    let released = |follower: &Follower| {
        let lines = follower.lines();
        lines.iter().any(|line| line["transactions"] == 2).then_some(())
    };
    wait_for("the bundle's batch", || released(&follower));
    follower.kill();

    // It goes on from its state, and the first that it asks now lies.
    let liar = liar(urls[1].clone());
    let sequencers = [vec![liar.clone()], urls[1..].to_vec()].concat();
    let mut follower = Follower::start(&dev, &sequencers, &out, &["--count", "5"]);
    let status = follower.process.wait().unwrap();
    assert_eq!(status.code(), Some(1), "something was refused");
    wait_for("the last line", || {
        let accepted = follower.lines().iter().filter(|line| line["event"] == "accepted").count();
        (accepted == 5).then_some(())
    });
    let lines = follower.lines();
    assert_eq!((&lines[0]["event"], &lines[0]["sequencer"]), (&"refused".into(), &liar.into()));
    assert_eq!(lines[0]["code"], "false");

    // Nothing is missing, and all of it verifies as one run from height 1 on.
    let kept = heights(Path::new(&out));
    let last = *kept.keys().last().unwrap();
    assert!(kept.keys().copied().eq(1..=last), "{:?}", kept.keys());
    let documents = kept.values().map(|path| {
        let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        value.as_object_mut().unwrap().remove("kind");
        value
    });
    let all = desk.text("all.json");
    std::fs::write(&all, serde_json::to_vec(&documents.collect::<Vec<_>>()).unwrap()).unwrap();
    let (code, verdict) = judge(&dev, &all);
    assert_eq!(code, Some(0), "{verdict}");
    assert!(verdict.contains(&format!("heights 1 to {last}: complete")), "{verdict}");

    // The fraud proof convinces; with the true batch in it, or another certified side, it does not.
    let fraud = lines[0]["fraud"].as_str().unwrap();
    let (code, verdict) = judge(&dev, fraud);
    assert_eq!(code, Some(0), "{verdict}");
    assert!(verdict.contains("is not the committee's: ") && verdict.contains("blames nobody"));
    let mut value: Value = serde_json::from_slice(&std::fs::read(fraud).unwrap()).unwrap();
    let height = lines[0]["height"].as_u64().unwrap();
    let honest: Value = serde_json::from_slice(&std::fs::read(&kept[&height]).unwrap()).unwrap();
    let other: Value = serde_json::from_slice(&std::fs::read(&kept[&1]).unwrap()).unwrap();
    let mut refused = |field: &str, from: &Value, why: &str| {
        let before = value["served"][field].clone();
        value["served"][field] = from[field].clone();
        let changed = desk.text("changed.json");
        std::fs::write(&changed, serde_json::to_vec(&value).unwrap()).unwrap();
        value["served"][field] = before;
        let (code, verdict) = judge(&dev, &changed);
        assert_eq!(code, Some(1), "{verdict}");
        assert!(verdict.contains("REFUSED") && verdict.contains(why), "{verdict}");
    };
    refused("batch", &honest, "is what the committee released");
    refused("batch", &other, "beside the release of height");
    refused("release", &other, "the certified block does not list height 1");
    refused("certificate", &other, "the certified block does not list height");
}

/// The batcher's transactions for these batches, a hex line each; changed by `change`.
fn batcher(
    network: &PinnedNetwork,
    documents: &[BatchDocument],
    change: impl FnOnce(&mut Vec<SubBlock>),
) -> (Address, String) {
    let registry = registry(network.definition()).unwrap();
    let clock = registry.slots().unwrap().unwrap();
    let times = registry.rollup(CHAIN).unwrap().blocks.unwrap();
    let batches: Vec<_> = documents.iter().map(|document| document.batch.clone()).collect();
    let from = batches[0].slot;
    let mut sub_blocks = released_sub_blocks(&clock, times, from, &batches, |_| ORIGIN);
    change(&mut sub_blocks);
    let genesis_time_s = times.genesis_ms / 1_000;
    let chain = Chain { chain_id: CHAIN, genesis_time_s, block_time_s: 1 };
    let timestamp_s = clock.start_ms(from) / 1_000;
    let number = timestamp_s - genesis_time_s;
    let parent = Parent { number, hash: B256::ZERO, timestamp_s, l1_origin: ORIGIN };
    let blocks = enclosing_blocks(&chain, &parent, &sub_blocks).unwrap();
    let span = SpanBatch::new(&chain, &parent, &blocks).unwrap();
    let channel = Channel::new(&chain, &[span], 50_000).unwrap();
    let terms = BatcherTerms {
        l1_chain_id: 900,
        inbox: Address::repeat_byte(0xff),
        max_fee_per_gas: 20,
        max_priority_fee_per_gas: 2,
    };
    let key = BatcherKey::from_bytes([1; 32]).unwrap();
    let transactions = batcher_transactions(&terms, &key, 0, &channel).unwrap();
    let lines = transactions.iter().map(|raw| format!("{raw}\n")).collect();
    (key.address(), lines)
}

#[test]
fn a_batcher_that_signs_something_else_is_convicted_by_its_signature() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let genesis_ms = now.as_secs() * 1_000;
    let rollup = |chain_id: u64, interval: &str| {
        format!("recorder:{chain_id},block-time={interval},genesis-ms={genesis_ms}")
    };
    let (fast, slow) = (rollup(901, "250ms"), rollup(902, "1s"));
    let dev = Dev::start_with(&["--rollup", &fast, "--rollup", &slow]);
    let desk = Desk::new();
    crate::trader::seal(&dev, &desk, "60s");
    dev.done(&["bundle", "submit", &desk.text("sealed.json")]);
    dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    let sealed = std::fs::read(desk.path("sealed.json")).unwrap();
    let id = serde_json::from_slice::<Value>(&sealed).unwrap()["id"].clone();
    let height = crate::network::wait_for("the batch's height", || {
        let status = dev.call(&dev.sequencers()[0], "fairveil_status", vec![id.clone()]);
        status["legs"][0]["batch_height"].as_u64()
    });
    let (out, from) = (desk.text("batches"), height.saturating_sub(4).max(1).to_string());
    let follow = ["rollup", "follow", "--chain", "901", "--out", &out, "--from", &from];
    dev.done(&[&follow[..], &["--count", "6"]].concat());
    let kept = heights(Path::new(&out));
    let documents: Vec<BatchDocument> = kept
        .values()
        .map(|path| {
            let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            value.as_object_mut().unwrap().remove("kind");
            serde_json::from_value(value).unwrap()
        })
        .collect();
    assert!(documents.iter().any(|document| !document.batch.is_empty()), "{kept:?}");
    let environment: BTreeMap<_, _> = dev.environment().into_iter().collect();
    let transcript = std::fs::read(&environment["FAIRVEIL_TRANSCRIPT"]).unwrap();
    let id = environment["FAIRVEIL_NETWORK"].parse().unwrap();
    let network = PinnedNetwork::from_transcript(&transcript, &id).unwrap();

    let (file, fraud) = (desk.text("signed.txt"), desk.text("fraud.json"));
    let check = |lines: &str| {
        std::fs::write(&file, lines).unwrap();
        let mut args = vec!["rollup", "check-batcher", "--transactions", &file, "--out", &fraud];
        args.extend(kept.values().map(String::as_str));
        let output = dev.trader(&args);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, honest) = batcher(&network, &documents, |_| {});
    let (code, said) = check(&honest);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("blocks hold exactly what was released"), "{said}");
    assert!(!Path::new(&fraud).exists());

    let (address, lines) = batcher(&network, &documents, |blocks| {
        let full = blocks.iter_mut().find(|block| !block.transactions.is_empty()).unwrap();
        full.transactions.swap(0, 1);
    });
    let (code, said) = check(&lines);
    assert_eq!(code, Some(1), "{said}");
    let (code, verdict) = judge(&dev, &fraud);
    assert_eq!(code, Some(0), "{verdict}");
    let expected = format!("{address} signed a false block of rollup 901 for L1 chain 900");
    assert!(verdict.contains(&expected), "{verdict}");
}
