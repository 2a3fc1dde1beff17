//! Rollups are paused, resumed, join and leave while the network runs.

use std::path::PathBuf;

use fairveil_client::PinnedNetwork;
use fairveil_release::document::{BatchDocument, Cursor, accept_batch};
use serde_json::Value;

use crate::network::{Desk, Dev, wait_for};
use crate::trader::seal;

/// Heights from a proposal to the height at which it holds: more than the notice, for approving
/// takes time.
const AHEAD: u64 = 30;

/// The operators of a network, with all of their keystores.
struct Operators<'a> {
    dev: &'a Dev,
    desk: Desk,
}

impl<'a> Operators<'a> {
    fn new(dev: &'a Dev) -> Self {
        Self { dev, desk: Desk::new() }
    }

    fn list(&self) -> Value {
        serde_json::from_str(&self.dev.done(&["rollup", "list", "--json"])).unwrap()
    }

    /// Proposes a change; its number and height.
    fn propose(&self, action: &[&str]) -> (u64, u64) {
        let list = self.list();
        let number = list["next_change"].as_u64().unwrap();
        let at = list["height"].as_u64().unwrap() + AHEAD;
        let (file, number_text, at_text) =
            (self.change(number), number.to_string(), at.to_string());
        let rest = ["--number", &number_text, "--at", &at_text, "--out", &file];
        let said = self.dev.done(&[&["rollup", "propose"][..], action, &rest].concat());
        assert!(said.contains(&format!("from height {at}")), "{said}");
        (number, at)
    }

    fn change(&self, number: u64) -> String {
        self.desk.text(&format!("change-{number}.json"))
    }

    /// The digest of a proposed change, as its file gives it.
    fn digest(&self, number: u64) -> String {
        let bytes = std::fs::read(self.change(number)).unwrap();
        let change: fairveil_release::change::RegistryChange =
            serde_json::from_slice(&bytes).unwrap();
        change.digest().to_string()
    }

    /// The approval of a member.
    fn approve(&self, number: u64, member: &str) -> String {
        let out = self.desk.text(&format!("{number}-{member}.json"));
        let folder: PathBuf = self.dev.folder().join(member);
        let (keystore, pass) = (folder.join("keystore.json"), self.dev.folder().join("passphrase"));
        let (change, digest) = (self.change(number), self.digest(number));
        let (keystore, pass) = (keystore.to_str().unwrap(), pass.to_str().unwrap());
        let said = self.dev.done(&[
            "rollup",
            "approve",
            "--change",
            &change,
            "--digest",
            &digest,
            "--keystore",
            keystore,
            "--password-file",
            pass,
            "--out",
            &out,
        ]);
        assert!(said.contains("approved by"), "{said}");
        out
    }

