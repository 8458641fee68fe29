//! Tools for models that know none: described in the prompt, called in the text. Pure data.
//!
//! A call looks like this, and the model is stopped at its end:
//! ```text
//! <function=NAME>
//! <parameter=NAME>
//! value
//! </parameter>
//! </function>
//! ```

use std::fmt::Write;

use serde_json::{Map, Value};

use super::body::joined;
use super::message::{Message, Part, Said, Stop, ToolCall, ToolSpec};
use crate::limits::LLM_CALLS_MAX;

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

/// The conversation in text alone: tools in the instructions, calls and results in what was said.
pub(crate) fn told(messages: &[Message], tools: &[ToolSpec]) -> Vec<Message> {
    let mut described = false;
    let mut told: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        told.push(match message {
            Message::System(parts) if !std::mem::replace(&mut described, true) => {
                let text = format!("{}\n\n{}", joined(parts), description(tools));
                Message::System(vec![Part::Text(text)])
            }
            Message::Assistant(said) => Message::Assistant(Said {
                text: call_text(said),
                reasoning_text: said.reasoning_text.clone(),
                ..Said::default()
            }),
            Message::Tool { name, content, .. } => {
                let mut parts = vec![Part::Text(format!("Result of {name}:"))];
                parts.extend(content.iter().cloned());
                Message::User(parts)
            }
            other => other.clone(),
        });
    }
    if !described {
        told.insert(0, Message::System(vec![Part::Text(description(tools))]));
    }
    told
}

fn description(tools: &[ToolSpec]) -> String {
    let mut text = "You can use these tools:\n".to_owned();
    for tool in tools {
        let (name, about) = (&tool.name, &tool.description);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {name}\n{about}\nIts parameters, as a JSON schema: {}\n",
            tool.parameters
        );
    }
    text.push_str(
        "\nTo use a tool, end your answer with a call of exactly this form, one at a time:\n\n\
         <function=NAME_OF_THE_TOOL>\n<parameter=NAME_OF_A_PARAMETER>\nits value, over as many lines as it needs\n\
         </parameter>\n</function>\n\n\
         Give every required parameter. Write texts as they are, without quotes or escapes, and other values as \
         JSON. Say what you want to say before the call and nothing after it; the next message brings the result.",
    );
    text
}

fn call_text(said: &Said) -> String {
    let mut text = said.text.clone();
    for call in &said.calls {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let _ = write!(text, "{FUNCTION}{}>", call.name);
        let arguments: Map<String, Value> =
            serde_json::from_str(&call.arguments).unwrap_or_default();
        for (name, value) in &arguments {
            let _ = match value.as_str() {
                Some(value) => write!(text, "\n{PARAMETER}{name}>\n{value}\n{PARAMETER_END}"),
                None => write!(text, "\n{PARAMETER}{name}>\n{value}\n{PARAMETER_END}"),
            };
        }
        let _ = write!(text, "\n{FUNCTION_END}>");
    }
    text
}

/// Finds the calls in what the model said, and takes them out of the text.
pub(crate) fn understood(
    answer: &str,
    mut said: Said,
    stop: Stop,
    tools: &[ToolSpec],
) -> (Said, Stop) {
    let Some(start) = said.text.find(FUNCTION) else {
        return (said, stop);
    };
    let text = std::mem::take(&mut said.text);
    let (before, mut rest) = text.split_at(start);
    said.text = before.trim_end().to_owned();
    while let Some((_, call)) = rest.split_once(FUNCTION) {
        if said.calls.len() == LLM_CALLS_MAX {
            break;
        }
        let Some((name, body)) = call.split_once('>') else {
            break;
        };
        let (arguments, end) = parameters(body, tools.iter().find(|tool| tool.name == name.trim()));
        said.calls.push(ToolCall {
            id: format!("call_{answer}_{}", said.calls.len()),
            name: name.trim().to_owned(),
            arguments: Value::Object(arguments).to_string(),
            item: None,
        });
        rest = end;
    }
    let stop = if stop == Stop::End && !said.calls.is_empty() {
        Stop::Calls
    } else {
        stop
    };
    (said, stop)
}

/// The parameters of a call, and what stands behind the last.
fn parameters<'a>(mut body: &'a str, tool: Option<&ToolSpec>) -> (Map<String, Value>, &'a str) {
    let mut found = Map::new();
    loop {
        let next = body.find(PARAMETER);
        let end = [FUNCTION_END, FUNCTION]
            .iter()
            .filter_map(|mark| body.find(mark))
            .min();
        match (next, end) {
            (Some(next), end) if end.is_none_or(|end| next < end) => {
                let (_, inside) = body.split_at(next + PARAMETER.len());
                let Some((name, inside)) = inside.split_once('>') else {
                    return (found, "");
                };
                let (value, rest) = inside.split_once(PARAMETER_END).unwrap_or((inside, ""));
                found.insert(name.trim().to_owned(), typed(value, name.trim(), tool));
                body = rest;
            }
            _ => return (found, body),
        }
    }
}

