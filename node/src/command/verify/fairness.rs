//! `fairveil verify fairness`: every pair that receipts contradict, and what that shows.
//!
//! Pairs are printed one by one, as JSON too: there may be millions.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use fairveil_client::{
    PinnedNetwork,
    fairness::{Comparison, Contradiction, Finding, Findings, Rule},
    file::File,
    trace::{CertifiedOrder, Ordered, Trace},
    verify::coverage::{Coverage, TraceVerdict},
};
use fairveil_release::evidence::Evidence;
use serde_json::{Value, json};

use crate::{cli::exit, command::error::CommandError};

/// What a finding means, for people.
const MEANING: &str = "\
A pair is listed if f+1 members signed that they have it the other way round: one of them is honest.
That alone is no fault: honest members receive in different orders, and the rule promises an order
only where at most g honest members received the opposite.
BROKEN RECEIPTS: members put into their order logs another order than they signed. With at most f of
them the order is fair all the same; the logs in the blocks, which every sequencer has, say who.
VIOLATION: more than f members lied, or the certified order is not the one that the rule gives.";

/// Judges the traces; exit code 0 if all of it verifies, nobody must have lied, no height is
/// missing between others and something was compared.
pub(super) fn run(
    pinned: &PinnedNetwork,
    paths: &[PathBuf],
    json: bool,
) -> Result<u8, CommandError> {
    let mut trace = Trace::new(pinned);
    let mut faults: Vec<String> = Vec::new();
    for path in paths {
        let found = trace.add(&super::read(path)?);
        let found = found.map_err(|error| CommandError::file(path, &error))?;
        faults.extend(found.iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    let order = trace.order();
    faults.extend(order.faults.iter().map(ToString::to_string));
    let comparison = Comparison::new(&trace, &order);
    let comparison = comparison.map_err(|error| CommandError::Usage(error.to_string()))?;
    let read = Read {
        trace: &trace,
        order: &order,
        faults: &faults,
        comparison: &comparison,
        coverage: Coverage::new(&trace, &order, &comparison),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = if json { read.show_json(&mut out) } else { read.show(&mut out) };
    let findings = shown.and_then(|findings| out.flush().map(|()| findings));
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit::CLOSED_OUTPUT),
        Err(error) => return Err(CommandError::Check(error.to_string())),
    };
    Ok(super::code_of_trace(read.verdict(&findings)))
}

/// What was read, and how it compares.
struct Read<'a> {
    trace: &'a Trace,
    order: &'a CertifiedOrder,
    faults: &'a [String],
    comparison: &'a Comparison<'a>,
    coverage: Coverage,
}

