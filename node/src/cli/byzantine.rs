//! Named adversaries on the command line.

use std::{ffi::OsStr, fmt};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use fairveil_sequencer::Behaviour;

/// A named adversary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByzantineKind(Behaviour);

impl ByzantineKind {
    /// The front-runner of `fairveil demo`.
    pub(crate) const FRONT_RUNNER: Self = Self(Behaviour::FrontRunner);

    /// How it behaves.
    pub(crate) const fn behaviour(self) -> Behaviour {
        self.0
    }
}

/// As it stands on a command line.
impl fmt::Display for ByzantineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads an adversary's name; all of them are listed in help, completions and `docs/cli.md`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kinds;

impl TypedValueParser for Kinds {
    type Value = ByzantineKind;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let kind = |text: String| text.parse().map(ByzantineKind);
        StringValueParser::new().try_map(kind).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Behaviour::ALL.into_iter().map(|kind| PossibleValue::new(kind.name()))))
    }
}
