//! The judge: what the design promises, checked against what the disks hold and the wire carried.
//!
//! Nothing here asks a sequencer for its opinion. Blocks, emissions, releases, order logs and
//! evidence are read from the databases; receipts are the traders'; votes and shares are the
//! wire's. The rules are those of [`crate::committee`], by number.

mod changes;
mod epochs;
mod execution;
mod order;
mod release;
mod shares;
pub(super) mod tamper;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::certificate::{BlockHeader, Emission, OrderCertificate, Placement};
use fairveil_crypto::encoding::decode;
use fairveil_crypto::{BlockDigest, BundleId, SequencerIndex};
use fairveil_mempool::Receipt;
use fairveil_mempool::pool::LogEntry;
use fairveil_release::change::RegistryChange;
use fairveil_release::evidence::{Evidence as Proof, EvidenceError};
use fairveil_release::ledger::Accounts;
use fairveil_release::release::Release;
use fairveil_release::tree::Outcome;
use fairveil_sequencer::store::{Store, Table};
use fairveil_sequencer::{Behaviour, Overview};

use super::Report;
use super::changes::History;
use super::keys::{Keys, Term};
use super::plan::{Kind, Plan};
use super::rollups::Fate;
use super::trace::Sent;
use super::traders::{Purpose, Submission};

/// Blocks within which an honest bundle must be out after a splitting trader (issue of the suite).
const SPLITTER_BLOCKS: u64 = 20;
const MAX_VALUE_BYTES: usize = 16 << 20;

/// What the judge is given.
pub(crate) struct Evidence<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) keys: &'a Keys,
    /// Whether all went quiet in time.
    pub(crate) finished: bool,
    /// Sequencers that stopped by themselves.
    pub(crate) stops: Vec<String>,
    pub(crate) trace: Vec<(usize, Sent)>,
    pub(crate) submissions: Vec<Submission>,
    /// Changes of the rollups that final blocks announced.
    pub(crate) changes: Vec<RegistryChange>,
    /// Who was named in the evidence that members of resharings kept.
    pub(crate) blamed: Vec<usize>,
    pub(crate) stores: Vec<Option<Store>>,
    /// Where the fees stand at each sequencer.
    pub(crate) accounts: Vec<Option<Accounts>>,
    pub(crate) overviews: Vec<Option<Overview>>,
}

/// What one sequencer's disk holds.
pub(super) struct View {
    position: usize,
    blocks: BTreeMap<u64, (BlockHeader, Emission)>,
    releases: BTreeMap<u64, (Vec<u8>, Release)>,
    /// The own logs, by epoch.
    logs: BTreeMap<u64, Vec<BundleId>>,
    /// Blocks that stand in certificates, also those after an epoch's end, with the height that they
    /// make final.
    certified: BTreeMap<BlockDigest, u64>,
    evidence: Vec<Vec<u8>>,
}

/// Where an id came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    height: u64,
    cohort: usize,
    index: usize,
}

/// One chain that all honest sequencers agree on, and everything that is judged by it.
pub(super) struct Case<'a> {
    given: &'a Evidence<'a>,
    /// The rollups of every height.
    history: History,
    /// Honest views.
    honest: Vec<View>,
    /// The adversaries'.
    adversaries: Vec<View>,
    /// Heights that every honest sequencer has.
    common: u64,
    /// Headers of all heights that any honest sequencer has.
    headers: BTreeMap<u64, (BlockDigest, BlockHeader)>,
    emissions: BTreeMap<u64, Emission>,
    spots: BTreeMap<BundleId, (Spot, Placement)>,
    /// What became of ids, and in which release.
    outcomes: BTreeMap<BundleId, (u64, Outcome)>,
    /// Heights whose slot was cut without a view of the followed rollup.
    blind: BTreeSet<u64>,
    violations: Vec<String>,
    counts: BTreeMap<String, u64>,
}

/// Judges a run.
pub(super) fn judge(given: &Evidence<'_>) -> Report {
    let mut case = Case::open(given);
    case.agreement();
    case.lost();
    case.windows_and_nonces();
    case.fairness();
    case.releases();
    case.execution();
    case.changes();
    case.shares();
    case.epochs();
    case.blame();
    case.liveness();
    case.count();
    Report {
        released: case.released(),
        violations: case.violations,
        height: case.common,
        counts: case.counts,
        ..Report::default()
    }
}

