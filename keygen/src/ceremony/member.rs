//! The secret side of a member: what it deals, opens, signs and gets.

use std::collections::BTreeMap;
use std::fmt;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::{ConsensusSecret, Epoch, NetworkId, SequencerIndex, Signature};

use super::{Output, Record};
use crate::agreed::{Agreed, Phase, Refusal};
use crate::context::CeremonyContext;
use crate::dealing::{DealingSecret, Header, seal_dealing};
use crate::dkg::{Dealer, DealingError, Player, ShareError};
use crate::entry::{
    Acknowledgement, CeremonyEntry, Close, ClosingPhase, Confirmation, DealerLog, Dealing,
    PostedDealing,
};
use crate::hex_bytes::HexBytes;

/// A sequencer's part of a committee key.
pub struct Membership {
    /// The network.
    pub network_id: NetworkId,
    /// The committee's epoch.
    pub epoch: Epoch,
    /// The key share.
    pub share: KeyShare,
}

impl fmt::Debug for Membership {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network_id, epoch, .. } = self;
        write!(out, "Membership({network_id}, epoch {epoch}, <redacted>)")
    }
}

/// Places for own entries in the log: at most one entry stands in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Dealing,
    Acknowledgement(SequencerIndex),
    Log,
    Confirmation,
    Close(ClosingPhase),
}

pub(super) struct Member {
    index: SequencerIndex,
    consensus: ConsensusSecret,
    dealing: DealingSecret,
    posted: PostedDealing,
    dealer: Option<Dealer>,
    player: Option<Player>,
    acknowledgements: BTreeMap<SequencerIndex, Signature>,
    log: Option<Vec<u8>>,
    has_share: bool,
}

impl Member {
    pub(super) fn new(
        context: &CeremonyContext,
        index: SequencerIndex,
        consensus: ConsensusSecret,
        dealing: DealingSecret,
        seed: &[u8; 32],
    ) -> Self {
        let is_member = "the keys were identified as a member's";
        let (dealer, commitment, private) =
            Dealer::start(context.dkg(), &consensus, seed).expect(is_member);
        let player = Player::new(context.dkg(), &consensus).expect(is_member);
        let commitment = commitment.points();
        let members = context.definition().members();
        let sealed: Vec<Vec<u8>> = SequencerIndex::all(context.definition().n())
            .zip(members.iter().zip(&private))
            .map(|(receiver, (member, private))| {
                let (ceremony, commitment) = (context.id(), &commitment[..]);
                let header = Header { ceremony, dealer: index, receiver, commitment };
                seal_dealing(&member.dealing, &header, seed, private)
                    .expect("a definition has valid dealing keys, and no scalar is zero")
            })
            .collect();
        let public = Dealing::sign(context, index, commitment, &sealed, &consensus);
        Self {
            index,
            consensus,
            dealing,
            posted: PostedDealing { public, sealed },
            dealer: Some(dealer),
            player: Some(player),
            acknowledgements: BTreeMap::new(),
            log: None,
            has_share: false,
        }
    }

    pub(super) fn index(&self) -> SequencerIndex {
        self.index
    }

    /// Applies an entry to the agreed state, and to the secret side of this member.
    pub(super) fn apply(
        &mut self,
        agreed: &mut Agreed,
        entry: CeremonyEntry,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        match entry {
            CeremonyEntry::Dealing(posted) => {
                let dealer = posted.public.dealer;
                agreed.take_dealing(posted.public)?;
                let sealed = posted.sealed.get(self.index.position());
                let error = self.receive(agreed, dealer, sealed.map_or(&[], Vec::as_slice)).err();
                outputs.extend(error.map(|error| Output::NotAcknowledged { dealer, error }));
                Ok(())
            }
            CeremonyEntry::Acknowledgement(one) => {
                agreed.take_acknowledgement(one)?;
                if one.dealer == self.index
                    && let Some(dealer) = &mut self.dealer
                {
                    dealer.receive_acknowledgement(one.player, &one.signature);
                }
                Ok(())
            }
            CeremonyEntry::DealerLog(log) => agreed.take_log(log),
            CeremonyEntry::Close(close) => agreed.take_close(close),
            CeremonyEntry::Confirmation(confirmation) => agreed.take_confirmation(confirmation),
        }
    }

