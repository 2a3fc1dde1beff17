//! Groups of traders in a scenario file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{FileError, MAX_BUNDLES, MAX_MS, MAX_SPREAD_MS, range, words};

/// When the first bundle of a group is sent, unless the file says it.
const FROM_MS: u64 = 1_200;
/// Time between two bundles of a group, unless the file says it.
const EVERY_MS: u64 = 5;

/// A group as it is in its file: a key that is not there is not there, so that one that would be
/// ignored is seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTraders {
    bundles: Option<u64>,
    from_ms: Option<u64>,
    every_ms: Option<u64>,
    jitter_ms: Option<u64>,
    reach: Option<Value>,
    site: Option<String>,
    attack: Option<Attack>,
}

/// How a group of traders attacks the order, with no sequencer's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Every sequencer gets the group's bundles in another rotation.
    Condorcet,
    /// Bundles that conflict, expire or hit limits go to different sequencers.
    Split,
}

impl Attack {
    /// Its name in files.
    const fn name(self) -> &'static str {
        match self {
            Self::Condorcet => "condorcet",
            Self::Split => "split",
        }
    }

    /// Whether it is made of such a key.
    fn reads(self, key: &str) -> bool {
        match self {
            Self::Condorcet => ["bundles", "from_ms", "every_ms"].contains(&key),
            Self::Split => false,
        }
    }
}

/// A group of traders.
#[derive(Clone, Debug)]
pub(crate) struct Traders {
    /// How many bundles; 0 of the splitting trader, whose bundles are always the same.
    pub(crate) bundles: u64,
    pub(crate) from_ms: u64,
    pub(crate) every_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) reach: usize,
    pub(crate) site: Option<usize>,
    pub(crate) attack: Option<Attack>,
}

impl RawTraders {
    pub(super) fn checked(
        &self,
        at: usize,
        n: u16,
        sites: &BTreeMap<String, usize>,
    ) -> Result<Traders, FileError> {
        let key = |name: &str| format!("traders[{at}].{name}");
        self.nothing_is_ignored(key)?;
        let bundles = match (self.bundles, self.attack) {
            (None, Some(Attack::Split)) => 0,
            (None, _) => return Err(FileError::Missing { key: key("bundles") }),
            (Some(bundles), _) => {
                range(&key("bundles"), bundles, 1, MAX_BUNDLES).map(|()| bundles)?
            }
        };
        let (from_ms, every_ms) =
            (self.from_ms.unwrap_or(FROM_MS), self.every_ms.unwrap_or(EVERY_MS));
        let jitter_ms = self.jitter_ms.unwrap_or(0);
        range(&key("from_ms"), from_ms, 0, MAX_MS)?;
        range(&key("every_ms"), every_ms, 0, MAX_MS)?;
        range(&key("bundles times every_ms"), bundles * every_ms, 0, MAX_MS)?;
        range(&key("jitter_ms"), jitter_ms, 0, MAX_SPREAD_MS)?;
        let reach = match &self.reach {
            None => u64::from(n),
            Some(Value::String(word)) if word == "all" => u64::from(n),
            Some(value) => value.as_u64().ok_or_else(|| FileError::Word {
                key: key("reach"),
                actual: value.to_string(),
                expected: format!("\"all\" or 1 to {n}"),
            })?,
        };
        range(&key("reach"), reach, 1, u64::from(n))?;
        let site = match &self.site {
            None => None,
            Some(name) => Some(*sites.get(name).ok_or_else(|| FileError::Word {
                key: key("site"),
                actual: name.clone(),
                expected: words(sites.keys().map(String::as_str)),
            })?),
        };
        Ok(Traders {
            bundles,
            from_ms,
            every_ms,
            jitter_ms,
            reach: usize::try_from(reach).unwrap_or(usize::MAX),
            site,
            attack: self.attack,
        })
    }

    /// Refuses a key that the group's attack is not made of.
    fn nothing_is_ignored(&self, key: impl Fn(&str) -> String) -> Result<(), FileError> {
        let Some(attack) = self.attack else { return Ok(()) };
        let given = [
            ("bundles", self.bundles.is_some()),
            ("from_ms", self.from_ms.is_some()),
            ("every_ms", self.every_ms.is_some()),
            ("jitter_ms", self.jitter_ms.is_some()),
            ("reach", self.reach.is_some()),
            ("site", self.site.is_some()),
        ];
        match given.into_iter().find(|(name, given)| *given && !attack.reads(name)) {
            None => Ok(()),
            Some((name, _)) => Err(FileError::Ignored {
                key: key(name),
                by: format!("by the attack {:?}", attack.name()),
            }),
        }
    }
}
