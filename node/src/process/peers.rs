//! Whom a node is connected to: the members of the epoch that runs, and of the ones around it.
//!
//! Members of the running epoch are primary peers: the engine asks them for blocks. Those who only join
//! with the next one, or left with the last one, are secondary: connected, and asked for nothing.

use std::sync::Mutex;

use commonware_p2p::{Manager as _, TrackedPeers};
use commonware_utils::ordered::Set;
use fairveil_consensus::committee::PublicKey;
use fairveil_keygen::Definition;
use fairveil_transport::{Directory, Member, NetworkPublicKey};

use super::{NodeError, settings};

/// The peers of a node.
pub(super) struct Peers {
    directory: Directory,
    /// The id of the next set: sets have rising ones.
    next: Mutex<u64>,
}

impl Peers {
    /// Nobody yet.
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, next: Mutex::new(1) }
    }

    /// From now on: the members of the running epoch, and those of another one.
    pub(super) fn track(
        &self,
        running: &Definition,
        other: Option<&Definition>,
    ) -> Result<(), NodeError> {
        let primary = self.learn(running)?;
        let secondary = other.map(|other| self.learn(other)).transpose()?.unwrap_or_default();
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut directory = self.directory.clone();
        let set = TrackedPeers::new(Set::from_iter_dedup(primary), Set::from_iter_dedup(secondary));
        directory.track(*next, set);
        self.directory.retire_before(*next);
        *next += 1;
        Ok(())
    }

    fn learn(&self, definition: &Definition) -> Result<Vec<PublicKey>, NodeError> {
        let failed = |what: &'static str, why: String| NodeError::Start { what, why };
        let members = definition
            .members()
            .iter()
            .map(|member| {
                let network_key = NetworkPublicKey::from_bytes(*member.network.as_bytes());
                let address = settings::resolve(Some(&member.peer_address))?;
                Member::approved(member.consensus, network_key, address)
                    .map_err(|error| failed("member", error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let keys = members.iter().map(|member| member.key().clone()).collect();
        self.directory.learn(members).map_err(|error| failed("members", error.to_string()))?;
        Ok(keys)
    }
}
