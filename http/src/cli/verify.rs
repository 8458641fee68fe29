//! `strongroom verify`.

use hyper::Method;
use strongroom_agent::json::Json;

use super::{Failure, Place, say};
use crate::config::Environment;

pub(super) fn run(place: &Place, env: &mut Environment) -> Result<(), Failure> {
    ask(place, env, "/local/verify", Failure::Damaged)
}

/// Prints the report at `path`; `otherwise` when it is not clean.
pub(super) fn ask(
    place: &Place,
    env: &mut Environment,
    path: &str,
    otherwise: Failure,
) -> Result<(), Failure> {
    let answered = place.road(env)?.ask(Method::GET, path, None)?;
    let answer = answered.json();
    let member = |name| answer.as_ref()?.as_object()?.get(name);
    if let Some(Json::Text(report)) = member("report") {
        say(report.expose());
    }
    match member("clean") {
        Some(Json::Bool(true)) => Ok(()),
        _ => Err(otherwise),
    }
}
