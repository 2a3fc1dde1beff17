//! docs/fairness.md names tests; each of them is one.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/fairness.md");
/// Where the tests stand that it names.
const SOURCES: [&str; 13] = [
    include_str!("bounds.rs"),
    include_str!("counterexamples.rs"),
    include_str!("epochs.rs"),
    include_str!("lemmas.rs"),
    include_str!("liveness.rs"),
    include_str!("mutants.rs"),
    include_str!("random.rs"),
    include_str!("signed.rs"),
    include_str!("soft_cap.rs"),
    include_str!("../committee.rs"),
    include_str!("../linearize.rs"),
    concat!(
        include_str!("../graph/tests.rs"),
        include_str!("../kernel.rs"),
        include_str!("../packed/tests.rs")
    ),
    include_str!("../../../sequencer/src/logs/tests.rs"),
];

/// Words in backticks that read like the name of a test.
fn named() -> BTreeSet<&'static str> {
    let words = PAGE.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| {
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        word.bytes().all(small) && word.matches('_').count() >= 2
    };
    words.filter(is_name).collect()
}

#[test]
fn every_test_that_the_page_names_is_one() {
    let tests: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("#[test]").skip(1))
        .filter_map(|after| after.split("fn ").nth(1)?.split('(').next())
        .collect();
    let named = named();
    let missing: Vec<&&str> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let proved = tests.iter().filter(|name| {
        ["lemma_", "theorem_", "mutant_", "ce"].iter().any(|kind| name.starts_with(kind))
    });
    let unnamed: Vec<&&str> = proved.filter(|name| !named.contains(*name)).collect();
    assert!(unnamed.is_empty(), "the page lacks {unnamed:?}");
    assert!(named.len() > 40, "{}", named.len());
}
