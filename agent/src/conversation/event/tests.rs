//! Events as the recordings show them, both ways, and what in them is masked.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tool::{
    self, Content, FileEditorAction, FileEditorObservation, FinishAction, FinishObservation, Risk,
    TaskTrackerAction, TaskTrackerObservation, TerminalAction, TerminalObservation, ThinkAction,
};

/// One of every kind, with and without its optional members; `text` is in every free text.
pub(in crate::conversation) fn every_body(text: &str) -> Vec<Body> {
    let text = || text.to_owned();
    let parts = || vec![Content::text(text())];
    let arguments = serde_json::to_string(&json!({"command": text(), "is_input": false})).unwrap();
    let call = ToolCall {
        id: "call_1".to_owned(),
        responses_item_id: Some("fc_1".to_owned()),
        name: "terminal".to_owned(),
        arguments,
        origin: Origin::Responses,
    };
    let thoughts = || {
        vec![
            ThinkingBlock::Thinking {
                thinking: text(),
                signature: Some("sig".to_owned()),
            },
            ThinkingBlock::RedactedThinking {
                data: "sealed".to_owned(),
            },
        ]
    };
    let reasoning = || {
        Some(ReasoningItem {
            id: Some("rs_1".to_owned()),
            summary: vec![text()],
            content: Some(vec![text()]),
            encrypted_content: Some("sealed".to_owned()),
            status: None,
        })
    };
    let action = |action| {
        Body::Action(Action {
            thought: parts(),
            reasoning_content: Some(text()),
            thinking_blocks: thoughts(),
            responses_reasoning_item: reasoning(),
            action,
            tool_name: "terminal".to_owned(),
            tool_call_id: "call_1".to_owned(),
            tool_call: call.clone(),
            llm_response_id: "chatcmpl-1".to_owned(),
            security_risk: Risk::Unknown,
            critic_result: (),
            summary: Some(text()),
        })
    };
    let observation = |observation| {
        Body::Observation(Observation {
            tool_name: "terminal".to_owned(),
            tool_call_id: "call_1".to_owned(),
            observation,
            action_id: EventId::at(1, 2),
            extended_content: parts(),
        })
    };
    let task = tool::Task {
        title: text(),
        notes: text(),
        status: tool::TaskStatus::Done,
    };
    let classification = Some(Classification::new("agent_action", true, "retry"));
    let message = LlmMessage {
        role: Role::Assistant,
        content: vec![
            Content::text(text()),
            Content::Image {
                cache_prompt: true,
                image_urls: vec![text()],
            },
        ],
        tool_calls: Some(vec![call.clone()]),
        reasoning_content: Some(text()),
        thinking_blocks: thoughts(),
        responses_reasoning_item: reasoning(),
        ..LlmMessage::default()
    };
    vec![
        Body::SystemPrompt(SystemPrompt {
            system_prompt: Content::text(text()),
            tools: tool::TOOLS.iter().map(|row| row.spec.event()).collect(),
            dynamic_context: Some(Content::text(text())),
        }),
        Body::Message(Message {
            llm_message: LlmMessage {
                content: parts(),
                ..LlmMessage::default()
            },
            sender: Some(text()),
            activated_skills: vec![text()],
            extended_content: parts(),
            ..Message::default()
        }),
        Body::Message(Message {
            llm_message: message,
            llm_response_id: Some("chatcmpl-1".to_owned()),
            ..Message::default()
        }),
        action(None),
        action(Some(tool::Action::Terminal(TerminalAction {
            command: text(),
            timeout: Some(2.5),
            ..TerminalAction::default()
        }))),
        action(Some(tool::Action::FileEditor(FileEditorAction {
            command: tool::EditCommand::StrReplace,
            path: text(),
            file_text: Some(text()),
            old_str: Some(text()),
            new_str: Some(text()),
            insert_line: Some(3),
            view_range: Some(vec![1, -1]),
        }))),
        action(Some(tool::Action::TaskTracker(TaskTrackerAction {
            command: tool::TaskCommand::Plan,
            task_list: vec![task.clone()],
        }))),
        action(Some(tool::Action::Finish(FinishAction { message: text() }))),
        action(Some(tool::Action::Think(ThinkAction { thought: text() }))),
        observation(tool::Observation::Terminal(TerminalObservation {
            content: parts(),
            command: Some(text()),
            exit_code: Some(0),
            metadata: tool::Metadata {
                username: Some(text()),
                hostname: Some(text()),
                working_dir: Some(text()),
                py_interpreter_path: Some(text()),
                prefix: text(),
                suffix: text(),
                ..tool::Metadata::default()
            },
            full_output_save_dir: Some(text()),
            ..TerminalObservation::default()
        })),
        observation(tool::Observation::FileEditor(FileEditorObservation {
            content: parts(),
            is_error: false,
            command: tool::EditCommand::View,
            path: Some(text()),
            prev_exist: true,
            old_content: Some(text()),
            new_content: Some(text()),
        })),
        observation(tool::Observation::TaskTracker(TaskTrackerObservation {
            content: parts(),
            is_error: false,
            command: tool::TaskCommand::View,
            task_list: vec![task],
        })),
        observation(tool::Observation::Finish(FinishObservation {
            content: parts(),
            is_error: false,
        })),
        observation(tool::Observation::Think(tool::ThinkObservation {
            content: parts(),
            is_error: false,
        })),
        Body::AgentError(AgentError {
            tool_name: text(),
            tool_call_id: "call_1".to_owned(),
            error: text(),
            classification: classification.clone(),
        }),
        Body::UserReject(UserReject {
            tool_name: "terminal".to_owned(),
            tool_call_id: "call_1".to_owned(),
            rejection_reason: text(),
            rejection_source: Rejecter::User,
            action_id: EventId::at(1, 2),
        }),
        Body::Pause,
        Body::Interrupt,
        Body::ConversationError(ConversationError {
            code: "LLMAuthenticationError".to_owned(),
            detail: text(),
            classification,
        }),
        Body::state("tags", &json!({"a": text(), "b": null})),
        Body::state("title", &None::<String>),
        Body::ServerError(ServerError {
            code: "ValidationError".to_owned(),
            detail: text(),
        }),
        Body::Condensation(Condensation {
            forgotten_event_ids: [EventId::at(1, 1), EventId::at(2, 1)].into(),
            summary: Some(text()),
            summary_offset: Some(4),
            llm_response_id: "chatcmpl-1".to_owned(),
        }),
        Body::Condensation(Condensation {
            forgotten_event_ids: [].into(),
            summary: None,
            summary_offset: None,
            llm_response_id: String::new(),
        }),
        Body::CondensationRequest,
        Body::CondensationSummary(CondensationSummary { summary: text() }),
        Body::StreamingDelta(StreamingDelta {
            content: Some(text()),
            reasoning_content: None,
        }),
        Body::StreamingDelta(StreamingDelta {
            content: None,
            reasoning_content: Some(text()),
        }),
    ]
}

