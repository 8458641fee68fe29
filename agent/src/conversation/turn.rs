//! The turns of a run: ask the model, take down what it says, run what it wants, until it is done.
//!
//! An answer and what follows from it at once is one commit, so is each result: two for a turn with one call. What is
//! not on disk has not happened: no tool runs before its call is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::call::{Called, INTERRUPTED, failed, misuse};
use super::confirm::model_judges;
use super::event::{Action as ActionEvent, Body, ConversationError, LlmMessage, Message, Role};
use super::incoming::nudge;
use super::machine::Machine;
use super::pending::{self, Planned};
use super::prompt::NUDGE;
use super::run::{Inside, Run, blocking};
use super::stream::Live;
use super::title::clip;
use super::{Draft, Error, Source, Status};
use crate::failpoint;
use crate::limits::SUMMARY_CHARS_MAX;
use crate::llm::{Call, Failure, FailureKind, Progress, Reply, Said, Spent, Thought, ToolCall};
use crate::tool::{self, Content, Observation, Risk};

/// How a run ends that is not done.
pub(super) enum End {
    /// As a person wished, between two steps.
    Paused,
    /// As a person wished, at once.
    Interrupted,
    /// It repeats itself.
    Stuck,
    /// It can't go on.
    Failed(ConversationError),
}

enum Step {
    /// The next one follows.
    On,
    /// The run is over, and the journal says so already.
    Over,
    End(End),
}

/// A call as the model made it: its event, and what is to be done, or why that can't be.
struct Wanted {
    event: ActionEvent,
    action: Result<tool::Action, String>,
}

/// What is left to do once an answer is taken down.
enum After {
    Run(Vec<Planned>),
    On,
    Over,
}

impl Inside {
    /// Runs until the run is over.
    pub(super) async fn drive(
        self: Arc<Self>,
        run: &Arc<Run>,
        planned: Vec<Planned>,
    ) -> Result<(), Error> {
        self.ready_servers(run, true).await;
        let mut machine = self.followed(None).await?;
        let mut answered = machine.seen;
        let mut step = if planned.is_empty() {
            Step::On
        } else {
            self.calls(run, planned, machine.past.as_ref(), answered)
                .await?
        };
        while matches!(step, Step::On) {
            self.ready_servers(run, false).await;
            machine = self.followed(Some(machine)).await?;
            answered = machine.seen;
            step = self.step(run, &mut machine, answered).await?;
        }
        if let Step::End(end) = step {
            let (inside, own) = (Arc::clone(&self), Arc::clone(run));
            blocking(move || inside.commit(|draft| inside.end(draft, &own, end))).await??;
        }
        self.keep(machine);
        self.show_all();
        Ok(())
    }

    async fn step(
        self: &Arc<Self>,
        run: &Arc<Run>,
        machine: &mut Machine,
        answered: u64,
    ) -> Result<Step, Error> {
        if run.is_interrupted() {
            return Ok(Step::End(End::Interrupted));
        }
        if run.pause.load(Ordering::SeqCst) {
            return Ok(Step::End(End::Paused));
        }
        let state = self.parts.journal.state();
        if let Some(end) = self.exhausted(&state, machine) {
            return Ok(Step::End(end));
        }
        if self.warns(machine).await? {
            return Ok(Step::On);
        }
        if let Some(condenser) = &self.parts.outfit.condenser {
            let used = state.stats.of(self.parts.outfit.llm.usage_id());
            let tokens = used.map_or(0, |metrics| metrics.newest_tokens());
            if machine.condense || condenser.wants(machine.history.view().len(), tokens) {
                let condensed = tokio::select! {
                    biased;
                    () = run.interrupted() => return Ok(Step::End(End::Interrupted)),
                    condensed = self.condense(machine, false) => condensed,
                };
                // A wish that failed is no reason to stop: the model says when it is too long.
                if let Err(error) = condensed {
                    (self.parts.warn)(&format!(
                        "conversation {}: it could not be made shorter: {error}",
                        self.parts.journal.id()
                    ));
                }
                machine.condense = false;
            }
        }
        let asked = tokio::select! {
            biased;
            () = run.interrupted() => return Ok(Step::End(End::Interrupted)),
            asked = self.ask_agent(machine) => asked,
        };
        match asked {
            Ok(reply) => self.take_down(run, reply, machine, answered).await,
            Err(failure) if self.condensable(&failure) => {
                let condensed = tokio::select! {
                    biased;
                    () = run.interrupted() => return Ok(Step::End(End::Interrupted)),
                    condensed = self.condense(machine, true) => condensed,
                };
                match condensed {
                    Ok(true) => Ok(Step::On),
                    Ok(false) => Ok(Step::End(End::Failed(told(&failure)))),
                    Err(Error::Model(failure)) => Ok(Step::End(End::Failed(told(&failure)))),
                    Err(error) => Err(error),
                }
            }
            Err(failure) => Ok(Step::End(End::Failed(told(&failure)))),
        }
    }

