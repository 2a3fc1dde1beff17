//! The release certificate: that a final block lists a release root.
//!
//! The root of a height stands in the releases of a later block. The certificate shows that block's
//! header, proven final by the quorum's finalization of it or of a descendant, and the part of the
//! block's body that holds the releases; of the rest only digests.
//!
//! # Bytes
//!
//! `body digest = H(BLOCK-BODY, evidence digest, releases, system digest)`, the releases as one
//! item: for each, height as 8 bytes big-endian ‖ root (32). Header and finalization as in
//! [`fairveil_crypto::certificate`].
//!
//! # Invariants
//!
//! 1. Verification needs the network id and the committee of the certifying block's epoch, and
//!    nothing else: no network, no consensus engine.
//! 2. [`CertifiedReleases`] are only made by it.
//! 3. Every way to fail has a reason of its own.

use fairveil_crypto::certificate::body::{MAX_RELEASES, body_digest};
use fairveil_crypto::certificate::{BlockHeader, CertificateError, Finalization, final_header};
use fairveil_crypto::committee::Committee;
use fairveil_crypto::{Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Proof that the last of its headers is final and lists these releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCertificate {
    /// The quorum's word on the first header.
    pub finalization: Finalization,
    /// The finalized block first, each the child of the next; the last one lists the releases.
    pub headers: Vec<BlockHeader>,
    /// The digest of that block's evidence.
    pub evidence_digest: Digest,
    /// That block's releases.
    pub releases: Vec<ListedRelease>,
    /// The digest of that block's system entries.
    pub system_digest: Digest,
}

/// A release root in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedRelease {
    /// The released height.
    pub height: Height,
    /// Its release root.
    pub root: Digest,
}

/// Release roots that a final block lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedReleases {
    block_height: Height,
    releases: Vec<ListedRelease>,
}

/// Why a release certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReleaseCertificateError {
    /// The block is not proven final.
    #[error(transparent)]
    Block(#[from] CertificateError),
    /// More releases than a block lists.
    #[error("{actual} releases, a block lists at most {limit}")]
    Count {
        /// How many there are.
        actual: usize,
        /// How many a block may list.
        limit: usize,
    },
    /// The block commits to another body.
    #[error("the releases lead to body digest {actual}, the block has {expected}")]
    Body {
        /// The digest that they lead to.
        actual: Digest,
        /// The header's.
        expected: Digest,
    },
    /// A release that does not follow the one before it.
    #[error("the release of height {actual} is listed after that of height {previous}")]
    Order {
        /// The height before.
        previous: Height,
        /// The height after it.
        actual: Height,
    },
    /// A release of the block's own height or above.
    #[error("height {actual} is released in a block of height {block}")]
    Future {
        /// The released height.
        actual: Height,
        /// The block's height.
        block: Height,
    },
}

impl ReleaseCertificate {
    /// The releases that are certified.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        committee: &Committee,
    ) -> Result<CertifiedReleases, ReleaseCertificateError> {
        let header = final_header(&self.finalization, &self.headers, network_id, committee)?;
        let (actual, limit) = (self.releases.len(), MAX_RELEASES);
        if actual > limit {
            return Err(ReleaseCertificateError::Count { actual, limit });
        }
        let listed: Vec<_> =
            self.releases.iter().map(|release| (release.height, release.root)).collect();
        let actual = body_digest(&self.evidence_digest, &listed, &self.system_digest);
        let expected = header.body_digest;
        if actual != expected {
            return Err(ReleaseCertificateError::Body { actual, expected });
        }
        for pair in self.releases.windows(2) {
            let (previous, actual) = (pair[0].height, pair[1].height);
            if actual != previous.next() {
                return Err(ReleaseCertificateError::Order { previous, actual });
            }
        }
        if let Some(last) = self.releases.last().filter(|last| last.height >= header.height) {
            let (actual, block) = (last.height, header.height);
            return Err(ReleaseCertificateError::Future { actual, block });
        }
        Ok(CertifiedReleases { block_height: header.height, releases: self.releases.clone() })
    }
}

impl CertifiedReleases {
    /// The height of the block that lists them.
    pub fn block_height(&self) -> Height {
        self.block_height
    }

    /// The release root of a height, if the block lists it.
    pub fn root(&self, height: Height) -> Option<Digest> {
        let listed = self.releases.iter().find(|release| release.height == height);
        listed.map(|release| release.root)
    }
}

#[cfg(test)]
pub(crate) mod tests;
