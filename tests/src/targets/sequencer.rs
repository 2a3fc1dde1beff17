//! What sequencers say of their logs, and what one knows of all of them.
//!
//! | byte | what happens to the known logs |
//! |---|---|
//! | 0 | a log gets some ids |
//! | 1, 2 | its owner sends a piece |
//! | 3 | a piece with something wrong in it |
//! | 4 | a message as bytes |
//! | 5 | blocks commit the logs, as far as they are known |
//! | 6 | a leader takes a fragment |
//! | 7 | the culprit writes its log anew |

use fairveil_crypto::certificate::Placement;
use fairveil_crypto::encoding::encode;
use fairveil_crypto::{BundleId, Height, SequencerIndex};
use fairveil_ordering::{Evidence, LogHead, LogName, OrderLog, Tip};
use fairveil_sequencer::logs::{KnownLogs, Learned, LogMessage, MAX_PIECE_IDS};
use fairveil_sequencer::record::{End, Event, LegEnd, Place};

use super::choices::Choices;
use super::scene::{SCENE, head};
use super::world::{CULPRIT, EPOCH, MEMBERS, WORLD, index};
use super::{MAX_STEPS, Verdict, kind, stored, tagged};

/// What sequencers say to each other about their logs, and what they store of ends and events.
pub(super) fn log_message(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 2) else { return Verdict::Refused };
    match kind {
        1 => return Verdict::of(stored::<Place>(bytes).is_some()),
        2 => return Verdict::of(stored::<Event>(bytes).is_some()),
        _ => {}
    }
    let Ok(message) = LogMessage::decode(bytes) else { return Verdict::Refused };
    assert_eq!(message.encode(), bytes);
    if let LogMessage::Piece { from, head, ids } = &message {
        let mut known = known_logs();
        let before = known.known(head.sequencer);
        let learned = known.learn(head.sequencer, *from, *head, ids);
        if learned != Ok(Learned::Extended) {
            assert_eq!(known.known(head.sequencer), before);
        }
    }
    Verdict::Accepted
}

pub(super) fn log_message_seeds() -> Vec<Vec<u8>> {
    let ids = vec![BundleId::from_bytes([1; 32]), BundleId::from_bytes([2; 32])];
    let (release, _) = &SCENE.releases[0];
    let (height, root) = (release.header.height, release.header.root());
    let outcomes: Vec<_> =
        release.leaves.iter().map(|leaf| (leaf.id, leaf.outcome.clone())).collect();
    let legs = vec![LegEnd { chain_id: 901, first: 0, receipts: Vec::new() }];
    let end = Some(End { height, outcome: outcomes[0].1.clone(), legs, time_ms: 9 });
    let place = Place { height, position: 1, cohort: 0, placement: Placement::Open, end };
    let cohorts = vec![ids.clone(), Vec::new()];
    let messages = [
        LogMessage::Piece { from: 0, head: head(index(1), &[1, 2]), ids },
        LogMessage::Piece { from: 2, head: head(index(3), &[1, 2]), ids: Vec::new() },
        LogMessage::Request { from: 7 },
    ];
    let mut seeds = messages.map(|message| tagged(0, &message.encode())).to_vec();
    seeds.extend([
        tagged(1, &encode(&place)),
        tagged(2, &encode(&Event::Ordered { height, time_ms: 1, cohorts })),
        tagged(2, &encode(&Event::Released { height, root, outcomes })),
    ]);
    seeds
}

fn known_logs() -> KnownLogs {
    let keys = WORLD.dealt.committee.consensus_keys().to_vec();
    KnownLogs::new(WORLD.network_id(), EPOCH, keys)
}

fn empty_log(sequencer: SequencerIndex) -> OrderLog {
    OrderLog::new(LogName { network_id: WORLD.network_id(), epoch: EPOCH, sequencer })
}

struct Run {
    /// All entries: nothing is dropped.
    logs: Vec<OrderLog>,
    known: KnownLogs,
    committed: Vec<Tip>,
    extended: bool,
}

pub(super) fn run(bytes: &[u8]) -> Verdict {
    let logs: Vec<_> = SequencerIndex::all(MEMBERS).map(empty_log).collect();
    let committed = logs.iter().map(OrderLog::tip).collect();
    let mut run = Run { logs, known: known_logs(), committed, extended: false };
    let mut choices = Choices::new(bytes);
    for _ in 0..MAX_STEPS {
        if choices.is_over() {
            break;
        }
        run.act(&mut choices);
    }
    Verdict::of(run.extended)
}

impl Run {
    fn act(&mut self, choices: &mut Choices<'_>) {
        let operation = choices.below(8);
        let position = choices.below(self.logs.len());
        let owner = SequencerIndex::from_position(position).expect("a member");
        match operation {
            0 => {
                for _ in 0..=choices.below(4) {
                    // A log that has the id already refuses it.
                    let _ = self.logs[position].append(BundleId::from_bytes([choices.byte(); 32]));
                }
            }
            1 | 2 => {
                let (from, head, ids) = self.piece(owner, choices);
                self.learn(owner, from, head, &ids);
            }
            3 => self.odd_piece(owner, choices),
            4 => {
                if let Ok(LogMessage::Piece { from, head, ids }) =
                    LogMessage::decode(choices.bytes())
                {
                    self.learn(owner, from, head, &ids);
                }
            }
            5 => {
                self.committed[position] = self.known.known(owner).expect("a member");
                let committed = self.committed.clone();
                self.known.commit(|sequencer| committed.get(sequencer.position()).copied());
            }
            6 => self.fragment(owner, choices),
            _ => self.logs[CULPRIT.position()] = empty_log(CULPRIT),
        }
        self.check();
    }

