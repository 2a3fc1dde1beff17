//! `report.md`.

use super::{Report, table};
use crate::sweep::Instrument;

/// The page, with pictures of these names.
pub(super) fn page(report: &Report, plots: &[&str]) -> String {
    let mut page = format!("# fairveil bench {}\n\n", report.instrument);
    for warning in table::warnings(report) {
        page += &format!("**{warning}**\n\n");
    }
    page +=
        &format!("{}\n\n{}\n", table::legend(report.instrument), table::totals(report).markdown());
    for plot in plots {
        page += &format!("![{plot}]({plot})\n\n");
    }
    let mut part = |title: &str, table: &table::Table| {
        if !table.is_empty() {
            page += &format!("## {title}\n\n{}\n", table.markdown());
        }
    };
    part("Budgets", &table::budgets(report));
    part("What we lose", &table::lost(report));
    part("Stages, cpu ms per ciphertext", &table::stages(report));
    page += &method(report);
    page += &environment(report);
    page
}

fn method(report: &Report) -> String {
    let samples: Vec<usize> = report.rows.iter().map(|row| row.samples).collect();
    let samples = samples.first().copied().unwrap_or(0);
    let capped: Vec<String> = report
        .rows
        .iter()
        .filter_map(|row| {
            let other = row.way(crate::measure::Way::ThresholdCrypto)?.ciphertexts;
            let case = &row.case;
            (other < case.batch).then(|| format!("{other} of {} at {case}", case.batch))
        })
        .collect();
    let mut text = format!(
        "## How it was measured\n\n\
         Both sides hold the same number of plaintext bytes for the same committee, and run in one \
         process with the same options and threads. One run of a row warms up; {samples} samples \
         follow, in each of which both sides run one after the other and must open what was sealed. \
         A ratio is taken within a sample.\n"
    );
    if report.instrument == Instrument::Decrypt {
        text += "\nBad shares are signed, have wrong points, and come first: ours combines, fails, \
                 verifies every share, and names who lied; threshold_crypto checks every share \
                 anyway. Not in any time: the payer's signature and the certificate of the order, \
                 which the other side has none of.\n";
    }
    if !capped.is_empty() {
        text += &format!(
            "\nThe cost of threshold_crypto is linear in the ciphertexts, so it handled a part of \
             each batch in a sample: {}.\n",
            capped.join("; ")
        );
    }
    text
}

fn environment(report: &Report) -> String {
    let environment = &report.environment;
    let load = |load: &[f64]| {
        let load: Vec<String> = load.iter().map(f64::to_string).collect();
        load.join(" ")
    };
    let crates: Vec<String> =
        environment.crates.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut table = table::Table::new(&["environment", ""]);
    for (name, value) in [
        ("processor", environment.cpu.clone()),
        ("cores", environment.cores.to_string()),
        ("features", environment.cpu_flags.join(" ")),
        ("system", environment.system.clone()),
        ("build", environment.build.clone()),
        ("commit", environment.commit.clone()),
        ("crates", crates.join(", ")),
        ("seed", environment.seed.to_string()),
        ("load average before", load(&environment.load_before)),
        ("load average after", load(&environment.load_after)),
    ] {
        table.push(vec![name.to_owned(), value]);
    }
    format!("\n## Environment\n\n{}", table.markdown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{report, row};

    #[test]
    fn the_page_says_how_much_of_a_batch_the_baseline_handled() {
        let page = page(&report(vec![row(4, 128, 1, 0.6, 20.0)]), &["cost.svg"]);
        assert!(page.contains("8 of 128 at n=4 batch=128"), "{page}");
        assert!(page.contains("![cost.svg](cost.svg)"));
        assert!(page.contains("## Budgets"));
        assert!(page.contains("| seed | 1 |"));
    }
}