    /// Opens and checks the own part of a dealing that was agreed on.
    fn receive(
        &mut self,
        agreed: &Agreed,
        dealer: SequencerIndex,
        sealed: &[u8],
    ) -> Result<(), DealingError> {
        // A commitment that is none is the dealer's public fault: nothing of it is private.
        let (Some(commitment), Some(player)) = (agreed.commitment(dealer), &mut self.player) else {
            return Ok(());
        };
        let points = commitment.points();
        let header = Header {
            ceremony: agreed.context().id(),
            dealer,
            receiver: self.index,
            commitment: &points,
        };
        let private = self.dealing.open(&header, sealed)?;
        let signature = player.receive(dealer, commitment, &private)?;
        self.acknowledgements.insert(dealer, signature);
        Ok(())
    }

    /// The key is known: computes the own share and has it journalled.
    pub(super) fn take_share(&mut self, agreed: &Agreed, outputs: &mut Vec<Output>) {
        let (Some(player), Some(key)) = (self.player.take(), agreed.key()) else {
            return;
        };
        let definition = agreed.context().definition();
        let share = player.into_share(&agreed.usable_logs()).and_then(|bytes| {
            let share =
                KeyShare::decode(self.index, &bytes[..]).map_err(|_| ShareError::Mismatch)?;
            let expected = key.committee.public_key_share(self.index);
            let matches = expected == Some(share.public_key_share());
            matches.then_some(share).ok_or(ShareError::Mismatch)
        });
        outputs.push(match share {
            Ok(share) => {
                self.has_share = true;
                Output::Persist(Record::Membership(Membership {
                    network_id: definition.network_id(),
                    epoch: definition.epoch(),
                    share,
                }))
            }
            Err(error) => Output::NoShare(error),
        });
    }

    /// The entries that this member wants in the log and that are not there yet.
    pub(super) fn entries(
        &mut self,
        agreed: &Agreed,
        overdue: bool,
    ) -> BTreeMap<Slot, CeremonyEntry> {
        let mut wanted = BTreeMap::new();
        let phase = agreed.phase();
        if phase == Phase::Dealing && !agreed.has_dealt(self.index) {
            wanted.insert(Slot::Dealing, CeremonyEntry::Dealing(self.posted.clone()));
        }
        if matches!(phase, Phase::Dealing | Phase::Acknowledging) {
            for (&dealer, &signature) in &self.acknowledgements {
                if !agreed.has_acknowledged(dealer, self.index) {
                    let entry = Acknowledgement { dealer, player: self.index, signature };
                    let entry = CeremonyEntry::Acknowledgement(entry);
                    wanted.insert(Slot::Acknowledgement(dealer), entry);
                }
            }
        }
        if phase == Phase::Logging && self.awaits_log(agreed) {
            let log = self.log.get_or_insert_with(|| {
                self.dealer.take().map(Dealer::into_log).unwrap_or_default()
            });
            let entry = DealerLog { dealer: self.index, log: HexBytes(log.clone()) };
            wanted.insert(Slot::Log, CeremonyEntry::DealerLog(entry));
        }
        if let Some(key) = agreed.key()
            && self.has_share
            && !agreed.has_confirmed(self.index)
        {
            let entry = Confirmation::sign(self.index, key.transcript, &self.consensus);
            wanted.insert(Slot::Confirmation, CeremonyEntry::Confirmation(entry));
        }
        if let Some(closing) = phase.closing()
            && overdue
            && !agreed.has_voted(self.index)
        {
            let close = Close::sign(agreed.context(), self.index, closing, &self.consensus);
            wanted.insert(Slot::Close(closing), CeremonyEntry::Close(close));
        }
        wanted
    }

    /// Whether the own dealing is in the log and the own log is not.
    fn awaits_log(&self, agreed: &Agreed) -> bool {
        agreed.commitment(self.index).is_some() && !agreed.has_logged(self.index)
    }
}
