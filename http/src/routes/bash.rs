//! Commands: started, waited for, stopped, and what they printed.

use std::path::Path;

use strongroom_agent::json::Json;
use strongroom_agent::json::Object;
use strongroom_agent::limits::{BASH_PAGE_EVENTS_MAX, BASH_TIMEOUT_SECONDS_DEFAULT};
use strongroom_agent::workspace::bash::{Id, Request, Search, Started, moment};

use super::base::Base;
use crate::call::Call;
use crate::error::{Error, Flaw, Refusal};
use crate::reply::{self, Reply};

/// `POST /api/bash/start_bash_command`: runs a command, and tells of it at once.
pub async fn start(mut call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let started = begin(&mut call, &base).await?;
    Ok(reply::json(&started.event.to_json()))
}

/// `POST /api/bash/execute_bash_command`: runs a command, and tells of its end.
pub async fn execute(mut call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let started = begin(&mut call, &base).await?;
    started.end.await.map_err(|_| Error::Lost)?;
    let workspace = base.workspace;
    let told = move || {
        let outcome = workspace.bash.outcome(started.event.id);
        Ok::<_, Error>(outcome.map_err(|_| Error::Lost)?.to_json())
    };
    Ok(reply::json(&call.state.pool.work(told).await?))
}

/// `POST /api/bash/bash_commands/{id}/stop`.
pub async fn stop(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let text = call.last_value();
    let id = Id::parse(&text).ok_or_else(|| wrong(["path", "command_id"], UUID, &text))?;
    let workspace = base.workspace;
    let stopped = call
        .state
        .pool
        .write(move || Ok::<_, Error>(workspace.bash.stop(id)));
    match stopped.await? {
        true => Ok(reply::fixed(r#"{"success":true}"#)),
        false => Err(Error::NoRoute),
    }
}

/// `GET /api/bash/bash_events/search`.
pub async fn search(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let search = read_search(&call)?;
    let workspace = base.workspace;
    let page = move || {
        let page = workspace.bash.search(&search);
        let items: Vec<Json> = page.items.iter().map(|event| event.to_json()).collect();
        let next = page.next.map(|next| Json::text(&next.to_string()));
        let mut found = Object::with_capacity(2);
        found.insert("items", items);
        found.insert("next_page_id", next.unwrap_or(Json::Null));
        Ok::<_, Error>(Json::Object(found).to_bytes())
    };
    let page = call.state.pool.work(page).await?;
    Ok(reply::body(hyper::StatusCode::OK, page))
}

/// `GET /api/bash/bash_events/{id}`.
pub async fn event(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let id = Id::parse(&call.last_value());
    let event = id.and_then(|id| base.workspace.bash.event(id));
    Ok(reply::json(&event.ok_or(Error::NoRoute)?.to_json()))
}

/// `DELETE /api/bash/bash_events`.
pub async fn clear(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let mut cleared = Object::with_capacity(1);
    cleared.insert("cleared_count", base.workspace.bash.clear() as u64);
    Ok(reply::json(&Json::Object(cleared)))
}

async fn begin(call: &mut Call, base: &Base) -> Result<Started, Error> {
    let (mut request, _room) = call.json(read_request).await?;
    if let Some(directory) = &base.directory {
        let cwd = request
            .cwd
            .get_or_insert_with(|| directory.display().to_string());
        if !Path::new(cwd).is_absolute() {
            return Err(Refusal::Elsewhere("cwd").into());
        }
    }
    // Before anything is printed, all that is to be hidden has to be known.
    call.state.gate.resolver().await.map_err(Error::Masking)?;
    let workspace = base.workspace.clone();
    let start = move || workspace.bash.start(request);
    let started = call.state.pool.write(start).await;
    started.map_err(|error| base.worded(error, "cwd"))
}

fn read_request(body: &Json) -> Result<Request, Error> {
    let Some(fields) = body.as_object() else {
        return Err(Error::Invalid(vec![Flaw::no_object(body.duplicate())]));
    };
    let mut flaws = Vec::new();
    let command = match fields.get("command") {
        None => Err(Box::new(Flaw::missing("command", body.duplicate()))),
        Some(given) => text("command", given),
    };
    let command = command.map_err(|flaw| flaws.push(*flaw)).ok();
    let cwd = match fields.get("cwd") {
        None | Some(Json::Null) => None,
        Some(given) => text("cwd", given).map_err(|flaw| flaws.push(*flaw)).ok(),
    };
    let timeout = match fields.get("timeout") {
        None => Some(BASH_TIMEOUT_SECONDS_DEFAULT),
        Some(value) => seconds(value).or_else(|| {
            flaws.push(Flaw {
                kind: "int_type",
                at: vec!["body", "timeout"],
                message: "Input should be a valid integer".into(),
                input: value.duplicate(),
                context: None,
            });
            None
        }),
    };
    match (command, timeout) {
        (Some(command), Some(timeout)) if flaws.is_empty() => Ok(Request {
            command,
            cwd,
            timeout,
        }),
        _ => Err(Error::Invalid(flaws)),
    }
}

fn text(field: &'static str, given: &Json) -> Result<String, Box<Flaw>> {
    let text = given.as_text().map(str::to_owned);
    text.ok_or_else(|| Box::new(Flaw::no_text(field, given.duplicate())))
}

/// Whole seconds; a time that is over before it begins is none.
fn seconds(value: &Json) -> Option<u64> {
    let whole = match value {
        Json::Number(number) => match number.as_f64()? {
            real if real.fract() == 0.0 => number.as_i64().unwrap_or(real as i64),
            _ => return None,
        },
        text => text.as_text()?.trim().parse().ok()?,
    };
    Some(u64::try_from(whole).unwrap_or(0))
}

const UUID: (&str, &str) = ("uuid_parsing", "Input should be a valid UUID");
const INTEGER: (&str, &str) = (
    "int_parsing",
    "Input should be a valid integer, unable to parse string as an integer",
);
const TIME: (&str, &str) = (
    "datetime_from_date_parsing",
    "Input should be a valid datetime or date",
);
const KIND: (&str, &str) = (
    "literal_error",
    "Input should be 'BashCommand' or 'BashOutput'",
);
const ORDER: (&str, &str) = ("enum", "Input should be 'TIMESTAMP' or 'TIMESTAMP_DESC'");
const MORE: (&str, &str) = ("greater_than", "Input should be greater than 0");
const LESS: (&str, &str) = (
    "less_than_equal",
    "Input should be less than or equal to 100",
);

fn wrong(
    at: [&'static str; 2],
    (kind, message): (&'static str, &'static str),
    text: &str,
) -> Error {
    Error::Invalid(vec![Flaw {
        kind,
        at: at.to_vec(),
        message: message.into(),
        input: Json::text(text),
        context: None,
    }])
}

fn read_search(call: &Call) -> Result<Search, Error> {
    let time = |text: &str| moment(text).ok_or(TIME);
    let limit = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(INTEGER),
        Ok(..=0) => Err(MORE),
        Ok(limit) => match usize::try_from(limit) {
            Ok(limit) if limit <= BASH_PAGE_EVENTS_MAX => Ok(limit),
            _ => Err(LESS),
        },
    };
    let kind = |text: &str| match text {
        "BashOutput" => Ok(true),
        "BashCommand" => Ok(false),
        _ => Err(KIND),
    };
    let order = |text: &str| match text {
        "TIMESTAMP" => Ok(false),
        "TIMESTAMP_DESC" => Ok(true),
        _ => Err(ORDER),
    };
    Ok(Search {
        outputs: field(call, "kind__eq", kind)?,
        command: field(call, "command_id__eq", |text| Id::parse(text).ok_or(UUID))?,
        from: field(call, "timestamp__gte", time)?,
        until: field(call, "timestamp__lt", time)?,
        after_order: field(call, "order__gt", |text| text.parse().map_err(|_| INTEGER))?,
        descending: field(call, "sort_order", order)?.unwrap_or(false),
        // One that is none of ours begins at the beginning.
        page: call.parameter("page_id").and_then(|page| page.parse().ok()),
        limit: field(call, "limit", limit)?.unwrap_or(BASH_PAGE_EVENTS_MAX),
    })
}

fn field<T>(
    call: &Call,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, (&'static str, &'static str)>,
) -> Result<Option<T>, Error> {
    let Some(text) = call.parameter(name) else {
        return Ok(None);
    };
    let value = read(&text).map_err(|flaw| wrong(["query", name], flaw, &text))?;
    Ok(Some(value))
}
