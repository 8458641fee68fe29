//! Older versions of the documents to the newest, on the raw tree before it is read.
//!
//! Whole document: 0 to 6. Agent settings: 0 to 9; before 7, MCP servers were wrapped in `mcpServers` and
//! carried their sign-in in other forms; before 9, two tools were switches. What else older versions had is
//! unknown to the newest and dropped when it is read. Every step may be done twice: state files without a
//! version are taken for the oldest.

use super::agent::AGENT_VERSION;
use super::{SETTINGS_VERSION, SettingsError};
use crate::json::{Json, Object};

/// Agent settings before this version have MCP servers in the old forms.
const PLAIN_SERVERS: i64 = 7;
/// Agent settings before this version have switches for tools.
const PLAIN_TOOLS: i64 = 9;

/// Brings a whole document to the newest version.
pub(crate) fn upgrade(document: &mut Json) -> Result<(), SettingsError> {
    let document = document.as_object_mut().ok_or(SettingsError::Unreadable)?;
    match document.get("schema_version") {
        None => {}
        Some(version) if version_of(version).is_some_and(|version| version <= SETTINGS_VERSION) => {
        }
        Some(_) => return Err(SettingsError::Unreadable),
    }
    document.insert("schema_version", SETTINGS_VERSION);
    match document.get_mut("agent_settings").map(Json::as_object_mut) {
        Some(Some(agent)) => upgrade_agent(agent),
        Some(None) => Err(SettingsError::Unreadable),
        None => Ok(()),
    }
}

/// Brings agent settings to the newest version; a merged PATCH goes through it too, because it may say that it
/// is of an older one.
pub(crate) fn upgrade_agent(agent: &mut Object) -> Result<(), SettingsError> {
    let version = match agent.get("schema_version") {
        None => 0,
        Some(Json::Number(number)) => number
            .as_i64()
            .filter(|v| (0..=AGENT_VERSION).contains(v))
            .ok_or(SettingsError::Invalid)?,
        Some(_) => return Err(SettingsError::Invalid),
    };
    if agent.get("agent_kind").and_then(Json::as_text) == Some("llm") {
        agent.insert("agent_kind", Json::text("openhands"));
    }
    if version < PLAIN_SERVERS {
        upgrade_servers(agent);
    }
    if version < PLAIN_TOOLS {
        fold_switches(agent);
    }
    if version < AGENT_VERSION && agent.get("agent_kind").and_then(Json::as_text) == Some("acp") {
        agent.remove("llm");
    }
    agent.insert("schema_version", AGENT_VERSION);
    Ok(())
}

/// Versions of the whole document were read as texts too.
fn version_of(version: &Json) -> Option<i64> {
    match version {
        Json::Number(number) => number.as_i64(),
        Json::Text(text) => text.expose().trim().parse().ok(),
        _ => None,
    }
}

fn upgrade_servers(agent: &mut Object) {
    let Some(servers) = agent.get_mut("mcp_config").and_then(Json::as_object_mut) else {
        return;
    };
    if let (1, Some(Json::Object(_))) = (servers.len(), servers.get("mcpServers"))
        && let Some(Json::Object(wrapped)) = servers.remove("mcpServers")
    {
        *servers = wrapped;
    }
    for (_, server) in servers.iter_mut() {
        let Some(server) = server.as_object_mut() else {
            continue;
        };
        if let Some(kind) = server.remove("type")
            && !server.contains("transport")
        {
            let long = kind.as_text() == Some("shttp");
            server.insert("transport", if long { Json::text("http") } else { kind });
        }
        upgrade_sign_in(server);
    }
}

/// A text in `auth`, or an `Authorization` header, becomes an `auth` object.
fn upgrade_sign_in(server: &mut Object) {
    let strategy = |strategy: &str| {
        let mut auth = Object::with_capacity(2);
        auth.insert("strategy", Json::text(strategy));
        auth
    };
    if let Some(Json::Text(text)) = server.get("auth") {
        let mut auth = strategy(if text.is("oauth") { "oauth2" } else { "bearer" });
        if !text.is("oauth") {
            auth.insert("value", Json::text(text.expose()));
        }
        server.insert("auth", auth);
    }
    if server.get("auth").is_some_and(|auth| !auth.is_null()) {
        return;
    }
    let Some(headers) = server.get_mut("headers").and_then(Json::as_object_mut) else {
        return;
    };
    let found = headers.iter().find_map(|(name, value)| {
        name.eq_ignore_ascii_case("authorization")
            .then(|| (name.to_owned(), value.duplicate()))
    });
    let Some((name, Json::Text(value))) = found else {
        return;
    };
    headers.remove(&name);
    let scheme = value
        .expose()
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let auth = match value.expose().get(7..).filter(|_| scheme.is_some()) {
        _ if value.expose().trim().is_empty() => return,
        Some(token) => {
            let mut auth = strategy("bearer");
            auth.insert("value", Json::text(token.trim()));
            auth
        }
        None => {
            let (mut auth, mut headers) = (strategy("header"), Object::with_capacity(1));
            headers.insert("Authorization", Json::text(value.expose()));
            auth.insert("headers", headers);
            auth
        }
    };
    server.insert("auth", auth);
}

