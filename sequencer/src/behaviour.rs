//! Honest, or a named adversary.
//!
//! The adversaries are real sequencers that leave the protocol at one place each (the front-runner at
//! two: its log, and shares before finality); everything else they do honestly, so that what is
//! measured is the attack and not an outage. They are started by tests, by the simulation and by
//! `fairveil dev`, never by a configuration file.
//!
//! | family | leaves the protocol | kinds |
//! |---|---|---|
//! | logs | what it reports, when, in which order | `reverser`, `randomiser`, `late-reporter`, `phantom`, `censor`, `front-runner`, `id-grinder`, `equivocator` |
//! | leader | which evidence its blocks carry | `omitting-leader`, `censor` |
//! | injection | to whom its own bundles go, and when | `racer`, `condorcet`, `spammer`, `splitter` |
//! | partition | who hears it first | `partitioner` |
//! | opening | its decryption shares | `bad-sharer`, `share-withholder`, `front-runner` |
//! | epochs | what it tells those who join | `false-witness` |
//!
//! # Invariants
//!
//! 1. A behaviour is its name: [`FromStr`] reads what [`Display`](fmt::Display) writes, and every kind
//!    of [`Behaviour::ALL`] has a name of its own.

use std::{fmt, str::FromStr};

/// Own bundles of a cycle, unless another number is named.
pub const CYCLE_BUNDLES: u16 = 10;
/// The fewest and the most own bundles of a cycle.
pub const CYCLE_BUNDLES_RANGE: std::ops::RangeInclusive<u16> = 2..=256;

/// How a sequencer behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// As the protocol says.
    #[default]
    Honest,
    /// Signs a second chain for its order log and shows it to half of its peers.
    Equivocator,
    /// Reports what it received in a piece in reverse order.
    Reverser,
    /// Reports what it received in a piece in random order.
    Randomiser,
    /// Reports everything, half a second late.
    LateReporter,
    /// Reports ids of bundles that nobody holds.
    Phantom,
    /// Signs wrong decryption shares.
    BadSharer,
    /// Never sends its decryption shares.
    ShareWithholder,
    /// Never reports a bundle, and as a leader carries no other sequencer's new ids.
    Censor,
    /// As a leader leaves out the fragments, or the new ids, of the f others that report most.
    OmittingLeader,
    /// Reverses its log, puts its own bundles first, and asks for shares before finality.
    FrontRunner,
    /// Holds back what traders submit to it until its own bundle is on its way to everybody.
    Racer,
    /// Seals own bundles again until their ids are small, and puts them first in its log.
    IdGrinder,
    /// Hands own bundles to the others in rotated orders, around those of traders, so that their logs
    /// form a cycle.
    Condorcet {
        /// How many at a time.
        bundles: u16,
    },
    /// Sends each peer other junk: bundles of its own that it shows to nobody else, altered ones, noise.
    Spammer,
    /// Shows each half of its peers other bundles first, and one half its log late.
    Partitioner,
    /// Shows its peers different bundles of one payer nonce, and some of them bundles that soon expire.
    Splitter,
    /// Tells members that join, or missed something, of another beginning of the epoch and of other
    /// entries of the resharing, and serves wrong bytes.
    FalseWitness,
}

/// Why a text names no behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownBehaviour {
    /// No kind has this name.
    #[error("no adversary is named {name:?}; there are {}", names())]
    Name {
        /// What was given.
        name: String,
    },
    /// The kind has no number, or this is none for it.
    #[error(
        "{name}:{parameter}: only condorcet takes a number, of {} to {} bundles",
        CYCLE_BUNDLES_RANGE.start(),
        CYCLE_BUNDLES_RANGE.end()
    )]
    Parameter {
        /// The kind.
        name: String,
        /// What was given behind the colon.
        parameter: String,
    },
}

impl Behaviour {
    /// All adversaries, with their defaults.
    pub const ALL: [Self; 17] = [
        Self::Equivocator,
        Self::Reverser,
        Self::Randomiser,
        Self::LateReporter,
        Self::Phantom,
        Self::BadSharer,
        Self::ShareWithholder,
        Self::Censor,
        Self::OmittingLeader,
        Self::FrontRunner,
        Self::Racer,
        Self::IdGrinder,
        Self::Condorcet { bundles: CYCLE_BUNDLES },
        Self::Spammer,
        Self::Partitioner,
        Self::Splitter,
        Self::FalseWitness,
    ];

    /// The kind's name, on command lines and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Equivocator => "equivocator",
            Self::Reverser => "reverser",
            Self::Randomiser => "randomiser",
            Self::LateReporter => "late-reporter",
            Self::Phantom => "phantom",
            Self::BadSharer => "bad-sharer",
            Self::ShareWithholder => "share-withholder",
            Self::Censor => "censor",
            Self::OmittingLeader => "omitting-leader",
            Self::FrontRunner => "front-runner",
            Self::Racer => "racer",
            Self::IdGrinder => "id-grinder",
            Self::Condorcet { .. } => "condorcet",
            Self::Spammer => "spammer",
            Self::Partitioner => "partitioner",
            Self::Splitter => "splitter",
            Self::FalseWitness => "false-witness",
        }
    }

    /// The adversary of this name, with its defaults.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condorcet { bundles } => write!(f, "{}:{bundles}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

/// `NAME`, or `condorcet:BUNDLES`.
impl FromStr for Behaviour {
    type Err = UnknownBehaviour;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let kind = Self::named(name).ok_or_else(|| Self::Err::Name { name: name.into() })?;
        let Some(parameter) = parameter else { return Ok(kind) };
        let number = parameter.parse().ok().filter(|it| CYCLE_BUNDLES_RANGE.contains(it));
        match (kind, number) {
            (Self::Condorcet { .. }, Some(bundles)) => Ok(Self::Condorcet { bundles }),
            _ => Err(Self::Err::Parameter { name: name.into(), parameter: parameter.into() }),
        }
    }
}

fn names() -> String {
    Behaviour::ALL.map(Behaviour::name).join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn invariant_1_a_behaviour_is_its_name() {
        for kind in Behaviour::ALL {
            assert_eq!(Behaviour::named(kind.name()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let names: BTreeSet<_> = Behaviour::ALL.map(Behaviour::name).into();
        assert_eq!(names.len(), Behaviour::ALL.len());
        assert_eq!("condorcet:2".parse(), Ok(Behaviour::Condorcet { bundles: 2 }));
    }

    #[test]
    fn what_is_no_behaviour_is_refused_with_what_there_is() {
        let refused = |text: &str| text.parse::<Behaviour>().unwrap_err().to_string();
        assert!(refused("robot").starts_with("no adversary is named \"robot\"; there are equiv"));
        assert!(refused("honest").contains("no adversary is named"));
        for text in ["condorcet:1", "condorcet:257", "condorcet:", "condorcet:x", "reverser:2"] {
            assert!(refused(text).contains("of 2 to 256 bundles"), "{text}");
        }
    }
}
