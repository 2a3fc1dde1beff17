use fairveil_crypto::ConsensusSecret;
use fairveil_ordering::OrderLog;

use super::*;

const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);
/// A height at which everything is fresh that these tests sign, unless they say otherwise.
const NEXT: Height = Height::new(10);

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
    assert_eq!(known.equivocation(&other), Some(Equivocation { one, other }), "in a final block");
    assert_eq!(known.equivocation(&one), None);
    known.commit(|sequencer| (sequencer == index(0)).then_some(other.tip()));
    assert_eq!(known.equivocation(&other), None, "what contradicts the chain is gone");
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
    let fragment = known.fragment(index(0), committed, 3, NEXT).unwrap();
    assert_eq!(fragment.ids, [id(3), id(4), id(5)]);
    assert_eq!(fragment.head.length, 5);
    known.commit(|_| Some(committed));
    assert_eq!(known.fragment(index(0), committed, 9, NEXT).unwrap().ids.len(), 4);
    let all = log.tip();
    known.commit(|_| Some(all));
    let beat = known.fragment(index(0), all, 9, NEXT).unwrap();
    assert!(beat.ids.is_empty());
    let newer = head(&log, 60);
    known.learn(index(0), 6, newer, &[]).unwrap();
    assert_eq!(known.fragment(index(0), all, 9, NEXT).unwrap().head, newer);
}

/// An id that differs from every other number's.
fn numbered(number: u64) -> BundleId {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

/// Appends `count` ids and shows them, with a head that has seen `height`.
fn grow(known: &mut KnownLogs, log: &mut OrderLog, count: u64, height: u64) {
    let from = log.tip().length;
    let ids: Vec<_> = (from..from + count).map(numbered).collect();
    for id in &ids {
        log.append(*id).unwrap();
    }
    let learned = known.learn(index(0), from, head(log, height), &ids);
    assert_eq!(learned, Ok(Learned::Extended));
}

/// Heads that are signed anew where an owner signs them, after a block at `committed`.
fn renew(known: &mut KnownLogs, log: &OrderLog, reach: Reach, committed: u64, height: u64) {
    let all = log.tip().length;
    for length in reach.lengths(committed, all).chain([all]) {
        let tip = known.tip_at(index(0), length).unwrap();
        let head = LogHead::sign(log.name(), tip, Height::new(height), height * 100, &secret(0));
        let learned = known.learn(index(0), length, head, &[]);
        assert!(!matches!(learned, Err(_) | Ok(Learned::Missing { .. })), "{learned:?}");
    }
}

#[test]
fn invariants_4_and_5_heads_are_thinned_and_never_too_far_apart() {
    let piece = MAX_PIECE_IDS as u64;
    let (mut known, mut log, mut state) = (known(), log(0), 7u64);
    while log.tip().length < MAX_AHEAD as u64 - piece {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly a few ids at a time, as a stalled network gets them; sometimes a whole piece.
        let count = if state >> 60 == 0 { piece } else { 1 + (state >> 33) % 8 };
        grow(&mut known, &mut log, count, 1);
        let heads = &known.logs[0].heads;
        assert!(heads.len() <= MAX_HEADS, "{}", heads.len());
        let lengths: Vec<_> = [0].into_iter().chain(heads.iter().map(|head| head.length)).collect();
        let gaps = lengths.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| gap > 0 && gap <= piece), "{:?}", gaps.max());
    }
    assert!(known.logs[0].heads.len() < log.tip().length as usize / 8, "thinned");
}

