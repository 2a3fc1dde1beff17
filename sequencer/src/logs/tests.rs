use fairveil_crypto::{ConsensusSecret, Height};
use fairveil_ordering::OrderLog;

use super::*;

const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);

fn index(position: usize) -> SequencerIndex {
    SequencerIndex::from_position(position).unwrap()
}

fn secret(position: u8) -> ConsensusSecret {
    ConsensusSecret::from_seed([position + 1; 32])
}

fn known() -> KnownLogs {
    let keys = (0..3).map(|position| secret(position).public_key()).collect();
    KnownLogs::new(NETWORK, Epoch::new(1), keys)
}

fn log(position: usize) -> OrderLog {
    let sequencer = index(position);
    OrderLog::new(LogName { network_id: NETWORK, epoch: Epoch::new(1), sequencer })
}

fn id(byte: u8) -> BundleId {
    BundleId::from_bytes([byte; 32])
}

fn grown(ids: &[u8]) -> OrderLog {
    let mut log = log(0);
    for byte in ids {
        log.append(id(*byte)).unwrap();
    }
    log
}

fn head(log: &OrderLog, height: u64) -> LogHead {
    log.sign(Height::new(height), height * 100, &secret(0))
}

#[test]
fn pieces_extend_and_gaps_are_asked_for() {
    let mut known = known();
    let short = head(&grown(&[1, 2]), 1);
    let long = head(&grown(&[1, 2, 3, 4]), 1);
    let missing = known.learn(index(0), 2, long, &[id(3), id(4)]);
    assert_eq!(missing, Ok(Learned::Missing { from: 0 }));
    assert_eq!(known.learn(index(0), 0, short, &[id(1), id(2)]), Ok(Learned::Extended));
    let overlap = known.learn(index(0), 1, long, &[id(2), id(3), id(4)]);
    assert_eq!(overlap, Ok(Learned::Extended));
    assert_eq!(known.known(index(0)).unwrap().length, 4);
    assert_eq!(known.learn(index(0), 0, short, &[id(1), id(2)]), Ok(Learned::Nothing));
}

#[test]
fn invariant_1_unsigned_and_wrong_pieces_are_refused() {
    let mut known = known();
    let good = head(&grown(&[1]), 1);
    let mut forged = good;
    forged.time_ms += 1;
    let refused = |fault: Result<Learned, PieceFault>| fault.unwrap_err();
    let fault = refused(known.learn(index(0), 0, forged, &[id(1)]));
    assert_eq!(fault, PieceFault::Signature { length: 1 });
    let fault = refused(known.learn(index(0), 0, good, &[id(2)]));
    assert_eq!(fault, PieceFault::Chain { length: 1 });
    let fault = refused(known.learn(index(1), 0, good, &[id(1)]));
    assert!(matches!(fault, PieceFault::Owner { .. }));
    let fault = refused(known.learn(index(0), 0, good, &[]));
    assert_eq!(fault, PieceFault::Count { actual: 0, from: 0, length: 1 });
    assert_eq!(known.known(index(0)).unwrap().length, 0);
}

#[test]
fn invariant_2_a_contradicted_log_restarts_at_the_committed_length() {
    let mut known = known();
    let told = grown(&[1, 2]);
    known.learn(index(0), 0, head(&told, 1), &[id(1), id(2)]).unwrap();
    let committed = grown(&[9]);
    known.commit(|sequencer| (sequencer == index(0)).then(|| committed.tip()));
    assert_eq!(known.known(index(0)), Some(committed.tip()));
    let next = grown(&[9, 8]);
    let learned = known.learn(index(0), 1, head(&next, 2), &[id(8)]);
    assert_eq!(learned, Ok(Learned::Extended));
}

#[test]
fn invariant_3_two_chains_of_one_length_are_evidence() {
    let mut known = known();
    let (one, other) = (head(&grown(&[1]), 1), head(&grown(&[2]), 1));
    known.learn(index(0), 0, one, &[id(1)]).unwrap();
    let learned = known.learn(index(0), 0, other, &[id(2)]).unwrap();
    let Learned::Equivocated(evidence) = learned else { panic!("{learned:?}") };
    assert_eq!(*evidence, Equivocation { one, other });
}

#[test]
fn fragments_continue_what_is_committed_within_the_limit() {
    let mut known = known();
    let mut log = log(0);
    for byte in 1..=6 {
        let from = log.tip().length;
        log.append(id(byte)).unwrap();
        known.learn(index(0), from, head(&log, u64::from(byte)), &[id(byte)]).unwrap();
    }
    let committed = grown(&[1, 2]).tip();
    let fragment = known.fragment(index(0), committed, 3).unwrap();
    assert_eq!(fragment.ids, [id(3), id(4), id(5)]);
    assert_eq!(fragment.head.length, 5);
    known.commit(|_| Some(committed));
    assert_eq!(known.fragment(index(0), committed, 9).unwrap().ids.len(), 4);
    let all = log.tip();
    known.commit(|_| Some(all));
    let beat = known.fragment(index(0), all, 9).unwrap();
    assert!(beat.ids.is_empty());
    let newer = head(&log, 60);
    known.learn(index(0), 6, newer, &[]).unwrap();
    assert_eq!(known.fragment(index(0), all, 9).unwrap().head, newer);
}

#[test]
fn invariant_4_heads_are_thinned() {
    let mut known = known();
    let mut log = log(0);
    for number in 0..200u8 {
        log.append(id(number)).unwrap();
        known.learn(index(0), u64::from(number), head(&log, 1), &[id(number)]).unwrap();
    }
    assert!(known.logs[0].heads.len() <= MAX_HEADS);
    assert_eq!(known.fragment(index(0), super::tests::log(0).tip(), 500).unwrap().ids.len(), 200);
}

#[test]
fn messages_have_one_encoding() {
    let message = LogMessage::Piece { from: 0, head: head(&grown(&[1]), 1), ids: vec![id(1)] };
    let mut bytes = message.encode();
    assert_eq!(LogMessage::decode(&bytes), Ok(message));
    bytes.push(0);
    assert!(LogMessage::decode(&bytes).is_err());
}
