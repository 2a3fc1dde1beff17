#![allow(clippy::unwrap_used)]

use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::Block as _;
use fairveil_crypto::certificate::BLOCK_VERSION;
use fairveil_crypto::{ConsensusSecret, Epoch as BlockEpoch, NetworkId, View as BlockView};

use super::*;

fn digest(byte: u8) -> fairveil_crypto::Digest {
    fairveil_crypto::Digest::from_bytes([byte; 32])
}

/// So many ids, whatever they are: a block does not look into its evidence.
fn evidence(ids: usize) -> PackedEvidence {
    encoding::decode(&encoding::encode(&(ids as u32, vec![7_u8; 40])), 1_000).unwrap()
}

fn header(body: &Body) -> BlockHeader {
    BlockHeader {
        version: BLOCK_VERSION,
        network_id: NetworkId::from_bytes([1; 32]),
        epoch: BlockEpoch::new(1),
        epoch_start: BlockHeight::new(3),
        height: BlockHeight::new(7),
        parent: BlockDigest::from_bytes([2; 32]),
        leader: ConsensusSecret::from_seed([3; 32]).public_key(),
        view: BlockView::new(9),
        parent_view: BlockView::new(8),
        time_ms: 1,
        result_root: digest(4),
        body_digest: body.digest(),
    }
}

fn block(body: Body) -> Result<Block, BlockError> {
    Block::new(header(&body), body)
}

fn body() -> Body {
    Body {
        evidence: evidence(3),
        releases: vec![(BlockHeight::new(1), digest(5))],
        system: vec![SystemEntry::CeremonyEntry(vec![1, 2, 3])],
    }
}

#[test]
fn invariant_2_the_encoding_is_canonical() {
    let block = block(body()).unwrap();
    let encoded = block.encode();
    assert_eq!(encoded.len(), block.encode_size());
    let decoded = Block::decode_cfg(encoded.clone(), &()).unwrap();
    assert_eq!(decoded, block);
    assert_eq!(decoded.header(), block.header());
    assert_eq!(decoded.body(), block.body());
    assert_eq!(decoded.encode(), encoded);
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Block::decode_cfg(flipped.clone(), &()) {
            assert_ne!(other.block_digest(), block.block_digest(), "bit {bit}");
            assert_eq!(other.encode()[..], flipped[..]);
        }
    }
    for length in 0..encoded.len() {
        assert!(Block::decode_cfg(encoded.slice(..length), &()).is_err());
    }
    let mut longer = encoded.to_vec();
    longer.push(0);
    assert!(Block::decode_cfg(longer, &()).is_err());
}

#[test]
fn invariant_1_headers_commit_to_bodies() {
    let good = block(body()).unwrap();
    let changes: [fn(&mut Body); 4] = [
        |body| body.evidence = evidence(4),
        |body| body.releases[0].0 = BlockHeight::new(2),
        |body| body.system.clear(),
        |body| body.evidence = PackedEvidence::default(),
    ];
    for change in changes {
        let mut other = body();
        change(&mut other);
        assert!(matches!(
            Block::new(good.header().clone(), other),
            Err(BlockError::BodyDigest { .. })
        ));
    }
}

#[test]
fn invariant_1_every_limit_holds() {
    let with = |change: &dyn Fn(&mut Body)| {
        let mut body = body();
        change(&mut body);
        block(body)
    };
    let releases = |count| {
        move |body: &mut Body| {
            body.releases = vec![(BlockHeight::new(1), digest(1)); count];
        }
    };
    assert!(with(&releases(MAX_RELEASES)).is_ok());
    assert!(matches!(with(&releases(MAX_RELEASES + 1)), Err(BlockError::Entries { .. })));
    let ids = |count| move |body: &mut Body| body.evidence = evidence(count);
    assert!(with(&ids(MAX_EVIDENCE_IDS)).is_ok());
    assert!(matches!(with(&ids(MAX_EVIDENCE_IDS + 1)), Err(BlockError::Entries { .. })));
    let entries = |count: usize, bytes: usize| {
        move |body: &mut Body| {
            body.system = vec![SystemEntry::CeremonyEntry(vec![0; bytes]); count];
        }
    };
    assert!(with(&entries(MAX_CEREMONY_ENTRIES, 100)).is_ok());
    let too_many = with(&entries(MAX_CEREMONY_ENTRIES + 1, 100));
    assert!(matches!(too_many, Err(BlockError::Entries { .. })));
    let too_long = with(&entries(1, MAX_CEREMONY_ENTRY_BYTES + 1));
    assert!(matches!(too_long, Err(BlockError::Entries { .. })));
    let too_much = with(&entries(20, MAX_CEREMONY_ENTRY_BYTES));
    assert!(matches!(too_much, Err(BlockError::Size { .. })));
}

#[test]
fn the_engine_sees_what_the_header_says() {
    let block = block(body()).unwrap();
    assert_eq!(block.height(), Height::new(4), "counted from the epoch's first block");
    assert_eq!(block_digest(&block.digest()), block.header().digest());
    assert_eq!(block.parent().0, [2; 32]);
    let context = block.context();
    assert_eq!(context.round, Round::new(Epoch::new(1), View::new(9)));
    assert_eq!(context.parent, (View::new(8), block.parent()));
    assert!(block.encode_size() <= Block::max_encode_size(&()));
}
