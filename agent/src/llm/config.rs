//! The settings of one LLM, read once and trusted after. Pure data.
//!
//! Values out of range are refused when settings are stored; here they are bounded once more, because a
//! conversation may bring its own.

use std::fmt;
use std::time::Duration;

use strongroom_vault::Plaintext;

use crate::json::{Json, Object};
use crate::limits::{
    LLM_ATTEMPTS_MAX, LLM_EXTRA_HEADERS_MAX, LLM_HEADER_BYTES_MAX, LLM_TIMEOUT_SECONDS_DEFAULT,
    LLM_TIMEOUT_SECONDS_MAX, LLM_WAIT_SECONDS_MAX, LLM_WORD_BYTES_MAX,
};

/// Which of OpenAI's two ways of asking is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiMode {
    /// As the model's maker wants it.
    #[default]
    Auto,
    /// Chat completions.
    Chat,
    /// Responses.
    Responses,
}

/// The settings of one LLM. The names are those of the contract's `llm` object.
#[expect(missing_docs, reason = "the contract says what each one is")]
pub struct Config {
    pub model: String,
    pub api_key: Option<Plaintext>,
    pub base_url: Option<String>,
    pub usage_id: String,
    pub num_retries: u32,
    pub retry_min_wait: Duration,
    pub retry_max_wait: Duration,
    pub retry_multiplier: f64,
    pub timeout: Duration,
    pub stream_idle_timeout: Option<Duration>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<f64>,
    pub seed: Option<i64>,
    pub max_output_tokens: Option<u64>,
    pub max_input_tokens: Option<u64>,
    pub reasoning_effort: Option<String>,
    pub reasoning_summary: Option<String>,
    pub extended_thinking_budget: u64,
    pub enable_encrypted_reasoning: bool,
    pub stream: bool,
    pub native_tool_calling: bool,
    pub api_mode: ApiMode,
    pub caching_prompt: bool,
    pub prompt_cache_retention: Option<String>,
    pub disable_vision: bool,
    pub force_string_serializer: Option<bool>,
    pub input_cost_per_token: Option<f64>,
    pub output_cost_per_token: Option<f64>,
    /// Names and values; a value may be a credential.
    pub extra_headers: Vec<(String, Plaintext)>,
    /// Names and JSON values that go into every request body, over those that would be there.
    pub litellm_extra_body: Vec<(String, Plaintext)>,
}

