#![allow(clippy::unwrap_used)]

use fairveil_crypto::{Epoch, SequencerIndex, Signature};

use super::*;
use crate::world::SEVEN;

pub(crate) fn listed(from: u64, count: u64) -> Vec<ListedRelease> {
    let entry = |height| ListedRelease {
        height: Height::new(height),
        root: Digest::from_bytes([height as u8; 32]),
    };
    (from..from + count).map(entry).collect()
}

fn verify(certificate: &ReleaseCertificate) -> Result<CertifiedReleases, ReleaseCertificateError> {
    certificate.verify(&SEVEN.network_id, &SEVEN.dealt.committee)
}

#[test]
fn listed_roots_are_certified() {
    let certified = verify(&SEVEN.release_certificate(20, listed(4, 3))).unwrap();
    assert_eq!(certified.block_height(), Height::new(20));
    assert_eq!(certified.root(Height::new(5)), Some(Digest::from_bytes([5; 32])));
    assert_eq!(certified.root(Height::new(7)), None);
    assert!(verify(&SEVEN.release_certificate(20, Vec::new())).is_ok());
    assert!(verify(&SEVEN.release_certificate(70, listed(6, 64))).is_ok());
}

#[test]
fn every_deviation_has_its_reason_invariant_3() {
    let refused = |change: &dyn Fn(&mut ReleaseCertificate)| {
        let mut certificate = SEVEN.release_certificate(20, listed(4, 3));
        change(&mut certificate);
        verify(&certificate).expect_err("refused")
    };
    let body = |error| matches!(error, ReleaseCertificateError::Body { .. });
    assert!(body(refused(&|c| c.releases[0].root = Digest::from_bytes([9; 32]))));
    assert!(body(refused(&|c| c.releases[0].height = Height::new(3))));
    assert!(body(refused(&|c| c.releases.truncate(2))));
    assert!(body(refused(&|c| c.evidence_digest = c.system_digest)));
    assert!(body(refused(&|c| c.system_digest = c.evidence_digest)));
    use CertificateError as Block;
    use ReleaseCertificateError::Block as Of;
    assert!(matches!(refused(&|c| c.headers.clear()), Of(Block::Headers { .. })));
    assert!(matches!(refused(&|c| c.headers.rotate_left(1)), Of(Block::Block { .. })));
    assert!(matches!(refused(&|c| c.headers[1].time_ms += 1), Of(Block::Parent { .. })));
    assert!(matches!(refused(&|c| c.headers[1].version += 1), Of(Block::Version { .. })));
    assert!(matches!(refused(&|c| c.headers[1].epoch = Epoch::new(2)), Of(Block::Epoch { .. })));
    assert!(matches!(
        refused(&|c| c.headers[1].network_id = NetworkId::from_bytes([1; 32])),
        Of(Block::Network { .. })
    ));
    assert!(matches!(
        refused(&|c| c.finalization.signatures[2] = Signature::from_bytes([1; 64])),
        Of(Block::Signature(_))
    ));
    assert!(matches!(
        refused(&|c| c.finalization.signers[4] = SequencerIndex::new(9).unwrap()),
        Of(Block::Member { .. })
    ));
    assert!(matches!(refused(&|c| c.finalization.signers.truncate(4)), Of(Block::Count { .. })));
    let fewer = refused(&|c| {
        c.finalization.signers.truncate(4);
        c.finalization.signatures.truncate(4);
    });
    assert!(matches!(fewer, Of(Block::Quorum { actual: 4, expected: 5 })));
}

#[test]
fn a_certified_body_is_judged_too() {
    let refused = |releases| verify(&SEVEN.release_certificate(70, releases)).expect_err("refused");
    let limit = MAX_RELEASES;
    let count = ReleaseCertificateError::Count { actual: 65, limit };
    assert_eq!(refused(listed(1, 65)), count);
    let (previous, actual) = (Height::new(4), Height::new(6));
    let gap = [listed(4, 1), listed(6, 1)].concat();
    assert_eq!(refused(gap), ReleaseCertificateError::Order { previous, actual });
    let (actual, block) = (Height::new(70), Height::new(70));
    assert_eq!(refused(listed(69, 2)), ReleaseCertificateError::Future { actual, block });
}