    fn condensable(&self, failure: &Failure) -> bool {
        failure.kind() == FailureKind::ContextWindow && self.parts.outfit.condenser.is_some()
    }

    async fn ask_agent(&self, machine: &mut Machine) -> Result<Reply, Failure> {
        let parts = &self.parts;
        let redactor = parts.secrets.redactor();
        let live = Live::new(&parts.journal, redactor);
        let session = parts.journal.id().to_string();
        let redact = |text: &str| redactor.text(text).into_inner();
        let watch = |progress: Progress<'_>| live.hear(progress);
        let tools = self.offered();
        let reply = parts.outfit.llm.ask(Call {
            messages: machine.history.messages(),
            tools: &tools,
            session: &session,
            stream: parts.outfit.stream,
            redact: &redact,
            watch: &watch,
        });
        let reply = reply.await?;
        live.finish();
        Ok(reply)
    }

    /// Stores an answer, and does what it wants.
    async fn take_down(
        self: &Arc<Self>,
        run: &Arc<Run>,
        reply: Reply,
        machine: &Machine,
        answered: u64,
    ) -> Result<Step, Error> {
        let (inside, own) = (Arc::clone(self), Arc::clone(run));
        let after = blocking(move || {
            failpoint::reached(format_args!("answer of {}", inside.parts.journal.id()));
            let Reply {
                mut said, spent, ..
            } = reply;
            inside.unsign(&mut said);
            if said.calls.is_empty() {
                return inside.spoken(&own, said, &spent, answered);
            }
            let wanted = inside.wanted(said, &spent.response_id);
            let taken = inside.commit(|draft| inside.take(draft, &own, wanted, &spent))?;
            taken.value
        });
        match after.await?? {
            After::On => Ok(Step::On),
            After::Over => Ok(Step::Over),
            After::Run(planned) => {
                self.calls(run, planned, machine.past.as_ref(), answered)
                    .await
            }
        }
    }

    /// An answer without calls: the end, or nothing at all.
    fn spoken(&self, run: &Run, said: Said, spent: &Spent, answered: u64) -> Result<After, Error> {
        let empty = said.text.trim().is_empty();
        let message = Message {
            llm_message: LlmMessage {
                role: Role::Assistant,
                content: vec![Content::text(said.text)],
                reasoning_content: said.reasoning_text,
                thinking_blocks: said.thoughts.into_iter().map(Into::into).collect(),
                responses_reasoning_item: said.reasoning.map(Into::into),
                ..LlmMessage::default()
            },
            llm_response_id: Some(spent.response_id.clone()),
            ..Message::default()
        };
        let done = self.commit(|draft| {
            self.spent(draft, spent);
            draft.push(Source::Agent, Body::Message(message));
            if empty {
                nudge(draft, NUDGE.to_owned());
                return After::On;
            }
            draft.status(Status::Finished);
            if self.over(draft, run, answered) {
                After::Over
            } else {
                After::On
            }
        })?;
        Ok(done.value)
    }

