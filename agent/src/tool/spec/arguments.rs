//! Reads arguments by the table of fields.

use serde_json::{Map, Value};

use super::{Field, Type};

/// Takes what fits out of `given`; what does not becomes a line of `faults`, headed by its place.
pub(super) fn check(
    place: &str,
    fields: &[Field],
    mut given: Map<String, Value>,
    faults: &mut Vec<String>,
) -> Map<String, Value> {
    let mut accepted = Map::new();
    for field in fields {
        let place = format!("{place}{}", field.name);
        match given.remove(field.name) {
            None if field.required => faults.push(fault(&place, "Field required")),
            None => {}
            Some(Value::Null) if !field.required => {}
            Some(value) => {
                if let Some(value) = convert(&place, field.kind, value, faults) {
                    accepted.insert(field.name.into(), value);
                }
            }
        }
    }
    for name in given.keys() {
        faults.push(fault(
            &format!("{place}{name}"),
            "Extra inputs are not permitted",
        ));
    }
    accepted
}

fn convert(place: &str, kind: Type, value: Value, faults: &mut Vec<String>) -> Option<Value> {
    let wanted = match (kind, value) {
        (Type::Text, Value::String(text)) => return Some(text.into()),
        (Type::Text, _) => "Input should be a valid string".into(),

        (Type::Flag, Value::Bool(flag)) => return Some(flag.into()),
        (Type::Flag, Value::String(word)) if word.eq_ignore_ascii_case("true") => {
            return Some(true.into());
        }
        (Type::Flag, Value::String(word)) if word.eq_ignore_ascii_case("false") => {
            return Some(false.into());
        }
        (Type::Flag, _) => "Input should be a valid boolean".into(),

        (Type::Number, value) => match number(&value) {
            Some(number) if number >= 0.0 => return Some(number.into()),
            Some(_) => "Input should be greater than or equal to 0".into(),
            None => "Input should be a valid number".into(),
        },
        (Type::Integer, value) => match integer(&value) {
            Some(integer) => return Some(integer.into()),
            None => "Input should be a valid integer".into(),
        },

        (Type::Choice(words), Value::String(word)) if words.contains(&word.as_str()) => {
            return Some(word.into());
        }
        (Type::Choice(words), _) => one_of(words),

        (Type::Integers, value) => {
            let integers =
                list(value).and_then(|list| list.iter().map(integer).collect::<Option<Vec<i64>>>());
            match integers {
                Some(integers) => return Some(integers.into()),
                None => "Input should be a valid list of integers".into(),
            }
        }
        (Type::Objects(fields), value) => match list(value) {
            Some(list) => {
                let before = faults.len();
                let mut accepted = Vec::with_capacity(list.len());
                for (index, item) in list.into_iter().enumerate() {
                    let place = format!("{place}.{index}");
                    match item {
                        Value::Object(item) => {
                            let item = check(&format!("{place}."), fields, item, faults);
                            accepted.push(Value::Object(item));
                        }
                        _ => faults.push(fault(&place, "Input should be a valid object")),
                    }
                }
                return (faults.len() == before).then(|| accepted.into());
            }
            None => "Input should be a valid list".into(),
        },
    };
    faults.push(fault(place, &wanted));
    None
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            // Whole, and small enough that no digit is lost on the way.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and small"
            )]
            (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        Value::String(text) => serde_json::from_str(&text).ok(),
        _ => None,
    }
}

pub(super) fn one_of(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            format!("Input should be {} or {last}", rest.join(", "))
        }
        _ => format!("Input should be {}", words.concat()),
    }
}

pub(super) fn fault(place: &str, wanted: &str) -> String {
    format!("{place}\n  {wanted}")
}
