//! Conversations as wholes: to begin, find, change, run and end them.

use hyper::StatusCode;
use strongroom_agent::conversation::registry::{Search, Sort};
use strongroom_agent::conversation::{Conversation, Id, Status, request};
use strongroom_agent::json::{Json, Object};

use crate::call::Call;
use crate::error::Error;
use crate::limits::{BATCH_IDS_MAX, PAGE_ITEMS_MAX};
use crate::query::{Query, no_uuid};
use crate::reply::{self, Reply};

const SORTS: [(&str, Sort); 4] = [
    ("CREATED_AT", Sort::Created),
    ("UPDATED_AT", Sort::Updated),
    ("CREATED_AT_DESC", Sort::CreatedLast),
    ("UPDATED_AT_DESC", Sort::UpdatedLast),
];

/// The id in the path.
pub(super) fn id(call: &Call) -> Result<Id, Error> {
    let text = call.value(0);
    let wrong = |_| Error::Invalid(vec![no_uuid(&["path", "conversation_id"], &text)]);
    text.parse().map_err(wrong)
}

/// The conversation in the path.
async fn find(call: &Call) -> Result<Conversation, Error> {
    Ok(call.state.conversations.get(id(call)?).await?)
}

/// `POST /api/conversations`: 201, or 200 with the one that is there.
pub async fn create(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = call.needed_body().await?;
    let holder = call.holder();
    let (info, new) = call.state.conversations.create(body, &holder).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply::body(status, info.to_bytes()))
}

/// `GET /api/conversations/{id}`.
pub async fn get(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let skills = query.flag("include_skills");
    let id = id(&call)?;
    query.end()?;
    let conversation = call.state.conversations.get(id).await?;
    let info = call.state.pool.work(move || Ok(conversation.info(skills)?.to_bytes()));
    Ok(reply::body(StatusCode::OK, info.await?))
}

/// `GET /api/conversations/search`.
pub async fn search(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let search = Search {
        page_id: query.text("page_id").map(str::to_owned),
        limit: query.number("limit", PAGE_ITEMS_MAX, 0, PAGE_ITEMS_MAX),
        status: status(&mut query),
        sort: query.choice("sort_order", &SORTS).unwrap_or(Sort::CreatedLast),
        skills: query.flag("include_skills"),
    };
    query.end()?;
    let page = call.state.conversations.search(search).await?;
    Ok(reply::body(StatusCode::OK, page.to_bytes()))
}

/// `GET /api/conversations/count`.
pub async fn count(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let status = status(&mut query);
    query.end()?;
    let count = call.state.conversations.count(status).await?;
    Ok(reply::json(&Json::from(count as u64)))
}

/// `GET /api/conversations?ids=..`: in that order, null for what is not there.
pub async fn many(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let ids = query.ids("ids", BATCH_IDS_MAX);
    let skills = query.flag("include_skills");
    query.end()?;
    let infos = call.state.conversations.many(ids, skills).await?;
    Ok(reply::json(&infos))
}

fn status(query: &mut Query) -> Option<Status> {
    query.choice("status", &Status::ALL.map(|status| (status.as_str(), status)))
}

/// `PATCH /api/conversations/{id}`: its title, its tags.
pub async fn patch(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.needed_body().await?);
    let patch = request::Patch::read(&body.0)?;
    call.state.conversations.patch(id, patch).await?;
    Ok(reply::done())
}

/// `DELETE /api/conversations/{id}`. The workspace stays.
pub async fn delete(call: Call) -> Result<Reply, Error> {
    call.state.conversations.delete(id(&call)?).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/fork`.
pub async fn fork(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.body().await?);
    let fork = request::Fork::read(body.as_ref().map(|(json, _)| json))?;
    let info = call.state.conversations.fork(id, fork).await?;
    Ok(reply::body(StatusCode::CREATED, info.to_bytes()))
}

/// `POST /api/conversations/{id}/run`.
pub async fn run(call: Call) -> Result<Reply, Error> {
    find(&call).await?.run().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/pause`: once the tool in flight has ended.
pub async fn pause(call: Call) -> Result<Reply, Error> {
    find(&call).await?.pause().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/interrupt`: at once.
pub async fn interrupt(call: Call) -> Result<Reply, Error> {
    find(&call).await?.interrupt().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/secrets`.
pub async fn secrets(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.needed_body().await?);
    let secrets = request::Secrets::read(&body.0)?;
    let conversation = call.state.conversations.get(id).await?;
    conversation.set_secrets(secrets, &call.holder()).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/confirmation_policy`.
pub async fn confirmation_policy(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.needed_body().await?);
    let policy = request::Policy::read(&body.0)?;
    call.state.conversations.get(id).await?.set_policy(policy).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/security_analyzer`.
pub async fn security_analyzer(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.needed_body().await?);
    let analyzer = request::Analyzer::read(&body.0)?;
    call.state.conversations.get(id).await?.set_analyzer(analyzer).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/ask_agent`: a question that leaves no trace.
pub async fn ask(mut call: Call) -> Result<Reply, Error> {
    let (id, body) = (id(&call)?, call.needed_body().await?);
    let question = request::Question::read(&body.0)?;
    let conversation = call.state.conversations.get(id).await.map_err(worded)?;
    text("response", &conversation.ask(question).await?)
}

/// `POST /api/conversations/{id}/condense`.
pub async fn condense(call: Call) -> Result<Reply, Error> {
    let conversation = call.state.conversations.get(id(&call)?).await.map_err(worded)?;
    conversation.condense().await?;
    Ok(reply::done())
}

/// `GET /api/conversations/{id}/agent_final_response`.
pub async fn final_response(call: Call) -> Result<Reply, Error> {
    let conversation = find(&call).await?;
    let response = call.state.pool.work(move || Ok(conversation.final_response()?));
    text("response", &response.await?)
}

/// `GET /api/conversations/{id}/runtime`: it runs where the server does.
pub async fn runtime(call: Call) -> Result<Reply, Error> {
    find(&call).await?;
    Ok(reply::fixed(
        r#"{"runtime_status":"available","can_resume":true,"runtime_error":null}"#,
    ))
}

/// Two routes say in words what the others say by their status.
fn worded(error: strongroom_agent::conversation::Error) -> Error {
    match error {
        strongroom_agent::conversation::Error::Unknown => Error::NoConversation,
        other => other.into(),
    }
}

fn text(name: &str, text: &str) -> Result<Reply, Error> {
    let mut body = Object::with_capacity(1);
    body.insert(name, Json::text(text));
    Ok(reply::json(&body.into()))
}
