#![allow(clippy::unwrap_used)]

use fairveil_consensus::Intake;
use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusPublicKey, ConsensusSecret, Digest, Epoch, NetworkId,
    certificate::{BLOCK_VERSION, BlockHeader, Emission, Finalization},
};
use fairveil_ordering::{LogHead, LogName};
use redb::backends::InMemoryBackend;

use super::*;

const STARTED_MS: u64 = 1_000_000;
const AFTER_MS: u64 = STARTED_MS + MARGIN_MS + 1;

fn own() -> SequencerIndex {
    SequencerIndex::new(2).unwrap()
}

fn store() -> Store {
    let network = NetworkId::from_bytes([1; 32]);
    let key = ConsensusPublicKey::from_bytes([2; 32]);
    Store::open(InMemoryBackend::new(), &network, &key).unwrap()
}

fn certificate(height: u64, time_ms: u64, signers: &[u16]) -> OrderCertificate {
    let digest = Digest::from_bytes([3; 32]);
    let block = BlockDigest::from_bytes([4; 32]);
    let (view, parent_view) = (View::new(height + 5), View::new(height + 4));
    let (epoch, height) = (Epoch::new(1), Height::new(height));
    let header = BlockHeader {
        version: BLOCK_VERSION,
        network_id: NetworkId::from_bytes([1; 32]),
        epoch,
        epoch_start: Height::ZERO,
        height,
        parent: block,
        leader: ConsensusPublicKey::from_bytes([2; 32]),
        view,
        parent_view,
        time_ms,
        result_root: digest,
        body_digest: digest,
    };
    let signers = signers.iter().map(|index| SequencerIndex::new(*index).unwrap()).collect();
    let finalization =
        Finalization { epoch, view, parent_view, block, signers, signatures: Vec::new() };
    let emission = Emission { height, cohorts: Vec::new() };
    OrderCertificate { finalization, headers: vec![header], emission, state_digest: digest }
}

fn fragment(time_ms: u64) -> Fragment {
    let secret = ConsensusSecret::from_seed([5; 32]);
    let name = LogName {
        network_id: NetworkId::from_bytes([1; 32]),
        epoch: Epoch::new(1),
        sequencer: own(),
    };
    let head = LogHead::sign(&name, name.start(), Height::new(1), time_ms, &secret);
    Fragment { head, ids: Vec::<BundleId>::new(), times_ms: Vec::new() }
}

fn restored(id: u64, until: u64) -> Option<Restored> {
    Some(Restored { id, until: Height::new(until) })
}

fn opened(store: &Store, until: u64) -> Abstention {
    Abstention::open(store, restored(1, until), STARTED_MS).unwrap().unwrap()
}

/// A final block without anything of the own key.
fn quiet(abstention: &mut Abstention, height: u64, time_ms: u64) -> Result<Verdict, OtherInstance> {
    let certificate = certificate(height, time_ms, &[1, 3, 4, 5]);
    let intake = Intake::Open;
    let shown = Shown { certificate: &certificate, own: None, intake, full: false };
    abstention.finalized(own(), &shown)
}

#[test]
fn invariant_1_it_survives_restarts_and_another_restore_begins_it_anew() {
    let store = store();
    assert_eq!(Abstention::open(&store, None, STARTED_MS).unwrap(), None);
    let first = opened(&store, 7);
    assert_eq!(first.voting(), Voting::Follows);
    // The folder's mark may be lost, the clock goes on: what counts is the first start.
    assert_eq!(Abstention::open(&store, None, STARTED_MS + 99).unwrap(), Some(first));
    assert_eq!(Abstention::open(&store, restored(1, 9), 99).unwrap(), Some(first));
    let mut moved = first;
    assert_eq!(quiet(&mut moved, 50, AFTER_MS), Ok(Verdict::Horizon));
    assert_eq!(quiet(&mut moved, 50 + QUIET_HEIGHTS, AFTER_MS), Ok(Verdict::Over));
    store.commit(&[moved.write()]).unwrap();
    let over = Abstention::open(&store, restored(1, 7), 0).unwrap().unwrap();
    assert_eq!(over.going_on(), None);
    assert_eq!(over.voting(), Voting::VotesAbove(View::new(55 + QUIET_VIEWS)));
    // A backup of this folder that is restored: the end of the first abstention is not its own.
    let anew = Abstention::open(&store, restored(2, 0), STARTED_MS * 2).unwrap().unwrap();
    assert_eq!((anew.going_on(), anew.voting()), (Some(anew), Voting::Follows));
    assert_eq!(Abstention::open(&store, None, 0).unwrap(), Some(anew));
}

