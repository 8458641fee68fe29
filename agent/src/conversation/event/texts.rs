//! The free texts of events.

use super::super::raw;
use super::{Body, LlmMessage, ReasoningItem, ThinkingBlock, ToolCall};
use crate::tool::{self, Action, Content, Observation};

type Visit<'a> = &'a mut dyn FnMut(&mut String);

pub(super) fn body(body: &mut Body, visit: Visit<'_>) {
    match body {
        Body::SystemPrompt(it) => {
            content(&mut it.system_prompt, visit);
            it.dynamic_context
                .iter_mut()
                .for_each(|part| content(part, visit));
        }
        Body::Message(it) => {
            message(&mut it.llm_message, visit);
            it.activated_skills.iter_mut().for_each(&mut *visit);
            contents(&mut it.extended_content, visit);
            it.sender.iter_mut().for_each(visit);
        }
        Body::Action(it) => {
            contents(&mut it.thought, visit);
            it.reasoning_content.iter_mut().for_each(&mut *visit);
            thoughts(&mut it.thinking_blocks, visit);
            reasoning(it.responses_reasoning_item.as_mut(), visit);
            it.action.iter_mut().for_each(|it| action(it, visit));
            name(&mut it.tool_name, visit);
            call(&mut it.tool_call, visit);
            it.summary.iter_mut().for_each(visit);
        }
        Body::Observation(it) => {
            name(&mut it.tool_name, visit);
            observation(&mut it.observation, visit);
            contents(&mut it.extended_content, visit);
        }
        Body::AgentError(it) => {
            name(&mut it.tool_name, visit);
            visit(&mut it.error);
        }
        Body::UserReject(it) => {
            name(&mut it.tool_name, visit);
            visit(&mut it.rejection_reason);
        }
        Body::ConversationError(it) => visit(&mut it.detail),
        Body::StateUpdate(it) => it.value.each_text(visit),
        Body::ServerError(it) => visit(&mut it.detail),
        Body::Condensation(it) => it.summary.iter_mut().for_each(visit),
        Body::CondensationSummary(it) => visit(&mut it.summary),
        Body::StreamingDelta(it) => {
            it.content.iter_mut().for_each(&mut *visit);
            it.reasoning_content.iter_mut().for_each(visit);
        }
        Body::Pause | Body::Interrupt | Body::CondensationRequest => {}
    }
}

/// A name of one of our tools is a name; any other was made up by a model, and is a text.
fn name(name: &mut String, visit: Visit<'_>) {
    if tool::find(name).is_none() {
        visit(name);
    }
}

fn content(part: &mut Content, visit: Visit<'_>) {
    match part {
        Content::Text { text, .. } => visit(text),
        Content::Image { image_urls, .. } => image_urls.iter_mut().for_each(visit),
    }
}

fn contents(parts: &mut [Content], visit: Visit<'_>) {
    parts.iter_mut().for_each(|part| content(part, visit));
}

fn message(message: &mut LlmMessage, visit: Visit<'_>) {
    contents(&mut message.content, visit);
    message
        .tool_calls
        .iter_mut()
        .flatten()
        .for_each(|it| call(it, visit));
    message.name.iter_mut().for_each(|it| name(it, visit));
    message.reasoning_content.iter_mut().for_each(&mut *visit);
    thoughts(&mut message.thinking_blocks, visit);
    reasoning(message.responses_reasoning_item.as_mut(), visit);
}

fn call(call: &mut ToolCall, visit: Visit<'_>) {
    name(&mut call.name, visit);
    raw::each_text_within(&mut call.arguments, visit);
}

fn thoughts(blocks: &mut [ThinkingBlock], visit: Visit<'_>) {
    for block in blocks {
        match block {
            ThinkingBlock::Thinking { thinking, .. } => visit(thinking),
            ThinkingBlock::RedactedThinking { .. } => {}
        }
    }
}

fn reasoning(item: Option<&mut ReasoningItem>, visit: Visit<'_>) {
    if let Some(item) = item {
        item.summary.iter_mut().for_each(&mut *visit);
        item.content.iter_mut().flatten().for_each(visit);
    }
}

fn action(action: &mut Action, visit: Visit<'_>) {
    match action {
        Action::Terminal(it) => visit(&mut it.command),
        Action::FileEditor(it) => {
            visit(&mut it.path);
            let texts = [&mut it.file_text, &mut it.old_str, &mut it.new_str];
            texts.into_iter().flatten().for_each(visit);
        }
        Action::TaskTracker(it) => tasks(&mut it.task_list, visit),
        Action::Finish(it) => visit(&mut it.message),
        Action::Think(it) => visit(&mut it.thought),
        Action::Mcp(it) => each_of_members(&mut it.data, visit),
    }
}

fn each_of_members(members: &mut serde_json::Map<String, serde_json::Value>, visit: Visit<'_>) {
    let mut tree = serde_json::Value::Object(std::mem::take(members));
    crate::redact::walk_json(&mut tree, visit);
    if let serde_json::Value::Object(changed) = tree {
        *members = changed;
    }
}

fn tasks(tasks: &mut [tool::Task], visit: Visit<'_>) {
    for task in tasks {
        visit(&mut task.title);
        visit(&mut task.notes);
    }
}

fn observation(observation: &mut Observation, visit: Visit<'_>) {
    match observation {
        Observation::Terminal(it) => {
            contents(&mut it.content, visit);
            let about = &mut it.metadata;
            let texts = [
                &mut it.command,
                &mut it.full_output_save_dir,
                &mut about.username,
                &mut about.hostname,
                &mut about.working_dir,
                &mut about.py_interpreter_path,
            ];
            texts.into_iter().flatten().for_each(&mut *visit);
            visit(&mut about.prefix);
            visit(&mut about.suffix);
        }
        Observation::FileEditor(it) => {
            contents(&mut it.content, visit);
            let texts = [&mut it.path, &mut it.old_content, &mut it.new_content];
            texts.into_iter().flatten().for_each(visit);
        }
        Observation::TaskTracker(it) => {
            contents(&mut it.content, visit);
            tasks(&mut it.task_list, visit);
        }
        Observation::Finish(it) => contents(&mut it.content, visit),
        Observation::Think(it) => contents(&mut it.content, visit),
        Observation::Mcp(it) => {
            contents(&mut it.content, visit);
            name(&mut it.tool_name, visit);
        }
    }
}
