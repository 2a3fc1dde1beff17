//! Pages of documentation whose commands the tests run.

/// A fenced block: what stands behind the fence, and its lines.
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) lines: Vec<String>,
}

/// All fenced blocks of a page.
pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(kind), false) => blocks.push(Block { kind: kind.to_owned(), lines: vec![] }),
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            _ => {}
        }
        inside ^= line.starts_with("```");
    }
    blocks
}

/// Whether a text is what a page shows: `…` stands for anything in a line, and a line of it alone
/// for any lines.
pub(crate) fn is_shown(shown: &[String], text: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    lines_match(shown, &lines)
}

fn lines_match(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            (0..=lines.len()).any(|skipped| lines_match(rest, &lines[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => {
            line_matches(first, line) && lines_match(rest, others)
        }
        _ => false,
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    (0..=rest.len())
        .filter(|at| rest.is_char_boundary(*at))
        .any(|at| line_matches(after, &rest[at..]))
}

#[test]
fn what_is_left_out_matches_anything_and_the_rest_only_itself() {
    let shown = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let page = shown(&["digest 0x… (…)", "…", "end"]);
    assert!(is_shown(&page, "digest 0x12 (ab)\nend\n"));
    assert!(is_shown(&page, "digest 0x (b)\nmore\nand more\nend\n"));
    assert!(!is_shown(&page, "digest 0x12 ab)\nend\n"));
    assert!(!is_shown(&page, "digest 0x12 (ab)\nend\nmore\n"));
    assert!(!is_shown(&page, "digest 0x12 (ab)\n"));
}
