//! The fair order of one epoch, driven by bytes: signed fragments of five logs, block after block.
//!
//! | byte | what happens |
//! |---|---|
//! | 0 | a log gets some ids |
//! | 1 | a block with the newest fragments of some logs |
//! | 2 | the same, with something wrong in it |
//! | 3 | the state goes through its snapshot |
//! | 4 | the epoch ends, if nothing is pending |

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BlockDigest, BundleId, Epoch, Height, SequencerIndex};
use fairveil_ordering::{
    Block, Evidence, Fragment, LogName, Mode, OrderLog, Phase, State, VerifiedEvidence,
};

use super::choices::Choices;
use super::ordering::committee;
use super::world::{EPOCH, MEMBERS, WORLD};
use super::{MAX_STEPS, Verdict};

/// Ids that logs are made of.
const IDS: u8 = 24;

/// The height before the first block.
const BEGIN: u64 = 40;

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

/// Some windows close soon.
fn expires_at(id: &BundleId) -> Height {
    Height::new(BEGIN + 4 * u64::from(id.as_bytes()[0]))
}

struct Run {
    logs: Vec<OrderLog>,
    state: State,
    epoch: Epoch,
    emitted: BTreeSet<BundleId>,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let mut run = Run::new();
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    Verdict::of(!run.emitted.is_empty())
}

fn empty_logs(epoch: Epoch) -> Vec<OrderLog> {
    let name = |sequencer| LogName { network_id: WORLD.network_id(), epoch, sequencer };
    SequencerIndex::all(MEMBERS).map(|sequencer| OrderLog::new(name(sequencer))).collect()
}

