//! Models: what is said to them, and how they answer.
//!
//! [`Llm`] is all that the rest of the crate knows. [`Client`] speaks to real providers over a thin client of
//! our own; [`Scripted`] answers from a list. What belongs to no wire ([`message`], [`usage`], [`failure`],
//! [`config`], prices, the bodies of requests and answers) is plain data and does no I/O.
//!
//! Dropping the future of an answer cancels it at once: the connection is part of the future and closes with
//! it, and nothing else runs. Knows no events, no conversation, no server.

mod anthropic;
mod body;
mod chat;
mod client;
pub mod config;
pub mod failure;
pub mod message;
mod names;
mod plan;
pub mod prices;
mod read;
mod responses;
mod retry;
mod scripted;
pub(crate) mod sse;
mod textual;
pub mod usage;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use client::Client;
pub use config::{Config, ConfigError};
pub use failure::{Failure, FailureKind};
pub use message::{Message, Part, Reasoning, Said, Stop, Thought, ToolCall, ToolSpec};
pub use scripted::{Asked, Scripted};
pub use usage::{Figures, Metrics, Spent, Usage};

/// An answer to come. Dropping it cancels the request at once.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;

/// A model that can be asked.
pub trait Llm: Send + Sync {
    /// Asks, with all attempts that the settings grant.
    fn ask<'a>(&'a self, call: Call<'a>) -> Answer<'a>;

    /// The model's name as in the settings, with its prefix: what statistics are kept under.
    fn model(&self) -> &str;

    /// Whose statistics its requests count in.
    fn usage_id(&self) -> &str;

    /// Tokens that fit into a request; 0 where unknown.
    fn context_window(&self) -> u64;
}

/// One question to a model.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The conversation so far, masked.
    pub messages: &'a [Message],
    /// The tools that the model may use.
    pub tools: &'a [ToolSpec],
    /// The conversation's id: proxies group by it, caches find their prompt by it.
    pub session: &'a str,
    /// Whether the answer may be streamed, if the settings ask for streams.
    pub stream: bool,
    /// Takes every secret out of a provider's error before it is kept anywhere.
    pub redact: &'a (dyn Fn(&str) -> String + Sync),
    /// Is told what happens meanwhile. Not redacted: its hearer does that.
    pub watch: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl<'a> Call<'a> {
    /// A question without tools, whose answer nobody watches coming.
    #[must_use]
    pub fn question(
        messages: &'a [Message],
        session: &'a str,
        redact: &'a (dyn Fn(&str) -> String + Sync),
    ) -> Self {
        Self {
            messages,
            tools: &[],
            session,
            stream: false,
            redact,
            watch: &|_| {},
        }
    }
}

/// What happens before an answer is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress<'a> {
    /// More of the visible text (streams only).
    Text(&'a str),
    /// More of the thoughts (streams only).
    Thought(&'a str),
    /// An attempt failed and another will follow: what was streamed so far is void.
    Again {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why.
        failure: &'a Failure,
        /// How long it waits before the next one.
        wait: Duration,
    },
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What it said. Not masked.
    pub said: Said,
    /// Why it stopped.
    pub stop: Stop,
    /// What it cost, for [`Metrics::add`]; the provider's id of the answer is in it.
    pub spent: Spent,
}
