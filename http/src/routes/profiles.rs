//! LLM profiles, agent profiles and meta profiles.

use hyper::StatusCode;
use strongroom_agent::settings::{Expose, expose_from_header};

use super::settings::{change, note_exposed, read};
use crate::call::Call;
use crate::error::Error;
use crate::reply::{self, Reply};

/// `GET /api/profiles`.
pub async fn llm_list(call: Call) -> Result<Reply, Error> {
    read(&call, |desk| desk.llm_profiles()).await
}

/// `GET /api/profiles/{name}`.
pub async fn llm_get(call: Call) -> Result<Reply, Error> {
    let (name, store) = (call.value(0), call.state.settings.clone());
    let header = call.text_header("x-expose-secrets");
    let masked = matches!(
        expose_from_header(header.as_deref(), store.keys())?,
        Expose::Masked
    );
    let profile = name.clone();
    let mut reply = read(&call, move |desk| {
        desk.llm_profile(
            &profile,
            expose_from_header(header.as_deref(), store.keys())?,
        )
    })
    .await?;
    if !masked {
        note_exposed(&call, "llm-profiles", &name).await?;
        reply::keep_from_caches(&mut reply);
    }
    Ok(reply)
}

/// `POST /api/profiles/{name}`.
pub async fn llm_save(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::CREATED, move |desk| {
        desk.save_llm_profile(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `DELETE /api/profiles/{name}`.
pub async fn llm_delete(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.delete_llm_profile(&name)
    })
    .await
}

/// `POST /api/profiles/{name}/activate`.
pub async fn llm_activate(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.activate_llm_profile(&name)
    })
    .await
}

/// `POST /api/profiles/{name}/rename`.
pub async fn llm_rename(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::OK, move |desk| {
        desk.rename_llm_profile(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `POST /api/profiles/{name}/validate`: asks the model one short question.
pub async fn llm_validate(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    let store = call.state.settings.clone();
    let read =
        move || store.read(|desk| desk.llm_to_validate(&name, body.as_ref().map(|(json, _)| json)));
    let llm = call.state.pool.work(read).await?;
    Ok(reply::json(&call.state.trials.run(&llm).await?))
}

/// `GET /api/agent-profiles`.
pub async fn agent_list(call: Call) -> Result<Reply, Error> {
    change(&call, StatusCode::OK, |desk| desk.agent_profiles()).await
}

/// `GET /api/agent-profiles/{name}`.
pub async fn agent_get(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    read(&call, move |desk| desk.agent_profile(&name)).await
}

/// `POST /api/agent-profiles/{name}`.
pub async fn agent_save(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::CREATED, move |desk| {
        desk.save_agent_profile(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `DELETE /api/agent-profiles/{name}`.
pub async fn agent_delete(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.delete_agent_profile(&name)
    })
    .await
}

/// `POST /api/agent-profiles/{name}/rename`.
pub async fn agent_rename(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::OK, move |desk| {
        desk.rename_agent_profile(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `POST /api/agent-profiles/{id}/activate`.
pub async fn agent_activate(call: Call) -> Result<Reply, Error> {
    let id = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.activate_agent_profile(&id)
    })
    .await
}

/// `POST /api/agent-profiles/{name}/materialize`: what a profile would come to.
pub async fn agent_materialize(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    read(&call, move |desk| {
        desk.materialize(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `GET /api/meta-profiles`.
pub async fn meta_list(call: Call) -> Result<Reply, Error> {
    read(&call, |desk| desk.meta_profiles()).await
}

/// `GET /api/meta-profiles/{name}`.
pub async fn meta_get(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    read(&call, move |desk| desk.meta_profile(&name)).await
}

/// `POST /api/meta-profiles/{name}`.
pub async fn meta_save(mut call: Call) -> Result<Reply, Error> {
    let (name, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::CREATED, move |desk| {
        desk.save_meta_profile(&name, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `DELETE /api/meta-profiles/{name}`.
pub async fn meta_delete(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.delete_meta_profile(&name)
    })
    .await
}

/// `POST /api/meta-profiles/{name}/activate`.
pub async fn meta_activate(call: Call) -> Result<Reply, Error> {
    let name = call.value(0);
    change(&call, StatusCode::OK, move |desk| {
        desk.activate_meta_profile(&name)
    })
    .await
}
