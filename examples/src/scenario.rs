//! What every scenario is made of: files, and why they can't be made.

use thiserror::Error;

use crate::leg::{self, Call};
use crate::{arbitrage, burn_and_mint, vault, vote};

/// The chain ids of the rollups.
pub const ROLLUPS: [u64; 3] = [901, 902, 903];

/// A committed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below `examples`.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// Why a file can't be made or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExampleError {
    /// A JSON document that is not what it should be.
    #[error("a document is not of its form: {0}")]
    Artifact(String),
    /// A contract without such a method or variable.
    #[error("{contract} has no {what}")]
    Missing {
        /// The contract.
        contract: String,
        /// A method's signature, or a variable.
        what: String,
    },
    /// A key that is none.
    #[error("the key of {name} signs nothing")]
    Key {
        /// Whose.
        name: &'static str,
    },
    /// A line that is neither a transaction nor a comment.
    #[error("line {number} is neither a transaction nor a comment")]
    Line {
        /// Which, from 1.
        number: usize,
    },
}

/// All files of all scenarios.
pub fn files() -> Result<Vec<File>, ExampleError> {
    let scenarios = [burn_and_mint::files()?, vault::files()?, vote::files()?, arbitrage::files()?];
    Ok(scenarios.concat())
}

impl File {
    /// The file of a leg in a folder below `examples`.
    pub(crate) fn leg(folder: &str, chain_id: u64, calls: &[Call]) -> Result<Self, ExampleError> {
        Ok(Self { path: format!("{folder}/{chain_id}.txt"), text: leg::text(chain_id, calls)? })
    }

    /// A genesis in a folder below `examples`.
    pub(crate) fn genesis(
        folder: &str,
        chain_id: u64,
        genesis: &crate::genesis::Genesis,
    ) -> Result<Self, ExampleError> {
        Ok(Self { path: format!("{folder}/{chain_id}.json"), text: genesis.to_json()? })
    }
}
