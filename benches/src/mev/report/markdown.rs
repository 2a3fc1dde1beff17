//! `report.md`, and the summary for the terminal.

use super::{ArmReport, Report};
use crate::mev::arm::{BLOCK_US, FINAL_US, OPEN_US, Strategy};
use crate::mev::flow::{PAYERS, PERIODS};
use crate::mev::network::{MS, SPEED_TENTHS};
use crate::mev::plan::{ARBITRAGE_FEE, SWAP_FEE};
use crate::mev::statistics::Estimate;
use crate::report::Table;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = "# fairveil bench mev\n\n".to_owned();
    if report.quick {
        page += "**Too few seeds to quote.**\n\n";
    }
    page += &format!("{}\n![extraction.svg](extraction.svg)\n", summary(report));
    let mut part = |title: &str, text: &str, table: &Table| {
        page += &format!("\n## {title}\n\n{text}\n\n{}", table.markdown());
    };
    part(
        "What the searcher earns",
        "Dollars a run, after the network's fees. *Before others* are sandwiches and copies, which \
         their targets pay; in the sealed arms a sandwich is a bet. Back-runs before release read in \
         plaintext, and are sent blindly in the sealed arms; mostly arbitrageurs pay them. Back-runs after release use public information, \
         as anybody's do; they stand in no sum.",
        &extraction(report),
    );
    part(
        "Each strategy alone",
        "The same with one strategy and no other: what one takes, another can't take again. In \
         brackets by how many dollars swaps were worse: earlier arbitrage lets swaps through that \
         would have failed, and takes from others a price that was better for them.",
        &alone(report),
    );
    part(
        "What the traders lose",
        "Against the same flow without a searcher, all five sequencers honest. *Worse* is over \
         swaps that were executed both times; negative is better.",
        &losses(report),
    );
    part(
        "Positions",
        "The race, in runs of their own: who hears of a swap sends one bundle that is to stand before it and one that is to stand \
         behind, whatever the swap is. *Honest* is the same client on the same links while the \
         fifth sequencer follows the rules. Sealing changes nothing here: it takes away what a \
         position is worth, not the position.",
        &positions(report),
    );
    part(
        "Sandwiches",
        "What the searcher tried of them; in the sealed arms they are bets. A front that comes late \
         fails by its limit and costs a fee.",
        &sandwiches(report),
    );
    part("What still leaks", "Measured in the arm that is sealed and strict.", &leaks(report));
    page += &limits();
    page += &setting(report);
    page
}

/// For the terminal.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    if report.quick {
        text += "Too few seeds to quote.\n\n";
    }
    let titled = |title: &str, table: &Table| format!("{title}\n\n{}\n", table.aligned());
    text += &titled("Dollars a run, 95 % intervals", &extraction(report));
    text += &titled("What the traders lose", &losses(report));
    text += &titled("Positions", &positions(report));
    text += &titled("What still leaks, sealed and strict", &leaks(report));
    text
}

fn summary(report: &Report) -> String {
    let (Some(worst), Some(best)) = (report.arms.first(), report.arms.last()) else {
        return String::new();
    };
    let back_runs = |arm: &ArmReport| {
        let found = arm.strategies.iter().find(|found| found.name == Strategy::BackRun.name());
        found.map(|found| spread(&found.value, 0)).unwrap_or_default()
    };
    format!(
        "By standing before other traders the searcher takes {} dollars a run in the arm *{}*, {} \
         basis points of what the swaps turn over, and {} in the arm *{}*, {} basis points: what is \
         left are bets on payers with habits. The difference, seed by seed, is {}.\n\n\
         Back-runs are another matter, and sealing does not end them. Before release they take {} \
         and {}: behind a bundle that he can't read he sends an arbitrage for each way that it may \
         go, and all but the one that fits are dropped for a fee. It is mostly arbitrageurs who \
         lose by it. With them the searcher takes {} and {}, which is {:.0} % of the former.\n\n\
         {} seeds from {} on; figures are means with 95 % intervals.\n",
        spread(&worst.front_running, 0),
        worst.name,
        spread(&worst.front_running_bps, 1),
        spread(&best.front_running, 0),
        best.name,
        spread(&best.front_running_bps, 1),
        spread(&report.front_running_difference, 0),
        back_runs(worst),
        back_runs(best),
        spread(&worst.before_release, 0),
        spread(&best.before_release, 0),
        100.0 * best.before_release.value / worst.before_release.value,
        report.seeds,
        report.first_seed,
    )
}

