//! Schemas of arguments: as a model is shown them, and what they say of arguments that came.

use serde_json::{Map, Value};

use crate::limits::MCP_SCHEMA_PLACES_MAX;

/// A schema in the words that all providers of models understand: references are filled in, what only limits values
/// further is left out. The server judges the arguments by the whole.
pub(super) fn plain(schema: &Value) -> Map<String, Value> {
    let mut reduction = Reduction {
        root: schema,
        left: MCP_SCHEMA_PLACES_MAX,
        within: Vec::new(),
    };
    let mut plain = reduction.place(schema);
    plain.insert("type".into(), "object".into());
    plain
        .entry("properties")
        .or_insert_with(|| Map::new().into());
    plain
}

struct Reduction<'a> {
    root: &'a Value,
    left: usize,
    /// References that are being filled in.
    within: Vec<&'a str>,
}

impl<'a> Reduction<'a> {
    fn place(&mut self, schema: &'a Value) -> Map<String, Value> {
        let mut plain = Map::new();
        let Some(schema) = schema.as_object().filter(|_| self.left > 0) else {
            return plain;
        };
        self.left -= 1;
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let target = reference.strip_prefix('#');
            let target = target.and_then(|path| self.root.pointer(path));
            match target {
                Some(target) if !self.within.contains(&reference.as_str()) => {
                    self.within.push(reference);
                    plain = self.place(target);
                    self.within.pop();
                }
                // It holds itself, or leads nowhere.
                _ => {
                    plain.insert("type".into(), "object".into());
                }
            }
        }
        for (name, value) in schema {
            match (name.as_str(), value) {
                ("type" | "description" | "enum" | "const" | "required" | "format", value) => {
                    plain.insert(name.clone(), value.clone());
                }
                ("properties", Value::Object(members)) => {
                    let members = members
                        .iter()
                        .map(|(name, schema)| (name.clone(), self.place(schema).into()));
                    plain.insert(name.clone(), members.collect::<Map<_, Value>>().into());
                }
                ("items", items @ Value::Object(_)) => {
                    plain.insert(name.clone(), self.place(items).into());
                }
                ("anyOf" | "oneOf", Value::Array(ways)) => {
                    let null = |way: &&Value| way.get("type").is_some_and(|it| it == "null");
                    let mut ways: Vec<_> = ways
                        .iter()
                        .filter(|way| !null(way))
                        .map(|way| self.place(way))
                        .collect();
                    match (ways.len(), ways.pop()) {
                        (1, Some(only)) => plain.extend(only),
                        (_, Some(last)) => {
                            ways.push(last);
                            plain.insert("anyOf".into(), ways.into_iter().collect());
                        }
                        (_, None) => {}
                    }
                }
                _ => {}
            }
        }
        plain
    }
}

/// Holds arguments against what their schema says of the outermost members; text that should be a number, a flag or
/// more becomes that. What does not fit becomes a line of `faults`.
pub(super) fn judge(schema: &Value, given: &mut Map<String, Value>, faults: &mut Vec<String>) {
    let mut fault = |name: &str, what: &str| faults.push(format!("{name}\n  {what}"));
    let known = schema.get("properties").and_then(Value::as_object);
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(name) = name.as_str().filter(|name| !given.contains_key(*name)) {
            fault(name, "Field required");
        }
    }
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in given {
        let Some(member) = known.and_then(|known| known.get(name)) else {
            if closed {
                fault(name, "Extra inputs are not permitted");
            }
            continue;
        };
        let Some(wanted) = member.get("type").and_then(Value::as_str) else {
            continue;
        };
        if let Value::String(text) = &value
            && wanted != "string"
            && let Ok(read) = serde_json::from_str::<Value>(text.trim())
            && fits(&read, wanted)
        {
            *value = read;
        }
        if !fits(value, wanted) {
            fault(name, &format!("Input should be of type {wanted}"));
        }
    }
}

fn fits(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_filled_in_and_circles_end() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "$schema": "x",
            "properties": {
                "a": {"$ref": "#/$defs/point", "description": "here"},
                "b": {"anyOf": [{"type": "integer", "default": 3}, {"type": "null"}]},
                "c": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                "d": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                "e": {"$ref": "#/nowhere"},
                "f": true,
            },
            "required": ["a"],
            "$defs": {
                "point": {"type": "object", "properties": {"x": {"type": "number", "minimum": 1}}},
                "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
            },
        });
        assert_eq!(
            Value::Object(plain(&schema)),
            json!({
                "type": "object", "required": ["a"],
                "properties": {
                    "a": {"type": "object", "description": "here", "properties": {"x": {"type": "number"}}},
                    "b": {"type": "integer"},
                    "c": {"type": "array", "items": {"type": "object",
                        "properties": {"kids": {"type": "array", "items": {"type": "object"}}}}},
                    "d": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                    "e": {"type": "object"},
                    "f": {},
                },
            })
        );
        assert_eq!(
            Value::Object(plain(&json!(null))),
            json!({"type": "object", "properties": {}})
        );
    }

    #[test]
    fn a_schema_that_unfolds_without_end_is_cut() {
        let mut defs = Map::new();
        for level in 0..30 {
            let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
            let both = json!({"type": "object", "properties": {"a": next.clone(), "b": next}});
            defs.insert(format!("l{level}"), both);
        }
        let schema = json!({"properties": {"x": {"$ref": "#/$defs/l0"}}, "$defs": defs});
        let size = Value::Object(plain(&schema)).to_string().len();
        assert!(size < 1 << 20, "{size}");
    }

    #[test]
    fn arguments_are_held_against_the_outermost_members() {
        let schema = json!({"additionalProperties": false, "required": ["a", "b"], "properties": {
            "a": {"type": "string"}, "n": {"type": "integer"}, "o": {"type": "object"}, "l": {}}});
        let judged = |mut given: Value| {
            let mut faults = Vec::new();
            judge(&schema, given.as_object_mut().unwrap(), &mut faults);
            (given, faults)
        };
        let (given, faults) =
            judged(json!({"a": "5", "b": 1, "n": " 5", "o": "{\"x\":1}", "l": "3"}));
        assert_eq!(
            given,
            json!({"a": "5", "b": 1, "n": 5, "o": {"x": 1}, "l": "3"})
        );
        assert_eq!(faults, ["b\n  Extra inputs are not permitted"]);
        let (_, faults) = judged(json!({"a": 5, "n": 1.5}));
        assert_eq!(
            faults,
            [
                "b\n  Field required",
                "a\n  Input should be of type string",
                "n\n  Input should be of type integer"
            ]
        );
    }
}
