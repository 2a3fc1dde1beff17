//! Whom a node is connected to: the members of the epoch that runs, and of the ones around it.
//!
//! Members of the running epoch are primary peers: the engine asks them for blocks. Those who only join
//! with the next one, or left with the last one, are secondary: connected, and asked for nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use commonware_p2p::{Manager as _, TrackedPeers};
use commonware_utils::ordered::Set;
use fairveil_consensus::committee::PublicKey;
use fairveil_crypto::Digest;
use fairveil_keygen::Definition;
use fairveil_transport::{Directory, Member, NetworkPublicKey};

use super::{NodeError, settings};

/// The peers of a node.
pub(super) struct Peers {
    directory: Directory,
    sets: Mutex<Sets>,
}

/// The sets so far.
struct Sets {
    /// The id of the next set: sets have rising ones.
    next: u64,
    /// The definitions of the running epoch and of the other one in the last set.
    last: Option<(Digest, Option<Digest>)>,
}

impl Peers {
    /// Nobody yet.
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, sets: Mutex::new(Sets { next: 1, last: None }) }
    }

    /// From now on: the members of the running epoch, and those of another one.
    pub(super) fn track(
        &self,
        running: &Definition,
        other: Option<&Definition>,
    ) -> Result<(), NodeError> {
        let primary = self.learn(running)?;
        let secondary = other.map(|other| self.learn(other)).transpose()?.unwrap_or_default();
        let mut sets = self.sets();
        let mut directory = self.directory.clone();
        let set = TrackedPeers::new(Set::from_iter_dedup(primary), Set::from_iter_dedup(secondary));
        directory.track(sets.next, set);
        self.directory.retire_before(sets.next);
        sets.next += 1;
        sets.last = Some((running.digest(), other.map(Definition::digest)));
        Ok(())
    }

    /// The members of this other epoch are no peers any more, if nobody else has taken their place
    /// since.
    pub(super) fn forget(&self, running: &Definition, other: &Definition) -> Result<(), NodeError> {
        let stands = self.sets().last == Some((running.digest(), Some(other.digest())));
        if stands { self.track(running, None) } else { Ok(()) }
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
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
