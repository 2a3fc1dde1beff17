//! Encrypts to a committee, opens with a quorum, signs, hashes, and encodes bytes in exactly one
//! way.
//!
//! A trader seals a bundle to the committee's key ([`seal`], [`envelope`]). Anybody verifies that
//! what was sealed can be opened, and learns nothing of it. Once its place in the order is final
//! ([`certificate`]), t of n sequencers give decryption shares ([`share`]), which open it
//! ([`opening`]); what was opened is checked without a share ([`hint`]).
//!
//! # Invariants of the crate
//!
//! 1. What is secret stays secret until a quorum's certificate is in hand: a decryption share has
//!    no way to bytes but [`share::PreparedShares::for_order`], which takes a
//!    [`certificate::FinalOrder`], which only a verified certificate gives.
//! 2. Only ciphertexts whose proof was verified are opened, and every honest sequencer gets the
//!    same outcome for each, whoever lied.
//! 3. Every value has one encoding, and decoders refuse everything else: points and scalars
//!    ([`point`], [`scalar`]), envelopes ([`envelope`]), messages ([`encoding`]).
//! 4. Everything hashed or signed begins with a tag of one table ([`domain`]).
//! 5. Secrets are wiped on drop, are never printed and have no `Serialize`. Functions that see one
//!    are constant time in it; what is not, and could be mistaken, says `vartime`.
//! 6. There is no clock, no entropy and no I/O here: randomness is an argument, and is used up.
//! 7. `unsafe` lives in one file, the wrapper of blst.
//!
//! # Example
//!
//! ```
//! use fairveil_crypto::committee::CommitteeKey;
//! use fairveil_crypto::hint;
//! use fairveil_crypto::point::Point;
//! use fairveil_crypto::seal::{SealRandomness, seal};
//!
//! // A client takes the key from a verified transcript, and the bytes from the operating system.
//! let key = CommitteeKey::new(Point::second_generator());
//! let randomness = SealRandomness::from_uniform(&[7; SealRandomness::UNIFORM_BYTES])?;
//! let rho = randomness.expose_rho();
//! let ciphertext = seal(&key, b"the public header", b"the bundle", randomness)?;
//!
//! let verified = ciphertext.verify(&key, b"the public header")?;
//! assert!(ciphertext.verify(&key, b"another header").is_err());
//! assert_eq!(hint::open(&key, &verified, &rho)?.m, b"the bundle");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bls12381;
pub mod certificate;
pub mod committee;
#[cfg(any(test, feature = "adversaries"))]
pub mod corrupt;
#[cfg(any(test, feature = "dealer"))]
pub mod dealer;
mod digest;
pub mod domain;
pub mod encoding;
pub mod envelope;
#[cfg(test)]
mod fast_paths;
pub mod feldman;
mod hex;
pub mod hint;
pub mod lagrange;
pub mod opening;
pub mod point;
#[cfg(any(test, feature = "dealer"))]
pub mod primitive;
mod quantity;
pub mod scalar;
pub mod seal;
pub mod share;
pub mod signature;
pub mod sole;
#[cfg(any(test, feature = "dealer"))]
pub mod trace;

pub use crate::digest::{BatchId, BlockDigest, BundleId, Digest, KeyId, NetworkId};
pub use crate::hex::ParseHexError;
pub use crate::quantity::{Epoch, Height, SequencerIndex, View};
pub use crate::signature::{ConsensusPublicKey, ConsensusSecret, Signature, SignatureError};
