//! The routes by which programs in other languages script the model.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::Shared;
use super::http::{Answer, Asked};
use super::reply::Reply;

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Answer {
    let (verb, name) = asked
        .path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((asked.path.trim_start_matches('/'), ""));
    match (asked.method.as_str(), verb) {
        ("PUT", "script") => match script(&asked.body) {
            Some((word, replies)) => {
                shared.script(&word, replies);
                done()
            }
            None => refused(422, "this is no script"),
        },
        ("POST", "release") => {
            shared.release(name);
            done()
        }
        ("GET", "arrived") if shared.arrived(name) => done(),
        ("GET", "arrived") => refused(504, "no request came"),
        ("GET", "asked") => {
            let state = shared.state();
            let all = state.asked.iter().map(|asked| {
                let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
                json!({"path": asked.path, "title": asked.wants_title(), "body": body})
            });
            Answer::json(200, &all.collect())
        }
        _ => refused(404, "there is no such route"),
    }
}

fn done() -> Answer {
    Answer::json(200, &json!({"done": true}))
}

fn refused(status: u16, why: &str) -> Answer {
    Answer::json(status, &json!({"error": {"message": why}}))
}

fn script(body: &str) -> Option<(String, VecDeque<Reply>)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let word = body.get("when").map_or(Some(""), Value::as_str)?;
    let replies = body.get("replies")?.as_array()?;
    let replies = replies.iter().map(Reply::of_json).collect::<Option<_>>()?;
    Some((word.to_owned(), replies))
}
