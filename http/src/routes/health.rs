//! Whether the server runs, and what it is.

use std::time::Duration;

use strongroom_agent::json::{Json, Object};

use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::reply::{self, Reply};

/// Version of the surface that this server speaks.
pub const SURFACE: &str = "1.58.0";
/// What a client may count on beyond it: a promise each.
const CAPABILITIES: [&str; 1] = ["tool_catalog_v1"];

/// `GET /alive`, `GET /health`.
pub async fn alive(_: Call) -> Result<Reply, Error> {
    Ok(reply::fixed(r#"{"status":"ok"}"#))
}

/// `GET /ready`. The socket is opened when the vault is, so that whoever gets an answer gets this one. With `?details`
/// it says more than the reference does.
pub async fn ready(call: Call) -> Result<Reply, Error> {
    if call.parameter("details").is_none() {
        return Ok(reply::fixed(r#"{"status":"ready"}"#));
    }
    let isolation = call.state.guard.availability();
    let mut details = Object::with_capacity(1);
    details.insert("isolation", Json::text(&isolation.to_string()));
    let mut answer = Object::with_capacity(2);
    answer.insert("status", Json::text("ready"));
    answer.insert("details", details);
    Ok(reply::json(&Json::Object(answer)))
}

/// `GET /api/init`: there is nothing to initialise.
pub async fn init(_: Call) -> Result<Reply, Error> {
    Err(Refusal::NoDeferredInit.into())
}

/// `GET /server_info`, `GET /`.
pub async fn server_info(call: Call) -> Result<Reply, Error> {
    let state = &call.state;
    let whole = |time: Duration| Json::from(time.as_secs() as f64);
    let mut info = Object::with_capacity(20);
    info.insert("uptime", whole(state.clock.uptime()));
    info.insert("idle_time", whole(state.clock.idle()));
    info.insert("title", Json::text("OpenHands Agent Server"));
    for part in [
        "version",
        "sdk_version",
        "tools_version",
        "workspace_version",
    ] {
        info.insert(part, Json::text(SURFACE));
    }
    info.insert("build_git_sha", Json::text(&state.build.sha));
    info.insert("build_git_ref", Json::text(&state.build.reference));
    let program = concat!("none (strongroom ", env!("CARGO_PKG_VERSION"), ")");
    info.insert("python_version", Json::text(program));
    info.insert("usable_tools", super::tools::names());
    info.insert("runtime_idle_timeout_seconds", Json::Null);
    info.insert("conversation_runtime", Json::text("local"));
    info.insert("available_conversation_runtimes", Vec::new());
    info.insert("capabilities", Vec::from(CAPABILITIES.map(Json::text)));
    info.insert("app_backend_ingress_url", Json::Null);
    info.insert("max_foreground_terminal_timeout_seconds", Json::Null);
    info.insert("docs", Json::text("/docs"));
    info.insert("redoc", Json::text("/redoc"));
    Ok(reply::json(&Json::Object(info)))
}
