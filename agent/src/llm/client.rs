//! A model behind a provider's server: asks in its protocol, again where that may help.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method};
use tokio::time::{sleep, timeout};

use super::config::Config;
use super::failure::{Failure, FailureKind, message_of};
use super::message::Answered;
use super::names::{Protocol, Route};
use super::plan::Plan;
use super::prices::cost_by;
use super::read::{Gather, Unusable};
use super::sse::{Events, SseError};
use super::usage::{Spent, Usage};
use super::{Answer, Call, Llm, Progress, Reply, anthropic, chat, responses, retry, textual};
use crate::limits::{LLM_ERROR_BYTES_MAX, LLM_REPLY_BYTES_MAX, LLM_STREAM_SECONDS_MAX};
use crate::net::{self, Address, Arrived, Fault, Network, Reach, SecretHeaders};

/// Shorter keys are placeholders for servers that want none; taking them out would mangle every text.
const KEY_BYTES_HIDDEN_MIN: usize = 6;
/// What stands in a provider's message where it repeats the key.
const HIDDEN: &str = "<secret-hidden>";

/// A model behind a provider's server.
pub struct Client {
    config: Config,
    network: Arc<Network>,
    /// What the settings lead to; if nowhere, then the failure that every question gets.
    target: Result<Target, Failure>,
}

struct Target {
    plan: Plan,
    address: Address,
}

/// A failed attempt, and how long the provider wants it to be before the next.
struct Failed {
    failure: Failure,
    after: Option<Duration>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            after: None,
        }
    }
}

impl Client {
    /// A model by its settings. Settings that lead nowhere show when it is asked, as clients expect.
    #[must_use]
    pub fn new(config: Config, network: Arc<Network>) -> Self {
        let target = Target::of(&config);
        Self {
            config,
            network,
            target,
        }
    }

    /// The body of the request that a question makes: all of it that leaves the machine.
    ///
    /// # Errors
    /// The failure that the question would get without being sent.
    pub fn body(&self, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        let plan = &self.target.as_ref().map_err(Clone::clone)?.plan;
        let write = match plan.route.protocol {
            Protocol::Chat => chat::write,
            Protocol::Responses => responses::write,
            Protocol::Messages => anthropic::write,
        };
        let extra = &self.config.litellm_extra_body;
        let stream = self.streams(call);
        if !in_text(plan, call) {
            return Ok(write(plan, extra, call, stream));
        }
        let messages = textual::told(call.messages, call.tools);
        let messages = messages.as_slice();
        Ok(write(plan, extra, &Call { messages, ..*call }, stream))
    }

    fn streams(&self, call: &Call<'_>) -> bool {
        call.stream && self.config.stream
    }

    async fn answer(&self, call: Call<'_>) -> Result<Reply, Failure> {
        let target = self.target.as_ref().map_err(Clone::clone)?;
        let body = Bytes::from(self.body(&call)?);
        let mut attempt = 1;
        let mut reply = loop {
            let failed = match self.attempt(target, &call, body.clone()).await {
                Ok(reply) => break reply,
                Err(failed) => failed,
            };
            if attempt >= self.config.attempts() || !failed.failure.worth_another_attempt() {
                return Err(failed.failure);
            }
            let wait = retry::wait(&self.config, attempt, failed.after);
            (call.watch)(Progress::Again {
                attempt,
                failure: &failed.failure,
                wait,
            });
            sleep(wait).await;
            attempt += 1;
        };
        if in_text(&target.plan, &call) {
            let id = &reply.spent.response_id;
            (reply.said, reply.stop) = textual::understood(id, reply.said, reply.stop, call.tools);
        }
        Ok(reply)
    }

