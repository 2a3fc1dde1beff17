use std::collections::BTreeSet;
use std::path::Path;

use fairveil_examples::accounts;
use fairveil_examples::scenario::files;
use fairveil_execution::sender::{SetCode, SignedTransaction};

use crate::joint::path;

/// Writes the files instead of comparing them.
const WRITE: &str = "FAIRVEIL_WRITE_EXAMPLES";

#[test]
fn invariant_1_the_committed_files_are_what_the_code_makes() {
    let made = files().unwrap();
    if std::env::var(WRITE).is_ok_and(|value| value == "1") {
        for file in &made {
            let path = path(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "asked to write the examples")]
            std::fs::write(path, &file.text).unwrap();
        }
    }
    for file in &made {
        let committed = std::fs::read_to_string(path(&file.path)).unwrap_or_default();
        assert!(committed == file.text, "{} is outdated: run with {WRITE}=1", file.path);
    }
    let made: BTreeSet<_> = made.into_iter().map(|file| file.path).collect();
    assert_eq!(committed(), made, "no file without code that makes it");
}

/// The paths of all states and legs in the folders of the scenarios.
fn committed() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for scenario in ["burn-and-mint", "vault", "vote", "arbitrage"] {
        collect(&path(scenario), scenario, &mut found);
    }
    found
}

fn collect(folder: &Path, name: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &name, found);
        } else if !name.ends_with(".md") {
            found.insert(name);
        }
    }
}

#[test]
fn the_accounts_addresses_are_those_of_their_keys() {
    use fairveil_examples::leg::{Call, text, transactions};

    for account in accounts::ALL {
        let call = Call {
            from: account,
            nonce: 0,
            to: account.address,
            input: Default::default(),
            says: "nothing".to_owned(),
        };
        let leg = text(901, &[call]).unwrap();
        let raw = transactions(&leg).unwrap().remove(0);
        let signed = SignedTransaction { raw, chain_id: 901, set_code: SetCode::Refused };
        assert_eq!(signed.recover().unwrap().sender(), account.address, "{}", account.name);
    }
}

#[test]
fn a_leg_is_read_without_comments_and_wrong_lines_are_named() {
    use fairveil_examples::leg::transactions;
    use fairveil_examples::scenario::ExampleError;

    let read = transactions("# first\n0x02ab\n\n  0x01  \n").unwrap();
    assert_eq!(read, [vec![2, 0xab], vec![1]]);
    for wrong in ["02ab", "0x2", "0xzz", "hello"] {
        let text = format!("# one\n{wrong}\n");
        assert_eq!(transactions(&text), Err(ExampleError::Line { number: 2 }), "{wrong}");
    }
}
