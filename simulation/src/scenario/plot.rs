//! An outcome as a picture: SVG, drawn from integers alone.
//!
//! | part | shows |
//! |---|---|
//! | top left | traders' bundles: rank in the order of sending against rank in the run's order |
//! | top right | reversals by distance (M4): how many honest sequencers received a pair the other way round, against how often it is reversed |
//! | bottom | a stripe per order, a cell per cohort: the run's, that where nobody cheats, and those of other modes; inside a cell nothing is promised |

use std::fmt::Write as _;

use super::expect::Whose;
use super::file::Scenario;
use super::run::Outcome;
use super::table::shown_value;

const WIDTH: usize = 880;
const PANEL: usize = 300;
const TOP: usize = 96;
const LEFT: usize = 96;
const RIGHT: usize = 520;
const STRIPES: usize = TOP + PANEL + 84;
const STRIPE: usize = 26;
const STRIPE_WIDTH: usize = WIDTH - LEFT - 72;
/// Characters of a line of prose, and lines.
const PROSE: (usize, usize) = (115, 2);
/// The most distances shown.
const MAX_DISTANCES: usize = 12;
/// A cohort from this size on is drawn in the colour of unprotected ids.
const CYCLE: usize = 3;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1d2733}\
.h{font-weight:600;font-size:18px}.s{fill:#5b6876}.t{font-weight:600;font-size:13px}\
.a{stroke:#c6ced6;fill:none}.d{stroke:#1f5fa8;stroke-width:3;stroke-linecap:round;fill:none}\
.r{fill:#c2410c}.n{fill:#1f5fa8}.l{fill:#dbe6f2}.m{fill:#9dbfe3}";

/// The picture.
#[must_use]
pub fn svg(scenario: &Scenario, outcome: &Outcome) -> String {
    let stripes = outcome.cohorts.len();
    let height = STRIPES + stripes * (STRIPE + 8) + 60;
    let mut page = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(
        page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <style>{STYLE}</style><rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>"
    );
    text(&mut page, 32, 36, "h", &format!("{}, seed {}", scenario.name, outcome.seed));
    for (line, words) in lines(&scenario.about).iter().enumerate() {
        text(&mut page, 32, 54 + 16 * line, "s", words);
    }
    ranks(outcome, &mut page);
    reversals(outcome, &mut page);
    cohorts(scenario, outcome, &mut page);
    page.push_str("</svg>\n");
    page
}

fn ranks(outcome: &Outcome, page: &mut String) {
    text(page, LEFT, TOP - 10, "t", "sent against ordered");
    frame(page, LEFT);
    let count = outcome.ranks.len().max(2) - 1;
    let mut path = String::new();
    for (sent, out) in &outcome.ranks {
        let (x, y) = (LEFT + sent * PANEL / count, TOP + PANEL - out * PANEL / count);
        let _ = write!(path, "M{x} {y}h0");
    }
    let _ = writeln!(page, "<path class=\"d\" d=\"{path}\"/>");
    text(page, LEFT, TOP + PANEL + 20, "s", "first sent");
    end(page, LEFT + PANEL, TOP + PANEL + 20, "last sent");
    end(page, LEFT - 8, TOP + PANEL, "first out");
    end(page, LEFT - 8, TOP + 12, "last out");
    let tau = outcome.figure(Whose::Run, "kendall_ppm").unwrap_or(0);
    let note = format!("Kendall distance {}", shown_value("_ppm", tau));
    text(page, LEFT, TOP + PANEL + 38, "s", &note);
}

fn reversals(outcome: &Outcome, page: &mut String) {
    text(page, RIGHT, TOP - 10, "t", "pairs reversed, by distance");
    frame(page, RIGHT);
    let shown: Vec<_> = [Whose::Honest, Whose::Run]
        .into_iter()
        .filter_map(|whose| Some((whose, outcome.orders.get(&whose)?)))
        .collect();
    let distances = shown.iter().flat_map(|(_, measured)| measured.by_distance.keys());
    let bins = distances.max().map_or(1, |most| most + 1).min(MAX_DISTANCES);
    let slot = PANEL / bins;
    let bar = (slot / 3).min(36);
    for distance in 0..bins {
        let x = RIGHT + distance * slot + slot / 2;
        middle(page, x, TOP + PANEL + 18, &distance.to_string());
        for (at, (whose, measured)) in shown.iter().enumerate() {
            let (pairs, reversed) = measured.by_distance.get(&distance).copied().unwrap_or((0, 0));
            // Half of all pairs reversed is no order at all: the top of the frame.
            let tall = (reversed * 2 * PANEL as u64).checked_div(pairs).unwrap_or(0);
            let tall = usize::try_from(tall).unwrap_or(0).min(PANEL);
            let class = if *whose == Whose::Run { "r" } else { "n" };
            let left = x + at * bar - shown.len() * bar / 2;
            let _ = writeln!(
                page,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{tall}\"/>",
                TOP + PANEL - tall,
                bar - 2,
            );
        }
    }
    end(page, RIGHT - 8, TOP + 12, "50 %");
    end(page, RIGHT - 8, TOP + PANEL, "0");
    text(page, RIGHT, TOP + PANEL + 38, "s", "honest logs that have the pair the other way round");
    for (at, (whose, _)) in shown.iter().enumerate() {
        let (class, name) = match whose {
            Whose::Run => ("r", "this run"),
            _ => ("n", "nobody cheats"),
        };
        let y = TOP + 18 + at * 20;
        let _ = writeln!(
            page,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"12\" height=\"12\"/>",
            RIGHT + PANEL - 120,
            y - 11
        );
        text(page, RIGHT + PANEL - 102, y, "s", name);
    }
}

fn cohorts(scenario: &Scenario, outcome: &Outcome, page: &mut String) {
    text(page, LEFT, STRIPES - 12, "t", "cohorts, in their order; red: three ids and more");
    for (at, (whose, sizes)) in outcome.cohorts.iter().enumerate() {
        let y = STRIPES + at * (STRIPE + 8);
        let name = match whose {
            Whose::Run => scenario.mode.name(),
            Whose::Honest => "no cheat",
            _ => whose.name(),
        };
        end(page, LEFT - 8, y + 17, name);
        let total: usize = sizes.iter().sum::<usize>().max(1);
        let mut paths = [String::new(), String::new(), String::new()];
        let mut from = 0;
        for (number, size) in sizes.iter().enumerate() {
            let (left, right) = (from * STRIPE_WIDTH / total, (from + size) * STRIPE_WIDTH / total);
            from += size;
            let colour = if *size >= CYCLE { 2 } else { number % 2 };
            let path = &mut paths[colour];
            let (left, width) = (LEFT + left, right - left);
            let _ = write!(path, "M{left} {y}h{width}v{STRIPE}h-{width}z");
        }
        for (class, path) in ["l", "m", "r"].iter().zip(&paths) {
            if !path.is_empty() {
                let _ = writeln!(page, "<path class=\"{class}\" d=\"{path}\"/>");
            }
        }
        let most = sizes.iter().max().copied().unwrap_or(0);
        text(page, LEFT + STRIPE_WIDTH + 6, y + 17, "s", &format!("max {most}"));
    }
    let y = STRIPES + outcome.cohorts.len() * (STRIPE + 8) + 24;
    let figure = |name| outcome.figure(Whose::Run, name).unwrap_or(0);
    let zeros = format!(
        "this run: {} ids, {} premise pairs; inverted in one proposal {}, ripe {}, otherwise {}; unsupported neighbours {}",
        figure("ordered"),
        figure("premise_pairs"),
        figure("same_proposal_inversions"),
        figure("ripe_inversions"),
        figure("other_inversions"),
        figure("unsupported_neighbours"),
    );
    text(page, LEFT, y, "s", &zeros);
}

/// A text in lines; an ellipsis for what is beyond the last one.
fn lines(words: &str) -> Vec<String> {
    let (length, most) = PROSE;
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        let fits = |line: &&mut String| line.chars().count() + 1 + word.chars().count() <= length;
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if fits(&line) => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if full => {
                line.push('…');
                break;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn frame(page: &mut String, left: usize) {
    let _ = writeln!(
        page,
        "<rect class=\"a\" x=\"{left}\" y=\"{TOP}\" width=\"{PANEL}\" height=\"{PANEL}\"/>"
    );
}

fn text(page: &mut String, x: usize, y: usize, class: &str, content: &str) {
    let content = escaped(content);
    let _ = writeln!(page, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{content}</text>");
}

fn end(page: &mut String, x: usize, y: usize, content: &str) {
    anchored(page, "end", x, y, content);
}

fn middle(page: &mut String, x: usize, y: usize, content: &str) {
    anchored(page, "middle", x, y, content);
}

fn anchored(page: &mut String, anchor: &str, x: usize, y: usize, content: &str) {
    let content = escaped(content);
    let _ = writeln!(
        page,
        "<text class=\"s\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{content}</text>"
    );
}

fn escaped(content: &str) -> String {
    content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
