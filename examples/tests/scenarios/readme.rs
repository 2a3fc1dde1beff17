//! The commands *On your machine* of every README, and what the README says that they print.
//!
//! `bundle build` and `bundle dry-run` are done here by the simulator; the program's own sentences
//! are written out once more, so that this package need not link the program.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use fairveil_examples::accounts::ALICE;
use fairveil_examples::contract::Contract;
use fairveil_execution::bundle::{Bundle, Policy};
use fairveil_execution::outcome::{Dropped, Outcome};

use crate::joint::{World, bundle_of, path, read};

const SCENARIOS: [&str; 4] = ["burn-and-mint", "vault", "vote", "arbitrage"];

/// A fenced block: what stands behind the fence, and its lines.
struct Block {
    kind: String,
    lines: Vec<String>,
}

/// A command: its words without `fairveil`, and the exit code that the README expects.
struct Command {
    words: Vec<String>,
    exit_code: u8,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), is_inside) {
            (Some(kind), false) => blocks.push(Block { kind: kind.to_owned(), lines: vec![] }),
            (Some(_), true) => {}
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            (None, false) => continue,
        }
        is_inside ^= line.starts_with("```");
    }
    assert!(!is_inside, "a block without an end");
    blocks
}

impl Command {
    /// None for a line that is not a command of the program.
    fn read(line: &str) -> Option<Self> {
        let (line, exit_code) = match line.split_once("  # exit code ") {
            Some((line, code)) => (line, code.parse().unwrap()),
            None => (line, 0),
        };
        let words = line.strip_prefix("fairveil ")?.split(' ').map(str::to_owned);
        Some(Self { words: words.collect(), exit_code })
    }

    fn is(&self, name: [&str; 2]) -> bool {
        self.words[..2] == name
    }

    fn values(&self, flag: &str) -> Vec<&str> {
        let pairs = self.words.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1].as_str()).collect()
    }

    fn value(&self, flag: &str) -> &str {
        let values = self.values(flag);
        assert_eq!(values.len(), 1, "{flag} in {:?}", self.words);
        values[0]
    }

    /// `CHAIN_ID:FILE`, the files below `examples`.
    fn files(&self, flag: &str) -> Vec<(u64, String)> {
        let file = |value: &&str| {
            let (chain_id, file) = value.split_once(':').unwrap();
            (chain_id.parse().unwrap(), file.strip_prefix("examples/").unwrap().to_owned())
        };
        self.values(flag).iter().map(file).collect()
    }

    fn bundle(&self) -> Bundle {
        let policy = match self.value("--policy") {
            "include" => Policy::Include,
            "execute" => Policy::Execute,
            other => panic!("policy {other}"),
        };
        bundle_of(policy, &self.files("--transactions"))
    }

    /// What the dry run of a bundle prints, and its exit code.
    fn dry_run(&self, bundle: &Bundle) -> (Vec<String>, u8) {
        let world = World::of_files(&self.files("--state")).without_base_fee();
        let after = world.slot(std::slice::from_ref(bundle));
        if let Outcome::Dropped(dropped) = &after.outcomes[0] {
            let Dropped::Failed { leg, .. } = dropped else { panic!("{dropped}") };
            let chain_id = bundle.legs()[usize::from(*leg)].chain_id;
            let first = format!("it would be dropped on all of its rollups: {dropped}");
            return (vec![first, format!("  that leg is for chain {chain_id}")], 1);
        }
        let mut lines = vec!["it would be released, all of its legs".to_owned()];
        for (chain_id, receipts) in after.receipts(0) {
            for (at, receipt) in receipts.iter().enumerate() {
                let end = receipt.fault.as_ref().map_or("ok".to_owned(), ToString::to_string);
                let (gas, logs) = (receipt.gas_used, receipt.logs);
                lines.push(format!(
                    "  chain {chain_id} transaction {at}: {end}, {gas} gas, {logs} logs"
                ));
            }
        }
        (lines, 0)
    }
}

#[test]
fn every_dry_run_prints_what_its_readme_says() {
    for scenario in SCENARIOS {
        let blocks = blocks(&read(&format!("{scenario}/README.md")));
        let mut bundles = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "sh") {
            for command in block.lines.iter().filter_map(|line| Command::read(line)) {
                if command.is(["bundle", "build"]) {
                    bundles.insert(command.value("--out").to_owned(), command.bundle());
                } else if command.is(["bundle", "dry-run"]) {
                    let printed = command.dry_run(&bundles[command.value("--bundle")]);
                    let expected = &blocks[at + 1];
                    assert_eq!(expected.kind, "text");
                    assert_eq!(printed, (expected.lines.clone(), command.exit_code), "{scenario}");
                    seen.insert(command.exit_code);
                }
            }
        }
        assert_eq!(seen, BTreeSet::from([0, 1]), "{scenario}: one is released, one is dropped");
    }
}

#[test]
fn every_bundle_of_a_network_was_built_and_its_files_exist() {
    for scenario in SCENARIOS {
        let readme = read(&format!("{scenario}/README.md"));
        let (mut made, mut has_dev) = (BTreeSet::new(), false);
        for block in blocks(&readme).iter().filter(|block| block.kind.starts_with("sh")) {
            for line in &block.lines {
                let Some(command) = Command::read(line) else {
                    assert!(line.starts_with("export FAIRVEIL_"), "{line}");
                    continue;
                };
                if command.words[0] == "dev" {
                    assert_eq!(block.kind, "sh network");
                    has_dev = true;
                }
                let flags = ["--transactions", "--state", "--genesis"];
                for (_, file) in flags.iter().flat_map(|flag| command.files(flag)) {
                    assert!(path(&file).is_file(), "{file}");
                }
                let files = command.words.iter().filter(|word| word.starts_with("$FAIRVEIL_EX"));
                let out = command.values("--out");
                for file in files.filter(|file| !out.contains(&file.as_str())) {
                    assert!(made.contains(file) || file.ends_with("payer.key"), "{line}");
                }
                made.extend(out.into_iter().map(str::to_owned));
            }
        }
        assert!(has_dev, "{scenario}");
    }
}

#[test]
fn the_readmes_name_the_slot_of_alices_balance() {
    let slot = Contract::token().unwrap().entry("balanceOf", ALICE.address).unwrap();
    for scenario in SCENARIOS {
        let mut long = BTreeSet::new();
        for block in blocks(&read(&format!("{scenario}/README.md"))) {
            let commands = block.lines.iter().filter_map(|line| Command::read(line));
            for command in commands.filter(|command| command.is(["rollup", "account"])) {
                let slots = command.values("--slot").into_iter();
                long.extend(slots.filter(|slot| slot.len() > 4).map(str::to_owned));
            }
        }
        let has_tokens = matches!(scenario, "burn-and-mint" | "arbitrage");
        let expected = has_tokens.then(|| format!("{slot:#066x}"));
        assert_eq!(long, expected.into_iter().collect(), "{scenario}");
    }
    assert!(slot > U256::from(4));
}