/// `enable_sub_agents` and `enable_switch_llm_tool` became entries of `tools`.
/// Two tools that were switches become entries of the list of tools.
pub(crate) fn fold_switches(agent: &mut Object) {
    let sub_agents = matches!(agent.remove("enable_sub_agents"), Some(Json::Bool(true)));
    let switch_llm = !matches!(
        agent.remove("enable_switch_llm_tool"),
        Some(Json::Bool(false))
    );
    let tool = |name: &str| {
        let mut tool = Object::with_capacity(1);
        tool.insert("name", Json::text(name));
        Json::Object(tool)
    };
    if agent.get("agent_kind").and_then(Json::as_text) == Some("acp") {
        return;
    }
    let mut tools: Vec<Json> = match agent.get("tools") {
        Some(Json::List(tools)) => tools.iter().map(Json::duplicate).collect(),
        Some(Json::Null) | None if sub_agents || !switch_llm => [
            "terminal",
            "file_editor",
            "task_tracker",
            "browser_tool_set",
        ]
        .map(tool)
        .into(),
        _ => return,
    };
    for (wanted, name) in [(sub_agents, "task_tool_set"), (switch_llm, "switch_llm")] {
        let there = tools
            .iter()
            .any(|tool| tool.get("name").and_then(Json::as_text) == Some(name));
        if wanted && !there {
            tools.push(tool(name));
        }
    }
    agent.insert("tools", tools);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str) {
        let mut document = Json::parse(before.as_bytes()).unwrap();
        upgrade_agent(document.as_object_mut().unwrap()).unwrap();
        document.as_object_mut().unwrap().remove("schema_version");
        let expected = Json::parse(after.as_bytes()).unwrap();
        assert!(
            document.same(&expected),
            "{}",
            String::from_utf8_lossy(document.to_bytes().expose())
        );
    }

    #[test]
    fn old_servers_become_plain_ones() {
        let server = |server: &str| format!(r#"{{"mcp_config":{{"a":{server}}}}}"#);
        let cases = [
            (
                r#"{"url":"u","headers":{"authorization":"Bearer t"}}"#,
                r#"{"url":"u","headers":{},"auth":{"strategy":"bearer","value":"t"}}"#,
            ),
            (
                r#"{"url":"u","headers":{"Authorization":"Basic x","X":"y"}}"#,
                r#"{"url":"u","headers":{"X":"y"},"auth":{"strategy":"header","headers":{"Authorization":"Basic x"}}}"#,
            ),
            (
                r#"{"url":"u","headers":{"Authorization":" "}}"#,
                r#"{"url":"u","headers":{}}"#,
            ),
            (
                r#"{"url":"u","auth":"oauth"}"#,
                r#"{"url":"u","auth":{"strategy":"oauth2"}}"#,
            ),
            (
                r#"{"url":"u","auth":"tok"}"#,
                r#"{"url":"u","auth":{"strategy":"bearer","value":"tok"}}"#,
            ),
            (
                r#"{"url":"u","type":"shttp"}"#,
                r#"{"url":"u","transport":"http"}"#,
            ),
        ];
        for (old, new) in cases {
            check(&server(old), &server(new));
            check(
                &format!(r#"{{"mcp_config":{{"mcpServers":{{"a":{old}}}}}}}"#),
                &server(new),
            );
            let newer = format!(r#"{{"schema_version":7,"mcp_config":{{"a":{old}}}}}"#);
            check(&newer, &server(old));
        }
    }

    #[test]
    fn switches_become_tools() {
        check(
            r#"{"tools":[{"name":"x"}]}"#,
            r#"{"tools":[{"name":"x"},{"name":"switch_llm"}]}"#,
        );
        check(
            r#"{"tools":[],"enable_switch_llm_tool":false}"#,
            r#"{"tools":[]}"#,
        );
        check(r#"{"enable_switch_llm_tool":true}"#, "{}");
        check(
            r#"{"enable_sub_agents":true}"#,
            r#"{"tools":[{"name":"terminal"},{"name":"file_editor"},{"name":"task_tracker"},{"name":"browser_tool_set"},{"name":"task_tool_set"},{"name":"switch_llm"}]}"#,
        );
        check(r#"{"schema_version":9,"tools":[]}"#, r#"{"tools":[]}"#);
    }

    #[test]
    fn newer_and_nameless_versions_are_refused() {
        for document in [
            "[]",
            r#"{"schema_version":7}"#,
            r#"{"schema_version":null}"#,
            r#"{"agent_settings":null}"#,
        ] {
            assert!(
                upgrade(&mut Json::parse(document.as_bytes()).unwrap()).is_err(),
                "{document}"
            );
        }
        for agent in [
            r#"{"schema_version":10}"#,
            r#"{"schema_version":"9"}"#,
            r#"{"schema_version":-1}"#,
        ] {
            let mut agent = Json::parse(agent.as_bytes()).unwrap();
            assert!(upgrade_agent(agent.as_object_mut().unwrap()).is_err());
        }
        for document in [
            "{}",
            r#"{"schema_version":"5"}"#,
            r#"{"schema_version":6,"agent_settings":{}}"#,
        ] {
            assert!(
                upgrade(&mut Json::parse(document.as_bytes()).unwrap()).is_ok(),
                "{document}"
            );
        }
    }
}
