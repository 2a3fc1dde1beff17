//! JSON as it is judged: every key once, a bounded number of values, one form for each value.
//!
//! # Invariants
//!
//! 1. A key that stands twice in an object is refused: readers differ in which of the two they
//!    take, so a file would say one thing to a person and another to a program.
//! 2. No file makes the reader hold more than [`MAX_VALUES`] values.
//! 3. [`difference`] finds whatever a file says beside what was read out of it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::receipts::printable;

/// The most JSON values (texts, numbers, lists, objects) in one file.
pub const MAX_VALUES: usize = 8 << 20;

/// The longest text of a file that is shown, in characters: more than a digest has.
const SHOWN_CHARACTERS: usize = 72;

/// Where a file differs from how its content is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) actual: String,
    pub(super) expected: String,
}

/// Reads one JSON value and nothing after it.
pub(super) fn read(bytes: &[u8], max_values: usize) -> Result<Value, serde_json::Error> {
    let left = Cell::new(max_values);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: &left, max_values }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The first place at which `actual` is not what `canonical` says.
pub(super) fn difference(actual: &Value, canonical: &Value) -> Option<Difference> {
    let mut path = String::new();
    differing(actual, canonical, &mut path).map(|(actual, expected)| Difference {
        path: printable(&path),
        actual: shown(actual),
        expected: shown(expected),
    })
}

type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Descends into what differs, and leaves the way there in `path`. Recursion is as deep as the
/// reader allows, 128 levels.
fn differing<'a>(actual: &'a Value, expected: &'a Value, path: &mut String) -> Option<Pair<'a>> {
    let length = path.len();
    let mut enter = |name: fmt::Arguments<'_>, actual: Option<&'a Value>, expected| {
        path.truncate(length);
        path.push_str(&name.to_string());
        match (actual, expected) {
            (Some(actual), Some(expected)) => differing(actual, expected, path),
            pair => Some(pair),
        }
    };
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let dot = if length == 0 { "" } else { "." };
            let beside = actual.iter().filter(|(key, _)| !expected.contains_key(*key));
            let said = expected.iter().map(|(key, value)| (key, actual.get(key), Some(value)));
            let all = beside.map(|(key, value)| (key, Some(value), None)).chain(said);
            all.into_iter().find_map(|(key, actual, expected)| {
                enter(format_args!("{dot}{key}"), actual, expected)
            })
        }
        (Value::Array(actual), Value::Array(expected)) => (0..actual.len().max(expected.len()))
            .find_map(|at| enter(format_args!("[{at}]"), actual.get(at), expected.get(at))),
        _ if actual == expected => None,
        _ => Some((Some(actual), Some(expected))),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Object(_)) => "an object".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(value) => shortened(&value.to_string()),
    }
}

/// Text out of a file, fit for one line.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = printable(text).chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push_str("..");
    }
    shown
}

struct Strict<'a> {
    left: &'a Cell<usize>,
    max_values: usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let limit = self.max_values;
            return Err(D::Error::custom(format_args!("more than {limit} values, the limit")));
        };
        self.left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Self { left, max_values } = self;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Strict { left, max_values })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let Self { left, max_values } = self;
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if values.contains_key(&key) {
                let key = shortened(&key);
                return Err(A::Error::custom(format_args!("key `{key}` stands there twice")));
            }
            let value = object.next_value_seed(Strict { left, max_values })?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn reason(text: &str) -> String {
        read(text.as_bytes(), 6).unwrap_err().to_string()
    }

    #[test]
    fn invariant_1_a_key_stands_once_and_nothing_follows() {
        let text = r#"{"a":[1,-2,0.5,"x",null],"b":{"a":true}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text.as_bytes(), 100).unwrap(), expected);
        assert_eq!(reason(r#"{"a":1,"a":1}"#), "key `a` stands there twice at line 1 column 10");
        assert_eq!(
            reason(r#"{"a":1,"\u0061":1}"#),
            "key `a` stands there twice at line 1 column 15"
        );
        assert!(reason(r#"{"o":[{"b":1,"b":2}]}"#).starts_with("key `b` stands there twice"));
        assert!(reason("{} x").starts_with("trailing characters"));
        assert!(reason("[1,]").starts_with("trailing comma"));
    }

    #[test]
    fn invariant_2_values_are_counted() {
        assert!(read(b"[1,2,3,4,5]", 6).is_ok());
        assert!(read(br#"{"a":{"b":[1,2,3]}}"#, 6).is_ok());
        assert!(reason("[1,2,3,4,5,6]").starts_with("more than 6 values, the limit"));
        let deep = "[".repeat(200);
        assert!(read(deep.as_bytes(), 1_000).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn invariant_3_a_difference_is_found_and_named() {
        let value = json!({ "a": [{ "b": "0xab", "c": 1 }], "d": {} });
        assert_eq!(difference(&value, &value), None);
        let found = |change: &dyn Fn(&mut Value)| {
            let mut changed = value.clone();
            change(&mut changed);
            let Difference { path, actual, expected } = difference(&changed, &value).unwrap();
            format!("{path}: {actual}, {expected}")
        };
        assert_eq!(found(&|v| v["a"][0]["b"] = "0xAB".into()), r#"a[0].b: "0xAB", "0xab""#);
        assert_eq!(found(&|v| v["a"][0]["e"] = json!([1])), "a[0].e: a list, nothing");
        assert_eq!(found(&|v| v["a"] = json!([])), "a[0]: nothing, an object");
        assert_eq!(found(&|v| v["d"] = json!(null)), "d: null, an object");
        let long = found(&|v| v["x\ny"] = "z".repeat(1_000).into());
        assert_eq!(long, format!("xy: \"{}.., nothing", "z".repeat(SHOWN_CHARACTERS - 1)));
    }
}