    async fn attempt(
        &self,
        target: &Target,
        call: &Call<'_>,
        body: Bytes,
    ) -> Result<Reply, Failed> {
        let route = &target.plan.route;
        let stream = self.streams(call);
        let begun = Instant::now();
        let request = net::Call {
            method: Method::POST,
            headers: target.headers(call.session, stream, &self.config),
            secret: self.secret_headers(route),
            body,
        };
        let late = |what: &str, patience: Duration| {
            Failure::late(route.label, what, patience.as_secs_f64())
        };
        let fault = |fault: Fault| Failure::unreachable(route.label, &reason(fault));
        let redact = |text: &str| (call.redact)(&self.without_key(text));

        // Whole answers have one deadline; streams only must not fall silent.
        let patience = self.config.timeout;
        let deadline = tokio::time::Instant::now() + patience;
        // The settings say where models are: a server of one's own, on this machine too.
        let everywhere = Reach::default();
        let sent = self.network.send(&target.address, &everywhere, request);
        let mut arrived = timeout(patience, sent)
            .await
            .map_err(|_| late("The request", patience))?
            .map_err(fault)?;
        if !(200..300).contains(&arrived.status) {
            let after = retry::asked_for(&arrived.headers);
            // A status is worth more than its reason: what cannot be read is left out.
            let read = tokio::time::timeout_at(deadline, arrived.rest(LLM_ERROR_BYTES_MAX)).await;
            let (body, _) = read.ok().and_then(Result::ok).unwrap_or_default();
            let message = redact(&message_of(&body));
            return Err(Failed {
                failure: Failure::answered(route.label, arrived.status, &message),
                after,
            });
        }
        let answered = if stream && is_stream(&arrived.headers) {
            self.gathered(route, call, &mut arrived).await?
        } else {
            let read = tokio::time::timeout_at(deadline, arrived.rest(LLM_REPLY_BYTES_MAX)).await;
            match read
                .map_err(|_| late("The answer", patience))?
                .map_err(fault)?
            {
                (_, true) => Err(Unusable::TooBig),
                (json, false) => match route.protocol {
                    Protocol::Chat => chat::read(&json),
                    Protocol::Responses => responses::read(&json),
                    Protocol::Messages => anthropic::read(&json),
                },
            }
        };
        let answered = answered.map_err(|why| why.failure(route.label, &redact))?;
        let cost = self.cost(route, &arrived.headers, &answered.usage);
        Ok(Reply {
            said: answered.said,
            stop: answered.stop,
            spent: Spent {
                response_id: answered.id,
                usage: answered.usage,
                cost,
                latency: begun.elapsed(),
                at: SystemTime::now(),
            },
        })
    }

    /// A streamed answer; the outer failure is the connection's.
    async fn gathered(
        &self,
        route: &Route,
        call: &Call<'_>,
        arrived: &mut Arrived,
    ) -> Result<Result<Answered, Unusable>, Failure> {
        let mut gather: Box<dyn Gather> = match route.protocol {
            Protocol::Chat => Box::<chat::ChatGather>::default(),
            Protocol::Responses => Box::<responses::ResponsesGather>::default(),
            Protocol::Messages => Box::<anthropic::MessagesGather>::default(),
        };
        let idle = self
            .config
            .stream_idle_timeout
            .unwrap_or(self.config.timeout);
        let whole = Duration::from_secs(LLM_STREAM_SECONDS_MAX);
        let end = tokio::time::Instant::now() + whole;
        let late = |what: &str, patience: Duration| {
            Failure::late(route.label, what, patience.as_secs_f64())
        };
        let mut events = Events::default();
        let mut taken = 0;
        loop {
            let piece = timeout(idle, arrived.piece())
                .await
                .map_err(|_| late("The stream's silence", idle))?;
            let Some(piece) =
                piece.map_err(|fault| Failure::unreachable(route.label, &reason(fault)))?
            else {
                return Ok(gather.finish());
            };
            taken += piece.len();
            if taken > LLM_REPLY_BYTES_MAX {
                return Ok(Err(Unusable::TooBig));
            }
            match events.push(&piece, |data| gather.event(data, call.watch)) {
                Ok(()) => {}
                Err(SseError::TooBig) => return Ok(Err(Unusable::TooBig)),
                Err(SseError::Taker(why)) => return Ok(Err(why)),
            }
            if tokio::time::Instant::now() > end {
                return Err(late("The stream", whole));
            }
        }
    }

