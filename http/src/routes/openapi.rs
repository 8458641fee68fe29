//! `GET /openapi.json`: the table as an OpenAPI document.

use strongroom_agent::json::{Json, Object};

use super::{ROUTES, Reads, Route};
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
        if !paths.contains(route.pattern) {
            paths.insert(route.pattern, Object::new());
        }
        if let Some(methods) = paths.get_mut(route.pattern).and_then(Json::as_object_mut) {
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
                object([(
                    "sessionKey",
                    object([
                        ("type", Json::text("apiKey")),
                        ("in", Json::text("header")),
                        ("name", Json::text("X-Session-API-Key")),
                    ]),
                )]),
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
    if route.access != Access::Open {
        operation.insert(
            "security",
            vec![object([("sessionKey", Json::List(Vec::new()))])],
        );
    }
    Json::Object(operation)
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
    segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
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
                .and_then(|paths| paths.get(route.pattern)?.get(&method))
                .unwrap();
            assert_eq!(
                operation.get("security").is_none(),
                route.access == Access::Open
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
