//! Judgements as JSON and as a line for people.

use fairveil_mempool::Policy;
use fairveil_release::failed::Failed;
use fairveil_release::tree::Position;
use serde_json::{Value, json};

use super::Judgement;
use super::coverage::TraceVerdict;
use crate::document::Ending;
use crate::fairness::Findings;

impl Judgement {
    /// What a trace shows, for it may be genuine and show a fault; nothing for other kinds.
    #[must_use]
    pub fn trace_verdict(&self) -> Option<TraceVerdict> {
        match self {
            Self::Trace { findings, coverage, convicted, .. } => {
                Some(coverage.verdict(findings, convicted.len()))
            }
            _ => None,
        }
    }

    /// As a JSON object, for programs.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Sealed { id } => json!({ "kind": "sealed", "id": id }),
            Self::Receipts { id, sequencers, needed } => json!({
                "kind": "receipts", "id": id, "sequencers": sequencers, "needed": needed,
            }),
            Self::Order { height, block, ids } => json!({
                "kind": "order", "height": height, "block": block, "ids": ids,
            }),
            Self::Bundle { id, position, ending, chain_ids } => {
                let (state, failed) = ending.words();
                json!({
                    "kind": "bundle", "id": id, "height": position.height,
                    "position": position.index, "state": state, "failed": failed,
                    "chain_ids": chain_ids,
                })
            }
            Self::Batches { chain_id, first, last, bundles, transactions, unproven } => json!({
                "kind": "batches", "chain_id": chain_id, "first": first, "last": last,
                "bundles": bundles, "transactions": transactions, "unproven": unproven,
            }),
            Self::Transcript {
                network_id,
                epoch,
                threshold,
                effective_threshold,
                faults,
                key_id,
                digest,
                confirmed,
            } => json!({
                "kind": "transcript", "network_id": network_id, "epoch": epoch, "key_id": key_id,
                "digest": digest, "confirmed": confirmed, "threshold": threshold,
                "effective_threshold": effective_threshold, "faults": faults,
            }),
            Self::Evidence { culprit, offence } => json!({
                "kind": "evidence", "culprit": culprit, "offence": offence,
            }),
            Self::Blame { culprit, name, sentence } => json!({
                "kind": "blame", "culprit": culprit, "name": name, "sentence": sentence,
            }),
            Self::Trace { receipts, heights, ids, findings, coverage, convicted } => json!({
                "kind": "trace", "receipts": receipts, "heights": heights, "ids": ids,
                "missing_heights": coverage.missing, "compared": coverage.compared,
                "pairs": findings.pairs(), "differing": findings.differing,
                "broken_receipts": findings.broken, "violations": findings.violations,
                "convicted": convicted, "verdict": self.trace_verdict().map(TraceVerdict::word),
            }),
            Self::Omission(omission) => omission.to_value(),
            Self::Fraud(verdict) => json!({
                "kind": "fraud", "chain_id": verdict.chain_id(), "against": verdict.signer(),
                "difference": verdict.to_string(),
            }),
        }
    }
}

impl Ending {
    /// The state in the trader's words, and the failed code's name.
    #[must_use]
    pub fn words(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Released { .. } => ("released", None),
            Self::Failed(failed) => ("failed", Some(Failed::code(failed))),
            Self::Expired => ("expired", None),
            Self::Carried => ("ordered", None),
        }
    }
}

/// A line for people.
impl std::fmt::Display for Judgement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sealed { id } => write!(out, "bundle {id} is well sealed to this network"),
            Self::Receipts { id, sequencers, needed } => {
                let (count, list) = (sequencers.len(), List(sequencers));
                write!(out, "bundle {id} is admitted: {count} receipts, {needed} needed, of {list}")
            }
            Self::Order { height, block, ids } => {
                write!(out, "the order of height {height} is final: {ids} ids, block {block}")
            }
            Self::Bundle { id, position, ending, chain_ids } => {
                let Position { height, index } = position;
                write!(out, "bundle {id}, ordered at height {height} position {index}, ")?;
                match ending {
                    Ending::Released { policy } => {
                        let policy = match policy {
                            Policy::Include => "include",
                            Policy::Execute => "execute",
                        };
                        let chains = List(chain_ids);
                        write!(out, "is released with all its legs, on {chains}, policy {policy}")
                    }
                    Ending::Failed(failed) => write!(out, "failed on every rollup: {failed}"),
                    Ending::Expired => out.write_str("expired and was never opened"),
                    Ending::Carried => out.write_str("waits for a later slot"),
                }
            }
            Self::Batches { chain_id, first, last, bundles, transactions, unproven } => {
                write!(
                    out,
                    "rollup {chain_id}, heights {first} to {last}: complete, {bundles} bundles, \
                     {transactions} transactions"
                )?;
                match unproven {
                    0 => Ok(()),
                    _ => write!(
                        out,
                        "; how the legs of {unproven} batches were checked is not proven: their \
                         releases are by a later registry than the definition's"
                    ),
                }
            }
            Self::Transcript {
                network_id,
                epoch,
                threshold,
                effective_threshold,
                faults,
                key_id,
                confirmed,
                ..
            } => {
                write!(
                    out,
                    "network {network_id} has committee key {key_id} in epoch {epoch}, confirmed \
                     by {confirmed} members"
                )?;
                write_shares(out, *threshold, *effective_threshold)?;
                faults.iter().try_for_each(|fault| write!(out, "; {fault}"))
            }
            Self::Evidence { culprit, offence } => write!(out, "sequencer {culprit} {offence}"),
            Self::Trace { receipts, heights, ids, findings, coverage, convicted } => {
                let Findings { differing, broken, violations } = findings;
                write!(
                    out,
                    "{receipts} receipts and {heights} heights with {ids} ids are genuine; receipts of \
                     f+1 members contradict {} pairs: {differing} differ, {broken} show broken \
                     receipts, {violations} violate the rule",
                    findings.pairs()
                )?;
                if !convicted.is_empty() {
                    write!(out, "; of {}: receipts that contradict each other", List(convicted))?;
                }
                coverage.doubts().iter().try_for_each(|doubt| write!(out, "; {doubt}"))
            }
            Self::Omission(omission) => omission.fmt(out),
            Self::Fraud(verdict) => verdict.fmt(out),
            Self::Blame { sentence, .. } => out.write_str(sentence),
        }
    }
}

/// How many shares open, and how many are left to find if some were revealed.
fn write_shares(out: &mut std::fmt::Formatter<'_>, t: u16, effective: u16) -> std::fmt::Result {
    write!(out, "; any {t} of their shares open")?;
    match t.saturating_sub(effective) {
        0 => Ok(()),
        revealed => {
            write!(out, "; {revealed} were revealed in the ceremony: {effective} more open")
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: std::fmt::Display> std::fmt::Display for List<'_, T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, item) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(out, "{separator}{item}")?;
        }
        Ok(())
    }
}
