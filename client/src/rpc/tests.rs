#![allow(clippy::unwrap_used)]

use fairveil_mempool::RejectionCode;
use fairveil_release::failed::{Failed, Fault, Invalid};

use super::*;

const PAGE: &str = include_str!("../../../docs/rpc.md");

/// The part of the page from a heading to the next one of its level or above.
fn section(heading: &str) -> &'static str {
    let begin = PAGE.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &PAGE[begin + heading.len()..];
    let level = heading.split(' ').next().unwrap();
    let end = rest.lines().scan(0, |at, line| {
        let here = *at;
        *at += line.len() + 1;
        Some((here, line))
    });
    let mut end = end.filter(|(_, line)| {
        let marks = line.split(' ').next().unwrap_or_default();
        marks.starts_with('#') && marks.len() <= level.len()
    });
    end.next().map_or(rest, |(at, _)| &rest[..at])
}

/// The first cells of the rows that begin with a cell of code.
fn rows(section: &'static str) -> Vec<&'static str> {
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

fn keys(value: impl Serialize) -> Vec<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

fn documented(section: &'static str, value: impl Serialize) {
    let rows = rows(section);
    for key in keys(value) {
        assert!(rows.contains(&key.as_str()), "field {key} is not in {rows:?}");
    }
}

#[test]
fn every_method_is_documented_and_no_other() {
    let mut found = Vec::new();
    for method in METHODS {
        let optional = method.optional.iter().map(|name| format!("{name}?"));
        let params: Vec<_> =
            method.params.iter().map(|name| (*name).to_owned()).chain(optional).collect();
        let heading = format!("### `{}({})`", method.name, params.join(", "));
        assert!(section(&heading).contains(method.help), "{heading} says something else");
        found.push(heading);
    }
    let headings: Vec<_> = PAGE.lines().filter(|line| line.starts_with("### `")).collect();
    assert_eq!(headings, found);
}

#[test]
fn every_field_is_documented() {
    let text = String::new;
    let member = MemberInfo { index: 1, name: text(), consensus_key: text(), connected: true };
    let rollup = RollupInfo {
        chain_id: 1,
        name: text(),
        block_time_ms: Some(1),
        simulated: true,
        paused: false,
    };
    let change = ChangeInfo { number: 1, at: 20, action: text(), chain_id: 1, name: Some(text()) };
    let committee = section("### `fairveil_committee()`");
    for key in keys(&member).into_iter().chain(keys(&rollup)).chain(keys(&change)) {
        assert!(committee.contains(&format!("`{key}`")), "{key}");
    }
    let info = CommitteeInfo {
        network_id: text(),
        epoch: 1,
        key_id: text(),
        committee_key: text(),
        n: 5,
        f: 1,
        g: 0,
        t: 4,
        index: 1,
        height: 1,
        time_ms: 1,
        block_interval_ms: 1,
        loaded_interval_ms: 1,
        members: vec![member],
        rollups: vec![rollup],
        changes: vec![change],
        next_change: 2,
    };
    assert_eq!(rows(committee), keys_in_order(&info, rows(committee)));
    let receipt = ReceiptInfo {
        id: text(),
        sequencer: 1,
        position: Some(1),
        height: 1,
        time_ms: 1,
        receipt: text(),
    };
    documented(section("### `fairveil_submit(sealed, addressed?)`"), receipt);
    let did = TransactionInfo { fault: Some(text()), gas_used: 1, logs: 1, contract: Some(text()) };
    let leg = LegInfo {
        chain_id: 1,
        batch_height: 1,
        block: 1,
        block_time_ms: 1,
        first: 0,
        receipts: vec![did],
    };
    let status = StatusInfo {
        id: text(),
        state: State::Released,
        code: Some(text()),
        policy: Some(text()),
        guarantee: Some(text()),
        place: Some(PlaceInfo { height: 1, position: 0, cohort: 0 }),
        opened_ms: Some(1),
        legs: vec![leg],
        height: 1,
    };
    documented(section("### `fairveil_status(id)`"), status);
    let account = AccountInfo {
        chain_id: 1,
        address: text(),
        nonce: 1,
        balance: text(),
        code_hash: text(),
        slots: vec![text()],
        released: 1,
    };
    documented(section("### `fairveil_account(chain_id, address, slots?)`"), account);
    let rollup = RollupRevenue { chain_id: 1, name: text(), revenue: text() };
    let sequencer = SequencerRevenue { index: 1, name: text(), revenue: text() };
    let revenue = section("### `fairveil_revenue()`");
    for key in keys(&rollup).into_iter().chain(keys(&sequencer)) {
        assert!(revenue.contains(&format!("`{key}`")), "{key}");
    }
    let info = RevenueInfo {
        height: 1,
        released: 1,
        deposits: text(),
        balances: text(),
        in_flight: text(),
        rollups: vec![rollup],
        sequencers: vec![sequencer],
    };
    documented(revenue, info);
    let fee = FeeInfo { class: 0, plaintext_bytes: 512, fee: text() };
    let balance = section("### `fairveil_balance(payer)`");
    for key in keys(&fee) {
        assert!(balance.contains(&format!("`{key}`")), "{key}");
    }
    documented(balance, BalanceInfo { payer: text(), balance: text(), height: 1, fees: vec![fee] });
    let verdict = ChangeVerdict { change: text(), state: text(), height: 1 };
    documented(section("### `fairveil_change_registry(change)`"), verdict);
    let begun = ReshareInfo { ceremony: text(), epoch: 2, round: 0, boundary: 100, height: 1 };
    documented(section("### `fairveil_reshare(resharing)`"), begun);
    let limit = LimitInfo { code: text(), what: text(), value: 1, unit: text() };
    documented(section("### `fairveil_limits()`"), limit);
    let rejected = Rejected { code: text(), actual: text(), limit: text(), cure: text() };
    documented(section("## Errors"), rejected);
}

/// Both lists have the same members.
fn keys_in_order<'a>(value: &impl Serialize, rows: Vec<&'a str>) -> Vec<&'a str> {
    let keys = keys(value);
    assert_eq!(keys.len(), rows.len());
    rows.into_iter().filter(|row| keys.iter().any(|key| key == row)).collect()
}

