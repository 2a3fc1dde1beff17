//! The mark of a data folder that was restored from a backup: `restored.json`.
//!
//! `fairveil restore` writes it before anything else. While it is there the node starts its sequencer as
//! one that signs nothing ([`fairveil_sequencer::abstention`]); the end of the abstention, durable in the
//! database, removes it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use fairveil_crypto::Height;
use fairveil_sequencer::Restored;
use fairveil_transport::{CloseReason, LinkError, Observer};
use serde::{Deserialize, Serialize};

use super::{NodeError, files};

/// The mark's name in the data folder.
const NAME: &str = "restored.json";

/// How often the connections of a restored node are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Connections that may be lost to newer ones of the same keys: a restart can cost one per peer.
const MAX_SUPERSEDED: u32 = 6;

/// Where a data folder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// It was always here.
    Original,
    /// From a backup, and the abstention is not over.
    Restored,
}

/// What the mark says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    /// A random number: which restore it was.
    restore: u64,
    /// Nothing is signed below this height; 0: the sequencer finds out by itself.
    abstain_until: u64,
}

/// Whether a mark counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// As it must.
    Obeyed,
    /// A hidden flag of the double-run test.
    Ignored,
}

/// Marks a data folder as restored.
pub(crate) fn write_mark(data: &Path, abstain_until: u64) -> std::io::Result<()> {
    let restore = files::random().map(u64::from_be_bytes).map_err(std::io::Error::other)?;
    let text = serde_json::to_vec(&Marked { restore, abstain_until }).unwrap_or_default();
    files::write_public(&data.join(NAME), &text)
}

/// What a restored sequencer has to abide by; none if the folder was not restored.
pub(super) fn mark(data: &Path, mark: Mark) -> Result<Option<Restored>, NodeError> {
    let path = data.join(NAME);
    if mark == Mark::Ignored || !path.exists() {
        return Ok(None);
    }
    let bytes = files::read("mark", &path)?;
    let marked: Marked = serde_json::from_slice(&bytes).map_err(|error| NodeError::Unusable {
        what: "mark",
        path,
        why: error.to_string(),
    })?;
    Ok(Some(Restored { id: marked.restore, until: Height::new(marked.abstain_until) }))
}

/// The abstention is over.
pub(super) fn remove_mark(data: &Path) -> Result<(), NodeError> {
    let path = data.join(NAME);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(NodeError::File { what: "mark", path, source })
        }
        _ => Ok(()),
    }
}

/// Resolves once peers have dropped connections of a restored node for newer ones of the same keys,
/// again and again: the original runs. The other signs of it ([`fairveil_sequencer::abstention`]) come
/// later, and both disturb each other's connections meanwhile.
pub(super) async fn superseded(folder: Folder, observer: &Observer) -> String {
    let mut seen: BTreeMap<_, u64> = BTreeMap::new();
    let mut lost = 0;
    while folder == Folder::Restored && lost < MAX_SUPERSEDED {
        tokio::time::sleep(LOOK).await;
        for peer in observer.snapshot().peers {
            let superseded =
                peer.last_error == Some(LinkError::ClosedByPeer(CloseReason::Superseded));
            let before = seen.insert(peer.key, peer.connections);
            if superseded && before.is_some_and(|before| before < peer.connections) {
                lost += 1;
            }
        }
    }
    if folder == Folder::Original {
        return std::future::pending().await;
    }
    format!(
        "another instance runs with this keystore: peers dropped {lost} connections for newer ones of the \
         same keys; this one signed nothing"
    )
}

/// A ceremony is signed too, and can't be gone on with from a copy.
pub(super) fn refuse_ceremony(data: &Path) -> Result<(), NodeError> {
    let path = data.join(NAME);
    if !path.exists() {
        return Ok(());
    }
    let why = "this folder was restored from a backup that is older than the ceremony's end: a \
               ceremony can't be gone on with from a copy; propose a new one";
    Err(NodeError::Unusable { what: "mark", path, why: why.into() })
}
