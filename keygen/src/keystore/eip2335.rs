//! The form of EIP-2335 version 4: scrypt, SHA-256 checksum, AES-128 in counter mode.
//!
//! ```text
//! key      = scrypt(passphrase, salt, n, r, p, 32 bytes)
//! message  = AES-128-CTR(key[0..16], iv, secret)
//! checksum = SHA-256(key[16..32] ‖ message)
//! ```
//!
//! The checksum can't tell a wrong passphrase from a damaged message, so Fairveil's files carry
//! one more field, `integrity` = SHA-256 over all other fields: it names damage as damage. Files
//! of other programs lack it and are read without.

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::passphrase::Passphrase;
use super::{KeystoreError, KeystoreRandomness};

/// The longest file in bytes.
pub const MAX_BYTES: usize = 16 << 10;
/// The longest encrypted message in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Bounds on what a file may make its reader compute: 1 GiB of memory.
const MAX_LOG_N: u8 = 20;
const MAX_R: u32 = 8;
const MAX_P: u32 = 16;
const KEY_BYTES: usize = 32;

/// What deriving a key from a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScryptCost {
    /// n = 2^12, r = 8, p = 1: milliseconds and 4 MiB. For demonstrations and tests alone.
    Light,
    /// n = 2^18, r = 8, p = 1: about a second and 256 MiB.
    Standard,
}

impl ScryptCost {
    const fn log_n(self) -> u8 {
        match self {
            ScryptCost::Light => 12,
            ScryptCost::Standard => 18,
        }
    }
}

