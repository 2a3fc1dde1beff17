//! Certified batches of one rollup, from files or from sequencers, each verified against the pinned
//! network and as the one that follows.
//!
//! # Invariants
//!
//! 1. A batch is taken only if [`RollupFollower`] accepts it: its document verifies and continues what was taken before, so that
//!    none is left out, comes twice or stands elsewhere. From the first height on, that is all that
//!    was ever released.
//! 2. No sequencer is believed: a page that does not verify is as good as none, and the next one is
//!    asked. A sequencer can only keep back what is new.

use std::path::{Path, PathBuf};

use fairveil_client::{
    Endpoint, PinnedNetwork,
    file::{File, MAX_FILE_BYTES},
    rollup::{FollowerError, Refused, RollupFollower},
};
use fairveil_crypto::Height;
use fairveil_release::{batch::Batch, document::BatchDocument};

use super::super::{disk, error::CommandError};

/// Batches of one rollup that were verified, in order.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Verified {
    pub(in super::super) batches: Vec<Batch>,
    /// Whether they begin with the network's first release.
    pub(in super::super) from_first: bool,
    /// The first and the last height whose release was shown.
    pub(in super::super) heights: Option<(Height, Height)>,
}

/// Takes batch after batch.
pub(in super::super) struct Following {
    follower: RollupFollower,
    verified: Verified,
}

impl Following {
    /// Before the release of height `from`.
    pub(in super::super) fn new(
        network: PinnedNetwork,
        chain_id: u64,
        from: Height,
    ) -> Result<Self, FollowerError> {
        let from_first = from == Height::ZERO.next();
        let verified = Verified { from_first, ..Verified::default() };
        Ok(Self { follower: RollupFollower::new(network, chain_id, from)?, verified })
    }

    /// What was taken.
    pub(in super::super) fn verified(self) -> Verified {
        self.verified
    }

    /// Takes what these files hold, one after the other.
    pub(in super::super) fn take_files(
        &mut self,
        files: &[PathBuf],
        most: usize,
    ) -> Result<(), CommandError> {
        for path in files {
            let bytes = disk::read(path, MAX_FILE_BYTES)?;
            for (number, document) in (1..).zip(documents(path, &bytes)?) {
                if self.verified.batches.len() >= most {
                    let why = format!("more than {most} batches in all, which is the limit");
                    return Err(CommandError::file(path, &why));
                }
                self.take(document).map_err(|error| {
                    let (path, chain_id) = (path.display(), self.follower.chain_id());
                    CommandError::Check(format!(
                        "{path}: batch {number} is refused as one of rollup {chain_id}: {error}"
                    ))
                })?;
            }
        }
        Ok(())
    }

    /// Takes what these sequencers have, until none of them has more or there are `most`.
    pub(in super::super) async fn take_from(
        &mut self,
        endpoints: &[Endpoint],
        most: usize,
    ) -> Result<(), CommandError> {
        loop {
            let (mut faults, before) = (Vec::new(), self.verified.batches.len());
            for endpoint in endpoints {
                while self.verified.batches.len() < most {
                    match self.page(endpoint).await {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(fault) => {
                            faults.push(format!("{}: {fault}", endpoint.url()));
                            break;
                        }
                    }
                }
            }
            if faults.len() == endpoints.len() && self.verified.batches.is_empty() {
                return Err(CommandError::Unreachable(faults.join("; ")));
            }
            let after = self.verified.batches.len();
            if after == before || after >= most {
                return Ok(());
            }
        }
    }

    /// Takes one page of a sequencer; how many batches it had.
    async fn page(&mut self, endpoint: &Endpoint) -> Result<usize, String> {
        let (chain_id, next) = (self.follower.chain_id(), self.follower.next());
        let path = format!("/batches/{chain_id}?from={}", next.get());
        let bytes = endpoint.get(&path).await.map_err(|error| error.to_string())?;
        let file = File::read(&bytes).map_err(|error| error.to_string())?;
        let File::Batches(documents) = file else {
            return Err(format!("{path} is of kind {:?}, not a list of batches", file.kind()));
        };
        let count = documents.len();
        for document in documents {
            self.take(document).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(count)
    }

    fn take(&mut self, document: BatchDocument) -> Result<(), Refused> {
        self.follower.accept(&document)?;
        let last = document.release.height;
        let (first, _) = self.verified.heights.unwrap_or((document.first().height, last));
        self.verified.heights = Some((first, last));
        self.verified.batches.push(document.batch);
        Ok(())
    }
}

fn documents(path: &Path, bytes: &[u8]) -> Result<Vec<BatchDocument>, CommandError> {
    match File::read(bytes).map_err(|error| CommandError::file(path, &error))? {
        File::Batches(documents) => Ok(documents),
        File::Batch(document) => Ok(vec![*document]),
        other => {
            let why = format!("a file of kind {:?}, batches are needed", other.kind());
            Err(CommandError::file(path, &why))
        }
    }
}