    fn spent(&self, draft: &mut Draft<'_>, spent: &Spent) {
        let llm = &self.parts.outfit.llm;
        draft.state.iterations += 1;
        draft.spend(llm.usage_id(), llm.model(), spent, llm.context_window());
        draft.stats_event();
    }

    /// Thoughts that their provider signed go back unchanged or not at all: those with a secret in them are dropped.
    fn unsign(&self, said: &mut Said) {
        let redactor = self.parts.secrets.redactor();
        let touched = |text: &String| *redactor.text(text) != *text;
        let secret = said.thoughts.iter().any(|thought| match thought {
            Thought::Open { text, .. } => touched(text),
            Thought::Closed { .. } => false,
        });
        if secret {
            said.thoughts.clear();
        }
        let item = said.reasoning.as_ref();
        if item.is_some_and(|item| item.summary.iter().chain(&item.content).any(touched)) {
            said.reasoning = None;
        }
    }

    /// The calls of an answer as events. What the model said stands with the first.
    fn wanted(&self, said: Said, answer: &str) -> Vec<Wanted> {
        let mut thought = Vec::new();
        if !said.text.is_empty() {
            thought.push(Content::text(said.text));
        }
        let mut blocks = said.thoughts.into_iter().map(Into::into).collect();
        let (mut reasoning, mut item) = (said.reasoning_text, said.reasoning.map(Into::into));
        let calls = said.calls.into_iter().map(|mut call| {
            let (action, risk, summary) = self.read(&mut call);
            let event = ActionEvent {
                thought: std::mem::take(&mut thought),
                reasoning_content: reasoning.take(),
                thinking_blocks: std::mem::take(&mut blocks),
                responses_reasoning_item: item.take(),
                action: action.as_ref().ok().cloned(),
                tool_name: call.name.clone(),
                tool_call_id: call.id.clone(),
                tool_call: call.into(),
                llm_response_id: answer.to_owned(),
                security_risk: risk,
                critic_result: (),
                summary: Some(summary),
            };
            Wanted { event, action }
        });
        calls.collect()
    }

    fn read(&self, call: &mut ToolCall) -> (Result<tool::Action, String>, Risk, String) {
        if call.arguments.trim().is_empty() {
            "{}".clone_into(&mut call.arguments);
        }
        let (outfit, redactor) = (&self.parts.outfit, self.parts.secrets.redactor());
        let read = match outfit.tool(&call.name) {
            Some(row) => Some(row.spec.parse(&call.arguments)),
            None => outfit.servers.parse(&call.name, &call.arguments, redactor),
        };
        let read = match read {
            Some(read) => read.map_err(|why| why.to_string()),
            None => Err(self.not_found(&call.name)),
        };
        if let Err(why) = &read
            && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_err()
        {
            // Providers refuse a history with arguments that are no JSON.
            let instead = serde_json::json!({"_openhands_malformed_tool_call": true, "error": why});
            call.arguments = instead.to_string();
        }
        // Masked before it is cut: a part of a value would not be found.
        let whole = redactor.text(&format!("{}: {}", call.name, call.arguments));
        let summary = || clip(&whole, SUMMARY_CHARS_MAX).to_owned();
        match read {
            Ok(request) => {
                let summary = request.summary.unwrap_or_else(summary);
                (Ok(request.action), request.risk, summary)
            }
            Err(why) => (Err(why), Risk::Unknown, summary()),
        }
    }

    fn not_found(&self, name: &str) -> String {
        let outfit = &self.parts.outfit;
        let own = outfit.names().into_iter().map(str::to_owned);
        let all = own.chain(outfit.servers.names());
        let names: Vec<_> = all.map(|name| format!("'{name}'")).collect();
        format!("Tool '{name}' not found. Available: [{}]", names.join(", "))
    }

