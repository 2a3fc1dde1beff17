//! One member's machine in the ceremony, driven by bytes: the honest entries in any order, damaged
//! ones, time and restarts.
//!
//! | byte | input |
//! |---|---|
//! | 0 to 3 | a block with some of the entries that were posted in an honest run |
//! | 4 | a block with a damaged one |
//! | 5 | a block with an entry as bytes |
//! | 6 | time passes |
//! | 7 | the machine starts again from its journal, with the log from the beginning |
//! | 8 | a block with all honest entries, in their order |

use std::collections::BTreeMap;
use std::time::Duration;

use fairveil_crypto::SequencerIndex;
use fairveil_keygen::{Ceremony, CeremonyEntry, DealingNonce, Input, Output, Phase, Record};

use super::choices::Choices;
use super::world::{WORLD, ceremony_of, consensus_secret, participant};
use super::{MAX_STEPS, Verdict};

/// Whose machine it is.
const MEMBER: u16 = 1;

struct Run {
    ceremony: Ceremony,
    own: SequencerIndex,
    now: Duration,
    nonce: Option<DealingNonce>,
    log: Vec<Vec<u8>>,
    /// By its place in the log: what was posted there first.
    posted: BTreeMap<String, Vec<u8>>,
    phase: Phase,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let mut run = Run::new();
    let mut choices = Choices::new(bytes);
    run.give(Input::Wake);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    Verdict::of(run.phase != Phase::Dealing)
}

impl Run {
    fn new() -> Self {
        let key = consensus_secret(MEMBER).public_key();
        Self {
            ceremony: ceremony_of(&WORLD.context, MEMBER),
            own: WORLD.context.definition().index_of(&key).expect("a member"),
            now: Duration::from_secs(100),
            nonce: None,
            log: Vec::new(),
            posted: BTreeMap::new(),
            phase: Phase::Dealing,
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(9) {
            0..=3 => {
                let entries = (0..=choices.below(4)).map(|_| choices.pick(&WORLD.entries).clone());
                let entries = entries.collect();
                self.agree(entries);
            }
            4 => {
                let entry = choices.pick(&WORLD.entries).clone();
                let damaged = choices.changed(&entry);
                self.agree(vec![damaged]);
            }
            5 => self.agree(vec![choices.bytes().to_vec()]),
            6 => {
                self.now += Duration::from_millis(64 * choices.number());
                self.give(Input::Wake);
            }
            7 => self.resume(),
            _ => self.agree(WORLD.entries.clone()),
        }
    }

    fn agree(&mut self, entries: Vec<Vec<u8>>) {
        self.log.extend(entries.iter().cloned());
        let height = self.log.len() as u64;
        self.give(Input::Agreed { height, entries });
    }

    fn give(&mut self, input: Input) {
        let outputs = self.ceremony.handle(self.now, input);
        for output in outputs {
            match output {
                Output::Post(entry) => self.post(&entry),
                Output::Persist(Record::Nonce(nonce)) => self.nonce = Some(nonce),
                Output::Persist(Record::Membership(member)) => {
                    assert_eq!(member.network_id, WORLD.network_id());
                    assert_eq!(member.share.index(), self.own);
                }
                Output::Entered(phase) => self.phase = phase,
                Output::Complete(transcript) => {
                    let verified = transcript.verify().expect("a complete transcript verifies");
                    assert_eq!(verified.network_id(), WORLD.network_id());
                }
                Output::Blamed(blame) => assert_ne!(blame.culprit.player, Some(self.own)),
                Output::NotAcknowledged { .. }
                | Output::Refused(_)
                | Output::NoShare(_)
                | Output::Failed(_) => {}
            }
        }
        let status = self.ceremony.status(self.now);
        assert_eq!(status.phase, self.phase);
        assert!(self.ceremony.pending().count() <= 2 * WORLD.transcript.dealings.len() + 5);
    }

    /// Invariants 1 and 2: a place in the log gets one entry, and none before the nonce is kept.
    fn post(&mut self, entry: &CeremonyEntry) {
        assert!(self.nonce.is_some(), "nothing is posted before the nonce is durable");
        let bytes = entry.encode();
        assert_eq!(CeremonyEntry::decode(&bytes, &WORLD.context).as_ref(), Ok(entry));
        let known = self.posted.entry(place(entry)).or_insert_with(|| bytes.clone());
        assert_eq!(*known, bytes, "two entries for one place");
    }

    fn resume(&mut self) {
        let nonce = self.nonce.clone().expect("kept at the first input");
        let resumed = Ceremony::resume(WORLD.context.clone(), participant(MEMBER), nonce);
        self.ceremony = resumed.expect("its own journal");
        self.phase = Phase::Dealing;
        self.give(Input::Wake);
        let (height, entries) = (self.log.len() as u64, self.log.clone());
        if height > 0 {
            self.give(Input::Agreed { height, entries });
        }
    }
}

fn place(entry: &CeremonyEntry) -> String {
    match entry {
        CeremonyEntry::Dealing(_) => "dealing".to_owned(),
        CeremonyEntry::Acknowledgement(one) => format!("answer to {}", one.dealer),
        CeremonyEntry::Complaint(one) => format!("answer to {}", one.dealer),
        CeremonyEntry::DealerLog(_) => "log".to_owned(),
        CeremonyEntry::Close(close) => format!("close {:?}", close.phase),
        CeremonyEntry::Confirmation(_) => "confirmation".to_owned(),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let dealings = [0, 3, 0, 1, 2, 3, 0, 0, 4];
    let all = [6, 0, 1, 8, 7, 6, 0, 64];
    let damaged = [&dealings[..], &[4, 7, 0, 0, 200, 1], &[8], &[7]].concat();
    let late = [&[0, 2, 0, 1, 2, 6, 255, 255, 6, 255, 255], &dealings[..]].concat();
    vec![dealings.to_vec(), all.to_vec(), damaged, late]
}
