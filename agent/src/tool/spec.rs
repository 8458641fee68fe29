//! What a tool is called and takes: one table from which the model's schema is written and its arguments are read.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Action, Request, Risk};

/// A tool as a model and a client see it.
pub struct Spec {
    /// How the model calls it.
    pub name: &'static str,
    /// How clients know it: `TerminalTool`.
    pub kind: &'static str,
    /// The kind of its actions.
    pub action: &'static str,
    /// The kind of its observations.
    pub observation: &'static str,
    /// The module in which the SDK has its counterpart, if it has one of its own.
    pub module: Option<&'static str>,
    /// What the model is told about it.
    pub description: &'static str,
    /// What clients are told about it.
    pub annotations: Annotations,
    /// Its parameters.
    pub fields: &'static [Field],
    /// Whether the model is asked how dangerous a call is.
    pub risky: bool,
}

/// Hints for clients, in the words of the Model Context Protocol.
pub struct Annotations {
    /// A title, if there is one.
    pub title: Option<&'static str>,
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy something.
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// Reaches beyond the machine.
    pub open_world: bool,
}

/// One parameter.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Type,
    /// Whether it must be there.
    pub required: bool,
    /// What the model is told about it.
    pub description: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub enum Type {
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A number that is not negative.
    Number,
    /// A whole number.
    Integer,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of whole numbers.
    Integers,
    /// A list of objects with these fields.
    Objects(&'static [Field]),
}

const RISKS: &[&str] = &["UNKNOWN", "LOW", "MEDIUM", "HIGH"];
const RISK: Field = Field {
    name: "security_risk",
    kind: Type::Choice(RISKS),
    required: false,
    description: "How much harm this call could do: LOW for one that only looks, MEDIUM for one that changes files or \
                  settings of this workspace, HIGH for one that could destroy data, leak it or reach other systems.",
};
const SUMMARY: Field = Field {
    name: "summary",
    kind: Type::Text,
    required: false,
    description: "What this call is for, in about ten words, for the person who watches.",
};

/// Arguments that cannot be carried out. Its text is what the model is told; it quotes no values.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl Spec {
    /// The JSON schema of the parameters.
    #[must_use]
    pub fn parameters(&self) -> Value {
        let common = [&RISK, &SUMMARY]
            .into_iter()
            .filter(|field| self.risky || field.name != RISK.name);
        object(common.chain(self.fields))
    }

    /// What a `SystemPromptEvent` says about the tool, nulls included.
    #[must_use]
    pub fn event(&self) -> Value {
        let hints = &self.annotations;
        json!({
            "kind": self.kind,
            "title": self.name,
            "description": self.description,
            "action_type": self.action,
            "observation_type": self.observation,
            "annotations": {
                "title": hints.title,
                "readOnlyHint": hints.read_only,
                "destructiveHint": hints.destructive,
                "idempotentHint": hints.idempotent,
                "openWorldHint": hints.open_world,
            },
            "meta": null,
        })
    }

    /// Reads the arguments that a model gave, a JSON object as text. Numbers, flags and lists may come as text, as
    /// some models write them.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn parse(&self, arguments: &str) -> Result<Request, Invalid> {
        let given = match serde_json::from_str(arguments) {
            Ok(Value::Object(given)) => given,
            Ok(_) => Map::new(),
            Err(error) => {
                return Err(Invalid(format!(
                    "Error validating tool '{}': not valid JSON at line {} column {}. Arguments: unparseable JSON",
                    self.name,
                    error.line(),
                    error.column()
                )));
            }
        };
        let names: Vec<String> = given.keys().cloned().collect();
        self.accept(given).map_err(|faults| {
            let plural = if faults.len() == 1 { "" } else { "s" };
            let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
            Invalid(format!(
                "Error validating tool '{}': {} validation error{plural} for {}\n{}. Parameters provided: [{}]",
                self.name,
                faults.len(),
                self.action,
                faults.join("\n"),
                names.join(", ")
            ))
        })
    }

    fn accept(&self, mut given: Map<String, Value>) -> Result<Request, Vec<String>> {
        let mut faults = Vec::new();
        let summary = match given.remove(SUMMARY.name) {
            Some(Value::String(text)) => Some(text),
            _ => None, // a courtesy: nothing hangs on it
        };
        let risk = match given.remove(RISK.name) {
            None | Some(Value::Null) => Risk::Unknown,
            Some(Value::String(word)) => match word.to_ascii_uppercase().as_str() {
                "UNKNOWN" => Risk::Unknown,
                "LOW" => Risk::Low,
                "MEDIUM" => Risk::Medium,
                "HIGH" => Risk::High,
                _ => {
                    faults.push(fault(RISK.name, &one_of(RISKS)));
                    Risk::Unknown
                }
            },
            Some(_) => {
                faults.push(fault(RISK.name, &one_of(RISKS)));
                Risk::Unknown
            }
        };
        let mut accepted = check("", self.fields, given, &mut faults);
        accepted.insert("kind".into(), self.action.into());
        if !faults.is_empty() {
            return Err(faults);
        }
        match serde_json::from_value::<Action>(Value::Object(accepted)) {
            Ok(action) => Ok(Request {
                action,
                risk,
                summary,
            }),
            Err(_) => Err(vec![fault("arguments", "Input doesn't fit the tool")]),
        }
    }
}

