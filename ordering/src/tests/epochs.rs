//! The end of an epoch: draining, and what enters the next.

use fairveil_crypto::{Epoch, NetworkId, SequencerIndex};

use super::counterexamples::{Letters, letter};
use crate::{Committee, LogName, Phase, State, Status, StillPending, Tip, rules::Rules};

#[test]
fn an_epoch_drains_and_the_next_begins_with_what_was_not_proposed() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    assert_eq!(letters.block(&["ayzs", "azys", "as", "", ""]), "a");
    let network_id = NetworkId::from_bytes([1; 32]);
    let state = |letters: &Letters| State {
        network_id,
        epoch: Epoch::new(4),
        heads: vec![],
        order: letters.order.clone(),
    };
    let committee = Committee::new(7, 1, 1).unwrap();
    assert_eq!(state(&letters).next_epoch(committee).err(), Some(StillPending { ids: 3 }));

    letters.phase = Phase::Draining;
    assert_eq!(letters.block(&["qp", "qp", "qp", "", ""]), "", "solid, but nothing is proposed");
    assert_eq!(letters.order.status(&letter('q')), Status::Logged { logs: 3 });
    assert_eq!(letters.block(&["r", "", "yz", "", ""]), "y z s", "UPDATE and DRAIN go on");
    assert_eq!(letters.pending(), "");

    let (next, first) = state(&letters).next_epoch(committee).unwrap();
    assert_eq!(first, [letter('q'), letter('p'), letter('r')], "by old median, then id");
    assert_eq!(next.epoch(), Epoch::new(5));
    for sequencer in SequencerIndex::all(7) {
        let start = LogName { network_id, epoch: Epoch::new(5), sequencer }.start();
        assert_eq!(next.committed(sequencer), Some(Tip { length: 0, ..start }));
    }
    assert!(matches!(next.status(&letter('a')), Status::Emitted { .. }), "never a second time");
    assert_eq!(next.status(&letter('q')), Status::Unknown, "logged anew");
    assert_eq!(next.order().height(), letters.order.height());

    letters.order = next.order;
    letters.phase = Phase::Ordering;
    let all = ["qpra", "qpra", "qpra", "qpra", "qpra", "qpra", "qpra"];
    assert_eq!(letters.block(&all), "q p r");
}