impl Run {
    fn new() -> Self {
        let (network_id, height) = (WORLD.network_id(), Height::new(BEGIN));
        Self {
            logs: empty_logs(EPOCH),
            state: State::new(network_id, EPOCH, committee(), Mode::Strict, height),
            epoch: EPOCH,
            emitted: BTreeSet::new(),
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(5) {
            0 => {
                let log = choices.below(self.logs.len());
                for _ in 0..=choices.below(4) {
                    // A log that has the id already refuses it.
                    let _ = self.logs[log].append(id(choices.byte() % IDS));
                }
            }
            1 => self.block(choices),
            2 => self.damaged_block(choices),
            3 => self.restore(),
            _ => self.end_epoch(),
        }
    }

    fn fragment(&self, sequencer: SequencerIndex, choices: &mut Choices<'_>) -> Fragment {
        let log = &self.logs[sequencer.position()];
        let committed = self.state.committed(sequencer).expect("a member");
        let seen = self.state.order().height().saturating_sub([0, 0, 1, 33][choices.below(4)]);
        let time_ms = choices.number();
        Fragment {
            head: log.sign(seen, time_ms, WORLD.secret(sequencer)),
            ids: log.entries_from(committed.length).expect("nothing but committed ids is dropped"),
            times_ms: Vec::new(),
        }
    }

    fn evidence(&self, choices: &mut Choices<'_>) -> Evidence {
        let absent = choices.byte();
        let present = |sequencer: &SequencerIndex| absent >> sequencer.position() & 1 == 0;
        let members = SequencerIndex::all(MEMBERS).filter(present);
        let fragments = members.map(|sequencer| self.fragment(sequencer, choices)).collect();
        Evidence { fragments, list: Vec::new() }
    }

    fn verified(&self, evidence: Evidence) -> Option<VerifiedEvidence> {
        let keys = WORLD.dealt.committee.consensus_keys();
        evidence.verify(&WORLD.network_id(), self.epoch, keys).ok()
    }

    fn block(&mut self, choices: &mut Choices<'_>) {
        let evidence = self.evidence(choices);
        let packed = self.state.pack(&evidence);
        let verified = self.verified(evidence).expect("signed by its sequencers, in order");
        if let Ok(packed) = packed {
            let keys = WORLD.dealt.committee.consensus_keys();
            assert_eq!(self.state.verify(&packed, keys).as_ref(), Ok(&verified));
        }
        self.apply(choices, &verified);
    }

    /// Evidence that was signed and then changed, or that is not what the logs say.
    fn damaged_block(&mut self, choices: &mut Choices<'_>) {
        let mut evidence = self.evidence(choices);
        let way = choices.below(7);
        let at = choices.below(usize::from(MEMBERS));
        let Some(fragment) = evidence.fragments.get_mut(at) else { return };
        match way {
            0 => drop(fragment.ids.pop()),
            1 => fragment.ids.push(id(choices.byte())),
            2 => fragment.ids.reverse(),
            3 => fragment.head.time_ms ^= 1,
            4 => fragment.head.length = fragment.head.length.wrapping_sub(1),
            5 => evidence.fragments.reverse(),
            _ => evidence.list.push(id(choices.byte())),
        }
        if let Some(evidence) = self.verified(evidence) {
            self.apply(choices, &evidence);
        }
    }

    fn apply(&mut self, choices: &mut Choices<'_>, evidence: &VerifiedEvidence) {
        let height = self.state.order().height().next();
        let needed = self.state.would_reach_edge(evidence);
        let expiries: BTreeMap<_, _> = needed.iter().map(|id| (*id, expires_at(id))).collect();
        let phase = if choices.byte() % 8 == 7 { Phase::Draining } else { Phase::Ordering };
        let parent = BlockDigest::from_bytes([choices.byte(); 32]);
        let block = Block { height, parent, phase, evidence, expiries: &expiries };
        let (before, valid) = (self.state.clone(), self.state.validate(height, evidence));
        match self.state.apply(&block) {
            Ok(output) => {
                assert_eq!(valid, Ok(()));
                assert_eq!(output.reached_edge, needed);
                for emitted in output.emission.ids() {
                    assert!(self.emitted.insert(emitted.id), "an id is emitted at most once");
                }
                self.commit();
            }
            Err(_) => {
                assert_eq!(self.state.digest(), before.digest(), "a refused block changes nothing");
                assert_eq!(self.state.snapshot(), before.snapshot());
            }
        }
    }

    fn commit(&mut self) {
        for (log, sequencer) in self.logs.iter_mut().zip(SequencerIndex::all(MEMBERS)) {
            let committed = self.state.committed(sequencer).expect("a member");
            assert!(committed.length <= log.tip().length);
            log.drop_committed(committed.length);
        }
        let order = self.state.order();
        assert_eq!(order.live_ids(), order.pending().len() + order.unproposed().len());
    }

    fn restore(&mut self) {
        let bytes = self.state.snapshot();
        let restored = State::restore(&bytes).expect("its own snapshot");
        assert_eq!(restored.digest(), self.state.digest());
        assert_eq!(restored.snapshot(), bytes);
        self.state = restored;
    }

    /// New logs, which begin with what was not proposed; what was emitted stays emitted.
    fn end_epoch(&mut self) {
        let pending = self.state.order().pending().len();
        match self.state.next_epoch(committee()) {
            Ok((next, unproposed)) => {
                assert_eq!(pending, 0);
                self.epoch = next.epoch();
                self.state = next;
                self.logs = empty_logs(self.epoch);
                for log in &mut self.logs {
                    for id in &unproposed {
                        log.append(*id).expect("each id once");
                    }
                }
            }
            Err(still) => assert_eq!(still.ids, pending),
        }
    }
}

/// States after some blocks: with live, proposed and settled ids.
pub(super) fn sample_states() -> Vec<State> {
    let after = |bytes: &Vec<u8>| {
        let mut run = Run::new();
        let mut choices = Choices::new(bytes);
        while !choices.is_over() {
            run.act(&mut choices);
        }
        run.state
    };
    let mut states: Vec<_> = seeds().iter().map(after).collect();
    states.push(Run::new().state);
    states
}

/// All logs with the same ids, a block of all of them: everything is emitted.
const AGREED: [u8; 44] = [
    0, 0, 1, 1, 2, 0, 1, 1, 1, 2, 0, 2, 1, 1, 2, 0, 3, 1, 1, 2, 0, 4, 1, 2, 1, // five logs
    1, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 7, // a block
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let restored = [&AGREED[..], &[3, 1, 0], &[0; 15], &[0, 1, 4]].concat();
    // Orders that contradict each other stay pending until more logs report.
    let pending = [
        0, 0, 3, 1, 2, 3, 4, 0, 1, 3, 2, 3, 1, 4, 0, 2, 3, 3, 1, 2, 4, 0, 3, 1, 5, 6, 1, 16, 0, 0,
        1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 3, 0, 4, 2, 6, 1, 1, 0, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0,
        0, 2, 0, 0, 2, 0, 2,
    ];
    let damaged = [&AGREED[..25], &[2, 0], &[0; 15], &[1, 2, 9, 0, 1], &AGREED[25..]].concat();
    vec![AGREED.to_vec(), restored, [&AGREED[..], &pending].concat(), damaged]
}
