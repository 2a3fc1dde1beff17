#![allow(clippy::unwrap_used)]

use fairveil_crypto::Digest;
use fairveil_mempool::Policy;
use fairveil_mempool::receipt::{Place, ReceiptBody, SignedLogHead};
use fairveil_ordering::{LogHead, LogName, Tip};

use super::*;
use crate::world::{SEVEN, World, bundle, index, leg, open};

fn judge(evidence: &Evidence) -> Result<(u16, Offence), EvidenceError> {
    let decoded = Evidence::decode(&evidence.encode()).unwrap();
    assert_eq!(decoded, *evidence);
    let verdict = decoded.judge(&SEVEN.network_id, &SEVEN.dealt.committee)?;
    Ok((verdict.culprit.get(), verdict.offence))
}

fn name() -> LogName {
    LogName { network_id: SEVEN.network_id, epoch: Epoch::new(1), sequencer: index(3) }
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

fn head(tip: Tip, time_ms: u64) -> LogHead {
    LogHead::sign(&name(), tip, Height::new(4), time_ms, SEVEN.secret(index(3)))
}

#[test]
fn forked_logs_convict() {
    let fork = |a: u8, b: u8| Equivocation {
        one: head(name().start().after(&id(a)), 1),
        other: head(name().start().after(&id(b)), 2),
    };
    assert_eq!(judge(&Evidence::ForkedLog(fork(1, 2))), Ok((3, Offence::ForkedLog)));
    let heartbeat = judge(&Evidence::ForkedLog(fork(1, 1)));
    assert!(matches!(heartbeat, Err(EvidenceError::Log(EquivocationError::SameChain { .. }))));
    let mut forged = fork(1, 2);
    forged.other.time_ms += 1;
    let unsigned = EquivocationError::Signature { sequencer: index(3), head: forged.other.head };
    let expected = Err(EvidenceError::Log(unsigned));
    assert_eq!(judge(&Evidence::ForkedLog(forged)), expected);
    let mut foreign = fork(1, 2);
    foreign.one.sequencer = index(8);
    let expected = Err(EvidenceError::Member { actual: index(8), members: 7 });
    assert_eq!(judge(&Evidence::ForkedLog(foreign)), expected);
}

fn receipt(id: BundleId, place: Place) -> fairveil_mempool::Receipt {
    let body = ReceiptBody {
        network_id: SEVEN.network_id,
        epoch: Epoch::new(1),
        id,
        place,
        height: Height::new(4),
        time_ms: 9,
    };
    body.sign(index(3), SEVEN.secret(index(3)))
}

fn broken(ids: &[BundleId]) -> Evidence {
    let LogHead { epoch, sequencer, length, head, height_seen, time_ms, signature } =
        head(name().start().after_all(ids), 1);
    let head = SignedLogHead { epoch, sequencer, length, head, height_seen, time_ms, signature };
    let before = name().start().after(&ids[0]).head;
    let receipt = receipt(id(2), Place::Position(1));
    Evidence::BrokenReceipt(BrokenReceipt { receipt, head, before, ids: ids[1..].to_vec() })
}

#[test]
fn receipts_convict() {
    let convicted = Ok((3, Offence::BrokenReceipt));
    assert_eq!(judge(&broken(&[id(1), id(3), id(4)])), convicted);
    let kept = judge(&broken(&[id(1), id(2), id(4)]));
    let promised = ReceiptEvidenceError::Kept { id: id(2), position: 1 };
    assert_eq!(kept, Err(EvidenceError::Receipt(promised)));
    let two = |a: (u8, u64), b: (u8, u64)| {
        Evidence::ConflictingReceipts(ConflictingReceipts {
            first: receipt(id(a.0), Place::Position(a.1)),
            second: receipt(id(b.0), Place::Position(b.1)),
        })
    };
    let convicted = Ok((3, Offence::ConflictingReceipts));
    assert_eq!(judge(&two((1, 5), (2, 5))), convicted);
    assert_eq!(judge(&two((1, 5), (1, 6))), convicted);
    let fine = |a: (u8, u64), b: (u8, u64)| {
        Err(EvidenceError::Receipt(ReceiptEvidenceError::Consistent {
            first_id: id(a.0),
            first_place: Place::Position(a.1),
            second_id: id(b.0),
            second_place: Place::Position(b.1),
        }))
    };
    assert_eq!(judge(&two((1, 5), (1, 5))), fine((1, 5), (1, 5)));
    assert_eq!(judge(&two((1, 5), (2, 6))), fine((1, 5), (2, 6)));
}

fn premature(change: impl Fn(&mut PrematureShare)) -> Evidence {
    let bundles =
        [1, 2].map(|nonce| SEVEN.seal(nonce, &bundle(Policy::Include, vec![leg(901, &[nonce])])));
    // The final order opens the second one alone; the culprit's share is for both.
    let order = SEVEN.order(5, &bundles);
    let share = SEVEN.own_share(index(3), &order, &bundles).share().clone();
    let mut premature = PrematureShare {
        share,
        height: Height::new(5),
        block: order.block(),
        ids: order.to_open().to_vec(),
        certificate: SEVEN.order_certificate(5, vec![vec![open(&bundles[1])]]),
    };
    change(&mut premature);
    Evidence::PrematureShare(Box::new(premature))
}

#[test]
fn premature_shares_convict() {
    assert_eq!(judge(&premature(|_| {})), Ok((3, Offence::PrematureShare)));
    let other = judge(&premature(|p| p.ids.truncate(1)));
    assert!(matches!(other, Err(EvidenceError::Unusable(UnusableShare::Batch { .. }))));
    let height = judge(&premature(|p| p.height = Height::new(6)));
    assert!(matches!(height, Err(EvidenceError::Height { .. })));
    let forged = judge(&premature(|p| p.share.points.swap(0, 1)));
    assert!(matches!(forged, Err(EvidenceError::Unusable(UnusableShare::Signature(_)))));
    let certificate = judge(&premature(|p| p.certificate.headers.clear()));
    assert!(matches!(certificate, Err(EvidenceError::Certificate(_))));
    let bundles = [SEVEN.seal(1, &bundle(Policy::Include, vec![leg(901, &[1])]))];
    let order = SEVEN.order(5, &bundles);
    let right = Evidence::PrematureShare(Box::new(PrematureShare {
        share: SEVEN.own_share(index(3), &order, &bundles).share().clone(),
        height: Height::new(5),
        block: order.block(),
        ids: order.to_open().to_vec(),
        certificate: SEVEN.order_certificate(5, vec![vec![open(&bundles[0])]]),
    }));
    assert_eq!(judge(&right), Err(EvidenceError::Final { batch: order.batch() }));
}

#[test]
fn bad_shares_convict_and_right_ones_do_not() {
    let bundles = [SEVEN.seal(1, &bundle(Policy::Include, vec![leg(901, &[1])]))];
    let order = SEVEN.order(5, &bundles);
    let right = SEVEN.own_share(index(3), &order, &bundles).share().clone();
    let file = |share| Evidence::BadShare(ShareEvidence::new(share, &order, &bundles).unwrap());
    let innocent = ShareEvidenceError::Innocent(index(3));
    assert_eq!(judge(&file(right.clone())), Err(EvidenceError::Share(innocent)));
    let mut wrong = right;
    wrong.points[0] = SEVEN.dealt.committee.public_key_shares()[0].encode();
    let offence = Offence::BadShare(ShareFault::Proof);
    assert_eq!(judge(&file(SEVEN.sign_again(wrong.clone()))), Ok((3, offence)));
    let unsigned = UnusableShare::Signature(index(3));
    let expected = Err(EvidenceError::Share(ShareEvidenceError::Share(unsigned)));
    assert_eq!(judge(&file(wrong)), expected);
}

#[test]
fn networks_and_epochs_are_compared() {
    let bundles = [SEVEN.seal(1, &bundle(Policy::Include, vec![leg(901, &[1])]))];
    let order = SEVEN.order(5, &bundles);
    let share = SEVEN.own_share(index(3), &order, &bundles).share().clone();
    let mut evidence = ShareEvidence::new(share, &order, &bundles).unwrap();
    evidence.network_id = NetworkId::from_bytes([1; 32]);
    let network = judge(&Evidence::BadShare(evidence));
    assert!(matches!(network, Err(EvidenceError::Network { .. })));
    let mut heads = Equivocation { one: head(name().start(), 1), other: head(name().start(), 1) };
    heads.one.epoch = Epoch::new(2);
    let epoch = judge(&Evidence::ForkedLog(heads));
    assert!(matches!(epoch, Err(EvidenceError::Epoch { .. })));
    let other = World::new(4);
    let fork = broken(&[id(1), id(3), id(4)]);
    assert!(fork.judge(&other.network_id, &other.dealt.committee).is_err());
    assert_ne!(Digest::from_bytes([0; 32]), name().start().head);
}
