//! The scenario file: what a run is made of, as strict JSON.
//!
//! ```json
//! {
//!   "name": "reverser",
//!   "about": "one of five reverses what it received",
//!   "committee": {"n": 5, "f": 1, "g": 0}, "mode": "strict",
//!   "links": {"latency_ms": [2, 20], "jitter_ms": 2, "loss_percent": 0, "between_sites_ms": [60, 90]},
//!   "sites": [{"name": "east", "sequencers": [1, 2, 3]}, {"name": "west", "sequencers": [4, 5]}],
//!   "traders": [{"bundles": 100, "from_ms": 1200, "every_ms": 5, "jitter_ms": 100, "reach": 3,
//!                "site": "east"},
//!               {"bundles": 10, "every_ms": 10, "attack": "condorcet"}, {"attack": "split"}],
//!   "adversaries": [{"sequencer": 5, "kind": "reverser"}],
//!   "faults": [{"kind": "power", "sequencer": 2, "at_ms": 700, "lasts_ms": 400},
//!              {"kind": "partition", "sequencers": [1, 2], "at_ms": 700, "lasts_ms": 900}],
//!   "expect": {"ripe_inversions": 0, "cohort_max": {"at_most": 3}, "themis.cohort_max": {"at_least": 40}}
//! }
//! ```
//!
//! | key | default | |
//! |---|---|---|
//! | `name`, `about` | | a word, and a sentence |
//! | `committee` | | n sequencers, f liars tolerated, g honest disagreement tolerated |
//! | `mode` | `strict` | `strict` or `themis`: what the sequencers run. All modes are compared anyway |
//! | `links` | 2 to 20 ms | mean latency of each link is drawn from the range, a message's has the deviation `jitter_ms` (1); `loss_percent` (0) of the messages are lost |
//! | `sites` | one | sequencers at different sites are `links.between_sites_ms` apart (60 to 90), which is refused without sites |
//! | `traders` | | groups; each bundle has a payer of its own |
//! | `.bundles` | | how many |
//! | `.from_ms` | 1200 | when the first bundle is sent: the consensus has begun by then |
//! | `.every_ms` | 5 | time between two bundles of the group |
//! | `.jitter_ms` | 0 | each sequencer gets each bundle this much later at most, evenly distributed |
//! | `.reach` | `"all"` | to how many sequencers a bundle goes, which differ from bundle to bundle |
//! | `.site` | none | where the traders are: sequencers elsewhere get bundles `between_sites_ms` later |
//! | `.attack` | none | `condorcet`: every sequencer gets the group's bundles in another rotation, so `jitter_ms`, `reach` and `site` are refused; `split`: the splitting trader, whose bundles conflict, expire and hit limits, so all keys but `attack` are refused. One group may split |
//! | `adversaries` | none | which sequencer behaves how: a name of [`Behaviour`], such as `condorcet:10` |
//! | `faults` | none | losses of power, of a sequencer one after the other, and partitions: `sequencers`, some and not all, reach nobody else |
//! | `expect` | | figures that the run has ([`crate::scenario::metrics`]), those of another order behind its name and a dot, what an attack adds to the same run of honest sequencers (`added.latency_p99_ms`), and moves of a kind of adversary (`moves.reverser`): a number, or `at_least` and `at_most` |
//!
//! 1. An unknown key, figure or kind is refused, and so is a number beyond its limit: the error names
//!    the key, the value, and what it may be.
//! 2. A file that is accepted runs: a key that the run would ignore is refused, by its name and by what
//!    would ignore it.

mod expected;
mod faults;
mod traders;

use std::collections::{BTreeMap, BTreeSet};

use fairveil_ordering::{Committee, CommitteeError, Mode};
use fairveil_sequencer::{Behaviour, UnknownBehaviour};
use serde::Deserialize;
use thiserror::Error;

pub(crate) use self::faults::{Fault, FaultKind};
pub use self::traders::Attack;
pub(crate) use self::traders::Traders;
use self::{
    expected::{Measurable, RawExpected},
    faults::RawFault,
    traders::RawTraders,
};
use super::expect::Expectation;

