//! The examples, from their READMEs: every command, its exit code, what dry runs print, and what the
//! rollups hold at the end.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::markdown::{Block, blocks};
use crate::network::{Desk, Dev, fairveil, root, wait_for};

const TOKEN: &str = "0xC000000000000000000000000000000000000001";
const STRATEGY: &str = "0xC000000000000000000000000000000000000003";
const BALLOT: &str = "0xC000000000000000000000000000000000000004";
const DOLLARS: &str = "0xC000000000000000000000000000000000000005";
const ALICE: &str = "0xbc40fbf4394cd00f78fae9763b0c2c71b21ea442c42fdadc5b720537240ebac1";

/// What a storage slot holds after an example.
type Held = (u64, &'static str, &'static str, u128);

/// A script that runs all blocks in one shell. A line says which exit code it expects; the output of
/// a block that a block of text follows is compared with it.
fn script(blocks: &[Block], desk: &Desk) -> String {
    let mut script = String::from("set -u\n");
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "sh") {
        let text = blocks.get(number + 1).filter(|next| next.kind == "text");
        let printed = desk.text(&format!("printed-{number}"));
        for line in &block.lines {
            let (command, code) = line.split_once("  # exit code ").unwrap_or((line, "0"));
            let command = match (text, command.starts_with("export ")) {
                (_, true) => command.to_owned(),
                (Some(_), false) => format!("{command} > {printed}"),
                (None, false) => format!("{command} > {}", desk.text("ignored")),
            };
            let shown = line.replace('\'', " ");
            script += &format!(
                "{command}\ncode=$?\n[ $code -eq {code} ] || \
                 {{ echo '{shown}:' exit code $code, expected {code} >&2; exit 1; }}\n"
            );
        }
        if let Some(text) = text {
            let expected = desk.text(&format!("expected-{number}"));
            std::fs::write(&expected, text.lines.join("\n") + "\n").unwrap();
            script += &format!("diff {expected} {printed} >&2 || exit 1\n");
        }
    }
    script
}

fn run(example: &str, held: &[Held]) {
    let readme = root().join("examples").join(example).join("README.md");
    let blocks = blocks(&std::fs::read_to_string(&readme).unwrap());
    let network = blocks.iter().find(|block| block.kind == "sh network").unwrap();
    let arguments = network.lines[0].strip_prefix("fairveil dev ").unwrap();
    let dev = Dev::start_with(&arguments.split(' ').collect::<Vec<_>>());
    let desk = Desk::new();
    let path = std::env::var("PATH").unwrap_or_default();
    let binary = Path::new(fairveil().get_program()).parent().unwrap().to_owned();
    let mut command = Command::new("sh");
    command.arg("-c").arg(script(&blocks, &desk)).current_dir(root());
    command.env("PATH", format!("{}:{path}", binary.display())).envs(dev.environment());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", readme.display());
    for (chain_id, address, slot, expected) in held {
        let chain = chain_id.to_string();
        let arguments = ["--json", "rollup", "account", "--chain", &chain, address, "--slot", slot];
        let account = wait_for("five sequencers that say the same", || {
            let account: Value = serde_json::from_str(&dev.done(&arguments)).unwrap();
            (account["agree"] == 5).then_some(account)
        });
        let found = account["slots"][0].as_str().unwrap();
        assert_eq!(found, format!("0x{expected:064x}"), "{address} on {chain_id}, slot {slot}");
        assert_eq!(account["asked"], 5);
    }
}

#[test]
fn burn_and_mint_runs_from_its_readme() {
    run(
        "burn-and-mint",
        &[
            (901, TOKEN, "0", 4_600_000_000),
            (902, TOKEN, "0", 2_400_000_000),
            (902, TOKEN, ALICE, 400_000_000),
        ],
    );
}

#[test]
fn vault_runs_from_its_readme() {
    const ETHER: u128 = 1_000_000_000_000_000_000;
    run(
        "vault",
        &[
            (901, STRATEGY, "1", 15 * ETHER),
            (902, STRATEGY, "1", 8 * ETHER),
            (903, STRATEGY, "1", 6 * ETHER),
        ],
    );
}

#[test]
fn vote_runs_from_its_readme() {
    run(
        "vote",
        &[
            (901, BALLOT, "0", 40),
            (901, BALLOT, "1", 15),
            (902, BALLOT, "0", 25),
            (902, BALLOT, "1", 30),
            (903, BALLOT, "0", 10),
            (903, BALLOT, "1", 12),
        ],
    );
}

#[test]
fn arbitrage_runs_from_its_readme() {
    run(
        "arbitrage",
        &[(901, DOLLARS, ALICE, 9_737_191_372), (902, DOLLARS, ALICE, 50_404_656_216)],
    );
}
