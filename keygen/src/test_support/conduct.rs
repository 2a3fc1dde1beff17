//! How a machine behaves in a run: honestly, silently, or with entries that it rewrites.

use std::sync::Arc;

use fairveil_crypto::SequencerIndex;

use super::{Bad, False, consensus_secret, dealing_secret_of, dealings};
use crate::adversary::{complain_falsely, deal_badly, sign_dealing};
use crate::entry::{Complaint, PostedDealing};
use crate::{CeremonyContext, CeremonyEntry};

/// What an entry is rewritten with.
pub(crate) struct View<'a> {
    pub(crate) context: &'a CeremonyContext,
    pub(crate) member: u16,
    pub(super) log: &'a [Vec<u8>],
}

type Rewrite = Arc<dyn Fn(&View<'_>, CeremonyEntry) -> Option<CeremonyEntry> + Send + Sync>;

/// How a machine behaves in a run.
#[derive(Clone)]
pub(crate) enum Conduct {
    Honest,
    /// Posts nothing.
    Silent,
    /// Its entries are rewritten before they are posted.
    Rewritten(Rewrite),
}

impl View<'_> {
    /// The first dealing of a dealer in the log.
    pub(crate) fn dealing(&self, dealer: SequencerIndex) -> PostedDealing {
        dealings(self.log, self.context)
            .into_iter()
            .find(|one| one.public.dealer == dealer)
            .unwrap()
    }

    /// The dealing with bad parts for these players, signed again.
    pub(crate) fn dealt_badly(
        &self,
        posted: PostedDealing,
        bad: Bad,
        victims: &[SequencerIndex],
    ) -> PostedDealing {
        deal_badly(self.context, posted, bad, victims, &consensus_secret(self.member))
    }

    pub(crate) fn signed(&self, posted: PostedDealing) -> PostedDealing {
        sign_dealing(self.context, posted, &consensus_secret(self.member))
    }

    /// A complaint without reason about a dealing to this member.
    pub(crate) fn complaint(&self, dealer: SequencerIndex, kind: False) -> Complaint {
        let secret = consensus_secret(self.member);
        let dealing = dealing_secret_of(self.context.definition().epoch().get(), self.member);
        complain_falsely(self.context, &self.dealing(dealer), kind, &secret, &dealing).unwrap()
    }
}

impl Conduct {
    pub(crate) fn rewriting(
        rewrite: impl Fn(&View<'_>, CeremonyEntry) -> Option<CeremonyEntry> + Send + Sync + 'static,
    ) -> Self {
        Self::Rewritten(Arc::new(rewrite))
    }

    /// Deals badly to the first so many players beside itself.
    pub(crate) fn bad_dealer(bad: Bad, victims: usize) -> Self {
        Self::rewriting(move |view, entry| {
            let CeremonyEntry::Dealing(posted) = entry else { return Some(entry) };
            let own = consensus_secret(view.member).public_key();
            let others = SequencerIndex::all(view.context.players())
                .filter(|index| view.context.definition().index_of(&own) != Some(*index));
            let victims: Vec<_> = others.take(victims).collect();
            Some(CeremonyEntry::Dealing(view.dealt_badly(posted, bad, &victims)))
        })
    }

    /// Complains about the dealing of one dealer without reason, in the place of acknowledging it.
    pub(crate) fn false_accuser(kind: False, accused: u16) -> Self {
        Self::rewriting(move |view, entry| {
            let key = consensus_secret(accused).public_key();
            let accused = view.context.dealing_definition().index_of(&key);
            match entry {
                CeremonyEntry::Acknowledgement(one) if Some(one.dealer) == accused => {
                    Some(CeremonyEntry::Complaint(view.complaint(one.dealer, kind)))
                }
                other => Some(other),
            }
        })
    }
}
