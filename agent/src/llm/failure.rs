//! What goes wrong with a model, in the words that clients know. Pure data.
//!
//! A provider's own message is kept, because it is what helps, but never as it came: it passes the caller's
//! redaction first, and is bounded.

use std::fmt;

use serde::Serialize;

use crate::limits::LLM_ERROR_CHARS_MAX;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    detail: String,
}

/// The kinds of failure. Each has the code that clients know it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The key is missing, wrong, or not good for this.
    Authentication,
    /// Too many requests for now.
    RateLimit,
    /// An allowance is used up: waiting does not help.
    Quota,
    /// The request, or the settings behind it, are wrong.
    BadRequest,
    /// The provider does not know the model or the path.
    NotFound,
    /// The conversation is longer than the model's window.
    ContextWindow,
    /// The provider does not accept the order of calls and results.
    MalformedHistory,
    /// The provider's filter refused.
    ContentPolicy,
    /// No answer in time.
    Timeout,
    /// The provider cannot be reached, is overloaded, or broke down.
    Unavailable,
    /// An answer came, but nothing is in it, or it cannot be read.
    NoResponse,
}

/// The `classification` of a `ConversationErrorEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Classification {
    /// `auth`, `quota`, `rate_limit`, `config`, `transient` or `agent_action`.
    pub kind: &'static str,
    /// Whether the same again may succeed.
    pub retryable: bool,
    /// `settings` or `retry`.
    pub user_action: &'static str,
}

impl Failure {
    /// A failure whose words are ours.
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// The failure that a provider's status and message mean; `message` is redacted already.
    pub(crate) fn answered(label: &str, status: u16, message: &str) -> Self {
        let kind = FailureKind::of(status, message);
        let message = bounded(message);
        let class = match (kind, status) {
            (FailureKind::ContextWindow, _) => {
                return Self::new(
                    kind,
                    format!(
                        "litellm.ContextWindowExceededError: litellm.BadRequestError: \
                         ContextWindowExceededError: {label} - {message}"
                    ),
                );
            }
            (FailureKind::Authentication, 401) => {
                return Self::new(
                    kind,
                    "Your LLM API key appears to be invalid or has expired.",
                );
            }
            (FailureKind::Authentication, _) => "PermissionDeniedError",
            (FailureKind::RateLimit | FailureKind::Quota, _) => "RateLimitError",
            (FailureKind::NotFound, _) => "NotFoundError",
            (FailureKind::ContentPolicy, _) => "ContentPolicyViolationError",
            (FailureKind::Timeout, _) => "Timeout",
            (FailureKind::Unavailable, 503) => "ServiceUnavailableError",
            (FailureKind::Unavailable | FailureKind::NoResponse, _) => "InternalServerError",
            (FailureKind::BadRequest | FailureKind::MalformedHistory, _) => {
                return Self::new(
                    kind,
                    format!("litellm.BadRequestError: {label} - {message}"),
                );
            }
        };
        Self::new(
            kind,
            format!("litellm.{class}: {class}: {label} - {message}"),
        )
    }

    /// No answer was had at all; `reason` is ours.
    pub(crate) fn unreachable(label: &str, reason: &str) -> Self {
        Self::new(
            FailureKind::Unavailable,
            format!(
                "litellm.InternalServerError: InternalServerError: {label} - Connection error. {reason}"
            ),
        )
    }

    /// No answer came in time.
    pub(crate) fn late(label: &str, what: &str, seconds: f64) -> Self {
        Self::new(
            FailureKind::Timeout,
            format!(
                "litellm.Timeout: Timeout Error: {label} - {what} took more than {seconds:.0} s. \
                 Raise llm.timeout or try again later."
            ),
        )
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The `code` of a `ConversationErrorEvent`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            FailureKind::Authentication => "LLMAuthenticationError",
            FailureKind::RateLimit | FailureKind::Quota => "LLMRateLimitError",
            FailureKind::BadRequest => "LLMBadRequestError",
            FailureKind::NotFound => "NotFoundError",
            FailureKind::ContextWindow => "LLMContextWindowExceedError",
            FailureKind::MalformedHistory => "LLMMalformedConversationHistoryError",
            FailureKind::ContentPolicy => "LLMContentPolicyViolationError",
            FailureKind::Timeout => "LLMTimeoutError",
            FailureKind::Unavailable => "LLMServiceUnavailableError",
            FailureKind::NoResponse => "LLMNoResponseError",
        }
    }

    /// The `detail` of a `ConversationErrorEvent`: redacted and bounded.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The `classification` of a `ConversationErrorEvent`.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let (kind, retryable, user_action) = match self.kind {
            FailureKind::Authentication => ("auth", false, "settings"),
            FailureKind::RateLimit => ("rate_limit", true, "retry"),
            FailureKind::Quota => ("quota", false, "settings"),
            FailureKind::BadRequest | FailureKind::NotFound | FailureKind::ContentPolicy => {
                ("config", false, "settings")
            }
            FailureKind::ContextWindow | FailureKind::MalformedHistory => {
                ("agent_action", true, "retry")
            }
            FailureKind::Timeout | FailureKind::Unavailable | FailureKind::NoResponse => {
                ("transient", true, "retry")
            }
        };
        Classification {
            kind,
            retryable,
            user_action,
        }
    }

    /// Whether another attempt with the same request may succeed.
    pub(crate) fn worth_another_attempt(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::RateLimit
                | FailureKind::Timeout
                | FailureKind::Unavailable
                | FailureKind::NoResponse
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail)
    }
}

impl std::error::Error for Failure {}

