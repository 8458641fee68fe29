//! `GET /openapi.json`: the table as an OpenAPI document.

use strongroom_agent::json::{Json, Object};

use super::{ROUTES, Reads, Route, cookie};
use crate::auth::Access;
use crate::call::Call;
use crate::error::Error;
use crate::reply::{self, Reply};

/// The document. It says which paths and methods there are, which want a key and which take JSON.
pub async fn document(call: Call) -> Result<Reply, Error> {
    let mut document = describe(ROUTES);
    let root = &call.state.root;
    if let (false, Some(members)) = (root.is_empty(), document.as_object_mut()) {
        members.insert("servers", vec![object([("url", Json::text(root))])]);
    }
    Ok(reply::json(&document))
}

fn describe(routes: &[Route]) -> Json {
    let mut paths = Object::new();
    for route in routes {
        let path = shown(route.pattern);
        if !paths.contains(&path) {
            paths.insert(&path, Object::new());
        }
        if let Some(methods) = paths.get_mut(&path).and_then(Json::as_object_mut) {
            methods.insert(&route.method.to_ascii_lowercase(), operation(route));
        }
    }
    object([
        ("openapi", Json::text("3.1.0")),
        (
            "info",
            object([
                ("title", Json::text("OpenHands Agent Server")),
                ("version", Json::text(super::health::SURFACE)),
            ]),
        ),
        ("paths", Json::Object(paths)),
        (
            "components",
            object([(
                "securitySchemes",
                object([
                    ("sessionKey", scheme("header", "X-Session-API-Key")),
                    ("workspaceCookie", scheme("cookie", cookie::NAME)),
                ]),
            )]),
        ),
    ])
}

fn operation(route: &Route) -> Json {
    let mut operation = Object::new();
    let parameters: Vec<Json> = variables(route.pattern).map(parameter).collect();
    if !parameters.is_empty() {
        operation.insert("parameters", parameters);
    }
    let kind = match route.reads {
        Reads::Nothing => None,
        Reads::Whole(_) => Some("application/json"),
        Reads::Stream => Some("multipart/form-data"),
    };
    if let Some(kind) = kind {
        let content = object([(kind, object([]))]);
        operation.insert(
            "requestBody",
            object([("required", Json::Bool(true)), ("content", content)]),
        );
    }
    let mut responses = Object::new();
    responses.insert(
        "default",
        object([("description", Json::text("The answer"))]),
    );
    operation.insert("responses", responses);
    // One of them is enough.
    let schemes: &[&'static str] = match route.access {
        Access::Open => &[],
        Access::WorkspaceFiles => &["sessionKey", "workspaceCookie"],
        _ => &["sessionKey"],
    };
    if !schemes.is_empty() {
        let each = schemes.iter();
        let each = each.map(|scheme| object([(*scheme, Json::List(Vec::new()))]));
        operation.insert("security", each.collect::<Vec<_>>());
    }
    Json::Object(operation)
}

fn scheme(place: &str, name: &str) -> Json {
    object([
        ("type", Json::text("apiKey")),
        ("in", Json::text(place)),
        ("name", Json::text(name)),
    ])
}

/// A path as OpenAPI writes it, which has no variable for several segments.
fn shown(pattern: &str) -> String {
    pattern.replace("{*", "{")
}

fn parameter(name: &str) -> Json {
    object([
        ("name", Json::text(name)),
        ("in", Json::text("path")),
        ("required", Json::Bool(true)),
        ("schema", object([("type", Json::text("string"))])),
    ])
}

fn variables(pattern: &str) -> impl Iterator<Item = &str> {
    let segments = pattern.split('/');
    let names = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| name.trim_start_matches('*'))
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    let mut object = Object::with_capacity(N);
    for (name, value) in members {
        object.insert(name, value);
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let document = describe(ROUTES);
        for route in ROUTES {
            let method = route.method.to_ascii_lowercase();
            let operation = document
                .get("paths")
                .and_then(|paths| paths.get(&shown(route.pattern))?.get(&method))
                .unwrap();
            assert_eq!(
                operation.get("security").is_none(),
                route.access == Access::Open
            );
            let by_cookie = operation.get("security").map(|all| all.to_bytes());
            let by_cookie = by_cookie.map(|all| String::from_utf8_lossy(all.expose()).into_owned());
            assert_eq!(
                by_cookie.is_some_and(|all| all.contains("workspaceCookie")),
                route.access == Access::WorkspaceFiles
            );
            assert_eq!(
                operation.get("requestBody").is_some(),
                route.reads != Reads::Nothing
            );
            assert_eq!(
                operation.get("parameters").is_some(),
                route.pattern.contains('{')
            );
        }
    }
}
