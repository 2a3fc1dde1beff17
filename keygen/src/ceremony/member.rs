//! The secret side of a member: what it deals, opens, signs and gets.

use std::collections::BTreeMap;
use std::fmt;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::{ConsensusSecret, Epoch, NetworkId, SequencerIndex, Signature};

use super::{Output, Record};
use crate::agreed::{Agreed, Phase, Refusal};
use crate::context::{CeremonyContext, Participant, Seats};
use crate::dealing::{DealingSecret, Header, resharing_seed, seal_dealing};
use crate::dkg::{Dealer, DealingError, Player, ShareError};
use crate::entry::{
    Acknowledgement, CeremonyEntry, Close, ClosingPhase, Complaint, Confirmation, DealerLog,
    Dealing, PostedDealing,
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
    Complaint(SequencerIndex),
    Log,
    Confirmation,
    Close(ClosingPhase),
}

/// What this member answered to a dealing.
enum Answer {
    Acknowledgement(Signature),
    Complaint(Complaint),
}

pub(super) struct Member {
    seats: Seats,
    consensus: ConsensusSecret,
    /// Of a dealer that has something to deal.
    posted: Option<PostedDealing>,
    dealer: Option<Dealer>,
    log: Option<Vec<u8>>,
    /// Of a player.
    dealing: Option<DealingSecret>,
    player: Option<Player>,
    answers: BTreeMap<SequencerIndex, Answer>,
    has_share: bool,
}

impl Member {
    pub(super) fn new(
        context: &CeremonyContext,
        seats: Seats,
        participant: Participant,
        nonce: &[u8; 32],
    ) -> Self {
        let dealt = seats.dealer.and_then(|index| deal(context, index, &participant, nonce));
        let (dealer, posted) = dealt.unzip();
        let Participant { consensus, dealing, share: _ } = participant;
        let player = seats.player.and_then(|_| Player::new(context.dkg(), &consensus));
        Self {
            seats,
            consensus,
            posted,
            dealer,
            log: None,
            dealing,
            player,
            answers: BTreeMap::new(),
            has_share: false,
        }
    }

    pub(super) fn seats(&self) -> Seats {
        self.seats
    }

