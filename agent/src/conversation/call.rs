//! Runs a conversation's tools: opens them, finds their secrets, and makes events of what they give.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_vault::Plaintext;
use tokio::time::timeout;

use super::event::{AgentError, Body, Classification, Observation as Observed};
use super::pending::Planned;
use super::run::{Parts, Run};
use crate::inject::fits;
use crate::limits::TOOL_CANCEL_MS;
use crate::redact::MASK;
use crate::secrets::Listed;
use crate::tool::{self, Action, Failure, Observation, Tool};

/// The tools of one conversation that were used.
#[derive(Default)]
pub struct Toolbox(Mutex<Tools>);

/// Locked while one of them works. Replaced when one does not end.
type Tools = Arc<Mutex<Vec<Box<dyn Tool>>>>;

/// What became of a call.
pub enum Called {
    /// This is to be told.
    Told(Box<Body>),
    /// It was interrupted.
    Interrupted,
}

/// How clients know a failure that the model can mend.
pub const MENDABLE: Classification = Classification::new("agent_action", true, "retry");

/// That a call failed.
#[must_use]
pub fn failed(call: &str, tool: &str, error: String) -> Body {
    Body::AgentError(AgentError {
        tool_name: tool.to_owned(),
        tool_call_id: call.to_owned(),
        error,
        classification: Some(MENDABLE),
    })
}

/// What an interrupted call says.
pub const INTERRUPTED: &str =
    "Tool call interrupted before completion. The conversation was paused.";

impl Toolbox {
    /// Ends what the tools have running. Blocks.
    pub fn clear(&self) {
        let tools = std::mem::take(&mut *self.lock());
        drop(tools);
    }

