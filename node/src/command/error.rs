//! Why a command stops: one line with a cure, and the exit code.

use std::path::Path;

use crate::{cli::exit, process::NodeError};

/// Why a command stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command line, a file or the environment can't be used.
    #[error("{0}")]
    Usage(String),
    /// A check failed.
    #[error("{0}")]
    Check(String),
    /// Too few sequencers answered.
    #[error("{0}")]
    Unreachable(String),
    /// The machine failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl CommandError {
    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Check(_) => exit::CHECK,
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Node(error) => error.exit(),
        }
    }

    /// A file can't be used.
    pub(crate) fn file(path: &Path, why: &dyn std::fmt::Display) -> Self {
        Self::Usage(format!("{}: {why}", path.display()))
    }
}