    /// Takes calls down, inside a commit: all of them, then what became of those that can't be run, as far as none
    /// that can comes before.
    fn take(
        &self,
        draft: &mut Draft<'_>,
        run: &Run,
        wanted: Vec<Wanted>,
        spent: &Spent,
    ) -> Result<After, Error> {
        self.spent(draft, spent);
        let judges = model_judges(Some(draft.state.security_analyzer.as_str()));
        let policy = Self::policy(&draft.state);
        let (mut planned, mut refused) = (Vec::new(), Vec::new());
        let mut holds = false;
        for Wanted { mut event, action } in wanted {
            if !judges {
                event.security_risk = Risk::Unknown;
            }
            let (call, tool, risk) = (
                event.tool_call_id.clone(),
                event.tool_name.clone(),
                event.security_risk,
            );
            let event = draft.push(Source::Agent, Body::Action(event));
            let misused = action
                .as_ref()
                .ok()
                .and_then(|action| misuse(action, &self.parts.secrets.list()));
            match (action, misused) {
                (_, Some(why)) | (Err(why), None) => refused.push(failed(&call, &tool, why)),
                (Ok(action), None) => {
                    let harmless =
                        matches!(action, tool::Action::Finish(_) | tool::Action::Think(_));
                    holds |= !harmless && policy.holds(risk);
                    planned.push(Planned {
                        event,
                        call,
                        tool,
                        action,
                    });
                }
            }
        }
        for refused in refused {
            draft.push(Source::Agent, refused);
        }
        if planned.is_empty() {
            return Ok(After::On);
        }
        if !holds {
            return Ok(After::Run(planned));
        }
        let waiting: Vec<&Planned> = planned.iter().collect();
        draft.set_pending(Some(pending::seal(&waiting)?));
        draft.state.waiting = planned.iter().map(|planned| planned.event).collect();
        draft.status(Status::WaitingForConfirmation);
        // Whatever was said meanwhile waits with the actions.
        self.over(draft, run, u64::MAX);
        Ok(After::Over)
    }

    /// Runs calls one after the other.
    async fn calls(
        self: &Arc<Self>,
        run: &Arc<Run>,
        planned: Vec<Planned>,
        past: Option<&Observation>,
        answered: u64,
    ) -> Result<Step, Error> {
        let mut finished = false;
        let mut left = planned.into_iter();
        while let Some(planned) = left.next() {
            let called = if run.is_interrupted() {
                Called::Interrupted
            } else if let tool::Action::Mcp(action) = &planned.action {
                self.call_server(run, &planned, action).await
            } else {
                self.toolbox.call(&self.parts, run, &planned, past).await
            };
            let (inside, own) = (Arc::clone(self), Arc::clone(run));
            match called {
                Called::Interrupted => {
                    let ended: Vec<_> = std::iter::once(planned).chain(left).collect();
                    let commit = move || {
                        inside.commit(|draft| {
                            for planned in ended {
                                let text = INTERRUPTED.to_owned();
                                let body = failed(&planned.call, &planned.tool, text);
                                draft.push(Source::Agent, body);
                            }
                            inside.end(draft, &own, End::Interrupted);
                        })
                    };
                    blocking(commit).await??;
                    return Ok(Step::Over);
                }
                Called::Told(body) => {
                    finished |= matches!(&*body, Body::Observation(seen)
                        if matches!(&seen.observation, Observation::Finish(_)));
                    let last = left.len() == 0;
                    let commit = move || {
                        inside.commit(|draft| {
                            draft.push(source(&body), *body);
                            if !last || !finished {
                                return Step::On;
                            }
                            draft.status(Status::Finished);
                            if inside.over(draft, &own, answered) {
                                Step::Over
                            } else {
                                Step::On
                            }
                        })
                    };
                    let step = blocking(commit).await??.value;
                    if last {
                        return Ok(step);
                    }
                }
            }
        }
        Ok(Step::On)
    }
}

fn source(body: &Body) -> Source {
    match body {
        Body::AgentError(_) => Source::Agent,
        _ => Source::Environment,
    }
}

fn told(failure: &Failure) -> ConversationError {
    ConversationError {
        code: failure.code().to_owned(),
        detail: failure.detail().to_owned(),
        classification: Some(failure.classification().into()),
    }
}
