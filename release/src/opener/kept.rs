//! Own shares that are kept to answer requests.

use std::collections::BTreeMap;

use fairveil_crypto::share::SignedShare;
use fairveil_crypto::{Height, SequencerIndex};

use super::message::share_bytes;
use super::{ANSWER_EVERY_MS, KEPT_BYTES, Opener, Output, ShareMessage};

/// An own share, with the members that got it as an answer and when.
#[derive(Debug)]
pub(super) struct Kept {
    share: SignedShare,
    answered_ms: BTreeMap<SequencerIndex, u64>,
}

impl Opener {
    pub(super) fn answer(
        &mut self,
        now_ms: u64,
        to: SequencerIndex,
        height: Height,
        outputs: &mut Vec<Output>,
    ) {
        let kept = self.kept.get_mut(&height);
        let answer = kept.filter(|kept| {
            let last = kept.answered_ms.get(&to);
            last.is_none_or(|last| now_ms >= last.saturating_add(ANSWER_EVERY_MS))
        });
        match answer {
            Some(kept) => {
                kept.answered_ms.insert(to, now_ms);
                let share = Box::new(kept.share.clone());
                outputs.push(Output::Send { to, message: ShareMessage::Share { height, share } });
            }
            None => self.dropped.unanswered += 1,
        }
    }

    pub(super) fn keep_share(&mut self, height: Height, share: SignedShare) {
        self.kept.insert(height, Kept { share, answered_ms: BTreeMap::new() });
        let newest = self.kept.last_key_value().map_or(self.tip, |(height, _)| *height);
        let oldest = newest.saturating_sub(self.kept_heights.saturating_sub(1));
        self.kept = self.kept.split_off(&oldest);
        let mut bytes: usize = self.kept.values().map(|kept| share_bytes(&kept.share)).sum();
        while bytes > KEPT_BYTES
            && let Some((_, kept)) = self.kept.pop_first()
        {
            bytes -= share_bytes(&kept.share);
        }
    }
}
