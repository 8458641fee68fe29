//! What the readers of all protocols share. Pure data.

use super::Progress;
use super::failure::{Failure, FailureKind};
use super::message::Answered;

/// Why an answer that came cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is not the JSON that the protocol has; where.
    NotJson { line: usize, column: usize },
    /// It holds no message.
    Empty,
    /// More tool calls or thoughts than one answer may have.
    TooMany,
    /// It is longer than [`crate::limits::LLM_REPLY_BYTES_MAX`], or one of its events than its own bound.
    TooBig,
    /// The stream ended before the answer did.
    CutShort,
    /// The provider reports a failure inside of an answer: status, and message as it came.
    Refused { status: u16, message: String },
}

impl Unusable {
    /// As a failure; a message of the provider's passes `redact`.
    pub(crate) fn failure(self, label: &str, redact: &dyn Fn(&str) -> String) -> Failure {
        let (kind, why) = match self {
            Self::Refused { status, message } => {
                return Failure::answered(label, status, &redact(&message));
            }
            Self::NotJson { line, column } => (
                FailureKind::NoResponse,
                format!(
                    "is not what the protocol has (line {line}, column {column}). Check llm.base_url."
                ),
            ),
            Self::Empty => (FailureKind::NoResponse, "holds no message.".to_owned()),
            Self::CutShort => (FailureKind::Unavailable, "ended too early.".to_owned()),
            Self::TooMany => (
                FailureKind::BadRequest,
                "has too many tool calls or thoughts.".to_owned(),
            ),
            Self::TooBig => (FailureKind::BadRequest, "is too large.".to_owned()),
        };
        Failure::new(kind, format!("{label} - The model's answer {why}"))
    }
}

impl From<serde_json::Error> for Unusable {
    /// Keeps the place only: serde_json's message may quote what it read.
    fn from(error: serde_json::Error) -> Self {
        Self::NotJson {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Puts a streamed answer together.
pub(crate) trait Gather: Send {
    /// Takes the data of one event.
    fn event(&mut self, data: &[u8], watch: &(dyn Fn(Progress<'_>) + Sync))
    -> Result<(), Unusable>;
    /// The whole answer, once the stream has ended.
    fn finish(self: Box<Self>) -> Result<Answered, Unusable>;
}

/// The failure that providers describe inside of an answer or a stream.
pub(crate) fn refused(error: &serde_json::Value) -> Unusable {
    let status = |name: &str| -> Option<u16> {
        let code = error.get(name)?;
        code.as_u64()
            .and_then(|code| u16::try_from(code).ok())
            .or_else(|| code.as_str()?.parse().ok())
            .filter(|code| (400..600).contains(code))
    };
    let kind = |name: &str| {
        error
            .get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    let by_name = || match (kind("type"), kind("code")) {
        ("overloaded_error", _) => 529,
        ("rate_limit_error", _) | (_, "rate_limit_exceeded") => 429,
        ("authentication_error" | "permission_error", _) => 401,
        ("invalid_request_error", _) => 400,
        _ => 500,
    };
    Unusable::Refused {
        status: status("code")
            .or_else(|| status("status"))
            .unwrap_or_else(by_name),
        message: super::failure::message_of(error.to_string().as_bytes()),
    }
}
