//! The events of a conversation: to read them, and to say something.

use std::sync::Arc;

use strongroom_agent::conversation::{
    Conversation, Error as Refused, Filter, Id, Journal, Order, Query as Page, Source,
};
use strongroom_agent::json::Json;

use super::conversations::id;
use crate::call::Call;
use crate::error::{Error, Flaw};
use crate::limits::PAGE_ITEMS_MAX;
use crate::query::Query;
use crate::reply::{self, Reply};

const SOURCES: [(&str, Source); 3] = [
    ("agent", Source::Agent),
    ("user", Source::User),
    ("environment", Source::Environment),
];
const ORDERS: [(&str, Order); 2] = [
    ("TIMESTAMP", Order::Ascending),
    ("TIMESTAMP_DESC", Order::Descending),
];

/// The conversation in the path; these routes name it when it is not there.
async fn find(call: &Call) -> Result<Conversation, Error> {
    named(call, id(call)?).await
}

/// The conversation with this id, which is named when it is not there.
pub(super) async fn named(call: &Call, id: Id) -> Result<Conversation, Error> {
    let found = call.state.conversation(id).await;
    found.map_err(|error| match error {
        Error::Conversation(Refused::Unknown) => Refused::UnknownNamed(id).into(),
        other => other,
    })
}

/// Reads from the log on a thread that may block.
async fn read(
    call: &Call,
    conversation: &Conversation,
    read: impl FnOnce(&Arc<Journal>) -> Result<Vec<u8>, Refused> + Send + 'static,
) -> Result<Reply, Error> {
    let journal = conversation.journal().clone();
    Ok(reply::written(
        call.state.pool.work(move || read(&journal)).await?,
    ))
}

/// `GET /api/conversations/{id}/events/search`.
pub async fn search(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let page = Page {
        filter: filter(&mut query),
        order: query
            .choice("sort_order", &ORDERS)
            .unwrap_or(Order::Ascending),
        page_id: query.text("page_id").map(str::to_owned),
        limit: query.number("limit", PAGE_ITEMS_MAX, 0, PAGE_ITEMS_MAX),
    };
    id(&call)?;
    query.end()?;
    let conversation = find(&call).await?;
    read(&call, &conversation, move |journal| {
        journal.events().page(&page)
    })
    .await
}

/// `GET /api/conversations/{id}/events/count`.
pub async fn count(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let filter = filter(&mut query);
    id(&call)?;
    query.end()?;
    let conversation = find(&call).await?;
    let count =
        move |journal: &Arc<Journal>| Ok(journal.events().count(&filter)?.to_string().into_bytes());
    read(&call, &conversation, count).await
}

/// `GET /api/conversations/{id}/events/{event_id}`: with the nulls that lists leave out.
pub async fn one(call: Call) -> Result<Reply, Error> {
    let conversation = find(&call).await?;
    let event = call.value(1);
    let found = read(&call, &conversation, move |journal| {
        journal.events().one(&event)
    })
    .await;
    found.map_err(|error| match error {
        Error::Conversation(Refused::UnknownEvent) => Error::NoRoute,
        other => other,
    })
}

/// `GET /api/conversations/{id}/events`, with a list of ids as its body: in that order, null for what is not there.
pub async fn many(mut call: Call) -> Result<Reply, Error> {
    let (ids, _room) = call.json(event_ids).await?;
    let conversation = find(&call).await?;
    let many = move |journal: &Arc<Journal>| journal.events().many(ids.iter().map(String::as_str));
    read(&call, &conversation, many).await
}

/// A list of texts, of which there may be a page's worth.
fn event_ids(body: &Json) -> Result<Vec<String>, Error> {
    let wrong = |kind, message: &'static str| Flaw {
        kind,
        at: vec!["body"],
        message: message.into(),
        input: Json::Null,
        context: None,
    };
    let Json::List(ids) = body else {
        let flaw = wrong("list_type", "Input should be a valid list");
        return Err(Error::Invalid(vec![flaw]));
    };
    if ids.len() > PAGE_ITEMS_MAX {
        let flaw = wrong(
            "too_long",
            "List should have at most 100 items after validation",
        );
        return Err(Error::Invalid(vec![flaw]));
    }
    let texts: Option<Vec<_>> = ids
        .iter()
        .map(|id| id.as_text().map(str::to_owned))
        .collect();
    let no_text = || wrong("string_type", "Input should be a valid string");
    texts.ok_or_else(|| Error::Invalid(vec![no_text()]))
}

/// `POST /api/conversations/{id}/events`: a message to the agent.
pub async fn send(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = call.body().await?.unzip();
    find(&call).await?.send(body.as_ref()).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/events/respond_to_confirmation`.
pub async fn respond(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = call.body().await?.unzip();
    find(&call).await?.respond(body.as_ref()).await?;
    Ok(reply::done())
}

fn filter(query: &mut Query) -> Filter {
    Filter {
        kind: query.text("kind").map(str::to_owned),
        source: query.choice("source", &SOURCES),
        body: query.text("body").map(str::to_owned),
        from: query.moment("timestamp__gte"),
        before: query.moment("timestamp__lt"),
    }
}