    fn tools(&self) -> Tools {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one call. `past` is what the tools take up when they are opened.
    pub async fn call(
        &self,
        parts: &Parts,
        run: &Run,
        planned: &Planned,
        past: Option<&Observation>,
    ) -> Called {
        let error =
            |text: String| Called::Told(Box::new(failed(&planned.call, &planned.tool, text)));
        let Some(row) = tool::find(&planned.tool) else {
            return error(format!("Tool '{}' not found.", planned.tool));
        };
        let tools = self.tools();
        let opened = {
            let tools = Arc::clone(&tools);
            let (setup, action, past) =
                (parts.tools.clone(), planned.action.clone(), past.cloned());
            super::run::blocking(move || {
                let mut tools = tools.lock().unwrap_or_else(PoisonError::into_inner);
                let at = open(&mut tools, row, &setup, past.as_ref());
                let text = tools.get(at).and_then(|tool| tool.secret_text(&action));
                (at, text.map(str::to_owned))
            })
            .await
        };
        let Ok((at, text)) = opened else {
            return error("The server is stopping.".to_owned());
        };
        let names = text.map_or_else(Vec::new, |text| parts.secrets.named_in(&text));
        let values = tokio::select! {
            biased;
            () = run.interrupted() => return Called::Interrupted,
            values = parts.secrets.values(&names, &planned.tool) => values,
        };
        let mut secrets: Vec<(String, Plaintext)> = Vec::new();
        for (name, value) in names.into_iter().zip(values) {
            match value {
                Ok(Some(value)) if !value.is_empty() => {
                    if !fits(&name, &value) {
                        // The tool tells the model.
                        parts.secrets.skipped(&name, &planned.tool).await;
                    }
                    secrets.push((name, value));
                }
                Ok(_) => {}
                Err(why) => (parts.warn)(&format!(
                    "conversation {}: a command goes without a secret: {why}",
                    parts.journal.id()
                )),
            }
        }
        let (action, cancel) = (planned.action.clone(), run.cancel.clone());
        let used = Arc::clone(&tools);
        let mut running = tokio::task::spawn_blocking(move || {
            let mut tools = used.lock().unwrap_or_else(PoisonError::into_inner);
            let secrets: Vec<_> = secrets
                .iter()
                .map(|(name, value)| (name.as_str(), value))
                .collect();
            let call = tool::Call {
                secrets: &secrets,
                cancel: &cancel,
            };
            match tools.get_mut(at) {
                Some(tool) => tool.run(&action, &call),
                None => Err(Failure::OtherTool),
            }
        });
        let ended = tokio::select! {
            ended = &mut running => Some(ended),
            () = run.interrupted() => {
                let most = Duration::from_millis(TOOL_CANCEL_MS);
                timeout(most, &mut running).await.ok()
            }
        };
        match ended {
            Some(Ok(Ok(observation))) => Called::Told(Box::new(Body::Observation(Observed {
                tool_name: planned.tool.clone(),
                tool_call_id: planned.call.clone(),
                observation,
                action_id: planned.event,
                extended_content: Vec::new(),
            }))),
            Some(Ok(Err(Failure::Interrupted))) => Called::Interrupted,
            Some(Ok(Err(Failure::OtherTool))) => error(Failure::OtherTool.to_string()),
            Some(Err(_)) => {
                // It panicked: whatever it holds is not to be trusted.
                self.clear();
                error(format!(
                    "The tool '{}' broke down and was started anew. Its earlier state is gone.",
                    planned.tool
                ))
            }
            None => {
                // It does not end: others get new tools meanwhile.
                *self.lock() = Arc::default();
                Called::Interrupted
            }
        }
    }
}

fn open(
    tools: &mut Vec<Box<dyn Tool>>,
    row: &tool::Row,
    setup: &tool::Setup,
    past: Option<&Observation>,
) -> usize {
    let found = tools
        .iter()
        .position(|tool| tool.spec().name == row.spec.name);
    found.unwrap_or_else(|| {
        let mut tool = (row.open)(setup);
        if let Some(past) = past {
            tool.restore(past);
        }
        tools.push(tool);
        tools.len() - 1
    })
}

/// Why an action is not run: it would put the mark that stands for a secret to use. Those that only speak may.
#[must_use]
pub fn misuse(action: &Action, secrets: &[Listed]) -> Option<String> {
    let marked = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(MASK));
    let found = match action {
        Action::Terminal(action) => action.command.contains(MASK),
        Action::FileEditor(action) => {
            action.path.contains(MASK)
                || [&action.file_text, &action.old_str, &action.new_str]
                    .into_iter()
                    .any(marked)
        }
        Action::Mcp(action) => {
            let marked = |(name, value): (&String, _)| name.contains(MASK) || is_marked(value);
            action.data.iter().any(marked)
        }
        Action::TaskTracker(_) | Action::Finish(_) | Action::Think(_) => false,
    };
    if !found {
        return None;
    }
    let names: Vec<_> = secrets
        .iter()
        .take(NAMED_MAX)
        .map(|secret| format!("${}", secret.name))
        .collect();
    if matches!(action, Action::Mcp(_)) {
        let which = match names.as_slice() {
            [] => "This conversation has no secrets with a name; leave the value out".to_owned(),
            names => format!(
                "Write the name of the secret in its place instead: {}",
                names.join(", ")
            ),
        };
        return Some(misused(&which));
    }
    let which = match names.as_slice() {
        [] => "This conversation has no secrets with a name; leave the value out".to_owned(),
        [one] => format!("Use the environment variable {one} in a terminal command instead"),
        many => format!(
            "Use the environment variable of the secret in a terminal command instead, one of: {}",
            many.join(", ")
        ),
    };
    Some(misused(&which))
}

fn misused(which: &str) -> String {
    format!(
        "The call was not run: {MASK} only marks where a secret stands, and is not its value. {which}."
    )
}

fn is_marked(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(is_marked),
        Value::Object(members) => {
            members.keys().any(|name| name.contains(MASK)) || members.values().any(is_marked)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Secrets that are named to a model that misused the mark.
const NAMED_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Shown;
    use crate::tool::{FinishAction, TerminalAction};

    #[test]
    fn a_mark_in_a_command_is_refused_and_the_variable_named() {
        let run = |command: &str| {
            Action::Terminal(TerminalAction {
                command: command.to_owned(),
                ..TerminalAction::default()
            })
        };
        let secret = Listed {
            name: "TOKEN".to_owned(),
            description: None,
            kind: Shown::Static,
        };
        let found = misuse(
            &run("curl -H <secret-hidden>"),
            std::slice::from_ref(&secret),
        );
        assert!(found.unwrap().contains("$TOKEN"));
        assert!(misuse(&run("echo $TOKEN"), std::slice::from_ref(&secret)).is_none());
        assert!(misuse(&run("<secret-hidden>"), &[]).is_some());
        let says = Action::Finish(FinishAction {
            message: "<secret-hidden>".to_owned(),
        });
        assert!(misuse(&says, &[secret]).is_none());
    }
}