pub(in crate::conversation) fn event(place: u32, body: Body) -> Event {
    Event {
        id: EventId::at(place, 77),
        timestamp: "2026-05-05T12:00:00.000001".parse().unwrap(),
        source: Source::Agent,
        parent_id: place
            .checked_sub(1)
            .map(|before| Parent::Event(EventId::at(before, 77))),
        body,
    }
}

fn stored(event: &Event) -> String {
    String::from_utf8(event.to_stored()).unwrap()
}

proptest! {
    #[test]
    fn what_is_stored_is_read_as_it_was(text in ".{0,20}", place in 0..3_u32, root: bool) {
        for body in every_body(&text) {
            let mut event = event(place, body);
            if root {
                event.parent_id = Some(Parent::Root);
            }
            let read = Event::from_bytes(&event.to_stored());
            prop_assert_eq!(read.unwrap(), event.clone(), "{}", event.body.kind());
            let read = Event::from_bytes(&event.to_full());
            prop_assert_eq!(read.unwrap(), event);
        }
    }

    #[test]
    fn no_free_text_is_left_out(noise in "[a-z\"\\\\]{0,3}") {
        let secret = format!("S3{noise}C");
        for body in every_body(&format!("a {secret} b")) {
            let mut event = event(1, body);
            let before = serde_json::from_slice::<serde_json::Value>(&event.to_full()).unwrap();
            event.each_text(&mut |text| *text = text.replace(&secret, "<secret-hidden>"));
            let after = serde_json::from_slice::<serde_json::Value>(&event.to_full()).unwrap();
            let (mut all, mut masked) = (Vec::new(), Vec::new());
            texts(&before, &mut all);
            texts(&after, &mut masked);
            prop_assert_eq!(all.len(), masked.len());
            for (before, after) in all.iter().zip(&masked) {
                let before = before.replace(&secret, "<secret-hidden>");
                prop_assert_eq!(&before, after, "{}", event.body.kind());
            }
        }
    }
}

