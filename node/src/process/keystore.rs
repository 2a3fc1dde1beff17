//! A sequencer's keystore on disk, with the epoch keys that make its secrets erasable.
//!
//! Beside `keystore.json` stands the folder `keystore.keys`, with one file of 32 bytes for each wrapped
//! secret: `dealing-KEY.key` (KEY: the first 8 bytes of the public dealing key, as hex) and
//! `share-EPOCH.key`.
//!
//! # Invariants
//!
//! 1. A secret is added in this order: its epoch key, durably; then the keystore, all or nothing. So
//!    a keystore never names a secret whose epoch key was not written before.
//! 2. A secret is erased in this order: its epoch key is written over in place and synced, then
//!    removed; then the keystore is written without it. After the first step the secret can't be had
//!    from this machine, and a crash later leaves a label without a key, which is erased again.
//! 3. A keystore or epoch key that others than its owner may read is refused.
//! 4. The file keeps the cost of scrypt it was made with: a light one stays light.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use fairveil_crypto::{Epoch, NetworkId};
use fairveil_keygen::{
    DealingPublicKey, DealingSecret, Membership,
    keystore::{self, EpochKey, KeystoreRandomness, Label, Passphrase, ScryptCost, SequencerKeys},
};
use zeroize::Zeroizing;

use super::{NodeError, files};

/// A keystore on disk, and how to write it again.
pub(crate) struct KeystoreFile {
    path: PathBuf,
    passphrase: Passphrase,
    cost: ScryptCost,
    writing: Mutex<()>,
}

impl KeystoreFile {
    /// Opens the keystore at this path.
    pub(crate) fn open(
        path: &Path,
        passphrase: Passphrase,
    ) -> Result<(Self, SequencerKeys), NodeError> {
        let bytes = secret("keystore", path)?;
        let light = String::from_utf8_lossy(&bytes).contains("\"n\": 4096");
        let cost = if light { ScryptCost::Light } else { ScryptCost::Standard };
        let file = Self { path: path.to_path_buf(), passphrase, cost, writing: Mutex::default() };
        let keys = file.opened(&bytes)?;
        Ok((file, keys))
    }

    /// Makes a new keystore; one that is there already is not touched.
    pub(crate) fn create(
        path: &Path,
        passphrase: Passphrase,
        cost: ScryptCost,
        mut keys: SequencerKeys,
        dealing: &DealingSecret,
    ) -> Result<Self, NodeError> {
        if path.exists() {
            let why = "exists already and is not overwritten; name another, or move it away";
            let path = path.to_path_buf();
            return Err(NodeError::Unusable { what: "keystore", path, why: why.into() });
        }
        let file = Self { path: path.to_path_buf(), passphrase, cost, writing: Mutex::default() };
        file.add_dealing(&mut keys, dealing)?;
        Ok(file)
    }

    /// The keys as they are on disk now.
    pub(crate) fn read(&self) -> Result<SequencerKeys, NodeError> {
        self.opened(&secret("keystore", &self.path)?)
    }

    /// Adds a dealing key.
    pub(crate) fn add_dealing(
        &self,
        keys: &mut SequencerKeys,
        dealing: &DealingSecret,
    ) -> Result<(), NodeError> {
        let label = Label::Dealing(dealing.public_key());
        let key = self.fresh_epoch_key(&label)?;
        keys.add_dealing(dealing, &key).map_err(|error| self.unusable(&error))?;
        self.write(keys)
    }

    /// Keeps a key share.
    pub(crate) fn keep(&self, membership: &Membership) -> Result<(), NodeError> {
        let _writing = self.writing();
        let mut keys = self.read()?;
        let (network_id, epoch) = (membership.network_id, membership.epoch);
        let kept = self.membership(&keys, &network_id, epoch).ok().flatten();
        let same = |one: &Membership| {
            let (kept, given) = (&one.share, &membership.share);
            kept.index() == given.index() && kept.expose_encoding() == given.expose_encoding()
        };
        if kept.as_ref().is_some_and(same) {
            return Ok(());
        }
        // One of a round that came to nothing is gone before its epoch key is: a share without its key
        // would be no share.
        if let Ok(stale) = keys.share_label(&network_id, epoch) {
            keys.forget(&stale);
            self.write(&keys)?;
        }
        let label = Label::Share { network_id, epoch, index: membership.share.index() };
        let key = self.fresh_epoch_key(&label)?;
        keys.add_membership(membership, &key).map_err(|error| self.unusable(&error))?;
        self.write(&keys)
    }

