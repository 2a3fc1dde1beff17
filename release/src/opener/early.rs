//! What members sent of heights that are not final here yet.

use std::collections::BTreeMap;

use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{Height, SequencerIndex};

use super::division::Hint;
use super::message::{hint_bytes, share_bytes};
use super::{EARLY_BYTES, EARLY_HEIGHTS, FIRST};

/// What a member sent of a height that is not final here.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) share: Option<SignedShare>,
    pub(super) hints: Option<Vec<Hint>>,
}

impl Early {
    fn bytes(&self) -> usize {
        self.share.as_ref().map_or(0, share_bytes) + self.hints.as_deref().map_or(0, hint_bytes)
    }
}

/// Why it is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too far ahead, or beyond the bytes of its member.
    Beyond,
    /// The member has sent such a message of this height.
    Repeated,
}

/// Bounded by [`EARLY_HEIGHTS`] and, for each member, [`EARLY_BYTES`].
#[derive(Debug, Default)]
pub(super) struct EarlyMessages(BTreeMap<(Height, SequencerIndex), Early>);

impl EarlyMessages {
    pub(super) fn keep(
        &mut self,
        tip: Height,
        from: SequencerIndex,
        height: Height,
        more: Early,
    ) -> Result<(), Refused> {
        let known = self.0.iter().filter(|((_, member), _)| *member == from);
        let waiting: usize = known.map(|(_, early)| early.bytes()).sum();
        let far = height.distance_from(tip) > EARLY_HEIGHTS;
        if far || waiting + more.bytes() > EARLY_BYTES {
            return Err(Refused::Beyond);
        }
        let early = self.0.entry((height, from)).or_default();
        let again = (more.share.is_some() && early.share.is_some())
            || (more.hints.is_some() && early.hints.is_some());
        if again {
            return Err(Refused::Repeated);
        }
        early.share = early.share.take().or(more.share);
        early.hints = early.hints.take().or(more.hints);
        Ok(())
    }

    /// What was sent of a height that is final now; and how many messages of heights below it are
    /// dropped.
    pub(super) fn take(&mut self, height: Height) -> (Vec<(SequencerIndex, Early)>, u64) {
        let later = self.0.split_off(&(height.next(), FIRST));
        let mut below = std::mem::replace(&mut self.0, later);
        let here = below.split_off(&(height, FIRST));
        (here.into_iter().map(|((_, from), early)| (from, early)).collect(), below.len() as u64)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