/// Sequencers of a scenario.
pub const MAX_SEQUENCERS: u64 = 31;
/// Bundles of all traders of a scenario.
pub const MAX_BUNDLES: u64 = 3_000;
/// Groups of traders.
pub const MAX_GROUPS: u64 = 64;
/// Faults.
pub const MAX_FAULTS: u64 = 64;
/// Any instant or time of a scenario, in virtual milliseconds.
pub const MAX_MS: u64 = 120_000;
/// How much later than others a sequencer gets a bundle.
pub const MAX_SPREAD_MS: u64 = 10_000;
/// Latency between sequencers, in the mean: with more, leaders' time is up before their blocks are final.
pub const MAX_LATENCY_MS: u64 = 400;
/// Deviation of the latency.
pub const MAX_DEVIATION_MS: u64 = 100;
/// Share of messages lost.
pub const MAX_LOSS_PERCENT: u64 = 20;
/// How far sites are apart, unless the file says it.
const BETWEEN_SITES_MS: [u64; 2] = [60, 90];
/// Characters of a name.
pub const MAX_NAME: u64 = 64;

/// A scenario as it is in its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    about: String,
    committee: RawCommittee,
    mode: Option<String>,
    #[serde(default)]
    links: RawLinks,
    #[serde(default)]
    sites: Vec<RawSite>,
    traders: Vec<RawTraders>,
    #[serde(default)]
    adversaries: Vec<RawAdversary>,
    #[serde(default)]
    faults: Vec<RawFault>,
    expect: RawExpected,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommittee {
    n: u16,
    f: u16,
    #[serde(default)]
    g: u16,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLinks {
    latency_ms: [u64; 2],
    jitter_ms: u64,
    loss_percent: u64,
    between_sites_ms: Option<[u64; 2]>,
}

impl Default for RawLinks {
    fn default() -> Self {
        Self { latency_ms: [2, 20], jitter_ms: 1, loss_percent: 0, between_sites_ms: None }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    name: String,
    sequencers: Vec<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdversary {
    sequencer: u64,
    kind: String,
}

/// A scenario: everything that a run follows from, but its seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A word.
    pub name: String,
    /// What happens in it.
    pub about: String,
    pub(crate) committee: Committee,
    pub(crate) mode: Mode,
    pub(crate) latency_ms: (u64, u64),
    pub(crate) jitter_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) between_sites_ms: (u64, u64),
    /// The site of each sequencer; empty if there is one.
    pub(crate) site_of: Vec<usize>,
    pub(crate) traders: Vec<Traders>,
    pub(crate) adversaries: Vec<(usize, Behaviour)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) expect: Vec<Expectation>,
}

