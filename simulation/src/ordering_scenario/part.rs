//! A part of a JSON document that knows where it stands.

use fairveil_crypto::BundleId;
use serde_json::Value;

use super::{Code, ScenarioError};

/// A value, and its place in the document.
pub(super) struct Part<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Part<'a> {
    /// A whole document.
    pub(super) const fn whole(path: String, value: &'a Value) -> Self {
        Self { path, value }
    }

    /// A fault of this part: what it is, and its value.
    pub(super) fn fault(&self, code: Code, what: &str) -> ScenarioError {
        ScenarioError::new(code, format!("{} is {}, {what}", self.path, shown(self.value)))
    }

    /// Its value of a key.
    pub(super) fn part(&self, key: &str) -> Result<Self, ScenarioError> {
        let missing = || {
            let why = format!("{} has no {key:?}", self.path);
            ScenarioError::new(Code::BadInput, why)
        };
        self.optional(key)?.ok_or_else(missing)
    }

    /// Its value of a key, if it has one.
    pub(super) fn optional(&self, key: &str) -> Result<Option<Self>, ScenarioError> {
        let object = self.value.as_object();
        let object = object.ok_or_else(|| self.fault(Code::BadInput, "not an object"))?;
        let path = || format!("{}.{key}", self.path);
        Ok(object.get(key).map(|value| Self { path: path(), value }))
    }

    /// Its elements.
    pub(super) fn items(&self) -> Result<Vec<Self>, ScenarioError> {
        let list = self.value.as_array();
        let list = list.ok_or_else(|| self.fault(Code::BadInput, "not a list"))?;
        let items = list.iter().enumerate();
        Ok(items.map(|(at, value)| Self { path: format!("{}[{at}]", self.path), value }).collect())
    }

    pub(super) fn integer(&self) -> Result<i64, ScenarioError> {
        self.value.as_i64().ok_or_else(|| self.fault(Code::BadInput, "not an integer of 64 bits"))
    }

    /// A time.
    pub(super) fn milliseconds(&self) -> Result<u64, ScenarioError> {
        let time = self.value.as_u64();
        time.ok_or_else(|| self.fault(Code::BadInput, "not a number of milliseconds"))
    }

    pub(super) fn text(&self) -> Result<&'a str, ScenarioError> {
        self.value.as_str().ok_or_else(|| self.fault(Code::BadInput, "not a string"))
    }

    /// 0x and 64 lower-case hex digits, nothing else.
    pub(super) fn bundle_id(&self) -> Result<BundleId, ScenarioError> {
        let text = self.value.as_str();
        let lower = text.filter(|text| !text.bytes().any(|byte| byte.is_ascii_uppercase()));
        let id = lower.and_then(|text| text.parse().ok());
        id.ok_or_else(|| self.fault(Code::BadId, "not 0x and 64 lower-case hex digits"))
    }
}

/// A number or a short string as it is; of what is longer only the kind.
fn shown(value: &Value) -> String {
    const SHORT: usize = 80;
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.len() > SHORT => format!("a string of {} bytes", text.len()),
        value => value.to_string(),
    }
}