/// Every text in it; those that hold JSON are read on.
fn texts(value: &serde_json::Value, all: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if text.starts_with('{') => {
            texts(&serde_json::from_str(text).unwrap(), all);
        }
        serde_json::Value::String(text) => all.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        serde_json::Value::Object(members) => members.values().for_each(|item| texts(item, all)),
        _ => {}
    }
}

#[test]
fn looks_like_the_recorded_ones() {
    let id = "00000001-0000-4000-8000-00000000004d";
    let head =
        format!(r#"{{"id":"{id}","timestamp":"2026-05-05T12:00:00.000001","source":"agent""#);
    let parent = r#","parent_id":"00000000-0000-4000-8000-00000000004d""#;
    let running = event(1, Body::state("execution_status", "running"));
    assert_eq!(
        stored(&running),
        format!(
            r#"{head}{parent},"key":"execution_status","value":"running","kind":"ConversationStateUpdateEvent"}}"#
        )
    );
    let mut pause = event(1, Body::Pause);
    pause.parent_id = Some(Parent::Root);
    assert_eq!(
        stored(&pause),
        format!(r#"{head},"parent_id":"__root__","kind":"PauseEvent"}}"#)
    );
    pause.parent_id = None;
    assert_eq!(stored(&pause), format!(r#"{head},"kind":"PauseEvent"}}"#));
    assert_eq!(
        String::from_utf8(pause.to_full()).unwrap(),
        format!(r#"{head},"parent_id":null,"kind":"PauseEvent"}}"#)
    );
    let message = Message {
        llm_message: LlmMessage {
            content: vec![Content::text("go")],
            ..LlmMessage::default()
        },
        ..Message::default()
    };
    let message = event(1, Body::Message(message));
    let text = message_part(&stored(&message));
    assert_eq!(
        stored(&message),
        format!(
            r#"{head}{parent},"llm_message":{{"role":"user","content":[{text}],"thinking_blocks":[]}},"activated_skills":[],"extended_content":[],"kind":"MessageEvent"}}"#
        )
    );
    let full = String::from_utf8(message.to_full()).unwrap();
    for member in [
        "llm_response_id",
        "sender",
        "critic_result",
        "tool_calls",
        "responses_reasoning_item",
    ] {
        assert!(
            full.contains(&format!(r#""{member}":null"#)),
            "{member}: {full}"
        );
    }
}

/// The order of members in a content part is the tools' own matter.
fn message_part(stored: &str) -> String {
    let (_, after) = stored.split_once(r#""content":["#).unwrap();
    let (part, _) = after.split_once(']').unwrap();
    assert!(part.contains(r#""text":"go""#) && part.contains(r#""cache_prompt":false"#));
    part.to_owned()
}

#[test]
fn the_nulls_of_a_state_stay_and_all_others_go() {
    let stats = json!({"usage_to_metrics": {"default": {"max_budget_per_task": null}}});
    let state = stored(&event(0, Body::state("stats", &stats)));
    assert!(state.contains(r#""max_budget_per_task":null"#), "{state}");
    assert!(!state.contains("parent_id"), "{state}");
    for body in every_body("x") {
        let stored = stored(&event(0, body.clone()));
        let nulls = stored.matches(":null").count();
        let kept = usize::from(matches!(body, Body::StateUpdate(_)));
        assert_eq!(nulls, kept, "{stored}");
    }
}

#[test]
fn what_is_no_event_is_refused() {
    for bad in [
        "",
        "{}",
        "null",
        r#"{"id":"x","timestamp":"2026-05-05T12:00:00","source":"agent","kind":"PauseEvent"}"#,
        r#"{"id":"00000001-0000-4000-8000-00000000004d","timestamp":"2026-05-05T12:00:00","source":"agent","kind":"Other"}"#,
        r#"{"id":"00000001-0000-4000-8000-00000000004d","timestamp":"2026-05-05T12:00:00","source":"agent","kind":"MessageEvent"}"#,
    ] {
        assert!(Event::from_bytes(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn what_models_say_maps_both_ways() {
    use crate::llm;
    let call = llm::ToolCall {
        id: "c".to_owned(),
        name: "think".to_owned(),
        arguments: "{}".to_owned(),
        item: Some("fc".to_owned()),
    };
    assert_eq!(ToolCall::from(call.clone()).origin, Origin::Responses);
    assert_eq!(llm::ToolCall::from(ToolCall::from(call.clone())), call);
    for thought in [
        llm::Thought::Open {
            text: "t".to_owned(),
            signature: None,
        },
        llm::Thought::Closed {
            data: "d".to_owned(),
        },
    ] {
        let block = ThinkingBlock::from(thought.clone());
        assert_eq!(llm::Thought::from(block), thought);
    }
    let reasoning = llm::Reasoning {
        id: Some("rs".to_owned()),
        summary: vec!["s".to_owned()],
        sealed: Some("x".to_owned()),
        ..llm::Reasoning::default()
    };
    let item = ReasoningItem::from(reasoning.clone());
    assert_eq!(item.content, None);
    assert_eq!(llm::Reasoning::from(item), reasoning);
}

#[test]
fn masked_arguments_stay_json() {
    let mut event = event(1, every_body("x").remove(3));
    if let Body::Action(action) = &mut event.body {
        action.tool_call.arguments = r#"{"a": "t\u006fken", "token": 1}"#.to_owned();
    }
    event.each_text(&mut |text| *text = text.replace("token", "\"<secret-hidden>\""));
    let Body::Action(action) = event.body else {
        panic!()
    };
    assert_eq!(
        action.tool_call.arguments,
        r#"{"a": "\"<secret-hidden>\"", "\"<secret-hidden>\"": 1}"#
    );
}

/// What the client itself makes of each kind. `tests/sdk/venv` installs it; `STRONGROOM_PYTHON` names another Python.
#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test -p strongroom-agent --lib the_client -- --ignored"]
fn the_client_reads_every_kind() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    const READ: &str = "
import json, sys
import openhands.tools.file_editor, openhands.tools.task_tracker, openhands.tools.terminal
from openhands.sdk.event import Event
for line in sys.stdin:
    event = Event.model_validate_json(line)
    sent = json.loads(line)
    shown = json.loads(event.model_dump_json())
    for tool in shown.get('tools', []) + sent.get('tools', []):
        tool.pop('description')
    def without_nulls(value):
        if isinstance(value, dict):
            return {name: without_nulls(one) for name, one in value.items() if one is not None}
        return [without_nulls(one) for one in value] if isinstance(value, list) else value
    shown, sent = without_nulls(shown), without_nulls(sent)
    if 'forgotten_event_ids' in sent:
        shown['forgotten_event_ids'].sort()
    assert shown == sent, (shown, sent)
    print(type(event).__name__)
";
    let given = std::env::var_os("STRONGROOM_PYTHON");
    let python =
        given.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python").into());
    // What the server alone sends is unknown to the client, which has no model of it.
    let known = |body: &Body| !matches!(body, Body::ServerError(_));
    let events: Vec<_> = every_body("x")
        .into_iter()
        .filter(known)
        .map(|body| event(1, body))
        .collect();
    for full in [false, true] {
        let mut child = Command::new(&python)
            .args(["-c", READ])
            .env("OPENHANDS_SUPPRESS_BANNER", "1")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for event in &events {
            let line = if full {
                event.to_full()
            } else {
                event.to_stored()
            };
            input.write_all(&line).unwrap();
            input.write_all(b"\n").unwrap();
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let kinds = String::from_utf8(output.stdout).unwrap();
        let expected: Vec<_> = events.iter().map(|event| event.body.kind()).collect();
        assert_eq!(kinds.lines().collect::<Vec<_>>(), expected);
    }
}
