//! A member as a dealer.

use commonware_codec::{Copying, DecodeExt as _, Encode as _, Write as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt as dkg;
use commonware_cryptography::bls12381::primitives::group::{Private, Share};
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::PrivateKey;
use commonware_utils::{N3f1, Participant};
use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::domain::Tag;
use fairveil_crypto::{ConsensusSecret, SequencerIndex, Signature};
use zeroize::Zeroizing;

use super::{Commitment, Round, randomness, signer};

/// A dealer between its dealing and its log.
pub(crate) struct Dealer {
    round: Round,
    dealer: dkg::Dealer<MinPk, PrivateKey>,
}

/// What a dealer gives to each player: f(index), by index, as 32 bytes big-endian.
pub(crate) type PrivateDealings = Vec<Zeroizing<[u8; 32]>>;

impl Dealer {
    /// Deals the polynomial of this seed, with `share` as its constant coefficient in a resharing.
    /// `None` if the secret is no dealer's, or a resharing's dealer gives no share.
    pub(crate) fn start(
        round: &Round,
        secret: &ConsensusSecret,
        seed: &[u8; 32],
        share: Option<&KeyShare>,
    ) -> Option<(Self, Commitment, PrivateDealings)> {
        let generator = randomness(Tag::DealingSeed, seed).noise(b"polynomial");
        let share = match share {
            None => None,
            Some(share) => {
                let private = Private::decode(Copying(&share.expose_encoding()[..])).ok()?;
                Some(Share::new(Participant::from_usize(share.index().position()), private))
            }
        };
        let (info, signer) = (round.info.clone(), signer(secret));
        let (dealer, message, private) =
            dkg::Dealer::start::<N3f1>(generator, info, signer, share).ok()?;
        let commitment = Commitment { bytes: message.encode().to_vec(), message };
        let private = private
            .iter()
            .map(|(_, dealing)| {
                let mut bytes = Zeroizing::new([0; 32]);
                dealing.write(&mut &mut bytes[..]);
                bytes
            })
            .collect();
        Some((Self { round: round.clone(), dealer }, commitment, private))
    }

    /// Takes an acknowledgement of this dealer's dealing; one that does not verify changes nothing.
    pub(crate) fn receive_acknowledgement(
        &mut self,
        player: SequencerIndex,
        signature: &Signature,
    ) {
        let Some(player) = self.round.player(player).cloned() else {
            return;
        };
        if let Ok(acknowledgement) = dkg::PlayerAck::decode(Copying(signature.as_bytes())) {
            let _ = self.dealer.receive_player_ack(player, acknowledgement);
        }
    }

    /// The signed log: acknowledgements, and the dealings of those who did not acknowledge.
    pub(crate) fn into_log(self) -> Vec<u8> {
        self.dealer.finalize::<N3f1>().encode().to_vec()
    }
}