    fn submit(&self, number: u64, approvals: &[String]) -> (i32, String) {
        let change = self.change(number);
        let mut args = vec!["rollup", "submit", "--change", &change];
        approvals.iter().for_each(|approval| args.extend(["--approval", approval]));
        let output = self.dev.trader(&args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// Has a change made by four of five; the height from which it holds, once that is final.
    fn make(&self, action: &[&str]) -> u64 {
        let (number, at) = self.propose(action);
        let members = self.dev.sequencers();
        let approvals: Vec<_> =
            members[1..].iter().map(|member| self.approve(number, &member.name)).collect();
        let (code, said) = self.submit(number, &approvals);
        assert_eq!(code, 0, "{said}");
        wait_for("the height of a change", || (self.list()["height"].as_u64()? > at).then_some(()));
        at
    }

    fn rollup(&self, chain_id: u64) -> Option<Value> {
        let list = self.list();
        let rollups = list["rollups"].as_array().unwrap().iter();
        rollups.into_iter().find(|rollup| rollup["chain_id"] == chain_id).cloned()
    }
}

/// What becomes of a bundle with legs on chains 901 and 902.
fn outcome(dev: &Dev) -> (i32, String) {
    let desk = Desk::new();
    seal(dev, &desk, "60s");
    let sealed = desk.text("sealed.json");
    dev.done(&["bundle", "submit", &sealed]);
    let output = dev.trader(&["bundle", "wait", &sealed]);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Takes all certified batches of a chain from a height on, as its rollup does.
fn accepted(dev: &Dev, chain_id: u64, from: u64) -> Vec<BatchDocument> {
    let [(_, transcript), (_, network), _] = dev.environment();
    let id = network.parse().unwrap();
    let pinned = PinnedNetwork::from_transcript(&std::fs::read(transcript).unwrap(), &id).unwrap();
    let sequencer = &dev.sequencers()[1];
    let (mut taken, mut next) = (Vec::new(), from);
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = dev.get(sequencer, &format!("/batches/{chain_id}?from={next}")).unwrap();
        let documents: Vec<BatchDocument> = serde_json::from_slice(&page).unwrap();
        if documents.is_empty() {
            return taken;
        }
        for document in documents {
            let before = cursor.unwrap_or_else(|| Cursor::before(document.first()));
            let accepted = accept_batch(&before, &id, pinned.committee(), chain_id, &document);
            let (_, after) = accepted.unwrap();
            next = after.next.get();
            cursor = Some(after);
            taken.push(document);
        }
    }
}

#[test]
fn rollups_are_paused_resumed_join_and_leave_without_stopping_the_others() {
    let mut dev = Dev::start();
    let operators = Operators::new(&dev);
    assert_eq!(operators.list()["agree"], 5);

    // Three of five are no quorum, and a digest that was not read out is refused.
    let (number, at) = operators.propose(&["pause", "--chain", "902"]);
    let members = dev.sequencers();
    let three: Vec<_> =
        members[..3].iter().map(|member| operators.approve(number, &member.name)).collect();
    let (code, said) = operators.submit(number, &three);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("3 approvals, the quorum is 4"), "{said}");
    let four = [three, vec![operators.approve(number, &members[4].name)]].concat();
    let (code, said) = operators.submit(number, &four);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("taken by 5 of 5"), "{said}");
    wait_for("the announcement", || {
        let list = operators.list();
        (list["next_change"] == number + 1).then_some(())
    });
    wait_for("the pause", || (operators.rollup(902)?["paused"] == true).then_some(()));
    wait_for("its height", || (operators.list()["height"].as_u64()? > at).then_some(()));
    let (code, said) = outcome(&dev);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("rollup_paused"), "{said}");

    // The same change again has a number that is used.
    let (code, said) = operators.submit(number, &four);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("with number 1, next is 2"), "{said}");

    operators.make(&["resume", "--chain", "902"]);
    let (code, said) = outcome(&dev);
    assert_eq!(code, 0, "{said}");

    let joined = operators.make(&["join", "--rollup", "delta:904"]);
    let left = operators.make(&["leave", "--chain", "903"]);
    assert!(operators.rollup(904).is_some() && operators.rollup(903).is_none());
    let (code, said) = outcome(&dev);
    assert_eq!(code, 0, "{said}");
    for chain_id in [901, 902] {
        let released = accepted(&dev, chain_id, 1);
        assert_eq!(released[0].release.height.get(), 1);
        assert!(released.last().unwrap().release.height.get() > left);
    }
    assert_eq!(accepted(&dev, 904, 1)[0].release.height.get(), joined);
    assert_eq!(accepted(&dev, 903, 1).last().unwrap().release.height.get(), left - 1);

    // A sequencer that is started again knows all of it.
    drop(operators);
    let first = dev.sequencers()[0].clone();
    dev.kill(&first);
    dev.restart(&first);
    let operators = Operators::new(&dev);
    wait_for("the restarted sequencer", || (operators.list()["agree"] == 5).then_some(()));
    let (code, said) = outcome(&dev);
    assert_eq!(code, 0, "{said}");
}
