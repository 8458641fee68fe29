//! One request's way, in order: guard, preflight, route, key, body, handler, answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use strongroom_vault::audit;

use crate::auth::{Access, Peer};
use crate::body::{Arriving, Received};
use crate::call::{Call, State};
use crate::connection::Switch;
use crate::cors;
use crate::error::Error;
use crate::log::{Entry, Level};
use crate::reply::{self, Reply};
use crate::router::{self, Found};
use crate::routes::{OWNER_ROUTES, ROUTES, Reads, Route};
use crate::watch::Watch;
use crate::websocket::Session;

/// Answers one request. Failures are answers too.
pub async fn serve(
    state: Arc<State>,
    watch: Arc<Watch>,
    switch: Arc<Switch>,
    peer: (Peer, audit::Peer),
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    watch.begin();
    let mut reply = answer(&state, peer, request).await;
    if reply.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(session) = reply.extensions_mut().remove::<Session>()
    {
        switch.set(session);
    }
    watch.answer();
    reply.body_mut().hold(&watch);
    Ok(reply)
}

async fn answer(
    state: &Arc<State>,
    (peer, from): (Peer, audit::Peer),
    request: Request<Incoming>,
) -> Reply {
    let (id, started) = (state.next_id(), started(state));
    let (parts, body) = request.into_parts();
    let method = known(&parts.method);
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let mut route = "-";
    let result = match open_the_door(state, peer, &parts) {
        Err(error) => {
            if matches!(error, Error::ForeignHost | Error::ForeignOrigin) {
                state.note_refusal(from, &parts.method, None).await;
            }
            Err(error)
        }
        Ok(Some(preflight)) => return preflight,
        Ok(None) => handle(state, (peer, from), parts, body, &mut route).await,
    };
    let mut reply = result.unwrap_or_else(|error| {
        if error.is_fault() {
            state.log.write(&Entry::Fault {
                route,
                id,
                error: &error,
            });
        }
        reply::failure(&error, id)
    });
    state.origins.mark(origin, &mut reply);
    if let Some(started) = started {
        state.log.write(&Entry::Request {
            route,
            method,
            status: reply.status().as_u16(),
            duration: started.elapsed(),
            id,
        });
    }
    reply
}

/// Looks at where the request comes from. A preflight request ends here, with its answer.
fn open_the_door(state: &State, peer: Peer, parts: &Parts) -> Result<Option<Reply>, Error> {
    cors::check_host(parts.version, &parts.headers)?;
    if state.keys.is_empty() && peer == Peer::Network {
        let bound = state.bound.ip();
        state.origins.guard(&parts.uri, &parts.headers, bound)?;
    }
    Ok(state.origins.preflight(&parts.method, &parts.headers))
}

async fn handle(
    state: &Arc<State>,
    (peer, from): (Peer, audit::Peer),
    parts: Parts,
    body: Incoming,
    name: &mut &'static str,
) -> Result<Reply, Error> {
    let path = state.path(&parts.uri);
    let method = parts.method.as_str();
    let found = match peer {
        // The network is not told that there are more.
        Peer::Network => router::find(ROUTES, method, &path),
        Peer::Owner => match router::find(OWNER_ROUTES, method, &path) {
            Found::Nothing => router::find(ROUTES, method, &path),
            found => found,
        },
    };
    let (route, values): (&Route, _) = match found {
        Found::Row(route, values) => (route, values),
        Found::WrongMethod(allowed) => return Err(Error::WrongMethod(allowed)),
        Found::Slash => return Ok(reply::moved(with_path(&parts, without_slash(&parts)))),
        Found::NoSlash => {
            let path = format!("{}/", parts.uri.path());
            return Ok(reply::moved(with_path(&parts, &path)));
        }
        Found::Nothing => return Err(Error::NoRoute),
    };
    drop(path);
    *name = route.pattern;
    let caller = match state.keys.admit(peer, &parts.headers, route.access) {
        Ok(caller) => caller,
        Err(error) => {
            if matches!(error, Error::NoKey) {
                state
                    .note_refusal(from, &parts.method, Some(route.access))
                    .await;
            }
            return Err(error);
        }
    };
    let caller = (caller, state.names.who(caller, from));
    if route.access != Access::Open {
        state.clock.note();
    }
    let (received, arriving) = match route.reads {
        Reads::Nothing => (Received::default(), None),
        Reads::Whole(limit) => (state.bodies.read(body, limit).await?, None),
        Reads::Stream => (Received::default(), Some(Arriving::new(body))),
    };
    let call = Call::new(
        state.clone(),
        caller,
        peer,
        parts,
        (route.pattern, values),
        received,
        arriving,
    );
    let result = (route.handler)(call).await;
    if matches!(result, Err(Error::NoSocket)) {
        // A handshake without the right key: a GET, always.
        let access = Some(route.access);
        state.note_refusal(from, &Method::GET, access).await;
    }
    result
}

/// The path without the slashes at its end, as it was sent, so that what was percent-encoded stays so.
fn without_slash(parts: &Parts) -> &str {
    let mut path = parts.uri.path();
    while let Some(shorter) = path
        .strip_suffix('/')
        .or_else(|| path.strip_suffix("%2F"))
        .or_else(|| path.strip_suffix("%2f"))
    {
        path = shorter;
    }
    path
}

/// The absolute URL of the request with another path; relative if there is no usable Host.
fn with_path(parts: &Parts, path: &str) -> HeaderValue {
    // A path that begins with two slashes would be a host by itself.
    let path = format!("/{}", path.trim_start_matches('/'));
    let query = parts.uri.query().map(|query| format!("?{query}"));
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = host.map(|host| format!("http://{host}"));
    let url = origin.unwrap_or_default() + &path + &query.unwrap_or_default();
    HeaderValue::try_from(url).unwrap_or(HeaderValue::from_static("/"))
}

/// The clock is read only for a log that wants to know.
fn started(state: &State) -> Option<Instant> {
    state.log.takes(Level::Debug).then(Instant::now)
}

/// HTTP's own methods by name; a log line holds nothing else that a client chose.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_on_its_host() {
        let check = |uri: &str, host: Option<&'static str>, expected: &str| {
            let mut request = Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(with_path(&parts, without_slash(&parts)), expected);
        };
        check("/health/", Some("a:1"), "http://a:1/health");
        check("/health//?x=%20", Some("a"), "http://a/health?x=%20");
        check("/health%2F", None, "/health");
        check("//evil.example/", None, "/evil.example");
        check("/things/a%20b/", Some("a"), "http://a/things/a%20b");
    }
}