/// A keystore file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    crypto: Crypto,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) pubkey: HexBytes,
    path: String,
    uuid: String,
    version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    integrity: Option<HexBytes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crypto {
    kdf: Module<KdfParams>,
    checksum: Module<NoParams>,
    cipher: Module<CipherParams>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module<P> {
    function: String,
    params: P,
    message: HexBytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KdfParams {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: HexBytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CipherParams {
    iv: HexBytes,
}

impl File {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeystoreError> {
        if bytes.len() > MAX_BYTES {
            return Err(KeystoreError::TooLong { actual: bytes.len(), limit: MAX_BYTES });
        }
        reject_other_functions(bytes)?;
        let file: Self = serde_json::from_slice(bytes)?;
        if file.version != 4 {
            return Err(KeystoreError::Version { actual: file.version });
        }
        if let Some(HexBytes(integrity)) = &file.integrity
            && *integrity != file.integrity()
        {
            return Err(KeystoreError::Corrupted);
        }
        Ok(file)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("a keystore file has no failing Serialize");
        json.push(b'\n');
        json
    }

    pub(super) fn encrypt(
        secret: &[u8],
        passphrase: &Passphrase,
        cost: ScryptCost,
        randomness: KeystoreRandomness,
        description: String,
        pubkey: Vec<u8>,
    ) -> Self {
        let log_n = cost.log_n();
        let params = KdfParams {
            dklen: KEY_BYTES as u32,
            n: 1 << log_n,
            p: 1,
            r: 8,
            salt: HexBytes(randomness.salt.to_vec()),
        };
        let key = derive(passphrase, &params, log_n).expect("both costs are valid parameters");
        let mut message = secret.to_vec();
        apply_cipher(&key, &randomness.iv, &mut message);
        let module = |function: &str, message| Module {
            function: function.to_owned(),
            params: NoParams {},
            message: HexBytes(message),
        };
        let mut file = Self {
            crypto: Crypto {
                kdf: Module { function: SCRYPT.to_owned(), params, message: HexBytes::default() },
                checksum: module(SHA256, checksum(&key, &message).to_vec()),
                cipher: Module {
                    function: AES_128_CTR.to_owned(),
                    params: CipherParams { iv: HexBytes(randomness.iv.to_vec()) },
                    message: HexBytes(message),
                },
            },
            description,
            pubkey: HexBytes(pubkey),
            path: String::new(),
            uuid: uuid_text(randomness.uuid),
            version: 4,
            integrity: None,
        };
        file.integrity = Some(HexBytes(file.integrity().to_vec()));
        file
    }

    pub(super) fn decrypt(
        &self,
        passphrase: &Passphrase,
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let params = &self.crypto.kdf.params;
        let key = derive(passphrase, params, checked_log_n(params)?)?;
        let message = &self.crypto.cipher.message.0;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(KeystoreError::TooLong { actual: message.len(), limit: MAX_MESSAGE_BYTES });
        }
        let iv = <[u8; 16]>::try_from(&self.crypto.cipher.params.iv.0[..])
            .map_err(|_| KeystoreError::Parameters)?;
        let expected: bool = checksum(&key, message).ct_eq(&self.crypto.checksum.message.0).into();
        if !expected {
            return Err(match self.integrity {
                Some(_) => KeystoreError::WrongPassphrase,
                None => KeystoreError::WrongPassphraseOrCorrupted,
            });
        }
        let mut secret = Zeroizing::new(message.clone());
        apply_cipher(&key, &iv, &mut secret);
        Ok(secret)
    }

    /// SHA-256 over the file without its `integrity`, in this program's own form.
    fn integrity(&self) -> [u8; 32] {
        let bare = Self { integrity: None, ..self.clone() };
        Sha256::digest(bare.to_json()).into()
    }
}

const SCRYPT: &str = "scrypt";
const SHA256: &str = "sha256";
const AES_128_CTR: &str = "aes-128-ctr";

/// Names an unsupported function as such before the fields of its parameters mislead.
fn reject_other_functions(bytes: &[u8]) -> Result<(), KeystoreError> {
    let value: serde_json::Value = serde_json::from_slice(bytes)?;
    for (module, supported) in [("kdf", SCRYPT), ("checksum", SHA256), ("cipher", AES_128_CTR)] {
        match value.pointer(&format!("/crypto/{module}/function")).and_then(|f| f.as_str()) {
            Some(function) if function != supported => {
                return Err(KeystoreError::Function { actual: function.to_owned(), supported });
            }
            _ => {}
        }
    }
    Ok(())
}

fn checked_log_n(params: &KdfParams) -> Result<u8, KeystoreError> {
    let log_n = params.n.checked_ilog2().unwrap_or(0) as u8;
    let good = params.n.is_power_of_two()
        && (1..=MAX_LOG_N).contains(&log_n)
        && (1..=MAX_R).contains(&params.r)
        && (1..=MAX_P).contains(&params.p)
        && params.dklen == KEY_BYTES as u32;
    good.then_some(log_n).ok_or(KeystoreError::Parameters)
}

fn derive(
    passphrase: &Passphrase,
    params: &KdfParams,
    log_n: u8,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeystoreError> {
    let cost = scrypt::Params::new(log_n, params.r, params.p, KEY_BYTES)
        .map_err(|_| KeystoreError::Parameters)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(passphrase.as_bytes(), &params.salt.0, &cost, &mut key[..])
        .map_err(|_| KeystoreError::Parameters)?;
    Ok(key)
}

fn apply_cipher(key: &[u8; KEY_BYTES], iv: &[u8; 16], bytes: &mut [u8]) {
    let mut half = Zeroizing::new([0; 16]);
    half.copy_from_slice(&key[..16]);
    let mut cipher = ctr::Ctr128BE::<Aes128>::new((&*half).into(), iv.into());
    cipher.apply_keystream(bytes);
}

fn checksum(key: &[u8; KEY_BYTES], message: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(&key[16..]).chain_update(message).finalize().into()
}

/// A random (version 4) UUID in its usual text.
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HexBytes(bytes.to_vec()).to_string();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Bytes as hex without prefix.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct HexBytes(pub(super) Vec<u8>);

#[derive(Debug, thiserror::Error)]
#[error("not hex")]
pub(super) struct NotHex;

impl TryFrom<String> for HexBytes {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NotHex);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(NotHex);
        }
        let byte = |[high, low]: &[u8; 2]| Ok((digit(*high)? * 16 + digit(*low)?) as u8);
        pairs.iter().map(byte).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for HexBytes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl std::fmt::Debug for HexBytes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, out)
    }
}

impl From<HexBytes> for String {
    fn from(bytes: HexBytes) -> Self {
        bytes.to_string()
    }
}