impl Read<'_> {
    fn verdict(&self, findings: &Findings) -> TraceVerdict {
        self.coverage.verdict(findings, self.faults.len() + self.trace.conflicts().count())
    }

    /// As lines for people.
    fn show(&self, out: &mut dyn Write) -> io::Result<Findings> {
        for fault in self.faults {
            writeln!(out, "REFUSED, {fault}")?;
        }
        writeln!(out, "{}", self.summary())?;
        for rule in self.comparison.rules() {
            writeln!(out, "{}", numbers(rule))?;
        }
        for conflict in self.trace.conflicts() {
            let (sequencer, epoch) = (conflict.first.sequencer, conflict.first.body.epoch);
            writeln!(
                out,
                "sequencer {sequencer} of epoch {epoch} signed receipts that contradict each other; \
                 none of its receipts counts"
            )?;
        }
        let mut written = Ok(());
        let findings = self.comparison.contradictions(&mut |pair| {
            if written.is_ok() {
                written = writeln!(out, "{pair}");
            }
        });
        written?;
        let Findings { differing, broken, violations } = findings;
        writeln!(
            out,
            "{} pairs are contradicted: {differing} differ, {broken} show broken receipts, \
             {violations} violate the rule",
            findings.pairs()
        )?;
        for doubt in self.coverage.doubts() {
            writeln!(out, "NOT ENOUGH: {doubt}")?;
        }
        if findings.pairs() > 0 {
            writeln!(out, "{MEANING}")?;
        }
        Ok(findings)
    }

    /// As one JSON document.
    fn show_json(&self, out: &mut dyn Write) -> io::Result<Findings> {
        let head = self.head().to_string();
        // The pairs and their number follow as the last members of the same object.
        write!(out, "{},\"pairs\":[", head.strip_suffix('}').unwrap_or(&head))?;
        let (mut written, mut separator) = (Ok(()), "");
        let findings = self.comparison.contradictions(&mut |pair| {
            if written.is_ok() {
                written = write!(out, "{separator}{}", pair_value(pair));
                separator = ",";
            }
        });
        written?;
        let counts = json!({
            "pairs": findings.pairs(), "differing": findings.differing,
            "broken_receipts": findings.broken, "violations": findings.violations,
        });
        let verdict = self.verdict(&findings).word();
        writeln!(out, "],\"findings\":{counts},\"verdict\":\"{verdict}\"}}")?;
        Ok(findings)
    }

    fn head(&self) -> Value {
        let epochs: Vec<_> = self.comparison.rules().map(rule_value).collect();
        let convicted = self.trace.conflicts().map(|conflict| {
            let evidence = File::Evidence(Box::new(Evidence::ConflictingReceipts(*conflict)));
            json!({
                "sequencer": conflict.first.sequencer, "epoch": conflict.first.body.epoch,
                "evidence": evidence.to_value(),
            })
        });
        json!({
            "network_id": self.trace.network().network_id(), "receipts": self.trace.receipts(),
            "heights": self.trace.heights().len(), "missing_heights": self.coverage.missing,
            "ids": self.order.ids.len(), "compared": self.coverage.compared,
            "refused": self.faults, "epochs": epochs,
            "convicted": convicted.collect::<Vec<_>>(),
        })
    }

    fn summary(&self) -> String {
        let mut heights = self.trace.heights().keys();
        let range = match (heights.next(), heights.next_back()) {
            (None, _) => "no heights".to_owned(),
            (Some(first), None) => format!("height {first}"),
            (Some(first), Some(last)) => {
                format!("{} heights from {first} to {last}", self.trace.heights().len())
            }
        };
        format!(
            "{range} certified, {} bundles ordered, {} of them compared; {} receipts verified, \
             {} faults",
            self.order.ids.len(),
            self.coverage.compared,
            self.trace.receipts(),
            self.faults.len()
        )
    }
}

fn numbers(rule: &Rule) -> String {
    let Rule { epoch, n, f, g, .. } = *rule;
    let (listed, broken, violated) = (rule.listed(), rule.broken(), rule.violated());
    match rule.promises() {
        true => format!(
            "epoch {epoch}: n {n}, f {f}, g {g}: pairs that {listed} or more contradict are listed; \
             of neighbours {broken} show broken receipts, {violated} a violation"
        ),
        false => format!(
            "epoch {epoch}: n {n}, f {f}, g {g}: pairs that {listed} or more contradict are listed; \
             the mode of the order promises nothing about pairs, so none is a fault"
        ),
    }
}

fn rule_value(rule: &Rule) -> Value {
    json!({
        "epoch": rule.epoch, "n": rule.n, "f": rule.f, "g": rule.g, "convicted": rule.convicted,
        "mode": rule.mode, "listed": rule.listed(), "broken": rule.broken(),
        "violated": rule.violated(),
    })
}

fn pair_value(pair: &Contradiction) -> Value {
    let place = |one: &Ordered| {
        json!({
            "id": one.id, "height": one.position.height, "position": one.position.index,
            "cohort": one.cohort,
        })
    };
    let (finding, liars) = match pair.finding {
        Finding::Differs => ("differs", 0),
        Finding::BrokenReceipts(liars) => ("broken_receipts", liars),
        Finding::Violation(liars) => ("violation", liars),
    };
    json!({
        "epoch": pair.epoch, "earlier": place(&pair.earlier), "later": place(&pair.later),
        "against": pair.against, "with": pair.with,
        "one_cohort": pair.standing.is_one_cohort, "neighbours": pair.standing.is_neighbours,
        "finding": finding, "liars_at_least": liars,
    })
}
