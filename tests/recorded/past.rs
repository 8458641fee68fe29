//! What a recording tells of the order of things: what the model was asked, what subscribers were told, and when.

use serde_json::Value;
use strongroom_tests::model::Reply;

use super::label;

/// An answer of the model that took longer was held back. The time of its making is told in whole seconds.
const PROMPT_S: f64 = 1.0;

/// A request that the model got, but for titles.
pub(super) struct Ask {
    pub(super) conversation: String,
    pub(super) at: f64,
    /// When its answer came, and what it is held by until then.
    pub(super) free: f64,
    pub(super) hold: String,
}

/// Something that subscribers were told of a conversation's log.
pub(super) struct Frame {
    pub(super) conversation: String,
    pub(super) at: f64,
}

pub(super) fn with_tools(recording: &Value) -> impl Iterator<Item = &Value> {
    let asked = recording["llm"].as_array().unwrap().iter();
    asked.filter(|asked| asked["body"].get("tools").is_some())
}

pub(super) fn asks(recording: &Value) -> Vec<Ask> {
    let took = |asked: &Value| {
        let made = asked["reply"]["body"]["created"].as_f64()?;
        Some(made - asked["at"].as_f64()?)
    };
    let quickest = with_tools(recording)
        .filter_map(took)
        .fold(f64::INFINITY, f64::min);
    let session = |asked: &Value| {
        asked["headers"]["x-litellm-session-id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let all: Vec<_> = with_tools(recording).collect();
    let ask = |(number, asked): (usize, &&Value)| {
        let conversation = session(asked);
        // Where no time is told, it is answered at once, and nothing waits for it.
        let at = asked["at"].as_f64().unwrap_or(f64::INFINITY);
        let mut free = asked["at"].as_f64().unwrap_or_default();
        if took(asked).is_some_and(|took| took > quickest + PROMPT_S) {
            let later = all.iter().skip(number + 1);
            let next = later.into_iter().find(|next| session(next) == conversation);
            free = next.map_or(f64::INFINITY, |next| next["at"].as_f64().unwrap());
        }
        if lost(&asked["reply"]) {
            free = f64::INFINITY;
        }
        let hold = format!("ask {number}");
        Ask {
            conversation,
            at,
            free,
            hold,
        }
    };
    all.iter().enumerate().map(ask).collect()
}

pub(super) fn frames(traffic: &Value) -> Vec<Frame> {
    let mut frames = Vec::new();
    for socket in traffic.as_array().unwrap() {
        let path = socket["path"].as_str().unwrap_or_default();
        // One that began later was shown what others had seen before.
        if socket["kind"] != "ws" || path.contains("resend") {
            continue;
        }
        let id = path.rsplit('/').next().unwrap_or_default();
        let received = socket["frames"].as_array().into_iter().flatten();
        for frame in received.filter(|frame| frame["dir"] == "recv") {
            let label = label(&frame["body"]);
            if label != "stats" && label != "full_state" && label != "ServerError" {
                let conversation = id.to_owned();
                let at = frame["t"].as_f64().unwrap();
                frames.push(Frame { conversation, at });
            }
        }
    }
    frames
}

/// Whether the server took requests without a key.
pub(super) fn is_open(recording: &Value) -> bool {
    let traffic = recording["traffic"].as_array().unwrap().iter();
    traffic
        .filter(|entry| {
            let path = entry["path"].as_str().unwrap_or_default();
            path.starts_with("/api/") && entry["status"] == 200
        })
        .filter_map(|entry| entry["request_headers"].as_object())
        .any(|headers| {
            !headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("x-session-api-key"))
        })
}

/// The conversation that a path is about.
pub(super) fn conversation(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/conversations/")?;
    rest.split(['/', '?'])
        .next()
        .filter(|id| id.starts_with('{'))
}

/// Whether a recorded request sets off a run.
pub(super) fn runs(entry: &Value) -> bool {
    let path = entry["path"].as_str().unwrap_or_default();
    let body = &entry["request"];
    let says = body["run"] == true || body["initial_message"]["run"] == true;
    path.ends_with("/run") || says || body["accept"] == true
}

/// Whether it had no answer, or one that came after an interruption.
fn lost(recorded: &Value) -> bool {
    recorded["status"].as_u64().is_none_or(|status| status == 0)
        || recorded.to_string().contains("too late")
}

pub(super) fn reply(recorded: &Value) -> Reply {
    if lost(recorded) {
        return Reply::says("never heard");
    }
    let status = recorded["status"].as_u64().unwrap_or_default();
    let status = u16::try_from(status).unwrap();
    match recorded["error"].as_str() {
        Some(message) => Reply::fails(status, message),
        None => Reply::recorded(status, recorded["body"].clone()),
    }
}
