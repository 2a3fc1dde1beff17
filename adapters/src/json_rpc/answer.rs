//! The form of answers: strict, so that nothing is taken for what it is not.

use serde_json::{Map, Value};

use super::{MAX_MESSAGE_CHARS, Refusal};

/// What stands in `error`.
pub(super) struct ErrorObject {
    code: i64,
    message: String,
}

/// The JSON of an answer.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// The answer to the call with this id.
pub(super) fn result(answer: Value, id: u64) -> Result<Result<Value, ErrorObject>, String> {
    let answer = object(answer)?;
    if answer.get("id") != Some(&Value::from(id)) {
        // Who can't read a request can't know its id, and answers null.
        let is_error = answer.get("id").is_some_and(Value::is_null) && answer.contains_key("error");
        if !is_error {
            return Err(format!("an answer to call {}, not {id}", shown(answer.get("id"))));
        }
    }
    outcome(answer)
}

/// The answers to a batch, in the order of the calls, or one error to all of it.
pub(super) fn results(
    answer: Value,
    first_id: u64,
    calls: usize,
) -> Result<Result<Vec<Result<Value, ErrorObject>>, ErrorObject>, String> {
    let answers = match answer {
        Value::Array(answers) => answers,
        single => {
            return match outcome(object(single)?)? {
                Ok(_) => Err("one result instead of a list".to_owned()),
                Err(error) => Ok(Err(error)),
            };
        }
    };
    if answers.len() != calls {
        return Err(format!("{} answers to {calls} calls", answers.len()));
    }
    let mut results: Vec<Option<Result<Value, ErrorObject>>> = Vec::new();
    results.resize_with(calls, || None);
    for answer in answers {
        let answer = object(answer)?;
        let id = answer.get("id").and_then(Value::as_u64);
        let index = id.and_then(|id| usize::try_from(id.checked_sub(first_id)?).ok());
        let place = index.and_then(|index| results.get_mut(index));
        let place = place.filter(|place| place.is_none());
        let place = place.ok_or_else(|| {
            let id = shown(answer.get("id"));
            format!("an answer to call {id}, which was not made or was answered before")
        })?;
        *place = Some(outcome(answer)?);
    }
    // As many answers as calls, each at a place of its own: none is left out.
    Ok(Ok(results.into_iter().flatten().collect()))
}

/// The refusal of a method.
pub(super) fn refusal(method: &'static str, error: ErrorObject) -> Refusal {
    Refusal { method, code: error.code, message: printable(&error.message) }
}

/// What an endpoint said, without what would upset a terminal or a log.
pub(crate) fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_MESSAGE_CHARS).map(clean).collect()
}

fn object(answer: Value) -> Result<Map<String, Value>, String> {
    match answer {
        Value::Object(object) if object.get("jsonrpc") == Some(&Value::from("2.0")) => Ok(object),
        Value::Object(object) => {
            Err(format!("version {} instead of \"2.0\"", shown(object.get("jsonrpc"))))
        }
        other => Err(format!("{} instead of an object", shown(Some(&other)))),
    }
}

fn outcome(mut answer: Map<String, Value>) -> Result<Result<Value, ErrorObject>, String> {
    match (answer.remove("result"), answer.remove("error")) {
        (Some(result), None) => Ok(Ok(result)),
        (None, Some(error)) => error_object(&error).map(Err),
        (None, None) => Err("neither result nor error".to_owned()),
        (Some(_), Some(_)) => Err("a result and an error".to_owned()),
    }
}

fn error_object(error: &Value) -> Result<ErrorObject, String> {
    let code = error.get("code").and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str);
    match (code, message) {
        (Some(code), Some(message)) => Ok(ErrorObject { code, message: message.to_owned() }),
        _ => Err(format!("an error without code and message: {}", shown(Some(error)))),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| printable(&value.to_string()))
}