fn extraction(report: &Report) -> Table {
    let mut headers = vec!["arm"];
    let names: Vec<&str> = report
        .arms
        .first()
        .map(|arm| arm.strategies.iter().map(|found| found.name.as_str()).collect())
        .unwrap_or_default();
    let (last, before) = names.split_last().unwrap_or((&"", &[]));
    headers.extend(before);
    headers.extend(["before others, bps of volume", "all before release", last]);
    let mut table = Table::new(&headers);
    for arm in &report.arms {
        let mut cells = vec![arm.name.clone()];
        let before = arm.strategies.iter().take(before.len());
        cells.extend(before.map(|found| spread(&found.value, 1)));
        cells.push(spread(&arm.front_running_bps, 1));
        cells.push(spread(&arm.before_release, 1));
        cells.push(spread(&arm.after_release, 1));
        table.push(cells);
    }
    table
}

fn alone(report: &Report) -> Table {
    let mut headers = vec!["arm"];
    if let Some(arm) = report.arms.first() {
        headers.extend(arm.strategies.iter().map(|found| found.name.as_str()));
    }
    let mut table = Table::new(&headers);
    for alone in &report.alone {
        let figures = alone.values.iter().zip(&alone.slippages);
        let values =
            figures.map(|(value, worse)| format!("{} [{}]", spread(value, 1), spread(worse, 0)));
        table.push(std::iter::once(alone.arm.clone()).chain(values).collect());
    }
    table
}

fn losses(report: &Report) -> Table {
    let mut table = Table::new(&[
        "arm",
        "swaps worse, $",
        "worse, bps",
        "victims worse, bps",
        "victims a run",
        "failed by him",
        "failed anyway",
        "arbitrageurs lose, $",
    ]);
    for arm in &report.arms {
        let ArmReport { slippage, slippage_bps, victim_slippage_bps, victims, .. } = arm;
        table.push(vec![
            arm.name.clone(),
            spread(slippage, 1),
            spread(slippage_bps, 1),
            if victims.value > 0.0 { spread(victim_slippage_bps, 1) } else { "-".to_owned() },
            spread(victims, 1),
            spread(&arm.failed_by_searcher, 1),
            spread(&arm.failed_anyway, 1),
            spread(&arm.arbitrage_lost, 1),
        ]);
    }
    table
}

fn positions(report: &Report) -> Table {
    let mut table = Table::new(&[
        "mode",
        "before the swap",
        "honest",
        "gained by corruption",
        "around the swap",
        "honest",
    ]);
    for race in &report.races {
        table.push(vec![
            race.mode.name().to_owned(),
            percent(&race.ahead),
            percent(&race.ahead_honest),
            percent(&race.gain),
            percent(&race.around),
            percent(&race.around_honest),
        ]);
    }
    table
}

fn sandwiches(report: &Report) -> Table {
    let mut table = Table::new(&["arm", "tried a run", "front before the victim", "left a gain"]);
    for arm in &report.arms {
        table.push(vec![
            arm.name.clone(),
            spread(&arm.sandwiches, 1),
            percent(&arm.fronts_ahead),
            percent(&arm.sandwiches_won),
        ]);
    }
    table
}

