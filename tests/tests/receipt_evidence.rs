//! A receipt is judged against the order's own logs: the mempool repeats the format of log heads,
//! the order defines it.

#![allow(clippy::unwrap_used)]

use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::{BundleId, ConsensusSecret, Epoch, Height, NetworkId, SequencerIndex};
use fairveil_mempool::receipt::{BrokenReceipt, EvidenceError, SignedLogHead};
use fairveil_mempool::{Place, ReceiptBody};
use fairveil_ordering::{LogHead, LogName, OrderLog};
use proptest::prelude::*;

fn id(number: u16) -> BundleId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

/// The mempool's reading of a log head of the order.
fn signed(head: &LogHead) -> SignedLogHead {
    let read: SignedLogHead = decode(&encode(head), 1_024).unwrap();
    assert_eq!(encode(&read), encode(head));
    read
}

proptest! {
    #[test]
    fn a_receipt_holds_exactly_at_the_position_that_the_order_log_has(
        length in 1u16..40,
        claimed in 0u16..40,
        position in 0u16..40,
        epoch in 1u64..5,
        height_seen in any::<u64>(),
        time_ms in any::<u64>(),
    ) {
        prop_assume!(position < length && claimed < length);
        let network_id = NetworkId::from_bytes([7; 32]);
        let sequencer = SequencerIndex::new(2).unwrap();
        let epoch = Epoch::new(epoch);
        let secrets = [[1; 32], [2; 32]].map(ConsensusSecret::from_seed);
        let keys: Vec<_> = secrets.iter().map(ConsensusSecret::public_key).collect();
        let mut log = OrderLog::new(LogName { network_id, epoch, sequencer });
        let mut before = log.tip().head;
        for number in 0..length {
            if number == position {
                before = log.tip().head;
            }
            log.append(id(number)).unwrap();
        }
        let head = log.sign(Height::new(height_seen), time_ms, &secrets[1]);
        let body = ReceiptBody {
            network_id,
            epoch,
            id: id(claimed),
            place: Place::Position(position.into()),
            height: Height::new(3),
            time_ms: 4,
        };
        let evidence = BrokenReceipt {
            receipt: body.sign(sequencer, &secrets[1]),
            head: signed(&head),
            before,
            ids: (position..length).map(id).collect(),
        };
        let kept = EvidenceError::Kept { id: id(claimed), position: position.into() };
        let expected = if claimed == position { Err(kept) } else { Ok(sequencer) };
        prop_assert_eq!(evidence.verify(&network_id, &keys), expected);
    }
}
