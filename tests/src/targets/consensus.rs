//! Decoders of `consensus`: blocks, and what they may carry; snapshots of the chain's state.

use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _, EncodeSize as _};
use fairveil_consensus::block::{MAX_BLOCK_BYTES, MAX_CEREMONY_ENTRIES, MAX_EVIDENCE_IDS};
use fairveil_consensus::{Block, BlockFault, Body, ChainState, SystemEntry};
use fairveil_crypto::encoding::{decode, encode};
use fairveil_ordering::{Equivocation, Evidence, Fragment};

use super::chain_state::{parameters, sample_blocks, sample_states};
use super::scene::{SCENE, head};
use super::world::{CULPRIT, WORLD, index};
use super::{Verdict, kind, tagged};

/// Blocks as bytes: one encoding, a body that the header commits to, every limit.
pub(super) fn block(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 2) else { return Verdict::Refused };
    let block = match kind {
        0 => {
            let Ok(block) = Block::from_bytes(Bytes::copy_from_slice(bytes)) else {
                return Verdict::Refused;
            };
            assert_eq!(block.bytes()[..], *bytes);
            block
        }
        1 => {
            // With its length in front, as the engine stores and sends it.
            let Ok(block) = Block::decode_cfg(bytes.to_vec(), &()) else { return Verdict::Refused };
            assert_eq!(block.encode()[..], *bytes);
            assert_eq!(block.encode_size(), bytes.len());
            block
        }
        _ => return system_entry(bytes),
    };
    assert!(block.bytes().len() <= MAX_BLOCK_BYTES);
    assert!(block.body().evidence_ids() <= MAX_EVIDENCE_IDS);
    assert!(block.body().system.len() <= 16 + MAX_CEREMONY_ENTRIES);
    assert_eq!(block.body().digest(), block.header().body_digest);
    assert_eq!(block.block_digest(), block.header().digest());
    let again = Block::new(block.header().clone(), block.body().clone()).expect("it is one");
    assert_eq!(again.bytes(), block.bytes());
    block.body().system.iter().for_each(|entry| {
        convicts_the_culprit_alone(entry);
    });
    Verdict::Accepted
}

/// A proof of equivocation by itself: it convicts nobody who did nothing wrong.
fn system_entry(bytes: &[u8]) -> Verdict {
    let Ok(entry) = decode::<SystemEntry>(bytes, MAX_BLOCK_BYTES) else { return Verdict::Refused };
    assert_eq!(encode(&entry), bytes);
    Verdict::of(convicts_the_culprit_alone(&entry))
}

fn convicts_the_culprit_alone(entry: &SystemEntry) -> bool {
    let (_, state) = ChainState::genesis(parameters()).expect("parameters that fit");
    match state.convicts(entry) {
        Ok(culprit) => {
            assert_eq!(culprit, CULPRIT);
            true
        }
        Err(fault) => {
            assert!(!matches!(fault, BlockFault::Missing(_)));
            false
        }
    }
}

pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    let fork = Equivocation { one: head(CULPRIT, &[1, 2]), other: head(CULPRIT, &[1, 3]) };
    let fork = SystemEntry::ForkedLog(fork);
    let ids = [1, 2].map(|byte| fairveil_crypto::BundleId::from_bytes([byte; 32])).to_vec();
    let fragment = Fragment { head: head(index(3), &[1, 2]), ids, times_ms: Vec::new() };
    let evidence = Evidence { fragments: vec![fragment], list: Vec::new() };
    let (_, state) = ChainState::genesis(parameters()).expect("parameters that fit");
    let body = Body {
        evidence: state.ordering().pack(&evidence).expect("it continues the empty logs"),
        releases: vec![(SCENE.orders[0].height(), SCENE.releases[0].0.header.root())],
        system: vec![fork.clone(), SystemEntry::CeremonyEntry(vec![7; 20])],
    };
    let mut header = WORLD.header(3, SCENE.orders[0].block());
    header.body_digest = body.digest();
    let made = Block::new(header, body).expect("a well-formed block");
    let mut seeds =
        vec![tagged(0, made.bytes()), tagged(1, &made.encode()), tagged(2, &encode(&fork))];
    seeds.extend(sample_blocks().iter().map(|block| tagged(0, block.bytes())));
    seeds
}

/// A snapshot of the chain's state: what is restored is written the same way again.
pub(super) fn chain_snapshot(bytes: &[u8]) -> Verdict {
    let Ok(state) = ChainState::restore(parameters(), bytes) else { return Verdict::Refused };
    let written = state.snapshot();
    let again = ChainState::restore(parameters(), &written).expect("what was written is read");
    assert_eq!(again.snapshot(), written);
    assert_eq!(again.digest(), state.digest());
    assert_eq!(again.tip(), state.tip());
    Verdict::Accepted
}

pub(super) fn chain_snapshot_seeds() -> Vec<Vec<u8>> {
    sample_states().iter().map(ChainState::snapshot).collect()
}
