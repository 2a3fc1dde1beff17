//! The document of deposits: what every payer has before a network's first block.
//!
//! ```json
//! {"0x70997970c51812dc3a010c7d01b50e0d17dc79c8":"1000000","0xf39f…2266":"25"}
//! ```
//!
//! One JSON object: a payer's address in hex, and its deposit as the decimal text of a number from
//! 1 to 2^128 - 1. A definition names the document by its digest:
//!
//! ```text
//! digest = H(DEPOSITS, payer 1 ‖ deposit 1 (16, big-endian), payer 2 ‖ ...)      ascending
//! ```
//!
//! # Invariants
//!
//! 1. The digest is that of the content: spacing and the order of the payers do not matter.
//! 2. Nothing is guessed: a payer that stands twice, an amount that is zero, not decimal, or written
//!    in a second way (leading zeros, a sign), and deposits of 2^128 or more together are refused.
//! 3. [`Deposits::to_json`] is the one canonical document: ascending, without spaces. What it gives
//!    is read back as the same deposits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::envelope::Payer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The most payers of a document.
pub const MAX_DEPOSITS: usize = 1 << 17;
/// The longest document, in bytes.
pub const MAX_DEPOSITS_BYTES: usize = 16 << 20;

/// What every payer has before the first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposits(Arc<BTreeMap<Payer, u128>>);

/// Why bytes are no document of deposits.
#[derive(Debug, thiserror::Error)]
pub enum DepositsError {
    /// Too long.
    #[error("the document has {actual} bytes, at most {} are read", MAX_DEPOSITS_BYTES)]
    TooLong {
        /// Length found.
        actual: usize,
    },
    /// Not a JSON object of addresses and amounts.
    #[error("not a document of deposits: {0}")]
    Json(#[from] serde_json::Error),
    /// What it holds is refused.
    #[error(transparent)]
    Amount(#[from] DepositError),
}

/// Why deposits are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// A name that is no address.
    #[error("payer {text:?} is not 0x and 40 hex digits")]
    Payer {
        /// What was found, shortened.
        text: String,
    },
    /// A payer stands twice.
    #[error("payer {payer} stands twice")]
    Twice {
        /// The payer.
        payer: Payer,
    },
    /// No amount.
    #[error("payer {payer} deposits {text:?}, expected 1 to 2^128 - 1 in decimal digits")]
    Amount {
        /// The payer.
        payer: Payer,
        /// What was found, shortened.
        text: String,
    },
    /// More payers than a document may have.
    #[error("more than {} payers", MAX_DEPOSITS)]
    TooMany,
    /// Together they are no number below 2^128.
    #[error("all deposits together are 2^128 or more")]
    Sum,
}

impl Deposits {
    /// Deposits from their amounts as texts.
    ///
    /// # Errors
    ///
    /// [`DepositError`]: the first thing that is wrong.
    pub fn new<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DepositError> {
        let mut collected = Collected::default();
        for (payer, amount) in entries {
            collected.add(payer, amount)?;
        }
        Ok(Self(Arc::new(collected.amounts)))
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// If it is too long, not JSON of that form, or [`Self::new`] refuses it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DepositsError> {
        if bytes.len() > MAX_DEPOSITS_BYTES {
            return Err(DepositsError::TooLong { actual: bytes.len() });
        }
        let document: Document = serde_json::from_slice(bytes)?;
        let collected = document.0?;
        Ok(Self(Arc::new(collected.amounts)))
    }

    /// The canonical document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let entries = self.0.iter().map(|(payer, amount)| format!("\"{payer}\":\"{amount}\""));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    }

    /// By payer.
    #[must_use]
    pub const fn amounts(&self) -> &Arc<BTreeMap<Payer, u128>> {
        &self.0
    }

    /// What a definition names the document by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::Deposits);
        for (payer, amount) in self.0.iter() {
            hasher.item(&[&payer.as_bytes()[..], &amount.to_be_bytes()].concat());
        }
        hasher.finish()
    }
}

#[derive(Default)]
struct Collected {
    amounts: BTreeMap<Payer, u128>,
    sum: u128,
}

impl Collected {
    fn add(&mut self, payer: &str, amount: &str) -> Result<(), DepositError> {
        let payer: Payer =
            payer.parse().map_err(|_| DepositError::Payer { text: shortened(payer) })?;
        let parsed = amount.parse::<u128>().ok().filter(|number| *number > 0);
        let canonical = parsed.filter(|number| number.to_string() == amount);
        let Some(number) = canonical else {
            return Err(DepositError::Amount { payer, text: shortened(amount) });
        };
        if self.amounts.insert(payer, number).is_some() {
            return Err(DepositError::Twice { payer });
        }
        if self.amounts.len() > MAX_DEPOSITS {
            return Err(DepositError::TooMany);
        }
        self.sum = self.sum.checked_add(number).ok_or(DepositError::Sum)?;
        Ok(())
    }
}

