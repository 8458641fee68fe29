//! A tool of a server: as a model is told of it, and how its arguments are read.

use serde_json::{Map, Value};

use super::schema;
use crate::json::{Json, Text};
use crate::limits::{MCP_NAME_BYTES_MAX, MCP_TOOL_BYTES_MAX};
use crate::llm::ToolSpec;
use crate::redact::Redactor;
use crate::tool::{Action, Common, Invalid, McpAction, Request, common, read_arguments};

/// A tool of a server.
pub(super) struct Listed {
    /// How the model calls it.
    pub(super) name: String,
    /// How its server does.
    pub(super) remote: Text,
    /// What its server says of it, not masked.
    about: Json,
}

/// Why a tool is not offered.
pub(super) enum Unfit {
    /// It has no name.
    Nameless,
    /// It says too much.
    TooLong(String),
    /// There is a secret in its name.
    Secret,
}

impl Listed {
    /// Reads what a server says. `prefix` stands before the name.
    pub(super) fn read(
        about: Json,
        prefix: Option<&str>,
        redactor: &Redactor,
    ) -> Result<Self, Unfit> {
        let remote = about.get("name").and_then(Json::as_text);
        let remote = remote
            .filter(|name| !name.is_empty())
            .ok_or(Unfit::Nameless)?;
        let remote = Text::copy_of(remote);
        let name = match prefix {
            Some(prefix) => named(&format!("{prefix}_{}", remote.expose())),
            None => named(remote.expose()),
        };
        if *redactor.text(remote.expose()) != *remote.expose() || *redactor.text(&name) != name {
            return Err(Unfit::Secret);
        }
        if about.to_bytes().len() > MCP_TOOL_BYTES_MAX {
            return Err(Unfit::TooLong(name));
        }
        Ok(Self {
            name,
            remote,
            about,
        })
    }

    fn schema(&self, redactor: &Redactor) -> Value {
        let schema = self.about.get("inputSchema");
        schema.map_or(Value::Null, |schema| masked(schema, redactor))
    }

    /// Whether the model is asked how dangerous a call is.
    fn is_risky(&self) -> bool {
        let hints = self.about.get("annotations");
        let reads = hints.and_then(|hints| hints.get("readOnlyHint"));
        !matches!(reads, Some(Json::Bool(true)))
    }

    fn has_own(&self, parameter: &str) -> bool {
        let properties = self
            .about
            .get("inputSchema")
            .and_then(|schema| schema.get("properties"));
        properties.is_some_and(|properties| properties.get(parameter).is_some())
    }

    fn common(&self) -> Common {
        Common {
            risky: self.is_risky(),
            summary: !self.has_own("summary"),
        }
    }

    /// What a model is told of it, masked with what is known now.
    pub(super) fn spec(&self, redactor: &Redactor) -> ToolSpec {
        let description = self.about.get("description").and_then(Json::as_text);
        let mut parameters = schema::plain(&self.schema(redactor));
        let mut properties = common(&self.common());
        if let Some(Value::Object(own)) = parameters.remove("properties") {
            properties.extend(own);
        }
        parameters.insert("properties".into(), properties.into());
        ToolSpec {
            name: self.name.clone(),
            description: match description.filter(|text| !text.is_empty()) {
                Some(text) => redactor.text(text).into_inner(),
                None => "No description provided".to_owned(),
            },
            parameters: parameters.into(),
        }
    }

    /// Reads the arguments that a model gave.
    ///
    /// # Errors
    /// [`Invalid`].
    pub(super) fn parse(&self, arguments: &str, redactor: &Redactor) -> Result<Request, Invalid> {
        let action = format!("MCP{}Action", camel(&self.name));
        let accept = |given: &mut Map<String, Value>, faults: &mut Vec<String>| {
            given.retain(|_, value| !value.is_null());
            schema::judge(&self.schema(redactor), given, faults);
            Some(Action::Mcp(McpAction {
                data: std::mem::take(given),
            }))
        };
        read_arguments(&self.name, &action, &self.common(), arguments, accept)
    }
}

/// A name that providers of models take: letters, digits, `_` and `-`.
fn named(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let letters = name.chars().map(|it| if fits(it) { it } else { '_' });
    letters.take(MCP_NAME_BYTES_MAX).collect()
}

