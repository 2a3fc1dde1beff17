//! The vectors of `docs/certificates.md`, which `tests/vectors/release.py` writes independently.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::certificate::{BlockHeader, Emission, Finalization, result_root};
use fairveil_crypto::{BlockDigest, Digest};
use fairveil_release::certificate::ListedRelease;
use fairveil_release::failed::Failed;
use fairveil_release::proof::{BatchProof, BundleProof, Part};
use fairveil_release::registry::Registry;
use fairveil_release::release::ReleaseHeader;
use fairveil_release::states::state_digest;
use fairveil_release::transaction::RawTransaction;
use fairveil_release::tree::{Leaf, LegDigest, Namespaces, Node, Outcome, Tree};
use fairveil_release::views::{View, views_digest};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    about: Vec<String>,
    failed: Vec<FailedCase>,
    trees: Vec<TreeCase>,
    registries: Vec<RegistryCase>,
    states: Vec<StateCase>,
    views: Vec<ViewCase>,
    roots: Vec<RootCase>,
    blocks: Vec<BlockCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedCase {
    failed: Failed,
    bytes: RawTransaction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeCase {
    namespaces: Namespaces,
    leaves: Vec<LeafCase>,
    top: Node,
    root: Digest,
    batch_parts: Vec<PartsCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafCase {
    leaf: Leaf,
    legs: Vec<LegCase>,
    outcome_bytes: RawTransaction,
    node: Node,
    path: Vec<Node>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegCase {
    chain_id: u64,
    transactions: Vec<RawTransaction>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartsCase {
    chain_id: u64,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryCase {
    rollups: Registry,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateCase {
    states: BTreeMap<u64, Digest>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewCase {
    views: Vec<View>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootCase {
    header: ReleaseHeader,
    genesis: Digest,
    root: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockCase {
    evidence_digest: Digest,
    system_digest: Digest,
    state_digest: Digest,
    releases: Vec<ListedRelease>,
    emission: Emission,
    header: BlockHeader,
    block: BlockDigest,
    finalize_message: RawTransaction,
}

fn vectors() -> Vectors {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let named = env::var_os("FAIRVEIL_VECTORS").map(PathBuf::from);
    let file = |folder: PathBuf| folder.join("release.json");
    let path = named.map(file).filter(|path| path.exists()).unwrap_or_else(|| file(own));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn release_vectors_have_every_section() {
    let vectors = vectors();
    assert!(!vectors.about.is_empty());
    assert!(vectors.failed.len() >= 33);
    assert!(vectors.trees.len() >= 8 && vectors.trees.iter().any(|case| case.leaves.is_empty()));
    assert!(vectors.registries.len() >= 2);
    assert!(vectors.states.len() >= 3);
    assert!(vectors.views.len() >= 3);
    assert!(vectors.roots.len() >= 3);
    assert!(vectors.blocks.len() >= 3);
}

#[test]
fn release_vectors_of_failed_codes() {
    for FailedCase { failed, bytes } in vectors().failed {
        assert_eq!(failed.to_bytes(), bytes.as_bytes(), "{failed}");
        assert_eq!(Failed::from_bytes(bytes.as_bytes()), Ok(failed));
    }
}

#[test]
fn release_vectors_of_trees_and_proofs() {
    for case in vectors().trees {
        for leaf in &case.leaves {
            assert_eq!(leaf.leaf.outcome.to_bytes(), leaf.outcome_bytes.as_bytes());
            assert_eq!(leaf.leaf.digest(), leaf.node.digest);
            let legs = leaf.legs.iter().map(|leg| {
                let computed = LegDigest::new(leg.chain_id, &leg.transactions);
                assert_eq!(computed.digest, leg.digest);
                computed
            });
            let legs = legs.map(|leg| (leg.chain_id, leg.digest)).collect::<Vec<_>>();
            let committed: Vec<_> = match &leaf.leaf.outcome {
                Outcome::Released { legs, .. } => {
                    legs.iter().map(|leg| (leg.chain_id, leg.digest)).collect()
                }
                Outcome::Carried { legs, .. } => {
                    legs.iter().map(|leg| (leg.chain_id, leg.digest)).collect()
                }
                Outcome::Failed(_) | Outcome::Expired => Vec::new(),
            };
            assert_eq!(legs, committed);
        }
        let leaves = case.leaves.iter().map(|leaf| leaf.leaf.clone()).collect();
        let tree = Tree::new(case.namespaces.clone(), leaves).unwrap();
        assert_eq!(tree.root(), case.root);
        assert_eq!(case.top.tree_root(tree.count(), &case.namespaces), case.root);
        for (leaf, index) in case.leaves.iter().zip(0u32..) {
            let proof = BundleProof::new(&tree, index).unwrap();
            assert_eq!(proof.path, leaf.path);
            assert_eq!(proof.verify(&case.root), Ok(()));
        }
        assert_eq!(case.batch_parts.len(), case.namespaces.chain_ids().len());
        for PartsCase { chain_id, parts } in case.batch_parts {
            let proof = BatchProof::new(&tree, chain_id).unwrap();
            assert_eq!(proof.parts, parts);
            let touching = tree.leaves().iter().filter(|leaf| leaf.leg(chain_id).is_some());
            assert_eq!(proof.verify(&case.root, chain_id), Ok(touching.collect()));
        }
    }
}

#[test]
fn release_vectors_of_roots_registries_and_states() {
    for RegistryCase { rollups, digest } in vectors().registries {
        assert_eq!(rollups.digest(), digest);
    }
    for StateCase { states, digest } in vectors().states {
        assert_eq!(state_digest(&states), digest);
    }
    for ViewCase { views, digest } in vectors().views {
        assert_eq!(views_digest(&views), digest);
    }
    for RootCase { header, genesis, root } in vectors().roots {
        assert_eq!(ReleaseHeader::genesis(&header.network_id), genesis);
        assert_eq!(header.root(), root);
    }
}

#[test]
fn release_vectors_of_blocks() {
    for case in vectors().blocks {
        let listed: Vec<_> =
            case.releases.iter().map(|listed| (listed.height, listed.root)).collect();
        let body = body_digest(&case.evidence_digest, &listed, &case.system_digest);
        assert_eq!(body, case.header.body_digest);
        assert_eq!(result_root(&case.emission, &case.state_digest), case.header.result_root);
        assert_eq!(case.header.digest(), case.block);
        let finalization = Finalization {
            epoch: case.header.epoch,
            view: case.header.view,
            parent_view: case.header.parent_view,
            block: case.block,
            signers: Vec::new(),
            signatures: Vec::new(),
        };
        let message = finalization.signed_message(&case.header.network_id);
        assert_eq!(message, case.finalize_message.as_bytes());
    }
}
