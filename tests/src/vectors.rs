//! Reads the vector files that independent implementations of the design pages made.
//!
//! Copies stand in `tests/vectors`, so that a bare checkout passes. The environment variable
//! `FAIRVEIL_VECTORS` names another folder to read instead.

#![allow(clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The environment variable that names another folder of vectors.
pub const FOLDER_VARIABLE: &str = "FAIRVEIL_VECTORS";

/// A file of vectors: sections by name, besides `about`.
#[derive(Debug)]
pub struct Vectors {
    path: PathBuf,
    root: Value,
}

impl Vectors {
    /// Reads `NAME.json` from the folder in force.
    ///
    /// # Panics
    ///
    /// If there is no such file, or it is not JSON.
    #[must_use]
    pub fn load(name: &str) -> Self {
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(own_folder, PathBuf::from);
        let path = folder.join(format!("{name}.json"));
        let root = serde_json::from_str(&text(&path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, root }
    }

    /// The cases of a file that is one list.
    ///
    /// # Panics
    ///
    /// If it is none, or empty.
    #[must_use]
    pub fn list(&self) -> &[Value] {
        let cases = self.root.as_array().filter(|cases| !cases.is_empty());
        cases.unwrap_or_else(|| panic!("{}: no list of cases", self.path.display()))
    }

    /// A section, which must be there and hold something.
    ///
    /// # Panics
    ///
    /// If it is missing or empty.
    #[must_use]
    pub fn section(&self, name: &str) -> &Value {
        let section = &self.root[name];
        let empty = match section {
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => true,
        };
        assert!(!empty, "{}: section {name} is missing", self.path.display());
        section
    }

    /// The cases of a section that is a list.
    ///
    /// # Panics
    ///
    /// If it is missing, empty, or no list.
    #[must_use]
    pub fn cases(&self, name: &str) -> &[Value] {
        self.section(name)
            .as_array()
            .unwrap_or_else(|| panic!("{}: section {name} is no list", self.path.display()))
    }

    /// Fails unless the file has exactly these sections, besides `about`.
    ///
    /// # Panics
    ///
    /// If one is missing, empty, or unknown: an unknown one would be skipped.
    pub fn require_exactly(&self, names: &[&str]) {
        let known: BTreeSet<&str> = names.iter().copied().collect();
        for name in names {
            let _ = self.section(name);
        }
        let fields = self.root.as_object().into_iter().flatten();
        for (name, _) in fields.filter(|(name, _)| *name != "about") {
            let path = self.path.display();
            assert!(known.contains(name.as_str()), "{path}: nobody reads section {name}");
        }
    }
}

/// Fails if `../shared/vectors` is there and its file of this name differs from the copy.
///
/// # Panics
///
/// If they differ.
pub fn require_copy_is_current(name: &str) {
    let file = format!("{name}.json");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(&file);
    if shared.exists() {
        let current = text(&own_folder().join(&file)) == text(&shared);
        assert!(current, "tests/vectors/{file} is not the copy of {}", shared.display());
    }
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bytes of a `0x`-prefixed hex text.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let digits = digits.unwrap_or_else(|| panic!("not hex: {value}"));
    assert!(digits.is_ascii() && digits.len().is_multiple_of(2), "not hex: {value}");
    (0..digits.len() / 2)
        .map(|position| u8::from_str_radix(&digits[2 * position..2 * position + 2], 16))
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// N bytes of a `0x`-prefixed hex text.
///
/// # Panics
///
/// If it is none, or has another length.
#[must_use]
pub fn array<const N: usize>(value: &Value) -> [u8; N] {
    let bytes = bytes(value);
    let length = bytes.len();
    bytes.try_into().unwrap_or_else(|_| panic!("{value}: {length} bytes, {N} needed"))
}

/// An integer: a JSON number, or a `0x` quantity.
///
/// # Panics
///
/// If it is neither, or above 64 bits.
#[must_use]
pub fn integer(value: &Value) -> u64 {
    let quantity = value.as_str().and_then(|text| text.strip_prefix("0x"));
    quantity
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .or_else(|| value.as_u64())
        .unwrap_or_else(|| panic!("not an integer: {value}"))
}

/// A text.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// The items of a list.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}
