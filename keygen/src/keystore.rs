//! Keystores: all secrets of one sequencer, in one file of the form of EIP-2335.
//!
//! The encrypted secret is, in this order:
//!
//! ```text
//! 2                                 form of the content, one byte
//! network seed ‖ consensus seed     32 bytes each, ed25519 seeds (RFC 8032)
//! count                             of wrapped secrets, one byte, at most 8; ascending by label:
//!   1 ‖ dealing public key ‖ wrapped               1, 48 and 48 bytes
//!   2 ‖ network id ‖ epoch ‖ index ‖ wrapped       1, 32, 8, 2 and 48 bytes, big-endian
//! ```
//!
//! A wrapped secret (the secret of a dealing key, a key share) opens under an *epoch key* alone,
//! which is not in this file and is erased to erase the secret ([`EpochKey`]).
//!
//! `pubkey` is the consensus public key and `description` names network and epoch, both for
//! people; what counts is inside. SHA-256 here is EIP-2335's, without a domain tag.
//!
//! # Invariants
//!
//! 1. Pure: salt, counter block and UUID are arguments, and so is the cost. A salt or counter
//!    block is never used for two files.
//! 2. `open(seal(keys)) == keys`. A wrong passphrase, a damaged file, a file of another sequencer
//!    and one of another network are four different errors, and none of them yields a secret.
//! 3. Secrets are wiped on drop and are neither printed nor serialized outside the encryption.
//! 4. A file can't make its reader use more than 1 GiB or more than 16 passes of scrypt.
//!
//! 5. Without its epoch key a share or dealing secret can't be had from a keystore, whatever the
//!    passphrase.
//!
//! The published vectors of EIP-2335 are tests: the one for scrypt opens, the one for PBKDF2, which no
//! file of Fairveil uses, is refused by name.

mod contents;
mod eip2335;
mod epoch_key;
mod passphrase;

use fairveil_crypto::{ConsensusPublicKey, Epoch, NetworkId};

use crate::dealing::DealingPublicKey;

pub use contents::{KeystoreFull, Label, MAX_WRAPPED, SequencerKeys};
pub use eip2335::{MAX_BYTES, ScryptCost};
pub use epoch_key::EpochKey;
pub use passphrase::{MAX_PASSPHRASE_BYTES, Passphrase, PassphraseError};

/// Fresh random bytes for one file, used up by it.
pub struct KeystoreRandomness {
    /// Salt of scrypt.
    pub salt: [u8; 32],
    /// First counter block of the cipher.
    pub iv: [u8; 16],
    /// Identity of the file.
    pub uuid: [u8; 16],
}

/// Why a keystore is not opened.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// File or message is too long.
    #[error("keystore has {actual} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes found.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Not JSON of a keystore.
    #[error("not a keystore file: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the form.
    #[error("keystore has version {actual}, this program reads version 4")]
    Version {
        /// The version found.
        actual: u8,
    },
    /// A function that this program does not implement.
    #[error("keystore uses {actual}, this program reads {supported}")]
    Function {
        /// The function found.
        actual: String,
        /// The one that is read.
        supported: &'static str,
    },
    /// Parameters of scrypt or of the cipher outside the limits.
    #[error("keystore has key derivation or cipher parameters outside the limits")]
    Parameters,
    /// The file is damaged.
    #[error("keystore is corrupted: its integrity field does not match")]
    Corrupted,
    /// The passphrase is not the file's.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The checksum does not match, and the file does not say whether it is damaged.
    #[error("wrong passphrase, or the keystore is corrupted")]
    WrongPassphraseOrCorrupted,
    /// It opened, and holds something else than a sequencer's keys.
    #[error("keystore does not hold a sequencer's keys")]
    Contents,
    /// The public key on the file is not that of the keys inside.
    #[error("keystore is labelled {label} and holds the keys of {actual}")]
    Swapped {
        /// The public key on the file.
        label: String,
        /// That of the keys inside.
        actual: ConsensusPublicKey,
    },
}

/// Why opened keys don't serve a sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The keys were made before a ceremony and hold no share.
    #[error("keystore holds no key share: no ceremony was completed with it")]
    NoShare,
    /// The share belongs to another network.
    #[error("keystore belongs to network {actual}, not to {expected}")]
    WrongNetwork {
        /// The network asked for.
        expected: NetworkId,
        /// That of the keystore.
        actual: NetworkId,
    },
    /// The share belongs to another epoch.
    #[error("keystore belongs to epoch {actual}, not to {expected}")]
    WrongEpoch {
        /// The epoch asked for.
        expected: Epoch,
        /// That of the keystore.
        actual: Epoch,
    },
    /// The share was wrapped under another epoch key.
    #[error("the epoch key is not that of the share of epoch {epoch}: it was erased or swapped")]
    EpochKey {
        /// The epoch.
        epoch: Epoch,
    },
}

/// Why there is no dealing key for a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DealingKeyError {
    /// The keystore has another one, or none.
    #[error(
        "the definition has dealing key {expected}, which this keystore does not hold: it was made \
         elsewhere, renewed since, or erased after a ceremony"
    )]
    Missing {
        /// The key in the definition.
        expected: DealingPublicKey,
    },
    /// It was wrapped under another epoch key.
    #[error("the epoch key is not that of dealing key {dealing}: it was erased or swapped")]
    EpochKey {
        /// The dealing key.
        dealing: DealingPublicKey,
    },
}

/// A keystore file for these keys, as JSON.
#[must_use]
pub fn seal(
    keys: &SequencerKeys,
    passphrase: &Passphrase,
    cost: ScryptCost,
    randomness: KeystoreRandomness,
) -> Vec<u8> {
    let shares = keys.labels().filter_map(|label| match label {
        Label::Share { network_id, epoch, .. } => Some((network_id, epoch)),
        Label::Dealing(_) => None,
    });
    let description = match shares.max_by_key(|(_, epoch)| *epoch) {
        None => "fairveil identity".to_owned(),
        Some((network_id, epoch)) => format!("fairveil network {network_id} epoch {epoch}"),
    };
    let pubkey = keys.consensus.public_key().to_bytes().to_vec();
    let secret = keys.expose_bytes();
    eip2335::File::encrypt(&secret, passphrase, cost, randomness, description, pubkey).to_json()
}

/// The keys in a keystore file.
///
/// # Errors
///
/// [`KeystoreError`]; without a secret in it.
pub fn open(bytes: &[u8], passphrase: &Passphrase) -> Result<SequencerKeys, KeystoreError> {
    let file = eip2335::File::parse(bytes)?;
    let keys =
        SequencerKeys::from_bytes(&file.decrypt(passphrase)?).ok_or(KeystoreError::Contents)?;
    let actual = keys.consensus.public_key();
    if file.pubkey.0 != actual.as_bytes() {
        return Err(KeystoreError::Swapped { label: file.pubkey.to_string(), actual });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
