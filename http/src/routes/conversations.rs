//! Conversations as wholes: to begin, find, change, run and end them.

use hyper::StatusCode;
use strongroom_agent::conversation::info::Form;
use strongroom_agent::conversation::registry::{Sort, Wanted};
use strongroom_agent::conversation::{Conversation, Error as Refused, Id, Status};
use strongroom_agent::json::{Json, Object};

use super::base;
use crate::body::Room;
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
    id_of(call, "conversation_id")
}

/// The same, where the contract calls it `name`.
pub(super) fn id_of(call: &Call, name: &'static str) -> Result<Id, Error> {
    let text = call.value(0);
    let wrong = |_| Error::Invalid(vec![no_uuid(&["path", name], &text)]);
    text.parse().map_err(wrong)
}

/// The conversation in the path.
async fn find(call: &Call) -> Result<Conversation, Error> {
    call.state.conversation(id(call)?).await
}

/// `POST /api/conversations`: 201, or 200 with the one that is there.
pub async fn create(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    let all = call.state.conversations().await?;
    let (info, new) = all.create(body, &call.holder()).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(reply::body(status, info.to_bytes()))
}

/// `GET /api/conversations/{id}`.
pub async fn get(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let (id, form) = (id(&call)?, form(&mut query));
    query.end()?;
    let info = call.state.conversation(id).await?.info(form).await?;
    Ok(reply::json(&info))
}

/// `GET /api/conversations/search`.
pub async fn search(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let wanted = Wanted {
        page_id: query.text("page_id").map(str::to_owned),
        limit: query.number("limit", PAGE_ITEMS_MAX, 0, PAGE_ITEMS_MAX),
        status: status(&mut query),
        sort: query
            .choice("sort_order", &SORTS)
            .unwrap_or(Sort::CreatedLast),
        include_skills: form(&mut query).include_skills,
    };
    query.end()?;
    let page = call.state.conversations().await?.search(wanted).await?;
    Ok(reply::json(&page))
}

/// `GET /api/conversations/count`.
pub async fn count(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let status = status(&mut query);
    query.end()?;
    let count = call.state.conversations().await?.count(status).await?;
    Ok(reply::json(&Json::from(count)))
}

/// `GET /api/conversations?ids=..`: in that order, null for what is not there.
pub async fn many(call: Call) -> Result<Reply, Error> {
    let mut query = Query::of(call.query());
    let ids = query.ids("ids", BATCH_IDS_MAX);
    let skills = form(&mut query).include_skills;
    query.end()?;
    let infos = call.state.conversations().await?.many(&ids, skills).await?;
    Ok(reply::json(&infos))
}

fn status(query: &mut Query) -> Option<Status> {
    query.choice(
        "status",
        &Status::ALL.map(|status| (status.as_str(), status)),
    )
}

fn form(query: &mut Query) -> Form {
    Form {
        include_skills: query.flag("include_skills"),
        ..Form::default()
    }
}

/// The body apart from the room that it takes, which is held as long.
fn parted(body: Option<(Json, Room)>) -> (Option<Json>, Option<Room>) {
    body.unzip()
}

/// `PATCH /api/conversations/{id}`: its title, its tags.
pub async fn patch(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    find(&call).await?.patch(body).await?;
    Ok(reply::done())
}

/// `DELETE /api/conversations/{id}`. The workspace stays.
pub async fn delete(call: Call) -> Result<Reply, Error> {
    let id = id(&call)?;
    call.state.conversations().await?.delete(id).await?;
    base::forget(&call, id).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/fork`.
pub async fn fork(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    // All that can be said is optional, and so is saying it.
    let body = body.or_else(|| Some(Object::new().into()));
    let id = id(&call)?;
    let info = call.state.conversations().await?.fork(id, body).await?;
    Ok(reply::body(StatusCode::CREATED, info.to_bytes()))
}

/// `POST /api/conversations/{id}/run`.
pub async fn run(call: Call) -> Result<Reply, Error> {
    find(&call).await?.runner().run().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/pause`: once the tool in flight has ended.
pub async fn pause(call: Call) -> Result<Reply, Error> {
    find(&call).await?.runner().pause().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/interrupt`: at once.
pub async fn interrupt(call: Call) -> Result<Reply, Error> {
    find(&call).await?.runner().interrupt().await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/secrets`.
pub async fn secrets(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    let conversation = find(&call).await?;
    conversation.set_secrets(body, &call.holder()).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/confirmation_policy`.
pub async fn confirmation_policy(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    find(&call).await?.set_policy(body.as_ref()).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/security_analyzer`.
pub async fn security_analyzer(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    find(&call).await?.set_analyzer(body.as_ref()).await?;
    Ok(reply::done())
}

/// `POST /api/conversations/{id}/ask_agent`: a question that leaves no trace.
pub async fn ask(mut call: Call) -> Result<Reply, Error> {
    let (body, _room) = parted(call.body().await?);
    let conversation = find(&call).await.map_err(worded)?;
    text(&conversation.ask(body.as_ref()).await?)
}

/// `POST /api/conversations/{id}/condense`.
pub async fn condense(call: Call) -> Result<Reply, Error> {
    let conversation = find(&call).await.map_err(worded)?;
    conversation.runner().condense().await?;
    Ok(reply::done())
}

/// `GET /api/conversations/{id}/agent_final_response`.
pub async fn final_response(call: Call) -> Result<Reply, Error> {
    let conversation = find(&call).await?;
    let read = move || conversation.runner().final_response();
    text(&call.state.pool.work(read).await?)
}

/// `GET /api/conversations/{id}/runtime`: it runs where the server does.
pub async fn runtime(call: Call) -> Result<Reply, Error> {
    find(&call).await?;
    Ok(reply::json(&strongroom_agent::conversation::info::runtime()))
}

/// Two routes say in words what the others say by their status.
fn worded(error: Error) -> Error {
    match error {
        Error::Conversation(Refused::Unknown) => Error::NoConversation,
        other => other,
    }
}

fn text(text: &str) -> Result<Reply, Error> {
    let mut body = Object::with_capacity(1);
    body.insert("response", Json::text(text));
    Ok(reply::json(&body.into()))
}
