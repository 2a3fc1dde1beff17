//! A disk that loses what wasn't synced when its machine crashes.
//!
//! # Invariants
//!
//! 1. After a crash the content is the last synced one, plus any subset of the later writes,
//!    chosen by the crash's seed: an operating system writes back in any order or not at all.
//! 2. After a crash every operation of the old opening fails, so that nothing of a dead process
//!    reaches the disk.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use redb::StorageBackend;

#[derive(Debug, Clone)]
enum Operation {
    Resize(usize),
    Write { offset: usize, data: Vec<u8> },
}

impl Operation {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(length) => content.resize(*length, 0),
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(data);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Operation>,
    syncs: u64,
    generation: u64,
    fail_at_sync: Option<u64>,
}

impl Content {
    fn has_failed(&self) -> bool {
        self.fail_at_sync.is_some_and(|sync| self.syncs >= sync)
    }
}

/// The platter: survives crashes, and opens as a backend for one process at a time.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    content: Arc<Mutex<Content>>,
}

impl Disk {
    /// A backend for the next process. Earlier ones fail from now on.
    #[must_use]
    pub fn open(&self) -> OpenDisk {
        let mut content = lock(&self.content);
        content.generation += 1;
        OpenDisk { content: Arc::clone(&self.content), generation: content.generation }
    }

    /// Empties the file, as a file that never got its name is gone after a crash.
    pub fn erase(&self) {
        let mut content = lock(&self.content);
        content.synced.clear();
        content.current.clear();
        content.unsynced.clear();
    }

    /// Loses power: unsynced writes survive or not as `seed` says.
    pub fn crash(&self, seed: u64) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut content = lock(&self.content);
        content.generation += 1;
        content.fail_at_sync = None;
        let mut survived = content.synced.clone();
        for operation in std::mem::take(&mut content.unsynced) {
            if rng.random_bool(0.5) {
                operation.apply(&mut survived);
            }
        }
        content.current.clone_from(&survived);
        content.synced = survived;
    }

    /// Syncs done so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        lock(&self.content).syncs
    }

    /// The power fails during sync number `sync` (from 1): it and everything after it fails.
    pub fn fail_at_sync(&self, sync: u64) {
        lock(&self.content).fail_at_sync = Some(sync);
    }

    /// Whether the power failed at a sync, and the crash has not been declared since.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.content).has_failed()
    }
}

/// The disk as one process sees it.
#[derive(Debug)]
pub struct OpenDisk {
    content: Arc<Mutex<Content>>,
    generation: u64,
}

impl OpenDisk {
    fn content(&self) -> io::Result<MutexGuard<'_, Content>> {
        let content = lock(&self.content);
        if content.generation != self.generation || content.has_failed() {
            return Err(io::Error::other("the machine crashed"));
        }
        Ok(content)
    }
}

impl StorageBackend for OpenDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content()?;
        let start = position(offset)?;
        let end = start.checked_add(out.len()).filter(|end| *end <= content.current.len());
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(&content.current[start..end]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Operation::Resize(position(length)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.content()?;
        content.syncs += 1;
        if content.has_failed() {
            return Err(io::Error::other("the machine crashed"));
        }
        for operation in std::mem::take(&mut content.unsynced) {
            operation.apply(&mut content.synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Operation::Write { offset: position(offset)?, data: data.to_vec() })
    }
}

impl OpenDisk {
    fn change(&self, operation: Operation) -> io::Result<()> {
        let mut content = self.content()?;
        operation.apply(&mut content.current);
        content.unsynced.push(operation);
        Ok(())
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}
