//! The rollups of a network, as its definition registers them, and changes of them.

use fairveil_keygen::Definition;
use fairveil_keygen::definition::{Rollup as Defined, RollupState};
use fairveil_release::registry::{Registry, RegistryError, Rollup};
use fairveil_release::slot::BlockTimes;

pub use fairveil_release::change;
pub use fairveil_release::registry::{EmbeddedState, FollowedState, StateSource};

/// The registry with which a network begins.
///
/// # Errors
///
/// If the rollups' block times do not meet in slots, or there is no rollup.
pub fn registry(definition: &Definition) -> Result<Registry, RegistryError> {
    Registry::new(definition.proposal().rollups.iter().map(rollup).collect())
}

/// A rollup as a registry lists it.
#[must_use]
pub fn rollup(defined: &Defined) -> Rollup {
    let blocks = defined.blocks.map(|blocks| BlockTimes {
        genesis_ms: blocks.genesis_ms,
        interval_ms: blocks.interval_ms,
    });
    let state = defined.state.map(|state| match state {
        RollupState::Embedded { genesis, base_fee } => {
            StateSource::Embedded(EmbeddedState { genesis, base_fee })
        }
        RollupState::Followed { max_age_ms, elasticity, denominator } => {
            StateSource::Followed(FollowedState { max_age_ms, elasticity, denominator })
        }
    });
    Rollup {
        chain_id: defined.chain_id,
        name: defined.name.clone(),
        blocks,
        gas_limit: defined.gas_limit,
        byte_limit: defined.byte_limit,
        allows_set_code: defined.allows_set_code,
        paused: false,
        state,
    }
}