/// A JSON object whose names and values are texts, in the order in which they stand.
struct Document(Result<Collected, DepositError>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Document;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object from payers to amounts as text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut collected = Collected::default();
                while let Some(payer) = map.next_key::<String>()? {
                    let amount = map.next_value::<String>()?;
                    if let Err(error) = collected.add(&payer, &amount) {
                        // The rest is not read, so the text that is wrong is named alone.
                        while map.next_entry::<String, String>()?.is_some() {}
                        return Ok(Document(Err(error)));
                    }
                }
                Ok(Document(Ok(collected)))
            }
        }
        deserializer.deserialize_map(Entries).map_err(D::Error::custom)
    }
}

/// At most 48 characters, for an error.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(48).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ONE: &str = "0x1111111111111111111111111111111111111111";
    const TWO: &str = "0x22222222222222222222222222222222222222ab";

    fn refused(document: &str) -> String {
        Deposits::from_json(document.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn invariant_1_the_digest_is_that_of_the_content() {
        let plain = format!("{{\"{ONE}\":\"5\",\"{TWO}\":\"7\"}}");
        let other =
            format!("\n{{ \"{}\" : \"7\",\n\t\"{ONE}\":\"5\" }}\n", TWO.replace("ab", "AB"));
        let [plain, other] = [plain, other].map(|text| Deposits::from_json(text.as_bytes()));
        let (plain, other) = (plain.unwrap(), other.unwrap());
        assert_eq!(plain, other);
        assert_eq!(plain.digest(), other.digest());
        let mut entries = Hasher::new(Tag::Deposits);
        for (payer, amount) in [(ONE, 5u128), (TWO, 7)] {
            let payer: Payer = payer.parse().unwrap();
            entries.item(&[&payer.as_bytes()[..], &amount.to_be_bytes()].concat());
        }
        assert_eq!(plain.digest(), entries.finish());
        assert_ne!(plain.digest(), Deposits::new([(ONE, "5")]).unwrap().digest());
    }

    #[test]
    fn invariant_2_nothing_is_guessed() {
        for amount in ["0", "", "05", "+5", "-5", "5.0", "1e3", "0x5", " 5", "1_000"] {
            let error = refused(&format!("{{\"{ONE}\":\"{amount}\"}}"));
            assert!(error.contains("expected 1 to 2^128 - 1"), "{amount}: {error}");
        }
        let most = u128::MAX.to_string();
        assert!(Deposits::new([(ONE, &*most)]).is_ok());
        assert_eq!(Deposits::new([(ONE, &*most), (TWO, "1")]).unwrap_err(), DepositError::Sum);
        assert!(refused(&format!("{{\"{ONE}\":\"1\",\"{ONE}\":\"1\"}}")).contains("stands twice"));
        assert!(refused(&format!("{{\"{}\":\"1\"}}", &ONE[2..])).contains("is not 0x and 40"));
        for wrong in [format!("{{\"{ONE}\":5}}"), "[]".into(), "{".into(), "{} {}".into()] {
            assert!(refused(&wrong).contains("not a document of deposits"), "{wrong}");
        }
        let long = " ".repeat(MAX_DEPOSITS_BYTES + 1);
        assert!(refused(&long).contains("at most 16777216 are read"));
    }

    #[test]
    fn invariant_2_there_are_not_too_many_payers() {
        let payers: Vec<String> = (0..=MAX_DEPOSITS).map(|k| format!("0x{k:040x}")).collect();
        let of = |count: usize| payers[..count].iter().map(|payer| (payer.as_str(), "1"));
        assert!(Deposits::new(of(MAX_DEPOSITS)).is_ok());
        assert_eq!(Deposits::new(of(MAX_DEPOSITS + 1)).unwrap_err(), DepositError::TooMany);
    }

    #[test]
    fn invariant_3_the_canonical_document_is_read_back() {
        let deposits = Deposits::new([(TWO, "7"), (ONE, "5")]).unwrap();
        assert_eq!(deposits.to_json(), format!("{{\"{ONE}\":\"5\",\"{TWO}\":\"7\"}}"));
        assert_eq!(Deposits::from_json(deposits.to_json().as_bytes()).unwrap(), deposits);
        let none = Deposits::new([]).unwrap();
        assert_eq!(Deposits::from_json(none.to_json().as_bytes()).unwrap(), none);
    }
}