#[test]
fn it_ends_after_the_horizon_the_quiet_heights_and_the_quiet_views() {
    let mut abstention = opened(&store(), 0);
    // Blocks from before the start say nothing, however many there are.
    for height in 1..500 {
        assert_eq!(quiet(&mut abstention, height, STARTED_MS + MARGIN_MS), Ok(Verdict::Goes));
    }
    assert_eq!(quiet(&mut abstention, 500, AFTER_MS), Ok(Verdict::Horizon));
    let end = 500 + QUIET_HEIGHTS;
    assert_eq!(quiet(&mut abstention, end - 1, AFTER_MS), Ok(Verdict::Goes));
    let mut early = certificate(end, AFTER_MS, &[1, 3, 4, 5]);
    early.finalization.view = View::new(505 + QUIET_VIEWS - 1);
    let shown = Shown { certificate: &early, own: None, intake: Intake::Open, full: false };
    assert_eq!(abstention.finalized(own(), &shown), Ok(Verdict::Goes));
    assert_eq!(quiet(&mut abstention, end, AFTER_MS), Ok(Verdict::Over));
}

#[test]
fn it_does_not_end_below_the_operators_height_nor_while_new_ids_are_held_back() {
    let mut abstention = opened(&store(), 900);
    quiet(&mut abstention, 500, AFTER_MS).unwrap();
    assert_eq!(quiet(&mut abstention, 899, AFTER_MS), Ok(Verdict::Goes));
    assert_eq!(quiet(&mut abstention, 900, AFTER_MS), Ok(Verdict::Over));

    // The original's heads may be known and not taken: it counts from the last block after which
    // that was so.
    let entries = Fragment { ids: vec![BundleId::from_bytes([1; 32])], ..fragment(STARTED_MS) };
    let cases = [
        (Intake::Stopped, false, None),
        (Intake::Open, true, None),
        (Intake::Open, false, Some(&entries)),
    ];
    for (intake, full, own_log) in cases {
        let mut abstention = opened(&store(), 0);
        quiet(&mut abstention, 500, AFTER_MS).unwrap();
        for height in 501..700 {
            let certificate = certificate(height, AFTER_MS, &[1]);
            let shown = Shown { certificate: &certificate, own: own_log, intake, full };
            assert_eq!(abstention.finalized(own(), &shown), Ok(Verdict::Later));
        }
        let end = 699 + QUIET_HEIGHTS;
        assert_eq!(quiet(&mut abstention, end - 1, AFTER_MS), Ok(Verdict::Goes));
        assert_eq!(quiet(&mut abstention, end, AFTER_MS), Ok(Verdict::Over));
    }
}

#[test]
fn what_the_own_key_signed_after_the_start_shows_another_instance() {
    let mut abstention = opened(&store(), 0);
    let voted = |abstention: &mut Abstention, time_ms| {
        let certificate = certificate(9, time_ms, &[1, 2, 3, 4]);
        let shown =
            Shown { certificate: &certificate, own: None, intake: Intake::Open, full: false };
        abstention.finalized(own(), &shown)
    };
    // Its votes and heads from before are everywhere.
    assert_eq!(voted(&mut abstention, STARTED_MS), Ok(Verdict::Goes));
    let height = Height::new(9);
    assert_eq!(voted(&mut abstention, AFTER_MS), Err(OtherInstance::Voted { height }));
    let logged = |abstention: &mut Abstention, time_ms| {
        let (certificate, own_log) = (certificate(9, AFTER_MS, &[1, 3]), fragment(time_ms));
        let (own_log, intake) = (Some(&own_log), Intake::Open);
        let shown = Shown { certificate: &certificate, own: own_log, intake, full: false };
        abstention.finalized(own(), &shown)
    };
    assert_eq!(logged(&mut abstention, STARTED_MS), Ok(Verdict::Horizon));
    assert_eq!(logged(&mut abstention, AFTER_MS), Err(OtherInstance::Logged { height }));
}