impl<'a> Case<'a> {
    fn open(given: &'a Evidence<'a>) -> Self {
        let mut violations = given.stops.clone();
        let (mut honest, mut adversaries) = (Vec::new(), Vec::new());
        let honest_positions = given.plan.honest();
        for (position, store) in given.stores.iter().enumerate() {
            let view = store.as_ref().ok_or("it has no power".to_owned());
            match view.and_then(|store| View::read(position, store, given)) {
                Ok(view) if honest_positions.contains(&position) => honest.push(view),
                Ok(view) => adversaries.push(view),
                Err(why) => violations.push(format!("sequencer {}: {why}", position + 1)),
            }
        }
        let last = given.plan.succession.last();
        let stayed = honest.iter().filter(|view| last.contains(&view.position));
        let common = stayed.map(View::height).min().unwrap_or(0);
        let mut case = Self {
            given,
            history: History::new(given.plan.rollups.registry.clone(), given.changes.clone()),
            common,
            headers: BTreeMap::new(),
            emissions: BTreeMap::new(),
            spots: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            blind: BTreeSet::new(),
            violations,
            counts: BTreeMap::new(),
            adversaries,
            honest: Vec::new(),
        };
        // Who joined has no block from before, and may have the newest.
        let mut views: Vec<&View> = honest.iter().collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.blocks.len()));
        views.into_iter().for_each(|view| case.learn(view));
        case.honest = honest;
        case
    }

    /// Takes what no view before had: the others must agree with it.
    fn learn(&mut self, view: &View) {
        for (height, (header, emission)) in &view.blocks {
            if self.headers.contains_key(height) {
                continue;
            }
            self.headers.insert(*height, (header.digest(), header.clone()));
            self.emissions.insert(*height, emission.clone());
            let mut index = 0;
            for (cohort, entries) in emission.cohorts.iter().enumerate() {
                for entry in entries {
                    let spot = Spot { height: *height, cohort, index };
                    index += 1;
                    let before = self.spots.insert(entry.id, (spot, entry.placement));
                    if before.is_some() {
                        self.violations.push(format!("{} is emitted twice", entry.id));
                    }
                }
            }
        }
        for (height, (_, release)) in &view.releases {
            if release.views.iter().any(|view| view.anchor.is_none()) {
                self.blind.insert(*height);
            }
            for leaf in &release.leaves {
                if !matches!(leaf.outcome, Outcome::Carried { .. }) {
                    let outcome = (*height, leaf.outcome.clone());
                    self.outcomes.entry(leaf.id).or_insert(outcome);
                }
            }
        }
    }

    fn wrong(&mut self, what: String) {
        // One sort of fault says it all: a broken chain would fill the report.
        if self.violations.len() < 32 {
            self.violations.push(what);
        }
    }

    /// Rules 1 and 2.
    fn agreement(&mut self) {
        let mut wrong = Vec::new();
        for view in &self.honest {
            let who = view.position + 1;
            for (height, (header, emission)) in &view.blocks {
                let agreed = self.headers.get(height).map(|(digest, _)| *digest);
                if agreed != Some(header.digest()) || self.emissions.get(height) != Some(emission) {
                    wrong.push(format!("sequencer {who} has another block at height {height}"));
                    break;
                }
                let parent = height.checked_sub(1).and_then(|below| self.headers.get(&below));
                // An epoch's first block is nobody's: its children are no children of the last one.
                let parent = parent.filter(|_| header.height != header.epoch_start.next());
                if parent.is_some_and(|(digest, _)| *digest != header.parent) {
                    wrong.push(format!("block {height} is no child of the one below"));
                }
            }
            for (height, (bytes, _)) in &view.releases {
                let others = self.honest.iter().filter_map(|other| other.releases.get(height));
                if others.into_iter().any(|(other, _)| other != bytes) {
                    wrong.push(format!("sequencer {who} has another release at height {height}"));
                    break;
                }
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// Rule 3.
    fn lost(&mut self) {
        let least = usize::from(self.given.plan.f) + 1;
        let mut wrong = Vec::new();
        for submission in &self.given.submissions {
            let mut signers: BTreeMap<u64, BTreeSet<SequencerIndex>> = BTreeMap::new();
            for receipt in &submission.receipts {
                match self.verified(submission, receipt) {
                    Some(epoch) => {
                        signers.entry(epoch).or_default().insert(receipt.sequencer);
                    }
                    None => {
                        wrong.push(format!("{} has a receipt that does not verify", submission.id));
                    }
                }
            }
            let signers = signers.into_values().map(|signers| signers.len()).max().unwrap_or(0);
            if signers < least {
                continue;
            }
            let outcome = self.outcomes.get(&submission.id).map(|(_, outcome)| outcome);
            let gone =
                !self.spots.contains_key(&submission.id) && self.common > submission.expires_at;
            let fate = self.fate(submission);
            match (submission.purpose, fate, outcome) {
                (Purpose::Hostile, _, Some(_)) => {}
                (_, Some(Fate::Released), Some(Outcome::Released { .. })) => {}
                (_, Some(Fate::Failed(code)), Some(Outcome::Failed(failed)))
                    if failed.code() == code => {}
                (Purpose::Hostile, _, None) if gone => {}
                (_, _, outcome) => {
                    let ended =
                        outcome.map_or("did not end".into(), |how| format!("ended {how:?}"));
                    wrong.push(format!("{} with {signers} receipts {ended}", submission.id));
                }
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// The epoch of a receipt, if one of its members signed it for this bundle.
    fn verified(&self, submission: &Submission, receipt: &Receipt) -> Option<u64> {
        let epoch = receipt.body.epoch;
        let term = self.given.keys.term_of(epoch)?;
        let keys = term.committee.consensus_keys();
        let network = &self.given.keys.network_id;
        receipt.verify_member(network, epoch, keys).ok()?;
        (receipt.body.id == submission.id).then_some(epoch.get())
    }

    /// How an ordinary bundle must end: what its rollups are comes before what is in it.
    fn fate(&self, submission: &Submission) -> Option<Fate> {
        match submission.purpose {
            Purpose::Hostile => None,
            Purpose::Honest => Some(Fate::Released),
            Purpose::Known(fates) => Some(match self.refused(submission) {
                Some(code) => Fate::Failed(code),
                None if self.is_blind(submission) => fates.blind,
                None => fates.seen,
            }),
        }
    }

    /// Rule 9.
    fn blame(&mut self) {
        let network = &self.given.keys.network_id;
        let honest = self.given.plan.honest();
        let (mut wrong, mut named) = (Vec::new(), 0);
        for bytes in self.honest.iter().flat_map(|view| &view.evidence) {
            let read = Proof::decode(bytes).map_err(|why| why.to_string());
            let judged = read.and_then(|evidence| {
                let judge = |term: &Arc<Term>| {
                    let culprit = evidence.judge(network, &term.committee)?.culprit;
                    Ok(term.members[culprit.position()])
                };
                let judged: Vec<_> = self.given.keys.terms().iter().map(judge).collect();
                let convinced = judged.iter().position(Result::is_ok).unwrap_or(0);
                let judged: Result<usize, EvidenceError> =
                    judged.into_iter().nth(convinced).expect("at least one term");
                judged.map_err(|why| why.to_string())
            });
            match judged {
                Ok(culprit) if !honest.contains(&culprit) => named += 1,
                Ok(culprit) => {
                    wrong.push(format!("sequencer {} is named, and is honest", culprit + 1))
                }
                Err(why) => wrong.push(format!("evidence proves nothing: {why}")),
            }
        }
        self.counts.insert("evidence".into(), named);
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// Rule 10.
    fn liveness(&mut self) {
        if !self.given.finished && self.given.stops.is_empty() {
            self.wrong(format!("not quiet in time; {}", self.unfinished()));
        }
        if !matches!(self.given.plan.kind, Kind::Splitter | Kind::Adversary(Behaviour::Splitter)) {
            return;
        }
        let mut wrong = Vec::new();
        for submission in &self.given.submissions {
            let Some((spot, _)) = self.spots.get(&submission.id) else { continue };
            let blocks = spot.height.saturating_sub(submission.sealed_at);
            if submission.purpose == Purpose::Honest && blocks > SPLITTER_BLOCKS {
                let id = submission.id;
                wrong.push(format!("{id} came out after {blocks} blocks, not {SPLITTER_BLOCKS}"));
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    /// What a run that isn't quiet still waits for.
    fn unfinished(&self) -> String {
        let open = self.given.submissions.iter().filter(|submission| {
            !submission.receipts.is_empty() && !self.outcomes.contains_key(&submission.id)
        });
        let heights: Vec<_> = self
            .given
            .overviews
            .iter()
            .map(|overview| overview.as_ref().map(|overview| (overview.height, overview.released)))
            .collect();
        let open: Vec<_> = open.map(|submission| submission.id.to_string()).collect();
        format!("(height, released) {heights:?}, waiting for {open:?}")
    }

    fn count(&mut self) {
        let mut counts = BTreeMap::new();
        let mut add = |name: &str, more: u64| *counts.entry(name.to_owned()).or_insert(0) += more;
        for submission in &self.given.submissions {
            add("bundles", 1);
            add("receipts", submission.receipts.len() as u64);
            for code in &submission.rejections {
                add(&format!("rejected_{code}"), 1);
            }
        }
        for (_, outcome) in self.outcomes.values() {
            match outcome {
                Outcome::Released { .. } => add("released", 1),
                Outcome::Failed(failed) => add(&format!("failed_{}", failed.code()), 1),
                Outcome::Expired => add("expired", 1),
                Outcome::Carried { .. } => add("carried", 1),
            }
        }
        let heights = self.emissions.values();
        let largest = heights.flat_map(|emission| &emission.cohorts).map(Vec::len).max();
        add("largest_cohort", largest.unwrap_or(0) as u64);
        add("trapped", self.trapped());
        for overview in self.given.overviews.iter().flatten() {
            for (name, value) in &overview.counters {
                if COUNTED.contains(name) {
                    add(name, *value);
                }
            }
            if let Some(attack) = &overview.attack {
                add("attack_pairs", attack.pairs.len() as u64);
                add("attack_requests", attack.requests);
                add("attack_tries", attack.tries);
            }
        }
        self.counts.append(&mut counts);
    }
}

/// Counters of the sequencers that go into a report.
const COUNTED: [&str; 10] = [
    "adopted_releases",
    "adversary_moves",
    "bad_shares",
    "equivocations",
    "false_hints",
    "invalid_relays",
    "malformed_messages",
    "refused_pieces",
    "share_requests_refused",
    "silent_parts",
];

impl View {
    fn read(position: usize, store: &Store, given: &Evidence<'_>) -> Result<Self, String> {
        let all = |table| store.range(table, &[], usize::MAX).map_err(|error| error.to_string());
        let network = &given.keys.network_id;
        let (mut blocks, mut certified) = (BTreeMap::new(), BTreeMap::new());
        let joined = !given.plan.succession.terms[0].contains(&position);
        for (key, bytes) in all(Table::Orders)? {
            let height = number(&key)?;
            let certificate: OrderCertificate =
                decode(&bytes, MAX_VALUE_BYTES).map_err(|error| error.to_string())?;
            let term = given.keys.term_of(certificate.finalization.epoch).ok_or("no such epoch")?;
            let verified = certificate.verify(network, &term.committee);
            verified.map_err(|error| format!("certificate of height {height}: {error}"))?;
            let header = certificate.headers.last().ok_or("a certificate without headers")?;
            // Who joined or missed an epoch's beginning has nothing from before it.
            let next = blocks.last_key_value().map_or(1, |(last, _)| last + 1);
            let begins = header.epoch_start.get() + 1 == height && height >= next;
            let follows = height == next && !(joined && blocks.is_empty());
            if header.height.get() != height || !(follows || begins) {
                return Err(format!("a gap before height {height}"));
            }
            let named = certificate.headers.iter();
            certified.extend(named.map(|header| (header.digest(), height)));
            blocks.insert(height, (header.clone(), certificate.emission));
        }
        let mut releases = BTreeMap::new();
        for (key, bytes) in all(Table::Releases)? {
            let release = Release::decode(&bytes).map_err(|error| error.to_string())?;
            releases.insert(number(&key)?, (bytes, release));
        }
        let mut logs: BTreeMap<u64, Vec<BundleId>> = BTreeMap::new();
        for (key, bytes) in all(Table::Log)? {
            let entry: LogEntry =
                decode(&bytes, MAX_VALUE_BYTES).map_err(|error| error.to_string())?;
            logs.entry(number(&key[..8])?).or_default().push(entry.id);
        }
        let evidence = all(Table::Evidence)?.into_iter().map(|(_, bytes)| bytes).collect();
        Ok(Self { position, blocks, releases, logs, certified, evidence })
    }

    /// The last height that it has.
    fn height(&self) -> u64 {
        self.blocks.last_key_value().map_or(0, |(height, _)| *height)
    }
}

fn number(key: &[u8]) -> Result<u64, String> {
    let bytes = key.try_into().map_err(|_| format!("a key of {} bytes", key.len()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Whether the adversary's own log on its disk is not the one that it shows.
fn shows_another_log(behaviour: Behaviour) -> bool {
    behaviour == Behaviour::Equivocator
}