fn camel(name: &str) -> String {
    let words = name.split(['_', '-']).filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            first
                .chain(letters.flat_map(char::to_lowercase))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A tree in which nothing is to be wiped any more: each text is masked before it is copied.
fn masked(json: &Json, redactor: &Redactor) -> Value {
    fn copy(json: &Json, redactor: &Redactor) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => redactor.text(text.expose()).into_inner().into(),
            Json::List(items) => items.iter().map(|item| copy(item, redactor)).collect(),
            Json::Object(members) => members
                .iter()
                .map(|(name, value)| (redactor.text(name).into_inner(), copy(value, redactor)))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
    // Numbers whose digits are a secret.
    redactor.json(copy(json, redactor)).into_inner()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_vault::Plaintext;

    use super::*;
    use crate::redact::ValueId;
    use crate::tool::Risk;

    fn redactor() -> Redactor {
        let redactor = Redactor::new().unwrap();
        let value = Plaintext::copy_of(b"secret-of-the-server-77");
        redactor.learn(&ValueId::new("t", "v"), &value).unwrap();
        redactor
    }

    fn listed(about: &Value, prefix: Option<&str>) -> Result<Listed, Unfit> {
        let about = Json::parse(about.to_string().as_bytes()).unwrap();
        Listed::read(about, prefix, &redactor())
    }

    fn look() -> Value {
        json!({"name": "look", "description": "It knows secret-of-the-server-77.",
            "inputSchema": {"type": "object", "properties": {
                "path": {"type": "string", "description": "like secret-of-the-server-77"},
                "n": {"type": "integer", "default": 3}}, "required": ["path"]}})
    }

    #[test]
    fn a_model_is_told_of_it_masked() {
        let Ok(tool) = listed(&look(), Some("a b")) else {
            panic!("it is a tool")
        };
        let spec = tool.spec(&redactor());
        assert_eq!(
            (spec.name.as_str(), tool.remote.expose()),
            ("a_b_look", "look")
        );
        assert_eq!(spec.description, "It knows <secret-hidden>.");
        let properties = spec.parameters["properties"].as_object().unwrap();
        let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["n", "path", "security_risk", "summary"]);
        assert_eq!(properties["path"]["description"], "like <secret-hidden>");
        assert_eq!(spec.parameters["required"], json!(["path"]));
    }

    #[test]
    fn what_only_reads_is_not_judged_and_its_own_summary_stays() {
        let about = json!({"name": "t", "annotations": {"readOnlyHint": true},
            "inputSchema": {"type": "object", "properties": {"summary": {"type": "integer"}}}});
        let Ok(tool) = listed(&about, None) else {
            panic!("it is a tool")
        };
        let spec = tool.spec(&redactor());
        let expected = json!({"type": "object", "properties": {"summary": {"type": "integer"}}});
        assert_eq!(spec.parameters, expected);
        assert_eq!(spec.description, "No description provided");
        let request = tool.parse(r#"{"summary":5,"security_risk":"HIGH"}"#, &redactor());
        let request = request.unwrap();
        assert_eq!((request.risk, request.summary), (Risk::High, None));
        assert!(matches!(request.action, Action::Mcp(action) if action.data["summary"] == 5));
    }

    #[test]
    fn arguments_are_read_or_refused_in_words() {
        let Ok(tool) = listed(&look(), None) else {
            panic!("it is a tool")
        };
        let request = tool.parse(
            r#"{"path":"p","n":null,"summary":"looks","security_risk":"LOW"}"#,
            &redactor(),
        );
        let request = request.unwrap();
        assert_eq!(
            (request.risk, request.summary.as_deref()),
            (Risk::Low, Some("looks"))
        );
        let Action::Mcp(action) = request.action else {
            panic!("it is a call of a server")
        };
        assert_eq!(Value::Object(action.data), json!({"path": "p"}));
        let refused = tool.parse("{}", &redactor()).unwrap_err().to_string();
        assert_eq!(
            refused,
            "Error validating tool 'look': 1 validation error for MCPLookAction\npath\n  Field required. \
             Parameters provided: []"
        );
        assert!(tool.parse("{", &redactor()).is_err());
    }

    #[test]
    fn names_that_no_provider_takes_are_mended_and_secret_ones_refused() {
        assert_eq!(named("a.b/ž c"), "a_b___c");
        assert_eq!(named(&"x".repeat(100)).len(), MCP_NAME_BYTES_MAX);
        let secret = json!({"name": "secret-of-the-server-77"});
        assert!(matches!(listed(&secret, None), Err(Unfit::Secret)));
        assert!(matches!(
            listed(&json!({"x": 1}), None),
            Err(Unfit::Nameless)
        ));
        let long = json!({"name": "t", "description": "x".repeat(MCP_TOOL_BYTES_MAX)});
        assert!(matches!(listed(&long, None), Err(Unfit::TooLong(_))));
    }
}
