//! Tries a model at its provider before it is saved: one short question, once, within
//! [`LLM_TRIAL_SECONDS_MAX`].
//!
//! What a provider says about a failure is shown to the person, and providers like to repeat what they were
//! sent. So every secret of the model is taken out of it first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::json::{Json, Object, Text};
use crate::limits::{LLM_TRIAL_SECONDS_MAX, LLM_TRIALS_MAX};
use crate::llm::{Call, Client, Config, Failure, FailureKind, Llm as _, Message, Part};
use crate::net::Network;
use crate::settings::SettingsError;
use crate::settings::field::Field;
use crate::settings::llm::{AuthType, Llm};
use crate::settings::secret::{Expose, View};

/// Tokens of the answer. Few, but as many as every provider takes for a limit.
const ANSWER_TOKENS: u64 = 16;
/// A secret of fewer bytes cannot be cut out of a text without spoiling it: the text is withheld instead.
const CUT_BYTES_MIN: usize = 6;
/// What stands where a secret was.
const HIDDEN: &str = "<secret-hidden>";
const WITHHELD: &str = "the provider's message repeats a secret of this profile and is withheld";

/// Tries models, a few at a time.
pub struct Trials {
    network: Arc<Network>,
    turns: Semaphore,
}

impl Trials {
    /// Over this network.
    #[must_use]
    pub fn over(network: Arc<Network>) -> Self {
        Self {
            network,
            turns: Semaphore::new(LLM_TRIALS_MAX),
        }
    }

    /// The answer of `POST /api/profiles/{name}/validate`: `{"valid", "error": null or {"type", "message"}}`.
    /// A model that is overloaded or slow for now is no wrong one.
    ///
    /// # Errors
    /// [`SettingsError::Busy`] when [`LLM_TRIALS_MAX`] models are being tried.
    pub async fn run(&self, llm: &Llm) -> Result<Json, SettingsError> {
        let _turn = self.turns.try_acquire().map_err(|_| SettingsError::Busy)?;
        if llm.auth_type == AuthType::Subscription {
            let message = "This server has no logins of subscriptions; use an API key";
            return Ok(invalid("ValueError", message));
        }
        let Some(config) = config(llm) else {
            return Ok(invalid("LLMBadRequestError", "The model cannot be asked"));
        };
        Ok(match config {
            Err(error) => invalid("LLMBadRequestError", &error.to_string()),
            Ok(config) => match self.ask(config, &Secrets::of(llm)).await {
                None => answer(Json::Null),
                Some(failure) => invalid(failure.code(), failure.detail()),
            },
        })
    }

    /// What speaks against the model.
    async fn ask(&self, config: Config, secrets: &Secrets) -> Option<Failure> {
        let client = Client::new(config, self.network.clone());
        let messages = [
            Message::System(vec![Part::text("Answer with one word.")]),
            Message::User(vec![Part::text("ping")]),
        ];
        let call = Call {
            messages: &messages,
            tools: &[],
            session: "profile-validation",
            stream: false,
            redact: &|text| secrets.cut_out(text),
            watch: &|_| {},
        };
        let failure = client.ask(call).await.err()?;
        let passing = [FailureKind::RateLimit, FailureKind::Timeout];
        (!passing.contains(&failure.kind())).then_some(failure)
    }
}

/// The model, to be asked once and shortly. `None` in no case that a model's own form allows.
fn config(llm: &Llm) -> Option<Result<Config, crate::llm::ConfigError>> {
    let shown = llm.show(&View::new(Expose::Plain));
    let config = Config::read(shown.as_object()?);
    Some(config.map(|config| {
        Config {
            num_retries: 1,
            timeout: config
                .timeout
                .min(Duration::from_secs(LLM_TRIAL_SECONDS_MAX)),
            max_output_tokens: Some(ANSWER_TOKENS),
            stream: false,
            ..config
        }
    }))
}

fn invalid(kind: &str, message: &str) -> Json {
    let mut error = Object::with_capacity(2);
    error.insert("type", Json::text(kind));
    error.insert("message", Json::text(message));
    answer(error.into())
}

fn answer(error: Json) -> Json {
    let mut answer = Object::with_capacity(2);
    answer.insert("valid", error.is_null());
    answer.insert("error", error);
    answer.into()
}

/// The secrets of a model, the longest first, in the forms in which they can come back.
struct Secrets(Vec<Text>);

impl Secrets {
    fn of(llm: &Llm) -> Self {
        let mut secrets = Vec::new();
        llm.show(&View::visiting(&mut |secret| learn(secret, &mut secrets)));
        // Not marked as secrets, but often enough they are. Short ones are words such as `true`.
        let mut learn_long = |text: &str| {
            if text.trim().len() >= CUT_BYTES_MIN {
                learn(text, &mut secrets);
            }
        };
        if let Some(headers) = &llm.extra_headers {
            leaves(&headers.show(&View::new(Expose::Plain)), &mut learn_long);
        }
        leaves(
            &llm.litellm_extra_body.show(&View::new(Expose::Plain)),
            &mut learn_long,
        );
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(secrets)
    }

    fn cut_out(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.0 {
            if !clean.contains(secret.expose()) {
                continue;
            }
            if secret.expose().len() < CUT_BYTES_MIN {
                return WITHHELD.to_owned();
            }
            clean = clean.replace(secret.expose(), HIDDEN);
        }
        clean
    }
}