    pub(super) fn dealer_index(&self) -> Option<SequencerIndex> {
        self.seats.dealer
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
                agreed.take_dealing(posted.public.clone())?;
                let dealer = posted.public.dealer;
                if Some(dealer) == self.seats.dealer
                    && self.posted.as_ref().is_some_and(|own| own.public != posted.public)
                {
                    // An earlier life of this member dealt, and its journal is lost: the rest of its
                    // part would contradict that.
                    (self.posted, self.dealer, self.log) = (None, None, None);
                }
                let error = self.receive(agreed, &posted);
                outputs.extend(error.map(|error| Output::NotAcknowledged { dealer, error }));
                Ok(())
            }
            CeremonyEntry::Acknowledgement(one) => {
                agreed.take_acknowledgement(one)?;
                if Some(one.dealer) == self.seats.dealer
                    && let Some(dealer) = &mut self.dealer
                {
                    dealer.receive_acknowledgement(one.player, &one.signature);
                }
                Ok(())
            }
            CeremonyEntry::Complaint(complaint) => agreed.take_complaint(complaint),
            CeremonyEntry::DealerLog(log) => agreed.take_log(log),
            CeremonyEntry::Close(close) => agreed.take_close(close),
            CeremonyEntry::Confirmation(confirmation) => agreed.take_confirmation(confirmation),
        }
    }

    /// Opens and checks the own part of a dealing that was agreed on, and answers it.
    fn receive(&mut self, agreed: &Agreed, posted: &PostedDealing) -> Option<DealingError> {
        let dealer = posted.public.dealer;
        // A commitment that is none is the dealer's public fault: nothing of it is private.
        let commitment = agreed.commitment(dealer)?;
        let (player, index) = (self.player.as_mut()?, self.seats.player?);
        let (secret, context) = (self.dealing.as_ref()?, agreed.context());
        let header = Header {
            ceremony: context.id(),
            dealer,
            receiver: index,
            commitment: &posted.public.commitment,
        };
        let sealed = posted.sealed.get(index.position()).map_or(&[][..], Vec::as_slice);
        let received = secret
            .open(&header, sealed)
            .and_then(|private| player.receive(dealer, commitment, &private));
        let error = received.as_ref().err().copied();
        let answer = received.map_or_else(
            |_| {
                let (pad, all) = (secret.pad(&header, sealed), &posted.sealed);
                let (dealing, signer) = (&posted.public, &self.consensus);
                let complaint = Complaint::sign(context, index, dealing, all, pad, signer);
                Answer::Complaint(complaint)
            },
            Answer::Acknowledgement,
        );
        self.answers.insert(dealer, answer);
        error
    }

    /// The key is known: computes the own share and has it journalled.
    pub(super) fn take_share(&mut self, agreed: &Agreed, outputs: &mut Vec<Output>) {
        let (Some(player), Some(index)) = (self.player.take(), self.seats.player) else {
            return;
        };
        let Some(key) = agreed.key() else { return };
        let definition = agreed.context().definition();
        let share = player.into_share(&agreed.usable_logs()).and_then(|bytes| {
            let share = KeyShare::decode(index, &bytes[..]).map_err(|_| ShareError::Mismatch)?;
            let expected = key.committee.public_key_share(index);
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
        if let Some(dealer) = self.seats.dealer {
            self.dealer_entries(agreed, dealer, overdue, &mut wanted);
        }
        if let Some(player) = self.seats.player {
            self.player_entries(agreed, player, &mut wanted);
        }
        wanted
    }

    fn dealer_entries(
        &mut self,
        agreed: &Agreed,
        index: SequencerIndex,
        overdue: bool,
        wanted: &mut BTreeMap<Slot, CeremonyEntry>,
    ) {
        let phase = agreed.phase();
        if let Some(posted) = &self.posted
            && phase == Phase::Dealing
            && !agreed.has_dealt(index)
        {
            wanted.insert(Slot::Dealing, CeremonyEntry::Dealing(posted.clone()));
        }
        let awaits_log = agreed.commitment(index).is_some() && !agreed.has_logged(index);
        if phase == Phase::Logging && awaits_log {
            if let Some(dealer) = self.dealer.take() {
                self.log = Some(dealer.into_log());
            }
            if let Some(log) = &self.log {
                let entry = DealerLog { dealer: index, log: HexBytes(log.clone()) };
                wanted.insert(Slot::Log, CeremonyEntry::DealerLog(entry));
            }
        }
        if let Some(closing) = phase.closing()
            && overdue
            && !agreed.has_voted(index)
        {
            let close = Close::sign(agreed.context(), index, closing, &self.consensus);
            wanted.insert(Slot::Close(closing), CeremonyEntry::Close(close));
        }
    }

    fn player_entries(
        &self,
        agreed: &Agreed,
        player: SequencerIndex,
        wanted: &mut BTreeMap<Slot, CeremonyEntry>,
    ) {
        if matches!(agreed.phase(), Phase::Dealing | Phase::Acknowledging) {
            let open = |dealer: SequencerIndex| {
                agreed.commitment(dealer).is_some() && !agreed.has_answered(dealer, player)
            };
            for (&dealer, answer) in self.answers.iter().filter(|(dealer, _)| open(**dealer)) {
                let (slot, entry) = match answer {
                    &Answer::Acknowledgement(signature) => {
                        let entry = Acknowledgement { dealer, player, signature };
                        (Slot::Acknowledgement(dealer), CeremonyEntry::Acknowledgement(entry))
                    }
                    Answer::Complaint(complaint) => {
                        (Slot::Complaint(dealer), CeremonyEntry::Complaint(complaint.clone()))
                    }
                };
                wanted.insert(slot, entry);
            }
        }
        if let Some(key) = agreed.key()
            && self.has_share
            && !agreed.has_confirmed(player)
        {
            let entry = Confirmation::sign(player, key.transcript, &self.consensus);
            wanted.insert(Slot::Confirmation, CeremonyEntry::Confirmation(entry));
        }
    }
}

/// The dealing of this nonce. `None` for a resharing's dealer without its share.
fn deal(
    context: &CeremonyContext,
    index: SequencerIndex,
    participant: &Participant,
    nonce: &[u8; 32],
) -> Option<(Dealer, PostedDealing)> {
    let Participant { consensus, dealing, share } = participant;
    let share = if context.predecessor().is_some() { Some(share.as_ref()?) } else { None };
    let seed = match share {
        Some(share) => resharing_seed(share, consensus, context.id(), nonce),
        None => dealing.as_ref()?.dealing_seed(context.id(), nonce),
    };
    let (dealer, commitment, private) = Dealer::start(context.dkg(), consensus, &seed, share)?;
    let commitment = commitment.points();
    let sealed: Vec<Vec<u8>> = SequencerIndex::all(context.players())
        .zip(context.definition().members().iter().zip(&private))
        .map(|(receiver, (member, private))| {
            let (ceremony, commitment) = (context.id(), &commitment[..]);
            let header = Header { ceremony, dealer: index, receiver, commitment };
            seal_dealing(&member.dealing, &header, &seed, private)
                .expect("a definition has valid dealing keys, and no scalar is zero")
        })
        .collect();
    let public = Dealing::sign(context, index, commitment, &sealed, consensus);
    Some((dealer, PostedDealing { public, sealed }))
}