fn object<'a>(fields: impl Iterator<Item = &'a Field>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        properties.insert(field.name.into(), schema(field));
        if field.required {
            required.push(field.name);
        }
    }
    let mut object = json!({"type": "object", "properties": properties});
    if let (Some(object), false) = (object.as_object_mut(), required.is_empty()) {
        object.insert("required".into(), required.into());
    }
    object
}

fn schema(field: &Field) -> Value {
    let mut schema = match field.kind {
        Type::Text => json!({"type": "string"}),
        Type::Flag => json!({"type": "boolean"}),
        Type::Number => json!({"type": "number"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Choice(words) => json!({"type": "string", "enum": words}),
        Type::Integers => json!({"type": "array", "items": {"type": "integer"}}),
        Type::Objects(fields) => json!({"type": "array", "items": object(fields.iter())}),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), field.description.into());
    }
    schema
}

/// Takes what fits out of `given`; what does not becomes a line of `faults`, headed by its place.
fn check(
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

fn one_of(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            format!("Input should be {} or {last}", rest.join(", "))
        }
        _ => format!("Input should be {}", words.concat()),
    }
}

fn fault(place: &str, wanted: &str) -> String {
    format!("{place}\n  {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{EditCommand, TaskStatus, TerminalAction, find};

    fn parse(tool: &str, arguments: &str) -> Result<Request, String> {
        let spec = find(tool).unwrap().spec;
        spec.parse(arguments).map_err(|invalid| invalid.to_string())
    }

    fn check(tool: &str, arguments: &str, told: &str) {
        assert_eq!(
            parse(tool, arguments).unwrap_err(),
            format!("Error validating tool '{tool}': {told}")
        );
    }

    #[test]
    fn faults_are_named_and_values_are_not_quoted() {
        let one = |fault: &str, given: &str| {
            format!(
                "1 validation error for TerminalAction\n{fault}. Parameters provided: [{given}]"
            )
        };
        check("terminal", "{}", &one("command\n  Field required", ""));
        check("terminal", "[1]", &one("command\n  Field required", ""));
        check("terminal", "null", &one("command\n  Field required", ""));
        check(
            "terminal",
            r#"{"command":5}"#,
            &one("command\n  Input should be a valid string", "'command'"),
        );
        check(
            "terminal",
            r#"{"command":"s3cret","bogus":1}"#,
            &one(
                "bogus\n  Extra inputs are not permitted",
                "'bogus', 'command'",
            ),
        );
        check(
            "terminal",
            r#"{"command":"x","timeout":-1}"#,
            &one(
                "timeout\n  Input should be greater than or equal to 0",
                "'command', 'timeout'",
            ),
        );
        check(
            "terminal",
            r#"{"command":"x","security_risk":"EXTREME"}"#,
            &one(
                "security_risk\n  Input should be 'UNKNOWN', 'LOW', 'MEDIUM' or 'HIGH'",
                "'command', 'security_risk'",
            ),
        );
        check(
            "terminal",
            r#"{"command": "s3cret"#,
            "not valid JSON at line 1 column 19. Arguments: unparseable JSON",
        );
        check(
            "file_editor",
            r#"{"command":"frobnicate"}"#,
            "2 validation errors for FileEditorAction\ncommand\n  Input should be 'view', 'create', 'str_replace', \
             'insert' or 'undo_edit'\npath\n  Field required. Parameters provided: ['command']",
        );
        check(
            "task_tracker",
            r#"{"command":"plan","task_list":[{"title":"a"},{"notes":1,"x":2},3]}"#,
            "4 validation errors for TaskTrackerAction\ntask_list.1.title\n  Field required\ntask_list.1.notes\n  Input \
             should be a valid string\ntask_list.1.x\n  Extra inputs are not permitted\ntask_list.2\n  Input should \
             be a valid object. Parameters provided: ['command', 'task_list']",
        );
    }

    #[test]
    fn what_the_model_says_about_a_call_is_taken_out_of_it() {
        let request = parse(
            "terminal",
            r#"{"command":"ls","summary":"look","security_risk":"low","timeout":"3","is_input":"False","reset":null}"#,
        )
        .unwrap();
        assert_eq!(
            (request.risk, request.summary.as_deref()),
            (Risk::Low, Some("look"))
        );
        let expected = TerminalAction {
            command: "ls".into(),
            timeout: Some(3.0),
            ..TerminalAction::default()
        };
        assert_eq!(request.action, Action::Terminal(expected));
    }

    #[test]
    fn lists_and_numbers_may_come_as_text() {
        let request = parse(
            "file_editor",
            r#"{"command":"view","path":"/a","view_range":"[1, -1]","insert_line":"4"}"#,
        )
        .unwrap();
        let Action::FileEditor(action) = request.action else {
            panic!()
        };
        assert_eq!(action.command, EditCommand::View);
        assert_eq!(
            (action.view_range, action.insert_line),
            (Some(vec![1, -1]), Some(4))
        );

        let request = parse(
            "task_tracker",
            r#"{"command":"plan","task_list":"[{\"title\":\"a\",\"status\":\"done\"}]"}"#,
        );
        let Action::TaskTracker(action) = request.unwrap().action else {
            panic!()
        };
        assert_eq!(
            (
                action.task_list[0].title.as_str(),
                action.task_list[0].status
            ),
            ("a", TaskStatus::Done)
        );
        assert!(parse("task_tracker", "{}").is_ok());
        assert!(
            parse(
                "file_editor",
                r#"{"command":"insert","path":"/a","insert_line":1e300}"#
            )
            .is_err()
        );
        assert!(
            parse(
                "file_editor",
                r#"{"command":"insert","path":"/a","insert_line":2.0}"#
            )
            .is_ok()
        );
    }

    #[test]
    fn the_schema_asks_for_risk_only_where_there_is_any() {
        let schema = find("think").unwrap().spec.parameters();
        assert_eq!(schema["required"], json!(["thought"]));
        assert!(schema["properties"]["summary"].is_object());
        assert!(schema["properties"].get("security_risk").is_none());
        let schema = find("task_tracker").unwrap().spec.parameters();
        assert!(schema.get("required").is_none());
        assert_eq!(schema["properties"]["security_risk"]["enum"], json!(RISKS));
        assert_eq!(
            schema["properties"]["task_list"]["items"]["required"],
            json!(["title"])
        );
    }
}
