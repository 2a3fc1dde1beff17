//! Why a release can't be shown.

use fairveil_client::rpc::{Failure, code};
use fairveil_sequencer::{handle::CallError, record::BundleState};

use super::failure;

/// What is said of a bundle without a release document, where the oldest release kept is of height
/// `oldest`.
pub(super) fn why(state: Result<BundleState, CallError>, oldest: u64) -> Failure {
    match state {
        Ok(BundleState::Unknown) if oldest > 1 => {
            let why = format!(
                "nothing is known of this id here; what ended below height {oldest} may have been removed"
            );
            failure(code::UNKNOWN, &why)
        }
        Ok(BundleState::Unknown) => failure(code::UNKNOWN, "nothing is known of this id here"),
        Ok(BundleState::Ended(_, end)) if end.height.get() < oldest => {
            let height = end.height;
            let why = format!(
                "its release, of height {height}, was removed here, the oldest is of height {oldest}: ask \
                 another sequencer"
            );
            failure(code::UNKNOWN, &why)
        }
        _ => failure(code::NOT_RELEASED, "not released and certified yet"),
    }
}