/// Why a scenario file is refused.
#[derive(Debug, Error)]
pub enum FileError {
    /// Not JSON, or a key is missing, unknown or of another type.
    #[error("not a scenario: {0}")]
    Json(#[from] serde_json::Error),
    /// A number outside its limits.
    #[error("{key} is {actual}, it may be {least} to {most}")]
    Range {
        /// Where.
        key: String,
        /// What the file says.
        actual: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// n, f and g are no committee.
    #[error("committee: {0}")]
    Committee(#[from] CommitteeError),
    /// Not one of the words that the key may have.
    #[error("{key} is {actual:?}, it may be {expected}")]
    Word {
        /// Where.
        key: String,
        /// What the file says.
        actual: String,
        /// What it may say.
        expected: String,
    },
    /// No such adversary.
    #[error("{key}: {why}")]
    Adversary {
        /// Where.
        key: String,
        /// Which there are.
        why: UnknownBehaviour,
    },
    /// A key that the run would ignore.
    #[error("{key} would be ignored {by}")]
    Ignored {
        /// Where.
        key: String,
        /// By what.
        by: String,
    },
    /// A key without a default.
    #[error("{key} is missing")]
    Missing {
        /// Where.
        key: String,
    },
    /// An adversary that has nothing to do in a scenario.
    #[error("{key}: {behaviour} acts at changes of the committee, which a scenario has none of")]
    Idle {
        /// Where.
        key: String,
        /// Which.
        behaviour: Behaviour,
    },
    /// Something stands in the file twice.
    #[error("{key} names {what} {which} a second time")]
    Twice {
        /// Where.
        key: String,
        /// What.
        what: &'static str,
        /// Which one.
        which: String,
    },
    /// A figure that no run of this file has.
    #[error("expect.{key} is never measured {why}")]
    Unmeasured {
        /// Which.
        key: String,
        /// Why not.
        why: String,
    },
    /// A sequencer loses the power that it has not got.
    #[error(
        "faults[{at}] cuts the power of sequencer {sequencer} at {at_ms} ms, faults[{before}] until {until_ms} ms"
    )]
    Overlap {
        /// Which fault.
        at: usize,
        /// Whose power.
        sequencer: usize,
        /// When.
        at_ms: u64,
        /// Which fault did before.
        before: usize,
        /// Until when.
        until_ms: u64,
    },
    /// More sequencers cheat than f.
    #[error("{actual} adversaries, the committee tolerates f = {limit}")]
    TooManyAdversaries {
        /// How many there are.
        actual: usize,
        /// f.
        limit: u16,
    },
}

impl Scenario {
    /// What the sequencers run.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// [`FileError`], which names the key.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let raw: Raw = serde_json::from_slice(bytes)?;
        range("the length of name", raw.name.len() as u64, 1, MAX_NAME)?;
        range("the length of about", raw.about.len() as u64, 1, 1_000)?;
        range("committee.n", u64::from(raw.committee.n), 1, MAX_SEQUENCERS)?;
        let committee = Committee::new(raw.committee.n, raw.committee.f, raw.committee.g)?;
        let links = raw.links;
        let latency_ms = pair("links.latency_ms", links.latency_ms)?;
        let between_sites_ms = between_sites_ms(links.between_sites_ms, &raw.sites)?;
        range("links.jitter_ms", links.jitter_ms, 0, MAX_DEVIATION_MS)?;
        range("links.loss_percent", links.loss_percent, 0, MAX_LOSS_PERCENT)?;
        let (names, site_of) = sites(&raw.sites, committee.n())?;
        range("the number of traders", raw.traders.len() as u64, 1, MAX_GROUPS)?;
        let traders = raw.traders.iter().enumerate();
        let traders: Vec<Traders> = traders
            .map(|(at, one)| one.checked(at, committee.n(), &names))
            .collect::<Result<_, _>>()?;
        let splitting = traders.iter().filter(|one| one.attack == Some(Attack::Split)).count();
        range("the number of groups whose attack is \"split\"", splitting as u64, 0, 1)?;
        let bundles = traders.iter().map(|one| one.bundles).sum();
        range("the sum of traders' bundles", bundles, 1, MAX_BUNDLES)?;
        range("the number of faults", raw.faults.len() as u64, 0, MAX_FAULTS)?;
        let mode = mode(raw.mode.as_deref())?;
        let adversaries = adversaries(&raw.adversaries, committee)?;
        let attacked = traders.iter().any(|group| group.attack.is_some());
        let run = Measurable { mode, adversaries: &adversaries, attacked };
        Ok(Self {
            faults: faults::checked(&raw.faults, committee.n())?,
            expect: raw.expect.checked(&run)?,
            adversaries,
            mode,
            name: raw.name,
            about: raw.about,
            committee,
            latency_ms,
            jitter_ms: links.jitter_ms,
            loss_percent: links.loss_percent,
            between_sites_ms,
            site_of,
            traders,
        })
    }
}

/// The modes in which sequencers order by evidence without receive times.
const LIVE_MODES: [Mode; 2] = [Mode::Strict, Mode::Themis];

