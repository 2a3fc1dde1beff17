//! What an operator or a stranger can get wrong: one clear line, and nothing signed or changed.

use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{io::Read as _, io::Write as _};

use tempfile::TempDir;

use crate::network::{Desk, Dev, fairveil, root, wait_for};

/// The folder of a network that ran and was ended; each test works on a copy.
static NETWORK: LazyLock<TempDir> = LazyLock::new(|| {
    let mut dev = Dev::start();
    dev.end();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(dev.folder(), copy.path());
    copy
});

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A sequencer's folder in a copy of the network.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(NETWORK.path(), dir.path());
        let place = Self { dir };
        // The configuration names the folder that was copied.
        let config = fs::read_to_string(place.config()).unwrap();
        let first = config.lines().find(|line| line.starts_with("data_dir")).unwrap();
        let old = first.split('"').nth(1).unwrap().strip_suffix("/acme/data").unwrap();
        let config = config.replace(old, place.dir.path().to_str().unwrap());
        fs::write(place.config(), config).unwrap();
        place
    }

    /// The network's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("acme").join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("node.toml")
    }

    /// Starts the node, which must refuse: its one line and its exit code.
    pub(crate) fn refused(&self, args: &[&str]) -> (String, Option<i32>) {
        let before = self.state();
        let mut command = fairveil();
        command.args(["node", "--log", "off", "--config"]).arg(self.config()).args(args);
        // A node that starts all the same would run for ever.
        let output = Command::new("timeout")
            .args(["--signal=KILL", "30"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_remove("FAIRVEIL_PASSPHRASE")
            .output()
            .unwrap();
        assert_eq!(self.state(), before, "a refused start changes nothing");
        let errors = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = errors.lines().collect();
        let [line] = lines.as_slice() else { panic!("not one line: {errors:?}") };
        let line = line.strip_prefix("fairveil: ").expect(line).to_owned();
        (line, output.status.code())
    }

    /// What a start must leave as it is.
    fn state(&self) -> [Option<Vec<u8>>; 2] {
        ["keystore.json", "data/transcript.json"].map(|name| fs::read(self.path(name)).ok())
    }
}

#[track_caller]
pub(crate) fn says(refusal: &(String, Option<i32>), code: i32, words: &[&str]) {
    let (line, actual) = refusal;
    assert_eq!(*actual, Some(code), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let place = Place::new();
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), format!("{config}pool_bundels = 7\n")).unwrap();
    says(&place.refused(&[]), 2, &["pool_bundels", "pool_bundles"]);
}

#[test]
fn a_value_out_of_range_names_what_is_expected() {
    let place = Place::new();
    says(&place.refused(&["--pool-bundles", "many"]), 2, &["pool_bundles", "many"]);
    says(&place.refused(&["--peer-listen", "nowhere"]), 2, &["peer_listen", "nowhere"]);
}

#[test]
fn a_wrong_passphrase_is_refused() {
    let place = Place::new();
    let wrong = place.path("wrong");
    fs::write(&wrong, "not the passphrase\n").unwrap();
    let refusal = place.refused(&["--passphrase-file", wrong.to_str().unwrap()]);
    says(&refusal, 2, &["keystore", "passphrase"]);
}

#[test]
fn a_corrupted_keystore_is_refused() {
    let place = Place::new();
    let keystore = place.path("keystore.json");
    let good = fs::read_to_string(&keystore).unwrap();
    let mut bad: serde_json::Value = serde_json::from_str(&good).unwrap();
    let message = &mut bad["crypto"]["cipher"]["message"];
    let text = message.as_str().unwrap();
    let digit = if text.starts_with('0') { "1" } else { "0" };
    *message = format!("{digit}{}", &text[1..]).into();
    let bad = serde_json::to_vec_pretty(&bad).unwrap();
    for bytes in [bad, good.as_bytes()[..good.len() / 2].to_vec(), b"{}".to_vec(), Vec::new()] {
        fs::write(&keystore, bytes).unwrap();
        says(&place.refused(&[]), 2, &["keystore.json"]);
    }
    fs::write(&keystore, good).unwrap();
    fs::set_permissions(&keystore, fs::Permissions::from_mode(0o640)).unwrap();
    says(&place.refused(&[]), 2, &["keystore.json", "640", "chmod 600"]);
}

#[test]
fn another_members_keystore_or_database_is_refused() {
    let place = Place::new();
    let foreign = place.dir.path().join("bolt");
    fs::copy(foreign.join("data/state.redb"), place.path("data/state.redb")).unwrap();
    says(&place.refused(&[]), 2, &["database", "belongs to"]);
    let place = Place::new();
    let foreign = place.dir.path().join("bolt");
    fs::copy(foreign.join("keystore.json"), place.path("keystore.json")).unwrap();
    says(&place.refused(&[]), 2, &["database", "belongs to"]);
}

