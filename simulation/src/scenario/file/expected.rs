//! What a scenario file expects.

use std::collections::BTreeMap;
use std::fmt;

use fairveil_ordering::Mode;
use fairveil_sequencer::Behaviour;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::FileError;
use crate::scenario::expect::{Bound, Expectation, Subject, Whose, known};

/// Names of figures, each once, and what they may be.
#[derive(Clone, Debug, Default)]
pub(super) struct RawExpected(BTreeMap<String, Value>);

/// What decides which figures a run has.
pub(super) struct Measurable<'a> {
    pub(super) mode: Mode,
    pub(super) adversaries: &'a [(usize, Behaviour)],
    /// Whether traders attack.
    pub(super) attacked: bool,
}

impl<'de> Deserialize<'de> for RawExpected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = RawExpected;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object whose keys are figures")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawExpected, A::Error> {
                let mut found = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if found.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("expect names {key} twice")));
                    }
                }
                Ok(RawExpected(found))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl RawExpected {
    /// The expectations, each of which a run can meet or miss.
    pub(super) fn checked(&self, run: &Measurable<'_>) -> Result<Vec<Expectation>, FileError> {
        let mut found: Vec<Expectation> = Vec::with_capacity(self.0.len());
        for (key, value) in &self.0 {
            let one = run.measures(expectation(key, value)?)?;
            if let Some(other) = found.iter().find(|other| other.subject == one.subject) {
                let which = format!("{} (as {})", one.key, other.key);
                return Err(FileError::Twice { key: "expect".into(), what: "figure", which });
            }
            found.push(one);
        }
        Ok(found)
    }
}

impl Measurable<'_> {
    fn measures(&self, expectation: Expectation) -> Result<Expectation, FileError> {
        let honest = self.adversaries.is_empty() && !self.attacked;
        let all_honest = honest.then(|| "in a run in which everybody is honest".to_owned());
        let why = match expectation.subject {
            Subject::Moves(kind) => {
                let is = |(_, behaviour): &(usize, Behaviour)| behaviour.name() == kind;
                (!self.adversaries.iter().any(is)).then(|| format!("without a {kind}"))
            }
            Subject::Figure(whose, "gain_ppm") if whose != Whose::Run => Some(
                "of another order than the run's: it is what the run's gives an attacker".into(),
            ),
            Subject::Added("gain_ppm") => Some("by that name: gain_ppm is added.first_ppm".into()),
            Subject::Figure(Whose::Run, "gain_ppm")
            | Subject::Figure(Whose::Honest, _)
            | Subject::Added(_) => all_honest,
            Subject::Figure(whose, _) => (whose.name() == self.mode.name())
                .then(|| format!("in a run of mode {}, whose own figures it names", whose.name())),
        };
        match why {
            None => Ok(expectation),
            Some(why) => Err(FileError::Unmeasured { key: expectation.key, why }),
        }
    }
}

fn expectation(key: &str, value: &Value) -> Result<Expectation, FileError> {
    let word = |expected: String| FileError::Word {
        key: format!("expect.{key}"),
        actual: value.to_string(),
        expected,
    };
    let bound = Bound::of(value)
        .ok_or_else(|| word("a number, or {\"at_least\": …, \"at_most\": …}".into()))?;
    Expectation::new(key, bound).ok_or_else(|| FileError::Word {
        key: "expect".into(),
        actual: key.to_owned(),
        expected: known(),
    })
}
