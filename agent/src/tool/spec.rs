//! What a tool is called and takes: one table from which the model's schema is written and its arguments are read.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Action, Request, Risk};

mod arguments;

use arguments::{check, fault, one_of};

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
        let common = Common {
            risky: self.risky,
            summary: true,
        };
        let accept = |given: &mut Map<String, Value>, faults: &mut Vec<String>| {
            let mut accepted = check("", self.fields, std::mem::take(given), faults);
            accepted.insert("kind".into(), self.action.into());
            serde_json::from_value::<Action>(Value::Object(accepted)).ok()
        };
        read_arguments(self.name, self.action, &common, arguments, accept)
    }
}

/// Which parameters a tool has beside its own.
pub(crate) struct Common {
    /// The model is asked how dangerous a call is.
    pub(crate) risky: bool,
    /// It is asked what the call is for.
    pub(crate) summary: bool,
}

/// The schemas of these parameters.
pub(crate) fn common(common: &Common) -> Map<String, Value> {
    let wanted = [(&RISK, common.risky), (&SUMMARY, common.summary)];
    let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
    wanted
        .map(|(field, _)| (field.name.to_owned(), schema(field)))
        .collect()
}

/// Reads the arguments of any tool: what all have in common here, the rest by `accept`, which adds what is wrong to
/// the faults.
///
/// # Errors
/// [`Invalid`].
pub(crate) fn read_arguments(
    tool: &str,
    action: &str,
    common: &Common,
    arguments: &str,
    accept: impl FnOnce(&mut Map<String, Value>, &mut Vec<String>) -> Option<Action>,
) -> Result<Request, Invalid> {
    let given = match serde_json::from_str(arguments) {
        Ok(Value::Object(given)) => given,
        Ok(_) => Map::new(),
        Err(error) => {
            return Err(Invalid(format!(
                "Error validating tool '{tool}': not valid JSON at line {} column {}. Arguments: unparseable JSON",
                error.line(),
                error.column()
            )));
        }
    };
    let names: Vec<String> = given.keys().cloned().collect();
    accepted(given, common, accept).map_err(|faults| {
        let plural = if faults.len() == 1 { "" } else { "s" };
        let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
        Invalid(format!(
            "Error validating tool '{tool}': {} validation error{plural} for {action}\n{}. Parameters provided: [{}]",
            faults.len(),
            faults.join("\n"),
            names.join(", ")
        ))
    })
}

fn accepted(
    mut given: Map<String, Value>,
    common: &Common,
    accept: impl FnOnce(&mut Map<String, Value>, &mut Vec<String>) -> Option<Action>,
) -> Result<Request, Vec<String>> {
    let mut faults = Vec::new();
    let summary = match common.summary.then(|| given.remove(SUMMARY.name)) {
        Some(Some(Value::String(text))) => Some(text),
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
    let action = accept(&mut given, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    match action {
        Some(action) => Ok(Request {
            action,
            risk,
            summary,
        }),
        None => Err(vec![fault("arguments", "Input doesn't fit the tool")]),
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

#[cfg(test)]
mod tests;