fn mode(word: Option<&str>) -> Result<Mode, FileError> {
    let Some(word) = word else { return Ok(Mode::Strict) };
    let found = LIVE_MODES.into_iter().find(|mode| mode.name() == word);
    found.ok_or_else(|| FileError::Word {
        key: "mode".into(),
        actual: word.to_owned(),
        expected: words(LIVE_MODES.map(Mode::name)),
    })
}

fn adversaries(
    raw: &[RawAdversary],
    committee: Committee,
) -> Result<Vec<(usize, Behaviour)>, FileError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, one) in raw.iter().enumerate() {
        let key = format!("adversaries[{at}].sequencer");
        let sequencer = positions(&key, &[one.sequencer], committee.n())?[0];
        if !seen.insert(sequencer) {
            let which = one.sequencer.to_string();
            return Err(FileError::Twice { key, what: "sequencer", which });
        }
        let behaviour = one.kind.parse();
        let behaviour = behaviour
            .map_err(|why| FileError::Adversary { key: format!("adversaries[{at}].kind"), why })?;
        if behaviour == Behaviour::FalseWitness {
            return Err(FileError::Idle { key: format!("adversaries[{at}].kind"), behaviour });
        }
        found.push((sequencer, behaviour));
    }
    if found.len() > usize::from(committee.f()) {
        return Err(FileError::TooManyAdversaries { actual: found.len(), limit: committee.f() });
    }
    Ok(found)
}

/// The names of the sites, and the site of each sequencer.
fn sites(raw: &[RawSite], n: u16) -> Result<(BTreeMap<String, usize>, Vec<usize>), FileError> {
    let mut names = BTreeMap::new();
    let mut site_of = vec![usize::MAX; usize::from(n)];
    for (at, site) in raw.iter().enumerate() {
        let key = format!("sites[{at}].sequencers");
        if names.insert(site.name.clone(), at).is_some() {
            let (key, which) = (format!("sites[{at}].name"), format!("{:?}", site.name));
            return Err(FileError::Twice { key, what: "site", which });
        }
        for position in positions(&key, &site.sequencers, n)? {
            if site_of[position] != usize::MAX {
                let which = (position + 1).to_string();
                return Err(FileError::Twice { key, what: "sequencer", which });
            }
            site_of[position] = at;
        }
    }
    let placed = site_of.iter().filter(|site| **site != usize::MAX).count() as u64;
    if raw.is_empty() {
        return Ok((names, Vec::new()));
    }
    range("the number of sequencers with a site", placed, u64::from(n), u64::from(n))?;
    Ok((names, site_of))
}

/// Positions of sequencers by their numbers, each once.
fn positions(key: &str, numbers: &[u64], n: u16) -> Result<Vec<usize>, FileError> {
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        range(key, *number, 1, u64::from(n))?;
        let position = usize::try_from(*number - 1).unwrap_or(usize::MAX);
        if found.contains(&position) {
            let (key, what, which) = (key.to_owned(), "sequencer", number.to_string());
            return Err(FileError::Twice { key, what, which });
        }
        found.push(position);
    }
    Ok(found)
}

/// How far sites are apart, if there are any.
fn between_sites_ms(given: Option<[u64; 2]>, sites: &[RawSite]) -> Result<(u64, u64), FileError> {
    let key = "links.between_sites_ms";
    if given.is_some() && sites.is_empty() {
        return Err(FileError::Ignored { key: key.into(), by: "without sites".into() });
    }
    pair(key, given.unwrap_or(BETWEEN_SITES_MS))
}

fn range(key: &str, actual: u64, least: u64, most: u64) -> Result<(), FileError> {
    if (least..=most).contains(&actual) {
        return Ok(());
    }
    Err(FileError::Range { key: key.to_owned(), actual, least, most })
}

fn pair(key: &str, [least, most]: [u64; 2]) -> Result<(u64, u64), FileError> {
    range(key, most, 0, MAX_LATENCY_MS)?;
    range(key, least, 0, most)?;
    Ok((least, most))
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    if words.is_empty() { "nothing: there is none".into() } else { words.join(", ") }
}
