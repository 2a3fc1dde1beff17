//! What a header's `body_digest` commits to, in a form that shows the releases alone.
//!
//! ```text
//! body digest = H(BLOCK-BODY, evidence digest, releases, system digest)
//! releases    = for each: height as 8 bytes big-endian ‖ release root(32)
//! ```
//!
//! Evidence and system entries are the consensus engine's matter; whoever proves a release shows
//! their digests, the releases of the block, and the header.

use crate::domain::{Tag, hash};
use crate::{Digest, Height};

/// Release roots in one block, at most.
pub const MAX_RELEASES: usize = 64;

/// The digest of a block's body.
#[must_use]
pub fn body_digest(evidence: &Digest, releases: &[(Height, Digest)], system: &Digest) -> Digest {
    let mut item = Vec::with_capacity(40 * releases.len());
    for (height, root) in releases {
        item.extend_from_slice(&height.get().to_be_bytes());
        item.extend_from_slice(root.as_bytes());
    }
    hash(Tag::BlockBody, &[evidence.as_bytes(), &item, system.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_committed_to() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let one = [(Height::new(1), digest(1))];
        let root = body_digest(&digest(2), &one, &digest(3));
        for other in [
            body_digest(&digest(3), &one, &digest(2)),
            body_digest(&digest(2), &[], &digest(3)),
            body_digest(&digest(2), &[(Height::new(2), digest(1))], &digest(3)),
            body_digest(&digest(2), &[(Height::new(1), digest(2))], &digest(3)),
            body_digest(&digest(2), &[one[0], one[0]], &digest(3)),
        ] {
            assert_ne!(root, other);
        }
    }
}