    /// Entries from some length on, up to some other one, with the head that is signed there.
    fn piece(
        &self,
        owner: SequencerIndex,
        choices: &mut Choices<'_>,
    ) -> (u64, LogHead, Vec<BundleId>) {
        let log = &self.logs[owner.position()];
        let length = log.tip().length;
        let all = log.entries_from(0).expect("nothing is dropped");
        let from = u64::from(choices.byte()).min(length);
        let to = length - u64::from(choices.byte()).min(length - from);
        let (seen, time_ms) = (Height::new(choices.byte().into()), choices.byte().into());
        let tip = log.name().start().after_all(&all[..to as usize]);
        let head = LogHead::sign(log.name(), tip, seen, time_ms, WORLD.secret(owner));
        (from, head, all[from as usize..to as usize].to_vec())
    }

    fn odd_piece(&mut self, owner: SequencerIndex, choices: &mut Choices<'_>) {
        let (mut from, mut head, mut ids) = self.piece(owner, choices);
        let mut sender = owner;
        match choices.below(6) {
            0 => drop(ids.pop()),
            1 => ids.reverse(),
            2 => head.time_ms = head.time_ms.wrapping_add(1),
            3 => sender = index(1 + u16::from(choices.byte() % 6)),
            4 => from = u64::MAX - from,
            _ => ids.push(BundleId::from_bytes([choices.byte(); 32])),
        }
        self.learn(sender, from, head, &ids);
    }

    fn learn(&mut self, sender: SequencerIndex, from: u64, head: LogHead, ids: &[BundleId]) {
        let before = self.known.known(sender);
        match self.known.learn(sender, from, head, ids) {
            Ok(Learned::Extended) => {
                assert_eq!(self.known.known(sender), Some(head.tip()));
                assert_eq!(head.sequencer, sender, "invariant 1");
                self.extended = true;
            }
            Ok(Learned::Equivocated(proof)) => {
                let key = &WORLD.dealt.committee.consensus_keys()[sender.position()];
                assert_eq!(proof.verify(&WORLD.network_id(), key), Ok(()), "invariant 3");
                assert_eq!(sender, CULPRIT);
                assert_eq!(self.known.known(sender), before);
            }
            Ok(Learned::Missing { from: known }) => {
                assert_eq!(before.map(|tip| tip.length), Some(known));
                assert_eq!(self.known.known(sender), before);
            }
            Ok(Learned::Renewed | Learned::Nothing) | Err(_) => {
                assert_eq!(self.known.known(sender), before)
            }
        }
    }

    /// What a leader takes is signed and continues what is committed.
    fn fragment(&mut self, owner: SequencerIndex, choices: &mut Choices<'_>) {
        let committed = self.committed[owner.position()];
        let limit = choices.below(8);
        let height = Height::new(choices.byte().into());
        let Some(fragment) = self.known.fragment(owner, committed, limit, height) else { return };
        assert!(fragment.ids.len() <= limit.min(MAX_PIECE_IDS));
        assert_eq!(committed.after_all(&fragment.ids), fragment.head.tip());
        let evidence = Evidence { fragments: vec![fragment], list: Vec::new() };
        let keys = WORLD.dealt.committee.consensus_keys();
        assert!(evidence.verify(&WORLD.network_id(), EPOCH, keys).is_ok());
    }

    /// What is known of an honest log is its beginning.
    fn check(&self) {
        for (log, owner) in self.logs.iter().zip(SequencerIndex::all(MEMBERS)) {
            let known = self.known.known(owner).expect("a member");
            assert_eq!(self.known.tip_at(owner, known.length), Some(known));
            if owner != CULPRIT {
                let entries = log.entries_from(0).expect("nothing is dropped");
                let length = usize::try_from(known.length).unwrap_or(usize::MAX);
                let start = empty_log(owner).tip();
                assert_eq!(entries.get(..length).map(|ids| start.after_all(ids)), Some(known));
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let extended = [0, 0, 2, 1, 2, 3, 1, 0, 0, 1, 1, 6, 0, 7, 5, 0, 6, 0, 7];
    let missing = [0, 2, 3, 1, 2, 3, 4, 1, 2, 2, 1, 1, 1, 2, 0, 1, 2, 3, 2, 0, 1, 1, 3];
    let forked = [0, 1, 0, 1, 1, 1, 0, 1, 1, 7, 0, 0, 1, 0, 2, 1, 1, 0, 1, 1, 5, 1, 6, 1, 3];
    [&extended[..], &missing, &forked].map(<[u8]>::to_vec).to_vec()
}
