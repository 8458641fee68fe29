//! JSON bodies, with serde_json as the judge.

use serde_json::{Number, Value};
use strongroom_agent::json::{Json, ParseErrorKind};

/// Ours takes what serde_json takes and reads the same from it; what it writes means the same again.
pub fn body(bytes: &[u8]) {
    let judged = serde_json::from_slice::<Value>(bytes);
    let ours = match Json::parse(bytes) {
        Ok(ours) => ours,
        Err(error) => {
            // An error tells a place within the input and none of its text.
            assert!(error.offset() <= bytes.len() && error.line() >= 1 && error.column() >= 1);
            // The judge stops one level earlier or later; everything else must be wrong for both.
            assert!(
                judged.is_err() || error.kind() == ParseErrorKind::Depth,
                "refused alone: {error}"
            );
            return;
        }
    };
    match &judged {
        Ok(judged) => assert!(same(&ours, judged), "read otherwise"),
        Err(error) => assert!(
            error.to_string().starts_with("recursion limit"),
            "taken alone: {error}"
        ),
    }
    let written = ours.to_bytes();
    let again = Json::parse(written.expose());
    assert!(
        again.is_ok_and(|again| ours.same(&again)),
        "written otherwise"
    );
    assert!(ours.same(&ours.duplicate()), "copied otherwise");
}

fn same(ours: &Json, judged: &Value) -> bool {
    match (ours, judged) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::Number(a), Value::Number(b)) => a == b || close(a, b),
        (Json::Text(a), Value::String(b)) => a.is(b),
        (Json::List(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// `-0` is an integer to us, as it is to Python, and serde_json rounds the last digit of some doubles wrongly.
fn close(ours: &Number, judged: &Number) -> bool {
    let (Some(a), Some(b)) = (ours.as_f64(), judged.as_f64()) else {
        return false;
    };
    !judged.is_i64() && !judged.is_u64() && (a - b).abs() <= b.abs() * 4.0 * f64::EPSILON
}