/// A member of the settings that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigError {
    /// The member's name.
    pub member: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "llm.{} must be {}", self.member, self.expected)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The defaults, for a model of that name.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            api_key: None,
            base_url: None,
            usage_id: "default".to_owned(),
            num_retries: 5,
            retry_min_wait: Duration::from_secs(8),
            retry_max_wait: Duration::from_secs(64),
            retry_multiplier: 8.0,
            timeout: Duration::from_secs_f64(LLM_TIMEOUT_SECONDS_DEFAULT),
            stream_idle_timeout: None,
            temperature: None,
            top_p: None,
            top_k: None,
            seed: None,
            max_output_tokens: None,
            max_input_tokens: None,
            reasoning_effort: Some("high".to_owned()),
            reasoning_summary: None,
            extended_thinking_budget: 200_000,
            enable_encrypted_reasoning: true,
            stream: false,
            native_tool_calling: true,
            api_mode: ApiMode::Auto,
            caching_prompt: true,
            prompt_cache_retention: Some("24h".to_owned()),
            disable_vision: false,
            force_string_serializer: None,
            input_cost_per_token: None,
            output_cost_per_token: None,
            extra_headers: Vec::new(),
            litellm_extra_body: Vec::new(),
        }
    }

    /// Reads an `llm` object of the contract; what is absent has its default, what is unknown is skipped.
    ///
    /// # Errors
    /// [`ConfigError`] names the member that has another type, is too long, or is not a model's name.
    pub fn read(llm: &Object) -> Result<Self, ConfigError> {
        let members = Members(llm);
        let model = members.word("model")?.unwrap_or_default();
        if model.is_empty() {
            return Err(ConfigError {
                member: "model",
                expected: "the name of a model",
            });
        }
        let mut config = Self::new(&model);
        config.api_key = members.key()?;
        config.base_url = members.word("base_url")?.filter(|url| !url.is_empty());
        if let Some(id) = members.word("usage_id")? {
            config.usage_id = id;
        }
        if let Some(count) = members.whole("num_retries")? {
            config.num_retries = u32::try_from(count)
                .unwrap_or(u32::MAX)
                .min(LLM_ATTEMPTS_MAX);
        }
        for (name, wait) in [
            ("retry_min_wait", &mut config.retry_min_wait),
            ("retry_max_wait", &mut config.retry_max_wait),
        ] {
            if let Some(seconds) = members.number(name)? {
                *wait = Duration::from_secs_f64(seconds.clamp(0.0, LLM_WAIT_SECONDS_MAX));
            }
        }
        if let Some(factor) = members.number("retry_multiplier")? {
            config.retry_multiplier = factor.max(0.0);
        }
        let patience =
            |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.001, LLM_TIMEOUT_SECONDS_MAX));
        config.timeout = match llm.get("timeout") {
            Some(Json::Null) => patience(LLM_TIMEOUT_SECONDS_MAX),
            _ => members.number("timeout")?.map_or(config.timeout, patience),
        };
        config.stream_idle_timeout = members.number("stream_idle_timeout")?.map(patience);
        config.temperature = members.number("temperature")?;
        config.top_p = members.number("top_p")?;
        config.top_k = members.number("top_k")?;
        config.seed = members.integer("seed")?;
        config.max_output_tokens = members
            .whole("max_output_tokens")?
            .filter(|tokens| *tokens > 0);
        config.max_input_tokens = members
            .whole("max_input_tokens")?
            .filter(|tokens| *tokens > 0);
        if llm.contains("reasoning_effort") {
            config.reasoning_effort = members.word("reasoning_effort")?;
        }
        config.reasoning_summary = members.word("reasoning_summary")?;
        if llm.contains("extended_thinking_budget") {
            config.extended_thinking_budget =
                members.whole("extended_thinking_budget")?.unwrap_or(0);
        }
        for (name, flag) in [
            (
                "enable_encrypted_reasoning",
                &mut config.enable_encrypted_reasoning,
            ),
            ("stream", &mut config.stream),
            ("native_tool_calling", &mut config.native_tool_calling),
            ("caching_prompt", &mut config.caching_prompt),
            ("disable_vision", &mut config.disable_vision),
        ] {
            if let Some(truth) = members.flag(name)? {
                *flag = truth;
            }
        }
        config.force_string_serializer = members.flag("force_string_serializer")?;
        config.api_mode = match members.word("api_mode")?.as_deref() {
            None | Some("auto") => ApiMode::Auto,
            Some("chat") => ApiMode::Chat,
            Some("responses") => ApiMode::Responses,
            Some(_) => {
                return Err(ConfigError {
                    member: "api_mode",
                    expected: "auto, chat or responses",
                });
            }
        };
        if llm.contains("prompt_cache_retention") {
            config.prompt_cache_retention = members.word("prompt_cache_retention")?;
        }
        config.input_cost_per_token = members
            .number("input_cost_per_token")?
            .map(|cost| cost.max(0.0));
        config.output_cost_per_token = members
            .number("output_cost_per_token")?
            .map(|cost| cost.max(0.0));
        config.extra_headers = members.headers()?;
        config.litellm_extra_body = members.extra_body()?;
        Ok(config)
    }

    /// Attempts at one answer: the settings' `num_retries` counts them, not the repetitions.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.num_retries.clamp(1, LLM_ATTEMPTS_MAX)
    }
}

/// Typed access to the members of an `llm` object; `null` is the same as absent.
struct Members<'a>(&'a Object);

