//! What a call of a server gave, as an observation.

use crate::json::{Json, Object};
use crate::redact::Redactor;
use crate::tool::{Content, McpObservation};

/// The observation of a result: masked, text by text, before any of it is copied.
pub(super) fn observed(tool: &str, result: &Json, redactor: &Redactor) -> McpObservation {
    let masked = |text: &str| redactor.text(text).into_inner();
    let mut content = vec![Content::text(format!("[Tool '{tool}' executed.]"))];
    let blocks = match result.get("content") {
        Some(Json::List(blocks)) => blocks.as_slice(),
        _ => &[],
    };
    let mut spoken = false;
    for block in blocks.iter().filter_map(Json::as_object) {
        let text = |name: &str| block.get(name).and_then(Json::as_text);
        match text("type") {
            Some("text") => {
                spoken = true;
                content.push(Content::text(masked(text("text").unwrap_or_default())));
            }
            Some("image") => {
                let kind = text("mimeType").unwrap_or("image/png");
                let data = text("data").unwrap_or_default();
                content.push(Content::image(format!(
                    "data:{};base64,{}",
                    masked(kind),
                    masked(data)
                )));
            }
            Some("resource_link") => content.push(Content::text(link(block, &masked))),
            Some("resource") => {
                if let Some(resource) = block.get("resource").and_then(Json::as_object) {
                    spoken = true;
                    content.push(Content::text(embedded(resource, &masked)));
                }
            }
            Some(other) => content.push(Content::text(format!(
                "[Content of type {:?}, which can't be shown here.]",
                masked(other)
            ))),
            None => {}
        }
    }
    // Servers should say it in text as well.
    if let Some(structured) = result
        .get("structuredContent")
        .filter(|it| !it.is_null() && !spoken)
    {
        let bytes = structured.to_bytes();
        let text = std::str::from_utf8(bytes.expose()).unwrap_or_default();
        content.push(Content::text(masked(text)));
    }
    McpObservation {
        content,
        is_error: matches!(result.get("isError"), Some(Json::Bool(true))),
        tool_name: tool.to_owned(),
    }
}

fn link(block: &Object, masked: &dyn Fn(&str) -> String) -> String {
    let text = |name: &str| block.get(name).and_then(Json::as_text);
    let mut shown = format!("[Resource: {}", masked(text("uri").unwrap_or_default()));
    for about in ["title", "name", "description", "mimeType"]
        .map(text)
        .into_iter()
        .flatten()
    {
        shown.push_str(", ");
        shown.push_str(&masked(about));
    }
    shown.push(']');
    shown
}

fn embedded(resource: &Object, masked: &dyn Fn(&str) -> String) -> String {
    let text = |name: &str| resource.get(name).and_then(Json::as_text);
    match text("text") {
        Some(text) => masked(text),
        None => format!(
            "[Resource: {}, {}, {} characters of base64, which can't be shown here.]",
            masked(text("uri").unwrap_or_default()),
            masked(text("mimeType").unwrap_or("of no type")),
            text("blob").map_or(0, str::len)
        ),
    }
}

/// The observation of a call that failed. `why` holds no secret.
pub(super) fn failed(tool: &str, why: String) -> McpObservation {
    McpObservation {
        content: vec![Content::text(why)],
        is_error: true,
        tool_name: tool.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_vault::Plaintext;

    use super::*;
    use crate::redact::ValueId;

    fn texts(result: &str) -> Vec<String> {
        let redactor = Redactor::new().unwrap();
        let value = Plaintext::copy_of(b"secret-of-the-server-77");
        redactor.learn(&ValueId::new("t", "v"), &value).unwrap();
        let result = Json::parse(result.as_bytes()).unwrap();
        let seen = observed("t", &result, &redactor);
        assert_eq!(seen.tool_name, "t");
        let shown = |part: Content| match part {
            Content::Text { text, .. } => text,
            Content::Image { image_urls, .. } => image_urls.concat(),
        };
        seen.content.into_iter().map(shown).collect()
    }

    #[test]
    fn every_kind_of_content_is_shown_or_named() {
        let seen = texts(
            r#"{"content":[{"type":"text","text":"a secret-of-the-server-77"},
            {"type":"image","mimeType":"image/gif","data":"R0lG"},
            {"type":"resource_link","uri":"file:///secret-of-the-server-77","name":"n"},
            {"type":"resource","resource":{"uri":"u","text":"inside"}},
            {"type":"resource","resource":{"uri":"u","blob":"AAAA"}},
            {"type":"audio","data":"x"},{"x":1},5],"structuredContent":{"a":1}}"#,
        );
        assert_eq!(
            seen,
            [
                "[Tool 't' executed.]",
                "a <secret-hidden>",
                "data:image/gif;base64,R0lG",
                "[Resource: file:///<secret-hidden>, n]",
                "inside",
                "[Resource: u, of no type, 4 characters of base64, which can't be shown here.]",
                "[Content of type \"audio\", which can't be shown here.]",
            ]
        );
    }

    #[test]
    fn structured_content_is_told_where_no_text_is() {
        let seen = texts(r#"{"structuredContent":{"a":"secret-of-the-server-77"}}"#);
        assert_eq!(seen[1], r#"{"a":"<secret-hidden>"}"#);
        assert_eq!(texts("{}"), ["[Tool 't' executed.]"]);
    }
}
