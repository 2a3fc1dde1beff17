//! Requests for logs: how often they are made and answered.

use std::collections::BTreeMap;

use fairveil_crypto::SequencerIndex;

/// Answers that a peer gets between two renewals.
const ANSWERS: u32 = 4;

/// What was asked of whom, and what was answered, since the last renewal. A gap of many pieces is
/// noticed with each of them, and an answer is the whole rest of a log.
#[derive(Debug, Default)]
pub struct Requests {
    asked: BTreeMap<SequencerIndex, u64>,
    answered: BTreeMap<SequencerIndex, u32>,
}

impl Requests {
    /// Everybody may ask, and is asked, again.
    pub fn renew(&mut self) {
        self.asked.clear();
        self.answered.clear();
    }

    /// A peer came back: what was sent to it may be lost.
    pub fn forget(&mut self, peer: SequencerIndex) {
        self.asked.remove(&peer);
    }

    /// Whether to ask a peer for its log from this length on: not if that was done.
    pub fn asks(&mut self, peer: SequencerIndex, from: u64) -> bool {
        self.asked.insert(peer, from) != Some(from)
    }

    /// Whether a peer gets another answer.
    pub fn grants(&mut self, peer: SequencerIndex) -> bool {
        let answered = self.answered.entry(peer).or_default();
        *answered += 1;
        *answered <= ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_for_once_and_answers_are_counted_until_they_are_renewed() {
        let (one, other) = (SequencerIndex::new(1).unwrap(), SequencerIndex::new(2).unwrap());
        let mut requests = Requests::default();
        assert!(requests.asks(one, 7) && requests.asks(other, 7));
        assert!(!requests.asks(one, 7), "asked for");
        assert!(requests.asks(one, 9), "another gap");
        requests.forget(one);
        assert!(requests.asks(one, 9), "it came back");
        let granted = |requests: &mut Requests| (0..9).filter(|_| requests.grants(one)).count();
        assert_eq!(granted(&mut requests), ANSWERS as usize);
        assert!(requests.grants(other));
        requests.renew();
        assert_eq!(granted(&mut requests), ANSWERS as usize);
        assert!(requests.asks(one, 9));
    }
}
