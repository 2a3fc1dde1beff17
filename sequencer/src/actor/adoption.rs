//! Taking over certified releases, and giving own ones to members that are behind.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{Digest, Height, SequencerIndex};
use fairveil_release::{
    adoption::{Input, Output, ReleaseMessage, ReleasePart},
    certificate::ReleaseCertificate,
    message::OpeningMessage,
};
use rand_core_10::CryptoRng;

use super::{Actor, Lane, StopReason};
use crate::{
    handle::{MAX_CERTIFICATE_BYTES, decoded},
    record::height_key,
    store::Table,
};

/// Parts that one peer gets between two renewals.
const SERVED_PARTS: u32 = 64;

/// What peers were given lately: a bound per peer, and the release that was read last.
#[derive(Debug, Default)]
pub(crate) struct Served {
    parts: BTreeMap<PublicKey, u32>,
    last: Option<(Height, Vec<u8>)>,
}

impl Served {
    /// Everybody may ask again.
    pub(super) fn renew(&mut self) {
        self.parts.clear();
    }

    /// Whether a peer may have another part.
    pub(super) fn grant(&mut self, peer: &PublicKey) -> bool {
        let parts = self.parts.entry(peer.clone()).or_default();
        *parts += 1;
        *parts <= SERVED_PARTS
    }
}

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    pub(super) fn release_message(
        &mut self,
        from: SequencerIndex,
        message: ReleaseMessage,
    ) -> Result<(), StopReason> {
        if let ReleaseMessage::Request { height, part } = message {
            let Some(peer) = self.keys.get(from.position()).cloned() else { return Ok(()) };
            return self.serve_release(&peer, height, part);
        }
        let now = self.now_ms();
        let outputs = self.openings.adoption.handle(now, Input::Message { from, message });
        self.adoption_outputs(outputs)
    }

    /// Asks for the certified releases of heights that could not be opened in time.
    pub(super) fn tick_adoption(&mut self, now_ms: u64) -> Result<(), StopReason> {
        let mut outputs = Vec::new();
        for height in self.openings.overdue(now_ms) {
            if let Some(root) = self.stored_certified_root(height)? {
                let registry = self.rollups.at(height);
                let wanted = Input::Wanted { height, root, registry };
                outputs.extend(self.openings.adoption.handle(now_ms, wanted));
            }
        }
        if self.openings.adoption.wake_at().is_some_and(|at| at <= now_ms) {
            outputs.extend(self.openings.adoption.handle(now_ms, Input::Wake));
        }
        self.adoption_outputs(outputs)
    }

    fn adoption_outputs(&mut self, outputs: Vec<Output>) -> Result<(), StopReason> {
        let mut whole = false;
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    self.send(Lane::Shares, &[to], OpeningMessage::Release(message).encode());
                }
                Output::Whole { release, root } => {
                    self.openings.adopted(release, root);
                    whole = true;
                }
            }
        }
        if whole {
            self.cut();
        }
        Ok(())
    }

    /// The root that a final block certifies for a height, however long ago.
    pub(super) fn stored_certified_root(
        &self,
        height: Height,
    ) -> Result<Option<Digest>, StopReason> {
        if let Some(root) = self.certified_root(height) {
            return Ok(Some(root));
        }
        let Some(bytes) = self.store.get(Table::Certified, &height_key(height))? else {
            return Ok(None);
        };
        let certificate: ReleaseCertificate =
            decoded(Table::Certified, &bytes, MAX_CERTIFICATE_BYTES)?;
        let listed = certificate.releases.iter().find(|listed| listed.height == height);
        Ok(listed.map(|listed| listed.root))
    }

    pub(super) fn serve_release(
        &mut self,
        to: &PublicKey,
        height: Height,
        part: u32,
    ) -> Result<(), StopReason> {
        if !self.served.grant(to) {
            self.count("release_requests_refused", 1);
            return Ok(());
        }
        if self.served.last.as_ref().is_none_or(|(last, _)| *last != height) {
            let found = self.store.get(Table::Releases, &height_key(height))?;
            self.served.last = found.map(|bytes| (height, bytes));
        }
        let release = self.served.last.as_ref();
        let part = release.and_then(|(_, bytes)| ReleasePart::of(height, bytes, part));
        let message = match part {
            Some(part) => ReleaseMessage::Part(part),
            None => ReleaseMessage::Absent { height },
        };
        let message = OpeningMessage::Release(message).encode();
        self.send_to(Lane::Shares, vec![to.clone()], message);
        Ok(())
    }
}