impl Members<'_> {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, member: &'static str) -> Result<Option<&str>, ConfigError> {
        self.get(member)
            .map(|value| {
                value.as_text().ok_or(ConfigError {
                    member,
                    expected: "a text",
                })
            })
            .transpose()
    }

    fn word(&self, member: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(member)? else {
            return Ok(None);
        };
        if text.len() > LLM_WORD_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(ConfigError {
                member,
                expected: "one line of at most 4096 bytes",
            });
        }
        Ok(Some(text.trim().to_owned()))
    }

    fn key(&self) -> Result<Option<Plaintext>, ConfigError> {
        // A key that was read from a file often ends in a line break.
        let key = self.text("api_key")?.map_or("", str::trim);
        if key.is_empty() {
            return Ok(None);
        }
        field_value("api_key", key).map(Some)
    }

    fn number(&self, member: &'static str) -> Result<Option<f64>, ConfigError> {
        self.get(member)
            .map(|value| match value {
                Json::Number(number) => number.as_f64().filter(|number| number.is_finite()),
                _ => None,
            })
            .map(|number| {
                number.ok_or(ConfigError {
                    member,
                    expected: "a number",
                })
            })
            .transpose()
    }

    fn integer(&self, member: &'static str) -> Result<Option<i64>, ConfigError> {
        self.get(member)
            .map(|value| match value {
                Json::Number(number) => number.as_i64(),
                _ => None,
            })
            .map(|number| {
                number.ok_or(ConfigError {
                    member,
                    expected: "a whole number",
                })
            })
            .transpose()
    }

    fn whole(&self, member: &'static str) -> Result<Option<u64>, ConfigError> {
        let expected = "a whole number that is not negative";
        self.integer(member)?
            .map(|number| u64::try_from(number).map_err(|_| ConfigError { member, expected }))
            .transpose()
    }

    fn flag(&self, member: &'static str) -> Result<Option<bool>, ConfigError> {
        self.get(member)
            .map(|value| match value {
                Json::Bool(truth) => Ok(*truth),
                _ => Err(ConfigError {
                    member,
                    expected: "true or false",
                }),
            })
            .transpose()
    }

    fn object(&self, member: &'static str) -> Result<Option<&Object>, ConfigError> {
        self.get(member)
            .map(|value| {
                value.as_object().ok_or(ConfigError {
                    member,
                    expected: "an object",
                })
            })
            .transpose()
    }

    fn headers(&self) -> Result<Vec<(String, Plaintext)>, ConfigError> {
        let member = "extra_headers";
        let Some(headers) = self.object(member)? else {
            return Ok(Vec::new());
        };
        if headers.len() > LLM_EXTRA_HEADERS_MAX {
            return Err(ConfigError {
                member,
                expected: "at most 64 headers",
            });
        }
        let expected = "an object of header names and texts";
        headers
            .iter()
            .map(|(name, value)| {
                let proper = hyper::header::HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| ConfigError { member, expected })?;
                if FRAMING.contains(&proper.as_str()) {
                    return Err(ConfigError {
                        member,
                        expected: "headers that do not frame the request",
                    });
                }
                let value = value.as_text().ok_or(ConfigError { member, expected })?;
                Ok((
                    proper.as_str().to_owned(),
                    field_value(member, value.trim())?,
                ))
            })
            .collect()
    }

    fn extra_body(&self) -> Result<Vec<(String, Plaintext)>, ConfigError> {
        let Some(body) = self.object("litellm_extra_body")? else {
            return Ok(Vec::new());
        };
        Ok(body
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_bytes()))
            .collect())
    }
}