#[test]
fn every_state_is_documented_in_its_order() {
    use State as S;
    let all = [S::Unknown, S::Held, S::Logged, S::Ordered, S::Released, S::Failed, S::Expired];
    assert!(all.is_sorted());
    let words: Vec<_> = all.map(|state| serde_json::to_value(state).unwrap()).to_vec();
    let rows = rows(section("### `fairveil_status(id)`"));
    let from = rows.iter().position(|row| *row == "unknown").unwrap();
    assert_eq!(words, rows[from..]);
}

#[test]
fn every_error_and_code_is_documented() {
    let errors = section("## Errors");
    for number in [
        code::PARSE,
        code::REQUEST,
        code::METHOD,
        code::PARAMS,
        code::INTERNAL,
        code::REJECTED,
        code::UNKNOWN,
        code::NOT_RELEASED,
        code::NO_STATE,
        code::NO_ACCOUNTING,
        code::REFUSED,
    ] {
        assert!(errors.contains(&format!("| {number} | ")), "{number}");
    }
    let rejections: Vec<_> = RejectionCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(rows(section("### Rejection codes")), rejections);

    let failed = section("### Failed codes");
    let (leg, tx, rollup) = (0, 0, 1);
    let all = [
        Failed::Aead,
        Failed::Rho,
        Failed::Length,
        Failed::Padding,
        Failed::Encoding,
        Failed::Legs,
        Failed::NonceUsed,
        Failed::Unfunded,
        Failed::UnknownRollup { rollup },
        Failed::RollupPaused { rollup },
        Failed::LegInvalid { leg, tx, why: Invalid::Size },
        Failed::LegFailed { leg, tx, why: Fault::Reverted },
        Failed::StateUnavailable { rollup },
        Failed::Capacity { rollup },
    ];
    let numbered = failed.lines().filter(|line| line.starts_with("| ") && line.contains("| `"));
    assert_eq!(numbered.count(), all.len());
    for one in all {
        let row = format!("| {} | `{}` |", one.number(), one.code());
        assert!(failed.contains(&row), "{row}");
    }
    let listed = |codes: Vec<&str>| format!("`{}`", codes.join("`, `"));
    assert!(failed.contains(&listed(Invalid::ALL.map(Invalid::code).to_vec())));
    assert!(failed.contains(&listed(Fault::ALL.map(Fault::code).to_vec())));
}

#[test]
fn every_event_is_documented() {
    let text = String::new;
    let outcome = OutcomeInfo { id: text(), state: State::Failed, code: Some(text()) };
    let ordered = Event::Ordered { height: 1, time_ms: 1, cohorts: Vec::new() };
    let released = Event::Released { height: 1, root: text(), outcomes: Vec::new() };
    let events = section("### Events");
    for (event, more) in [(&ordered, Vec::new()), (&released, keys(&outcome))] {
        let value = serde_json::to_value(event).unwrap();
        let name = value["event"].as_str().unwrap();
        let row = events.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        for key in keys(event).into_iter().filter(|key| key != "event").chain(more) {
            assert!(row.contains(&format!("`{key}`")), "{name}: {key}");
        }
    }
}

#[test]
fn what_a_busy_sequencer_or_payer_rejects_may_be_admitted_later() {
    let is_temporary = |code: &&str| {
        let text = || "1".to_owned();
        let code = (*code).to_owned();
        Rejected { code, actual: text(), limit: text(), cure: text() }.is_temporary()
    };
    let codes = RejectionCode::ALL.iter().map(|code| code.as_str()).chain(["unknown"]);
    let temporary: Vec<&str> = codes.filter(is_temporary).collect();
    assert_eq!(temporary, ["syncing", "rate", "payer_limit", "pool_full"]);
}
