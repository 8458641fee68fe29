//! A model that answers from a list: for tests, and for trying things out without a provider.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{
    Answer, Call, Failure, FailureKind, Llm, Message, Reply, Said, Spent, Stop, ToolCall, Usage,
};

/// Questions that are remembered; older ones are forgotten.
const ASKED_MAX: usize = 10_000;

/// Answers from a list, in order, and remembers what it was asked.
pub struct Scripted {
    usage_id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    forgets: bool,
    /// `None` never answers.
    answers: VecDeque<Option<Result<Reply, Failure>>>,
    asked: VecDeque<Asked>,
    count: u64,
}

/// What a scripted model was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The names of the tools.
    pub tools: Vec<String>,
    /// The conversation's id.
    pub session: String,
}

impl Scripted {
    /// One with nothing to say yet.
    #[must_use]
    pub fn new(usage_id: &str) -> Self {
        Self {
            usage_id: usage_id.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Next, it says this.
    pub fn says(&self, text: &str) -> &Self {
        self.answers(Said {
            text: text.to_owned(),
            ..Said::default()
        })
    }

    /// Next, it wants one tool run.
    pub fn calls(&self, name: &str, arguments: &str) -> &Self {
        let call = ToolCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            ..ToolCall::default()
        };
        self.answers(Said {
            calls: vec![call],
            ..Said::default()
        })
    }

    /// Next, it answers this; calls without an id get one. It takes 1000 tokens and gives 100, as the
    /// recordings' models do, and costs nothing.
    pub fn answers(&self, mut said: Said) -> &Self {
        let mut state = self.state();
        state.count += 1;
        let count = state.count;
        for (at, call) in said
            .calls
            .iter_mut()
            .enumerate()
            .filter(|(_, call)| call.id.is_empty())
        {
            call.id = format!("call_{count}_{at}");
        }
        let spent = Spent {
            response_id: format!("scripted-{count}"),
            usage: Usage {
                prompt: 1000,
                completion: 100,
                ..Usage::default()
            },
            cost: 0.0,
            latency: Duration::ZERO,
            at: SystemTime::UNIX_EPOCH,
        };
        let stop = if said.calls.is_empty() {
            Stop::End
        } else {
            Stop::Calls
        };
        state
            .answers
            .push_back(Some(Ok(Reply { said, stop, spent })));
        drop(state);
        self
    }

    /// Next, it fails.
    pub fn fails(&self, kind: FailureKind, detail: &str) -> &Self {
        self.state()
            .answers
            .push_back(Some(Err(Failure::new(kind, detail))));
        self
    }

    /// Next, it never answers: until the question is dropped.
    pub fn hangs(&self) -> &Self {
        self.state().answers.push_back(None);
        self
    }

    /// From here on it does not keep what it is asked: for measurements.
    pub fn forgets(&self) -> &Self {
        self.state().forgets = true;
        self
    }

    /// What it was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Llm for Scripted {
    fn ask<'a>(&'a self, call: Call<'a>) -> Answer<'a> {
        let answer = {
            let mut state = self.state();
            if state.asked.len() == ASKED_MAX {
                state.asked.pop_front();
            }
            if !state.forgets {
                state.asked.push_back(Asked {
                    messages: call.messages.to_vec(),
                    tools: call.tools.iter().map(|tool| tool.name.clone()).collect(),
                    session: call.session.to_owned(),
                });
            }
            let done =
                || Failure::new(FailureKind::NoResponse, "The script has no further answer.");
            state
                .answers
                .pop_front()
                .unwrap_or_else(|| Some(Err(done())))
        };
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn model(&self) -> &str {
        "scripted"
    }

    fn usage_id(&self) -> &str {
        &self.usage_id
    }

    fn context_window(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call<'static> {
        Call {
            messages: &[],
            tools: &[],
            session: "s",
            stream: false,
            redact: &str::to_owned,
            watch: &|_| {},
        }
    }

    #[tokio::test]
    async fn answers_in_order_and_remembers() {
        let model = Scripted::new("default");
        model
            .says("hi")
            .calls("terminal", "{}")
            .fails(FailureKind::Timeout, "late")
            .hangs();
        assert_eq!(model.ask(call()).await.unwrap().said.text, "hi");
        let reply = model.ask(call()).await.unwrap();
        assert!(reply.stop == Stop::Calls && !reply.said.calls[0].id.is_empty());
        assert_eq!(
            model.ask(call()).await.unwrap_err().kind(),
            FailureKind::Timeout
        );
        let hung = tokio::time::timeout(Duration::from_millis(1), model.ask(call())).await;
        assert!(hung.is_err());
        assert_eq!(
            model.ask(call()).await.unwrap_err().kind(),
            FailureKind::NoResponse
        );
        assert_eq!(model.asked().len(), 5);
        assert_eq!(model.asked()[0].session, "s");
    }
}