/// Headers that say where a request goes and ends: whoever sets them could hide a second one in it.
const FRAMING: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// A header's value: visible ASCII, spaces, tabs, and bytes above ASCII.
fn field_value(member: &'static str, value: &str) -> Result<Plaintext, ConfigError> {
    let fits = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if value.len() > LLM_HEADER_BYTES_MAX || !value.bytes().all(fits) {
        return Err(ConfigError {
            member,
            expected: "one line without control characters, at most 16 KiB",
        });
    }
    Ok(Plaintext::copy_of(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, ConfigError> {
        Config::read(Json::parse(json.as_bytes()).unwrap().as_object().unwrap())
    }

    fn refused(json: &str, member: &str) {
        let error = read(json).err().unwrap();
        assert_eq!(error.member, member, "{json}");
    }

    #[test]
    fn absent_members_have_the_contracts_defaults() {
        let config = read(r#"{"model": "openai/gpt-4o"}"#).unwrap();
        assert_eq!(config.model, "openai/gpt-4o");
        assert_eq!((config.num_retries, config.attempts()), (5, 5));
        assert_eq!(config.retry_min_wait, Duration::from_secs(8));
        assert_eq!(config.retry_max_wait, Duration::from_secs(64));
        assert_eq!(config.timeout, Duration::from_secs(300));
        assert_eq!(config.reasoning_effort.as_deref(), Some("high"));
        assert!(config.api_key.is_none() && config.caching_prompt && config.native_tool_calling);
    }

    #[test]
    fn members_are_read_and_null_switches_off() {
        let config = read(
            r#"{"model": "m", "api_key": " sk-1\n", "base_url": "http://h/v1", "usage_id": "u", "num_retries": 0,
                "retry_min_wait": 1, "retry_max_wait": 2.5, "retry_multiplier": 3, "timeout": null, "temperature": 0,
                "seed": -4, "max_output_tokens": 99, "reasoning_effort": null, "stream": true, "api_mode": "chat",
                "extended_thinking_budget": null, "native_tool_calling": false, "prompt_cache_retention": null,
                "input_cost_per_token": 0.5, "extra_headers": {"X-Mine": "1"}, "litellm_extra_body": {"a": [1]},
                "something_else": {}}"#,
        )
        .unwrap();
        assert!(config.api_key.unwrap().expose() == b"sk-1");
        assert_eq!(config.num_retries, 0);
        assert_eq!(config.retry_max_wait, Duration::from_millis(2500));
        assert_eq!(config.timeout, Duration::from_secs(3600));
        assert_eq!((config.temperature, config.seed), (Some(0.0), Some(-4)));
        assert_eq!(
            (config.reasoning_effort, config.prompt_cache_retention),
            (None, None)
        );
        assert_eq!(config.extended_thinking_budget, 0);
        assert_eq!(config.api_mode, ApiMode::Chat);
        assert!(
            config.extra_headers[0].0 == "x-mine" && config.extra_headers[0].1.expose() == b"1"
        );
        assert!(config.litellm_extra_body[0].1.expose() == b"[1]");
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        refused("{}", "model");
        refused(r#"{"model": ""}"#, "model");
        refused(r#"{"model": 3}"#, "model");
        refused(r#"{"model": "a\nb"}"#, "model");
        refused(r#"{"model": "m", "api_key": "sk\r\nx: y"}"#, "api_key");
        refused(r#"{"model": "m", "num_retries": -1}"#, "num_retries");
        refused(r#"{"model": "m", "timeout": "soon"}"#, "timeout");
        refused(r#"{"model": "m", "stream": 1}"#, "stream");
        refused(r#"{"model": "m", "api_mode": "telex"}"#, "api_mode");
        refused(
            r#"{"model": "m", "extra_headers": {"a b": "c"}}"#,
            "extra_headers",
        );
        refused(
            r#"{"model": "m", "extra_headers": {"a": "b\nc"}}"#,
            "extra_headers",
        );
        refused(
            r#"{"model": "m", "extra_headers": {"Content-Length": "0"}}"#,
            "extra_headers",
        );
        refused(
            r#"{"model": "m", "litellm_extra_body": []}"#,
            "litellm_extra_body",
        );
        let error = read(r#"{"model": "m", "api_key": "sk-secret\u0000"}"#)
            .err()
            .unwrap();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn times_and_counts_are_bounded() {
        let config = read(r#"{"model": "m", "num_retries": 5000000000, "timeout": 1e300, "retry_max_wait": 1e300}"#).unwrap();
        assert_eq!(config.attempts(), LLM_ATTEMPTS_MAX);
        assert_eq!(config.timeout, Duration::from_secs(3600));
        assert_eq!(config.retry_max_wait, Duration::from_secs(3600));
        assert_eq!(
            read(r#"{"model": "m", "num_retries": 0}"#)
                .unwrap()
                .attempts(),
            1
        );
    }
}