#[test]
fn invariant_5_a_long_backlog_is_taken_piece_by_piece_while_every_log_has_one() {
    for n in [5, 13, 31, 128] {
        let reach = Reach::of(Intake::Open, false, n);
        let Reach::Entries(share) = reach else { panic!() };
        let (mut known, mut log) = (known(), log(0));
        // Nothing was final for a minute: all heads have seen the same height.
        for _ in 0..2_400 {
            grow(&mut known, &mut log, 5, 1);
        }
        let (mut committed, mut height) = (log.name().start(), 2);
        while committed != log.tip() {
            let next = Height::new(height);
            let taken = known.fragment(index(0), committed, share as usize, next).unwrap();
            // Longer than a head stays fresh: what is signed anew is what counts.
            assert!(taken.head.is_fresh(next, FRESH_HEIGHTS), "n = {n}, height {height}");
            assert!(!taken.ids.is_empty(), "n = {n}, height {height}");
            committed = taken.head.tip();
            known.commit(|_| Some(committed));
            renew(&mut known, &log, reach, committed.length, height);
            height += 1;
        }
        assert!(n < 128 || height > FRESH_HEIGHTS + 10, "{height}");
    }
}

#[test]
fn a_stopped_or_full_log_keeps_a_fresh_head_where_it_stands() {
    for (intake, full) in [(Intake::Stopped, false), (Intake::Open, true), (Intake::Stopped, true)]
    {
        let (mut known, mut log) = (known(), log(0));
        grow(&mut known, &mut log, 50, 1);
        let committed = log.tip();
        known.commit(|_| Some(committed));
        grow(&mut known, &mut log, 50, 1);
        for height in 2..2 + 3 * FRESH_HEIGHTS {
            let reach = Reach::of(intake, full, 31);
            renew(&mut known, &log, reach, committed.length, height - 1);
            let beat = known.fragment(index(0), committed, 0, Height::new(height)).unwrap();
            assert!(beat.ids.is_empty());
            assert!(beat.head.is_fresh(Height::new(height), FRESH_HEIGHTS), "height {height}");
        }
        let all = known.fragment(index(0), committed, 50, Height::new(2)).unwrap();
        assert_eq!(all.ids.len(), 50, "and the rest is not lost");
    }
}

/// A head at a length of what is known, as its owner signs it anew.
fn renewed(
    known: &mut KnownLogs,
    log: &OrderLog,
    length: u64,
    height: u64,
    time_ms: u64,
) -> Learned {
    let tip = known.tip_at(index(0), length).unwrap();
    let head = LogHead::sign(log.name(), tip, Height::new(height), time_ms, &secret(0));
    known.learn(index(0), length, head, &[]).unwrap()
}

#[test]
fn a_leader_takes_the_largest_head_that_counts_or_else_the_largest() {
    let (mut known, mut log) = (known(), log(0));
    for _ in 0..4 {
        grow(&mut known, &mut log, 50, 1);
    }
    assert_eq!(renewed(&mut known, &log, 100, 40, 1), Learned::Renewed);
    let start = log.name().start();
    let taken = |known: &KnownLogs, max, height| {
        known.fragment(index(0), start, max, Height::new(height)).unwrap().head.length
    };
    assert_eq!(taken(&known, 192, 41), 100, "the one at 150 is too old to count");
    assert_eq!(taken(&known, 192, 33), 150, "both count");
    assert_eq!(taken(&known, 192, 500), 150, "none counts");
    assert_eq!(taken(&known, 99, 41), 50);
}

#[test]
fn a_head_that_has_seen_less_replaces_none_whatever_its_clock_says() {
    let (mut known, mut log) = (known(), log(0));
    grow(&mut known, &mut log, 2, 9);
    assert_eq!(renewed(&mut known, &log, 2, 3, 99_999), Learned::Nothing);
    assert_eq!(renewed(&mut known, &log, 2, 10, 1), Learned::Extended, "it has seen more");
}

