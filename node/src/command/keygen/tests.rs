#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests prepare files")]

use std::os::unix::fs::PermissionsExt as _;

use std::path::PathBuf;

use fairveil_keygen::{Approval, Deposits, definition::Accounting};

use super::*;

struct Office {
    folder: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(office.path("password"), "correct horse\n").unwrap();
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn identity(&self, name: &str, port: u16) -> Result<u8, CommandError> {
        let address = |offset: u16| format!("127.0.0.1:{}", port + offset).parse().unwrap();
        let args = cli::Keygen::Identity {
            name: name.to_owned(),
            address: address(0),
            trader_address: address(1),
            rpc_address: address(2),
            out: self.path(name),
            password_file: Some(self.path("password")),
            light: true,
            renew: false,
        };
        run(&args, true)
    }

    fn propose(&self, rollups: &[&str]) -> Result<u8, CommandError> {
        self.propose_charging(rollups, None)
    }

    fn propose_charging(&self, rollups: &[&str], fee: Option<u64>) -> Result<u8, CommandError> {
        let args = cli::Keygen::Propose {
            members: ["a", "b", "c", "d", "e"].map(|m| self.path(m).join("member.json")).to_vec(),
            f: 1,
            g: 0,
            order: cli::OrderMode::Strict,
            rollups: rollups.iter().map(ToString::to_string).collect(),
            deposits: fee.map(|_| self.path("deposits.json")),
            fee_per_byte: fee,
            rollup_share: 40,
            step_seconds: 60,
            revealed_limit: None,
            out: self.path("definition.toml"),
        };
        run(&args, true)
    }

    fn approve(&self, name: &str, digest: &str) -> Result<u8, CommandError> {
        let args = cli::Keygen::Approve {
            definition: self.path("definition.toml"),
            digest: digest.to_owned(),
            keystore: self.path(name).join("keystore.json"),
            password_file: Some(self.path("password")),
            transcript: None,
            out: self.path(&format!("{name}.approval.json")),
        };
        run(&args, true)
    }

    fn definition(&self) -> Definition {
        read_definition(&self.path("definition.toml")).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_definition_that_charges_names_its_deposits() {
    let office = Office::new();
    for (place, name) in (0..).zip(["a", "b", "c", "d", "e"]) {
        office.identity(name, 4_000 + 10 * place).unwrap();
    }
    let rollups = ["alpha:901"];
    assert!(office.propose_charging(&rollups, Some(7)).is_err(), "there is no document");
    let document = r#"{"0x1111111111111111111111111111111111111111":"5"}"#;
    std::fs::write(office.path("deposits.json"), document).unwrap();
    assert_eq!(office.propose_charging(&rollups, Some(7)).unwrap(), exit::OK);
    let deposits = Deposits::from_json(document.as_bytes()).unwrap().digest();
    let expected = Accounting { deposits, fee_per_byte: 7, rollup_share_percent: 40 };
    assert_eq!(office.definition().proposal().accounting, Some(expected));
    let refused = office.propose_charging(&rollups, Some(0)).unwrap_err().to_string();
    assert!(refused.contains("fee_per_byte is 0, it must be 1 to"), "{refused}");
    std::fs::write(office.path("deposits.json"), "{\"0x11\":\"5\"}").unwrap();
    let refused = office.propose_charging(&rollups, Some(7)).unwrap_err().to_string();
    assert!(refused.contains("is not 0x and 40 hex digits"), "{refused}");
}

#[test]
fn members_make_propose_and_approve_a_definition() {
    let office = Office::new();
    for (place, name) in (0..).zip(["a", "b", "c", "d", "e"]) {
        assert_eq!(office.identity(name, 4_000 + 10 * place).unwrap(), exit::OK);
    }
    assert_eq!(mode(&office.path("a/keystore.json")), 0o600);
    assert_eq!(mode(&office.path("a/member.json")), 0o644);
    office.propose(&["alpha:901", "beta:902"]).unwrap();
    let definition = office.definition();
    assert_eq!((definition.n(), definition.threshold()), (5, 4));
    let digest = definition.digest().to_string();
    let approvals = ["a", "b", "c", "d", "e"].map(|name| {
        assert_eq!(office.approve(name, &digest).unwrap(), exit::OK);
        let path = office.path(&format!("{name}.approval.json"));
        serde_json::from_slice::<Approval>(&std::fs::read(path).unwrap()).unwrap()
    });
    fairveil_keygen::ApprovedDefinition::new(definition, approvals).unwrap();
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_signed() {
    let office = Office::new();
    for (place, name) in (0..).zip(["a", "b", "c", "d", "e", "stranger"]) {
        office.identity(name, 4_000 + 10 * place).unwrap();
    }
    let again = office.identity("a", 5_000).unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
    let wrong = office.propose(&["alpha"]).unwrap_err();
    assert!(wrong.to_string().contains("NAME:CHAIN_ID"), "{wrong}");
    office.propose(&["alpha:901"]).unwrap();
    let digest = office.definition().digest().to_string();

    let short = office.approve("a", &digest[..14]).unwrap_err();
    assert!(short.to_string().contains("whole digest") && short.exit() == exit::USAGE, "{short}");
    let other = format!("0x{}", "11".repeat(32));
    let other = office.approve("a", &other).unwrap_err();
    assert!(other.to_string().contains("nothing was signed"), "{other}");
    assert_eq!(other.exit(), exit::CHECK);
    assert!(!office.path("a.approval.json").exists());
    let stranger = office.approve("stranger", &digest).unwrap_err();
    assert!(stranger.to_string().contains("is no member's"), "{stranger}");

    let keystore = office.path("b/keystore.json");
    std::fs::set_permissions(&keystore, std::fs::Permissions::from_mode(0o640)).unwrap();
    let readable = office.approve("b", &digest).unwrap_err();
    assert!(readable.to_string().contains("chmod 600"), "{readable}");
    std::fs::write(office.path("password"), "wrong\n").unwrap();
    let passphrase = office.approve("c", &digest).unwrap_err();
    assert!(passphrase.to_string().contains("wrong passphrase"), "{passphrase}");
}

#[test]
fn a_transcript_that_is_none_is_refused() {
    let office = Office::new();
    std::fs::write(office.path("transcript.json"), "{}").unwrap();
    let args = cli::Keygen::Verify { transcript: office.path("transcript.json"), network: None };
    let error = run(&args, true).unwrap_err();
    assert_eq!(error.exit(), exit::CHECK);
    assert!(error.to_string().contains("not a transcript"), "{error}");
}