    fn secret_headers(&self, route: &Route) -> SecretHeaders {
        let key = self
            .config
            .api_key
            .as_ref()
            .map(|key| match route.protocol {
                Protocol::Messages => ("x-api-key", "", key),
                Protocol::Chat | Protocol::Responses => ("authorization", "Bearer ", key),
            });
        let extra = &self.config.extra_headers;
        let key = key.filter(|(name, ..)| !extra.iter().any(|(own, _)| own == name));
        let extra = extra.iter().map(|(name, value)| (name.as_str(), "", value));
        SecretHeaders::of(key.into_iter().chain(extra))
    }

    /// The text without the key, which some providers repeat in their errors.
    fn without_key(&self, text: &str) -> String {
        let key = self
            .config
            .api_key
            .as_ref()
            .filter(|key| key.len() >= KEY_BYTES_HIDDEN_MIN);
        match key.and_then(|key| std::str::from_utf8(key.expose()).ok()) {
            Some(key) => text.replace(key, HIDDEN),
            None => text.to_owned(),
        }
    }

    fn cost(&self, route: &Route, headers: &HeaderMap, usage: &Usage) -> f64 {
        let told = headers
            .get("x-litellm-response-cost")
            .and_then(|cost| cost.to_str().ok()?.trim().parse::<f64>().ok())
            .filter(|cost| cost.is_finite() && *cost >= 0.0);
        match (
            told,
            self.config.input_cost_per_token,
            self.config.output_cost_per_token,
        ) {
            (_, Some(input), Some(output)) => cost_by(input, output, usage),
            (Some(told), ..) => told,
            _ => route.known.map_or(0.0, |model| model.cost(usage)),
        }
    }
}

impl Llm for Client {
    fn ask<'a>(&'a self, call: Call<'a>) -> Answer<'a> {
        Box::pin(self.answer(call))
    }

    fn model(&self) -> &str {
        &self.config.model
    }

    fn usage_id(&self) -> &str {
        &self.config.usage_id
    }

    fn context_window(&self) -> u64 {
        self.target.as_ref().map_or(0, |target| target.plan.window)
    }
}

/// Why no answer arrived, and what to do.
fn reason(fault: Fault) -> String {
    let text = fault.to_string();
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let advice = match fault {
        Fault::Connect(io::ErrorKind::ConnectionRefused) | Fault::Untrusted => {
            " Check llm.base_url."
        }
        Fault::Connect(_) | Fault::Forbidden(_) => " Check llm.base_url and the network.",
        Fault::NoAuthorities | Fault::Broken => "",
    };
    format!("{first}{}.{advice}", letters.as_str())
}

impl Target {
    fn of(config: &Config) -> Result<Self, Failure> {
        let plan = Plan::of(config)?;
        let address = Address::parse(&plan.route.url)
            .map_err(|why| Failure::new(FailureKind::BadRequest, format!("llm.base_url {why}.")))?;
        Ok(Self { plan, address })
    }

    /// The headers that hold no credentials; the settings' own replace those of the same name.
    fn headers(&self, session: &str, stream: bool, config: &Config) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.address.name_in(&mut headers);
        let accept = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let agent = concat!("strongroom/", env!("CARGO_PKG_VERSION"));
        let mut put = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        put(CONTENT_TYPE, "application/json");
        put(ACCEPT, accept);
        put(USER_AGENT, agent);
        put(
            HeaderName::from_static("http-referer"),
            "https://docs.all-hands.dev/",
        );
        put(HeaderName::from_static("x-title"), "OpenHands");
        if self.plan.route.protocol == Protocol::Messages {
            put(HeaderName::from_static("anthropic-version"), "2023-06-01");
        }
        if self.plan.interleaved {
            put(
                HeaderName::from_static("anthropic-beta"),
                "interleaved-thinking-2025-05-14",
            );
        }
        if let Ok(session) = HeaderValue::from_str(session) {
            headers.insert("x-litellm-session-id", session);
        }
        for (name, _) in &config.extra_headers {
            headers.remove(name);
        }
        headers
    }
}

/// Whether the tools are described in the prompt, and called in the text.
fn in_text(plan: &Plan, call: &Call<'_>) -> bool {
    !plan.native_tools && !call.tools.is_empty()
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests;