fn leaks(report: &Report) -> Table {
    let leaks = &report.leaks;
    let mut table = Table::new(&["what is seen", "what it gave away"]);
    let guesses: Vec<String> = leaks
        .guessed
        .iter()
        .map(|guess| {
            let who = guess.habit.as_deref().unwrap_or("all payers");
            format!("{who} {:.0} %", guess.share.value * 100.0)
        })
        .collect();
    let by_habit: Vec<String> = leaks
        .bets_on
        .iter()
        .map(|on| {
            let (bets, value) = (spread(&on.bets, 1), spread(&on.value, 1));
            format!("; on {}: {bets} bets, {value} dollars", on.habit)
        })
        .collect();
    let mut row = |what: &str, gave: String| table.push(vec![what.to_owned(), gave]);
    row(
        "payer, nonce, network address",
        format!(
            "who trades, how often, from where. Pool and side of a sealed swap guessed right from its \
             payer's past (25 % by chance): {}",
            guesses.join(", ")
        ),
    );
    row(
        "payer: blind sandwiches",
        format!(
            "{} bets a run on payers' habits, which left {} dollars after fees{}",
            spread(&leaks.bets, 1),
            spread(&leaks.bets_value, 1),
            by_habit.concat()
        ),
    );
    row(
        "size class",
        format!(
            "{:.2} of {:.2} bits that say whether a bundle is a swap or an arbitrage",
            leaks.class_bits, leaks.kind_bits
        ),
    );
    row(
        "time of arrival",
        format!(
            "the searcher hears of a swap {} ms before the median sequencer has it",
            spread(&leaks.lead_ms, 1)
        ),
    );
    row(
        "time of arrival: blind back-runs",
        format!(
            "arbitrages sent behind a sealed bundle, one for each way that it may go, dropped but for \
             the one that fits: {} dollars a run",
            spread(&leaks.timing_value, 1)
        ),
    );
    row(
        "contents after release: back-runs",
        format!("{} dollars a run", spread(&leaks.after_release_value, 1)),
    );
    row(
        "contents of bundles that were dropped",
        "public too; here nobody sends again what was dropped, so it is not measured".to_owned(),
    );
    table
}

fn limits() -> String {
    "\n## What this does not say\n\n\
     - The flow is made up. How many traders are large, tolerant or creatures of habit decides \
       every figure; compare arms, not markets.\n\
     - One searcher, without rivals who would bid his gain away, and with capital for everything.\n\
     - The searcher plans swap by swap, and in a block of his own way by way; he keeps nobody \
       waiting for a better block. More planning may earn more in the plaintext arms.\n\
     - Traders do not defend themselves: no change of payer, no splitting, no tighter tolerance, no \
       padding to a larger class.\n\
     - A contract that reads its pool and trades it back to a price, in the place of limits, would \
       size blind back-runs better. What it could gain is bounded: he already takes most of what \
       arbitrageurs earn without him.\n\
     - Leaders take turns. One that always leads, as a single sequencer does, was not \
       measured.\n\
     - Fewer than t sequencers collude. t of them read everything, and the sealed arms are then the \
       plaintext ones.\n"
        .to_owned()
}

fn setting(report: &Report) -> String {
    let ms = |us: u64| us / MS;
    let mut table = Table::new(&["setting", ""]);
    let environment = &report.environment;
    for (name, value) in [
        ("swaps a run", format!("{} of {PAYERS} payers", PAYERS * PERIODS)),
        ("volume a run", format!("{} dollars", spread(&report.volume, 0))),
        ("pools", "2,000,000 dollars and 1,000 ounces each, 0.3 % fee".to_owned()),
        ("sequencers", "5, one of them the searcher's, leaders in turn".to_owned()),
        (
            "times",
            format!(
                "a block every {} ms, final after {} ms, opened after {} ms more",
                ms(BLOCK_US),
                ms(FINAL_US),
                ms(OPEN_US)
            ),
        ),
        (
            "the searcher's links",
            format!("{}.{} times as fast", SPEED_TENTHS / 10, SPEED_TENTHS % 10),
        ),
        (
            "fees",
            format!(
                "{:.2} dollars a swap, {:.2} an arbitrage, also when it is dropped",
                SWAP_FEE as f64 / super::DOLLAR,
                ARBITRAGE_FEE as f64 / super::DOLLAR
            ),
        ),
        ("build", environment.build.clone()),
        ("commit", environment.commit.clone()),
    ] {
        table.push(vec![name.to_owned(), value]);
    }
    format!("\n## Setting\n\n{}", table.markdown())
}

fn spread(estimate: &Estimate, digits: usize) -> String {
    let number = |value: f64| {
        let text = format!("{value:.digits$}");
        let is_zero = text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.'));
        if is_zero { text.trim_start_matches('-').to_owned() } else { text }
    };
    let Estimate { value, low, high } = *estimate;
    if low == high {
        return number(value);
    }
    format!("{} ({}..{})", number(value), number(low), number(high))
}

fn percent(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = *estimate;
    let hundred = Estimate { value: value * 100.0, low: low * 100.0, high: high * 100.0 };
    format!("{} %", spread(&hundred, 1))
}