    /// The share of this epoch; `None` if there is none of this network.
    pub(crate) fn membership(
        &self,
        keys: &SequencerKeys,
        network_id: &NetworkId,
        epoch: Epoch,
    ) -> Result<Option<Membership>, NodeError> {
        let Ok(label) = keys.share_label(network_id, epoch) else { return Ok(None) };
        let key = self.epoch_key(&label)?;
        keys.membership_of(network_id, epoch, &key).map(Some).map_err(|error| self.unusable(&error))
    }

    /// The secret of a dealing key.
    pub(crate) fn dealing(
        &self,
        keys: &SequencerKeys,
        public: &DealingPublicKey,
    ) -> Result<DealingSecret, NodeError> {
        let label = Label::Dealing(*public);
        let key = if keys.labels().any(|one| one == label) {
            self.epoch_key(&label)?
        } else {
            // Which error it is, the keystore says.
            EpochKey::from_bytes([0; EpochKey::BYTES])
        };
        keys.dealing(public, &key).map_err(|error| self.unusable(&error))
    }

    /// Erases the shares of all epochs before this one; their number.
    pub(crate) fn erase_shares_before(&self, epoch: Epoch) -> Result<usize, NodeError> {
        self.erase(|label| matches!(label, Label::Share { epoch: of, .. } if *of < epoch))
    }

    /// Erases a dealing key.
    pub(crate) fn erase_dealing(&self, public: &DealingPublicKey) -> Result<usize, NodeError> {
        self.erase(|label| *label == Label::Dealing(*public))
    }

    fn erase(&self, which: impl Fn(&Label) -> bool) -> Result<usize, NodeError> {
        let _writing = self.writing();
        let mut keys = self.read()?;
        let labels: Vec<Label> = keys.labels().filter(which).collect();
        for label in &labels {
            let path = self.epoch_key_path(label);
            overwrite_and_remove(&path).map_err(|source| NodeError::File {
                what: "epoch key",
                path,
                source,
            })?;
            keys.forget(label);
        }
        if !labels.is_empty() {
            self.write(&keys)?;
        }
        Ok(labels.len())
    }

    /// One change at a time: each reads the whole file and writes it again.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, bytes: &[u8]) -> Result<SequencerKeys, NodeError> {
        keystore::open(bytes, &self.passphrase).map_err(|error| self.unusable(&error))
    }

    fn write(&self, keys: &SequencerKeys) -> Result<(), NodeError> {
        let randomness = KeystoreRandomness {
            salt: files::random()?,
            iv: files::random()?,
            uuid: files::random()?,
        };
        let bytes = keystore::seal(keys, &self.passphrase, self.cost, randomness);
        files::keep_secret(&self.path, &bytes).map_err(|source| NodeError::File {
            what: "keystore",
            path: self.path.clone(),
            source,
        })
    }

    fn fresh_epoch_key(&self, label: &Label) -> Result<EpochKey, NodeError> {
        let path = self.epoch_key_path(label);
        let key = EpochKey::from_bytes(files::random()?);
        let written = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            }
            // One of an earlier round that came to nothing.
            if path.exists() {
                overwrite_and_remove(&path)?;
            }
            files::keep_secret(&path, key.expose_bytes())
        };
        match written() {
            Ok(()) => Ok(key),
            Err(source) => Err(NodeError::File { what: "epoch key", path, source }),
        }
    }

    fn epoch_key(&self, label: &Label) -> Result<EpochKey, NodeError> {
        let path = self.epoch_key_path(label);
        let bytes = secret("epoch key", &path)?;
        let bytes: [u8; EpochKey::BYTES] = bytes.as_slice().try_into().map_err(|_| {
            let why = format!("{} bytes, an epoch key has {}", bytes.len(), EpochKey::BYTES);
            NodeError::Unusable { what: "epoch key", path, why }
        })?;
        Ok(EpochKey::from_bytes(bytes))
    }

    fn epoch_key_path(&self, label: &Label) -> PathBuf {
        let name = match label {
            Label::Dealing(key) => {
                let hex: String =
                    key.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
                format!("dealing-{hex}.key")
            }
            Label::Share { epoch, .. } => format!("share-{epoch}.key"),
        };
        keys_folder(&self.path).join(name)
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> NodeError {
        NodeError::Unusable { what: "keystore", path: self.path.clone(), why: error.to_string() }
    }
}

/// The folder of a keystore's epoch keys.
pub(crate) fn keys_folder(keystore: &Path) -> PathBuf {
    keystore.with_extension("keys")
}

/// The whole of a file that only its owner may read.
fn secret(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    let bytes = Zeroizing::new(files::read(what, path)?);
    files::refuse_readable(what, path)?;
    Ok(bytes)
}