impl FailureKind {
    fn of(status: u16, message: &str) -> Self {
        let text = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        let refused = matches!(status, 400 | 413 | 422 | 500..);
        match status {
            _ if refused && says(TOO_LONG) => Self::ContextWindow,
            _ if refused && says(OUT_OF_ORDER) => Self::MalformedHistory,
            401 | 403 => Self::Authentication,
            402 => Self::Quota,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            429 if says(USED_UP) => Self::Quota,
            429 => Self::RateLimit,
            400..=499 if says(FILTERED) => Self::ContentPolicy,
            500.. => Self::Unavailable,
            _ => Self::BadRequest,
        }
    }
}

/// How providers say that the conversation does not fit into the window.
const TOO_LONG: &[&str] = &[
    "maximum context length",
    "context length exceeded",
    "context_length_exceeded",
    "prompt is too long",
    "exceed context limit",
    "exceeds the context window",
    "context window exceeds limit",
    "exceeds the available context size",
    "reduce the length of",
];

/// How providers say that calls and results do not pair.
const OUT_OF_ORDER: &[&str] = &[
    "`tool_result` block",
    "`tool_use` block",
    "tool_use must have a single result",
    "must be followed by tool messages",
    "failed to parse tool call arguments as json",
];

/// How providers say that an allowance is used up.
const USED_UP: &[&str] = &[
    "insufficient_quota",
    "exceeded your current quota",
    "usage_limit_reached",
    "budget_exceeded",
    "budget has been exceeded",
];

/// How providers say that a filter refused.
const FILTERED: &[&str] = &[
    "content_policy",
    "content_filter",
    "content filtering policy",
];

/// The message inside a provider's error body: its `error.message`, `error`, `message` or `detail`, else
/// the body itself. With it the machine-readable code, which tells a quota from a rate. Not redacted, and not
/// cut, so that redaction finds what it looks for.
pub(crate) fn message_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let parsed: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let found = parsed.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        let message = [
            error.get("message"),
            Some(error),
            value.get("message"),
            value.get("detail"),
        ]
        .into_iter()
        .flatten()
        .find_map(serde_json::Value::as_str)?;
        let code = ["code", "type"]
            .into_iter()
            .find_map(|name| error.get(name)?.as_str())
            .filter(|code| {
                USED_UP.contains(code) || TOO_LONG.contains(code) || FILTERED.contains(code)
            });
        Some(match code {
            Some(code) if !message.contains(code) => format!("{message} ({code})"),
            _ => message.to_owned(),
        })
    });
    found.unwrap_or_else(|| text.trim().to_owned())
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(LLM_ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        status: u16,
        message: &str,
        code: &str,
        detail: &str,
        classification: (&str, bool, &str),
    ) {
        let failure = Failure::answered("OpenAIException", status, message);
        assert_eq!(
            (failure.code(), failure.detail()),
            (code, detail),
            "{status}"
        );
        let found = failure.classification();
        assert_eq!(
            (found.kind, found.retryable, found.user_action),
            classification,
            "{status}"
        );
    }

    #[test]
    fn failures_read_as_in_the_contract() {
        check(
            401,
            "bad key given",
            "LLMAuthenticationError",
            "Your LLM API key appears to be invalid or has expired.",
            ("auth", false, "settings"),
        );
        check(
            500,
            "boom",
            "LLMServiceUnavailableError",
            "litellm.InternalServerError: InternalServerError: OpenAIException - boom",
            ("transient", true, "retry"),
        );
        check(
            400,
            "unsupported parameter frob",
            "LLMBadRequestError",
            "litellm.BadRequestError: OpenAIException - unsupported parameter frob",
            ("config", false, "settings"),
        );
        check(
            400,
            "This model's maximum context length is 8192 tokens",
            "LLMContextWindowExceedError",
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: \
             OpenAIException - This model's maximum context length is 8192 tokens",
            ("agent_action", true, "retry"),
        );
        check(
            429,
            "slow down",
            "LLMRateLimitError",
            "litellm.RateLimitError: RateLimitError: OpenAIException - slow down",
            ("rate_limit", true, "retry"),
        );
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again =
            |status, message| Failure::answered("x", status, message).worth_another_attempt();
        for status in [408, 429, 500, 502, 503, 504, 529, 599] {
            assert!(again(status, "boom"), "{status}");
        }
        for status in [300, 400, 401, 402, 403, 404, 409, 413, 422] {
            assert!(!again(status, "boom"), "{status}");
        }
        assert!(!again(429, "You exceeded your current quota"));
        assert!(!again(500, "prompt is too long: 9 tokens"));
    }

    #[test]
    fn messages_are_found_wherever_providers_put_them() {
        let check = |body: &str, expected: &str| assert_eq!(message_of(body.as_bytes()), expected);
        check(
            r#"{"error": {"message": "boom", "type": "x", "code": null}}"#,
            "boom",
        );
        check(
            r#"{"type": "error", "error": {"type": "api_error", "message": "boom"}}"#,
            "boom",
        );
        check(r#"{"error": "boom"}"#, "boom");
        check(r#"{"message": "boom"}"#, "boom");
        check(r#"{"detail": "boom"}"#, "boom");
        check(
            r#"{"error": {"message": "no", "code": "insufficient_quota"}}"#,
            "no (insufficient_quota)",
        );
        check(r#"{"error": {"code": 3}}"#, r#"{"error": {"code": 3}}"#);
        check("  <html>Bad gateway</html>\n", "<html>Bad gateway</html>");
        check("", "");
        assert_eq!(message_of(&[0xff, b'a']), "\u{fffd}a");
    }

    #[test]
    fn a_long_message_is_cut() {
        let failure = Failure::answered("x", 500, &"é".repeat(9000));
        assert!(failure.detail().chars().count() < LLM_ERROR_CHARS_MAX + 100);
        assert!(failure.detail().ends_with("é..."));
    }
}