#[test]
fn another_network_is_refused() {
    let place = Place::new();
    let definition = place.dir.path().join("definition.toml");
    let text = fs::read_to_string(&definition).unwrap();
    fs::write(&definition, text.replace("\"rollup-903\"", "\"rollup-904\"")).unwrap();
    // Every approval signs another digest.
    let (line, code) = place.refused(&[]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("approval"), "{line}");
}

#[test]
fn a_damaged_database_is_refused() {
    let place = Place::new();
    let database = place.path("data/state.redb");
    let good = fs::read(&database).unwrap();
    let mut garbage = good.clone();
    garbage[..4_096].fill(0xa5);
    fs::write(&database, garbage).unwrap();
    says(&place.refused(&[]), 2, &["database"]);
    let whole = good.len();
    for kept in [0x1000, whole / 2, whole / 4_096 * 4_096 - 4_096, whole - 1] {
        fs::write(&database, &good[..kept]).unwrap();
        let sizes = [kept, whole].map(|bytes| bytes.to_string());
        says(&place.refused(&[]), 2, &["database", "cut off", &sizes[0], &sizes[1]]);
    }
}

#[test]
fn a_second_node_on_one_folder_is_refused_and_strangers_disturb_nobody() {
    let dev = Dev::start();
    let first = &dev.sequencers()[0];
    let config = dev.folder().join(&first.name).join("node.toml");
    let second = fairveil().args(["node", "--log", "off", "--config"]).arg(config).output();
    let second = second.unwrap();
    let line = String::from_utf8(second.stderr).unwrap();
    assert!(line.contains("in use by another process"), "{line}");
    assert_eq!(second.status.code(), Some(2));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for port in [&first.peer, &first.trader] {
        for length in [0, 1, 20, 1_200, 1_472] {
            let datagram: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            for _ in 0..50 {
                socket.send_to(&datagram, port.as_str()).unwrap();
            }
        }
    }
    for request in [
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff".to_vec(),
    ] {
        let address = first.http.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        stream.write_all(&request).unwrap();
        let _ = stream.read(&mut [0; 512]);
    }
    wait_for("ready", || dev.get(first, "/readyz"));
    let desk = Desk::new();
    crate::trader::seal(&dev, &desk, "60s");
    dev.done(&["bundle", "submit", &desk.text("sealed.json")]);
    let waited = dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    assert!(waited.contains("released"), "{waited}");
}

#[test]
fn seeds_and_rows_that_cannot_be_are_refused_before_anything_runs() {
    let scenario = root().join("tests/scenarios/honest.json");
    let scenario = scenario.to_str().unwrap();
    let nowhere = "/nowhere/at/all.svg";
    let cases: [(&[&str], &[&str]); 9] = [
        (&["simulate", "committee", "--seeds", "0"], &["--seeds", "0"]),
        (
            &["simulate", "committee", "--seed", "18446744073709551615", "--seeds", "2"],
            &["2 seeds from 18446744073709551615", "beyond 18446744073709551615"],
        ),
        (&["simulate", "committee", "--scenario", scenario, "--svg", nowhere], &[nowhere]),
        (
            &["simulate", "committee", "--suite", "honest", "--svg", nowhere],
            &["--suite", "--svg", "cannot be used"],
        ),
        (
            &["simulate", "committee", "--suite", "honest", "--batches", "/nowhere/at/all"],
            &["--batches", "--suite honest", "only suite rollups"],
        ),
        (
            &["bench", "mev", "--seeds", "2", "--first-seed", "18446744073709551615"],
            &["2 seeds from 18446744073709551615", "beyond 18446744073709551615"],
        ),
        (&["bench", "order", "--rows", "5:40:8,70000:40:8"], &["70000:40:8", "128 sequencers"]),
        (&["bench", "order", "--rows", "5:40:8,5:0:8"], &["0 ids in flight", "1 to 20000"]),
        (&["bench", "order", "--rows", "5:40:8,5:40"], &["5:40 is not N:IDS:JITTER"]),
    ];
    for (arguments, expected) in cases {
        let ended = fairveil().args(arguments).output().unwrap();
        let line = String::from_utf8(ended.stderr).unwrap();
        says(&(line, ended.status.code()), 2, expected);
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_ordering_scenario_that_is_none_has_its_code_and_its_reason() {
    let desk = Desk::new();
    fs::write(desk.path("empty.json"), "").unwrap();
    let list = root().join("tests/vectors/ordering.json");
    for (input, reason) in
        [(desk.path("empty.json"), "not JSON: EOF"), (list, "is a list, not an object")]
    {
        let mut command = fairveil();
        command.args(["simulate", "ordering", "--json", "--input"]).arg(&input);
        let ended = command.output().unwrap();
        assert_eq!(ended.stdout, b"{\"error\":\"bad-input\"}\n");
        let line = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        says(&(line, ended.status.code()), 1, &["fairveil: ", input.to_str().unwrap(), reason]);
    }
}
