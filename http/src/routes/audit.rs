//! The audit trail, for the owner of the data.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_agent::json::{Json, Object};
use strongroom_agent::settings::timestamp;
use strongroom_vault::audit::{Access, Filter, Order};

use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::limits::AUDIT_PAGE_ENTRIES;
use crate::reply::{self, Reply};

/// `GET /local/audit`: a part of the trail, `{"entries": [..], "next": NUMBER, "problems": [TEXT ..]}`; go on with
/// `from=NEXT` until there is none. Parameters: `since`, `until` (milliseconds since 1970), `who`, `operation`,
/// `namespace`, `name`, `outcome`, `oldest_first`, `from`, `limit`.
pub async fn list(call: Call) -> Result<Reply, Error> {
    let asked = Asked::of(&call).ok_or(Error::Refused(Refusal::UnknownCommand))?;
    let vault = call.state.vault.clone();
    let read = move || vault.accesses(&asked.filter, asked.order, asked.from, asked.limit);
    // It makes durable what waits before it reads.
    let page = call.state.pool.write(read).await?;
    let mut answer = Object::with_capacity(3);
    answer.insert(
        "entries",
        page.entries.iter().map(entry).collect::<Vec<_>>(),
    );
    answer.insert("next", page.next.map_or(Json::Null, Json::from));
    let problem =
        |one: &strongroom_vault::Problem| Json::text(&format!("{}: {}", one.what, one.why));
    answer.insert(
        "problems",
        page.problems.iter().map(problem).collect::<Vec<_>>(),
    );
    Ok(reply::json(&Json::Object(answer)))
}

/// `GET /local/audit/verify`: proves the trail; `{"clean": BOOL, "report": TEXT}`.
pub async fn verify(call: Call) -> Result<Reply, Error> {
    let vault = call.state.vault.clone();
    let report = call.state.pool.write(move || vault.verify_audit()).await?;
    let mut answer = Object::with_capacity(2);
    answer.insert("clean", Json::Bool(report.is_clean()));
    answer.insert("report", Json::text(&report.to_string()));
    Ok(reply::json(&Json::Object(answer)))
}

struct Asked {
    filter: Filter,
    order: Order,
    from: Option<u64>,
    limit: usize,
}

impl Asked {
    /// `None` when a parameter is none of ours.
    fn of(call: &Call) -> Option<Self> {
        let number = |name| match call.parameter(name) {
            None => Some(None),
            Some(text) => text.parse::<u64>().ok().map(Some),
        };
        let time = |name| {
            let millis = number(name)?;
            let time = |millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis));
            Some(millis.and_then(time))
        };
        let filter = Filter {
            since: time("since")?,
            until: time("until")?,
            who: call.parameter("who"),
            operation: word(call.parameter("operation"))?,
            namespace: call.parameter("namespace"),
            name: call.parameter("name"),
            verdict: word(call.parameter("outcome"))?,
        };
        let order = match call.parameter("oldest_first") {
            None => Order::NewestFirst,
            Some(_) => Order::OldestFirst,
        };
        let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok());
        Some(Self {
            filter,
            order,
            from: number("from")?,
            limit: limit.unwrap_or(AUDIT_PAGE_ENTRIES).min(AUDIT_PAGE_ENTRIES),
        })
    }
}

fn word<T: std::str::FromStr>(text: Option<String>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => text.parse().ok().map(Some),
    }
}

/// An entry. What is not known of it is left out.
fn entry(access: &Access) -> Json {
    let mut entry = Object::with_capacity(12);
    entry.insert("sequence", Json::from(access.sequence));
    entry.insert("time", Json::text(&shown(access.time)));
    entry.insert("who", Json::text(access.who.name()));
    let mut text = |member: &'static str, text: Option<&str>| {
        if let Some(text) = text {
            entry.insert(member, Json::text(text));
        }
    };
    text("from", Some(&access.who.peer().to_string()));
    text("conversation", access.who.conversation());
    text("tool", access.who.tool());
    text("operation", Some(access.operation.word()));
    text(
        "namespace",
        access.namespace.as_ref().map(|one| one.as_str()),
    );
    text("name", access.name.as_ref().map(|one| one.as_str()));
    if let Some(version) = access.version {
        entry.insert("version", Json::from(version));
    }
    entry.insert("outcome", Json::text(access.verdict.word()));
    if access.times > 1 {
        entry.insert("times", Json::from(u64::from(access.times)));
    }
    Json::Object(entry)
}

/// To the millisecond, which is all that is kept.
fn shown(time: SystemTime) -> String {
    let exact = timestamp(time);
    let cut = exact.strip_suffix("000Z").map(|cut| format!("{cut}Z"));
    cut.unwrap_or(exact)
}
