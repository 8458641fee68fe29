//! What the model says, in no protocol's words.

use serde_json::{Value, json};

/// One answer of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub(super) content: Content,
    pub(super) tokens: (u64, u64),
    hold: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Said {
        text: Option<String>,
        calls: Vec<Call>,
    },
    Failed {
        status: u16,
        message: String,
    },
    /// As some endpoint sent it.
    Recorded {
        status: u16,
        body: Value,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    /// As the model wrote it: it need not be JSON.
    pub(super) arguments: String,
}

impl Reply {
    fn of(content: Content) -> Self {
        Self {
            content,
            tokens: (1000, 100),
            hold: None,
        }
    }

    /// A text and no call.
    #[must_use]
    pub fn says(text: &str) -> Self {
        Self::of(Content::Said {
            text: Some(text.to_owned()),
            calls: Vec::new(),
        })
    }

    /// A call of a tool.
    #[must_use]
    pub fn calls(name: &str, arguments: &Value) -> Self {
        Self::writes(name, &arguments.to_string())
    }

    /// A call of a tool with arguments as the model wrote them.
    #[must_use]
    pub fn writes(name: &str, arguments: &str) -> Self {
        let said = Content::Said {
            text: None,
            calls: Vec::new(),
        };
        Self::of(said).and_writes(name, arguments)
    }

    /// One more call in the same answer.
    #[must_use]
    pub fn and_calls(self, name: &str, arguments: &Value) -> Self {
        self.and_writes(name, &arguments.to_string())
    }

    fn and_writes(mut self, name: &str, arguments: &str) -> Self {
        if let Content::Said { calls, .. } = &mut self.content {
            calls.push(Call {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
            });
        }
        self
    }

    /// The command in the terminal.
    #[must_use]
    pub fn runs(command: &str) -> Self {
        Self::calls("terminal", &json!({"command": command}))
    }

    /// A refusal: 401, 429, 500 and the like.
    #[must_use]
    pub fn fails(status: u16, message: &str) -> Self {
        let message = message.to_owned();
        Self::of(Content::Failed { status, message })
    }

    /// The refusal of a history that is too long.
    #[must_use]
    pub fn fails_for_length() -> Self {
        Self::fails(400, "This model's maximum context length is 8192 tokens")
    }

    /// What some endpoint sent, in the words of its protocol.
    #[must_use]
    pub fn recorded(status: u16, body: Value) -> Self {
        Self::of(Content::Recorded { status, body })
    }

    /// The same, but not until the name is released.
    #[must_use]
    pub fn held(mut self, name: &str) -> Self {
        self.hold = Some(name.to_owned());
        self
    }

    pub(super) fn title() -> Self {
        Self {
            tokens: (20, 4),
            ..Self::says("Scripted title")
        }
    }

    pub(super) fn hold(&self) -> Option<&str> {
        self.hold.as_deref()
    }

    /// `{"text"?, "calls"?: [{"name", "arguments"}], "status"?, "message"?, "hold"?}`.
    pub(super) fn of_json(given: &Value) -> Option<Self> {
        let text = |key: &str| given.get(key).and_then(Value::as_str);
        let mut reply = match given.get("status").and_then(Value::as_u64) {
            Some(status) => Self::fails(u16::try_from(status).ok()?, text("message")?),
            None => Self::of(Content::Said {
                text: text("text").map(str::to_owned),
                calls: Vec::new(),
            }),
        };
        for call in given
            .get("calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            reply = reply.and_calls(call.get("name")?.as_str()?, call.get("arguments")?);
        }
        reply.hold = text("hold").map(str::to_owned);
        Some(reply)
    }
}