/// A secret as it is sent, without blanks around it, and as JSON writes it.
fn learn(secret: &str, secrets: &mut Vec<Text>) {
    let secret = secret.trim();
    if secret.is_empty() {
        return;
    }
    let written = Json::text(secret).to_bytes();
    if let Ok(written) = std::str::from_utf8(written.expose())
        && let Some(written) = written
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        && written != secret
    {
        secrets.push(Text::copy_of(written));
    }
    secrets.push(Text::copy_of(secret));
}

/// Lends every text in `tree` to `visit`; the depth of a body is bounded where it is parsed.
fn leaves(tree: &Json, visit: &mut impl FnMut(&str)) {
    match tree {
        Json::Text(text) => visit(text.expose()),
        Json::List(items) => items.iter().for_each(|item| leaves(item, visit)),
        Json::Object(members) => members.iter().for_each(|(_, item)| leaves(item, visit)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::fernet::Keys;
    use crate::settings::Site;
    use crate::settings::field::{Reading, Source};

    /// A provider that answers once: status and body. Gives its address, and what it was sent.
    fn provider(status: u16, body: String) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
            while !seen.ends_with(b"}") {
                let count = stream.read(&mut piece).unwrap();
                seen.extend_from_slice(&piece[..count]);
            }
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
            String::from_utf8(seen).unwrap()
        });
        (url, seen)
    }

    fn llm(members: &str) -> Llm {
        let keys = Keys::none();
        let site = Site {
            keys: &keys,
            now: "2026-01-01T00:00:00.000000Z",
            log_completions_folder: "l",
        };
        let json = Json::parse(members.as_bytes()).unwrap();
        let mut run = Reading::new(&site, Source::ProfileRequest, "body");
        Llm::read(&json, None, &mut run).unwrap()
    }

    fn try_out(llm: &Llm) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime
            .block_on(Trials::over(Network::system()).run(llm))
            .unwrap();
        String::from_utf8(answer.to_bytes().expose().to_vec()).unwrap()
    }

    fn with_url(url: &str, key: &str) -> Llm {
        llm(&format!(
            r#"{{"model":"openai/gpt-4o","base_url":"{url}","api_key":"{key}","stream":true,
                "max_output_tokens":9999,"extra_headers":{{"x-team":"team-credential"}}}}"#
        ))
    }

    #[test]
    fn a_model_that_answers_is_valid_and_is_asked_shortly() {
        let answered = r#"{"id":"c","choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":""}}]}"#;
        let (url, seen) = provider(200, answered.to_owned());
        assert_eq!(
            try_out(&with_url(&url, "sk-1234567890")),
            r#"{"valid":true,"error":null}"#
        );
        let seen = seen.join().unwrap();
        assert!(seen.contains("sk-1234567890"), "the key is sent");
        assert!(
            !seen.contains("\"stream\":true") && seen.contains(":16"),
            "{seen}"
        );
    }

    #[test]
    fn what_speaks_against_a_model_is_told_without_its_secrets() {
        let said =
            r#"{"error":{"message":"no: sk-1234567890, Bearer sk-1234567890, team-credential"}}"#;
        for status in [400, 403, 404, 500, 503] {
            let (url, seen) = provider(status, said.to_owned());
            let told = try_out(&with_url(&url, "  sk-1234567890\\n"));
            assert!(
                told.starts_with(r#"{"valid":false,"error":{"type":"#),
                "{told}"
            );
            assert!(
                !told.contains("1234567890") && !told.contains("team-cred"),
                "{told}"
            );
            seen.join().unwrap();
        }
        let (url, seen) = provider(400, r#"{"error":{"message":"bad key k9!"}}"#.to_owned());
        let told = try_out(&with_url(&url, "k9!"));
        assert!(!told.contains("k9!") && told.contains("withheld"), "{told}");
        seen.join().unwrap();
    }

    #[test]
    fn a_key_that_json_writes_otherwise_is_found_too() {
        let secrets = Secrets::of(&llm(r#"{"model":"m","api_key":"quote\"and\\slash"}"#));
        for said in [r#"x quote"and\slash y"#, r#"{"k":"quote\"and\\slash"}"#] {
            assert!(!secrets.cut_out(said).contains("and"), "{said}");
        }
    }

    #[test]
    fn being_busy_for_now_is_no_fault_of_the_model_and_a_used_up_quota_is() {
        let (url, seen) = provider(429, r#"{"error":{"message":"slow down"}}"#.to_owned());
        assert_eq!(
            try_out(&with_url(&url, "sk-1234567890")),
            r#"{"valid":true,"error":null}"#
        );
        seen.join().unwrap();
        let used_up = r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#;
        let (url, seen) = provider(429, used_up.to_owned());
        assert!(try_out(&with_url(&url, "sk-1234567890")).contains("LLMRateLimitError"));
        seen.join().unwrap();
    }

    #[test]
    fn what_leads_nowhere_is_invalid() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        drop(listener);
        assert!(try_out(&with_url(&url, "sk-1234567890")).contains("LLMServiceUnavailableError"));
        let told = try_out(&llm(r#"{"model":"gpt-5","auth_type":"subscription"}"#));
        assert!(told.contains("ValueError"), "{told}");
        assert!(try_out(&llm(r#"{"model":"nonsense"}"#)).contains("LLMBadRequestError"));
    }
}