/// Writes over a file in place, syncs it and removes it; one that is gone is erased already.
fn overwrite_and_remove(path: &Path) -> std::io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            OpenOptions::new().read(true).open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use fairveil_crypto::{ConsensusSecret, SequencerIndex, committee::KeyShare};

    use super::*;

    const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse").unwrap()
    }

    fn membership(epoch: u64, share: u8) -> Membership {
        let index = SequencerIndex::new(3).unwrap();
        let share = KeyShare::decode(index, &[share; 32]).unwrap();
        Membership { network_id: NETWORK, epoch: Epoch::new(epoch), share }
    }

    fn dealing() -> DealingSecret {
        DealingSecret::from_seed(&[5; 32])
    }

    fn created(folder: &Path) -> KeystoreFile {
        let keys = SequencerKeys::new(
            ConsensusSecret::from_seed([1; 32]),
            ConsensusSecret::from_seed([2; 32]),
        );
        let path = folder.join("keystore.json");
        KeystoreFile::create(&path, passphrase(), ScryptCost::Light, keys, &dealing()).unwrap()
    }

    /// All bytes of all files below a folder.
    fn everything(folder: &Path) -> Vec<u8> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(everything(&path));
            } else {
                found.extend(files::read("file", &path).unwrap());
            }
        }
        found
    }

    #[test]
    fn what_is_added_is_there_again_and_what_is_erased_is_not_invariants_1_and_2() {
        let folder = tempfile::tempdir().unwrap();
        let file = created(folder.path());
        file.keep(&membership(1, 9)).unwrap();
        file.keep(&membership(2, 8)).unwrap();
        let (again, keys) =
            KeystoreFile::open(&folder.path().join("keystore.json"), passphrase()).unwrap();
        let share = |epoch| again.membership(&again.read().unwrap(), &NETWORK, Epoch::new(epoch));
        assert_eq!(share(1).unwrap().unwrap().share.expose_encoding()[..], [9; 32]);
        assert_eq!(share(2).unwrap().unwrap().share.expose_encoding()[..], [8; 32]);
        assert!(share(3).unwrap().is_none());
        let public = dealing().public_key();
        assert_eq!(again.dealing(&keys, &public).unwrap().public_key(), public);

        let old_key = files::read("key", &folder.path().join("keystore.keys/share-1.key")).unwrap();
        assert_eq!(again.erase_shares_before(Epoch::new(2)).unwrap(), 1);
        assert_eq!(again.erase_dealing(&public).unwrap(), 1);
        assert!(share(1).unwrap().is_none());
        assert_eq!(share(2).unwrap().unwrap().share.expose_encoding()[..], [8; 32]);
        assert!(again.dealing(&again.read().unwrap(), &public).is_err());
        let left = everything(folder.path());
        for gone in [&old_key[..], &[9; 32]] {
            assert!(!left.windows(gone.len()).any(|window| window == gone));
        }
    }

    #[test]
    fn a_crash_between_the_steps_of_erasing_leaves_the_rest_usable_invariant_2() {
        let folder = tempfile::tempdir().unwrap();
        let file = created(folder.path());
        file.keep(&membership(1, 9)).unwrap();
        file.keep(&membership(2, 8)).unwrap();
        // The epoch key is gone, the keystore still names the share.
        overwrite_and_remove(&folder.path().join("keystore.keys/share-1.key")).unwrap();
        let keys = file.read().unwrap();
        assert!(file.membership(&keys, &NETWORK, Epoch::new(1)).is_err());
        assert!(file.membership(&keys, &NETWORK, Epoch::new(2)).unwrap().is_some());
        assert_eq!(file.erase_shares_before(Epoch::new(2)).unwrap(), 1);
        assert!(file.membership(&file.read().unwrap(), &NETWORK, Epoch::new(1)).unwrap().is_none());
    }

    #[test]
    fn an_existing_keystore_and_readable_files_are_refused_invariant_3() {
        let folder = tempfile::tempdir().unwrap();
        let file = created(folder.path());
        let path = folder.path().join("keystore.json");
        let keys = file.read().unwrap();
        let again = KeystoreFile::create(&path, passphrase(), ScryptCost::Light, keys, &dealing());
        assert!(matches!(again, Err(NodeError::Unusable { .. })));
        file.keep(&membership(1, 9)).unwrap();
        let key = folder.path().join("keystore.keys/share-1.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = file.membership(&file.read().unwrap(), &NETWORK, Epoch::new(1));
        assert!(matches!(refused, Err(NodeError::Readable { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            KeystoreFile::open(&path, passphrase()),
            Err(NodeError::Readable { mode: 0o644, .. })
        ));
    }
}
