//! The oracle sees what is wrong: a good run, shown to it with one thing changed.

use fairveil_simulation::committee::{TAMPERS, violations};

#[test]
fn nothing_is_wrong_with_the_run_itself() {
    assert_eq!(violations(None), Vec::<String>::new());
}

#[test]
fn every_change_is_seen_for_what_it_is() {
    for tamper in TAMPERS {
        let violations = violations(Some(tamper));
        let seen = violations.iter().any(|violation| violation.contains(tamper.says));
        assert!(seen, "{}: {:?} is not in {violations:?}", tamper.name, tamper.says);
    }
}

#[test]
fn every_rule_that_a_change_can_break_has_one() {
    // Rule 11 compares two runs, which the suites do themselves.
    for rule in (1..=10).chain(12..=18) {
        let prefix = format!("rule_{rule}_");
        assert!(TAMPERS.iter().any(|tamper| tamper.name.starts_with(&prefix)), "rule {rule}");
    }
}
