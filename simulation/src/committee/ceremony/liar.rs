//! Members that lie in a resharing: what their machine posts is rewritten on its way out.

use std::time::Duration;

use fairveil_consensus::committee::PublicKey;
use fairveil_crypto::{ConsensusSecret, SequencerIndex};
use fairveil_keygen::adversary::{
    BadDealing, FalseComplaint, complain_falsely, deal_badly, sign_dealing,
};
use fairveil_keygen::entry::PostedDealing;
use fairveil_keygen::{CeremonyContext, CeremonyEntry, DealingSecret};
use fairveil_sequencer::renewal::{Input, Output, Progress, Renewal};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

/// How a member leaves a ceremony's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Deals nothing.
    Silent,
    /// Deals something wrong to another player.
    Bad(BadDealing),
    /// Signs two dealings.
    Twice,
    /// Complains about a good dealing.
    Accuses(FalseComplaint),
}

impl Lie {
    /// Any of them.
    pub(crate) fn any(rng: &mut ChaCha20Rng) -> Self {
        match rng.random_range(0..9) {
            0 => Self::Silent,
            1 => Self::Bad(BadDealing::Sealed),
            2 => Self::Bad(BadDealing::Scalar),
            3 => Self::Bad(BadDealing::Mismatch),
            4 => Self::Twice,
            5 => Self::Accuses(FalseComplaint::Shown),
            6 => Self::Accuses(FalseComplaint::WellSealed),
            7 => Self::Accuses(FalseComplaint::Proof),
            _ => Self::Accuses(FalseComplaint::Sound),
        }
    }
}

/// A machine whose posts are rewritten.
pub(super) struct Liar {
    machine: Box<dyn Renewal>,
    context: CeremonyContext,
    lie: Lie,
    dealing: DealingSecret,
    secret: ConsensusSecret,
    /// The dealings that are agreed.
    dealings: Vec<PostedDealing>,
}

impl Liar {
    pub(super) fn new(
        machine: Box<dyn Renewal>,
        context: CeremonyContext,
        lie: Lie,
        dealing: DealingSecret,
        secret: ConsensusSecret,
    ) -> Self {
        Self { machine, context, lie, dealing, secret, dealings: Vec::new() }
    }

    /// What goes out in the place of this entry.
    fn rewritten(&self, entry: CeremonyEntry) -> Vec<CeremonyEntry> {
        match (self.lie, entry) {
            (Lie::Silent, CeremonyEntry::Dealing(_)) => Vec::new(),
            (Lie::Bad(bad), CeremonyEntry::Dealing(posted)) => {
                let victims: Vec<_> = self.others().take(1).collect();
                let posted = deal_badly(&self.context, posted, bad, &victims, &self.secret);
                vec![CeremonyEntry::Dealing(posted)]
            }
            (Lie::Twice, CeremonyEntry::Dealing(posted)) => {
                let mut other = posted.clone();
                other.sealed.iter_mut().for_each(|sealed| sealed.reverse());
                let other = sign_dealing(&self.context, other, &self.secret);
                vec![CeremonyEntry::Dealing(posted), CeremonyEntry::Dealing(other)]
            }
            (Lie::Accuses(kind), CeremonyEntry::Acknowledgement(one)) => {
                let accused = self.others().next();
                let posted = self.dealings.iter().find(|posted| posted.public.dealer == one.dealer);
                let complaint = posted.filter(|_| accused == Some(one.dealer)).and_then(|posted| {
                    complain_falsely(&self.context, posted, kind, &self.secret, &self.dealing)
                });
                vec![
                    complaint.map_or(CeremonyEntry::Acknowledgement(one), CeremonyEntry::Complaint),
                ]
            }
            (_, entry) => vec![entry],
        }
    }

    /// Indices of players, and of dealers, but for those that it has itself.
    fn others(&self) -> impl Iterator<Item = SequencerIndex> {
        let own = [self.context.definition(), self.context.dealing_definition()]
            .map(|definition| definition.index_of(&self.secret.public_key()));
        let all = SequencerIndex::all(self.context.players().min(self.context.dealers()));
        all.filter(move |index| !own.contains(&Some(*index)))
    }
}

impl Renewal for Liar {
    fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        if let Input::Agreed { entries, .. } = &input {
            let entries = entries.iter();
            let decoded = entries.filter_map(|one| CeremonyEntry::decode(one, &self.context).ok());
            self.dealings.extend(decoded.filter_map(|entry| match entry {
                CeremonyEntry::Dealing(posted) => Some(posted),
                _ => None,
            }));
        }
        let mut outputs = Vec::new();
        for output in self.machine.handle(now, input) {
            let Output::Post(bytes) = output else {
                outputs.push(output);
                continue;
            };
            let entry = CeremonyEntry::decode(&bytes, &self.context).expect("an own entry");
            let said = self.rewritten(entry);
            outputs.extend(said.into_iter().map(|entry| Output::Post(entry.encode())));
        }
        outputs
    }

    fn wake_at(&self) -> Option<Duration> {
        self.machine.wake_at()
    }

    fn is_of(&self, author: &PublicKey, entry: &[u8]) -> bool {
        self.machine.is_of(author, entry)
    }

    fn progress(&self, now: Duration) -> Progress {
        self.machine.progress(now)
    }
}
