//! `docs/scenarios.md`: every scenario with the figures of its first seed, and some pictures.

use std::fmt::Write as _;

use fairveil_simulation::scenario::metrics::FIGURES;
use fairveil_simulation::scenario::{Outcome, Scenario, Whose, plot};

/// Scenarios whose picture stands on the page.
const DRAWN: [&str; 4] = ["jitter-20", "reverser", "condorcet-100", "racer"];

const INTRODUCTION: &str = "\
# Scenarios

Whole runs of real sequencers on a simulated network, each described by a file, measured by M1 to M8, and
judged by the oracle of [testing.md](testing.md). A test judges every file with seed 1 and compares this page with
what came out (`FAIRVEIL_WRITE_DOCS=1` writes it); `FAIRVEIL_SEEDS` takes more seeds:

```sh
fairveil simulate committee --scenario tests/scenarios/racer.json --seed 1 --svg racer.svg
cargo test --release -p fairveil-simulation --test scenarios       # FAIRVEIL_SEEDS=20 for seeds 1 to 20
```

The format of the files stands at the top of `simulation/src/scenario/file.rs`; what a file expects is checked by the
command, whose exit code is then 1, and by the test. Same file and seed, same bytes.

An attacked scenario runs twice: as it is written, and with the same seed and nobody cheating, measured by the logs
of the same sequencers. The evidence of
the run, block by block, also goes through the other modes: what they would have made of it.

";

const READING: &str = "\
**Reading the table.** All of it is of the run's order, which the mode of the file makes (`themis` in
`themis-jitter-20`, `strict` in all others), but for the largest cohorts and what is said of a run with nobody
cheating. *M1*: premise pairs inverted across cohorts in one proposal, ripe, otherwise; neighbours without g+1
honest logs (all but the third must be 0 in modes `strict` and `themis`). *Largest cohort*: of `strict` and of `themis`, over the
evidence of the run. *Reversed*: pairs out against the majority of honest logs, in the run and with nobody cheating
(M4), by the same logs: those of the sequencers that are honest in both. *First*: how often an attacker's bundle is out before its victim, and an honest client's from the same place
(M5). *Wait*: p99 from the first honest receipt to final, and the most heights from known to all to final (M6; the
bound is 66 and more while the intake is open, which in `stalled-openings` it is not). *Trapped*: honest ids in the largest cohort with an attacker's (M7). *Bytes*: of evidence per
id (M8).

";

/// Compares the page and its pictures with what came out, or writes them.
pub(crate) fn compare<'a>(runs: impl Iterator<Item = (&'a (&'a Scenario, u64), &'a Outcome)>) {
    let runs: Vec<(&Scenario, &Outcome)> =
        runs.map(|((one, _), outcome)| (*one, outcome)).collect();
    same("scenarios.md", &page(&runs));
    for (scenario, outcome) in &runs {
        if DRAWN.contains(&scenario.name.as_str()) {
            let file = format!("scenarios/{}.svg", scenario.name);
            same(&file, &plot::svg(scenario, outcome));
        }
    }
}

fn same(file: &str, made: &str) {
    let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("FAIRVEIL_WRITE_DOCS").is_some() {
        let folder = std::path::Path::new(&path).parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test writes the page on request")]
        std::fs::write(&path, made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "docs/{file} differs: run with FAIRVEIL_WRITE_DOCS=1");
}

fn page(runs: &[(&Scenario, &Outcome)]) -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str(
        "| scenario | what happens | ids | M1 | largest cohort | reversed | first | wait | trapped \
         | bytes |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (scenario, outcome) in runs {
        row(&mut page, scenario, outcome);
    }
    page.push('\n');
    page.push_str(READING);
    for (scenario, outcome) in runs {
        let name = &scenario.name;
        if DRAWN.contains(&name.as_str()) {
            // Writing to a String can't fail.
            let _ = writeln!(page, "![{}: {}](scenarios/{name}.svg)\n", name, scenario.about);
            debug_assert_eq!(outcome.seed, 1);
        }
    }
    page.push_str(
        "## Figures\n\nShares are in parts per million (`_ppm`), means in thousandths (`_milli`); all are \
         integers. `honest.`, `strict.`, `themis.`, `median.` or `leader.` in front of a name is the same of the \
         other order; `added.` is what an attack adds: the figure less that of the same seed with nobody \
         cheating.\n\n| metric | figure | |\n|---|---|---|\n",
    );
    for figure in FIGURES {
        let _ = writeln!(page, "| {} | `{}` | {} |", figure.metric, figure.name, figure.about);
    }
    page
}

/// The largest cohort of a mode's order: the run's, if that is the run's mode.
fn largest(scenario: &Scenario, outcome: &Outcome, whose: Whose) -> i64 {
    let whose = if scenario.mode().name() == whose.name() { Whose::Run } else { whose };
    outcome.figure(whose, "cohort_max").unwrap()
}

fn row(page: &mut String, scenario: &Scenario, outcome: &Outcome) {
    let of = |whose, name| outcome.figure(whose, name);
    let run = |name| of(Whose::Run, name).unwrap_or(0);
    let percent = |value: Option<i64>| match value {
        Some(value) => format!("{}.{} %", value / 10_000, value % 10_000 / 1_000),
        None => "-".to_owned(),
    };
    let pair =
        |name| format!("{} / {}", percent(of(Whose::Run, name)), percent(of(Whose::Honest, name)));
    let raced = if run("races") > 0 { pair("first_ppm") } else { "-".to_owned() };
    let _ = writeln!(
        page,
        "| [{name}](../tests/scenarios/{name}.json) | {about} | {ids} | {same}, {ripe}, {other}; {alone} | \
         {strict} / {themis} | {reversed} | {raced} | {ms} ms, {heights} | {trapped} | {bytes} |",
        name = scenario.name,
        about = scenario.about,
        ids = run("ordered"),
        same = run("same_proposal_inversions"),
        ripe = run("ripe_inversions"),
        other = run("other_inversions"),
        alone = run("unsupported_neighbours"),
        strict = largest(scenario, outcome, Whose::Strict),
        themis = largest(scenario, outcome, Whose::Themis),
        reversed = pair("reversed_ppm"),
        ms = run("latency_p99_ms"),
        heights = run("known_heights_max"),
        trapped = run("trapped"),
        bytes = run("bytes_per_id"),
    );
}