#[test]
fn a_renewed_head_outlives_its_older_neighbours_and_no_owner_leaves_too_many() {
    let (mut known, mut log) = (known(), log(0));
    grow(&mut known, &mut log, 100, 1);
    for _ in 0..3 {
        grow(&mut known, &mut log, 30, 1);
    }
    assert_eq!(renewed(&mut known, &log, 100, 40, 1), Learned::Renewed);
    while known.logs[0].heads.len() < MAX_HEADS {
        grow(&mut known, &mut log, 1, 1);
    }
    grow(&mut known, &mut log, 1, 1);
    let lengths: Vec<_> = known.logs[0].heads.iter().map(|head| head.length).take(2).collect();
    assert_eq!(lengths[0], 100, "{lengths:?}");
    // Each is newer than the next: none is superfluous but for their number.
    let (mut known, mut log) = (self::known(), self::log(0));
    for at in 0..3_000 {
        grow(&mut known, &mut log, 1, 5_000 - at);
        assert!(known.logs[0].heads.len() <= MAX_HEADS);
    }
    let lengths: Vec<_> = known.logs[0].heads.iter().map(|head| head.length).collect();
    assert!(lengths[0] <= MAX_PIECE_IDS as u64, "{}", lengths[0]);
    assert!(lengths.windows(2).all(|pair| pair[1] - pair[0] <= MAX_PIECE_IDS as u64));
}

#[test]
fn a_piece_of_too_many_entries_is_refused() {
    let (mut known, mut log) = (known(), log(0));
    let ids: Vec<_> = (0..=MAX_PIECE_IDS as u64).map(numbered).collect();
    for id in &ids {
        log.append(*id).unwrap();
    }
    let fault = known.learn(index(0), 0, head(&log, 1), &ids);
    let (actual, limit) = (MAX_PIECE_IDS + 1, MAX_PIECE_IDS);
    assert_eq!(fault, Err(PieceFault::Long { actual, limit }));
    assert_eq!(known.known(index(0)).unwrap().length, 0);
}

#[test]
fn heads_within_a_log_are_renewed_only_on_its_chain() {
    let mut known = known();
    let long = head(&grown(&[1, 2, 3]), 1);
    known.learn(index(0), 0, long, &[id(1), id(2), id(3)]).unwrap();
    let within = |ids: &[u8], height| head(&grown(ids), height);
    let learned = known.learn(index(0), 2, within(&[1, 2], 2), &[]);
    assert_eq!(learned, Ok(Learned::Renewed));
    assert_eq!(known.learn(index(0), 2, within(&[1, 2], 2), &[]), Ok(Learned::Nothing));
    assert_eq!(known.learn(index(0), 2, within(&[1, 2], 1), &[]), Ok(Learned::Nothing), "older");
    let fault = known.learn(index(0), 1, within(&[9], 2), &[]);
    assert_eq!(fault, Err(PieceFault::Chain { length: 1 }));
    let two = within(&[2, 1], 2);
    assert!(matches!(known.learn(index(0), 2, two, &[]), Ok(Learned::Equivocated(_))));
    assert_eq!(known.known(index(0)).unwrap().length, 3);
}

#[test]
fn reach_is_what_a_block_surely_takes() {
    let lengths = |reach: Reach, length| reach.lengths(100, length).collect::<Vec<_>>();
    let open = |n| Reach::of(Intake::Open, false, n);
    assert_eq!(open(31), Reach::Entries(792));
    assert!(matches!(open(128), Reach::Entries(share) if share == MAX_PIECE_IDS as u64));
    assert_eq!(lengths(open(31), 892), [0; 0], "a block takes it all");
    assert_eq!(lengths(open(31), 893), [892]);
    assert_eq!(lengths(open(31), 9_000), [892, 1_684, 2_476, 3_268]);
    let stopped = Reach::of(Intake::Stopped, false, 31);
    assert_eq!((lengths(stopped, 100), lengths(stopped, 101)), (vec![], vec![100]));
}

#[test]
fn messages_have_one_encoding() {
    let message = LogMessage::Piece { from: 0, head: head(&grown(&[1]), 1), ids: vec![id(1)] };
    let mut bytes = message.encode();
    assert_eq!(LogMessage::decode(&bytes), Ok(message));
    bytes.push(0);
    assert!(LogMessage::decode(&bytes).is_err());
}