/// A value in the type that the tool's schema gives it; text where the schema or the value say nothing else.
fn typed(value: &str, name: &str, tool: Option<&ToolSpec>) -> Value {
    let value = value.strip_prefix('\n').unwrap_or(value);
    let value = value.strip_suffix('\n').unwrap_or(value);
    let kind = tool
        .and_then(|tool| tool.parameters.get("properties")?.get(name)?.get("type"))
        .and_then(Value::as_str);
    match kind {
        None | Some("string") => Value::from(value),
        Some(_) => serde_json::from_str(value.trim()).unwrap_or_else(|_| Value::from(value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tools() -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "terminal".into(),
            description: "Runs a command.".into(),
            parameters: json!({"type": "object", "properties": {
                "command": {"type": "string"}, "timeout": {"type": "number"}, "reset": {"type": "boolean"}}}),
        }]
    }

    fn check(text: &str, left: &str, calls: &[(&str, Value)]) {
        let said = Said {
            text: text.into(),
            ..Said::default()
        };
        let (said, stop) = understood("a1", said, Stop::End, &tools());
        assert_eq!(said.text, left);
        let found: Vec<(&str, Value)> = said
            .calls
            .iter()
            .map(|call| {
                (
                    call.name.as_str(),
                    serde_json::from_str(&call.arguments).unwrap(),
                )
            })
            .collect();
        assert_eq!(found, calls);
        assert_eq!(
            stop,
            if calls.is_empty() {
                Stop::End
            } else {
                Stop::Calls
            }
        );
    }

    #[test]
    fn calls_are_found_in_text() {
        check("nothing to do", "nothing to do", &[]);
        check(
            "Looking.\n\n<function=terminal>\n<parameter=command>\nls\n\n-l\n</parameter>\n\
             <parameter=timeout>2.5</parameter>\n<parameter=reset>maybe</parameter>\n",
            "Looking.",
            &[(
                "terminal",
                json!({"command": "ls\n\n-l", "timeout": 2.5, "reset": "maybe"}),
            )],
        );
        check(
            "<function=a></function>\n<function=terminal><parameter=command>x</parameter></function> bye",
            "",
            &[("a", json!({})), ("terminal", json!({"command": "x"}))],
        );
        check(
            "<function=terminal><parameter=command>cut",
            "",
            &[("terminal", json!({"command": "cut"}))],
        );
        check("a <function=half", "a", &[]);
    }

    #[test]
    fn history_is_told_in_text() {
        let call = ToolCall {
            id: "1".into(),
            name: "terminal".into(),
            arguments: r#"{"command": "a \"b\"", "timeout": 2}"#.into(),
            item: None,
        };
        let messages = [
            Message::System(vec![Part::text("Be good."), Part::text("Now.")]),
            Message::User(vec![Part::text("go")]),
            Message::Assistant(Said {
                text: "Ok.".into(),
                calls: vec![call],
                ..Said::default()
            }),
            Message::Tool {
                call: "1".into(),
                name: "terminal".into(),
                content: vec![Part::text("out")],
            },
        ];
        let told = told(&messages, &tools());
        let Message::System(parts) = &told[0] else {
            panic!()
        };
        assert!(matches!(&parts[..], [Part::Text(text)]
            if text.starts_with("Be good.\nNow.\n\nYou can use") && text.contains("## terminal\nRuns a command.")));
        let Message::Assistant(said) = &told[2] else {
            panic!()
        };
        assert_eq!(
            said.text,
            "Ok.\n\n<function=terminal>\n<parameter=command>\na \"b\"\n</parameter>\n<parameter=timeout>\n2\n\
             </parameter>\n</function>"
        );
        assert!(said.calls.is_empty());
        let result = Message::User(vec![Part::text("Result of terminal:"), Part::text("out")]);
        assert_eq!(told[3], result);
        let (again, _) = understood("a1", said.clone(), Stop::End, &tools());
        assert_eq!(
            again.calls[0].arguments,
            r#"{"command":"a \"b\"","timeout":2}"#
        );
    }

    #[test]
    fn tools_are_described_even_without_instructions() {
        let told = told(&[Message::User(vec![])], &tools());
        assert!(matches!(told[0], Message::System(_)) && told.len() == 2);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(<function=|</function>|<parameter=|</parameter>|>|a|\n|é){0,40}") {
            let said = Said { text, ..Said::default() };
            let (said, _) = understood("a", said, Stop::End, &tools());
            for call in said.calls {
                prop_assert!(serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok());
            }
        }
    }
}
