//! A member as a player.

use commonware_codec::{Copying, DecodeExt as _, Encode as _, Write as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt as dkg;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::PrivateKey;
use commonware_parallel::Sequential;
use commonware_utils::N3f1;
use fairveil_crypto::domain::Tag;
use fairveil_crypto::{ConsensusSecret, SequencerIndex, Signature};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::judge::UsableLog;
use super::{Commitment, Round, randomness, signer};

/// A player that gathers its dealings.
pub(crate) struct Player {
    round: Round,
    player: dkg::Player<MinPk, PrivateKey>,
}

/// Why a dealing is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum DealingError {
    /// It does not open with this member's dealing key.
    #[error("the encrypted dealing does not open")]
    Sealed,
    /// It opens to something that is no scalar, or zero.
    #[error("the dealing is no scalar")]
    Scalar,
    /// It is not the value that the commitment promises.
    #[error("the dealing does not match its commitment")]
    Mismatch,
}

/// Why this member gets no share from a ceremony that succeeded: its own state is not what it
/// signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// A dealing is missing that this member acknowledged.
    #[error("a dealing is missing or stale that this member acknowledged")]
    Dealing,
    /// The share does not belong to this member's public key share.
    #[error("the share does not match the public key share")]
    Mismatch,
}

impl Player {
    /// A player without dealings. `None` if the secret is no member's.
    pub(crate) fn new(round: &Round, secret: &ConsensusSecret) -> Option<Self> {
        let player = dkg::Player::new(round.info.clone(), signer(secret)).ok()?;
        Some(Self { round: round.clone(), player })
    }

    /// Checks and keeps a dealing; returns the acknowledgement to post.
    pub(crate) fn receive(
        &mut self,
        dealer: SequencerIndex,
        commitment: &Commitment,
        private: &[u8],
    ) -> Result<Signature, DealingError> {
        let dealer = self.round.dealer(dealer).ok_or(DealingError::Mismatch)?.clone();
        let private =
            dkg::DealerPrivMsg::decode(Copying(private)).map_err(|_| DealingError::Scalar)?;
        let acknowledgement = self
            .player
            .dealer_message::<N3f1>(dealer, commitment.message.clone(), private)
            .ok()
            .flatten()
            .ok_or(DealingError::Mismatch)?;
        let mut signature = [0; 64];
        signature.copy_from_slice(&acknowledgement.encode());
        Ok(Signature::from_bytes(signature))
    }

    /// The share: the sum of the dealings of the selected logs.
    pub(crate) fn into_share(
        self,
        logs: &[(SequencerIndex, UsableLog)],
    ) -> Result<Zeroizing<[u8; 32]>, ShareError> {
        let (collected, seed) = self.round.collect(logs);
        let mut generator = randomness(Tag::CeremonyCheck, &seed).noise(b"share");
        let (_, share) = self
            .player
            .finalize::<N3f1>(&mut generator, collected, &Sequential)
            .map_err(|_| ShareError::Dealing)?;
        let mut bytes = Zeroizing::new([0; 32]);
        share.private.write(&mut &mut bytes[..]);
        Ok(bytes)
    }
}
