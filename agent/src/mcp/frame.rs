//! JSON-RPC 2.0, as the Model Context Protocol uses it. Pure data.

use crate::json::{Json, Object, Text};

/// What a message of a server comes to.
pub(super) enum Heard {
    /// The answer to the request of this number.
    Answer {
        /// The number.
        id: u64,
        /// The result, or the code of an error and its text.
        result: Result<Json, (i64, Option<Text>)>,
    },
    /// It asked for something, and this is what it is told.
    Reply(Json),
    /// Its list of tools is another one now.
    Changed,
    /// Nothing that matters here.
    Nothing,
}

/// The code of JSON-RPC for a method that is not there.
pub(super) const NO_METHOD: i64 = -32_601;

/// A request.
pub(super) fn request(id: u64, method: &'static str, params: Object) -> Json {
    let mut message = headed();
    message.insert("id", id);
    message.insert("method", Json::text(method));
    message.insert("params", params);
    message.into()
}

/// A message that wants no answer.
pub(super) fn notification(method: &'static str, params: Option<Object>) -> Json {
    let mut message = headed();
    message.insert("method", Json::text(method));
    if let Some(params) = params {
        message.insert("params", params);
    }
    message.into()
}

fn headed() -> Object {
    let mut message = Object::new();
    message.insert("jsonrpc", Json::text("2.0"));
    message
}

/// What a message, or a batch of them, comes to; `None` for what is neither.
pub(super) fn hear(message: Json) -> Option<Vec<Heard>> {
    match message {
        Json::Object(message) => Some(vec![one(message)?]),
        Json::List(batch) => batch
            .into_iter()
            .map(|message| match message {
                Json::Object(message) => one(message),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn one(mut message: Object) -> Option<Heard> {
    let id = message.remove("id").filter(|id| !id.is_null());
    let method = message.get("method").and_then(Json::as_text);
    match (method, id) {
        (Some("notifications/tools/list_changed"), None) => Some(Heard::Changed),
        (Some(_), None) => Some(Heard::Nothing),
        (Some(method), Some(id)) => Some(Heard::Reply(reply(method, id))),
        (None, Some(Json::Number(id))) => {
            let id = id.as_u64()?;
            let result = match message.remove("error") {
                Some(Json::Object(mut error)) => {
                    let code = match error.get("code") {
                        Some(Json::Number(code)) => code.as_i64().unwrap_or_default(),
                        _ => 0,
                    };
                    let text = match error.remove("message") {
                        Some(Json::Text(text)) => Some(text),
                        _ => None,
                    };
                    Err((code, text))
                }
                Some(_) => return None,
                None => Ok(message.remove("result")?),
            };
            Some(Heard::Answer { id, result })
        }
        // An error about a request whose number it could not read.
        (None, None) if message.contains("error") => Some(Heard::Nothing),
        (None, _) => None,
    }
}

/// A ping is answered. Nothing else was offered that a server could ask for.
fn reply(method: &str, id: Json) -> Json {
    let mut message = headed();
    message.insert("id", id);
    if method == "ping" {
        message.insert("result", Object::new());
    } else {
        let mut error = Object::new();
        error.insert("code", NO_METHOD);
        error.insert("message", Json::text("Method not found"));
        message.insert("error", error);
    }
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Option<Vec<Heard>> {
        hear(Json::parse(text.as_bytes()).unwrap())
    }

    fn text(json: &Json) -> String {
        String::from_utf8(json.to_bytes().expose().to_vec()).unwrap()
    }

    #[test]
    fn requests_and_notifications_are_those_of_the_protocol() {
        let mut params = Object::new();
        params.insert("a", 1_u64);
        assert_eq!(
            text(&request(7, "tools/list", params)),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"a":1}}"#
        );
        assert_eq!(
            text(&notification("notifications/initialized", None)),
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
        );
    }

    #[test]
    fn answers_are_told_by_their_number() {
        let heard_one = |text| heard(text).and_then(|mut all| all.pop());
        assert!(matches!(
            heard_one(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#),
            Some(Heard::Answer {
                id: 3,
                result: Ok(_)
            })
        ));
        assert!(matches!(
            heard_one(r#"{"id":3,"error":{"code":-32602,"message":"no"}}"#),
            Some(Heard::Answer {
                id: 3,
                result: Err((-32_602, Some(_)))
            })
        ));
        for nothing in [
            r#"{"id":3}"#,
            r#"{"id":"x","result":{}}"#,
            "3",
            "[3]",
            "{}",
            r#"{"id":-1,"result":{}}"#,
        ] {
            assert!(heard(nothing).is_none(), "{nothing}");
        }
        let batch = heard(r#"[{"id":1,"result":1},{"method":"notifications/tools/list_changed"}]"#);
        let batch = batch.unwrap();
        assert!(matches!(
            batch.as_slice(),
            [Heard::Answer { .. }, Heard::Changed]
        ));
    }

    #[test]
    fn a_ping_is_answered_and_all_else_declined() {
        let reply = |text: &str| match heard(text).unwrap().pop() {
            Some(Heard::Reply(reply)) => super::tests::text(&reply),
            _ => panic!("a request gets a reply"),
        };
        assert_eq!(
            reply(r#"{"id":"p-1","method":"ping"}"#),
            r#"{"jsonrpc":"2.0","id":"p-1","result":{}}"#
        );
        assert_eq!(
            reply(r#"{"id":0,"method":"sampling/createMessage","params":{}}"#),
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"Method not found"}}"#
        );
    }
}
